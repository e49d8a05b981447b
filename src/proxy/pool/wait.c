/*
 * Clients that wait for a server connection: first come, first served in their pool, up to the
 * borrow timeout.
 */
#include "proxy/client/client_priv.h"
#include "proxy/pool/pool_parts_priv.h"
#include "proxy/split/route_priv.h"

static void wait_tick(void *user);

ProxyClient *proxy_pool_first_waiter(const ProxyPool *pool)
{
    ListNode *node = list_first(&pool->waiters);
    return node != NULL ? CONTAINER_OF(node, ProxyClient, wait_node) : NULL;
}

int64_t proxy_pool_waits_since(const ProxyPool *pool)
{
    return proxy_pool_first_waiter(pool)->wait_since_ms;
}

ProxyPool *proxy_worker_oldest_pool(const ProxyWorker *worker, size_t target, bool openable)
{
    ProxyPool *oldest = NULL;
    LIST_FOR_EACH (&worker->waiting, node) {
        ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        if (target < PROXY_TARGETS_MAX && pool->target != target) {
            continue;
        }
        if (openable && (pool->connecting >= pool->waiters.len || pool->ask != NULL ||
                         proxy_limits_wait_for(pool) != NULL)) {
            continue;
        }
        if (oldest == NULL || proxy_pool_first_waiter(pool)->wait_since_ms <
                                  proxy_pool_first_waiter(oldest)->wait_since_ms) {
            oldest = pool;
        }
    }
    return oldest;
}

/* Those who wait for a limit of their own have no use for what others give up. */
void proxy_pool_waits_publish(ProxyWorker *worker, ProxyPool *left)
{
    int64_t oldest[PROXY_TARGETS_MAX] = {0};
    LIST_FOR_EACH (&worker->waiting, node) {
        const ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        int64_t since = proxy_pool_waits_since(pool);
        int64_t *of_target = &oldest[pool->target];
        if ((*of_target == 0 || since < *of_target) && proxy_limits_wait_for(pool) == NULL) {
            *of_target = since;
        }
    }
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        atomic_int_fast64_t *shown = &worker->shown[i].oldest_wait_ms;
        if (atomic_load_explicit(shown, memory_order_relaxed) != oldest[i]) {
            atomic_store(shown, oldest[i]);
        }
    }
    if (worker->config->limited) {
        proxy_limits_publish(worker, left);
    }
}

/* One that has waited elsewhere goes in front of those who came after it. */
static void waiters_insert(ProxyPool *pool, ProxyClient *client)
{
    ListNode *after = pool->waiters.head.prev;
    while (after != &pool->waiters.head &&
           CONTAINER_OF(after, ProxyClient, wait_node)->wait_since_ms > client->wait_since_ms) {
        after = after->prev;
    }
    list_insert_after(&pool->waiters, after, &client->wait_node);
}

void proxy_pool_wait(ProxyPool *pool, ProxyClient *client)
{
    ProxyWorker *worker = pool->worker;
    if (pool->waiters.len == 0) {
        list_push_back(&worker->waiting, &pool->waiting_node);
    }
    if (client->wait_since_ms == 0) {
        client->wait_since_ms = loop_now_ms(worker->loop);
    }
    client->waits_in = pool;
    waiters_insert(pool, client);
    proxy_meter_add(pool->meter, STAT_CLIENTS_WAITING, 1);
    worker->sides[pool->target].waiters++;
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
    ProxyPool *pool = client->waits_in;
    ProxyWorker *worker = pool->worker;
    client->waits_in = NULL;
    list_remove(&pool->waiters, &client->wait_node);
    proxy_meter_add(pool->meter, STAT_CLIENTS_WAITING, -1);
    worker->sides[pool->target].waiters--;
    if (pool->waiters.len == 0) {
        list_remove(&worker->waiting, &pool->waiting_node);
    }
    proxy_pool_waits_publish(worker, pool->waiters.len == 0 ? pool : NULL);
}

void proxy_pool_wake_waiters(ProxyPool *pool, bool keep_turn)
{
    for (ListNode *node = list_first(&pool->waiters); node != NULL;) {
        ProxyClient *client = CONTAINER_OF(node, ProxyClient, wait_node);
        node = list_next(&pool->waiters, node);
        if (client->state == CLIENT_WAITING) {
            proxy_pool_wait_end(client);
            client->wait_since_ms = keep_turn ? client->wait_since_ms : 0;
            client->state = CLIENT_READY;
            proxy_client_resume(client);
        }
    }
}

static void welcome_those_of(ProxyPool *pool)
{
    if (pool->replication) {
        return; /* each waits for a connection of its own */
    }
    const ProxyPool *home = pool->home;
    for (ListNode *node = list_first(&pool->waiters); node != NULL && home->welcome != NULL;) {
        ProxyClient *client = CONTAINER_OF(node, ProxyClient, wait_node);
        node = list_next(&pool->waiters, node);
        if (client->state == CLIENT_WELCOME) {
            proxy_pool_wait_end(client);
            client->wait_since_ms = 0;
            proxy_client_welcome(client);
        }
    }
}

void proxy_pool_welcome_waiters(ProxyPool *home)
{
    ASSERT(home->home == home);
    welcome_those_of(home);
    for (size_t i = 0; i < PROXY_REPLICAS_MAX && home->replica_count > 0; i++) {
        if (home->replicas[i] != NULL) {
            welcome_those_of(home->replicas[i]);
        }
    }
}

void proxy_pool_move_welcomes(ProxyPool *pool)
{
    for (ListNode *node = list_first(&pool->waiters); node != NULL;) {
        ProxyClient *client = CONTAINER_OF(node, ProxyClient, wait_node);
        ProxyPool *other = proxy_route_welcome(client);
        node = list_next(&pool->waiters, node);
        if (client->state == CLIENT_WELCOME && other != pool) {
            proxy_pool_wait_end(client);
            proxy_pool_wait(other, client);
        }
    }
}

void proxy_pool_fail_waiters(ProxyPool *pool, const PgError *error)
{
    pool->clients++; /* so that the pool outlives the last of them */
    for (ProxyClient *client; (client = proxy_pool_first_waiter(pool)) != NULL;) {
        proxy_client_refuse(client, error);
    }
    pool->clients--;
    proxy_pool_unused(pool);
}

/* What there was not enough of; the caller frees it. */
static char *shortage_new(const ProxyPool *pool)
{
    const ProxyWorker *worker = pool->worker;
    if (!proxy_config_uses(worker->config, pool->target)) {
        return proxy_route_problem_new(worker);
    }
    const Quota *quota = proxy_limits_wait_for(pool);
    if (quota != NULL) {
        return mem_printf("All %u connections that the %s %s may have are in use.",
                          pool->limits[quota->kind].servers,
                          quota->kind == QUOTA_USER ? "role" : "database", quota->name);
    }
    return mem_printf("All %u connections are in use.",
                      atomic_load(&worker->proxy->targets[pool->target].budget.max));
}

/* The wording of RDS Proxy; the detail is ours. */
static void waiter_timed_out(ProxyClient *client)
{
    ProxyWorker *worker = client->worker;
    const ProxyPool *pool = client->waits_in;
    const Err *problem = &worker->sides[pool->target].problem;
    bool failed = problem->code != ERR_NONE;
    bool nobody = !proxy_config_uses(worker->config, pool->target);
    CLEANUP(mem_free_ptr)
    char *detail = failed ? mem_printf("The last attempt to connect failed: %s.", problem->message)
                          : shortage_new(pool);
    failed = failed || nobody;
    proxy_meter_add(proxy_client_meter(client), STAT_BORROW_TIMEOUTS, 1);
    proxy_client_fatal(client, failed ? "08001" : "53300",
                       "Timed-out waiting to acquire database connection.", detail);
}

/* The first waiter of each pool is its oldest. */
static void waiters_time_out(ProxyWorker *worker)
{
    int64_t limit = worker->config->borrow_ms;
    for (ProxyPool *pool; limit > 0 && (pool = proxy_worker_oldest_pool(worker, PROXY_TARGETS_MAX,
                                                                        false)) != NULL;) {
        ProxyClient *client = proxy_pool_first_waiter(pool);
        if (loop_now_ms(worker->loop) - client->wait_since_ms < limit) {
            return;
        }
        waiter_timed_out(client);
    }
}

/* Asking costs a system call, and who came a moment ago is still there. */
static bool has_hung_up(const ProxyClient *client)
{
    int64_t waited_ms = loop_now_ms(client->worker->loop) - client->wait_since_ms;
    return waited_ms >= PROXY_CHECK_WAITER_MS && stream_peer_ended(client->stream);
}

/* The first who still waits: those who have hung up are let go, for a connection would be spent on
 * an answer that nobody reads. */
ProxyClient *proxy_pool_next_waiter(ProxyPool *pool)
{
    for (ProxyClient *client; (client = proxy_pool_first_waiter(pool)) != NULL;) {
        if (!has_hung_up(client)) {
            return client;
        }
        proxy_client_close(client);
    }
    return NULL;
}

/* So that nothing is done elsewhere for the sake of a client that is not there any more. */
static void waiters_check(ProxyWorker *worker)
{
    for (ListNode *node = list_first(&worker->waiting); node != NULL;) {
        ProxyPool *pool = CONTAINER_OF(node, ProxyPool, waiting_node);
        node = list_next(&worker->waiting, node);
        pool->clients++; /* keeps it while its waiters go */
        proxy_pool_next_waiter(pool);
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
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        list_init(&worker->sides[i].idle);
    }
}

void proxy_worker_waits_done(ProxyWorker *worker)
{
    loop_timer_stop(&worker->wait_timer);
    loop_defer_cancel(&worker->pump);
    ASSERT(map_len(worker->pools) == 0);
    map_free(worker->pools);
}
