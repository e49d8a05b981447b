/* A cluster's run: what the parts that it has in common with a group's ask of it. */
#include "sim.h"

static void begin(World *w)
{
    for (int i = 0; i < w->nodes_len; i++) {
        w->nodes[i].engine.receiver.source = -1;
        w->nodes[i].doubt_at = -20 * S;
    }
    control_begin(w);
    for (int i = 0; i < (w->one_host ? 1 : w->nodes_len); i++) {
        agent_start(w, i);
    }
    for (int i = 0; i < w->proxies_len; i++) {
        w->proxies[i].host = w->one_host ? 0 : i;
        proxy_start(w, i);
    }
    client_begin(w);
}

static void end(World *w)
{
    (void)w;
}

static void record_read(World *w, const json_t *json)
{
    Err err = {0};
    bool parsed = ha_record_parse(json, &w->store.now.record, &err);
    ASSERT(parsed);
}

static void record_put(const void *record, json_t *json)
{
    ha_record_put(record, json);
}

static void *record_of(Snapshot *snap)
{
    return &snap->record;
}

static void record_changed(World *w, const Snapshot *before)
{
    check_record(w, &before->record, &w->store.now.record);
}

static int64_t term(const Snapshot *snap)
{
    return snap->record.term;
}

static void *seen(Snapshot *snap, int node)
{
    return &snap->seen[node];
}

static void *goal(Snapshot *snap, int node)
{
    return &snap->goals[node];
}

static int leader(const World *w)
{
    return node_by_id(w, &w->store.now.record.leader);
}

/* Its agents go by what they are told. */
static void was_read(World *w, int node, int64_t number, const Snapshot *snap)
{
    (void)number;
    agent_heard(w, w->nodes[node].host, snap);
}

static void not_settled(World *w, const char *when)
{
    const HaRecord *record = &w->store.now.record;
    fail(w,
         "%s: term %lld, phase %d, leader %s, %zu in the set, last acknowledged write at %lld ms",
         when, (long long)record->term, (int)record->phase, record->leader.text, record->set.len,
         (long long)(w->check.last_ack / MS));
}

const SimKind cluster_kind = {
    .name = "cluster",
    .key = "cluster/c",
    .begin = begin,
    .end = end,
    .record_read = record_read,
    .record_put = record_put,
    .record = record_of,
    .record_changed = record_changed,
    .term = term,
    .seen = seen,
    .seen_size = sizeof(Seen),
    .goal = goal,
    .goal_size = sizeof(Goal),
    .leader = leader,
    .agent_start = agent_start,
    .heard = agent_heard,
    .was_read = was_read,
    .written = agent_written,
    .said = fence_renew,
    .faults = cluster_faults,
    .faults_len = SIM_CLUSTER_FAULTS,
    .faults_lost = 1,
    .host_off = cluster_host_off,
    .host_on = cluster_host_on,
    .serves = cluster_serves,
    .admit = cluster_admit,
    .stays = cluster_stays,
    .copy_made = cluster_copy_made,
    .copy_taken = cluster_copy_taken,
    .calm = cluster_calm,
    .settled = check_settled,
    .not_settled = not_settled,
    .check_end = check_end,
};
