/* Field tables, what is not in effect, and the status that clients see. */
#include "../unit.h"

#include "model/model.h"

static void test_tables_are_sound(void **state)
{
    (void)state;
    for (int type = 0; type < RESOURCE_TYPES; type++) {
        size_t len;
        const FieldInfo *fields = model_fields((ResourceType)type, &len);
        assert_true(len > 0);
        for (size_t i = 0; i < len; i++) {
            const FieldInfo *field = &fields[i];
            assert_ptr_equal(field_find((ResourceType)type, field->name), field);
            assert_true(field->effect == EFFECT_NOW || field->note != NULL);
            assert_true(field->effect != EFFECT_REFUSED || field->fallback != NULL);
            json_t *fallback = field_fallback_new(field);
            assert_true(fallback == NULL || field_check(field, fallback, NULL));
            json_decref(fallback);
        }
    }
    assert_null(field_find(RESOURCE_DB_INSTANCE, "NoSuchField"));
}

static void check(const char *name, json_t *value, ErrCode code)
{
    Err err = {0};
    bool ok = field_check(field_find(RESOURCE_DB_INSTANCE, name), value, &err);
    assert_int_equal(ok, code == ERR_NONE);
    assert_int_equal(err.code, code);
    json_decref(value);
}

static void test_values(void **state)
{
    (void)state;
    check("BackupRetentionPeriod", json_integer(35), ERR_NONE);
    check("BackupRetentionPeriod", json_integer(36), ERR_INVALID);
    check("BackupRetentionPeriod", json_integer(-1), ERR_INVALID);
    check("BackupRetentionPeriod", json_string("7"), ERR_INVALID);
    check("DbInstancePort", json_integer(80), ERR_INVALID);
    check("MultiAZ", json_true(), ERR_NONE);
    check("IAMDatabaseAuthenticationEnabled", json_false(), ERR_NONE);
    check("IAMDatabaseAuthenticationEnabled", json_true(), ERR_UNSUPPORTED);
    check("EnabledCloudwatchLogsExports", json_array(), ERR_NONE);
    check("EnabledCloudwatchLogsExports", json_pack("[s]", "postgresql"), ERR_UNSUPPORTED);
    check("NetworkType", json_string("DUAL"), ERR_UNSUPPORTED);
}

static void assert_listed(const json_t *spec, const char *const *names)
{
    size_t cursor = 0;
    for (; *names != NULL; names++) {
        const FieldInfo *field = field_not_in_effect(RESOURCE_DB_INSTANCE, spec, &cursor);
        assert_non_null(field);
        assert_string_equal(field->name, *names);
    }
    assert_null(field_not_in_effect(RESOURCE_DB_INSTANCE, spec, &cursor));
}

static void test_what_is_not_in_effect(void **state)
{
    (void)state;
    json_t *quiet = json_pack("{s:s, s:b, s:i, s:i, s:b, s:n}", "DBInstanceClass", "db.t4g.micro",
                              "StorageEncrypted", 0, "BackupRetentionPeriod", 0,
                              "MonitoringInterval", 0, "MultiAZ", 1, "KmsKeyId");
    assert_listed(quiet, (const char *const[]){NULL});
    json_t *guide =
        json_pack("{s:i, s:i, s:b, s:i, s:b, s:i}", "AllocatedStorage", 100, "MaxAllocatedStorage",
                  1000, "StorageEncrypted", 1, "BackupRetentionPeriod", 1,
                  "PerformanceInsightsEnabled", 1, "MonitoringInterval", 60);
    assert_listed(guide,
                  (const char *const[]){"AllocatedStorage", "MaxAllocatedStorage",
                                        "StorageEncrypted", "BackupRetentionPeriod",
                                        "MonitoringInterval", "PerformanceInsightsEnabled", NULL});
    json_decref(quiet);
    json_decref(guide);
}

static void test_status_speaks_of_one_generation(void **state)
{
    (void)state;
    static const struct {
        int64_t generation, seen;
        const char *recorded; /* NULL: no status record */
        const char *shown;
    } cases[] = {
        {1, 0, NULL, "creating"},         {1, 0, "creating", "creating"},
        {1, 1, "available", "available"}, {2, 1, "available", "modifying"},
        {2, 1, "creating", "creating"},   {2, 2, "available", "available"},
        {2, 2, "modifying", "modifying"}, {2, 1, "stopped", "starting"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *spec = json_pack("{s:I}", "generation", (json_int_t)cases[i].generation);
        json_t *status = cases[i].recorded == NULL
                             ? NULL
                             : json_pack("{s:s, s:I}", "DBInstanceStatus", cases[i].recorded,
                                         "generation", (json_int_t)cases[i].seen);
        assert_string_equal(resource_status(RESOURCE_DB_INSTANCE, spec, status), cases[i].shown);
        json_decref(spec);
        json_decref(status);
    }
}

static void test_status_of_intents(void **state)
{
    (void)state;
    json_t *status = json_pack("{s:s, s:i, s:i}", "DBInstanceStatus", "available", "generation", 1,
                               "reboot_epoch", 0);
    json_t *reboot = json_pack("{s:i, s:i}", "generation", 2, "reboot_epoch", 1);
    json_t *stop = json_pack("{s:i, s:s}", "generation", 2, "desired_state", "stopped");
    json_t *delete = json_pack("{s:i, s:b}", "generation", 1, "deleting", 1);
    assert_string_equal(resource_status(RESOURCE_DB_INSTANCE, reboot, status), "rebooting");
    assert_string_equal(resource_status(RESOURCE_DB_INSTANCE, stop, status), "stopping");
    assert_string_equal(resource_status(RESOURCE_DB_INSTANCE, delete, status), "deleting");
    assert_string_equal(resource_status(RESOURCE_DB_PROXY, delete, NULL), "deleting");
    assert_string_equal(resource_status(RESOURCE_REPLICATION_GROUP, reboot, NULL), "creating");
    assert_string_equal(resource_status(RESOURCE_SECRET, reboot, NULL), "active");
    json_decref(status);
    json_decref(reboot);
    json_decref(stop);
    json_decref(delete);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_sound),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_is_not_in_effect),
        cmocka_unit_test(test_status_speaks_of_one_generation),
        cmocka_unit_test(test_status_of_intents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
