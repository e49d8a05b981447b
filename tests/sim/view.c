/* The snapshot that an agent takes for ha_decide: each member as ha.h explains it. */
#include "sim.h"

static int64_t ms_since(const World *w, int64_t since)
{
    return (w->now - since) / MS;
}

static bool seen_streaming(World *w, Node *node, const HaId *incarnation)
{
    if (node->engine.state != ENGINE_PRIMARY || ha_id_is_empty(incarnation)) {
        return false;
    }
    const Sender *sender = stream_sender(node, incarnation);
    (void)w;
    return sender != NULL && sender->streaming;
}

/* What an agent that has died said is no witness. */
static bool counts(const World *w, const Agent *agent, int node)
{
    return w->nodes[node].host == agent->host ||
           (agent->lives[node] && ms_since(w, agent->beat_at[node]) < HA_WITNESS_MS);
}

static HaPeer peer_of(World *w, Node *node, int other)
{
    Agent *agent = &w->agents[node->host];
    bool heard = counts(w, agent, other);
    Charge *charge = &agent->charges[node->index];
    const Seen *seen = &agent->snap.seen[other];
    const Goal *goal = &agent->snap.goals[other];
    HaPeer peer = {.node = w->nodes[other].id,
                   .incarnation = seen->incarnation,
                   .wanted = goal->wanted && !goal->gone,
                   .follows = heard && seen->follows,
                   .ended = heard && seen->beat != 0 && seen->ended,
                   .hears = heard && seen->hears};
    peer.streaming = seen_streaming(w, node, &peer.incarnation);
    peer.bound = ha_set_has(&charge->proof.bound, &peer.incarnation);
    if (peer.streaming || charge->state != HA_STATE_LEADING) {
        charge->gone_since[other] = 0;
    } else if (charge->gone_since[other] == 0) {
        charge->gone_since[other] = w->now;
    }
    int64_t gone_since = charge->gone_since[other];
    peer.gone_ms = gone_since == 0 ? 0 : ms_since(w, gone_since);
    return peer;
}

static void view_leader(World *w, Node *node, HaView *view)
{
    Agent *agent = &w->agents[node->host];
    const Charge *charge = &agent->charges[node->index];
    const HaRecord *record = &agent->snap.record;
    int leader = node_by_id(w, &record->leader);
    ASSERT(leader >= 0);
    const Seen *seen = &agent->snap.seen[leader];
    view->leader_serves =
        seen->state == HA_STATE_LEADING && seen->term == record->term && counts(w, agent, leader);
    view->leader_here = w->nodes[leader].host == node->host;
    view->leader_ms = ms_since(w, agent->beat_at[leader]);
    const Receiver *receiver = &node->engine.receiver;
    view->source_right = receiver->source == leader;
    view->link_up = receiver->conn != 0;
    view->link_ms = view->link_up ? 0 : ms_since(w, receiver->heard);
    if (view->state == HA_STATE_LEADING && receiver->heard != 0) {
        view->cut_off_ms = (charge->state_since - receiver->heard) / MS;
    }
}

/* Timelines that it went through, and the record does not know. */
static void view_halfway(const Data *data, HaView *view)
{
    for (size_t i = 0; i + 1 < data->forks_len; i++) {
        if (data->forks[i].tli > 1) { /* no history file tells of the first */
            ha_view_went_through(
                view, (HaFork){.timeline = data->forks[i].tli, .lsn = data->forks[i].lsn});
        }
    }
}

static void view_engine(World *w, Node *node, HaView *view)
{
    const Engine *engine = &node->engine;
    const Data *data = &node->data;
    view->timeline = data_tli(data);
    view->fork_lsn = data->forks_len > 0 ? data->forks[data->forks_len - 1].lsn : 0;
    view_halfway(data, view);
    view->busy = engine_busy(engine);
    view->heard = engine->asked_at > 0 && w->now - engine->asked_at < HA_QUIET_MS * MS;
    view->open = engine->open;
}

HaView agent_view(World *w, int index)
{
    Node *node = &w->nodes[index];
    Agent *agent = &w->agents[node->host];
    Charge *charge = &agent->charges[index];
    const Goal *goal = &agent->snap.goals[index];
    const HaRecord *record = &agent->snap.record;
    if (ha_set_has(&record->set, &charge->joining)) {
        charge->joining = (HaId){0};
    }
    if (charge->wish != goal->handover || charge->wish_at == 0) {
        charge->wish = goal->handover;
        charge->wish_at = w->now;
    }
    HaView view = {.run = goal->run,
                   .gone = goal->gone,
                   .strict = w->strict,
                   .heir = goal->heir,
                   .handover = goal->handover,
                   .wish_ms = ms_since(w, charge->wish_at),
                   .record = *record,
                   .claimed = charge->claim != 0 && charge->claim == agent->snap.record_revision,
                   .phase_ms = ms_since(w, charge->phase_since),
                   .self = node->id,
                   .incarnation = node->data.incarnation,
                   .state = charge->state,
                   .data = node->data.kind,
                   .asked = charge->asked,
                   .diverged = node->data.whole &&
                               ha_record_diverged(record, data_tli(&node->data), node->data.len),
                   .state_ms = ms_since(w, charge->state_since),
                   .names = charge->names,
                   .joining = charge->joining,
                   .names_set = charge->names_set,
                   .disk_ms = ms_since(w, charge->disk_ok)};
    view.fresh = view.claimed && charge->fresh;
    if (without(w, WITHOUT_CLAIM) && ha_set_has(&record->set, &view.incarnation)) {
        view.claimed = true;
    }
    if (without(w, WITHOUT_FRESH)) {
        view.fresh = true;
    }
    view_engine(w, node, &view);
    view_leader(w, node, &view);
    for (int i = 0; i < w->nodes_len; i++) {
        if (i != index) {
            view.peers[view.peers_len++] = peer_of(w, node, i);
        }
    }
    return view;
}
