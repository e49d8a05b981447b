/*
 * DBInstance as clients see it: the spec, the status, and what follows from both. Every member that
 * can be known is there, false and 0 included: clients take an absent one for a change.
 */
#include "api/rds/rds_priv.h"

/* Members that are the same in the spec and in the output. */
static const char *const copied[] = {
    "DBInstanceIdentifier",
    "DbiResourceId",
    "DBInstanceClass",
    "Engine",
    "EngineVersion",
    "MasterUsername",
    "DBName",
    "AllocatedStorage",
    "MaxAllocatedStorage",
    "Iops",
    "StorageThroughput",
    "StorageType",
    "StorageEncrypted",
    "KmsKeyId",
    "MultiAZ",
    "BackupRetentionPeriod",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "AutoMinorVersionUpgrade",
    "PubliclyAccessible",
    "DeletionProtection",
    "CopyTagsToSnapshot",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "PerformanceInsightsEnabled",
    "PerformanceInsightsRetentionPeriod",
    "PerformanceInsightsKMSKeyId",
    "IAMDatabaseAuthenticationEnabled",
    "CACertificateIdentifier",
    "LicenseModel",
    "NetworkType",
    "BackupTarget",
    "EngineLifecycleSupport",
    "DatabaseInsightsMode",
    "ReadReplicaSourceDBInstanceIdentifier",
    "EnabledCloudwatchLogsExports",
};

static void set_text(json_t *view, const char *member, const char *text)
{
    if (text != NULL) {
        json_object_set_new(view, member, json_string(text));
    }
}

static void add_network(ApiContext *ctx, const json_t *spec, const json_t *status, json_t *view)
{
    char address[MODEL_ADDRESS_SIZE];
    const char *host = member_str(status, "endpoint_host", NULL);
    int64_t port = member_int(spec, "DbInstancePort", 5432);
    if (host != NULL && endpoint_address(ctx->tier.net, host, address)) {
        json_object_set_new(view, "Endpoint",
                            json_pack("{s:s, s:I, s:s}", "Address", address, "Port",
                                      (json_int_t)port, "HostedZoneId", "Z0WEIR"));
    }
    json_object_set_new(view, "DbInstancePort", json_integer(0)); /* as AWS shows it */
    const char *name = member_str(spec, "DBSubnetGroupName", MODEL_DEFAULT_SUBNET_GROUP);
    json_t *group = subnet_group_find(ctx, RESOURCE_DB_SUBNET_GROUP, name);
    if (group != NULL) {
        json_object_set_new(
            view, "DBSubnetGroup",
            json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:[s]}", "DBSubnetGroupName", name,
                      "DBSubnetGroupDescription", member_str(group, "DBSubnetGroupDescription", ""),
                      "VpcId", MODEL_VPC_ID, "SubnetGroupStatus", "Complete", "Subnets",
                      subnets_view(ctx, member_array(group, "SubnetIds")), "DBSubnetGroupArn",
                      arn_make(ctx->arena, &ctx->tier, RESOURCE_DB_SUBNET_GROUP, name),
                      "SupportedNetworkTypes", "IPV4"));
    }
}

static json_t *security_groups_view(const json_t *spec)
{
    json_t *view = json_array();
    size_t index;
    json_t *id;
    json_array_foreach (json_object_get(spec, "VpcSecurityGroupIds"), index, id) {
        json_array_append_new(
            view, json_pack("{s:O, s:s}", "VpcSecurityGroupId", id, "Status", "active"));
    }
    return view;
}

static void add_groups(ApiContext *ctx, const json_t *spec, const json_t *status, json_t *view)
{
    char major[MODEL_VERSION_SIZE];
    engine_major(member_str(spec, "EngineVersion", ""), major);
    json_object_set_new(view, "VpcSecurityGroups", security_groups_view(spec));
    json_object_set_new(view, "DBSecurityGroups", json_array());
    json_object_set_new(view, "DBParameterGroups",
                        json_pack("[{s:s, s:s}]", "DBParameterGroupName",
                                  member_str(spec, "DBParameterGroupName", ""),
                                  "ParameterApplyStatus",
                                  member_str(status, "parameter_apply_status", "in-sync")));
    json_object_set_new(view, "OptionGroupMemberships",
                        json_pack("[{s:s, s:s}]", "OptionGroupName",
                                  arena_printf(ctx->arena, "default:postgres-%s", major), "Status",
                                  "in-sync"));
}

static void add_zones(ApiContext *ctx, const json_t *spec, const json_t *status, json_t *view)
{
    const char *zone = member_str(status, "zone", NULL);
    const char *second = member_str(status, "secondary_zone", NULL);
    if (zone != NULL && zone[0] != '\0') {
        set_text(view, "AvailabilityZone", zone_name(ctx->arena, &ctx->tier, zone[0]));
    } else {
        set_text(view, "AvailabilityZone", member_str(spec, "AvailabilityZone", NULL));
    }
    if (second != NULL && second[0] != '\0') {
        set_text(view, "SecondaryAvailabilityZone", zone_name(ctx->arena, &ctx->tier, second[0]));
    }
}

static void add_replication(ApiContext *ctx, const json_t *spec, const json_t *status, json_t *view)
{
    json_object_set_new(view, "ReadReplicaDBInstanceIdentifiers", replicas_of(ctx, spec));
    json_object_set_new(view, "ReadReplicaDBClusterIdentifiers", json_array());
    json_t *infos = member_array(status, "StatusInfos");
    if (infos != NULL) {
        json_object_set_new(view, "StatusInfos", json_deep_copy(infos));
    }
}

/* What waits for ApplyImmediately. */
static json_t *pending_view(const json_t *spec)
{
    json_t *pending = member_object(spec, "pending");
    return pending != NULL ? json_deep_copy(pending) : json_object();
}

json_t *instance_view(ApiContext *ctx, const json_t *spec)
{
    json_t *view = json_object();
    json_t *status = status_get(ctx, RESOURCE_DB_INSTANCE, instance_id(spec));
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *value = json_object_get(spec, copied[i]);
        if (value != NULL) {
            json_object_set(view, copied[i], value);
        }
    }
    set_text(view, "DBInstanceStatus", resource_status(RESOURCE_DB_INSTANCE, spec, status));
    set_text(view, "DBInstanceArn",
             arn_make(ctx->arena, &ctx->tier, RESOURCE_DB_INSTANCE, instance_id(spec)));
    json_object_set_new(view, "InstanceCreateTime", json_time(member_int(spec, "created_ms", 0)));
    json_object_set_new(view, "PendingModifiedValues", pending_view(spec));
    json_object_set_new(view, "TagList", tags_copy(spec));
    json_object_set_new(view, "CustomerOwnedIpEnabled", json_false());
    json_object_set_new(view, "DedicatedLogVolume", json_false());
    json_object_set_new(view, "AssociatedRoles", json_array());
    json_object_set_new(view, "DomainMemberships", json_array());
    json_object_set_new(view, "ActivityStreamStatus", json_string("stopped"));
    json_object_set_new(
        view, "CertificateDetails",
        json_pack("{s:s}", "CAIdentifier", member_str(spec, "CACertificateIdentifier", "weir-ca")));
    add_network(ctx, spec, status, view);
    add_groups(ctx, spec, status, view);
    add_zones(ctx, spec, status, view);
    add_replication(ctx, spec, status, view);
    return view;
}

json_t *instance_output(ApiContext *ctx, const json_t *spec)
{
    return json_under("DBInstance", instance_view(ctx, spec));
}

/* ---- describe
 * ------------------------------------------------------------------------------------ */

static bool passes(const json_t *input, const json_t *spec)
{
    return filter_passes(filter_values(input, "db-instance-id"), instance_id(spec)) &&
           filter_passes(filter_values(input, "dbi-resource-id"),
                         member_str(spec, "DbiResourceId", "")) &&
           filter_passes(filter_values(input, "engine"), member_str(spec, "Engine", "")) &&
           filter_values(input, "db-cluster-id") == NULL && filter_values(input, "domain") == NULL;
}

bool rds_describe_instances(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const filters[] = {"db-instance-id", "dbi-resource-id", "engine",
                                          "db-cluster-id",  "domain",          NULL};
    TRY(filters_check(ctx, input, filters));
    const char *name = input_str(input, "DBInstanceIdentifier");
    json_t *items = json_array();
    if (name != NULL) {
        json_t *spec = instance_find(ctx, name);
        if (spec == NULL) {
            json_decref(items);
            return false;
        }
        json_array_append_new(items, instance_view(ctx, spec));
        return page_output(ctx, input, "DBInstances", items, ret_output);
    }
    RecordList list = spec_list(ctx, RESOURCE_DB_INSTANCE);
    for (size_t i = 0; i < list.len; i++) {
        if (passes(input, list.items[i].value)) {
            json_array_append_new(items, instance_view(ctx, list.items[i].value));
        }
    }
    return page_output(ctx, input, "DBInstances", items, ret_output);
}
