/* weir_db_proxy_options: what AWS has no word for in a proxy. It goes with its proxy; without one
 * the proxy has the defaults. */
#include "cli/resource/resource_tables_priv.h"

static const KindAttribute attributes[] = {
    REQUIRED("db_proxy_name", STRING, RULE_KEY | RULE_LOWER, "DBProxyName"),
    OPTIONAL("reads", STRING, 0, "Reads", "\"primary\""),
    OPTIONAL("max_replica_lag_ms", INTEGER, 0, "MaxReplicaLagMs", "30000"),
    OPTIONAL("shared_connections", INTEGER, 0, "SharedConnections", "0"),
    OPTIONAL("shared_listeners", BOOL, 0, "SharedListeners", "false"),
    OPTIONAL("keep_listening", BOOL, 0, "KeepListening", "false"),
    READ_ONLY("id", STRING, "DBProxyName"),
    READ_ONLY("arn", STRING, "Arn"),
};

static bool options_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    json_t *input = key != NULL ? json_pack("{s:s}", "DBProxyName", key) : NULL;
    TRY(caller_list(caller, "weir", "DescribeDBProxyOptions", input, "Options", &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        Present *present =
            present_add(list, &kind_db_proxy_options, item, json_object_get(item, "Tags"));
        present->key = text_lower_new(list->arena, member_str(item, "DBProxyName", ""));
        present->handle = arena_strdup(list->arena, member_str(item, "Arn", ""));
    }
    return true;
}

/* The call takes all of them at once. */
static json_t *put_input(const Change *change)
{
    json_t *input = input_create_new(change, "weir", "PutDBProxyOptions");
    json_object_set_new(input, "DBProxyName",
                        json_string(desired_str(change, "db_proxy_name", "")));
    return input;
}

static bool options_create(Change *change, Err *err)
{
    json_t *input = put_input(change);
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, "weir", "PutDBProxyOptions", input, NULL, err);
}

static bool options_update(Change *change, Err *err)
{
    return change_call(change, "weir", "PutDBProxyOptions", put_input(change), NULL, err);
}

static bool options_destroy(Change *change, Err *err)
{
    return change_call(change, "weir", "DeleteDBProxyOptions",
                       json_pack("{s:s}", "DBProxyName", change->present->key), NULL, err);
}

const ResourceKind kind_db_proxy_options = {
    .type = "weir_db_proxy_options",
    .noun = "proxy options",
    .model = RESOURCE_DB_PROXY_OPTIONS,
    .attributes = attributes,
    .attributes_len = ARRAY_LEN(attributes),
    .key = {"db_proxy_name"},
    .parent_type = "aws_db_proxy",
    .parent_attribute = "db_proxy_name",
    .tags = TAGS_RDS,
    .destroy_rank = 0,
    .timeout_ms = 60 * MS_PER_S,
    .read = options_read,
    .create = options_create,
    .update = options_update,
    .destroy = options_destroy,
};
