/*
 * DB instances: from a spec to goals for one or two engine nodes (instance_node.c) and the relay in
 * front of them, and from what was seen to a status.
 */
#include "control/instance_priv.h"

/* ---- reading the world ------------------------------------------------------------------------
 */

const char *instance_node(const Instance *instance, int number)
{
    return arena_printf(instance->world->arena, "%s-%d", instance->dbi, number);
}

const json_t *instance_node_goal(const World *world, const char *node)
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
    const json_t *goal = instance_node_goal(world, node);
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
    return member_str(instance_node_goal(world, node), "host", "");
}

bool instance_node_leaves(const World *world, const char *node)
{
    return member_bool(instance_node_goal(world, node), "gone", false);
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

/* ---- one instance -----------------------------------------------------------------------------
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
    world_event(world, RESOURCE_DB_INSTANCE, instance->id, "deletion", EVENT_INSTANCE_DELETED);
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
        instance_nodes_put(&instance);
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
    instance_followers_link(world);
}
