/*
 * An engine's life: start, crash recovery, promotion with its two steps, an end in order, a crash,
 * and what is left of it meanwhile. An engine runs on its node's data directory alone. `life` is
 * the postmaster's; `proc` is everybody else's, so that a restart within the postmaster is seen as
 * what it is: other processes, the same life.
 */
#include "sim.h"

#define TICK_US         (300 * MS)
#define SHUT_TIMEOUT_US (1500 * MS) /* a shutdown waits no longer for a standby */

/* ---- the disk ----------------------------------------------------------------------------------
 */

bool disk_hung(const World *w, const Node *node)
{
    return node->disk_hung_until > w->now;
}

bool disk_full(const World *w, const Node *node)
{
    return node->disk_full_until > w->now;
}

/* ---- ending ------------------------------------------------------------------------------------
 */

/* What was written and not flushed: after a power cut nothing of it, else perhaps some. */
static void wal_settle(World *w, Node *node, bool power)
{
    Data *data = &node->data;
    if (data->whole && data->len > data->flushed) {
        size_t keep =
            power ? data->flushed : (size_t)roll(w, (int64_t)data->flushed, (int64_t)data->len);
        data_cut(data, keep);
        data->flushed = data->len;
    }
}

/* Its processes end: connections close (not where the power is gone), waits end with them. */
static void processes_end(World *w, Node *node, bool power)
{
    Engine *engine = &node->engine;
    if (!power) {
        proxy_lost(w, node);
    }
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        if (power) {
            engine->senders[i] = (Sender){0};
        } else {
            stream_drop(w, node, &engine->senders[i]);
        }
    }
    if (!power) {
        stream_stop(w, node);
    }
    engine->receiver.conn = 0;
    engine->waiters_len = 0;
    memset(engine->lock, 0, sizeof(engine->lock));
    engine->checkpointer = (Checkpointer){0};
    engine->flag = false;
    engine->sync_lsn = 0;
    proc_begin(w, &engine->proc);
    wal_settle(w, node, power);
}

/* Nothing is left of it. */
static void gone(World *w, Node *node)
{
    Engine *engine = &node->engine;
    trace(w, "%s: its engine is gone (%zu records, timeline %d)", node->id.text, node->data.len,
          data_tli(&node->data));
    engine->state = ENGINE_OFF;
    engine->postmaster = engine->alive = engine->dying = engine->stopping = engine->open = false;
    engine->life = 0;
    agent_wake(w, node->index);
}

static void reap(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (!node->engine.dying || node->engine.life != (uint64_t)event->b) {
        return;
    }
    if (disk_hung(w, node)) {
        later(w, 50 * MS, reap, event->a, event->b);
        return;
    }
    gone(w, node);
}

void engine_kill(World *w, Node *node)
{
    Engine *engine = &node->engine;
    if (!engine->alive || engine->dying) {
        return;
    }
    trace(w, "%s: its engine is killed", node->id.text);
    processes_end(w, node, false);
    engine->dying = true;
    later(w, roll(w, 3 * MS, 30 * MS), reap, node->index, (int64_t)engine->life);
}

void engine_crash(World *w, Node *node, bool power)
{
    if (node->engine.alive) {
        processes_end(w, node, power);
        gone(w, node);
    }
}

static void guard_kills(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (node->engine.life == (uint64_t)event->b && node->engine.guarded) {
        engine_kill(w, node);
    }
}

/* Its children live on until the guard has found them all. */
void engine_kill_postmaster(World *w, Node *node)
{
    Engine *engine = &node->engine;
    if (!engine->alive || !engine->postmaster || engine->dying) {
        return;
    }
    trace(w, "%s: its postmaster is dead", node->id.text);
    engine->postmaster = false;
    later(w, roll_late(w, LATE_OTHER, 20 * MS, 400 * MS), guard_kills, node->index,
          (int64_t)engine->life);
    if (without(w, WITHOUT_REAPING)) {
        agent_wake(w, node->index);
    }
}

/* The postmaster dies with it; the others live on until somebody finds them. */
void engine_kill_guard(World *w, Node *node)
{
    Engine *engine = &node->engine;
    if (engine->alive && !engine->dying) {
        trace(w, "%s: its guard is dead, and the postmaster", node->id.text);
        engine->postmaster = engine->guarded = false;
        agent_wake(w, node->index);
    }
}

/* ---- starting ----------------------------------------------------------------------------------
 */

static void see_all(World *w, Node *node)
{
    Engine *engine = &node->engine;
    const Data *data = &node->data;
    memset(engine->visible, 0, sizeof(engine->visible));
    for (size_t i = 0; i < data->len; i++) {
        const WalRecord *record = &w->records.items[data->ids[i]];
        if (record->kind == RECORD_COMMIT) {
            engine->visible[record->reg] = data->ids[i];
        }
    }
}

static void write_other(World *w, Node *node)
{
    data_append(&node->data, wal_record_new(w, RECORD_OTHER, 0, 0));
    node->data.flushed = node->data.len;
}

static void is_primary(World *w, Node *node)
{
    Engine *engine = &node->engine;
    write_other(w, node);
    see_all(w, node);
    engine->state = ENGINE_PRIMARY;
    trace(w, "%s: its engine is a primary on timeline %d, %zu records", node->id.text,
          data_tli(&node->data), node->data.len);
    agent_wake(w, node->index);
}

static void tick(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    stream_pump(w, node);
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        stream_beat(w, node, &node->engine.senders[i]);
    }
    if (chance(w, 300)) {
        sync_wake(w, node); /* a checkpointer has work of its own, too */
    }
    later_in(w, &node->engine.proc, TICK_US, tick, event->a, 0);
}

static void started(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    if (disk_hung(w, node)) {
        later_in(w, &engine->proc, 20 * MS, started, event->a, 0);
        return;
    }
    if (disk_full(w, node)) {
        engine_crash(w, node, false);
        return;
    }
    later_in(w, &engine->proc, TICK_US, tick, event->a, 0);
    sync_wake(w, node);
    if (node->data.signal) {
        engine->state = ENGINE_RECOVERY;
        trace(w, "%s: its engine is in recovery on timeline %d, %zu records", node->id.text,
              data_tli(&node->data), node->data.len);
        stream_start(w, node);
        agent_wake(w, node->index);
        return;
    }
    is_primary(w, node);
}

void engine_start(World *w, Node *node, bool primary, int64_t term)
{
    Engine *engine = &node->engine;
    if (engine->alive) { /* its shared memory is in use */
        trace(w, "%s: it does not start beside what is left", node->id.text);
        return;
    }
    int source = engine->receiver.source;
    HaSet file = engine->file;
    *engine = (Engine){.state = ENGINE_STARTING,
                       .proc.gen = ++w->lives,
                       .term = term,
                       .postmaster = true,
                       .alive = true,
                       .guarded = true,
                       .file = file,
                       .loaded = file,
                       .receiver.source = source};
    engine->life = ++w->lives;
    node->data.signal = !primary;
    trace(w, "%s: its engine starts, %s", node->id.text, primary ? "as a primary" : "to recover");
    int64_t us = primary ? roll(w, 300 * MS, 3 * S) : roll(w, 80 * MS, 500 * MS);
    if (node->data.len == 0) {
        us = 200 * MS;
    }
    later_in(w, &engine->proc, us, started, node->index, 0);
}

/* ---- promotion ---------------------------------------------------------------------------------
 */

/* The record that ends recovery; from here on it is on the new timeline. */
static void promote_second(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (disk_hung(w, node)) {
        later_in(w, &node->engine.proc, 20 * MS, promote_second, event->a, 0);
        return;
    }
    data_fork(&node->data, node->data.tli_max);
    is_primary(w, node);
}

/* The history file is there, standby.signal is not: a start from here is one on the old timeline.
 */
static void promote_first(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (disk_hung(w, node)) {
        later_in(w, &node->engine.proc, 20 * MS, promote_first, event->a, 0);
        return;
    }
    node->data.signal = false;
    node->data.tli_max++;
    later_in(w, &node->engine.proc, roll_late(w, LATE_OTHER, 40 * MS, 300 * MS), promote_second,
             event->a, 0);
}

void engine_promote(World *w, Node *node)
{
    Engine *engine = &node->engine;
    if (engine->state != ENGINE_RECOVERY || engine->stopping || engine->dying ||
        !engine->postmaster) {
        return;
    }
    trace(w, "%s: its engine is promoted", node->id.text);
    stream_stop(w, node);
    node->data.flushed = node->data.len;
    engine->state = ENGINE_PROMOTING;
    later_in(w, &engine->proc, roll(w, 20 * MS, 150 * MS), promote_first, node->index, 0);
}

/* ---- an end in order ---------------------------------------------------------------------------
 */

static bool all_sent(const Engine *engine, const Data *data)
{
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        const Sender *sender = &engine->senders[i];
        if (sender->conn != 0 && sender->streaming && sender->flush < data->len) {
            return false;
        }
    }
    return true;
}

static void stop_look(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    bool waits = !all_sent(&node->engine, &node->data) && w->now - event->b < SHUT_TIMEOUT_US;
    if (waits || disk_hung(w, node)) {
        stream_pump(w, node);
        later_in(w, &node->engine.proc, 5 * MS, stop_look, event->a, event->b);
        return;
    }
    engine_crash(w, node, false);
}

static void stop_begin(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    proxy_lost(w, node);
    engine->waiters_len = 0;
    memset(engine->lock, 0, sizeof(engine->lock));
    if (engine->state == ENGINE_PRIMARY) {
        write_other(w, node);
    }
    stream_pump(w, node);
    later_in(w, &engine->proc, roll(w, 20 * MS, 150 * MS), stop_look, event->a, w->now);
}

void engine_stop(World *w, Node *node)
{
    Engine *engine = &node->engine;
    if (!engine->alive || engine->stopping || engine->dying) {
        return;
    }
    trace(w, "%s: its engine is stopped", node->id.text);
    if (engine->state == ENGINE_STARTING || !engine->postmaster) {
        engine_kill(w, node);
        return;
    }
    engine->stopping = true;
    later_in(w, &engine->proc, roll(w, 1 * MS, 5 * MS), stop_begin, node->index, 0);
}

/* ---- a backend's crash -------------------------------------------------------------------------
 */

static void crash_ends(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (node->engine.life == (uint64_t)event->b && !node->engine.dying) {
        engine_crash(w, node, false);
    }
}

static void restarted(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    later_in(w, &node->engine.proc, TICK_US, tick, event->a, 0);
    sync_wake(w, node);
    is_primary(w, node);
}

void engine_kill_backend(World *w, Node *node)
{
    Engine *engine = &node->engine;
    if (engine->state != ENGINE_PRIMARY || engine->dying || !engine->postmaster) {
        return;
    }
    trace(w, "%s: a backend is dead", node->id.text);
    if (without(w, WITHOUT_EXIT)) { /* everybody else again, under the same postmaster */
        processes_end(w, node, false);
        engine->state = ENGINE_STARTING;
        later_in(w, &engine->proc, roll(w, 50 * MS, 400 * MS), restarted, node->index, 0);
        return;
    }
    later(w, roll(w, 2 * MS, 20 * MS), crash_ends, node->index, (int64_t)engine->life);
}

/* ---- looking at it -----------------------------------------------------------------------------
 */

bool engine_answers(const World *w, const Node *node)
{
    const Engine *engine = &node->engine;
    bool runs = engine->state == ENGINE_RECOVERY || engine->state == ENGINE_PROMOTING ||
                engine->state == ENGINE_PRIMARY;
    return runs && engine->alive && engine->postmaster && !engine->dying &&
           !proc_paused(w, &engine->proc) && !disk_hung(w, node);
}

bool engine_busy(const Engine *engine)
{
    for (size_t i = 0; i < SIM_REGISTERS; i++) {
        if (engine->lock[i] != 0) {
            return true;
        }
    }
    return false;
}

static void reloaded(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    node->engine.loaded = node->engine.file;
    sync_wake(w, node);
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        sync_reread(w, node, &node->engine.senders[i]);
    }
}

void engine_reload(World *w, Node *node)
{
    if (node->engine.alive && node->engine.postmaster) {
        later_in(w, &node->engine.proc, roll_late(w, LATE_CHECKPOINTER, 2 * MS, 200 * MS), reloaded,
                 node->index, 0);
    }
}
