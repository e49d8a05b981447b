/* Tables: aligned, without what says nothing. */
#include <stdio.h>
#include <stdlib.h>

#include "../unit.h"
#include "cli/cli_priv.h"

#define ROWS_MAX 4

static void table_is(size_t state_column, const char *const rows[ROWS_MAX][3], const char *wanted)
{
    Table table;
    char *text = NULL;
    size_t len = 0;
    table_init(&table, 3, state_column);
    for (size_t i = 0; i < ROWS_MAX && rows[i][0] != NULL; i++) {
        table_row(&table, rows[i]);
    }
    FILE *out = open_memstream(&text, &len);
    table_print(&table, out);
    fclose(out);
    assert_string_equal(text, wanted);
    free(text);
    table_done(&table);
}

static void test_aligned(void **state)
{
    (void)state;
    static const char *const rows[ROWS_MAX][3] = {
        {"NAME", "STATUS", "NOTE"}, {"größer", "available", ""}, {"x", "", "late"}};
    table_is(1, rows,
             "NAME    STATUS     NOTE\n"
             "größer  available\n"
             "x                  late\n");
}

static void test_a_column_that_says_nothing_is_left_out(void **state)
{
    (void)state;
    static const char *const last[ROWS_MAX][3] = {
        {"NAME", "STATUS", "NOTE"}, {"main", "available", ""}, {"other", "stopped", ""}};
    static const char *const middle[ROWS_MAX][3] = {
        {"NAME", "SYNC", "STATUS"}, {"main", "", "available"}, {"other", "", "stopped"}};
    table_is(1, last, "NAME   STATUS\nmain   available\nother  stopped\n");
    table_is(2, middle, "NAME   STATUS\nmain   available\nother  stopped\n");
}

static void test_without_a_head(void **state)
{
    (void)state;
    static const char *const rows[ROWS_MAX][3] = {{"", "weir env", "# one"},
                                                  {"", "weir status", "# two"}};
    table_is(TABLE_NO_STATE, rows, "  weir env     # one\n  weir status  # two\n");
}

static void test_wrapped(void **state)
{
    (void)state;
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    text_wrap("one two three", "  ", 10, &text); /* the last column stays free */
    text_wrap("abcdefghijk", "", 6, &text);
    assert_string_equal(buf_str(&text), "  one two\n  three\nabcde\nfghij\nk\n");
    buf_done(&text);
}

static void test_merged(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *list = text_merge(arena, NULL, "a, bc");
    list = text_merge(arena, list, " bc, b,a");
    assert_string_equal(list, "a, bc, b");
    assert_null(text_merge(arena, NULL, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aligned),
        cmocka_unit_test(test_a_column_that_says_nothing_is_left_out),
        cmocka_unit_test(test_without_a_head),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_merged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
