/* What nodes of a replication group do next: each rule on its own, and what holds of whatever a
 * snapshot may say. */
#include "../unit.h"

#include <stdio.h>

#include "group/group.h"

#define TRIES 300000

/* Three nodes; n1 leads, all is well. */
static GroupView leader_view(void)
{
    GroupView view = {.run = true,
                      .automatic = true,
                      .claimed = true,
                      .self = ha_id("n1"),
                      .incarnation = ha_id("i1"),
                      .state = HA_STATE_LEADING,
                      .has_data = true,
                      .history = "h1",
                      .offset = 100,
                      .whole = true,
                      .bond = GROUP_BOND_BOUND,
                      .peers_len = 2};
    view.record = (GroupRecord){.term = 5, .leader = ha_id("n1"), .history = "h1"};
    const char *const nodes[] = {"n2", "n3"};
    const char *const incarnations[] = {"i2", "i3"};
    ha_set_add(&view.record.set, &view.incarnation);
    for (size_t i = 0; i < view.peers_len; i++) {
        view.peers[i] = (GroupPeer){.node = ha_id(nodes[i]),
                                    .incarnation = ha_id(incarnations[i]),
                                    .known = true,
                                    .has_data = true,
                                    .follows = true,
                                    .hears = true,
                                    .in_history = true,
                                    .whole = true,
                                    .offset = -1,
                                    .streaming = true};
        ha_set_add(&view.record.set, &view.peers[i].incarnation);
    }
    return view;
}

static GroupView follower_view(void)
{
    GroupView view = leader_view();
    view.self = ha_id("n2");
    view.incarnation = ha_id("i2");
    view.state = HA_STATE_FOLLOWING;
    view.claimed = false;
    view.link_up = view.source_right = view.leads_here = true;
    view.peers[0].node = ha_id("n1");
    view.peers[0].incarnation = ha_id("i1");
    view.peers[0].follows = view.peers[0].hears = view.peers[0].streaming = false;
    view.peers[1].streaming = false;
    return view;
}

/* Its leader is dead, and the record says so. */
static GroupView free_view(void)
{
    GroupView view = follower_view();
    view.record.phase = HA_PHASE_FREE;
    view.link_up = view.leads_here = false;
    return view;
}

static void check(const GroupView *view, GroupStep step)
{
    GroupDecision decision = group_decide(view);
    if (decision.step != step) {
        print_message("%s instead of %s: %s\n", group_step_name(decision.step),
                      group_step_name(step), decision.why);
    }
    assert_int_equal(decision.step, step);
}

static GroupRecord written(const GroupView *view)
{
    check(view, GROUP_STEP_WRITE);
    GroupDecision decision = group_decide(view);
    assert_int_equal(decision.record.writes, view->record.writes + 1);
    return decision.record;
}

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

/* ---- empty folders -----------------------------------------------------------------------------
 */

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

/* ---- durable groups ----------------------------------------------------------------------------
 */

static GroupView durable_view(void)
{
    GroupView view = leader_view();
    view.durable = true;
    return view;
}

static GroupView durable_free_view(void)
{
    GroupView view = free_view();
    view.durable = view.bid = true;
    return view;
}

static void test_all_of_the_set_are_compared(void **state)
{
    (void)state;
    GroupView view = durable_free_view();
    view.phase_ms = 100000; /* n3 has not said what it has: however long */
    check(&view, GROUP_STEP_WAIT);
    view.peers[1].bid_term = 5;
    view.peers[1].offset = 101;
    check(&view, GROUP_STEP_WAIT); /* and where it has more it is to lead */
    view.peers[1].follows = false;
    check(&view, GROUP_STEP_WAIT); /* also when it is gone now */
    view.peers[1].follows = true;
    view.peers[1].offset = 100;
    assert_int_equal(written(&view).term, 6);
    view.peers[1].in_history = false; /* it has begun anew: what it had is not known */
    check(&view, GROUP_STEP_WAIT);
    view.record.set.len = 2; /* it was gone before */
    assert_int_equal(written(&view).term, 6);
}

/* What it had confirmed may be on it and on the leader only. */
static void test_who_leaves_is_replaced_in_what_it_has(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.durable = true;
    view.peers[0].acked = 90;
    view.peers[1].streaming = false;
    view.peers[1].acked = -1;
    view.peers[1].gone_ms = 100000;
    HaSet left = group_left(&view);
    assert_int_equal(left.len, 1);
    assert_true(ha_set_has(&left, &view.peers[1].incarnation));
    view.left_offset = 95;
    assert_true(group_decide(&view).done);
    view.peers[0].acked = 95;
    HaSet set = written(&view).set;
    assert_int_equal(set.len, 2);
    assert_true(ha_set_has(&set, &view.peers[0].incarnation));
    view.left_offset = -1; /* one that is no member any more confirms still */
    assert_true(group_decide(&view).done);

    GroupView removed = view; /* it is no peer any more */
    removed.peers_len = 1;
    assert_true(group_decide(&removed).done);
    removed.left_offset = 95;
    assert_int_equal(written(&removed).set.len, 2);

    view.peers[0].streaming = false; /* nobody else could lead */
    view.peers[0].gone_ms = 100000;
    assert_int_equal(written(&view).set.len, 1);
    view.durable = false;
    assert_int_equal(written(&view).set.len, 1);
}

/* One that streams confirms writes before it is in the set. */
static void test_whoever_streamed_is_compared(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.state = HA_STATE_DOWN;
    view.durable = true;
    view.record.set.len = 2; /* n1, n2 */
    view.peers[0].streaming = view.peers[1].streaming = false;
    assert_int_equal(written(&view).set.len, 2);
    view.peers[1].streamed = true;
    GroupRecord room = written(&view);
    assert_int_equal(room.phase, HA_PHASE_FREE);
    assert_true(ha_set_has(&room.set, &view.peers[1].incarnation));
    view.peers[1].follows = false; /* it is not there to be compared */
    check(&view, GROUP_STEP_START_LEADING);
    view.durable = false;
    assert_int_equal(written(&view).set.len, 2);
}

/* Behind a full copy its log is that of before, until it is written anew: its process takes the
 * copy with it. */
static void test_who_has_no_log_of_it_does_not_lead(void **state)
{
    (void)state;
    GroupView view = free_view();
    view.phase_ms = GROUP_BID_MS;
    view.bid = true;
    view.whole = false;
    check(&view, GROUP_STEP_WAIT);
    view.record.heir = view.self;
    check(&view, GROUP_STEP_WAIT);
    view.whole = true;
    assert_int_equal(written(&view).term, 6);

    GroupView leads = leader_view(); /* neither makes room for it, nor lets it in */
    leads.state = HA_STATE_DOWN;
    leads.peers[0].whole = leads.peers[1].whole = false;
    check(&leads, GROUP_STEP_START_LEADING);
    leads = leader_view();
    leads.record.set.len = 1;
    leads.peers[0].whole = false;
    HaSet set = written(&leads).set;
    assert_int_equal(set.len, 2);
    assert_true(ha_set_has(&set, &leads.peers[1].incarnation));

    GroupView back = leader_view(); /* that was a replica for a while */
    back.state = HA_STATE_FOLLOWING;
    back.whole = false;
    check(&back, GROUP_STEP_WAIT);
    back.whole = true;
    check(&back, GROUP_STEP_PROMOTE);
}

/* But what it has counts where one is acknowledged by it. */
static void test_who_has_no_log_of_it_is_compared(void **state)
{
    (void)state;
    GroupView view = durable_free_view();
    view.bid = view.whole = false;
    check(&view, GROUP_STEP_BID);
    view.bid = true;
    check(&view, GROUP_STEP_WAIT);

    view = durable_free_view();
    view.phase_ms = 100000;
    view.peers[1].whole = false;
    view.peers[1].bid_term = 5;
    view.peers[1].offset = 101;
    check(&view, GROUP_STEP_WAIT);
    view.peers[1].offset = 100;
    assert_int_equal(written(&view).term, 6);
}

static void test_one_that_came_lately_is_compared_too(void **state)
{
    (void)state;
    GroupView view = durable_free_view();
    view.record.set.len = 2; /* n1, n2 */
    view.phase_ms = 100000;
    view.peers[1].bid_term = 5;
    view.peers[1].offset = 101;
    check(&view, GROUP_STEP_WAIT);

    GroupView late = durable_free_view();
    late.self = ha_id("n3");
    late.incarnation = ha_id("i3");
    late.record = view.record;
    late.peers[1].node = ha_id("n2");
    late.peers[1].incarnation = ha_id("i2");
    late.phase_ms = 100000;
    check(&late, GROUP_STEP_WAIT); /* before n2 has said */
    late.peers[1].bid_term = 5;
    late.peers[1].offset = 99;
    assert_string_equal(written(&late).leader.text, "n3");
    late.peers[1].offset = 101;
    check(&late, GROUP_STEP_WAIT);
    late.record.set.len = 1; /* the leader was alone: nobody has what it acknowledged */
    check(&late, GROUP_STEP_WAIT);
    late.bid = false;
    check(&late, GROUP_STEP_WAIT);
    late.durable = false;
    check(&late, GROUP_STEP_WAIT);
}

/* The last word of one that is in no set: what the leader acknowledged last may be there alone. */
static void test_one_that_comes_is_waited_for(void **state)
{
    (void)state;
    GroupView view = durable_free_view();
    view.record.set.len = 2; /* n1, n2 */
    view.phase_ms = GROUP_BID_MS;
    check(&view, GROUP_STEP_WAIT); /* n3 has not said what it has */
    view.peers[1].bid_term = 5;
    view.peers[1].offset = 100;
    assert_int_equal(written(&view).term, 6);
    view.peers[1].in_history = false; /* it may just have come into it: it is looked at again */
    view.phase_ms = GROUP_BID_MS - 1;
    check(&view, GROUP_STEP_WAIT);
    view.peers[1].follows = false;
    assert_int_equal(written(&view).term, 6);
    view.peers[1].follows = true;
    view.phase_ms = GROUP_BID_MS;
    assert_int_equal(written(&view).term, 6);
}

/* Its data is gone, theirs is not: they are compared as ever. */
static void test_a_leader_without_data_lets_them_be_compared(void **state)
{
    (void)state;
    GroupView view = durable_view();
    view.state = HA_STATE_EMPTY;
    view.has_data = false;
    view.incarnation = ha_id("");
    GroupRecord room = written(&view);
    assert_int_equal(room.phase, HA_PHASE_FREE);
    assert_string_equal(room.history, "h1");
    assert_int_equal(room.set.len, 3);
    view.record = room;
    check(&view, GROUP_STEP_WAIT);
    view.phase_ms = GROUP_TAKE_MS; /* nobody could: whoever has data, then */
    assert_string_equal(written(&view).history, "");
    view = durable_view();
    view.state = HA_STATE_EMPTY;
    view.has_data = false;
    view.peers[1].follows = false; /* it cannot be compared */
    assert_string_equal(written(&view).history, "");
}

static void test_nobody_makes_room_for_some_of_them(void **state)
{
    (void)state;
    GroupView view = durable_view();
    view.state = HA_STATE_DOWN;
    assert_int_equal(written(&view).phase, HA_PHASE_FREE);
    view.peers[1].follows = false;
    check(&view, GROUP_STEP_START_LEADING); /* n3 may have had more than n2 */
    view.record.set.len = 2;
    assert_int_equal(written(&view).phase, HA_PHASE_FREE);
}

static void test_an_heir_leads_at_once_only_where_it_has_it_all(void **state)
{
    (void)state;
    GroupView view = durable_view();
    view.handover = 1;
    view.record = written(&view);
    assert_string_equal(view.record.heir.text, "n2");
    GroupView dead = view;
    dead.state = HA_STATE_DOWN;
    assert_string_equal(written(&dead).heir.text, ""); /* it died in between */
    dead.durable = false;                              /* the heir has not read all that it sent */
    assert_string_equal(written(&dead).heir.text, "");
    view.state = HA_STATE_FOLLOWING;
    view.peers[0].offset = 100;
    view.peers[1].follows = false;
    view.record = written(&view);
    assert_string_equal(view.record.heir.text, "n2");
    check(&view, GROUP_STEP_WAIT); /* and is not in a hurry to take it back */

    GroupView heir = durable_free_view();
    heir.record = view.record;
    assert_string_equal(written(&heir).former.text, "n1"); /* the fronts may rely on it */
    heir.record.former = ha_id("n3");
    heir.durable = false;
    assert_string_equal(written(&heir).former.text, ""); /* nobody asks */
}

static void test_alone_when_the_record_says_so(void **state)
{
    (void)state;
    GroupView view = durable_view();
    for (size_t i = 0; i < view.peers_len; i++) {
        view.peers[i].streaming = view.peers[i].follows = false;
        view.peers[i].gone_ms = GROUP_GONE_MS - 1;
    }
    assert_true(group_decide(&view).done); /* they wait */
    view.peers[0].gone_ms = view.peers[1].gone_ms = GROUP_GONE_MS;
    GroupRecord record = written(&view);
    assert_int_equal(record.set.len, 1);
    view.record = record;
    GroupView other = view;
    other.claimed = false;
    check(&other, GROUP_STEP_WRITE);
    other = view;
    other.strict = true;
    assert_true(group_decide(&other).done);
    other = view;
    other.durable = false;
    assert_true(group_decide(&other).done);
    check(&view, GROUP_STEP_ALONE);
    view.bond = GROUP_BOND_ALONE;
    assert_true(group_decide(&view).done);
    other = view;
    other.strict = true;
    check(&other, GROUP_STEP_BIND);
    other = view;
    other.durable = false; /* so that it is bound when it is durable again */
    check(&other, GROUP_STEP_BIND);
    other = view;
    other.bond = GROUP_BOND_UNKNOWN;
    check(&other, GROUP_STEP_ALONE);
}

static void test_who_comes_back_counts_when_it_has_it_all(void **state)
{
    (void)state;
    GroupView view = durable_view();
    view.record.set.len = 1;
    view.bond = GROUP_BOND_ALONE;
    view.peers[0].caught = true; /* whatever it may have had before */
    check(&view, GROUP_STEP_BIND);
    view.bond = GROUP_BOND_BOUND;
    view.peers[0].caught = false;
    assert_true(group_decide(&view).done);
    view.peers[0].caught = true;
    assert_int_equal(written(&view).set.len, 2);
}

/* ---- whatever a snapshot may say ---------------------------------------------------------------
 */

static uint64_t seed = 1;

static uint64_t any(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

static HaId any_id(const char *prefix)
{
    char text[8];
    snprintf(text, sizeof(text), "%s%d", prefix, 1 + (int)any(3));
    return ha_id(any(5) == 0 ? "" : text);
}

static GroupView any_view(void)
{
    static const HaState states[] = {HA_STATE_EMPTY,    HA_STATE_DOWN,      HA_STATE_STUCK,
                                     HA_STATE_STARTING, HA_STATE_FOLLOWING, HA_STATE_LEADING,
                                     HA_STATE_SILENT};
    GroupView view = any(2) == 0 ? leader_view() : follower_view();
    view.state = states[any(ARRAY_LEN(states))];
    view.run = any(8) != 0;
    view.gone = any(8) == 0;
    view.deleted = any(8) == 0;
    view.automatic = any(4) != 0;
    view.durable = any(2) == 0;
    view.strict = any(4) == 0;
    view.bond = (GroupBond)any(3);
    view.handover = (int64_t)any(3);
    view.claimed = any(2) == 0;
    view.has_data = any(2) == 0;
    view.asked = any(4) == 0;
    view.failing = any(8) == 0;
    view.busy = any(4) == 0;
    view.link_up = any(2) == 0;
    view.bid = any(2) == 0;
    view.whole = any(4) != 0;
    view.left_offset = (int64_t)any(5) - 1;
    view.paused = any(2) == 0;
    view.offset = (int64_t)any(4);
    view.phase_ms = (int64_t)any(4000);
    view.state_ms = (int64_t)any(40000);
    view.wish_ms = (int64_t)any(20000);
    view.record.phase = (HaPhase)any(3);
    view.record.handover = (int64_t)any(3);
    view.record.heir = any_id("n");
    view.record.history[0] = any(4) == 0 ? '\0' : 'h';
    view.record.set = (HaSet){.len = 0};
    for (size_t i = 0; i < 3; i++) {
        HaId id = any_id("i");
        ha_set_add(&view.record.set, &id);
    }
    for (size_t i = 0; i < view.peers_len; i++) {
        GroupPeer *peer = &view.peers[i];
        peer->known = any(4) != 0;
        peer->has_data = any(2) == 0;
        peer->follows = any(2) == 0;
        peer->in_history = any(2) == 0;
        peer->whole = any(4) != 0;
        peer->offset = (int64_t)any(4);
        peer->bid_term = any(2) == 0 ? view.record.term : 0;
        peer->streaming = any(2) == 0;
        peer->caught = any(2) == 0;
        peer->acked = peer->streaming ? (int64_t)any(4) : -1;
        peer->streamed = any(4) == 0;
        peer->gone_ms = peer->streaming ? 0 : (int64_t)any(2000);
    }
    return view;
}

static bool some_peer_has_data(const GroupView *view)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        if (peer->has_data || peer->in_history || !peer->known) {
            return true;
        }
    }
    return false;
}

/* Of a member of the set whether it has said what it has, and that is no more than `offset`. */
static bool has_said(const GroupView *view, const HaId *incarnation, int64_t offset)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        if (ha_id_eq(&peer->incarnation, incarnation)) {
            return ha_id_eq(&peer->node, &view->record.leader) ||
                   (peer->follows && peer->in_history && peer->bid_term == view->record.term &&
                    peer->offset <= offset);
        }
    }
    return ha_id_eq(incarnation, &view->incarnation);
}

/* What holds of durable groups besides. */
static void durable_invariants(const GroupView *view, const GroupDecision *decision)
{
    const GroupRecord *next = &decision->record;
    const HaSet *set = &view->record.set;
    bool writes = decision->step == GROUP_STEP_WRITE;
    assert_false(decision->step == GROUP_STEP_ALONE &&
                 (!view->durable || view->strict || !view->claimed || set->len > 1));
    if (!view->durable) {
        return;
    }
    for (size_t i = 0; writes && i < view->peers_len; i++) {
        const HaId *incarnation = &view->peers[i].incarnation;
        bool joins = next->phase == HA_PHASE_LEADING && next->term == view->record.term &&
                     ha_set_has(&next->set, incarnation) && !ha_set_has(set, incarnation);
        assert_false(joins && (view->bond != GROUP_BOND_BOUND || !view->peers[i].caught));
    }
    bool takes = writes && next->term != view->record.term;
    if (!takes || view->record.history[0] == '\0' || ha_id_eq(&view->record.heir, &view->self)) {
        return;
    }
    assert_true(set->len > 1);
    for (size_t i = 1; i < set->len; i++) {
        assert_true(has_said(view, &set->items[i], view->offset));
    }
}

static void test_whatever_a_snapshot_says(void **state)
{
    (void)state;
    for (int i = 0; i < TRIES; i++) {
        GroupView view = any_view();
        GroupDecision decision = group_decide(&view); /* asserts that the table has it */
        const GroupRecord *next = &decision.record;
        bool writes = decision.step == GROUP_STEP_WRITE;
        bool starts = decision.step == GROUP_STEP_START_LEADING;
        /* Nobody leads without a write of one's own (F2). */
        assert_false((starts || decision.step == GROUP_STEP_PROMOTE) && !view.claimed);
        /* Nor with what a start would not find again. */
        bool takes = writes && next->term != view.record.term;
        assert_false((takes || decision.step == GROUP_STEP_PROMOTE) && !view.whole);
        /* Nobody starts as primary with nothing, while a member has something, or may have. */
        assert_false(starts && !view.has_data && some_peer_has_data(&view));
        /* A term begins only where it is free, and its set is the new leader alone (F4). */
        assert_false(takes && (view.record.phase != HA_PHASE_FREE || next->set.len > 1));
        assert_false(writes && next->term < view.record.term);
        /* Free: nothing of the leader takes writes any more. */
        bool frees = writes && next->phase == HA_PHASE_FREE && view.record.phase != HA_PHASE_FREE;
        assert_false(frees && view.state != HA_STATE_DOWN && view.state != HA_STATE_EMPTY &&
                     view.state != HA_STATE_FOLLOWING);
        durable_invariants(&view, &decision);
    }
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
        cmocka_unit_test(test_an_empty_leader_makes_room_for_who_has_data),
        cmocka_unit_test(test_an_empty_leader_makes_room_as_one_that_has_died),
        cmocka_unit_test(test_an_empty_leader_waits_for_word_of_all),
        cmocka_unit_test(test_a_leader_that_cannot_load_its_data_makes_room),
        cmocka_unit_test(test_another_history_begins_another_set),
        cmocka_unit_test(test_the_set_follows_what_the_leader_sees),
        cmocka_unit_test(test_a_deposed_leader_follows),
        cmocka_unit_test(test_another_leader_is_followed_once_it_leads),
        cmocka_unit_test(test_a_planned_change),
        cmocka_unit_test(test_a_change_goes_back_where_the_heir_lacks_something),
        cmocka_unit_test(test_a_change_that_takes_too_long_is_given_up),
        cmocka_unit_test(test_a_wish_that_nobody_can_fulfil_ends),
        cmocka_unit_test(test_a_leader_that_leaves_hands_over_first),
        cmocka_unit_test(test_all_of_the_set_are_compared),
        cmocka_unit_test(test_who_leaves_is_replaced_in_what_it_has),
        cmocka_unit_test(test_whoever_streamed_is_compared),
        cmocka_unit_test(test_who_has_no_log_of_it_does_not_lead),
        cmocka_unit_test(test_who_has_no_log_of_it_is_compared),
        cmocka_unit_test(test_one_that_came_lately_is_compared_too),
        cmocka_unit_test(test_one_that_comes_is_waited_for),
        cmocka_unit_test(test_a_leader_without_data_lets_them_be_compared),
        cmocka_unit_test(test_nobody_makes_room_for_some_of_them),
        cmocka_unit_test(test_an_heir_leads_at_once_only_where_it_has_it_all),
        cmocka_unit_test(test_alone_when_the_record_says_so),
        cmocka_unit_test(test_who_comes_back_counts_when_it_has_it_all),
        cmocka_unit_test(test_whatever_a_snapshot_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
