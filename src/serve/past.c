/*
 * Whether what this host has is the past: the tier has gone on elsewhere from a copy of its store
 * (recover.c), because this host seemed to be lost, and it is back with what it had. Then nothing
 * of it may serve. Asked of the other hosts' APIs: of all of them when a tier comes up here, and of
 * those that are silent in this store while it is.
 */
#include "client/client.h"
#include "serve/serve_priv.h"

#define ASK_MS    1000
#define HOSTS_ALL 1000

static bool own_count(const Tier *tier, Arena *arena, int64_t *ret_count, Err *err)
{
    StoreItem item;
    CLEANUP(record_free_ptr) json_t *record = NULL;
    *ret_count = 0;
    if (!store_get(tier->store, SLICE(TIER_RECOVERED_KEY), arena, &item, err)) {
        return err->code == ERR_NOT_FOUND;
    }
    TRY(record_parse(item.value, &record, err));
    *ret_count = member_int(record, "count", 0);
    return true;
}

/* How often the store of the host with this net was a copy; 0: it does not say. */
static int64_t count_of(const Tier *tier, const char *net)
{
    Client *client;
    ClientSettings settings = {.endpoint = mem_printf("https://%s.0.1:%d", net, TIER_API_PORT),
                               .region = mem_strdup(tier->region),
                               .access_key = mem_strdup(tier->access_key),
                               .ca = mem_printf("%s/ca.pem", tier->data_dir),
                               .timeout_ms = ASK_MS,
                               .once = true};
    int64_t count = 0;
    secret_set(&settings.secret_key, secret_reveal(&tier->secret_key));
    if (client_open(&settings, &client, NULL)) {
        json_t *output = NULL;
        if (client_call(client, "weir", "DescribeTier", NULL, &output, NULL, NULL)) {
            count = member_int(member_object(output, "Tier"), "Recovered", 0);
        }
        json_decref(output);
        client_close(client);
    }
    client_settings_done(&settings);
    return count;
}

/* The other one first: a recovery that comes in between must not show this one too small. */
bool past_look(const Tier *tier, const char *host, const char *net, bool *ret_past, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    int64_t other = count_of(tier, net);
    int64_t own = 0;
    *ret_past = false;
    TRY(other == 0 || own_count(tier, arena, &own, err));
    if (other > own) {
        *ret_past = true;
        err_set(err, ERR_DENIED,
                "the tier has gone on without this host, from what host %s had of its store: what "
                "is here is the past. To join anew, wipe this data folder, and join under another "
                "name, with a new token",
                host);
    }
    return true;
}

/* Those of "host/NAME/spec" in this store. */
bool tier_past_open(Tier *tier, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange range;
    if (!tier_etcd_is_own(tier) || tier_runs(tier->run_dir)) {
        return true; /* what runs needs serve soon; etcd_keeper.c looks, too */
    }
    TRY(store_range(tier->store, SLICE("host/"), (Slice){0}, HOSTS_ALL, arena, &range, err));
    for (size_t i = 0; i < range.len; i++) {
        CLEANUP(record_free_ptr) json_t *record = NULL;
        Slice rest = slice_skip(range.items[i].key, strlen("host/"));
        Slice name = slice_cut(&rest, '/');
        if (!slice_is(rest, "spec") || slice_is(name, tier->host) ||
            !record_parse(range.items[i].value, &record, NULL)) {
            continue;
        }
        TRY(past_look(tier, arena_slice_str(arena, name), member_str(record, "net", ""),
                      &tier->removed, err));
        if (tier->removed) {
            return false;
        }
    }
    return true;
}
