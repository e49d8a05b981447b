/*
 * A server connection with a client is lost, or its last commit cannot be relied on: the client
 * hears whether it may repeat what it had begun (RULES F12, src/session/loss.c), and stays where
 * nothing else was lost.
 */
#include "proxy/client_priv.h"
#include "proxy/server_priv.h"

bool proxy_server_mid_answer(const ProxyServer *server)
{
    return !pg_framer_idle(&server->framer);
}

bool proxy_loss_survived(ProxyServer *server, const char *why, SessionLoss *ret_loss)
{
    Session *session = &server->client->session;
    Buf out;
    *ret_loss = session->walsender ? LOSS_AT_REST : session_lost(session, &server->exchange);
    if (server->fatal || proxy_server_mid_answer(server) ||
        !session_can_outlive(session, &server->exchange)) {
        return false;
    }
    buf_init(&out, BUF_MAX_DEFAULT);
    session_outlive(session, &server->exchange, why, &out);
    stream_write(server->client->stream, buf_slice(&out));
    buf_done(&out);
    return true;
}

bool proxy_loss_is_engine_end(const PgPiece *piece)
{
    PgError error;
    return piece->type == 'E' && piece->first && piece->last && pg_get_error(piece->body, &error) &&
           slice_is(error.severity, "FATAL") &&
           (slice_is(error.sqlstate, "57P02") ||
            slice_is(error.message, "terminating connection due to unexpected postmaster exit"));
}

bool proxy_loss_is_cut_wait(const PgPiece *piece)
{
    PgError notice;
    return piece->type == 'N' && piece->first && piece->last &&
           pg_get_error(piece->body, &notice) && slice_is(notice.routine, "SyncRepWaitForLSN");
}
