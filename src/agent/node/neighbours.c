/*
 * What a node knows of other nodes: their records in the store, and who of them follows it.
 */
#include <stdio.h>

#include "agent/node/node_priv.h"

#define RANGE_STEP 1000

bool node_neighbour_read(NodeRun *run, const char *node, const char *record, json_t **ret_record,
                         Err *err)
{
    char key[STORE_KEY_MAX];
    snprintf(key, sizeof(key), "node/%s/%s", node, record);
    StoreItem item;
    if (!store_get(run->work->options->store, slice_of(key), run->arena, &item, err)) {
        if (err->code == ERR_NOT_FOUND) {
            *ret_record = NULL;
        }
        return err->code == ERR_NOT_FOUND;
    }
    return record_parse(item.value, ret_record, err);
}

json_t *node_neighbour(NodeRun *run, const char *node, const char *record)
{
    Err err;
    json_t *value = NULL;
    if (node[0] == '\0' || node_neighbour_read(run, node, record, &value, &err)) {
        return value;
    }
    run->unread = arena_printf(run->arena, "%s of node %s: %s", record, node, err.message);
    return NULL;
}

bool node_neighbours_known(const NodeRun *run, Err *err)
{
    return run->unread == NULL || err_set(err, ERR_UNAVAILABLE, "%s", run->unread);
}

/* The node whose "seen" of `range` has this data directory; NULL. */
static const char *owner_in(NodeRun *run, const StoreRange *range, const char *incarnation)
{
    for (size_t i = 0; i < range->len; i++) {
        Slice key = range->items[i].key;
        CLEANUP(record_free_ptr) json_t *seen = NULL;
        if (slice_ends(key, "/seen") && record_parse(range->items[i].value, &seen, NULL) &&
            strcmp(member_str(seen, "incarnation", ""), incarnation) == 0) {
            size_t around = strlen("node/") + strlen("/seen");
            return arena_slice_str(run->arena,
                                   slice_from(key.data + strlen("node/"), key.len - around));
        }
    }
    return NULL;
}

static bool node_follows_us(NodeRun *run, const char *node)
{
    Err err;
    CLEANUP(record_free_ptr) json_t *goal = NULL;
    if (!node_neighbour_read(run, node, "goal", &goal, &err)) {
        return true; /* unknown is yes */
    }
    return strcmp(member_str(goal, "cluster", ""), member_str(run->goal, "cluster", "")) == 0 &&
           !member_bool(goal, "gone", false);
}

bool node_is_follower(NodeRun *run, const char *incarnation)
{
    Slice after = {0};
    for (;;) {
        StoreRange range;
        if (!store_range(run->work->options->store, SLICE("node/"), after, RANGE_STEP, run->arena,
                         &range, NULL)) {
            return true; /* unknown is yes: its slot keeps what it needs */
        }
        const char *owner = owner_in(run, &range, incarnation);
        if (owner != NULL || !range.more) {
            return owner != NULL && node_follows_us(run, owner);
        }
        after = range.items[range.len - 1].key;
    }
}
