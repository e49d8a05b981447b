/*
 * watch: how far a replica is behind, and whether it is one. Worker 0 keeps one connection to each
 * replica that is used, and where reads are split to the primary, too, for all workers: one backend
 * more per target, whatever the number of workers. It asks each WATCH_MS, and at once when somebody
 * wants to know; what it learns is in the target's ProxyStanding and ProxyHealth, and nobody else
 * writes there: a worker that could not log in asks, and backs off by itself (split/route.c).
 *
 *   (nothing) -- each second --> CONNECTING -> LOGIN -> WATCH -- lost, late --> (nothing)
 *
 * It logs in as the first user with a password, to the database `postgres`, and needs no
 * privilege; is not counted in the budget; and is closed with the last use of its target.
 *
 * Time: with a primary that is watched, too, the lag of a replica is told by what the primary had
 * inserted when (choice_priv.h), and no clock but ours counts. Without one, a replica that has
 * replayed whatever it has received, and still receives, is not behind; of another one, the age of
 * the last transaction that it replayed counts, by the clocks of the two hosts.
 */
#ifndef WEIR_PROXY_WATCH_PRIV_H
#define WEIR_PROXY_WATCH_PRIV_H

#include "proxy/proxy_priv.h"

#define WATCH_MS      500
#define WATCH_LATE_MS 5000 /* without an answer it is unreachable */

/* Worker 0, each WATCH_MS: connects, and asks. */
void proxy_watch_tick(ProxyWorker *worker);
/* Worker 0: the configuration is another; the connections to targets that are outdated go. */
void proxy_watch_apply(ProxyWorker *worker, const ProxyConfig *old);
void proxy_watches_end(ProxyWorker *worker); /* the worker drains */
void proxy_watches_done(ProxyWorker *worker);

/* Whether the server's target is watched: then nobody else says how it is, and a probe stays. */
bool proxy_watch_judges(const ProxyServer *server);
void proxy_watch_put_params(Buf *params); /* of its start packet */
void proxy_watch_begin(ProxyServer *server);
/* PostgreSQL does not let it in, but is there. */
void proxy_watch_refused(ProxyServer *server, const char *reason, const char *message,
                         bool passing);
void proxy_watch_gone(ProxyServer *server); /* its connection is, or never was */

/* Any worker: the position of now is wanted, or it is in doubt whether the target is still there,
 * and a replica. Nothing where it is not watched. */
void proxy_watch_ask(ProxyWorker *worker, size_t target);

#endif
