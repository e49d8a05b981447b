/*
 * DB proxies: a pool in front of one instance, with the users whose secrets the proxy was given.
 * Secrets stay sealed here; the agent opens them on their way to the process.
 */
#include "control/control_priv.h"

#define BORROW_TIMEOUT_S_DEFAULT 120
#define IDLE_CLIENT_S_DEFAULT    1800

typedef struct Proxy {
    World *world;
    const char *id;
    const char *plane;
    const json_t *spec;
    const json_t *status;
    json_t *next;
    const char *problem; /* why the target cannot serve; NULL */
} Proxy;

/* ---- users -------------------------------------------------------------------------------------
 */

static const json_t *secret_by_arn(World *world, const char *arn)
{
    WorldKeys keys = world_keys(world, "spec/secret/");
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *secret = world_get(world, keys.items[i]);
        if (strcmp(member_str(secret, "ARN", ""), arn) == 0 &&
            json_object_get(secret, "deleted_ms") == NULL) {
            return secret;
        }
    }
    return NULL;
}

static const char *current_version(const json_t *secret)
{
    const char *version;
    json_t *info;
    json_object_foreach (member_object(secret, "versions"), version, info) {
        if (member_has(info, "stages", "AWSCURRENT")) {
            return version;
        }
    }
    return NULL;
}

static void add_user(Proxy *proxy, json_t *users, const json_t *auth)
{
    const json_t *secret = secret_by_arn(proxy->world, member_str(auth, "SecretArn", ""));
    const char *version = secret != NULL ? current_version(secret) : NULL;
    char key[MODEL_KEY_SIZE];
    if (version == NULL || !secret_value_key(member_str(secret, "Name", ""), version, key, NULL)) {
        return;
    }
    const json_t *value = world_get(proxy->world, key);
    if (value == NULL) {
        return;
    }
    json_t *user =
        json_pack("{s:s, s:s}", "$credentials", member_str(value, "sealed", ""), "context", key);
    if (strcmp(member_str(auth, "ClientPasswordAuthType", ""), "POSTGRES_MD5") == 0) {
        json_object_set_new(user, "client_password_auth", json_string("md5"));
    }
    json_array_append_new(users, user);
}

static json_t *users_of(Proxy *proxy)
{
    json_t *users = json_array();
    size_t i;
    json_t *auth;
    json_array_foreach (member_array(proxy->spec, "Auth"), i, auth) {
        add_user(proxy, users, auth);
    }
    if (json_array_size(users) == 0) {
        proxy->problem = "Proxy does not have any registered credentials";
    }
    return users;
}

/* ---- target ------------------------------------------------------------------------------------
 */

static json_t *target_of(Proxy *proxy)
{
    World *world = proxy->world;
    const json_t *registered = json_array_get(member_array(proxy->spec, "targets"), 0);
    const char *dbi = member_str(registered, "dbi", "");
    const char *leader = instance_leader(world, dbi);
    const json_t *goal = world_getf(world, "node/%s/goal", leader);
    if (registered == NULL || instance_spec_of(world, dbi) == NULL || goal == NULL) {
        proxy->problem =
            registered == NULL ? "No target is registered" : "The target does not exist";
        return json_null();
    }
    const char *connections = member_str(member_object(goal, "settings"), "max_connections", "100");
    json_t *target = instance_target_new(world, dbi);
    ASSERT(target != NULL);
    json_object_set_new(target, "max_connections", json_integer(text_int(connections, 100)));
    return target;
}

/* ---- the process -------------------------------------------------------------------------------
 */

static json_t *pool_config(Proxy *proxy)
{
    const json_t *pool =
        member_object(member_object(proxy->spec, "target_group"), "ConnectionPoolConfig");
    int64_t percent = member_int(pool, "MaxConnectionsPercent", 100);
    json_t *config = json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:s}", "users", users_of(proxy), "target", target_of(proxy),
        "max_connections_percent", (json_int_t)percent, "max_idle_connections_percent",
        (json_int_t)member_int(pool, "MaxIdleConnectionsPercent", percent / 2),
        "connection_borrow_timeout_s",
        (json_int_t)member_int(pool, "ConnectionBorrowTimeout", BORROW_TIMEOUT_S_DEFAULT),
        "init_query", member_str(pool, "InitQuery", ""));
    ASSERT(config != NULL);
    return config;
}

static void proxy_plane_put(Proxy *proxy)
{
    const char *host = member_str(proxy->next, "endpoint_host", "");
    json_t *config = json_pack(
        "{s:s, s:[{s:o, s:i, s:[o, s]}], s:b, s:I, s:o, s:b, s:o}", "kind", "pool", "listeners",
        "address", json_sprintf("$net.%s", host), "port", 5432, "$server_cert",
        json_sprintf("$net.%s", host), proxy->id, "require_tls",
        member_bool(proxy->spec, "RequireTLS", false), "idle_client_timeout_s",
        (json_int_t)member_int(proxy->spec, "IdleClientTimeout", IDLE_CLIENT_S_DEFAULT),
        "security_rules",
        security_rules(proxy->world, member_array(proxy->spec, "VpcSecurityGroupIds"), 5432),
        "debug_logging", member_bool(proxy->spec, "DebugLogging", false), "pool",
        pool_config(proxy));
    ASSERT(config != NULL);
    plane_put(proxy->world, proxy->plane, "proxy", RESOURCE_DB_PROXY, proxy->id, config);
}

/* ---- status ------------------------------------------------------------------------------------
 */

static const json_t *target_health(const Proxy *proxy, const char *node)
{
    const json_t *seen = world_getf(proxy->world, "plane/%s/seen", proxy->plane);
    size_t i;
    json_t *target;
    json_array_foreach (member_array(member_object(seen, "status"), "targets"), i, target) {
        if (strcmp(member_str(target, "id", ""), node) == 0) {
            return target;
        }
    }
    return NULL;
}

static json_t *target_status(Proxy *proxy, const char *dbi)
{
    const json_t *health = target_health(proxy, instance_leader(proxy->world, dbi));
    const char *state = member_str(health, "state", "REGISTERING");
    json_t *status = json_pack("{s:s, s:s}", "dbi", dbi, "State",
                               proxy->problem != NULL ? "UNAVAILABLE" : state);
    if (proxy->problem != NULL) {
        json_object_set_new(status, "Reason", json_string("AUTH_FAILURE"));
        json_object_set_new(status, "Description", json_string(proxy->problem));
    } else if (member_str(health, "reason", "")[0] != '\0') {
        json_object_set_new(status, "Reason", json_string(member_str(health, "reason", "")));
        json_object_set_new(status, "Description",
                            json_string(member_str(health, "description", "")));
    }
    return status;
}

static void proxy_status(Proxy *proxy)
{
    json_t *targets = json_array();
    size_t i;
    json_t *target;
    json_array_foreach (member_array(proxy->spec, "targets"), i, target) {
        json_array_append_new(targets, target_status(proxy, member_str(target, "dbi", "")));
    }
    json_object_set_new(proxy->next, "targets", targets);
    const char *before = member_str(proxy->status, "Status", "creating");
    bool ready = plane_ready(proxy->world, proxy->plane);
    const char *word = ready                             ? "available"
                       : strcmp(before, "creating") == 0 ? "creating"
                                                         : "modifying";
    json_object_set_new(proxy->next, "Status", json_string(word));
    if (!ready) {
        proxy->world->busy = true;
    } else if (strcmp(before, "creating") == 0) {
        world_event(proxy->world, RESOURCE_DB_PROXY, proxy->id, "creation", "RDS Proxy created");
    }
    const json_t *seen = world_getf(proxy->world, "plane/%s/seen", proxy->plane);
    if (member_str(seen, "error", "")[0] != '\0') {
        json_object_set_new(proxy->next, "message", json_string(member_str(seen, "error", "")));
    }
}

static void proxy_delete(Proxy *proxy)
{
    World *world = proxy->world;
    json_object_set_new(proxy->next, "Status", json_string("deleting"));
    if (!plane_remove(world, proxy->plane)) {
        world->busy = true;
        return;
    }
    world_delete(world, arena_printf(world->arena, "status/db-proxy/%s", proxy->id));
    world_delete(world, arena_printf(world->arena, "spec/db-proxy/%s", proxy->id));
    json_decref(proxy->next);
    proxy->next = NULL;
    world_event(world, RESOURCE_DB_PROXY, proxy->id, "deletion", "RDS Proxy deleted");
}

static void proxy_control(World *world, const char *id)
{
    const char *status_path = arena_printf(world->arena, "status/db-proxy/%s", id);
    Proxy proxy = {.world = world,
                   .id = id,
                   .plane = arena_printf(world->arena, "proxy-%s", id),
                   .spec = world_getf(world, "spec/db-proxy/%s", id),
                   .status = world_get(world, status_path)};
    proxy.next = proxy.status != NULL ? json_deep_copy(proxy.status) : json_object();
    json_object_set_new(proxy.next, "generation",
                        json_integer(member_int(proxy.spec, "generation", 0)));
    json_object_del(proxy.next, "message");
    if (member_bool(proxy.spec, "deleting", false)) {
        proxy_delete(&proxy);
    } else {
        const char *host = member_str(proxy.next, "endpoint_host", "");
        json_object_set_new(proxy.next, "endpoint_host",
                            json_string(address_for(world, ADDRESS_ENDPOINT, host)));
        proxy_plane_put(&proxy);
        proxy_status(&proxy);
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
