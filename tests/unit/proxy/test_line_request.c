/* Which requests may share a line, however much of them is there. */
#include "../session/talk.h"

#include "proxy/line/line_priv.h"

typedef struct Step {
    char type;
    const char *name;
    const char *text;
} Step;

static void put_steps(Buf *buf, const Step *steps)
{
    for (; steps->type != '\0'; steps++) {
        talk_put(buf, steps->type, steps->name, steps->text);
    }
}

static const SqlDialect dialect = {.wants_reads = true};

static size_t taken(const Session *session, Slice data, uint64_t *ret_digest)
{
    LineRequest request = {0};
    const LineReader reader = {session, &dialect, NULL};
    bool takes = line_request_read(&reader, data, &request);
    *ret_digest = request.digest;
    return takes ? request.len : 0;
}

/* Whole it is taken, up to its end; cut anywhere it is not; and what is behind it stays. */
static void check(const Session *session, const Step *steps, bool takes)
{
    Buf buf;
    uint64_t digest;
    buf_init(&buf, BUF_MAX_DEFAULT);
    put_steps(&buf, steps);
    size_t len = buf.len;
    assert_int_equal(taken(session, buf_slice(&buf), &digest), takes ? len : 0);
    for (size_t cut = 0; cut < len && takes; cut++) {
        assert_int_equal(taken(session, (Slice){buf.data, cut}, &digest), 0);
    }
    buf_append_str(&buf, "Q");
    assert_int_equal(taken(session, buf_slice(&buf), &digest), takes ? len : 0);
    buf_done(&buf);
}

static void test_shapes(void **state)
{
    (void)state;
    Session session;
    session_init(&session, false);
    const Step query[] = {{'Q', "", "select 1"}, {0}};
    const Step writing[] = {{'Q', "", "insert into t values (1)"}, {0}};
    const Step extended[] = {{'P', "", "select $1"}, {'B', "", ""}, {'D', "", ""},
                             {'E', "", ""},          {'S', "", ""}, {0}};
    const Step named_parse[] = {
        {'P', "a", "select 1"}, {'B', "a", ""}, {'E', "", ""}, {'S', "", ""}, {0}};
    const Step unknown_name[] = {{'B', "a", ""}, {'E', "", ""}, {'S', "", ""}, {0}};
    const Step portal[] = {
        {'P', "", "select 1"}, {'B', "", "p"}, {'E', "", "p"}, {'S', "", ""}, {0}};
    const Step only_parsed[] = {{'P', "", "select 1"}, {'S', "", ""}, {0}};
    const Step not_run[] = {{'P', "", "select 1"}, {'B', "", ""}, {'S', "", ""}, {0}};
    const Step twice[] = {{'P', "", "select 1"}, {'B', "", ""}, {'E', "", ""},
                          {'E', "", ""},         {'S', "", ""}, {0}};
    const Step another[] = {
        {'P', "", "select 1"}, {'B', "", ""}, {'E', "", ""}, {'P', "", "delete from t"},
        {'B', "", ""},         {'E', "", ""}, {'S', "", ""}, {0}};
    const Step stale_bind[] = {{'B', "", ""}, {'E', "", ""}, {'S', "", ""}, {0}};
    const Step mixed[] = {{'P', "", "select 1"}, {'Q', "", "select 1"}, {0}};
    const Step flushed[] = {{'P', "", "select 1"}, {'B', "", ""}, {'H', "", ""},
                            {'E', "", ""},         {'S', "", ""}, {0}};
    check(&session, query, true);
    check(&session, extended, true);
    const Step *others[] = {writing, named_parse, unknown_name, portal, only_parsed, not_run,
                            twice,   another,     stale_bind,   mixed,  flushed};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        check(&session, others[i], false);
    }
    session_done(&session);
}

static void test_named_statements(void **state)
{
    (void)state;
    Session session;
    bool fresh;
    StatementTable *table = statement_table_new();
    session_init(&session, false);
    Statement *statement = statement_intern(table, 0, SLICE("select 1\0\0\0"), &fresh);
    statement_names_set(&session.names, SLICE("a"), statement);
    const Step bind[] = {{'B', "a", ""}, {'E', "", ""}, {'S', "", ""}, {0}};
    check(&session, bind, false); /* nobody has looked at it yet */
    statement->learned = true;
    check(&session, bind, false); /* it may write */
    statement->effects.reads = true;
    check(&session, bind, true);
    statement->names_generation = 7; /* the database has other names now */
    check(&session, bind, false);
    statement_unref(statement);
    session_done(&session);
    statement_table_free(table);
}

static void test_long_ones(void **state)
{
    (void)state;
    Session session;
    Buf text;
    session_init(&session, false);
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "select 1");
    while (text.len < LINE_REQUEST_MAX) {
        buf_append_str(&text, " ");
    }
    const Step query[] = {{'Q', "", buf_str(&text)}, {0}};
    check(&session, query, false);
    buf_done(&text);
    session_done(&session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_named_statements),
        cmocka_unit_test(test_long_ones),
    };
    return cmocka_run_group_tests_name("line request", tests, NULL, NULL);
}
