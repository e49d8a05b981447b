/* The life of streams: what is asked of them, told about them, and how they are paused, closed and
 * failed. The states are drawn in stream_priv.h. Handlers are called from two places only: here, by
 * streams_tell, and in stream_read.c, from an event. Whatever happens inside another call becomes a
 * notice. */
#include <errno.h>
#include <sys/socket.h>

#include "loop/uring_priv.h"

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
    size_t early = stream->edge != NULL ? stream->edge->early.len : 0;
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
    const char *target = stream->edge != NULL ? stream->edge->target : NULL;
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
    watch_done(&stream->watch);
    fd_close(&stream->watch.fd);
    list_drop(&loop->touched, &stream->touched);
    list_drop(&loop->awaited, &stream->awaited);
    stream->segment_first = stream->segment_last = 0;
    stream->queued = 0;
    stream_out_release(stream);
    buf_drop(stream, &stream->kept);
    if (stream->edge != NULL) {
        loop_timer_stop(&stream->edge->timer);
        buf_drop(stream, &stream->edge->early);
        tls_context_free(stream->edge->tls);
        stream->edge->tls = NULL;
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
    stream_edge_free(stream->edge);
    stream->edge = NULL;
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
    loop_timer_start(stream->watch.loop, &stream_edge(stream)->timer,
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

/* ---- what the socket says -------------------------------------------------------------------- */

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

void stream_ready(void *user, uint32_t events)
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
