/* See mirror_priv.h: a copy of some of the store's keys, kept by a watch. */
#include "agent/mirror_priv.h"

#include <stdarg.h>
#include <stdio.h>

#define RANGE_STEP 1000

static const char *const prefixes[] = {"cluster/", "node/"};

struct Mirror {
    Store *store;
    Map *texts; /* key -> char * */
    StoreWatch *watch;
    LoopFd *watch_fd;
    LoopFn *changed;
    void *user;
};

static void text_drop(Mirror *mirror, Slice key)
{
    mem_free(map_get(mirror->texts, key));
    map_remove(mirror->texts, key);
}

static void text_put(Mirror *mirror, const StoreItem *item)
{
    mem_free(map_get(mirror->texts, item->key));
    map_set(mirror->texts, item->key, mem_printf("%.*s", SLICE_FMT(item->value)));
}

static bool is_ours(Slice key)
{
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (slice_starts(key, prefixes[i])) {
            return true;
        }
    }
    return false;
}

static void texts_clear(Mirror *mirror)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(mirror->texts, &cursor, &key, &value)) {
        mem_free(value);
    }
    map_free(mirror->texts);
    mirror->texts = map_new();
}

static bool prefix_load(Mirror *mirror, const char *prefix, int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice after = {0};
    for (bool first = true;; first = false) {
        StoreRange range;
        TRY(store_range(mirror->store, slice_of(prefix), after, RANGE_STEP, arena, &range, err));
        *ret_revision = first ? range.revision : *ret_revision;
        for (size_t i = 0; i < range.len; i++) {
            text_put(mirror, &range.items[i]);
        }
        if (!range.more) {
            return true;
        }
        after = range.items[range.len - 1].key;
    }
}

/* *ret_revision is that of the oldest look: what came later is told by the watch, perhaps again. */
static bool texts_load(Mirror *mirror, int64_t *ret_revision, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        int64_t revision;
        TRY(prefix_load(mirror, prefixes[i], &revision, err));
        *ret_revision = i == 0 ? revision : *ret_revision;
    }
    return true;
}

static bool change_take(Mirror *mirror, const StoreChange *change)
{
    if (!is_ours(change->item.key)) {
        return false;
    }
    if (change->kind == STORE_PUT) {
        text_put(mirror, &change->item);
    } else {
        text_drop(mirror, change->item.key);
    }
    return true;
}

static void on_watch(void *user, uint32_t events)
{
    (void)events;
    Mirror *mirror = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreChange change;
    StoreWatchResult result;
    bool changed = false;
    while ((result = store_watch_next(mirror->watch, arena, &change)) != STORE_WATCH_NOTHING) {
        int64_t revision;
        Err err;
        if (result == STORE_WATCH_CHANGE) {
            changed = change_take(mirror, &change) || changed;
        } else {
            texts_clear(mirror);
            changed = true;
            if (!texts_load(mirror, &revision, &err)) {
                log_error("agent", "cannot read the nodes again: %s", err.message);
            }
        }
        arena_reset(arena);
    }
    if (changed) {
        mirror->changed(mirror->user);
    }
}

bool mirror_new(Loop *loop, Store *store, LoopFn *changed, void *user, Mirror **ret_mirror,
                Err *err)
{
    Mirror *mirror = mem_alloc(sizeof(Mirror));
    *mirror = (Mirror){.store = store, .texts = map_new(), .changed = changed, .user = user};
    int64_t revision = 0;
    if (!texts_load(mirror, &revision, err) ||
        !store_watch(store, (Slice){0}, revision, &mirror->watch, err) ||
        !loop_fd_add(loop, store_watch_fd(mirror->watch), EPOLLIN, on_watch, mirror,
                     &mirror->watch_fd, err)) {
        mirror_free(mirror);
        return false;
    }
    *ret_mirror = mirror;
    return true;
}

void mirror_free(Mirror *mirror)
{
    if (mirror == NULL) {
        return;
    }
    loop_fd_remove(mirror->watch_fd);
    store_watch_close(mirror->watch);
    texts_clear(mirror);
    map_free(mirror->texts);
    mem_free(mirror);
}

json_t *mirror_record_new(const Mirror *mirror, const char *key_format, ...)
{
    char key[STORE_KEY_MAX + 1];
    va_list args;
    va_start(args, key_format);
    int len = vsnprintf(key, sizeof(key), key_format, args);
    va_end(args);
    const char *text =
        len > 0 && (size_t)len < sizeof(key) ? map_get(mirror->texts, slice_of(key)) : NULL;
    json_t *record = NULL;
    return text != NULL && record_parse(slice_of(text), &record, NULL) ? record : NULL;
}
