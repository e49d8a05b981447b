/* See pool_priv.h. Secrets stay sealed here; the agent opens them on their way to the process. */
#include "control/pool_priv.h"

#define BORROW_TIMEOUT_S_DEFAULT   120
#define IDLE_CLIENT_S_DEFAULT      1800
#define POOL_PORT                  5432
#define SUPERUSER_RESERVED_DEFAULT 3 /* superuser_reserved_connections */

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

static bool wants_iam(const json_t *auth)
{
    return strcmp(member_str(auth, "IAMAuth", ""), "REQUIRED") == 0;
}

static void add_user(Pool *pool, json_t *users, const json_t *auth)
{
    const json_t *secret = secret_by_arn(pool->world, member_str(auth, "SecretArn", ""));
    const char *version = secret != NULL ? current_version(secret) : NULL;
    char key[MODEL_KEY_SIZE];
    if (version == NULL || !secret_value_key(member_str(secret, "Name", ""), version, key, NULL)) {
        return;
    }
    const json_t *value = world_get(pool->world, key);
    if (value == NULL) {
        return;
    }
    json_t *user =
        json_pack("{s:s, s:s}", "$credentials", member_str(value, "sealed", ""), "context", key);
    if (wants_iam(auth)) {
        json_object_set_new(user, "auth", json_string("iam"));
    } else if (strcmp(member_str(auth, "ClientPasswordAuthType", ""), "POSTGRES_MD5") == 0) {
        json_object_set_new(user, "client_password_auth", json_string("md5"));
    }
    json_array_append_new(users, user);
}

static json_t *users_of(Pool *pool)
{
    json_t *users = json_array();
    size_t i;
    json_t *auth;
    json_array_foreach (member_array(pool->proxy, "Auth"), i, auth) {
        add_user(pool, users, auth);
    }
    if (json_array_size(users) == 0) {
        pool->problem = "Proxy does not have any registered credentials";
    }
    return users;
}

/* Whose tokens count: those of the tier's access key, for the endpoint. NULL: nobody needs one, and
 * then the process does not get the key. */
static json_t *iam_of(const Pool *pool, const PoolFace *face)
{
    bool any = false;
    size_t i;
    json_t *auth;
    json_array_foreach (member_array(pool->proxy, "Auth"), i, auth) {
        any = any || wants_iam(auth);
    }
    const json_t *key = world_get(pool->world, "accesskey");
    if (!any || key == NULL) {
        return NULL;
    }
    const char *region = member_str(world_get(pool->world, "tier"), "region", "");
    json_t *iam = json_pack("{s:s, s:[o, s], s:[{s:s, s:{s:s, s:s}}]}", "region", region, "hosts",
                            json_sprintf("$net.%s", face->host), face->id, "keys", "access_key_id",
                            member_str(key, "id", ""), "secret_access_key", "$sealed",
                            member_str(key, "secret", ""), "context", "accesskey");
    ASSERT(iam != NULL);
    return iam;
}

/* Whoever is master of the instance may look at what its clients do there as well. */
static json_t *admins_of(const Pool *pool)
{
    const json_t *instance = instance_spec_of(pool->world, proxy_target(pool->proxy));
    const char *master = member_str(instance, "MasterUsername", "");
    return master[0] != '\0' ? json_pack("[s]", master) : json_array();
}

/* ---- targets -----------------------------------------------------------------------------------
 */

const char *proxy_target(const json_t *proxy)
{
    return member_str(json_array_get(member_array(proxy, "targets"), 0), "dbi", "");
}

ReplicaList instance_replicas(World *world, const char *dbi)
{
    WorldKeys keys = world_keys(world, "spec/db-instance/");
    ReplicaList list = {.items = ARENA_ARRAY(world->arena, const json_t *, keys.len + 1)};
    for (size_t i = 0; i < keys.len; i++) {
        const json_t *spec = world_get(world, keys.items[i]);
        if (dbi[0] != '\0' && strcmp(member_str(spec, "source", ""), dbi) == 0 &&
            !member_bool(spec, "deleting", false)) {
            list.items[list.len++] = spec;
        }
    }
    return list;
}

static const json_t *options_of(const World *world, const char *proxy_id)
{
    return world_getf(world, "spec/db-proxy-options/%s", proxy_id);
}

bool proxy_splits_reads(const World *world, const char *proxy_id)
{
    return strcmp(member_str(options_of(world, proxy_id), "Reads", ""), "split") == 0;
}

/* How many planes of the proxy lead to the writer, or to the replicas; each host has a process of
 * each. */
static int64_t planes_to(const Pool *pool, bool of_replicas)
{
    const World *world = pool->world;
    size_t readers = proxy_endpoints_count(world, pool->proxy_id, "READ_ONLY");
    size_t writers = proxy_endpoints_count(world, pool->proxy_id, "READ_WRITE") + 1; /* its own */
    bool split = proxy_splits_reads(world, pool->proxy_id);
    return (int64_t)(!of_replicas ? writers : readers + (split ? writers : 0));
}

/* An engine as a target; json_null: it is not there. What the proxy may have of its connections is
 * divided evenly, for its processes know nothing of one another. */
static json_t *target_new(const Pool *pool, const char *dbi, bool is_replica)
{
    World *world = pool->world;
    const char *node = instance_leader(world, dbi);
    const json_t *goal = world_getf(world, "node/%s/goal", node);
    if (goal == NULL) {
        return json_null();
    }
    int64_t most =
        text_int(member_str(member_object(goal, "settings"), "max_connections", "100"), 100);
    /* A pulse for each of those that lead to who takes writes, and for the instance's own endpoint;
     * on several hosts a second one for when the first is late. */
    int64_t hosts = (int64_t)world->facts->hosts_len;
    int64_t asking = (planes_to(pool, false) + 1) * hosts * (hosts > 1 ? 2 : 1);
    int64_t pulses = instance_is_synchronous(world, dbi) ? asking : 0;
    int64_t reserved =
        text_int(member_str(member_object(goal, "settings"), "superuser_reserved_connections", ""),
                 SUPERUSER_RESERVED_DEFAULT);
    int64_t share = (most - reserved - pulses) / (planes_to(pool, is_replica) * hosts);
    json_t *target = instance_target_new(world, dbi);
    ASSERT(target != NULL);
    json_object_set_new(target, "max_connections", json_integer(share > 0 ? share : 1));
    return target;
}

static json_t *writer_of(Pool *pool)
{
    const char *dbi = proxy_target(pool->proxy);
    bool there = instance_spec_of(pool->world, dbi) != NULL;
    json_t *target = there ? target_new(pool, dbi, false) : json_null();
    if (json_is_null(target)) {
        pool->problem = dbi[0] == '\0' ? "No target is registered" : "The target does not exist";
    }
    return target;
}

static json_t *replicas_of(Pool *pool)
{
    const char *dbi = proxy_target(pool->proxy);
    ReplicaList list = instance_replicas(pool->world, dbi);
    json_t *replicas = json_array();
    for (size_t i = 0; i < list.len; i++) {
        json_t *target = target_new(pool, member_str(list.items[i], "DbiResourceId", ""), true);
        if (!json_is_null(target)) {
            json_array_append_new(replicas, target);
        }
    }
    return replicas;
}

/* Where replicas alone serve. */
static const char *replicas_problem(const Pool *pool, const json_t *replicas)
{
    const char *dbi = proxy_target(pool->proxy);
    if (dbi[0] == '\0') {
        return "No target is registered";
    }
    if (json_array_size(replicas) > 0) {
        return pool->problem;
    }
    const json_t *instance = instance_spec_of(pool->world, dbi);
    return arena_printf(pool->world->arena,
                        "%s has no read replica yet: nobody can be served here until there is one",
                        member_str(instance, "DBInstanceIdentifier", "The target"));
}

static void add_targets(Pool *pool, json_t *config)
{
    bool split = !pool->read_only && proxy_splits_reads(pool->world, pool->proxy_id);
    json_object_set_new(config, "target", pool->read_only ? json_null() : writer_of(pool));
    if (pool->read_only || split) {
        json_object_set_new(config, "replicas", replicas_of(pool));
        json_object_set_new(config, "reads", json_string(split ? "split" : "replicas"));
    }
    if (pool->read_only) {
        pool->problem = replicas_problem(pool, json_object_get(config, "replicas"));
    }
}

/* What AWS has no word for; where the user has said nothing, the process has its defaults. */
static void add_options(const Pool *pool, json_t *config)
{
    static const char *const members[][2] = {{"MaxReplicaLagMs", "max_replica_lag_ms"},
                                             {"SharedConnections", "shared_connections"},
                                             {"SharedListeners", "shared_listeners"},
                                             {"KeepListening", "keep_listening"}};
    const json_t *options = options_of(pool->world, pool->proxy_id);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        json_t *value = json_object_get(options, members[i][0]);
        if (value != NULL) {
            json_object_set(config, members[i][1], value);
        }
    }
}

/* ---- the process -------------------------------------------------------------------------------
 */

static json_t *pool_config_new(Pool *pool, const PoolFace *face)
{
    const json_t *limits =
        member_object(member_object(pool->proxy, "target_group"), "ConnectionPoolConfig");
    int64_t percent = member_int(limits, "MaxConnectionsPercent", 100);
    json_t *config = json_pack(
        "{s:o, s:I, s:I, s:I, s:s}", "admin_users", admins_of(pool), "max_connections_percent",
        (json_int_t)percent, "max_idle_connections_percent",
        (json_int_t)member_int(limits, "MaxIdleConnectionsPercent", percent / 2),
        "connection_borrow_timeout_s",
        (json_int_t)member_int(limits, "ConnectionBorrowTimeout", BORROW_TIMEOUT_S_DEFAULT),
        "init_query", member_str(limits, "InitQuery", ""));
    ASSERT(config != NULL);
    add_targets(pool, config);
    add_options(pool, config);
    json_object_set_new(config, "resend_reads", json_true());
    json_object_set_new(config, "users", users_of(pool));
    json_t *iam = iam_of(pool, face);
    if (iam != NULL) {
        json_object_set_new(config, "iam", iam);
    }
    return config;
}

const char *pool_host(const Pool *pool, json_t *next)
{
    if (json_object_get(next, "endpoint_host") == NULL) {
        json_object_set_new(next, "endpoint_host",
                            json_string(address_for(pool->world, ADDRESS_ENDPOINT, "")));
    }
    return member_str(next, "endpoint_host", "");
}

void pool_plane_put(Pool *pool, const PoolFace *face)
{
    json_t *config = json_pack(
        "{s:s, s:[{s:o, s:i, s:[o, s]}], s:b, s:I, s:o, s:b, s:o}", "kind", "pool", "listeners",
        "address", json_sprintf("$net.%s", face->host), "port", POOL_PORT, "$server_cert",
        json_sprintf("$net.%s", face->host), face->id, "require_tls",
        member_bool(pool->proxy, "RequireTLS", false), "idle_client_timeout_s",
        (json_int_t)member_int(pool->proxy, "IdleClientTimeout", IDLE_CLIENT_S_DEFAULT),
        "security_rules", security_rules(pool->world, face->group_ids, POOL_PORT), "debug_logging",
        member_bool(pool->proxy, "DebugLogging", false), "pool", pool_config_new(pool, face));
    ASSERT(config != NULL);
    plane_put(pool->world, pool->plane, "proxy", face->type, face->id, config);
}

/* ---- what became of it -------------------------------------------------------------------------
 */

static const json_t *target_health(const Pool *pool, const char *node)
{
    size_t i;
    json_t *target;
    json_array_foreach (
        member_array(member_object(plane_seen(pool->world, pool->plane), "status"), "targets"), i,
        target) {
        if (strcmp(member_str(target, "id", ""), node) == 0) {
            return target;
        }
    }
    return NULL;
}

json_t *pool_target_status_new(const Pool *pool, const char *dbi)
{
    const json_t *health = target_health(pool, instance_leader(pool->world, dbi));
    const char *state = member_str(health, "state", "REGISTERING");
    json_t *status =
        json_pack("{s:s, s:s}", "dbi", dbi, "State", pool->problem != NULL ? "UNAVAILABLE" : state);
    if (pool->problem != NULL) {
        json_object_set_new(status, "Reason", json_string("AUTH_FAILURE"));
        json_object_set_new(status, "Description", json_string(pool->problem));
    } else if (member_str(health, "reason", "")[0] != '\0') {
        json_object_set_new(status, "Reason", json_string(member_str(health, "reason", "")));
        json_object_set_new(status, "Description",
                            json_string(member_str(health, "description", "")));
    }
    return status;
}

bool pool_status(const Pool *pool, const json_t *status, json_t *next)
{
    const char *before = member_str(status, "Status", "creating");
    bool creating = strcmp(before, "creating") == 0;
    bool ready = plane_ready(pool->world, pool->plane);
    const char *word = ready ? "available" : creating ? "creating" : "modifying";
    json_object_set_new(next, "Status", json_string(word));
    pool->world->busy = pool->world->busy || !ready;
    const char *error = member_str(plane_seen(pool->world, pool->plane), "error", "");
    if (error[0] != '\0') {
        json_object_set_new(next, "message", json_string(error));
    }
    return ready && creating;
}
