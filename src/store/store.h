/*
 * store: the one place for what Weir must not forget. Keys are paths, values are bytes, and every
 * change is a compare-and-swap on revisions: there is no blind put (RULES F1). What each key holds
 * and who may write it is docs/state.md.
 *
 * One contract, several backends: memory (simulation, tests), SQLite (one host) and etcd (several
 * hosts). All calls are synchronous and thread-safe; those that write wait for the disk, so an
 * event loop makes them in a job. Results are copied into the caller's arena.
 *
 * Revisions: the store counts committed changes. A transaction that commits gives all its keys the
 * next revision; the first is 1. A key's mod_revision is that of its last put, its create_revision
 * that of the put that made it. A revision never comes back, also not after a crash.
 *
 * Outcome unknown: a call that fails with ERR_UNSETTLED may or may not have taken place (the disk
 * failed during the commit, or the server's answer was lost). It is settled by a compare-and-swap
 * of one's own that succeeds, never by a read (RULES F2). After any other error nothing has
 * changed.
 *
 * With etcd, in addition:
 * - Reads wait, too: for a majority of the members. Every call but those of watches may take as
 *   long as StoreEtcdOptions says. Reads fail with ERR_UNAVAILABLE or ERR_TIMEOUT where no member
 *   serves in time, and with ERR_CONFLICT where etcd has lost what it had acknowledged.
 * - Revisions are etcd's own. A fresh one is at 1 before the first change, and whatever else it
 *   keeps counts along, so that the first change may have any revision, and there are gaps.
 * - Watches hear of a change, also of one's own, soon after the call that made it, not before it
 *   returns. A delete has no create_revision.
 * - Leases: see below.
 */
#ifndef WEIR_STORE_H
#define WEIR_STORE_H

#include "base/base.h"

#define STORE_KEY_MAX       512             /* bytes of a key: printable ASCII without space */
#define STORE_VALUE_MAX     (1024 * 1024)   /* bytes of a value */
#define STORE_TXN_OPS_MAX   128             /* compares, and writes, of one transaction */
#define STORE_TXN_BYTES_MAX (1024 * 1024)   /* keys and values of one transaction's writes */
#define STORE_LEASE_MS_MAX  (86400 * 1000L) /* longest life of a lease without a keepalive */
#define STORE_LEASES_MAX    1024
#define STORE_WATCHES_MAX   1024

typedef struct Store Store;

/* ---- opening -------------------------------------------------------------------------------- */

typedef struct StoreOptions {
    int64_t (*now_ms)(void *clock); /* for leases; NULL: time_boot_ms */
    void *clock;
    size_t history_max; /* changes kept for watchers, see below; 0: 8192 */
} StoreOptions;

/* A store that lives as long as the process. options may be NULL. */
Store *store_open_memory(const StoreOptions *options);

/* Opens the file, or makes it (mode 0600) in a folder that exists. One process may have it open.
 * ERR_CONFLICT: in use by another process, or made by a newer Weir. ERR_INVALID: not a store of
 * Weir's, or damaged. Leases found in the file live on for their whole time from now. */
NODISCARD bool store_open_sqlite(const char *path, const StoreOptions *options, Store **ret_store,
                                 Err *err);

/* Keeps the tier's keys in an etcd, 3.4 or newer, through its JSON gateway: docs/store.md says how
 * it works and which flags it needs. Everything is copied. */
typedef struct StoreEtcdOptions {
    const char *const *endpoints; /* of one cluster, NULL-terminated: "https://HOST:PORT", or
                                     "http://" to an address of the loopback */
    const char *root;             /* stands before every key: "/weir/TIER/" */
    const char *ca;               /* PEM file; NULL: those that the system trusts */
    const char *cert, *key;       /* our own, PEM files; both NULL: none */
    bool keep_history;            /* others use it, too: when it is compacted is not ours to say */
    /* 0 takes the default of each: */
    int64_t connect_timeout_ms; /* 1 s */
    int64_t answer_timeout_ms;  /* 3 s, of one member, with the connect */
    int64_t patience_ms;        /* 8 s: after that no call tries another member */
    int64_t compact_ms;         /* 300 s: etcd's history reaches back so far, and twice at most */
} StoreEtcdOptions;

/* Waits until a member has answered. ERR_INVALID: the options. ERR_NOT_FOUND: a file. ERR_DENIED:
 * the certificates. ERR_UNAVAILABLE, ERR_TIMEOUT: no member serves. */
NODISCARD bool store_open_etcd(const StoreEtcdOptions *etcd, const StoreOptions *options,
                               Store **ret_store, Err *err);

/* Nobody may be inside a call, and all watches must be closed. NULL is fine. */
void store_close(Store *store);

/* ---- reading ----------------------------------------------------------------------------------
 */

typedef struct StoreItem {
    Slice key; /* key and value have a NUL behind them */
    Slice value;
    int64_t mod_revision;
    int64_t create_revision;
    int64_t lease; /* 0: none */
} StoreItem;

typedef struct StoreRange {
    StoreItem *items; /* by key, as memcmp orders */
    size_t len;
    bool more;        /* the limit cut it: go on with after = the last key */
    int64_t revision; /* of the whole store as read: start a watch from here */
} StoreRange;

/* ERR_NOT_FOUND where the key is absent. */
NODISCARD bool store_get(Store *store, Slice key, Arena *arena, StoreItem *ret_item, Err *err);

/* The keys that start with `prefix` and, unless `after` is empty, sort behind `after`. At most
 * `limit` of them, 1 or more. One consistent view. */
NODISCARD bool store_range(Store *store, Slice prefix, Slice after, size_t limit, Arena *arena,
                           StoreRange *ret_range, Err *err);

/* ---- writing ----------------------------------------------------------------------------------
 */

/* Holds when the key's mod_revision is this one; 0: when the key is absent. */
typedef struct StoreCompare {
    Slice key;
    int64_t revision;
} StoreCompare;

typedef enum StoreWriteKind { STORE_PUT, STORE_DELETE } StoreWriteKind;

typedef struct StoreWrite {
    StoreWriteKind kind;
    Slice key;
    Slice value;   /* of a put */
    int64_t lease; /* of a put; 0: none, and an earlier one is taken off */
} StoreWrite;

typedef struct StoreTxn {
    const StoreCompare *compares;
    size_t compares_len;
    const StoreWrite *writes;
    size_t writes_len;
} StoreTxn;

/* All writes or none, durable before it returns. *ret_committed tells whether every compare held;
 * *ret_revision is the revision of the writes, or the store's present one where nothing was done.
 * ERR_INVALID: a write whose key is not among the compares, a key compared or written twice, a
 * delete of a key that must be absent, no write at all, a malformed key. ERR_NOT_FOUND: the lease
 * is not there. ERR_LIMIT: see the limits above. ERR_UNSETTLED: see the head of this file. */
NODISCARD bool store_txn(Store *store, const StoreTxn *txn, bool *ret_committed,
                         int64_t *ret_revision, Err *err);

/* One key each. ret_revision may be NULL. ERR_EXISTS from create, ERR_CONFLICT from the other two,
 * where the compare does not hold: somebody else was there first; read again and decide anew. */
NODISCARD bool store_create(Store *store, Slice key, Slice value, int64_t *ret_revision, Err *err);
NODISCARD bool store_update(Store *store, Slice key, int64_t revision, Slice value,
                            int64_t *ret_revision, Err *err);
NODISCARD bool store_remove(Store *store, Slice key, int64_t revision, int64_t *ret_revision,
                            Err *err);

/* ---- members of etcd ----------------------------------------------------------------------------
 */

/* Who keeps the store. ERR_UNSUPPORTED from each of these where it is not etcd. */
typedef struct StoreMember {
    uint64_t id;
    const char *name;     /* "": it was added, and has not started yet */
    const char *peer_url; /* the first one */
    bool learner;         /* it gets everything, and does not vote */
} StoreMember;

typedef struct StoreMembers {
    StoreMember *items;
    size_t len;
} StoreMembers;

/* One more place where the store is asked, from now on; `first`: before the others. ERR_LIMIT:
 * there are too many. Any thread. */
NODISCARD bool store_endpoint_add(Store *store, const char *endpoint, bool first, Err *err);
/* The caller is about to end: from now on no call waits for a member to be there, nor those that
 * wait already. Where the store is not etcd nothing waits. Any thread. */
void store_hurry(Store *store);

/* All changes that were over when it was called are in it. In the arena. */
NODISCARD bool store_members(Store *store, Arena *arena, StoreMembers *ret_members, Err *err);
/* A further member, as a learner: nothing waits for it. ERR_EXISTS: there is one of this URL.
 * ERR_CONFLICT: another one learns already. */
NODISCARD bool store_member_add(Store *store, const char *peer_url, Err *err);
/* Makes a learner vote. ERR_UNAVAILABLE: it does not have all yet; ERR_EXISTS: it votes. */
NODISCARD bool store_member_promote(Store *store, uint64_t id, Err *err);
NODISCARD bool store_member_remove(Store *store, uint64_t id, Err *err);

/* ---- watching ---------------------------------------------------------------------------------
 */

/* The store remembers its last changes (history_max of them, 16 MiB at most). A watch is a place in
 * that history. One that falls behind it, or starts before it, is told to resync instead of losing
 * changes silently: its owner reads the prefix again. The history does not survive a restart. */
typedef struct StoreWatch StoreWatch;

typedef struct StoreChange {
    StoreWriteKind kind;
    StoreItem item; /* of a delete: the empty value; mod_revision is that of the delete */
} StoreChange;

typedef enum StoreWatchResult {
    STORE_WATCH_NOTHING, /* caught up; the fd becomes readable when that changes */
    STORE_WATCH_CHANGE,
    STORE_WATCH_RESYNC, /* changes were lost; those that follow are newer than this call */
} StoreWatchResult;

/* Gives the changes below `prefix` that are newer than `after_revision`, in order; within one
 * transaction in the order of its writes. Usual start: the revision of a range. ERR_INVALID: a
 * revision that is still to come. ERR_LIMIT: STORE_WATCHES_MAX. */
NODISCARD bool store_watch(Store *store, Slice prefix, int64_t after_revision,
                           StoreWatch **ret_watch, Err *err);
void store_watch_close(StoreWatch *watch); /* NULL is fine */

/* Never waits. After RESYNC range the prefix, and ignore later changes whose mod_revision is not
 * above the range's. */
StoreWatchResult store_watch_next(StoreWatch *watch, Arena *arena, StoreChange *ret_change);
/* An eventfd, readable while store_watch_next may have something. Only poll it: next empties it. */
int store_watch_fd(const StoreWatch *watch);
/* For threads without a loop: waits until there is something or the time (real, 0 or more) is over.
 * True: store_watch_next has something. Ends leases that fall due meanwhile. */
bool store_watch_wait(StoreWatch *watch, int64_t timeout_ms);

/* ---- leases -----------------------------------------------------------------------------------
 */

/* A lease is a life that keys can share: when it ends (ttl_ms after its grant or last keepalive, or
 * by revoke) they are deleted, all at one revision. An end that the disk refuses is tried again by
 * the following calls, and keepalive does not bring the lease back meanwhile.
 *
 * With etcd a lease belongs to the process that granted it, which ends it in time by its own clock,
 * as everywhere. Where that process is gone, etcd ends it: never earlier than asked, but in whole
 * seconds, no sooner than its own minimum (one and a half election timeouts, rounded up: 2 s), and
 * later by up to the whole time where its leader changed. Another process may keep the lease alive
 * after that, or revoke it, by its id. STORE_LEASES_MAX counts those of this process. */
NODISCARD bool store_lease_grant(Store *store, int64_t ttl_ms, int64_t *ret_lease, Err *err);
/* ERR_NOT_FOUND where it has ended. */
NODISCARD bool store_lease_keepalive(Store *store, int64_t lease, Err *err);
NODISCARD bool store_lease_revoke(Store *store, int64_t lease, Err *err);

/* Ends the leases that are due, so that watchers hear of it although nobody else calls the store
 * (every other call does the same first, but with etcd store_watch_next). *ret_next_ms: time until
 * the next one is due, -1 where there is none. A loop calls this from a timer. */
NODISCARD bool store_tick(Store *store, int64_t *ret_next_ms, Err *err);

#endif
