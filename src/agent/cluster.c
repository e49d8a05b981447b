/*
 * The failover records of instances and groups in the store: one key each, every write a
 * compare-and-swap on its revision (RULES F1). What they say, and what is to be written, is decided
 * in src/ha and src/group.
 */
#include "agent/agent_priv.h"

static bool record_get(Store *store, const char *cluster, json_t **ret_json, int64_t *ret_revision,
                       Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(mem_free_ptr) char *key = mem_printf("cluster/%s", cluster);
    StoreItem item;
    TRY(store_get(store, slice_of(key), arena, &item, err));
    TRY(record_parse(item.value, ret_json, err));
    *ret_revision = item.mod_revision;
    return true;
}

bool cluster_read(Store *store, const char *cluster, HaRecord *ret_record, int64_t *ret_revision,
                  Err *err)
{
    CLEANUP(record_free_ptr) json_t *json = NULL;
    int64_t revision;
    if (!record_get(store, cluster, &json, &revision, err) ||
        !ha_record_parse(json, ret_record, err)) {
        return err_wrap(err, "record of cluster %s", cluster);
    }
    *ret_revision = revision;
    return true;
}

bool cluster_is_absent(Store *store, const char *cluster)
{
    CLEANUP(record_free_ptr) json_t *json = NULL;
    int64_t revision;
    Err err;
    return !record_get(store, cluster, &json, &revision, &err) && err.code == ERR_NOT_FOUND;
}

/* Sets the record's members in `json`. */
typedef void Put(const void *record, json_t *json);

/* One compare more: that the beat is the same still; NULL: none. */
static bool swap_while(Store *store, Slice key, int64_t revision, Slice text, const HostBeat *beat,
                       int64_t *ret_revision, Err *err)
{
    if (beat == NULL) {
        return store_update(store, key, revision, text, ret_revision, err);
    }
    const StoreCompare compares[] = {{.key = key, .revision = revision},
                                     {.key = slice_of(beat->key), .revision = beat->revision}};
    const StoreWrite writes[] = {{.kind = STORE_PUT, .key = key, .value = text}};
    const StoreTxn txn = {.compares = compares,
                          .compares_len = ARRAY_LEN(compares),
                          .writes = writes,
                          .writes_len = ARRAY_LEN(writes)};
    bool committed = false;
    return store_txn(store, &txn, &committed, ret_revision, err) &&
           (committed || err_set(err, ERR_CONFLICT, "it has changed, or %s", beat->key));
}

static bool record_swap(Store *store, const char *cluster, int64_t revision, const void *record,
                        Put *put, const HostBeat *beat, int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *json = NULL;
    CLEANUP(mem_free_ptr) char *key = mem_printf("cluster/%s", cluster);
    int64_t now = 0;
    TRY(record_get(store, cluster, &json, &now, err));
    if (now != revision) {
        return err_set(err, ERR_CONFLICT, "record of cluster %s: it has changed", cluster);
    }
    put(record, json);
    return swap_while(store, slice_of(key), revision, record_format(arena, json), beat,
                      ret_revision, err) ||
           err_wrap(err, "record of cluster %s", cluster);
}

static void put_cluster(const void *record, json_t *json)
{
    ha_record_put(record, json);
}

bool cluster_write(Store *store, const char *cluster, int64_t revision, const HaRecord *record,
                   int64_t *ret_revision, Err *err)
{
    return record_swap(store, cluster, revision, record, put_cluster, NULL, ret_revision, err);
}

bool cluster_group_read(Store *store, const char *cluster, GroupRecord *ret_record,
                        int64_t *ret_revision, Err *err)
{
    CLEANUP(record_free_ptr) json_t *json = NULL;
    int64_t revision;
    if (!record_get(store, cluster, &json, &revision, err) ||
        !group_record_parse(json, ret_record, err)) {
        return err_wrap(err, "record of group %s", cluster);
    }
    *ret_revision = revision;
    return true;
}

static void put_group(const void *record, json_t *json)
{
    group_record_put(record, json);
}

bool cluster_group_write(Store *store, const char *cluster, int64_t revision,
                         const GroupRecord *record, const HostBeat *beat, int64_t *ret_revision,
                         Err *err)
{
    return record_swap(store, cluster, revision, record, put_group, beat, ret_revision, err);
}

void cluster_names(const HaSet *standbys, Buf *out)
{
    if (standbys->len == 0) {
        return;
    }
    buf_printf(out, "FIRST %zu (", standbys->len);
    for (size_t i = 0; i < standbys->len; i++) {
        char name[PG_STANDBY_NAME_SIZE];
        pg_standby_name(standbys->items[i].text, name);
        buf_printf(out, "%s%s", i > 0 ? ", " : "", name);
    }
    buf_append_char(out, ')');
}
