/* Statements of a text: where each begins, and what is said of it. */
#include "../unit.h"

#include "proxy/admin/explain_priv.h"

/* "LINE TEXT[ !REASON][ …]|…": "…" where it has no end. */
static void explain_format(const char *text, SqlDialect dialect, Buf *out)
{
    Explain explain = {.dialect = dialect, .rest = slice_of(text)};
    Explained explained;
    while (explain_next(&explain, &explained)) {
        buf_printf(out, "%s%zu %.*s", out->len > 0 ? "|" : "", explained.line,
                   SLICE_FMT(explained.text));
        if (explained.effects.pin != PIN_NONE) {
            buf_printf(out, " !%s", pin_reason_name(explained.effects.pin));
        }
        buf_append_str(out, explained.open ? " …" : "");
    }
}

static void check_in(const char *text, const char *expected, SqlDialect dialect)
{
    Buf found;
    buf_init(&found, BUF_MAX_DEFAULT);
    explain_format(text, dialect, &found);
    assert_string_equal(buf_str(&found), expected);
    buf_done(&found);
}

static void check(const char *text, const char *expected)
{
    check_in(text, expected, (SqlDialect){0});
}

static void test_statements(void **state)
{
    (void)state;
    check("", "");
    check(" ;; -- nothing\n /* here */ ;", "");
    check("select 1", "1 select 1");
    check("select 1;select 2\n;\n\n select\n3 ; ", "1 select 1|1 select 2|4 select\n3");
    check("-- a\n/* b\n */ listen x;\ncommit", "3 listen x !listen|4 commit");
    check("(select 1);\n'x';", "1 (select 1)|2 'x' !unknown_statement");
    check("select ';\n';\nload 'x'", "1 select ';\n'|3 load 'x' !load");
    check("create function f() begin atomic\nselect 1;\nend;\ndo ''",
          "1 create function f() begin atomic\nselect 1;\nend|4 do '' !anonymous_code");
    /* Each is judged on its own. */
    check("prepare a as select 1; select 1", "1 prepare a as select 1 !sql_prepare|1 select 1");
    check("update t set a = 1; select * from pg_settings",
          "1 update t set a = 1|1 select * from pg_settings");
}

static void test_psql_commands(void **state)
{
    (void)state;
    check("\\set x 'a;\nselect 1;\n  \\i b.sql\n\\q", "2 select 1");
    check("select 1 \\gx\n;", "1 select 1 \\gx");
}

static void test_what_has_no_end(void **state)
{
    (void)state;
    check("select 1;\nselect '2;\n", "1 select 1|2 select '2; …");
    check("select (1;", "1 select (1; …");
    check("select $a$ ;$b$", "1 select $a$ ;$b$ …");
    check("create procedure p() begin atomic select 1;",
          "1 create procedure p() begin atomic select 1; …");
}

static void test_dialects(void **state)
{
    (void)state;
    check_in("select 'a\\'; select 1", "1 select 'a\\' !encoding|1 select 1",
             (SqlDialect){.backslash_strings = true});
    check_in("select '\x83\x5c'; select 1", "1 select '\x83\x5c' !encoding|1 select 1",
             (SqlDialect){.unsafe_encoding = true});
}

static void test_remarks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *remarks;
    } cases[] = {
        {"select 1", ""},
        {"set x = 1", "sets x"},
        {"select set_config('a', '1', false), set_config('b.c', '2', false)", "sets a, b.c"},
        {"reset x", "resets x"},
        {"reset all", "resets all settings; texts behind it may be read otherwise"},
        {"set local x = 1", "sets for its transaction only"},
        {"set names 'utf8'", "sets client_encoding; texts behind it may be read otherwise"},
        {"insert into t values (1)", "may move a sequence"},
        {"vacuum", "settings go ahead of it in a round trip of their own; may move a sequence"},
        {"unlisten *", "may end a pin"},
        {"show weir.causal_token", "shows what the session has written, as a token"},
        {"set weir.causal_token = ''",
         "sets weir.causal_token; from the next transaction on replicas must have what the token "
         "says"},
        {"set local weir.causal_token = ''",
         "sets weir.causal_token; is refused: weir.causal_token cannot be set LOCAL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Explain explain = {.rest = slice_of(cases[i].text)};
        Explained explained;
        Buf found;
        buf_init(&found, BUF_MAX_DEFAULT);
        assert_true(explain_next(&explain, &explained));
        explain_remarks(&explained.effects, &found);
        assert_string_equal(buf_str(&found), cases[i].remarks);
        buf_done(&found);
    }
}

static void test_excerpts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *excerpt; /* of at most 10 bytes */
    } cases[] = {
        {"", ""},
        {"select 1", "select 1"},
        {"a \t\r\n  b", "a b"},
        {"0123456789", "0123456789"},
        {"0123456789a", "0123456789…"},
        {"012345678ä", "012345678…"},
        {"ä\xff\x1b[0m\x7f\xc2\x9b", "ä??[0m??"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Buf found;
        buf_init(&found, BUF_MAX_DEFAULT);
        explain_excerpt(slice_of(cases[i].text), 10, &found);
        assert_string_equal(buf_str(&found), cases[i].excerpt);
        buf_done(&found);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),      cmocka_unit_test(test_psql_commands),
        cmocka_unit_test(test_what_has_no_end), cmocka_unit_test(test_dialects),
        cmocka_unit_test(test_remarks),         cmocka_unit_test(test_excerpts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
