/* See fence_priv.h: a look each half second, as a job. */
#include "agent/fence_priv.h"

#include <pthread.h>
#include <stdio.h>

#define LOOK_MS  500
#define PROOF_MS 1000 /* the store took a beat within it: no need to ask the engine */
#define PROBE_MS 1000 /* that the engine may take for its answer */

struct Fence {
    const AgentOptions *options;
    char node[NODE_ID_MAX + 1];
    char zone[2];
    LoopTimer timer;
    bool wanted;
    bool redis;
    bool told; /* its guard has a deadline */
    bool in_job;
    bool orphan; /* freed, and the job is not over */
    pthread_mutex_t mutex;
    FenceRivals rivals;    /* behind it */
    Secret admin_password; /* the same: of a Redis whose rivals are known */
    /* The job's, while in_job. */
    int64_t proven_ms; /* of CLOCK_BOOTTIME: when the last proof was begun; 0: there was none */
    int64_t told_ms;   /* what the guard knows; 0: nothing; -1: what an agent before has told it */
    RivalWatch watch;
};

/* ---- proofs ------------------------------------------------------------------------------------
 */

static EnginePaths paths_of(const Fence *fence, Arena *arena)
{
    const AgentOptions *options = fence->options;
    const char *zone_dir = arena_printf(arena, "%s/zone-%s", options->data_dir, fence->zone);
    return engine_paths(arena, zone_dir, options->run_dir, fence->node);
}

/* Names bound: the standby has acknowledged, so it was not promoted. No names: the store had agreed
 * that nobody else may be. */
static bool pg_proves(const Fence *fence)
{
    static const char probe[] = "BEGIN; SET LOCAL synchronous_commit = on; "
                                "SELECT pg_logical_emit_message(true, 'weir', ''); COMMIT";
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const EnginePaths paths = paths_of(fence, arena);
    PgSession *session = NULL;
    bool proven = pg_session_open(&paths, "postgres", PROBE_MS, &session, NULL);
    if (proven) {
        pg_session_patience(session, PROBE_MS);
        proven = pg_exec(session, probe, NULL);
    }
    pg_session_close(session);
    return proven;
}

/* What is asked of a Redis; false: it is none whose rivals are known. */
static bool rivals_copy(Fence *fence, FenceRivals *ret_rivals, Secret *ret_password)
{
    pthread_mutex_lock(&fence->mutex);
    Slice password = secret_reveal(&fence->admin_password);
    bool known = password.len > 0;
    if (known) {
        *ret_rivals = fence->rivals;
        secret_set(ret_password, password);
    }
    pthread_mutex_unlock(&fence->mutex);
    return known;
}

/* Looked at also while the store takes beats: a link counts once it is old. */
static int64_t redis_proven_ms(Fence *fence, const FenceRivals *rivals, const Secret *password,
                               int64_t now_ms)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const RedisSpec spec = {.paths = paths_of(fence, arena),
                            .admin_password = secret_reveal(password).data};
    RedisSeen seen;
    bool answers = redis_observe(&spec, PROBE_MS, &seen, NULL);
    return rival_watch_look(&fence->watch, rivals, answers ? &seen : NULL, now_ms);
}

static int64_t engine_proven_ms(Fence *fence, int64_t now_ms, bool taken)
{
    FenceRivals rivals;
    CLEANUP(secret_done) Secret password = {0};
    if (!fence->redis) {
        return !taken && pg_proves(fence) ? now_ms : 0;
    }
    return rivals_copy(fence, &rivals, &password)
               ? redis_proven_ms(fence, &rivals, &password, now_ms)
               : 0;
}

static void fence_run(void *arg, const Job *job)
{
    (void)job;
    Fence *fence = arg;
    int64_t begun_ms = time_boot_ms();
    int64_t taken_ms = hosts_taken_ms(fence->options->hosts);
    bool taken = begun_ms - taken_ms <= PROOF_MS;
    int64_t proven_ms = engine_proven_ms(fence, begun_ms, taken);
    proven_ms = taken_ms > proven_ms ? taken_ms : proven_ms;
    fence->proven_ms = proven_ms > fence->proven_ms ? proven_ms : fence->proven_ms;
    int64_t until_ms = fence->proven_ms > 0 ? fence->proven_ms + HA_FENCE_MS : 0;
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
    pid_t guard;
    bool lifted = guard_fence(fence->options->run_dir, fence->node, 0, &err);
    if (!lifted) {
        log_debug("agent", "fence of %s: %s", fence->node, err.message);
    }
    if (lifted || !guard_find(fence->options->run_dir, fence->node, &guard, NULL)) {
        fence->told_ms = fence->proven_ms = 0; /* else it is said again */
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */

static void fence_end(Fence *fence)
{
    secret_done(&fence->admin_password);
    pthread_mutex_destroy(&fence->mutex);
    mem_free(fence);
}

static void fence_done(void *arg)
{
    Fence *fence = arg;
    fence->in_job = false;
    fence->told = fence->told_ms > 0;
    if (fence->orphan) {
        fence_end(fence);
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
    *fence = (Fence){.options = options, .told_ms = -1};
    pthread_mutex_init(&fence->mutex, NULL);
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
        fence_end(fence);
    }
}

void fence_want(Fence *fence, bool wanted, bool redis, const char *zone)
{
    if (!fence->in_job && zone[0] != '\0') { /* neither changes; the job reads both */
        fence->redis = redis;
        snprintf(fence->zone, sizeof(fence->zone), "%.1s", zone);
    }
    fence->wanted = wanted && fence->zone[0] != '\0';
    bool told = !fence->in_job && fence->told_ms != 0; /* a job has the timer running */
    if ((fence->wanted || told) && !loop_timer_armed(&fence->timer)) {
        loop_timer_start(fence->options->loop, &fence->timer, 1, LOOK_MS, fence_look, fence);
    }
}

bool fence_holds(const Fence *fence)
{
    return fence->wanted && fence->told;
}

void fence_rivals(Fence *fence, const char *admin_password, const FenceRivals *rivals, bool all)
{
    pthread_mutex_lock(&fence->mutex);
    if (all) {
        fence->rivals = (FenceRivals){.len = 0};
    }
    for (size_t i = 0; i < rivals->len; i++) {
        fence_rivals_add(&fence->rivals, rivals->addresses[i]);
    }
    if (!slice_is(secret_reveal(&fence->admin_password), admin_password)) {
        secret_set(&fence->admin_password, slice_of(admin_password));
    }
    pthread_mutex_unlock(&fence->mutex);
}

bool fence_first(const Fence *fence, int64_t *ret_until_ms, Err *err)
{
    int64_t taken_ms = hosts_taken_ms(fence->options->hosts);
    *ret_until_ms = taken_ms + HA_FENCE_MS;
    return time_boot_ms() - taken_ms <= PROOF_MS ||
           err_set(err, ERR_UNAVAILABLE, "%s waits: the store has taken no beat of this host",
                   fence->node);
}
