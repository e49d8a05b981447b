/* Changes are transactions: what others write meanwhile is never overwritten. */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>

#define KEY    "spec/db-parameter-group/pg"
#define ROUNDS 300
#define TAGS   40

typedef struct Other {
    Store *store;
    atomic_bool done;
    int counted;
} Other;

/* One more in the record, by compare-and-swap. */
static bool count_once(Other *other, Arena *arena)
{
    StoreItem item;
    Err err;
    json_t *record;
    assert_true(store_get(other->store, SLICE(KEY), arena, &item, &err));
    assert_true(record_parse(item.value, &record, &err));
    json_object_set_new(record, "count", json_integer(member_int(record, "count", 0) + 1));
    bool ok = store_update(other->store, SLICE(KEY), item.mod_revision,
                           record_format(arena, record), NULL, &err);
    assert_true(ok || err.code == ERR_CONFLICT);
    json_decref(record);
    return ok;
}

static void *count_thread(void *arg)
{
    Other *other = arg;
    Arena *arena = arena_new();
    while (other->counted < ROUNDS) {
        other->counted += count_once(other, arena) ? 1 : 0;
        arena_reset(arena);
    }
    arena_free(arena);
    atomic_store(&other->done, true);
    return NULL;
}

static void add_tag(Harness *harness, int i)
{
    CLEANUP(mem_free_ptr)
    char *input = mem_printf(
        "{'ResourceName': 'arn:aws:rds:eu-west-1:000000000000:pg:pg', 'Tags': [{'Key': 't%d', "
        "'Value': 'x'}]}",
        i);
    AwsFault fault = {0};
    json_t *output = NULL;
    while (!harness_call(harness, "rds:AddTagsToResource", input, &output, &fault)) {
        assert_string_equal(fault.code, "Throttling"); /* others were first all the time */
    }
    json_decref(output);
}

static void test_no_change_is_lost(void **state)
{
    Harness *harness = *state;
    Step create = {"rds:CreateDBParameterGroup",
                   "{'DBParameterGroupName': 'pg', 'DBParameterGroupFamily': 'postgres15', "
                   "'Description': 'd'}",
                   NULL, NULL};
    run_step(harness, &create);
    Other other = {.store = harness->store};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, count_thread, &other), 0);
    for (int i = 0; i < TAGS; i++) {
        add_tag(harness, i);
    }
    pthread_join(thread, NULL);
    json_t *record = harness_get(harness, KEY);
    assert_int_equal(member_int(record, "count", 0), ROUNDS);
    assert_int_equal(json_array_size(member_array(record, "TagList")), TAGS);
    json_decref(record);
}

typedef struct Creator {
    Harness *harness;
    int created;
} Creator;

static void *create_thread(void *arg)
{
    Creator *creator = arg;
    for (int i = 0; i < 10; i++) {
        CLEANUP(mem_free_ptr)
        char *input =
            mem_printf("{'DBParameterGroupName': 'g%d', 'DBParameterGroupFamily': 'postgres15', "
                       "'Description': 'd'}",
                       i);
        AwsFault fault = {0};
        json_t *output = NULL;
        bool ok =
            harness_call(creator->harness, "rds:CreateDBParameterGroup", input, &output, &fault);
        creator->created += ok ? 1 : 0;
        json_decref(output);
    }
    return NULL;
}

static void test_one_of_many_creates(void **state)
{
    Harness *harness = *state;
    pthread_t threads[4];
    Creator creators[4];
    int created = 0;
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        creators[i] = (Creator){harness, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, create_thread, &creators[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], NULL);
        created += creators[i].created;
    }
    assert_int_equal(created, 10);
}

static void test_a_damaged_record_is_our_fault(void **state)
{
    Harness *harness = *state;
    Err err;
    assert_true(store_create(harness->store, SLICE(KEY), SLICE("{damaged"), NULL, &err));
    Step step = {"rds:DescribeDBParameterGroups", NULL, "InternalFailure", KEY};
    run_step(harness, &step);
    Step change = {"rds:DeleteDBParameterGroup", "{'DBParameterGroupName': 'pg'}",
                   "InternalFailure", NULL};
    run_step(harness, &change);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define API_TEST(f) cmocka_unit_test_setup_teardown(f, harness_setup, harness_teardown)
        API_TEST(test_no_change_is_lost),
        API_TEST(test_one_of_many_creates),
        API_TEST(test_a_damaged_record_is_our_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
