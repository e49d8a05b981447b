/* Sessions of the proxy's own, which only ask (target/watch_ask.c, pulse/pulse.c): what comes in is
 * cut into pieces, of which each is small enough to be whole. */
#include "proxy/server/server_priv.h"

size_t proxy_ask_read(ProxyServer *server, Slice data, ProxyAskTake *take)
{
    size_t at = 0;
    for (;;) {
        PgPiece piece;
        WireResult result = pg_framer_next(&server->framer, &server->worker->ask_policy,
                                           slice_skip(data, at), &piece);
        if (result == WIRE_MORE) {
            return at;
        }
        if (result == WIRE_BAD || !take(server, &piece)) {
            stream_abort(server->stream);
            proxy_server_lost(server, "it broke the protocol");
            return data.len;
        }
        at += piece.raw.len;
    }
}

void proxy_ask_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    proxy_server_lost(user, err != NULL ? err->message : "PostgreSQL closed it");
}
