/*
 * choice: which replica a transaction goes to: of those where there is room the one that is least
 * behind, and of those the one with least to do. Behind is told in classes, or all would go
 * wherever the last sample was a millisecond better. And whether it has what it must have. Pure.
 */
#ifndef WEIR_PROXY_CHOICE_PRIV_H
#define WEIR_PROXY_CHOICE_PRIV_H

#include "base/base.h"

#define CHOICE_NONE SIZE_MAX
#define CHOICE_CLASS_MS                                                                            \
    100 /* up to here all are equal; each further class is ten times as wide                       \
         */

typedef struct ChoiceReplica {
    bool usable;
    bool full;         /* others have all that may be had there, and nothing of it is here */
    int64_t lag_ms;    /* -1: not known, which is worst */
    size_t busy;       /* transactions there, and those that wait for one */
    uint32_t capacity; /* connections it may have; above 0 */
} ChoiceReplica;

/* Returns an index. Equal ones take turns: those behind `turn` come first. */
size_t choice_replica(const ChoiceReplica *replicas, size_t count, size_t turn);
unsigned choice_lag_class(int64_t lag_ms);

/* How far a replica is behind: what the primary had inserted, and when, is kept for a while, and
 * the oldest of it that the replica has not replayed tells since when it is behind. An idle primary
 * inserts nothing, and lets nobody fall behind. Zeroed to start. */
#define LAG_HISTORY_MAX 128

typedef struct LagHistory {
    struct {
        uint64_t position;
        int64_t at_ms;
    } marks[LAG_HISTORY_MAX]; /* oldest first */
    size_t len;
} LagHistory;

/* The primary's position as of then. What goes back (it is another primary) starts over. Marks are
 * at least so far apart: LAG_HISTORY_MAX of them are what can be told. */
void lag_history_add(LagHistory *history, uint64_t position, int64_t at_ms, int64_t apart_ms);
/* -1: nothing is known. At most `apart_ms` too little; of what is longer ago than can be told, the
 * longest time that can. */
int64_t lag_history_behind(const LagHistory *history, uint64_t replayed, int64_t now_ms);

/* What a replica must have replayed. */
typedef struct ReadFloor {
    uint64_t position; /* 0: whatever it has */
    uint32_t timeline;
    bool later;      /* a timeline that goes on from this one will do, of this cluster: */
    uint64_t system; /* where `later` */
} ReadFloor;

/* Whether it has, where it has come so far in that timeline of that cluster. NULL: nothing is asked
 * for. Positions of another history are no measure. */
bool floor_is_reached(const ReadFloor *floor, uint64_t system, uint32_t timeline,
                      uint64_t position);

/* A position behind a page's header, where nothing was inserted yet, is the end of the page before
 * it: that is what a replica calls it. */
uint64_t lag_position_of_insert(uint64_t position);

#endif
