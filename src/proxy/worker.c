/*
 * A worker: a thread with a loop, listeners on the shared sockets, and everything that came in by
 * them. The main thread speaks to it by posts only.
 */
#include "proxy/hub_priv.h"
#include "proxy/line_priv.h"

#define SERVER_SLOTS_MAX (2 * PROXY_CLIENTS_MAX + PROXY_SERVERS_MAX)
#define TICK_MS          1000

/* ---- doors
 * --------------------------------------------------------------------------------------- */

static void door_on_accept(void *user, int fd, const NetAddr *peer)
{
    ProxyDoor *door = user;
    ProxyWorker *worker = door->worker;
    if (!proxy_config_admits(worker->config, peer, door->port)) {
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

/* ---- the target
 * ---------------------------------------------------------------------------------- */

bool proxy_worker_has_target(const ProxyWorker *worker)
{
    return worker->config->target.addr.len > 0;
}

NetAddr proxy_worker_target(const ProxyWorker *worker)
{
    return worker->config->target.addr;
}

/* Free ones go now, the others at the end of their transaction or session. */
static void servers_retire(ProxyWorker *worker)
{
    for (ListNode *node = list_first(&worker->servers); node != NULL;) {
        ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        node = list_next(&worker->servers, node);
        server->retired = true;
        if (server->state == SERVER_IDLE) {
            proxy_server_retire(server);
        }
    }
    proxy_lines_trim(worker);
    proxy_hubs_trim(worker);
}

/* ---- once a second
 * --------------------------------------------------------------------------------- */

/* A look is a connection as any other: it counts for the budget and for the limits of its user and
 * database. False: it may not be had now. */
static bool probe_take(ProxyWorker *worker, const char *user, Quota **quotas)
{
    Proxy *proxy = worker->proxy;
    const ProxyLimit limits[QUOTA_KINDS] = {
        [QUOTA_USER] = proxy_config_user_limit(worker->config, slice_of(user)),
        [QUOTA_DATABASE] =
            proxy_config_database_limit(worker->config, slice_of(PROXY_PROBE_DATABASE)),
    };
    quotas[QUOTA_USER] = quotas_get(&proxy->quotas, QUOTA_USER, slice_of(user));
    quotas[QUOTA_DATABASE] =
        quotas_get(&proxy->quotas, QUOTA_DATABASE, slice_of(PROXY_PROBE_DATABASE));
    bool ok = proxy_budget_take(&proxy->budget);
    size_t taken = 0;
    while (ok && taken < QUOTA_KINDS) {
        ok = quota_take(&quotas[taken]->servers, limits[taken].servers);
        taken += ok ? 1 : 0;
        if (!ok) {
            proxy_budget_give(&proxy->budget);
        }
    }
    for (size_t i = 0; i < QUOTA_KINDS && !ok; i++) {
        if (i < taken) {
            quota_give(&quotas[i]->servers);
        }
        quota_unref(quotas[i]);
    }
    return ok;
}

void proxy_probe_give(ProxyServer *server)
{
    for (size_t i = 0; i < QUOTA_KINDS; i++) {
        quota_give(&server->probe_quotas[i]->servers);
        quota_unref(server->probe_quotas[i]);
    }
}

/* Everything is in use: whoever came to rest since the last bad news proves that it lives. */
static bool somebody_answered(const ProxyWorker *worker, int64_t since_ms)
{
    LIST_FOR_EACH (&worker->servers, node) {
        const ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (server->idle_ms > since_ms &&
            (server->state == SERVER_IDLE || server->state == SERVER_LINKED)) {
            return true;
        }
    }
    return false;
}

static void probe(ProxyWorker *worker)
{
    const char *user = worker->config->users[0].name;
    Quota *quotas[QUOTA_KINDS];
    if (!probe_take(worker, user, quotas)) {
        ProxyHealth *health = &worker->proxy->health;
        pthread_mutex_lock(&health->lock);
        int64_t since_ms = health->changed_ms;
        pthread_mutex_unlock(&health->lock);
        if (somebody_answered(worker, since_ms)) {
            proxy_health_good(health);
        }
        return;
    }
    ProxyServer *server = proxy_server_open(worker, NULL, NULL);
    ASSERT(server != NULL); /* there are more slots than the budget may have */
    server->user = mem_strdup(user);
    server->budgeted = true;
    memcpy(server->probe_quotas, quotas, sizeof(quotas));
    worker->probing = true;
}

/* Whether the target lives is known from those who use it; otherwise one worker looks. */
static void check_health(ProxyWorker *worker)
{
    ProxyHealth *health = &worker->proxy->health;
    const ProxyConfig *config = worker->config;
    if (!proxy_worker_has_target(worker)) {
        proxy_health_bad(health, "UNREACHABLE", "No target is registered");
    } else if (config->user_count == 0) {
        proxy_health_bad(health, "AUTH_FAILURE", "Proxy does not have any registered credentials");
    } else {
        pthread_mutex_lock(&health->lock);
        bool good = health->state == TARGET_AVAILABLE;
        int64_t age_ms = health->seen_ms == 0 ? INT64_MAX : time_mono_ms() - health->seen_ms;
        pthread_mutex_unlock(&health->lock);
        bool in_use = good && atomic_load(&worker->proxy->budget.open) > 0 && age_ms < INT64_MAX;
        if (!worker->probing && !in_use &&
            age_ms >= (good ? PROXY_PROBE_MS : PROXY_PROBE_DOWN_MS)) {
            probe(worker);
        }
    }
}

static void worker_tick(void *user)
{
    ProxyWorker *worker = user;
    proxy_meters_roll(&worker->meters, loop_now_ms(worker->loop));
    if (worker->index == 0) {
        proxy_health_sample(&worker->proxy->health);
    }
    if (worker->draining || worker->config->relay) {
        return;
    }
    proxy_worker_trim_idle(worker);
    proxy_hubs_trim(worker);
    if (worker->index == 0 && !worker->apart) {
        check_health(worker);
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
        worker->retry_at_ms = 0;
        proxy_worker_forget_welcomes(worker);
        servers_retire(worker);
    }
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

static void drain_late(void *user)
{
    ProxyWorker *worker = user;
    for (ProxyClient *client; (client = first_client(worker)) != NULL;) {
        proxy_client_fatal(client, "57P01", "terminating connection due to administrator command",
                           NULL);
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
    servers_retire(worker);
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

bool proxy_worker_start(ProxyWorker *worker, ProxyConfig *config, Err *err)
{
    TRY(loop_new(&worker->loop, err));
    TRY(io_start(worker, config, err));
    worker->config = proxy_config_ref(config);
    worker->client_slots = pool_new(sizeof(ProxyClient), PROXY_CLIENTS_MAX);
    worker->server_slots = pool_new(sizeof(ProxyServer), SERVER_SLOTS_MAX);
    proxy_meters_init(&worker->meters, loop_now_ms(worker->loop));
    list_init(&worker->clients);
    list_init(&worker->admin_requests);
    list_init(&worker->servers);
    list_init(&worker->hubs);
    session_client_policy(&worker->client_policy);
    session_server_policy(&worker->server_policy, false);
    session_server_policy(&worker->ask_policy, true);
    worker->throttle = throttle_new();
    worker->memo = sql_memo_new();
    proxy_worker_waits_init(worker);
    loop_timer_start(worker->loop, &worker->tick, TICK_MS / 10, TICK_MS, worker_tick, worker);
    worker->shut = true;
    int failed = pthread_create(&worker->thread, NULL, worker_main, worker);
    return failed == 0 || err_set_errno(err, failed, "starting a thread");
}
