/*
 * The process: takes its configuration from the agent, or from standalone.c, has it made ready,
 * hands it to the workers, and reports. A configuration is in force on all workers before it is
 * acknowledged; one that cannot be is refused, and the one before stays.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "proxy/admin/explain_priv.h"
#include "proxy/proxy.h"
#include "proxy/worker_priv.h"

#define STATUS_MS  1000
#define GIVE_UP_MS 200 /* so that the refusal reaches the agent */

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
    for (uint32_t i = 0; i < config->workers; i++) { /* all, for each may speak to each */
        TRY(proxy_worker_init(&proxy->workers[i], config, err));
    }
    for (uint32_t i = 0; i < config->workers; i++) {
        TRY(proxy_worker_start(&proxy->workers[i], err));
        proxy->workers_running++;
    }
    return true;
}

static void give_up(void *user)
{
    proxy_stop(user);
}

/* Without any configuration in force there is nothing to keep: the agent starts us again, and by
 * then the address may be free. */
static bool first_config_failed(Proxy *proxy, const Err *err)
{
    proxy->exit_code = err_exit_code(err->code);
    loop_timer_start(proxy->loop, &proxy->stop_timer, GIVE_UP_MS, 0, give_up, proxy);
    return false;
}

/* What is known of a target is not of the one that had its number before. */
static void target_reset(ProxyTargetState *target)
{
    proxy_health_reset(&target->health);
    atomic_store(&target->standing.lag_ms, -1);
}

static void targets_prepare(Proxy *proxy, const ProxyConfig *old, const ProxyConfig *config)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        ProxyTargetState *target = &proxy->targets[i];
        bool used = proxy_config_uses(config, i);
        atomic_store(&target->budget.max, used ? proxy_config_target(config, i)->servers_max : 0);
        if (old != NULL && proxy_config_target_outdated(old, config, i)) {
            target_reset(target);
        }
    }
}

bool proxy_put_in_force(Proxy *proxy, ProxyConfig *config, Err *err)
{
    ProxyConfig *old = proxy->config;
    if (!proxy_config_load(config, old, err) || !proxy_config_bind(proxy, config, err)) {
        proxy_config_unref(config);
        return false;
    }
    targets_prepare(proxy, old, config);
    proxy->config = config;
    atomic_store(&proxy->reads, config->reads);
    peers_config_changed(&proxy->peers);
    if (old == NULL) {
        proxy->shut = true;
        return workers_start(proxy, config, err) && proxy_begin_service(proxy, err);
    }
    if (proxy_config_outdates(old, config)) {
        proxy_welcomes_forget(&proxy->welcomes);
        catalogs_forget(&proxy->catalogs);
    }
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        proxy_worker_apply(&proxy->workers[i], config);
    }
    proxy_config_unref(old);
    return true;
}

static bool on_config(void *user, const json_t *json, Err *err)
{
    Proxy *proxy = user;
    ProxyConfig *config = NULL;
    bool first = proxy->config == NULL;
    if (proxy->stopping || proxy->exit_code != 0) {
        return err_set(err, ERR_CONFLICT, "the proxy is stopping");
    }
    TRY(proxy_config_parse(json, &config, err));
    if (!proxy_put_in_force(proxy, config, err)) {
        return first ? first_config_failed(proxy, err) : false;
    }
    succession_config(proxy->succession, json);
    return true;
}

/* ---- life
 * -------------------------------------------------------------------------------------------- */

void proxy_stop(Proxy *proxy)
{
    if (proxy->stopping) {
        return;
    }
    proxy->stopping = true;
    log_info("proxy", "%s is stopping", proxy->id);
    if (proxy->succession != NULL) {
        succession_stop(proxy->succession);
    }
    if (proxy->workers_running == 0) {
        loop_stop(proxy->loop);
    }
    for (uint32_t i = 0; i < proxy->workers_running; i++) {
        proxy_worker_drain(&proxy->workers[i]);
    }
}

static void on_stop(void *user)
{
    proxy_stop(user);
}

static void on_signal(void *user, int signo)
{
    (void)signo;
    proxy_stop(user);
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
    TRY(loop_new(&proxy->loop, err));
    TRY(loop_signals(proxy->loop, signals, on_signal, proxy, err));
    TRY(plane_succession_new(proxy->loop, args, &proxy_succession_handlers, proxy,
                             &proxy->succession, err));
    proxy->generation = succession_generation(proxy->succession);
    TRY(plane_new(proxy->loop, args, proxy->succession, &plane_handlers, proxy, &proxy->plane,
                  err));
    loop_timer_start(proxy->loop, &proxy->tick, STATUS_MS, STATUS_MS, on_tick, proxy);
    return true;
}

void proxy_init(Proxy *proxy, const char *id)
{
    *proxy = (Proxy){.id = id};
    random_bytes(proxy->mock_secret, sizeof(proxy->mock_secret));
    sem_init(&proxy->applied, 0, 0);
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        proxy_health_init(&proxy->targets[i].health);
        atomic_store(&proxy->targets[i].standing.lag_ms, -1);
    }
    atomic_store(&proxy->pulse.away, true);
    proxy_welcomes_init(&proxy->welcomes);
    catalogs_init(&proxy->catalogs);
    quotas_init(&proxy->quotas);
    peers_init(&proxy->peers, proxy);
}

void proxy_done(Proxy *proxy)
{
    loop_timer_stop(&proxy->tick);
    loop_timer_stop(&proxy->stop_timer);
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        if (proxy->workers[i].thread != 0) {
            pthread_join(proxy->workers[i].thread, NULL);
        }
        if (proxy->workers[i].loop != NULL) {
            proxy_worker_done(&proxy->workers[i]);
        }
    }
    peers_done(&proxy->peers);
    free(proxy->workers);
    proxy_config_unref(proxy->config);
    plane_free(proxy->plane);
    succession_free(proxy->succession);
    loop_free(proxy->loop);
    sem_destroy(&proxy->applied);
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        proxy_health_done(&proxy->targets[i].health);
    }
    proxy_welcomes_done(&proxy->welcomes);
    catalogs_done(&proxy->catalogs);
    quotas_done(&proxy->quotas);
}

static int plane_main(int argc, char **argv)
{
    PlaneArgs args;
    Err err;
    if (!plane_args_parse(argc, argv, &args, &err)) {
        fprintf(stderr, "weir proxy: %s\n", err.message);
        return err_exit_code(err.code);
    }
    Proxy proxy;
    proxy_init(&proxy, args.id);
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

/* The agent calls with --id and --run, people with anything else. */
int proxy_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "explain") == 0) {
        return proxy_explain_main(argc - 1, argv + 1);
    }
    bool plane = argc > 1 && (strcmp(argv[1], "--id") == 0 || strcmp(argv[1], "--run") == 0);
    return plane ? plane_main(argc, argv) : proxy_standalone_main(argc, argv);
}
