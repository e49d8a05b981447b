/* One round of control: read everything, decide, write what differs. */
#include "control/control_priv.h"

#define EVENTS_KEPT 10000
#define EVENTS_STEP 100

/* Secrets whose recovery window is over are no more. */
static void purge_secrets(World *world)
{
    WorldKeys keys = world_keys(world, "spec/secret/");
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *secret = world_get(world, keys.items[i]);
        int64_t purge_ms = member_int(secret, "purge_ms", 0);
        char prefix[MODEL_KEY_SIZE];
        if (purge_ms == 0 || purge_ms > world->facts->now_ms ||
            !secret_value_key(member_str(secret, "Name", ""), "", prefix, NULL)) {
            continue;
        }
        WorldKeys values = world_keys(world, prefix);
        for (size_t k = 0; k < values.len; k++) {
            world_delete(world, values.items[k]);
        }
        world_delete(world, keys.items[i]);
    }
}

/* Keeps the newest events: the oldest go, a step at a time. */
bool control_trim_events(Store *store, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange range;
    TRY(store_range(store, SLICE("event/"), (Slice){0}, EVENTS_KEPT + EVENTS_STEP, arena, &range,
                    err));
    for (size_t i = 0; range.len > EVENTS_KEPT && i < range.len - EVENTS_KEPT; i++) {
        TRY(store_remove(store, range.items[i].key, range.items[i].mod_revision, NULL, err));
    }
    return true;
}

bool control_round(Store *store, const ControlFacts *facts, bool *ret_busy, Err *err)
{
    CLEANUP(world_free_ptr) World *world = NULL;
    TRY(world_load(store, facts, &world, err));
    control_instances(world);
    control_endpoints(world);
    control_proxies(world);
    control_replication_groups(world);
    control_hosts(world);
    purge_secrets(world);
    TRY(world_commit(world, store, err));
    *ret_busy = world->busy;
    return true;
}
