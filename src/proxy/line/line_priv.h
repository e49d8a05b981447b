/*
 * line: a server connection that serves the reads of several clients at once, one behind the other
 * in its pipeline (coalescing; RULES P3). It is opted into: pool.shared_connections.
 *
 * A request enters when it is complete up to its own end (a Query, or messages up to a Sync), is a
 * transaction of its own, and only reads (src/sql/reads.c); and the client's settings are the
 * line's. Its answer is given to the client when it is complete, so that it can be asked again
 * where it was not to be had here: privately, on a connection of its own, once.
 *
 *   asked again: what an error is not the last word on (last_word_priv.h), such as a write after
 * all (the line is read only: 25006) or what took longer than LINE_MS_TEXT (57014, which its client
 * did not ask for); a result of more than LINE_RESULT_MAX; everything in flight when the connection
 * is lost.
 *
 * What was slow or wide stays away for LINE_SHY_MS, by its digest. No cancel is ever sent for a
 * line: its client is told 57014, and the answer is dropped.
 */
#ifndef WEIR_PROXY_LINE_PRIV_H
#define WEIR_PROXY_LINE_PRIV_H

#include "proxy/proxy_priv.h"
#include "session/session.h"

#define LINE_DEPTH       64 /* requests in flight */
#define LINE_SPREAD      8  /* with more, another line is begun, if there may be */
#define LINE_REQUEST_MAX ((size_t)8 << 10)
#define LINE_RESULT_MAX  ((size_t)32 << 10)
#define LINE_MS_TEXT     "1s" /* a statement's time; then it is on its own */
#define LINE_SLOW_MS     20
#define LINE_SLOW_TIMES  3 /* in a row */
#define LINE_SHY_MS      60000
#define LINE_IDLE_MS     1000
#define LINE_LIFE_MS     10000

/* line.c: the request at the front of `data`, which the client has sent while it has no server
 * connection, and which goes to this pool of its home. Returns how many bytes it took; 0: it is not
 * for a line. The client waits. */
size_t proxy_line_take(ProxyClient *client, ProxyPool *pool, Slice data);
/* A connection becomes free, and many wait. False: it had better serve one of them. */
bool proxy_line_for_waiters(ProxyServer *server);
/* Gives a line to the target up that has no requests, for somebody who waits. False: there is none.
 */
bool proxy_lines_yield(ProxyWorker *worker, size_t target);
void proxy_lines_trim(ProxyWorker *worker);

/* answer.c: a piece of what the line's server says. */
NODISCARD bool proxy_line_piece(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                                const char **ret_problem);
void proxy_line_reports(const ProxyServer *server);           /* another value of a setting */
void proxy_line_read_end(ProxyServer *server, ProxyRun *run); /* of one read: its bytes go away */
/* Its server connection is gone: frees it. */
void proxy_line_lost(ProxyServer *server);
/* The client's request is cancelled. */
void proxy_line_cancel(ProxyClient *client);

/* request.c: pure. What a request is read by: whose it is, and texts that came lately. */
typedef struct LineReader {
    const Session *session;
    const SqlDialect *dialect;
    SqlMemo *memo; /* NULL: nothing is known */
} LineReader;

/* A complete request that only reads. */
typedef struct LineRequest {
    size_t len;
    uint64_t digest;
} LineRequest;
NODISCARD bool line_request_read(const LineReader *reader, Slice data, LineRequest *ret_request);
/* Of one text; without what it touches: such a text does not read. */
TextEffects line_text_effects(const LineReader *reader, Slice text);

#endif
