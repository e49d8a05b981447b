/*
 * An agent: it takes the snapshot of each node of its host, asks ha_decide, and has the step
 * carried out; it says what it sees, looks at the disk, and keeps the guard's deadline away. All
 * that it knows is gone when it is killed. ha_decide is the real one.
 */
#include "sim.h"

#define BEAT_US    (250 * MS)
#define FENCE_US   (3 * S) /* L of F9 */
#define GUARD_US   (100 * MS)
#define SILENCE_US (300 * MS) /* an engine that does not answer for so long is silent */

/* ---- looking -----------------------------------------------------------------------------------
 */

static HaState state_of(const World *w, const Node *node, const Charge *charge)
{
    const Engine *engine = &node->engine;
    if (!engine->alive || (!engine->postmaster && without(w, WITHOUT_REAPING))) {
        return node->data.whole ? HA_STATE_DOWN : HA_STATE_EMPTY;
    }
    if (charge->killed || !engine->guarded) {
        return HA_STATE_STUCK;
    }
    if (charge->silent_since != 0 && w->now - charge->silent_since > SILENCE_US) {
        return HA_STATE_SILENT;
    }
    switch (engine->state) {
    case ENGINE_OFF:
    case ENGINE_STARTING:
        return HA_STATE_STARTING;
    case ENGINE_RECOVERY:
        return HA_STATE_FOLLOWING;
    case ENGINE_PROMOTING:
        return HA_STATE_PROMOTING;
    case ENGINE_PRIMARY:
        return HA_STATE_LEADING;
    }
    UNREACHABLE();
}

/* Another life of the engine: nothing that was said of the one before holds (F2). */
static void life_changed(World *w, Charge *charge, uint64_t life)
{
    if (charge->run != 0) {
        charge->claim = 0;
    }
    charge->fresh = charge->names_set = false;
    charge->names = (HaSet){.len = 0};
    charge->joining = (HaId){0};
    charge->proof = (Proof){.number = charge->proof.number + 1};
    charge->run = life;
    (void)w;
}

static void observe(World *w, Node *node, Charge *charge)
{
    const Engine *engine = &node->engine;
    uint64_t life = engine->alive ? engine->life : 0;
    if (life != charge->run) {
        life_changed(w, charge, life);
        charge->killed = false;
    }
    bool silent = engine->alive && engine->state != ENGINE_STARTING && !engine_answers(w, node);
    charge->silent_since = !silent ? 0 : charge->silent_since != 0 ? charge->silent_since : w->now;
    HaState state = state_of(w, node, charge);
    if (state != charge->state) {
        trace(w, "%s: %s", node->id.text, ha_state_name(state));
        charge->state = state;
        charge->state_since = w->now;
    }
    if (state == HA_STATE_LEADING && charge->names_set && charge->proof.phase == PROOF_NONE) {
        proof_begin(w, node->index, false);
    }
    const HaRecord *record = &w->agents[node->host].snap.record;
    if (record->phase != charge->phase || record->term != charge->term) {
        charge->phase = record->phase;
        charge->term = record->term;
        charge->phase_since = w->now;
    }
    if (!disk_hung(w, node) && !disk_full(w, node)) {
        charge->disk_ok = w->now;
    }
}

static bool seen_differs(const Seen *a, const Seen *b)
{
    return !ha_id_eq(&a->incarnation, &b->incarnation) || a->state != b->state ||
           a->term != b->term || a->follows != b->follows || a->ended != b->ended ||
           a->hears != b->hears;
}

static void publish(World *w, Node *node, const HaView *view)
{
    Agent *agent = &w->agents[node->host];
    Charge *charge = &agent->charges[node->index];
    const Receiver *receiver = &node->engine.receiver;
    bool stuck = view->state == HA_STATE_STUCK;
    Seen seen = {.beat = stuck ? charge->said.beat : agent->beats,
                 .incarnation = view->incarnation,
                 .state = view->state,
                 .term = view->state == HA_STATE_LEADING && view->claimed ? view->record.term : 0,
                 .follows = view->state == HA_STATE_FOLLOWING,
                 .ended = view->state == HA_STATE_DOWN || view->state == HA_STATE_EMPTY,
                 .hears = view->state == HA_STATE_FOLLOWING && receiver->conn != 0 &&
                          w->now - receiver->heard < S};
    if (seen_differs(&seen, &charge->said) || w->now - charge->said_at >= BEAT_US) {
        charge->said = seen;
        charge->said_at = w->now;
        sim_store_say(w, node->index, &seen);
    }
}

/* A planned start anew is not one of ha's steps. */
static bool reboot(World *w, Node *node, Charge *charge)
{
    int64_t wanted = w->agents[node->host].snap.goals[node->index].reboot;
    if (charge->reboot < 0) {
        charge->reboot = wanted;
    }
    if (charge->reboot == wanted || charge->state != HA_STATE_LEADING || !node->engine.open) {
        return false;
    }
    charge->reboot = wanted;
    HaDecision stop = {.step = HA_STEP_STOP, .why = "a start anew"};
    agent_step(w, node->index, &stop);
    return true;
}

static void look(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Agent *agent = &w->agents[node->host];
    Charge *charge = &agent->charges[event->a];
    if (charge->look_at != event->b) {
        return;
    }
    charge->look_at = 0;
    if (agent->snap.revision == 0 || charge->busy) {
        return;
    }
    observe(w, node, charge);
    proof_look(w, node->index);
    HaView view = agent_view(w, node->index);
    publish(w, node, &view);
    if (reboot(w, node, charge)) {
        return;
    }
    HaDecision decision = ha_decide(&view);
    if (decision.step != HA_STEP_WAIT) {
        agent_step(w, node->index, &decision);
        return;
    }
    agent_look_soon(w, node->index, decision.again_ms > 0 ? decision.again_ms * MS : S);
}

void agent_look_soon(World *w, int node, int64_t us)
{
    Agent *agent = &w->agents[w->nodes[node].host];
    Charge *charge = &agent->charges[node];
    if (agent->up && (charge->look_at == 0 || charge->look_at > w->now + us)) {
        charge->look_at = w->now + us;
        later_in(w, &agent->proc, us, look, node, charge->look_at);
    }
}

void agent_wake(World *w, int node)
{
    agent_look_soon(w, node, roll(w, 300, 3 * MS));
}

/* ---- hearing -----------------------------------------------------------------------------------
 */

static void topology(World *w, const Event *event)
{
    proxy_heard(w, (int)event->a, event->data);
}

void agent_heard(World *w, int host, const Snapshot *snap)
{
    Agent *agent = &w->agents[host];
    if (!agent->up || snap->revision <= agent->snap.revision) {
        return;
    }
    int64_t record_revision = agent->snap.record_revision;
    HaRecord record = agent->snap.record;
    bool first = agent->snap.revision == 0;
    agent->snap = *snap;
    if (record_revision > snap->record_revision) { /* its own write is newer */
        agent->snap.record = record;
        agent->snap.record_revision = record_revision;
    }
    for (int i = 0; i < w->nodes_len; i++) {
        if (snap->seen[i].beat != agent->beat_seen[i]) {
            agent->beat_seen[i] = snap->seen[i].beat;
            agent->beat_at[i] = w->now;
            agent->lives[i] = agent->lives[i] || !first;
        }
        if (w->nodes[i].host == host) {
            agent_look_soon(w, i, roll(w, 100, MS));
        }
    }
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->proxies[i].host == host && w->proxies[i].up) {
            Snapshot *copy = mem_alloc(sizeof(Snapshot));
            *copy = agent->snap;
            send_to(w, host, host, &w->proxies[i].proc, topology, i, 0, copy);
        }
    }
}

/* ---- the guard's deadline (F9) -----------------------------------------------------------------
 */

/* Whether a node on another host may be promoted in its place. */
static bool has_rival(World *w, const Node *node)
{
    const HaRecord *record = &w->agents[node->host].snap.record;
    return !w->one_host && record->set.len > 1;
}

void fence_renew(World *w, int node, int64_t since)
{
    Node *of = &w->nodes[node];
    Engine *engine = &of->engine;
    if (!has_rival(w, of)) {
        engine->fence = 0;
    } else if (since + FENCE_US > engine->fence) {
        engine->fence = since + FENCE_US;
    }
}

static void guard_look(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    const Host *host = &w->hosts[node->host];
    if (host->up && host->paused_until <= w->now && engine->alive && engine->guarded &&
        engine->fence != 0 && !without(w, WITHOUT_RIGHT) &&
        host_now(w, node->host) > engine->fence && engine->state == ENGINE_PRIMARY) {
        trace(w, "%s: its guard's deadline is over", node->id.text);
        engine_kill(w, node);
    }
    later(w, GUARD_US, guard_look, event->a, 0);
}

void agent_probed(World *w, const Event *event)
{
    const Request *what = &w->requests.items[event->b];
    if (!what->notice) {
        fence_renew(w, (int)event->a, what->begun);
    }
}

static void probe(World *w, const Node *node)
{
    if (node->engine.state == ENGINE_PRIMARY && has_rival(w, node)) {
        const Request request = {.kind = REQUEST_PROBE,
                                 .proxy = -1,
                                 .proxy_gen = w->agents[node->host].proc.gen,
                                 .node = node->index,
                                 .begun = host_now(w, node->host)};
        if (engine_answers(w, node) && node->engine.waiters_len < SIM_WAITERS / 2) {
            request_send(w, request_new(w, &request));
        }
    }
}

/* ---- its life ----------------------------------------------------------------------------------
 */

static void beat(World *w, const Event *event)
{
    Agent *agent = &w->agents[event->a];
    agent->beats++;
    if (w->now - agent->beat_last > 2 * BEAT_US) { /* it was stopped, and has heard nobody */
        for (int i = 0; i < w->nodes_len; i++) {
            agent->beat_at[i] = w->now;
        }
    }
    agent->beat_last = w->now;
    for (int i = 0; i < w->nodes_len; i++) {
        if (w->nodes[i].host == event->a) {
            agent_look_soon(w, i, roll(w, 0, MS));
            probe(w, &w->nodes[i]);
        }
    }
    if (agent->snap.revision == 0) {
        sim_store_ask(w, (int)event->a);
    }
    later_in(w, &agent->proc, BEAT_US, beat, event->a, 0);
}

void agent_start(World *w, int host)
{
    Agent *agent = &w->agents[host];
    bool first = agent->proc.gen == 0;
    int64_t beats = agent->beats;
    *agent = (Agent){.up = true, .host = host, .proc.gen = ++w->lives, .beats = beats + 1};
    trace(w, "h%d: its agent starts", host);
    for (int i = 0; i < w->nodes_len; i++) {
        agent->charges[i].reboot = -1;
        agent->charges[i].disk_ok = w->now;
        agent->charges[i].said_at = -S;
        agent->beat_at[i] = w->now;
        if (first && w->nodes[i].host == host) {
            later(w, GUARD_US, guard_look, i, 0);
        }
    }
    sim_store_ask(w, host);
    later_in(w, &agent->proc, roll(w, 1 * MS, 50 * MS), beat, host, 0);
}

void agent_kill(World *w, int host)
{
    Agent *agent = &w->agents[host];
    if (agent->up) {
        trace(w, "h%d: its agent is dead", host);
        agent->up = false;
        proc_begin(w, &agent->proc);
    }
}
