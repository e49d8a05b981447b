/*
 * Faults: each may come at any moment, several at a time; all of them end. When they strike, and
 * those that any run has: agents, links, the store. The rest is its kind's.
 */
#include "sim.h"

/* ---- whom --------------------------------------------------------------------------------------
 */

static int any_node(World *w)
{
    return (int)roll(w, 0, w->nodes_len - 1);
}

int fault_node(World *w, bool alone)
{
    return alone || chance(w, 600) ? w->kind->leader(w) : any_node(w);
}

int fault_host(World *w)
{
    return w->one_host ? 0 : any_node(w);
}

int fault_other(World *w)
{
    return (w->kind->leader(w) + 1 + (int)roll(w, 0, w->nodes_len - 2)) % w->nodes_len;
}

/* ---- agents ------------------------------------------------------------------------------------
 */

static void agent_again(World *w, const Event *event)
{
    int host = (int)event->a;
    if (!w->agents[host].up && w->hosts[host].up) {
        w->kind->agent_start(w, host);
    }
}

void fault_kill_agent(World *w, bool alone)
{
    (void)alone;
    int host = fault_host(w);
    if (w->hosts[host].up) {
        agent_kill(w, host);
        later(w, roll(w, 100 * MS, 2 * S), agent_again, host, 0);
    }
}

void fault_pause_agent(World *w, bool alone)
{
    int host = fault_host(w);
    int64_t us = alone ? roll(w, 100 * MS, S) : roll(w, 50 * MS, 8 * S);
    trace(w, "h%d: its agent is stopped for %lld ms", host, (long long)(us / MS));
    proc_pause(w, &w->agents[host].proc, w->now + us);
}

/* ---- links, the store --------------------------------------------------------------------------
 */

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

void fault_cut_link(World *w, bool alone)
{
    (void)alone;
    int from = any_place(w);
    int to = any_place(w);
    if (from != to) {
        cut(w, from, to, roll(w, 50 * MS, 8 * S), chance(w, 600));
    }
}

void fault_isolate(World *w, bool alone)
{
    int host = alone ? w->nodes[fault_node(w, true)].host : fault_host(w);
    int64_t us = alone ? 20 * S : roll(w, 200 * MS, 8 * S);
    bool both = alone || chance(w, 700);
    for (int place = 0; place < SIM_PLACES; place++) {
        if (place != host && (alone || chance(w, 850))) {
            cut(w, host, place, us, both);
        }
    }
}

void fault_slow(World *w, bool alone)
{
    (void)alone;
    int place = any_place(w);
    w->slow[place] = chance(w, 500) ? 1 : (int)roll(w, 5, 300);
    trace(w, "h%d: %d times as slow", place, w->slow[place]);
}

void fault_store(World *w, bool alone)
{
    sim_store_away(w, alone ? 8 * S : roll(w, 100 * MS, 6 * S));
}

/* ---- when --------------------------------------------------------------------------------------
 */

static const Fault *choose(World *w, bool alone)
{
    for (;;) {
        size_t len = w->kind->faults_len - (w->may_lose ? 0 : w->kind->faults_lost);
        const Fault *fault = &w->kind->faults[roll(w, 0, (int64_t)len - 1)];
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
    w->check.first_term = w->kind->term(&w->store.now);
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
    w->kind->calm(w);
}
