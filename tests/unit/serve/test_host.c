/* A host's record when its serve starts: it joins, comes back, or is refused. */
#include <stdio.h>

#include "../unit.h"

#include "serve/tier_priv.h"

static Tier tier_of(const char *host)
{
    Tier tier = {.store = store_open_memory(NULL), .zone = "a", .net = "127.9"};
    snprintf(tier.host, sizeof(tier.host), "%s", host);
    return tier;
}

static void put(Tier *tier, const char *key, const char *text)
{
    Err err;
    if (!store_create(tier->store, slice_of(key), slice_of(text), NULL, &err)) {
        fail_msg("%s: %s", key, err.message);
    }
}

static json_t *record_of(Tier *tier, const char *key)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreItem item;
    json_t *record = NULL;
    assert_true(store_get(tier->store, slice_of(key), arena, &item, NULL));
    assert_true(record_parse(item.value, &record, NULL));
    return record;
}

static void test_it_joins_and_comes_back(void **state)
{
    (void)state;
    Tier tier = tier_of("h1");
    Err err;
    assert_true(tier_host_record(&tier, &err));
    json_t *record = record_of(&tier, "host/h1/spec");
    assert_string_equal(member_str(record, "net", ""), "127.9");
    int64_t joined_ms = member_int(record, "joined_ms", 0);
    json_decref(record);
    snprintf(tier.net, sizeof(tier.net), "127.10");
    assert_true(tier_host_record(&tier, &err));
    record = record_of(&tier, "host/h1/spec");
    assert_string_equal(member_str(record, "net", ""), "127.10");
    assert_int_equal(member_int(record, "joined_ms", 0), joined_ms);
    json_decref(record);
    store_close(tier.store);
}

static void test_a_removed_name_is_used_up(void **state)
{
    (void)state;
    Tier tier = tier_of("h1");
    Err err;
    put(&tier, "removed-host/h1", "{\"removed_ms\":1}");
    assert_false(tier_host_record(&tier, &err));
    assert_int_equal(err.code, ERR_DENIED);
    assert_true(tier.removed);
    store_close(tier.store);
}

/* Agents would not know it: it is told so, instead of being there for nobody. */
static void test_no_more_than_agents_know(void **state)
{
    (void)state;
    Tier tier = tier_of("h99");
    Err err;
    for (int i = 0; i < HOSTS_MAX; i++) {
        char key[64];
        snprintf(key, sizeof(key), "host/n%d/spec", i);
        put(&tier, key, "{}");
        snprintf(key, sizeof(key), "host/n%d/beat", i);
        put(&tier, key, "{}");
    }
    assert_false(tier_host_record(&tier, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_non_null(strstr(err.message, "weir host remove"));
    snprintf(tier.host, sizeof(tier.host), "n3"); /* one of them */
    assert_true(tier_host_record(&tier, &err));
    store_close(tier.store);
    tier = tier_of("h99");
    for (int i = 1; i < HOSTS_MAX; i++) {
        char key[64];
        snprintf(key, sizeof(key), "host/n%d/spec", i);
        put(&tier, key, "{}");
    }
    assert_true(tier_host_record(&tier, &err));
    store_close(tier.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_joins_and_comes_back),
        cmocka_unit_test(test_a_removed_name_is_used_up),
        cmocka_unit_test(test_no_more_than_agents_know),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
