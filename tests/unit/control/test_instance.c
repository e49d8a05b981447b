/* Instances: what is asked for becomes goals, what is seen becomes statuses, and a round that finds
 * nothing to do writes nothing. */
#include "harness.h"

/* ---- goals and statuses ------------------------------------------------------------------------
 */

static void test_goals_of_a_multi_az_instance(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "creating");
    assert_member(store, "node/db-app-1/goal", "role", "primary");
    assert_member(store, "node/db-app-1/goal", "zone", "a");
    assert_member(store, "node/db-app-2/goal", "role", "standby");
    assert_member(store, "node/db-app-2/goal", "zone", "b");
    assert_member(store, "node/db-app-2/goal", "source", "db-app-1");
    assert_member(store, "cluster/db-app", "leader", "db-app-1");
    json_t *first = get(store, "node/db-app-1/goal");
    json_t *second = get(store, "node/db-app-2/goal");
    assert_true(member_has(first, "peers", "db-app-2"));
    assert_true(member_has(first, "followers", "db-app-2"));
    assert_true(member_has(second, "peers", "db-app-1")); /* either may lead */
    assert_true(member_has(second, "followers", "db-app-1"));
    assert_string_equal(member_str(second, "cluster", ""), "db-app");
    assert_string_equal(member_str(second, "master_user", ""),
                        member_str(first, "master_user", "x"));
    assert_string_not_equal(member_str(second, "address", ""), member_str(first, "address", ""));
    json_decref(first);
    json_decref(second);
    store_close(store);
}

static void test_security_rules_reach_the_relay(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    json_t *goal = get(store, "plane/relay-db-app/goal");
    json_t *rules = member_array(member_object(goal, "config"), "security_rules");
    assert_int_equal(json_array_size(rules), 1); /* the other rule is for other ports */
    assert_string_equal(member_str(json_array_get(rules, 0), "cidr", ""), "10.0.0.0/8");
    json_decref(goal);
    store_close(store);
}

/* Available means synchronous: not before the standby is in the set and counted as sync. */
static void test_available_only_when_synchronous(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    see_node(store, "db-app-1", "a", "");
    see_node(store, "db-app-2", "b", "");
    see_plane(store, "relay-db-app");
    assert_true(round_once(store));
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "creating");
    put(store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    assert_true(round_once(store));
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "creating");
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    store_close(store);
}

static void test_nothing_to_do_writes_nothing(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    assert_false(round_once(store));
    assert_settled(store);
    store_close(store);
}

/* A status with a message is put twice in a round, first without it. */
static void test_a_message_is_written_once(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    put(store, "node/db-app-1/seen", "{\"state\":\"failed\",\"error\":\"the disk is full\"}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "message", "node db-app-1: the disk is full");
    assert_settled(store);
    store_close(store);
}

static void test_an_engine_that_ends_shows(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "node/db-app-1/seen", "{\"state\":\"starting\",\"incarnation\":\"a\"}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "starting");
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    put(store, "node/db-app-2/seen", "{\"state\":\"starting\",\"incarnation\":\"b\"}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    assert_member(store, "status/db-instance/app", "message",
                  "the standby is away: commits wait for it");
    assert_settled(store);
    store_close(store);
}

static void test_stopped_and_started(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    json_t *spec = get(store, "spec/db-instance/app");
    json_object_set_new(spec, "desired_state", json_string("stopped"));
    char *text = json_dumps(spec, 0);
    put(store, "spec/db-instance/app", text);
    round_once(store);
    see_node_in(store, "db-app-1", "stopped", "");
    see_node_in(store, "db-app-2", "stopped", "");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "stopped");
    assert_true(event_said(store, "DB instance stopped"));
    put(store, "spec/db-instance/app", instance_spec);
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "starting");
    assert_false(event_said(store, "DB instance started"));
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    assert_true(event_said(store, "DB instance started"));
    assert_false(event_said(store, "DB instance restarted"));
    assert_settled(store);
    free(text);
    json_decref(spec);
    store_close(store);
}

/* Clients are let in only when the standby has what they would see (RULES F7). */
static void test_a_closed_leader_is_not_available(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    see_node_in(store, "db-app-1", "running", ",\"open\":false,\"incarnation\":\"a\"");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "starting");
    assert_member(store, "status/db-instance/app", "message",
                  "clients wait until the standby has what they would see");
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    store_close(store);
}

static void test_a_replica_follows_the_leader(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    put(store, "spec/db-instance/app-r", replica_spec);
    round_once(store);
    assert_member(store, "node/db-r-1/goal", "role", "replica");
    assert_member(store, "node/db-r-1/goal", "source", "db-app-1");
    assert_member(store, "node/db-r-1/goal", "zone", "c");
    json_t *leader = get(store, "node/db-app-1/goal");
    json_t *replica = get(store, "node/db-r-1/goal");
    assert_true(member_has(leader, "followers", "db-r-1"));
    assert_false(member_has(leader, "peers", "db-r-1"));
    assert_string_equal(member_str(replica, "cluster", ""), "db-app");
    /* a standby may not run with fewer connections than its primary */
    assert_string_equal(member_str(member_object(replica, "settings"), "max_connections", "r"),
                        member_str(member_object(leader, "settings"), "max_connections", "l"));
    json_decref(leader);
    json_decref(replica);
    assert_null(get(store, "cluster/db-r"));
    store_close(store);
}

/* A dynamic parameter set with pending-reboot keeps its value until the reboot. */
static void test_pending_reboot(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    char *spec = mem_printf("{\"DBParameterGroupName\":\"pg\",%s", instance_spec + 1);
    put(store, "spec/db-parameter-group/pg",
        "{\"parameters\":{\"work_mem\":{\"value\":\"8192\",\"method\":\"immediate\"}}}");
    put(store, "spec/db-instance/app", spec);
    round_once(store);
    json_t *goal = get(store, "node/db-app-1/goal");
    char *first = mem_strdup(member_str(member_object(goal, "settings"), "work_mem", ""));
    json_decref(goal);
    assert_string_not_equal(first, "");
    put(store, "spec/db-parameter-group/pg",
        "{\"parameters\":{\"work_mem\":{\"value\":\"16384\",\"method\":\"pending-reboot\"}}}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "parameter_apply_status", "pending-reboot");
    goal = get(store, "node/db-app-1/goal");
    assert_string_equal(member_str(member_object(goal, "settings"), "work_mem", ""), first);
    json_decref(goal);
    char *at = strstr(spec, "\"reboot_epoch\":0");
    memcpy(at, "\"reboot_epoch\":1", 16);
    put(store, "spec/db-instance/app", spec);
    round_once(store);
    goal = get(store, "node/db-app-1/goal");
    assert_string_not_equal(member_str(member_object(goal, "settings"), "work_mem", ""), first);
    json_decref(goal);
    mem_free(first);
    mem_free(spec);
    store_close(store);
}

/* ---- who leads ---------------------------------------------------------------------------------
 */

static void make_single(Store *store)
{
    char *single = mem_strdup(instance_spec);
    char *at = strstr(single, "\"MultiAZ\":true");
    memcpy(at, "\"MultiAZ\":null", 14);
    put(store, "spec/db-instance/app", single);
    mem_free(single);
    round_once(store);
}

static void ask_failover(Store *store, const char *text)
{
    char *spec = mem_printf("{\"failover_epoch\":7,%s", text + 1);
    put(store, "spec/db-instance/app", spec);
    mem_free(spec);
    round_once(store);
}

/* Its standby is away, and its agent says that it is over: so it is for who asked for it. */
static void test_a_planned_change_is_given_up(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "node/db-app-2/seen", "{\"state\":\"starting\",\"incarnation\":\"b\"}");
    ask_failover(store, instance_spec);
    assert_member(store, "node/db-app-1/goal", "heir", "db-app-2");
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "rebooting");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "rebooting");
    put(store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1,\"handover\":7}");
    assert_true(round_once(store));
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    assert_member(store, "status/db-instance/app", "message",
                  "the standby is away: commits wait for it");
    round_once(store);
    assert_settled(store);
    store_close(store);
}

/* One that was done is over when there is a standby again. */
static void test_a_planned_change_is_done(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    ask_failover(store, instance_spec);
    put(store, "cluster/db-app",
        "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2,\"handover\":7}");
    see_node(store, "db-app-2", "b", "");
    round_once(store);
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "rebooting");
    store_close(store);
}

/* Where nobody could lead any more it is told to the leader all the same, who says that it is over.
 */
static void test_a_planned_change_of_one_node(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    char *single = mem_strdup(instance_spec);
    memcpy(strstr(single, "\"MultiAZ\":true"), "\"MultiAZ\":null", 14);
    ask_failover(store, single);
    mem_free(single);
    json_t *goal = get(store, "node/db-app-1/goal");
    assert_int_equal(member_int(goal, "handover", 0), 7);
    assert_string_equal(member_str(goal, "heir", "-"), "");
    json_decref(goal);
    store_close(store);
}

/* Whoever leads stays; the other one goes, once its agent sees that the set is without it. */
static void test_single_az_keeps_the_leader(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "cluster/db-app", "{\"leader\":\"db-app-2\",\"set\":[\"b\",\"a\"],\"term\":2}");
    make_single(store);
    json_t *first = get(store, "node/db-app-1/goal");
    json_t *second = get(store, "node/db-app-2/goal");
    assert_true(member_bool(first, "gone", false));
    assert_false(member_bool(first, "deleted", true));
    assert_false(member_bool(second, "gone", false));
    assert_string_equal(member_str(second, "role", ""), "primary");
    assert_int_equal(json_array_size(member_array(second, "peers")), 0);
    assert_true(member_has(second, "followers", "db-app-1")); /* until it is gone */
    json_decref(first);
    json_decref(second);
    store_close(store);
}

/* ---- deletion ----------------------------------------------------------------------------------
 */

static void test_deletion(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    char *deleting = mem_printf("{\"deleting\":true,%s", instance_spec + 1);
    put(store, "spec/db-instance/app", deleting);
    mem_free(deleting);
    assert_true(round_once(store));
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "deleting");
    see_node_in(store, "db-app-1", "gone", "");
    see_node_in(store, "db-app-2", "gone", "");
    round_once(store);
    assert_true(revision_of(store, "spec/db-instance/app") > 0); /* the relay still runs */
    see_plane_in(store, "relay-db-app", "gone");
    round_once(store);
    static const char *const gone[] = {"spec/db-instance/app", "status/db-instance/app",
                                       "cluster/db-app",       "node/db-app-1/goal",
                                       "node/db-app-1/seen",   "node/db-app-2/goal",
                                       "node/db-app-2/seen",   "plane/relay-db-app/goal"};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        assert_null(get(store, gone[i]));
    }
    store_close(store);
}

/* What an agent said of an earlier resource of the same name is no word on this one. */
static void test_only_this_goal_can_be_gone(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "node/db-app-1/seen", "{\"state\":\"gone\",\"goal\":\"an earlier one\"}");
    put(store, "plane/relay-db-app/seen/local", "{\"state\":\"gone\",\"applied\":1}");
    char *deleting = mem_printf("{\"deleting\":true,%s", instance_spec + 1);
    put(store, "spec/db-instance/app", deleting);
    mem_free(deleting);
    assert_true(round_once(store));
    see_node_in(store, "db-app-2", "gone", "");
    assert_true(round_once(store));
    assert_true(revision_of(store, "spec/db-instance/app") > 0);
    assert_true(revision_of(store, "node/db-app-1/goal") > 0);
    assert_true(revision_of(store, "plane/relay-db-app/goal") > 0);
    see_node_in(store, "db-app-1", "gone", "");
    see_plane_in(store, "relay-db-app", "gone");
    round_once(store);
    assert_null(get(store, "spec/db-instance/app"));
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goals_of_a_multi_az_instance),
        cmocka_unit_test(test_security_rules_reach_the_relay),
        cmocka_unit_test(test_available_only_when_synchronous),
        cmocka_unit_test(test_nothing_to_do_writes_nothing),
        cmocka_unit_test(test_a_message_is_written_once),
        cmocka_unit_test(test_an_engine_that_ends_shows),
        cmocka_unit_test(test_stopped_and_started),
        cmocka_unit_test(test_a_closed_leader_is_not_available),
        cmocka_unit_test(test_a_replica_follows_the_leader),
        cmocka_unit_test(test_pending_reboot),
        cmocka_unit_test(test_a_planned_change_is_given_up),
        cmocka_unit_test(test_a_planned_change_is_done),
        cmocka_unit_test(test_a_planned_change_of_one_node),
        cmocka_unit_test(test_single_az_keeps_the_leader),
        cmocka_unit_test(test_deletion),
        cmocka_unit_test(test_only_this_goal_can_be_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
