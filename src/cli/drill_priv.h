/*
 * `weir drill`: a load that knows what it was told, and one fault under it.
 *
 *   drill.c       the command: fault, waiting, the report
 *   drill_load.c  the writers, each a psql of its own
 */
#ifndef WEIR_CLI_DRILL_PRIV_H
#define WEIR_CLI_DRILL_PRIV_H

#include "base/base.h"

#define DRILL_WRITERS_MAX 64
#define DRILL_CODES_MAX   16
#define DRILL_TABLE_SIZE  40

typedef struct DrillCode {
    char sqlstate[6];
    int64_t count;
} DrillCode;

typedef struct DrillWriter DrillWriter;

/* Writers that insert rows of their own, one after the other, each in a commit of its own. No row
 * is tried again. Times are of time_mono_ms. */
typedef struct DrillLoad {
    char table[DRILL_TABLE_SIZE];
    DrillWriter *writers;
    size_t writers_len;
    int64_t fault_ms; /* 0: not yet */
    bool measured;    /* gaps count no more: they may be ours */
    int64_t acked;
    int64_t last_ack_ms;
    int64_t gap_from_ms, gap_to_ms; /* the longest without an acknowledgement that ended after the
                                       fault */
    int64_t last_error_ms;
    int64_t lost_connections;
    DrillCode codes[DRILL_CODES_MAX]; /* of errors */
    size_t codes_len;
} DrillLoad;

/* Makes the table, by psql with our environment, and starts them. */
NODISCARD bool drill_load_start(DrillLoad *load, size_t writers, Err *err);
/* Lets them work for so long. */
void drill_load_run(DrillLoad *load, int64_t ms);
/* Whether each has had a row acknowledged since then. */
bool drill_load_all_since(const DrillLoad *load, int64_t since_ms);
/* No new rows; those under way are waited for, but not for ever. */
void drill_load_stop(DrillLoad *load);
/* Compares with what is there. `alien`: there, and never tried. */
NODISCARD bool drill_load_verify(const DrillLoad *load, int64_t *ret_lost, int64_t *ret_alien,
                                 Err *err);
/* Removes the table, and everything else. */
void drill_load_done(DrillLoad *load);

#endif
