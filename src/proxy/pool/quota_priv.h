/*
 * quota: how many clients and server connections a user, or a database, has in all workers
 * together. Counted also where there is no limit, for a reload may bring one.
 *
 *   Quotas   the process's: by name, as long as a pool has it
 *   Quota    of one user or database; its counters are of all threads, and are touched only when a
 *            connection opens or closes, or when somebody waits for a limit's sake
 */
#ifndef WEIR_PROXY_QUOTA_PRIV_H
#define WEIR_PROXY_QUOTA_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "proxy/config/config_priv.h"

#define QUOTA_OTHERS PROXY_WORKERS_MAX /* the side of other processes (peers_priv.h) */
#define QUOTA_NOBODY UINT32_MAX

typedef enum QuotaKind { QUOTA_USER, QUOTA_DATABASE, QUOTA_KINDS } QuotaKind;

typedef struct Quotas {
    pthread_mutex_t lock; /* taken when a worker's pool comes or goes */
    Map *maps[QUOTA_KINDS];
} Quotas;

/* What one worker says of its waiters. */
typedef struct QuotaSide {
    atomic_int_fast64_t oldest_wait_ms; /* who waits for this quota; 0: nobody here */
    int64_t next_ms;                    /* the worker's alone: what that will be */
} QuotaSide;

typedef struct Quota {
    Quotas *quotas;
    QuotaKind kind;
    char *name;
    size_t refs; /* under the lock */
    atomic_uint clients, servers;
    atomic_uint hubs;    /* of the servers: they listen for many clients */
    atomic_uint leaving; /* of the servers: the server has not closed yet, but will */
    QuotaSide sides[PROXY_WORKERS_MAX + 1]; /* the last one is of other processes */
} Quota;

void quotas_init(Quotas *quotas);
void quotas_done(Quotas *quotas);
Quota *quotas_get(Quotas *quotas, QuotaKind kind, Slice name); /* one more reference */
void quota_unref(Quota *quota);

/* One more, where that is not above `max`; 0: no limit. */
NODISCARD bool quota_take(atomic_uint *count, uint32_t max);
void quota_give(atomic_uint *count);

/* Whether one more server connection would be above the limit. */
bool quota_is_full(const Quota *quota, uint32_t max);
/* Whether it will be when those that are leaving are gone. */
bool quota_stays_full(const Quota *quota, uint32_t max);
/* Whether there are more than that then: the limit was lowered. */
bool quota_is_over(const Quota *quota, uint32_t max);
/* Who waits longest for it, but in the worker `except` (QUOTA_NOBODY: anywhere); 0: nobody.
 * *ret_worker may be QUOTA_OTHERS. */
int64_t quota_oldest_wait(const Quota *quota, uint32_t except, uint32_t *ret_worker);

#endif
