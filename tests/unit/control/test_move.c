/*
 * Hosts that drain and hosts that were removed: which node leaves when, what waits for what, and
 * that nothing is taken away too early. Agents are played by the test.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

#define SPEC                                                                                       \
    "\"DBInstanceIdentifier\":\"app\",\"DbiResourceId\":\"db-app\",\"Engine\":\"postgres\","       \
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.t3.small\",\"AllocatedStorage\":20,"      \
    "\"MasterUsername\":\"dbadmin\",\"master_password\":\"x\",\"password_epoch\":1,"               \
    "\"DbInstancePort\":5432,\"generation\":1,\"reboot_epoch\":0,"

static const char single[] = "{" SPEC "\"MultiAZ\":false,\"desired_state\":\"running\"}";
static const char stopped[] = "{" SPEC "\"MultiAZ\":false,\"desired_state\":\"stopped\"}";
static const char multi_az[] = "{" SPEC "\"MultiAZ\":true,\"desired_state\":\"running\"}";
static const char replica[] =
    "{\"DBInstanceIdentifier\":\"app-r\",\"DbiResourceId\":\"db-r\",\"Engine\":\"postgres\","
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.t3.small\",\"AllocatedStorage\":20,"
    "\"MasterUsername\":\"dbadmin\",\"DbInstancePort\":5432,\"source\":\"db-app\","
    "\"generation\":1,\"desired_state\":\"running\",\"reboot_epoch\":0}";
static const char cache[] =
    "{\"ReplicationGroupId\":\"c\",\"CacheNodeType\":\"cache.t3.micro\",\"Engine\":\"redis\","
    "\"EngineVersion\":\"7.0.15\",\"Port\":6379,\"generation\":1,"
    "\"members\":[{\"CacheClusterId\":\"c-001\",\"zone\":\"a\"},"
    "{\"CacheClusterId\":\"c-002\",\"zone\":\"b\"}]}";

/* ---- a tier of three hosts ---------------------------------------------------------------------
 */

typedef struct Tier {
    Store *store;
    ControlHost hosts[3];
} Tier;

static Tier tier_of_hosts(void)
{
    Tier tier = {.store = store_open_memory(NULL),
                 .hosts = {{.name = "h1", .zone = 'a', .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h2", .zone = 'b', .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h3", .zone = 'c', .alive = true, .memory_bytes = 64 * GIB}}};
    return tier;
}

static Tier tier_with(const char *key, const char *spec)
{
    Tier tier = tier_of_hosts();
    put(tier.store, key, spec);
    round_of(tier.store, tier.hosts, 3);
    return tier;
}

/* As long as there was no other host everything was placed on the first one. */
static Tier tier_crowded(const char *key, const char *spec)
{
    Tier tier = tier_of_hosts();
    tier.hosts[1].alive = tier.hosts[2].alive = false;
    tier.hosts[1].silent_ms = tier.hosts[2].silent_ms = 60000;
    put(tier.store, key, spec);
    round_of(tier.store, tier.hosts, 3);
    return tier;
}

static void look(Tier *tier)
{
    round_of(tier->store, tier->hosts, 3);
}

/* The leader's agent: it serves, and sees this standby ("": none). */
static void see_leader(Tier *tier, const char *node, const char *incarnation, const char *standby)
{
    char *more =
        standby[0] != '\0'
            ? mem_printf(",\"standbys\":[{\"name\":\"weir_%s\",\"sync_state\":\"sync\"}]", standby)
            : mem_strdup("");
    see_node(tier->store, node, incarnation, more);
    mem_free(more);
}

static Tier tier_single(void)
{
    Tier tier = tier_with("spec/db-instance/app", single);
    see_leader(&tier, "db-app-1", "a", "");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\"],\"term\":1}");
    return tier;
}

static Tier tier_multi_az(void)
{
    Tier tier = tier_with("spec/db-instance/app", multi_az);
    see_leader(&tier, "db-app-1", "a", "b");
    see_node(tier.store, "db-app-2", "b", "");
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    return tier;
}

static bool is_gone(Tier *tier, const char *node)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(tier->store, key);
    bool gone = member_bool(goal, "gone", false);
    json_decref(goal);
    mem_free(key);
    return gone;
}

static bool exists(Tier *tier, const char *key)
{
    return revision_of(tier->store, key) > 0;
}

/* What is told of a node on a host that drains holds this. */
static void assert_note(Tier *tier, const char *host, const char *node, const char *part)
{
    char *key = mem_printf("status/host/%s", host);
    json_t *status = get(tier->store, key);
    const char *note = member_str(member_object(status, "nodes"), node, "(nothing)");
    if (strstr(note, part) == NULL) {
        fail_msg("%s says of %s: %s", key, node, note);
    }
    json_decref(status);
    mem_free(key);
}

static void assert_peers(Tier *tier, const char *node, size_t count)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(tier->store, key);
    assert_int_equal(json_array_size(member_array(goal, "peers")), count);
    json_decref(goal);
    mem_free(key);
}

static int64_t handover_asked(Tier *tier, const char *node)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(tier->store, key);
    int64_t asked = member_int(goal, "handover", 0);
    json_decref(goal);
    mem_free(key);
    return asked;
}

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

static Tier tier_replica(void)
{
    Tier tier = tier_multi_az();
    put(tier.store, "spec/db-instance/app-r", replica);
    look(&tier);
    see_leader(&tier, "db-app-1", "a", "b");
    see_node(tier.store, "db-app-2", "b", "");
    assert_node(tier.store, "db-r-1", "h3", "c");
    return tier;
}

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

/* ---- placing -----------------------------------------------------------------------------------
 */

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
    put(tier.store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[],\"term\":1}");
    look(&tier);
    look(&tier);
    assert_node(tier.store, "db-app-1", "h2", "b"); /* one that never had anything is */
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

/* ---- replication groups ------------------------------------------------------------------------
 */

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
        cmocka_unit_test(test_a_standby_moves),
        cmocka_unit_test(test_a_host_falls_silent_half_way),
        cmocka_unit_test(test_a_standby_waits),
        cmocka_unit_test(test_a_leaving_standby_takes_over),
        cmocka_unit_test(test_undrained_half_way),
        cmocka_unit_test(test_a_standby_goes_to_a_new_host),
        cmocka_unit_test(test_standbys_go_one_at_a_time),
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
        cmocka_unit_test(test_a_pair_is_apart),
        cmocka_unit_test(test_a_late_beat_is_waited_for),
        cmocka_unit_test(test_a_late_beat_is_not_waited_for),
        cmocka_unit_test(test_no_host_takes_nodes),
        cmocka_unit_test(test_nodes_of_a_removed_host),
        cmocka_unit_test(test_a_leader_of_a_removed_host),
        cmocka_unit_test(test_a_node_stays_on_an_unknown_host),
        cmocka_unit_test(test_a_group_replica_moves),
        cmocka_unit_test(test_a_group_spreads),
        cmocka_unit_test(test_the_replica_of_a_strict_group_waits),
        cmocka_unit_test(test_a_group_primary_moves),
        cmocka_unit_test(test_a_group_waits_for_a_late_beat),
        cmocka_unit_test(test_a_group_of_one_waits),
        cmocka_unit_test(test_a_group_on_a_removed_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
