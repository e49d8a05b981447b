/*
 * One run of a node's job: what both engines have in common (this room), and what that
 * gives to pg/node.c and redis/node.c.
 */
#ifndef WEIR_AGENT_NODE_PRIV_H
#define WEIR_AGENT_NODE_PRIV_H

#include "agent/hosts/hosts_priv.h"

/* Lives for one call of node_step; everything from its arena. */
typedef struct NodeRun {
    NodeWork *work;
    Arena *arena;
    json_t *goal;
    json_t *seen; /* what will be written when the step ends */
    char *unread; /* why a neighbour's record could not be had; NULL: all could */
    EnginePaths paths;
    const char *role; /* for people */
    bool was_running; /* it served when this step began */
    bool settled;     /* the step found nothing left to do */
    char goal_digest[SHA256_HEX_SIZE];
} NodeRun;

/* ---- run.c -------------------------------------------------------------------------------------
 */

/* Of one run of the job; then it is queued again, and others have their turn. */
#define NODE_STEPS_MAX 16
#define NODE_IDLE_MS   1000 /* between two looks at a healthy node */
#define NODE_WATCH_MS  250  /* and at one that can be failed over from, or to */
#define NODE_KEEP_MS   1000 /* and from one time that it is looked after to the next */

/* What a node is, as the view of either engine has it. */
typedef struct NodeTold {
    HaState state;
    bool run;     /* it is wanted to */
    bool link_up; /* to what it follows */
    bool hears;
    int64_t term;
} NodeTold;

/* Into the seen record: the word for it, its part, and who says so. */
void node_describe(NodeRun *run, const NodeTold *told);
/* The engine runs, and the goal wants another run of it. */
bool node_reboot_is_due(const NodeRun *run);
/* It is to go, and the cluster that could count on it is no more. */
bool node_is_forgotten(const NodeRun *run, const char *cluster);
/* `why` may be empty. */
void node_log_step(const NodeRun *run, HaDuty duty, HaState state, const char *step,
                   const char *why);
/* The pause, or what was decided (0: nothing) where that is sooner. */
int64_t node_again_ms(int64_t pause_ms, int64_t wanted_ms);

/* ---- the engines: pg/node.c, redis/node.c ------------------------------------------------------
 */

/* The steps return the milliseconds until they want to run again, or -1 with err set. */
int64_t pg_node_step(NodeRun *run, Err *err);
int64_t redis_node_step(NodeRun *run, Err *err);

/* ---- node.c ------------------------------------------------------------------------------------
 */

/* Where the node of this goal is reached: its host's net, and its host part. */
const char *node_address(const NodeRun *run, const json_t *goal);
/* The goal's settings, borrowed from it. */
void node_settings(NodeRun *run, const EngineSetting **ret_settings, size_t *ret_len);
/* Who may enter the folder by which clients reach an engine: the data plane's group. */
gid_t node_readers(void);
NODISCARD bool node_unseal(const NodeRun *run, const char *sealed, const char *context,
                           Secret *ret_secret, Err *err);
/* Stops it, and removes all that there is of it. */
NODISCARD bool node_remove(NodeRun *run, Err *err);
/* 0.2 s for the first failure, twice as long for each that follows, 5 s at most. */
int64_t node_backoff_ms(int failures);

/* ---- neighbours.c ------------------------------------------------------------------------------
 */

/* "goal" or "seen" of another node, the caller's: *ret_record is NULL where there is none. */
NODISCARD bool node_neighbour_read(NodeRun *run, const char *node, const char *record,
                                   json_t **ret_record, Err *err);
/* The same for whoever makes a view; NULL also where the store does not answer. */
json_t *node_neighbour(NodeRun *run, const char *node, const char *record);
/* Whether the store has answered all of those since run->unread was NULL. A view without one of
 * them decides nothing: a standby that could not be read of is not one that is gone (F10). */
NODISCARD bool node_neighbours_known(const NodeRun *run, Err *err);
/* Whether a node with this data directory follows this one, or may do so. */
bool node_is_follower(NodeRun *run, const char *incarnation);

/* ---- certs.c -----------------------------------------------------------------------------------
 */

/* Folders, and fresh certificates for this node where there are none; `client_name` is the common
 * name with which it logs in to the node it follows. */
NODISCARD bool node_dirs(NodeRun *run, const ProcessAccount *account, const char *client_name,
                         Err *err);
/* Of a running node, now and then: others in the place of certificates that end before long, which
 * the engine has to read then. */
NODISCARD bool node_certs_renew(NodeRun *run, const ProcessAccount *account,
                                const char *client_name, bool *ret_renewed, Err *err);

/* ---- mark.c ------------------------------------------------------------------------------------
 */

/* What the last agent left, where this one does not know it yet: the incarnation of a data
 * directory that counts. */
NODISCARD bool node_mark_read(NodeRun *run, Err *err);
/* From here on the data directory counts; before, the next run makes it anew. Durable. */
NODISCARD bool node_mark_prepared(NodeRun *run, const char *incarnation, HaData data, Err *err);
/* And from here on it does not. */
NODISCARD bool node_mark_drop(NodeRun *run, Err *err);
/* Whether an empty data directory may be made where there is none (F4): not when the cluster counts
 * on one, or may have. ha_decide has said so of the record that it saw; this looks once more.
 * ERR_DENIED says what may be wrong. */
NODISCARD bool node_may_begin_anew(NodeRun *run, const char *cluster, Err *err);

/* ---- guard.c -----------------------------------------------------------------------------------
 */

bool node_guard_runs(const NodeRun *run);
/* Between two steps the engine of a node that served has gone. Noted before this step says anything
 * else of the node, and kept until the next start. */
void node_note_left_running(NodeRun *run);
/* F8: of one whose guard has gone, what that has left is ended, and waited for. It may be that it
 * cannot die. */
NODISCARD bool node_reap(NodeRun *run, Err *err);
/* Starts the engine under a guard, after nothing of an earlier one is left. */
NODISCARD bool node_guard_start(NodeRun *run, const char *const *argv,
                                const ProcessAccount *account, Err *err);
/* Stops the engine and waits until it is reaped. */
NODISCARD bool node_guard_stop(NodeRun *run, Err *err);
NODISCARD bool node_guard_kill(NodeRun *run, Err *err); /* the same, at once */
/* Tells users how it ended, where nobody had asked for it, and what becomes of it ("it is started
 * again"); once for each end. */
void node_tell_end(NodeRun *run, const char *then);
/* Of one that does not run: somebody had asked for its end. */
bool node_stop_was_asked(const NodeRun *run);
/* The same: SIGKILL has ended it, or nobody knows what did. */
bool node_was_killed(const NodeRun *run);

/* ---- seen.c ------------------------------------------------------------------------------------
 */

/* The record as it stands in the store, where this process does not know it yet. */
void node_seen_load(NodeRun *run);
void node_seen_set(NodeRun *run, const char *state, const char *incarnation);
/* What went wrong is told until a step has gone well, also while it is tried again. */
void node_seen_error(NodeRun *run);
/* An integer of the record as it was before this step. */
int64_t node_seen_before(const NodeRun *run, const char *name, int64_t fallback);
/* Writes the record now where it differs from what stands in the store. */
NODISCARD bool node_seen_write(NodeRun *run, Err *err);
/* For those who look on: an event of the node's resource, and a line in the log. */
void node_event(NodeRun *run, const char *category, const char *message);

#endif
