/*
 * DB instances: from a spec to goals for one or two engine nodes and the relay in front of them,
 * and from what was seen to a status.
 *
 * Node DBI-1 is made first and leads; while the instance is MultiAZ there is another one, and
 * either may lead: the cluster's record says who does (docs/failover.md). A read replica is one
 * node that follows its source's leader. A node is taken away only after its incarnation has left
 * the cluster's set (RULES F4).
 */
#include "control/instance_priv.h"

#define PLAN_ENGINES_MIN 8 /* memory is shared out as if there were at least so many engines */

/* ---- reading the world ------------------------------------------------------------------------
 */

const char *instance_node(const Instance *instance, int number)
{
    return arena_printf(instance->world->arena, "%s-%d", instance->dbi, number);
}

static const json_t *node_goal(const World *world, const char *node)
{
    return world_getf(world, "node/%s/goal", node);
}

const json_t *instance_node_seen(const World *world, const char *node)
{
    return world_getf(world, "node/%s/seen", node);
}

/* The node is exactly as its goal in the store says. */
bool instance_node_settled(World *world, const char *node)
{
    const json_t *goal = node_goal(world, node);
    const json_t *seen = instance_node_seen(world, node);
    if (goal == NULL || seen == NULL) {
        return false;
    }
    char digest[SHA256_HEX_SIZE];
    sha256_hex(record_format(world->arena, goal), digest);
    return strcmp(member_str(seen, "goal", ""), digest) == 0;
}

const json_t *instance_spec_of(World *world, const char *dbi)
{
    WorldKeys keys = world_keys(world, "spec/db-instance/");
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *spec = world_get(world, keys.items[i]);
        if (strcmp(member_str(spec, "DbiResourceId", ""), dbi) == 0) {
            return spec;
        }
    }
    return NULL;
}

const char *instance_leader(World *world, const char *dbi)
{
    const char *first = arena_printf(world->arena, "%s-1", dbi);
    return member_str(world_getf(world, "cluster/%s", dbi), "leader", first);
}

/* Of the two nodes of an instance: the one that leads, and the other one. */
int instance_first(World *world, const char *dbi)
{
    return slice_ends(slice_of(instance_leader(world, dbi)), "-2") ? 2 : 1;
}

const char *instance_second(const Instance *instance)
{
    return instance_node(instance, 3 - instance_first(instance->world, instance->dbi));
}

const char *instance_node_host(const World *world, const char *node)
{
    return member_str(node_goal(world, node), "host", "");
}

bool instance_node_leaves(const World *world, const char *node)
{
    return member_bool(node_goal(world, node), "gone", false);
}

int64_t instance_handover(const Instance *instance)
{
    return member_int(world_getf(instance->world, "cluster/%s", instance->dbi), "handover", 0);
}

/* From when there shall be a standby, and as long as there may still be one. */
bool instance_is_synchronous(World *world, const char *dbi)
{
    const json_t *record = world_getf(world, "cluster/%s", dbi);
    return record != NULL && (member_bool(instance_spec_of(world, dbi), "MultiAZ", false) ||
                              json_array_size(member_array(record, "set")) > 1);
}

/* On one host the right to answer is measured, and not enforced (RULES F9). */
json_t *instance_target_new(World *world, const char *dbi)
{
    const json_t *spec = instance_spec_of(world, dbi);
    const json_t *status =
        world_getf(world, "status/db-instance/%s", member_str(spec, "DBInstanceIdentifier", ""));
    const char *relay = member_str(status, "endpoint_host", "0.0");
    bool cluster = world_getf(world, "cluster/%s", dbi) != NULL;
    json_t *target =
        json_pack("{s:s, s:s, s:i}", cluster ? "$leader" : "$node",
                  cluster ? dbi : instance_leader(world, dbi), "relay", relay, "port", 5432);
    if (instance_is_synchronous(world, dbi)) {
        json_object_set_new(target, "synchronous", json_true());
    }
    return target;
}

static Instance instance_open(World *world, const char *id)
{
    Instance instance = {.world = world,
                         .id = id,
                         .spec = world_getf(world, "spec/db-instance/%s", id),
                         .status = world_getf(world, "status/db-instance/%s", id)};
    instance.dbi = member_str(instance.spec, "DbiResourceId", "");
    instance.source = member_str(instance.spec, "source", "");
    instance.multi_az = member_bool(instance.spec, "MultiAZ", false);
    instance.paired = instance.multi_az;
    instance.next = instance.status != NULL ? json_deep_copy(instance.status) : json_object();
    return instance;
}

/* ---- zones and memory --------------------------------------------------------------------------
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

static int engines_planned(World *world)
{
    WorldKeys nodes = world_keys(world, "node/");
    int engines = (int)nodes.len / 2 + 1; /* a goal and a seen each */
    return engines > PLAN_ENGINES_MIN ? engines : PLAN_ENGINES_MIN;
}

/* The memory share is computed when the class is new, and kept: it must not move with neighbours.
 */
static int64_t memory_for(Instance *instance, InstanceClass *ret_class)
{
    const char *class_name = member_str(instance->spec, "DBInstanceClass", "");
    Err err;
    if (!instance_class_find(class_name, ret_class, &err)) {
        json_object_set_new(instance->next, "message", json_string(err.message));
        *ret_class = (InstanceClass){.vcpus = 1, .memory_bytes = (int64_t)1 << 30};
    }
    if (strcmp(member_str(instance->next, "memory_class", ""), class_name) != 0) {
        char note[MODEL_NOTE_SIZE];
        int64_t bytes = memory_share(ret_class, hosts_memory(instance->world),
                                     engines_planned(instance->world), note);
        json_object_set_new(instance->next, "memory_class", json_string(class_name));
        json_object_set_new(instance->next, "memory_bytes", json_integer(bytes));
        json_object_set_new(instance->next, "notes",
                            note[0] != '\0' ? json_pack("[s]", note) : json_array());
    }
    return member_int(instance->next, "memory_bytes", 0);
}

/* ---- settings ----------------------------------------------------------------------------------
 */

json_t *instance_parameters(const Instance *instance)
{
    const char *name = member_str(instance->spec, "DBParameterGroupName", "");
    const json_t *group = world_getf(instance->world, "spec/db-parameter-group/%s", name);
    return member_object(group, "parameters");
}

/* A dynamic parameter that was set with pending-reboot keeps its old value until then. */
static bool keep_until_reboot(const Instance *instance, const ParameterFamily *family,
                              const json_t *old_goal, json_t *settings)
{
    bool kept = false;
    const json_t *old = member_object(old_goal, "settings");
    const char *name;
    json_t *parameter;
    json_object_foreach (instance_parameters(instance), name, parameter) {
        const ParameterInfo *info = parameter_find(family, name);
        json_t *before = json_object_get(old, name);
        if (info == NULL || info->is_static ||
            strcmp(member_str(parameter, "method", "immediate"), "pending-reboot") != 0 ||
            json_equal(before, json_object_get(settings, name))) {
            continue;
        }
        kept = true;
        if (before != NULL) {
            json_object_set(settings, name, before);
        } else {
            json_object_del(settings, name);
        }
    }
    return kept;
}

/* A standby refuses to run with less than its primary where PostgreSQL says "at least as much". */
static void raise_to_source(const ParameterFamily *family, const json_t *source_goal,
                            json_t *settings)
{
    const char *name;
    json_t *value;
    json_t *source_settings = member_object(source_goal, "settings");
    json_object_foreach (source_settings, name, value) {
        const ParameterInfo *info = parameter_find(family, name);
        if (info != NULL && info->standby_at_least &&
            text_int(member_str(settings, name, "0"), 0) <
                text_int(member_str(source_settings, name, "0"), 0)) {
            json_object_set(settings, name, value);
        }
    }
}

static json_t *settings_for(Instance *instance, const json_t *old_goal)
{
    InstanceClass class;
    const FormulaFacts facts = {
        .memory_bytes = memory_for(instance, &class),
        .vcpus = class.vcpus,
        .storage_bytes = member_int(instance->spec, "AllocatedStorage", 0) << 30,
        .port = (int)member_int(instance->spec, "DbInstancePort", 5432),
    };
    const ParameterFamily *family =
        parameter_family_of("postgres", member_str(instance->spec, "EngineVersion", ""));
    json_t *settings = NULL;
    Err err;
    if (family == NULL ||
        !parameters_resolve_new(family, instance_parameters(instance), &facts, &settings, &err)) {
        json_object_set_new(instance->next, "message",
                            json_string(family == NULL ? "unknown parameter family" : err.message));
        return old_goal != NULL ? json_deep_copy(member_object(old_goal, "settings"))
                                : json_object();
    }
    bool reboot =
        member_int(old_goal, "reboot_epoch", 0) != member_int(instance->spec, "reboot_epoch", 0);
    instance->kept_until_reboot =
        old_goal != NULL && !reboot && keep_until_reboot(instance, family, old_goal, settings);
    if (instance->source[0] != '\0') {
        const char *leader = instance_leader(instance->world, instance->source);
        raise_to_source(family, node_goal(instance->world, leader), settings);
    }
    return settings;
}

/* ---- goals -------------------------------------------------------------------------------------
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

/* A planned change: its number, and who shall lead then. One that a move wants has the next number,
 * and only the leader hears of it: the other one stays settled. */
static void goal_heir(Instance *instance, const char *node, json_t *goal)
{
    int64_t begun = instance_handover(instance);
    int64_t epoch = member_int(instance->spec, "failover_epoch", 0);
    const char *heir = instance_second(instance);
    bool moves = instance->hands_over && strcmp(node, heir) != 0;
    if (instance->paired && (epoch > begun || moves)) {
        json_object_set_new(goal, "heir", json_string(heir));
        json_object_set_new(goal, "handover", json_integer(epoch > begun ? epoch : begun + 1));
    }
}

static void node_goal_put(Instance *instance, const char *node, char wanted_zone, json_t *settings)
{
    World *world = instance->world;
    const json_t *old = node_goal(world, node);
    const char *other = instance_node(instance, slice_ends(slice_of(node), "-2") ? 1 : 2);
    const HostWish wish = {wanted_zone, node_cluster(instance), instance_node_host(world, other)};
    const char *host = host_for(world, member_str(old, "host", ""), &wish);
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
    const json_t *old = node_goal(world, node);
    if (old != NULL && !member_bool(old, "gone", false)) {
        json_t *goal = json_deep_copy(old);
        json_object_set_new(goal, "gone", json_true());
        json_object_set_new(goal, "deleted", json_boolean(deleted));
        world_put(world, arena_printf(world->arena, "node/%s/goal", node), goal);
    }
}

bool instance_node_remove(World *world, const char *node, bool deleted)
{
    if (node_goal(world, node) == NULL) {
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
           node_goal(instance->world, instance_leader(instance->world, instance->source)) != NULL;
}

/* A node stays where it is. */
static char node_zone(const Instance *instance, const char *node, char fallback)
{
    const char *zone = member_str(node_goal(instance->world, node), "zone", "");
    return zone[0] != '\0' ? zone[0] : fallback;
}

/* The next round makes it anew, on another host. */
static void node_leave(Instance *instance, const char *node)
{
    World *world = instance->world;
    if (!instance_node_leaves(world, node)) {
        const char *host = instance_node_host(world, node);
        world_event(world, RESOURCE_DB_INSTANCE, instance->id, "maintenance",
                    arena_printf(world->arena, "Node %s leaves host %s, which %s.", node, host,
                                 host_is_removed(world, host) ? "was removed" : "drains"));
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
    json_object_set_new(instance->next, "zone", json_stringn(&zone, 1));
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

static void nodes_put(Instance *instance)
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
    json_t *settings = settings_for(instance, node_goal(world, first));
    first_put(instance, first, settings);
    second_put(instance, second, node_zone(instance, first, MODEL_ZONES[0]), settings);
    json_decref(settings);
}

/* Who may stream from whom is known only when all goals stand; also those on their way out. */
static void link_followers(World *world)
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

/* ---- one instance ------------------------------------------------------------------------------
 */

static void instance_delete(Instance *instance)
{
    World *world = instance->world;
    json_object_set_new(instance->next, "DBInstanceStatus", json_string("deleting"));
    bool plane = plane_remove(world, instance_plane(instance));
    bool first = instance_node_remove(world, instance_node(instance, 1), true);
    bool second = instance_node_remove(world, instance_node(instance, 2), true);
    if (!plane || !first || !second) {
        world->busy = true;
        return;
    }
    world_delete(world, arena_printf(world->arena, "cluster/%s", instance->dbi));
    world_delete(world, arena_printf(world->arena, "status/db-instance/%s", instance->id));
    world_delete(world, arena_printf(world->arena, "spec/db-instance/%s", instance->id));
    json_decref(instance->next);
    instance->next = NULL;
    world_event(world, RESOURCE_DB_INSTANCE, instance->id, "deletion", "DB instance deleted");
}

static void instance_control(World *world, const char *id)
{
    Instance instance = instance_open(world, id);
    json_object_set_new(instance.next, "generation",
                        json_integer(member_int(instance.spec, "generation", 0)));
    json_object_del(instance.next, "message");
    if (member_bool(instance.spec, "deleting", false)) {
        instance_delete(&instance);
    } else {
        const char *host = member_str(instance.next, "endpoint_host", "");
        json_object_set_new(instance.next, "endpoint_host",
                            json_string(address_for(world, ADDRESS_ENDPOINT, host)));
        world_put(world, arena_printf(world->arena, "status/db-instance/%s", id),
                  json_deep_copy(instance.next)); /* the address is taken from here on */
        nodes_put(&instance);
        instance_relay_put(&instance);
        instance_status(&instance);
    }
    if (instance.next != NULL) {
        world_put(world, arena_printf(world->arena, "status/db-instance/%s", id), instance.next);
    }
}

void control_instances(World *world)
{
    static const char prefix[] = "spec/db-instance/";
    WorldKeys keys = world_keys(world, prefix);
    for (size_t i = 0; i < keys.len; i++) {
        instance_control(world, keys.items[i] + sizeof(prefix) - 1);
    }
    link_followers(world);
}
