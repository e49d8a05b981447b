/*
 * A worker: a thread with a loop, listeners on the shared sockets, and everything that came in by
 * them. The main thread speaks to it by posts only.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/target/watch_priv.h"

#define SERVER_SLOTS_MAX (2 * PROXY_CLIENTS_MAX + PROXY_TARGETS_MAX * (PROXY_SERVERS_MAX + 1))
#define TICK_MS          1000

/* ---- doors
 * --------------------------------------------------------------------------------------- */

/* Who comes to a link is told by his certificate. */
static bool is_admitted(const ProxyDoor *door, const NetAddr *peer)
{
    const ProxyConfig *config = door->worker->config;
    const ProxyListener *listener = proxy_config_listener(config, door->socket);
    return (listener != NULL && listener->link) || proxy_config_admits(config, peer, door->port);
}

static void door_on_accept(void *user, int fd, const NetAddr *peer)
{
    ProxyDoor *door = user;
    ProxyWorker *worker = door->worker;
    if (!is_admitted(door, peer)) {
        proxy_worker_count(worker, STAT_REFUSED_BY_RULE, 1);
        fd_close(&fd);
        return;
    }
    proxy_worker_count(worker, STAT_ACCEPTED, 1);
    proxy_client_accept(worker, fd, door->socket);
}

static bool door_open(ProxyWorker *worker, ProxySocket *socket, Err *err)
{
    ProxyDoor *door = mem_alloc(sizeof(ProxyDoor));
    door->worker = worker;
    door->port = socket->port;
    if (!listener_new(worker->loop, socket->fd, door_on_accept, door, &door->listener, err)) {
        mem_free(door);
        return false;
    }
    door->socket = proxy_socket_ref(socket);
    vec_push(&worker->doors, door);
    return true;
}

static void door_close(ProxyDoor *door)
{
    listener_free(door->listener);
    proxy_socket_unref(door->socket);
    mem_free(door);
}

static bool config_has_socket(const ProxyConfig *config, const ProxySocket *socket)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].socket == socket) {
            return true;
        }
    }
    return false;
}

static bool worker_has_door(const ProxyWorker *worker, const ProxySocket *socket)
{
    for (size_t i = 0; i < worker->doors.len; i++) {
        if (worker->doors.items[i]->socket == socket) {
            return true;
        }
    }
    return false;
}

static void doors_close(ProxyWorker *worker, const ProxyConfig *keep)
{
    for (size_t i = 0; i < worker->doors.len;) {
        ProxyDoor *door = worker->doors.items[i];
        if (keep != NULL && config_has_socket(keep, door->socket)) {
            i++;
            continue;
        }
        door_close(door);
        worker->doors.items[i] = worker->doors.items[--worker->doors.len];
    }
}

static bool doors_open(ProxyWorker *worker, const ProxyConfig *config, Err *err)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        ProxySocket *socket = config->listeners[i].socket;
        if (socket != NULL && !worker_has_door(worker, socket)) {
            TRY(door_open(worker, socket, err));
        }
    }
    return true;
}

/* ---- once a second
 * --------------------------------------------------------------------------------- */

static void watch_tick(void *user)
{
    ProxyWorker *worker = user;
    if (!worker->config->relay) {
        proxy_watch_tick(worker);
    }
}

static void worker_tick(void *user)
{
    ProxyWorker *worker = user;
    proxy_meters_roll(&worker->meters, loop_now_ms(worker->loop));
    if (worker->index == 0) {
        for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
            proxy_health_sample(&worker->proxy->targets[i].health);
        }
    }
    if (worker->draining || worker->config->relay) {
        return;
    }
    proxy_worker_trim_idle(worker);
    proxy_hubs_trim(worker);
    if (worker->index == 0 && !worker->shut) { /* others look, who count */
        proxy_probe_tick(worker);
    }
}

/* ---- configuration
 * --------------------------------------------------------------------------------- */

typedef struct Apply {
    ProxyWorker *worker;
    ProxyConfig *config;
} Apply;

static void clients_rearm(ProxyWorker *worker)
{
    LIST_FOR_EACH (&worker->clients, node) {
        proxy_client_idle_rearm(CONTAINER_OF(node, ProxyClient, node));
    }
}

static void apply(void *user)
{
    Apply *job = user;
    ProxyWorker *worker = job->worker;
    ProxyConfig *old = worker->config;
    Err err;
    worker->config = job->config;
    if (!worker->draining && !worker->shut) {
        doors_close(worker, job->config);
        if (!doors_open(worker, job->config, &err)) {
            log_error("proxy", "worker %u cannot accept: %s", worker->index, err.message);
        }
    }
    if (proxy_config_outdates(old, job->config)) {
        proxy_worker_forget_welcomes(worker);
    }
    proxy_sides_apply(worker, old);
    if (old->idle_client_ms != job->config->idle_client_ms) {
        clients_rearm(worker);
    }
    if (old->limited || job->config->limited) {
        proxy_limits_apply(worker);
    }
    proxy_config_unref(old);
    proxy_worker_pump_soon(worker);
    sem_post(&worker->proxy->applied);
}

void proxy_worker_apply(ProxyWorker *worker, ProxyConfig *config)
{
    Apply job = {worker, proxy_config_ref(config)};
    loop_post(worker->loop, apply, &job);
    while (sem_wait(&worker->proxy->applied) != 0) {
    }
}

/* ---- accepting, or not
 * --------------------------------------------------------------------------------------- */

static void worker_accepts(void *user)
{
    ProxyWorker *worker = user;
    Err err;
    worker->shut = worker->apart = false;
    proxy_limits_apply(worker);
    if (!worker->draining && !doors_open(worker, worker->config, &err)) {
        log_error("proxy", "worker %u cannot accept: %s", worker->index, err.message);
    }
    proxy_worker_pump_soon(worker);
    sem_post(&worker->proxy->applied);
}

static void worker_leaves(void *user)
{
    ProxyWorker *worker = user;
    worker->shut = worker->apart = true;
    doors_close(worker, NULL);
    proxy_limits_apply(worker);
    leaving_count(&worker->proxy->peers, worker);
    sem_post(&worker->proxy->applied);
}

static void worker_do(ProxyWorker *worker, LoopFn *fn)
{
    loop_post(worker->loop, fn, worker);
    while (sem_wait(&worker->proxy->applied) != 0) {
    }
}

void proxy_worker_accept(ProxyWorker *worker)
{
    worker_do(worker, worker_accepts);
}

void proxy_worker_leave(ProxyWorker *worker)
{
    worker_do(worker, worker_leaves);
}

/* ---- the end
 * ----------------------------------------------------------------------------------------- */

static void worker_end_if_empty(ProxyWorker *worker)
{
    if (worker->draining && worker->clients.len == 0 && worker->servers.len == 0) {
        loop_stop(worker->loop);
    }
}

void proxy_worker_client_gone(ProxyWorker *worker)
{
    if (worker->draining && worker->clients.len == 0) {
        proxy_pulse_drain(worker->proxy);
    }
    worker_end_if_empty(worker);
}

void proxy_worker_server_gone(ProxyWorker *worker)
{
    worker_end_if_empty(worker);
}

void proxy_worker_remember(ProxyWorker *worker, PoolHandle client)
{
    uint32_t slot = (uint32_t)client;
    if (slot > worker->client_handles.len) {
        vec_push(&worker->client_handles, client); /* slots are handed out in order */
        ASSERT(slot == worker->client_handles.len);
    }
    worker->client_handles.items[slot - 1] = client;
}

static ProxyClient *first_client(const ProxyWorker *worker)
{
    ListNode *node = list_first(&worker->clients);
    return node != NULL ? CONTAINER_OF(node, ProxyClient, node) : NULL;
}

/* What it has under way is given up; and where that may have been committed, it must not be told to
 * begin it again (RULES F12). */
static void client_give_up(ProxyClient *client)
{
    const ProxyServer *server = client->server;
    bool unknown = client->state == CLIENT_READY && server != NULL && !client->session.walsender &&
                   session_lost(&client->session, &server->exchange) == LOSS_UNKNOWN;
    if (unknown) {
        PgError error = session_loss_error(LOSS_UNKNOWN, true, "The proxy stops.");
        proxy_client_refuse(client, &error);
    } else {
        proxy_client_fatal(client, "57P01", "terminating connection due to administrator command",
                           NULL);
    }
}

static void drain_late(void *user)
{
    ProxyWorker *worker = user;
    for (ProxyClient *client; (client = first_client(worker)) != NULL;) {
        client_give_up(client);
    }
    loop_stop(worker->loop);
}

static void drain(void *user)
{
    ProxyWorker *worker = user;
    worker->draining = true;
    doors_close(worker, NULL);
    for (ListNode *node = list_first(&worker->clients); node != NULL;) {
        ProxyClient *client = CONTAINER_OF(node, ProxyClient, node);
        node = list_next(&worker->clients, node);
        proxy_client_drain(client);
    }
    proxy_sides_retire(worker);
    proxy_watches_end(worker);
    if (worker->clients.len == 0) {
        proxy_pulse_drain(worker->proxy);
    }
    loop_timer_start(worker->loop, &worker->drain_timer, PROXY_DRAIN_MS, 0, drain_late, worker);
    worker_end_if_empty(worker);
}

void proxy_worker_drain(ProxyWorker *worker)
{
    loop_post(worker->loop, drain, worker);
}

/* What PostgreSQL has not closed by itself by now goes without waiting. */
static void servers_abort(ProxyWorker *worker)
{
    for (ListNode *node; (node = list_first(&worker->servers)) != NULL;) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        stream_abort(server->stream);
        proxy_server_lost(server, "the proxy ends");
    }
}

void proxy_worker_done(ProxyWorker *worker)
{
    servers_abort(worker);
    doors_close(worker, NULL);
    loop_timer_stop(&worker->tick);
    loop_timer_stop(&worker->drain_timer);
    loop_timer_stop(&worker->watch_timer);
    loop_timer_stop(&worker->park_timer);
    loop_timer_stop(&worker->hold_timer);
    if (worker->index == 0) {
        loop_timer_stop(&worker->proxy->pulse.timer);
    }
    proxy_watches_done(worker);
    proxy_worker_waits_done(worker);
    vec_done(&worker->doors);
    vec_done(&worker->client_handles);
    throttle_free(worker->throttle);
    sql_memo_free(worker->memo);
    pool_free(worker->client_slots);
    pool_free(worker->server_slots);
    proxy_admin_requests_done(worker);
    proxy_meters_done(&worker->meters);
    loop_free(worker->loop);
    proxy_config_unref(worker->config);
}

/* ---- the thread
 * ---------------------------------------------------------------------------------------- */

static void worker_ended(void *user)
{
    Proxy *proxy = user;
    proxy->workers_running--;
    if (proxy->workers_running == 0) {
        loop_stop(proxy->loop);
    }
}

static void *worker_main(void *user)
{
    ProxyWorker *worker = user;
    loop_run(worker->loop);
    loop_post(worker->proxy->loop, worker_ended, worker->proxy);
    return NULL;
}

static bool io_start(const ProxyWorker *worker, const ProxyConfig *config, Err *err)
{
    Err problem;
    if (config->io == PROXY_IO_EPOLL || loop_use_uring(worker->loop, &problem)) {
        return true;
    }
    if (config->io == PROXY_IO_URING) {
        *err = problem;
        return false;
    }
    if (worker->index == 0) {
        log_info("proxy", "epoll is used, for there is no io_uring: %s", problem.message);
    }
    return true;
}

bool proxy_worker_init(ProxyWorker *worker, ProxyConfig *config, Err *err)
{
    TRY(loop_new(&worker->loop, err));
    worker->config = proxy_config_ref(config);
    worker->client_slots = pool_new(sizeof(ProxyClient), PROXY_CLIENTS_MAX);
    worker->server_slots = pool_new(sizeof(ProxyServer), SERVER_SLOTS_MAX);
    proxy_meters_init(&worker->meters, loop_now_ms(worker->loop));
    list_init(&worker->clients);
    list_init(&worker->admin_requests);
    list_init(&worker->parked);
    list_init(&worker->servers);
    list_init(&worker->hubs);
    list_init(&worker->held);
    session_client_policy(&worker->client_policy);
    session_server_policy(&worker->server_policy, false);
    session_server_policy(&worker->ask_policy, true);
    worker->throttle = throttle_new();
    worker->memo = sql_memo_new();
    proxy_worker_waits_init(worker);
    loop_timer_start(worker->loop, &worker->tick, TICK_MS / 10, TICK_MS, worker_tick, worker);
    worker->shut = true;
    if (worker->index == 0) {
        loop_timer_start(worker->loop, &worker->watch_timer, 1, WATCH_MS, watch_tick, worker);
        proxy_pulse_apply(worker);
    }
    return io_start(worker, config, err);
}

bool proxy_worker_start(ProxyWorker *worker, Err *err)
{
    int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
    return failed == 0 || err_set_errno(err, failed, "starting a thread");
}
