/* The faults of a cluster's runs (fault.c): PostgreSQL, its proxies, the hosts that they are on. */
#include "sim.h"

/* ---- processes ---------------------------------------------------------------------------------
 */

static void kill_postmaster(World *w, bool alone)
{
    engine_kill_postmaster(w, &w->nodes[fault_node(w, alone)]);
}

static void kill_standby(World *w, bool alone)
{
    (void)alone;
    engine_kill_postmaster(w, &w->nodes[fault_other(w)]);
}

static void kill_backend(World *w, bool alone)
{
    engine_kill_backend(w, &w->nodes[fault_node(w, alone)]);
}

static void kill_guard(World *w, bool alone)
{
    engine_kill_guard(w, &w->nodes[fault_node(w, alone)]);
}

static void node_dies(World *w, const Event *event)
{
    engine_kill_postmaster(w, &w->nodes[event->a]);
}

static void drop_senders(World *w, Node *node)
{
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        stream_drop(w, node, &node->engine.senders[i]);
    }
}

/* All its processes, one after the other: the walsenders first. */
static void kill_node(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    trace(w, "%s: its processes die", node->id.text);
    drop_senders(w, node);
    later(w, roll(w, 20 * MS, 400 * MS), node_dies, node->index, 0);
}

static void pause_engine(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    int64_t us = alone ? 20 * S : roll(w, 50 * MS, 8 * S);
    trace(w, "%s: its engine is stopped for %lld ms", node->id.text, (long long)(us / MS));
    proc_pause(w, &node->engine.proc, w->now + us);
}

static void proxy_again(World *w, const Event *event)
{
    int proxy = (int)event->a;
    if (!w->proxies[proxy].up && w->hosts[w->proxies[proxy].host].up) {
        proxy_start(w, proxy);
    }
}

static void kill_proxy(World *w, bool alone)
{
    (void)alone;
    int proxy = (int)roll(w, 0, w->proxies_len - 1);
    trace(w, "p%d is dead", proxy);
    proxy_kill(w, proxy);
    later(w, roll(w, 50 * MS, 500 * MS), proxy_again, proxy, 0);
}

static void pause_proxy(World *w, bool alone)
{
    (void)alone;
    int proxy = (int)roll(w, 0, w->proxies_len - 1);
    int64_t us = roll(w, 50 * MS, 4 * S);
    trace(w, "p%d is stopped for %lld ms", proxy, (long long)(us / MS));
    proc_pause(w, &w->proxies[proxy].proc, w->now + us);
}

/* ---- hosts -------------------------------------------------------------------------------------
 */

void cluster_host_on(World *w, const Event *event)
{
    int host = (int)event->a;
    if (w->hosts[host].up) {
        return;
    }
    trace(w, "h%d: on", host);
    w->hosts[host].up = true;
    agent_start(w, host);
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->proxies[i].host == host) {
            proxy_start(w, i);
        }
    }
}

void cluster_host_off(World *w, int host)
{
    if (!w->hosts[host].up) {
        return;
    }
    trace(w, "h%d: off", host);
    w->hosts[host].up = false;
    w->hosts[host].paused_until = 0;
    agent_kill(w, host);
    for (int i = 0; i < w->nodes_len; i++) {
        if (w->nodes[i].host == host) {
            w->nodes[i].disk_hung_until = 0;
            engine_crash(w, &w->nodes[i], true);
        }
    }
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->proxies[i].host == host) {
            proxy_kill(w, i);
        }
    }
}

static void goes_off(World *w, const Event *event)
{
    cluster_host_off(w, (int)event->a);
}

static void crash_host(World *w, bool alone)
{
    Node *leader = &w->nodes[fault_node(w, true)];
    int host = alone ? leader->host : fault_host(w);
    if (alone) { /* its links are the first to go */
        drop_senders(w, leader);
    }
    later(w, alone ? roll(w, 0, 300 * MS) : 0, goes_off, host, 0);
    later(w, alone ? 30 * S : roll(w, S, 10 * S), cluster_host_on, host, 0);
}

static void pause_host(World *w, bool alone)
{
    int host = alone ? w->nodes[fault_node(w, true)].host : fault_host(w);
    int64_t us = alone ? 20 * S : roll(w, 50 * MS, 8 * S);
    int64_t until = w->now + us;
    trace(w, "h%d is stopped for %lld ms", host, (long long)(us / MS));
    w->hosts[host].paused_until = until;
    proc_pause(w, &w->agents[host].proc, until);
    for (int i = 0; i < w->nodes_len; i++) {
        if (w->nodes[i].host == host) {
            proc_pause(w, &w->nodes[i].engine.proc, until);
        }
    }
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->proxies[i].host == host) {
            proc_pause(w, &w->proxies[i].proc, until);
        }
    }
}

/* ---- disks and links -------------------------------------------------------------------
 */

static void hang_disk(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    int64_t us = roll(w, 50 * MS, 8 * S);
    trace(w, "%s: its disk hangs for %lld ms", node->id.text, (long long)(us / MS));
    node->disk_hung_until = w->now + us;
}

static void fill_disk(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    int64_t us = alone ? 20 * S : roll(w, 100 * MS, 6 * S);
    trace(w, "%s: its disk is full for %lld ms", node->id.text, (long long)(us / MS));
    node->disk_full_until = w->now + us;
}

/* The standby's end of the stream is reset, and nobody tells the other end. */
static void half_open(World *w, bool alone)
{
    (void)alone;
    stream_reset(w, &w->nodes[fault_other(w)]);
}

/* A standby's that nobody needs and that is not about to lead: the leader has it all. */
static void lose_disk(World *w, bool alone)
{
    (void)alone;
    Node *node = &w->nodes[fault_other(w)];
    const Charge *charge = &w->agents[node->host].charges[node->index];
    if (!charge->busy && w->now - node->doubt_at > 20 * S && check_settled(w)) {
        trace(w, "%s: its data is lost", node->id.text);
        engine_crash(w, node, true);
        data_clear(&node->data);
    }
}

/* ---- somebody ----------------------------------------------------------------------------------
 */

static void control_acts(World *w, bool alone)
{
    (void)alone;
    control_act(w);
}

/* Somebody streams under a standby's name; where the names are hidden nobody can. */
static void impostor(World *w, bool alone)
{
    (void)alone;
    Node *node = &w->nodes[fault_node(w, true)];
    if (without(w, WITHOUT_HIDING) && node->engine.loaded.len > 0) {
        stream_impostor(w, node, &node->engine.loaded.items[0]);
    }
}

/* ---- all of them -------------------------------------------------------------------------------
 */

const Fault cluster_faults[SIM_CLUSTER_FAULTS] = {
    {"postmaster killed", 10, 1000 * MS, false, false, kill_postmaster},
    {"standby killed", 8, 1500 * MS, true, false, kill_standby},
    {"backend killed", 8, 1000 * MS, false, false, kill_backend},
    {"guard killed", 4, 1000 * MS, false, false, kill_guard},
    {"node killed", 6, 2000 * MS, false, false, kill_node},
    {"agent killed", 12, 500 * MS, true, false, fault_kill_agent},
    {"agent stopped", 12, 500 * MS, true, false, fault_pause_agent},
    {"engine stopped", 8, 3000 * MS, false, false, pause_engine},
    {"proxy killed", 4, 500 * MS, true, false, kill_proxy},
    {"proxy stopped", 4, 0, false, false, pause_proxy},
    {"host off", 4, 5000 * MS, false, true, crash_host},
    {"host stopped", 6, 5000 * MS, false, true, pause_host},
    {"everything off", 1, 0, false, false, crash_host},
    {"disk hangs", 8, 0, false, false, hang_disk},
    {"disk full", 4, 2000 * MS, false, false, fill_disk},
    {"link cut", 14, 0, false, true, fault_cut_link},
    {"host isolated", 6, 5000 * MS, false, true, fault_isolate},
    {"slow", 10, 0, false, false, fault_slow},
    {"half open", 6, 0, false, false, half_open},
    {"disk lost", 4, 0, false, false, lose_disk},
    {"store away", 6, 500 * MS, true, false, fault_store},
    {"control", 12, 0, false, false, control_acts},
    {"impostor", 4, 0, false, false, impostor},
    {"hosts lost", 14, 0, false, true, fault_lose_hosts},
};

/* What is stopped goes on, what is off comes back. */
void cluster_calm(World *w)
{
    for (int i = 0; i < w->nodes_len; i++) {
        w->nodes[i].disk_hung_until = w->nodes[i].disk_full_until = 0;
    }
    for (int i = 0; i < SIM_HOSTS; i++) {
        later(w, roll(w, 0, S), cluster_host_on, i, 0);
    }
    control_calm(w);
}
