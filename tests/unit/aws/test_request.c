/* Which operation a request asks for. */
#include "aws_test.h"

#define CREDENTIAL(service)                                                                        \
    "AWS4-HMAC-SHA256 Credential=AK/20260131/eu-west-1/" service "/aws4_request, SignedHeaders=x"

static AwsHttp form(const AwsHeader *authorization, const char *body)
{
    return (AwsHttp){.method = SLICE("POST"),
                     .path = SLICE("/"),
                     .query = SLICE(""),
                     .headers = authorization,
                     .header_count = 1,
                     .body = slice_of(body)};
}

static void test_forms(void **state)
{
    (void)state;
    AwsHeader header = {SLICE("authorization"), SLICE(CREDENTIAL("rds"))};
    AwsHttp http = form(&header, "Version=2014-10-31&Action=DescribeDBInstances");
    AwsCall call;
    AwsFault fault;
    assert_true(aws_route(&http, SLICE("rds"), &call, &fault));
    assert_string_equal(call.operation->name, "DescribeDBInstances");
    assert_int_equal(call.protocol, AWS_QUERY);
    http.body = SLICE("Action=DescribeDBInstances");
    assert_true(aws_route(&http, SLICE("rds"), &call, &fault));
    http.method = SLICE("GET");
    http.query = SLICE("Action=DescribeEvents");
    assert_true(aws_route(&http, SLICE("rds"), &call, &fault));
    assert_string_equal(call.operation->name, "DescribeEvents");
}

static void test_forms_refused(void **state)
{
    (void)state;
    static const struct {
        const char *service, *body, *code;
    } cases[] = {
        {"rds", "", "MissingAction"},
        {"rds", "Action=", "MissingAction"},
        {"rds", "Action=Fly", "InvalidAction"},
        {"rds", "Action=DescribeDBInstances&Version=2013-01-01", "InvalidAction"},
        {"rds", "Action=DescribeReplicationGroups&Version=2015-02-02", "InvalidAction"},
        {"s3", "Action=DescribeDBInstances", "InvalidAction"},
        {"", "Action=DescribeDBInstances", "InvalidAction"},
        {"secretsmanager", "Action=GetSecretValue", "InvalidAction"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AwsHeader header = {SLICE("authorization"), SLICE("")};
        AwsHttp http = form(&header, cases[i].body);
        AwsCall call;
        AwsFault fault;
        assert_false(aws_route(&http, slice_of(cases[i].service), &call, &fault));
        assert_string_equal(fault.code, cases[i].code);
        assert_int_equal(fault.status, 400);
    }
}

static void test_targets(void **state)
{
    (void)state;
    AwsHeader headers[] = {{SLICE("X-Amz-Target"), SLICE("secretsmanager.GetSecretValue")},
                           {SLICE("Content-Type"), SLICE("application/x-amz-json-1.1")}};
    AwsHttp http = {.method = SLICE("POST"), .headers = headers, .header_count = 2};
    AwsCall call;
    AwsFault fault;
    assert_true(aws_route(&http, SLICE("secretsmanager"), &call, &fault));
    assert_string_equal(call.operation->name, "GetSecretValue");
    assert_int_equal(call.protocol, AWS_JSON_1_1);
    headers[1].value = SLICE("application/x-amz-json-1.0");
    assert_true(aws_route(&http, SLICE(""), &call, &fault));
    assert_int_equal(call.protocol, AWS_JSON_1_0);
    static const char *const targets[] = {"", "secretsmanager", "secretsmanager.",
                                          "x.GetSecretValue", "secretsmanager.getsecretvalue"};
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        headers[0].value = slice_of(targets[i]);
        assert_false(aws_route(&http, SLICE("secretsmanager"), &call, &fault));
        assert_string_equal(fault.code, "UnknownOperationException");
    }
}

static void test_protocol(void **state)
{
    (void)state;
    AwsHeader header = {SLICE("Authorization"), SLICE(CREDENTIAL("ec2"))};
    AwsHttp http = form(&header, "");
    assert_int_equal(aws_protocol_of(&http), AWS_EC2);
    header.value = SLICE("nonsense");
    assert_int_equal(aws_protocol_of(&http), AWS_QUERY);
    http.header_count = 0;
    assert_int_equal(aws_protocol_of(&http), AWS_QUERY);
    http.query = SLICE("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=9&X-Amz-Credential="
                       "AK%2F20260131%2Feu-west-1%2Fec2%2Faws4_request");
    assert_int_equal(aws_protocol_of(&http), AWS_EC2);
}

static void test_content_types(void **state)
{
    (void)state;
    assert_string_equal(aws_content_type(AWS_QUERY), "text/xml");
    assert_string_equal(aws_content_type(AWS_JSON_1_1), "application/x-amz-json-1.1");
    assert_string_equal(aws_request_content_type(AWS_EC2),
                        "application/x-www-form-urlencoded; charset=utf-8");
}

/* What our client sends, our server reads. */
static void test_client_forms(void **state)
{
    (void)state;
    static const struct {
        const char *service, *operation, *input, *body;
    } cases[] = {
        {"rds", "DescribeDBInstances",
         "{\"Filters\": [{\"Name\": \"a b\", \"Values\": [\"x&y\", \"\\u00e4\"]}], \"MaxRecords\":"
         " 20}",
         "Action=DescribeDBInstances&Version=2014-10-31&Filters.Filter.1.Name=a%20b&"
         "Filters.Filter.1.Values.Value.1=x%26y&Filters.Filter.1.Values.Value.2=%C3%A4&"
         "MaxRecords=20"},
        {"rds", "ModifyDBInstance",
         "{\"DBInstanceIdentifier\": \"a\", \"ApplyImmediately\": false, \"DBSecurityGroups\": []}",
         "Action=ModifyDBInstance&Version=2014-10-31&DBInstanceIdentifier=a&DBSecurityGroups=&"
         "ApplyImmediately=false"},
        {"rds", "RestoreDBInstanceToPointInTime",
         "{\"TargetDBInstanceIdentifier\": \"a\", \"RestoreTime\": 1769860800500}",
         "Action=RestoreDBInstanceToPointInTime&Version=2014-10-31&TargetDBInstanceIdentifier=a&"
         "RestoreTime=2026-01-31T12%3A00%3A00.500Z"},
        {"ec2", "DescribeSecurityGroups", "{\"GroupIds\": [\"sg-1\"], \"DryRun\": true}",
         "Action=DescribeSecurityGroups&Version=2016-11-15&GroupId.1=sg-1&DryRun=true"},
        {"sts", "GetCallerIdentity", "{}", "Action=GetCallerIdentity&Version=2011-06-15"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AwsCall call = call_of(cases[i].service, cases[i].operation);
        json_t *input = json_of(cases[i].input);
        json_t *read;
        Buf body;
        Err err;
        AwsFault fault;
        buf_init(&body, BUF_MAX_DEFAULT);
        assert_true(aws_input_format(&call, input, &body, &err));
        assert_string_equal(buf_str(&body), cases[i].body);
        assert_true(input_of(&call, buf_slice(&body), &read, NULL, &fault));
        assert_json(read, cases[i].input);
        json_decref(input);
        buf_done(&body);
    }
}

static void test_client_input_of_the_wrong_type(void **state)
{
    (void)state;
    AwsCall call = call_of("rds", "DescribeDBInstances");
    static const char *const inputs[] = {"{\"MaxRecords\": \"20\"}", "{\"Filters\": {}}",
                                         "{\"Filters\": [{\"Name\": 1}]}", "[]"};
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        json_t *input = json_of(inputs[i]);
        Buf body;
        Err err;
        buf_init(&body, BUF_MAX_DEFAULT);
        assert_false(aws_input_format(&call, input, &body, &err));
        assert_int_equal(err.code, ERR_INVALID);
        buf_done(&body);
        json_decref(input);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_forms_refused),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_protocol),
        cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_client_forms),
        cmocka_unit_test(test_client_input_of_the_wrong_type),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
