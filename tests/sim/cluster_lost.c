/* What is a cluster's where hosts are lost (lost.c). */
#include "sim.h"

bool cluster_serves(const World *w)
{
    const HaRecord *record = &w->store.now.record;
    const Node *leader = &w->nodes[node_by_id(w, &record->leader)];
    const Engine *engine = &leader->engine;
    return record->phase == HA_PHASE_LEADING && engine->state == ENGINE_PRIMARY && engine->open &&
           engine->term == record->term && ha_set_has(&record->set, &leader->data.incarnation);
}

/* As the API does it: what is lost is lost from here on. */
bool cluster_admit(World *w, const Node *node)
{
    HaRecord record = w->store.now.record;
    const HaId *incarnation = &node->data.incarnation;
    if (ha_set_has(&record.set, incarnation) || ha_id_eq(&record.admitted, incarnation) ||
        !ha_id_eq(incarnation, &w->store.now.seen[node->index].incarnation)) {
        return false;
    }
    check_give_up(w, node);
    record.admitted = *incarnation;
    record.writes++;
    char *text = sim_record_text(w, &record);
    sim_store_put(w, text);
    mem_free(text);
    return true;
}

bool cluster_stays(const World *w, const Node *node)
{
    return node->data.whole && !w->store.now.goals[node->index].gone;
}

void cluster_copy_made(World *w, Snapshot *copy)
{
    if (!without(w, WITHOUT_RESET)) {
        ha_record_reset(&copy->record);
    }
    for (int i = 0; i < w->nodes_len; i++) { /* control says it anew */
        Goal *goal = &copy->goals[i];
        goal->run = true;
        goal->wanted = !goal->gone;
    }
}

/* Who leads by it, and has what it led with, goes on: what another one took meanwhile is lost. */
void cluster_copy_taken(World *w, Node *node)
{
    const HaRecord *record = &w->store.now.record;
    w->check.leader_term = record->term;
    if (ha_id_eq(&record->leader, &node->id)) {
        node->engine.term = record->term;
        if (ha_set_has(&record->set, &node->data.incarnation)) {
            check_give_up(w, node);
        }
    }
}
