/*
 * The agents of a group: each look reads the record, takes the snapshot, asks group_decide, and has
 * the step carried out, as src/agent/redis/node.c does. group_decide is the real one.
 */
#include <stdio.h>

#include "group_sim.h"

#define BEAT_US   (400 * MS) /* what it says counts for 1.5 s behind it */
#define READ_US   (2 * S)
#define IDLE_MS   1000
#define WATCH_MS  250
#define KEEP_US   S
#define FAILED_US (250 * MS) /* behind a read that was not answered */

static GroupCharge *charge_of(World *w, int node)
{
    return &w->group->charges[node];
}

void group_history_text(uint64_t history, char out[static GROUP_HISTORY_SIZE])
{
    out[0] = '\0';
    if (history != 0) {
        snprintf(out, GROUP_HISTORY_SIZE, "h%llu", (unsigned long long)history);
    }
}

/* ---- what is said ------------------------------------------------------------------------------
 */

/* What an heir has is told while it is waited for, and an offset that was bid stays. */
static void describe_offset(const GroupCharge *charge, GroupSeen *seen)
{
    const GroupView *view = &charge->view;
    const GroupRecord *record = &view->record;
    bool follows = view->state == HA_STATE_FOLLOWING;
    bool ours = ha_id_eq(&record->heir, &view->self);
    bool heir = record->phase != HA_PHASE_LEADING && ours;
    seen->offset = -1;
    seen->bid_term = 0;
    if (follows && record->phase == HA_PHASE_FREE && view->bid) {
        seen->bid_term = charge->bid_term;
        seen->offset = charge->bid_offset;
    } else if (follows && heir) {
        seen->offset = view->offset;
    }
}

static bool seen_differs(const GroupSeen *a, const GroupSeen *b)
{
    return !ha_id_eq(&a->incarnation, &b->incarnation) || a->state != b->state ||
           a->term != b->term || a->data != b->data || a->hears != b->hears ||
           a->link_up != b->link_up || a->whole != b->whole || a->history != b->history ||
           a->offset != b->offset || a->bid_term != b->bid_term;
}

void group_agent_publish(World *w, int node)
{
    Agent *agent = &w->agents[w->nodes[node].host];
    GroupCharge *charge = charge_of(w, node);
    const GroupView *view = &charge->view;
    const Redis *redis = &w->group->redis[node];
    bool answers = view->state == HA_STATE_FOLLOWING || view->state == HA_STATE_LEADING;
    GroupSeen seen = {.beat = agent->beats,
                      .life = agent->proc.gen,
                      .incarnation = view->incarnation,
                      .state = view->state,
                      .term = view->record.term,
                      .data = view->has_data,
                      .link_up = view->link_up,
                      .whole = answers ? view->whole : charge->said.whole,
                      .hears = charge->hears,
                      .history = answers ? redis->history : charge->said.history};
    describe_offset(charge, &seen);
    if (seen_differs(&seen, &charge->said) || w->now - charge->said_at >= BEAT_US) {
        charge->said = seen;
        charge->said_at = w->now;
        sim_store_say(w, node, &seen);
    }
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static bool reboot_is_due(World *w, int node, const Snapshot *snap)
{
    GroupCharge *charge = charge_of(w, node);
    const Redis *redis = &w->group->redis[node];
    if (charge->reboot < 0 || !redis->alive) {
        charge->reboot = snap->wants[node].reboot;
    }
    return charge->reboot != snap->wants[node].reboot && redis->guarded;
}

/* A mark says what the folder holds: a replica that is in sync has what its leader has, once its
 * log has it, too. */
static void keep(World *w, int node)
{
    GroupCharge *charge = charge_of(w, node);
    const GroupView *view = &charge->view;
    HaDuty duty = group_duty(view);
    bool leads = duty == HA_DUTY_LEAD && view->state == HA_STATE_LEADING;
    bool follows =
        duty == HA_DUTY_FOLLOW && view->state == HA_STATE_FOLLOWING && view->source_right;
    if ((!leads && !follows) || view->record.phase != HA_PHASE_LEADING ||
        w->now - charge->kept_at < KEEP_US) {
        return;
    }
    if (leads || (view->link_up && view->whole)) {
        w->nodes[node].data.kind = leads ? HA_DATA_LED : HA_DATA_COPY;
        charge->kept_at = w->now;
    }
}

/* At once where it has come into the history. */
static void note(World *w, int node)
{
    GroupView *view = &charge_of(w, node)->view;
    Data *data = &w->nodes[node].data;
    if (view->state == HA_STATE_FOLLOWING && view->record.history[0] != '\0' &&
        strcmp(view->history, view->record.history) == 0 && view->whole &&
        data->kind == HA_DATA_NEW) {
        data->kind = HA_DATA_COPY;
        view->has_data = group_has_data(&w->nodes[node]);
    }
}

static int64_t again_ms(const GroupView *view, bool leader_silent, const GroupDecision *decision)
{
    int64_t pause_ms = leader_silent ? GROUP_SOON_MS : view->peers_len > 0 ? WATCH_MS : IDLE_MS;
    return decision->again_ms > 0 && decision->again_ms < pause_ms ? decision->again_ms : pause_ms;
}

static void decide(World *w, int node, const Snapshot *snap)
{
    GroupCharge *charge = charge_of(w, node);
    charge->view = group_view_make(w, node, snap);
    note(w, node);
    bool ours = ha_id_eq(&charge->view.record.leader, &charge->view.self);
    if (ours && charge->view.claimed) { /* nobody else makes the set grow */
        group_fence_rivals(w, &w->nodes[node], &charge->view.record.set, true);
    }
    charge->basis_revision = snap->record_revision;
    if (reboot_is_due(w, node, snap)) {
        const GroupDecision stop = {.step = GROUP_STEP_STOP, .why = "a start anew"};
        charge->reboot = snap->wants[node].reboot;
        group_step(w, node, &stop);
        return;
    }
    bool leads =
        charge->view.state == HA_STATE_LEADING && group_duty(&charge->view) == HA_DUTY_LEAD;
    if (leads) { /* clients wait for it */
        group_agent_publish(w, node);
    }
    GroupDecision decision = group_decide(&charge->view);
    if (decision.step != GROUP_STEP_WAIT) {
        group_step(w, node, &decision);
        return;
    }
    keep(w, node);
    group_agent_publish(w, node);
    group_agent_look_soon(w, node, again_ms(&charge->view, charge->leader_silent, &decision) * MS);
}

void group_agent_read(World *w, int node, int64_t number, const Snapshot *snap)
{
    GroupCharge *charge = charge_of(w, node);
    if (!charge->reading || charge->number != number) {
        return;
    }
    charge->reading = false;
    if (!charge->busy) {
        decide(w, node, snap);
    }
}

static void read_timeout(World *w, const Event *event)
{
    GroupCharge *charge = charge_of(w, (int)event->a);
    if (charge->reading && charge->number == event->b) {
        charge->reading = false;
        group_agent_look_soon(w, (int)event->a, FAILED_US);
    }
}

static void look(World *w, const Event *event)
{
    int node = (int)event->a;
    Agent *agent = &w->agents[w->nodes[node].host];
    GroupCharge *charge = charge_of(w, node);
    if (charge->look_at != event->b) {
        return;
    }
    charge->look_at = 0;
    if (charge->busy || charge->reading) {
        return;
    }
    charge->reading = true;
    charge->number++;
    sim_store_read(w, node, charge->number);
    later_in(w, &agent->proc, READ_US, read_timeout, node, charge->number);
}

void group_agent_look_soon(World *w, int node, int64_t us)
{
    Agent *agent = &w->agents[w->nodes[node].host];
    GroupCharge *charge = charge_of(w, node);
    if (agent->up && (charge->look_at == 0 || charge->look_at > w->now + us)) {
        charge->look_at = w->now + us;
        later_in(w, &agent->proc, us, look, node, charge->look_at);
    }
}

/* ---- hearing -----------------------------------------------------------------------------------
 */

static void configured(World *w, const Event *event)
{
    front_heard(w, (int)event->a, event->data);
}

static void tell_fronts(World *w, const Agent *agent)
{
    for (int i = 0; i < w->proxies_len; i++) {
        Front *front = &w->group->fronts[i];
        if (front->up && front->host == agent->host) {
            Snapshot *copy = mem_alloc(sizeof(Snapshot));
            *copy = agent->snap;
            send_to(w, agent->host, agent->host, &front->proc, configured, i, 0, copy);
        }
    }
}

void group_agent_heard(World *w, int host, const Snapshot *snap)
{
    Agent *agent = &w->agents[host];
    if (!agent->up || snap->revision <= agent->snap.revision) {
        return;
    }
    bool changed = agent->snap.record_revision != snap->record_revision;
    for (int i = 0; i < SIM_HOSTS; i++) {
        const Word *word = &agent->snap.words[i];
        bool same = word->life == snap->words[i].life && word->count == snap->words[i].count;
        agent->beat_at[i] = same ? agent->beat_at[i] : w->now;
        agent->lives[i] = agent->lives[i] || (!same && agent->snap.revision != 0);
    }
    for (int i = 0; i < w->nodes_len; i++) {
        changed = changed || seen_differs(&snap->said[i], &agent->snap.said[i]) ||
                  memcmp(&snap->wants[i], &agent->snap.wants[i], sizeof(GroupGoal)) != 0;
    }
    agent->snap = *snap;
    for (int i = 0; i < w->nodes_len && changed; i++) {
        if (w->nodes[i].host == host) {
            group_agent_look_soon(w, i, roll(w, 100, MS));
        }
    }
    if (changed) {
        tell_fronts(w, agent);
    }
}

/* ---- its life ----------------------------------------------------------------------------------
 */

static void beat(World *w, const Event *event)
{
    Agent *agent = &w->agents[event->a];
    agent->beats++;
    if (w->now - agent->beat_last > 2 * BEAT_US) { /* it was stopped, and has heard nobody */
        for (int i = 0; i < SIM_HOSTS; i++) {
            agent->beat_at[i] = w->now;
        }
    }
    agent->beat_last = w->now;
    if (!w->one_host) {
        const Word word = {.life = agent->proc.gen, .count = agent->beats};
        sim_store_beat(w, agent->host, &word);
    }
    for (int i = 0; i < w->nodes_len; i++) {
        if (w->nodes[i].host == event->a) {
            group_fence_look(w, &w->nodes[i]);
            group_agent_look_soon(w, i, roll(w, 0, MS));
        }
    }
    if (agent->snap.revision == 0) {
        sim_store_ask(w, (int)event->a);
    }
    later_in(w, &agent->proc, BEAT_US, beat, event->a, 0);
}

void group_agent_start(World *w, int host)
{
    Agent *agent = &w->agents[host];
    int64_t beats = agent->beats;
    *agent = (Agent){.up = true, .host = host, .proc.gen = ++w->lives, .beats = beats + 1};
    trace(w, "h%d: its agent starts", host);
    for (int i = 0; i < w->nodes_len; i++) {
        agent->beat_at[i] = w->now;
        if (w->nodes[i].host == host) {
            w->group->charges[i] = (GroupCharge){.reboot = -1, .said_at = -S, .kept_at = -S};
        }
    }
    sim_store_ask(w, host);
    later_in(w, &agent->proc, roll(w, 1 * MS, 50 * MS), beat, host, 0);
}
