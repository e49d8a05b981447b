/*
 * A pool in front of an instance, or of its read replicas: what a proxy has, and each further
 * endpoint of it. Every one is a process of its own, with the credentials and limits of the proxy.
 */
#ifndef WEIR_CONTROL_POOL_PRIV_H
#define WEIR_CONTROL_POOL_PRIV_H

#include "control/control_priv.h"

typedef struct Pool {
    World *world;
    const char *proxy_id;
    const json_t *proxy; /* its spec */
    const char *plane;   /* the process */
    bool read_only;      /* leads to the replicas of the proxy's target */
    const char *problem; /* why nobody can be served; NULL. Set by pool_plane_put */
} Pool;

/* Who it is for clients: the resource that it is the endpoint of. */
typedef struct PoolFace {
    ResourceType type;
    const char *id;
    const char *host;        /* "1.7" */
    const json_t *group_ids; /* its security groups */
} PoolFace;

/* The address that `next`, the status, has or gets; borrowed from it. */
const char *pool_host(const Pool *pool, json_t *next);
/* Asks for the process. */
void pool_plane_put(Pool *pool, const PoolFace *face);
/* {dbi, State, Reason, Description}: how this process finds the target. */
json_t *pool_target_status_new(const Pool *pool, const char *dbi);
/* The status word of what has this pool, and what there is to say of it. True: it was ready for the
 * first time. */
bool pool_status(const Pool *pool, const json_t *status, json_t *next);

/* The DbiResourceId of the proxy's target; "" where none is registered. */
const char *proxy_target(const json_t *proxy);
/* Its pools send reads to the replicas of its target. */
bool proxy_splits_reads(const World *world, const char *proxy_id);
/* The specs of the read replicas of an instance, by identifier, without those that are leaving. */
typedef struct ReplicaList {
    const json_t **items;
    size_t len;
} ReplicaList;
ReplicaList instance_replicas(World *world, const char *dbi);
/* The proxy has endpoints (endpoint.c); `role` NULL: of whichever role. */
size_t proxy_endpoints_count(const World *world, const char *proxy_id, const char *role);
/* The process of its first READ_ONLY endpoint; NULL: it has none. */
const char *proxy_reader_plane(World *world, const char *proxy_id);

#endif
