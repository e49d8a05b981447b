/*
 * Replication, once a link is made: what a primary writes goes to its replicas behind the reply, as
 * far as their sockets take it; what a socket took is read whatever becomes of the sender, but for
 * a host without power. A replica says each second, or when it is asked, what it has.
 */
#include "group_sim.h"

#define TIMEOUT_US (10 * S) /* repl-timeout */
#define SECOND_US  S
#define ASKED_US   S
#define AGAIN_US   (30 * MS)

static RedisSender *by_conn(Redis *redis, uint64_t conn)
{
    for (size_t i = 0; i < redis->senders.len; i++) {
        if (redis->senders.items[i].conn == conn) {
            return &redis->senders.items[i];
        }
    }
    return NULL;
}

/* ---- the primary's end -------------------------------------------------------------------------
 */

static void sender_gone(World *w, const Event *event)
{
    Redis *redis = &w->group->redis[event->a];
    RedisSender *sender = by_conn(redis, (uint64_t)event->b);
    if (sender != NULL) {
        size_t i = (size_t)(sender - redis->senders.items);
        memmove(sender, sender + 1, (--redis->senders.len - i) * sizeof(*sender));
    }
}

static void deliver(World *w, const Event *event);
static void pipe_end(World *w, const Event *event);

static void pump(World *w, Node *node, RedisSender *sender)
{
    Node *replica = &w->nodes[sender->node];
    Redis *to = redis_of(w, replica);
    int64_t end = redis_offset(w, node);
    if (sender->deaf || sender->sent >= end) {
        return;
    }
    if (to->source.conn != sender->conn) { /* it is told so */
        sender->sent = end;
        send_to(w, replica->host, node->host, &redis_of(w, node)->proc, sender_gone, node->index,
                (int64_t)sender->conn, NULL);
        return;
    }
    int64_t base = redis_of(w, node)->base;
    size_t before = to->source.pipe.len;
    while (sender->sent < end && to->source.pipe.len < GROUP_SOCKET) {
        ASSERT(sender->sent >= base);
        vec_push(&to->source.pipe, node->data.ids[sender->sent - base]);
        sender->sent++;
    }
    if (to->source.pipe.len > before) {
        send_to(w, node->host, replica->host, &to->proc, deliver, replica->index,
                (int64_t)sender->conn, NULL);
    }
}

static void pump_later(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    RedisSender *sender = by_conn(redis_of(w, node), (uint64_t)event->b);
    if (sender != NULL) {
        sender->planned = false;
        pump(w, node, sender);
    }
}

void redis_feed(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    for (size_t i = 0; i < redis->senders.len; i++) {
        RedisSender *sender = &redis->senders.items[i];
        if (!sender->ready || sender->planned) {
            continue;
        }
        if (chance(w, w->late[LATE_SENDER])) {
            sender->planned = true;
            later_in(w, &redis->proc, roll(w, 100, 500 * MS), pump_later, node->index,
                     (int64_t)sender->conn);
        } else {
            pump(w, node, sender);
        }
    }
}

void redis_senders_drop(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    for (size_t i = 0; i < redis->senders.len; i++) {
        const RedisSender *sender = &redis->senders.items[i];
        Node *replica = &w->nodes[sender->node];
        send_to(w, node->host, replica->host, &redis_of(w, replica)->proc, pipe_end, sender->node,
                (int64_t)sender->conn, NULL);
    }
    redis->senders.len = 0;
}

static void acked(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    RedisSender *sender = by_conn(redis_of(w, node), (uint64_t)event->b);
    const int64_t *offset = event->data;
    if (sender == NULL) {
        return;
    }
    sender->acked = *offset > sender->acked ? *offset : sender->acked;
    sender->acked_at = w->now;
    sender->online = sender->ready = true;
    pump(w, node, sender);
    redis_acked(w, node);
}

/* ---- the replica's end -------------------------------------------------------------------------
 */

void redis_acknowledge(World *w, Node *node)
{
    const RedisSource *source = &redis_of(w, node)->source;
    Node *to = &w->nodes[source->node];
    int64_t *offset = mem_alloc(sizeof(int64_t));
    *offset = redis_offset(w, node);
    send_to(w, node->host, to->host, &redis_of(w, to)->proc, acked, source->node,
            (int64_t)source->conn, offset);
}

void redis_pipe_read(World *w, Node *node)
{
    RedisSource *source = &redis_of(w, node)->source;
    bool asked = false;
    bool full = source->pipe.len == GROUP_SOCKET;
    for (size_t i = 0; i < source->pipe.len; i++) {
        uint32_t id = source->pipe.items[i];
        data_append(&node->data, id);
        asked = asked || w->group->writes.items[id].mark == MARK_GETACK;
    }
    source->pipe.len = 0;
    source->heard = w->now;
    redis_log_write(w, node);
    redis_feed(w, node);
    if (asked) {
        redis_acknowledge(w, node);
    }
    if (full) {
        Node *from = &w->nodes[source->node];
        send_to(w, node->host, from->host, &redis_of(w, from)->proc, pump_later, source->node,
                (int64_t)source->conn, NULL);
    }
}

static void deliver(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    if (redis->source.conn != (uint64_t)event->b || redis->source.phase != REDIS_LINK_UP) {
        return; /* gone; or it is read when the link is up */
    }
    if (redis_log_blocks(w, node)) {
        later_in(w, &redis->proc, MS, deliver, event->a, event->b);
        return;
    }
    redis_pipe_read(w, node);
}

static void disconnected(World *w, Node *node)
{
    RedisSource *source = &redis_of(w, node)->source;
    source->conn = 0;
    source->phase = REDIS_LINK_NONE;
    source->pipe.len = 0;
    redis_link_try(w, node, AGAIN_US);
}

/* Behind all that was sent. */
static void pipe_end(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    if (redis->source.conn != (uint64_t)event->b) {
        return;
    }
    if (redis->role == REDIS_LOADING || redis_log_blocks(w, node)) {
        later_in(w, &redis->proc, 10 * MS, pipe_end, event->a, event->b);
        return;
    }
    if (redis->source.phase == REDIS_LINK_UP) {
        redis_pipe_read(w, node);
    }
    disconnected(w, node);
}

void redis_link_drop(World *w, Node *node)
{
    RedisSource *source = &redis_of(w, node)->source;
    if (source->conn != 0) {
        Node *from = &w->nodes[source->node];
        send_to(w, node->host, from->host, &redis_of(w, from)->proc, sender_gone, source->node,
                (int64_t)source->conn, NULL);
    }
    source->conn = 0;
    source->phase = REDIS_LINK_NONE;
    source->pipe.len = source->copy.len = 0;
}

/* ---- each tenth of a second --------------------------------------------------------------------
 */

static void senders_tick(World *w, Node *node, bool second)
{
    Redis *redis = redis_of(w, node);
    if (second && redis->role == REDIS_PRIMARY && redis->senders.len > 0) {
        redis_append(w, node, MARK_PING);
        redis_log_write(w, node);
    }
    for (size_t i = redis->senders.len; i-- > 0;) {
        const RedisSender *sender = &redis->senders.items[i];
        if (w->now - sender->acked_at > TIMEOUT_US) {
            Node *replica = &w->nodes[sender->node];
            trace(w, "%s: it gives up its link to %s", node->id.text, replica->id.text);
            send_to(w, node->host, replica->host, &redis_of(w, replica)->proc, pipe_end,
                    sender->node, (int64_t)sender->conn, NULL);
            const Event gone = {.a = node->index, .b = (int64_t)sender->conn};
            sender_gone(w, &gone);
        }
    }
    redis_feed(w, node);
}

static void source_tick(World *w, Node *node, bool second)
{
    Redis *redis = redis_of(w, node);
    const RedisSource *source = &redis->source;
    if (redis->role != REDIS_REPLICA || source->node < 0) {
        return;
    }
    bool up = source->phase == REDIS_LINK_UP;
    bool asks = source->phase == REDIS_LINK_ASKED || source->phase == REDIS_LINK_NONE;
    bool given_up =
        asks ? w->now - source->asked_at > ASKED_US : w->now - source->heard > TIMEOUT_US;
    if (given_up) {
        redis_link_drop(w, node);
        redis_link_try(w, node, 0);
    } else if (up && second) {
        redis_acknowledge(w, node);
    }
}

void redis_stream_tick(World *w, Node *node)
{
    bool second = w->now / SECOND_US != (w->now - 100 * MS) / SECOND_US;
    senders_tick(w, node, second);
    source_tick(w, node, second);
}
