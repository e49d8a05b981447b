/* The admin database's pure parts: commands, and rows in both formats. */
#include "../unit.h"

#include "proxy/admin/admin_priv.h"

static AdminCommand parse(const char *text)
{
    return admin_command_parse(slice_of(text));
}

static void test_commands(void **state)
{
    (void)state;
    static const char *const names[] = {
        "config",  "databases", "users",   "lists",        "mem",           "version",
        "state",   "stats",     "pins",    "totals",       "stats_totals",  "pools",
        "servers", "clients",   "metrics", "pool_metrics", "stats_averages"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CLEANUP(mem_free_ptr) char *text = mem_printf(" \n ShOw\t%s ; ;", names[i]);
        AdminCommand command = parse(text);
        assert_int_equal(command.kind, ADMIN_SHOW);
        assert_string_equal(command.table->name, names[i]);
        assert_true((command.table->show == NULL) != (command.table->gather == NULL));
    }
    assert_int_equal(parse("show HELP;").kind, ADMIN_HELP);
    assert_int_equal(parse("reload").kind, ADMIN_RELOAD);
    assert_int_equal(parse("").kind, ADMIN_EMPTY);
    assert_int_equal(parse(" ; ").kind, ADMIN_EMPTY);
}

static void assert_refused(const char *text, const char *sqlstate, const char *message)
{
    AdminCommand command = parse(text);
    assert_int_equal(command.kind, ADMIN_REFUSED);
    assert_string_equal(command.sqlstate, sqlstate);
    assert_string_equal(command.message, message);
}

static void test_refused(void **state)
{
    (void)state;
    assert_refused("PAUSE", "0A000", "PAUSE is not supported by this proxy");
    assert_refused("kill app;", "0A000", "kill is not supported by this proxy");
    assert_refused("select 1;", "42601", "invalid command 'select 1', use SHOW HELP;");
    assert_refused("show", "42601", "invalid command 'show', use SHOW HELP;");
    assert_refused("show pools where x", "42601",
                   "invalid command 'show pools where x', use SHOW HELP;");
    assert_refused("reload now", "42601", "invalid command 'reload now', use SHOW HELP;");
    assert_refused("show pools; show clients", "42601",
                   "invalid command 'show pools; show clients', use SHOW HELP;");
    /* 59 letters and one of two bytes, which is not cut in two. */
    assert_refused("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9 etc",
                   "42601",
                   "invalid command "
                   "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…', use SHOW "
                   "HELP;");
}

static void test_help_names_every_table(void **state)
{
    (void)state;
    Buf help;
    buf_init(&help, BUF_MAX_DEFAULT);
    admin_put_help(&help);
    assert_true(slice_has(buf_slice(&help), "\n\tSHOW POOL_METRICS"));
    assert_true(slice_has(buf_slice(&help), "\n\tSHOW STATS_AVERAGES"));
    assert_true(slice_has(buf_slice(&help), "\n\tSHOW CLIENTS"));
    assert_true(slice_has(buf_slice(&help), "\n\tSHOW CONFIG"));
    buf_done(&help);
}

static const AdminColumn columns[] = {
    {"t", ADMIN_TEXT}, {"i", ADMIN_INT4}, {"l", ADMIN_INT8}, {"n", ADMIN_TEXT}};
static const AdminTable table = {.name = "x", .columns = columns, .column_count = 4};

static void put_row(AdminRows *rows)
{
    assert_true(admin_row_begin(rows));
    admin_put_text(rows, "ab");
    admin_put_int(rows, -2);
    admin_put_int(rows, 0x0102030405);
    admin_put_text(rows, NULL);
    admin_row_end(rows);
}

static void assert_bytes(const Buf *buf, const char *bytes, size_t len)
{
    assert_int_equal(buf->len, len);
    assert_memory_equal(buf->data, bytes, len);
}

static void test_rows(void **state)
{
    (void)state;
    static const char text[] =
        "D\0\0\0\x24\0\4\0\0\0\2ab\0\0\0\2-2\0\0\0\n4328719365\xff\xff\xff\xff";
    static const char binary[] = "D\0\0\0\x24\0\4\0\0\0\2ab\0\0\0\4\xff\xff\xff\xfe\0\0\0\x8"
                                 "\0\0\0\1\2\3\4\5\xff\xff\xff\xff";
    AdminRows rows;
    admin_rows_init(&rows, &table, false);
    put_row(&rows);
    assert_bytes(&rows.out, text, sizeof(text) - 1);
    admin_rows_done(&rows);
    admin_rows_init(&rows, &table, true);
    put_row(&rows);
    assert_bytes(&rows.out, binary, sizeof(binary) - 1);
    put_row(&rows);
    assert_int_equal(rows.count, 2);
    admin_rows_done(&rows);
}

static void test_description(void **state)
{
    (void)state;
    static const AdminTable one = {.name = "x", .columns = columns + 1, .column_count = 1};
    static const char expected[] =
        "T\0\0\0\x1a\0\1i\0\0\0\0\0\0\0\0\0\0\x17\0\4\xff\xff\xff\xff\0\1";
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    admin_put_description(&one, true, &out);
    assert_bytes(&out, expected, sizeof(expected) - 1);
    buf_done(&out);
}

static void test_an_answer_is_bounded(void **state)
{
    (void)state;
    AdminRows rows;
    admin_rows_init(&rows, &table, false);
    size_t count = 0;
    while (admin_row_begin(&rows)) {
        char name[1000];
        memset(name, 'x', sizeof(name));
        admin_put_slice(&rows, slice_from(name, sizeof(name)));
        admin_put_int(&rows, INT64_MAX); /* more than its type holds */
        admin_put_int(&rows, INT64_MIN);
        admin_put_time(&rows, 0);
        admin_row_end(&rows);
        count++;
    }
    assert_true(rows.cut && rows.count == count && count > 1000);
    assert_true(rows.out.len >= ADMIN_ANSWER_MAX && rows.out.len < ADMIN_ANSWER_MAX + 1000);
    assert_true(slice_has(buf_slice(&rows.out), "1970-01-01 00:00:00 UTC"));
    assert_true(slice_has(buf_slice(&rows.out), "\n2147483647"));
    admin_rows_done(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_help_names_every_table),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_description),
        cmocka_unit_test(test_an_answer_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
