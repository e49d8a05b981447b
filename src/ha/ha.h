/*
 * ha: who leads a cluster of PostgreSQL nodes, and what each node does next. Pure: a snapshot in,
 * one step out; no clock, no store, no engine. The agent of each node takes the snapshot, carries
 * out the step, and asks again; tests/sim does the same with a model of PostgreSQL. The rules F1 to
 * F11 that these decisions follow are explained in docs/failover.md.
 *
 * A cluster has one record in the store. Each node has a duty, which follows from the record and
 * from what control wants of it, and a state, which is what its agent sees of its engine. For every
 * pair the table in edges.c says which steps there are; ha_decide chooses among them.
 */
#ifndef WEIR_HA_H
#define WEIR_HA_H

#include <jansson.h>

#include "base/base.h"

#define HA_ID_SIZE      64 /* of nodes and incarnations, with the NUL */
#define HA_SET_MAX      8
#define HA_PEERS_MAX    8
#define HA_HISTORY_MAX  16  /* timelines that a record remembers */
#define HA_TERMS_UNSURE 100 /* that a copy of the store may have missed */

/* Milliseconds, of CLOCK_BOOTTIME. */
#define HA_DEGRADE_MS 1000  /* a standby is gone for so long before the set shrinks (F10) */
#define HA_DISK_MS    2500  /* the leader's disk has answered within it */
#define HA_SILENT_MS  1000  /* an engine answers nobody for so long, and its link is silent */
#define HA_HALTED_MS  300   /* and one of which its host says that it stands still */
#define HA_STARVED_MS 10000 /* a standby that answers nobody, and does not stand still */
#define HA_WITNESS_MS 1500  /* a leader's agent, seen from another host: no word for so long */
#define HA_RIGHT_MS   1000  /* how long a leader may answer behind its last probe (F9) */
#define HA_FENCE_MS   3000  /* one with rivals on other hosts ends so long behind its last proof */
#define HA_MARGIN_MS  250
#define HA_TAKE_MS    3000  /* a leader that made room takes back what nobody took */
#define HA_DRAIN_MS   40    /* proxies of the leader's host begin to hold within it */
#define HA_QUIET_MS   100   /* and those of other hosts have, when nothing has begun for so long */
#define HA_HEARD_MS   500   /* which is waited for so long: others than they do not hold */
#define HA_YIELD_MS   5000  /* transactions may end for so long before a planned change */
#define HA_WISH_MS    10000 /* and its heir has so long to be ready */
#define HA_RANK_MS    300 /* the second in the set waits so long for the first to take a free term */
#define HA_START_MS   10000 /* a start may take so long while a standby could lead */
#define HA_HUNG_MS    30000 /* and a silent engine, where none could */
#define HA_SOON_MS    100   /* between looks, while something is on its way */

/* ---- the cluster's record ----------------------------------------------------------------------
 */

typedef struct HaId {
    char text[HA_ID_SIZE]; /* "": nobody */
} HaId;

/* Incarnations, each once. */
typedef struct HaSet {
    HaId items[HA_SET_MAX];
    size_t len;
} HaSet;

typedef enum HaPhase {
    HA_PHASE_LEADING,  /* requests go to the leader */
    HA_PHASE_YIELDING, /* it still runs, and gets no new transactions: `heir` shall lead */
    HA_PHASE_FREE,     /* its engine is proven dead: whoever is in the set may lead */
} HaPhase;

/* A timeline begins where the one before it was left. */
typedef struct HaFork {
    int64_t timeline;
    uint64_t lsn; /* what of the timeline before is in it: all that is below */
} HaFork;

typedef struct HaRecord {
    int64_t term;
    HaId leader; /* a node */
    HaPhase phase;
    bool proven;      /* of the term: whoever led before it is proven dead (F9) */
    bool strict;      /* without its standbys the leader blocks */
    HaSet set;        /* who may be promoted, the leader first; empty: nobody has led yet */
    HaId admitted;    /* outside of the set, and may lead by somebody's word: the leader is lost */
    HaId heir;        /* a node */
    int64_t handover; /* the planned change that was begun, or given up, last */
    int64_t writes;   /* by this leader and others */
    HaFork history[HA_HISTORY_MAX]; /* the oldest first */
    size_t history_len;
    int64_t history_term; /* whose timeline the last of it is */
    bool unsure;          /* others may have begun timelines that are not in it, or that the leader
                             of this term has not followed: it takes none of their numbers */
} HaRecord;

HaId ha_id(const char *text);
bool ha_id_eq(const HaId *a, const HaId *b);
bool ha_id_is_empty(const HaId *id);
bool ha_set_has(const HaSet *set, const HaId *id);
void ha_set_add(HaSet *set, const HaId *id);    /* where it is not there yet, and has room */
bool ha_set_eq(const HaSet *a, const HaSet *b); /* in whatever order */
/* Of the record's set without `self`, and `joining` unless empty: who is waited for. */
HaSet ha_standbys(const HaRecord *record, const HaId *self, const HaId *joining);

/* 0: the leader of this term has not said yet. */
int64_t ha_record_timeline(const HaRecord *record);
/* Whether the history has passed over the number: whoever is on it is not of it. */
bool ha_record_strange(const HaRecord *record, int64_t timeline);
/* Where the cluster's history left a timeline, as the one that came next; false: it did not. */
bool ha_record_fork(const HaRecord *record, int64_t timeline, HaFork *ret_fork);
/* How many numbers of timelines a leader that leaves `timeline` passes over: those of the record,
 * and those that nobody may know of. */
#define HA_TIMELINES_UNSURE 16
int64_t ha_record_passed_over(const HaRecord *record, int64_t timeline);
/* Whether WAL up to `lsn` of `timeline` is not part of the leader's history. */
bool ha_record_diverged(const HaRecord *record, int64_t timeline, uint64_t lsn);

/* The record is one of the past, from a copy of the store: whoever led by it may lead, in a term of
 * its own, and nobody else (RULES F3). */
void ha_record_reset(HaRecord *record);

/* Of a record in JSON: somebody has led; or nobody knows, for it is of a copy from when nobody had
 * (of an instance; that a group begins anew loses nothing that it promises). */
bool ha_record_may_have_begun(const json_t *json);
NODISCARD bool ha_record_parse(const json_t *json, HaRecord *ret_record, Err *err);
/* What other records have as well. NULL is nobody. */
NODISCARD bool ha_id_read(const json_t *value, HaId *ret_id, Err *err);
NODISCARD bool ha_set_read(const json_t *array, HaSet *ret_set, Err *err);
NODISCARD bool ha_phase_read(const char *name, HaPhase *ret_phase, Err *err);
const char *ha_phase_name(HaPhase phase);
json_t *ha_set_new(const HaSet *set); /* a JSON array, the caller's */
/* Sets the members in `json`; others stay. */
void ha_record_put(const HaRecord *record, json_t *json);

/* ---- the snapshot ------------------------------------------------------------------------------
 */

typedef enum HaState {
    HA_STATE_EMPTY,     /* no data directory */
    HA_STATE_DOWN,      /* nothing of the engine is left */
    HA_STATE_STUCK,     /* it was stopped, and cannot die */
    HA_STATE_STARTING,  /* it runs, and does not answer yet */
    HA_STATE_FOLLOWING, /* in recovery */
    HA_STATE_PROMOTING, /* in recovery, and told to end it */
    HA_STATE_LEADING,   /* it takes writes */
    HA_STATE_SILENT,    /* it did answer, and does so no more */
} HaState;
#define HA_STATES 8

typedef enum HaDuty {
    HA_DUTY_LEAD,
    HA_DUTY_FOLLOW,
    HA_DUTY_REST,  /* stopped, with its data */
    HA_DUTY_LEAVE, /* and without */
} HaDuty;
#define HA_DUTIES 4

/* What the data directory has been. */
typedef enum HaData {
    HA_DATA_NEW,  /* made empty: it may become the first leader's */
    HA_DATA_COPY, /* it has followed only */
    HA_DATA_LED,  /* it was told to lead at some time */
} HaData;

/* Another node of the cluster, by what its agent says and what the leader sees of its link. */
typedef struct HaPeer {
    HaId node;
    HaId incarnation; /* "": not known */
    bool wanted;      /* control wants it in the set */
    bool follows;     /* its agent says that its engine is in recovery and answers */
    bool ended;       /* its agent says that its engine has ended */
    bool hears;       /* its agent says that its engine has heard from the leader's of late */
    bool streaming;   /* a leader's: it is connected, and streams */
    bool bound;       /* a leader's: the names are proven to bind, and it has flushed what was
                         written until then (F5) */
    int64_t gone_ms;  /* a leader's: for how long it has not streamed; 0 while it does */
} HaPeer;

typedef struct HaView {
    /* what is wanted */
    bool run;
    bool gone;
    bool deleted; /* and the others, too: nothing of the cluster shall stay */
    bool replica; /* of another cluster's leader: it never leads */
    bool strict;
    HaId heir;        /* a planned change to this node; "": none */
    int64_t handover; /* its number */
    int64_t wish_ms;  /* since it was first seen */
    /* the store, as last read */
    HaRecord record;
    bool claimed; /* the record is what this process wrote last, for this run of the engine (F2) */
    bool fresh;   /* and it has not set names since: they may be weaker now (F2) */
    int64_t phase_ms; /* since the record's phase, or leader, was seen to change */
    /* the node */
    HaId self;
    HaId incarnation;
    HaState state;
    HaData data;
    bool halted;                    /* SILENT: its host says that it stands still (SIGSTOP) */
    bool asked;                     /* DOWN: it was stopped to be started again here */
    bool diverged;                  /* what it has is not part of the leader's history */
    bool busy;                      /* LEADING: transactions are under way */
    bool heard;                     /* LEADING: clients have begun something within HA_QUIET_MS, by
                                       way of another host perhaps */
    int64_t state_ms;               /* for how long it has been in this state */
    int64_t timeline;               /* FOLLOWING, LEADING */
    uint64_t fork_lsn;              /* LEADING: where its timeline began */
    HaFork halfway[HA_HISTORY_MAX]; /* LEADING: timelines that it went through, before its own, and
                                       the record does not know: of promotions that ended half-way,
                                       and of who was let lead (ha_view_went_through) */
    size_t halfway_len;
    HaSet names;        /* LEADING: whom its commits wait for, as this process set it */
    HaId joining;       /* who among them is not in the set yet */
    bool names_set;     /* false: not known, after a start of the agent */
    bool open;          /* clients reach it */
    int64_t disk_ms;    /* LEADING: since its disk last took a write */
    int64_t cut_off_ms; /* LEADING: how long before it did its receiver had heard the last; 0: not
                           known */
    /* FOLLOWING */
    bool link_up;       /* its receiver is connected to its source */
    int64_t link_ms;    /* where it is not: since anything came from there */
    bool source_right;  /* it follows whom it should */
    bool leader_serves; /* of all states: the leader's agent says that its engine takes writes, in
                           this term */
    bool leader_here;   /* that agent is this one: it proves death itself */
    int64_t leader_ms;  /* since its last word was seen */
    HaPeer peers[HA_PEERS_MAX];
    size_t peers_len;
} HaView;

/* ---- the step ----------------------------------------------------------------------------------
 */

typedef enum HaStep {
    HA_STEP_WAIT,
    HA_STEP_WRITE,         /* compare-and-swap the record to `record` */
    HA_STEP_MAKE,          /* an empty data directory (initdb) */
    HA_STEP_COPY,          /* a data directory from the leader */
    HA_STEP_REJOIN,        /* make a diverged one follow: keep its WAL, rewind, else copy; a new
                              incarnation */
    HA_STEP_START_LEADING, /* with the names of the record. Notes HA_DATA_LED first */
    HA_STEP_START_FOLLOWING,
    HA_STEP_SOURCE,  /* let it follow whom it should */
    HA_STEP_PROMOTE, /* notes HA_DATA_LED first */
    HA_STEP_NAMES,   /* let its commits wait for ha_standbys(record, incarnation, joining) */
    HA_STEP_OPEN,    /* let clients in */
    HA_STEP_STOP,    /* in order: what it has written reaches who follows */
    HA_STEP_KILL,    /* at once */
    HA_STEP_REMOVE,  /* the data directory, and all that is left */
} HaStep;
#define HA_STEPS 14

typedef struct HaDecision {
    HaStep step;
    HaRecord record;  /* of WRITE */
    HaId joining;     /* of NAMES; "": nobody */
    const char *why;  /* a few words for people; of WAIT: what is waited for */
    int64_t again_ms; /* of WAIT: look again after so long, though nothing is heard; 0: no need */
    bool done;        /* of WAIT: all is as it should be */
    bool stuck;       /* of WAIT: it may well last until somebody does something about it */
} HaDecision;

/* LEADING: of all timelines that it went through, in their order; the view has its record and its
 * incarnation already. Those that the record knows are left out; of too many, the oldest. */
void ha_view_went_through(HaView *view, HaFork fork);
HaDuty ha_duty(const HaView *view);
/* Never a step that edges.c does not have for the node's duty and state. */
HaDecision ha_decide(const HaView *view);

/* Whether requests may be sent to the record's leader. */
static inline bool ha_record_serves(const HaRecord *record)
{
    return record->phase == HA_PHASE_LEADING;
}

/* ---- tables of steps (table.c) ------------------------------------------------------------------
 */

typedef struct HaEdge {
    HaDuty duty;
    HaState state;
    unsigned step; /* a HaStep; in another table, one of its own */
    HaState then;  /* what the state becomes where the step does what it should */
} HaEdge;

/* Which steps there are for each duty and state. */
typedef struct HaTable {
    const HaEdge *edges;
    size_t len;
    const char *const *step_names; /* by step: "start-leading" */
} HaTable;

extern const HaTable ha_table; /* of PostgreSQL nodes (edges.c) */

/* NULL: there is none. */
const HaEdge *ha_table_find(const HaTable *table, HaDuty duty, HaState state, unsigned step);
/* As Mermaid diagrams, one for each duty, for docs/failover.md. */
void ha_table_draw(const HaTable *table, Buf *out);

const char *ha_duty_name(HaDuty duty);
const char *ha_state_name(HaState state); /* "following" */
const char *ha_step_name(HaStep step);
bool ha_state_parse(Slice name, HaState *ret_state);

#endif
