/* How streams begin: a socket is adopted or connected, shakes hands where TLS is wanted, and is
 * open; or fails within timeout_ms. What is needed for that moment only hangs from `edge`. */
#include <errno.h>
#include <sys/socket.h>

#include "loop/uring_priv.h"

StreamEdge *stream_edge(Stream *stream)
{
    if (stream->edge == NULL) {
        stream->edge = mem_alloc(sizeof(StreamEdge));
        buf_init(&stream->edge->early, UNLIMITED);
    }
    return stream->edge;
}

void stream_edge_free(StreamEdge *edge)
{
    if (edge != NULL) {
        ASSERT(!loop_timer_armed(&edge->timer) && edge->tls == NULL && edge->early.data == NULL);
        mem_free(edge->tls_host);
        mem_free(edge->target);
        mem_free(edge);
    }
}

/* It has begun. */
static void edge_leave(Stream *stream)
{
    StreamEdge *edge = stream->edge;
    if (edge == NULL) {
        return;
    }
    loop_timer_stop(&edge->timer);
    stream_queue_early(stream);
    if (edge->target == NULL) {
        stream_edge_free(edge);
        stream->edge = NULL;
    } else {
        mem_free(edge->tls_host);
        edge->tls_host = NULL;
    }
}

static Stream *stream_make(Loop *loop, int fd, const StreamOptions *options)
{
    ASSERT(options->handlers->on_read != NULL && options->handlers->on_closed != NULL);
    Stream *stream = mem_alloc(sizeof(Stream));
    watch_init(&stream->watch, loop, fd, stream_ready, stream);
    stream->handlers = options->handlers;
    stream->user = options->user;
    ASSERT(options->keep_max <= UINT32_MAX && options->pending_max <= UINT32_MAX &&
           options->timeout_ms <= INT32_MAX);
    stream->keep_max =
        (uint32_t)(options->keep_max > 0 ? options->keep_max : STREAM_KEEP_MAX_DEFAULT);
    stream->pending_max =
        (uint32_t)(options->pending_max > 0 ? options->pending_max : STREAM_PENDING_MAX_DEFAULT);
    stream->timeout_ms =
        (int32_t)(options->timeout_ms > 0 ? options->timeout_ms : STREAM_TIMEOUT_MS_DEFAULT);
    stream->silence_s = options->silence_s > 0 ? options->silence_s : STREAM_SILENCE_S_DEFAULT;
    if (fd >= 0 && !net_tune(fd, stream->silence_s)) {
        stream->silence_s = 0;
    }
    buf_init(&stream->kept, UNLIMITED);
    buf_init(&stream->out, UNLIMITED);
    list_push_back(&loop->streams, &stream->node);
    return stream;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

void stream_opened(Stream *stream)
{
    stream->state = STREAM_OPEN;
    edge_leave(stream);
    stream_notify(stream, NOTICE_OPEN);
    stream_touch(stream);
}

static void stream_open_late(void *user)
{
    Stream *stream = user;
    Err err;
    char name[NET_ADDR_TEXT_SIZE];
    stream_name(stream, name);
    err_set(&err, ERR_TIMEOUT, "%s %s: no answer within %d ms",
            stream->state == STREAM_CONNECTING ? "connecting to" : "TLS with", name,
            (int)stream->timeout_ms);
    stream_fail(stream, &err);
}

void stream_start_session(Stream *stream, TlsContext *tls, const char *host)
{
    Err err;
    ASSERT(stream->tls == NULL);
    stream->state = STREAM_HANDSHAKE;
    stream->held = false;
    loop_timer_start(stream->watch.loop, &stream_edge(stream)->timer, stream->timeout_ms, 0,
                     stream_open_late, stream);
    if (!tls_session_new(tls, host, &stream->tls, &err)) {
        stream_fail(stream, &err);
    } else if (!tls_context_is_server(tls)) {
        stream_shake(stream, (Slice){NULL, 0});
    }
    stream_touch(stream);
}

void stream_start_tls(Stream *stream, TlsContext *tls, const char *host)
{
    if (stream->state != STREAM_OPEN) {
        return;
    }
    ASSERT(stream->tls == NULL && stream->handlers != NULL && !stream->end_wanted);
    stream_flush(stream); /* plain, now; what the kernel does not take stays in front in `out` */
    if (!stream_is_live(stream)) {
        return;
    }
    if (host != NULL) {
        StreamEdge *edge = stream_edge(stream);
        mem_free(edge->tls_host);
        edge->tls_host = mem_strdup(host);
        host = edge->tls_host;
    }
    stream_start_session(stream, tls, host);
    if (!stream->in_read && stream->kept.len > 0 && stream_is_live(stream)) {
        Slice cipher = buf_slice(&stream->kept);
        turn_free_later(stream->watch.loop, stream->kept.data);
        buf_init(&stream->kept, UNLIMITED);
        stream_take_cipher(stream, cipher);
    }
}

/* ---- the socket ------------------------------------------------------------------------------ */

/* The socket is connected. */
static void stream_begin(Stream *stream)
{
    if (stream->watch.loop->uring != NULL) {
        uring_prepare(stream);
    }
    StreamEdge *edge = stream->edge;
    if (edge == NULL || edge->tls == NULL) {
        stream_opened(stream);
        return;
    }
    TlsContext *tls = edge->tls;
    edge->tls = NULL;
    stream_start_session(stream, tls, edge->tls_host);
    tls_context_free(tls);
}

static void stream_want_tls(Stream *stream, const StreamOptions *options)
{
    if (options->tls != NULL) {
        StreamEdge *edge = stream_edge(stream);
        edge->tls = tls_context_ref(options->tls);
        edge->tls_host = mem_strdup(options->tls_host);
    }
}

Stream *stream_adopt(Loop *loop, int fd, const StreamOptions *options)
{
    Stream *stream = stream_make(loop, fd, options);
    stream_want_tls(stream, options);
    stream_begin(stream);
    return stream;
}

static void stream_connect_failed(Stream *stream, int os_errno)
{
    Err err;
    err_set_errno(&err, os_errno, "connecting to %s", stream->edge->target);
    if (err.code != ERR_DENIED && err.code != ERR_TIMEOUT) {
        err.code = ERR_UNAVAILABLE;
    }
    stream_fail(stream, &err);
}

/* A connect that succeeds at once is writable at once: there is one way on. */
Stream *stream_connect(Loop *loop, const NetAddr *to, const StreamOptions *options)
{
    char name[NET_ADDR_TEXT_SIZE];
    net_addr_format(to, name);
    int fd = socket(to->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int os_errno = errno;
    Stream *stream = stream_make(loop, fd, options);
    stream_edge(stream)->target = mem_strdup(name);
    stream->state = STREAM_CONNECTING;
    stream_want_tls(stream, options);
    loop_timer_start(loop, &stream->edge->timer, stream->timeout_ms, 0, stream_open_late, stream);
    if (fd < 0) {
        stream_connect_failed(stream, os_errno);
        return stream;
    }
    if (connect(fd, (const struct sockaddr *)&to->storage, to->len) != 0 && errno != EINPROGRESS) {
        stream_connect_failed(stream, errno);
    }
    stream_update_interest(stream);
    return stream;
}

void stream_connected(Stream *stream)
{
    int os_errno = 0;
    socklen_t len = sizeof(os_errno);
    if (getsockopt(stream->watch.fd, SOL_SOCKET, SO_ERROR, &os_errno, &len) != 0) {
        os_errno = errno;
    }
    if (os_errno != 0) {
        stream_connect_failed(stream, os_errno);
        return;
    }
    stream_begin(stream);
}
