/* What goes out. Within a turn a write only adds a segment (pointer and length); at its end each
 * stream that was touched is flushed by one send. What the kernel does not take is copied to `out`,
 * and goes when the kernel says so. Under TLS the segments of a turn are gathered into as few
 * records as they need. */
#include <errno.h>

#include "loop/uring_priv.h"

#define IOV_PER_SEND     64
#define RECORD_MAX       ((size_t)16 << 10) /* plain text that is encrypted at once */
#define CIPHER_KEEP_MAX  ((size_t)256 << 10)
#define COMPACT_SENT_MIN ((size_t)64 << 10)

/* ---- queueing -------------------------------------------------------------------------------- */

static void segment_add(Stream *stream, Slice data)
{
    Loop *loop = stream->watch.loop;
    stream->queued += data.len;
    if (stream->segment_last != 0) {
        Segment *last = &loop->segments.items[stream->segment_last - 1];
        if (last->data + last->len == data.data) {
            last->len += data.len;
            return;
        }
    }
    Segment segment = {.data = data.data, .len = data.len};
    vec_push(&loop->segments, segment);
    if (stream->segment_last != 0) {
        loop->segments.items[stream->segment_last - 1].next = loop->segments.len;
    } else {
        stream->segment_first = (uint32_t)loop->segments.len;
    }
    stream->segment_last = (uint32_t)loop->segments.len;
}

static void segments_drop(Stream *stream)
{
    stream->segment_first = stream->segment_last = 0;
    stream->queued = 0;
}

static bool stream_admits(Stream *stream, size_t len)
{
    if (len == 0 || stream->send_failed || !stream_is_live(stream)) {
        return false;
    }
    ASSERT(stream->handlers != NULL && !stream->end_wanted);
    if (len > stream->pending_max || stream_pending(stream) > stream->pending_max - len) {
        Err err;
        char name[NET_ADDR_TEXT_SIZE];
        stream_name(stream, name);
        err_set(&err, ERR_LIMIT, "%s does not read: more than %u bytes are waiting for it", name,
                stream->pending_max);
        stream_fail(stream, &err);
        return false;
    }
    return true;
}

void stream_write_ref(Stream *stream, Slice data)
{
    if (stream_admits(stream, data.len)) {
        segment_add(stream, data);
        stream_touch(stream);
    }
}

void stream_write(Stream *stream, Slice data)
{
    if (stream_admits(stream, data.len)) {
        Loop *loop = stream->watch.loop;
        char *copy = turn_room(loop, data.len);
        memcpy(copy, data.data, data.len);
        turn_commit(loop, data.len);
        segment_add(stream, slice_from(copy, data.len));
        stream_touch(stream);
    }
}

static void segments_copy(Stream *stream, Buf *to)
{
    const Segment *segments = stream->watch.loop->segments.items;
    for (size_t at = stream->segment_first; at != 0; at = segments[at - 1].next) {
        buf_append(to, segments[at - 1].data, segments[at - 1].len);
    }
    ASSERT(!to->overflowed);
    segments_drop(stream);
}

void stream_queue_early(Stream *stream)
{
    Buf *early = stream->edge != NULL ? &stream->edge->early : NULL;
    if (early != NULL && early->len > 0) {
        if (stream->segment_first != 0) {
            segments_copy(stream, early); /* written in this turn, behind it */
        }
        segment_add(stream, buf_slice(early));
        turn_free_later(stream->watch.loop, early->data);
        buf_init(early, UNLIMITED);
    }
}

static void queue_before_open(Stream *stream)
{
    if (stream->segment_first != 0) {
        segments_copy(stream, &stream_edge(stream)->early);
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

/* What the peer sent before it broke may still be readable, and may say why: so that side goes on
 * by itself, unless it cannot. */
static void stream_send_failed(Stream *stream, int os_errno)
{
    stream->send_failed = true;
    segments_drop(stream);
    stream_out_release(stream);
    if (stream->state == STREAM_OPEN && !stream->paused && !stream->eof_seen) {
        return;
    }
    Err err;
    char name[NET_ADDR_TEXT_SIZE];
    stream_name(stream, name);
    err_set_errno(&err, os_errno, "writing to %s", name);
    stream_fail(stream, &err);
}

/* Returns how much the kernel took of a send; less than `total` means that it is full or broken. */
static size_t wire_sent(Stream *stream, ssize_t sent, int os_errno, size_t total)
{
    if (sent < 0 && os_errno != EAGAIN && os_errno != EINTR) {
        stream_send_failed(stream, os_errno);
        return 0;
    }
    size_t taken = sent > 0 ? (size_t)sent : 0;
    stream->full = taken < total;
    stream_await(stream);
    if (taken > 0 && stream->state == STREAM_CLOSING && !stream->end_sent) {
        stream_closing_progress(stream);
    }
    return taken;
}

static size_t wire_send(Stream *stream, struct iovec *iov, size_t count, size_t total)
{
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = count};
    int fd = stream->watch.fd;
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    ssize_t sent =
        count == 1 ? send(fd, iov->iov_base, iov->iov_len, flags) : sendmsg(fd, &message, flags);
    return wire_sent(stream, sent, errno, total);
}

/* So much more of `out` is gone. */
static void out_advance(Stream *stream, size_t taken)
{
    stream->out_sent += taken;
    if (stream->out_sent >= stream->out.len) {
        stream_out_release(stream);
    } else if (stream->out_sent >= COMPACT_SENT_MIN && stream->out_sent > stream->out.len / 2) {
        buf_consume(&stream->out, stream->out_sent);
        stream->out_sent = 0;
    }
}

void stream_send_out(Stream *stream)
{
    size_t len = stream->out.len - stream->out_sent;
    if (len == 0 || stream->full || stream->send_failed) {
        return;
    }
    struct iovec iov = {stream->out.data + stream->out_sent, len};
    out_advance(stream, wire_send(stream, &iov, 1, len));
}

/* The first segments, where they lie. Returns how many. */
static size_t segments_gather(const Stream *stream, struct iovec *iov, size_t iov_max,
                              size_t *ret_total)
{
    const Segment *segments = stream->watch.loop->segments.items;
    size_t count = 0;
    *ret_total = 0;
    for (size_t at = stream->segment_first; at != 0 && count < iov_max;
         at = segments[at - 1].next) {
        iov[count].iov_base = (void *)(uintptr_t)segments[at - 1].data;
        iov[count].iov_len = segments[at - 1].len;
        *ret_total += segments[at - 1].len;
        count++;
    }
    return count;
}

/* So many bytes of them are gone. Returns how many of those are of the first one that is left. */
static size_t segments_advance(Stream *stream, size_t taken)
{
    const Segment *segments = stream->watch.loop->segments.items;
    while (stream->segment_first != 0 && taken >= segments[stream->segment_first - 1].len) {
        taken -= segments[stream->segment_first - 1].len;
        stream->segment_first = (uint32_t)segments[stream->segment_first - 1].next;
    }
    return taken;
}

/* Sends the segments from where they lie; of the first one `skip` bytes are gone already. */
static void segments_send(Stream *stream, size_t skip)
{
    while (stream->segment_first != 0 && !stream->full) {
        struct iovec iov[IOV_PER_SEND];
        size_t total;
        size_t count = segments_gather(stream, iov, IOV_PER_SEND, &total);
        size_t sent = wire_send(stream, iov, count, total);
        if (stream->send_failed) {
            return;
        }
        skip = segments_advance(stream, sent);
    }
    if (stream->segment_first != 0) {
        segments_copy(stream, &stream->out);
        stream->out_sent = skip;
    }
    segments_drop(stream);
}

static void flush_plain(Stream *stream)
{
    if (stream->out.len > 0) {
        segments_copy(stream, &stream->out);
        stream_send_out(stream);
    } else if (stream->segment_first != 0) {
        segments_send(stream, 0);
    }
}

/* ---- under TLS ------------------------------------------------------------------------------- */

static bool record_write(Stream *stream, Slice plain, Buf *to)
{
    Err err;
    if (!tls_session_write(stream->tls, plain, to, &err)) {
        stream_fail(stream, &err);
        return false;
    }
    return true;
}

/* Short segments share records; a long one is taken from where it lies. */
static bool segments_encrypt(Stream *stream, Buf *to)
{
    Loop *loop = stream->watch.loop;
    if (loop->record == NULL) {
        loop->record = mem_realloc(NULL, RECORD_MAX);
    }
    size_t filled = 0;
    for (size_t at = stream->segment_first; at != 0; at = loop->segments.items[at - 1].next) {
        Slice data = {loop->segments.items[at - 1].data, loop->segments.items[at - 1].len};
        if (data.len > RECORD_MAX - filled) {
            TRY(filled == 0 || record_write(stream, slice_from(loop->record, filled), to));
            filled = 0;
        }
        if (data.len > RECORD_MAX / 2) {
            TRY(filled == 0 || record_write(stream, slice_from(loop->record, filled), to));
            filled = 0;
            TRY(record_write(stream, data, to));
        } else {
            memcpy(loop->record + filled, data.data, data.len);
            filled += data.len;
        }
    }
    TRY(filled == 0 || record_write(stream, slice_from(loop->record, filled), to));
    segments_drop(stream);
    return true;
}

/* The records of a stream leave in the order in which they were made: behind `out`, if there is
 * something in it. Otherwise they are made in a buffer of the loop, and only a rest is copied. */
static void flush_tls(Stream *stream)
{
    Loop *loop = stream->watch.loop;
    if (stream->segment_first == 0 || stream->out.len > 0) {
        if (segments_encrypt(stream, &stream->out)) {
            stream_send_out(stream);
        }
        return;
    }
    buf_clear(&loop->cipher_out);
    if (segments_encrypt(stream, &loop->cipher_out)) {
        struct iovec iov = {loop->cipher_out.data, loop->cipher_out.len};
        size_t sent = wire_send(stream, &iov, 1, iov.iov_len);
        if (!stream->send_failed && sent < loop->cipher_out.len) {
            buf_append_slice(&stream->out, slice_skip(buf_slice(&loop->cipher_out), sent));
        }
    }
    if (loop->cipher_out.cap > CIPHER_KEEP_MAX) {
        buf_done(&loop->cipher_out);
    }
}

/* ---- flushing -------------------------------------------------------------------------------- */

/* Everything before it is with the kernel. */
static void stream_send_end(Stream *stream)
{
    if (stream->tls != NULL && !stream->goodbye && !stream->send_failed) {
        stream->goodbye = true;
        tls_session_shutdown(stream->tls, &stream->out);
        stream_send_out(stream);
        if (stream->out.len > 0 || !stream_is_live(stream)) {
            return;
        }
    }
    shutdown(stream->watch.fd, SHUT_WR); /* fails only when the connection is gone */
    stream->end_sent = true;
    stream_await(stream);
    if (stream->state == STREAM_CLOSING) {
        stream_closing_progress(stream);
    }
}

void stream_flushed(Stream *stream)
{
    if (!stream_is_live(stream)) {
        return;
    }
    bool open = stream->state == STREAM_OPEN || stream->state == STREAM_CLOSING;
    if (stream->out.len > 0) {
        stream->blocked = open;
    } else if (open) {
        if (stream->blocked) {
            stream->blocked = false;
            stream_notify(stream, NOTICE_DRAINED);
        }
        if (stream->end_wanted && !stream->end_sent) {
            stream_send_end(stream);
        }
    }
    if (stream->state == STREAM_CLOSING && stream->end_sent && stream->eof_seen) {
        stream_kill(stream);
        return;
    }
    stream_update_interest(stream);
}

void stream_flush(Stream *stream)
{
    if (stream->state == STREAM_CONNECTING || stream->state == STREAM_HANDSHAKE) {
        queue_before_open(stream);
        stream_send_out(stream);
    } else if (stream->tls != NULL) {
        flush_tls(stream);
    } else {
        flush_plain(stream);
    }
    stream_flushed(stream);
}

/* What is queued becomes wire bytes in `out`, where it cannot be sent as it lies. */
static void stage(Stream *stream)
{
    if (stream->state == STREAM_CONNECTING || stream->state == STREAM_HANDSHAKE) {
        queue_before_open(stream);
    } else if (stream->tls != NULL) {
        (void)segments_encrypt(stream, &stream->out); /* else it has failed */
    } else if (stream->out.len > 0) {
        segments_copy(stream, &stream->out);
    }
}

size_t stream_send_begin(Stream *stream, struct iovec *iov, size_t iov_max, size_t *ret_total)
{
    stage(stream);
    if (!stream_is_live(stream) || stream->state == STREAM_CONNECTING || stream->full ||
        stream->send_failed) {
        return 0;
    }
    size_t len = stream->out.len - stream->out_sent;
    if (len > 0) {
        iov[0] = (struct iovec){stream->out.data + stream->out_sent, len};
        *ret_total = len;
        return 1;
    }
    return segments_gather(stream, iov, iov_max, ret_total);
}

void stream_send_done(Stream *stream, ssize_t result, size_t total)
{
    size_t taken = wire_sent(stream, result, result < 0 ? (int)-result : 0, total);
    if (stream->send_failed) {
        stream_flushed(stream);
        return;
    }
    if (stream->out.len > 0) {
        out_advance(stream, taken);
    } else {
        segments_send(stream, segments_advance(stream, taken));
    }
    stream_flushed(stream);
}

void streams_flush(Loop *loop)
{
    if (loop->uring != NULL) {
        uring_flush(loop->uring);
    }
    for (ListNode *node; (node = list_pop_front(&loop->touched)) != NULL;) {
        stream_flush(CONTAINER_OF(node, Stream, touched));
    }
    loop->segments.len = 0;
}
