/*
 * The nodes of an instance: where they are to be, their goals, and who follows whom. Node DBI-1 is
 * made first and leads; while the instance is MultiAZ there is another one, and either may lead:
 * the cluster's record says who does (docs/failover.md). A read replica is one node that follows
 * its source's leader. A node is taken away only after its incarnation has left the cluster's set
 * (RULES F4).
 */
#include "control/instance_priv.h"

/* ---- zones ------------------------------------------------------------------------------------
 */

static char zone_after(char zone, int steps)
{
    static const char zones[] = MODEL_ZONES;
    size_t count = sizeof(zones) - 1;
    const char *at = strchr(zones, zone);
    size_t index = at != NULL ? (size_t)(at - zones) : 0;
    return zones[(index + (size_t)steps) % count];
}

/* Replicas stand where their source's primary and standby do not, as far as zones go round. */
static char zone_choose(const Instance *instance)
{
    const char *chosen = member_str(instance->spec, "AvailabilityZone", "");
    if (chosen[0] != '\0') {
        char last = chosen[strlen(chosen) - 1];
        return strchr(MODEL_ZONES, last) != NULL ? last : MODEL_ZONES[0];
    }
    if (instance->source[0] == '\0') {
        return MODEL_ZONES[0];
    }
    int older = 0;
    WorldKeys keys = world_keys(instance->world, "spec/db-instance/");
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *other = world_get(instance->world, keys.items[i]);
        older += strcmp(member_str(other, "source", ""), instance->source) == 0 &&
                 strcmp(keys.items[i] + strlen("spec/db-instance/"), instance->id) < 0;
    }
    return zone_after(MODEL_ZONES[0], 2 + older);
}

/* A node stays where it is. */
static char node_zone(const Instance *instance, const char *node, char fallback)
{
    const char *zone = member_str(instance_node_goal(instance->world, node), "zone", "");
    return zone[0] != '\0' ? zone[0] : fallback;
}

/* ---- goals ------------------------------------------------------------------------------------
 */

/* Whose record a node goes by. */
static const char *node_cluster(const Instance *instance)
{
    return instance->source[0] != '\0' ? instance->source : instance->dbi;
}

/* Whom a node follows, for those who look on; "" for nobody. */
static const char *node_source(const Instance *instance, const char *node)
{
    const char *leader = instance_leader(instance->world, node_cluster(instance));
    return strcmp(node, leader) != 0 ? leader : "";
}

/* The passwords of a replica's users are its source's. */
static void goal_master(Instance *instance, json_t *goal)
{
    const char *key = arena_printf(instance->world->arena, "spec/db-instance/%s", instance->id);
    json_object_set_new(goal, "master_user",
                        json_string(member_str(instance->spec, "MasterUsername", "")));
    json_object_set_new(goal, "master_password",
                        json_string(member_str(instance->spec, "master_password", "")));
    json_object_set_new(goal, "master_password_context", json_string(key));
    json_object_set_new(goal, "database", json_string(member_str(instance->spec, "DBName", "")));
}

/* A planned change: its number, and who shall lead then; where nobody could, the leader says that
 * it is over. One that a move wants has the next number, and only the leader hears of it: the other
 * one stays settled. */
static void goal_heir(Instance *instance, const char *node, json_t *goal)
{
    int64_t begun = instance_handover(instance);
    int64_t epoch = member_int(instance->spec, "failover_epoch", 0);
    const char *heir = instance_second(instance);
    bool moves = instance->hands_over && strcmp(node, heir) != 0;
    if (epoch > begun || moves) {
        json_object_set_new(goal, "heir", json_string(instance->paired ? heir : ""));
        json_object_set_new(goal, "handover", json_integer(epoch > begun ? epoch : begun + 1));
    }
}

static void node_goal_put(Instance *instance, const char *node, char wanted_zone, json_t *settings)
{
    World *world = instance->world;
    const json_t *old = instance_node_goal(world, node);
    const char *other = instance_node(instance, slice_ends(slice_of(node), "-2") ? 1 : 2);
    const HostWish wish = {wanted_zone, node_cluster(instance), instance_node_host(world, other)};
    const char *host = host_for(world, member_str(old, "host", ""), &wish, instance->next);
    if (host == NULL) {
        return;
    }
    char zone = host_zone(world, host, wanted_zone);
    const char *source = node_source(instance, node);
    bool primary = source[0] == '\0';
    char major[MODEL_VERSION_SIZE];
    engine_major(member_str(instance->spec, "EngineVersion", ""), major);
    json_t *goal =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:b, s:O}", "kind",
                  "postgres", "resource", "db-instance", "identifier", instance->id, "host", host,
                  "dbi", instance->dbi, "role",
                  primary                       ? "primary"
                  : instance->source[0] != '\0' ? "replica"
                                                : "standby",
                  "source", source, "address",
                  address_for(world, ADDRESS_NODE, member_str(old, "address", "")), "major",
                  (json_int_t)text_int(major, 0), "reboot_epoch",
                  (json_int_t)member_int(instance->spec, "reboot_epoch", 0), "run",
                  strcmp(member_str(instance->spec, "desired_state", "running"), "stopped") != 0,
                  "settings", settings);
    ASSERT(goal != NULL);
    json_object_set_new(goal, "zone", json_stringn(&zone, 1));
    json_object_set_new(goal, "cluster", json_string(node_cluster(instance)));
    if (instance->source[0] == '\0') {
        json_object_set_new(goal, "multi_az", json_boolean(instance->multi_az));
        goal_heir(instance, node, goal);
        goal_master(instance, goal);
        json_object_set_new(goal, "password_epoch",
                            json_integer(member_int(instance->spec, "password_epoch", 0)));
        bool pair = instance->paired && !instance->second_leaves;
        json_object_set_new(goal, "peers", pair ? json_pack("[s]", other) : json_array());
    }
    json_t *followers = member_array(old, "followers");
    json_object_set_new(goal, "followers",
                        followers != NULL ? json_deep_copy(followers) : json_array());
    world_put(world, arena_printf(world->arena, "node/%s/goal", node), goal);
}

static void node_goal_end(World *world, const char *node, bool deleted)
{
    const json_t *old = instance_node_goal(world, node);
    bool more = deleted && !member_bool(old, "deleted", false);
    if (old != NULL && (!member_bool(old, "gone", false) || more)) {
        json_t *goal = json_deep_copy(old);
        json_object_set_new(goal, "gone", json_true());
        json_object_set_new(goal, "deleted", json_boolean(deleted));
        world_put(world, arena_printf(world->arena, "node/%s/goal", node), goal);
    }
}

bool instance_node_remove(World *world, const char *node, bool deleted)
{
    if (instance_node_goal(world, node) == NULL) {
        return true;
    }
    bool nobody = host_is_removed(world, instance_node_host(world, node)); /* who could say so */
    if (!nobody) {
        node_goal_end(world, node, deleted);
    }
    /* The word of an earlier node of this name does not count: it is of another goal. */
    if (!nobody && (strcmp(member_str(instance_node_seen(world, node), "state", ""), "gone") != 0 ||
                    !instance_node_settled(world, node))) {
        return false;
    }
    world_delete(world, arena_printf(world->arena, "node/%s/goal", node));
    world_delete(world, arena_printf(world->arena, "node/%s/seen", node));
    return true;
}

/* ---- both nodes -------------------------------------------------------------------------------
 */

static void cluster_ensure(Instance *instance)
{
    World *world = instance->world;
    const char *key = arena_printf(world->arena, "cluster/%s", instance->dbi);
    if (instance->source[0] == '\0' && world_get(world, key) == NULL) {
        json_t *record = json_pack("{s:i, s:s, s:[], s:i}", "term", 1, "leader",
                                   instance_node(instance, 1), "set", "writes", 0);
        ASSERT(record != NULL);
        world_put(world, key, record);
    }
}

/* A replica has to wait until its source's node has an address. */
static bool source_is_placed(const Instance *instance)
{
    return instance->source[0] == '\0' ||
           instance_node_goal(instance->world,
                              instance_leader(instance->world, instance->source)) != NULL;
}

/* The next round makes it anew, on another host. */
static void node_leave(Instance *instance, const char *node)
{
    World *world = instance->world;
    if (!instance_node_leaves(world, node)) {
        const char *host = instance_node_host(world, node);
        world_event(world, RESOURCE_DB_INSTANCE, instance->id, "maintenance",
                    arena_printf(world->arena, "Node %s leaves host %s, which %s.", node, host,
                                 host_is_removed(world, host) ? "was removed"
                                 : host_drains(world, host)   ? "drains"
                                                              : "has its leader, too"));
    }
    instance_node_remove(world, node, false); /* once the set is without it */
    world->busy = true;
}

static void first_put(Instance *instance, const char *node, json_t *settings)
{
    if (instance->first_leaves) {
        node_leave(instance, node);
        return;
    }
    node_goal_put(instance, node, node_zone(instance, node, zone_choose(instance)), settings);
    char zone = node_zone(instance, node, 0);
    if (zone != 0) {
        json_object_set_new(instance->next, "zone", json_stringn(&zone, 1));
    }
}

static void second_put(Instance *instance, const char *node, char beside, json_t *settings)
{
    if (!instance->paired) {
        instance_node_remove(instance->world, node, false); /* once the set is without it */
    } else if (instance->second_leaves) {
        node_leave(instance, node);
    } else {
        node_goal_put(instance, node, node_zone(instance, node, zone_after(beside, 1)), settings);
    }
    char zone = node_zone(instance, node, 0);
    if (instance->multi_az && zone != 0) {
        json_object_set_new(instance->next, "secondary_zone", json_stringn(&zone, 1));
    } else {
        json_object_del(instance->next, "secondary_zone");
    }
}

void instance_nodes_put(Instance *instance)
{
    World *world = instance->world;
    if (!source_is_placed(instance)) {
        world->busy = true;
        return;
    }
    const char *first = instance_node(instance, instance_first(world, instance->dbi));
    const char *second = instance_second(instance);
    cluster_ensure(instance);
    instance_move(instance);
    json_t *settings = instance_settings_new(instance, instance_node_goal(world, first));
    first_put(instance, first, settings);
    second_put(instance, second, node_zone(instance, first, MODEL_ZONES[0]), settings);
    json_decref(settings);
}

void instance_followers_link(World *world)
{
    WorldKeys keys = world_keys(world, "node/");
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *goal = world_get(world, keys.items[i]);
        if (!slice_ends(slice_of(keys.items[i]), "/goal") ||
            strcmp(member_str(goal, "kind", ""), "postgres") != 0 ||
            strcmp(member_str(goal, "role", ""), "replica") == 0 ||
            member_bool(goal, "gone", false)) {
            continue;
        }
        json_t *followers = json_array();
        for (size_t k = 0; k < keys.len; k++) {
            const json_t *other = world_get(world, keys.items[k]);
            if (k != i && slice_ends(slice_of(keys.items[k]), "/goal") &&
                strcmp(member_str(other, "cluster", ""), member_str(goal, "cluster", "")) == 0) {
                json_array_append_new(
                    followers, json_stringn(keys.items[k] + 5, strlen(keys.items[k]) - 5 - 5));
            }
        }
        json_t *linked = json_deep_copy(goal);
        json_object_set_new(linked, "followers", followers);
        world_put(world, keys.items[i], linked);
    }
}
