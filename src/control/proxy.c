/*
 * DB proxies: a pool in front of one instance. Where a proxy has a READ_ONLY endpoint, or sends
 * reads to replicas, the read replicas of that instance are its targets, too, as they come and go.
 */
#include "control/pool_priv.h"

typedef struct Proxy {
    Pool pool;
    const char *id;
    const json_t *status;
    json_t *next;
} Proxy;

/* ---- replicas as targets -----------------------------------------------------------------------
 */

static bool has_target(const json_t *status, const char *dbi)
{
    size_t i;
    json_t *target;
    json_array_foreach (member_array(status, "targets"), i, target) {
        if (strcmp(member_str(target, "dbi", ""), dbi) == 0) {
            return true;
        }
    }
    return false;
}

static void replica_event(const Proxy *proxy, bool came, const json_t *target)
{
    World *world = proxy->pool.world;
    world_event(world, RESOURCE_DB_PROXY, proxy->id, "configuration change",
                arena_printf(world->arena,
                             "%sthe DB instance %s and automatically %s the target group of the "
                             "DB proxy %s.",
                             came ? EVENT_TARGET_ADDED : EVENT_TARGET_REMOVED,
                             member_str(target, "RdsResourceId", ""),
                             came ? "added it to" : "removed it from", proxy->id));
}

/* What was there in `from` and is not in `to`. */
static void replica_events(const Proxy *proxy, bool came, const json_t *from, const json_t *to)
{
    size_t i;
    json_t *target;
    json_array_foreach (member_array(from, "targets"), i, target) {
        if (member_str(target, "role", NULL) != NULL &&
            !has_target(to, member_str(target, "dbi", ""))) {
            replica_event(proxy, came, target);
        }
    }
}

/* As it finds them itself where it splits reads, else as the first of its READ_ONLY endpoints does.
 */
static void add_replicas(const Proxy *proxy, json_t *targets)
{
    World *world = proxy->pool.world;
    bool split = proxy_splits_reads(world, proxy->id);
    Pool reader = {.world = world,
                   .plane = split ? proxy->pool.plane : proxy_reader_plane(world, proxy->id)};
    if (reader.plane == NULL) {
        return;
    }
    ReplicaList list = instance_replicas(world, proxy_target(proxy->pool.proxy));
    for (size_t i = 0; i < list.len; i++) {
        json_t *target =
            pool_target_status_new(&reader, member_str(list.items[i], "DbiResourceId", ""));
        json_object_set_new(target, "role", json_string("READ_ONLY"));
        json_object_set(target, "RdsResourceId",
                        json_object_get(list.items[i], "DBInstanceIdentifier"));
        json_array_append_new(targets, target);
    }
}

/* ---- one proxy ---------------------------------------------------------------------------------
 */

static void proxy_status(Proxy *proxy)
{
    json_t *targets = json_array();
    size_t i;
    json_t *target;
    json_array_foreach (member_array(proxy->pool.proxy, "targets"), i, target) {
        json_array_append_new(targets,
                              pool_target_status_new(&proxy->pool, member_str(target, "dbi", "")));
    }
    add_replicas(proxy, targets);
    json_object_set_new(proxy->next, "targets", targets);
    replica_events(proxy, false, proxy->status, proxy->next);
    replica_events(proxy, true, proxy->next, proxy->status);
    if (pool_status(&proxy->pool, proxy->status, proxy->next)) {
        world_event(proxy->pool.world, RESOURCE_DB_PROXY, proxy->id, "creation",
                    arena_printf(proxy->pool.world->arena, EVENT_PROXY_CREATED "%s.", proxy->id));
    }
}

static void proxy_delete(Proxy *proxy)
{
    World *world = proxy->pool.world;
    json_object_set_new(proxy->next, "Status", json_string("deleting"));
    bool alone = proxy_endpoints_count(world, proxy->id, NULL) == 0;
    if (!plane_remove(world, proxy->pool.plane) || !alone) {
        world->busy = true;
        return;
    }
    world_delete(world, arena_printf(world->arena, "status/db-proxy/%s", proxy->id));
    world_delete(world, arena_printf(world->arena, "spec/db-proxy-options/%s", proxy->id));
    world_delete(world, arena_printf(world->arena, "spec/db-proxy/%s", proxy->id));
    json_decref(proxy->next);
    proxy->next = NULL;
    world_event(world, RESOURCE_DB_PROXY, proxy->id, "deletion",
                arena_printf(world->arena, EVENT_PROXY_DELETED "%s.", proxy->id));
}

static void proxy_serve(Proxy *proxy)
{
    const PoolFace face = {RESOURCE_DB_PROXY, proxy->id, pool_host(&proxy->pool, proxy->next),
                           member_array(proxy->pool.proxy, "VpcSecurityGroupIds")};
    pool_plane_put(&proxy->pool, &face);
    proxy_status(proxy);
}

static void proxy_control(World *world, const char *id)
{
    const char *status_path = arena_printf(world->arena, "status/db-proxy/%s", id);
    Proxy proxy = {.pool = {.world = world,
                            .proxy_id = id,
                            .proxy = world_getf(world, "spec/db-proxy/%s", id),
                            .plane = arena_printf(world->arena, "proxy-%s", id)},
                   .id = id,
                   .status = world_get(world, status_path)};
    proxy.next = proxy.status != NULL ? json_deep_copy(proxy.status) : json_object();
    json_object_set_new(proxy.next, "generation",
                        json_integer(member_int(proxy.pool.proxy, "generation", 0)));
    json_object_del(proxy.next, "message");
    if (member_bool(proxy.pool.proxy, "deleting", false)) {
        proxy_delete(&proxy);
    } else {
        proxy_serve(&proxy);
    }
    if (proxy.next != NULL) {
        world_put(world, status_path, proxy.next);
    }
}

void control_proxies(World *world)
{
    static const char prefix[] = "spec/db-proxy/";
    WorldKeys keys = world_keys(world, prefix);
    for (size_t i = 0; i < keys.len; i++) {
        proxy_control(world, keys.items[i] + sizeof(prefix) - 1);
    }
}
