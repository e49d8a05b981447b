/* Where statements end, and whether one has begun, or is open still. */
#include "../unit.h"

#include "sql/sql.h"

/* The text with a '|' behind each of its statements that has ended. */
static void statements_mark(Slice text, Buf *out)
{
    SqlScan scan = {0};
    while (text.len > 0) {
        bool ended;
        size_t len = sql_scan_feed_statement(&scan, text, &ended);
        buf_append_slice(out, (Slice){text.data, len});
        buf_append_str(out, ended ? "|" : "");
        text = slice_skip(text, len);
    }
}

/* As psql cuts them. */
static void test_statements(void **state)
{
    (void)state;
    const char *marked[] = {
        "select 1",
        "select 1;|",
        ";|;|",
        "select ';';| select \"a;\";| x",
        "select $a$;$a$;|x",
        "-- ;\nselect 1/* ; */;| select 2 -- ;",
        "create rule r as on insert to t do (delete from a; delete from b);| x",
        "select 1);| select (2; 3);| x",
        "create function f() returns int begin atomic select case 1 when 1 then 2 end; end;| x",
        "create or replace procedure p() begin atomic select \"end\"; end;| x",
        "create function \"begin\"(x int) returns int language sql as $$;$$;| begin;| end;|",
        "begin;| create table t (a int);| end;| x",
    };
    for (size_t i = 0; i < ARRAY_LEN(marked); i++) {
        Buf text;
        Buf found;
        buf_init(&text, BUF_MAX_DEFAULT);
        buf_init(&found, BUF_MAX_DEFAULT);
        for (Slice rest = slice_of(marked[i]); rest.len > 0;) {
            buf_append_slice(&text, slice_cut(&rest, '|'));
        }
        statements_mark(buf_slice(&text), &found);
        assert_string_equal(buf_str(&found), marked[i]);
        buf_done(&text);
        buf_done(&found);
    }
}

static bool is_open_behind(const char *text)
{
    SqlScan scan = {0};
    sql_scan_feed(&scan, slice_of(text));
    return sql_scan_is_open(&scan);
}

static void test_what_has_no_end(void **state)
{
    (void)state;
    const char *open[] = {"select 'a",   "select 'a'' ", "select \"a", "select $a$ $",
                          "select /* *", "select (1",    "select e'\\"};
    const char *closed[] = {
        "",         "select",      "select 'a'",   "select \"a\"", "select $a$b$a$",
        "select /", "select 1 --", "select 1 /**/"};
    for (size_t i = 0; i < ARRAY_LEN(open); i++) {
        assert_true(is_open_behind(open[i]));
    }
    for (size_t i = 0; i < ARRAY_LEN(closed); i++) {
        assert_false(is_open_behind(closed[i]));
    }
}

static void test_blank(void **state)
{
    (void)state;
    const char *blank[] = {"", " \n", "-- select\n", "/* select */", ";", "-", "/"};
    const char *begun[] = {"s", "(", "'", "\"", "-- x\ns", "$", "-1"};
    for (size_t i = 0; i < ARRAY_LEN(blank) + ARRAY_LEN(begun); i++) {
        bool is_blank = i < ARRAY_LEN(blank);
        SqlScan scan = {0};
        sql_scan_feed(&scan, slice_of(is_blank ? blank[i] : begun[i - ARRAY_LEN(blank)]));
        assert_int_equal(sql_scan_is_blank(&scan), is_blank);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_what_has_no_end),
        cmocka_unit_test(test_blank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
