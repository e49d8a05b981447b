/* What must hold for instances and proxies. */
#include "cli/plan/plan_check_priv.h"

/* ---- versions ---------------------------------------------------------------------------------
 */

/* Only where the tier could be asked what it has. */
static void check_version(const Check *check, const char *engine)
{
    const char *version = check_str(check, "engine_version");
    char resolved[MODEL_VERSION_SIZE];
    bool mapped;
    Err err;
    if (version != NULL && check->facts != NULL && check->facts->versions.len > 0) {
        check_err(check, "engine_version",
                  engine_version_resolve(&check->facts->versions, engine, version, resolved,
                                         &mapped, &err),
                  &err);
    }
}

static void check_class(const Check *check, const char *attribute, const char *prefix)
{
    const char *name = check_str(check, attribute);
    InstanceClass class;
    Err err;
    if (name == NULL) {
        return;
    }
    if (strncmp(name, prefix, strlen(prefix)) != 0) {
        check_error(check, attribute, NULL, "%s: \"%s\" is none of the classes %s…", attribute,
                    name, prefix);
        return;
    }
    check_err(check, attribute, instance_class_find(name, &class, &err), &err);
}

/* ---- instances --------------------------------------------------------------------------------
 */

static bool is_written(const Check *check, const char *attribute)
{
    const TfValue *value = tf_get(check->desired, attribute);
    return value != NULL && value->kind != TF_NULL &&
           !(value->kind == TF_STRING && value->string.len == 0);
}

static bool is_true(const Check *check, const char *attribute)
{
    const TfValue *value = check_value(check, attribute);
    return value != NULL && value->kind == TF_BOOL && value->boolean;
}

static void check_replica(const Check *check)
{
    static const char *const of_source[] = {"username", "password", "db_name", "engine_version",
                                            "kms_key_id"};
    for (size_t i = 0; i < ARRAY_LEN(of_source); i++) {
        if (is_written(check, of_source[i])) {
            check_error(check, of_source[i], "take the line out",
                        "%s of a read replica is that of its source", of_source[i]);
        }
    }
    const TfValue *multi_az = check_value(check, "multi_az");
    if (multi_az != NULL && multi_az->boolean) {
        check_error(check, "multi_az", "take the line out",
                    "a standby for a read replica is not offered yet");
    }
}

static void check_primary(const Check *check)
{
    static const char *const needed[][2] = {{"engine", "engine = \"postgres\""},
                                            {"username", "username = \"…\""},
                                            {"password", "password = var.NAME"}};
    for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
        if (!is_written(check, needed[i][0])) {
            check_error(check, "", arena_printf(check->arena, "add: %s", needed[i][1]),
                        "missing argument \"%s\" in an aws_db_instance without replicate_source_db",
                        needed[i][0]);
        }
    }
    const char *user = check_str(check, "username");
    const char *password = check_str(check, "password");
    const char *database = check_str(check, "db_name");
    Err err;
    check_err(check, "username", user == NULL || master_username_check(slice_of(user), &err), &err);
    check_err(check, "password",
              password == NULL || master_password_check(slice_of(password), &err), &err);
    check_err(check, "db_name",
              database == NULL || database[0] == '\0' || db_name_check(slice_of(database), &err),
              &err);
}

static void check_windows(const Check *check, const char *daily, int minutes_min)
{
    const char *maintenance = check_str(check, "maintenance_window");
    const char *window = check_str(check, daily);
    Err err;
    if (maintenance != NULL) {
        const char *lower = text_lower_new(check->arena, maintenance);
        check_err(check, "maintenance_window", maintenance_window_check(slice_of(lower), &err),
                  &err);
    }
    check_err(check, daily,
              window == NULL || daily_window_check(daily, slice_of(window), minutes_min, &err),
              &err);
}

void check_db_instance(const Check *check)
{
    const char *engine = check_str(check, "engine");
    if (engine != NULL && strcmp(engine, "postgres") != 0) {
        check_error(check, "engine", "write engine = \"postgres\"",
                    "the engine \"%s\" is not one that Weir runs", engine);
    }
    if (is_written(check, "replicate_source_db")) {
        check_replica(check);
    } else {
        check_primary(check);
    }
    check_class(check, "instance_class", "db.");
    check_version(check, "postgres");
    check_windows(check, "backup_window", 30);
}

/* ---- proxies ----------------------------------------------------------------------------------
 */

static void check_password_auth(const Check *check, const char *path, const char *value)
{
    if (value != NULL && strcmp(value, "POSTGRES_SCRAM_SHA_256") != 0 &&
        strcmp(value, "POSTGRES_MD5") != 0) {
        check_error(check, path, "write \"POSTGRES_SCRAM_SHA_256\" or \"POSTGRES_MD5\"",
                    "\"%s\": clients of PostgreSQL prove a password by SCRAM or md5", value);
    }
}

static void check_iam_auth(const Check *check, const char *path, const char *value)
{
    if (value != NULL && strcmp(value, "DISABLED") != 0 && strcmp(value, "REQUIRED") != 0) {
        check_error(check, path, "write \"DISABLED\" or \"REQUIRED\"",
                    "\"%s\": clients of PostgreSQL prove a password, or have a token", value);
    }
}

static void check_word(const Check *check, const char *path, const char *value, const char *only,
                       const char *why)
{
    if (value != NULL && strcmp(value, only) != 0) {
        check_error(check, path, arena_printf(check->arena, "write \"%s\"", only), "\"%s\": %s",
                    value, why);
    }
}

static void check_auth(const Check *check)
{
    for (size_t i = 0; i < check_blocks_len(check, "auth"); i++) {
        const TfValue *auth = check_block(check, "auth", i);
        check_word(check, arena_printf(check->arena, "auth.%zu.auth_scheme", i),
                   member_text(auth, "auth_scheme"), "SECRETS", "there is no other auth_scheme");
        check_iam_auth(check, arena_printf(check->arena, "auth.%zu.iam_auth", i),
                       member_text(auth, "iam_auth"));
        check_password_auth(check,
                            arena_printf(check->arena, "auth.%zu.client_password_auth_type", i),
                            member_text(auth, "client_password_auth_type"));
    }
}

/* The letters of the zones that the subnets are in; says which subnets there are not. */
static size_t check_subnets(const Check *check, const char *attribute)
{
    const TfValue *ids = check_value(check, attribute);
    bool zones[MODEL_SUBNETS] = {false};
    size_t count = 0;
    for (size_t i = 0; ids != NULL && i < ids->list.len; i++) {
        const Subnet *subnet = subnet_find(ids->list.items[i]->string);
        if (subnet == NULL) {
            check_error(check, attribute,
                        arena_printf(check->arena, "there are: %s, %s, %s", model_subnets[0].id,
                                     model_subnets[1].id, model_subnets[2].id),
                        "there is no subnet \"%.*s\"", SLICE_FMT(ids->list.items[i]->string));
            count++;
        } else if (!zones[subnet - model_subnets]) {
            zones[subnet - model_subnets] = true;
            count++;
        }
    }
    return ids != NULL ? count : SIZE_MAX;
}

void check_subnet_group(const Check *check)
{
    size_t zones = check_subnets(check, "subnet_ids");
    size_t least = check->kind == &kind_db_subnet_group ? 2 : 1;
    if (zones < least) {
        check_error(check, "subnet_ids", NULL, "the subnets must be in at least %zu zone%s", least,
                    least > 1 ? "s" : "");
    }
}

static void check_proxy_subnets(const Check *check)
{
    if (check_subnets(check, "vpc_subnet_ids") < 2) {
        check_error(check, "vpc_subnet_ids", NULL, "the subnets must be in at least 2 zones");
    }
}

void check_db_proxy(const Check *check)
{
    check_word(check, "engine_family", check_str(check, "engine_family"), "POSTGRESQL",
               "Weir's proxies speak PostgreSQL");
    check_auth(check);
    check_proxy_subnets(check);
}

void check_db_proxy_endpoint(const Check *check)
{
    const char *role = check_str(check, "target_role");
    if (role != NULL && strcmp(role, "READ_WRITE") != 0 && strcmp(role, "READ_ONLY") != 0) {
        check_error(check, "target_role", "write \"READ_WRITE\" or \"READ_ONLY\"",
                    "\"%s\" is not what an endpoint can be for", role);
    }
    check_proxy_subnets(check);
}

void check_db_proxy_options(const Check *check)
{
    const char *reads = check_str(check, "reads");
    if (reads != NULL && strcmp(reads, "primary") != 0 && strcmp(reads, "split") != 0) {
        check_error(check, "reads", "write \"primary\" or \"split\"",
                    "\"%s\" is not where reads can go", reads);
    }
    if (is_true(check, "keep_listening") && !is_true(check, "shared_listeners")) {
        check_error(check, "keep_listening", "write shared_listeners = true",
                    "only shared listeners can outlive a connection");
    }
}

static void check_pool_number(const Check *check, const TfValue *pool, const char *name,
                              int64_t min, int64_t max)
{
    const TfValue *value = tf_get(pool, name);
    if (value != NULL && value->kind == TF_NUMBER &&
        (value->number.integer < min || value->number.integer > max)) {
        check_error(check, arena_printf(check->arena, "connection_pool_config.0.%s", name), NULL,
                    "%s must be between %lld and %lld", name, (long long)min, (long long)max);
    }
}

static int64_t pool_number(const TfValue *pool, const char *name, int64_t fallback)
{
    const TfValue *value = tf_get(pool, name);
    return value != NULL && value->kind == TF_NUMBER ? value->number.integer : fallback;
}

void check_target_group(const Check *check)
{
    if (check_blocks_len(check, "connection_pool_config") == 0) {
        return;
    }
    const TfValue *pool = check_block(check, "connection_pool_config", 0);
    check_pool_number(check, pool, "max_connections_percent", 1, 100);
    check_pool_number(check, pool, "max_idle_connections_percent", 0, 100);
    check_pool_number(check, pool, "connection_borrow_timeout", 0, 3600);
    if (pool_number(pool, "max_idle_connections_percent", 0) >
        pool_number(pool, "max_connections_percent", 100)) {
        check_error(check, "connection_pool_config.0.max_idle_connections_percent", NULL,
                    "max_idle_connections_percent must not be above max_connections_percent");
    }
}

/* ---- replication groups ------------------------------------------------------------------------
 */

static void check_failover(const Check *check)
{
    const TfValue *nodes = check_value(check, "num_cache_clusters");
    bool single =
        !is_written(check, "num_cache_clusters") || (nodes != NULL && nodes->number.integer < 2);
    if (is_true(check, "automatic_failover_enabled") && single) {
        check_error(check, "automatic_failover_enabled", "write num_cache_clusters = 2, or more",
                    "automatic failover takes at least 2 nodes");
    }
    if (is_true(check, "multi_az_enabled") && !is_true(check, "automatic_failover_enabled")) {
        check_error(check, "multi_az_enabled", "write automatic_failover_enabled = true",
                    "multi_az_enabled takes automatic failover");
    }
}

void check_replication_group(const Check *check)
{
    const char *engine = check_str(check, "engine");
    const char *token = check_str(check, "auth_token");
    Err err;
    if (engine != NULL && strcmp(engine, "redis") != 0) {
        check_error(check, "engine", "write engine = \"redis\"",
                    "the engine \"%s\" is not one that Weir runs", engine);
    }
    check_class(check, "node_type", "cache.");
    if (!is_written(check, "node_type")) {
        check_error(check, "", "add: node_type = \"cache.t4g.micro\"",
                    "missing argument \"node_type\" in aws_elasticache_replication_group");
    }
    check_err(check, "auth_token", token == NULL || auth_token_check(slice_of(token), &err), &err);
    if (is_written(check, "auth_token") && !is_true(check, "transit_encryption_enabled")) {
        check_error(check, "auth_token", "write transit_encryption_enabled = true",
                    "auth_token takes encryption in transit");
    }
    const char *strategy = check_str(check, "auth_token_update_strategy");
    if (strategy != NULL && strcmp(strategy, "ROTATE") != 0 && strcmp(strategy, "SET") != 0) {
        check_error(check, "auth_token_update_strategy", "write \"ROTATE\" or \"SET\"",
                    "\"%s\" is no way to change an auth token", strategy);
    }
    check_failover(check);
    check_version(check, "redis");
    check_windows(check, "snapshot_window", 60);
}
