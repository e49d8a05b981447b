/* A memo says of a text what a scan of it says, whatever it was asked before. */
#include "../unit.h"

#include "sql/sql.h"

static TextEffects scanned(SqlDialect dialect, Slice text, SqlScan *scan)
{
    return sql_memo_effects(NULL, dialect, text, scan);
}

static void check(SqlMemo *memo, SqlDialect dialect, Slice text)
{
    SqlScan scans[2];
    TextEffects mine = sql_memo_effects(memo, dialect, text, &scans[0]);
    TextEffects theirs = scanned(dialect, text, &scans[1]);
    assert_true(slice_eq(mine.touched, theirs.touched));
    assert_int_equal(mine.pin, theirs.pin);
    assert_int_equal(mine.writes, theirs.writes);
    assert_int_equal(mine.forgets, theirs.forgets);
    assert_int_equal(mine.alone, theirs.alone);
    assert_int_equal(mine.chains, theirs.chains);
    assert_int_equal(mine.undoes, theirs.undoes);
    assert_int_equal(mine.releases, theirs.releases);
    assert_int_equal(mine.ddl, theirs.ddl);
    assert_int_equal(mine.reads, theirs.reads);
    assert_true(mine.digest == theirs.digest);
}

/* Whether it answers without a scan: then the scratch stays as it was. */
static bool knows(SqlMemo *memo, SqlDialect dialect, Slice text)
{
    SqlScan scan = {.ended = false};
    sql_memo_effects(memo, dialect, text, &scan);
    return !scan.ended;
}

static const char *const texts[] = {
    "SELECT 1",
    "SELECT 2",
    "select 1",
    "SELECT 1 ",
    "",
    ";",
    "SELECT nextval('s')",
    "LISTEN a",
    "SET a.b = 1",
    "SET TIME ZONE 'UTC'",
    "RESET ALL",
    "ROLLBACK AND CHAIN",
    "DISCARD ALL",
    "VACUUM",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$",
    "UPDATE t SET a = 'x\\'y'",
    "SELECT 'a\\', lastval() --'",
    "CREATE TEMP TABLE t (a int)",
    "SELECT app_function()",
    "SELECT '\x83\x5c'",
};

static void test_says_the_same(void **state)
{
    (void)state;
    SqlMemo *memo = sql_memo_new();
    SqlNames names[2] = {{map_new(), 7}, {map_new(), 8}};
    map_set(names[1].map, SLICE("app_function"), (void *)(uintptr_t)SQL_NAME_HIDDEN);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned bits = 0; bits < 64; bits++) {
            SqlDialect dialect = {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, NULL,
                                  (bits & 8) != 0};
            dialect.names = (bits & 16) != 0 ? &names[bits >> 5 & 1] : NULL;
            for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                check(memo, dialect, slice_of(texts[i]));
            }
        }
    }
    map_free(names[0].map);
    map_free(names[1].map);
    sql_memo_free(memo);
}

static void test_knows_what_comes_again(void **state)
{
    (void)state;
    SqlMemo *memo = sql_memo_new();
    SqlDialect dialect = {0};
    Slice text = SLICE("SELECT a FROM t WHERE b = $1");
    assert_false(knows(memo, dialect, text));
    assert_true(knows(memo, dialect, text));
    assert_true(knows(memo, dialect, SLICE("SELECT a FROM t WHERE b = $1\0\0\1\0")));
    assert_false(knows(memo, (SqlDialect){.wants_reads = true}, text));
    assert_false(knows(memo, dialect, SLICE("SELECT a FROM t WHERE b = $2")));
    assert_false(knows(memo, dialect, SLICE("SELECT a FROM t WHERE b = $")));
    /* What touches settings is read each time: its names are in the scan. */
    assert_false(knows(memo, dialect, SLICE("SET a.b = 1")));
    assert_false(knows(memo, dialect, SLICE("SET a.b = 1")));
    sql_memo_free(memo);
}

static void test_is_bounded(void **state)
{
    (void)state;
    SqlMemo *memo = sql_memo_new();
    SqlDialect dialect = {0};
    char *text = mem_alloc(SQL_MEMO_TEXT_MAX + 1);
    memset(text, 'x', SQL_MEMO_TEXT_MAX + 1);
    Slice longest = slice_from(text, SQL_MEMO_TEXT_MAX);
    assert_false(knows(memo, dialect, longest));
    assert_true(knows(memo, dialect, longest));
    Slice longer = slice_from(text, SQL_MEMO_TEXT_MAX + 1);
    assert_false(knows(memo, dialect, longer));
    assert_false(knows(memo, dialect, longer));
    /* One that is asked for again and again stays, however many others pass by. */
    Slice hot = SLICE("SELECT hot");
    knows(memo, dialect, hot);
    size_t missed = 0;
    for (int i = 0; i < 20 * SQL_MEMO_TEXTS; i++) {
        char once[64];
        snprintf(once, sizeof(once), "SELECT %d", i);
        check(memo, dialect, slice_of(once));
        missed += i % 50 == 0 && !knows(memo, dialect, hot);
    }
    assert_int_equal(missed, 0);
    mem_free(text);
    sql_memo_free(memo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_the_same),
        cmocka_unit_test(test_knows_what_comes_again),
        cmocka_unit_test(test_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
