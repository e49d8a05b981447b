/* What nodes do next: each rule of who leads and who follows on its own. */
#include "views.h"

static void test_all_is_well(void **state)
{
    (void)state;
    HaView view = leader_view();
    assert_true(ha_decide(&view).done);
    view = follower_view();
    assert_true(ha_decide(&view).done);
}

/* ---- the leader ends --------------------------------------------------------------------------
 */

static void test_a_dead_leader_makes_room_and_the_standby_takes_it(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.claimed = view.open = view.names_set = false;
    check(&view, HA_STEP_WRITE);
    HaRecord room = ha_decide(&view).record;
    assert_int_equal(room.phase, HA_PHASE_FREE);
    assert_int_equal(room.term, 5);

    HaView other = follower_view();
    other.record = room;
    other.leader_serves = other.link_up = false;
    check(&other, HA_STEP_WRITE);
    HaRecord taken = ha_decide(&other).record;
    assert_int_equal(taken.term, 6);
    assert_string_equal(taken.leader.text, "n2");
    assert_int_equal(taken.set.len, 1);
    assert_true(taken.proven);
    assert_true(ha_set_has(&taken.set, &other.incarnation));
    other.record = taken;
    other.claimed = true;
    check(&other, HA_STEP_PROMOTE);
    other.claimed = false; /* the agent has started anew */
    check(&other, HA_STEP_WRITE);
}

static void test_without_a_taker_it_starts_again_in_place(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.claimed = view.open = view.names_set = false;
    view.peers[0].follows = false;
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.phase, HA_PHASE_LEADING);
    assert_int_equal(record.set.len, 2); /* and the standby is waited for still */
    assert_int_equal(record.writes, view.record.writes + 1);
    view.claimed = true;
    check(&view, HA_STEP_START_LEADING);
}

static void test_a_reboot_is_no_failover(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.asked = true;
    view.claimed = true;
    check(&view, HA_STEP_START_LEADING);
}

static void test_what_nobody_takes_goes_back(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.claimed = false;
    view.record.phase = HA_PHASE_FREE;
    view.phase_ms = HA_TAKE_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.phase_ms = HA_TAKE_MS;
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_LEADING);
}

static void test_who_made_room_must_not_run(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.phase = HA_PHASE_FREE;
    check(&view, HA_STEP_KILL);
    view = leader_view();
    view.record.leader = ha_id("n2");
    check(&view, HA_STEP_KILL);
}

static void test_half_a_promotion_is_made_again(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.peers[0].follows = false;
    view.record.history_term = 4; /* the timeline of this term was never told */
    check(&view, HA_STEP_START_FOLLOWING);
    HaView again = view;
    again.state = HA_STATE_LEADING;
    again.timeline = 3; /* and what was begun is told, too */
    again.fork_lsn = 70;
    again.halfway[again.halfway_len++] = (HaFork){.timeline = 2, .lsn = 60};
    check(&again, HA_STEP_WRITE);
    HaRecord told = ha_decide(&again).record;
    assert_int_equal(ha_record_timeline(&told), 3);
    assert_true(ha_record_diverged(&told, 1, 61));
    assert_false(ha_record_diverged(&told, 2, 70));
    view.record.history_term = 5;
    check(&view, HA_STEP_START_LEADING);
}

static void test_another_timeline_does_not_open(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.open = false;
    view.timeline = 2;
    check(&view, HA_STEP_WAIT);
}

static void test_a_lost_data_directory_makes_room(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_EMPTY;
    view.incarnation = ha_id("");
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_FREE);
    view.peers[0].follows = false;
    check(&view, HA_STEP_WAIT); /* never an empty one in its place */
}

/* ---- silence ----------------------------------------------------------------------------------
 */

static void test_a_silent_leader_is_ended_where_nobody_hears_it(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_SILENT;
    view.state_ms = HA_SILENT_MS;
    check(&view, HA_STEP_WAIT); /* its standby hears it: it is loaded */
    view.peers[0].hears = false;
    check(&view, HA_STEP_KILL);
    view.state_ms = HA_SILENT_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.state_ms = HA_SILENT_MS;
    view.peers[0].follows = false;
    check(&view, HA_STEP_WAIT); /* nobody could lead in its place */
    view.state_ms = HA_HUNG_MS;
    check(&view, HA_STEP_KILL);
}

static void test_one_that_stands_still_is_ended_sooner(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_SILENT;
    view.halted = true;
    view.state_ms = HA_HALTED_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.state_ms = HA_HALTED_MS;
    check(&view, HA_STEP_KILL); /* its standby has heard it a moment ago */
    view.peers[0].follows = false;
    check(&view, HA_STEP_WAIT);
}

/* Each start of a standby that only gets no processor makes that worse. */
static void test_a_standby_that_gets_no_processor_stays(void **state)
{
    (void)state;
    HaView view = follower_view();
    view.state = HA_STATE_SILENT;
    view.state_ms = HA_STARVED_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.state_ms = HA_STARVED_MS;
    check(&view, HA_STEP_KILL);
    view.halted = true;
    view.state_ms = HA_SILENT_MS;
    check(&view, HA_STEP_KILL);
}

static void test_two_witnesses_from_another_host(void **state)
{
    (void)state;
    HaView view = follower_view();
    view.link_up = false;
    view.link_ms = view.leader_ms = HA_WITNESS_MS;
    check(&view, HA_STEP_WRITE);
    assert_false(ha_decide(&view).record.proven);
    view.leader_here = true;
    check(&view, HA_STEP_WAIT);
    view.leader_here = false;
    view.leader_ms = HA_WITNESS_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.leader_ms = HA_WITNESS_MS;
    view.link_ms = HA_WITNESS_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.link_ms = HA_WITNESS_MS;
    view.record.set.len = 1; /* it is not in the set */
    check(&view, HA_STEP_WAIT);
}

static void test_the_former_right_to_answer_runs_out_first(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.set.len = 1;
    view.names.len = 0;
    view.open = view.record.proven = false;
    view.peers_len = 0;
    view.state_ms = HA_RIGHT_MS + HA_MARGIN_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.state_ms++;
    check(&view, HA_STEP_OPEN);
    view.state_ms = HA_RIGHT_MS; /* its receiver had ended before */
    check(&view, HA_STEP_WAIT);
    view.cut_off_ms = HA_MARGIN_MS;
    check(&view, HA_STEP_OPEN);
}

/* ---- followers --------------------------------------------------------------------------------
 */

static void test_a_diverged_one_leaves_the_set_first(void **state)
{
    (void)state;
    HaView view = follower_view();
    view.diverged = true;
    check(&view, HA_STEP_STOP);
    view.state = HA_STATE_DOWN;
    check(&view, HA_STEP_WAIT);
    view.record.set.len = 1;
    check(&view, HA_STEP_REJOIN);
    view.leader_serves = false;
    check(&view, HA_STEP_WAIT);
}

static void test_one_of_the_set_starts_without_a_leader(void **state)
{
    (void)state;
    HaView view = follower_view();
    view.state = HA_STATE_DOWN;
    view.leader_serves = false;
    check(&view, HA_STEP_START_FOLLOWING);
    view.record.set.len = 1;
    check(&view, HA_STEP_WAIT);
}

static void test_an_heir_comes_first(void **state)
{
    (void)state;
    HaView view = follower_view();
    view.record.phase = HA_PHASE_FREE;
    view.record.heir = ha_id("n3");
    check(&view, HA_STEP_WAIT);
    view.phase_ms = HA_TAKE_MS;
    check(&view, HA_STEP_WRITE);
}

/* ---- planned changes ---------------------------------------------------------------------------
 */

static void test_a_planned_change(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.heir = ha_id("n2");
    view.handover = 1;
    view.peers[0].bound = false;
    assert_int_not_equal(ha_decide(&view).record.phase, HA_PHASE_YIELDING);
    view.peers[0].bound = true;
    check(&view, HA_STEP_WRITE);
    view.record = ha_decide(&view).record;
    assert_int_equal(view.record.phase, HA_PHASE_YIELDING);
    view.busy = true;
    check(&view, HA_STEP_WAIT);
    view.phase_ms = HA_YIELD_MS;
    check(&view, HA_STEP_STOP);
    view.busy = false;
    view.phase_ms = 0;
    check(&view, HA_STEP_WAIT); /* proxies may not have heard of it yet */
    view.phase_ms = HA_DRAIN_MS;
    view.heard = true;
    check(&view, HA_STEP_WAIT); /* one of another host has not, as it seems */
    view.phase_ms = HA_HEARD_MS;
    check(&view, HA_STEP_STOP); /* or it is none */
    view.heard = false;
    view.phase_ms = HA_DRAIN_MS;
    check(&view, HA_STEP_STOP);
    view.peers[0].streaming = false;
    check(&view, HA_STEP_WRITE); /* the heir is gone: on as before */
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_LEADING);
    view.peers[0].streaming = true;
    view.state = HA_STATE_DOWN;
    view.asked = true;
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_FREE);
    assert_string_equal(ha_decide(&view).record.heir.text, "n2");
}

/* It is not waited for without end, also where clients are not let in for want of the standby. */
static void test_a_planned_change_in_vain(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.heir = ha_id("n2");
    view.handover = 3;
    view.record.handover = 2;
    view.peers[0].follows = false;
    view.wish_ms = HA_WISH_MS - 1;
    assert_int_equal(ha_decide(&view).record.handover, 0); /* no write of it */
    view.wish_ms = HA_WISH_MS;
    for (int open = 0; open < 2; open++) {
        view.open = open;
        check(&view, HA_STEP_WRITE);
        HaDecision decision = ha_decide(&view);
        assert_int_equal(decision.record.handover, 3);
        assert_int_equal(decision.record.phase, HA_PHASE_LEADING);
        assert_int_equal(decision.record.term, view.record.term);
        assert_non_null(strstr(decision.why, "not ready"));
        assert_true(ha_set_eq(&decision.record.set, &view.record.set));
    }
    view.peers[0].follows = true; /* it is ready at last */
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_YIELDING);
    view.heir = view.self;
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_LEADING);
    assert_int_equal(ha_decide(&view).record.handover, 3);
    view.record.handover = 3;
    assert_int_not_equal(ha_decide(&view).step, HA_STEP_WRITE);
}

static void test_leaving(void **state)
{
    (void)state;
    HaView view = follower_view();
    view.gone = true;
    check(&view, HA_STEP_WAIT);
    view.deleted = true;
    check(&view, HA_STEP_STOP);
    view.deleted = false;
    view.record.set.len = 1;
    check(&view, HA_STEP_STOP);
    view.state = HA_STATE_DOWN;
    check(&view, HA_STEP_REMOVE);
    HaView leader = leader_view();
    leader.peers[0].wanted = false; /* control wants it away: at once */
    check(&leader, HA_STEP_WRITE);
    view.record = follower_view().record; /* it is in the set, and it may be all that there is */
    view.record.phase = HA_PHASE_FREE;
    view.state = HA_STATE_FOLLOWING;
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.term, 6);
}

static void test_a_leader_that_shall_leave_hands_over_first(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.gone = true;
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.phase, HA_PHASE_YIELDING);
    assert_string_equal(ha_decide(&view).record.heir.text, "n2");
    view.peers[0].bound = false; /* nobody is ready: it leads on */
    assert_int_equal(ha_duty(&view), HA_DUTY_LEAD);
    assert_int_not_equal(ha_decide(&view).record.phase, HA_PHASE_YIELDING);
    view.state = HA_STATE_DOWN;
    view.peers_len = 0;
    check(&view, HA_STEP_START_LEADING);
    view.record.set = (HaSet){.len = 0}; /* another one leads: then it goes */
    view.record.leader = ha_id("n2");
    check(&view, HA_STEP_REMOVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_well),
        cmocka_unit_test(test_a_dead_leader_makes_room_and_the_standby_takes_it),
        cmocka_unit_test(test_without_a_taker_it_starts_again_in_place),
        cmocka_unit_test(test_a_reboot_is_no_failover),
        cmocka_unit_test(test_what_nobody_takes_goes_back),
        cmocka_unit_test(test_who_made_room_must_not_run),
        cmocka_unit_test(test_half_a_promotion_is_made_again),
        cmocka_unit_test(test_another_timeline_does_not_open),
        cmocka_unit_test(test_a_lost_data_directory_makes_room),
        cmocka_unit_test(test_a_silent_leader_is_ended_where_nobody_hears_it),
        cmocka_unit_test(test_one_that_stands_still_is_ended_sooner),
        cmocka_unit_test(test_a_standby_that_gets_no_processor_stays),
        cmocka_unit_test(test_two_witnesses_from_another_host),
        cmocka_unit_test(test_the_former_right_to_answer_runs_out_first),
        cmocka_unit_test(test_a_diverged_one_leaves_the_set_first),
        cmocka_unit_test(test_one_of_the_set_starts_without_a_leader),
        cmocka_unit_test(test_an_heir_comes_first),
        cmocka_unit_test(test_a_planned_change),
        cmocka_unit_test(test_a_planned_change_in_vain),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_a_leader_that_shall_leave_hands_over_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
