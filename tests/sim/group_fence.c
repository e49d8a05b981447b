/*
 * The deadline of a group's leader (F15): its guard ends it unless its agent says again and again
 * that it may run, by what the store takes of that agent, or by the words of those who could take
 * its place. How the words are counted is the real one (src/agent/fence_redis.c).
 */
#include <stdio.h>

#include "group_sim.h"

#define GUARD_US (100 * MS)
#define TAKEN_US S /* a beat that the store took so long ago lets an engine start */

static int64_t host_ms(const World *w, const Node *node)
{
    return host_now(w, node->host) / MS;
}

static void renew(World *w, Node *node, int64_t proven_ms)
{
    Redis *redis = redis_of(w, node);
    const GroupCharge *charge = &w->group->charges[node->index];
    bool over = redis->fence_ms != 0 && host_ms(w, node) >= redis->fence_ms; /* it is final */
    if (charge->has_rival && redis->guarded && proven_ms > 0 && !over &&
        proven_ms + HA_FENCE_MS > redis->fence_ms) {
        redis->fence_ms = proven_ms + HA_FENCE_MS;
    }
}

void group_fence_taken(World *w, int host, int64_t since)
{
    Agent *agent = &w->agents[host];
    agent->taken_ms = since / MS > agent->taken_ms ? since / MS : agent->taken_ms;
    for (int i = 0; i < w->nodes_len; i++) {
        if (w->nodes[i].host == agent->host) {
            renew(w, &w->nodes[i], agent->taken_ms);
        }
    }
}

/* As INFO tells it. */
static void replicas_of(World *w, const Node *node, RedisSeen *seen)
{
    const Redis *redis = redis_of(w, node);
    for (size_t i = 0; i < redis->senders.len && i < REDIS_REPLICAS_MAX; i++) {
        const RedisSender *sender = &redis->senders.items[i];
        RedisReplica *replica = &seen->replicas[seen->replicas_len++];
        *replica = (RedisReplica){.online = sender->online,
                                  .lag_s = (w->now - sender->acked_at) / S,
                                  .offset = sender->acked};
        snprintf(replica->address, sizeof(replica->address), "%s", w->nodes[sender->node].id.text);
    }
}

void group_fence_look(World *w, Node *node)
{
    GroupCharge *charge = &w->group->charges[node->index];
    RedisSeen seen = {.offset = redis_offset(w, node)};
    const Redis *redis = redis_of(w, node);
    bool over = redis->fence_ms != 0 && host_ms(w, node) >= redis->fence_ms;
    if (!charge->has_rival && charge->state_since != 0 && !over) { /* this agent has looked */
        redis_of(w, node)->fence_ms = 0;
    }
    if (!charge->has_rival || !charge->rivals_known) {
        return;
    }
    bool answers = redis_answers(w, node);
    if (answers) {
        replicas_of(w, node, &seen);
    }
    int64_t now_ms = host_ms(w, node);
    renew(w, node,
          rival_watch_look(&charge->watch, &charge->rivals, answers ? &seen : NULL, now_ms));
}

bool group_fence_start(World *w, Node *node)
{
    const Agent *agent = &w->agents[node->host];
    redis_of(w, node)->fence_ms = 0; /* of another guard */
    if (!w->group->charges[node->index].has_rival) {
        return true;
    }
    if (host_ms(w, node) - agent->taken_ms > TAKEN_US / MS) {
        return false;
    }
    redis_of(w, node)->fence_ms = agent->taken_ms + HA_FENCE_MS;
    return true;
}

/* ---- who could take its place ------------------------------------------------------------------
 */

static void rivals_add(const GroupView *view, const HaSet *set, FenceRivals *rivals)
{
    for (size_t i = 0; i < set->len; i++) {
        bool abroad = !ha_id_eq(&set->items[i], &view->incarnation);
        const char *address = "";
        for (size_t j = 0; j < view->peers_len; j++) {
            if (ha_id_eq(&view->peers[j].incarnation, &set->items[i])) {
                abroad = view->peers[j].abroad;
                address = view->peers[j].node.text;
            }
        }
        if (abroad) {
            fence_rivals_add(rivals, address);
        }
    }
}

void group_fence_rivals(World *w, const Node *node, const HaSet *set, bool all)
{
    GroupCharge *charge = &w->group->charges[node->index];
    charge->rivals.len = all ? 0 : charge->rivals.len;
    charge->rivals_known = charge->rivals_known || all;
    rivals_add(&charge->view, set, &charge->rivals);
}

/* ---- the guard ---------------------------------------------------------------------------------
 */

static void guard_look(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    const Host *host = &w->hosts[node->host];
    if (host->up && host->paused_until <= w->now && redis->alive && !redis->dying &&
        redis->guarded && redis->fence_ms != 0 && !without(w, WITHOUT_RIGHT) &&
        host_ms(w, node) > redis->fence_ms) {
        trace(w, "%s: its guard's deadline is over", node->id.text);
        redis_kill(w, node);
    }
    later(w, GUARD_US, guard_look, event->a, 0);
}

void group_fence_begin(World *w)
{
    for (int i = 0; i < w->nodes_len && !w->one_host; i++) {
        later(w, GUARD_US, guard_look, i, 0);
    }
}
