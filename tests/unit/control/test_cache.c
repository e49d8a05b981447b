/* Replication groups: the goals of their nodes and of their front, and a planned failover. */
#include <stdlib.h>

#include "harness.h"

static const char cache_spec[] =
    "{\"ReplicationGroupId\":\"c\",\"CacheNodeType\":\"cache.t4g.micro\",\"Engine\":\"redis\","
    "\"EngineVersion\":\"7.0.15\",\"Port\":6379,\"TransitEncryptionEnabled\":true,\"generation\":1,"
    "\"members\":[{\"CacheClusterId\":\"c-001\",\"zone\":\"a\"},"
    "{\"CacheClusterId\":\"c-002\",\"zone\":\"b\"}],\"auth_tokens\":[\"sealed\"]}";

static void test_a_replication_group(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    put(store, "spec/replication-group/c", cache_spec);
    assert_true(round_once(store));
    assert_member(store, "cluster/rg-c", "leader", "c-001");
    assert_member(store, "node/c-001/goal", "cluster", "rg-c");
    json_t *second = get(store, "node/c-002/goal");
    assert_true(member_has(second, "peers", "c-001"));
    assert_null(json_object_get(second, "role")); /* the record says it */
    json_decref(second);
    round_once(store);
    see_node(store, "c-001", "a", ",\"ha\":\"leading\",\"term\":1");
    see_node(store, "c-002", "b", ",\"ha\":\"following\",\"term\":1");
    round_once(store);
    see_plane(store, "front-c");
    round_once(store);
    assert_member(store, "status/replication-group/c", "Status", "available");
    /* the front keeps what Redis calls timeout */
    put(store, "spec/cache-parameter-group/quiet",
        "{\"parameters\":{\"timeout\":{\"value\":\"30\",\"method\":\"immediate\"}}}");
    char *spec = mem_printf("{\"CacheParameterGroupName\":\"quiet\",%s", cache_spec + 1);
    put(store, "spec/replication-group/c", spec);
    mem_free(spec);
    round_once(store);
    json_t *goal = get(store, "plane/front-c/goal");
    assert_int_equal(member_int(member_object(goal, "config"), "idle_timeout_s", 0), 30);
    json_decref(goal);
    /* no secret in the clear: passwords are sealed, and sealed for this record */
    json_t *cluster = get(store, "cluster/rg-c");
    Secret secret = {0};
    assert_true(secret_unseal(master_key, SLICE("cluster/rg-c"),
                              slice_of(member_str(cluster, "admin_password", "")), &secret, NULL));
    assert_int_equal(secret_reveal(&secret).len, 32);
    secret_done(&secret);
    json_decref(cluster);
    store_close(store);
}

/* A wish is handed on until the record says that it was carried out. */
static void test_a_planned_failover_of_a_group(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    char *spec = mem_printf("{\"failover_epoch\":1,%s", cache_spec + 1);
    put(store, "spec/replication-group/c", spec);
    round_once(store);
    round_once(store);
    see_node(store, "c-001", "a", ",\"ha\":\"leading\",\"term\":1");
    see_node(store, "c-002", "b", ",\"ha\":\"following\",\"term\":1");
    see_plane(store, "front-c");
    round_once(store);
    json_t *goal = get(store, "node/c-001/goal");
    assert_int_equal(member_int(goal, "handover", 0), 1);
    json_decref(goal);
    assert_member(store, "status/replication-group/c", "Status", "creating");
    json_t *record = get(store, "cluster/rg-c");
    json_object_set_new(record, "handover", json_integer(1));
    char *text = json_dumps(record, 0);
    put(store, "cluster/rg-c", text);
    json_decref(record);
    round_once(store);
    goal = get(store, "node/c-001/goal");
    assert_null(json_object_get(goal, "handover"));
    json_decref(goal);
    see_node(store, "c-001", "a", ",\"ha\":\"leading\",\"term\":1");
    see_node(store, "c-002", "b", ",\"ha\":\"following\",\"term\":1");
    round_once(store);
    assert_member(store, "status/replication-group/c", "Status", "available");
    free(text);
    mem_free(spec);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_replication_group),
        cmocka_unit_test(test_a_planned_failover_of_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
