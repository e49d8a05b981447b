/* What comes in: one recv per event into the memory of the turn, decrypted where TLS is on, given
 * to the owner as it stands. Bytes that the owner leaves are kept, and given again with the next
 * ones. An owner may do anything to the stream inside on_read: the state is looked at anew after
 * it. */
#include <errno.h>
#include <poll.h>

#include "loop/uring_priv.h"

#define TLS_PLAIN_MAX ((size_t)16 << 10) /* of one record */

/* ---- to the owner ---------------------------------------------------------------------------- */

static void kept_append(Stream *stream, Slice data)
{
    buf_append_slice(&stream->kept, data);
    ASSERT(!stream->kept.overflowed);
}

/* The owner may still refer to what it was given: the memory lives to the end of the turn. */
static void kept_release(Stream *stream)
{
    if (stream->kept.data != NULL) {
        turn_free_later(stream->watch.loop, stream->kept.data);
        buf_init(&stream->kept, UNLIMITED);
    }
}

static void stream_check_kept(Stream *stream)
{
    if (stream->kept.len > stream->keep_max && !stream->paused) {
        Err err;
        char name[NET_ADDR_TEXT_SIZE];
        stream_name(stream, name);
        err_set(&err, ERR_LIMIT, "%s sent a message of more than %u bytes", name, stream->keep_max);
        stream_fail(stream, &err);
    }
}

static bool stream_can_give(const Stream *stream)
{
    return stream->state == STREAM_OPEN && !stream->paused && (stream->notices & NOTICE_OPEN) == 0;
}

/* Calls on_read with `data`, which is either all of `kept` or stands alone, and keeps the rest. */
static void stream_give(Stream *stream, Slice data, bool from_kept)
{
    bool was_plain = stream->tls == NULL;
    stream->in_read = true;
    size_t consumed = stream->handlers->on_read(stream->user, stream, data);
    stream->in_read = false;
    ASSERT(consumed <= data.len);
    if (stream->state != STREAM_OPEN && stream->state != STREAM_HANDSHAKE) {
        return;
    }
    Slice rest = slice_skip(data, consumed);
    if (from_kept && (consumed > 0 || (was_plain && stream->tls != NULL))) {
        kept_release(stream); /* `rest` lives on to the end of the turn */
        from_kept = false;
    }
    if (was_plain && stream->tls != NULL) {
        if (rest.len > 0) {
            stream_take_cipher(stream, rest);
        }
        return;
    }
    if (!from_kept && rest.len > 0) {
        kept_append(stream, rest);
    }
    stream_check_kept(stream);
}

static void stream_take(Stream *stream, Slice data)
{
    if (stream->state == STREAM_CLOSING) {
        return;
    }
    if (!stream_can_give(stream)) {
        kept_append(stream, data);
        if (!stream->paused) {
            stream_notify(stream, NOTICE_READ);
        }
    } else if (stream->kept.len == 0) {
        stream_give(stream, data, false);
    } else {
        kept_append(stream, data);
        stream_give(stream, buf_slice(&stream->kept), true);
    }
}

static void stream_tell_eof(Stream *stream)
{
    stream->eof_told = true;
    Slice rest = buf_slice(&stream->kept);
    kept_release(stream);
    if (stream->handlers->on_eof != NULL) {
        stream->handlers->on_eof(stream->user, stream, rest);
        return;
    }
    const StreamHandlers *handlers = stream->handlers;
    void *user = stream->user;
    stream_close(stream);
    handlers->on_closed(user, stream, NULL);
}

static void stream_receive_failed(Stream *stream, int os_errno)
{
    if (os_errno == EAGAIN || os_errno == EINTR) {
        return;
    }
    Err err;
    char name[NET_ADDR_TEXT_SIZE];
    stream_name(stream, name);
    err_set_errno(&err, os_errno, "reading from %s", name);
    stream_fail(stream, &err);
}

void stream_give_again(Stream *stream)
{
    if (stream->kept.len > 0 && stream_can_give(stream)) {
        stream_give(stream, buf_slice(&stream->kept), true);
    }
    if (stream->eof_seen && !stream->eof_told && stream_can_give(stream)) {
        stream_tell_eof(stream);
    }
    if (stream->receive_errno != 0 && stream_can_give(stream)) {
        stream_receive_failed(stream, stream->receive_errno);
    }
}

/* ---- from the peer --------------------------------------------------------------------------- */

static void stream_fail_handshake(Stream *stream, const char *why)
{
    Err err;
    char name[NET_ADDR_TEXT_SIZE];
    stream_name(stream, name);
    err_set(&err, ERR_UNAVAILABLE, "TLS with %s: %s", name, why);
    stream_fail(stream, &err);
}

/* Under TLS a FIN without a close_notify counts too: what runs here frames its messages itself. */
static void stream_eof(Stream *stream)
{
    stream->eof_seen = true;
    stream_touch(stream);
    if (stream->state == STREAM_HANDSHAKE) {
        stream_fail_handshake(stream, "the peer closed the connection during the handshake");
    } else if (stream->state == STREAM_OPEN) {
        if (stream_can_give(stream)) {
            stream_tell_eof(stream);
        } else if (!stream->paused) {
            stream_notify(stream, NOTICE_READ);
        }
    }
}

/* A failure of TLS: our alert goes out before the socket is closed. */
static void stream_fail_tls(Stream *stream, Err *err)
{
    char name[NET_ADDR_TEXT_SIZE];
    stream_name(stream, name);
    err_wrap(err, "TLS with %s", name);
    stream_send_out(stream);
    stream_fail(stream, err);
}

void stream_shake(Stream *stream, Slice cipher)
{
    Err err;
    stream_touch(stream);
    switch (tls_session_handshake(stream->tls, &cipher, &stream->out, &err)) {
    case TLS_WANT_MORE:
        return;
    case TLS_DONE:
        stream_opened(stream);
        stream_take_cipher(stream, cipher);
        return;
    case TLS_EOF:
        stream_fail_handshake(stream, "the peer ended the handshake");
        return;
    case TLS_FAILED:
        stream_fail_tls(stream, &err);
        return;
    }
}

void stream_take_cipher(Stream *stream, Slice cipher)
{
    if (stream->state == STREAM_HANDSHAKE) {
        stream_shake(stream, cipher);
        return;
    }
    while (stream_is_live(stream) && !stream->eof_seen) {
        Err err;
        size_t len;
        size_t out_before = stream->out.len;
        char *room = turn_room(stream->watch.loop, TLS_PLAIN_MAX);
        TlsStatus status =
            tls_session_read(stream->tls, &cipher, room, TLS_PLAIN_MAX, &len, &stream->out, &err);
        if (stream->out.len != out_before) {
            stream_touch(stream);
        }
        switch (status) {
        case TLS_WANT_MORE:
            return;
        case TLS_DONE:
            turn_commit(stream->watch.loop, len);
            stream_take(stream, slice_from(room, len));
            break;
        case TLS_EOF:
            stream_eof(stream);
            return;
        case TLS_FAILED:
            stream_fail_tls(stream, &err);
            return;
        }
    }
}

void stream_receive(Stream *stream)
{
    Loop *loop = stream->watch.loop;
    char *room;
    if (stream->tls == NULL) {
        room = turn_room(loop, STREAM_READ_MAX);
    } else {
        if (loop->cipher_in == NULL) {
            loop->cipher_in = mem_realloc(NULL, STREAM_READ_MAX);
        }
        room = loop->cipher_in;
    }
    ssize_t len = recv(stream->watch.fd, room, STREAM_READ_MAX, 0);
    if (len < 0) {
        stream_receive_failed(stream, errno);
    } else if (len == 0) {
        stream_eof(stream);
    } else if (stream->tls == NULL) {
        turn_commit(loop, (size_t)len);
        stream_take(stream, slice_from(room, (size_t)len));
    } else {
        stream_take_cipher(stream, slice_from(room, (size_t)len));
    }
}

void stream_received(Stream *stream, Slice data, int os_errno)
{
    if (stream->eof_seen || stream->receive_errno != 0) {
        return; /* under TLS the end comes twice */
    }
    if (stream->paused && stream->state == STREAM_OPEN) {
        stream->held = true; /* enough for now */
        stream_touch(stream);
    }
    if (os_errno != 0 && stream->state == STREAM_OPEN && !stream_can_give(stream)) {
        stream->receive_errno = (int16_t)os_errno; /* what came before it is to be told first */
    } else if (os_errno != 0) {
        stream_receive_failed(stream, os_errno);
    } else if (data.len == 0) {
        stream_eof(stream);
    } else if (stream->tls == NULL && stream->state != STREAM_HANDSHAKE) {
        stream_take(stream, data);
    } else {
        stream_take_cipher(stream, data);
    }
}

bool stream_quiet(const Stream *stream)
{
    char byte;
    Uring *uring = stream->watch.loop->uring;
    if (uring != NULL && uring_has_for(uring, stream)) {
        return false;
    }
    return stream->state == STREAM_OPEN && !stream->eof_seen && stream->kept.len == 0 &&
           recv(stream->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

bool stream_peer_ended(const Stream *stream)
{
    struct pollfd ask = {.fd = stream->watch.fd, .events = POLLRDHUP};
    return stream->state != STREAM_OPEN || stream->eof_seen || poll(&ask, 1, 0) > 0;
}
