/* Proxies, their target group and targets. */
#include "harness.h"

#define SUBNETS "'VpcSubnetIds': ['subnet-0000000000000000a', 'subnet-0000000000000000b']"
#define AUTH    "'Auth': [{'AuthScheme': 'SECRETS', 'SecretArn': '$secret', 'IAMAuth': 'DISABLED'}]"
#define PROXY                                                                                      \
    "'DBProxyName': 'App-Proxy', 'EngineFamily': 'POSTGRESQL', 'RoleArn': "                        \
    "'arn:aws:iam::000000000000:role/weir', " SUBNETS ", " AUTH

static void run(Harness *harness, const char *operation, const char *input, const char *fault,
                const char *expect)
{
    Step step = {operation, input, fault, expect};
    run_step(harness, &step);
}

static void keep(Harness *harness, const char *operation, const char *input, const char *name,
                 const char *path)
{
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, operation, input, &output, &fault));
    harness_keep(harness, name, output, path);
    json_decref(output);
}

/* A secret, an instance, and a proxy. */
static int proxy_setup(void **state)
{
    harness_setup(state);
    Harness *harness = *state;
    keep(harness, "secretsmanager:CreateSecret", "{'Name': 'app', 'SecretString': '{}'}", "secret",
         "ARN");
    keep(harness, "rds:CreateDBInstance",
         "{'DBInstanceIdentifier': 'app', 'Engine': 'postgres', 'DBInstanceClass': 'db.t4g.micro', "
         "'AllocatedStorage': 20, 'MasterUsername': 'a', 'MasterUserPassword': '12345678'}",
         "dbi", "DBInstance.DbiResourceId");
    keep(harness, "rds:CreateDBProxy",
         "{" PROXY ", 'IdleClientTimeout': 900, 'Tags': [{'Key': 'Environment', 'Value': 'p'}]}",
         "arn", "DBProxy.DBProxyArn");
    return 0;
}

static void test_create_and_describe(void **state)
{
    Harness *harness = *state;
    run(harness, "rds:DescribeDBProxies", "{'DBProxyName': 'app-proxy'}", NULL,
        "{'DBProxies': [{'DBProxyName': 'app-proxy', 'Status': 'creating', 'EngineFamily': "
        "'POSTGRESQL', 'RequireTLS': false, 'IdleClientTimeout': 900, 'DebugLogging': false, "
        "'VpcId': 'vpc-00000000000000001', 'VpcSecurityGroupIds': ['sg-00000000000000001'], "
        "'VpcSubnetIds': ['subnet-0000000000000000a', 'subnet-0000000000000000b'], 'Auth': "
        "[{'AuthScheme': 'SECRETS', 'SecretArn': '$secret', 'IAMAuth': 'DISABLED', "
        "'ClientPasswordAuthType': 'POSTGRES_SCRAM_SHA_256'}], 'Endpoint': null}]}");
    harness_put(harness, "status/db-proxy/app-proxy",
                "{'Status': 'available', 'generation': 1, 'endpoint_host': '1.9'}");
    run(harness, "rds:DescribeDBProxies", NULL, NULL,
        "{'DBProxies': [{'Status': 'available', 'Endpoint': '127.5.1.9'}]}");
    static const Step steps[] = {
        {"rds:ListTagsForResource", "{'ResourceName': '$arn'}", NULL,
         "{'TagList': [{'Key': 'Environment', 'Value': 'p'}]}"},
        {"rds:CreateDBProxy", "{" PROXY "}", "DBProxyAlreadyExistsFault", NULL},
        {"rds:DescribeDBProxies", "{'DBProxyName': 'nope'}", "DBProxyNotFoundFault", NULL},
    };
    RUN_STEPS(harness, steps);
}

static void test_create_refusals(void **state)
{
    static const Step steps[] = {
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'x', 'EngineFamily': 'MYSQL'}",
         "InvalidParameterCombination", "MYSQL"},
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'x', 'Auth': []}",
         "InvalidParameterValue", "Auth"},
        {"rds:CreateDBProxy",
         "{" PROXY ", 'DBProxyName': 'x', 'Auth': [{'SecretArn': 'arn:nope'}]}",
         "InvalidParameterValue", "arn:nope"},
        {"rds:CreateDBProxy",
         "{" PROXY ", 'DBProxyName': 'x', 'Auth': [{'SecretArn': '$secret', 'IAMAuth': "
         "'ENABLED'}]}",
         "InvalidParameterCombination", "DISABLED or REQUIRED"},
        {"rds:CreateDBProxy",
         "{" PROXY ", 'DBProxyName': 'x', 'Auth': [{'SecretArn': '$secret', 'IAMAuth': 'ON'}]}",
         "InvalidParameterValue", "IAMAuth: ON"},
        {"rds:CreateDBProxy",
         "{" PROXY ", 'DBProxyName': 'x', 'Auth': [{'SecretArn': '$secret', "
         "'ClientPasswordAuthType': 'MYSQL_NATIVE_PASSWORD'}]}",
         "InvalidParameterValue", "MYSQL_NATIVE_PASSWORD"},
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'x', 'VpcSubnetIds': ['subnet-1']}",
         "InvalidSubnet", "subnet-1"},
        {"rds:CreateDBProxy",
         "{" PROXY ", 'DBProxyName': 'x', 'VpcSubnetIds': ['subnet-0000000000000000a']}",
         "InvalidSubnet", "two Availability Zones"},
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'x', 'IdleClientTimeout': 0}",
         "InvalidParameterValue", "IdleClientTimeout"},
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'x', 'DefaultAuthScheme': 'IAM_AUTH'}",
         "InvalidParameterCombination", "IAM"},
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'a--b'}", "InvalidParameterValue",
         "hyphens"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_modify_and_delete(void **state)
{
    static const Step steps[] = {
        {"rds:ModifyDBProxy",
         "{'DBProxyName': 'app-proxy', 'NewDBProxyName': 'app-proxy', " AUTH
         ", 'RequireTLS': true, 'IdleClientTimeout': 60, 'DebugLogging': true, 'SecurityGroups': "
         "['sg-00000000000000001']}",
         NULL, "{'DBProxy': {'RequireTLS': true, 'IdleClientTimeout': 60, 'DebugLogging': true}}"},
        {"rds:ModifyDBProxy",
         "{'DBProxyName': 'app-proxy', 'Auth': [{'SecretArn': '$secret', "
         "'ClientPasswordAuthType': 'POSTGRES_MD5'}]}",
         NULL, "{'DBProxy': {'Auth': [{'ClientPasswordAuthType': 'POSTGRES_MD5'}]}}"},
        {"rds:ModifyDBProxy",
         "{'DBProxyName': 'app-proxy', 'Auth': [{'SecretArn': '$secret', 'IAMAuth': 'REQUIRED'}]}",
         NULL, "{'DBProxy': {'Auth': [{'IAMAuth': 'REQUIRED'}]}}"},
        {"rds:ModifyDBProxy",
         "{'DBProxyName': 'app-proxy', 'Auth': [{'SecretArn': '$secret', "
         "'ClientPasswordAuthType': 'md5'}]}",
         "InvalidParameterValue", "POSTGRES_SCRAM_SHA_256 or POSTGRES_MD5"},
        {"rds:ModifyDBProxy", "{'DBProxyName': 'app-proxy', 'NewDBProxyName': 'other'}",
         "InvalidParameterCombination", "renaming"},
        {"rds:ModifyDBProxy", "{'DBProxyName': 'app-proxy', 'SecurityGroups': ['sg-nope']}",
         "InvalidParameterValue", "sg-nope"},
        {"rds:DeleteDBProxy", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'DBProxy': {'Status': 'deleting'}}"},
        {"rds:DeleteDBProxy", "{'DBProxyName': 'app-proxy'}", "InvalidDBProxyStateFault", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_target_group(void **state)
{
    static const Step steps[] = {
        {"rds:DescribeDBProxyTargetGroups", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'TargetGroups': [{'TargetGroupName': 'default', 'IsDefault': true, 'DBProxyName': "
         "'app-proxy', 'TargetGroupArn': '*', 'ConnectionPoolConfig': {'MaxConnectionsPercent': "
         "100, 'MaxIdleConnectionsPercent': 50, 'ConnectionBorrowTimeout': 120, "
         "'SessionPinningFilters': []}}]}"},
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'MaxConnectionsPercent': 80, 'MaxIdleConnectionsPercent': 0, 'ConnectionBorrowTimeout': "
         "5}}",
         NULL,
         "{'DBProxyTargetGroup': {'ConnectionPoolConfig': {'MaxConnectionsPercent': 80, "
         "'MaxIdleConnectionsPercent': 0, 'ConnectionBorrowTimeout': 5}}}"},
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'MaxConnectionsPercent': 10, 'MaxIdleConnectionsPercent': 20}}",
         "InvalidParameterValue", "MaxIdleConnectionsPercent"},
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'MaxConnectionsPercent': 101}}",
         "InvalidParameterValue", "between 1 and 100"},
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'SessionPinningFilters': ['EXCLUDE_VARIABLE_SETS']}}",
         "InvalidParameterCombination", "session pinning filters"},
        {"rds:ModifyDBProxyTargetGroup", "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'other'}",
         "DBProxyTargetGroupNotFoundFault", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

/* Terraform compares RdsResourceId with what it registered: that text comes back as it was. */
static void test_targets(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'DBInstanceIdentifiers': "
         "['$dbi']}",
         NULL,
         "{'DBProxyTargets': [{'RdsResourceId': '$dbi', 'Type': 'RDS_INSTANCE', 'Role': "
         "'READ_WRITE', 'Port': 5432, 'TargetArn': 'arn:aws:rds:eu-west-1:000000000000:db:app', "
         "'TargetHealth': {'State': 'REGISTERING'}}]}"},
        {"rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['app']}",
         "DBProxyTargetAlreadyRegisteredFault", NULL},
        {"rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['nobody']}", "DBInstanceNotFound",
         NULL},
        {"rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBClusterIdentifiers': ['c']}",
         "InvalidParameterCombination", "clusters"},
        {"rds:RegisterDBProxyTargets", "{'DBProxyName': 'nope', 'DBInstanceIdentifiers': ['app']}",
         "DBProxyNotFoundFault", NULL},
        {"rds:DescribeDBProxyTargets", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'Targets': [{'RdsResourceId': '$dbi'}]}"},
    };
    RUN_STEPS(harness, steps);
    json_t *instance = harness_get(harness, "spec/db-instance/app");
    CLEANUP(mem_free_ptr)
    char *status =
        mem_printf("{'Status': 'available', 'generation': 2, 'targets': [{'dbi': '%s', 'State': "
                   "'UNAVAILABLE', 'Reason': 'AUTH_FAILURE', 'Description': 'd'}]}",
                   member_str(instance, "DbiResourceId", ""));
    json_decref(instance);
    harness_put(harness, "status/db-proxy/app-proxy", status);
    harness_put(harness, "status/db-instance/app", "{'endpoint_host': '1.2', 'generation': 1}");
    static const Step more[] = {
        {"rds:DescribeDBProxyTargets", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'Targets': [{'Endpoint': '127.5.1.2', 'TargetHealth': {'State': 'UNAVAILABLE', "
         "'Reason': 'AUTH_FAILURE', 'Description': 'd'}}]}"},
        {"rds:DeregisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['app']}", NULL, NULL},
        {"rds:DeregisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['app']}",
         "DBProxyTargetNotFoundFault", NULL},
        {"rds:DescribeDBProxyTargets", "{'DBProxyName': 'app-proxy'}", NULL, "{'Targets': []}"},
    };
    RUN_STEPS(harness, more);
}

static void test_a_replica_is_no_target(void **state)
{
    static const Step steps[] = {
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'r', 'SourceDBInstanceIdentifier': 'app'}", NULL, NULL},
        {"rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['r']}", "InvalidDBInstanceState",
         "read replica"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

/* ---- endpoints
 * ----------------------------------------------------------------------------------- */

#define ENDPOINT "'DBProxyName': 'App-Proxy', " SUBNETS

static void make_endpoint(Harness *harness)
{
    keep(harness, "rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyEndpointName': 'Web', 'Tags': [{'Key': 'team', 'Value': 't'}]}",
         "endpoint", "DBProxyEndpoint.DBProxyEndpointArn");
}

static void test_an_endpoint(void **state)
{
    Harness *harness = *state;
    make_endpoint(harness);
    run(harness, "rds:DescribeDBProxyEndpoints", "{'DBProxyEndpointName': 'web'}", NULL,
        "{'DBProxyEndpoints': [{'DBProxyEndpointName': 'web', 'DBProxyName': 'app-proxy', "
        "'DBProxyEndpointArn': '$endpoint', 'Status': 'creating', 'TargetRole': 'READ_WRITE', "
        "'IsDefault': false, 'VpcId': 'vpc-00000000000000001', 'VpcSecurityGroupIds': "
        "['sg-00000000000000001'], 'VpcSubnetIds': ['subnet-0000000000000000a', "
        "'subnet-0000000000000000b'], 'Endpoint': null}]}");
    harness_put(harness, "status/db-proxy-endpoint/web",
                "{'Status': 'available', 'generation': 1, 'endpoint_host': '1.9'}");
    static const Step steps[] = {
        {"rds:DescribeDBProxyEndpoints", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'DBProxyEndpoints': [{'Status': 'available', 'Endpoint': '127.5.1.9'}]}"},
        {"rds:DescribeDBProxyEndpoints",
         "{'DBProxyName': 'App-Proxy', 'DBProxyEndpointName': 'WEB'}", NULL,
         "{'DBProxyEndpoints': [{'DBProxyEndpointName': 'web'}]}"},
        {"rds:ListTagsForResource", "{'ResourceName': '$endpoint'}", NULL,
         "{'TagList': [{'Key': 'team', 'Value': 't'}]}"},
        {"rds:AddTagsToResource",
         "{'ResourceName': '$endpoint', 'Tags': [{'Key': 'team', 'Value': 'u'}]}", NULL, NULL},
        {"rds:ListTagsForResource", "{'ResourceName': '$endpoint'}", NULL,
         "{'TagList': [{'Key': 'team', 'Value': 'u'}]}"},
        {"rds:ListTagsForResource",
         "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:db-proxy-endpoint:prx-endpoint-0'}",
         "DBProxyEndpointNotFoundFault", NULL},
        {"rds:DescribeDBProxyEndpoints", "{'DBProxyEndpointName': 'nope'}",
         "DBProxyEndpointNotFoundFault", "nope"},
        {"rds:DescribeDBProxyEndpoints", "{'DBProxyName': 'nope'}", "DBProxyNotFoundFault", "nope"},
        {"rds:DescribeDBProxies", NULL, NULL, "{'DBProxies': [{'DBProxyName': 'app-proxy'}]}"},
        {"rds:DescribeEvents", "{'SourceType': 'db-proxy'}", NULL,
         "{'Events': [{'SourceIdentifier': 'app-proxy', 'SourceArn': '$arn'}, {'SourceIdentifier': "
         "'web', 'SourceType': 'db-proxy', 'SourceArn': '$endpoint'}]}"},
    };
    harness_put(harness, "event/1-a",
                "{'type': 'db-proxy', 'id': 'app-proxy', 'message': 'm', 'categories': [], "
                "'time_ms': 1699999999000}");
    harness_put(harness, "event/2-b",
                "{'type': 'db-proxy-endpoint', 'id': 'web', 'message': 'm', 'categories': [], "
                "'time_ms': 1699999999000}");
    RUN_STEPS(harness, steps);
    Slice arn = slice_of(member_str(harness->variables, "endpoint", ""));
    assert_true(
        slice_starts(arn, "arn:aws:rds:eu-west-1:000000000000:db-proxy-endpoint:prx-endpoint-"));
}

static void test_endpoints_that_are_refused(void **state)
{
    Harness *harness = *state;
    make_endpoint(harness);
    static const Step steps[] = {
        {"rds:CreateDBProxyEndpoint", "{" ENDPOINT ", 'DBProxyEndpointName': 'WEB'}",
         "DBProxyEndpointAlreadyExistsFault", "web"},
        {"rds:CreateDBProxyEndpoint",
         "{'DBProxyName': 'nope', 'DBProxyEndpointName': 'x', " SUBNETS "}", "DBProxyNotFoundFault",
         "nope"},
        {"rds:CreateDBProxyEndpoint", "{" ENDPOINT ", 'DBProxyEndpointName': 'default'}",
         "InvalidParameterValue", "own endpoint"},
        {"rds:CreateDBProxyEndpoint", "{" ENDPOINT ", 'DBProxyEndpointName': 'a--b'}",
         "InvalidParameterValue", "hyphens"},
        {"rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyEndpointName': 'x', 'TargetRole': 'READ'}",
         "InvalidParameterValue", "READ"},
        {"rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyEndpointName': 'x', 'EndpointNetworkType': 'DUAL'}",
         "InvalidParameterCombination", "IPv4"},
        {"rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyEndpointName': 'x', 'VpcSubnetIds': ['subnet-0000000000000000a']}",
         "InvalidSubnet", "two Availability Zones"},
        {"rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyEndpointName': 'x', 'VpcSubnetIds': ['subnet-0000000000000000a', "
         "'subnet-0000000000000000a']}",
         "InvalidSubnet", "two Availability Zones"},
        {"rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyEndpointName': 'x', 'VpcSecurityGroupIds': ['sg-nope']}",
         "InvalidParameterValue", "sg-nope"},
        {"rds:ModifyDBProxyEndpoint",
         "{'DBProxyEndpointName': 'web', 'NewDBProxyEndpointName': 'other'}",
         "InvalidParameterCombination", "renaming"},
        {"rds:ModifyDBProxyEndpoint", "{'DBProxyEndpointName': 'nope'}",
         "DBProxyEndpointNotFoundFault", NULL},
        {"rds:ModifyDBProxyEndpoint",
         "{'DBProxyEndpointName': 'web', 'VpcSecurityGroupIds': ['sg-nope']}",
         "InvalidParameterValue", "sg-nope"},
        {"rds:DeleteDBProxyEndpoint", "{'DBProxyEndpointName': 'default'}",
         "DBProxyEndpointNotFoundFault", NULL},
    };
    RUN_STEPS(harness, steps);
}

static void test_endpoints_have_a_limit(void **state)
{
    Harness *harness = *state;
    for (int i = 0; i < 20; i++) {
        CLEANUP(mem_free_ptr)
        char *input = mem_printf("{" ENDPOINT ", 'DBProxyEndpointName': 'e%d'}", i);
        run(harness, "rds:CreateDBProxyEndpoint", input, NULL, NULL);
    }
    run(harness, "rds:CreateDBProxyEndpoint", "{" ENDPOINT ", 'DBProxyEndpointName': 'x'}",
        "DBProxyEndpointQuotaExceededFault", "20");
    run(harness, "rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'other'}", NULL, NULL);
    run(harness, "rds:CreateDBProxyEndpoint",
        "{" ENDPOINT ", 'DBProxyName': 'other', 'DBProxyEndpointName': 'x'}", NULL, NULL);
}

static void test_an_endpoint_changes_and_goes(void **state)
{
    Harness *harness = *state;
    make_endpoint(harness);
    keep(harness, "ec2:CreateSecurityGroup", "{'GroupName': 'g', 'Description': 'd'}", "group",
         "GroupId");
    static const Step steps[] = {
        {"rds:ModifyDBProxyEndpoint",
         "{'DBProxyEndpointName': 'web', 'NewDBProxyEndpointName': 'web', 'VpcSecurityGroupIds': "
         "['$group']}",
         NULL, "{'DBProxyEndpoint': {'VpcSecurityGroupIds': ['$group']}}"},
        {"ec2:DeleteSecurityGroup", "{'GroupId': '$group'}", "DependencyViolation", NULL},
        {"rds:DeleteDBProxyEndpoint", "{'DBProxyEndpointName': 'web'}", NULL,
         "{'DBProxyEndpoint': {'Status': 'deleting'}}"},
        {"rds:DeleteDBProxyEndpoint", "{'DBProxyEndpointName': 'web'}",
         "InvalidDBProxyEndpointStateFault", NULL},
        {"rds:ModifyDBProxyEndpoint", "{'DBProxyEndpointName': 'web'}",
         "InvalidDBProxyEndpointStateFault", NULL},
    };
    RUN_STEPS(harness, steps);
}

static void test_endpoints_go_with_their_proxy(void **state)
{
    Harness *harness = *state;
    make_endpoint(harness);
    static const Step steps[] = {
        {"rds:CreateDBProxy", "{" PROXY ", 'DBProxyName': 'other'}", NULL, NULL},
        {"rds:CreateDBProxyEndpoint",
         "{" ENDPOINT ", 'DBProxyName': 'other', 'DBProxyEndpointName': 'stays'}", NULL, NULL},
        {"rds:DeleteDBProxy", "{'DBProxyName': 'app-proxy'}", NULL, NULL},
        {"rds:DescribeDBProxyEndpoints", NULL, NULL,
         "{'DBProxyEndpoints': [{'DBProxyEndpointName': 'stays', 'Status': 'creating'}, "
         "{'DBProxyEndpointName': 'web', 'Status': 'deleting'}]}"},
        {"rds:CreateDBProxyEndpoint", "{" ENDPOINT ", 'DBProxyEndpointName': 'late'}",
         "InvalidDBProxyStateFault", "app-proxy"},
    };
    RUN_STEPS(harness, steps);
}

/* What AWS has no word for; without any, the proxy has the defaults. */
static void test_options(void **state)
{
    static const Step steps[] = {
        {"weir:DescribeDBProxyOptions", NULL, NULL, "{'Options': []}"},
        {"weir:PutDBProxyOptions", "{'DBProxyName': 'nope'}", "ResourceNotFoundException", "nope"},
        {"weir:PutDBProxyOptions", "{'DBProxyName': 'App-Proxy', 'Reads': 'replicas'}",
         "InvalidParameterException", "split"},
        {"weir:PutDBProxyOptions", "{'DBProxyName': 'app-proxy', 'KeepListening': true}",
         "InvalidParameterException", "SharedListeners"},
        {"weir:DeleteDBProxyOptions", "{'DBProxyName': 'app-proxy'}", "ResourceNotFoundException",
         "defaults"},
        {"weir:PutDBProxyOptions",
         "{'DBProxyName': 'App-Proxy', 'Reads': 'split', 'SharedConnections': 4, 'Tags': [{'Key': "
         "'a', 'Value': 'b'}]}",
         NULL,
         "{'Options': {'DBProxyName': 'app-proxy', 'Reads': 'split', 'SharedConnections': 4, "
         "'SharedListeners': false, 'MaxReplicaLagMs': 30000, 'Tags': [{'Key': 'a', 'Value': "
         "'b'}]}}"},
        {"weir:PutDBProxyOptions", "{'DBProxyName': 'app-proxy', 'SharedListeners': true}", NULL,
         "{'Options': {'Reads': 'primary', 'SharedConnections': 0, 'SharedListeners': true, "
         "'Tags': [{'Key': 'a', 'Value': 'b'}]}}"},
        {"weir:DescribeDBProxyOptions", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'Options': [{'SharedListeners': true, 'KeepListening': false}]}"},
        {"weir:DeleteDBProxyOptions", "{'DBProxyName': 'app-proxy'}", NULL, NULL},
        {"weir:DescribeDBProxyOptions", NULL, NULL, "{'Options': []}"},
        {"rds:DeleteDBProxy", "{'DBProxyName': 'app-proxy'}", NULL, NULL},
        {"weir:PutDBProxyOptions", "{'DBProxyName': 'app-proxy'}", "ResourceNotFoundException",
         "app-proxy"},
    };
    RUN_STEPS(*state, steps);
}

static void test_an_init_query(void **state)
{
    static const Step steps[] = {
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'InitQuery': 'SET x.y = 1'}}",
         NULL, "{'DBProxyTargetGroup': {'ConnectionPoolConfig': {'InitQuery': 'SET x.y = 1'}}}"},
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'MaxConnectionsPercent': 50}}",
         NULL, "{'DBProxyTargetGroup': {'ConnectionPoolConfig': {'InitQuery': 'SET x.y = 1'}}}"},
        {"rds:ModifyDBProxyTargetGroup",
         "{'DBProxyName': 'app-proxy', 'TargetGroupName': 'default', 'ConnectionPoolConfig': "
         "{'InitQuery': ''}}",
         NULL, "{'DBProxyTargetGroup': {'ConnectionPoolConfig': {'InitQuery': null}}}"},
    };
    RUN_STEPS(*state, steps);
}

/* Read replicas are targets as long as control says so, and as long as they are replicas. */
static void test_replicas_are_shown_as_targets(void **state)
{
    Harness *harness = *state;
    run(harness, "rds:RegisterDBProxyTargets",
        "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['app']}", NULL, NULL);
    keep(harness, "rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'r', 'SourceDBInstanceIdentifier': 'app'}", "replica",
         "DBInstance.DbiResourceId");
    CLEANUP(mem_free_ptr)
    char *status = mem_printf(
        "{'Status': 'available', 'generation': 2, 'targets': [{'dbi': '%s', 'RdsResourceId': 'r', "
        "'role': 'READ_ONLY', 'State': 'AVAILABLE'}, {'dbi': '%s', 'RdsResourceId': 'promoted', "
        "'role': 'READ_ONLY', 'State': 'AVAILABLE'}]}",
        member_str(harness->variables, "replica", ""), member_str(harness->variables, "dbi", ""));
    harness_put(harness, "status/db-proxy/app-proxy", status);
    static const Step steps[] = {
        {"rds:DescribeDBProxyTargets", "{'DBProxyName': 'app-proxy'}", NULL,
         "{'Targets': [{'RdsResourceId': 'app', 'Role': 'READ_WRITE'}, {'RdsResourceId': 'r', "
         "'Role': 'READ_ONLY', 'Type': 'RDS_INSTANCE', 'Port': 5432, 'TargetArn': "
         "'arn:aws:rds:eu-west-1:000000000000:db:r', 'TargetHealth': {'State': 'AVAILABLE'}}]}"},
        {"rds:DeregisterDBProxyTargets",
         "{'DBProxyName': 'app-proxy', 'DBInstanceIdentifiers': ['r']}",
         "DBProxyTargetNotFoundFault", NULL},
    };
    RUN_STEPS(harness, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, proxy_setup, harness_teardown)
        API_TEST(test_create_and_describe),
        API_TEST(test_create_refusals),
        API_TEST(test_modify_and_delete),
        API_TEST(test_target_group),
        API_TEST(test_targets),
        API_TEST(test_a_replica_is_no_target),
        API_TEST(test_an_endpoint),
        API_TEST(test_endpoints_that_are_refused),
        API_TEST(test_endpoints_have_a_limit),
        API_TEST(test_an_endpoint_changes_and_goes),
        API_TEST(test_endpoints_go_with_their_proxy),
        API_TEST(test_replicas_are_shown_as_targets),
        API_TEST(test_options),
        API_TEST(test_an_init_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
