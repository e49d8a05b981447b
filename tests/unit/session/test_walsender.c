/* Replication connections: what is refused, and whose name a stream has. */
#include "talk.h"

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    Buf sent; /* to the server, as it goes over the wire */
} Talk;

#define START     "START_REPLICATION SLOT s LOGICAL 0/0"
#define SET_NAME  "SET application_name = 'weir-client'"
#define HEAD_SIZE 5

static void talk_done(Talk *t)
{
    session_done(&t->session);
    exchange_done(&t->exchange);
    buf_done(&t->sent);
    *t = (Talk){0};
}

static void talk_init(Talk *t)
{
    talk_done(t);
    session_init_walsender(&t->session);
    exchange_init(&t->exchange, NULL, NULL);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    buf_init(&t->sent, BUF_MAX_DEFAULT);
    assert_true(t->session.pin == PIN_REPLICATION);
}

static SessionStep say(Talk *t, const char *text)
{
    Buf message;
    buf_init(&message, BUF_MAX_DEFAULT);
    talk_put(&message, 'Q', "", text);
    buf_clear(&t->sent);
    SessionStep step = talk_say(&t->session, &t->exchange, &t->out, buf_slice(&message), &t->sent);
    buf_done(&message);
    return step;
}

/* The text of the only message that went to the server. */
static void assert_sent(const Talk *t, const char *text)
{
    assert_int_equal(t->sent.len, HEAD_SIZE + strlen(text) + 1);
    assert_string_equal(t->sent.data + HEAD_SIZE, text);
}

static char step_letter(char type, SessionStep step, const SessionOut *out)
{
    (void)type;
    (void)out;
    return step == STEP_FORWARD ? 'f' : step == STEP_DROP ? 'd' : 'r';
}

static void answers(Talk *t, const char *types, const char *steps)
{
    char got[TALK_MAX];
    talk_answer(&t->session, &t->exchange, &t->out, types, step_letter, got);
    assert_string_equal(got, steps);
    assert_false(t->out.at_rest);
}

static void assert_refused(Talk *t, const char *text, const char *sqlstate)
{
    talk_init(t);
    assert_true(say(t, text) == STEP_REFUSE);
    assert_string_equal(t->out.sqlstate, sqlstate);
    assert_non_null(t->out.problem);
    assert_int_equal(t->sent.len, 0);
}

static void test_commands(void **state)
{
    (void)state;
    static const char *const forwarded[] = {
        "IDENTIFY_SYSTEM",
        "SHOW data_directory_mode",
        "CREATE_REPLICATION_SLOT s LOGICAL pgoutput",
        "create_replication_slot \"s\" temporary logical pgoutput (SNAPSHOT 'use')",
        "DROP_REPLICATION_SLOT s WAIT",
        "SELECT 'START_REPLICATION 0/0'",
        "SET application_name = 'weir_x'",
        "",
        ";",
    };
    static const char *const refused[] = {
        "BASE_BACKUP",
        "base_backup (LABEL 'x')",
        "\n\t BASE_BACKUP",
        "-- BASE_BACKUP",
        "UPLOAD_MANIFEST",
        "TIMELINE_HISTORY 1",
        "READ_REPLICATION_SLOT s",
        "START_REPLICATION 0/0",
        "START_REPLICATION",
        "START_REPLICATION PHYSICAL 0/0",
        "START_REPLICATION SLOT s 0/0",
        "START_REPLICATION SLOT logical 0/0",
        "START_REPLICATION SLOT \"s LOGICAL\" 0/0",
        "CREATE_REPLICATION_SLOT logical PHYSICAL",
        "CREATE_REPLICATION_SLOT s TEMPORARY PHYSICAL RESERVE_WAL",
        "CREATE_REPLICATION_SLOT s",
    };
    CLEANUP(talk_done) Talk t = {0};
    for (size_t i = 0; i < ARRAY_LEN(forwarded); i++) {
        talk_init(&t);
        assert_true(say(&t, forwarded[i]) == STEP_FORWARD);
        assert_sent(&t, forwarded[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        assert_refused(&t, refused[i], "0A000");
    }
}

/* A stream begins behind the name, whatever was said before. */
static void start(Talk *t)
{
    assert_true(say(t, START) == STEP_WAIT);
    assert_sent(t, SET_NAME);
    assert_true(say(t, START) == STEP_WAIT);
    assert_int_equal(t->sent.len, 0);
    answers(t, "SCZI", "fdd");
    assert_true(say(t, START) == STEP_FORWARD);
    assert_sent(t, START);
}

static void test_name(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    start(&t);
    assert_false(session_streams(&t.session, &t.exchange));
    answers(&t, "Wdd", "fff");
    assert_true(session_streams(&t.session, &t.exchange));
    answers(&t, "cCCZI", "ffff");
    assert_false(session_streams(&t.session, &t.exchange));
    start(&t); /* each has its own */
    answers(&t, "EZI", "ff");
    /* What is in flight comes first. */
    assert_true(say(&t, "SET application_name = 'weir_x'") == STEP_FORWARD);
    assert_true(say(&t, START) == STEP_WAIT);
    assert_int_equal(t.sent.len, 0);
    answers(&t, "CZI", "ff");
    start(&t);
}

/* The name is set, and then something else comes in between. */
static void test_name_is_lost(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    assert_true(say(&t, START) == STEP_WAIT);
    answers(&t, "CZI", "dd");
    assert_true(say(&t, "SELECT f()") == STEP_FORWARD);
    answers(&t, "TDCZI", "ffff");
    start(&t);
}

static void test_name_is_refused(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    assert_true(say(&t, START) == STEP_WAIT);
    answers(&t, "E", "r");
}

static void test_transaction(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    assert_true(say(&t, "BEGIN") == STEP_FORWARD);
    answers(&t, "CZT", "ff");
    assert_true(say(&t, START) == STEP_REFUSE);
    assert_string_equal(t.out.sqlstate, "25001");
}

static void test_copy(void **state)
{
    (void)state;
    CLEANUP(talk_done) Talk t = {0};
    talk_init(&t);
    assert_true(say(&t, "COPY t FROM STDIN") == STEP_FORWARD);
    answers(&t, "G", "f");
    assert_true(say(&t, START) == STEP_REFUSE);
}

/* A long message is seen in part. */
static void test_pieces(void **state)
{
    (void)state;
    static const struct {
        const char *head;
        SessionStep step;
    } cases[] = {
        {"                ", STEP_REFUSE},
        {"  START_REPL", STEP_REFUSE},
        {"START_REPLICATION SLOT s LOGI", STEP_REFUSE},
        {"START_REPLICATION SLOT s LOGICAL 0/0 (publication_names '", STEP_WAIT},
        {"SELECT ", STEP_FORWARD},
    };
    CLEANUP(talk_done) Talk t = {0};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        talk_init(&t);
        Slice body = slice_of(cases[i].head);
        PgPiece piece = {.type = 'Q', .first = true, .body_len = 100000, .raw = body, .body = body};
        assert_int_equal(session_client_piece(&t.session, &t.exchange, &piece, &t.out),
                         cases[i].step);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),     cmocka_unit_test(test_name),
        cmocka_unit_test(test_name_is_lost), cmocka_unit_test(test_name_is_refused),
        cmocka_unit_test(test_transaction),  cmocka_unit_test(test_copy),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
