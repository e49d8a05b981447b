/*
 * route: which target a transaction goes to, by what the configuration says of reads. Who finds no
 * replica waits in its home pool until there is one.
 */
#ifndef WEIR_PROXY_ROUTE_PRIV_H
#define WEIR_PROXY_ROUTE_PRIV_H

#include "proxy/proxy_priv.h"
#include "proxy/split/choice_priv.h"

/* For the transaction that begins with `data`. NULL, and *ret_read_len: see proxy_split_route. */
ProxyPool *proxy_route(ProxyClient *client, Slice data, size_t *ret_read_len);
/* The replica that is best for one more, among those that have replayed as much (NULL: whatever);
 * NULL: there is none. */
ProxyPool *proxy_route_replica(ProxyPool *home, const ReadFloor *floor);
/* Whether one of them serves at all. */
bool proxy_route_replica_serves(const ProxyPool *home);
/* Whether one of those that serve will soon have what the primary has. */
bool proxy_route_replica_near(const ProxyPool *home);
/* For a client that waits for what a server says at login. */
ProxyPool *proxy_route_welcome(ProxyClient *client);
/* The target of the pool has refused its role or database for good. True: others can serve its
 * waiters, and it is left alone for a while. */
bool proxy_route_refused(ProxyPool *pool);
/* A connection could not be had for the pool, and not for long, as it seems: its waiters go where
 * more can be had now. */
void proxy_route_look_elsewhere(ProxyPool *pool);
/* Why there is no replica; the caller frees it. */
char *proxy_route_problem_new(const ProxyWorker *worker);

#endif
