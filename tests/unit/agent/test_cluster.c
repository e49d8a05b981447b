/* The failover record: who may write it, what the set becomes, and which names follow from it. */
#include <stdlib.h>

#include "../unit.h"

#include "agent/agent_priv.h"

static Store *store_with(const char *record)
{
    Store *store = store_open_memory(NULL);
    assert_true(store_create(store, SLICE("cluster/db-1"), slice_of(record), NULL, NULL));
    return store;
}

static int64_t revision_of(Store *store)
{
    Arena *arena = arena_new();
    StoreItem item;
    assert_true(store_get(store, SLICE("cluster/db-1"), arena, &item, NULL));
    arena_free(arena);
    return item.mod_revision;
}

static void assert_set(json_t *set, const char *expected)
{
    char *text = json_dumps(set, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(set);
}

static const char *const standby_b[] = {"b"};

static void test_the_first_write_makes_the_leader_the_set(void **state)
{
    (void)state;
    Store *store = store_with("{\"leader\":\"n1\",\"set\":[],\"term\":1}");
    const ClusterWrite write = {.node = "n1", .incarnation = "a"};
    json_t *set = NULL;
    Err err;
    assert_true(cluster_write(store, "db-1", &write, &set, &err));
    assert_set(set, "[\"a\"]");
    store_close(store);
}

/* F2: also a write that leaves the set as it was changes the revision. */
static void test_every_write_moves_the_revision(void **state)
{
    (void)state;
    Store *store = store_with("{\"leader\":\"n1\",\"set\":[\"a\"],\"term\":1}");
    const ClusterWrite write = {.node = "n1", .incarnation = "a"};
    int64_t before = revision_of(store);
    json_t *set = NULL;
    Err err;
    assert_true(cluster_write(store, "db-1", &write, &set, &err));
    assert_true(revision_of(store) > before);
    assert_set(set, "[\"a\"]");
    store_close(store);
}

static void test_joining_and_leaving(void **state)
{
    (void)state;
    Store *store = store_with("{\"leader\":\"n1\",\"set\":[\"a\",\"old\"],\"term\":1}");
    ClusterWrite write = {
        .node = "n1", .incarnation = "a", .wanted = standby_b, .wanted_len = 1, .added = "b"};
    json_t *set = NULL;
    Err err;
    assert_true(cluster_write(store, "db-1", &write, &set, &err));
    assert_set(set, "[\"a\",\"b\"]");
    write.added = NULL;
    assert_true(cluster_write(store, "db-1", &write, &set, &err));
    assert_set(set, "[\"a\",\"b\"]");
    write.wanted_len = 0;
    assert_true(cluster_write(store, "db-1", &write, &set, &err));
    assert_set(set, "[\"a\"]");
    store_close(store);
}

static void test_refusals(void **state)
{
    (void)state;
    Store *store = store_with("{\"leader\":\"n2\",\"set\":[\"x\"],\"term\":2}");
    const ClusterWrite not_leader = {.node = "n1", .incarnation = "x"};
    const ClusterWrite wrong_data = {.node = "n2", .incarnation = "y"};
    int64_t before = revision_of(store);
    json_t *set = NULL;
    Err err = {0};
    assert_false(cluster_write(store, "db-1", &not_leader, &set, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_false(cluster_write(store, "db-1", &wrong_data, &set, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_false(cluster_write(store, "db-2", &not_leader, &set, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_int_equal(revision_of(store), before);
    assert_null(set);
    store_close(store);
}

static void assert_names(const char *set_text, const char *joining, const char *expected)
{
    json_t *set = json_loads(set_text, 0, NULL);
    Buf names;
    buf_init(&names, BUF_MAX_DEFAULT);
    cluster_names(set, "a", joining, &names);
    assert_string_equal(buf_str(&names), expected);
    buf_done(&names);
    json_decref(set);
}

/* F4: always FIRST n (all n standby members). */
static void test_names(void **state)
{
    (void)state;
    assert_names("[\"a\"]", NULL, "");
    assert_names("[\"a\"]", "b", "FIRST 1 (weir_b)");
    assert_names("[\"a\",\"b\"]", NULL, "FIRST 1 (weir_b)");
    assert_names("[\"a\",\"b\"]", "b", "FIRST 1 (weir_b)");
    assert_names("[\"b\",\"a\"]", "c", "FIRST 2 (weir_b, weir_c)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_first_write_makes_the_leader_the_set),
        cmocka_unit_test(test_every_write_moves_the_revision),
        cmocka_unit_test(test_joining_and_leaving),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
