/*
 * A client in session, from the end of its login to its own end: what it holds and gives back, how
 * it is told goodbye, and for how long it may be idle. What it says is read.c's.
 */
#include "proxy/client/client_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/causal_priv.h"
#include "proxy/split/split_priv.h"

static void idle_check(void *user);

static void idle_timer_start(ProxyClient *client, int64_t delay_ms)
{
    loop_timer_start(client->worker->loop, &client->timer, delay_ms, 0, idle_check, client);
}

/* A message does not touch the timer: it looks by itself when the time would have come. */
static void idle_check(void *user)
{
    ProxyClient *client = user;
    ProxyWorker *worker = client->worker;
    int64_t limit = worker->config->idle_client_ms;
    int64_t now = loop_now_ms(worker->loop);
    bool waits_for_us =
        client->state != CLIENT_READY ||
        (client->server != NULL && !flight_is_empty(&client->server->exchange.flight));
    if (limit == 0 || waits_for_us) {
        client->active_ms = now;
    }
    if (limit > 0 && now - client->active_ms >= limit) {
        proxy_meter_add(proxy_client_meter(client), STAT_IDLE_TIMEOUTS, 1);
        proxy_client_fatal(client, "57P05", "terminating connection due to idle-session timeout",
                           "The client sent nothing for as long as idle_client_timeout allows.");
        return;
    }
    idle_timer_start(client, limit > 0 ? client->active_ms + limit - now : PROXY_LOGIN_MS);
}

void proxy_client_idle_rearm(ProxyClient *client)
{
    if (client->state == CLIENT_READY || client->state == CLIENT_WAITING ||
        client->state == CLIENT_SHARED || client->state == CLIENT_PARKED) {
        idle_timer_start(client, 0);
    }
}

void proxy_client_start_session(ProxyClient *client)
{
    int64_t limit = client->worker->config->idle_client_ms;
    if (client->worker->config->reads == READS_SPLIT) {
        proxy_split_start(client);
    }
    proxy_causal_start(client);
    proxy_client_login_done(client);
    client->state = CLIENT_READY;
    client->active_ms = loop_now_ms(client->worker->loop);
    client->framer = (PgFramer){0};
    proxy_meter_add(proxy_client_meter(client), STAT_LOGINS, 1);
    stream_set_handlers(client->stream, &proxy_client_handlers, client);
    idle_timer_start(client, limit > 0 ? limit : PROXY_LOGIN_MS);
    stream_resume(client->stream);
}

void proxy_client_pinned(ProxyClient *client, PinReason reason)
{
    ProxyWorker *worker = client->worker;
    ProxyMeter *meter = proxy_client_meter(client);
    counter_add(&meter->pins[reason], 1);
    proxy_meter_add(meter, STAT_CLIENTS_PINNED, client->pinned_counted ? 0 : 1);
    client->pinned_counted = true;
    if (worker->config->debug_logging) {
        log_warn("proxy",
                 "[clientConnection=%u] The client session was pinned to the database connection "
                 "[dbConnection=%u] for the remainder of the session. The proxy can't reuse this "
                 "connection until the session ends. Reason: %s",
                 (unsigned)client->handle, client->server != NULL ? client->server->pid : 0,
                 pin_reason_sentence(reason));
    }
}

void proxy_client_note_pins(ProxyClient *client, const SessionOut *out)
{
    proxy_client_pinned(client, out->pinned);
    for (PinReason reason = PIN_NONE + 1; reason < PIN_REASON_COUNT; reason++) {
        if ((out->pinned_also & PIN_BIT(reason)) != 0) {
            proxy_client_pinned(client, reason);
        }
    }
}

void proxy_client_unpinned(ProxyClient *client)
{
    proxy_meter_add(proxy_client_meter(client), STAT_CLIENTS_PINNED,
                    client->pinned_counted ? -1 : 0);
    client->pinned_counted = false;
    if (client->worker->config->debug_logging) {
        log_warn("proxy",
                 "[clientConnection=%u] The client session is no longer pinned: what pinned it is "
                 "gone.",
                 (unsigned)client->handle);
    }
}

void proxy_client_gone(ProxyClient *client)
{
    ProxyWorker *worker = client->worker;
    ProxyPool *pool = client->pool;
    proxy_pool_wait_end(client);
    if (client->server != NULL) {
        proxy_server_abandon(client->server);
    }
    proxy_client_login_done(client);
    proxy_admin_end(client);
    proxy_ear_free(client);
    proxy_split_done(client);
    proxy_client_resend_free(client);
    loop_timer_stop(&client->timer);
    list_remove(&worker->clients, &client->node);
    params_unref(client->told);
    session_done(&client->session);
    proxy_traffic_client_gone(client);
    pool_release(worker->client_slots, client->handle);
    if (worker->apart) {
        leaving_clients_change(worker, pool, pool != NULL ? -1 : 0, -1);
    }
    if (pool != NULL) {
        proxy_limits_exit(pool);
        pool->clients--;
        proxy_pool_unused(pool);
    }
    atomic_fetch_sub(&worker->proxy->guests, client->guest ? 1 : 0);
    atomic_fetch_sub(&worker->proxy->clients, 1);
    proxy_worker_client_gone(worker);
}

void proxy_client_close(ProxyClient *client)
{
    stream_close(client->stream);
    proxy_client_gone(client);
}

static bool is_mid_answer(const ProxyClient *client)
{
    const ProxyServer *server = client->server;
    return server != NULL && server->state == SERVER_LINKED && proxy_server_mid_answer(server);
}

void proxy_client_refuse(ProxyClient *client, const PgError *error)
{
    if (is_mid_answer(client)) {
        proxy_client_close(client);
        return;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_error(&out, error);
    stream_write(client->stream, buf_slice(&out));
    buf_done(&out);
    proxy_client_close(client);
}

void proxy_client_fatal(ProxyClient *client, const char *sqlstate, const char *message,
                        const char *detail)
{
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = slice_of(sqlstate),
                     .message = slice_of(message),
                     .detail = slice_of(detail)};
    proxy_client_refuse(client, &error);
}

static bool has_work(const ProxyClient *client)
{
    const ProxyServer *server = client->server;
    if (server == NULL) {
        return false;
    }
    const Exchange *exchange = &server->exchange;
    if (session_streams(&client->session, exchange)) {
        return proxy_server_mid_answer(server); /* it has no end; but a message has */
    }
    return client->session.mid_message || exchange->status != 'I' ||
           !flight_is_empty(&exchange->flight);
}

void proxy_client_drain(ProxyClient *client)
{
    if (client->worker->draining && client->state != CLIENT_CANCEL &&
        client->state != CLIENT_SHARED && (client->state != CLIENT_READY || !has_work(client))) {
        proxy_client_fatal(client, "57P01", "terminating connection due to administrator command",
                           NULL);
    }
}
