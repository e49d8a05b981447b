/* Expressions: operators, steps, loops, conditionals; what they give and how they fail. Values were
 * compared with those of Terraform 1.11. */
#include "fixture.h"

typedef struct Case {
    const char *expr;
    const char *expected;
} Case;

static void assert_values(const Case *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        assert_value(cases[i].expr, cases[i].expected);
    }
}

static void assert_all_refused(const Case *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        assert_refused(cases[i].expr, cases[i].expected);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"1 + 2 * 3", "7"},
        {"(1 + 2) * 3", "9"},
        {"10 - 2 - 3", "5"},
        {"2 * 3 % 4", "2"},
        {"7 / 2", "3.5"},
        {"10 / 5", "2"},
        {"-7 % 3", "-1"},
        {"5.5 % 2", "1.5"},
        {"0.1 + 0.2", "0.3"},
        {"1e3", "1000"},
        {"1.5e-3", "0.0015"},
        {"1e50", "100000000000000000000000000000000000000000000000000"},
        {"9007199254740993", "9007199254740993"},
        {"9223372036854775807", "9223372036854775807"},
        {"-(-3)", "3"},
        {"1 + -1", "0"},
        {"\"3\" * \"2\"", "6"},
        {"3.0", "3"},
        {"100 * 1.1", "110"},
        {"-9223372036854775807 - 1", "-9223372036854775808"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_logic(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"true && false || true", "true"},
        {"!true || !(1 == 2)", "true"},
        {"1 < 2 && \"3\" > 2 && 2 <= 2 && 2 >= 2", "true"},
        {"false && local.n.foo", "false"},
        {"true || 1 / 0 > 1", "true"},
        {"\"1\" == 1", "false"},
        {"1 == 1.0", "true"},
        {"[1, 2] == [1, 2]", "true"},
        {"{ a = 1 } != { a = 2 }", "true"},
        {"null == null", "true"},
        {"\"a\" == null", "false"},
        {"true == \"true\"", "false"},
        {"!\"false\"", "true"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_conditionals(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"true ? 1 : 2", "1"},
        {"true ? 1 : \"a\"", "\"1\""},
        {"false ? 1 : \"a\"", "\"a\""},
        {"true ? [1] : []", "[1]"},
        {"false ? null : 5", "5"},
        {"true ? null : 5", "null"},
        {"length(local.n) > 5 ? local.n[5] : \"none\"", "\"none\""},
        {"false ? 1 : true ? 2 : 3", "2"},
        {"true ? (\n \"x\"\n) : \"y\"", "\"x\""},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_steps(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"local.n[1]", "\"b\""},
        {"local.n.1", "\"b\""},
        {"[[1, 2], [3]].0.1", "2"},
        {"local.n[\"1\"]", "\"b\""},
        {"local.m.x", "1"},
        {"local.m[\"y\"]", "2"},
        {"local.m[local.n[0] == \"a\" ? \"x\" : \"y\"]", "1"},
        {"{ a = { b = [10, 20] } }.a.b[1]", "20"},
        {"{ \"a b\" = 1 }[\"a b\"]", "1"},
        {"[{ a = 1 }, { a = 2 }][*].a", "[1, 2]"},
        {"[{ a = 1 }, { a = 2 }].*.a", "[1, 2]"},
        {"[{ a = [1, 2] }, { a = [3] }][*].a[0]", "[1, 3]"},
        {"[{ a = [1, 2] }, { a = [3] }].*.a[0]", "[1, 2]"},
        {"[{ a = [{ b = 1 }] }][*].a[*].b", "[[1]]"},
        {"{ a = 5 }[*].a", "[5]"},
        {"null[*]", "[]"},
        {"toset([\"b\", \"a\"])[*]", "[\"a\", \"b\"]"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_collections(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"[1, \"a\", true, null,]", "[1, \"a\", true, null]"},
        {"[\n  1,\n  2\n]", "[1, 2]"},
        {"{ a = 1, \"b\" : 2, (local.s) = 3 }", "{a = 1, b = 2, text = 3}"},
        {"{\n  a = 1\n  b = 2,\n\n  c : 3 }", "{a = 1, b = 2, c = 3}"},
        {"{ true = 1, null = 2 }", "{null = 2, true = 1}"},
        {"{ \"${local.s}-x\" = 1 }", "{text-x = 1}"},
        {"{ a = 1, a = 2 }", "{a = 2}"},
        {"{}", "{}"},
        {"[]", "[]"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_loops(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"[for x in [1, 2, 3] : x * 2 if x > 1]", "[4, 6]"},
        {"[for i, x in local.n : \"${i}${x}\"]", "[\"0a\", \"1b\"]"},
        {"[for k, v in local.m : \"${k}${v}\"]", "[\"x1\", \"y2\"]"},
        {"[for k, v in toset([\"b\", \"a\"]) : \"${k}${v}\"]", "[\"aa\", \"bb\"]"},
        {"{ for k, v in local.m : v => k }", "{\"1\" = \"x\", \"2\" = \"y\"}"},
        {"{ for x in [\"a\", \"b\", \"a\"] : x => upper(x)... }",
         "{a = [\"A\", \"A\"], b = [\"B\"]}"},
        {"{ for k, v in { a = { x = 1 } } : k => merge(v, { y = 2 }) }", "{a = {x = 1, y = 2}}"},
        {"[for x in local.n : [for y in local.n : \"${x}${y}\"]]",
         "[[\"aa\", \"ab\"], [\"ba\", \"bb\"]]"},
        {"[for x in local.n :\n  upper(x)\n  if x != \"a\"\n]", "[\"B\"]"},
        {"[for local in [1] : local]", "[1]"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_comments(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"1 /* c */ + /* d\n e */ 2 # f", "3"},
        {"4 // g", "4"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_refused(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"1 / 0", "division by zero"},
        {"1 % 0", "division by zero"},
        {"1e300 * 1e300", "the result is too large for a number"},
        {"1e999", "the number 1e999 is too large"},
        {"1 + \"a\"", "+ takes numbers, not \"a\""},
        {"1 < null", "< takes numbers, not null"},
        {"!5", "what ! negates must be true or false, not 5"},
        {"local.s && true", "&& must be true or false, not \"text\""},
        {"null ? 1 : 2", "a condition must be true or false, not null"},
        {"true ? [1] : \"a\"",
         "both results of a conditional must be of one type, not a list and a string"},
        {"true ? 1 : true",
         "both results of a conditional must be of one type, not a number and a bool"},
        {"local.n[5]", "there is no element 5"},
        {"local.n[-1]", "there is no element -1"},
        {"local.n[0.5]", "the index of a list is a whole number, not 0.5"},
        {"local.n[\"a\"]", "the index of a list is a whole number, not \"a\""},
        {"local.m[\"z\"]", "there is no key \"z\""},
        {"local.m.z", "there is no attribute \"z\""},
        {"local.n.z", "a list has no attributes, so there is no \"z\""},
        {"local.s.z", "a string has no attributes, so there is no \"z\""},
        {"null.z", "null has no attributes, so there is no \"z\""},
        {"toset([\"a\"])[0]", "a set has no elements to choose from by index"},
        {"[for x in 5 : x]", "a list, set or object is needed here, not 5"},
        {"{ for x in [\"a\", \"a\"] : x => 1 }", "two elements give the same key"},
        {"{ for x in [null] : x => 1 }", "a key is a string, not null"},
        {"{ (null) = 1 }", "a key is a string, not null"},
        {"{ local.s = 1 }", "a name with dots cannot be a key"},
        {"{ a 1 }", "\"=\" or \":\" and the key's value is expected here, not \"1\""},
        {"[1 2]", "\",\" or \"]\" is expected here, not \"2\""},
        {"[for x local.n : x]", "\"in\" is expected here, not \"local\""},
        {"1 +", "a value is expected here, not the end of the line"},
        {"'a'", "a value is expected here, not \"'\""},
        {"local.s.", "the name of an attribute is expected here, not the end of the line"},
        {"foo", "foo alone is no value"},
        {"provider::x::y()", "functions of providers are not supported"},
        {"1 & 2", "the end of the line is expected here, not \"&\""},
    };
    assert_all_refused(cases, ARRAY_LEN(cases));
}

/* Nesting is bounded, whatever nests. */
static void test_depth(void **state)
{
    (void)state;
    static const struct {
        const char *open;
        const char *middle;
        const char *close;
    } forms[] = {
        {"(", "1", ")"},
        {"[", "", "]"},
        {"{a=", "1", "}"},
        {"!", "true", ""},
        {"-", "1", ""},
        {"\"${", "1", "}\""},
        {"abs(", "1", ")"},
        {"1+", "1", ""},
        {"", "local.m", ".x"},
        {"", "local.n", "[0]"},
        {"", "local.n", "[*]"},
        {"true?1:", "1", ""},
        {"[for x in ", "[]", ":x]"},
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        Buf text;
        buf_init(&text, BUF_MAX_DEFAULT);
        buf_append_str(&text, "locals {\n  n = []\n  m = {}\n  v = ");
        for (int j = 0; j < 5000; j++) {
            buf_append_str(&text, forms[i].open);
        }
        buf_append_str(&text, forms[i].middle);
        for (int j = 0; j < 5000; j++) {
            buf_append_str(&text, forms[i].close);
        }
        buf_append_str(&text, "\n}\n");
        Loaded loaded = load_text(buf_str(&text));
        assert_null(loaded.program);
        assert_non_null(strstr(loaded.diagnostics.list.items[0].message, "levels"));
        loaded_done(&loaded);
        buf_done(&text);
    }
}

/* Values are bounded too, and so is the work. */
static void test_growth(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "  v0 = \"0123456789012345\"\n",
        "  v%d = \"${local.v%d}${local.v%d}\"\n",
        "string",
        "  v0 = [1]\n",
        "  v%d = concat(local.v%d, local.v%d)\n",
        "steps",
        "  v0 = [1]\n",
        "  v%d = [local.v%d, local.v%d]\n",
        "levels",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i += 3) {
        Buf text;
        buf_init(&text, BUF_MAX_DEFAULT);
        buf_printf(&text, "locals {\n%s", texts[i]);
        for (int j = 1; j < 200; j++) {
            Slice form = slice_of(texts[i + 1]);
            int numbers[] = {j, j - 1, j - 1};
            for (int k = 0; k < 3; k++) {
                Slice before = slice_cut(&form, '%');
                buf_append_slice(&text, before);
                buf_printf(&text, "%d", numbers[k]);
                form = slice_skip(form, 1);
            }
            buf_append_slice(&text, form);
        }
        buf_append_str(&text, "}\n");
        Loaded loaded = load_text(buf_str(&text));
        assert_null(loaded.program);
        assert_non_null(strstr(loaded.diagnostics.list.items[0].message, texts[i + 2]));
        loaded_done(&loaded);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_logic),
        cmocka_unit_test(test_conditionals), cmocka_unit_test(test_steps),
        cmocka_unit_test(test_collections),  cmocka_unit_test(test_loops),
        cmocka_unit_test(test_comments),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth),        cmocka_unit_test(test_growth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
