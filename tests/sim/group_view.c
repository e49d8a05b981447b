/*
 * The snapshot that a group's agent decides on, by the rules of src/agent/redis/view.c: what
 * control wants, what the record says, what the engine answers, and what the neighbours' agents
 * have said.
 */
#include <stdio.h>

#include "group_sim.h"

#define HEARS_US  ((GROUP_SILENT_MS - 100) * MS)
#define LAG_MAX_S 2
#define LOOKS_US  S /* two looks that are farther apart may have missed something */

/* ---- what is wanted ----------------------------------------------------------------------------
 */

static void view_goal(World *w, GroupCharge *charge, const GroupGoal *goal, GroupView *view)
{
    view->run = goal->run;
    view->gone = goal->gone;
    view->automatic = w->group->automatic;
    view->handover = goal->handover;
    view->durable = w->group->durable;
    view->strict = w->strict;
    if (charge->wish != view->handover || charge->wish_at == 0) {
        charge->wish = view->handover;
        charge->wish_at = w->now;
    }
    view->wish_ms = (w->now - charge->wish_at) / MS;
}

static void view_record(const World *w, GroupCharge *charge, const Snapshot *snap, GroupView *view)
{
    view->record = snap->group;
    if (charge->term != view->record.term || charge->phase != view->record.phase ||
        charge->phase_since == 0) {
        charge->term = view->record.term;
        charge->phase = view->record.phase;
        charge->phase_since = w->now;
        charge->bid_term = 0;
    }
    view->phase_ms = (w->now - charge->phase_since) / MS;
    view->claimed = without(w, WITHOUT_CLAIM) || charge->claim == snap->record_revision;
    view->bid = charge->bid_term == view->record.term;
}

/* ---- the engine --------------------------------------------------------------------------------
 */

bool group_has_data(const Node *node)
{
    return !ha_id_is_empty(&node->data.incarnation) && node->data.kind != HA_DATA_NEW &&
           node->data.whole;
}

/* A folder that was filled once and holds nothing now is no folder. */
bool group_is_empty(const Node *node)
{
    return ha_id_is_empty(&node->data.incarnation) ||
           (node->data.kind != HA_DATA_NEW && !node->data.whole);
}

/* What a dead guard has left is ended. */
static HaState down_state(World *w, Node *node, GroupCharge *charge)
{
    const Redis *redis = redis_of(w, node);
    if (!charge->reaped && !without(w, WITHOUT_REAPING)) {
        redis_kill(w, node);
        charge->reaped = !redis->alive;
        charge->stuck = redis->alive;
    }
    return charge->stuck ? HA_STATE_STUCK : group_is_empty(node) ? HA_STATE_EMPTY : HA_STATE_DOWN;
}

static HaState engine_state(World *w, Node *node, GroupCharge *charge)
{
    const Redis *redis = redis_of(w, node);
    if (!redis->guarded) {
        return down_state(w, node, charge);
    }
    if (charge->stuck && redis->dying) {
        return HA_STATE_STUCK;
    }
    charge->reaped = false;
    if (!redis_answers(w, node)) {
        bool silent = charge->answered_at > 0 || !charge->begun;
        return silent ? HA_STATE_SILENT : HA_STATE_STARTING;
    }
    charge->answered_at = w->now;
    if (redis->role == REDIS_LOADING) {
        return HA_STATE_STARTING;
    }
    return redis->role == REDIS_REPLICA ? HA_STATE_FOLLOWING : HA_STATE_LEADING;
}

static void view_engine(World *w, Node *node, GroupCharge *charge, GroupView *view)
{
    const Redis *redis = redis_of(w, node);
    view->state = engine_state(w, node, charge);
    if (view->state != charge->state || charge->state_since == 0) {
        trace(w, "%s: %s", node->id.text, ha_state_name(view->state));
        charge->state = view->state;
        charge->state_since = w->now;
    }
    bool silent = view->state == HA_STATE_SILENT;
    bool answers = view->state == HA_STATE_FOLLOWING || view->state == HA_STATE_LEADING;
    int64_t since = silent && charge->answered_at > 0 ? charge->answered_at : charge->state_since;
    view->state_ms = (w->now - since) / MS;
    view->busy = silent && redis->busy_until > w->now && !proc_paused(w, &redis->proc);
    if (view->state != HA_STATE_EMPTY) {
        view->incarnation = node->data.incarnation;
    }
    view->has_data = group_has_data(node);
    view->asked = redis->asked && !charge->killed;
    view->paused = charge->paused_at != 0 && w->now - charge->paused_at < GROUP_PAUSED_US;
    view->bond = charge->bond;
    view->fenced = redis->fence_ms != 0;
    if (answers) {
        bool primary = redis->role == REDIS_PRIMARY;
        view->offset = primary || redis->knows_source ? redis_offset(w, node) : 1;
        group_history_text(redis->history, view->history);
    }
}

/* Of a leader on another host. A link counts as gone from the first look that finds it so, as long
 * as looks follow each other closely. */
static void view_lost(const World *w, const Node *node, GroupCharge *charge, GroupView *view)
{
    bool abroad = view->state == HA_STATE_FOLLOWING && charge->leader_word.life != 0;
    bool close = w->now - charge->looked_at < LOOKS_US;
    int64_t heard_at = w->agents[node->host].beat_at[charge->leader_host];
    charge->looked_at = w->now;
    if (!abroad || view->link_up) {
        charge->unlinked_at = 0;
    } else if (charge->unlinked_at == 0 || !close) {
        charge->unlinked_at = w->now;
    }
    int64_t since = charge->unlinked_at > heard_at ? charge->unlinked_at : heard_at;
    view->lost_ms = charge->unlinked_at > 0 ? (w->now - since) / MS : 0;
    bool hears = view->link_up && view->quiet_ms < GROUP_DEAF_MS;
    view->deaf = abroad && view->source_right && w->now - heard_at >= GROUP_DEAF_MS * MS && !hears;
}

static void view_link(World *w, Node *node, GroupCharge *charge, GroupView *view)
{
    const RedisSource *source = &redis_of(w, node)->source;
    int leader = node_by_id(w, &view->record.leader);
    view->whole = !redis_of(w, node)->rewriting;
    view->link_up = view->state == HA_STATE_FOLLOWING && source->phase == REDIS_LINK_UP;
    view->source_right = view->state == HA_STATE_FOLLOWING && leader != node->index &&
                         source->node == leader && !redis_of(w, node)->detached;
    bool joined = view->link_up && charge->unlinked_at != 0;
    if (view->offset != charge->heard_offset || charge->heard_at == 0 || joined) {
        charge->heard_offset = view->offset;
        charge->heard_at = w->now;
    }
    view->quiet_ms = (w->now - charge->heard_at) / MS;
    view_lost(w, node, charge, view);
    charge->hears =
        view->link_up && (!charge->leader_silent || w->now - charge->heard_at < HEARS_US);
}

/* ---- the neighbours ----------------------------------------------------------------------------
 */

/* What an agent that has died wrote is no witness. */
static bool counts(const World *w, const Agent *agent, int node, const GroupSeen *seen)
{
    if (w->nodes[node].host == agent->host) {
        return seen->life == agent->proc.gen;
    }
    int host = w->nodes[node].host;
    return seen->life != 0 && agent->lives[host] && seen->life == agent->snap.words[host].life &&
           w->now - agent->beat_at[host] < HA_WITNESS_MS * MS;
}

static void view_leader(const World *w, const Agent *agent, GroupCharge *charge,
                        const Snapshot *snap, GroupView *view)
{
    int leader = node_by_id(w, &view->record.leader);
    const GroupSeen *seen = &snap->said[leader];
    bool heard = counts(w, agent, leader, seen);
    charge->leader_host = w->nodes[leader].host;
    charge->leader_word = charge->leader_host != agent->host
                              ? agent->snap.words[charge->leader_host]
                              : (Word){.count = 0};
    charge->leader_silent = heard && seen->state == HA_STATE_SILENT;
    view->leads_here = heard && seen->state == HA_STATE_LEADING && seen->term == view->record.term;
}

/* As its leader sees it. */
static const RedisSender *stream_of(const World *w, const Redis *redis, int peer)
{
    for (size_t i = 0; i < redis->senders.len; i++) {
        const RedisSender *sender = &redis->senders.items[i];
        bool lags = (w->now - sender->acked_at) / S > LAG_MAX_S;
        if (sender->node == peer && sender->online && !lags) {
            return sender;
        }
    }
    return NULL;
}

static GroupLink *link_of(const World *w, GroupCharge *charge, const GroupPeer *peer)
{
    for (size_t i = 0; i < charge->links_len; i++) {
        if (ha_id_eq(&charge->links[i].incarnation, &peer->incarnation)) {
            return &charge->links[i];
        }
    }
    if (charge->links_len == SIM_NODES) {
        charge->links_len = 0;
    }
    GroupLink *link = &charge->links[charge->links_len++];
    *link = (GroupLink){.incarnation = peer->incarnation, .gone_since = w->now, .target = -1};
    return link;
}

static void peer_link(World *w, const Node *node, GroupCharge *charge, const GroupView *view,
                      GroupPeer *peer)
{
    const RedisSender *sender = stream_of(w, redis_of(w, node), node_by_id(w, &peer->node));
    GroupLink *link = link_of(w, charge, peer);
    peer->streaming = sender != NULL;
    if (!peer->streaming || view->bond != GROUP_BOND_BOUND) {
        link->target = -1;
    } else if (link->target < 0) {
        link->target = view->offset;
    }
    peer->caught = link->target >= 0 && sender->acked >= link->target;
    peer->acked = peer->streaming ? sender->acked : -1;
    if (peer->streaming) {
        link->gone_since = 0;
    } else if (link->gone_since == 0) {
        link->gone_since = w->now;
    }
    peer->gone_ms = peer->streaming ? 0 : (w->now - link->gone_since) / MS;
}

static bool has_streamed(const GroupCharge *charge, const GroupPeer *peer)
{
    for (size_t i = 0; i < charge->links_len; i++) {
        if (ha_id_eq(&charge->links[i].incarnation, &peer->incarnation)) {
            return charge->links[i].gone_since == 0;
        }
    }
    return false;
}

static void peer_read(World *w, const Node *node, const Snapshot *snap, int index, GroupView *view)
{
    const Agent *agent = &w->agents[node->host];
    GroupCharge *charge = &w->group->charges[node->index];
    const GroupSeen *seen = &snap->said[index];
    GroupPeer *peer = &view->peers[view->peers_len++];
    char history[GROUP_HISTORY_SIZE];
    group_history_text(seen->history, history);
    *peer = (GroupPeer){.node = w->nodes[index].id,
                        .known = counts(w, agent, index, seen),
                        .has_data = seen->data,
                        .whole = seen->whole,
                        .abroad = w->nodes[index].host != node->host,
                        .bid_term = seen->bid_term,
                        .offset = seen->offset};
    if (seen->state != HA_STATE_EMPTY) {
        peer->incarnation = seen->incarnation;
    }
    peer->follows = peer->known && seen->state == HA_STATE_FOLLOWING;
    peer->hears = peer->follows && seen->hears;
    peer->in_history =
        view->record.history[0] != '\0' && strcmp(history, view->record.history) == 0;
    if (ha_id_is_empty(&peer->incarnation)) {
        return;
    }
    if (view->state == HA_STATE_LEADING) {
        peer_link(w, node, charge, view, peer);
    } else {
        peer->streamed = has_streamed(charge, peer);
    }
}

/* ---- who leaves --------------------------------------------------------------------------------
 */

/* One that is taken away confirms writes until its engine has ended. */
static bool a_stranger_streams(World *w, const Node *node, const GroupView *view)
{
    const Redis *redis = redis_of(w, node);
    for (size_t i = 0; i < redis->senders.len; i++) {
        bool known = !redis->senders.items[i].online;
        for (size_t j = 0; j < view->peers_len; j++) {
            int peer = node_by_id(w, &view->peers[j].node);
            known = known || peer == redis->senders.items[i].node;
        }
        if (!known) {
            return true;
        }
    }
    return false;
}

static void view_leaving(World *w, const Node *node, GroupCharge *charge, GroupView *view)
{
    HaSet left = group_left(view);
    view->left_offset = -1;
    if (view->state != HA_STATE_LEADING || left.len == 0 || a_stranger_streams(w, node, view)) {
        charge->leaving.len = 0;
        return;
    }
    if (!ha_set_eq(&left, &charge->leaving)) {
        charge->leaving = left;
        charge->left_offset = view->offset;
    }
    view->left_offset = charge->left_offset;
}

static void note_rivals(const World *w, GroupCharge *charge, const GroupView *view)
{
    bool leads = ha_id_eq(&view->record.leader, &view->self);
    bool rival = leads && view->record.set.len > 1;
    for (size_t i = 0; i < view->peers_len && leads; i++) {
        rival = rival || (view->peers[i].abroad && view->peers[i].streaming);
    }
    charge->has_rival = !w->one_host && (rival || (!leads && view->state == HA_STATE_LEADING));
}

GroupView group_view_make(World *w, int index, const Snapshot *snap)
{
    Node *node = &w->nodes[index];
    GroupCharge *charge = &w->group->charges[index];
    GroupView view = {.run = false};
    view.self = node->id;
    view_goal(w, charge, &snap->wants[index], &view);
    view_record(w, charge, snap, &view);
    view_leader(w, &w->agents[node->host], charge, snap, &view);
    view_engine(w, node, charge, &view);
    view_link(w, node, charge, &view);
    for (int i = 0; i < w->nodes_len; i++) {
        bool member = !snap->wants[i].gone || ha_id_eq(&w->nodes[i].id, &view.record.leader);
        if (i != index && member) {
            peer_read(w, node, snap, i, &view);
        }
    }
    view.admitted = !a_stranger_streams(w, node, &view);
    view_leaving(w, node, charge, &view);
    note_rivals(w, charge, &view);
    return view;
}
