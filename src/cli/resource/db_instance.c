/*
 * aws_db_instance: primaries, and with replicate_source_db read replicas. A replica is made with
 * what its create call takes; what it does not take is set by a modification once it is there.
 */
#include "cli/resource/resource_tables_priv.h"

#define NO_RESTORE   "restoring is not offered yet"
#define NO_DIRECTORY "directory services are not offered"
#define OTHER_ENGINE "it belongs to an engine that Weir does not run"
#define OWN_PASSWORD "write password = var.NAME with a sensitive variable: Weir makes up its value"

static const KindAttribute attributes[] = {
    REQUIRED("identifier", STRING, RULE_KEY | RULE_LOWER, "DBInstanceIdentifier"),
    OPTIONAL("replicate_source_db", STRING, RULE_INSTANCE | RULE_REPLACES,
             "ReadReplicaSourceDBInstanceIdentifier", "\"\""),
    COMPUTED("engine", STRING, RULE_REPLACES, "Engine"),
    COMPUTED("engine_version", STRING, RULE_VERSION, "EngineVersion"),
    REQUIRED("instance_class", STRING, 0, "DBInstanceClass"),
    COMPUTED("allocated_storage", INTEGER, RULE_GROWS, "AllocatedStorage"),
    OPTIONAL("max_allocated_storage", INTEGER, 0, "MaxAllocatedStorage", "0"),
    COMPUTED("storage_type", STRING, 0, "StorageType"),
    COMPUTED("iops", INTEGER, 0, "Iops"),
    COMPUTED("storage_throughput", INTEGER, 0, "StorageThroughput"),
    OPTIONAL("storage_encrypted", BOOL, RULE_REPLACES | RULE_INHERITED, "StorageEncrypted",
             "false"),
    COMPUTED("kms_key_id", STRING, RULE_REPLACES, "KmsKeyId"),
    COMPUTED("username", STRING, RULE_REPLACES, "MasterUsername"),
    SECRET("password"),
    COMPUTED("db_name", STRING, RULE_REPLACES, "DBName"),
    COMPUTED("port", INTEGER, RULE_LATE, "Endpoint.Port"),
    COMPUTED("multi_az", BOOL, 0, "MultiAZ"),
    COMPUTED("availability_zone", STRING, RULE_ONCE, "AvailabilityZone"),
    COMPUTED("backup_retention_period", INTEGER, 0, "BackupRetentionPeriod"),
    COMPUTED("backup_window", STRING, 0, "PreferredBackupWindow"),
    COMPUTED("maintenance_window", STRING, RULE_LOWER, "PreferredMaintenanceWindow"),
    OPTIONAL("auto_minor_version_upgrade", BOOL, 0, "AutoMinorVersionUpgrade", "true"),
    OPTIONAL("publicly_accessible", BOOL, 0, "PubliclyAccessible", "false"),
    COMPUTED("parameter_group_name", STRING, RULE_LOWER,
             "DBParameterGroups.0.DBParameterGroupName"),
    COMPUTED("vpc_security_group_ids", STRING_SET, 0, "VpcSecurityGroups.*.VpcSecurityGroupId"),
    COMPUTED("db_subnet_group_name", STRING, RULE_LOWER | RULE_REPLACES,
             "DBSubnetGroup.DBSubnetGroupName"),
    OPTIONAL("deletion_protection", BOOL, 0, "DeletionProtection", "false"),
    OPTIONAL("copy_tags_to_snapshot", BOOL, 0, "CopyTagsToSnapshot", "false"),
    OPTIONAL("monitoring_interval", INTEGER, 0, "MonitoringInterval", "0"),
    COMPUTED("monitoring_role_arn", STRING, 0, "MonitoringRoleArn"),
    OPTIONAL("performance_insights_enabled", BOOL, 0, "PerformanceInsightsEnabled", "false"),
    COMPUTED("performance_insights_retention_period", INTEGER, 0,
             "PerformanceInsightsRetentionPeriod"),
    COMPUTED("performance_insights_kms_key_id", STRING, 0, "PerformanceInsightsKMSKeyId"),
    OPTIONAL("iam_database_authentication_enabled", BOOL, 0, "IAMDatabaseAuthenticationEnabled",
             "false"),
    OPTIONAL("enabled_cloudwatch_logs_exports", STRING_SET, 0, "EnabledCloudwatchLogsExports",
             NULL),
    COMPUTED("ca_cert_identifier", STRING, 0, "CACertificateIdentifier"),
    COMPUTED("license_model", STRING, 0, "LicenseModel"),
    COMPUTED("network_type", STRING, 0, "NetworkType"),
    COMPUTED("backup_target", STRING, RULE_REPLACES, "BackupTarget"),
    COMPUTED("engine_lifecycle_support", STRING, 0, "EngineLifecycleSupport"),
    COMPUTED("database_insights_mode", STRING, 0, "DatabaseInsightsMode"),

    OURS("apply_immediately", BOOL, 0, "true"),
    OURS("allow_major_version_upgrade", BOOL, 0, NULL),
    OURS("skip_final_snapshot", BOOL, RULE_KEPT, "false"),
    OURS("final_snapshot_identifier", STRING, 0, NULL),
    OURS("delete_automated_backups", BOOL, 0, NULL),

    READ_ONLY("id", STRING, "DbiResourceId"),
    READ_ONLY("arn", STRING, "DBInstanceArn"),
    READ_ONLY("address", STRING, "Endpoint.Address"),
    READ_ONLY("endpoint", STRING, NULL),
    READ_ONLY("hosted_zone_id", STRING, "Endpoint.HostedZoneId"),
    READ_ONLY("resource_id", STRING, "DbiResourceId"),
    READ_ONLY("status", STRING, "DBInstanceStatus"),
    READ_ONLY("engine_version_actual", STRING, "EngineVersion"),
    READ_ONLY("replicas", STRING_LIST, "ReadReplicaDBInstanceIdentifiers"),
    READ_ONLY("latest_restorable_time", STRING, NULL),
    READ_ONLY("listener_endpoint", ANY, NULL),
    READ_ONLY("master_user_secret", ANY, NULL),

    REFUSED("identifier_prefix", STRING, NAME_PREFIX_REFUSED),
    REFUSED("manage_master_user_password", BOOL, OWN_PASSWORD),
    REFUSED("master_user_secret_kms_key_id", STRING, OWN_PASSWORD),
    REFUSED("password_wo", STRING, OWN_PASSWORD),
    REFUSED("password_wo_version", INTEGER, OWN_PASSWORD),
    REFUSED("snapshot_identifier", STRING, NO_RESTORE),
    REFUSED("option_group_name", STRING, "PostgreSQL has no option groups: leave it out"),
    REFUSED("character_set_name", STRING, OTHER_ENGINE),
    REFUSED("nchar_character_set_name", STRING, OTHER_ENGINE),
    REFUSED("timezone", STRING, "set the parameter timezone in a parameter group"),
    REFUSED("replica_mode", STRING, OTHER_ENGINE),
    REFUSED("custom_iam_instance_profile", STRING, OTHER_ENGINE),
    REFUSED("customer_owned_ip_enabled", BOOL, "there are no outposts"),
    REFUSED("dedicated_log_volume", BOOL, "all storage is the host's disk"),
    REFUSED("upgrade_storage_config", BOOL, "all storage is the host's disk"),
    REFUSED("domain", STRING, NO_DIRECTORY),
    REFUSED("domain_auth_secret_arn", STRING, NO_DIRECTORY),
    REFUSED("domain_dns_ips", STRING_SET, NO_DIRECTORY),
    REFUSED("domain_fqdn", STRING, NO_DIRECTORY),
    REFUSED("domain_iam_role_name", STRING, NO_DIRECTORY),
    REFUSED("domain_ou", STRING, NO_DIRECTORY),
};

static const KindBlock blocks[] = {
    REFUSED_BLOCK("blue_green_update", "changes are made in place: leave the block out"),
    REFUSED_BLOCK("restore_to_point_in_time", NO_RESTORE),
    REFUSED_BLOCK("s3_import", NO_RESTORE),
};

/* ---- reading ----------------------------------------------------------------------------------
 */

/* What is asked for and waits for ApplyImmediately counts as set: it is not asked for again. */
static void overlay_pending(const json_t *described, json_t *attributes_read)
{
    const json_t *pending = member_object(described, "PendingModifiedValues");
    for (size_t i = 0; i < ARRAY_LEN(attributes); i++) {
        const KindAttribute *attribute = &attributes[i];
        const FieldInfo *field = kind_field(&kind_db_instance, attribute->tf.name);
        json_t *value =
            field != NULL && field->modify != NULL ? json_object_get(pending, field->modify) : NULL;
        if (value != NULL && (attribute->rules & RULE_DIGEST) == 0) {
            json_object_set(attributes_read, attribute->tf.name, value);
        }
    }
}

static void add_endpoint(Arena *arena, const json_t *described, json_t *attributes_read)
{
    const json_t *endpoint = member_object(described, "Endpoint");
    const char *address = member_str(endpoint, "Address", NULL);
    if (address != NULL) {
        json_object_set_new(attributes_read, "endpoint",
                            json_string(arena_printf(arena, "%s:%d", address,
                                                     (int)member_int(endpoint, "Port", 5432))));
    }
}

static void read_one(PresentList *list, const json_t *described)
{
    Present *present =
        present_add(list, &kind_db_instance, described, json_object_get(described, "TagList"));
    Arena *arena = list->arena;
    present->key = arena_strdup(arena, member_str(described, "DBInstanceIdentifier", ""));
    present->handle = arena_strdup(arena, member_str(described, "DBInstanceArn", ""));
    present->status = arena_strdup(arena, member_str(described, "DBInstanceStatus", ""));
    present->incarnation = arena_strdup(arena, member_str(described, "DbiResourceId", ""));
    const json_t *group = json_array_get(member_array(described, "DBParameterGroups"), 0);
    if (strcmp(member_str(group, "ParameterApplyStatus", ""), "pending-reboot") == 0) {
        present->detail = "parameters wait for a reboot";
    }
    add_endpoint(arena, described, present->attributes);
    overlay_pending(described, present->attributes);
}

static bool instance_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    json_t *items;
    json_t *input = key != NULL ? json_pack("{s:s}", "DBInstanceIdentifier", key) : NULL;
    TRY(caller_list(caller, "rds", "DescribeDBInstances", input, "DBInstances", &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        read_one(list, item);
    }
    json_decref(items);
    return true;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static bool instance_create(Change *change, Err *err)
{
    bool replica = desired_str(change, "replicate_source_db", "")[0] != '\0';
    const char *operation = replica ? "CreateDBInstanceReadReplica" : "CreateDBInstance";
    json_t *input = input_create_new(change, "rds", operation);
    json_object_set_new(input, "Tags", tags_desired_new(change));
    return change_call(change, "rds", operation, input, NULL, err);
}

/* A replica whose block names no source any more. */
static bool instance_promote(Change *change, Err *err)
{
    return !change_has(change, "replicate_source_db") ||
           change_call(change, "rds", "PromoteReadReplica",
                       json_pack("{s:s}", "DBInstanceIdentifier", change->present->key), NULL, err);
}

static bool instance_update(Change *change, Err *err)
{
    TRY(instance_promote(change, err));
    json_t *input = input_modify_new(change, "rds", "ModifyDBInstance");
    if (json_object_size(input) == 0) {
        json_decref(input);
        return true;
    }
    json_object_set_new(input, "DBInstanceIdentifier", json_string(change->present->key));
    json_object_set_new(input, "ApplyImmediately",
                        json_boolean(member_bool(change->desired, "apply_immediately", true)));
    input_set(input, "AllowMajorVersionUpgrade", change, "allow_major_version_upgrade");
    return change_call(change, "rds", "ModifyDBInstance", input, NULL, err);
}

static bool instance_destroy(Change *change, Err *err)
{
    json_t *input = json_pack("{s:s, s:b, s:b}", "DBInstanceIdentifier", change->present->key,
                              "SkipFinalSnapshot", 1, "DeleteAutomatedBackups", 1);
    return change_call(change, "rds", "DeleteDBInstance", input, NULL, err);
}

static const char *instance_destroy_refusal(const Present *present)
{
    if (member_bool(present->attributes, "deletion_protection", false)) {
        return "deletion_protection is on: set it to false and apply first";
    }
    if (strcmp(kept_str(present, "skip_final_snapshot", "false"), "true") != 0) {
        return "it wants a final snapshot, and snapshots are not made yet: set skip_final_snapshot "
               "= true and apply first";
    }
    return NULL;
}

static const char *const ready[] = {"available", "storage-optimization", "stopped", NULL};
static const char *const failed[] = {"failed",
                                     "incompatible-parameters",
                                     "incompatible-restore",
                                     "incompatible-network",
                                     "inaccessible-encryption-credentials",
                                     "insufficient-capacity",
                                     "restore-error",
                                     "storage-full",
                                     NULL};
static const char *const busy_faults[] = {"InvalidDBInstanceState", "InvalidDBInstanceStateFault",
                                          NULL};

const ResourceKind kind_db_instance = {
    .type = "aws_db_instance",
    .noun = "DB instance",
    .model = RESOURCE_DB_INSTANCE,
    .attributes = attributes,
    .attributes_len = ARRAY_LEN(attributes),
    .blocks = blocks,
    .blocks_len = ARRAY_LEN(blocks),
    .key = {"identifier"},
    .ready = ready,
    .failed = failed,
    .busy_faults = busy_faults,
    .tags = TAGS_RDS,
    .destroy_rank = 3,
    .holds_data = true,
    .timeout_ms = 40 * 60 * MS_PER_S,
    .read = instance_read,
    .create = instance_create,
    .update = instance_update,
    .destroy = instance_destroy,
    .destroy_refusal = instance_destroy_refusal,
};
