/* See harness.h. */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

const uint8_t master_key[AEAD_KEY_SIZE] = {7};

bool round_of(Store *store, const ControlHost *hosts, size_t hosts_len)
{
    const ControlFacts facts = {.host = hosts[0].name,
                                .hosts = hosts,
                                .hosts_len = hosts_len,
                                .master_key = master_key,
                                .now_ms = 1700000000000};
    bool busy = false;
    Err err;
    if (!control_round(store, &facts, &busy, &err)) {
        fail_msg("%s", err.message);
    }
    return busy;
}

bool round_once(Store *store)
{
    const ControlHost host = {.name = "local", .alive = true, .memory_bytes = (int64_t)64 << 30};
    return round_of(store, &host, 1);
}

json_t *get(Store *store, const char *key)
{
    Arena *arena = arena_new();
    StoreItem item;
    json_t *record = NULL;
    if (store_get(store, slice_of(key), arena, &item, NULL)) {
        assert_true(record_parse(item.value, &record, NULL));
    }
    arena_free(arena);
    return record;
}

int64_t revision_of(Store *store, const char *key)
{
    Arena *arena = arena_new();
    StoreItem item;
    int64_t revision = 0;
    if (store_get(store, slice_of(key), arena, &item, NULL)) {
        revision = item.mod_revision;
    }
    arena_free(arena);
    return revision;
}

void put(Store *store, const char *key, const char *text)
{
    int64_t revision = revision_of(store, key);
    Err err;
    bool ok = revision == 0
                  ? store_create(store, slice_of(key), slice_of(text), NULL, &err)
                  : store_update(store, slice_of(key), revision, slice_of(text), NULL, &err);
    assert_true(ok);
}

/* Plays the agent: the node is in this state by exactly its goal. */
void see_node_in(Store *store, const char *node, const char *state, const char *more)
{
    char key[128];
    snprintf(key, sizeof(key), "node/%s/goal", node);
    Arena *arena = arena_new();
    json_t *goal = get(store, key);
    assert_non_null(goal);
    char digest[SHA256_HEX_SIZE];
    sha256_hex(record_format(arena, goal), digest);
    snprintf(key, sizeof(key), "node/%s/seen", node);
    put(store, key,
        arena_printf(arena, "{\"state\":\"%s\",\"goal\":\"%s\"%s}", state, digest, more));
    json_decref(goal);
    arena_free(arena);
}

void see_node(Store *store, const char *node, const char *incarnation, const char *more)
{
    char *all = mem_printf(",\"open\":true,\"incarnation\":\"%s\"%s", incarnation, more);
    see_node_in(store, node, "running", all);
    mem_free(all);
}

void see_plane_in(Store *store, const char *plane, const char *state)
{
    char key[128];
    char text[128];
    snprintf(key, sizeof(key), "plane/%s/goal", plane);
    snprintf(text, sizeof(text), "{\"state\":\"%s\",\"applied\":%lld}", state,
             (long long)revision_of(store, key));
    snprintf(key, sizeof(key), "plane/%s/seen/local", plane);
    put(store, key, text);
}

void see_plane(Store *store, const char *plane)
{
    see_plane_in(store, plane, "running");
}

void assert_member(Store *store, const char *key, const char *member, const char *expected)
{
    json_t *record = get(store, key);
    if (record == NULL) {
        fail_msg("no record %s", key);
    }
    assert_string_equal(member_str(record, member, "(none)"), expected);
    json_decref(record);
}

void assert_node(Store *store, const char *node, const char *host, const char *zone)
{
    char *key = mem_printf("node/%s/goal", node);
    assert_member(store, key, "host", host);
    assert_member(store, key, "zone", zone);
    mem_free(key);
}
