/* Counters that all threads share, and who waits for them. */
#include <pthread.h>

#include "../unit.h"

#include "proxy/pool/quota_priv.h"

#define THREADS 4
#define TURNS   20000
#define LIMIT   3

static void test_take_and_give(void **state)
{
    (void)state;
    atomic_uint count = 0;
    assert_true(quota_take(&count, 2));
    assert_true(quota_take(&count, 2));
    assert_false(quota_take(&count, 2));
    assert_false(quota_take(&count, 1)); /* the limit was lowered */
    assert_true(quota_take(&count, 3));  /* and raised */
    assert_true(quota_take(&count, 0));  /* and taken away: it still counts */
    assert_int_equal(atomic_load(&count), 4);
    quota_give(&count);
    quota_give(&count);
    assert_false(quota_take(&count, 2));
    quota_give(&count);
    assert_true(quota_take(&count, 2));
}

typedef struct Crowd {
    atomic_uint count, most;
} Crowd;

static void *crowd_run(void *user)
{
    Crowd *crowd = user;
    for (int i = 0; i < TURNS; i++) {
        if (!quota_take(&crowd->count, LIMIT)) {
            continue;
        }
        unsigned now = atomic_load(&crowd->count);
        unsigned most = atomic_load(&crowd->most);
        while (now > most && !atomic_compare_exchange_weak(&crowd->most, &most, now)) {
        }
        quota_give(&crowd->count);
    }
    return NULL;
}

static void test_never_above_the_limit(void **state)
{
    (void)state;
    Crowd crowd = {0};
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, crowd_run, &crowd), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&crowd.count), 0);
    assert_in_range(atomic_load(&crowd.most), 1, LIMIT);
}

static void test_by_name(void **state)
{
    (void)state;
    Quotas quotas;
    quotas_init(&quotas);
    Quota *user = quotas_get(&quotas, QUOTA_USER, SLICE("a"));
    Quota *again = quotas_get(&quotas, QUOTA_USER, SLICE("a"));
    Quota *database = quotas_get(&quotas, QUOTA_DATABASE, SLICE("a"));
    assert_ptr_equal(user, again);
    assert_ptr_not_equal(user, database);
    assert_string_equal(database->name, "a");
    quota_unref(user);
    assert_true(quota_take(&again->clients, 1));
    user = quotas_get(&quotas, QUOTA_USER, SLICE("a"));
    assert_false(quota_take(&user->clients, 1)); /* it is remembered as long as somebody has it */
    quota_give(&user->clients);
    quota_unref(user);
    quota_unref(again);
    quota_unref(database);
    quotas_done(&quotas); /* asserts that nothing is left */
}

static void test_full(void **state)
{
    (void)state;
    Quota quota = {.servers = 2};
    assert_false(quota_is_full(&quota, 0));
    assert_false(quota_is_full(&quota, 3));
    assert_true(quota_is_full(&quota, 2));
    assert_true(quota_stays_full(&quota, 2));
    assert_false(quota_is_over(&quota, 2));
    assert_true(quota_is_over(&quota, 1));
    assert_false(quota_is_over(&quota, 0));
    quota.leaving = 1; /* its place is taken until it is gone, but nobody else need go */
    assert_true(quota_is_full(&quota, 2));
    assert_false(quota_stays_full(&quota, 2));
    assert_false(quota_is_over(&quota, 1));
    quota.servers = 0; /* seen between the two counters */
    assert_false(quota_stays_full(&quota, 1));
}

static void test_who_waits_longest(void **state)
{
    (void)state;
    Quota quota = {0};
    uint32_t worker = 99;
    assert_int_equal(quota_oldest_wait(&quota, PROXY_WORKERS_MAX, &worker), 0);
    assert_int_equal(worker, 99);
    quota.sides[0].oldest_wait_ms = 500;
    quota.sides[2].oldest_wait_ms = 300;
    quota.sides[PROXY_WORKERS_MAX - 1].oldest_wait_ms = 400;
    assert_int_equal(quota_oldest_wait(&quota, PROXY_WORKERS_MAX, &worker), 300);
    assert_int_equal(worker, 2);
    assert_int_equal(quota_oldest_wait(&quota, 2, &worker), 400);
    assert_int_equal(worker, PROXY_WORKERS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_take_and_give),     cmocka_unit_test(test_never_above_the_limit),
        cmocka_unit_test(test_by_name),           cmocka_unit_test(test_full),
        cmocka_unit_test(test_who_waits_longest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
