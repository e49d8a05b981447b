/* Named statements: what clients call them, and what servers have. */
#include "../unit.h"

#include "session/session.h"

#define TAIL(text) SLICE(text "\0\0\0")

static void test_table(void **state)
{
    (void)state;
    StatementTable *table = statement_table_new();
    bool fresh = false;
    Statement *one = statement_intern(table, 0, TAIL("select 1"), &fresh);
    assert_true(fresh);
    Statement *same = statement_intern(table, 0, TAIL("select 1"), &fresh);
    assert_false(fresh);
    assert_ptr_equal(one, same);
    Statement *typed = statement_intern(table, 0, SLICE("select 1\0\0\1\0\0\0\27"), &fresh);
    assert_true(fresh); /* the types of parameters count */
    assert_string_not_equal(one->name, typed->name);

    PgFramer framer = {0};
    PgPolicy policy = {0};
    PgPiece piece;
    PgTarget target;
    PgParse parse;
    Slice anew = statement_anew(one);
    assert_true(pg_framer_next(&framer, &policy, anew, &piece) == WIRE_DONE);
    assert_true(piece.type == 'C' && pg_get_target(piece.body, &target));
    assert_true(slice_is(target.name, one->name));
    anew = slice_skip(anew, piece.raw.len);
    assert_true(pg_framer_next(&framer, &policy, anew, &piece) == WIRE_DONE);
    assert_true(piece.type == 'P' && piece.raw.len == anew.len);
    assert_true(pg_get_parse(piece.body, &parse));
    assert_true(slice_is(parse.statement, one->name) && slice_is(parse.query, "select 1"));

    statement_unref(one);
    assert_ptr_equal(statement_intern(table, 0, TAIL("select 1"), &fresh), same);
    assert_false(fresh);
    statement_unref(same);
    statement_unref(same);
    Statement *again = statement_intern(table, 0, TAIL("select 1"), &fresh);
    assert_true(fresh); /* nobody had it any more */
    statement_unref(again);
    statement_unref(typed);
    statement_table_free(table); /* asserts that it is empty */
}

static void test_names(void **state)
{
    (void)state;
    StatementTable *table = statement_table_new();
    StatementNames names = {0};
    bool fresh;
    Statement *one = statement_intern(table, 0, TAIL("select 1"), &fresh);
    Statement *two = statement_intern(table, 0, TAIL("select 2"), &fresh);
    assert_null(statement_names_get(&names, SLICE("a")));
    statement_names_remove(&names, SLICE("a"));
    statement_names_set(&names, SLICE("a"), one);
    statement_names_set(&names, SLICE("b"), one);
    statement_names_set(&names, SLICE("b"), two);
    statement_unref(one);
    statement_unref(two);
    assert_ptr_equal(statement_names_get(&names, SLICE("a")), one);
    assert_ptr_equal(statement_names_get(&names, SLICE("b")), two);
    assert_int_equal(statement_names_len(&names), 2);
    statement_names_remove(&names, SLICE("a"));
    assert_null(statement_names_get(&names, SLICE("a")));
    statement_names_clear(&names);
    assert_int_equal(statement_names_len(&names), 0);
    statement_table_free(table);
}

static void test_set(void **state)
{
    (void)state;
    StatementTable *table = statement_table_new();
    StatementSet set = {.max = 2};
    Statement *statements[3];
    static const char keys[][5] = {"1\0\0\0", "2\0\0\0", "3\0\0\0"};
    bool fresh;
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        statements[i] = statement_intern(table, 0, slice_from(keys[i], 4), &fresh);
    }
    assert_false(statement_set_has(&set, statements[0], 1));
    statement_set_sent(&set, statements[0], 1);
    assert_true(statement_set_has(&set, statements[0], 1));
    assert_false(statement_set_has(&set, statements[0], 2)); /* who knows what became of it */
    statement_set_settle(&set, statements[0], 1, true);
    assert_true(statement_set_has(&set, statements[0], 2));
    assert_null(statement_set_evict(&set));
    statement_set_sent(&set, statements[1], 2);
    statement_set_settle(&set, statements[1], 2, false);
    assert_false(statement_set_has(&set, statements[1], 2));

    statement_set_sent(&set, statements[1], 3);
    statement_set_sent(&set, statements[1], 4);
    statement_set_settle(&set, statements[1], 3, true); /* of the one before: it says nothing */
    assert_false(statement_set_has(&set, statements[1], 5));
    statement_set_settle(&set, statements[1], 4, true);
    assert_true(statement_set_has(&set, statements[1], 5));
    assert_true(statement_set_has(&set, statements[0], 5)); /* used last */
    Statement *victim = statement_set_evict(&set);
    assert_ptr_equal(victim, statements[1]);
    statement_unref(victim);
    assert_false(statement_set_has(&set, statements[1], 5));
    statement_set_sent(&set, statements[1], 6);
    statement_set_doubt(&set); /* none counts, and each will be closed */
    statement_set_settle(&set, statements[1], 6, true);
    assert_false(statement_set_has(&set, statements[0], 6));
    assert_false(statement_set_has(&set, statements[1], 6));
    victim = statement_set_evict(&set);
    assert_ptr_equal(victim, statements[0]);
    statement_unref(victim);
    statement_set_clear(&set);
    assert_false(statement_set_has(&set, statements[0], 5));
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        statement_unref(statements[i]);
    }
    statement_table_free(table);
}

static void test_deallocate(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *name;
    } cases[] = {
        {"DEALLOCATE a", "a"},
        {"deallocate  Prepare\tMine ;", "mine"},
        {" DEALLOCATE \"_pg3_0\"", "_pg3_0"},
        {"DEALLOCATE \"a\"\"B\";", "a\"B"},
        {"DEALLOCATE ALL", ""},
        {"DEALLOCATE \"ALL\"", "ALL"},
        {"DEALLOCATE a; select 1", ""},
        {"DEALLOCATE", ""},
        {"DEALLOCATE \"a", ""},
        {"DEALLOCATEa", ""},
        {"select 1", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[SQL_WORD_MAX];
        Slice name = statement_deallocated(slice_of(cases[i].text), out);
        assert_true(name.len == strlen(cases[i].name));
        assert_memory_equal(name.data != NULL ? name.data : "", cases[i].name, name.len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_deallocate),
    };
    return cmocka_run_group_tests_name("statement", tests, NULL, NULL);
}
