/* Who could lead where nobody may (force_look.c), for force_failover.c. */
#ifndef WEIR_API_FORCE_PRIV_H
#define WEIR_API_FORCE_PRIV_H

#include "api/operations_priv.h"
#include "ha/ha.h"

typedef struct Force {
    const char *id;
    const char *wanted; /* the node that shall lead; NULL: whoever could */
    bool group;         /* else an instance */
    const char *key;    /* of the cluster's record */
    json_t *record;
    const char *leader;
    const char *leader_host;
    HaSet chosen;        /* incarnations that are to be let lead */
    json_t *nodes;       /* theirs, for whoever asks */
    json_t *others;      /* of an instance: those that have data, too, and are not */
    const char *history; /* of a group's: the one that theirs is of, as far as they say */
    const char *late;    /* one that has data, and does not answer yet */
    bool differ;         /* theirs is of several */
} Force;

/* Refused: a read replica, and what there is no record of. */
bool force_find_record(ApiContext *ctx, Force *force);
void force_find_nodes(ApiContext *ctx, Force *force);

/* Of one of its nodes: the incarnation of what it has; "" for none. */
const char *force_incarnation(ApiContext *ctx, const char *node);

#endif
