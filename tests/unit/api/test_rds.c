/* Instances: made, changed, stopped, deleted; replicas; what clients see of them. */
#include "harness.h"

#include <stdlib.h>

#define APP                                                                                        \
    "'DBInstanceIdentifier': 'App', 'Engine': 'postgres', 'DBInstanceClass': 'db.r6g.large', "     \
    "'AllocatedStorage': 100, 'MasterUsername': 'dbadmin', 'MasterUserPassword': 'secret-12'"

static void run(Harness *harness, const char *operation, const char *input, const char *fault,
                const char *expect)
{
    Step step = {operation, input, fault, expect};
    run_step(harness, &step);
}

static void make_app(Harness *harness)
{
    json_t *output = NULL;
    AwsFault fault;
    assert_true(harness_call(harness, "rds:CreateDBInstance", "{" APP "}", &output, &fault));
    harness_keep(harness, "dbi", output, "DBInstance.DbiResourceId");
    json_decref(output);
}

static void available(Harness *harness, const char *key, int generation)
{
    CLEANUP(mem_free_ptr)
    char *record = mem_printf(
        "{'DBInstanceStatus': 'available', 'generation': %d, 'endpoint_host': '1.7', 'zone': 'a', "
        "'secondary_zone': 'b', 'parameter_apply_status': 'pending-reboot'}",
        generation);
    harness_put(harness, key, record);
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

static void test_create_and_describe(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    static const Step steps[] = {
        {"rds:DescribeDBInstances", "{'DBInstanceIdentifier': 'app'}", NULL,
         "{'DBInstances': [{'DBInstanceIdentifier': 'app', 'DBInstanceStatus': 'creating', "
         "'Engine': 'postgres', 'EngineVersion': '15.18', 'MultiAZ': false, 'Endpoint': null, "
         "'StorageEncrypted': false, 'DeletionProtection': false, 'BackupRetentionPeriod': 1, "
         "'MonitoringInterval': 0, 'PubliclyAccessible': false, 'DbInstancePort': 0, "
         "'DBInstanceArn': 'arn:aws:rds:eu-west-1:000000000000:db:app', 'MasterUsername': "
         "'dbadmin', 'DBParameterGroups': [{'DBParameterGroupName': 'default.postgres15', "
         "'ParameterApplyStatus': 'in-sync'}], 'VpcSecurityGroups': [{'VpcSecurityGroupId': "
         "'sg-00000000000000001', 'Status': 'active'}], 'OptionGroupMemberships': "
         "[{'OptionGroupName': 'default:postgres-15', 'Status': 'in-sync'}], "
         "'PendingModifiedValues': {}, 'TagList': [], 'ReadReplicaDBInstanceIdentifiers': [], "
         "'InstanceCreateTime': 1700000000000}]}"},
        {"rds:CreateDBInstance", "{" APP "}", "DBInstanceAlreadyExists", NULL},
    };
    RUN_STEPS(harness, steps);
    available(harness, "status/db-instance/app", 1);
    run(harness, "rds:DescribeDBInstances", "{'DBInstanceIdentifier': 'APP'}", NULL,
        "{'DBInstances': [{'DBInstanceStatus': 'available', 'Endpoint': {'Address': '127.5.1.7', "
        "'Port': 5432}, 'AvailabilityZone': 'eu-west-1a', 'SecondaryAvailabilityZone': "
        "'eu-west-1b', 'DBParameterGroups': [{'ParameterApplyStatus': 'pending-reboot'}], "
        "'DBSubnetGroup': {'DBSubnetGroupName': 'default', 'Subnets': [{}, {}, {}]}}]}");
}

static void test_found_by_resource_id_and_filters(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    static const Step steps[] = {
        {"rds:DescribeDBInstances", "{'DBInstanceIdentifier': '$dbi'}", NULL,
         "{'DBInstances': [{'DBInstanceIdentifier': 'app'}]}"},
        {"rds:DescribeDBInstances",
         "{'Filters': [{'Name': 'dbi-resource-id', 'Values': ['$dbi']}]}", NULL,
         "{'DBInstances': [{'DbiResourceId': '$dbi'}]}"},
        {"rds:DescribeDBInstances",
         "{'Filters': [{'Name': 'db-instance-id', 'Values': ['other']}]}", NULL,
         "{'DBInstances': []}"},
        {"rds:DescribeDBInstances", "{'Filters': [{'Name': 'colour', 'Values': ['red']}]}",
         "InvalidParameterValue", "Unrecognized filter name: colour"},
        {"rds:DescribeDBInstances",
         "{'DBInstanceIdentifier': 'arn:aws:rds:eu-west-1:000000000000:db:app'}", NULL,
         "{'DBInstances': [{'DBInstanceIdentifier': 'app'}]}"},
        {"rds:DescribeDBInstances", "{'DBInstanceIdentifier': 'nobody'}", "DBInstanceNotFound",
         "nobody not found"},
        {"rds:DescribeDBInstances", "{'DBInstanceIdentifier': 'db-nobody'}", "DBInstanceNotFound",
         NULL},
    };
    RUN_STEPS(harness, steps);
}

static void test_the_password_is_sealed(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    json_t *spec = harness_get(harness, "spec/db-instance/app");
    char *text = json_dumps(spec, 0);
    assert_null(strstr(text, "secret-12"));
    assert_int_equal(member_int(spec, "password_epoch", 0), 1);
    static const uint8_t key[AEAD_KEY_SIZE] = {7, 7, 7};
    Secret secret = {0};
    Err err;
    assert_true(secret_unseal(key, SLICE("spec/db-instance/app"),
                              slice_of(member_str(spec, "master_password", "")), &secret, &err));
    assert_slice(secret_reveal(&secret), "secret-12");
    secret_done(&secret);
    free(text);
    json_decref(spec);
}

static void test_the_master_password_is_told(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    available(harness, "status/db-instance/app", 1);
    static const Step steps[] = {
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'reader', 'SourceDBInstanceIdentifier': 'app'}", NULL, NULL},
        {"weir:GetMasterUserPassword", "{'DBInstanceIdentifier': 'App'}", NULL,
         "{'MasterUserPassword': 'secret-12'}"},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'MasterUserPassword': 'secret-34'}", NULL, NULL},
        {"weir:GetMasterUserPassword", "{'DBInstanceIdentifier': 'app'}", NULL,
         "{'MasterUserPassword': 'secret-34'}"},
        {"weir:GetMasterUserPassword", "{'DBInstanceIdentifier': 'reader'}", NULL,
         "{'MasterUserPassword': 'secret-34'}"},
        {"weir:GetMasterUserPassword", "{'DBInstanceIdentifier': 'nobody'}",
         "ResourceNotFoundException", "nobody"},
        {"weir:GetMasterUserPassword", NULL, "ValidationException", NULL},
    };
    RUN_STEPS(harness, steps);
}

static void test_the_guides_attributes_are_kept(void **state)
{
    Harness *harness = *state;
    static const Step steps[] = {
        {"rds:CreateDBInstance",
         "{" APP ", 'EngineVersion': '15', 'MaxAllocatedStorage': 1000, 'StorageType': 'gp3', "
         "'StorageEncrypted': true, 'MultiAZ': true, 'BackupRetentionPeriod': 7, "
         "'PreferredBackupWindow': '03:00-04:00', 'PreferredMaintenanceWindow': "
         "'sun:04:30-sun:05:30', 'EnablePerformanceInsights': true, 'MonitoringInterval': 60, "
         "'DeletionProtection': true, 'DBName': '', 'CopyTagsToSnapshot': false, "
         "'Tags': [{'Key': 'Environment', 'Value': 'production'}]}",
         NULL,
         "{'DBInstance': {'MaxAllocatedStorage': 1000, 'StorageType': 'gp3', 'StorageEncrypted': "
         "true, 'MultiAZ': true, 'BackupRetentionPeriod': 7, 'PreferredBackupWindow': "
         "'03:00-04:00', 'PreferredMaintenanceWindow': 'sun:04:30-sun:05:30', "
         "'PerformanceInsightsEnabled': true, 'MonitoringInterval': 60, 'DeletionProtection': "
         "true, 'DBName': null, 'TagList': [{'Key': 'Environment', 'Value': 'production'}]}}"},
    };
    RUN_STEPS(harness, steps);
}

static void test_create_refusals(void **state)
{
    static const Step steps[] = {
        {"rds:CreateDBInstance", "{" APP ", 'DBInstanceIdentifier': '1x'}", "InvalidParameterValue",
         "begin with a letter"},
        {"rds:CreateDBInstance", "{" APP ", 'Engine': 'mysql'}", "InvalidParameterValue",
         "Invalid DB engine: mysql"},
        {"rds:CreateDBInstance", "{" APP ", 'EngineVersion': '14.5'}",
         "InvalidParameterCombination", "Cannot find version 14.5 for postgres. Installed: 15.18"},
        {"rds:CreateDBInstance", "{" APP ", 'DBInstanceClass': 'db.r6g.huge'}",
         "InvalidParameterValue", "db.r6g.large"},
        {"rds:CreateDBInstance", "{" APP ", 'DBInstanceClass': 'cache.r6g.large'}",
         "InvalidParameterValue", "start with db."},
        {"rds:CreateDBInstance", "{" APP ", 'AllocatedStorage': 1}", "InvalidParameterValue",
         "AllocatedStorage"},
        {"rds:CreateDBInstance", "{" APP ", 'MaxAllocatedStorage': 50}",
         "InvalidParameterCombination", "max storage"},
        {"rds:CreateDBInstance", "{" APP ", 'StorageType': 'tape'}", "InvalidParameterValue",
         "tape"},
        {"rds:CreateDBInstance", "{" APP ", 'MasterUsername': 'rdsadmin'}", "InvalidParameterValue",
         "reserved"},
        {"rds:CreateDBInstance", "{" APP ", 'MasterUserPassword': 'short'}",
         "InvalidParameterValue", "shorter than 8"},
        {"rds:CreateDBInstance", "{" APP ", 'DBName': 'a-b'}", "InvalidParameterValue", "DBName"},
        {"rds:CreateDBInstance", "{" APP ", 'PreferredBackupWindow': 'noon'}",
         "InvalidParameterValue", "backup window"},
        {"rds:CreateDBInstance", "{" APP ", 'MonitoringInterval': 7}", "InvalidParameterValue",
         "MonitoringInterval"},
        {"rds:CreateDBInstance", "{" APP ", 'BackupRetentionPeriod': 36}", "InvalidParameterValue",
         "between 0 and 35"},
        {"rds:CreateDBInstance", "{" APP ", 'DBSubnetGroupName': 'nope'}",
         "DBSubnetGroupNotFoundFault", "nope"},
        {"rds:CreateDBInstance", "{" APP ", 'DBParameterGroupName': 'nope'}",
         "DBParameterGroupNotFound", "nope"},
        {"rds:CreateDBInstance", "{" APP ", 'VpcSecurityGroupIds': ['sg-nope']}",
         "InvalidParameterValue", "groupId= sg-nope"},
        {"rds:CreateDBInstance", "{" APP ", 'MultiAZ': true, 'AvailabilityZone': 'eu-west-1a'}",
         "InvalidParameterCombination", "Multi-AZ"},
        {"rds:CreateDBInstance", "{" APP ", 'AvailabilityZone': 'eu-west-1z'}",
         "InvalidParameterValue", "eu-west-1z"},
        {"rds:CreateDBInstance", "{" APP ", 'EnableIAMDatabaseAuthentication': true}",
         "InvalidParameterCombination", "EnableIAMDatabaseAuthentication"},
        {"rds:CreateDBInstance", "{" APP ", 'EnableCloudwatchLogsExports': ['postgresql']}",
         "InvalidParameterCombination", "weir logs"},
        {"rds:CreateDBInstance", "{" APP ", 'ManageMasterUserPassword': true}",
         "InvalidParameterCombination", "ManageMasterUserPassword"},
        {"rds:CreateDBInstance", "{" APP ", 'ManageMasterUserPassword': false, 'Domain': 'd'}",
         "InvalidParameterCombination", "Domain"},
        {"rds:CreateDBInstance", "{" APP ", 'Tags': [{'Key': 'aws:x', 'Value': 'y'}]}",
         "InvalidParameterValue", "reserved"},
        {"rds:CreateDBInstance",
         "{'DBInstanceIdentifier': 'x', 'Engine': 'postgres', 'DBInstanceClass': 'db.t4g.micro', "
         "'AllocatedStorage': 20}",
         "InvalidParameterValue", "MasterUsername"},
        {"rds:CreateDBInstance",
         "{'DBInstanceIdentifier': 'x', 'Engine': 'postgres', 'DBInstanceClass': 'db.t4g.micro', "
         "'MasterUsername': 'a', 'MasterUserPassword': '12345678'}",
         "InvalidParameterValue", "AllocatedStorage"},
        {"rds:DescribeDBInstances", NULL, NULL, "{'DBInstances': []}"},
    };
    RUN_STEPS(*state, steps);
}

static void test_version_map(void **state)
{
    static const Step steps[] = {
        {"weir:PutTierOption", "{'Name': 'engine_version_map', 'Value': '14=15'}", NULL, NULL},
        {"rds:CreateDBParameterGroup",
         "{'DBParameterGroupName': 'p14', 'DBParameterGroupFamily': 'postgres14', 'Description': "
         "'d'}",
         NULL, "{'DBParameterGroup': {'DBParameterGroupFamily': 'postgres14'}}"},
        {"rds:CreateDBInstance",
         "{" APP ", 'EngineVersion': '14.5', 'DBParameterGroupName': 'p14'}", NULL,
         "{'DBInstance': {'EngineVersion': '15.18'}}"},
    };
    RUN_STEPS(*state, steps);
    json_t *spec = harness_get(*state, "spec/db-instance/app");
    assert_string_equal(member_str(spec, "engine_version_requested", ""), "14.5");
    json_decref(spec);
}

/* ---- modify
 * -------------------------------------------------------------------------------------- */

static void test_modify_waits_unless_applied_immediately(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    available(harness, "status/db-instance/app", 1);
    static const Step wait[] = {
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'DBInstanceClass': 'db.t4g.micro', 'MultiAZ': true, "
         "'DeletionProtection': true, 'MaxAllocatedStorage': 500, 'MasterUserPassword': "
         "'another-1'}",
         NULL,
         "{'DBInstance': {'DBInstanceClass': 'db.r6g.large', 'MultiAZ': false, "
         "'DeletionProtection': true, 'MaxAllocatedStorage': 500, 'PendingModifiedValues': "
         "{'DBInstanceClass': 'db.t4g.micro', 'MultiAZ': true}, 'DBInstanceStatus': "
         "'modifying'}}"},
        /* back to what is: nothing waits any more */
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'MultiAZ': false}", NULL,
         "{'DBInstance': {'PendingModifiedValues': {'DBInstanceClass': 'db.t4g.micro', 'MultiAZ': "
         "null}}}"},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'ApplyImmediately': true, 'AllocatedStorage': 200}", NULL,
         "{'DBInstance': {'DBInstanceClass': 'db.t4g.micro', 'AllocatedStorage': 200, "
         "'PendingModifiedValues': {'DBInstanceClass': null}}}"},
    };
    RUN_STEPS(harness, wait);
    json_t *spec = harness_get(harness, "spec/db-instance/app");
    assert_int_equal(member_int(spec, "password_epoch", 0), 2);
    assert_int_equal(member_int(spec, "generation", 0), 4);
    assert_null(member_object(spec, "pending"));
    json_decref(spec);
    available(harness, "status/db-instance/app", 4);
    run(harness, "rds:DescribeDBInstances", NULL, NULL,
        "{'DBInstances': [{'DBInstanceStatus': 'available'}]}");
}

static void test_modify_refusals(void **state)
{
    make_app(*state);
    static const Step steps[] = {
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'nobody'}", "DBInstanceNotFound", NULL},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'NewDBInstanceIdentifier': 'app2'}",
         "InvalidParameterCombination", "NewDBInstanceIdentifier"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'EngineVersion': '16'}",
         "InvalidParameterCombination", "Cannot find version"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DBInstanceClass': 'db.x'}",
         "InvalidParameterValue", "db.x"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DBSubnetGroupName': 'other'}",
         "InvalidParameterCombination", "DBSubnetGroupName"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DBSubnetGroupName': 'default'}",
         NULL, NULL},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'MasterUserPassword': 'short'}",
         "InvalidParameterValue", "shorter"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DBParameterGroupName': 'nope'}",
         "DBParameterGroupNotFound", NULL},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'BackupRetentionPeriod': 99}",
         "InvalidParameterValue", NULL},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'RotateMasterUserPassword': true}",
         "InvalidParameterCombination", "RotateMasterUserPassword"},
    };
    RUN_STEPS(*state, steps);
}

/* RULES F13: lowered synchronous_commit and a standby do not go together, whoever comes second. */
static void test_synchronous_commit_and_multi_az(void **state)
{
    make_app(*state);
    static const Step steps[] = {
        {"rds:CreateDBParameterGroup",
         "{'DBParameterGroupName': 'fast', 'DBParameterGroupFamily': 'postgres15', 'Description': "
         "'d'}",
         NULL, NULL},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'fast', 'Parameters': [{'ParameterName': 'synchronous_commit', "
         "'ParameterValue': 'off', 'ApplyMethod': 'immediate'}]}",
         NULL, NULL},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DBParameterGroupName': 'fast'}",
         NULL, NULL},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'MultiAZ': true, 'ApplyImmediately': true}",
         "InvalidParameterCombination", "synchronous_commit=off"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'MultiAZ': true}",
         "InvalidParameterCombination", "synchronous_commit=off"},
        {"rds:ResetDBParameterGroup",
         "{'DBParameterGroupName': 'fast', 'ResetAllParameters': true}", NULL, NULL},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'MultiAZ': true, 'ApplyImmediately': true}", NULL, NULL},
        {"rds:ModifyDBParameterGroup",
         "{'DBParameterGroupName': 'fast', 'Parameters': [{'ParameterName': 'synchronous_commit', "
         "'ParameterValue': 'local', 'ApplyMethod': 'immediate'}]}",
         "InvalidParameterCombination", "Multi-AZ"},
    };
    RUN_STEPS(*state, steps);
}

/* ---- reboot, stop, start
 * ------------------------------------------------------------------------- */

static void test_reboot_stop_start(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    available(harness, "status/db-instance/app", 1);
    static const Step steps[] = {
        {"rds:RebootDBInstance", "{'DBInstanceIdentifier': 'app', 'ForceFailover': true}",
         "InvalidParameterCombination", "not a Multi-AZ instance"},
        {"rds:StartDBInstance", "{'DBInstanceIdentifier': 'app'}", "InvalidDBInstanceState", NULL},
        {"rds:RebootDBInstance", "{'DBInstanceIdentifier': 'app'}", NULL,
         "{'DBInstance': {'DBInstanceStatus': 'rebooting'}}"},
        {"rds:StopDBInstance", "{'DBInstanceIdentifier': 'app'}", NULL,
         "{'DBInstance': {'DBInstanceStatus': 'stopping'}}"},
        {"rds:StopDBInstance", "{'DBInstanceIdentifier': 'app'}", "InvalidDBInstanceState", NULL},
        {"rds:RebootDBInstance", "{'DBInstanceIdentifier': 'app'}", "InvalidDBInstanceState", NULL},
    };
    RUN_STEPS(harness, steps);
    harness_put(harness, "status/db-instance/app",
                "{'DBInstanceStatus': 'stopped', 'generation': 3, 'reboot_epoch': 1}");
    run(harness, "rds:StartDBInstance", "{'DBInstanceIdentifier': 'app'}", NULL,
        "{'DBInstance': {'DBInstanceStatus': 'starting'}}");
    json_t *spec = harness_get(harness, "spec/db-instance/app");
    assert_int_equal(member_int(spec, "reboot_epoch", 0), 1);
    assert_string_equal(member_str(spec, "desired_state", ""), "running");
    json_decref(spec);
}

static void test_forced_failover(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    available(harness, "status/db-instance/app", 1);
    static const Step steps[] = {
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app', 'MultiAZ': true, 'ApplyImmediately': true}", NULL, NULL},
        {"rds:RebootDBInstance", "{'DBInstanceIdentifier': 'app', 'ForceFailover': true}", NULL,
         "{'DBInstance': {'DBInstanceStatus': 'rebooting'}}"},
    };
    RUN_STEPS(harness, steps);
    json_t *spec = harness_get(harness, "spec/db-instance/app");
    assert_int_equal(member_int(spec, "failover_epoch", 0), 1);
    assert_int_equal(member_int(spec, "reboot_epoch", 0), 0);
    /* a move to another host has taken numbers meanwhile */
    char *key = mem_printf("cluster/%s", member_str(spec, "DbiResourceId", ""));
    harness_put(harness, key, "{'leader': 'x', 'handover': 6}");
    mem_free(key);
    json_decref(spec);
    run_step(harness, &steps[1]);
    spec = harness_get(harness, "spec/db-instance/app");
    assert_int_equal(member_int(spec, "failover_epoch", 0), 7);
    json_decref(spec);
}

/* ---- delete
 * -------------------------------------------------------------------------------------- */

static void test_delete(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    static const Step steps[] = {
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DeletionProtection': true}",
         NULL, NULL},
        {"rds:DeleteDBInstance", "{'DBInstanceIdentifier': 'app', 'SkipFinalSnapshot': true}",
         "InvalidParameterCombination",
         "Cannot delete protected DB Instance, please disable deletion protection and try again."},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'DeletionProtection': false}",
         NULL, NULL},
        {"rds:DeleteDBInstance", "{'DBInstanceIdentifier': 'app'}", "InvalidParameterCombination",
         "FinalDBSnapshotIdentifier is required"},
        {"rds:DeleteDBInstance",
         "{'DBInstanceIdentifier': 'app', 'FinalDBSnapshotIdentifier': 'last'}",
         "InvalidParameterCombination", "final snapshot last cannot be made"},
        {"rds:DeleteDBInstance",
         "{'DBInstanceIdentifier': 'app', 'SkipFinalSnapshot': true, "
         "'FinalDBSnapshotIdentifier': 'last'}",
         "InvalidParameterCombination", "can not be specified"},
        {"rds:DeleteDBInstance",
         "{'DBInstanceIdentifier': 'app', 'SkipFinalSnapshot': true, 'DeleteAutomatedBackups': "
         "true}",
         NULL, "{'DBInstance': {'DBInstanceStatus': 'deleting'}}"},
        {"rds:DeleteDBInstance", "{'DBInstanceIdentifier': 'app', 'SkipFinalSnapshot': true}",
         "InvalidDBInstanceState", "being deleted"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'MultiAZ': true}",
         "InvalidDBInstanceState", NULL},
    };
    RUN_STEPS(harness, steps);
    json_t *spec = harness_get(harness, "spec/db-instance/app");
    assert_true(member_bool(spec, "deleting", false));
    json_decref(spec);
}

/* ---- replicas
 * ------------------------------------------------------------------------------------ */

static void test_replicas(void **state)
{
    Harness *harness = *state;
    run(harness, "rds:CreateDBInstance",
        "{" APP ", 'StorageEncrypted': true, 'DBName': 'app_database'}", NULL, NULL);
    static const Step steps[] = {
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'app-r0', 'SourceDBInstanceIdentifier': 'app', "
         "'DBInstanceClass': 'db.t4g.micro', 'PubliclyAccessible': false, "
         "'EnablePerformanceInsights': true, 'MonitoringInterval': 60}",
         NULL,
         "{'DBInstance': {'DBInstanceIdentifier': 'app-r0', 'Engine': 'postgres', 'EngineVersion': "
         "'15.18', 'StorageEncrypted': true, 'AllocatedStorage': 100, 'MasterUsername': 'dbadmin', "
         "'ReadReplicaSourceDBInstanceIdentifier': 'app', 'BackupRetentionPeriod': 0, "
         "'DBInstanceClass': 'db.t4g.micro', 'MultiAZ': false, 'DBName': 'app_database'}}"},
        {"rds:DescribeDBInstances", "{'DBInstanceIdentifier': 'app'}", NULL,
         "{'DBInstances': [{'ReadReplicaDBInstanceIdentifiers': ['app-r0']}]}"},
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'x', 'SourceDBInstanceIdentifier': 'nobody'}",
         "DBInstanceNotFound", NULL},
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'x', 'SourceDBInstanceIdentifier': 'app-r0'}",
         "InvalidParameterCombination", "read replicas of a read replica"},
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'x', 'SourceDBInstanceIdentifier': 'app', 'MultiAZ': true}",
         "InvalidParameterCombination", "standby for a read replica"},
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'x', 'SourceDBInstanceIdentifier': 'app', 'SourceRegion': "
         "'eu-west-2'}",
         "InvalidParameterCombination", "another region"},
        {"rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'app-r0', 'SourceDBInstanceIdentifier': 'app'}",
         "DBInstanceAlreadyExists", NULL},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app-r0', 'MasterUserPassword': 'another-12'}",
         "InvalidParameterCombination", "source"},
        {"rds:ModifyDBInstance",
         "{'DBInstanceIdentifier': 'app-r0', 'MultiAZ': true, 'ApplyImmediately': true}",
         "InvalidParameterCombination", "standby for a read replica"},
        {"rds:ModifyDBInstance", "{'DBInstanceIdentifier': 'app', 'BackupRetentionPeriod': 0}",
         "InvalidParameterCombination", "app-r0"},
        {"rds:PromoteReadReplica", "{'DBInstanceIdentifier': 'app-r0'}",
         "InvalidParameterCombination", "promoting"},
        {"rds:PromoteReadReplica", "{'DBInstanceIdentifier': 'app'}", "InvalidDBInstanceState",
         "not a read replica"},
        {"rds:StopDBInstance", "{'DBInstanceIdentifier': 'app-r0'}", "InvalidDBInstanceState",
         "read replica"},
        {"rds:StopDBInstance", "{'DBInstanceIdentifier': 'app'}", "InvalidDBInstanceState",
         "app-r0"},
        {"rds:DeleteDBInstance", "{'DBInstanceIdentifier': 'app', 'SkipFinalSnapshot': true}",
         "InvalidDBInstanceState", "app-r0"},
        {"rds:DeleteDBInstance", "{'DBInstanceIdentifier': 'app-r0', 'SkipFinalSnapshot': true}",
         NULL, NULL},
        {"rds:DeleteDBInstance", "{'DBInstanceIdentifier': 'app', 'SkipFinalSnapshot': true}", NULL,
         NULL},
    };
    RUN_STEPS(harness, steps);
    json_t *source = harness_get(harness, "spec/db-instance/app");
    json_t *replica = harness_get(harness, "spec/db-instance/app-r0");
    assert_string_equal(member_str(replica, "source", ""),
                        member_str(source, "DbiResourceId", "-"));
    assert_null(member_str(replica, "master_password", NULL));
    json_decref(source);
    json_decref(replica);
}

static void test_a_source_needs_backups(void **state)
{
    run(*state, "rds:CreateDBInstance", "{" APP ", 'BackupRetentionPeriod': 0}", NULL, NULL);
    run(*state, "rds:CreateDBInstanceReadReplica",
        "{'DBInstanceIdentifier': 'x', 'SourceDBInstanceIdentifier': 'app'}",
        "InvalidDBInstanceState", "Automated backups are not enabled");
}

/* ---- tags, pages, facts, logs
 * -------------------------------------------------------------------- */

static void test_tags(void **state)
{
    make_app(*state);
    static const Step steps[] = {
        {"rds:AddTagsToResource",
         "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:db:app', 'Tags': [{'Key': 'a', "
         "'Value': '1'}, {'Key': 'b', 'Value': '2'}]}",
         NULL, NULL},
        {"rds:AddTagsToResource",
         "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:db:app', 'Tags': [{'Key': 'a', "
         "'Value': '3'}]}",
         NULL, NULL},
        {"rds:RemoveTagsFromResource",
         "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:db:app', 'TagKeys': ['b', 'c']}",
         NULL, NULL},
        {"rds:ListTagsForResource", "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:db:app'}",
         NULL, "{'TagList': [{'Key': 'a', 'Value': '3'}]}"},
        {"rds:ListTagsForResource",
         "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:pg:default.postgres15'}", NULL,
         "{'TagList': []}"},
        {"rds:ListTagsForResource",
         "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:db:nobody'}", "DBInstanceNotFound",
         NULL},
        {"rds:ListTagsForResource", "{'ResourceName': 'app'}", "InvalidParameterValue",
         "Invalid resource name"},
        {"rds:ListTagsForResource",
         "{'ResourceName': 'arn:aws:elasticache:eu-west-1:000000000000:replicationgroup:r'}",
         "InvalidParameterValue", NULL},
    };
    RUN_STEPS(*state, steps);
}

static void test_pages(void **state)
{
    Harness *harness = *state;
    for (int i = 0; i < 5; i++) {
        CLEANUP(mem_free_ptr)
        char *input =
            mem_printf("{'DBInstanceIdentifier': 'i%d', 'Engine': 'postgres', 'DBInstanceClass': "
                       "'db.t4g.micro', 'AllocatedStorage': 20, 'MasterUsername': 'a', "
                       "'MasterUserPassword': '12345678'}",
                       i);
        run(harness, "rds:CreateDBInstance", input, NULL, NULL);
    }
    static const Step steps[] = {
        {"rds:DescribeDBInstances", "{'MaxRecords': 3}", NULL,
         "{'DBInstances': [{}, {}, {'DBInstanceIdentifier': 'i2'}], 'Marker': '3'}"},
        {"rds:DescribeDBInstances", "{'MaxRecords': 3, 'Marker': '3'}", NULL,
         "{'DBInstances': [{'DBInstanceIdentifier': 'i3'}, {}], 'Marker': null}"},
        {"rds:DescribeDBInstances", "{'Marker': 'x'}", "InvalidParameterValue", "Marker"},
        {"rds:DescribeDBInstances", "{'MaxRecords': -1}", "InvalidParameterValue", "MaxRecords"},
    };
    RUN_STEPS(harness, steps);
}

static void test_versions_and_classes(void **state)
{
    static const Step steps[] = {
        {"rds:DescribeDBEngineVersions", "{'Engine': 'postgres'}", NULL,
         "{'DBEngineVersions': [{'Engine': 'postgres', 'EngineVersion': '15.18', "
         "'DBParameterGroupFamily': 'postgres15', 'MajorEngineVersion': '15'}]}"},
        {"rds:DescribeDBEngineVersions", "{'Engine': 'postgres', 'EngineVersion': '14.5'}", NULL,
         "{'DBEngineVersions': []}"},
        {"rds:DescribeDBEngineVersions", "{'EngineVersion': '15', 'DefaultOnly': true}", NULL,
         "{'DBEngineVersions': [{}]}"},
        {"rds:DescribeDBEngineVersions", "{'DBParameterGroupFamily': 'postgres16'}", NULL,
         "{'DBEngineVersions': []}"},
        {"rds:DescribeOrderableDBInstanceOptions",
         "{'Engine': 'postgres', 'DBInstanceClass': 'db.r6g.large'}", NULL,
         "{'OrderableDBInstanceOptions': [{'DBInstanceClass': 'db.r6g.large', 'MultiAZCapable': "
         "true, 'AvailabilityZones': [{'Name': 'eu-west-1a'}, {}, {}]}]}"},
    };
    RUN_STEPS(*state, steps);
}

static void test_logs(void **state)
{
    Harness *harness = *state;
    make_app(harness);
    harness->log_text = "one\ntwo\nthree\n";
    run(harness, "rds:DescribeDBLogFiles", "{'DBInstanceIdentifier': 'app'}", NULL,
        "{'DescribeDBLogFiles': []}");
    json_t *spec = harness_get(harness, "spec/db-instance/app");
    CLEANUP(mem_free_ptr)
    char *key = mem_printf("cluster/%s", member_str(spec, "DbiResourceId", ""));
    harness_put(harness, key, "{'leader': 'n1'}");
    json_decref(spec);
    static const Step steps[] = {
        {"rds:DescribeDBLogFiles", "{'DBInstanceIdentifier': 'app'}", NULL,
         "{'DescribeDBLogFiles': [{'LogFileName': 'error/postgresql.log', 'Size': 14}]}"},
        {"rds:DownloadDBLogFilePortion",
         "{'DBInstanceIdentifier': 'app', 'LogFileName': 'error/postgresql.log', 'NumberOfLines': "
         "2}",
         NULL, "{'LogFileData': 'one\\ntwo\\n', 'Marker': '8', 'AdditionalDataPending': true}"},
        {"rds:DownloadDBLogFilePortion",
         "{'DBInstanceIdentifier': 'app', 'LogFileName': 'error/postgresql.log', 'Marker': '8'}",
         NULL, "{'LogFileData': 'three\\n', 'Marker': '14', 'AdditionalDataPending': false}"},
        {"rds:DownloadDBLogFilePortion",
         "{'DBInstanceIdentifier': 'app', 'LogFileName': 'error/postgresql.log', 'Marker': '-8'}",
         "InvalidParameterValue", NULL},
        {"rds:DownloadDBLogFilePortion", "{'DBInstanceIdentifier': 'app', 'LogFileName': 'other'}",
         "DBLogFileNotFoundFault", NULL},
    };
    RUN_STEPS(harness, steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
        API_TEST(test_create_and_describe),
        API_TEST(test_found_by_resource_id_and_filters),
        API_TEST(test_the_password_is_sealed),
        API_TEST(test_the_master_password_is_told),
        API_TEST(test_the_guides_attributes_are_kept),
        API_TEST(test_create_refusals),
        API_TEST(test_version_map),
        API_TEST(test_modify_waits_unless_applied_immediately),
        API_TEST(test_modify_refusals),
        API_TEST(test_synchronous_commit_and_multi_az),
        API_TEST(test_reboot_stop_start),
        API_TEST(test_forced_failover),
        API_TEST(test_delete),
        API_TEST(test_replicas),
        API_TEST(test_a_source_needs_backups),
        API_TEST(test_tags),
        API_TEST(test_pages),
        API_TEST(test_versions_and_classes),
        API_TEST(test_logs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
