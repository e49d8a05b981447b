/*
 * The failover record of an instance, as the leader's agent writes it: one key, every write a
 * compare-and-swap on its revision that also checks the leader (RULES F1). A call that ends with an
 * error has proven nothing, also when its write may have reached the disk: the caller comes back
 * and makes a compare-and-swap of its own (F2).
 */
#include "agent/agent_priv.h"

#define CAS_TRIES_MAX 16

static bool is_wanted(const ClusterWrite *change, const char *incarnation)
{
    if (strcmp(incarnation, change->incarnation) == 0) {
        return true;
    }
    for (size_t i = 0; i < change->wanted_len; i++) {
        if (strcmp(incarnation, change->wanted[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The set after the change: the leader first, then those of the old set that are still wanted, then
 * the one that joins. */
static json_t *set_after(const ClusterWrite *change, const json_t *old)
{
    json_t *set = json_array();
    json_array_append_new(set, json_string(change->incarnation));
    size_t i;
    json_t *member;
    json_array_foreach (old, i, member) {
        const char *text = json_string_value(member);
        if (text != NULL && strcmp(text, change->incarnation) != 0 && is_wanted(change, text)) {
            json_array_append(set, member);
        }
    }
    if (change->added != NULL && !cluster_set_has(set, change->added)) {
        json_array_append_new(set, json_string(change->added));
    }
    return set;
}

bool cluster_set_has(const json_t *set, const char *incarnation)
{
    size_t i;
    json_t *member;
    json_array_foreach (set, i, member) {
        const char *text = json_string_value(member);
        if (text != NULL && strcmp(text, incarnation) == 0) {
            return true;
        }
    }
    return false;
}

/* A leader whose record was made for another data directory must not serve with this one. */
static bool change_allowed(const ClusterWrite *change, const json_t *record, Err *err)
{
    const char *leader = member_str(record, "leader", "");
    const json_t *set = json_object_get(record, "set");
    if (strcmp(leader, change->node) != 0) {
        return err_set(err, ERR_DENIED, "the cluster's leader is %s: %s does not start as primary",
                       leader, change->node);
    }
    if (json_array_size(set) > 0 && !cluster_set_has(set, change->incarnation)) {
        return err_set(err, ERR_DENIED,
                       "the data directory of %s is not in the cluster's set: it does not start",
                       change->node);
    }
    return true;
}

static bool cluster_try(Store *store, Slice key, const ClusterWrite *change, json_t **ret_set,
                        Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    TRY(store_get(store, key, arena, &item, err));
    CLEANUP(record_free_ptr) json_t *record = NULL;
    TRY(record_parse(item.value, &record, err));
    TRY(change_allowed(change, record, err));
    CLEANUP(record_free_ptr) json_t *set = set_after(change, json_object_get(record, "set"));
    json_object_set(record, "set", set);
    json_object_set_new(record, "writes", json_integer(member_int(record, "writes", 0) + 1));
    Slice text = record_format(arena, record);
    TRY(store_update(store, key, item.mod_revision, text, NULL, err));
    *ret_set = json_incref(set);
    return true;
}

bool cluster_write(Store *store, const char *cluster, const ClusterWrite *write, json_t **ret_set,
                   Err *err)
{
    CLEANUP(mem_free_ptr) char *key = mem_printf("cluster/%s", cluster);
    for (int i = 0; i < CAS_TRIES_MAX; i++) {
        if (cluster_try(store, slice_of(key), write, ret_set, err)) {
            return true;
        }
        if (err->code != ERR_CONFLICT) {
            return err_wrap(err, "record of cluster %s", cluster);
        }
    }
    return err_wrap(err, "record of cluster %s, after %d tries", cluster, CAS_TRIES_MAX);
}

void cluster_names(const json_t *set, const char *leader_incarnation, const char *joining, Buf *out)
{
    size_t standbys = 0;
    Buf list;
    buf_init(&list, BUF_MAX_DEFAULT);
    size_t i;
    json_t *member;
    json_array_foreach (set, i, member) {
        const char *text = json_string_value(member);
        if (strcmp(text, leader_incarnation) != 0) {
            buf_printf(&list, "%sweir_%s", standbys++ > 0 ? ", " : "", text);
        }
    }
    if (joining != NULL && !cluster_set_has(set, joining)) {
        buf_printf(&list, "%sweir_%s", standbys++ > 0 ? ", " : "", joining);
    }
    if (standbys > 0) {
        buf_printf(out, "FIRST %zu (%s)", standbys, buf_str(&list));
    }
    buf_done(&list);
}
