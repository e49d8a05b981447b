/* The life of streams: made, opened, closed, failed, told about. The states are drawn in
 * stream_priv.h. Handlers are called from two places only: here, by streams_tell, and in
 * stream_read.c, from an event. Whatever happens inside another call becomes a notice. */
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include "loop/uring_priv.h"

#define UNLIMITED (SIZE_MAX / 4) /* these buffers are limited by what fills them */

void streams_init(Loop *loop)
{
    list_init(&loop->streams);
    list_init(&loop->touched);
    list_init(&loop->notices);
    list_init(&loop->awaited);
    buf_init(&loop->cipher_out, UNLIMITED);
}

void streams_done(Loop *loop)
{
    for (ListNode *node; (node = list_first(&loop->streams)) != NULL;) {
        stream_kill(CONTAINER_OF(node, Stream, node));
    }
    loop_timer_stop(&loop->silence);
    vec_done(&loop->segments);
    mem_free(loop->cipher_in);
    mem_free(loop->record);
    buf_done(&loop->cipher_out);
}

size_t loop_stream_count(const Loop *loop)
{
    return loop->streams.len;
}

/* ---- small questions ------------------------------------------------------------------------- */

bool stream_is_live(const Stream *stream)
{
    return stream->state != STREAM_FAILED && stream->state != STREAM_DEAD;
}

bool stream_paused(const Stream *stream)
{
    return stream->paused;
}

const TlsSession *stream_tls(const Stream *stream)
{
    return stream->tls;
}

void *stream_user(const Stream *stream)
{
    return stream->user;
}

Loop *stream_loop(const Stream *stream)
{
    return stream->watch.loop;
}

size_t stream_pending(const Stream *stream)
{
    size_t early = stream->beginning != NULL ? stream->beginning->early.len : 0;
    return stream->queued + early + (stream->out.len - stream->out_sent);
}

bool stream_blocked(const Stream *stream)
{
    return stream->blocked;
}

bool stream_is_tls_hello(Slice data)
{
    return data.len > 0 && data.data[0] == 0x16; /* ContentType handshake, RFC 8446, 5.1 */
}

bool stream_peer_addr(const Stream *stream, NetAddr *ret_addr, Err *err)
{
    NetAddr addr = {.len = sizeof(addr.storage)};
    if (getpeername(stream->watch.fd, (struct sockaddr *)&addr.storage, &addr.len) != 0) {
        return err_set_errno(err, errno, "asking for the peer's address");
    }
    *ret_addr = addr;
    return true;
}

bool stream_local_addr(const Stream *stream, NetAddr *ret_addr, Err *err)
{
    return net_local_addr(stream->watch.fd, ret_addr, err);
}

bool stream_peer_cred(const Stream *stream, PeerCred *ret_cred, Err *err)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);
    if (getsockopt(stream->watch.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0) {
        return err_set_errno(err, errno, "asking who the peer is");
    }
    if (cred.pid == 0) {
        return err_set(err, ERR_UNSUPPORTED, "only a Unix socket knows who its peer is");
    }
    *ret_cred = (PeerCred){.pid = cred.pid, .uid = cred.uid, .gid = cred.gid};
    return true;
}

void stream_name(const Stream *stream, char out[static NET_ADDR_TEXT_SIZE])
{
    NetAddr addr;
    const char *target = stream->beginning != NULL ? stream->beginning->target : NULL;
    if (target != NULL) {
        size_t len = strnlen(target, NET_ADDR_TEXT_SIZE - 1);
        memcpy(out, target, len);
        out[len] = '\0';
    } else if (stream_peer_addr(stream, &addr, NULL)) {
        net_addr_format(&addr, out);
    } else {
        memcpy(out, "a peer", sizeof("a peer"));
    }
}

/* ---- notices --------------------------------------------------------------------------------- */

void stream_touch(Stream *stream)
{
    if (stream->touched.next == NULL && stream_is_live(stream)) {
        list_push_back(&stream->watch.loop->touched, &stream->touched);
    }
}

void stream_notify(Stream *stream, unsigned notice)
{
    stream->notices |= notice;
    if (stream->noticed.next == NULL) {
        list_push_back(&stream->watch.loop->notices, &stream->noticed);
    }
}

static void list_drop(List *list, ListNode *node)
{
    if (node->next != NULL) {
        list_remove(list, node);
    }
}

static void stream_tell_closed(Stream *stream)
{
    const StreamHandlers *handlers = stream->handlers;
    void *user = stream->user;
    stream->handlers = NULL;
    handlers->on_closed(user, stream, stream->failure);
    if (stream->state == STREAM_FAILED) {
        stream_kill(stream);
    }
}

static bool stream_due(Stream *stream, unsigned notice)
{
    bool due = (stream->notices & notice) != 0;
    stream->notices &= ~notice;
    return due && stream->handlers != NULL;
}

static void stream_tell(Stream *stream)
{
    if (stream_due(stream, NOTICE_CLOSED)) {
        stream->notices = 0;
        stream_tell_closed(stream);
        return;
    }
    if (stream_due(stream, NOTICE_OPEN) && stream->handlers->on_open != NULL) {
        stream->handlers->on_open(stream->user, stream);
    }
    if (stream_due(stream, NOTICE_READ)) {
        stream_give_again(stream);
    }
    if (stream_due(stream, NOTICE_DRAINED) && stream->handlers->on_drained != NULL) {
        stream->handlers->on_drained(stream->user, stream);
    }
}

void streams_tell(Loop *loop)
{
    for (size_t left = loop->notices.len; left > 0 && loop->notices.len > 0; left--) {
        stream_tell(CONTAINER_OF(list_pop_front(&loop->notices), Stream, noticed));
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

static void buf_drop(Stream *stream, Buf *buf)
{
    if (buf->data != NULL) {
        turn_free_later(stream->watch.loop, buf->data);
        buf_init(buf, UNLIMITED);
    }
}

void stream_out_release(Stream *stream)
{
    buf_done(&stream->out);
    stream->out_sent = 0;
}

/* Closes the socket and lets go of everything but the struct. */
static void stream_drop(Stream *stream)
{
    Loop *loop = stream->watch.loop;
    loop_timer_stop(&stream->timer);
    watch_done(&stream->watch);
    fd_close(&stream->watch.fd);
    list_drop(&loop->touched, &stream->touched);
    list_drop(&loop->awaited, &stream->awaited);
    stream->segment_first = stream->segment_last = 0;
    stream->queued = 0;
    stream_out_release(stream);
    buf_drop(stream, &stream->kept);
    if (stream->beginning != NULL) {
        buf_drop(stream, &stream->beginning->early);
        tls_context_free(stream->beginning->tls);
        stream->beginning->tls = NULL;
    }
}

StreamBeginning *stream_beginning(Stream *stream)
{
    if (stream->beginning == NULL) {
        stream->beginning = mem_alloc(sizeof(StreamBeginning));
        buf_init(&stream->beginning->early, UNLIMITED);
    }
    return stream->beginning;
}

static void beginning_free(StreamBeginning *beginning)
{
    if (beginning != NULL) {
        mem_free(beginning->tls_host);
        mem_free(beginning->target);
        mem_free(beginning);
    }
}

void stream_kill(Stream *stream)
{
    if (stream->state == STREAM_DEAD) {
        return;
    }
    Loop *loop = stream->watch.loop;
    stream_drop(stream);
    list_drop(&loop->notices, &stream->noticed);
    list_remove(&loop->streams, &stream->node);
    tls_session_free(stream->tls);
    stream->tls = NULL;
    beginning_free(stream->beginning);
    stream->beginning = NULL;
    mem_free(stream->failure);
    stream->handlers = NULL;
    stream->state = STREAM_DEAD;
    if (stream->receiving) {
        uring_forget(stream);
    } else {
        batch_free_later(loop, stream);
    }
}

void stream_fail(Stream *stream, const Err *err)
{
    if (!stream_is_live(stream)) {
        return;
    }
    if (stream->state == STREAM_CLOSING) {
        stream_kill(stream); /* there is nobody to tell */
        return;
    }
    stream_drop(stream);
    stream->state = STREAM_FAILED;
    stream->notices = 0;
    if (err != NULL) {
        stream->failure = mem_alloc(sizeof(Err));
        *stream->failure = *err;
    }
    stream_notify(stream, NOTICE_CLOSED);
}

void stream_abort(Stream *stream)
{
    if (stream->handlers != NULL) {
        stream_kill(stream);
    }
}

static void stream_close_late(void *user)
{
    stream_kill(user);
}

/* While bytes are pending the peer has timeout_ms for each piece of progress; once our side has
 * ended, STREAM_LINGER_MS for its own end. */
void stream_closing_progress(Stream *stream)
{
    ASSERT(stream->state == STREAM_CLOSING);
    loop_timer_start(stream->watch.loop, &stream->timer,
                     stream->end_sent ? STREAM_LINGER_MS : stream->timeout_ms, 0, stream_close_late,
                     stream);
}

void stream_close(Stream *stream)
{
    if (stream->handlers == NULL) {
        return;
    }
    if (stream->state != STREAM_OPEN) {
        stream_kill(stream);
        return;
    }
    stream->handlers = NULL;
    stream->state = STREAM_CLOSING;
    stream->held = false;
    stream->notices = 0;
    stream->end_wanted = true;
    buf_drop(stream, &stream->kept);
    stream_closing_progress(stream);
    stream_touch(stream);
}

void stream_end(Stream *stream)
{
    stream->end_wanted = true;
    stream_touch(stream);
}

/* ---- the beginning --------------------------------------------------------------------------- */

static void stream_ready(void *user, uint32_t events);

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

void stream_update_interest(Stream *stream)
{
    if (!stream_is_live(stream)) {
        return;
    }
    bool out = stream->out.len > stream->out_sent || stream->state == STREAM_CONNECTING;
    bool in = stream->state != STREAM_CONNECTING && !stream->eof_seen && !stream->held &&
              stream->receive_errno == 0;
    Err err;
    if (stream->watch.loop->uring != NULL) {
        uring_receive(stream, in);
        in = false;
    }
    if (!watch_set(&stream->watch, (in ? EPOLLIN : 0U) | (out ? EPOLLOUT : 0U), &err)) {
        stream_fail(stream, &err);
    }
}

void stream_opened(Stream *stream)
{
    stream->state = STREAM_OPEN;
    loop_timer_stop(&stream->timer);
    stream_queue_early(stream);
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
    loop_timer_start(stream->watch.loop, &stream->timer, stream->timeout_ms, 0, stream_open_late,
                     stream);
    if (!tls_session_new(tls, host, &stream->tls, &err)) {
        stream_fail(stream, &err);
    } else if (!tls_context_is_server(tls)) {
        stream_shake(stream, (Slice){NULL, 0});
    }
    stream_touch(stream);
}

/* The socket is connected. */
static void stream_begin(Stream *stream)
{
    if (stream->watch.loop->uring != NULL) {
        uring_prepare(stream);
    }
    StreamBeginning *beginning = stream->beginning;
    if (beginning == NULL || beginning->tls == NULL) {
        stream_opened(stream);
        return;
    }
    TlsContext *tls = beginning->tls;
    beginning->tls = NULL;
    stream_start_session(stream, tls, beginning->tls_host);
    tls_context_free(tls);
}

static void stream_want_tls(Stream *stream, const StreamOptions *options)
{
    if (options->tls != NULL) {
        StreamBeginning *beginning = stream_beginning(stream);
        beginning->tls = tls_context_ref(options->tls);
        beginning->tls_host = mem_strdup(options->tls_host);
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
    err_set_errno(&err, os_errno, "connecting to %s", stream->beginning->target);
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
    stream_beginning(stream)->target = mem_strdup(name);
    stream->state = STREAM_CONNECTING;
    stream_want_tls(stream, options);
    loop_timer_start(loop, &stream->timer, stream->timeout_ms, 0, stream_open_late, stream);
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

static void stream_connected(Stream *stream)
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

static void stream_ready(void *user, uint32_t events)
{
    Stream *stream = user;
    if (stream->state == STREAM_CONNECTING) {
        stream_connected(stream);
        return;
    }
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) {
        stream->full = false; /* of a broken connection, sending tells what broke */
        stream_touch(stream);
    }
    if ((stream->watch.events & EPOLLIN) == 0 || (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    if (stream->paused && stream->state == STREAM_OPEN) {
        stream->held = true; /* from here on there is nothing to wait for */
        stream_touch(stream);
    } else {
        stream_receive(stream);
    }
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
        StreamBeginning *beginning = stream_beginning(stream);
        mem_free(beginning->tls_host);
        beginning->tls_host = mem_strdup(host);
        host = beginning->tls_host;
    }
    stream_start_session(stream, tls, host);
    if (!stream->in_read && stream->kept.len > 0 && stream_is_live(stream)) {
        Slice cipher = buf_slice(&stream->kept);
        turn_free_later(stream->watch.loop, stream->kept.data);
        buf_init(&stream->kept, UNLIMITED);
        stream_take_cipher(stream, cipher);
    }
}

/* The kernel is told only when something comes meanwhile: most pauses are over before. */
void stream_pause(Stream *stream)
{
    stream->paused = true;
}

static void stream_unhold(Stream *stream)
{
    if (stream->held) {
        stream->held = false;
        stream_touch(stream);
    }
}

void stream_resume(Stream *stream)
{
    stream->paused = false;
    stream_unhold(stream);
    if (stream->kept.len > 0 || (stream->eof_seen && !stream->eof_told) ||
        stream->receive_errno != 0) {
        stream_notify(stream, NOTICE_READ);
    }
}

void stream_set_handlers(Stream *stream, const StreamHandlers *handlers, void *user)
{
    ASSERT(stream->handlers != NULL && handlers->on_read != NULL && handlers->on_closed != NULL);
    stream->handlers = handlers;
    stream->user = user;
}
