/*
 * All hosts but one are lost for good, and the store goes on from the copy that this one has (`weir
 * host recover`): perhaps an old one. What was led on it goes on by itself. For the rest somebody
 * lets its node lead (`weir failover --allow-data-loss`), and only then something may be lost. The
 * other hosts come back as new ones, without data.
 */
#include "sim.h"

#define COPY_OLD_MOST 60 /* changes of the store */
#define SILENT_US     (10 * S)
#define LOOK_US       (500 * MS)

static Node *node_left(World *w)
{
    return &w->nodes[w->lost.host]; /* on several hosts each has one */
}

/* ---- somebody ----------------------------------------------------------------------------------
 */

static bool serves(const World *w)
{
    const HaRecord *record = &w->store.now.record;
    const Node *leader = &w->nodes[node_by_id(w, &record->leader)];
    const Engine *engine = &leader->engine;
    return record->phase == HA_PHASE_LEADING && engine->state == ENGINE_PRIMARY && engine->open &&
           engine->term == record->term && ha_set_has(&record->set, &leader->data.incarnation);
}

/* As the API does it: what is lost is lost from here on. */
static void admit(World *w, const Node *node)
{
    HaRecord record = w->store.now.record;
    trace(w, "somebody: %s may lead", node->id.text);
    check_give_up(w, node);
    record.admitted = node->data.incarnation;
    record.writes++;
    char *text = sim_record_text(w, &record);
    sim_store_put(w, text);
    mem_free(text);
}

static void look(World *w, const Event *event)
{
    const Node *node = node_left(w);
    const HaRecord *record = &w->store.now.record;
    const HaId *incarnation = &node->data.incarnation;
    (void)event;
    if (serves(w)) {
        trace(w, "somebody: %s serves again", record->leader.text);
        w->lost.since = 0;
        return;
    }
    bool may = ha_set_has(&record->set, incarnation) || ha_id_eq(&record->admitted, incarnation);
    if (w->now - w->lost.since >= SILENT_US && node->data.whole && !may &&
        ha_id_eq(incarnation, &w->store.now.seen[node->index].incarnation)) {
        admit(w, node);
    }
    later(w, LOOK_US, look, 0, 0);
}

/* ---- the copy ----------------------------------------------------------------------------------
 */

static void agent_again(World *w, const Event *event)
{
    (void)event;
    if (!w->agents[w->lost.host].up && w->hosts[w->lost.host].up) {
        w->kind->agent_start(w, w->lost.host);
    }
}

/* Who leads by it, and has what it led with, goes on: what another one took meanwhile is lost. */
static void go_on(World *w, const Event *event)
{
    Node *node = node_left(w);
    HaRecord *record = &w->lost.copy.record;
    (void)event;
    agent_kill(w, w->lost.host);
    if (!without(w, WITHOUT_RESET)) {
        ha_record_reset(record);
    }
    for (int i = 0; i < w->nodes_len; i++) { /* control says it anew */
        Goal *goal = &w->lost.copy.goals[i];
        goal->run = true;
        goal->wanted = !goal->gone;
    }
    trace(w, "store: a copy of when %s led", record->leader.text);
    sim_store_become(w, &w->lost.copy);
    w->check.leader_term = record->term;
    if (ha_id_eq(&record->leader, &node->id)) {
        node->engine.term = record->term;
        if (ha_set_has(&record->set, &node->data.incarnation)) {
            check_give_up(w, node);
        }
    }
    later(w, roll(w, 50 * MS, 2 * S), agent_again, 0, 0);
    later(w, LOOK_US, look, 0, 0);
}

static void lose(World *w, int host)
{
    Node *node = &w->nodes[host];
    trace(w, "h%d is lost for good", host);
    cluster_host_off(w, host);
    data_clear(&node->data);
    node->engine.file = (HaSet){.len = 0};
    later(w, roll(w, S, 20 * S), cluster_host_on, host, 0);
}

void cluster_lose_hosts(World *w, bool alone)
{
    (void)alone;
    int host = fault_host(w);
    bool has = w->nodes[host].data.whole && !w->store.now.goals[host].gone;
    if (w->lost.since != 0 || !w->hosts[host].up || !has) {
        return;
    }
    w->lost.copy = sim_store_past(w, chance(w, 500) ? 0 : roll(w, 1, COPY_OLD_MOST));
    w->lost.since = w->now;
    w->lost.host = host;
    for (int i = 0; i < w->nodes_len; i++) {
        if (i != host) {
            lose(w, i);
        }
    }
    int64_t us = roll(w, S, 8 * S);
    sim_store_away(w, us);
    later(w, us, go_on, 0, 0);
}
