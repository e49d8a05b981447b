/*
 * How an agent carries out a step: each takes time, may come long after it was decided, and may end
 * half-way with the agent. Whatever a step needs of the record it has from the one that it was
 * decided on.
 */
#include "sim.h"

#define WRITE_TIMEOUT_US (2 * S)
#define STOP_TIMEOUT_US  (4 * S)
#define KILL_TIMEOUT_US  (300 * MS)
#define HESITATION_US    (3 * S)

static Charge *charge_of(World *w, int node)
{
    return &w->agents[w->nodes[node].host].charges[node];
}

static void stage(World *w, int node, int64_t us, EventFn *fn, int64_t b)
{
    later_in(w, &w->agents[w->nodes[node].host].proc, us, fn, node, b);
}

void agent_step_end(World *w, int node)
{
    charge_of(w, node)->busy = false;
    agent_look_soon(w, node, 200);
}

/* ---- the record --------------------------------------------------------------------------------
 */

static void again(World *w, const Event *event)
{
    agent_step_end(w, (int)event->a);
}

void agent_written(World *w, int node, int64_t number, Outcome outcome, int64_t revision)
{
    Agent *agent = &w->agents[w->nodes[node].host];
    Charge *charge = charge_of(w, node);
    if (!charge->busy || charge->step.step != HA_STEP_WRITE || charge->number != number) {
        return; /* it was given up: its outcome was unknown */
    }
    charge->number++;
    switch (outcome) {
    case OUTCOME_DONE:
        charge->claim = revision;
        charge->fresh = true;
        if (revision > agent->snap.record_revision) {
            agent->snap.record = charge->step.record;
            agent->snap.record_revision = revision;
        }
        fence_renew(w, node, host_now(w, agent->host) - (w->now - charge->step_started));
        break;
    case OUTCOME_CONFLICT: /* or the store is away */
        sim_store_ask(w, agent->host);
        stage(w, node, roll(w, 2 * MS, 20 * MS), again, 0);
        return;
    case OUTCOME_UNKNOWN:
        trace(w, "%s: nobody knows whether its write is done", w->nodes[node].id.text);
        w->nodes[node].doubt_at = w->now;
        if (!without(w, WITHOUT_SETTLING)) {
            charge->claim = 0;
            charge->fresh = false;
        }
        sim_store_ask(w, agent->host);
        break;
    }
    agent_step_end(w, node);
}

static void write_timeout(World *w, const Event *event)
{
    agent_written(w, (int)event->a, event->b, OUTCOME_UNKNOWN, 0);
}

static void do_write(World *w, int node, Charge *charge)
{
    const HaRecord *record = &charge->step.record;
    char *text = sim_record_text(w, record);
    trace(w, "%s: writes (term %lld, phase %d, set of %zu)", w->nodes[node].id.text,
          (long long)record->term, (int)record->phase, record->set.len);
    sim_store_write(w, node, charge->number, text, charge->basis_revision, charge->basis.term, 0,
                    NULL);
    mem_free(text);
    stage(w, node, WRITE_TIMEOUT_US, write_timeout, charge->number);
}

/* ---- the data directory ------------------------------------------------------------------------
 */

static void incarnate(World *w, Node *node, HaId before)
{
    bool keep = without(w, WITHOUT_INCARNATIONS) && !ha_id_is_empty(&before);
    node->data.incarnation = keep ? before : incarnation_new(w);
    node->data.whole = true;
}

static void made(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    data_clear(&node->data);
    data_fork(&node->data, 1);
    node->data.kind = HA_DATA_NEW;
    incarnate(w, node, (HaId){0});
    agent_step_end(w, node->index);
}

/* Where a copy comes from; NULL: it cannot be had. */
static Node *source_of(World *w, Node *node)
{
    int leader = node_by_id(w, &charge_of(w, node->index)->basis.leader);
    Node *source = &w->nodes[leader];
    bool there = leader != node->index && source->engine.state == ENGINE_PRIMARY &&
                 engine_answers(w, source) && w->hosts[source->host].up &&
                 !is_cut(w, node->host, source->host) && !is_cut(w, source->host, node->host) &&
                 !disk_full(w, node) && !disk_hung(w, node);
    return there ? source : NULL;
}

static void copied(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    const Node *source = source_of(w, node);
    if (source != NULL && (int64_t)source->engine.life == event->b) {
        size_t len = source->data.flushed;
        if (chance(w, 300)) { /* a backup, which is older: the rest is streamed */
            len -= (size_t)roll(w, 0, (int64_t)(len < 400 ? len : 400));
        }
        data_copy(&node->data, &source->data, len);
        node->data.kind = HA_DATA_COPY;
        node->data.signal = true;
        incarnate(w, node, charge_of(w, node->index)->before);
        trace(w, "%s: a copy, %s, %zu records", node->id.text, node->data.incarnation.text,
              node->data.len);
        check_copy(w, node);
    }
    agent_step_end(w, node->index);
}

/* The directory is nothing until it is all there. */
static void do_copy(World *w, Node *node)
{
    const Node *source = source_of(w, node);
    if (source == NULL) {
        stage(w, node->index, 300 * MS, copied, 0);
        return;
    }
    check_change(w, node, &charge_of(w, node->index)->basis.set, "copied");
    if (charge_of(w, node->index)->basis.term == w->store.now.record.term) {
        check_need(w, node, source);
    }
    if (!ha_id_is_empty(&node->data.incarnation)) {
        charge_of(w, node->index)->before = node->data.incarnation;
    }
    data_clear(&node->data);
    stage(w, node->index, roll(w, 300 * MS, 3 * S), copied, (int64_t)source->engine.life);
}

static void removed(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    check_change(w, node, &charge_of(w, node->index)->basis.set, "removed");
    check_last(w, node, &charge_of(w, node->index)->basis);
    data_clear(&node->data);
    agent_step_end(w, node->index);
}

/* ---- running -----------------------------------------------------------------------------------
 */

static void spawned(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Charge *charge = charge_of(w, node->index);
    bool leads = charge->step.step == HA_STEP_START_LEADING;
    node->engine.receiver.source = node_by_id(w, &charge->basis.leader);
    engine_start(w, node, leads, charge->basis.term);
    charge->run = node->engine.life;
    charge->killed = false;
    charge->asked = false;
    charge->names = node->engine.file;
    charge->names_set = true;
    charge->joining = (HaId){0};
    agent_step_end(w, node->index);
}

/* The names of the record, in a file; what an earlier process left there does not count (F2). */
static void names_file(World *w, Node *node, const HaSet *names)
{
    if (!without(w, WITHOUT_NAMES_RECORD)) {
        node->engine.file = *names;
    }
}

static HaSet names_of(const Node *node, const Charge *charge, HaId joining)
{
    return ha_standbys(&charge->basis, &node->data.incarnation, &joining);
}

static void do_start(World *w, Node *node, Charge *charge)
{
    bool ours = ha_id_eq(&charge->basis.leader, &node->id);
    HaSet names = ours ? names_of(node, charge, (HaId){0}) : (HaSet){.len = 0};
    if (charge->step.step == HA_STEP_START_LEADING) {
        node->data.kind = HA_DATA_LED;
    }
    names_file(w, node, &names);
    stage(w, node->index, roll_late(w, LATE_AGENT, 2 * MS, S), spawned, 0);
}

/* Numbers that others may have begun are as if they were there (src/engine/pg_timeline.c). */
static void pass_over(Data *data, const HaRecord *record)
{
    int64_t last = data_tli(data) + ha_record_passed_over(record, data_tli(data));
    data->tli_max = last > data->tli_max ? (int)last : data->tli_max;
}

static void promoted(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Charge *charge = charge_of(w, node->index);
    if (node->engine.life == charge->run) {
        node->engine.term = charge->basis.term;
        pass_over(&node->data, &charge->basis);
        engine_promote(w, node);
        charge->names = node->engine.file;
        charge->names_set = true;
    }
    agent_step_end(w, node->index);
}

static void do_promote(World *w, Node *node, Charge *charge)
{
    HaSet names = names_of(node, charge, (HaId){0});
    node->data.kind = HA_DATA_LED;
    names_file(w, node, &names);
    engine_reload(w, node);
    stage(w, node->index, roll_late(w, LATE_AGENT, 2 * MS, S), promoted, 0);
}

static void sourced(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Charge *charge = charge_of(w, node->index);
    int leader = node_by_id(w, &charge->basis.leader);
    if (node->engine.life == charge->run && node->engine.receiver.source != leader) {
        stream_stop(w, node);
        node->engine.receiver.source = leader;
        stream_start(w, node);
    }
    agent_step_end(w, node->index);
}

static void opened(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (node->engine.life == charge_of(w, node->index)->run) {
        node->engine.open = true;
        trace(w, "%s: it is open", node->id.text);
        check_open(w, node);
    }
    agent_step_end(w, node->index);
}

/* ---- names -------------------------------------------------------------------------------------
 */

static void named(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Charge *charge = charge_of(w, node->index);
    if (node->engine.life == charge->run && node->engine.state == ENGINE_PRIMARY) {
        HaSet before = node->engine.loaded;
        HaSet names = names_of(node, charge, charge->step.joining);
        node->engine.file = names;
        engine_reload(w, node);
        charge->names = names;
        charge->names_set = true;
        charge->joining = charge->step.joining;
        trace(w, "%s: %zu names, %s joins", node->id.text, names.len,
              charge->joining.text[0] != '\0' ? charge->joining.text : "nobody");
        proof_begin(w, node->index, before.len > 0);
    }
    agent_step_end(w, node->index);
}

static void do_names(World *w, Node *node, Charge *charge)
{
    charge->fresh = charge->names_set = false;
    stage(w, node->index, roll_late(w, LATE_AGENT, 2 * MS, S), named, 0);
}

/* ---- ending ------------------------------------------------------------------------------------
 */

static void ending(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Charge *charge = charge_of(w, node->index);
    bool stop = charge->step.step == HA_STEP_STOP;
    int64_t passed = w->now - event->b;
    bool same = node->engine.alive && node->engine.life == charge->run;
    if (!same) {
        charge->asked = stop;
        agent_step_end(w, node->index);
    } else if (stop && passed > STOP_TIMEOUT_US) {
        charge->step.step = HA_STEP_KILL;
        engine_kill(w, node);
        stage(w, node->index, 5 * MS, ending, w->now);
    } else if (!stop && passed > KILL_TIMEOUT_US) {
        charge->killed = true;
        agent_step_end(w, node->index);
    } else {
        stage(w, node->index, 5 * MS, ending, event->b);
    }
}

static void end_begins(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (charge_of(w, node->index)->step.step == HA_STEP_STOP) {
        engine_stop(w, node);
    } else {
        engine_kill(w, node);
    }
    stage(w, node->index, 5 * MS, ending, w->now);
}

/* ---- any of them -------------------------------------------------------------------------------
 */

static void run_step(World *w, const Event *event)
{
    int index = (int)event->a;
    Node *node = &w->nodes[index];
    Charge *charge = charge_of(w, index);
    switch (charge->step.step) {
    case HA_STEP_WRITE:
        do_write(w, index, charge);
        return;
    case HA_STEP_MAKE:
        stage(w, index, roll(w, 200 * MS, S), made, 0);
        return;
    case HA_STEP_COPY:
    case HA_STEP_REJOIN:
        do_copy(w, node);
        return;
    case HA_STEP_START_LEADING:
    case HA_STEP_START_FOLLOWING:
        do_start(w, node, charge);
        return;
    case HA_STEP_SOURCE:
        stage(w, index, 2 * MS, sourced, 0);
        return;
    case HA_STEP_PROMOTE:
        do_promote(w, node, charge);
        return;
    case HA_STEP_NAMES:
        do_names(w, node, charge);
        return;
    case HA_STEP_OPEN:
        stage(w, index, MS, opened, 0);
        return;
    case HA_STEP_STOP:
    case HA_STEP_KILL:
        stage(w, index, 100, end_begins, 0);
        return;
    case HA_STEP_REMOVE:
        stage(w, index, roll(w, 10 * MS, 200 * MS), removed, 0);
        return;
    case HA_STEP_WAIT:
        break;
    }
    UNREACHABLE();
}

void agent_step(World *w, int node, const HaDecision *decision)
{
    Agent *agent = &w->agents[w->nodes[node].host];
    Charge *charge = charge_of(w, node);
    trace(w, "%s: %s (%s)", w->nodes[node].id.text, ha_step_name(decision->step), decision->why);
    charge->busy = true;
    charge->number++;
    charge->step = *decision;
    charge->basis = agent->snap.record;
    charge->basis_revision = agent->snap.record_revision;
    charge->step_started = w->now;
    stage(w, node, roll_late(w, LATE_AGENT, 500, HESITATION_US), run_step, 0);
}
