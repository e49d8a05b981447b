/* Inside of the HTTP front: connections (relay.c) and requests (http.c). */
#ifndef WEIR_API_HTTP_RELAY_PRIV_H
#define WEIR_API_HTTP_RELAY_PRIV_H

#include "api/http/http_priv.h"

/*
 * What a connection is doing, and what its timer limits:
 *
 *   accepted --> IDLE --first byte--> READING --request complete--> WORKING --answer--> REPLYING
 *                 ^                                                                        |
 *                 +------------------------------------------------------------------------+
 *
 * WORKING has no limit here: how long it takes is up to the handler.
 */
typedef enum HttpPhase {
    HTTP_IDLE,
    HTTP_READING,
    HTTP_WORKING,
    HTTP_REPLYING,
} HttpPhase;

/* One client. Its bytes, plain by now, go through a socket pair to the HTTP library, which holds
 * the other end. The struct lives until both streams and the library's connection are gone. */
typedef struct HttpConn {
    ApiHttp *http;
    ListNode node;
    Stream *client; /* NULL when gone */
    Stream *inner;  /* our end of the pair; NULL before the first byte, and when gone */
    bool library_open;
    bool sniffed; /* the first byte has told whether it is TLS */
    bool tls;
    HttpPhase phase;
    LoopTimer timer;
    char peer[NET_ADDR_TEXT_SIZE];
} HttpConn;

/* relay.c */
void http_conn_accept(void *http, int fd, const NetAddr *peer);
void http_conn_phase(HttpConn *conn, HttpPhase phase);
void http_conn_library_closed(HttpConn *conn); /* may free it */
void http_conn_drop(HttpConn *conn);           /* may free it */

/* http.c: what the relay asks of the front. */
Loop *http_loop(ApiHttp *http);
const ApiHttpOptions *http_options(const ApiHttp *http);
bool http_library_open(ApiHttp *http, HttpConn *conn, int fd); /* takes the fd */
void http_conn_added(ApiHttp *http, HttpConn *conn);
void http_conn_removed(ApiHttp *http, HttpConn *conn);

#endif
