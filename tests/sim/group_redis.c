/*
 * Redis as a process: it starts from its log, follows or takes writes, pauses them, ends in order
 * or at once. One thread does all of it: what stands in its way (a script, a disk that does not
 * take the log) holds up everything.
 */
#include "group_sim.h"

#define TICK_US   (100 * MS)
#define SHUT_US   (3 * S) /* an end in order waits so long for the replicas */
#define PAUSED_US (2 * MS)
#define LOAD_US   2 /* a write */

/* ---- what it has -------------------------------------------------------------------------------
 */

int64_t redis_offset(const World *w, const Node *node)
{
    return w->group->redis[node->index].base + (int64_t)node->data.len;
}

void redis_history_new(World *w, Node *node)
{
    redis_of(w, node)->history = (uint64_t)++w->group->histories;
}

uint32_t redis_append(World *w, Node *node, GroupMark mark)
{
    GroupSim *group = w->group;
    const GroupWrite write = {
        .mark = mark, .node = node->index, .at = w->now, .term = redis_of(w, node)->term};
    vec_push(&group->writes, write);
    uint32_t id = (uint32_t)group->writes.len - 1;
    data_append(&node->data, id);
    return id;
}

/* ---- starting ----------------------------------------------------------------------------------
 */

static void tick(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    later_in(w, &redis->proc, TICK_US, tick, event->a, 0);
    if (redis->busy_until <= w->now && !redis_log_blocks(w, node)) {
        redis_log_tick(w, node);
        redis_stream_tick(w, node);
    }
}

static void loaded(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    redis->role = redis->loads_to;
    trace(w, "%s: it has loaded %zu writes", node->id.text, node->data.len);
    if (redis->role == REDIS_PRIMARY) {
        group_check_open(w, node, false);
    } else {
        redis_link_try(w, node, 0);
    }
}

/* A new replication id, and an offset of 0, whatever the log has. */
void redis_start(World *w, Node *node, int source, int64_t term)
{
    Redis *redis = redis_of(w, node);
    ASSERT(!redis->alive);
    proc_begin(w, &redis->proc);
    redis->alive = redis->guarded = true;
    redis->asked = redis->alone = redis->stopping = redis->knows_source = false;
    redis->detached = false;
    redis->role = REDIS_LOADING;
    redis->loads_to = source < 0 ? REDIS_PRIMARY : REDIS_REPLICA;
    redis->term = term;
    redis->paused_until = redis->busy_until = 0;
    redis_history_new(w, node);
    redis->history2 = 0;
    redis->base = -(int64_t)node->data.len;
    redis->backlog = -1;
    redis->source.node = source;
    redis_log_begin(node);
    trace(w, "%s: Redis starts as a %s", node->id.text, source < 0 ? "primary" : "replica");
    int64_t us = roll(w, 20 * MS, 200 * MS) + (int64_t)node->data.len * LOAD_US;
    later_in(w, &redis->proc, us, loaded, node->index, 0);
    later_in(w, &redis->proc, TICK_US, tick, node->index, 0);
}

/* ---- REPLICAOF ---------------------------------------------------------------------------------
 */

static void become_primary(World *w, Node *node, int64_t term)
{
    Redis *redis = redis_of(w, node);
    int64_t offset = redis_offset(w, node);
    redis->history2 = redis->history;
    redis->history2_end = offset;
    redis_history_new(w, node);
    redis->backlog = redis->backlog < 0 ? offset : redis->backlog;
    redis->role = REDIS_PRIMARY;
    redis->detached = false;
    redis->term = term;
    trace(w, "%s: it is a primary, history %llu from %lld on", node->id.text,
          (unsigned long long)redis->history, (long long)offset);
    group_check_open(w, node, true);
    redis_link_drop(w, node);
    redis_senders_drop(w, node);
    redis->source.node = -1;
}

void redis_replicaof(World *w, Node *node, int source, int64_t term)
{
    Redis *redis = redis_of(w, node);
    if (source < 0) {
        if (redis->role != REDIS_PRIMARY) {
            become_primary(w, node, term);
        }
        return;
    }
    if (redis->role == REDIS_REPLICA && redis->source.node == source && !redis->detached) {
        return;
    }
    redis->detached = false;
    if (redis->role == REDIS_PRIMARY) { /* it may go on with its own stream, as the other has it */
        redis->role = REDIS_REPLICA;
        redis->knows_source = true;
        redis_waits_end(w, node);
    } else {
        redis_link_drop(w, node);
    }
    trace(w, "%s: it follows %s", node->id.text, w->nodes[source].id.text);
    redis->source.node = source;
    redis_link_try(w, node, 0);
}

/* ---- ending ------------------------------------------------------------------------------------
 */

void redis_end(World *w, Node *node, bool power)
{
    Redis *redis = redis_of(w, node);
    if (!redis->alive) {
        return;
    }
    trace(w, "%s: Redis has ended%s", node->id.text, power ? ", without power" : "");
    if (!power) {
        redis_senders_drop(w, node);
        redis_link_drop(w, node);
    } else {
        redis->senders.len = 0;
        redis->source.conn = 0;
        redis->source.phase = REDIS_LINK_NONE;
    }
    redis->source.pipe.len = redis->source.copy.len = 0;
    redis_log_cut(w, node, power);
    if (!power) {
        front_cut(w, node);
    }
    proc_begin(w, &redis->proc);
    redis->asked = redis->stopping;
    redis->alive = redis->dying = redis->stopping = redis->guarded = false;
    redis->role = REDIS_OFF;
    for (int i = 0; i < SIM_PROXIES; i++) {
        redis->waits[i].front = -1;
    }
    group_agent_look_soon(w, node->index, roll(w, 300, 3 * MS));
}

static void dies(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    if (redis->dying && redis->proc.gen == (uint64_t)event->b) {
        if (disk_hung(w, node)) {
            later(w, 20 * MS, dies, event->a, event->b);
        } else {
            redis_end(w, node, false);
        }
    }
}

/* It waits for a disk that does not answer before it is gone. */
void redis_kill(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    if (!redis->alive || redis->dying) {
        return;
    }
    if (redis->postponed_at == 0 || !disk_hung(w, node)) {
        redis_end(w, node, false);
        return;
    }
    redis->dying = true;
    proc_begin(w, &redis->proc);
    later(w, 20 * MS, dies, node->index, (int64_t)redis->proc.gen);
}

static bool replicas_lag(World *w, const Node *node)
{
    const Redis *redis = redis_of(w, node);
    for (size_t i = 0; i < redis->senders.len; i++) {
        const RedisSender *sender = &redis->senders.items[i];
        if (sender->online && sender->acked < redis_offset(w, node)) {
            return true;
        }
    }
    return false;
}

static void shut(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    bool lag = redis->role == REDIS_PRIMARY && replicas_lag(w, node);
    if (disk_hung(w, node) || (lag && w->now - event->b < SHUT_US)) {
        later_in(w, &redis->proc, 10 * MS, shut, event->a, event->b);
        return;
    }
    redis_log_write(w, node);
    redis_end(w, node, false);
}

void redis_stop(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    if (redis->alive && !redis->dying && !redis->stopping) {
        redis->stopping = true;
        later_in(w, &redis->proc, roll(w, MS, 20 * MS), shut, node->index, w->now);
    }
}

/* ---- commands ----------------------------------------------------------------------------------
 */

typedef struct Command {
    int node;
    uint64_t run;
} Command;

static void reply(World *w, const Node *node, uint32_t op, RedisAnswer answer, uint32_t write)
{
    const GroupOp *what = &w->group->ops.items[op];
    Front *front = &w->group->fronts[what->front];
    FrontReply *text = mem_alloc(sizeof(FrontReply));
    *text = (FrontReply){.run = redis_of(w, node)->proc.gen, .answer = answer, .write = write};
    send_to(w, node->host, front->host, &front->proc, front_reply, what->front, op, text);
}

/* The replicas' sockets get it in front of the client's, and the log before either. */
static void execute(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    bool writes = redis->role == REDIS_PRIMARY;
    bool waits = redis->busy_until > w->now || redis_log_blocks(w, node) ||
                 (writes && (redis->paused_until > w->now || redis->stopping));
    if (waits) {
        later_in(w, &redis->proc, roll(w, 500, PAUSED_US), execute, event->a, event->b);
        return;
    }
    uint32_t op = (uint32_t)event->b;
    if (!writes) {
        reply(w, node, op, ANSWER_REFUSED, 0);
        return;
    }
    uint32_t write = redis_append(w, node, MARK_WRITE);
    w->group->ops.items[op].write = write;
    redis_log_write(w, node);
    redis_feed(w, node);
    reply(w, node, op, ANSWER_DONE, write);
}

static void arrive(World *w, const Event *event)
{
    const Command *command = event->data;
    Redis *redis = &w->group->redis[command->node];
    if (redis->alive && !redis->dying && redis->proc.gen == command->run) {
        later_in(w, &redis->proc, roll(w, 20, 150), execute, command->node, event->b);
    } else {
        front_reset(w, (int)event->a, &w->nodes[command->node], command->run);
    }
}

void redis_command(World *w, Node *node, int front, uint32_t op)
{
    Command *command = mem_alloc(sizeof(Command));
    *command = (Command){.node = node->index, .run = w->group->fronts[front].run};
    send_to(w, w->group->fronts[front].host, node->host, NULL, arrive, front, op, command);
}

/* ---- looking at it -----------------------------------------------------------------------------
 */

bool redis_answers(const World *w, const Node *node)
{
    const Redis *redis = &w->group->redis[node->index];
    return redis->alive && !redis->dying && !proc_paused(w, &redis->proc) &&
           redis->busy_until <= w->now;
}
