/*
 * causal: what the tokens of session/causal_priv.h mean to a client's reads. They are kept with
 * what it has written itself (split_priv.h):
 *
 *   split     a token of the primary's timeline is one more position. One that is further than the
 *             primary has come when it is asked behind that, asks for no more than there is. Of
 *             another timeline or cluster, it is all that the primary has by now: whatever of it
 *             came over is part of that. So no token makes a read wait longer than SPLIT_WAIT_US,
 *             and then the primary answers.
 *   replicas  a replica of that cluster which has come as far, in that timeline or in one that goes
 *             on from it. There is no primary: who waits longer than CAUSAL_WAIT_US is told so.
 *   primary   sees everything anyway
 */
#ifndef WEIR_PROXY_CAUSAL_PRIV_H
#define WEIR_PROXY_CAUSAL_PRIV_H

#include "proxy/split/route_priv.h"
#include "session/session.h"

#define CAUSAL_WAIT_US ((int64_t)5000000) /* for a replica; borrow_ms, where that is less */

/* What its start packet says is a token, and may be of this cluster. False: the client was refused,
 * and is gone. */
bool proxy_causal_admit(ProxyClient *client, Slice value, CausalToken *ret_token);
/* Its session begins, with that. */
void proxy_causal_start(ProxyClient *client);
/* A server connection was linked, or there were news: what its client may show. */
void proxy_causal_link(ProxyServer *server);
/* A question was answered. False: the client was refused, and is gone. */
bool proxy_causal_news(ProxyServer *server, CausalNews news);
/* `replicas`, of a client with a token: for its next transaction. NULL: it waits, paused. */
ProxyPool *proxy_causal_route(ProxyClient *client);
/* It has waited for long enough: it is told, and gone. */
void proxy_causal_expired(ProxyClient *client);

#endif
