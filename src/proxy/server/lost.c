/*
 * A server connection with a client is lost, or its last commit cannot be relied on: the client
 * hears whether it may repeat what it had begun (RULES F12, src/session/loss.c), and stays where
 * nothing else was lost.
 */
#include "proxy/client/client_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/server/server_parts_priv.h"
#include "proxy/split/split_priv.h"
#include "proxy/target/watch_priv.h"

bool proxy_server_mid_answer(const ProxyServer *server)
{
    return !pg_framer_idle(&server->framer);
}

/* Whether the client stays, and was told; otherwise *ret_loss says what it loses. */
static bool client_survives(ProxyServer *server, const char *why, SessionLoss *ret_loss)
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

bool proxy_loss_is_cut_wait(const PgPiece *piece)
{
    PgError notice;
    return piece->type == 'N' && piece->first && piece->last &&
           pg_get_error(piece->body, &notice) && slice_is(notice.routine, "SyncRepWaitForLSN");
}

/* On a connection that is opened from now on: what is there already may be of an engine that dies.
 */
static void resend(ProxyClient *client, Slice request)
{
    proxy_side_retire(client->worker, PROXY_TARGET_PRIMARY);
    client->wants_room = false; /* of a server that it has no more */
    proxy_meter_add(proxy_client_meter(client), STAT_RESENT, 1);
    proxy_client_again(client, request);
}

void proxy_server_lost(ProxyServer *server, const char *why)
{
    ProxyClient *client = server->client;
    bool told = server->fatal;
    bool linked = server->state == SERVER_LINKED;
    bool halved = linked && proxy_server_mid_answer(server);
    bool asks_again = client != NULL && proxy_split_reads(client);
    SessionLoss loss = LOSS_AT_REST;
    if (server->state == SERVER_IDLE || linked || server->state == SERVER_LINE ||
        server->state == SERVER_LISTENING) {
        proxy_health_doubt(&proxy_server_target(server)->health);
        proxy_watch_ask(server->worker, server->target);
    }
    bool survives = client != NULL && client->ear != NULL && proxy_ear_survives(client);
    survives = survives || proxy_server_only_learns(server);
    Buf request;
    buf_init(&request, LINE_REQUEST_MAX);
    bool resends = client != NULL && !asks_again && !survives && !server->worker->draining &&
                   proxy_resend_take(server, &request);
    survives = survives || (linked && client != NULL && !asks_again && !resends &&
                            client_survives(server, why, &loss));
    proxy_server_unlink(server);
    proxy_server_free(server);
    if (resends) {
        resend(client, buf_slice(&request));
    }
    buf_done(&request);
    if (client == NULL || resends) {
        return;
    }
    if (asks_again) {
        proxy_split_again(client);
        return;
    }
    if (survives) {
        client->wants_room = false;
        proxy_client_resume(client);
        proxy_client_drain(client);
    } else if (told || halved || client->by_link) {
        /* Behind PostgreSQL's own words, or half of an answer. And another host's process finds the
         * words for its client itself, or sends again what that has asked. */
        proxy_client_close(client);
    } else if (linked) {
        PgError error = session_loss_error(loss, true, why);
        proxy_client_refuse(client, &error);
    } else {
        proxy_client_fatal(client, "08006", "The connection to the database was lost.", why);
    }
}
