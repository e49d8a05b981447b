/* Every function: what it gives and how it fails. Values were compared with those of
 * Terraform 1.11. */
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

static void test_strings(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"chomp(\"a\\r\\n\\n\")", "\"a\""},
        {"endswith(\"abc\", \"bc\")", "true"},
        {"indent(2, \"a\\nb\")", "\"a\\n  b\""},
        {"join(\",\", [\"a\", 1], [true])", "\"a,1,true\""},
        {"join(\"\", [])", "\"\""},
        {"lower(\"ABC\")", "\"abc\""},
        {"replace(\"a-b-c\", \"-\", \"+\")", "\"a+b+c\""},
        {"replace(\"abc\", \"\", \"-\")", "\"-a-b-c-\""},
        {"split(\",\", \"a,b,,c\")", "[\"a\", \"b\", \"\", \"c\"]"},
        {"split(\"\", \"aé\")", "[\"a\", \"é\"]"},
        {"split(\",\", \"\")", "[\"\"]"},
        {"startswith(\"abc\", \"ab\")", "true"},
        {"strcontains(\"abc\", \"x\")", "false"},
        {"substr(\"hello\", 1, 3)", "\"ell\""},
        {"substr(\"hello\", -3, -1)", "\"llo\""},
        {"substr(\"hello\", -10, 2)", "\"he\""},
        {"substr(\"hello\", 2, 100)", "\"llo\""},
        {"substr(\"é日本\", 1, 1)", "\"日\""},
        {"title(\"hello world-foo bar_baz\")", "\"Hello World-Foo Bar_baz\""},
        {"trim(\"?!hello?!\", \"!?\")", "\"hello\""},
        {"trim(\"éaé\", \"é\")", "\"a\""},
        {"trimprefix(\"helloworld\", \"hello\")", "\"world\""},
        {"trimspace(\"  a b \\n\")", "\"a b\""},
        {"trimsuffix(\"helloworld\", \"world\")", "\"hello\""},
        {"upper(\"abc\")", "\"ABC\""},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_format(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"format(\"%s-%d|%5s|%-5s|%%\", \"a\", 5, \"r\", \"l\")", "\"a-5|    r|l    |%\""},
        {"format(\"%05.2f|%08.3f\", 3.14159, -3.14159)", "\"03.14|-003.142\""},
        {"format(\"%x|%X|%#x|%o|%b\", 255, 255, 255, 8, 5)", "\"ff|FF|0xff|10|101\""},
        {"format(\"%03d|%+d|% d|%-4d|%4d\", 7, 7, 7, -7, -7)", "\"007|+7| 7|-7  |  -7\""},
        {"format(\"%q|%t|%v|%v\", \"q\", true, 1, [1, { a = 2 }])",
         "\"\\\"q\\\"|true|1|[1,{\\\"a\\\":2}]\""},
        {"format(\"%#v %#v\", \"a\", { b = 1 })", "\"\\\"a\\\" {\\\"b\\\":1}\""},
        {"format(\"%[2]s %[1]s\", \"a\", \"b\")", "\"b a\""},
        {"format(\"%v %v %v\", 100000, 1000000, 0.00001)", "\"100000 1e+06 1e-05\""},
        {"format(\"%g %e %.3g\", 1234567.5, 1234.5, 1234567)",
         "\"1.2345675e+06 1.234500e+03 1.23e+06\""},
        {"format(\"%.2s|%d\", \"hello\", \"5\")", "\"he|5\""},
        {"formatlist(\"%s-%s\", [\"a\", \"b\"], \"x\")", "[\"a-x\", \"b-x\"]"},
        {"formatlist(\"%s\", [])", "[]"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_lists(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"alltrue([true, false])", "false"},
        {"alltrue([])", "true"},
        {"anytrue([false, \"true\"])", "true"},
        {"coalesce(\"\", null, \"x\")", "\"x\""},
        {"coalesce(1, \"a\")", "\"1\""},
        {"coalescelist([], [1])", "[1]"},
        {"compact([\"a\", \"\", null, \"b\"])", "[\"a\", \"b\"]"},
        {"concat([1], [2, \"a\"], [])", "[1, 2, \"a\"]"},
        {"contains([\"a\", \"b\"], \"a\")", "true"},
        {"contains([1, 2], \"1\")", "false"},
        {"distinct([\"a\", \"b\", \"a\"])", "[\"a\", \"b\"]"},
        {"element([\"a\", \"b\", \"c\"], 4)", "\"b\""},
        {"flatten([[1, [2]], 3, [[]]])", "[1, 2, 3]"},
        {"index([\"a\", \"b\"], \"b\")", "1"},
        {"length(\"héllo\")", "5"},
        {"length(local.m)", "2"},
        {"one([])", "null"},
        {"one(toset([\"a\"]))", "\"a\""},
        {"reverse([1, 2, 3])", "[3, 2, 1]"},
        {"setintersection([\"a\", \"b\"], [\"b\"])", "[\"b\"]"},
        {"setsubtract([\"a\", \"b\"], [\"b\"])", "[\"a\"]"},
        {"setunion([\"b\"], [\"a\", \"b\"])", "[\"a\", \"b\"]"},
        {"slice([1, 2, 3, 4], 1, 3)", "[2, 3]"},
        {"sort([\"b\", \"a\", \"C\", \"a\"])", "[\"C\", \"a\", \"a\", \"b\"]"},
        {"max([3, 1, 2]...)", "3"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_maps(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"keys({ b = 1, a = 2 })", "[\"a\", \"b\"]"},
        {"values({ b = 1, a = 2 })", "[2, 1]"},
        {"lookup({ a = 1 }, \"a\", 2)", "1"},
        {"lookup({ a = 1 }, \"b\", 2)", "2"},
        {"merge({ a = 1 }, null, { b = 2 }, { a = 3 })", "{a = 3, b = 2}"},
        {"merge()", "{}"},
        {"zipmap([\"a\", \"b\"], [1, 2])", "{a = 1, b = 2}"},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_numbers(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"abs(-5.5)", "5.5"},
        {"ceil(1.2)", "2"},
        {"floor(-1.2)", "-2"},
        {"max(3, \"12\", 2)", "12"},
        {"min(3, 1, 2)", "1"},
        {"sum([1, 2.5])", "3.5"},
        {"range(3)", "[0, 1, 2]"},
        {"range(1, 4)", "[1, 2, 3]"},
        {"range(5, 1, -2)", "[5, 3]"},
        {"range(3, 0)", "[3, 2, 1]"},
        {"range(0)", "[]"},
        {"cidrsubnet(\"10.0.0.0/16\", 8, 2)", "\"10.0.2.0/24\""},
        {"cidrsubnet(\"10.1.2.3/8\", 4, 15)", "\"10.240.0.0/12\""},
        {"cidrsubnet(\"fd00::/48\", 16, 5)", "\"fd00:0:0:5::/64\""},
        {"cidrsubnet(\"0.0.0.0/0\", 0, 0)", "\"0.0.0.0/0\""},
        {"cidrhost(\"10.0.0.0/24\", 5)", "\"10.0.0.5\""},
        {"cidrhost(\"10.0.0.0/24\", -2)", "\"10.0.0.254\""},
        {"cidrhost(\"fd00::/64\", 5)", "\"fd00::5\""},
        {"cidrnetmask(\"10.0.0.0/12\")", "\"255.240.0.0\""},
    };
    assert_values(cases, ARRAY_LEN(cases));
}

static void test_conversions(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"tostring(5)", "\"5\""},
        {"tostring(1.50)", "\"1.5\""},
        {"tostring(null)", "null"},
        {"tonumber(\"5.5\")", "5.5"},
        {"tobool(\"true\")", "true"},
        {"tolist([\"a\", 1])", "[\"a\", \"1\"]"},
        {"tolist(toset([\"b\", \"a\"]))", "[\"a\", \"b\"]"},
        {"toset([\"b\", \"a\", \"b\"])", "[\"a\", \"b\"]"},
        {"tomap({ a = 1, b = \"x\" })", "{a = \"1\", b = \"x\"}"},
        {"base64encode(\"héllo\")", "\"aMOpbGxv\""},
        {"base64decode(\"aGk=\")", "\"hi\""},
        {"jsonencode({ b = 1, a = [null, true, 1.5, \"<\"] })",
         "\"{\\\"a\\\":[null,true,1.5,\\\"\\\\u003c\\\"],\\\"b\\\":1}\""},
        {"jsondecode(\"{\\\"a\\\":[1,2.5,null]}\").a[1]", "2.5"},
        {"try(1 / 0, local.n[7], \"x\")", "\"x\""},
        {"can(local.m.z)", "false"},
        {"can(local.m.x)", "true"},
        {"sensitive(\"a\")", NULL},
        {"nonsensitive(sensitive(\"a\"))", "\"a\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (cases[i].expected != NULL) {
            assert_value(cases[i].expr, cases[i].expected);
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"fooo(1)", "unknown function fooo"},
        {"file(\"x\")", "unknown function file"},
        {"upper()", "upper takes exactly 1 argument, not 0"},
        {"range()", "range takes at least 1 argument, not 0"},
        {"lookup(local.m, \"a\", 1, 2)", "lookup takes at most 3 arguments, not 4"},
        {"upper([])", "upper: argument 1 must be a string, not a list"},
        {"upper(null)", "upper: argument 1 must be a string, not null"},
        {"upper(\"É\")", "upper: letters beyond ASCII are not supported"},
        {"abs(\"x\")", "abs: argument 1 must be a number, not \"x\""},
        {"substr(\"a\", 0.5, 1)", "substr: argument 2 must be a whole number, not 0.5"},
        {"substr(\"a\", 0, -2)", "substr: the length must be at least -1, which is the rest"},
        {"indent(-1, \"a\")", "indent: the number of spaces must be between 0 and 1000"},
        {"replace(\"a\", \"/a/\", \"b\")", "replace: regular expressions are not supported"},
        {"join(\",\", [[]])", "join: element 0 must be a string, not a list"},
        {"join(\",\", \"a\")", "join: argument 2 must be a list or set, not \"a\""},
        {"element([], 0)", "element: the list is empty"},
        {"element([1], -1)", "element: the index must not be negative"},
        {"slice([1], 0, 2)", "slice: from 0 to 2 is not within the list of 1"},
        {"index([1], 2)", "index: the list has no such element"},
        {"one([1, 2])", "one: the list has 2 elements, not one or none"},
        {"lookup(local.m, \"z\")",
         "lookup: the map has no key \"z\", and there is no third argument instead of it"},
        {"merge([1])", "merge: argument 1 must be a map or object, not a list"},
        {"zipmap([\"a\"], [])", "zipmap: 1 keys and 0 values"},
        {"sum([])", "sum: the list is empty"},
        {"range(0, 5, 0)", "range: the step must lead from the start to the limit"},
        {"range(0, 5, -1)", "range: the step must lead from the start to the limit"},
        {"range(2000)", "range: more than 1024 numbers"},
        {"coalesce(null, \"\")", "coalesce: every argument is null or empty"},
        {"tonumber(\"x\")", "tonumber: a number is needed, not \"x\""},
        {"toset(\"x\")", "toset: a list or set is needed, not \"x\""},
        {"base64decode(\"?\")", "base64decode: the string is not base64"},
        {"base64decode(\"/w==\")", "base64decode: what the string encodes is no text (UTF-8)"},
        {"jsondecode(\"[1\")",
         "jsondecode: \",\" or \"]\" is expected here, at byte 2 of the JSON text"},
        {"try(1 / 0)", "try: none of the arguments can be evaluated"},
        {"cidrhost(\"10.0.0.0/30\", 4)", "cidrhost: the network has no address 4"},
        {"cidrhost(\"10.0.0.0\", 1)",
         "cidrhost: a network such as \"10.0.0.0/16\" is needed, not \"10.0.0.0\""},
        {"cidrsubnet(\"10.0.0.0/30\", 3, 0)",
         "cidrsubnet: the prefix of 30 bits cannot be longer by 3"},
        {"cidrsubnet(\"10.0.0.0/24\", 2, 4)", "cidrsubnet: 2 bits cannot hold the number 4"},
        {"format(\"%d\", 1.5)", "format: %d takes a whole number"},
        {"format(\"%d\", \"x\")", "format: %d takes a number, not \"x\""},
        {"format(\"%s\")", "format: there is no argument 1"},
        {"format(\"a\", 1)", "format: the text has no verb for argument 1"},
        {"format(\"%s\", [1])", "format: %s takes a string, not a list"},
        {"format(\"%99999d\", 1)", "format: a width or precision beyond 1000"},
        {"formatlist(\"%s%s\", [1], [1, 2])", "formatlist: the lists have 1 and 2 elements"},
        {"max(5...)", "what stands before ... must be a list, not 5"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_refused(cases[i].expr, cases[i].expected);
    }
}

/* What is sensitive stays so through every function, and never stands in a message. */
static void test_sensitive(void **state)
{
    (void)state;
    static const char *const exprs[] = {
        "upper(var.p)",
        "\"x${var.p}\"",
        "[var.p][0]",
        "{ a = var.p }.a",
        "jsonencode([var.p])",
        "join(\",\", [var.p])",
        "var.p == \"a\"",
        "var.p == \"a\" ? 1 : 2",
        "length(var.p)",
        "merge({ a = var.p }).a",
        "element([var.p], 0)",
        "flatten([[var.p]])[0]",
        "format(\"%s\", var.p)",
        "[for x in [var.p] : x][0]",
        "try(var.p, 1)",
        "coalesce(var.p, \"x\")",
        "<<EOT\n${var.p}\nEOT\n",
        "split(\",\", var.p)",
        "sensitive(1)",
        "!(var.p == \"x\")",
        "values({ a = var.p })[0]",
        "one({ a = var.p }[*].a)",
        "concat([var.p])[0]",
        "toset([var.p])",
    };
    for (size_t i = 0; i < ARRAY_LEN(exprs); i++) {
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("variable \"p\" {\n  sensitive = true\n  default = \"s3cret\"\n}\n"
                                "output \"v\" {\n  sensitive = false\n  value = %s\n}\n",
                                exprs[i]);
        Loaded loaded = load_text(text);
        const char *found = diagnostics_text(&loaded);
        if (strstr(found, "output \"v\" shows a sensitive value") == NULL) {
            fail_msg("%s\n%s", exprs[i], found);
        }
        loaded_done(&loaded);
    }
    Loaded loaded = load_text("variable \"p\" {\n  sensitive = true\n  default = \"s3cret\"\n}\n"
                              "locals {\n  a = 1 + var.p\n  b = [1][var.p]\n  c = tonumber(var.p)\n"
                              "  d = jsondecode(var.p)\n  e = lookup({}, var.p)\n}\n");
    assert_int_equal(loaded.diagnostics.errors, 5);
    assert_null(strstr(diagnostics_text(&loaded), "s3cret\","));
    for (size_t i = 0; i < loaded.diagnostics.list.len; i++) {
        assert_null(strstr(loaded.diagnostics.list.items[i].message, "s3cret"));
    }
    loaded_done(&loaded);
}

/* Unknown in, unknown out; what is known apart from it stays known. */
static void test_unknown(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"aws_security_group.a.id", "(known after apply)"},
        {"\"x-${aws_security_group.a.id}\"", "(known after apply)"},
        {"upper(aws_security_group.a.id)", "(known after apply)"},
        {"[aws_security_group.a.id, 1]", "[(known after apply), 1]"},
        {"length([aws_security_group.a.id])", "1"},
        {"join(\",\", [aws_security_group.a.id])", "(known after apply)"},
        {"merge({ a = aws_security_group.a.id }, { b = 1 })", "{a = (known after apply), b = 1}"},
        {"jsonencode({ a = aws_security_group.a.id })", "(known after apply)"},
        {"aws_security_group.a.id == \"a\" ? 1 : 2", "(known after apply)"},
        {"aws_security_group.a.id == \"a\" && false", "false"},
        {"true || aws_security_group.a.id == \"a\"", "true"},
        {"[for x in [aws_security_group.a.id] : x]", "[(known after apply)]"},
        {"[for x in [aws_security_group.a.id] : x if x != \"\"]", "(known after apply)"},
        {"{ for x in [aws_security_group.a.id] : x => 1 }", "(known after apply)"},
        {"coalesce(\"a\", aws_security_group.a.id)", "\"a\""},
        {"can(aws_security_group.a.id)", "(known after apply)"},
        {"tonumber(aws_security_group.a.id) + 1", "(known after apply)"},
        {"keys({ a = aws_security_group.a.id })", "[\"a\"]"},
        {"aws_security_group.a.name", "\"n\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(mem_free_ptr)
        char *text = mem_printf("resource \"aws_security_group\" \"a\" { name = \"n\" }\n"
                                "output \"v\" {\n  value = %s\n}\n",
                                cases[i].expr);
        Loaded loaded = load_text(text);
        must_load(&loaded);
        const char *value = output_of(&loaded, "v");
        if (strcmp(value, cases[i].expected) != 0) {
            fail_msg("%s is %s, expected %s", cases[i].expr, value, cases[i].expected);
        }
        loaded_done(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings), cmocka_unit_test(test_format),
        cmocka_unit_test(test_lists),   cmocka_unit_test(test_maps),
        cmocka_unit_test(test_numbers), cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_sensitive),
        cmocka_unit_test(test_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
