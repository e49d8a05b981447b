/*
 * Replication groups: a goal per member, and the front before them (cache_front.c). The
 * passwords that nodes, agent and front use among themselves are made here once per group, and kept
 * sealed in the group's cluster record.
 */
#include <stdio.h>

#include "control/cache_priv.h"

#define PLAN_ENGINES_MIN 8 /* as for instances */
#define PASSWORD_LEN     32

/* ---- the cluster record ------------------------------------------------------------------------
 */

static json_t *password_new(const Group *group)
{
    char password[PASSWORD_LEN + 1];
    random_id(password, PASSWORD_LEN);
    Buf sealed;
    buf_init(&sealed, BUF_MAX_DEFAULT);
    secret_seal(group->world->facts->master_key, slice_of(group->cluster_key), slice_of(password),
                &sealed);
    crypto_wipe(password, sizeof(password));
    json_t *text = json_stringn(sealed.data, sealed.len);
    buf_done(&sealed);
    return text;
}

static const char *first_member(const Group *group)
{
    return member_str(json_array_get(member_array(group->spec, "members"), 0), "CacheClusterId",
                      "");
}

static void cluster_ensure(Group *group)
{
    if (world_get(group->world, group->cluster_key) != NULL) {
        return;
    }
    json_t *record =
        json_pack("{s:i, s:s, s:[], s:i, s:o, s:o, s:o}", "term", 1, "leader", first_member(group),
                  "set", "writes", 0, "admin_password", password_new(group), "replication_password",
                  password_new(group), "client_password", password_new(group));
    ASSERT(record != NULL);
    world_put(group->world, group->cluster_key, record);
}

const json_t *cache_cluster_of(const Group *group)
{
    return world_get(group->world, group->cluster_key);
}

const char *cache_cluster_name(const Group *group)
{
    return group->cluster_key + strlen("cluster/");
}

static const char *leader_of(const Group *group)
{
    return member_str(cache_cluster_of(group), "leader", "");
}

/* ---- memory and settings -----------------------------------------------------------------------
 */

static int64_t memory_for(Group *group)
{
    const char *class_name = member_str(group->spec, "CacheNodeType", "");
    InstanceClass class = {.memory_bytes = (int64_t)256 << 20};
    Err err;
    if (!instance_class_find(class_name, &class, &err)) {
        json_object_set_new(group->next, "message", json_string(err.message));
    }
    if (strcmp(member_str(group->next, "memory_class", ""), class_name) != 0) {
        char note[MODEL_NOTE_SIZE];
        int engines = (int)world_keys(group->world, "node/").len / 2 + 1;
        int64_t bytes = memory_share(&class, hosts_memory(group->world),
                                     engines > PLAN_ENGINES_MIN ? engines : PLAN_ENGINES_MIN, note);
        json_object_set_new(group->next, "memory_class", json_string(class_name));
        json_object_set_new(group->next, "memory_bytes", json_integer(bytes));
        json_object_set_new(group->next, "notes",
                            note[0] != '\0' ? json_pack("[s]", note) : json_array());
    }
    return member_int(group->next, "memory_bytes", 0);
}

static const ParameterFamily *family_of(const Group *group)
{
    return parameter_family_of("redis", member_str(group->spec, "EngineVersion", ""));
}

static const json_t *parameters_of(const Group *group)
{
    const char *name = member_str(group->spec, "CacheParameterGroupName", "");
    return member_object(world_getf(group->world, "spec/cache-parameter-group/%s", name),
                         "parameters");
}

const char *cache_durable(const Group *group)
{
    const ParameterFamily *family = family_of(group);
    return family != NULL ? parameters_durable(family, parameters_of(group)) : "off";
}

static json_t *settings_for(Group *group, int64_t memory_bytes)
{
    const json_t *parameters = parameters_of(group);
    const FormulaFacts facts = {.memory_bytes = memory_bytes, .vcpus = 1};
    const ParameterFamily *family = family_of(group);
    json_t *settings = NULL;
    Err err = {0};
    if (family == NULL || !parameters_resolve_new(family, parameters, &facts, &settings, &err)) {
        json_object_set_new(group->next, "message",
                            json_string(family == NULL ? "unknown parameter family" : err.message));
        return json_object();
    }
    return settings;
}

/* ---- goals -------------------------------------------------------------------------------------
 */

static const char *node_key(const Group *group, const char *node, const char *leaf)
{
    return arena_printf(group->world->arena, "node/%s/%s", node, leaf);
}

const char *cache_node_address(const Group *group, const char *node)
{
    return member_str(world_get(group->world, node_key(group, node, "goal")), "address", "");
}

static bool is_member(const Group *group, const char *node)
{
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        if (strcmp(member_str(member, "CacheClusterId", ""), node) == 0) {
            return true;
        }
    }
    return false;
}

/* The node whose goal this key is, where it is one of the group's; else NULL. */
static const char *node_of_key(const Group *group, const char *key)
{
    Slice name = slice_of(key);
    const json_t *goal = world_get(group->world, key);
    if (!slice_ends(name, "/goal") || strcmp(member_str(goal, "kind", ""), "redis") != 0 ||
        strcmp(member_str(goal, "identifier", ""), group->id) != 0) {
        return NULL;
    }
    static const char prefix[] = "node/";
    size_t len = name.len - strlen("/goal") - (sizeof(prefix) - 1);
    return arena_strndup(group->world->arena, key + sizeof(prefix) - 1, len);
}

/* The others. Those that leave count until they are gone: one of them may lead, or have what nobody
 * else has. */
static json_t *peers_of(const Group *group, const char *node)
{
    json_t *peers = json_array();
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        if (strcmp(member_str(member, "CacheClusterId", ""), node) != 0) {
            json_array_append(peers, json_object_get(member, "CacheClusterId"));
        }
    }
    WorldKeys keys = world_keys(group->world, "node/");
    for (size_t k = 0; k < keys.len; k++) {
        const char *other = node_of_key(group, keys.items[k]);
        if (other != NULL && !is_member(group, other) && strcmp(other, node) != 0) {
            json_array_append_new(peers, json_string(other));
        }
    }
    return peers;
}

static int64_t handover_of(const Group *group)
{
    return member_int(cache_cluster_of(group), "handover", 0);
}

static void member_goal_put(Group *group, const json_t *member, json_t *settings)
{
    World *world = group->world;
    const char *node = member_str(member, "CacheClusterId", "");
    const char *address = address_for(world, ADDRESS_NODE, cache_node_address(group, node));
    char wanted_zone = member_str(member, "zone", "a")[0];
    const HostWish wish = {wanted_zone, cache_cluster_name(group), ""};
    const char *host = host_for(world, instance_node_host(world, node), &wish, group->next);
    if (host == NULL) {
        return;
    }
    const char zone[] = {host_zone(world, host, wanted_zone), 0};
    json_t *goal = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o, s:I, s:I, s:b, s:O}", "kind", "redis",
        "resource", "replication-group", "identifier", group->id, "host", host, "zone", zone,
        "automatic", member_bool(group->spec, "AutomaticFailoverEnabled", false), "durable",
        cache_durable(group), "cluster", cache_cluster_name(group), "address", address, "peers",
        peers_of(group, node), "maxmemory_bytes",
        (json_int_t)text_int(member_str(settings, "maxmemory", "0"), 0), "reboot_epoch",
        (json_int_t)member_int(group->spec, "reboot_epoch", 0), "run", 1, "settings", settings);
    ASSERT(goal != NULL);
    int64_t wished = member_int(group->spec, "failover_epoch", 0);
    if (group->hands_over && wished <= handover_of(group)) {
        wished = handover_of(group) + 1;
    }
    if (wished > handover_of(group)) {
        json_object_set_new(goal, "handover", json_integer(wished));
    }
    static const char *const passwords[] = {"admin_password", "replication_password",
                                            "client_password"};
    for (size_t i = 0; i < ARRAY_LEN(passwords); i++) {
        json_object_set(goal, passwords[i], json_object_get(cache_cluster_of(group), passwords[i]));
    }
    json_object_set_new(goal, "passwords_context", json_string(group->cluster_key));
    world_put(world, node_key(group, node, "goal"), goal);
}

/* Nodes of this group that are no members (any more); `all`: those that are, too. True when none is
 * left. */
static bool nodes_remove(Group *group, bool all)
{
    bool none = true;
    WorldKeys keys = world_keys(group->world, "node/");
    for (size_t i = 0; i < keys.len; i++) {
        const char *node = node_of_key(group, keys.items[i]);
        if (node != NULL && (all || !is_member(group, node))) {
            none = instance_node_remove(group->world, node, all) && none;
        }
    }
    return none;
}

static void members_put(Group *group)
{
    cluster_ensure(group);
    json_t *settings = settings_for(group, memory_for(group));
    group->idle_timeout_s = text_int(member_str(settings, "timeout", "0"), 0);
    size_t i;
    json_t *member;
    cache_move(group);
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        const char *node = member_str(member, "CacheClusterId", "");
        if (cache_node_leaves(group, node)) {
            instance_node_remove(group->world, node, false); /* once the set is without it */
            group->world->busy = true;
        } else {
            member_goal_put(group, member, settings);
        }
    }
    json_decref(settings);
    if (!nodes_remove(group, false)) {
        group->world->busy = true;
    }
}

/* ---- status ------------------------------------------------------------------------------------
 */

static void tell_silent(Group *group, const char *node)
{
    json_object_set_new(group->next, "message",
                        json_sprintf("node %s is on host %s, which is silent: bring that back",
                                     node, instance_node_host(group->world, node)));
}

static json_t *member_status(Group *group, const json_t *member, bool *all_settled)
{
    const char *node = member_str(member, "CacheClusterId", "");
    const char *host = instance_node_host(group->world, node);
    bool lost = host_is_lost(group->world, host); /* nobody knows when it will be back */
    *all_settled = *all_settled && (lost || instance_node_settled(group->world, node));
    const json_t *seen = world_get(group->world, node_key(group, node, "seen"));
    bool runs = !lost && strcmp(member_str(seen, "state", ""), "running") == 0;
    const char *error = member_str(seen, "error", "");
    bool placed = host[0] != '\0'; /* else that was said */
    if (lost) {
        tell_silent(group, node);
    } else if (error[0] != '\0' || (!runs && placed)) {
        json_object_set_new(
            group->next, "message",
            json_sprintf("node %s: %s", node, error[0] != '\0' ? error : "is on its way"));
    }
    bool known =
        group->status != NULL && strcmp(member_str(group->status, "Status", ""), "creating") != 0;
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "CacheClusterId", node, "role",
                     strcmp(node, leader_of(group)) == 0 ? "primary" : "replica", "zone",
                     member_str(member, "zone", "a"), "status",
                     runs    ? "available"
                     : known ? "modifying"
                             : "creating",
                     "host", cache_node_address(group, node));
}

bool cache_leader_serves(const Group *group)
{
    const json_t *leader = world_get(group->world, node_key(group, leader_of(group), "seen"));
    return strcmp(member_str(leader, "ha", ""), "leading") == 0 &&
           strcmp(member_str(cache_cluster_of(group), "phase", "leading"), "leading") == 0 &&
           member_int(leader, "term", 0) == member_int(cache_cluster_of(group), "term", -1);
}

bool cache_change_is_asked(const Group *group)
{
    return member_int(group->spec, "failover_epoch", 0) > handover_of(group) ||
           member_int(group->spec, "generation", 0) != member_int(group->status, "generation", 0);
}

/* ElastiCache's word for it. */
static void tell_failover_asked(Group *group)
{
    int64_t epoch = member_int(group->spec, "failover_epoch", 0);
    if (epoch > member_int(group->next, "failover_called", 0)) {
        world_event(group->world, RESOURCE_REPLICATION_GROUP, group->id, "failover",
                    "Test Failover API called for node group 0001");
        json_object_set_new(group->next, "failover_called", json_integer(epoch));
    }
}

static void group_status(Group *group)
{
    tell_failover_asked(group);
    bool settled = true;
    json_t *members = json_array();
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        json_array_append_new(members, member_status(group, member, &settled));
    }
    json_object_set_new(group->next, "members", members);
    const char *orphan = host_orphan(group->world, cache_cluster_name(group), group->id);
    if (json_array_size(members) > 1 && orphan != NULL) {
        json_object_set_new(group->next, "message", json_string(orphan));
    } else if (host_is_lost(group->world, instance_node_host(group->world, leader_of(group)))) {
        tell_silent(group, leader_of(group)); /* rather than what follows from that */
    }
    const char *before = member_str(group->status, "Status", "creating");
    bool available = strcmp(before, "available") == 0;
    const char *host = instance_node_host(group->world, leader_of(group));
    bool leads = !cache_change_is_asked(group) && cache_leader_serves(group) &&
                 host_node_counts(group->world, leader_of(group), available);
    bool ready = leads && settled && plane_ready(group->world, group->plane);
    /* Nobody asked for anything, and clients are served: a replica is on its way back. */
    bool serves = leads && available;
    const char *word = ready || serves                   ? "available"
                       : strcmp(before, "creating") == 0 ? "creating"
                                                         : "modifying";
    json_object_set_new(group->next, "Status", json_string(word));
    json_object_set_new(group->next, "parameter_apply_status",
                        json_string(ready ? "in-sync" : "applying"));
    if (ready) {
        json_object_set_new(group->next, "auth_token_epoch",
                            json_integer(member_int(group->spec, "auth_token_epoch", 0)));
    } else if (!host_is_lost(group->world, host)) {
        group->world->busy = true;
    }
    if (ready && strcmp(before, "creating") == 0) {
        world_event(group->world, RESOURCE_REPLICATION_GROUP, group->id, "creation",
                    "Replication group created");
    }
}

static void group_delete(Group *group)
{
    World *world = group->world;
    json_object_set_new(group->next, "Status", json_string("deleting"));
    bool plane = plane_remove(world, group->plane);
    bool nodes = nodes_remove(group, true);
    if (!plane || !nodes) {
        world->busy = true;
        return;
    }
    world_delete(world, group->cluster_key);
    world_delete(world, arena_printf(world->arena, "status/replication-group/%s", group->id));
    world_delete(world, arena_printf(world->arena, "spec/replication-group/%s", group->id));
    json_decref(group->next);
    group->next = NULL;
    world_event(world, RESOURCE_REPLICATION_GROUP, group->id, "deletion",
                "Replication group deleted");
}

static void group_addresses(Group *group, const char *status_path)
{
    static const char *const members[] = {"primary_host", "reader_host"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const char *host = member_str(group->next, members[i], "");
        json_object_set_new(group->next, members[i],
                            json_string(address_for(group->world, ADDRESS_ENDPOINT, host)));
        world_put(group->world, status_path, json_deep_copy(group->next));
    }
}

static void group_control(World *world, const char *id)
{
    const char *status_path = arena_printf(world->arena, "status/replication-group/%s", id);
    Group group = {.world = world,
                   .id = id,
                   .plane = arena_printf(world->arena, "front-%s", id),
                   .cluster_key = arena_printf(world->arena, "cluster/rg-%s", id),
                   .spec = world_getf(world, "spec/replication-group/%s", id),
                   .status = world_get(world, status_path)};
    group.next = group.status != NULL ? json_deep_copy(group.status) : json_object();
    json_object_set_new(group.next, "generation",
                        json_integer(member_int(group.spec, "generation", 0)));
    json_object_del(group.next, "message");
    if (member_bool(group.spec, "deleting", false)) {
        group_delete(&group);
    } else {
        group_addresses(&group, status_path);
        members_put(&group);
        cache_front_put(&group);
        group_status(&group);
    }
    if (group.next != NULL) {
        world_put(world, status_path, group.next);
    }
}

void control_replication_groups(World *world)
{
    static const char prefix[] = "spec/replication-group/";
    WorldKeys keys = world_keys(world, prefix);
    for (size_t i = 0; i < keys.len; i++) {
        group_control(world, keys.items[i] + sizeof(prefix) - 1);
    }
}
