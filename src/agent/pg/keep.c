/*
 * What a running PostgreSQL needs besides its part in the cluster: files that say what the goal
 * says, certificates that live, the master user, slots for those who follow; and what is told of
 * it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "agent/pg/pg_node_priv.h"
#include "wire/wire.h"

#define DISK_LOOK_MS 1000

/* ---- files -------------------------------------------------------------------------------------
 */

bool pg_keep_files(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    bool changed = false;
    bool renewed = false;
    TRY(pg_configure(&node->spec, &changed, err));
    TRY(node_certs_renew(run, &node->spec.account, PG_REPLICATION_USER, &renewed, err));
    work->applied = work->applied && !changed && !renewed;
    if (!work->applied) { /* also what another agent wrote before it was killed */
        TRY(pg_reload(work->session, err));
        work->applied = true;
    }
    return true;
}

/* The leader's disk takes writes: a file beside its WAL, as durable as that (F10). */
static void disk_look(PgNode *node)
{
    PgLead *lead = &node->run->work->lead;
    if (lead->disk_ms != 0 && time_boot_ms() - lead->disk_ms < DISK_LOOK_MS) {
        return;
    }
    const char *path = arena_printf(node->run->arena, "%s/disk-look", node->run->paths.root);
    Err err;
    if (file_write(path, SLICE("written each second\n"), 0600, &err)) {
        lead->disk_ms = time_boot_ms();
    } else {
        log_warn("agent", "node %s: its disk takes no writes: %s", node->run->work->id,
                 err.message);
    }
}

/* ---- accounts ----------------------------------------------------------------------------------
 */

static bool keep_accounts(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    int64_t epoch = member_int(run->goal, "password_epoch", 0);
    if (run->work->password_epoch == epoch) {
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

/* ---- slots -------------------------------------------------------------------------------------
 */

/* Those who follow this cluster's leader, as their agents reported them. */
typedef struct Followers {
    HaSet ready;   /* they have their data */
    HaSet cloning; /* and will have a slot by themselves */
} Followers;

static Followers followers_of(NodeRun *run)
{
    Followers followers = {0};
    size_t i;
    json_t *item;
    json_array_foreach (member_array(run->goal, "followers"), i, item) {
        CLEANUP(record_free_ptr)
        json_t *seen = node_neighbour(run, json_string_value(item), "seen");
        HaId incarnation = ha_id(member_str(seen, "incarnation", ""));
        bool cloning = strcmp(member_str(seen, "state", ""), "preparing") == 0;
        ha_set_add(cloning ? &followers.cloning : &followers.ready, &incarnation);
    }
    return followers;
}

/* The list comes first: a follower's incarnation stands in the store before it has a slot, so what
 * nobody there has now is nobody's. */
static bool slots_trim(PgNode *node, Err *err)
{
    PgSlots idle;
    TRY(pg_slots_idle(node->run->work->session, node->run->arena, &idle, err));
    for (size_t i = 0; i < idle.len; i++) {
        if (node->seen.in_recovery || !node_is_follower(node->run, idle.incarnations[i])) {
            TRY(pg_slot_drop(node->run->work->session, idle.incarnations[i], err));
        }
    }
    return true;
}

/* A follower that has its data finds its slot, on whoever leads. */
static bool slots_ensure(PgNode *node, Err *err)
{
    Followers followers = followers_of(node->run);
    for (size_t i = 0; i < followers.ready.len; i++) {
        TRY(pg_slot_ensure(node->run->work->session, followers.ready.items[i].text, err));
    }
    return true;
}

/* ---- all together ------------------------------------------------------------------------------
 */

/* The control file is on the timeline of the term with the next checkpoint, and others wait for
 * that: they are rewound and cloned by it. */
static bool keep_checkpoint(PgNode *node, Err *err)
{
    return node->seen.checkpoint_timeline == node->seen.timeline ||
           pg_exec(node->run->work->session, "CHECKPOINT", err);
}

static bool keep_leader(PgNode *node, Err *err)
{
    disk_look(node);
    return keep_accounts(node, err) && slots_trim(node, err) && slots_ensure(node, err) &&
           keep_checkpoint(node, err);
}

bool pg_keep(PgNode *node, bool *ret_busy, Err *err)
{
    NodeRun *run = node->run;
    bool leads = node->view.state == HA_STATE_LEADING;
    if (node->seen.replay_paused) { /* nobody else may pause it */
        log_info("agent", "node %s starts again with the settings of its primary", run->work->id);
        *ret_busy = true;
        return node_guard_stop(run, err);
    }
    pg_spec_role(node, !leads);
    pg_floor_apply(run->arena, &node->spec);
    if (leads && !run->work->lead.names_set) {
        return true; /* whom it waits for is decided first */
    }
    TRY(pg_keep_files(node, err));
    if (leads) {
        return keep_leader(node, err);
    }
    if (node->view.replica && !node->view.open) { /* its clients wait for nothing else */
        TRY(pg_gate_open(&node->spec.paths, node_readers(), err));
        node->view.open = true;
    }
    return slots_trim(node, err);
}

void pg_keep_describe(PgNode *node)
{
    const PgSeen *seen = &node->seen;
    json_t *record = node->run->seen;
    json_object_set_new(record, "in_recovery", json_boolean(seen->in_recovery));
    json_object_set_new(record, "streaming", json_boolean(seen->streaming));
    json_object_set_new(record, "timeline", json_integer(seen->timeline));
    json_object_set_new(record, "checkpoint_timeline", json_integer(seen->checkpoint_timeline));
    json_object_set_new(record, "pending_restart", json_string(seen->pending_restart));
    json_object_set_new(record, "foreign_settings", json_string(seen->foreign_settings));
    json_object_set_new(record, "sync_names", json_string(seen->sync_names));
    json_object_set_new(record, "version", json_string(seen->version));
    json_object_set_new(record, "open", json_boolean(node->view.open));
    json_object_set_new(record, "password_epoch", json_integer(node->run->work->password_epoch));
    json_t *standbys = json_array();
    for (size_t i = 0; i < seen->standbys_len; i++) {
        json_array_append_new(standbys, json_pack("{s:s, s:s, s:s}", "name", seen->standbys[i].name,
                                                  "state", seen->standbys[i].state, "sync_state",
                                                  seen->standbys[i].sync_state));
    }
    json_object_set_new(record, "standbys", standbys);
}
