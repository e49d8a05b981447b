/* Streams that are written to, paused, closed and replaced at random, from outside and from their
 * own handlers: no byte goes astray, none reaches a stream that is gone or has another's
 * descriptor, and in the end nothing is left. Under the sanitizers it shows what is freed early. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "any_loop.h"

#define SLOTS     24
#define STEPS     60000
#define WRITE_MAX ((size_t)50000)
#define DUE_MAX   ((size_t)400000)

typedef struct Slot {
    Stream *stream;          /* NULL: none, or closing by itself */
    int peer;                /* -1: none */
    uint64_t key;            /* what its bytes are made of */
    uint64_t sent, seen;     /* by us, by the peer */
    uint64_t fed, read;      /* by the peer, by us */
    unsigned end_in_handler; /* 1: abort, 2: close */
    uint64_t *random;
} Slot;

static uint64_t next(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static char byte_at(uint64_t key, uint64_t at)
{
    return (char)(((key + at) * 0x9e3779b97f4a7c15U) >> 56);
}

static size_t on_read(void *user, Stream *stream, Slice data)
{
    Slot *slot = user;
    size_t done = data.len - (next(slot->random) % 8 == 0 ? data.len / 3 : 0);
    for (size_t i = 0; i < data.len; i++) {
        if (data.data[i] != byte_at(slot->key, slot->read + i)) {
            fail_msg("byte %zu of a read is another's", i);
        }
    }
    slot->read += done;
    if (next(slot->random) % 16 == 0) {
        stream_pause(stream);
    }
    if (slot->end_in_handler != 0) {
        (slot->end_in_handler == 1 ? stream_abort : stream_close)(stream);
        slot->stream = NULL;
        slot->end_in_handler = 0;
    }
    return done;
}

static void on_eof(void *user, Stream *stream, Slice rest)
{
    Slot *slot = user;
    (void)rest;
    stream_close(stream);
    slot->stream = NULL;
}

static void on_closed(void *user, Stream *stream, const Err *err)
{
    Slot *slot = user;
    (void)stream;
    (void)err;
    slot->stream = NULL;
}

static const StreamHandlers handlers = {
    .on_read = on_read, .on_eof = on_eof, .on_closed = on_closed};

static void peer_close(Slot *slot)
{
    if (slot->peer >= 0) {
        close(slot->peer);
        slot->peer = -1;
    }
}

static void slot_begin(Slot *slot, Loop *loop)
{
    int fds[2];
    peer_close(slot);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *slot = (Slot){.peer = fds[1], .key = next(slot->random), .random = slot->random};
    StreamOptions options = {
        .handlers = &handlers, .user = slot, .keep_max = 1 << 22, .timeout_ms = 200};
    slot->stream = stream_adopt(loop, fds[0], &options);
}

static void fill(const Slot *slot, uint64_t at, char *room, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        room[i] = byte_at(slot->key, at + i);
    }
}

static void peer_write(Slot *slot, char *room, size_t len)
{
    fill(slot, slot->fed, room, len);
    ssize_t fed = send(slot->peer, room, len, MSG_NOSIGNAL);
    slot->fed += fed > 0 ? (uint64_t)fed : 0;
}

static void peer_read(Slot *slot, char *room)
{
    ssize_t got = recv(slot->peer, room, WRITE_MAX, 0);
    for (ssize_t i = 0; i < got; i++) {
        if (room[i] != byte_at(slot->key, slot->seen + (uint64_t)i)) {
            fail_msg("byte %zd of an answer is another's", i);
        }
    }
    slot->seen += got > 0 ? (uint64_t)got : 0;
}

static void stream_step(Slot *slot, char *room, size_t len, uint64_t what)
{
    Stream *stream = slot->stream;
    if (what < 6 && stream_pending(stream) < DUE_MAX) {
        fill(slot, slot->sent, room, len);
        stream_write(stream, slice_from(room, len));
        slot->sent += len;
    } else if (what < 8) {
        stream_pause(stream);
    } else if (what < 12) {
        stream_resume(stream);
    } else if (what == 12) {
        slot->end_in_handler = 1 + (unsigned)(next(slot->random) % 2);
    } else if (what == 13) {
        stream_abort(stream);
        slot->stream = NULL;
    } else if (what == 14) {
        stream_close(stream);
        slot->stream = NULL;
    } else {
        (void)stream_quiet(stream);
    }
}

static void step(Slot *slot, Loop *loop, char *room)
{
    uint64_t what = next(slot->random) % 48;
    size_t len = 1 + next(slot->random) % (next(slot->random) % 4 == 0 ? WRITE_MAX : 100);
    if (slot->stream == NULL && (slot->peer < 0 || what % 4 == 0)) {
        slot_begin(slot, loop);
    } else if (slot->stream != NULL && what < 16) {
        stream_step(slot, room, len, what);
    } else if (slot->peer >= 0 && what < 28) {
        peer_write(slot, room, len);
    } else if (slot->peer >= 0 && what < 40) {
        peer_read(slot, room);
    } else if (what == 40) {
        peer_close(slot);
    } else if (slot->peer >= 0 && what == 41) {
        shutdown(slot->peer, SHUT_WR);
    } else {
        loop_turn(loop, 0);
    }
}

static void test_churn(void **state)
{
    (void)state;
    static Slot slots[SLOTS];
    static char room[WRITE_MAX];
    uint64_t random = 0x2545f4914f6cdd1dU;
    Loop *loop;
    Err err;
    assert_true(any_loop_new(&loop, &err));
    for (size_t i = 0; i < SLOTS; i++) {
        slots[i] = (Slot){.peer = -1, .random = &random};
    }
    for (size_t i = 0; i < STEPS; i++) {
        step(&slots[next(&random) % SLOTS], loop, room);
    }
    for (size_t i = 0; i < SLOTS; i++) {
        peer_close(&slots[i]);
        if (slots[i].stream != NULL && i % 4 != 0) {
            stream_resume(slots[i].stream);
        }
    }
    for (int i = 0; i < 2000 && loop_stream_count(loop) > SLOTS / 4; i++) {
        loop_turn(loop, 1);
    }
    assert_true(loop_stream_count(loop) <= SLOTS / 4);
    loop_free(loop); /* with what is still paused */
}

/* What was begun for a descriptor that is closed between two turns does not take what comes to the
 * next connection that has its number. */
static void test_a_number_that_comes_again(void **state)
{
    (void)state;
    uint64_t random = 7;
    Slot old = {.peer = -1, .random = &random};
    Slot new = {.peer = -1, .random = &random};
    Loop *loop;
    Err err;
    assert_true(any_loop_new(&loop, &err));
    slot_begin(&old, loop);
    loop_turn(loop, 0);
    stream_abort(old.stream);
    slot_begin(&new, loop);
    char byte;
    fill(&new, 0, &byte, 1);
    assert_int_equal(send(new.peer, &byte, 1, MSG_NOSIGNAL), 1);
    for (int i = 0; i < 100 && new.read == 0; i++) {
        loop_turn(loop, 1);
        if (new.stream != NULL) {
            stream_resume(new.stream);
        }
    }
    assert_int_equal(new.read, 1);
    peer_close(&old);
    peer_close(&new);
    loop_free(loop);
}

/* All of them answer in the turn in which all of them close. */
static void test_many_close_at_once(void **state)
{
    (void)state;
    static Slot slots[600];
    uint64_t random = 99;
    Loop *loop;
    Err err;
    assert_true(any_loop_new(&loop, &err));
    for (size_t round = 0; round < 4; round++) {
        for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
            slots[i] = (Slot){.peer = -1, .random = &random};
            slot_begin(&slots[i], loop);
        }
        loop_turn(loop, 0);
        for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
            char byte;
            fill(&slots[i], 0, &byte, 1);
            slots[i].end_in_handler = 1 + (unsigned)(i % 2);
            assert_int_equal(send(slots[i].peer, &byte, 1, MSG_NOSIGNAL), 1);
            stream_write(slots[i].stream, slice_from(&byte, 1));
            if (i % 3 == 0) {
                peer_close(&slots[i]);
            }
        }
        for (int i = 0; i < 500 && loop_stream_count(loop) > 0; i++) {
            for (size_t k = 0; i == 3 && k < ARRAY_LEN(slots); k++) {
                peer_close(&slots[k]);
            }
            loop_turn(loop, 1);
        }
        assert_int_equal(loop_stream_count(loop), 0);
    }
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_churn),
        cmocka_unit_test(test_a_number_that_comes_again),
        cmocka_unit_test(test_many_close_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
