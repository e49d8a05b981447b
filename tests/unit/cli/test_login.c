/* Who may sign in where, when there are several instances, proxies and caches. */
#include "fixture.h"

#include "cli/login_priv.h"

#define NETWORK                                                                                    \
    "'EngineFamily': 'POSTGRESQL', 'RoleArn': 'arn:aws:iam::000000000000:role/x', "                \
    "'VpcSubnetIds': ['subnet-0000000000000000a', 'subnet-0000000000000000b']"
#define INSTANCE "'Engine': 'postgres', 'DBInstanceClass': 'db.t3.micro', 'AllocatedStorage': 20"
#define CACHE                                                                                      \
    "'ReplicationGroupDescription': 'x', 'CacheNodeType': 'cache.t3.micro', 'NumCacheClusters': 1"

/* "$NAME" in `input` is the ARN of the secret of that name. */
static void call(Fixture *fixture, const char *operation, const char *input)
{
    const Step step = {operation, input, NULL, NULL};
    run_step(fixture->harness, &step);
}

static void make_secret(Fixture *fixture, const char *name, const char *text)
{
    json_t *output = NULL;
    AwsFault fault;
    CLEANUP(record_free_ptr)
    json_t *input = json_pack("{s:s, s:s}", "Name", name, "SecretString", text);
    Caller caller = fixture_caller(fixture);
    Err err;
    assert_true(caller.call(caller.context, "secretsmanager", "CreateSecret", input, &output,
                            &fault, &err));
    harness_keep(fixture->harness, name, output, "ARN");
    json_decref(output);
}

static json_t *view_of(Fixture *fixture)
{
    Caller caller = fixture_caller(fixture);
    json_t *instances;
    json_t *proxies;
    json_t *endpoints;
    Err err;
    assert_true(
        caller_list(&caller, "rds", "DescribeDBInstances", NULL, "DBInstances", &instances, &err));
    assert_true(
        caller_list(&caller, "rds", "DescribeDBProxies", NULL, "DBProxies", &proxies, &err));
    assert_true(caller_list(&caller, "rds", "DescribeDBProxyEndpoints", NULL, "DBProxyEndpoints",
                            &endpoints, &err));
    return json_pack("{s:o, s:o, s:o}", "instances", instances, "proxies", proxies, "endpoints",
                     endpoints);
}

static void assert_logins(Fixture *fixture, const char *wanted)
{
    Caller caller = fixture_caller(fixture);
    LoginList logins = {.arena = fixture->arena};
    CLEANUP(record_free_ptr) json_t *view = view_of(fixture);
    Err err;
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    assert_true(logins_load(&caller, view, &logins, &err));
    for (size_t i = 0; i < logins.list.len; i++) {
        const Login *login = &logins.list.items[i];
        buf_printf(&text, "%s: %s %s at %s\n", login->name, login->user,
                   login->password != NULL ? login->password : "?", login->database);
    }
    assert_string_equal(buf_str(&text), wanted);
    buf_done(&text);
}

static void make_instances(Fixture *fixture)
{
    call(fixture, "rds:CreateDBInstance",
         "{" INSTANCE ", 'DBInstanceIdentifier': 'first', 'MasterUsername': 'dbadmin', "
         "'MasterUserPassword': 'password-1', 'DBName': 'shop'}");
    call(fixture, "rds:CreateDBInstance",
         "{" INSTANCE ", 'DBInstanceIdentifier': 'second', 'MasterUsername': 'dbadmin', "
         "'MasterUserPassword': 'password-2', 'BackupRetentionPeriod': 1}");
}

static void test_each_instance_has_its_own(void **state)
{
    Fixture *fixture = *state;
    make_instances(fixture);
    fixture_control(fixture);
    call(fixture, "rds:CreateDBInstanceReadReplica",
         "{'DBInstanceIdentifier': 'third', 'SourceDBInstanceIdentifier': 'first'}");
    assert_logins(fixture, "first: dbadmin password-1 at shop\n"
                           "second: dbadmin password-2 at postgres\n"
                           "third: dbadmin password-1 at shop\n");
}

static void test_a_proxy_signs_in_where_its_target_is(void **state)
{
    Fixture *fixture = *state;
    make_instances(fixture);
    make_secret(fixture, "app", "{\"username\": \"app\", \"password\": \"password-a\"}");
    make_secret(fixture, "master", "{\"username\": \"dbadmin\", \"password\": \"password-2\"}");
    make_secret(fixture, "other", "not what a proxy takes");
    call(fixture, "rds:CreateDBProxy",
         "{" NETWORK ", 'DBProxyName': 'pool', 'Auth': [{'SecretArn': '$app'}, {'SecretArn': "
         "'$other'}, {'SecretArn': '$master'}]}");
    call(fixture, "rds:CreateDBProxy",
         "{" NETWORK ", 'DBProxyName': 'unused', 'Auth': [{'SecretArn': '$app'}]}");
    call(fixture, "rds:CreateDBProxy",
         "{" NETWORK ", 'DBProxyName': 'locked', 'Auth': [{'SecretArn': '$other'}]}");
    fixture_control(fixture);
    call(fixture, "rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'pool', 'DBInstanceIdentifiers': ['second']}");
    call(fixture, "rds:RegisterDBProxyTargets",
         "{'DBProxyName': 'locked', 'DBInstanceIdentifiers': ['first']}");
    call(fixture, "rds:CreateDBProxyEndpoint",
         "{'DBProxyName': 'pool', 'DBProxyEndpointName': 'first', 'VpcSubnetIds': "
         "['subnet-0000000000000000a', 'subnet-0000000000000000b']}");
    call(fixture, "rds:CreateDBProxyEndpoint",
         "{'DBProxyName': 'pool', 'DBProxyEndpointName': 'web', 'VpcSubnetIds': "
         "['subnet-0000000000000000a', 'subnet-0000000000000000b']}");
    assert_logins(fixture, "first: dbadmin password-1 at shop\n"
                           "second: dbadmin password-2 at postgres\n"
                           "locked: dbadmin ? at shop\n"
                           "pool: dbadmin password-2 at postgres\n"
                           "pool: app password-a at postgres\n"
                           "unused: app password-a at postgres\n"
                           "first: dbadmin password-2 at postgres\n"
                           "first: app password-a at postgres\n"
                           "web: dbadmin password-2 at postgres\n"
                           "web: app password-a at postgres\n");
}

static void test_password_file(void **state)
{
    Fixture *fixture = *state;
    static const Login all[] = {
        {"a", "127.5.1.1", 5432, "dbadmin", "pass:word\\1", "shop"},
        {"b", "127.5.1.2", 6000, "dbadmin", NULL, "shop"},
        {"c", "", 5432, "dbadmin", "not there yet", "shop"},
        {"d", "127.5.1.3", 5432, "app", "a\nline:of:its:own", "shop"},
        {"e", "127.5.1.4", 5433, "app", "other", "shop"},
    };
    LoginList logins = {.arena = fixture->arena};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        arena_vec_push(fixture->arena, &logins.list, all[i]);
    }
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    logins_pgpass(&logins, &text);
    assert_string_equal(buf_str(&text), "127.5.1.1:5432:*:dbadmin:pass\\:word\\\\1\n"
                                        "127.5.1.4:5433:*:app:other\n");
    buf_done(&text);
    assert_ptr_equal(logins_find(&logins, "b"), &logins.list.items[1]);
    assert_null(logins_find(&logins, "f"));
}

static void test_each_cache_has_its_own_token(void **state)
{
    Fixture *fixture = *state;
    static const char *const tokens[][2] = {
        {"one", "token-token-one!"}, {"open", NULL}, {"two", "token-token-two!"}};
    call(fixture, "elasticache:CreateReplicationGroup",
         "{" CACHE ", 'ReplicationGroupId': 'one', 'TransitEncryptionEnabled': true, 'AuthToken': "
         "'token-token-one!'}");
    call(fixture, "elasticache:CreateReplicationGroup",
         "{" CACHE ", 'ReplicationGroupId': 'open'}");
    call(fixture, "elasticache:CreateReplicationGroup",
         "{" CACHE ", 'ReplicationGroupId': 'two', 'TransitEncryptionEnabled': true, 'AuthToken': "
         "'token-token-two!'}");
    Caller caller = fixture_caller(fixture);
    CLEANUP(record_free_ptr) json_t *groups = NULL;
    Err err;
    assert_true(caller_list(&caller, "elasticache", "DescribeReplicationGroups", NULL,
                            "ReplicationGroups", &groups, &err));
    assert_int_equal(json_array_size(groups), ARRAY_LEN(tokens));
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        const json_t *group = json_array_get(groups, i);
        const char *token;
        assert_string_equal(member_str(group, "ReplicationGroupId", ""), tokens[i][0]);
        assert_true(login_cache_token(&caller, fixture->arena, group, &token, &err));
        if (tokens[i][1] == NULL) {
            assert_null(token);
        } else {
            assert_string_equal(token, tokens[i][1]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CLI_TEST(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
        CLI_TEST(test_each_instance_has_its_own),
        CLI_TEST(test_a_proxy_signs_in_where_its_target_is),
        CLI_TEST(test_password_file),
        CLI_TEST(test_each_cache_has_its_own_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
