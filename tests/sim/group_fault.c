/* The faults of a group's runs (fault.c): Redis, its fronts, the hosts that they are on. */
#include "group_sim.h"

static bool is_hosted(World *w, const Node *node)
{
    return w->hosts[node->host].up;
}

/* ---- processes ---------------------------------------------------------------------------------
 */

static void kill_redis(World *w, bool alone)
{
    redis_kill(w, &w->nodes[fault_node(w, alone)]);
}

static void kill_replica(World *w, bool alone)
{
    (void)alone;
    redis_kill(w, &w->nodes[fault_other(w)]);
}

/* What it guarded runs on, until its agent ends it. */
static void kill_guard(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    if (is_hosted(w, node) && redis_of(w, node)->alive) {
        trace(w, "%s: its guard is dead", node->id.text);
        redis_of(w, node)->guarded = false;
        if (!w->one_host) { /* by the death signal; a fence without a guard is none */
            redis_kill(w, node);
        }
        group_agent_look_soon(w, node->index, roll(w, 300, 3 * MS));
    }
}

static void node_dies(World *w, const Event *event)
{
    redis_kill(w, &w->nodes[event->a]);
}

/* Two at nearly the same time. */
static void kill_two(World *w, bool alone)
{
    (void)alone;
    redis_kill(w, &w->nodes[fault_node(w, true)]);
    later(w, roll(w, 0, 2 * S), node_dies, fault_other(w), 0);
}

/* A replica is taken away, and then the leader is lost. */
static void remove_and_kill(World *w, bool alone)
{
    (void)alone;
    group_control_remove(w, fault_other(w));
    later(w, roll(w, 0, 800 * MS), node_dies, w->kind->leader(w), 0);
}

static void pause_redis(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    int64_t us = alone ? 20 * S : roll(w, 50 * MS, 8 * S);
    trace(w, "%s: Redis is stopped for %lld ms", node->id.text, (long long)(us / MS));
    proc_pause(w, &redis_of(w, node)->proc, w->now + us);
}

/* It answers nobody, and computes. */
static void run_script(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    int64_t us = alone ? roll(w, S, 6 * S) : roll(w, 50 * MS, 14 * S);
    Redis *redis = redis_of(w, node);
    if (redis->role == REDIS_PRIMARY || redis->role == REDIS_REPLICA) {
        trace(w, "%s: a script of %lld ms", node->id.text, (long long)(us / MS));
        redis->busy_until = w->now + us;
    }
}

static void front_again(World *w, const Event *event)
{
    const Front *front = &w->group->fronts[event->a];
    if (!front->up && w->hosts[front->host].up) {
        front_start(w, (int)event->a);
    }
}

static void kill_front(World *w, bool alone)
{
    (void)alone;
    int front = (int)roll(w, 0, w->proxies_len - 1);
    trace(w, "f%d is dead", front);
    front_kill(w, front);
    later(w, roll(w, 50 * MS, 500 * MS), front_again, front, 0);
}

static void pause_front(World *w, bool alone)
{
    (void)alone;
    int front = (int)roll(w, 0, w->proxies_len - 1);
    int64_t us = roll(w, 50 * MS, 4 * S);
    trace(w, "f%d is stopped for %lld ms", front, (long long)(us / MS));
    proc_pause(w, &w->group->fronts[front].proc, w->now + us);
}

/* ---- hosts -------------------------------------------------------------------------------------
 */

void group_host_on(World *w, const Event *event)
{
    int host = (int)event->a;
    if (w->hosts[host].up) {
        return;
    }
    trace(w, "h%d: on", host);
    w->hosts[host].up = true;
    group_agent_start(w, host);
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->group->fronts[i].host == host) {
            front_start(w, i);
        }
    }
}

void group_host_off(World *w, int host)
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
            redis_end(w, &w->nodes[i], true);
            w->nodes[i].disk_hung_until = 0;
        }
    }
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->group->fronts[i].host == host) {
            front_kill(w, i);
        }
    }
}

static void crash_host(World *w, bool alone)
{
    int host = alone ? w->nodes[fault_node(w, true)].host : fault_host(w);
    group_host_off(w, host);
    later(w, roll(w, S, 10 * S), group_host_on, host, 0);
}

static void pause_host(World *w, bool alone)
{
    int host = alone ? w->nodes[fault_node(w, true)].host : fault_host(w);
    int64_t until = w->now + roll(w, 50 * MS, 8 * S);
    trace(w, "h%d is stopped for %lld ms", host, (long long)((until - w->now) / MS));
    w->hosts[host].paused_until = until;
    proc_pause(w, &w->agents[host].proc, until);
    for (int i = 0; i < w->nodes_len; i++) {
        if (w->nodes[i].host == host) {
            proc_pause(w, &w->group->redis[i].proc, until);
        }
    }
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->group->fronts[i].host == host) {
            proc_pause(w, &w->group->fronts[i].proc, until);
        }
    }
}

/* ---- disks and links ---------------------------------------------------------------------------
 */

static void hang_disk(World *w, bool alone)
{
    Node *node = &w->nodes[fault_node(w, alone)];
    int64_t us = alone ? roll(w, 50 * MS, 5 * S) : roll(w, 50 * MS, 8 * S);
    trace(w, "%s: its disk hangs for %lld ms", node->id.text, (long long)(us / MS));
    node->disk_hung_until = w->now + us;
}

/* A replica's, while everything is well: the others have it all. */
static void lose_disk(World *w, bool alone)
{
    (void)alone;
    Node *node = &w->nodes[fault_other(w)];
    if (group_check_settled(w)) {
        trace(w, "%s: its data is lost", node->id.text);
        redis_end(w, node, true);
        data_clear(&node->data);
    }
}

/* The leader's, while everything is well. What nobody else has is gone. */
static void lose_leader(World *w, bool alone)
{
    (void)alone;
    Node *node = &w->nodes[fault_node(w, true)];
    if (!group_check_settled(w)) {
        return;
    }
    trace(w, "%s: its data is lost, and it led", node->id.text);
    for (size_t i = 0; i < node->data.len; i++) {
        uint32_t id = node->data.ids[i];
        bool kept = false;
        for (int j = 0; j < w->nodes_len; j++) {
            kept = kept || (j != node->index && data_has(&w->nodes[j].data, id));
        }
        GroupWrite *write = &w->group->writes.items[id];
        write->fragile = write->fragile || !kept;
    }
    redis_end(w, node, false);
    data_clear(&node->data);
}

/* A replica's end of the stream is reset, and nobody tells the other end. */
static void half_open(World *w, bool alone)
{
    (void)alone;
    int index = fault_other(w);
    Redis *redis = &w->group->redis[index];
    if (redis->role != REDIS_REPLICA || redis->source.phase != REDIS_LINK_UP) {
        return;
    }
    trace(w, "%s: its link is reset, and nobody is told", w->nodes[index].id.text);
    Redis *from = &w->group->redis[redis->source.node];
    for (size_t i = 0; i < from->senders.len; i++) {
        RedisSender *sender = &from->senders.items[i];
        sender->deaf = sender->deaf || sender->conn == redis->source.conn;
    }
    redis->source.conn = 0;
    redis_link_drop(w, &w->nodes[index]);
    redis_link_try(w, &w->nodes[index], 0);
}

static void store_goes(World *w, const Event *event)
{
    (void)event;
    fault_store(w, true);
}

/* On several hosts a leader proves by its replicas' words that it may go on: links are to be some
 * seconds old for it. */
static void lose_store(World *w, bool alone)
{
    if (alone && !w->one_host) {
        later(w, 3500 * MS, store_goes, 0, 0);
    } else {
        fault_store(w, alone);
    }
}

/* ---- all of them -------------------------------------------------------------------------------
 */

const Fault group_faults[SIM_GROUP_FAULTS] = {
    {"Redis killed", 12, 2500 * MS, false, false, kill_redis},
    {"replica killed", 8, 2500 * MS, true, false, kill_replica},
    {"two killed", 6, 0, false, false, kill_two},
    {"one removed, one killed", 6, 0, false, false, remove_and_kill},
    {"guard killed", 5, 2500 * MS, false, false, kill_guard},
    {"agent killed", 12, 500 * MS, true, false, fault_kill_agent},
    {"agent stopped", 12, 500 * MS, true, false, fault_pause_agent},
    {"Redis stopped", 8, 4000 * MS, false, false, pause_redis},
    {"script", 6, 6500 * MS, true, false, run_script},
    {"front killed", 4, 500 * MS, true, false, kill_front},
    {"front stopped", 4, 0, false, false, pause_front},
    {"host off", 4, 14000 * MS, false, false, crash_host},
    {"host stopped", 6, 9500 * MS, false, false, pause_host},
    {"disk hangs", 8, 6500 * MS, false, false, hang_disk},
    {"disk lost", 4, 2500 * MS, true, false, lose_disk},
    {"leader's disk lost", 4, 5000 * MS, false, false, lose_leader},
    {"link cut", 14, 14000 * MS, false, true, fault_cut_link},
    {"host isolated", 6, 20000 * MS, false, true, fault_isolate},
    {"slow", 10, 0, false, false, fault_slow},
    {"half open", 6, 0, false, false, half_open},
    {"store away", 6, 500 * MS, true, false, lose_store},
    {"control", 12, 0, false, false, group_control_act},
    {"planned change", 8, 1000 * MS, false, false, group_control_handover},
    {"hosts lost", 14, 0, false, true, fault_lose_hosts},
};

/* What is stopped goes on, what is off comes back. */
void group_calm(World *w)
{
    for (int i = 0; i < w->nodes_len; i++) {
        w->nodes[i].disk_hung_until = 0;
    }
    for (int i = 0; i < SIM_HOSTS; i++) {
        later(w, roll(w, 0, S), group_host_on, i, 0);
    }
    group_control_calm(w);
}
