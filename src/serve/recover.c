/*
 * The way back where the hosts that vote in the store are lost for good: what this one has of it
 * becomes the tier's, in an etcd of one member. `weir host recover` asks for that in host.json;
 * serve does it when it starts, before anything of it runs. The write of host.json that takes the
 * wish out of it comes last: cut off before, it begins anew from what the host had.
 */
#include "client/client.h"
#include "group/group.h"
#include "ha/ha.h"
#include "serve/etcd_own_priv.h"

#define CLUSTERS_STEP 100 /* records that are read at once */

bool tier_recover_is_asked(const Tier *tier)
{
    return tier_etcd_is_own(tier) && member_str(tier->etcd, HOST_ETCD_RECOVER, NULL) != NULL;
}

static bool count_up(const Tier *tier, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *before = NULL;
    StoreItem item = {.mod_revision = 0};
    TRY(store_get(tier->store, SLICE(TIER_RECOVERED_KEY), arena, &item, err)
            ? record_parse(item.value, &before, err)
            : err->code == ERR_NOT_FOUND);
    CLEANUP(record_free_ptr)
    json_t *record =
        json_pack("{s:I, s:s, s:I}", "count", (json_int_t)member_int(before, "count", 0) + 1,
                  "host", tier->host, "at_ms", (json_int_t)time_wall_ms());
    Slice key = SLICE(TIER_RECOVERED_KEY);
    Slice text = record_format(arena, record);
    return before != NULL ? store_update(tier->store, key, item.mod_revision, text, NULL, err)
                          : store_create(tier->store, key, text, NULL, err);
}

static bool cluster_reset(const Tier *tier, Arena *arena, const StoreItem *item, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    TRY(record_parse(item->value, &record, err));
    if (slice_starts(item->key, "cluster/rg-")) {
        GroupRecord group;
        TRY(group_record_parse(record, &group, err));
        group_record_reset(&group);
        group_record_put(&group, record);
    } else {
        HaRecord cluster;
        TRY(ha_record_parse(record, &cluster, err));
        ha_record_reset(&cluster);
        ha_record_put(&cluster, record);
    }
    return store_update(tier->store, item->key, item->mod_revision, record_format(arena, record),
                        NULL, err);
}

/* What leaders have decided since the copy was made, and acknowledged alone perhaps, is not known.
 */
static bool clusters_reset(const Tier *tier, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange range = {.more = true};
    Slice after = {0};
    while (range.more) {
        TRY(store_range(tier->store, SLICE("cluster/"), after, CLUSTERS_STEP, arena, &range, err));
        for (size_t i = 0; i < range.len; i++) {
            TRY(cluster_reset(tier, arena, &range.items[i], err));
            after = range.items[i].key;
        }
    }
    return true;
}

/* A copy of the tier's: one that had just begun to learn has nothing yet. */
static bool check_same(const Tier *tier, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *record = NULL;
    StoreItem item;
    if (!store_get(tier->store, SLICE("tier"), arena, &item, err)) {
        return err->code != ERR_NOT_FOUND
                   ? false
                   : err_set(err, ERR_CONFLICT, "this host's copy of the store is not whole");
    }
    TRY(record_parse(item.value, &record, err));
    return strcmp(member_str(record, "id", ""), tier->id) == 0 ||
           err_set(err, ERR_CONFLICT, "this host's copy of the store is another tier's");
}

/* Until the copy is what it is to be, no other host may go by it. */
static bool change_alone(Tier *tier, Err *err)
{
    Err end;
    json_t *before = tier->etcd;
    tier->etcd = etcd_own_settings(tier, ETCD_OWN_PORT_ALONE);
    bool ok = etcd_own_go_on(tier, ETCD_OWN_PORT_ALONE, err) && etcd_own_open(tier, err) &&
              check_same(tier, err) && clusters_reset(tier, err) && count_up(tier, err);
    store_close(tier->store);
    tier->store = NULL;
    json_decref(tier->etcd);
    tier->etcd = before;
    return etcd_own_stop(tier, ok ? err : &end) && ok;
}

static bool decide(const Tier *tier, Err *err)
{
    HostFile file;
    TRY(host_file_load(tier->data_dir, &file, err));
    json_decref(file.etcd);
    file.etcd = json_incref(tier->etcd);
    bool ok = host_file_save(tier->data_dir, &file, err);
    host_file_done(&file);
    return ok;
}

/* One of those that were lost is there again: NULL, none is. */
static const char *who_answers(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *peer = etcd_own_peer_url(tier->net);
    CLEANUP(mem_free_ptr) char *own = etcd_own_endpoint(peer);
    size_t i;
    json_t *endpoint;
    json_array_foreach (member_array(tier->etcd, "endpoints"), i, endpoint) {
        const char *text = json_string_value(endpoint);
        if (strcmp(text, own) != 0 && store_endpoint_answers(text)) {
            return text;
        }
    }
    return NULL;
}

/* All is as if nobody had asked. */
static bool withdraw(Tier *tier, const char *kept, const char *why, Err *err)
{
    TRY(etcd_own_restore_undo(tier, kept, err));
    log_error("serve", "%s answers again: this host does not go on from its copy of the store",
              why);
    json_object_del(tier->etcd, HOST_ETCD_RECOVER);
    return decide(tier, err);
}

bool tier_recover(Tier *tier, int net_fd, Err *err)
{
    CLEANUP(mem_free_ptr) char *kept = mem_strdup(member_str(tier->etcd, HOST_ETCD_RECOVER, ""));
    if (!slice_starts(slice_of(kept), HOST_ETCD_KEPT) || strchr(kept, '/') != NULL) {
        return err_set(err, ERR_INVALID,
                       "etcd.recover in %s/host.json is not " HOST_ETCD_KEPT "NUMBER: take it out, "
                       "and use `weir host recover`",
                       tier->data_dir);
    }
    TRY(tier_place_open(tier, net_fd, err) && etcd_own_cert_keep(tier, err));
    const char *answers = who_answers(tier);
    if (answers != NULL) {
        return withdraw(tier, kept, answers, err);
    }
    TRY(etcd_own_restore(tier, kept, err) && change_alone(tier, err));
    json_t *before = tier->etcd;
    tier->etcd = etcd_own_settings(tier, ETCD_OWN_PORT);
    if (!decide(tier, err)) {
        json_decref(tier->etcd);
        tier->etcd = before;
        return false;
    }
    json_decref(before);
    log_warn("serve",
             "the store goes on from what this host (%s) had of it; what it had is kept in "
             "%s/etcd/%s",
             tier->host, tier->data_dir, kept);
    return true;
}
