/* The set, that is, whom commits wait for: who leaves it, who is let in, and what clients wait for
 * meanwhile. */
#include "views.h"

static void test_degrades_late(void **state)
{
    (void)state;
    HaView view = leader_view();
    view.peers[0].streaming = view.peers[0].bound = false;
    view.peers[0].gone_ms = HA_DEGRADE_MS - 1;
    check(&view, HA_STEP_WAIT);
    view.peers[0].gone_ms = HA_DEGRADE_MS;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_degrades_late),
        cmocka_unit_test(test_strict_lets_go_of_data_that_nobody_has),
        cmocka_unit_test(test_a_reported_end_degrades_at_once),
        cmocka_unit_test(test_a_standby_joins_name_first),
        cmocka_unit_test(test_nothing_counts_that_another_process_wrote),
        cmocka_unit_test(test_clients_wait_for_the_standby),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
