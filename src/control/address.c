/* Host parts of addresses. Endpoints live in 1.1 … 127.254, nodes in 128.1 … 254.254; records keep
 * what they were given, and a free one is the lowest that no record names. */
#include <stdio.h>
#include <stdlib.h>

#include "control/control_priv.h"

#define ADDRESS_SPACE (256 * 256)

typedef struct AddressSet {
    bool used[ADDRESS_SPACE];
} AddressSet;

static bool address_parse(const char *host, size_t *ret_index)
{
    Slice rest = slice_of(host);
    uint64_t high;
    uint64_t low;
    Slice first = slice_cut(&rest, '.');
    if (!str_to_u64(first, &high) || !str_to_u64(rest, &low) || high > 255 || low > 255) {
        return false;
    }
    *ret_index = (size_t)(high * 256 + low);
    return true;
}

static void set_add(AddressSet *set, const json_t *record, const char *member)
{
    size_t index;
    if (address_parse(member_str(record, member, ""), &index)) {
        set->used[index] = true;
    }
}

static void set_fill(World *world, AddressSet *set)
{
    static const char *const members[] = {"endpoint_host", "primary_host", "reader_host",
                                          "address"};
    static const char *const prefixes[] = {"status/", "node/"};
    for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
        WorldKeys keys = world_keys(world, prefixes[p]);
        for (size_t i = 0; i < keys.len; i++) {
            for (size_t m = 0; m < ARRAY_LEN(members); m++) {
                set_add(set, world_get(world, keys.items[i]), members[m]);
            }
        }
    }
}

const char *address_for(World *world, AddressRange range, const char *current)
{
    if (current[0] != '\0') {
        return current;
    }
    AddressSet *set = ARENA_NEW(world->arena, AddressSet);
    set_fill(world, set);
    size_t first = range == ADDRESS_ENDPOINT ? 1 : 128;
    size_t last = range == ADDRESS_ENDPOINT ? 127 : 254;
    for (size_t high = first; high <= last; high++) {
        for (size_t low = 1; low <= 254; low++) {
            if (!set->used[high * 256 + low]) {
                return arena_printf(world->arena, "%zu.%zu", high, low);
            }
        }
    }
    UNREACHABLE(); /* 16,000 endpoints on one host */
}
