/* What a replica must have before it counts in a durable group. */
#include "../unit.h"

#include "agent/redis/redis_node_priv.h"

static void test_what_was_there_when_its_leader_was_bound(void **state)
{
    (void)state;
    RedisLink link = {.target = -1};
    RedisReplica replica = {.online = true, .offset = 90};
    assert_false(
        redis_link_caught(&link, &replica, false, 100)); /* acknowledged alone until here */
    replica.offset = 100;
    assert_false(redis_link_caught(&link, &replica, false, 100));
    replica.offset = 109;
    assert_false(redis_link_caught(&link, &replica, true, 110));
    assert_false(redis_link_caught(&link, &replica, true, 200));
    replica.offset = 110;
    assert_true(redis_link_caught(&link, &replica, true, 300)); /* what came later waited for it */
}

static void test_it_begins_anew(void **state)
{
    (void)state;
    RedisLink link = {.target = -1};
    RedisReplica replica = {.online = true, .offset = 100};
    assert_true(redis_link_caught(&link, &replica, true, 100));
    assert_false(redis_link_caught(&link, NULL, true, 150)); /* it was away */
    assert_false(redis_link_caught(&link, &replica, true, 200));
    replica.offset = 200;
    assert_true(redis_link_caught(&link, &replica, true, 250));
    assert_false(redis_link_caught(&link, &replica, false, 250)); /* its leader was alone again */
    assert_false(redis_link_caught(&link, &replica, true, 300));
}

static void test_what_a_folder_holds(void **state)
{
    (void)state;
    GroupView view = {.state = HA_STATE_FOLLOWING, .history = "h1", .whole = true};
    assert_false(redis_is_to_note(&view, HA_DATA_NEW)); /* the leader has not said its own */
    memcpy(view.record.history, "h1", 3);
    assert_true(redis_is_to_note(&view, HA_DATA_NEW));
    assert_false(redis_is_to_note(&view, HA_DATA_COPY));
    view.whole = false; /* a start would load what was there before */
    assert_false(redis_is_to_note(&view, HA_DATA_NEW));
    view.whole = true;
    memcpy(view.record.history, "h2", 3);
    assert_false(redis_is_to_note(&view, HA_DATA_NEW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_there_when_its_leader_was_bound),
        cmocka_unit_test(test_it_begins_anew),
        cmocka_unit_test(test_what_a_folder_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
