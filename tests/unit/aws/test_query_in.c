/* Requests of awsQuery and ec2Query. */
#include <stdio.h>

#include "aws_test.h"

#define CREATE_REQUIRED "DBInstanceIdentifier=a&DBInstanceClass=db.t3.micro&Engine=postgres&"

static json_t *parse_ok(const char *service, const char *operation, const char *body)
{
    AwsCall call = call_of(service, operation);
    AwsFault fault;
    json_t *input = NULL;
    if (!input_of(&call, slice_of(body), &input, NULL, &fault)) {
        fail_msg("%s: %s", fault.code, fault.message);
    }
    return input;
}

static AwsFault parse_fault(const char *service, const char *operation, const char *body)
{
    AwsCall call = call_of(service, operation);
    AwsFault fault = {0};
    json_t *input = NULL;
    assert_false(input_of(&call, slice_of(body), &input, NULL, &fault));
    assert_null(input);
    return fault;
}

static void test_scalars(void **state)
{
    (void)state;
    assert_json(parse_ok("rds", "CreateDBInstance",
                         "Action=CreateDBInstance&Version=2014-10-31&" CREATE_REQUIRED
                         "AllocatedStorage=20&MultiAZ=true&DBName=&StorageEncrypted=False&"
                         "MasterUserPassword=a%2Bb+c%26%c3%a4"),
                "{\"DBInstanceIdentifier\": \"a\", \"DBInstanceClass\": \"db.t3.micro\","
                " \"Engine\": \"postgres\", \"AllocatedStorage\": 20, \"MultiAZ\": true,"
                " \"DBName\": \"\", \"StorageEncrypted\": false,"
                " \"MasterUserPassword\": \"a+b c&\xc3\xa4\"}");
    assert_json(parse_ok("rds", "RestoreDBInstanceToPointInTime",
                         "TargetDBInstanceIdentifier=b&RestoreTime=2026-01-31T12%3A00%3A00.5Z"),
                "{\"TargetDBInstanceIdentifier\": \"b\", \"RestoreTime\": 1769860800500}");
}

static void test_lists_in_all_their_forms(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "VpcSecurityGroupIds.VpcSecurityGroupId.1=x&VpcSecurityGroupIds.VpcSecurityGroupId.2=y",
        "VpcSecurityGroupIds.member.2=y&VpcSecurityGroupIds.member.1=x",
        "VpcSecurityGroupIds.1=x&VpcSecurityGroupIds.2=y",
        "VpcSecurityGroupIds.3=x&VpcSecurityGroupIds.17=y",
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        char body[256];
        snprintf(body, sizeof(body), CREATE_REQUIRED "%s", forms[i]);
        json_t *input = parse_ok("rds", "CreateDBInstance", body);
        assert_json(json_incref(json_object_get(input, "VpcSecurityGroupIds")), "[\"x\", \"y\"]");
        json_decref(input);
    }
}

static void test_many_items_keep_their_order(void **state)
{
    (void)state;
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    buf_append_str(&body, "DBSubnetGroupName=a&DBSubnetGroupDescription=b");
    for (int i = 120; i >= 1; i--) {
        buf_printf(&body, "&SubnetIds.SubnetIdentifier.%d=s-%d", i, i);
    }
    json_t *input = parse_ok("rds", "CreateDBSubnetGroup", buf_str(&body));
    const json_t *subnets = json_object_get(input, "SubnetIds");
    assert_int_equal(json_array_size(subnets), 120);
    for (size_t i = 0; i < 120; i++) {
        char expected[16];
        snprintf(expected, sizeof(expected), "s-%zu", i + 1);
        assert_string_equal(json_string_value(json_array_get(subnets, i)), expected);
    }
    json_decref(input);
    buf_done(&body);
}

static void test_structures_in_lists(void **state)
{
    (void)state;
    assert_json(
        parse_ok("rds", "DescribeDBInstances",
                 "Filters.Filter.1.Name=dbi-resource-id&Filters.Filter.1.Values.Value.1=db-x&"
                 "Filters.Filter.1.Values.Value.2=db-y&Filters.Filter.2.Name=engine&"
                 "Filters.Filter.2.Values.Value.1=postgres"),
        "{\"Filters\": [{\"Name\": \"dbi-resource-id\", \"Values\": [\"db-x\", \"db-y\"]},"
        " {\"Name\": \"engine\", \"Values\": [\"postgres\"]}]}");
    assert_json(parse_ok("rds", "ModifyDBProxyTargetGroup",
                         "TargetGroupName=default&DBProxyName=p&"
                         "ConnectionPoolConfig.MaxConnectionsPercent=90&"
                         "ConnectionPoolConfig.SessionPinningFilters.member.1=X"),
                "{\"TargetGroupName\": \"default\", \"DBProxyName\": \"p\","
                " \"ConnectionPoolConfig\": {\"MaxConnectionsPercent\": 90,"
                " \"SessionPinningFilters\": [\"X\"]}}");
}

static void test_present_but_empty(void **state)
{
    (void)state;
    json_t *input = parse_ok("rds", "CreateDBInstance", CREATE_REQUIRED "VpcSecurityGroupIds=");
    assert_json(json_incref(json_object_get(input, "VpcSecurityGroupIds")), "[]");
    json_decref(input);
    assert_json(parse_ok("rds", "ModifyDBProxyTargetGroup",
                         "TargetGroupName=d&DBProxyName=p&ConnectionPoolConfig="),
                "{\"TargetGroupName\": \"d\", \"DBProxyName\": \"p\","
                " \"ConnectionPoolConfig\": {}}");
    assert_json(parse_ok("rds", "DescribeDBInstances", ""), "{}");
    assert_json(parse_ok("rds", "DescribeDBInstances", "&&Marker"), "{\"Marker\": \"\"}");
}

static void test_ec2_names(void **state)
{
    (void)state;
    assert_json(
        parse_ok("ec2", "AuthorizeSecurityGroupEgress",
                 "GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=5432&"
                 "IpPermissions.1.ToPort=5432&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0%2F8&"
                 "IpPermissions.1.IpRanges.1.Description=x&"
                 "IpPermissions.1.Groups.1.GroupId=sg-2&DryRun=false"),
        "{\"GroupId\": \"sg-1\", \"DryRun\": false, \"IpPermissions\": [{\"IpProtocol\":"
        " \"tcp\", \"FromPort\": 5432, \"ToPort\": 5432, \"IpRanges\": [{\"CidrIp\":"
        " \"10.0.0.0/8\", \"Description\": \"x\"}], \"UserIdGroupPairs\": [{\"GroupId\":"
        " \"sg-2\"}]}]}");
    assert_json(parse_ok("ec2", "CreateSecurityGroup",
                         "GroupName=a&GroupDescription=b&TagSpecification.1.ResourceType="
                         "security-group&TagSpecification.1.Tag.1.Key=k&TagSpecification.1.Tag.1."
                         "Value=v"),
                "{\"GroupName\": \"a\", \"Description\": \"b\", \"TagSpecifications\":"
                " [{\"ResourceType\": \"security-group\", \"Tags\": [{\"Key\": \"k\", \"Value\":"
                " \"v\"}]}]}");
    assert_json(parse_ok("ec2", "DescribeSecurityGroups", "GroupId.1=sg-1&GroupId.2=sg-2"),
                "{\"GroupIds\": [\"sg-1\", \"sg-2\"]}");
}

static void test_wrong_values_name_the_parameter(void **state)
{
    (void)state;
    static const struct {
        const char *pair;
        const char *parameter;
    } cases[] = {
        {"AllocatedStorage=abc", "AllocatedStorage"},
        {"AllocatedStorage=", "AllocatedStorage"},
        {"AllocatedStorage=2147483648", "AllocatedStorage"},
        {"AllocatedStorage=1.5", "AllocatedStorage"},
        {"MultiAZ=yes", "MultiAZ"},
        {"MultiAZ=", "MultiAZ"},
        {"DBName=%ff", "DBName"},
        {"DBName=a%00b", "DBName"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[256];
        snprintf(body, sizeof(body), CREATE_REQUIRED "%s", cases[i].pair);
        AwsFault fault = parse_fault("rds", "CreateDBInstance", body);
        assert_string_equal(fault.code, "InvalidParameterValue");
        assert_int_equal(fault.status, 400);
        assert_non_null(strstr(fault.message, cases[i].parameter));
    }
    AwsFault fault =
        parse_fault("rds", "CreateDBProxy",
                    "DBProxyName=p&EngineFamily=POSTGRESQL&RoleArn=r&VpcSubnetIds.1=s&"
                    "Auth.member.1.SecretArn=x&Tags.Tag.3.Key=k&IdleClientTimeout=soon");
    assert_non_null(strstr(fault.message, "soon"));
    fault = parse_fault("rds", "RestoreDBInstanceToPointInTime",
                        "TargetDBInstanceIdentifier=b&RestoreTime=yesterday");
    assert_non_null(strstr(fault.message, "RestoreTime"));
}

/* A password must not come back in a message. */
static void test_wrong_texts_are_not_shown(void **state)
{
    (void)state;
    AwsFault fault =
        parse_fault("rds", "CreateDBInstance", CREATE_REQUIRED "MasterUserPassword=hunter2%ff");
    assert_null(strstr(fault.message, "hunter2"));
    assert_non_null(strstr(fault.message, "MasterUserPassword"));
}

static void test_missing_members(void **state)
{
    (void)state;
    AwsFault fault = parse_fault("rds", "CreateDBInstance", "Engine=postgres");
    assert_string_equal(fault.code, "ValidationError");
    assert_string_equal(fault.message,
                        "1 validation error detected: Value null at 'dBInstanceIdentifier' failed "
                        "to satisfy constraint: Member must not be null");
    fault = parse_fault("rds", "DescribeDBInstances", "Filters.Filter.1.Values.Value.1=x");
    assert_non_null(strstr(fault.message, "'filters.Filter.1.Name'"));
    fault = parse_fault("ec2", "CreateSecurityGroup", "GroupName=a");
    assert_string_equal(fault.code, "MissingParameter");
    assert_string_equal(fault.message, "The request must contain the parameter GroupDescription");
}

static void test_malformed_forms(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "Marker=%", "Marker=%4", "Marker=%zz", "%4=x", "Marker=a&Marker=b", "Marker=a&M%61rker=b",
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        assert_string_equal(parse_fault("rds", "DescribeDBInstances", bodies[i]).code,
                            "MalformedInput");
    }
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    for (int i = 0; i <= AWS_FORM_PAIRS_MAX; i++) {
        buf_printf(&body, "&a%d=", i);
    }
    assert_string_equal(parse_fault("rds", "DescribeDBInstances", buf_str(&body)).code,
                        "MalformedInput");
    buf_done(&body);
}

static void test_unknown_parameters_are_listed(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DescribeDBInstances");
    json_t *unknown = json_array();
    json_t *input;
    AwsFault fault;
    assert_true(input_of(&call,
                         SLICE("Action=DescribeDBInstances&Version=2014-10-31&Colour=red&"
                               "Filters.Filter.1.Name=n&Filters.Filter.1.Values.Value.1=v&"
                               "Filters.Filter.1.Shape=round&Filters.Filter.01.Name=x&"
                               "Filters.Filter.0.Name=x&X-Amz-Date=x&Marker.1=x&%ff=y"),
                         &input, unknown, &fault));
    assert_json(input, "{\"Filters\": [{\"Name\": \"n\", \"Values\": [\"v\"]}]}");
    assert_json(unknown, "[\"Colour\", \"Filters.Filter.0.Name\", \"Filters.Filter.01.Name\","
                         " \"Filters.Filter.1.Shape\", \"Marker.1\"]");
}

static void test_long_names_are_unknown(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DescribeDBInstances");
    json_t *unknown = json_array();
    json_t *input;
    AwsFault fault;
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    for (int i = 0; i < 5000; i++) {
        buf_append_str(&body, "Filters.");
    }
    buf_append_str(&body, "1=x");
    assert_true(input_of(&call, buf_slice(&body), &input, unknown, &fault));
    assert_int_equal(json_array_size(unknown), 1);
    assert_json(input, "{}");
    json_decref(unknown);
    buf_done(&body);
}

/* Cut anywhere, a request is read or refused, and what is read has no more than the whole. */
static void test_truncated(void **state)
{
    (void)state;
    AwsCall call = call_of("ec2", "AuthorizeSecurityGroupIngress");
    Slice body = SLICE("GroupId=sg-1&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=5432&"
                       "IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0%2F8&DryRun=false");
    for (size_t len = 0; len <= body.len; len++) {
        CLEANUP(mem_free_ptr) char *copy = mem_alloc(len);
        memcpy(copy, body.data, len);
        json_t *input = NULL;
        AwsFault fault;
        if (input_of(&call, slice_from(copy, len), &input, NULL, &fault)) {
            assert_true(json_is_object(input));
        } else {
            assert_null(input);
        }
        json_decref(input);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_lists_in_all_their_forms),
        cmocka_unit_test(test_many_items_keep_their_order),
        cmocka_unit_test(test_structures_in_lists),
        cmocka_unit_test(test_present_but_empty),
        cmocka_unit_test(test_ec2_names),
        cmocka_unit_test(test_wrong_values_name_the_parameter),
        cmocka_unit_test(test_wrong_texts_are_not_shown),
        cmocka_unit_test(test_missing_members),
        cmocka_unit_test(test_malformed_forms),
        cmocka_unit_test(test_unknown_parameters_are_listed),
        cmocka_unit_test(test_long_names_are_unknown),
        cmocka_unit_test(test_truncated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
