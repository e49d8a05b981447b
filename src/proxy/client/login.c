/*
 * From a new connection to the question who it is: TLS and the start packet. The answer is
 * auth.c's, or PostgreSQL's own where it is a relay. Texts are those of RDS Proxy where it
 * has one.
 */
#include <stdio.h>

#include "proxy/client/cancel_priv.h"
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/split/causal_priv.h"

void proxy_client_login_done(ProxyClient *client)
{
    Login *login = client->login;
    if (login == NULL) {
        return;
    }
    proxy_auth_done(client);
    tls_context_free(login->tls);
    mem_free(login->user);
    mem_free(login->database);
    params_unref(login->params);
    mem_free(login);
    client->login = NULL;
}

/* ---- the start packet
 * ---------------------------------------------------------------------------- */

/* The newest minor version we speak is 0, and we know no options of the protocol. */
static void negotiate(ProxyClient *client, const PgStart *start)
{
    Slice unknown[16];
    size_t count = 0;
    Slice rest = start->params;
    Slice name;
    Slice value;
    while (count < ARRAY_LEN(unknown) && pg_params_next(&rest, &name, &value)) {
        if (slice_starts(name, "_pq_.")) {
            unknown[count++] = name;
        }
    }
    if (start->minor > 0 || count > 0) {
        Buf out;
        buf_init(&out, BUF_MAX_DEFAULT);
        pg_put_negotiate(&out, 0, unknown, count);
        login_send(client, &out);
    }
}

/* As PostgreSQL says it. */
static void refuse_by_hba(ProxyClient *client, const char *how, Slice user, Slice database)
{
    char peer[NET_ADDR_TEXT_SIZE] = "?";
    NetAddr addr;
    if (stream_peer_addr(client->stream, &addr, NULL)) {
        net_addr_host(&addr, peer);
    }
    CLEANUP(mem_free_ptr)
    char *message = mem_printf("%s host \"%s\", user \"%.*s\", database \"%.*s\", %s", how, peer,
                               SLICE_FMT(user), SLICE_FMT(database),
                               client->tls ? "SSL encryption" : "no encryption");
    proxy_client_fatal(client, "28000", message, NULL);
}

static void refuse_plain(ProxyClient *client, Slice user, Slice database)
{
    proxy_traffic_tls_failed(client);
    if (client->worker->config->relay) {
        refuse_by_hba(client, "no pg_hba.conf entry for", user, database);
    } else {
        proxy_client_fatal(client, "28000", "This RDS Proxy requires TLS connections.", NULL);
    }
}

/* A role of this process's own, by which PostgreSQL lets it in without a password: nobody else may
 * come as it, and not even begin to (what a start packet asks for is done before the client could
 * be refused). Another host's process asks by it what `probe_user` is for. */
static bool is_reserved(const ProxyClient *client, Slice user)
{
    return proxy_names_have(&client->worker->config->relay_reserved, user) &&
           !proxy_relay_is_probe(client, user);
}

/* False: it was refused, and the client is gone. A walsender of the whole server would be taken for
 * a standby of ours, and has all of its data (RULES F4). */
static bool replication_admitted(ProxyClient *client, const PgStart *start)
{
    Replication asked = params_replication(start->params);
    bool relay = client->worker->config->relay;
    if (asked == REPLICATION_BAD) {
        proxy_client_fatal(client, "22023",
                           "invalid value for parameter \"replication\": it is \"database\" for "
                           "logical replication",
                           NULL);
        return false;
    }
    if (asked == REPLICATION_PHYSICAL) {
        proxy_client_fatal(
            client, "0A000",
            relay ? "physical replication through this endpoint is not supported; "
                    "create a read replica instead"
                  : "Feature not supported: RDS Proxy currently doesn't support streaming "
                    "replication mode.",
            "Logical replication is: replication=database.");
        return false;
    }
    if (asked == REPLICATION_LOGICAL && client->worker->config->reads == READS_REPLICAS) {
        proxy_client_fatal(client, "0A000",
                           "logical replication through a read-only endpoint is not supported",
                           "It comes from the primary: connect to an endpoint that writes.");
        return false;
    }
    client->login->replication = asked == REPLICATION_LOGICAL;
    return true;
}

/* Why a start packet is refused before anybody is asked for a password; false: it was, and the
 * client is gone. */
static bool start_admitted(ProxyClient *client, const PgStart *start, Slice user, Slice database)
{
    const ProxyWorker *worker = client->worker;
    bool relay = worker->config->relay;
    if (client->login->over_limit) {
        char message[128];
        snprintf(message, sizeof(message),
                 "The maximum number of client connections to the proxy exceeded %u.",
                 worker->config->clients_max);
        proxy_worker_count(client->worker, STAT_REFUSED_BY_LIMIT, 1);
        proxy_client_fatal(client, "53300", message, NULL);
    } else if (start->major != PG_PROTOCOL_MAJOR) {
        proxy_client_fatal(
            client, "0A000",
            relay ? "unsupported frontend protocol: only version 3.0 is supported"
                  : "Feature not supported: RDS Proxy supports only version 3.0 of the "
                    "PostgreSQL messaging protocol.",
            NULL);
    } else if (worker->draining) {
        proxy_client_fatal(client, "57P03", "the database system is shutting down", NULL);
    } else if (client->login->link && !client->tls) {
        proxy_client_close(client);
    } else if (user.len == 0) {
        proxy_client_fatal(
            client, "28000",
            "A user name is missing from the connection startup packet. Provide a user "
            "name for this connection.",
            NULL);
    } else if (worker->config->require_tls && !client->tls) {
        refuse_plain(client, user, database);
    } else if (relay && is_reserved(client, user)) {
        proxy_worker_count(client->worker, STAT_AUTH_FAILED, 1);
        refuse_by_hba(client, "pg_hba.conf rejects connection for", user, database);
    } else {
        return replication_admitted(client, start);
    }
    return false;
}

/* False: its token is none, and the client is gone. */
static bool take_token(ProxyClient *client)
{
    Login *login = client->login;
    Buf value;
    buf_init(&value, PG_START_MAX);
    login->params = params_take_token(login->params, &value);
    bool here = value.len == 0 || proxy_causal_admit(client, buf_slice(&value), &login->token);
    buf_done(&value);
    return here;
}

static LoginStep take_start(ProxyClient *client, const PgStart *start)
{
    Slice user = pg_params_get(start->params, "user");
    Slice database = pg_params_get(start->params, "database");
    database = database.len > 0 ? database : user;
    if (!start_admitted(client, start, user, database)) {
        return LOGIN_GONE;
    }
    negotiate(client, start);
    if (client->worker->config->relay) {
        return proxy_relay_start(client, start->params) ? LOGIN_LEFT : LOGIN_GONE;
    }
    Login *login = client->login;
    login->user = mem_printf("%.*s", SLICE_FMT(user));
    login->database = mem_printf("%.*s", SLICE_FMT(database));
    login->params = params_of_start(start->params);
    if (!take_token(client)) {
        return LOGIN_GONE;
    }
    if (login->replication) {
        login->params = params_for_walsender(login->params);
    }
    return proxy_auth_begin(client);
}

/* ---- TLS
 * ----------------------------------------------------------------------------------------- */

static LoginStep take_ssl_request(ProxyClient *client)
{
    Login *login = client->login;
    if (client->tls || login->ssl_asked) {
        proxy_client_close(client);
        return LOGIN_GONE;
    }
    login->ssl_asked = true;
    stream_write_ref(client->stream, login->tls != NULL ? SLICE("S") : SLICE("N"));
    if (login->tls == NULL) {
        return LOGIN_TAKEN;
    }
    stream_start_tls(client->stream, login->tls, NULL);
    return LOGIN_LEFT;
}

static LoginStep take_gss_request(ProxyClient *client)
{
    if (client->tls || client->login->gss_asked) {
        proxy_client_close(client);
        return LOGIN_GONE;
    }
    client->login->gss_asked = true;
    stream_write_ref(client->stream, SLICE("N"));
    return LOGIN_TAKEN;
}

static LoginStep take_tls_hello(ProxyClient *client)
{
    Login *login = client->login;
    if (client->tls || login->ssl_asked || login->tls == NULL) {
        proxy_client_close(client);
        return LOGIN_GONE;
    }
    login->direct_tls = true;
    stream_start_tls(client->stream, login->tls, NULL);
    return LOGIN_LEFT;
}

static bool is_of_the_tier(const TlsSession *tls)
{
    Buf name;
    buf_init(&name, BUF_MAX_DEFAULT);
    bool is = tls_session_peer_cn(tls, &name) && slice_is(buf_slice(&name), PROXY_LINK_NAME);
    buf_done(&name);
    return is;
}

static void login_on_open(void *user, Stream *stream)
{
    ProxyClient *client = user;
    const TlsSession *tls = stream_tls(stream);
    if (tls == NULL || client->tls) {
        return;
    }
    /* Without the negotiation that SSLRequest is, ALPN says that the client means PostgreSQL. */
    if (client->login->direct_tls && tls_session_alpn(tls).len == 0) {
        proxy_client_close(client);
        return;
    }
    if (client->login->link && !is_of_the_tier(tls)) {
        log_warn("proxy", "somebody who is no process of this tier came to the link");
        proxy_client_close(client);
        return;
    }
    client->tls = true;
    proxy_worker_count(client->worker, STAT_CLIENTS_TLS, 1);
}

/* ---- the stream
 * ---------------------------------------------------------------------------------- */

static LoginStep start_step(ProxyClient *client, Slice data, size_t *ret_used)
{
    PgStart start;
    WireResult result = pg_start_read(data, &start);
    if (result == WIRE_MORE) {
        return LOGIN_MORE;
    }
    if (result == WIRE_BAD) {
        proxy_client_close(client); /* whatever it speaks, it would not understand us */
        return LOGIN_GONE;
    }
    *ret_used = start.len;
    switch (start.kind) {
    case PG_START_SSL:
        return take_ssl_request(client);
    case PG_START_GSS:
        return take_gss_request(client);
    case PG_START_TLS:
        return take_tls_hello(client);
    case PG_START_CANCEL:
        proxy_cancel_request(client, start.cancel_pid, start.cancel_key);
        return LOGIN_GONE;
    case PG_START_SESSION:
    default:
        return take_start(client, &start);
    }
}

static size_t login_on_read(void *user, Stream *stream, Slice data)
{
    ProxyClient *client = user;
    size_t at = 0;
    (void)stream;
    for (;;) {
        size_t used = 0;
        Slice rest = slice_skip(data, at);
        LoginStep step = client->state == CLIENT_AUTH ? proxy_auth_step(client, rest, &used)
                                                      : start_step(client, rest, &used);
        at += used;
        if (step == LOGIN_GONE) {
            return data.len;
        }
        if (step == LOGIN_LEFT && client->state == CLIENT_READY && at < data.len) {
            return at +
                   proxy_client_feed(client, slice_skip(data, at)); /* it did not wait for us */
        }
        if (step != LOGIN_TAKEN) {
            return at;
        }
    }
}

static void login_on_closed(void *user, Stream *stream, const Err *err)
{
    ProxyClient *client = user;
    if (err != NULL && stream_tls(stream) != NULL && !client->tls) {
        proxy_traffic_tls_failed(client);
    }
    proxy_client_gone(client);
}

static const StreamHandlers login_handlers = {
    .on_open = login_on_open,
    .on_read = login_on_read,
    .on_closed = login_on_closed,
};

static void login_late(void *user)
{
    proxy_client_close(user);
}

/* ---- accepting
 * ----------------------------------------------------------------------------------- */

/* Past the limit a client is told so, but so many are not even told. */
#define OVER_LIMIT_MAX 100

void proxy_client_accept(ProxyWorker *worker, int fd, const ProxySocket *socket)
{
    PoolHandle handle;
    unsigned before = atomic_fetch_add(&worker->proxy->clients, 1);
    ProxyClient *client = before < worker->config->clients_max + OVER_LIMIT_MAX
                              ? pool_acquire(worker->client_slots, &handle)
                              : NULL;
    if (client == NULL) {
        atomic_fetch_sub(&worker->proxy->clients, 1);
        proxy_worker_count(worker, STAT_REFUSED_BY_LIMIT, 1);
        fd_close(&fd);
        return;
    }
    proxy_worker_remember(worker, handle);
    const ProxyListener *listener = proxy_config_listener(worker->config, socket);
    TlsContext *tls = listener != NULL ? listener->tls[worker->index] : NULL;
    client->worker = worker;
    client->handle = handle;
    client->login = mem_alloc(sizeof(Login));
    client->login->tls = tls != NULL ? tls_context_ref(tls) : NULL;
    client->login->link = listener != NULL && listener->link;
    client->login->over_limit = before >= worker->config->clients_max;
    list_push_back(&worker->clients, &client->node);
    proxy_traffic_client_come(client);
    StreamOptions options = {.handlers = &login_handlers,
                             .user = client,
                             .pending_max = PROXY_PENDING_MAX,
                             .silence_s = worker->config->silent_client_s};
    client->stream = stream_adopt(worker->loop, fd, &options);
    loop_timer_start(worker->loop, &client->timer, PROXY_LOGIN_MS, 0, login_late, client);
}
