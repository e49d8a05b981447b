/*
 * The store on virtual time: Weir's own memory store behind calls that take time. A write may be
 * late, come twice, or be applied although nobody hears of it any more; reads and watches are late;
 * the store may be away.
 */
#include <stdio.h>
#include <stdlib.h>

#include "sim.h"

#define CLUSTER    "cluster/c"
#define LONG_WRITE (6 * S)
#define LONG_WATCH (1500 * MS)
#define FORGOTTEN  60 /* WITHOUT_MEMORY: so many of the last writes are lost */

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
    if (without(w, WITHOUT_MEMORY)) {
        StoreLog entry = {slice_of(arena_strdup(model->log_arena, key)),
                          slice_of(arena_slice_str(model->log_arena, value))};
        vec_push(&model->log, entry);
    }
    arena_reset(model->arena);
}

static void node_key(int node, const char *what, char out[static 64])
{
    snprintf(out, 64, "node/n%d/%s", node, what);
}

/* Reads the cluster's record back: what counts is what is in the store. */
static void record_read(World *w)
{
    StoreModel *model = &w->store;
    StoreItem item;
    Err err = {0};
    bool there = store_get(model->store, SLICE(CLUSTER), model->arena, &item, &err);
    ASSERT(there);
    json_t *json = json_loadb(item.value.data, item.value.len, 0, NULL);
    bool parsed = ha_record_parse(json, &model->now.record, &err);
    ASSERT(parsed);
    json_decref(json);
    model->now.record_revision = item.mod_revision;
    model->now.revision = item.mod_revision;
    arena_reset(model->arena);
}

static char *record_text(const HaRecord *record)
{
    json_t *json = json_object();
    ha_record_put(record, json);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

/* The compare-and-swap. */
static bool swap(World *w, const HaRecord *record, int64_t revision, int64_t term)
{
    StoreModel *model = &w->store;
    HaRecord before = model->now.record;
    if (without(w, WITHOUT_REVISION) && before.term == term) {
        revision = model->now.record_revision;
    }
    char *text = record_text(record);
    Err err = {0};
    int64_t written = 0;
    bool done =
        store_update(model->store, SLICE(CLUSTER), revision, slice_of(text), &written, &err);
    ASSERT(done || err.code == ERR_CONFLICT);
    if (done) {
        if (without(w, WITHOUT_MEMORY)) {
            StoreLog entry = {SLICE(CLUSTER), slice_of(arena_strdup(model->log_arena, text))};
            vec_push(&model->log, entry);
        }
        record_read(w);
        check_record(w, &before, &model->now.record);
    }
    free(text);
    return done;
}

/* ---- telling -----------------------------------------------------------------------------------
 */

static void hear(World *w, const Event *event)
{
    agent_heard(w, (int)event->a, event->data);
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

static void changed(World *w)
{
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
    uint64_t life; /* of the agent */
    HaRecord record;
    Outcome outcome;
    int64_t written;
} Write;

static void answered(World *w, const Event *event)
{
    const Write *write = event->data;
    agent_written(w, write->node, write->number, write->outcome, write->written, &write->record);
}

/* b: whether it waits in some queue while the store is away; else it is refused. */
static void apply(World *w, const Event *event)
{
    const Write *write = event->data;
    Agent *agent = &w->agents[write->host];
    Write *copy = mem_alloc(sizeof(Write));
    *copy = *write;
    if (away(w) && event->b != 0) {
        send_late(w, w->store.away_until - w->now, SIM_STORE, SIM_STORE, NULL, apply, 0, 1, copy);
        return;
    }
    bool done = !away(w) && swap(w, &write->record, write->revision, write->term);
    trace(w, "store: %s's write (term %lld, phase %d, set of %zu, behind %lld) %s",
          w->nodes[write->node].id.text, (long long)write->record.term, (int)write->record.phase,
          write->record.set.len, (long long)write->revision, done ? "is done" : "is refused");
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

void sim_store_write(World *w, int node, int64_t number, const HaRecord *record, int64_t revision,
                     int64_t term)
{
    int host = w->nodes[node].host;
    int copies = chance(w, w->late[LATE_STORE] / 2) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        Write *write = mem_alloc(sizeof(Write));
        *write = (Write){.node = node,
                         .host = host,
                         .number = number,
                         .revision = revision,
                         .term = term,
                         .life = w->agents[host].proc.gen,
                         .record = *record};
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
    Seen seen;
} Say;

static void said(World *w, const Event *event)
{
    fence_renew(w, (int)event->a, event->b);
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
    put(w, key, slice_from(&what->seen, sizeof(what->seen)));
    w->store.now.seen[what->node] = what->seen;
    changed(w);
    send_to(w, SIM_STORE, node->host, &agent->proc, said, what->node, what->since, NULL);
}

void sim_store_say(World *w, int node, const Seen *seen)
{
    int host = w->nodes[node].host;
    Say *what = mem_alloc(sizeof(Say));
    *what = (Say){
        .node = node, .life = w->agents[host].proc.gen, .since = host_now(w, host), .seen = *seen};
    send_to(w, host, SIM_STORE, NULL, say, 0, 0, what);
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

void sim_store_want(World *w, int node, const Goal *goal)
{
    char key[64];
    node_key(node, "goal", key);
    put(w, key, slice_from(goal, sizeof(*goal)));
    w->store.now.goals[node] = *goal;
    changed(w);
}

/* ---- the whole ---------------------------------------------------------------------------------
 */

/* It comes back as it was some writes ago. */
static void forget(World *w)
{
    StoreModel *model = &w->store;
    size_t lost = (size_t)roll(w, 1, FORGOTTEN);
    size_t len = model->log.len > lost ? model->log.len - lost : 0;
    if (len == 0) {
        return;
    }
    store_close(model->store);
    model->store = store_open_memory(NULL);
    StoreLog *log = model->log.items;
    model->log.items = NULL;
    model->log.len = model->log.cap = 0;
    for (size_t i = 0; i < len; i++) {
        char *key = arena_slice_str(model->log_arena, log[i].key);
        put(w, key, log[i].value);
    }
    mem_free(log);
    record_read(w);
    trace(w, "store: it has forgotten its last %zu writes", lost);
}

void sim_store_away(World *w, int64_t us)
{
    trace(w, "store: away for %lld ms", (long long)(us / MS));
    w->store.away_until = w->now + us;
    if (without(w, WITHOUT_MEMORY)) {
        forget(w);
    }
}

void sim_store_first(World *w)
{
    HaRecord record = {.term = 1, .leader = w->nodes[0].id, .proven = true, .strict = w->strict};
    char *text = record_text(&record);
    put(w, CLUSTER, slice_of(text));
    free(text);
    record_read(w);
}

void sim_store_begin(World *w)
{
    StoreOptions options = {.history_max = 16};
    w->store.store = store_open_memory(&options);
    w->store.arena = arena_new();
    w->store.log_arena = arena_new();
}

void sim_store_end(World *w)
{
    store_close(w->store.store);
    arena_free(w->store.arena);
    arena_free(w->store.log_arena);
    vec_done(&w->store.log);
}
