/*
 * The process: takes its configuration from the agent, makes it ready (sockets, TLS, verifiers),
 * hands it to the workers, and reports. A configuration is in force on all workers before it is
 * acknowledged; one that cannot be is refused, and the one before stays.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/proxy.h"
#include "proxy/proxy_priv.h"

#define STATUS_MS  1000
#define GIVE_UP_MS 200 /* so that the refusal reaches the agent */

/* ---- making a configuration ready
 * ------------------------------------------------------------------ */

static ProxySocket *socket_find(const ProxyConfig *old, const ProxyListener *listener)
{
    for (size_t i = 0; old != NULL && i < old->listener_count; i++) {
        ProxySocket *socket = old->listeners[i].socket;
        if (socket->port == listener->port && strcmp(socket->address, listener->address) == 0) {
            return socket;
        }
    }
    return NULL;
}

static bool listener_bind(ProxyListener *listener, const ProxyConfig *old, Err *err)
{
    ProxySocket *socket = socket_find(old, listener);
    if (socket != NULL) {
        listener->socket = proxy_socket_ref(socket);
        return true;
    }
    NetAddr addr;
    int fd;
    TRY(net_addr_parse(listener->address, listener->port, &addr, err));
    TRY(net_listen(&addr, &(NetListenOptions){0}, &fd, err));
    socket = mem_alloc(sizeof(ProxySocket));
    atomic_init(&socket->refs, 1);
    socket->address = mem_strdup(listener->address);
    socket->port = listener->port;
    socket->fd = fd;
    listener->socket = socket;
    return true;
}

/* One context per worker avoids OpenSSL's locks. */
static bool listener_secure(ProxyListener *listener, uint32_t workers, Err *err)
{
    static const char *const alpn[] = {"postgresql", NULL};
    if (listener->cert_pem == NULL) {
        return true;
    }
    TlsServerOptions options = {.cert_pem = slice_of(listener->cert_pem),
                                .key_pem = secret_reveal(&listener->key_pem),
                                .alpn = alpn};
    for (uint32_t i = 0; i < workers; i++) {
        if (!tls_server_context_new(&options, &listener->tls[i], err)) {
            return err_wrap(err, "the certificate of %s:%u", listener->address, listener->port);
        }
    }
    return true;
}

/* A password that has not changed keeps its salt, and costs nothing. */
static void user_prepare(ProxyUser *user, const ProxyConfig *old)
{
    const ProxyUser *before = old != NULL ? proxy_config_user(old, slice_of(user->name)) : NULL;
    Slice password = secret_reveal(&user->password);
    if (before != NULL && secret_eq(&before->password, password)) {
        user->verifier = before->verifier;
        return;
    }
    uint8_t salt[SCRAM_SALT_SIZE];
    random_bytes(salt, sizeof(salt));
    scram_verifier_make(password, slice_from(salt, sizeof(salt)), SCRAM_ITERATIONS,
                        &user->verifier);
}

static bool target_check(const ProxyTarget *target, Err *err)
{
    NetAddr addr;
    if (target->socket_dir == NULL) {
        return true;
    }
    CLEANUP(mem_free_ptr)
    char *path = mem_printf("%s/.s.PGSQL.%u", target->socket_dir, target->port);
    return net_addr_parse(path, 0, &addr, err) || err_wrap(err, "the target's socket_dir");
}

static bool change_possible(const ProxyConfig *old, const ProxyConfig *config, Err *err)
{
    if (old != NULL && (old->relay != config->relay || old->workers != config->workers)) {
        return err_set(err, ERR_UNSUPPORTED,
                       "kind and workers cannot change while the proxy runs: restart it");
    }
    return true;
}

static bool config_prepare(ProxyConfig *config, const ProxyConfig *old, Err *err)
{
    TRY(change_possible(old, config, err));
    TRY(target_check(&config->target, err));
    for (size_t i = 0; i < config->user_count; i++) {
        user_prepare(&config->users[i], old);
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        TRY(listener_secure(&config->listeners[i], config->workers, err));
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        TRY(listener_bind(&config->listeners[i], old, err));
    }
    return true;
}

/* ---- putting it in force
 * ----------------------------------------------------------------------------- */

static bool workers_start(Proxy *proxy, ProxyConfig *config, Err *err)
{
    size_t size = config->workers * sizeof(ProxyWorker);
    size_t alignment = _Alignof(ProxyWorker);
    proxy->workers = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    ASSERT(proxy->workers != NULL);
    memset(proxy->workers, 0, size);
    for (uint32_t i = 0; i < config->workers; i++) {
        proxy->workers[i].proxy = proxy;
        proxy->workers[i].index = i;
    }
    proxy->worker_count = config->workers;
    for (uint32_t i = 0; i < config->workers; i++) {
        TRY(proxy_worker_start(&proxy->workers[i], config, err));
        proxy->workers_running++;
    }
    return true;
}

static void give_up(void *user)
{
    Proxy *proxy = user;
    loop_stop(proxy->loop);
}

/* Without any configuration in force there is nothing to keep: the agent starts us again, and by
 * then the address may be free. */
static bool first_config_failed(Proxy *proxy, const Err *err)
{
    proxy->exit_code = err_exit_code(err->code);
    loop_timer_start(proxy->loop, &proxy->stop_timer, GIVE_UP_MS, 0, give_up, proxy);
    return false;
}

static bool on_config(void *user, const json_t *json, Err *err)
{
    Proxy *proxy = user;
    ProxyConfig *config = NULL;
    ProxyConfig *old = proxy->config;
    if (proxy->stopping || proxy->exit_code != 0) {
        return err_set(err, ERR_CONFLICT, "the proxy is stopping");
    }
    TRY(proxy_config_parse(json, &config, err));
    if (!config_prepare(config, old, err)) {
        proxy_config_unref(config);
        return old == NULL ? first_config_failed(proxy, err) : false;
    }
    atomic_store(&proxy->budget.max, config->servers_max);
    proxy->config = config;
    if (old == NULL) {
        return workers_start(proxy, config, err) || first_config_failed(proxy, err);
    }
    if (proxy_config_outdates(old, config)) {
        proxy_welcomes_forget(&proxy->welcomes);
    }
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        proxy_worker_apply(&proxy->workers[i], config);
    }
    proxy_config_unref(old);
    return true;
}

/* ---- life
 * -------------------------------------------------------------------------------------------- */

static void on_stop(void *user)
{
    Proxy *proxy = user;
    if (proxy->stopping) {
        return;
    }
    proxy->stopping = true;
    log_info("proxy", "%s is stopping", proxy->id);
    if (proxy->workers_running == 0) {
        loop_stop(proxy->loop);
    }
    for (uint32_t i = 0; i < proxy->workers_running; i++) {
        proxy_worker_drain(&proxy->workers[i]);
    }
}

static void on_signal(void *user, int signo)
{
    (void)signo;
    on_stop(user);
}

static void on_tick(void *user)
{
    Proxy *proxy = user;
    if (proxy->worker_count > 0) {
        plane_status(proxy->plane, proxy_status_of(proxy));
    }
}

static const PlaneHandlers plane_handlers = {.on_config = on_config, .on_stop = on_stop};

static bool proxy_start(Proxy *proxy, const PlaneArgs *args, Err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, 0};
    proxy->id = args->id;
    random_bytes(proxy->mock_secret, sizeof(proxy->mock_secret));
    TRY(loop_new(&proxy->loop, err));
    TRY(loop_signals(proxy->loop, signals, on_signal, proxy, err));
    TRY(plane_new(proxy->loop, args, &plane_handlers, proxy, &proxy->plane, err));
    loop_timer_start(proxy->loop, &proxy->tick, STATUS_MS, STATUS_MS, on_tick, proxy);
    return true;
}

static void proxy_done(Proxy *proxy)
{
    loop_timer_stop(&proxy->tick);
    loop_timer_stop(&proxy->stop_timer);
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        if (proxy->workers[i].thread != 0) {
            pthread_join(proxy->workers[i].thread, NULL);
            proxy_worker_done(&proxy->workers[i]);
        }
    }
    free(proxy->workers);
    proxy_config_unref(proxy->config);
    plane_free(proxy->plane);
    loop_free(proxy->loop);
    sem_destroy(&proxy->applied);
    pthread_mutex_destroy(&proxy->health.lock);
    proxy_welcomes_done(&proxy->welcomes);
}

int proxy_main(int argc, char **argv)
{
    PlaneArgs args;
    Err err;
    if (!plane_args_parse(argc, argv, &args, &err)) {
        fprintf(stderr, "weir proxy: %s\n", err.message);
        return err_exit_code(err.code);
    }
    Proxy proxy = {0};
    sem_init(&proxy.applied, 0, 0);
    pthread_mutex_init(&proxy.health.lock, NULL);
    proxy_welcomes_init(&proxy.welcomes);
    if (proxy_start(&proxy, &args, &err)) {
        log_info("proxy", "%s is running", proxy.id);
        loop_run(proxy.loop);
    } else {
        log_error("proxy", "%s", err.message);
        proxy.exit_code = err_exit_code(err.code);
    }
    proxy_done(&proxy);
    return proxy.exit_code;
}
