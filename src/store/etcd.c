/*
 * The etcd kind of store: what the contract says, as requests to etcd. Every read is linearizable,
 * every change one transaction under compares of mod_revision; revisions are etcd's own. Leases are
 * etcd's too, so that those of a host that is gone end; while their process lives it ends them
 * itself, to the millisecond.
 */
#include "store/etcd_priv.h"

#define BODY_MAX           ((size_t)4 << 20) /* of a request; base64 of all limits is 2 MiB */
#define RANGE_RESTARTS_MAX 3

/* One call whose body is made and freed here. */
static bool ask(Etcd *etcd, const char *path, Buf *body, bool changes, json_t **ret_reply, Err *err)
{
    ASSERT(!body->overflowed);
    size_t tries;
    EtcdCall call = {.path = path, .body = buf_slice(body), .changes = changes};
    bool ok = etcd_call(etcd, &call, ret_reply, &tries, err);
    buf_done(body);
    return ok;
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* Copies a kv into the arena. */
static bool item_read(Etcd *etcd, const json_t *kv, Arena *arena, StoreItem *ret_item, Err *err)
{
    Record *record;
    TRY(etcd_read_record(kv, etcd->root, &record, err));
    etcd_below(etcd, record->mod_revision);
    *ret_item = record_copy(record, arena);
    record_unref(record);
    return true;
}

static bool etcd_get(Store *store, Slice key, Arena *arena, StoreItem *ret_item, Err *err)
{
    Etcd *etcd = store->etcd;
    json_t *reply;
    Buf body;
    buf_init(&body, BODY_MAX);
    etcd_put_get(&body, etcd->root, key);
    TRY(ask(etcd, "/v3/kv/range", &body, false, &reply, err));
    const json_t *kv = json_array_get(json_object_get(reply, "kvs"), 0);
    bool ok = kv != NULL ? item_read(etcd, kv, arena, ret_item, err)
                         : err_set(err, ERR_NOT_FOUND, "%.*s is not there", SLICE_FMT(key));
    json_decref(reply);
    return ok;
}

typedef struct Page {
    EtcdRange ask;
    VEC(StoreItem) items; /* in the arena */
    size_t wanted;
    bool more;
    int64_t revision; /* 0: before the first page */
} Page;

/* Takes over what a reply holds. */
static bool page_read(Etcd *etcd, Page *page, const json_t *reply, Arena *arena, Err *err)
{
    const json_t *kvs = json_object_get(reply, "kvs");
    for (size_t i = 0; i < json_array_size(kvs); i++) {
        StoreItem item;
        TRY(item_read(etcd, json_array_get(kvs, i), arena, &item, err));
        arena_vec_push(arena, &page->items, item);
    }
    if (page->revision == 0) {
        EtcdHeader header;
        TRY(etcd_read_header(reply, &header, err));
        page->revision = header.revision;
    }
    page->more = json_is_true(json_object_get(reply, "more"));
    if (page->more && json_array_size(kvs) == 0) {
        return err_set(err, ERR_UNAVAILABLE, "etcd says that there is more, and gives nothing");
    }
    return true;
}

/* The next page; all are of the revision of the first. One that is too large is asked for in
 * halves. */
static bool page_next(Etcd *etcd, Page *page, Arena *arena, Err *err)
{
    json_t *reply;
    Buf body;
    size_t left = page->wanted - page->items.len;
    buf_init(&body, BODY_MAX);
    EtcdRange range = page->ask;
    range.limit = left < page->ask.limit ? left : page->ask.limit;
    range.revision = page->revision;
    if (page->items.len > 0) {
        range.from = page->items.items[page->items.len - 1].key;
        range.behind = true;
    }
    etcd_put_range(&body, etcd->root, &range);
    Err failed;
    if (!ask(etcd, "/v3/kv/range", &body, false, &reply, &failed)) {
        if (failed.code == ERR_LIMIT && range.limit > 1) {
            page->ask.limit = range.limit / 2;
            return true;
        }
        return err_set(err, failed.code, "%s", failed.message);
    }
    bool ok = page_read(etcd, page, reply, arena, err);
    json_decref(reply);
    return ok;
}

static bool range_once(Etcd *etcd, const EtcdRange *first, size_t limit, Arena *arena,
                       Page *ret_page, Err *err)
{
    Page page = {.ask = *first, .wanted = limit};
    do {
        TRY(page_next(etcd, &page, arena, err));
    } while (page.revision == 0 || (page.more && page.items.len < limit));
    *ret_page = page;
    return true;
}

static bool etcd_range(Store *store, Slice prefix, Slice after, size_t limit, Arena *arena,
                       StoreRange *ret_range, Err *err)
{
    bool behind = after.len > 0 && slice_cmp(after, prefix) >= 0;
    EtcdRange first = {.prefix = prefix,
                       .from = behind ? after : prefix,
                       .behind = behind,
                       .limit = ETCD_PAGE_MAX};
    Page page;
    Err failed;
    int restarts = 0;
    /* A compaction may take the revision away between two pages. */
    while (!range_once(store->etcd, &first, limit, arena, &page, &failed)) {
        if (failed.code != ERR_CONFLICT || restarts++ == RANGE_RESTARTS_MAX) {
            return err_set(err, failed.code, "%s", failed.message);
        }
    }
    *ret_range = (StoreRange){.items = page.items.items,
                              .len = page.items.len,
                              .more = page.more,
                              .revision = page.revision};
    return true;
}

static bool etcd_revision(Store *store, int64_t *ret_revision, Err *err)
{
    json_t *reply;
    Buf body;
    EtcdHeader header;
    EtcdRange range = {.limit = 1, .count_only = true};
    buf_init(&body, BODY_MAX);
    etcd_put_range(&body, store->etcd->root, &range);
    TRY(ask(store->etcd, "/v3/kv/range", &body, false, &reply, err));
    bool ok = etcd_read_header(reply, &header, err);
    json_decref(reply);
    if (ok) {
        *ret_revision = header.revision;
    }
    return ok;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static bool etcd_txn(Store *store, const StoreTxn *txn, bool *ret_committed, int64_t *ret_revision,
                     Err *err)
{
    Etcd *etcd = store->etcd;
    (void)store_expire_due(store, NULL); /* a lease that etcd keeps is still there */
    json_t *reply;
    Buf body;
    EtcdHeader header;
    buf_init(&body, BODY_MAX);
    etcd_put_txn(&body, etcd->root, txn);
    TRY(ask(etcd, "/v3/kv/txn", &body, true, &reply, err));
    bool ok = etcd_read_header(reply, &header, err);
    bool committed = json_is_true(json_object_get(reply, "succeeded"));
    json_decref(reply);
    ASSERT(ok); /* etcd_call has read it before */
    if (committed) {
        etcd_below(etcd, header.revision);
    }
    *ret_committed = committed;
    *ret_revision = header.revision;
    return true;
}

/* ---- leases -----------------------------------------------------------------------------------
 */

/* Grants, renews, ends: all may be sent twice, for the id is ours. */
static bool lease_ask(Etcd *etcd, const char *path, int64_t id, int64_t ttl_s, json_t **ret_reply,
                      size_t *ret_tries, Err *err)
{
    Buf body;
    buf_init(&body, BODY_MAX);
    buf_printf(&body, "{\"ID\":\"%lld\"", (long long)id);
    if (ttl_s > 0) {
        buf_printf(&body, ",\"TTL\":\"%lld\"", (long long)ttl_s);
    }
    buf_append_char(&body, '}');
    bool renews = strcmp(path, "/v3/lease/keepalive") == 0;
    EtcdCall call = {.path = path,
                     .body = buf_slice(&body),
                     .changes = !renews,
                     .repeats = true,
                     .weak = true,
                     .stream = renews};
    bool ok = etcd_call(etcd, &call, ret_reply, ret_tries, err);
    buf_done(&body);
    return ok;
}

static bool etcd_lease_grant(Store *store, const Lease *lease, Err *err)
{
    int64_t ttl_s = (lease->ttl_ms + MS_PER_S - 1) / MS_PER_S; /* etcd raises it to its minimum */
    json_t *reply = NULL;
    size_t tries;
    Err failed;
    if (!lease_ask(store->etcd, "/v3/lease/grant", lease->id, ttl_s, &reply, &tries, &failed) &&
        !(failed.code == ERR_EXISTS && tries > 1)) { /* an earlier attempt had come through */
        return err_set(err, failed.code, "%s", failed.message);
    }
    json_decref(reply);
    pthread_mutex_lock(&store->lock);
    vec_push(&store->image.leases, *lease);
    pthread_mutex_unlock(&store->lock);
    return true;
}

static void lease_forget(Store *store, int64_t id)
{
    pthread_mutex_lock(&store->lock);
    if (image_lease(&store->image, id) != NULL) {
        image_lease_remove(&store->image, id);
    }
    pthread_mutex_unlock(&store->lock);
}

static bool etcd_lease_end(Store *store, int64_t id, Err *err)
{
    Etcd *etcd = store->etcd;
    json_t *reply = NULL;
    size_t tries;
    Err failed;
    if (time_mono_ms() < etcd->lease_retry_ms) {
        return err_set(err, ERR_UNAVAILABLE, "etcd did not end a lease a moment ago");
    }
    if (!lease_ask(etcd, "/v3/lease/revoke", id, 0, &reply, &tries, &failed)) {
        if (failed.code != ERR_NOT_FOUND) {
            etcd->lease_retry_ms = time_mono_ms() + ETCD_LEASE_RETRY_MS;
            return err_set(err, failed.code, "%s", failed.message);
        }
        lease_forget(store, id);
        return tries > 1 || err_set(err, ERR_NOT_FOUND, "the lease has ended");
    }
    json_decref(reply);
    lease_forget(store, id);
    return true;
}

static bool etcd_lease_renew(Store *store, int64_t id, Err *err)
{
    json_t *reply;
    size_t tries;
    int64_t ttl_s;
    TRY(lease_ask(store->etcd, "/v3/lease/keepalive", id, 0, &reply, &tries, err));
    bool ok = etcd_read_i64(reply, "TTL", &ttl_s, err);
    json_decref(reply);
    if (ok && ttl_s <= 0) {
        lease_forget(store, id);
        return err_set(err, ERR_NOT_FOUND, "the lease has ended");
    }
    return ok;
}

static bool etcd_ready(Store *store, Err *err)
{
    (void)store;
    (void)err;
    return true; /* what is not settled is not ours to remember */
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

static void etcd_close(Store *store)
{
    Etcd *etcd = store->etcd;
    etcd_watch_stop(etcd->watch);
    while (etcd->idle_len > 0) {
        etcd_http_free(etcd->idle[--etcd->idle_len]);
    }
    pthread_mutex_destroy(&etcd->lock);
    etcd_settings_done(&etcd->settings);
    mem_free(etcd);
    curl_global_cleanup();
}

static const StoreKind etcd_kind = {
    .ready = etcd_ready,
    .get = etcd_get,
    .range = etcd_range,
    .txn = etcd_txn,
    .lease_grant = etcd_lease_grant,
    .lease_end = etcd_lease_end,
    .lease_renew = etcd_lease_renew,
    .revision = etcd_revision,
    .close = etcd_close,
};

bool store_open_etcd(const StoreEtcdOptions *etcd_options, const StoreOptions *options,
                     Store **ret_store, Err *err)
{
    EtcdSettings settings;
    TRY(etcd_settings_make(etcd_options, &settings, err));
    ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); /* counted, and thread-safe */
    Etcd *etcd = mem_alloc(sizeof(Etcd));
    etcd->settings = settings;
    etcd->root = slice_of(etcd->settings.root);
    ASSERT(pthread_mutex_init(&etcd->lock, NULL) == 0);
    Store *store = store_new(&etcd_kind, options);
    store->etcd = etcd;
    if (!etcd_revision(store, &store->revision, err)) {
        store_close(store);
        return false;
    }
    history_forget(store); /* what was before is not in it */
    if (!etcd_watch_start(store, &etcd->watch, err)) {
        store_close(store);
        return false;
    }
    *ret_store = store;
    return true;
}
