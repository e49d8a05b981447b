/* What the files of the watch have of each other: watch.c, watch_ask.c, watch_judge.c. */
#ifndef WEIR_PROXY_WATCH_PARTS_PRIV_H
#define WEIR_PROXY_WATCH_PARTS_PRIV_H

#include "proxy/server/server_priv.h"
#include "proxy/split/choice_priv.h"
#include "proxy/target/watch_priv.h"

#define WATCH_COLUMNS 7 /* of an answer: see the queries in watch_ask.c */

/* Of one target. */
struct ProxyWatch {
    ProxyServer *server; /* NULL: there is no connection that can be asked */
    bool asking;         /* an answer is under way */
    bool again;          /* and then another one is wanted */
    bool full;           /* what is asked is more than the position */
    bool narrow;         /* and as much as the role may be told */
    bool narrowed;       /* just now: it is asked anew */
    int64_t asked_us;
    int64_t retry_at_ms;
    int64_t answered_ms;  /* the last whole answer; 0: none */
    int64_t caught_up_ms; /* when it last had replayed what it had received; 0: never */
    LoopTimer late;
    LagHistory history; /* of the primary */
    Slice columns[WATCH_COLUMNS];
};

static inline ProxyStanding *watch_standing(const ProxyWorker *worker, size_t target)
{
    return &worker->proxy->targets[target].standing;
}

static inline bool watch_is_wanted(const ProxyConfig *config, size_t target)
{
    return proxy_config_uses(config, target) &&
           (target != PROXY_TARGET_PRIMARY || config->reads == READS_SPLIT);
}

/* watch_ask.c: asks, with `full` for more than the position; soon, where an answer is under way. */
void proxy_watch_query(ProxyWorker *worker, ProxyWatch *watch, bool full);
extern const StreamHandlers proxy_watch_handlers;

/* watch_judge.c: what it has answered is in its columns. */
void proxy_watch_take(ProxyServer *server, ProxyWatch *watch);
void proxy_watch_down(ProxyWorker *worker, size_t target, const char *reason, const char *why);
void proxy_standing_set(const ProxyWorker *worker, size_t target, bool serves, bool gone);
/* Its position may be another's by now: without a timeline it is worth nothing. The number itself
 * stays, for some thread may just be reading it. */
void proxy_standing_forget(ProxyStanding *standing);

#endif
