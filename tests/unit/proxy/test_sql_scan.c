/* What pins a session, and what does not, however the text is cut. */
#include "../unit.h"

#include "proxy/sql_scan_priv.h"

typedef struct Case {
    const char *text;
    PinReason pin;
} Case;

static SqlScan scan_cut(Slice text, size_t cut, SqlDialect dialect)
{
    SqlScan scan = {.dialect = dialect};
    sql_scan_feed(&scan, (Slice){text.data, cut});
    sql_scan_feed(&scan, slice_skip(text, cut));
    sql_scan_end(&scan);
    return scan;
}

static void check_in(Slice text, PinReason pin, SqlDialect dialect)
{
    for (size_t cut = 0; cut <= text.len; cut++) {
        SqlScan scan = scan_cut(text, cut, dialect);
        if (scan.pin != pin) {
            fail_msg("%.*s: %s, not %s", SLICE_FMT(text), pin_reason_name(scan.pin),
                     pin_reason_name(pin));
        }
    }
}

static void check_all(const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_in(slice_of(cases[i].text), cases[i].pin, (SqlDialect){0});
    }
}

static void test_quiet_statements(void **state)
{
    (void)state;
    const char *quiet[] = {
        "",
        ";",
        " ; ;",
        "select 1",
        "SELECT 'set x = 1'; select 2",
        "(select 1) union (select 2)",
        "((select 1))",
        "-- set x\nselect 1",
        "/* set /* x */ ; set */ select 1",
        "insert into t values ('a;b')",
        "update t set a = 1",
        "delete from t",
        "values (1)",
        "table t",
        "with a as (select 1) select * from a",
        "begin",
        "start transaction",
        "commit",
        "end",
        "rollback to s",
        "abort",
        "savepoint s",
        "release s",
        "begin; insert into t values (1); commit",
        "copy t from stdin",
        "copy t to stdout",
        "truncate t",
        "create table t (set_name int)",
        "create temporal_t",
        "alter table t add x int",
        "drop table t",
        "grant select on t to u",
        "comment on table t is 'set x'",
        "vacuum t",
        "explain analyze select 1",
        "show search_path",
        "notify c, 'x'",
        "select pg_notify('a','b')",
        "lock table t",
        "fetch 1 from c",
        "close c",
        "declare c cursor for select 1",
        "declare c cursor without hold for select 1",
        "set local statement_timeout = 5",
        "SET LOCAL search_path TO 'tenant_1', public",
        "set local role joe",
        "set transaction isolation level serializable",
        "set constraints all deferred",
        "reset all",
        "reset search_path",
        "discard all",
        "unlisten *",
        "deallocate all",
        "prepare transaction 'x'",
        "commit prepared 'x'",
        "call p(1)",
        "merge into t using s on true",
        "select pg_advisory_xact_lock(1)",
        "select pg_try_advisory_xact_lock(1)",
        "select pg_advisory_unlock_all()",
        "select nextval('s')",
        "select $1::text, $2",
        "select 1 as temp",
        "select temp, temporary from sensors",
        "insert into temp values (1)",
        "select 'pg_advisory_lock'",
        "select $$ set_config $$",
        "select $a$ $b$ set_config $ $a$",
        "select E'\\'; set x = 1; --'",
        "select a->>'b', a-1, a/2 from t",
        "select U&'set'",
        "select \"a;b\" from t",
        "create rule r as on insert to t do (delete from a; delete from b)",
        "select * into t2 from t",
        "select 1 for update",
        "select date'2020-01-01'",
        "refresh materialized view v",
        "analyze",
        "set local time zone 'UTC'",
        "select e'a'\n'b\\'; set x=1 --'",
        "select 1 /* \"' */",
        "select '--'; select '/*'",
        "create function f() returns int language sql set search_path = a as $$ select 1 $$",
        "explain select 1 as execute_me",
    };
    for (size_t i = 0; i < ARRAY_LEN(quiet); i++) {
        check_in(slice_of(quiet[i]), PIN_NONE, (SqlDialect){0});
    }
}

static void test_pinning_statements(void **state)
{
    (void)state;
    const Case cases[] = {
        {"set x = 1", PIN_SETTING},
        {"SET/**/search_path to a", PIN_SETTING},
        {"select 1; set x to 1", PIN_SETTING},
        {"select ';'; set x to 1", PIN_SETTING},
        {"/* a /* b */ c */ set x to 1", PIN_SETTING},
        {"-- x\rset x to 1", PIN_SETTING},
        {"set session characteristics as transaction read only", PIN_SETTING},
        {"set \"local\" = 1", PIN_SETTING},
        {"set local.x = 1", PIN_SETTING},
        {"set transaction.x = 1", PIN_SETTING},
        {"set constraints . x = 1", PIN_SETTING},
        {"set local app.user = '5'", PIN_SETTING},
        {"set local app /* */ . user = '5'", PIN_SETTING},
        {"set local \"app.user\" = '5'", PIN_SETTING},
        {"reset app.user", PIN_SETTING},
        {"set local standard_conforming_strings = off", PIN_SETTING},
        {"set local client_encoding = sjis", PIN_SETTING},
        {"set local names 'sjis'", PIN_SETTING},
        {"set role joe", PIN_SETTING},
        {"set time zone 'UTC'", PIN_SETTING},
        {"select set_config('a.b', 'x', true)", PIN_SETTING},
        {"select pg_catalog . \"set_config\"('a','b',false)", PIN_SETTING},
        {"SELECT SET_CONFIG('a','b',false)", PIN_SETTING},
        {"prepare p as select 1", PIN_SQL_PREPARE},
        {"prepare transaction as select 1", PIN_SQL_PREPARE},
        {"prepare transaction (int) as select 1", PIN_SQL_PREPARE},
        {"execute p", PIN_SQL_PREPARE},
        {"explain analyze execute p", PIN_SQL_PREPARE},
        {"listen c", PIN_LISTEN},
        {"load 'x'", PIN_LOAD},
        {"create extension x", PIN_LOAD},
        {"do $$ begin end $$", PIN_ANONYMOUS_CODE},
        {"create temp table t (a int)", PIN_TEMPORARY},
        {"create or replace temporary view v as select 1", PIN_TEMPORARY},
        {"create local temp table t (a int)", PIN_TEMPORARY},
        {"create global temporary table t (a int)", PIN_TEMPORARY},
        {"select 1 into temp t", PIN_TEMPORARY},
        {"select 1 into local temporary t", PIN_TEMPORARY},
        {"with a as (select 1) select * into temp t from a", PIN_TEMPORARY},
        {"create table pg_temp.t (a int)", PIN_TEMPORARY},
        {"set local search_path = pg_temp", PIN_TEMPORARY},
        {"set local search_path = 'pg_temp'", PIN_TEMPORARY},
        {"set local search_path = public, 'PG_TEMP_3'", PIN_TEMPORARY},
        {"set local search_path = $$pg_temp$$", PIN_SETTING},
        {"set local search_path = e'pg\\137temp'", PIN_SETTING},
        {"set local search_path = U&'pg\\005ftemp'", PIN_SETTING},
        {"explain analyze create temp table t as select 1", PIN_TEMPORARY},
        {"declare c cursor with hold for select 1", PIN_HOLD_CURSOR},
        {"select pg_advisory_lock(1)", PIN_ADVISORY_LOCK},
        {"select pg_catalog.pg_try_advisory_lock_shared(1)", PIN_ADVISORY_LOCK},
        {"select currval('s')", PIN_SEQUENCE_VALUE},
        {"insert into t values (1); select lastval()", PIN_SEQUENCE_VALUE},
        {"select setseed(0.5)", PIN_STATE_FUNCTION},
        {"select dblink_connect('x')", PIN_STATE_FUNCTION},
        {"select query_to_xml('select 1', true, true, '')", PIN_STATE_FUNCTION},
        {"select U&\"set\\005fconfig\"('a','b',false)", PIN_UNKNOWN_STATEMENT},
        {"frobnicate", PIN_UNKNOWN_STATEMENT},
        {"\"select\" 1", PIN_UNKNOWN_STATEMENT},
        {"{select 1}", PIN_UNKNOWN_STATEMENT},
        {"$a$ x $a$", PIN_UNKNOWN_STATEMENT},
        {"select $abc from t", PIN_UNKNOWN_STATEMENT},
        /* What looks like a string, but is not where it seems to be. */
        {"select 'a\\'; set x = 1 --'", PIN_SETTING},
        {"select E'a\\\\'; set x = 1 --'", PIN_SETTING},
        {"select $$a$$; set x = 1", PIN_SETTING},
        {"select $a$ $$ $a$; set x = 1", PIN_SETTING},
        {"select $a$ $ab$ $a$$a$; set x$a$; set x = 1", PIN_SETTING},
        {"select a$b$; set x = 1; select a$b$", PIN_SETTING},
        {"select 1--'\n; set x = 1 --'", PIN_SETTING},
        {"select '' '; set x = 1 --'; set y = 1", PIN_SETTING},
        {"select e'a' , 'b\\'; set x=1 --'", PIN_SETTING},
        {"select \"a\"\"\"; set x = 1", PIN_SETTING},
        {"select /* ' */ 1; set x = 1", PIN_SETTING},
        {"select xe'a\\'; set x = 1 --'", PIN_SETTING},
    };
    check_all(cases, ARRAY_LEN(cases));
}

static void test_dialects(void **state)
{
    (void)state;
    SqlDialect backslash = {.backslash_strings = true};
    check_in(SLICE("select 'a'"), PIN_NONE, backslash);
    check_in(SLICE("select 'a\\'; set x=1'"), PIN_ENCODING, backslash);
    SqlDialect unsafe = {.unsafe_encoding = true};
    check_in(SLICE("select 'a'"), PIN_NONE, unsafe);
    check_in(SLICE("select '\x83\x5c'"), PIN_ENCODING, unsafe);
    SqlDialect baseline = {.baseline_set = true};
    check_in(SLICE("reset all"), PIN_SETTING, baseline);
    check_in(SLICE("discard all"), PIN_SETTING, baseline);
    check_in(SLICE("select 1"), PIN_NONE, baseline);
    assert_true(sql_encoding_is_safe(SLICE("UTF8")));
    assert_false(sql_encoding_is_safe(SLICE("gbk")));
}

static void test_text_ends_at_nul(void **state)
{
    (void)state;
    check_in(SLICE("select 1\0; set x = 1"), PIN_NONE, (SqlDialect){0});
    check_in(SLICE("set x = 1\0select"), PIN_SETTING, (SqlDialect){0});
}

static void test_writes(void **state)
{
    (void)state;
    const char *reads[] = {"select 1",
                           "show x",
                           "begin",
                           "commit",
                           "select 1 for update",
                           "select 1 for no key update",
                           "explain select 1",
                           "set local x = 1"};
    const char *writes[] = {"insert into t values (1)",
                            "with a as (insert into t values (1) returning *) select * from a",
                            "select nextval('s')",
                            "select setval('s', 1)",
                            "explain analyze insert into t values (1)",
                            "copy t from stdin",
                            "call p()",
                            "begin; update t set a = 1",
                            "frobnicate"};
    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        assert_false(scan_cut(slice_of(reads[i]), 0, (SqlDialect){0}).writes);
    }
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        assert_true(scan_cut(slice_of(writes[i]), 0, (SqlDialect){0}).writes);
    }
}

static void test_long_texts(void **state)
{
    (void)state;
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "insert into t values ('");
    for (int i = 0; i < 100000; i++) {
        buf_append_str(&text, "set_config;");
    }
    buf_append_str(&text, "')");
    assert_int_equal(scan_cut(buf_slice(&text), 5000, (SqlDialect){0}).pin, PIN_NONE);
    buf_append_str(&text, "; listen x");
    assert_int_equal(scan_cut(buf_slice(&text), text.len - 4, (SqlDialect){0}).pin, PIN_LISTEN);
    buf_clear(&text);
    buf_append_str(&text, "select $");
    for (int i = 0; i < 100; i++) {
        buf_append_char(&text, 'a');
    }
    buf_append_str(&text, "$ x $");
    assert_int_equal(scan_cut(buf_slice(&text), 3, (SqlDialect){0}).pin, PIN_UNKNOWN_STATEMENT);
    buf_done(&text);
}

static void test_reasons_have_names(void **state)
{
    (void)state;
    for (PinReason reason = PIN_NONE; reason < PIN_REASON_COUNT; reason++) {
        assert_non_null(pin_reason_name(reason));
        assert_true(slice_ends(slice_of(pin_reason_sentence(reason)), "."));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet_statements),
        cmocka_unit_test(test_pinning_statements),
        cmocka_unit_test(test_dialects),
        cmocka_unit_test(test_text_ends_at_nul),
        cmocka_unit_test(test_writes),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_reasons_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
