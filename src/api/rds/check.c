/* What must hold for an instance, whatever operation makes or changes it. */
#include "api/rds/rds_priv.h"

const char *instance_id(const json_t *spec)
{
    return member_str(spec, "DBInstanceIdentifier", "");
}

bool instance_alive(ApiContext *ctx, const json_t *spec)
{
    return member_bool(spec, "deleting", false)
               ? refuse(ctx, "InvalidDBInstanceState", "Instance %s is being deleted.",
                        instance_id(spec))
               : true;
}

bool password_set(ApiContext *ctx, json_t *spec, const char *password)
{
    Err err;
    char key[MODEL_KEY_SIZE];
    if (!master_password_check(slice_of(password), &err) ||
        !spec_key(RESOURCE_DB_INSTANCE, instance_id(spec), key, &err)) {
        return refuse_err(ctx, &err);
    }
    json_object_set_new(spec, "master_password",
                        json_string(seal_for(ctx, key, slice_of(password))));
    json_object_set_new(spec, "password_epoch",
                        json_integer(member_int(spec, "password_epoch", 0) + 1));
    return true;
}

void instance_identify(ApiContext *ctx, json_t *spec, const char *id)
{
    (void)ctx;
    char dbi[MODEL_ID_SIZE];
    dbi_resource_id_make(dbi);
    json_object_set_new(spec, "DBInstanceIdentifier", json_string(id));
    json_object_set_new(spec, "DbiResourceId", json_string(dbi));
    json_object_set_new(spec, "desired_state", json_string("running"));
    json_object_set_new(spec, "reboot_epoch", json_integer(0));
}

json_t *replicas_of(ApiContext *ctx, const json_t *spec)
{
    json_t *ids = json_array();
    const char *dbi = member_str(spec, "DbiResourceId", "");
    RecordList list = spec_list(ctx, RESOURCE_DB_INSTANCE);
    for (size_t i = 0; i < list.len; i++) {
        const json_t *other = list.items[i].value;
        if (strcmp(member_str(other, "source", ""), dbi) == 0 &&
            !member_bool(other, "deleting", false)) {
            json_array_append_new(ids, json_string(instance_id(other)));
        }
    }
    return ids;
}

bool multi_az_check(ApiContext *ctx, const json_t *spec)
{
    Err err;
    bool multi_az = member_bool(spec, "MultiAZ", false) ||
                    member_bool(member_object(spec, "pending"), "MultiAZ", false);
    json_t *group =
        spec_get(ctx, RESOURCE_DB_PARAMETER_GROUP, member_str(spec, "DBParameterGroupName", ""));
    if (!multi_az || parameters_check_multi_az(member_object(group, "parameters"), &err)) {
        return true;
    }
    return refuse_err(ctx, &err);
}

/* ---- values that depend on one another
 * ----------------------------------------------------------- */

static bool windows_check(ApiContext *ctx, const json_t *spec)
{
    Err err;
    const char *backup = member_str(spec, "PreferredBackupWindow", "");
    const char *maintenance = member_str(spec, "PreferredMaintenanceWindow", "");
    return daily_window_check("backup window", slice_of(backup), 30, &err) &&
                   maintenance_window_check(slice_of(maintenance), &err)
               ? true
               : refuse_err(ctx, &err);
}

static bool storage_check(ApiContext *ctx, const json_t *spec)
{
    int64_t allocated = member_int(spec, "AllocatedStorage", 0);
    int64_t most = member_int(spec, "MaxAllocatedStorage", 0);
    if (allocated == 0) {
        return refuse(ctx, "InvalidParameterValue",
                      "The parameter AllocatedStorage must be provided and must not be blank.");
    }
    return most == 0 || most >= allocated
               ? true
               : refuse(ctx, "InvalidParameterCombination",
                        "Invalid max storage size: %lld GiB is less than AllocatedStorage, %lld "
                        "GiB.",
                        (long long)most, (long long)allocated);
}

static bool storage_type_check(ApiContext *ctx, const json_t *spec)
{
    static const char *const types[] = {"standard", "gp2", "gp3", "io1", "io2"};
    const char *type = member_str(spec, "StorageType", "");
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (strcmp(type, types[i]) == 0) {
            return true;
        }
    }
    return refuse(ctx, "InvalidParameterValue", "Invalid storage type: %s", type);
}

static bool monitoring_check(ApiContext *ctx, const json_t *spec)
{
    static const int64_t intervals[] = {0, 1, 5, 10, 15, 30, 60};
    int64_t interval = member_int(spec, "MonitoringInterval", 0);
    for (size_t i = 0; i < ARRAY_LEN(intervals); i++) {
        if (interval == intervals[i]) {
            return true;
        }
    }
    return refuse(ctx, "InvalidParameterValue",
                  "Invalid MonitoringInterval: %lld. It is one of 0, 1, 5, 10, 15, 30, 60.",
                  (long long)interval);
}

/* The zone that a user chose, as its full name. */
static bool zone_check(ApiContext *ctx, const json_t *spec)
{
    const char *name = member_str(spec, "AvailabilityZone", NULL);
    if (name == NULL) {
        return true;
    }
    if (zone_parse(&ctx->tier, slice_of(name)) == '\0') {
        return refuse(ctx, "InvalidParameterValue",
                      "Invalid Availability Zone: %s. This tier has %sa, %sb and %sc.", name,
                      ctx->tier.region, ctx->tier.region, ctx->tier.region);
    }
    return !member_bool(spec, "MultiAZ", false)
               ? true
               : refuse(ctx, "InvalidParameterCombination",
                        "Requesting a specific availability zone is not valid for Multi-AZ "
                        "instances.");
}

bool instance_check(ApiContext *ctx, const json_t *spec)
{
    return class_check(ctx, member_str(spec, "DBInstanceClass", ""), "db.") &&
           storage_check(ctx, spec) && storage_type_check(ctx, spec) && windows_check(ctx, spec) &&
           monitoring_check(ctx, spec) && zone_check(ctx, spec) && multi_az_check(ctx, spec);
}
