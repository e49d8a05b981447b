/* awsJson requests and replies. */
#include <stdio.h>

#include "aws_test.h"

static AwsFault parse_fault(const char *service, const char *operation, const char *body)
{
    AwsCall call = call_of(service, operation);
    AwsFault fault = {0};
    json_t *input = NULL;
    assert_false(input_of(&call, slice_of(body), &input, NULL, &fault));
    assert_null(input);
    return fault;
}

static void test_input(void **state)
{
    (void)state;
    AwsCall call = call_of("secretsmanager", "CreateSecret");
    json_t *unknown = json_array();
    json_t *input;
    AwsFault fault;
    assert_true(input_of(&call,
                         SLICE("{\"Name\": \"a\", \"SecretString\": \"\", \"KmsKeyId\": null,"
                               " \"SecretBinary\": \"AAEC\", \"Colour\": 1,"
                               " \"Tags\": [{\"Key\": \"k\", \"Value\": \"v\", \"Hue\": 2}]}"),
                         &input, unknown, &fault));
    assert_json(input, "{\"Name\": \"a\", \"SecretString\": \"\", \"SecretBinary\": \"AAEC\","
                       " \"Tags\": [{\"Key\": \"k\", \"Value\": \"v\"}]}");
    assert_json(unknown, "[\"Tags.1.Hue\", \"Colour\"]");
}

static void test_input_empty(void **state)
{
    (void)state;
    AwsCall call = call_of("secretsmanager", "ListSecrets");
    static const char *const bodies[] = {"", " \n", "{}"};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        json_t *input;
        assert_true(input_of(&call, slice_of(bodies[i]), &input, NULL, NULL));
        assert_json(input, "{}");
    }
}

static void test_input_refused(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        const char *says;
    } cases[] = {
        {"[]", "object"},
        {"{", "not JSON"},
        {"{\"SecretId\": \"a\", \"SecretId\": \"b\"}", "not JSON"},
        {"{\"SecretId\": \"a\\u0000b\"}", "not JSON"},
        {"{\"SecretId\": \"a\xff\"}", "not JSON"},
        {"{\"SecretId\": 7}", "SecretId must be a text"},
        {"{\"SecretId\": \"a\", \"RecoveryWindowInDays\": \"7\"}",
         "RecoveryWindowInDays must be an integer"},
        {"{\"SecretId\": \"a\", \"RecoveryWindowInDays\": 7.5}", "RecoveryWindowInDays"},
        {"{\"SecretId\": \"a\", \"ForceDeleteWithoutRecovery\": 1}", "true or false"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        AwsFault fault = parse_fault("secretsmanager", "DeleteSecret", cases[i].body);
        assert_string_equal(fault.code, "SerializationException");
        assert_int_equal(fault.status, 400);
        if (strstr(fault.message, cases[i].says) == NULL) {
            fail_msg("%s does not say %s", fault.message, cases[i].says);
        }
    }
    AwsFault fault =
        parse_fault("secretsmanager", "CreateSecret", "{\"Name\": \"a\", \"SecretBinary\": \"!\"}");
    assert_non_null(strstr(fault.message, "SecretBinary must be base64"));
    fault = parse_fault("secretsmanager", "CreateSecret", "{\"Name\": \"a\", \"Tags\": {}}");
    assert_non_null(strstr(fault.message, "Tags must be a list"));
    fault = parse_fault("secretsmanager", "CreateSecret", "{\"Name\": \"a\", \"Tags\": [1]}");
    assert_non_null(strstr(fault.message, "Tags.1 must be a structure"));
}

static void test_input_missing(void **state)
{
    (void)state;
    static const char *const bodies[] = {"{}", "{\"SecretId\": null}", ""};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        AwsFault fault = parse_fault("secretsmanager", "GetSecretValue", bodies[i]);
        assert_string_equal(fault.code, "ValidationException");
        assert_string_equal(fault.message,
                            "1 validation error detected: Value null at 'secretId' failed to "
                            "satisfy constraint: Member must not be null");
    }
}

/* A time in milliseconds where seconds are meant is refused, not taken for the year 58054. */
static void test_times(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } cases[] = {
        {"1769860800", true},
        {"1769860800.5", true},
        {"-62135596800", true},
        {"253402300799", true},
        {"-62135596801", false},
        {"253402300800", false},
        {"1769860800123", false},
        {"1e300", false},
        {"\"2026-01-31T12:00:00Z\"", true},
        {"\"9999-12-31T23:59:59-01:00\"", false},
        {"\"now\"", false},
        {"true", false},
    };
    AwsCall call = call_of("secretsmanager", "DescribeSecret");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[128];
        json_t *output = NULL;
        Err err;
        snprintf(body, sizeof(body), "{\"CreatedDate\": %s}", cases[i].text);
        assert_int_equal(aws_output_parse(&call, slice_of(body), &output, &err), cases[i].ok);
        json_decref(output);
    }
}

static void test_deep_input(void **state)
{
    (void)state;
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    buf_append_str(&body, "{\"Tags\": ");
    for (int i = 0; i < 100000; i++) {
        buf_append_char(&body, '[');
    }
    AwsFault fault = parse_fault("secretsmanager", "CreateSecret", buf_str(&body));
    assert_string_equal(fault.code, "SerializationException");
    buf_done(&body);
}

static char *format_ok(const AwsCall *call, const char *output_text)
{
    json_t *output = output_text != NULL ? json_of(output_text) : NULL;
    Buf out;
    Err err;
    buf_init(&out, BUF_MAX_DEFAULT);
    if (!aws_output_format(call, output, "id-1", &out, &err)) {
        fail_msg("%s", err.message);
    }
    char *text = mem_strdup(buf_str(&out));
    buf_done(&out);
    json_decref(output);
    return text;
}

static void test_output(void **state)
{
    (void)state;
    AwsCall call = call_of("secretsmanager", "DescribeSecret");
    CLEANUP(mem_free_ptr)
    char *text = format_ok(
        &call, "{\"Name\": \"a\", \"RotationEnabled\": false, \"CreatedDate\": 1769860800123,"
               " \"DeletedDate\": 1769860800000, \"Tags\": [], \"ours\": 1, \"KmsKeyId\": null,"
               " \"VersionIdsToStages\": {\"v1\": [\"AWSCURRENT\"]}}");
    assert_string_equal(text, "{\"Name\":\"a\",\"RotationEnabled\":false,"
                              "\"DeletedDate\":1769860800,\"Tags\":[],"
                              "\"VersionIdsToStages\":{\"v1\":[\"AWSCURRENT\"]},"
                              "\"CreatedDate\":1769860800.123}");
    AwsCall nothing = call_of("weir", "StopTier");
    CLEANUP(mem_free_ptr) char *empty = format_ok(&nothing, NULL);
    assert_string_equal(empty, "{}");
}

static void test_output_of_the_wrong_type(void **state)
{
    (void)state;
    AwsCall call = call_of("secretsmanager", "DescribeSecret");
    static const struct {
        const char *output;
        const char *says;
    } cases[] = {
        {"{\"Name\": 1}", "DescribeSecret: Name must be a text"},
        {"{\"Tags\": [{\"Key\": true}]}", "Tags.1.Key must be"},
        {"{\"Tags\": {}}", "Tags must be a list"},
        {"{\"CreatedDate\": \"now\"}", "CreatedDate must be"},
        {"{\"VersionIdsToStages\": {\"a\": 1}}", "VersionIdsToStages.a must be a list"},
        {"[]", "must be an object"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *output = json_of(cases[i].output);
        Buf out;
        Err err;
        buf_init(&out, BUF_MAX_DEFAULT);
        assert_false(aws_output_format(&call, output, "id-1", &out, &err));
        assert_int_equal(err.code, ERR_INTERNAL);
        assert_non_null(strstr(err.message, cases[i].says));
        buf_done(&out);
        json_decref(output);
    }
}

static void test_faults(void **state)
{
    (void)state;
    AwsCall call = call_of("secretsmanager", "DescribeSecret");
    AwsFault fault;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    aws_fault_set(&fault, call.service, "ResourceNotFoundException", "No \"%s\".\xff", "a");
    aws_fault_format(&fault, call.service, AWS_JSON_1_1, "id-1", &out);
    assert_string_equal(buf_str(&out), "{\"__type\":\"ResourceNotFoundException\","
                                       "\"Message\":\"No \\\"a\\\".\xef\xbf\xbd\"}");
    AwsFault back;
    aws_fault_parse(&call, 400, buf_slice(&out), &back);
    assert_string_equal(back.code, "ResourceNotFoundException");
    assert_string_equal(back.message, "No \"a\".\xef\xbf\xbd");
    buf_clear(&out);
    aws_fault_set(&fault, call.service, "ValidationException", "x");
    aws_fault_format(&fault, NULL, AWS_JSON_1_1, "id-1", &out);
    assert_string_equal(buf_str(&out), "{\"__type\":\"ValidationException\",\"message\":\"x\"}");
    buf_done(&out);
    aws_fault_parse(&call, 400, SLICE("{\"__type\":\"a.b#Throttling\",\"message\":\"m\"}"), &back);
    assert_string_equal(back.code, "Throttling");
    static const char *const unreadable[] = {"", "{}", "[]", "<html>", "{\"__type\": 1}"};
    for (size_t i = 0; i < ARRAY_LEN(unreadable); i++) {
        aws_fault_parse(&call, 502, slice_of(unreadable[i]), &back);
        assert_string_equal(back.code, "HTTP502");
        assert_int_equal(back.status, 502);
    }
}

/* What the client sends is what the server reads, and the other way. */
static void test_round_trip(void **state)
{
    (void)state;
    AwsCall call = call_of("weir", "ListNodes");
    const char *output_text =
        "{\"Nodes\": [{\"NodeId\": \"n1\", \"Port\": 5432, \"LagBytes\": 9007199254740993,"
        " \"PendingRestart\": false, \"StartedAt\": 1769860800123, \"LastError\": \"\"}, {}]}";
    CLEANUP(mem_free_ptr) char *text = format_ok(&call, output_text);
    json_t *output;
    Err err;
    assert_true(aws_output_parse(&call, slice_of(text), &output, &err));
    assert_json(output, output_text);
    assert_false(aws_output_parse(&call, SLICE("{\"Nodes\": [{\"Port\": \"x\"}]}"), &output, &err));
    assert_string_equal(err.message, "Nodes.1.Port must be an integer of 32 bits.");
    assert_false(aws_output_parse(&call, SLICE("nonsense"), &output, &err));

    json_t *input = json_of("{\"ResourceId\": \"x\"}");
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    assert_true(aws_input_format(&call, input, &body, &err));
    json_t *read;
    assert_true(input_of(&call, buf_slice(&body), &read, NULL, NULL));
    assert_json(read, "{\"ResourceId\": \"x\"}");
    json_decref(input);
    buf_done(&body);
    char target[AWS_TARGET_SIZE];
    aws_request_target(&call, target);
    assert_string_equal(target, "Weir_20260101.ListNodes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input),         cmocka_unit_test(test_input_empty),
        cmocka_unit_test(test_input_refused), cmocka_unit_test(test_input_missing),
        cmocka_unit_test(test_times),         cmocka_unit_test(test_deep_input),
        cmocka_unit_test(test_output),        cmocka_unit_test(test_output_of_the_wrong_type),
        cmocka_unit_test(test_faults),        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
