/* What a pool is told of replicas: who serves reads, and that those that stay keep their numbers.
 */
#include "config_text.h"

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
    refuse(text, what);
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

/* So that connections to those that stay need not be closed. */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replicas),
        cmocka_unit_test(test_refused_replicas),
        cmocka_unit_test(test_reads_that_nobody_serves),
        cmocka_unit_test(test_replicas_keep_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
