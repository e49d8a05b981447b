/*
 * What a client in session says: its messages go to the server connection that it has, or that it
 * is lent for a transaction. A stream that must wait (for a connection, for room, for a slow
 * server) is paused with its bytes still in it, so that nothing is buffered here; but for a request
 * that was taken from it and is to be sent again, which goes in front of the stream.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/route_priv.h"
#include "proxy/split/split_priv.h"

typedef enum Next {
    NEXT_PIECE,
    NEXT_STOP, /* the rest must wait; the stream is paused */
    NEXT_GONE, /* the client is no more */
} Next;

static void run_flush(const ProxyClient *client, ProxyRun *run)
{
    Slice bytes = {run->data.data + run->sent, run->at - run->sent};
    run->sent = run->at;
    if (bytes.len == 0 || client->server == NULL) {
        return;
    }
    if (client->resend != NULL) {
        stream_write(client->server->stream, bytes); /* they do not live to the end of the turn */
    } else {
        stream_write_ref(client->server->stream, bytes);
    }
}

static void run_drop(const ProxyClient *client, ProxyRun *run, size_t len)
{
    run_flush(client, run);
    run->at += len;
    run->sent = run->at;
}

static void send_before(ProxyClient *client, ProxyRun *run, const SessionOut *out)
{
    run_flush(client, run);
    for (size_t i = 0; i < out->before_len; i++) {
        stream_write(client->server->stream, out->before[i]);
    }
}

static Next wait_for_room(ProxyClient *client, ProxyRun *run, const SessionOut *out)
{
    send_before(client, run, out);
    client->wants_room = true;
    stream_pause(client->stream);
    return NEXT_STOP;
}

static void say_ready(ProxyClient *client)
{
    stream_write_ref(client->stream, SLICE("Z\0\0\0\5I"));
}

static void say_undone(ProxyClient *client, bool ready)
{
    PgError error = session_loss_error(LOSS_UNDONE, false, NULL);
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_error(&out, &error);
    stream_write(client->stream, buf_slice(&out));
    buf_done(&out);
    if (ready) {
        say_ready(client);
    }
}

/* By a line, where it may: then the client waits for its answer. */
static bool share(ProxyClient *client, ProxyPool *pool, ProxyRun *run)
{
    size_t taken = proxy_line_take(client, pool, slice_skip(run->data, run->at));
    if (taken == 0) {
        return false;
    }
    run_drop(client, run, taken);
    stream_pause(client->stream);
    return true;
}

/* It has said goodbye. Where it is owed nothing, there is no need to wait until it has closed. */
static void client_leave(ProxyClient *client)
{
    if (stream_pending(client->stream) == 0) {
        stream_abort(client->stream);
        proxy_client_gone(client);
    } else {
        proxy_client_close(client);
    }
}

/* A transaction begins. */
static Next borrow(ProxyClient *client, ProxyRun *run)
{
    Slice data = slice_skip(run->data, run->at);
    size_t read_len = 0;
    proxy_traffic_asked(client);
    ProxyPool *pool = proxy_route(client, data, &read_len);
    if (pool == NULL || share(client, pool, run)) {
        return NEXT_STOP;
    }
    if (read_len > 0) {
        data.len = read_len;
        proxy_split_begin(client, data);
    }
    return proxy_pool_borrow(pool, client) != NULL ? NEXT_PIECE : NEXT_STOP;
}

/* To its server connection, as it is or with another beginning, and with what the session puts in
 * front of it and behind. */
static Next forward(ProxyClient *client, ProxyRun *run, const PgPiece *piece, const SessionOut *out)
{
    Exchange *exchange = &client->server->exchange;
    proxy_traffic_sent(client, piece);
    if (client->server->keeps != KEEPS_NOTHING) {
        proxy_resend_keep(client->server, piece);
    }
    if (exchange->gate.slow && exchange->gate.slow_us == 0) {
        exchange->gate.slow_us = loop_now_us(client->worker->loop);
    }
    if (out->before_len > 0 || out->replaced > 0) {
        send_before(client, run, out);
        proxy_meter_add(proxy_client_meter(client), STAT_TOKENS_SHOWN,
                        exchange->causal.shown ? 1 : 0);
        exchange->causal.shown = false;
    }
    if (out->replaced > 0) {
        stream_write(client->server->stream, out->head);
        run->sent += out->replaced;
    }
    run->at += piece->raw.len;
    if (out->behind.len > 0) {
        run_flush(client, run);
        stream_write(client->server->stream, out->behind);
    }
    if (out->pinned != PIN_NONE) {
        proxy_client_note_pins(client, out);
    }
    if (proxy_split_sent(client, piece->raw.len)) {
        stream_pause(client->stream);
        return NEXT_STOP;
    }
    return NEXT_PIECE;
}

static Next take_piece(ProxyClient *client, ProxyRun *run, const PgPiece *piece, PgFramer before)
{
    SessionOut out;
    Exchange *exchange = client->server != NULL ? &client->server->exchange : NULL;
    switch (session_client_piece(&client->session, exchange, piece, &out)) {
    case STEP_FORWARD:
        return forward(client, run, piece, &out);
    case STEP_DROP:
        run_drop(client, run, piece->raw.len);
        return NEXT_PIECE;
    case STEP_READY:
        run_drop(client, run, piece->raw.len);
        say_ready(client);
        return NEXT_PIECE;
    case STEP_FAILED:
        run_drop(client, run, piece->raw.len);
        say_undone(client, out.ready);
        return NEXT_PIECE;
    case STEP_BORROW:
        client->framer = before;
        return borrow(client, run);
    case STEP_WAIT:
        client->framer = before;
        return wait_for_room(client, run, &out);
    case STEP_END:
        run_flush(client, run);
        client_leave(client);
        return NEXT_GONE;
    case STEP_REFUSE:
    case STEP_GATE: /* of servers only */
    default:
        run_flush(client, run);
        proxy_client_fatal(client, out.sqlstate != NULL ? out.sqlstate : "08P01", out.problem,
                           NULL);
        return NEXT_GONE;
    }
}

/* Returns how many bytes are done with. False in *ret_here: the client is no more. */
static size_t client_take(ProxyClient *client, Slice data, bool *ret_here)
{
    ProxyRun run = {.data = data};
    *ret_here = true;
    Next next = NEXT_PIECE;
    while (next == NEXT_PIECE) {
        PgPiece piece;
        PgFramer before = client->framer;
        WireResult result = pg_framer_next(&client->framer, &client->worker->client_policy,
                                           slice_skip(data, run.at), &piece);
        if (result == WIRE_MORE) {
            break;
        }
        if (result == WIRE_BAD) {
            proxy_client_fatal(client, "08P01", "invalid message length", NULL);
            next = NEXT_GONE;
        } else {
            next = take_piece(client, &run, &piece, before);
        }
    }
    if (next == NEXT_GONE) {
        *ret_here = false;
        return data.len;
    }
    run_flush(client, &run);
    return run.at;
}

/* What was taken from it and sent before it was read. */
static size_t skip_sent(ProxyClient *client, size_t len)
{
    ClientSplit *split = client->split;
    if (split == NULL || split->skip == 0) {
        return 0;
    }
    size_t skipped = split->skip < len ? split->skip : len;
    split->skip -= skipped;
    return skipped;
}

static size_t client_on_read(void *user, Stream *stream, Slice data)
{
    ProxyClient *client = user;
    bool here;
    client->active_ms = loop_now_ms(client->worker->loop);
    if (client->server != NULL && stream_blocked(client->server->stream)) {
        stream_pause(stream);
        return 0;
    }
    size_t skipped = skip_sent(client, data.len);
    size_t done = skipped + client_take(client, slice_skip(data, skipped), &here);
    if (here) {
        proxy_meter_add(proxy_client_meter(client), STAT_BYTES_IN, (int64_t)done);
    }
    return done;
}

void proxy_client_resend_free(ProxyClient *client)
{
    if (client->resend != NULL) {
        loop_defer_cancel(&client->resend->defer);
        buf_done(&client->resend->bytes);
        mem_free(client->resend);
        client->resend = NULL;
    }
}

/* What was taken from the client before, in front of what it sends. */
static void resend(void *user)
{
    ProxyClient *client = user;
    bool here;
    if (client->state != CLIENT_READY || client->wants_room) {
        return;
    }
    client->alone = true;
    size_t done = client_take(client, buf_slice(&client->resend->bytes), &here);
    if (!here) {
        return;
    }
    client->alone = false;
    buf_consume(&client->resend->bytes, done);
    if (client->resend->bytes.len == 0) {
        proxy_client_resend_free(client);
        proxy_client_resume(client);
    }
}

void proxy_client_resume(ProxyClient *client)
{
    if (client->state != CLIENT_READY || client->wants_room) {
        return;
    }
    if (client->resend != NULL) {
        loop_defer(client->worker->loop, &client->resend->defer, resend, client);
    } else {
        stream_resume(client->stream);
    }
}

void proxy_client_again(ProxyClient *client, Slice request)
{
    ASSERT(client->resend == NULL);
    client->resend = mem_alloc(sizeof(ClientResend));
    buf_init(&client->resend->bytes, BUF_MAX_DEFAULT);
    buf_append_slice(&client->resend->bytes, request);
    stream_pause(client->stream);
    proxy_client_resume(client);
}

size_t proxy_client_feed(ProxyClient *client, Slice data)
{
    return client_on_read(client, client->stream, data);
}

static void client_on_drained(void *user, Stream *stream)
{
    ProxyClient *client = user;
    (void)stream;
    if (client->server != NULL) {
        stream_resume(client->server->stream);
    }
}

static void client_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    proxy_client_gone(user);
}

const StreamHandlers proxy_client_handlers = {
    .on_read = client_on_read,
    .on_drained = client_on_drained,
    .on_closed = client_on_closed,
};
