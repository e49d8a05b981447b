/* Peers whose host vanishes: a filter on the other end's socket drops whatever comes for it, so
 * that nothing is acknowledged. */
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "loop/stream_priv.h"
#include "stream_fixture.h"

typedef struct Fixture {
    Loop *loop;
    End end;
    int peer;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    assert_true(any_loop_new(&fixture->loop, &err));
    end_init(&fixture->end, fixture->loop);
    fixture->peer = -1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    end_done(&fixture->end);
    fd_close(&fixture->peer);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

static void connect_to(Fixture *fixture, uint32_t silence_s)
{
    int fds[2];
    tcp_pair(fds);
    fixture->peer = fds[0];
    end_adopt(&fixture->end, fds[1], (StreamOptions){.silence_s = silence_s});
    turns_settle(fixture->loop);
}

static void vanish(const Fixture *fixture)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog program = {.len = 1, .filter = &drop};
    assert_int_equal(
        setsockopt(fixture->peer, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)), 0);
}

static void come_back(const Fixture *fixture)
{
    int none = 0;
    assert_int_equal(setsockopt(fixture->peer, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none)),
                     0);
}

static void turns_for(Loop *loop, int64_t ms)
{
    for (int64_t until_ms = time_mono_ms() + ms; time_mono_ms() < until_ms;) {
        loop_turn(loop, 20);
    }
}

static void test_bytes_that_nobody_acknowledges(void **state)
{
    Fixture *fixture = *state;
    connect_to(fixture, 2);
    vanish(fixture);
    int64_t start_ms = time_mono_ms();
    stream_write(fixture->end.stream, SLICE("is anybody there?"));
    TURN_UNTIL(fixture->loop, fixture->end.closed == 1);
    assert_true(time_mono_ms() - start_ms >= 2000);
    assert_true(fixture->end.failed);
    assert_int_equal(fixture->end.err.code, ERR_TIMEOUT);
    assert_non_null(strstr(fixture->end.err.message, "has acknowledged nothing for 2 s"));
    assert_int_equal(loop_stream_count(fixture->loop), 0);
}

static void test_an_end_that_nobody_acknowledges(void **state)
{
    Fixture *fixture = *state;
    connect_to(fixture, 1);
    vanish(fixture);
    stream_end(fixture->end.stream);
    TURN_UNTIL(fixture->loop, fixture->end.closed == 1);
    assert_int_equal(fixture->end.err.code, ERR_TIMEOUT);
}

/* What was lost is sent again, and that is answered. */
static void test_a_peer_that_comes_back(void **state)
{
    Fixture *fixture = *state;
    char got[8];
    connect_to(fixture, 4);
    vanish(fixture);
    stream_write(fixture->end.stream, SLICE("hello"));
    turns_for(fixture->loop, 1500);
    come_back(fixture);
    TURN_UNTIL(fixture->loop, read(fixture->peer, got, sizeof(got)) == 5);
    turns_for(fixture->loop, 4000);
    assert_int_equal(fixture->end.closed, 0);
    assert_int_equal(fixture->loop->awaited.len, 0);
}

/* Its host says that it has no room, each time it is asked. */
static void test_a_peer_that_does_not_read(void **state)
{
    Fixture *fixture = *state;
    size_t len = (size_t)8 << 20;
    size_t read_len = 0;
    char *data = pattern_make(len);
    connect_to(fixture, 1);
    stream_write(fixture->end.stream, slice_from(data, len));
    turns_for(fixture->loop, 5000);
    assert_int_equal(fixture->end.closed, 0);
    assert_true(stream_pending(fixture->end.stream) > 0);
    assert_int_equal(fixture->loop->awaited.len, 1);
    for (ssize_t got = 0; read_len<len; read_len += got> 0 ? (size_t)got : 0) {
        loop_turn(fixture->loop, 1);
        got = read(fixture->peer, data, len);
    }
    TURN_UNTIL(fixture->loop, fixture->loop->awaited.len == 0);
    assert_int_equal(fixture->end.closed, 0);
    mem_free(data);
}

/* Nothing was sent to it: the system's probes find it. */
static void test_a_peer_that_is_only_listened_to(void **state)
{
    Fixture *fixture = *state;
    connect_to(fixture, STREAM_SILENCE_S_MIN);
    vanish(fixture);
    TURN_UNTIL(fixture->loop, fixture->end.closed == 1);
    assert_int_equal(fixture->end.err.code, ERR_TIMEOUT);
}

/* An idle stream is in no list, and one of a Unix socket never was. */
static void test_what_is_looked_at(void **state)
{
    Fixture *fixture = *state;
    int fds[2];
    End other;
    connect_to(fixture, 1);
    end_init(&other, fixture->loop);
    socket_pair(fds);
    end_adopt(&other, fds[1], (StreamOptions){.silence_s = 1});
    assert_int_equal(fixture->loop->awaited.len, 0);
    stream_write(fixture->end.stream, SLICE("x"));
    stream_write(other.stream, SLICE("x"));
    loop_turn(fixture->loop, 0);
    assert_int_equal(fixture->loop->awaited.len, 1);
    TURN_UNTIL(fixture->loop, fixture->loop->awaited.len == 0);
    turns_for(fixture->loop, 2500);
    assert_int_equal(fixture->end.closed + other.closed, 0);
    end_done(&other);
    close(fds[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_bytes_that_nobody_acknowledges),  TEST(test_an_end_that_nobody_acknowledges),
        TEST(test_a_peer_that_comes_back),          TEST(test_a_peer_that_does_not_read),
        TEST(test_a_peer_that_is_only_listened_to), TEST(test_what_is_looked_at),
    };
    return cmocka_run_group_tests_name("silence", tests, NULL, NULL);
}
