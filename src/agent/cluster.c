/*
 * The failover record of an instance in the store: one key, every write a compare-and-swap on its
 * revision (RULES F1). What it says, and what is to be written, is decided in src/ha.
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

bool cluster_write(Store *store, const char *cluster, int64_t revision, const HaRecord *record,
                   int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *json = NULL;
    CLEANUP(mem_free_ptr) char *key = mem_printf("cluster/%s", cluster);
    int64_t now = 0;
    TRY(record_get(store, cluster, &json, &now, err));
    if (now != revision) {
        return err_set(err, ERR_CONFLICT, "record of cluster %s: it has changed", cluster);
    }
    ha_record_put(record, json);
    return store_update(store, slice_of(key), revision, record_format(arena, json), ret_revision,
                        err) ||
           err_wrap(err, "record of cluster %s", cluster);
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
