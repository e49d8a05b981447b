/*
 * A server connection whose client has left in the middle: what that had begun is brought to rest,
 * and the connection serves the next one. Where it cannot be, the connection ends.
 */
#include "proxy/client/client_priv.h"
#include "proxy/server/server_parts_priv.h"

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
        proxy_server_leave(server, server->client != NULL && server->client->session.mid_message);
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

bool proxy_server_orphan_take(ProxyServer *server, const PgPiece *piece)
{
    if (!piece->first) {
        return true;
    }
    const Flight *flight = &server->exchange.flight;
    FlightAnswer answer = session_orphan_piece(&server->exchange, piece);
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
