/* One run of a PostgreSQL node's job: what pg_node.c and pg_lead.c share. */
#ifndef WEIR_AGENT_PG_NODE_PRIV_H
#define WEIR_AGENT_PG_NODE_PRIV_H

#include "agent/node_priv.h"

/* Another node of the tier, as its own agent reported it. */
typedef struct PgPeer {
    const char *incarnation;
    bool has_data; /* false: it is being cloned */
} PgPeer;

typedef struct PgNode {
    NodeRun *run;
    PgSpec spec;
    bool primary;
    const char *cluster;
    const char **wanted; /* incarnations of the standbys that shall be in the set */
    size_t wanted_len;
    PgPeer *followers; /* all that stream from here */
    size_t followers_len;
    bool open; /* clients reach the engine */
} PgNode;

/* Before the engine runs as primary with what the goal wants: a compare-and-swap of our own. */
NODISCARD bool pg_node_claim(PgNode *node, Err *err);
/* The files, with the names of the record as this process last wrote it. */
NODISCARD bool pg_node_configure(PgNode *node, bool *ret_changed, Err *err);
/* Whether what clients of a primary would see is safe: the standbys of the set have it (F7). */
NODISCARD bool pg_node_admits(PgNode *node, bool *ret_admits, Err *err);
/* One step toward the set that the goal wants; and the slots of those who follow. */
NODISCARD bool pg_node_lead(PgNode *node, const PgSeen *seen, bool *ret_busy, Err *err);
/* Forgets a standby that was about to join. */
void pg_node_join_end(NodeWork *work);

#endif
