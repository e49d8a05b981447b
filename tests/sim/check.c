/*
 * The checkers. Some look at each moment at which a promise could break, so that the trace ends
 * where it did; the rest look at the whole history in the end. The world's own truth is used where
 * no client could see as much.
 */
#include <stdlib.h>

#include "sim.h"

/* ---- what must not be lost (promises 1 and 2) --------------------------------------------------
 */

/* Of all that clients know, the first that is missing; 0: nothing is. */
static uint32_t missing(const World *w, const Data *data)
{
    for (size_t i = 0; i < w->check.kept.len; i++) {
        if (!data_has(data, w->check.kept.items[i])) {
            return w->check.kept.items[i];
        }
    }
    return 0;
}

/* A member may be gone by the time that a late write lets it in: then it can never lead. */
static void check_member(World *w, const HaId *member)
{
    int node = node_by_incarnation(w, member);
    if (node < 0) {
        return;
    }
    uint32_t lost = missing(w, &w->nodes[node].data);
    if (lost != 0) {
        fail(w, "%s of %s is in the set without record %u, which a client knows of", member->text,
             w->nodes[node].id.text, lost);
    }
}

static int64_t last_timeline(const HaRecord *record)
{
    return record->history_len > 0 ? record->history[record->history_len - 1].timeline : 0;
}

/* Of a copy of the store from when nobody had led: somebody may have since (F3). */
static bool is_of_the_beginning(const HaRecord *record)
{
    return record->unsure && record->set.len == 0;
}

void check_record(World *w, const HaRecord *before, const HaRecord *after)
{
    if (after->term < before->term || after->term > before->term + 1) {
        fail(w, "term %lld behind term %lld", (long long)after->term, (long long)before->term);
    }
    bool told = after->history_term > before->history_term && before->history_len > 0;
    if (last_timeline(after) < last_timeline(before) + (told ? 1 : 0)) {
        fail(w, "timeline %lld behind timeline %lld", (long long)last_timeline(after),
             (long long)last_timeline(before));
    }
    if (after->term == before->term && !ha_id_eq(&after->leader, &before->leader)) {
        fail(w, "another leader in the same term");
    }
    if (is_of_the_beginning(before) && after->set.len > 0 &&
        !ha_id_eq(&after->set.items[0], &before->admitted)) {
        fail(w, "%s leads behind a copy of when nobody had led, by nobody's word",
             after->leader.text);
    }
    for (size_t i = 0; i < after->set.len; i++) {
        check_member(w, &after->set.items[i]);
    }
    if (after->term > before->term) {
        w->check.terms++;
        trace(w, "term %lld: %s leads", (long long)after->term, after->leader.text);
    }
}

void check_open(World *w, Node *node)
{
    const HaRecord *record = &w->store.now.record;
    const Engine *engine = &node->engine;
    if (engine->term < w->check.leader_term) {
        return; /* it has been deposed, and does not know yet: what it answers is checked */
    }
    w->check.leader_term = engine->term;
    w->check.leader = node->index;
    uint32_t lost = missing(w, &node->data);
    if (lost != 0) {
        fail(w, "%s opens without record %u, which a client knows of", node->id.text, lost);
    }
    int64_t timeline = ha_record_timeline(record);
    if (record->term == engine->term && timeline != data_tli(&node->data)) {
        fail(w, "%s opens on timeline %d, and the term's is %lld", node->id.text,
             data_tli(&node->data), (long long)timeline);
    }
}

/* From here on the record must be wherever a leader can come from. */
static void keep(World *w, uint32_t record, const char *how)
{
    const HaRecord *now = &w->store.now.record;
    if (w->records.items[record].given_up) {
        return; /* the answer was on its way */
    }
    vec_push(&w->check.kept, record);
    for (size_t i = 0; i < now->set.len; i++) {
        int node = node_by_incarnation(w, &now->set.items[i]);
        if (node >= 0 && !data_has(&w->nodes[node].data, record)) {
            fail(w, "record %u was %s, and %s of the set does not have it", record, how,
                 now->set.items[i].text);
            return;
        }
    }
    const Node *leader = &w->nodes[w->check.leader];
    if (w->check.leader_term > w->records.items[record].term && leader->data.whole &&
        !data_has(&leader->data, record)) {
        fail(w, "record %u of term %lld was %s, and the leader of term %lld does not have it",
             record, (long long)w->records.items[record].term, how,
             (long long)w->check.leader_term);
    }
}

void check_ack(World *w, uint32_t op)
{
    uint32_t record = w->ops.items[op].record;
    w->records.items[record].acked = true;
    int64_t gap = w->now - w->check.last_ack;
    if (w->check.counts && gap > w->check.gap_max) {
        w->check.gap_max = gap;
        w->check.gap_at = w->now;
    }
    w->check.last_ack = w->now;
    w->check.acks++;
    keep(w, record, "acknowledged");
}

/* What stands behind a cut wait can be seen, and may go: nothing that Weir does can help it. */
void check_read(World *w, uint32_t op)
{
    uint32_t value = w->ops.items[op].value;
    WalRecord *record = &w->records.items[value];
    w->check.reads++;
    if (value != 0 && !record->cut && !record->acked && !record->returned) {
        record->returned = true;
        keep(w, value, "read");
    }
}

/* What is not flushed may go, too. */
void check_give_up(World *w, const Node *node)
{
    const Data *data = &node->data;
    size_t len = 0;
    for (size_t i = 1; i < w->records.len; i++) {
        w->records.items[i].given_up = true;
    }
    for (size_t i = 0; i < data->flushed; i++) {
        w->records.items[data->ids[i]].given_up = false;
    }
    for (size_t i = 0; i < w->check.kept.len; i++) {
        uint32_t record = w->check.kept.items[i];
        if (!w->records.items[record].given_up) {
            w->check.kept.items[len++] = record;
        }
    }
    trace(w, "%s: of %zu records that clients know of, it has %zu", node->id.text,
          w->check.kept.len, len);
    w->check.kept.len = len;
}

/* ---- data directories (F4) ---------------------------------------------------------------------
 */

/* Its agent goes by the set that it knows. Where the leader lets it in at this very moment, the set
 * has a member that can never lead, and the leader waits for it until it is given up. */
void check_change(World *w, const Node *node, const HaSet *known, const char *how)
{
    const HaId *incarnation = &node->data.incarnation;
    if (ha_set_has(known, incarnation)) {
        fail(w, "%s is %s while %s is in the set", node->id.text, how, incarnation->text);
    } else if (ha_set_has(&w->store.now.record.set, incarnation)) {
        trace(w, "%s is %s, and %s has just been let into the set", node->id.text, how,
              incarnation->text);
        w->check.ghosts++;
    }
}

void check_last(World *w, const Node *node, const HaRecord *known)
{
    if (is_of_the_beginning(known) && node->data.whole) {
        fail(w, "%s is removed, and what it has may be all that is left", node->id.text);
    }
}

void check_need(World *w, const Node *node, const Node *source)
{
    const Data *data = &node->data;
    if (data->whole && data->kind == HA_DATA_COPY && data->len <= source->data.len &&
        memcmp(data->ids, source->data.ids, data->len * sizeof(uint32_t)) == 0) {
        fail(w, "%s is made anew, and all that it has is part of %s's history", node->id.text,
             source->id.text);
    }
}

void check_copy(World *w, const Node *node)
{
    if (ha_set_has(&w->store.now.record.set, &node->data.incarnation)) {
        check_member(w, &node->data.incarnation);
    }
}

void check_follow(World *w, const Node *standby, const Node *source, size_t from)
{
    if (from > 0 && memcmp(standby->data.ids, source->data.ids, from * sizeof(uint32_t)) != 0) {
        fail(w, "%s streams from %s, and has another history", standby->id.text, source->id.text);
    }
}

/* ---- reads and writes in order (promise 4) -----------------------------------------------------
 */

/* Where each record stands in the history that there is in the end; 0: nowhere. */
static uint32_t *positions(const World *w, const Data *data)
{
    uint32_t *at = mem_alloc((w->records.len + 1) * sizeof(uint32_t));
    for (size_t i = 0; i < data->len; i++) {
        at[data->ids[i]] = (uint32_t)i + 1;
    }
    return at;
}

/* Each write replaced what stood before it. */
static void check_chain(World *w, const Data *data)
{
    uint32_t last[SIM_REGISTERS] = {0};
    for (size_t i = 0; i < data->len; i++) {
        const WalRecord *record = &w->records.items[data->ids[i]];
        if (record->kind != RECORD_COMMIT) {
            continue;
        }
        if (record->before != last[record->reg]) {
            fail(w, "record %u replaced %u, and stands behind %u", data->ids[i], record->before,
                 last[record->reg]);
        }
        last[record->reg] = data->ids[i];
    }
}

typedef struct Moment {
    int64_t at;
    uint32_t op;
    bool ends;
} Moment;

static int moment_cmp(const void *a, const void *b)
{
    const Moment *x = a;
    const Moment *y = b;
    if (x->at != y->at) {
        return x->at < y->at ? -1 : 1;
    }
    return (int)x->ends - (int)y->ends; /* at the same time: side by side */
}

/* What an operation saw is not older than what had been answered before it began. */
static void check_moment(World *w, const uint32_t *at, const Moment *moment,
                         uint32_t newest[static SIM_REGISTERS], uint32_t *floors)
{
    const Op *op = &w->ops.items[moment->op];
    bool writes = op->kind == REQUEST_WRITE;
    uint32_t shown = writes ? op->record : op->value;
    const WalRecord *record = &w->records.items[shown];
    if (record->given_up || (record->cut && !record->acked)) {
        return;
    }
    if (!moment->ends) {
        floors[moment->op] = newest[op->reg];
        return;
    }
    uint32_t place = at[shown];
    if (shown != 0 && place == 0) {
        fail(w, "client %d %s record %u, and it is gone", op->client, writes ? "wrote" : "read",
             shown);
    } else if (place < floors[moment->op] || (writes && place == floors[moment->op])) {
        fail(w, "client %d %s record %u between %lld and %lld ms, and newer ones were known before",
             op->client, writes ? "wrote" : "read", shown, (long long)(op->begun / MS),
             (long long)(op->ended / MS));
    }
    newest[op->reg] = place > newest[op->reg] ? place : newest[op->reg];
}

static void check_history(World *w, const Data *data)
{
    uint32_t *at = positions(w, data);
    uint32_t *floors = mem_alloc(w->ops.len * sizeof(uint32_t));
    Moment *moments = mem_alloc(w->ops.len * 2 * sizeof(Moment));
    uint32_t newest[SIM_REGISTERS] = {0};
    size_t len = 0;
    for (uint32_t i = 1; i < w->ops.len; i++) {
        const Op *op = &w->ops.items[i];
        if (op->known) {
            moments[len++] = (Moment){.at = op->begun, .op = i};
            moments[len++] = (Moment){.at = op->ended, .op = i, .ends = true};
        }
    }
    qsort(moments, len, sizeof(Moment), moment_cmp);
    for (size_t i = 0; i < len && !w->failed; i++) {
        check_moment(w, at, &moments[i], newest, floors);
    }
    mem_free(moments);
    mem_free(floors);
    mem_free(at);
}

/* ---- in the end (promise 7) --------------------------------------------------------------------
 */

bool check_settled(World *w)
{
    const HaRecord *record = &w->store.now.record;
    int leader = node_by_id(w, &record->leader);
    Node *node = &w->nodes[leader];
    const Engine *engine = &node->engine;
    if (record->phase != HA_PHASE_LEADING || engine->state != ENGINE_PRIMARY || !engine->open ||
        engine->term != record->term || (int)record->set.len != w->nodes_len) {
        return false;
    }
    for (int i = 0; i < w->nodes_len; i++) {
        const HaId *incarnation = &w->nodes[i].data.incarnation;
        const Sender *sender = stream_sender(node, incarnation);
        bool follows = sender != NULL && sender->streaming && sender->node == i;
        if (!ha_set_has(&record->set, incarnation) || (i != leader && !follows)) {
            return false;
        }
    }
    for (int i = 0; i < w->proxies_len; i++) {
        if (w->proxies[i].up && w->proxies[i].run == 0) {
            return false; /* its clients wait until it tries again */
        }
    }
    return w->now - w->check.last_ack < 200 * MS;
}

static void check_gap(World *w)
{
    int64_t gap = w->now - w->check.last_ack;
    gap = w->check.counts && gap > w->check.gap_max ? gap : w->check.gap_max;
    if (w->gap_limit != 0 && gap > w->gap_limit) {
        fail(w, "%s: %lld ms without an acknowledged write, and %lld are allowed",
             w->single != NULL ? w->single : "no fault", (long long)(gap / MS),
             (long long)(w->gap_limit / MS));
    }
    if (w->same_term && w->store.now.record.term != w->check.first_term) {
        fail(w, "%s: it cost a failover", w->single != NULL ? w->single : "no fault");
    }
}

void check_end(World *w)
{
    int leader = node_by_id(w, &w->store.now.record.leader);
    const Data *data = &w->nodes[leader].data;
    for (int i = 0; i < w->nodes_len; i++) {
        const Node *node = &w->nodes[i];
        uint32_t lost = missing(w, &node->data);
        if (lost != 0) {
            fail(w, "%s ends without record %u, which a client knows of", node->id.text, lost);
        }
        size_t len = node->data.len < data->len ? node->data.len : data->len;
        check_follow(w, node, &w->nodes[leader], len);
    }
    check_chain(w, data);
    check_history(w, data);
    check_gap(w);
}
