/*
 * A PostgreSQL node: from its goal to a running engine, one idempotent step after the other.
 *
 *   data directory (initdb | clone) -> claim the cluster's record (primary) -> configuration ->
 * guard
 *   -> serving -> setup (primary) -> slots, names, reload -> observe
 *
 * An engine starts as primary only behind a successful compare-and-swap of this process, and with
 * the names of the record just written (RULES F2). The set grows only after the new name binds
 * (F5's order: write the names, see them bind, see the standby flush, then the record).
 */
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/pg_node_priv.h"
#include "wire/wire.h"

#define INITDB_TIMEOUT_MS (120 * MS_PER_S)
#define CLONE_TIMEOUT_MS  (24 * 3600 * MS_PER_S)
#define IDLE_MS           1000 /* between two looks at a healthy node */
#define SOON_MS           100  /* while something is on its way */

/* ---- what the goal says -----------------------------------------------------------------------
 */

static const char *admin_account_name(Arena *arena)
{
    char text[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    getpwuid_r(geteuid(), &entry, text, sizeof(text), &found);
    return found != NULL ? arena_strdup(arena, found->pw_name) : "root";
}

static bool find_install(NodeRun *run, PgSpec *spec, Err *err)
{
    int major = (int)member_int(run->goal, "major", 0);
    PgInstalls installs;
    TRY(pg_installs_find(run->arena, &installs, err));
    for (size_t i = 0; i < installs.len; i++) {
        if (installs.items[i].major == major) {
            spec->install = installs.items[i];
            return true;
        }
    }
    return err_set(err, ERR_NOT_FOUND,
                   "PostgreSQL %d is not installed: apt-get install postgresql-%d", major, major);
}

/* The nodes that a list of the goal names, as their agents reported them. */
static PgPeer *peers_of(NodeRun *run, const char *list, size_t *ret_len)
{
    json_t *nodes = json_object_get(run->goal, list);
    PgPeer *peers = ARENA_ARRAY(run->arena, PgPeer, json_array_size(nodes));
    size_t len = 0;
    size_t i;
    json_t *node;
    json_array_foreach (nodes, i, node) {
        CLEANUP(record_free_ptr)
        json_t *seen = node_neighbour(run, json_string_value(node), "seen");
        const char *incarnation = member_str(seen, "incarnation", "");
        if (incarnation[0] != '\0') {
            peers[len++] = (PgPeer){
                .incarnation = arena_strdup(run->arena, incarnation),
                .has_data = strcmp(member_str(seen, "state", ""), "preparing") != 0,
            };
        }
    }
    *ret_len = len;
    return peers;
}

/* Who shall be in the set. */
static void wanted_init(PgNode *node)
{
    size_t len = 0;
    const PgPeer *peers = peers_of(node->run, "sync", &len);
    node->wanted = ARENA_ARRAY(node->run->arena, const char *, len);
    for (size_t i = 0; i < len; i++) {
        node->wanted[node->wanted_len++] = peers[i].incarnation;
    }
}

static bool pg_node_init(PgNode *node, NodeRun *run, Err *err)
{
    *node = (PgNode){.run = run, .cluster = member_str(run->goal, "dbi", "")};
    node->primary = strcmp(member_str(run->goal, "role", ""), "primary") == 0;
    PgSpec *spec = &node->spec;
    spec->paths = run->paths;
    spec->job = run->work->job;
    spec->incarnation = run->work->incarnation;
    spec->cluster_name = member_str(run->goal, "identifier", "");
    spec->listen_address = node_address(run, member_str(run->goal, "address", ""));
    spec->admin_account = admin_account_name(run->arena);
    spec->synchronous_standby_names = "";
    if (!node->primary) {
        spec->source_address = node_address(run, member_str(run->goal, "source_address", ""));
    }
    node_settings(run, &spec->settings, &spec->settings_len);
    wanted_init(node);
    node->followers = peers_of(run, "followers", &node->followers_len);
    return engine_account("postgres", &spec->account, err);
}

/* ---- the data directory -----------------------------------------------------------------------
 */

static bool prepare(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    TRY(node_dirs(run, &node->spec.account, PG_REPLICATION_USER, err));
    if (run->work->incarnation[0] != '\0') {
        return true;
    }
    TRY(node_may_begin_anew(run, node->cluster, err));
    char incarnation[17];
    random_id(incarnation, sizeof(incarnation) - 1);
    node->spec.incarnation = arena_strdup(run->arena, incarnation);
    node_seen_set(run, "preparing", incarnation);
    TRY(node_seen_write(run, err)); /* the source keeps the slot of an incarnation it can read of */
    if (node->primary) {
        TRY(pg_initdb(&node->spec, INITDB_TIMEOUT_MS, err));
    } else {
        TRY(pg_clone(&node->spec, CLONE_TIMEOUT_MS, err));
    }
    TRY(node_mark_prepared(run, incarnation, err));
    node->spec.incarnation = run->work->incarnation;
    return true;
}

/* ---- running ----------------------------------------------------------------------------------
 */

static bool start(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    pg_session_close(work->session);
    work->session = NULL;
    work->password_epoch = -1;
    pg_node_join_end(work);
    mem_free(work->admit_lsn);
    work->admit_lsn = NULL;
    json_decref(work->set); /* every start has a compare-and-swap of its own (F2) */
    work->set = NULL;
    work->applied = true; /* what it starts with says it all */
    if (!node->primary && !node_source_serves(run)) {
        node_seen_set(run, "waiting", work->incarnation);
        return err_set(err, ERR_UNAVAILABLE, "waiting for %s", member_str(run->goal, "source", ""));
    }
    TRY(find_install(run, &node->spec, err));
    TRY(prepare(node, err));
    TRY(pg_version_check(&node->spec, err));
    TRY(pg_node_claim(node, err));
    TRY(pg_floor_keep(&node->spec, err));
    pg_floor_apply(run->arena, &node->spec);
    bool ignored = false;
    TRY(pg_node_configure(node, &ignored, err));
    work->reboot_epoch = member_int(run->goal, "reboot_epoch", 0);
    node_seen_set(run, "starting", work->incarnation);
    TRY(node_seen_write(run, err)); /* what it starts with is known, whatever becomes of us */
    return node_guard_start(run, pg_argv(run->arena, &node->spec), &node->spec.account, err);
}

static bool setup(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    int64_t epoch = member_int(run->goal, "password_epoch", 0);
    if (!node->primary || run->work->password_epoch == epoch) {
        return true;
    }
    CLEANUP(secret_done) Secret password = {0};
    TRY(node_unseal(run, member_str(run->goal, "master_password", ""),
                    member_str(run->goal, "master_password_context", ""), &password, err));
    uint8_t salt[SCRAM_SALT_SIZE];
    random_bytes(salt, sizeof(salt));
    ScramVerifier verifier;
    scram_verifier_make(secret_reveal(&password), slice_from(salt, sizeof(salt)), SCRAM_ITERATIONS,
                        &verifier);
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    scram_verifier_format(&verifier, &text);
    const char *verifier_text = arena_strdup(run->arena, buf_str(&text));
    buf_done(&text);
    const PgSetup what = {.master_user = member_str(run->goal, "master_user", ""),
                          .master_verifier = verifier_text,
                          .password_epoch = epoch,
                          .database = member_str(run->goal, "database", "")};
    TRY(pg_setup(&node->spec.paths, &what, err));
    run->work->password_epoch = epoch;
    return true;
}

/* ---- what was seen ----------------------------------------------------------------------------
 */

static void seen_describe(PgNode *node, const PgSeen *seen)
{
    json_t *record = node->run->seen;
    json_object_set_new(record, "in_recovery", json_boolean(seen->in_recovery));
    json_object_set_new(record, "streaming", json_boolean(seen->streaming));
    json_object_set_new(record, "timeline", json_integer(seen->timeline));
    json_object_set_new(record, "pending_restart", json_string(seen->pending_restart));
    json_object_set_new(record, "foreign_settings", json_string(seen->foreign_settings));
    json_object_set_new(record, "sync_names", json_string(seen->sync_names));
    json_object_set_new(record, "version", json_string(seen->version));
    json_object_set_new(record, "open", json_boolean(node->open));
    json_object_set_new(record, "password_epoch", json_integer(node->run->work->password_epoch));
    json_t *standbys = json_array();
    for (size_t i = 0; i < seen->standbys_len; i++) {
        json_array_append_new(standbys, json_pack("{s:s, s:s, s:s}", "name", seen->standbys[i].name,
                                                  "state", seen->standbys[i].state, "sync_state",
                                                  seen->standbys[i].sync_state));
    }
    json_object_set_new(record, "standbys", standbys);
}

/* ---- the step ---------------------------------------------------------------------------------
 */

static bool session_ensure(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    if (work->session != NULL) {
        return true;
    }
    return pg_session_open(&node->spec.paths, "postgres", &work->session, err);
}

/* Lets clients in, where they were not yet since the engine was started. */
static bool admit(PgNode *node, Err *err)
{
    const EnginePaths *paths = &node->spec.paths;
    node->open = pg_gate_is_open(paths);
    if (node->open) {
        return true;
    }
    bool admits = !node->primary;
    if (node->primary) {
        TRY(pg_node_admits(node, &admits, err));
    }
    if (admits) {
        TRY(pg_gate_open(paths, node_readers(), err));
        node->open = true;
    }
    return true;
}

static bool serve(PgNode *node, bool *ret_busy, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    TRY(session_ensure(node, err));
    pg_floor_apply(run->arena, &node->spec);
    TRY(pg_node_claim(node, err)); /* after a restart of ours the engine may already run */
    bool changed = false;
    bool renewed = false;
    TRY(pg_node_configure(node, &changed, err));
    TRY(node_certs_renew(run, &node->spec.account, PG_REPLICATION_USER, &renewed, err));
    work->applied = work->applied && !changed && !renewed;
    if (!work->applied) { /* also what another agent wrote before it was killed */
        TRY(pg_reload(work->session, err));
        work->applied = true;
    }
    TRY(setup(node, err));
    PgSeen seen;
    TRY(pg_observe(work->session, &node->spec.paths, run->arena, &seen, err));
    if (node->primary && seen.in_recovery) { /* a replica that was made an instance of its own */
        *ret_busy = true;
        return pg_exec(work->session, "SELECT pg_promote(true, 30)", err);
    }
    if (!node->primary && !seen.in_recovery) {
        return err_set(err, ERR_CONFLICT, "node %s runs as a primary, but its goal is to follow %s",
                       work->id, member_str(run->goal, "source", ""));
    }
    if (seen.replay_paused) { /* nobody else may pause it */
        log_info("agent", "node %s starts again with the settings of its primary", work->id);
        *ret_busy = true;
        return node_guard_stop(run, err);
    }
    TRY(admit(node, err));
    if (node->primary) {
        TRY(pg_node_lead(node, &seen, ret_busy, err));
    }
    bool follows = node->primary || seen.streaming;
    node_seen_set(run, follows ? "running" : "starting", work->incarnation);
    seen_describe(node, &seen);
    *ret_busy = *ret_busy || !follows || !node->open;
    return true;
}

int64_t pg_node_step(NodeRun *run, Err *err)
{
    PgNode node;
    if (!pg_node_init(&node, run, err)) {
        return -1;
    }
    NodeWork *work = run->work;
    bool running = node_guard_runs(run);
    if (running && work->reboot_epoch >= 0 &&
        work->reboot_epoch != member_int(run->goal, "reboot_epoch", 0)) {
        return node_guard_stop(run, err) ? SOON_MS : -1;
    }
    if (!running) {
        return start(&node, err) ? SOON_MS : -1;
    }
    if (work->reboot_epoch < 0) {
        work->reboot_epoch = node_seen_before(run, "reboot_epoch", 0);
    }
    bool busy = false;
    if (!serve(&node, &busy, err)) {
        if (err->code == ERR_UNAVAILABLE) {
            pg_session_close(work->session);
            work->session = NULL;
        }
        return -1;
    }
    run->settled = !busy;
    return busy ? SOON_MS : IDLE_MS;
}
