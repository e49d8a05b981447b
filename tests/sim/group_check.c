/*
 * The checkers of a group's runs. Some look at each moment at which a promise could break, so that
 * the trace ends where it did; the rest look in the end. The world's own truth is used where no
 * client could see as much.
 */
#include "group_sim.h"

#define WOKEN_US (100 * MS)

/* ---- the record --------------------------------------------------------------------------------
 */

/* A leader that was made a replica has seen that its heir has all of it. */
static void check_room(World *w, const GroupRecord *before, const GroupRecord *after)
{
    const Node *leader = &w->nodes[node_by_id(w, &before->leader)];
    const Redis *redis = &w->group->redis[leader->index];
    bool frozen = w->hosts[leader->host].paused_until > w->now; /* its deadline is over by then */
    bool stands = !redis->alive || redis->dying || redis->role == REDIS_REPLICA || frozen;
    w->group->planned = redis->alive && !ha_id_is_empty(&after->heir);
    w->group->freed_at = w->now;
    if (!stands) {
        fail(w, "the term is free, and %s takes writes", before->leader.text);
    }
    bool any = after->history[0] == '\0' && before->history[0] != '\0' && before->set.len > 1;
    if (any && w->profile != PROFILE_STORM) {
        fail(w, "%s makes room for any data, and its replicas have its own", before->leader.text);
    }
}

void group_check_record(World *w, const Snapshot *earlier)
{
    const GroupRecord *before = &earlier->group;
    const GroupRecord *after = &w->store.now.group;
    if (after->term < before->term || after->term > before->term + 1) {
        fail(w, "term %lld behind term %lld", (long long)after->term, (long long)before->term);
    }
    if (after->writes != before->writes + 1) {
        fail(w, "write %lld behind write %lld", (long long)after->writes,
             (long long)before->writes);
    }
    if (after->term == before->term && !ha_id_eq(&after->leader, &before->leader)) {
        fail(w, "another leader in the same term");
    }
    if (after->phase == HA_PHASE_FREE && before->phase != HA_PHASE_FREE) {
        check_room(w, before, after);
    }
    if (after->term > before->term) {
        if (before->phase != HA_PHASE_FREE) {
            fail(w, "term %lld was taken, and term %lld was not free", (long long)after->term,
                 (long long)before->term);
        }
        w->group->planned = w->group->planned && ha_id_eq(&before->heir, &after->leader);
        w->group->blind = before->history[0] == '\0' && before->set.len > 0;
        w->check.terms++;
        trace(w, "term %lld: %s leads%s", (long long)after->term, after->leader.text,
              w->group->planned ? ", as planned" : "");
    }
}

/* It is about to write that it leads, by what it has seen. */
void group_check_take(World *w, const Node *node, const GroupView *view)
{
    const GroupRecord *record = &view->record;
    if (record->history[0] != '\0' && strcmp(view->history, record->history) != 0) {
        fail(w, "%s takes the lead with history %s, and the record's is %s", node->id.text,
             view->history, record->history);
    }
    if (!ha_set_has(&record->set, &view->incarnation) && !w->group->durable) {
        fail(w, "%s takes the lead, and is not in the set", node->id.text);
    }
}

/* ---- what is lost ------------------------------------------------------------------------------
 */

/* What waits in front of a cut link comes to nobody in time. */
static bool is_in_pipe(World *w, const Node *node, uint32_t write)
{
    const RedisSource *source = &redis_of(w, node)->source;
    bool cut = is_cut(w, w->nodes[w->group->writes.items[write].node].host, node->host);
    for (size_t i = 0; i < source->pipe.len && !cut; i++) {
        if (source->pipe.items[i] == write) {
            return true;
        }
    }
    return false;
}

/* Another one of the set that it could have been compared with, and that has it. */
static const Node *better(World *w, const Node *node, uint32_t write)
{
    for (int i = 0; i < w->nodes_len; i++) {
        const Redis *redis = &w->group->redis[i];
        bool follows = redis->alive && redis->role == REDIS_REPLICA &&
                       redis->history == redis_of(w, node)->history2;
        if (i != node->index && follows && data_has(&w->nodes[i].data, write)) {
            return &w->nodes[i];
        }
    }
    return NULL;
}

/* How the node that lacks a write has come to lead. */
typedef enum Opening { OPENING_AGAIN, OPENING_PLANNED, OPENING_PROMOTED } Opening;

/* Of a term that has opened: whether nothing may be lost by it. */
static Opening opening_of(const World *w, int64_t term)
{
    bool planned =
        term < (int64_t)w->group->planned_terms.len && w->group->planned_terms.items[term];
    return planned ? OPENING_PLANNED : OPENING_PROMOTED;
}

static void opens(World *w, int64_t term)
{
    while ((int64_t)w->group->planned_terms.len <= term) {
        vec_push(&w->group->planned_terms, false);
    }
    w->group->planned_terms.items[term] = w->group->planned;
}

/* Why a plain group may not have lost it; NULL: it may. */
static const char *plain_reason(World *w, const Node *node, uint32_t write, Opening how)
{
    bool prompt = w->one_host && w->profile != PROFILE_STORM;
    if (how == OPENING_AGAIN) {
        return "it was in its log";
    }
    if (how == OPENING_PLANNED) {
        return "the change was planned";
    }
    bool at_once = w->now - w->group->freed_at < GROUP_BID_MS * MS; /* so it has read to the end */
    if (at_once && is_in_pipe(w, node, write)) {
        return "its socket had taken it";
    }
    return prompt && better(w, node, write) != NULL ? "another one has it" : NULL;
}

static void lose(World *w, const Node *node, uint32_t write, Opening how)
{
    const GroupWrite *what = &w->group->writes.items[write];
    const char *reason = w->group->durable ? (w->strict ? "the group is strict" : "it is durable")
                                           : plain_reason(w, node, write, how);
    bool alone = w->profile != PROFILE_STORM && !w->one_host; /* one fault takes nothing */
    bool excused = what->fragile || what->outside || w->group->blind;
    if (reason == NULL || (excused && !(alone && w->group->durable))) {
        w->check.lost += w->group->durable ? 0 : 1;
        w->check.lost_durable += w->group->durable ? 1 : 0;
        trace(w, "%s: it lacks write %u%s%s%s", node->id.text, write,
              what->fragile ? ", which a log has lost" : "",
              what->outside ? ", which nobody of the set had confirmed" : "",
              w->group->blind ? ", and any data counted" : "");
        return;
    }
    fail(w, "%s leads without write %u, which was acknowledged%s, and %s", node->id.text, write,
         what->alone ? " alone" : "", reason);
}

static void check_lost(World *w, const Node *node, bool promoted)
{
    GroupSim *group = w->group;
    size_t len = 0;
    for (size_t i = 0; i < group->acked.len; i++) {
        uint32_t write = group->acked.items[i];
        if (data_has(&node->data, write)) {
            group->acked.items[len++] = write;
        } else {
            lose(w, node, write, promoted ? opening_of(w, group->open_term) : OPENING_AGAIN);
        }
    }
    group->acked.len = len;
}

/* It takes writes from here on. One that has been deposed and does not know yet is found by what it
 * acknowledges. */
void group_check_open(World *w, const Node *node, bool promoted)
{
    GroupSim *group = w->group;
    const GroupRecord *record = &w->store.now.group;
    int64_t term = redis_of(w, node)->term;
    if (term != record->term || !ha_id_eq(&record->leader, &node->id)) {
        return;
    }
    bool first = group->open_term < term; /* it may have ended before it was promoted */
    if (first) {
        opens(w, term);
    }
    group->open_term = term;
    group->open_node = node->index;
    group->opened_at = w->now;
    check_lost(w, node, promoted || (first && term > 1));
}

/* ---- what is acknowledged ----------------------------------------------------------------------
 */

/* A plain group's leader whose whole host has slept answers until its guard has looked. */
static bool has_just_woken(const World *w, const GroupWrite *write)
{
    int64_t woken = w->hosts[w->nodes[write->node].host].paused_until;
    return !w->group->durable && write->at >= woken && write->at - woken < WOKEN_US;
}

static void check_acting(World *w, const GroupOp *op)
{
    GroupSim *group = w->group;
    const GroupWrite *write = &group->writes.items[op->write];
    while ((int64_t)group->acting.len <= op->term) {
        vec_push(&group->acting, -1);
    }
    int *acting = &group->acting.items[op->term];
    if (*acting >= 0 && *acting != write->node) {
        fail(w, "%s and %s have both carried out writes of term %lld", w->nodes[*acting].id.text,
             w->nodes[write->node].id.text, (long long)op->term);
    }
    *acting = write->node;
    if (group->open_term > write->term && write->at > group->opened_at &&
        !has_just_woken(w, write)) {
        fail(w, "%s has carried out write %u for term %lld, and %s leads in term %lld",
             w->nodes[write->node].id.text, op->write, (long long)write->term,
             w->nodes[group->open_node].id.text, (long long)group->open_term);
    }
}

/* Redis counts a replica's word whether it is in the set or not. */
static bool is_outside(const World *w, const GroupWrite *write, uint32_t id)
{
    bool inside = false;
    bool outside = false;
    for (int i = 0; i < w->nodes_len; i++) {
        const Data *data = &w->nodes[i].data;
        bool has = i != write->node && data_has(data, id);
        bool member = ha_set_has(&w->store.now.group.set, &data->incarnation);
        inside = inside || (has && member);
        outside = outside || (has && !member);
    }
    return outside && !inside;
}

void group_check_ack(World *w, uint32_t number)
{
    GroupSim *group = w->group;
    const GroupOp *op = &group->ops.items[number];
    int64_t gap = w->now - w->check.last_ack;
    if (w->check.counts && gap > w->check.gap_max) {
        w->check.gap_max = gap;
        w->check.gap_at = w->now;
    }
    w->check.last_ack = w->now;
    w->check.acks++;
    GroupWrite *write = &group->writes.items[op->write];
    write->acked = true;
    write->outside = is_outside(w, write, op->write);
    check_acting(w, op);
    const Node *leader = &w->nodes[group->open_node];
    if (group->open_term > write->term && !data_has(&leader->data, op->write)) {
        /* It was on its way when the next one opened. */
        lose(w, leader, op->write, opening_of(w, write->term + 1));
        return;
    }
    vec_push(&group->acked, op->write);
}

/* ---- in the end --------------------------------------------------------------------------------
 */

static bool is_in_sync(World *w, const Node *node, int leader)
{
    const Redis *redis = redis_of(w, node);
    const Redis *of = &w->group->redis[leader];
    return redis->alive && redis->role == REDIS_REPLICA && redis->source.node == leader &&
           redis->source.phase == REDIS_LINK_UP && redis->history == of->history &&
           redis_offset(w, node) + GROUP_SOCKET >= redis_offset(w, &w->nodes[leader]);
}

bool group_check_settled(World *w)
{
    const GroupRecord *record = &w->store.now.group;
    int leader = node_by_id(w, &record->leader);
    const Redis *redis = &w->group->redis[leader];
    char history[GROUP_HISTORY_SIZE];
    group_history_text(redis->history, history);
    if (record->phase != HA_PHASE_LEADING || !redis->alive || redis->role != REDIS_PRIMARY ||
        (int)record->set.len != w->nodes_len || strcmp(history, record->history) != 0) {
        return false;
    }
    for (int i = 0; i < w->nodes_len; i++) {
        const Node *node = &w->nodes[i];
        if (!ha_set_has(&record->set, &node->data.incarnation) || w->store.now.wants[i].gone ||
            (i != leader && !is_in_sync(w, node, leader))) {
            return false;
        }
    }
    return w->now - w->check.last_ack < 300 * MS;
}

void group_check_not_settled(World *w, const char *when)
{
    const GroupRecord *record = &w->store.now.group;
    fail(w, "%s: term %lld, %s, leader %s, %zu in the set, last acknowledged write at %lld ms",
         when, (long long)record->term, ha_phase_name(record->phase), record->leader.text,
         record->set.len, (long long)(w->check.last_ack / MS));
}

static void check_same(World *w, const Node *node, const Node *leader)
{
    size_t len = node->data.len < leader->data.len ? node->data.len : leader->data.len;
    if (leader->data.len - len > GROUP_SOCKET) {
        fail(w, "%s has %zu writes, and %s %zu", node->id.text, node->data.len, leader->id.text,
             leader->data.len);
    }
    for (size_t i = 0; i < len; i++) {
        if (node->data.ids[i] != leader->data.ids[i]) {
            fail(w, "%s has write %u where %s has write %u", node->id.text, node->data.ids[i],
                 leader->id.text, leader->data.ids[i]);
            return;
        }
    }
}

static void check_gap(World *w)
{
    if (w->gap_limit != 0 && w->check.gap_max > w->gap_limit) {
        fail(w, "%s: %lld ms without an acknowledged write, and %lld are allowed",
             w->single != NULL ? w->single : "no fault", (long long)(w->check.gap_max / MS),
             (long long)(w->gap_limit / MS));
    }
    if (w->same_term && w->store.now.group.term != w->check.first_term) {
        fail(w, "%s: it cost a failover", w->single != NULL ? w->single : "no fault");
    }
}

void group_check_end(World *w)
{
    const Node *leader = &w->nodes[node_by_id(w, &w->store.now.group.leader)];
    check_lost(w, leader, false);
    for (int i = 0; i < w->nodes_len; i++) {
        check_same(w, &w->nodes[i], leader);
    }
    check_gap(w);
}
