/*
 * The life of one node, engine by engine the same: one step of it, from its goal to what was seen,
 * and what both engines take from the goal. Runs in jobs; owns nothing but what its NodeWork holds.
 * Everything is found again from files, locks and the store.
 */
#include <pwd.h>
#include <unistd.h>

#include "agent/node/node_priv.h"

#define LOG_LOOK_MS  (60 * MS_PER_S)
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000
#define STOPPED_MS   5000

/* ---- what its goal says -----------------------------------------------------------------------
 */

const char *node_address(const NodeRun *run, const json_t *goal)
{
    return hosts_node_address(run->work->options, run->arena, goal);
}

gid_t node_readers(void)
{
    struct passwd entry;
    struct passwd *found = NULL;
    char text[4096];
    getpwnam_r(PLANE_ACCOUNT, &entry, text, sizeof(text), &found);
    return geteuid() == 0 && found != NULL ? found->pw_gid : getegid();
}

bool node_unseal(const NodeRun *run, const char *sealed, const char *context, Secret *ret_secret,
                 Err *err)
{
    return secret_unseal(run->work->options->master_key, slice_of(context), slice_of(sealed),
                         ret_secret, err);
}

void node_settings(NodeRun *run, const EngineSetting **ret_settings, size_t *ret_len)
{
    json_t *settings = member_object(run->goal, "settings");
    EngineSetting *list = ARENA_ARRAY(run->arena, EngineSetting, json_object_size(settings));
    size_t len = 0;
    const char *name;
    json_t *value;
    json_object_foreach (settings, name, value) {
        if (json_is_string(value)) {
            list[len++] = (EngineSetting){name, json_string_value(value)};
        }
    }
    *ret_settings = list;
    *ret_len = len;
}

/* ---- the step ---------------------------------------------------------------------------------
 */

bool node_remove(NodeRun *run, Err *err)
{
    TRY(node_guard_stop(run, err));
    TRY(node_mark_drop(run, err)); /* what is half removed is no data directory */
    TRY(tree_remove(run->paths.root, err));
    TRY(tree_remove(run->paths.socket_dir, err));
    TRY(tree_remove(run->paths.client_dir, err));
    json_object_clear(run->seen);
    json_object_set_new(run->seen, "state", json_string("gone"));
    run->settled = true;
    return true;
}

static int64_t node_act(NodeRun *run, Err *err)
{
    if (!node_mark_read(run, err)) {
        bool gone = member_bool(run->goal, "gone", false);
        return gone && node_remove(run, err) ? STOPPED_MS : -1;
    }
    bool redis = strcmp(member_str(run->goal, "kind", ""), "redis") == 0;
    return redis ? redis_node_step(run, err) : pg_node_step(run, err);
}

int64_t node_backoff_ms(int failures)
{
    int64_t delay = RETRY_MIN_MS;
    for (int i = 1; i < failures && delay < RETRY_MAX_MS; i++) {
        delay *= 2;
    }
    return delay < RETRY_MAX_MS ? delay : RETRY_MAX_MS;
}

/* Waiting for a neighbour or for recovery is not a failure: it is looked at again soon. */
static int64_t note_failure(NodeRun *run, const Err *err)
{
    NodeWork *work = run->work;
    if (err->code == ERR_UNAVAILABLE) {
        work->failures = 0;
        return RETRY_MIN_MS;
    }
    work->failures++;
    log_warn("agent", "node %s: %s", work->id, err->message);
    mem_free(work->failure);
    work->failure = mem_strdup(err->message);
    json_object_set_new(run->seen, "error", json_string(err->message));
    return node_backoff_ms(work->failures);
}

/* A step that leaves nothing to do has carried out exactly this goal. */
static void note_success(NodeRun *run)
{
    run->work->failures = 0;
    if (run->work->failure != NULL) {
        mem_free(run->work->failure);
        run->work->failure = NULL;
        node_seen_error(run);
    }
    if (run->settled) {
        json_object_set_new(run->seen, "goal", json_string(run->goal_digest));
    }
}

/* Now and then; a log that grows is no reason to stop anything. */
static void logs_look(NodeRun *run)
{
    NodeWork *work = run->work;
    Err err;
    if (time_mono_ms() >= work->log_look_ms) {
        work->log_look_ms = time_mono_ms() + LOG_LOOK_MS;
        if (!file_bound(run->paths.log, LOG_BYTES_MAX, &err)) {
            log_warn("agent", "node %s: %s", work->id, err.message);
        }
    }
}

int64_t node_step(NodeWork *work, Slice goal_text)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    NodeRun run = {.work = work, .arena = arena};
    Err err = {0};
    if (!record_parse(goal_text, &run.goal, &err)) {
        log_error("agent", "node %s: %s", work->id, err.message);
        return RETRY_MAX_MS;
    }
    const AgentOptions *options = work->options;
    const char *zone_dir =
        arena_printf(arena, "%s/zone-%s", options->data_dir, member_str(run.goal, "zone", "a"));
    run.paths = engine_paths(arena, zone_dir, options->run_dir, work->id);
    run.role = member_str(run.goal, "role", "engine");
    sha256_hex(goal_text, run.goal_digest);
    node_seen_load(&run);
    if (work->seen_text == NULL || !record_parse(slice_of(work->seen_text), &run.seen, NULL)) {
        run.seen = json_object();
    }
    node_note_left_running(&run);
    logs_look(&run);
    int64_t again = node_act(&run, &err);
    if (again < 0) {
        again = note_failure(&run, &err);
    } else {
        note_success(&run);
    }
    if (!node_seen_write(&run, &err)) {
        log_warn("agent", "node %s: cannot write what was seen: %s", work->id, err.message);
    }
    json_decref(run.goal);
    json_decref(run.seen);
    return again;
}

void node_work_done(NodeWork *work)
{
    pg_session_close(work->session);
    mem_free(work->lead.proof_lsn);
    mem_free(work->complaint);
    mem_free(work->failure);
    mem_free(work->seen_text);
    *work = (NodeWork){0};
}
