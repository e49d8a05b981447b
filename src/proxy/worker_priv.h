/*
 * worker: a thread with a loop, and everything that came in by the listeners that it has on the
 * shared sockets. What is not said to be read by others is touched by this thread alone; the main
 * thread speaks to it by posts.
 */
#ifndef WEIR_PROXY_WORKER_PRIV_H
#define WEIR_PROXY_WORKER_PRIV_H

#include "proxy/client/throttle_priv.h"
#include "proxy/meter/meter_priv.h"
#include "proxy/target/sides_priv.h"

#define PROXY_DRAIN_MS 3000 /* the agent kills after 5 s */

typedef struct ProxyDoor {
    ProxyWorker *worker;
    ProxySocket *socket;
    Listener *listener;
    uint16_t port;
} ProxyDoor;

struct ProxyWorker {
    Proxy *proxy;
    uint32_t index;
    pthread_t thread;
    Loop *loop;
    ProxyConfig *config;
    PgPolicy client_policy, server_policy, ask_policy;
    VEC(ProxyDoor *) doors;
    Pool *client_slots, *server_slots;
    VEC(PoolHandle) client_handles; /* by slot */
    List clients, servers;
    List hubs;  /* of the servers; to the primary, all of them */
    Map *pools; /* homes */
    ProxySide sides[PROXY_TARGETS_MAX];
    size_t turn;         /* so that equal replicas take turns */
    SqlMemo *memo;       /* of all its clients */
    List waiting;        /* pools with waiters */
    List admin_requests; /* of clients here */
    List parked;         /* clients, by their ClientSplit */
    unsigned park_ticks;
    int64_t limits_asked_ms; /* when others were asked for the sake of a limit */
    LoopDefer pump;
    List held; /* servers, by their held_node */
    LoopTimer wait_timer, tick, drain_timer, watch_timer, park_timer, hold_timer;
    bool draining;
    bool shut;  /* it accepts nobody: not yet, or not any more */
    bool apart; /* the process is leaving: what counts for a limit is another one's to give */
    Throttle *throttle;
    size_t delayed; /* clients in CLIENT_DENIED */
    /* Read by others. */
    _Alignas(64) ProxySideShown shown[PROXY_TARGETS_MAX];
    atomic_bool nudged, limits_asked, targets_changed, any_parked, look_asked, any_held,
        any_refused, holds_asked; /* refused: clients wait until the primary may answer */
    ProxyMeters meters;
};

/* What belongs to nobody yet. */
static inline void proxy_worker_count(ProxyWorker *worker, ProxyStat stat, int64_t change)
{
    proxy_meter_add(worker->meters.items[0], stat, change);
}

/* Main thread: makes it, which may be half done where it fails; then lets its thread run. */
NODISCARD bool proxy_worker_init(ProxyWorker *worker, ProxyConfig *config, Err *err);
NODISCARD bool proxy_worker_start(ProxyWorker *worker, Err *err);
void proxy_worker_apply(ProxyWorker *worker,
                        ProxyConfig *config); /* main thread; returns when it is done */
void proxy_worker_drain(ProxyWorker *worker); /* main thread */
/* Main thread; they return when it is done. */
void proxy_worker_accept(ProxyWorker *worker); /* by all sockets of the configuration */
void proxy_worker_leave(ProxyWorker *worker);  /* nobody; and what it has is counted as held */
void proxy_worker_done(ProxyWorker *worker);   /* main thread, after the join, if any */

void proxy_worker_remember(ProxyWorker *worker, PoolHandle client);
void proxy_worker_client_gone(ProxyWorker *worker); /* one client less */
void proxy_worker_server_gone(ProxyWorker *worker); /* one server connection less */

/* admin/request.c */
void proxy_admin_requests_done(ProxyWorker *worker); /* all threads have ended */

#endif
