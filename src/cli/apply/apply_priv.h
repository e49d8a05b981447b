/*
 * apply: carries a plan out. One thread decides, in the order of dependence, what may begin and
 * what has to be waited for; a few workers make the calls. What depends on a resource needs its
 * identifiers, not that it is available, so that a whole tier is made at once.
 */
#ifndef WEIR_CLI_APPLY_PRIV_H
#define WEIR_CLI_APPLY_PRIV_H

#include "cli/plan/plan_priv.h"

/* ---- progress (display.c) -----------------------------------------------------------------------
 */

/* All of them are called on the thread of apply_run. */
typedef struct ApplyProgress {
    /* It is begun, or in another state than before: "creating", "waits: …". */
    void (*on_state)(void *user, const char *address, const char *state, int64_t elapsed_ms);
    /* Why it takes longer. */
    void (*on_remark)(void *user, const char *address, const char *text, int64_t elapsed_ms);
    void (*on_done)(void *user, const char *address, const char *state, int64_t elapsed_ms);
    void (*on_error)(void *user, const char *address, const char *message, int64_t elapsed_ms);
    void (*on_tick)(void *user); /* a few times a second */
    void *user;
} ApplyProgress;

/* Shows progress on a stream: on a terminal a line per resource that is under way, redrawn; a line
 * per event elsewhere. */
typedef struct Display Display;

/* Addresses get a column of this width. */
Display *display_new(FILE *out, size_t address_width);
void display_free(Display *display); /* NULL is fine */
ApplyProgress display_progress(Display *display);

/* ---- tasks: calls on other threads (task.c, pool.c)
 * ----------------------------------- */

typedef enum TaskKind {
    TASK_CREATE, /* makes it, and reads it */
    TASK_UPDATE, /* changes it and its tags, and reads it */
    TASK_READ,
    TASK_DESTROY,
} TaskKind;

/* A step on the way of one resource, and what came of it. It is a worker's from workers_push until
 * workers_next gives it back. */
typedef struct Task {
    TaskKind kind;
    Arena *arena;
    Change change; /* its trees are the task's */
    const char *key;
    void *owner;
    /* What came of it. */
    bool ok;
    bool made; /* the change took place, whatever became of reading */
    PresentList found;
    const char *remark; /* what there is to say of its state; NULL: nothing. In the arena */
    Err err;
    struct Task *next;
} Task;

/* Takes `desired` and `changed`; `present` must outlive the task. */
Task *task_new(TaskKind kind, const PlanItem *item, const char *key, json_t *desired,
               json_t *changed, const Present *present, void *owner);
void task_free(Task *task); /* NULL is fine */
void task_run(Task *task, const Caller *caller);

/* Where each worker gets an API of its own from. */
typedef struct CallerSource {
    bool (*open)(void *context, Caller *ret_caller, Err *err);
    void (*close)(void *context, Caller *caller);
    void *context;
} CallerSource;

typedef struct Workers Workers;

NODISCARD bool workers_start(const CallerSource *source, int count, Workers **ret_workers,
                             Err *err);
void workers_push(Workers *workers, Task *task);
/* The next task that is through; NULL when there is none within the time. */
Task *workers_next(Workers *workers, int64_t wait_ms);
/* Waits for what is under way, and frees what was pushed. NULL is fine. */
void workers_stop(Workers *workers);

/* ---- carrying it out (run.c, job.c)
 * ----------------------------------------------------- */

#define APPLY_CALLS_MAX 8 /* at once */

typedef struct ApplyOptions {
    CallerSource source;
    int calls_max;             /* 0: APPLY_CALLS_MAX */
    int64_t poll_ms;           /* between two looks at a resource, at most; 0: a second */
    bool (*interrupted)(void); /* asked now and then; true ends the run. NULL: never */
} ApplyOptions;

typedef struct ApplyResult {
    size_t done;   /* resources that were made, changed or destroyed */
    size_t failed; /* that failed, or were not begun because another did */
} ApplyResult;

/* False: something failed. `diagnostics` says what, at its place; `err` where nothing could be
 * begun, and is ERR_NONE otherwise. */
NODISCARD bool apply_run(Plan *plan, const ApplyOptions *options, const ApplyProgress *progress,
                         ApplyResult *ret_result, TfDiagnostics *diagnostics, Err *err);

/* What a call said, as an error at the place of the attribute that it means (error.c). */
void apply_diagnose(TfDiagnostics *diagnostics, const PlanItem *item, const char *message);
/* The attribute that a message is about; NULL: none that could be told. */
const char *attribute_in_message(const ResourceKind *kind, const TfValue *desired,
                                 const char *message);

/* ---- the command line (command.c)
 * ------------------------------------------------------------- */

/* Workers' clients of the tier in this folder. */
CallerSource client_source(const char *data_dir);
/* Shows the plan and carries it out, with a display on stderr; the exit status. */
int apply_plan(const Cli *cli, Plan *plan, bool (*interrupted)(void));

int apply_main(int argc, char **argv);

#endif
