/* The failover record in the store: every write is a compare-and-swap; and which names follow. */
#include "../unit.h"

#include "agent/agent_priv.h"

static Store *store_with(const char *record)
{
    Store *store = store_open_memory(NULL);
    assert_true(store_create(store, SLICE("cluster/db-1"), slice_of(record), NULL, NULL));
    return store;
}

static void test_a_write_keeps_what_is_not_its_own(void **state)
{
    (void)state;
    Store *store = store_with("{\"term\":3,\"leader\":\"n1\",\"set\":[\"a\"],\"sealed\":\"x\"}");
    HaRecord record;
    int64_t revision = 0;
    int64_t next = 0;
    Err err;
    assert_true(cluster_read(store, "db-1", &record, &revision, &err));
    assert_int_equal(record.term, 3);
    record.writes = 9;
    assert_true(cluster_write(store, "db-1", revision, &record, &next, &err));
    assert_true(next > revision);
    Arena *arena = arena_new();
    StoreItem item;
    assert_true(store_get(store, SLICE("cluster/db-1"), arena, &item, &err));
    assert_non_null(strstr(item.value.data, "\"sealed\":\"x\""));
    assert_non_null(strstr(item.value.data, "\"writes\":9"));
    arena_free(arena);
    store_close(store);
}

/* A node that shall go and fails for another reason keeps its data: its cluster may count on it. */
static void test_only_the_store_says_that_it_is_absent(void **state)
{
    (void)state;
    Store *store = store_with("not JSON");
    assert_false(cluster_is_absent(store, "db-1"));
    assert_true(cluster_is_absent(store, "db-2"));
    store_close(store);
}

static void test_who_was_slower_has_written_nothing(void **state)
{
    (void)state;
    Store *store = store_with("{\"term\":3,\"leader\":\"n1\",\"set\":[\"a\",\"b\"]}");
    HaRecord record;
    int64_t revision = 0;
    int64_t ignored = 0;
    Err err;
    assert_true(cluster_read(store, "db-1", &record, &revision, &err));
    HaRecord faster = record;
    faster.set.len = 1; /* the term stays as it was: that alone would not tell */
    assert_true(cluster_write(store, "db-1", revision, &faster, &ignored, &err));
    record.term++;
    assert_false(cluster_write(store, "db-1", revision, &record, &ignored, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    assert_true(cluster_read(store, "db-1", &record, &revision, &err));
    assert_int_equal(record.term, 3);
    assert_int_equal(record.set.len, 1);
    store_close(store);
}

/* It is set free in the place of a lost leader, and that one's host is heard again. */
static void test_a_write_that_a_beat_forbids(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    GroupRecord record;
    int64_t revision;
    int64_t ignored;
    Err err;
    HostBeat beat = {.key = "host/h1/beat"};
    assert_true(store_create(store, SLICE("cluster/rg-1"),
                             SLICE("{\"term\":1,\"leader\":\"n1\",\"phase\":\"leading\"}"), NULL,
                             &err));
    assert_true(store_create(store, SLICE("host/h1/beat"), SLICE("{}"), &beat.revision, &err));
    assert_true(cluster_group_read(store, "rg-1", &record, &revision, &err));
    int64_t heard;
    assert_true(
        store_update(store, SLICE("host/h1/beat"), beat.revision, SLICE("{}"), &heard, &err));
    record.phase = HA_PHASE_FREE;
    assert_false(cluster_group_write(store, "rg-1", revision, &record, &beat, &ignored, &err));
    assert_int_equal(err.code, ERR_CONFLICT);
    beat.revision = heard;
    assert_true(cluster_group_write(store, "rg-1", revision, &record, &beat, &ignored, &err));
    store_close(store);
}

static void test_without_a_record(void **state)
{
    (void)state;
    Store *store = store_open_memory(NULL);
    HaRecord record = {0};
    int64_t revision = 0;
    Err err;
    assert_false(cluster_read(store, "db-1", &record, &revision, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_false(cluster_write(store, "db-1", 1, &record, &revision, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
    store_close(store);
}

static void test_all_are_named(void **state)
{
    (void)state;
    HaSet set = {.len = 0};
    HaId a = ha_id("a");
    HaId b = ha_id("b");
    Buf names;
    buf_init(&names, BUF_MAX_DEFAULT);
    cluster_names(&set, &names);
    assert_int_equal(names.len, 0);
    ha_set_add(&set, &a);
    ha_set_add(&set, &b);
    cluster_names(&set, &names);
    assert_string_equal(buf_str(&names), "FIRST 2 (weir_a, weir_b)");
    buf_done(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_write_keeps_what_is_not_its_own),
        cmocka_unit_test(test_only_the_store_says_that_it_is_absent),
        cmocka_unit_test(test_who_was_slower_has_written_nothing),
        cmocka_unit_test(test_a_write_that_a_beat_forbids),
        cmocka_unit_test(test_without_a_record),
        cmocka_unit_test(test_all_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
