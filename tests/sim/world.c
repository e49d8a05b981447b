/*
 * Time: the heap of events, chance, processes that end and stop, messages that wait for a way, and
 * the trace. A run is over when somebody says so, or when nothing is left to happen.
 */
#include <stdio.h>

#include "sim.h"

#define RETRY_US (100 * MS) /* a message looks again whether its way is free */

/* ---- chance ------------------------------------------------------------------------------------
 */

/* splitmix64 */
static uint64_t next(World *w)
{
    w->rng += 0x9e3779b97f4a7c15U;
    uint64_t z = w->rng;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

int64_t roll(World *w, int64_t low, int64_t high)
{
    ASSERT(low <= high);
    return low + (int64_t)(next(w) % (uint64_t)(high - low + 1));
}

bool chance(World *w, int permille)
{
    return roll(w, 0, 999) < permille;
}

int64_t roll_late(World *w, Late what, int64_t short_us, int64_t long_us)
{
    return chance(w, w->late[what]) ? roll(w, short_us, long_us) : roll(w, short_us / 4, short_us);
}

bool is_cut(const World *w, int from, int to)
{
    return w->cut_until[from][to] > w->now;
}

bool without(const World *w, Switch what)
{
    return w->setup.without[what];
}

int64_t host_now(const World *w, int host)
{
    return w->now + w->hosts[host].clock;
}

/* ---- the heap ----------------------------------------------------------------------------------
 */

static bool before(const Event *x, const Event *y)
{
    return x->at != y->at ? x->at < y->at : x->seq < y->seq;
}

static void push(World *w, Event event)
{
    event.seq = ++w->seq;
    vec_push(&w->heap, event);
    size_t i = w->heap.len - 1;
    while (i > 0 && before(&event, &w->heap.items[(i - 1) / 2])) {
        w->heap.items[i] = w->heap.items[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap.items[i] = event;
}

static Event pop(World *w)
{
    Event *heap = w->heap.items;
    Event first = heap[0];
    Event last = heap[--w->heap.len];
    size_t len = w->heap.len;
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= len) {
            break;
        }
        if (child + 1 < len && before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!before(&heap[child], &last)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    if (len > 0) {
        heap[i] = last;
    }
    return first;
}

static void plan(World *w, int64_t delay_us, Event event)
{
    ASSERT(delay_us >= 0);
    event.at = w->now + delay_us;
    event.gen = event.proc != NULL ? event.proc->gen : 0;
    push(w, event);
}

void later(World *w, int64_t delay_us, EventFn *fn, int64_t a, int64_t b)
{
    plan(w, delay_us, (Event){.fn = fn, .from = -1, .to = -1, .a = a, .b = b});
}

void later_in(World *w, Proc *proc, int64_t delay_us, EventFn *fn, int64_t a, int64_t b)
{
    plan(w, delay_us, (Event){.fn = fn, .proc = proc, .from = -1, .to = -1, .a = a, .b = b});
}

void send_to(World *w, int from, int to, Proc *proc, EventFn *fn, int64_t a, int64_t b, void *data)
{
    send_late(w, 0, from, to, proc, fn, a, b, data);
}

void send_late(World *w, int64_t us, int from, int to, Proc *proc, EventFn *fn, int64_t a,
               int64_t b, void *data)
{
    int64_t delay_us = from == to ? roll(w, 10, 60) : roll(w, 80, 400);
    int slow = w->slow[from] > w->slow[to] ? w->slow[from] : w->slow[to];
    if (from != to) {
        delay_us *= slow;
    }
    plan(w, us + delay_us,
         (Event){.fn = fn, .proc = proc, .from = from, .to = to, .a = a, .b = b, .data = data});
}

/* ---- processes ---------------------------------------------------------------------------------
 */

void proc_begin(World *w, Proc *proc)
{
    proc->gen = ++w->lives;
    proc->paused_until = 0;
}

void proc_pause(World *w, Proc *proc, int64_t until)
{
    if (until > proc->paused_until && until > w->now) {
        proc->paused_until = until;
    }
}

bool proc_paused(const World *w, const Proc *proc)
{
    return proc->paused_until > w->now;
}

/* ---- running -----------------------------------------------------------------------------------
 */

/* Whether it has to wait: for its way, or for its process. */
static bool put_off(World *w, Event *event)
{
    bool shut = event->from >= 0 && (is_cut(w, event->from, event->to) ||
                                     (event->to != SIM_STORE && !w->hosts[event->to].up));
    if (shut) {
        event->at = w->now + RETRY_US;
    } else if (event->proc != NULL && proc_paused(w, event->proc)) {
        event->at = event->proc->paused_until + 1;
    } else {
        return false;
    }
    push(w, *event);
    return true;
}

bool world_run(World *w)
{
    while (!w->over && w->heap.len > 0) {
        Event event = pop(w);
        w->now = event.at;
        if (event.proc != NULL && event.gen != event.proc->gen) {
            mem_free(event.data);
            continue;
        }
        if (put_off(w, &event)) {
            continue;
        }
        w->events++;
        event.fn(w, &event);
        mem_free(event.data);
    }
    return !w->failed;
}

/* ---- the trace ---------------------------------------------------------------------------------
 */

PRINTF_LIKE(2, 0) static void line_add(World *w, const char *format, va_list args)
{
    char text[SIM_TEXT];
    int len = snprintf(text, sizeof(text), "%9.3f ms  ", (double)w->now / 1000.0);
    vsnprintf(text + len, sizeof(text) - (size_t)len, format, args);
    if (w->setup.print) {
        puts(text);
    }
    if (w->lines != NULL) {
        memcpy(w->lines[w->lines_len++ % w->setup.keep], text, sizeof(text));
    }
}

void trace(World *w, const char *format, ...)
{
    if (w->setup.print || w->lines != NULL) {
        va_list args;
        va_start(args, format);
        line_add(w, format, args);
        va_end(args);
    }
}

void fail(World *w, const char *format, ...)
{
    if (w->failed) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(w->failure, sizeof(w->failure), format, args);
    va_end(args);
    trace(w, "FAILED: %s", w->failure);
    w->failed = w->over = true;
}

/* ---- names -------------------------------------------------------------------------------------
 */

HaId incarnation_new(World *w)
{
    HaId id = {0};
    snprintf(id.text, sizeof(id.text), "i%lld", (long long)++w->incarnations);
    return id;
}

int node_by_id(const World *w, const HaId *id)
{
    for (int i = 0; i < w->nodes_len; i++) {
        if (ha_id_eq(&w->nodes[i].id, id)) {
            return i;
        }
    }
    return -1;
}

int node_by_incarnation(const World *w, const HaId *incarnation)
{
    for (int i = 0; i < w->nodes_len; i++) {
        if (!ha_id_is_empty(incarnation) && ha_id_eq(&w->nodes[i].data.incarnation, incarnation)) {
            return i;
        }
    }
    return -1;
}
