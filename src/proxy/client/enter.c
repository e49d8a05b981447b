/*
 * A client that has proven who it is becomes one of its pool's: it is counted among those of its
 * user and its database, and told what a server says at login, repeated from the last one that did;
 * the first one waits for a server connection to hear it.
 */
#include "proxy/client/cancel_priv.h"
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/split/route_priv.h"

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
    login_send(client, &out);
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

LoginStep proxy_auth_passed(ProxyClient *client)
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

LoginStep proxy_auth_pass(ProxyClient *client)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_auth(&out, PG_AUTH_OK, (Slice){0});
    login_send(client, &out);
    return proxy_auth_passed(client);
}
