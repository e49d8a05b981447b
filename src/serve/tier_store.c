/*
 * Where the tier's store is: in SQLite here, in an etcd that Weir runs, or in one of the
 * operator's. What must be there before it is opened, and how a host that joins reaches it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "client/client.h"
#include "serve/etcd_own_priv.h"

#define FILE_MAX_BYTES ((size_t)64 << 10)

/* ---- opening -----------------------------------------------------------------------------------
 */

bool tier_etcd_is_own(const Tier *tier)
{
    return member_bool(tier->etcd, "own", false);
}

/* A path in host.json that is not absolute lies in the folder. NULL: none. */
static const char *etcd_file(const Tier *tier, Arena *arena, const char *name)
{
    const char *path = member_str(tier->etcd, name, NULL);
    return path == NULL || path[0] == '/' ? path
                                          : arena_printf(arena, "%s/%s", tier->data_dir, path);
}

bool tier_store_open(Tier *tier, Err *err)
{
    if (tier->etcd == NULL) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.sqlite", tier->data_dir);
        return store_open_sqlite(path, NULL, &tier->store, err);
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *endpoints[CLIENT_ETCD_MAX + 1] = {NULL};
    size_t i;
    json_t *endpoint;
    json_array_foreach (member_array(tier->etcd, "endpoints"), i, endpoint) {
        endpoints[i] = json_string_value(endpoint);
    }
    const StoreEtcdOptions options = {.endpoints = endpoints,
                                      .root = member_str(tier->etcd, "root", "/weir/"),
                                      .ca = etcd_file(tier, arena, "ca"),
                                      .cert = etcd_file(tier, arena, "cert"),
                                      .key = etcd_file(tier, arena, "key"),
                                      .keep_history =
                                          member_bool(tier->etcd, "keep_history", false)};
    return store_open_etcd(&options, NULL, &tier->store, err);
}

/* ---- before that -------------------------------------------------------------------------------
 */

/* What the store was before it moved. */
static void sqlite_leave(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.sqlite", tier->data_dir);
    CLEANUP(mem_free_ptr) char *left = mem_printf("%s.left", path);
    if (file_exists(path) && rename(path, left) != 0) {
        log_warn("serve", "%s, which does not count any more, stays where it is: %s", path,
                 strerror(errno));
    }
}

/* The member of etcd on this host first: without it there may be no majority. Where it cannot run,
 * the others may still serve. */
static bool own_etcd_begin(Tier *tier, int net_fd, Err *err)
{
    Err failed;
    sqlite_leave(tier);
    TRY(tier_place_open(tier, net_fd, err) && etcd_own_cert_keep(tier, err));
    if (!etcd_own_has_data(tier)) {
        return true;
    }
    tier->etcd_begun = !etcd_own_runs(tier);
    if (!etcd_own_go_on(tier, ETCD_OWN_PORT, &failed)) {
        log_error("serve", "%s", failed.message);
    }
    return true;
}

bool tier_store_begin(Tier *tier, int net_fd, Err *err)
{
    CLEANUP(mem_free_ptr) char *sqlite = mem_printf("%s/weir.sqlite", tier->data_dir);
    CLEANUP(mem_free_ptr) char *left = mem_printf("%s.left", sqlite);
    if (tier_move_is_asked(tier)) {
        tier_move(tier, net_fd);
    }
    TRY(!tier_recover_is_asked(tier) || tier_recover(tier, net_fd, err));
    if (tier_etcd_is_own(tier)) {
        return own_etcd_begin(tier, net_fd, err);
    }
    return tier->etcd != NULL || file_exists(sqlite) || !file_exists(left) ||
           err_set(err, ERR_CONFLICT,
                   "the tier's store has moved to etcd, and %s/host.json does not say so any more: "
                   "put it back as it was",
                   tier->data_dir);
}

/* A move that was cut off leaves one that nobody asks. */
void tier_etcd_stray_stop(const Tier *tier)
{
    Err err;
    if (!tier_etcd_is_own(tier) && !etcd_own_stop(tier, &err)) {
        log_warn("serve", "etcd: %s", err.message);
    }
}

/* Nobody would find it who could stop it: `weir down` starts serve, which fails again. */
void tier_etcd_take_back(const Tier *tier)
{
    Err err;
    if (tier->etcd_begun && !etcd_own_stop(tier, &err)) {
        log_warn("serve", "etcd: %s", err.message);
    }
}

/* ---- what a host that joins is given -----------------------------------------------------------
 */

/* The text of one of those files as a member of `share`; there may be none. */
static bool share_file(const Tier *tier, const char *name, const char *member, json_t *share,
                       Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(buf_done) Buf text;
    const char *path = etcd_file(tier, arena, name);
    buf_init(&text, FILE_MAX_BYTES);
    TRY(path == NULL || file_read(path, &text, err));
    if (path != NULL) {
        json_object_set_new(share, member, json_string(buf_str(&text)));
    }
    return true;
}

/* Where to ask is what the file says: members may have changed since we started. */
bool tier_store_share(const Tier *tier, json_t **ret_share, Err *err)
{
    HostFile file;
    bool own = tier_etcd_is_own(tier);
    TRY(host_file_load(tier->data_dir, &file, err));
    json_t *share =
        json_pack("{s:O?, s:s, s:b, s:b}", "StoreEndpoints", member_array(file.etcd, "endpoints"),
                  "StoreRoot", member_str(tier->etcd, "root", "/weir/"), "StoreKeepHistory",
                  member_bool(tier->etcd, "keep_history", false), "StoreOwn", own);
    host_file_done(&file);
    bool ok = own ? etcd_own_share(tier, share, err)
                  : share_file(tier, "ca", "StoreCa", share, err) &&
                        share_file(tier, "cert", "StoreCert", share, err) &&
                        share_file(tier, "key", "StoreKey", share, err);
    if (!ok) {
        json_decref(share);
        return false;
    }
    *ret_share = share;
    return true;
}
