/* Plain streams: echo in all sizes, partial messages, pause, back-pressure, the ends that a stream
 * can have, and closing from every handler. */
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "loop/stream_priv.h"
#include "stream_fixture.h"

typedef struct Fixture {
    Loop *loop;
    End a, b;
    int fds[2];
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    assert_true(any_loop_new(&fixture->loop, &err));
    end_init(&fixture->a, fixture->loop);
    end_init(&fixture->b, fixture->loop);
    fixture->a.other = &fixture->b;
    fixture->b.other = &fixture->a;
    fixture->fds[0] = fixture->fds[1] = -1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    end_done(&fixture->a);
    end_done(&fixture->b);
    fd_close(&fixture->fds[0]);
    fd_close(&fixture->fds[1]);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

/* Both ends on the loop. */
static void both(Fixture *fixture, bool tcp, StreamOptions options)
{
    int fds[2];
    if (tcp) {
        tcp_pair(fds);
    } else {
        socket_pair(fds);
    }
    end_adopt(&fixture->a, fds[0], options);
    end_adopt(&fixture->b, fds[1], options);
}

/* One end on the loop, the other is fixture->fds[0], for plain calls. */
static void half(Fixture *fixture, StreamOptions options)
{
    int fds[2];
    socket_pair(fds);
    fixture->fds[0] = fds[0];
    end_adopt(&fixture->a, fds[1], options);
}

static void say(Fixture *fixture, const char *text)
{
    assert_int_equal(send(fixture->fds[0], text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static void assert_holds_nothing(const Stream *stream)
{
    assert_null(stream->kept.data);
    assert_null(stream->edge);
    assert_null(stream->out.data);
    assert_int_equal(stream_pending(stream), 0);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void echo(Fixture *fixture, size_t len)
{
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    buf_clear(&fixture->a.got);
    for (size_t at = 0; at < len;) {
        size_t piece = len - at < 200000 ? len - at : 200000;
        stream_write(fixture->a.stream, slice_from(data + at, piece));
        at += piece;
    }
    TURN_UNTIL(fixture->loop, fixture->a.got.len >= len);
    assert_int_equal(fixture->a.got.len, len);
    assert_memory_equal(fixture->a.got.data, data, len);
    turns_settle(fixture->loop);
    assert_holds_nothing(fixture->a.stream);
    assert_holds_nothing(fixture->b.stream);
}

static void test_echo(void **state)
{
    Fixture *fixture = *state;
    static const size_t sizes[] = {1, 5, 4096, 65536, 65537, 3000000};
    for (int tcp = 0; tcp < 2; tcp++) {
        both(fixture, tcp == 1, (StreamOptions){0});
        fixture->b.echo = true;
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            echo(fixture, sizes[i]);
        }
        assert_int_equal(fixture->a.opened, 1 + tcp);
        stream_abort(fixture->a.stream);
        fixture->a.stream = NULL;
        TURN_UNTIL(fixture->loop, fixture->b.stream == NULL);
        fixture->b.eof = false;
    }
}

/* Many small writes of a turn leave in one send: the kernel hands them over in one piece. */
static void test_one_send_per_turn(void **state)
{
    Fixture *fixture = *state;
    static const char constant[] = "constant.";
    half(fixture, (StreamOptions){0});
    for (int i = 0; i < 100; i++) {
        stream_write(fixture->a.stream, SLICE("copied."));
        stream_write_ref(fixture->a.stream, SLICE(constant));
        stream_write(fixture->a.stream, slice_of(NULL));
    }
    assert_int_equal(stream_pending(fixture->a.stream), 1600);
    loop_turn(fixture->loop, 0);
    assert_int_equal(stream_pending(fixture->a.stream), 0);
    char got[2000];
    assert_int_equal(recv(fixture->fds[0], got, sizeof(got), 0), 1600);
    assert_memory_equal(got, "copied.constant.copied.", 23);
}

static void test_partial_messages(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    fixture->a.unit = 10;
    static const char text[] = "0123456789abcdefghij0123456789"
                               "klmnopqrst";
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        say(fixture, (char[2]){text[i], '\0'});
        turns_settle(fixture->loop);
        assert_int_equal(fixture->a.got.len, (i + 1) / 10 * 10);
    }
    assert_slice(buf_slice(&fixture->a.got), text);
    assert_holds_nothing(fixture->a.stream);
    say(fixture, "0123456789abc");
    turns_settle(fixture->loop);
    assert_int_equal(fixture->a.stream->kept.len, 3);
}

/* What on_read was given may be referred to until the end of the turn, kept bytes included. */
static size_t forward_units(End *end, Slice data)
{
    size_t len = data.len / 7 * 7;
    for (size_t at = 0; at < len; at += 7) {
        stream_write_ref(end->other->stream, slice_from(data.data + at, 7));
    }
    return len;
}

static void test_forwarding_by_reference(void **state)
{
    Fixture *fixture = *state;
    int left[2], right[2];
    socket_pair(left);
    socket_pair(right);
    end_adopt(&fixture->a, left[1], (StreamOptions){0});
    end_adopt(&fixture->b, right[1], (StreamOptions){0});
    fixture->a.on_read = forward_units;
    size_t len = 7 * 30000;
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    CLEANUP(mem_free_ptr) char *got = mem_alloc(len);
    size_t sent = 0, received = 0, step = 1;
    for (int64_t end_ms = time_mono_ms() + 10000; received < len && time_mono_ms() < end_ms;) {
        step = step * 3 % 70001 + 1;
        size_t piece = len - sent < step ? len - sent : step;
        ssize_t put = send(left[0], data + sent, piece, MSG_NOSIGNAL);
        sent += put > 0 ? (size_t)put : 0;
        loop_turn(fixture->loop, 0);
        ssize_t count = recv(right[0], got + received, len - received, 0);
        received += count > 0 ? (size_t)count : 0;
    }
    assert_int_equal(received, len);
    assert_memory_equal(got, data, len);
    close(left[0]);
    close(right[0]);
}

static void test_keep_limit(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){.keep_max = 100});
    fixture->a.unit = 1000;
    CLEANUP(mem_free_ptr) char *data = pattern_make(101);
    assert_int_equal(send(fixture->fds[0], data, 100, 0), 100);
    turns_settle(fixture->loop);
    assert_int_equal(fixture->a.closed, 0);
    assert_int_equal(send(fixture->fds[0], data, 1, 0), 1);
    TURN_UNTIL(fixture->loop, fixture->a.closed == 1);
    assert_int_equal(fixture->a.err.code, ERR_LIMIT);
}

/* ---- pausing and back-pressure --------------------------------------------------------------- */

static size_t pause_after_four(End *end, Slice data)
{
    size_t len = data.len < 4 ? data.len : 4;
    buf_append(&end->got, data.data, len);
    stream_pause(end->stream);
    return len;
}

static void test_pause(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    fixture->a.on_read = pause_after_four;
    say(fixture, "onetwo");
    TURN_UNTIL(fixture->loop, fixture->a.got.len > 0);
    say(fixture, "three");
    assert_int_equal(shutdown(fixture->fds[0], SHUT_WR), 0);
    turns_settle(fixture->loop);
    assert_true(stream_paused(fixture->a.stream));
    assert_slice(buf_slice(&fixture->a.got), "onet");
    assert_false(fixture->a.eof);
    stream_resume(fixture->a.stream);
    stream_pause(fixture->a.stream);
    turns_settle(fixture->loop);
    assert_slice(buf_slice(&fixture->a.got), "onet");
    for (int i = 0; i < 3; i++) {
        stream_resume(fixture->a.stream);
        turns_settle(fixture->loop);
    }
    assert_slice(buf_slice(&fixture->a.got), "onetwothree");
    stream_resume(fixture->a.stream);
    turns_settle(fixture->loop);
    assert_true(fixture->a.eof);
}

static void test_back_pressure(void **state)
{
    Fixture *fixture = *state;
    size_t len = (size_t)8 << 20;
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    both(fixture, true, (StreamOptions){0});
    stream_pause(fixture->b.stream);
    turns_settle(fixture->loop);
    stream_write(fixture->a.stream, slice_from(data, len));
    turns_settle(fixture->loop);
    assert_in_range(stream_pending(fixture->a.stream), 1, len);
    assert_true(stream_blocked(fixture->a.stream));
    assert_int_equal(fixture->a.drained, 0);
    stream_write(fixture->a.stream, SLICE("tail"));
    stream_resume(fixture->b.stream);
    TURN_UNTIL(fixture->loop, fixture->b.got.len == len + 4);
    assert_memory_equal(fixture->b.got.data, data, len);
    assert_memory_equal(fixture->b.got.data + len, "tail", 4);
    turns_settle(fixture->loop);
    assert_int_equal(fixture->a.drained, 1);
    assert_false(stream_blocked(fixture->a.stream));
    assert_holds_nothing(fixture->a.stream);
}

static void test_pending_limit(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){.pending_max = 1000});
    CLEANUP(mem_free_ptr) char *data = pattern_make(1000);
    stream_write(fixture->a.stream, slice_from(data, 1000));
    stream_write(fixture->a.stream, SLICE("x"));
    stream_write(fixture->a.stream, SLICE("after the failure"));
    assert_int_equal(fixture->a.closed, 0); /* never from inside a call */
    TURN_UNTIL(fixture->loop, fixture->a.closed == 1);
    assert_int_equal(fixture->a.err.code, ERR_LIMIT);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void test_half_close(void **state)
{
    Fixture *fixture = *state;
    both(fixture, true, (StreamOptions){0});
    fixture->b.unit = 4;
    stream_write(fixture->a.stream, SLICE("words."));
    stream_end(fixture->a.stream);
    TURN_UNTIL(fixture->loop, fixture->b.eof);
    assert_slice(buf_slice(&fixture->b.got), "word");
    assert_int_equal(fixture->b.eof_rest, 2);
    stream_write(fixture->b.stream, SLICE("answer"));
    TURN_UNTIL(fixture->loop, fixture->a.got.len == 6);
    stream_close(fixture->b.stream);
    fixture->b.stream = NULL;
    TURN_UNTIL(fixture->loop, fixture->a.eof);
    stream_close(fixture->a.stream);
    fixture->a.stream = NULL;
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
}

static void test_eof_without_a_handler(void **state)
{
    Fixture *fixture = *state;
    static const StreamHandlers handlers = {.on_read = end_read, .on_closed = end_closed};
    half(fixture, (StreamOptions){.handlers = &handlers});
    fixture->a.echo = true;
    fixture->a.opened = 1;
    say(fixture, "ping");
    assert_int_equal(shutdown(fixture->fds[0], SHUT_WR), 0);
    TURN_UNTIL(fixture->loop, fixture->a.closed == 1);
    assert_false(fixture->a.failed);
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
    char got[10];
    assert_int_equal(recv(fixture->fds[0], got, sizeof(got), 0), 4);
    assert_int_equal(recv(fixture->fds[0], got, sizeof(got), 0), 0);
}

/* Closing sends what is queued, also to a peer that reads late and goes on talking meanwhile. */
static void test_close_says_the_last_words(void **state)
{
    Fixture *fixture = *state;
    size_t len = (size_t)4 << 20;
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    both(fixture, true, (StreamOptions){0});
    stream_pause(fixture->b.stream);
    turns_settle(fixture->loop);
    stream_write(fixture->b.stream, SLICE("unread chatter"));
    stream_write(fixture->a.stream, slice_from(data, len));
    stream_close(fixture->a.stream);
    fixture->a.stream = NULL;
    turns_settle(fixture->loop);
    stream_write(fixture->b.stream, SLICE("more of it"));
    stream_resume(fixture->b.stream);
    TURN_UNTIL(fixture->loop, fixture->b.eof);
    assert_int_equal(fixture->b.got.len, len);
    assert_memory_equal(fixture->b.got.data, data, len);
    assert_int_equal(loop_stream_count(fixture->loop), 2); /* a waits for the end of b */
    stream_close(fixture->b.stream);
    fixture->b.stream = NULL;
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
}

static void test_close_does_not_wait_for_ever(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    turns_settle(fixture->loop);
    int64_t start_ms = time_mono_ms();
    stream_close(fixture->a.stream);
    fixture->a.stream = NULL;
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
    assert_in_range(time_mono_ms() - start_ms, STREAM_LINGER_MS - 10, STREAM_LINGER_MS + 1000);
}

static void test_reset_by_peer(void **state)
{
    Fixture *fixture = *state;
    int fds[2];
    tcp_pair(fds);
    end_adopt(&fixture->a, fds[1], (StreamOptions){0});
    turns_settle(fixture->loop);
    struct linger linger = {.l_onoff = 1};
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fds[0]);
    TURN_UNTIL(fixture->loop, fixture->a.closed == 1);
    assert_int_equal(fixture->a.err.code, ERR_UNAVAILABLE);
    assert_int_equal(loop_stream_count(fixture->loop), 0);
}

static int keepalive_of(int fd, int option)
{
    int seconds = 0;
    socklen_t len = sizeof(seconds);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, option, &seconds, &len), 0);
    return seconds;
}

/* Of connections that were made at once, the probes are not sent at once. */
static void test_probes_are_spread(void **state)
{
    Fixture *fixture = *state;
    int fds[2];
    tcp_pair(fds);
    end_adopt(&fixture->a, fds[0], (StreamOptions){0});
    end_adopt(&fixture->b, fds[1], (StreamOptions){0});
    turns_settle(fixture->loop);
    assert_int_not_equal(keepalive_of(fds[0], TCP_KEEPIDLE), keepalive_of(fds[1], TCP_KEEPIDLE));
    assert_int_not_equal(keepalive_of(fds[0], TCP_KEEPINTVL), keepalive_of(fds[1], TCP_KEEPINTVL));
}

/* The peer says why it leaves, and we notice by writing: its words must not be lost. */
static void test_last_words_of_a_broken_peer(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    turns_settle(fixture->loop);
    say(fixture, "FATAL: going down");
    fd_close(&fixture->fds[0]);
    stream_write(fixture->a.stream, SLICE("SELECT 1"));
    stream_flush(fixture->a.stream); /* fails before the words are read */
    assert_true(fixture->a.stream->send_failed);
    TURN_UNTIL(fixture->loop, fixture->a.eof || fixture->a.closed == 1);
    assert_slice(buf_slice(&fixture->a.got), "FATAL: going down");
}

static void test_broken_while_paused(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    turns_settle(fixture->loop);
    stream_pause(fixture->a.stream);
    fd_close(&fixture->fds[0]);
    turns_settle(fixture->loop); /* must not spin on the hang-up: nothing to see */
    assert_int_equal(fixture->a.closed, 0);
    stream_write(fixture->a.stream, SLICE("anyone?"));
    TURN_UNTIL(fixture->loop, fixture->a.closed == 1);
    assert_int_equal(fixture->a.err.code, ERR_UNAVAILABLE);
}

/* ---- closing from handlers ------------------------------------------------------------------- */

static size_t abort_all(End *end, Slice data)
{
    Stream *own = end->stream;
    Stream *others = end->other->stream;
    end->stream = end->other->stream = NULL;
    stream_write(others, data);
    stream_abort(others);
    stream_abort(own);
    return data.len;
}

static void test_abort_in_on_read(void **state)
{
    Fixture *fixture = *state;
    both(fixture, false, (StreamOptions){0});
    fixture->a.on_read = fixture->b.on_read = abort_all;
    turns_settle(fixture->loop);
    stream_write(fixture->a.stream, SLICE("x"));
    stream_write(fixture->b.stream, SLICE("y")); /* both become readable in one batch */
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
    turns_settle(fixture->loop);
    assert_int_equal(fixture->a.closed + fixture->b.closed, 0);
}

static size_t close_after_answer(End *end, Slice data)
{
    Stream *own = end->stream;
    end->stream = NULL;
    stream_write(own, SLICE("answer"));
    stream_close(own);
    return data.len / 2;
}

static void test_close_in_on_read(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    fixture->a.on_read = close_after_answer;
    say(fixture, "question");
    turns_settle(fixture->loop);
    char got[10];
    assert_int_equal(recv(fixture->fds[0], got, sizeof(got), 0), 6);
    assert_int_equal(recv(fixture->fds[0], got, sizeof(got), 0), 0);
    fd_close(&fixture->fds[0]);
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
}

static void abort_own(End *end)
{
    stream_abort(end->stream);
    end->stream = NULL;
}

static void test_abort_in_on_open(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    fixture->a.on_open = abort_own;
    say(fixture, "hello");
    turns_settle(fixture->loop);
    assert_int_equal(fixture->a.opened, 1);
    assert_int_equal(loop_stream_count(fixture->loop), 0);
}

static void test_streams_left_to_the_loop(void **state)
{
    Fixture *fixture = *state;
    both(fixture, false, (StreamOptions){0});
    stream_write(fixture->a.stream, SLICE("never sent"));
    fixture->a.stream = fixture->b.stream = NULL; /* loop_free closes them */
}

static void test_new_owner(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    turns_settle(fixture->loop);
    fixture->b.stream = fixture->a.stream;
    fixture->b.opened = 1;
    fixture->a.stream = NULL;
    stream_set_handlers(fixture->b.stream, &end_handlers, &fixture->b);
    say(fixture, "hello");
    TURN_UNTIL(fixture->loop, fixture->b.got.len == 5);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_echo),
        TEST(test_one_send_per_turn),
        TEST(test_partial_messages),
        TEST(test_forwarding_by_reference),
        TEST(test_keep_limit),
        TEST(test_pause),
        TEST(test_back_pressure),
        TEST(test_pending_limit),
        TEST(test_half_close),
        TEST(test_eof_without_a_handler),
        TEST(test_close_says_the_last_words),
        TEST(test_close_does_not_wait_for_ever),
        TEST(test_reset_by_peer),
        TEST(test_probes_are_spread),
        TEST(test_last_words_of_a_broken_peer),
        TEST(test_broken_while_paused),
        TEST(test_abort_in_on_read),
        TEST(test_close_in_on_read),
        TEST(test_abort_in_on_open),
        TEST(test_streams_left_to_the_loop),
        TEST(test_new_owner),
    };
    return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
