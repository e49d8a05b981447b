/* What is a group's where hosts are lost (lost.c). */
#include "group_sim.h"

bool group_serves(const World *w)
{
    const GroupRecord *record = &w->store.now.group;
    int leader = node_by_id(w, &record->leader);
    const Redis *redis = &w->group->redis[leader];
    return record->phase == HA_PHASE_LEADING && redis->alive && redis->role == REDIS_PRIMARY &&
           redis->term == record->term &&
           ha_set_has(&record->set, &w->nodes[leader].data.incarnation);
}

/* Whatever it does not have may be lost. */
static void give_up(World *w, const Node *node)
{
    GroupSim *group = w->group;
    for (size_t i = 1; i < group->writes.len; i++) {
        GroupWrite *write = &group->writes.items[i];
        write->fragile = write->fragile || !data_has(&node->data, (uint32_t)i);
    }
}

/* As the API does it: only one that follows, with data, and in the leader's place. */
bool group_admit(World *w, const Node *node)
{
    GroupRecord record = w->store.now.group;
    const GroupSeen *seen = &w->store.now.said[node->index];
    const HaSet others = {.items = {node->data.incarnation}, .len = 1};
    bool told = ha_set_has(&record.set, &node->data.incarnation) && record.history[0] == '\0';
    if (told || ha_id_eq(&record.leader, &node->id) || seen->state != HA_STATE_FOLLOWING ||
        !seen->data || !ha_id_eq(&seen->incarnation, &node->data.incarnation)) {
        return false;
    }
    give_up(w, node);
    w->group->automatic = true;
    group_record_let_lead(&record, &others);
    char *text = sim_record_text(w, &record);
    sim_store_put(w, text);
    mem_free(text);
    return true;
}

bool group_stays(const World *w, const Node *node)
{
    return group_has_data(node) && !w->store.now.wants[node->index].gone;
}

void group_copy_made(World *w, Snapshot *copy)
{
    if (!without(w, WITHOUT_RESET)) {
        group_record_reset(&copy->group);
    }
    for (int i = 0; i < w->nodes_len; i++) { /* control says it anew */
        copy->wants[i].run = true;
    }
}

/* Who leads by it goes on: what another one took meanwhile is lost. */
void group_copy_taken(World *w, Node *node)
{
    const GroupRecord *record = &w->store.now.group;
    GroupSim *group = w->group;
    group->open_term = 0; /* whoever led meanwhile runs until its agent looks */
    if (ha_id_eq(&record->leader, &node->id)) {
        redis_of(w, node)->term = record->term;
        give_up(w, node);
    }
}
