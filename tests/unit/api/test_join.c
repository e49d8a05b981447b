/* A host joins: what a token lets its holder do, and what is refused. */
#include "harness.h"

#define HOUR_MS (3600 * MS_PER_S)

static const char shared[] = "{'StoreEndpoints': ['https://10.1.0.1:2379'], 'StoreRoot': '/weir/', "
                             "'StoreOwn': true, 'StoreCa': 'CA', 'StoreCaKey': 'KEY'}";

/* The caller's id and secret. */
static json_t *token_make(Harness *harness)
{
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, "weir:CreateJoinToken", NULL, &output, &fault));
    return output;
}

/* What is signed from here on is signed with the token. */
static void sign_with(Harness *harness, const json_t *token)
{
    harness->access_key = member_str(token, "TokenId", "");
    harness->signs_with = member_str(token, "Secret", "");
}

static void sign_as_owner(Harness *harness)
{
    harness->access_key = harness->signs_with = NULL;
}

static int join_setup(void **state)
{
    harness_setup(state);
    Harness *harness = *state;
    harness->tls = true;
    harness->share = shared;
    harness_put(harness, "host/h1/spec", "{'zone': 'a', 'net': '127.5', 'joined_ms': 5}");
    return 0;
}

static void test_a_host_joins(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    sign_with(harness, token);
    const Step steps[] = {
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}", NULL,
         "{'TierId': 't1', 'MasterKey': '*', 'StoreEndpoints': ['https://10.1.0.1:2379'], "
         "'StoreOwn': true, 'StoreCa': 'CA', 'StoreCaKey': 'KEY'}"},
        /* The answer may have been lost. */
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}", NULL,
         "{'TierId': 't1'}"},
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'y'}",
         "InvalidRequestException", "has been used, by host h2"},
    };
    RUN_STEPS(harness, steps);
    json_t *spec = harness_get(harness, "host/h2/spec"); /* it is a host from here on */
    assert_string_equal(member_str(spec, "join", ""), "x");
    assert_false(member_bool(spec, "draining", false));
    json_decref(spec);
    harness_put(harness, "host/h2/beat", "{'count': 1}");
    const Step late = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}",
                       "InvalidRequestException", "has a host h2 already"};
    run_step(harness, &late);
    json_decref(token);
}

/* Whoever used it up may not have come to its end: another token gives the name again. */
static void test_a_name_that_nobody_came_up_with(void **state)
{
    Harness *harness = *state;
    json_t *first = token_make(harness);
    json_t *second = token_make(harness);
    const Step lost = {"weir:JoinHost",
                       "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x', 'NoEngines': true}", NULL,
                       "{'TierId': 't1'}"};
    const Step again = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'c', 'Attempt': 'y'}", NULL,
                        "{'TierId': 't1'}"};
    sign_with(harness, first);
    run_step(harness, &lost);
    json_t *spec = harness_get(harness, "host/h2/spec");
    assert_true(member_bool(spec, "draining", false));
    json_decref(spec);
    sign_with(harness, second);
    run_step(harness, &again);
    spec = harness_get(harness, "host/h2/spec");
    assert_string_equal(member_str(spec, "join", ""), "y");
    json_decref(spec);
    json_decref(first);
    json_decref(second);
}

static void test_a_token_is_for_joining_only(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    const Step owner = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}",
                        "InvalidRequestException", "joins by a token"};
    run_step(harness, &owner);
    sign_with(harness, token);
    const Step steps[] = {
        {"weir:DescribeTier", NULL, "AccessDeniedException", "A token is for joining"},
        {"weir:StopTier", NULL, "AccessDeniedException", "A token is for joining"},
        {"weir:CreateJoinToken", NULL, "AccessDeniedException", "A token is for joining"},
        {"rds:DescribeDBInstances", NULL, "AccessDenied", "A token is for joining"},
    };
    RUN_STEPS(harness, steps);
    assert_int_equal(harness->stops, 0);
    json_decref(token);
}

static void test_nothing_without_tls(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    sign_with(harness, token);
    harness->tls = false;
    const Step step = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}",
                       "InvalidRequestException", "over TLS"};
    run_step(harness, &step);
    json_decref(token);
}

static void test_a_token_ends(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    sign_with(harness, token);
    harness->now_ms += HOUR_MS;
    const Step step = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}",
                       "UnrecognizedClientException", NULL};
    run_step(harness, &step);
    sign_as_owner(harness);
    json_t *other = token_make(harness); /* with which those that have ended go */
    char *key = mem_printf("join/%s", member_str(token, "TokenId", ""));
    assert_null(harness_get(harness, key));
    mem_free(key);
    json_decref(token);
    json_decref(other);
}

static void test_a_wrong_secret(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    sign_with(harness, token);
    harness->signs_with = "another one";
    const Step step = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}",
                       "InvalidSignatureException", NULL};
    run_step(harness, &step);
    json_decref(token);
}

static void test_what_is_refused(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    harness_put(harness, "removed-host/old", "{'removed_ms': 1}");
    sign_with(harness, token);
    const Step steps[] = {
        {"weir:JoinHost", "{'HostName': 'H2', 'Zone': 'b', 'Attempt': 'x'}",
         "InvalidParameterException", "small letters"},
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'z', 'Attempt': 'x'}",
         "InvalidParameterException", "abc"},
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Network': '10', 'Attempt': 'x'}",
         "InvalidParameterException", "/16"},
        {"weir:JoinHost", "{'HostName': 'h1', 'Zone': 'b', 'Attempt': 'x'}",
         "InvalidRequestException", "has a host h1 already"},
        {"weir:JoinHost", "{'HostName': 'old', 'Zone': 'b', 'Attempt': 'x'}",
         "InvalidRequestException", "was removed"},
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Network': '10.2', 'Attempt': 'x'}",
         "InvalidRequestException", "which no other machine reaches"},
        {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Network': '127.5', 'Attempt': 'x'}",
         "InvalidRequestException", "that of another host"},
    };
    RUN_STEPS(harness, steps);
    harness->share = NULL;
    const Step later = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}",
                        "ServiceUnavailable", "the store moves"};
    run_step(harness, &later);
    harness->share = shared; /* and none of it has used the token up */
    const Step good = {"weir:JoinHost", "{'HostName': 'h2', 'Zone': 'b', 'Attempt': 'x'}", NULL,
                       "{}"};
    run_step(harness, &good);
    json_decref(token);
}

static void test_the_secret_is_sealed(void **state)
{
    Harness *harness = *state;
    json_t *token = token_make(harness);
    char *key = mem_printf("join/%s", member_str(token, "TokenId", ""));
    json_t *record = harness_get(harness, key);
    assert_non_null(record);
    char *text = json_dumps(record, 0);
    assert_null(strstr(text, member_str(token, "Secret", "?")));
    mem_free(text);
    mem_free(key);
    json_decref(record);
    json_decref(token);
}

static void test_so_many_tokens(void **state)
{
    Harness *harness = *state;
    for (int i = 0; i < 16; i++) {
        json_decref(token_make(harness));
    }
    const Step step = {"weir:CreateJoinToken", NULL, "InvalidRequestException", "have not ended"};
    run_step(harness, &step);
}

static void test_the_authority(void **state)
{
    Harness *harness = *state;
    ApiReply reply;
    const AwsHttp http = {.method = SLICE("GET"), .path = SLICE("/ca.pem")};
    api_reply_init(&reply);
    api_answer(harness->api, &http, &reply);
    assert_int_equal(reply.status, 200);
    assert_string_equal(buf_str(&reply.body), "the authority");
    api_reply_done(&reply);
}

#define JOIN_TEST(name) cmocka_unit_test_setup_teardown(name, join_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOIN_TEST(test_a_host_joins),
        JOIN_TEST(test_a_name_that_nobody_came_up_with),
        JOIN_TEST(test_a_token_is_for_joining_only),
        JOIN_TEST(test_nothing_without_tls),
        JOIN_TEST(test_a_token_ends),
        JOIN_TEST(test_a_wrong_secret),
        JOIN_TEST(test_what_is_refused),
        JOIN_TEST(test_the_secret_is_sealed),
        JOIN_TEST(test_so_many_tokens),
        JOIN_TEST(test_the_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
