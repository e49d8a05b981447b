/* Values: making, comparing, showing, JSON both ways. */
#include "../unit.h"

#include "tf/tf.h"

#define assert_shown(value, text)                                                                  \
    do {                                                                                           \
        Buf shown_;                                                                                \
        buf_init(&shown_, BUF_MAX_DEFAULT);                                                        \
        tf_show((value), &shown_);                                                                 \
        assert_string_equal(buf_str(&shown_), (text));                                             \
        buf_done(&shown_);                                                                         \
    } while (0)

#define assert_json(value, text)                                                                   \
    do {                                                                                           \
        Buf json_;                                                                                 \
        buf_init(&json_, BUF_MAX_DEFAULT);                                                         \
        assert_true(tf_to_json((value), &json_));                                                  \
        assert_string_equal(buf_str(&json_), (text));                                              \
        buf_done(&json_);                                                                          \
    } while (0)

static const TfValue *from_json(Arena *arena, const char *json)
{
    const TfValue *value = NULL;
    Err err;
    if (!tf_from_json(arena, slice_of(json), &value, &err)) {
        fail_msg("%s: %s", json, err.message);
    }
    return value;
}

static void test_numbers(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    assert_shown(tf_int(arena, INT64_MIN), "-9223372036854775808");
    assert_shown(tf_int(arena, INT64_MAX), "9223372036854775807");
    assert_shown(tf_real(arena, 0.1 + 0.2), "0.3");
    assert_shown(tf_real(arena, -0.000125), "-0.000125");
    assert_shown(tf_real(arena, 1e21), "1000000000000000000000");
    assert_shown(tf_real(arena, 1234567.5), "1234567.5");
    assert_true(tf_real(arena, 60.0)->number.exact);
    assert_false(tf_real(arena, 60.5)->number.exact);
    assert_true(tf_equal(tf_real(arena, 60.0), tf_int(arena, 60)));
}

static void test_object(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const TfMember members[] = {
        {SLICE("b"), tf_int(arena, 1)},
        {SLICE("a"), tf_bool(true)},
        {SLICE("b"), tf_int(arena, 2)},
        {SLICE("a b"), tf_null()},
    };
    const TfValue *object = tf_object(arena, members, ARRAY_LEN(members));
    assert_shown(object, "{a = true, \"a b\" = null, b = 2}");
    assert_json(object, "{\"a\":true,\"a b\":null,\"b\":2}");
    assert_int_equal(tf_get(object, "b")->number.integer, 2);
    assert_null(tf_get(object, "c"));
    assert_null(tf_get(tf_null(), "c"));
    assert_int_equal(object->depth, 1);
}

static void test_set(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const TfValue *items[] = {tf_string(arena, SLICE("b")), tf_string(arena, SLICE("a")),
                              tf_string(arena, SLICE("b"))};
    assert_shown(tf_set(arena, items, 3), "[\"a\", \"b\"]");
    assert_false(tf_equal(tf_set(arena, items, 2), tf_list(arena, items, 2)));
    assert_true(tf_equal(tf_set(arena, items, 2), tf_set(arena, items, 3)));
}

static void test_marks(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const TfValue *secret = tf_mark(arena, tf_string(arena, SLICE("s3cret")), true);
    const TfValue *items[] = {tf_string(arena, SLICE("x")), secret, tf_unknown()};
    const TfValue *list = tf_list(arena, items, 3);
    assert_true(list->holds_sensitive && list->holds_unknown && !list->sensitive);
    assert_shown(list, "[\"x\", (sensitive), (known after apply)]");
    assert_shown(tf_mark(arena, list, true), "(sensitive)");
    assert_true(tf_equal(secret, tf_string(arena, SLICE("s3cret"))));
    assert_false(tf_equal(list, list));
    Buf json;
    buf_init(&json, BUF_MAX_DEFAULT);
    assert_false(tf_to_json(list, &json));
    buf_done(&json);
}

static void test_json(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    assert_json(from_json(arena, " {\"b\":[1,-2.5e1,null],\"a\":\"\\u00e9<&>\\ud83d\\ude00\\n\"} "),
                "{\"a\":\"é\\u003c\\u0026\\u003e😀\\n\",\"b\":[1,-25,null]}");
    assert_json(from_json(arena, "\"\\ud800x\\ud83d\\u0041\""), "\"\xef\xbf\xbdx\xef\xbf\xbd"
                                                                "A\"");
    assert_json(from_json(arena, "[]"), "[]");
    assert_json(from_json(arena, "{}"), "{}");
    assert_json(from_json(arena, "[true,false,\"\"]"), "[true,false,\"\"]");
}

static void test_json_refused(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    static const char *const bad[] = {
        "",
        "{",
        "[1",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{a:1}",
        "nul",
        "01",
        "+1",
        "1.",
        "1e",
        "1e999",
        "-",
        "\"a",
        "\"\\x\"",
        "\"\n\"",
        "\"\\u12\"",
        "\"\\ud800\\u1\"",
        "1 2",
        "\xff",
        "\"\xc0\x80\"",
        "{\"a\":1,}",
        "[1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const TfValue *value = NULL;
        Err err;
        assert_false(tf_from_json(arena, slice_of(bad[i]), &value, &err));
        assert_null(value);
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_json_deep(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char text[2 * (TF_DEPTH_MAX + 1) + 1];
    memset(text, '[', TF_DEPTH_MAX + 1);
    memset(text + TF_DEPTH_MAX + 1, ']', TF_DEPTH_MAX + 1);
    text[sizeof(text) - 1] = '\0';
    const TfValue *value = NULL;
    Err err;
    assert_false(tf_from_json(arena, slice_of(text), &value, &err));
    text[sizeof(text) - 2] = '\0';
    assert_true(tf_from_json(arena, slice_of(text + 1), &value, &err));
    assert_int_equal(value->depth, TF_DEPTH_MAX);
}

static void test_json_truncated(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Slice whole = SLICE("{\"a\": [1, 2.5, \"x\\u0041\", true, null], \"b\": {\"c\": \"d\"}}");
    const TfValue *value = NULL;
    for (size_t len = 0; len < whole.len; len++) {
        Err err;
        assert_false(tf_from_json(arena, (Slice){whole.data, len}, &value, &err));
    }
    from_json(arena, whole.data);
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"engine", "engine_version", "identifier", "port", "id"};
    assert_string_equal(tf_nearest("engin", names, 5), "engine");
    assert_string_equal(tf_nearest("enigne", names, 5), "engine");
    assert_string_equal(tf_nearest("Engine_verison", names, 5), "engine_version");
    assert_string_equal(tf_nearest("prot", names, 5), "port");
    assert_null(tf_nearest("multi_az", names, 5));
    assert_null(tf_nearest("", names, 5));
    assert_null(tf_nearest("x", names, 5));
    assert_null(tf_nearest("engine", names, 0));
}

static void test_diagnostic_without_place(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    TfDiagnostics diagnostics;
    tf_diagnostics_init(&diagnostics, arena);
    tf_diagnose(&diagnostics, TF_ERROR, (TfPos){0}, "no file", "name one");
    tf_diagnose(&diagnostics, TF_ERROR, (TfPos){0}, "no file", "name one");
    tf_diagnose(&diagnostics, TF_WARNING, (TfPos){0}, "odd", NULL);
    assert_int_equal(diagnostics.errors, 1);
    for (int i = 0; i < TF_DIAGNOSTICS_MAX; i++) {
        tf_diagnose(&diagnostics, TF_ERROR, (TfPos){0}, arena_printf(arena, "e%d", i), NULL);
    }
    assert_int_equal(diagnostics.errors, 1 + TF_DIAGNOSTICS_MAX);
    assert_int_equal(diagnostics.dropped, 2);
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    tf_diagnostics_format(&diagnostics, &text);
    assert_true(
        slice_starts(buf_slice(&text), "error: no file\n  name one\nwarning: odd\nerror: e0\n"));
    assert_true(slice_ends(buf_slice(&text), "2 more are not shown\n"));
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),   cmocka_unit_test(test_object),
        cmocka_unit_test(test_set),       cmocka_unit_test(test_marks),
        cmocka_unit_test(test_json),      cmocka_unit_test(test_json_refused),
        cmocka_unit_test(test_json_deep), cmocka_unit_test(test_json_truncated),
        cmocka_unit_test(test_nearest),   cmocka_unit_test(test_diagnostic_without_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
