/* What cache.c and cache_front.c share: one replication group, in one round. */
#ifndef WEIR_CONTROL_CACHE_PRIV_H
#define WEIR_CONTROL_CACHE_PRIV_H

#include "control/control_priv.h"

typedef struct Group {
    World *world;
    const char *id;
    const char *plane;
    const char *cluster_key;
    const json_t *spec;
    const json_t *status;
    json_t *next;
    int64_t idle_timeout_s; /* Redis's `timeout`, which the front keeps */
    const char **leavers;   /* members that are removed now, to be made anew on other hosts */
    size_t leavers_len;
    bool hands_over; /* a replica shall lead */
} Group;

const json_t *cache_cluster_of(const Group *group);                   /* its record */
const char *cache_cluster_name(const Group *group);                   /* "rg-ID" */
const char *cache_node_address(const Group *group, const char *node); /* host part */
/* Whether a write is acknowledged when a replica has it: "off", "available", "strict". */
const char *cache_durable(const Group *group);

/* A run of the leader's engine takes writes, in the term that the record gave to it. */
bool cache_leader_serves(const Group *group);
/* A planned failover, or whatever else the spec says that the status does not say yet. */
bool cache_change_is_asked(const Group *group);

/* Says in `group` which nodes leave their hosts now, and notes why others do not yet. */
void cache_move(Group *group);
bool cache_node_leaves(const Group *group, const char *node); /* as cache_move has said */

/* The front's goal. */
void cache_front_put(Group *group);

#endif
