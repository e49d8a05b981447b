/*
 * The steps of a PostgreSQL node (docs/failover.md), each idempotent: one that is interrupted is
 * decided on and done again. What makes an engine run with less than before, or as the leader,
 * stands behind a write of the record, which src/ha sees to; here it is only carried out.
 */
#include <inttypes.h>
#include <stdio.h>

#include "agent/pg/pg_node_priv.h"

#define INITDB_TIMEOUT_MS (120 * MS_PER_S)
#define CLONE_TIMEOUT_MS  (24 * 3600 * MS_PER_S)

bool pg_find_install(NodeRun *run, PgSpec *spec, Err *err)
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

void pg_spec_role(PgNode *node, bool follows)
{
    Buf names;
    buf_init(&names, BUF_MAX_DEFAULT);
    node->spec.follows = follows;
    if (!follows) {
        cluster_names(&node->run->work->lead.names, &names);
    }
    node->spec.synchronous_standby_names = arena_strdup(node->run->arena, buf_str(&names));
    buf_done(&names);
}

/* ---- the record --------------------------------------------------------------------------------
 */

/* A planned change that was begun or asked for, and will not be. */
static bool is_given_up(const HaRecord *before, const HaRecord *next)
{
    return next->phase == HA_PHASE_LEADING && next->term == before->term &&
           (!ha_id_is_empty(&before->heir) || next->handover != before->handover);
}

/* Else it has a second node only to move. */
static bool is_multi_az(const PgNode *node)
{
    return member_bool(node->run->goal, "multi_az", true);
}

/* Control takes away whoever leaves the set. */
static bool is_taken_away(const PgNode *node, const HaRecord *next)
{
    const HaView *view = &node->view;
    for (size_t i = 0; i < view->peers_len; i++) {
        const HaPeer *peer = &view->peers[i];
        if (ha_set_has(&view->record.set, &peer->incarnation) &&
            !ha_set_has(&next->set, &peer->incarnation)) {
            return !peer->wanted;
        }
    }
    return false;
}

static void tell_fewer(PgNode *node, const HaRecord *next)
{
    if (!is_taken_away(node, next)) {
        node_event(node->run, "availability",
                   "The standby is gone: commits do not wait for it any more. Until it is back, "
                   "nobody can take over.");
    } else if (is_multi_az(node)) {
        node_event(node->run, "availability",
                   "The standby leaves: commits do not wait for it any more. Until another one is "
                   "there, nobody can take over.");
    }
}

static void tell(PgNode *node, const HaRecord *next, const char *why)
{
    const HaRecord *before = &node->view.record;
    NodeRun *run = node->run;
    if (next->phase == HA_PHASE_FREE && before->phase != HA_PHASE_FREE) {
        run->role = "primary";
        node_tell_end(run, "its standby takes over");
    }
    if (is_given_up(before, next)) {
        node_event(run, "failover",
                   arena_printf(run->arena,
                                "The planned failover was given up, and %s goes on: %s.",
                                run->work->id, why));
    }
    if (next->term != before->term) {
        run->work->lead.took = true;
        node_event(run, is_multi_az(node) ? "failover" : "maintenance",
                   arena_printf(run->arena, "%s: %s leads in the place of %s.",
                                is_multi_az(node) ? EVENT_FAILOVER_STARTED
                                                  : "The instance moves to another host",
                                run->work->id, before->leader.text));
    } else if (next->set.len < before->set.len) {
        tell_fewer(node, next);
    }
}

static bool do_write(PgNode *node, const HaDecision *decision, Err *err)
{
    NodeWork *work = node->run->work;
    int64_t revision = 0;
    if (!cluster_write(work->options->store, node->cluster, node->revision, &decision->record,
                       &revision, err)) {
        work->lead.revision = 0; /* whatever became of it (F2) */
        return err->code == ERR_CONFLICT;
    }
    work->lead.revision = revision;
    work->lead.fresh = true;
    tell(node, &decision->record, decision->why);
    return true;
}

/* ---- the data directory ------------------------------------------------------------------------
 */

static bool incarnation_begin(PgNode *node, Err *err)
{
    char incarnation[17];
    random_id(incarnation, sizeof(incarnation) - 1);
    node->spec.incarnation = arena_strdup(node->run->arena, incarnation);
    node_seen_set(node->run, "preparing", incarnation);
    return node_seen_write(node->run, err); /* the leader keeps the slot of one it can read of */
}

static bool incarnation_end(PgNode *node, HaData data, Err *err)
{
    TRY(node_mark_prepared(node->run, node->spec.incarnation, data, err));
    node->spec.incarnation = node->run->work->incarnation;
    return true;
}

static bool do_make(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    TRY(pg_find_install(run, &node->spec, err));
    TRY(node_dirs(run, &node->spec.account, PG_REPLICATION_USER, err));
    TRY(node_may_begin_anew(run, node->cluster, err));
    return incarnation_begin(node, err) && pg_initdb(&node->spec, INITDB_TIMEOUT_MS, err) &&
           incarnation_end(node, HA_DATA_NEW, err);
}

static bool do_copy(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    TRY(pg_find_install(run, &node->spec, err));
    TRY(node_dirs(run, &node->spec.account, PG_REPLICATION_USER, err));
    HaId last = ha_id(member_str(run->seen, "incarnation", ""));
    if (ha_set_has(&node->view.record.set, &last)) { /* F4; and maybe a volume is not mounted */
        return err_set(err, ERR_UNAVAILABLE,
                       "the data directory of node %s is gone from %s: it is made anew once its "
                       "cluster does not count on it any more",
                       run->work->id, run->paths.root);
    }
    return incarnation_begin(node, err) && pg_clone(&node->spec, CLONE_TIMEOUT_MS, err) &&
           incarnation_end(node, HA_DATA_COPY, err);
}

/* What it had and the leader has not. */
static void tell_discarded(PgNode *node, int64_t bytes)
{
    NodeRun *run = node->run;
    const char *what = "it had nothing that its leader has not";
    if (bytes != 0) {
        const char *count =
            bytes > 0 ? arena_printf(run->arena, "%" PRId64, bytes) : "an unknown number of";
        what = arena_printf(run->arena,
                            "%s bytes of WAL that its leader has not were discarded; they are kept "
                            "in diverged-*, beside its data",
                            count);
    }
    node_event(run, "recovery",
               arena_printf(run->arena, "Node %s follows again: %s.", run->work->id, what));
}

/* It counts for nothing before it is whole again: an interrupted rewind ends in a clone. */
static bool do_rejoin(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    const HaRecord *record = &node->view.record;
    TRY(pg_find_install(run, &node->spec, err));
    TRY(node_dirs(run, &node->spec.account, PG_REPLICATION_USER, err));
    bool ignored = false;
    pg_lead_reset(&run->work->lead);
    pg_spec_role(node, false); /* pg_rewind lets it recover by itself first */
    TRY(pg_configure(&node->spec, &ignored, err));
    int64_t timeline = 0;
    int64_t bytes = -1;
    HaFork fork = record->history[record->history_len > 0 ? record->history_len - 1 : 0];
    TRY(pg_wal_timeline(&node->spec.paths, &timeline, err));
    bool namesake = timeline == ha_record_timeline(record); /* of the leader's: begun here, too */
    (void)ha_record_fork(record, timeline, &fork);
    if (ha_record_strange(record, timeline)) { /* where that began nobody here knows: all of it */
        fork.lsn = 0;
    }
    TRY(node_mark_drop(run, err));
    TRY(incarnation_begin(node, err));
    if (namesake) {
        log_warn("agent",
                 "node %s: its timeline %lld is another one than the leader's: it is cloned",
                 run->work->id, (long long)timeline);
        return true;
    }
    if (!pg_rejoin(&node->spec, timeline, fork.lsn, CLONE_TIMEOUT_MS, &bytes, err)) {
        log_warn("agent", "node %s: %s; it is cloned", run->work->id, err->message);
        return true; /* without its mark it has no data, and is copied next */
    }
    tell_discarded(node, bytes);
    return incarnation_end(node, HA_DATA_COPY, err);
}

/* ---- the engine --------------------------------------------------------------------------------
 */

static bool start(PgNode *node, bool follows, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    PgLead *lead = &work->lead;
    int64_t revision = lead->revision;
    pg_session_close(work->session);
    work->session = NULL;
    work->password_epoch = -1;
    work->applied = true; /* what it starts with says it all */
    pg_lead_reset(lead);
    lead->revision = revision;
    lead->killed = lead->stuck = lead->reaped = false;
    run->role = !follows ? "primary" : node->view.replica ? "replica" : "standby";
    TRY(pg_find_install(run, &node->spec, err));
    TRY(node_dirs(run, &node->spec.account, PG_REPLICATION_USER, err));
    TRY(pg_version_check(&node->spec, err));
    lead->names = ha_standbys(&node->view.record, &node->view.incarnation, &(HaId){0});
    pg_spec_role(node, follows);
    TRY(pg_floor_keep(&node->spec, err));
    pg_floor_apply(run->arena, &node->spec);
    bool ignored = false;
    TRY(pg_configure(&node->spec, &ignored, err));
    lead->names_set = !follows;
    lead->source = follows ? node->view.record.leader : (HaId){0};
    work->reboot_epoch = member_int(run->goal, "reboot_epoch", 0);
    node_seen_set(run, "starting", work->incarnation);
    TRY(node_seen_write(run, err)); /* what it starts with is known, whatever becomes of us */
    TRY(pg_timelines_forget(&run->paths, err));
    return node_guard_start(run, pg_argv(run->arena, &node->spec), &node->spec.account, err);
}

static bool do_start_leading(PgNode *node, Err *err)
{
    return node_mark_prepared(node->run, node->run->work->incarnation, HA_DATA_LED, err) &&
           start(node, false, err);
}

static bool do_promote(PgNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    TRY(node_mark_prepared(node->run, work->incarnation, HA_DATA_LED, err));
    int64_t own = node->view.timeline;
    int64_t passed = ha_record_passed_over(&node->view.record, own);
    TRY(pg_timelines_pass_over(&node->spec, own, passed, err));
    TRY(pg_promote(work->session, err));
    work->lead.promoting = true;
    work->lead.names = (HaSet){.len = 0}; /* as a follower's configuration has it */
    work->lead.names_set = true;
    return true;
}

static bool do_source(PgNode *node, Err *err)
{
    pg_spec_role(node, true);
    pg_floor_apply(node->run->arena, &node->spec);
    node->run->work->applied = false;
    TRY(pg_keep_files(node, err));
    PgLead *lead = &node->run->work->lead;
    if (!ha_id_is_empty(&lead->source)) { /* otherwise an agent before us may have said so */
        lead->heard_ms = 0;
    }
    lead->source = node->view.record.leader;
    return true;
}

/* Where there were names before, walsenders release commits by the list that they have read: those
 * end, and come back with the new one (F5). */
static bool do_names(PgNode *node, const HaId *joining, Err *err)
{
    NodeWork *work = node->run->work;
    PgLead *lead = &work->lead;
    bool had_names = !lead->names_set || lead->names.len > 0;
    lead->names = ha_standbys(&node->view.record, &node->view.incarnation, joining);
    lead->joining = *joining;
    lead->fresh = false;
    lead->names_set = false;
    mem_free(lead->proof_lsn);
    lead->proof_lsn = NULL;
    pg_spec_role(node, false);
    work->applied = false;
    TRY(pg_keep_files(node, err));
    lead->names_set = true;
    return !had_names || lead->names.len == 0 || pg_walsenders_end(work->session, err);
}

static bool do_stop(PgNode *node, Err *err)
{
    TRY(node_guard_stop(node->run, err));
    pg_lead_reset(&node->run->work->lead);
    return true;
}

static bool do_kill(PgNode *node, Err *err)
{
    PgLead *lead = &node->run->work->lead;
    log_warn("agent", "node %s is ended", node->run->work->id);
    lead->killed = true;
    lead->stuck = !node_guard_kill(node->run, err);
    if (lead->stuck) {
        return false;
    }
    pg_lead_reset(lead);
    return true;
}

static bool do_open(PgNode *node, Err *err)
{
    NodeRun *run = node->run;
    TRY(pg_gate_open(&node->spec.paths, node_readers(), err));
    if (run->work->lead.took) {
        node_event(
            run, is_multi_az(node) ? "failover" : "maintenance",
            arena_printf(run->arena, "%s: %s serves.",
                         is_multi_az(node) ? EVENT_FAILOVER_COMPLETED : "The instance has moved",
                         run->work->id));
        run->work->lead.took = false;
    }
    return true;
}

bool pg_step_do(PgNode *node, const HaDecision *decision, Err *err)
{
    switch (decision->step) {
    case HA_STEP_WAIT:
        return true;
    case HA_STEP_WRITE:
        return do_write(node, decision, err);
    case HA_STEP_MAKE:
        return do_make(node, err);
    case HA_STEP_COPY:
        return do_copy(node, err);
    case HA_STEP_REJOIN:
        return do_rejoin(node, err);
    case HA_STEP_START_LEADING:
        return do_start_leading(node, err);
    case HA_STEP_START_FOLLOWING:
        return start(node, true, err);
    case HA_STEP_SOURCE:
        return do_source(node, err);
    case HA_STEP_PROMOTE:
        return do_promote(node, err);
    case HA_STEP_NAMES:
        return do_names(node, &decision->joining, err);
    case HA_STEP_OPEN:
        return do_open(node, err);
    case HA_STEP_STOP:
        return do_stop(node, err);
    case HA_STEP_KILL:
        return do_kill(node, err);
    case HA_STEP_REMOVE:
        return node_remove(node->run, err);
    }
    UNREACHABLE();
}
