/* See harness.h. */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

const uint8_t master_key[AEAD_KEY_SIZE] = {7};

const char instance_spec[] =
    "{\"DBInstanceIdentifier\":\"app\",\"DbiResourceId\":\"db-app\",\"Engine\":\"postgres\","
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.r6g.large\",\"AllocatedStorage\":100,"
    "\"MasterUsername\":\"dbadmin\",\"master_password\":\"x\",\"password_epoch\":1,"
    "\"DBName\":\"app\",\"DbInstancePort\":5432,\"MultiAZ\":true,\"generation\":1,"
    "\"VpcSecurityGroupIds\":[\"sg-1\"],\"desired_state\":\"running\",\"reboot_epoch\":0}";

const char replica_spec[] =
    "{\"DBInstanceIdentifier\":\"app-r\",\"DbiResourceId\":\"db-r\",\"Engine\":\"postgres\","
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.t3.small\",\"AllocatedStorage\":100,"
    "\"MasterUsername\":\"dbadmin\",\"DbInstancePort\":5432,\"source\":\"db-app\","
    "\"generation\":1,\"desired_state\":\"running\",\"reboot_epoch\":0}";

static const char group_spec[] =
    "{\"GroupId\":\"sg-1\",\"ingress\":[{\"IpProtocol\":\"tcp\",\"FromPort\":5432,\"ToPort\":5432,"
    "\"CidrIpv4\":\"10.0.0.0/8\"},{\"IpProtocol\":\"tcp\",\"FromPort\":1,\"ToPort\":2,"
    "\"CidrIpv4\":\"11.0.0.0/8\"}]}";

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

static int64_t store_revision(Store *store)
{
    Arena *arena = arena_new();
    StoreRange range;
    assert_true(store_range(store, SLICE(""), (Slice){0}, 1000, arena, &range, NULL));
    arena_free(arena);
    return range.revision;
}

bool event_said(Store *store, const char *message)
{
    Arena *arena = arena_new();
    StoreRange range;
    bool said = false;
    assert_true(store_range(store, SLICE("event/"), (Slice){0}, 1000, arena, &range, NULL));
    for (size_t i = 0; i < range.len; i++) {
        json_t *event;
        assert_true(record_parse(range.items[i].value, &event, NULL));
        said = said || strcmp(member_str(event, "message", ""), message) == 0;
        json_decref(event);
    }
    arena_free(arena);
    return said;
}

void assert_settled(Store *store)
{
    int64_t before = store_revision(store);
    round_once(store);
    assert_int_equal(store_revision(store), before);
}

Store *store_with_instance(void)
{
    Store *store = store_open_memory(NULL);
    put(store, "spec/security-group/sg-1", group_spec);
    put(store, "spec/db-instance/app", instance_spec);
    round_once(store);
    return store;
}

void make_available(Store *store)
{
    static int started_ms;
    CLEANUP(mem_free_ptr)
    char *more = mem_printf(",\"started_ms\":%d,\"standbys\":[{\"name\":\"weir_b\","
                            "\"sync_state\":\"sync\"}]",
                            ++started_ms);
    see_node(store, "db-app-1", "a", more);
    see_node(store, "db-app-2", "b", "");
    see_plane(store, "relay-db-app");
    put(store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    round_once(store);
}
