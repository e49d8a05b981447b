/* The HTTP front: whole requests, however they arrive; answers at once, late and from other
 * threads; TLS and plain on one port; every limit. */
#include <stdio.h>

#include "../loop/stream_fixture.h"
#include "api/http/http_priv.h"

typedef struct Fixture {
    Loop *loop;
    ApiHttp *http;
    int listen_fd;
    NetAddr addr;
    Jobs *jobs;
    TlsContext *server_tls, *client_tls;
    Buf ca;
    End client;
    /* What the handler does. */
    bool hold; /* answer later, by hand */
    bool in_job;
    ApiHttpReply *held;
    size_t answer_len; /* 0: echo the request */
    int requests;
    bool python_ok;
} Fixture;

/* ---- the handler ----------------------------------------------------------------------------- */

static void echo_answer(const ApiHttpRequest *request, ApiHttpReply *reply)
{
    Buf text;
    Slice probe = api_http_header(request, "x-probe");
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_printf(&text, "%.*s|%.*s|%.*s|%.*s|%s|%s|", SLICE_FMT(request->method),
               SLICE_FMT(request->path), SLICE_FMT(request->query), SLICE_FMT(probe), request->peer,
               request->tls ? "tls" : "plain");
    buf_append_slice(&text, request->body);
    const ApiHttpHeader headers[] = {{SLICE("Content-Type"), SLICE("text/x-echo")},
                                     {SLICE("x-amzn-RequestId"), SLICE("1-2-3")}};
    api_http_reply(reply, 200, headers, ARRAY_LEN(headers), buf_slice(&text));
    buf_done(&text);
}

typedef struct Work {
    const ApiHttpRequest *request;
    ApiHttpReply *reply;
} Work;

static void work_run(void *arg, const Job *job)
{
    (void)job;
    Work *work = arg;
    usleep(2000);
    echo_answer(work->request, work->reply);
}

static void handle(void *user, const ApiHttpRequest *request, ApiHttpReply *reply)
{
    Fixture *fixture = user;
    fixture->requests++;
    if (fixture->hold) {
        fixture->held = reply;
    } else if (fixture->in_job) {
        Err err;
        Work *work = mem_alloc(sizeof(Work));
        *work = (Work){request, reply};
        assert_true(jobs_submit(fixture->jobs, work_run, mem_free, work, NULL, &err));
    } else if (fixture->answer_len > 0) {
        CLEANUP(mem_free_ptr) char *data = pattern_make(fixture->answer_len);
        api_http_reply(reply, 200, NULL, 0, slice_from(data, fixture->answer_len));
    } else {
        echo_answer(request, reply);
    }
}

/* ---- fixture --------------------------------------------------------------------------------- */

static void contexts_make(Fixture *fixture)
{
    static const char *const names[] = {"127.0.0.1", "localhost", NULL};
    Err err;
    Buf cert;
    Secret ca_key = {0}, key = {0};
    buf_init(&fixture->ca, BUF_MAX_DEFAULT);
    buf_init(&cert, BUF_MAX_DEFAULT);
    CertSpec spec = {.common_name = "api", .names = names, .server = true, .valid_days = 1};
    assert_true(cert_ca_make("CA", &fixture->ca, &ca_key, &err));
    assert_true(
        cert_issue(buf_slice(&fixture->ca), secret_reveal(&ca_key), &spec, &cert, &key, &err));
    TlsServerOptions server = {.cert_pem = buf_slice(&cert), .key_pem = secret_reveal(&key)};
    TlsClientOptions client = {.ca_pem = buf_slice(&fixture->ca)};
    assert_true(tls_server_context_new(&server, &fixture->server_tls, &err));
    assert_true(tls_client_context_new(&client, &fixture->client_tls, &err));
    buf_done(&cert);
    secret_done(&ca_key);
    secret_done(&key);
}

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    NetListenOptions options = {0};
    assert_true(loop_new(&fixture->loop, &err));
    assert_true(jobs_new(fixture->loop, 2, 100, &fixture->jobs, &err));
    assert_true(net_addr_parse("127.0.0.1", 0, &fixture->addr, &err));
    assert_true(net_listen(&fixture->addr, &options, &fixture->listen_fd, &err));
    assert_true(net_local_addr(fixture->listen_fd, &fixture->addr, &err));
    contexts_make(fixture);
    end_init(&fixture->client, fixture->loop);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    end_done(&fixture->client);
    jobs_free(fixture->jobs);
    api_http_free(fixture->http);
    fd_close(&fixture->listen_fd);
    tls_context_free(fixture->server_tls);
    tls_context_free(fixture->client_tls);
    buf_done(&fixture->ca);
    loop_free(fixture->loop);
    mem_free(fixture);
    return 0;
}

static void serve(Fixture *fixture, ApiHttpOptions options)
{
    Err err;
    options.handler = handle;
    options.user = fixture;
    assert_true(api_http_new(fixture->loop, &options, &fixture->http, &err));
    assert_true(api_http_listen(fixture->http, fixture->listen_fd, &err));
}

static void client_open(Fixture *fixture, End *end, bool tls)
{
    StreamOptions options = {.handlers = &end_handlers, .user = end};
    if (tls) {
        options.tls = fixture->client_tls;
        options.tls_host = "localhost";
    }
    end->stream = stream_connect(fixture->loop, &fixture->addr, &options);
    end->eof = false;
    buf_clear(&end->got);
}

static void say(Fixture *fixture, const char *text)
{
    stream_write(fixture->client.stream, slice_of(text));
}

static bool has(const End *end, const char *text)
{
    return strstr(buf_str(&end->got), text) != NULL;
}

static void client_drop(Fixture *fixture)
{
    if (fixture->client.stream != NULL) {
        stream_abort(fixture->client.stream);
        fixture->client.stream = NULL;
    }
    TURN_UNTIL(fixture->loop, api_http_connections(fixture->http) == 0);
}

/* ---- requests -------------------------------------------------------------------------------- */

static void test_get(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){0});
    client_open(fixture, &fixture->client, false);
    /* The target is handed on as it was sent: the signature was made over that. */
    say(fixture, "GET /a%2Fb//c%20+?x=%41&y HTTP/1.1\r\nHost: x\r\nX-Probe:  va lue \r\n\r\n");
    TURN_UNTIL(fixture->loop, has(&fixture->client, "plain|"));
    assert_true(has(&fixture->client, "HTTP/1.1 200 OK\r\n"));
    assert_true(has(&fixture->client, "Content-Type: text/x-echo\r\n"));
    assert_true(has(&fixture->client, "x-amzn-RequestId: 1-2-3\r\n"));
    assert_true(has(&fixture->client, "GET|/a%2Fb//c%20+|x=%41&y|va lue|127.0.0.1|plain|"));
    /* The connection goes on. */
    buf_clear(&fixture->client.got);
    say(fixture, "DELETE / HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(fixture->loop, has(&fixture->client, "DELETE|/||"));
    /* Several at once are answered in order. */
    buf_clear(&fixture->client.got);
    say(fixture, "GET /1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /2 HTTP/1.1\r\nHost: x\r\n"
                 "Content-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(fixture->loop, has(&fixture->client, "GET|/3|"));
    const char *got = buf_str(&fixture->client.got);
    assert_true(strstr(got, "GET|/1|") < strstr(got, "POST|/2|||127.0.0.1|plain|abc"));
    assert_true(strstr(got, "POST|/2|") < strstr(got, "GET|/3|"));
    client_drop(fixture);
}

static void test_byte_by_byte(void **state)
{
    Fixture *fixture = *state;
    static const char text[] = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello";
    serve(fixture, (ApiHttpOptions){0});
    client_open(fixture, &fixture->client, false);
    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        stream_write(fixture->client.stream, slice_from(text + i, 1));
        turns_settle(fixture->loop);
        assert_int_equal(fixture->requests, i == sizeof(text) - 2);
    }
    TURN_UNTIL(fixture->loop, has(&fixture->client, "plain|hello"));
}

static void post(Fixture *fixture, size_t len, bool chunked)
{
    CLEANUP(mem_free_ptr) char *body = mem_alloc(len + 1);
    char head[200];
    memset(body, 'b', len);
    client_open(fixture, &fixture->client, false);
    if (chunked) {
        snprintf(head, sizeof(head),
                 "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", len);
    } else {
        snprintf(head, sizeof(head), "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                 len);
    }
    say(fixture, head);
    stream_write(fixture->client.stream, slice_from(body, len));
    if (chunked) {
        say(fixture, "\r\n0\r\n\r\n");
    }
}

static void test_bodies(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){0});
    static const size_t sizes[] = {1, 1000, 100000, API_HTTP_BODY_MAX_DEFAULT};
    for (int chunked = 0; chunked < 2; chunked++) {
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            post(fixture, sizes[i], chunked == 1);
            TURN_UNTIL(fixture->loop, fixture->client.got.len > sizes[i]);
            char last[64];
            snprintf(last, sizeof(last), "Content-Length: %zu\r\n", sizes[i] + 25);
            assert_true(has(&fixture->client, last));
            client_drop(fixture);
        }
        int before = fixture->requests;
        post(fixture, API_HTTP_BODY_MAX_DEFAULT + 1, chunked == 1);
        TURN_UNTIL(fixture->loop, has(&fixture->client, "larger than allowed"));
        assert_true(has(&fixture->client, "HTTP/1.1 413 "));
        assert_int_equal(fixture->requests, before);
        client_drop(fixture);
    }
}

static void test_expect(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){0});
    client_open(fixture, &fixture->client, false);
    say(fixture, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                 "Content-Length: 2\r\n\r\n");
    TURN_UNTIL(fixture->loop, has(&fixture->client, "100 Continue"));
    say(fixture, "ab");
    TURN_UNTIL(fixture->loop, has(&fixture->client, "plain|ab"));
    client_drop(fixture);
    client_open(fixture, &fixture->client, false);
    say(fixture, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                 "Content-Length: 2000000\r\n\r\n");
    TURN_UNTIL(fixture->loop, has(&fixture->client, "HTTP/1.1 413 "));
    assert_false(has(&fixture->client, "100 Continue"));
}

static void test_bad_requests(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){0});
    static const char *const bad[] = {"\r\n\r\n garbage \r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
                                      "GET /\r\n\r\n",
                                      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        client_open(fixture, &fixture->client, false);
        say(fixture, bad[i]);
        TURN_UNTIL(fixture->loop, fixture->client.eof || fixture->client.stream == NULL);
        assert_false(has(&fixture->client, " 200 "));
        client_drop(fixture);
    }
    assert_int_equal(fixture->requests, 0);
    client_open(fixture, &fixture->client, false);
    CLEANUP(mem_free_ptr) char *large = mem_alloc(100001);
    memset(large, 'h', 100000);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\nX-Large: ");
    say(fixture, large);
    TURN_UNTIL(fixture->loop, fixture->client.eof || fixture->client.stream == NULL);
    assert_int_equal(fixture->requests, 0);
}

/* ---- answers --------------------------------------------------------------------------------- */

static void test_answers_of_other_threads(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){.tls = fixture->server_tls});
    fixture->in_job = true;
    End ends[20];
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        end_init(&ends[i], fixture->loop);
        client_open(fixture, &ends[i], i % 2 == 0);
        stream_write(ends[i].stream, SLICE("GET /x HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        TURN_UNTIL(fixture->loop, has(&ends[i], "GET|/x|"));
        end_done(&ends[i]);
    }
    TURN_UNTIL(fixture->loop, api_http_connections(fixture->http) == 0);
    assert_int_equal(api_http_unanswered(fixture->http), 0);
}

static void test_client_leaves_before_the_answer(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){0});
    fixture->hold = true;
    client_open(fixture, &fixture->client, false);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(fixture->loop, fixture->held != NULL);
    assert_int_equal(api_http_unanswered(fixture->http), 1);
    stream_abort(fixture->client.stream);
    fixture->client.stream = NULL;
    turns_settle(fixture->loop);
    assert_int_equal(api_http_connections(fixture->http), 1);
    api_http_reply(fixture->held, 200, NULL, 0, SLICE("to nobody"));
    TURN_UNTIL(fixture->loop, api_http_connections(fixture->http) == 0);
}

static void test_freed_with_an_answer_on_its_way(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){0});
    fixture->hold = true;
    client_open(fixture, &fixture->client, true);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    fixture->client.tls = NULL;
    turns_settle(fixture->loop);
    api_http_set_tls(fixture->http, fixture->server_tls);
    TURN_UNTIL(fixture->loop, fixture->client.stream == NULL || fixture->client.eof);
    client_drop(fixture); /* it had no TLS at first */
    client_open(fixture, &fixture->client, true);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(fixture->loop, fixture->held != NULL);
    api_http_reply(fixture->held, 200, NULL, 0, SLICE("late"));
    /* teardown frees the front before the loop has seen the answer */
}

static void test_large_answer_to_a_slow_client(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){.tls = fixture->server_tls});
    fixture->answer_len = (size_t)5 << 20;
    CLEANUP(mem_free_ptr) char *data = pattern_make(fixture->answer_len);
    for (int tls = 0; tls < 2; tls++) {
        client_open(fixture, &fixture->client, tls == 1);
        say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        TURN_UNTIL(fixture->loop, fixture->client.got.len > 0);
        stream_pause(fixture->client.stream);
        for (int i = 0; i < 50; i++) {
            loop_turn(fixture->loop, 1);
        }
        stream_resume(fixture->client.stream);
        TURN_UNTIL(fixture->loop, fixture->client.got.len > fixture->answer_len);
        const char *body = strstr(buf_str(&fixture->client.got), "\r\n\r\n");
        assert_non_null(body);
        assert_memory_equal(body + 4, data, fixture->answer_len);
        client_drop(fixture);
    }
}

/* ---- TLS and plain --------------------------------------------------------------------------- */

static void test_one_port_for_both(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){.tls = fixture->server_tls});
    for (int tls = 0; tls < 2; tls++) {
        client_open(fixture, &fixture->client, tls == 1);
        say(fixture, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        TURN_UNTIL(fixture->loop, fixture->client.eof);
        assert_true(has(&fixture->client, tls == 1 ? "|127.0.0.1|tls|" : "|127.0.0.1|plain|"));
        client_drop(fixture);
    }
}

static void test_plain_is_refused(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){.tls = fixture->server_tls, .require_tls = true});
    client_open(fixture, &fixture->client, false);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(fixture->loop, fixture->client.eof);
    assert_true(has(&fixture->client, "HTTP/1.1 400 "));
    assert_true(has(&fixture->client, "use https://.\n"));
    const char *body = strstr(buf_str(&fixture->client.got), "\r\n\r\n") + 4;
    char length[40];
    snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    assert_true(has(&fixture->client, length));
    assert_int_equal(fixture->requests, 0);
}

/* A client that people use, with the certificate verified. */
static void python_run(void *arg, const Job *job)
{
    (void)job;
    Fixture *fixture = arg;
    char script[1000];
    Err err;
    CommandResult result;
    snprintf(script, sizeof(script),
             "import http.client, ssl, sys\n"
             "context = ssl.create_default_context(cadata=sys.stdin.read())\n"
             "c = http.client.HTTPSConnection('127.0.0.1', %u, context=context, timeout=10)\n"
             "for body in (b'', b'x' * 300000):\n"
             "    c.request('POST', '/p?q', body, {'X-Probe': 'v'})\n"
             "    answer = c.getresponse()\n"
             "    assert answer.status == 200 and answer.read().endswith(b'tls|' + body)\n",
             net_addr_port(&fixture->addr));
    const char *const argv[] = {"/usr/bin/python3", "-c", script, NULL};
    CommandSpec spec = {.argv = argv, .input = buf_slice(&fixture->ca), .timeout_ms = 20000};
    bool ok = command_run(&spec, &result, &err);
    if (!ok) {
        print_error("%s\n", buf_str(&result.err));
    }
    command_result_done(&result);
    fixture->python_ok = ok; /* told to the loop's thread by done */
}

static void python_done(void *arg)
{
    Fixture *fixture = arg;
    loop_stop(fixture->loop);
}

static void test_python(void **state)
{
    Fixture *fixture = *state;
    Err err;
    serve(fixture, (ApiHttpOptions){.tls = fixture->server_tls});
    assert_true(jobs_submit(fixture->jobs, python_run, python_done, fixture, NULL, &err));
    loop_run(fixture->loop);
    assert_true(fixture->python_ok);
    assert_int_equal(fixture->requests, 2);
}

/* ---- limits ---------------------------------------------------------------------------------- */

static void test_time_limits(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){.request_timeout_ms = 60, .idle_timeout_ms = 120});
    int64_t start_ms = time_mono_ms();
    client_open(fixture, &fixture->client, false); /* says nothing */
    TURN_UNTIL(fixture->loop, fixture->client.eof);
    assert_in_range(time_mono_ms() - start_ms, 110, 2000);
    client_drop(fixture);

    client_open(fixture, &fixture->client, false); /* goes on slowly, never ends */
    start_ms = time_mono_ms();
    say(fixture, "GET / HTTP/1.1\r\n");
    while (!fixture->client.eof && time_mono_ms() - start_ms < 5000) {
        say(fixture, "X: y\r\n");
        usleep(5000);
        loop_turn(fixture->loop, 5);
    }
    assert_in_range(time_mono_ms() - start_ms, 50, 2000);
    client_drop(fixture);

    /* A handler may take its time. */
    fixture->hold = true;
    client_open(fixture, &fixture->client, false);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    start_ms = time_mono_ms();
    int turns = 0;
    for (; time_mono_ms() - start_ms < 200; turns++) {
        loop_turn(fixture->loop, 10);
    }
    assert_true(turns < 50); /* nothing spins meanwhile */
    assert_non_null(fixture->held);
    assert_false(fixture->client.eof);
    api_http_reply(fixture->held, 202, NULL, 0, SLICE("done"));
    TURN_UNTIL(fixture->loop, has(&fixture->client, "\r\n\r\ndone"));
    start_ms = time_mono_ms();
    for (turns = 0; time_mono_ms() - start_ms < 80; turns++) {
        loop_turn(fixture->loop, 10);
    }
    assert_true(turns < 30);
    TURN_UNTIL(fixture->loop, fixture->client.eof); /* idle again */
}

static void test_reply_time_limit(void **state)
{
    Fixture *fixture = *state;
    serve(fixture, (ApiHttpOptions){.reply_timeout_ms = 400});
    fixture->answer_len = (size_t)8 << 20;
    client_open(fixture, &fixture->client, false);
    say(fixture, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    TURN_UNTIL(fixture->loop, fixture->client.got.len > 0);
    stream_pause(fixture->client.stream);
    TURN_UNTIL(fixture->loop, api_http_connections(fixture->http) == 0);
}

static void test_connection_limit(void **state)
{
    Fixture *fixture = *state;
    End ends[3];
    serve(fixture, (ApiHttpOptions){.connections_max = 2});
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        end_init(&ends[i], fixture->loop);
        client_open(fixture, &ends[i], false);
        stream_write(ends[i].stream, SLICE("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    }
    TURN_UNTIL(fixture->loop, has(&ends[0], " 200 ") && has(&ends[1], " 200 "));
    turns_settle(fixture->loop);
    assert_int_equal(ends[2].got.len, 0);
    end_done(&ends[0]);
    TURN_UNTIL(fixture->loop, has(&ends[2], " 200 "));
    end_done(&ends[1]);
    end_done(&ends[2]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_get),
        TEST(test_byte_by_byte),
        TEST(test_bodies),
        TEST(test_expect),
        TEST(test_bad_requests),
        TEST(test_answers_of_other_threads),
        TEST(test_client_leaves_before_the_answer),
        TEST(test_freed_with_an_answer_on_its_way),
        TEST(test_large_answer_to_a_slow_client),
        TEST(test_one_port_for_both),
        TEST(test_plain_is_refused),
        TEST(test_python),
        TEST(test_time_limits),
        TEST(test_reply_time_limit),
        TEST(test_connection_limit),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
