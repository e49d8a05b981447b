/* Connections of the HTTP front. The first byte tells TLS from plain; behind TLS, or at once, bytes
 * are passed both ways between the client and the HTTP library's end of a socket pair, at the pace
 * of the slower side. The timer bounds how long a client may take for each phase of a request. */
#include <sys/socket.h>
#include <unistd.h>

#include "api/http/http_relay_priv.h"

static const char plain_refused[] = "HTTP/1.1 400 Bad Request\r\n"
                                    "Content-Type: text/plain\r\n"
                                    "Content-Length: 36\r\n"
                                    "Connection: close\r\n\r\n"
                                    "This port speaks TLS: use https://.\n";

/* ---- life ------------------------------------------------------------------------------------ */

static void conn_free_if_done(HttpConn *conn)
{
    if (conn->client == NULL && conn->inner == NULL && !conn->library_open) {
        loop_timer_stop(&conn->timer);
        http_conn_removed(conn->http, conn);
        mem_free(conn);
    }
}

/* The library learns it from its end of the pair. */
void http_conn_drop(HttpConn *conn)
{
    loop_timer_stop(&conn->timer);
    if (conn->client != NULL) {
        stream_abort(conn->client);
        conn->client = NULL;
    }
    if (conn->inner != NULL) {
        stream_abort(conn->inner);
        conn->inner = NULL;
    }
    conn_free_if_done(conn);
}

/* Lets the client have what is queued for it. */
static void conn_close(HttpConn *conn)
{
    if (conn->client != NULL) {
        stream_close(conn->client);
        conn->client = NULL;
    }
    http_conn_drop(conn);
}

void http_conn_library_closed(HttpConn *conn)
{
    conn->library_open = false;
    conn_free_if_done(conn);
}

static void conn_late(void *user)
{
    HttpConn *conn = user;
    if (conn->phase == HTTP_REPLYING) {
        http_conn_drop(conn); /* it does not take what is queued */
    } else {
        conn_close(conn);
    }
}

void http_conn_phase(HttpConn *conn, HttpPhase phase)
{
    const ApiHttpOptions *options = http_options(conn->http);
    const int64_t limits_ms[] = {
        [HTTP_IDLE] = options->idle_timeout_ms,
        [HTTP_READING] = options->request_timeout_ms,
        [HTTP_WORKING] = 0,
        [HTTP_REPLYING] = options->reply_timeout_ms,
    };
    conn->phase = phase;
    loop_timer_stop(&conn->timer);
    if (conn->client != NULL && limits_ms[phase] > 0) {
        loop_timer_start(http_loop(conn->http), &conn->timer, limits_ms[phase], 0, conn_late, conn);
    }
}

/* ---- our end of the pair --------------------------------------------------------------------- */

static size_t inner_read(void *user, Stream *stream, Slice data)
{
    HttpConn *conn = user;
    stream_write_ref(conn->client, data);
    if (stream_blocked(conn->client)) {
        stream_pause(stream);
    }
    return data.len;
}

static void inner_eof(void *user, Stream *stream, Slice rest)
{
    (void)stream, (void)rest;
    conn_close(user);
}

static void inner_drained(void *user, Stream *stream)
{
    (void)stream;
    HttpConn *conn = user;
    stream_resume(conn->client);
}

static void inner_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream, (void)err;
    HttpConn *conn = user;
    conn->inner = NULL;
    conn_close(conn);
}

static const StreamHandlers inner_handlers = {
    .on_read = inner_read,
    .on_eof = inner_eof,
    .on_drained = inner_drained,
    .on_closed = inner_closed,
};

static bool inner_open(HttpConn *conn)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
        return false;
    }
    StreamOptions options = {.handlers = &inner_handlers, .user = conn};
    conn->inner = stream_adopt(http_loop(conn->http), fds[0], &options);
    conn->library_open = http_library_open(conn->http, conn, fds[1]);
    return conn->library_open;
}

/* ---- the client ------------------------------------------------------------------------------ */

typedef enum SniffResult {
    SNIFF_PLAIN,
    SNIFF_TLS,
    SNIFF_REFUSED,
} SniffResult;

static SniffResult conn_sniff(HttpConn *conn, Slice data)
{
    const ApiHttpOptions *options = http_options(conn->http);
    conn->sniffed = true;
    conn->tls = stream_is_tls_hello(data);
    if (conn->tls && options->tls != NULL) {
        stream_start_tls(conn->client, options->tls, NULL);
        return SNIFF_TLS;
    }
    if (conn->tls) {
        return SNIFF_REFUSED;
    }
    if (options->require_tls) {
        stream_write(conn->client, SLICE(plain_refused));
        return SNIFF_REFUSED;
    }
    return SNIFF_PLAIN;
}

static size_t client_read(void *user, Stream *stream, Slice data)
{
    HttpConn *conn = user;
    SniffResult sniffed = conn->sniffed ? SNIFF_PLAIN : conn_sniff(conn, data);
    if (sniffed == SNIFF_TLS) {
        return 0;
    }
    if (sniffed == SNIFF_REFUSED || (conn->inner == NULL && !inner_open(conn))) {
        conn_close(conn);
        return data.len;
    }
    if (conn->phase == HTTP_IDLE) {
        http_conn_phase(conn, HTTP_READING);
    }
    stream_write_ref(conn->inner, data);
    if (stream_blocked(conn->inner)) {
        stream_pause(stream);
    }
    return data.len;
}

static void client_eof(void *user, Stream *stream, Slice rest)
{
    (void)stream, (void)rest;
    HttpConn *conn = user;
    if (conn->inner == NULL) {
        conn_close(conn);
    } else {
        stream_end(conn->inner); /* an answer may still be on its way */
    }
}

static void client_drained(void *user, Stream *stream)
{
    (void)stream;
    HttpConn *conn = user;
    if (conn->inner != NULL) {
        stream_resume(conn->inner);
    }
}

static void client_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream, (void)err;
    HttpConn *conn = user;
    conn->client = NULL;
    http_conn_drop(conn);
}

static const StreamHandlers client_handlers = {
    .on_read = client_read,
    .on_eof = client_eof,
    .on_drained = client_drained,
    .on_closed = client_closed,
};

void http_conn_accept(void *user, int fd, const NetAddr *peer)
{
    ApiHttp *http = user;
    HttpConn *conn = mem_alloc(sizeof(HttpConn));
    conn->http = http;
    net_addr_host(peer, conn->peer);
    StreamOptions options = {.handlers = &client_handlers, .user = conn};
    conn->client = stream_adopt(http_loop(http), fd, &options);
    http_conn_added(http, conn);
    http_conn_phase(conn, HTTP_IDLE);
}
