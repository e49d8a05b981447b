/* What `weir run` decides and writes: hosts files, NODE_OPTIONS, who runs Node, which variables
 * stay. */
#include <stdlib.h>

#include "../unit.h"
#include "cli/run/run_priv.h"

static const char *const names[] = {"rds.eu-west-1.amazonaws.com", "sts.amazonaws.com", NULL};

#define OURS                                                                                       \
    "# weir run: the AWS API of this tier\n"                                                       \
    "127.7.0.1 rds.eu-west-1.amazonaws.com\n"                                                      \
    "127.7.0.1 sts.amazonaws.com\n"

/* ---- hosts -------------------------------------------------------------------------------- */

static void hosts_are(const char *real, const char *rest)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    run_hosts_text(slice_of(real), "127.7.0.1", names, &out);
    assert_int_equal(strncmp(buf_str(&out), OURS, strlen(OURS)), 0);
    assert_string_equal(buf_str(&out) + strlen(OURS), rest);
    buf_done(&out);
}

static void test_hosts_keep_what_is_there(void **state)
{
    (void)state;
    hosts_are("", "");
    hosts_are("\n", "\n");
    hosts_are("127.0.0.1 localhost\n", "127.0.0.1 localhost\n");
    hosts_are("127.0.0.1\tlocalhost\n\n# sts.amazonaws.com\n::1 ip6\r\n",
              "127.0.0.1\tlocalhost\n\n# sts.amazonaws.com\n::1 ip6\r\n");
    hosts_are("10.0.0.1 xsts.amazonaws.com sts.amazonaws.com.x\n",
              "10.0.0.1 xsts.amazonaws.com sts.amazonaws.com.x\n");
    hosts_are("127.0.0.1 last", "127.0.0.1 last\n"); /* a line that does not end */
}

/* A name has one address: a second line would be a second answer. */
static void test_hosts_take_our_names_away(void **state)
{
    (void)state;
    hosts_are("10.0.0.1 sts.amazonaws.com\n127.0.0.1 localhost\n", "127.0.0.1 localhost\n");
    hosts_are("10.0.0.1 a STS.AmazonAWS.com\tb # comment\n", "10.0.0.1 a b\n");
    hosts_are("10.0.0.1 sts.amazonaws.com rds.eu-west-1.amazonaws.com", "");
    hosts_are("  10.0.0.1 sts.amazonaws.com#x\n", "");
    hosts_are(OURS, "# weir run: the AWS API of this tier\n"); /* within another `weir run` */
}

static void test_endpoint_address(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    assert_string_equal(run_endpoint_address(arena, "https://127.1.0.1:4566"), "127.1.0.1");
    static const char *const bad[] = {"",           "127.1.0.1:4566",       "http://127.1.0.1:4566",
                                      "https://",   "https://127.1.0.1",    "https://127.1.0.1:",
                                      "https://:1", "https://127.1.0.1/a:b"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_null(run_endpoint_address(arena, bad[i]));
    }
    arena_free(arena);
}

/* ---- Node --------------------------------------------------------------------------------- */

static void test_node_names(void **state)
{
    (void)state;
    static const char *const yes[] = {"node", "/usr/bin/node", "nodejs", "npm", "./npx", "a/yarn"};
    static const char *const no[] = {"", "/", "nodes", "anode", "node/", "python3", "nodemon"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(run_node_is_name(yes[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(run_node_is_name(no[i]));
    }
}

static void test_node_scripts(void **state)
{
    (void)state;
    static const char *const yes[] = {
        "#!/usr/bin/env node\nlet a;",      "#!/usr/bin/node",
        "#! /usr/bin/node --no-warnings\n", "#!/usr/bin/env -S node --no-warnings\r\n",
        "#!/usr/bin/env -Snode --x\n",      "#!/usr/bin/env --split-string=node --x\n",
        "#!/usr/bin/env -i A=b  nodejs\n",  "#!/bin/env /opt/n/bin/node\n"};
    static const char *const no[] = {"",
                                     "#",
                                     "#!",
                                     "#!\nnode",
                                     "#!/bin/sh\nnode app.js",
                                     "#!/bin/sh node\n",
                                     "#!/usr/bin/env\nnode",
                                     "#!/usr/bin/env -S\n",
                                     "#!/usr/bin/env python3 node\n",
                                     "#!/usr/bin/env A=node\n",
                                     "#!/usr/bin/node_x\n",
                                     "\177ELF node"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        assert_true(run_node_is_script(slice_of(yes[i])));
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        assert_false(run_node_is_script(slice_of(no[i])));
    }
}

static void options_are(const char *old, const char *preload, const char *wanted)
{
    char *text = run_node_options(old, preload);
    assert_string_equal(text, wanted);
    mem_free(text);
}

static void test_node_options(void **state)
{
    (void)state;
    options_are(NULL, "/d/p.cjs", "--require \"/d/p.cjs\"");
    options_are("", "/d/p.cjs", "--require \"/d/p.cjs\"");
    options_are("--max-old-space-size=64", "/d/p.cjs",
                "--max-old-space-size=64 --require \"/d/p.cjs\"");
    options_are("--require \"/d/p.cjs\" -r x", "/d/p.cjs", "--require \"/d/p.cjs\" -r x");
    options_are("--require \"/e/p.cjs\"", "/d/p.cjs",
                "--require \"/e/p.cjs\" --require \"/d/p.cjs\"");
    options_are(NULL, "/a b/\"q\\.cjs", "--require \"/a b/\\\"q\\\\.cjs\"");
}

static void test_preload_is_embedded(void **state)
{
    (void)state;
    CLEANUP(mem_free_ptr)
    char *path = mem_printf("%s/src/cli/run/node_preload.cjs", getenv("WEIR_SOURCE_ROOT"));
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    assert_true(file_read(path, &text, NULL));
    assert_string_equal(run_node_preload, buf_str(&text));
    buf_done(&text);
}

/* ---- the environment ---------------------------------------------------------------------- */

static void test_what_leads_away(void **state)
{
    (void)state;
    assert_true(run_env_leads_away("AWS_PROFILE"));
    assert_true(run_env_leads_away("AWS_SESSION_TOKEN"));
    assert_true(run_env_leads_away("AWS_ENDPOINT_URL_SECRETS_MANAGER"));
    assert_false(run_env_leads_away("AWS_ENDPOINT_URL"));
    assert_false(run_env_leads_away("AWS_PROFILES"));
    assert_false(run_env_leads_away("AWS_MAX_ATTEMPTS"));
    assert_false(run_env_leads_away(""));
}

static void list_is(const char *list, const char *wanted)
{
    static const char *const more[] = {"127.7.0.1", "b", NULL};
    char *text = run_list_add(list, more);
    assert_string_equal(text, wanted);
    mem_free(text);
}

static void test_lists(void **state)
{
    (void)state;
    list_is(NULL, "127.7.0.1,b");
    list_is("", "127.7.0.1,b");
    list_is("a", "a,127.7.0.1,b");
    list_is("B, 127.7.0.1 ,c", "B, 127.7.0.1 ,c");
    list_is("127.7.0.11,bb", "127.7.0.11,bb,127.7.0.1,b");
}

/* The list is walked while it changes. */
static void test_environment(void **state)
{
    (void)state;
    static const char *const away[] = {"AWS_PROFILE", "AWS_ENDPOINT_URL_A", "AWS_ENDPOINT_URL_B",
                                       "AWS_SESSION_TOKEN"};
    for (size_t i = 0; i < ARRAY_LEN(away); i++) {
        setenv(away[i], "x", 1);
    }
    setenv("AWS_MAX_ATTEMPTS", "2", 1);
    setenv("HTTPS_PROXY", "http://127.0.0.1:9", 1);
    setenv("no_proxy", "c", 1);
    unsetenv("NO_PROXY");
    json_t *vars = json_pack("{s:s}", "AWS_REGION", "eu-west-1");
    const char *const hosts[] = {"127.7.0.1", NULL};
    run_env_apply(vars, hosts);
    json_decref(vars);
    for (size_t i = 0; i < ARRAY_LEN(away); i++) {
        assert_null(getenv(away[i]));
    }
    assert_string_equal(getenv("AWS_MAX_ATTEMPTS"), "2");
    assert_string_equal(getenv("AWS_REGION"), "eu-west-1");
    assert_string_equal(getenv("AWS_STS_REGIONAL_ENDPOINTS"), "regional");
    assert_string_equal(getenv("NO_PROXY"), "c,127.7.0.1");
    assert_string_equal(getenv("no_proxy"), "c,127.7.0.1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts_keep_what_is_there),
        cmocka_unit_test(test_hosts_take_our_names_away),
        cmocka_unit_test(test_endpoint_address),
        cmocka_unit_test(test_node_names),
        cmocka_unit_test(test_node_scripts),
        cmocka_unit_test(test_node_options),
        cmocka_unit_test(test_preload_is_embedded),
        cmocka_unit_test(test_what_leads_away),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
