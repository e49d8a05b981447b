/* Replication groups on hosts that drain, that have come, and that were removed: one replica at a
 * time, and then the primary hands over. Agents are played by the test. */
#include <stdlib.h>

#include "tier.h"

static void group_record(Tier *tier, const char *leader, const char *set, int handover)
{
    json_t *record = get(tier->store, "cluster/rg-c");
    json_object_set_new(record, "leader", json_string(leader));
    json_object_set_new(record, "set", json_loads(set, 0, NULL));
    json_object_set_new(record, "handover", json_integer(handover));
    char *text = json_dumps(record, 0);
    put(tier->store, "cluster/rg-c", text);
    free(text);
    json_decref(record);
}

static Tier tier_group(void)
{
    Tier tier = tier_with("spec/replication-group/c", cache);
    look(&tier);
    group_record(&tier, "c-001", "[\"a\",\"b\"]", 0);
    see_node(tier.store, "c-001", "a", ",\"ha\":\"leading\",\"term\":1");
    see_node(tier.store, "c-002", "b", ",\"ha\":\"following\",\"term\":1");
    assert_node(tier.store, "c-001", "h1", "a");
    assert_node(tier.store, "c-002", "h2", "b");
    return tier;
}

static void test_a_group_replica_moves(void **state)
{
    (void)state;
    Tier tier = tier_group();
    tier.hosts[1].draining = true;
    look(&tier);
    assert_true(is_gone(&tier, "c-002"));
    assert_peers(&tier, "c-001", 1); /* it may have what the primary has not any more */
    see_node_in(tier.store, "c-002", "gone", "");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "c-002", "h3", "c");
    assert_peers(&tier, "c-001", 1);
    store_close(tier.store);
}

/* One at a time, as long as there is a host that has none. */
static void test_a_group_spreads(void **state)
{
    (void)state;
    Tier tier = tier_crowded("spec/replication-group/c", cache);
    group_record(&tier, "c-001", "[\"a\",\"b\"]", 0);
    see_node(tier.store, "c-001", "a", ",\"ha\":\"leading\",\"term\":1");
    see_node(tier.store, "c-002", "b", ",\"ha\":\"following\",\"term\":1");
    look(&tier);
    assert_false(is_gone(&tier, "c-002"));
    tier.hosts[1].alive = tier.hosts[2].alive = true;
    look(&tier);
    assert_true(is_gone(&tier, "c-002"));
    assert_false(is_gone(&tier, "c-001"));
    see_node_in(tier.store, "c-002", "gone", "");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "c-002", "h2", "b");
    look(&tier);
    assert_false(is_gone(&tier, "c-002"));
    assert_false(is_gone(&tier, "c-001"));
    store_close(tier.store);
}

/* It would take no writes until it has another one. */
static void test_the_replica_of_a_strict_group_waits(void **state)
{
    (void)state;
    Tier tier = tier_group();
    put(tier.store, "spec/cache-parameter-group/strict",
        "{\"parameters\":{\"weir.durable\":{\"value\":\"strict\"}}}");
    json_t *spec = get(tier.store, "spec/replication-group/c");
    json_object_set_new(spec, "CacheParameterGroupName", json_string("strict"));
    char *text = json_dumps(spec, 0);
    put(tier.store, "spec/replication-group/c", text);
    free(text);
    json_decref(spec);
    tier.hosts[1].draining = true;
    look(&tier);
    assert_false(is_gone(&tier, "c-002"));
    assert_note(&tier, "h2", "c-002", "add a replica");
    put(tier.store, "spec/cache-parameter-group/strict",
        "{\"parameters\":{\"weir.durable\":{\"value\":\"available\"}}}");
    look(&tier);
    assert_true(is_gone(&tier, "c-002"));
    store_close(tier.store);
}

static void test_a_group_primary_moves(void **state)
{
    (void)state;
    Tier tier = tier_group();
    tier.hosts[0].draining = true;
    group_record(&tier, "c-001", "[\"a\"]", 3);
    look(&tier);
    assert_int_equal(handover_asked(&tier, "c-001"), 0);
    assert_note(&tier, "h1", "c-001", "waits for the replicas");
    tier.hosts[1].draining = true;
    tier.hosts[2].alive = false;
    group_record(&tier, "c-001", "[\"a\",\"b\"]", 3);
    look(&tier);
    assert_int_equal(handover_asked(&tier, "c-001"), 0); /* the replica has to move itself */
    tier.hosts[1].draining = false;
    tier.hosts[2].alive = true;
    group_record(&tier, "c-001", "[\"a\",\"b\"]", 3);
    look(&tier);
    assert_int_equal(handover_asked(&tier, "c-001"), 4);
    assert_false(is_gone(&tier, "c-001"));
    group_record(&tier, "c-002", "[\"b\"]", 4);
    see_node(tier.store, "c-002", "b", ",\"ha\":\"leading\",\"term\":1");
    look(&tier);
    assert_true(is_gone(&tier, "c-001"));
    store_close(tier.store);
}

static void test_a_group_waits_for_a_late_beat(void **state)
{
    (void)state;
    Tier tier = tier_group();
    tier.hosts[1].draining = true;
    look(&tier);
    see_node_in(tier.store, "c-002", "gone", "");
    look(&tier);
    tier.hosts[2].alive = false;
    tier.hosts[2].silent_ms = 9000;
    look(&tier);
    assert_false(exists(&tier, "node/c-002/goal"));
    tier.hosts[2].alive = true;
    look(&tier);
    assert_node(tier.store, "c-002", "h3", "c");
    store_close(tier.store);
}

/* A group of one node has nobody to hand over to, and says what is to be done. */
static void test_a_group_of_one_waits(void **state)
{
    (void)state;
    Tier tier = tier_group();
    json_t *spec = get(tier.store, "spec/replication-group/c");
    json_array_remove(member_array(spec, "members"), 1);
    char *text = json_dumps(spec, 0);
    put(tier.store, "spec/replication-group/c", text);
    free(text);
    json_decref(spec);
    tier.hosts[0].draining = true;
    look(&tier);
    assert_false(is_gone(&tier, "c-001"));
    assert_note(&tier, "h1", "c-001", "add a replica");
    store_close(tier.store);
}

static void assert_group(const Tier *tier, const char *word)
{
    assert_member(tier->store, "status/replication-group/c", "Status", word);
}

/* What was said there last counts for nothing; a replica there is not waited for. */
static void test_a_group_on_a_silent_host(void **state)
{
    (void)state;
    Tier tier = tier_group();
    see_plane_everywhere(&tier, "front-c");
    look(&tier);
    assert_group(&tier, "available");
    tier.hosts[0].alive = false;
    tier.hosts[0].silent_ms = 10000;
    see_node_in(tier.store, "c-002", "starting", ",\"ha\":\"following\",\"term\":1");
    look(&tier);
    assert_group(&tier, "modifying");
    assert_member(tier.store, "status/replication-group/c", "message",
                  "node c-001 is on host h1, which is silent: bring that back");
    group_record(&tier, "c-002", "[\"b\"]", 0);
    see_node(tier.store, "c-002", "b", ",\"ha\":\"leading\",\"term\":1");
    look(&tier);
    assert_group(&tier, "available");
    assert_member(tier.store, "status/replication-group/c", "message",
                  "node c-001 is on host h1, which is silent: bring that back");
    store_close(tier.store);
}

static void test_a_group_on_a_removed_host(void **state)
{
    (void)state;
    Tier tier = tier_group();
    put(tier.store, "removed-host/h2", "{\"removed_ms\":1}");
    look(&tier);
    assert_false(exists(&tier, "node/c-002/goal"));
    look(&tier);
    assert_node(tier.store, "c-002", "h3", "c");
    put(tier.store, "removed-host/h1", "{\"removed_ms\":1}");
    look(&tier);
    assert_node(tier.store, "c-001", "h1", "a"); /* it led */
    store_close(tier.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_group_replica_moves),
        cmocka_unit_test(test_a_group_spreads),
        cmocka_unit_test(test_the_replica_of_a_strict_group_waits),
        cmocka_unit_test(test_a_group_primary_moves),
        cmocka_unit_test(test_a_group_waits_for_a_late_beat),
        cmocka_unit_test(test_a_group_of_one_waits),
        cmocka_unit_test(test_a_group_on_a_silent_host),
        cmocka_unit_test(test_a_group_on_a_removed_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
