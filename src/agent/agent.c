/*
 * The agent's loop side: which nodes and planes there are, and when each is looked at. The store's
 * watch says what changed; a node's job runs on the pool, one at a time per node, and comes back
 * with the time of its next look; a guard that ends wakes its node at once.
 */
#include <stdio.h>
#include <unistd.h>

#include "agent/fence_priv.h"
#include "agent/hosts/hosts_priv.h"
#include "agent/mirror_priv.h"
#include "agent/plane/planes_priv.h"

#define GOALS_MAX            1000 /* per range; more are read in steps */
#define STOP_POLL_MS         100
#define WATCH_PREFIX_NODE    "node/"
#define WATCH_PREFIX_CLUSTER "cluster/"

typedef struct AgentNode {
    Agent *agent;
    NodeWork work;
    char *goal_text; /* NULL: the goal is gone from the store */
    char *job_goal;  /* what the job in progress works on */
    int64_t again_ms;
    bool in_job;
    Job *job;    /* while in_job */
    bool wake;   /* asked for while a job was in progress */
    bool failed; /* the last step: only its timer, its guard or a new goal wake it */
    LoopTimer timer;
    LoopProcess *guard;
    Fence *fence;
} AgentNode;

struct Agent {
    AgentOptions options;
    Map *nodes; /* id -> AgentNode */
    Planes *planes;
    StoreWatch *node_watch, *cluster_watch;
    LoopFd *node_watch_fd, *cluster_watch_fd;
    bool stopping;
    LoopTimer stop_timer;
    void (*stop_done)(void *user);
    void *stop_user;
};

static void node_wake(AgentNode *node);

/* ---- one node ---------------------------------------------------------------------------------
 */

static void node_job_run(void *arg, const Job *job)
{
    AgentNode *node = arg;
    node->work.job = job;
    node->again_ms = node_step(&node->work, slice_of(node->job_goal));
}

static void node_free(AgentNode *node)
{
    loop_timer_stop(&node->timer);
    loop_process_unwatch(node->guard);
    fence_free(node->fence);
    map_remove(node->agent->nodes, slice_of(node->work.id));
    node_work_done(&node->work);
    mem_free(node->goal_text);
    mem_free(node->job_goal);
    mem_free(node);
}

static void on_guard_end(void *user, const ProcessExit *end)
{
    (void)end;
    AgentNode *node = user;
    node->guard = NULL;
    node_wake(node);
}

static void guard_watch(AgentNode *node)
{
    const AgentOptions *options = &node->agent->options;
    pid_t pid;
    if (node->guard == NULL && guard_find(options->run_dir, node->work.id, &pid, NULL) &&
        !loop_process_watch(options->loop, pid, on_guard_end, node, &node->guard, NULL)) {
        node->wake = true; /* it ended between the two calls */
    }
}

static void on_timer(void *user)
{
    node_wake(user);
}

static void node_job_done(void *arg)
{
    AgentNode *node = arg;
    node->in_job = false;
    node->failed = node->work.failures > 0;
    if (node->goal_text == NULL) {
        node_free(node);
        return;
    }
    guard_watch(node);
    if (node->work.rivals_known) {
        fence_want(node->fence, node->work.has_rival, node->work.redis, node->work.zone);
    }
    if (node->wake) {
        node->wake = false;
        node_wake(node);
        return;
    }
    loop_timer_start(node->agent->options.loop, &node->timer, node->again_ms, 0, on_timer, node);
}

static void node_wake(AgentNode *node)
{
    if (node->in_job) {
        node->wake = true;
        return;
    }
    loop_timer_stop(&node->timer);
    mem_free(node->job_goal);
    node->job_goal = mem_strdup(node->goal_text);
    node->work.fenced = fence_holds(node->fence);
    Err err;
    if (!jobs_submit(node->agent->options.jobs, node_job_run, node_job_done, node, &node->job,
                     &err)) {
        log_warn("agent", "node %s waits: %s", node->work.id, err.message);
        loop_timer_start(node->agent->options.loop, &node->timer, MS_PER_S, 0, on_timer, node);
        return;
    }
    node->in_job = true;
}

/* What a node that shall end need not finish first: a clone may take hours. */
static void node_cancel(AgentNode *node)
{
    if (node->in_job) {
        job_cancel(node->job);
    }
}

static void node_goal_drop(Agent *agent, Slice id)
{
    AgentNode *node = map_get(agent->nodes, id);
    if (node == NULL) {
        return;
    }
    mem_free(node->goal_text);
    node->goal_text = NULL;
    if (!node->in_job) {
        node_free(node);
    }
}

static void node_goal_set(Agent *agent, Slice id, Slice goal)
{
    AgentNode *node = map_get(agent->nodes, id);
    CLEANUP(record_free_ptr) json_t *record = NULL;
    if (!record_parse(goal, &record, NULL)) {
        return;
    }
    if (strcmp(member_str(record, "host", ""), agent->options.host) != 0) {
        node_goal_drop(agent, id); /* it was ours, and is made anew elsewhere */
        return;
    }
    if (node == NULL) {
        if (id.len > NODE_ID_MAX) {
            return;
        }
        node = mem_alloc(sizeof(AgentNode));
        node->agent = agent;
        node->work.options = &agent->options;
        node->work.password_epoch = -1;
        node->work.reboot_epoch = -1;
        node->work.stop_asked = agent->stopping;
        memcpy(node->work.id, id.data, id.len);
        node->fence = node->work.fence = fence_new(&agent->options, node->work.id);
        map_set(agent->nodes, id, node);
    }
    mem_free(node->goal_text);
    node->goal_text = mem_printf("%.*s", SLICE_FMT(goal));
    if (member_bool(record, "gone", false) || !member_bool(record, "run", true)) {
        node_cancel(node);
    }
    node_wake(node);
}

/* ---- the store's watch ------------------------------------------------------------------------
 */

/* "node/ID/goal" -> ID; false for other keys. */
static bool goal_key_id(Slice key, const char *prefix, Slice *ret_id)
{
    if (!slice_starts(key, prefix) || !slice_ends(key, "/goal")) {
        return false;
    }
    *ret_id = slice_from(key.data + strlen(prefix), key.len - strlen(prefix) - strlen("/goal"));
    return ret_id->len > 0;
}

/* A node waits for what its neighbours report: their source to serve, a standby to stream. */
static void neighbours_wake(Agent *agent, Slice id, bool failed_too)
{
    CLEANUP(mem_free_ptr) char *quoted = mem_printf("\"%.*s\"", SLICE_FMT(id));
    size_t cursor = 0;
    Slice name;
    void *value;
    while (map_next(agent->nodes, &cursor, &name, &value)) {
        AgentNode *node = value;
        if ((failed_too || !node->failed) && node->goal_text != NULL &&
            strstr(node->goal_text, quoted) != NULL) {
            node_wake(node);
        }
    }
}

static void node_change(Agent *agent, const StoreChange *change)
{
    Slice id;
    if (slice_ends(change->item.key, "/seen")) {
        Slice key = change->item.key;
        neighbours_wake(
            agent,
            slice_from(key.data + strlen("node/"), key.len - strlen("node/") - strlen("/seen")),
            false);
        return;
    }
    if (!goal_key_id(change->item.key, WATCH_PREFIX_NODE, &id)) {
        return;
    }
    if (change->kind == STORE_DELETE) {
        node_goal_drop(agent, id);
    } else {
        node_goal_set(agent, id, change->item.value);
    }
}

static bool nodes_load(Agent *agent, int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice after = {0};
    for (bool first = true;; first = false) {
        StoreRange range;
        TRY(store_range(agent->options.store, SLICE(WATCH_PREFIX_NODE), after, GOALS_MAX, arena,
                        &range, err));
        if (first) { /* what changed since then is told by the watch */
            *ret_revision = range.revision;
        }
        for (size_t i = 0; i < range.len; i++) {
            const StoreChange change = {.kind = STORE_PUT, .item = range.items[i]};
            node_change(agent, &change);
        }
        if (!range.more) {
            return true;
        }
        after = range.items[range.len - 1].key;
    }
}

static void on_node_watch(void *user, uint32_t events)
{
    (void)events;
    Agent *agent = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (;;) {
        StoreChange change;
        switch (store_watch_next(agent->node_watch, arena, &change)) {
        case STORE_WATCH_NOTHING:
            return;
        case STORE_WATCH_CHANGE:
            node_change(agent, &change);
            break;
        case STORE_WATCH_RESYNC: {
            int64_t revision;
            Err err;
            if (!nodes_load(agent, &revision, &err)) {
                log_error("agent", "cannot read the goals again: %s", err.message);
            }
            break;
        }
        }
        arena_reset(arena);
    }
}

/* Who leads, or may: all nodes of the cluster look at it at once. */
static void on_cluster_watch(void *user, uint32_t events)
{
    (void)events;
    Agent *agent = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreChange change;
    StoreWatchResult result;
    while ((result = store_watch_next(agent->cluster_watch, arena, &change)) !=
           STORE_WATCH_NOTHING) {
        if (result == STORE_WATCH_CHANGE) { /* what is lost, their timers make up for */
            neighbours_wake(agent, slice_skip(change.item.key, strlen(WATCH_PREFIX_CLUSTER)), true);
        }
        arena_reset(arena);
    }
}

/* Of hosts, nodes or clusters. */
static void on_change(void *user)
{
    Agent *agent = user;
    if (agent->planes != NULL) {
        planes_look(agent->planes);
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

static bool watches_start(Agent *agent, int64_t revision, Err *err)
{
    Store *store = agent->options.store;
    Loop *loop = agent->options.loop;
    return store_watch(store, SLICE(WATCH_PREFIX_NODE), revision, &agent->node_watch, err) &&
           store_watch(store, SLICE(WATCH_PREFIX_CLUSTER), revision, &agent->cluster_watch, err) &&
           loop_fd_add(loop, store_watch_fd(agent->node_watch), EPOLLIN, on_node_watch, agent,
                       &agent->node_watch_fd, err) &&
           loop_fd_add(loop, store_watch_fd(agent->cluster_watch), EPOLLIN, on_cluster_watch, agent,
                       &agent->cluster_watch_fd, err);
}

bool agent_new(const AgentOptions *options, Agent **ret_agent, Err *err)
{
    Agent *agent = mem_alloc(sizeof(Agent));
    agent->options = *options;
    random_id(agent->options.agent_id, sizeof(agent->options.agent_id) - 1);
    agent->nodes = map_new();
    int64_t revision = 0;
    bool ok =
        hosts_new(&agent->options, on_change, agent, &agent->options.hosts, err) &&
        mirror_new(options->loop, options->store, on_change, agent, &agent->options.mirror, err) &&
        planes_new(&agent->options, &agent->planes, err) && nodes_load(agent, &revision, err) &&
        watches_start(agent, revision, err);
    if (!ok) {
        agent_free(agent);
        return false;
    }
    *ret_agent = agent;
    return true;
}

/* The jobs must be over: free the pool first. */
void agent_free(Agent *agent)
{
    if (agent == NULL) {
        return;
    }
    loop_timer_stop(&agent->stop_timer);
    loop_fd_remove(agent->node_watch_fd);
    loop_fd_remove(agent->cluster_watch_fd);
    store_watch_close(agent->node_watch);
    store_watch_close(agent->cluster_watch);
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(agent->nodes, &cursor, &id, &value)) {
        node_free(value);
        cursor = 0;
    }
    map_free(agent->nodes);
    planes_free(agent->planes);
    mirror_free(agent->options.mirror);
    hosts_free(agent->options.hosts);
    mem_free(agent);
}

size_t agent_hosts(Agent *agent, AgentHost out[static HOSTS_MAX])
{
    return hosts_list(agent->options.hosts, out);
}

/* ---- stopping the tier ------------------------------------------------------------------------
 */

static bool node_is_primary(const AgentNode *node)
{
    json_t *goal = NULL;
    bool primary = node->goal_text != NULL &&
                   record_parse(slice_of(node->goal_text), &goal, NULL) &&
                   strcmp(member_str(goal, "role", ""), "primary") == 0;
    json_decref(goal);
    return primary;
}

static bool node_is_down(const AgentNode *node)
{
    pid_t pid;
    return !node->in_job && !guard_find(node->agent->options.run_dir, node->work.id, &pid, NULL);
}

/* Asks the nodes of one kind to stop; true when all of them are down. */
static bool nodes_stop(Agent *agent, bool primaries)
{
    bool down = true;
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(agent->nodes, &cursor, &id, &value)) {
        AgentNode *node = value;
        if (node_is_primary(node) != primaries) {
            continue;
        }
        if (!node->work.stop_asked && node->in_job) {
            node_cancel(node);
        } else if (!node->work.stop_asked) {
            node->work.stop_asked = true;
            node_wake(node);
        }
        down = down && node->work.stop_asked && node_is_down(node);
    }
    return down;
}

/* First those who talk to engines, then primaries (their last WAL reaches whoever follows), then
 * the rest. */
static void on_stop_timer(void *user)
{
    Agent *agent = user;
    if (planes_stop(agent->planes) && nodes_stop(agent, true) && nodes_stop(agent, false)) {
        loop_timer_stop(&agent->stop_timer);
        agent->stop_done(agent->stop_user);
    }
}

void agent_stop_all(Agent *agent, void (*done)(void *user), void *user)
{
    agent->stopping = true;
    agent->stop_done = done;
    agent->stop_user = user;
    loop_timer_start(agent->options.loop, &agent->stop_timer, 1, STOP_POLL_MS, on_stop_timer,
                     agent);
}
