/*
 * Inside the store. What is checked, watched and ended in time is common (store.c, watch.c,
 * lease.c); a kind of store does the rest. There are two kinds: the local one (local.c), which
 * keeps an image of everything in memory, so that reading never waits, and lets a backend make
 * batches durable; and etcd (etcd.c), which asks the servers.
 *
 * Two locks. `writing` is held through a whole local change, the disk included, and through the
 * grant and the end of a lease; only its holder alters the image. `lock` is held for moments: to
 * read the image, to alter it, and around everything of watches. Order: writing, then lock.
 */
#ifndef WEIR_STORE_PRIV_H
#define WEIR_STORE_PRIV_H

#include <pthread.h>

#include "store/store.h"

/* ---- the image (image.c): everything that is in the store -------------------------------------
 */

/* One block of memory: the struct, the key and a NUL, the value and a NUL. Never altered. Counted,
 * because the history shares it with the image. */
typedef struct Record {
    uint32_t refs;
    size_t key_len;
    size_t value_len;
    int64_t mod_revision;
    int64_t create_revision;
    int64_t lease;
    char bytes[];
} Record;

Record *record_new(Slice key, Slice value, int64_t mod_revision, int64_t create_revision,
                   int64_t lease);
Record *record_ref(Record *record);
void record_unref(Record *record); /* NULL is fine */
Slice record_key(const Record *record);
StoreItem record_copy(const Record *record, Arena *arena);

typedef struct Lease {
    int64_t id;
    int64_t ttl_ms;
    int64_t due_ms; /* under `lock`, so that a keepalive never waits for the disk */
    bool ending;    /* under `lock`: its time is over, its keys are about to go */
} Lease;

typedef struct Image {
    Record **records; /* sorted by key; a reference each */
    size_t len;
    size_t cap;
    VEC(Lease) leases;
    int64_t revision;
} Image;

void image_done(Image *image);
size_t image_seek(const Image *image, Slice key); /* the first record at or behind the key */
Record *image_find(const Image *image, Slice key);
void image_put(Image *image, Record *record); /* takes the reference; replaces */
void image_delete(Image *image, Slice key);
Lease *image_lease(const Image *image, int64_t id);
void image_lease_remove(Image *image, int64_t id);

/* ---- batches and backends ---------------------------------------------------------------------
 */

typedef struct BatchOp {
    StoreWriteKind kind;
    Record *record; /* of a delete: no value, and the revision of the delete */
} BatchOp;

/* What becomes durable together. Either of the leases is 0 where there is none. */
typedef struct Batch {
    VEC(BatchOp) ops;
    int64_t revision; /* as before where there are no ops */
    int64_t revision_before;
    Lease lease_new;
    int64_t lease_gone;
} Batch;

typedef struct Backend {
    /* Fills an empty image; leases get no due time. Called at first, and again after ERR_UNSETTLED
     * until it succeeds: what it then reads is durable. */
    bool (*load)(void *self, Image *image, Err *err);
    /* ERR_UNSETTLED where the outcome is unknown; after any other error nothing is changed. */
    bool (*commit)(void *self, const Batch *batch, Err *err);
    void (*close)(void *self);
} Backend;

/* How a kind of store does what the contract says. Whatever comes in is checked already. */
typedef struct StoreKind {
    /* Under `writing`, before any change: settles what the last one left open. */
    bool (*ready)(Store *store, Err *err);
    bool (*get)(Store *store, Slice key, Arena *arena, StoreItem *ret_item, Err *err);
    bool (*range)(Store *store, Slice prefix, Slice after, size_t limit, Arena *arena,
                  StoreRange *ret_range, Err *err);
    bool (*txn)(Store *store, const StoreTxn *txn, bool *ret_committed, int64_t *ret_revision,
                Err *err);
    /* Under `writing`; both keep image.leases right. */
    bool (*lease_grant)(Store *store, const Lease *lease, Err *err);
    bool (*lease_end)(Store *store, int64_t id, Err *err);
    /* NULL where image.leases is all that there is to a lease. */
    bool (*lease_renew)(Store *store, int64_t id, Err *err);
    /* The present revision; NULL where Store.revision is it. */
    bool (*revision)(Store *store, int64_t *ret_revision, Err *err);
    void (*close)(Store *store);
} StoreKind;

bool sqlite_backend_new(const char *path, void **ret_self, Err *err);
extern const Backend sqlite_backend;

/* ---- the store --------------------------------------------------------------------------------
 */

typedef struct History {
    BatchOp *ring;
    size_t max;
    uint64_t begin, end; /* change number n is at ring[n % max] for begin <= n < end */
    size_t bytes;
    int64_t lost_revision; /* changes up to this one may be missing */
} History;

struct Store {
    pthread_mutex_t writing;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* for store_watch_wait */
    const StoreKind *kind;
    const Backend *backend; /* NULL: memory, or etcd */
    void *backend_self;
    struct Etcd *etcd; /* NULL: local */
    int64_t (*now_ms)(void *clock);
    void *clock;
    bool unsettled;   /* under `writing`: the backend must be loaded again first */
    Image image;      /* etcd: nothing but the leases that were granted here */
    int64_t revision; /* what the history has come to */
    History history;
    List watches;
};

struct StoreWatch {
    ListNode node;
    Store *store;
    Slice prefix;
    char *prefix_memory;
    uint64_t next; /* number of the next change to look at */
    bool resync;
    int64_t after_revision;
    int fd;
};

Store *store_new(const StoreKind *kind, const StoreOptions *options);

/* lease.c: under `writing`. Ends what is due; false where the disk refused. */
bool store_expire(Store *store, Err *err);
/* Ends what is due, taking the locks; the fast path takes `lock` for a moment. */
bool store_expire_due(Store *store, Err *err);
int64_t lease_next_due(const Image *image); /* INT64_MAX where there is none */

/* watch.c, under `lock`. */
void history_init(History *history, size_t max);
void history_done(History *history);
void history_add(Store *store, const BatchOp *op);
void history_forget(Store *store); /* everything; all watches resync */
void watches_wake(Store *store);

#endif
