/* What pins a session, what changes settings, and what does not, however the text is cut. */
#include "cut.h"

typedef struct Case {
    const char *text;
    PinReason pin;
    const char *touched; /* "sNAME rNAME a l"; NULL: nothing */
} Case;

static void check_in(Slice text, PinReason pin, SqlDialect dialect)
{
    check_touched(text, pin, "", dialect);
}

static void check_all(const Case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *touched = cases[i].touched != NULL ? cases[i].touched : "";
        check_touched(slice_of(cases[i].text), cases[i].pin, touched, (SqlDialect){0});
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
        "create rule r as on insert to t do (delete from a; delete from b;\n)",
        "create function f() returns bool begin atomic ;; return false; end",
        "select * into t2 from t",
        "select 1 for update",
        "select date'2020-01-01'",
        "refresh materialized view v",
        "analyze",
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
        {"prepare p as select 1", PIN_SQL_PREPARE, NULL},
        {"prepare transaction as select 1", PIN_SQL_PREPARE, NULL},
        {"prepare transaction (int) as select 1", PIN_SQL_PREPARE, NULL},
        {"execute p", PIN_SQL_PREPARE, NULL},
        {"explain analyze execute p", PIN_SQL_PREPARE, NULL},
        {"listen c", PIN_LISTEN, NULL},
        {"load 'x'", PIN_LOAD, NULL},
        {"create extension x", PIN_LOAD, NULL},
        {"do $$ begin end $$", PIN_ANONYMOUS_CODE, NULL},
        {"create temp table t (a int)", PIN_TEMPORARY, NULL},
        {"create or replace temporary view v as select 1", PIN_TEMPORARY, NULL},
        {"create local temp table t (a int)", PIN_TEMPORARY, NULL},
        {"create global temporary table t (a int)", PIN_TEMPORARY, NULL},
        {"select 1 into temp t", PIN_TEMPORARY, NULL},
        {"select 1 into local temporary t", PIN_TEMPORARY, NULL},
        {"with a as (select 1) select * into temp t from a", PIN_TEMPORARY, NULL},
        {"create table pg_temp.t (a int)", PIN_TEMPORARY, NULL},
        {"set local search_path = pg_temp", PIN_TEMPORARY, "l"},
        {"set local search_path = 'pg_temp'", PIN_TEMPORARY, "l"},
        {"set local search_path = public, 'PG_TEMP_3'", PIN_TEMPORARY, "l"},
        {"set local search_path = $$pg_temp$$", PIN_SETTING, "l"},
        {"set local search_path = e'pg\\137temp'", PIN_SETTING, "l"},
        {"set local search_path = U&'pg\\005ftemp'", PIN_SETTING, "l"},
        {"explain analyze create temp table t as select 1", PIN_TEMPORARY, NULL},
        {"declare c cursor with hold for select 1", PIN_HOLD_CURSOR, NULL},
        {"select pg_advisory_lock(1)", PIN_ADVISORY_LOCK, NULL},
        {"select pg_catalog.pg_try_advisory_lock_shared(1)", PIN_ADVISORY_LOCK, NULL},
        {"select currval('s')", PIN_SEQUENCE_VALUE, NULL},
        {"insert into t values (1); select lastval()", PIN_SEQUENCE_VALUE, NULL},
        {"select setseed(0.5)", PIN_STATE_FUNCTION, NULL},
        {"select dblink_connect('x')", PIN_STATE_FUNCTION, NULL},
        {"select query_to_xml('select 1', true, true, '')", PIN_STATE_FUNCTION, NULL},
        {"select U&\"set\\005fconfig\"('a','b',false)", PIN_UNKNOWN_STATEMENT, NULL},
        {"frobnicate", PIN_UNKNOWN_STATEMENT, NULL},
        {"\"select\" 1", PIN_UNKNOWN_STATEMENT, NULL},
        {"{select 1}", PIN_UNKNOWN_STATEMENT, NULL},
        {"$a$ x $a$", PIN_UNKNOWN_STATEMENT, NULL},
        {"select $abc from t", PIN_UNKNOWN_STATEMENT, NULL},
        /* What looks like a string, but is not where it seems to be. */
        {"select 'a\\'; set x = 1 --'", PIN_NONE, "sx"},
        {"select E'a\\\\'; set x = 1 --'", PIN_NONE, "sx"},
        {"select $$a$$; set x = 1", PIN_NONE, "sx"},
        {"select $a$ $$ $a$; set x = 1", PIN_NONE, "sx"},
        {"select $a$ $ab$ $a$$a$; set x$a$; set x = 1", PIN_NONE, "sx"},
        {"select a$b$; set x = 1; select a$b$", PIN_NONE, "sx"},
        {"select 1--'\n; set x = 1 --'", PIN_NONE, "sx"},
        {"select '' '; set x = 1 --'; set y = 1", PIN_NONE, "sy"},
        {"select e'a' , 'b\\'; set x=1 --'", PIN_NONE, "sx"},
        {"select \"a\"\"\"; set x = 1", PIN_NONE, "sx"},
        {"select /* ' */ 1; set x = 1", PIN_NONE, "sx"},
        {"select xe'a\\'; set x = 1 --'", PIN_NONE, "sx"},
    };
    check_all(cases, ARRAY_LEN(cases));
}

static void test_settings(void **state)
{
    (void)state;
    const Case cases[] = {
        {"set x = 1", PIN_NONE, "sx"},
        {"SET/**/search_path to a", PIN_NONE, "ssearch_path"},
        {"select 1; set x to 1", PIN_NONE, "sx"},
        {"select ';'; set x to 1", PIN_NONE, "sx"},
        {"/* a /* b */ c */ set x to 1", PIN_NONE, "sx"},
        {"-- x\rset X to 1; set Y = 'a', b; reset z", PIN_NONE, "sx sy rz"},
        {"set session x = 1", PIN_NONE, "sx"},
        {"set \"Session\" = 1", PIN_NONE, "ssession"},
        {"set session.x = 1", PIN_NONE, "ssession.x"},
        {"set x from current", PIN_NONE, "sx"},
        {"set x to default", PIN_NONE, "rx"},
        {"set x = default", PIN_NONE, "rx"},
        {"set x = 'default'", PIN_NONE, "sx"},
        {"set a . b . c = 1", PIN_NONE, "sa.b.c"},
        {"set \"a.b\" = 1", PIN_NONE, "sa.b"},
        {"set local x = 1", PIN_NONE, "l"},
        {"SET LOCAL search_path TO 'tenant_1', public", PIN_NONE, "l"},
        {"set local app.user = '5'", PIN_NONE, "l sapp.user"},
        {"set local app /* */ . user = '5'", PIN_NONE, "l sapp.user"},
        {"set local x = 1; set y = 1", PIN_NONE, "l sy"},
        {"set \"local\" = 1", PIN_NONE, "slocal"},
        {"set local.x = 1", PIN_NONE, "slocal.x"},
        {"set time zone 'UTC'", PIN_NONE, "stimezone"},
        {"set time zone interval '-08:00' hour to minute", PIN_NONE, "stimezone"},
        {"set local time zone local", PIN_NONE, "l"},
        {"set time.x = 1", PIN_NONE, "stime.x"},
        {"set names 'utf8'", PIN_NONE, "sclient_encoding"},
        {"set names", PIN_NONE, "sclient_encoding"},
        {"set schema 'a'", PIN_NONE, "ssearch_path"},
        {"set xml option content", PIN_NONE, "sxmloption"},
        {"set role joe", PIN_NONE, "srole"},
        {"set role 'joe'", PIN_NONE, "srole"},
        {"set role none", PIN_NONE, "rrole"},
        {"set role to joe", PIN_NONE, "srole"},
        {"set session characteristics as transaction read only", PIN_NONE,
         "sdefault_transaction_isolation sdefault_transaction_read_only "
         "sdefault_transaction_deferrable"},
        {"set session authorization default", PIN_NONE, "rrole"},
        {"reset session authorization", PIN_NONE, "rrole"},
        {"reset x", PIN_NONE, "rx"},
        {"reset app.user", PIN_NONE, "rapp.user"},
        {"reset \"App\".user", PIN_NONE, "rapp.user"},
        {"reset time zone", PIN_NONE, "rtimezone"},
        {"reset all", PIN_NONE, "a"},
        {"reset \"all\"", PIN_NONE, "rall"},
        {"reset transaction isolation level", PIN_NONE, NULL},
        {"discard all", PIN_NONE, "a"},
        {"discard plans; discard temp; discard sequences", PIN_NONE, NULL},
        {"set transaction isolation level serializable", PIN_NONE, NULL},
        {"set transaction_isolation = 'serializable'", PIN_NONE, NULL},
        {"set constraints all deferred", PIN_NONE, NULL},
        {"select set_config('A.b', 'x', true)", PIN_NONE, "l sa.b"},
        {"select pg_catalog . \"set_config\" ( 'a' , 'b', false), set_config('c', $1, false)",
         PIN_NONE, "l sa l sc"},
        {"SELECT SET_CONFIG('a','b',false)", PIN_NONE, "l sa"},
        {"set x", PIN_NONE, NULL},
        {"set", PIN_NONE, NULL},
        /* What cannot be named pins. */
        {"set transaction.x = 1", PIN_SETTING, NULL},
        {"set constraints . x = 1", PIN_SETTING, NULL},
        {"set names.x = 1", PIN_SETTING, NULL},
        {"set session authorization joe", PIN_SETTING, NULL},
        {"set session authorization 'joe'", PIN_SETTING, NULL},
        {"set session_authorization = joe", PIN_SETTING, NULL},
        {"set seed = 0.5", PIN_STATE_FUNCTION, NULL},
        {"set \"a'b\" = 1", PIN_SETTING, NULL},
        {"set local standard_conforming_strings = off", PIN_SETTING, NULL},
        {"set local client_encoding = sjis", PIN_SETTING, NULL},
        {"set local names 'sjis'", PIN_SETTING, NULL},
        {"set = 1", PIN_SETTING, NULL},
        {"select set_config($1, 'b', false)", PIN_SETTING, NULL},
        {"select set_config('a' || 'b', 'b', false)", PIN_SETTING, "l sa"},
        {"select set_config(e'a', 'b', false)", PIN_SETTING, NULL},
        {"select set_config($$a$$, 'b', false)", PIN_SETTING, NULL},
        {"select set_config(setting_name => 'a')", PIN_SETTING, NULL},
        {"select set_config", PIN_SETTING, NULL},
        {"select set_config('a'", PIN_SETTING, "l sa"},
        {"update pg_settings set setting = 'a'", PIN_SETTING, NULL},
        {"update pg_catalog.\"pg_settings\" set setting = 'a'", PIN_SETTING, NULL},
        {"select * from pg_settings", PIN_NONE, NULL},
    };
    check_all(cases, ARRAY_LEN(cases));
}

/* After which the client may not hear warnings any more. */
static void test_quiets(void **state)
{
    (void)state;
    const char *quiets[] = {"set client_min_messages = error",
                            "set client_min_messages to 'ERROR'",
                            "SET SESSION Client_Min_Messages TO fatal",
                            "set local client_min_messages = panic",
                            "set \"client_min_messages\" = error",
                            "set client_min_messages = e'\\145rror'",
                            "set client_min_messages = 'warning'; set client_min_messages = error",
                            "set client_min_messages = error; set client_min_messages = warning",
                            "set client_min_messages from current",
                            "select set_config('client_min_messages', 'warning', false)",
                            "select set_config($1, $2, false)",
                            "update pg_settings set setting = 'error'",
                            "do 'x'",
                            "load 'x'",
                            "frobnicate"};
    const char *others[] = {"set client_min_messages = warning",
                            "set local client_min_messages to 'Notice';",
                            "set client_min_messages = debug5",
                            "set client_min_messages to default",
                            "reset client_min_messages",
                            "set client_min_messages2 = error",
                            "select 'set client_min_messages = error'",
                            "set search_path = 'error'",
                            "show client_min_messages",
                            "listen a",
                            "create temp table t ()",
                            "insert into t values ('error')"};
    for (size_t i = 0; i < ARRAY_LEN(quiets); i++) {
        for (size_t cut = 0; cut < strlen(quiets[i]); cut++) {
            if (!scan_cut(slice_of(quiets[i]), cut, (SqlDialect){0}).effects.quiets) {
                fail_msg("%s", quiets[i]);
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        for (size_t cut = 0; cut < strlen(others[i]); cut++) {
            if (scan_cut(slice_of(others[i]), cut, (SqlDialect){0}).effects.quiets) {
                fail_msg("%s", others[i]);
            }
        }
    }
}

static void test_too_many_settings(void **state)
{
    (void)state;
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    for (int i = 0; i < 100; i++) {
        buf_printf(&text, "set setting_%d = 1;", i);
    }
    SqlScan scan = scan_cut(buf_slice(&text), 0, (SqlDialect){0});
    assert_int_equal(scan.effects.pin, PIN_SETTING);
    scan = scan_cut(
        SLICE("set aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa = 1"), 0,
        (SqlDialect){0});
    assert_int_equal(scan.effects.pin, PIN_SETTING);
    buf_done(&text);
}

static void test_dialects(void **state)
{
    (void)state;
    SqlDialect backslash = {.backslash_strings = true};
    check_in(SLICE("select 'a'"), PIN_NONE, backslash);
    check_touched(SLICE("select 'a\\'; set x=1'"), PIN_ENCODING, "sx", backslash);
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
    check_touched(SLICE("set x = 1\0select"), PIN_NONE, "sx", (SqlDialect){0});
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
    assert_int_equal(scan_cut(buf_slice(&text), 5000, (SqlDialect){0}).effects.pin, PIN_NONE);
    buf_append_str(&text, "; listen x");
    assert_int_equal(scan_cut(buf_slice(&text), text.len - 4, (SqlDialect){0}).effects.pin,
                     PIN_LISTEN);
    buf_clear(&text);
    buf_append_str(&text, "select $");
    for (int i = 0; i < 100; i++) {
        buf_append_char(&text, 'a');
    }
    buf_append_str(&text, "$ x $");
    assert_int_equal(scan_cut(buf_slice(&text), 3, (SqlDialect){0}).effects.pin,
                     PIN_UNKNOWN_STATEMENT);
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
        cmocka_unit_test(test_quiet_statements),   cmocka_unit_test(test_pinning_statements),
        cmocka_unit_test(test_settings),           cmocka_unit_test(test_quiets),
        cmocka_unit_test(test_too_many_settings),  cmocka_unit_test(test_dialects),
        cmocka_unit_test(test_text_ends_at_nul),   cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_reasons_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
