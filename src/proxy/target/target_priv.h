/*
 * target: what all threads know of a server that the proxy is in front of: how many connections to
 * it there are and may be, whether it lives, and of a replica how far it is. Its configuration is a
 * ProxyTarget (config_priv.h) of the same number.
 */
#ifndef WEIR_PROXY_TARGET_PRIV_H
#define WEIR_PROXY_TARGET_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/base.h"

#define PROXY_TARGET_PRIMARY 0 /* its number; replicas have those from 1 on */

/* ---- the budget: server connections of all workers, and of processes that are leaving ----------
 */

typedef struct ProxyBudget {
    atomic_uint max;
    atomic_uint open;
} ProxyBudget;

bool proxy_budget_take(ProxyBudget *budget);
void proxy_budget_give(ProxyBudget *budget);

/* ---- its health, as the main thread reports it -------------------------------------------------
 */

typedef enum TargetState { TARGET_REGISTERING, TARGET_AVAILABLE, TARGET_UNAVAILABLE } TargetState;

typedef struct ProxyHealth {
    pthread_mutex_t lock; /* taken when something changes, never on the way of a query */
    TargetState state;
    /* UNREACHABLE, CONNECTION_FAILED, AUTH_FAILURE, PENDING_PROXY_CAPACITY,
     * INVALID_REPLICATION_STATE */
    const char *reason;
    char description[256];
    int64_t changed_ms;
    int64_t seen_ms;  /* the last answer of either kind */
    uint64_t seconds; /* a bit for each, the last one lowest: whether it was available then */
    unsigned second_count;
} ProxyHealth;

void proxy_health_init(ProxyHealth *health);
void proxy_health_done(ProxyHealth *health);
void proxy_health_reset(ProxyHealth *health); /* it is another target: nothing is known */
void proxy_health_good(ProxyHealth *health);
void proxy_health_bad(ProxyHealth *health, const char *reason, const char *description);
#define PROXY_HEALTH_SECONDS 60
void proxy_health_sample(ProxyHealth *health); /* once a second */
/* Of the last minute in percent; -1: nothing is known yet. */
int proxy_health_available_percent(ProxyHealth *health);
void proxy_health_doubt(ProxyHealth *health); /* look again soon */

/* ---- where it stands ---------------------------------------------------------------------------
 */

/* What worker 0's watch (watch_priv.h) has learnt of a target goes from there to all workers. Read
 * on the way of a transaction that may go to a replica; written a few times per second at most. */
typedef struct ProxyStanding {
    atomic_bool serves;            /* a replica that transactions may go to */
    atomic_bool gone;              /* connections that lie idle there are of no use */
    atomic_bool silent;            /* nor of those in use: it stands still, or cannot be reached */
    atomic_int_fast64_t lag_ms;    /* -1: not known */
    atomic_uint_fast64_t position; /* a replica: replayed so far; the primary: inserted so far */
    atomic_int_fast64_t asked_us;  /* `position` is of then, or later: stored behind it */
    atomic_uint_fast32_t timeline; /* 0: not known */
    atomic_uint_fast64_t system;   /* the identifier of its cluster; 0: not known */
    atomic_bool asked;             /* somebody wants the position of now */
} ProxyStanding;

typedef struct ProxyTargetState {
    ProxyBudget budget;
    ProxyHealth health;
    ProxyStanding standing;
} ProxyTargetState;

#endif
