/*
 * `weir drill`: a load that knows what it was told, and one fault under it.
 *
 *   drill.c    the command: whose primary, the fault, waiting
 *   report.c   when what happened, and what became of what was acknowledged
 *   load.c     the writers, whatever the engine
 *   program.c  their programs: children with pipes
 *   psql.c     what is said to psql, and what it says
 *   redis.c    the same of redis-cli
 */
#ifndef WEIR_CLI_DRILL_PRIV_H
#define WEIR_CLI_DRILL_PRIV_H

#include "cli/cli_priv.h"

#define DRILL_WRITERS_MAX 64
#define DRILL_CODES_MAX   16
#define DRILL_CODE_SIZE   16
#define DRILL_NAME_SIZE   40
#define DRILL_NO_NUMBER   ((int64_t)-1)

/* ---- programs (program.c) ---------------------------------------------------------------------
 */

typedef struct DrillProgram {
    pid_t pid;   /* 0: none */
    int in, out; /* to its stdin; from its stdout and stderr. -1: closed */
} DrillProgram;

#define DRILL_PROGRAM_NONE ((DrillProgram){.in = -1, .out = -1})

NODISCARD bool drill_program_start(const char *const *argv, DrillProgram *ret_program, Err *err);
/* Whether it has ended already or not. */
void drill_program_end(DrillProgram *program);
/* One to its end: what it says is in `out`. An exit status other than 0 is an error with that. */
NODISCARD bool drill_program_run(const char *const *argv, Buf *out, Err *err);

/* ---- protocols (psql.c, redis.c) --------------------------------------------------------------
 */

/* What a line from a writer's client says. */
typedef struct DrillLine {
    int64_t number; /* acknowledged; DRILL_NO_NUMBER: none is */
    Slice error;    /* its code; empty: it is no error */
    bool over;      /* the request has ended, well or not */
    bool cut;       /* the client has lost its server, and is to be replaced */
} DrillLine;

/* Arguments behind those that lead to the server, ended by NULL, in the arena. `name` is the
 * load's own. */
typedef const char *const *DrillArgumentsFn(Arena *arena, const char *name, size_t writers);
typedef void DrillFoundFn(void *user, int64_t writer, int64_t number);

/* How the engine's own client is spoken to. Pure: texts in, texts out. A request may be sent again
 * by the client itself: twice must be once. */
typedef struct DrillProtocol {
    const char *unit;                  /* one of what is acknowledged, as the report calls it */
    const char *const *write;          /* arguments of a client that takes requests from a pipe */
    DrillArgumentsFn *make;            /* … that makes what the writers write to */
    DrillArgumentsFn *read;            /* … that prints what is there */
    DrillArgumentsFn *remove;          /* … that leaves nothing */
    char *(*request)(const char *name, /* with the end of its line; the caller's */
                     size_t writer, int64_t number);
    DrillLine (*line)(Slice line);
    /* Each number that is there, by what `read` printed; a writer that is none is alien. */
    void (*found)(Slice text, DrillFoundFn *found, void *user);
} DrillProtocol;

extern const DrillProtocol drill_psql, drill_redis;

/* ---- the load (load.c) ------------------------------------------------------------------------
 */

typedef struct DrillCode {
    char text[DRILL_CODE_SIZE];
    int64_t count;
} DrillCode;

typedef struct DrillWriter DrillWriter;

/* Writers that write numbers of their own, one after the other, each acknowledged by itself. No
 * number is tried again. Times are of time_mono_ms. */
typedef struct DrillLoad {
    const DrillProtocol *protocol;
    const char *const *program; /* the client, and what leads it to the server */
    char name[DRILL_NAME_SIZE]; /* of a table, or in front of those of keys */
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

/* Makes what is written to, with our environment, and starts the writers. The program is borrowed
 * until drill_load_done. */
NODISCARD bool drill_load_start(DrillLoad *load, const DrillProtocol *protocol,
                                const char *const *program, size_t writers, Err *err);
/* Lets them work for so long, or until a signal waits. */
void drill_load_run(DrillLoad *load, int64_t ms);
/* Whether each has had something acknowledged since then. */
bool drill_load_all_since(const DrillLoad *load, int64_t since_ms);
/* Nothing new; what is under way is waited for, but not for ever. */
void drill_load_stop(DrillLoad *load);
/* Compares with what is there. `alien`: there, and never tried. */
NODISCARD bool drill_load_verify(const DrillLoad *load, int64_t *ret_lost, int64_t *ret_alien,
                                 Err *err);
/* Removes what was written, and everything else. */
void drill_load_done(DrillLoad *load);

/* ---- one drill (drill.c) ----------------------------------------------------------------------
 */

/* What a drill can be of. */
typedef struct DrillKind {
    const LeaderKind *leader;
    const char *word; /* of the report's JSON */
    const DrillProtocol *protocol;
    /* Leads its client to this name: by our environment, and by the beginning of a command line,
     * in the arena. */
    bool (*login)(Cli *cli, Arena *arena, const char *name, const char *const **ret_program,
                  Err *err);
} DrillKind;

typedef struct Drill {
    const char *fault;
    int64_t writers;
    const char *name; /* where the load goes: a cache, an instance, a proxy or an endpoint of one */
    const DrillKind *kind;
    const char *resource; /* whose primary has the fault; in the arena */
    char *node;
    int64_t fault_wall_ms;
    bool recovered;
    int64_t rate;      /* per second, before the fault */
    int64_t healed_ms; /* after the fault; -1: not in time */
    int64_t lost, alien, lost_again, alien_again;
    DrillLoad load;
} Drill;

#define DRILL_RECOVER_MS 120000

/* Prints it all; whether everything was as it is promised (report.c). */
bool drill_report(Cli *cli, const Drill *drill);

#endif
