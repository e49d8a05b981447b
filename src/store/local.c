/*
 * The kinds of store that keep an image of everything in memory: memory itself, and SQLite. A
 * change is compared against the image, the backend makes it durable, and only then image, history
 * and watchers see it. A change whose outcome the backend cannot tell leaves the image as it was;
 * the next change loads it anew.
 */
#include "store/store_priv.h"

/* ---- what is durable --------------------------------------------------------------------------
 */

/* Leases that were known keep their time; the others start theirs now. */
static void local_adopt_leases(Store *store, Image *fresh)
{
    int64_t now = store->now_ms(store->clock);
    for (size_t i = 0; i < fresh->leases.len; i++) {
        Lease *lease = &fresh->leases.items[i];
        const Lease *known = image_lease(&store->image, lease->id);
        lease->due_ms = known != NULL ? known->due_ms : now + lease->ttl_ms;
        lease->ending = known != NULL && known->ending;
    }
}

static bool local_ready(Store *store, Err *err)
{
    if (!store->unsettled) {
        return true;
    }
    Image fresh = {0};
    if (!store->backend->load(store->backend_self, &fresh, err)) {
        image_done(&fresh);
        return false;
    }
    pthread_mutex_lock(&store->lock);
    local_adopt_leases(store, &fresh);
    Image old = store->image;
    store->image = fresh;
    store->revision = fresh.revision;
    history_forget(store);
    watches_wake(store);
    pthread_mutex_unlock(&store->lock);
    image_done(&old);
    store->unsettled = false;
    return true;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static void batch_done(Batch *batch)
{
    for (size_t i = 0; i < batch->ops.len; i++) {
        record_unref(batch->ops.items[i].record);
    }
    vec_done(&batch->ops);
}

static void local_apply(Store *store, const Batch *batch)
{
    Image *image = &store->image;
    for (size_t i = 0; i < batch->ops.len; i++) {
        const BatchOp *op = &batch->ops.items[i];
        if (op->kind == STORE_PUT) {
            image_put(image, record_ref(op->record));
        } else {
            image_delete(image, record_key(op->record));
        }
        history_add(store, op);
    }
    if (batch->lease_new.id != 0) {
        vec_push(&image->leases, batch->lease_new);
    }
    if (batch->lease_gone != 0) {
        image_lease_remove(image, batch->lease_gone);
    }
    image->revision = batch->revision;
    store->revision = batch->revision;
}

static bool local_commit(Store *store, Batch *batch, Err *err)
{
    batch->revision = store->image.revision + (batch->ops.len > 0 ? 1 : 0);
    batch->revision_before = store->image.revision;
    Err failed;
    if (store->backend != NULL && !store->backend->commit(store->backend_self, batch, &failed)) {
        store->unsettled = failed.code == ERR_UNSETTLED;
        if (err != NULL) {
            *err = failed;
        }
        return false;
    }
    pthread_mutex_lock(&store->lock);
    local_apply(store, batch);
    watches_wake(store);
    pthread_mutex_unlock(&store->lock);
    return true;
}

static bool txn_holds(const Image *image, const StoreTxn *txn)
{
    for (size_t i = 0; i < txn->compares_len; i++) {
        const Record *record = image_find(image, txn->compares[i].key);
        if ((record != NULL ? record->mod_revision : 0) != txn->compares[i].revision) {
            return false;
        }
    }
    return true;
}

static bool txn_leases_there(const Image *image, const StoreTxn *txn, Err *err)
{
    for (size_t i = 0; i < txn->writes_len; i++) {
        const StoreWrite *write = &txn->writes[i];
        if (write->kind == STORE_PUT && write->lease != 0 &&
            image_lease(image, write->lease) == NULL) {
            return err_set(err, ERR_NOT_FOUND, "the lease of %.*s has ended",
                           SLICE_FMT(write->key));
        }
    }
    return true;
}

static void txn_batch(const Image *image, const StoreTxn *txn, Batch *batch)
{
    int64_t revision = image->revision + 1;
    for (size_t i = 0; i < txn->writes_len; i++) {
        const StoreWrite *write = &txn->writes[i];
        const Record *old = image_find(image, write->key);
        bool put = write->kind == STORE_PUT;
        BatchOp op = {
            .kind = write->kind,
            .record =
                record_new(write->key, put ? write->value : (Slice){0}, revision,
                           old != NULL ? old->create_revision : revision, put ? write->lease : 0),
        };
        vec_push(&batch->ops, op);
    }
}

static bool local_txn_locked(Store *store, const StoreTxn *txn, bool *ret_committed,
                             int64_t *ret_revision, Err *err)
{
    TRY(local_ready(store, err));
    TRY(store_expire(store, err));
    if (!txn_holds(&store->image, txn)) {
        *ret_committed = false;
        *ret_revision = store->image.revision;
        return true;
    }
    TRY(txn_leases_there(&store->image, txn, err));
    CLEANUP(batch_done) Batch batch = {0};
    txn_batch(&store->image, txn, &batch);
    TRY(local_commit(store, &batch, err));
    *ret_committed = true;
    *ret_revision = batch.revision;
    return true;
}

static bool local_txn(Store *store, const StoreTxn *txn, bool *ret_committed, int64_t *ret_revision,
                      Err *err)
{
    pthread_mutex_lock(&store->writing);
    bool ok = local_txn_locked(store, txn, ret_committed, ret_revision, err);
    pthread_mutex_unlock(&store->writing);
    return ok;
}

/* ---- leases -----------------------------------------------------------------------------------
 */

static bool local_lease_grant(Store *store, const Lease *lease, Err *err)
{
    Batch batch = {.lease_new = *lease};
    return local_commit(store, &batch, err);
}

static bool local_lease_end(Store *store, int64_t id, Err *err)
{
    const Image *image = &store->image;
    if (image_lease(image, id) == NULL) {
        return err_set(err, ERR_NOT_FOUND, "the lease has ended");
    }
    CLEANUP(batch_done) Batch batch = {.lease_gone = id};
    for (size_t i = 0; i < image->len; i++) {
        const Record *old = image->records[i];
        if (old->lease == id) {
            BatchOp op = {STORE_DELETE, record_new(record_key(old), (Slice){0}, image->revision + 1,
                                                   old->create_revision, 0)};
            vec_push(&batch.ops, op);
        }
    }
    return local_commit(store, &batch, err);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

static bool local_get(Store *store, Slice key, Arena *arena, StoreItem *ret_item, Err *err)
{
    pthread_mutex_lock(&store->lock);
    const Record *record = image_find(&store->image, key);
    if (record != NULL) {
        *ret_item = record_copy(record, arena);
    }
    pthread_mutex_unlock(&store->lock);
    return record != NULL || err_set(err, ERR_NOT_FOUND, "%.*s is not there", SLICE_FMT(key));
}

static bool record_below(const Record *record, Slice prefix)
{
    return record->key_len >= prefix.len && slice_eq(slice_from(record->bytes, prefix.len), prefix);
}

static bool local_range(Store *store, Slice prefix, Slice after, size_t limit, Arena *arena,
                        StoreRange *ret_range, Err *err)
{
    (void)err;
    pthread_mutex_lock(&store->lock);
    const Image *image = &store->image;
    bool within = after.len > 0 && slice_cmp(after, prefix) >= 0;
    size_t begin = image_seek(image, within ? after : prefix);
    if (within && begin < image->len && slice_eq(record_key(image->records[begin]), after)) {
        begin++;
    }
    size_t end = begin;
    while (end < image->len && end - begin < limit && record_below(image->records[end], prefix)) {
        end++;
    }
    StoreRange range = {
        .items = ARENA_ARRAY(arena, StoreItem, end - begin),
        .len = end - begin,
        .more = end < image->len && record_below(image->records[end], prefix),
        .revision = image->revision,
    };
    for (size_t i = 0; i < range.len; i++) {
        range.items[i] = record_copy(image->records[begin + i], arena);
    }
    pthread_mutex_unlock(&store->lock);
    *ret_range = range;
    return true;
}

/* ---- opening and closing ----------------------------------------------------------------------
 */

static void local_close(Store *store)
{
    if (store->backend != NULL) {
        store->backend->close(store->backend_self);
    }
}

static const StoreKind local_kind = {
    .ready = local_ready,
    .get = local_get,
    .range = local_range,
    .txn = local_txn,
    .lease_grant = local_lease_grant,
    .lease_end = local_lease_end,
    .close = local_close,
};

Store *store_open_memory(const StoreOptions *options)
{
    return store_new(&local_kind, options);
}

bool store_open_sqlite(const char *path, const StoreOptions *options, Store **ret_store, Err *err)
{
    void *self;
    TRY(sqlite_backend_new(path, &self, err));
    Store *store = store_new(&local_kind, options);
    store->backend = &sqlite_backend;
    store->backend_self = self;
    store->unsettled = true; /* nothing is loaded yet */
    if (!local_ready(store, err)) {
        store_close(store);
        return false;
    }
    *ret_store = store;
    return true;
}
