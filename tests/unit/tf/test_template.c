/* Strings, heredocs and directives. Values were compared with those of Terraform 1.11. */
#include "fixture.h"

typedef struct Case {
    const char *expr;
    const char *expected; /* the text itself */
} Case;

static void assert_texts(const Case *cases, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        assert_value(cases[i].expr, shown(arena, tf_string(arena, slice_of(cases[i].expected))));
    }
}

static void test_quoted(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"\"\"", ""},
        {"\"a\\tb\\n\\\"\\\\\\u00e9\\U0001F600\"", "a\tb\n\"\\é😀"},
        {"\"${1}${true}${local.s}\"", "1truetext"},
        {"\"x${\"y${\"z\"}\"}\"", "xyz"},
        {"\"$${a} %%{b} $ % $$ %% $$$ %%%\"", "${a} %{b} $ % $$ %% $$$ %%%"},
        {"\"$$${local.s}\"", "$${local.s}"},
        {"\"a  ${~ local.s ~}  c\"", "atextc"},
        {"\"${ {a = \"}\"}.a }\"", "}"},
        {"\"${\n  local.s\n}\"", "text"},
        {"\"a # b // c\"", "a # b // c"},
    };
    assert_texts(cases, ARRAY_LEN(cases));
    assert_value("\"${local.n}\"", "[\"a\", \"b\"]");
    assert_value("\"${1}\"", "1");
}

static void test_directives(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"\"%{ if true }yes%{ else }no%{ endif }\"", "yes"},
        {"\"%{ if false }yes%{ endif }|\"", "|"},
        {"\"%{ for x in local.n }<${x}>%{ endfor }\"", "<a><b>"},
        {"\"%{ for i, x in local.n ~}  ${i}${x} %{ endfor ~}\"", "0a 1b "},
        {"\"%{ for k, v in local.m }${k}%{ if v > 1 }=${v}%{ endif }%{ endfor }\"", "xy=2"},
        {"\"%{ if true ~}  a  %{~ else ~}  b  %{~ endif }|\"", "a|"},
    };
    assert_texts(cases, ARRAY_LEN(cases));
}

static void test_heredocs(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"<<EOT\nhello\n  world\nEOT", "hello\n  world\n"},
        {"<<EOT\nEOT", ""},
        {"<<EOT\n  x\n  EOT", "  x\n"},
        {"<<EOT\na \\n \"q\" $${no} %%{no} ${\"in\\n\"}b\nEOT", "a \\n \"q\" ${no} %{no} in\nb\n"},
        {"<<-EOT\n    hello\n      world\n\n    end\n  EOT", "hello\n  world\n\nend\n"},
        {"<<-EOT\n      ${local.s}\n    x\n     y\n  EOT", "  text\nx\n y\n"},
        {"<<-EOT\n\ttab\n\t  more\n  EOT", "tab\n  more\n"},
        {"<<-EOT\n    a\n   ${local.s}b\n      c\n  EOT", " a\ntextb\n   c\n"},
        {"<<-EOT\n    a\n\n      \n    b\n  EOT", "a\n\n      \nb\n"},
        {"<<-EOT\n    %{ for x in local.n ~}\n    server ${x}\n    %{ endfor ~}\n    done\n  EOT",
         "    server a\n    server b\n    done\n"},
        {"upper(<<EOT\nx\nEOT\n)", "X\n"},
    };
    assert_texts(cases, ARRAY_LEN(cases));
    assert_value("[<<EOT\none\nEOT\n  , \"two\"]", "[\"one\\n\", \"two\"]");
}

static void test_refused(void **state)
{
    (void)state;
    static const Case cases[] = {
        {"\"abc", "this string has no end"},
        {"\"\\x\"", "unknown escape in a string"},
        {"\"\\u12\"", "4 hexadecimal digits are expected behind \\u"},
        {"\"\\ud800\"", "there is no character U+D800"},
        {"\"${local.n} \"", "a list cannot be put into a string"},
        {"\"${null} \"", "null cannot be put into a string"},
        {"\"${local.s\"", "\"}\" is expected here, not a string"},
        {"\"${}\"", "a value is expected here, not \"}\""},
        {"\"%{ if true }\"", "this %{ if } has no end"},
        {"\"%{ for x in [] }\"", "this %{ for } has no end"},
        {"\"%{ endif }\"", "this directive ends nothing"},
        {"\"%{ if true }%{ endfor }\"", "this %{ if } has no end"},
        {"\"%{ foo }\"", "if, else, endif, for or endfor is expected here, not \"foo\""},
        {"\"%{ if 5 }%{ endif }\"", "a condition must be true or false, not 5"},
        {"\"%{ for x in 5 }%{ endfor }\"", "a list, set or object is needed here, not 5"},
        {"<<EOT x", "a value is expected here, not \"<<EOT \""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_refused(cases[i].expr, cases[i].expected);
    }
}

static void test_unclosed_heredoc(void **state)
{
    (void)state;
    assert_diagnostics("locals {\n  a = <<EOT\nx\n}\n",
                       "error: main.tf:1: this block has no end\n"
                       "  1 | locals {\n"
                       "    close it with }\n"
                       "error: main.tf:2: this heredoc has no end\n"
                       "  2 |   a = <<EOT\n"
                       "    end it with a line that holds only EOT\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quoted),           cmocka_unit_test(test_directives),
        cmocka_unit_test(test_heredocs),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unclosed_heredoc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
