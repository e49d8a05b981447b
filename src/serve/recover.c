/*
 * The way back where the hosts that vote in the store are lost for good: what this one has of it
 * becomes the tier's, in an etcd of one member. `weir host recover` asks for that in host.json;
 * serve does it when it starts, before anything of it runs. The write of host.json that takes the
 * wish out of it comes last: cut off before, it begins anew from what the host had.
 */
#include "client/client.h"
#include "serve/etcd_own_priv.h"

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

static bool begin(Tier *tier, Err *err)
{
    bool ok = etcd_own_go_on(tier, err) && etcd_own_open(tier, err) && count_up(tier, err);
    store_close(tier->store);
    tier->store = NULL;
    return ok;
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

bool tier_recover(Tier *tier, int net_fd, Err *err)
{
    CLEANUP(record_free_ptr) json_t *asked = tier->etcd;
    const char *kept = member_str(asked, HOST_ETCD_RECOVER, "");
    tier->etcd = NULL;
    TRY(tier_place_open(tier, net_fd, err) && etcd_own_restore(tier, kept, err));
    tier->etcd = etcd_own_settings(tier);
    TRY(begin(tier, err) && decide(tier, err));
    log_warn("serve",
             "the store goes on from what this host (%s) had of it; what it had is kept in "
             "%s/etcd/%s",
             tier->host, tier->data_dir, kept);
    return true;
}
