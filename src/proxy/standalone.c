/*
 * `weir proxy --config FILE`: the proxy alone, without an agent, in front of any PostgreSQL. The
 * file says what the agent would say. SIGHUP reads it again; one that is refused changes nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "proxy/proxy.h"
#include "proxy/proxy_priv.h"

#define CONFIG_BYTES_MAX ((size_t)4 << 20)
#define LOOK_MS          1000 /* how often the target's state is looked at */

typedef struct Standalone {
    Proxy proxy;
    const char *path;
    bool check, help, take_over;
    TargetState told[PROXY_TARGETS_MAX]; /* what the log said last of the targets */
} Standalone;

static const char usage[] =
    "usage: weir proxy --config FILE [--check | --take-over]\n"
    "       weir proxy explain [--setting NAME=VALUE]… [-o table|json] [FILE | SQL]…\n\n"
    "Runs the PostgreSQL connection pooler alone, in front of any PostgreSQL: no tier\n"
    "and no API. FILE is JSON; docs/proxy.md has its members, and examples/proxy.json\n"
    "is one.\n\n"
    "  --config FILE  what to listen on, where PostgreSQL is, and who may log in\n"
    "  --check        only says whether FILE and the files that it names are in order\n"
    "  --take-over    takes the place of the proxy that serves at the same address,\n"
    "                 if there is one: no connection is refused or dropped\n\n"
    "SIGHUP reads FILE again; where it is refused, stderr says why and the one before\n"
    "stays in force. SIGTERM and SIGINT stop: transactions have 3 s to end. SIGUSR1\n"
    "writes one line of counters to stderr. SIGUSR2 upgrades: the program is started\n"
    "anew, from where it was started, with --take-over.\n\n"
    "`weir proxy explain --help` says how to find out what statements would pin.\n";

/* ---- the file ----------------------------------------------------------------------------------
 */

/* jansson's text goes on with what stands there, which may be a secret. */
static bool json_refuse(const char *path, const json_error_t *problem, Err *err)
{
    const char *near = strstr(problem->text, " near ");
    int len = near != NULL ? (int)(near - problem->text) : (int)strlen(problem->text);
    return err_set(err, ERR_INVALID, "%s:%d:%d: %.*s", path, problem->line, problem->column, len,
                   problem->text);
}

static bool json_load_file_of(const char *path, json_t **ret_json, Err *err)
{
    Buf text;
    json_error_t problem;
    buf_init(&text, CONFIG_BYTES_MAX);
    bool ok = file_read(path, &text, err);
    if (ok) {
        json_t *json = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &problem);
        crypto_wipe(text.data, text.len);
        ok = json != NULL || json_refuse(path, &problem, err);
        *ret_json = ok ? json : *ret_json;
    }
    buf_done(&text);
    return ok;
}

/* The caller frees both. */
static bool config_read(const char *path, ProxyConfig **ret_config, json_t **ret_json, Err *err)
{
    json_t *json = NULL;
    ProxyConfig *config = NULL;
    TRY(json_load_file_of(path, &json, err));
    bool ok = proxy_config_parse(json, &config, err) || err_wrap(err, "%s", path);
    if (ok && ((!proxy_config_check_reads(config, err) && !err_wrap(err, "%s", path)) ||
               (config->holds_secrets && !proxy_secret_file_check(path, err)))) {
        proxy_config_unref(config);
        ok = false;
    }
    if (!ok) {
        json_decref(json);
        return false;
    }
    *ret_config = config;
    *ret_json = json;
    return true;
}

/* Takes both. */
static bool config_put(Standalone *alone, ProxyConfig *config, json_t *json, Err *err)
{
    bool ok = proxy_put_in_force(&alone->proxy, config, err) || err_wrap(err, "%s", alone->path);
    if (!ok && err->os_errno == EADDRINUSE) {
        err_wrap(err, "another process listens there; where it is a weir proxy, --take-over takes "
                      "its place");
    }
    if (ok) {
        succession_config(alone->proxy.succession, json);
    }
    json_decref(json);
    return ok;
}

static bool config_take(Standalone *alone, Err *err)
{
    ProxyConfig *config = NULL;
    json_t *json = NULL;
    TRY(config_read(alone->path, &config, &json, err));
    return config_put(alone, config, json, err);
}

/* ---- while it runs -----------------------------------------------------------------------------
 */

/* What is refused has been said in the log, too. */
static bool reload(Standalone *alone, Err *err)
{
    if (alone->proxy.peers.leaving) {
        log_warn("proxy", "another process has taken this one's place, and reads the file");
        return err_set(err, ERR_CONFLICT, "another process has taken this one's place: ask that");
    }
    if (!config_take(alone, err)) {
        log_error("proxy", "refused, what was in force stays: %s", err->message);
        return false;
    }
    log_info("proxy", "%s is in force", alone->path);
    return true;
}

static bool reload_asked(Proxy *proxy, Err *err)
{
    return reload(CONTAINER_OF(proxy, Standalone, proxy), err);
}

static void status_log(Proxy *proxy)
{
    json_t *status = proxy_status_of(proxy);
    char *text = json_dumps(status, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(status);
    ASSERT(text != NULL); /* everything in it is ours, and UTF-8 */
    log_info("proxy", "%s", text);
    free(text);
}

/* The same words as ours, whatever stands at that path by now. */
static bool successor_start(Err *err)
{
    Buf words;
    VEC(const char *) argv = {0};
    buf_init(&words, CONFIG_BYTES_MAX);
    bool ok = file_read("/proc/self/cmdline", &words, err);
    for (size_t at = 0; ok && at < words.len; at += strlen(words.data + at) + 1) {
        if (strcmp(words.data + at, "--take-over") != 0) {
            vec_push(&argv, words.data + at);
        }
    }
    vec_push(&argv, "--take-over");
    vec_push(&argv, NULL);
    const SpawnSpec spec = {.argv = argv.items, .log_fd = STDERR_FILENO};
    pid_t pid = 0;
    ok = ok && process_spawn(&spec, &pid, NULL, err);
    if (ok) {
        log_info("proxy", "process %d is to take this one's place", (int)pid);
    }
    vec_done(&argv);
    buf_done(&words);
    return ok;
}

static void upgrade(const Standalone *alone)
{
    Err err;
    if (alone->proxy.stopping || alone->proxy.peers.leaving) {
        log_warn("proxy", "this process is on its way out: there is nothing to upgrade");
    } else if (!successor_start(&err)) {
        log_error("proxy", "no successor could be started: %s", err.message);
    }
}

static void on_signal(void *user, int signo)
{
    Standalone *alone = user;
    Err err;
    if (signo == SIGUSR2) {
        upgrade(alone);
    } else if (signo == SIGHUP) {
        (void)(alone->proxy.stopping || reload(alone, &err));
    } else if (signo == SIGUSR1) {
        status_log(&alone->proxy);
    } else {
        proxy_stop(&alone->proxy);
    }
}

static void look_at(Standalone *alone, size_t number)
{
    const ProxyConfig *config = alone->proxy.config;
    ProxyHealth *health = &alone->proxy.targets[number].health;
    pthread_mutex_lock(&health->lock);
    ProxyHealth now = {.state = health->state, .reason = health->reason};
    memcpy(now.description, health->description, sizeof(now.description));
    pthread_mutex_unlock(&health->lock);
    if (now.state == alone->told[number] || !proxy_config_uses(config, number)) {
        return;
    }
    alone->told[number] = now.state;
    CLEANUP(mem_free_ptr)
    char *name = number == PROXY_TARGET_PRIMARY
                     ? mem_strdup("the target")
                     : mem_printf("the replica %s", proxy_config_target(config, number)->id);
    if (now.state == TARGET_AVAILABLE) {
        log_info("proxy", "%s is available", name);
    } else if (now.state == TARGET_UNAVAILABLE) {
        log_warn("proxy", "%s is not available: %s: %s", name, now.reason, now.description);
    }
}

/* Each change of a target's state is a line. */
static void on_look(void *user)
{
    Standalone *alone = user;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        look_at(alone, i);
    }
}

/* The abstract name of a listener's address is in the same network namespace as that address. */
static bool succession_begin(Standalone *alone, const ProxyConfig *config, Err *err)
{
    Proxy *proxy = &alone->proxy;
    char *doors[PROXY_LISTENERS_MAX + 1] = {NULL};
    for (size_t i = 0; i < config->listener_count; i++) {
        const ProxyListener *listener = &config->listeners[i];
        doors[i] = mem_printf("@weir-proxy/%s:%u", listener->address, listener->port);
    }
    SuccessionWhere where = {.doors = (const char *const *)doors, .ask = alone->take_over};
    bool ok = succession_new(proxy->loop, &where, &proxy_succession_handlers, proxy,
                             &proxy->succession, err);
    for (size_t i = 0; i < config->listener_count; i++) {
        mem_free(doors[i]);
    }
    proxy->generation = ok ? succession_generation(proxy->succession) : 0;
    return ok;
}

static bool standalone_start(Standalone *alone, Err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, 0};
    Proxy *proxy = &alone->proxy;
    ProxyConfig *config = NULL;
    json_t *json = NULL;
    plane_raise_file_limit();
    TRY(loop_new(&proxy->loop, err));
    TRY(loop_signals(proxy->loop, signals, on_signal, alone, err));
    TRY(config_read(alone->path, &config, &json, err));
    if (!succession_begin(alone, config, err)) {
        proxy_config_unref(config);
        json_decref(json);
        return false;
    }
    TRY(config_put(alone, config, json, err));
    loop_timer_start(proxy->loop, &proxy->tick, LOOK_MS, LOOK_MS, on_look, alone);
    return true;
}

static int standalone_run(Standalone *alone)
{
    Proxy *proxy = &alone->proxy;
    Err err;
    proxy_init(proxy, "proxy");
    proxy->reload = reload_asked;
    if (standalone_start(alone, &err)) {
        log_info("proxy", "%s is in force", alone->path);
        proxy_notify("READY=1");
        loop_run(proxy->loop);
    } else {
        fprintf(stderr, "weir proxy: %s\n", err.message);
        proxy->exit_code = err_exit_code(err.code);
        if (proxy->workers_running > 0) {
            proxy_stop(proxy);
            loop_run(proxy->loop);
        }
    }
    proxy_done(proxy);
    return proxy->exit_code;
}

/* ---- the command -------------------------------------------------------------------------------
 */

static int standalone_check(const char *path)
{
    ProxyConfig *config = NULL;
    json_t *json = NULL;
    Err err;
    bool ok = config_read(path, &config, &json, &err) &&
              (proxy_config_load(config, NULL, &err) || err_wrap(&err, "%s", path));
    proxy_config_unref(config);
    json_decref(json);
    if (ok) {
        printf("%s is in order\n", path);
        return 0;
    }
    fprintf(stderr, "weir proxy: %s\n", err.message);
    return err_exit_code(err.code);
}

/* False: it has said on stderr what is wrong. */
static bool options_read(Standalone *alone, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'n'},
                                            {"take-over", no_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    int val;
    while ((val = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (val == '?') {
            return false;
        }
        alone->path = val == 'c' ? optarg : alone->path;
        alone->check = alone->check || val == 'n';
        alone->take_over = alone->take_over || val == 't';
        alone->help = alone->help || val == 'h';
    }
    if (!alone->help && (alone->path == NULL || optind < argc)) {
        fputs(usage, stderr);
        return false;
    }
    return true;
}

int proxy_standalone_main(int argc, char **argv)
{
    Standalone alone = {0};
    if (!options_read(&alone, argc, argv)) {
        return err_exit_code(ERR_INVALID);
    }
    if (alone.help) {
        fputs(usage, stdout);
        return 0;
    }
    return alone.check ? standalone_check(alone.path) : standalone_run(&alone);
}
