/* See fence_priv.h: a look each half second, as a job. */
#include "agent/fence_priv.h"

#include <stdio.h>

#define LOOK_MS  500
#define FENCE_MS 3000 /* behind the last proof */
#define PROOF_MS 1000 /* the store took a beat within it: no need to ask the engine */
#define PROBE_MS 1000 /* that the engine may take for its answer */

struct Fence {
    const AgentOptions *options;
    char node[NODE_ID_MAX + 1];
    char zone[2];
    LoopTimer timer;
    bool wanted;
    bool in_job;
    bool orphan; /* freed, and the job is not over */
    /* The job's, while in_job. */
    int64_t proven_ms; /* of CLOCK_BOOTTIME: when the last proof was begun; 0: there was none */
    int64_t told_ms;   /* what the guard knows; 0: nothing */
};

/* Names bound: the standby has acknowledged, so it was not promoted. No names: the store had agreed
 * that nobody else may be. */
static bool engine_proves(const Fence *fence)
{
    static const char probe[] = "BEGIN; SET LOCAL synchronous_commit = on; "
                                "SELECT pg_logical_emit_message(true, 'weir', ''); COMMIT";
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const AgentOptions *options = fence->options;
    const char *zone_dir = arena_printf(arena, "%s/zone-%s", options->data_dir, fence->zone);
    const EnginePaths paths = engine_paths(arena, zone_dir, options->run_dir, fence->node);
    PgSession *session = NULL;
    bool proven = pg_session_open(&paths, "postgres", PROBE_MS, &session, NULL);
    if (proven) {
        pg_session_patience(session, PROBE_MS);
        proven = pg_exec(session, probe, NULL);
    }
    pg_session_close(session);
    return proven;
}

static void fence_run(void *arg, const Job *job)
{
    (void)job;
    Fence *fence = arg;
    int64_t begun_ms = time_boot_ms();
    int64_t taken_ms = hosts_taken_ms(fence->options->hosts);
    if (begun_ms - taken_ms <= PROOF_MS) {
        fence->proven_ms = taken_ms;
    } else if (engine_proves(fence)) {
        fence->proven_ms = begun_ms;
    }
    int64_t until_ms = fence->proven_ms > 0 ? fence->proven_ms + FENCE_MS : 0;
    Err err;
    if (until_ms == fence->told_ms || until_ms == 0) {
        return;
    }
    if (guard_fence(fence->options->run_dir, fence->node, until_ms, &err)) {
        fence->told_ms = until_ms;
    } else {
        log_debug("agent", "fence of %s: %s", fence->node, err.message);
    }
}

static void fence_lift(void *arg, const Job *job)
{
    (void)job;
    Fence *fence = arg;
    Err err;
    if (!guard_fence(fence->options->run_dir, fence->node, 0, &err)) {
        log_debug("agent", "fence of %s: %s", fence->node, err.message);
    }
    fence->told_ms = fence->proven_ms = 0;
}

static void fence_done(void *arg)
{
    Fence *fence = arg;
    fence->in_job = false;
    if (fence->orphan) {
        mem_free(fence);
    }
}

static void fence_look(void *user)
{
    Fence *fence = user;
    if (fence->in_job) {
        return;
    }
    if (!fence->wanted && fence->told_ms == 0) {
        loop_timer_stop(&fence->timer);
        return;
    }
    fence->in_job = jobs_submit(fence->options->jobs, fence->wanted ? fence_run : fence_lift,
                                fence_done, fence, NULL, NULL);
}

Fence *fence_new(const AgentOptions *options, const char *node)
{
    Fence *fence = mem_alloc(sizeof(Fence));
    *fence = (Fence){.options = options};
    snprintf(fence->node, sizeof(fence->node), "%s", node);
    return fence;
}

void fence_free(Fence *fence)
{
    if (fence == NULL) {
        return;
    }
    loop_timer_stop(&fence->timer);
    fence->orphan = true;
    if (!fence->in_job) {
        mem_free(fence);
    }
}

void fence_want(Fence *fence, bool wanted, const char *zone)
{
    if (!fence->in_job && zone[0] != '\0') {
        snprintf(fence->zone, sizeof(fence->zone), "%.1s", zone);
    }
    fence->wanted = wanted && fence->zone[0] != '\0';
    bool told = !fence->in_job && fence->told_ms != 0; /* a job has the timer running */
    if ((fence->wanted || told) && !loop_timer_armed(&fence->timer)) {
        loop_timer_start(fence->options->loop, &fence->timer, 1, LOOK_MS, fence_look, fence);
    }
}
