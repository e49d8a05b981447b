/* What nodes of a replication group do next: each rule of who leads and who follows on its own. */
#include <stdio.h>

#include "views.h"

static void test_all_is_well(void **state)
{
    (void)state;
    GroupView view = leader_view();
    assert_true(group_decide(&view).done);
    view = follower_view();
    assert_true(group_decide(&view).done);
}

/* ---- the leader ends --------------------------------------------------------------------------
 */

static void test_a_dead_leader_makes_room(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.claimed = false;
    GroupRecord room = written(&view);
    assert_int_equal(room.phase, HA_PHASE_FREE);
    assert_int_equal(room.term, 5);
    assert_string_equal(room.history, "h1");
    assert_int_equal(room.set.len, 3);
}

static void test_without_a_taker_it_starts_again_in_place(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.claimed = false;
    view.peers[0].follows = false;
    view.peers[1].in_history = false; /* it has other data */
    GroupRecord record = written(&view);
    assert_int_equal(record.phase, HA_PHASE_LEADING);
    view.record = record;
    view.claimed = true;
    check(&view, GROUP_STEP_START_LEADING);
}

static void test_a_reboot_and_a_group_without_failover_stay(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.asked = true;
    check(&view, GROUP_STEP_START_LEADING);
    view.asked = view.automatic = false;
    check(&view, GROUP_STEP_START_LEADING);
    view.automatic = true;
    assert_int_equal(written(&view).phase, HA_PHASE_FREE);
}

static void test_members_that_are_not_known_yet_are_waited_for(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.peers[0].known = view.peers[1].known = false;
    view.peers[0].follows = view.peers[1].follows = false;
    check(&view, GROUP_STEP_WAIT);
    view.state_ms = GROUP_GONE_MS;
    check(&view, GROUP_STEP_START_LEADING);
}

static void test_what_nobody_took_goes_back(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.record.phase = HA_PHASE_FREE;
    check(&view, GROUP_STEP_WAIT);
    view.phase_ms = GROUP_TAKE_MS;
    assert_int_equal(written(&view).phase, HA_PHASE_LEADING);
}

static void test_a_silent_leader_is_ended_unless_it_is_heard_or_computes(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_SILENT;
    view.state_ms = GROUP_SILENT_MS;
    check(&view, GROUP_STEP_WAIT); /* the replicas hear it */
    view.peers[0].hears = view.peers[1].hears = false;
    check(&view, GROUP_STEP_KILL);
    view.busy = true;
    check(&view, GROUP_STEP_WAIT);
    view.state_ms = GROUP_BUSY_MS;
    check(&view, GROUP_STEP_KILL);
    view.busy = false;
    view.peers[0].follows = view.peers[1].follows = false;
    view.state_ms = GROUP_SILENT_MS;
    check(&view, GROUP_STEP_WAIT); /* nobody could do better */
}

/* ---- who takes it ------------------------------------------------------------------------------
 */

static void test_a_replica_reads_to_the_end_before_it_bids(void **state)
{
    (void)state;
    GroupView view = free_view();
    view.link_up = true;
    check(&view, GROUP_STEP_WAIT);
    view.link_up = false;
    check(&view, GROUP_STEP_BID);
    view.link_up = true;
    view.phase_ms = GROUP_BID_MS;
    check(&view, GROUP_STEP_BID);
}

static void test_the_one_that_has_the_most_takes_it(void **state)
{
    (void)state;
    GroupView view = free_view();
    view.bid = true;
    check(&view, GROUP_STEP_WAIT); /* n3 has not said */
    view.peers[1].bid_term = 5;
    view.peers[1].offset = 101;
    check(&view, GROUP_STEP_WAIT); /* it has more */
    view.peers[1].offset = 100;
    GroupRecord taken = written(&view);
    assert_int_equal(taken.term, 6);
    assert_string_equal(taken.leader.text, "n2");
    assert_int_equal(taken.phase, HA_PHASE_LEADING);
    assert_int_equal(taken.set.len, 1);
    assert_true(ha_set_has(&taken.set, &view.incarnation));
    assert_string_equal(taken.history, "");

    view.record = taken;
    view.claimed = true;
    view.bid = false;
    check(&view, GROUP_STEP_PROMOTE);
    view.claimed = false; /* the agent has started anew */
    check(&view, GROUP_STEP_WRITE);
}

static void test_nobody_is_waited_for_for_ever(void **state)
{
    (void)state;
    GroupView view = free_view();
    view.bid = true;
    view.phase_ms = GROUP_BID_MS;
    assert_int_equal(written(&view).term, 6); /* n3 says nothing */
    view.peers[1].bid_term = 5;
    view.peers[1].offset = 101;
    check(&view, GROUP_STEP_WAIT);
    view.phase_ms = GROUP_TURN_MS;
    assert_int_equal(written(&view).term, 6);
}

static void test_only_who_has_it_all_may(void **state)
{
    (void)state;
    GroupView view = free_view();
    view.bid = true;
    view.phase_ms = 100000;
    snprintf(view.history, sizeof(view.history), "h0");
    check(&view, GROUP_STEP_WAIT); /* of another history */
    snprintf(view.history, sizeof(view.history), "h1");
    view.record.set.len = 1;
    check(&view, GROUP_STEP_WAIT); /* not in the set */
}

/* ---- several hosts -----------------------------------------------------------------------------
 */

/* Neither its host nor its engine has been heard for so long that its guard has ended it. */
static GroupView lost_view(void)
{
    GroupView view = follower_view();
    view.link_up = view.leads_here = view.source_right = false;
    view.peers[0].known = false;
    view.peers[0].abroad = view.peers[1].abroad = true;
    view.lost_ms = GROUP_LOST_MS;
    return view;
}

static void test_a_lost_leader_s_term_is_set_free(void **state)
{
    (void)state;
    GroupView view = lost_view();
    GroupRecord record = written(&view);
    assert_int_equal(record.phase, HA_PHASE_FREE);
    assert_int_equal(record.term, 5);
    assert_int_equal(record.set.len, 3);
    assert_true(group_decide(&view).lost); /* only while nothing is heard from there */
    GroupView other = view;
    other.lost_ms--;
    check(&other, GROUP_STEP_WAIT);
    other = view;
    other.automatic = false;
    check(&other, GROUP_STEP_WAIT);
    other = view;
    other.source_right = true; /* it follows still */
    check(&other, GROUP_STEP_WAIT);
    other = view;
    other.incarnation = ha_id("i9"); /* not in the set */
    check(&other, GROUP_STEP_WAIT);
    other = view;
    other.whole = false;
    check(&other, GROUP_STEP_WAIT);
}

static void test_a_durable_group_misses_nobody(void **state)
{
    (void)state;
    GroupView view = lost_view();
    view.durable = true;
    assert_true(group_decide(&view).lost);
    view.peers[1].known = view.peers[1].follows = false; /* on the host that is lost, too */
    check(&view, GROUP_STEP_WAIT);
    view.record.set.len = 2; /* it may have confirmed what n2 has not, also without being in it */
    check(&view, GROUP_STEP_WAIT);
    view.peers[1].known = true; /* its engine is down */
    check(&view, GROUP_STEP_WAIT);
    view.peers[1].has_data = false; /* and it had nothing yet */
    assert_true(group_decide(&view).lost);
    view.peers[1].has_data = true;
    view.durable = false;
    assert_true(group_decide(&view).lost);
}

/* A copy of the store knows its leader alone. By somebody's word those that are there may lead, and
 * are compared, whatever those have that are lost, too. */
static void test_by_somebody_s_word(void **state)
{
    (void)state;
    GroupView view = lost_view();
    view.durable = true;
    snprintf(view.history, sizeof(view.history), "h8"); /* it was started again */
    view.peers[1].known = view.peers[1].follows = false;
    group_record_reset(&view.record);
    assert_int_equal(view.record.term, 5 + HA_TERMS_UNSURE);
    assert_int_equal(view.record.set.len, 1);
    assert_string_equal(view.record.history, "h1");
    check(&view, GROUP_STEP_WAIT);
    HaSet chosen = {.len = 0};
    ha_set_add(&chosen, &view.incarnation);
    group_record_let_lead(&view.record, &chosen);
    assert_int_equal(view.record.term, 5 + HA_TERMS_UNSURE);
    GroupRecord record = written(&view);
    assert_int_equal(record.phase, HA_PHASE_FREE);
    view.record = record;
    view.link_up = false;
    check(&view, GROUP_STEP_BID);
    view.bid = true;
    record = written(&view);
    assert_string_equal(record.leader.text, "n2");
    assert_int_equal(record.term, 6 + HA_TERMS_UNSURE);
}

static void test_one_that_hears_nothing_follows_nobody(void **state)
{
    (void)state;
    GroupView view = follower_view();
    view.deaf = true;
    check(&view, GROUP_STEP_DROP);
    view.record.phase = HA_PHASE_FREE; /* before it says what it has */
    check(&view, GROUP_STEP_DROP);
}

static void test_nobody_comes_from_another_host_before_there_is_a_deadline(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.peers[1].abroad = true;
    view.record.set.len = 2; /* n1, n2 */
    assert_true(group_decide(&view).done);
    view.fenced = true;
    assert_int_equal(written(&view).set.len, 3);
    view.fenced = false;
    view.record.set.len = 3; /* who is in it stays */
    ha_set_add(&view.record.set, &view.peers[1].incarnation);
    assert_true(group_decide(&view).done);
}

/* ---- leading and following ---------------------------------------------------------------------
 */

static void test_another_history_begins_another_set(void **state)
{
    (void)state;
    GroupView view = leader_view();
    snprintf(view.history, sizeof(view.history), "h2");
    GroupRecord record = written(&view);
    assert_string_equal(record.history, "h2");
    assert_int_equal(record.set.len, 1);
}

static void test_the_set_follows_what_the_leader_sees(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.peers[0].streaming = false;
    view.peers[0].gone_ms = GROUP_GONE_MS - 1;
    assert_true(group_decide(&view).done);
    view.peers[0].gone_ms = GROUP_GONE_MS;
    GroupRecord record = written(&view);
    assert_int_equal(record.set.len, 2);
    view.record = record;
    view.peers[0].streaming = true;
    view.peers[0].in_history = false; /* its agent has not seen that it is in sync */
    assert_true(group_decide(&view).done);
    view.peers[0].in_history = true;
    assert_int_equal(written(&view).set.len, 3);
}

static void test_a_deposed_leader_follows(void **state)
{
    (void)state;
    GroupView view = follower_view();
    view.state = HA_STATE_LEADING;
    check(&view, GROUP_STEP_SOURCE);
    view.state = HA_STATE_DOWN;
    check(&view, GROUP_STEP_START_FOLLOWING);
    view.state = HA_STATE_EMPTY;
    check(&view, GROUP_STEP_MAKE);
    view = leader_view();
    view.record.phase = HA_PHASE_FREE;
    check(&view, GROUP_STEP_KILL);
}

static void test_another_leader_is_followed_once_it_leads(void **state)
{
    (void)state;
    GroupView view = follower_view();
    view.source_right = view.leads_here = view.link_up = false;
    check(&view, GROUP_STEP_WAIT);
    view.leads_here = true;
    check(&view, GROUP_STEP_SOURCE);
}

/* ---- a planned change --------------------------------------------------------------------------
 */

static void test_a_planned_change(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.handover = 1;
    view.record = written(&view);
    assert_int_equal(view.record.phase, HA_PHASE_YIELDING);
    assert_string_equal(view.record.heir.text, "n2");
    assert_int_equal(view.record.handover, 1);
    check(&view, GROUP_STEP_WAIT); /* what was sent before */
    view.phase_ms = GROUP_DRAIN_MS;
    check(&view, GROUP_STEP_WAIT); /* somebody still writes */
    view.quiet_ms = GROUP_QUIET_MS;
    check(&view, GROUP_STEP_PAUSE);
    view.quiet_ms = 0;
    view.phase_ms = GROUP_BUSTLE_MS; /* and does not end to */
    check(&view, GROUP_STEP_PAUSE);
    view.paused = true;
    view.peers[0].offset = 99;
    check(&view, GROUP_STEP_WAIT);
    view.peers[0].offset = 100;
    check(&view, GROUP_STEP_DEMOTE);

    view.state = HA_STATE_FOLLOWING;
    view.paused = false;
    GroupRecord room = written(&view);
    assert_int_equal(room.phase, HA_PHASE_FREE);
    assert_string_equal(room.heir.text, "n2");

    GroupView heir = free_view();
    heir.record = room;
    assert_int_equal(written(&heir).term, 6);
    GroupView other = heir;
    other.self = ha_id("n3");
    other.incarnation = ha_id("i3");
    other.bid = true;
    other.phase_ms = GROUP_BID_MS;
    check(&other, GROUP_STEP_WAIT); /* it is the heir's turn */
    other.phase_ms = GROUP_TURN_MS;
    assert_int_equal(written(&other).term, 6);
}

/* A write came in between: the heir would lack it. */
static void test_a_change_goes_back_where_the_heir_lacks_something(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.handover = 1;
    view.record = written(&view);
    view.state = HA_STATE_FOLLOWING;
    view.peers[0].offset = 99;
    check(&view, GROUP_STEP_WAIT);
    view.state_ms = GROUP_BID_MS;
    view.record = written(&view);
    assert_int_equal(view.record.phase, HA_PHASE_LEADING);
    check(&view, GROUP_STEP_PROMOTE);
}

static void test_a_change_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.handover = 1;
    view.record = written(&view);
    view.paused = true;
    view.phase_ms = GROUP_BUSTLE_MS + GROUP_CATCH_MS + 1;
    view.peers[0].offset = 99;
    view.record = written(&view);
    assert_int_equal(view.record.phase, HA_PHASE_LEADING);
    assert_int_equal(view.record.handover, 1); /* it is not begun again */
    check(&view, GROUP_STEP_RESUME);
}

static void test_a_wish_that_nobody_can_fulfil_ends(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.handover = 1;
    view.peers[0].streaming = view.peers[1].streaming = false;
    check(&view, GROUP_STEP_WAIT);
    view.wish_ms = GROUP_WISH_MS;
    GroupRecord record = written(&view);
    assert_int_equal(record.handover, 1);
    assert_int_equal(record.phase, HA_PHASE_LEADING);
}

static void test_a_leader_that_leaves_hands_over_first(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.gone = true;
    assert_int_equal(written(&view).phase, HA_PHASE_YIELDING);
    view.deleted = true;
    check(&view, GROUP_STEP_STOP);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_well),
        cmocka_unit_test(test_a_dead_leader_makes_room),
        cmocka_unit_test(test_without_a_taker_it_starts_again_in_place),
        cmocka_unit_test(test_a_reboot_and_a_group_without_failover_stay),
        cmocka_unit_test(test_members_that_are_not_known_yet_are_waited_for),
        cmocka_unit_test(test_what_nobody_took_goes_back),
        cmocka_unit_test(test_a_silent_leader_is_ended_unless_it_is_heard_or_computes),
        cmocka_unit_test(test_a_replica_reads_to_the_end_before_it_bids),
        cmocka_unit_test(test_the_one_that_has_the_most_takes_it),
        cmocka_unit_test(test_nobody_is_waited_for_for_ever),
        cmocka_unit_test(test_only_who_has_it_all_may),
        cmocka_unit_test(test_a_lost_leader_s_term_is_set_free),
        cmocka_unit_test(test_a_durable_group_misses_nobody),
        cmocka_unit_test(test_by_somebody_s_word),
        cmocka_unit_test(test_one_that_hears_nothing_follows_nobody),
        cmocka_unit_test(test_nobody_comes_from_another_host_before_there_is_a_deadline),
        cmocka_unit_test(test_another_history_begins_another_set),
        cmocka_unit_test(test_the_set_follows_what_the_leader_sees),
        cmocka_unit_test(test_a_deposed_leader_follows),
        cmocka_unit_test(test_another_leader_is_followed_once_it_leads),
        cmocka_unit_test(test_a_planned_change),
        cmocka_unit_test(test_a_change_goes_back_where_the_heir_lacks_something),
        cmocka_unit_test(test_a_change_that_takes_too_long_is_given_up),
        cmocka_unit_test(test_a_wish_that_nobody_can_fulfil_ends),
        cmocka_unit_test(test_a_leader_that_leaves_hands_over_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
