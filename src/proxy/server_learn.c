/*
 * A server connection that has just come to rest asks what its database hides (catalog_priv.h),
 * where that is due, before it serves the next client.
 */
#include "proxy/proxy_priv.h"

static int64_t now_of(const ProxyServer *server)
{
    return loop_now_ms(server->worker->loop);
}

#define BEHIND_MAX_MS ((int64_t)3600 * 1000) /* of a replica, where there is no bound */

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
    if (entry == NULL || server->retired || server->worker->draining ||
        !catalog_entry_begin(entry, now_of(server), behind_ms(server))) {
        return false;
    }
    Buf query;
    buf_init(&query, BUF_MAX_DEFAULT);
    pg_put_query(&query, slice_of(catalog_query));
    server->state = SERVER_LEARNING;
    server->learning = catalog_names_new();
    flight_push(&server->exchange.flight, 'Q', FLIGHT_OURS);
    stream_write(server->stream, buf_slice(&query));
    buf_done(&query);
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
    catalog_names_unref(server->learning);
    server->learning = NULL;
}

static void learn_end(ProxyServer *server)
{
    catalog_entry_learnt(server->pool->catalog, server->learning, now_of(server));
    server->learning = NULL;
}

void proxy_server_learn_abandon(ProxyServer *server)
{
    if (server->state == SERVER_LEARNING) {
        learn_failed(server);
        learn_end(server);
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
        if (server->learning != NULL &&
            (!piece->last || !catalog_names_take_row(server->learning, piece->body))) {
            learn_failed(server);
        }
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
