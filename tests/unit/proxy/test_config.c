/* What a proxy is told: good and bad JSON, networks, lists of settings. */
#include "../unit.h"

#include "proxy/config_priv.h"
#include "proxy/params_priv.h"

static bool parse(const char *text, ProxyConfig **ret_config, Err *err)
{
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    bool ok = proxy_config_parse(json, ret_config, err);
    json_decref(json);
    return ok;
}

static const char pool_text[] =
    "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\",\"port\":5432,\"cert_pem\":\"c\","
    "\"key_pem\":\"k\"}],\"require_tls\":true,\"idle_client_timeout_s\":60,\"security_rules\":["
    "{\"cidr\":\"10.0.0.0/8\"},{\"cidr\":\"::1/128\",\"from_port\":5000,\"to_port\":6000}],"
    "\"debug_logging\":true,\"workers\":3,\"pool\":{\"users\":[{\"user\":\"ann\",\"password\":"
    "\"p q\"}],\"target\":{\"id\":\"db-1\",\"socket_dir\":\"/run/x\",\"port\":5433,"
    "\"max_connections\":50},\"max_connections_percent\":30,\"max_idle_connections_percent\":10,"
    "\"connection_borrow_timeout_s\":5,\"init_query\":\"\"}}";

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

#define REPLICAS_TEXT                                                                              \
    "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\"}],\"pool\":{\"target\":%s,"      \
    "\"reads\":\"%s\",\"max_connections_percent\":50,\"replicas\":[%s]}}"

static ProxyConfig *with_replicas(const char *target, const char *reads, const char *replicas)
{
    CLEANUP(mem_free_ptr) char *text = mem_printf(REPLICAS_TEXT, target, reads, replicas);
    ProxyConfig *config;
    Err err;
    if (!parse(text, &config, &err)) {
        fail_msg("%s", err.message);
    }
    return config;
}

static void test_replicas(void **state)
{
    (void)state;
    ProxyConfig *config = with_replicas(
        "null", "replicas",
        "{\"id\":\"a\",\"host\":\"h\",\"max_connections\":50},{\"socket_dir\":\"/x\"}");
    assert_int_equal(config->reads, READS_REPLICAS);
    assert_int_equal(config->lag_max_ms, PROXY_LAG_MAX_DEFAULT);
    assert_string_equal(config->replicas[0].id, "a");
    assert_string_equal(config->replicas[1].id, "replica-2");
    assert_int_equal(proxy_config_target(config, 1)->servers_max, 25);
    assert_int_equal(proxy_config_servers_max(config), 25 + 50);
    assert_true(!proxy_config_uses(config, 0) && proxy_config_uses(config, 1) &&
                proxy_config_uses(config, 2) && !proxy_config_uses(config, 3));
    proxy_config_unref(config);
    const char *both = "{\"id\":\"a\",\"host\":\"h\"},{\"id\":\"b\",\"host\":\"h\"}";
    config = with_replicas("{\"host\":\"w\"}", "primary", both);
    assert_true(proxy_config_uses(config, 0) && !proxy_config_uses(config, 1));
    proxy_config_unref(config);
    config = with_replicas("{\"host\":\"w\"}", "split", both);
    assert_true(proxy_config_uses(config, 0) && proxy_config_uses(config, 2));
    proxy_config_unref(config);
}

static void refuse_replicas(const char *reads, const char *replicas, const char *what)
{
    CLEANUP(mem_free_ptr)
    char *text = mem_printf(REPLICAS_TEXT, "{\"id\":\"w\",\"host\":\"w\"}", reads, replicas);
    ProxyConfig *config;
    Err err;
    assert_false(parse(text, &config, &err));
    if (strstr(err.message, what) == NULL) {
        fail_msg("%s: not named in: %s", what, err.message);
    }
}

static void test_refused_replicas(void **state)
{
    (void)state;
    const char *item = "{\"id\":\"r\",\"host\":\"h\"}";
    refuse_replicas("sometimes", item, "pool.reads must be primary, replicas or split");
    refuse_replicas("split", "{\"id\":\"w\",\"host\":\"h\"}", "pool.replicas[].id w is another");
    refuse_replicas("split", "{\"id\":\"r\",\"host\":\"h\"},{\"id\":\"r\",\"host\":\"i\"}",
                    "pool.replicas[].id r is another");
    refuse_replicas("split", "{\"id\":\"r\"}", "replicas[].socket_dir or replicas[].host");
    refuse_replicas("split", "{\"host\":\"h\",\"weight\":1}", "replicas[].weight is not known");
    Buf many;
    buf_init(&many, BUF_MAX_DEFAULT);
    for (int i = 0; i < 16; i++) {
        buf_printf(&many, "%s{\"host\":\"h\"}", i > 0 ? "," : "");
    }
    refuse_replicas("split", buf_str(&many), "pool.replicas must have 0 to 15 items");
    buf_done(&many);
}

/* So that connections to those that stay need not be closed. */
/* Alone, nobody means that; in a tier replicas come and go. */
static void test_reads_that_nobody_serves(void **state)
{
    (void)state;
    static const char one[] = "{\"id\":\"r\",\"host\":\"h\"}";
    static const char target[] = "{\"host\":\"w\"}";
    static const struct {
        const char *target, *reads, *replicas, *what; /* NULL: fine */
    } cases[] = {
        {target, "primary", "", NULL},
        {"null", "replicas", one, NULL},
        {target, "split", one, NULL},
        {target, "primary", one, "pool.replicas are listed"},
        {target, "replicas", "", "pool.reads is replicas, and pool.replicas has none"},
        {target, "split", "", "pool.reads is split, and pool.replicas has none"},
        {"null", "split", one, "there is no pool.target"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err = {0};
        ProxyConfig *config = with_replicas(cases[i].target, cases[i].reads, cases[i].replicas);
        assert_int_equal(proxy_config_check_reads(config, &err), cases[i].what == NULL);
        assert_true(cases[i].what == NULL || strstr(err.message, cases[i].what) != NULL);
        proxy_config_unref(config);
    }
}

static void test_replicas_keep_their_numbers(void **state)
{
    (void)state;
    const char *a = "{\"id\":\"a\",\"host\":\"h\"}";
    const char *b = "{\"id\":\"b\",\"host\":\"i\"}";
    CLEANUP(mem_free_ptr) char *ab = mem_printf("%s,%s", a, b);
    CLEANUP(mem_free_ptr) char *cb = mem_printf("{\"id\":\"c\",\"host\":\"j\"},%s", b);
    ProxyConfig *first = with_replicas("null", "replicas", ab);
    proxy_config_order_replicas(first, NULL);
    ProxyConfig *second = with_replicas("null", "replicas", cb);
    proxy_config_order_replicas(second, first);
    assert_string_equal(second->replicas[1].id, "b");
    assert_string_equal(second->replicas[2].id, "c"); /* not where a's may still be leaving */
    assert_null(second->replicas[0].id);
    assert_true(proxy_config_target_outdated(first, second, 1));
    assert_false(proxy_config_target_outdated(first, second, 2));
    assert_true(proxy_config_target_outdated(first, second, 3));
    assert_false(proxy_config_outdates(first, second)); /* b has stayed */
    /* The same name elsewhere is another one. */
    ProxyConfig *third = with_replicas("null", "replicas", "{\"id\":\"b\",\"host\":\"k\"}");
    proxy_config_order_replicas(third, second);
    assert_string_equal(third->replicas[0].id, "b");
    assert_null(third->replicas[1].id);
    ProxyConfig *split = with_replicas("{\"host\":\"w\"}", "split", cb);
    proxy_config_order_replicas(split, second);
    assert_true(proxy_config_outdates(second, split));
    assert_true(proxy_config_target_outdated(second, split, 2));
    assert_true(proxy_config_outdates(second, third));
    ProxyConfig *none = with_replicas("null", "replicas", "");
    assert_false(proxy_config_outdates(second, none));
    assert_true(proxy_config_outdates(none, third));
    proxy_config_unref(none);
    proxy_config_unref(split);
    proxy_config_unref(third);
    proxy_config_unref(second);
    proxy_config_unref(first);
}

#define FILES_TEXT                                                                                 \
    "{\"kind\":\"pool\",\"listeners\":[{\"address\":\"127.0.0.1\",\"cert_file\":\"/c\","           \
    "\"key_file\":\"/k\"}],\"pool\":{\"target\":{\"host\":\"db.test\",\"port\":6000,\"tls\":"      \
    "\"verify-full\",\"ca_file\":\"/ca\"},\"users\":[{\"user\":\"a\",\"password_file\":\"/p\"}"    \
    "%s]}}"

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

/* `target` and `user` are put where they belong, and `what` is to be named. */
static void refuse_pool(const char *listener, const char *target, const char *user,
                        const char *what)
{
    CLEANUP(mem_free_ptr)
    char *text = mem_printf("{\"kind\":\"pool\",\"listeners\":[{\"address\":\"a\"%s}],\"pool\":{"
                            "\"target\":{%s},\"users\":[{\"user\":\"a\",%s}]}}",
                            listener, target, user);
    ProxyConfig *config;
    Err err;
    assert_false(parse(text, &config, &err));
    if (strstr(err.message, what) == NULL) {
        fail_msg("%s: not named in: %s", what, err.message);
    }
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
    ProxyConfig *config;
    Err err;
    assert_false(parse("{\"kind\":\"relay\",\"listeners\":[{\"address\":\"a\"}],\"relay\":{"
                       "\"target\":{\"host\":\"h\",\"tls\":\"require\"}}}",
                       &config, &err));
    assert_non_null(strstr(err.message, "goes with kind pool"));
}

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
        ProxyConfig *config;
        Err err;
        assert_false(parse(bad[i][0], &config, &err));
        if (strstr(err.message, bad[i][1]) == NULL) {
            fail_msg("%s: not named in: %s", bad[i][1], err.message);
        }
    }
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
        assert_false(parse(text, &config, &err));
        if (strstr(err.message, bad[i][1]) == NULL) {
            fail_msg("%s: not named in: %s", bad[i][1], err.message);
        }
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

static void test_start_params(void **state)
{
    (void)state;
    ParamList *a = params_of_start(
        SLICE("user\0ann\0TimeZone\0UTC\0client_encoding\0UTF8\0database\0d\0timezone\0CET\0\0"));
    ParamList *b = params_of_start(
        SLICE("CLIENT_ENCODING\0UTF8\0user\0bob\0TIMEZONE\0CET\0_pq_.x\0001\0replication\0no\0\0"));
    assert_true(params_equal(a, b));
    assert_true(slice_eq(params_slice(a), SLICE("client_encoding\0UTF8\0timezone\0CET\0")));
    ParamList *c = params_of_start(SLICE("client_encoding\0LATIN1\0timezone\0CET\0\0"));
    assert_false(params_equal(a, c));
    params_unref(a);
    params_unref(b);
    params_unref(c);
}

static void test_param_changes(void **state)
{
    (void)state;
    ParamList *empty = params_new((Slice){0});
    ParamList *one = params_with(empty, SLICE("b"), SLICE("1"));
    ParamList *two = params_with(one, SLICE("a"), SLICE("2"));
    ParamList *three = params_with(two, SLICE("B"), SLICE("3"));
    assert_true(slice_eq(params_slice(two), SLICE("a\0002\0b\0001\0")));
    assert_slice(params_value(three, "b"), "3");
    assert_null(params_value(three, "x").data);
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    params_put_changes(two, two, &out);
    assert_int_equal(out.len, 0);
    params_put_changes(one, two, &out);
    assert_true(slice_eq(buf_slice(&out), SLICE("S\0\0\0\x8"
                                                "a\0002\0")));
    buf_clear(&out);
    params_put_changes(NULL, two, &out);
    assert_int_equal(out.len, 18);
    buf_done(&out);
    CLEANUP(mem_free_ptr) char *lengthy = mem_alloc(PARAMS_BYTES_MAX + 1);
    memset(lengthy, 'x', PARAMS_BYTES_MAX);
    assert_null(params_with(two, SLICE("c"), slice_of(lengthy)));
    ParamList *lists[] = {empty, one, two, three};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        params_unref(lists[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_replicas),
        cmocka_unit_test(test_refused_replicas),
        cmocka_unit_test(test_reads_that_nobody_serves),
        cmocka_unit_test(test_replicas_keep_their_numbers),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_files_and_tcp),
        cmocka_unit_test(test_synchronous),
        cmocka_unit_test(test_refused_files_and_tcp),
        cmocka_unit_test(test_iam),
        cmocka_unit_test(test_iam_refused),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_admin_database),
        cmocka_unit_test(test_ways_in),
        cmocka_unit_test(test_refused_ways_in),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_start_params),
        cmocka_unit_test(test_param_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
