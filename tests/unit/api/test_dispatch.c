/* Signatures, routing, the table of operations, and calls that are sent again. */
#include "harness.h"

#include "api/api_priv.h"

#define FORM "application/x-www-form-urlencoded; charset=utf-8"

typedef struct RawCase {
    const char *service, *body, *content_type, *target, *secret, *region;
    int status;
    const char *fault;
} RawCase;

static void test_refused_requests(void **state)
{
    Harness *harness = *state;
    static const RawCase cases[] = {
        {"sts", "Action=GetCallerIdentity&Version=2011-06-15", FORM, NULL, "very secret",
         HARNESS_REGION, 200, ""},
        {"sts", "Action=GetCallerIdentity&Version=2011-06-15", FORM, NULL, "wrong", HARNESS_REGION,
         403, "SignatureDoesNotMatch"},
        {"sts", "Action=GetCallerIdentity&Version=2011-06-15", FORM, NULL, "very secret",
         "us-east-1", 0, "SignatureDoesNotMatch"},
        {"secretsmanager", "{}", "application/x-amz-json-1.1", "secretsmanager.ListSecrets",
         "very secret", "us-east-1", 400, "InvalidSignatureException"},
        {"rds", "Action=MakeCoffee&Version=2014-10-31", FORM, NULL, "very secret", HARNESS_REGION,
         400, "InvalidAction"},
        {"rds", "Version=2014-10-31", FORM, NULL, "very secret", HARNESS_REGION, 400, NULL},
        {"rds",
         "Action=CopyDBSnapshot&Version=2014-10-31&SourceDBSnapshotIdentifier=a&"
         "TargetDBSnapshotIdentifier=b",
         FORM, NULL, "very secret", HARNESS_REGION, 400, "UnsupportedOperation"},
        {"rds", "Action=DescribeDBInstances&Version=2014-10-31&Colour=red", FORM, NULL,
         "very secret", HARNESS_REGION, 400, "UnknownParameter"},
        {"secretsmanager", "{\"SecretId\": ", "application/x-amz-json-1.1",
         "secretsmanager.GetSecretValue", "very secret", HARNESS_REGION, 400,
         "SerializationException"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const RawCase *c = &cases[i];
        ApiReply reply;
        harness_send_raw(harness, c->service, c->body, c->content_type, c->target, c->secret,
                         c->region, &reply);
        assert_true(c->status == 0 ? reply.status >= 400 : reply.status == c->status);
        if (c->fault != NULL) {
            assert_string_equal(reply.fault, c->fault);
        }
        assert_true(reply.body.len > 0);
        api_reply_done(&reply);
    }
}

static void test_unsupported_names_the_operation(void **state)
{
    Step step = {"rds:CreateDBSnapshot",
                 "{'DBSnapshotIdentifier': 'a', 'DBInstanceIdentifier': 'b'}",
                 "UnsupportedOperation", "CreateDBSnapshot"};
    run_step(*state, &step);
}

/* Each handler is reached through the description tables. */
static void test_handlers_are_in_the_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < api_operations_len; i++) {
        const ApiOperation *operation = &api_operations[i];
        const AwsService *service = aws_service_find(slice_of(operation->service));
        assert_non_null(service);
        assert_non_null(aws_operation_find(service, slice_of(operation->operation)));
        assert_ptr_equal(api_operation_find(operation->service, operation->operation), operation);
    }
}

/* What the tables describe and nobody carries out yet. Whatever is new there must be decided. */
static void test_tables_are_handled_or_listed(void **state)
{
    (void)state;
    static const char *const later[] = {
        "rds:CopyDBSnapshot",
        "rds:CreateDBSnapshot",
        "rds:DeleteDBSnapshot",
        "rds:DescribeDBInstanceAutomatedBackups",
        "rds:DescribeDBSnapshots",
        "rds:RestoreDBInstanceFromDBSnapshot",
        "rds:RestoreDBInstanceToPointInTime",
    };
    size_t missing = 0;
    const AwsService *service;
    for (size_t s = 0; (service = aws_service_at(s)) != NULL; s++) {
        for (size_t i = 0; i < service->operation_count; i++) {
            const char *name = service->operations[i].name;
            if (api_operation_find(service->name, name) != NULL) {
                continue;
            }
            bool listed = false;
            for (size_t l = 0; l < ARRAY_LEN(later); l++) {
                listed = listed || (slice_starts(slice_of(later[l]), service->name) &&
                                    slice_ends(slice_of(later[l]), name));
            }
            if (!listed) {
                print_message("%s:%s is neither handled nor listed\n", service->name, name);
            }
            assert_true(listed);
            missing++;
        }
    }
    assert_int_equal(missing, ARRAY_LEN(later));
}

/* ---- replay
 * -------------------------------------------------------------------------------------- */

static const char create_group[] =
    "{'DBParameterGroupName': 'g', 'DBParameterGroupFamily': 'postgres15', 'Description': 'd'}";

static void test_a_change_sent_again_gets_its_reply_again(void **state)
{
    Harness *harness = *state;
    ApiReply first;
    ApiReply again;
    ApiReply other;
    harness_send(harness, "rds:CreateDBParameterGroup", create_group, "call-1", &first);
    harness_send(harness, "rds:CreateDBParameterGroup", create_group, "call-1", &again);
    harness_send(harness, "rds:CreateDBParameterGroup", create_group, "call-2", &other);
    assert_int_equal(first.status, 200);
    assert_false(first.replayed);
    assert_int_equal(again.status, 200);
    assert_true(again.replayed);
    assert_slice(buf_slice(&again.body), buf_str(&first.body));
    assert_string_equal(again.request_id, first.request_id);
    assert_string_equal(other.fault, "DBParameterGroupAlreadyExists");
    api_reply_done(&first);
    api_reply_done(&again);
    api_reply_done(&other);
}

static void test_replies_are_forgotten(void **state)
{
    Harness *harness = *state;
    ApiReply reply;
    harness_send(harness, "rds:CreateDBParameterGroup", create_group, "call-1", &reply);
    api_reply_done(&reply);
    harness->now_ms += 10 * 60 * 1000;
    harness_send(harness, "rds:CreateDBParameterGroup", create_group, "call-1", &reply);
    assert_string_equal(reply.fault, "DBParameterGroupAlreadyExists");
    api_reply_done(&reply);
}

/* The same id with another request is another call; a refusal is not kept. */
static void test_only_the_same_call_is_replayed(void **state)
{
    Harness *harness = *state;
    ApiReply reply;
    harness_send(harness, "rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'g'}", "call-1",
                 &reply);
    assert_string_equal(reply.fault, "DBParameterGroupNotFound");
    api_reply_done(&reply);
    harness_send(harness, "rds:CreateDBParameterGroup", create_group, "call-1", &reply);
    assert_int_equal(reply.status, 200);
    api_reply_done(&reply);
    harness_send(harness, "rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'g'}", "call-1",
                 &reply);
    assert_int_equal(reply.status, 200);
    assert_false(reply.replayed);
    api_reply_done(&reply);
}

static void test_the_cache_is_bounded(void **state)
{
    (void)state;
    ReplayCache *cache = replay_new();
    ApiReply reply;
    api_reply_init(&reply);
    buf_append_str(&reply.body, "x");
    for (int i = 0; i < 3000; i++) {
        CLEANUP(mem_free_ptr) char *key = mem_printf("k%d", i);
        replay_add(cache, key, 1, &reply);
    }
    assert_false(replay_find(cache, "k0", 2, &reply));
    assert_true(replay_find(cache, "k2999", 2, &reply));
    replay_free(cache);
    api_reply_done(&reply);
}

/* ---- the tier
 * ------------------------------------------------------------------------------------ */

static void test_identity_and_tier(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"sts:GetCallerIdentity", NULL, NULL,
         "{'Account': '000000000000', 'Arn': 'arn:aws:iam::000000000000:root'}"},
        {"weir:DescribeTier", NULL, NULL,
         "{'Tier': {'TierId': 't1', 'Region': 'eu-west-1', 'Network': '127.5.0.0/16'}}"},
        {"weir:PutTierOption", "{'Name': 'colour', 'Value': 'red'}", "InvalidParameterException",
         "engine_version_map"},
        {"weir:PutTierOption", "{'Name': 'engine_version_map', 'Value': 'new'}",
         "InvalidParameterException", "14=15"},
        {"weir:PutTierOption", "{'Name': 'engine_version_map', 'Value': '14=15'}", NULL,
         "{'Options': {'engine_version_map': '14=15'}}"},
        {"weir:DescribeTier", NULL, NULL, "{'Tier': {'Options': {'engine_version_map': '14=15'}}}"},
        {"weir:StopTier", NULL, NULL, NULL},
    };
    RUN_STEPS(harness, steps);
    assert_int_equal(harness->stops, 1);
}

static void test_nodes_events_and_logs(void **state)
{
    Harness *harness = *state;
    harness->log_text = "one\ntwo\nthree\n";
    harness_put(harness, "node/n1/goal",
                "{'kind': 'postgres', 'resource': 'db-instance', 'identifier': 'app', 'zone': 'a',"
                " 'role': 'primary', 'address': '128.1'}");
    harness_put(harness, "node/n1/seen", "{'state': 'running', 'pid': 77}");
    harness_put(harness, "event/1-a",
                "{'type': 'db-instance', 'id': 'app', 'message': 'made', "
                "'categories': ['creation'], 'time_ms': 1699999999000}");
    harness_put(harness, "event/2-b",
                "{'type': 'replication-group', 'id': 'r', 'message': 'm2', "
                "'categories': [], 'time_ms': 1699999999500}");
    harness_put(harness, "event/0-f",
                "{'type': 'db-instance', 'id': 'app', 'message': 'Multi-AZ instance failover "
                "completed: x serves.', 'categories': ['failover'], 'time_ms': 1600000000000}");
    harness_put(harness, "plane/proxy-pool/goal", "{'kind': 'proxy'}");
    harness_put(
        harness, "spec/db-instance/app",
        "{'DBInstanceIdentifier': 'app', 'AllocatedStorage': 20, 'StorageEncrypted': true}");
    harness_put(harness, "status/db-instance/app",
                "{'message': 'waits', 'notes': ['smaller than asked for']}");
    static const Step steps[] = {
        {"weir:ListRemarks", "{'ResourceId': 'app'}", NULL,
         "{'Remarks': [{'ResourceType': 'db-instance', 'ResourceId': 'app', 'Kind': 'state',"
         " 'Message': 'waits'}, {'Kind': 'note', 'Message': 'smaller than asked for'},"
         " {'Kind': 'not-in-effect',"
         " 'Message': 'not yet in effect: allocated_storage, storage_encrypted'}]}"},
        {"weir:ListRemarks", "{'ResourceId': 'other'}", NULL, "{'Remarks': []}"},
        {"weir:ListNodes", NULL, NULL,
         "{'Nodes': [{'NodeId': 'n1', 'ResourceType': 'db-instance', 'ResourceId': 'app', "
         "'State': 'running', 'Pid': 77, 'Role': 'primary', 'Zone': 'a', 'Address': "
         "'127.5.128.1'}]}"},
        {"weir:ListNodes", "{'ResourceId': 'other'}", NULL, "{'Nodes': []}"},
        {"weir:ListEvents", NULL, NULL,
         "{'Events': [{'EventId': '0-f', 'RdsEventId': 'RDS-EVENT-0049'}, "
         "{'EventId': '1-a', 'Message': 'made', 'Category': 'creation'}, "
         "{'EventId': '2-b'}], 'Last': '2-b'}"},
        {"weir:ListEvents", "{'MaxResults': 1}", NULL, "{'Events': [{'EventId': '2-b'}]}"},
        {"weir:ListEvents", "{'After': '1-a'}", NULL, "{'Events': [{'EventId': '2-b'}]}"},
        {"weir:ListEvents", "{'After': '2-b'}", NULL, "{'Events': [], 'Last': '2-b'}"},
        {"weir:ListEvents", "{'MaxResults': 0}", "InvalidParameterException", "MaxResults"},
        {"weir:GetLog", "{'NodeId': 'n1', 'Lines': 2}", NULL,
         "{'Lines': ['two', 'three'], 'Truncated': true}"},
        {"weir:GetLog", "{'NodeId': 'n1', 'Lines': 3}", NULL,
         "{'Lines': ['one', 'two', 'three'], 'Truncated': false}"},
        {"weir:GetLog", "{'NodeId': 'n1', 'Lines': 4}", NULL,
         "{'Lines': ['one', 'two', 'three'], 'Truncated': false}"},
        {"weir:GetLog", "{'NodeId': 'proxy-pool', 'Lines': 1}", NULL,
         "{'NodeId': 'proxy-pool', 'Lines': ['three'], 'Truncated': true}"},
        {"weir:GetLog", "{'NodeId': 'n2'}", "ResourceNotFoundException", NULL},
        {"weir:GetLog", "{'NodeId': '../n1'}", "ResourceNotFoundException", NULL},
        {"weir:GetLog", "{'NodeId': 'n1/goal'}", "ResourceNotFoundException", NULL},
        {"rds:DescribeEvents", NULL, NULL,
         "{'Events': [{'SourceIdentifier': 'app', 'SourceType': 'db-instance', 'Message': 'made', "
         "'EventCategories': ['creation'], 'SourceArn': "
         "'arn:aws:rds:eu-west-1:000000000000:db:app'}]}"},
        {"rds:DescribeEvents", "{'SourceType': 'db-proxy'}", NULL, "{'Events': []}"},
        {"rds:DescribeEvents", "{'SourceIdentifier': 'app'}", "InvalidParameterCombination", NULL},
        {"rds:DescribeEvents", "{'EventCategories': ['failover']}", NULL, "{'Events': []}"},
        {"elasticache:DescribeEvents", NULL, NULL,
         "{'Events': [{'SourceIdentifier': 'r', 'SourceType': 'replication-group'}]}"},
    };
    RUN_STEPS(harness, steps);
    harness->now_ms += 2 * 60 * 60 * 1000;
    Step late = {"rds:DescribeEvents", NULL, NULL, "{'Events': []}"};
    run_step(harness, &late);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
        API_TEST(test_refused_requests),
        API_TEST(test_unsupported_names_the_operation),
        cmocka_unit_test(test_handlers_are_in_the_tables),
        cmocka_unit_test(test_tables_are_handled_or_listed),
        API_TEST(test_a_change_sent_again_gets_its_reply_again),
        API_TEST(test_replies_are_forgotten),
        API_TEST(test_only_the_same_call_is_replayed),
        cmocka_unit_test(test_the_cache_is_bounded),
        API_TEST(test_identity_and_tier),
        API_TEST(test_nodes_events_and_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
