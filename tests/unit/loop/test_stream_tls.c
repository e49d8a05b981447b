/* Streams under TLS: echo, byte by byte, upgrades in the middle of a stream from both sides, the
 * first byte that tells, who is refused, time-outs. */
#include "loop/stream_priv.h"
#include "stream_fixture.h"

typedef struct Fixture {
    Loop *loop;
    End server, client;
    TlsContext *server_tls, *client_tls;
    int raw; /* the peer of `server`, for plain calls */
} Fixture;

static const char *const names[] = {"db.example", NULL};

static void contexts_make(Fixture *fixture)
{
    Err err;
    Buf ca, cert;
    Secret ca_key = {0}, key = {0};
    buf_init(&ca, BUF_MAX_DEFAULT);
    buf_init(&cert, BUF_MAX_DEFAULT);
    CertSpec spec = {.common_name = "db", .names = names, .server = true, .valid_days = 1};
    assert_true(cert_ca_make("CA", &ca, &ca_key, &err));
    assert_true(cert_issue(buf_slice(&ca), secret_reveal(&ca_key), &spec, &cert, &key, &err));
    TlsServerOptions server = {.cert_pem = buf_slice(&cert), .key_pem = secret_reveal(&key)};
    TlsClientOptions client = {.ca_pem = buf_slice(&ca)};
    assert_true(tls_server_context_new(&server, &fixture->server_tls, &err));
    assert_true(tls_client_context_new(&client, &fixture->client_tls, &err));
    buf_done(&ca);
    buf_done(&cert);
    secret_done(&ca_key);
    secret_done(&key);
}

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    assert_true(any_loop_new(&fixture->loop, &err));
    end_init(&fixture->server, fixture->loop);
    end_init(&fixture->client, fixture->loop);
    fixture->raw = -1;
    contexts_make(fixture);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    end_done(&fixture->server);
    end_done(&fixture->client);
    tls_context_free(fixture->server_tls);
    tls_context_free(fixture->client_tls);
    fd_close(&fixture->raw);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

static StreamOptions server_options(const Fixture *fixture)
{
    return (StreamOptions){.tls = fixture->server_tls};
}

static StreamOptions client_options(const Fixture *fixture)
{
    return (StreamOptions){.tls = fixture->client_tls, .tls_host = "db.example"};
}

static void both(Fixture *fixture, StreamOptions server, StreamOptions client)
{
    int fds[2];
    tcp_pair(fds);
    end_adopt(&fixture->server, fds[0], server);
    end_adopt(&fixture->client, fds[1], client);
}

static void half(Fixture *fixture, StreamOptions server)
{
    int fds[2];
    socket_pair(fds);
    fixture->raw = fds[0];
    end_adopt(&fixture->server, fds[1], server);
}

/* ---- data ------------------------------------------------------------------------------------ */

static void test_echo(void **state)
{
    Fixture *fixture = *state;
    static const size_t sizes[] = {1, 100, 16384, 16385, 2000000};
    both(fixture, server_options(fixture), client_options(fixture));
    fixture->server.echo = true;
    size_t expected = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(mem_free_ptr) char *data = pattern_make(sizes[i]);
        stream_write(fixture->client.stream, slice_from(data, sizes[i])); /* at first: early */
        TURN_UNTIL(fixture->loop, fixture->client.got.len >= expected + sizes[i]);
        assert_int_equal(fixture->client.got.len, expected + sizes[i]);
        assert_memory_equal(fixture->client.got.data + expected, data, sizes[i]);
        expected += sizes[i];
    }
    assert_int_equal(fixture->client.opened, 1);
    assert_int_equal(fixture->server.opened, 1);
    assert_non_null(stream_tls(fixture->client.stream));
    turns_settle(fixture->loop);
    assert_null(fixture->client.stream->out.data);
    assert_null(fixture->server.stream->out.data);
    assert_null(fixture->server.stream->kept.data);
    assert_null(fixture->server.stream->edge); /* of the handshake nothing is left */
    assert_null(fixture->client.stream->edge);
    stream_close(fixture->client.stream);
    fixture->client.stream = NULL;
    TURN_UNTIL(fixture->loop, loop_stream_count(fixture->loop) == 0);
    assert_true(fixture->server.eof);
}

/* Small writes of a turn share a record: 100 times 5 bytes cost one overhead, not a hundred. */
static void test_records_are_shared(void **state)
{
    Fixture *fixture = *state;
    both(fixture, server_options(fixture), client_options(fixture));
    TURN_UNTIL(fixture->loop, fixture->server.opened && fixture->client.opened);
    for (int i = 0; i < 100; i++) {
        stream_write(fixture->client.stream, SLICE("five."));
        stream_write_ref(fixture->client.stream, SLICE("const"));
    }
    stream_pause(fixture->server.stream);
    stream_flush(fixture->client.stream);
    int waiting = 0;
    char bytes[4000];
    waiting = (int)recv(fixture->server.stream->watch.fd, bytes, sizeof(bytes), MSG_PEEK);
    assert_in_range(waiting, 1000, 1100);
    stream_resume(fixture->server.stream);
    TURN_UNTIL(fixture->loop, fixture->server.got.len == 1000);
    /* Long ones between short ones stay in order. */
    size_t len = 40000;
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    stream_write(fixture->client.stream, SLICE("head."));
    stream_write_ref(fixture->client.stream, slice_from(data, len));
    stream_write(fixture->client.stream, slice_from(data, 8000));
    stream_write_ref(fixture->client.stream, slice_from(data, 8100));
    stream_write(fixture->client.stream, SLICE("tail."));
    TURN_UNTIL(fixture->loop, fixture->server.got.len == 1000 + len + 16110);
    const char *got = fixture->server.got.data + 1000;
    assert_memory_equal(got, "head.", 5);
    assert_memory_equal(got + 5, data, len);
    assert_memory_equal(got + 5 + len, data, 8000);
    assert_memory_equal(got + 8005 + len, data, 8100);
    assert_memory_equal(got + 16105 + len, "tail.", 5);
}

static void test_back_pressure(void **state)
{
    Fixture *fixture = *state;
    size_t len = (size_t)6 << 20;
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    both(fixture, server_options(fixture), client_options(fixture));
    TURN_UNTIL(fixture->loop, fixture->server.opened && fixture->client.opened);
    stream_pause(fixture->client.stream);
    for (size_t at = 0; at < len; at += len / 8) {
        stream_write(fixture->server.stream, slice_from(data + at, len / 8));
        loop_turn(fixture->loop, 0);
    }
    turns_settle(fixture->loop);
    assert_true(stream_pending(fixture->server.stream) > 0);
    assert_int_equal(fixture->client.got.len, 0);
    stream_resume(fixture->client.stream);
    TURN_UNTIL(fixture->loop, fixture->client.got.len == len);
    assert_memory_equal(fixture->client.got.data, data, len);
    turns_settle(fixture->loop);
    assert_int_equal(fixture->server.drained, 1);
}

/* A client that is not a stream, and sends its bytes one at a time. */
typedef struct RawClient {
    TlsSession *session;
    Buf out;
    int fd;
    Loop *loop;
} RawClient;

static void raw_send(RawClient *raw)
{
    for (size_t i = 0; i < raw->out.len; i++) {
        assert_int_equal(send(raw->fd, raw->out.data + i, 1, MSG_NOSIGNAL), 1);
        loop_turn(raw->loop, 0);
    }
    buf_clear(&raw->out);
}

static void raw_shake(RawClient *raw)
{
    Err err;
    Slice in = {NULL, 0};
    for (int i = 0; i < 1000; i++) {
        TlsStatus status = tls_session_handshake(raw->session, &in, &raw->out, &err);
        raw_send(raw);
        if (status == TLS_DONE) {
            return;
        }
        assert_int_equal(status, TLS_WANT_MORE);
        loop_turn(raw->loop, 1);
        static char byte;
        ssize_t len;
        while ((len = recv(raw->fd, &byte, 1, 0)) == 1) {
            in = slice_from(&byte, 1);
            status = tls_session_handshake(raw->session, &in, &raw->out, &err);
            if (status == TLS_DONE) {
                break;
            }
        }
        in = (Slice){NULL, 0};
    }
    fail_msg("the handshake did not end");
}

static void test_byte_by_byte(void **state)
{
    Fixture *fixture = *state;
    Err err;
    half(fixture, server_options(fixture));
    RawClient raw = {.fd = fixture->raw, .loop = fixture->loop};
    buf_init(&raw.out, BUF_MAX_DEFAULT);
    assert_true(tls_session_new(fixture->client_tls, "db.example", &raw.session, &err));
    raw_shake(&raw);
    TURN_UNTIL(fixture->loop, fixture->server.opened == 1);
    fixture->server.unit = 4;
    for (int i = 0; i < 4; i++) {
        assert_true(tls_session_write(raw.session, SLICE("abc"), &raw.out, &err));
        raw_send(&raw);
    }
    turns_settle(fixture->loop);
    assert_slice(buf_slice(&fixture->server.got), "abcabcabcabc");
    tls_session_shutdown(raw.session, &raw.out);
    raw_send(&raw);
    TURN_UNTIL(fixture->loop, fixture->server.eof);
    tls_session_free(raw.session);
    buf_done(&raw.out);
}

/* A client that vanishes without a close_notify has ended its side all the same. */
static void test_end_without_goodbye(void **state)
{
    Fixture *fixture = *state;
    Err err;
    half(fixture, server_options(fixture));
    RawClient raw = {.fd = fixture->raw, .loop = fixture->loop};
    buf_init(&raw.out, BUF_MAX_DEFAULT);
    assert_true(tls_session_new(fixture->client_tls, "db.example", &raw.session, &err));
    raw_shake(&raw);
    assert_true(tls_session_write(raw.session, SLICE("last"), &raw.out, &err));
    raw_send(&raw);
    fd_close(&fixture->raw);
    TURN_UNTIL(fixture->loop, fixture->server.eof);
    assert_slice(buf_slice(&fixture->server.got), "last");
    tls_session_free(raw.session);
    buf_done(&raw.out);
}

/* Ended before it was open: what was queued still goes out, under TLS, and then the end. */
static void test_end_before_open(void **state)
{
    Fixture *fixture = *state;
    both(fixture, server_options(fixture), client_options(fixture));
    stream_write(fixture->client.stream, SLICE("one request"));
    stream_end(fixture->client.stream);
    TURN_UNTIL(fixture->loop, fixture->server.eof);
    assert_slice(buf_slice(&fixture->server.got), "one request");
    stream_write(fixture->server.stream, SLICE("one answer"));
    stream_close(fixture->server.stream);
    fixture->server.stream = NULL;
    TURN_UNTIL(fixture->loop, fixture->client.eof);
    assert_slice(buf_slice(&fixture->client.got), "one answer");
}

static void test_close_says_the_last_words(void **state)
{
    Fixture *fixture = *state;
    size_t len = (size_t)3 << 20;
    CLEANUP(mem_free_ptr) char *data = pattern_make(len);
    both(fixture, server_options(fixture), client_options(fixture));
    TURN_UNTIL(fixture->loop, fixture->server.opened && fixture->client.opened);
    stream_pause(fixture->client.stream);
    turns_settle(fixture->loop);
    stream_write(fixture->server.stream, slice_from(data, len));
    stream_close(fixture->server.stream);
    fixture->server.stream = NULL;
    turns_settle(fixture->loop);
    stream_resume(fixture->client.stream);
    TURN_UNTIL(fixture->loop, fixture->client.eof);
    assert_int_equal(fixture->client.got.len, len);
    assert_memory_equal(fixture->client.got.data, data, len);
}

/* ---- upgrades -------------------------------------------------------------------------------- */

/* The server's side of PostgreSQL's SSLRequest. */
static size_t accept_upgrade(End *end, Slice data)
{
    if (stream_tls(end->stream) != NULL) {
        buf_append_slice(&end->got, data);
        return data.len;
    }
    if (data.len < 8) {
        return 0;
    }
    assert_memory_equal(data.data, "UPGRADE?", 8);
    stream_write(end->stream, SLICE("S"));
    stream_start_tls(end->stream, end->tls, NULL);
    return 8;
}

static void ask_upgrade(End *end)
{
    if (end->opened == 1) {
        stream_write(end->stream, SLICE("UPGRADE?"));
    } else {
        stream_write(end->stream, SLICE("under TLS"));
    }
}

static size_t start_upgrade(End *end, Slice data)
{
    assert_int_equal(data.len, 1);
    stream_start_tls(end->stream, end->tls, "db.example");
    return 1;
}

static void test_upgrade(void **state)
{
    Fixture *fixture = *state;
    both(fixture, (StreamOptions){0}, (StreamOptions){0});
    fixture->server.tls = tls_context_ref(fixture->server_tls);
    fixture->client.tls = tls_context_ref(fixture->client_tls);
    fixture->server.on_read = accept_upgrade;
    fixture->client.on_open = ask_upgrade;
    fixture->client.on_read = start_upgrade;
    TURN_UNTIL(fixture->loop, fixture->server.got.len == 9);
    assert_slice(buf_slice(&fixture->server.got), "under TLS");
    assert_int_equal(fixture->client.opened, 2);
    assert_int_equal(fixture->server.opened, 2);
    assert_null(fixture->server.stream->edge);
    assert_null(fixture->client.stream->edge);
}

/* What was written before it is open comes in order, also what is in the turn in which it opens. */
static void test_early_and_late(void **state)
{
    Fixture *fixture = *state;
    both(fixture, server_options(fixture), client_options(fixture));
    Stream *client = fixture->client.stream;
    stream_write(client, SLICE("early, "));
    loop_turn(fixture->loop, 0);
    assert_slice(buf_slice(&client->edge->early), "early, ");
    stream_write(client, SLICE("late"));
    stream_queue_early(client); /* as when it opens */
    TURN_UNTIL(fixture->loop, fixture->server.got.len == 11);
    assert_slice(buf_slice(&fixture->server.got), "early, late");
}

/* A client that does not wait for the answer: what is behind the request belongs to TLS. */
static void test_upgrade_without_waiting(void **state)
{
    Fixture *fixture = *state;
    Err err;
    half(fixture, (StreamOptions){0});
    fixture->server.tls = tls_context_ref(fixture->server_tls);
    fixture->server.on_read = accept_upgrade;
    RawClient raw = {.fd = fixture->raw, .loop = fixture->loop};
    buf_init(&raw.out, BUF_MAX_DEFAULT);
    assert_true(tls_session_new(fixture->client_tls, "db.example", &raw.session, &err));
    Slice in = {NULL, 0};
    buf_append_str(&raw.out, "UPGRADE?");
    assert_int_equal(tls_session_handshake(raw.session, &in, &raw.out, &err), TLS_WANT_MORE);
    assert_int_equal(send(raw.fd, raw.out.data, raw.out.len, 0), raw.out.len);
    buf_clear(&raw.out);
    turns_settle(fixture->loop);
    char byte;
    assert_int_equal(recv(raw.fd, &byte, 1, 0), 1);
    assert_int_equal(byte, 'S');
    raw_shake(&raw);
    assert_true(tls_session_write(raw.session, SLICE("data"), &raw.out, &err));
    raw_send(&raw);
    TURN_UNTIL(fixture->loop, fixture->server.got.len == 4);
    tls_session_free(raw.session);
    buf_done(&raw.out);
}

static void test_injected_plain_text_is_refused(void **state)
{
    Fixture *fixture = *state;
    half(fixture, (StreamOptions){0});
    fixture->server.tls = tls_context_ref(fixture->server_tls);
    fixture->server.on_read = accept_upgrade;
    assert_int_equal(send(fixture->raw, "UPGRADE?DROP TABLE t", 20, 0), 20);
    TURN_UNTIL(fixture->loop, fixture->server.closed == 1);
    assert_true(fixture->server.failed);
    assert_int_equal(fixture->server.got.len, 0);
    char got[100];
    assert_int_equal(recv(fixture->raw, got, sizeof(got), 0), 1);
    assert_int_equal(got[0], 'S');
}

static size_t sniff(End *end, Slice data)
{
    if (stream_tls(end->stream) == NULL && stream_is_tls_hello(data)) {
        stream_start_tls(end->stream, end->tls, NULL);
        return 0;
    }
    buf_append_slice(&end->got, data);
    stream_write(end->stream, SLICE("ok"));
    return data.len;
}

static void test_first_byte_tells(void **state)
{
    Fixture *fixture = *state;
    for (int tls = 0; tls < 2; tls++) {
        both(fixture, (StreamOptions){0}, tls == 1 ? client_options(fixture) : (StreamOptions){0});
        tls_context_free(fixture->server.tls);
        fixture->server.tls = tls_context_ref(fixture->server_tls);
        fixture->server.on_read = sniff;
        buf_clear(&fixture->server.got);
        buf_clear(&fixture->client.got);
        stream_write(fixture->client.stream, SLICE("hello"));
        TURN_UNTIL(fixture->loop, fixture->client.got.len == 2);
        assert_slice(buf_slice(&fixture->server.got), "hello");
        assert_int_equal(stream_tls(fixture->server.stream) != NULL, tls);
        stream_abort(fixture->client.stream);
        stream_abort(fixture->server.stream);
        fixture->client.stream = fixture->server.stream = NULL;
    }
    assert_false(stream_is_tls_hello(slice_of("GET /")));
    assert_false(stream_is_tls_hello((Slice){NULL, 0}));
}

/* Paused bytes that were kept before the upgrade belong to TLS as well. */
static size_t take_request_and_pause(End *end, Slice data)
{
    (void)data;
    if (stream_tls(end->stream) != NULL) {
        buf_append_slice(&end->got, data);
        return data.len;
    }
    stream_pause(end->stream);
    return 1;
}

static void test_upgrade_from_outside(void **state)
{
    Fixture *fixture = *state;
    both(fixture, (StreamOptions){0}, client_options(fixture));
    fixture->server.on_read = take_request_and_pause;
    int64_t end_ms = time_mono_ms() + 5000;
    /* The first byte of the client's hello is consumed: what is kept is broken TLS. */
    TURN_UNTIL(fixture->loop, stream_paused(fixture->server.stream) || time_mono_ms() > end_ms);
    assert_true(fixture->server.stream->kept.len > 0);
    stream_start_tls(fixture->server.stream, fixture->server_tls, NULL);
    assert_int_equal(fixture->server.closed, 0); /* never from inside a call */
    TURN_UNTIL(fixture->loop, fixture->server.closed == 1);
    TURN_UNTIL(fixture->loop, fixture->client.closed == 1 || fixture->client.eof);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void test_wrong_name(void **state)
{
    Fixture *fixture = *state;
    StreamOptions client = client_options(fixture);
    client.tls_host = "other.example";
    both(fixture, server_options(fixture), client);
    stream_write(fixture->client.stream, SLICE("password"));
    TURN_UNTIL(fixture->loop, fixture->client.closed == 1 && fixture->server.closed == 1);
    assert_int_equal(fixture->client.err.code, ERR_DENIED);
    assert_non_null(strstr(fixture->client.err.message, "other.example"));
    assert_true(fixture->server.failed);
    assert_int_equal(fixture->client.opened + fixture->server.opened, 0);
    assert_int_equal(fixture->server.got.len, 0);
}

static void test_handshake_time_out(void **state)
{
    Fixture *fixture = *state;
    StreamOptions options = server_options(fixture);
    options.timeout_ms = 50;
    half(fixture, options);
    TURN_UNTIL(fixture->loop, fixture->server.closed == 1);
    assert_int_equal(fixture->server.err.code, ERR_TIMEOUT);
}

static void test_peer_leaves_during_the_handshake(void **state)
{
    Fixture *fixture = *state;
    half(fixture, server_options(fixture));
    fd_close(&fixture->raw);
    TURN_UNTIL(fixture->loop, fixture->server.closed == 1);
    assert_int_equal(fixture->server.err.code, ERR_UNAVAILABLE);
}

static void test_peer_speaks_plain(void **state)
{
    Fixture *fixture = *state;
    half(fixture, server_options(fixture));
    assert_int_equal(send(fixture->raw, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    TURN_UNTIL(fixture->loop, fixture->server.closed == 1);
    assert_int_equal(fixture->server.err.code, ERR_INVALID);
}

static void test_close_during_the_handshake(void **state)
{
    Fixture *fixture = *state;
    both(fixture, server_options(fixture), client_options(fixture));
    stream_close(fixture->client.stream);
    fixture->client.stream = NULL;
    TURN_UNTIL(fixture->loop, fixture->server.closed == 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_echo),
        TEST(test_records_are_shared),
        TEST(test_back_pressure),
        TEST(test_byte_by_byte),
        TEST(test_end_without_goodbye),
        TEST(test_end_before_open),
        TEST(test_close_says_the_last_words),
        TEST(test_upgrade),
        TEST(test_early_and_late),
        TEST(test_upgrade_without_waiting),
        TEST(test_injected_plain_text_is_refused),
        TEST(test_first_byte_tells),
        TEST(test_upgrade_from_outside),
        TEST(test_wrong_name),
        TEST(test_handshake_time_out),
        TEST(test_peer_leaves_during_the_handshake),
        TEST(test_peer_speaks_plain),
        TEST(test_close_during_the_handshake),
    };
    return cmocka_run_group_tests_name("stream_tls", tests, NULL, NULL);
}
