/*
 * The wiring of a host: one loop, one pool of jobs, the store; on it the agent, control as a job
 * that runs when the store changes, and the API. Ends by signal or by StopTier, and says by its
 * exit status whether it should be started again.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/agent.h"
#include "client/client.h"
#include "engine/engine.h"
#include "serve/serve.h"
#include "serve/serve_priv.h"

#define REQUEST_THREADS_MAX 16 /* of the API and of control */
#define NODE_THREADS_MAX    64 /* nodes at work at a time: a clone may take hours */
#define JOB_QUEUE_MAX       4096
#define NET_FD_MAX          1024
#define EXIT_STOPPED        0
#define EXIT_AGAIN          1
#define EXIT_UNUSABLE       2

typedef struct Serve {
    Tier tier;
    Loop *loop;
    Jobs *jobs;      /* of the API and of control */
    Jobs *node_jobs; /* of the agent */
    Agent *agent;
    ControlRunner *control;
    ApiRunner *api;
    EtcdKeeper *etcd;        /* NULL: the store is not kept by an etcd of Weir's */
    LoopProcess *supervisor; /* NULL: nobody starts us again */
    char *program;
    int exit_code;
    bool stopping;
} Serve;

/* ---- ending ------------------------------------------------------------------------------------
 */

static void on_stopped(void *user)
{
    Serve *serve = user;
    log_info("serve", "the tier is stopped");
    store_hurry(serve->tier.store);
    serve->exit_code = EXIT_STOPPED;
    loop_stop(serve->loop);
}

static void stop_tier(void *user)
{
    Serve *serve = user;
    if (!serve->stopping) {
        serve->stopping = true;
        log_info("serve", "stopping the tier");
        agent_stop_all(serve->agent, on_stopped, serve);
    }
}

/* What it has here is nobody's any more. */
static void leave(Serve *serve, const char *why)
{
    log_error("serve", "%s: all that this host (%s) runs is stopped", why, serve->tier.host);
    serve->tier.removed = true;
    stop_tier(serve);
}

static void on_removed(void *user)
{
    leave(user, "it was removed from its tier");
}

static void on_past(void *user)
{
    Serve *serve = user;
    if (!serve->stopping) {
        leave(serve, "its tier has gone on without it");
    }
}

/* The next one finds everything as it is. */
static void end(Serve *serve)
{
    log_info("serve", "ending; engines and endpoints stay up");
    store_hurry(serve->tier.store);
    serve->exit_code = EXIT_AGAIN;
    loop_stop(serve->loop);
}

/* The store moves then, or has. */
static void on_again(void *user)
{
    Serve *serve = user;
    if (!serve->stopping) {
        end(serve);
    }
}

static void on_signal(void *user, int signo)
{
    if (signo == SIGINT) {
        stop_tier(user);
    } else {
        end(user);
    }
}

/* ---- starting ----------------------------------------------------------------------------------
 */

static bool agent_start(Serve *serve, Err *err)
{
    const AgentOptions options = {
        .loop = serve->loop,
        .jobs = serve->node_jobs,
        .store = serve->tier.store,
        .program = serve->program,
        .data_dir = serve->tier.data_dir,
        .run_dir = serve->tier.run_dir,
        .net = serve->tier.net,
        .net_fd = serve->tier.mark_fd >= 0 ? serve->tier.mark_fd : 0,
        .host = serve->tier.host,
        .master_key = serve->tier.master_key,
        .ca_cert_pem = buf_slice(&serve->tier.ca_cert_pem),
        .ca_key_pem = secret_reveal(&serve->tier.ca_key_pem),
        .on_removed = on_removed,
        .user = serve,
    };
    return agent_new(&options, &serve->agent, err);
}

static bool serve_start(Serve *serve, Err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};
    TRY(loop_new(&serve->loop, err));
    TRY(loop_signals(serve->loop, signals, on_signal, serve, err));
    TRY(jobs_new(serve->loop, REQUEST_THREADS_MAX, JOB_QUEUE_MAX, &serve->jobs, err));
    TRY(jobs_new(serve->loop, NODE_THREADS_MAX, JOB_QUEUE_MAX, &serve->node_jobs, err));
    /* The API's addresses first: no engine is started for an API that nobody can reach. It answers
     * nothing before the loop runs. */
    const ApiRunnerEvents events = {.stop = stop_tier, .again = on_again, .user = serve};
    TRY(tier_publish(&serve->tier, err) &&
        api_runner_new(serve->loop, serve->jobs, &serve->tier, &events, &serve->api, err) &&
        agent_start(serve, err) &&
        control_runner_new(serve->loop, serve->jobs, &serve->tier, serve->agent, &serve->control,
                           err));
    if (tier_etcd_is_own(&serve->tier)) {
        const EtcdKeeperEvents seen = {.past = on_past, .other = on_again, .user = serve};
        serve->etcd = etcd_keeper_new(serve->loop, &serve->tier, serve->agent, &seen, err);
        TRY(serve->etcd != NULL);
    }
    api_runner_set_hosts(serve->api, serve->agent, serve->etcd);
    return true;
}

/* ---- the supervisor ----------------------------------------------------------------------------
 */

/* Another one, which takes us over, and our net with it. */
static void on_supervisor_end(void *user, const ProcessExit *end)
{
    Serve *serve = user;
    char pid[16];
    (void)end;
    serve->supervisor = NULL;
    if (serve->stopping) {
        return;
    }
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    const char *const argv[] = {serve->program, "supervise", "--data", serve->tier.data_dir,
                                "--adopt",      pid,         NULL};
    const SpawnSpec spec = {.argv = argv,
                            .cwd = "/",
                            .held_fd = serve->tier.net_fd >= 0 ? serve->tier.net_fd : 0,
                            .log_fd = STDERR_FILENO};
    Err err;
    pid_t supervisor;
    log_warn("serve", "the supervisor has ended; another one is started");
    if (!process_spawn(&spec, &supervisor, NULL, &err) ||
        !loop_process_watch(serve->loop, supervisor, on_supervisor_end, serve, &serve->supervisor,
                            &err)) {
        log_error("serve", "nobody looks after us: %s", err.message);
    }
}

/* Our parent, where we have one that starts us again. */
static void supervisor_watch(Serve *serve, bool supervised)
{
    if (supervised && !loop_process_watch(serve->loop, getppid(), on_supervisor_end, serve,
                                          &serve->supervisor, NULL)) {
        on_supervisor_end(serve, NULL); /* it ended before we looked */
    }
}

/* The store's own member goes last. */
static void etcd_end(Serve *serve)
{
    Err err;
    store_close(serve->tier.store);
    serve->tier.store = NULL;
    if (!etcd_own_stop(&serve->tier, &err)) {
        log_error("serve", "etcd: %s", err.message);
    }
}

/* Jobs first: whatever still runs may use everything else. */
static void serve_end(Serve *serve)
{
    bool stopped = serve->exit_code == EXIT_STOPPED;
    jobs_free(serve->jobs);
    jobs_free(serve->node_jobs);
    etcd_keeper_free(serve->etcd);
    api_runner_free(serve->api);
    control_runner_free(serve->control);
    agent_free(serve->agent);
    loop_process_unwatch(serve->supervisor);
    loop_free(serve->loop);
    if (serve->tier.removed) { /* also what no goal names any more */
        tier_halt(serve->tier.run_dir);
    }
    if (stopped) {
        etcd_end(serve);
        tier_run_remove(&serve->tier);
    }
    tier_close(&serve->tier);
    mem_free(serve->program);
}

/* As many descriptors as we may have: connections are bounded by their owners. */
static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* What trying again does not cure. */
static int exit_code_of(const Err *err)
{
    bool lasting = err->code == ERR_INVALID || err->code == ERR_DENIED ||
                   err->code == ERR_CONFLICT || err->code == ERR_EXISTS ||
                   err->code == ERR_NOT_FOUND || err->os_errno == EADDRINUSE ||
                   err->os_errno == EADDRNOTAVAIL || err->os_errno == ENOSPC;
    return lasting ? EXIT_UNUSABLE : EXIT_AGAIN;
}

/* Engines outlive serve: those of a host that was removed meanwhile are nobody's. */
static void halt_removed(const char *data_dir)
{
    CLEANUP(mem_free_ptr) char *run_dir = tier_run_dir(data_dir);
    Err err;
    if (run_dir == NULL) {
        return;
    }
    tier_halt(run_dir);
    if (!tree_remove(run_dir, &err)) {
        log_warn("serve", "%s", err.message);
    }
}

static int serve_run(const char *data_dir, int net_fd)
{
    Err err;
    Serve serve = {.exit_code = EXIT_AGAIN};
    if (!tier_open(data_dir, net_fd, &serve.tier, &err)) {
        if (serve.tier.removed) {
            halt_removed(data_dir);
        }
        log_error("serve", "%s: %s", err_code_name(err.code), err.message); /* for weir up, too */
        return serve.tier.removed ? EXIT_STOPPED : exit_code_of(&err);
    }
    serve.program = file_own_program();
    raise_limits();
    if (serve_start(&serve, &err)) {
        supervisor_watch(&serve, net_fd >= 0);
        log_info("serve", "tier %s is up on %s.0.0/16", serve.tier.id, serve.tier.net);
        loop_run(serve.loop);
    } else {
        log_error("serve", "%s: %s", err_code_name(err.code), err.message);
        serve.exit_code = exit_code_of(&err);
        if (serve.exit_code == EXIT_UNUSABLE) {
            tier_etcd_take_back(&serve.tier);
        }
    }
    serve_end(&serve);
    return serve.exit_code;
}

/* The exit status, where it cannot. */
static int join(const char *data_dir, JoinWish *wish)
{
    Err err;
    wish->no_engines = wish->no_engines || !engine_all_installed(NULL);
    if (client_join(data_dir, wish, &err)) {
        return 0;
    }
    log_error("serve", "%s: %s", err_code_name(err.code), err.message);
    return exit_code_of(&err);
}

int serve_main(int argc, char **argv)
{
    static const struct option options[] = {{"data", required_argument, NULL, 'd'},
                                            {"net-fd", required_argument, NULL, 'n'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {"join", required_argument, NULL, 'j'},
                                            {"name", required_argument, NULL, 'N'},
                                            {"zone", required_argument, NULL, 'z'},
                                            {"net", required_argument, NULL, 'a'},
                                            {"no-engines", no_argument, NULL, 'e'},
                                            {0}};
    const char *data_dir = NULL;
    int64_t net_fd = -1;
    JoinWish wish = {.name = "", .zone = "", .net = ""};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'd') {
            data_dir = optarg;
        } else if (option == 'n' && str_to_i64(slice_of(optarg), &net_fd) && net_fd > 2 &&
                   net_fd <= NET_FD_MAX) {
            fcntl((int)net_fd, F_SETFD, FD_CLOEXEC);
        } else if (option == 'v') {
            log_set_level(LOG_DEBUG);
        } else if (option == 'j') {
            wish.token = optarg;
        } else if (option == 'N') {
            wish.name = optarg;
        } else if (option == 'z') {
            wish.zone = optarg;
        } else if (option == 'a') {
            wish.net = optarg;
        } else if (option == 'e') {
            wish.no_engines = true;
        } else {
            return EXIT_UNUSABLE;
        }
    }
    if (data_dir == NULL || optind != argc) {
        fputs("usage: weir serve --data DIR [--verbose]\n"
              "                  [--join TOKEN --name NAME --zone ZONE [--net NET]\n"
              "                   [--no-engines]]\n",
              stderr);
        return EXIT_UNUSABLE;
    }
    int joined = wish.token != NULL ? join(data_dir, &wish) : 0;
    if (joined != 0) {
        return joined;
    }
    return serve_run(data_dir, (int)net_fd);
}
