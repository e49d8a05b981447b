/*
 * sides: what a worker has with each target, and waits for there; and who looks whether targets
 * live that nobody uses.
 */
#ifndef WEIR_PROXY_SIDES_PRIV_H
#define WEIR_PROXY_SIDES_PRIV_H

#include "proxy/proxy_priv.h"
#include "proxy/server/trial_priv.h"

#define PROXY_RETRY_MIN_MS   100 /* after a server did not let us in; doubles up to */
#define PROXY_RETRY_MAX_MS   1000
#define PROXY_PROBE_MS       10000 /* between looks at a target that nobody uses */
#define PROXY_PROBE_DOWN_MS  1000
#define PROXY_PROBE_DATABASE "postgres"

/* What a worker has with one target. */
typedef struct ProxySide {
    List idle; /* servers, the one used last first */
    size_t connecting, leaving;
    size_t linked;  /* to clients */
    size_t waiters; /* clients */
    int64_t retry_at_ms, retry_delay_ms;
    Err problem; /* why the last one did not let us in */
    size_t servers, lines;
    ProxyServer *probe; /* worker 0: is there, or becomes one that watches; NULL: none */
    Trial probe_trial;
    ProxyWatch *watch; /* worker 0; NULL: not watched so far */
} ProxySide;

/* And others may read. */
typedef struct ProxySideShown {
    atomic_int_fast64_t oldest_wait_ms; /* 0: nobody waits here */
    atomic_uint idle_count;
    atomic_bool yield_asked;
    atomic_uint_fast64_t borrows; /* so far */
} ProxySideShown;

/* sides.c */
bool proxy_worker_has_target(const ProxyWorker *worker, size_t target);
/* Any thread: what a replica can serve has changed, and each worker looks who waits for that. */
void proxy_workers_targets_changed(Proxy *proxy);
void proxy_sides_apply(ProxyWorker *worker, const ProxyConfig *old); /* before it was this */
void proxy_side_idle_retire(ProxyWorker *worker, size_t target);     /* what lies idle there */
void proxy_side_retire(ProxyWorker *worker, size_t target); /* and the others, once they are free */
void proxy_sides_retire(ProxyWorker *worker); /* all server connections, but those that watch */

/* probe.c: whether targets live. Worker 0, once a second. */
void proxy_probe_tick(ProxyWorker *worker);
void proxy_probe_give(ProxyServer *server); /* its places */

#endif
