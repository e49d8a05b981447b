/* What the files of peers have of each other: peers.c, peers_ask.c; leaving.c, leaving_ask.c. */
#ifndef WEIR_PROXY_PEERS_PARTS_PRIV_H
#define WEIR_PROXY_PEERS_PARTS_PRIV_H

#include "proxy/proxy_priv.h"
#include "proxy/upgrade/peers_priv.h"

#define AT_NONE "" /* the target of clients */

/* peers.c. `at`: the target's address, or AT_NONE. */
PeerPlace *peers_place_of(Peers *peers, Peer *peer, const char *user, const char *database,
                          const char *at);
void peers_quotas(Peers *peers, const char *user, const char *database, Quota **quotas);
/* A process that names no target has one, and it is the primary. NULL: it is no name. The caller
 * frees it. */
char *peers_at_read(const Peers *peers, const json_t *hex);

/* peers_ask.c */
void peers_take_ask(Peers *peers, Peer *peer, LeavingAskKind kind, const json_t *message);
void peers_serve_asks(Peers *peers); /* there may be room */
void peers_asks_drop(Peer *peer);
void peers_waits_clear(Peers *peers); /* who waits elsewhere is said anew each time */
void peers_look(void *peers);         /* the timer: asks, and who waits */

/* leaving.c */
Held *leaving_held(Peers *peers, const char *user, const char *database, const char *at);

/* leaving_ask.c */
void leaving_ask_send(Peers *peers, const LeavingAsk *ask);
void leaving_ask_answer(LeavingAsk *ask, bool granted, QuotaKind full);
void leaving_ask_free(LeavingAsk *ask);
void leaving_waited_clear(Peers *peers);

#endif
