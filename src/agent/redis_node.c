/*
 * A Redis node: configuration -> guard -> serving -> observe. Its data folder needs no preparation:
 * an empty one is a valid start, and a replica fills itself. Changes of the goal are applied while
 * it runs; what only a start can change restarts it when the goal's reboot_epoch moves.
 */
#include <inttypes.h>

#include "agent/node_priv.h"

#define IDLE_MS 1000
#define SOON_MS 100

typedef struct RedisNode {
    NodeRun *run;
    RedisSpec spec;
    Secret admin;
    Secret replication;
    Secret client;
} RedisNode;

static void redis_node_done(RedisNode *node)
{
    secret_done(&node->admin);
    secret_done(&node->replication);
    secret_done(&node->client);
}

static bool unseal_passwords(RedisNode *node, Err *err)
{
    const json_t *goal = node->run->goal;
    const char *context = member_str(goal, "passwords_context", "");
    TRY(node_unseal(node->run, member_str(goal, "admin_password", ""), context, &node->admin, err));
    TRY(node_unseal(node->run, member_str(goal, "replication_password", ""), context,
                    &node->replication, err));
    return node_unseal(node->run, member_str(goal, "client_password", ""), context, &node->client,
                       err);
}

static bool redis_node_init(RedisNode *node, NodeRun *run, Err *err)
{
    *node = (RedisNode){.run = run};
    TRY(unseal_passwords(node, err));
    RedisSpec *spec = &node->spec;
    spec->paths = run->paths;
    spec->listen_address = node_address(run, member_str(run->goal, "address", ""));
    spec->admin_password = secret_reveal(&node->admin).data;
    spec->replication_password = secret_reveal(&node->replication).data;
    spec->client_password = secret_reveal(&node->client).data;
    spec->maxmemory_bytes = member_int(run->goal, "maxmemory_bytes", 0);
    node_settings(run, &spec->settings, &spec->settings_len);
    if (strcmp(member_str(run->goal, "role", ""), "primary") != 0) {
        spec->source_address = node_address(run, member_str(run->goal, "source_address", ""));
    }
    return engine_account("redis", &spec->account, err);
}

static bool start(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    TRY(redis_install_find(run->arena, &node->spec.install, err));
    TRY(node_dirs(run, &node->spec.account, REDIS_REPLICATION_USER, err));
    bool ignored = false;
    TRY(redis_configure(&node->spec, &ignored, err));
    if (run->work->incarnation[0] == '\0') {
        char incarnation[17];
        random_id(incarnation, sizeof(incarnation) - 1);
        TRY(node_mark_prepared(run, incarnation, HA_DATA_NEW, err));
    }
    run->work->reboot_epoch = member_int(run->goal, "reboot_epoch", 0);
    node_seen_set(run, "starting", run->work->incarnation);
    return node_guard_start(run, redis_argv(run->arena, &node->spec), &node->spec.account, err);
}

static bool serve(RedisNode *node, bool *ret_busy, Err *err)
{
    NodeRun *run = node->run;
    bool changed = false;
    bool renewed = false;
    TRY(redis_configure(&node->spec, &changed, err));
    TRY(node_certs_renew(run, &node->spec.account, REDIS_REPLICATION_USER, &renewed, err));
    run->work->applied = run->work->applied && !changed && !renewed;
    if (!run->work->applied) {
        TRY(redis_apply(&node->spec, err));
        run->work->applied = true;
    }
    RedisSeen seen;
    TRY(redis_observe(&node->spec, &seen, err));
    bool replica = node->spec.source_address != NULL;
    bool serves = !seen.loading && (!replica || seen.link_up);
    node_seen_set(run, serves ? "running" : "starting", run->work->incarnation);
    json_object_set_new(run->seen, "role", json_string(seen.is_replica ? "replica" : "primary"));
    json_object_set_new(run->seen, "link_up", json_boolean(seen.link_up));
    json_object_set_new(run->seen, "replicas", json_integer(seen.replicas));
    *ret_busy = !serves;
    return true;
}

static int64_t redis_node_act(RedisNode *node, Err *err)
{
    NodeRun *run = node->run;
    NodeWork *work = run->work;
    int64_t epoch = member_int(run->goal, "reboot_epoch", 0);
    bool running = node_guard_runs(run);
    if (running && work->reboot_epoch < 0) {
        work->reboot_epoch = node_seen_before(run, "reboot_epoch", epoch);
    }
    if (!running) {
        work->applied = true; /* the files that it starts with say it all */
        return start(node, err) ? SOON_MS : -1;
    }
    if (work->reboot_epoch != epoch) {
        return node_guard_stop(run, err) ? SOON_MS : -1;
    }
    bool busy = false;
    if (!serve(node, &busy, err)) {
        return -1;
    }
    run->settled = !busy;
    return busy ? SOON_MS : IDLE_MS;
}

int64_t redis_node_step(NodeRun *run, Err *err)
{
    RedisNode node;
    int64_t again = redis_node_init(&node, run, err) ? redis_node_act(&node, err) : -1;
    redis_node_done(&node);
    return again;
}
