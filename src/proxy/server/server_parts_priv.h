/* What the files of server connections have of each other: server.c, read.c, orphan.c, lost.c,
 * learn.c. */
#ifndef WEIR_PROXY_SERVER_PARTS_PRIV_H
#define WEIR_PROXY_SERVER_PARTS_PRIV_H

#include "proxy/server/server_priv.h"

/* server.c: its end. Goodbye is said, but in the middle of a message that the client has begun. */
void proxy_server_leave(ProxyServer *server, bool mid_message);
void proxy_server_free(ProxyServer *server); /* its stream is gone, and so is its client */

/* orphan.c: a piece of what comes without a client. False: it is malformed. */
NODISCARD bool proxy_server_orphan_take(ProxyServer *server, const PgPiece *piece);

/* learn.c */
NODISCARD bool proxy_server_learn_take(ProxyServer *server, const PgPiece *piece);
/* For a client that waits (SessionOut.learn), a piece of the answer, whether that is all that is on
 * its way, and where it leaves meanwhile: true, the server goes on without it. */
void proxy_server_learn_linked(ProxyServer *server);
void proxy_server_learn_linked_take(ProxyServer *server, const PgPiece *piece);
NODISCARD bool proxy_server_only_learns(const ProxyServer *server);
NODISCARD bool proxy_server_learn_on(ProxyServer *server);
/* It does not come to an end; where it does, nothing happens. */
void proxy_server_learn_abandon(ProxyServer *server);

#endif
