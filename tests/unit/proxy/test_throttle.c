/* How answers to failed logins are held back, and which of two passwords a server is tried with. */
#include "../unit.h"

#include "proxy/client/throttle_priv.h"
#include "proxy/server/trial_priv.h"

#define START_MS 1000000

static NetAddr addr_of(const char *text)
{
    NetAddr addr;
    Err err;
    assert_true(net_addr_parse(text, 4711, &addr, &err));
    return addr;
}

static int64_t fail_times(Throttle *throttle, const char *peer, int times)
{
    NetAddr addr = addr_of(peer);
    int64_t delay_ms = 0;
    for (int i = 0; i < times; i++) {
        delay_ms = throttle_failed(throttle, &addr, 1, START_MS);
    }
    return delay_ms;
}

static void test_delays_grow(void **state)
{
    (void)state;
    Throttle *throttle = throttle_new();
    assert_int_equal(fail_times(throttle, "10.0.0.1", AUTH_FREE_FAILURES), 0);
    int64_t expected_ms = AUTH_DELAY_MIN_MS;
    for (int i = 0; i < 30; i++) {
        assert_int_equal(fail_times(throttle, "10.0.0.1", 1), expected_ms);
        expected_ms = expected_ms * 2 < AUTH_DELAY_MAX_MS ? expected_ms * 2 : AUTH_DELAY_MAX_MS;
    }
    assert_int_equal(fail_times(throttle, "10.0.0.2", 1), 0);
    throttle_free(throttle);
    throttle_free(NULL);
}

static void test_forgiven(void **state)
{
    (void)state;
    Throttle *throttle = throttle_new();
    NetAddr addr = addr_of("10.0.0.1");
    fail_times(throttle, "10.0.0.1", 100);
    /* As many failures as count, of which one is forgiven each time, and one is added. */
    int64_t now_ms = START_MS + (AUTH_FAILURES_MAX - AUTH_FREE_FAILURES) * AUTH_FORGIVE_MS;
    assert_int_equal(throttle_failed(throttle, &addr, 1, now_ms), AUTH_DELAY_MIN_MS);
    assert_int_equal(throttle_failed(throttle, &addr, 1, now_ms + AUTH_FORGIVE_MS - 1),
                     2 * AUTH_DELAY_MIN_MS);
    assert_int_equal(throttle_failed(throttle, &addr, 1, now_ms + 3 * AUTH_FORGIVE_MS), 0);
    now_ms += 1000 * (int64_t)AUTH_FORGIVE_MS;
    assert_int_equal(throttle_failed(throttle, &addr, 1, now_ms), 0);
    throttle_free(throttle);
}

static void test_sources(void **state)
{
    (void)state;
    const char *const same[][2] = {
        {"10.0.0.1", "::ffff:10.0.0.1"}, {"2001:db8::1", "2001:db8::ffff:1"}, {"/tmp/a", "/tmp/b"}};
    const char *const other[][2] = {
        {"10.0.0.1", "10.0.0.2"}, {"2001:db8::1", "2001:db8:0:1::1"}, {"10.0.0.1", "a00:1::"}};
    for (size_t i = 0; i < ARRAY_LEN(same); i++) {
        Throttle *throttle = throttle_new();
        fail_times(throttle, same[i][0], AUTH_FREE_FAILURES);
        assert_int_equal(fail_times(throttle, same[i][1], 1), AUTH_DELAY_MIN_MS);
        throttle_free(throttle);
    }
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        Throttle *throttle = throttle_new();
        fail_times(throttle, other[i][0], AUTH_FREE_FAILURES);
        assert_int_equal(fail_times(throttle, other[i][1], 1), 0);
        throttle_free(throttle);
    }
}

/* Answers on their way: the role's and the source's limits, and that they come to their end. */
static void test_answers_on_their_way(void **state)
{
    (void)state;
    Throttle *throttle = throttle_new();
    NetAddr addr = addr_of("10.0.0.1");
    NetAddr other = addr_of("10.0.0.2");
    fail_times(throttle, "10.0.0.1", AUTH_FAILURES_MAX);
    int64_t now_ms = START_MS + AUTH_DELAY_MAX_MS;
    for (uint32_t role = 0; role < AUTH_SOURCE_ANSWERS_MAX / AUTH_ROLE_ANSWERS_MAX; role++) {
        for (int i = 0; i < AUTH_ROLE_ANSWERS_MAX; i++) {
            assert_true(throttle_admits(throttle, &addr, role, now_ms));
            assert_int_equal(throttle_failed(throttle, &addr, role, now_ms), AUTH_DELAY_MAX_MS);
        }
        assert_false(throttle_admits(throttle, &addr, role, now_ms));
        assert_false(throttle_admits(throttle, &addr, role, now_ms + AUTH_DELAY_MAX_MS - 1));
        assert_true(throttle_admits(throttle, &addr, role, now_ms + AUTH_DELAY_MAX_MS));
    }
    assert_false(throttle_admits(throttle, &addr, 999, now_ms));
    assert_true(throttle_admits(throttle, &other, 0, now_ms));
    throttle_free(throttle);
}

static void test_memory_is_bounded(void **state)
{
    (void)state;
    Throttle *throttle = throttle_new();
    fail_times(throttle, "10.0.0.1", AUTH_FREE_FAILURES);
    fail_times(throttle, "10.0.0.2", AUTH_FREE_FAILURES);
    fail_times(throttle, "10.0.0.1", 1); /* now the other one's failure is longer ago */
    for (int i = 0; i < AUTH_SOURCES_MAX - 1; i++) {
        CLEANUP(mem_free_ptr) char *peer = mem_printf("10.1.%d.%d", i / 256, i % 256);
        fail_times(throttle, peer, 1);
    }
    assert_int_equal(throttle_source_count(throttle), AUTH_SOURCES_MAX);
    assert_int_equal(fail_times(throttle, "10.0.0.1", 1), 2 * AUTH_DELAY_MIN_MS);
    assert_int_equal(fail_times(throttle, "10.0.0.2", 1), 0);
    assert_int_equal(throttle_source_count(throttle), AUTH_SOURCES_MAX);
    throttle_free(throttle);
}

static void test_trial(void **state)
{
    (void)state;
    Trial trial = {0};
    assert_false(trial_refused(&trial, false, false)); /* there is no other */
    assert_true(trial_refused(&trial, false, true));
    assert_true(trial.previous);
    assert_true(trial_refused(&trial, false, true)); /* began before that was known */
    assert_true(trial.previous);
    trial_accepted(&trial, true);
    assert_true(trial.previous);
    assert_true(trial_refused(&trial, true, true)); /* PostgreSQL has the new one by now */
    assert_false(trial.previous);
    assert_false(trial_refused(&trial, false, true)); /* neither */
    assert_false(trial.previous);
    assert_true(trial_refused(&trial, false, true)); /* from the start */
    assert_false(trial_refused(&trial, true, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delays_grow),       cmocka_unit_test(test_forgiven),
        cmocka_unit_test(test_sources),           cmocka_unit_test(test_answers_on_their_way),
        cmocka_unit_test(test_memory_is_bounded), cmocka_unit_test(test_trial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
