/* TLS over memory: both sides in one process, whole and byte by byte; who is accepted and who is
 * not; ALPN, channel binding, the end. */
#include "../unit.h"
#include "crypto/crypto.h"

typedef struct Side {
    TlsSession *session;
    Buf out; /* for the other side */
    TlsStatus status;
    Err err;
} Side;

typedef struct Fixture {
    Buf ca, other_ca;
    Secret ca_key, other_ca_key;
    Buf cert, client_cert;
    Secret key, client_key;
    Side server, client;
    size_t step; /* bytes moved at a time; 0: all */
} Fixture;

static const char *const server_names[] = {"db.example", "127.3.1.7", NULL};

static void issue(Fixture *fixture, const CertSpec *spec, Buf *cert, Secret *key)
{
    Err err;
    buf_init(cert, BUF_MAX_DEFAULT);
    assert_true(cert_issue(buf_slice(&fixture->ca), secret_reveal(&fixture->ca_key), spec, cert,
                           key, &err));
}

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    buf_init(&fixture->ca, BUF_MAX_DEFAULT);
    buf_init(&fixture->other_ca, BUF_MAX_DEFAULT);
    assert_true(cert_ca_make("CA", &fixture->ca, &fixture->ca_key, &err));
    assert_true(cert_ca_make("CA", &fixture->other_ca, &fixture->other_ca_key, &err));
    CertSpec server = {
        .common_name = "server", .names = server_names, .server = true, .valid_days = 1};
    CertSpec client = {.common_name = "client one", .client = true, .valid_days = 1};
    issue(fixture, &server, &fixture->cert, &fixture->key);
    issue(fixture, &client, &fixture->client_cert, &fixture->client_key);
    *state = fixture;
    return 0;
}

static void side_done(Side *side)
{
    tls_session_free(side->session);
    side->session = NULL;
    buf_done(&side->out);
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    side_done(&fixture->server);
    side_done(&fixture->client);
    buf_done(&fixture->ca);
    buf_done(&fixture->other_ca);
    buf_done(&fixture->cert);
    buf_done(&fixture->client_cert);
    secret_done(&fixture->ca_key);
    secret_done(&fixture->other_ca_key);
    secret_done(&fixture->key);
    secret_done(&fixture->client_key);
    mem_free(fixture);
    return 0;
}

/* ---- moving bytes ---------------------------------------------------------------------------- */

static void side_shake(Side *to, Slice in)
{
    to->status = tls_session_handshake(to->session, &in, &to->out, &to->err);
    assert_true(to->status != TLS_WANT_MORE || in.len == 0);
}

/* Takes what one side has to say, in steps. */
static void move(Fixture *fixture, Side *from, Side *to)
{
    Buf taken = from->out;
    buf_init(&from->out, BUF_MAX_DEFAULT);
    size_t step = fixture->step > 0 ? fixture->step : taken.len;
    for (size_t at = 0; at < taken.len && to->status == TLS_WANT_MORE; at += step) {
        size_t len = taken.len - at < step ? taken.len - at : step;
        side_shake(to, slice_from(taken.data + at, len));
    }
    buf_done(&taken);
}

static void shake(Fixture *fixture)
{
    side_shake(&fixture->client, (Slice){NULL, 0});
    for (int i = 0; i < 4; i++) {
        move(fixture, &fixture->client, &fixture->server);
        move(fixture, &fixture->server, &fixture->client);
    }
}

/* Sends through `from`, expects the same at `to`. */
static void carry(Fixture *fixture, Side *from, Side *to, Slice text)
{
    Buf got;
    buf_init(&got, BUF_MAX_DEFAULT);
    assert_true(tls_session_write(from->session, text, &from->out, &from->err));
    size_t step = fixture->step > 0 ? fixture->step : from->out.len;
    for (size_t at = 0; at < from->out.len; at += step) {
        size_t left = from->out.len - at;
        Slice in = slice_from(from->out.data + at, left < step ? left : step);
        char plain[3000];
        size_t len = 0;
        TlsStatus status;
        while ((status = tls_session_read(to->session, &in, plain, sizeof(plain), &len, &to->out,
                                          &to->err)) == TLS_DONE) {
            buf_append(&got, plain, len);
        }
        assert_int_equal(status, TLS_WANT_MORE);
        assert_int_equal(in.len, 0);
    }
    buf_clear(&from->out);
    assert_int_equal(got.len, text.len);
    assert_memory_equal(got.data, text.data, text.len);
    buf_done(&got);
}

static void start(Fixture *fixture, const TlsServerOptions *server, const TlsClientOptions *client,
                  const char *host)
{
    Err err;
    TlsContext *context;
    side_done(&fixture->server);
    side_done(&fixture->client);
    buf_init(&fixture->server.out, BUF_MAX_DEFAULT);
    buf_init(&fixture->client.out, BUF_MAX_DEFAULT);
    assert_true(tls_server_context_new(server, &context, &err));
    assert_true(tls_context_is_server(context));
    assert_true(tls_session_new(context, NULL, &fixture->server.session, &err));
    tls_context_free(context); /* the session goes on */
    assert_true(tls_client_context_new(client, &context, &err));
    assert_true(tls_session_new(context, host, &fixture->client.session, &err));
    tls_context_free(context);
    fixture->server.status = TLS_WANT_MORE;
    shake(fixture);
}

static TlsServerOptions server_options(const Fixture *fixture)
{
    return (TlsServerOptions){.cert_pem = buf_slice(&fixture->cert),
                              .key_pem = secret_reveal(&fixture->key)};
}

static TlsClientOptions client_options(const Fixture *fixture)
{
    return (TlsClientOptions){.ca_pem = buf_slice(&fixture->ca)};
}

static void assert_open(const Fixture *fixture)
{
    assert_int_equal(fixture->server.status, TLS_DONE);
    assert_int_equal(fixture->client.status, TLS_DONE);
    assert_true(tls_session_is_open(fixture->server.session));
    assert_true(tls_session_is_open(fixture->client.session));
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void talk(Fixture *fixture)
{
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    start(fixture, &server, &client, "db.example");
    assert_open(fixture);
    assert_string_equal(tls_session_version(fixture->client.session), "TLSv1.3");
    carry(fixture, &fixture->client, &fixture->server, SLICE("SELECT 1"));
    carry(fixture, &fixture->server, &fixture->client, SLICE("1"));
    size_t len = 100000;
    CLEANUP(mem_free_ptr) char *large = mem_alloc(len);
    random_bytes(large, len);
    carry(fixture, &fixture->server, &fixture->client, slice_from(large, len));
    Buf cn;
    buf_init(&cn, 100);
    assert_true(tls_session_peer_cn(fixture->client.session, &cn));
    assert_slice(buf_slice(&cn), "server");
    assert_false(tls_session_peer_cn(fixture->server.session, &cn));
    buf_done(&cn);
}

static void test_talk(void **state)
{
    Fixture *fixture = *state;
    static const size_t steps[] = {0, 1, 7, 1000, 16384};
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        fixture->step = steps[i];
        talk(fixture);
    }
}

static void test_names(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    static const char *const good[] = {"db.example", "DB.example", "127.3.1.7", NULL};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        start(fixture, &server, &client, good[i]); /* NULL: any name */
        assert_open(fixture);
    }
    static const char *const bad[] = {"other.example", "127.3.1.8", "server", "example"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        start(fixture, &server, &client, bad[i]);
        assert_int_equal(fixture->client.status, TLS_FAILED);
        assert_int_equal(fixture->client.err.code, ERR_DENIED);
        assert_non_null(strstr(fixture->client.err.message, bad[i]));
        assert_int_equal(fixture->server.status, TLS_FAILED); /* it was told by our alert */
    }
}

static void test_authority(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = {.ca_pem = buf_slice(&fixture->other_ca)};
    start(fixture, &server, &client, "db.example");
    assert_int_equal(fixture->client.status, TLS_FAILED);
    assert_int_equal(fixture->client.err.code, ERR_DENIED);
    client.unverified = true; /* it does not ask */
    start(fixture, &server, &client, NULL);
    assert_open(fixture);
    client.unverified = false;
    /* A client's certificate does not do for a server. */
    server.cert_pem = buf_slice(&fixture->client_cert);
    server.key_pem = secret_reveal(&fixture->client_key);
    client.ca_pem = buf_slice(&fixture->ca);
    start(fixture, &server, &client, NULL);
    assert_int_equal(fixture->client.status, TLS_FAILED);
    assert_int_equal(fixture->client.err.code, ERR_DENIED);
}

static void test_client_certificates(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    Buf cn;
    buf_init(&cn, 100);
    server.client_ca_pem = buf_slice(&fixture->ca);
    start(fixture, &server, &client, "db.example"); /* optional, none */
    assert_open(fixture);
    assert_false(tls_session_peer_cn(fixture->server.session, &cn));
    server.client_cert_required = true;
    start(fixture, &server, &client, "db.example");
    assert_int_equal(fixture->server.status, TLS_FAILED);

    client.cert_pem = buf_slice(&fixture->client_cert);
    client.key_pem = secret_reveal(&fixture->client_key);
    start(fixture, &server, &client, "db.example");
    assert_open(fixture);
    assert_true(tls_session_peer_cn(fixture->server.session, &cn));
    assert_slice(buf_slice(&cn), "client one");
    buf_done(&cn);

    server.client_cert_required = false; /* optional, but of a stranger */
    server.client_ca_pem = buf_slice(&fixture->other_ca);
    start(fixture, &server, &client, "db.example");
    assert_int_equal(fixture->server.status, TLS_FAILED);
    assert_int_equal(fixture->server.err.code, ERR_DENIED);
}

static void test_alpn(void **state)
{
    Fixture *fixture = *state;
    static const char *const ours[] = {"postgresql", "x", NULL};
    static const char *const theirs[] = {"y", "x", "postgresql", NULL};
    static const char *const others[] = {"http/1.1", NULL};
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    server.alpn = ours;
    start(fixture, &server, &client, "db.example"); /* a client without ALPN is welcome */
    assert_open(fixture);
    assert_int_equal(tls_session_alpn(fixture->server.session).len, 0);
    client.alpn = theirs;
    start(fixture, &server, &client, "db.example");
    assert_open(fixture);
    assert_slice(tls_session_alpn(fixture->server.session), "postgresql");
    assert_slice(tls_session_alpn(fixture->client.session), "postgresql");
    client.alpn = others;
    start(fixture, &server, &client, "db.example");
    assert_int_equal(fixture->server.status, TLS_FAILED);
    assert_int_equal(fixture->client.status, TLS_FAILED);
}

/* The hash of the whole certificate, taken from its PEM text by other means. */
static void test_end_point(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    start(fixture, &server, &client, "db.example");
    Buf base64;
    Err err;
    buf_init(&base64, BUF_MAX_DEFAULT);
    Slice rest = buf_slice(&fixture->cert);
    while (rest.len > 0) {
        Slice line = slice_cut(&rest, '\n');
        if (!slice_starts(line, "-----")) {
            buf_append_slice(&base64, line);
        }
    }
    uint8_t der[4096], expected[SHA256_SIZE], got[TLS_END_POINT_MAX];
    size_t der_len, len;
    assert_true(base64_decode(buf_slice(&base64), der, sizeof(der), &der_len));
    sha256(slice_from(der, der_len), expected);
    assert_true(tls_session_end_point(fixture->server.session, got, &len, &err));
    assert_int_equal(len, SHA256_SIZE);
    assert_memory_equal(got, expected, SHA256_SIZE);
    memset(got, 0, sizeof(got));
    assert_true(tls_session_end_point(fixture->client.session, got, &len, &err));
    assert_memory_equal(got, expected, SHA256_SIZE);
    buf_done(&base64);
}

static void test_end(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    char plain[100];
    size_t len;
    start(fixture, &server, &client, "db.example");
    carry(fixture, &fixture->server, &fixture->client, SLICE("bye"));
    tls_session_shutdown(fixture->server.session, &fixture->server.out);
    Slice in = buf_slice(&fixture->server.out);
    assert_int_equal(tls_session_read(fixture->client.session, &in, plain, sizeof(plain), &len,
                                      &fixture->client.out, &fixture->client.err),
                     TLS_EOF);
    /* The other direction is still open. */
    buf_clear(&fixture->client.out);
    carry(fixture, &fixture->client, &fixture->server, SLICE("last words"));
}

static void test_garbage(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    static const char *const inputs[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01garbage garbage"};
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        start(fixture, &server, &client, "db.example");
        Slice in = slice_of(inputs[i]);
        char plain[100];
        size_t len;
        assert_int_equal(tls_session_read(fixture->server.session, &in, plain, sizeof(plain), &len,
                                          &fixture->server.out, &fixture->server.err),
                         TLS_FAILED);
        assert_int_equal(fixture->server.err.code, ERR_INVALID);
    }
    /* One flipped bit of a record. */
    start(fixture, &server, &client, "db.example");
    buf_clear(&fixture->client.out);
    assert_true(tls_session_write(fixture->client.session, SLICE("SELECT 1"), &fixture->client.out,
                                  &fixture->client.err));
    fixture->client.out.data[fixture->client.out.len - 1] ^= 1;
    Slice in = buf_slice(&fixture->client.out);
    char plain[100];
    size_t len;
    assert_int_equal(tls_session_read(fixture->server.session, &in, plain, sizeof(plain), &len,
                                      &fixture->server.out, &fixture->server.err),
                     TLS_FAILED);
}

static void test_output_limit(void **state)
{
    Fixture *fixture = *state;
    TlsServerOptions server = server_options(fixture);
    TlsClientOptions client = client_options(fixture);
    Err err;
    start(fixture, &server, &client, "db.example");
    Buf small;
    buf_init(&small, 20);
    assert_false(tls_session_write(fixture->client.session, SLICE("SELECT 1"), &small, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    buf_done(&small);
}

static void test_bad_options(void **state)
{
    Fixture *fixture = *state;
    Err err;
    TlsContext *context = NULL;
    TlsServerOptions server = server_options(fixture);
    server.key_pem = secret_reveal(&fixture->client_key);
    assert_false(tls_server_context_new(&server, &context, &err));
    assert_int_equal(err.code, ERR_INVALID);
    server = (TlsServerOptions){.cert_pem = SLICE("x"), .key_pem = SLICE("y")};
    assert_false(tls_server_context_new(&server, &context, &err));
    assert_int_equal(err.code, ERR_INVALID);
    server = server_options(fixture);
    server.client_ca_pem = SLICE("x");
    assert_false(tls_server_context_new(&server, &context, &err));
    TlsClientOptions client = {.ca_pem = SLICE("")};
    assert_false(tls_client_context_new(&client, &context, &err));
    assert_null(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_talk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_authority, setup, teardown),
        cmocka_unit_test_setup_teardown(test_client_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end_point, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_output_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_options, setup, teardown),
    };
    return cmocka_run_group_tests_name("tls", tests, NULL, NULL);
}
