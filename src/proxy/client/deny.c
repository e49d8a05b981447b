/*
 * A client that has not proven who it is, or may not try to. An unknown role goes through the whole
 * exchange before it hears of it. Who fails often hears of it later and later (throttle_priv.h);
 * nobody else waits for that.
 */
#include "proxy/client/client_priv.h"
#include "proxy/client/login_priv.h"

static void deny_late(void *user)
{
    ProxyClient *client = user;
    stream_write(client->stream, buf_slice(&client->login->denial));
    proxy_client_close(client);
}

/* More such connections than AUTH_DELAYED_MAX are not kept: they hear at once. */
LoginStep proxy_auth_deny(ProxyClient *client, const PgError *error)
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

LoginStep proxy_auth_deny_password(ProxyClient *client)
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
    return proxy_auth_deny(client, &(PgError){.severity = SLICE("FATAL"),
                                              .sqlstate = SLICE("28P01"),
                                              .message = slice_of(message)});
}

LoginStep proxy_auth_broken(ProxyClient *client, const char *message)
{
    proxy_worker_count(client->worker, STAT_AUTH_FAILED, 1);
    proxy_client_fatal(client, "08P01", message, NULL);
    return LOGIN_GONE;
}

/* In front of whatever the client says: or the next guess need not wait for the answer to the one
 * before, and many that were begun together could be ended together. */
bool proxy_auth_may_try(ProxyClient *client)
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
