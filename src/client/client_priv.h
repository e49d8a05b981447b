/* One attempt, and whether there is to be another: the two halves of a call. */
#ifndef WEIR_CLIENT_CLIENT_PRIV_H
#define WEIR_CLIENT_CLIENT_PRIV_H

#include "client/client.h"

/* How one attempt ended. */
typedef enum Outcome {
    OUTCOME_REPLY,   /* an HTTP reply, of any status */
    OUTCOME_REFUSED, /* nobody listens, or hung up before the request was sent */
    OUTCOME_LOST,    /* sent, perhaps in part, and no whole reply came */
    OUTCOME_FAILED,  /* will fail again: a name, a certificate */
} Outcome;

typedef struct Attempt {
    Outcome outcome;
    int status;         /* of a reply */
    bool throttled;     /* the reply says: later, and nothing was done */
    bool reads_only;    /* the operation changes nothing */
    int number;         /* from 1 */
    int64_t elapsed_ms; /* since the call began */
} Attempt;

#define ATTEMPTS_MAX 8 /* beside those that were refused, which only time limits */

/* How long to wait before the next attempt; -1: there is none. Pure. */
int64_t attempt_wait_ms(const Attempt *attempt, int64_t patience_ms);

/* ---- HTTP ---------------------------------------------------------------------------------------
 */

typedef struct Http Http;

typedef struct HttpRequest {
    const AwsHeader *headers;
    size_t header_count;
    Slice body;
    bool fresh; /* on a new connection, so that the request cannot be sent twice unseen */
} HttpRequest;

NODISCARD bool http_open(const ClientSettings *settings, Http **ret_http, Err *err);
void http_close(Http *http);
const char *http_host(const Http *http); /* the Host header: with the port */
/* Sends a POST to the endpoint. The reply's body replaces what is in `reply`. `err` is set unless
 * the outcome is OUTCOME_REPLY. */
Outcome http_post(Http *http, const HttpRequest *request, int *ret_status, Buf *reply, Err *err);
/* GET endpoint + path, whoever answers: what comes must be known by something else. */
NODISCARD bool http_get_unverified(const char *endpoint, const char *path, Buf *reply, Err *err);

#endif
