/*
 * What PostgreSQL says on a connection that has logged in: to the client that it is linked to, to
 * several, to us, or unasked. Bytes go on by reference, as far as they are understood; messages are
 * never assembled, but for those that the proxy reads itself.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/pulse/hold_priv.h"
#include "proxy/server/server_parts_priv.h"
#include "proxy/split/causal_priv.h"
#include "proxy/split/split_priv.h"

static void run_flush(ProxyServer *server, ProxyRun *run)
{
    if (server->state == SERVER_LINE) {
        proxy_line_read_end(server, run);
        return;
    }
    Slice bytes = {run->data.data + run->sent, run->at - run->sent};
    if (bytes.len > 0 && server->client != NULL && !proxy_split_hold(server->client, bytes)) {
        proxy_resend_passed(server);
        stream_write_ref(server->client->stream, bytes);
    }
    run->sent = run->at;
}

/* The piece goes nowhere, nor does anything that still stands in front of it. */
static void run_skip(ProxyRun *run, const PgPiece *piece)
{
    run->at += piece->raw.len;
    run->sent = run->at;
}

static bool take_setting(ProxyServer *server, const PgPiece *piece)
{
    Slice name;
    Slice value;
    return piece->last && pg_get_parameter(piece->body, &name, &value) &&
           proxy_server_set_param(server, name, value);
}

static void note_fatal(ProxyServer *server, const PgPiece *piece)
{
    PgError error;
    if (piece->last && pg_get_error(piece->body, &error)) {
        server->fatal =
            server->fatal || slice_is(error.severity, "FATAL") || slice_is(error.severity, "PANIC");
    }
}

/* The engine ends, and nobody has asked it to: to a client a lost connection, and the engine's
 * words say less than ours of what became of its transaction. */
static bool is_engine_end(const PgPiece *piece)
{
    PgError error;
    return piece->type == 'E' && piece->first && piece->last && pg_get_error(piece->body, &error) &&
           slice_is(error.severity, "FATAL") &&
           (slice_is(error.sqlstate, "57P02") ||
            slice_is(error.message, "terminating connection due to unexpected postmaster exit"));
}

static SessionStep step_of(ProxyServer *server, const PgPiece *piece, SessionOut *out)
{
    Gate *gate = &server->exchange.gate;
    if (gate->slow) {
        gate->took_us = time_mono_us() - gate->slow_us; /* not of the turn's clock, which is late */
    }
    return session_server_piece(&server->client->session, &server->exchange, piece, out);
}

/* The client's ReadyForQuery: what it has to hear in front of that. False: it is not to hear this
 * one, for it is asked again. */
static bool take_ready(ProxyServer *server, ProxyRun *run)
{
    ProxyClient *client = server->client;
    proxy_traffic_answered(server);
    proxy_resend_answered(server);
    if (proxy_split_ready(client)) {
        return false;
    }
    if (client->told != server->params || server->told_before != NULL) {
        run_flush(server, run);
        proxy_server_tell_params(server);
    }
    if (client->ear != NULL && server->exchange.status == 'I' && proxy_ear_may_flush(client)) {
        run_flush(server, run);
        proxy_ear_flush(client->ear);
    }
    return true;
}

/* What it says of its settings, and of its end. False: it is malformed. */
static bool take_report(ProxyServer *server, const PgPiece *piece, SessionStep *step)
{
    if (piece->type == 'S') {
        TRY(take_setting(server, piece));
        *step = server->pool != NULL ? STEP_DROP : *step; /* told in front of ReadyForQuery */
    } else if (piece->type == 'E') {
        note_fatal(server, piece);
        proxy_split_error(server, piece);
    }
    return true;
}

static void keep_notification(ProxyClient *client, const PgPiece *piece, const SessionOut *out)
{
    Buf message;
    buf_init(&message, BUF_MAX_DEFAULT);
    buf_append_slice(&message, out->head);
    buf_append_slice(&message, slice_skip(piece->raw, out->replaced));
    proxy_ear_keep(client, buf_slice(&message));
    buf_done(&message);
}

/* To the client, as it is or with another beginning, or past it. */
static void pass_on(ProxyServer *server, ProxyRun *run, const PgPiece *piece, SessionStep step,
                    const SessionOut *out)
{
    ProxyClient *client = server->client;
    if (step == STEP_DROP) {
        run_flush(server, run);
        run->sent += piece->raw.len;
        if (out->news == LISTEN_KEEP) {
            keep_notification(client, piece, out);
        }
    } else if (out->replaced > 0) {
        run_flush(server, run);
        proxy_resend_passed(server);
        stream_write(client->stream, out->head);
        run->sent += out->replaced;
    }
    run->at += piece->raw.len;
}

static void take_news(ProxyServer *server, const SessionOut *out)
{
    if (out->pinned != PIN_NONE) {
        proxy_client_note_pins(server->client, out);
    }
    if (out->unpinned) {
        proxy_client_unpinned(server->client);
    }
    if (out->ddl && server->pool != NULL && server->pool->catalog != NULL) {
        catalog_entry_stale(server->pool->catalog, loop_now_ms(server->worker->loop));
    }
    if (out->learn) {
        proxy_server_learn_linked(server);
    }
}

static void after_answer(ProxyServer *server)
{
    ProxyClient *client = server->client;
    if (client->wants_room && !flight_is_full(&server->exchange.flight)) {
        client->wants_room = false;
        proxy_client_resume(client);
    }
}

/* What follows from a piece, once it is done with. The server may be another client's then, or
 * gone, and so may the client. */
static void follow(ProxyServer *server, ProxyRun *run, const SessionOut *out)
{
    ProxyClient *client = server->client;
    if (out->behind.len > 0) {
        stream_write(server->stream, out->behind);
    }
    take_news(server, out);
    if (out->causal != CAUSAL_NO_NEWS && !proxy_causal_news(server, out->causal)) {
        return;
    }
    after_answer(server);
    if (out->news != LISTEN_NO_NEWS) {
        proxy_ear_news(client, out->news);
    }
    if (out->at_rest) {
        run_flush(server, run);
        server->retired = server->retired || !exchange_is_clean(&server->exchange);
        proxy_server_release(server);
        proxy_client_drain(client);
    } else if (server->worker->draining && session_streams(&client->session, &server->exchange)) {
        run_flush(server, run);
        proxy_client_drain(client);
    }
}

/* False: the server breaks the protocol; problem says how. Where the piece has to wait, the server
 * is held. On the way of every message: no step has another caller, so that they are inlined. */
static bool take_linked(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                        const char **ret_problem)
{
    SessionOut out;
    bool learns = server->learns;
    if (is_engine_end(piece)) {
        run_flush(server, run);
        run_skip(run, piece);
        return true;
    }
    if (piece->type == 'N' && !server->exchange.gate.on && proxy_loss_is_cut_wait(piece)) {
        *ret_problem = "its commit did not wait for the standby: a failover may undo it";
        return false;
    }
    SessionStep step = step_of(server, piece, &out);
    *ret_problem = out.problem;
    if (step == STEP_REFUSE) {
        return false;
    }
    if (step == STEP_GATE) {
        run_flush(server, run);
        proxy_hold_gate(server);
        return true;
    }
    if (learns) {
        proxy_server_learn_linked_take(server, piece);
    }
    if (piece->first && !take_report(server, piece, &step)) {
        *ret_problem = "the server sent a malformed or endless ParameterStatus";
        return false;
    }
    bool again = piece->type == 'Z' && step == STEP_FORWARD && !take_ready(server, run);
    pass_on(server, run, piece, again ? STEP_DROP : step, &out);
    if (again) {
        proxy_split_again(server->client);
    }
    follow(server, run, &out);
    return true;
}

static bool take_line(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                      const char **ret_problem)
{
    *ret_problem = "the server sent a malformed ParameterStatus";
    if (piece->first && piece->type == 'S') {
        proxy_line_read_end(server, run);
        proxy_line_reports(server);
        run_skip(run, piece);
        return take_setting(server, piece);
    }
    return proxy_line_piece(server, run, piece, ret_problem);
}

static bool take_hub(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                     const char **ret_problem)
{
    if (piece->first && piece->type == 'E') {
        note_fatal(server, piece);
    }
    return proxy_hub_piece(server, run, piece, ret_problem);
}

/* An answer to us alone. False: it is malformed. */
static bool take_own(ProxyServer *server, ProxyRun *run, const PgPiece *piece)
{
    run_skip(run, piece);
    if (piece->first && piece->type == 'E') {
        note_fatal(server, piece);
    }
    return !piece->first || piece->type != 'S' || take_setting(server, piece);
}

/* Nobody asked: settings and notices may come, and the words with which it ends. */
static bool take_unasked(ProxyServer *server, const PgPiece *piece)
{
    Slice name;
    Slice value;
    if (!piece->first) {
        return true;
    }
    switch (piece->type) {
    case 'S':
        return pg_get_parameter(piece->body, &name, &value) &&
               proxy_server_set_param(server, name, value);
    case 'N':
    case 'A':
        return true;
    case 'E':
        server->fatal = true;
        return true;
    default:
        return false;
    }
}

static bool take_piece(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                       const char **ret_problem)
{
    if (server->state == SERVER_LINKED) {
        return take_linked(server, run, piece, ret_problem);
    }
    if (server->state == SERVER_LINE) {
        return take_line(server, run, piece, ret_problem);
    }
    if (server->state == SERVER_LISTENING) {
        return take_hub(server, run, piece, ret_problem);
    }
    if (server->state == SERVER_ORPHAN) {
        *ret_problem = "the server sent a malformed message";
        return take_own(server, run, piece) && proxy_server_orphan_take(server, piece);
    }
    if (server->state == SERVER_LEARNING) {
        *ret_problem = "the server's answer about its catalog is malformed";
        return take_own(server, run, piece) && proxy_server_learn_take(server, piece);
    }
    run_skip(run, piece);
    *ret_problem = "the server sent what nobody asked for";
    TRY(take_unasked(server, piece));
    if (server->fatal) {
        proxy_server_retire(server); /* it is about to close */
    }
    return true;
}

/* Rows, mostly: whole messages of which nobody has to know more. */
static void take_run(ProxyServer *server, ProxyRun *run)
{
    const ProxyClient *client = server->client;
    if (server->state == SERVER_LINKED && pg_framer_idle(&server->framer) && !server->learns &&
        !client->wants_room) {
        run->at += session_server_pass(&client->session, &server->exchange,
                                       slice_skip(run->data, run->at));
    }
}

static void server_broken(ProxyServer *server, const char *problem)
{
    log_warn("proxy", "a server connection is closed: %s", problem);
    stream_abort(server->stream);
    proxy_server_lost(server, problem);
}

static size_t server_on_read(void *user, Stream *stream, Slice data)
{
    ProxyServer *server = user;
    PoolHandle handle = server->handle;
    ProxyWorker *worker = server->worker;
    ProxyRun run = {.data = data};
    if (server->client != NULL && stream_blocked(server->client->stream)) {
        stream_pause(stream);
        return 0;
    }
    if (!proxy_hold_may_answer(server)) {
        return 0;
    }
    /* Released at rest, it may have been closed to make room. */
    while (pool_get(worker->server_slots, handle) != NULL && server->state != SERVER_DRAINING) {
        PgPiece piece;
        const char *problem = "the server sent a message of an impossible length";
        bool asks = server->exchange.asking != ASKING_NOTHING || server->state == SERVER_LEARNING;
        const PgPolicy *policy = asks ? &worker->ask_policy : &worker->server_policy;
        take_run(server, &run);
        const PgFramer before = server->framer;
        size_t at = run.at;
        WireResult result =
            pg_framer_next(&server->framer, policy, slice_skip(data, run.at), &piece);
        if (result == WIRE_MORE) {
            run_flush(server, &run);
            proxy_meter_add(proxy_server_meter(server), STAT_BYTES_OUT, (int64_t)run.at);
            return run.at;
        }
        if (result == WIRE_BAD || !take_piece(server, &run, &piece, &problem)) {
            run_flush(server, &run);
            server_broken(server, problem);
            return data.len;
        }
        if (pool_get(worker->server_slots, handle) != NULL && server->hold != HOLD_NONE) {
            if (run.at == at) {
                server->framer = before; /* the piece is given again */
                return run.at;
            }
            proxy_hold_end(server); /* it has passed */
        }
    }
    return data.len;
}

static void server_on_drained(void *user, Stream *stream)
{
    ProxyServer *server = user;
    (void)stream;
    if (server->client != NULL) {
        proxy_client_resume(server->client);
    }
}

static void server_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    proxy_server_lost(user, err != NULL ? err->message : "PostgreSQL closed it.");
}

const StreamHandlers proxy_server_handlers = {
    .on_read = server_on_read,
    .on_drained = server_on_drained,
    .on_closed = server_on_closed,
};
