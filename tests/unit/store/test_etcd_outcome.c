/* What the store makes of a gateway that misbehaves: what may have run is never sent again and is
 * ERR_UNSETTLED; what has not run is tried elsewhere; and the watch misses and repeats nothing. */
#include "etcd_fake.h"
#include "store_test.h"

#define ANSWER_MS   3000
#define PATIENCE_MS 4000 /* both for a machine that does something else */
#define LATER_MS    20000

typedef struct Talk {
    Fake *fakes[2]; /* of one cluster, and one revision */
    int64_t answer_ms;
    Store *store;
    StoreWatch *watch; /* closed in the end, also where a test fails */
    Arena *arena;
    Err err;
} Talk;

static void talk_open(Talk *t, bool both)
{
    const char *endpoints[] = {t->fakes[0]->endpoint, both ? t->fakes[1]->endpoint : NULL, NULL};
    StoreEtcdOptions etcd = {.endpoints = endpoints,
                             .root = "/w/",
                             .keep_history = true,
                             .connect_timeout_ms = ANSWER_MS,
                             .answer_timeout_ms = t->answer_ms,
                             .patience_ms = PATIENCE_MS};
    if (!store_open_etcd(&etcd, NULL, &t->store, &t->err)) {
        fail_msg("%s", t->err.message);
    }
}

static int setup(void **state)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->fakes[0] = fake_new(0);
    t->fakes[1] = fake_new(1);
    t->fakes[1]->counter = &t->fakes[0]->revision;
    t->answer_ms = ANSWER_MS;
    t->arena = arena_new();
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    Talk *t = *state;
    store_watch_close(t->watch);
    store_close(t->store);
    fake_free(t->fakes[0]);
    fake_free(t->fakes[1]);
    arena_free(t->arena);
    mem_free(t);
    return 0;
}

static StoreWatch *watch_all(Talk *t, int64_t after)
{
    if (!store_watch(t->store, SLICE(""), after, &t->watch, &t->err)) {
        fail_msg("%s", t->err.message);
    }
    return t->watch;
}

static bool create(Talk *t)
{
    return store_create(t->store, SLICE("a"), SLICE("x"), NULL, &t->err);
}

static void assert_code(const Talk *t, ErrCode code)
{
    if (t->err.code != code) {
        fail_msg("%s: %s", err_code_name(t->err.code), t->err.message);
    }
}

/* ---- changes ----------------------------------------------------------------------------------
 */

/* The connection is kept from the first change to the second; libcurl would send that again. */
static void test_a_kept_connection_that_dies(void **state)
{
    Talk *t = *state;
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    assert_true(create(t));
    int before = fake_seen(fake, &fake->txn);
    fake_push(fake, &fake->txn, (FakeStep){.way = FAKE_CUT});
    assert_false(create(t));
    assert_code(t, ERR_UNSETTLED);
    assert_int_equal(fake_seen(fake, &fake->txn), before + 1);
    assert_true(create(t));
}

static void test_what_may_have_run_is_sent_once(void **state)
{
    Talk *t = *state;
    talk_open(t, true);
    Fake *fake = t->fakes[0];
    const FakeStep steps[] = {
        {.way = FAKE_CUT},
        {.way = FAKE_HANG},
        {.way = FAKE_TORN},
        {.status = 503, .body = "{\"error\":\"etcdserver: request timed out\",\"code\":14}"},
        {.status = 503, .body = "{\"error\":\"etcdserver: leader changed\",\"code\":14}"},
        {.status = 500, .body = "{\"error\":\"context deadline exceeded\",\"code\":4}"},
        {.status = 502, .body = "<html>Bad Gateway</html>"},
        {.status = 200, .body = "{\"header\""},
        {.status = 200, .body = "{}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        /* Whichever is asked gets it. */
        fake_push(fake, &fake->txn, steps[i]);
        fake_push(t->fakes[1], &t->fakes[1]->txn, steps[i]);
        int before = fake_seen(fake, &fake->txn) + fake_seen(t->fakes[1], &t->fakes[1]->txn);
        int64_t begin = time_mono_ms();
        assert_false(create(t));
        assert_code(t, ERR_UNSETTLED);
        assert_non_null(strstr(t->err.message, "not known"));
        assert_int_equal(fake_seen(fake, &fake->txn) + fake_seen(t->fakes[1], &t->fakes[1]->txn),
                         before + 1);
        assert_true(time_mono_ms() - begin < 20 * ANSWER_MS);
        /* The other one's step is taken out. */
        pthread_mutex_lock(&fake->lock);
        fake->txn.done = fake->txn.len = 0;
        pthread_mutex_unlock(&fake->lock);
        pthread_mutex_lock(&t->fakes[1]->lock);
        t->fakes[1]->txn.done = t->fakes[1]->txn.len = 0;
        pthread_mutex_unlock(&t->fakes[1]->lock);
        assert_true(create(t));
    }
}

static void test_what_has_not_run_is_tried_again(void **state)
{
    Talk *t = *state;
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    const char *refusals[] = {"etcdserver: no leader", "raft proposal dropped",
                              "etcdserver: too many requests"};
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        CLEANUP(mem_free_ptr) char *body = mem_printf("{\"error\":\"%s\"}", refusals[i]);
        int before = fake_seen(fake, &fake->txn);
        fake_push(fake, &fake->txn, (FakeStep){.status = 503, .body = body});
        fake_push(fake, &fake->txn, (FakeStep){.status = 503, .body = body});
        assert_true(create(t));
        assert_int_equal(fake_seen(fake, &fake->txn), before + 3);
    }
    /* For ever: the patience ends, and nothing has changed. */
    pthread_mutex_lock(&fake->lock);
    fake->txn.done = 0;
    fake->txn.len = FAKE_STEPS_MAX;
    for (int i = 0; i < FAKE_STEPS_MAX; i++) {
        fake->txn.steps[i] =
            (FakeStep){.status = 503, .body = "{\"error\":\"etcdserver: no leader\"}"};
    }
    pthread_mutex_unlock(&fake->lock);
    int64_t begin = time_mono_ms();
    assert_false(create(t)); /* a refusal each 100 ms: all of them last longer */
    assert_code(t, ERR_UNAVAILABLE);
    assert_true(time_mono_ms() - begin >= PATIENCE_MS);
}

static void test_refusals_that_are_final(void **state)
{
    Talk *t = *state;
    talk_open(t, true);
    Fake *fake = t->fakes[0];
    int before = fake_seen(fake, &fake->txn);
    fake_push(fake, &fake->txn,
              (FakeStep){.status = 429,
                         .body = "{\"error\":\"etcdserver: mvcc: database space exceeded\"}"});
    assert_false(create(t));
    assert_code(t, ERR_UNSETTLED); /* the one that fills it is made */
    assert_non_null(strstr(t->err.message, "quota"));
    assert_int_equal(fake_seen(fake, &fake->txn), before + 1);
    assert_int_equal(fake_seen(t->fakes[1], &t->fakes[1]->txn), 0);
}

/* It was sent nowhere: nothing has changed. */
static void test_what_nobody_took(void **state)
{
    Talk *t = *state;
    talk_open(t, false);
    fake_push(t->fakes[0], &t->fakes[0]->txn, (FakeStep){.way = FAKE_LAST});
    assert_true(create(t));
    fake_deafen(t->fakes[0]);
    assert_false(create(t));
    assert_code(t, ERR_UNAVAILABLE);
}

/* All are asked once more, and nobody waits until one is there. */
static void test_nobody_waits_for_who_ends(void **state)
{
    Talk *t = *state;
    const char *endpoints[] = {"http://127.94.255.254:1", t->fakes[1]->endpoint, NULL};
    StoreEtcdOptions etcd = {
        .endpoints = endpoints, .root = "/w/", .keep_history = true, .patience_ms = INT32_MAX};
    assert_true(store_open_etcd(&etcd, NULL, &t->store, &t->err));
    store_hurry(t->store);
    fake_push(t->fakes[1], &t->fakes[1]->txn, (FakeStep){.way = FAKE_LAST});
    assert_true(create(t));
    fake_deafen(t->fakes[1]);
    assert_false(create(t));
}

/* Nobody listens at the first: the change goes to the second, and later calls begin there. */
static void test_a_dead_endpoint_is_left(void **state)
{
    Talk *t = *state;
    const char *endpoints[] = {"http://127.94.255.254:1", t->fakes[1]->endpoint, NULL};
    StoreEtcdOptions etcd = {.endpoints = endpoints, .root = "/w/", .keep_history = true};
    assert_true(store_open_etcd(&etcd, NULL, &t->store, &t->err));
    assert_true(create(t));
    assert_int_equal(fake_seen(t->fakes[1], &t->fakes[1]->txn), 1);
}

static void test_a_silent_endpoint_is_left(void **state)
{
    Talk *t = *state;
    talk_open(t, true);
    Fake *fake = t->fakes[0];
    StoreItem item;
    fake_push(fake, &fake->range, (FakeStep){.way = FAKE_HANG});
    int64_t begin = time_mono_ms();
    assert_false(store_get(t->store, SLICE("a"), t->arena, &item, &t->err));
    assert_code(t, ERR_NOT_FOUND); /* the second one's answer */
    assert_true(time_mono_ms() - begin < 10 * ANSWER_MS);
    begin = time_mono_ms();
    assert_false(store_get(t->store, SLICE("a"), t->arena, &item, &t->err));
    assert_code(t, ERR_NOT_FOUND);
    assert_true(create(t));
    assert_int_equal(fake_seen(t->fakes[1], &t->fakes[1]->txn), 1);
}

/* ---- leases -----------------------------------------------------------------------------------
 */

#define NO_LEASE                                                                                   \
    (FakeStep)                                                                                     \
    {                                                                                              \
        .status = 404, .body = "{\"error\":\"etcdserver: requested lease not found\"}"             \
    }

/* Their id is ours, so that they may be sent twice; what no attempt settles is not settled. */
static void test_leases_are_sent_again(void **state)
{
    Talk *t = *state;
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    int64_t lease;
    fake_push(fake, &fake->range, (FakeStep){.way = FAKE_CUT});
    fake_push(
        fake, &fake->range,
        (FakeStep){.status = 412, .body = "{\"error\":\"etcdserver: lease already exists\"}"});
    assert_true(store_lease_grant(t->store, 60000, &lease, &t->err));
    fake_push(fake, &fake->range, (FakeStep){.way = FAKE_CUT});
    fake_push(fake, &fake->range, NO_LEASE);
    assert_true(store_lease_revoke(t->store, lease, &t->err));
    fake_push(fake, &fake->range, (FakeStep){0});
    assert_true(store_lease_grant(t->store, 60000, &lease, &t->err));
    fake_push(fake, &fake->range, NO_LEASE);
    assert_false(store_lease_revoke(t->store, lease, &t->err)); /* etcd had ended it */
    assert_code(t, ERR_NOT_FOUND);
    assert_true(store_lease_grant(t->store, 60000, &lease, &t->err));
    pthread_mutex_lock(&fake->lock);
    fake->range.done = 0;
    fake->range.len = FAKE_STEPS_MAX;
    for (int i = 0; i < FAKE_STEPS_MAX; i++) {
        fake->range.steps[i] = (FakeStep){.way = FAKE_CUT};
    }
    pthread_mutex_unlock(&fake->lock);
    assert_false(store_lease_revoke(t->store, lease, &t->err));
    assert_code(t, ERR_UNSETTLED);
}

/* ---- what is not believed ---------------------------------------------------------------------
 */

static void test_another_cluster_gets_no_change(void **state)
{
    Talk *t = *state;
    t->fakes[1]->cluster_id = "2";
    talk_open(t, true);
    fake_push(t->fakes[0], &t->fakes[0]->txn,
              (FakeStep){.status = 503, .body = "{\"error\":\"etcdserver: no leader\"}"});
    assert_true(create(t)); /* by way of the second, which is asked, and back */
    assert_int_equal(fake_seen(t->fakes[1], &t->fakes[1]->txn), 0);
    assert_true(fake_seen(t->fakes[1], &t->fakes[1]->probe) > 0);
    assert_int_equal(fake_seen(t->fakes[0], &t->fakes[0]->txn), 2);
}

static void test_an_etcd_that_forgot(void **state)
{
    Talk *t = *state;
    talk_open(t, false);
    StoreItem item;
    StoreChange change;
    StoreWatch *watch = watch_all(t, 10);
    assert_int_equal(store_watch_next(watch, t->arena, &change), STORE_WATCH_NOTHING);
    t->fakes[0]->revision = 9;
    assert_false(store_get(t->store, SLICE("a"), t->arena, &item, &t->err));
    assert_code(t, ERR_CONFLICT);
    int before = fake_seen(t->fakes[0], &t->fakes[0]->txn);
    t->fakes[0]->revision = 99;
    assert_false(create(t));
    assert_code(t, ERR_CONFLICT);
    assert_int_equal(fake_seen(t->fakes[0], &t->fakes[0]->txn), before);
    assert_true(store_watch_wait(watch, LATER_MS)); /* who reads again will hear why */
    assert_int_equal(store_watch_next(watch, t->arena, &change), STORE_WATCH_RESYNC);
}

/* ---- ranges -----------------------------------------------------------------------------------
 */

#define KV(key, revision)                                                                          \
    "{\"key\":\"" key "\",\"mod_revision\":\"" revision "\",\"create_revision\":\"" revision "\"}"

static void test_a_range_in_pages(void **state)
{
    Talk *t = *state;
    t->answer_ms = 20000; /* for more than 64 MiB */
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    (void)fake_watch_wait(fake, 1);
    StoreRange range;
    const char *first = "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"12\"},\"kvs\":[" KV(
        "L3cvYQ==", "3") "],\"more\":true}";
    const char *second =
        "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"13\"},\"kvs\":[" KV("L3cvYg==", "4") "]}";
    fake_push(fake, &fake->range, (FakeStep){.way = FAKE_HUGE});
    fake_push(fake, &fake->range, (FakeStep){.body = first});
    fake_push(fake, &fake->range, (FakeStep){.body = second});
    if (!store_range(t->store, SLICE(""), SLICE(""), 600, t->arena, &range, &t->err)) {
        fail_msg("%s", t->err.message);
    }
    assert_int_equal(range.len, 2);
    assert_slice(range.items[0].key, "a");
    assert_slice(range.items[1].key, "b");
    assert_int_equal(range.revision, 12);
    assert_false(range.more);
    assert_int_equal(fake_seen(fake, &fake->range), 3);
    /* Behind "/w/a", as it was at 12, with half the limit. */
    assert_string_equal(fake->range.last_body, "{\"key\":\"L3cvYQA=\",\"range_end\":\"L3cw\","
                                               "\"limit\":\"256\",\"revision\":\"12\"}");

    /* Compacted between two pages: all of it again. */
    fake->revision = 13;
    fake_push(fake, &fake->range, (FakeStep){.body = second});
    fake->range.steps[3].body = "{\"header\":{\"cluster_id\":\"1\",\"revision\":\"13\"},"
                                "\"kvs\":[" KV("L3cvYQ==", "3") "],\"more\":true}";
    fake_push(fake, &fake->range,
              (FakeStep){.status = 400,
                         .body = "{\"error\":\"etcdserver: mvcc: required revision has been "
                                 "compacted\"}"});
    fake_push(fake, &fake->range, (FakeStep){.body = second});
    assert_true(store_range(t->store, SLICE(""), SLICE(""), 600, t->arena, &range, &t->err));
    assert_int_equal(range.len, 1);
    assert_slice(range.items[0].key, "b");
    assert_int_equal(range.revision, 13);
}

/* ---- watching ---------------------------------------------------------------------------------
 */

#define EVENT(key, revision) "{\"kv\":" KV(key, revision) "}"
#define EVENTS(more, list)                                                                         \
    "{\"result\":{\"header\":{\"cluster_id\":\"1\",\"revision\":\"9\"}," more "\"events\":[" list  \
    "]}}"
#define A "L3cvYQ=="
#define B "L3cvYg=="

static void assert_told(Talk *t, StoreWatch *watch, const char *key, int64_t revision)
{
    StoreChange change;
    assert_true(store_watch_wait(watch, LATER_MS));
    assert_int_equal(store_watch_next(watch, t->arena, &change), STORE_WATCH_CHANGE);
    assert_slice(change.item.key, key);
    assert_int_equal(change.item.mod_revision, revision);
}

static void assert_quiet(StoreWatch *watch)
{
    assert_false(store_watch_wait(watch, 100));
}

static void test_fragments_and_cuts(void **state)
{
    Talk *t = *state;
    t->answer_ms = LATER_MS; /* the fake has more than it tells of: that is no silence here */
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    assert_int_equal(fake_watch_wait(fake, 1), 11);
    StoreWatch *watch = watch_all(t, 10);
    fake->revision = 30;
    fake_say(fake, EVENTS("\"fragment\":true,", EVENT(A, "11") "," EVENT(A, "12")));
    assert_told(t, watch, "a", 11);
    assert_quiet(watch); /* 12 may not be whole */
    fake_watch_cut(fake);
    assert_int_equal(fake_watch_wait(fake, 2), 12);
    /* It comes again, and more than was asked for. */
    fake_say(fake, EVENTS("\"fragment\":true,", EVENT(A, "11") "," EVENT(A, "12")));
    fake_say(fake, EVENTS("\"fragment\":true,", EVENT(B, "12")));
    assert_quiet(watch);
    fake_say(fake, EVENTS("", EVENT(B, "13")));
    assert_told(t, watch, "a", 12);
    assert_told(t, watch, "b", 12);
    assert_told(t, watch, "b", 13);
    assert_quiet(watch);
    fake_watch_cut(fake);
    assert_int_equal(fake_watch_wait(fake, 3), 14);
}

static void test_progress_and_disorder(void **state)
{
    Talk *t = *state;
    t->answer_ms = LATER_MS; /* the fake has more than it tells of: that is no silence here */
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    (void)fake_watch_wait(fake, 1);
    StoreWatch *watch = watch_all(t, 10);
    fake->revision = 30;
    fake_say(fake, "{\"result\":{\"header\":{\"cluster_id\":\"1\",\"revision\":\"20\"}}}");
    fake_say(fake, EVENTS("", EVENT(A, "21")));
    assert_told(t, watch, "a", 21);
    fake_say(fake, "{\"result\":{\"header\":{\"cluster_id\":\"1\",\"revision\":\"25\"}}}");
    fake_watch_cut(fake);
    assert_int_equal(fake_watch_wait(fake, 2), 26); /* nothing below the root until 25 */
    /* What makes no sense ends the stream; the next one begins where the last one was whole. */
    fake_say(fake, EVENTS("\"fragment\":true,", EVENT(A, "28") "," EVENT(A, "27")));
    assert_int_equal(fake_watch_wait(fake, 3), 26);
    fake_say(fake, "garbage");
    assert_int_equal(fake_watch_wait(fake, 4), 26);
    fake_say(fake, "{\"error\":{\"message\":\"etcdserver: no leader\"}}");
    assert_int_equal(fake_watch_wait(fake, 5), 26);
    fake_say(fake, EVENTS("\"fragment\":true,", EVENT(A, "26")));
    fake_say(fake, "{\"result\":{\"header\":{\"cluster_id\":\"1\",\"revision\":\"29\"}}}");
    assert_int_equal(fake_watch_wait(fake, 6), 26); /* it was not whole */
    fake_say(fake, EVENTS("", EVENT(A, "26")));
    assert_told(t, watch, "a", 26);
    assert_quiet(watch);
}

static void test_compacted_away(void **state)
{
    Talk *t = *state;
    t->answer_ms = LATER_MS; /* the fake has more than it tells of: that is no silence here */
    talk_open(t, false);
    Fake *fake = t->fakes[0];
    (void)fake_watch_wait(fake, 1);
    StoreWatch *watch = watch_all(t, 10);
    StoreChange change;
    fake->revision = 50;
    fake_say(fake, "{\"result\":{\"header\":{\"cluster_id\":\"1\"},\"canceled\":true,"
                   "\"compact_revision\":\"40\"}}");
    assert_int_equal(fake_watch_wait(fake, 2), 51);
    assert_true(store_watch_wait(watch, LATER_MS));
    assert_int_equal(store_watch_next(watch, t->arena, &change), STORE_WATCH_RESYNC);
    assert_int_equal(store_watch_next(watch, t->arena, &change), STORE_WATCH_NOTHING);
    fake_say(fake, EVENTS("", EVENT(A, "51")));
    assert_told(t, watch, "a", 51);
    store_watch_close(watch);
    watch = watch_all(t, 45);
    assert_int_equal(store_watch_next(watch, t->arena, &change), STORE_WATCH_RESYNC);
}

/* The member answers questions and says nothing of changes: it is left. So is one that stands
 * still. */
static void test_a_watch_that_is_silent(void **state)
{
    Talk *t = *state;
    talk_open(t, true);
    (void)fake_watch_wait(t->fakes[0], 1);
    assert_true(create(t)); /* revision 11, of which the stream does not tell */
    StoreWatch *watch = watch_all(t, 10);
    assert_int_equal(fake_watch_wait(t->fakes[1], 1), 11);
    fake_say(t->fakes[1], EVENTS("", EVENT(A, "11")));
    assert_told(t, watch, "a", 11);
    fake_push(t->fakes[1], &t->fakes[1]->probe, (FakeStep){.way = FAKE_HANG});
    assert_int_equal(fake_watch_wait(t->fakes[0], 2), 12);
}

/* Each period everything goes that was told before the last one. */
static void test_compaction(void **state)
{
    Talk *t = *state;
    const char *endpoints[] = {t->fakes[0]->endpoint, NULL};
    StoreEtcdOptions etcd = {.endpoints = endpoints, .root = "/w/", .compact_ms = 1};
    assert_true(store_open_etcd(&etcd, NULL, &t->store, &t->err));
    Fake *fake = t->fakes[0];
    int64_t end = time_mono_ms() + LATER_MS;
    while (fake_seen(fake, &fake->compaction) == 0 && time_mono_ms() < end) {
        struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    pthread_mutex_lock(&fake->lock);
    const char *body = fake->compaction.last_body;
    bool right = body != NULL && strcmp(body, "{\"revision\":\"10\"}") == 0;
    pthread_mutex_unlock(&fake->lock);
    assert_true(right);
}

/* ---- options ----------------------------------------------------------------------------------
 */

static void assert_refused(const char *endpoint, const char *root, const char *cert, ErrCode code,
                           const char *said)
{
    Err err;
    Store *store;
    const char *endpoints[] = {endpoint, NULL};
    StoreEtcdOptions etcd = {.endpoints = endpoints, .root = root, .cert = cert};
    assert_false(store_open_etcd(&etcd, NULL, &store, &err));
    assert_int_equal(err.code, code);
    if (strstr(err.message, said) == NULL) {
        fail_msg("%s", err.message);
    }
}

static void test_options(void **state)
{
    (void)state;
    assert_refused(NULL, "/w/", NULL, ERR_INVALID, "no endpoint");
    assert_refused("http://10.0.0.1:2379", "/w/", NULL, ERR_INVALID, "not encrypted");
    assert_refused("http://127.0.0.1.example.com:2379", "/w/", NULL, ERR_INVALID, "not encrypted");
    assert_refused("ftp://127.0.0.1", "/w/", NULL, ERR_INVALID, "https://HOST:PORT");
    assert_refused("https://h:1/path", "/w/", NULL, ERR_INVALID, "https://HOST:PORT");
    assert_refused("https://u:p@h:1", "/w/", NULL, ERR_INVALID, "https://HOST:PORT");
    assert_refused("https://h:1", "/w", NULL, ERR_INVALID, "ends with a slash");
    assert_refused("https://h:1", "/w x/", NULL, ERR_INVALID, "printable");
    assert_refused("https://h:1", "/", NULL, ERR_INVALID, "2 to 128");
    assert_refused("https://h:1", NULL, NULL, ERR_INVALID, "2 to 128");
    assert_refused("https://h:1", "/w/", "/nonexistent", ERR_NOT_FOUND, "/nonexistent");
    assert_refused("https://h:1", "/w/", "/dev/null", ERR_INVALID, "needs its key");
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_a_kept_connection_that_dies),
        WITH(test_what_may_have_run_is_sent_once),
        WITH(test_what_has_not_run_is_tried_again),
        WITH(test_refusals_that_are_final),
        WITH(test_what_nobody_took),
        WITH(test_nobody_waits_for_who_ends),
        WITH(test_a_dead_endpoint_is_left),
        WITH(test_a_silent_endpoint_is_left),
        WITH(test_leases_are_sent_again),
        WITH(test_another_cluster_gets_no_change),
        WITH(test_an_etcd_that_forgot),
        WITH(test_a_range_in_pages),
        WITH(test_fragments_and_cuts),
        WITH(test_progress_and_disorder),
        WITH(test_compacted_away),
        WITH(test_a_watch_that_is_silent),
        WITH(test_compaction),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests_name("etcd's outcomes", tests, NULL, NULL);
}
