/*
 * The life of a connection to PostgreSQL, from its opening to its end. It keeps its place in the
 * budget until PostgreSQL itself has closed, because until then a backend is there that counts for
 * max_connections.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/pulse/hold_priv.h"
#include "proxy/server/server_parts_priv.h"
#include "proxy/split/split_priv.h"
#include "proxy/target/watch_priv.h"

static StreamOptions server_stream_options(ProxyServer *server, const StreamHandlers *handlers)
{
    uint32_t silence_s = server->worker->config->silent_server_s;
    int64_t timeout_ms = (int64_t)silence_s * MS_PER_S;
    return (StreamOptions){
        .handlers = handlers,
        .user = server,
        .pending_max = PROXY_PENDING_MAX,
        .silence_s = silence_s,
        .timeout_ms = timeout_ms < PROXY_SERVER_LOGIN_MS ? timeout_ms : PROXY_SERVER_LOGIN_MS};
}

ProxyTargetState *proxy_server_target(const ProxyServer *server)
{
    return &server->worker->proxy->targets[server->target];
}

ProxyServer *proxy_server_open(ProxyWorker *worker, ProxyPool *pool, ProxyClient *relay_client,
                               size_t target)
{
    PoolHandle handle;
    ProxyServer *server = pool_acquire(worker->server_slots, &handle);
    if (server == NULL) {
        return NULL;
    }
    server->worker = worker;
    server->handle = handle;
    server->pool = pool;
    server->target = (uint8_t)target;
    server->enforced = target == PROXY_TARGET_PRIMARY && worker->config->target.right_enforced;
    server->client = relay_client;
    server->budgeted = pool != NULL;
    server->probe = pool == NULL && relay_client == NULL;
    server->opened_ms = loop_now_ms(worker->loop);
    server->params = params_new((Slice){0});
    buf_init(&server->kept, LINE_REQUEST_MAX);
    exchange_init(&server->exchange, pool != NULL ? pool->statements : NULL,
                  pool != NULL ? pool->settings : NULL);
    server->exchange.memo = worker->memo;
    list_push_back(&worker->servers, &server->node);
    if (pool != NULL) {
        pool->servers++;
        pool->connecting++;
        proxy_server_side(server)->connecting++;
        proxy_server_side(server)->servers++;
    }
    proxy_traffic_server_begun(server);
    proxy_place_init(&server->place, worker, target);
    const StreamHandlers *handlers =
        relay_client != NULL ? &proxy_relay_server_handlers : &proxy_server_login_handlers;
    StreamOptions options = server_stream_options(server, handlers);
    server->stream = stream_connect(worker->loop, &server->place.addr, &options);
    if (relay_client == NULL) {
        loop_timer_start(worker->loop, &server->timer, PROXY_SERVER_LOGIN_MS, 0,
                         proxy_server_login_late, server);
    }
    return server;
}

ProxyServer *proxy_server_open_pulse(ProxyWorker *worker, const char *user)
{
    ProxyServer *server = proxy_server_open(worker, NULL, NULL, PROXY_TARGET_PRIMARY);
    if (server != NULL) {
        server->pulse = true;
        server->user = mem_strdup(user);
    }
    return server;
}

static bool is_logging_in(const ProxyServer *server)
{
    return server->state == SERVER_CONNECTING || server->state == SERVER_LOGIN ||
           server->state == SERVER_INIT;
}

/* Leaves the state in which it counted as being opened or as leaving. */
static void server_count_out(ProxyServer *server)
{
    if (server->pool != NULL && is_logging_in(server)) {
        server->pool->connecting--;
        proxy_server_side(server)->connecting--;
    } else if (server->state == SERVER_DRAINING && server->budgeted) {
        proxy_server_side(server)->leaving--;
    }
}

void proxy_server_unlink(ProxyServer *server)
{
    ProxyClient *client = server->client;
    if (client == NULL) {
        return;
    }
    server->last = client->handle;
    proxy_hold_end(server);
    proxy_split_unlink(server);
    params_unref(server->told_before);
    server->told_before = NULL;
    if (server->exchange.wrote) {
        server->writer = client->handle;
    }
    client->server = NULL;
    server->client = NULL;
    if (server->state == SERVER_LINKED) {
        proxy_server_side(server)->linked--;
        proxy_traffic_unlinked(server);
    }
}

void proxy_server_free(ProxyServer *server)
{
    ProxyWorker *worker = server->worker;
    ProxyPool *pool = server->pool;
    bool budgeted = server->budgeted;
    bool leaving = server->state == SERVER_DRAINING;
    ASSERT(server->client == NULL);
    proxy_hold_end(server);
    proxy_server_learn_abandon(server);
    proxy_line_lost(server);
    proxy_hub_lost(server);
    catalog_names_unref(server->names);
    proxy_pool_idle_remove(server);
    server_count_out(server);
    loop_timer_stop(&server->timer);
    list_remove(&worker->servers, &server->node);
    params_unref(server->params);
    params_unref(server->told_before);
    exchange_done(&server->exchange);
    if (server->scram != NULL) {
        crypto_wipe(server->scram, sizeof(*server->scram));
        mem_free(server->scram);
    }
    if (budgeted && worker->apart) {
        leaving_server_gone(server);
    }
    if (budgeted && pool == NULL) {
        proxy_probe_give(server);
    }
    mem_free(server->user);
    proxy_place_done(&server->place);
    buf_done(&server->hello);
    buf_done(&server->kept);
    if (server->pulse) {
        proxy_pulse_gone(server);
    } else if (server->probe) {
        proxy_watch_gone(server);
    }
    proxy_traffic_server_gone(server);
    size_t target = server->target;
    pool_release(worker->server_slots, server->handle);
    if (pool != NULL) {
        proxy_limits_give(pool, leaving);
        worker->sides[target].servers--;
        pool->servers--;
        proxy_pool_unused(pool);
    }
    if (budgeted) {
        proxy_budget_give(&worker->proxy->targets[target].budget);
        proxy_worker_permit_freed(worker, target);
    }
    proxy_worker_server_gone(worker);
}

static size_t draining_on_read(void *user, Stream *stream, Slice data)
{
    (void)user;
    (void)stream;
    return data.len;
}

static void draining_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    proxy_server_free(user);
}

static const StreamHandlers draining_handlers = {.on_read = draining_on_read,
                                                 .on_closed = draining_on_closed};

/* In the middle of a message no Terminate can be put on the line: the end of the line says it. */
void proxy_server_leave(ProxyServer *server, bool mid_message)
{
    bool open = server->state != SERVER_CONNECTING;
    bool in_session = server->state == SERVER_IDLE || server->state == SERVER_LINKED ||
                      server->state == SERVER_PARKED || server->state == SERVER_ORPHAN ||
                      server->state == SERVER_LEARNING || server->state == SERVER_LINE ||
                      server->state == SERVER_LISTENING || server->probe;
    proxy_server_unlink(server);
    proxy_hold_end(server);
    proxy_server_learn_abandon(server);
    proxy_line_lost(server);
    proxy_hub_lost(server);
    proxy_pool_idle_remove(server);
    server_count_out(server);
    server->state = SERVER_DRAINING;
    proxy_server_side(server)->leaving += server->budgeted ? 1 : 0; /* whose place will be free */
    proxy_limits_leaving(server->pool);
    loop_timer_stop(&server->timer);
    if (!open) {
        stream_abort(server->stream);
        proxy_server_free(server);
        return;
    }
    stream_set_handlers(server->stream, &draining_handlers, server);
    if (in_session && !mid_message) {
        stream_write_ref(server->stream, SLICE("X\0\0\0\4"));
    }
    stream_end(server->stream);
    stream_resume(server->stream);
}

void proxy_server_retire(ProxyServer *server)
{
    proxy_server_leave(server, false);
}
