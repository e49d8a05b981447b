/* Which replica, and how far behind it is. */
#include "../unit.h"

#include "proxy/split/choice_priv.h"

static void test_classes(void **state)
{
    (void)state;
    assert_int_equal(choice_lag_class(0), 0);
    assert_int_equal(choice_lag_class(100), 0);
    assert_int_equal(choice_lag_class(101), 1);
    assert_int_equal(choice_lag_class(1000), 1);
    assert_int_equal(choice_lag_class(1001), 2);
    assert_true(choice_lag_class(-1) > choice_lag_class(INT64_MAX / 100));
}

static void test_choice(void **state)
{
    (void)state;
    ChoiceReplica replicas[] = {
        {.usable = false, .lag_ms = 0, .busy = 0, .capacity = 10},
        {.usable = true, .lag_ms = 90, .busy = 5, .capacity = 10},
        {.usable = true, .lag_ms = 3, .busy = 6, .capacity = 10},
        {.usable = true, .lag_ms = 400, .busy = 0, .capacity = 10},
        {.usable = true, .lag_ms = -1, .busy = 0, .capacity = 10},
    };
    /* Milliseconds do not count, and what is a class behind does, however idle it is. */
    assert_int_equal(choice_replica(replicas, 5, 0), 1);
    replicas[2].busy = 4;
    assert_int_equal(choice_replica(replicas, 5, 0), 2);
    replicas[1].capacity = 100; /* 5 of 100 is less than 4 of 10 */
    assert_int_equal(choice_replica(replicas, 5, 0), 1);
    /* Where others have everything, it would wait for them: rather one that is behind. */
    replicas[1].full = replicas[2].full = replicas[4].full = true;
    assert_int_equal(choice_replica(replicas, 5, 0), 3);
    replicas[3].full = true;
    assert_int_equal(choice_replica(replicas, 5, 0), 1);
    replicas[3].full = replicas[4].full = false;
    replicas[1].usable = replicas[2].usable = false;
    assert_int_equal(choice_replica(replicas, 5, 0), 3);
    replicas[3].usable = false;
    assert_int_equal(choice_replica(replicas, 5, 0), 4);
    replicas[4].usable = false;
    assert_int_equal(choice_replica(replicas, 5, 0), CHOICE_NONE);
    assert_int_equal(choice_replica(replicas, 0, 0), CHOICE_NONE);
}

static void test_equal_ones_take_turns(void **state)
{
    (void)state;
    ChoiceReplica replicas[3];
    size_t counts[3] = {0};
    size_t turn = 0;
    for (size_t i = 0; i < 3; i++) {
        replicas[i] = (ChoiceReplica){.usable = true, .busy = 2, .capacity = 10};
    }
    for (size_t i = 0; i < 30; i++) {
        size_t chosen = choice_replica(replicas, 3, turn);
        counts[chosen]++;
        turn = chosen + 1;
    }
    assert_true(counts[0] == 10 && counts[1] == 10 && counts[2] == 10);
}

static void test_lag(void **state)
{
    (void)state;
    LagHistory *history = mem_alloc(sizeof(LagHistory));
    assert_int_equal(lag_history_behind(history, 100, 5000), -1);
    lag_history_add(history, 100, 1000, 0);
    assert_int_equal(lag_history_behind(history, 100, 9000), 0);
    assert_int_equal(lag_history_behind(history, 99, 9000), 8000);
    /* An idle primary: the time since the last insert does not count. */
    lag_history_add(history, 100, 60000, 0);
    assert_int_equal(lag_history_behind(history, 100, 60000), 0);
    lag_history_add(history, 200, 60500, 0);
    assert_int_equal(lag_history_behind(history, 199, 61000), 500);
    assert_int_equal(lag_history_behind(history, 200, 61000), 0);
    /* Another primary. */
    lag_history_add(history, 50, 70000, 0);
    assert_int_equal(lag_history_behind(history, 50, 70000), 0);
    mem_free(history);
}

/* More marks than there is room for: exact to the distance of marks, as far as they go. */
static void test_long_lag(void **state)
{
    (void)state;
    LagHistory *history = mem_alloc(sizeof(LagHistory));
    for (int64_t i = 1; i <= 100000; i++) {
        lag_history_add(history, (uint64_t)i, i * 10, 100);
    }
    for (uint64_t replayed = 1; replayed <= 100000; replayed += 33) {
        int64_t real = replayed == 100000 ? 0 : 1000000 - (int64_t)(replayed + 1) * 10;
        int64_t told = lag_history_behind(history, replayed, 1000000);
        int64_t most = 100 * LAG_HISTORY_MAX;
        assert_true(told <= real && (told >= real - 100 || told >= most - 200));
    }
    mem_free(history);
}

static void test_positions(void **state)
{
    (void)state;
    /* Behind a page's header, short or that of a segment, is the end of the page before. */
    assert_int_equal(lag_position_of_insert(0x3000028), 0x3000000);
    assert_int_equal(lag_position_of_insert(0x3002018), 0x3002000);
    assert_int_equal(lag_position_of_insert(0x3002000), 0x3002000);
    assert_int_equal(lag_position_of_insert(0x3002020), 0x3002020);
    assert_int_equal(lag_position_of_insert(0x30020a0), 0x30020a0);
}

static void test_floors(void **state)
{
    (void)state;
    const ReadFloor none = {0};
    const ReadFloor own = {.position = 500, .timeline = 2};
    const ReadFloor token = {.position = 500, .timeline = 2, .later = true, .system = 7};
    assert_true(floor_is_reached(NULL, 0, 0, 0));
    assert_true(floor_is_reached(&none, 0, 0, 0));
    assert_true(floor_is_reached(&own, 7, 2, 500));
    assert_false(floor_is_reached(&own, 7, 2, 499));
    assert_false(floor_is_reached(&own, 7, 1, 900)); /* another history, on either side */
    assert_false(floor_is_reached(&own, 7, 3, 900));
    assert_true(floor_is_reached(&token, 7, 2, 500));
    assert_true(floor_is_reached(&token, 7, 3, 500)); /* which goes on from it */
    assert_false(floor_is_reached(&token, 7, 2, 499));
    assert_false(floor_is_reached(&token, 7, 3, 499));
    assert_false(floor_is_reached(&token, 7, 1, 900));
    assert_false(floor_is_reached(&token, 8, 2, 900)); /* another cluster */
    assert_false(floor_is_reached(&token, 0, 0, 900)); /* nothing is known of it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_equal_ones_take_turns),
        cmocka_unit_test(test_lag),
        cmocka_unit_test(test_long_lag),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_floors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
