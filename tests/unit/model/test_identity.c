/* Members of records, keys, ARNs, ids and the network. */
#include "../unit.h"

#include <stdio.h>

#include "model/model.h"

static const TierFacts tier = {MODEL_ACCOUNT_ID, "eu-west-1", "127.5"};

static void test_members_of_the_wrong_type_count_as_absent(void **state)
{
    (void)state;
    json_t *record = json_pack("{s:s, s:i, s:b, s:[s], s:n}", "text", "x", "number", 7, "flag", 1,
                               "list", "a", "nothing");
    assert_string_equal(member_str(record, "text", "-"), "x");
    assert_string_equal(member_str(record, "number", "-"), "-");
    assert_null(member_str(record, "absent", NULL));
    assert_int_equal(member_int(record, "number", 0), 7);
    assert_int_equal(member_int(record, "text", 3), 3);
    assert_true(member_bool(record, "flag", false));
    assert_true(member_bool(record, "nothing", true));
    assert_non_null(member_array(record, "list"));
    assert_null(member_object(record, "list"));
    assert_true(member_has(record, "list", "a"));
    assert_false(member_has(record, "list", "b"));
    assert_false(member_has(record, "text", "x"));
    assert_int_equal(member_int(NULL, "number", 9), 9);
    json_decref(record);
}

static void test_keys(void **state)
{
    (void)state;
    char key[MODEL_KEY_SIZE];
    Err err;
    assert_true(spec_key(RESOURCE_DB_INSTANCE, "app", key, &err));
    assert_string_equal(key, "spec/db-instance/app");
    assert_true(status_key(RESOURCE_REPLICATION_GROUP, "r", key, &err));
    assert_string_equal(key, "status/replication-group/r");
    assert_true(spec_key(RESOURCE_SECRET, "app/db%1 x", key, &err));
    assert_string_equal(key, "spec/secret/app%2Fdb%251%20x");
    assert_true(secret_value_key("app/db", "v-1", key, &err));
    assert_string_equal(key, "secretvalue/app%2Fdb/v-1");
    assert_true(secret_value_key("app/db", "", key, &err));
    assert_string_equal(key, "secretvalue/app%2Fdb/");
    char name[600];
    memset(name, 'a', sizeof(name));
    name[500] = '\0';
    assert_true(spec_key(RESOURCE_SECRET, name, key, &err));
    assert_int_equal(strlen(key), 512);
    name[500] = 'a';
    name[501] = '\0';
    assert_false(spec_key(RESOURCE_SECRET, name, key, &err));
    assert_int_equal(err.code, ERR_LIMIT);
}

static void test_types_have_names(void **state)
{
    (void)state;
    ResourceType type;
    for (int i = 0; i < RESOURCE_TYPES; i++) {
        assert_true(resource_type_parse(slice_of(resource_type_name((ResourceType)i)), &type));
        assert_int_equal(type, i);
    }
    assert_false(resource_type_parse(SLICE("db"), &type));
}

static void test_arns_come_back(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    Err err;
    for (int i = 0; i < RESOURCE_TYPES; i++) {
        ResourceType type;
        Slice name;
        char *arn = arn_make(arena, &tier, (ResourceType)i, "a/b:c");
        assert_true(arn_parse(&tier, slice_of(arn), &type, &name, &err));
        assert_int_equal(type, i);
        assert_slice(name, "a/b:c");
    }
    assert_string_equal(arn_make(arena, &tier, RESOURCE_DB_INSTANCE, "app"),
                        "arn:aws:rds:eu-west-1:000000000000:db:app");
    assert_string_equal(arn_make(arena, &tier, RESOURCE_SECURITY_GROUP, "sg-1"),
                        "arn:aws:ec2:eu-west-1:000000000000:security-group/sg-1");
    arena_free(arena);
}

static void test_foreign_arns_are_refused(void **state)
{
    (void)state;
    static const char *const arns[] = {
        "",
        "arn",
        "app",
        "arn:aws:rds:eu-west-1:000000000000:db:",
        "arn:aws:rds:eu-west-1:000000000000:snapshot:x",
        "arn:aws:rds:eu-west-2:000000000000:db:x",
        "arn:aws:rds:eu-west-1:000000000001:db:x",
        "arn:aws:elasticache:eu-west-1:000000000000:db:x",
        "arn:aws-cn:rds:eu-west-1:000000000000:db:x",
    };
    for (size_t i = 0; i < ARRAY_LEN(arns); i++) {
        ResourceType type;
        Slice name;
        Err err;
        assert_false(arn_parse(&tier, slice_of(arns[i]), &type, &name, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void assert_shape(const char *id, const char *prefix, size_t len)
{
    assert_int_equal(strncmp(id, prefix, strlen(prefix)), 0);
    assert_int_equal(strlen(id), strlen(prefix) + len);
    assert_int_equal(strspn(id + strlen(prefix), "abcdefghijklmnopqrstuvwxyz0123456789"), len);
}

static void test_ids(void **state)
{
    (void)state;
    char id[MODEL_ID_SIZE];
    char other[MODEL_ID_SIZE];
    dbi_resource_id_make(id);
    assert_shape(id, "db-", 26);
    dbi_resource_id_make(other);
    assert_string_not_equal(id, other);
    security_group_id_make(id);
    assert_shape(id, "sg-", 17);
    security_rule_id_make(id);
    assert_shape(id, "sgr-", 17);
    proxy_resource_id_make(id);
    assert_shape(id, "prx-", 17);
    target_group_id_make(id);
    assert_shape(id, "prx-tg-", 17);
    secret_suffix_make(id);
    assert_shape(id, "", 6);
    uuid_make(id);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
    assert_non_null(strchr("89ab", id[19]));
}

static void test_network(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    char cidr[MODEL_CIDR_SIZE];
    char address[MODEL_ADDRESS_SIZE];
    const Subnet *subnet = subnet_find(SLICE("subnet-0000000000000000c"));
    assert_non_null(subnet);
    subnet_cidr(subnet, tier.net, cidr);
    assert_string_equal(cidr, "127.5.128.0/18");
    assert_null(subnet_find(SLICE("subnet-0")));
    assert_string_equal(zone_name(arena, &tier, 'b'), "eu-west-1b");
    assert_int_equal(zone_parse(&tier, SLICE("eu-west-1b")), 'b');
    assert_int_equal(zone_parse(&tier, SLICE("b")), 'b');
    assert_int_equal(zone_parse(&tier, SLICE("eu-west-1d")), 0);
    assert_int_equal(zone_parse(&tier, SLICE("eu-west-1")), 0);
    assert_int_equal(zone_parse(&tier, SLICE("")), 0);
    assert_true(endpoint_address("127.5", "1.7", address));
    assert_string_equal(address, "127.5.1.7");
    assert_false(endpoint_address("127.5", "1", address));
    assert_false(endpoint_address("127.5", "1.256", address));
    assert_false(endpoint_address("127.5", "", address));
    arena_free(arena);
}

static void test_default_security_group(void **state)
{
    (void)state;
    json_t *group = default_security_group_new();
    assert_string_equal(member_str(group, "GroupId", ""), MODEL_DEFAULT_SECURITY_GROUP_ID);
    assert_int_equal(json_array_size(member_array(group, "ingress")), 1);
    assert_int_equal(json_array_size(member_array(group, "egress")), 1);
    json_decref(group);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_of_the_wrong_type_count_as_absent),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_types_have_names),
        cmocka_unit_test(test_arns_come_back),
        cmocka_unit_test(test_foreign_arns_are_refused),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_network),
        cmocka_unit_test(test_default_security_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
