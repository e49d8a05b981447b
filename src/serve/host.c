/*
 * This host among those of its tier (docs/hosts.md): DATA/host.json, which a join writes, and the
 * record by which the others know it. Without the file it is the only one.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "serve/tier_priv.h"

#define FILE_MAX_BYTES ((size_t)64 << 10)
#define NAME_MAX_BYTES (sizeof((Tier){0}.host) - 1)
#define RECORDS_MAX    1000

static char *file_path(const Tier *tier)
{
    return mem_printf("%s/host.json", tier->data_dir);
}

static bool name_is_good(const char *name)
{
    size_t len = strlen(name);
    bool good = len > 0 && len <= NAME_MAX_BYTES && name[0] != '-';
    for (size_t i = 0; i < len && good; i++) {
        good = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= '0' && name[i] <= '9') ||
               name[i] == '-';
    }
    return good;
}

static bool zone_is_good(const char *zone)
{
    return strlen(zone) == 1 && strchr(MODEL_ZONES, zone[0]) != NULL;
}

/* "10.77": what stands in front of the host parts of addresses. */
static bool net_is_good(const char *net)
{
    char address[MODEL_ADDRESS_SIZE];
    NetAddr parsed;
    return strlen(net) < HOST_NET_SIZE && endpoint_address(net, "0.1", address) &&
           net_addr_parse(address, 0, &parsed, NULL);
}

static bool host_take(Tier *tier, const char *path, const json_t *file, Err *err)
{
    const char *name = member_str(file, "name", "");
    const char *zone = member_str(file, "zone", "");
    const json_t *etcd = member_object(file, "etcd");
    if (!name_is_good(name)) {
        return err_set(err, ERR_INVALID,
                       "%s: name must be 1 to %zu small letters, digits and hyphens", path,
                       NAME_MAX_BYTES);
    }
    if (!zone_is_good(zone)) {
        return err_set(err, ERR_INVALID, "%s: zone must be one of the letters %s", path,
                       MODEL_ZONES);
    }
    const char *net = member_str(file, "net", "");
    if (net[0] != '\0' && !net_is_good(net)) {
        return err_set(err, ERR_INVALID,
                       "%s: net must be the first two numbers of a /16 that leads here, \"10.77\"",
                       path);
    }
    size_t count = json_array_size(member_array(etcd, "endpoints"));
    if (count < 1 || count > TIER_ETCD_MAX) {
        return err_set(err, ERR_INVALID, "%s: etcd.endpoints must be 1 to %d addresses", path,
                       TIER_ETCD_MAX);
    }
    snprintf(tier->host, sizeof(tier->host), "%s", name);
    tier->zone[0] = zone[0];
    snprintf(tier->net, sizeof(tier->net), "%s", net);
    tier->etcd = json_deep_copy(etcd);
    return true;
}

bool tier_host_open(Tier *tier, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = file_path(tier);
    snprintf(tier->host, sizeof(tier->host), "%s", TIER_HOST);
    if (!file_exists(path)) {
        return true;
    }
    CLEANUP(record_free_ptr) json_t *file = NULL;
    Buf text;
    buf_init(&text, FILE_MAX_BYTES);
    bool ok = file_read(path, &text, err) &&
              (record_parse(buf_slice(&text), &file, err) || err_wrap(err, "%s", path)) &&
              host_take(tier, path, file, err);
    buf_done(&text);
    return ok;
}

bool tier_store_open(Tier *tier, Err *err)
{
    if (tier->etcd == NULL) {
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.sqlite", tier->data_dir);
        return store_open_sqlite(path, NULL, &tier->store, err);
    }
    const char *endpoints[TIER_ETCD_MAX + 1] = {NULL};
    size_t i;
    json_t *endpoint;
    json_array_foreach (member_array(tier->etcd, "endpoints"), i, endpoint) {
        endpoints[i] = json_string_value(endpoint);
    }
    const StoreEtcdOptions options = {.endpoints = endpoints,
                                      .root = member_str(tier->etcd, "root", "/weir/"),
                                      .ca = member_str(tier->etcd, "ca", NULL),
                                      .cert = member_str(tier->etcd, "cert", NULL),
                                      .key = member_str(tier->etcd, "key", NULL),
                                      .keep_history =
                                          member_bool(tier->etcd, "keep_history", false)};
    return store_open_etcd(&options, NULL, &tier->store, err);
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
                   "to join anew, give the host another name in host.json, in a data folder that "
                   "has nothing else but master.key",
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

/* Unless it was removed meanwhile. */
static bool host_join(Tier *tier, Arena *arena, const char *key, Err *err)
{
    TRY(check_room(tier, arena, err));
    CLEANUP(record_free_ptr)
    json_t *record = json_pack("{s:s, s:s, s:I}", "zone", tier->zone, "net", tier->net, "joined_ms",
                               (json_int_t)time_wall_ms());
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
    TRY(record_parse(item.value, &record, err));
    if (strcmp(member_str(record, "net", ""), tier->net) == 0 &&
        strcmp(member_str(record, "zone", ""), tier->zone) == 0) {
        return true;
    }
    json_object_set_new(record, "net", json_string(tier->net));
    json_object_set_new(record, "zone", json_string(tier->zone));
    return store_update(tier->store, slice_of(key), item.mod_revision, record_format(arena, record),
                        NULL, err);
}
