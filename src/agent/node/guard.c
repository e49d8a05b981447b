/*
 * A node's engine under its guard: started, stopped, killed, and how its last run ended. One that
 * ends soon after its start is started again at growing intervals. What runs, and how it ended, is
 * found again from the guard's lock and its record.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/node/node_priv.h"

#define STOP_TIMEOUT_MS    (30 * MS_PER_S)
#define ORPHANS_TIMEOUT_MS (10 * MS_PER_S)
#define GUARD_ANSWER_MS    100
#define QUICK_END_MS       10000 /* an engine that lived shorter than this failed to start */

bool node_guard_runs(const NodeRun *run)
{
    pid_t pid;
    return guard_find(run->work->options->run_dir, run->work->id, &pid, NULL);
}

/* ---- how it ended -----------------------------------------------------------------------------
 */

/* How the last run ended, where nobody asked for it. The next guard removes the record. */
static bool unasked_end(const NodeRun *run, GuardExit *ret_end)
{
    GuardExit end = {0};
    if (!guard_exit_record_read(run->work->options->run_dir, run->work->id, &end, NULL)) {
        /* No word: the first start, or the guard was killed with its engine. */
        *ret_end = (GuardExit){0};
        return run->work->left_running || run->was_running;
    }
    *ret_end = end;
    return !end.asked && end.error[0] == '\0';
}

void node_note_left_running(NodeRun *run)
{
    run->was_running =
        run->work->served || strcmp(member_str(run->seen, "state", ""), "running") == 0;
    if (run->was_running && !node_guard_runs(run)) {
        run->work->left_running = true;
    }
}

bool node_stop_was_asked(const NodeRun *run)
{
    GuardExit end = {0};
    return guard_exit_record_read(run->work->options->run_dir, run->work->id, &end, NULL) &&
           end.asked;
}

bool node_was_killed(const NodeRun *run)
{
    GuardExit end = {0};
    return !guard_exit_record_read(run->work->options->run_dir, run->work->id, &end, NULL) ||
           !end.end.known || end.end.signal == SIGKILL;
}

/* An engine that ends again and again before it serves is one story. */
void node_tell_end(NodeRun *run, const char *then)
{
    NodeWork *work = run->work;
    GuardExit end;
    bool again = work->quick_ends > 1 && !work->left_running && !run->was_running;
    if (work->end_told || again || !unasked_end(run, &end)) {
        return;
    }
    work->end_told = true;
    char how[PROCESS_EXIT_TEXT_SIZE];
    process_exit_format(&end.end, how);
    if (end.ended_ms == 0) {
        snprintf(how, sizeof(how), "ended together with its guard");
    }
    node_event(run, "recovery",
               arena_printf(run->arena, "The %s of %s (node %s) %s; %s.", run->role,
                            member_str(run->goal, "identifier", ""), work->id, how, then));
}

/* ---- starting ---------------------------------------------------------------------------------
 */

/* An engine that ends soon after its start is started again at growing intervals. */
static bool start_allowed(NodeRun *run, Err *err)
{
    NodeWork *work = run->work;
    GuardExit end;
    int64_t now_ms = time_mono_ms();
    if (now_ms < work->start_after_ms) {
        return err_set(err, ERR_UNAVAILABLE, "the engine ended soon after its start; waiting");
    }
    if (work->start_after_ms == 0 && unasked_end(run, &end)) {
        bool quick = end.ended_ms > 0 && end.ended_ms - end.started_ms < QUICK_END_MS;
        work->quick_ends = quick ? work->quick_ends + 1 : 0;
        node_tell_end(run, "it is started again");
        if (quick) {
            mem_free(work->complaint);
            work->complaint = engine_last_words(run->paths.log);
            node_seen_set(run, "starting", work->incarnation);
        }
        if (work->quick_ends > 1) {
            work->start_after_ms = now_ms + node_backoff_ms(work->quick_ends);
            return err_set(err, ERR_UNAVAILABLE, "the engine ended soon after its start; waiting");
        }
    }
    work->start_after_ms = 0;
    return true;
}

bool node_reap(NodeRun *run, Err *err)
{
    size_t killed = 0;
    if (!file_exists(run->paths.data)) {
        return true;
    }
    TRY(guard_kill_orphans(run->paths.data, ORPHANS_TIMEOUT_MS, &killed, err));
    if (killed > 0) {
        log_warn("agent", "node %s: %zu processes of a dead guard were ended", run->work->id,
                 killed);
    }
    return true;
}

bool node_guard_start(NodeRun *run, const char *const *argv, const ProcessAccount *account,
                      Err *err)
{
    const AgentOptions *options = run->work->options;
    TRY(start_allowed(run, err));
    TRY(node_reap(run, err));
    bool postgres = strcmp(member_str(run->goal, "kind", ""), "postgres") == 0;
    TRY(!postgres || pg_stale_locks_remove(&run->paths, err));
    const GuardSpec spec = {
        .program = options->program,
        .run = options->run_dir,
        .node = run->work->id,
        .log_path = run->paths.log,
        .cwd = run->paths.data,
        .account = *account,
        .argv = argv,
        .stop_signals = postgres ? "fast=INT,immediate=QUIT" : "fast=TERM",
        .death_signal = postgres ? "QUIT" : "KILL",
        .fence_ms = run->work->fence_ms,
        .held_fd = options->net_fd,
        .log_fd = -1,
    };
    pid_t pid;
    run->work->started_ms = time_wall_ms();
    TRY(guard_spawn(&spec, &pid, err));
    run->work->left_running = run->work->end_told = run->work->served = false;
    return true;
}

/* ---- stopping ---------------------------------------------------------------------------------
 */

static bool guard_end(NodeRun *run, const char *mode, int64_t timeout_ms, Err *err)
{
    const AgentOptions *options = run->work->options;
    if (run->work->session != NULL) {
        pg_session_close(run->work->session);
        run->work->session = NULL;
    }
    if (!node_guard_runs(run)) {
        return node_reap(run, err);
    }
    GuardExit end;
    return guard_stop(options->run_dir, run->work->id, mode, timeout_ms, &end, err);
}

bool node_guard_stop(NodeRun *run, Err *err)
{
    return guard_end(run, "fast", STOP_TIMEOUT_MS, err);
}

/* A guard that is stopped itself is of no use: then it dies first, and what it had is nobody's. */
bool node_guard_kill(NodeRun *run, Err *err)
{
    const AgentOptions *options = run->work->options;
    GuardStatus status;
    pid_t guard;
    if (guard_find(options->run_dir, run->work->id, &guard, NULL) &&
        !guard_status(options->run_dir, run->work->id, GUARD_ANSWER_MS, &status, NULL)) {
        log_warn("agent", "the guard of node %s does not answer, and is killed", run->work->id);
        (void)kill(guard, SIGKILL);
        guard_await_end(options->run_dir, run->work->id);
    }
    return guard_end(run, "kill", 0, err);
}
