/*
 * The gate of a durable group's front: replies to writes wait until a replica has what they
 * acknowledge. It asks in rounds, one at a time, for all whose replies had come before; where no
 * replica answers, whether the primary may acknowledge alone. While the primary hands over, a gate
 * that is lost is not the last word.
 */
#include "group_sim.h"

#define WAIT_MAX_US (5 * S)

static bool any_waits(const World *w, const Front *front)
{
    for (size_t i = 0; i < front->ops_len; i++) {
        if (w->group->ops.items[front->ops[i]].state == GROUP_OP_GATED) {
            return true;
        }
    }
    return false;
}

static void ask(World *w, Front *front)
{
    Gate *gate = &front->gate;
    if (gate->state != GATE_IDLE || front->run == 0 || !any_waits(w, front)) {
        return;
    }
    Node *node = &w->nodes[gate->node];
    GateAsk *what = mem_alloc(sizeof(GateAsk));
    *what = (GateAsk){.front = (int)(front - w->group->fronts),
                      .life = front->proc.gen,
                      .run = front->run,
                      .echo = gate->alone};
    gate->round++;
    gate->number = (int64_t)++w->lives;
    gate->state = gate->alone ? GATE_ECHOES : GATE_WAITS;
    send_to(w, front->host, node->host, &redis_of(w, node)->proc, redis_wait_asked, node->index,
            gate->number, what);
}

void gate_hold(World *w, Front *front, uint32_t op)
{
    GroupOp *what = &w->group->ops.items[op];
    what->state = GROUP_OP_GATED;
    what->gated_since = w->now;
    what->round = front->gate.round + 1;
    ask(w, front);
}

/* Those whose replies had come before the round was sent. */
static void release(World *w, Front *front, int64_t round, bool alone)
{
    for (size_t i = front->ops_len; i-- > 0;) {
        uint32_t op = front->ops[i];
        const GroupOp *what = &w->group->ops.items[op];
        if (what->state == GROUP_OP_GATED && what->round <= round) {
            w->group->writes.items[what->write].alone = alone;
            front_over(w, front, op, true, false);
        }
    }
}

void gate_waited(World *w, const Event *event)
{
    Front *front = &w->group->fronts[event->a];
    Gate *gate = &front->gate;
    int64_t count = *(const int64_t *)event->data;
    bool awaits = gate->state == GATE_WAITS || gate->state == GATE_ECHOES;
    if (!awaits || gate->number != event->b) {
        return;
    }
    bool echoed = gate->state == GATE_ECHOES;
    if (count < 0) { /* it is no primary any more */
        front_gate_lost(w, front);
        return;
    }
    gate->state = GATE_IDLE;
    gate->alone = echoed ? count > 0 : count == 0; /* if it may be */
    if (count > 0) {
        release(w, front, gate->round, echoed);
    }
    ask(w, front);
}

bool gate_lost(World *w, Front *front)
{
    Gate *gate = &front->gate;
    bool stays = front->hold && front->primary == gate->node && any_waits(w, front);
    gate->state = stays ? GATE_HANDOVER : GATE_IDLE;
    return !stays;
}

/* The clients' own connections last, where it may have handed over. */
void front_gate_lost(World *w, Front *front)
{
    if (gate_lost(w, front)) {
        front_lost(w, front);
    }
}

void gate_settle(World *w, Front *front)
{
    Gate *gate = &front->gate;
    if (gate->node < 0) {
        return;
    }
    if (gate->node == front->handed && gate->node != front->primary) {
        release(w, front, INT64_MAX, false);
    }
    if (gate->state == GATE_HANDOVER && (!front->hold || gate->node != front->primary)) {
        gate->state = GATE_IDLE;
        front_lost(w, front);
    }
}

void gate_tick(World *w, Front *front)
{
    for (size_t i = front->ops_len; i-- > 0;) {
        const GroupOp *op = &w->group->ops.items[front->ops[i]];
        if (op->state == GROUP_OP_GATED && w->now - op->gated_since > WAIT_MAX_US) {
            front_over(w, front, front->ops[i], false, false);
        }
    }
    ask(w, front);
}
