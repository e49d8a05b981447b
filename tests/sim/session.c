/*
 * What a client's (or a probe's) request does on an engine: it reads what is visible, or it locks
 * its register, writes a record, flushes it, waits for the standbys, and only then shows it and
 * answers.
 */
#include "sim.h"

uint32_t request_new(World *w, const Request *request)
{
    vec_push(&w->requests, *request);
    return (uint32_t)w->requests.len - 1;
}

/* ---- the answer --------------------------------------------------------------------------------
 */

void request_done(World *w, Node *node, uint32_t request)
{
    const Request *what = &w->requests.items[request];
    if (what->proxy < 0) {
        Agent *agent = &w->agents[node->host];
        if (agent->proc.gen == what->proxy_gen) {
            later_in(w, &agent->proc, 20, agent_probed, node->index, request);
        }
        return;
    }
    Proxy *proxy = &w->proxies[what->proxy];
    if (proxy->proc.gen == what->proxy_gen) {
        send_to(w, node->host, proxy->host, &proxy->proc, proxy_answer, what->proxy, request, NULL);
    }
}

/* The wait is over: what was written can be seen. */
void request_release(World *w, Node *node, uint32_t request, bool notice)
{
    Request *what = &w->requests.items[request];
    what->notice = notice;
    if (what->kind == REQUEST_WRITE) {
        node->engine.visible[what->reg] = what->record;
        if (node->engine.lock[what->reg] == request) {
            node->engine.lock[what->reg] = 0;
        }
    }
    request_done(w, node, request);
}

/* ---- doing it ----------------------------------------------------------------------------------
 */

static void flushed(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    const Request *what = &w->requests.items[event->b];
    if (disk_hung(w, node)) {
        later_in(w, &engine->proc, 20 * MS, flushed, event->a, event->b);
        return;
    }
    node->data.flushed = what->lsn > node->data.flushed ? what->lsn : node->data.flushed;
    stream_pump(w, node);
    if (engine->stopping) {
        return; /* it was terminated: nobody is told */
    }
    sync_wait(w, node, (uint32_t)event->b);
}

static void write_record(World *w, Node *node, uint32_t request)
{
    Request *what = &w->requests.items[request];
    bool probe = what->kind == REQUEST_PROBE;
    what->value = probe ? 0 : node->engine.visible[what->reg];
    what->record = wal_record_new(w, probe ? RECORD_PROBE : RECORD_COMMIT, what->reg, what->value);
    w->records.items[what->record].term = node->engine.term;
    data_append(&node->data, what->record);
    what->lsn = node->data.len;
    later_in(w, &node->engine.proc, roll(w, 60, 250), flushed, node->index, request);
}

static void execute(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    uint32_t request = (uint32_t)event->b;
    Request *what = &w->requests.items[request];
    if (engine->stopping) {
        return;
    }
    if (what->kind == REQUEST_HELLO || what->kind == REQUEST_READ) {
        what->value = what->kind == REQUEST_READ ? engine->visible[what->reg] : 0;
        request_done(w, node, request);
        return;
    }
    if (what->cancelled) {
        what->refused = true;
        request_done(w, node, request);
        return;
    }
    if (disk_full(w, node)) {
        engine_crash(w, node, false);
        return;
    }
    bool locks = what->kind == REQUEST_WRITE;
    if (disk_hung(w, node) || (locks && engine->lock[what->reg] != 0)) {
        later_in(w, &engine->proc, roll(w, 500, 2 * MS), execute, event->a, event->b);
        return;
    }
    if (locks) {
        engine->lock[what->reg] = request;
        engine->asked_at = w->now;
    }
    write_record(w, node, request);
}

/* A connection to another life of the engine is none; a new one needs a postmaster and, but for the
 * agent's, an open gate. */
static bool accepts(const Engine *engine, const Request *what)
{
    if (!engine->alive || engine->dying || engine->stopping || engine->state != ENGINE_PRIMARY) {
        return false;
    }
    return what->run != 0 ? what->run == engine->proc.gen
                          : engine->postmaster && (engine->open || what->proxy < 0);
}

static void arrive(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    Request *what = &w->requests.items[event->b];
    if (accepts(engine, what)) {
        what->run = engine->proc.gen;
        later_in(w, &engine->proc, roll(w, 30, 200), execute, event->a, event->b);
        return;
    }
    if (what->proxy >= 0 && what->run != 0 && what->run != engine->proc.gen) {
        Proxy *proxy = &w->proxies[what->proxy];
        send_to(w, node->host, proxy->host, &proxy->proc, proxy_eof, what->proxy,
                (int64_t)what->run, NULL);
    }
}

void request_send(World *w, uint32_t request)
{
    const Request *what = &w->requests.items[request];
    Node *node = &w->nodes[what->node];
    int from = what->proxy >= 0 ? w->proxies[what->proxy].host : node->host;
    send_to(w, from, node->host, NULL, arrive, what->node, request, NULL);
}
