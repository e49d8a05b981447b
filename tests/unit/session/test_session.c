/* Conversations: who gets which message, when the server connection is free again, what pins. */
#include "talk.h"

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    SettingTable *settings;
} Talk;

static void talk_done(Talk *t)
{
    session_done(&t->session);
    exchange_done(&t->exchange);
    setting_table_free(t->settings);
    *t = (Talk){0};
}

/* Anew, whatever was before. */
static void talk_init(Talk *t)
{
    talk_done(t);
    t->settings = setting_table_new();
    session_init(&t->session, false);
    exchange_init(&t->exchange, NULL, t->settings);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    assert_int_equal(t->out.before_len, 0);
}

static SessionStep client_raw(Talk *t, char type, Slice body)
{
    PgPiece piece = {.type = type,
                     .first = true,
                     .last = true,
                     .body_len = (uint32_t)body.len,
                     .raw = body,
                     .body = body};
    return session_client_piece(&t->session, &t->exchange, &piece, &t->out);
}

/* `text` is the message's text or name. */
static SessionStep client(Talk *t, char type, const char *text)
{
    Buf buf;
    PgPiece piece;
    PgFramer framer = {0};
    PgPolicy policy = {0};
    bool named = type == 'B' || type == 'D' || type == 'C';
    buf_init(&buf, BUF_MAX_DEFAULT);
    talk_put(&buf, type, named ? text : "", named ? "" : text);
    assert_true(pg_framer_next(&framer, &policy, buf_slice(&buf), &piece) == WIRE_DONE);
    SessionStep step = session_client_piece(&t->session, &t->exchange, &piece, &t->out);
    buf_done(&buf);
    return step;
}

static char step_letter(char type, SessionStep step, const SessionOut *out)
{
    (void)type;
    (void)out;
    return step == STEP_FORWARD ? 'f' : step == STEP_DROP ? 'd' : 'r';
}

/* Who got them: f(orwarded), d(ropped), r(efused). */
static const char *server(Talk *t, const char *types)
{
    static char steps[TALK_MAX];
    talk_answer(&t->session, &t->exchange, &t->out, types, step_letter, steps);
    return steps;
}

/* The types of what goes to the server in front of the message. */
static void assert_before(const Talk *t, const char *types)
{
    PgPolicy policy = {0};
    size_t count = 0;
    for (size_t i = 0; i < t->out.before_len; i++) {
        PgFramer framer = {0};
        PgPiece piece;
        for (Slice rest = t->out.before[i]; rest.len > 0; rest = slice_skip(rest, piece.raw.len)) {
            assert_true(pg_framer_next(&framer, &policy, rest, &piece) == WIRE_DONE);
            assert_int_equal(piece.type, types[count++]);
        }
    }
    assert_int_equal(types[count], '\0');
}

static void all_forwarded(Talk *t, const char *types)
{
    const char *steps = server(t, types);
    assert_int_equal(strspn(steps, "f"), strlen(steps));
}

static void test_simple(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    assert_true(client(&t, 'Q', "select 1") == STEP_FORWARD);
    all_forwarded(&t, "TDDC");
    assert_false(t.out.at_rest);
    all_forwarded(&t, "ZI");
    assert_true(t.out.at_rest);
    client(&t, 'Q', "begin");
    all_forwarded(&t, "CZT");
    assert_false(t.out.at_rest);
    client(&t, 'Q', "bad");
    all_forwarded(&t, "EZE");
    assert_false(t.out.at_rest);
    client(&t, 'Q', "rollback");
    all_forwarded(&t, "CZI");
    assert_int_equal(t.session.pin, PIN_UNKNOWN_STATEMENT); /* "bad" */
    assert_false(t.out.at_rest);
}

static void test_unlinked(void **state)
{
    (void)state;
    Session session;
    SessionOut out;
    session_init(&session, false);
    const struct {
        char type;
        SessionStep step;
    } cases[] = {{'Q', STEP_BORROW}, {'P', STEP_BORROW}, {'B', STEP_BORROW}, {'E', STEP_BORROW},
                 {'D', STEP_BORROW}, {'C', STEP_BORROW}, {'F', STEP_BORROW}, {'S', STEP_READY},
                 {'H', STEP_DROP},   {'d', STEP_DROP},   {'c', STEP_DROP},   {'f', STEP_DROP},
                 {'X', STEP_END},    {'p', STEP_REFUSE}, {'Z', STEP_REFUSE}, {0, STEP_REFUSE}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        PgPiece piece = {.type = cases[i].type, .first = true, .last = true};
        assert_int_equal(session_client_piece(&session, NULL, &piece, &out), cases[i].step);
    }
    /* A long message that nobody needs, in pieces. */
    PgPiece piece = {.type = 'd', .first = true};
    assert_true(session_client_piece(&session, NULL, &piece, &out) == STEP_DROP);
    piece.first = false;
    assert_true(session_client_piece(&session, NULL, &piece, &out) == STEP_DROP);
    piece.last = true;
    assert_true(session_client_piece(&session, NULL, &piece, &out) == STEP_DROP);
    piece = (PgPiece){.type = 'Q', .first = true};
    assert_true(session_client_piece(&session, NULL, &piece, &out) == STEP_BORROW);
}

static void test_extended_and_pipelines(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    for (int i = 0; i < 2; i++) {
        client(&t, 'P', "select $1");
        client(&t, 'B', "");
        client(&t, 'D', "");
        client(&t, 'E', "");
        client(&t, 'S', "");
    }
    all_forwarded(&t, "12tTDCZI");
    assert_false(t.out.at_rest); /* the second batch is on its way */
    all_forwarded(&t, "12tnCZI");
    assert_true(t.out.at_rest);
    /* Without a Sync nothing is at rest, whatever was answered. */
    client(&t, 'Q', "select 1");
    client(&t, 'P', "select 2");
    all_forwarded(&t, "TDCZI");
    assert_false(t.out.at_rest);
    client(&t, 'H', "");
    all_forwarded(&t, "1");
    client(&t, 'B', "");
    client(&t, 'S', "");
    all_forwarded(&t, "2ZI");
    assert_true(t.out.at_rest);
    assert_int_equal(t.session.pin, PIN_NONE);
}

static void test_errors_skip_to_sync(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    client(&t, 'P', "select 1");
    client(&t, 'B', "");
    client(&t, 'E', "");
    all_forwarded(&t, "E"); /* the Parse failed, and no Sync is out yet */
    assert_true(t.exchange.flight.skipping);
    client(&t, 'P', "select 1");
    client(&t, 'Q', "select 1"); /* skipped as well */
    client(&t, 'S', "");
    all_forwarded(&t, "ZI");
    assert_true(t.out.at_rest);
    assert_int_equal(t.session.pin, PIN_NONE); /* the unnamed statement never came to be */
    /* Where each batch waits for the one in front of it: a Query that is skipped has no answer. */
    t.exchange.replica = true;
    client(&t, 'P', "select 1");
    all_forwarded(&t, "E");
    assert_true(client(&t, 'Q', "select 1") == STEP_FORWARD);
    assert_true(client(&t, 'S', "") == STEP_FORWARD);
    assert_true(client(&t, 'Q', "select 1") == STEP_WAIT);
    all_forwarded(&t, "ZI");
    assert_true(t.out.at_rest);
    t.exchange.replica = false;
    /* An error with the next batch behind it. */
    client(&t, 'P', "select 1");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'S', "");
    client(&t, 'P', "select 1");
    client(&t, 'B', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12EZI");
    assert_false(t.out.at_rest);
    all_forwarded(&t, "12ZI");
    assert_true(t.out.at_rest);
    /* An error of Sync itself: a deferred constraint. */
    client(&t, 'P', "insert into t values (1)");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12CEZI");
    assert_true(t.out.at_rest);
}

static void test_copy_in(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    client(&t, 'Q', "copy t from stdin");
    all_forwarded(&t, "G");
    client(&t, 'd', "");
    client(&t, 'c', "");
    all_forwarded(&t, "CZI");
    assert_true(t.out.at_rest);
    /* libpq: a Sync behind the Execute, which the server ignores, and one behind the data. */
    client(&t, 'P', "copy t from stdin");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12G");
    client(&t, 'd', "");
    client(&t, 'c', "");
    client(&t, 'S', "");
    all_forwarded(&t, "CZI");
    assert_true(t.out.at_rest);
    /* The data sent at once, before the server asks for it. */
    client(&t, 'P', "copy t from stdin");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'd', "");
    client(&t, 'c', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12GCZI");
    assert_true(t.out.at_rest);
    /* Failed by the client; an error while data is still coming. */
    client(&t, 'Q', "copy t from stdin");
    all_forwarded(&t, "G");
    client(&t, 'f', "");
    all_forwarded(&t, "EZI");
    assert_true(t.out.at_rest);
    client(&t, 'Q', "copy t from stdin");
    all_forwarded(&t, "GE");
    client(&t, 'd', "");
    client(&t, 'c', "");
    all_forwarded(&t, "ZI");
    assert_true(t.out.at_rest);
    assert_int_equal(t.session.pin, PIN_NONE);
    /* An error where an ignored Sync may or may not have been read: never at rest again. */
    client(&t, 'P', "copy t from stdin");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12GE");
    client(&t, 'c', "");
    client(&t, 'S', "");
    all_forwarded(&t, "ZI");
    assert_false(t.out.at_rest);
    assert_int_equal(t.session.pin, PIN_CONVERSATION);
}

/* Who makes something waits until it is known what it hides; who is pinned need not. */
static void test_catalog(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    t.exchange.asks_catalog = true;
    client(&t, 'Q', "create function f() returns int language sql as 'select 1'");
    all_forwarded(&t, "CZI");
    assert_true(t.out.ddl && t.out.learn && !t.out.at_rest);
    assert_true(client(&t, 'Q', "select f()") == STEP_WAIT);
    assert_string_equal(server(&t, "TDDCZI"), "ddddd");
    assert_true(t.out.at_rest && !t.out.learn);
    assert_true(client(&t, 'Q', "select f()") == STEP_FORWARD);
    all_forwarded(&t, "TDCZI");
    assert_true(t.out.at_rest);

    client(&t, 'Q', "create view v as select 1");
    all_forwarded(&t, "CZI");
    assert_true(t.out.learn);
    assert_string_equal(server(&t, "EZI"), "dd"); /* it is not known, then */
    assert_true(t.out.at_rest);

    client(&t, 'Q', "create temp view v as select 1");
    all_forwarded(&t, "CZI");
    assert_false(t.out.learn);
}

/* As PostgreSQL, which takes it for a broken client; and where its COPY has just failed, nothing is
 * run before that is known here. */
static void test_no_copy_data(void **state)
{
    (void)state;
    for (const char *type = "QPBDCEF"; *type != '\0'; type++) {
        CLEANUP(talk_done) Talk t = {0};
        talk_init(&t);
        client(&t, 'Q', "copy t from stdin");
        all_forwarded(&t, "G");
        client(&t, 'd', "");
        assert_true(client_raw(&t, *type, SLICE("S\0\0\0\0\0\0\0\0\0")) == STEP_REFUSE);
        assert_non_null(t.out.problem);
    }
}

static void test_copy_out_and_others(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    client(&t, 'Q', "copy t to stdout; select 1; ");
    all_forwarded(&t, "HddcCTDCIZI");
    assert_true(t.out.at_rest);
    client(&t, 'P', "copy t to stdout");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12HdcCNASZI");
    assert_true(t.out.at_rest);
    client(&t, 'P', "select 1");
    client(&t, 'B', "");
    client(&t, 'E', "");
    client(&t, 'E', "");
    client(&t, 'C', "");
    client(&t, 'S', "");
    all_forwarded(&t, "12DsDC3ZI");
    assert_true(t.out.at_rest);
    all_forwarded(&t, "E"); /* unasked: the server is going down */
    assert_int_equal(t.session.pin, PIN_NONE);
    client(&t, 'F', "");
    all_forwarded(&t, "VZI");
    assert_int_equal(t.session.pin, PIN_FUNCTION_CALL);
}

static void test_pins(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    client(&t, 'Q', "load 'x'");
    assert_int_equal(t.out.pinned, PIN_LOAD);
    client(&t, 'Q', "listen c"); /* the first reason stays, and is told once */
    assert_int_equal(t.out.pinned, PIN_NONE);
    assert_int_equal(t.session.pin, PIN_LOAD);
    all_forwarded(&t, "CZICZI");
    assert_false(t.out.at_rest);

    talk_init(&t);
    assert_true(client_raw(&t, 'P', SLICE("name\0select 1\0\0\0")) == STEP_FORWARD);
    assert_int_equal(t.out.pinned, PIN_PROTOCOL_PREPARE);

    talk_init(&t);
    client(&t, 'P', "listen c");
    assert_int_equal(t.out.pinned, PIN_LISTEN);

    talk_init(&t);
    assert_true(client_raw(&t, 'B', SLICE("garbage")) == STEP_FORWARD);
    assert_int_equal(t.out.pinned, PIN_CONVERSATION);

    /* The server says what nothing in flight explains. */
    talk_init(&t);
    client(&t, 'Q', "select 1");
    all_forwarded(&t, "2ZI");
    assert_int_equal(t.session.pin, PIN_CONVERSATION);
    assert_false(t.out.at_rest);

    Session session;
    session_init(&session, false);
    assert_int_equal(session_check_start(&session, SLICE("TimeZone\0UTC\0\0")), PIN_NONE);
    assert_int_equal(session_check_start(&session, SLICE("options\0-c search_path=pg_temp\0\0")),
                     PIN_TEMPORARY);
}

/* Of two reasons the second one may be for good. */
static void test_several_pins(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    client(&t, 'Q', "select pg_advisory_lock(1), setseed(0.5)");
    assert_int_equal(t.out.pinned, PIN_ADVISORY_LOCK);
    assert_int_equal(t.out.pinned_also, PIN_BIT(PIN_STATE_FUNCTION));
    assert_true(t.session.pinned_for_good);
    all_forwarded(&t, "TDCZI");
    client(&t, 'Q', "select pg_advisory_unlock(1)");
    all_forwarded(&t, "TDCZI");
    assert_false(t.out.at_rest);
    assert_int_equal(t.out.behind.len, 0); /* nobody needs to ask */
    assert_int_equal(t.session.pin, PIN_ADVISORY_LOCK);

    talk_init(&t);
    client(&t, 'Q', "select pg_advisory_lock(1); listen c; listen d");
    assert_int_equal(t.out.pinned_also, PIN_BIT(PIN_LISTEN));
    assert_false(t.session.pinned_for_good);

    /* Where one is a statement that PostgreSQL does not know, nothing of it has happened. */
    talk_init(&t);
    client(&t, 'Q', "select setseed(0.5); frobnicate");
    assert_int_equal(t.out.pinned_also, PIN_BIT(PIN_UNKNOWN_STATEMENT));
    PgPiece error = {.type = 'E', .first = true, .last = true, .body = SLICE("C42601\0\0")};
    assert_true(session_server_piece(&t.session, &t.exchange, &error, &t.out) == STEP_FORWARD);
    assert_true(t.out.unpinned && t.session.pin == PIN_NONE && !t.session.pinned_for_good);
}

static void test_unnamed_statements(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    /* Not parsed here: what may be there is somebody else's, and is closed first. */
    assert_true(client(&t, 'B', "") == STEP_FORWARD);
    assert_before(&t, "C");
    client(&t, 'E', "");
    client(&t, 'S', "");
    assert_string_equal(server(&t, "3EZI"), "dff");
    assert_true(t.out.at_rest);
    talk_init(&t);
    client(&t, 'D', "");
    assert_before(&t, "C");
    client(&t, 'D', "");
    assert_before(&t, "");
    /* Behind a simple query there is none. */
    talk_init(&t);
    client(&t, 'Q', "select 1");
    client(&t, 'B', "");
    assert_before(&t, "");
    /* Described now, bound later: kept. */
    talk_init(&t);
    client(&t, 'P', "select $1");
    client(&t, 'D', "");
    client(&t, 'S', "");
    all_forwarded(&t, "1tTZI");
    assert_false(t.out.at_rest);
    assert_int_equal(t.session.pin, PIN_UNNAMED_STATEMENT);
}

static void test_sequences(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    session_link(&t.session, &t.exchange, HANDOVER_SEQUENCES, &t.out);
    assert_before(&t, "Q");
    client(&t, 'Q', "select 1");
    assert_string_equal(server(&t, "NCZI"), "ddd");
    assert_false(t.out.at_rest);
    all_forwarded(&t, "TDCZI");
    assert_true(t.out.at_rest);
    assert_false(t.exchange.wrote);
    client(&t, 'Q', "insert into t values (1)");
    assert_true(t.exchange.wrote);
    session_link(&t.session, &t.exchange, HANDOVER_SEQUENCES, &t.out);
    assert_string_equal(server(&t, "E"), "r");
    assert_non_null(t.out.problem);
}

static void test_long_messages(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    Slice text = SLICE("select 'x'; listen c\0");
    PgPiece piece = {.type = 'Q', .first = true, .raw = {text.data, 8}, .body = {text.data, 8}};
    assert_true(session_client_piece(&t.session, &t.exchange, &piece, &t.out) == STEP_FORWARD);
    /* The answer to what was before must not free the connection in the middle of a message. */
    all_forwarded(&t, "EZI");
    assert_false(t.out.at_rest);
    piece = (PgPiece){.type = 'Q', .last = true, .body = slice_skip(text, 8)};
    assert_true(session_client_piece(&t.session, &t.exchange, &piece, &t.out) == STEP_FORWARD);
    assert_int_equal(t.out.pinned, PIN_LISTEN);
    /* Pieces of an answer that is ours are dropped with it. */
    talk_init(&t);
    session_link(&t.session, &t.exchange, HANDOVER_SEQUENCES, &t.out);
    piece = (PgPiece){.type = 'C', .first = true};
    assert_true(session_server_piece(&t.session, &t.exchange, &piece, &t.out) == STEP_DROP);
    piece.first = false;
    assert_true(session_server_piece(&t.session, &t.exchange, &piece, &t.out) == STEP_DROP);
}

static void test_full_flight_waits(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    int sent = 0;
    while (client(&t, 'C', "x") == STEP_FORWARD) {
        sent++;
        assert_true(sent < FLIGHT_MAX);
    }
    assert_before(&t, "H");
    assert_true(sent >= FLIGHT_MAX - 9);
    all_forwarded(&t, "33333");
    assert_true(client(&t, 'C', "x") == STEP_FORWARD);
}

static void test_relay(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    session_init(&t.session, true);
    client(&t, 'Q', "set x = 1");
    client(&t, 'B', "");
    assert_before(&t, "");
    assert_int_equal(t.session.pin, PIN_NONE);
    all_forwarded(&t, "CZI");
    assert_false(t.out.at_rest);
    session_link(&t.session, &t.exchange, HANDOVER_SEQUENCES, &t.out);
    assert_before(&t, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_simple),
        cmocka_unit_test(test_unlinked),
        cmocka_unit_test(test_extended_and_pipelines),
        cmocka_unit_test(test_errors_skip_to_sync),
        cmocka_unit_test(test_copy_in),
        cmocka_unit_test(test_catalog),
        cmocka_unit_test(test_no_copy_data),
        cmocka_unit_test(test_copy_out_and_others),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_several_pins),
        cmocka_unit_test(test_unnamed_statements),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_long_messages),
        cmocka_unit_test(test_full_flight_waits),
        cmocka_unit_test(test_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
