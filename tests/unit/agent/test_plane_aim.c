/* What a plane's process is told, and that it is told anew when what stands behind it changes. */
#include "../unit.h"

#include "agent/hosts/hosts_priv.h"
#include "agent/mirror_priv.h"
#include "agent/plane/planes_priv.h"

typedef struct Here {
    Loop *loop;
    Jobs *jobs;
    Store *store;
    AgentOptions options;
    int changes;
} Here;

static void on_change(void *user)
{
    ((Here *)user)->changes++;
}

static void put(Here *here, const char *key, const char *text)
{
    Err err;
    if (!store_create(here->store, slice_of(key), slice_of(text), NULL, &err)) {
        fail_msg("%s: %s", key, err.message);
    }
}

static void change(Here *here, const char *key, const char *text)
{
    Arena *arena = arena_new();
    StoreItem item;
    if (store_get(here->store, slice_of(key), arena, &item, NULL)) {
        assert_true(store_remove(here->store, slice_of(key), item.mod_revision, NULL, NULL));
    }
    int before = here->changes;
    put(here, key, text);
    while (here->changes == before) {
        loop_turn(here->loop, 20);
    }
    loop_turn(here->loop, 20);
    arena_free(arena);
}

/* In place: the options are pointed to. */
static void here_open(Here *here)
{
    Err err;
    *here = (Here){.store = store_open_memory(NULL)};
    assert_true(loop_new(&here->loop, &err));
    assert_true(jobs_new(here->loop, 1, 8, &here->jobs, &err));
    here->options = (AgentOptions){.loop = here->loop,
                                   .jobs = here->jobs,
                                   .store = here->store,
                                   .host = "h1",
                                   .net = "127.9",
                                   .agent_id = "me",
                                   .run_dir = "/run/x"};
    put(here, "host/h1/spec", "{\"zone\":\"a\",\"net\":\"127.9\"}");
    put(here, "host/h2/spec", "{\"zone\":\"b\",\"net\":\"127.8\"}");
    assert_true(hosts_new(&here->options, on_change, here, &here->options.hosts, &err));
    assert_true(mirror_new(here->loop, here->store, on_change, here, &here->options.mirror, &err));
}

static void here_close(Here *here)
{
    jobs_free(here->jobs);
    mirror_free(here->options.mirror);
    hosts_free(here->options.hosts);
    loop_free(here->loop);
    store_close(here->store);
}

/* The aim of a configuration, and that it is expanded to what `expanded` says. */
static char *aim_of(Here *here, const char *text, const char *expanded)
{
    Err err;
    json_t *config = NULL;
    json_t *made = NULL;
    Buf aim;
    buf_init(&aim, BUF_MAX_DEFAULT);
    assert_true(record_parse(slice_of(text), &config, &err));
    plane_config_aim(&here->options, config, &aim);
    char *copy = mem_strdup(buf_str(&aim));
    buf_done(&aim);
    assert_true(plane_config_expand(&here->options, config, &made, &err));
    char *now = json_dumps(made, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(now, expanded);
    free(now);
    json_decref(made);
    json_decref(config);
    return copy;
}

static void expect(Here *here, const char *text, char **aim, const char *expanded, bool news)
{
    char *now = aim_of(here, text, expanded);
    assert_int_equal(*aim == NULL || strcmp(*aim, now) != 0, news);
    mem_free(*aim);
    *aim = now;
}

static void test_a_node_that_is_placed_elsewhere(void **state)
{
    (void)state;
    static const char config[] = "{\"target\":{\"$node\":\"n-1\",\"port\":5432}}";
    static const char here_it_is[] = "{\"target\":{\"id\":\"n-1\",\"port\":5432,"
                                     "\"socket_dir\":\"/run/x/clients/n-1\"}}";
    Here here;
    here_open(&here);
    char *aim = NULL;
    expect(&here, config, &aim, "{\"target\":null}", true); /* nobody knows it yet */
    expect(&here, config, &aim, "{\"target\":null}", false);
    change(&here, "node/n-1/goal", "{\"host\":\"h1\",\"address\":\"128.1\"}");
    expect(&here, config, &aim, here_it_is, true);
    expect(&here, config, &aim, here_it_is, false);
    change(&here, "node/n-1/goal", "{\"host\":\"h7\",\"address\":\"128.1\"}");
    expect(&here, config, &aim, "{\"target\":null}", true);
    change(&here, "node/n-1/goal", "{\"host\":\"h1\",\"address\":\"128.2\"}");
    expect(&here, config, &aim, here_it_is, true);
    mem_free(aim);
    here_close(&here);
}

static void test_a_member_that_has_another_address(void **state)
{
    (void)state;
    static const char config[] = "{\"nodes\":[\"$at.n-1\"]}";
    Here here;
    here_open(&here);
    char *aim = NULL;
    change(&here, "node/n-1/goal", "{\"host\":\"h2\",\"address\":\"128.1\"}");
    expect(&here, config, &aim, "{\"nodes\":[\"127.8.128.1\"]}", true);
    change(&here, "node/n-1/goal", "{\"host\":\"h1\",\"address\":\"128.1\"}");
    expect(&here, config, &aim, "{\"nodes\":[\"127.9.128.1\"]}", true);
    change(&here, "node/n-1/goal", "{\"host\":\"h1\",\"address\":\"128.1\",\"more\":1}");
    expect(&here, config, &aim, "{\"nodes\":[\"127.9.128.1\"]}", false);
    mem_free(aim);
    here_close(&here);
}

/* With a second host a leader's process is told whom to leave, and to hold answers where another
 * one may lead by now. */
static void test_a_second_host(void **state)
{
    (void)state;
    static const char config[] = "{\"target\":{\"$leader\":\"c\",\"synchronous\":true}}";
    Here here;
    here_open(&here);
    char *aim = NULL;
    change(&here, "node/c-1/goal", "{\"host\":\"h1\",\"address\":\"128.1\",\"peers\":[\"c-2\"]}");
    change(&here, "node/c-1/seen", "{\"ha\":\"leading\",\"open\":true,\"term\":1}");
    change(&here, "cluster/c",
           "{\"term\":1,\"leader\":\"c-1\",\"phase\":\"leading\",\"set\":[],\"writes\":0}");
    expect(&here, config, &aim,
           "{\"target\":{\"deposed\":[\"c-2\"],\"id\":\"c-1\",\"probe_user\":\"rdsproxyadmin\","
           "\"right_to_answer\":\"enforced\",\"socket_dir\":\"/run/x/clients/c-1\","
           "\"synchronous\":true}}",
           true);
    Arena *arena = arena_new();
    StoreItem item;
    assert_true(store_get(here.store, SLICE("host/h2/spec"), arena, &item, NULL));
    assert_true(store_remove(here.store, SLICE("host/h2/spec"), item.mod_revision, NULL, NULL));
    arena_free(arena);
    for (int64_t end = time_mono_ms() + 5000;
         hosts_are_several(here.options.hosts) && time_mono_ms() < end;) {
        loop_turn(here.loop, 20);
    }
    expect(&here, config, &aim,
           "{\"target\":{\"id\":\"c-1\",\"probe_user\":\"rdsproxyadmin\","
           "\"socket_dir\":\"/run/x/clients/c-1\",\"synchronous\":true}}",
           true);
    mem_free(aim);
    here_close(&here);
}

/* A secret of a role by which PostgreSQL lets Weir's own processes in would let its owner in: as
 * one that cannot be read, it lets in nobody. */
static void test_a_secret_of_a_role_of_ones_own(void **state)
{
    (void)state;
    static const uint8_t key[AEAD_KEY_SIZE] = {1};
    static const struct {
        const char *secret;
        size_t users;
    } cases[] = {{"{\"username\":\"ann\",\"password\":\"x\"}", 1},
                 {"{\"username\":\"rdsadmin\",\"password\":\"x\"}", 0},
                 {"{\"username\":\"rdsproxyadmin\",\"password\":\"x\"}", 0},
                 {"{\"username\":\"ann\"}", 0}};
    Here here;
    here_open(&here);
    here.options.master_key = key;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        Buf sealed;
        json_t *made = NULL;
        buf_init(&sealed, BUF_MAX_DEFAULT);
        secret_seal(key, SLICE("arn"), slice_of(cases[i].secret), &sealed);
        json_t *config = json_pack("{s:[{s:s#, s:s}]}", "users", "$credentials", sealed.data,
                                   sealed.len, "context", "arn");
        assert_true(plane_config_expand(&here.options, config, &made, &err));
        assert_int_equal(json_array_size(json_object_get(made, "users")), cases[i].users);
        json_decref(made);
        json_decref(config);
        buf_done(&sealed);
    }
    here_close(&here);
}

/* Roles that a relay lets nobody come as. */
static void test_roles_of_ones_own(void **state)
{
    (void)state;
    Here here;
    here_open(&here);
    free(aim_of(&here, "{\"reserved_users\":\"$own_roles\"}",
                "{\"reserved_users\":[\"rdsadmin\",\"rdsrepladmin\",\"rdsproxyadmin\"]}"));
    here_close(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_node_that_is_placed_elsewhere),
        cmocka_unit_test(test_a_member_that_has_another_address),
        cmocka_unit_test(test_a_second_host),
        cmocka_unit_test(test_a_secret_of_a_role_of_ones_own),
        cmocka_unit_test(test_roles_of_ones_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
