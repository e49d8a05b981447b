/* Inside of api: HTTP without a word about AWS. Plain and TLS connections on one port; a handler
 * gets whole requests and answers when it likes, from any thread. Limits on connections, headers,
 * body and time are kept here. */
#ifndef WEIR_API_HTTP_PRIV_H
#define WEIR_API_HTTP_PRIV_H

#include "loop/loop.h"

typedef struct ApiHttp ApiHttp;

typedef struct ApiHttpHeader {
    Slice name;  /* as sent */
    Slice value; /* without white space around it */
} ApiHttpHeader;

/* Valid until it is answered. Nothing is decoded: signatures are made over what was sent. */
typedef struct ApiHttpRequest {
    Slice method;
    Slice path;  /* of the target, up to "?" */
    Slice query; /* behind "?"; data is NULL without one */
    const ApiHttpHeader *headers;
    size_t headers_len;
    Slice body;
    const char *peer; /* the client's address, without port; "" on a Unix socket */
    bool tls;
} ApiHttpRequest;

/* The value of the first header of this name, whatever its case; data is NULL when absent. */
Slice api_http_header(const ApiHttpRequest *request, const char *name);

/* The right, and the duty, to answer one request exactly once. */
typedef struct ApiHttpReply ApiHttpReply;

/* On the loop's thread; must not block. */
typedef void ApiHttpHandler(void *user, const ApiHttpRequest *request, ApiHttpReply *reply);

/* Any thread. Copies headers and body; ends the life of the request. Whether the client is still
 * there makes no difference. */
void api_http_reply(ApiHttpReply *reply, unsigned status, const ApiHttpHeader *headers,
                    size_t headers_len, Slice body);

#define API_HTTP_CONNECTIONS_MAX_DEFAULT    1000
#define API_HTTP_BODY_MAX_DEFAULT           ((size_t)1 << 20)
#define API_HTTP_HEAD_MAX                   ((size_t)64 << 10) /* of one connection's MHD memory */
#define API_HTTP_REQUEST_TIMEOUT_MS_DEFAULT 30000
#define API_HTTP_IDLE_TIMEOUT_MS_DEFAULT    75000
#define API_HTTP_REPLY_TIMEOUT_MS_DEFAULT   60000

/* 0 means the default, everywhere. */
typedef struct ApiHttpOptions {
    TlsContext *tls;  /* NULL: plain only */
    bool require_tls; /* plain requests are refused with 400 and a hint */
    ApiHttpHandler *handler;
    void *user;
    size_t connections_max;     /* more wait in the backlog */
    size_t body_max;            /* more is answered with 413 */
    int64_t request_timeout_ms; /* from the first byte of a request to its last */
    int64_t idle_timeout_ms;    /* between requests, and for the first byte */
    int64_t reply_timeout_ms;   /* for the client to take the whole answer */
} ApiHttpOptions;

NODISCARD bool api_http_new(Loop *loop, const ApiHttpOptions *options, ApiHttp **ret_http,
                            Err *err);
/* Serves connections of this listening socket too; it stays the caller's. */
NODISCARD bool api_http_listen(ApiHttp *http, int fd, Err *err);
/* For connections from now on. */
void api_http_set_tls(ApiHttp *http, TlsContext *tls);
size_t api_http_connections(const ApiHttp *http);
size_t api_http_unanswered(const ApiHttp *http); /* requests that a handler holds */
/* Every request must have been answered. NULL is fine. */
void api_http_free(ApiHttp *http);

#endif
