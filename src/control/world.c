/*
 * The snapshot that a round decides on. It owns copies of all records; changes are collected and
 * written at the end, each by compare-and-swap on the revision that was read, so that a round never
 * overwrites what it has not seen.
 */
#include <stdio.h>
#include <stdlib.h>

#include "control/control_priv.h"

#define RANGE_STEP 1000

static const char *const world_prefixes[] = {"spec/",    "status/",      "node/", "plane/",
                                             "cluster/", "secretvalue/", "tier",  "accesskey",
                                             "host/",    "removed-host/"};

static WorldRecord *world_record(World *world, const char *key)
{
    WorldRecord *record = map_get(world->records, slice_of(key));
    if (record == NULL) {
        record = ARENA_NEW(world->arena, WorldRecord);
        record->key = arena_strdup(world->arena, key);
        map_set(world->records, slice_of(key), record);
    }
    return record;
}

static bool world_add(World *world, const StoreItem *item, Err *err)
{
    json_t *value = NULL;
    if (!record_parse(item->value, &value, err)) {
        return err_wrap(err, "record %.*s", SLICE_FMT(item->key));
    }
    WorldRecord *record = world_record(world, arena_slice_str(world->arena, item->key));
    record->value = value;
    record->was = value;
    record->revision = item->mod_revision;
    return true;
}

static bool world_read(World *world, Store *store, const char *prefix, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice after = {0};
    for (;;) {
        StoreRange range;
        TRY(store_range(store, slice_of(prefix), after, RANGE_STEP, arena, &range, err));
        for (size_t i = 0; i < range.len; i++) {
            TRY(world_add(world, &range.items[i], err));
        }
        if (!range.more) {
            return true;
        }
        after = range.items[range.len - 1].key;
    }
}

bool world_load(Store *store, const ControlFacts *facts, World **ret_world, Err *err)
{
    CLEANUP(world_free_ptr) World *world = mem_alloc(sizeof(World));
    world->facts = facts;
    world->arena = arena_new();
    world->records = map_new();
    world->leaving = json_object();
    for (size_t i = 0; i < ARRAY_LEN(world_prefixes); i++) {
        TRY(world_read(world, store, world_prefixes[i], err));
    }
    *ret_world = world;
    world = NULL;
    return true;
}

void world_free_ptr(World **world)
{
    if (*world == NULL) {
        return;
    }
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next((*world)->records, &cursor, &key, &value)) {
        json_decref(((WorldRecord *)value)->value);
    }
    for (size_t i = 0; i < (*world)->retired.len; i++) {
        json_decref((*world)->retired.items[i]);
    }
    vec_done(&(*world)->retired);
    json_decref((*world)->leaving);
    map_free((*world)->records);
    arena_free((*world)->arena);
    mem_free(*world);
    *world = NULL;
}

const json_t *world_get(const World *world, const char *key)
{
    const WorldRecord *record = map_get(world->records, slice_of(key));
    return record != NULL ? record->value : NULL;
}

const json_t *world_getf(const World *world, const char *key_format, ...)
{
    char key[STORE_KEY_MAX + 1];
    va_list args;
    va_start(args, key_format);
    int len = vsnprintf(key, sizeof(key), key_format, args);
    va_end(args);
    return len > 0 && (size_t)len < sizeof(key) ? world_get(world, key) : NULL;
}

static void world_retire(World *world, WorldRecord *record)
{
    if (record->value != NULL) {
        vec_push(&world->retired, record->value);
    }
    record->value = NULL;
}

/* To write what is there already would wake the next round, and so on for ever. */
bool world_changed(const WorldRecord *record)
{
    return record->value != record->was && !json_equal(record->value, record->was);
}

void world_put(World *world, const char *key, json_t *value)
{
    WorldRecord *record = world_record(world, key);
    if (record->value != NULL && json_equal(record->value, value)) {
        json_decref(value);
        return;
    }
    world_retire(world, record);
    record->value = value;
}

void world_delete(World *world, const char *key)
{
    WorldRecord *record = map_get(world->records, slice_of(key));
    if (record != NULL && record->value != NULL) {
        world_retire(world, record);
    }
}

void world_event(World *world, ResourceType type, const char *id, const char *category,
                 const char *message)
{
    const char *key = NULL;
    json_t *event =
        event_new(world->arena, world->facts->now_ms, type, id, category, message, &key);
    world_put(world, key, event);
}

int64_t text_int(const char *text, int64_t fallback)
{
    int64_t value;
    return str_to_i64(slice_of(text), &value) ? value : fallback;
}

static int compare_names(const void *a, const void *b)
{
    const char *left;
    const char *right;
    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return strcmp(left, right);
}

WorldKeys world_keys(const World *world, const char *prefix)
{
    WorldKeys keys = {.items =
                          ARENA_ARRAY(world->arena, const char *, map_len(world->records) + 1)};
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(world->records, &cursor, &key, &value)) {
        const WorldRecord *record = value;
        if (record->value != NULL && slice_starts(key, prefix)) {
            keys.items[keys.len++] = record->key;
        }
    }
    if (keys.len > 1) {
        qsort(keys.items, keys.len, sizeof(*keys.items), compare_names);
    }
    return keys;
}

static bool record_commit(World *world, Store *store, const WorldRecord *record, Err *err)
{
    Slice key = slice_of(record->key);
    if (record->value == NULL) {
        return record->revision == 0 || store_remove(store, key, record->revision, NULL, err);
    }
    Slice text = record_format(world->arena, record->value);
    return record->revision == 0 ? store_create(store, key, text, NULL, err)
                                 : store_update(store, key, record->revision, text, NULL, err);
}

#define PASSES 3

/* In which pass a change is written. What was seen is taken away behind the goal it was of: without
 * it a goal would wait for ever for the word that its node is gone. A spec goes last, when all that
 * hung on it is gone. */
static int pass_of(const WorldRecord *record)
{
    Slice key = slice_of(record->key);
    if (record->value != NULL) {
        return 0;
    }
    return slice_starts(key, "spec/") ? 2 : slice_ends(key, "/seen") ? 1 : 0;
}

static bool commit_pass(World *world, Store *store, int pass, bool *conflict, Err *err)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(world->records, &cursor, &key, &value)) {
        WorldRecord *record = value;
        if (!world_changed(record) || pass_of(record) != pass ||
            record_commit(world, store, record, err)) {
            continue;
        }
        if (err->code != ERR_CONFLICT && err->code != ERR_EXISTS) {
            return err_wrap(err, "writing %s", record->key);
        }
        *conflict = true; /* somebody else was there first */
    }
    return true;
}

bool world_commit(World *world, Store *store, Err *err)
{
    bool conflict = false;
    for (int pass = 0; pass < PASSES && !conflict; pass++) {
        TRY(commit_pass(world, store, pass, &conflict, err));
    }
    world->busy = world->busy || conflict;
    return true;
}
