/*
 * group: who leads a replication group of Redis nodes, and what each node does next. Pure, like ha
 * for PostgreSQL: a snapshot in, one step out; the agent of each node carries it out and asks
 * again. What must stand before what is explained in docs/failover.md, "Redis".
 *
 * Redis has no synchronous standby and no fence of its own. What protects acknowledged writes is
 * the order: nobody leads before the old leader is proven dead or has been made a replica, and of
 * those who follow its history the one that has the most takes its place.
 */
#ifndef WEIR_GROUP_H
#define WEIR_GROUP_H

#include "ha/ha.h"

#define GROUP_HISTORY_SIZE 41 /* a replication id of Redis, with the NUL */

/* Milliseconds, of CLOCK_BOOTTIME. */
#define GROUP_SILENT_MS 1000  /* an engine that answers nobody for so long */
#define GROUP_BUSY_MS   10000 /* and computes meanwhile */
#define GROUP_GONE_MS   1000  /* a replica is away for so long before it leaves the set */
#define GROUP_BID_MS    300   /* those who may lead wait for each other's offsets */
#define GROUP_TURN_MS   1500  /* the best of them has so long to take the term */
#define GROUP_TAKE_MS   3000  /* then it goes back to the leader */
#define GROUP_CATCH_MS  2000  /* an heir has so long to catch up, while writes are paused */
#define GROUP_WISH_MS   10000 /* and a wish so long to find somebody who is ready */
#define GROUP_DEAF_MS   1500  /* nothing comes from the leader, and its host says nothing */
#define GROUP_LOST_MS   (HA_FENCE_MS + HA_MARGIN_MS) /* then its guard has ended the leader */
#define GROUP_DRAIN_MS  40  /* for what was sent before the fronts began to hold, */
#define GROUP_QUIET_MS  20  /* and until nothing was written for so long, */
#define GROUP_BUSTLE_MS 300 /* or this is over */
#define GROUP_SOON_MS   50  /* between looks, while something is on its way */
#define GROUP_HURRY_MS  10  /* and while clients wait for it */

/* ---- the group's record ------------------------------------------------------------------------
 */

typedef struct GroupRecord {
    int64_t term;
    HaId leader; /* a node */
    HaPhase phase;
    HaSet set;                        /* incarnations; empty: nobody has led yet */
    char history[GROUP_HISTORY_SIZE]; /* of this term; "": not known */
    HaId heir;                        /* a node */
    HaId
        former; /* a node of a durable group that has given all it had to the leader of this term */
    int64_t handover; /* the planned change that was begun, or given up, last */
    int64_t writes;
} GroupRecord;

NODISCARD bool group_record_parse(const json_t *json, GroupRecord *ret_record, Err *err);
/* Sets the members in `json`; others stay. */
void group_record_put(const GroupRecord *record, json_t *json);

/* The record is one of the past, from a copy of the store: whoever led by it may lead, in a term of
 * its own, and nobody else (RULES F3). */
void group_record_reset(GroupRecord *record);
/* The leader is lost, and these have data: whoever of them has most is to lead by somebody's word,
 * whatever those have that cannot be asked, and whatever history it is of. */
void group_record_let_lead(GroupRecord *record, const HaSet *others);

/* Whether requests may be sent to the leader; YIELDING: those that were begun before. */
static inline bool group_record_serves(const GroupRecord *record)
{
    return record->phase != HA_PHASE_FREE;
}

/* ---- the snapshot ------------------------------------------------------------------------------
 */

/* Whether the leader's engine lets writes be acknowledged that no replica has (durable groups). */
typedef enum GroupBond {
    GROUP_BOND_UNKNOWN, /* the agent has started anew */
    GROUP_BOND_BOUND,   /* it does not; so it starts */
    GROUP_BOND_ALONE,
} GroupBond;

/* Another member, by what its agent says and what the leader sees of its link. */
typedef struct GroupPeer {
    HaId node;
    HaId incarnation; /* "": it has no data folder */
    bool known;       /* its agent has spoken, in this life */
    bool has_data;    /* it holds what some leader wrote */
    bool follows;     /* it is a replica, answers, and is not loading */
    bool hears;       /* and has heard from the leader of late */
    bool in_history;  /* and what it has is of the record's history */
    bool whole;       /* and in its log: it would have it again behind a start */
    int64_t offset;   /* and how much: as it said last */
    int64_t bid_term; /* it has said its offset since this term became free; 0: not */
    bool streaming;   /* the leader sees it in sync */
    bool caught;      /* and it has all that was written before the leader was bound */
    int64_t acked;    /* and has said how much it has; -1: it does not stream */
    bool streamed;    /* it did when the leader, which has ended, was looked at last */
    bool abroad;      /* its node is on another host */
    int64_t gone_ms;  /* for how long it does not stream */
} GroupPeer;

typedef struct GroupView {
    /* what is wanted */
    bool run;
    bool gone;
    bool deleted;
    bool automatic;   /* a replica takes the place of a leader that has ended */
    bool durable;     /* a write is acknowledged when a replica has it */
    bool strict;      /* and never without */
    int64_t handover; /* the number of the planned change that is wished; 0: none was */
    int64_t wish_ms;  /* since the wish was first seen */
    /* the store, as last read */
    GroupRecord record;
    bool claimed;     /* it is what this process wrote last, for this run of the engine (F2) */
    int64_t phase_ms; /* since the phase, or the term, was seen to change */
    /* the node */
    HaId self;
    HaId incarnation; /* "": there is no data folder */
    HaState state;    /* never PROMOTING: a promotion is done when Redis has answered */
    int64_t state_ms; /* SILENT: since it last answered */
    bool has_data;    /* the folder holds what some leader wrote */
    bool asked;       /* DOWN: it was stopped to be started again here */
    bool failing;     /* DOWN: it ended in its last starts before it had loaded its data */
    bool busy;        /* SILENT: it computes, and is not stopped */
    /* FOLLOWING, LEADING */
    char history[GROUP_HISTORY_SIZE];
    int64_t offset;
    bool whole;          /* a replica's: its log has what it has */
    bool link_up;        /* to whom it follows */
    bool source_right;   /* that is the record's leader */
    bool leads_here;     /* the leader's agent says that it takes writes, in this term */
    bool deaf;           /* it follows one of whose engine, and host, which is another one, nothing
                            was heard for GROUP_DEAF_MS */
    int64_t lost_ms;     /* for how long neither that link stands nor that host says anything */
    bool bid;            /* its offset for this free term is told */
    int64_t quiet_ms;    /* since the offset was seen to change */
    bool paused;         /* LEADING: we have paused its writes */
    bool fenced;         /* LEADING: its guard ends it HA_FENCE_MS behind its agent's last proof */
    GroupBond bond;      /* LEADING */
    bool admitted;       /* LEADING: nobody follows it, or could, but members */
    int64_t left_offset; /* LEADING: when those of the set that do not stream were seen to have
                            stopped; -1: all stream, or one that is no member does */
    GroupPeer peers[HA_PEERS_MAX];
    size_t peers_len;
} GroupView;

/* ---- the step ----------------------------------------------------------------------------------
 */

typedef enum GroupStep {
    GROUP_STEP_WAIT,
    GROUP_STEP_WRITE,           /* compare-and-swap the record to `record` */
    GROUP_STEP_MAKE,            /* a data folder, with a new incarnation */
    GROUP_STEP_START_LEADING,   /* with what its data folder holds */
    GROUP_STEP_START_FOLLOWING, /* the record's leader */
    GROUP_STEP_SOURCE,          /* let it follow the record's leader */
    GROUP_STEP_DROP,            /* let it follow nobody, and take no writes */
    GROUP_STEP_PROMOTE,         /* REPLICAOF NO ONE */
    GROUP_STEP_BID,             /* tell its offset for the term that is free */
    GROUP_STEP_PAUSE,           /* of writes; ends by itself */
    GROUP_STEP_DEMOTE,          /* let it follow the heir */
    GROUP_STEP_RESUME,
    GROUP_STEP_BIND,  /* no write is acknowledged without a replica */
    GROUP_STEP_ALONE, /* or they are */
    GROUP_STEP_STOP,
    GROUP_STEP_KILL,
    GROUP_STEP_REMOVE,
} GroupStep;
#define GROUP_STEPS 17

typedef struct GroupDecision {
    GroupStep step;
    GroupRecord record; /* of WRITE */
    bool lost;          /* of WRITE: only while the leader's host has not been heard again */
    const char *why;    /* a few words for people; of WAIT: what is waited for */
    int64_t again_ms;   /* of WAIT: look again after so long; 0: no need */
    bool done;          /* of WAIT: all is as it should be */
} GroupDecision;

/* Those of the set that the leader does not see stream. */
HaSet group_left(const GroupView *view);
HaDuty group_duty(const GroupView *view);
/* Never a step that edges.c does not have for the node's duty and state. */
GroupDecision group_decide(const GroupView *view);

extern const HaTable group_table;            /* of GroupSteps (edges.c) */
const char *group_step_name(GroupStep step); /* "start-leading" */

#endif
