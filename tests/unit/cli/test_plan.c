/* Plans: golden texts against the API. */
#include "fixture.h"

static void test_guide(void **state)
{
    Fixture *fixture = *state;
    assert_plan(fixture, fixture_read_file(fixture, "examples/guide.tf"),
                "  + aws_db_subnet_group.primary                       create\n"
                "  + aws_elasticache_subnet_group.redis                create\n"
                "  + aws_security_group.db_sg                          create\n"
                "  + aws_security_group.proxy_sg                       create\n"
                "  + aws_security_group.redis_sg                       create\n"
                "  + aws_db_parameter_group.postgres15                 create\n"
                "  + aws_db_parameter_group.postgres15_readonly        create\n"
                "  + aws_db_instance.primary                           create\n"
                "  + aws_db_instance.read_replica[0]                   create\n"
                "  + aws_db_instance.read_replica[1]                   create\n"
                "  + aws_secretsmanager_secret.db_credentials          create\n"
                "  + aws_secretsmanager_secret_version.db_credentials  create\n"
                "  + aws_db_proxy.primary                              create\n"
                "  + aws_db_proxy_default_target_group.primary         create\n"
                "  + aws_db_proxy_target.primary                       create\n"
                "  + aws_elasticache_parameter_group.redis_params      create\n"
                "  + aws_elasticache_replication_group.redis_cluster   create\n"
                "\n"
                "Not yet in effect:\n"
                "  aws_db_instance: allocated_storage, max_allocated_storage, storage_type,\n"
                "  storage_encrypted, backup_retention_period, backup_window,\n"
                "  maintenance_window, monitoring_interval, performance_insights_enabled\n"
                "  aws_elasticache_replication_group: at_rest_encryption_enabled,\n"
                "  maintenance_window, snapshot_retention_limit, snapshot_window\n"
                "\n"
                "17 to create, 0 to change, 0 to destroy.\n");
}

#define INSTANCE                                                                                   \
    "resource \"aws_db_instance\" \"main\" {\n"                                                    \
    "  identifier = \"main\"\n"                                                                    \
    "  engine = \"postgres\"\n"                                                                    \
    "  instance_class = \"db.t3.micro\"\n"                                                         \
    "  allocated_storage = 20\n"                                                                   \
    "  username = \"dbadmin\"\n"                                                                   \
    "  password = \"password-1\"\n"

static void test_names_that_nothing_bears(void **state)
{
    assert_plan(
        *state,
        INSTANCE "  parameter_group_name = \"tunde\"\n"
                 "  db_subnet_group_name = \"default\"\n"
                 "  vpc_security_group_ids = [\"sg-00000000000000001\", \"sg-1\"]\n"
                 "}\n"
                 "resource \"aws_db_parameter_group\" \"g\" {\n"
                 "  name = \"tuned\"\n"
                 "  family = \"postgres15\"\n"
                 "}\n"
                 "resource \"aws_db_proxy_target\" \"t\" {\n"
                 "  db_proxy_name = \"pool\"\n"
                 "  target_group_name = \"default\"\n"
                 "  db_instance_identifier = \"MAIN\"\n"
                 "}\n",
        "error: main.tf:8: there is no DB parameter group \"tunde\", neither in the files nor "
        "in the tier\n"
        "  8 |   parameter_group_name = \"tunde\"\n"
        "    did you mean \"tuned\"?\n"
        "error: main.tf:10: there is no security group \"sg-1\", neither in the files nor in "
        "the tier\n"
        "  10 |   vpc_security_group_ids = [\"sg-00000000000000001\", \"sg-1\"]\n"
        "     write aws_security_group.NAME.id, and a block aws_security_group \"NAME\"\n"
        "error: main.tf:17: there is no DB proxy \"pool\", neither in the files nor in the "
        "tier\n"
        "  17 |   db_proxy_name = \"pool\"\n"
        "     write aws_db_proxy.NAME.name, and a block aws_db_proxy \"NAME\"\n");
}

static void test_multi_az_keeps_acknowledged_commits(void **state)
{
    static const char group[] = "resource \"aws_db_parameter_group\" \"g\" {\n"
                                "  name = \"tuned\"\n"
                                "  family = \"postgres15\"\n"
                                "  parameter {\n"
                                "    name = \"synchronous_commit\"\n"
                                "    value = \"off\"\n"
                                "  }\n"
                                "}\n";
    static const char instance[] =
        INSTANCE "  multi_az = true\n  parameter_group_name = \"Tuned\"\n}\n";
    CLEANUP(mem_free_ptr) char *both = mem_printf("%s%s", group, instance);
    assert_plan(*state, both,
                "error: main.tf:6: synchronous_commit = off cannot be used for "
                "aws_db_instance.main, which is Multi-AZ: a failover would lose acknowledged "
                "commits\n"
                "  6 |     value = \"off\"\n"
                "    write \"on\" or \"remote_apply\"; a transaction may lower it for itself\n");
    assert_applies(*state, group);
    assert_plan(*state, instance,
                "error: main.tf:9: synchronous_commit = off cannot be used for "
                "aws_db_instance.main, which is Multi-AZ: a failover would lose acknowledged "
                "commits\n"
                "  9 |   parameter_group_name = \"Tuned\"\n"
                "    write \"on\" or \"remote_apply\"; a transaction may lower it for itself\n");
}

#define PROXY                                                                                      \
    "resource \"aws_secretsmanager_secret\" \"s\" {\n  name = \"s\"\n}\n"                          \
    "resource \"aws_db_proxy\" \"p\" {\n"                                                          \
    "  name = \"p\"\n"                                                                             \
    "  engine_family = \"POSTGRESQL\"\n"                                                           \
    "  role_arn = \"arn:aws:iam::000000000000:role/x\"\n"                                          \
    "  vpc_subnet_ids = [\"subnet-0000000000000000a\", \"subnet-0000000000000000b\"]\n"            \
    "  auth {\n    secret_arn = aws_secretsmanager_secret.s.arn\n  }\n"                            \
    "}\n"
#define ENDPOINT(name, more)                                                                       \
    "resource \"aws_db_proxy_endpoint\" \"e\" {\n"                                                 \
    "  db_proxy_name = aws_db_proxy.p.name\n"                                                      \
    "  db_proxy_endpoint_name = \"" name "\"\n"                                                    \
    "  vpc_subnet_ids = aws_db_proxy.p.vpc_subnet_ids\n" more "}\n"

static void test_an_endpoint_of_a_proxy(void **state)
{
    Fixture *fixture = *state;
    static const char made[] = PROXY ENDPOINT("Web", "  tags = {\n    team = \"t\"\n  }\n");
    assert_applies(fixture, made);
    assert_log(fixture, "CreateSecret s\nCreateDBProxy p\nCreateDBProxyEndpoint Web\n");
    assert_no_changes(fixture, made);
    static const char changed[] = PROXY ENDPOINT(
        "web",
        "  vpc_security_group_ids = [aws_security_group.g.id]\n") "resource \"aws_security_group\" "
                                                                  "\"g\" {\n  name = \"g\"\n}\n"
                                                                  "output \"o\" {\n  value = "
                                                                  "aws_db_proxy_endpoint.e."
                                                                  "endpoint\n}\n";
    assert_applies(fixture, changed);
    assert_log(fixture, "CreateSecurityGroup g\nRevokeSecurityGroupEgress sg-\n"
                        "ModifyDBProxyEndpoint web\nRemoveTagsFromResource prx-\n");
    assert_no_changes(fixture, changed);
    assert_applies(fixture, PROXY);
    assert_log(fixture, "DeleteDBProxyEndpoint web\nDeleteSecurityGroup sg-\n");
    assert_applies(fixture, made);
    assert_applies(fixture, "");
    assert_log(fixture, "CreateDBProxyEndpoint Web\nDeleteDBProxyEndpoint web\nDeleteDBProxy p\n"
                        "DeleteSecret s\n");
}

/* What a proxy is made anew for, its endpoints are made anew for as well; so is one that moves. */
static void test_an_endpoint_is_replaced(void **state)
{
    Fixture *fixture = *state;
    static const char other[] =
        "resource \"aws_db_proxy\" \"other\" {\n"
        "  name = \"other\"\n"
        "  engine_family = \"POSTGRESQL\"\n"
        "  role_arn = \"arn:aws:iam::000000000000:role/x\"\n"
        "  vpc_subnet_ids = [\"subnet-0000000000000000b\", \"subnet-0000000000000000c\"]\n"
        "  auth {\n    secret_arn = aws_secretsmanager_secret.s.arn\n  }\n"
        "}\n";
    CLEANUP(mem_free_ptr) char *first = mem_printf("%s%s", PROXY ENDPOINT("e", ""), other);
    assert_applies(fixture, first);
    CLEANUP(mem_free_ptr) char *moved = mem_strdup(first);
    memcpy(strstr(moved, "aws_db_proxy.p.name"), "\"other\"            ", 19);
    buf_clear(&fixture->log);
    assert_applies(fixture, moved);
    assert_log(fixture, "DeleteDBProxyEndpoint e\nCreateDBProxyEndpoint e\n");
    assert_no_changes(fixture, moved);
    assert_applies(fixture, first);
    buf_clear(&fixture->log);
    CLEANUP(mem_free_ptr) char *wider = mem_strdup(first);
    memcpy(strstr(wider, "000b\"]"), "000c\"]", 6); /* of the first proxy */
    assert_applies(fixture, wider);
    assert_log(fixture, "DeleteDBProxy p\nCreateDBProxy p\nCreateDBProxyEndpoint e\n");
    assert_no_changes(fixture, wider);
}

static void test_endpoints_that_cannot_be(void **state)
{
    assert_plan(*state, PROXY ENDPOINT("e", "  target_role = \"READ\"\n"),
                "error: main.tf:17: \"READ\" is not what an endpoint can be for\n"
                "  17 |   target_role = \"READ\"\n"
                "     write \"READ_WRITE\" or \"READ_ONLY\"\n");
    assert_plan(*state,
                "resource \"aws_db_proxy_endpoint\" \"e\" {\n"
                "  db_proxy_name = \"pool\"\n"
                "  db_proxy_endpoint_name = \"e\"\n"
                "  vpc_subnet_ids = [\"subnet-0000000000000000a\"]\n"
                "}\n",
                "error: main.tf:2: there is no DB proxy \"pool\", neither in the files nor in the "
                "tier\n"
                "  2 |   db_proxy_name = \"pool\"\n"
                "    write aws_db_proxy.NAME.name, and a block aws_db_proxy \"NAME\"\n"
                "error: main.tf:4: the subnets must be in at least 2 zones\n"
                "  4 |   vpc_subnet_ids = [\"subnet-0000000000000000a\"]\n");
}

static void test_how_clients_prove_a_password(void **state)
{
    assert_plan(
        *state,
        "resource \"aws_db_proxy\" \"p\" {\n"
        "  name = \"p\"\n"
        "  engine_family = \"POSTGRESQL\"\n"
        "  role_arn = \"arn:aws:iam::000000000000:role/p\"\n"
        "  vpc_subnet_ids = [\"subnet-0000000000000000a\", \"subnet-0000000000000000b\"]\n"
        "  auth {\n"
        "    secret_arn = \"arn:s\"\n"
        "    client_password_auth_type = \"POSTGRES_MD5\"\n"
        "  }\n"
        "  auth {\n"
        "    secret_arn = \"arn:s\"\n"
        "    client_password_auth_type = \"md5\"\n"
        "  }\n"
        "}\n",
        "error: main.tf:12: \"md5\": clients of PostgreSQL prove a password by SCRAM or md5\n"
        "  12 |     client_password_auth_type = \"md5\"\n"
        "     write \"POSTGRES_SCRAM_SHA_256\" or \"POSTGRES_MD5\"\n");
}

static void test_advice(void **state)
{
    (void)state;
    static const char *const texts[][3] = {
        {"No 14.5 here. Installed: 15.18. Write that.", "No 14.5 here",
         "Installed: 15.18. Write that"},
        {"It is wrong.", "It is wrong", NULL},
        {"a list, e.g. 1. and 2.", "a list, e.g. 1. and 2", NULL},
        {"", "", NULL}};
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const char *message;
        const char *hint;
        advice_cut(arena, texts[i][0], &message, &hint);
        assert_string_equal(message, texts[i][1]);
        assert_string_equal(hint != NULL ? hint : "-", texts[i][2] != NULL ? texts[i][2] : "-");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_guide, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_names_that_nothing_bears, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_multi_az_keeps_acknowledged_commits, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_how_clients_prove_a_password, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_endpoint_of_a_proxy, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_an_endpoint_is_replaced, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(test_endpoints_that_cannot_be, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(test_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
