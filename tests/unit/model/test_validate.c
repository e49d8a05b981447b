/* What users may write, and the messages when they may not. */
#include "../unit.h"

#include "model/model.h"

typedef struct NameCase {
    ResourceType type;
    const char *text;
    const char *message; /* part of it; NULL: accepted */
} NameCase;

#define LETTERS_20 "aaaaaaaaaaaaaaaaaaaa"

static void test_identifiers(void **state)
{
    (void)state;
    static const NameCase cases[] = {
        {RESOURCE_DB_INSTANCE, "app-primary-db", NULL},
        {RESOURCE_DB_INSTANCE, "A", NULL},
        {RESOURCE_DB_INSTANCE, "", "must not be blank"},
        {RESOURCE_DB_INSTANCE, "1app", "must begin with a letter"},
        {RESOURCE_DB_INSTANCE, "app-", "not end with a hyphen"},
        {RESOURCE_DB_INSTANCE, "app--db", "two consecutive hyphens"},
        {RESOURCE_DB_INSTANCE, "app_db", "only ASCII"},
        {RESOURCE_DB_INSTANCE, "caf\xc3\xa9", "only ASCII"},
        {RESOURCE_DB_INSTANCE, LETTERS_20 LETTERS_20 LETTERS_20 "aaaa", "longer than 63"},
        {RESOURCE_REPLICATION_GROUP, LETTERS_20 LETTERS_20, NULL},
        {RESOURCE_REPLICATION_GROUP, LETTERS_20 LETTERS_20 "a", "longer than 40"},
        {RESOURCE_DB_SUBNET_GROUP, "My group_1.x", NULL},
        {RESOURCE_DB_SUBNET_GROUP, "Default", "reserved"},
        {RESOURCE_DB_SUBNET_GROUP, "a/b", "only letters"},
        {RESOURCE_SECURITY_GROUP, "web (1)", NULL},
        {RESOURCE_SECURITY_GROUP, "sg-web", "sg-*"},
        {RESOURCE_SECRET, "app/db-credentials", NULL},
        {RESOURCE_SECRET, "app db", "alphanumeric"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err = {0};
        bool ok = identifier_check(cases[i].type, "Name", slice_of(cases[i].text), &err);
        assert_int_equal(ok, cases[i].message == NULL);
        if (!ok) {
            assert_int_equal(err.code, ERR_INVALID);
            assert_non_null(strstr(err.message, cases[i].message));
        }
    }
}

typedef struct TextCase {
    const char *text;
    const char *message;
} TextCase;

static void check_texts(bool (*check)(Slice, Err *), const TextCase *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        Err err = {0};
        bool ok = check(slice_of(cases[i].text), &err);
        assert_int_equal(ok, cases[i].message == NULL);
        assert_true(ok || strstr(err.message, cases[i].message) != NULL);
    }
}

static void test_accounts(void **state)
{
    (void)state;
    static const TextCase users[] = {
        {"dbadmin", NULL},       {"postgres", NULL},       {"a_1", NULL},
        {"", "not be blank"},    {"1a", "begin with a"},   {"Admin", "reserved word"},
        {"pg_x", "reserved"},    {"RDSADMIN", "reserved"}, {"weir_x", "reserved"},
        {"a-b", "alphanumeric"},
    };
    static const TextCase names[] = {
        {"app_database", NULL}, {"_x", NULL},       {"", "begin with"},
        {"1x", "begin with"},   {"a-b", "contain"}, {"Template0", "reserved word"},
    };
    check_texts(master_username_check, users, ARRAY_LEN(users));
    check_texts(db_name_check, names, ARRAY_LEN(names));
}

static bool password_check(Slice text, Err *err)
{
    bool ok = master_password_check(text, err);
    assert_true(ok || text.len == 0 || strstr(err->message, text.data) == NULL); /* never quoted */
    return ok;
}

static void test_credentials(void **state)
{
    (void)state;
    static const TextCase passwords[] = {
        {"secret12", NULL},
        {"secret1", "shorter than 8"},
        {"se/cret12", "besides"},
        {"se@cret12", "besides"},
        {"se\"cret12", "besides"},
        {"se cret12", "besides"},
        {"se\xc3\xa9"
         "cret12",
         "besides"},
    };
    static const TextCase tokens[] = {
        {"abcdefghijklmnop", NULL},
        {"abcdefghijklmno", "16 to 128"},
        {"abcd!&#$^<>-1234", NULL},
        {"abcdefghijklmno@", "special"},
    };
    check_texts(password_check, passwords, ARRAY_LEN(passwords));
    check_texts(auth_token_check, tokens, ARRAY_LEN(tokens));
}

static bool backup_window_check(Slice text, Err *err)
{
    return daily_window_check("backup window", text, 30, err);
}

static void test_windows(void **state)
{
    (void)state;
    static const TextCase weekly[] = {
        {"sun:04:30-sun:05:30", NULL},
        {"Sun:23:45-Mon:00:15", NULL},
        {"sun:04:30-sun:04:45", "at least 30"},
        {"sun:04:30-sat:04:30", "less than 24"},
        {"sun:04:30", "Invalid maintenance"},
        {"xyz:04:30-sun:05:30", "Invalid maintenance"},
        {"sun:24:30-sun:05:30", "Invalid maintenance"},
        {"sun:4:30-sun:05:30", "Invalid maintenance"},
        {"", "Invalid maintenance"},
    };
    static const TextCase daily[] = {
        {"03:00-04:00", NULL},       {"23:45-00:15", NULL},     {"03:00-03:29", "at least 30"},
        {"03:00", "Invalid backup"}, {"03:00-3:59", "Invalid"}, {"a3:00-04:00", "Invalid"},
        {"03:00-04:60", "Invalid"},  {"", "Invalid"},
    };
    check_texts(maintenance_window_check, weekly, ARRAY_LEN(weekly));
    check_texts(backup_window_check, daily, ARRAY_LEN(daily));
}

static void test_address_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ipv6;
        bool ok;
    } cases[] = {
        {"0.0.0.0/0", false, true},    {"127.0.0.1/32", false, true}, {"10.1.0.0/16", false, true},
        {"10.1.0.1/16", false, false}, {"10.1.0.0", false, false},    {"10.1.0.0/33", false, false},
        {"10.1/16", false, false},     {"::/0", false, false},        {"::/0", true, true},
        {"fd00::/8", true, true},      {"fd00::1/8", true, false},    {"", false, false},
        {"/8", false, false},          {"10.0.0.0/-1", false, false}, {"::/129", true, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err = {0};
        assert_int_equal(cidr_check(slice_of(cases[i].text), cases[i].ipv6, &err), cases[i].ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identifiers),    cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_credentials),    cmocka_unit_test(test_windows),
        cmocka_unit_test(test_address_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
