/* Whose words prove that a Redis leads still, and since when. */
#include "../unit.h"

#include "agent/fence_priv.h"

#define A "10.1.128.1"
#define B "10.2.128.1"

typedef struct Leader {
    RivalWatch watch;
    FenceRivals rivals;
    RedisSeen seen;
    int64_t now_ms;
} Leader;

static Leader leader_of_two(void)
{
    Leader leader = {.now_ms = 100000};
    const char *const addresses[] = {A, B};
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        RedisReplica *replica = &leader.seen.replicas[leader.seen.replicas_len++];
        *replica = (RedisReplica){.online = true, .offset = 10};
        snprintf(replica->address, sizeof(replica->address), "%s", addresses[i]);
        fence_rivals_add(&leader.rivals, addresses[i]);
    }
    return leader;
}

/* Something is written, and then it is looked. */
static int64_t look(Leader *leader)
{
    leader->now_ms += 500;
    leader->seen.offset += 5;
    return rival_watch_look(&leader->watch, &leader->rivals, &leader->seen, leader->now_ms);
}

/* Both have by then what was written before the look before. */
static int64_t look_on(Leader *leader, int looks)
{
    int64_t proven_ms = 0;
    for (int i = 0; i < looks; i++) {
        leader->seen.replicas[0].offset = leader->seen.replicas[1].offset = leader->seen.offset;
        proven_ms = look(leader);
    }
    return proven_ms;
}

static void test_a_word_is_younger_than_what_it_confirms(void **state)
{
    (void)state;
    Leader leader = leader_of_two();
    assert_int_equal(look_on(&leader, 6), 0); /* links that are new prove nothing */
    int64_t said_ms = look_on(&leader, 1);
    assert_int_equal(said_ms, leader.now_ms - 1000);     /* the one before has seen it written */
    leader.seen.replicas[0].offset = leader.seen.offset; /* the other one says nothing new */
    assert_int_equal(look(&leader), said_ms);
    assert_int_equal(look(&leader), said_ms);
    said_ms = look_on(&leader, 1);
    assert_int_equal(said_ms, leader.now_ms - 1000);
}

/* It was on its way for long: what it confirms is old. */
static void test_a_late_word_is_as_old_as_it_is(void **state)
{
    (void)state;
    Leader leader = leader_of_two();
    int64_t said_ms = look_on(&leader, 10);
    int64_t old = leader.seen.offset;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(look(&leader), said_ms);
    }
    leader.seen.replicas[0].offset = leader.seen.replicas[1].offset = old;
    int64_t late_ms = look(&leader);
    assert_true(late_ms > said_ms);
    assert_true(late_ms <= leader.now_ms - 2500); /* what it confirms was written by then */
}

static void test_all_of_them_must_have_spoken(void **state)
{
    (void)state;
    Leader leader = leader_of_two();
    assert_true(look_on(&leader, 8) > 0);
    fence_rivals_add(&leader.rivals, ""); /* one that nobody can ask */
    assert_int_equal(look_on(&leader, 8), 0);
    leader.rivals.len = 0; /* nobody could take its place */
    leader.seen.replicas_len = 0;
    int64_t proven_ms = look(&leader);
    assert_int_equal(proven_ms, leader.now_ms);
}

static void test_a_link_that_was_gone_begins_anew(void **state)
{
    (void)state;
    Leader leader = leader_of_two();
    assert_true(look_on(&leader, 8) > 0);
    leader.seen.replicas[1].lag_s = 2; /* it may be gone, and nobody has told */
    assert_int_equal(look_on(&leader, 1), 0);
    leader.seen.replicas[1].lag_s = 0;
    assert_int_equal(look_on(&leader, 6), 0);
    assert_true(look_on(&leader, 1) > 0);
    leader.seen.replicas[0].online = false;
    assert_int_equal(look_on(&leader, 1), 0);
}

static void test_another_history_begins_anew(void **state)
{
    (void)state;
    Leader leader = leader_of_two();
    assert_true(look_on(&leader, 8) > 0);
    leader.seen.offset = leader.seen.replicas[0].offset = leader.seen.replicas[1].offset = 0;
    assert_int_equal(look_on(&leader, 6), 0);
}

/* One command that takes long is no end of a link. */
static void test_a_look_without_an_answer_adds_nothing(void **state)
{
    (void)state;
    Leader leader = leader_of_two();
    int64_t said_ms = look_on(&leader, 8);
    assert_true(said_ms > 0);
    leader.now_ms += 500;
    assert_int_equal(rival_watch_look(&leader.watch, &leader.rivals, NULL, leader.now_ms), said_ms);
    assert_true(look_on(&leader, 1) > said_ms);
}

static void test_one_rival_too_many(void **state)
{
    (void)state;
    FenceRivals rivals = {.len = 0};
    for (int i = 0; i <= HA_SET_MAX; i++) {
        char address[16];
        snprintf(address, sizeof(address), "10.1.128.%d", i);
        fence_rivals_add(&rivals, address);
        fence_rivals_add(&rivals, address);
    }
    assert_int_equal(rivals.len, HA_SET_MAX);
    assert_string_equal(rivals.addresses[HA_SET_MAX - 1], ""); /* nobody proves it away */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_word_is_younger_than_what_it_confirms),
        cmocka_unit_test(test_a_late_word_is_as_old_as_it_is),
        cmocka_unit_test(test_all_of_them_must_have_spoken),
        cmocka_unit_test(test_a_link_that_was_gone_begins_anew),
        cmocka_unit_test(test_another_history_begins_anew),
        cmocka_unit_test(test_a_look_without_an_answer_adds_nothing),
        cmocka_unit_test(test_one_rival_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
