/*
 * All hosts but one are lost for good, and the store goes on from the copy that this one has (`weir
 * host recover`): perhaps an old one. What was led on it goes on by itself. For the rest somebody
 * lets its node lead (`weir failover --allow-data-loss`), and only then something may be lost. The
 * other hosts come back as new ones, without data. What is a cluster's and what a group's is in
 * cluster_lost.c and group_lost.c.
 */
#include "sim.h"

#define COPY_OLD_MOST 60 /* changes of the store */
#define SILENT_US     (10 * S)
#define LOOK_US       (500 * MS)

/* On several hosts each has one. */
static Node *node_left(World *w)
{
    return &w->nodes[w->lost.host];
}

static void look(World *w, const Event *event)
{
    (void)event;
    if (w->kind->serves(w)) {
        trace(w, "somebody: n%d serves again", w->kind->leader(w));
        w->lost.since = 0;
        return;
    }
    const Node *node = node_left(w);
    if (w->now - w->lost.since >= SILENT_US && node->data.whole && w->kind->admit(w, node)) {
        trace(w, "somebody: %s may lead", node->id.text);
    }
    later(w, LOOK_US, look, 0, 0);
}

static void agent_again(World *w, const Event *event)
{
    (void)event;
    if (!w->agents[w->lost.host].up && w->hosts[w->lost.host].up) {
        w->kind->agent_start(w, w->lost.host);
    }
}

static void go_on(World *w, const Event *event)
{
    (void)event;
    agent_kill(w, w->lost.host);
    w->kind->copy_made(w, &w->lost.copy);
    sim_store_become(w, &w->lost.copy);
    trace(w, "store: a copy of when n%d led", w->kind->leader(w));
    w->kind->copy_taken(w, node_left(w));
    later(w, roll(w, 50 * MS, 2 * S), agent_again, 0, 0);
    later(w, LOOK_US, look, 0, 0);
}

static void lose(World *w, int host)
{
    Node *node = &w->nodes[host];
    trace(w, "h%d is lost for good", host);
    w->kind->host_off(w, host);
    data_clear(&node->data);
    node->engine.file = (HaSet){.len = 0};
    later(w, roll(w, S, 20 * S), w->kind->host_on, host, 0);
}

/* One that leaves may be removed already. */
void fault_lose_hosts(World *w, bool alone)
{
    (void)alone;
    int host = fault_host(w);
    if (w->lost.since != 0 || !w->hosts[host].up || !w->kind->stays(w, &w->nodes[host])) {
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
