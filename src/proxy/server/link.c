/*
 * A server connection changes hands: what its client is told of it, what it is told of its client,
 * and where it goes when the client needs it no more.
 */
#include "proxy/client/client_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/causal_priv.h"
#include "proxy/target/watch_priv.h"

static void tell(ProxyClient *client, ParamList *params)
{
    if (client->told == params) {
        return;
    }
    Buf changes;
    buf_init(&changes, BUF_MAX_DEFAULT);
    params_put_changes(client->told, params, &changes);
    stream_write(client->stream, buf_slice(&changes));
    buf_done(&changes);
    params_unref(client->told);
    client->told = params_ref(params);
}

/* What the server reports otherwise than the client was told; but not while it has other settings
 * than the client. What is told in a transaction that may take the replay back is told back. */
void proxy_server_tell_params(ProxyServer *server)
{
    ProxyClient *client = server->client;
    ParamList *before = server->told_before;
    if (client->told == NULL) {
        return;
    }
    if (!session_settings_hold(&client->session, &server->exchange)) {
        if (before != NULL) {
            tell(client, before);
        }
        server->told_before = NULL;
        params_unref(before);
        return;
    }
    if (server->exchange.settings_state != SETTINGS_REPLAYED) {
        server->told_before = NULL;
        params_unref(before);
    } else if (before == NULL) {
        server->told_before = params_ref(client->told);
    }
    tell(client, server->params);
}

/* What is known of the database, for the texts that come. */
void proxy_server_read_names(ProxyServer *server)
{
    ProxyPool *home = server->pool->home;
    (void)proxy_pool_knows_names(home);
    if (server->names != home->names) {
        catalog_names_unref(server->names);
        server->names = catalog_names_ref(home->names);
    }
    bool any = server->names != NULL && map_len(server->names->names.map) > 0;
    server->exchange.dialect.names = any ? &server->names->names : NULL;
}

static Handover handover_to(const ProxyServer *server, const ProxyClient *client)
{
    if (server->last == 0 || server->last == client->handle) {
        return HANDOVER_PLAIN;
    }
    if (server->names == NULL || !server->pool->home->names_fresh || server->names->hidden) {
        return HANDOVER_ALL;
    }
    bool moved = server->writer != 0 && server->writer != client->handle;
    return moved ? HANDOVER_SEQUENCES : HANDOVER_PLAIN;
}

/* One of which it is not known whose it is has logged in before there were standbys. */
static bool is_gated(const ProxyServer *server)
{
    return server->target == PROXY_TARGET_PRIMARY && server->defaults.run != 0 &&
           server->worker->config->target.synchronous;
}

void proxy_server_link(ProxyServer *server, ProxyClient *client)
{
    Handover handover = HANDOVER_PLAIN;
    if (server->pool != NULL) {
        proxy_server_read_names(server);
        handover = handover_to(server, client);
    }
    server->state = SERVER_LINKED;
    server->client = client;
    client->server = server;
    client->state = CLIENT_READY;
    client->wait_since_ms = 0;
    proxy_server_side(server)->linked++;
    counter_add(&server->worker->shown[server->target].borrows, 1);
    proxy_traffic_linked(server);
    server->exchange.asks_catalog = server->pool != NULL && server->pool->catalog != NULL &&
                                    server->target == PROXY_TARGET_PRIMARY &&
                                    catalog_entry_is_quick(server->pool->catalog);
    SessionOut out;
    server->exchange.gate.on = is_gated(server);
    server->exchange.gate.quiet = server->defaults.quiet;
    server->exchange.gate.timeout_us = server->defaults.timeout_us;
    server->exchange.pid = server->pid;
    session_link(&client->session, &server->exchange, handover, &out);
    if (client->anew) {
        session_parse_anew(&server->exchange);
        client->anew = false;
    }
    if (client->resent) {
        session_guard(&server->exchange);
        client->resent = false;
    }
    server->exchange.replica =
        server->target != PROXY_TARGET_PRIMARY && server->worker->config->reads == READS_SPLIT;
    if (server->worker->config->reads != READS_PRIMARY) {
        proxy_causal_link(server);
    }
    for (size_t i = 0; i < out.before_len; i++) {
        stream_write(server->stream, out.before[i]);
        server->writer = 0;
    }
    proxy_resend_begin(server);
    if (client->ear != NULL) {
        proxy_ear_linked(client->ear);
    }
    proxy_server_tell_params(server);
}

/* The same settings are the same list, so that the next link need not compare. */
static void server_share_params(ProxyServer *server)
{
    ParamList *welcome = server->pool->home->welcome;
    if (welcome != NULL && server->params != welcome && params_equal(server->params, welcome)) {
        params_unref(server->params);
        server->params = params_ref(welcome);
    }
}

void proxy_server_release(ProxyServer *server)
{
    ProxyClient *client = server->client;
    proxy_server_unlink(server);
    server_share_params(server);
    if (client != NULL && client->ear != NULL) {
        proxy_ear_flush(client->ear);
    }
    if (client != NULL && stream_paused(client->stream)) {
        proxy_client_resume(client); /* it waited for this server to take more */
    }
    if (server->cancels > 0) {
        server->state = SERVER_PARKED; /* or the cancel would hit the next client */
        return;
    }
    proxy_server_available(server);
}

void proxy_server_cancel_done(ProxyServer *server)
{
    ASSERT(server->cancels > 0);
    server->cancels--;
    session_gate_cancel(&server->exchange, true);
    if (server->cancels == 0 && server->state == SERVER_PARKED) {
        proxy_server_available(server);
    }
}

SqlDialect proxy_client_dialect(const ProxyClient *client)
{
    ProxyPool *home = client->pool;
    if (home->dialect_params != client->told) { /* mostly everybody has been told the same */
        params_unref(home->dialect_params);
        home->dialect_params = params_ref(client->told);
        home->dialect = proxy_dialect(client->worker, client->told);
    }
    SqlDialect dialect = home->dialect;
    bool any = home->names != NULL && map_len(home->names->names.map) > 0;
    dialect.names = any ? &home->names->names : NULL;
    dialect.wants_reads = true;
    return dialect;
}

SqlDialect proxy_dialect(const ProxyWorker *worker, const ParamList *params)
{
    return (SqlDialect){
        .backslash_strings = slice_is(params_value(params, "standard_conforming_strings"), "off"),
        .unsafe_encoding = !sql_encoding_is_safe(params_value(params, "client_encoding")),
        .baseline_set = worker->config->init_query != NULL,
        .wants_reads = worker->config->shared_connections > 0 ||
                       worker->config->reads == READS_SPLIT || worker->config->resend_reads ||
                       worker->config->target.synchronous,
    };
}

bool proxy_server_set_param(ProxyServer *server, Slice name, Slice value)
{
    bool standby = server->target != PROXY_TARGET_PRIMARY && slice_is(name, "in_hot_standby");
    if (standby && slice_is(value, "off")) {
        server->retired = true; /* it was promoted: what is written there, nobody else sees */
        proxy_watch_ask(server->worker, server->target);
    }
    if (standby && server->worker->config->reads == READS_SPLIT) {
        value = SLICE("off"); /* the endpoint takes writes, whoever has answered last */
    }
    ParamList *params = params_with(server->params, name, value);
    if (params == NULL) {
        return false;
    }
    params_unref(server->params);
    server->params = params;
    const SqlNames *names = server->exchange.dialect.names;
    server->exchange.dialect = proxy_dialect(server->worker, params);
    server->exchange.dialect.names = names;
    return true;
}
