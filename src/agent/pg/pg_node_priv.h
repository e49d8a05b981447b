/*
 * One run of a PostgreSQL node's job:
 *
 *   node.c   the run: look, decide (src/ha), do, until there is nothing to do
 *   view.c   the snapshot that is decided on
 *   step.c   the steps
 *   keep.c   what a running engine needs besides: settings, certificates, accounts, slots
 *   lead.c   whom a leader's commits wait for: names, their proof
 */
#ifndef WEIR_AGENT_PG_NODE_PRIV_H
#define WEIR_AGENT_PG_NODE_PRIV_H

#include "agent/node/node_priv.h"

typedef struct PgNode {
    NodeRun *run;
    const char *cluster; /* whose record it goes by: its own, a replica's source's */
    PgSpec spec;
    HaView view;
    int64_t revision; /* of the record in it */
    PgSeen seen;      /* of an engine that answers */
    bool answers;
    bool hears; /* it follows, and has heard from its source of late */
} PgNode;

/* ---- view.c ------------------------------------------------------------------------------------
 */

/* The record, the engine, the neighbours: into node->view and node->seen. */
NODISCARD bool pg_view_make(PgNode *node, Err *err);

/* ---- step.c ------------------------------------------------------------------------------------
 */

/* Carries out what was decided; not a WAIT. */
NODISCARD bool pg_step_do(PgNode *node, const HaDecision *decision, Err *err);
NODISCARD bool pg_find_install(NodeRun *run, PgSpec *spec, Err *err);
/* How the node's configuration is to be, as of the view: into node->spec. `follows`: in recovery.
 */
void pg_spec_role(PgNode *node, bool follows);

/* ---- keep.c ------------------------------------------------------------------------------------
 */

/* Of an engine that answers. *ret_busy: something is still on its way. */
NODISCARD bool pg_keep(PgNode *node, bool *ret_busy, Err *err);
/* Writes its files where they differ, and makes it read them. */
NODISCARD bool pg_keep_files(PgNode *node, Err *err);
/* Into the node's seen record. */
void pg_keep_describe(PgNode *node);

/* ---- lead.c ------------------------------------------------------------------------------------
 */

/* Whether commits wait for the view's names, and each of those has what was written before that was
 * certain (RULES F5): sets `bound` of the view's peers. */
NODISCARD bool pg_lead_prove(PgNode *node, Err *err);
/* Forgets all that held for the run of the engine that has ended. */
void pg_lead_reset(PgLead *lead);

#endif
