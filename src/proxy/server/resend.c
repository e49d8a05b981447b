/*
 * A read whose server connection is lost before a byte of its answer was passed on is sent again,
 * once (pool.resend_reads): to whoever leads then, who has all that was acknowledged. It is one
 * request, outside of a transaction, that only reads by the rule of shared connections
 * (src/sql/reads.c), and is kept from when it is sent until its answer comes; so it is copied, and
 * nothing else is. One that its client has cancelled is not; nor is what a replica does not answer,
 * which has rules of its own (split/split.c).
 */
#include "proxy/client/client_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/split_priv.h"

void proxy_resend_begin(ProxyServer *server)
{
    const ProxyClient *client = server->client;
    bool wanted = server->pool != NULL && server->target == PROXY_TARGET_PRIMARY &&
                  server->worker->config->resend_reads && !client->session.walsender;
    server->keeps = wanted ? KEEPS_SOME : KEEPS_NOTHING;
    buf_clear(&server->kept);
}

/* It goes on with another request, though it was not given back in between. */
void proxy_resend_answered(ProxyServer *server)
{
    const Exchange *exchange = &server->exchange;
    if (exchange->status == 'I' && exchange->ended == exchange->batch && !exchange->open) {
        proxy_resend_begin(server);
    }
}

void proxy_resend_keep(ProxyServer *server, const PgPiece *piece)
{
    const ProxyClient *client = server->client;
    bool kept = server->keeps == KEEPS_SOME && !client->alone &&
                session_only_reads(&server->exchange) &&
                server->kept.len + piece->raw.len <= LINE_REQUEST_MAX;
    if (!kept) {
        server->keeps = KEEPS_NOTHING; /* also where another request follows */
        return;
    }
    buf_append_slice(&server->kept, piece->raw);
    if (piece->last && (piece->type == 'Q' || piece->type == 'S')) {
        server->keeps = KEEPS_REQUEST;
    }
}

bool proxy_resend_take(ProxyServer *server, Buf *request)
{
    ProxyClient *client = server->client;
    if (server->keeps != KEEPS_REQUEST || server->state != SERVER_LINKED || server->fatal ||
        !session_can_resend(&client->session, &server->exchange)) {
        return false;
    }
    client->resent = !session_resend_begins(&server->exchange);
    session_undo(&client->session, &server->exchange);
    buf_append_slice(request, buf_slice(&server->kept));
    return true;
}
