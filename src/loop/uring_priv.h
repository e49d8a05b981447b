/*
 * uring: a second way for streams to receive and send (loop_use_uring). Everything else stays with
 * epoll, whose descriptor is one more thing that the ring waits for.
 *
 *   receive  one multishot operation per stream, into buffers that the ring shares among all; it
 *            goes on by itself until it is cancelled, fails, sees the end, or finds no buffer
 *   send     at the end of a turn, of all streams in one system call. MSG_DONTWAIT: each is over
 *            when that call returns, so that what it points to need not live any longer
 *   connect, and waiting for a peer that does not read: epoll, as without a ring
 *
 * What holds at all times:
 *   - Only receives and the wait for epoll are in flight between two turns. A stream's memory is
 *     kept until the last word of its receive (Stream.receiving); its descriptor is closed at once.
 *   - An operation that names a descriptor is submitted before any handler runs again: nobody can
 *     have closed it, and got its number for another one.
 *   - A buffer goes back to the ring at the end of the turn, as all memory that is given to
 * on_read.
 *   - The ring belongs to the thread that runs the loop, and is only prepared by others.
 */
#ifndef WEIR_URING_PRIV_H
#define WEIR_URING_PRIV_H

#include "loop/stream_priv.h"

/* A stream that is paused while its peer sends may be given this many more before that stops. */
#define URING_BUFFERS     128 /* a power of two */
#define URING_BUFFER_SIZE ((size_t)32 << 10)

NODISCARD bool uring_new(Loop *loop, Uring **ret_uring, Err *err);
/* When no stream is left. NULL is fine. */
void uring_free(Uring *uring);

void uring_wait(Uring *uring, int timeout_ms); /* as epoll_wait */
/* Gives the streams what they have received. True: epoll has something, too. */
bool uring_events_run(Uring *uring);

/* Sends what all touched streams have queued. */
void uring_flush(Uring *uring);
/* The end of a turn: what was received in it is not needed any more. */
void uring_buffers_return(Uring *uring);

/* The stream is connected. */
void uring_prepare(const Stream *stream);
/* It wants to receive, or does not. Within a flush. */
void uring_receive(Stream *stream, bool on);
/* The stream, in no list and still receiving, is dead: frees it as soon as that is over. */
void uring_forget(Stream *stream);
/* Whether something was received that the stream does not know yet. */
bool uring_has_for(Uring *uring, const Stream *stream);

#endif
