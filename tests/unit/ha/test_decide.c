/* What nodes do next: each rule on its own, and what holds of whatever a snapshot may say. */
#include "../unit.h"

#include "ha/ha.h"

#define TRIES 300000

/* Two nodes, n1 with data i1 leads, n2 with i2 follows; all is well. */
static HaView leader_view(void)
{
    HaView view = {.run = true,
                   .claimed = true,
                   .fresh = false,
                   .self = ha_id("n1"),
                   .incarnation = ha_id("i1"),
                   .state = HA_STATE_LEADING,
                   .data = HA_DATA_LED,
                   .timeline = 1,
                   .names_set = true,
                   .open = true,
                   .peers_len = 1};
    view.record = (HaRecord){.term = 5, .leader = ha_id("n1"), .proven = true, .history_len = 1};
    view.record.history[0] = (HaFork){.timeline = 1};
    view.record.history_term = 5;
    ha_set_add(&view.record.set, &view.incarnation);
    view.peers[0] = (HaPeer){.node = ha_id("n2"),
                             .incarnation = ha_id("i2"),
                             .wanted = true,
                             .follows = true,
                             .hears = true,
                             .streaming = true,
                             .bound = true};
    ha_set_add(&view.record.set, &view.peers[0].incarnation);
    ha_set_add(&view.names, &view.peers[0].incarnation);
    return view;
}

static HaView follower_view(void)
{
    HaView view = leader_view();
    view.self = ha_id("n2");
    view.incarnation = ha_id("i2");
    view.state = HA_STATE_FOLLOWING;
    view.data = HA_DATA_COPY;
    view.claimed = view.names_set = view.open = false;
    view.names = (HaSet){.len = 0};
    view.link_up = view.source_right = view.leader_serves = true;
    view.peers[0] = (HaPeer){.node = ha_id("n1"), .incarnation = ha_id("i1")};
    return view;
}

static void check(const HaView *view, HaStep step)
{
    HaDecision decision = ha_decide(view);
    if (decision.step != step) {
        print_message("%s instead of %s: %s\n", ha_step_name(decision.step), ha_step_name(step),
                      decision.why);
    }
    assert_int_equal(decision.step, step);
}

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

/* ---- the set ----------------------------------------------------------------------------------
 */

static void test_degrades_late(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.peers[0].streaming = view.peers[0].bound = false;
    view.peers[0].gone_ms = HA_DEGRADE_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.peers[0].gone_ms = HA_DEGRADE_MS;
    view.child_died = true;
    check(&view, HA_STEP_WAIT);
    view.child_died = false;
    view.disk_ms = HA_DISK_MS + 1;
    check(&view, HA_STEP_WAIT);
    view.disk_ms = 0;
    view.strict = view.record.strict = true;
    check(&view, HA_STEP_WAIT);
    view.strict = view.record.strict = false;
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.set.len, 1);

    view.record = record; /* the record first, then the names */
    view.fresh = true;
    check(&view, HA_STEP_NAMES);
    view.fresh = false;
    check(&view, HA_STEP_WRITE);
}

/* The standby's data was lost, and it has made itself anew: it is another incarnation. */
static void test_strict_lets_go_of_data_that_nobody_has(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.strict = view.record.strict = true;
    view.peers[0].incarnation = ha_id("i3");
    view.joining = ha_id("i3");
    ha_set_add(&view.names, &view.joining);
    check(&view, HA_STEP_WRITE); /* the new one is let in, and the old one waited for still */
    view.record = ha_decide(&view).record;
    assert_int_equal(view.record.set.len, 3);
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.set.len, 2);
    assert_true(ha_set_has(&record.set, &view.joining));
    view.peers[0].streaming = false;
    view.peers[0].gone_ms = HA_DEGRADE_MS;
    check(&view, HA_STEP_WAIT);
}

static void test_a_reported_end_degrades_at_once(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.peers[0].streaming = view.peers[0].follows = false;
    view.peers[0].gone_ms = 1;
    check(&view, HA_STEP_WAIT);
    view.peers[0].ended = true;
    check(&view, HA_STEP_WRITE);
}

static void test_a_standby_joins_name_first(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.set.len = 1;
    view.names.len = 0;
    view.peers[0].bound = false;
    check(&view, HA_STEP_NAMES);
    assert_string_equal(ha_decide(&view).joining.text, "i2");
    view.joining = ha_id("i2");
    ha_set_add(&view.names, &view.joining);
    check(&view, HA_STEP_WAIT);
    view.peers[0].bound = true;
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.set.len, 2);

    HaView in = view;
    in.record = record;
    assert_true(ha_decide(&in).done);

    view.peers[0].streaming = false; /* away for a moment: the proof ends walsenders */
    view.peers[0].gone_ms = HA_DEGRADE_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.peers[0].bound = false;
    check(&view, HA_STEP_WAIT);
    view.peers[0].ended = true;
    check(&view, HA_STEP_WRITE);
    view.peers[0].ended = false;
    view.peers[0].gone_ms = HA_DEGRADE_MS; /* it has gone before it was let in */
    check(&view, HA_STEP_WRITE);
    assert_int_equal(ha_decide(&view).record.set.len, 1);
    view.fresh = true;
    check(&view, HA_STEP_NAMES);
    assert_string_equal(ha_decide(&view).joining.text, "");
}

static void test_nothing_counts_that_another_process_wrote(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.claimed = false;
    check(&view, HA_STEP_WRITE);
    view = leader_view();
    view.names_set = false;
    check(&view, HA_STEP_WRITE); /* what it waits for is not known: a write behind it first */
}

static void test_clients_wait_for_the_standby(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.open = view.peers[0].bound = false;
    check(&view, HA_STEP_WAIT);
    view.peers[0].bound = true;
    check(&view, HA_STEP_OPEN);
    view.record.strict = view.strict = true;
    view.record.set.len = 1;
    view.names.len = 0;
    view.peers[0].streaming = false;
    view.peers[0].gone_ms = 10;
    check(&view, HA_STEP_WAIT);
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

/* ---- whatever the snapshot says ----------------------------------------------------------------
 */

static uint64_t roll(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static bool coin(uint64_t *seed)
{
    return roll(seed) % 2 == 0;
}

static int64_t time_of(uint64_t *seed)
{
    static const int64_t times[] = {0, 1, 250, 999, 1000, 1250, 1500, 3000, 9999, 10000, 30000};
    return times[roll(seed) % ARRAY_LEN(times)];
}

static HaSet set_of(uint64_t *seed)
{
    HaSet set = {.len = 0};
    static const char *const ids[] = {"i1", "i2", "i3", "i9"};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        if (coin(seed)) {
            HaId id = ha_id(ids[i]);
            ha_set_add(&set, &id);
        }
    }
    return set;
}

static HaView any_view(uint64_t *seed)
{
    static const char *const nodes[] = {"", "n1", "n2", "n3"};
    HaView view = {.run = roll(seed) % 8 != 0,
                   .gone = roll(seed) % 8 == 0,
                   .deleted = coin(seed),
                   .replica = roll(seed) % 8 == 0,
                   .strict = coin(seed),
                   .heir = ha_id(nodes[roll(seed) % 4]),
                   .handover = (int64_t)(roll(seed) % 3),
                   .claimed = coin(seed),
                   .fresh = coin(seed),
                   .phase_ms = time_of(seed),
                   .self = ha_id("n1"),
                   .incarnation = ha_id(coin(seed) ? "i1" : ""),
                   .state = (HaState)(roll(seed) % HA_STATES),
                   .data = (HaData)(roll(seed) % 3),
                   .asked = coin(seed),
                   .diverged = coin(seed),
                   .busy = coin(seed),
                   .state_ms = time_of(seed),
                   .timeline = (int64_t)(roll(seed) % 3),
                   .names = set_of(seed),
                   .names_set = coin(seed),
                   .open = coin(seed),
                   .child_died = coin(seed),
                   .disk_ms = time_of(seed),
                   .cut_off_ms = time_of(seed),
                   .link_up = coin(seed),
                   .link_ms = time_of(seed),
                   .source_right = coin(seed),
                   .leader_serves = coin(seed),
                   .leader_here = coin(seed),
                   .leader_ms = time_of(seed),
                   .peers_len = roll(seed) % 3};
    if (view.state == HA_STATE_EMPTY) {
        view.incarnation = ha_id("");
    }
    view.joining = ha_id(coin(seed) ? "i2" : "");
    view.wish_ms = time_of(seed);
    view.record = (HaRecord){.term = 3,
                             .leader = ha_id(nodes[1 + roll(seed) % 3]),
                             .phase = (HaPhase)(roll(seed) % 3),
                             .proven = coin(seed),
                             .strict = coin(seed),
                             .set = set_of(seed),
                             .heir = ha_id(nodes[roll(seed) % 4]),
                             .handover = (int64_t)(roll(seed) % 3),
                             .history_len = roll(seed) % 2,
                             .history_term = (int64_t)(2 + roll(seed) % 2)};
    view.record.history[0] = (HaFork){.timeline = 1};
    for (size_t i = 0; i < view.peers_len; i++) {
        view.peers[i] = (HaPeer){.node = ha_id(nodes[2 + i]),
                                 .incarnation = ha_id(coin(seed) ? ""
                                                      : i == 0   ? "i2"
                                                                 : "i3"),
                                 .wanted = coin(seed),
                                 .follows = coin(seed),
                                 .ended = coin(seed),
                                 .hears = coin(seed),
                                 .streaming = coin(seed),
                                 .bound = coin(seed)};
        view.peers[i].gone_ms = view.peers[i].streaming ? 0 : time_of(seed);
    }
    return view;
}

#define MIX(field)                                                                                 \
    if (roll(seed) % 8 == 0) {                                                                     \
        view.field = other.field;                                                                  \
    }

/* All is well, but for a few things. */
static HaView near_view(uint64_t *seed)
{
    HaView other = any_view(seed);
    HaView view = coin(seed) ? leader_view() : follower_view();
    MIX(strict)
    MIX(heir)
    MIX(handover)
    MIX(wish_ms)
    MIX(record.phase)
    MIX(record.proven)
    MIX(record.set)
    MIX(record.strict)
    MIX(record.history_term)
    MIX(claimed)
    MIX(fresh)
    MIX(phase_ms)
    MIX(state)
    MIX(data)
    MIX(asked)
    MIX(diverged)
    MIX(state_ms)
    MIX(timeline)
    MIX(names)
    MIX(joining)
    MIX(names_set)
    MIX(open)
    MIX(disk_ms)
    MIX(link_up)
    MIX(link_ms)
    MIX(leader_ms)
    for (size_t i = 0; i < view.peers_len && i < other.peers_len; i++) {
        MIX(peers[i].wanted)
        MIX(peers[i].follows)
        MIX(peers[i].streaming)
        MIX(peers[i].bound)
    }
    if (view.state == HA_STATE_EMPTY) {
        view.incarnation = ha_id("");
    }
    return view;
}

static bool includes(const HaSet *all, const HaSet *part)
{
    for (size_t i = 0; i < part->len; i++) {
        if (!ha_set_has(all, &part->items[i])) {
            return false;
        }
    }
    return true;
}

static const HaPeer *peer_of(const HaView *view, const HaId *incarnation)
{
    for (size_t i = 0; i < view->peers_len; i++) {
        if (ha_id_eq(&view->peers[i].incarnation, incarnation)) {
            return &view->peers[i];
        }
    }
    return NULL;
}

/* Of what is written: terms only grow, with the leader; who is let in has it all; the set of a new
 * term is its leader alone, and that one was in the set before. */
static void check_write(const HaView *view, const HaRecord *next)
{
    const HaRecord *record = &view->record;
    assert_int_equal(next->writes, record->writes + 1);
    if (next->term != record->term) {
        assert_int_equal(next->term, record->term + 1);
        assert_string_equal(next->leader.text, view->self.text);
        assert_int_equal(next->set.len, 1);
        assert_true(ha_set_has(&record->set, &view->incarnation));
        assert_false(view->diverged);
        assert_int_equal(view->state, HA_STATE_FOLLOWING);
        assert_true(next->proven == (record->phase == HA_PHASE_FREE));
        return;
    }
    assert_string_equal(next->leader.text, record->leader.text);
    assert_string_equal(record->leader.text, view->self.text);
    for (size_t i = 0; i < next->set.len; i++) {
        const HaId *member = &next->set.items[i];
        if (!ha_set_has(&record->set, member) && !ha_id_eq(member, &view->incarnation)) {
            const HaPeer *peer = peer_of(view, member);
            assert_non_null(peer);
            assert_true(peer->bound && peer->streaming && view->claimed &&
                        ha_set_has(&view->names, member));
        }
    }
    if (next->phase == HA_PHASE_FREE) {
        assert_true(view->state == HA_STATE_DOWN || view->state == HA_STATE_EMPTY);
    }
}

static void check_decision(const HaView *view)
{
    HaDecision decision = ha_decide(view); /* which asserts that the table has it */
    const HaRecord *record = &view->record;
    HaSet standbys = ha_standbys(record, &view->incarnation, &decision.joining);
    switch (decision.step) {
    case HA_STEP_WRITE:
        check_write(view, &decision.record);
        break;
    case HA_STEP_START_LEADING:
    case HA_STEP_PROMOTE:
        assert_true(view->claimed && ha_duty(view) == HA_DUTY_LEAD);
        assert_true(record->phase != HA_PHASE_FREE);
        break;
    case HA_STEP_NAMES:
        assert_true(view->claimed);
        assert_true(view->fresh || (view->names_set && includes(&standbys, &view->names)));
        break;
    case HA_STEP_OPEN:
        assert_true(view->claimed && record->phase == HA_PHASE_LEADING);
        assert_int_equal(view->timeline, ha_record_timeline(record));
        assert_true(ha_set_eq(&standbys, &view->names) || !ha_id_is_empty(&view->joining));
        for (size_t i = 0; i < standbys.len; i++) {
            assert_true(peer_of(view, &standbys.items[i])->bound);
        }
        assert_true(record->proven ||
                    view->state_ms + view->cut_off_ms >= HA_RIGHT_MS + HA_MARGIN_MS);
        break;
    case HA_STEP_REJOIN:
    case HA_STEP_COPY:
    case HA_STEP_REMOVE:
        assert_true(view->deleted || !ha_set_has(&record->set, &view->incarnation));
        break;
    case HA_STEP_MAKE:
        assert_int_equal(record->set.len, 0);
        break;
    case HA_STEP_WAIT:
    case HA_STEP_START_FOLLOWING:
    case HA_STEP_SOURCE:
    case HA_STEP_STOP:
    case HA_STEP_KILL:
        break;
    }
}

static void test_whatever_the_snapshot_says(void **state)
{
    (void)state;
    uint64_t seed = 0x9e3779b97f4a7c15U;
    size_t steps[HA_STEPS] = {0};
    for (int i = 0; i < TRIES; i++) {
        HaView view = i % 2 == 0 ? any_view(&seed) : near_view(&seed);
        check_decision(&view);
        steps[ha_decide(&view).step]++;
    }
    for (size_t i = 0; i < HA_STEPS; i++) { /* and each step was there */
        if (steps[i] == 0) {
            fail_msg("never: %s", ha_step_name((HaStep)i));
        }
    }
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
        cmocka_unit_test(test_degrades_late),
        cmocka_unit_test(test_strict_lets_go_of_data_that_nobody_has),
        cmocka_unit_test(test_a_reported_end_degrades_at_once),
        cmocka_unit_test(test_a_standby_joins_name_first),
        cmocka_unit_test(test_nothing_counts_that_another_process_wrote),
        cmocka_unit_test(test_clients_wait_for_the_standby),
        cmocka_unit_test(test_a_diverged_one_leaves_the_set_first),
        cmocka_unit_test(test_one_of_the_set_starts_without_a_leader),
        cmocka_unit_test(test_an_heir_comes_first),
        cmocka_unit_test(test_a_planned_change_in_vain),
        cmocka_unit_test(test_a_planned_change),
        cmocka_unit_test(test_leaving),
        cmocka_unit_test(test_a_leader_that_shall_leave_hands_over_first),
        cmocka_unit_test(test_whatever_the_snapshot_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
