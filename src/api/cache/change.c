/* Operations on a replication group that is there. */
#include "api/cache/cache_priv.h"

static bool finish_change(ApiContext *ctx, json_t *spec, json_t **ret_output)
{
    spec_change(ctx, RESOURCE_REPLICATION_GROUP, cache_group_id(spec), spec);
    *ret_output = cache_group_output(ctx, spec);
    return true;
}

/* ---- modify
 * -------------------------------------------------------------------------------------- */

static bool version_change(ApiContext *ctx, json_t *input)
{
    const char *requested = input_str(input, "EngineVersion");
    json_t *resolved = context_own(ctx, json_object());
    if (requested == NULL) {
        return true;
    }
    TRY(version_check(ctx, "redis", requested, resolved));
    json_object_set(input, "EngineVersion", json_object_get(resolved, "EngineVersion"));
    return true;
}

/* ROTATE keeps the token before, so that clients can move over; SET ends that. */
static bool token_change(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *token = input_str(input, "AuthToken");
    const char *strategy = input_str(input, "AuthTokenUpdateStrategy");
    if (strategy != NULL && strcmp(strategy, "DELETE") == 0) {
        return refuse_unsupported(ctx, "taking the auth token away (AuthTokenUpdateStrategy "
                                       "DELETE): it needs user groups.");
    }
    if (token == NULL) {
        return strategy == NULL ? true
                                : refuse(ctx, "InvalidParameterCombination",
                                         "AuthTokenUpdateStrategy needs an AuthToken beside it.");
    }
    if (!input_flag(input, "ApplyImmediately")) {
        return refuse(ctx, "InvalidParameterCombination",
                      "An AuthToken is changed at once: set ApplyImmediately.");
    }
    bool set = strategy != NULL && strcmp(strategy, "SET") == 0;
    if (strategy != NULL && !set && strcmp(strategy, "ROTATE") != 0) {
        return refuse(ctx, "InvalidParameterValue", "Invalid AuthTokenUpdateStrategy: %s",
                      strategy);
    }
    return cache_token_set(ctx, spec, token, !set);
}

static bool groups_change(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *group = input_str(input, "CacheParameterGroupName");
    const json_t *security = json_object_get(input, "SecurityGroupIds");
    references_hold(ctx);
    TRY(group == NULL || parameter_group_resolve(ctx, RESOURCE_CACHE_PARAMETER_GROUP, group,
                                                 "redis", member_str(spec, "EngineVersion", ""),
                                                 spec, "CacheParameterGroupName"));
    return json_array_size(security) == 0 ||
           security_groups_resolve(ctx, security, spec, "SecurityGroupIds");
}

bool cache_modify_group(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    /* SnapshottingClusterId: Terraform names one; snapshots are not made yet, as the field table
     * says. */
    static const char *const handled[] = {"ReplicationGroupId",
                                          "ApplyImmediately",
                                          "AuthTokenUpdateStrategy",
                                          "CacheParameterGroupName",
                                          "SecurityGroupIds",
                                          "SnapshottingClusterId",
                                          NULL};
    json_t *spec = cache_group_for_change(ctx, input);
    return spec != NULL && version_change(ctx, input) &&
           fields_modify(ctx, RESOURCE_REPLICATION_GROUP, input, handled,
                         input_flag(input, "ApplyImmediately"), spec) &&
           groups_change(ctx, input, spec) && token_change(ctx, input, spec) &&
           cache_check(ctx, spec) && finish_change(ctx, spec, ret_output);
}

/* ---- more and fewer replicas
 * --------------------------------------------------------------------- */

static bool at_once(ApiContext *ctx, const json_t *input)
{
    return input_flag(input, "ApplyImmediately")
               ? true
               : refuse(ctx, "InvalidParameterValue", "ApplyImmediately must be true.");
}

static size_t replicas_now(const json_t *spec)
{
    return json_array_size(member_array(spec, "members")) - 1;
}

bool cache_increase_replicas(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"ReplicationGroupId", "NewReplicaCount",
                                          "ApplyImmediately", NULL};
    json_t *spec = cache_group_for_change(ctx, input);
    if (spec == NULL || !at_once(ctx, input) || !fields_refuse_others(ctx, input, handled)) {
        return false;
    }
    int64_t wanted = member_int(input, "NewReplicaCount", -1);
    size_t now = replicas_now(spec);
    if (wanted <= (int64_t)now || wanted >= CACHE_NODES_MAX) {
        return refuse(ctx, "InvalidParameterValue",
                      "NewReplicaCount must be above the present %zu and at most %d.", now,
                      CACHE_NODES_MAX - 1);
    }
    return cache_members_add(ctx, spec, (size_t)wanted - now, NULL) &&
           finish_change(ctx, spec, ret_output);
}

/* The member that is primary now; the first one before anything is known. */
static const char *primary_of(ApiContext *ctx, const json_t *spec)
{
    size_t index;
    const json_t *member;
    const json_t *status = status_get(ctx, RESOURCE_REPLICATION_GROUP, cache_group_id(spec));
    json_array_foreach (json_object_get(status, "members"), index, member) {
        if (strcmp(member_str(member, "role", ""), "primary") == 0) {
            return member_str(member, "CacheClusterId", "");
        }
    }
    return member_str(json_array_get(member_array(spec, "members"), 0), "CacheClusterId", "");
}

static bool remove_named(ApiContext *ctx, json_t *spec, const json_t *names)
{
    size_t index;
    const json_t *name;
    json_t *members = member_array(spec, "members");
    const char *primary = primary_of(ctx, spec);
    json_array_foreach (names, index, name) {
        const char *id = json_is_string(name) ? json_string_value(name) : "";
        size_t at = 0;
        while (at < json_array_size(members) &&
               strcmp(member_str(json_array_get(members, at), "CacheClusterId", ""), id) != 0) {
            at++;
        }
        if (at == json_array_size(members) || strcmp(id, primary) == 0) {
            return refuse(ctx, "InvalidParameterValue", "%s is not a replica of %s.", id,
                          cache_group_id(spec));
        }
        json_array_remove(members, at);
    }
    return true;
}

/* The youngest go first, never the primary. */
static void remove_last(ApiContext *ctx, json_t *spec, size_t count)
{
    json_t *members = member_array(spec, "members");
    const char *primary = primary_of(ctx, spec);
    for (size_t at = json_array_size(members); at > 0 && count > 0; at--) {
        const json_t *member = json_array_get(members, at - 1);
        if (strcmp(member_str(member, "CacheClusterId", ""), primary) != 0) {
            json_array_remove(members, at - 1);
            count--;
        }
    }
}

/* How many replicas shall be left: NewReplicaCount, or those that are not named. */
static bool replicas_wanted(ApiContext *ctx, const json_t *input, const json_t *spec,
                            size_t *ret_wanted)
{
    size_t now = replicas_now(spec);
    size_t named = json_array_size(json_object_get(input, "ReplicasToRemove"));
    int64_t rest = (int64_t)now - (int64_t)named;
    int64_t wanted = member_int(input, "NewReplicaCount", rest);
    bool failover = member_bool(spec, "AutomaticFailoverEnabled", false);
    if (wanted < 0 || wanted >= (int64_t)now || (named > 0 && wanted != rest)) {
        return refuse(ctx, "InvalidParameterValue",
                      "NewReplicaCount must be below the present %zu, and agree with "
                      "ReplicasToRemove.",
                      now);
    }
    if (wanted == 0 && failover) {
        return refuse(ctx, "InvalidParameterValue",
                      "Must have at least one replica in order to auto failover.");
    }
    *ret_wanted = (size_t)wanted;
    return true;
}

bool cache_decrease_replicas(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"ReplicationGroupId", "NewReplicaCount",
                                          "ReplicasToRemove", "ApplyImmediately", NULL};
    size_t wanted = 0;
    json_t *spec = cache_group_for_change(ctx, input);
    if (spec == NULL || !at_once(ctx, input) || !fields_refuse_others(ctx, input, handled) ||
        !replicas_wanted(ctx, input, spec, &wanted)) {
        return false;
    }
    const json_t *names = json_object_get(input, "ReplicasToRemove");
    if (json_array_size(names) > 0) {
        TRY(remove_named(ctx, spec, names));
    } else {
        remove_last(ctx, spec, replicas_now(spec) - wanted);
    }
    json_object_set_new(spec, "node_count",
                        json_integer((json_int_t)json_array_size(member_array(spec, "members"))));
    return finish_change(ctx, spec, ret_output);
}

/* A group is one node group, as long as there is no cluster mode. */
static bool failover_check(ApiContext *ctx, const json_t *input, const json_t *spec)
{
    const char *node_group;
    const char *id = cache_group_id(spec);
    TRY(input_required(ctx, input, "NodeGroupId", &node_group));
    if (strcmp(node_group, CACHE_NODE_GROUP) != 0) {
        return refuse(ctx, "NodeGroupNotFoundFault", "Node group %s not found in %s.", node_group,
                      id);
    }
    if (!member_bool(spec, "AutomaticFailoverEnabled", false) || replicas_now(spec) == 0) {
        return refuse(ctx, "TestFailoverNotAvailableFault",
                      "TestFailover needs automatic failover and a replica: %s has %s.", id,
                      replicas_now(spec) == 0 ? "no replica" : "automatic failover disabled");
    }
    const json_t *status = status_get(ctx, RESOURCE_REPLICATION_GROUP, id);
    return strcmp(resource_status(RESOURCE_REPLICATION_GROUP, spec, status), "available") == 0
               ? true
               : refuse(ctx, "InvalidReplicationGroupState",
                        "Replication group %s is not available.", id);
}

bool cache_test_failover(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = cache_group_for_change(ctx, input);
    if (spec == NULL || !failover_check(ctx, input, spec)) {
        return false;
    }
    const char *key = arena_printf(ctx->arena, "cluster/rg-%s", cache_group_id(spec));
    int64_t last = member_int(spec, "failover_epoch", 0);
    int64_t begun = member_int(record_get(ctx, key), "handover", 0);
    json_object_set_new(spec, "failover_epoch", json_integer((begun > last ? begun : last) + 1));
    return finish_change(ctx, spec, ret_output);
}

/* ---- delete
 * -------------------------------------------------------------------------------------- */

bool cache_delete_group(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = cache_group_for_change(ctx, input);
    if (spec == NULL) {
        return false;
    }
    const char *snapshot = input_str(input, "FinalSnapshotIdentifier");
    if (snapshot != NULL) {
        return refuse_unsupported(ctx,
                                  "snapshots yet, so the final snapshot %s cannot be made. "
                                  "Delete without FinalSnapshotIdentifier.",
                                  snapshot);
    }
    if (input_flag(input, "RetainPrimaryCluster")) {
        return refuse_unsupported(ctx, "keeping the primary of a deleted group "
                                       "(RetainPrimaryCluster).");
    }
    json_object_set_new(spec, "deleting", json_true());
    return finish_change(ctx, spec, ret_output);
}
