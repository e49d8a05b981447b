/*
 * Who a pool's client is: SCRAM or md5 against the users' passwords, or its certificate; and then
 * what a server says at login, repeated from the last one that did. An unknown role goes through
 * the whole exchange before it hears of it. Who fails often hears of it later and later
 * (throttle_priv.h); nobody else waits for that.
 */
#include "proxy/cancel_priv.h"
#include "proxy/client_priv.h"
#include "proxy/login_priv.h"
#include "proxy/route_priv.h"
#include "proxy/traffic_priv.h"

#define AUTH_MESSAGE_MAX 8192

static void send_buf(ProxyClient *client, Buf *out)
{
    stream_write(client->stream, buf_slice(out));
    buf_done(out);
}

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

/* ---- authenticated -----------------------------------------------------------------------------
 */

void proxy_client_put_key(ProxyClient *client, Buf *out)
{
    char key[CANCEL_KEY_SIZE];
    uint32_t pid = proxy_client_pid(client);
    client->session.pid = pid;
    random_bytes(&client->cancel_key, sizeof(client->cancel_key));
    memcpy(key, &client->cancel_key, sizeof(key));
    pg_put_key_data(out, pid, slice_from(key, sizeof(key)));
}

void proxy_client_welcome(ProxyClient *client)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    client->told = params_ref(client->pool->welcome);
    params_put_changes(NULL, client->told, &out);
    proxy_client_put_key(client, &out);
    pg_put_ready(&out, 'I');
    send_buf(client, &out);
    proxy_client_start_session(client);
}

/* Of a role whose password we do not have: what a client proves to its verifier logs in wherever
 * that verifier is kept, and so at the server. */
static void keep_keys(ProxyClient *client)
{
    const ScramServer *scram = client->login->scram;
    const ProxyUser *user =
        proxy_config_user(client->worker->config, slice_of(client->login->user));
    if (user == NULL || secret_is_set(&user->password) || scram == NULL) {
        return;
    }
    ScramKeys *keys = &client->pool->keys;
    client->pool->keys_previous = false;
    keys->iterations = scram->verifier.iterations;
    keys->salt_len = scram->verifier.salt_len;
    memcpy(keys->salt, scram->verifier.salt, sizeof(keys->salt));
    memcpy(keys->client_key, scram->client_key, sizeof(keys->client_key));
    memcpy(keys->server_key, scram->verifier.server_key, sizeof(keys->server_key));
}

/* Its role or its database has as many clients as it may. */
static void refuse_entry(ProxyClient *client, const ProxyPool *pool, QuotaKind kind)
{
    const ProxyConfig *config = client->worker->config;
    bool of_user = kind == QUOTA_USER;
    ProxyLimit limit = of_user ? proxy_config_user_limit(config, slice_of(pool->user))
                               : proxy_config_database_limit(config, slice_of(pool->database));
    CLEANUP(mem_free_ptr)
    char *message = mem_printf("The maximum number of client connections %s %s exceeded %u.",
                               of_user ? "for the role" : "to the database",
                               pool->quotas[kind]->name, limit.clients);
    proxy_worker_count(client->worker, STAT_REFUSED_BY_LIMIT, 1);
    proxy_client_fatal(client, "53300", message,
                       of_user ? "The limit is max_clients of this role in pool.users."
                               : "The limit is max_clients of this database in pool.databases.");
}

static LoginStep wait_for_welcome(ProxyClient *client)
{
    client->state = CLIENT_WELCOME;
    stream_pause(client->stream);
    proxy_pool_wait(proxy_route_welcome(client), client);
    return LOGIN_LEFT;
}

/* It is told what its own server connection says, when that is there. */
static LoginStep replication_begin(ProxyClient *client)
{
    session_init_walsender(&client->session);
    proxy_traffic_replication(client);
    proxy_client_pinned(client, client->session.pin);
    return wait_for_welcome(client);
}

static ProxyPool *pool_of(const ProxyClient *client)
{
    const Login *login = client->login;
    return proxy_pool_for(client->worker, slice_of(login->user), slice_of(login->database),
                          login->params);
}

/* It is one of the pool's clients, and counted. */
static LoginStep enter(ProxyClient *client, ProxyPool *pool)
{
    const Login *login = client->login;
    ProxyWorker *worker = client->worker;
    client->pool = pool;
    pool->clients++;
    proxy_traffic_client_known(client);
    keep_keys(client);
    if (login->replication) {
        return replication_begin(client);
    }
    session_init(&client->session, false);
    PinReason pin = session_check_start(&client->session, params_slice(login->params));
    if (pin != PIN_NONE) {
        proxy_client_pinned(client, pin);
    }
    if (client->pool->welcome == NULL) {
        proxy_welcome_find(&worker->proxy->welcomes, client->pool);
        proxy_pool_welcome_waiters(client->pool);
    }
    if (client->pool->welcome != NULL) {
        proxy_client_welcome(client);
        return LOGIN_LEFT;
    }
    return wait_for_welcome(client);
}

static bool has_client_limit(const ProxyClient *client)
{
    const ProxyConfig *config = client->worker->config;
    const Login *login = client->login;
    return proxy_config_user_limit(config, slice_of(login->user)).clients > 0 ||
           proxy_config_database_limit(config, slice_of(login->database)).clients > 0;
}

/* A leaving process does not know how many there are elsewhere. */
static LoginStep enter_apart(ProxyClient *client, ProxyPool *pool)
{
    QuotaKind kind;
    if (has_client_limit(client)) {
        client->login->entering = true;
        stream_pause(client->stream);
        leaving_ask_client(client, pool);
        proxy_pool_unused(pool);
        return LOGIN_LEFT;
    }
    bool entered = proxy_limits_enter(pool, &kind);
    ASSERT(entered); /* its limits are the serving process's */
    leaving_clients_change(client->worker, pool, 1, 0);
    return enter(client, pool);
}

void proxy_auth_entered(ProxyWorker *worker, const LeavingAsk *ask)
{
    ProxyClient *client = pool_get(worker->client_slots, ask->client);
    if (client == NULL || client->login == NULL || !client->login->entering) {
        if (ask->granted) {
            leaving_give_back(worker, ask); /* it comes too late */
        }
        return;
    }
    client->login->entering = false;
    stream_resume(client->stream);
    ProxyPool *pool = pool_of(client);
    QuotaKind kind = ask->full;
    bool entered = worker->apart && !ask->granted && ask->full < QUOTA_KINDS
                       ? false
                       : proxy_limits_enter(pool, &kind);
    if (entered) {
        (void)enter(client, pool);
    } else {
        refuse_entry(client, pool, kind);
        proxy_pool_unused(pool);
    }
}

static LoginStep authenticated(ProxyClient *client)
{
    const Login *login = client->login;
    ProxyWorker *worker = client->worker;
    loop_timer_stop(&client->timer);
    if (proxy_config_is_admin(worker->config, slice_of(login->database))) {
        return proxy_admin_start(client, login->user) ? LOGIN_LEFT : LOGIN_GONE;
    }
    ProxyPool *pool = pool_of(client);
    if (worker->apart) {
        return enter_apart(client, pool);
    }
    QuotaKind kind;
    if (proxy_limits_enter(pool, &kind)) {
        return enter(client, pool);
    }
    refuse_entry(client, pool, kind);
    proxy_pool_unused(pool);
    return LOGIN_GONE;
}

static void put_ok(ProxyClient *client)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth(&out, PG_AUTH_OK, (Slice){0});
    send_buf(client, &out);
}

/* ---- denied ------------------------------------------------------------------------------------
 */

static void deny_late(void *user)
{
    ProxyClient *client = user;
    stream_write(client->stream, buf_slice(&client->login->denial));
    proxy_client_close(client);
}

/* More such connections than AUTH_DELAYED_MAX are not kept: they hear at once. */
static LoginStep deny(ProxyClient *client, const PgError *error)
{
    ProxyWorker *worker = client->worker;
    Login *login = client->login;
    int64_t delay_ms =
        throttle_failed(worker->throttle, &login->peer, login->role, loop_now_ms(worker->loop));
    proxy_worker_count(worker, STAT_AUTH_FAILED, 1);
    if (delay_ms == 0 || worker->delayed >= AUTH_DELAYED_MAX) {
        proxy_client_refuse(client, error);
        return LOGIN_GONE;
    }
    proxy_worker_count(worker, STAT_AUTH_DELAYED, 1);
    worker->delayed++;
    login->delayed = true;
    buf_init(&login->denial, BUF_MAX_DEFAULT);
    pg_put_error(&login->denial, error);
    client->state = CLIENT_DENIED;
    stream_pause(client->stream);
    loop_timer_start(worker->loop, &client->timer, delay_ms, 0, deny_late, client);
    return LOGIN_GONE;
}

static LoginStep deny_password(ProxyClient *client)
{
    const Login *login = client->login;
    CLEANUP(mem_free_ptr)
    char *message =
        login->role == 0
            ? mem_printf("This RDS proxy has no credentials for the role %.*s. Check the "
                         "credentials for this role and try again.",
                         PG_NAME_MAX, login->user)
            : mem_printf("The password that was provided for the role %.*s is wrong.", PG_NAME_MAX,
                         login->user);
    return deny(client, &(PgError){.severity = SLICE("FATAL"),
                                   .sqlstate = SLICE("28P01"),
                                   .message = slice_of(message)});
}

/* The client breaks the protocol. */
static LoginStep broken(ProxyClient *client, const char *message)
{
    proxy_worker_count(client->worker, STAT_AUTH_FAILED, 1);
    proxy_client_fatal(client, "08P01", message, NULL);
    return LOGIN_GONE;
}

/* In front of whatever the client says: or the next guess need not wait for the answer to the one
 * before, and many that were begun together could be ended together. */
static bool may_try(ProxyClient *client)
{
    ProxyWorker *worker = client->worker;
    const Login *login = client->login;
    if (throttle_admits(worker->throttle, &login->peer, login->role, loop_now_ms(worker->loop))) {
        return true;
    }
    CLEANUP(mem_free_ptr)
    char *message = mem_printf("Rate of connection to proxy exceeded %d.", AUTH_ROLE_ANSWERS_MAX);
    proxy_worker_count(worker, STAT_REFUSED_BY_LIMIT, 1);
    proxy_client_fatal(client, "53300", message,
                       "Too many logins from this address have just failed. Try again in a few "
                       "seconds.");
    return false;
}

/* ---- certificates ------------------------------------------------------------------------------
 */

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
    return deny(client, &error);
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
        put_ok(client);
        step = authenticated(client);
    }
    buf_done(&name);
    return step;
}

/* ---- md5 ---------------------------------------------------------------------------------------
 */

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
    send_buf(client, &out);
}

static LoginStep md5_take(ProxyClient *client, Slice body)
{
    Login *login = client->login;
    Slice response;
    if (!pg_get_password(body, &response)) {
        return broken(client, "malformed PasswordMessage");
    }
    size_t len = MD5_RESPONSE_SIZE - 1;
    int right = 0; /* both are looked at, whichever it is */
    for (size_t i = 0; i < 2 && response.len == len; i++) {
        right |= crypto_equal(response.data, login->md5[i], len);
    }
    if (right == 0) {
        return deny_password(client);
    }
    put_ok(client);
    return authenticated(client);
}

/* ---- IAM tokens --------------------------------------------------------------------------------
 */

/* A token logs in whoever has it for 15 minutes: it is asked for over TLS only. */
static LoginStep iam_begin(ProxyClient *client)
{
    Buf out;
    if (!client->tls) {
        proxy_traffic_tls_failed(client);
        proxy_client_fatal(client, "28000",
                           "IAM authentication is allowed only with SSL connections.", NULL);
        return LOGIN_GONE;
    }
    client->login->iam = true;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth(&out, PG_AUTH_CLEARTEXT, (Slice){0});
    send_buf(client, &out);
    return LOGIN_TAKEN;
}

static LoginStep iam_take(ProxyClient *client, Slice body)
{
    Slice token;
    Err err;
    if (!pg_get_password(body, &token)) {
        return broken(client, "malformed PasswordMessage");
    }
    if (proxy_iam_verify(client, token, &err)) {
        put_ok(client);
        return authenticated(client);
    }
    CLEANUP(mem_free_ptr)
    char *message = mem_printf("The IAM authentication failed for the role %.*s. Check the IAM "
                               "token for this role and try again.",
                               PG_NAME_MAX, client->login->user);
    return deny(client, &(PgError){.severity = SLICE("FATAL"),
                                   .sqlstate = SLICE("28P01"),
                                   .message = slice_of(message),
                                   .detail = slice_of(err.message)});
}

/* ---- SCRAM -------------------------------------------------------------------------------------
 */

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
    send_buf(client, &out);
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
    send_buf(client, &out);
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
        return deny_password(client);
    }
    if (outcome == SCRAM_BAD) {
        return broken(client, err.message);
    }
    return last ? authenticated(client) : LOGIN_TAKEN;
}

/* ---- which of them -----------------------------------------------------------------------------
 */

LoginStep proxy_auth_begin(ProxyClient *client)
{
    Login *login = client->login;
    const ProxyConfig *config = client->worker->config;
    const ProxyUser *user = proxy_config_user(config, slice_of(login->user));
    login->role = user != NULL ? (uint32_t)(user - config->users) + 1 : 0;
    if (!stream_peer_addr(client->stream, &login->peer, NULL)) {
        login->peer = (NetAddr){0}; /* it has just left */
    }
    if (!may_try(client)) {
        return LOGIN_GONE;
    }
    if (user != NULL && user->cert_name != NULL) {
        return cert_check(client, user);
    }
    client->state = CLIENT_AUTH;
    if (user != NULL && user->iam) {
        return iam_begin(client);
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
    if (!may_try(client)) {
        return LOGIN_GONE;
    }
    *ret_used = piece.raw.len;
    if (client->login->iam) {
        return iam_take(client, piece.body);
    }
    return client->login->md5 != NULL ? md5_take(client, piece.body)
                                      : scram_take(client, piece.body);
}
