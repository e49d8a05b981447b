/*
 * A relay's login: the client's start packet goes on to PostgreSQL, and the two authenticate each
 * other through us; we follow the messages, and put a cancel key of our own in the place of
 * PostgreSQL's. From the first ReadyForQuery on it is a session like any other, that keeps its
 * server connection.
 */
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_priv.h"

static void put_param(Buf *list, const char *name, const char *value)
{
    pg_put_str(list, slice_of(name));
    pg_put_str(list, slice_of(value));
}

bool proxy_relay_is_probe(const ProxyClient *client, Slice user)
{
    const char *probe_user = client->worker->config->target.probe_user;
    return client->login->link && probe_user != NULL && slice_is(user, probe_user);
}

/* Of another host's process, which asks whether commits reach their standbys: what it says itself
 * does not count. */
static void put_probe_hello(ProxyServer *server)
{
    Buf list;
    buf_init(&list, PG_START_MAX);
    buf_init(&server->hello, BUF_MAX_DEFAULT);
    put_param(&list, "user", server->worker->config->target.probe_user);
    put_param(&list, "database", PROXY_PROBE_DATABASE);
    proxy_pulse_put_params(&list);
    pg_put_start(&server->hello, 0, buf_slice(&list));
    buf_done(&list);
}

/* A walsender's name is ours (RULES F4). */
static void put_hello(ProxyServer *server, Slice params, bool replication)
{
    Buf list;
    Slice name;
    Slice value;
    buf_init(&list, PG_START_MAX);
    buf_init(&server->hello, BUF_MAX_DEFAULT);
    while (pg_params_next(&params, &name, &value)) {
        bool renamed = replication && slice_is_nocase(name, "application_name");
        if (!slice_starts(name, "_pq_.") && !slice_is_nocase(name, "replication") && !renamed) {
            pg_put_str(&list, name);
            pg_put_str(&list, value);
        }
    }
    if (replication) {
        put_param(&list, "application_name", WALSENDER_NAME);
        put_param(&list, "replication", "database");
    }
    pg_put_start(&server->hello, 0, buf_slice(&list));
    buf_done(&list);
}

static void refuse_without_server(ProxyClient *client, const char *detail)
{
    const char *id = client->worker->config->target.id;
    CLEANUP(mem_free_ptr)
    char *message =
        mem_printf("The instance %s is not available: it is starting, or it is stopped.",
                   id != NULL ? id : "of this endpoint");
    proxy_client_fatal(client, "57P03", message, detail);
}

/* ---- the client, until it is in session
 * ----------------------------------------------------------- */

static size_t relay_client_on_read(void *user, Stream *stream, Slice data)
{
    ProxyClient *client = user;
    PgPolicy policy = {0};
    size_t at = 0;
    PgPiece piece;
    (void)stream;
    for (;;) {
        WireResult result = pg_framer_next(&client->framer, &policy, slice_skip(data, at), &piece);
        if (result == WIRE_MORE) {
            return at;
        }
        if (result == WIRE_BAD || piece.type != 'p') {
            proxy_client_close(client); /* it gives up, or is confused */
            return data.len;
        }
        stream_write_ref(client->server->stream, piece.raw);
        at += piece.raw.len;
    }
}

static void relay_client_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    proxy_client_gone(user);
}

static const StreamHandlers relay_client_handlers = {
    .on_read = relay_client_on_read,
    .on_closed = relay_client_on_closed,
};

bool proxy_relay_start(ProxyClient *client, Slice start_params)
{
    ProxyWorker *worker = client->worker;
    if (!proxy_worker_has_target(worker, PROXY_TARGET_PRIMARY)) {
        refuse_without_server(client, "No instance stands behind this endpoint at present.");
        return false;
    }
    /* Else two hosts that think that of each other would pass it to and fro. */
    if (client->login->link && worker->config->target.host != NULL) {
        refuse_without_server(client, "It is on another host than this one by now.");
        return false;
    }
    bool probes = proxy_relay_is_probe(client, pg_params_get(start_params, "user"));
    bool full =
        !probes && !client->login->replication && proxy_pulse_is_crowded(&worker->proxy->pulse);
    ProxyServer *server =
        full ? NULL : proxy_server_open(worker, NULL, client, PROXY_TARGET_PRIMARY);
    if (server == NULL) {
        proxy_client_fatal(client, "53300", "sorry, too many clients already", NULL);
        return false;
    }
    if (probes) {
        put_probe_hello(server);
        client->guest = true;
        atomic_fetch_add(&worker->proxy->guests, 1);
    } else {
        put_hello(server, start_params, client->login->replication);
    }
    server->proven = probes || worker->config->relay_trusts;
    client->by_link = client->login->link;
    client->server = server;
    client->framer = (PgFramer){0};
    client->state = CLIENT_RELAY_LOGIN;
    session_init(&client->session, true);
    if (client->login->replication) {
        session_init_walsender(&client->session);
        proxy_traffic_replication(client);
    }
    proxy_client_login_done(client);
    stream_set_handlers(client->stream, &relay_client_handlers, client);
    return true;
}

/* ---- the server, until the client is in session
 * ---------------------------------------------------- */

static void relay_on_open(void *user, Stream *stream)
{
    ProxyServer *server = user;
    if (proxy_place_tls_ask(&server->place, stream)) {
        return;
    }
    server->state = SERVER_RELAY_LOGIN;
    stream_write(stream, buf_slice(&server->hello));
    buf_done(&server->hello);
    proxy_health_good(&proxy_server_target(server)->health);
}

static bool take_key_data(ProxyServer *server, const PgPiece *piece)
{
    Slice key;
    Buf out;
    if (!piece->last || !pg_get_key_data(piece->body, &server->pid, &key)) {
        return false;
    }
    server->key_len = (uint32_t)key.len;
    memcpy(server->key, key.data, key.len);
    buf_init(&out, BUF_MAX_DEFAULT);
    proxy_client_put_key(server->client, &out);
    stream_write(server->client->stream, buf_slice(&out));
    buf_done(&out);
    return true;
}

static bool take_parameter(ProxyServer *server, const PgPiece *piece)
{
    Slice name;
    Slice value;
    return piece->last && pg_get_parameter(piece->body, &name, &value) &&
           proxy_server_set_param(server, name, value);
}

/* The client is let in: in front of that, what is asked of whoever logs in. */
static void take_ready(ProxyServer *server)
{
    ProxyClient *client = server->client;
    if (!client->session.walsender && proxy_defaults_ask(server)) {
        return;
    }
    stream_write_ref(client->stream, SLICE("Z\0\0\0\5I"));
    stream_set_handlers(server->stream, &proxy_server_handlers, server);
    proxy_traffic_server_open(server);
    proxy_server_link(server, client);
    proxy_client_start_session(client);
}

/* PostgreSQL lets somebody in without a proof for what this process is (peer), or whoever it is
 * (trust): through a relay that would be everybody who reaches it. Then the client is refused.
 * False: PostgreSQL breaks the protocol. */
static bool take_auth(ProxyServer *server, const PgPiece *piece)
{
    ProxyClient *client = server->client;
    PgAuth auth;
    TRY(piece->last && pg_get_auth(piece->body, &auth));
    server->proven = server->proven || auth.kind != PG_AUTH_OK;
    if (server->proven) {
        stream_write_ref(client->stream, piece->raw);
        return true;
    }
    log_warn("proxy", "PostgreSQL let a client in without a proof of who it is; it was refused");
    proxy_worker_count(client->worker, STAT_AUTH_FAILED, 1);
    proxy_client_fatal(client, "28000",
                       "this role cannot log in through this endpoint: PostgreSQL asks for no "
                       "proof of who comes as it",
                       "Its pg_hba.conf has trust, peer or ident for it.");
    return true;
}

/* Of the answer to that, nothing is the client's. */
static bool take_defaults(ProxyServer *server, const PgPiece *piece)
{
    if (piece->first && piece->type == 'D') {
        return proxy_defaults_take(server, piece);
    }
    if (piece->first && piece->type == 'Z') {
        take_ready(server);
    }
    return piece->type != 'E';
}

/* False: PostgreSQL breaks the protocol. */
static bool take_piece(ProxyServer *server, const PgPiece *piece)
{
    ProxyClient *client = server->client;
    PgError error;
    if (piece->first && piece->type == 'K') {
        return take_key_data(server, piece);
    }
    if (server->asks_defaults && piece->type != 'S') {
        return take_defaults(server, piece);
    }
    if (piece->first && piece->type == 'Z') {
        take_ready(server);
        return true;
    }
    if (piece->first && piece->type == 'R') {
        return take_auth(server, piece);
    }
    stream_write_ref(client->stream, piece->raw);
    if (!piece->first) {
        return true;
    }
    switch (piece->type) {
    case 'S':
        return take_parameter(server, piece);
    case 'E':
        server->fatal = piece->last && pg_get_error(piece->body, &error);
        return true;
    default:
        return true;
    }
}

static void relay_broken(ProxyServer *server)
{
    stream_abort(server->stream);
    proxy_server_lost(server, "PostgreSQL broke the protocol at login.");
}

static size_t relay_on_read(void *user, Stream *stream, Slice data)
{
    ProxyServer *server = user;
    size_t at = 0;
    (void)stream;
    while (server->state == SERVER_RELAY_LOGIN) {
        PgPiece piece;
        WireResult result = pg_framer_next(&server->framer, &server->worker->ask_policy,
                                           slice_skip(data, at), &piece);
        if (result == WIRE_MORE) {
            return at;
        }
        at += piece.raw.len;
        if (result == WIRE_BAD || !take_piece(server, &piece)) {
            relay_broken(server);
            return data.len;
        }
    }
    return at;
}

static void relay_on_closed(void *user, Stream *stream, const Err *err)
{
    ProxyServer *server = user;
    ProxyClient *client = server->client;
    const char *why = err != NULL ? err->message : "PostgreSQL closed it.";
    (void)stream;
    proxy_worker_count(server->worker, STAT_SERVERS_FAILED, 1);
    if (server->state != SERVER_CONNECTING) {
        proxy_server_lost(server, why);
        return;
    }
    proxy_health_bad(&proxy_server_target(server)->health, "UNREACHABLE", why);
    server->client = NULL;
    client->server = NULL;
    proxy_server_lost(server, why);
    refuse_without_server(client, why);
}

const StreamHandlers proxy_relay_server_handlers = {
    .on_open = relay_on_open,
    .on_read = relay_on_read,
    .on_closed = relay_on_closed,
};
