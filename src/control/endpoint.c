/*
 * Further endpoints of DB proxies: a pool each, as its proxy's but at an address, behind security
 * groups and for a role of its own. Control takes away what its proxy leaves behind.
 */
#include "control/pool_priv.h"

static const char spec_prefix[] = "spec/db-proxy-endpoint/";

typedef struct Endpoint {
    Pool pool;
    const char *id;
    const json_t *spec;
    const json_t *status;
    json_t *next;
} Endpoint;

/* ---- what others ask ---------------------------------------------------------------------------
 */

static const char *plane_of(World *world, const char *id)
{
    return arena_printf(world->arena, "endpoint-%s", id);
}

static bool is_reader(const json_t *spec)
{
    return strcmp(member_str(spec, "TargetRole", ""), "READ_ONLY") == 0;
}

static bool is_of(const json_t *spec, const char *proxy_id)
{
    return strcmp(member_str(spec, "DBProxyName", ""), proxy_id) == 0;
}

size_t proxy_endpoints_count(const World *world, const char *proxy_id, const char *role)
{
    size_t count = 0;
    WorldKeys keys = world_keys(world, spec_prefix);
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *spec = world_get(world, keys.items[i]);
        count += is_of(spec, proxy_id) &&
                 (role == NULL || strcmp(member_str(spec, "TargetRole", ""), role) == 0);
    }
    return count;
}

const char *proxy_reader_plane(World *world, const char *proxy_id)
{
    WorldKeys keys = world_keys(world, spec_prefix);
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *spec = world_get(world, keys.items[i]);
        if (is_of(spec, proxy_id) && is_reader(spec) && !member_bool(spec, "deleting", false)) {
            return plane_of(world, keys.items[i] + sizeof(spec_prefix) - 1);
        }
    }
    return NULL;
}

/* ---- one endpoint ------------------------------------------------------------------------------
 */

static void tell(const Endpoint *endpoint, const char *category, const char *what)
{
    World *world = endpoint->pool.world;
    const char *proxy = endpoint->pool.proxy_id;
    world_event(world, RESOURCE_DB_PROXY, proxy, category,
                arena_printf(world->arena, "%s%s for DB proxy %s.", what, endpoint->id, proxy));
}

static void endpoint_delete(Endpoint *endpoint)
{
    World *world = endpoint->pool.world;
    json_object_set_new(endpoint->next, "Status", json_string("deleting"));
    if (!plane_remove(world, endpoint->pool.plane)) {
        world->busy = true;
        return;
    }
    world_delete(world, arena_printf(world->arena, "status/db-proxy-endpoint/%s", endpoint->id));
    world_delete(world, arena_printf(world->arena, "%s%s", spec_prefix, endpoint->id));
    json_decref(endpoint->next);
    endpoint->next = NULL;
    tell(endpoint, "deletion", EVENT_ENDPOINT_DELETED);
}

static void endpoint_serve(Endpoint *endpoint)
{
    const PoolFace face = {RESOURCE_DB_PROXY_ENDPOINT, endpoint->id,
                           pool_host(&endpoint->pool, endpoint->next),
                           member_array(endpoint->spec, "VpcSecurityGroupIds")};
    pool_plane_put(&endpoint->pool, &face);
    if (endpoint->pool.problem != NULL) {
        json_object_set_new(endpoint->next, "message", json_string(endpoint->pool.problem));
    }
    if (pool_status(&endpoint->pool, endpoint->status, endpoint->next)) {
        tell(endpoint, "creation", EVENT_ENDPOINT_CREATED);
    }
}

static void endpoint_control(World *world, const char *id)
{
    const char *status_path = arena_printf(world->arena, "status/db-proxy-endpoint/%s", id);
    const json_t *spec = world_getf(world, "spec/db-proxy-endpoint/%s", id);
    const char *proxy_id = member_str(spec, "DBProxyName", "");
    Endpoint endpoint = {.pool = {.world = world,
                                  .proxy_id = proxy_id,
                                  .proxy = world_getf(world, "spec/db-proxy/%s", proxy_id),
                                  .plane = plane_of(world, id),
                                  .read_only = is_reader(spec)},
                         .id = id,
                         .spec = spec,
                         .status = world_get(world, status_path)};
    endpoint.next = endpoint.status != NULL ? json_deep_copy(endpoint.status) : json_object();
    json_object_set_new(endpoint.next, "generation",
                        json_integer(member_int(spec, "generation", 0)));
    json_object_del(endpoint.next, "message");
    if (member_bool(spec, "deleting", false) || endpoint.pool.proxy == NULL) {
        endpoint_delete(&endpoint);
    } else {
        endpoint_serve(&endpoint);
    }
    if (endpoint.next != NULL) {
        world_put(world, status_path, endpoint.next);
    }
}

void control_endpoints(World *world)
{
    WorldKeys keys = world_keys(world, spec_prefix);
    for (size_t i = 0; i < keys.len; i++) {
        endpoint_control(world, keys.items[i] + sizeof(spec_prefix) - 1);
    }
}
