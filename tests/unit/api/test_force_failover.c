/* A failover that gives up what the leader alone has acknowledged: who is let in, and when not. */
#include "harness.h"

/* h1 has the leader of app, h2 its standby, which is not in the set; and so of the cache, with
 * another replica on h3. */
static int orphans_setup(void **state)
{
    harness_setup(state);
    Harness *harness = *state;
    static const char *const records[][2] = {
        {"host/h1/spec", "{'zone': 'a', 'net': '10.1'}"},
        {"host/h2/spec", "{'zone': 'b', 'net': '10.2'}"},
        {"host/h3/spec", "{'zone': 'c', 'net': '10.3'}"},
        {"node/db-a-1/goal", "{'resource': 'db-instance', 'identifier': 'app', 'host': 'h1', "
                             "'role': 'primary', 'cluster': 'db-a'}"},
        {"node/db-a-1/seen",
         "{'state': 'running', 'ha': 'leading', 'term': 3, 'incarnation': 'x'}"},
        {"node/db-a-2/goal", "{'resource': 'db-instance', 'identifier': 'app', 'host': 'h2', "
                             "'role': 'standby', 'cluster': 'db-a'}"},
        {"node/db-a-2/seen", "{'state': 'running', 'ha': 'following', 'incarnation': 'y'}"},
        {"node/db-r-1/goal", "{'resource': 'db-instance', 'identifier': 'app-r', 'host': 'h3', "
                             "'role': 'replica', 'cluster': 'db-a'}"},
        {"node/db-r-1/seen", "{'state': 'running', 'ha': 'following', 'incarnation': 'r'}"},
        {"cluster/db-a",
         "{'leader': 'db-a-1', 'set': ['x'], 'term': 3, 'phase': 'leading', 'writes': 8}"},
    };
    static const char *const members[] = {"h1", "h2", "h3"};
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        harness_put(harness, records[i][0], records[i][1]);
    }
    for (int i = 0; i < 3; i++) {
        CLEANUP(mem_free_ptr) char *goal = mem_printf("node/c-00%d/goal", i + 1);
        CLEANUP(mem_free_ptr) char *seen = mem_printf("node/c-00%d/seen", i + 1);
        CLEANUP(mem_free_ptr)
        char *wanted = mem_printf("{'resource': 'replication-group', 'identifier': 'c', 'host': "
                                  "'%s', 'cluster': 'rg-c', 'automatic': true}",
                                  members[i]);
        CLEANUP(mem_free_ptr)
        char *is = mem_printf("{'state': 'running', 'ha': '%s', 'term': 3, 'incarnation': 'i%d', "
                              "'data': true}",
                              i == 0 ? "leading" : "following", i + 1);
        harness_put(harness, goal, wanted);
        harness_put(harness, seen, is);
    }
    harness_put(harness, "cluster/rg-c",
                "{'leader': 'c-001', 'set': ['i1'], 'term': 3, 'phase': 'leading', 'history': "
                "'abc'}");
    return 0;
}

static void silent(Harness *harness, const char *hosts)
{
    json_decref(harness->silent);
    harness->silent = harness_json(hosts);
}

#define APP "'ResourceType': 'db-instance', 'ResourceId': 'app'"
#define C   "'ResourceType': 'replication-group', 'ResourceId': 'c'"

static void refused(Harness *harness, const char *input, const char *why)
{
    const Step one = {"weir:ForceFailover", input,
                      strstr(why, "There is no") != NULL ? "ResourceNotFoundException"
                                                         : "InvalidRequestException",
                      why};
    run_step(harness, &one);
}

static void chosen(Harness *harness, const char *input, const char *nodes)
{
    CLEANUP(mem_free_ptr) char *expected = mem_printf("{'Failover': {'Nodes': %s}}", nodes);
    const Step one = {"weir:ForceFailover", input, NULL, expected};
    run_step(harness, &one);
}

static void assert_record(Harness *harness, const char *key, const char *expected)
{
    json_t *record = harness_get(harness, key);
    json_t *wanted = harness_json(expected);
    assert_true(json_holds(record, wanted));
    json_decref(wanted);
    json_decref(record);
}

static void test_an_instance(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h1': 60000}");
    const Step steps[] = {
        {"weir:ForceFailover", "{" APP "}", NULL,
         "{'Failover': {'Nodes': [{'NodeId': 'db-a-2', 'Host': 'h2'}], 'LeaderNodeId': 'db-a-1', "
         "'LeaderHost': 'h1', 'Done': false}}"},
    };
    RUN_STEPS(harness, steps);
    assert_record(harness, "cluster/db-a", "{'set': ['x'], 'writes': 8}");
    const Step done[] = {
        {"weir:ForceFailover", "{" APP ", 'AllowDataLoss': true}", NULL,
         "{'Failover': {'Nodes': [{'NodeId': 'db-a-2'}], 'Done': true}}"},
        {"weir:ListEvents", "{'SourceIdentifier': 'app'}", NULL,
         "{'Events': [{'Category': 'failover', 'Message': 'Somebody has allowed that what db-a-1 "
         "alone has acknowledged is lost: another node may lead'}]}"},
    };
    RUN_STEPS(harness, done);
    /* The rest is its agent's. */
    assert_record(harness, "cluster/db-a",
                  "{'set': ['x'], 'admitted': 'y', 'writes': 9, 'term': 3, 'leader': 'db-a-1'}");
    refused(harness, "{" APP ", 'AllowDataLoss': true}", "may lead app already");
}

/* Whoever has most leads: their agents compare, and go by no history any more. */
static void test_a_group(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h1': 60000, 'h3': 60000}");
    chosen(harness, "{" C "}", "[{'NodeId': 'c-002'}]");
    silent(harness, "{'h1': 60000}");
    chosen(harness, "{" C ", 'AllowDataLoss': true}", "[{'NodeId': 'c-002'}, {'NodeId': 'c-003'}]");
    assert_record(harness, "cluster/rg-c",
                  "{'set': ['i1', 'i2', 'i3'], 'history': '', 'term': 3, 'writes': 1}");
    refused(harness, "{" C ", 'AllowDataLoss': true}", "may lead c already");
    harness_put(harness, "node/c-002/goal",
                "{'resource': 'replication-group', 'identifier': 'c', 'host': 'h2', 'cluster': "
                "'rg-c'}");
    refused(harness, "{" C ", 'AllowDataLoss': true}", "turn that on first");
}

static void test_refused(void **state)
{
    Harness *harness = *state;
    const Step type = {"weir:ForceFailover", "{'ResourceType': 'secret', 'ResourceId': 'app'}",
                       "InvalidParameterException", "db-instance or replication-group"};
    run_step(harness, &type);
    refused(harness, "{'ResourceType': 'db-instance', 'ResourceId': 'c'}", "There is no instance");
    refused(harness, "{'ResourceType': 'replication-group', 'ResourceId': 'app'}",
            "There is no group");
    refused(harness, "{'ResourceType': 'db-instance', 'ResourceId': 'app-r'}",
            "app-r is a read replica");
    refused(harness, "{" APP ", 'AllowDataLoss': true}", "db-a-1 leads app, and serves");
    harness_put(harness, "node/db-a-1/seen",
                "{'state': 'starting', 'ha': 'starting', 'term': 3, 'incarnation': 'x'}");
    refused(harness, "{" APP ", 'AllowDataLoss': true}", "Host h1 is alive, and so db-a-1");
    silent(harness, "{'h1': 9000}");
    refused(harness, "{" APP ", 'AllowDataLoss': true}", "silent for 9 s only");
    silent(harness, "{'h1': 60000, 'h2': 60000}");
    refused(harness, "{" APP ", 'AllowDataLoss': true}", "No other node of app is there");
    silent(harness, "{'h1': 60000}");
    static const char *const without[] = {
        "{'state': 'preparing', 'ha': 'down', 'incarnation': 'y'}",
        "{'state': 'waiting', 'ha': 'empty', 'incarnation': ''}",
    };
    for (size_t i = 0; i < ARRAY_LEN(without); i++) {
        harness_put(harness, "node/db-a-2/seen", without[i]);
        refused(harness, "{" APP ", 'AllowDataLoss': true}", "No other node of app is there");
    }
    harness_put(harness, "spec/db-instance/app", "{'desired_state': 'stopped'}");
    refused(harness, "{" APP ", 'AllowDataLoss': true}", "start it first");
    assert_record(harness, "cluster/db-a", "{'set': ['x'], 'writes': 8}");
}

/* Nobody could say who has the most: one that loads still, or of another history. */
static void test_a_group_that_cannot_be_compared(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h1': 60000}");
    harness_put(harness, "node/c-003/seen",
                "{'state': 'starting', 'ha': 'starting', 'incarnation': 'i3', 'data': true}");
    refused(harness, "{" C ", 'AllowDataLoss': true}", "c-003 has data of c, and does not answer");
    harness_put(harness, "node/c-003/seen",
                "{'state': 'running', 'ha': 'following', 'incarnation': 'i3', 'data': true, "
                "'history': 'other'}");
    refused(harness, "{" C ", 'AllowDataLoss': true}", "different histories");
    assert_record(harness, "cluster/rg-c", "{'set': ['i1'], 'history': 'abc'}");
    chosen(harness, "{" C ", 'NodeId': 'c-003', 'AllowDataLoss': true}", "[{'NodeId': 'c-003'}]");
    assert_record(harness, "cluster/rg-c", "{'set': ['i1', 'i3'], 'history': ''}");
    refused(harness, "{" C ", 'NodeId': 'c-009'}", "No node c-009 of c is there");
}

/* One whose engine does not run is started when it may lead; one that leaves has data still. */
static void test_down_and_leaving(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h1': 60000}");
    harness_put(harness, "node/db-a-2/goal",
                "{'resource': 'db-instance', 'identifier': 'app', 'host': 'h2', 'role': 'standby', "
                "'cluster': 'db-a', 'gone': true}");
    harness_put(harness, "node/db-a-2/seen",
                "{'state': 'waiting', 'ha': 'down', 'incarnation': 'y'}");
    chosen(harness, "{" APP "}", "[{'NodeId': 'db-a-2'}]");
}

/* It went another way than the leader: it has the least, and may be all that is left. */
static void test_one_that_has_led(void **state)
{
    Harness *harness = *state;
    silent(harness, "{'h1': 60000}");
    harness_put(harness, "node/db-a-2/seen",
                "{'state': 'waiting', 'ha': 'down', 'incarnation': 'y', 'led': true}");
    chosen(harness, "{" APP "}", "[{'NodeId': 'db-a-2', 'HasLed': true}]");
    harness_put(harness, "node/db-a-3/goal",
                "{'resource': 'db-instance', 'identifier': 'app', 'host': 'h3', 'role': 'standby', "
                "'cluster': 'db-a'}");
    harness_put(harness, "node/db-a-3/seen",
                "{'state': 'waiting', 'ha': 'down', 'incarnation': 'z', 'led': false}");
    const Step others = {"weir:ForceFailover", "{" APP "}", NULL,
                         "{'Failover': {'Nodes': [{'NodeId': 'db-a-3'}], "
                         "'Others': [{'NodeId': 'db-a-2', 'Host': 'h2', 'HasLed': true}]}}"};
    run_step(harness, &others);
    chosen(harness, "{" APP ", 'AllowDataLoss': true}", "[{'NodeId': 'db-a-3', 'HasLed': false}]");
    assert_record(harness, "cluster/db-a", "{'set': ['x'], 'admitted': 'z'}");
}

/* Its data is gone, or is not what the record names. */
static void test_a_leader_that_is_there(void **state)
{
    Harness *harness = *state;
    harness_put(harness, "node/db-a-1/seen",
                "{'state': 'waiting', 'ha': 'empty', 'term': 3, 'incarnation': ''}");
    chosen(harness, "{" APP "}", "[{'NodeId': 'db-a-2'}]");
    harness_put(harness, "node/db-a-1/seen",
                "{'state': 'running', 'ha': 'leading', 'term': 3, 'incarnation': 'z'}");
    const Step others = {"weir:ForceFailover", "{" APP ", 'NodeId': 'db-a-2'}", NULL,
                         "{'Failover': {'Nodes': [{'NodeId': 'db-a-2'}], "
                         "'Others': [{'NodeId': 'db-a-1', 'Host': 'h1'}]}}"};
    run_step(harness, &others);
    chosen(harness, "{" APP ", 'AllowDataLoss': true}", "[{'NodeId': 'db-a-1'}]");
    assert_record(harness, "cluster/db-a", "{'set': ['x'], 'admitted': 'z'}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_instance, orphans_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_a_group, orphans_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_a_group_that_cannot_be_compared, orphans_setup,
                                        harness_teardown),
        cmocka_unit_test_setup_teardown(test_refused, orphans_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_down_and_leaving, orphans_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_one_that_has_led, orphans_setup, harness_teardown),
        cmocka_unit_test_setup_teardown(test_a_leader_that_is_there, orphans_setup,
                                        harness_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
