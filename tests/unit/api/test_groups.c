/* Subnet groups and parameter groups of both services, and who may not be taken away. */
#include "harness.h"

#define SUBNETS "'SubnetIds': ['subnet-0000000000000000a', 'subnet-0000000000000000b']"
#define SUBNET  "'SubnetIds': ['subnet-0000000000000000c']"

static void test_db_subnet_groups(void **state)
{
    static const Step steps[] = {
        {"rds:CreateDBSubnetGroup",
         "{'DBSubnetGroupName': 'Main', 'DBSubnetGroupDescription': 'd', " SUBNETS "}", NULL,
         "{'DBSubnetGroup': {'DBSubnetGroupName': 'main', 'DBSubnetGroupDescription': 'd', "
         "'SubnetGroupStatus': 'Complete', 'VpcId': 'vpc-00000000000000001', 'Subnets': "
         "[{'SubnetIdentifier': 'subnet-0000000000000000a', 'SubnetAvailabilityZone': {'Name': "
         "'eu-west-1a'}}, {}], 'DBSubnetGroupArn': "
         "'arn:aws:rds:eu-west-1:000000000000:subgrp:main'}}"},
        {"rds:CreateDBSubnetGroup",
         "{'DBSubnetGroupName': 'main', 'DBSubnetGroupDescription': 'd', " SUBNETS "}",
         "DBSubnetGroupAlreadyExists", NULL},
        {"rds:CreateDBSubnetGroup",
         "{'DBSubnetGroupName': 'default', 'DBSubnetGroupDescription': 'd', " SUBNETS "}",
         "InvalidParameterValue", "reserved"},
        {"rds:CreateDBSubnetGroup",
         "{'DBSubnetGroupName': 'one', 'DBSubnetGroupDescription': 'd', " SUBNET "}",
         "DBSubnetGroupDoesNotCoverEnoughAZs", "eu-west-1c"},
        {"rds:CreateDBSubnetGroup",
         "{'DBSubnetGroupName': 'bad', 'DBSubnetGroupDescription': 'd', 'SubnetIds': "
         "['subnet-1']}",
         "InvalidSubnet", "subnet-1"},
        {"rds:DescribeDBSubnetGroups", NULL, NULL,
         "{'DBSubnetGroups': [{'DBSubnetGroupName': 'default'}, {'DBSubnetGroupName': 'main'}]}"},
        {"rds:DescribeDBSubnetGroups", "{'DBSubnetGroupName': 'nope'}",
         "DBSubnetGroupNotFoundFault", "nope"},
        {"rds:ModifyDBSubnetGroup",
         "{'DBSubnetGroupName': 'MAIN', 'DBSubnetGroupDescription': 'e', 'SubnetIds': "
         "['subnet-0000000000000000b', 'subnet-0000000000000000c']}",
         NULL,
         "{'DBSubnetGroup': {'DBSubnetGroupDescription': 'e', 'Subnets': [{'SubnetIdentifier': "
         "'subnet-0000000000000000b'}, {}]}}"},
        {"rds:ModifyDBSubnetGroup", "{'DBSubnetGroupName': 'default', " SUBNETS "}",
         "InvalidParameterValue", "default"},
        {"rds:CreateDBInstance",
         "{'DBInstanceIdentifier': 'app', 'Engine': 'postgres', 'DBInstanceClass': 'db.t4g.micro', "
         "'AllocatedStorage': 20, 'MasterUsername': 'a', 'MasterUserPassword': '12345678', "
         "'DBSubnetGroupName': 'main'}",
         NULL, "{'DBInstance': {'DBSubnetGroup': {'DBSubnetGroupName': 'main'}}}"},
        {"rds:DeleteDBSubnetGroup", "{'DBSubnetGroupName': 'main'}",
         "InvalidDBSubnetGroupStateFault", "app"},
        {"rds:CreateDBSubnetGroup",
         "{'DBSubnetGroupName': 'free', 'DBSubnetGroupDescription': 'd', " SUBNETS "}", NULL, NULL},
        {"rds:DeleteDBSubnetGroup", "{'DBSubnetGroupName': 'free'}", NULL, NULL},
        {"rds:DeleteDBSubnetGroup", "{'DBSubnetGroupName': 'free'}", "DBSubnetGroupNotFoundFault",
         NULL},
        {"rds:DeleteDBSubnetGroup", "{'DBSubnetGroupName': 'default'}", "InvalidParameterValue",
         NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_cache_subnet_groups(void **state)
{
    static const Step steps[] = {
        {"elasticache:CreateCacheSubnetGroup",
         "{'CacheSubnetGroupName': 'redis', 'CacheSubnetGroupDescription': 'd', " SUBNET
         ", 'Tags': [{'Key': 'k', 'Value': 'v'}]}",
         NULL,
         "{'CacheSubnetGroup': {'CacheSubnetGroupName': 'redis', 'ARN': "
         "'arn:aws:elasticache:eu-west-1:000000000000:subnetgroup:redis'}}"},
        {"elasticache:ListTagsForResource",
         "{'ResourceName': 'arn:aws:elasticache:eu-west-1:000000000000:subnetgroup:redis'}", NULL,
         "{'TagList': [{'Key': 'k', 'Value': 'v'}]}"},
        {"elasticache:CreateReplicationGroup",
         "{'ReplicationGroupId': 'r', 'ReplicationGroupDescription': 'd', 'CacheNodeType': "
         "'cache.t4g.micro', 'CacheSubnetGroupName': 'redis'}",
         NULL, NULL},
        {"elasticache:DeleteCacheSubnetGroup", "{'CacheSubnetGroupName': 'redis'}",
         "CacheSubnetGroupInUse", "r"},
        {"elasticache:DescribeCacheSubnetGroups", "{'CacheSubnetGroupName': 'nope'}",
         "CacheSubnetGroupNotFoundFault", "nope"},
        {"elasticache:ModifyCacheSubnetGroup",
         "{'CacheSubnetGroupName': 'redis', 'CacheSubnetGroupDescription': 'e'}", NULL,
         "{'CacheSubnetGroup': {'CacheSubnetGroupDescription': 'e'}}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

/* ---- parameter groups
 * ---------------------------------------------------------------------------- */

#define NEW_GROUP                                                                                  \
    {                                                                                              \
        "rds:CreateDBParameterGroup",                                                              \
            "{'DBParameterGroupName': 'pg', 'DBParameterGroupFamily': 'postgres15', "              \
            "'Description': 'd'}",                                                                 \
            NULL,                                                                                  \
            "{'DBParameterGroup': {'DBParameterGroupName': 'pg', 'DBParameterGroupFamily': "       \
            "'postgres15', "                                                                       \
            "'Description': 'd', 'DBParameterGroupArn': "                                          \
            "'arn:aws:rds:eu-west-1:000000000000:pg:pg'}}"                                         \
    }

static void test_db_parameter_groups(void **state)
{
    static const Step steps[] = {
        NEW_GROUP,
        {"rds:CreateDBParameterGroup",
         "{'DBParameterGroupName': 'PG', 'DBParameterGroupFamily': 'postgres15', 'Description': "
         "'d'}",
         "DBParameterGroupAlreadyExists", NULL},
        {"rds:CreateDBParameterGroup",
         "{'DBParameterGroupName': 'x', 'DBParameterGroupFamily': 'postgres16', 'Description': "
         "'d'}",
         "InvalidParameterValue", "Installed: 15.18"},
        {"rds:CreateDBParameterGroup",
         "{'DBParameterGroupName': 'x', 'DBParameterGroupFamily': 'redis7', 'Description': 'd'}",
         "InvalidParameterValue", "postgres"},
        {"rds:DescribeDBParameterGroups", NULL, NULL,
         "{'DBParameterGroups': [{'DBParameterGroupName': 'default.postgres15'}, "
         "{'DBParameterGroupName': 'pg'}]}"},
        {"rds:DescribeDBParameterGroups", "{'DBParameterGroupName': 'default.postgres15'}", NULL,
         "{'DBParameterGroups': [{'DBParameterGroupFamily': 'postgres15'}]}"},
        {"rds:DescribeDBParameterGroups", "{'DBParameterGroupName': 'nope'}",
         "DBParameterGroupNotFound", NULL},
        {"rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'default.postgres15'}",
         "InvalidDBParameterGroupState", NULL},
        {"rds:CreateDBInstance",
         "{'DBInstanceIdentifier': 'app', 'Engine': 'postgres', 'DBInstanceClass': 'db.t4g.micro', "
         "'AllocatedStorage': 20, 'MasterUsername': 'a', 'MasterUserPassword': '12345678', "
         "'DBParameterGroupName': 'pg'}",
         NULL, "{'DBInstance': {'DBParameterGroups': [{'DBParameterGroupName': 'pg'}]}}"},
        {"rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'pg'}",
         "InvalidDBParameterGroupState", "app"},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'DBParameterGroupName': 'default.postgres15'}", NULL,
         NULL},
        {"rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'pg'}", NULL, NULL},
        {"rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'pg'}", "DBParameterGroupNotFound",
         NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_db_parameters(void **state)
{
    static const Step steps[] = {
        NEW_GROUP,
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'work_mem', "
         "'ParameterValue': '8192', 'ApplyMethod': 'immediate'}, {'ParameterName': "
         "'Max_Connections', 'ParameterValue': '{DBInstanceClassMemory/9531392}', 'ApplyMethod': "
         "'pending-reboot'}]}",
         NULL, "{'DBParameterGroupName': 'pg'}"},
        {"rds:DescribeDBParameters", "{'DBParameterGroupName': 'pg', 'Source': 'user'}", NULL,
         "{'Parameters': [{'ParameterName': 'max_connections', 'ParameterValue': "
         "'{DBInstanceClassMemory/9531392}', 'ApplyType': 'static', 'ApplyMethod': "
         "'pending-reboot', 'Source': 'user', 'IsModifiable': true, 'DataType': 'integer', "
         "'AllowedValues': '6-262143'}, {'ParameterName': 'work_mem', 'ParameterValue': '8192', "
         "'ApplyType': 'dynamic', 'ApplyMethod': 'immediate'}]}"},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'shared_buffers', "
         "'ParameterValue': '1000', 'ApplyMethod': 'immediate'}]}",
         "InvalidParameterCombination", "immediate apply method for static parameter"},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'fsync', "
         "'ParameterValue': '0', 'ApplyMethod': 'immediate'}]}",
         "InvalidParameterCombination", "fsync cannot be modified"},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'work_mem', "
         "'ParameterValue': '16MB', 'ApplyMethod': 'immediate'}]}",
         "InvalidParameterValue", "allowed values are: 64-2147483647"},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'nope', "
         "'ParameterValue': '1'}]}",
         "InvalidParameterValue", "Could not find parameter with name: nope"},
        {"rds:ModifyDBParameterGroup", "{'DBParameterGroupName': 'pg', 'Parameters': []}",
         "InvalidParameterValue", "No parameters"},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'default.postgres15', 'Parameters': [{'ParameterName': "
         "'work_mem', 'ParameterValue': '8192'}]}",
         "InvalidParameterValue", "default"},
        {"rds:ResetDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'work_mem'}]}", NULL,
         NULL},
        {"rds:DescribeDBParameters", "{'DBParameterGroupName': 'pg', 'Source': 'user'}", NULL,
         "{'Parameters': [{'ParameterName': 'max_connections'}]}"},
        {"rds:ResetDBParameterGroup", "{'DBParameterGroupName': 'pg'}",
         "InvalidParameterCombination", NULL},
        {"rds:ResetDBParameterGroup", "{'DBParameterGroupName': 'pg', 'ResetAllParameters': true}",
         NULL, NULL},
        {"rds:DescribeDBParameters", "{'DBParameterGroupName': 'pg', 'Source': 'user'}", NULL,
         "{'Parameters': []}"},
        {"rds:DescribeDBParameters", "{'DBParameterGroupName': 'pg', 'Source': 'me'}",
         "InvalidParameterValue", NULL},
        {"rds:DescribeDBParameters", "{'DBParameterGroupName': 'pg', 'MaxRecords': 20}", NULL,
         "{'Marker': '20'}"},
        {"rds:DescribeEngineDefaultParameters", "{'DBParameterGroupFamily': 'postgres15'}", NULL,
         "{'EngineDefaults': {'DBParameterGroupFamily': 'postgres15', 'Marker': '100'}}"},
        {"rds:DescribeEngineDefaultParameters", "{'DBParameterGroupFamily': 'mysql8.0'}",
         "InvalidParameterValue", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

/* A refused call changes nothing, also where it was refused half way. */
static void test_a_refused_call_changes_nothing(void **state)
{
    static const Step steps[] = {
        NEW_GROUP,
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'pg', 'Parameters': [{'ParameterName': 'work_mem', "
         "'ParameterValue': '8192'}, {'ParameterName': 'nope', 'ParameterValue': '1'}]}",
         "InvalidParameterValue", NULL},
        {"rds:DescribeDBParameters", "{'DBParameterGroupName': 'pg', 'Source': 'user'}", NULL,
         "{'Parameters': []}"},
    };
    RUN_STEPS((Harness *)*state, steps);
}

static void test_cache_parameter_groups(void **state)
{
    static const Step steps[] = {
        {"elasticache:CreateCacheParameterGroup",
         "{'CacheParameterGroupName': 'rp', 'CacheParameterGroupFamily': 'redis7', 'Description': "
         "'d'}",
         NULL,
         "{'CacheParameterGroup': {'CacheParameterGroupName': 'rp', 'Description': 'd', 'ARN': "
         "'arn:aws:elasticache:eu-west-1:000000000000:parametergroup:rp'}}"},
        {"elasticache:ModifyCacheParameterGroup",
         "{'CacheParameterGroupName': 'rp', 'ParameterNameValues': [{'ParameterName': "
         "'maxmemory-policy', 'ParameterValue': 'allkeys-lru'}, {'ParameterName': 'databases', "
         "'ParameterValue': '4'}]}",
         NULL, "{'CacheParameterGroupName': 'rp'}"},
        {"elasticache:DescribeCacheParameters",
         "{'CacheParameterGroupName': 'rp', 'Source': 'user'}", NULL,
         "{'Parameters': [{'ParameterName': 'databases', 'ParameterValue': '4', 'ChangeType': "
         "'requires-reboot'}, {'ParameterName': 'maxmemory-policy', 'ParameterValue': "
         "'allkeys-lru', 'ChangeType': 'immediate'}]}"},
        {"elasticache:ModifyCacheParameterGroup",
         "{'CacheParameterGroupName': 'rp', 'ParameterNameValues': [{'ParameterName': "
         "'appendonly', 'ParameterValue': 'no'}]}",
         "InvalidParameterCombination", "appendonly cannot be modified"},
        {"elasticache:ResetCacheParameterGroup",
         "{'CacheParameterGroupName': 'rp', 'ParameterNameValues': [{'ParameterName': "
         "'databases'}]}",
         NULL, NULL},
        {"elasticache:CreateReplicationGroup",
         "{'ReplicationGroupId': 'r', 'ReplicationGroupDescription': 'd', 'CacheNodeType': "
         "'cache.t4g.micro', 'CacheParameterGroupName': 'rp'}",
         NULL, NULL},
        {"elasticache:DeleteCacheParameterGroup", "{'CacheParameterGroupName': 'rp'}",
         "InvalidCacheParameterGroupState", "r"},
        {"elasticache:DescribeCacheParameterGroups", NULL, NULL,
         "{'CacheParameterGroups': [{'CacheParameterGroupName': 'default.redis7'}, "
         "{'CacheParameterGroupName': 'rp'}]}"},
        {"elasticache:DescribeEngineDefaultParameters", "{'CacheParameterGroupFamily': 'redis7'}",
         NULL, "{'EngineDefaults': {'CacheParameterGroupFamily': 'redis7'}}"},
        {"elasticache:DescribeCacheParameterGroups", "{'CacheParameterGroupName': 'nope'}",
         "CacheParameterGroupNotFound", NULL},
    };
    RUN_STEPS((Harness *)*state, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
        API_TEST(test_db_subnet_groups),
        API_TEST(test_cache_subnet_groups),
        API_TEST(test_db_parameter_groups),
        API_TEST(test_db_parameters),
        API_TEST(test_a_refused_call_changes_nothing),
        API_TEST(test_cache_parameter_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
