/*
 * What a target has answered, and whether it has, as all threads see it: how far a replica is
 * behind whom, whether it serves, and where the primary is. Worker 0's alone.
 */
#include <stdlib.h>

#include "proxy/split/split_priv.h"
#include "proxy/target/watch_parts_priv.h"

static ProxyHealth *health_of(const ProxyWorker *worker, size_t target)
{
    return &worker->proxy->targets[target].health;
}

void proxy_standing_set(const ProxyWorker *worker, size_t target, bool serves, bool gone)
{
    ProxyStanding *standing = watch_standing(worker, target);
    bool served = atomic_exchange(&standing->serves, serves);
    bool was_gone = atomic_exchange(&standing->gone, gone);
    if (served != serves || was_gone != gone) {
        proxy_workers_targets_changed(worker->proxy);
    }
}

void proxy_standing_forget(ProxyStanding *standing)
{
    atomic_store(&standing->asked_us, 0);
    atomic_store(&standing->timeline, 0);
    atomic_store(&standing->system, 0);
}

void proxy_watch_down(ProxyWorker *worker, size_t target, const char *reason, const char *why)
{
    ProxyStanding *standing = watch_standing(worker, target);
    proxy_health_bad(health_of(worker, target), reason, why);
    atomic_store(&standing->lag_ms, -1);
    proxy_standing_set(worker, target, false, true);
}

static int64_t column(const ProxyWatch *watch, size_t index, int64_t fallback)
{
    char text[24];
    Slice value = watch->columns[index];
    if (value.data == NULL || value.len >= sizeof(text)) {
        return fallback;
    }
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    return strtoll(text, NULL, 10);
}

/* By itself: see watch_priv.h, "Time". */
static int64_t own_lag(ProxyWatch *watch, int64_t now_ms)
{
    bool receives = column(watch, 3, 0) > 0;
    int64_t age_ms = column(watch, 4, -1);
    if (receives && column(watch, 2, 0) == 1) {
        watch->caught_up_ms = now_ms;
        return 0;
    }
    int64_t since_ms = watch->caught_up_ms > 0 ? now_ms - watch->caught_up_ms : -1;
    if (age_ms < 0 || since_ms < 0) {
        return age_ms < 0 ? since_ms : age_ms;
    }
    return age_ms < since_ms ? age_ms : since_ms;
}

static int64_t lag_of(const ProxyWorker *worker, ProxyWatch *watch, int64_t now_ms)
{
    const ProxyWatch *primary = worker->sides[PROXY_TARGET_PRIMARY].watch;
    int64_t own = own_lag(watch, now_ms);
    bool compares = worker->config->reads == READS_SPLIT && primary != NULL &&
                    primary->answered_ms > 0 && now_ms - primary->answered_ms < WATCH_LATE_MS;
    uint64_t replayed = (uint64_t)column(watch, 1, 0);
    return compares ? lag_history_behind(&primary->history, replayed, now_ms) : own;
}

/* NULL: nothing; else the caller frees it. */
static char *problem_new(const ProxyWorker *worker, size_t target, int64_t lag_ms)
{
    const ProxyConfig *config = worker->config;
    uint32_t own = (uint32_t)atomic_load(&watch_standing(worker, target)->timeline);
    uint32_t primary = (uint32_t)atomic_load(&watch_standing(worker, 0)->timeline);
    if (config->reads == READS_SPLIT && primary != 0 && own != primary) {
        return mem_printf("it follows timeline %u, and the primary is on %u", own, primary);
    }
    if (config->lag_max_ms > 0 && lag_ms < 0) {
        return mem_strdup("it is not known how far it is behind");
    }
    if (config->lag_max_ms > 0 && lag_ms > config->lag_max_ms) {
        return mem_printf("it is %lld ms behind, and max_replica_lag_ms is %lld", (long long)lag_ms,
                          (long long)config->lag_max_ms);
    }
    return NULL;
}

static void replica_judge(ProxyWorker *worker, size_t target, int64_t lag_ms)
{
    CLEANUP(mem_free_ptr) char *problem = problem_new(worker, target, lag_ms);
    if (problem != NULL) {
        proxy_health_bad(health_of(worker, target), "INVALID_REPLICATION_STATE", problem);
    } else {
        proxy_health_good(health_of(worker, target));
    }
    proxy_standing_set(worker, target, problem == NULL, false);
}

/* The primary is on another timeline: those that serve may not be, and would be asked for what they
 * never get. */
static void replicas_judge(ProxyWorker *worker)
{
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        const ProxyStanding *standing = watch_standing(worker, i);
        if (atomic_load(&standing->serves)) {
            replica_judge(worker, i, atomic_load(&standing->lag_ms));
        }
    }
}

static void replica_seen(ProxyWorker *worker, size_t target, ProxyWatch *watch)
{
    ProxyStanding *standing = watch_standing(worker, target);
    int64_t lag_ms = lag_of(worker, watch, loop_now_ms(worker->loop));
    atomic_store(&standing->system, (uint64_t)column(watch, 6, 0));
    atomic_store(&standing->timeline, (uint32_t)column(watch, 5, 0));
    atomic_store(&standing->lag_ms, lag_ms);
    replica_judge(worker, target, lag_ms);
}

static void primary_seen(ProxyWorker *worker, ProxyWatch *watch)
{
    ProxyStanding *standing = watch_standing(worker, PROXY_TARGET_PRIMARY);
    if (column(watch, 0, 0) != 0) {
        proxy_health_bad(health_of(worker, PROXY_TARGET_PRIMARY), "INVALID_REPLICATION_STATE",
                         "it is a replica: it is in recovery");
        return;
    }
    uint32_t timeline = (uint32_t)column(watch, 5, 0);
    atomic_store(&standing->system, (uint64_t)column(watch, 6, 0));
    if (atomic_exchange(&standing->timeline, timeline) != timeline) {
        replicas_judge(worker);
    }
    lag_history_add(&watch->history, lag_position_of_insert((uint64_t)column(watch, 1, 0)),
                    watch->asked_us / US_PER_MS, 2 * worker->config->lag_max_ms / LAG_HISTORY_MAX);
    proxy_health_good(health_of(worker, PROXY_TARGET_PRIMARY));
}

/* Of a primary it is worth nothing while that is a replica itself. */
static void position_publish(ProxyWorker *worker, size_t target, const ProxyWatch *watch)
{
    ProxyStanding *standing = watch_standing(worker, target);
    bool primary = target == PROXY_TARGET_PRIMARY;
    if (watch->columns[1].data == NULL || (column(watch, 0, 0) == 0) != primary) {
        return;
    }
    uint64_t position = (uint64_t)column(watch, 1, 0);
    atomic_store(&standing->position, primary ? lag_position_of_insert(position) : position);
    atomic_store(&standing->asked_us, watch->asked_us);
    atomic_store(&standing->silent, false);
    proxy_split_positions_known(worker->proxy);
}

void proxy_watch_take(ProxyServer *server, ProxyWatch *watch)
{
    ProxyWorker *worker = server->worker;
    if (watch->full && watch->narrow) {
        watch->narrow = column(watch, 6, 0) == 0;
        watch->columns[6] = (Slice){0};
    }
    position_publish(worker, server->target, watch);
    if (server->target != PROXY_TARGET_PRIMARY && column(watch, 0, 0) != 1) {
        proxy_watch_down(worker, server->target, "INVALID_REPLICATION_STATE",
                         "it is no replica: it is not in recovery");
    } else if (watch->full && server->target == PROXY_TARGET_PRIMARY) {
        primary_seen(worker, watch);
    } else if (watch->full) {
        replica_seen(worker, server->target, watch);
    }
    if (watch->full) {
        watch->answered_ms = loop_now_ms(worker->loop);
    }
}
