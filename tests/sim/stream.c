/*
 * Streaming replication: a standby's receiver connects to the node that it is told to follow, and
 * the walsender there sends what is flushed. A slot is one walsender's at a time. A silent link is
 * given up by both ends after a while; a message that was on its way arrives all the same.
 */
#include "sim.h"

#define TIMEOUT_US (1500 * MS) /* of wal_sender_timeout and wal_receiver_timeout */
#define RETRY_US   (100 * MS)  /* wal_retrieve_retry_interval */

/* WAL on its way. Never more than one timeline's. */
typedef struct Chunk {
    uint64_t conn;
    int tli;
    size_t tli_begin;
    size_t from;
    size_t len;
    uint32_t ids[];
} Chunk;

/* ---- the walsender -----------------------------------------------------------------------------
 */

static Sender *by_conn(Node *node, uint64_t conn)
{
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        if (conn != 0 && node->engine.senders[i].conn == conn) {
            return &node->engine.senders[i];
        }
    }
    return NULL;
}

Sender *stream_sender(Node *node, const HaId *name)
{
    Sender *found = NULL;
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        Sender *sender = &node->engine.senders[i];
        if (sender->conn != 0 && sender->node >= 0 && ha_id_eq(&sender->name, name) &&
            (found == NULL || sender->streaming)) {
            found = sender;
        }
    }
    return found;
}

static void receive(World *w, const Event *event);
static void receive_end(World *w, const Event *event);
static void receive_beat(World *w, const Event *event);

static void send_chunk(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Data *data = &node->data;
    Sender *sender = by_conn(node, (uint64_t)event->b);
    if (sender == NULL || sender->sent >= data->flushed) {
        if (sender != NULL) {
            sender->in_flight = false;
        }
        return;
    }
    size_t end = 0;
    int tli = data_tli_at(data, sender->sent, &end);
    end = end < data->flushed ? end : data->flushed;
    size_t len = end - sender->sent;
    Chunk *chunk = mem_alloc(sizeof(Chunk) + len * sizeof(uint32_t));
    *chunk = (Chunk){.conn = sender->conn, .tli = tli, .from = sender->sent, .len = len};
    for (size_t i = 0; i < data->forks_len; i++) {
        if (data->forks[i].tli == tli) {
            chunk->tli_begin = data->forks[i].lsn;
        }
    }
    memcpy(chunk->ids, data->ids + chunk->from, len * sizeof(uint32_t));
    sender->sent = sender->target = end;
    Node *standby = &w->nodes[sender->node];
    send_to(w, node->host, standby->host, &standby->engine.proc, receive, sender->node, 0, chunk);
}

static void impostor_confirms(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Sender *sender = by_conn(node, (uint64_t)event->b);
    if (sender != NULL) {
        sender->sent = sender->flush = node->data.flushed;
        sender->told = sender->streaming = true;
        sender->in_flight = false;
        sync_release(w, node, sender);
    }
}

void stream_pump(World *w, Node *node)
{
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        Sender *sender = &node->engine.senders[i];
        bool waits = sender->in_flight || (sender->node >= 0 && !sender->told);
        if (sender->conn == 0 || waits || sender->sent >= node->data.flushed) {
            continue;
        }
        sender->in_flight = true;
        sender->target = SIZE_MAX;
        EventFn *fn = sender->node < 0 ? impostor_confirms : send_chunk;
        later_in(w, &node->engine.proc, roll(w, 20, 120), fn, node->index, (int64_t)sender->conn);
    }
}

void stream_drop(World *w, Node *node, Sender *sender)
{
    if (sender->conn == 0) {
        return;
    }
    if (sender->node >= 0) {
        Node *standby = &w->nodes[sender->node];
        send_to(w, node->host, standby->host, &standby->engine.proc, receive_end, sender->node,
                (int64_t)sender->conn, NULL);
        agent_wake(w, node->index);
    }
    *sender = (Sender){0};
}

void stream_beat(World *w, Node *node, Sender *sender)
{
    if (sender->conn == 0 || sender->node < 0) {
        return;
    }
    if (w->now - sender->heard > TIMEOUT_US) {
        trace(w, "%s: the walsender of %s gives up", node->id.text, sender->name.text);
        stream_drop(w, node, sender);
        return;
    }
    Node *standby = &w->nodes[sender->node];
    send_to(w, node->host, standby->host, &standby->engine.proc, receive_beat, sender->node,
            (int64_t)sender->conn, NULL);
}

static void confirm(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    const size_t *flush = event->data;
    Sender *sender = by_conn(node, (uint64_t)event->b);
    if (sender == NULL) {
        return;
    }
    sender->heard = w->now;
    sender->told = true;
    sender->flush = *flush > sender->flush ? *flush : sender->flush;
    sender->in_flight = sender->in_flight && sender->flush < sender->target;
    if (!sender->streaming && sender->flush >= node->data.flushed) {
        sender->streaming = true;
        trace(w, "%s: %s streams", node->id.text, sender->name.text);
        agent_wake(w, node->index);
    }
    sync_release(w, node, sender);
    stream_pump(w, node);
}

static void left(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Sender *sender = by_conn(node, (uint64_t)event->b);
    if (sender != NULL) {
        *sender = (Sender){0};
        agent_wake(w, node->index);
    }
}

void stream_impostor(World *w, Node *node, const HaId *name)
{
    for (size_t i = 0; i < SIM_SENDERS && node->engine.state == ENGINE_PRIMARY; i++) {
        Sender *sender = &node->engine.senders[i];
        if (sender->conn == 0) {
            trace(w, "%s: an impostor streams as %s", node->id.text, name->text);
            *sender = (Sender){.conn = ++w->lives,
                               .node = -1,
                               .name = *name,
                               .since = w->now,
                               .list = node->engine.loaded};
            stream_pump(w, node);
            return;
        }
    }
}

/* ---- the receiver ------------------------------------------------------------------------------
 */

static void try_connect(World *w, const Event *event);

static void reply(World *w, Node *node)
{
    Receiver *receiver = &node->engine.receiver;
    Node *source = &w->nodes[receiver->source];
    size_t *flush = mem_alloc(sizeof(size_t));
    *flush = node->data.flushed;
    send_to(w, node->host, source->host, &source->engine.proc, confirm, source->index,
            (int64_t)receiver->conn, flush);
}

static void disconnected(World *w, Node *node)
{
    Receiver *receiver = &node->engine.receiver;
    receiver->conn = 0;
    receiver->down_since = w->now;
    agent_wake(w, node->index);
    if (node->engine.state == ENGINE_RECOVERY && !receiver->trying) {
        receiver->trying = true;
        later_in(w, &node->engine.proc, RETRY_US, try_connect, node->index, 0);
    }
}

static void receive_end(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (node->engine.receiver.conn == (uint64_t)event->b) {
        trace(w, "%s: its source has ended the stream", node->id.text);
        disconnected(w, node);
    }
}

static void receive_beat(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (node->engine.receiver.conn == (uint64_t)event->b) {
        node->engine.receiver.heard = w->now;
        reply(w, node);
    }
}

static void receive_flushed(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Receiver *receiver = &node->engine.receiver;
    if (node->engine.state != ENGINE_RECOVERY) {
        return;
    }
    if (disk_hung(w, node)) {
        later_in(w, &node->engine.proc, 20 * MS, receive_flushed, event->a, event->b);
        return;
    }
    node->data.flushed = node->data.len;
    if (receiver->conn != 0 && receiver->conn == (uint64_t)event->b) {
        reply(w, node);
    }
}

static void receive(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    const Chunk *chunk = event->data;
    Engine *engine = &node->engine;
    Data *data = &node->data;
    if (engine->receiver.conn != chunk->conn || engine->state != ENGINE_RECOVERY) {
        return;
    }
    if (disk_full(w, node)) {
        engine_crash(w, node, false);
        return;
    }
    ASSERT(chunk->from == data->len);
    if (chunk->tli > data_tli(data)) {
        data_fork(data, chunk->tli);
    }
    for (size_t i = 0; i < chunk->len; i++) {
        data_append(data, chunk->ids[i]);
    }
    engine->receiver.heard = w->now;
    later_in(w, &engine->proc, roll(w, 80, 300), receive_flushed, event->a, (int64_t)chunk->conn);
}

/* ---- connecting --------------------------------------------------------------------------------
 */

static void watch(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Receiver *receiver = &node->engine.receiver;
    if (receiver->conn != (uint64_t)event->b) {
        return;
    }
    if (w->now - receiver->heard > TIMEOUT_US) {
        trace(w, "%s: its receiver gives up", node->id.text);
        Node *source = &w->nodes[receiver->source];
        send_to(w, node->host, source->host, &source->engine.proc, left, source->index, event->b,
                NULL);
        disconnected(w, node);
        return;
    }
    later_in(w, &node->engine.proc, 200 * MS, watch, event->a, event->b);
}

typedef struct Offer {
    int source;
    size_t from; /* what the standby had when it asked */
} Offer;

/* What was still on its way of an earlier connection may have come since it asked. */
static void connected(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Receiver *receiver = &node->engine.receiver;
    const Offer *offer = event->data;
    if (receiver->conn != 0 || node->engine.state != ENGINE_RECOVERY ||
        receiver->source != offer->source || node->data.len != offer->from) {
        Node *other = &w->nodes[offer->source];
        send_to(w, node->host, other->host, &other->engine.proc, left, offer->source, event->b,
                NULL);
        return;
    }
    receiver->conn = (uint64_t)event->b;
    receiver->heard = w->now;
    node->data.tli_max = w->nodes[receiver->source].data.tli_max > node->data.tli_max
                             ? w->nodes[receiver->source].data.tli_max
                             : node->data.tli_max; /* it has got the history files */
    node->data.flushed = node->data.len;
    reply(w, node);
    later_in(w, &node->engine.proc, 200 * MS, watch, event->a, event->b);
    agent_wake(w, node->index);
}

/* Whether the standby's position is in the source's history. */
static bool can_serve(const Node *source, const Node *standby)
{
    const Data *data = &source->data;
    int tli = data_tli(&standby->data);
    for (size_t i = 0; i < data->forks_len; i++) {
        if (data->forks[i].tli == tli) {
            size_t end = i + 1 < data->forks_len ? data->forks[i + 1].lsn : data->flushed;
            return standby->data.len <= end;
        }
    }
    return false;
}

static void hello(World *w, const Event *event)
{
    Node *source = &w->nodes[event->a];
    Node *standby = &w->nodes[event->b];
    Engine *engine = &source->engine;
    const uint64_t *life = event->data;
    bool there = engine->state == ENGINE_PRIMARY && engine->postmaster && !engine->stopping &&
                 !engine->dying && standby->engine.life == *life;
    bool taken =
        !without(w, WITHOUT_SLOTS) && stream_sender(source, &standby->data.incarnation) != NULL;
    if (!there || taken || !can_serve(source, standby)) {
        return;
    }
    check_follow(w, standby, source, standby->data.len);
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        Sender *sender = &engine->senders[i];
        if (sender->conn != 0) {
            continue;
        }
        *sender = (Sender){.conn = ++w->lives,
                           .node = standby->index,
                           .name = standby->data.incarnation,
                           .since = w->now,
                           .sent = standby->data.len,
                           .list = engine->loaded,
                           .heard = w->now};
        Offer *offer = mem_alloc(sizeof(Offer));
        *offer = (Offer){.source = source->index, .from = sender->sent};
        send_to(w, source->host, standby->host, &standby->engine.proc, connected, standby->index,
                (int64_t)sender->conn, offer);
        return;
    }
}

static void try_connect(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Receiver *receiver = &node->engine.receiver;
    receiver->trying = false;
    if (node->engine.state != ENGINE_RECOVERY || receiver->conn != 0 || node->engine.stopping) {
        return;
    }
    bool shut = receiver->source < 0;
    if (!shut && receiver->source != node->index) {
        Node *source = &w->nodes[receiver->source];
        shut = is_cut(w, node->host, source->host) || is_cut(w, source->host, node->host);
        if (!shut) {
            uint64_t *life = mem_alloc(sizeof(uint64_t));
            *life = node->engine.life;
            send_to(w, node->host, source->host, &source->engine.proc, hello, source->index,
                    node->index, life);
        }
    }
    receiver->trying = true;
    later_in(w, &node->engine.proc, RETRY_US + roll(w, 0, 20 * MS), try_connect, node->index, 0);
}

void stream_start(World *w, Node *node)
{
    Receiver *receiver = &node->engine.receiver;
    receiver->conn = 0;
    receiver->down_since = w->now;
    receiver->heard = w->now; /* from now on it listens */
    if (!receiver->trying) {
        receiver->trying = true;
        later_in(w, &node->engine.proc, roll(w, 2 * MS, 30 * MS), try_connect, node->index, 0);
    }
}

void stream_reset(World *w, Node *node)
{
    if (node->engine.receiver.conn != 0) {
        trace(w, "%s: its stream is reset", node->id.text);
        disconnected(w, node);
    }
}

void stream_stop(World *w, Node *node)
{
    Receiver *receiver = &node->engine.receiver;
    if (receiver->conn != 0) {
        Node *source = &w->nodes[receiver->source];
        send_to(w, node->host, source->host, &source->engine.proc, left, source->index,
                (int64_t)receiver->conn, NULL);
    }
    receiver->conn = 0;
    receiver->down_since = w->now;
}
