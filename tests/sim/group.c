/* A group's run: what the parts that it has in common with a cluster's ask of it. */
#include "group_sim.h"

static void begin(World *w)
{
    GroupSim *group = mem_alloc(sizeof(GroupSim));
    *group = (GroupSim){.automatic = w->profile == PROFILE_SINGLE || chance(w, 850),
                        .durable = chance(w, 550)};
    w->group = group;
    w->strict = group->durable && chance(w, 500);
    w->storm_us = w->storm_us * 2 / 3; /* both runs of a seed are to be fast */
    vec_push(&group->writes, (GroupWrite){.mark = MARK_PING});
    vec_push(&group->ops, (GroupOp){.state = GROUP_OP_OVER});
    trace(w, "a group, %s, %s automatic failover",
          w->strict        ? "strict"
          : group->durable ? "available"
                           : "plain",
          group->automatic ? "with" : "without");
    for (int i = 0; i < SIM_NODES; i++) {
        group->redis[i].source.node = -1;
        group->redis[i].backlog = -1;
        for (int j = 0; j < SIM_PROXIES; j++) {
            group->redis[i].waits[j].front = -1;
        }
    }
    group_control_begin(w);
    for (int i = 0; i < (w->one_host ? 1 : w->nodes_len); i++) {
        group_agent_start(w, i);
    }
    for (int i = 0; i < w->proxies_len; i++) {
        group->fronts[i].host = w->one_host ? 0 : i;
        front_start(w, i);
    }
    group_fence_begin(w);
    group_client_begin(w);
}

static void end(World *w)
{
    GroupSim *group = w->group;
    for (int i = 0; i < SIM_NODES; i++) {
        Redis *redis = &group->redis[i];
        vec_done(&redis->source.pipe);
        vec_done(&redis->source.copy);
        vec_done(&redis->senders);
        data_done(&redis->old);
    }
    vec_done(&group->writes);
    vec_done(&group->ops);
    vec_done(&group->acked);
    vec_done(&group->acting);
    vec_done(&group->planned_terms);
    mem_free(group);
}

static void record_read(World *w, const json_t *json)
{
    Err err = {0};
    bool parsed = group_record_parse(json, &w->store.now.group, &err);
    ASSERT(parsed);
}

static void record_put(const void *record, json_t *json)
{
    group_record_put(record, json);
}

static void *record_of(Snapshot *snap)
{
    return &snap->group;
}

static int64_t term(const Snapshot *snap)
{
    return snap->group.term;
}

static void *seen(Snapshot *snap, int node)
{
    return &snap->said[node];
}

static void *goal(Snapshot *snap, int node)
{
    return &snap->wants[node];
}

static int leader(const World *w)
{
    return node_by_id(w, &w->store.now.group.leader);
}

static void said(World *w, int node, int64_t since)
{
    (void)w;
    (void)node;
    (void)since;
}

const SimKind group_kind = {
    .name = "group",
    .key = "cluster/rg-g",
    .begin = begin,
    .end = end,
    .record_read = record_read,
    .record_put = record_put,
    .record = record_of,
    .record_changed = group_check_record,
    .term = term,
    .seen = seen,
    .seen_size = sizeof(GroupSeen),
    .goal = goal,
    .goal_size = sizeof(GroupGoal),
    .leader = leader,
    .agent_start = group_agent_start,
    .heard = group_agent_heard,
    .was_read = group_agent_read,
    .written = group_agent_written,
    .said = said,
    .beaten = group_fence_taken,
    .faults = group_faults,
    .faults_len = SIM_GROUP_FAULTS,
    .faults_lost = 1,
    .host_off = group_host_off,
    .host_on = group_host_on,
    .serves = group_serves,
    .admit = group_admit,
    .stays = group_stays,
    .copy_made = group_copy_made,
    .copy_taken = group_copy_taken,
    .calm = group_calm,
    .settled = group_check_settled,
    .not_settled = group_check_not_settled,
    .check_end = group_check_end,
};
