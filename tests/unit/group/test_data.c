/* Replication groups where the leader's data is gone, or cannot be loaded: who has any leads next,
 * nobody starts anew while somebody may have some, and who leaves keeps its own while it counts. */
#include <stdio.h>

#include "views.h"

static void test_an_empty_leader_makes_room_for_who_has_data(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_EMPTY;
    view.incarnation = ha_id("");
    view.has_data = false;
    view.automatic = false; /* and would rather stay */
    for (size_t i = 0; i < view.peers_len; i++) {
        view.peers[i].follows = view.peers[i].in_history = false; /* all have started anew */
    }
    view.peers[1].has_data = false;
    GroupRecord record = written(&view);
    assert_int_equal(record.phase, HA_PHASE_FREE);
    assert_string_equal(record.history, "");
    assert_int_equal(record.set.len, 1);
    assert_true(ha_set_has(&record.set, &view.peers[0].incarnation));

    view.record = record;
    view.phase_ms = 100000;
    check(&view, GROUP_STEP_WAIT); /* however long */
    view.state = HA_STATE_DOWN;    /* and in a folder that was made anew */
    view.incarnation = ha_id("i9");
    check(&view, GROUP_STEP_WAIT);
    view.record.phase = HA_PHASE_LEADING;
    view.claimed = true;
    assert_int_equal(written(&view).phase, HA_PHASE_FREE);

    GroupView other = free_view();
    other.record = record;
    snprintf(other.history, sizeof(other.history), "whatever");
    check(&other, GROUP_STEP_BID);
    other.has_data = false;
    check(&other, GROUP_STEP_WAIT);
}

/* What they have is still of the record's history, and is compared as ever. */
static void test_an_empty_leader_makes_room_as_one_that_has_died(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_EMPTY;
    view.incarnation = ha_id("");
    view.has_data = false;
    view.durable = true;
    assert_string_equal(written(&view).history, "h1");
    assert_int_equal(written(&view).set.len, 3);
    view.peers[0].has_data = view.peers[1].has_data = false; /* they have not noted it yet */
    assert_string_equal(written(&view).history, "h1");
    view.peers[1].follows = false;
    check(&view, GROUP_STEP_WAIT); /* it is not there to be compared */
    view.state_ms = GROUP_TAKE_MS;
    check(&view, GROUP_STEP_WAIT); /* and one that is to note it */
    view.peers[0].has_data = view.peers[1].has_data = true;
    assert_string_equal(written(&view).history, "");
}

static void test_an_empty_leader_waits_for_word_of_all(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_EMPTY;
    view.has_data = false;
    view.state_ms = 1000000;
    view.peers[0].has_data = view.peers[1].has_data = false;
    view.peers[0].in_history = view.peers[1].in_history = false;
    view.peers[1].known = false;
    check(&view, GROUP_STEP_WAIT);
    view.peers[1].known = true;
    check(&view, GROUP_STEP_MAKE); /* nobody has anything */
}

static void test_an_empty_leader_asks_who_is_there(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_EMPTY;
    view.incarnation = ha_id("");
    view.has_data = false;
    view.peers[1].known = view.peers[1].follows = false; /* its host is gone for good */
    assert_string_equal(written(&view).history, "h1");
    view.peers[0].follows = false;
    check(&view, GROUP_STEP_WAIT);
}

static void test_a_leader_that_cannot_load_its_data_makes_room(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.peers[0].in_history = view.peers[1].in_history = false;
    check(&view, GROUP_STEP_START_LEADING);
    view.failing = true;
    view.record = written(&view);
    assert_string_equal(view.record.history, "");
    view.peers[0].follows = view.peers[1].follows = false; /* they are on their way */
    check(&view, GROUP_STEP_WAIT);
    view.phase_ms = GROUP_TAKE_MS;
    assert_int_equal(written(&view).phase, HA_PHASE_LEADING);
}

/* A replica that is gone, or on its way, is no reason not to try again. */
static void test_a_leader_that_fails_is_not_given_up_for_nobody(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.automatic = false;
    view.state = HA_STATE_DOWN;
    view.failing = true;
    view.peers[0].follows = view.peers[1].follows = false;
    check(&view, GROUP_STEP_START_LEADING);
    view.peers[0].known = view.peers[1].known = false;
    view.state_ms = GROUP_GONE_MS;
    check(&view, GROUP_STEP_START_LEADING);
    view.record.phase = HA_PHASE_FREE;
    assert_int_equal(written(&view).phase, HA_PHASE_LEADING); /* and at once */
}

/* Where the record names no history any more, what it has would count for nothing. */
static void test_a_replica_notes_what_it_has_before_it_is_needed(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.automatic = false;
    view.state = HA_STATE_DOWN;
    view.failing = true;
    view.peers[0].has_data = view.peers[1].has_data = false;
    view.peers[1].in_history = false;
    check(&view, GROUP_STEP_START_LEADING);
    GroupView empty = view;
    empty.state = HA_STATE_EMPTY;
    empty.has_data = false;
    empty.incarnation = ha_id("");
    empty.peers[0].follows = false;
    check(&empty, GROUP_STEP_WAIT); /* and never anew */
    view.peers[0].has_data = empty.peers[0].has_data = true;
    assert_string_equal(written(&view).history, "");
    GroupRecord room = written(&empty);
    assert_true(ha_set_has(&room.set, &empty.peers[0].incarnation));
}

static void test_a_replica_that_leaves_keeps_its_data_until_nobody_needs_it(void **state)
{
    (void)state;
    GroupView view = follower_view();
    view.gone = true;
    assert_int_equal(group_duty(&view), HA_DUTY_REST); /* it confirms nothing any more */
    view.leads_here = false;
    assert_int_equal(group_duty(&view), HA_DUTY_FOLLOW); /* it may have to lead */
    view.deleted = true;
    assert_int_equal(group_duty(&view), HA_DUTY_LEAVE);
    view.deleted = false;
    view.record.set.len = 1; /* the leader knew itself alone; it may be lost */
    assert_int_equal(group_duty(&view), HA_DUTY_FOLLOW);
    view.leads_here = true;
    assert_int_equal(group_duty(&view), HA_DUTY_LEAVE);
    view.leads_here = view.has_data = false;
    assert_int_equal(group_duty(&view), HA_DUTY_LEAVE);
    view.has_data = true;
    view.record.set = (HaSet){.len = 0};
    assert_int_equal(group_duty(&view), HA_DUTY_LEAVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_empty_leader_makes_room_for_who_has_data),
        cmocka_unit_test(test_an_empty_leader_makes_room_as_one_that_has_died),
        cmocka_unit_test(test_an_empty_leader_waits_for_word_of_all),
        cmocka_unit_test(test_an_empty_leader_asks_who_is_there),
        cmocka_unit_test(test_a_leader_that_cannot_load_its_data_makes_room),
        cmocka_unit_test(test_a_leader_that_fails_is_not_given_up_for_nobody),
        cmocka_unit_test(test_a_replica_notes_what_it_has_before_it_is_needed),
        cmocka_unit_test(test_a_replica_that_leaves_keeps_its_data_until_nobody_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
