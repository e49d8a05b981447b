/* aws_db_proxy_endpoint: a further endpoint of a proxy. Its name is unique among those of all
 * proxies. */
#include "cli/resource/resource_tables_priv.h"

static const KindAttribute attributes[] = {
    REQUIRED("db_proxy_endpoint_name", STRING, RULE_KEY | RULE_LOWER, "DBProxyEndpointName"),
    REQUIRED("db_proxy_name", STRING, RULE_REPLACES | RULE_LOWER, "DBProxyName"),
    REQUIRED("vpc_subnet_ids", STRING_SET, RULE_REPLACES, "VpcSubnetIds"),
    COMPUTED("vpc_security_group_ids", STRING_SET, 0, "VpcSecurityGroupIds"),
    OPTIONAL("target_role", STRING, RULE_REPLACES, "TargetRole", "\"READ_WRITE\""),
    READ_ONLY("id", STRING, NULL),
    READ_ONLY("arn", STRING, "DBProxyEndpointArn"),
    READ_ONLY("endpoint", STRING, "Endpoint"),
    READ_ONLY("is_default", BOOL, "IsDefault"),
    READ_ONLY("vpc_id", STRING, "VpcId"),
};

static bool read_one(const Caller *caller, const json_t *item, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *tags = NULL;
    const char *arn = member_str(item, "DBProxyEndpointArn", "");
    const char *name = member_str(item, "DBProxyEndpointName", "");
    TRY(caller_list(caller, "rds", "ListTagsForResource", json_pack("{s:s}", "ResourceName", arn),
                    "TagList", &tags, err));
    Present *present = present_add(list, &kind_db_proxy_endpoint, item, tags);
    present->key = text_lower_new(list->arena, name);
    present->handle = arena_strdup(list->arena, arn);
    present->status = arena_strdup(list->arena, member_str(item, "Status", ""));
    json_object_set_new(present->attributes, "id",
                        json_sprintf("%s/%s", member_str(item, "DBProxyName", ""), name));
    return true;
}

static bool endpoint_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    json_t *input = key != NULL ? json_pack("{s:s}", "DBProxyEndpointName", key) : NULL;
    TRY(caller_list(caller, "rds", "DescribeDBProxyEndpoints", input, "DBProxyEndpoints", &items,
                    err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        TRY(read_one(caller, item, list, err));
    }
    return true;
}

static bool endpoint_create(Change *change, Err *err)
{
    json_t *input = input_create_new(change, "rds", "CreateDBProxyEndpoint");
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, "rds", "CreateDBProxyEndpoint", input, NULL, err);
}

static bool endpoint_update(Change *change, Err *err)
{
    json_t *input = input_modify_new(change, "rds", "ModifyDBProxyEndpoint");
    if (json_object_size(input) == 0) {
        json_decref(input);
        return true;
    }
    json_object_set_new(input, "DBProxyEndpointName", json_string(change->present->key));
    return change_call(change, "rds", "ModifyDBProxyEndpoint", input, NULL, err);
}

static bool endpoint_destroy(Change *change, Err *err)
{
    return change_call(change, "rds", "DeleteDBProxyEndpoint",
                       json_pack("{s:s}", "DBProxyEndpointName", change->present->key), NULL, err);
}

static const char *const ready[] = {"available", NULL};
static const char *const failed[] = {"incompatible-network", "insufficient-resource-limits", NULL};
static const char *const busy_faults[] = {"InvalidDBProxyStateFault",
                                          "InvalidDBProxyEndpointStateFault", NULL};

const ResourceKind kind_db_proxy_endpoint = {
    .type = "aws_db_proxy_endpoint",
    .noun = "proxy endpoint",
    .model = RESOURCE_DB_PROXY_ENDPOINT,
    .attributes = attributes,
    .attributes_len = ARRAY_LEN(attributes),
    .key = {"db_proxy_endpoint_name"},
    .parent_type = "aws_db_proxy",
    .parent_attribute = "db_proxy_name",
    .ready = ready,
    .failed = failed,
    .busy_faults = busy_faults,
    .tags = TAGS_RDS,
    .destroy_rank = 0,
    .timeout_ms = 30 * 60 * MS_PER_S,
    .read = endpoint_read,
    .create = endpoint_create,
    .update = endpoint_update,
    .destroy = endpoint_destroy,
};
