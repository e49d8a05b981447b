/* Whether a call is tried again. */
#include "../unit.h"
#include "client/client_priv.h"

#define PATIENCE_MS 3000

static int64_t wait_of(Attempt attempt)
{
    return attempt_wait_ms(&attempt, PATIENCE_MS);
}

static void test_refused_until_patience_ends(void **state)
{
    (void)state;
    int64_t now_ms = 0;
    int attempts = 1;
    for (;; attempts++) {
        int64_t wait_ms = wait_of(
            (Attempt){.outcome = OUTCOME_REFUSED, .number = attempts, .elapsed_ms = now_ms});
        if (wait_ms < 0) {
            break;
        }
        assert_in_range(wait_ms, 1, 500);
        now_ms += wait_ms;
    }
    assert_int_equal(now_ms, PATIENCE_MS);
    assert_in_range(attempts, 5, 20);
    Attempt once = {.outcome = OUTCOME_REFUSED, .number = 1};
    assert_int_equal(attempt_wait_ms(&once, 0), -1);
}

static void test_throttled_also_for_changes(void **state)
{
    (void)state;
    int64_t last_ms = 0;
    for (int number = 1; number < ATTEMPTS_MAX; number++) {
        int64_t wait_ms = wait_of((Attempt){
            .outcome = OUTCOME_REPLY, .status = 400, .throttled = true, .number = number});
        assert_true(wait_ms >= last_ms && wait_ms <= 2000);
        last_ms = wait_ms;
    }
    assert_int_equal(last_ms, 2000);
    assert_int_equal(
        wait_of((Attempt){
            .outcome = OUTCOME_REPLY, .status = 400, .throttled = true, .number = ATTEMPTS_MAX}),
        -1);
}

static void test_what_may_have_been_done(void **state)
{
    (void)state;
    static const struct {
        Attempt attempt;
        bool again;
    } cases[] = {
        {{.outcome = OUTCOME_LOST, .reads_only = true, .number = 1}, true},
        {{.outcome = OUTCOME_LOST, .reads_only = false, .number = 1}, false},
        {{.outcome = OUTCOME_LOST, .reads_only = true, .number = ATTEMPTS_MAX}, false},
        {{.outcome = OUTCOME_LOST, .reads_only = true, .number = 1, .elapsed_ms = 10000}, false},
        {{.outcome = OUTCOME_REPLY, .status = 500, .reads_only = true, .number = 1}, true},
        {{.outcome = OUTCOME_REPLY, .status = 500, .reads_only = false, .number = 1}, false},
        {{.outcome = OUTCOME_REPLY, .status = 400, .reads_only = true, .number = 1}, false},
        {{.outcome = OUTCOME_REPLY, .status = 404, .reads_only = true, .number = 1}, false},
        {{.outcome = OUTCOME_FAILED, .reads_only = true, .number = 1}, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(wait_of(cases[i].attempt) >= 0, cases[i].again);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused_until_patience_ends),
        cmocka_unit_test(test_throttled_also_for_changes),
        cmocka_unit_test(test_what_may_have_been_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
