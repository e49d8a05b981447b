/*
 * control: compares what was asked for (specs) with what was seen, and writes goals and statuses.
 * One round reads the whole state, decides without waiting for anything, and writes what differs,
 * each key by compare-and-swap. A round can be cut off anywhere: the next one starts from the
 * store. Records: docs/state.md, docs/records.md.
 */
#ifndef WEIR_CONTROL_H
#define WEIR_CONTROL_H

#include "crypto/crypto.h"
#include "model/model.h"
#include "store/store.h"

typedef struct ControlHost {
    const char *name;
    char zone; /* 0: it stands for all of them */
    bool alive;
    bool draining;
    const char *engines; /* what is installed there, as a text; NULL: not known */
    const char *agent;   /* that beats there; "": none was heard yet; NULL: any word counts */
    int64_t silent_ms;   /* of one that is not: for how long, as far as this host has listened */
    int64_t memory_bytes;
} ControlHost;

/* What decisions rest on beside the store. */
typedef struct ControlFacts {
    const char *host;         /* where control runs; one of these */
    const ControlHost *hosts; /* by name */
    size_t hosts_len;
    const uint8_t *master_key; /* seals the passwords that nodes use among themselves */
    int64_t now_ms;            /* wall clock */
} ControlFacts;

/* One round. *ret_busy: something is on its way, so that another round soon makes sense. */
NODISCARD bool control_round(Store *store, const ControlFacts *facts, bool *ret_busy, Err *err);

/* Removes the oldest events beyond the newest 10,000. Now and then, not every round. */
NODISCARD bool control_trim_events(Store *store, Err *err);

#endif
