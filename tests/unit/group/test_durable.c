/* Durable groups: a write is acknowledged when a replica has it, and whoever has it leads next. */
#include "views.h"

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

/* While a stranger confirms writes, what was acknowledged need not be on one that joins. */
static void test_nobody_joins_beside_a_stranger(void **state)
{
    (void)state;
    GroupView view = leader_view();
    view.durable = true;
    view.record.set.len = 1;
    view.peers[0].caught = view.peers[1].caught = true;
    assert_int_equal(written(&view).set.len, 3);
    view.admitted = false;
    check(&view, GROUP_STEP_WAIT);
    view.durable = false;
    assert_int_equal(written(&view).set.len, 3);
    view.durable = true;
    view.record.set.len = 3; /* those who are in stay */
    check(&view, GROUP_STEP_WAIT);
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
    view.peers[1].follows = false; /* it cannot be compared yet */
    check(&view, GROUP_STEP_WAIT);
    view.state_ms = GROUP_TAKE_MS;
    assert_string_equal(written(&view).history, "");
}

/* What it cannot load may be more than they have. */
static void test_a_leader_that_cannot_start_is_not_given_up(void **state)
{
    (void)state;
    GroupView view = durable_view();
    view.state = HA_STATE_DOWN;
    view.failing = true;
    view.record.set.len = 1; /* it has acknowledged alone */
    view.peers[0].in_history = view.peers[1].in_history = false;
    check(&view, GROUP_STEP_START_LEADING);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_of_the_set_are_compared),
        cmocka_unit_test(test_who_leaves_is_replaced_in_what_it_has),
        cmocka_unit_test(test_nobody_joins_beside_a_stranger),
        cmocka_unit_test(test_whoever_streamed_is_compared),
        cmocka_unit_test(test_who_has_no_log_of_it_does_not_lead),
        cmocka_unit_test(test_who_has_no_log_of_it_is_compared),
        cmocka_unit_test(test_one_that_came_lately_is_compared_too),
        cmocka_unit_test(test_one_that_comes_is_waited_for),
        cmocka_unit_test(test_a_leader_without_data_lets_them_be_compared),
        cmocka_unit_test(test_a_leader_that_cannot_start_is_not_given_up),
        cmocka_unit_test(test_nobody_makes_room_for_some_of_them),
        cmocka_unit_test(test_an_heir_leads_at_once_only_where_it_has_it_all),
        cmocka_unit_test(test_alone_when_the_record_says_so),
        cmocka_unit_test(test_who_comes_back_counts_when_it_has_it_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
