/*
 * cancel: requests to give up what is under way, which come by connections of their own, and name
 * the client by the key that it was told (cancel.c).
 */
#ifndef WEIR_PROXY_CANCEL_PRIV_H
#define WEIR_PROXY_CANCEL_PRIV_H

#include "proxy/proxy_priv.h"

#define PROXY_CANCELS_MAX      4 /* under way for one server connection */

#define CANCEL_KEY_SIZE        4
#define CANCEL_SLOT_BITS       17 /* PROXY_CLIENTS_MAX fit in */
#define CANCEL_GENERATION_BITS 10

uint32_t proxy_client_pid(const ProxyClient *client); /* that it is told */
void proxy_cancel_request(ProxyClient *client, uint32_t pid, Slice key);
/* Main thread, for another process: `done` is called there, once. */
void proxy_cancel_local(Proxy *proxy, uint32_t pid, Slice key, PeersCancelledFn *done, void *user);

#endif
