/* Which host a new node goes to, what waits for one that may be back, and what becomes of the nodes
 * of a host that was removed. */
#include "tier.h"

/* ---- placing -----------------------------------------------------------------------------------
 */

/* By zone; never two of a cluster on one host while there is another; and they stay there. */
static void test_nodes_are_placed_on_hosts(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    put(store, "spec/db-instance/app", instance_spec);
    ControlHost hosts[] = {{.name = "h1", .zone = 'a', .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h2", .zone = 'a', .alive = true, .memory_bytes = 32 * GIB},
                           {.name = "h3", .zone = 'c', .alive = true},
                           {.name = "h4", .zone = 'b', .alive = false, .memory_bytes = 32 * GIB},
                           {.name = "h5", .zone = 'b', .alive = true, .draining = true}};
    round_of(store, hosts, ARRAY_LEN(hosts));
    assert_node(store, "db-app-1", "h1", "a");
    assert_node(store, "db-app-2", "h2", "a"); /* of zone b there is none */
    put(store, "spec/db-instance/app-r", replica_spec);
    round_of(store, hosts, ARRAY_LEN(hosts));
    assert_node(store, "db-r-1", "h3", "c");
    hosts[0].alive = false;
    hosts[4].draining = false;
    round_of(store, hosts, ARRAY_LEN(hosts));
    assert_node(store, "db-app-1", "h1", "a");
    assert_node(store, "db-app-2", "h2", "a");
    store_close(store);
}

/* The standby that is made anew goes to the replica's host rather than to its leader's. */
static void test_a_pair_is_apart(void **state)
{
    (void)state;
    Tier tier = tier_replica();
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2}");
    see_leader(&tier, "db-app-2", "b", "");
    tier.hosts[0].draining = true;
    tier.hosts[2].zone = 'x'; /* no zone speaks for it */
    look(&tier);
    see_node_in(tier.store, "db-app-1", "gone", "");
    look(&tier);
    look(&tier);
    json_t *goal = get(tier.store, "node/db-app-1/goal");
    assert_string_equal(member_str(goal, "host", ""), "h3");
    json_decref(goal);
    store_close(tier.store);
}

static void standby_leaves_h2(Tier *tier)
{
    tier->hosts[1].draining = true;
    look(tier);
    see_node_in(tier->store, "db-app-2", "gone", "");
    look(tier);
    assert_false(exists(tier, "node/db-app-2/goal"));
}

/* A beat that is late is no reason to have both nodes on one host for good. */
static void test_a_late_beat_is_waited_for(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    standby_leaves_h2(&tier);
    tier.hosts[2].alive = false;
    tier.hosts[2].silent_ms = 9000;
    assert_true(round_of(tier.store, tier.hosts, 3));
    assert_false(exists(&tier, "node/db-app-2/goal"));
    json_t *status = get(tier.store, "status/db-instance/app");
    assert_non_null(strstr(member_str(status, "message", ""), "waits for host h3"));
    json_decref(status);
    tier.hosts[2].alive = true;
    look(&tier);
    assert_node(tier.store, "db-app-2", "h3", "c");
    store_close(tier.store);
    tier = tier_multi_az();
    standby_leaves_h2(&tier);
    tier.hosts[2].alive = false;
    tier.hosts[2].silent_ms = 11000; /* it may never be back */
    look(&tier);
    assert_node(tier.store, "db-app-2", "h1", "a");
    store_close(tier.store);
}

/* Nor is one that nobody else is on worth it where another one is as good. */
static void test_a_late_beat_is_not_waited_for(void **state)
{
    (void)state;
    Tier tier = tier_with("spec/db-instance/other", "{}");
    tier.hosts[0].alive = false;
    put(tier.store, "spec/db-instance/app", single);
    look(&tier);
    assert_node(tier.store, "db-app-1", "h2", "b");
    store_close(tier.store);
}

/* Not even the host where control runs gets what it shall not have. */
static void test_no_host_takes_nodes(void **state)
{
    (void)state;
    Tier tier = {.store = store_open_memory(NULL),
                 .hosts = {{.name = "h1", .zone = 'a', .alive = true, .draining = true},
                           {.name = "h2", .zone = 'b', .draining = true},
                           {.name = "h3", .zone = 'c', .silent_ms = 60000}}};
    tier.hosts[0].memory_bytes = 64 * GIB;
    put(tier.store, "spec/db-instance/app", multi_az);
    put(tier.store, "spec/replication-group/c", cache);
    assert_true(round_of(tier.store, tier.hosts, 3));
    assert_true(round_of(tier.store, tier.hosts, 3));
    assert_false(exists(&tier, "node/db-app-1/goal"));
    assert_false(exists(&tier, "node/db-app-2/goal"));
    assert_false(exists(&tier, "node/c-001/goal"));
    static const char *const statuses[] = {"status/db-instance/app", "status/replication-group/c"};
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        json_t *status = get(tier.store, statuses[i]);
        assert_non_null(strstr(member_str(status, "message", ""), "waits for a host"));
        json_decref(status);
    }
    tier.hosts[1].alive = true;
    tier.hosts[1].draining = false;
    look(&tier);
    assert_node(tier.store, "db-app-1", "h2", "b");
    assert_node(tier.store, "c-001", "h2", "b");
    store_close(tier.store);
}

/* ---- silent hosts ------------------------------------------------------------------------------
 */

static void assert_message_has(const Tier *tier, const char *words)
{
    json_t *status = get(tier->store, "status/db-instance/app");
    assert_non_null(strstr(member_str(status, "message", ""), words));
    json_decref(status);
}

static void assert_no_message(const Tier *tier)
{
    json_t *status = get(tier->store, "status/db-instance/app");
    assert_null(json_object_get(status, "message"));
    json_decref(status);
}

static void assert_status(const Tier *tier, const char *word)
{
    assert_member(tier->store, "status/db-instance/app", "DBInstanceStatus", word);
}

/* What its nodes said last counts for a while, and then for nothing, until it is heard. */
static void test_a_leader_on_a_silent_host(void **state)
{
    (void)state;
    Tier tier = tier_single();
    look(&tier);
    see_leader(&tier, "db-app-1", "a", "");
    see_plane_everywhere(&tier, "relay-db-app");
    look(&tier);
    assert_status(&tier, "available");
    tier.hosts[0].alive = false;
    tier.hosts[0].silent_ms = 9000;
    look(&tier);
    assert_status(&tier, "available");
    tier.hosts[0].silent_ms = 10000;
    look(&tier);
    assert_status(&tier, "starting");
    assert_message_has(&tier, "db-app-1 is on host h1, which is silent");
    look(&tier);
    assert_false(round_of(tier.store, tier.hosts, 3)); /* there is nothing to hurry for */
    tier.hosts[0] = (ControlHost){.name = "h1", .zone = 'a', .alive = true, .agent = ""};
    look(&tier); /* control has begun on another host, and has not heard it yet */
    assert_status(&tier, "starting");
    assert_no_message(&tier);
    tier.hosts[0].agent = "y"; /* it beats, and has said nothing of its nodes yet */
    see_leader(&tier, "db-app-1", "a", "");
    look(&tier);
    assert_status(&tier, "starting");
    see_node(tier.store, "db-app-1", "a", ",\"agent\":\"y\"");
    look(&tier);
    assert_status(&tier, "available");
    store_close(tier.store);
}

/* Somebody has let another node lead, or it took over late: a standby that may never be back is
 * not waited for. */
static void test_another_leads_in_its_place(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    look(&tier);
    see_leader(&tier, "db-app-1", "a", "b");
    see_node(tier.store, "db-app-2", "b", "");
    see_plane_everywhere(&tier, "relay-db-app");
    look(&tier);
    assert_status(&tier, "available");
    tier.hosts[0].alive = false;
    tier.hosts[0].silent_ms = 20000;
    look(&tier);
    assert_status(&tier, "starting");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2}");
    look(&tier);
    see_leader(&tier, "db-app-2", "b", "");
    see_plane_everywhere(&tier, "relay-db-app");
    look(&tier);
    assert_status(&tier, "available");
    assert_message_has(&tier, "the standby is away");
    store_close(tier.store);
}

static void test_a_pair_on_silent_hosts(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    for (int i = 0; i < 2; i++) {
        tier.hosts[i].alive = false;
        tier.hosts[i].silent_ms = 10000;
    }
    look(&tier);
    assert_message_has(&tier, "db-app-1 is on host h1, which is silent");
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[\"a\"],\"admitted\":\"b\",\"term\":1}");
    look(&tier);
    assert_message_has(&tier, "another node may lead by somebody's word");
    store_close(tier.store);
}

/* It does not wait for a standby of which nobody knows when it will be back. */
static void test_a_stop_without_the_standby_s_host(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    look(&tier);
    json_t *spec = get(tier.store, "spec/db-instance/app");
    json_object_set_new(spec, "desired_state", json_string("stopped"));
    char *text = json_dumps(spec, 0);
    put(tier.store, "spec/db-instance/app", text);
    look(&tier);
    see_node_in(tier.store, "db-app-1", "stopped", "");
    look(&tier);
    assert_status(&tier, "stopping");
    tier.hosts[1].alive = false;
    tier.hosts[1].silent_ms = 10000;
    look(&tier);
    assert_status(&tier, "stopped");
    free(text);
    json_decref(spec);
    store_close(tier.store);
}

/* By a copy of the store from before anybody led it is not known that nobody did. */
static void test_nobody_may_lead(void **state)
{
    (void)state;
    static const char *const records[] = {
        "{\"leader\":\"db-app-1\",\"set\":[\"a\"],\"term\":1}",
        "{\"leader\":\"db-app-1\",\"set\":[],\"unsure\":true,\"term\":101}"};
    for (size_t i = 0; i < ARRAY_LEN(records); i++) {
        Tier tier = tier_multi_az();
        tier.hosts[0].alive = false;
        tier.hosts[0].silent_ms = 10000;
        put(tier.store, "cluster/db-app", records[i]);
        look(&tier);
        assert_message_has(&tier, "`weir failover app --allow-data-loss`");
        put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[],\"term\":1}");
        look(&tier);
        json_t *status = get(tier.store, "status/db-instance/app");
        assert_null(strstr(member_str(status, "message", ""), "allow-data-loss"));
        json_decref(status);
        store_close(tier.store);
    }
}

/* ---- removed hosts -----------------------------------------------------------------------------
 */

/* Nobody there can say that a node is gone: it is made anew without that word. */
static void test_nodes_of_a_removed_host(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    put(tier.store, "plane/relay-db-app/seen/h2", "{\"state\":\"running\"}");
    put(tier.store, "host/h2/beat", "{\"count\":7}");
    put(tier.store, "removed-host/h2", "{\"removed_ms\":1}");
    tier.hosts[1].alive = false;
    look(&tier);
    assert_false(exists(&tier, "node/db-app-2/goal"));
    assert_false(exists(&tier, "node/db-app-2/seen"));
    assert_false(exists(&tier, "plane/relay-db-app/seen/h2"));
    assert_false(exists(&tier, "host/h2/beat"));
    tier.hosts[1].alive = true; /* its beats count for nothing */
    look(&tier);
    assert_node(tier.store, "db-app-2", "h3", "c");
    store_close(tier.store);
}

/* What only a leader has is not begun anew elsewhere, with nothing. */
static void test_a_leader_of_a_removed_host(void **state)
{
    (void)state;
    Tier tier = tier_single();
    put(tier.store, "removed-host/h1", "{\"removed_ms\":1}");
    look(&tier);
    assert_node(tier.store, "db-app-1", "h1", "a");
    /* Nor where the store is a copy of when it had nothing; one that never had anything is. */
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[],\"term\":1,\"unsure\":true}");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "db-app-1", "h1", "a");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[],\"term\":1}");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "db-app-1", "h2", "b");
    store_close(tier.store);
}

static void test_a_node_stays_on_an_unknown_host(void **state)
{
    (void)state;
    Tier tier = tier_single();
    round_of(tier.store, tier.hosts + 1, 2);
    assert_node(tier.store, "db-app-1", "h1", "a");
    store_close(tier.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nodes_are_placed_on_hosts),
        cmocka_unit_test(test_a_pair_is_apart),
        cmocka_unit_test(test_a_late_beat_is_waited_for),
        cmocka_unit_test(test_a_late_beat_is_not_waited_for),
        cmocka_unit_test(test_no_host_takes_nodes),
        cmocka_unit_test(test_a_leader_on_a_silent_host),
        cmocka_unit_test(test_another_leads_in_its_place),
        cmocka_unit_test(test_a_pair_on_silent_hosts),
        cmocka_unit_test(test_a_stop_without_the_standby_s_host),
        cmocka_unit_test(test_nobody_may_lead),
        cmocka_unit_test(test_nodes_of_a_removed_host),
        cmocka_unit_test(test_a_leader_of_a_removed_host),
        cmocka_unit_test(test_a_node_stays_on_an_unknown_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
