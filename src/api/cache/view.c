/*
 * Replication groups and cache clusters as clients see them. A cluster is a member of a group:
 * Terraform reads engine, version, parameter group and encryption from the first one.
 */
#include "api/cache/cache_priv.h"

/* {Address, Port}; NULL while there is no address. */
static json_t *endpoint_view(ApiContext *ctx, const json_t *spec, const char *host)
{
    char address[MODEL_ADDRESS_SIZE];
    if (host == NULL || !endpoint_address(ctx->tier.net, host, address)) {
        return NULL;
    }
    return json_pack("{s:s, s:I}", "Address", address, "Port",
                     (json_int_t)member_int(spec, "Port", 6379));
}

static void set_value(json_t *view, const char *member, json_t *value)
{
    if (value != NULL) {
        json_object_set_new(view, member, value);
    }
}

/* What control knows of a member; NULL: nothing yet. */
static const json_t *member_status(const json_t *status, const char *cluster_id)
{
    size_t index;
    const json_t *member;
    json_array_foreach (json_object_get(status, "members"), index, member) {
        if (strcmp(member_str(member, "CacheClusterId", ""), cluster_id) == 0) {
            return member;
        }
    }
    return NULL;
}

static const char *member_zone(ApiContext *ctx, const json_t *member)
{
    const char *zone = member_str(member, "zone", MODEL_ZONES);
    return zone_name(ctx->arena, &ctx->tier, zone[0]);
}

/* ---- the group
 * ----------------------------------------------------------------------------------- */

static json_t *node_member_view(ApiContext *ctx, const json_t *spec, const json_t *member,
                                const json_t *seen, bool first)
{
    const char *role = member_str(seen, "role", first ? "primary" : "replica");
    json_t *view =
        json_pack("{s:s, s:s, s:s, s:s}", "CacheClusterId",
                  member_str(member, "CacheClusterId", ""), "CacheNodeId", "0001",
                  "PreferredAvailabilityZone", member_zone(ctx, member), "CurrentRole", role);
    set_value(view, "ReadEndpoint", endpoint_view(ctx, spec, member_str(seen, "host", NULL)));
    return view;
}

static json_t *node_group_view(ApiContext *ctx, const json_t *spec, const json_t *status)
{
    json_t *members = json_array();
    size_t index;
    const json_t *member;
    json_array_foreach (json_object_get(spec, "members"), index, member) {
        const json_t *seen = member_status(status, member_str(member, "CacheClusterId", ""));
        json_array_append_new(members, node_member_view(ctx, spec, member, seen, index == 0));
    }
    json_t *view = json_pack("{s:s, s:s, s:o}", "NodeGroupId", CACHE_NODE_GROUP, "Status",
                             resource_status(RESOURCE_REPLICATION_GROUP, spec, status),
                             "NodeGroupMembers", members);
    set_value(view, "PrimaryEndpoint",
              endpoint_view(ctx, spec, member_str(status, "primary_host", NULL)));
    set_value(view, "ReaderEndpoint",
              endpoint_view(ctx, spec, member_str(status, "reader_host", NULL)));
    return view;
}

static json_t *member_ids(const json_t *spec)
{
    json_t *ids = json_array();
    size_t index;
    const json_t *member;
    json_array_foreach (json_object_get(spec, "members"), index, member) {
        json_array_append(ids, json_object_get(member, "CacheClusterId"));
    }
    return ids;
}

static const char *enabled(const json_t *spec, const char *member)
{
    return member_bool(spec, member, false) ? "enabled" : "disabled";
}

/* What groups and clusters both show. */
static void add_common(const json_t *spec, json_t *view)
{
    static const char *const copied[] = {"CacheNodeType",
                                         "SnapshotRetentionLimit",
                                         "SnapshotWindow",
                                         "TransitEncryptionEnabled",
                                         "AtRestEncryptionEnabled",
                                         "KmsKeyId",
                                         "AutoMinorVersionUpgrade",
                                         "NetworkType",
                                         "IpDiscovery",
                                         "Engine"};
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_object_get(spec, copied[i]);
        if (value != NULL) {
            json_object_set(view, copied[i], value);
        }
    }
    bool auth = json_array_size(member_array(spec, "auth_tokens")) > 0;
    json_object_set_new(view, "AuthTokenEnabled", json_boolean(auth));
    if (auth) {
        json_object_set_new(view, "AuthTokenLastModifiedDate",
                            json_time(member_int(spec, "auth_token_ms", 0)));
    }
    if (member_bool(spec, "TransitEncryptionEnabled", false)) {
        json_object_set_new(view, "TransitEncryptionMode", json_string("required"));
    }
}

json_t *cache_group_view(ApiContext *ctx, const json_t *spec)
{
    const char *id = cache_group_id(spec);
    const json_t *status = status_get(ctx, RESOURCE_REPLICATION_GROUP, id);
    json_t *view = json_pack(
        "{s:s, s:s, s:s, s:s, s:{}, s:o, s:[o], s:s, s:s, s:b, s:I, s:[], s:[], s:s}",
        "ReplicationGroupId", id, "Description", member_str(spec, "Description", ""), "ARN",
        arn_make(ctx->arena, &ctx->tier, RESOURCE_REPLICATION_GROUP, id), "Status",
        resource_status(RESOURCE_REPLICATION_GROUP, spec, status), "PendingModifiedValues",
        "MemberClusters", member_ids(spec), "NodeGroups", node_group_view(ctx, spec, status),
        "AutomaticFailover", enabled(spec, "AutomaticFailoverEnabled"), "MultiAZ",
        enabled(spec, "MultiAZEnabled"), "ClusterEnabled", 0, "ReplicationGroupCreateTime",
        (json_int_t)member_int(spec, "created_ms", 0), "UserGroupIds", "LogDeliveryConfigurations",
        "ClusterMode", "disabled");
    add_common(spec, view);
    json_object_set_new(view, "DataTiering", json_string("disabled"));
    return view;
}

json_t *cache_group_output(ApiContext *ctx, const json_t *spec)
{
    return json_under("ReplicationGroup", cache_group_view(ctx, spec));
}

bool cache_describe_groups(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *items = json_array();
    if (input_str(input, "ReplicationGroupId") != NULL) {
        json_t *spec = cache_group_find(ctx, input);
        if (spec == NULL) {
            json_decref(items);
            return false;
        }
        json_array_append_new(items, cache_group_view(ctx, spec));
        return page_output(ctx, input, "ReplicationGroups", items, ret_output);
    }
    RecordList list = spec_list(ctx, RESOURCE_REPLICATION_GROUP);
    for (size_t i = 0; i < list.len; i++) {
        json_array_append_new(items, cache_group_view(ctx, list.items[i].value));
    }
    return page_output(ctx, input, "ReplicationGroups", items, ret_output);
}

/* ---- clusters
 * ------------------------------------------------------------------------------------ */

static json_t *security_groups_view(const json_t *spec)
{
    json_t *view = json_array();
    size_t index;
    json_t *id;
    json_array_foreach (json_object_get(spec, "SecurityGroupIds"), index, id) {
        json_array_append_new(view,
                              json_pack("{s:O, s:s}", "SecurityGroupId", id, "Status", "active"));
    }
    return view;
}

static json_t *nodes_view(ApiContext *ctx, const json_t *spec, const json_t *member,
                          const json_t *seen, const char *status)
{
    json_t *node = json_pack("{s:s, s:s, s:I, s:s, s:s}", "CacheNodeId", "0001", "CacheNodeStatus",
                             status, "CacheNodeCreateTime",
                             (json_int_t)member_int(spec, "created_ms", 0), "ParameterGroupStatus",
                             "in-sync", "CustomerAvailabilityZone", member_zone(ctx, member));
    set_value(node, "Endpoint", endpoint_view(ctx, spec, member_str(seen, "host", NULL)));
    return json_pack("[o]", node);
}

static json_t *cluster_view(ApiContext *ctx, const json_t *spec, const json_t *member,
                            bool with_nodes)
{
    const char *id = member_str(member, "CacheClusterId", "");
    const json_t *status = status_get(ctx, RESOURCE_REPLICATION_GROUP, cache_group_id(spec));
    const json_t *seen = member_status(status, id);
    const char *group_status = resource_status(RESOURCE_REPLICATION_GROUP, spec, status);
    bool settled = strcmp(group_status, "available") == 0;
    const char *shown = settled ? member_str(seen, "status", group_status) : group_status;
    json_t *view = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:s, s:I, s:s, s:{}, s:[], s:{s:s, s:s, s:[]}, s:s, s:o, s:s, "
        "s:b, s:[]}",
        "CacheClusterId", id, "CacheClusterStatus", shown, "EngineVersion",
        member_str(spec, "EngineVersion", ""), "ReplicationGroupId", cache_group_id(spec),
        "NumCacheNodes", 1, "PreferredAvailabilityZone", member_zone(ctx, member),
        "CacheClusterCreateTime", (json_int_t)member_int(spec, "created_ms", 0),
        "PreferredMaintenanceWindow", member_str(spec, "PreferredMaintenanceWindow", ""),
        "PendingModifiedValues", "CacheSecurityGroups", "CacheParameterGroup",
        "CacheParameterGroupName", member_str(spec, "CacheParameterGroupName", ""),
        "ParameterApplyStatus", member_str(status, "parameter_apply_status", "in-sync"),
        "CacheNodeIdsToReboot", "CacheSubnetGroupName",
        member_str(spec, "CacheSubnetGroupName", MODEL_DEFAULT_SUBNET_GROUP), "SecurityGroups",
        security_groups_view(spec), "ARN", arn_make_cache_cluster(ctx->arena, &ctx->tier, id),
        "ReplicationGroupLogDeliveryEnabled", 0, "LogDeliveryConfigurations");
    add_common(spec, view);
    if (with_nodes) {
        json_object_set_new(view, "CacheNodes", nodes_view(ctx, spec, member, seen, shown));
    }
    return view;
}

static void append_clusters(ApiContext *ctx, const json_t *input, const json_t *spec,
                            const char *wanted, json_t *items)
{
    size_t index;
    const json_t *member;
    bool with_nodes = input_flag(input, "ShowCacheNodeInfo");
    json_array_foreach (json_object_get(spec, "members"), index, member) {
        if (wanted == NULL || strcmp(wanted, member_str(member, "CacheClusterId", "")) == 0) {
            json_array_append_new(items, cluster_view(ctx, spec, member, with_nodes));
        }
    }
}

bool cache_describe_clusters(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *items = json_array();
    char *wanted = input_lower(ctx, input, "CacheClusterId");
    RecordList list = spec_list(ctx, RESOURCE_REPLICATION_GROUP);
    for (size_t i = 0; i < list.len; i++) {
        if (!input_flag(input, "ShowCacheClustersNotInReplicationGroups")) {
            append_clusters(ctx, input, list.items[i].value, wanted, items);
        }
    }
    if (wanted != NULL && json_array_size(items) == 0) {
        json_decref(items);
        return refuse(ctx, "CacheClusterNotFound", "CacheCluster not found: %s", wanted);
    }
    return page_output(ctx, input, "CacheClusters", items, ret_output);
}

/* ---- versions
 * ------------------------------------------------------------------------------------ */

bool cache_describe_engine_versions(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    EngineVersions versions = engine_versions(ctx);
    const char *engine = input_str(input, "Engine");
    const char *version = input_str(input, "EngineVersion");
    json_t *items = json_array();
    for (size_t i = 0; i < versions.len; i++) {
        const InstalledVersion *item = &versions.items[i];
        const ParameterFamily *family = parameter_family_of(item->engine, item->version);
        if (strcmp(item->engine, "redis") != 0 || family == NULL ||
            (engine != NULL && strcmp(engine, "redis") != 0) ||
            (version != NULL && strncmp(version, item->version, strlen(version)) != 0)) {
            continue;
        }
        json_array_append_new(
            items, json_pack("{s:s, s:s, s:s, s:s, s:s+}", "Engine", "redis", "EngineVersion",
                             item->version, "CacheParameterGroupFamily", family->name,
                             "CacheEngineDescription", "Redis", "CacheEngineVersionDescription",
                             "redis version ", item->version));
    }
    return page_output(ctx, input, "CacheEngineVersions", items, ret_output);
}
