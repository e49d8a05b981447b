/* What a job does next, from what came of its last step. Runs on the deciding thread only. */
#include "cli/apply/apply_run_priv.h"

#define PAUSE_FIRST_MS  100
#define PAUSE_MOST_MS   1000
#define TROUBLE_MOST_MS (60 * MS_PER_S) /* the API does not answer, or says: later */
#define DETAIL_AFTER_MS (10 * MS_PER_S) /* what stands in the way counts when it lasts */
#define FAILED_STAYS_MS (5 * MS_PER_S)  /* a failed status counts when it lasts */

bool job_is_over(const Job *job)
{
    return job->state == JOB_DONE || job->state == JOB_FAILED;
}

static int64_t elapsed_ms(const Job *job)
{
    return job->begun_ms == 0 ? 0 : time_mono_ms() - job->begun_ms;
}

/* ---- telling ----------------------------------------------------------------------------------
 */

static void show_state(Run *run, Job *job, const char *state)
{
    if (job->shown == NULL || strcmp(job->shown, state) != 0) {
        job->shown = arena_strdup(run->plan->arena, state);
        run->progress->on_state(run->progress->user, job->item->address, state, elapsed_ms(job));
    }
}

static void job_end(Run *run, Job *job, const char *state)
{
    job->state = JOB_DONE;
    job->made = true;
    run->result->done += job->changes ? 1 : 0;
    run->progress->on_done(run->progress->user, job->item->address, state, elapsed_ms(job));
}

void job_fail(Run *run, Job *job, const char *message)
{
    job->state = JOB_FAILED;
    run->result->failed++;
    apply_diagnose(run->diagnostics, job->item, message);
    run->progress->on_error(run->progress->user, job->item->address, message, elapsed_ms(job));
}

void job_skip(Run *run, Job *job, const Job *because)
{
    job->state = JOB_FAILED;
    run->result->failed++;
    const char *message =
        arena_printf(run->plan->arena, "not begun, because %s failed", because->item->address);
    run->progress->on_error(run->progress->user, job->item->address, message, 0);
}

/* ---- steps ------------------------------------------------------------------------------------
 */

static void pause_job(Run *run, Job *job, TaskKind next)
{
    int64_t most = run->options->poll_ms > 0 ? run->options->poll_ms : PAUSE_MOST_MS;
    int64_t pause = job->pause_ms == 0 ? PAUSE_FIRST_MS : job->pause_ms * 3 / 2;
    job->pause_ms = pause < most ? pause : most;
    job->next = next;
    job->next_ms = time_mono_ms() + job->pause_ms;
    job->state = JOB_PAUSES;
}

static void run_task(Run *run, Job *job, TaskKind kind, json_t *desired, json_t *changed)
{
    workers_push(run->workers,
                 task_new(kind, job->item, job->item->key, desired, changed, job->present, job));
    job->state = JOB_WORKS;
    run->works++;
}

static int64_t timeout_of(const Job *job)
{
    const char *name = job->destroys                      ? "delete"
                       : job->item->action == PLAN_UPDATE ? "update"
                                                          : "create";
    int64_t ms = job->item->kind->timeout_ms;
    const TfValue *blocks =
        job->item->desired != NULL ? tf_get(job->item->desired, "timeouts") : NULL;
    if (blocks != NULL && blocks->kind == TF_LIST && blocks->list.len > 0) {
        const TfValue *text = tf_get(blocks->list.items[0], name);
        bool written = text != NULL && text->kind == TF_STRING;
        (void)!(written && duration_parse(text->string, &ms));
    }
    return ms;
}

static void set_begun(Job *job)
{
    if (job->begun_ms == 0) {
        job->begun_ms = time_mono_ms();
        job->deadline_ms = job->begun_ms + timeout_of(job);
    }
}

/* ---- beginning --------------------------------------------------------------------------------
 */

static void begin_destroy(Run *run, Job *job)
{
    set_begun(job);
    job->changes = true;
    job->present = job->item->present;
    show_state(run, job, "deleting");
    run_task(run, job, TASK_DESTROY, NULL, NULL);
}

static void begin_create(Run *run, Job *job)
{
    job->changes = true;
    job->present = NULL;
    show_state(run, job, "creating");
    run_task(run, job, TASK_CREATE, tf_to_value_new(job->item->desired), NULL);
}

/* The differences between what is desired and what is present, now that more is known. */
static void look_for_differences(const Run *run, const Job *job, Differences *out)
{
    const Plan *plan = run->plan;
    const DiffContext context = {&plan->present, &plan->applied, &plan->facts, job->item->instance};
    *out = (Differences){.arena = plan->arena};
    diff_resource(&context, job->item->desired, job->present, out);
}

static void begin_update(Run *run, Job *job)
{
    Differences differences;
    job->present = job->item->present;
    look_for_differences(run, job, &differences);
    if (differences.list.len > 0 || job->item->retag) {
        job->changes = differences.list.len > 0;
        show_state(run, job, "changing");
        run_task(run, job, TASK_UPDATE, tf_to_value_new(job->item->desired),
                 diff_names_new(&differences));
        return;
    }
    show_state(run, job, job->present->status[0] != '\0' ? job->present->status : "looking");
    run_task(run, job, TASK_READ, NULL, NULL);
}

/* Evaluates the block with all that is known by now. False: it has to wait, or has failed. */
static bool evaluate(Run *run, Job *job)
{
    PlanItem *item = job->item;
    const TfValue *desired;
    job->stale = false;
    if (!tf_evaluate(run->plan->program, item->instance, run->diagnostics, &desired)) {
        job->state = JOB_FAILED;
        run->result->failed++;
        run->progress->on_error(run->progress->user, item->address, "its block has errors", 0);
        return false;
    }
    const Job *failed = desired->holds_unknown ? run_reference_failed(run, job) : NULL;
    if (failed != NULL) {
        job_skip(run, job, failed);
        return false;
    }
    if (desired->holds_unknown && run_reference_unready(run, job) != NULL) {
        return false;
    }
    item->desired = desired;
    item->key = kind_key(run->plan->arena, item->kind, desired, &run->plan->present);
    if (item->key == NULL) {
        job_fail(run, job, "its name is still unknown when all that it refers to is there");
        return false;
    }
    return true;
}

void job_begin(Run *run, Job *job)
{
    if (job->destroys) {
        begin_destroy(run, job);
        return;
    }
    if (!evaluate(run, job)) {
        return;
    }
    set_begun(job);
    if (job->item->action == PLAN_CREATE || job->item->action == PLAN_REPLACE) {
        begin_create(run, job);
    } else {
        begin_update(run, job);
    }
}

void job_resume(Run *run, Job *job)
{
    switch (job->next) {
    case TASK_CREATE:
        begin_create(run, job);
        return;
    case TASK_UPDATE:
        begin_update(run, job);
        return;
    case TASK_READ:
    case TASK_DESTROY:
        run_task(run, job, job->next, NULL, NULL);
        return;
    default:
        UNREACHABLE();
    }
}

/* ---- trouble ----------------------------------------------------------------------------------
 */

static bool may_pass(const Job *job, const Task *task)
{
    if (task->err.code == ERR_UNAVAILABLE) {
        return true;
    }
    bool in_use = job->destroys && status_in(job->item->kind->busy_faults, task->change.fault.code);
    bool leaving = job->item->leaving && task->kind == TASK_CREATE && task->change.fault.code[0];
    return in_use || leaving;
}

static bool in_time(Job *job, int64_t *since_ms, int64_t most_ms)
{
    int64_t now = time_mono_ms();
    *since_ms = *since_ms == 0 ? now : *since_ms;
    return now - *since_ms < most_ms && now < job->deadline_ms;
}

/* A change whose answer was lost: the resource itself tells. */
static bool settle_unknown(Run *run, Job *job, const Task *task)
{
    if (task->err.code != ERR_UNSETTLED || task->kind == TASK_READ) {
        return false;
    }
    job->unsure = true;
    job->looked_again = false;
    pause_job(run, job, TASK_READ);
    return true;
}

static void task_failed(Run *run, Job *job, const Task *task)
{
    if (task->made && task->kind != TASK_READ && task->err.code == ERR_UNAVAILABLE) {
        pause_job(run, job, TASK_READ); /* it took place; only looking did not work */
        return;
    }
    if (settle_unknown(run, job, task)) {
        return;
    }
    if (may_pass(job, task) && in_time(job, &job->trouble_ms, TROUBLE_MOST_MS)) {
        show_state(run, job, arena_printf(run->plan->arena, "waits: %s", task->err.message));
        pause_job(run, job, task->kind);
        return;
    }
    job_fail(run, job, task->err.message);
}

/* ---- going on ---------------------------------------------------------------------------------
 */

/* Digests of what the API does not give back, as it was just set. */
static void note_secrets(Run *run, Job *job, const Task *task)
{
    const Change *change = &task->change;
    Err err;
    for (size_t i = 0; i < job->item->kind->attributes_len; i++) {
        const KindAttribute *attribute = &job->item->kind->attributes[i];
        const char *name = attribute->tf.name;
        const char *value = member_str(change->desired, name, NULL);
        bool set = task->kind == TASK_CREATE || change_has(change, name);
        if ((attribute->rules & RULE_DIGEST) != 0 && value != NULL && set) {
            applied_note(&run->plan->applied, job->present, name, slice_of(value));
        }
    }
    if (!applied_save(&run->plan->applied, &run->caller, &err)) {
        tf_diagnose(run->diagnostics, TF_WARNING, (TfPos){0},
                    arena_printf(run->plan->arena,
                                 "what was applied could not be kept, so that the next plan will "
                                 "set passwords once more: %s",
                                 err.message),
                    NULL);
    }
}

static const char *state_text(const Run *run, const Present *present)
{
    if (present_is_ready(present)) {
        return present->status;
    }
    return present->detail[0] != '\0'
               ? arena_printf(run->plan->arena, "%s (%s)", present->status, present->detail)
               : present->status;
}

/* What creating could not set, or what a lost answer left open: one more change. */
static bool change_the_rest(Run *run, Job *job)
{
    Differences differences;
    bool created = job->item->action == PLAN_CREATE || job->item->action == PLAN_REPLACE;
    if (!(created || job->unsure) || job->looked_again) {
        return false;
    }
    job->looked_again = true;
    look_for_differences(run, job, &differences);
    if (differences.list.len == 0 || diff_replaces(&differences)) {
        return false;
    }
    show_state(run, job, "changing");
    run_task(run, job, TASK_UPDATE, tf_to_value_new(job->item->desired),
             diff_names_new(&differences));
    return true;
}

/* A target's instance that does not answer yet has nothing to do with the target. */
static const char *waiting_text(Run *run, const Job *job)
{
    const Job *unready = job->present->detail[0] != '\0' ? run_reference_unready(run, job) : NULL;
    if (unready != NULL) {
        return arena_printf(run->plan->arena, "waits for %s", unready->item->address);
    }
    bool lasts = elapsed_ms(job) >= DETAIL_AFTER_MS;
    return lasts ? state_text(run, job->present) : job->present->status;
}

static void wait_on(Run *run, Job *job, const Task *task)
{
    const Present *present = job->present;
    if (remark_is_due(&job->remark, task->remark, time_mono_ms())) {
        run->progress->on_remark(run->progress->user, job->item->address, task->remark,
                                 elapsed_ms(job));
    }
    if (present_has_failed(present) && !in_time(job, &job->trouble_ms, FAILED_STAYS_MS)) {
        job_fail(run, job,
                 arena_printf(run->plan->arena, "the %s \"%s\" is %s: see weir events",
                              present->kind->noun, present->key, state_text(run, present)));
        return;
    }
    if (!present_has_failed(present)) {
        job->trouble_ms = 0;
    }
    if (time_mono_ms() >= job->deadline_ms) {
        job_fail(run, job,
                 arena_printf(run->plan->arena,
                              "the %s \"%s\" is still %s after %lld s: see weir events, and set "
                              "timeouts where it takes longer",
                              present->kind->noun, present->key, state_text(run, present),
                              (long long)(elapsed_ms(job) / MS_PER_S)));
        return;
    }
    show_state(run, job, waiting_text(run, job));
    pause_job(run, job, TASK_READ);
}

static const char *end_text(const Job *job)
{
    if (job->present->status[0] != '\0') {
        return job->present->status;
    }
    return !job->changes ? "unchanged" : job->item->action == PLAN_UPDATE ? "changed" : "created";
}

static void is_there(Run *run, Job *job, const Task *task, const Present *found)
{
    bool before = job->made;
    job->present = plan_remember(run->plan, found);
    if (task->kind == TASK_CREATE || task->kind == TASK_UPDATE) {
        note_secrets(run, job, task);
    }
    bool ready = present_is_ready(job->present);
    if (ready && change_the_rest(run, job)) {
        plan_publish(run->plan, job->item, job->present, false);
        job->made = true;
        run_published(run, job);
        return;
    }
    job->made = true;
    plan_publish(run->plan, job->item, job->present, ready);
    if (ready) {
        job_end(run, job, end_text(job));
    } else {
        wait_on(run, job, task);
    }
    if (!before || ready || job_is_over(job)) {
        run_published(run, job);
    }
}

static void not_there(Run *run, Job *job)
{
    bool unsettled = !job->made && !job->destroys && job->present == NULL;
    if (job->destroys) {
        job_end(run, job, "gone");
    } else if (unsettled && in_time(job, &job->trouble_ms, TROUBLE_MOST_MS)) {
        pause_job(run, job, TASK_CREATE);
    } else {
        job_fail(run, job, "it was there, and is gone: somebody else removed it");
    }
}

static void wait_until_gone(Run *run, Job *job, const Present *found)
{
    if (time_mono_ms() >= job->deadline_ms) {
        job_fail(run, job,
                 arena_printf(run->plan->arena, "the %s \"%s\" is still there after %lld s",
                              found->kind->noun, found->key,
                              (long long)(elapsed_ms(job) / MS_PER_S)));
        return;
    }
    show_state(run, job, "deleting");
    /* Whether the call to delete it arrived may be unknown: then it is made once more. */
    bool asked = found->kind->ready == NULL || strcmp(found->status, "deleting") == 0;
    pause_job(run, job, asked ? TASK_READ : TASK_DESTROY);
}

void job_task_through(Run *run, Job *job, Task *task)
{
    const Present *found =
        job->item->key != NULL ? present_find(&task->found, job->item->kind, job->item->key) : NULL;
    if (!task->ok) {
        task_failed(run, job, task);
    } else if (task->kind == TASK_DESTROY) {
        job->pause_ms = 0;
        pause_job(run, job, TASK_READ);
    } else if (found == NULL) {
        not_there(run, job);
    } else if (job->destroys) {
        wait_until_gone(run, job, found);
    } else {
        is_there(run, job, task, found);
    }
}
