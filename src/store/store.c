/* The contract: checks what it is asked before any kind of store hears of it. */
#include "store/store_priv.h"

#define HISTORY_MAX_DEFAULT 8192

/* ---- opening and closing ----------------------------------------------------------------------
 */

static int64_t store_boot_ms(void *clock)
{
    (void)clock;
    return time_boot_ms();
}

Store *store_new(const StoreKind *kind, const StoreOptions *options)
{
    StoreOptions chosen = options != NULL ? *options : (StoreOptions){0};
    Store *store = mem_alloc(sizeof(Store));
    store->kind = kind;
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

void store_close(Store *store)
{
    if (store == NULL) {
        return;
    }
    ASSERT(store->watches.len == 0);
    store->kind->close(store);
    history_done(&store->history);
    image_done(&store->image);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->writing);
    mem_free(store);
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

bool store_txn(Store *store, const StoreTxn *txn, bool *ret_committed, int64_t *ret_revision,
               Err *err)
{
    TRY(txn_check(txn, err));
    return store->kind->txn(store, txn, ret_committed, ret_revision, err);
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
    return store->kind->get(store, key, arena, ret_item, err);
}

bool store_range(Store *store, Slice prefix, Slice after, size_t limit, Arena *arena,
                 StoreRange *ret_range, Err *err)
{
    if (limit == 0 || prefix.len > STORE_KEY_MAX || after.len > STORE_KEY_MAX) {
        return err_set(err, ERR_INVALID, "a range without a limit, or with a key that is too long");
    }
    (void)store_expire_due(store, NULL);
    return store->kind->range(store, prefix, after, limit, arena, ret_range, err);
}
