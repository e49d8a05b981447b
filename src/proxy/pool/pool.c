/*
 * Pools of server connections: which there are, what lies idle in them, and who gets one that is
 * free. Who waits is in wait.c, and how room is made between pools and workers in room.c.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_priv.h"
#include "proxy/pool/pool_parts_priv.h"
#include "proxy/pulse/hold_priv.h"
#include "proxy/server/server_priv.h"

/* ---- pools by key ------------------------------------------------------------------------------
 */

static void key_build(Slice user, Slice database, const ParamList *params, Buf *key)
{
    pg_put_str(key, user);
    pg_put_str(key, database);
    buf_append_slice(key, params_slice(params));
}

static ProxyPool *pool_new_for(ProxyWorker *worker, Slice key, Slice user, Slice database,
                               ParamList *params)
{
    ProxyPool *pool = mem_alloc(sizeof(ProxyPool));
    pool->worker = worker;
    pool->home = pool;
    pool->key = mem_alloc(key.len);
    pool->key_len = key.len;
    memcpy(pool->key, key.data, key.len);
    pool->user = mem_printf("%.*s", SLICE_FMT(user));
    pool->database = mem_printf("%.*s", SLICE_FMT(database));
    pool->meter = proxy_meter_for(&worker->meters, user, database);
    pool->params = params_ref(params);
    pool->replication = params_value(params, "replication").data != NULL;
    pool->statements = statement_table_new();
    pool->settings = setting_table_new();
    pool->catalog = catalogs_entry(&worker->proxy->catalogs, database);
    list_init(&pool->lines);
    pool->quotas[QUOTA_USER] = quotas_get(&worker->proxy->quotas, QUOTA_USER, user);
    pool->quotas[QUOTA_DATABASE] = quotas_get(&worker->proxy->quotas, QUOTA_DATABASE, database);
    proxy_limits_of(pool);
    list_init(&pool->idle);
    list_init(&pool->waiters);
    map_set(worker->pools, key, pool);
    return pool;
}

ProxyPool *proxy_pool_for(ProxyWorker *worker, Slice user, Slice database, ParamList *params)
{
    Buf key;
    buf_init(&key, BUF_MAX_DEFAULT);
    key_build(user, database, params, &key);
    ProxyPool *pool = map_get(worker->pools, buf_slice(&key));
    if (pool == NULL) {
        pool = pool_new_for(worker, buf_slice(&key), user, database, params);
    }
    buf_done(&key);
    return pool;
}

static ProxyPool *replica_new(ProxyPool *home, size_t target)
{
    ProxyPool *pool = mem_alloc(sizeof(ProxyPool));
    pool->worker = home->worker;
    pool->home = home;
    pool->target = (uint8_t)target;
    pool->key = home->key;
    pool->key_len = home->key_len;
    pool->user = home->user;
    pool->database = home->database;
    pool->meter = home->meter;
    pool->params = home->params;
    pool->statements = home->statements;
    pool->settings = home->settings;
    pool->catalog = home->catalog;
    memcpy(pool->quotas, home->quotas, sizeof(pool->quotas));
    list_init(&pool->lines);
    list_init(&pool->idle);
    list_init(&pool->waiters);
    proxy_limits_of(pool);
    home->replica_count++;
    return pool;
}

ProxyPool *proxy_pool_at(ProxyPool *home, size_t target)
{
    ASSERT(home->home == home);
    if (target == PROXY_TARGET_PRIMARY) {
        return home;
    }
    ProxyPool **at = &home->replicas[target - 1];
    if (*at == NULL) {
        *at = replica_new(home, target);
    }
    return *at;
}

static bool is_used(const ProxyPool *pool)
{
    return pool->clients > 0 || pool->servers > 0 || pool->waiters.len > 0;
}

static void replicas_free(ProxyPool *home)
{
    for (size_t i = 0; i < PROXY_REPLICAS_MAX && home->replica_count > 0; i++) {
        ProxyPool *pool = home->replicas[i];
        if (pool != NULL) {
            ASSERT(pool->idle.len == 0);
            leaving_pool_gone(pool);
            crypto_wipe(&pool->keys, sizeof(pool->keys));
            mem_free(pool);
            home->replica_count--;
        }
    }
}

void proxy_pool_unused(ProxyPool *any)
{
    ProxyPool *pool = any->home;
    bool used = is_used(pool);
    for (size_t i = 0; i < PROXY_REPLICAS_MAX && pool->replica_count > 0; i++) {
        used = used || (pool->replicas[i] != NULL && is_used(pool->replicas[i]));
    }
    if (used) {
        return;
    }
    ASSERT(pool->idle.len == 0);
    leaving_pool_gone(pool);
    replicas_free(pool);
    map_remove(pool->worker->pools, slice_from(pool->key, pool->key_len));
    params_unref(pool->params);
    params_unref(pool->welcome);
    params_unref(pool->dialect_params);
    crypto_wipe(&pool->keys, sizeof(pool->keys));
    statement_table_free(pool->statements);
    setting_table_free(pool->settings);
    mem_free(pool->learnt);
    catalog_names_unref(pool->names);
    quota_unref(pool->quotas[QUOTA_USER]);
    quota_unref(pool->quotas[QUOTA_DATABASE]);
    mem_free(pool->key);
    mem_free(pool->user);
    mem_free(pool->database);
    mem_free(pool);
}

void proxy_worker_forget_welcomes(ProxyWorker *worker)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(worker->pools, &cursor, &key, &value)) {
        ProxyPool *pool = value;
        params_unref(pool->welcome);
        pool->welcome = NULL;
    }
}

/* ---- idle connections --------------------------------------------------------------------------
 */

static void idle_count_publish(ProxyWorker *worker, size_t target)
{
    atomic_store_explicit(&worker->shown[target].idle_count,
                          (unsigned)worker->sides[target].idle.len, memory_order_relaxed);
}

static void pool_idle_add(ProxyServer *server)
{
    ProxyWorker *worker = server->worker;
    server->state = SERVER_IDLE;
    server->idle_ms = loop_now_ms(worker->loop);
    list_push_front(&server->pool->idle, &server->idle_node);
    list_push_front(&proxy_server_side(server)->idle, &server->lru_node);
    idle_count_publish(worker, server->target);
}

void proxy_pool_idle_remove(ProxyServer *server)
{
    if (server->idle_node.next != NULL) {
        list_remove(&server->pool->idle, &server->idle_node);
        list_remove(&proxy_server_side(server)->idle, &server->lru_node);
        idle_count_publish(server->worker, server->target);
    }
}

ProxyServer *proxy_worker_idle_oldest(ProxyWorker *worker, size_t target)
{
    const List *idle = &worker->sides[target].idle;
    return idle->len > 0 ? CONTAINER_OF(idle->head.prev, ProxyServer, lru_node) : NULL;
}

/* The limit was lowered; those that are leaving already count no more. */
static bool over_budget(const ProxyWorker *worker, size_t target)
{
    const ProxyBudget *budget = &worker->proxy->targets[target].budget;
    size_t leaving = worker->sides[target].leaving;
    return !worker->apart && atomic_load(&budget->open) > atomic_load(&budget->max) + leaving;
}

static void trim_idle(ProxyWorker *worker, size_t target)
{
    const ProxyConfig *config = worker->config;
    uint32_t idle_max = proxy_config_target(config, target)->servers_idle_max;
    int64_t now = loop_now_ms(worker->loop);
    unsigned idle = 0;
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        idle += atomic_load_explicit(&worker->proxy->workers[i].shown[target].idle_count,
                                     memory_order_relaxed);
    }
    for (ProxyServer *server; (server = proxy_worker_idle_oldest(worker, target)) != NULL;) {
        int64_t idle_ms = now - server->idle_ms;
        bool too_many = worker->apart ? idle_ms >= PEERS_IDLE_MS
                                      : idle > idle_max && idle_ms >= config->idle_server_ms;
        bool too_old = now - server->opened_ms >= PROXY_SERVER_AGE_MS;
        if (!too_many && !too_old && !over_budget(worker, target)) {
            return;
        }
        idle--;
        proxy_server_retire(server);
    }
}

/* One worker at a time, or two would both close what is one too many. */
void proxy_worker_trim_idle(ProxyWorker *worker)
{
    proxy_lines_trim(worker);
    atomic_bool *trimming = &worker->proxy->trimming;
    if (worker->config->limited) {
        proxy_limits_yield(worker);
    }
    if (!atomic_exchange(trimming, true)) {
        for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
            trim_idle(worker, i);
        }
        atomic_store(trimming, false);
    }
}

/* ---- who is next -------------------------------------------------------------------------------
 */

/* Whether the client may get what others have set on the connection. */
static bool server_fits(const ProxyServer *server, const ProxyClient *client)
{
    return settings_fit(server->exchange.applied, client->session.settings,
                        server->exchange.dialect.baseline_set);
}

static bool awaits_welcome(const ProxyClient *client)
{
    return client != NULL && client->state == CLIENT_WELCOME && !client->pool->replication;
}

/* Whoever waits for a welcome has one by this connection, too, if nobody's settings are on it: what
 * the target says at a login was forgotten with it, and replicas have stayed. */
static ProxyClient *next_for(ProxyServer *server)
{
    ProxyClient *next = proxy_pool_next_waiter(server->pool);
    if (awaits_welcome(next) && settings_id(server->exchange.applied) == 0) {
        proxy_welcome_take(server);
        next = proxy_pool_next_waiter(server->pool);
    }
    return next;
}

void proxy_pool_available(ProxyServer *server)
{
    ProxyPool *pool = server->pool;
    ProxyWorker *worker = server->worker;
    if (!pool->replication && proxy_line_for_waiters(server)) {
        return;
    }
    ProxyClient *next = next_for(server);
    if (server->retired || awaits_welcome(next) || worker->draining ||
        over_budget(worker, server->target) || proxy_limits_over(pool) ||
        proxy_pool_should_yield(pool, next) || (next == NULL && pool->replication) ||
        (next != NULL && !server_fits(server, next))) {
        proxy_server_retire(server);
        return;
    }
    if (next == NULL) {
        pool_idle_add(server);
        return;
    }
    proxy_pool_wait_end(next);
    if (pool->replication) {
        proxy_client_welcome(next);
    }
    proxy_server_link(server, next);
    proxy_client_resume(next);
}

/* One that has ended, or is about to say so, while it lay idle must not get a request: nobody could
 * tell then whether it was carried out. */
static bool still_good(const ProxyServer *server)
{
    int64_t idle = loop_now_ms(server->worker->loop) - server->idle_ms;
    return idle < PROXY_CHECK_IDLE_MS || stream_quiet(server->stream);
}

/* One with the client's settings, where there is one among the first; else one that fits. */
static ProxyServer *idle_for(ProxyPool *pool, const ProxyClient *client)
{
    ProxyServer *fits = NULL;
    size_t looks = 0;
    LIST_FOR_EACH (&pool->idle, node) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, idle_node);
        if (server->exchange.applied == client->session.settings) {
            return server;
        }
        if (fits == NULL && server_fits(server, client)) {
            fits = server;
        }
        if (++looks >= PROXY_IDLE_LOOKS && fits != NULL) {
            break;
        }
    }
    return fits;
}

static ProxyServer *take_idle(ProxyPool *pool, const ProxyClient *client)
{
    for (ProxyServer *server; (server = idle_for(pool, client)) != NULL;) {
        if (still_good(server)) {
            proxy_pool_idle_remove(server);
            return server;
        }
        proxy_server_retire(server);
    }
    return NULL;
}

ProxyServer *proxy_pool_take_equal(ProxyPool *pool, const ProxyClient *client)
{
    ProxyServer *server = pool->waiters.len == 0 ? idle_for(pool, client) : NULL;
    if (server == NULL || server->exchange.applied != client->session.settings ||
        server->params != client->told || !still_good(server)) {
        return NULL;
    }
    proxy_pool_idle_remove(server);
    return server;
}

bool proxy_pool_knows_names(ProxyPool *pool)
{
    ASSERT(pool->home == pool);
    if (pool->catalog != NULL) {
        catalog_entry_read(pool->catalog, &pool->names, &pool->names_fresh, &pool->names_seen);
    }
    return pool->names != NULL && pool->names_fresh;
}

ProxyServer *proxy_pool_borrow(ProxyPool *pool, ProxyClient *client)
{
    bool may_begin = proxy_hold_may_begin(pool->worker, pool->target);
    ProxyServer *server = pool->waiters.len == 0 && may_begin ? take_idle(pool, client) : NULL;
    if (server != NULL) {
        proxy_server_link(server, client);
        return server;
    }
    client->state = CLIENT_WAITING;
    stream_pause(client->stream);
    proxy_pool_wait(pool, client);
    return NULL;
}

/* ---- making room -------------------------------------------------------------------------------
 */
