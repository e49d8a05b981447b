/* Proxies and their further endpoints: what their pools are told, how they come and go, and the
 * replicas behind them. */
#include <stdlib.h>

#include "harness.h"

#define PROXY_SPEC                                                                                 \
    "{\"DBProxyName\":\"p\",\"generation\":1,\"Auth\":[{\"SecretArn\":\"arn:s\"}],\"RequireTLS\":" \
    "true,"                                                                                        \
    "\"VpcSecurityGroupIds\":[\"sg-1\"],\"targets\":[{\"dbi\":\"db-app\"}]"
#define ENDPOINT_SPEC(name, role)                                                                  \
    "{\"DBProxyEndpointName\":\"" name "\",\"DBProxyName\":\"p\",\"generation\":1,"                \
    "\"VpcSecurityGroupIds\":[\"sg-2\"],\"TargetRole\":\"" role "\""

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

/* That others than superusers may have. */
static int64_t connections_of(Store *store, const char *node)
{
    char *key = mem_printf("node/%s/goal", node);
    json_t *goal = get(store, key);
    mem_free(key);
    int64_t most =
        strtoll(member_str(member_object(goal, "settings"), "max_connections", "0"), NULL, 10);
    json_decref(goal);
    return most - 3;
}

/* ---- proxies -----------------------------------------------------------------------------------
 */

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

/* Every host has a process of its own; one that is away is not waited for. */
static void test_planes_are_on_each_host(void **state)
{
    (void)state;
    Store *store = store_with_proxy();
    ControlHost hosts[] = {{.name = "local", .alive = true, .memory_bytes = 64 * GIB},
                           {.name = "h2", .alive = true, .memory_bytes = 64 * GIB}};
    round_of(store, hosts, ARRAY_LEN(hosts));
    int64_t most = connections_of(store, "db-app-1");
    assert_connections(store, "proxy-p", (most - 8) / 2); /* but for two pulses on each, twice */
    see_plane(store, "proxy-p");
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

/* ---- endpoints ---------------------------------------------------------------------------------
 */

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

/* ---- replicas ----------------------------------------------------------------------------------
 */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_proxy),
        cmocka_unit_test(test_commits_that_wait),
        cmocka_unit_test(test_planes_are_on_each_host),
        cmocka_unit_test(test_an_endpoint_of_a_proxy),
        cmocka_unit_test(test_an_endpoint_goes),
        cmocka_unit_test(test_endpoints_go_before_their_proxy),
        cmocka_unit_test(test_a_reader_follows_the_replicas),
        cmocka_unit_test(test_reads_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
