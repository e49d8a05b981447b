/*
 * The gate of a durable group's primary: a connection of the front's own, on which it asks in
 * rounds whether a replica has what the primary has answered. One round serves all clients, and
 * the next one is sent when it has ended, for those whose replies came meanwhile.
 *
 *   CONNECTING -> GREETING (AUTH, COMMAND) -> READY -+-> PING, WAIT 1: a replica has it: done
 *                                              ^    |        | none within GATE_SLICE_MS
 *                                              |    +--> ECHO: done, where that is allowed
 *                                              +------------- else
 *
 * While nobody asks, a PING each second keeps it from being idle.
 *
 * PING moves what WAIT waits for to the present end of the replication stream. ECHO is allowed to
 * the gate's user only while the group's record has no replica that could lead (docs/failover.md):
 * then the primary acknowledges alone, and WAIT is not asked until ECHO is refused again.
 *
 * While the primary hands over, a gate that is lost is not the last word: Redis ends a WAIT when it
 * becomes a replica. Then what is held stays so until it is told whether the heir has all of it,
 * for hold_ms at most. So it does where the node says that it leads no more before others do.
 *
 * A gate and the clients' connections of its node belong to the same run of the engine: they become
 * ready only while it is, and when it is lost so are they. Else a replica could be asked for what
 * another run had answered.
 */
#include "front/front_priv.h"

#define GATE_TIMEOUT_MS 2000
#define GATE_SLICE      "200" /* milliseconds */
#define GATE_TICK_MS    50

typedef enum GateAwait {
    AWAIT_NOTHING,
    AWAIT_AUTH,
    AWAIT_COMMAND,
    AWAIT_PONG,
    AWAIT_WAIT,
    AWAIT_ECHO,
    AWAIT_BEAT,
    AWAIT_HANDOVER, /* it is lost */
} GateAwait;

struct FrontGate {
    Front *front;
    FrontNode *node;
    Stream *stream;
    bool ready;
    GateAwait await;
    bool failed;    /* of a round: its PING was refused */
    bool alone;     /* ECHO was allowed */
    uint64_t round; /* sent last */
    RespScan scan;
    Buf reply; /* the one that is coming in */
    FrontTable *table;
    List clients; /* who hold something */
    LoopDefer ask;
    LoopTimer tick;
    LoopTimer handover; /* nobody has told what became of it */
};

List *front_gate_clients(FrontGate *gate)
{
    return &gate->clients;
}

bool front_gate_is_ready(const FrontNode *node)
{
    return node->gate != NULL && node->gate->ready;
}

const FrontTable *front_gate_table(const FrontNode *node)
{
    ASSERT(node->gate != NULL && node->gate->table != NULL);
    return node->gate->table;
}

/* ---- rounds -----------------------------------------------------------------------------------
 */

static void gate_send(FrontGate *gate)
{
    static const char wait[] =
        "*1\r\n$4\r\nPING\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$3\r\n" GATE_SLICE "\r\n";
    static const char alone[] = "*2\r\n$4\r\nECHO\r\n$5\r\nalone\r\n";
    gate->round++;
    gate->failed = false;
    gate->await = gate->alone ? AWAIT_ECHO : AWAIT_PONG;
    stream_write_ref(gate->stream, gate->alone ? SLICE(alone) : SLICE(wait));
}

static void gate_ask_now(void *user)
{
    FrontGate *gate = user;
    if (gate->await == AWAIT_NOTHING && gate->clients.len > 0) {
        gate_send(gate);
    }
}

static FrontClient *client_of(ListNode *at)
{
    return CONTAINER_OF(at, FrontClient, held.node);
}

/* Those whose time is over, whether the node answers or not. */
static void gate_tick(void *user)
{
    FrontGate *gate = user;
    int64_t since = loop_now_ms(gate->front->loop) - gate->front->config->durable_ms;
    for (ListNode *at = list_first(&gate->clients), *next; at != NULL; at = next) {
        FrontClient *client = client_of(at);
        next = list_next(&gate->clients, at);
        if (client->held.parts[0].since_ms <= since) {
            (void)front_held_fail(client);
        }
    }
    if (gate->clients.len == 0) {
        loop_timer_stop(&gate->tick);
    } else {
        gate_ask_now(gate);
    }
}

uint64_t front_gate_ask(FrontGate *gate)
{
    if (gate->await == AWAIT_NOTHING) {
        loop_defer(gate->front->loop, &gate->ask, gate_ask_now, gate);
    }
    if (!loop_timer_armed(&gate->tick)) {
        loop_timer_start(gate->front->loop, &gate->tick, GATE_TICK_MS, GATE_TICK_MS, gate_tick,
                         gate);
    }
    return gate->round + 1;
}

void front_gate_beat(const FrontNode *node)
{
    if (front_gate_is_ready(node) && node->gate->await == AWAIT_NOTHING) {
        node->gate->await = AWAIT_BEAT;
        stream_write_ref(node->gate->stream, SLICE("*1\r\n$4\r\nPING\r\n"));
    }
}

static void round_done(FrontGate *gate)
{
    gate->await = AWAIT_NOTHING;
    for (ListNode *at = list_first(&gate->clients), *next; at != NULL; at = next) {
        next = list_next(&gate->clients, at);
        (void)front_held_release(client_of(at), gate->round);
    }
    gate_ask_now(gate);
}

/* ---- replies ----------------------------------------------------------------------------------
 */

static void gate_free(FrontGate *gate)
{
    gate->node->gate = NULL;
    loop_timer_stop(&gate->tick);
    loop_timer_stop(&gate->handover);
    loop_defer_cancel(&gate->ask);
    front_table_free(gate->table);
    buf_done(&gate->reply);
    mem_free(gate);
}

void front_gate_close(FrontNode *node)
{
    FrontGate *gate = node->gate;
    if (gate == NULL) {
        return;
    }
    for (ListNode *at; (at = list_first(&gate->clients)) != NULL;) {
        front_held_drop(client_of(at));
    }
    if (gate->stream != NULL) {
        stream_abort(gate->stream); /* does nothing where it has ended by itself */
    }
    gate_free(gate);
}

/* With it all connections of its node: that they belong to the same run cannot be shown again. */
static void gate_drop(FrontGate *gate)
{
    Front *front = gate->front;
    FrontNode *node = gate->node;
    gate->ready = false;
    node->connections++; /* so that it outlives its clients' */
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        if (client->at != node || !client->gated) {
            continue;
        }
        if (client->link == LINK_READY) {
            (void)front_client_link_lost(client, "the connection to the node was lost");
        } else {
            front_link_elsewhere(client);
        }
    }
    ASSERT(gate->clients.len == 0);
    gate_free(gate);
    front_node_release(front, node);
}

static void gate_handover_over(void *user)
{
    gate_drop(user);
}

static void gate_await_handover(FrontGate *gate)
{
    gate->ready = false;
    gate->await = AWAIT_HANDOVER;
    loop_timer_start(gate->front->loop, &gate->handover, gate->front->config->hold_ms, 0,
                     gate_handover_over, gate);
}

/* By the run whose answers these are: it lives on as a replica. Another run of it may have handed
 * over, where the news come late. */
static bool is_handed(const FrontNode *node, const FrontClient *client)
{
    bool lives = client->back == NULL || !stream_peer_ended(client->back);
    return node->handed && !node->primary && lives;
}

void front_gate_settle(FrontNode *node)
{
    FrontGate *gate = node->gate;
    if (gate == NULL) {
        return;
    }
    for (ListNode *at = list_first(&gate->clients), *next; at != NULL; at = next) {
        next = list_next(&gate->clients, at);
        if (is_handed(node, client_of(at))) {
            (void)front_held_release(client_of(at), UINT64_MAX);
        }
    }
    if (gate->await == AWAIT_HANDOVER && node->primary && !gate->front->config->hold) {
        gate_drop(gate); /* it leads on; or does again */
    }
}

static void gate_lost(FrontGate *gate, bool demoted)
{
    stream_abort(gate->stream);
    gate->stream = NULL;
    if (gate->ready && (demoted || gate->front->config->hold)) {
        gate_await_handover(gate);
    } else {
        gate_drop(gate);
    }
}

static void gate_refused(FrontGate *gate, const Err *err)
{
    front_node_failed(gate->front, gate->node, err);
    gate_lost(gate, false);
}

static void gate_open(FrontGate *gate)
{
    Front *front = gate->front;
    gate->ready = true;
    gate->await = AWAIT_NOTHING;
    buf_done(&gate->reply); /* that was a large one */
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        if (client->at == gate->node && client->link == LINK_GATING) {
            front_link_gated(client);
        }
    }
}

static bool is_busy(const RespValue *value)
{
    return value->type == '-' && slice_starts(value->text, "BUSY");
}

/* False: the gate is gone. */
static bool gate_greeted(FrontGate *gate, const RespValue *value)
{
    Err err;
    if (value->type == '-') {
        err_set(&err, ERR_DENIED, "it refuses the front's gate: %.*s", SLICE_FMT(value->text));
    } else if (gate->await == AWAIT_AUTH) {
        gate->await = AWAIT_COMMAND;
        return true;
    } else if (front_table_parse(buf_slice(&gate->reply), &gate->table, &err)) {
        gate_open(gate);
        return true;
    }
    gate_refused(gate, &err);
    return false;
}

/* WAIT has answered, or was refused with its PING by a server that runs a script. */
static bool gate_waited(FrontGate *gate, const RespValue *value)
{
    if (value->type == ':' && value->integer >= 1 && !gate->failed) {
        round_done(gate);
    } else if (is_busy(value) || gate->failed) {
        gate->await = AWAIT_NOTHING; /* again with the next tick */
    } else if (value->type == ':') {
        gate->alone = true; /* if it may be */
        gate->await = AWAIT_NOTHING;
        gate_ask_now(gate);
    } else {
        gate_lost(gate, true); /* it is no primary any more */
        return false;
    }
    return true;
}

static void gate_echoed(FrontGate *gate, const RespValue *value)
{
    gate->alone = value->type == '$';
    if (gate->alone) {
        round_done(gate);
        return;
    }
    gate->await = AWAIT_NOTHING;
    if (!is_busy(value)) {
        gate_ask_now(gate);
    }
}

static bool gate_reply(FrontGate *gate)
{
    RespValue value;
    Slice in = buf_slice(&gate->reply);
    bool good = resp_value_read(&in, &value) == WIRE_DONE && gate->await != AWAIT_NOTHING;
    switch (good ? gate->await : AWAIT_NOTHING) {
    case AWAIT_AUTH:
    case AWAIT_COMMAND:
        return gate_greeted(gate, &value);
    case AWAIT_PONG:
        gate->failed = value.type == '-';
        gate->await = AWAIT_WAIT;
        return true;
    case AWAIT_WAIT:
        return gate_waited(gate, &value);
    case AWAIT_ECHO:
        gate_echoed(gate, &value);
        return true;
    case AWAIT_BEAT:
        gate->await = AWAIT_NOTHING;
        gate_ask_now(gate);
        return true;
    case AWAIT_HANDOVER:
    case AWAIT_NOTHING:
        break;
    }
    gate_lost(gate, false);
    return false;
}

/* ---- the stream -------------------------------------------------------------------------------
 */

static void gate_on_open(void *user, Stream *stream)
{
    FrontGate *gate = user;
    const FrontConfig *config = gate->front->config;
    Slice auth[] = {SLICE("AUTH"), slice_of(config->gate_user),
                    secret_reveal(&config->backend_password)};
    Slice command[] = {SLICE("COMMAND")};
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    resp_put_command(&out, auth, ARRAY_LEN(auth));
    resp_put_command(&out, command, ARRAY_LEN(command));
    stream_write(stream, buf_slice(&out));
    crypto_wipe(out.data, out.len);
    buf_done(&out);
    gate->await = AWAIT_AUTH;
}

static size_t gate_on_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    FrontGate *gate = user;
    Slice rest = data;
    while (rest.len > 0) {
        size_t len;
        WireResult result = resp_scan(&gate->scan, rest, &len);
        if (result != WIRE_BAD) {
            buf_append_slice(&gate->reply, slice_from(rest.data, len));
        }
        if (result == WIRE_BAD || gate->reply.overflowed) {
            Err err;
            err_set(&err, ERR_UNSUPPORTED, "its gate does not speak Redis's protocol");
            gate_refused(gate, &err);
            return data.len;
        }
        rest = slice_skip(rest, len);
        if (result == WIRE_DONE) {
            if (!gate_reply(gate)) {
                return data.len;
            }
            buf_clear(&gate->reply);
        }
    }
    return data.len;
}

static void gate_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    FrontGate *gate = user;
    Err ended;
    if (gate->ready) {
        gate_lost(gate, false);
        return;
    }
    if (err == NULL) {
        err_set(&ended, ERR_UNAVAILABLE, "it closed the connection");
        err = &ended;
    }
    gate_refused(gate, err);
}

void front_gate_need(FrontNode *node, Front *front)
{
    static const StreamHandlers handlers = {
        .on_open = gate_on_open, .on_read = gate_on_read, .on_closed = gate_on_closed};
    if (node->gate != NULL) {
        return;
    }
    FrontGate *gate = mem_alloc(sizeof(FrontGate));
    StreamOptions options = {.handlers = &handlers,
                             .user = gate,
                             .tls = front->config->backend_tls,
                             .tls_host = node->host,
                             .timeout_ms = GATE_TIMEOUT_MS};
    *gate = (FrontGate){.front = front, .node = node};
    list_init(&gate->clients);
    buf_init(&gate->reply, TABLE_BYTES_MAX);
    node->gate = gate;
    gate->stream = stream_connect(front->loop, &node->addr, &options);
}
