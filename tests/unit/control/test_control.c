/*
 * Control's rounds over a memory store, with the agent played by the test: what is asked for
 * becomes goals, what is seen becomes statuses, and a round that finds nothing to do writes
 * nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

static const char instance_spec[] =
    "{\"DBInstanceIdentifier\":\"app\",\"DbiResourceId\":\"db-app\",\"Engine\":\"postgres\","
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.r6g.large\",\"AllocatedStorage\":100,"
    "\"MasterUsername\":\"dbadmin\",\"master_password\":\"x\",\"password_epoch\":1,"
    "\"DBName\":\"app\",\"DbInstancePort\":5432,\"MultiAZ\":true,\"generation\":1,"
    "\"VpcSecurityGroupIds\":[\"sg-1\"],\"desired_state\":\"running\",\"reboot_epoch\":0}";

static const char replica_spec[] =
    "{\"DBInstanceIdentifier\":\"app-r\",\"DbiResourceId\":\"db-r\",\"Engine\":\"postgres\","
    "\"EngineVersion\":\"15.1\",\"DBInstanceClass\":\"db.t3.small\",\"AllocatedStorage\":100,"
    "\"MasterUsername\":\"dbadmin\",\"DbInstancePort\":5432,\"source\":\"db-app\","
    "\"generation\":1,\"desired_state\":\"running\",\"reboot_epoch\":0}";

static const char group_spec[] =
    "{\"GroupId\":\"sg-1\",\"ingress\":[{\"IpProtocol\":\"tcp\",\"FromPort\":5432,\"ToPort\":5432,"
    "\"CidrIpv4\":\"10.0.0.0/8\"},{\"IpProtocol\":\"tcp\",\"FromPort\":1,\"ToPort\":2,"
    "\"CidrIpv4\":\"11.0.0.0/8\"}]}";

static Store *store_with_instance(void)
{
    Store *store = store_open_memory(NULL);
    put(store, "spec/security-group/sg-1", group_spec);
    put(store, "spec/db-instance/app", instance_spec);
    round_once(store);
    return store;
}

static void test_goals_of_a_multi_az_instance(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "creating");
    assert_member(store, "node/db-app-1/goal", "role", "primary");
    assert_member(store, "node/db-app-1/goal", "zone", "a");
    assert_member(store, "node/db-app-2/goal", "role", "standby");
    assert_member(store, "node/db-app-2/goal", "zone", "b");
    assert_member(store, "node/db-app-2/goal", "source", "db-app-1");
    assert_member(store, "cluster/db-app", "leader", "db-app-1");
    json_t *first = get(store, "node/db-app-1/goal");
    json_t *second = get(store, "node/db-app-2/goal");
    assert_true(member_has(first, "peers", "db-app-2"));
    assert_true(member_has(first, "followers", "db-app-2"));
    assert_true(member_has(second, "peers", "db-app-1")); /* either may lead */
    assert_true(member_has(second, "followers", "db-app-1"));
    assert_string_equal(member_str(second, "cluster", ""), "db-app");
    assert_string_equal(member_str(second, "master_user", ""),
                        member_str(first, "master_user", "x"));
    assert_string_not_equal(member_str(second, "address", ""), member_str(first, "address", ""));
    json_decref(first);
    json_decref(second);
    store_close(store);
}

static void test_security_rules_reach_the_relay(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    json_t *goal = get(store, "plane/relay-db-app/goal");
    json_t *rules = member_array(member_object(goal, "config"), "security_rules");
    assert_int_equal(json_array_size(rules), 1); /* the other rule is for other ports */
    assert_string_equal(member_str(json_array_get(rules, 0), "cidr", ""), "10.0.0.0/8");
    json_decref(goal);
    store_close(store);
}

static void make_available(Store *store)
{
    see_node(store, "db-app-1", "a",
             ",\"standbys\":[{\"name\":\"weir_b\",\"sync_state\":\"sync\"}]");
    see_node(store, "db-app-2", "b", "");
    see_plane(store, "relay-db-app");
    put(store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    round_once(store);
}

/* Available means synchronous: not before the standby is in the set and counted as sync. */
static void test_available_only_when_synchronous(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    see_node(store, "db-app-1", "a", "");
    see_node(store, "db-app-2", "b", "");
    see_plane(store, "relay-db-app");
    assert_true(round_once(store));
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "creating");
    put(store, "cluster/db-app", "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1}");
    assert_true(round_once(store));
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "creating");
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    store_close(store);
}

static int64_t store_revision(Store *store)
{
    Arena *arena = arena_new();
    StoreRange range;
    assert_true(store_range(store, SLICE(""), (Slice){0}, 1000, arena, &range, NULL));
    arena_free(arena);
    return range.revision;
}

static void assert_settled(Store *store)
{
    int64_t before = store_revision(store);
    round_once(store);
    assert_int_equal(store_revision(store), before);
}

static void test_nothing_to_do_writes_nothing(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    assert_false(round_once(store));
    assert_settled(store);
    store_close(store);
}

/* A status with a message is put twice in a round, first without it. */
static void test_a_message_is_written_once(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    put(store, "node/db-app-1/seen", "{\"state\":\"failed\",\"error\":\"the disk is full\"}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "message", "node db-app-1: the disk is full");
    assert_settled(store);
    store_close(store);
}

static void test_an_engine_that_ends_shows(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "node/db-app-1/seen", "{\"state\":\"starting\",\"incarnation\":\"a\"}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "starting");
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    put(store, "node/db-app-2/seen", "{\"state\":\"starting\",\"incarnation\":\"b\"}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    assert_member(store, "status/db-instance/app", "message",
                  "the standby is away: commits wait for it");
    assert_settled(store);
    store_close(store);
}

static void test_a_replica_follows_the_leader(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    put(store, "spec/db-instance/app-r", replica_spec);
    round_once(store);
    assert_member(store, "node/db-r-1/goal", "role", "replica");
    assert_member(store, "node/db-r-1/goal", "source", "db-app-1");
    assert_member(store, "node/db-r-1/goal", "zone", "c");
    json_t *leader = get(store, "node/db-app-1/goal");
    json_t *replica = get(store, "node/db-r-1/goal");
    assert_true(member_has(leader, "followers", "db-r-1"));
    assert_false(member_has(leader, "peers", "db-r-1"));
    assert_string_equal(member_str(replica, "cluster", ""), "db-app");
    /* a standby may not run with fewer connections than its primary */
    assert_string_equal(member_str(member_object(replica, "settings"), "max_connections", "r"),
                        member_str(member_object(leader, "settings"), "max_connections", "l"));
    json_decref(leader);
    json_decref(replica);
    assert_null(get(store, "cluster/db-r"));
    store_close(store);
}

static void make_single(Store *store)
{
    char *single = mem_strdup(instance_spec);
    char *at = strstr(single, "\"MultiAZ\":true");
    memcpy(at, "\"MultiAZ\":null", 14);
    put(store, "spec/db-instance/app", single);
    mem_free(single);
    round_once(store);
}

static void ask_failover(Store *store, const char *text)
{
    char *spec = mem_printf("{\"failover_epoch\":7,%s", text + 1);
    put(store, "spec/db-instance/app", spec);
    mem_free(spec);
    round_once(store);
}

/* Its standby is away, and its agent says that it is over: so it is for who asked for it. */
static void test_a_planned_change_is_given_up(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "node/db-app-2/seen", "{\"state\":\"starting\",\"incarnation\":\"b\"}");
    ask_failover(store, instance_spec);
    assert_member(store, "node/db-app-1/goal", "heir", "db-app-2");
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "rebooting");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "rebooting");
    put(store, "cluster/db-app",
        "{\"leader\":\"db-app-1\",\"set\":[\"a\",\"b\"],\"term\":1,\"handover\":7}");
    assert_true(round_once(store));
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    assert_member(store, "status/db-instance/app", "message",
                  "the standby is away: commits wait for it");
    round_once(store);
    assert_settled(store);
    store_close(store);
}

/* One that was done is over when there is a standby again. */
static void test_a_planned_change_is_done(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    ask_failover(store, instance_spec);
    put(store, "cluster/db-app",
        "{\"leader\":\"db-app-2\",\"set\":[\"b\"],\"term\":2,\"handover\":7}");
    see_node(store, "db-app-2", "b", "");
    round_once(store);
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "rebooting");
    store_close(store);
}

/* Where nobody could lead any more it is told to the leader all the same, who says that it is over.
 */
static void test_a_planned_change_of_one_node(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    char *single = mem_strdup(instance_spec);
    memcpy(strstr(single, "\"MultiAZ\":true"), "\"MultiAZ\":null", 14);
    ask_failover(store, single);
    mem_free(single);
    json_t *goal = get(store, "node/db-app-1/goal");
    assert_int_equal(member_int(goal, "handover", 0), 7);
    assert_string_equal(member_str(goal, "heir", "-"), "");
    json_decref(goal);
    store_close(store);
}

/* Whoever leads stays; the other one goes, once its agent sees that the set is without it. */
static void test_single_az_keeps_the_leader(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "cluster/db-app", "{\"leader\":\"db-app-2\",\"set\":[\"b\",\"a\"],\"term\":2}");
    make_single(store);
    json_t *first = get(store, "node/db-app-1/goal");
    json_t *second = get(store, "node/db-app-2/goal");
    assert_true(member_bool(first, "gone", false));
    assert_false(member_bool(first, "deleted", true));
    assert_false(member_bool(second, "gone", false));
    assert_string_equal(member_str(second, "role", ""), "primary");
    assert_int_equal(json_array_size(member_array(second, "peers")), 0);
    assert_true(member_has(second, "followers", "db-app-1")); /* until it is gone */
    json_decref(first);
    json_decref(second);
    store_close(store);
}

static void test_deletion(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    char *deleting = mem_printf("{\"deleting\":true,%s", instance_spec + 1);
    put(store, "spec/db-instance/app", deleting);
    mem_free(deleting);
    assert_true(round_once(store));
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "deleting");
    see_node_in(store, "db-app-1", "gone", "");
    see_node_in(store, "db-app-2", "gone", "");
    round_once(store);
    assert_true(revision_of(store, "spec/db-instance/app") > 0); /* the relay still runs */
    see_plane_in(store, "relay-db-app", "gone");
    round_once(store);
    static const char *const gone[] = {"spec/db-instance/app", "status/db-instance/app",
                                       "cluster/db-app",       "node/db-app-1/goal",
                                       "node/db-app-1/seen",   "node/db-app-2/goal",
                                       "node/db-app-2/seen",   "plane/relay-db-app/goal"};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        assert_null(get(store, gone[i]));
    }
    store_close(store);
}

/* What an agent said of an earlier resource of the same name is no word on this one. */
static void test_only_this_goal_can_be_gone(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put(store, "node/db-app-1/seen", "{\"state\":\"gone\",\"goal\":\"an earlier one\"}");
    put(store, "plane/relay-db-app/seen/local", "{\"state\":\"gone\",\"applied\":1}");
    char *deleting = mem_printf("{\"deleting\":true,%s", instance_spec + 1);
    put(store, "spec/db-instance/app", deleting);
    mem_free(deleting);
    assert_true(round_once(store));
    see_node_in(store, "db-app-2", "gone", "");
    assert_true(round_once(store));
    assert_true(revision_of(store, "spec/db-instance/app") > 0);
    assert_true(revision_of(store, "node/db-app-1/goal") > 0);
    assert_true(revision_of(store, "plane/relay-db-app/goal") > 0);
    see_node_in(store, "db-app-1", "gone", "");
    see_plane_in(store, "relay-db-app", "gone");
    round_once(store);
    assert_null(get(store, "spec/db-instance/app"));
    store_close(store);
}

/* Clients are let in only when the standby has what they would see (RULES F7). */
static void test_a_closed_leader_is_not_available(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    see_node_in(store, "db-app-1", "running", ",\"open\":false,\"incarnation\":\"a\"");
    round_once(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "starting");
    assert_member(store, "status/db-instance/app", "message",
                  "clients wait until the standby has what they would see");
    make_available(store);
    assert_member(store, "status/db-instance/app", "DBInstanceStatus", "available");
    store_close(store);
}

/* A dynamic parameter set with pending-reboot keeps its value until the reboot. */
static void test_pending_reboot(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    char *spec = mem_printf("{\"DBParameterGroupName\":\"pg\",%s", instance_spec + 1);
    put(store, "spec/db-parameter-group/pg",
        "{\"parameters\":{\"work_mem\":{\"value\":\"8192\",\"method\":\"immediate\"}}}");
    put(store, "spec/db-instance/app", spec);
    round_once(store);
    json_t *goal = get(store, "node/db-app-1/goal");
    char *first = mem_strdup(member_str(member_object(goal, "settings"), "work_mem", ""));
    json_decref(goal);
    assert_string_not_equal(first, "");
    put(store, "spec/db-parameter-group/pg",
        "{\"parameters\":{\"work_mem\":{\"value\":\"16384\",\"method\":\"pending-reboot\"}}}");
    round_once(store);
    assert_member(store, "status/db-instance/app", "parameter_apply_status", "pending-reboot");
    goal = get(store, "node/db-app-1/goal");
    assert_string_equal(member_str(member_object(goal, "settings"), "work_mem", ""), first);
    json_decref(goal);
    char *at = strstr(spec, "\"reboot_epoch\":0");
    memcpy(at, "\"reboot_epoch\":1", 16);
    put(store, "spec/db-instance/app", spec);
    round_once(store);
    goal = get(store, "node/db-app-1/goal");
    assert_string_not_equal(member_str(member_object(goal, "settings"), "work_mem", ""), first);
    json_decref(goal);
    mem_free(first);
    mem_free(spec);
    store_close(store);
}

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

static void put_secret(Store *store)
{
    put(store, "spec/secret/s",
        "{\"Name\":\"s\",\"ARN\":\"arn:s\",\"versions\":{\"v1\":{\"stages\":[\"AWSPREVIOUS\"]},"
        "\"v2\":{\"stages\":[\"AWSCURRENT\"]}}}");
    put(store, "tier", "{\"region\":\"eu-x\"}");
    put(store, "accesskey", "{\"id\":\"AKIA1\",\"secret\":\"three\"}");
    put(store, "secretvalue/s/v1", "{\"sealed\":\"one\"}");
    put(store, "secretvalue/s/v2", "{\"sealed\":\"two\"}");
}

static void test_a_proxy(void **state)
{
    (void)state;
    Store *store = store_with_instance();
    make_available(store);
    put_secret(store);
    put(store, "spec/db-proxy/p",
        "{\"DBProxyName\":\"p\",\"generation\":1,\"RequireTLS\":true,\"IdleClientTimeout\":60,"
        "\"Auth\":[{\"SecretArn\":\"arn:s\"},"
        "{\"SecretArn\":\"arn:s\",\"ClientPasswordAuthType\":\"POSTGRES_SCRAM_SHA_256\"},"
        "{\"SecretArn\":\"arn:s\",\"ClientPasswordAuthType\":\"POSTGRES_MD5\"},"
        "{\"SecretArn\":\"arn:s\",\"ClientPasswordAuthType\":\"POSTGRES_MD5\",\"IAMAuth\":"
        "\"REQUIRED\"}],\"targets\":[{"
        "\"dbi\":\"db-app\"}],"
        "\"target_group\":{\"ConnectionPoolConfig\":{\"MaxConnectionsPercent\":50}}}");
    round_once(store);
    json_t *goal = get(store, "plane/proxy-p/goal");
    json_t *config = member_object(goal, "config");
    json_t *pool = member_object(config, "pool");
    json_t *user = json_array_get(member_array(pool, "users"), 0);
    assert_string_equal(member_str(user, "$credentials", ""), "two");
    assert_string_equal(member_str(user, "context", ""), "secretvalue/s/v2");
    static const char *const methods[] = {"", "", "md5", ""};
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        user = json_array_get(member_array(pool, "users"), i);
        assert_string_equal(member_str(user, "client_password_auth", ""), methods[i]);
    }
    assert_string_equal(member_str(user, "auth", ""), "iam");
    json_t *iam = member_object(pool, "iam");
    assert_string_equal(member_str(iam, "region", ""), "eu-x");
    assert_string_equal(json_string_value(json_array_get(member_array(iam, "hosts"), 1)), "p");
    json_t *key = json_array_get(member_array(iam, "keys"), 0);
    assert_string_equal(member_str(key, "access_key_id", ""), "AKIA1");
    key = member_object(key, "secret_access_key");
    assert_string_equal(member_str(key, "$sealed", ""), "three");
    assert_string_equal(member_str(key, "context", ""), "accesskey");
    assert_int_equal(member_int(pool, "max_connections_percent", 0), 50);
    assert_int_equal(member_int(pool, "max_idle_connections_percent", 0), 25);
    assert_int_equal(member_int(config, "idle_client_timeout_s", 0), 60);
    assert_true(member_bool(config, "require_tls", false));
    assert_string_equal(member_str(member_object(pool, "target"), "$leader", ""), "db-app");
    assert_true(member_has(pool, "admin_users", "dbadmin"));
    assert_int_equal(json_array_size(member_array(pool, "admin_users")), 1);
    assert_null(member_array(pool, "stats_users"));
    json_decref(goal);
    see_plane(store, "proxy-p");
    round_once(store);
    assert_member(store, "status/db-proxy/p", "Status", "available");
    store_close(store);
}

/* ---- endpoints of proxies ---------------------------------------------------------------------
 */

#define PROXY_SPEC                                                                                 \
    "{\"DBProxyName\":\"p\",\"generation\":1,\"Auth\":[{\"SecretArn\":\"arn:s\"}],\"RequireTLS\":" \
    "true,"                                                                                        \
    "\"VpcSecurityGroupIds\":[\"sg-1\"],\"targets\":[{\"dbi\":\"db-app\"}]"
#define ENDPOINT_SPEC(name, role)                                                                  \
    "{\"DBProxyEndpointName\":\"" name "\",\"DBProxyName\":\"p\",\"generation\":1,"                \
    "\"VpcSecurityGroupIds\":[\"sg-2\"],\"TargetRole\":\"" role "\""

static Store *store_with_proxy(void)
{
    Store *store = store_with_instance();
    make_available(store);
    put_secret(store);
    put(store, "spec/security-group/sg-2", "{\"GroupId\":\"sg-2\",\"ingress\":[]}");
    put(store, "spec/db-proxy/p", PROXY_SPEC "}");
    round_once(store);
    see_plane(store, "proxy-p");
    round_once(store);
    return store;
}

static json_t *pool_of(Store *store, const char *plane, json_t **ret_goal)
{
    char *key = mem_printf("plane/%s/goal", plane);
    *ret_goal = get(store, key);
    mem_free(key);
    assert_non_null(*ret_goal);
    return member_object(member_object(*ret_goal, "config"), "pool");
}

static void assert_connections(Store *store, const char *plane, int64_t expected)
{
    json_t *goal;
    json_t *target = member_object(pool_of(store, plane, &goal), "target");
    assert_int_equal(member_int(target, "max_connections", 0), expected);
    json_decref(goal);
}

static int64_t connections_of(Store *store, const char *node)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(store, key);
    mem_free(key);
    int64_t most =
        strtoll(member_str(member_object(goal, "settings"), "max_connections", "0"), NULL, 10);
    json_decref(goal);
    return most;
}

static bool event_said(Store *store, const char *message)
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

/* Whoever leads there is told whether its commits wait for a standby: from when there shall be one,
 * until nobody but the leader is in the set. */
static void test_commits_that_wait(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    json_t *goal;
    json_t *pool = pool_of(store, "proxy-p", &goal);
    assert_true(member_bool(member_object(pool, "target"), "synchronous", false));
    assert_true(member_bool(pool, "resend_reads", false));
    json_decref(goal);
    goal = get(store, "plane/relay-db-app/goal");
    json_t *relay = member_object(member_object(goal, "config"), "relay");
    assert_true(member_bool(member_object(relay, "target"), "synchronous", false));
    json_decref(goal);
    store_close(store);
}

/* As its proxy, but for address and groups; what may be had of the target is divided. */
static void test_an_endpoint_of_a_proxy(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    int64_t most = connections_of(store, "db-app-1");
    assert_connections(store, "proxy-p", most - 2); /* for pulses: its own, and the relay's */
    put(store, "spec/db-proxy-endpoint/e", ENDPOINT_SPEC("e", "READ_WRITE") "}");
    assert_true(round_once(store));
    assert_member(store, "status/db-proxy-endpoint/e", "Status", "creating");
    assert_connections(store, "proxy-p", (most - 3) / 2);
    assert_connections(store, "endpoint-e", (most - 3) / 2);
    json_t *goal;
    json_t *pool = pool_of(store, "endpoint-e", &goal);
    json_t *config = member_object(goal, "config");
    assert_string_equal(member_str(goal, "resource", ""), "db-proxy-endpoint");
    assert_string_equal(member_str(goal, "identifier", ""), "e");
    assert_true(member_bool(config, "require_tls", false));
    assert_int_equal(json_array_size(member_array(config, "security_rules")), 0);
    assert_string_equal(
        member_str(json_array_get(member_array(pool, "users"), 0), "$credentials", ""), "two");
    json_t *listener = json_array_get(member_array(config, "listeners"), 0);
    assert_true(member_has(listener, "$server_cert", "e"));
    assert_true(member_has(listener, "$server_cert", member_str(listener, "address", "")));
    assert_null(json_object_get(pool, "reads"));
    json_decref(goal);
    see_plane(store, "endpoint-e");
    see_plane(store, "proxy-p");
    assert_false(round_once(store));
    assert_member(store, "status/db-proxy-endpoint/e", "Status", "available");
    assert_true(event_said(store, "RDS created endpoint e for DB proxy p."));
    json_t *own = get(store, "status/db-proxy/p");
    json_t *other = get(store, "status/db-proxy-endpoint/e");
    assert_string_not_equal(member_str(own, "endpoint_host", ""),
                            member_str(other, "endpoint_host", ""));
    json_decref(own);
    json_decref(other);
    assert_settled(store);
    /* a rule that names its group means its address */
    put(store, "spec/security-group/sg-1",
        "{\"GroupId\":\"sg-1\",\"ingress\":[{\"IpProtocol\":\"-1\",\"GroupId\":\"sg-2\"}]}");
    round_once(store);
    other = get(store, "status/db-proxy-endpoint/e");
    char *cidr = mem_printf("$net.%s/32", member_str(other, "endpoint_host", ""));
    goal = get(store, "plane/proxy-p/goal");
    json_t *rules = member_array(member_object(goal, "config"), "security_rules");
    assert_int_equal(json_array_size(rules), 1);
    assert_string_equal(member_str(json_array_get(rules, 0), "cidr", ""), cidr);
    mem_free(cidr);
    json_decref(other);
    json_decref(goal);
    store_close(store);
}

static void test_an_endpoint_goes(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    int64_t most = connections_of(store, "db-app-1");
    put(store, "spec/db-proxy-endpoint/e", ENDPOINT_SPEC("e", "READ_WRITE") "}");
    round_once(store);
    put(store, "spec/db-proxy-endpoint/e", ENDPOINT_SPEC("e", "READ_WRITE") ",\"deleting\":true}");
    assert_true(round_once(store));
    assert_member(store, "status/db-proxy-endpoint/e", "Status", "deleting");
    assert_connections(store, "proxy-p", (most - 3) / 2); /* it may still have its own */
    see_plane_in(store, "endpoint-e", "gone");
    round_once(store);
    static const char *const gone[] = {"spec/db-proxy-endpoint/e", "status/db-proxy-endpoint/e",
                                       "plane/endpoint-e/goal", "plane/endpoint-e/seen/local"};
    for (size_t i = 0; i < ARRAY_LEN(gone); i++) {
        assert_null(get(store, gone[i]));
    }
    assert_true(event_said(store, "RDS deleted endpoint e for DB proxy p."));
    assert_connections(store, "proxy-p", most - 2);
    store_close(store);
}

/* The proxy stays until its endpoints are gone, and one whose proxy is missing goes by itself. */
static void test_endpoints_go_before_their_proxy(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    put(store, "spec/db-proxy-endpoint/e", ENDPOINT_SPEC("e", "READ_WRITE") ",\"deleting\":true}");
    put(store, "spec/db-proxy-options/p", "{\"Reads\":\"split\"}");
    put(store, "spec/db-proxy/p", PROXY_SPEC ",\"deleting\":true}");
    put(store, "plane/endpoint-e/goal", "{\"kind\":\"proxy\"}");
    round_once(store);
    see_plane_in(store, "proxy-p", "gone");
    round_once(store);
    assert_true(revision_of(store, "spec/db-proxy/p") > 0);
    see_plane_in(store, "endpoint-e", "gone");
    round_once(store);
    assert_null(get(store, "spec/db-proxy-endpoint/e"));
    assert_null(get(store, "spec/db-proxy/p"));
    assert_null(get(store, "spec/db-proxy-options/p"));
    put(store, "spec/db-proxy-endpoint/f", ENDPOINT_SPEC("f", "READ_WRITE") "}");
    round_once(store);
    assert_null(get(store, "spec/db-proxy-endpoint/f"));
    store_close(store);
}

/* Replicas come, go, are other instances' or are leaving; the writer is no target here. */
static void test_a_reader_follows_the_replicas(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    put(store, "spec/db-proxy-endpoint/r", ENDPOINT_SPEC("r", "READ_ONLY") "}");
    round_once(store);
    json_t *goal;
    json_t *pool = pool_of(store, "endpoint-r", &goal);
    assert_string_equal(member_str(pool, "reads", ""), "replicas");
    assert_true(json_is_null(json_object_get(pool, "target")));
    assert_int_equal(json_array_size(member_array(pool, "replicas")), 0);
    json_decref(goal);
    assert_member(store, "status/db-proxy-endpoint/r", "message",
                  "app has no read replica yet: nobody can be served here until there is one");
    assert_connections(store, "proxy-p", connections_of(store, "db-app-1") - 2);
    put(store, "spec/db-instance/app-r", replica_spec);
    round_once(store);
    pool = pool_of(store, "endpoint-r", &goal);
    json_t *replica = json_array_get(member_array(pool, "replicas"), 0);
    assert_string_equal(member_str(replica, "$node", ""), "db-r-1");
    assert_true(member_str(replica, "relay", "")[0] != 0);
    assert_int_equal(member_int(replica, "max_connections", 0), connections_of(store, "db-r-1"));
    json_decref(goal);
    assert_true(event_said(store, "RDS detected the addition of the DB instance app-r and "
                                  "automatically added it to the target group of the DB proxy p."));
    put(store, "plane/endpoint-r/seen/local",
        "{\"status\":{\"targets\":[{\"id\":\"db-r-1\",\"state\":\"UNAVAILABLE\",\"reason\":"
        "\"UNREACHABLE\",\"description\":\"away\"}]}}");
    round_once(store);
    json_t *status = get(store, "status/db-proxy/p");
    json_t *target = json_array_get(member_array(status, "targets"), 1);
    assert_string_equal(member_str(target, "dbi", ""), "db-r");
    assert_string_equal(member_str(target, "role", ""), "READ_ONLY");
    assert_string_equal(member_str(target, "Reason", ""), "UNREACHABLE");
    json_decref(status);
    char *leaving = mem_printf("{\"deleting\":true,%s", replica_spec + 1);
    put(store, "spec/db-instance/app-r", leaving);
    mem_free(leaving);
    round_once(store);
    pool = pool_of(store, "endpoint-r", &goal);
    assert_int_equal(json_array_size(member_array(pool, "replicas")), 0);
    json_decref(goal);
    assert_true(event_said(store,
                           "RDS detected the deletion of the DB instance app-r and automatically "
                           "removed it from the target group of the DB proxy p."));
    store_close(store);
}

/* The proxy's options: its pools use the replicas besides, and divide their connections. */
static void test_reads_are_split(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    put(store, "spec/db-instance/app-r", replica_spec);
    put(store, "spec/db-proxy-endpoint/r", ENDPOINT_SPEC("r", "READ_ONLY") "}");
    put(store, "spec/db-proxy-options/p",
        "{\"Reads\":\"split\",\"MaxReplicaLagMs\":1000,\"SharedConnections\":3,"
        "\"SharedListeners\":true,\"KeepListening\":false}");
    round_once(store);
    json_t *goal;
    json_t *pool = pool_of(store, "proxy-p", &goal);
    assert_string_equal(member_str(pool, "reads", ""), "split");
    assert_int_equal(member_int(pool, "max_replica_lag_ms", 0), 1000);
    assert_int_equal(member_int(pool, "shared_connections", 0), 3);
    assert_true(member_bool(pool, "shared_listeners", false));
    json_t *replica = json_array_get(member_array(pool, "replicas"), 0);
    assert_string_equal(member_str(replica, "$node", ""), "db-r-1");
    assert_int_equal(member_int(replica, "max_connections", 0),
                     connections_of(store, "db-r-1") / 2);
    json_decref(goal);
    assert_connections(store, "proxy-p", connections_of(store, "db-app-1") - 2);
    pool = pool_of(store, "endpoint-r", &goal);
    assert_string_equal(member_str(pool, "reads", ""), "replicas");
    assert_int_equal(member_int(pool, "max_replica_lag_ms", 0), 1000);
    json_decref(goal);
    put(store, "plane/proxy-p/seen/local",
        "{\"status\":{\"targets\":[{\"id\":\"db-r-1\",\"state\":\"AVAILABLE\"}]}}");
    round_once(store);
    json_t *status = get(store, "status/db-proxy/p");
    json_t *target = json_array_get(member_array(status, "targets"), 1);
    assert_string_equal(member_str(target, "role", ""), "READ_ONLY");
    assert_string_equal(member_str(target, "State", ""), "AVAILABLE");
    json_decref(status);
    store_close(store);
}

/* ---- several hosts -----------------------------------------------------------------------------
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

/* Every host has a process of its own; one that is away is not waited for. */
static void test_planes_are_on_each_host(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    ControlHost hosts[] = {{.name = "local", .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h2", .alive = true, .memory_bytes = 64 * GIB}};
    round_of(store, hosts, ARRAY_LEN(hosts));
    assert_member(store, "status/db-proxy/p", "Status", "modifying");
    char *applied = mem_printf("{\"state\":\"running\",\"applied\":%lld}",
                               (long long)revision_of(store, "plane/proxy-p/goal"));
    put(store, "plane/proxy-p/seen/h2", applied);
    mem_free(applied);
    round_of(store, hosts, ARRAY_LEN(hosts));
    assert_member(store, "status/db-proxy/p", "Status", "available");
    put(store, "plane/proxy-p/seen/h2", "{\"state\":\"running\",\"applied\":1}");
    hosts[1].alive = false;
    round_of(store, hosts, ARRAY_LEN(hosts));
    assert_member(store, "status/db-proxy/p", "Status", "available");
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goals_of_a_multi_az_instance),
        cmocka_unit_test(test_security_rules_reach_the_relay),
        cmocka_unit_test(test_available_only_when_synchronous),
        cmocka_unit_test(test_nothing_to_do_writes_nothing),
        cmocka_unit_test(test_a_message_is_written_once),
        cmocka_unit_test(test_an_engine_that_ends_shows),
        cmocka_unit_test(test_a_replica_follows_the_leader),
        cmocka_unit_test(test_a_planned_change_is_given_up),
        cmocka_unit_test(test_a_planned_change_is_done),
        cmocka_unit_test(test_a_planned_change_of_one_node),
        cmocka_unit_test(test_single_az_keeps_the_leader),
        cmocka_unit_test(test_deletion),
        cmocka_unit_test(test_only_this_goal_can_be_gone),
        cmocka_unit_test(test_a_closed_leader_is_not_available),
        cmocka_unit_test(test_pending_reboot),
        cmocka_unit_test(test_a_replication_group),
        cmocka_unit_test(test_a_planned_failover_of_a_group),
        cmocka_unit_test(test_a_proxy),
        cmocka_unit_test(test_commits_that_wait),
        cmocka_unit_test(test_an_endpoint_of_a_proxy),
        cmocka_unit_test(test_an_endpoint_goes),
        cmocka_unit_test(test_endpoints_go_before_their_proxy),
        cmocka_unit_test(test_a_reader_follows_the_replicas),
        cmocka_unit_test(test_reads_are_split),
        cmocka_unit_test(test_nodes_are_placed_on_hosts),
        cmocka_unit_test(test_planes_are_on_each_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
