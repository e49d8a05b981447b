/* CreateDBInstance and CreateDBInstanceReadReplica. */
#include "api/rds/rds_priv.h"

/* ---- pieces
 * ---------------------------------------------------------------------------------------
 */

/* The new identifier: well formed, and free. */
static bool new_identifier(ApiContext *ctx, const json_t *input, const char **ret_id)
{
    const char *given;
    Err err;
    TRY(input_required(ctx, input, "DBInstanceIdentifier", &given));
    if (!identifier_check(RESOURCE_DB_INSTANCE, "DBInstanceIdentifier", slice_of(given), &err)) {
        return refuse_err(ctx, &err);
    }
    char *id = text_lower(ctx->arena, given);
    if (spec_get(ctx, RESOURCE_DB_INSTANCE, id) != NULL) {
        return refuse(ctx, "DBInstanceAlreadyExists", "DB instance already exists");
    }
    *ret_id = id;
    return quota_check(ctx, RESOURCE_DB_INSTANCE, INSTANCES_MAX, "InstanceQuotaExceeded");
}

static bool subnet_group_set(ApiContext *ctx, const json_t *input, const char *fallback,
                             json_t *spec)
{
    const char *name = input_str(input, "DBSubnetGroupName");
    const char *used = name != NULL ? name : fallback;
    if (subnet_group_get(ctx, RESOURCE_DB_SUBNET_GROUP, used) == NULL) {
        return false;
    }
    json_object_set_new(spec, "DBSubnetGroupName", json_string(text_lower(ctx->arena, used)));
    return true;
}

/* What the spec refers to: groups that exist and fit. */
static bool references_set(ApiContext *ctx, const json_t *input, const char *subnet_group,
                           const char *parameter_group, json_t *spec)
{
    const char *group = input_str(input, "DBParameterGroupName");
    references_hold(ctx);
    return subnet_group_set(ctx, input, subnet_group, spec) &&
           security_groups_resolve(ctx, json_object_get(input, "VpcSecurityGroupIds"), spec,
                                   "VpcSecurityGroupIds") &&
           parameter_group_resolve(
               ctx, RESOURCE_DB_PARAMETER_GROUP, group != NULL ? group : parameter_group,
               "postgres", member_str(spec, "EngineVersion", ""), spec, "DBParameterGroupName");
}

static bool finish_create(ApiContext *ctx, const json_t *input, json_t *spec, json_t **ret_output)
{
    const json_t *tags = json_object_get(input, "Tags");
    TRY(instance_check(ctx, spec) && tags_check(ctx, tags));
    spec_create(ctx, RESOURCE_DB_INSTANCE, instance_id(spec), spec, tags);
    *ret_output = instance_output(ctx, spec);
    return true;
}

/* ---- a primary
 * ------------------------------------------------------------------------------------
 */

static bool engine_check(ApiContext *ctx, const json_t *input)
{
    const char *engine;
    TRY(input_required(ctx, input, "Engine", &engine));
    return strcmp(engine, "postgres") == 0
               ? true
               : refuse(ctx, "InvalidParameterValue", "Invalid DB engine: %s. Weir runs postgres.",
                        engine);
}

static bool credentials_set(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *user;
    const char *password;
    const char *database = input_str(input, "DBName");
    Err err;
    TRY(input_required(ctx, input, "MasterUsername", &user) &&
        input_required(ctx, input, "MasterUserPassword", &password));
    if (!master_username_check(slice_of(user), &err) ||
        (database != NULL && !db_name_check(slice_of(database), &err))) {
        return refuse_err(ctx, &err);
    }
    return password_set(ctx, spec, password);
}

bool rds_create_instance(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {
        "DBInstanceIdentifier", "EngineVersion",        "Tags", "VpcSecurityGroupIds",
        "DBSubnetGroupName",    "DBParameterGroupName", NULL};
    const char *id;
    const char *class;
    TRY(new_identifier(ctx, input, &id) && engine_check(ctx, input) &&
        input_required(ctx, input, "DBInstanceClass", &class));
    json_t *spec = context_own(ctx, json_object());
    instance_identify(ctx, spec, id);
    return fields_create(ctx, RESOURCE_DB_INSTANCE, input, handled, spec) &&
           version_check(ctx, "postgres", input_str(input, "EngineVersion"), spec) &&
           references_set(ctx, input, MODEL_DEFAULT_SUBNET_GROUP, NULL, spec) &&
           credentials_set(ctx, input, spec) && finish_create(ctx, input, spec, ret_output);
}

/* ---- a replica
 * ------------------------------------------------------------------------------------
 */

static bool source_check(ApiContext *ctx, const json_t *source)
{
    const char *id = instance_id(source);
    TRY(instance_alive(ctx, source));
    if (member_str(source, "source", NULL) != NULL) {
        return refuse_unsupported(ctx, "read replicas of a read replica yet (%s is one).", id);
    }
    if (member_int(source, "BackupRetentionPeriod", 0) == 0) {
        return refuse(ctx, "InvalidDBInstanceState",
                      "Automated backups are not enabled for this database instance. To enable "
                      "automated backups, use ModifyDBInstance to set the backup retention period "
                      "to a non-zero value.");
    }
    json_t *replicas = context_own(ctx, replicas_of(ctx, source));
    return json_array_size(replicas) < REPLICAS_MAX
               ? true
               : refuse(ctx, "InvalidDBInstanceState",
                        "%s has %d read replicas, the most there "
                        "can be.",
                        id, REPLICAS_MAX);
}

/* What a replica takes over from its source unless it was given. */
static void inherit(const json_t *source, json_t *spec)
{
    static const char *const always[] = {
        "Engine",           "EngineVersion", "MasterUsername",          "DBName",
        "StorageEncrypted", "KmsKeyId",      "engine_version_requested"};
    static const char *const defaults[] = {
        "DBInstanceClass",   "AllocatedStorage",       "StorageType", "DbInstancePort", "Iops",
        "StorageThroughput", "AutoMinorVersionUpgrade"};
    for (size_t i = 0; i < ARRAY_LEN(always); i++) {
        json_t *value = json_object_get(source, always[i]);
        if (value != NULL) {
            json_object_set(spec, always[i], value);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(defaults); i++) {
        json_t *value = json_object_get(source, defaults[i]);
        if (value != NULL && json_object_get(spec, defaults[i]) == NULL) {
            json_object_set(spec, defaults[i], value);
        }
    }
    json_object_set_new(spec, "BackupRetentionPeriod", json_integer(0));
    json_object_set(spec, "source", json_object_get(source, "DbiResourceId"));
    json_object_set(spec, "ReadReplicaSourceDBInstanceIdentifier",
                    json_object_get(source, "DBInstanceIdentifier"));
}

static bool replica_fields(ApiContext *ctx, json_t *input, const json_t *source, json_t *spec)
{
    static const char *const handled[] = {
        "DBInstanceIdentifier", "SourceDBInstanceIdentifier", "Tags",         "VpcSecurityGroupIds",
        "DBSubnetGroupName",    "DBParameterGroupName",       "SourceRegion", NULL};
    const char *region = input_str(input, "SourceRegion");
    if (region != NULL && strcmp(region, ctx->tier.region) != 0) {
        return refuse_unsupported(ctx, "read replicas of another region's instances yet.");
    }
    if (input_flag(input, "MultiAZ")) {
        return refuse_unsupported(ctx, "a standby for a read replica yet: leave MultiAZ out.");
    }
    /* Inherited first, so that a table's fallback does not take the source's place. */
    inherit(source, spec);
    return fields_create(ctx, RESOURCE_DB_INSTANCE, input, handled, spec);
}

bool rds_create_replica(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *id;
    const char *source_name;
    TRY(new_identifier(ctx, input, &id) &&
        input_required(ctx, input, "SourceDBInstanceIdentifier", &source_name));
    json_t *source = instance_find(ctx, source_name);
    if (source == NULL || !source_check(ctx, source)) {
        return false;
    }
    json_t *spec = context_own(ctx, json_object());
    instance_identify(ctx, spec, id);
    return replica_fields(ctx, input, source, spec) &&
           references_set(ctx, input, member_str(source, "DBSubnetGroupName", "default"),
                          member_str(source, "DBParameterGroupName", NULL), spec) &&
           finish_create(ctx, input, spec, ret_output);
}
