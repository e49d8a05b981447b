/* Secrets: versions and labels, recovery, policies, passwords. */
#include "harness.h"

#include <stdlib.h>

#define TOKEN_1 "11111111-1111-1111-1111-111111111111"
#define TOKEN_2 "22222222-2222-2222-2222-222222222222"
#define TOKEN_3 "33333333-3333-3333-3333-333333333333"
#define DAY_MS  ((int64_t)24 * 60 * 60 * 1000)

static void run(Harness *harness, const char *operation, const char *input, const char *fault,
                const char *expect)
{
    Step step = {operation, input, fault, expect};
    run_step(harness, &step);
}

static int secret_setup(void **state)
{
    harness_setup(state);
    Harness *harness = *state;
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, "secretsmanager:CreateSecret",
                             "{'Name': 'app/Db', 'Description': 'd', 'ClientRequestToken': "
                             "'" TOKEN_1 "', 'SecretString': 'one', 'Tags': [{'Key': 'k', "
                             "'Value': 'v'}]}",
                             &output, &fault));
    harness_keep(harness, "arn", output, "ARN");
    const char *arn = member_str(output, "ARN", "");
    assert_true(slice_starts(slice_of(arn),
                             "arn:aws:secretsmanager:eu-west-1:000000000000:secret:app/Db-"));
    assert_string_equal(member_str(output, "VersionId", ""), TOKEN_1);
    json_object_set_new(harness->variables, "partial",
                        json_stringn(arn, strlen(arn) - 7)); /* without its suffix */
    json_decref(output);
    return 0;
}

static void test_values_are_found_and_sealed(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", NULL,
         "{'Name': 'app/Db', 'ARN': '$arn', 'SecretString': 'one', 'VersionId': '" TOKEN_1
         "', 'VersionStages': ['AWSCURRENT'], 'CreatedDate': 1700000000000}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': '$arn'}", NULL, "{'SecretString': 'one'}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': '$partial'}", NULL,
         "{'SecretString': 'one'}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/db'}", "ResourceNotFoundException",
         NULL},
        {"secretsmanager:GetSecretValue",
         "{'SecretId': 'arn:aws:secretsmanager:eu-west-1:000000000000:secret:app/Db-zzzzzz'}",
         "ResourceNotFoundException", NULL},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db', 'VersionStage': 'AWSPENDING'}",
         "ResourceNotFoundException", "staging label: AWSPENDING"},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db', 'VersionId': '" TOKEN_2 "'}",
         "ResourceNotFoundException", "VersionId"},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", NULL,
         "{'Description': 'd', 'Tags': [{'Key': 'k', 'Value': 'v'}], 'VersionIdsToStages': "
         "{'" TOKEN_1 "': ['AWSCURRENT']}, 'DeletedDate': null}"},
    };
    RUN_STEPS(harness, steps);
    json_t *value = harness_get(harness, "secretvalue/app%2FDb/" TOKEN_1);
    assert_non_null(value);
    char *text = json_dumps(value, 0);
    assert_null(strstr(text, "one"));
    free(text);
    json_decref(value);
}

static void test_a_moved_value_does_not_open(void **state)
{
    Harness *harness = *state;
    json_t *value = harness_get(harness, "secretvalue/app%2FDb/" TOKEN_1);
    run(harness, "secretsmanager:PutSecretValue",
        "{'SecretId': 'app/Db', 'ClientRequestToken': '" TOKEN_2 "', 'SecretString': 'two'}", NULL,
        NULL);
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("{'sealed': '%s'}", member_str(value, "sealed", ""));
    harness_put(harness, "secretvalue/app%2FDb/" TOKEN_2, text);
    run(harness, "secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", "DecryptionFailure",
        NULL);
    json_decref(value);
}

static void test_versions_and_labels(void **state)
{
    static const Step steps[] = {
        {"secretsmanager:PutSecretValue",
         "{'SecretId': 'app/Db', 'ClientRequestToken': '" TOKEN_2 "', 'SecretString': 'two'}", NULL,
         "{'VersionId': '" TOKEN_2 "', 'VersionStages': ['AWSCURRENT']}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db', 'VersionStage': 'AWSPREVIOUS'}",
         NULL, "{'SecretString': 'one', 'VersionId': '" TOKEN_1 "'}"},
        /* the same token again: the same version, or a refusal */
        {"secretsmanager:PutSecretValue",
         "{'SecretId': 'app/Db', 'ClientRequestToken': '" TOKEN_2 "', 'SecretString': 'two'}", NULL,
         "{'VersionId': '" TOKEN_2 "'}"},
        {"secretsmanager:PutSecretValue",
         "{'SecretId': 'app/Db', 'ClientRequestToken': '" TOKEN_2 "', 'SecretString': 'other'}",
         "ResourceExistsException", TOKEN_2},
        {"secretsmanager:PutSecretValue",
         "{'SecretId': 'app/Db', 'ClientRequestToken': 'short', 'SecretString': 'x'}",
         "InvalidParameterException", "ClientRequestToken"},
        {"secretsmanager:PutSecretValue",
         "{'SecretId': 'app/Db', 'ClientRequestToken': '" TOKEN_3
         "', 'SecretString': 'three', 'VersionStages': ['AWSPENDING']}",
         NULL, "{'VersionStages': ['AWSPENDING']}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", NULL,
         "{'SecretString': 'two'}"},
        {"secretsmanager:UpdateSecretVersionStage",
         "{'SecretId': 'app/Db', 'VersionStage': 'AWSCURRENT', 'MoveToVersionId': '" TOKEN_3 "'}",
         "InvalidParameterException", TOKEN_2},
        {"secretsmanager:UpdateSecretVersionStage",
         "{'SecretId': 'app/Db', 'VersionStage': 'AWSCURRENT', 'RemoveFromVersionId': '" TOKEN_2
         "'}",
         "InvalidParameterException", "can't be completely removed"},
        {"secretsmanager:UpdateSecretVersionStage",
         "{'SecretId': 'app/Db', 'VersionStage': 'AWSCURRENT', 'MoveToVersionId': '" TOKEN_3
         "', 'RemoveFromVersionId': '" TOKEN_2 "'}",
         NULL, NULL},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", NULL,
         "{'VersionIdsToStages': {'" TOKEN_1 "': null, '" TOKEN_2 "': ['AWSPREVIOUS'], '" TOKEN_3
         "': ['AWSPENDING', 'AWSCURRENT']}}"},
        {"secretsmanager:ListSecretVersionIds", "{'SecretId': 'app/Db', 'IncludeDeprecated': true}",
         NULL, "{'Name': 'app/Db', 'Versions': [{}, {}, {}]}"},
        {"secretsmanager:ListSecretVersionIds", "{'SecretId': 'app/Db'}", NULL,
         "{'Versions': [{}, {}]}"},
        {"secretsmanager:PutSecretValue", "{'SecretId': 'app/Db'}", "InvalidParameterException",
         "SecretString"},
        {"secretsmanager:PutSecretValue",
         "{'SecretId': 'app/Db', 'SecretString': 'x', 'SecretBinary': 'eA=='}",
         "InvalidParameterException", "both"},
        {"secretsmanager:PutSecretValue", "{'SecretId': 'app/Db', 'SecretBinary': 'eHk='}", NULL,
         NULL},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", NULL,
         "{'SecretBinary': 'eHk=', 'SecretString': null}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_old_versions_go(void **state)
{
    Harness *harness = *state;
    for (int i = 0; i < 30; i++) {
        harness->now_ms++;
        run(harness, "secretsmanager:PutSecretValue", "{'SecretId': 'app/Db', 'SecretString': 'x'}",
            NULL, NULL);
    }
    json_t *spec = harness_get(harness, "spec/secret/app%2FDb");
    assert_int_equal(json_object_size(member_object(spec, "versions")), 12);
    assert_null(harness_get(harness, "secretvalue/app%2FDb/" TOKEN_1));
    json_decref(spec);
}

static void test_update(void **state)
{
    static const Step steps[] = {
        {"secretsmanager:UpdateSecret", "{'SecretId': 'app/Db', 'Description': 'new'}", NULL,
         "{'VersionId': null}"},
        {"secretsmanager:UpdateSecret", "{'SecretId': 'app/Db', 'SecretString': 'two'}", NULL,
         "{'VersionId': '*'}"},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", NULL, "{'Description': 'new'}"},
        {"secretsmanager:UpdateSecret", "{'SecretId': 'app/Db', 'Description': ''}", NULL, NULL},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", NULL, "{'Description': null}"},
        {"secretsmanager:TagResource",
         "{'SecretId': 'app/Db', 'Tags': [{'Key': 'k', 'Value': 'w'}]}", NULL, NULL},
        {"secretsmanager:UntagResource", "{'SecretId': 'app/Db', 'TagKeys': ['none']}", NULL, NULL},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", NULL,
         "{'Tags': [{'Key': 'k', 'Value': 'w'}]}"},
        {"secretsmanager:GetResourcePolicy", "{'SecretId': 'app/Db'}", NULL,
         "{'Name': 'app/Db', 'ResourcePolicy': null}"},
        {"secretsmanager:PutResourcePolicy", "{'SecretId': 'app/Db', 'ResourcePolicy': 'x'}",
         "MalformedPolicyDocumentException", NULL},
        {"secretsmanager:PutResourcePolicy", "{'SecretId': 'app/Db', 'ResourcePolicy': '{}'}", NULL,
         NULL},
        {"secretsmanager:GetResourcePolicy", "{'SecretId': 'app/Db'}", NULL,
         "{'ResourcePolicy': '{}'}"},
        {"secretsmanager:DeleteResourcePolicy", "{'SecretId': 'app/Db'}", NULL, NULL},
        {"secretsmanager:RotateSecret", "{'SecretId': 'app/Db'}", "InvalidRequestException",
         "rotation"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_create_again(void **state)
{
    static const Step steps[] = {
        {"secretsmanager:CreateSecret", "{'Name': 'app/Db', 'SecretString': 'x'}",
         "ResourceExistsException", "app/Db already exists"},
        {"secretsmanager:CreateSecret",
         "{'Name': 'app/Db', 'SecretString': 'one', 'ClientRequestToken': '" TOKEN_1 "'}", NULL,
         "{'ARN': '$arn', 'VersionId': '" TOKEN_1 "'}"},
        {"secretsmanager:CreateSecret",
         "{'Name': 'app/Db', 'SecretString': 'two', 'ClientRequestToken': '" TOKEN_1 "'}",
         "ResourceExistsException", NULL},
        {"secretsmanager:CreateSecret", "{'Name': 'a b'}", "InvalidParameterException",
         "Invalid name"},
        {"secretsmanager:CreateSecret",
         "{'Name': 'x', 'AddReplicaRegions': [{'Region': 'eu-west-2'}]}", "InvalidRequestException",
         "AddReplicaRegions"},
        {"secretsmanager:CreateSecret", "{'Name': 'empty'}", NULL, "{'VersionId': null}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'empty'}", "ResourceNotFoundException",
         "AWSCURRENT"},
        {"secretsmanager:ListSecrets", NULL, NULL,
         "{'SecretList': [{'Name': 'app/Db', 'SecretVersionsToStages': {'" TOKEN_1
         "': ['AWSCURRENT']}}, {'Name': 'empty'}]}"},
        {"secretsmanager:ListSecrets", "{'Filters': [{'Key': 'name', 'Values': ['em']}]}", NULL,
         "{'SecretList': [{'Name': 'empty'}]}"},
        {"secretsmanager:ListSecrets", "{'Filters': [{'Key': 'tag-key', 'Values': ['k']}]}", NULL,
         "{'SecretList': [{'Name': 'app/Db'}]}"},
        {"secretsmanager:ListSecrets", "{'MaxResults': 1}", NULL,
         "{'SecretList': [{}], 'NextToken': '1'}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_recovery_window(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"secretsmanager:DeleteSecret", "{'SecretId': 'app/Db', 'RecoveryWindowInDays': 3}",
         "InvalidParameterException", "between 7 and 30"},
        {"secretsmanager:DeleteSecret",
         "{'SecretId': 'app/Db', 'RecoveryWindowInDays': 7, 'ForceDeleteWithoutRecovery': true}",
         "InvalidParameterException", "conjunction"},
        {"secretsmanager:DeleteSecret", "{'SecretId': 'app/Db', 'RecoveryWindowInDays': 7}", NULL,
         "{'DeletionDate': 1700604800000}"},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", "InvalidRequestException",
         "marked for deletion"},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", NULL,
         "{'DeletedDate': 1700000000000}"},
        {"secretsmanager:CreateSecret", "{'Name': 'app/Db'}", "InvalidRequestException",
         "scheduled for deletion"},
        {"secretsmanager:ListSecrets", NULL, NULL, "{'SecretList': []}"},
        {"secretsmanager:ListSecrets", "{'IncludePlannedDeletion': true}", NULL,
         "{'SecretList': [{}]}"},
        {"secretsmanager:RestoreSecret", "{'SecretId': 'app/Db'}", NULL, NULL},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", NULL,
         "{'SecretString': 'one'}"},
        {"secretsmanager:DeleteSecret", "{'SecretId': 'app/Db'}", NULL, NULL},
    };
    RUN_STEPS(harness, steps);
    harness->now_ms += 30 * DAY_MS;
    static const Step later[] = {
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", "ResourceNotFoundException",
         NULL},
        {"secretsmanager:CreateSecret", "{'Name': 'app/Db', 'SecretString': 'new'}", NULL, NULL},
        {"secretsmanager:GetSecretValue", "{'SecretId': 'app/Db'}", NULL,
         "{'SecretString': 'new'}"},
    };
    RUN_STEPS(harness, later);
    assert_null(harness_get(harness, "secretvalue/app%2FDb/" TOKEN_1));
}

static void test_deleting_at_once(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"secretsmanager:DeleteSecret", "{'SecretId': 'app/Db'}", NULL, NULL},
        {"secretsmanager:DeleteSecret",
         "{'SecretId': 'app/Db', 'ForceDeleteWithoutRecovery': true}", NULL, NULL},
        {"secretsmanager:DescribeSecret", "{'SecretId': 'app/Db'}", "ResourceNotFoundException",
         NULL},
        {"secretsmanager:CreateSecret", "{'Name': 'app/Db'}", NULL, NULL},
    };
    RUN_STEPS(harness, steps);
    assert_null(harness_get(harness, "secretvalue/app%2FDb/" TOKEN_1));
}

static void check_password(Harness *harness, const char *input, size_t len, const char *must)
{
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, "secretsmanager:GetRandomPassword", input, &output, &fault));
    const char *password = member_str(output, "RandomPassword", "");
    assert_int_equal(strlen(password), len);
    assert_int_equal(strspn(password, must), len);
    json_decref(output);
}

static void test_random_passwords(void **state)
{
    Harness *harness = *state;
    check_password(harness,
                   "{'PasswordLength': 64, 'ExcludePunctuation': true, 'ExcludeNumbers': "
                   "true, 'ExcludeUppercase': true}",
                   64, "abcdefghijklmnopqrstuvwxyz");
    check_password(harness,
                   "{'PasswordLength': 3000, 'ExcludePunctuation': true, 'ExcludeLowercase': true, "
                   "'ExcludeUppercase': true, 'ExcludeCharacters': '01234567'}",
                   3000, "89");
    static const Step steps[] = {
        {"secretsmanager:GetRandomPassword", "{'PasswordLength': 0}", "InvalidParameterException",
         NULL},
        {"secretsmanager:GetRandomPassword", "{'PasswordLength': 3}", "InvalidParameterException",
         "too short"},
        {"secretsmanager:GetRandomPassword",
         "{'PasswordLength': 3, 'RequireEachIncludedType': false}", NULL,
         "{'RandomPassword': '*'}"},
    };
    RUN_STEPS(harness, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, secret_setup, harness_teardown)
        API_TEST(test_values_are_found_and_sealed),
        API_TEST(test_a_moved_value_does_not_open),
        API_TEST(test_versions_and_labels),
        API_TEST(test_old_versions_go),
        API_TEST(test_update),
        API_TEST(test_create_again),
        API_TEST(test_recovery_window),
        API_TEST(test_deleting_at_once),
        API_TEST(test_random_passwords),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
