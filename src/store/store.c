/*
 * The contract: checks what it is asked, compares against the image, has the backend make the
 * change durable, and only then lets the image, the history and the watchers see it. A change whose
 * outcome the backend cannot tell leaves the image as it was; the next change loads it anew.
 */
#include "store/store_priv.h"

#define HISTORY_MAX_DEFAULT 8192

/* ---- opening and closing ----------------------------------------------------------------------
 */

static int64_t store_boot_ms(void *clock)
{
    (void)clock;
    return time_boot_ms();
}

static Store *store_new(const StoreOptions *options)
{
    StoreOptions chosen = options != NULL ? *options : (StoreOptions){0};
    Store *store = mem_alloc(sizeof(Store));
    pthread_condattr_t attributes;
    ASSERT(pthread_mutex_init(&store->writing, NULL) == 0);
    ASSERT(pthread_mutex_init(&store->lock, NULL) == 0);
    ASSERT(pthread_condattr_init(&attributes) == 0);
    ASSERT(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    ASSERT(pthread_cond_init(&store->changed, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    store->now_ms = chosen.now_ms != NULL ? chosen.now_ms : store_boot_ms;
    store->clock = chosen.clock;
    history_init(&store->history,
                 chosen.history_max > 0 ? chosen.history_max : HISTORY_MAX_DEFAULT);
    list_init(&store->watches);
    return store;
}

Store *store_open_memory(const StoreOptions *options)
{
    return store_new(options);
}

bool store_open_sqlite(const char *path, const StoreOptions *options, Store **ret_store, Err *err)
{
    void *self;
    TRY(sqlite_backend_new(path, &self, err));
    Store *store = store_new(options);
    store->backend = &sqlite_backend;
    store->backend_self = self;
    store->unsettled = true; /* nothing is loaded yet */
    if (!store_ready(store, err)) {
        store_close(store);
        return false;
    }
    *ret_store = store;
    return true;
}

void store_close(Store *store)
{
    if (store == NULL) {
        return;
    }
    ASSERT(store->watches.len == 0);
    if (store->backend != NULL) {
        store->backend->close(store->backend_self);
    }
    history_done(&store->history);
    image_done(&store->image);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->writing);
    mem_free(store);
}

/* Leases that were known keep their time; the others start theirs now. */
static void store_adopt_leases(Store *store, Image *fresh)
{
    int64_t now = store->now_ms(store->clock);
    for (size_t i = 0; i < fresh->leases.len; i++) {
        Lease *lease = &fresh->leases.items[i];
        const Lease *known = image_lease(&store->image, lease->id);
        lease->due_ms = known != NULL ? known->due_ms : now + lease->ttl_ms;
        lease->ending = known != NULL && known->ending;
    }
}

bool store_ready(Store *store, Err *err)
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
    store_adopt_leases(store, &fresh);
    Image old = store->image;
    store->image = fresh;
    history_forget(store);
    watches_wake(store);
    pthread_mutex_unlock(&store->lock);
    image_done(&old);
    store->unsettled = false;
    return true;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

void batch_done(Batch *batch)
{
    for (size_t i = 0; i < batch->ops.len; i++) {
        record_unref(batch->ops.items[i].record);
    }
    vec_done(&batch->ops);
}

static void store_apply(Store *store, const Batch *batch)
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
}

bool store_commit(Store *store, Batch *batch, Err *err)
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
    store_apply(store, batch);
    watches_wake(store);
    pthread_mutex_unlock(&store->lock);
    return true;
}

/* ---- checking what comes in -------------------------------------------------------------------
 */

static bool store_key_check(Slice key, Err *err)
{
    if (key.len == 0 || key.len > STORE_KEY_MAX) {
        return err_set(err, ERR_INVALID, "a store key has 1 to %d bytes, this one %zu",
                       STORE_KEY_MAX, key.len);
    }
    for (size_t i = 0; i < key.len; i++) {
        if (key.data[i] <= ' ' || key.data[i] > '~') {
            return err_set(err, ERR_INVALID,
                           "a store key is printable ASCII without space; byte %zu is not", i);
        }
    }
    return true;
}

static const StoreCompare *txn_compare_of(const StoreTxn *txn, Slice key)
{
    for (size_t i = 0; i < txn->compares_len; i++) {
        if (slice_eq(txn->compares[i].key, key)) {
            return &txn->compares[i];
        }
    }
    return NULL;
}

static bool txn_compares_check(const StoreTxn *txn, Err *err)
{
    for (size_t i = 0; i < txn->compares_len; i++) {
        const StoreCompare *compare = &txn->compares[i];
        TRY(store_key_check(compare->key, err));
        if (compare->revision < 0) {
            return err_set(err, ERR_INVALID, "the revision of %.*s is negative",
                           SLICE_FMT(compare->key));
        }
        if (txn_compare_of(txn, compare->key) != compare) {
            return err_set(err, ERR_INVALID, "%.*s is compared twice in one transaction",
                           SLICE_FMT(compare->key));
        }
    }
    return true;
}

static bool txn_write_check(const StoreTxn *txn, size_t at, Err *err)
{
    const StoreWrite *write = &txn->writes[at];
    TRY(store_key_check(write->key, err));
    if (write->kind == STORE_PUT && write->value.len > STORE_VALUE_MAX) {
        return err_set(err, ERR_LIMIT, "the value of %.*s has %zu bytes; the store takes %d",
                       SLICE_FMT(write->key), write->value.len, STORE_VALUE_MAX);
    }
    const StoreCompare *compare = txn_compare_of(txn, write->key);
    if (compare == NULL) {
        return err_set(err, ERR_INVALID,
                       "a write of %.*s without a compare of its revision: there is no blind put",
                       SLICE_FMT(write->key));
    }
    if (write->kind == STORE_DELETE && compare->revision == 0) {
        return err_set(err, ERR_INVALID, "a delete of %.*s, which must not exist",
                       SLICE_FMT(write->key));
    }
    for (size_t i = 0; i < at; i++) {
        if (slice_eq(txn->writes[i].key, write->key)) {
            return err_set(err, ERR_INVALID, "%.*s is written twice in one transaction",
                           SLICE_FMT(write->key));
        }
    }
    return true;
}

static bool txn_check(const StoreTxn *txn, Err *err)
{
    if (txn->writes_len == 0) {
        return err_set(err, ERR_INVALID, "a transaction without a write");
    }
    if (txn->compares_len > STORE_TXN_OPS_MAX || txn->writes_len > STORE_TXN_OPS_MAX) {
        return err_set(err, ERR_LIMIT, "a transaction has at most %d compares and %d writes",
                       STORE_TXN_OPS_MAX, STORE_TXN_OPS_MAX);
    }
    TRY(txn_compares_check(txn, err));
    size_t bytes = 0;
    for (size_t i = 0; i < txn->writes_len; i++) {
        TRY(txn_write_check(txn, i, err));
        bytes += txn->writes[i].key.len + txn->writes[i].value.len;
    }
    if (bytes > STORE_TXN_BYTES_MAX) {
        return err_set(err, ERR_LIMIT, "a transaction writes at most %d bytes, this one %zu",
                       STORE_TXN_BYTES_MAX, bytes);
    }
    return true;
}

/* ---- transactions -----------------------------------------------------------------------------
 */

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

static bool store_txn_locked(Store *store, const StoreTxn *txn, bool *ret_committed,
                             int64_t *ret_revision, Err *err)
{
    TRY(store_ready(store, err));
    TRY(store_expire(store, err));
    if (!txn_holds(&store->image, txn)) {
        *ret_committed = false;
        *ret_revision = store->image.revision;
        return true;
    }
    TRY(txn_leases_there(&store->image, txn, err));
    CLEANUP(batch_done) Batch batch = {0};
    txn_batch(&store->image, txn, &batch);
    TRY(store_commit(store, &batch, err));
    *ret_committed = true;
    *ret_revision = batch.revision;
    return true;
}

bool store_txn(Store *store, const StoreTxn *txn, bool *ret_committed, int64_t *ret_revision,
               Err *err)
{
    TRY(txn_check(txn, err));
    pthread_mutex_lock(&store->writing);
    bool ok = store_txn_locked(store, txn, ret_committed, ret_revision, err);
    pthread_mutex_unlock(&store->writing);
    return ok;
}

/* One write under one compare. `conflict` is the code where the compare does not hold. */
static bool store_swap(Store *store, int64_t revision, const StoreWrite *write, ErrCode conflict,
                       int64_t *ret_revision, Err *err)
{
    StoreCompare compare = {write->key, revision};
    StoreTxn txn = {&compare, 1, write, 1};
    bool committed;
    int64_t written;
    TRY(store_txn(store, &txn, &committed, &written, err));
    if (!committed) {
        return err_set(err, conflict, "%.*s %s", SLICE_FMT(write->key),
                       conflict == ERR_EXISTS ? "exists" : "was changed by somebody else");
    }
    if (ret_revision != NULL) {
        *ret_revision = written;
    }
    return true;
}

bool store_create(Store *store, Slice key, Slice value, int64_t *ret_revision, Err *err)
{
    StoreWrite write = {.kind = STORE_PUT, .key = key, .value = value};
    return store_swap(store, 0, &write, ERR_EXISTS, ret_revision, err);
}

bool store_update(Store *store, Slice key, int64_t revision, Slice value, int64_t *ret_revision,
                  Err *err)
{
    if (revision <= 0) {
        return err_set(err, ERR_INVALID, "an update of %.*s without its revision", SLICE_FMT(key));
    }
    StoreWrite write = {.kind = STORE_PUT, .key = key, .value = value};
    return store_swap(store, revision, &write, ERR_CONFLICT, ret_revision, err);
}

bool store_remove(Store *store, Slice key, int64_t revision, int64_t *ret_revision, Err *err)
{
    StoreWrite write = {.kind = STORE_DELETE, .key = key};
    return store_swap(store, revision, &write, ERR_CONFLICT, ret_revision, err);
}

/* ---- reading ----------------------------------------------------------------------------------
 */

bool store_get(Store *store, Slice key, Arena *arena, StoreItem *ret_item, Err *err)
{
    TRY(store_key_check(key, err));
    (void)store_expire_due(store, NULL); /* a lease that the disk keeps is still there */
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

bool store_range(Store *store, Slice prefix, Slice after, size_t limit, Arena *arena,
                 StoreRange *ret_range, Err *err)
{
    if (limit == 0 || prefix.len > STORE_KEY_MAX || after.len > STORE_KEY_MAX) {
        return err_set(err, ERR_INVALID, "a range without a limit, or with a key that is too long");
    }
    (void)store_expire_due(store, NULL);
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
