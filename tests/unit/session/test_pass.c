/* What session_server_pass takes, session_server_piece would have passed on, and left the exchange
 * in the same state: each conversation is held twice. */
#include "talk.h"

typedef struct Side {
    Session session;
    Exchange exchange;
    SettingTable *settings;
} Side;

static void side_init(Side *side, bool gated)
{
    SessionOut out;
    *side = (Side){.settings = setting_table_new()};
    session_init(&side->session, false);
    exchange_init(&side->exchange, NULL, side->settings);
    side->exchange.gate.on = gated;
    session_link(&side->session, &side->exchange, HANDOVER_PLAIN, &out);
}

static void side_done(Side *side)
{
    session_done(&side->session);
    exchange_done(&side->exchange);
    setting_table_free(side->settings);
}

/* "Qselect 1": one message; of those that have no text, the type alone. */
static void say(Side *side, const char *message)
{
    SessionOut out;
    Buf sent;
    buf_init(&sent, BUF_MAX_DEFAULT);
    bool portal = message[0] == 'B' || message[0] == 'E';
    assert_int_equal(talk_message(&side->session, &side->exchange, &out, message[0], "",
                                  portal ? "" : message + 1, &sent),
                     STEP_FORWARD);
    buf_done(&sent);
}

/* "CSELECT 1": a type, and the body; of a ReadyForQuery the status. */
static void put_answer(Buf *buf, const char *message)
{
    size_t mark = pg_put_begin(buf, message[0]);
    buf_append_str(buf, message + 1);
    if (message[0] == 'C') {
        buf_append_char(buf, '\0');
    }
    pg_put_end(buf, mark);
}

static SessionStep hear(Side *side, Slice message)
{
    SessionOut out;
    PgPiece piece;
    PgFramer framer = {0};
    PgPolicy policy = {0};
    assert_true(pg_framer_next(&framer, &policy, message, &piece) == WIRE_DONE);
    return session_server_piece(&side->session, &side->exchange, &piece, &out);
}

static void assert_same(const Side *a, const Side *b)
{
    assert_memory_equal(&a->exchange.flight, &b->exchange.flight, sizeof(Flight));
    assert_int_equal(a->exchange.status, b->exchange.status);
    assert_int_equal(a->exchange.completed, b->exchange.completed);
    assert_int_equal(a->exchange.swallowing, b->exchange.swallowing);
    assert_int_equal(a->exchange.ended, b->exchange.ended);
    assert_int_equal(a->exchange.gate.passed, b->exchange.gate.passed);
    assert_int_equal(a->session.pin, b->session.pin);
}

typedef struct Conversation {
    const char *asked[8], *answered[12];
    const char *passes; /* of the answers: '+' the whole message passes */
} Conversation;

static void hold(const Conversation *conversation, bool gated)
{
    Side quick, slow;
    side_init(&quick, gated);
    side_init(&slow, gated);
    for (size_t i = 0; conversation->asked[i] != NULL; i++) {
        say(&quick, conversation->asked[i]);
        say(&slow, conversation->asked[i]);
    }
    for (size_t i = 0; conversation->answered[i] != NULL; i++) {
        Buf message;
        buf_init(&message, BUF_MAX_DEFAULT);
        put_answer(&message, conversation->answered[i]);
        Slice bytes = buf_slice(&message);
        for (size_t len = 0; len < bytes.len; len++) { /* not before it is whole */
            assert_int_equal(
                session_server_pass(&quick.session, &quick.exchange, (Slice){bytes.data, len}), 0);
        }
        size_t passed = session_server_pass(&quick.session, &quick.exchange, bytes);
        assert_int_equal(passed, conversation->passes[i] == '+' ? bytes.len : 0);
        SessionStep step = hear(&slow, bytes);
        if (passed > 0) {
            assert_int_equal(step, STEP_FORWARD);
        } else {
            assert_int_equal(hear(&quick, bytes), step);
        }
        assert_same(&quick, &slow);
        buf_done(&message);
    }
    side_done(&quick);
    side_done(&slow);
}

static const Conversation conversations[] = {
    {{"Qselect 1"}, {"T", "D", "D", "CSELECT 2", "ZI"}, "++++-"},
    {{"Qselect 1", "Qselect 2"}, {"T", "D", "CSELECT 1", "ZI", "T", "CSELECT 0", "ZI"}, "+++-++-"},
    {{"Qupdate t set a = 1"}, {"CUPDATE 1", "ZI"}, "+-"},
    {{"Qbegin"}, {"CBEGIN", "ZT"}, "--"},
    {{"Qset a.b = 1"}, {"CSET", "ZI"}, "--"},
    {{"Qselect 1"}, {"N", "S", "T", "A", "D", "E", "ZI"}, "--+-+--"},
    {{"Pselect 1", "B", "E", "S"}, {"1", "2", "D", "CSELECT 1", "ZI"}, "++++-"},
    {{"Pselect 1", "B", "E", "S"}, {"1", "2", "D", "s", "ZI"}, "+++--"},
    {{"Pselect 1", "B", "E", "S"}, {"1", "E", "ZI"}, "+--"},
    {{"Qcopy t to stdout"}, {"H", "d", "d", "c", "CCOPY 2", "ZI"}, "-++---"},
    {{"Qselect 1"}, {"3", "ZI"}, "--"}, /* an answer to something else */
};

static void test_the_same_as_piece_by_piece(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(conversations); i++) {
        hold(&conversations[i], false);
    }
}

/* Where a success may have to wait, the end of a statement does not pass by itself. */
static void test_a_gate(void **state)
{
    (void)state;
    static const Conversation write = {
        {"Qupdate t set a = 1 returning 1"}, {"T", "D", "CUPDATE 1", "ZI"}, "++--"};
    hold(&write, true);
}

/* Several at once, and the rest of one that is not there yet. */
static void test_a_run(void **state)
{
    (void)state;
    Side side;
    Buf bytes;
    side_init(&side, false);
    say(&side, "Qselect 1");
    buf_init(&bytes, BUF_MAX_DEFAULT);
    put_answer(&bytes, "T");
    put_answer(&bytes, "Done");
    put_answer(&bytes, "Dtwo");
    size_t whole = bytes.len;
    put_answer(&bytes, "Dthree");
    Slice cut = {bytes.data, bytes.len - 1};
    assert_int_equal(session_server_pass(&side.session, &side.exchange, cut), whole);
    buf_done(&bytes);
    side_done(&side);
}

/* Of what we asked for ourselves nothing is the client's. */
static void test_ours(void **state)
{
    (void)state;
    Side side;
    Buf bytes;
    side_init(&side, false);
    flight_push(&side.exchange.flight, 'Q', FLIGHT_OURS);
    buf_init(&bytes, BUF_MAX_DEFAULT);
    put_answer(&bytes, "D");
    assert_int_equal(session_server_pass(&side.session, &side.exchange, buf_slice(&bytes)), 0);
    buf_done(&bytes);
    side_done(&side);
}

/* Whoever is told of what becomes of it looks at it: a statement that stands for another one, one
 * that is followed by name; rows of what is read as COPY data; and what streams. */
static void test_what_is_looked_at(void **state)
{
    (void)state;
    static const struct {
        char type;
        unsigned marks;
        const char *answer;
    } cases[] = {{'P', FLIGHT_RECORD, "1"}, {'C', FLIGHT_STANDS, "3"}};
    for (size_t i = 0; i < ARRAY_LEN(cases) + 2; i++) {
        Side side;
        Buf bytes;
        side_init(&side, false);
        buf_init(&bytes, BUF_MAX_DEFAULT);
        if (i < ARRAY_LEN(cases)) {
            flight_push(&side.exchange.flight, cases[i].type, cases[i].marks);
            put_answer(&bytes, cases[i].answer);
        } else {
            say(&side, "Qselect 1");
            put_answer(&bytes, "D");
            side.exchange.flight.copying = i == ARRAY_LEN(cases);
            side.session.walsender = !side.exchange.flight.copying;
        }
        assert_int_equal(session_server_pass(&side.session, &side.exchange, buf_slice(&bytes)), 0);
        buf_done(&bytes);
        side_done(&side);
    }
}

/* As behind a piece: what came before is over. */
static void test_what_was_before(void **state)
{
    (void)state;
    Side side;
    Buf bytes;
    side_init(&side, true);
    say(&side, "Qselect 1");
    side.exchange.swallowing = side.exchange.gate.passed = true;
    buf_init(&bytes, BUF_MAX_DEFAULT);
    put_answer(&bytes, "D");
    assert_int_equal(session_server_pass(&side.session, &side.exchange, buf_slice(&bytes)),
                     bytes.len);
    assert_false(side.exchange.swallowing);
    assert_false(side.exchange.gate.passed);
    buf_done(&bytes);
    side_done(&side);
}

/* A length that is none is told by the framer. */
static void test_garbage(void **state)
{
    (void)state;
    Side side;
    side_init(&side, false);
    say(&side, "Qselect 1");
    static const Slice frames[] = {{"D\0\0\0\3", 5}, {"D\0\0\0\0", 5}, {"D\xff\xff\xff\xff", 5}};
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        assert_int_equal(session_server_pass(&side.session, &side.exchange, frames[i]), 0);
    }
    side_done(&side);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_as_piece_by_piece),
        cmocka_unit_test(test_a_gate),
        cmocka_unit_test(test_a_run),
        cmocka_unit_test(test_ours),
        cmocka_unit_test(test_what_is_looked_at),
        cmocka_unit_test(test_what_was_before),
        cmocka_unit_test(test_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
