/* What the process is, what it was told, and whom it serves: from the configuration and the meters.
 * Secrets are never shown. */
#include <stdlib.h>

#include "proxy/admin/admin_priv.h"
#include "proxy/client/client_priv.h"
#include "proxy/meter/metrics_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_priv.h"

/* ---- small ones --------------------------------------------------------------------------------
 */

static void show_version(const ProxyWorker *worker, AdminRows *rows)
{
    (void)worker;
    if (admin_row_begin(rows)) {
        admin_put_text(rows, "weir " WEIR_VERSION);
        admin_row_end(rows);
    }
}

static void put_pair(AdminRows *rows, const char *key, const char *value)
{
    if (admin_row_begin(rows)) {
        admin_put_text(rows, key);
        admin_put_text(rows, value);
        admin_row_end(rows);
    }
}

/* The primary is `target`, a replica `replica.ID`. */
static void put_target_state(const ProxyWorker *worker, size_t number, AdminRows *rows)
{
    static const char *const states[] = {"REGISTERING", "AVAILABLE", "UNAVAILABLE"};
    ProxyTargetState *target = &worker->proxy->targets[number];
    pthread_mutex_lock(&target->health.lock);
    TargetState state = target->health.state;
    const char *reason = target->health.reason;
    pthread_mutex_unlock(&target->health.lock);
    CLEANUP(mem_free_ptr)
    char *name = number == PROXY_TARGET_PRIMARY
                     ? mem_strdup("target")
                     : mem_printf("replica.%s", proxy_config_target(worker->config, number)->id);
    CLEANUP(mem_free_ptr) char *reason_name = mem_printf("%s_reason", name);
    put_pair(rows, name, states[state]);
    put_pair(rows, reason_name, reason);
    if (number != PROXY_TARGET_PRIMARY) {
        CLEANUP(mem_free_ptr) char *lag_name = mem_printf("%s_lag_ms", name);
        int64_t lag_ms = atomic_load(&target->standing.lag_ms);
        CLEANUP(mem_free_ptr) char *lag = mem_printf("%lld", (long long)lag_ms);
        put_pair(rows, lag_name, lag_ms >= 0 ? lag : NULL);
    }
}

static void show_state(const ProxyWorker *worker, AdminRows *rows)
{
    put_pair(rows, "active", worker->draining ? "no" : "yes");
    put_pair(rows, "paused", "no");
    put_pair(rows, "suspended", "no");
    if (worker->config->reads != READS_REPLICAS) {
        put_target_state(worker, PROXY_TARGET_PRIMARY, rows);
    }
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_uses(worker->config, i)) {
            put_target_state(worker, i, rows);
        }
    }
}

/* ---- targets -----------------------------------------------------------------------------------
 */

static uint64_t borrows_of(const Proxy *proxy, size_t number)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        sum += atomic_load_explicit(&proxy->workers[i].shown[number].borrows, memory_order_relaxed);
    }
    return sum;
}

/* As a causal token has it (session/causal_priv.h). */
static void put_place(const ProxyStanding *standing, AdminRows *rows)
{
    const CausalToken place = {.system = atomic_load(&standing->system),
                               .position = atomic_load(&standing->position),
                               .timeline = (uint32_t)atomic_load(&standing->timeline)};
    char text[CAUSAL_TOKEN_LEN + 1];
    if (place.system == 0 || place.position == 0) {
        admin_put_null(rows);
        return;
    }
    causal_token_format(&place, text);
    admin_put_text(rows, text);
}

static void put_target_row(const ProxyWorker *worker, size_t number, AdminRows *rows)
{
    static const char *const states[] = {"REGISTERING", "AVAILABLE", "UNAVAILABLE"};
    ProxyTargetState *target = &worker->proxy->targets[number];
    int64_t lag_ms = atomic_load(&target->standing.lag_ms);
    if (!admin_row_begin(rows)) {
        return;
    }
    admin_put_text(rows, proxy_config_target(worker->config, number)->id);
    admin_put_text(rows, number == PROXY_TARGET_PRIMARY ? "READ_WRITE" : "READ_ONLY");
    pthread_mutex_lock(&target->health.lock);
    admin_put_text(rows, states[target->health.state]);
    admin_put_text(rows, target->health.reason != NULL ? target->health.reason : "");
    admin_put_text(rows, target->health.description);
    pthread_mutex_unlock(&target->health.lock);
    if (number == PROXY_TARGET_PRIMARY || lag_ms < 0) {
        admin_put_null(rows);
    } else {
        admin_put_int(rows, lag_ms);
    }
    admin_put_int(rows, atomic_load(&target->budget.open));
    admin_put_int(rows, atomic_load(&target->budget.max));
    admin_put_int(rows, (int64_t)borrows_of(worker->proxy, number));
    if (number == PROXY_TARGET_PRIMARY && worker->config->target.synchronous) {
        admin_put_int(rows, proxy_pulse_right_us(&worker->proxy->pulse) / US_PER_MS);
    } else {
        admin_put_null(rows);
    }
    put_place(&target->standing, rows);
    admin_row_end(rows);
}

static void show_targets(const ProxyWorker *worker, AdminRows *rows)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_uses(worker->config, i)) {
            put_target_row(worker, i, rows);
        }
    }
}

/* ---- counts ------------------------------------------------------------------------------------
 */

static void put_count(AdminRows *rows, const char *name, uint64_t count)
{
    if (admin_row_begin(rows)) {
        admin_put_text(rows, name);
        admin_put_int(rows, (int64_t)count);
        admin_row_end(rows);
    }
}

static size_t name_count(const ProxyWorker *worker, bool by_user, bool by_database)
{
    size_t count;
    mem_free(proxy_metrics_names(worker->proxy, by_user, by_database, &count));
    return count;
}

/* Who is neither in a pool nor here is logging in. */
static uint64_t login_count(const ProxyWorker *worker)
{
    uint64_t nobody = 0;
    uint64_t admins = 0;
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        const ProxyMeter *meter = worker->proxy->workers[i].meters.items[0];
        nobody += proxy_meter_get(meter, STAT_CLIENTS);
        admins += proxy_meter_get(meter, STAT_ADMINS);
    }
    return nobody > admins ? nobody - admins : 0;
}

static void show_lists(const ProxyWorker *worker, AdminRows *rows)
{
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    proxy_metrics_collect(worker->proxy, sum);
    put_count(rows, "databases", name_count(worker, false, true));
    put_count(rows, "users", worker->config->user_count);
    put_count(rows, "pools", name_count(worker, true, true));
    put_count(rows, "free_clients", 0);
    put_count(rows, "used_clients", sum->stats[STAT_CLIENTS]);
    put_count(rows, "login_clients", login_count(worker));
    put_count(rows, "free_servers", 0);
    put_count(rows, "used_servers", sum->stats[STAT_SERVERS]);
    put_count(rows, "dns_names", 0);
    put_count(rows, "dns_zones", 0);
    put_count(rows, "dns_queries", 0);
    put_count(rows, "dns_pending", 0);
    mem_free(sum);
}

static void put_memory(AdminRows *rows, const char *name, size_t size, uint64_t used)
{
    if (admin_row_begin(rows)) {
        admin_put_text(rows, name);
        admin_put_int(rows, (int64_t)size);
        admin_put_int(rows, (int64_t)used);
        admin_put_int(rows, 0);
        admin_put_int(rows, (int64_t)(size * used));
        admin_row_end(rows);
    }
}

/* Of the structs themselves; buffers are there only while bytes are under way. */
static void show_mem(const ProxyWorker *worker, AdminRows *rows)
{
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    size_t meters = 0;
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        meters += proxy_meters_count(&worker->proxy->workers[i].meters);
    }
    proxy_metrics_collect(worker->proxy, sum);
    put_memory(rows, "client", sizeof(ProxyClient), sum->stats[STAT_CLIENTS]);
    put_memory(rows, "server", sizeof(ProxyServer), sum->stats[STAT_SERVERS]);
    put_memory(rows, "meter", sizeof(ProxyMeter), meters);
    mem_free(sum);
}

/* ---- databases and users -----------------------------------------------------------------------
 */

/* Of all targets that are used, the primary first. */
static void put_hosts(const ProxyConfig *config, AdminRows *rows)
{
    Buf list;
    buf_init(&list, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        const ProxyTarget *target = proxy_config_target(config, i);
        if (proxy_config_uses(config, i)) {
            buf_printf(&list, "%s%s", list.len > 0 ? "," : "",
                       target->host != NULL ? target->host : target->socket_dir);
        }
    }
    admin_put_text(rows, buf_str(&list));
    buf_done(&list);
}

static void put_database(const ProxyWorker *worker, const char *name, const MeterSum *sum,
                         AdminRows *rows)
{
    const ProxyConfig *config = worker->config;
    const ProxyTarget *target = &config->target;
    uint32_t servers_max = proxy_config_servers_max(config);
    if (!admin_row_begin(rows)) {
        return;
    }
    admin_put_text(rows, name);
    put_hosts(config, rows);
    admin_put_int(rows, target->port);
    admin_put_text(rows, name);
    admin_put_null(rows); /* force_user */
    admin_put_int(rows, servers_max);
    admin_put_int(rows, 0); /* min_pool_size */
    admin_put_int(rows, 0); /* reserve_pool_size */
    admin_put_int(rows, PROXY_SERVER_AGE_MS / MS_PER_S);
    admin_put_text(rows, "transaction");
    admin_put_null(rows); /* load_balance_hosts */
    admin_put_int(rows, servers_max);
    admin_put_int(rows, (int64_t)sum->stats[STAT_SERVERS]);
    admin_put_int(rows, config->clients_max);
    admin_put_int(rows, (int64_t)sum->stats[STAT_CLIENTS]);
    admin_put_int(rows, 0); /* paused */
    admin_put_int(rows, 0); /* disabled */
    admin_row_end(rows);
}

static void show_databases(const ProxyWorker *worker, AdminRows *rows)
{
    size_t count;
    MeterName *names = proxy_metrics_names(worker->proxy, false, true, &count);
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    for (size_t i = 0; i < count; i++) {
        *sum = (MeterSum){0};
        proxy_metrics_collect_named(worker->proxy, &names[i], sum);
        put_database(worker, names[i].database, sum, rows);
    }
    mem_free(sum);
    mem_free(names);
}

static void put_user(const ProxyWorker *worker, const char *name, AdminRows *rows)
{
    MeterSum *sum = mem_alloc(sizeof(MeterSum));
    MeterName look = {.user = name, .by_user = true};
    proxy_metrics_collect_named(worker->proxy, &look, sum);
    if (admin_row_begin(rows)) {
        admin_put_text(rows, name);
        admin_put_null(rows); /* pool_size */
        admin_put_null(rows); /* reserve_pool_size */
        admin_put_text(rows, "transaction");
        admin_put_int(rows, proxy_config_servers_max(worker->config));
        admin_put_int(rows, (int64_t)sum->stats[STAT_SERVERS]);
        admin_put_int(rows, worker->config->clients_max);
        admin_put_int(rows, (int64_t)sum->stats[STAT_CLIENTS]);
        admin_row_end(rows);
    }
    mem_free(sum);
}

/* Those of the configuration, and who has been here besides. */
static void show_users(const ProxyWorker *worker, AdminRows *rows)
{
    const ProxyConfig *config = worker->config;
    size_t count;
    MeterName *names = proxy_metrics_names(worker->proxy, true, false, &count);
    for (size_t i = 0; i < config->user_count; i++) {
        put_user(worker, config->users[i].name, rows);
    }
    for (size_t i = 0; i < count; i++) {
        if (proxy_config_user(config, slice_of(names[i].user)) == NULL) {
            put_user(worker, names[i].user, rows);
        }
    }
    mem_free(names);
}

/* ---- configuration -----------------------------------------------------------------------------
 */

static void put_setting(AdminRows *rows, const char *key, const char *value, const char *standard,
                        bool changeable)
{
    if (admin_row_begin(rows)) {
        admin_put_text(rows, key);
        admin_put_text(rows, value);
        admin_put_text(rows, standard);
        admin_put_text(rows, changeable ? "yes" : "no");
        admin_row_end(rows);
    }
}

static void put_number(AdminRows *rows, const char *key, int64_t value, const char *standard,
                       bool changeable)
{
    CLEANUP(mem_free_ptr) char *text = mem_printf("%lld", (long long)value);
    put_setting(rows, key, text, standard, changeable);
}

static void put_names(AdminRows *rows, const char *key, const ProxyNames *names)
{
    Buf list;
    buf_init(&list, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < names->count; i++) {
        buf_printf(&list, "%s%s", i > 0 ? "," : "", names->items[i]);
    }
    put_setting(rows, key, buf_str(&list), "", true);
    buf_done(&list);
}

static void put_target(AdminRows *rows, const ProxyTarget *target)
{
    static const char *const modes[] = {"disable", "require", "verify-ca", "verify-full"};
    put_setting(rows, "pool.target.id", target->id, "target", true);
    put_setting(rows, "pool.target.host", target->host, NULL, true);
    put_setting(rows, "pool.target.socket_dir", target->socket_dir, NULL, true);
    put_number(rows, "pool.target.port", target->port, "5432", true);
    put_setting(rows, "pool.target.tls", modes[target->tls], "disable", true);
    put_number(rows, "pool.target.max_connections", target->max_connections, "100", true);
}

static void put_reads(AdminRows *rows, const ProxyConfig *config)
{
    static const char *const words[] = {"primary", "replicas", "split"};
    Buf list;
    buf_init(&list, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        if (config->replicas[i].id != NULL) {
            buf_printf(&list, "%s%s", list.len > 0 ? "," : "", config->replicas[i].id);
        }
    }
    put_setting(rows, "pool.reads", words[config->reads], "primary", true);
    put_setting(rows, "pool.replicas", buf_str(&list), "", true);
    put_number(rows, "pool.max_replica_lag_ms", config->lag_max_ms, "30000", true);
    buf_done(&list);
}

/* By the names of docs/proxy.md, and first two by PgBouncer's, which exporters look for. */
static void show_config(const ProxyWorker *worker, AdminRows *rows)
{
    const ProxyConfig *config = worker->config;
    put_number(rows, "max_client_conn", config->clients_max, "10000", true);
    put_number(rows, "max_db_connections", proxy_config_servers_max(config), "100", true);
    put_setting(rows, "kind", config->relay ? "relay" : "pool", NULL, false);
    put_number(rows, "workers", config->workers, "2", false);
    put_setting(rows, "io", proxy_io_names[config->io], "epoll", false);
    put_number(rows, "max_clients", config->clients_max, "10000", true);
    put_number(rows, "idle_client_timeout_s", config->idle_client_ms / MS_PER_S, "1800", true);
    put_number(rows, "silent_client_timeout_s", config->silent_client_s, "120", true);
    put_number(rows, "silent_server_timeout_s", config->silent_server_s, "20", true);
    put_setting(rows, "require_tls", config->require_tls ? "true" : "false", "false", true);
    put_setting(rows, "debug_logging", config->debug_logging ? "true" : "false", "false", true);
    put_number(rows, "listeners", (int64_t)config->listener_count, NULL, true);
    put_target(rows, &config->target);
    put_reads(rows, config);
    put_number(rows, "pool.servers_max", proxy_config_servers_max(config), NULL, true);
    put_number(rows, "pool.servers_idle_max", proxy_config_servers_idle_max(config), NULL, true);
    put_number(rows, "pool.connection_borrow_timeout_s", config->borrow_ms / MS_PER_S, "120", true);
    put_number(rows, "pool.idle_server_timeout_s", config->idle_server_ms / MS_PER_S, "300", true);
    put_setting(rows, "pool.shared_listeners", config->shared_listeners ? "true" : "false", "false",
                true);
    put_setting(rows, "pool.keep_listening", config->keep_listening ? "true" : "false", "false",
                true);
    put_setting(rows, "pool.resend_reads", config->resend_reads ? "true" : "false", "false", true);
    put_setting(rows, "pool.init_query", config->init_query, NULL, true);
    put_setting(rows, "pool.iam.region", config->iam.region, NULL, true);
    put_names(rows, "pool.iam.hosts", &config->iam.hosts);
    put_setting(rows, "pool.admin_database", config->admin_database, "weir", true);
    put_names(rows, "pool.admin_users", &config->admin_users);
    put_names(rows, "pool.stats_users", &config->stats_users);
}

/* ---- the tables --------------------------------------------------------------------------------
 */

static const AdminColumn version_columns[] = {{"version", ADMIN_TEXT}};
static const AdminColumn state_columns[] = {{"key", ADMIN_TEXT}, {"value", ADMIN_TEXT}};
static const AdminColumn target_columns[] = {
    {"id", ADMIN_TEXT},       {"role", ADMIN_TEXT},        {"state", ADMIN_TEXT},
    {"reason", ADMIN_TEXT},   {"description", ADMIN_TEXT}, {"lag_ms", ADMIN_INT8},
    {"servers", ADMIN_INT4},  {"max_servers", ADMIN_INT4}, {"borrows", ADMIN_INT8},
    {"right_ms", ADMIN_INT8}, {"causal_token", ADMIN_TEXT}};
static const AdminColumn list_columns[] = {{"list", ADMIN_TEXT}, {"items", ADMIN_INT4}};
static const AdminColumn mem_columns[] = {{"name", ADMIN_TEXT},
                                          {"size", ADMIN_INT4},
                                          {"used", ADMIN_INT4},
                                          {"free", ADMIN_INT4},
                                          {"memtotal", ADMIN_INT8}};
static const AdminColumn config_columns[] = {{"key", ADMIN_TEXT},
                                             {"value", ADMIN_TEXT},
                                             {"default", ADMIN_TEXT},
                                             {"changeable", ADMIN_TEXT}};
static const AdminColumn database_columns[] = {{"name", ADMIN_TEXT},
                                               {"host", ADMIN_TEXT},
                                               {"port", ADMIN_INT4},
                                               {"database", ADMIN_TEXT},
                                               {"force_user", ADMIN_TEXT},
                                               {"pool_size", ADMIN_INT4},
                                               {"min_pool_size", ADMIN_INT4},
                                               {"reserve_pool_size", ADMIN_INT4},
                                               {"server_lifetime", ADMIN_INT4},
                                               {"pool_mode", ADMIN_TEXT},
                                               {"load_balance_hosts", ADMIN_TEXT},
                                               {"max_connections", ADMIN_INT4},
                                               {"current_connections", ADMIN_INT4},
                                               {"max_client_connections", ADMIN_INT4},
                                               {"current_client_connections", ADMIN_INT4},
                                               {"paused", ADMIN_INT4},
                                               {"disabled", ADMIN_INT4}};
static const AdminColumn user_columns[] = {{"name", ADMIN_TEXT},
                                           {"pool_size", ADMIN_INT4},
                                           {"reserve_pool_size", ADMIN_INT4},
                                           {"pool_mode", ADMIN_TEXT},
                                           {"max_user_connections", ADMIN_INT4},
                                           {"current_connections", ADMIN_INT4},
                                           {"max_user_client_connections", ADMIN_INT4},
                                           {"current_client_connections", ADMIN_INT4}};

#define COLUMNS(x) .columns = (x), .column_count = ARRAY_LEN(x)

const AdminTable admin_tables[] = {
    {"config", COLUMNS(config_columns), .show = show_config},
    {"databases", COLUMNS(database_columns), .show = show_databases},
    {"users", COLUMNS(user_columns), .show = show_users},
    {"lists", COLUMNS(list_columns), .show = show_lists},
    {"mem", COLUMNS(mem_columns), .show = show_mem},
    {"version", COLUMNS(version_columns), .show = show_version},
    {"state", COLUMNS(state_columns), .show = show_state},
    {"targets", COLUMNS(target_columns), .show = show_targets},
};
const size_t admin_table_count = ARRAY_LEN(admin_tables);
