/*
 * Redis's log of writes (appendonly, everysec). A write is in it before it is answered; while the
 * disk hangs it is put off, for 2 s, and then everything waits. What is in it is on the disk a
 * second later. Behind a full copy the disk has the log of what was there before, until that is
 * written anew.
 */
#include "group_sim.h"

#define POSTPONE_US (2 * S)
#define SYNC_US     S

void redis_log_begin(Node *node)
{
    node->data.flushed = node->data.len;
}

void redis_log_write(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    if (!disk_hung(w, node)) {
        node->data.flushed = node->data.len;
        redis->postponed_at = 0;
    } else if (redis->postponed_at == 0) {
        redis->postponed_at = w->now;
    }
}

bool redis_log_blocks(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    bool blocks = redis->postponed_at != 0 && disk_hung(w, node) &&
                  w->now - redis->postponed_at >= POSTPONE_US;
    if (blocks) {
        proc_pause(w, &redis->proc, node->disk_hung_until);
    }
    return blocks;
}

void redis_log_tick(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    if (redis->postponed_at != 0) {
        redis_log_write(w, node);
    }
    if (!disk_hung(w, node) && w->now / SYNC_US != (w->now - 100 * MS) / SYNC_US) {
        redis->synced = node->data.flushed;
    }
}

/* ---- behind a copy -----------------------------------------------------------------------------
 */

static void rewritten(World *w, const Event *event)
{
    Node *node = &w->nodes[event->a];
    Redis *redis = redis_of(w, node);
    if (!redis->rewriting) {
        return;
    }
    if (disk_hung(w, node)) {
        later_in(w, &redis->proc, 50 * MS, rewritten, event->a, 0);
        return;
    }
    redis->rewriting = false;
    data_done(&redis->old);
    redis_log_write(w, node);
    redis->synced = node->data.len;
}

/* The memory's content is about to be another. */
void redis_log_replaced(World *w, Node *node, Data *old)
{
    Redis *redis = redis_of(w, node);
    if (!redis->rewriting) {
        data_done(&redis->old);
        data_copy(&redis->old, old, old->flushed);
        redis->rewriting = true;
    }
    redis->synced = 0;
    later_in(w, &redis->proc, roll_late(w, LATE_OTHER, 400 * MS, 4 * S), rewritten, node->index, 0);
}

/* ---- an end ------------------------------------------------------------------------------------
 */

static void take_old(World *w, Node *node)
{
    Redis *redis = redis_of(w, node);
    size_t had = node->data.len;
    data_copy(&node->data, &redis->old, redis->old.len);
    data_done(&redis->old);
    redis->rewriting = false;
    redis->synced = node->data.len;
    trace(w, "%s: its log is that of before the copy: %zu writes, it had %zu", node->id.text,
          node->data.len, had);
}

void redis_log_cut(World *w, Node *node, bool power)
{
    Redis *redis = redis_of(w, node);
    Data *data = &node->data;
    redis->postponed_at = 0;
    if (redis->rewriting) {
        HaId incarnation = data->incarnation;
        HaData kind = data->kind;
        take_old(w, node);
        data->incarnation = incarnation;
        data->kind = kind;
        data->whole = true;
        return;
    }
    size_t keep = data->flushed;
    if (power && redis->synced < keep) {
        keep = (size_t)roll(w, (int64_t)redis->synced, (int64_t)keep);
    }
    for (size_t i = keep; i < data->len; i++) {
        w->group->writes.items[data->ids[i]].fragile = true;
    }
    if (keep < data->len) {
        trace(w, "%s: its log lacks the last %zu writes", node->id.text, data->len - keep);
    }
    data_cut(data, keep);
    redis->synced = redis->synced < keep ? redis->synced : keep;
}
