/*
 * Room for those who wait. Within a worker the longest waiting client goes first; between workers a
 * connection that becomes free here is given up when somebody elsewhere has waited longer by
 * PROXY_FAIR_MS: then its place in the budget changes hands.
 *
 * A connection is opened for a waiter when the budget has room. When it has none, an idle
 * connection that nobody here wants is closed for it, here or on another worker. Who waits for a
 * limit of its own (limits.c) is passed over.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_priv.h"
#include "proxy/pool/pool_parts_priv.h"
#include "proxy/pulse/hold_priv.h"
#include "proxy/server/server_priv.h"

/* The longest wait for the target on another worker (QUOTA_OTHERS: in another process), as a time;
 * 0: nobody waits. */
static int64_t oldest_elsewhere(const ProxyWorker *worker, size_t target, uint32_t *ret_worker)
{
    int64_t oldest = atomic_load(&worker->proxy->peers.wait_ms[target]);
    *ret_worker = QUOTA_OTHERS;
    for (uint32_t i = 0; i < worker->proxy->worker_count; i++) {
        const ProxyWorker *other = &worker->proxy->workers[i];
        int64_t since = other == worker ? 0 : atomic_load(&other->shown[target].oldest_wait_ms);
        if (since != 0 && (oldest == 0 || since < oldest)) {
            oldest = since;
            *ret_worker = i;
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
bool proxy_pool_should_yield(ProxyPool *pool, const ProxyClient *next)
{
    ProxyWorker *worker = pool->worker;
    uint32_t other;
    const ProxyBudget *budget = &worker->proxy->targets[pool->target].budget;
    int64_t mine = precedence(worker, next);
    if (worker->config->limited && proxy_limits_wanted(pool, mine)) {
        return true;
    }
    int64_t elsewhere = oldest_elsewhere(worker, pool->target, &other);
    ProxyPool *here = proxy_worker_oldest_pool(worker, pool->target, true);
    bool room = !worker->apart && atomic_load(&budget->open) < atomic_load(&budget->max);
    if ((elsewhere == 0 && here == NULL) || room) {
        return false;
    }
    bool theirs_older = elsewhere != 0 && elsewhere < mine;
    bool ours_older =
        here != NULL && here != pool && proxy_pool_first_waiter(here)->wait_since_ms < mine;
    return theirs_older || ours_older;
}

/* Of each target where somebody has asked for it. */
static void yield_asked(void *user)
{
    ProxyWorker *worker = user;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        bool asked = atomic_exchange(&worker->shown[i].yield_asked, false);
        ProxyServer *server = asked ? proxy_worker_idle_oldest(worker, i) : NULL;
        if (server != NULL) {
            proxy_server_retire(server);
        }
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

void proxy_nudge(Proxy *proxy, uint32_t worker)
{
    if (worker == QUOTA_OTHERS) {
        peers_nudge(&proxy->peers);
    } else {
        proxy_worker_nudge(&proxy->workers[worker]);
    }
}

/* Somebody gave a place in the budget back. */
void proxy_worker_permit_freed(ProxyWorker *worker, size_t target)
{
    uint32_t other;
    if (oldest_elsewhere(worker, target, &other) != 0) {
        proxy_nudge(worker->proxy, other);
    }
    if (worker->waiting.len > 0) {
        proxy_worker_pump_soon(worker);
    }
}

/* Those who wait for a limit of their own left out. */
static size_t budget_waiters(const ProxyWorker *worker, size_t target)
{
    size_t count = worker->sides[target].waiters;
    LIST_FOR_EACH (&worker->waiting, node) {
        const ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        bool limited = pool->target == target && proxy_limits_wait_for(pool) != NULL;
        count -= limited ? pool->waiters.len : 0;
    }
    return count;
}

/* Of a worker that has an idle one there, but `except`. */
static void ask_for_one(Proxy *proxy, size_t target, const ProxyWorker *except)
{
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        ProxyWorker *other = &proxy->workers[i];
        ProxySideShown *shown = &other->shown[target];
        if (other != except && atomic_load(&shown->idle_count) > 0) {
            if (!atomic_exchange(&shown->yield_asked, true)) {
                loop_post(other->loop, yield_asked, other);
            }
            return;
        }
    }
}

static void make_room(ProxyWorker *worker, size_t target)
{
    const ProxySide *side = &worker->sides[target];
    if (side->leaving + side->connecting >= budget_waiters(worker, target)) {
        return; /* enough is on its way */
    }
    ProxyServer *server = proxy_worker_idle_oldest(worker, target);
    if (server != NULL) {
        proxy_server_retire(server);
        return;
    }
    if (proxy_lines_yield(worker, target)) {
        return;
    }
    ask_for_one(worker->proxy, target, worker);
}

void proxy_workers_yield(Proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->worker_count && proxy->config->limited; i++) {
        proxy_limits_ask(&proxy->workers[i]);
    }
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (atomic_load(&proxy->peers.wait_ms[i]) != 0) {
            ask_for_one(proxy, i, NULL);
        }
    }
}

/* The last place is somebody's on another worker, who has waited longer, and is about to take it:
 * or the connection that was closed for it would be opened here again. */
static bool is_promised(const ProxyPool *pool)
{
    uint32_t other;
    const ProxyBudget *budget = &pool->worker->proxy->targets[pool->target].budget;
    int64_t elsewhere = oldest_elsewhere(pool->worker, pool->target, &other);
    return atomic_load(&budget->open) + 1 == atomic_load(&budget->max) && elsewhere != 0 &&
           elsewhere + PROXY_FAIR_MS < proxy_pool_waits_since(pool);
}

/* False: it cannot be now. */
static bool open_for(ProxyPool *pool)
{
    ProxyWorker *worker = pool->worker;
    ProxyBudget *budget = &worker->proxy->targets[pool->target].budget;
    if (worker->apart) {
        leaving_ask_server(pool);
        return true;
    }
    if (is_promised(pool)) {
        return false;
    }
    if (!proxy_limits_take(pool)) {
        return true; /* another worker was faster: it waits for that now */
    }
    if (!proxy_budget_take(budget)) {
        proxy_limits_give(pool, false);
        make_room(worker, pool->target);
        return false;
    }
    if (proxy_server_open(worker, pool, NULL, pool->target) == NULL) {
        proxy_limits_give(pool, false);
        proxy_budget_give(budget);
        return false;
    }
    return true;
}

/* Counted by the serving process already; here for what is shown, and for the day it serves again.
 */
static bool open_granted(ProxyPool *pool)
{
    ProxyWorker *worker = pool->worker;
    if (pool->waiters.len <= pool->connecting || worker->draining ||
        !proxy_worker_has_target(worker, pool->target) ||
        proxy_server_open(worker, pool, NULL, pool->target) == NULL) {
        return false;
    }
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        atomic_fetch_add(&pool->quotas[kind]->servers, 1);
    }
    atomic_fetch_add(&worker->proxy->targets[pool->target].budget.open, 1);
    return true;
}

bool proxy_pool_granted(ProxyPool *pool)
{
    proxy_worker_pump_soon(pool->worker);
    return open_granted(pool);
}

static void pump_side(ProxyWorker *worker, size_t target)
{
    const ProxySide *side = &worker->sides[target];
    while (side->connecting < PROXY_CONNECTING_MAX &&
           loop_now_ms(worker->loop) >= side->retry_at_ms) {
        ProxyPool *pool = proxy_worker_oldest_pool(worker, target, true);
        /* Where nobody may answer, what lies idle is enough for when somebody may again. */
        bool idle = pool != NULL && pool->idle.len > 0 && !proxy_hold_has_right(worker, target);
        bool full = target == PROXY_TARGET_PRIMARY && proxy_pulse_is_crowded(&worker->proxy->pulse);
        if (pool == NULL || idle || full || !open_for(pool)) {
            break;
        }
    }
}

static void pump(void *user)
{
    ProxyWorker *worker = user;
    for (size_t i = 0; i < PROXY_TARGETS_MAX && !worker->draining; i++) {
        if (worker->sides[i].waiters > 0 && proxy_worker_has_target(worker, i)) {
            pump_side(worker, i);
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
