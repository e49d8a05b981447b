/*
 * aws_secretsmanager_secret and aws_secretsmanager_secret_version. A secret that was removed stays
 * in its recovery window; a block that comes back finds it there and restores it.
 */
#include "cli/resource/resource_tables_priv.h"

#define POLICY_REFUSED "policies of secrets are not applied: every signed caller may read them"

static const KindAttribute secret_attributes[] = {
    REQUIRED("name", STRING, RULE_KEY, "Name"),
    OPTIONAL("description", STRING, 0, "Description", "\"\""),
    COMPUTED("kms_key_id", STRING, 0, "KmsKeyId"),
    OURS("recovery_window_in_days", INTEGER, RULE_KEPT, "30"),
    OURS("force_overwrite_replica_secret", BOOL, 0, NULL),
    READ_ONLY("id", STRING, "ARN"),
    READ_ONLY("arn", STRING, "ARN"),
    REFUSED("name_prefix", STRING, NAME_PREFIX_REFUSED),
    REFUSED("policy", STRING, POLICY_REFUSED),
};

static const KindBlock secret_blocks[] = {
    REFUSED_BLOCK("replica", "there is one region"),
};

/* ---- secrets ----------------------------------------------------------------------------------
 */

static void read_secret(PresentList *list, const json_t *item)
{
    Present *present = present_add(list, &kind_secret, item, json_object_get(item, "Tags"));
    present->key = arena_strdup(list->arena, member_str(item, "Name", ""));
    present->handle = arena_strdup(list->arena, member_str(item, "ARN", ""));
}

static bool secret_read_by_name(const Caller *caller, const char *name, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *output = NULL;
    TRY(caller_find(caller, "secretsmanager", "DescribeSecret",
                    json_pack("{s:s}", "SecretId", name), &output, err));
    if (output != NULL && json_object_get(output, "DeletedDate") == NULL) {
        read_secret(list, output);
    }
    return true;
}

static bool secrets_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    if (key != NULL) {
        return secret_read_by_name(caller, key, list, err);
    }
    CLEANUP(record_free_ptr) json_t *items = NULL;
    TRY(caller_list(caller, "secretsmanager", "ListSecrets", NULL, "SecretList", &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        read_secret(list, item);
    }
    return true;
}

static bool secret_restore(Change *change, const char *name, Err *err)
{
    const char *description = desired_str(change, "description", "");
    change->fault = (AwsFault){0};
    return change_call(change, "secretsmanager", "RestoreSecret",
                       json_pack("{s:s}", "SecretId", name), NULL, err) &&
           change_call(change, "secretsmanager", "TagResource",
                       json_pack("{s:s, s:o}", "SecretId", name, "Tags", tags_desired_new(change)),
                       NULL, err) &&
           change_call(change, "secretsmanager", "UpdateSecret",
                       json_pack("{s:s, s:s}", "SecretId", name, "Description", description), NULL,
                       err);
}

static bool is_scheduled_for_deletion(const AwsFault *fault)
{
    return strcmp(fault->code, "InvalidRequestException") == 0 &&
           strstr(fault->message, "scheduled for deletion") != NULL;
}

static bool secret_create(Change *change, Err *err)
{
    json_t *input = input_create_new(change, "secretsmanager", "CreateSecret");
    json_object_set_new(input, "Tags", tags_desired_new(change));
    if (change_call(change, "secretsmanager", "CreateSecret", input, NULL, err)) {
        return true;
    }
    return is_scheduled_for_deletion(&change->fault) &&
           secret_restore(change, desired_str(change, "name", ""), err);
}

static bool secret_update(Change *change, Err *err)
{
    json_t *input = input_modify_new(change, "secretsmanager", "UpdateSecret");
    if (json_object_size(input) == 0) {
        json_decref(input);
        return true;
    }
    json_object_set_new(input, "SecretId", json_string(change->present->handle));
    return change_call(change, "secretsmanager", "UpdateSecret", input, NULL, err);
}

static bool secret_destroy(Change *change, Err *err)
{
    const char *window = kept_str(change->present, "recovery_window_in_days", "30");
    json_t *input = json_pack("{s:s}", "SecretId", change->present->handle);
    int64_t days;
    if (strcmp(window, "0") == 0 || !str_to_i64(slice_of(window), &days)) {
        json_object_set_new(input, "ForceDeleteWithoutRecovery", json_true());
    } else {
        json_object_set_new(input, "RecoveryWindowInDays", json_integer(days));
    }
    return change_call(change, "secretsmanager", "DeleteSecret", input, NULL, err);
}

const ResourceKind kind_secret = {
    .type = "aws_secretsmanager_secret",
    .noun = "secret",
    .model = RESOURCE_SECRET,
    .attributes = secret_attributes,
    .attributes_len = ARRAY_LEN(secret_attributes),
    .blocks = secret_blocks,
    .blocks_len = ARRAY_LEN(secret_blocks),
    .key = {"name"},
    .tags = TAGS_SECRET,
    .destroy_rank = 4,
    .holds_data = true,
    .timeout_ms = 60 * MS_PER_S,
    .read = secrets_read,
    .create = secret_create,
    .update = secret_update,
    .destroy = secret_destroy,
};

/* ---- versions ---------------------------------------------------------------------------------
 */

static const KindAttribute version_attributes[] = {
    REQUIRED("secret_id", STRING, RULE_KEY | RULE_SECRET, "ARN"),
    {{"secret_string", TF_TYPE_STRING, TF_SENSITIVE, NULL}, 0, "SecretString", NULL},
    {{"secret_binary", TF_TYPE_STRING, TF_SENSITIVE, NULL}, 0, "SecretBinary", NULL},
    READ_ONLY("id", STRING, NULL),
    READ_ONLY("arn", STRING, "ARN"),
    READ_ONLY("version_id", STRING, "VersionId"),
    REFUSED("version_stages", STRING_SET, "a version that is applied becomes AWSCURRENT"),
    REFUSED("secret_string_wo", STRING, "write secret_string: it is kept encrypted"),
    REFUSED("secret_string_wo_version", INTEGER, "write secret_string: it is kept encrypted"),
};

static bool version_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *secret = NULL;
    CLEANUP(record_free_ptr) json_t *output = NULL;
    if (key == NULL) {
        return true;
    }
    TRY(caller_find(caller, "secretsmanager", "DescribeSecret", json_pack("{s:s}", "SecretId", key),
                    &secret, err));
    if (secret == NULL || json_object_get(secret, "DeletedDate") != NULL) {
        return true; /* one that is marked for deletion does not open */
    }
    TRY(caller_find(caller, "secretsmanager", "GetSecretValue", json_pack("{s:s}", "SecretId", key),
                    &output, err));
    if (output == NULL) {
        return true;
    }
    Present *present = present_add(list, &kind_secret_version, output, NULL);
    const char *arn = member_str(output, "ARN", "");
    present->key = arena_strdup(list->arena, key);
    present->handle = arena_strdup(list->arena, arn);
    json_object_set_new(
        present->attributes, "id",
        json_string(arena_printf(list->arena, "%s|%s", arn, member_str(output, "VersionId", ""))));
    return true;
}

static bool version_put(Change *change, Err *err)
{
    json_t *input = json_object();
    input_set(input, "SecretId", change, "secret_id");
    input_set(input, "SecretString", change, "secret_string");
    input_set(input, "SecretBinary", change, "secret_binary");
    return change_call(change, "secretsmanager", "PutSecretValue", input, NULL, err);
}

const ResourceKind kind_secret_version = {
    .type = "aws_secretsmanager_secret_version",
    .noun = "secret value",
    .model = -1,
    .attributes = version_attributes,
    .attributes_len = ARRAY_LEN(version_attributes),
    .key = {"secret_id"},
    .parent_type = "aws_secretsmanager_secret",
    .parent_attribute = "secret_id",
    .by_key_only = true,
    .timeout_ms = 60 * MS_PER_S,
    .read = version_read,
    .create = version_put,
    .update = version_put,
};
