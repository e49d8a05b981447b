/* PostgreSQL messages: what is built is read back, and no cut of it is taken for the whole. */
#include "../unit.h"

#include "wire/wire.h"

typedef struct Message {
    Buf buf;
    char type;
    Slice body;
} Message;

static void message_init(Message *message)
{
    *message = (Message){0};
    buf_init(&message->buf, BUF_MAX_DEFAULT);
}

/* Frames the one message that is in the buffer. */
static Slice message_body(Message *message, char type)
{
    PgPolicy policy = {0};
    PgFramer framer = {0};
    PgPiece piece;
    assert_true(pg_framer_next(&framer, &policy, buf_slice(&message->buf), &piece) == WIRE_DONE);
    assert_true(piece.last);
    assert_int_equal(piece.type, type);
    assert_int_equal(piece.raw.len, message->buf.len);
    return piece.body;
}

static void test_query_and_parse(void **state)
{
    (void)state;
    Message m;
    message_init(&m);
    Slice text;
    pg_put_query(&m.buf, SLICE("select 1"));
    assert_true(pg_get_query(message_body(&m, 'Q'), &text));
    assert_slice(text, "select 1");
    assert_false(pg_get_query(SLICE("select 1"), &text));
    assert_false(pg_get_query(SLICE("select\0 1\0"), &text));
    assert_false(pg_get_query(SLICE(""), &text));

    buf_clear(&m.buf);
    pg_put_parse(&m.buf, SLICE("s1"), SLICE("select $1"));
    Slice body = message_body(&m, 'P');
    PgParse parse;
    assert_true(pg_get_parse(body, &parse));
    assert_slice(parse.statement, "s1");
    assert_slice(parse.query, "select $1");
    assert_int_equal(parse.type_count, 0);
    for (size_t cut = 0; cut < body.len; cut++) {
        assert_false(pg_get_parse((Slice){body.data, cut}, &parse));
    }
    assert_true(pg_get_parse(SLICE("s\0q\0\0\x01\0\0\0\x17"), &parse));
    assert_int_equal(parse.types.len, 4);
    assert_false(pg_get_parse(SLICE("s\0q\0\0\x02\0\0\0\x17"), &parse));
    Slice name;
    size_t offset;
    assert_true(pg_get_parse_head(SLICE("s1\0sel"), &name, &offset));
    assert_slice(name, "s1");
    assert_int_equal(offset, 3);
    assert_false(pg_get_parse_head(SLICE("s1"), &name, &offset));
    buf_done(&m.buf);
}

static void test_bind_to_close(void **state)
{
    (void)state;
    Message m;
    message_init(&m);
    PgBind bind;
    pg_put_bind(&m.buf, SLICE("p"), SLICE("s"));
    assert_true(pg_get_bind(message_body(&m, 'B'), &bind));
    assert_slice(bind.portal, "p");
    assert_slice(bind.statement, "s");
    assert_int_equal(bind.rest.len, 6);
    assert_false(pg_get_bind(SLICE("p\0s"), &bind));

    buf_clear(&m.buf);
    PgExecute execute;
    pg_put_execute(&m.buf, SLICE("p"), 7);
    assert_true(pg_get_execute(message_body(&m, 'E'), &execute));
    assert_slice(execute.portal, "p");
    assert_int_equal(execute.rows_max, 7);
    assert_false(pg_get_execute(SLICE("p\0\0\0"), &execute));

    buf_clear(&m.buf);
    PgTarget target;
    pg_put_describe(&m.buf, 'S', SLICE("s"));
    assert_true(pg_get_target(message_body(&m, 'D'), &target));
    assert_true(target.kind == 'S');
    buf_clear(&m.buf);
    pg_put_close(&m.buf, 'P', SLICE("x"));
    assert_true(pg_get_target(message_body(&m, 'C'), &target));
    assert_true(target.kind == 'P');
    assert_slice(target.name, "x");
    assert_false(pg_get_target(SLICE("Zx\0"), &target));
    assert_false(pg_get_target(SLICE("Sx"), &target));
    buf_done(&m.buf);
}

static void test_empty_messages(void **state)
{
    (void)state;
    Message m;
    message_init(&m);
    pg_put_sync(&m.buf);
    pg_put_flush(&m.buf);
    pg_put_terminate(&m.buf);
    assert_true(slice_eq(buf_slice(&m.buf), SLICE("S\0\0\0\x04H\0\0\0\x04X\0\0\0\x04")));
    buf_done(&m.buf);
}

static void test_sasl_and_password(void **state)
{
    (void)state;
    Message m;
    message_init(&m);
    Slice mechanism;
    Slice response;
    pg_put_sasl_initial(&m.buf, SCRAM_MECHANISM, SLICE("n,,n=,r=x"));
    assert_true(pg_get_sasl_initial(message_body(&m, 'p'), &mechanism, &response));
    assert_slice(mechanism, SCRAM_MECHANISM);
    assert_slice(response, "n,,n=,r=x");
    assert_true(pg_get_sasl_initial(SLICE("X\0\xff\xff\xff\xff"), &mechanism, &response));
    assert_int_equal(response.len, 0);
    assert_false(pg_get_sasl_initial(SLICE("X\0\0\0\0\x02z"), &mechanism, &response));
    assert_false(pg_get_sasl_initial(SLICE("X\0\0\0\0\x01zz"), &mechanism, &response));

    buf_clear(&m.buf);
    pg_put_password(&m.buf, SLICE("secret"));
    assert_true(pg_get_password(message_body(&m, 'p'), &response));
    assert_slice(response, "secret");

    buf_clear(&m.buf);
    PgAuth auth;
    pg_put_auth_sasl(&m.buf, true);
    assert_true(pg_get_auth(message_body(&m, 'R'), &auth));
    assert_int_equal(auth.kind, PG_AUTH_SASL);
    assert_true(pg_auth_offers(&auth, SCRAM_MECHANISM));
    assert_true(pg_auth_offers(&auth, SCRAM_MECHANISM_PLUS));
    buf_clear(&m.buf);
    pg_put_auth_sasl(&m.buf, false);
    assert_true(pg_get_auth(message_body(&m, 'R'), &auth));
    assert_false(pg_auth_offers(&auth, SCRAM_MECHANISM_PLUS));
    buf_clear(&m.buf);
    pg_put_auth(&m.buf, PG_AUTH_OK, (Slice){0});
    assert_true(pg_get_auth(message_body(&m, 'R'), &auth));
    assert_int_equal(auth.kind, PG_AUTH_OK);
    assert_false(pg_get_auth(SLICE("\0\0\0\x05"
                                   "abc"),
                             &auth)); /* md5 with a short salt */
    assert_false(pg_get_auth(SLICE("\0\0\0"), &auth));
    auth = (PgAuth){.kind = PG_AUTH_SASL, .data = SLICE("cut")};
    assert_false(pg_auth_offers(&auth, SCRAM_MECHANISM));
    buf_done(&m.buf);
}

static void test_errors(void **state)
{
    (void)state;
    Message m;
    message_init(&m);
    PgError error = {.severity = SLICE("FATAL"),
                     .sqlstate = SLICE("57P03"),
                     .message = SLICE("instance db1 is starting"),
                     .hint = SLICE("Try again.")};
    pg_put_error(&m.buf, &error);
    PgError got;
    Slice body = message_body(&m, 'E');
    assert_true(pg_get_error(body, &got));
    assert_slice(got.severity, "FATAL");
    assert_slice(got.sqlstate, "57P03");
    assert_slice(got.message, "instance db1 is starting");
    assert_slice(got.hint, "Try again.");
    assert_int_equal(got.detail.len, 0);
    for (size_t cut = 0; cut < body.len; cut++) {
        assert_false(pg_get_error((Slice){body.data, cut}, &got));
    }
    /* The severity that is not translated counts, whatever the order. */
    assert_true(pg_get_error(SLICE("SFEHLER\0VERROR\0Rfn\0Zunknown\0\0"), &got));
    assert_slice(got.severity, "ERROR");
    assert_slice(got.routine, "fn");
    assert_true(pg_get_error(SLICE("VERROR\0SFEHLER\0\0"), &got));
    assert_slice(got.severity, "ERROR");
    buf_clear(&m.buf);
    pg_put_notice(&m.buf, &error);
    message_body(&m, 'N');
    buf_done(&m.buf);
}

static void test_session_messages(void **state)
{
    (void)state;
    Message m;
    message_init(&m);
    Slice name;
    Slice value;
    pg_put_parameter(&m.buf, SLICE("TimeZone"), SLICE("UTC"));
    assert_true(pg_get_parameter(message_body(&m, 'S'), &name, &value));
    assert_slice(name, "TimeZone");
    assert_slice(value, "UTC");
    assert_false(pg_get_parameter(SLICE("a\0b\0c"), &name, &value));

    buf_clear(&m.buf);
    uint32_t pid;
    pg_put_key_data(&m.buf, 0xdeadbeef, SLICE("\1\2\3\4"));
    assert_true(pg_get_key_data(message_body(&m, 'K'), &pid, &value));
    assert_true(pid == 0xdeadbeef && value.len == 4);
    assert_false(pg_get_key_data(SLICE("\0\0\0\1"), &pid, &value));

    buf_clear(&m.buf);
    char status = 0;
    pg_put_ready(&m.buf, 'T');
    assert_true(pg_get_ready(message_body(&m, 'Z'), &status));
    assert_int_equal(status, 'T');
    assert_false(pg_get_ready(SLICE("X"), &status));
    assert_false(pg_get_ready(SLICE("II"), &status));

    buf_clear(&m.buf);
    pg_put_command_complete(&m.buf, SLICE("SELECT 1"));
    assert_true(pg_get_command_tag(message_body(&m, 'C'), &value));
    assert_slice(value, "SELECT 1");

    assert_true(pg_get_notification(SLICE("\0\0\0\5ch\0load\0"), &pid, &name, &value));
    assert_true(pid == 5);
    assert_slice(name, "ch");
    assert_slice(value, "load");
    buf_clear(&m.buf);
    Slice unknown[] = {SLICE("_pq_.a")};
    pg_put_negotiate(&m.buf, 0, unknown, 1);
    assert_true(slice_eq(message_body(&m, 'v'), SLICE("\0\x03\0\0\0\0\0\x01_pq_.a\0")));
    buf_done(&m.buf);
}

static void test_overflow_writes_nothing(void **state)
{
    (void)state;
    Buf small;
    buf_init(&small, 8);
    pg_put_query(&small, SLICE("select 1"));
    assert_true(small.overflowed);
    buf_done(&small);
}

static void test_strings_end_at_nul(void **state)
{
    (void)state;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_str(&out, slice_from("ab\0cd", 5));
    assert_true(slice_eq(buf_slice(&out), SLICE("ab\0")));
    buf_done(&out);
}

static void test_md5(void **state)
{
    (void)state;
    char out[36];
    /* md5(md5("secret" "ann") salt), computed with another tool. */
    pg_md5_response(SLICE("ann"), SLICE("secret"), SLICE("\x01\x02\x03\x04"), out);
    assert_string_equal(out, "md59009ce60b9ca97f1e752376843d1309e");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_query_and_parse),
        cmocka_unit_test(test_bind_to_close),
        cmocka_unit_test(test_empty_messages),
        cmocka_unit_test(test_sasl_and_password),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_session_messages),
        cmocka_unit_test(test_overflow_writes_nothing),
        cmocka_unit_test(test_strings_end_at_nul),
        cmocka_unit_test(test_md5),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
