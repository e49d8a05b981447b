/* Control of a group: it makes the record, and wants things of nodes: members replaced, planned
 * changes, a rest, a start anew. */
#include "group_sim.h"

#define LOOK_US (400 * MS)

static void want_all(World *w, void (*change)(World *w, GroupGoal *goal))
{
    for (int i = 0; i < w->nodes_len; i++) {
        GroupGoal goal = w->store.now.wants[i];
        change(w, &goal);
        sim_store_want(w, i, &goal);
    }
}

/* What was removed is wanted again, as something new. */
static void look(World *w, const Event *event)
{
    (void)event;
    for (int i = 0; i < w->nodes_len; i++) {
        GroupGoal goal = w->store.now.wants[i];
        bool gone = goal.gone && w->store.now.said[i].state == HA_STATE_EMPTY;
        if (gone && !w->nodes[i].data.whole) {
            trace(w, "control: %s is wanted again", w->nodes[i].id.text);
            goal.gone = false;
            sim_store_want(w, i, &goal);
        }
    }
    later(w, LOOK_US, look, 0, 0);
}

/* One at a time; also the leader, who hands over first. */
void group_control_remove(World *w, int node)
{
    if (!group_check_settled(w)) {
        return; /* nobody takes away a node that is needed */
    }
    trace(w, "control: %s is replaced", w->nodes[node].id.text);
    GroupGoal goal = w->store.now.wants[node];
    goal.gone = true;
    sim_store_want(w, node, &goal);
}

static void rest_one(World *w, GroupGoal *goal)
{
    (void)w;
    goal->run = false;
}

static void run_one(World *w, GroupGoal *goal)
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

static void hand_over(World *w, GroupGoal *goal)
{
    goal->handover = w->handovers;
}

static void start_anew(World *w, GroupGoal *goal)
{
    goal->reboot = w->reboots;
}

void group_control_handover(World *w, bool alone)
{
    (void)alone;
    w->handovers++;
    trace(w, "control: a planned change");
    want_all(w, hand_over);
}

void group_control_act(World *w, bool alone)
{
    int64_t dice = roll(w, 0, 99);
    if (dice < 35) {
        group_control_handover(w, alone);
    } else if (dice < 65) {
        group_control_remove(w, (int)roll(w, 0, w->nodes_len - 1));
    } else if (dice < 88) {
        w->reboots++;
        trace(w, "control: a start anew");
        want_all(w, start_anew);
    } else {
        trace(w, "control: all rest");
        want_all(w, rest_one);
        later(w, roll(w, 200 * MS, 4 * S), run_again, 0, 0);
    }
}

void group_control_calm(World *w)
{
    want_all(w, run_one);
}

void group_control_begin(World *w)
{
    const GroupRecord record = {.term = 1, .leader = w->nodes[0].id};
    char *text = sim_record_text(w, &record);
    sim_store_first(w, text);
    mem_free(text);
    for (int i = 0; i < w->nodes_len; i++) {
        const GroupGoal goal = {.run = true};
        sim_store_want(w, i, &goal);
    }
    later(w, LOOK_US, look, 0, 0);
}
