/* The store as agents and control see it: late, twice, or not at all (store.c). */
#ifndef WEIR_SIM_STORE_MODEL_H
#define WEIR_SIM_STORE_MODEL_H

#include "clock.h"
#include "group/group.h"
#include "ha/ha.h"
#include "store/store.h"

/* What a node's agent says of it. */
typedef struct Seen {
    int64_t beat; /* 0: nothing yet */
    HaId incarnation;
    HaState state;
    int64_t term; /* LEADING: of the record that it leads by */
    bool follows;
    bool ended;
    bool hears;
} Seen;

/* What control wants of a node. */
typedef struct Goal {
    bool run;
    bool gone;
    bool wanted;
    HaId heir;
    int64_t handover;
    int64_t reboot;
} Goal;

/* The same of a group's nodes. */
typedef struct GroupSeen {
    int64_t beat;  /* 0: nothing yet */
    uint64_t life; /* of the agent */
    HaId incarnation;
    HaState state;
    int64_t term; /* of the record that it was seen with */
    bool data;
    bool hears;
    bool link_up;
    bool whole;
    uint64_t history; /* as the engine said it last; 0: never */
    int64_t offset;   /* -1: it tells none */
    int64_t bid_term; /* 0: none */
} GroupSeen;

/* A host's beat. */
typedef struct Word {
    uint64_t life; /* of its agent; 0: none yet */
    int64_t count;
} Word;

typedef struct GroupGoal {
    bool run;
    bool gone;
    int64_t handover;
    int64_t reboot;
} GroupGoal;

/* The store as somebody has read it. */
typedef struct Snapshot {
    int64_t revision;
    int64_t record_revision;
    union {
        struct { /* a cluster's */
            HaRecord record;
            Seen seen[SIM_NODES];
            Goal goals[SIM_NODES];
        };
        struct { /* a group's */
            GroupRecord group;
            GroupSeen said[SIM_NODES];
            GroupGoal wants[SIM_NODES];
            Word words[SIM_HOSTS];
        };
    };
} Snapshot;

#define STORE_PAST 64

typedef struct StoreModel {
    Store *store;
    Arena *arena;
    int64_t away_until;
    Snapshot now;              /* what is in it */
    Snapshot past[STORE_PAST]; /* and was, behind each of the last changes */
    int64_t changes;
    bool told[SIM_HOSTS]; /* a watcher is about to hear */
} StoreModel;

typedef enum Outcome { OUTCOME_DONE, OUTCOME_CONFLICT, OUTCOME_UNKNOWN } Outcome;

/* A record as JSON; the caller's, to be freed. */
char *sim_record_text(const World *w, const void *record);

void sim_store_begin(World *w);
void sim_store_end(World *w);
/* From an agent, of a record's text; the answer comes to the kind's `written` with the write's
 * number. With a word: only while that is the last one of the host; NULL: whatever. */
void sim_store_write(World *w, int node, int64_t number, const char *text, int64_t revision,
                     int64_t term, int host, const Word *word);
void sim_store_beat(World *w, int host, const Word *word); /* the answer comes to `beaten` */
void sim_store_say(World *w, int node, const void *seen);  /* a Seen, a GroupSeen */
void sim_store_want(World *w, int node, const void *goal); /* control's; at once */
void sim_store_first(World *w, const char *text);          /* the record, as control makes it */
void sim_store_ask(World *w, int host);                    /* to be told of it, like a watcher */
void sim_store_read(World *w, int node, int64_t number);   /* the answer comes to `was_read` */
void sim_store_away(World *w, int64_t us);
/* As it was so many changes ago, or as long ago as anybody knows. */
Snapshot sim_store_past(const World *w, int64_t changes);
void sim_store_become(World *w, const Snapshot *past); /* it is what it was */
void sim_store_put(World *w, const char *text);        /* the record, of somebody; at once */

#endif
