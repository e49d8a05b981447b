/*
 * A run: what the seed makes of it, and its stages. Everything comes up; then the faults; then they
 * end, and within a bounded time all must be well again.
 */
#include "sim.h"

#define LOOK_US    (50 * MS)
#define UP_LIMIT   (40 * S)
#define CALM_LIMIT (90 * S) /* promise 7: as long as it may take, two copies included */
#define DRAIN_US   (500 * MS)

enum { STAGE_UP, STAGE_FAULTS, STAGE_CALM, STAGE_DRAIN };

static void stage(World *w, int next)
{
    w->stage = next;
    w->stage_since = w->now;
}

static void look(World *w, const Event *event)
{
    (void)event;
    int64_t passed = w->now - w->stage_since;
    bool settled = w->kind->settled(w);
    if (w->stage == STAGE_UP && settled) {
        trace(w, "everything is there");
        stage(w, STAGE_FAULTS);
        fault_begin(w);
    } else if (w->stage == STAGE_UP && passed > UP_LIMIT) {
        w->kind->not_settled(w, "it does not come up");
    } else if (w->stage == STAGE_FAULTS && passed > w->storm_us) {
        if (w->check.counts) { /* what comes back must not hide how long it took */
            w->check.counts = false;
            int64_t gap = w->now - w->check.last_ack;
            w->check.gap_max = gap > w->check.gap_max ? gap : w->check.gap_max;
        }
        fault_end_all(w);
        stage(w, STAGE_CALM);
    } else if (w->stage == STAGE_CALM && settled && passed > S) {
        trace(w, "all is well");
        stage(w, STAGE_DRAIN);
    } else if (w->stage >= STAGE_CALM && w->now - w->calm_since > CALM_LIMIT) {
        w->kind->not_settled(w, "it is not well again");
    } else if (w->stage == STAGE_DRAIN && !settled) {
        stage(w, STAGE_CALM);
    } else if (w->stage == STAGE_DRAIN && passed > DRAIN_US) {
        w->kind->check_end(w);
        w->over = true;
    }
    later(w, LOOK_US, look, 0, 0);
}

static void choose(World *w)
{
    int64_t dice = roll(w, 0, 99);
    w->profile = dice < 8 ? PROFILE_CALM : dice < 30 ? PROFILE_SINGLE : PROFILE_STORM;
    if (w->setup.profile >= 0) {
        w->profile = (Profile)w->setup.profile;
    }
    w->one_host = chance(w, 400);
    w->nodes_len = chance(w, 500) ? 2 : 3;
    w->may_lose = !w->one_host && w->setup.seed % 4 == 0;
    w->proxies_len = w->one_host ? 2 : w->nodes_len;
    w->strict = chance(w, 200);
    int late = chance(w, 200) ? 0 : (int)roll(w, 2, 60);
    for (int i = 0; i < LATES; i++) {
        w->late[i] = late;
    }
    if (w->profile == PROFILE_STORM && chance(w, 600)) { /* one thing very much so */
        w->late[roll(w, 0, LATES - 1)] = 300;
    }
    w->storm_us = roll(w, 8 * S, 30 * S);
    if (w->profile == PROFILE_SINGLE) {
        memset(w->late, 0, sizeof(w->late));
        w->strict = false;
        w->storm_us = 12 * S;
    }
}

void world_begin(World *w, const Setup *setup)
{
    *w = (World){.setup = *setup,
                 .kind = setup->kind,
                 .rng = setup->seed * UINT64_C(0x2545f4914f6cdd1d) + 1};
    if (setup->keep > 0) {
        w->lines = mem_alloc((size_t)setup->keep * SIM_TEXT);
    }
    vec_push(&w->records, (WalRecord){.kind = RECORD_OTHER});
    vec_push(&w->ops, (Op){.state = OP_OVER});
    vec_push(&w->requests, (Request){.proxy = -1});
    choose(w);
    trace(w, "seed %llu: %s, %d nodes on %s%s, %d in a thousand are late",
          (unsigned long long)setup->seed,
          w->profile == PROFILE_CALM     ? "calm"
          : w->profile == PROFILE_SINGLE ? "one fault"
                                         : "storm",
          w->nodes_len, w->one_host ? "one host" : "several hosts", w->strict ? ", strict" : "",
          w->late[LATE_OTHER]);
    for (int i = 0; i < SIM_PLACES; i++) {
        w->slow[i] = 1;
    }
    for (int i = 0; i < SIM_HOSTS; i++) {
        w->hosts[i] = (Host){.up = true, .clock = roll(w, 0, 1000 * S)};
    }
    for (int i = 0; i < w->nodes_len; i++) {
        Node *node = &w->nodes[i];
        node->id = ha_id((const char *const[]){"n0", "n1", "n2"}[i]);
        node->index = i;
        node->host = w->one_host ? 0 : i;
    }
    sim_store_begin(w);
    w->kind->begin(w);
    later(w, LOOK_US, look, 0, 0);
}

void world_end(World *w)
{
    for (size_t i = 0; i < w->heap.len; i++) {
        mem_free(w->heap.items[i].data);
    }
    for (int i = 0; i < SIM_NODES; i++) {
        data_done(&w->nodes[i].data);
    }
    w->kind->end(w);
    sim_store_end(w);
    vec_done(&w->heap);
    vec_done(&w->records);
    vec_done(&w->ops);
    vec_done(&w->requests);
    vec_done(&w->check.kept);
    mem_free(w->lines);
}
