/*
 * What a worker has with its targets (ProxySide) when those change: by a new configuration, or by
 * what the watch has learnt.
 */
#include "proxy/line/line_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/target/watch_priv.h"

bool proxy_worker_has_target(const ProxyWorker *worker, size_t target)
{
    return proxy_config_uses(worker->config, target);
}

/* Free ones go now, the others at the end of their transaction or session. */
void proxy_side_retire(ProxyWorker *worker, size_t target)
{
    for (ListNode *node = list_first(&worker->servers); node != NULL;) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        node = list_next(&worker->servers, node);
        if (server->target != target || server->probe) {
            continue;
        }
        server->retired = true;
        if (server->state == SERVER_IDLE) {
            proxy_server_retire(server);
        }
    }
}

void proxy_sides_retire(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        proxy_side_retire(worker, i);
    }
    proxy_lines_trim(worker);
    proxy_hubs_trim(worker);
}

void proxy_side_idle_retire(ProxyWorker *worker, size_t target)
{
    const List *idle = &worker->sides[target].idle;
    for (ListNode *node; (node = list_first(idle)) != NULL;) {
        proxy_server_retire(CONTAINER_OF(node, ProxyServer, lru_node));
    }
}

static ProxyServer *first_under_way(const ProxyWorker *worker, size_t target)
{
    LIST_FOR_EACH (&worker->servers, node) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (server->target == target && !server->probe && server->state != SERVER_DRAINING) {
            return server;
        }
    }
    return NULL;
}

/* What is under way would have no end: reads that are split go on at the primary, and the rest is
 * told. */
static void under_way_abort(ProxyWorker *worker, size_t target)
{
    for (ProxyServer *server; (server = first_under_way(worker, target)) != NULL;) {
        stream_abort(server->stream);
        proxy_server_lost(server, "the replica does not answer");
    }
}

/* Everybody who waits looks anew: at a replica that is not to be had any more, or for one. */
static void waiters_move(ProxyWorker *worker)
{
    ListNode *node = list_first(&worker->waiting);
    for (size_t left = worker->waiting.len; left > 0 && node != NULL; left--) {
        ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        node = list_next(&worker->waiting, node);
        bool stays = pool->target == PROXY_TARGET_PRIMARY &&
                     proxy_worker_has_target(worker, PROXY_TARGET_PRIMARY);
        if (!stays) {
            proxy_pool_move_welcomes(pool);
            proxy_pool_wake_waiters(pool, true);
        }
    }
}

static void targets_changed(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&worker->targets_changed, false);
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        if (atomic_load(&worker->proxy->targets[i].standing.gone)) {
            proxy_side_idle_retire(worker, i);
        }
        if (atomic_load(&worker->proxy->targets[i].standing.silent)) {
            under_way_abort(worker, i);
        }
    }
    if (worker->config->reads != READS_PRIMARY) {
        waiters_move(worker);
    }
    proxy_worker_pump_soon(worker);
}

void proxy_workers_targets_changed(Proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        ProxyWorker *worker = &proxy->workers[i];
        if (!atomic_exchange(&worker->targets_changed, true)) {
            loop_post(worker->loop, targets_changed, worker);
        }
    }
}

/* Whose login is not over has a time for it. */
static bool is_deposed(const ProxyConfig *config, const ProxyServer *server)
{
    if (server->probe || server->state == SERVER_DRAINING || server->state == SERVER_CONNECTING ||
        server->state == SERVER_LOGIN || server->state == SERVER_RELAY_LOGIN) {
        return false;
    }
    const ProxyNames *deposed = &config->target.deposed;
    for (size_t i = 0; i < deposed->count; i++) {
        if (strcmp(deposed->items[i], server->place.id) == 0) {
            return true;
        }
    }
    return false;
}

static ProxyServer *first_deposed(const ProxyWorker *worker)
{
    LIST_FOR_EACH (&worker->servers, node) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (is_deposed(worker->config, server)) {
            return server;
        }
    }
    return NULL;
}

/* Its engine may stand still on a host that nobody reaches: nothing there would ever end. */
static void deposed_abort(ProxyWorker *worker)
{
    for (ProxyServer *server; (server = first_deposed(worker)) != NULL;) {
        stream_abort(server->stream);
        proxy_server_lost(server, "another node leads in its place");
    }
}

/* While nobody leads, as far as we know, it stays as it was. */
static void enforce(ProxyWorker *worker, const ProxyTarget *target)
{
    if (target->id == NULL) {
        return;
    }
    LIST_FOR_EACH (&worker->servers, node) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        server->enforced = server->target == PROXY_TARGET_PRIMARY && target->right_enforced;
    }
}

void proxy_sides_apply(ProxyWorker *worker, const ProxyConfig *old)
{
    const ProxyConfig *config = worker->config;
    enforce(worker, &config->target);
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_target_outdated(old, config, i)) {
            worker->sides[i].retry_at_ms = 0;
            worker->sides[i].problem = (Err){0};
            proxy_side_retire(worker, i);
            leaving_target_changed(worker, i);
        }
    }
    deposed_abort(worker);
    proxy_lines_trim(worker);
    proxy_hubs_trim(worker);
    if (worker->index == 0) {
        proxy_watch_apply(worker, old);
        proxy_pulse_apply(worker);
    }
    if (old->reads != READS_PRIMARY || config->reads != READS_PRIMARY) {
        waiters_move(worker);
    }
}
