/* See route_priv.h. */
#include "proxy/client/client_priv.h"
#include "proxy/split/causal_priv.h"
#include "proxy/split/route_priv.h"
#include "proxy/split/split_priv.h"

#define REFUSED_MS 1000

static const ProxyStanding *standing_of(const ProxyWorker *worker, size_t target)
{
    return &worker->proxy->targets[target].standing;
}

static bool replica_serves(const ProxyPool *home, size_t target)
{
    const ProxyWorker *worker = home->worker;
    const ProxyPool *pool = home->replicas[target - 1];
    return proxy_config_uses(worker->config, target) &&
           atomic_load_explicit(&standing_of(worker, target)->serves, memory_order_relaxed) &&
           (pool == NULL || loop_now_ms(worker->loop) >= pool->refused_until_ms);
}

/* The last login there has failed. The watch will say more of it; until then, and until the next
 * attempt, only what is open there already is of use. */
static bool backs_off(const ProxyWorker *worker, size_t target)
{
    return loop_now_ms(worker->loop) < worker->sides[target].retry_at_ms;
}

/* Who may go to the primary does not wait for that; else it comes last. */
static bool is_shut(const ProxyPool *home, size_t target)
{
    const ProxyPool *pool = home->replicas[target - 1];
    bool open = pool != NULL && pool->servers > pool->connecting;
    return home->worker->config->reads == READS_SPLIT && backs_off(home->worker, target) && !open;
}

/* Other workers and processes may keep what they have there for long. What a leaving process may
 * have, it does not know. */
static bool is_full(const ProxyWorker *worker, size_t target)
{
    const ProxyBudget *budget = &worker->proxy->targets[target].budget;
    return backs_off(worker, target) ||
           (!worker->apart && worker->sides[target].servers == 0 &&
            atomic_load_explicit(&budget->open, memory_order_relaxed) >=
                atomic_load_explicit(&budget->max, memory_order_relaxed));
}

/* The timeline is read first: it is stored behind the first position of it. */
static bool has_replayed(const ProxyStanding *standing, const ReadFloor *floor)
{
    uint32_t timeline = (uint32_t)atomic_load(&standing->timeline);
    return floor_is_reached(floor, atomic_load(&standing->system), timeline,
                            atomic_load_explicit(&standing->position, memory_order_relaxed));
}

ProxyPool *proxy_route_replica(ProxyPool *home, const ReadFloor *floor)
{
    ProxyWorker *worker = home->worker;
    ChoiceReplica replicas[PROXY_REPLICAS_MAX];
    for (size_t i = 0; i < PROXY_REPLICAS_MAX; i++) {
        const ProxySide *side = &worker->sides[i + 1];
        bool usable = replica_serves(home, i + 1) && !is_shut(home, i + 1) &&
                      has_replayed(standing_of(worker, i + 1), floor);
        replicas[i] = (ChoiceReplica){.usable = usable};
        if (usable) {
            replicas[i].full = is_full(worker, i + 1);
            replicas[i].lag_ms =
                atomic_load_explicit(&standing_of(worker, i + 1)->lag_ms, memory_order_relaxed);
            replicas[i].busy = side->linked + side->waiters;
            replicas[i].capacity = worker->config->replicas[i].servers_max;
        }
    }
    size_t best = choice_replica(replicas, PROXY_REPLICAS_MAX, worker->turn);
    if (best == CHOICE_NONE) {
        return NULL;
    }
    worker->turn = best + 1;
    return proxy_pool_at(home, best + 1);
}

bool proxy_route_replica_serves(const ProxyPool *home)
{
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        if (replica_serves(home, i)) {
            return true;
        }
    }
    return false;
}

bool proxy_route_replica_near(const ProxyPool *home)
{
    const ProxyWorker *worker = home->worker;
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        if (replica_serves(home, i) && !is_shut(home, i) &&
            choice_lag_class(
                atomic_load_explicit(&standing_of(worker, i)->lag_ms, memory_order_relaxed)) == 0) {
            return true;
        }
    }
    return false;
}

ProxyPool *proxy_route(ProxyClient *client, Slice data, size_t *ret_read_len)
{
    ProxyReads reads = client->worker->config->reads;
    if (reads == READS_SPLIT) {
        return proxy_split_route(client, data, ret_read_len);
    }
    const ClientSplit *split = client->split; /* what it wrote while it could asks for nothing */
    if (reads == READS_REPLICAS && split != NULL && split->told && split->system != 0) {
        return proxy_causal_route(client);
    }
    return proxy_route_welcome(client);
}

ProxyPool *proxy_route_welcome(ProxyClient *client)
{
    const ProxyWorker *worker = client->worker;
    bool primary =
        client->pool->replication || proxy_worker_has_target(worker, PROXY_TARGET_PRIMARY);
    ProxyPool *replica = worker->config->reads == READS_PRIMARY || primary
                             ? NULL
                             : proxy_route_replica(client->pool, NULL);
    return replica != NULL ? replica : client->pool;
}

bool proxy_route_refused(ProxyPool *pool)
{
    if (pool->target == PROXY_TARGET_PRIMARY || pool->worker->config->reads != READS_SPLIT) {
        return false;
    }
    pool->refused_until_ms = loop_now_ms(pool->worker->loop) + REFUSED_MS;
    return true;
}

void proxy_route_look_elsewhere(ProxyPool *pool)
{
    if (pool->target != PROXY_TARGET_PRIMARY) {
        proxy_pool_move_welcomes(pool);
        proxy_pool_wake_waiters(pool, true);
    }
}

char *proxy_route_problem_new(const ProxyWorker *worker)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "No replica can serve reads:");
    size_t count = 0;
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        if (!proxy_config_uses(worker->config, i)) {
            continue;
        }
        ProxyHealth *health = &worker->proxy->targets[i].health;
        pthread_mutex_lock(&health->lock);
        buf_printf(
            &text, "%s %s: %s", count++ > 0 ? ";" : "", proxy_config_target(worker->config, i)->id,
            health->state == TARGET_REGISTERING ? "it has not answered yet" : health->description);
        pthread_mutex_unlock(&health->lock);
    }
    buf_append_str(&text, count == 0 ? " none is registered." : ".");
    char *result = mem_strdup(buf_str(&text));
    buf_done(&text);
    return result;
}
