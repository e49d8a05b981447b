/* Inside of streams: their life (stream.c), how they begin (stream_open.c), what comes in
 * (stream_read.c), what goes out (stream_write.c). */
#ifndef WEIR_STREAM_PRIV_H
#define WEIR_STREAM_PRIV_H

#include <sys/uio.h>

#include "loop/loop_priv.h"

#define UNLIMITED (SIZE_MAX / 4) /* of buffers that are limited by what fills them */

/*
 *   stream_connect --> CONNECTING --+--------------------+
 *                                   v                    v
 *   stream_adopt ----------------> HANDSHAKE ---------> OPEN --> stream_start_tls: HANDSHAKE
 *                                   |                    |
 *       (anything can fail) --------+--> FAILED <--------+
 *                                          |             | stream_close
 *                             on_closed    v             v
 *        stream_abort ------------------> DEAD <------ CLOSING
 *
 * CONNECTING  the kernel connects; writes are kept in `early` of the edge.
 * HANDSHAKE   TLS shakes hands; `out` holds its bytes; writes are kept in `early`.
 * OPEN        data flows.
 * CLOSING     the owner has left (handlers is NULL): pending bytes go out, our side is ended, input
 *             is thrown away until the peer ends its own or time is up.
 * FAILED      the socket is closed; a notice is queued and on_closed will be called.
 * DEAD        in no list, fd closed; the memory is freed when the batch of events is done.
 */
typedef enum StreamState {
    STREAM_CONNECTING,
    STREAM_HANDSHAKE,
    STREAM_OPEN,
    STREAM_CLOSING,
    STREAM_FAILED,
    STREAM_DEAD,
} StreamState;

/* What the owner is still to be told, in this order. */
enum {
    NOTICE_OPEN = 1,
    NOTICE_READ = 2, /* give `kept` and a seen EOF again */
    NOTICE_DRAINED = 4,
    NOTICE_CLOSED = 8,
};

/* What a stream needs at its beginning and at its end. One that was adopted, and is open, has none:
 * there are many of those, and idle. One that was connected keeps its name here. */
typedef struct StreamEdge {
    LoopTimer timer; /* connect, handshake, closing */
    TlsContext *tls; /* while connecting: what to do then; a reference of our own */
    char *tls_host;
    char *target; /* of stream_connect, in text form */
    Buf early;    /* plain text written before the stream was open */
} StreamEdge;

struct Stream {
    LoopFd watch;
    ListNode node;    /* in loop->streams */
    ListNode touched; /* in loop->touched */
    ListNode noticed; /* in loop->notices */
    StreamState state;
    unsigned notices;
    const StreamHandlers *handlers;
    void *user;
    TlsSession *tls;
    StreamEdge *edge; /* NULL: nothing of it */
    uint32_t keep_max;
    uint32_t pending_max;
    int32_t timeout_ms;
    uint32_t silence_s; /* 0: there is no host that may vanish */
    ListNode awaited;   /* in loop->awaited */
    int64_t asked_ms;   /* since when something was seen to be acknowledged; 0: nothing was */
    Buf kept;           /* plain text that on_read left */
    Buf out;            /* wire bytes that the kernel did not take; `out_sent` of them are gone */
    size_t out_sent;
    uint32_t segment_first, segment_last; /* index + 1 in loop->segments; 0: none */
    size_t queued;                        /* bytes of the segments */
    bool full;                            /* the kernel takes no more until EPOLLOUT */
    bool blocked;                         /* the peer was too slow; on_drained is owed */
    bool paused;
    bool held;       /* something came while it was paused, and lies in the kernel */
    bool in_read;    /* on_read is running */
    bool eof_seen;   /* the peer's side has ended */
    bool eof_told;   /* and the owner knows */
    bool end_wanted; /* stream_end or stream_close */
    bool goodbye;    /* close_notify is in `out` or gone */
    bool end_sent;   /* our side has ended */
    bool receiving;  /* by io_uring (uring_priv.h): its memory must stay */
    bool receive_cancelled;
    bool send_failed; /* nothing can be sent any more; what the peer sent before may be readable */
    int16_t receive_errno; /* what ended the receive, to be told behind `kept`; 0: nothing. Short
                            * for the size of the struct */
    Err *failure;          /* for on_closed; NULL: good order */
};

/* stream.c */
void stream_touch(Stream *stream);
void stream_notify(Stream *stream, unsigned notice);
void stream_fail(Stream *stream, const Err *err); /* NULL: closed in good order */
void stream_closing_progress(Stream *stream);
void stream_kill(Stream *stream);               /* to DEAD */
bool stream_is_live(const Stream *stream);      /* not FAILED, not DEAD */
void stream_update_interest(Stream *stream);    /* what to wait for, from the state */
void stream_ready(void *user, uint32_t events); /* a LoopFdFn: what came of it */
void stream_out_release(Stream *stream);        /* frees `out` */
void stream_name(const Stream *stream, char out[static NET_ADDR_TEXT_SIZE]); /* its peer */

/* stream_open.c */
StreamEdge *stream_edge(Stream *stream); /* makes it where there is none */
void stream_edge_free(StreamEdge *edge); /* NULL is fine; its timer must be stopped */
void stream_start_session(Stream *stream, TlsContext *tls, const char *host);
void stream_opened(Stream *stream);    /* the handshake, if any, is done */
void stream_connected(Stream *stream); /* or not: the kernel is asked what came of it */

/* stream_read.c */
void stream_receive(Stream *stream);
/* The same where something else has received: no bytes and no errno is the end. */
void stream_received(Stream *stream, Slice data, int os_errno);
void stream_shake(Stream *stream, Slice cipher); /* goes on with the handshake */
void stream_take_cipher(Stream *stream, Slice cipher);
void stream_give_again(Stream *stream); /* `kept`, and EOF if it was seen */

/* silence.c: something was sent. */
void stream_await(Stream *stream);

/* stream_write.c */
void stream_flush(Stream *stream);
void stream_queue_early(Stream *stream);
void stream_send_out(Stream *stream);
/* A flush in two halves: what is to be sent, in so many pieces, and what came of it: bytes, or an
 * errno below zero. 0: nothing, then stream_flushed follows. */
size_t stream_send_begin(Stream *stream, struct iovec *iov, size_t iov_max, size_t *ret_total);
void stream_send_done(Stream *stream, ssize_t result, size_t total);
void stream_flushed(Stream *stream); /* if it is live: what follows from what is left */

#endif
