/*
 * aws_elasticache_replication_group. What the group itself does not show is read from its first
 * member. A change of the token and of the number of nodes are calls of their own: first more
 * nodes, then what concerns all of them, then fewer.
 */
#include "cli/resource/resource_tables_priv.h"

#define NO_SHARDS    "cluster mode is not offered yet: write num_cache_clusters"
#define NO_SNAPSHOTS "snapshots are not made yet"
#define NO_USERS     "user groups are not offered yet: write auth_token"

static const KindAttribute attributes[] = {
    REQUIRED("replication_group_id", STRING, RULE_KEY | RULE_LOWER, "group.ReplicationGroupId"),
    REQUIRED("description", STRING, 0, "group.Description"),
    COMPUTED("node_type", STRING, 0, "group.CacheNodeType"),
    OPTIONAL("engine", STRING, RULE_REPLACES, "group.Engine", "\"redis\""),
    COMPUTED("engine_version", STRING, RULE_VERSION, "cluster.EngineVersion"),
    COMPUTED("num_cache_clusters", INTEGER, 0, NULL),
    COMPUTED("preferred_cache_cluster_azs", STRING_LIST, RULE_ONCE, NULL),
    COMPUTED("port", INTEGER, RULE_REPLACES | RULE_LATE, "group.NodeGroups.0.PrimaryEndpoint.Port"),
    OPTIONAL("automatic_failover_enabled", BOOL, 0, NULL, "false"),
    OPTIONAL("multi_az_enabled", BOOL, 0, NULL, "false"),
    OPTIONAL("at_rest_encryption_enabled", BOOL, RULE_REPLACES, "group.AtRestEncryptionEnabled",
             "false"),
    COMPUTED("kms_key_id", STRING, RULE_REPLACES, "group.KmsKeyId"),
    OPTIONAL("transit_encryption_enabled", BOOL, RULE_REPLACES, "group.TransitEncryptionEnabled",
             "false"),
    COMPUTED("transit_encryption_mode", STRING, RULE_REPLACES, "group.TransitEncryptionMode"),
    SECRET("auth_token"),
    COMPUTED("parameter_group_name", STRING, RULE_LOWER,
             "cluster.CacheParameterGroup.CacheParameterGroupName"),
    COMPUTED("subnet_group_name", STRING, RULE_LOWER | RULE_REPLACES,
             "cluster.CacheSubnetGroupName"),
    COMPUTED("security_group_ids", STRING_SET, 0, "cluster.SecurityGroups.*.SecurityGroupId"),
    COMPUTED("maintenance_window", STRING, RULE_LOWER, "cluster.PreferredMaintenanceWindow"),
    OPTIONAL("snapshot_retention_limit", INTEGER, 0, "group.SnapshotRetentionLimit", "0"),
    COMPUTED("snapshot_window", STRING, 0, "group.SnapshotWindow"),
    COMPUTED("auto_minor_version_upgrade", BOOL, 0, "group.AutoMinorVersionUpgrade"),
    COMPUTED("network_type", STRING, RULE_REPLACES, "group.NetworkType"),
    COMPUTED("ip_discovery", STRING, RULE_REPLACES, "group.IpDiscovery"),
    COMPUTED("cluster_mode", STRING, RULE_REPLACES, "group.ClusterMode"),

    OURS("apply_immediately", BOOL, 0, "true"),
    OURS("auth_token_update_strategy", STRING, 0, "\"ROTATE\""),
    OURS("final_snapshot_identifier", STRING, RULE_KEPT, NULL),

    READ_ONLY("id", STRING, "group.ReplicationGroupId"),
    READ_ONLY("arn", STRING, "group.ARN"),
    READ_ONLY("primary_endpoint_address", STRING, "group.NodeGroups.0.PrimaryEndpoint.Address"),
    READ_ONLY("reader_endpoint_address", STRING, "group.NodeGroups.0.ReaderEndpoint.Address"),
    READ_ONLY("configuration_endpoint_address", STRING, NULL),
    READ_ONLY("member_clusters", STRING_SET, "group.MemberClusters"),
    READ_ONLY("cluster_enabled", BOOL, "group.ClusterEnabled"),
    READ_ONLY("engine_version_actual", STRING, "cluster.EngineVersion"),

    REFUSED("num_node_groups", INTEGER, NO_SHARDS),
    REFUSED("replicas_per_node_group", INTEGER, NO_SHARDS),
    REFUSED("data_tiering_enabled", BOOL, "there is no data tiering"),
    REFUSED("global_replication_group_id", STRING, "there is one region"),
    REFUSED("notification_topic_arn", STRING, "notifications are not offered: see weir events"),
    REFUSED("security_group_names", STRING_SET, "write security_group_ids"),
    REFUSED("snapshot_arns", STRING_SET, NO_SNAPSHOTS),
    REFUSED("snapshot_name", STRING, NO_SNAPSHOTS),
    REFUSED("user_group_ids", STRING_SET, NO_USERS),
};

static const KindBlock blocks[] = {
    REFUSED_BLOCK("log_delivery_configuration", "see weir logs"),
    REFUSED_BLOCK("node_group_configuration", NO_SHARDS),
};

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool is_on(const json_t *group, const char *member)
{
    const char *word = member_str(group, member, "");
    return strcmp(word, "enabled") == 0 || strcmp(word, "enabling") == 0;
}

/* The first member's description; an empty object while there is none. */
static bool read_cluster(const Caller *caller, const json_t *group, json_t **ret_cluster, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    const char *first = json_string_value(json_array_get(member_array(group, "MemberClusters"), 0));
    if (first != NULL) {
        TRY(caller_list(caller, "elasticache", "DescribeCacheClusters",
                        json_pack("{s:s}", "CacheClusterId", first), "CacheClusters", &items, err));
    }
    json_t *cluster = json_array_get(items, 0);
    *ret_cluster = cluster != NULL ? json_incref(cluster) : json_object();
    return true;
}

static void set_words(const json_t *group, json_t *attributes_read)
{
    json_object_set_new(attributes_read, "automatic_failover_enabled",
                        json_boolean(is_on(group, "AutomaticFailover")));
    json_object_set_new(attributes_read, "multi_az_enabled", json_boolean(is_on(group, "MultiAZ")));
    json_object_set_new(
        attributes_read, "num_cache_clusters",
        json_integer((json_int_t)json_array_size(member_array(group, "MemberClusters"))));
}

static bool read_one(const Caller *caller, json_t *group, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *tags = NULL;
    const char *arn = member_str(group, "ARN", "");
    json_t *cluster;
    TRY(caller_list(caller, "elasticache", "ListTagsForResource",
                    json_pack("{s:s}", "ResourceName", arn), "TagList", &tags, err) &&
        read_cluster(caller, group, &cluster, err));
    CLEANUP(record_free_ptr)
    json_t *described = json_pack("{s:O, s:o}", "group", group, "cluster", cluster);
    Present *present = present_add(list, &kind_replication_group, described, tags);
    const json_t *parameters = member_object(cluster, "CacheParameterGroup");
    present->key = text_lower_new(list->arena, member_str(group, "ReplicationGroupId", ""));
    present->handle = arena_strdup(list->arena, arn);
    present->status = arena_strdup(list->arena, member_str(group, "Status", ""));
    present->incarnation = arena_printf(
        list->arena, "%lld", (long long)member_int(group, "ReplicationGroupCreateTime", 0));
    if (strcmp(member_str(parameters, "ParameterApplyStatus", ""), "pending-reboot") == 0) {
        present->detail = "parameters wait for a restart of the nodes";
    }
    set_words(group, present->attributes);
    return true;
}

static bool group_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    json_t *input = key != NULL ? json_pack("{s:s}", "ReplicationGroupId", key) : NULL;
    TRY(caller_list(caller, "elasticache", "DescribeReplicationGroups", input, "ReplicationGroups",
                    &items, err));
    size_t i;
    json_t *item;
    json_array_foreach (items, i, item) {
        TRY(read_one(caller, item, list, err));
    }
    return true;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static bool group_create(Change *change, Err *err)
{
    json_t *input = input_create_new(change, "elasticache", "CreateReplicationGroup");
    if (json_object_get(input, "NumCacheClusters") == NULL) {
        json_object_set_new(input, "NumCacheClusters", json_integer(1));
    }
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, "elasticache", "CreateReplicationGroup", input, NULL, err);
}

/* By how many nodes it has too few (above 0) or too many. */
static int64_t nodes_missing(const Change *change)
{
    int64_t now = member_int(change->present->attributes, "num_cache_clusters", 1);
    return change_has(change, "num_cache_clusters")
               ? member_int(change->desired, "num_cache_clusters", now) - now
               : 0;
}

static bool set_replicas(Change *change, const char *operation, Err *err)
{
    int64_t nodes = member_int(change->desired, "num_cache_clusters", 1);
    return change_call(change, "elasticache", operation,
                       json_pack("{s:s, s:I, s:b}", "ReplicationGroupId", change->present->key,
                                 "NewReplicaCount", (json_int_t)(nodes - 1), "ApplyImmediately", 1),
                       NULL, err);
}

static bool set_token(Change *change, Err *err)
{
    const char *token = desired_str(change, "auth_token", NULL);
    if (!change_has(change, "auth_token") || token == NULL) {
        return true;
    }
    json_t *input = json_pack("{s:s, s:s, s:s, s:b}", "ReplicationGroupId", change->present->key,
                              "AuthToken", token, "AuthTokenUpdateStrategy",
                              desired_str(change, "auth_token_update_strategy", "ROTATE"),
                              "ApplyImmediately", 1);
    return change_call(change, "elasticache", "ModifyReplicationGroup", input, NULL, err);
}

static bool set_fields(Change *change, Err *err)
{
    json_t *input = input_modify_new(change, "elasticache", "ModifyReplicationGroup");
    json_object_del(input, "AuthToken");
    if (json_object_size(input) == 0) {
        json_decref(input);
        return true;
    }
    json_object_set_new(input, "ReplicationGroupId", json_string(change->present->key));
    json_object_set_new(input, "ApplyImmediately",
                        json_boolean(member_bool(change->desired, "apply_immediately", true)));
    return change_call(change, "elasticache", "ModifyReplicationGroup", input, NULL, err);
}

static bool group_update(Change *change, Err *err)
{
    int64_t missing = nodes_missing(change);
    return (missing <= 0 || set_replicas(change, "IncreaseReplicaCount", err)) &&
           set_fields(change, err) && set_token(change, err) &&
           (missing >= 0 || set_replicas(change, "DecreaseReplicaCount", err));
}

static bool group_destroy(Change *change, Err *err)
{
    return change_call(change, "elasticache", "DeleteReplicationGroup",
                       json_pack("{s:s}", "ReplicationGroupId", change->present->key), NULL, err);
}

static const char *group_destroy_refusal(const Present *present)
{
    return kept_str(present, "final_snapshot_identifier", NULL) != NULL
               ? "it wants a final snapshot, and snapshots are not made yet: take "
                 "final_snapshot_identifier out and apply first"
               : NULL;
}

static const char *const ready[] = {"available", NULL};
static const char *const failed[] = {"create-failed", NULL};
static const char *const busy_faults[] = {"InvalidReplicationGroupState",
                                          "InvalidReplicationGroupStateFault", NULL};

const ResourceKind kind_replication_group = {
    .type = "aws_elasticache_replication_group",
    .noun = "replication group",
    .model = RESOURCE_REPLICATION_GROUP,
    .attributes = attributes,
    .attributes_len = ARRAY_LEN(attributes),
    .blocks = blocks,
    .blocks_len = ARRAY_LEN(blocks),
    .key = {"replication_group_id"},
    .ready = ready,
    .failed = failed,
    .busy_faults = busy_faults,
    .tags = TAGS_CACHE,
    .destroy_rank = 3,
    .holds_data = true,
    .timeout_ms = 60 * 60 * MS_PER_S,
    .read = group_read,
    .create = group_create,
    .update = group_update,
    .destroy = group_destroy,
    .destroy_refusal = group_destroy_refusal,
};
