/*
 * How a link is made (PSYNC): a replica says which history it has, and how much; it goes on with
 * that, or gets a full copy. And WAIT: a primary asks its replicas what they have.
 */
#include "group_sim.h"

#define WAIT_US (200 * MS)

/* ---- asking ------------------------------------------------------------------------------------
 */

typedef struct Ask {
    int replica;
    bool knows;
    uint64_t history;
    int64_t offset;
} Ask;

typedef struct Answer {
    uint64_t conn;
    uint64_t history;
    bool full;
} Answer;

typedef struct Copy {
    uint64_t conn;
    uint64_t history;
    int64_t offset;
    size_t len;
    uint32_t ids[];
} Copy;

static void asked(World *w, const Event *event);
static void answered(World *w, const Event *event);
static void copy_came(World *w, const Event *event);

static void ask(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    RedisSource *source = &redis->source;
    if (redis->role != REDIS_REPLICA || source->phase != REDIS_LINK_NONE || source->node < 0 ||
        redis->detached) {
        return;
    }
    Node *from = &w->nodes[source->node];
    source->conn = ++w->lives;
    source->phase = REDIS_LINK_ASKED;
    source->asked_at = source->heard = w->now;
    Ask *what = mem_alloc(sizeof(Ask));
    *what = (Ask){.replica = node->index,
                  .knows = redis->knows_source,
                  .history = redis->history,
                  .offset = redis_offset(w, node)};
    send_to(w, node->host, from->host, &redis_of(w, from)->proc, asked, source->node,
            (int64_t)source->conn, what);
}

void redis_link_try(World *w, Node *node, int64_t us)
{
    Redis *redis = redis_of(w, node);
    redis->source.asked_at = w->now;
    later_in(w, &redis->proc, us, ask, node->index, 0);
}

/* ---- being asked -------------------------------------------------------------------------------
 */

/* The first replica of a primary gives another id to what is written. */
static void backlog_begin(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    if (redis->backlog < 0) {
        redis_history_new(w, node);
        redis->history2 = 0;
        redis->backlog = redis_offset(w, node);
    }
}

static bool goes_on(World *w, const Node *node, const Ask *what)
{
    const Redis *redis = redis_of(w, node);
    bool known = what->history == redis->history ||
                 (what->history == redis->history2 && what->offset <= redis->history2_end);
    return what->knows && known && redis->backlog >= 0 && what->offset >= redis->backlog &&
           what->offset <= redis_offset(w, node);
}

static void send_copy(World *w, Node *node, uint64_t conn, int replica)
{
    const Redis *redis = redis_of(w, node);
    size_t len = node->data.len;
    Copy *copy = mem_alloc(sizeof(Copy) + len * sizeof(uint32_t));
    *copy = (Copy){
        .conn = conn, .history = redis->history, .offset = redis_offset(w, node), .len = len};
    if (len > 0) {
        memcpy(copy->ids, node->data.ids, len * sizeof(uint32_t));
    }
    Node *to = &w->nodes[replica];
    send_late(w, roll_late(w, LATE_OTHER, 100 * MS, 3 * S), node->host, to->host,
              &redis_of(w, to)->proc, copy_came, replica, 0, copy);
}

static void asked(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    const Ask *what = event->data;
    bool can = redis->role == REDIS_PRIMARY ||
               (redis->role == REDIS_REPLICA && redis->source.phase == REDIS_LINK_UP);
    if (!redis->alive || redis->dying || !can) {
        return; /* it is refused, or nobody is there: the replica tries again */
    }
    bool full = !goes_on(w, node, what);
    if (full) {
        backlog_begin(w, node);
    }
    uint64_t conn = (uint64_t)event->b;
    RedisSender sender = {.conn = conn,
                          .node = what->replica,
                          .ready = !full,
                          .online = !full,
                          .sent = full ? redis_offset(w, node) : what->offset,
                          .acked = full ? 0 : what->offset,
                          .acked_at = w->now};
    vec_push(&redis->senders, sender);
    Node *to = &w->nodes[what->replica];
    trace(w, "%s: %s is to follow, %s", node->id.text, to->id.text,
          full ? "by a full copy" : "and goes on");
    Answer *answer = mem_alloc(sizeof(Answer));
    *answer = (Answer){.conn = conn, .history = redis->history, .full = full};
    send_to(w, node->host, to->host, &redis_of(w, to)->proc, answered, what->replica, 0, answer);
    if (full) {
        send_copy(w, node, conn, what->replica);
    } else {
        redis_feed(w, node);
    }
}

/* ---- the answer --------------------------------------------------------------------------------
 */

static void link_is_up(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    redis->source.phase = REDIS_LINK_UP;
    redis->source.heard = w->now;
    redis->knows_source = true;
    redis_pipe_read(w, node);
    redis_acknowledge(w, node);
    trace(w, "%s: its link is up, history %llu, offset %lld", node->id.text,
          (unsigned long long)redis->history, (long long)redis_offset(w, node));
}

/* Another id than its own: who follows it begins anew. */
static void go_on(World *w, Node *node, uint64_t history)
{
    Redis *redis = redis_of(w, node);
    if (redis->history != history) {
        redis->history2 = redis->history;
        redis->history2_end = redis_offset(w, node);
        redis->history = history;
        redis_senders_drop(w, node);
    }
    redis->backlog = redis->backlog < 0 ? redis_offset(w, node) : redis->backlog;
    link_is_up(w, node);
}

static void answered(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    const Answer *answer = event->data;
    if (redis->source.conn != answer->conn || redis->source.phase != REDIS_LINK_ASKED) {
        return;
    }
    redis->source.heard = w->now;
    if (answer->full) {
        redis->knows_source = false;
        redis->source.phase = REDIS_LINK_COPYING;
    } else {
        go_on(w, node, answer->history);
    }
}

/* ---- a full copy -------------------------------------------------------------------------------
 */

/* The directory stays what it is. */
static void fill(Data *data, const uint32_t *ids, size_t len)
{
    HaId incarnation = data->incarnation;
    HaData kind = data->kind;
    data_clear(data);
    for (size_t i = 0; i < len; i++) {
        data_append(data, ids[i]);
    }
    data->flushed = len;
    data->incarnation = incarnation;
    data->kind = kind;
    data->whole = true;
}

static void copy_loaded(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    RedisSource *source = &redis->source;
    fill(&node->data, source->copy.items, source->copy.len);
    redis->role = REDIS_REPLICA;
    redis->history = source->copy_history;
    redis->history2 = 0;
    redis->base = source->copy_offset - (int64_t)source->copy.len;
    redis->backlog = source->copy_offset;
    source->copy.len = 0;
    redis_senders_drop(w, node);
    link_is_up(w, node);
}

/* What was there goes from its memory. */
static void copy_came(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    RedisSource *source = &redis->source;
    const Copy *copy = event->data;
    if (source->conn != copy->conn || redis->role != REDIS_REPLICA) {
        return;
    }
    if (source->phase == REDIS_LINK_ASKED) { /* it has overtaken the answer */
        redis->knows_source = false;
    }
    source->phase = REDIS_LINK_LOADING;
    source->copy.len = 0;
    for (size_t i = 0; i < copy->len; i++) {
        vec_push(&source->copy, copy->ids[i]);
    }
    source->copy_history = copy->history;
    source->copy_offset = copy->offset;
    redis_log_replaced(w, node, &node->data);
    fill(&node->data, NULL, 0);
    redis->role = REDIS_LOADING;
    redis->loads_to = REDIS_REPLICA;
    later_in(w, &redis->proc, roll(w, 5 * MS, 100 * MS), copy_loaded, node->index, 0);
}

/* ---- WAIT --------------------------------------------------------------------------------------
 */

static int64_t count_with(World *w, const Node *node, int64_t offset)
{
    const Redis *redis = redis_of(w, node);
    int64_t count = 0;
    for (size_t i = 0; i < redis->senders.len; i++) {
        const RedisSender *sender = &redis->senders.items[i];
        count += sender->online && sender->acked >= offset ? 1 : 0;
    }
    return count;
}

static void tell(World *w, const Node *node, const RedisWait *wait, int64_t count)
{
    Front *front = &w->group->fronts[wait->front];
    int64_t *answer = mem_alloc(sizeof(int64_t));
    *answer = count;
    if (front->proc.gen == wait->front_life) {
        send_to(w, node->host, front->host, &front->proc, gate_waited, wait->front, wait->number,
                answer);
    } else {
        mem_free(answer);
    }
}

void redis_acked(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    for (int i = 0; i < SIM_PROXIES; i++) {
        RedisWait *wait = &redis->waits[i];
        int64_t count = wait->front >= 0 ? count_with(w, node, wait->target) : 0;
        if (count > 0) {
            tell(w, node, wait, count);
            wait->front = -1;
        }
    }
}

static void wait_over(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    for (int i = 0; i < SIM_PROXIES; i++) {
        RedisWait *wait = &redis->waits[i];
        if (wait->front >= 0 && wait->number == event->b) {
            tell(w, node, wait, 0);
            wait->front = -1;
        }
    }
}

void redis_waits_end(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    for (int i = 0; i < SIM_PROXIES; i++) {
        if (redis->waits[i].front >= 0) {
            tell(w, node, &redis->waits[i], -1);
            redis->waits[i].front = -1;
        }
    }
}

static void wait_for(World *w, Node *node, const RedisWait *wait)
{
    Redis *redis = redis_of(w, node);
    int64_t count = count_with(w, node, wait->target);
    if (count > 0) {
        tell(w, node, wait, count);
        return;
    }
    RedisWait *place = &redis->waits[wait->front];
    if (place->front >= 0 && place->number > wait->number) {
        return; /* of a connection that its front has left since */
    }
    *place = *wait;
    if (redis->paused_until <= w->now) {
        redis_append(w, node, MARK_GETACK);
        redis_log_write(w, node);
        redis_feed(w, node);
    }
    later_in(w, &redis->proc, WAIT_US, wait_over, node->index, wait->number);
}

void redis_wait_asked(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    if (!redis->alive || redis->dying) {
        return;
    }
    if (redis->busy_until > w->now || redis_log_blocks(w, node)) {
        GateAsk *again = mem_alloc(sizeof(GateAsk));
        *again = *(const GateAsk *)event->data;
        send_late(w, 2 * MS, node->host, node->host, &redis->proc, redis_wait_asked, event->a,
                  event->b, again);
        return;
    }
    const GateAsk *ask_what = event->data;
    RedisWait wait = {.front = ask_what->front,
                      .front_life = ask_what->life,
                      .number = event->b,
                      .target = redis_offset(w, node)};
    if (ask_what->echo) {
        tell(w, node, &wait, redis->alone ? 1 : 0);
    } else if (redis->role != REDIS_PRIMARY) {
        tell(w, node, &wait, -1);
    } else {
        wait_for(w, node, &wait);
    }
}
