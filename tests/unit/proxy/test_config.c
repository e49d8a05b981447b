/* What a proxy is told: good and bad JSON, its target, files, networks. */
#include "config_text.h"

static void test_pool(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    if (!parse(pool_text, &config, &err)) {
        fail_msg("%s", err.message);
    }
    assert_false(config->relay);
    assert_true(config->require_tls && config->debug_logging && config->rules_given);
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->listener_count, 1);
    assert_int_equal(config->idle_client_ms, 60000);
    assert_int_equal(config->silent_client_s, 120);
    assert_int_equal(config->silent_server_s, 20);
    assert_int_equal(config->target.servers_max, 15);
    assert_int_equal(config->target.servers_idle_max, 5);
    assert_int_equal(config->borrow_ms, 5000);
    assert_null(config->init_query);
    assert_int_equal(config->target.port, 5433);
    const ProxyUser *user = proxy_config_user(config, SLICE("ann"));
    assert_non_null(user);
    assert_int_equal(secret_reveal(&user->password).len, 3);
    assert_null(proxy_config_user(config, SLICE("an")));
    ProxyConfig *again = proxy_config_ref(config);
    proxy_config_unref(again);
    proxy_config_unref(config);
}

static void test_defaults(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    assert_true(parse("{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\"}],\"pool\":{"
                      "\"target\":null}}",
                      &config, &err));
    assert_int_equal(config->listeners[0].port, 5432);
    assert_null(config->target.id);
    assert_false(config->rules_given);
    assert_int_equal(config->io, PROXY_IO_EPOLL);
    assert_int_equal(config->workers, PROXY_WORKERS_DEFAULT);
    assert_int_equal(config->borrow_ms, 120000);
    assert_int_equal(config->idle_client_ms, 1800000);
    proxy_config_unref(config);
    assert_true(parse("{\"kind\":\"relay\",\"listeners\":[{\"address\":\"127.0.0.1\"}],\"relay\":{"
                      "\"target\":{\"socket_dir\":\"/x\"}}}",
                      &config, &err));
    assert_true(config->relay);
    assert_int_equal(config->idle_client_ms, 0);
    proxy_config_unref(config);
}

static void test_refused(void **state)
{
    (void)state;
    const char *const bad[][2] = {
        {"[]", "proxy must be an object"},
        {"{}", "proxy.listeners"},
        {"{\"listeners\":[]}", "proxy.listeners"},
        {"{\"listeners\":[{\"port\":1}]}", "listeners[].address"},
        {"{\"listeners\":[{\"address\":\"a\",\"port\":0}]}", "listeners[].port"},
        {"{\"listeners\":[{\"address\":\"a\",\"cert_pem\":\"x\"}]}", "listeners[].key_pem"},
        {"{\"listeners\":[{\"address\":\"a\",\"prot\":5}]}", "listeners[].prot"},
        {"{\"listeners\":[{\"address\":\"a\"}]}", "proxy.kind"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"x\"}", "relay or pool, not x"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"relay\"}", "relay must be an object"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"relay\",\"relay\":{},\"what\":1}",
         "proxy.what is not known"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"relay\",\"relay\":{\"target\":{}}}",
         "target.socket_dir"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"pool\",\"pool\":{\"users\":[{\"user\":"
         "\"a\"}]}}",
         "pool.users[].password"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"pool\",\"pool\":{\"users\":[{\"user\":"
         "\"a\",\"password\":\"\"},{\"user\":\"a\",\"password\":\"\"}]}}",
         "pool.users has a twice"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"pool\",\"pool\":{"
         "\"max_connections_percent\":101}}",
         "max_connections_percent must be a number from 1 to 100"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"pool\",\"pool\":{},\"security_rules\":[{"
         "\"cidr\":\"10.0.0.0\"}]}",
         "'10.0.0.0' is not a network"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"pool\",\"pool\":{},\"require_tls\":1}",
         "proxy.require_tls must be true or false"},
        {"{\"listeners\":[{\"address\":\"a\"}],\"kind\":\"pool\",\"pool\":{},"
         "\"silent_client_timeout_s\":4}",
         "proxy.silent_client_timeout_s must be a number from 5 to 28800"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        refuse(bad[i][0], bad[i][1]);
    }
}

static bool admits(const char *cidr, const char *peer, uint16_t port)
{
    ProxyRule rule = {.from_port = 5000, .to_port = 5999};
    NetAddr addr;
    Err err;
    assert_true(net_cidr_parse(slice_of(cidr), &rule.cidr, &err));
    assert_true(net_addr_parse(peer, 1, &addr, &err));
    ProxyConfig config = {.rules_given = true, .rules = &rule, .rule_count = 1};
    return proxy_config_admits(&config, &addr, port);
}

static void test_rules(void **state)
{
    (void)state;
    assert_true(admits("10.0.0.0/8", "10.255.1.2", 5432));
    assert_false(admits("10.0.0.0/8", "11.0.0.1", 5432));
    assert_true(admits("0.0.0.0/0", "::ffff:1.2.3.4", 5432));
    assert_false(admits("0.0.0.0/0", "::1", 5432));
    assert_false(admits("::/0", "/tmp/socket", 5432));
    /* Ports are the listener's. */
    assert_false(admits("10.0.0.0/8", "10.0.0.1", 6000));
    assert_false(admits("10.0.0.0/8", "10.0.0.1", 4999));
    /* An empty list admits nobody, no list everybody. */
    NetAddr addr;
    Err err;
    assert_true(net_addr_parse("10.0.0.1", 1, &addr, &err));
    ProxyConfig config = {.rules_given = true};
    assert_false(proxy_config_admits(&config, &addr, 5432));
    config.rules_given = false;
    assert_true(proxy_config_admits(&config, &addr, 5432));
}

/* ---- the target, and files ---------------------------------------------------------------------
 */

static void test_files_and_tcp(void **state)
{
    (void)state;
    ProxyConfig *config;
    Err err;
    const char *verifier = "SCRAM-SHA-256$4096:d2VpciBleGFtcGxlIHNhbA==$"
                           "Snljv8QdSo/pM0PvvyKtLmFbfhYL9RLbDYb2o4qWuXE=:"
                           "V4XENjWBKvNprr2E3LRBaa9gQaQ5fUPqHwtl7nDLHsc=";
    CLEANUP(mem_free_ptr) char *open_text = mem_printf(FILES_TEXT, "");
    assert_true(parse(open_text, &config, &err));
    assert_string_equal(config->target.host, "db.test");
    assert_int_equal(config->target.tls, TARGET_TLS_VERIFY_FULL);
    assert_string_equal(config->users[0].password_file, "/p");
    assert_string_equal(config->listeners[0].key_file, "/k");
    assert_false(config->holds_secrets);
    proxy_config_unref(config);
    CLEANUP(mem_free_ptr)
    char *user = mem_printf(",{\"user\":\"b\",\"verifier\":\"%s\"}", verifier);
    CLEANUP(mem_free_ptr) char *secret_text = mem_printf(FILES_TEXT, user);
    assert_true(parse(secret_text, &config, &err));
    assert_true(config->holds_secrets && config->users[1].verifier_given);
    assert_false(secret_is_set(&config->users[1].password));
    proxy_config_unref(config);
    assert_true(parse(pool_text, &config, &err));
    assert_true(config->holds_secrets);
    proxy_config_unref(config);
}

static void test_refused_files_and_tcp(void **state)
{
    (void)state;
    const char *host = "\"host\":\"h\"";
    const char *user = "\"password\":\"p\"";
    const char *const targets[][2] = {
        {"", "target.socket_dir or target.host"},
        {"\"host\":\"h\",\"socket_dir\":\"/d\"", "target.socket_dir or target.host"},
        {"\"host\":\"/d\"", "a folder is a socket_dir"},
        {"\"host\":\"h\",\"tls\":\"prefer\"", "target.tls must be"},
        {"\"host\":\"h\",\"tls\":\"verify-ca\"", "target.ca_file"},
        {"\"host\":\"h\",\"ca_file\":\"/c\"", "target.ca_file"},
        {"\"socket_dir\":\"/d\",\"tls\":\"require\"", "target.tls goes with target.host"},
    };
    for (size_t i = 0; i < ARRAY_LEN(targets); i++) {
        refuse_pool("", targets[i][0], user, targets[i][1]);
    }
    refuse_pool(",\"cert_file\":\"/c\"", host, user, "listeners[].key_file");
    refuse_pool(",\"cert_file\":\"/c\",\"key_file\":\"/k\",\"cert_pem\":\"c\",\"key_pem\":\"k\"",
                host, user, "cert_file and cert_pem");
    refuse_pool("", host, "\"password\":\"p\",\"password_file\":\"/p\"",
                "password and password_file");
    refuse_pool("", host, "\"verifier\":\"md5ffff\"", "pool.users[].verifier");
    refuse("{\"kind\":\"relay\",\"listeners\":[{\"address\":\"a\"}],\"relay\":{"
           "\"target\":{\"host\":\"h\",\"tls\":\"require\"}}}",
           "goes with kind pool");
}

static void test_synchronous(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *target, *problem; /* NULL: none */
    } cases[] = {
        {"pool", "\"synchronous\":true", NULL},
        {"pool", "\"synchronous\":true,\"probe_user\":\"p\",\"right_to_answer\":\"enforced\"",
         NULL},
        {"pool", "\"synchronous\":true,\"right_to_answer\":\"measured\"", NULL},
        {"relay", "\"synchronous\":true,\"probe_user\":\"p\"", NULL},
        {"relay", "\"synchronous\":true", "needs target.probe_user"},
        {"pool", "\"synchronous\":true,\"right_to_answer\":\"x\"", "measured or enforced"},
        {"pool", "\"right_to_answer\":\"enforced\"", "go with target.synchronous"},
        {"pool", "\"probe_user\":\"p\"", "go with target.synchronous"},
        {"pool", "\"synchronous\":1", "target.synchronous must be true or false"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        ProxyConfig *config = NULL;
        Err err;
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("{\"kind\":\"%s\",\"listeners\":[{\"address\":\"127.0.0.1\"}],"
                                "\"%s\":{\"target\":{\"socket_dir\":\"/d\",%s}}}",
                                cases[i].kind, cases[i].kind, cases[i].target);
        bool ok = parse(text, &config, &err);
        if (ok != (cases[i].problem == NULL) ||
            (!ok && strstr(err.message, cases[i].problem) == NULL)) {
            fail_msg("%s: %s", cases[i].target, ok ? "taken" : err.message);
        }
        if (ok) {
            bool enforced = strstr(cases[i].target, "enforced") != NULL;
            assert_true(config->target.synchronous && config->target.right_enforced == enforced);
        }
        proxy_config_unref(config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),          cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),       cmocka_unit_test(test_rules),
        cmocka_unit_test(test_files_and_tcp), cmocka_unit_test(test_refused_files_and_tcp),
        cmocka_unit_test(test_synchronous),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
