/* Replication groups and their cache clusters. */
#include "harness.h"

#include <stdlib.h>

#define GROUP                                                                                      \
    "'ReplicationGroupId': 'App-Redis', 'ReplicationGroupDescription': 'cache', "                  \
    "'CacheNodeType': 'cache.r6g.large', 'NumCacheClusters': 3"
#define SECURE "'TransitEncryptionEnabled': true, 'AuthToken': 'token-token-token'"

static void run(Harness *harness, const char *operation, const char *input, const char *fault,
                const char *expect)
{
    Step step = {operation, input, fault, expect};
    run_step(harness, &step);
}

/* The guide's group. */
static int cache_setup(void **state)
{
    harness_setup(state);
    run(*state, "elasticache:CreateReplicationGroup",
        "{" GROUP ", " SECURE ", 'AutomaticFailoverEnabled': true, 'MultiAZEnabled': true, "
        "'AtRestEncryptionEnabled': true, 'PreferredMaintenanceWindow': 'sun:05:00-sun:06:00', "
        "'SnapshotRetentionLimit': 7, 'SnapshotWindow': '00:00-01:00', 'Port': 6379, 'Tags': "
        "[{'Key': 'Environment', 'Value': 'production'}]}",
        NULL, "{'ReplicationGroup': {'Status': 'creating'}}");
    return 0;
}

static void test_describe(void **state)
{
    Harness *harness = *state;
    run(harness, "elasticache:DescribeReplicationGroups", "{'ReplicationGroupId': 'app-redis'}",
        NULL,
        "{'ReplicationGroups': [{'ReplicationGroupId': 'app-redis', 'Description': 'cache', "
        "'MemberClusters': ['app-redis-001', 'app-redis-002', 'app-redis-003'], "
        "'AutomaticFailover': 'enabled', 'MultiAZ': 'enabled', 'ClusterEnabled': false, "
        "'AuthTokenEnabled': true, 'TransitEncryptionEnabled': true, 'AtRestEncryptionEnabled': "
        "true, 'SnapshotRetentionLimit': 7, 'SnapshotWindow': '00:00-01:00', "
        "'ConfigurationEndpoint': null, 'NodeGroups': [{'NodeGroupId': '0001', "
        "'NodeGroupMembers': [{'CacheClusterId': 'app-redis-001', 'CurrentRole': 'primary', "
        "'PreferredAvailabilityZone': 'eu-west-1a'}, {'CurrentRole': 'replica', "
        "'PreferredAvailabilityZone': 'eu-west-1b'}, {'PreferredAvailabilityZone': "
        "'eu-west-1c'}]}]}]}");
    harness_put(harness, "status/replication-group/app-redis",
                "{'Status': 'available', 'generation': 1, 'primary_host': '1.3', 'reader_host': "
                "'1.4', 'members': [{'CacheClusterId': 'app-redis-001', 'role': 'replica', "
                "'status': 'available', 'host': '128.1'}, {'CacheClusterId': 'app-redis-002', "
                "'role': 'primary', 'status': 'available', 'host': '128.2'}]}");
    static const Step steps[] = {
        {"elasticache:DescribeReplicationGroups", NULL, NULL,
         "{'ReplicationGroups': [{'Status': 'available', 'NodeGroups': [{'Status': 'available', "
         "'PrimaryEndpoint': {'Address': '127.5.1.3', 'Port': 6379}, 'ReaderEndpoint': {'Address': "
         "'127.5.1.4', 'Port': 6379}, 'NodeGroupMembers': [{'CurrentRole': 'replica'}, "
         "{'CurrentRole': 'primary', 'ReadEndpoint': {'Address': '127.5.128.2', 'Port': 6379}}, "
         "{}]}]}]}"},
        {"elasticache:DescribeCacheClusters",
         "{'CacheClusterId': 'App-Redis-001', 'ShowCacheNodeInfo': true}", NULL,
         "{'CacheClusters': [{'CacheClusterId': 'app-redis-001', 'Engine': 'redis', "
         "'EngineVersion': '7.0.15', 'CacheNodeType': 'cache.r6g.large', 'CacheClusterStatus': "
         "'available', 'ReplicationGroupId': 'app-redis', 'NumCacheNodes': 1, "
         "'AtRestEncryptionEnabled': true, 'TransitEncryptionEnabled': true, "
         "'CacheParameterGroup': "
         "{'CacheParameterGroupName': 'default.redis7'}, 'CacheSubnetGroupName': 'default', "
         "'PreferredMaintenanceWindow': 'sun:05:00-sun:06:00', 'SecurityGroups': "
         "[{'SecurityGroupId': 'sg-00000000000000001'}], 'CacheNodes': [{'CacheNodeId': '0001', "
         "'Endpoint': {'Address': '127.5.128.1'}}]}]}"},
        {"elasticache:DescribeCacheClusters", NULL, NULL,
         "{'CacheClusters': [{'CacheNodes': null}, {}, {}]}"},
        {"elasticache:DescribeCacheClusters", "{'CacheClusterId': 'nope'}", "CacheClusterNotFound",
         NULL},
        {"elasticache:DescribeCacheClusters", "{'ShowCacheClustersNotInReplicationGroups': true}",
         NULL, "{'CacheClusters': []}"},
        {"elasticache:ListTagsForResource",
         "{'ResourceName': 'arn:aws:elasticache:eu-west-1:000000000000:cluster:app-redis-002'}",
         NULL, "{'TagList': [{'Key': 'Environment', 'Value': 'production'}]}"},
        {"elasticache:AddTagsToResource",
         "{'ResourceName': 'arn:aws:elasticache:eu-west-1:000000000000:replicationgroup:app-redis',"
         " 'Tags': [{'Key': 'a', 'Value': 'b'}]}",
         NULL, "{'TagList': [{}, {'Key': 'a', 'Value': 'b'}]}"},
        {"elasticache:DescribeReplicationGroups", "{'ReplicationGroupId': 'nope'}",
         "ReplicationGroupNotFoundFault", "nope"},
        {"elasticache:DescribeCacheEngineVersions", "{'Engine': 'redis'}", NULL,
         "{'CacheEngineVersions': [{'EngineVersion': '7.0.15', 'CacheParameterGroupFamily': "
         "'redis7'}]}"},
    };
    RUN_STEPS(harness, steps);
}

static void test_create_refusals(void **state)
{
    static const Step steps[] = {
        {"elasticache:CreateReplicationGroup", "{" GROUP "}", "ReplicationGroupAlreadyExists",
         NULL},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'Engine': "
         "'memcached'}",
         "InvalidParameterValue", "memcached"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'EngineVersion': '6.2'}",
         "InvalidParameterCombination", "Installed: 7.0.15"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'CacheNodeType': 'db.r6g.large'}",
         "InvalidParameterValue", "cache."},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'NumCacheClusters': 7}", "InvalidParameterValue",
         "1 to 6"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'NumCacheClusters': 1, "
         "'AutomaticFailoverEnabled': true}",
         "InvalidParameterCombination", "at least two"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'MultiAZEnabled': true}",
         "InvalidParameterCombination", "automatic failover"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'AuthToken': 'token-token-token'}",
         "InvalidParameterCombination", "TransitEncryptionEnabled"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'TransitEncryptionEnabled': true, 'AuthToken': "
         "'short'}",
         "InvalidParameterValue", "AuthToken"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'NumNodeGroups': 2}",
         "InvalidParameterCombination", "cluster mode"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'TransitEncryptionMode': 'preferred'}",
         "InvalidParameterCombination", "TransitEncryptionMode"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'SnapshotName': 's'}",
         "InvalidParameterCombination", "SnapshotName"},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'CacheParameterGroupName': 'nope'}",
         "CacheParameterGroupNotFound", NULL},
        {"elasticache:CreateReplicationGroup",
         "{" GROUP ", 'ReplicationGroupId': 'x', 'PreferredCacheClusterAZs': ['eu-west-1z']}",
         "InvalidParameterValue", "eu-west-1z"},
        {"elasticache:CreateReplicationGroup",
         "{'ReplicationGroupId': 'x', 'ReplicationGroupDescription': 'd', 'CacheNodeType': "
         "'cache.t4g.micro', 'NumNodeGroups': 1, 'ReplicasPerNodeGroup': 1, "
         "'PreferredCacheClusterAZs': ['eu-west-1c', 'eu-west-1a']}",
         NULL,
         "{'ReplicationGroup': {'MemberClusters': ['x-001', 'x-002'], 'NodeGroups': "
         "[{'NodeGroupMembers': [{'PreferredAvailabilityZone': 'eu-west-1c'}, "
         "{'PreferredAvailabilityZone': 'eu-west-1a'}]}]}}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static size_t token_count(Harness *harness)
{
    json_t *spec = harness_get(harness, "spec/replication-group/app-redis");
    char *text = json_dumps(spec, 0);
    assert_null(strstr(text, "token-token"));
    size_t count = json_array_size(member_array(spec, "auth_tokens"));
    free(text);
    json_decref(spec);
    return count;
}

static void test_auth_tokens(void **state)
{
    Harness *harness = *state;
    assert_int_equal(token_count(harness), 1);
    run(harness, "weir:GetAuthToken", "{'ReplicationGroupId': 'app-redis'}", NULL,
        "{'AuthToken': 'token-token-token'}");
    static const Step rotate[] = {
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'AuthToken': 'token-token-two!'}",
         "InvalidParameterCombination", "ApplyImmediately"},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'AuthToken': 'token-token-two!', "
         "'AuthTokenUpdateStrategy': 'ROTATE', 'ApplyImmediately': true}",
         NULL, NULL},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'AuthToken': 'token-token-three', "
         "'ApplyImmediately': true}",
         NULL, NULL},
    };
    RUN_STEPS(harness, rotate);
    assert_int_equal(token_count(harness), 2);
    run(harness, "weir:GetAuthToken", "{'ReplicationGroupId': 'App-Redis'}", NULL,
        "{'AuthToken': 'token-token-three'}");
    static const Step set[] = {
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'AuthToken': 'token-token-three', "
         "'AuthTokenUpdateStrategy': 'SET', 'ApplyImmediately': true}",
         NULL, NULL},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'AuthTokenUpdateStrategy': 'DELETE', "
         "'ApplyImmediately': true}",
         "InvalidParameterCombination", "DELETE"},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'AuthTokenUpdateStrategy': 'SET', "
         "'ApplyImmediately': true}",
         "InvalidParameterCombination", "AuthToken"},
    };
    RUN_STEPS(harness, set);
    assert_int_equal(token_count(harness), 1);
    static const Step none[] = {
        {"elasticache:CreateReplicationGroup", "{" GROUP ", 'ReplicationGroupId': 'plain'}", NULL,
         NULL},
        {"weir:GetAuthToken", "{'ReplicationGroupId': 'plain'}", "ResourceNotFoundException",
         "plain"},
        {"weir:GetAuthToken", "{'ReplicationGroupId': '../x'}", "ResourceNotFoundException", NULL},
    };
    RUN_STEPS(harness, none);
}

static void test_modify(void **state)
{
    static const Step steps[] = {
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'ReplicationGroupDescription': 'new', "
         "'CacheNodeType': 'cache.t4g.micro', 'SnapshottingClusterId': 'app-redis-001', "
         "'SnapshotRetentionLimit': 3}",
         NULL,
         "{'ReplicationGroup': {'Description': 'new', 'CacheNodeType': 'cache.r6g.large', "
         "'SnapshotRetentionLimit': 3}}"},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'ApplyImmediately': true}", NULL,
         "{'ReplicationGroup': {'CacheNodeType': 'cache.t4g.micro'}}"},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'CacheNodeType': 'cache.nope'}",
         "InvalidParameterValue", NULL},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'PrimaryClusterId': 'app-redis-002'}",
         "InvalidParameterCombination", "PrimaryClusterId"},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'TransitEncryptionEnabled': false}",
         "InvalidParameterCombination", "TransitEncryptionEnabled"},
        {"elasticache:ModifyReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'SnapshotWindow': '00:00-00:30'}",
         "InvalidParameterValue", "60 minutes"},
        {"elasticache:TestFailover", "{'ReplicationGroupId': 'none', 'NodeGroupId': '0001'}",
         "ReplicationGroupNotFoundFault", NULL},
        {"elasticache:TestFailover", "{'ReplicationGroupId': 'app-redis', 'NodeGroupId': '0002'}",
         "NodeGroupNotFoundFault", NULL},
        {"elasticache:TestFailover", "{'ReplicationGroupId': 'app-redis', 'NodeGroupId': '0001'}",
         "InvalidReplicationGroupState", "not available"}, /* nothing runs here */
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_replica_counts(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"elasticache:IncreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 3, 'ApplyImmediately': true}",
         NULL,
         "{'ReplicationGroup': {'MemberClusters': ['app-redis-001', 'app-redis-002', "
         "'app-redis-003', 'app-redis-004']}}"},
        {"elasticache:IncreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 3, 'ApplyImmediately': true}",
         "InvalidParameterValue", NULL},
        {"elasticache:IncreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 6, 'ApplyImmediately': true}",
         "InvalidParameterValue", "at most 5"},
        {"elasticache:IncreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 4, 'ApplyImmediately': false}",
         "InvalidParameterValue", "ApplyImmediately"},
        {"elasticache:DecreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'ReplicasToRemove': ['app-redis-002'], "
         "'ApplyImmediately': true}",
         NULL,
         "{'ReplicationGroup': {'MemberClusters': ['app-redis-001', 'app-redis-003', "
         "'app-redis-004']}}"},
        {"elasticache:DecreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'ReplicasToRemove': ['app-redis-001'], "
         "'ApplyImmediately': true}",
         "InvalidParameterValue", "not a replica"},
        {"elasticache:DecreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 0, 'ApplyImmediately': true}",
         "InvalidParameterValue", "at least one replica"},
        {"elasticache:DecreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 2, 'ApplyImmediately': true}",
         "InvalidParameterValue", NULL},
    };
    RUN_STEPS(harness, steps);
    /* the last one has become the primary: it stays */
    harness_put(harness, "status/replication-group/app-redis",
                "{'Status': 'available', 'generation': 3, 'members': [{'CacheClusterId': "
                "'app-redis-004', 'role': 'primary'}]}");
    static const Step more[] = {
        {"elasticache:DecreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 1, 'ApplyImmediately': true}",
         NULL, "{'ReplicationGroup': {'MemberClusters': ['app-redis-001', 'app-redis-004']}}"},
        {"elasticache:IncreaseReplicaCount",
         "{'ReplicationGroupId': 'app-redis', 'NewReplicaCount': 2, 'ApplyImmediately': true}",
         NULL,
         "{'ReplicationGroup': {'MemberClusters': ['app-redis-001', 'app-redis-004', "
         "'app-redis-005']}}"},
    };
    RUN_STEPS(harness, more);
}

static void test_delete(void **state)
{
    static const Step steps[] = {
        {"elasticache:DeleteReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'FinalSnapshotIdentifier': 'last'}",
         "InvalidParameterCombination", "final snapshot last"},
        {"elasticache:DeleteReplicationGroup",
         "{'ReplicationGroupId': 'app-redis', 'RetainPrimaryCluster': true}",
         "InvalidParameterCombination", "RetainPrimaryCluster"},
        {"elasticache:DeleteReplicationGroup", "{'ReplicationGroupId': 'app-redis'}", NULL,
         "{'ReplicationGroup': {'Status': 'deleting'}}"},
        {"elasticache:DeleteReplicationGroup", "{'ReplicationGroupId': 'app-redis'}",
         "InvalidReplicationGroupState", NULL},
        {"elasticache:DeleteReplicationGroup", "{'ReplicationGroupId': 'nope'}",
         "ReplicationGroupNotFoundFault", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, cache_setup, harness_teardown)
        API_TEST(test_describe), API_TEST(test_create_refusals), API_TEST(test_auth_tokens),
        API_TEST(test_modify),   API_TEST(test_replica_counts),  API_TEST(test_delete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
