/* Shared by the files of agent. */
#ifndef WEIR_AGENT_PRIV_H
#define WEIR_AGENT_PRIV_H

#include <jansson.h>

#include "agent/agent.h"
#include "engine/engine.h"
#include "guard/guard.h"
#include "model/model.h"

#define NODE_ID_MAX   63
#define PLANE_ACCOUNT "weir" /* of proxies and fronts, when started by root */

/* ---- the failover record (cluster.c) -------------------------------------------------------- */

/* What a leader wants its record to say. Members of the set that are not wanted leave it. */
typedef struct ClusterWrite {
    const char *node;
    const char *incarnation;   /* of the leader; the first write makes it the whole set */
    const char *const *wanted; /* incarnations of the standbys that may stay in the set */
    size_t wanted_len;
    const char *added; /* NULL, or one that joins now */
} ClusterWrite;

/* A compare-and-swap of our own that changes the revision even where the set stays as it was
 * (RULES F2). *ret_set is the set just written; the caller gives the reference back.
 * ERR_DENIED: somebody else leads, or the set was made for another data directory. */
NODISCARD bool cluster_write(Store *store, const char *cluster, const ClusterWrite *write,
                             json_t **ret_set, Err *err);
bool cluster_set_has(const json_t *set, const char *incarnation);
/* synchronous_standby_names for the set (F4): "FIRST n (all standbys)", or nothing. */
void cluster_names(const json_t *set, const char *leader_incarnation, const char *joining,
                   Buf *out);

/* ---- one node, as its job sees it ------------------------------------------------------------ */

/* Only the job in progress touches it. */
typedef struct NodeWork {
    const AgentOptions *options;
    const Job *job; /* in progress */
    char id[NODE_ID_MAX + 1];
    char incarnation[NODE_ID_MAX + 1]; /* "" until there is a data directory */
    PgSession *session;                /* of a running PostgreSQL; NULL when away */
    json_t *set;                       /* of the cluster record, as this process last wrote it */
    char *joining;   /* the standby whose name binds already, not yet in the set */
    char *join_lsn;  /* what it must have flushed for that; NULL until the name binds */
    char *admit_lsn; /* what the set's standbys must have flushed before clients see it; NULL until
                        their names bind */
    char *seen_text; /* as last written */
    int64_t seen_revision;
    int64_t password_epoch; /* applied to the running engine; -1: not yet */
    int64_t reboot_epoch;   /* of the running engine */
    int64_t started_ms;     /* wall clock, when it was started; 0: by an earlier agent */
    char *complaint;        /* of the last start, in the engine's words, until one succeeds; NULL */
    char *failure;          /* of the step that failed last, until one goes well; NULL */
    int64_t log_look_ms;    /* of CLOCK_MONOTONIC: when the size of its log is looked at next */
    int64_t certs_look_ms;  /* of CLOCK_MONOTONIC: when its certificates are looked at next */
    bool applied;           /* the running engine has what its files say */
    int failures;
    int quick_ends;         /* of the engine, in a row */
    int64_t start_after_ms; /* of CLOCK_MONOTONIC; 0: at once */
    bool left_running;      /* the engine that served has gone, and no other was started yet */
    bool stop_asked;        /* set by the loop thread between jobs: the tier stops */
} NodeWork;

/* Brings the node one step nearer to its goal. Returns the milliseconds after which it wants to run
 * again without being woken. */
int64_t node_step(NodeWork *work, Slice goal_text);
void node_work_done(NodeWork *work);

#endif
