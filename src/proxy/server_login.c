/*
 * Logging in to PostgreSQL as one of the users: SCRAM, md5, clear text or trust, whatever it asks
 * for, over a Unix socket, TCP or TLS. What goes wrong is either of the moment (it starts, it is
 * full: the waiters wait on) or for good (no such database: the waiters are told).
 */
#include <stdio.h>

#include "proxy/pulse_priv.h"
#include "proxy/route_priv.h"
#include "proxy/server_priv.h"
#include "proxy/traffic_priv.h"
#include "proxy/watch_priv.h"

/* ---- what failed -------------------------------------------------------------------------------
 */

static const char *server_user(const ProxyServer *server)
{
    return server->pool != NULL ? server->pool->user : server->user;
}

static const ProxyUser *server_credentials(const ProxyServer *server)
{
    return proxy_config_user(server->worker->config, slice_of(server_user(server)));
}

static bool is_passing(Slice sqlstate)
{
    static const char *const codes[] = {"57P01", "57P02", "57P03", "53300", "53200"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (slice_is(sqlstate, codes[i])) {
            return true;
        }
    }
    return slice_starts(sqlstate, "08") && !slice_is(sqlstate, "08P01");
}

static const char *health_reason(Slice sqlstate)
{
    if (slice_starts(sqlstate, "28")) {
        return "AUTH_FAILURE";
    }
    return slice_is(sqlstate, "53300") ? "PENDING_PROXY_CAPACITY" : "CONNECTION_FAILED";
}

/* Waiters wait on; the next attempt comes a little later each time. */
static void side_back_off(const ProxyServer *server, const char *message)
{
    ProxySide *side = proxy_server_side(server);
    int64_t delay = side->retry_delay_ms * 2;
    delay = delay < PROXY_RETRY_MIN_MS   ? PROXY_RETRY_MIN_MS
            : delay > PROXY_RETRY_MAX_MS ? PROXY_RETRY_MAX_MS
                                         : delay;
    side->retry_delay_ms = delay;
    side->retry_at_ms = loop_now_ms(server->worker->loop) + delay;
    err_set(&side->problem, ERR_UNAVAILABLE, "%s", message);
    proxy_watch_ask(server->worker, server->target);
}

/* The role's own words would tell a client about the proxy's login, which is none of its doing. */
static void fail_for_good(ProxyPool *pool, const PgError *error, const char *message)
{
    PgError told = *error;
    if (slice_starts(error->sqlstate, "28")) {
        told = (PgError){.severity = SLICE("FATAL"),
                         .sqlstate = SLICE("08004"),
                         .message = SLICE("The proxy could not log in to the database with the "
                                          "credentials of this role."),
                         .detail = slice_of(message)};
    }
    proxy_pool_fail_waiters(pool, &told);
}

static Trial *server_trial(ProxyServer *server)
{
    return server->pool != NULL ? &server->pool->trial : &proxy_server_side(server)->probe_trial;
}

/* PostgreSQL refused the password: keys of it are worth nothing, and the role's other one may be.
 * Clients wait on for that, and nobody else hears of it. */
static bool other_password_left(ProxyServer *server, const PgError *error)
{
    ProxyPool *pool = server->pool;
    const ProxyUser *user = server_credentials(server);
    if (!slice_is(error->sqlstate, "28P01") || user == NULL || !secret_is_set(&user->password)) {
        return false;
    }
    if (pool != NULL && pool->keys_previous == server->previous) {
        crypto_wipe(&pool->keys, sizeof(pool->keys));
    }
    return trial_refused(server_trial(server), server->previous, secret_is_set(&user->previous));
}

void proxy_server_login_failed(ProxyServer *server, const PgError *error)
{
    ProxyHealth *health = &proxy_server_target(server)->health;
    ProxyPool *pool = server->pool;
    CLEANUP(mem_free_ptr) char *message = mem_printf("%.*s", SLICE_FMT(error->message));
    if (other_password_left(server, error)) {
        stream_abort(server->stream);
        proxy_server_lost(server, message);
        return;
    }
    if (server->pulse) {
        proxy_pulse_failed(server, message);
        stream_abort(server->stream);
        proxy_server_lost(server, message);
        return;
    }
    bool passing = is_passing(error->sqlstate);
    bool judged = proxy_watch_judges(server);
    bool watch = server->probe && judged;
    bool answered = slice_is(error->sqlstate, "3D000") && server->probe && !watch;
    proxy_meter_add(proxy_server_meter(server), STAT_SERVERS_FAILED, 1);
    if (answered) {
        trial_accepted(server_trial(server), server->previous);
        proxy_health_good(health); /* it authenticated us before it looked */
    } else if (watch) {
        proxy_watch_refused(server, health_reason(error->sqlstate), message, passing);
    } else if (!judged && (server->probe || passing || slice_starts(error->sqlstate, "28"))) {
        proxy_health_bad(health, health_reason(error->sqlstate), message);
    }
    if (pool != NULL && passing) {
        side_back_off(server, message);
        proxy_route_look_elsewhere(pool);
    } else if (pool != NULL && proxy_route_refused(pool)) {
        proxy_pool_wake_waiters(pool, true);
    } else if (pool != NULL) {
        pool->clients++; /* keeps it while its waiters go */
        fail_for_good(pool, error, message);
        pool->clients--;
    }
    stream_abort(server->stream);
    proxy_server_lost(server, message);
}

void proxy_server_connect_failed(ProxyServer *server, const Err *err)
{
    const char *why = err != NULL ? err->message : "PostgreSQL closed the connection";
    proxy_meter_add(proxy_server_meter(server), STAT_SERVERS_FAILED, 1);
    if (!server->pulse && (server->probe || !proxy_watch_judges(server))) {
        proxy_health_bad(&proxy_server_target(server)->health, "UNREACHABLE", why);
    }
    if (server->pool != NULL) {
        side_back_off(server, why);
        proxy_route_look_elsewhere(server->pool);
    }
    proxy_server_lost(server, why);
}

static bool login_broken(ProxyServer *server, const char *what)
{
    PgError error = {
        .severity = SLICE("FATAL"), .sqlstate = SLICE("08P01"), .message = slice_of(what)};
    proxy_server_login_failed(server, &error);
    return false;
}

void proxy_server_login_late(void *user)
{
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = SLICE("08006"),
                     .message = SLICE("the server did not complete the login in time")};
    proxy_server_login_failed(user, &error);
}

static void probe_done(ProxyServer *server)
{
    if (server->pulse) {
        proxy_pulse_begin(server);
        return;
    }
    if (server->state == SERVER_LOGIN && proxy_watch_judges(server)) {
        proxy_watch_begin(server);
        return;
    }
    proxy_health_good(&proxy_server_target(server)->health);
    proxy_server_retire(server);
}

/* ---- authentication
 * ------------------------------------------------------------------------------ */

static void send_buf(ProxyServer *server, Buf *out)
{
    stream_write(server->stream, buf_slice(out));
    buf_done(out);
}

static void scram_begin(ProxyServer *server)
{
    uint8_t raw[SCRAM_NONCE_RAW];
    char nonce[SCRAM_NONCE_RAW * 2];
    Buf first;
    Buf out;
    buf_init(&first, BUF_MAX_DEFAULT);
    buf_init(&out, BUF_MAX_DEFAULT);
    random_bytes(raw, sizeof(raw));
    base64_encode(raw, sizeof(raw), nonce);
    server->scram = mem_alloc(sizeof(ScramClient));
    scram_client_first(server->scram, slice_of(nonce), &first);
    pg_put_sasl_initial(&out, SCRAM_MECHANISM, buf_slice(&first));
    buf_done(&first);
    send_buf(server, &out);
}

/* Without a password the keys come from a client's own login: see keep_keys in client_enter.c. */
static Slice login_password(const ProxyServer *server, const ProxyUser *user)
{
    if (server->previous && secret_is_set(&user->previous)) {
        return secret_reveal(&user->previous); /* not taken away since it was chosen */
    }
    return secret_is_set(&user->password) ? secret_reveal(&user->password) : SLICE("");
}

/* Keys tell by their salt whether they are of the role's password at the server, but not whether
 * they are of the one that we have. */
static ScramKeys *pool_keys(ProxyServer *server)
{
    ProxyPool *pool = server->pool;
    if (pool->keys.iterations == 0 && pool->home->keys_previous == server->previous) {
        pool->keys = pool->home->keys; /* a client's login has left them there */
        pool->keys_previous = server->previous;
    }
    if (pool->keys_previous != server->previous) {
        crypto_wipe(&pool->keys, sizeof(pool->keys));
        pool->keys_previous = server->previous;
    }
    return &pool->keys;
}

static bool scram_go_on(ProxyServer *server, const ProxyUser *user, Slice data)
{
    ScramKeys once = {0}; /* a probe keeps none */
    ScramKeys *keys = server->pool != NULL ? pool_keys(server) : &once;
    Buf final;
    Buf out;
    Err err;
    buf_init(&final, BUF_MAX_DEFAULT);
    bool ok =
        scram_client_final(server->scram, data, login_password(server, user), keys, &final, &err);
    if (ok) {
        buf_init(&out, BUF_MAX_DEFAULT);
        pg_put_sasl_response(&out, buf_slice(&final));
        send_buf(server, &out);
    }
    buf_done(&final);
    crypto_wipe(&once, sizeof(once));
    return ok || login_broken(server, err.message);
}

static bool scram_finish(ProxyServer *server, Slice data)
{
    Err err;
    return scram_client_verify(server->scram, data, &err) || login_broken(server, err.message);
}

static bool password_send(ProxyServer *server, Slice password)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_password(&out, password);
    send_buf(server, &out);
    return true;
}

/* Not to whoever listens on the network. */
static bool cleartext_send(ProxyServer *server, const ProxyUser *user)
{
    if (server->place.host != NULL && stream_tls(server->stream) == NULL) {
        return login_broken(server, "the server asks for the password in clear text, without TLS");
    }
    return password_send(server, login_password(server, user));
}

/* Nobody has told us the password. False: the login has ended. */
static bool has_secret(ProxyServer *server, const ProxyUser *user, PgAuthKind kind)
{
    const ProxyPool *pool = server->pool;
    bool keys = kind == PG_AUTH_SASL && pool != NULL &&
                (pool->keys.iterations > 0 || pool->home->keys.iterations > 0);
    if (secret_is_set(&user->password) || keys || kind == PG_AUTH_OK || server->scram != NULL) {
        return true;
    }
    if (server->probe && !server->pulse && !proxy_watch_judges(server)) {
        probe_done(server); /* it lives, and that was the question */
        return false;
    }
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = SLICE("28P01"),
                     .message = user->verifier_given
                                    ? SLICE("the server asks for a password, and the proxy has "
                                            "only a SCRAM verifier of this role")
                                    : SLICE("the server asks for a password, and the proxy has "
                                            "none of this role")};
    proxy_server_login_failed(server, &error);
    return false;
}

static bool take_auth(ProxyServer *server, const PgPiece *piece)
{
    PgAuth auth;
    char md5[36];
    const ProxyUser *user = server_credentials(server);
    if (!piece->last || !pg_get_auth(piece->body, &auth)) {
        return login_broken(server, "the server sent a malformed authentication request");
    }
    if (user == NULL && server->pulse) {
        return auth.kind == PG_AUTH_OK ||
               login_broken(server, "the server asks for a password, and probe_user is none of the "
                                    "users");
    }
    if (user == NULL) {
        return login_broken(server, "the role's credentials were taken away meanwhile");
    }
    if (!has_secret(server, user, auth.kind)) {
        return false;
    }
    switch (auth.kind) {
    case PG_AUTH_OK:
        return true;
    case PG_AUTH_CLEARTEXT:
        return cleartext_send(server, user);
    case PG_AUTH_MD5:
        pg_md5_response(slice_of(user->name), login_password(server, user), auth.data, md5);
        return password_send(server, slice_of(md5));
    case PG_AUTH_SASL:
        if (!pg_auth_offers(&auth, SCRAM_MECHANISM) || server->scram != NULL) {
            return login_broken(server, "the server offers no SCRAM-SHA-256");
        }
        scram_begin(server);
        return true;
    case PG_AUTH_SASL_CONTINUE:
    case PG_AUTH_SASL_FINAL:
        if (server->scram == NULL) {
            return login_broken(server, "the server answered a SASL exchange that was not begun");
        }
        return auth.kind == PG_AUTH_SASL_FINAL ? scram_finish(server, auth.data)
                                               : scram_go_on(server, user, auth.data);
    default:
        return login_broken(server, "the server asks for an authentication other than SCRAM, md5 "
                                    "or password");
    }
}

/* ---- logged in
 * ----------------------------------------------------------------------------------- */

static void login_complete(ProxyServer *server)
{
    ProxySide *side = proxy_server_side(server);
    loop_timer_stop(&server->timer);
    mem_free(server->scram);
    server->scram = NULL;
    proxy_traffic_server_open(server);
    side->retry_delay_ms = 0;
    side->problem = (Err){0};
    if (!proxy_watch_judges(server)) {
        proxy_health_good(&proxy_server_target(server)->health);
    }
    trial_accepted(server_trial(server), server->previous);
    proxy_welcome_take(server);
    server->pool->connecting--;
    side->connecting--;
    server->state = SERVER_IDLE;
    stream_set_handlers(server->stream, &proxy_server_handlers, server);
    proxy_server_available(server);
}

static bool take_ready(ProxyServer *server)
{
    const char *init_query = server->worker->config->init_query;
    if (server->probe) {
        trial_accepted(server_trial(server), server->previous);
        probe_done(server);
        return false;
    }
    if (server->state == SERVER_LOGIN && init_query != NULL) {
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        pg_put_query(&out, slice_of(init_query));
        send_buf(server, &out);
        server->state = SERVER_INIT;
        return true;
    }
    if (proxy_defaults_ask(server)) {
        server->state = SERVER_INIT;
        return true;
    }
    login_complete(server);
    return false;
}

static bool take_error(ProxyServer *server, const PgPiece *piece)
{
    PgError error;
    if (!piece->last || !pg_get_error(piece->body, &error)) {
        return login_broken(server, "the server sent an error that is malformed or endless");
    }
    if (server->state == SERVER_INIT && !server->asks_defaults) {
        CLEANUP(mem_free_ptr)
        char *what =
            mem_printf("the proxy's initialization query failed: %.*s", SLICE_FMT(error.message));
        error.message = slice_of(what);
        proxy_health_bad(&proxy_server_target(server)->health, "CONNECTION_FAILED", what);
        proxy_server_login_failed(server, &error);
        return false;
    }
    proxy_server_login_failed(server, &error);
    return false;
}

static bool take_key_data(ProxyServer *server, const PgPiece *piece)
{
    Slice key;
    if (!piece->last || !pg_get_key_data(piece->body, &server->pid, &key)) {
        return login_broken(server, "the server sent a malformed BackendKeyData");
    }
    server->key_len = (uint32_t)key.len;
    memcpy(server->key, key.data, key.len);
    return true;
}

static bool take_parameter(ProxyServer *server, const PgPiece *piece)
{
    Slice name;
    Slice value;
    return (piece->last && pg_get_parameter(piece->body, &name, &value) &&
            proxy_server_set_param(server, name, value)) ||
           login_broken(server, "the server sent a malformed ParameterStatus");
}

/* The initialization query may answer anything but a COPY. */
static bool take_other(ProxyServer *server, char type)
{
    return (server->state == SERVER_INIT && strchr("TDCIA", type) != NULL) ||
           login_broken(server, "the server sent an unexpected message at login");
}

/* False: the server has left the login, one way or the other; it may be gone. */
static bool take_piece(ProxyServer *server, const PgPiece *piece)
{
    char type = piece->first ? piece->type : '\0';
    switch (type) {
    case 'R':
        return take_auth(server, piece);
    case 'S':
        return take_parameter(server, piece);
    case 'K':
        return take_key_data(server, piece);
    case 'E':
        return take_error(server, piece);
    case 'Z':
        return take_ready(server);
    case 'D':
        if (server->asks_defaults) {
            return proxy_defaults_take(server, piece) ||
                   login_broken(server, "the server does not tell what transactions are");
        }
        return take_other(server, type);
    case '\0': /* the rest of a long one */
    case 'N':
    case 'v':
        return true;
    default:
        return take_other(server, type);
    }
}

/* ---- the stream
 * ---------------------------------------------------------------------------------- */

static void put_start(const ProxyServer *server, Buf *out)
{
    const ProxyPool *pool = server->pool;
    Buf params;
    buf_init(&params, PG_START_MAX);
    pg_put_str(&params, SLICE("user"));
    pg_put_str(&params, slice_of(server_user(server)));
    pg_put_str(&params, SLICE("database"));
    pg_put_str(&params, slice_of(pool != NULL ? pool->database : PROXY_PROBE_DATABASE));
    if (pool != NULL) {
        buf_append_slice(&params, params_slice(pool->params));
        proxy_defaults_put(server, &params);
    } else if (server->pulse) {
        proxy_pulse_put_params(&params);
    } else {
        proxy_watch_put_params(&params);
    }
    pg_put_start(out, 0, buf_slice(&params));
    buf_done(&params);
}

static void login_on_open(void *user, Stream *stream)
{
    ProxyServer *server = user;
    Buf out;
    if (proxy_place_tls_ask(&server->place, stream)) {
        return;
    }
    server->state = SERVER_LOGIN;
    const ProxyUser *credentials = server_credentials(server);
    server->previous = server_trial(server)->previous && credentials != NULL &&
                       secret_is_set(&credentials->previous);
    buf_init(&out, BUF_MAX_DEFAULT);
    put_start(server, &out);
    send_buf(server, &out);
}

static size_t take_tls_answer(ProxyServer *server, Slice data)
{
    Err err;
    if (proxy_place_tls_begin(&server->place, server->stream, data, &err)) {
        return 1;
    }
    stream_abort(server->stream);
    proxy_server_connect_failed(server, &err);
    return data.len;
}

static size_t login_on_read(void *user, Stream *stream, Slice data)
{
    ProxyServer *server = user;
    size_t at = 0;
    (void)stream;
    if (server->state == SERVER_CONNECTING) {
        return take_tls_answer(server, data);
    }
    for (;;) {
        PgPiece piece;
        WireResult result = pg_framer_next(&server->framer, &server->worker->ask_policy,
                                           slice_skip(data, at), &piece);
        if (result == WIRE_MORE) {
            return at;
        }
        if (result == WIRE_BAD) {
            login_broken(server, "the server sent a message of an impossible length");
            return data.len;
        }
        at += piece.raw.len;
        if (!take_piece(server, &piece)) {
            return at; /* what may follow has no bearing on the login */
        }
    }
}

static void login_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    proxy_server_connect_failed(user, err);
}

const StreamHandlers proxy_server_login_handlers = {
    .on_open = login_on_open,
    .on_read = login_on_read,
    .on_closed = login_on_closed,
};
