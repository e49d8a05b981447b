/* Inside the guard: its files, its protocol's text, the start of an engine, and a look at /proc. */
#ifndef WEIR_GUARD_PRIV_H
#define WEIR_GUARD_PRIV_H

#include "guard/guard.h"
#include "loop/loop.h"

/* ---- protocol.c: pure -------------------------------------------------------------------------
 */

#define GUARD_MODES_MAX   4
#define GUARD_REQUEST_MAX 128 /* bytes of an agent's line */

/* A way to stop an engine, by name. */
typedef struct GuardMode {
    char name[16];
    int signal;
} GuardMode;

typedef struct GuardModes {
    GuardMode modes[GUARD_MODES_MAX]; /* from gentle to hard */
    size_t len;                       /* 1 or more */
} GuardModes;

NODISCARD bool guard_modes_parse(Slice text, GuardModes *ret_modes, Err *err);

typedef enum GuardRequestKind {
    GUARD_REQUEST_STATUS,
    GUARD_REQUEST_STOP,
    GUARD_REQUEST_KILL,
    GUARD_REQUEST_SIGNAL,
    GUARD_REQUEST_FENCE,
} GuardRequestKind;

typedef struct GuardRequest {
    GuardRequestKind kind;
    int signal; /* of a stop: its mode's */
    int64_t timeout_ms;
    int64_t until_ms; /* of a fence; 0: none */
} GuardRequest;

NODISCARD bool guard_request_parse(Slice line, const GuardModes *modes, GuardRequest *ret_request,
                                   Err *err);
/* A line with its end. */
void guard_status_format(const GuardStatus *status, Buf *out);
void guard_exit_format(const GuardExit *end, Buf *out);

/* ---- paths.c: the files of a node -------------------------------------------------------------
 */

typedef enum GuardFile { GUARD_FILE_LOCK, GUARD_FILE_SOCKET, GUARD_FILE_EXIT } GuardFile;

NODISCARD bool guard_node_check(const char *node, Err *err);
char *guard_folder(const char *run); /* both: the caller frees */
char *guard_path(const char *run, const char *node, GuardFile file);

/* ---- deadline.c --------------------------------------------------------------------------------
 */

/* In place: it is pointed to. */
typedef struct GuardDeadline {
    int fd;
    LoopFd *watch;
    int64_t until_ms; /* of CLOCK_BOOTTIME; 0: none */
    LoopFn *over;     /* called once it is */
    void *user;
} GuardDeadline;

NODISCARD bool guard_deadline_init(GuardDeadline *deadline, Loop *loop, LoopFn *over, void *user,
                                   Err *err);
void guard_deadline_done(
    GuardDeadline *deadline); /* before the loop; one that failed to init, too */
void guard_deadline_set(GuardDeadline *deadline,
                        int64_t until_ms); /* 0: none; it is not over yet */
bool guard_deadline_is_over(const GuardDeadline *deadline);

/* ---- engine.c ---------------------------------------------------------------------------------
 */

typedef struct EngineSpec {
    const char *cwd;
    const char *log_path;
    ProcessAccount account;
    int death_signal;
    char *const *argv;
} EngineSpec;

/* Forks and executes the engine; it is executing when this returns true. */
NODISCARD bool engine_start(const EngineSpec *spec, pid_t *ret_pid, Err *err);

/* ---- procs.c ----------------------------------------------------------------------------------
 */

/* Kills every child of ours that has not died yet; returns how many there were. */
size_t procs_kill_children(void);

#endif
