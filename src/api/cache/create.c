/* CreateReplicationGroup, and what must hold for a group whatever makes or changes it. */
#include "api/cache/cache_priv.h"

const char *cache_group_id(const json_t *spec)
{
    return member_str(spec, "ReplicationGroupId", "");
}

json_t *cache_group_find(ApiContext *ctx, const json_t *input)
{
    const char *name;
    if (!input_required(ctx, input, "ReplicationGroupId", &name)) {
        return NULL;
    }
    json_t *spec = spec_get(ctx, RESOURCE_REPLICATION_GROUP, text_lower(ctx->arena, name));
    if (spec == NULL) {
        refuse(ctx, "ReplicationGroupNotFoundFault", "ReplicationGroup %s not found.", name);
    }
    return spec;
}

json_t *cache_group_for_change(ApiContext *ctx, const json_t *input)
{
    json_t *spec = cache_group_find(ctx, input);
    if (spec != NULL && member_bool(spec, "deleting", false)) {
        refuse(ctx, "InvalidReplicationGroupState", "Replication group %s is being deleted.",
               cache_group_id(spec));
        return NULL;
    }
    return spec;
}

/* ---- checks
 * -------------------------------------------------------------------------------------- */

static bool failover_check(ApiContext *ctx, const json_t *spec)
{
    bool failover = member_bool(spec, "AutomaticFailoverEnabled", false);
    if (failover && json_array_size(member_array(spec, "members")) < 2) {
        return refuse(ctx, "InvalidParameterCombination",
                      "Must specify at least two cache clusters in order to auto failover.");
    }
    return failover || !member_bool(spec, "MultiAZEnabled", false)
               ? true
               : refuse(ctx, "InvalidParameterCombination",
                        "Multi-AZ needs automatic failover: set AutomaticFailoverEnabled as well.");
}

static bool windows_check(ApiContext *ctx, const json_t *spec)
{
    Err err;
    const char *snapshots = member_str(spec, "SnapshotWindow", "");
    const char *maintenance = member_str(spec, "PreferredMaintenanceWindow", "");
    return daily_window_check("snapshot window", slice_of(snapshots), 60, &err) &&
                   maintenance_window_check(slice_of(maintenance), &err)
               ? true
               : refuse_err(ctx, &err);
}

bool cache_check(ApiContext *ctx, const json_t *spec)
{
    const char *pending = member_str(member_object(spec, "pending"), "CacheNodeType", NULL);
    return class_check(ctx, member_str(spec, "CacheNodeType", ""), "cache.") &&
           (pending == NULL || class_check(ctx, pending, "cache.")) && failover_check(ctx, spec) &&
           windows_check(ctx, spec);
}

bool cache_token_set(ApiContext *ctx, json_t *spec, const char *token, bool keep)
{
    Err err;
    char key[MODEL_KEY_SIZE];
    if (!member_bool(spec, "TransitEncryptionEnabled", false)) {
        return refuse(ctx, "InvalidParameterCombination",
                      "AuthToken needs encryption in transit: set TransitEncryptionEnabled.");
    }
    if (!auth_token_check(slice_of(token), &err) ||
        !spec_key(RESOURCE_REPLICATION_GROUP, cache_group_id(spec), key, &err)) {
        return refuse_err(ctx, &err);
    }
    json_t *tokens = json_pack("[s]", seal_for(ctx, key, slice_of(token)));
    json_t *before = json_array_get(member_array(spec, "auth_tokens"), 0);
    if (keep && before != NULL) {
        json_array_append(tokens, before);
    }
    json_object_set_new(spec, "auth_tokens", tokens);
    json_object_set_new(spec, "auth_token_epoch",
                        json_integer(member_int(spec, "auth_token_epoch", 0) + 1));
    json_object_set_new(spec, "auth_token_ms", json_integer(ctx->now_ms));
    return true;
}

/* ---- members
 * ------------------------------------------------------------------------------------- */

/* The zones of the group's subnets, as letters. */
static void group_zones(ApiContext *ctx, const json_t *spec, char out[static MODEL_SUBNETS + 1])
{
    size_t index;
    const json_t *id;
    size_t len = 0;
    const json_t *group =
        subnet_group_find(ctx, RESOURCE_CACHE_SUBNET_GROUP,
                          member_str(spec, "CacheSubnetGroupName", MODEL_DEFAULT_SUBNET_GROUP));
    memset(out, 0, MODEL_SUBNETS + 1);
    json_array_foreach (json_object_get(group, "SubnetIds"), index, id) {
        const Subnet *subnet = subnet_find(slice_of(json_string_value(id)));
        if (subnet != NULL && strchr(out, subnet->zone) == NULL) {
            out[len++] = subnet->zone;
        }
    }
    if (len == 0) {
        out[0] = MODEL_ZONES[0];
    }
}

static bool zone_pick(ApiContext *ctx, const char *zones, const json_t *wanted, size_t number,
                      size_t index, char *ret_zone)
{
    const json_t *name = json_array_get(wanted, index);
    if (!json_is_string(name)) {
        *ret_zone = zones[number % strlen(zones)];
        return true;
    }
    char zone = zone_parse(&ctx->tier, slice_of(json_string_value(name)));
    if (zone == '\0' || strchr(zones, zone) == NULL) {
        return refuse(ctx, "InvalidParameterValue",
                      "The Availability Zone %s is not one of the cache subnet group's.",
                      json_string_value(name));
    }
    *ret_zone = zone;
    return true;
}

bool cache_members_add(ApiContext *ctx, json_t *spec, size_t count, const json_t *zones)
{
    char of_group[MODEL_SUBNETS + 1];
    group_zones(ctx, spec, of_group);
    json_t *members = member_array(spec, "members");
    if (members == NULL) {
        members = json_array();
        json_object_set_new(spec, "members", members);
    }
    int64_t next = member_int(spec, "next_member", 1);
    for (size_t i = 0; i < count; i++, next++) {
        char zone;
        TRY(zone_pick(ctx, of_group, zones, json_array_size(members), i, &zone));
        json_array_append_new(members,
                              json_pack("{s:o, s:s#}", "CacheClusterId",
                                        json_sprintf("%s-%03d", cache_group_id(spec), (int)next),
                                        "zone", &zone, 1));
    }
    json_object_set_new(spec, "next_member", json_integer(next));
    json_object_set_new(spec, "node_count", json_integer((json_int_t)json_array_size(members)));
    return true;
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

static bool new_group(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *given;
    const char *text;
    Err err;
    TRY(input_required(ctx, input, "ReplicationGroupId", &given) &&
        input_required(ctx, input, "ReplicationGroupDescription", &text) &&
        input_required(ctx, input, "CacheNodeType", &text));
    if (!identifier_check(RESOURCE_REPLICATION_GROUP, "ReplicationGroupId", slice_of(given),
                          &err)) {
        return refuse_err(ctx, &err);
    }
    char *id = text_lower(ctx->arena, given);
    if (spec_get(ctx, RESOURCE_REPLICATION_GROUP, id) != NULL) {
        return refuse(ctx, "ReplicationGroupAlreadyExists", "Replication group %s already exists.",
                      id);
    }
    json_object_set_new(spec, "ReplicationGroupId", json_string(id));
    const char *engine = member_str(input, "Engine", "redis");
    return engine[0] == '\0' || strcmp(engine, "redis") == 0
               ? true
               : refuse(ctx, "InvalidParameterValue", "Invalid engine: %s. Weir runs redis.",
                        engine);
}

/* NumCacheClusters, or one node group with its replicas. */
static bool node_count_of(ApiContext *ctx, const json_t *input, size_t *ret_count)
{
    int64_t count = member_int(input, "NumCacheClusters", 0);
    int64_t groups = member_int(input, "NumNodeGroups", 0);
    int64_t replicas = member_int(input, "ReplicasPerNodeGroup", -1);
    if (groups > 1) {
        return refuse_unsupported(ctx, "cluster mode yet: NumNodeGroups is 1.");
    }
    if (count != 0 && replicas >= 0) {
        return refuse(ctx, "InvalidParameterCombination",
                      "Give either NumCacheClusters or ReplicasPerNodeGroup.");
    }
    if (count == 0) {
        count = replicas >= 0 ? replicas + 1 : 1;
    }
    if (count < 1 || count > CACHE_NODES_MAX) {
        return refuse(ctx, "InvalidParameterValue",
                      "A replication group has 1 to %d cache clusters, not %lld.", CACHE_NODES_MAX,
                      (long long)count);
    }
    *ret_count = (size_t)count;
    return true;
}

static bool references_set(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *subnets = input_str(input, "CacheSubnetGroupName");
    const char *used = subnets != NULL ? subnets : MODEL_DEFAULT_SUBNET_GROUP;
    references_hold(ctx);
    if (subnet_group_get(ctx, RESOURCE_CACHE_SUBNET_GROUP, used) == NULL) {
        return false;
    }
    json_object_set_new(spec, "CacheSubnetGroupName", json_string(text_lower(ctx->arena, used)));
    return security_groups_resolve(ctx, json_object_get(input, "SecurityGroupIds"), spec,
                                   "SecurityGroupIds") &&
           parameter_group_resolve(
               ctx, RESOURCE_CACHE_PARAMETER_GROUP, input_str(input, "CacheParameterGroupName"),
               "redis", member_str(spec, "EngineVersion", ""), spec, "CacheParameterGroupName");
}

bool cache_create_group(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"ReplicationGroupId",
                                          "EngineVersion",
                                          "Engine",
                                          "NumCacheClusters",
                                          "NumNodeGroups",
                                          "ReplicasPerNodeGroup",
                                          "SecurityGroupIds",
                                          "CacheSubnetGroupName",
                                          "CacheParameterGroupName",
                                          "PreferredCacheClusterAZs",
                                          "Tags",
                                          NULL};
    size_t count = 0;
    const char *token = input_str(input, "AuthToken");
    const json_t *tags = json_object_get(input, "Tags");
    json_t *spec = context_own(ctx, json_object());
    TRY(new_group(ctx, input, spec) && node_count_of(ctx, input, &count) &&
        quota_check(ctx, RESOURCE_REPLICATION_GROUP, REPLICATION_GROUPS_MAX,
                    "NodeQuotaForCustomerExceeded") &&
        fields_create(ctx, RESOURCE_REPLICATION_GROUP, input, handled, spec) &&
        version_check(ctx, "redis", input_str(input, "EngineVersion"), spec) &&
        references_set(ctx, input, spec) &&
        cache_members_add(ctx, spec, count, json_object_get(input, "PreferredCacheClusterAZs")) &&
        (token == NULL || cache_token_set(ctx, spec, token, false)) && cache_check(ctx, spec) &&
        tags_check(ctx, tags));
    spec_create(ctx, RESOURCE_REPLICATION_GROUP, cache_group_id(spec), spec, tags);
    *ret_output = cache_group_output(ctx, spec);
    return true;
}
