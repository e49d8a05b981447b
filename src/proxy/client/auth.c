/*
 * Who a pool's client is: its certificate, or SCRAM or md5 against the users' passwords, or a token
 * (iam.c). Who has proven it goes on in enter.c, and who has not in deny.c.
 */
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"

#define AUTH_MESSAGE_MAX 8192

void proxy_auth_done(ProxyClient *client)
{
    Login *login = client->login;
    if (login->scram != NULL) {
        scram_server_done(login->scram);
        mem_free(login->scram);
    }
    if (login->md5 != NULL) {
        crypto_wipe(login->md5, 2 * sizeof(*login->md5));
        mem_free(login->md5);
    }
    if (login->delayed) {
        client->worker->delayed--;
        buf_done(&login->denial);
    }
}

static LoginStep deny_certificate(ProxyClient *client, const ProxyUser *user, Slice shown)
{
    bool none = shown.len == 0;
    CLEANUP(mem_free_ptr)
    char *failed = mem_printf("certificate authentication failed for user \"%s\"", user->name);
    CLEANUP(mem_free_ptr)
    char *detail = mem_printf("The certificate's common name is \"%.*s\".", SLICE_FMT(shown));
    CLEANUP(mem_free_ptr)
    char *hint = mem_printf("This role logs in over TLS with a client certificate (sslcert, "
                            "sslkey) whose common name is \"%s\".",
                            user->cert_name);
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = SLICE("28000"),
                     .message = none ? SLICE("connection requires a valid client certificate")
                                     : slice_of(failed),
                     .detail = none ? (Slice){0} : slice_of(detail),
                     .hint = slice_of(hint)};
    return proxy_auth_deny(client, &error);
}

/* What it shows was verified in the handshake: see TlsServerOptions.client_ca_pem. */
static LoginStep cert_check(ProxyClient *client, const ProxyUser *user)
{
    Buf name;
    buf_init(&name, BUF_MAX_DEFAULT);
    bool shown = client->tls && tls_session_peer_cn(stream_tls(client->stream), &name);
    LoginStep step;
    if (!shown || !slice_is(buf_slice(&name), user->cert_name)) {
        step = deny_certificate(client, user, buf_slice(&name));
    } else {
        step = proxy_auth_pass(client);
    }
    buf_done(&name);
    return step;
}

/* As much work for everybody: a role without a previous password has the same one twice, and an
 * unknown one has two that nobody knows. */
static void md5_begin(ProxyClient *client, const ProxyUser *user)
{
    Login *login = client->login;
    uint8_t salt[MD5_SALT_SIZE];
    uint8_t unknown[SHA256_SIZE];
    Buf out;
    random_bytes(salt, sizeof(salt));
    random_bytes(unknown, sizeof(unknown));
    Slice now = slice_from(unknown, sizeof(unknown));
    Slice before = now;
    if (user != NULL) {
        now = secret_reveal(&user->password);
        before = secret_is_set(&user->previous) ? secret_reveal(&user->previous) : now;
    }
    login->md5 = mem_alloc(2 * sizeof(*login->md5));
    Slice salted = slice_from(salt, sizeof(salt));
    pg_md5_response(slice_of(login->user), now, salted, login->md5[0]);
    pg_md5_response(slice_of(login->user), before, salted, login->md5[1]);
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth(&out, PG_AUTH_MD5, salted);
    login_send(client, &out);
}

static LoginStep md5_take(ProxyClient *client, Slice body)
{
    Login *login = client->login;
    Slice response;
    if (!pg_get_password(body, &response)) {
        return proxy_auth_broken(client, "malformed PasswordMessage");
    }
    size_t len = MD5_RESPONSE_SIZE - 1;
    int right = 0; /* both are looked at, whichever it is */
    for (size_t i = 0; i < 2 && response.len == len; i++) {
        right |= crypto_equal(response.data, login->md5[i], len);
    }
    if (right == 0) {
        return proxy_auth_deny_password(client);
    }
    return proxy_auth_pass(client);
}

static void put_nonce(char out[static SCRAM_NONCE_RAW * 2])
{
    uint8_t raw[SCRAM_NONCE_RAW];
    random_bytes(raw, sizeof(raw));
    base64_encode(raw, sizeof(raw), out);
}

static void scram_begin(ProxyClient *client, const ProxyUser *user)
{
    Login *login = client->login;
    ScramVerifier verifier;
    uint8_t binding[TLS_END_POINT_MAX];
    size_t binding_len = 0;
    Buf out;
    if (user != NULL) {
        verifier = user->verifier;
    } else {
        scram_verifier_mock(slice_of(login->user), client->worker->proxy->mock_secret, &verifier);
    }
    if (client->tls &&
        !tls_session_end_point(stream_tls(client->stream), binding, &binding_len, NULL)) {
        binding_len = 0;
    }
    login->scram = mem_alloc(sizeof(ScramServer));
    scram_server_init(login->scram, &verifier, user == NULL, slice_from(binding, binding_len));
    if (user != NULL && user->previous_verifier.iterations > 0) {
        scram_server_accept_too(login->scram, &user->previous_verifier);
    }
    crypto_wipe(&verifier, sizeof(verifier));
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth_sasl(&out, binding_len > 0);
    login_send(client, &out);
}

static ScramOutcome scram_first(ProxyClient *client, Slice body, Buf *answer, Err *err)
{
    Login *login = client->login;
    Slice mechanism;
    Slice response;
    char nonce[SCRAM_NONCE_RAW * 2];
    login->sasl_began = true;
    if (!pg_get_sasl_initial(body, &mechanism, &response)) {
        err_set(err, ERR_INVALID, "malformed SASLInitialResponse message");
        return SCRAM_BAD;
    }
    put_nonce(nonce);
    return scram_server_first(login->scram, mechanism, response, slice_of(nonce), answer, err);
}

static void scram_answer(ProxyClient *client, bool last, const Buf *answer)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth(&out, last ? PG_AUTH_SASL_FINAL : PG_AUTH_SASL_CONTINUE, buf_slice(answer));
    if (last) {
        pg_put_auth(&out, PG_AUTH_OK, (Slice){0});
    }
    login_send(client, &out);
}

static LoginStep scram_take(ProxyClient *client, Slice body)
{
    Login *login = client->login;
    bool last = login->sasl_began;
    Err err;
    Buf answer;
    buf_init(&answer, BUF_MAX_DEFAULT);
    ScramOutcome outcome = last ? scram_server_final(login->scram, body, &answer, &err)
                                : scram_first(client, body, &answer, &err);
    if (outcome == SCRAM_OK) {
        scram_answer(client, last, &answer);
    }
    buf_done(&answer);
    if (outcome == SCRAM_DENIED) {
        return proxy_auth_deny_password(client);
    }
    if (outcome == SCRAM_BAD) {
        return proxy_auth_broken(client, err.message);
    }
    return last ? proxy_auth_passed(client) : LOGIN_TAKEN;
}

LoginStep proxy_auth_begin(ProxyClient *client)
{
    Login *login = client->login;
    const ProxyConfig *config = client->worker->config;
    const ProxyUser *user = proxy_config_user(config, slice_of(login->user));
    login->role = user != NULL ? (uint32_t)(user - config->users) + 1 : 0;
    if (!stream_peer_addr(client->stream, &login->peer, NULL)) {
        login->peer = (NetAddr){0}; /* it has just left */
    }
    if (!proxy_auth_may_try(client)) {
        return LOGIN_GONE;
    }
    if (user != NULL && user->cert_name != NULL) {
        return cert_check(client, user);
    }
    client->state = CLIENT_AUTH;
    if (user != NULL && user->iam) {
        return proxy_iam_begin(client);
    }
    if (user != NULL ? user->md5 : config->client_md5) {
        md5_begin(client, user);
    } else {
        scram_begin(client, user);
    }
    return LOGIN_TAKEN;
}

LoginStep proxy_auth_step(ProxyClient *client, Slice data, size_t *ret_used)
{
    PgPolicy policy = {.head_max = AUTH_MESSAGE_MAX};
    PgPiece piece;
    pg_policy_want(&policy, "p");
    WireResult result = pg_framer_next(&client->framer, &policy, data, &piece);
    if (result == WIRE_MORE) {
        return LOGIN_MORE;
    }
    if (result == WIRE_BAD || piece.type != 'p' || !piece.last) {
        proxy_client_fatal(client, "08P01", "expected a password response", NULL);
        return LOGIN_GONE;
    }
    if (!proxy_auth_may_try(client)) {
        return LOGIN_GONE;
    }
    *ret_used = piece.raw.len;
    if (client->login->iam) {
        return proxy_iam_take(client, piece.body);
    }
    return client->login->md5 != NULL ? md5_take(client, piece.body)
                                      : scram_take(client, piece.body);
}
