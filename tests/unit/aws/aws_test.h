/* What the tests of the codecs share: calls by name, JSON by its text. */
#ifndef WEIR_TESTS_AWS_TEST_H
#define WEIR_TESTS_AWS_TEST_H

#include "../unit.h"
#include "aws/aws.h"

static inline AwsCall call_of(const char *service_name, const char *operation_name)
{
    AwsCall call;
    call.service = aws_service_find(slice_of(service_name));
    assert_non_null(call.service);
    call.operation = aws_operation_find(call.service, slice_of(operation_name));
    assert_non_null(call.operation);
    call.protocol = call.service->protocol;
    return call;
}

static inline json_t *json_of(const char *text)
{
    json_error_t error;
    json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        fail_msg("bad JSON in the test: %s in %s", error.text, text);
    }
    return value;
}

/* Compares and releases `actual`. */
static inline void assert_json(json_t *actual, const char *expected_text)
{
    json_t *expected = json_of(expected_text);
    if (!json_equal(actual, expected)) {
        char *text = json_dumps(actual, JSON_SORT_KEYS);
        fail_msg("%s\n is not\n%s", text, expected_text);
    }
    json_decref(expected);
    json_decref(actual);
}

/* Parses a POSTed body. */
static inline bool input_of(const AwsCall *call, Slice body, json_t **ret_input, json_t *unknown,
                            AwsFault *fault)
{
    AwsHttp http = {.method = SLICE("POST"), .path = SLICE("/"), .query = SLICE(""), .body = body};
    return aws_input_parse(call, &http, ret_input, unknown, fault);
}

#endif
