/*
 * A server connection that has just come to rest asks what its database hides (catalog_priv.h),
 * where that is due, before it serves the next client.
 */
#include "proxy/client/client_priv.h"
#include "proxy/server/server_parts_priv.h"

#define BEHIND_MAX_MS ((int64_t)3600 * 1000) /* of a replica, where there is no bound */

static int64_t now_of(const ProxyServer *server)
{
    return loop_now_ms(server->worker->loop);
}

/* Counted in the flight by the caller. */
static void learn_ask(ProxyServer *server)
{
    Buf query;
    buf_init(&query, BUF_MAX_DEFAULT);
    pg_put_query(&query, slice_of(catalog_query));
    server->learning = catalog_entry_begin(server->pool->catalog, now_of(server));
    server->learns = true;
    stream_write(server->stream, buf_slice(&query));
    buf_done(&query);
}

static int64_t behind_ms(const ProxyServer *server)
{
    int64_t bound_ms = server->worker->config->lag_max_ms;
    if (server->target == PROXY_TARGET_PRIMARY) {
        return 0;
    }
    return bound_ms > 0 ? bound_ms + MS_PER_S : BEHIND_MAX_MS;
}

/* False: it is free for clients. */
static bool learn_begin(ProxyServer *server)
{
    CatalogEntry *entry = server->pool->catalog;
    if (entry == NULL || server->retired || server->pool->replication || server->worker->draining ||
        !catalog_entry_is_due(entry, now_of(server), behind_ms(server))) {
        return false;
    }
    server->state = SERVER_LEARNING;
    flight_push(&server->exchange.flight, 'Q', FLIGHT_OURS);
    learn_ask(server);
    return true;
}

void proxy_server_available(ProxyServer *server)
{
    if (!learn_begin(server)) {
        server->state = SERVER_IDLE;
        proxy_pool_available(server);
    }
}

static void learn_failed(ProxyServer *server)
{
    catalog_names_unref(server->learning.names);
    server->learning.names = NULL;
}

static void learn_end(ProxyServer *server)
{
    server->learns = false;
    catalog_entry_learnt(server->pool->catalog, &server->learning, now_of(server));
}

void proxy_server_learn_abandon(ProxyServer *server)
{
    if (server->learns) {
        learn_failed(server);
        learn_end(server);
    }
}

static void take_row(ProxyServer *server, const PgPiece *piece)
{
    if (server->learning.names != NULL &&
        (!piece->last || !catalog_names_take_row(server->learning.names, piece->body))) {
        learn_failed(server);
    }
}

bool proxy_server_learn_take(ProxyServer *server, const PgPiece *piece)
{
    if (!piece->first) {
        return true;
    }
    session_orphan_piece(&server->exchange, piece);
    switch (piece->type) {
    case 'D':
        take_row(server, piece);
        return true;
    case 'E':
        learn_failed(server);
        return true;
    case 'Z':
        learn_end(server);
        server->state = SERVER_IDLE;
        proxy_pool_available(server);
        return true;
    default:
        return strchr("TCNSA", piece->type) != NULL;
    }
}

/* ---- while its client waits --------------------------------------------------------------------
 */

void proxy_server_learn_linked(ProxyServer *server)
{
    learn_ask(server);
}

void proxy_server_learn_linked_take(ProxyServer *server, const PgPiece *piece)
{
    if (piece->first && piece->type == 'D') {
        take_row(server, piece);
    } else if (piece->first && piece->type == 'E') {
        learn_failed(server);
    } else if (piece->type == 'Z') {
        learn_end(server);
        proxy_server_read_names(server);
    }
}

bool proxy_server_only_learns(const ProxyServer *server)
{
    const Exchange *exchange = &server->exchange;
    return server->learns && server->client != NULL && exchange->asking == ASKING_CATALOG &&
           exchange->flight.len <= 1 && !server->client->session.mid_message &&
           server->client->session.pin == PIN_NONE;
}

bool proxy_server_learn_on(ProxyServer *server)
{
    if (!proxy_server_only_learns(server) || server->retired || server->worker->draining) {
        return false;
    }
    proxy_server_unlink(server);
    session_unlink(&server->exchange);
    server->exchange.asking = ASKING_NOTHING;
    server->state = SERVER_LEARNING;
    stream_resume(server->stream);
    return true;
}
