/* What a pool is told of users: how they prove who they are, their limits, and who may enter the
 * admin database. */
#include "config_text.h"

static void test_ways_in(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    assert_true(parse(
        "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\",\"cert_file\":\"/c\","
        "\"key_file\":\"/k\",\"client_ca_file\":\"/ca\"}],\"pool\":{\"client_password_auth\":"
        "\"md5\",\"users\":[{\"user\":\"a\",\"auth\":\"cert\"},{\"user\":\"b\",\"auth\":"
        "\"cert\",\"cert_name\":\"B\",\"password\":\"p\"},{\"user\":\"c\",\"auth\":\"password\","
        "\"password\":\"new\",\"previous_password\":\"old\"},{\"user\":\"d\",\"password_file\":"
        "\"/d\",\"previous_password_file\":\"/e\",\"client_password_auth\":\"scram-sha-256\"}]}}",
        &config, &err));
    assert_true(config->client_md5 && config->users[2].md5 && !config->users[3].md5);
    assert_string_equal(config->listeners[0].client_ca_file, "/ca");
    assert_string_equal(config->users[0].cert_name, "a");
    assert_false(secret_is_set(&config->users[0].password));
    assert_string_equal(config->users[1].cert_name, "B");
    assert_null(config->users[2].cert_name);
    assert_true(secret_eq(&config->users[2].previous, SLICE("old")));
    assert_string_equal(config->users[3].previous_file, "/e");
    proxy_config_unref(config);
    CLEANUP(mem_free_ptr)
    char *inline_text = mem_printf(FILES_TEXT, ",{\"user\":\"b\",\"password_file\":\"/b\","
                                               "\"previous_password\":\"old\"}");
    assert_true(parse(inline_text, &config, &err));
    assert_true(config->holds_secrets);
    proxy_config_unref(config);
    assert_true(parse(pool_text, &config, &err));
    assert_false(config->client_md5);
    proxy_config_unref(config);
}

static void test_refused_ways_in(void **state)
{
    (void)state;
    const char *host = "\"host\":\"h\"";
    const char *ca = ",\"cert_file\":\"/c\",\"key_file\":\"/k\",\"client_ca_file\":\"/ca\"";
    const char *verifier = "\"verifier\":\"SCRAM-SHA-256$4096:d2VpciBleGFtcGxlIHNhbA==$"
                           "Snljv8QdSo/pM0PvvyKtLmFbfhYL9RLbDYb2o4qWuXE=:"
                           "V4XENjWBKvNprr2E3LRBaa9gQaQ5fUPqHwtl7nDLHsc=\"";
    CLEANUP(mem_free_ptr) char *both = mem_printf("%s,\"password\":\"p\"", verifier);
    CLEANUP(mem_free_ptr) char *proven = mem_printf("%s,\"auth\":\"cert\"", verifier);
    const char *const md5[] = {verifier, both};
    for (size_t i = 0; i < ARRAY_LEN(md5); i++) {
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("%s}],\"client_password_auth\":\"md5\",\"x\":[{", md5[i]);
        refuse_pool("", host, text, "pool.users: a has a SCRAM verifier");
    }
    refuse_pool("", host, "\"password\":\"p\"}],\"client_password_auth\":\"plain\",\"x\":[{",
                "must be scram-sha-256 or md5, not plain");
    refuse_pool("", host, "\"password\":\"p\",\"client_password_auth\":\"plain\"",
                "users[].client_password_auth must be scram-sha-256 or md5, not plain");
    CLEANUP(mem_free_ptr) char *own = mem_printf("%s,\"client_password_auth\":\"md5\"", verifier);
    refuse_pool("", host, own, "pool.users: a has a SCRAM verifier");
    refuse_pool(ca, host, "\"auth\":\"peer\"", "must be password, cert or iam, not peer");
    refuse_pool(ca, host, proven, "auth cert and a verifier");
    refuse_pool(ca, host, "\"password\":\"p\",\"cert_name\":\"b\"", "cert_name goes with auth");
    refuse_pool("", host, "\"auth\":\"cert\"", "a has auth cert, and no listener");
    refuse_pool(",\"client_ca_file\":\"/ca\"", host, "\"password\":\"p\"", "no cert_file");
    refuse_pool(",\"cert_file\":\"/c\",\"key_file\":\"/k\",\"client_ca_file\":\"/ca\","
                "\"client_ca_pem\":\"x\"",
                host, "\"password\":\"p\"", "client_ca_file and client_ca_pem");
    refuse_pool(ca, host, "\"auth\":\"cert\",\"previous_password\":\"p\"", "and no password");
    refuse_pool("", host, "\"previous_password\":\"p\"", "pool.users[].password");
    refuse_pool("", host,
                "\"password\":\"p\",\"previous_password\":\"q\",\"previous_password_file\":"
                "\"/q\"",
                "previous_password and previous_password_file");
}

#define IAM_KEY  "{\"access_key_id\":\"AK\",\"secret_access_key\":\"s\"}"
#define IAM_USER "\"auth\":\"iam\",\"password\":\"p\"}]"

static void test_iam(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    assert_true(parse(
        "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\",\"cert_file\":\"/c\","
        "\"key_file\":\"/k\"}],\"pool\":{\"iam\":{\"region\":\"eu-west-1\",\"hosts\":"
        "[\"db.test\",\"10.0.0.1:6000\"],\"keys\":[" IAM_KEY ",{\"access_key_id\":\"B\","
        "\"secret_access_key_file\":\"/s\"}]},\"client_password_auth\":\"md5\",\"users\":["
        "{\"user\":\"a\",\"auth\":\"iam\",\"password\":\"p\"},{\"user\":\"b\",\"auth\":\"iam\"}]}}",
        &config, &err));
    assert_true(config->users[0].iam && config->users[1].iam && config->holds_secrets);
    assert_string_equal(config->iam.region, "eu-west-1");
    assert_int_equal(config->iam.hosts.count, 2);
    assert_int_equal(config->iam.key_count, 2);
    assert_true(secret_eq(&config->iam.keys[0].secret, SLICE("s")));
    assert_string_equal(config->iam.keys[1].secret_file, "/s");
    proxy_config_unref(config);
}

static void test_iam_refused(void **state)
{
    (void)state;
    static const struct {
        const char *more, *what;
    } cases[] = {
        {"", "a has auth iam, and there is no pool.iam"},
        {",\"iam\":{\"hosts\":[\"h\"],\"keys\":[" IAM_KEY "]}", "pool.iam.region"},
        {",\"iam\":{\"region\":\"r\",\"keys\":[" IAM_KEY "]}", "pool.iam.hosts"},
        {",\"iam\":{\"region\":\"r\",\"hosts\":[\"\"],\"keys\":[" IAM_KEY "]}", "pool.iam.hosts"},
        {",\"iam\":{\"region\":\"r\",\"hosts\":[\"h\"]}", "pool.iam.keys"},
        {",\"iam\":{\"region\":\"r\",\"hosts\":[\"h\"],\"keys\":[{\"access_key_id\":\"A\"}]}",
         "pool.iam.keys[].secret_access_key"},
        {",\"iam\":{\"region\":\"r\",\"hosts\":[\"h\"],\"keys\":[{\"access_key_id\":\"A\","
         "\"secret_access_key\":\"s\",\"secret_access_key_file\":\"/s\"}]}",
         "one of them"},
        {",\"iam\":{\"region\":\"r\",\"hosts\":[\"h\"],\"keys\":[" IAM_KEY "," IAM_KEY "]}",
         "pool.iam.keys has AK twice"},
        {",\"iam\":{\"region\":\"r\",\"hosts\":[\"h\"],\"role\":\"x\",\"keys\":[" IAM_KEY "]}",
         "pool.iam.role is not known here"},
    };
    const char *tls = ",\"cert_file\":\"/c\",\"key_file\":\"/k\"";
    const char *host = "\"host\":\"h\"";
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(mem_free_ptr) char *user = mem_printf(IAM_USER "%s,\"x\":[{", cases[i].more);
        refuse_pool(tls, host, user, cases[i].what);
    }
    const char *iam = ",\"iam\":{\"region\":\"r\",\"hosts\":[\"h\"],\"keys\":[" IAM_KEY "]}";
    CLEANUP(mem_free_ptr) char *plain = mem_printf(IAM_USER "%s,\"x\":[{", iam);
    refuse_pool("", host, plain, "a has auth iam, and no listener has a certificate");
    refuse_pool(tls, host, "\"auth\":\"iam\",\"password\":\"p\",\"client_password_auth\":\"md5\"",
                "client_password_auth goes with auth password");
    refuse_pool(tls, host, "\"auth\":\"iam\",\"cert_name\":\"b\"", "cert_name goes with auth");
}

static void test_limits(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    assert_true(parse("{\"kind\":\"pool\",\"listeners\":[{\"address\":\"a\"}],\"pool\":{\"users\":["
                      "{\"user\":\"a\",\"password\":\"p\",\"max_clients\":5},"
                      "{\"user\":\"b\",\"password\":\"p\"}],\"databases\":["
                      "{\"database\":\"d\",\"max_clients\":7,\"max_connections\":2},"
                      "{\"database\":\"e\"}]}}",
                      &config, &err));
    assert_true(config->limited);
    assert_int_equal(proxy_config_user_limit(config, SLICE("a")).clients, 5);
    assert_int_equal(proxy_config_user_limit(config, SLICE("a")).servers, 0);
    assert_int_equal(proxy_config_user_limit(config, SLICE("b")).clients, 0);
    assert_int_equal(proxy_config_user_limit(config, SLICE("nobody")).clients, 0);
    assert_int_equal(proxy_config_database_limit(config, SLICE("d")).clients, 7);
    assert_int_equal(proxy_config_database_limit(config, SLICE("d")).servers, 2);
    assert_int_equal(proxy_config_database_limit(config, SLICE("e")).servers, 0);
    assert_int_equal(proxy_config_database_limit(config, SLICE("nowhere")).servers, 0);
    proxy_config_unref(config);
    assert_true(parse(pool_text, &config, &err));
    assert_false(config->limited);
    proxy_config_unref(config);
    const char *host = "\"host\":\"h\"";
    refuse_pool("", host, "\"password\":\"p\",\"max_clients\":0",
                "users[].max_clients must be a number from 1 to 100000");
    refuse_pool("", host, "\"password\":\"p\",\"max_connections\":10001",
                "users[].max_connections must be a number from 1 to 10000");
    refuse_pool("", host, "\"password\":\"p\"}],\"databases\":[{\"max_clients\":1",
                "databases[].database");
    refuse_pool("", host,
                "\"password\":\"p\"}],\"databases\":[{\"database\":\"d\"},{\"database\":\"d\"",
                "pool.databases has d twice");
    refuse_pool("", host, "\"password\":\"p\"}],\"databases\":[{\"database\":\"d\",\"size\":1",
                "size");
}

#define ADMIN_TEXT_OF                                                                              \
    "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"a\"}],\"pool\":{\"target\":null%s}}"

static void test_admin_database(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    CLEANUP(mem_free_ptr) char *none = mem_printf(ADMIN_TEXT_OF, "");
    assert_true(parse(none, &config, &err));
    assert_string_equal(config->admin_database, "weir");
    assert_false(proxy_config_is_admin(config, SLICE("weir"))); /* nobody may */
    proxy_config_unref(config);
    CLEANUP(mem_free_ptr)
    char *two =
        mem_printf(ADMIN_TEXT_OF, ",\"admin_users\":[\"ann\",\"bob\"],\"stats_users\":[\"eve\"]");
    assert_true(parse(two, &config, &err));
    assert_true(proxy_config_is_admin(config, SLICE("weir")));
    assert_false(proxy_config_is_admin(config, SLICE("weird")));
    assert_true(proxy_names_have(&config->admin_users, SLICE("bob")));
    assert_false(proxy_names_have(&config->admin_users, SLICE("eve")));
    assert_true(proxy_names_have(&config->stats_users, SLICE("eve")));
    proxy_config_unref(config);
    const char *const bad[][2] = {
        {",\"admin_database\":\"\"", "pool.admin_database must be a name"},
        {",\"admin_users\":[1]", "pool.admin_users must hold names"},
        {",\"stats_users\":[\"\"]", "pool.stats_users must hold names"},
        {",\"stats_users\":\"ann\"", "pool.stats_users must be a list"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(mem_free_ptr) char *text = mem_printf(ADMIN_TEXT_OF, bad[i][0]);
        refuse(text, bad[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ways_in), cmocka_unit_test(test_refused_ways_in),
        cmocka_unit_test(test_iam),     cmocka_unit_test(test_iam_refused),
        cmocka_unit_test(test_limits),  cmocka_unit_test(test_admin_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
