/* Operations on an instance that is there: modify, reboot, start, stop, promote, delete. */
#include "api/rds/rds_priv.h"

/* The instance that the input names, unless it is being deleted. */
static json_t *instance_named(ApiContext *ctx, const json_t *input)
{
    const char *name;
    if (!input_required(ctx, input, "DBInstanceIdentifier", &name)) {
        return NULL;
    }
    json_t *spec = instance_find(ctx, name);
    return spec != NULL && instance_alive(ctx, spec) ? spec : NULL;
}

static bool finish_change(ApiContext *ctx, json_t *spec, json_t **ret_output)
{
    spec_change(ctx, RESOURCE_DB_INSTANCE, instance_id(spec), spec);
    *ret_output = instance_output(ctx, spec);
    return true;
}

/* ---- modify
 * -------------------------------------------------------------------------------------- */

/* Writes the installed version into the input, for the field table to take from there. */
static bool version_change(ApiContext *ctx, json_t *input, const json_t *spec)
{
    const char *requested = input_str(input, "EngineVersion");
    if (requested == NULL) {
        return true;
    }
    char have[MODEL_VERSION_SIZE];
    char want[MODEL_VERSION_SIZE];
    json_t *resolved = context_own(ctx, json_object());
    TRY(version_check(ctx, "postgres", requested, resolved));
    engine_major(member_str(spec, "EngineVersion", ""), have);
    engine_major(member_str(resolved, "EngineVersion", ""), want);
    if (strcmp(have, want) != 0) {
        return refuse_unsupported(ctx, "upgrades to another major version yet (%s to %s).", have,
                                  want);
    }
    json_object_set(input, "EngineVersion", json_object_get(resolved, "EngineVersion"));
    return true;
}

static bool rename_check(ApiContext *ctx, const json_t *input, const json_t *spec)
{
    char *name = input_lower(ctx, input, "NewDBInstanceIdentifier");
    return name == NULL || strcmp(name, instance_id(spec)) == 0
               ? true
               : refuse_unsupported(ctx, "renaming an instance yet (NewDBInstanceIdentifier).");
}

static bool groups_change(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *group = input_str(input, "DBParameterGroupName");
    const json_t *security = json_object_get(input, "VpcSecurityGroupIds");
    if (group == NULL && json_array_size(security) == 0) {
        return true;
    }
    references_hold(ctx);
    TRY(group == NULL || parameter_group_resolve(ctx, RESOURCE_DB_PARAMETER_GROUP, group,
                                                 "postgres", member_str(spec, "EngineVersion", ""),
                                                 spec, "DBParameterGroupName"));
    return json_array_size(security) == 0 ||
           security_groups_resolve(ctx, security, spec, "VpcSecurityGroupIds");
}

static bool password_change(ApiContext *ctx, const json_t *input, json_t *spec)
{
    const char *password = input_str(input, "MasterUserPassword");
    if (password == NULL) {
        return true;
    }
    return member_str(spec, "source", NULL) == NULL
               ? password_set(ctx, spec, password)
               : refuse(ctx, "InvalidParameterCombination",
                        "The master password of a read replica is that of its source.");
}

/* The class that waits must be one, too. */
static bool pending_check(ApiContext *ctx, const json_t *spec)
{
    const char *class = member_str(member_object(spec, "pending"), "DBInstanceClass", NULL);
    return class == NULL || class_check(ctx, class, "db.");
}

static bool replica_check(ApiContext *ctx, const json_t *spec)
{
    bool replica = member_str(spec, "source", NULL) != NULL;
    bool multi_az = member_bool(spec, "MultiAZ", false) ||
                    member_bool(member_object(spec, "pending"), "MultiAZ", false);
    return replica && multi_az
               ? refuse_unsupported(ctx, "a standby for a read replica yet: leave MultiAZ out.")
               : true;
}

static bool backups_check(ApiContext *ctx, const json_t *input, const json_t *spec)
{
    json_t *replicas = context_own(ctx, replicas_of(ctx, spec));
    bool off = member_int(input, "BackupRetentionPeriod", -1) == 0;
    return off && json_array_size(replicas) > 0
               ? refuse(ctx, "InvalidParameterCombination",
                        "BackupRetentionPeriod cannot be 0: %s has read replicas, such as %s.",
                        instance_id(spec), json_string_value(json_array_get(replicas, 0)))
               : true;
}

bool rds_modify_instance(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"DBInstanceIdentifier",
                                          "ApplyImmediately",
                                          "NewDBInstanceIdentifier",
                                          "AllowMajorVersionUpgrade",
                                          "DBParameterGroupName",
                                          "VpcSecurityGroupIds",
                                          NULL};
    json_t *spec = instance_named(ctx, input);
    if (spec == NULL) {
        return false;
    }
    char *subnet_group = input_lower(ctx, input, "DBSubnetGroupName");
    if (subnet_group != NULL) {
        json_object_set_new(input, "DBSubnetGroupName", json_string(subnet_group));
    }
    return rename_check(ctx, input, spec) && version_change(ctx, input, spec) &&
           backups_check(ctx, input, spec) &&
           fields_modify(ctx, RESOURCE_DB_INSTANCE, input, handled,
                         input_flag(input, "ApplyImmediately"), spec) &&
           groups_change(ctx, input, spec) && password_change(ctx, input, spec) &&
           replica_check(ctx, spec) && instance_check(ctx, spec) && pending_check(ctx, spec) &&
           finish_change(ctx, spec, ret_output);
}

/* ---- reboot, start, stop
 * ------------------------------------------------------------------------- */

static bool wants(const json_t *spec, const char *state)
{
    return strcmp(member_str(spec, "desired_state", "running"), state) == 0;
}

bool rds_reboot_instance(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = instance_named(ctx, input);
    if (spec == NULL) {
        return false;
    }
    if (!wants(spec, "running")) {
        return refuse(ctx, "InvalidDBInstanceState", "Instance %s is stopped.", instance_id(spec));
    }
    bool failover = input_flag(input, "ForceFailover");
    if (failover && !member_bool(spec, "MultiAZ", false)) {
        return refuse(ctx, "InvalidParameterCombination",
                      "Cannot force a failover of %s: it is not a Multi-AZ instance, and nobody "
                      "could take over.",
                      instance_id(spec));
    }
    const char *epoch = failover ? "failover_epoch" : "reboot_epoch";
    const char *key = arena_printf(ctx->arena, "cluster/%s", member_str(spec, "DbiResourceId", ""));
    int64_t last = member_int(spec, epoch, 0);
    int64_t begun = failover ? member_int(record_get(ctx, key), "handover", 0) : 0;
    json_object_set_new(spec, epoch, json_integer((begun > last ? begun : last) + 1));
    return finish_change(ctx, spec, ret_output);
}

bool rds_start_instance(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = instance_named(ctx, input);
    if (spec == NULL) {
        return false;
    }
    if (wants(spec, "running")) {
        return refuse(ctx, "InvalidDBInstanceState",
                      "Instance %s is not stopped: it cannot be started.", instance_id(spec));
    }
    json_object_set_new(spec, "desired_state", json_string("running"));
    return finish_change(ctx, spec, ret_output);
}

static bool stop_check(ApiContext *ctx, const json_t *spec)
{
    const char *id = instance_id(spec);
    if (wants(spec, "stopped")) {
        return refuse(ctx, "InvalidDBInstanceState", "Instance %s is not in available state.", id);
    }
    if (member_str(spec, "source", NULL) != NULL) {
        return refuse(ctx, "InvalidDBInstanceState",
                      "Cannot stop %s: it is a read replica. Delete it, or stop nothing.", id);
    }
    json_t *replicas = context_own(ctx, replicas_of(ctx, spec));
    return json_array_size(replicas) == 0
               ? true
               : refuse(ctx, "InvalidDBInstanceState",
                        "Cannot stop %s: it has read replicas, such as %s.", id,
                        json_string_value(json_array_get(replicas, 0)));
}

bool rds_stop_instance(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = instance_named(ctx, input);
    if (spec == NULL) {
        return false;
    }
    if (input_str(input, "DBSnapshotIdentifier") != NULL) {
        return refuse_unsupported(ctx, "snapshots yet: leave DBSnapshotIdentifier out.");
    }
    TRY(stop_check(ctx, spec));
    json_object_set_new(spec, "desired_state", json_string("stopped"));
    return finish_change(ctx, spec, ret_output);
}

bool rds_promote_replica(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    json_t *spec = instance_named(ctx, input);
    if (spec == NULL) {
        return false;
    }
    if (member_str(spec, "source", NULL) == NULL) {
        return refuse(ctx, "InvalidDBInstanceState", "DB Instance %s is not a read replica.",
                      instance_id(spec));
    }
    return refuse_unsupported(ctx, "promoting a read replica yet. Dump it and restore the dump.");
}

/* ---- delete
 * -------------------------------------------------------------------------------------- */

static bool final_snapshot_check(ApiContext *ctx, const json_t *input)
{
    const char *snapshot = input_str(input, "FinalDBSnapshotIdentifier");
    if (input_flag(input, "SkipFinalSnapshot")) {
        return snapshot == NULL
                   ? true
                   : refuse(ctx, "InvalidParameterCombination",
                            "FinalDBSnapshotIdentifier can not be specified when deleting with "
                            "SkipFinalSnapshot.");
    }
    if (snapshot == NULL) {
        return refuse(ctx, "InvalidParameterCombination",
                      "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is "
                      "specified.");
    }
    return refuse_unsupported(ctx,
                              "snapshots yet, so the final snapshot %s cannot be made. Make a "
                              "dump, then delete with SkipFinalSnapshot=true.",
                              snapshot);
}

static bool delete_check(ApiContext *ctx, const json_t *input, const json_t *spec)
{
    if (member_bool(spec, "DeletionProtection", false)) {
        return refuse(ctx, "InvalidParameterCombination",
                      "Cannot delete protected DB Instance, please disable deletion protection and "
                      "try again.");
    }
    TRY(final_snapshot_check(ctx, input));
    json_t *replicas = context_own(ctx, replicas_of(ctx, spec));
    if (json_array_size(replicas) > 0) {
        return refuse(ctx, "InvalidDBInstanceState",
                      "Cannot delete %s: it has read replicas, such as %s. Delete them first.",
                      instance_id(spec), json_string_value(json_array_get(replicas, 0)));
    }
    return true;
}

bool rds_delete_instance(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    json_t *spec = instance_named(ctx, input);
    if (spec == NULL || !delete_check(ctx, input, spec)) {
        return false;
    }
    references_hold(ctx);
    json_object_set_new(spec, "deleting", json_true());
    return finish_change(ctx, spec, ret_output);
}
