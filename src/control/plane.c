/* Goals of data-plane processes: how every resource with an endpoint asks for one. */
#include "control/control_priv.h"

static const char *goal_key(const World *world, const char *plane)
{
    return arena_printf(world->arena, "plane/%s/goal", plane);
}

void plane_put(World *world, const char *plane, const char *kind, ResourceType type, const char *id,
               json_t *config)
{
    json_t *goal = json_pack("{s:s, s:s, s:s, s:o}", "kind", kind, "resource",
                             resource_type_name(type), "identifier", id, "config", config);
    ASSERT(goal != NULL);
    world_put(world, goal_key(world, plane), goal);
}

static const json_t *seen_by(const World *world, const char *plane, const char *host)
{
    return world_getf(world, "plane/%s/seen/%s", plane, host);
}

const json_t *plane_seen(const World *world, const char *plane)
{
    return seen_by(world, plane, world->facts->host);
}

/* Each host's process is in this state by exactly the goal that stands in the store. A host that is
 * away will hear of it. */
static bool plane_is(const World *world, const char *plane, const char *state)
{
    const WorldRecord *goal = map_get(world->records, slice_of(goal_key(world, plane)));
    bool all = goal != NULL && goal->value != NULL && !world_changed(goal);
    for (size_t i = 0; i < world->facts->hosts_len && all; i++) {
        const ControlHost *host = &world->facts->hosts[i];
        const json_t *seen = seen_by(world, plane, host->name);
        all = !host->alive || host_is_removed(world, host->name) ||
              (strcmp(member_str(seen, "state", ""), state) == 0 &&
               member_int(seen, "applied", 0) == goal->revision);
    }
    return all;
}

bool plane_ready(const World *world, const char *plane)
{
    return plane_is(world, plane, "running");
}

bool plane_remove(World *world, const char *plane)
{
    const json_t *old = world_get(world, goal_key(world, plane));
    if (old == NULL) {
        return true;
    }
    if (!member_bool(old, "gone", false)) {
        json_t *goal = json_deep_copy(old);
        json_object_set_new(goal, "gone", json_true());
        world_put(world, goal_key(world, plane), goal);
    }
    if (!plane_is(world, plane, "gone")) {
        return false;
    }
    world_delete(world, goal_key(world, plane));
    WorldKeys seen = world_keys(world, arena_printf(world->arena, "plane/%s/seen/", plane));
    for (size_t i = 0; i < seen.len; i++) {
        world_delete(world, seen.items[i]);
    }
    return true;
}
