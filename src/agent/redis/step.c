/*
 * The steps of a Redis node (docs/failover.md, "Redis"), each idempotent: one that is interrupted
 * is decided on and done again. What makes a node lead stands behind a write of the record, which
 * src/group sees to; here it is only carried out.
 */
#include <stdio.h>

#include "agent/redis/redis_node_priv.h"

/* What held for the run of the engine that has ended; who streamed from it still matters. */
static void part_reset(RedisPart *part)
{
    part->revision = 0;
    part->answered_ms = part->heard_ms = part->paused_ms = 0;
    part->engine = 0;
    part->bond = GROUP_BOND_UNKNOWN;
    part->begun = false;
    part->keep_goal[0] = '\0';
    part->admitted[0] = '\0';
}

void redis_admit_note(RedisNode *node)
{
    RedisPart *part = &node->run->work->part;
    snprintf(part->admitted, sizeof(part->admitted), "%s", node->hosts_text);
}

/* ---- the record --------------------------------------------------------------------------------
 */

static void tell_room(RedisNode *node, const char *why)
{
    NodeRun *run = node->run;
    const HaId *leader = &node->view.record.leader;
    if (ha_id_eq(leader, &node->view.self)) {
        run->role = "primary";
        node_tell_end(run, "a replica takes over");
    }
    node_event(
        run, "failover",
        arena_printf(run->arena, "Failover from primary node %s started: %s.", leader->text, why));
}

/* What users hear of. ElastiCache's words where it has some. */
static void tell(RedisNode *node, const GroupRecord *next, const char *why)
{
    const GroupRecord *before = &node->view.record;
    NodeRun *run = node->run;
    if (next->phase == HA_PHASE_FREE && before->phase == HA_PHASE_LEADING) {
        tell_room(node, why);
    }
    if (next->term != before->term) {
        run->work->part.took_from = before->leader;
    }
    bool given_up = next->phase == HA_PHASE_LEADING && next->term == before->term &&
                    (before->phase == HA_PHASE_YIELDING || next->handover != before->handover);
    if (given_up) {
        node_event(run, "failover",
                   arena_printf(run->arena,
                                "The planned failover was given up, and %s goes on: %s.",
                                run->work->id, why));
    }
}

static bool do_write(RedisNode *node, const GroupDecision *decision, Err *err)
{
    NodeWork *work = node->run->work;
    const HostBeat *beat = decision->lost ? &node->leader_beat : NULL;
    int64_t revision = 0;
    redis_tell_rivals(node, &decision->record.set, false); /* from now on they may be */
    if (!cluster_group_write(work->options->store, node->cluster, node->revision, &decision->record,
                             beat, &revision, err)) {
        work->part.revision = 0; /* whatever became of it (F2) */
        return err->code == ERR_CONFLICT;
    }
    work->part.revision = revision;
    if (node->view.record.phase == HA_PHASE_FREE && decision->record.phase != HA_PHASE_FREE) {
        work->part.vain_starts = 0; /* nobody else could: it is tried anew */
    }
    tell(node, &decision->record, decision->why);
    return true;
}

/* ---- the data folder ---------------------------------------------------------------------------
 */

/* What lies there stays: a leader that nobody can replace may find its log of writes again. */
static bool do_make(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    char incarnation[17];
    random_id(incarnation, sizeof(incarnation) - 1);
    if (node->view.record.set.len > 0 && ha_id_eq(&node->view.record.leader, &node->view.self)) {
        node_event(run, "failure",
                   arena_printf(run->arena,
                                "The data of %s is gone, and no other node has it: it begins anew.",
                                run->work->id));
    }
    TRY(node_dirs(run, &node->spec.account, REDIS_REPLICATION_USER, err));
    return node_mark_prepared(run, incarnation, HA_DATA_NEW, err);
}

/* ---- the engine --------------------------------------------------------------------------------
 */

static bool start(RedisNode *node, const char *source, Err *err)
{
    NodeRun *run = node->run;
    RedisPart *part = &run->work->part;
    int64_t revision = part->revision;
    part_reset(part);
    part->revision = revision;
    part->killed = part->stuck = part->reaped = false;
    node->spec.source_address = source;
    TRY(redis_install_find(run->arena, &node->spec.install, err));
    TRY(node_dirs(run, &node->spec.account, REDIS_REPLICATION_USER, err));
    bool ignored = false;
    TRY(redis_configure(&node->spec, &ignored, err));
    run->work->applied = true; /* the files that it starts with say it all */
    redis_admit_note(node);
    run->work->reboot_epoch = member_int(run->goal, "reboot_epoch", 0);
    node_seen_set(run, "starting", run->work->incarnation);
    part->begun = part->pause_known = true;
    part->links_len = part->leaving.len = 0;
    part->bond = GROUP_BOND_BOUND; /* its files say so */
    node->spec.alone = false;
    run->role = source == NULL ? "primary" : "replica";
    TRY(node_guard_start(run, redis_argv(run->arena, &node->spec), &node->spec.account, err));
    part->vain_starts++; /* until it has loaded its data */
    return true;
}

/* One that others could replace is never without a deadline. */
static bool do_start_leading(RedisNode *node, Err *err)
{
    NodeWork *work = node->run->work;
    TRY(!work->has_rival || fence_first(work->fence, &work->fence_ms, err));
    bool ok = start(node, NULL, err) &&
              node_mark_prepared(node->run, work->incarnation, HA_DATA_LED, err);
    work->fence_ms = 0;
    return ok;
}

/* Never without somebody to follow: it would be a primary. */
static bool leader_is_placed(const RedisNode *node, Err *err)
{
    return node->leader != NULL
               ? true
               : err_set(err, ERR_UNAVAILABLE, "the leader of %s has no place yet", node->cluster);
}

static bool do_start_following(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    TRY(leader_is_placed(node, err));
    if (run->work->lead.data == HA_DATA_LED) {
        node_event(run, "recovery",
                   arena_printf(run->arena,
                                "Recovering cache nodes %s: it follows %s now, and what that one "
                                "has not got from it is discarded.",
                                run->work->id, node->view.record.leader.text));
    }
    return start(node, node->leader, err);
}

static bool follow(RedisNode *node, const char *source, Err *err)
{
    node->spec.source_address = source;
    node->run->work->part.keep_goal[0] = '\0'; /* its files are to say so, too */
    return redis_follow(&node->spec, err);
}

static bool do_source(RedisNode *node, Err *err)
{
    return leader_is_placed(node, err) && follow(node, node->leader, err);
}

/* From now on it hears nothing, and says nothing that the leader could take for the word of one
 * that follows. */
static bool do_drop(RedisNode *node, Err *err)
{
    return follow(node, REDIS_NOWHERE, err);
}

static bool do_bid(RedisNode *node, Err *err)
{
    RedisPart *part = &node->run->work->part;
    part->bid_term = node->view.record.term;
    part->bid_offset = node->view.offset;
    json_object_set_new(node->run->seen, "bid_term", json_integer(part->bid_term));
    json_object_set_new(node->run->seen, "offset", json_integer(part->bid_offset));
    return node_seen_write(node->run, err);
}

static bool do_pause(RedisNode *node, Err *err)
{
    int64_t now_ms = time_boot_ms(); /* before it begins */
    TRY(redis_pause(&node->spec, REDIS_PAUSE_MS, err));
    node->run->work->part.paused_ms = now_ms;
    return true;
}

static bool do_resume(RedisNode *node, Err *err)
{
    TRY(redis_resume(&node->spec, err));
    node->run->work->part.paused_ms = 0;
    return true;
}

/* Also what users hear of it. */
static bool do_bond(RedisNode *node, GroupBond bond, Err *err)
{
    RedisPart *part = &node->run->work->part;
    bool alone = bond == GROUP_BOND_ALONE;
    part->bond = GROUP_BOND_UNKNOWN; /* whatever becomes of it */
    TRY(redis_let_alone(&node->spec, alone, err));
    if (alone) {
        node_event(node->run, "availability",
                   arena_printf(node->run->arena,
                                "%s has no replica: writes are acknowledged without one, and "
                                "nobody can take over until one is back.",
                                node->run->work->id));
    } else if (node->view.durable && node->view.bond == GROUP_BOND_ALONE) {
        node_event(node->run, "availability",
                   arena_printf(node->run->arena,
                                "Writes of %s are acknowledged when a replica has them again.",
                                node->run->work->id));
    }
    part->bond = bond;
    node->spec.alone = alone;
    return true;
}

/* It takes no more writes from here on: those that wait are refused as not carried out. Only where
 * nothing was written since it was looked at: what came behind a pause that has ended, while we
 * stood still, the heir may lack, and would replace by a copy. */
static bool do_demote(RedisNode *node, Err *err)
{
    const char *heir = redis_address_of(node, &node->view.record.heir);
    if (heir == NULL) {
        return err_set(err, ERR_UNAVAILABLE, "the heir of %s is gone", node->cluster);
    }
    RedisPart *part = &node->run->work->part;
    bool done = false;
    part->keep_goal[0] = '\0'; /* its files are to say so, too */
    part->paused_ms = 0;       /* whatever becomes of it */
    part->pause_known = false;
    node->spec.source_address = heir;
    TRY(redis_demote(&node->spec, node->seen.changes, &done, err));
    part->pause_known = true;
    if (!done) {
        log_warn("agent", "node %s: something was written meanwhile", node->run->work->id);
    }
    return true;
}

bool redis_forget_pause(RedisNode *node, Err *err)
{
    RedisPart *part = &node->run->work->part;
    bool ours = part->pause_known || !node->answers;
    TRY(ours || redis_resume(&node->spec, err));
    part->pause_known = part->pause_known || node->answers;
    return true;
}

static bool do_stop(RedisNode *node, Err *err)
{
    TRY(node_guard_stop(node->run, err));
    part_reset(&node->run->work->part);
    node->run->work->part.vain_starts = 0; /* it ended because it was asked to */
    return true;
}

static bool do_kill(RedisNode *node, Err *err)
{
    RedisPart *part = &node->run->work->part;
    log_warn("agent", "node %s is ended", node->run->work->id);
    part->killed = true;
    part->stuck = !node_guard_kill(node->run, err);
    if (part->stuck) {
        return false;
    }
    part_reset(part);
    part->vain_starts = 0;
    return true;
}

bool redis_step_do(RedisNode *node, const GroupDecision *decision, Err *err)
{
    switch (decision->step) {
    case GROUP_STEP_WAIT:
        return true;
    case GROUP_STEP_WRITE:
        return do_write(node, decision, err);
    case GROUP_STEP_MAKE:
        return do_make(node, err);
    case GROUP_STEP_START_LEADING:
        return do_start_leading(node, err);
    case GROUP_STEP_START_FOLLOWING:
        return do_start_following(node, err);
    case GROUP_STEP_SOURCE:
        return do_source(node, err);
    case GROUP_STEP_DROP:
        return do_drop(node, err);
    case GROUP_STEP_PROMOTE:
        return follow(node, NULL, err);
    case GROUP_STEP_BID:
        return do_bid(node, err);
    case GROUP_STEP_PAUSE:
        return do_pause(node, err);
    case GROUP_STEP_DEMOTE:
        return do_demote(node, err);
    case GROUP_STEP_RESUME:
        return do_resume(node, err);
    case GROUP_STEP_BIND:
        return do_bond(node, GROUP_BOND_BOUND, err);
    case GROUP_STEP_ALONE:
        return do_bond(node, GROUP_BOND_ALONE, err);
    case GROUP_STEP_STOP:
        return do_stop(node, err);
    case GROUP_STEP_KILL:
        return do_kill(node, err);
    case GROUP_STEP_REMOVE:
        return node_remove(node->run, err);
    }
    UNREACHABLE();
}
