/* aws_db_proxy. The block `auth` becomes the list Auth; a modification always sends all of it. */
#include "cli/resource/resource_tables_priv.h"

#define BUILT_IN_ROLE "arn:aws:iam::" MODEL_ACCOUNT_ID ":role/weir-proxy"

static const KindAttribute attributes[] = {
    REQUIRED("name", STRING, RULE_KEY | RULE_LOWER, "DBProxyName"),
    REQUIRED("engine_family", STRING, RULE_REPLACES, "EngineFamily"),
    COMPUTED("role_arn", STRING, 0, "RoleArn"),
    REQUIRED("vpc_subnet_ids", STRING_SET, RULE_REPLACES, "VpcSubnetIds"),
    COMPUTED("vpc_security_group_ids", STRING_SET, 0, "VpcSecurityGroupIds"),
    OPTIONAL("require_tls", BOOL, 0, "RequireTLS", "false"),
    COMPUTED("idle_client_timeout", INTEGER, 0, "IdleClientTimeout"),
    OPTIONAL("debug_logging", BOOL, 0, "DebugLogging", "false"),
    COMPUTED("default_auth_scheme", STRING, 0, "DefaultAuthScheme"),
    READ_ONLY("id", STRING, "DBProxyName"),
    READ_ONLY("arn", STRING, "DBProxyArn"),
    READ_ONLY("endpoint", STRING, "Endpoint"),
};

static const TfAttribute auth[] = {
    {"auth_scheme", TF_TYPE_STRING, 0, NULL},
    {"client_password_auth_type", TF_TYPE_STRING, 0, NULL},
    {"description", TF_TYPE_STRING, 0, NULL},
    {"iam_auth", TF_TYPE_STRING, 0, NULL},
    {"secret_arn", TF_TYPE_STRING, TF_REQUIRED, NULL},
    {"username", TF_TYPE_STRING, 0, NULL},
};

static const char *const auth_members[] = {
    "AuthScheme", "ClientPasswordAuthType", "Description", "IAMAuth", "SecretArn", "UserName"};

static const KindBlock blocks[] = {
    {.tf = {.name = "auth",
            .schema = {.attributes = auth, .attributes_len = ARRAY_LEN(auth)},
            .min = 1},
     .split = split_auth},
};

/* Between the block and the API's shape, either way. */
static json_t *auth_list_new(const json_t *from, bool to_api)
{
    json_t *list = json_array();
    size_t i;
    const json_t *entry;
    json_array_foreach (from, i, entry) {
        json_t *copy = json_object();
        for (size_t k = 0; k < ARRAY_LEN(auth); k++) {
            const char *name = to_api ? auth[k].name : auth_members[k];
            json_t *value = json_object_get(entry, name);
            if (value != NULL) {
                json_object_set(copy, to_api ? auth_members[k] : auth[k].name, value);
            }
        }
        json_array_append_new(list, copy);
    }
    return list;
}

static bool read_one(const Caller *caller, const json_t *item, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *tags = NULL;
    const char *arn = member_str(item, "DBProxyArn", "");
    TRY(caller_list(caller, "rds", "ListTagsForResource", json_pack("{s:s}", "ResourceName", arn),
                    "TagList", &tags, err));
    Present *present = present_add(list, &kind_db_proxy, item, tags);
    present->key = text_lower_new(list->arena, member_str(item, "DBProxyName", ""));
    present->handle = arena_strdup(list->arena, arn);
    present->status = arena_strdup(list->arena, member_str(item, "Status", ""));
    json_object_set_new(present->attributes, "auth",
                        auth_list_new(json_object_get(item, "Auth"), false));
    return true;
}

static bool proxy_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    json_t *input = key != NULL ? json_pack("{s:s}", "DBProxyName", key) : NULL;
    TRY(caller_list(caller, "rds", "DescribeDBProxies", input, "DBProxies", &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        TRY(read_one(caller, item, list, err));
    }
    return true;
}

static bool proxy_create(Change *change, Err *err)
{
    json_t *input = input_create_new(change, "rds", "CreateDBProxy");
    json_object_set_new(input, "Auth",
                        auth_list_new(json_object_get(change->desired, "auth"), true));
    if (json_object_get(input, "RoleArn") == NULL) {
        json_object_set_new(input, "RoleArn", json_string(BUILT_IN_ROLE));
    }
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, "rds", "CreateDBProxy", input, NULL, err);
}

static bool proxy_update(Change *change, Err *err)
{
    json_t *input = input_modify_new(change, "rds", "ModifyDBProxy");
    if (change_has(change, "auth")) {
        json_object_set_new(input, "Auth",
                            auth_list_new(json_object_get(change->desired, "auth"), true));
    }
    if (json_object_size(input) == 0) {
        json_decref(input);
        return true;
    }
    json_object_set_new(input, "DBProxyName", json_string(change->present->key));
    return change_call(change, "rds", "ModifyDBProxy", input, NULL, err);
}

static bool proxy_destroy(Change *change, Err *err)
{
    return change_call(change, "rds", "DeleteDBProxy",
                       json_pack("{s:s}", "DBProxyName", change->present->key), NULL, err);
}

static const char *const ready[] = {"available", NULL};
static const char *const failed[] = {"incompatible-network", "insufficient-resource-limits",
                                     "suspended", NULL};
static const char *const busy_faults[] = {"InvalidDBProxyStateFault", NULL};

const ResourceKind kind_db_proxy = {
    .type = "aws_db_proxy",
    .noun = "DB proxy",
    .model = RESOURCE_DB_PROXY,
    .attributes = attributes,
    .attributes_len = ARRAY_LEN(attributes),
    .blocks = blocks,
    .blocks_len = ARRAY_LEN(blocks),
    .key = {"name"},
    .ready = ready,
    .failed = failed,
    .busy_faults = busy_faults,
    .tags = TAGS_RDS,
    .destroy_rank = 1,
    .timeout_ms = 30 * 60 * MS_PER_S,
    .read = proxy_read,
    .create = proxy_create,
    .update = proxy_update,
    .destroy = proxy_destroy,
};
