/* What else a text does: whether it reads, writes, locks, begins a transaction, has to be alone in
 * one, and what it does with the causal token. */
#include "cut.h"

/* ---- reading and writing -----------------------------------------------------------------------
 */

/* P3: what may share a server connection with others. */
static void test_reads(void **state)
{
    (void)state;
    const SqlDialect dialect = {.wants_reads = true};
    const char *reads[] = {"select 1",
                           "SELECT a, count(*) FROM t WHERE b IN (1, 2) AND c = $1 GROUP BY a;",
                           "select pg_catalog.lower(a) from public.t",
                           "(select 1) union (select 2)",
                           "with a as (select 1) select * from a",
                           "values (1)",
                           "table t",
                           "select 'for update; nextval(' from t",
                           "select cast(a as numeric(10, 2)), substring(b from 1 for 2) from t",
                           "select \"count\"(a) from t",
                           "select a from t order by (a) limit 10"};
    const char *others[] = {"",
                            "select 1; select 2",
                            "insert into t values (1)",
                            "with a as (insert into t values (1) returning *) select * from a",
                            "select a into b from t",
                            "select * from t for update",
                            "select * from t for no key update of t",
                            "select * from t for share",
                            "select nextval('s')",
                            "select mine(1)",
                            "select public.count(1)",
                            "select pg_catalog.pg_sleep(1)",
                            "select \"mine\" (1)",
                            "select set_config('a', 'b', true)",
                            "select random()",
                            "select * from pg_stat_activity",
                            "select * from information_schema.tables",
                            "show x",
                            "begin",
                            "explain select 1",
                            "fetch 1 from c",
                            "call p()",
                            "copy t to stdout",
                            "set x = 1"};
    for (size_t i = 0; i < ARRAY_LEN(reads); i++) {
        for (size_t cut = 0; cut <= strlen(reads[i]); cut++) {
            if (!scan_cut(slice_of(reads[i]), cut, dialect).effects.reads) {
                fail_msg("does not read: %s", reads[i]);
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        if (scan_cut(slice_of(others[i]), 0, dialect).effects.reads) {
            fail_msg("reads: %s", others[i]);
        }
    }
    assert_false(scan_cut(SLICE("select 1"), 0, (SqlDialect){0}).effects.reads);
    uint64_t digest =
        scan_cut(SLICE("select a from t where b = 5 and c = 'x'"), 0, dialect).effects.digest;
    assert_true(
        digest ==
        scan_cut(SLICE("SELECT a FROM t WHERE b = 77.1 AND c = 'yy'"), 9, dialect).effects.digest);
    assert_true(
        digest !=
        scan_cut(SLICE("select a from u where b = 5 and c = 'x'"), 0, dialect).effects.digest);
}

/* The list is searched by halves. */
static void test_reads_of_each_name(void **state)
{
    (void)state;
    const SqlDialect dialect = {.wants_reads = true};
    const char *names[] = {"abs", "count", "lower", "to_char", "with", "within", "width_bucket"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char text[64];
        snprintf(text, sizeof(text), "select %s(a) from t", names[i]);
        assert_true(scan_cut(slice_of(text), 0, dialect).effects.reads);
    }
}

static void test_harmless(void **state)
{
    (void)state;
    const SqlDialect dialect = {.wants_reads = true};
    const char *harmless[] = {"",          "select 1",        "begin",     "commit and chain",
                              "rollback",  "savepoint a",     "show all",  "set x = 1",
                              "fetch c",   "rollback to a",   "table t",   "end;",
                              "release a", "set local x = 1", "reset all", "close c"};
    const char *others[] = {"insert into t values (1)",
                            "select mine()",
                            "select nextval('s')",
                            "commit prepared 'a'",
                            "rollback prepared 'a'",
                            "prepare transaction 'a'",
                            "begin; insert into t values (1)",
                            "set x = 1; select mine()",
                            "commit; select 1",
                            "call p()",
                            "do 'x'",
                            "declare c cursor for select mine()",
                            "explain analyze insert into t values (1)",
                            "notify a",
                            "copy t from stdin",
                            "truncate t",
                            "bogus"};
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        for (size_t cut = 0; cut <= strlen(harmless[i]); cut++) {
            if (!scan_cut(slice_of(harmless[i]), cut, dialect).effects.harmless) {
                fail_msg("may write: %s", harmless[i]);
            }
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        for (size_t cut = 0; cut <= strlen(others[i]); cut++) {
            if (scan_cut(slice_of(others[i]), cut, dialect).effects.harmless) {
                fail_msg("does not write: %s", others[i]);
            }
        }
    }
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
        assert_false(scan_cut(slice_of(reads[i]), 0, (SqlDialect){0}).effects.writes);
    }
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        assert_true(scan_cut(slice_of(writes[i]), 0, (SqlDialect){0}).effects.writes);
    }
}

static void test_locks(void **state)
{
    (void)state;
    const SqlDialect dialect = {.wants_reads = true};
    assert_true(scan_cut(SLICE("select pg_advisory_lock(1)"), 9, dialect).effects.locks);
    assert_true(
        scan_cut(SLICE("select PG_TRY_ADVISORY_XACT_LOCK_SHARED(1)"), 9, dialect).effects.locks);
    assert_true(
        scan_cut(SLICE("select pg_catalog.pg_advisory_xact_lock(1)"), 9, dialect).effects.locks);
    assert_false(scan_cut(SLICE("select pg_advisory_unlock(1)"), 9, dialect).effects.locks);
    assert_false(scan_cut(SLICE("select 'pg_advisory_lock'"), 9, dialect).effects.locks);
}

/* ---- transactions ------------------------------------------------------------------------------
 */

/* P1: what may not share its transaction with the settings in front of it. */
static void test_alone(void **state)
{
    (void)state;
    const char *alone[] = {"vacuum",
                           "create database x",
                           "CREATE INDEX CONCURRENTLY i ON t (a)",
                           "call p()",
                           "do 'x'",
                           "commit prepared 'x'",
                           "discard all",
                           "select 1; select 2",
                           "frobnicate"};
    const char *joins[] = {"select 1",   "begin",
                           "(select 1)", "insert into t values (1)",
                           "set x = 1",  "copy t from stdin",
                           "select 1;",  "with a as (select 1) select 1"};
    for (size_t i = 0; i < ARRAY_LEN(alone); i++) {
        assert_true(scan_cut(slice_of(alone[i]), 0, (SqlDialect){0}).effects.alone);
    }
    for (size_t i = 0; i < ARRAY_LEN(joins); i++) {
        assert_false(scan_cut(slice_of(joins[i]), 0, (SqlDialect){0}).effects.alone);
    }
    assert_true(scan_cut(SLICE("rollback and chain"), 0, (SqlDialect){0}).effects.chains);
    assert_false(scan_cut(SLICE("rollback to s"), 0, (SqlDialect){0}).effects.chains);
}

static void check_begins(const char *text, unsigned begins)
{
    const SqlDialect dialect = {.wants_reads = true};
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        unsigned found = scan_cut(slice_of(text), cut, dialect).effects.begins;
        if (found != begins) {
            fail_msg("%s: begins %u, not %u", text, found, begins);
        }
    }
}

static void test_begins(void **state)
{
    (void)state;
    const unsigned only = SQL_BEGINS | SQL_BEGINS_READ_ONLY;
    check_begins("begin", SQL_BEGINS);
    check_begins("BEGIN READ ONLY", only);
    check_begins("start transaction read /* x */ only;", only);
    check_begins("begin work isolation level repeatable read, read only, not deferrable", only);
    check_begins("begin isolation level read committed", SQL_BEGINS);
    check_begins("begin isolation level read committed read write",
                 SQL_BEGINS | SQL_BEGINS_READ_WRITE);
    check_begins("begin isolation level serializable, read only", only | SQL_BEGINS_SERIALIZABLE);
    check_begins("begin read only; select 1", 0);
    check_begins("select 1; begin read only", 0);
    check_begins("begin read only; begin", 0);
    check_begins("set transaction read only", 0);
    check_begins("\"begin\" read only", 0);
    check_begins("select 'begin read only'", 0);
}

/* ---- the causal token --------------------------------------------------------------------------
 */

/* The proxy's own setting. */
static void test_token(void **state)
{
    (void)state;
    const SqlDialect dialect = {.wants_reads = true};
    static const struct {
        const char *text;
        unsigned token;
        bool harmless;
    } cases[] = {
        {"show weir.causal_token", SQL_TOKEN_SHOWN, true},
        {"SHOW \"weir\" . /* x */ Causal_Token;", SQL_TOKEN_SHOWN, true},
        {"show \"weir.causal_token\"", SQL_TOKEN_SHOWN, true},
        {"show weir.causal_tokens", 0, true},
        {"show weir", 0, true},
        {"show a.weir.causal_token", 0, true},
        {"show all", 0, true},
        {"show transaction isolation level", 0, true},
        {"show causal_token", 0, true},
        {"select current_setting('weir.causal_token')", SQL_TOKEN_SHOWN, true},
        {"select pg_catalog.current_setting('Weir.Causal_Token', true), a from t", SQL_TOKEN_SHOWN,
         true},
        {"select mine.current_setting('weir.causal_token')", SQL_TOKEN_SHOWN, false},
        {"select current_setting('weir.causal_token'), mine()", SQL_TOKEN_SHOWN, false},
        {"select current_setting('work_mem')", 0, false},
        {"select current_setting($1)", 0, false},
        {"select current_setting('weir.' || 'x')", 0, false},
        {"select current_setting(E'weir.causal_token')", 0, false},
        {"select current_setting", 0, true},
        {"select current_setting from t where current_setting = 'weir.causal_token'", 0, true},
        {"insert into t select current_setting('weir.causal_token')", SQL_TOKEN_SHOWN, false},
        {"set weir.causal_token = 'a'", SQL_TOKEN_SET, true},
        {"set session weir.causal_token to 'a'", SQL_TOKEN_SET, true},
        {"reset weir.causal_token", SQL_TOKEN_SET, true},
        {"set weir.causal_token_too = 'a'", 0, true},
        {"set local weir.causal_token = 'a'", SQL_TOKEN_LOCAL, true},
        {"select set_config('weir.causal_token', $1, false)", SQL_TOKEN_SET, true},
        {"select set_config('weir.causal_token', $1, false), mine()", SQL_TOKEN_SET, false},
        {"select set_config('weir.causal_token', $1, false), set_config('a.b', '', true)",
         SQL_TOKEN_SET, false},
        {"select mine.set_config('weir.causal_token', $1, false)", SQL_TOKEN_SET, false},
        {"select set_config('a.b', 'weir.causal_token', false)", 0, false},
        {"select 'show weir.causal_token'", 0, true},
        {"show weir.causal_token; set weir.causal_token = ''", SQL_TOKEN_SHOWN | SQL_TOKEN_SET,
         false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            const TextEffects effects = scan_cut(slice_of(cases[i].text), cut, dialect).effects;
            if (effects.token != cases[i].token || effects.harmless != cases[i].harmless ||
                (effects.token != 0 && effects.reads)) {
                fail_msg("%s: token %u, harmless %d, reads %d", cases[i].text, effects.token,
                         effects.harmless, effects.reads);
            }
            assert_true(effects.several == (strchr(cases[i].text, ';') != NULL &&
                                            slice_ends(slice_of(cases[i].text), "''")));
        }
    }
    /* As ever: what is shown pins nothing, and names nothing. */
    check_touched(SLICE("show weir.causal_token"), PIN_NONE, "", dialect);
    check_touched(SLICE("show a.b.c.d(='x'"), PIN_NONE, "", dialect);
    check_touched(SLICE("select current_setting(E'a')"), PIN_NONE, "", dialect);
    check_touched(SLICE("set weir.causal_token = 'a'"), PIN_NONE, "sweir.causal_token", dialect);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),    cmocka_unit_test(test_reads_of_each_name),
        cmocka_unit_test(test_harmless), cmocka_unit_test(test_writes),
        cmocka_unit_test(test_locks),    cmocka_unit_test(test_alone),
        cmocka_unit_test(test_begins),   cmocka_unit_test(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
