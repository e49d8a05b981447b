/*
 * The history of the last changes, and the watches, which are places in it. So a slow watcher costs
 * nothing but its own resync, and a change is kept once however many watch it. A watch that has
 * seen everything is moved along past changes of other prefixes and is never made to resync by
 * them. Everything here is under the store's `lock`.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "store/store_priv.h"

#define HISTORY_BYTES_MAX   ((size_t)16 << 20)
#define WATCH_EXPIRE_MIN_MS 20 /* a wait looks at due leases no more often than this */

/* ---- history ----------------------------------------------------------------------------------
 */

void history_init(History *history, size_t max)
{
    *history = (History){.ring = mem_alloc(max * sizeof(BatchOp)), .max = max};
}

static BatchOp *history_at(const History *history, uint64_t number)
{
    return &history->ring[number % history->max];
}

static size_t change_bytes(const Record *record)
{
    return sizeof(Record) + record->key_len + record->value_len;
}

static void history_drop_first(History *history)
{
    BatchOp *op = history_at(history, history->begin++);
    history->bytes -= change_bytes(op->record);
    history->lost_revision = op->record->mod_revision;
    record_unref(op->record);
    op->record = NULL;
}

static void history_clear(History *history)
{
    while (history->begin < history->end) {
        history_drop_first(history);
    }
}

void history_done(History *history)
{
    history_clear(history);
    mem_free(history->ring);
}

static bool watch_wants(const StoreWatch *watch, const Record *record)
{
    return record->mod_revision > watch->after_revision && record->key_len >= watch->prefix.len &&
           slice_eq(slice_from(record->bytes, watch->prefix.len), watch->prefix);
}

static void watch_signal(const StoreWatch *watch)
{
    uint64_t one = 1;
    ssize_t count = write(watch->fd, &one, sizeof(one));
    ASSERT(count == sizeof(one) || errno == EAGAIN);
}

void history_add(Store *store, const BatchOp *op)
{
    History *history = &store->history;
    size_t bytes = change_bytes(op->record);
    while (history->begin < history->end && (history->end - history->begin == history->max ||
                                             history->bytes + bytes > HISTORY_BYTES_MAX)) {
        history_drop_first(history);
    }
    LIST_FOR_EACH (&store->watches, node) {
        StoreWatch *watch = CONTAINER_OF(node, StoreWatch, node);
        if (watch_wants(watch, op->record)) {
            watch_signal(watch);
        } else if (watch->next == history->end) {
            watch->next++;
        }
    }
    *history_at(history, history->end++) = (BatchOp){op->kind, record_ref(op->record)};
    history->bytes += bytes;
}

void history_forget(Store *store)
{
    history_clear(&store->history);
    store->history.lost_revision = store->revision;
    LIST_FOR_EACH (&store->watches, node) {
        StoreWatch *watch = CONTAINER_OF(node, StoreWatch, node);
        watch->resync = true;
        watch_signal(watch);
    }
}

void watches_wake(Store *store)
{
    pthread_cond_broadcast(&store->changed);
}

/* ---- watches ----------------------------------------------------------------------------------
 */

/* Whether the store has come as far as this revision. */
static bool watch_start_check(Store *store, int64_t after_revision, Err *err)
{
    pthread_mutex_lock(&store->lock);
    int64_t revision = store->revision;
    pthread_mutex_unlock(&store->lock);
    if (after_revision > revision && store->kind->revision != NULL) {
        TRY(store->kind->revision(store, &revision, err));
    }
    if (after_revision < 0 || after_revision > revision) {
        return err_set(err, ERR_INVALID, "cannot watch from revision %lld: the store is at %lld",
                       (long long)after_revision, (long long)revision);
    }
    return true;
}

bool store_watch(Store *store, Slice prefix, int64_t after_revision, StoreWatch **ret_watch,
                 Err *err)
{
    TRY(watch_start_check(store, after_revision, err));
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot make an eventfd");
    }
    pthread_mutex_lock(&store->lock);
    if (store->watches.len >= STORE_WATCHES_MAX) {
        pthread_mutex_unlock(&store->lock);
        fd_close(&fd);
        return err_set(err, ERR_LIMIT, "the store keeps at most %d watches", STORE_WATCHES_MAX);
    }
    StoreWatch *watch = mem_alloc(sizeof(StoreWatch));
    char *copy = mem_alloc(prefix.len + 1);
    if (prefix.len > 0) {
        memcpy(copy, prefix.data, prefix.len);
    }
    *watch = (StoreWatch){.store = store,
                          .prefix = slice_from(copy, prefix.len),
                          .prefix_memory = copy,
                          .next = store->history.begin,
                          .resync = after_revision < store->history.lost_revision,
                          .after_revision = after_revision,
                          .fd = fd};
    list_push_back(&store->watches, &watch->node);
    watch_signal(watch); /* the first store_watch_next finds out */
    pthread_mutex_unlock(&store->lock);
    *ret_watch = watch;
    return true;
}

void store_watch_close(StoreWatch *watch)
{
    if (watch == NULL) {
        return;
    }
    pthread_mutex_lock(&watch->store->lock);
    list_remove(&watch->store->watches, &watch->node);
    pthread_mutex_unlock(&watch->store->lock);
    fd_close(&watch->fd);
    mem_free(watch->prefix_memory);
    mem_free(watch);
}

/* Moves past what the watch does not want. */
static StoreWatchResult watch_look(StoreWatch *watch)
{
    const History *history = &watch->store->history;
    if (watch->resync || watch->next < history->begin) {
        return STORE_WATCH_RESYNC;
    }
    while (watch->next < history->end &&
           !watch_wants(watch, history_at(history, watch->next)->record)) {
        watch->next++;
    }
    return watch->next < history->end ? STORE_WATCH_CHANGE : STORE_WATCH_NOTHING;
}

static void watch_calm(const StoreWatch *watch)
{
    uint64_t count;
    ssize_t ignored = read(watch->fd, &count, sizeof(count)); /* EAGAIN where it was not set */
    (void)ignored;
}

StoreWatchResult store_watch_next(StoreWatch *watch, Arena *arena, StoreChange *ret_change)
{
    Store *store = watch->store;
    if (store->etcd == NULL) { /* which would be asked, and this never waits */
        (void)store_expire_due(store, NULL);
    }
    pthread_mutex_lock(&store->lock);
    StoreWatchResult result = watch_look(watch);
    if (result == STORE_WATCH_CHANGE) {
        const BatchOp *op = history_at(&store->history, watch->next++);
        *ret_change = (StoreChange){op->kind, record_copy(op->record, arena)};
    } else if (result == STORE_WATCH_RESYNC) {
        watch->resync = false;
        watch->next = store->history.end;
        watch->after_revision = store->revision;
    } else {
        watch_calm(watch);
    }
    pthread_mutex_unlock(&store->lock);
    return result;
}

int store_watch_fd(const StoreWatch *watch)
{
    return watch->fd;
}

/* Under `lock`: waits for a change or `wait_ms`. */
static void watch_sleep(Store *store, int64_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / MS_PER_S;
    until.tv_nsec += wait_ms % MS_PER_S * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&store->changed, &store->lock, &until);
}

bool store_watch_wait(StoreWatch *watch, int64_t timeout_ms)
{
    Store *store = watch->store;
    int64_t end = time_mono_ms() + timeout_ms;
    for (;;) {
        (void)store_expire_due(store, NULL);
        pthread_mutex_lock(&store->lock);
        bool found = watch_look(watch) != STORE_WATCH_NOTHING;
        int64_t left = end - time_mono_ms();
        if (!found && left > 0) {
            int64_t due = lease_next_due(&store->image);
            int64_t now = store->now_ms(store->clock);
            int64_t expire = due > now + WATCH_EXPIRE_MIN_MS ? due - now : WATCH_EXPIRE_MIN_MS;
            watch_sleep(store, left < expire ? left : expire);
        }
        pthread_mutex_unlock(&store->lock);
        if (found || left <= 0) {
            return found;
        }
    }
}
