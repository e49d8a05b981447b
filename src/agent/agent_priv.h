/* Shared by the files of agent. */
#ifndef WEIR_AGENT_PRIV_H
#define WEIR_AGENT_PRIV_H

#include <jansson.h>

#include "agent/agent.h"
#include "engine/engine.h"
#include "group/group.h"
#include "guard/guard.h"
#include "ha/ha.h"
#include "model/model.h"

#define NODE_ID_MAX   63
#define PLANE_ACCOUNT "weir" /* of proxies and fronts, when started by root */

/* A host's beat as it was seen last. */
typedef struct HostBeat {
    char key[HOST_NAME_SIZE + 16];
    int64_t revision; /* 0: none was */
    int64_t seen_ms;  /* of CLOCK_BOOTTIME: since when there was no other, as far as was listened */
} HostBeat;

/* ---- the failover record (cluster.c) -------------------------------------------------------- */

/* *ret_revision is what cluster_write wants. ERR_NOT_FOUND: control has not made it yet. */
NODISCARD bool cluster_read(Store *store, const char *cluster, HaRecord *ret_record,
                            int64_t *ret_revision, Err *err);
/* The store says that there is no such record. False where it says nothing. */
bool cluster_is_absent(Store *store, const char *cluster);
/* A compare-and-swap on the revision (RULES F1). ERR_CONFLICT: somebody was faster; read again and
 * decide anew. After any other error it has proven nothing, also where it may have reached the
 * disk: a write of one's own settles that (F2). */
NODISCARD bool cluster_write(Store *store, const char *cluster, int64_t revision,
                             const HaRecord *record, int64_t *ret_revision, Err *err);
/* The same of a replication group. */
NODISCARD bool cluster_group_read(Store *store, const char *cluster, GroupRecord *ret_record,
                                  int64_t *ret_revision, Err *err);
/* With a beat: only while that is the last one of its host; NULL: whatever. */
NODISCARD bool cluster_group_write(Store *store, const char *cluster, int64_t revision,
                                   const GroupRecord *record, const HostBeat *beat,
                                   int64_t *ret_revision, Err *err);
/* synchronous_standby_names (F4): "FIRST n (all of them)", or nothing. */
void cluster_names(const HaSet *standbys, Buf *out);

/* ---- one node, as its job sees it ------------------------------------------------------------ */

/* A standby as the leader has followed it; by incarnation. */
typedef struct PgLink {
    HaId incarnation;
    int64_t gone_ms; /* of CLOCK_BOOTTIME: since when it does not stream; 0: it does */
} PgLink;

/* What this process knows of the part that its node plays (docs/failover.md). All of it is lost
 * with the process, and what rests on it is then done anew. Times are of CLOCK_BOOTTIME. */
typedef struct PgLead {
    int64_t revision; /* of the record, as we wrote it last for this run of the engine; 0: not */
    bool fresh;       /* it was written since the names were set */
    HaSet names;      /* whom commits wait for */
    bool names_set;   /* false: not known */
    HaId joining;     /* who among them is not in the set */
    char *proof_lsn;  /* what they must have flushed to be bound; NULL until the names bind */
    HaData data;      /* what the data directory has been; of the mark */
    HaState state;
    int64_t state_ms; /* since when */
    int64_t term;     /* of the record, with its phase, as seen last */
    HaPhase phase;
    int64_t phase_ms; /* since when */
    int64_t wish;     /* the planned change that was seen last */
    int64_t wish_ms;
    int64_t answered_ms;             /* the engine has, in this run; 0: not yet */
    int64_t heard_ms;                /* when it last heard from its source, or began to listen; 0:
                                        neither */
    int64_t disk_ms;                 /* the disk last took a write */
    int64_t keep_ms;                 /* when it was looked after last */
    char keep_goal[SHA256_HEX_SIZE]; /* by this goal */
    bool promoting;                  /* it is told to end recovery */
    bool killed;   /* we have ended it for its silence: that is no wish to start it again */
    bool stuck;    /* and it did not end */
    bool reaped;   /* nothing of the run that has ended is left */
    bool took;     /* it took the term that it leads in, and is not open yet */
    HaId source;   /* the node that its configuration follows */
    HaFork had;    /* up to where its data is known to go; timeline 0: not known */
    HaId had_by;   /* the incarnation that has it */
    bool had_read; /* its control file was asked, since the engine ended */
    PgLink links[HA_PEERS_MAX];
    size_t links_len;
} PgLead;

/* A leader's view of a Redis replica. */
typedef struct RedisLink {
    HaId incarnation;
    int64_t gone_ms; /* as of a PgLink */
    int64_t target;  /* what it is to have before it counts; -1: not known yet */
} RedisLink;

#define HOSTS_TEXT_SIZE ((HA_PEERS_MAX + 1) * HOST_NAME_SIZE + 1)

/* What it knows of the part of a Redis node. */
typedef struct RedisPart {
    int64_t revision; /* of the record, as we wrote it last for this run of the engine; 0: not */
    HaState state;
    int64_t state_ms; /* since when */
    int64_t term;     /* of the record, with its phase, as seen last */
    HaPhase phase;
    int64_t phase_ms;     /* since when */
    int64_t answered_ms;  /* the engine has, in this run; 0: not yet */
    int64_t heard_offset; /* of a replica: what it had */
    int64_t heard_ms;     /* when that was news last */
    int64_t unlinked_ms;  /* its link does not stand since then; 0: it does */
    int64_t looked_ms;    /* at its link, the last time */
    int64_t bid_term;     /* of the free term for which its offset is told */
    int64_t bid_offset;
    int64_t wish; /* the planned change that was seen last */
    int64_t wish_ms;
    int64_t keep_ms;                 /* when it was looked after last */
    char keep_goal[SHA256_HEX_SIZE]; /* by this goal */
    int64_t paused_ms;               /* its writes are paused since; 0: they are not */
    bool pause_known;                /* nobody else has paused them for longer */
    bool begun;                      /* this run, by this process */
    int vain_starts;                 /* in a row, that ended before it had loaded its data */
    pid_t engine;                    /* of this run; 0: not known yet */
    int64_t cpu_ticks;               /* that it had used */
    HaId took_from;                  /* it leads in this one's place, and has not told it yet */
    bool killed;                     /* we have ended it for its silence */
    bool stuck;                      /* and it did not end */
    bool reaped;                     /* nothing is left of its last run */
    GroupBond bond;
    char admitted[HOSTS_TEXT_SIZE]; /* from which hosts this run may be followed; "": not known */
    RedisLink links[HA_PEERS_MAX];  /* of a leader to its replicas */
    size_t links_len;
    HaSet leaving; /* those of the set that do not stream */
    int64_t left_offset;
} RedisPart;

typedef struct Fence Fence; /* fence_priv.h */

/* Only the job in progress touches it. */
typedef struct NodeWork {
    const AgentOptions *options;
    const Job *job; /* in progress */
    char id[NODE_ID_MAX + 1];
    char incarnation[NODE_ID_MAX + 1]; /* "" until there is a data directory */
    PgSession *session;                /* of a running PostgreSQL; NULL when away */
    PgLead lead;                       /* of a PostgreSQL node that leads, or may */
    RedisPart part;                    /* of a Redis node */
    char *seen_text;                   /* as last written */
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
    bool served;       /* since it was started: it may refuse a last question before it is gone */
    bool left_running; /* the engine that served has gone, and no other was started yet */
    bool end_told;     /* and users know of it */
    bool stop_asked;   /* set by the loop thread between jobs: the tier stops */
    bool rivals_known; /* it was looked at since this process has begun: */
    bool has_rival;    /* it leads, and a node of another host could take its place */
    bool redis;        /* it is one */
    int64_t fence_ms;  /* the deadline of the guard that is started next; 0: none */
    char zone[2];      /* of its goal */
    Fence *fence;      /* the node's, whose functions say who may call them */
    bool fenced;       /* set by the loop thread between jobs: its guard has a deadline */
} NodeWork;

/* Brings the node one step nearer to its goal. Returns the milliseconds after which it wants to run
 * again without being woken. */
int64_t node_step(NodeWork *work, Slice goal_text);
void node_work_done(NodeWork *work);

#endif
