/* What only a real etcd does: certificates, neighbours under other roots, its limits, its own end
 * of leases, compaction, a full disk quota, and an etcd that was made anew. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>

#include "store_test.h"

#define LATER_MS 40000 /* on a machine that does something else */

typedef struct Real {
    EtcdServers *servers;
    Store *store;
    Arena *arena;
    Err err;
} Real;

static int setup(void **state)
{
    Real *r = mem_alloc(sizeof(Real));
    r->arena = arena_new();
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    Real *r = *state;
    store_close(r->store);
    etcd_servers_free(r->servers);
    arena_free(r->arena);
    mem_free(r);
    return 0;
}

/* As setup made it, with so many members. */
static Real *with_servers(void **state, int count, const char *const *flags)
{
    Real *r = *state;
    r->servers = etcd_servers_new(count, flags);
    return r;
}

static void ok(const Real *r, bool done)
{
    if (!done) {
        fail_msg("%s: %s", err_code_name(r->err.code), r->err.message);
    }
}

static void fails(const Real *r, bool done, ErrCode code, const char *said)
{
    assert_false(done);
    if (r->err.code != code || strstr(r->err.message, said) == NULL) {
        fail_msg("%s: %s", err_code_name(r->err.code), r->err.message);
    }
}

/* To a member, of whose answer nothing is wanted but that it is good. */
static void post(const Real *r, int number, const char *path, const char *body)
{
    Buf reply;
    buf_init(&reply, BUF_MAX_DEFAULT);
    assert_true(etcd_server_post(r->servers, number, path, body, &reply));
    buf_done(&reply);
}

static Store *open_at(Real *r, const char *root)
{
    Store *store;
    StoreEtcdOptions options = etcd_servers_options(r->servers, root);
    ok(r, store_open_etcd(&options, NULL, &store, &r->err));
    return store;
}

static int64_t revision_of(Real *r, Store *store)
{
    StoreRange range;
    ok(r, store_range(store, SLICE(""), SLICE(""), 1, r->arena, &range, &r->err));
    return range.revision;
}

static StoreWatch *watch_from_now(Real *r, Store *store)
{
    StoreWatch *watch;
    ok(r, store_watch(store, SLICE(""), revision_of(r, store), &watch, &r->err));
    return watch;
}

static void assert_told(Real *r, StoreWatch *watch, StoreWriteKind kind, const char *key)
{
    StoreChange change;
    assert_true(store_watch_wait(watch, LATER_MS));
    assert_int_equal(store_watch_next(watch, r->arena, &change), STORE_WATCH_CHANGE);
    assert_int_equal(change.kind, kind);
    assert_slice(change.item.key, key);
}

/* ---- who may come in --------------------------------------------------------------------------
 */

static void test_certificates(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    r->store = open_at(r, "/w/"); /* it is up */
    Store *store;
    StoreEtcdOptions options = etcd_servers_options(r->servers, "/w/");
    options.patience_ms = 1;
    options.cert = options.key = NULL;
    fails(r, store_open_etcd(&options, NULL, &store, &r->err), ERR_DENIED, "certificate");
    options = etcd_servers_options(r->servers, "/w/");
    options.patience_ms = 1;
    options.ca = NULL; /* those that the system trusts */
    fails(r, store_open_etcd(&options, NULL, &store, &r->err), ERR_DENIED, "certificate");
    options.ca = options.key; /* no certificate at all */
    fails(r, store_open_etcd(&options, NULL, &store, &r->err), ERR_DENIED, "certificate");
}

static void test_two_tiers_in_one_etcd(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    StoreItem item;
    StoreRange range;
    r->store = open_at(r, "/weir/a/");
    Store *other =
        open_at(r, "/weir/a/b/"); /* below the first one's root: still a key of its own */
    Store *third = open_at(r, "/weir/c/");
    StoreWatch *watch = watch_from_now(r, third);
    ok(r, store_create(r->store, SLICE("k"), SLICE("1"), NULL, &r->err));
    ok(r, store_create(third, SLICE("k"), SLICE("3"), NULL, &r->err));
    fails(r, store_get(other, SLICE("k"), r->arena, &item, &r->err), ERR_NOT_FOUND, "");
    ok(r, store_get(third, SLICE("k"), r->arena, &item, &r->err));
    assert_slice(item.value, "3");
    ok(r, store_range(third, SLICE(""), SLICE(""), 9, r->arena, &range, &r->err));
    assert_int_equal(range.len, 1);
    assert_told(r, watch, STORE_PUT, "k");
    assert_false(store_watch_wait(watch, 200));
    /* Others move the revision: a watch may start where this store has heard of nothing. */
    StoreWatch *later = watch_from_now(r, other);
    ok(r, store_create(other, SLICE("k"), SLICE("2"), NULL, &r->err));
    assert_told(r, later, STORE_PUT, "k");
    store_watch_close(later);
    store_watch_close(watch);
    store_close(other);
    store_close(third);
}

/* ---- limits -----------------------------------------------------------------------------------
 */

/* All compares, all writes, all bytes: etcd's own limits must not be smaller. */
static void largest_transaction(Real *r)
{
    static char keys[STORE_TXN_OPS_MAX][STORE_KEY_MAX + 1];
    StoreCompare compares[STORE_TXN_OPS_MAX];
    StoreWrite writes[STORE_TXN_OPS_MAX];
    size_t share = STORE_TXN_BYTES_MAX / STORE_TXN_OPS_MAX - STORE_KEY_MAX;
    char *value = mem_alloc(share);
    for (size_t i = 0; i < STORE_TXN_OPS_MAX; i++) {
        memset(keys[i], 'k', STORE_KEY_MAX);
        snprintf(keys[i], 8, "%06zu", i);
        keys[i][6] = '/';
        compares[i] = (StoreCompare){slice_of(keys[i]), 0};
        writes[i] = (StoreWrite){STORE_PUT, slice_of(keys[i]), slice_from(value, share), 0};
    }
    StoreTxn txn = {compares, STORE_TXN_OPS_MAX, writes, STORE_TXN_OPS_MAX};
    bool committed;
    int64_t revision;
    ok(r, store_txn(r->store, &txn, &committed, &revision, &r->err));
    assert_true(committed);
    mem_free(value);
}

static void test_what_is_large(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    char root[129];
    memset(root, 'r', sizeof(root));
    root[127] = '/';
    root[128] = '\0';
    r->store = open_at(r, root);
    StoreWatch *watch = watch_from_now(r, r->store);
    largest_transaction(r);
    char *value = mem_alloc(STORE_VALUE_MAX);
    for (int i = 0; i < 6; i++) {
        char key[16];
        snprintf(key, sizeof(key), "big/%d", i);
        memset(value, 'a' + i, STORE_VALUE_MAX);
        ok(r, store_create(r->store, slice_of(key), slice_from(value, STORE_VALUE_MAX - 8), NULL,
                           &r->err));
    }
    StoreRange range;
    ok(r, store_range(r->store, SLICE("big/"), SLICE(""), 100, r->arena, &range, &r->err));
    assert_int_equal(range.len, 6);
    assert_int_equal(range.items[5].value.len, STORE_VALUE_MAX - 8);
    assert_int_equal(range.items[5].value.data[STORE_VALUE_MAX - 9], 'f');
    for (int i = 0; i < STORE_TXN_OPS_MAX + 6; i++) {
        StoreChange change;
        assert_true(store_watch_wait(watch, LATER_MS));
        assert_int_equal(store_watch_next(watch, r->arena, &change), STORE_WATCH_CHANGE);
    }
    mem_free(value);
    store_watch_close(watch);
}

/* Full: changes are refused with what to do; reads go on; and what to do helps. */
static void test_no_space(void **state)
{
    static const char *const flags[] = {"--quota-backend-bytes", "4194304", NULL};
    Real *r = with_servers(state, 1, flags);
    StoreEtcdOptions options = etcd_servers_options(r->servers, "/w/");
    options.answer_timeout_ms = options.patience_ms = 30000; /* the disk may be busy with others */
    ok(r, store_open_etcd(&options, NULL, &r->store, &r->err));
    char *value = mem_alloc(STORE_VALUE_MAX);
    Slice half = slice_from(value, STORE_VALUE_MAX / 2);
    int written = 0;
    ok(r, store_create(r->store, SLICE("k"), half, NULL, &r->err));
    StoreItem item;
    /* Its history fills it. On a disk that is busy, one may not be settled. */
    do {
        assert_true(written++ < 100);
        ok(r, store_get(r->store, SLICE("k"), r->arena, &item, &r->err));
    } while (store_update(r->store, SLICE("k"), item.mod_revision, half, NULL, &r->err) ||
             strstr(r->err.message, "disarm the alarm") == NULL);
    fails(r, false, ERR_UNSETTLED, "it is not known whether a change took place");
    mem_free(value);
    ok(r, store_get(r->store, SLICE("k"), r->arena, &item, &r->err)); /* that one may be made */
    fails(r, store_update(r->store, SLICE("k"), item.mod_revision, SLICE("x"), NULL, &r->err),
          ERR_UNSETTLED, "disarm the alarm");
    int64_t at = item.mod_revision;
    ok(r, store_get(r->store, SLICE("k"), r->arena, &item, &r->err));
    assert_int_equal(item.mod_revision, at);
    CLEANUP(mem_free_ptr)
    char *compact = mem_printf("{\"revision\":\"%lld\",\"physical\":true}",
                               (long long)revision_of(r, r->store));
    post(r, 0, "/v3/kv/compaction", compact);
    post(r, 0, "/v3/maintenance/defragment", "{}");
    Buf reply;
    buf_init(&reply, BUF_MAX_DEFAULT);
    assert_true(etcd_server_post(r->servers, 0, "/v3/maintenance/status", "{}", &reply));
    json_t *status = json_loads(buf_str(&reply), 0, NULL);
    const json_t *header = json_object_get(status, "header");
    CLEANUP(mem_free_ptr)
    char *disarm =
        mem_printf("{\"action\":\"DEACTIVATE\",\"alarm\":\"NOSPACE\",\"memberID\":\"%s\"}",
                   json_string_value(json_object_get(header, "member_id")));
    json_decref(status);
    buf_done(&reply);
    post(r, 0, "/v3/maintenance/alarm", disarm);
    ok(r, store_create(r->store, SLICE("again"), SLICE("x"), NULL, &r->err));
}

/* ---- leases -----------------------------------------------------------------------------------
 */

static int64_t stands_still(void *clock)
{
    (void)clock;
    return 1000;
}

/* Its process is gone: etcd ends it, not before its own minimum, and others may keep it alive. */
static void test_a_lease_without_its_process(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    StoreOptions still = {.now_ms = stands_still};
    StoreEtcdOptions options = etcd_servers_options(r->servers, "/w/");
    Store *owner;
    int64_t lease;
    bool committed;
    int64_t revision;
    ok(r, store_open_etcd(&options, &still, &owner, &r->err));
    r->store = open_at(r, "/w/");
    ok(r, store_lease_grant(owner, 100, &lease, &r->err));
    StoreCompare compare = {SLICE("k"), 0};
    StoreWrite write = {.kind = STORE_PUT, .key = SLICE("k"), .lease = lease};
    StoreTxn txn = {&compare, 1, &write, 1};
    ok(r, store_txn(owner, &txn, &committed, &revision, &r->err));
    store_close(owner);
    int64_t kept = time_mono_ms();
    if (store_lease_keepalive(r->store, lease, &r->err)) { /* not on a very slow machine */
        StoreWatch *watch;
        ok(r, store_watch(r->store, SLICE(""), revision, &watch, &r->err));
        assert_told(r, watch, STORE_DELETE, "k");
        assert_true(time_mono_ms() - kept >= 2000);
        store_watch_close(watch);
    }
    fails(r, store_lease_keepalive(r->store, lease, &r->err), ERR_NOT_FOUND, "ended");
    fails(r, store_lease_revoke(r->store, lease, &r->err), ERR_NOT_FOUND, "ended");
    /* Another's lease may be revoked, too. */
    ok(r, store_open_etcd(&options, &still, &owner, &r->err));
    ok(r, store_lease_grant(owner, 60000, &lease, &r->err));
    ok(r, store_lease_revoke(r->store, lease, &r->err));
    fails(r, store_lease_keepalive(owner, lease, &r->err), ERR_NOT_FOUND, "ended");
    store_close(owner);
}

/* etcd ended it, for instance while this process stood still: its holder hears of it. */
static void test_a_lease_that_etcd_ended(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    StoreOptions still = {.now_ms = stands_still};
    StoreEtcdOptions options = etcd_servers_options(r->servers, "/w/");
    int64_t lease, next;
    ok(r, store_open_etcd(&options, &still, &r->store, &r->err));
    ok(r, store_lease_grant(r->store, 100, &lease, &r->err));
    CLEANUP(mem_free_ptr) char *body = mem_printf("{\"ID\":\"%lld\"}", (long long)lease);
    post(r, 0, "/v3/lease/revoke", body);
    ok(r, store_tick(r->store, &next, &r->err));
    assert_int_equal(next, 100);
    fails(r, store_lease_keepalive(r->store, lease, &r->err), ERR_NOT_FOUND, "ended");
    ok(r, store_tick(r->store, &next, &r->err));
    assert_int_equal(next, -1);
}

/* ---- members that are away --------------------------------------------------------------------
 */

/* Whose member was away while the others went on, and compacted what it had not told. */
static void test_a_watch_behind_a_compaction(void **state)
{
    Real *r = with_servers(state, 3, NULL);
    const char *alone[] = {r->servers->endpoints[0], NULL};
    StoreEtcdOptions options = etcd_servers_options(r->servers, "/w/");
    options.endpoints = alone;
    Store *behind;
    StoreChange change;
    StoreRange range;
    r->store = open_at(r, "/w/");
    ok(r, store_open_etcd(&options, NULL, &behind, &r->err));
    StoreWatch *watch = watch_from_now(r, behind);
    ok(r, store_create(r->store, SLICE("before"), SLICE("x"), NULL, &r->err));
    assert_told(r, watch, STORE_PUT, "before");
    etcd_server_kill(r->servers, 0);
    for (int i = 0; i < 3; i++) {
        char key[16];
        snprintf(key, sizeof(key), "during/%d", i);
        while (!store_create(r->store, slice_of(key), SLICE("x"), NULL, &r->err) &&
               r->err.code != ERR_EXISTS) {
            assert_int_equal(r->err.code, ERR_UNSETTLED); /* member 0 may have led */
        }
    }
    CLEANUP(mem_free_ptr)
    char *compact = mem_printf("{\"revision\":\"%lld\"}", (long long)revision_of(r, r->store));
    post(r, 1, "/v3/kv/compaction", compact);
    etcd_server_start(r->servers, 0);
    assert_true(store_watch_wait(watch, LATER_MS));
    assert_int_equal(store_watch_next(watch, r->arena, &change), STORE_WATCH_RESYNC);
    ok(r, store_range(behind, SLICE(""), SLICE(""), 9, r->arena, &range, &r->err));
    assert_int_equal(range.len, 4);
    ok(r, store_create(r->store, SLICE("after"), SLICE("x"), NULL, &r->err));
    assert_told(r, watch, STORE_PUT, "after");
    store_watch_close(watch);
    store_close(behind);
}

/* The same name, the same cluster id, and nothing in it. */
static void test_an_etcd_made_anew(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    StoreItem item;
    StoreChange change;
    r->store = open_at(r, "/w/");
    StoreWatch *watch = watch_from_now(r, r->store);
    ok(r, store_create(r->store, SLICE("k"), SLICE("x"), NULL, &r->err));
    assert_told(r, watch, STORE_PUT, "k");
    etcd_server_kill(r->servers, 0);
    etcd_server_wipe(r->servers, 0);
    etcd_server_start(r->servers, 0);
    fails(r, store_create(r->store, SLICE("new"), SLICE("x"), NULL, &r->err), ERR_CONFLICT,
          "forgotten");
    fails(r, store_get(r->store, SLICE("k"), r->arena, &item, &r->err), ERR_CONFLICT, "forgotten");
    assert_true(store_watch_wait(watch, LATER_MS));
    assert_int_equal(store_watch_next(watch, r->arena, &change), STORE_WATCH_RESYNC);
    store_watch_close(watch);
    store_close(r->store);
    r->store = open_at(r, "/w/"); /* nothing was written into it */
    fails(r, store_get(r->store, SLICE("new"), r->arena, &item, &r->err), ERR_NOT_FOUND, "");
}

/* Nobody waits for an etcd that stands still longer than was said. */
static void test_an_etcd_that_stands_still(void **state)
{
    Real *r = with_servers(state, 1, NULL);
    StoreItem item;
    StoreEtcdOptions options = etcd_servers_options(r->servers, "/w/");
    Store *patient = open_at(r, "/w/");
    store_close(patient);
    options.patience_ms = 500;
    options.answer_timeout_ms = 1000;
    ok(r, store_open_etcd(&options, NULL, &r->store, &r->err));
    ok(r, store_create(r->store, SLICE("k"), SLICE("x"), NULL, &r->err));
    etcd_server_signal(r->servers, 0, SIGSTOP);
    int64_t begin = time_mono_ms();
    fails(r, store_create(r->store, SLICE("new"), SLICE("x"), NULL, &r->err), ERR_UNSETTLED,
          "did not answer in time");
    fails(r, store_get(r->store, SLICE("k"), r->arena, &item, &r->err), ERR_TIMEOUT, "in time");
    fails(r, store_create(r->store, SLICE("other"), SLICE("x"), NULL, &r->err), ERR_TIMEOUT,
          "in time"); /* asked first, and not sent */
    store_close(r->store);
    assert_true(time_mono_ms() - begin < LATER_MS);
    etcd_server_signal(r->servers, 0, SIGCONT);
    r->store = open_at(r, "/w/");
    fails(r, store_get(r->store, SLICE("other"), r->arena, &item, &r->err), ERR_NOT_FOUND, "");
}

static void etcd_is_not_installed(void **state)
{
    (void)state;
    skip();
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_certificates),
        WITH(test_two_tiers_in_one_etcd),
        WITH(test_what_is_large),
        WITH(test_no_space),
        WITH(test_a_lease_without_its_process),
        WITH(test_a_lease_that_etcd_ended),
        WITH(test_a_watch_behind_a_compaction),
        WITH(test_an_etcd_made_anew),
        WITH(test_an_etcd_that_stands_still),
    };
    const struct CMUnitTest none[] = {cmocka_unit_test(etcd_is_not_installed)};
    if (!etcd_servers_present()) {
        return cmocka_run_group_tests_name("etcd", none, NULL, NULL);
    }
    return cmocka_run_group_tests_name("etcd", tests, NULL, NULL);
}
