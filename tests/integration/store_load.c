/*
 * A load for a store in etcd, while somebody else kills and stops its members. Writers count up
 * keys of their own, in transactions of two keys, and one key that all share; what is ERR_UNSETTLED
 * they settle by a compare-and-swap that succeeds. Two watchers, one in the writers' store and one
 * in another, write down what they are told. At the end everything is compared, and one line of
 * JSON says how much there was. It ends with 1 and a sentence where a promise was broken.
 *
 *   store_load ROOT CA CERT KEY SECONDS ENDPOINT…
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"

#define WRITERS    3
#define WATCHERS   2
#define HISTORY    1000000
#define CATCH_UP_S 60
#define PAUSE_MS   20

typedef struct Change {
    char key[24];
    int64_t count;
    int64_t revision;
} Change;

typedef struct Changes {
    VEC(Change) list;
} Changes;

typedef struct Load Load;

typedef struct Writer {
    Load *load;
    pthread_t thread;
    char key[24], mark[24];
    int64_t count;    /* what is certainly there; -1: nothing */
    int64_t revision; /* of it */
    Changes acknowledged;
    int64_t unsettled, refused, conflicts, longest_ms, last_ms;
} Writer;

typedef struct Watcher {
    Load *load;
    pthread_t thread;
    Store *store;
    StoreWatch *watch;
    Changes told;
    atomic_llong revision;
} Watcher;

struct Load {
    Store *store;
    atomic_bool stopping, watch_stopping;
    Writer writers[WRITERS];
    Watcher watchers[WATCHERS];
};

PRINTF_LIKE(1, 2) NORETURN static void broken(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("broken: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(1);
}

static void pause_ms(long ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

static void note(Changes *changes, const char *key, int64_t count, int64_t revision)
{
    Change change = {.count = count, .revision = revision};
    snprintf(change.key, sizeof(change.key), "%s", key);
    vec_push(&changes->list, change);
}

static int64_t count_of(Slice value)
{
    int64_t count;
    Slice head = slice_cut(&value, ' ');
    if (!str_to_i64(head, &count)) {
        broken("the value %.*s is no count", SLICE_FMT(head));
    }
    return count;
}

/* ---- writers ----------------------------------------------------------------------------------
 */

/* "not now", and nothing has changed. */
static bool is_refusal(const Err *err)
{
    return err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT;
}

static void acknowledged(Writer *writer)
{
    int64_t now = time_mono_ms();
    if (now - writer->last_ms > writer->longest_ms) {
        writer->longest_ms = now - writer->last_ms;
    }
    writer->last_ms = now;
}

/* Reads until somebody answers; false where the key is absent. */
static bool read_key(Writer *writer, const char *key, Arena *arena, StoreItem *ret_item)
{
    Err err;
    while (!store_get(writer->load->store, slice_of(key), arena, ret_item, &err)) {
        if (err.code == ERR_NOT_FOUND) {
            return false;
        }
        if (!is_refusal(&err)) {
            broken("a read of %s: %s: %s", key, err_code_name(err.code), err.message);
        }
        pause_ms(PAUSE_MS);
    }
    return true;
}

/* Both keys get the count, where ours is at the revision. */
static bool write_own(Writer *writer, int64_t revision, int64_t mark, int64_t count, bool *ret_done,
                      int64_t *ret_revision, Err *err)
{
    char value[32];
    snprintf(value, sizeof(value), "%lld", (long long)count);
    StoreCompare compares[] = {{slice_of(writer->key), revision}, {slice_of(writer->mark), mark}};
    StoreWrite writes[] = {
        {.kind = STORE_PUT, .key = slice_of(writer->key), .value = slice_of(value)},
        {.kind = STORE_PUT, .key = slice_of(writer->mark), .value = slice_of(value)}};
    StoreTxn txn = {compares, 2, writes, 2};
    return store_txn(writer->load->store, &txn, ret_done, ret_revision, err);
}

static void own_is(Writer *writer, int64_t count, int64_t revision)
{
    writer->count = count;
    writer->revision = revision;
    note(&writer->acknowledged, writer->key, count, revision);
    acknowledged(writer);
}

/* By a compare-and-swap of one's own that succeeds; what it finds was there or came through. */
static void settle_own(Writer *writer)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (;;) {
        StoreItem item;
        Err err;
        bool done;
        int64_t revision;
        bool there = read_key(writer, writer->key, arena, &item);
        int64_t count = there ? count_of(item.value) : 0;
        if (there && count != writer->count && count != writer->count + 1) {
            broken("%s is %lld, it was %lld", writer->key, (long long)count,
                   (long long)writer->count);
        }
        int64_t at = there ? item.mod_revision : 0;
        if (write_own(writer, at, at, count, &done, &revision, &err)) {
            if (done) {
                own_is(writer, count, revision);
                return;
            }
        } else if (err.code == ERR_UNSETTLED) {
            writer->unsettled++;
        } else if (!is_refusal(&err)) {
            broken("settling %s: %s: %s", writer->key, err_code_name(err.code), err.message);
        }
        pause_ms(PAUSE_MS);
    }
}

static void count_own(Writer *writer)
{
    Err err;
    bool done;
    int64_t revision;
    if (write_own(writer, writer->revision, writer->revision, writer->count + 1, &done, &revision,
                  &err)) {
        if (!done) { /* nobody else writes it */
            broken("%s had changed from %lld, but nothing was to have taken place", writer->key,
                   (long long)writer->revision);
        }
        own_is(writer, writer->count + 1, revision);
    } else if (err.code == ERR_UNSETTLED) {
        writer->unsettled++;
        settle_own(writer);
    } else if (is_refusal(&err)) {
        writer->refused++;
        pause_ms(PAUSE_MS);
    } else {
        broken("%s: %s: %s", writer->key, err_code_name(err.code), err.message);
    }
}

/* One more in the shared key, and who did it. */
static void count_shared(Writer *writer)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    Err err;
    int64_t revision;
    bool there = read_key(writer, "shared", arena, &item);
    int64_t count = there ? count_of(item.value) + 1 : 0;
    Slice value = slice_of(arena_printf(arena, "%lld %s", (long long)count, writer->key));
    bool ok = there ? store_update(writer->load->store, SLICE("shared"), item.mod_revision, value,
                                   &revision, &err)
                    : store_create(writer->load->store, SLICE("shared"), value, &revision, &err);
    if (ok) {
        note(&writer->acknowledged, "shared", count, revision);
        acknowledged(writer);
    } else if (err.code == ERR_CONFLICT || err.code == ERR_EXISTS) {
        writer->conflicts++;
    } else if (err.code == ERR_UNSETTLED) {
        writer->unsettled++; /* the chain of counts tells */
    } else if (is_refusal(&err)) {
        writer->refused++;
    } else {
        broken("shared: %s: %s", err_code_name(err.code), err.message);
    }
}

static void *write_run(void *argument)
{
    Writer *writer = argument;
    writer->last_ms = time_mono_ms();
    while (!atomic_load(&writer->load->stopping)) {
        count_own(writer);
        count_shared(writer);
    }
    return NULL;
}

/* ---- watchers ---------------------------------------------------------------------------------
 */

static void *watch_run(void *argument)
{
    Watcher *watcher = argument;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    while (!atomic_load(&watcher->load->watch_stopping)) {
        StoreChange change;
        StoreWatchResult result;
        (void)store_watch_wait(watcher->watch, 100);
        while ((result = store_watch_next(watcher->watch, arena, &change)) == STORE_WATCH_CHANGE) {
            char key[24];
            snprintf(key, sizeof(key), "%.*s", SLICE_FMT(change.item.key));
            note(&watcher->told, key, count_of(change.item.value), change.item.mod_revision);
            atomic_store(&watcher->revision, change.item.mod_revision);
            arena_reset(arena);
        }
        if (result == STORE_WATCH_RESYNC) {
            broken("a watch was made to resync");
        }
    }
    return NULL;
}

/* ---- what must hold ---------------------------------------------------------------------------
 */

static bool same(const Change *a, const Change *b)
{
    return strcmp(a->key, b->key) == 0 && a->count == b->count && a->revision == b->revision;
}

/* In order, each once, and each key one by one. */
static void check_told(const Watcher *watcher)
{
    Map *last = map_new();
    const Change *before = NULL;
    for (size_t i = 0; i < watcher->told.list.len; i++) {
        Change *change = &watcher->told.list.items[i];
        const Change *own = map_set(last, slice_of(change->key), change);
        if (before != NULL && change->revision < before->revision) {
            broken("told of %lld after %lld", (long long)change->revision,
                   (long long)before->revision);
        }
        if (own != NULL && change->revision <= own->revision) {
            broken("told twice of %s at %lld", change->key, (long long)change->revision);
        }
        int64_t step = change->count - (own != NULL ? own->count : -1);
        if (step != 1 && !(step == 0 && own != NULL)) { /* 0: it was settled */
            broken("%s goes on with %lld at %lld", change->key, (long long)change->count,
                   (long long)change->revision);
        }
        bool is_mark = strncmp(change->key, "mark/", 5) == 0;
        if (is_mark && (before == NULL || before->revision != change->revision ||
                        before->count != change->count)) {
            broken("%s at %lld without its other half", change->key, (long long)change->revision);
        }
        before = change;
    }
    map_free(last);
}

static const Change *find(const Changes *changes, const Change *wanted)
{
    size_t low = 0;
    for (size_t high = changes->list.len; low < high;) {
        size_t middle = low + (high - low) / 2;
        if (changes->list.items[middle].revision < wanted->revision) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < changes->list.len && changes->list.items[low].revision == wanted->revision;
         low++) {
        if (same(&changes->list.items[low], wanted)) {
            return &changes->list.items[low];
        }
    }
    return NULL;
}

static void check_acknowledged(const Load *load, const Watcher *watcher)
{
    for (size_t w = 0; w < WRITERS; w++) {
        const Changes *all = &load->writers[w].acknowledged;
        for (size_t i = 0; i < all->list.len; i++) {
            const Change *change = &all->list.items[i];
            if (find(&watcher->told, change) == NULL) {
                broken("%s = %lld at %lld was acknowledged and is lost", change->key,
                       (long long)change->count, (long long)change->revision);
            }
        }
    }
}

/* What is there is what was told last. */
static void check_present(const Watcher *watcher, const StoreRange *range)
{
    for (size_t i = 0; i < range->len; i++) {
        Change present = {.count = count_of(range->items[i].value),
                          .revision = range->items[i].mod_revision};
        snprintf(present.key, sizeof(present.key), "%.*s", SLICE_FMT(range->items[i].key));
        if (find(&watcher->told, &present) == NULL) {
            broken("%s = %lld at %lld is there, and was not told", present.key,
                   (long long)present.count, (long long)present.revision);
        }
    }
}

static void check_all(const Load *load, const StoreRange *range)
{
    const Watcher *first = &load->watchers[0];
    if (range->len != 2 * WRITERS + 1) {
        broken("%zu keys are there", range->len);
    }
    for (size_t i = 0; i < WATCHERS; i++) {
        const Watcher *watcher = &load->watchers[i];
        check_told(watcher);
        check_acknowledged(load, watcher);
        check_present(watcher, range);
        if (watcher->told.list.len != first->told.list.len) {
            broken("one watch was told of %zu changes, the other of %zu", first->told.list.len,
                   watcher->told.list.len);
        }
    }
}

static void say(const Load *load)
{
    int64_t unsettled = 0, refused = 0, conflicts = 0, longest = 0;
    size_t acks = 0;
    for (size_t i = 0; i < WRITERS; i++) {
        const Writer *writer = &load->writers[i];
        unsettled += writer->unsettled;
        refused += writer->refused;
        conflicts += writer->conflicts;
        acks += writer->acknowledged.list.len;
        longest = writer->longest_ms > longest ? writer->longest_ms : longest;
    }
    printf("{\"acknowledged\": %zu, \"told\": %zu, \"unsettled\": %lld, \"refused\": %lld, "
           "\"conflicts\": %lld, \"longest_ms\": %lld}\n",
           acks, load->watchers[0].told.list.len, (long long)unsettled, (long long)refused,
           (long long)conflicts, (long long)longest);
}

/* ---- the run ----------------------------------------------------------------------------------
 */

static Store *open_store(char **arguments)
{
    StoreEtcdOptions etcd = {.root = arguments[0],
                             .ca = arguments[1],
                             .cert = arguments[2],
                             .key = arguments[3],
                             .compact_ms = 20000,
                             .patience_ms = 30000,
                             .endpoints = (const char *const *)(arguments + 5)};
    StoreOptions options = {.history_max = HISTORY};
    Store *store;
    Err err;
    if (!store_open_etcd(&etcd, &options, &store, &err)) {
        broken("%s", err.message);
    }
    return store;
}

static StoreRange read_all(Store *store, Arena *arena)
{
    StoreRange range;
    Err err;
    while (!store_range(store, SLICE(""), SLICE(""), 1000, arena, &range, &err)) {
        if (!is_refusal(&err)) {
            broken("%s", err.message);
        }
    }
    return range;
}

static void start(Load *load, Store *other)
{
    Err err;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    int64_t revision = read_all(other, arena).revision;
    for (size_t i = 0; i < WATCHERS; i++) {
        Watcher *watcher = &load->watchers[i];
        *watcher = (Watcher){.load = load, .store = i == 0 ? load->store : other};
        if (!store_watch(watcher->store, SLICE(""), revision, &watcher->watch, &err)) {
            broken("%s", err.message);
        }
        pthread_create(&watcher->thread, NULL, watch_run, watcher);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        Writer *writer = &load->writers[i];
        *writer = (Writer){.load = load, .count = -1};
        snprintf(writer->key, sizeof(writer->key), "own/%zu", i);
        snprintf(writer->mark, sizeof(writer->mark), "mark/%zu", i);
        pthread_create(&writer->thread, NULL, write_run, writer);
    }
}

/* The writers have ended; the watchers shall hear of all that is there. */
static void catch_up(Load *load, const StoreRange *range)
{
    int64_t last = 0;
    for (size_t i = 0; i < range->len; i++) {
        int64_t revision = range->items[i].mod_revision;
        last = revision > last ? revision : last;
    }
    for (size_t i = 0; i < WATCHERS; i++) {
        int64_t end = time_mono_ms() + CATCH_UP_S * MS_PER_S;
        while (atomic_load(&load->watchers[i].revision) < last) {
            if (time_mono_ms() > end) {
                broken("watch %zu came to %lld, the store is at %lld", i,
                       (long long)atomic_load(&load->watchers[i].revision), (long long)last);
            }
            pause_ms(PAUSE_MS);
        }
    }
    atomic_store(&load->watch_stopping, true);
    for (size_t i = 0; i < WATCHERS; i++) {
        pthread_join(load->watchers[i].thread, NULL);
        store_watch_close(load->watchers[i].watch);
    }
}

int main(int argc, char **argv)
{
    int64_t seconds;
    if (argc < 7 || !str_to_i64(slice_of(argv[5]), &seconds)) {
        fputs("store_load ROOT CA CERT KEY SECONDS ENDPOINT…\n", stderr);
        return 2;
    }
    Load load = {.store = open_store(argv + 1)};
    Store *other = open_store(argv + 1);
    start(&load, other);
    puts("runs");
    fflush(stdout);
    pause_ms((long)(seconds * MS_PER_S));
    atomic_store(&load.stopping, true);
    for (size_t i = 0; i < WRITERS; i++) {
        pthread_join(load.writers[i].thread, NULL);
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Store *fresh = open_store(argv + 1);
    StoreRange range = read_all(fresh, arena);
    catch_up(&load, &range);
    check_all(&load, &range);
    say(&load);
    store_close(fresh);
    store_close(other);
    store_close(load.store);
    for (size_t i = 0; i < WATCHERS; i++) {
        vec_done(&load.watchers[i].told.list);
    }
    for (size_t i = 0; i < WRITERS; i++) {
        vec_done(&load.writers[i].acknowledged.list);
    }
    return 0;
}
