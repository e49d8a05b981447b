/* One run of a PostgreSQL node's job: what pg_node.c and pg_lead.c share. */
#ifndef WEIR_AGENT_PG_NODE_PRIV_H
#define WEIR_AGENT_PG_NODE_PRIV_H

#include "agent/node_priv.h"

typedef struct PgNode {
    NodeRun *run;
    PgSpec spec;
    bool primary;
    const char *cluster;
    const char **wanted; /* incarnations of the standbys that shall be in the set */
    size_t wanted_len;
    const char **followers; /* incarnations of all that stream from here */
    size_t followers_len;
} PgNode;

/* Before the engine runs as primary with what the goal wants: a compare-and-swap of our own. */
NODISCARD bool pg_node_claim(PgNode *node, Err *err);
/* The files, with the names of the record as this process last wrote it. */
NODISCARD bool pg_node_configure(PgNode *node, bool *ret_changed, Err *err);
/* One step toward the set that the goal wants, and trimmed slots. */
NODISCARD bool pg_node_lead(PgNode *node, const PgSeen *seen, bool *ret_busy, Err *err);
/* Forgets a standby that was about to join. */
void pg_node_join_end(NodeWork *work);

#endif
