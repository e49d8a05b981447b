/*
 * The fields of each resource: names in spec, operations and Terraform; when a change takes effect;
 * and whether it has its effect already. Columns: spec, create, modify, Terraform, type, change,
 * effect. What an operation takes and is not here, api refuses by name.
 */
#include "model/field_priv.h"

#define NO_ENCRYPTION "data at rest is not encrypted yet"
#define NO_BACKUPS    "no backups are made yet"
#define NO_SNAPSHOTS  "no snapshots are made yet"
#define NO_WINDOWS    "nothing is scheduled in windows yet: pending changes wait for ApplyImmediately"
#define NO_STORAGE    "the storage is not limited yet: the host's disk is the limit"
#define NO_INSIGHTS   "Performance Insights is not collected yet"
#define NO_MONITORING "enhanced monitoring is not collected yet"
#define NO_UPGRADES   "the minor version is that of the host's package"

#define COLUMNS(spec, create_input, modify_input, terraform, kind, when, works)                    \
    .name = spec, .create = create_input, .modify = modify_input, .attribute = terraform,          \
    .type = FIELD_##kind, .change = CHANGE_##when, .effect = EFFECT_##works

static const FieldInfo db_instance[] = {
    {COLUMNS("DBInstanceIdentifier", "DBInstanceIdentifier", NULL, "identifier", STRING, NEVER,
             NOW)},
    {COLUMNS("ReadReplicaSourceDBInstanceIdentifier", "SourceDBInstanceIdentifier", NULL,
             "replicate_source_db", STRING, NEVER, NOW)},
    {COLUMNS("Engine", "Engine", NULL, "engine", STRING, NEVER, NOW)},
    {COLUMNS("EngineVersion", "EngineVersion", "EngineVersion", "engine_version", STRING, PENDING,
             NOW)},
    {COLUMNS("DBInstanceClass", "DBInstanceClass", "DBInstanceClass", "instance_class", STRING,
             PENDING, NOW)},
    {COLUMNS("AllocatedStorage", "AllocatedStorage", "AllocatedStorage", "allocated_storage",
             INTEGER, PENDING, NOT_YET),
     .min = 5, .max = 65536, .note = NO_STORAGE},
    {COLUMNS("MaxAllocatedStorage", "MaxAllocatedStorage", "MaxAllocatedStorage",
             "max_allocated_storage", INTEGER, IMMEDIATE, NOT_YET),
     .min = 0, .max = 65536, .neutral = "0",
     .note = "storage does not grow by itself yet: the host's disk is the limit"},
    {COLUMNS("StorageType", "StorageType", "StorageType", "storage_type", STRING, PENDING, NOT_YET),
     .fallback = "\"gp2\"", .note = "all storage is the host's disk"},
    {COLUMNS("Iops", "Iops", "Iops", "iops", INTEGER, PENDING, NOT_YET), .min = 0, .max = 256000,
     .neutral = "0", .note = "all storage is the host's disk"},
    {COLUMNS("StorageThroughput", "StorageThroughput", "StorageThroughput", "storage_throughput",
             INTEGER, PENDING, NOT_YET),
     .min = 0, .max = 16000, .neutral = "0", .note = "all storage is the host's disk"},
    {COLUMNS("StorageEncrypted", "StorageEncrypted", NULL, "storage_encrypted", BOOLEAN, NEVER,
             NOT_YET),
     .fallback = "false", .note = NO_ENCRYPTION},
    {COLUMNS("KmsKeyId", "KmsKeyId", NULL, "kms_key_id", STRING, NEVER, NOT_YET),
     .note = NO_ENCRYPTION},
    {COLUMNS("MasterUsername", "MasterUsername", NULL, "username", STRING, NEVER, NOW)},
    {COLUMNS("master_password", "MasterUserPassword", "MasterUserPassword", "password", SECRET,
             IMMEDIATE, NOW)},
    {COLUMNS("DBName", "DBName", NULL, "db_name", STRING, NEVER, NOW)},
    {COLUMNS("DbInstancePort", "Port", "DBPortNumber", "port", INTEGER, IMMEDIATE, NOW),
     .min = 1150, .max = 65535, .fallback = "5432"},
    {COLUMNS("MultiAZ", "MultiAZ", "MultiAZ", "multi_az", BOOLEAN, PENDING, NOW),
     .fallback = "false"},
    {COLUMNS("AvailabilityZone", "AvailabilityZone", NULL, "availability_zone", STRING, NEVER,
             NOW)},
    {COLUMNS("BackupRetentionPeriod", "BackupRetentionPeriod", "BackupRetentionPeriod",
             "backup_retention_period", INTEGER, IMMEDIATE, NOT_YET),
     .min = 0, .max = 35, .fallback = "1", .neutral = "0", .note = NO_BACKUPS},
    {COLUMNS("PreferredBackupWindow", "PreferredBackupWindow", "PreferredBackupWindow",
             "backup_window", STRING, IMMEDIATE, NOT_YET),
     .fallback = "\"03:00-03:30\"", .note = NO_BACKUPS},
    {COLUMNS("PreferredMaintenanceWindow", "PreferredMaintenanceWindow",
             "PreferredMaintenanceWindow", "maintenance_window", STRING, IMMEDIATE, NOT_YET),
     .fallback = "\"sun:04:00-sun:04:30\"", .note = NO_WINDOWS},
    {COLUMNS("AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade",
             "auto_minor_version_upgrade", BOOLEAN, IMMEDIATE, NOT_YET),
     .fallback = "true", .note = NO_UPGRADES},
    {COLUMNS("PubliclyAccessible", "PubliclyAccessible", "PubliclyAccessible",
             "publicly_accessible", BOOLEAN, IMMEDIATE, NOT_YET),
     .fallback = "false", .note = "the endpoint is on the tier's own addresses"},
    {COLUMNS("DBParameterGroupName", "DBParameterGroupName", "DBParameterGroupName",
             "parameter_group_name", STRING, IMMEDIATE, NOW)},
    {COLUMNS("VpcSecurityGroupIds", "VpcSecurityGroupIds", "VpcSecurityGroupIds",
             "vpc_security_group_ids", LIST, IMMEDIATE, NOW)},
    {COLUMNS("DBSubnetGroupName", "DBSubnetGroupName", "DBSubnetGroupName", "db_subnet_group_name",
             STRING, NEVER, NOW)},
    {COLUMNS("DeletionProtection", "DeletionProtection", "DeletionProtection",
             "deletion_protection", BOOLEAN, IMMEDIATE, NOW),
     .fallback = "false"},
    {COLUMNS("CopyTagsToSnapshot", "CopyTagsToSnapshot", "CopyTagsToSnapshot",
             "copy_tags_to_snapshot", BOOLEAN, IMMEDIATE, NOT_YET),
     .fallback = "false", .note = NO_SNAPSHOTS},
    {COLUMNS("MonitoringInterval", "MonitoringInterval", "MonitoringInterval",
             "monitoring_interval", INTEGER, IMMEDIATE, NOT_YET),
     .min = 0, .max = 60, .fallback = "0", .note = NO_MONITORING},
    {COLUMNS("MonitoringRoleArn", "MonitoringRoleArn", "MonitoringRoleArn", "monitoring_role_arn",
             STRING, IMMEDIATE, NOT_YET),
     .note = NO_MONITORING},
    {COLUMNS("PerformanceInsightsEnabled", "EnablePerformanceInsights", "EnablePerformanceInsights",
             "performance_insights_enabled", BOOLEAN, IMMEDIATE, NOT_YET),
     .fallback = "false", .note = NO_INSIGHTS},
    {COLUMNS("PerformanceInsightsRetentionPeriod", "PerformanceInsightsRetentionPeriod",
             "PerformanceInsightsRetentionPeriod", "performance_insights_retention_period", INTEGER,
             IMMEDIATE, NOT_YET),
     .min = 7, .max = 731, .note = NO_INSIGHTS},
    {COLUMNS("PerformanceInsightsKMSKeyId", "PerformanceInsightsKMSKeyId",
             "PerformanceInsightsKMSKeyId", "performance_insights_kms_key_id", STRING, IMMEDIATE,
             NOT_YET),
     .note = NO_INSIGHTS},
    {COLUMNS("IAMDatabaseAuthenticationEnabled", "EnableIAMDatabaseAuthentication",
             "EnableIAMDatabaseAuthentication", "iam_database_authentication_enabled", BOOLEAN,
             IMMEDIATE, REFUSED),
     .fallback = "false", .note = "IAM authentication to databases is not offered yet"},
    {COLUMNS("EnabledCloudwatchLogsExports", "EnableCloudwatchLogsExports", NULL,
             "enabled_cloudwatch_logs_exports", LIST, NEVER, REFUSED),
     .fallback = "[]", .note = "CloudWatch Logs is not offered yet: see weir logs"},
    {COLUMNS("CACertificateIdentifier", "CACertificateIdentifier", "CACertificateIdentifier",
             "ca_cert_identifier", STRING, IMMEDIATE, REFUSED),
     .fallback = "\"weir-ca\"", .note = "certificates are signed by the tier's own CA"},
    {COLUMNS("LicenseModel", "LicenseModel", "LicenseModel", "license_model", STRING, IMMEDIATE,
             REFUSED),
     .fallback = "\"postgresql-license\"", .note = "PostgreSQL has one license"},
    {COLUMNS("NetworkType", "NetworkType", "NetworkType", "network_type", STRING, IMMEDIATE,
             REFUSED),
     .fallback = "\"IPV4\"", .note = "endpoints have IPv4 addresses"},
    {COLUMNS("BackupTarget", "BackupTarget", NULL, "backup_target", STRING, NEVER, REFUSED),
     .fallback = "\"region\"", .note = "there are no outposts"},
    {COLUMNS("EngineLifecycleSupport", "EngineLifecycleSupport", "EngineLifecycleSupport",
             "engine_lifecycle_support", STRING, IMMEDIATE, NOT_YET),
     .fallback = "\"open-source-rds-extended-support\"", .note = NO_UPGRADES},
    {COLUMNS("DatabaseInsightsMode", "DatabaseInsightsMode", "DatabaseInsightsMode",
             "database_insights_mode", STRING, IMMEDIATE, REFUSED),
     .fallback = "\"standard\"", .note = NO_INSIGHTS},
};

static const FieldInfo db_subnet_group[] = {
    {COLUMNS("DBSubnetGroupName", "DBSubnetGroupName", NULL, "name", STRING, NEVER, NOW)},
    {COLUMNS("DBSubnetGroupDescription", "DBSubnetGroupDescription", "DBSubnetGroupDescription",
             "description", STRING, IMMEDIATE, NOW)},
    {COLUMNS("SubnetIds", "SubnetIds", "SubnetIds", "subnet_ids", LIST, IMMEDIATE, NOW)},
};

static const FieldInfo db_parameter_group[] = {
    {COLUMNS("DBParameterGroupName", "DBParameterGroupName", NULL, "name", STRING, NEVER, NOW)},
    {COLUMNS("DBParameterGroupFamily", "DBParameterGroupFamily", NULL, "family", STRING, NEVER,
             NOW)},
    {COLUMNS("Description", "Description", NULL, "description", STRING, NEVER, NOW)},
};

static const FieldInfo db_proxy[] = {
    {COLUMNS("DBProxyName", "DBProxyName", NULL, "name", STRING, NEVER, NOW)},
    {COLUMNS("EngineFamily", "EngineFamily", NULL, "engine_family", STRING, NEVER, NOW)},
    {COLUMNS("Auth", "Auth", "Auth", "auth", LIST, IMMEDIATE, NOW)},
    {COLUMNS("RoleArn", "RoleArn", "RoleArn", "role_arn", STRING, IMMEDIATE, NOW)},
    {COLUMNS("VpcSubnetIds", "VpcSubnetIds", NULL, "vpc_subnet_ids", LIST, NEVER, NOW)},
    {COLUMNS("VpcSecurityGroupIds", "VpcSecurityGroupIds", "SecurityGroups",
             "vpc_security_group_ids", LIST, IMMEDIATE, NOW)},
    {COLUMNS("RequireTLS", "RequireTLS", "RequireTLS", "require_tls", BOOLEAN, IMMEDIATE, NOW),
     .fallback = "false"},
    {COLUMNS("IdleClientTimeout", "IdleClientTimeout", "IdleClientTimeout", "idle_client_timeout",
             INTEGER, IMMEDIATE, NOW),
     .min = 1, .max = 28800, .fallback = "1800"},
    {COLUMNS("DebugLogging", "DebugLogging", "DebugLogging", "debug_logging", BOOLEAN, IMMEDIATE,
             NOT_YET),
     .fallback = "false", .note = "statements are not logged by the proxy yet"},
    {COLUMNS("DefaultAuthScheme", "DefaultAuthScheme", "DefaultAuthScheme", "default_auth_scheme",
             STRING, IMMEDIATE, REFUSED),
     .fallback = "\"NONE\"", .note = "IAM authentication to databases is not offered yet"},
    {COLUMNS("EndpointNetworkType", "EndpointNetworkType", NULL, NULL, STRING, NEVER, REFUSED),
     .fallback = "\"IPV4\"", .note = "endpoints have IPv4 addresses"},
    {COLUMNS("TargetConnectionNetworkType", "TargetConnectionNetworkType", NULL, NULL, STRING,
             NEVER, REFUSED),
     .fallback = "\"IPV4\"", .note = "endpoints have IPv4 addresses"},
};

static const FieldInfo db_proxy_endpoint[] = {
    {COLUMNS("DBProxyEndpointName", "DBProxyEndpointName", NULL, "db_proxy_endpoint_name", STRING,
             NEVER, NOW)},
    {COLUMNS("DBProxyName", "DBProxyName", NULL, "db_proxy_name", STRING, NEVER, NOW)},
    {COLUMNS("VpcSubnetIds", "VpcSubnetIds", NULL, "vpc_subnet_ids", LIST, NEVER, NOW)},
    {COLUMNS("VpcSecurityGroupIds", "VpcSecurityGroupIds", "VpcSecurityGroupIds",
             "vpc_security_group_ids", LIST, IMMEDIATE, NOW)},
    {COLUMNS("TargetRole", "TargetRole", NULL, "target_role", STRING, NEVER, NOW),
     .fallback = "\"READ_WRITE\""},
    {COLUMNS("EndpointNetworkType", "EndpointNetworkType", NULL, NULL, STRING, NEVER, REFUSED),
     .fallback = "\"IPV4\"", .note = "endpoints have IPv4 addresses"},
};

/* Of the pools of all endpoints of a proxy: docs/proxy.md says what each does. */
static const FieldInfo db_proxy_options[] = {
    {COLUMNS("Reads", "Reads", NULL, "reads", STRING, IMMEDIATE, NOW), .fallback = "\"primary\""},
    {COLUMNS("MaxReplicaLagMs", "MaxReplicaLagMs", NULL, "max_replica_lag_ms", INTEGER, IMMEDIATE,
             NOW),
     .min = 0, .max = 24 * 3600 * 1000, .fallback = "30000"},
    {COLUMNS("SharedConnections", "SharedConnections", NULL, "shared_connections", INTEGER,
             IMMEDIATE, NOW),
     .min = 0, .max = 16, .fallback = "0"},
    {COLUMNS("SharedListeners", "SharedListeners", NULL, "shared_listeners", BOOLEAN, IMMEDIATE,
             NOW),
     .fallback = "false"},
    {COLUMNS("KeepListening", "KeepListening", NULL, "keep_listening", BOOLEAN, IMMEDIATE, NOW),
     .fallback = "false"},
};

static const FieldInfo security_group[] = {
    {COLUMNS("GroupName", "GroupName", NULL, "name", STRING, NEVER, NOW)},
    {COLUMNS("Description", "Description", NULL, "description", STRING, NEVER, NOW)},
    {COLUMNS("VpcId", "VpcId", NULL, "vpc_id", STRING, NEVER, NOW),
     .fallback = "\"" MODEL_VPC_ID "\""},
};

static const FieldInfo secret[] = {
    {COLUMNS("Name", "Name", NULL, "name", STRING, NEVER, NOW)},
    {COLUMNS("Description", "Description", "Description", "description", STRING, IMMEDIATE, NOW)},
    {COLUMNS("KmsKeyId", "KmsKeyId", "KmsKeyId", "kms_key_id", STRING, IMMEDIATE, NOT_YET),
     .note = "secrets are sealed with the tier's own key"},
};

static const FieldInfo replication_group[] = {
    {COLUMNS("ReplicationGroupId", "ReplicationGroupId", NULL, "replication_group_id", STRING,
             NEVER, NOW)},
    {COLUMNS("Description", "ReplicationGroupDescription", "ReplicationGroupDescription",
             "description", STRING, IMMEDIATE, NOW)},
    {COLUMNS("CacheNodeType", "CacheNodeType", "CacheNodeType", "node_type", STRING, PENDING, NOW)},
    {COLUMNS("Engine", "Engine", "Engine", "engine", STRING, NEVER, NOW), .fallback = "\"redis\""},
    {COLUMNS("EngineVersion", "EngineVersion", "EngineVersion", "engine_version", STRING, PENDING,
             NOW)},
    {COLUMNS("node_count", "NumCacheClusters", NULL, "num_cache_clusters", INTEGER, NEVER, NOW),
     .min = 1, .max = 6},
    {COLUMNS("preferred_zones", "PreferredCacheClusterAZs", NULL, "preferred_cache_cluster_azs",
             LIST, NEVER, NOW)},
    {COLUMNS("Port", "Port", NULL, "port", INTEGER, NEVER, NOW), .min = 1, .max = 65535,
     .fallback = "6379"},
    {COLUMNS("AutomaticFailoverEnabled", "AutomaticFailoverEnabled", "AutomaticFailoverEnabled",
             "automatic_failover_enabled", BOOLEAN, IMMEDIATE, NOW),
     .fallback = "false"},
    {COLUMNS("MultiAZEnabled", "MultiAZEnabled", "MultiAZEnabled", "multi_az_enabled", BOOLEAN,
             IMMEDIATE, NOW),
     .fallback = "false"},
    {COLUMNS("AtRestEncryptionEnabled", "AtRestEncryptionEnabled", NULL,
             "at_rest_encryption_enabled", BOOLEAN, NEVER, NOT_YET),
     .fallback = "false", .note = NO_ENCRYPTION},
    {COLUMNS("KmsKeyId", "KmsKeyId", NULL, "kms_key_id", STRING, NEVER, NOT_YET),
     .note = NO_ENCRYPTION},
    {COLUMNS("TransitEncryptionEnabled", "TransitEncryptionEnabled", "TransitEncryptionEnabled",
             "transit_encryption_enabled", BOOLEAN, NEVER, NOW),
     .fallback = "false"},
    {COLUMNS("TransitEncryptionMode", "TransitEncryptionMode", "TransitEncryptionMode",
             "transit_encryption_mode", STRING, NEVER, REFUSED),
     .fallback = "\"required\"", .note = "an endpoint speaks TLS or it does not"},
    {COLUMNS("auth_tokens", "AuthToken", "AuthToken", "auth_token", SECRET, IMMEDIATE, NOW)},
    {COLUMNS("CacheParameterGroupName", "CacheParameterGroupName", "CacheParameterGroupName",
             "parameter_group_name", STRING, IMMEDIATE, NOW)},
    {COLUMNS("CacheSubnetGroupName", "CacheSubnetGroupName", NULL, "subnet_group_name", STRING,
             NEVER, NOW)},
    {COLUMNS("SecurityGroupIds", "SecurityGroupIds", "SecurityGroupIds", "security_group_ids", LIST,
             IMMEDIATE, NOW)},
    {COLUMNS("PreferredMaintenanceWindow", "PreferredMaintenanceWindow",
             "PreferredMaintenanceWindow", "maintenance_window", STRING, IMMEDIATE, NOT_YET),
     .fallback = "\"sun:04:00-sun:05:00\"", .note = NO_WINDOWS},
    {COLUMNS("SnapshotRetentionLimit", "SnapshotRetentionLimit", "SnapshotRetentionLimit",
             "snapshot_retention_limit", INTEGER, IMMEDIATE, NOT_YET),
     .min = 0, .max = 35, .fallback = "0", .note = NO_SNAPSHOTS},
    {COLUMNS("SnapshotWindow", "SnapshotWindow", "SnapshotWindow", "snapshot_window", STRING,
             IMMEDIATE, NOT_YET),
     .fallback = "\"03:00-04:00\"", .note = NO_SNAPSHOTS},
    {COLUMNS("AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade", "AutoMinorVersionUpgrade",
             "auto_minor_version_upgrade", BOOLEAN, IMMEDIATE, NOT_YET),
     .fallback = "true", .note = NO_UPGRADES},
    {COLUMNS("NetworkType", "NetworkType", NULL, "network_type", STRING, NEVER, REFUSED),
     .fallback = "\"ipv4\"", .note = "endpoints have IPv4 addresses"},
    {COLUMNS("IpDiscovery", "IpDiscovery", "IpDiscovery", "ip_discovery", STRING, NEVER, REFUSED),
     .fallback = "\"ipv4\"", .note = "endpoints have IPv4 addresses"},
    {COLUMNS("ClusterMode", "ClusterMode", "ClusterMode", "cluster_mode", STRING, NEVER, REFUSED),
     .fallback = "\"disabled\"", .note = "cluster mode is not offered yet"},
};

static const FieldInfo cache_subnet_group[] = {
    {COLUMNS("CacheSubnetGroupName", "CacheSubnetGroupName", NULL, "name", STRING, NEVER, NOW)},
    {COLUMNS("CacheSubnetGroupDescription", "CacheSubnetGroupDescription",
             "CacheSubnetGroupDescription", "description", STRING, IMMEDIATE, NOW)},
    {COLUMNS("SubnetIds", "SubnetIds", "SubnetIds", "subnet_ids", LIST, IMMEDIATE, NOW)},
};

static const FieldInfo cache_parameter_group[] = {
    {COLUMNS("CacheParameterGroupName", "CacheParameterGroupName", NULL, "name", STRING, NEVER,
             NOW)},
    {COLUMNS("CacheParameterGroupFamily", "CacheParameterGroupFamily", NULL, "family", STRING,
             NEVER, NOW)},
    {COLUMNS("Description", "Description", NULL, "description", STRING, NEVER, NOW)},
};

#define TABLE(fields)                                                                              \
    {                                                                                              \
        fields, ARRAY_LEN(fields)                                                                  \
    }

const FieldTable field_tables[RESOURCE_TYPES] = {
    [RESOURCE_DB_INSTANCE] = TABLE(db_instance),
    [RESOURCE_DB_SUBNET_GROUP] = TABLE(db_subnet_group),
    [RESOURCE_DB_PARAMETER_GROUP] = TABLE(db_parameter_group),
    [RESOURCE_DB_PROXY] = TABLE(db_proxy),
    [RESOURCE_DB_PROXY_ENDPOINT] = TABLE(db_proxy_endpoint),
    [RESOURCE_DB_PROXY_OPTIONS] = TABLE(db_proxy_options),
    [RESOURCE_SECURITY_GROUP] = TABLE(security_group),
    [RESOURCE_SECRET] = TABLE(secret),
    [RESOURCE_REPLICATION_GROUP] = TABLE(replication_group),
    [RESOURCE_CACHE_SUBNET_GROUP] = TABLE(cache_subnet_group),
    [RESOURCE_CACHE_PARAMETER_GROUP] = TABLE(cache_parameter_group),
};
