/*
 * Instances on hosts that drain, and beside a host that has come: which node leaves when, what
 * waits for what, and that nothing is taken away too early. Agents are played by the test.
 */
#include <stdlib.h>

#include "tier.h"

/* ---- standbys ----------------------------------------------------------------------------------
 */

/* It leaves the set first, and is made anew only when nothing of it is left. */
static void test_a_standby_moves(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    assert_node(tier.store, "db-app-2", "h2", "b");
    tier.hosts[1].draining = true;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    assert_peers(&tier, "db-app-1", 0); /* so that the leader drops it from the set (F4) */
    assert_note(&tier, "h2", "db-app-2", "it leaves");
    look(&tier);
    assert_node(tier.store, "db-app-2", "h2", "b"); /* its agent has not said that it is gone */
    see_node_in(tier.store, "db-app-2", "gone", "");
    look(&tier);
    assert_false(exists(&tier, "node/db-app-2/goal"));
    look(&tier);
    assert_node(tier.store, "db-app-2", "h3", "c");
    assert_false(is_gone(&tier, "db-app-2"));
    assert_peers(&tier, "db-app-1", 1);
    assert_false(exists(&tier, "status/host/h2"));
    tier.hosts[1].draining = false; /* nothing moves back */
    look(&tier);
    assert_node(tier.store, "db-app-2", "h3", "c");
    store_close(tier.store);
}

/* Its host's agent must say that nothing of it is left; that may take until the host is back. */
static void test_a_host_falls_silent_half_way(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    tier.hosts[1].draining = true;
    look(&tier);
    tier.hosts[1].alive = false;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    assert_note(&tier, "h2", "db-app-2", "the host is silent");
    put(tier.store, "removed-host/h2", "{\"removed_ms\":1}"); /* or until nobody will */
    look(&tier);
    look(&tier);
    assert_node(tier.store, "db-app-2", "h3", "c");
    store_close(tier.store);
}

static void assert_standby_stays(Tier *tier, const char *why)
{
    look(tier);
    assert_false(is_gone(tier, "db-app-2"));
    assert_peers(tier, "db-app-1", 1);
    assert_note(tier, "h2", "db-app-2", why);
}

/* Redundancy is kept while no other host could take it, and while its leader does not serve. */
static void test_a_standby_waits(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    tier.hosts[1].draining = true;
    tier.hosts[2].alive = false;
    assert_standby_stays(&tier, "no other host could take the standby");
    tier.hosts[2].alive = true;
    tier.hosts[0].alive = false;
    assert_standby_stays(&tier, "the instance does not serve");
    tier.hosts[0].alive = true;
    tier.hosts[1].alive = false;
    assert_standby_stays(&tier, "the host is silent");
    tier.hosts[1].alive = true;
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1,\"phase\":\"yielding\"}");
    assert_standby_stays(&tier, "the instance does not serve");
    store_close(tier.store);
}

/* One that leaves and is needed is kept: it leads now, and hands over before it goes. */
static void test_a_leaving_standby_takes_over(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    tier.hosts[1].draining = true;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2}");
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    assert_false(is_gone(&tier, "db-app-1"));
    assert_peers(&tier, "db-app-2", 1);
    store_close(tier.store);
}

/* Undrained half-way it stays where it is. */
static void test_undrained_half_way(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    tier.hosts[1].draining = true;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    tier.hosts[1].draining = false;
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    assert_node(tier.store, "db-app-2", "h2", "b");
    assert_peers(&tier, "db-app-1", 1);
    assert_false(exists(&tier, "status/host/h2"));
    store_close(tier.store);
}

/* ---- a host that has come ----------------------------------------------------------------------
 */

static Tier tier_crowded_pair(void)
{
    Tier tier = tier_crowded("spec/db-instance/app", multi_az);
    see_leader(&tier, "db-app-1", "a", "b");
    see_node(tier.store, "db-app-2", "b", "");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    return tier;
}

/* A standby does not stay beside its leader; who leads does not move. */
static void test_a_standby_goes_to_a_new_host(void **state)
{
    (void)state;
    Tier tier = tier_crowded_pair();
    look(&tier);
    assert_node(tier.store, "db-app-2", "h1", "a");
    assert_false(is_gone(&tier, "db-app-2"));
    tier.hosts[1].alive = tier.hosts[1].draining = true; /* it takes none */
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    tier.hosts[1].draining = false;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    assert_false(is_gone(&tier, "db-app-1"));
    assert_note(&tier, "h1", "db-app-2", "it leaves");
    see_node_in(tier.store, "db-app-2", "gone", "");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "db-app-2", "h2", "b");
    tier.hosts[2].alive = true; /* a third one changes nothing for a pair that is apart */
    look(&tier);
    assert_node(tier.store, "db-app-2", "h2", "b");
    assert_false(is_gone(&tier, "db-app-2"));
    assert_false(exists(&tier, "status/host/h1"));
    store_close(tier.store);
}

/* One at a time: while another instance's is being made nobody could take over there. */
static void test_standbys_go_one_at_a_time(void **state)
{
    (void)state;
    Tier tier = tier_crowded_pair();
    put(tier.store, "node/db-other-2/goal",
        "{\"kind\":\"postgres\",\"role\":\"standby\",\"host\":\"h1\",\"run\":true}");
    put(tier.store, "node/db-other-2/seen", "{\"state\":\"starting\"}");
    tier.hosts[1].alive = true;
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    put(tier.store, "node/db-other-2/seen", "{\"state\":\"running\"}");
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    store_close(tier.store);
}

/* One that leaves where nobody serves stays, and holds up no other. */
static void test_a_standby_that_may_be_needed_holds_up_no_other(void **state)
{
    (void)state;
    Tier tier = tier_crowded_pair();
    put(tier.store, "node/db-other-2/goal",
        "{\"kind\":\"postgres\",\"role\":\"standby\",\"host\":\"h1\",\"run\":true,"
        "\"cluster\":\"db-other\",\"gone\":true}");
    put(tier.store, "node/db-other-2/seen", "{\"state\":\"waiting\"}");
    tier.hosts[1].alive = true;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    store_close(tier.store);
}

/* Nor to a host that has other engines than where it is. */
static void test_a_standby_stays_where_its_engine_is(void **state)
{
    (void)state;
    Tier tier = tier_crowded_pair();
    tier.hosts[0].engines = "postgres 15, redis 7";
    tier.hosts[1].engines = "redis 7";
    tier.hosts[1].alive = true;
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    tier.hosts[1].engines = tier.hosts[0].engines;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    store_close(tier.store);
}

/* It is not taken away where its leader does not serve, or that is all there is. */
static void test_a_standby_stays_beside_its_leader(void **state)
{
    (void)state;
    Tier tier = tier_crowded_pair();
    tier.hosts[1].alive = true;
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1,\"phase\":\"yielding\"}");
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    tier.hosts[1].alive = false;
    look(&tier);
    assert_false(is_gone(&tier, "db-app-2"));
    tier.hosts[1].alive = true;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    store_close(tier.store);
}

/* ---- leaders -----------------------------------------------------------------------------------
 */

/* It hands over, and only then is taken away. The wish has a number that nobody has used. */
static void test_a_leader_hands_over(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1,\"handover\":4}");
    tier.hosts[0].draining = true;
    look(&tier);
    assert_false(is_gone(&tier, "db-app-1"));
    assert_member(tier.store, "node/db-app-1/goal", "heir", "db-app-2");
    assert_int_equal(handover_asked(&tier, "db-app-1"), 5);
    assert_int_equal(handover_asked(&tier, "db-app-2"), 0); /* it stays settled */
    assert_note(&tier, "h1", "db-app-1", "hands over");
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2,\"handover\":5}");
    see_node(tier.store, "db-app-2", "b", ",\"ha\":\"promoting\"");
    put(tier.store, "node/db-app-2/seen", "{\"state\":\"running\",\"open\":false}");
    look(&tier);
    assert_false(is_gone(&tier, "db-app-1")); /* the new leader does not serve yet */
    see_leader(&tier, "db-app-2", "b", "");
    look(&tier);
    assert_true(is_gone(&tier, "db-app-1"));
    assert_int_equal(handover_asked(&tier, "db-app-2"), 0);
    see_node_in(tier.store, "db-app-1", "gone", "");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "db-app-1", "h3", "c");
    store_close(tier.store);
}

/* To a standby that is not in the set it does not. */
static void test_a_leader_waits_for_its_standby(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\"],\"term\":1}");
    tier.hosts[0].draining = true;
    look(&tier);
    assert_int_equal(handover_asked(&tier, "db-app-1"), 0);
    assert_note(&tier, "h1", "db-app-1", "waits for the standby to join");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    tier.hosts[1].draining = true; /* nor to one that has to move itself */
    look(&tier);
    assert_int_equal(handover_asked(&tier, "db-app-1"), 0);
    assert_note(&tier, "h1", "db-app-1", "waits for the standby to move");
    store_close(tier.store);
    tier = tier_multi_az();
    tier.hosts[0].draining = tier.hosts[1].draining = true;
    tier.hosts[2].alive = false; /* also where that cannot */
    look(&tier);
    assert_int_equal(handover_asked(&tier, "db-app-1"), 0);
    assert_note(&tier, "h1", "db-app-1", "waits for the standby to move");
    store_close(tier.store);
}

/* ---- instances of one node ---------------------------------------------------------------------
 */

static void test_a_single_node_moves(void **state)
{
    (void)state;
    Tier tier = tier_single();
    tier.hosts[0].draining = true;
    look(&tier);
    assert_node(tier.store, "db-app-2", "h2", "b");
    assert_peers(&tier, "db-app-1", 1);
    assert_int_equal(handover_asked(&tier, "db-app-1"), 0);
    look(&tier);
    see_node(tier.store, "db-app-2", "b", "");
    see_leader(&tier, "db-app-1", "a", "b");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    look(&tier);
    assert_int_equal(handover_asked(&tier, "db-app-1"), 1);
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2,\"handover\":1}");
    see_leader(&tier, "db-app-2", "b", "");
    look(&tier);
    assert_true(is_gone(&tier, "db-app-1"));
    assert_peers(&tier, "db-app-2", 0);
    see_node_in(tier.store, "db-app-1", "gone", "");
    look(&tier);
    look(&tier);
    assert_false(exists(&tier, "node/db-app-1/goal"));
    assert_node(tier.store, "db-app-2", "h2", "b");
    assert_false(exists(&tier, "status/host/h1"));
    put(tier.store, "spec/db-instance/app", stopped); /* the node that is left is what counts */
    look(&tier);
    see_node_in(tier.store, "db-app-2", "stopped", "");
    look(&tier);
    assert_member(tier.store, "status/db-instance/app", "DBInstanceStatus", "stopped");
    store_close(tier.store);
}

/* The former node is not taken away before the new leader serves. */
static void test_a_single_node_keeps_its_former_one(void **state)
{
    (void)state;
    Tier tier = tier_single();
    tier.hosts[0].draining = true;
    look(&tier);
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2,\"handover\":1}");
    put(tier.store, "node/db-app-2/seen",
        "{\"state\":\"running\",\"open\":false,\"incarnation\":\"b\"}");
    look(&tier);
    assert_false(is_gone(&tier, "db-app-1"));
    see_leader(&tier, "db-app-2", "b", "");
    look(&tier);
    assert_true(is_gone(&tier, "db-app-1"));
    store_close(tier.store);
}

/* Nor where its host was undrained while the new one is promoted. */
static void test_undrained_while_it_is_promoted(void **state)
{
    (void)state;
    Tier tier = tier_single();
    tier.hosts[0].draining = true;
    look(&tier);
    put(tier.store, "cluster/db-app",
        "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2,\"handover\":1}");
    put(tier.store, "node/db-app-2/seen",
        "{\"state\":\"running\",\"open\":false,\"incarnation\":\"b\"}");
    tier.hosts[0].draining = false;
    look(&tier);
    assert_false(is_gone(&tier, "db-app-1"));
    see_leader(&tier, "db-app-2", "b", "");
    look(&tier);
    assert_true(is_gone(&tier, "db-app-1"));
    store_close(tier.store);
}

static void test_a_single_node_waits(void **state)
{
    (void)state;
    Tier tier = tier_single();
    tier.hosts[0].draining = true;
    tier.hosts[1].alive = tier.hosts[2].alive = false;
    look(&tier);
    assert_false(exists(&tier, "node/db-app-2/goal"));
    assert_note(&tier, "h1", "db-app-1", "there is no other host");
    tier.hosts[1].alive = true;
    put(tier.store, "spec/db-instance/app", stopped);
    look(&tier);
    assert_false(exists(&tier, "node/db-app-2/goal"));
    assert_note(&tier, "h1", "db-app-1", "start it");
    store_close(tier.store);
}

/* Nothing of a stopped instance moves, and both of its nodes say what is to be done. */
static void test_a_stopped_pair_waits(void **state)
{
    (void)state;
    Tier tier = tier_multi_az();
    json_t *spec = get(tier.store, "spec/db-instance/app");
    json_object_set_new(spec, "desired_state", json_string("stopped"));
    char *text = json_dumps(spec, 0);
    put(tier.store, "spec/db-instance/app", text);
    free(text);
    json_decref(spec);
    tier.hosts[0].draining = tier.hosts[1].draining = true;
    look(&tier);
    assert_note(&tier, "h1", "db-app-1", "start it");
    assert_note(&tier, "h2", "db-app-2", "start it");
    assert_false(is_gone(&tier, "db-app-2"));
    store_close(tier.store);
}

/* It is one node again, the one that leads. */
static void test_a_single_node_is_undrained(void **state)
{
    (void)state;
    Tier tier = tier_single();
    tier.hosts[0].draining = true;
    look(&tier);
    tier.hosts[0].draining = false;
    look(&tier);
    assert_true(is_gone(&tier, "db-app-2"));
    assert_false(is_gone(&tier, "db-app-1"));
    assert_peers(&tier, "db-app-1", 0);
    store_close(tier.store);
}

/* ---- replicas ----------------------------------------------------------------------------------
 */

static void test_a_replica_moves(void **state)
{
    (void)state;
    Tier tier = tier_replica();
    tier.hosts[2].draining = true;
    look(&tier);
    assert_true(is_gone(&tier, "db-r-1"));
    see_node_in(tier.store, "db-r-1", "gone", "");
    look(&tier);
    look(&tier);
    json_t *goal = get(tier.store, "node/db-r-1/goal");
    assert_string_not_equal(member_str(goal, "host", ""), "h3");
    assert_string_equal(member_str(goal, "role", ""), "replica");
    json_decref(goal);
    store_close(tier.store);
}

/* Where both are on it, the source goes first: its leader is what the replica is copied from. */
static void test_a_replica_waits_for_its_source(void **state)
{
    (void)state;
    Tier tier = tier_replica();
    tier.hosts[0].draining = tier.hosts[2].draining = true;
    look(&tier);
    assert_false(is_gone(&tier, "db-r-1"));
    assert_note(&tier, "h3", "db-r-1", "waits for its source");
    store_close(tier.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_standby_moves),
        cmocka_unit_test(test_a_host_falls_silent_half_way),
        cmocka_unit_test(test_a_standby_waits),
        cmocka_unit_test(test_a_leaving_standby_takes_over),
        cmocka_unit_test(test_undrained_half_way),
        cmocka_unit_test(test_a_standby_goes_to_a_new_host),
        cmocka_unit_test(test_standbys_go_one_at_a_time),
        cmocka_unit_test(test_a_standby_that_may_be_needed_holds_up_no_other),
        cmocka_unit_test(test_a_standby_stays_where_its_engine_is),
        cmocka_unit_test(test_a_standby_stays_beside_its_leader),
        cmocka_unit_test(test_a_leader_hands_over),
        cmocka_unit_test(test_a_leader_waits_for_its_standby),
        cmocka_unit_test(test_a_single_node_moves),
        cmocka_unit_test(test_a_single_node_keeps_its_former_one),
        cmocka_unit_test(test_undrained_while_it_is_promoted),
        cmocka_unit_test(test_a_single_node_waits),
        cmocka_unit_test(test_a_stopped_pair_waits),
        cmocka_unit_test(test_a_single_node_is_undrained),
        cmocka_unit_test(test_a_replica_moves),
        cmocka_unit_test(test_a_replica_waits_for_its_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
