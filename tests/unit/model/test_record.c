/* Records as text, and events. */
#include "../unit.h"

#include "model/model.h"

static void test_parse_and_format(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    json_t *record = NULL;
    assert_true(record_parse(SLICE("{\"b\": 1, \"a\": [true]}"), &record, NULL));
    assert_slice(record_format(arena, record), "{\"a\":[true],\"b\":1}");
    record_free_ptr(&record);
    assert_null(record);
    arena_free(arena);
}

static void test_bad_text(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "", "[]", "1", "{", "{\"a\":1,\"a\":2}", "{} x", "{\"a\":\"\xff\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        json_t *record = NULL;
        Err err = {0};
        assert_false(record_parse(slice_of(bad[i]), &record, &err));
        assert_int_equal(err.code, ERR_INVALID);
        assert_null(record);
    }
}

static void test_events(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    const char *first = NULL;
    const char *second = NULL;
    json_t *event =
        event_new(arena, 1700000000000, RESOURCE_DB_PROXY, "p", "creation", "made", &first);
    json_t *other =
        event_new(arena, 1700000000000, RESOURCE_DB_PROXY, "p", "creation", "\xff", &second);
    assert_true(slice_starts(slice_of(first), "event/1700000000000-"));
    assert_string_not_equal(first, second);
    assert_string_equal(member_str(event, "type", ""), "db-proxy");
    assert_string_equal(member_str(event, "message", ""), "made");
    assert_true(member_has(event, "categories", "creation"));
    assert_int_equal(member_int(event, "time_ms", 0), 1700000000000);
    assert_string_not_equal(member_str(other, "message", ""), "");
    json_decref(event);
    json_decref(other);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_and_format),
        cmocka_unit_test(test_bad_text),
        cmocka_unit_test(test_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
