/* What the files of pools have of each other: pool.c, wait.c, room.c. */
#ifndef WEIR_PROXY_POOL_PARTS_PRIV_H
#define WEIR_PROXY_POOL_PARTS_PRIV_H

#include "proxy/pool/pool_priv.h"

/* pool.c: NULL: none lies idle. */
ProxyServer *proxy_worker_idle_oldest(ProxyWorker *worker, size_t target);

/* wait.c: NULL: nobody waits. */
ProxyClient *proxy_pool_first_waiter(const ProxyPool *pool);
/* The first who still waits: those who have hung up are let go. */
ProxyClient *proxy_pool_next_waiter(ProxyPool *pool);
/* The pool of this target (PROXY_TARGETS_MAX: of any) whose first waiter is the oldest; with
 * `openable`, only among those that want one more connection than are being opened, and may have
 * it. */
ProxyPool *proxy_worker_oldest_pool(const ProxyWorker *worker, size_t target, bool openable);

/* room.c: whether a free connection of `pool` should rather make room for another pool's or
 * another worker's waiter than serve `next` (NULL: would lie idle). */
bool proxy_pool_should_yield(ProxyPool *pool, const ProxyClient *next);

#endif
