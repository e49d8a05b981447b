/*
 * The first join: the tier's store goes from SQLite to an etcd of its own. serve does it when it
 * starts, before anything of it runs, so that nobody writes meanwhile; engines and endpoints go on.
 * host.json is written last, and decides: without it SQLite counts, and what etcd has is thrown
 * away by the next attempt; with it etcd does.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "client/client.h"
#include "serve/etcd_own_priv.h"

#define PAGE_MAX   64 /* keys of a transaction */
#define PAGE_BYTES ((size_t)512 << 10)

static char *mark_path(const Tier *tier)
{
    return mem_printf("%s/store.moves", tier->data_dir);
}

bool tier_move_ask(const Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mark_path(tier);
    return file_write(path, SLICE("to etcd\n"), 0600, err);
}

bool tier_move_is_asked(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = mark_path(tier);
    return file_exists(path);
}

static void mark_remove(const Tier *tier)
{
    CLEANUP(mem_free_ptr) char *path = mark_path(tier);
    if (unlink(path) != 0 && errno != ENOENT) {
        log_warn("serve", "cannot remove %s", path);
    }
}

/* ---- copying -----------------------------------------------------------------------------------
 */

/* Keys of one transaction: as many as fit. */
typedef struct Batch {
    StoreCompare compares[PAGE_MAX];
    StoreWrite writes[PAGE_MAX];
    size_t len;
    size_t bytes;
} Batch;

static bool batch_send(Store *to, Batch *batch, Err *err)
{
    const StoreTxn txn = {.compares = batch->compares,
                          .compares_len = batch->len,
                          .writes = batch->writes,
                          .writes_len = batch->len};
    bool committed = true;
    int64_t revision;
    TRY(batch->len == 0 || store_txn(to, &txn, &committed, &revision, err));
    batch->len = batch->bytes = 0;
    return committed || err_set(err, ERR_CONFLICT, "the new etcd is not empty");
}

/* What a lease keeps ends with the serve that had it, which is gone. */
static bool page_copy(Store *to, const StoreRange *page, Err *err)
{
    Batch batch = {.len = 0};
    for (size_t i = 0; i < page->len; i++) {
        const StoreItem *item = &page->items[i];
        if (item->lease != 0) {
            continue;
        }
        if (batch.len == PAGE_MAX || batch.bytes + item->key.len + item->value.len > PAGE_BYTES) {
            TRY(batch_send(to, &batch, err));
        }
        batch.compares[batch.len] = (StoreCompare){.key = item->key};
        batch.writes[batch.len++] =
            (StoreWrite){.kind = STORE_PUT, .key = item->key, .value = item->value};
        batch.bytes += item->key.len + item->value.len;
    }
    return batch_send(to, &batch, err);
}

static bool page_compare(Store *to, const StoreRange *page, size_t *ret_same, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (size_t i = 0; i < page->len; i++) {
        const StoreItem *item = &page->items[i];
        StoreItem copy;
        if (item->lease != 0) {
            continue;
        }
        TRY(store_get(to, item->key, arena, &copy, err));
        if (!slice_eq(copy.value, item->value)) {
            return err_set(err, ERR_INTERNAL, "the copy of %.*s differs", SLICE_FMT(item->key));
        }
        (*ret_same)++;
        arena_reset(arena);
    }
    return true;
}

static bool copy_all(Store *from, Store *to, size_t *ret_keys, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange page = {.more = true};
    Slice after = {0};
    *ret_keys = 0;
    while (page.more) {
        TRY(store_range(from, (Slice){0}, after, PAGE_MAX, arena, &page, err) &&
            page_copy(to, &page, err) && page_compare(to, &page, ret_keys, err));
        after = page.len > 0 ? page.items[page.len - 1].key : after;
    }
    return true;
}

/* ---- the new store -----------------------------------------------------------------------------
 */

static bool target_make(Tier *tier, Err *err)
{
    return etcd_own_installed(tier, err) && etcd_own_data_remove(tier, err) &&
           etcd_own_authority_make(tier, err) && etcd_own_begin(tier, err) &&
           etcd_own_open(tier, err);
}

/* Where the write fails behind its rename, host.json is there all the same: what it says counts. */
static bool decide(Tier *tier, Err *err)
{
    static const char zone[] = {MODEL_ZONES[0], 0};
    HostFile file = {.tier = tier->id, .join = tier->join, .etcd = tier->etcd};
    HostFile there;
    snprintf(file.name, sizeof(file.name), "%s", tier->host);
    snprintf(file.zone, sizeof(file.zone), "%s", tier->zone[0] != '\0' ? tier->zone : zone);
    snprintf(file.net, sizeof(file.net), "%s", tier->net_given);
    bool ok = host_file_save(tier->data_dir, &file, err);
    if (!ok && host_file_load(tier->data_dir, &there, NULL)) {
        ok = there.etcd != NULL;
        host_file_done(&there);
    }
    if (ok) { /* it stood for all of them, perhaps */
        snprintf(tier->zone, sizeof(tier->zone), "%s", file.zone);
    }
    return ok;
}

static bool move(Tier *tier, int net_fd, Err *err)
{
    size_t keys = 0;
    TRY(tier_store_open(tier, err) && tier_record_open(tier, err) &&
        tier_place_open(tier, net_fd, err));
    Store *from = tier->store;
    int64_t began_ms = time_mono_ms();
    tier->store = NULL;
    tier->etcd = etcd_own_settings(tier, ETCD_OWN_PORT);
    bool ok =
        target_make(tier, err) && copy_all(from, tier->store, &keys, err) && decide(tier, err);
    store_close(from);
    store_close(tier->store);
    tier->store = NULL;
    if (ok) {
        log_info("serve", "the store is in etcd now: %zu keys in %lld ms", keys,
                 (long long)(time_mono_ms() - began_ms));
    }
    return ok;
}

/* Asked for once: whoever joins asks again, also where this does not come to its end. */
void tier_move(Tier *tier, int net_fd)
{
    Err err, ignored;
    mark_remove(tier);
    if (tier->etcd != NULL || move(tier, net_fd, &err)) {
        return;
    }
    store_close(tier->store);
    tier->store = NULL;
    log_error("serve", "the store stays where it is: %s", err.message);
    tier->move_error = mem_strdup(err.message);
    json_decref(tier->etcd);
    tier->etcd = NULL;
    if (tier->run_dir != NULL && !etcd_own_stop(tier, &ignored)) {
        log_warn("serve", "%s", ignored.message);
    }
}
