/*
 * Synchronous replication, as syncrep.c of PostgreSQL 15 has it. A backend waits where the shared
 * word says so, and that word is the checkpointer's: it follows a reload when the checkpointer
 * looks. A wait ends when a walsender hears of a flush and its own copy of the names, possibly an
 * old one, says that it is enough.
 */
#include "sim.h"

/* ---- waiting -----------------------------------------------------------------------------------
 */

void sync_wait(World *w, Node *node, uint32_t request)
{
    Engine *engine = &node->engine;
    Request *what = &w->requests.items[request];
    if (!engine->flag || what->lsn <= engine->sync_lsn) {
        request_release(w, node, request, false);
        return;
    }
    ASSERT(engine->waiters_len < SIM_WAITERS);
    engine->waiters[engine->waiters_len++] = request;
    if (what->cancelled) {
        sync_cancel(w, node, request);
    }
}

/* Ends the waits up to `lsn`. */
static void wake_up_to(World *w, Node *node, size_t lsn)
{
    Engine *engine = &node->engine;
    uint32_t ready[SIM_WAITERS];
    size_t ready_len = 0;
    size_t left = 0;
    for (size_t i = 0; i < engine->waiters_len; i++) {
        uint32_t request = engine->waiters[i];
        if (w->requests.items[request].lsn <= lsn) {
            ready[ready_len++] = request;
        } else {
            engine->waiters[left++] = request;
        }
    }
    engine->waiters_len = left;
    for (size_t i = 0; i < ready_len; i++) {
        request_release(w, node, ready[i], false);
    }
}

/* The wait is cut short, and the answer is a success with a notice; earlier than that the statement
 * is cancelled. */
void sync_cancel(World *w, Node *node, uint32_t request)
{
    Engine *engine = &node->engine;
    Request *what = &w->requests.items[request];
    what->cancelled = true;
    for (size_t i = 0; i < engine->waiters_len; i++) {
        if (engine->waiters[i] == request) {
            memmove(&engine->waiters[i], &engine->waiters[i + 1],
                    (engine->waiters_len - i - 1) * sizeof(engine->waiters[0]));
            engine->waiters_len--;
            w->records.items[what->record].cut = true;
            w->check.cuts++;
            trace(w, "%s: the wait for record %u is cut", node->id.text, what->record);
            request_release(w, node, request, true);
            return;
        }
    }
}

/* ---- releasing, by a walsender -----------------------------------------------------------------
 */

/* Where the sender's own copy of the list has it; 0: nowhere. */
int sync_priority(const Sender *sender)
{
    for (size_t i = 0; i < sender->list.len; i++) {
        if (ha_id_eq(&sender->list.items[i], &sender->name)) {
            return (int)i + 1;
        }
    }
    return 0;
}

/* Who counts, the first of the list first; each by the copy that its own walsender has. */
static size_t candidates(Engine *engine, Sender *found[static SIM_SENDERS])
{
    size_t len = 0;
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        Sender *sender = &engine->senders[i];
        if (sender->conn == 0 || !sender->streaming || !sender->told ||
            sync_priority(sender) == 0) {
            continue;
        }
        size_t place = len++;
        while (place > 0 && sync_priority(found[place - 1]) > sync_priority(sender)) {
            found[place] = found[place - 1];
            place--;
        }
        found[place] = sender;
    }
    return len;
}

void sync_release(World *w, Node *node, Sender *sender)
{
    Engine *engine = &node->engine;
    if (!sender->streaming || sync_priority(sender) == 0) {
        return;
    }
    Sender *found[SIM_SENDERS];
    size_t len = candidates(engine, found);
    size_t wanted = without(w, WITHOUT_FIRST) ? 1 : sender->list.len;
    if (len < wanted) {
        return;
    }
    bool among = false;
    size_t lsn = found[0]->flush;
    for (size_t i = 0; i < wanted; i++) {
        among = among || found[i] == sender;
        lsn = found[i]->flush < lsn ? found[i]->flush : lsn;
    }
    if (without(w, WITHOUT_FIRST)) { /* ANY 1: whoever has it */
        among = true;
        lsn = sender->flush;
    }
    if (among && lsn > engine->sync_lsn) {
        engine->sync_lsn = lsn;
        wake_up_to(w, node, lsn);
    }
}

static void reread(World *w, const Event *event)
{
    Engine *engine = &w->nodes[event->a].engine;
    for (size_t i = 0; i < SIM_SENDERS; i++) {
        if (engine->senders[i].conn == (uint64_t)event->b) {
            engine->senders[i].list = engine->loaded;
        }
    }
}

void sync_reread(World *w, Node *node, Sender *sender)
{
    if (sender->conn != 0) {
        later_in(w, &node->engine.proc, roll_late(w, LATE_SENDER, 5 * MS, 3 * S), reread,
                 node->index, (int64_t)sender->conn);
    }
}

/* ---- the checkpointer --------------------------------------------------------------------------
 */

/* Its loop: read the configuration, then look for a request, then sleep. A request that comes
 * between the first two is served without the reload that came between them, too. */
static void checkpointer_go(World *w, Node *node);

static void checkpointer_end(World *w, Node *node)
{
    Checkpointer *checkpointer = &node->engine.checkpointer;
    checkpointer->phase = CHECKPOINTER_IDLE;
    if (checkpointer->woken || checkpointer->asked) {
        checkpointer_go(w, node);
    }
}

static void checkpoint_done(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Checkpointer *checkpointer = &node->engine.checkpointer;
    if (disk_hung(w, node)) {
        later_in(w, &node->engine.proc, 20 * MS, checkpoint_done, event->a, 0);
        return;
    }
    checkpointer->asked = false;
    if (checkpointer->asker->gen == checkpointer->asker_gen) {
        later_in(w, checkpointer->asker, 50, checkpointer->asker_fn, checkpointer->asker_a,
                 checkpointer->asker_b);
    }
    checkpointer_end(w, node);
}

static void checkpointer_take(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    if (node->engine.checkpointer.asked) {
        later_in(w, &node->engine.proc, roll(w, 2 * MS, 30 * MS), checkpoint_done, event->a, 0);
        return;
    }
    checkpointer_end(w, node);
}

static void checkpointer_read(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Engine *engine = &node->engine;
    bool defined = engine->loaded.len > 0;
    engine->checkpointer.phase = CHECKPOINTER_BUSY;
    engine->checkpointer.woken = false;
    if (engine->flag != defined) {
        trace(w, "%s: commits %s", node->id.text, defined ? "wait now" : "do not wait any more");
    }
    engine->flag = defined;
    later_in(w, &engine->proc, roll_late(w, LATE_CHECKPOINTER, 2 * MS, 500 * MS), checkpointer_take,
             event->a, 0);
    if (!defined) {
        wake_up_to(w, node, SIZE_MAX);
    }
}

static void checkpointer_go(World *w, Node *node)
{
    node->engine.checkpointer.phase = CHECKPOINTER_READ;
    later_in(w, &node->engine.proc, roll_late(w, LATE_CHECKPOINTER, 3 * MS, 2 * S),
             checkpointer_read, node->index, 0);
}

void sync_wake(World *w, Node *node)
{
    Checkpointer *checkpointer = &node->engine.checkpointer;
    checkpointer->woken = true;
    if (checkpointer->phase == CHECKPOINTER_IDLE) {
        checkpointer_go(w, node);
    }
}

void sync_checkpoint(World *w, Node *node, Proc *proc, EventFn *fn, int64_t a, int64_t b)
{
    Checkpointer *checkpointer = &node->engine.checkpointer;
    checkpointer->asked = true;
    checkpointer->asker = proc;
    checkpointer->asker_gen = proc->gen;
    checkpointer->asker_fn = fn;
    checkpointer->asker_a = a;
    checkpointer->asker_b = b;
    if (checkpointer->phase == CHECKPOINTER_IDLE) {
        checkpointer_go(w, node);
    }
}
