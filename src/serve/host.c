/*
 * This host among those of its tier (docs/hosts.md): what DATA/host.json says of it, and the record
 * by which the others know it. Without the file it is the only one.
 */
#include <stdio.h>

#include "client/client.h"
#include "engine/engine.h"
#include "serve/etcd_own_priv.h"

#define RECORDS_MAX 1000

bool tier_host_open(Tier *tier, Err *err)
{
    HostFile file;
    Err failed;
    snprintf(tier->host, sizeof(tier->host), "%s", HOST_NAME_ALONE);
    if (!host_file_load(tier->data_dir, &file, &failed)) {
        return failed.code == ERR_NOT_FOUND || err_set(err, failed.code, "%s", failed.message);
    }
    snprintf(tier->host, sizeof(tier->host), "%s", file.name);
    snprintf(tier->zone, sizeof(tier->zone), "%s", file.zone);
    snprintf(tier->net, sizeof(tier->net), "%s", file.net);
    snprintf(tier->net_given, sizeof(tier->net_given), "%s", file.net);
    tier->id = mem_strdup(file.tier);
    tier->etcd = json_incref(file.etcd);
    tier->join = mem_strdup(file.join);
    host_file_done(&file);
    return true;
}

/* A name that is used up has this record for good. */
static const char *removed_key(Arena *arena, const Tier *tier)
{
    return arena_printf(arena, "removed-host/%s", tier->host);
}

static bool refuse_removed(Tier *tier, Arena *arena, Err *err)
{
    CLEANUP(record_free_ptr) json_t *record = NULL;
    StoreItem item;
    if (!store_get(tier->store, slice_of(removed_key(arena, tier)), arena, &item, err)) {
        return err->code == ERR_NOT_FOUND;
    }
    TRY(record_parse(item.value, &record, err));
    char when[TIME_ISO_SIZE];
    time_format_iso(member_int(record, "removed_ms", 0), when);
    tier->removed = true;
    return err_set(err, ERR_DENIED,
                   "the host %s was removed from its tier at %.19sZ, and a name is not used again: "
                   "to join anew, wipe this data folder, and join under another name, with a new "
                   "token",
                   tier->host, when);
}

/* Agents know so many hosts. */
static bool check_room(Tier *tier, Arena *arena, Err *err)
{
    StoreRange range;
    size_t hosts = 0;
    TRY(store_range(tier->store, SLICE("host/"), (Slice){0}, RECORDS_MAX, arena, &range, err));
    for (size_t i = 0; i < range.len; i++) {
        hosts += slice_ends(range.items[i].key, "/spec");
    }
    return hosts < HOSTS_MAX
               ? true
               : err_set(err, ERR_LIMIT,
                         "the tier has %d hosts, and takes no more: remove one (weir host remove) "
                         "before %s joins",
                         HOSTS_MAX, tier->host);
}

/* "postgres 15, redis 7" */
static const char *engines_text(Arena *arena)
{
    EngineVersions versions = engine_versions_find(arena, NULL);
    const char *text = "";
    for (size_t i = 0; i < versions.len; i++) {
        char major[MODEL_VERSION_SIZE];
        engine_major(versions.items[i].version, major);
        text = arena_printf(arena, "%s%s%s %s", text, i > 0 ? ", " : "", versions.items[i].engine,
                            major);
    }
    return text;
}

/* What others go by, as it is now. */
static void record_fill(const Tier *tier, Arena *arena, json_t *record)
{
    json_object_set_new(record, "net", json_string(tier->net));
    json_object_set_new(record, "zone", json_string(tier->zone));
    json_object_set_new(record, "engines", json_string(engines_text(arena)));
    if (tier->join != NULL) {
        json_object_set_new(record, "join", json_string(tier->join));
    }
    if (tier_etcd_is_own(tier)) {
        json_object_set_new(record, "seat", json_boolean(etcd_own_installed(tier, NULL)));
    }
}

/* Unless it was removed meanwhile. */
static bool host_join(Tier *tier, Arena *arena, const char *key, Err *err)
{
    TRY(check_room(tier, arena, err));
    CLEANUP(record_free_ptr)
    json_t *record = json_pack("{s:I}", "joined_ms", (json_int_t)time_wall_ms());
    record_fill(tier, arena, record);
    const StoreCompare absent[] = {{.key = slice_of(key)},
                                   {.key = slice_of(removed_key(arena, tier))}};
    const StoreWrite write = {
        .kind = STORE_PUT, .key = slice_of(key), .value = record_format(arena, record)};
    const StoreTxn txn = {
        .compares = absent, .compares_len = ARRAY_LEN(absent), .writes = &write, .writes_len = 1};
    bool done;
    int64_t revision;
    TRY(store_txn(tier->store, &txn, &done, &revision, err));
    return done ||
           err_set(err, ERR_UNAVAILABLE, "another one writes the record of host %s", tier->host);
}

/* A host that was let in is known by what let it in: another machine of its name is none. */
static bool check_same(const Tier *tier, const json_t *record, Err *err)
{
    const char *join = member_str(record, "join", NULL);
    return join == NULL || (tier->join != NULL && strcmp(join, tier->join) == 0) ||
           err_set(err, ERR_CONFLICT,
                   "the tier has another host %s, which joined it after this one, or in its place: "
                   "remove this data folder, and join under another name",
                   tier->host);
}

/* Others of the tier reach it by its net, which may be another one than last time. */
bool tier_host_record(Tier *tier, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *record = NULL;
    const char *key = arena_printf(arena, "host/%s/spec", tier->host);
    StoreItem item;
    TRY(refuse_removed(tier, arena, err));
    if (!store_get(tier->store, slice_of(key), arena, &item, err)) {
        return err->code == ERR_NOT_FOUND && host_join(tier, arena, key, err);
    }
    TRY(record_parse(item.value, &record, err) && check_same(tier, record, err));
    CLEANUP(record_free_ptr) json_t *before = json_deep_copy(record);
    record_fill(tier, arena, record);
    return json_equal(before, record) || store_update(tier->store, slice_of(key), item.mod_revision,
                                                      record_format(arena, record), NULL, err);
}
