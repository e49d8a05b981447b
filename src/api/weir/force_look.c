/*
 * Of an instance or a group that nobody may lead (force_failover.c): its record, and which of its
 * nodes are there and have data.
 */
#include "api/weir/force_priv.h"
#include "api/weir/host_priv.h"

/* ---- its nodes ---------------------------------------------------------------------------------
 */

/* Of one of its nodes: the id; else NULL. */
static const char *node_of(ApiContext *ctx, const Force *force, const RecordItem *item)
{
    const char *type = force->group ? "replication-group" : "db-instance";
    return strcmp(member_str(item->value, "resource", ""), type) == 0 &&
                   strcmp(member_str(item->value, "identifier", ""), force->id) == 0
               ? node_id_of(ctx, item->key)
               : NULL;
}

static const json_t *seen_of(ApiContext *ctx, const char *node)
{
    return record_get(ctx, arena_printf(ctx->arena, "node/%s/seen", node));
}

const char *force_incarnation(ApiContext *ctx, const char *node)
{
    return member_str(seen_of(ctx, node), "incarnation", "");
}

static bool is_heard(ApiContext *ctx, const char *host)
{
    int64_t silent_ms;
    return host_is_heard(ctx, host, &silent_ms);
}

/* It has what its leader wrote, whole. */
static bool has_data(const Force *force, const json_t *seen)
{
    const char *ha = member_str(seen, "ha", "empty");
    return member_str(seen, "incarnation", "")[0] != '\0' && strcmp(ha, "empty") != 0 &&
           strcmp(member_str(seen, "state", ""), "preparing") != 0 &&
           (!force->group || member_bool(seen, "data", false));
}

/* ---- looking -----------------------------------------------------------------------------------
 */

bool force_find_record(ApiContext *ctx, Force *force)
{
    RecordList list = record_list(ctx, "node/");
    for (size_t i = 0; i < list.len && force->key == NULL; i++) {
        const json_t *goal = list.items[i].value;
        if (node_of(ctx, force, &list.items[i]) == NULL) {
            continue;
        }
        if (strcmp(member_str(goal, "role", ""), "replica") == 0) {
            return refuse(ctx, "InvalidRequestException",
                          "%s is a read replica: it follows another instance, and nobody leads it.",
                          force->id);
        }
        force->key = arena_printf(ctx->arena, "cluster/%s", member_str(goal, "cluster", ""));
    }
    force->record = force->key != NULL ? record_get(ctx, force->key) : NULL;
    if (force->record == NULL) {
        return refuse(ctx, "ResourceNotFoundException", "There is no %s \"%.100s\".",
                      force->group ? "group" : "instance", force->id);
    }
    force->leader = arena_strdup(ctx->arena, member_str(force->record, "leader", ""));
    const json_t *goal = record_get(ctx, arena_printf(ctx->arena, "node/%s/goal", force->leader));
    force->leader_host = member_str(goal, "host", "");
    return true;
}

typedef enum Turn { TURN_LEADER, TURN_OTHER, TURN_LED, TURNS } Turn;

static Turn turn_of(ApiContext *ctx, const Force *force, const char *node)
{
    return strcmp(node, force->leader) == 0                                 ? TURN_LEADER
           : !force->group && member_bool(seen_of(ctx, node), "led", false) ? TURN_LED
                                                                            : TURN_OTHER;
}

static json_t *told_of(ApiContext *ctx, const Force *force, const char *node, const json_t *goal)
{
    bool unsure = member_bool(force->record, "unsure", false); /* who led when, nobody knows */
    return json_pack("{s:s, s:s, s:b}", "NodeId", node, "Host", member_str(goal, "host", ""),
                     "HasLed", turn_of(ctx, force, node) == TURN_LED && !unsure);
}

static void choose(ApiContext *ctx, Force *force, const char *node, const json_t *goal,
                   const json_t *seen)
{
    HaId incarnation = ha_id(member_str(seen, "incarnation", ""));
    const char *history = member_str(seen, "history", "");
    force->differ =
        force->differ || (force->chosen.len > 0 && strcmp(history, force->history) != 0);
    force->history = history;
    ha_set_add(&force->chosen, &incarnation);
    json_array_append_new(force->nodes, told_of(ctx, force, node, goal));
}

/* Of an instance one that is down is started when it is admitted. */
static void consider(ApiContext *ctx, Force *force, const char *node, const json_t *goal)
{
    const json_t *seen = seen_of(ctx, node);
    bool leaves = force->group && member_bool(goal, "gone", false);
    if (!has_data(force, seen) || leaves || !is_heard(ctx, member_str(goal, "host", ""))) {
        return;
    }
    bool wanted = force->wanted == NULL || strcmp(node, force->wanted) == 0;
    if (!force->group && (!wanted || force->chosen.len > 0)) {
        json_array_append_new(force->others, told_of(ctx, force, node, goal));
    } else if (!wanted) {
        return;
    } else if (force->group && strcmp(member_str(seen, "ha", ""), "following") != 0) {
        force->late = node;
    } else {
        choose(ctx, force, node, goal, seen);
    }
}

/* The leader itself comes first, where its data is not what the record names; else those that could
 * take its place: of an instance there is one. One that has led itself has nothing of what its
 * leader has acknowledged, and comes last. */
void force_find_nodes(ApiContext *ctx, Force *force)
{
    RecordList list = record_list(ctx, "node/");
    force->nodes = context_own(ctx, json_array());
    force->others = context_own(ctx, json_array());
    for (Turn turn = force->group ? TURN_OTHER : TURN_LEADER; turn < TURNS; turn++) {
        for (size_t i = 0; i < list.len; i++) {
            const char *node = node_of(ctx, force, &list.items[i]);
            if (node != NULL && turn_of(ctx, force, node) == turn) {
                consider(ctx, force, node, list.items[i].value);
            }
        }
    }
}
