/*
 * The store on virtual time: Weir's own memory store behind calls that take time. A write may be
 * late, come twice, or be applied although nobody hears of it any more; reads and watches are late;
 * the store may be away.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define LONG_WRITE (6 * S)
#define LONG_WATCH (1500 * MS)

/* ---- the real store ----------------------------------------------------------------------------
 */

static void put(World *w, const char *key, Slice value)
{
    StoreModel *model = &w->store;
    StoreItem item;
    Err err = {0};
    Slice name = slice_of(key);
    int64_t revision = 0;
    bool there = store_get(model->store, name, model->arena, &item, &err);
    bool done = there ? store_update(model->store, name, item.mod_revision, value, &revision, &err)
                      : store_create(model->store, name, value, &revision, &err);
    ASSERT(done);
    model->now.revision = revision;
    arena_reset(model->arena);
}

static void node_key(int node, const char *what, char out[static 64])
{
    snprintf(out, 64, "node/n%d/%s", node, what);
}

/* Reads the record back: what counts is what is in the store. */
static void record_read(World *w)
{
    StoreModel *model = &w->store;
    StoreItem item;
    Err err = {0};
    bool there = store_get(model->store, slice_of(w->kind->key), model->arena, &item, &err);
    ASSERT(there);
    json_t *json = json_loadb(item.value.data, item.value.len, 0, NULL);
    w->kind->record_read(w, json);
    json_decref(json);
    model->now.record_revision = item.mod_revision;
    model->now.revision = item.mod_revision;
    arena_reset(model->arena);
}

char *sim_record_text(const World *w, const void *record)
{
    json_t *json = json_object();
    w->kind->record_put(record, json);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

/* The compare-and-swap. */
static bool swap(World *w, const char *text, int64_t revision, int64_t term)
{
    StoreModel *model = &w->store;
    if (without(w, WITHOUT_REVISION) && w->kind->term(&model->now) == term) {
        revision = model->now.record_revision;
    }
    Slice key = slice_of(w->kind->key);
    Err err = {0};
    int64_t written = 0;
    bool done = store_update(model->store, key, revision, slice_of(text), &written, &err);
    ASSERT(done || err.code == ERR_CONFLICT);
    if (done) {
        Snapshot before = model->now;
        record_read(w);
        w->kind->record_changed(w, &before);
    }
    return done;
}

/* ---- telling -----------------------------------------------------------------------------------
 */

static void hear(World *w, const Event *event)
{
    w->kind->heard(w, (int)event->a, event->data);
}

static void tell(World *w, int host)
{
    Agent *agent = &w->agents[host];
    Snapshot *snap = mem_alloc(sizeof(Snapshot));
    *snap = w->store.now;
    send_to(w, SIM_STORE, host, &agent->proc, hear, host, 0, snap);
}

static bool away(World *w)
{
    return w->store.away_until > w->now;
}

static void tell_late(World *w, const Event *event)
{
    if (away(w)) {
        later(w, w->store.away_until - w->now + roll(w, 1, 20 * MS), tell_late, event->a, 0);
        return;
    }
    w->store.told[event->a] = false;
    tell(w, (int)event->a);
}

/* What it was is what a copy of it may still be. */
static void changed(World *w)
{
    w->store.past[w->store.changes++ % STORE_PAST] = w->store.now;
    for (int host = 0; host < SIM_HOSTS; host++) {
        if (!w->store.told[host] && w->agents[host].up) {
            w->store.told[host] = true;
            later(w, roll_late(w, LATE_WATCH, 8 * MS, LONG_WATCH), tell_late, host, 0);
        }
    }
}

/* ---- writes ------------------------------------------------------------------------------------
 */

typedef struct Write {
    int node;
    int host;
    int64_t number;
    int64_t revision;
    int64_t term;
    bool guarded; /* by the word of a host */
    int word_of;
    Word word;
    uint64_t life; /* of the agent */
    Outcome outcome;
    int64_t written;
    size_t len;
    char text[]; /* the record's, with the NUL */
} Write;

static Write *write_copy(const Write *write)
{
    Write *copy = mem_alloc(sizeof(Write) + write->len);
    *copy = *write;
    memcpy(copy->text, write->text, write->len);
    return copy;
}

static void answered(World *w, const Event *event)
{
    const Write *write = event->data;
    w->kind->written(w, write->node, write->number, write->outcome, write->written);
}

/* b: whether it waits in some queue while the store is away; else it is refused. */
static void apply(World *w, const Event *event)
{
    const Write *write = event->data;
    Agent *agent = &w->agents[write->host];
    Write *copy = write_copy(write);
    if (away(w) && event->b != 0) {
        send_late(w, w->store.away_until - w->now, SIM_STORE, SIM_STORE, NULL, apply, 0, 1, copy);
        return;
    }
    const Word *word = &w->store.now.words[write->word_of];
    bool same =
        !write->guarded || (word->life == write->word.life && word->count == write->word.count);
    bool done = !away(w) && same && swap(w, write->text, write->revision, write->term);
    trace(w, "store: %s's write behind %lld %s", w->nodes[write->node].id.text,
          (long long)write->revision, done ? "is done" : "is refused");
    if (done) {
        changed(w);
        fault_at_change(w);
    }
    copy->outcome = done ? OUTCOME_DONE : OUTCOME_CONFLICT;
    copy->written = w->store.now.record_revision;
    if (agent->proc.gen != write->life || chance(w, w->late[LATE_STORE] / 2)) {
        mem_free(copy); /* nobody hears the answer */
        return;
    }
    send_to(w, SIM_STORE, write->host, &agent->proc, answered, 0, 0, copy);
}

void sim_store_write(World *w, int node, int64_t number, const char *text, int64_t revision,
                     int64_t term, int word_of, const Word *word)
{
    int host = w->nodes[node].host;
    size_t len = strlen(text) + 1;
    int copies = chance(w, w->late[LATE_STORE] / 2) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        Write *write = mem_alloc(sizeof(Write) + len);
        *write = (Write){.node = node,
                         .host = host,
                         .number = number,
                         .revision = revision,
                         .term = term,
                         .guarded = word != NULL,
                         .word_of = word_of,
                         .word = word != NULL ? *word : (Word){.count = 0},
                         .life = w->agents[host].proc.gen,
                         .len = len};
        memcpy(write->text, text, len);
        send_late(w, roll_late(w, LATE_STORE, 600, LONG_WRITE), host, SIM_STORE, NULL, apply, 0,
                  chance(w, 500), write);
    }
}

/* ---- what agents say, and control wants --------------------------------------------------------
 */

typedef struct Say {
    int node;
    uint64_t life;
    int64_t since;
    char seen[]; /* of its kind's size */
} Say;

static void said(World *w, const Event *event)
{
    w->kind->said(w, (int)event->a, event->b);
}

static void say(World *w, const Event *event)
{
    const Say *what = event->data;
    Node *node = &w->nodes[what->node];
    Agent *agent = &w->agents[node->host];
    if (away(w) || agent->proc.gen != what->life) { /* its key has moved on */
        return;
    }
    char key[64];
    node_key(what->node, "seen", key);
    put(w, key, slice_from(what->seen, w->kind->seen_size));
    memcpy(w->kind->seen(&w->store.now, what->node), what->seen, w->kind->seen_size);
    changed(w);
    send_to(w, SIM_STORE, node->host, &agent->proc, said, what->node, what->since, NULL);
}

void sim_store_say(World *w, int node, const void *seen)
{
    int host = w->nodes[node].host;
    Say *what = mem_alloc(sizeof(Say) + w->kind->seen_size);
    *what = (Say){.node = node, .life = w->agents[host].proc.gen, .since = host_now(w, host)};
    memcpy(what->seen, seen, w->kind->seen_size);
    send_to(w, host, SIM_STORE, NULL, say, 0, 0, what);
}

static void beaten(World *w, const Event *event)
{
    w->kind->beaten(w, (int)event->a, event->b);
}

static void beat(World *w, const Event *event)
{
    const Word *word = event->data;
    Agent *agent = &w->agents[event->a];
    if (away(w) || agent->proc.gen != word->life) {
        return;
    }
    char key[64];
    snprintf(key, sizeof(key), "host/h%d/beat", (int)event->a);
    put(w, key, slice_from((const char *)word, sizeof(*word)));
    w->store.now.words[event->a] = *word;
    changed(w);
    send_to(w, SIM_STORE, (int)event->a, &agent->proc, beaten, event->a, event->b, NULL);
}

void sim_store_beat(World *w, int host, const Word *word)
{
    Word *copy = mem_alloc(sizeof(Word));
    *copy = *word;
    send_to(w, host, SIM_STORE, NULL, beat, host, host_now(w, host), copy);
}

static void asked(World *w, const Event *event)
{
    if (!away(w) && w->agents[event->a].up) {
        tell(w, (int)event->a);
    }
}

void sim_store_ask(World *w, int host)
{
    send_to(w, host, SIM_STORE, NULL, asked, host, 0, NULL);
}

static void was_read(World *w, const Event *event)
{
    w->kind->was_read(w, (int)event->a, event->b, event->data);
}

static void read_record(World *w, const Event *event)
{
    const Node *node = &w->nodes[event->a];
    Agent *agent = &w->agents[node->host];
    if (!away(w) && agent->up) {
        Snapshot *snap = mem_alloc(sizeof(Snapshot));
        *snap = w->store.now;
        send_to(w, SIM_STORE, node->host, &agent->proc, was_read, event->a, event->b, snap);
    }
}

void sim_store_read(World *w, int node, int64_t number)
{
    send_to(w, w->nodes[node].host, SIM_STORE, NULL, read_record, node, number, NULL);
}

void sim_store_want(World *w, int node, const void *goal)
{
    char key[64];
    node_key(node, "goal", key);
    put(w, key, slice_from(goal, w->kind->goal_size));
    memcpy(w->kind->goal(&w->store.now, node), goal, w->kind->goal_size);
    changed(w);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

void sim_store_first(World *w, const char *text)
{
    put(w, w->kind->key, slice_of(text));
    record_read(w);
}

Snapshot sim_store_past(const World *w, int64_t changes)
{
    const StoreModel *model = &w->store;
    ASSERT(model->changes > 0);
    int64_t most = model->changes < STORE_PAST ? model->changes : STORE_PAST;
    int64_t back = changes + 1 < most ? changes + 1 : most;
    return model->past[(model->changes - back) % STORE_PAST];
}

void sim_store_become(World *w, const Snapshot *past)
{
    StoreModel *model = &w->store;
    model->now = *past;
    char *text = sim_record_text(w, w->kind->record(&model->now));
    sim_store_first(w, text);
    mem_free(text);
    for (int i = 0; i < w->nodes_len; i++) {
        char key[64];
        node_key(i, "seen", key);
        put(w, key, slice_from(w->kind->seen(&model->now, i), w->kind->seen_size));
        node_key(i, "goal", key);
        put(w, key, slice_from(w->kind->goal(&model->now, i), w->kind->goal_size));
    }
    changed(w);
}

void sim_store_put(World *w, const char *text)
{
    Snapshot before = w->store.now;
    sim_store_first(w, text);
    w->kind->record_changed(w, &before);
    changed(w);
}

/* It comes back as it was some writes ago. */
static void forget(World *w)
{
    int64_t lost = roll(w, 1, STORE_PAST - 1);
    Snapshot past = sim_store_past(w, lost);
    sim_store_become(w, &past);
    trace(w, "store: it has forgotten its last %lld writes", (long long)lost);
}

void sim_store_away(World *w, int64_t us)
{
    trace(w, "store: away for %lld ms", (long long)(us / MS));
    int64_t until = w->now + us;
    w->store.away_until = until > w->store.away_until ? until : w->store.away_until;
    if (without(w, WITHOUT_MEMORY)) {
        forget(w);
    }
}

void sim_store_begin(World *w)
{
    StoreOptions options = {.history_max = 16};
    w->store.store = store_open_memory(&options);
    w->store.arena = arena_new();
}

void sim_store_end(World *w)
{
    store_close(w->store.store);
    arena_free(w->store.arena);
}
