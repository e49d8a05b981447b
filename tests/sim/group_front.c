/*
 * A front: it follows the record by what the agent of its host tells it, sends commands to the
 * primary while that serves, holds them otherwise, and cuts what is under way on a node that has
 * lost its role. Replies of a durable group wait at the gate (group_gate.c).
 */
#include "group_sim.h"

#define TICK_US    (50 * MS)
#define HOLD_US    (5 * S)
#define CONNECT_US (400 * MS)

static void list_drop(Front *front, uint32_t op)
{
    for (size_t i = 0; i < front->ops_len; i++) {
        if (front->ops[i] == op) {
            memmove(&front->ops[i], &front->ops[i + 1],
                    (front->ops_len - i - 1) * sizeof(front->ops[0]));
            front->ops_len--;
            return;
        }
    }
}

void front_over(World *w, Front *front, uint32_t op, bool known, bool refused)
{
    list_drop(front, op);
    if (w->group->ops.items[op].state != GROUP_OP_OVER) {
        group_client_answer(w, op, known, refused);
    }
}

static bool holds(const World *w, const Front *front)
{
    return front->hold && w->now - front->hold_since < HOLD_US;
}

static void flush(World *w, Front *front)
{
    if (front->at < 0 || front->run == 0 || holds(w, front)) {
        return;
    }
    for (size_t i = 0; i < front->ops_len; i++) {
        GroupOp *op = &w->group->ops.items[front->ops[i]];
        if (op->state == GROUP_OP_HELD) {
            op->state = GROUP_OP_SENT;
            op->term = front->term;
            redis_command(w, &w->nodes[front->at], op->front, front->ops[i]);
        }
    }
}

void front_take(World *w, int index, uint32_t op)
{
    Front *front = &w->group->fronts[index];
    ASSERT(front->ops_len < GROUP_HELD);
    front->ops[front->ops_len++] = op;
    w->group->ops.items[op].held_since = w->now;
    flush(w, front);
}

/* ---- connections -------------------------------------------------------------------------------
 */

static void connected(World *w, const Event *event)
{
    Front *front = &w->group->fronts[event->a];
    const uint64_t *run = event->data;
    if (front->at == (int)event->b && front->run == 0) {
        front->run = *run;
        front->gate.state = GATE_IDLE;
        front->gate.node = front->at;
        front->gate.alone = false;
        flush(w, front);
    }
}

static void greet(World *w, const Event *event)
{
    const Node *node = &w->nodes[event->a];
    const Redis *redis = redis_of(w, node);
    Front *front = &w->group->fronts[event->b];
    if (redis->alive && !redis->dying && !redis->stopping) {
        uint64_t *run = mem_alloc(sizeof(uint64_t));
        *run = redis->proc.gen;
        send_to(w, node->host, front->host, &front->proc, connected, event->b, event->a, run);
    }
}

static void connect_now(World *w, Front *front)
{
    if (front->primary < 0 || front->run != 0 || front->gate.state == GATE_HANDOVER) {
        return;
    }
    Node *node = &w->nodes[front->primary];
    front->at = front->primary;
    front->connect_at = w->now;
    send_to(w, front->host, node->host, &redis_of(w, node)->proc, greet, node->index,
            front - w->group->fronts, NULL);
}

/* What was sent and not answered: nobody knows. */
void front_lost(World *w, Front *front)
{
    bool over = gate_lost(w, front);
    front->at = -1;
    front->run = 0;
    for (size_t i = front->ops_len; i-- > 0;) {
        uint32_t op = front->ops[i];
        GroupOpState state = w->group->ops.items[op].state;
        if (state == GROUP_OP_SENT || (state == GROUP_OP_GATED && over)) {
            front_over(w, front, op, false, false);
        }
    }
}

static void eof(World *w, const Event *event)
{
    Front *front = &w->group->fronts[event->a];
    if (front->run != 0 && front->run == (uint64_t)event->b) {
        front_lost(w, front);
    }
}

void front_reset(World *w, int index, const Node *node, uint64_t run)
{
    Front *front = &w->group->fronts[index];
    send_to(w, node->host, front->host, &front->proc, eof, index, (int64_t)run, NULL);
}

void front_cut(World *w, Node *node)
{
    uint64_t run = redis_of(w, node)->proc.gen;
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->group->fronts[i].up && w->group->fronts[i].run == run) {
            front_reset(w, i, node, run);
        }
    }
}

/* ---- replies -----------------------------------------------------------------------------------
 */

/* What a node refuses that has changed its role goes to the next one. */
void front_reply(World *w, const Event *event)
{
    Front *front = &w->group->fronts[event->a];
    uint32_t op = (uint32_t)event->b;
    GroupOp *what = &w->group->ops.items[op];
    const FrontReply *reply = event->data;
    if (what->state != GROUP_OP_SENT || reply->run != front->run) {
        return;
    }
    if (reply->answer == ANSWER_REFUSED) {
        what->state = GROUP_OP_HELD;
        return; /* the next tick sends it */
    }
    if (w->group->durable && !without(w, WITHOUT_GATE)) {
        gate_hold(w, front, op);
    } else {
        front_over(w, front, op, true, false);
    }
}

/* ---- its configuration -------------------------------------------------------------------------
 */

/* Not before the engine takes writes, in the term that the record gave to it. */
static int primary_of(const World *w, const Snapshot *snap)
{
    int leader = node_by_id(w, &snap->group.leader);
    const GroupSeen *seen = &snap->said[leader];
    bool runs = seen->state == HA_STATE_LEADING || seen->state == HA_STATE_SILENT;
    return group_record_serves(&snap->group) && runs && seen->term == snap->group.term ? leader
                                                                                       : -1;
}

void front_heard(World *w, int index, const Snapshot *snap)
{
    Front *front = &w->group->fronts[index];
    if (snap->revision <= front->revision) {
        return;
    }
    bool hold = snap->group.phase == HA_PHASE_YIELDING;
    front->revision = snap->revision;
    front->term = snap->group.term;
    front->primary = primary_of(w, snap);
    front->handed = node_by_id(w, &snap->group.former);
    front->hold_since = hold && !front->hold ? w->now : front->hold_since;
    front->hold = hold;
    gate_settle(w, front);
    if (front->at >= 0 && front->at != front->primary) {
        front_lost(w, front);
    }
    if (front->at < 0) {
        connect_now(w, front);
    }
    flush(w, front);
}

static void tick(World *w, const Event *event)
{
    Front *front = &w->group->fronts[event->a];
    later_in(w, &front->proc, TICK_US, tick, event->a, 0);
    if (front->run == 0 && w->now - front->connect_at > CONNECT_US) {
        connect_now(w, front);
    }
    flush(w, front);
    gate_tick(w, front);
    for (size_t i = front->ops_len; i-- > 0;) {
        const GroupOp *op = &w->group->ops.items[front->ops[i]];
        if (op->state == GROUP_OP_HELD && w->now - op->held_since > HOLD_US) {
            front_over(w, front, front->ops[i], false, true);
        }
    }
}

/* ---- its life ----------------------------------------------------------------------------------
 */

void front_start(World *w, int index)
{
    Front *front = &w->group->fronts[index];
    int host = front->host;
    *front = (Front){.up = true,
                     .host = host,
                     .primary = -1,
                     .handed = -1,
                     .at = -1,
                     .gate.node = -1,
                     .proc.gen = ++w->lives};
    later_in(w, &front->proc, roll(w, 1 * MS, TICK_US), tick, index, 0);
    const Agent *agent = &w->agents[host];
    if (agent->up && agent->snap.revision > 0) {
        front_heard(w, index, &agent->snap);
    }
}

void front_kill(World *w, int index)
{
    Front *front = &w->group->fronts[index];
    if (!front->up) {
        return;
    }
    front->up = false;
    proc_begin(w, &front->proc);
    while (front->ops_len > 0) {
        front_over(w, front, front->ops[0], false, false);
    }
}
