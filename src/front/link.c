/*
 * The node's side of a client: finding a node, connecting, logging in and making the session again,
 * and then passing replies on. Replies are counted as they pass, so that after a loss each command
 * that has none yet gets one.
 */
#include "front/front_priv.h"

#define CONNECT_TIMEOUT_MS 2000

/* ---- leaving a node ---------------------------------------------------------------------------
 */

void front_link_drop(FrontClient *client)
{
    Front *front = client->front;
    loop_timer_stop(&client->hold);
    front_held_drop(client);
    if (client->link == LINK_WAITING) {
        front_unwait(front, client);
    }
    if (client->back != NULL) {
        if (client->link == LINK_READY) {
            stream_close(client->back); /* what was taken from the client still goes out */
        } else {
            stream_abort(client->back);
        }
        client->back = NULL;
    }
    if (client->at != NULL) {
        front_node_release(front, client->at);
        client->at = NULL;
    }
    client->link = LINK_NONE;
    client->greeting_left = 0;
    client->ended = client->reset_had = client->looked = false;
    client->replies = (RespScan){0};
    client->reply_fate = REPLY_PASS;
}

/* Not ready yet, and it will not become so with this node; the client goes on being held. */
void front_link_elsewhere(FrontClient *client)
{
    ASSERT(client->link == LINK_CONNECTING || client->link == LINK_GREETING ||
           client->link == LINK_GATING);
    stream_abort(client->back); /* does nothing where it has ended by itself */
    front_node_release(client->front, client->at);
    client->back = NULL;
    client->at = NULL;
    client->greeting_left = 0;
    client->replies = (RespScan){0};
    client->link = LINK_WAITING;
    front_wait(client->front, client);
}

static void link_failed(FrontClient *client, const Err *err)
{
    front_node_failed(client->front, client->at, err);
    front_link_elsewhere(client);
}

/* ---- greeting ---------------------------------------------------------------------------------
 */

static void link_on_open(void *user, Stream *stream)
{
    FrontClient *client = user;
    const FrontConfig *config = client->front->config;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    client->link = LINK_GREETING;
    client->greeting_left = front_session_greet(&client->session, slice_of(config->backend_user),
                                                secret_reveal(&config->backend_password), &out);
    stream_write(stream, buf_slice(&out));
    crypto_wipe(out.data, out.len);
    buf_done(&out);
}

/* The node refuses the front. */
static void link_refused(FrontClient *client, const char *what)
{
    Err err;
    err_set(&err, ERR_DENIED, "%s", what);
    link_failed(client, &err);
}

/* Takes replies of the greeting; the rest is the client's. False: the node is given up. */
static bool link_greet(FrontClient *client, Slice *rest)
{
    while (client->greeting_left > 0 && rest->len > 0) {
        size_t len;
        WireResult result = resp_scan(&client->replies, *rest, &len);
        if (result == WIRE_BAD) {
            link_refused(client, "it does not speak Redis's protocol");
            return false;
        }
        *rest = slice_skip(*rest, len);
        if (result == WIRE_MORE) {
            return true;
        }
        if (client->replies.type == '-') {
            CLEANUP(mem_free_ptr)
            char *what = mem_printf("it refuses the front: %.*s", (int)client->replies.kept_len,
                                    client->replies.kept);
            link_refused(client, what);
            return false;
        }
        client->greeting_left--;
    }
    if (client->greeting_left == 0) {
        front_node_works(client->front, client->at);
        client->link = LINK_GATING;
        if (!client->gated || front_gate_is_ready(client->at)) {
            front_link_gated(client);
        }
    }
    return true;
}

void front_link_gated(FrontClient *client)
{
    if (front_client_waits_again(client)) { /* its primary has begun to hand over meanwhile */
        front_link_elsewhere(client);
        return;
    }
    client->link = LINK_READY;
    front_client_link_ready(client);
}

/* ---- replies ----------------------------------------------------------------------------------
 */

/* Counts, and passes on what may have to be held; true when the answer to RESET was among them.
 * False in *ret_good: not RESP. */
static bool link_count(FrontClient *client, Slice data, bool *ret_good)
{
    bool reset = false;
    *ret_good = true;
    while (data.len > 0) {
        size_t len;
        bool begins = resp_scan_idle(&client->replies);
        WireResult result = resp_scan(&client->replies, data, &len);
        if (result == WIRE_BAD) {
            *ret_good = false;
            return false;
        }
        if (client->gated) {
            front_held_take(client, slice_from(data.data, len), begins, result == WIRE_DONE);
        }
        data = slice_skip(data, len);
        if (result == WIRE_DONE) {
            const RespScan *reply = &client->replies;
            front_session_answered(&client->session, reply);
            bool says_reset =
                reply->type == '+' && slice_is(slice_from(reply->kept, reply->kept_len), "RESET");
            reset = reset || (client->session.streaming ? says_reset
                                                        : front_session_is_quiet(&client->session));
        }
    }
    return reset;
}

static size_t link_on_read(void *user, Stream *stream, Slice data)
{
    FrontClient *client = user;
    Slice rest = data;
    if (client->link == LINK_GREETING && !link_greet(client, &rest)) {
        return data.len;
    }
    if (client->link != LINK_READY || rest.len == 0) {
        return data.len;
    }
    if (front_again_take(client, rest)) {
        return data.len;
    }
    bool good;
    bool reset = link_count(client, rest, &good);
    if (!client->gated) {
        stream_write_ref(client->stream, rest);
    }
    if (!good) {
        log_warn(FRONT_MODULE, "node %s broke Redis's protocol; its client is closed",
                 client->at->id);
        front_client_close(client);
        return data.len;
    }
    if (client->resetting && reset) {
        client->reset_had = front_held_any(client);
        if (!client->reset_had) {
            front_client_reset_done(client);
        }
        return data.len;
    }
    if (stream_pending(client->stream) > FLOW_HIGH || client->held.bytes.len > HELD_HIGH) {
        stream_pause(stream); /* until client_on_drained */
    }
    return data.len;
}

static void link_on_drained(void *user, Stream *stream)
{
    (void)stream;
    FrontClient *client = user;
    front_client_resume(client, PAUSE_FLOW);
}

static void link_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    FrontClient *client = user;
    if (client->link != LINK_READY) {
        Err ended;
        if (err == NULL) {
            err_set(&ended, ERR_UNAVAILABLE, "it closed the connection");
            err = &ended;
        }
        link_failed(client, err);
        return;
    }
    client->back = NULL;
    if (client->quitting && err == NULL && front_held_any(client)) {
        client->ended = true; /* that goes out first */
        return;
    }
    (void)front_client_link_lost(client, "the connection to the node was lost");
}

void front_link_forward(FrontClient *client, Slice bytes)
{
    ASSERT(client->link == LINK_READY);
    stream_write_ref(client->back, bytes);
    if (stream_pending(client->back) > FLOW_HIGH) {
        front_client_pause(client, PAUSE_FLOW); /* until link_on_drained */
    }
}

/* ---- finding a node ---------------------------------------------------------------------------
 */

void front_link_begin(FrontClient *client)
{
    static const StreamHandlers handlers = {
        .on_open = link_on_open,
        .on_read = link_on_read,
        .on_drained = link_on_drained,
        .on_closed = link_on_closed,
    };
    Front *front = client->front;
    FrontNode *node = front_pick(front, client->reader);
    if (node == NULL || front_client_waits_again(client)) {
        client->link = LINK_WAITING;
        front_wait(front, client);
        return;
    }
    StreamOptions options = {.handlers = &handlers,
                             .user = client,
                             .tls = front->config->backend_tls,
                             .tls_host = node->host,
                             .timeout_ms = CONNECT_TIMEOUT_MS};
    client->link = LINK_CONNECTING;
    client->at = node;
    client->at_primary = node->primary;
    client->gated = front->config->durable && node->primary;
    node->connections++;
    if (client->gated) {
        front_gate_need(node, front);
    }
    client->back = stream_connect(front->loop, &node->addr, &options);
}
