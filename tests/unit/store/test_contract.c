/* The contract of the store: every test runs against every backend. Revisions are counted from
 * f->base, which etcd has counted before; and its watches hear of a change a little later. */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>

#include "store_test.h"

#define LATER_MS 30000 /* a change comes to etcd's watches within this, on a machine at work */

static int memory_setup(void **state)
{
    Fixture *f = fixture_new(FIXTURE_MEMORY);
    fixture_open(f);
    *state = f;
    return 0;
}

static int sqlite_setup(void **state)
{
    Fixture *f = fixture_new(FIXTURE_SQLITE);
    fixture_open(f);
    *state = f;
    return 0;
}

static EtcdServers *servers; /* one for all tests; each has a root of its own */

static int etcd_setup(void **state)
{
    Fixture *f = fixture_new(FIXTURE_ETCD);
    f->servers = servers;
    fixture_open(f);
    StoreRange range;
    must(f, store_range(f->store, SLICE(""), SLICE(""), 1, f->arena, &range, &f->err));
    assert_int_equal(range.len, 0);
    f->base = range.revision;
    *state = f;
    return 0;
}

/* The revision of the n-th change. */
static int64_t at(const Fixture *f, int64_t n)
{
    return f->base + n;
}

/* Waits until the watches have heard of everything that was done. */
static void settle(Fixture *f)
{
    if (f->kind != FIXTURE_ETCD) {
        return;
    }
    StoreRange range;
    StoreWatch *watch;
    must(f, store_range(f->store, SLICE(""), SLICE(""), 1, f->arena, &range, &f->err));
    if (range.revision > f->base) {
        must(f, store_watch(f->store, SLICE(""), range.revision - 1, &watch, &f->err));
        assert_true(store_watch_wait(watch, LATER_MS));
        store_watch_close(watch);
    }
}

static bool txn(Fixture *f, const StoreCompare *compares, size_t compares_len,
                const StoreWrite *writes, size_t writes_len, bool *ret_committed)
{
    StoreTxn txn = {compares, compares_len, writes, writes_len};
    int64_t revision;
    return store_txn(f->store, &txn, ret_committed, &revision, &f->err);
}

/* ---- single keys ------------------------------------------------------------------------------
 */

static void test_create_get_update_remove(void **state)
{
    Fixture *f = *state;
    StoreItem item;
    must_fail(f, store_get(f->store, SLICE("a"), f->arena, &item, &f->err), ERR_NOT_FOUND);
    assert_int_equal(fixture_create(f, "a", "one"), at(f, 1));
    assert_int_equal(fixture_create(f, "b", ""), at(f, 2));
    item = fixture_get(f, "a");
    assert_slice(item.key, "a");
    assert_slice(item.value, "one");
    assert_int_equal(item.mod_revision, at(f, 1));
    assert_int_equal(item.create_revision, at(f, 1));
    assert_int_equal(item.lease, 0);
    assert_slice(fixture_get(f, "b").value, "");

    int64_t revision;
    must(f, store_update(f->store, SLICE("a"), at(f, 1), SLICE("two"), &revision, &f->err));
    assert_int_equal(revision, at(f, 3));
    item = fixture_get(f, "a");
    assert_slice(item.value, "two");
    assert_int_equal(item.mod_revision, at(f, 3));
    assert_int_equal(item.create_revision, at(f, 1));

    must(f, store_remove(f->store, SLICE("a"), at(f, 3), &revision, &f->err));
    assert_int_equal(revision, at(f, 4));
    assert_false(fixture_has(f, "a"));
    assert_int_equal(fixture_create(f, "a", "again"), at(f, 5));
    assert_int_equal(fixture_get(f, "a").create_revision, at(f, 5));
}

static void test_compare_refuses(void **state)
{
    Fixture *f = *state;
    fixture_create(f, "a", "one");
    must_fail(f, store_create(f->store, SLICE("a"), SLICE("x"), NULL, &f->err), ERR_EXISTS);
    must_fail(f, store_update(f->store, SLICE("a"), at(f, 2), SLICE("x"), NULL, &f->err),
              ERR_CONFLICT);
    must_fail(f, store_update(f->store, SLICE("gone"), at(f, 1), SLICE("x"), NULL, &f->err),
              ERR_CONFLICT);
    must_fail(f, store_remove(f->store, SLICE("a"), at(f, 7), NULL, &f->err), ERR_CONFLICT);
    must_fail(f, store_remove(f->store, SLICE("gone"), at(f, 1), NULL, &f->err), ERR_CONFLICT);
    assert_slice(fixture_get(f, "a").value, "one");
    /* An update that writes the same value still moves the revision (RULES F2). */
    int64_t revision;
    must(f, store_update(f->store, SLICE("a"), at(f, 1), SLICE("one"), &revision, &f->err));
    assert_int_equal(fixture_get(f, "a").mod_revision, revision);
    must_fail(f, store_update(f->store, SLICE("a"), at(f, 1), SLICE("x"), NULL, &f->err),
              ERR_CONFLICT);
}

static void test_there_is_no_blind_put(void **state)
{
    Fixture *f = *state;
    fixture_create(f, "a", "one");
    fixture_create(f, "b", "one");
    bool committed = true;
    StoreCompare on_a = {SLICE("a"), at(f, 1)};
    StoreWrite put_b = {.kind = STORE_PUT, .key = SLICE("b"), .value = SLICE("x")};
    StoreWrite delete_b = {.kind = STORE_DELETE, .key = SLICE("b")};
    must_fail(f, txn(f, NULL, 0, &put_b, 1, &committed), ERR_INVALID);
    must_fail(f, txn(f, &on_a, 1, &put_b, 1, &committed), ERR_INVALID);
    must_fail(f, txn(f, &on_a, 1, &delete_b, 1, &committed), ERR_INVALID);
    must_fail(f, store_update(f->store, SLICE("b"), 0, SLICE("x"), NULL, &f->err), ERR_INVALID);
    must_fail(f, store_update(f->store, SLICE("new"), 0, SLICE("x"), NULL, &f->err), ERR_INVALID);
    must_fail(f, store_remove(f->store, SLICE("b"), 0, NULL, &f->err), ERR_INVALID);
    assert_slice(fixture_get(f, "b").value, "one");
}

static void test_values_are_bytes(void **state)
{
    Fixture *f = *state;
    char *big = mem_alloc(STORE_VALUE_MAX);
    for (size_t i = 0; i < STORE_VALUE_MAX; i++) {
        big[i] = (char)(i * 7);
    }
    Slice value = slice_from(big, STORE_VALUE_MAX - 1); /* one for the key */
    must(f, store_create(f->store, SLICE("k"), value, NULL, &f->err));
    StoreItem item = fixture_get(f, "k");
    assert_true(slice_eq(item.value, value));
    assert_int_equal(item.value.data[item.value.len], 0);
    mem_free(big);
}

/* ---- bad input --------------------------------------------------------------------------------
 */

static void test_bad_keys(void **state)
{
    Fixture *f = *state;
    char longest[STORE_KEY_MAX + 2];
    memset(longest, 'k', sizeof(longest));
    StoreItem item;
    Slice bad[] = {SLICE(""),         SLICE("a b"),  SLICE("a\n"),
                   SLICE("\xc3\xa9"), SLICE("a\0b"), slice_from(longest, STORE_KEY_MAX + 1)};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        must_fail(f, store_create(f->store, bad[i], SLICE("x"), NULL, &f->err), ERR_INVALID);
        must_fail(f, store_get(f->store, bad[i], f->arena, &item, &f->err), ERR_INVALID);
    }
    Slice good = slice_from(longest, STORE_KEY_MAX);
    must(f, store_create(f->store, good, SLICE("x"), NULL, &f->err));
    must(f, store_get(f->store, good, f->arena, &item, &f->err));
}

static void test_bad_transactions(void **state)
{
    Fixture *f = *state;
    bool committed;
    StoreCompare twice[] = {{SLICE("a"), 0}, {SLICE("a"), 0}};
    StoreWrite puts[] = {{.kind = STORE_PUT, .key = SLICE("a"), .value = SLICE("1")},
                         {.kind = STORE_PUT, .key = SLICE("a"), .value = SLICE("2")}};
    StoreWrite delete = {.kind = STORE_DELETE, .key = SLICE("a")};
    StoreCompare negative = {SLICE("a"), -1};
    must_fail(f, txn(f, twice, 2, puts, 1, &committed), ERR_INVALID);
    must_fail(f, txn(f, twice, 1, puts, 2, &committed), ERR_INVALID);
    must_fail(f, txn(f, twice, 1, puts, 0, &committed), ERR_INVALID);
    must_fail(f, txn(f, twice, 1, &delete, 1, &committed), ERR_INVALID);
    must_fail(f, txn(f, &negative, 1, puts, 1, &committed), ERR_INVALID);
    StoreRange range;
    must_fail(f, store_range(f->store, SLICE(""), SLICE(""), 0, f->arena, &range, &f->err),
              ERR_INVALID);
    must(f, store_range(f->store, SLICE(""), SLICE(""), 1, f->arena, &range, &f->err));
    assert_int_equal(range.len, 0);
    assert_int_equal(range.revision, at(f, 0));
}

static void test_limits(void **state)
{
    Fixture *f = *state;
    bool committed;
    char keys[STORE_TXN_OPS_MAX + 1][8];
    StoreCompare compares[STORE_TXN_OPS_MAX + 1];
    StoreWrite writes[STORE_TXN_OPS_MAX + 1];
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%03zu", i);
        compares[i] = (StoreCompare){slice_of(keys[i]), 0};
        writes[i] = (StoreWrite){.kind = STORE_PUT, .key = slice_of(keys[i])};
    }
    must_fail(f, txn(f, compares, ARRAY_LEN(compares), writes, 1, &committed), ERR_LIMIT);
    must_fail(f, txn(f, compares, 1, writes, ARRAY_LEN(writes), &committed), ERR_LIMIT);
    must(f, txn(f, compares, STORE_TXN_OPS_MAX, writes, STORE_TXN_OPS_MAX, &committed));
    assert_true(committed);
    assert_int_equal(fixture_get(f, keys[STORE_TXN_OPS_MAX - 1]).mod_revision, at(f, 1));

    char *big = mem_alloc(STORE_VALUE_MAX + 1);
    Slice value = slice_from(big, STORE_VALUE_MAX + 1);
    must_fail(f, store_create(f->store, SLICE("v"), value, NULL, &f->err), ERR_LIMIT);
    value.len = STORE_VALUE_MAX; /* fits alone, not together with its key */
    must_fail(f, store_create(f->store, SLICE("v"), value, NULL, &f->err), ERR_LIMIT);
    mem_free(big);
    assert_false(fixture_has(f, "v"));
}

/* ---- transactions and ranges ------------------------------------------------------------------
 */

static void test_all_or_nothing(void **state)
{
    Fixture *f = *state;
    fixture_create(f, "a", "one");
    fixture_create(f, "guard", "x");
    bool committed = true;
    StoreCompare compares[] = {{SLICE("a"), at(f, 1)}, {SLICE("b"), 0}, {SLICE("guard"), at(f, 1)}};
    StoreWrite writes[] = {{.kind = STORE_DELETE, .key = SLICE("a")},
                           {.kind = STORE_PUT, .key = SLICE("b"), .value = SLICE("new")}};
    must(f, txn(f, compares, 3, writes, 2, &committed));
    assert_false(committed);
    assert_true(fixture_has(f, "a"));
    assert_false(fixture_has(f, "b"));

    compares[2].revision = at(f, 2);
    StoreTxn good = {compares, 3, writes, 2};
    int64_t revision;
    must(f, store_txn(f->store, &good, &committed, &revision, &f->err));
    assert_true(committed);
    assert_int_equal(revision, at(f, 3));
    assert_false(fixture_has(f, "a"));
    assert_int_equal(fixture_get(f, "b").mod_revision, at(f, 3));
    must(f, store_txn(f->store, &good, &committed, &revision, &f->err));
    assert_false(committed);
    assert_int_equal(revision, at(f, 3));
}

static void assert_keys(const StoreRange *range, const char *keys)
{
    Buf joined;
    buf_init(&joined, 4096);
    for (size_t i = 0; i < range->len; i++) {
        buf_append_slice(&joined, range->items[i].key);
        buf_append_char(&joined, ' ');
    }
    assert_string_equal(buf_str(&joined), keys);
    buf_done(&joined);
}

static void test_range(void **state)
{
    Fixture *f = *state;
    const char *keys[] = {"spec/b", "spec/a", "spec/a/1", "spec", "specs", "spec0", "tier", "a"};
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        fixture_create(f, keys[i], keys[i]);
    }
    StoreRange range;
    must(f, store_range(f->store, SLICE("spec/"), SLICE(""), 10, f->arena, &range, &f->err));
    assert_keys(&range, "spec/a spec/a/1 spec/b ");
    assert_slice(range.items[1].value, "spec/a/1");
    assert_false(range.more);
    assert_int_equal(range.revision, at(f, 8));
    must(f, store_range(f->store, SLICE("spec/"), SLICE(""), 2, f->arena, &range, &f->err));
    assert_keys(&range, "spec/a spec/a/1 ");
    assert_true(range.more);
    must(f, store_range(f->store, SLICE("spec/"), SLICE("spec/a/1"), 2, f->arena, &range, &f->err));
    assert_keys(&range, "spec/b ");
    assert_false(range.more);
    must(f, store_range(f->store, SLICE("spec/"), SLICE("spec/a/0"), 9, f->arena, &range, &f->err));
    assert_keys(&range, "spec/a/1 spec/b "); /* after a key that is not there */
    must(f, store_range(f->store, SLICE("spec/"), SLICE("a"), 9, f->arena, &range, &f->err));
    assert_keys(&range, "spec/a spec/a/1 spec/b ");
    must(f, store_range(f->store, SLICE("spec/"), SLICE("x"), 9, f->arena, &range, &f->err));
    assert_keys(&range, "");
    must(f, store_range(f->store, SLICE(""), SLICE(""), 99, f->arena, &range, &f->err));
    assert_keys(&range, "a spec spec/a spec/a/1 spec/b spec0 specs tier ");
}

/* ---- threads ----------------------------------------------------------------------------------
 */

#define COUNT_THREADS 4
#define COUNT_EACH    50

static void *count_up(void *argument)
{
    Fixture *f = argument;
    Arena *arena = arena_new();
    for (int done = 0; done < COUNT_EACH;) {
        StoreItem item;
        Err err;
        arena_reset(arena);
        assert_true(store_get(f->store, SLICE("counter"), arena, &item, &err));
        int64_t value;
        assert_true(str_to_i64(item.value, &value));
        const char *next = arena_printf(arena, "%lld", (long long)value + 1);
        bool ok =
            store_update(f->store, SLICE("counter"), item.mod_revision, slice_of(next), NULL, &err);
        assert_true(ok || err.code == ERR_CONFLICT);
        done += ok;
    }
    arena_free(arena);
    return NULL;
}

static void test_swaps_of_many_threads_lose_nothing(void **state)
{
    Fixture *f = *state;
    fixture_create(f, "counter", "0");
    pthread_t threads[COUNT_THREADS];
    for (size_t i = 0; i < COUNT_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, count_up, f), 0);
    }
    for (size_t i = 0; i < COUNT_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    StoreItem item = fixture_get(f, "counter");
    assert_slice(item.value, "200");
    assert_int_equal(item.mod_revision, at(f, 1 + COUNT_THREADS * COUNT_EACH));
}

/* ---- watching ---------------------------------------------------------------------------------
 */

static StoreWatch *watch_new(Fixture *f, const char *prefix, int64_t after)
{
    StoreWatch *watch;
    must(f, store_watch(f->store, slice_of(prefix), at(f, after), &watch, &f->err));
    return watch;
}

static bool watch_readable(const StoreWatch *watch)
{
    struct pollfd poll_fd = {.fd = store_watch_fd(watch), .events = POLLIN};
    return poll(&poll_fd, 1, 0) == 1;
}

static void assert_change(Fixture *f, StoreWatch *watch, StoreWriteKind kind, const char *key,
                          const char *value, int64_t revision)
{
    StoreChange change;
    assert_true(f->kind == FIXTURE_ETCD ? store_watch_wait(watch, LATER_MS)
                                        : watch_readable(watch));
    assert_true(watch_readable(watch));
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_CHANGE);
    assert_int_equal(change.kind, kind);
    assert_slice(change.item.key, key);
    assert_slice(change.item.value, value);
    assert_int_equal(change.item.mod_revision, at(f, revision));
}

static void assert_nothing(Fixture *f, StoreWatch *watch)
{
    StoreChange change;
    settle(f);
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_NOTHING);
    assert_false(watch_readable(watch));
}

static void assert_resync(Fixture *f, StoreWatch *watch)
{
    StoreChange change;
    settle(f);
    assert_true(watch_readable(watch));
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_RESYNC);
    assert_nothing(f, watch);
}

static void test_watch_gives_changes_in_order(void **state)
{
    Fixture *f = *state;
    fixture_create(f, "spec/a", "1");
    fixture_create(f, "spec/b", "2");
    StoreWatch *all = watch_new(f, "", 0);
    StoreWatch *specs = watch_new(f, "spec/", 1);
    fixture_create(f, "other", "3");
    must(f, store_update(f->store, SLICE("spec/a"), at(f, 1), SLICE("4"), NULL, &f->err));
    must(f, store_remove(f->store, SLICE("spec/b"), at(f, 2), NULL, &f->err));
    assert_change(f, all, STORE_PUT, "spec/a", "1", 1);
    assert_change(f, all, STORE_PUT, "spec/b", "2", 2);
    assert_change(f, all, STORE_PUT, "other", "3", 3);
    assert_change(f, all, STORE_PUT, "spec/a", "4", 4);
    assert_change(f, all, STORE_DELETE, "spec/b", "", 5);
    assert_nothing(f, all);
    assert_change(f, specs, STORE_PUT, "spec/b", "2", 2);
    assert_change(f, specs, STORE_PUT, "spec/a", "4", 4);
    assert_change(f, specs, STORE_DELETE, "spec/b", "", 5);
    assert_nothing(f, specs);

    fixture_create(f, "else", "6");
    settle(f);
    assert_false(watch_readable(specs)); /* not woken for others */
    StoreCompare compares[] = {{SLICE("spec/z"), 0}, {SLICE("spec/y"), 0}};
    StoreWrite writes[] = {{.kind = STORE_PUT, .key = SLICE("spec/z"), .value = SLICE("7")},
                           {.kind = STORE_PUT, .key = SLICE("spec/y"), .value = SLICE("7")}};
    bool committed;
    must(f, txn(f, compares, 2, writes, 2, &committed));
    assert_change(f, specs, STORE_PUT, "spec/z", "7", 7);
    assert_change(f, specs, STORE_PUT, "spec/y", "7", 7);
    assert_nothing(f, specs);
    store_watch_close(all);
    store_watch_close(specs);
}

static void test_watch_says_resync_when_it_falls_behind(void **state)
{
    Fixture *f = *state;
    store_close(f->store);
    f->history_max = 4;
    fixture_open(f);
    StoreWatch *slow = watch_new(f, "a/", 0);
    StoreWatch *idle = watch_new(f, "none/", 0);
    fixture_create(f, "a/1", "");
    for (int i = 0; i < 4; i++) {
        char key[16];
        snprintf(key, sizeof(key), "b/%d", i);
        fixture_create(f, key, "");
    }
    assert_resync(f, slow); /* a/1 is no longer in the history */
    fixture_create(f, "none/1", "");
    assert_change(f, idle, STORE_PUT, "none/1", "", 6); /* others' changes did not count */
    assert_nothing(f, idle);
    fixture_create(f, "a/2", "");
    assert_change(f, slow, STORE_PUT, "a/2", "", 7);
    store_watch_close(slow);
    store_watch_close(idle);

    StoreWatch *late = watch_new(f, "a/", 2); /* revision 3 is gone */
    assert_resync(f, late);
    store_watch_close(late);
    StoreWatch *fits = watch_new(f, "", 3);
    assert_change(f, fits, STORE_PUT, "b/2", "", 4);
    store_watch_close(fits);
}

static void test_watch_refuses_the_future(void **state)
{
    Fixture *f = *state;
    StoreWatch *watch;
    must_fail(f, store_watch(f->store, SLICE(""), at(f, 1), &watch, &f->err), ERR_INVALID);
    must_fail(f, store_watch(f->store, SLICE(""), -1, &watch, &f->err), ERR_INVALID);
    StoreWatch *watches[STORE_WATCHES_MAX];
    size_t count = 0;
    while (count < STORE_WATCHES_MAX &&
           store_watch(f->store, SLICE(""), at(f, 0), &watches[count], &f->err)) {
        count++;
    }
    if (count == STORE_WATCHES_MAX) { /* otherwise the process has too few fds */
        must_fail(f, store_watch(f->store, SLICE(""), at(f, 0), &watch, &f->err), ERR_LIMIT);
    }
    while (count > 0) {
        store_watch_close(watches[--count]);
    }
}

static void *write_a_little_later(void *argument)
{
    Fixture *f = argument;
    struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
    nanosleep(&pause, NULL);
    Err err;
    assert_true(store_create(f->store, SLICE("late"), SLICE("x"), NULL, &err));
    return NULL;
}

static void test_watch_wait(void **state)
{
    Fixture *f = *state;
    StoreWatch *watch = watch_new(f, "late", 0);
    assert_false(store_watch_wait(watch, 0));
    int64_t begin = time_mono_ms();
    assert_false(store_watch_wait(watch, 30));
    assert_true(time_mono_ms() - begin >= 30);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_a_little_later, f), 0);
    assert_true(store_watch_wait(watch, LATER_MS));
    pthread_join(thread, NULL);
    assert_change(f, watch, STORE_PUT, "late", "x", 1);
    store_watch_close(watch);
}

/* Two writers, one watcher: it sees every revision once, in order. */
static void *create_many(void *argument)
{
    Fixture *f = argument;
    for (int i = 0; i < COUNT_EACH; i++) {
        char key[64];
        Err err;
        snprintf(key, sizeof(key), "t/%lx/%d", (unsigned long)pthread_self(), i);
        assert_true(store_create(f->store, slice_of(key), SLICE("x"), NULL, &err));
    }
    return NULL;
}

static void test_watch_while_threads_write(void **state)
{
    Fixture *f = *state;
    StoreWatch *watch = watch_new(f, "t/", 0);
    pthread_t threads[2];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, create_many, f), 0);
    }
    for (int64_t revision = 1; revision <= 2 * COUNT_EACH;) {
        StoreChange change;
        assert_true(store_watch_wait(watch, LATER_MS));
        while (store_watch_next(watch, f->arena, &change) == STORE_WATCH_CHANGE) {
            assert_int_equal(change.item.mod_revision, at(f, revision++));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], NULL);
    }
    assert_nothing(f, watch);
    store_watch_close(watch);
}

/* ---- leases -----------------------------------------------------------------------------------
 */

static void put_with_lease(Fixture *f, const char *key, int64_t lease)
{
    StoreCompare compare = {slice_of(key), 0};
    StoreWrite write = {
        .kind = STORE_PUT, .key = slice_of(key), .value = SLICE("x"), .lease = lease};
    bool committed;
    must(f, txn(f, &compare, 1, &write, 1, &committed));
    assert_true(committed);
}

static void test_lease_expires(void **state)
{
    Fixture *f = *state;
    int64_t lease, next;
    must(f, store_tick(f->store, &next, &f->err));
    assert_int_equal(next, -1);
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    assert_true(lease > 0);
    put_with_lease(f, "l/1", lease);
    put_with_lease(f, "l/2", lease);
    fixture_create(f, "l/stays", "x");
    assert_int_equal(fixture_get(f, "l/1").lease, lease);
    StoreWatch *watch = watch_new(f, "l/", 3);
    f->now_ms += 99;
    must(f, store_tick(f->store, &next, &f->err));
    assert_int_equal(next, 1);
    assert_true(fixture_has(f, "l/1"));
    must(f, store_lease_keepalive(f->store, lease, &f->err));
    f->now_ms += 99;
    assert_true(fixture_has(f, "l/1"));
    f->now_ms += 1;
    assert_false(fixture_has(f, "l/1"));
    assert_false(fixture_has(f, "l/2"));
    assert_change(f, watch, STORE_DELETE, "l/1", "", 4);
    assert_change(f, watch, STORE_DELETE, "l/2", "", 4);
    assert_nothing(f, watch);
    assert_true(fixture_has(f, "l/stays"));
    must_fail(f, store_lease_keepalive(f->store, lease, &f->err), ERR_NOT_FOUND);
    must_fail(f, store_lease_revoke(f->store, lease, &f->err), ERR_NOT_FOUND);
    fixture_create(f, "l/1", "new");
    store_watch_close(watch);
}

static void test_keepalive_of_a_lease_past_its_time(void **state)
{
    Fixture *f = *state;
    int64_t lease;
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    put_with_lease(f, "k", lease);
    f->now_ms += 100;
    must_fail(f, store_lease_keepalive(f->store, lease, &f->err), ERR_NOT_FOUND);
    assert_false(fixture_has(f, "k"));
}

static void test_lease_revoked_and_taken_off(void **state)
{
    Fixture *f = *state;
    int64_t lease, other;
    must_fail(f, store_lease_grant(f->store, 0, &lease, &f->err), ERR_INVALID);
    must_fail(f, store_lease_grant(f->store, STORE_LEASE_MS_MAX + 1, &lease, &f->err), ERR_INVALID);
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    must(f, store_lease_grant(f->store, 50, &other, &f->err));
    put_with_lease(f, "a", lease);
    put_with_lease(f, "b", lease);
    put_with_lease(f, "c", other);
    /* A plain update takes the lease off. */
    must(f, store_update(f->store, SLICE("b"), fixture_get(f, "b").mod_revision, SLICE("y"), NULL,
                         &f->err));
    must(f, store_lease_revoke(f->store, lease, &f->err));
    assert_false(fixture_has(f, "a"));
    assert_true(fixture_has(f, "b"));
    assert_true(fixture_has(f, "c"));
    StoreCompare compare = {SLICE("d"), 0};
    StoreWrite write = {.kind = STORE_PUT, .key = SLICE("d"), .lease = lease};
    bool committed;
    must_fail(f, txn(f, &compare, 1, &write, 1, &committed), ERR_NOT_FOUND);
    f->now_ms += 50;
    /* A create in the moment of the expiry finds the key gone already. */
    fixture_create(f, "c", "mine");
}

static void test_wait_sees_a_lease_end(void **state)
{
    Fixture *f = *state;
    int64_t lease;
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    put_with_lease(f, "k", lease);
    StoreWatch *watch = watch_new(f, "", 1);
    f->now_ms += 100;
    assert_true(store_watch_wait(watch, 5000));
    assert_change(f, watch, STORE_DELETE, "k", "", 2);
    store_watch_close(watch);
}

static void test_many_leases(void **state)
{
    Fixture *f = *state;
    int64_t lease;
    if (f->kind != FIXTURE_MEMORY) {
        return; /* the limit is the contract's, not the backend's; it would take a thousand fsyncs
                 */
    }
    for (int i = 0; i < STORE_LEASES_MAX; i++) {
        must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    }
    must_fail(f, store_lease_grant(f->store, 100, &lease, &f->err), ERR_LIMIT);
    f->now_ms += 100;
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
}

#define ALL(test)                                                                                  \
    {"memory: " #test, test, memory_setup, fixture_free, NULL},                                    \
        {"sqlite: " #test, test, sqlite_setup, fixture_free, NULL},                                \
    {                                                                                              \
        "etcd: " #test, test, etcd_setup, fixture_free, NULL                                       \
    }

static int start_etcd(void **state)
{
    /* Leases of etcd's shall outlive what slow machines need for a test: at least 8 s. */
    static const char *const flags[] = {"--heartbeat-interval", "500", "--election-timeout", "5000",
                                        NULL};
    (void)state;
    servers = etcd_servers_new(1, flags);
    return 0;
}

static int stop_etcd(void **state)
{
    (void)state;
    etcd_servers_free(servers);
    return 0;
}

static void etcd_is_not_installed(void **state)
{
    (void)state;
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ALL(test_create_get_update_remove),
        ALL(test_compare_refuses),
        ALL(test_there_is_no_blind_put),
        ALL(test_values_are_bytes),
        ALL(test_bad_keys),
        ALL(test_bad_transactions),
        ALL(test_limits),
        ALL(test_all_or_nothing),
        ALL(test_range),
        ALL(test_swaps_of_many_threads_lose_nothing),
        ALL(test_watch_gives_changes_in_order),
        ALL(test_watch_says_resync_when_it_falls_behind),
        ALL(test_watch_refuses_the_future),
        ALL(test_watch_wait),
        ALL(test_watch_while_threads_write),
        ALL(test_lease_expires),
        ALL(test_keepalive_of_a_lease_past_its_time),
        ALL(test_lease_revoked_and_taken_off),
        ALL(test_wait_sees_a_lease_end),
        ALL(test_many_leases),
    };
    if (etcd_servers_present()) {
        return cmocka_run_group_tests_name("store contract", tests, start_etcd, stop_etcd);
    }
    struct CMUnitTest others[ARRAY_LEN(tests)];
    size_t len = 0;
    for (size_t i = 0; i < ARRAY_LEN(tests); i++) {
        if (strncmp(tests[i].name, "etcd: ", 6) != 0) {
            others[len++] = tests[i];
        }
    }
    others[len++] = (struct CMUnitTest)cmocka_unit_test(etcd_is_not_installed);
    return _cmocka_run_group_tests("store contract", others, len, NULL, NULL);
}
