/*
 * A proxy: it follows the record by what the agent of its host tells it, sends to the leader while
 * that serves, holds requests otherwise, and answers by right (F9) where there are several hosts. A
 * success that a cut wait could have made waits behind a gate (F6).
 */
#include "sim.h"

#define TICK_US  (50 * MS)
#define PROBE_US (HA_RIGHT_MS * MS / 4)
#define HELLO_US (400 * MS)

static void list_drop(uint32_t *list, size_t *len, uint32_t op)
{
    for (size_t i = 0; i < *len; i++) {
        if (list[i] == op) {
            memmove(&list[i], &list[i + 1], (*len - i - 1) * sizeof(list[0]));
            (*len)--;
            return;
        }
    }
}

static bool has_right(const World *w, const Proxy *proxy)
{
    return w->one_host || without(w, WITHOUT_RIGHT) ||
           host_now(w, proxy->host) < proxy->right_until;
}

/* ---- sending -----------------------------------------------------------------------------------
 */

static uint32_t ask(World *w, Proxy *proxy, RequestKind kind, uint32_t op, int reg)
{
    const Request request = {.kind = kind,
                             .proxy = (int)(proxy - w->proxies),
                             .proxy_gen = proxy->proc.gen,
                             .node = proxy->leader,
                             .run = proxy->run,
                             .op = op,
                             .reg = reg,
                             .begun = host_now(w, proxy->host)};
    uint32_t made = request_new(w, &request);
    request_send(w, made);
    return made;
}

static void flush(World *w, Proxy *proxy)
{
    while (proxy->held_len > 0 && proxy->serves && proxy->run != 0 && has_right(w, proxy)) {
        uint32_t op = proxy->held[0];
        list_drop(proxy->held, &proxy->held_len, op);
        Op *what = &w->ops.items[op];
        if (what->state != OP_HELD) {
            continue;
        }
        ASSERT(proxy->sent_len < SIM_HELD);
        proxy->sent[proxy->sent_len++] = op;
        what->state = OP_SENT;
        uint32_t request = ask(w, proxy, what->kind, op, what->reg);
        w->ops.items[op].request = request;
    }
}

static void hold(World *w, Proxy *proxy, uint32_t op)
{
    ASSERT(proxy->held_len < SIM_HELD);
    w->ops.items[op].state = OP_HELD;
    proxy->held[proxy->held_len++] = op;
}

static void answer(World *w, Proxy *proxy, uint32_t op, bool known, bool refused)
{
    list_drop(proxy->sent, &proxy->sent_len, op);
    list_drop(proxy->held, &proxy->held_len, op);
    if (w->ops.items[op].state != OP_OVER) {
        client_answer(w, op, known, refused);
    }
}

void proxy_take(World *w, int index, uint32_t op)
{
    Proxy *proxy = &w->proxies[index];
    hold(w, proxy, op);
    flush(w, proxy);
}

/* ---- connections -------------------------------------------------------------------------------
 */

/* What was sent and not answered: reads are sent again, of writes nobody knows. */
static void disconnect(World *w, Proxy *proxy)
{
    proxy->run = 0;
    proxy->hello_at = 0;
    proxy->right_until = 0;
    proxy->probe = 0;
    uint32_t lost[SIM_HELD];
    size_t lost_len = proxy->sent_len;
    memcpy(lost, proxy->sent, sizeof(lost));
    proxy->sent_len = 0;
    for (size_t i = 0; i < lost_len; i++) {
        Op *op = &w->ops.items[lost[i]];
        if (op->state == OP_OVER) {
            continue;
        }
        if (op->kind == REQUEST_READ) {
            hold(w, proxy, lost[i]);
        } else {
            client_answer(w, lost[i], false, false);
        }
    }
}

void proxy_eof(World *w, const Event *event)
{
    Proxy *proxy = &w->proxies[event->a];
    if (proxy->run == (uint64_t)event->b) {
        disconnect(w, proxy);
    }
}

void proxy_lost(World *w, Node *node)
{
    for (int i = 0; i < w->proxies_len; i++) {
        Proxy *proxy = &w->proxies[i];
        if (proxy->up && proxy->run != 0 && proxy->run == node->engine.proc.gen) {
            send_to(w, node->host, proxy->host, &proxy->proc, proxy_eof, i, (int64_t)proxy->run,
                    NULL);
        }
    }
}

void proxy_heard(World *w, int index, const Snapshot *snap)
{
    Proxy *proxy = &w->proxies[index];
    if (snap->record_revision <= proxy->revision) {
        return;
    }
    int leader = node_by_id(w, &snap->record.leader);
    bool another = leader != proxy->leader || snap->record.term != proxy->term;
    proxy->revision = snap->record_revision;
    proxy->term = snap->record.term;
    proxy->leader = leader;
    proxy->serves = ha_record_serves(&snap->record);
    if (another) {
        disconnect(w, proxy);
    }
    flush(w, proxy);
}

static void tick(World *w, const Event *event)
{
    Proxy *proxy = &w->proxies[event->a];
    later_in(w, &proxy->proc, TICK_US, tick, event->a, 0);
    if (proxy->leader < 0) {
        return;
    }
    if (proxy->run == 0) {
        if (proxy->serves && (proxy->hello_at == 0 || w->now - proxy->hello_at > HELLO_US)) {
            proxy->hello_at = w->now;
            ask(w, proxy, REQUEST_HELLO, 0, 0);
        }
        return;
    }
    if (!w->one_host && proxy->probe == 0 && w->now - proxy->probe_at >= PROBE_US) {
        proxy->probe_at = w->now;
        proxy->probe = ask(w, proxy, REQUEST_PROBE, 0, 0);
    }
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void probed(World *w, Proxy *proxy, uint32_t request)
{
    const Request *what = &w->requests.items[request];
    if (what->op != 0) { /* it stood behind a gate */
        answer(w, proxy, what->op, !what->notice, false);
        return;
    }
    if (request == proxy->probe) {
        proxy->probe = 0;
    }
    int64_t until = what->begun + HA_RIGHT_MS * MS;
    if (!what->notice && until > proxy->right_until) {
        proxy->right_until = until;
    }
    flush(w, proxy);
}

static void client_request_done(World *w, Proxy *proxy, uint32_t request)
{
    const Request *what = &w->requests.items[request];
    uint32_t op = what->op;
    Op *of = &w->ops.items[op];
    if (of->state != OP_SENT || of->request != request) {
        return;
    }
    if (what->refused) {
        answer(w, proxy, op, false, true);
        return;
    }
    of->record = what->record;
    of->value = what->value;
    if (of->kind == REQUEST_READ) {
        if (has_right(w, proxy)) {
            answer(w, proxy, op, true, false);
        } else {
            list_drop(proxy->sent, &proxy->sent_len, op);
            hold(w, proxy, op);
        }
        return;
    }
    bool suspect = what->notice || of->cancelled;
    if (suspect && !without(w, WITHOUT_GATE)) {
        of->state = OP_GATED;
        ask(w, proxy, REQUEST_PROBE, op, 0);
        return;
    }
    answer(w, proxy, op, true, false);
}

void proxy_answer(World *w, const Event *event)
{
    Proxy *proxy = &w->proxies[event->a];
    uint32_t request = (uint32_t)event->b;
    const Request *what = &w->requests.items[request];
    if (what->kind == REQUEST_HELLO) {
        if (proxy->run == 0 && proxy->hello_at != 0 && what->node == proxy->leader) {
            proxy->run = what->run;
            proxy->hello_at = 0;
            proxy->probe_at = 0;
            flush(w, proxy);
        }
        return;
    }
    if (what->run != proxy->run) {
        return; /* of a connection that is closed */
    }
    if (what->kind == REQUEST_PROBE) {
        probed(w, proxy, request);
    } else {
        client_request_done(w, proxy, request);
    }
}

/* ---- cancels -----------------------------------------------------------------------------------
 */

static void cancel(World *w, const Event *event)
{
    const Request *what = &w->requests.items[event->b];
    Node *node = &w->nodes[event->a];
    if (node->engine.alive && !node->engine.dying && node->engine.proc.gen == what->run) {
        sync_cancel(w, node, (uint32_t)event->b);
    }
}

void proxy_cancel(World *w, int index, uint32_t op)
{
    Proxy *proxy = &w->proxies[index];
    Op *what = &w->ops.items[op];
    if (what->state == OP_HELD) {
        answer(w, proxy, op, false, true);
    } else if (what->state == OP_SENT && proxy->run != 0) {
        what->cancelled = true;
        Node *node = &w->nodes[proxy->leader];
        send_to(w, proxy->host, node->host, &node->engine.proc, cancel, node->index, what->request,
                NULL);
    }
}

/* ---- its life ----------------------------------------------------------------------------------
 */

void proxy_start(World *w, int index)
{
    Proxy *proxy = &w->proxies[index];
    int host = proxy->host;
    *proxy = (Proxy){.up = true, .host = host, .leader = -1, .proc.gen = ++w->lives};
    later_in(w, &proxy->proc, roll(w, 1 * MS, TICK_US), tick, index, 0);
    const Agent *agent = &w->agents[host];
    if (agent->up && agent->snap.revision > 0) {
        proxy_heard(w, index, &agent->snap);
    }
}

void proxy_kill(World *w, int index)
{
    Proxy *proxy = &w->proxies[index];
    if (!proxy->up) {
        return;
    }
    proxy->up = false;
    proc_begin(w, &proxy->proc);
    for (uint32_t op = 1; op < w->ops.len; op++) {
        Op *what = &w->ops.items[op];
        if (what->proxy == index && what->state != OP_OVER) {
            client_answer(w, op, false, false);
        }
    }
}
