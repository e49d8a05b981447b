/*
 * When control runs: a watch on the whole store wakes it, a timer makes sure of it. Of several
 * hosts one has the lease; the others look each second whether it is free.
 */
#include <unistd.h>

#include "serve/serve_priv.h"

#define ROUND_MS      1000 /* at the latest, while nothing changes */
#define ROUND_BUSY_MS 200  /* while something is on its way */
#define TRIM_EVERY    600  /* rounds */
#define LEASE_MS      5000
#define LEASE_KEY     "control"

struct ControlRunner {
    Loop *loop;
    Jobs *jobs;
    const Tier *tier;
    StoreWatch *watch;
    LoopFd *watch_fd;
    LoopTimer timer;
    bool in_job;
    bool again;   /* something changed during the round */
    bool busy;    /* the round's result; the job's while in_job */
    Agent *agent; /* knows the hosts */
    unsigned rounds;
    int64_t lease; /* the round's; 0: another host's control works, or nobody's */
};

static void round_start(ControlRunner *runner);

/* ---- whose turn it is --------------------------------------------------------------------------
 */

static void lease_drop(Store *store, int64_t lease)
{
    if (lease != 0 && !store_lease_revoke(store, lease, NULL)) {
        log_debug("control", "the lease ends by itself");
    }
}

/* False also where the store does not say: the next look tells. */
static bool lease_take(ControlRunner *runner)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *record = json_pack("{s:s}", "host", runner->tier->host);
    Store *store = runner->tier->store;
    const StoreCompare absent = {.key = SLICE(LEASE_KEY), .revision = 0};
    StoreWrite write = {
        .kind = STORE_PUT, .key = SLICE(LEASE_KEY), .value = record_format(arena, record)};
    const StoreTxn txn = {
        .compares = &absent, .compares_len = 1, .writes = &write, .writes_len = 1};
    bool taken = false;
    int64_t revision;
    if (!store_lease_grant(store, LEASE_MS, &write.lease, NULL)) {
        return false;
    }
    if (store_txn(store, &txn, &taken, &revision, NULL) && taken) {
        log_info("control", "this host's control works");
        runner->lease = write.lease;
        return true;
    }
    lease_drop(store, write.lease);
    return false;
}

/* Whether this round is ours. */
static bool lease_hold(ControlRunner *runner, size_t hosts)
{
    if (hosts <= 1 ||
        (runner->lease != 0 && store_lease_keepalive(runner->tier->store, runner->lease, NULL))) {
        return true;
    }
    runner->lease = 0;
    return lease_take(runner);
}

static void round_run(void *arg, const Job *job)
{
    (void)job;
    ControlRunner *runner = arg;
    AgentHost seen[HOSTS_MAX];
    ControlHost hosts[HOSTS_MAX];
    size_t hosts_len = agent_hosts(runner->agent, seen);
    runner->busy = false;
    if (hosts_len == 0) { /* this host is none of the tier any more */
        lease_drop(runner->tier->store, runner->lease);
        runner->lease = 0;
        return;
    }
    if (!lease_hold(runner, hosts_len)) {
        return;
    }
    for (size_t i = 0; i < hosts_len; i++) {
        hosts[i] = (ControlHost){.name = seen[i].name,
                                 .zone = seen[i].zone,
                                 .alive = seen[i].alive,
                                 .agent = seen[i].agent,
                                 .draining = seen[i].draining,
                                 .engines = seen[i].engines,
                                 .silent_ms = seen[i].silent_ms,
                                 .memory_bytes = seen[i].memory_bytes};
    }
    const ControlFacts facts = {.host = runner->tier->host,
                                .hosts = hosts,
                                .hosts_len = hosts_len,
                                .master_key = runner->tier->master_key,
                                .now_ms = time_wall_ms()};
    Err err;
    runner->busy = true;
    if (!control_round(runner->tier->store, &facts, &runner->busy, &err)) {
        log_warn("control", "%s", err.message);
    }
    if (runner->rounds++ % TRIM_EVERY == 0 && !control_trim_events(runner->tier->store, &err)) {
        log_warn("control", "trimming events: %s", err.message);
    }
}

static void on_timer(void *user)
{
    round_start(user);
}

static void round_done(void *arg)
{
    ControlRunner *runner = arg;
    runner->in_job = false;
    if (runner->again) {
        round_start(runner);
    } else {
        loop_timer_start(runner->loop, &runner->timer, runner->busy ? ROUND_BUSY_MS : ROUND_MS, 0,
                         on_timer, runner);
    }
}

static void round_start(ControlRunner *runner)
{
    if (runner->in_job) {
        runner->again = true;
        return;
    }
    loop_timer_stop(&runner->timer);
    runner->again = false;
    Err err;
    runner->in_job = jobs_submit(runner->jobs, round_run, round_done, runner, NULL, &err);
    if (!runner->in_job) {
        log_warn("control", "waits: %s", err.message);
        loop_timer_start(runner->loop, &runner->timer, ROUND_MS, 0, on_timer, runner);
    }
}

static void on_watch(void *user, uint32_t events)
{
    (void)events;
    ControlRunner *runner = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreChange change;
    while (store_watch_next(runner->watch, arena, &change) != STORE_WATCH_NOTHING) {
        arena_reset(arena);
    }
    round_start(runner);
}

bool control_runner_new(Loop *loop, Jobs *jobs, const Tier *tier, Agent *agent,
                        ControlRunner **ret_runner, Err *err)
{
    ControlRunner *runner = mem_alloc(sizeof(ControlRunner));
    runner->loop = loop;
    runner->jobs = jobs;
    runner->tier = tier;
    runner->agent = agent;
    if (!store_watch(tier->store, SLICE(""), 0, &runner->watch, err) ||
        !loop_fd_add(loop, store_watch_fd(runner->watch), EPOLLIN, on_watch, runner,
                     &runner->watch_fd, err)) {
        control_runner_free(runner);
        return false;
    }
    round_run(runner, NULL); /* nobody is told of yesterday's statuses */
    round_start(runner);
    *ret_runner = runner;
    return true;
}

void control_runner_free(ControlRunner *runner)
{
    if (runner == NULL) {
        return;
    }
    loop_timer_stop(&runner->timer);
    loop_fd_remove(runner->watch_fd);
    store_watch_close(runner->watch);
    lease_drop(runner->tier->store, runner->lease);
    mem_free(runner);
}
