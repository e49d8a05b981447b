/*
 * A Redis node's job: look, decide, do, until there is nothing to do. Who leads is decided in
 * src/group from the group's record, not by the goal: the goal says who is a member. Changes of the
 * goal are applied while it runs; what only a start can change restarts it when the goal's
 * reboot_epoch moves.
 */
#include "agent/redis/redis_node_priv.h"

static void redis_node_done(RedisNode *node)
{
    secret_done(&node->admin);
    secret_done(&node->replication);
    secret_done(&node->client);
}

static bool unseal_passwords(RedisNode *node, Err *err)
{
    const json_t *goal = node->run->goal;
    const char *context = member_str(goal, "passwords_context", "");
    TRY(node_unseal(node->run, member_str(goal, "admin_password", ""), context, &node->admin, err));
    TRY(node_unseal(node->run, member_str(goal, "replication_password", ""), context,
                    &node->replication, err));
    return node_unseal(node->run, member_str(goal, "client_password", ""), context, &node->client,
                       err);
}

static void host_add(const char **hosts, size_t *len, const char *host)
{
    size_t at = 0;
    while (at < *len && strcmp(hosts[at], host) < 0) {
        at++;
    }
    if (host[0] == '\0' || (at < *len && strcmp(hosts[at], host) == 0)) {
        return;
    }
    memmove(hosts + at + 1, hosts + at, (*len - at) * sizeof(*hosts));
    hosts[at] = host;
    (*len)++;
}

/* Where its members are, by their goals: in order, each once. */
static bool hosts_find(RedisNode *node, const char **hosts, size_t *len, Err *err)
{
    NodeRun *run = node->run;
    const json_t *peers = member_array(run->goal, "peers");
    host_add(hosts, len, run->work->options->host);
    for (size_t i = 0; i < json_array_size(peers) && i < HA_PEERS_MAX; i++) {
        CLEANUP(record_free_ptr) json_t *goal = NULL;
        const char *peer = json_string_value(json_array_get(peers, i));
        TRY(node_neighbour_read(run, peer, "goal", &goal, err));
        host_add(hosts, len, arena_strdup(run->arena, member_str(goal, "host", "")));
    }
    return true;
}

/* As they were let in last. */
static void hosts_keep(RedisNode *node, const char **hosts, size_t *len)
{
    Slice rest = slice_of(node->run->work->part.admitted);
    for (*len = 0; rest.len > 0;) {
        host_add(hosts, len, arena_slice_str(node->run->arena, slice_cut(&rest, ' ')));
    }
}

/* Nobody is disconnected because the store does not answer. */
static bool spec_hosts(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    const char **hosts = ARENA_ARRAY(run->arena, const char *, HA_PEERS_MAX + 1);
    size_t len = 0;
    node->spec.host = run->work->options->host;
    if (!hosts_find(node, hosts, &len, err)) {
        hosts_keep(node, hosts, &len);
    }
    if (len == 0) {
        return false;
    }
    node->hosts_text = "";
    for (size_t i = 0; i < len; i++) {
        node->hosts_text = arena_printf(run->arena, "%s%s ", node->hosts_text, hosts[i]);
    }
    node->spec.hosts = hosts;
    node->spec.hosts_len = len;
    return true;
}

static bool redis_node_init(RedisNode *node, NodeRun *run, Err *err)
{
    *node = (RedisNode){.run = run, .cluster = member_str(run->goal, "cluster", "")};
    TRY(unseal_passwords(node, err));
    RedisSpec *spec = &node->spec;
    spec->paths = run->paths;
    spec->listen_address = node_address(run, run->goal);
    spec->admin_password = secret_reveal(&node->admin).data;
    spec->replication_password = secret_reveal(&node->replication).data;
    spec->client_password = secret_reveal(&node->client).data;
    spec->maxmemory_bytes = member_int(run->goal, "maxmemory_bytes", 0);
    spec->alone = run->work->part.bond == GROUP_BOND_ALONE;
    TRY(spec_hosts(node, err));
    node_settings(run, &spec->settings, &spec->settings_len);
    return engine_account("redis", &spec->account, err);
}

/* ---- what is told ------------------------------------------------------------------------------
 */

/* What an heir has is told while it is waited for, and an offset that was bid stays. */
static void describe_offset(const RedisNode *node)
{
    const RedisPart *part = &node->run->work->part;
    json_t *seen = node->run->seen;
    const GroupRecord *record = &node->view.record;
    bool follows = node->view.state == HA_STATE_FOLLOWING;
    bool heir = record->phase == HA_PHASE_YIELDING && ha_id_eq(&record->heir, &node->view.self);
    bool bid = record->phase == HA_PHASE_FREE && node->view.bid;
    if (follows && bid) {
        json_object_set_new(seen, "bid_term", json_integer(part->bid_term));
        json_object_set_new(seen, "offset", json_integer(part->bid_offset));
    } else if (follows && (heir || (record->phase == HA_PHASE_FREE &&
                                    ha_id_eq(&record->heir, &node->view.self)))) {
        json_object_del(seen, "bid_term");
        json_object_set_new(seen, "offset", json_integer(node->view.offset));
    } else {
        json_object_del(seen, "bid_term");
        json_object_del(seen, "offset");
    }
}

static void describe(RedisNode *node)
{
    NodeRun *run = node->run;
    const GroupView *view = &node->view;
    node_describe(run, &(NodeTold){.state = view->state,
                                   .run = view->run,
                                   .link_up = view->link_up,
                                   .hears = node->hears,
                                   .term = view->record.term});
    json_object_set_new(run->seen, "data", json_boolean(view->has_data));
    json_object_set_new(run->seen, "link_up", json_boolean(view->link_up));
    if (node->answers) {
        json_object_set_new(run->seen, "history", json_string(view->history));
        json_object_set_new(run->seen, "whole", json_boolean(view->whole));
        json_object_set_new(run->seen, "replicas",
                            json_integer((json_int_t)node->seen.replicas_len));
    }
    describe_offset(node);
}

/* ---- what a running engine needs besides -------------------------------------------------------
 */

static bool is_kept(const RedisNode *node)
{
    const RedisPart *part = &node->run->work->part;
    return strcmp(part->keep_goal, node->run->goal_digest) == 0 &&
           strcmp(part->admitted, node->hosts_text) == 0;
}

/* Its part is settled: a leader that leads, a replica that follows the record's leader. */
static bool keep_is_due(const RedisNode *node)
{
    const GroupView *view = &node->view;
    HaDuty duty = group_duty(view);
    bool settled =
        (duty == HA_DUTY_LEAD && view->state == HA_STATE_LEADING) ||
        (duty == HA_DUTY_FOLLOW && view->state == HA_STATE_FOLLOWING && view->source_right);
    return settled && view->record.phase == HA_PHASE_LEADING &&
           (time_boot_ms() - node->run->work->part.keep_ms >= NODE_KEEP_MS || !is_kept(node));
}

/* The mark says what the folder holds: a replica that is in sync has what its leader has, once its
 * log has it, too. */
static bool keep_mark(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    bool leads = node->view.state == HA_STATE_LEADING;
    if (!leads && !(node->view.link_up && node->view.whole)) {
        return true;
    }
    if (!leads && work->lead.data == HA_DATA_LED) {
        node_event(run, "recovery",
                   arena_printf(run->arena, "Finished recovery for cache nodes %s", work->id));
    }
    return node_mark_prepared(run, work->incarnation, leads ? HA_DATA_LED : HA_DATA_COPY, err);
}

static bool keep(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    bool changed = false;
    bool renewed = false;
    node->spec.source_address = node->view.state == HA_STATE_LEADING ? NULL : node->leader;
    TRY(redis_configure(&node->spec, &changed, err));
    TRY(node_certs_renew(run, &node->spec.account, REDIS_REPLICATION_USER, &renewed, err));
    work->applied = work->applied && !changed && !renewed;
    if (!work->applied) {
        TRY(redis_apply(&node->spec, err));
        work->applied = true;
    }
    redis_admit_note(node);
    TRY(keep_mark(node, err));
    work->part.keep_ms = time_boot_ms();
    memcpy(work->part.keep_goal, run->goal_digest, sizeof(work->part.keep_goal));
    return true;
}

/* ---- the run -----------------------------------------------------------------------------------
 */

/* Clients wait for the word that somebody leads, and for nothing that follows it. */
static bool tell_leading(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    RedisPart *part = &run->work->part;
    if (node->view.state != HA_STATE_LEADING || group_duty(&node->view) != HA_DUTY_LEAD) {
        return true;
    }
    describe(node);
    TRY(node_seen_write(run, err));
    if (!ha_id_is_empty(&part->took_from)) {
        node_event(run, "failover",
                   arena_printf(run->arena,
                                "Failover from primary node %s to replica node %s completed",
                                part->took_from.text, run->work->id));
        part->took_from = (HaId){0};
    }
    return true;
}

bool redis_is_to_note(const GroupView *view, HaData data)
{
    return view->state == HA_STATE_FOLLOWING && view->record.history[0] != '\0' &&
           strcmp(view->history, view->record.history) == 0 && view->whole && data == HA_DATA_NEW;
}

/* What the folder holds is noted at once: where the leader's data is gone nothing else counts. */
static bool look(RedisNode *node, Err *err)
{
    TRY(redis_view_make(node, err));
    TRY(redis_forget_pause(node, err));
    NodeRun *run = node->run;
    return !redis_is_to_note(&node->view, run->work->lead.data) ||
           (node_mark_prepared(run, run->work->incarnation, HA_DATA_COPY, err) &&
            redis_view_make(node, err));
}

/* One look and what follows from it. *ret_more: look again at once. */
static bool run_once(RedisNode *node, GroupDecision *decision, bool *ret_more, Err *err)
{
    TRY(look(node, err));
    TRY(tell_leading(node, err));
    *decision = group_decide(&node->view);
    *ret_more = decision->step != GROUP_STEP_WAIT;
    if (!*ret_more) {
        return true;
    }
    node_log_step(node->run, group_duty(&node->view), node->view.state,
                  group_step_name(decision->step), decision->why);
    return redis_step_do(node, decision, err);
}

/* A step that starts something is looked after a little later. */
static bool takes_time(GroupStep step)
{
    return step == GROUP_STEP_START_LEADING || step == GROUP_STEP_START_FOLLOWING ||
           step == GROUP_STEP_SOURCE || step == GROUP_STEP_REMOVE;
}

static bool run_steps(RedisNode *node, GroupDecision *decision, Err *err)
{
    bool more = true;
    for (int i = 0; i < NODE_STEPS_MAX && more; i++) {
        TRY(run_once(node, decision, &more, err));
        if (takes_time(decision->step)) {
            return true;
        }
    }
    return true;
}

static int64_t again_ms(const RedisNode *node, const GroupDecision *decision)
{
    if (decision->step != GROUP_STEP_WAIT) {
        return GROUP_SOON_MS;
    }
    int64_t pause_ms = node->leader_silent        ? GROUP_SOON_MS
                       : node->view.peers_len > 0 ? NODE_WATCH_MS
                                                  : NODE_IDLE_MS;
    return node_again_ms(pause_ms, decision->again_ms);
}

static int64_t redis_node_act(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    GroupDecision decision = {0};
    if (node_reboot_is_due(run)) {
        return node_guard_stop(run, err) ? GROUP_SOON_MS : -1;
    }
    bool ok = run_steps(node, &decision, err);
    if (!ok && node_is_forgotten(run, node->cluster)) {
        decision.step = GROUP_STEP_REMOVE; /* nobody counts on it any more */
        ok = node_remove(run, err);
    }
    if (decision.step == GROUP_STEP_REMOVE) {
        run->settled = ok;
        return ok ? NODE_IDLE_MS : -1;
    }
    if (ok && decision.step == GROUP_STEP_WAIT && keep_is_due(node)) {
        ok = keep(node, err);
    }
    describe(node);
    if (!ok) {
        return -1;
    }
    bool rests =
        group_duty(&node->view) != HA_DUTY_LEAD && group_duty(&node->view) != HA_DUTY_FOLLOW;
    run->settled = decision.done && (rests || is_kept(node));
    return again_ms(node, &decision);
}

int64_t redis_node_step(NodeRun *run, Err *err)
{
    RedisNode node;
    int64_t again = redis_node_init(&node, run, err) ? redis_node_act(&node, err) : -1;
    redis_node_done(&node);
    return again;
}
