/*
 * The limits of single users and databases, as pools meet them. A pool that may not have one more
 * connection waits for its user's or its database's quota (the first of them that is full): until
 * then it is passed over, so that nobody else waits behind it. Who gets what becomes free goes by
 * the longest wait, as for the budget, but only among those who wait for this quota:
 *
 *   - a connection that becomes free here is closed for somebody who has waited twice as long
 *   - an idle connection is closed at once, by whichever worker has one
 *   - a place that is free is left to the worker where somebody has waited longer
 */
#include "proxy/server/server_priv.h"

#define LIMIT_ASK_MS 5 /* between requests to other workers to close idle connections */

/* ---- counting ----------------------------------------------------------------------------------
 */

void proxy_limits_of(ProxyPool *pool)
{
    const ProxyConfig *config = pool->worker->config;
    if (pool->worker->apart) {
        pool->limits[QUOTA_USER] = pool->limits[QUOTA_DATABASE] = (ProxyLimit){0};
        return; /* the serving process looks at them */
    }
    pool->limits[QUOTA_USER] = proxy_config_user_limit(config, slice_of(pool->user));
    pool->limits[QUOTA_DATABASE] = proxy_config_database_limit(config, slice_of(pool->database));
}

bool proxy_limits_enter(ProxyPool *pool, QuotaKind *ret_kind)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        if (!quota_take(&pool->quotas[kind]->clients, pool->limits[kind].clients)) {
            for (QuotaKind taken = 0; taken < kind; taken++) {
                quota_give(&pool->quotas[taken]->clients);
            }
            *ret_kind = kind;
            return false;
        }
    }
    return true;
}

void proxy_limits_exit(ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        quota_give(&pool->quotas[kind]->clients);
    }
}

bool proxy_limits_take(ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        if (!quota_take(&pool->quotas[kind]->servers, pool->limits[kind].servers)) {
            for (QuotaKind taken = 0; taken < kind; taken++) {
                quota_give(&pool->quotas[taken]->servers);
            }
            return false;
        }
    }
    return true;
}

void proxy_limits_leaving(ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS && pool != NULL; kind++) {
        atomic_fetch_add(&pool->quotas[kind]->leaving, 1);
    }
}

/* The server first: for a moment it counts as leaving twice, and nobody closes one for it. */
void proxy_limits_give(ProxyPool *pool, bool leaving)
{
    ProxyWorker *worker = pool->worker;
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        Quota *quota = pool->quotas[kind];
        uint32_t other;
        quota_give(&quota->servers);
        if (leaving) {
            quota_give(&quota->leaving);
        }
        if (pool->limits[kind].servers > 0 &&
            quota_oldest_wait(quota, worker->index, &other) != 0) {
            proxy_nudge(worker->proxy, other);
        }
    }
}

/* Fewer than half of them, so that nobody waits for connections that only listen: of two, a client
 * that is pinned for something else leaves the other one to everybody. */
static bool hub_take(atomic_uint *hubs, uint32_t servers_max)
{
    return servers_max >= 3 && quota_take(hubs, (servers_max - 1) / 2);
}

bool proxy_limits_hub_take(ProxyPool *pool)
{
    Proxy *proxy = pool->worker->proxy;
    if (!hub_take(&proxy->hubs, atomic_load(&proxy->targets[PROXY_TARGET_PRIMARY].budget.max))) {
        return false;
    }
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        uint32_t max = pool->limits[kind].servers;
        atomic_uint *hubs = &pool->quotas[kind]->hubs;
        if (max > 0 ? !hub_take(hubs, max) : !quota_take(hubs, 0)) {
            for (QuotaKind taken = 0; taken < kind; taken++) {
                quota_give(&pool->quotas[taken]->hubs);
            }
            quota_give(&proxy->hubs);
            return false;
        }
    }
    return true;
}

void proxy_limits_hub_give(ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        quota_give(&pool->quotas[kind]->hubs);
    }
    quota_give(&pool->worker->proxy->hubs);
}

/* ---- who waits for what ------------------------------------------------------------------------
 */

/* Somebody on another worker has waited longer for what is free, and will take it. */
static bool is_promised(const ProxyPool *pool, const Quota *quota)
{
    uint32_t other;
    int64_t elsewhere = quota_oldest_wait(quota, pool->worker->index, &other);
    return elsewhere != 0 && elsewhere + PROXY_FAIR_MS < proxy_pool_waits_since(pool);
}

Quota *proxy_limits_wait_for(const ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        uint32_t max = pool->limits[kind].servers;
        Quota *quota = pool->quotas[kind];
        if (max > 0 && (quota_is_full(quota, max) || is_promised(pool, quota))) {
            return quota;
        }
    }
    return NULL;
}

bool proxy_limits_wanted(const ProxyPool *pool, int64_t before_ms)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        const Quota *quota = pool->quotas[kind];
        uint32_t worker;
        if (pool->worker->apart || quota_stays_full(quota, pool->limits[kind].servers)) {
            int64_t since = quota_oldest_wait(quota, QUOTA_NOBODY, &worker);
            if (since != 0 && since < before_ms) {
                return true;
            }
        }
    }
    return false;
}

bool proxy_limits_over(const ProxyPool *pool)
{
    return quota_is_over(pool->quotas[QUOTA_USER], pool->limits[QUOTA_USER].servers) ||
           quota_is_over(pool->quotas[QUOTA_DATABASE], pool->limits[QUOTA_DATABASE].servers);
}

static QuotaSide *side_of(const ProxyPool *pool, QuotaKind kind)
{
    return &pool->quotas[kind]->sides[pool->worker->index];
}

static void sides_begin(const ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        side_of(pool, kind)->next_ms = 0;
    }
}

static void sides_end(const ProxyPool *pool)
{
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        QuotaSide *side = side_of(pool, kind);
        if (atomic_load_explicit(&side->oldest_wait_ms, memory_order_relaxed) != side->next_ms) {
            atomic_store(&side->oldest_wait_ms, side->next_ms);
        }
    }
}

void proxy_limits_publish(ProxyWorker *worker, ProxyPool *left)
{
    if (left != NULL) {
        sides_begin(left);
    }
    LIST_FOR_EACH (&worker->waiting, node) {
        sides_begin(CONTAINER_OF(node, ProxyPool, waiting_node));
    }
    LIST_FOR_EACH (&worker->waiting, node) {
        const ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        Quota *quota = proxy_limits_wait_for(pool);
        int64_t since = proxy_pool_waits_since(pool);
        QuotaSide *side = quota != NULL ? &quota->sides[worker->index] : NULL;
        if (side != NULL && (side->next_ms == 0 || since < side->next_ms)) {
            side->next_ms = since;
        }
    }
    if (left != NULL) {
        sides_end(left);
    }
    LIST_FOR_EACH (&worker->waiting, node) {
        sides_end(CONTAINER_OF(node, ProxyPool, waiting_node));
    }
}

static void apply_to(ProxyPool *pool)
{
    proxy_limits_of(pool);
    sides_begin(pool);
    sides_end(pool);
}

void proxy_limits_apply(ProxyWorker *worker)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(worker->pools, &cursor, &key, &value)) {
        ProxyPool *home = value;
        apply_to(home);
        for (size_t i = 0; i < PROXY_REPLICAS_MAX && home->replica_count > 0; i++) {
            if (home->replicas[i] != NULL) {
                apply_to(home->replicas[i]);
            }
        }
    }
    proxy_pool_waits_publish(worker, NULL);
}

/* ---- making room -------------------------------------------------------------------------------
 */

static void yield_side(ProxySide *side)
{
    for (ListNode *node = side->idle.head.prev; node != &side->idle.head;) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, lru_node);
        node = node->prev;
        if (proxy_limits_over(server->pool) || proxy_limits_wanted(server->pool, INT64_MAX)) {
            proxy_server_retire(server);
        }
    }
}

void proxy_limits_yield(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        yield_side(&worker->sides[i]);
    }
}

static bool has_idle(const ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (atomic_load(&worker->shown[i].idle_count) > 0) {
            return true;
        }
    }
    return false;
}

static void yield_posted(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&worker->limits_asked, false);
    proxy_limits_yield(worker);
}

void proxy_limits_ask(ProxyWorker *worker)
{
    if (has_idle(worker) && !atomic_exchange(&worker->limits_asked, true)) {
        loop_post(worker->loop, yield_posted, worker);
    }
}

/* Whether one of those that wait for a quota will go on waiting if nobody makes room. */
static bool is_stuck(const ProxyWorker *worker)
{
    LIST_FOR_EACH (&worker->waiting, node) {
        const ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        const Quota *quota = proxy_limits_wait_for(pool);
        if (quota != NULL && pool->connecting < pool->waiters.len &&
            quota_stays_full(quota, pool->limits[quota->kind].servers)) {
            return true;
        }
    }
    return false;
}

void proxy_limits_make_room(ProxyWorker *worker)
{
    Proxy *proxy = worker->proxy;
    int64_t now = loop_now_ms(worker->loop);
    proxy_pool_waits_publish(worker, NULL); /* for those who are asked */
    if (!is_stuck(worker)) {
        return;
    }
    proxy_limits_yield(worker);
    if (now - worker->limits_asked_ms < LIMIT_ASK_MS || !is_stuck(worker)) {
        return;
    }
    worker->limits_asked_ms = now;
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        if (&proxy->workers[i] != worker) {
            proxy_limits_ask(&proxy->workers[i]);
        }
    }
}
