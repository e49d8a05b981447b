/*
 * How a login proves to PostgreSQL who it is: SCRAM, md5, clear text or nothing, whatever it asks
 * for. The secret is the role's password, or what the pool has of a client's own login.
 */
#include "proxy/server/server_login_priv.h"
#include "proxy/target/watch_priv.h"

static void scram_begin(ProxyServer *server)
{
    uint8_t raw[SCRAM_NONCE_RAW];
    char nonce[SCRAM_NONCE_RAW * 2];
    Buf first;
    Buf out;
    buf_init(&first, BUF_MAX_DEFAULT);
    buf_init(&out, BUF_MAX_DEFAULT);
    random_bytes(raw, sizeof(raw));
    base64_encode(raw, sizeof(raw), nonce);
    server->scram = mem_alloc(sizeof(ScramClient));
    scram_client_first(server->scram, slice_of(nonce), &first);
    pg_put_sasl_initial(&out, SCRAM_MECHANISM, buf_slice(&first));
    buf_done(&first);
    server_login_send(server, &out);
}

/* Without a password the keys come from a client's own login: see keep_keys in client/enter.c. */
static Slice login_password(const ProxyServer *server, const ProxyUser *user)
{
    if (server->previous && secret_is_set(&user->previous)) {
        return secret_reveal(&user->previous); /* not taken away since it was chosen */
    }
    return secret_is_set(&user->password) ? secret_reveal(&user->password) : SLICE("");
}

/* Keys tell by their salt whether they are of the role's password at the server, but not whether
 * they are of the one that we have. */
static ScramKeys *pool_keys(ProxyServer *server)
{
    ProxyPool *pool = server->pool;
    if (pool->keys.iterations == 0 && pool->home->keys_previous == server->previous) {
        pool->keys = pool->home->keys; /* a client's login has left them there */
        pool->keys_previous = server->previous;
    }
    if (pool->keys_previous != server->previous) {
        crypto_wipe(&pool->keys, sizeof(pool->keys));
        pool->keys_previous = server->previous;
    }
    return &pool->keys;
}

static bool scram_go_on(ProxyServer *server, const ProxyUser *user, Slice data)
{
    ScramKeys once = {0}; /* a probe keeps none */
    ScramKeys *keys = server->pool != NULL ? pool_keys(server) : &once;
    Buf final;
    Buf out;
    Err err;
    buf_init(&final, BUF_MAX_DEFAULT);
    bool ok =
        scram_client_final(server->scram, data, login_password(server, user), keys, &final, &err);
    if (ok) {
        buf_init(&out, BUF_MAX_DEFAULT);
        pg_put_sasl_response(&out, buf_slice(&final));
        server_login_send(server, &out);
    }
    buf_done(&final);
    crypto_wipe(&once, sizeof(once));
    return ok || proxy_login_broken(server, err.message);
}

static bool scram_finish(ProxyServer *server, Slice data)
{
    Err err;
    return scram_client_verify(server->scram, data, &err) ||
           proxy_login_broken(server, err.message);
}

static bool password_send(ProxyServer *server, Slice password)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_password(&out, password);
    server_login_send(server, &out);
    return true;
}

/* Not to whoever listens on the network. */
static bool cleartext_send(ProxyServer *server, const ProxyUser *user)
{
    if (server->place.host != NULL && stream_tls(server->stream) == NULL) {
        return proxy_login_broken(server,
                                  "the server asks for the password in clear text, without TLS");
    }
    return password_send(server, login_password(server, user));
}

/* Nobody has told us the password. False: the login has ended. */
static bool has_secret(ProxyServer *server, const ProxyUser *user, PgAuthKind kind)
{
    const ProxyPool *pool = server->pool;
    bool keys = kind == PG_AUTH_SASL && pool != NULL &&
                (pool->keys.iterations > 0 || pool->home->keys.iterations > 0);
    if (secret_is_set(&user->password) || keys || kind == PG_AUTH_OK || server->scram != NULL) {
        return true;
    }
    if (server->probe && !server->pulse && !proxy_watch_judges(server)) {
        proxy_server_probe_done(server); /* it lives, and that was the question */
        return false;
    }
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = SLICE("28P01"),
                     .message = user->verifier_given
                                    ? SLICE("the server asks for a password, and the proxy has "
                                            "only a SCRAM verifier of this role")
                                    : SLICE("the server asks for a password, and the proxy has "
                                            "none of this role")};
    proxy_server_login_failed(server, &error);
    return false;
}

bool proxy_server_auth_take(ProxyServer *server, const PgPiece *piece)
{
    PgAuth auth;
    char md5[36];
    const ProxyUser *user = server_login_credentials(server);
    if (!piece->last || !pg_get_auth(piece->body, &auth)) {
        return proxy_login_broken(server, "the server sent a malformed authentication request");
    }
    if (user == NULL && server->pulse) {
        return auth.kind == PG_AUTH_OK ||
               proxy_login_broken(
                   server, "the server asks for a password, and probe_user is none of the users");
    }
    if (user == NULL) {
        return proxy_login_broken(server, "the role's credentials were taken away meanwhile");
    }
    if (!has_secret(server, user, auth.kind)) {
        return false;
    }
    switch (auth.kind) {
    case PG_AUTH_OK:
        return true;
    case PG_AUTH_CLEARTEXT:
        return cleartext_send(server, user);
    case PG_AUTH_MD5:
        pg_md5_response(slice_of(user->name), login_password(server, user), auth.data, md5);
        return password_send(server, slice_of(md5));
    case PG_AUTH_SASL:
        if (!pg_auth_offers(&auth, SCRAM_MECHANISM) || server->scram != NULL) {
            return proxy_login_broken(server, "the server offers no SCRAM-SHA-256");
        }
        scram_begin(server);
        return true;
    case PG_AUTH_SASL_CONTINUE:
    case PG_AUTH_SASL_FINAL:
        if (server->scram == NULL) {
            return proxy_login_broken(server,
                                      "the server answered a SASL exchange that was not begun");
        }
        return auth.kind == PG_AUTH_SASL_FINAL ? scram_finish(server, auth.data)
                                               : scram_go_on(server, user, auth.data);
    default:
        return proxy_login_broken(
            server, "the server asks for an authentication other than SCRAM, md5 or password");
    }
}
