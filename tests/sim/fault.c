/* Faults: each may come at any moment, several at a time; all of them end. */
#include "sim.h"

typedef struct Fault {
    const char *name;
    int weight;
    int64_t gap_limit; /* of a single one, where everything was well; 0: it is not tried alone */
    bool same_term;    /* alone it must not cost a term */
    bool several;      /* it needs several hosts */
    void (*strike)(World *w, bool alone);
} Fault;

static int any_node(World *w)
{
    return (int)roll(w, 0, w->nodes_len - 1);
}

static int leader_or_any(World *w, bool alone)
{
    return alone || chance(w, 600) ? node_by_id(w, &w->store.now.record.leader) : any_node(w);
}

static int any_host(World *w)
{
    return w->one_host ? 0 : (int)roll(w, 0, w->nodes_len - 1);
}

static int other_than_leader(World *w)
{
    int leader = node_by_id(w, &w->store.now.record.leader);
    return (leader + 1 + (int)roll(w, 0, w->nodes_len - 2)) % w->nodes_len;
}

/* ---- processes ---------------------------------------------------------------------------------
 */

static void kill_postmaster(World *w, bool alone)
{
    engine_kill_postmaster(w, &w->nodes[leader_or_any(w, alone)]);
}

static void kill_standby(World *w, bool alone)
{
    (void)alone;
    engine_kill_postmaster(w, &w->nodes[other_than_leader(w)]);
}

static void kill_backend(World *w, bool alone)
{
    engine_kill_backend(w, &w->nodes[leader_or_any(w, alone)]);
}

static void kill_guard(World *w, bool alone)
{
    engine_kill_guard(w, &w->nodes[leader_or_any(w, alone)]);
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
    node->engine.child_died = w->now;
}

/* All its processes, one after the other: the walsenders first. */
static void kill_node(World *w, bool alone)
{
    Node *node = &w->nodes[leader_or_any(w, alone)];
    trace(w, "%s: its processes die", node->id.text);
    drop_senders(w, node);
    later(w, roll(w, 20 * MS, 400 * MS), node_dies, node->index, 0);
}

static void agent_again(World *w, const Event *event)
{
    int host = (int)event->a;
    if (!w->agents[host].up && w->hosts[host].up) {
        agent_start(w, host);
    }
}

static void kill_agent(World *w, bool alone)
{
    (void)alone;
    int host = any_host(w);
    if (w->hosts[host].up) {
        agent_kill(w, host);
        later(w, roll(w, 100 * MS, 2 * S), agent_again, host, 0);
    }
}

static void pause_agent(World *w, bool alone)
{
    int host = any_host(w);
    int64_t us = alone ? roll(w, 100 * MS, S) : roll(w, 50 * MS, 8 * S);
    trace(w, "h%d: its agent is stopped for %lld ms", host, (long long)(us / MS));
    proc_pause(w, &w->agents[host].proc, w->now + us);
}

static void pause_engine(World *w, bool alone)
{
    Node *node = &w->nodes[leader_or_any(w, alone)];
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

static void host_again(World *w, const Event *event)
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

static void host_off(World *w, int host)
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
    host_off(w, (int)event->a);
}

static void crash_host(World *w, bool alone)
{
    Node *leader = &w->nodes[leader_or_any(w, true)];
    int host = alone ? leader->host : any_host(w);
    if (alone) { /* its links are the first to go */
        drop_senders(w, leader);
    }
    later(w, alone ? roll(w, 0, 300 * MS) : 0, goes_off, host, 0);
    later(w, alone ? 30 * S : roll(w, S, 10 * S), host_again, host, 0);
}

static void pause_host(World *w, bool alone)
{
    int host = alone ? w->nodes[leader_or_any(w, true)].host : any_host(w);
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

/* ---- disks, links, the store -------------------------------------------------------------------
 */

static void hang_disk(World *w, bool alone)
{
    Node *node = &w->nodes[leader_or_any(w, alone)];
    int64_t us = roll(w, 50 * MS, 8 * S);
    trace(w, "%s: its disk hangs for %lld ms", node->id.text, (long long)(us / MS));
    node->disk_hung_until = w->now + us;
}

static void fill_disk(World *w, bool alone)
{
    Node *node = &w->nodes[leader_or_any(w, alone)];
    int64_t us = alone ? 20 * S : roll(w, 100 * MS, 6 * S);
    trace(w, "%s: its disk is full for %lld ms", node->id.text, (long long)(us / MS));
    node->disk_full_until = w->now + us;
}

static int any_place(World *w)
{
    int64_t place = roll(w, 0, w->nodes_len);
    return place == w->nodes_len ? SIM_STORE : (int)place;
}

static void cut(World *w, int from, int to, int64_t us, bool both)
{
    trace(w, "cut: h%d %s h%d for %lld ms", from, both ? "and" : "to", to, (long long)(us / MS));
    w->cut_until[from][to] = w->now + us;
    if (both) {
        w->cut_until[to][from] = w->now + us;
    }
}

static void cut_link(World *w, bool alone)
{
    (void)alone;
    int from = any_place(w);
    int to = any_place(w);
    if (from != to) {
        cut(w, from, to, roll(w, 50 * MS, 8 * S), chance(w, 600));
    }
}

static void isolate(World *w, bool alone)
{
    int host = alone ? w->nodes[leader_or_any(w, true)].host : any_host(w);
    int64_t us = alone ? 20 * S : roll(w, 200 * MS, 8 * S);
    bool both = alone || chance(w, 700);
    for (int place = 0; place < SIM_PLACES; place++) {
        if (place != host && (alone || chance(w, 850))) {
            cut(w, host, place, us, both);
        }
    }
}

static void slow_place(World *w, bool alone)
{
    (void)alone;
    int place = any_place(w);
    w->slow[place] = chance(w, 500) ? 1 : (int)roll(w, 5, 300);
    trace(w, "h%d: %d times as slow", place, w->slow[place]);
}

static void store_goes(World *w, bool alone)
{
    sim_store_away(w, alone ? 8 * S : roll(w, 100 * MS, 6 * S));
}

/* The standby's end of the stream is reset, and nobody tells the other end. */
static void half_open(World *w, bool alone)
{
    (void)alone;
    stream_reset(w, &w->nodes[other_than_leader(w)]);
}

/* A standby's that nobody needs and that is not about to lead: the leader has it all. */
static void lose_disk(World *w, bool alone)
{
    (void)alone;
    Node *node = &w->nodes[other_than_leader(w)];
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
    Node *node = &w->nodes[leader_or_any(w, true)];
    if (without(w, WITHOUT_HIDING) && node->engine.loaded.len > 0) {
        stream_impostor(w, node, &node->engine.loaded.items[0]);
    }
}

/* ---- when --------------------------------------------------------------------------------------
 */

static const Fault faults[] = {
    {"postmaster killed", 10, 1000 * MS, false, false, kill_postmaster},
    {"standby killed", 8, 1500 * MS, true, false, kill_standby},
    {"backend killed", 8, 1000 * MS, false, false, kill_backend},
    {"guard killed", 4, 1000 * MS, false, false, kill_guard},
    {"node killed", 6, 2000 * MS, false, false, kill_node},
    {"agent killed", 12, 500 * MS, true, false, kill_agent},
    {"agent stopped", 12, 500 * MS, true, false, pause_agent},
    {"engine stopped", 8, 3000 * MS, false, false, pause_engine},
    {"proxy killed", 4, 500 * MS, true, false, kill_proxy},
    {"proxy stopped", 4, 0, false, false, pause_proxy},
    {"host off", 4, 5000 * MS, false, true, crash_host},
    {"host stopped", 6, 5000 * MS, false, true, pause_host},
    {"everything off", 1, 0, false, false, crash_host},
    {"disk hangs", 8, 0, false, false, hang_disk},
    {"disk full", 4, 2000 * MS, false, false, fill_disk},
    {"link cut", 14, 0, false, true, cut_link},
    {"host isolated", 6, 5000 * MS, false, true, isolate},
    {"slow", 10, 0, false, false, slow_place},
    {"half open", 6, 0, false, false, half_open},
    {"disk lost", 4, 0, false, false, lose_disk},
    {"store away", 6, 500 * MS, true, false, store_goes},
    {"control", 12, 0, false, false, control_acts},
    {"impostor", 4, 0, false, false, impostor},
};

static const Fault *choose(World *w, bool alone)
{
    for (;;) {
        const Fault *fault = &faults[roll(w, 0, (int64_t)ARRAY_LEN(faults) - 1)];
        bool fits = !(fault->several && w->one_host) && !(alone && fault->gap_limit == 0);
        if (fits && roll(w, 1, 14) <= fault->weight) {
            return fault;
        }
    }
}

static void storm(World *w, const Event *event)
{
    (void)event;
    if (w->calming) {
        return;
    }
    choose(w, false)->strike(w, false);
    int64_t us = chance(w, 300) ? roll(w, 1 * MS, 200 * MS) : roll(w, 50 * MS, 4 * S);
    later(w, us, storm, 0, 0);
}

static void strike_now(World *w, const Event *event)
{
    (void)event;
    if (!w->calming) {
        choose(w, false)->strike(w, false);
    }
}

void fault_at_change(World *w)
{
    if (w->stage_is_storm && !w->calming && chance(w, 250)) {
        later(w, roll(w, 0, 30 * MS), strike_now, 0, 0);
    }
}

static void single(World *w, const Event *event)
{
    (void)event;
    const Fault *fault = choose(w, true);
    w->single = fault->name;
    w->gap_limit = fault->gap_limit;
    w->same_term = fault->same_term;
    fault->strike(w, true);
}

void fault_begin(World *w)
{
    w->check.counts = w->profile != PROFILE_STORM;
    w->check.first_term = w->store.now.record.term;
    w->same_term = w->profile == PROFILE_CALM;
    w->gap_limit = w->profile == PROFILE_CALM && w->late[LATE_OTHER] == 0 ? 300 * MS : 0;
    if (w->profile == PROFILE_STORM) {
        w->stage_is_storm = true;
        later(w, roll(w, 0, S), storm, 0, 0);
    } else if (w->profile == PROFILE_SINGLE) {
        later(w, roll(w, 100 * MS, 3 * S), single, 0, 0);
    }
}

/* What is stopped goes on, what is off comes back, all links are there. */
void fault_end_all(World *w)
{
    w->calming = true;
    w->calm_since = w->now;
    trace(w, "all faults end");
    memset(w->cut_until, 0, sizeof(w->cut_until));
    for (int i = 0; i < SIM_PLACES; i++) {
        w->slow[i] = 1;
    }
    memset(w->late, 0, sizeof(w->late));
    for (int i = 0; i < w->nodes_len; i++) {
        w->nodes[i].disk_hung_until = w->nodes[i].disk_full_until = 0;
    }
    for (int i = 0; i < SIM_HOSTS; i++) {
        later(w, roll(w, 0, S), host_again, i, 0);
    }
    control_calm(w);
}
