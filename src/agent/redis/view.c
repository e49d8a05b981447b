/*
 * The snapshot that is decided on (docs/failover.md, "Redis"): what control wants, what the record
 * says, what the engine answers, and what the neighbours' agents have written of them. Nothing is
 * changed here but what a dead guard has left, which is ended.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/redis/redis_node_priv.h"

#define LOOK_MS     200 /* an engine that takes longer to say how it is, is silent */
#define HEARS_MS    (GROUP_SILENT_MS - 100) /* a primary says a word each second */
#define LAG_MAX_S   2                       /* so does a replica */
#define FAILING_MIN 2                       /* starts in a row that came to nothing */
#define GUARD_MS    300
#define LOOKS_MS    1000 /* two looks that are farther apart may have missed something */

/* ---- what is wanted ----------------------------------------------------------------------------
 */

static void view_goal(RedisNode *node, int64_t now_ms)
{
    NodeWork *work = node->run->work;
    const json_t *goal = node->run->goal;
    GroupView *view = &node->view;
    view->run = member_bool(goal, "run", true) && !work->stop_asked;
    view->gone = member_bool(goal, "gone", false);
    view->deleted = member_bool(goal, "deleted", false);
    view->automatic = member_bool(goal, "automatic", false);
    view->handover = member_int(goal, "handover", 0);
    const char *durable = member_str(goal, "durable", "off");
    view->durable = strcmp(durable, "off") != 0;
    view->strict = strcmp(durable, "strict") == 0;
    if (work->part.wish != view->handover || work->part.wish_ms == 0) {
        work->part.wish = view->handover;
        work->part.wish_ms = now_ms;
    }
    view->wish_ms = now_ms - work->part.wish_ms;
    view->self = ha_id(work->id);
}

static bool view_record(RedisNode *node, int64_t now_ms, Err *err)
{
    NodeWork *work = node->run->work;
    RedisPart *part = &work->part;
    GroupView *view = &node->view;
    TRY(cluster_group_read(work->options->store, node->cluster, &view->record, &node->revision,
                           err));
    if (part->term != view->record.term || part->phase != view->record.phase ||
        part->phase_ms == 0) {
        part->term = view->record.term;
        part->phase = view->record.phase;
        part->phase_ms = now_ms;
        part->bid_term = 0;
    }
    view->phase_ms = now_ms - part->phase_ms;
    view->claimed = part->revision == node->revision;
    view->bid = part->bid_term == view->record.term;
    return true;
}

/* ---- the engine --------------------------------------------------------------------------------
 */

static bool has_data(const RedisNode *node)
{
    const NodeWork *work = node->run->work;
    return work->incarnation[0] != '\0' && work->lead.data != HA_DATA_NEW &&
           redis_data_is_there(&node->run->paths);
}

/* A folder that was filled once and holds nothing now is no folder. */
static bool is_empty(const RedisNode *node)
{
    const NodeWork *work = node->run->work;
    return work->incarnation[0] == '\0' || (work->lead.data != HA_DATA_NEW && !has_data(node));
}

static HaState down_state(RedisNode *node)
{
    RedisPart *part = &node->run->work->part;
    Err err;
    part->engine = 0;
    if (!part->reaped) {
        part->reaped = node_reap(node->run, &err);
        part->stuck = !part->reaped;
        /* What it has may be as good as ever. */
        part->vain_starts = node_was_killed(node->run) ? 0 : part->vain_starts;
    }
    return part->stuck ? HA_STATE_STUCK : is_empty(node) ? HA_STATE_EMPTY : HA_STATE_DOWN;
}

static HaState engine_state(RedisNode *node, int64_t now_ms)
{
    NodeWork *work = node->run->work;
    RedisPart *part = &work->part;
    Err err = {0};
    if (!node_guard_runs(node->run)) {
        return down_state(node);
    }
    part->reaped = false;
    if (!redis_observe(&node->spec, LOOK_MS, &node->seen, &err)) {
        /* One that says no is on its way up or down; one that says nothing may be neither, unless
         * we have just started it. */
        bool silent = err.code == ERR_TIMEOUT && (part->answered_ms > 0 || !part->begun);
        return silent ? HA_STATE_SILENT : HA_STATE_STARTING;
    }
    node->answers = true;
    part->answered_ms = now_ms;
    part->vain_starts = node->seen.loading ? part->vain_starts : 0;
    return node->seen.loading      ? HA_STATE_STARTING
           : node->seen.is_replica ? HA_STATE_FOLLOWING
                                   : HA_STATE_LEADING;
}

/* Asked early: a guard may be stopped together with its engine. */
static void learn_engine(RedisNode *node)
{
    const NodeWork *work = node->run->work;
    GuardStatus status;
    bool lives = node->answers || node->view.state == HA_STATE_SILENT;
    if (work->part.engine == 0 && lives &&
        guard_status(work->options->run_dir, work->id, GUARD_MS, &status, NULL)) {
        node->run->work->part.engine = status.engine;
    }
}

/* The processor time that a process has used; -1: it is stopped, or not there. */
static int64_t cpu_ticks(pid_t pid, bool *ret_runnable)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("/proc/%d/stat", (int)pid);
    char state = 'T';
    unsigned long user = 0;
    unsigned long system = 0;
    Buf text;
    buf_init(&text, 4096);
    const char *rest =
        pid > 0 && file_read(path, &text, NULL) ? strrchr(buf_str(&text), ')') : NULL;
    int found = rest == NULL ? 0
                             : sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                      &state, &user, &system);
    buf_done(&text);
    *ret_runnable = found == 3 && state == 'R';
    return found == 3 && state != 'T' && state != 't' && state != 'Z' ? (int64_t)(user + system)
                                                                      : -1;
}

/* One that does not answer because it computes is not dead; nor is one that would, and gets no
 * processor on a loaded host. */
static bool computes(RedisNode *node)
{
    RedisPart *part = &node->run->work->part;
    int64_t before = part->cpu_ticks;
    bool runnable;
    part->cpu_ticks = cpu_ticks(part->engine, &runnable);
    return runnable || (part->cpu_ticks >= 0 && part->cpu_ticks != before);
}

static void view_engine(RedisNode *node, int64_t now_ms)
{
    NodeWork *work = node->run->work;
    RedisPart *part = &work->part;
    GroupView *view = &node->view;
    view->state = engine_state(node, now_ms);
    learn_engine(node);
    if (view->state != part->state || part->state_ms == 0) {
        part->state = view->state;
        part->state_ms = now_ms;
    }
    bool silent = view->state == HA_STATE_SILENT;
    bool answered = silent && part->answered_ms > 0;
    view->state_ms = now_ms - (answered ? part->answered_ms : part->state_ms);
    view->busy = silent && computes(node);
    view->incarnation = ha_id(view->state == HA_STATE_EMPTY ? "" : work->incarnation);
    view->has_data = has_data(node);
    view->asked = node_stop_was_asked(node->run) && !part->killed;
    view->failing = part->vain_starts >= FAILING_MIN;
    view->paused = redis_is_paused(part, now_ms);
    view->bond = part->bond;
    view->fenced = work->fenced;
    view->offset = node->seen.offset;
    snprintf(view->history, sizeof(view->history), "%s", node->seen.history);
}

/* Of a leader on another host. A link counts as gone from the first look that finds it so, as long
 * as looks follow each other closely. */
static void view_lost(RedisNode *node, int64_t now_ms)
{
    RedisPart *part = &node->run->work->part;
    GroupView *view = &node->view;
    bool abroad = view->state == HA_STATE_FOLLOWING && node->leader_beat.revision != 0;
    bool close = now_ms - part->looked_ms < LOOKS_MS;
    int64_t silent_ms = now_ms - node->leader_beat.seen_ms;
    part->looked_ms = now_ms;
    if (!abroad || view->link_up) {
        part->unlinked_ms = 0;
    } else if (part->unlinked_ms == 0 || !close) {
        part->unlinked_ms = now_ms;
    }
    int64_t unlinked_ms = part->unlinked_ms > 0 ? now_ms - part->unlinked_ms : 0;
    view->lost_ms = silent_ms < unlinked_ms ? silent_ms : unlinked_ms;
    bool hears = view->link_up && view->quiet_ms < GROUP_DEAF_MS;
    view->deaf = abroad && view->source_right && silent_ms >= GROUP_DEAF_MS && !hears;
}

static void view_link(RedisNode *node, int64_t now_ms)
{
    RedisPart *part = &node->run->work->part;
    GroupView *view = &node->view;
    view->whole = node->seen.whole;
    view->link_up = view->state == HA_STATE_FOLLOWING && node->seen.link_up;
    view->source_right = node->leader != NULL && strcmp(node->seen.source, node->leader) == 0;
    bool joined = view->link_up && part->unlinked_ms != 0;
    if (node->seen.offset != part->heard_offset || part->heard_ms == 0 || joined) {
        part->heard_offset = node->seen.offset;
        part->heard_ms = now_ms;
    }
    view->quiet_ms = now_ms - part->heard_ms;
    view_lost(node, now_ms);
    /* How old its last word is matters once the leader's agent has none: else each look would be
     * news. */
    node->hears = view->link_up && (!node->leader_silent || now_ms - part->heard_ms < HEARS_MS);
}

/* ---- the neighbours ----------------------------------------------------------------------------
 */

const char *redis_address_of(const RedisNode *node, const HaId *member)
{
    CLEANUP(record_free_ptr) json_t *goal = node_neighbour(node->run, member->text, "goal");
    return goal != NULL ? node_address(node->run, goal) : NULL;
}

/* What an agent that has died wrote is no witness. */
static bool counts(const RedisNode *node, const json_t *seen)
{
    return hosts_agent_lives(node->run->work->options->hosts, member_str(seen, "agent", ""));
}

static bool is_in_state(const json_t *seen, HaState state)
{
    return strcmp(member_str(seen, "ha", ""), ha_state_name(state)) == 0;
}

static void view_leader(RedisNode *node)
{
    GroupView *view = &node->view;
    const HaId *leader = &view->record.leader;
    CLEANUP(record_free_ptr) json_t *seen = node_neighbour(node->run, leader->text, "seen");
    bool heard = counts(node, seen);
    node->leader = ha_id_eq(leader, &view->self) ? NULL : redis_address_of(node, leader);
    node->leader_beat.revision = 0;
    CLEANUP(record_free_ptr) json_t *goal = node_neighbour(node->run, leader->text, "goal");
    if (!hosts_beat(node->run->work->options->hosts, member_str(goal, "host", ""),
                    &node->leader_beat)) {
        node->leader_beat.revision = 0;
    }
    node->leader_silent = heard && is_in_state(seen, HA_STATE_SILENT);
    view->leads_here = heard && is_in_state(seen, HA_STATE_LEADING) &&
                       member_int(seen, "term", 0) == view->record.term;
}

static bool is_abroad(const RedisNode *node, const HaId *member)
{
    const char *host = node->run->work->options->host;
    CLEANUP(record_free_ptr) json_t *goal = node_neighbour(node->run, member->text, "goal");
    return strcmp(member_str(goal, "host", host), host) != 0;
}

/* As which its leader sees it; NULL: it does not stream. A link that nobody has told the leader to
 * be gone stands beside the new one. */
static const RedisReplica *stream_of(const RedisNode *node, const GroupPeer *peer)
{
    const char *address = redis_address_of(node, &peer->node);
    for (size_t i = 0; i < node->seen.replicas_len && address != NULL; i++) {
        const RedisReplica *replica = &node->seen.replicas[i];
        bool streams = replica->online && replica->lag_s <= LAG_MAX_S;
        if (streams && strcmp(replica->address, address) == 0) {
            return replica;
        }
    }
    return NULL;
}

/* One that was never seen to stream has not since now. */
static RedisLink *link_of(RedisPart *part, const GroupPeer *peer, int64_t now_ms)
{
    RedisLink *link = NULL;
    for (size_t i = 0; i < part->links_len; i++) {
        if (ha_id_eq(&part->links[i].incarnation, &peer->incarnation)) {
            link = &part->links[i];
        }
    }
    if (link == NULL) {
        if (part->links_len == HA_PEERS_MAX) { /* of those before, nobody is here any more */
            part->links_len = 0;
        }
        link = &part->links[part->links_len++];
        *link = (RedisLink){.incarnation = peer->incarnation, .gone_ms = now_ms, .target = -1};
    }
    return link;
}

bool redis_link_caught(RedisLink *link, const RedisReplica *replica, bool bound, int64_t offset)
{
    if (replica == NULL || !bound) {
        link->target = -1;
        return false;
    }
    if (link->target < 0) {
        link->target = offset;
    }
    return replica->offset >= link->target;
}

static void peer_link(RedisNode *node, GroupPeer *peer, int64_t now_ms)
{
    const RedisReplica *replica = stream_of(node, peer);
    RedisLink *link = link_of(&node->run->work->part, peer, now_ms);
    peer->streaming = replica != NULL;
    peer->caught =
        redis_link_caught(link, replica, node->view.bond == GROUP_BOND_BOUND, node->view.offset);
    peer->acked = peer->streaming ? replica->offset : -1;
    if (peer->streaming) {
        link->gone_ms = 0;
    } else if (link->gone_ms == 0) {
        link->gone_ms = now_ms;
    }
    peer->gone_ms = peer->streaming ? 0 : now_ms - link->gone_ms;
}

static bool has_streamed(const RedisPart *part, const GroupPeer *peer)
{
    for (size_t i = 0; i < part->links_len; i++) {
        if (ha_id_eq(&part->links[i].incarnation, &peer->incarnation)) {
            return part->links[i].gone_ms == 0;
        }
    }
    return false;
}

static void peer_read(RedisNode *node, GroupPeer *peer, int64_t now_ms)
{
    NodeRun *run = node->run;
    const GroupRecord *record = &node->view.record;
    CLEANUP(record_free_ptr) json_t *seen = node_neighbour(run, peer->node.text, "seen");
    peer->known = counts(node, seen);
    peer->incarnation =
        ha_id(is_in_state(seen, HA_STATE_EMPTY) ? "" : member_str(seen, "incarnation", ""));
    peer->has_data = member_bool(seen, "data", false);
    peer->follows = peer->known && is_in_state(seen, HA_STATE_FOLLOWING);
    peer->hears = peer->follows && member_bool(seen, "hears", false);
    peer->in_history =
        record->history[0] != '\0' && strcmp(member_str(seen, "history", ""), record->history) == 0;
    peer->whole = member_bool(seen, "whole", false);
    peer->bid_term = member_int(seen, "bid_term", 0);
    peer->offset = member_int(seen, "offset", -1);
    peer->abroad = is_abroad(node, &peer->node);
    if (ha_id_is_empty(&peer->incarnation)) {
        return;
    }
    if (node->view.state == HA_STATE_LEADING) {
        peer_link(node, peer, now_ms);
    } else {
        peer->streamed = has_streamed(&run->work->part, peer);
    }
}

static void view_peers(RedisNode *node, int64_t now_ms)
{
    GroupView *view = &node->view;
    size_t i;
    json_t *item;
    json_array_foreach (member_array(node->run->goal, "peers"), i, item) {
        if (view->peers_len < HA_PEERS_MAX) {
            GroupPeer *peer = &view->peers[view->peers_len++];
            *peer = (GroupPeer){.node = ha_id(json_string_value(item))};
            peer_read(node, peer, now_ms);
        }
    }
}

static bool is_peer_at(const RedisNode *node, const char *address)
{
    for (size_t i = 0; i < node->view.peers_len; i++) {
        const char *of_peer = redis_address_of(node, &node->view.peers[i].node);
        if (of_peer != NULL && strcmp(of_peer, address) == 0) {
            return true;
        }
    }
    return false;
}

/* One that is taken away confirms writes until its engine has ended, or is not let in any more. */
static bool a_stranger_streams(const RedisNode *node)
{
    for (size_t i = 0; i < node->seen.replicas_len; i++) {
        if (!is_peer_at(node, node->seen.replicas[i].address)) {
            return true;
        }
    }
    return false;
}

static void view_strangers(RedisNode *node)
{
    const char *admitted = node->run->work->part.admitted;
    node->view.admitted = strcmp(admitted, node->hosts_text) == 0 && !a_stranger_streams(node);
}

static void view_leaving(RedisNode *node)
{
    RedisPart *part = &node->run->work->part;
    HaSet left = group_left(&node->view);
    node->view.left_offset = -1;
    if (node->view.state != HA_STATE_LEADING || left.len == 0 || a_stranger_streams(node)) {
        part->leaving.len = 0;
        return;
    }
    if (!ha_set_eq(&left, &part->leaving)) {
        part->leaving = left;
        part->left_offset = node->view.offset;
    }
    node->view.left_offset = part->left_offset;
}

bool redis_view_make(RedisNode *node, Err *err)
{
    int64_t now_ms = time_boot_ms();
    node->view = (GroupView){0};
    node->seen = (RedisSeen){0};
    node->answers = false;
    node->run->unread = NULL;
    view_goal(node, now_ms);
    TRY(view_record(node, now_ms, err));
    view_leader(node);
    view_engine(node, now_ms);
    view_link(node, now_ms);
    view_peers(node, now_ms);
    view_strangers(node);
    view_leaving(node);
    TRY(node_neighbours_known(node->run, err));
    redis_note_rivals(node);
    return true;
}
