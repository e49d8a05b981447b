/*
 * guard: the parent of one engine process, a process of its own, so that an engine lives on while
 * `weir serve` restarts. It starts the engine, tells how it ends, stops it when asked, and never
 * starts it again. It is single-threaded (the parent-death signal belongs to the forking thread)
 * and a subreaper: what an engine leaves behind is killed and reaped, and only then the engine
 * counts as stopped (RULES F8).
 *
 *     guard GONE --spawn--> RUNNING --stop--> STOPPING --+
 *                              |                         | the engine ends
 *                              +---- the engine ends ----+--> REAPING --no child left--> record
 *                                                             written, agents told, guard ends
 *
 * In RUN/guard (mode 0700) each node has ID.lock, which its guard holds for life (a POSIX lock: one
 * guard per node, and a restarted agent finds its pid), ID.sock, and ID.exit, the record of the
 * last end. An engine dies with its guard, by the death signal. What it leaves then is nobody's
 * child: guard_kill_orphans.
 *
 * The calls below are the agent's side. They block, for jobs; none keeps state between calls.
 */
#ifndef WEIR_GUARD_H
#define WEIR_GUARD_H

#include "base/base.h"
#include "loop/loop.h"

/* `weir guard`. Ends with the engine; 0 when the engine ran, whatever became of it. */
int guard_main(int argc, char **argv);

/* Names of nodes: letters, digits, '-', '_' and '.', not first; at most this many. */
#define GUARD_NODE_MAX 64

/* ---- starting ---------------------------------------------------------------------------------
 */

typedef struct GuardSpec {
    const char *run;        /* the runtime folder */
    const char *node;       /* its id */
    const char *program;    /* the weir binary; NULL: ours */
    const char *cwd;        /* the engine's working directory: its data directory */
    const char *log_path;   /* gets the engine's stdout and stderr; made by the engine's account */
    ProcessAccount account; /* the engine's */
    const char *stop_signals; /* "fast=INT,immediate=QUIT": modes of guard_stop, gentle to hard */
    const char *death_signal; /* to the engine when its guard dies: "QUIT", "KILL" */
    const char *const *argv;  /* the engine: an absolute path, and arguments without secrets */
    const char *const *env;   /* the engine's whole environment, NULL-terminated. NULL: PATH and
                                 LC_ALL=C */
    int64_t fence_ms;         /* as guard_fence says it, from the start on; 0: none */
    int held_fd;              /* the guard keeps it open as its stdin; 0: none */
    int log_fd;               /* the guard's own log; -1: none. Stays the caller's */
} GuardSpec;

/* Starts a guard, and returns when its engine is executing. *ret_pid is the guard's. ERR_EXISTS: a
 * guard holds this node. Otherwise err is what the guard met, no guard is left, and no engine. */
NODISCARD bool guard_spawn(const GuardSpec *spec, pid_t *ret_pid, Err *err);

/* The guard that holds the node; ERR_NOT_FOUND: none does. */
NODISCARD bool guard_find(const char *run, const char *node, pid_t *ret_pid, Err *err);

/* ---- talking ----------------------------------------------------------------------------------
 */

/*
 * The protocol: lines of text ended by "\n" over ID.sock, for the guard's own account and root. To
 * each line of the agent comes one of "status …", "ok" and "error MESSAGE", in order; in between,
 * once and last, "exited …".
 *
 *     status             -> status state=running engine=4711 started_ms=… left=0
 *     stop MODE TIMEOUT  -> ok; sends the mode's signal. After TIMEOUT milliseconds the last of the
 *                           modes follows, after GUARD_HARD_MS more SIGKILL to everything
 *     stop kill 0        -> ok; SIGKILL to everything, at once
 *     signal HUP         -> ok
 *     fence UNTIL_MS     -> ok; when CLOCK_BOOTTIME is past it, SIGKILL to everything, unless
 * another fence came before: the farthest counts. 0 takes it away exited code=0 signal=0 asked=yes
 * started_ms=… ended_ms=… error=
 */
#define GUARD_LINE_MAX 1400
#define GUARD_HARD_MS  2000 /* between the hardest mode and SIGKILL */

typedef enum GuardState { GUARD_RUNNING, GUARD_STOPPING, GUARD_REAPING, GUARD_EXITED } GuardState;

typedef struct GuardStatus {
    GuardState state;
    pid_t engine;       /* as long as it runs; 0 afterwards */
    int64_t started_ms; /* wall clock */
    size_t left;        /* while reaping: children that have not died yet */
} GuardStatus;

typedef struct GuardExit {
    ProcessExit end;
    bool asked; /* somebody had asked for it: by stop, or by SIGTERM to the guard */
    int64_t started_ms;
    int64_t ended_ms; /* wall clock */
    char error[1024]; /* why it never ran; empty when it did */
} GuardExit;

typedef enum GuardLineKind {
    GUARD_LINE_STATUS,
    GUARD_LINE_OK,
    GUARD_LINE_ERROR,
    GUARD_LINE_EXITED,
} GuardLineKind;

typedef struct GuardLine {
    GuardLineKind kind;
    GuardStatus status; /* of GUARD_LINE_STATUS */
    GuardExit end;      /* of GUARD_LINE_EXITED */
    Slice error;        /* of GUARD_LINE_ERROR; points into the line */
} GuardLine;

/* Reads one line of a guard's, without its end. Pure. */
NODISCARD bool guard_line_parse(Slice line, GuardLine *ret_line, Err *err);

/* A connected, non-blocking socket to the guard, for stream_adopt and guard_line_parse.
 * ERR_UNAVAILABLE: nobody listens. */
NODISCARD bool guard_connect(const char *run, const char *node, int *ret_fd, Err *err);

/* Each makes a connection of its own. ERR_UNAVAILABLE: no guard; ERR_TIMEOUT. */
NODISCARD bool guard_status(const char *run, const char *node, int64_t timeout_ms,
                            GuardStatus *ret_status, Err *err);
/* Asks the engine to stop and waits until nothing of it is left, then for the guard (see below):
 * `stop_ms` for the mode, and the time that the harder ways take. ERR_TIMEOUT: something cannot
 * die; it is still asked to. */
NODISCARD bool guard_stop(const char *run, const char *node, const char *mode, int64_t stop_ms,
                          GuardExit *ret_exit, Err *err);
/* One that has said its last word, or was killed, is gone in a moment; a second at most. */
void guard_await_end(const char *run, const char *node);
/* Until when the engine may run (RULES, fence deadline): milliseconds of CLOCK_BOOTTIME; 0: for
 * ever. */
NODISCARD bool guard_fence(const char *run, const char *node, int64_t until_ms, Err *err);
/* "HUP", "USR1", … */
NODISCARD bool guard_signal(const char *run, const char *node, const char *signal, Err *err);

/* ---- after the end ----------------------------------------------------------------------------
 */

/* The record of the last end. ERR_NOT_FOUND: the guard is still there, or died without a word. A
 * new guard of the node removes it. */
NODISCARD bool guard_exit_record_read(const char *run, const char *node, GuardExit *ret_exit,
                                      Err *err);

/* Kills every process whose working directory is `dir` or below, and waits until they are gone.
 * For a node without a guard: before its directory is used again. ERR_TIMEOUT names those that
 * cannot die (a hung disk); ERR_DENIED: processes of the folder's owner cannot be looked at. */
NODISCARD bool guard_kill_orphans(const char *dir, int64_t timeout_ms, size_t *ret_killed,
                                  Err *err);

/* To every process whose working directory is `dir` or below, once; adds to *ret_count. */
NODISCARD bool guard_signal_folder(const char *dir, int signal, size_t *ret_count, Err *err);

/* "QUIT" gives SIGQUIT; 0 for what is not a signal's name. */
int guard_signal_number(Slice name);

#endif
