/*
 * The default target group of a proxy, and its targets. A target is remembered as it was
 * registered, for clients compare that text, and by the instance's DbiResourceId, for identifiers
 * come and go.
 */
#include "api/rds/rds_proxy_priv.h"

#define DEFAULT_GROUP "default"

static bool group_name_check(ApiContext *ctx, const json_t *input)
{
    const char *name = input_str(input, "TargetGroupName");
    return name == NULL || strcmp(name, DEFAULT_GROUP) == 0
               ? true
               : refuse(ctx, "DBProxyTargetGroupNotFoundFault", "Target group %s not found.", name);
}

/* The proxy, to be changed, with the target group that the input means. */
static json_t *group_for_change(ApiContext *ctx, const json_t *input)
{
    json_t *spec = proxy_for_change(ctx, input);
    return spec != NULL && group_name_check(ctx, input) ? spec : NULL;
}

static void group_changed(ApiContext *ctx, json_t *spec)
{
    json_object_set_new(member_object(spec, "target_group"), "updated_ms",
                        json_integer(ctx->now_ms));
    spec_change(ctx, RESOURCE_DB_PROXY, proxy_name(spec), spec);
}

/* ---- the target group
 * ---------------------------------------------------------------------------- */

static json_t *group_view(ApiContext *ctx, const json_t *spec)
{
    const json_t *group = member_object(spec, "target_group");
    const json_t *status = status_get(ctx, RESOURCE_DB_PROXY, proxy_name(spec));
    return json_pack(
        "{s:s, s:s, s:s, s:b, s:s, s:O*, s:I, s:I}", "DBProxyName", proxy_name(spec),
        "TargetGroupName", DEFAULT_GROUP, "TargetGroupArn",
        arn_make_target_group(ctx->arena, &ctx->tier, member_str(group, "target_group_id", "")),
        "IsDefault", 1, "Status", resource_status(RESOURCE_DB_PROXY, spec, status),
        "ConnectionPoolConfig", member_object(group, "ConnectionPoolConfig"), "CreatedDate",
        (json_int_t)member_int(group, "created_ms", 0), "UpdatedDate",
        (json_int_t)member_int(group, "updated_ms", 0));
}

typedef struct PoolLimit {
    const char *name;
    int64_t min, max;
} PoolLimit;

static const PoolLimit pool_limits[] = {
    {"MaxConnectionsPercent", 1, 100},
    {"MaxIdleConnectionsPercent", 0, 100},
    {"ConnectionBorrowTimeout", 0, 3600},
};

static bool pool_number(ApiContext *ctx, const PoolLimit *limit, const json_t *given,
                        json_t *config)
{
    json_t *value = json_object_get(given, limit->name);
    if (value == NULL || json_is_null(value)) {
        return true;
    }
    int64_t number = member_int(given, limit->name, -1);
    if (number < limit->min || number > limit->max) {
        return refuse(ctx, "InvalidParameterValue", "%s must be between %lld and %lld.",
                      limit->name, (long long)limit->min, (long long)limit->max);
    }
    json_object_set(config, limit->name, value);
    return true;
}

/* Without a word on idle connections they stay below the new maximum. */
static bool pool_check(ApiContext *ctx, const json_t *given, json_t *config)
{
    int64_t most = member_int(config, "MaxConnectionsPercent", 100);
    int64_t idle = member_int(config, "MaxIdleConnectionsPercent", 50);
    if (json_object_get(given, "MaxIdleConnectionsPercent") == NULL && idle > most) {
        json_object_set_new(config, "MaxIdleConnectionsPercent", json_integer(most / 2));
        return true;
    }
    return idle <= most ? true
                        : refuse(ctx, "InvalidParameterValue",
                                 "MaxIdleConnectionsPercent must not be above "
                                 "MaxConnectionsPercent.");
}

#define INIT_QUERY_MAX 4096 /* bytes */

static bool init_query_change(ApiContext *ctx, const json_t *given, json_t *config)
{
    const char *query = member_str(given, "InitQuery", NULL);
    if (query == NULL) {
        return true;
    }
    if (strlen(query) > INIT_QUERY_MAX) {
        return refuse(ctx, "InvalidParameterValue", "InitQuery is longer than %d bytes.",
                      INIT_QUERY_MAX);
    }
    if (query[0] == '\0') {
        json_object_del(config, "InitQuery");
    } else {
        json_object_set_new(config, "InitQuery", json_string(query));
    }
    return true;
}

static bool pool_change(ApiContext *ctx, const json_t *given, json_t *config)
{
    TRY(init_query_change(ctx, given, config));
    if (json_array_size(json_object_get(given, "SessionPinningFilters")) > 0) {
        return refuse(ctx, "InvalidParameterCombination",
                      "RDS Proxy doesn't support session pinning filters for PostgreSQL.");
    }
    for (size_t i = 0; i < ARRAY_LEN(pool_limits); i++) {
        TRY(pool_number(ctx, &pool_limits[i], given, config));
    }
    return pool_check(ctx, given, config);
}

bool rds_modify_target_group(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = group_for_change(ctx, input);
    if (spec == NULL) {
        return false;
    }
    const char *rename = input_str(input, "NewName");
    if (rename != NULL && strcmp(rename, DEFAULT_GROUP) != 0) {
        return refuse_unsupported(ctx, "renaming a target group (NewName).");
    }
    json_t *config = member_object(member_object(spec, "target_group"), "ConnectionPoolConfig");
    TRY(pool_change(ctx, json_object_get(input, "ConnectionPoolConfig"), config));
    group_changed(ctx, spec);
    *ret_output = json_under("DBProxyTargetGroup", group_view(ctx, spec));
    return true;
}

bool rds_describe_target_groups(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = proxy_find(ctx, input);
    if (spec == NULL || !group_name_check(ctx, input)) {
        return false;
    }
    json_t *items = json_array();
    json_array_append_new(items, group_view(ctx, spec));
    return page_output(ctx, input, "TargetGroups", items, ret_output);
}

/* ---- targets
 * ------------------------------------------------------------------------------------- */

static json_t *health_of(ApiContext *ctx, const json_t *spec, const char *dbi)
{
    size_t index;
    const json_t *item;
    const json_t *status = status_get(ctx, RESOURCE_DB_PROXY, proxy_name(spec));
    json_array_foreach (json_object_get(status, "targets"), index, item) {
        if (strcmp(member_str(item, "dbi", ""), dbi) == 0) {
            json_t *health = json_pack("{s:s}", "State", member_str(item, "State", "REGISTERING"));
            json_object_set(health, "Reason", json_object_get(item, "Reason"));
            json_object_set(health, "Description", json_object_get(item, "Description"));
            return health;
        }
    }
    return json_pack("{s:s}", "State", "REGISTERING");
}

/* The instance, as RecordList has it: not to be altered. NULL: it is no more. */
static const json_t *instance_of(ApiContext *ctx, const char *dbi)
{
    RecordList list = spec_list(ctx, RESOURCE_DB_INSTANCE);
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(member_str(list.items[i].value, "DbiResourceId", ""), dbi) == 0) {
            return list.items[i].value;
        }
    }
    return NULL;
}

static json_t *target_view(ApiContext *ctx, const json_t *spec, const json_t *target)
{
    const char *dbi = member_str(target, "dbi", "");
    const json_t *instance = instance_of(ctx, dbi);
    const char *id = member_str(instance, "DBInstanceIdentifier", "");
    json_t *view =
        json_pack("{s:s, s:s, s:s, s:o}", "RdsResourceId", member_str(target, "RdsResourceId", id),
                  "Type", "RDS_INSTANCE", "Role", member_str(target, "role", "READ_WRITE"),
                  "TargetHealth", health_of(ctx, spec, dbi));
    if (instance == NULL) {
        return view;
    }
    char address[MODEL_ADDRESS_SIZE];
    const char *host = member_str(status_get(ctx, RESOURCE_DB_INSTANCE, id), "endpoint_host", "");
    json_object_set_new(view, "TargetArn",
                        json_string(arn_make(ctx->arena, &ctx->tier, RESOURCE_DB_INSTANCE, id)));
    json_object_set_new(view, "Port", json_integer(member_int(instance, "DbInstancePort", 5432)));
    if (endpoint_address(ctx->tier.net, host, address)) {
        json_object_set_new(view, "Endpoint", json_string(address));
    }
    return view;
}

/* The targets that were registered. */
static json_t *targets_view(ApiContext *ctx, const json_t *spec)
{
    json_t *view = json_array();
    size_t index;
    const json_t *target;
    json_array_foreach (json_object_get(spec, "targets"), index, target) {
        json_array_append_new(view, target_view(ctx, spec, target));
    }
    return view;
}

/* The read replicas that READ_ONLY endpoints of the proxy lead to; nobody registers them. What is
 * no replica any more is left out, whatever control has said of it. */
static void add_replicas(ApiContext *ctx, const json_t *spec, json_t *view)
{
    const json_t *writer = json_array_get(json_object_get(spec, "targets"), 0);
    const json_t *status = status_get(ctx, RESOURCE_DB_PROXY, proxy_name(spec));
    size_t index;
    const json_t *target;
    json_array_foreach (json_object_get(status, "targets"), index, target) {
        const json_t *instance = instance_of(ctx, member_str(target, "dbi", ""));
        if (member_str(target, "role", NULL) != NULL &&
            strcmp(member_str(instance, "source", "-"), member_str(writer, "dbi", "")) == 0) {
            json_array_append_new(view, target_view(ctx, spec, target));
        }
    }
}

static size_t target_index(const json_t *targets, const char *dbi)
{
    size_t index;
    const json_t *target;
    json_array_foreach (targets, index, target) {
        if (strcmp(member_str(target, "dbi", ""), dbi) == 0) {
            return index;
        }
    }
    return json_array_size(targets);
}

static bool register_one(ApiContext *ctx, json_t *targets, const char *name)
{
    json_t *instance = instance_find(ctx, name);
    if (instance == NULL || !instance_alive(ctx, instance)) {
        return false;
    }
    const char *dbi = member_str(instance, "DbiResourceId", "");
    if (target_index(targets, dbi) < json_array_size(targets)) {
        return refuse(ctx, "DBProxyTargetAlreadyRegisteredFault",
                      "The target %s is already registered with this target group.", name);
    }
    if (json_array_size(targets) > 0) {
        return refuse_unsupported(ctx, "more than one target per proxy yet.");
    }
    if (member_str(instance, "source", NULL) != NULL) {
        return refuse(ctx, "InvalidDBInstanceState",
                      "%s is a read replica. A proxy's target is a writer.", name);
    }
    json_array_append_new(targets, json_pack("{s:s, s:s}", "RdsResourceId", name, "dbi", dbi));
    return true;
}

/* The instances that the input names; clusters there are none. */
static bool names_check(ApiContext *ctx, const json_t *input, const json_t **ret_names)
{
    const json_t *names = json_object_get(input, "DBInstanceIdentifiers");
    if (json_array_size(json_object_get(input, "DBClusterIdentifiers")) > 0) {
        return refuse_unsupported(ctx, "DB clusters: register an instance.");
    }
    if (json_array_size(names) == 0) {
        return refuse(ctx, "InvalidParameterValue", "DBInstanceIdentifiers names no instance.");
    }
    *ret_names = names;
    return true;
}

bool rds_register_targets(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const json_t *names;
    json_t *spec = group_for_change(ctx, input);
    if (spec == NULL || !names_check(ctx, input, &names)) {
        return false;
    }
    references_hold(ctx);
    size_t index;
    const json_t *name;
    json_array_foreach (names, index, name) {
        TRY(register_one(ctx, member_array(spec, "targets"), json_string_value(name)));
    }
    group_changed(ctx, spec);
    *ret_output = json_under("DBProxyTargets", targets_view(ctx, spec));
    return true;
}

/* By the text it was registered with, or by whatever means the same instance. */
static bool deregister_one(ApiContext *ctx, json_t *targets, const char *name)
{
    size_t index;
    const json_t *target;
    json_array_foreach (targets, index, target) {
        if (strcmp(member_str(target, "RdsResourceId", ""), name) == 0) {
            json_array_remove(targets, index);
            return true;
        }
    }
    json_t *instance = instance_find(ctx, name);
    size_t at = instance != NULL ? target_index(targets, member_str(instance, "DbiResourceId", ""))
                                 : json_array_size(targets);
    if (at == json_array_size(targets)) {
        return refuse(ctx, "DBProxyTargetNotFoundFault",
                      "The target %s is not registered with this target group.", name);
    }
    json_array_remove(targets, at);
    return true;
}

bool rds_deregister_targets(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    const json_t *names;
    json_t *spec = group_for_change(ctx, input);
    if (spec == NULL || !names_check(ctx, input, &names)) {
        return false;
    }
    size_t index;
    const json_t *name;
    json_array_foreach (names, index, name) {
        TRY(deregister_one(ctx, member_array(spec, "targets"), json_string_value(name)));
    }
    group_changed(ctx, spec);
    return true;
}

bool rds_describe_targets(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = proxy_find(ctx, input);
    if (spec == NULL || !group_name_check(ctx, input)) {
        return false;
    }
    json_t *targets = targets_view(ctx, spec);
    add_replicas(ctx, spec, targets);
    return page_output(ctx, input, "Targets", targets, ret_output);
}
