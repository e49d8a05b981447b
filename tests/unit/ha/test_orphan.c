/* Where nobody may lead: the leader is lost, and led alone, or the store is a copy of the past. */
#include "views.h"

/* Its leader is on a lost host, and it is not in the set. */
static HaView orphan_view(void)
{
    HaView view = follower_view();
    view.record.set.len = 1;
    view.link_up = view.leader_serves = false;
    view.link_ms = view.leader_ms = HA_WITNESS_MS;
    return view;
}

static void test_by_somebody_s_word(void **state)
{
    (void)state;
    HaView view = orphan_view();
    check(&view, HA_STEP_WAIT);
    view.record.admitted = view.incarnation;
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.term, 6);
    assert_string_equal(record.leader.text, "n2");
    assert_true(ha_id_is_empty(&record.admitted));
    assert_int_equal(record.set.len, 1);
    assert_true(ha_set_has(&record.set, &view.incarnation));
    assert_false(record.proven);
    assert_true(record.unsure); /* it may not have followed the last timeline */
    view.leader_ms = 0;         /* a witness */
    check(&view, HA_STEP_WAIT);
    view.leader_ms = HA_WITNESS_MS;
    view.link_up = true;
    check(&view, HA_STEP_WAIT);
    view.link_up = false;
    view.diverged = true; /* it went another way: it goes on from there */
    check(&view, HA_STEP_WRITE);
    view.record.admitted = (HaId){0};
    check(&view, HA_STEP_STOP);
}

/* It starts for that, and its data stays until then. */
static void test_one_that_is_down(void **state)
{
    (void)state;
    HaView view = orphan_view();
    view.state = HA_STATE_DOWN;
    check(&view, HA_STEP_WAIT);
    view.record.admitted = view.incarnation;
    check(&view, HA_STEP_START_FOLLOWING);
    view.data = HA_DATA_LED;
    check(&view, HA_STEP_START_FOLLOWING);
    view.leader_serves = true; /* it is there after all */
    check(&view, HA_STEP_WAIT);
    view.record.admitted = (HaId){0};
    check(&view, HA_STEP_REJOIN);
}

/* A leader that the copy knows, and that was promoted behind it: others may have been as well. */
static void test_a_leader_that_a_copy_is_behind(void **state)
{
    (void)state;
    HaView view = leader_view();
    ha_record_reset(&view.record);
    view.timeline = 4;
    view.fork_lsn = 400;
    for (int64_t i = 2; i < 4; i++) {
        ha_view_went_through(&view, (HaFork){.timeline = i, .lsn = (uint64_t)i * 100});
    }
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(ha_record_timeline(&record), 4);
    assert_int_equal(record.history_len, 4);
    assert_true(record.unsure);
    view.record.unsure = false; /* as ever it does not make good what it cannot know */
    check(&view, HA_STEP_WAIT);
    assert_true(ha_decide(&view).stuck);
}

static void test_many_timelines(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.unsure = true;
    for (int64_t i = 2; i < 30; i++) {
        ha_view_went_through(&view, (HaFork){.timeline = i, .lsn = (uint64_t)i});
    }
    view.timeline = 30;
    view.record.history_term = 0;
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.history_len, HA_HISTORY_MAX);
    assert_int_equal(record.history[0].timeline, 30 - HA_HISTORY_MAX + 1);
    assert_int_equal(ha_record_timeline(&record), 30);
}

/* A copy of the store of when nobody had led yet: what became of it is not known. */
static void test_a_copy_of_the_beginning(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.state = HA_STATE_EMPTY;
    view.incarnation = (HaId){0};
    view.record.set.len = 0;
    view.record.history_len = 0;
    check(&view, HA_STEP_MAKE);
    ha_record_reset(&view.record);
    check(&view, HA_STEP_WAIT);
    assert_true(ha_decide(&view).stuck);
    assert_non_null(strstr(ha_decide(&view).why, "it had not begun"));
    view.state = HA_STATE_DOWN; /* it may be other data */
    view.incarnation = ha_id("i1");
    check(&view, HA_STEP_WAIT);
    view.record.admitted = view.incarnation;
    view.claimed = false;
    check(&view, HA_STEP_WRITE);
    HaView other = orphan_view();
    other.record = view.record;
    other.record.admitted = (HaId){0};
    other.state = HA_STATE_DOWN;
    other.gone = true;
    check(&other, HA_STEP_WAIT);
}

static void test_one_that_leaves_keeps_its_data_while_nobody_leads(void **state)
{
    (void)state;
    HaView view = orphan_view();
    view.state = HA_STATE_DOWN;
    view.gone = true;
    check(&view, HA_STEP_WAIT);
    view.replica = true; /* which never leads */
    check(&view, HA_STEP_REMOVE);
    view.replica = false;
    view.deleted = true;
    check(&view, HA_STEP_REMOVE);
    view.deleted = false;
    view.leader_serves = true;
    check(&view, HA_STEP_REMOVE);
    view.record.admitted = view.incarnation;
    check(&view, HA_STEP_START_FOLLOWING);
}

/* The leader is there after all. */
static void test_who_is_admitted_is_forgotten(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.set.len = 1;
    view.names.len = 0;
    view.record.admitted = ha_id("i2");
    view.claimed = false; /* somebody has written */
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_true(ha_id_is_empty(&record.admitted));
    assert_int_equal(record.set.len, 1);
    view.state = HA_STATE_DOWN; /* no room is made for it: it lacks what the leader has */
    check(&view, HA_STEP_WRITE);
    record = ha_decide(&view).record;
    assert_true(ha_id_is_empty(&record.admitted));
    assert_int_equal(record.phase, HA_PHASE_LEADING);
    view.state = HA_STATE_FOLLOWING;
    check(&view, HA_STEP_WRITE);
    record = ha_decide(&view).record;
    assert_true(ha_id_is_empty(&record.admitted));
}

static void test_a_leader_without_data_makes_room(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.set.len = 1;
    view.state = HA_STATE_EMPTY;
    view.incarnation = ha_id("");
    view.claimed = false;
    check(&view, HA_STEP_WAIT);
    assert_true(ha_decide(&view).stuck);
    view.peers[0].incarnation = ha_id(""); /* one that has nothing either */
    check(&view, HA_STEP_WAIT);
    view.record.admitted = view.peers[0].incarnation = ha_id("i2");
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.phase, HA_PHASE_FREE);
    HaView other = orphan_view();
    other.leader_here = true;
    other.record = record;
    check(&other, HA_STEP_WRITE);
    assert_true(ha_decide(&other).record.proven);
}

/* Its data is there again before who was admitted has taken the lead. */
static void test_a_leader_takes_back(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.record.set.len = 1;
    view.record.phase = HA_PHASE_FREE;
    view.record.admitted = ha_id("i2");
    view.state = HA_STATE_DOWN;
    view.claimed = false;
    check(&view, HA_STEP_WRITE);
    HaRecord record = ha_decide(&view).record;
    assert_int_equal(record.phase, HA_PHASE_LEADING);
    assert_true(ha_id_is_empty(&record.admitted));
}

/* The store is a copy of when it had other data. */
static void test_a_leader_with_other_data(void **state)
{
    (void)state;
    static const HaState states[] = {HA_STATE_DOWN, HA_STATE_FOLLOWING, HA_STATE_LEADING};
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        HaView view = leader_view();
        ha_record_reset(&view.record);
        view.incarnation = ha_id("i8");
        view.state = states[i];
        view.timeline = 3;
        check(&view, HA_STEP_WAIT);
        assert_true(ha_decide(&view).stuck);
        view.claimed = false;
        view.record.admitted = view.incarnation;
        check(&view, HA_STEP_WRITE);
        HaRecord record = ha_decide(&view).record;
        assert_int_equal(record.set.len, 1);
        assert_true(ha_set_has(&record.set, &view.incarnation));
        assert_true(ha_id_is_empty(&record.admitted));
        assert_int_equal(ha_record_timeline(&record), view.state == HA_STATE_LEADING ? 3 : 0);
    }
}

/* Whether it ran meanwhile or not, it goes on on the timeline that it has. */
static void test_a_leader_by_a_copy(void **state)
{
    (void)state;
    HaView view = leader_view();
    ha_record_reset(&view.record);
    view.claimed = false;
    check(&view, HA_STEP_WRITE);
    view.record = ha_decide(&view).record;
    assert_int_equal(view.record.term, 5 + HA_TERMS_UNSURE);
    assert_int_equal(ha_record_timeline(&view.record), 1);
    assert_int_equal(view.record.history_len, 1);
    view.claimed = view.fresh = true;
    check(&view, HA_STEP_NAMES); /* its standby has to join anew */
    view.state = HA_STATE_DOWN;
    check(&view, HA_STEP_START_LEADING);
}

/* The one that was lost had gone over to timeline 2 at 100, on which this one never was. */
static void test_forks_of_the_lost(void **state)
{
    (void)state;
    static const uint64_t lsns[] = {80, 100, 120};
    for (size_t i = 0; i < ARRAY_LEN(lsns); i++) {
        HaView view = leader_view();
        view.record.term = 7;
        view.record.unsure = true;
        view.record.history_len = 2;
        view.record.history[1] = (HaFork){.timeline = 2, .lsn = 100};
        view.record.history_term = 6;
        view.timeline = 19;
        view.fork_lsn = lsns[i];
        check(&view, HA_STEP_WRITE);
        HaRecord record = ha_decide(&view).record;
        assert_false(record.unsure);
        assert_int_equal(record.history_len, 2);
        assert_int_equal(ha_record_timeline(&record), 19);
        assert_true(ha_record_strange(&record, 2) && !ha_record_strange(&record, 1));
        assert_true(ha_record_diverged(&record, 1, lsns[i] + 1));
        assert_false(ha_record_diverged(&record, 1, lsns[i]));
        assert_true(ha_record_diverged(&record, 2, 101));
        assert_true(ha_record_diverged(&record, 2, 1));
        assert_false(ha_record_diverged(&record, 19, 200));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_somebody_s_word),
        cmocka_unit_test(test_one_that_is_down),
        cmocka_unit_test(test_one_that_leaves_keeps_its_data_while_nobody_leads),
        cmocka_unit_test(test_who_is_admitted_is_forgotten),
        cmocka_unit_test(test_a_leader_without_data_makes_room),
        cmocka_unit_test(test_a_leader_with_other_data),
        cmocka_unit_test(test_a_leader_takes_back),
        cmocka_unit_test(test_a_leader_by_a_copy),
        cmocka_unit_test(test_forks_of_the_lost),
        cmocka_unit_test(test_a_leader_that_a_copy_is_behind),
        cmocka_unit_test(test_many_timelines),
        cmocka_unit_test(test_a_copy_of_the_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
