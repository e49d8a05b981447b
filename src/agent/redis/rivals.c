/*
 * Who could take the place of a Redis that leads, from another host (docs/failover.md, "Several
 * hosts"): by the view of its node's job, for the fence, which ends the leader behind the last
 * proof that none of them has. Too many are named rather than too few: one who leaves, and one who
 * is about to come.
 */
#include <stdio.h>

#include "agent/redis/redis_node_priv.h"

/* One of the set that is on this host is nobody's rival: it goes with its leader's agent. */
static void rivals_add(const RedisNode *node, const HaSet *set, FenceRivals *rivals)
{
    const GroupView *view = &node->view;
    for (size_t i = 0; i < set->len; i++) {
        const char *address = ""; /* one that is no member any more: it confirms nothing */
        bool abroad = !ha_id_eq(&set->items[i], &view->incarnation);
        for (size_t j = 0; j < view->peers_len; j++) {
            const GroupPeer *peer = &view->peers[j];
            if (ha_id_eq(&peer->incarnation, &set->items[i])) {
                abroad = peer->abroad;
                address = redis_address_of(node, &peer->node);
            }
        }
        if (abroad) {
            fence_rivals_add(rivals, address != NULL ? address : "");
        }
    }
}

void redis_tell_rivals(const RedisNode *node, const HaSet *set, bool all)
{
    FenceRivals rivals = {0};
    rivals_add(node, set, &rivals);
    fence_rivals(node->run->work->fence, node->spec.admin_password, &rivals, all);
}

/* Somebody of another host who is in the set, or is about to be; or who left, and may still. */
static bool has_rival(const GroupView *view)
{
    bool rival = false;
    for (size_t i = 0; i < view->peers_len; i++) {
        const GroupPeer *peer = &view->peers[i];
        bool counts = peer->streaming || ha_set_has(&view->record.set, &peer->incarnation);
        rival = rival || (peer->abroad && counts);
    }
    for (size_t i = 0; i < view->record.set.len; i++) {
        bool known = ha_id_eq(&view->record.set.items[i], &view->incarnation);
        for (size_t j = 0; j < view->peers_len; j++) {
            known = known || ha_id_eq(&view->record.set.items[i], &view->peers[j].incarnation);
        }
        rival = rival || !known;
    }
    return rival;
}

/* One that was deposed keeps its deadline until it follows. */
void redis_note_rivals(RedisNode *node)
{
    NodeWork *work = node->run->work;
    const GroupView *view = &node->view;
    bool leads = ha_id_eq(&view->record.leader, &view->self);
    work->redis = work->rivals_known = true;
    work->has_rival = hosts_are_several(work->options->hosts) &&
                      ((leads && has_rival(view)) || (!leads && view->state == HA_STATE_LEADING));
    snprintf(work->zone, sizeof(work->zone), "%.1s", member_str(node->run->goal, "zone", "a"));
    if (leads && view->claimed) { /* nobody else makes the set grow */
        redis_tell_rivals(node, &view->record.set, true);
    }
}
