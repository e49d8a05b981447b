/*
 * How a group's agent carries out a step: each takes time, may come long after it was decided, and
 * may end half-way with the agent. What it needs of the record it has from the one that it was
 * decided on. A question to an engine that does not answer comes to nothing.
 */
#include "group_sim.h"

#define WRITE_TIMEOUT_US (2 * S)
#define STOP_TIMEOUT_US  (4 * S)
#define KILL_TIMEOUT_US  (300 * MS)
#define HESITATION_US    (3 * S)
#define PAUSE_US         (GROUP_PAUSED_US + 500 * MS)
#define STARTED_US       (GROUP_SOON_MS * MS)

static GroupCharge *charge_of(World *w, int node)
{
    return &w->group->charges[node];
}

static void stage(World *w, int node, int64_t us, EventFn *fn, int64_t b)
{
    later_in(w, &w->agents[w->nodes[node].host].proc, us, fn, node, b);
}

static void step_end(World *w, int node, int64_t us)
{
    charge_of(w, node)->busy = false;
    group_agent_look_soon(w, node, us);
}

/* What held for the run of the engine that has ended. */
void group_part_reset(GroupCharge *charge)
{
    charge->claim = 0;
    charge->answered_at = charge->heard_at = 0;
    charge->paused_at = 0;
    charge->begun = false;
    charge->bond = GROUP_BOND_UNKNOWN;
}

/* ---- the record --------------------------------------------------------------------------------
 */

static void again(World *w, const Event *event)
{
    step_end(w, (int)event->a, 200);
}

void group_agent_written(World *w, int node, int64_t number, Outcome outcome, int64_t revision)
{
    GroupCharge *charge = charge_of(w, node);
    if (!charge->busy || charge->step.step != GROUP_STEP_WRITE || charge->number != number) {
        return; /* it was given up: its outcome was unknown */
    }
    charge->number++;
    charge->claim = outcome == OUTCOME_DONE ? revision : 0; /* else whatever became of it (F2) */
    if (outcome == OUTCOME_UNKNOWN) {
        trace(w, "%s: nobody knows whether its write is done", w->nodes[node].id.text);
    }
    stage(w, node, outcome == OUTCOME_DONE ? 100 : roll(w, 2 * MS, 20 * MS), again, 0);
}

static void write_timeout(World *w, const Event *event)
{
    group_agent_written(w, (int)event->a, event->b, OUTCOME_UNKNOWN, 0);
}

static void do_write(World *w, int node, GroupCharge *charge)
{
    const GroupRecord *record = &charge->step.record;
    char *text = sim_record_text(w, record);
    trace(w, "%s: writes (term %lld, %s, set of %zu, history %s)", w->nodes[node].id.text,
          (long long)record->term, ha_phase_name(record->phase), record->set.len, record->history);
    if (record->term > charge->basis.term) {
        group_check_take(w, &w->nodes[node], &charge->view);
    }
    group_fence_rivals(w, &w->nodes[node], &record->set, false);
    sim_store_write(w, node, charge->number, text, charge->basis_revision, charge->basis.term,
                    charge->leader_host, charge->step.lost ? &charge->leader_word : NULL);
    mem_free(text);
    stage(w, node, WRITE_TIMEOUT_US, write_timeout, charge->number);
}

/* ---- the data folder ---------------------------------------------------------------------------
 */

/* What lies there stays. */
static void made(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    node->data.incarnation = incarnation_new(w);
    node->data.kind = HA_DATA_NEW;
    node->data.whole = true;
    trace(w, "%s: a folder, %s, of %zu writes", node->id.text, node->data.incarnation.text,
          node->data.len);
    step_end(w, node->index, 200);
}

static void removed(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    GroupView *view = &charge_of(w, node->index)->view;
    if (!redis_of(w, node)->alive) {
        data_clear(&node->data);
        view->state = HA_STATE_EMPTY;
        view->incarnation = (HaId){0};
        view->has_data = false;
    }
    group_agent_publish(w, node->index);
    step_end(w, node->index, S);
}

/* ---- the engine --------------------------------------------------------------------------------
 */

static void marked(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    node->data.kind = HA_DATA_LED;
    step_end(w, node->index, STARTED_US);
}

static void spawned(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    GroupCharge *charge = charge_of(w, node->index);
    bool leads = charge->step.step == GROUP_STEP_START_LEADING;
    int64_t claim = charge->claim;
    bool waits = !group_fence_start(w, node) && leads;
    if (waits || (redis_of(w, node)->alive && !without(w, WITHOUT_REAPING))) {
        step_end(w, node->index, STARTED_US);
        return;
    }
    redis_end(w, node, false);
    group_part_reset(charge);
    charge->claim = claim;
    charge->killed = charge->stuck = charge->reaped = false;
    charge->begun = true;
    charge->links_len = charge->leaving.len = 0;
    charge->bond = GROUP_BOND_BOUND;
    redis_start(w, node, leads ? -1 : node_by_id(w, &charge->basis.leader), charge->basis.term);
    if (leads) {
        stage(w, node->index, MS, marked, 0);
    } else {
        step_end(w, node->index, STARTED_US);
    }
}

/* On an engine that answers. */
static void told(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    GroupCharge *charge = charge_of(w, node->index);
    Redis *redis = redis_of(w, node);
    GroupStep step = charge->step.step;
    bool good = redis_answers(w, node) && redis->role != REDIS_LOADING;
    bool late = step == GROUP_STEP_DEMOTE && w->now - charge->paused_at >= GROUP_PAUSED_US;
    int source = step == GROUP_STEP_PROMOTE  ? -1
                 : step == GROUP_STEP_DEMOTE ? node_by_id(w, &charge->basis.heir)
                                             : node_by_id(w, &charge->basis.leader);
    charge->bond =
        step == GROUP_STEP_BIND || step == GROUP_STEP_ALONE ? GROUP_BOND_UNKNOWN : charge->bond;
    if (!good || late) { /* what came behind the pause the heir may lack */
        charge->paused_at = late ? 0 : charge->paused_at;
        step_end(w, node->index, late ? 200 : 200 * MS);
        return;
    }
    if (step == GROUP_STEP_DROP) {
        trace(w, "%s: it follows nobody", node->id.text);
        redis_link_drop(w, node);
        redis->detached = true;
    } else if (step == GROUP_STEP_BIND || step == GROUP_STEP_ALONE) {
        redis->alone = step == GROUP_STEP_ALONE;
        charge->bond = redis->alone ? GROUP_BOND_ALONE : GROUP_BOND_BOUND;
        trace(w, "%s: it acknowledges %s", node->id.text, redis->alone ? "alone" : "with others");
    } else if (step == GROUP_STEP_PAUSE) {
        redis->paused_until = w->now + PAUSE_US;
        charge->paused_at = w->now;
    } else {
        redis_replicaof(w, node, source, charge->basis.term);
    }
    if (step == GROUP_STEP_DEMOTE || step == GROUP_STEP_RESUME) {
        redis->paused_until = 0;
        charge->paused_at = 0;
    }
    step_end(w, node->index, step == GROUP_STEP_SOURCE ? STARTED_US : 200);
}

static void do_bid(World *w, int node, GroupCharge *charge)
{
    charge->bid_term = charge->basis.term;
    charge->bid_offset = charge->view.offset;
    charge->view.bid = true;
    trace(w, "%s: it has %lld", w->nodes[node].id.text, (long long)charge->bid_offset);
    group_agent_publish(w, node);
    step_end(w, node, 200);
}

/* ---- ending ------------------------------------------------------------------------------------
 */

static void ended(World *w, Node *node, GroupCharge *charge)
{
    group_part_reset(charge);
    step_end(w, node->index, 200);
}

static void ending(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    GroupCharge *charge = charge_of(w, node->index);
    const Redis *redis = redis_of(w, node);
    bool stop = charge->step.step == GROUP_STEP_STOP;
    int64_t passed = w->now - event->b;
    if (!redis->alive) {
        ended(w, node, charge);
    } else if (stop && passed > STOP_TIMEOUT_US) {
        redis_of(w, node)->stopping = true;
        redis_kill(w, node);
        stage(w, node->index, 5 * MS, ending, event->b);
    } else if (!stop && passed > KILL_TIMEOUT_US) {
        charge->stuck = true;
        step_end(w, node->index, 200 * MS);
    } else {
        stage(w, node->index, 5 * MS, ending, event->b);
    }
}

static void end_begins(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    GroupCharge *charge = charge_of(w, node->index);
    if (charge->step.step == GROUP_STEP_STOP) {
        redis_stop(w, node);
    } else {
        charge->killed = true;
        redis_kill(w, node);
    }
    stage(w, node->index, 5 * MS, ending, w->now);
}

/* ---- any of them -------------------------------------------------------------------------------
 */

static void run_step(World *w, const Event *event)
{
    int index = (int)event->a;
    GroupCharge *charge = charge_of(w, index);
    switch (charge->step.step) {
    case GROUP_STEP_WRITE:
        do_write(w, index, charge);
        return;
    case GROUP_STEP_MAKE:
        stage(w, index, roll(w, 5 * MS, 100 * MS), made, 0);
        return;
    case GROUP_STEP_START_LEADING:
    case GROUP_STEP_START_FOLLOWING:
        stage(w, index, roll_late(w, LATE_AGENT, 5 * MS, S), spawned, 0);
        return;
    case GROUP_STEP_SOURCE:
    case GROUP_STEP_DROP:
    case GROUP_STEP_PROMOTE:
    case GROUP_STEP_PAUSE:
    case GROUP_STEP_DEMOTE:
    case GROUP_STEP_RESUME:
    case GROUP_STEP_BIND:
    case GROUP_STEP_ALONE:
        stage(w, index, roll_late(w, LATE_AGENT, 500, S), told, 0);
        return;
    case GROUP_STEP_BID:
        do_bid(w, index, charge);
        return;
    case GROUP_STEP_STOP:
    case GROUP_STEP_KILL:
        stage(w, index, 100, end_begins, 0);
        return;
    case GROUP_STEP_REMOVE:
        stage(w, index, roll(w, 10 * MS, 200 * MS), removed, 0);
        return;
    case GROUP_STEP_WAIT:
        break;
    }
    UNREACHABLE();
}

void group_step(World *w, int node, const GroupDecision *decision)
{
    GroupCharge *charge = charge_of(w, node);
    trace(w, "%s: %s (%s)", w->nodes[node].id.text, group_step_name(decision->step), decision->why);
    charge->busy = true;
    charge->number++;
    charge->step = *decision;
    charge->basis = charge->view.record;
    stage(w, node, roll_late(w, LATE_AGENT, 500, HESITATION_US), run_step, 0);
}
