/* For tests of streams: a loop, and ends of streams that note what they are told. */
#ifndef WEIR_TESTS_STREAM_FIXTURE_H
#define WEIR_TESTS_STREAM_FIXTURE_H

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit.h"
#include "any_loop.h"

typedef struct End End;

struct End {
    Loop *loop;
    Stream *stream; /* NULL once it is gone */
    Buf got;
    int opened, drained, closed;
    bool eof;
    size_t eof_rest;
    bool failed; /* on_closed had an error: */
    Err err;
    size_t unit; /* consumes multiples of this only; 0: everything */
    bool echo;
    size_t (*on_read)(End *end, Slice data); /* instead of noting; may be NULL */
    void (*on_open)(End *end);
    End *other;
    TlsContext *tls;
};

static void end_open(void *user, Stream *stream)
{
    End *end = user;
    assert_ptr_equal(stream, end->stream);
    end->opened++;
    if (end->on_open != NULL) {
        end->on_open(end);
    }
}

static size_t end_read(void *user, Stream *stream, Slice data)
{
    End *end = user;
    assert_ptr_equal(stream, end->stream);
    assert_true(data.len > 0 && end->closed == 0 && end->opened > 0);
    if (end->on_read != NULL) {
        return end->on_read(end, data);
    }
    size_t len = end->unit > 0 ? data.len / end->unit * end->unit : data.len;
    buf_append(&end->got, data.data, len);
    if (end->echo) {
        stream_write_ref(stream, slice_from(data.data, len));
    }
    return len;
}

static void end_eof(void *user, Stream *stream, Slice rest)
{
    End *end = user;
    assert_ptr_equal(stream, end->stream);
    assert_false(end->eof);
    end->eof = true;
    end->eof_rest = rest.len;
    if (end->echo) {
        end->stream = NULL;
        stream_close(stream);
    }
}

static void end_drained(void *user, Stream *stream)
{
    End *end = user;
    assert_int_equal(stream_pending(stream), 0);
    end->drained++;
}

static void end_closed(void *user, Stream *stream, const Err *err)
{
    End *end = user;
    assert_ptr_equal(stream, end->stream);
    end->closed++;
    end->stream = NULL;
    end->failed = err != NULL;
    if (err != NULL) {
        end->err = *err;
    }
    stream_abort(stream); /* allowed, and nothing */
}

static const StreamHandlers end_handlers = {
    .on_open = end_open,
    .on_read = end_read,
    .on_eof = end_eof,
    .on_drained = end_drained,
    .on_closed = end_closed,
};

static inline void end_init(End *end, Loop *loop)
{
    *end = (End){.loop = loop};
    buf_init(&end->got, (size_t)64 << 20);
}

static inline void end_done(End *end)
{
    if (end->stream != NULL) {
        stream_abort(end->stream);
    }
    tls_context_free(end->tls);
    buf_done(&end->got);
}

static inline void end_adopt(End *end, int fd, StreamOptions options)
{
    options.handlers = options.handlers != NULL ? options.handlers : &end_handlers;
    options.user = end;
    end->stream = stream_adopt(end->loop, fd, &options);
    assert_ptr_equal(stream_user(end->stream), end);
    assert_ptr_equal(stream_loop(end->stream), end->loop);
}

/* Takes turns until the condition holds; fails after ten seconds. */
#define TURN_UNTIL(loop, condition)                                                                \
    for (int64_t until_ms_ = time_mono_ms() + 10000; !(condition);) {                              \
        assert_true(time_mono_ms() < until_ms_);                                                   \
        loop_turn((loop), 100);                                                                    \
    }

/* A few turns in which nothing more should happen. */
static inline void turns_settle(Loop *loop)
{
    for (int i = 0; i < 5; i++) {
        loop_turn(loop, 2);
    }
}

static inline void socket_pair(int fds[static 2])
{
    int type = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    assert_int_equal(socketpair(AF_UNIX, type, 0, fds), 0);
}

/* A connected pair of TCP sockets. */
static inline void tcp_pair(int fds[static 2])
{
    Err err;
    NetAddr addr;
    NetListenOptions options = {0};
    int listen_fd = -1;
    assert_true(net_addr_parse("127.0.0.1", 0, &addr, &err));
    assert_true(net_listen(&addr, &options, &listen_fd, &err));
    assert_true(net_local_addr(listen_fd, &addr, &err));
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&addr.storage, addr.len), 0);
    fds[1] = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fds[1] >= 0);
    assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    close(listen_fd);
}

/* Bytes that tell where they were lost or doubled. */
static inline char *pattern_make(size_t len)
{
    char *data = mem_alloc(len);
    for (size_t i = 0; i < len; i++) {
        data[i] = (char)(i * 31 + (i >> 8) * 7 + (i >> 16));
    }
    return data;
}

#endif
