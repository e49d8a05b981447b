/* Control: it makes the record, and wants things of nodes: standbys, others in their place, planned
 * changes, a rest, a start anew. */
#include "sim.h"

#define LOOK_US (400 * MS)

static void want_all(World *w, void (*change)(World *w, Goal *goal))
{
    for (int i = 0; i < w->nodes_len; i++) {
        Goal goal = w->store.now.goals[i];
        change(w, &goal);
        sim_store_want(w, i, &goal);
    }
}

/* What was removed is wanted again, as something new. */
static void look(World *w, const Event *event)
{
    (void)event;
    for (int i = 0; i < w->nodes_len; i++) {
        Goal goal = w->store.now.goals[i];
        const Seen *seen = &w->store.now.seen[i];
        if (goal.gone && seen->state == HA_STATE_EMPTY && !w->nodes[i].data.whole) {
            trace(w, "control: %s is wanted again", w->nodes[i].id.text);
            goal.gone = false;
            goal.wanted = true;
            sim_store_want(w, i, &goal);
        }
    }
    later(w, LOOK_US, look, 0, 0);
}

static void remove_standby(World *w)
{
    int node = (int)roll(w, 0, w->nodes_len - 1);
    const HaRecord *record = &w->store.now.record;
    bool led = ha_id_eq(&record->leader, &w->nodes[node].id);
    if (led || record->phase != HA_PHASE_LEADING) {
        return;
    }
    /* Nobody takes away a node that is needed. */
    if (ha_set_has(&record->set, &w->nodes[node].data.incarnation) && record->set.len < 2) {
        return;
    }
    trace(w, "control: %s is replaced", w->nodes[node].id.text);
    Goal goal = w->store.now.goals[node];
    goal.gone = true;
    goal.wanted = false;
    sim_store_want(w, node, &goal);
}

static void rest_one(World *w, Goal *goal)
{
    (void)w;
    goal->run = false;
}

static void run_one(World *w, Goal *goal)
{
    (void)w;
    goal->run = true;
}

static void run_again(World *w, const Event *event)
{
    (void)event;
    trace(w, "control: all run");
    want_all(w, run_one);
}

static void hand_over(World *w, Goal *goal)
{
    goal->handover = w->handovers;
    goal->heir = w->nodes[w->handovers % w->nodes_len].id;
}

static void start_anew(World *w, Goal *goal)
{
    goal->reboot = w->reboots;
}

void control_act(World *w)
{
    int64_t dice = roll(w, 0, 99);
    if (dice < 35) {
        w->handovers++;
        trace(w, "control: a planned change to n%lld", (long long)(w->handovers % w->nodes_len));
        want_all(w, hand_over);
    } else if (dice < 70) {
        remove_standby(w);
    } else if (dice < 90) {
        w->reboots++;
        trace(w, "control: a start anew");
        want_all(w, start_anew);
    } else {
        trace(w, "control: all rest");
        want_all(w, rest_one);
        later(w, roll(w, 200 * MS, 4 * S), run_again, 0, 0);
    }
}

void control_calm(World *w)
{
    want_all(w, run_one);
}

void control_begin(World *w)
{
    const HaRecord record = {
        .term = 1, .leader = w->nodes[0].id, .proven = true, .strict = w->strict};
    char *text = sim_record_text(w, &record);
    sim_store_first(w, text);
    mem_free(text);
    for (int i = 0; i < w->nodes_len; i++) {
        const Goal goal = {.run = true, .wanted = true};
        sim_store_want(w, i, &goal);
    }
    later(w, LOOK_US, look, 0, 0);
}
