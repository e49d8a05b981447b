/*
 * Logging in to PostgreSQL as one of the users, over a Unix socket, TCP or TLS, up to a connection
 * that can be lent; or a probe's, which has seen then what it wanted to. Who it is is proven in
 * auth.c; what goes wrong is refused.c's.
 */
#include "proxy/meter/traffic_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_login_priv.h"
#include "proxy/target/watch_priv.h"

void proxy_server_probe_done(ProxyServer *server)
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
    trial_accepted(server_login_trial(server), server->previous);
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
        trial_accepted(server_login_trial(server), server->previous);
        proxy_server_probe_done(server);
        return false;
    }
    if (server->state == SERVER_LOGIN && init_query != NULL) {
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        pg_put_query(&out, slice_of(init_query));
        server_login_send(server, &out);
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
        return proxy_login_broken(server, "the server sent an error that is malformed or endless");
    }
    if (server->state == SERVER_INIT && !server->asks_defaults) {
        CLEANUP(mem_free_ptr)
        char *what =
            mem_printf("the proxy's initialization query failed: %.*s", SLICE_FMT(error.message));
        error.message = slice_of(what);
        if (!proxy_watch_judges(server)) {
            proxy_health_bad(&proxy_server_target(server)->health, "CONNECTION_FAILED", what);
        }
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
        return proxy_login_broken(server, "the server sent a malformed BackendKeyData");
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
           proxy_login_broken(server, "the server sent a malformed ParameterStatus");
}

/* The initialization query may answer anything but a COPY. */
static bool take_other(ProxyServer *server, char type)
{
    return (server->state == SERVER_INIT && strchr("TDCIA", type) != NULL) ||
           proxy_login_broken(server, "the server sent an unexpected message at login");
}

/* False: the server has left the login, one way or the other; it may be gone. */
static bool take_piece(ProxyServer *server, const PgPiece *piece)
{
    char type = piece->first ? piece->type : '\0';
    switch (type) {
    case 'R':
        return proxy_server_auth_take(server, piece);
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
                   proxy_login_broken(server, "the server does not tell what transactions are");
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

static void put_start(const ProxyServer *server, Buf *out)
{
    const ProxyPool *pool = server->pool;
    Buf params;
    buf_init(&params, PG_START_MAX);
    pg_put_str(&params, SLICE("user"));
    pg_put_str(&params, slice_of(server_login_user(server)));
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
    const ProxyUser *credentials = server_login_credentials(server);
    server->previous = server_login_trial(server)->previous && credentials != NULL &&
                       secret_is_set(&credentials->previous);
    buf_init(&out, BUF_MAX_DEFAULT);
    put_start(server, &out);
    server_login_send(server, &out);
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
            proxy_login_broken(server, "the server sent a message of an impossible length");
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
