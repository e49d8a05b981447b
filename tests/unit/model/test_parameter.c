/* Formulas, what a group may set, and what an engine gets from it. */
#include "../unit.h"

#include <stdio.h>

#include "model/model.h"

#define GIB ((int64_t)1 << 30)

static const FormulaFacts facts = {16 * GIB, 2, 100 * GIB, 5432};

static void test_formulas(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t value;
    } cases[] = {
        {"7", 7},
        {"-50003", -50003},
        {"{DBInstanceClassMemory/9531392}", 1802},
        {"LEAST({DBInstanceClassMemory/9531392},5000)", 1802},
        {"LEAST({DBInstanceClassMemory/9531392}, 500)", 500},
        {"GREATEST({DBInstanceClassMemory*1024/63963136},65536)", 275036},
        {"GREATEST({DBInstanceClassMemory/64371566592},3)", 3},
        {"SUM({DBInstanceClassMemory/12038},-50003)", 1377133},
        {"GREATEST({log(DBInstanceClassMemory/21474836480)*600},200)", 200},
        {"GREATEST(${DBInstanceVCPU*2},8)", 8},
        {"{ DBInstanceVCPU * ( 3 - 1 ) + 1 }", 5},
        {"{AllocatedStorage/1073741824}", 100},
        {"{EndPointPort}", 5432},
        {"greatest(least(1,2),SUM(3,4,5))", 12},
        {"{10/4}", 2},
        {"{-10/4}", -2},
        {"{10/4*2}", 5}, /* cut where the braces end, not before */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t value = -1;
        Err err = {0};
        assert_true(formula_eval(slice_of(cases[i].text), &facts, &value, &err));
        assert_int_equal(value, cases[i].value);
    }
}

static void test_bad_formulas(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "{}",
        "{1",
        "1}",
        "{1/0}",
        "{1*}",
        "{x}",
        "{DBInstanceClassMemory",
        "LEAST",
        "LEAST(",
        "LEAST()",
        "LEAST(1",
        "LEAST(1,)",
        "MOST(1)",
        "{log(0)}",
        "{log(-1)}",
        "{log 1}",
        "1 2",
        "99999999999999999999",
        "{9000000000000000*9000000000000000}",
        "{((1)}",
        "1.5",
        "{((((((((((((((((((((1))))))))))))))))))))}",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        int64_t value = 42;
        Err err = {0};
        assert_false(formula_eval(slice_of(texts[i]), &facts, &value, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_int_equal(value, 42);
    }
    char text[300];
    memset(text, '1', sizeof(text));
    int64_t value;
    assert_false(formula_eval(slice_from(text, sizeof(text)), &facts, &value, NULL));
    assert_false(formula_eval(slice_from("1\0", 2), &facts, &value, NULL));
}

static void test_every_prefix_of_a_formula_is_refused(void **state)
{
    (void)state;
    Slice text = SLICE("GREATEST({log(DBInstanceClassMemory/2)*(1+2)},SUM(1,2))");
    int64_t value;
    for (size_t len = 0; len < text.len; len++) {
        assert_false(formula_eval(slice_from(text.data, len), &facts, &value, NULL));
    }
    assert_true(formula_eval(text, &facts, &value, NULL));
}

static void test_what_is_a_formula(void **state)
{
    (void)state;
    assert_true(formula_is(SLICE("{DBInstanceClassMemory/2}")));
    assert_true(formula_is(SLICE("LEAST(1,2)")));
    assert_false(formula_is(SLICE("least")));
    assert_false(formula_is(SLICE("12")));
    assert_false(formula_is(SLICE("")));
}

typedef struct CheckCase {
    const char *name, *value;
    ErrCode code;
    const char *message;
} CheckCase;

static void check_cases(const char *family, const CheckCase *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        Err err = {0};
        parameter_check(parameter_family_find(family), cases[i].name, cases[i].value, &err)
            ? (void)0
            : (void)assert_int_not_equal(err.code, ERR_NONE);
        assert_int_equal(err.code, cases[i].code);
        assert_true(cases[i].message == NULL || strstr(err.message, cases[i].message) != NULL);
    }
}

static void test_postgres_values(void **state)
{
    (void)state;
    static const CheckCase cases[] = {
        {"work_mem", "16384", ERR_NONE, NULL},
        {"work_mem", "63", ERR_INVALID, "allowed values are: 64-2147483647"},
        {"work_mem", "16MB", ERR_INVALID, "Invalid parameter value: 16MB for: work_mem"},
        {"work_mem", "", ERR_INVALID, NULL},
        {"work_mem", "{DBInstanceClassMemory/16384}", ERR_NONE, NULL},
        {"work_mem", "{DBInstanceClassMemory/0}", ERR_INVALID, "divides by zero"},
        {"log_min_duration_statement", "-1", ERR_NONE, NULL},
        {"autovacuum", "1", ERR_NONE, NULL},
        {"autovacuum", "on", ERR_NONE, NULL},
        {"autovacuum", "yes", ERR_INVALID, "0,1"},
        {"random_page_cost", "1.1", ERR_NONE, NULL},
        {"random_page_cost", "-1", ERR_INVALID, NULL},
        {"random_page_cost", "1.1x", ERR_INVALID, NULL},
        {"random_page_cost", "0x10", ERR_INVALID, NULL},
        {"wal_compression", "lz4", ERR_NONE, NULL},
        {"wal_compression", "gzip", ERR_INVALID, NULL},
        {"timezone", "Europe/Vienna", ERR_NONE, NULL},
        {"timezone", "a\nb", ERR_INVALID, NULL},
        {"shared_preload_libraries", "pg_stat_statements, auto_explain", ERR_NONE, NULL},
        {"shared_preload_libraries", "evil", ERR_INVALID, "auto_explain,pg_prewarm"},
        {"pg_stat_statements.max", "1000", ERR_NONE, NULL},
        {"huge_pages", "on", ERR_INVALID, "off,try"},
        {"synchronous_commit", "remote_apply", ERR_NONE, NULL},
        {"rds.force_ssl", "0", ERR_NONE, NULL},
        {"no_such_thing", "1", ERR_INVALID, "Could not find parameter with name: no_such_thing"},
        {"", "1", ERR_INVALID, "Could not find"},
    };
    check_cases("postgres15", cases, ARRAY_LEN(cases));
}

/* RULES F13: refused by name, each with its reason. */
static void test_postgres_refusals(void **state)
{
    (void)state;
    static const char *const names[] = {
        "fsync",
        "full_page_writes",
        "synchronous_standby_names",
        "restart_after_crash",
        "primary_conninfo",
        "primary_slot_name",
        "recovery_target",
        "recovery_min_apply_delay",
        "recovery_target_timeline",
        "listen_addresses",
        "port",
        "ssl",
        "ssl_cert_file",
        "hba_file",
        "ident_file",
        "data_directory",
        "config_file",
        "unix_socket_directories",
        "unix_socket_permissions",
        "wal_level",
        "max_wal_senders",
        "max_replication_slots",
        "hot_standby",
        "log_destination",
        "logging_collector",
        "log_line_prefix",
        "lc_messages",
        "wal_sender_timeout",
        "wal_receiver_timeout",
        "wal_receiver_status_interval",
        "wal_retrieve_retry_interval",
        "password_encryption",
        "cluster_name",
        "archive_command",
        "archive_mode",
        "restore_command",
        "zero_damaged_pages",
        "rds.logical_replication",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Err err = {0};
        assert_false(parameter_check(parameter_family_find("postgres15"), names[i], "on", &err));
        assert_int_equal(err.code, ERR_UNSUPPORTED);
        assert_non_null(strstr(err.message, names[i]));
        assert_non_null(strstr(err.message, "cannot be modified: "));
    }
}

static void test_synchronous_commit_below_on_needs_a_single_zone(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool ok;
    } cases[] = {{"on", true},
                 {"remote_apply", true},
                 {"off", false},
                 {"local", false},
                 {"remote_write", false}};
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *parameters = json_pack("{s:{s:s}}", "synchronous_commit", "value", cases[i].value);
        assert_int_equal(parameters_check_multi_az(parameters, &err), cases[i].ok);
        json_decref(parameters);
    }
    assert_true(parameters_check_multi_az(NULL, &err));
    json_t *silent = json_pack("{s:{s:s}}", "client_min_messages", "value", "error");
    assert_false(parameters_check_multi_az(silent, &err));
    assert_non_null(strstr(err.message, "client_min_messages=error"));
    json_decref(silent);
    json_t *loud = json_pack("{s:{s:s}}", "client_min_messages", "value", "warning");
    assert_true(parameters_check_multi_az(loud, &err));
    json_decref(loud);
}

static void test_redis_values(void **state)
{
    (void)state;
    static const CheckCase cases[] = {
        {"maxmemory-policy", "allkeys-lru", ERR_NONE, NULL},
        {"maxmemory-policy", "lru", ERR_INVALID, "volatile-lru"},
        {"activedefrag", "yes", ERR_NONE, NULL},
        {"activedefrag", "1", ERR_INVALID, "yes,no"},
        {"timeout", "300", ERR_NONE, NULL},
        {"notify-keyspace-events", "Ex", ERR_NONE, NULL},
        {"maxmemory", "1", ERR_UNSUPPORTED, "reserved-memory-percent"},
        {"appendonly", "no", ERR_UNSUPPORTED, NULL},
        {"cluster-enabled", "yes", ERR_UNSUPPORTED, "cluster mode"},
        {"dir", "/", ERR_INVALID, "Could not find"},
    };
    check_cases("redis7", cases, ARRAY_LEN(cases));
}

static void test_tables_are_sorted_and_complete(void **state)
{
    (void)state;
    const ParameterFamily *family;
    for (size_t cursor = 0; parameter_family_next(&cursor, &family);) {
        for (size_t i = 0; i < family->len; i++) {
            const ParameterInfo *info = &family->infos[i];
            assert_ptr_equal(parameter_find(family, info->name), info);
            assert_true(i == 0 || strcmp(family->infos[i - 1].name, info->name) < 0);
            Err err = {0};
            assert_true(info->family_default == NULL ||
                        parameter_check(family, info->name, info->family_default, &err));
        }
    }
    assert_true(parameter_family_find("postgres15")->len > 330);
    assert_true(parameter_find(parameter_family_find("postgres15"), "shared_buffers")->is_static);
    assert_false(parameter_find(parameter_family_find("postgres15"), "work_mem")->is_static);
    assert_true(
        parameter_find(parameter_family_find("postgres15"), "max_connections")->standby_at_least);
}

static json_t *resolve(const char *family, const json_t *parameters, const FormulaFacts *with)
{
    json_t *settings = NULL;
    Err err = {0};
    assert_true(
        parameters_resolve_new(parameter_family_find(family), parameters, with, &settings, &err));
    return settings;
}

static void test_postgres_settings(void **state)
{
    (void)state;
    json_t *parameters = json_pack("{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}", "work_mem", "value",
                                   "8192", "max_connections", "value", "200", "rds.force_ssl",
                                   "value", "0", "fsync", "value", "off");
    json_t *settings = resolve("postgres15", parameters, &facts);
    assert_string_equal(member_str(settings, "shared_buffers", ""), "524288"); /* 4 GiB of 8 kB */
    assert_string_equal(member_str(settings, "effective_cache_size", ""), "1048576");
    assert_string_equal(member_str(settings, "work_mem", ""), "8192");
    assert_string_equal(member_str(settings, "max_connections", ""), "200");
    assert_null(member_str(settings, "rds.force_ssl", NULL));
    assert_null(member_str(settings, "fsync", NULL)); /* whatever a record may say */
    assert_null(member_str(settings, "seq_page_cost", NULL));
    assert_false(parameters_force_ssl(parameter_family_find("postgres15"), parameters));
    assert_true(parameters_force_ssl(parameter_family_find("postgres15"), NULL));
    json_decref(settings);
    json_decref(parameters);
}

static void test_results_stay_in_range(void **state)
{
    (void)state;
    FormulaFacts tiny = {(int64_t)64 << 20, 1, GIB, 5432};
    json_t *parameters =
        json_pack("{s:{s:s}}", "work_mem", "value", "{DBInstanceClassMemory/67108864}");
    json_t *settings = resolve("postgres15", parameters, &tiny);
    assert_string_equal(member_str(settings, "work_mem", ""), "64");
    assert_string_equal(member_str(settings, "max_connections", ""), "20");
    json_decref(settings);
    json_decref(parameters);
}

static void test_a_formula_that_fails_later_is_an_error(void **state)
{
    (void)state;
    FormulaFacts none = {0, 2, GIB, 5432};
    json_t *parameters =
        json_pack("{s:{s:s}}", "work_mem", "value", "{log(DBInstanceClassMemory)}");
    json_t *settings = NULL;
    Err err = {0};
    assert_false(parameters_resolve_new(parameter_family_find("postgres15"), parameters, &none,
                                        &settings, &err));
    assert_non_null(strstr(err.message, ": the formula"));
    assert_null(settings);
    json_decref(parameters);
}

static void test_redis_settings(void **state)
{
    (void)state;
    FormulaFacts node = {1000, 2, 0, 6379};
    json_t *parameters = json_pack("{s:{s:s}, s:{s:s}}", "timeout", "value", "30",
                                   "client-output-buffer-limit-pubsub-soft-seconds", "value", "9");
    json_t *settings = resolve("redis7", parameters, &node);
    assert_string_equal(member_str(settings, "maxmemory", ""), "750");
    assert_string_equal(member_str(settings, "maxmemory-policy", ""), "volatile-lru");
    assert_string_equal(member_str(settings, "timeout", ""), "30");
    assert_string_equal(member_str(settings, "client-output-buffer-limit", ""),
                        "normal 0 0 0 pubsub 33554432 8388608 9");
    assert_null(member_str(settings, "reserved-memory-percent", NULL));
    assert_null(member_str(settings, "client-output-buffer-limit-pubsub-soft-seconds", NULL));
    json_decref(settings);
    json_decref(parameters);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formulas),
        cmocka_unit_test(test_bad_formulas),
        cmocka_unit_test(test_every_prefix_of_a_formula_is_refused),
        cmocka_unit_test(test_what_is_a_formula),
        cmocka_unit_test(test_postgres_values),
        cmocka_unit_test(test_postgres_refusals),
        cmocka_unit_test(test_synchronous_commit_below_on_needs_a_single_zone),
        cmocka_unit_test(test_redis_values),
        cmocka_unit_test(test_tables_are_sorted_and_complete),
        cmocka_unit_test(test_postgres_settings),
        cmocka_unit_test(test_results_stay_in_range),
        cmocka_unit_test(test_a_formula_that_fails_later_is_an_error),
        cmocka_unit_test(test_redis_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
