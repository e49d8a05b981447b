/*
 * A connection to PostgreSQL in use: linked to a client, handed on at rest, drained at its end. It
 * keeps its place in the budget until PostgreSQL itself has closed, because until then a backend is
 * there that counts for max_connections.
 */
#include "proxy/causal_priv.h"
#include "proxy/client_priv.h"
#include "proxy/hold_priv.h"
#include "proxy/hub_priv.h"
#include "proxy/server_priv.h"
#include "proxy/split_priv.h"
#include "proxy/traffic_priv.h"
#include "proxy/watch_priv.h"

/* ---- life --------------------------------------------------------------------------------------
 */

static StreamOptions server_stream_options(ProxyServer *server, const StreamHandlers *handlers)
{
    uint32_t silence_s = server->worker->config->silent_server_s;
    int64_t timeout_ms = (int64_t)silence_s * MS_PER_S;
    return (StreamOptions){
        .handlers = handlers,
        .user = server,
        .pending_max = PROXY_PENDING_MAX,
        .silence_s = silence_s,
        .timeout_ms = timeout_ms < PROXY_SERVER_LOGIN_MS ? timeout_ms : PROXY_SERVER_LOGIN_MS};
}

ProxyTargetState *proxy_server_target(const ProxyServer *server)
{
    return &server->worker->proxy->targets[server->target];
}

ProxyServer *proxy_server_open(ProxyWorker *worker, ProxyPool *pool, ProxyClient *relay_client,
                               size_t target)
{
    PoolHandle handle;
    ProxyServer *server = pool_acquire(worker->server_slots, &handle);
    if (server == NULL) {
        return NULL;
    }
    server->worker = worker;
    server->handle = handle;
    server->pool = pool;
    server->target = (uint8_t)target;
    server->client = relay_client;
    server->budgeted = pool != NULL;
    server->probe = pool == NULL && relay_client == NULL;
    server->opened_ms = loop_now_ms(worker->loop);
    server->params = params_new((Slice){0});
    buf_init(&server->kept, LINE_REQUEST_MAX);
    exchange_init(&server->exchange, pool != NULL ? pool->statements : NULL,
                  pool != NULL ? pool->settings : NULL);
    server->exchange.memo = worker->memo;
    list_push_back(&worker->servers, &server->node);
    if (pool != NULL) {
        pool->servers++;
        pool->connecting++;
        proxy_server_side(server)->connecting++;
        proxy_server_side(server)->servers++;
    }
    proxy_traffic_server_begun(server);
    proxy_place_init(&server->place, worker, target);
    const StreamHandlers *handlers =
        relay_client != NULL ? &proxy_relay_server_handlers : &proxy_server_login_handlers;
    StreamOptions options = server_stream_options(server, handlers);
    server->stream = stream_connect(worker->loop, &server->place.addr, &options);
    if (relay_client == NULL) {
        loop_timer_start(worker->loop, &server->timer, PROXY_SERVER_LOGIN_MS, 0,
                         proxy_server_login_late, server);
    }
    return server;
}

ProxyServer *proxy_server_open_pulse(ProxyWorker *worker, const char *user)
{
    ProxyServer *server = proxy_server_open(worker, NULL, NULL, PROXY_TARGET_PRIMARY);
    if (server != NULL) {
        server->pulse = true;
        server->user = mem_strdup(user);
    }
    return server;
}

static bool is_logging_in(const ProxyServer *server)
{
    return server->state == SERVER_CONNECTING || server->state == SERVER_LOGIN ||
           server->state == SERVER_INIT;
}

/* Leaves the state in which it counted as being opened or as leaving. */
static void server_count_out(ProxyServer *server)
{
    if (server->pool != NULL && is_logging_in(server)) {
        server->pool->connecting--;
        proxy_server_side(server)->connecting--;
    } else if (server->state == SERVER_DRAINING) {
        proxy_server_side(server)->leaving--;
    }
}

void proxy_server_unlink(ProxyServer *server)
{
    ProxyClient *client = server->client;
    if (client == NULL) {
        return;
    }
    server->last = client->handle;
    proxy_hold_end(server);
    proxy_split_unlink(server);
    params_unref(server->told_before);
    server->told_before = NULL;
    if (server->exchange.wrote) {
        server->writer = client->handle;
    }
    client->server = NULL;
    server->client = NULL;
    if (server->state == SERVER_LINKED) {
        proxy_server_side(server)->linked--;
        proxy_traffic_unlinked(server);
    }
}

static void server_free(ProxyServer *server)
{
    ProxyWorker *worker = server->worker;
    ProxyPool *pool = server->pool;
    bool budgeted = server->budgeted;
    bool leaving = server->state == SERVER_DRAINING;
    ASSERT(server->client == NULL);
    proxy_hold_end(server);
    proxy_server_learn_abandon(server);
    proxy_line_lost(server);
    proxy_hub_lost(server);
    catalog_names_unref(server->names);
    proxy_pool_idle_remove(server);
    server_count_out(server);
    loop_timer_stop(&server->timer);
    list_remove(&worker->servers, &server->node);
    params_unref(server->params);
    params_unref(server->told_before);
    exchange_done(&server->exchange);
    if (server->scram != NULL) {
        crypto_wipe(server->scram, sizeof(*server->scram));
        mem_free(server->scram);
    }
    if (budgeted && worker->apart) {
        leaving_server_gone(server);
    }
    if (budgeted && pool == NULL) {
        proxy_probe_give(server);
    }
    mem_free(server->user);
    proxy_place_done(&server->place);
    buf_done(&server->hello);
    buf_done(&server->kept);
    if (server->pulse) {
        proxy_pulse_gone(server);
    } else if (server->probe) {
        proxy_watch_gone(server);
    }
    proxy_traffic_server_gone(server);
    size_t target = server->target;
    pool_release(worker->server_slots, server->handle);
    if (pool != NULL) {
        proxy_limits_give(pool, leaving);
        worker->sides[target].servers--;
        pool->servers--;
        proxy_pool_unused(pool);
    }
    if (budgeted) {
        proxy_budget_give(&worker->proxy->targets[target].budget);
        proxy_worker_permit_freed(worker, target);
    }
    proxy_worker_server_gone(worker);
}

/* ---- the end -----------------------------------------------------------------------------------
 */

static size_t draining_on_read(void *user, Stream *stream, Slice data)
{
    (void)user;
    (void)stream;
    return data.len;
}

static void draining_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    server_free(user);
}

static const StreamHandlers draining_handlers = {.on_read = draining_on_read,
                                                 .on_closed = draining_on_closed};

/* In the middle of a message no Terminate can be put on the line: the end of the line says it. */
static void server_leave(ProxyServer *server, bool mid_message)
{
    bool open = server->state != SERVER_CONNECTING;
    bool in_session = server->state == SERVER_IDLE || server->state == SERVER_LINKED ||
                      server->state == SERVER_PARKED || server->state == SERVER_ORPHAN ||
                      server->state == SERVER_LEARNING || server->state == SERVER_LINE ||
                      server->state == SERVER_LISTENING || server->probe;
    proxy_server_unlink(server);
    proxy_hold_end(server);
    proxy_server_learn_abandon(server);
    proxy_line_lost(server);
    proxy_hub_lost(server);
    proxy_pool_idle_remove(server);
    server_count_out(server);
    server->state = SERVER_DRAINING;
    proxy_server_side(server)->leaving++;
    proxy_limits_leaving(server->pool);
    loop_timer_stop(&server->timer);
    if (!open) {
        stream_abort(server->stream);
        server_free(server);
        return;
    }
    stream_set_handlers(server->stream, &draining_handlers, server);
    if (in_session && !mid_message) {
        stream_write_ref(server->stream, SLICE("X\0\0\0\4"));
    }
    stream_end(server->stream);
    stream_resume(server->stream);
}

void proxy_server_retire(ProxyServer *server)
{
    server_leave(server, false);
}

/* ---- without its client
 * -------------------------------------------------------------------------- */

/* One of ours, in front of whatever comes. */
static void send_own(ProxyServer *server, char type, Slice bytes)
{
    flight_push(&server->exchange.flight, type, FLIGHT_OURS);
    stream_write_ref(server->stream, bytes);
}

/* Whether what the client has begun can be brought to an end without it. */
static bool can_come_to_rest(const ProxyServer *server)
{
    const ProxyClient *client = server->client;
    return server->state == SERVER_LINKED && server->pool != NULL && !server->retired &&
           !server->worker->draining && client != NULL &&
           session_can_be_orphaned(&client->session, &server->exchange);
}

/* A Sync ends what was sent, also behind an error; a transaction that is open then is rolled back.
 * Clients that run out of patience are many, and a new login costs more than this. */
void proxy_server_abandon(ProxyServer *server)
{
    if (proxy_server_learn_on(server)) {
        return;
    }
    if (!can_come_to_rest(server)) {
        server_leave(server, server->client != NULL && server->client->session.mid_message);
        return;
    }
    proxy_server_unlink(server);
    session_unlink(&server->exchange);
    server->state = SERVER_ORPHAN;
    server->rolled_back = false;
    stream_resume(server->stream);
    send_own(server, 'S', SLICE("S\0\0\0\4"));
}

static void orphan_ready(ProxyServer *server)
{
    if (!flight_is_empty(&server->exchange.flight)) {
        return;
    }
    if (server->exchange.status == 'I') {
        proxy_server_release(server);
    } else if (server->rolled_back) {
        proxy_server_retire(server);
    } else {
        server->rolled_back = true;
        send_own(server, 'Q', SLICE("Q\0\0\0\15ROLLBACK\0"));
    }
}

/* On a connection that is opened from now on: what is there already may be of an engine that dies.
 */
static void resend(ProxyClient *client, Slice request)
{
    proxy_side_retire(client->worker, PROXY_TARGET_PRIMARY);
    client->wants_room = false; /* of a server that it has no more */
    proxy_meter_add(proxy_client_meter(client), STAT_RESENT, 1);
    proxy_client_again(client, request);
}

void proxy_server_lost(ProxyServer *server, const char *why)
{
    ProxyClient *client = server->client;
    bool told = server->fatal;
    bool linked = server->state == SERVER_LINKED;
    bool halved = linked && proxy_server_mid_answer(server);
    bool asks_again = client != NULL && proxy_split_reads(client);
    SessionLoss loss = LOSS_AT_REST;
    if (server->state == SERVER_IDLE || linked || server->state == SERVER_LINE ||
        server->state == SERVER_LISTENING) {
        proxy_health_doubt(&proxy_server_target(server)->health);
        proxy_watch_ask(server->worker, server->target);
    }
    bool survives = client != NULL && client->ear != NULL && proxy_ear_survives(client);
    survives = survives || proxy_server_only_learns(server);
    Buf request;
    buf_init(&request, LINE_REQUEST_MAX);
    bool resends = client != NULL && !asks_again && !survives && !server->worker->draining &&
                   proxy_resend_take(server, &request);
    survives = survives || (linked && client != NULL && !asks_again && !resends &&
                            proxy_loss_survived(server, why, &loss));
    proxy_server_unlink(server);
    server_free(server);
    if (resends) {
        resend(client, buf_slice(&request));
    }
    buf_done(&request);
    if (client == NULL || resends) {
        return;
    }
    if (asks_again) {
        proxy_split_again(client);
        return;
    }
    if (survives) {
        client->wants_room = false;
        proxy_client_resume(client);
        proxy_client_drain(client);
    } else if (told || halved) {
        proxy_client_close(client); /* behind PostgreSQL's own words, or half of an answer */
    } else if (linked) {
        PgError error = session_loss_error(loss, true, why);
        proxy_client_refuse(client, &error);
    } else {
        proxy_client_fatal(client, "08006", "The connection to the database was lost.", why);
    }
}

/* ---- what PostgreSQL says
 * ------------------------------------------------------------------------ */

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

static void after_answer(ProxyServer *server)
{
    ProxyClient *client = server->client;
    if (client->wants_room && !flight_is_full(&server->exchange.flight)) {
        client->wants_room = false;
        proxy_client_resume(client);
    }
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

static SessionStep step_of(ProxyServer *server, const PgPiece *piece, SessionOut *out)
{
    Gate *gate = &server->exchange.gate;
    if (gate->slow) {
        gate->took_us = time_mono_us() - gate->slow_us; /* not of the turn's clock, which is late */
    }
    return session_server_piece(&server->client->session, &server->exchange, piece, out);
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

/* False: the server breaks the protocol; problem says how. Where the piece has to wait, the server
 * is held. */
static bool take_linked(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                        const char **ret_problem)
{
    ProxyClient *client = server->client;
    SessionOut out;
    bool learns = server->learns;
    if (proxy_loss_is_engine_end(piece)) {
        run_flush(server, run);
        run->at += piece->raw.len;
        run->sent = run->at;
        return true;
    }
    if (!server->exchange.gate.on && proxy_loss_is_cut_wait(piece)) {
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
    if (piece->type == 'Z' && step == STEP_FORWARD) {
        proxy_traffic_answered(server);
        proxy_resend_answered(server);
    }
    if (piece->first && piece->type == 'S') {
        if (!take_setting(server, piece)) {
            *ret_problem = "the server sent a malformed or endless ParameterStatus";
            return false;
        }
        step = server->pool != NULL ? STEP_DROP : step; /* told in front of ReadyForQuery */
    }
    if (piece->first && piece->type == 'E') {
        note_fatal(server, piece);
        proxy_split_error(server, piece);
    }
    bool again = piece->type == 'Z' && step == STEP_FORWARD && proxy_split_ready(client);
    step = again ? STEP_DROP : step;
    if (piece->type == 'Z' && step == STEP_FORWARD &&
        (client->told != server->params || server->told_before != NULL)) {
        run_flush(server, run);
        proxy_server_tell_params(server);
    }
    if (piece->type == 'Z' && step == STEP_FORWARD && client->ear != NULL &&
        server->exchange.status == 'I' && proxy_ear_may_flush(client)) {
        run_flush(server, run);
        proxy_ear_flush(client->ear);
    }
    if (step == STEP_DROP) {
        run_flush(server, run);
        run->sent += piece->raw.len;
        if (out.news == LISTEN_KEEP) {
            keep_notification(client, piece, &out);
        }
    } else if (out.replaced > 0) {
        run_flush(server, run);
        proxy_resend_passed(server);
        stream_write(client->stream, out.head);
        run->sent += out.replaced;
    }
    run->at += piece->raw.len;
    if (again) {
        proxy_split_again(client);
    }
    if (out.behind.len > 0) {
        stream_write(server->stream, out.behind);
    }
    take_news(server, &out);
    if (out.causal != CAUSAL_NO_NEWS && !proxy_causal_news(server, out.causal)) {
        return true;
    }
    after_answer(server);
    if (out.news != LISTEN_NO_NEWS) {
        proxy_ear_news(client, out.news);
    }
    if (out.at_rest) {
        run_flush(server, run);
        server->retired = server->retired || !exchange_is_clean(&server->exchange);
        proxy_server_release(server);
        proxy_client_drain(client);
    } else if (server->worker->draining && session_streams(&client->session, &server->exchange)) {
        run_flush(server, run);
        proxy_client_drain(client);
    }
    return true;
}

/* Nobody wants to hear it; it only has to come to rest. */
static bool take_orphan(ProxyServer *server, ProxyRun *run, const PgPiece *piece)
{
    run->at += piece->raw.len;
    run->sent = run->at;
    if (!piece->first) {
        return true;
    }
    Flight *flight = &server->exchange.flight;
    FlightAnswer answer = session_orphan_piece(&server->exchange, piece);
    if (piece->type == 'E') {
        note_fatal(server, piece);
    }
    if (piece->type == 'S' && !take_setting(server, piece)) {
        return false;
    }
    if (answer.own_failed || flight->unsure || flight->copying) {
        proxy_server_retire(server);
        return true;
    }
    if (answer.ready) {
        TRY(pg_get_ready(piece->body, &server->exchange.status));
        orphan_ready(server);
    }
    return true;
}

static bool take_line(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                      const char **ret_problem)
{
    *ret_problem = "the server sent a malformed ParameterStatus";
    if (piece->first && piece->type == 'S') {
        proxy_line_read_end(server, run);
        proxy_line_reports(server);
        run->at += piece->raw.len;
        run->sent = run->at;
        return take_setting(server, piece);
    }
    return proxy_line_piece(server, run, piece, ret_problem);
}

static bool take_learning(ProxyServer *server, ProxyRun *run, const PgPiece *piece)
{
    run->at += piece->raw.len;
    run->sent = run->at;
    if (piece->first && piece->type == 'E') {
        note_fatal(server, piece);
    }
    if (piece->first && piece->type == 'S' && !take_setting(server, piece)) {
        return false;
    }
    return proxy_server_learn_take(server, piece);
}

static bool take_piece(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                       const char **ret_problem)
{
    if (server->state == SERVER_LINKED) {
        return take_linked(server, run, piece, ret_problem);
    }
    if (server->state == SERVER_ORPHAN) {
        *ret_problem = "the server sent a malformed message";
        return take_orphan(server, run, piece);
    }
    if (server->state == SERVER_LINE) {
        return take_line(server, run, piece, ret_problem);
    }
    if (server->state == SERVER_LISTENING) {
        if (piece->first && piece->type == 'E') {
            note_fatal(server, piece);
        }
        return proxy_hub_piece(server, run, piece, ret_problem);
    }
    if (server->state == SERVER_LEARNING) {
        *ret_problem = "the server's answer about its catalog is malformed";
        return take_learning(server, run, piece);
    }
    run->at += piece->raw.len;
    run->sent = run->at;
    *ret_problem = "the server sent what nobody asked for";
    TRY(take_unasked(server, piece));
    if (server->fatal) {
        proxy_server_retire(server); /* it is about to close */
    }
    return true;
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
