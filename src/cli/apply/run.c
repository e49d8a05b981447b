/*
 * Which job may begin, and the loop that brings them all to an end. A block begins when all that it
 * refers to is there. What is destroyed goes by rank; groups and secrets go last, when the blocks
 * that used them no longer do.
 */
#include "cli/apply/apply_run_priv.h"

#define TICK_MS        100
#define RANK_OF_SHARED 4 /* from here on: what others may still use */

/* ---- jobs -------------------------------------------------------------------------------------
 */

static Job *job_new(Run *run, PlanItem *item, bool destroys)
{
    Job *job = ARENA_NEW(run->plan->arena, Job);
    job->item = item;
    job->destroys = destroys;
    arena_vec_push(run->plan->arena, &run->jobs, job);
    return job;
}

static bool has_something_to_do(const PlanItem *item)
{
    return item->action != PLAN_NONE || item->retag || !present_is_ready(item->present);
}

static void jobs_make(Run *run)
{
    for (size_t i = 0; i < run->plan->items.len; i++) {
        PlanItem *item = run->plan->items.items[i];
        bool goes = item->action == PLAN_DESTROY ||
                    (item->action == PLAN_REPLACE && item->kind->destroy != NULL);
        Job *before = goes ? job_new(run, item, true) : NULL;
        if (item->action != PLAN_DESTROY && has_something_to_do(item)) {
            job_new(run, item, false)->before = before;
        }
    }
}

/* The job that makes an instance's resource; NULL: there is nothing to do. */
static Job *job_of(const Run *run, const TfInstance *instance)
{
    for (size_t i = 0; i < run->jobs.len; i++) {
        Job *job = run->jobs.items[i];
        if (!job->destroys && job->item->instance == instance) {
            return job;
        }
    }
    return NULL;
}

/* ---- what a job waits for ---------------------------------------------------------------------
 */

typedef struct Hold {
    bool wait;
    const Job *failed; /* it can never begin, because of this one */
} Hold;

static Hold make_hold(const Run *run, const Job *job)
{
    if (job->before != NULL && job->before->state != JOB_DONE) {
        return (Hold){true, job->before->state == JOB_FAILED ? job->before : NULL};
    }
    const TfInstance *instance = job->item->instance;
    Hold hold = {0};
    for (size_t i = 0; i < instance->depends_len; i++) {
        const Job *other = job_of(run, instance->depends[i]);
        if (other != NULL && !other->made) {
            hold.wait = true;
            hold.failed = other->state == JOB_FAILED ? other : hold.failed;
        }
    }
    return hold;
}

/* Failures are no reason to stop: the API refuses what is still in use. */
static Hold destroy_hold(const Run *run, const Job *job)
{
    int rank = destroy_rank(job->item->present);
    bool shared = rank >= RANK_OF_SHARED && job->item->action == PLAN_DESTROY;
    for (size_t i = 0; i < run->jobs.len; i++) {
        const Job *other = run->jobs.items[i];
        bool before = other->destroys && destroy_rank(other->item->present) < rank &&
                      (shared || other->item->action == PLAN_REPLACE ||
                       destroy_rank(other->item->present) < RANK_OF_SHARED);
        bool still_uses = shared && !other->destroys && !other->made;
        if ((before || still_uses) && !job_is_over(other)) {
            return (Hold){.wait = true};
        }
    }
    return (Hold){0};
}

const Job *run_reference_failed(const Run *run, const Job *job)
{
    const TfInstance *instance = job->item->instance;
    for (size_t i = 0; i < instance->depends_len; i++) {
        const Job *other = job_of(run, instance->depends[i]);
        if (other != NULL && other->state == JOB_FAILED) {
            return other;
        }
    }
    return NULL;
}

const Job *run_reference_unready(const Run *run, const Job *job)
{
    const TfInstance *instance = job->item->instance;
    for (size_t i = 0; i < instance->depends_len; i++) {
        const Job *other = job_of(run, instance->depends[i]);
        if (other != NULL && !job_is_over(other)) {
            return other;
        }
    }
    return NULL;
}

void run_published(Run *run, const Job *job)
{
    run->idle_turns = 0;
    for (size_t i = 0; i < run->jobs.len; i++) {
        Job *other = run->jobs.items[i];
        if (other != job && other->state == JOB_WAITS) {
            other->stale = true;
        }
    }
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

static void begin_one(Run *run, Job *job)
{
    Hold hold = job->destroys ? destroy_hold(run, job) : make_hold(run, job);
    if (hold.failed != NULL) {
        job_skip(run, job, hold.failed);
        run_published(run, job);
    } else if (!hold.wait && (job->destroys || job->stale)) {
        job_begin(run, job);
        if (job->state == JOB_FAILED) {
            run_published(run, job);
        }
    }
}

/* Begins what may begin, goes on where a pause is over; says how long nothing needs to be done. */
static int64_t step(Run *run)
{
    int64_t now = time_mono_ms();
    int64_t wait_ms = TICK_MS;
    for (size_t i = 0; i < run->jobs.len; i++) {
        Job *job = run->jobs.items[i];
        if (job->state == JOB_WAITS) {
            begin_one(run, job);
        } else if (job->state == JOB_PAUSES && job->next_ms <= now) {
            job_resume(run, job);
        }
        if (job->state == JOB_PAUSES && job->next_ms - now < wait_ms) {
            wait_ms = job->next_ms > now ? job->next_ms - now : 0;
        }
    }
    return wait_ms;
}

static void jobs_done(Run *run)
{
    for (size_t i = 0; i < run->jobs.len; i++) {
        remark_watch_done(&run->jobs.items[i]->remark);
    }
}

static bool all_over(const Run *run)
{
    for (size_t i = 0; i < run->jobs.len; i++) {
        if (!job_is_over(run->jobs.items[i])) {
            return false;
        }
    }
    return true;
}

#define IDLE_TURNS_MAX 3

/* Nothing works, nothing pauses, and yet something waits: for what will not come. */
static void fail_the_stuck(Run *run)
{
    bool moves = run->works > 0;
    for (size_t i = 0; i < run->jobs.len; i++) {
        moves = moves || run->jobs.items[i]->state == JOB_PAUSES;
    }
    run->idle_turns = moves ? 0 : run->idle_turns + 1;
    for (size_t i = 0; i < run->jobs.len && run->idle_turns > IDLE_TURNS_MAX; i++) {
        if (run->jobs.items[i]->state == JOB_WAITS) {
            job_fail(run, run->jobs.items[i], "what it refers to did not become known");
        }
    }
}

static bool is_interrupted(const Run *run)
{
    return run->options->interrupted != NULL && run->options->interrupted();
}

static void run_loop(Run *run)
{
    while (!all_over(run) && !is_interrupted(run)) {
        int64_t wait_ms = step(run);
        fail_the_stuck(run);
        Task *task = run->works > 0 || wait_ms > 0 ? workers_next(run->workers, wait_ms) : NULL;
        if (task != NULL) {
            Job *job = task->owner;
            run->works--;
            job_task_through(run, job, task);
            if (job_is_over(job)) {
                run_published(run, job);
            }
            task_free(task);
        }
        run->progress->on_tick(run->progress->user);
    }
}

bool apply_run(Plan *plan, const ApplyOptions *options, const ApplyProgress *progress,
               ApplyResult *ret_result, TfDiagnostics *diagnostics, Err *err)
{
    Run run = {.plan = plan,
               .options = options,
               .progress = progress,
               .result = ret_result,
               .diagnostics = diagnostics};
    *ret_result = (ApplyResult){0};
    *err = (Err){0};
    jobs_make(&run);
    for (size_t i = 0; i < run.jobs.len; i++) {
        run.jobs.items[i]->stale = true;
    }
    if (run.jobs.len == 0) {
        return true;
    }
    int count = options->calls_max > 0 ? options->calls_max : APPLY_CALLS_MAX;
    TRY(options->source.open(options->source.context, &run.caller, err));
    bool ok = workers_start(&options->source, count, &run.workers, err);
    if (ok) {
        run_loop(&run);
        workers_stop(run.workers);
    }
    options->source.close(options->source.context, &run.caller);
    jobs_done(&run);
    tf_diagnostics_sort(diagnostics);
    if (ok && !all_over(&run)) {
        return err_set(err, ERR_UNAVAILABLE,
                       "interrupted: what was asked for goes on, the rest was not begun");
    }
    return ok && ret_result->failed == 0;
}
