/*
 * A client in session: its messages go to the server connection that it has, or that it is lent for
 * a transaction. A stream that must wait (for a connection, for room, for a slow server) is paused
 * with its bytes still in it, so that nothing is buffered here.
 */
#include <stdio.h>

#include "proxy/causal_priv.h"
#include "proxy/client_priv.h"
#include "proxy/hub_priv.h"
#include "proxy/route_priv.h"
#include "proxy/server_priv.h"
#include "proxy/split_priv.h"
#include "proxy/traffic_priv.h"

/* ---- the end -----------------------------------------------------------------------------------
 */

static void resend_free(ProxyClient *client)
{
    if (client->resend != NULL) {
        loop_defer_cancel(&client->resend->defer);
        buf_done(&client->resend->bytes);
        mem_free(client->resend);
        client->resend = NULL;
    }
}

void proxy_client_gone(ProxyClient *client)
{
    ProxyWorker *worker = client->worker;
    ProxyPool *pool = client->pool;
    proxy_pool_wait_end(client);
    if (client->server != NULL) {
        proxy_server_abandon(client->server);
    }
    proxy_client_login_done(client);
    proxy_admin_end(client);
    proxy_ear_free(client);
    proxy_split_done(client);
    resend_free(client);
    loop_timer_stop(&client->timer);
    list_remove(&worker->clients, &client->node);
    params_unref(client->told);
    session_done(&client->session);
    proxy_traffic_client_gone(client);
    pool_release(worker->client_slots, client->handle);
    if (worker->apart) {
        leaving_clients_change(worker, pool, pool != NULL ? -1 : 0, -1);
    }
    if (pool != NULL) {
        proxy_limits_exit(pool);
        pool->clients--;
        proxy_pool_unused(pool);
    }
    atomic_fetch_sub(&worker->proxy->clients, 1);
    proxy_worker_client_gone(worker);
}

void proxy_client_close(ProxyClient *client)
{
    stream_close(client->stream);
    proxy_client_gone(client);
}

static bool is_mid_answer(const ProxyClient *client)
{
    const ProxyServer *server = client->server;
    return server != NULL && server->state == SERVER_LINKED && proxy_server_mid_answer(server);
}

void proxy_client_refuse(ProxyClient *client, const PgError *error)
{
    if (is_mid_answer(client)) {
        proxy_client_close(client);
        return;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_error(&out, error);
    stream_write(client->stream, buf_slice(&out));
    buf_done(&out);
    proxy_client_close(client);
}

void proxy_client_fatal(ProxyClient *client, const char *sqlstate, const char *message,
                        const char *detail)
{
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = slice_of(sqlstate),
                     .message = slice_of(message),
                     .detail = slice_of(detail)};
    proxy_client_refuse(client, &error);
}

static bool has_work(const ProxyClient *client)
{
    const ProxyServer *server = client->server;
    if (server == NULL) {
        return false;
    }
    const Exchange *exchange = &server->exchange;
    if (session_streams(&client->session, exchange)) {
        return proxy_server_mid_answer(server); /* it has no end; but a message has */
    }
    return client->session.mid_message || exchange->status != 'I' ||
           !flight_is_empty(&exchange->flight);
}

void proxy_client_drain(ProxyClient *client)
{
    if (client->worker->draining && client->state != CLIENT_CANCEL &&
        client->state != CLIENT_SHARED && (client->state != CLIENT_READY || !has_work(client))) {
        proxy_client_fatal(client, "57P01", "terminating connection due to administrator command",
                           NULL);
    }
}

/* ---- waiting and idling
 * -------------------------------------------------------------------------- */

static void resend(void *user);

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

static void idle_check(void *user);

static void idle_timer_start(ProxyClient *client, int64_t delay_ms)
{
    loop_timer_start(client->worker->loop, &client->timer, delay_ms, 0, idle_check, client);
}

/* A message does not touch the timer: it looks by itself when the time would have come. */
static void idle_check(void *user)
{
    ProxyClient *client = user;
    ProxyWorker *worker = client->worker;
    int64_t limit = worker->config->idle_client_ms;
    int64_t now = loop_now_ms(worker->loop);
    bool waits_for_us =
        client->state != CLIENT_READY ||
        (client->server != NULL && !flight_is_empty(&client->server->exchange.flight));
    if (limit == 0 || waits_for_us) {
        client->active_ms = now;
    }
    if (limit > 0 && now - client->active_ms >= limit) {
        proxy_meter_add(proxy_client_meter(client), STAT_IDLE_TIMEOUTS, 1);
        proxy_client_fatal(client, "57P05", "terminating connection due to idle-session timeout",
                           "The client sent nothing for as long as idle_client_timeout allows.");
        return;
    }
    idle_timer_start(client, limit > 0 ? client->active_ms + limit - now : PROXY_LOGIN_MS);
}

void proxy_client_idle_rearm(ProxyClient *client)
{
    if (client->state == CLIENT_READY || client->state == CLIENT_WAITING ||
        client->state == CLIENT_SHARED || client->state == CLIENT_PARKED) {
        idle_timer_start(client, 0);
    }
}

/* ---- what the client says
 * ------------------------------------------------------------------------ */

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

void proxy_client_pinned(ProxyClient *client, PinReason reason)
{
    ProxyWorker *worker = client->worker;
    ProxyMeter *meter = proxy_client_meter(client);
    counter_add(&meter->pins[reason], 1);
    proxy_meter_add(meter, STAT_CLIENTS_PINNED, client->pinned_counted ? 0 : 1);
    client->pinned_counted = true;
    if (worker->config->debug_logging) {
        log_warn("proxy",
                 "[clientConnection=%u] The client session was pinned to the database connection "
                 "[dbConnection=%u] for the remainder of the session. The proxy can't reuse this "
                 "connection until the session ends. Reason: %s",
                 (unsigned)client->handle, client->server != NULL ? client->server->pid : 0,
                 pin_reason_sentence(reason));
    }
}

void proxy_client_note_pins(ProxyClient *client, const SessionOut *out)
{
    proxy_client_pinned(client, out->pinned);
    for (PinReason reason = PIN_NONE + 1; reason < PIN_REASON_COUNT; reason++) {
        if ((out->pinned_also & PIN_BIT(reason)) != 0) {
            proxy_client_pinned(client, reason);
        }
    }
}

void proxy_client_unpinned(ProxyClient *client)
{
    proxy_meter_add(proxy_client_meter(client), STAT_CLIENTS_PINNED,
                    client->pinned_counted ? -1 : 0);
    client->pinned_counted = false;
    if (client->worker->config->debug_logging) {
        log_warn("proxy",
                 "[clientConnection=%u] The client session is no longer pinned: what pinned it is "
                 "gone.",
                 (unsigned)client->handle);
    }
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

static Next take_piece(ProxyClient *client, ProxyRun *run, const PgPiece *piece, PgFramer before)
{
    SessionOut out;
    Exchange *exchange = client->server != NULL ? &client->server->exchange : NULL;
    switch (session_client_piece(&client->session, exchange, piece, &out)) {
    case STEP_FORWARD:
        proxy_traffic_sent(client, piece);
        if (client->server->keeps != KEEPS_NOTHING) {
            proxy_resend_keep(client->server, piece);
        }
        if (exchange->gate.slow && exchange->gate.slow_us == 0) {
            exchange->gate.slow_us = loop_now_us(client->worker->loop);
        }
        if (out.before_len > 0 || out.replaced > 0) {
            send_before(client, run, &out);
            proxy_meter_add(proxy_client_meter(client), STAT_TOKENS_SHOWN,
                            exchange->causal.shown ? 1 : 0);
            exchange->causal.shown = false;
        }
        if (out.replaced > 0) {
            stream_write(client->server->stream, out.head);
            run->sent += out.replaced;
        }
        run->at += piece->raw.len;
        if (out.behind.len > 0) {
            run_flush(client, run);
            stream_write(client->server->stream, out.behind);
        }
        if (out.pinned != PIN_NONE) {
            proxy_client_note_pins(client, &out);
        }
        if (proxy_split_sent(client, piece->raw.len)) {
            stream_pause(client->stream);
            return NEXT_STOP;
        }
        return NEXT_PIECE;
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
        resend_free(client);
        proxy_client_resume(client);
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

static const StreamHandlers client_handlers = {
    .on_read = client_on_read,
    .on_drained = client_on_drained,
    .on_closed = client_on_closed,
};

void proxy_client_start_session(ProxyClient *client)
{
    int64_t limit = client->worker->config->idle_client_ms;
    if (client->worker->config->reads == READS_SPLIT) {
        proxy_split_start(client);
    }
    proxy_causal_start(client);
    proxy_client_login_done(client);
    client->state = CLIENT_READY;
    client->active_ms = loop_now_ms(client->worker->loop);
    client->framer = (PgFramer){0};
    proxy_meter_add(proxy_client_meter(client), STAT_LOGINS, 1);
    stream_set_handlers(client->stream, &client_handlers, client);
    idle_timer_start(client, limit > 0 ? limit : PROXY_LOGIN_MS);
    stream_resume(client->stream);
}
