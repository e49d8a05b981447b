/*
 * The proof that names bind (F5): a new session sees the value; where the list was not empty
 * before, the walsenders older than that session are ended; two CHECKPOINTs, one after the other;
 * then what is to be flushed is noted. A standby is bound when it has flushed that much.
 */
#include "sim.h"

#define LOOK_US (15 * MS)

static Proof *proof_of(World *w, int node)
{
    return &w->agents[w->nodes[node].host].charges[node].proof;
}

static bool stands(World *w, int node, int64_t number)
{
    const Charge *charge = &w->agents[w->nodes[node].host].charges[node];
    const Engine *engine = &w->nodes[node].engine;
    return charge->proof.number == number && engine->alive && engine->life == charge->run &&
           engine->state == ENGINE_PRIMARY && !engine->stopping;
}

static void note(const Node *node, Proof *proof)
{
    proof->lsn = node->data.len; /* pg_current_wal_insert_lsn() */
}

static void checkpointed(World *w, const Event *event)
{
    int node = (int)event->a;
    Proof *proof = proof_of(w, node);
    if (!stands(w, node, event->b)) {
        return;
    }
    if (proof->phase == PROOF_FIRST && !without(w, WITHOUT_SECOND)) {
        proof->phase = PROOF_SECOND;
        sync_checkpoint(w, &w->nodes[node], &w->agents[w->nodes[node].host].proc, checkpointed,
                        node, event->b);
        return;
    }
    proof->phase = PROOF_DONE;
    if (!without(w, WITHOUT_ORDER)) {
        note(&w->nodes[node], proof);
    }
    agent_wake(w, node);
}

static void end_old_senders(World *w, Node *node)
{
    for (size_t i = 0; i < SIM_SENDERS && !without(w, WITHOUT_WALSENDERS); i++) {
        stream_drop(w, node, &node->engine.senders[i]);
    }
}

/* A new session looks at the names. */
static void sees(World *w, const Event *event)
{
    int index = (int)event->a;
    Node *node = &w->nodes[index];
    Agent *agent = &w->agents[node->host];
    Proof *proof = proof_of(w, index);
    if (!stands(w, index, event->b)) {
        return;
    }
    bool same = ha_set_eq(&node->engine.loaded, &agent->charges[index].names);
    if (!same || !engine_answers(w, node)) {
        later_in(w, &agent->proc, LOOK_US, sees, event->a, event->b);
        return;
    }
    if (proof->again) {
        end_old_senders(w, node);
    }
    if (without(w, WITHOUT_ORDER)) {
        note(node, proof);
    }
    if (without(w, WITHOUT_PROOF)) {
        proof->phase = PROOF_DONE;
        note(node, proof);
        agent_wake(w, index);
        return;
    }
    proof->phase = PROOF_FIRST;
    sync_checkpoint(w, node, &agent->proc, checkpointed, index, event->b);
}

/* Who was bound by the list before stays so. */
void proof_begin(World *w, int node, bool again)
{
    Charge *charge = &w->agents[w->nodes[node].host].charges[node];
    HaSet bound = {.len = 0};
    for (size_t i = 0; i < charge->proof.bound.len; i++) {
        if (ha_set_has(&charge->names, &charge->proof.bound.items[i])) {
            ha_set_add(&bound, &charge->proof.bound.items[i]);
        }
    }
    charge->proof = (Proof){.phase = PROOF_SEES,
                            .number = charge->proof.number + 1,
                            .again = again,
                            .run = w->nodes[node].engine.proc.gen,
                            .bound = bound};
    if (charge->names.len == 0) {
        charge->proof.phase = PROOF_DONE;
        return;
    }
    later_in(w, &w->agents[w->nodes[node].host].proc, MS, sees, node, charge->proof.number);
}

void proof_look(World *w, int node)
{
    Charge *charge = &w->agents[w->nodes[node].host].charges[node];
    const Engine *engine = &w->nodes[node].engine;
    bool leads = engine->state == ENGINE_PRIMARY;
    if (leads && charge->proof.phase != PROOF_NONE && charge->proof.run != engine->proc.gen) {
        proof_begin(w, node, charge->proof.again); /* its session was closed: once more */
    }
    if (charge->proof.phase != PROOF_DONE || !leads) {
        return;
    }
    for (size_t i = 0; i < charge->names.len; i++) {
        const HaId *name = &charge->names.items[i];
        const Sender *sender = stream_sender(&w->nodes[node], name);
        if (sender != NULL && sender->streaming && sender->flush >= charge->proof.lsn &&
            !ha_set_has(&charge->proof.bound, name)) {
            trace(w, "%s: %s is bound", w->nodes[node].id.text, name->text);
            ha_set_add(&charge->proof.bound, name);
        }
    }
}
