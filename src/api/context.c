/*
 * One attempt of a handler: what it read, what it put, and one transaction over both. Reads by key
 * are remembered with their revision and compared at the commit, so a decision made on them holds.
 */
#include "api/api_priv.h"

#define LIST_PAGE 500

void context_init(ApiContext *ctx, Api *api, Arena *arena, AwsFault *fault)
{
    *ctx = (ApiContext){.api = api, .arena = arena, .fault = fault, .tier = api->options.tier};
    int64_t (*now_ms)(void *) = api->options.now_ms;
    ctx->now_ms = now_ms != NULL ? now_ms(api->options.context) : time_wall_ms();
}

void context_done(ApiContext *ctx)
{
    for (size_t i = 0; i < ctx->owned.len; i++) {
        json_decref(ctx->owned.items[i]);
    }
    vec_done(&ctx->owned);
    vec_done(&ctx->records);
    vec_done(&ctx->lists);
}

json_t *context_own(ApiContext *ctx, json_t *value)
{
    vec_push(&ctx->owned, value);
    return value;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static ContextRecord *context_find(ApiContext *ctx, const char *key)
{
    for (size_t i = 0; i < ctx->records.len; i++) {
        if (strcmp(ctx->records.items[i].key, key) == 0) {
            return &ctx->records.items[i];
        }
    }
    return NULL;
}

static void context_break(ApiContext *ctx, const Err *err)
{
    if (ctx->broken.code == ERR_NONE) {
        ctx->broken = *err;
    }
}

static json_t *parse_value(ApiContext *ctx, const char *key, Slice text)
{
    Err err;
    json_t *value;
    if (record_parse(text, &value, &err)) {
        return context_own(ctx, value);
    }
    err.code = ERR_INTERNAL;
    err_wrap(&err, "the record %s", key);
    context_break(ctx, &err);
    return NULL;
}

static ContextRecord *context_load(ApiContext *ctx, const char *key)
{
    ContextRecord record = {.key = arena_strdup(ctx->arena, key)};
    StoreItem item;
    Err err;
    if (store_get(ctx->api->options.store, slice_of(key), ctx->arena, &item, &err)) {
        record.revision = item.mod_revision;
        record.value = parse_value(ctx, key, item.value);
    } else if (err.code != ERR_NOT_FOUND) {
        context_break(ctx, &err);
    }
    vec_push(&ctx->records, record);
    return &ctx->records.items[ctx->records.len - 1];
}

static ContextRecord *context_record(ApiContext *ctx, const char *key)
{
    ContextRecord *record = context_find(ctx, key);
    return record != NULL ? record : context_load(ctx, key);
}

json_t *record_get(ApiContext *ctx, const char *key)
{
    return context_record(ctx, key)->value;
}

static RecordList list_load(ApiContext *ctx, const char *prefix)
{
    VEC(RecordItem) found = {0};
    Slice after = {0};
    StoreRange range = {.more = true};
    while (range.more && ctx->broken.code == ERR_NONE) {
        Err err;
        if (!store_range(ctx->api->options.store, slice_of(prefix), after, LIST_PAGE, ctx->arena,
                         &range, &err)) {
            context_break(ctx, &err);
            break;
        }
        for (size_t i = 0; i < range.len; i++) {
            RecordItem item = {.key = range.items[i].key.data};
            item.value = parse_value(ctx, item.key, range.items[i].value);
            after = range.items[i].key;
            if (item.value != NULL) {
                vec_push(&found, item);
            }
        }
    }
    RecordList list = {ARENA_ARRAY(ctx->arena, RecordItem, found.len + 1), found.len};
    if (found.len > 0) {
        memcpy(list.items, found.items, found.len * sizeof(RecordItem));
    }
    vec_done(&found);
    return list;
}

RecordList record_list(ApiContext *ctx, const char *prefix)
{
    for (size_t i = 0; i < ctx->lists.len; i++) {
        if (strcmp(ctx->lists.items[i].prefix, prefix) == 0) {
            return ctx->lists.items[i].list;
        }
    }
    ContextList loaded = {arena_strdup(ctx->arena, prefix), list_load(ctx, prefix)};
    vec_push(&ctx->lists, loaded);
    return loaded.list;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

void record_put(ApiContext *ctx, const char *key, json_t *value)
{
    ContextRecord *record = context_record(ctx, key);
    record->value = context_own(ctx, json_incref(value));
    record->dirty = true;
}

void record_delete(ApiContext *ctx, const char *key)
{
    ContextRecord *record = context_record(ctx, key);
    record->value = NULL;
    record->dirty = record->revision != 0; /* what was never there need not be deleted */
}

bool context_commit(ApiContext *ctx, bool *ret_done, Err *err)
{
    size_t len = ctx->records.len;
    StoreCompare *compares = ARENA_ARRAY(ctx->arena, StoreCompare, len + 1);
    StoreWrite *writes = ARENA_ARRAY(ctx->arena, StoreWrite, len + 1);
    StoreTxn txn = {.compares = compares, .writes = writes};
    for (size_t i = 0; i < len; i++) {
        const ContextRecord *record = &ctx->records.items[i];
        Slice key = slice_of(record->key);
        compares[txn.compares_len++] = (StoreCompare){key, record->revision};
        if (record->dirty) {
            bool put = record->value != NULL;
            writes[txn.writes_len++] = (StoreWrite){
                .kind = put ? STORE_PUT : STORE_DELETE,
                .key = key,
                .value = put ? record_format(ctx->arena, record->value) : (Slice){0},
            };
        }
    }
    int64_t revision;
    *ret_done = true;
    return txn.writes_len == 0 ||
           store_txn(ctx->api->options.store, &txn, ret_done, &revision, err);
}

/* ---- specs and statuses ------------------------------------------------------------------------
 */

/* Ids are checked before they are written; one that no key can hold is simply not there. */
static const char *key_of(ApiContext *ctx, ResourceType type, const char *id, bool spec)
{
    char key[MODEL_KEY_SIZE];
    bool ok = spec ? spec_key(type, id, key, NULL) : status_key(type, id, key, NULL);
    return ok ? arena_strdup(ctx->arena, key) : NULL;
}

json_t *spec_get(ApiContext *ctx, ResourceType type, const char *id)
{
    const char *key = id[0] != '\0' ? key_of(ctx, type, id, true) : NULL;
    return key != NULL ? record_get(ctx, key) : NULL;
}

json_t *status_get(ApiContext *ctx, ResourceType type, const char *id)
{
    const char *key = key_of(ctx, type, id, false);
    StoreItem item;
    Err err;
    if (key == NULL) {
        return NULL;
    }
    /* Not part of the transaction: control writes statuses all the time. */
    if (store_get(ctx->api->options.store, slice_of(key), ctx->arena, &item, &err)) {
        return parse_value(ctx, key, item.value);
    }
    if (err.code != ERR_NOT_FOUND) {
        context_break(ctx, &err);
    }
    return NULL;
}

RecordList spec_list(ApiContext *ctx, ResourceType type)
{
    return record_list(ctx, arena_printf(ctx->arena, "spec/%s/", resource_type_name(type)));
}

void spec_put(ApiContext *ctx, ResourceType type, const char *id, json_t *spec)
{
    const char *key = key_of(ctx, type, id, true);
    ASSERT(key != NULL);
    record_put(ctx, key, spec);
}

void spec_delete(ApiContext *ctx, ResourceType type, const char *id)
{
    const char *key = key_of(ctx, type, id, true);
    ASSERT(key != NULL);
    record_delete(ctx, key);
}

void spec_create(ApiContext *ctx, ResourceType type, const char *id, json_t *spec,
                 const json_t *tags)
{
    json_object_set_new(spec, "created_ms", json_integer(ctx->now_ms));
    json_object_set_new(spec, "generation", json_integer(1));
    json_object_set_new(spec, "TagList", json_array());
    tags_merge(spec, tags);
    spec_put(ctx, type, id, spec);
}

void spec_change(ApiContext *ctx, ResourceType type, const char *id, json_t *spec)
{
    json_object_set_new(spec, "generation", json_integer(member_int(spec, "generation", 1) + 1));
    spec_put(ctx, type, id, spec);
}

#define REFERENCES_KEY "api/references"

void references_hold(ApiContext *ctx)
{
    json_t *record = record_get(ctx, REFERENCES_KEY);
    int64_t count = member_int(record, "count", 0) + 1;
    record_put(ctx, REFERENCES_KEY,
               context_own(ctx, json_pack("{s:I}", "count", (json_int_t)count)));
}
