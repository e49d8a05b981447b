/* The hosts of a tier: what they have, draining, and what a removal is refused for. */
#include "harness.h"

/* Three hosts; h1 has the leader of app, h2 its standby and the replica of it, h3 nothing. */
static int hosts_setup(void **state)
{
    harness_setup(state);
    Harness *harness = *state;
    harness_put(harness, "host/h1/spec", "{'zone': 'a', 'net': '10.1', 'joined_ms': 5}");
    harness_put(harness, "host/h1/beat", "{'count': 1}");
    harness_put(harness, "host/h2/spec", "{'zone': 'b', 'net': '10.2', 'joined_ms': 6}");
    harness_put(harness, "host/h3/spec", "{'zone': 'c', 'net': '10.3', 'joined_ms': 7}");
    harness_put(harness, "node/db-a-1/goal",
                "{'kind': 'postgres', 'resource': 'db-instance', 'identifier': 'app', 'host': 'h1',"
                " 'role': 'primary', 'cluster': 'db-a', 'dbi': 'db-a'}");
    harness_put(harness, "node/db-a-1/seen", "{'state': 'running', 'ha': 'leading', 'term': 3}");
    harness_put(harness, "node/db-a-2/goal",
                "{'kind': 'postgres', 'resource': 'db-instance', 'identifier': 'app', 'host': 'h2',"
                " 'role': 'standby', 'cluster': 'db-a', 'dbi': 'db-a'}");
    harness_put(harness, "node/db-r-1/goal",
                "{'kind': 'postgres', 'resource': 'db-instance', 'identifier': 'app-r', 'host': "
                "'h2', 'role': 'replica', 'cluster': 'db-a', 'dbi': 'db-r'}");
    harness_put(harness, "cluster/db-a",
                "{'leader': 'db-a-1', 'set': ['x', 'y'], 'term': 3, 'phase': 'leading'}");
    return 0;
}

static void silent(Harness *harness, const char *hosts)
{
    json_decref(harness->silent);
    harness->silent = harness_json(hosts);
}

static void step(Harness *harness, const char *operation, const char *host, const char *fault,
                 const char *expect)
{
    char *input = mem_printf("{'HostName': '%s'}", host);
    const Step one = {operation, input, fault, expect};
    run_step(harness, &one);
    mem_free(input);
}

static void test_list(void **state)
{
    Harness *harness = *state;
    harness_put(harness, "status/host/h2", "{'nodes': {'db-a-2': 'it waits'}}");
    silent(harness, "{'h2': 4000, 'h3': -1}");
    const Step steps[] = {
        {"weir:ListHosts", NULL, NULL,
         "{'Hosts': [{'HostName': 'h1', 'Zone': 'a', 'Network': '10.1.0.0/16', 'State': 'alive', "
         "'Draining': false, 'StoreMember': 'sole-voter', 'Nodes': [{'NodeId': 'db-a-1', "
         "'ResourceId': 'app', 'Role': "
         "'primary', 'State': 'running'}]}, {'HostName': 'h2', 'State': 'silent', 'Nodes': "
         "[{'NodeId': 'db-a-2', 'State': 'unknown', 'Note': 'it waits'}, {'NodeId': 'db-r-1', "
         "'Role': 'replica'}]}, "
         "{'HostName': 'h3', 'StoreMember': 'learner', 'Nodes': []}]}"},
        {"weir:ListNodes", NULL, NULL,
         "{'Nodes': [{'NodeId': 'db-a-1', 'State': 'running'}, {'NodeId': 'db-a-2', 'State': "
         "'unknown'}, {'NodeId': 'db-r-1', 'State': 'unknown'}]}"},
        {"weir:ListHosts", "{'HostName': 'h3'}", NULL, "{'Hosts': [{'HostName': 'h3'}]}"},
        {"weir:ListHosts", "{'HostName': 'h9'}", NULL, "{'Hosts': []}"},
    };
    RUN_STEPS(harness, steps);
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, "weir:ListHosts", "{'HostName': 'h2'}", &output, &fault));
    assert_int_equal(member_int(json_at(output, "Hosts.0"), "SilentSince", 0),
                     harness->now_ms - 4000);
    json_decref(output);
    assert_true(harness_call(harness, "weir:ListNodes", NULL, &output, &fault));
    assert_null(json_object_get(json_at(output, "Nodes.0"), "HostSilentSince"));
    assert_int_equal(member_int(json_at(output, "Nodes.1"), "HostSilentSince", 0),
                     harness->now_ms - 4000);
    json_decref(output);
    silent(harness, "{'h1': -1}"); /* it may be alive; what it said is of before */
    assert_true(harness_call(harness, "weir:ListNodes", NULL, &output, &fault));
    assert_string_equal(member_str(json_at(output, "Nodes.0"), "State", ""), "unknown");
    assert_null(json_object_get(json_at(output, "Nodes.0"), "HostSilentSince"));
    json_decref(output);
}

static void test_drain(void **state)
{
    Harness *harness = *state;
    step(harness, "weir:DrainHost", "h9", "ResourceNotFoundException", "h9");
    step(harness, "weir:DrainHost", "../tier", "ResourceNotFoundException", "../tier");
    step(harness, "weir:DrainHost", "h1", NULL, "{'Host': {'HostName': 'h1', 'Draining': true}}");
    step(harness, "weir:DrainHost", "h1", NULL, "{'Host': {'Draining': true}}");
    json_t *spec = harness_get(harness, "host/h1/spec");
    assert_true(member_bool(spec, "draining", false));
    assert_int_equal(member_int(spec, "joined_ms", 0), 5);
    json_decref(spec);
    silent(harness, "{'h3': 1}");
    step(harness, "weir:DrainHost", "h2", "InvalidRequestException", "No other host is alive");
    step(harness, "weir:UndrainHost", "h1", NULL, "{'Host': {'Draining': false}}");
    step(harness, "weir:DrainHost", "h2", NULL, "{'Host': {'Draining': true}}");
}

/* Of a host that is alive nothing is left to lose, and nothing comes. */
static void test_remove_alive(void **state)
{
    Harness *harness = *state;
    step(harness, "weir:RemoveHost", "h2", "InvalidRequestException",
         "has 2 engines (db-a-2, db-r-1): drain it first");
    step(harness, "weir:RemoveHost", "h3", "InvalidRequestException", "does not drain");
    step(harness, "weir:DrainHost", "h3", NULL, "{}");
    step(harness, "weir:RemoveHost", "h3", NULL, NULL);
    assert_null(harness_get(harness, "host/h3/spec"));
    json_t *kept = harness_get(harness, "removed-host/h3");
    assert_int_equal(member_int(kept, "removed_ms", 0), harness->now_ms);
    json_decref(kept);
    step(harness, "weir:RemoveHost", "h3", "ResourceNotFoundException", "h3");
    silent(harness, "{'h2': 60000}");
    step(harness, "weir:RemoveHost", "h1", "InvalidRequestException", "No other host is alive");
}

/* Of one that is gone, what the others have. */
static void test_remove_silent(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h2': 9000}");
    step(harness, "weir:RemoveHost", "h2", "InvalidRequestException", "silent for 9 s only");
    silent(harness, "{'h2': 60000, 'h1': 2000}");
    step(harness, "weir:RemoveHost", "h2", "InvalidRequestException", "does not serve");
    silent(harness, "{'h2': 60000}");
    harness_put(harness, "node/db-a-1/seen", "{'state': 'running', 'ha': 'leading', 'term': 2}");
    step(harness, "weir:RemoveHost", "h2", "InvalidRequestException", "does not serve");
    harness_put(harness, "node/db-a-1/seen", "{'state': 'running', 'ha': 'leading', 'term': 3}");
    step(harness, "weir:RemoveHost", "h2", NULL, NULL);
    assert_null(harness_get(harness, "host/h2/spec"));
}

static void test_remove_leader(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h1': 60000}");
    step(harness, "weir:RemoveHost", "h1", "InvalidRequestException",
         "the leader of app (node db-a-1)");
    harness_put(harness, "cluster/db-a",
                "{'leader': 'db-a-1', 'set': [], 'unsure': true, 'term': 103}");
    step(harness, "weir:RemoveHost", "h1", "InvalidRequestException",
         "the leader of app (node db-a-1)");
    harness_put(harness, "spec/db-instance/app", "{'deleting': true}"); /* then it may be lost */
    step(harness, "weir:RemoveHost", "h1", NULL, NULL);
}

/* A planned change that a move began has a number, too: what users ask for comes after it. */
static void test_failover_after_a_move(void **state)
{
    Harness *harness = *state;
    const Step make = {"elasticache:CreateReplicationGroup",
                       "{'ReplicationGroupId': 'c', 'ReplicationGroupDescription': 'c', "
                       "'CacheNodeType': 'cache.t3.micro', 'NumCacheClusters': 2, "
                       "'AutomaticFailoverEnabled': true}",
                       NULL, "{}"};
    run_step(harness, &make);
    harness_put(harness, "status/replication-group/c", "{'Status': 'available', 'generation': 1}");
    harness_put(harness, "cluster/rg-c", "{'leader': 'c-001', 'handover': 7}");
    const Step fail = {"elasticache:TestFailover",
                       "{'ReplicationGroupId': 'c', 'NodeGroupId': '0001'}", NULL, "{}"};
    run_step(harness, &fail);
    json_t *spec = harness_get(harness, "spec/replication-group/c");
    assert_int_equal(member_int(spec, "failover_epoch", 0), 8);
    json_decref(spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, hosts_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_drain, hosts_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_remove_alive, hosts_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_remove_silent, hosts_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_remove_leader, hosts_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_failover_after_a_move, hosts_setup, harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
