/*
 * The jobs of a run. Each resource that is not as it should be has one that makes it, one that
 * destroys it, or (to replace it) both.
 *
 *    waits --> works <--> pauses --> done
 *                |                    ^
 *                +--> failed          +- at once, where nothing is left to do
 *
 * `made` is set on the way, when others may begin: the resource is there, and has its identifiers.
 */
#ifndef WEIR_CLI_APPLY_RUN_PRIV_H
#define WEIR_CLI_APPLY_RUN_PRIV_H

#include "cli/apply/apply_priv.h"

typedef enum JobState {
    JOB_WAITS,  /* for other jobs */
    JOB_WORKS,  /* a task is under way */
    JOB_PAUSES, /* until next_ms; then `next` is run */
    JOB_DONE,
    JOB_FAILED,
} JobState;

typedef struct Job {
    PlanItem *item;
    bool destroys;
    JobState state;
    TaskKind next;
    int64_t next_ms;
    int64_t pause_ms; /* the last one; they grow */
    int64_t begun_ms; /* 0: not yet */
    int64_t deadline_ms;
    int64_t trouble_ms; /* since when it is in trouble that may pass; 0: it is not */
    bool made;
    bool changes;       /* it is more than a look */
    bool looked_again;  /* what creating could not set has been set */
    bool unsure;        /* the answer to a change was lost */
    bool stale;         /* what it refers to has changed since it was evaluated */
    const char *shown;  /* the state as shown last */
    RemarkWatch remark; /* jobs_done's */
    Present *present;   /* once it is there; the plan's */
    struct Job *before; /* of a replacement: what destroys the old one */
} Job;

typedef struct Run {
    Plan *plan;
    const ApplyOptions *options;
    const ApplyProgress *progress;
    ApplyResult *result;
    TfDiagnostics *diagnostics;
    Workers *workers;
    Caller caller;   /* of the deciding thread */
    VEC(Job *) jobs; /* in the plan's arena */
    size_t works;    /* tasks under way */
    int idle_turns;  /* of the loop, in which nothing moved */
} Run;

/* ---- job.c ------------------------------------------------------------------------------------
 */

/* Begins, or says that it has to wait: for what is known only when others are available. */
void job_begin(Run *run, Job *job);
void job_resume(Run *run, Job *job); /* JOB_PAUSES is over */
void job_task_through(Run *run, Job *job, Task *task);
void job_fail(Run *run, Job *job, const char *message);
/* Not begun, because of another. */
void job_skip(Run *run, Job *job, const Job *because);
bool job_is_over(const Job *job);

/* ---- run.c ------------------------------------------------------------------------------------
 */

/* One that the job's block refers to and that has not come to rest; NULL: none. */
const Job *run_reference_unready(const Run *run, const Job *job);
/* One that it refers to and that has failed; NULL: none. */
const Job *run_reference_failed(const Run *run, const Job *job);
/* The resource is there, or has changed: those that refer to it look again. */
void run_published(Run *run, const Job *job);

#endif
