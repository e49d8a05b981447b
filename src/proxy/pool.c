/*
 * Pools of server connections and who waits for them. Within a worker the longest waiting client
 * goes first; between workers a connection that becomes free here is given up when somebody
 * elsewhere has waited longer by PROXY_FAIR_MS: then its place in the budget changes hands.
 *
 * A connection is opened for a waiter when the budget has room. When it has none, an idle
 * connection that nobody here wants is closed for it, here or on another worker. Who waits for a
 * limit of its own (pool_limits.c) is passed over.
 */
#include "proxy/line_priv.h"

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
    pool->key = mem_alloc(key.len);
    pool->key_len = key.len;
    memcpy(pool->key, key.data, key.len);
    pool->user = mem_printf("%.*s", SLICE_FMT(user));
    pool->database = mem_printf("%.*s", SLICE_FMT(database));
    pool->meter = proxy_meter_for(&worker->meters, user, database);
    pool->params = params_ref(params);
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

void proxy_pool_unused(ProxyPool *pool)
{
    if (pool->clients > 0 || pool->servers > 0) {
        return;
    }
    ASSERT(pool->waiters.len == 0 && pool->idle.len == 0);
    map_remove(pool->worker->pools, slice_from(pool->key, pool->key_len));
    params_unref(pool->params);
    params_unref(pool->welcome);
    params_unref(pool->dialect_params);
    crypto_wipe(&pool->keys, sizeof(pool->keys));
    statement_table_free(pool->statements);
    setting_table_free(pool->settings);
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

static void idle_count_publish(ProxyWorker *worker)
{
    atomic_store_explicit(&worker->idle_count, (unsigned)worker->idle.len, memory_order_relaxed);
}

static void pool_idle_add(ProxyServer *server)
{
    ProxyWorker *worker = server->worker;
    server->state = SERVER_IDLE;
    server->idle_ms = loop_now_ms(worker->loop);
    list_push_front(&server->pool->idle, &server->idle_node);
    list_push_front(&worker->idle, &server->lru_node);
    idle_count_publish(worker);
}

void proxy_pool_idle_remove(ProxyServer *server)
{
    if (server->idle_node.next != NULL) {
        list_remove(&server->pool->idle, &server->idle_node);
        list_remove(&server->worker->idle, &server->lru_node);
        idle_count_publish(server->worker);
    }
}

static ProxyServer *idle_oldest(ProxyWorker *worker)
{
    ListNode *node = worker->idle.head.prev;
    return worker->idle.len > 0 ? CONTAINER_OF(node, ProxyServer, lru_node) : NULL;
}

/* The limit was lowered; those that are leaving already count no more. */
static bool over_budget(const ProxyBudget *budget, const ProxyWorker *worker)
{
    return atomic_load(&budget->open) > atomic_load(&budget->max) + worker->leaving;
}

static void trim_idle(ProxyWorker *worker)
{
    const ProxyConfig *config = worker->config;
    int64_t now = loop_now_ms(worker->loop);
    unsigned idle = 0;
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        idle += atomic_load_explicit(&worker->proxy->workers[i].idle_count, memory_order_relaxed);
    }
    for (ProxyServer *server; (server = idle_oldest(worker)) != NULL;) {
        bool too_many =
            idle > config->servers_idle_max && now - server->idle_ms >= config->idle_server_ms;
        bool too_old = now - server->opened_ms >= PROXY_SERVER_AGE_MS;
        if (!too_many && !too_old && !over_budget(&worker->proxy->budget, worker)) {
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
        trim_idle(worker);
        atomic_store(trimming, false);
    }
}

/* ---- waiting -----------------------------------------------------------------------------------
 */

static ProxyClient *first_waiter(const ProxyPool *pool)
{
    ListNode *node = list_first(&pool->waiters);
    return node != NULL ? CONTAINER_OF(node, ProxyClient, wait_node) : NULL;
}

int64_t proxy_pool_waits_since(const ProxyPool *pool)
{
    return first_waiter(pool)->wait_since_ms;
}

/* The pool whose first waiter is the oldest; with `openable`, only among those that want one more
 * connection than are being opened, and may have it. */
static ProxyPool *oldest_pool(const ProxyWorker *worker, bool openable)
{
    ProxyPool *oldest = NULL;
    LIST_FOR_EACH (&worker->waiting, node) {
        ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        if (openable &&
            (pool->connecting >= pool->waiters.len || proxy_limits_wait_for(pool) != NULL)) {
            continue;
        }
        if (oldest == NULL ||
            first_waiter(pool)->wait_since_ms < first_waiter(oldest)->wait_since_ms) {
            oldest = pool;
        }
    }
    return oldest;
}

/* Those who wait for a limit of their own have no use for what others give up. */
void proxy_pool_waits_publish(ProxyWorker *worker, ProxyPool *left)
{
    int64_t oldest = 0;
    LIST_FOR_EACH (&worker->waiting, node) {
        const ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        int64_t since = proxy_pool_waits_since(pool);
        if ((oldest == 0 || since < oldest) && proxy_limits_wait_for(pool) == NULL) {
            oldest = since;
        }
    }
    atomic_store(&worker->oldest_wait_ms, oldest);
    if (worker->config->limited) {
        proxy_limits_publish(worker, left);
    }
}

static void wait_tick(void *user);

void proxy_pool_wait(ProxyPool *pool, ProxyClient *client)
{
    ProxyWorker *worker = pool->worker;
    if (pool->waiters.len == 0) {
        list_push_back(&worker->waiting, &pool->waiting_node);
    }
    client->wait_since_ms = loop_now_ms(worker->loop);
    list_push_back(&pool->waiters, &client->wait_node);
    proxy_meter_add(pool->meter, STAT_CLIENTS_WAITING, 1);
    worker->waiter_count++;
    if (!loop_timer_armed(&worker->wait_timer)) {
        loop_timer_start(worker->loop, &worker->wait_timer, PROXY_WAIT_TICK_MS, PROXY_WAIT_TICK_MS,
                         wait_tick, worker);
    }
    proxy_pool_waits_publish(worker, NULL);
    proxy_worker_pump_soon(worker);
}

void proxy_pool_wait_end(ProxyClient *client)
{
    if (client->wait_node.next == NULL) {
        return;
    }
    ProxyPool *pool = client->pool;
    ProxyWorker *worker = pool->worker;
    list_remove(&pool->waiters, &client->wait_node);
    proxy_meter_add(pool->meter, STAT_CLIENTS_WAITING, -1);
    worker->waiter_count--;
    if (pool->waiters.len == 0) {
        list_remove(&worker->waiting, &pool->waiting_node);
    }
    proxy_pool_waits_publish(worker, pool->waiters.len == 0 ? pool : NULL);
}

void proxy_pool_wake_waiters(ProxyPool *pool)
{
    for (ListNode *node = list_first(&pool->waiters); node != NULL;) {
        ProxyClient *client = CONTAINER_OF(node, ProxyClient, wait_node);
        node = list_next(&pool->waiters, node);
        if (client->state == CLIENT_WAITING) {
            proxy_pool_wait_end(client);
            client->state = CLIENT_READY;
            proxy_client_resume(client);
        }
    }
}

void proxy_pool_welcome_waiters(ProxyPool *pool)
{
    for (ListNode *node = list_first(&pool->waiters); node != NULL && pool->welcome != NULL;) {
        ProxyClient *client = CONTAINER_OF(node, ProxyClient, wait_node);
        node = list_next(&pool->waiters, node);
        if (client->state == CLIENT_WELCOME) {
            proxy_pool_wait_end(client);
            proxy_client_welcome(client);
        }
    }
}

void proxy_pool_fail_waiters(ProxyPool *pool, const PgError *error)
{
    pool->clients++; /* so that the pool outlives the last of them */
    for (ProxyClient *client; (client = first_waiter(pool)) != NULL;) {
        proxy_client_refuse(client, error);
    }
    pool->clients--;
    proxy_pool_unused(pool);
}

/* What there was not enough of; the caller frees it. */
static char *shortage_new(const ProxyPool *pool)
{
    const Quota *quota = proxy_limits_wait_for(pool);
    if (quota != NULL) {
        return mem_printf("All %u connections that the %s %s may have are in use.",
                          pool->limits[quota->kind].servers,
                          quota->kind == QUOTA_USER ? "role" : "database", quota->name);
    }
    return mem_printf("All %u connections are in use.",
                      atomic_load(&pool->worker->proxy->budget.max));
}

/* The wording of RDS Proxy; the detail is ours. */
static void waiter_timed_out(ProxyClient *client)
{
    ProxyWorker *worker = client->worker;
    const Err *problem = &worker->server_problem;
    bool failed = problem->code != ERR_NONE;
    CLEANUP(mem_free_ptr)
    char *detail = failed ? mem_printf("The last attempt to connect failed: %s.", problem->message)
                          : shortage_new(client->pool);
    proxy_meter_add(proxy_client_meter(client), STAT_BORROW_TIMEOUTS, 1);
    proxy_client_fatal(client, failed ? "08001" : "53300",
                       "Timed-out waiting to acquire database connection.", detail);
}

/* The first waiter of each pool is its oldest. */
static void waiters_time_out(ProxyWorker *worker)
{
    int64_t limit = worker->config->borrow_ms;
    for (ProxyPool *pool; limit > 0 && (pool = oldest_pool(worker, false)) != NULL;) {
        ProxyClient *client = first_waiter(pool);
        if (loop_now_ms(worker->loop) - client->wait_since_ms < limit) {
            return;
        }
        waiter_timed_out(client);
    }
}

/* ---- who is next -------------------------------------------------------------------------------
 */

/* The longest wait on another worker, as a time; 0: nobody waits. */
static int64_t oldest_elsewhere(const ProxyWorker *worker, ProxyWorker **ret_worker)
{
    int64_t oldest = 0;
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        ProxyWorker *other = &worker->proxy->workers[i];
        int64_t since = other == worker ? 0 : atomic_load(&other->oldest_wait_ms);
        if (since != 0 && (oldest == 0 || since < oldest)) {
            oldest = since;
            *ret_worker = other;
        }
    }
    return oldest;
}

/* How long another must have waited to go before `next` (NULL: nobody is here), as a time: twice as
 * long, for a login costs more than a query. */
static int64_t precedence(const ProxyWorker *worker, const ProxyClient *next)
{
    if (next == NULL) {
        return INT64_MAX;
    }
    int64_t now = loop_now_ms(worker->loop);
    return next->wait_since_ms - (now - next->wait_since_ms) - PROXY_FAIR_MS;
}

/* Whether a free connection of `pool` should rather make room for another pool's or another
 * worker's waiter than serve `next` (NULL: would lie idle). Where the budget has room, nobody needs
 * it to, but for a limit. */
static bool should_make_room(ProxyPool *pool, const ProxyClient *next)
{
    ProxyWorker *worker = pool->worker;
    ProxyWorker *other;
    const ProxyBudget *budget = &worker->proxy->budget;
    int64_t mine = precedence(worker, next);
    if (worker->config->limited && proxy_limits_wanted(pool, mine)) {
        return true;
    }
    int64_t elsewhere = oldest_elsewhere(worker, &other);
    ProxyPool *here = oldest_pool(worker, true);
    if ((elsewhere == 0 && here == NULL) ||
        atomic_load(&budget->open) < atomic_load(&budget->max)) {
        return false;
    }
    bool theirs_older = elsewhere != 0 && elsewhere < mine;
    bool ours_older = here != NULL && here != pool && first_waiter(here)->wait_since_ms < mine;
    return theirs_older || ours_older;
}

/* Asking costs a system call, and who came a moment ago is still there. */
static bool has_hung_up(const ProxyClient *client)
{
    int64_t waited_ms = loop_now_ms(client->worker->loop) - client->wait_since_ms;
    return waited_ms >= PROXY_CHECK_WAITER_MS && stream_peer_ended(client->stream);
}

/* The first who still waits: those who have hung up are let go, for a connection would be spent on
 * an answer that nobody reads. */
static ProxyClient *next_waiter(ProxyPool *pool)
{
    for (ProxyClient *client; (client = first_waiter(pool)) != NULL;) {
        if (!has_hung_up(client)) {
            return client;
        }
        proxy_client_close(client);
    }
    return NULL;
}

/* Whether the client may get what others have set on the connection. */
static bool server_fits(const ProxyServer *server, const ProxyClient *client)
{
    return settings_fit(server->exchange.applied, client->session.settings,
                        server->exchange.dialect.baseline_set);
}

void proxy_pool_available(ProxyServer *server)
{
    ProxyPool *pool = server->pool;
    ProxyWorker *worker = server->worker;
    if (proxy_line_for_waiters(server)) {
        return;
    }
    ProxyClient *next = next_waiter(pool);
    if (server->retired || worker->draining || over_budget(&worker->proxy->budget, worker) ||
        proxy_limits_over(pool) || should_make_room(pool, next) ||
        (next != NULL && !server_fits(server, next))) {
        proxy_server_retire(server);
        return;
    }
    if (next == NULL) {
        pool_idle_add(server);
        return;
    }
    ASSERT(next->state == CLIENT_WAITING); /* nobody waits for a welcome that is known */
    proxy_pool_wait_end(next);
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
    if (pool->catalog != NULL) {
        catalog_entry_read(pool->catalog, &pool->names, &pool->names_seen);
    }
    return pool->names != NULL;
}

ProxyServer *proxy_pool_borrow(ProxyPool *pool, ProxyClient *client)
{
    ProxyServer *server = pool->waiters.len == 0 ? take_idle(pool, client) : NULL;
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

static void yield_one(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&worker->yield_asked, false);
    ProxyServer *server = idle_oldest(worker);
    if (server != NULL) {
        proxy_server_retire(server);
    }
}

static void pump_posted(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&worker->nudged, false);
    proxy_worker_pump_soon(worker);
}

void proxy_worker_nudge(ProxyWorker *other)
{
    if (!atomic_exchange(&other->nudged, true)) {
        loop_post(other->loop, pump_posted, other);
    }
}

/* Somebody gave a place in the budget back. */
void proxy_worker_permit_freed(ProxyWorker *worker)
{
    ProxyWorker *other = NULL;
    if (oldest_elsewhere(worker, &other) != 0) {
        proxy_worker_nudge(other);
    }
    if (worker->waiting.len > 0) {
        proxy_worker_pump_soon(worker);
    }
}

/* Those who wait for a limit of their own left out. */
static size_t budget_waiters(const ProxyWorker *worker)
{
    size_t count = worker->waiter_count;
    LIST_FOR_EACH (&worker->waiting, node) {
        const ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        count -= proxy_limits_wait_for(pool) != NULL ? pool->waiters.len : 0;
    }
    return count;
}

static void make_room(ProxyWorker *worker)
{
    if (worker->leaving + worker->connecting >= budget_waiters(worker)) {
        return; /* enough is on its way */
    }
    ProxyServer *server = idle_oldest(worker);
    if (server != NULL) {
        proxy_server_retire(server);
        return;
    }
    if (proxy_lines_yield(worker)) {
        return;
    }
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        ProxyWorker *other = &worker->proxy->workers[i];
        if (other != worker && atomic_load(&other->idle_count) > 0) {
            if (!atomic_exchange(&other->yield_asked, true)) {
                loop_post(other->loop, yield_one, other);
            }
            return;
        }
    }
}

/* False: it cannot be now. */
static bool open_for(ProxyPool *pool)
{
    ProxyWorker *worker = pool->worker;
    if (!proxy_limits_take(pool)) {
        return true; /* another worker was faster: it waits for that now */
    }
    if (!proxy_budget_take(&worker->proxy->budget)) {
        proxy_limits_give(pool, false);
        make_room(worker);
        return false;
    }
    if (proxy_server_open(worker, pool, NULL) == NULL) {
        proxy_limits_give(pool, false);
        proxy_budget_give(&worker->proxy->budget);
        return false;
    }
    return true;
}

static void pump(void *user)
{
    ProxyWorker *worker = user;
    while (worker->connecting < PROXY_CONNECTING_MAX && !worker->draining &&
           proxy_worker_has_target(worker) && loop_now_ms(worker->loop) >= worker->retry_at_ms) {
        ProxyPool *pool = oldest_pool(worker, true);
        if (pool == NULL || !open_for(pool)) {
            break;
        }
    }
    if (worker->config->limited && worker->waiting.len > 0) {
        proxy_limits_make_room(worker);
    }
}

void proxy_worker_pump_soon(ProxyWorker *worker)
{
    loop_defer(worker->loop, &worker->pump, pump, worker);
}

/* So that nothing is done elsewhere for the sake of a client that is not there any more. */
static void waiters_check(ProxyWorker *worker)
{
    for (ListNode *node = list_first(&worker->waiting); node != NULL;) {
        ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        node = list_next(&worker->waiting, node);
        pool->clients++; /* keeps it while its waiters go */
        next_waiter(pool);
        pool->clients--;
        proxy_pool_unused(pool);
    }
}

static void wait_tick(void *user)
{
    ProxyWorker *worker = user;
    waiters_time_out(worker);
    waiters_check(worker);
    if (worker->waiting.len == 0) {
        loop_timer_stop(&worker->wait_timer);
        return;
    }
    proxy_worker_pump_soon(worker);
}

void proxy_worker_waits_init(ProxyWorker *worker)
{
    worker->pools = map_new();
    list_init(&worker->waiting);
    list_init(&worker->idle);
}

void proxy_worker_waits_done(ProxyWorker *worker)
{
    loop_timer_stop(&worker->wait_timer);
    loop_defer_cancel(&worker->pump);
    ASSERT(map_len(worker->pools) == 0);
    map_free(worker->pools);
}
