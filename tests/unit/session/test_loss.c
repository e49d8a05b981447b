/* What a lost server connection leaves open (RULES F12), message by message. */
#include "talk.h"

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    StatementTable *table;
    SettingTable *settings;
    Buf sent;
} Talk;

static Talk *talk_new(bool relay)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->table = relay ? NULL : statement_table_new();
    t->settings = relay ? NULL : setting_table_new();
    exchange_init(&t->exchange, t->table, t->settings);
    session_init(&t->session, relay);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    buf_init(&t->sent, BUF_MAX_DEFAULT);
    return t;
}

static void talk_free(Talk *t)
{
    session_done(&t->session);
    exchange_done(&t->exchange);
    statement_table_free(t->table);
    setting_table_free(t->settings);
    buf_done(&t->sent);
    mem_free(t);
}

static char letter(char type, SessionStep step, const SessionOut *out)
{
    (void)step;
    (void)out;
    return type;
}

/* A line per message: "Q text"; "P name text", "B name portal", "E portal", "S"; "< types" is the
 * server's. The name is one letter, or - for none. */
static void run(Talk *t, const char *script)
{
    Slice rest = slice_of(script);
    while (rest.len > 0) {
        Slice line = slice_cut(&rest, '\n');
        CLEANUP(mem_free_ptr) char *text = mem_printf("%.*s", SLICE_FMT(line));
        char got[TALK_MAX];
        char name[2] = {0};
        switch (text[0]) {
        case '<':
            talk_answer(&t->session, &t->exchange, &t->out, text + 2, letter, got);
            break;
        case 'Q':
            talk_message(&t->session, &t->exchange, &t->out, 'Q', "", text + 2, &t->sent);
            break;
        case 'P':
        case 'B':
            name[0] = text[2] == '-' ? '\0' : text[2];
            talk_message(&t->session, &t->exchange, &t->out, text[0], name,
                         line.len > 4 ? text + 4 : "", &t->sent);
            break;
        default:
            talk_message(&t->session, &t->exchange, &t->out, text[0], "",
                         line.len > 2 ? text + 2 : "", &t->sent);
        }
    }
}

static SessionLoss lost_after(const char *script, bool relay)
{
    Talk *t = talk_new(relay);
    run(t, script);
    SessionLoss loss = session_lost(&t->session, &t->exchange);
    talk_free(t);
    return loss;
}

#define BEGUN "Q begin\n< CZT\n"

static void test_what_has_not_happened(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        BEGUN,                                             /* idle in a transaction */
        BEGUN "Q insert into t values (1)",                /* its COMMIT was not sent */
        BEGUN "Q insert into t values (1)\n< CZT",         /* nor here */
        BEGUN "Q insert into t values (1)\n< EZE",         /* a failed one */
        BEGUN "P - update t set a = 1\nB -\nE\nS",         /* nor here */
        BEGUN "Q rollback",                                /* it is gone in any case */
        "Q begin",                                         /* nothing is in it */
        "P - insert into t values (1)\nB -\nE",            /* no Sync: no end */
        "P s insert into t values (1)\nS\n< 31ZI\nB s\nE", /* the same by a name */
        BEGUN "P s insert into t values (1)\nB s\nE\nS",   /* a name in a transaction */
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        if (lost_after(scripts[i], false) != LOSS_UNDONE) {
            fail_msg("%s", scripts[i]);
        }
    }
}

static void test_what_may_have_happened(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "Q insert into t values (1)",
        "Q call p()",
        "Q do 'begin end'",
        "Q rollback prepared 'x'",
        "Q begin; insert into t values (1); commit",
        "P - insert into t values (1)\nB -\nE\nS",
        "P s insert into t values (1)\nS\n< 31ZI\nB s\nE\nS",
        "P - insert into t values (1)\nS\n< 1ZI\nB -\nE\nS", /* parsed in an earlier batch */
        BEGUN "Q commit",
        BEGUN "Q end",
        BEGUN "Q prepare transaction 'x'",
        BEGUN "P - commit\nB -\nE", /* it ends it without a Sync */
        /* Bound in an earlier batch, and not what this one has bound. */
        BEGUN "P - commit\nB - c\nS\n< 12ZT\nP - select 1\nB -\nE\nE c\nS",
        BEGUN "P - commit\nB -\nS\n< 12ZT\nP - select 1\nE\nS",
        /* What is skipped leaves what was there. */
        "P - insert into t values (1)\nS\n< 1ZI\nP b x\nP - select 1\nS\n< 3EZI\nB -\nE\nS",
        BEGUN "P s commit\nB s\nE\nS",
        BEGUN "Q something else",                       /* nobody knows what it is */
        BEGUN "Q rollback\nQ insert into t values (1)", /* which is in none */
        BEGUN "Q insert into t values (1)\nQ commit",
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        if (lost_after(scripts[i], false) != LOSS_UNKNOWN) {
            fail_msg("%s", scripts[i]);
        }
    }
}

static void test_at_rest(void **state)
{
    (void)state;
    assert_int_equal(lost_after("Q select 1\n< TDCZI", false), LOSS_AT_REST);
    assert_int_equal(lost_after(BEGUN "Q commit\n< CZI", false), LOSS_AT_REST);
    assert_int_equal(lost_after("Q listen a\n< CZI", false), LOSS_AT_REST);
}

/* A relay reads no texts: what it was asked for may be anything. */
static void test_a_relay(void **state)
{
    (void)state;
    assert_int_equal(lost_after("Q select 1\n< TDCZI", true), LOSS_AT_REST);
    assert_int_equal(lost_after(BEGUN, true), LOSS_UNDONE);
    assert_int_equal(lost_after(BEGUN "Q select 1", true), LOSS_UNKNOWN);
    assert_int_equal(lost_after("P - select 1\nB -\nE\nS", true), LOSS_UNKNOWN);
}

/* ---- clients that stay -------------------------------------------------------------------------
 */

/* The types of what the client is told, behind the script and behind what it says then. */
static const char *told_after(const char *script, const char *then)
{
    static char text[TALK_MAX];
    Talk *t = talk_new(false);
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    size_t len = 0;
    run(t, script);
    assert_true(session_can_outlive(&t->session, &t->exchange));
    session_outlive(&t->session, &t->exchange, NULL, &out);
    PgPolicy policy = {0};
    for (Slice rest = buf_slice(&out); rest.len > 0;) {
        PgFramer framer = {0};
        PgPiece piece;
        assert_true(pg_framer_next(&framer, &policy, rest, &piece) == WIRE_DONE);
        rest = slice_skip(rest, piece.raw.len);
        text[len++] = piece.type;
    }
    buf_done(&out);
    for (; *then != '\0'; then++) {
        PgPiece piece = {.type = *then, .first = true, .last = true};
        SessionStep step = session_client_piece(&t->session, NULL, &piece, &t->out);
        if (step == STEP_FAILED) {
            text[len++] = 'E';
        }
        if (step == STEP_READY || (step == STEP_FAILED && t->out.ready)) {
            text[len++] = 'Z';
        }
        if (step == STEP_BORROW) {
            text[len++] = '!';
        }
    }
    text[len] = '\0';
    talk_free(t);
    return text;
}

static void test_who_stays_hears_it_once_for_each_sync(void **state)
{
    (void)state;
    assert_string_equal(told_after("Q insert into t values (1)", "Q"), "EZ!");
    assert_string_equal(told_after(BEGUN "Q insert into t values (1)\nQ commit", ""), "EZEZ");
    assert_string_equal(told_after("P - select 1\nB -\nE\nS", "P"), "EZ!");
    assert_string_equal(told_after(BEGUN "P - select 1\nB -", "ESQ"), "EZ!");
    assert_string_equal(told_after(BEGUN, "QQ"), "EZ!"); /* it hears it when it asks */
    assert_string_equal(told_after(BEGUN, "PBESP"), "EZ!");
    assert_string_equal(told_after(BEGUN, "SP"), "EZ!");
}

static void test_who_cannot_stay(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        "Q select 1\n< TDCZI",                        /* at rest: there is nothing to say */
        BEGUN "Q create temporary table t ()\n< CZT", /* which is gone */
        BEGUN "Q copy t from stdin\n< G",             /* it is not listening */
    };
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        Talk *t = talk_new(false);
        run(t, scripts[i]);
        assert_false(session_can_outlive(&t->session, &t->exchange));
        talk_free(t);
    }
}

/* What only reads may be sent again; by a session that is as it was before. */
static void test_what_is_sent_again(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        bool resends;
    } cases[] = {
        {"Q select 1", true},
        {"P - select 1\nB -\nE\nS", true},
        {"P a select 1\nB a\nE\nS", true},
        {"P a select 1\nS\n< 31ZI\nB a\nE\nS", true},
        {"Q select 1\n< T", true}, /* whether that was passed on is the shell's to know */
        {"Q begin", true},         /* there is nothing in it */
        {"P - begin\nB -\nE\nP - select 1\nB -\nE\nS", false},
        {"P - select 1\nB -\nE\nP - select 2\nB -\nE\nS", true},
        {"P a select 1\nS", true},
        {"Q select 1\nQ select 2", false},
        {"Q select 1\nP - select 2", false},
        {"Q select 1; select 2", false},
        {"Q select f()", false},
        {"Q insert into t values (1)", false},
        {"Q select 1 for update", false},
        {"Q set a = 1", false},
        {"P - select 1\nB -\nE", false}, /* it is not complete */
        {"Q select 1\n< TDCZI", false},  /* it is answered */
        {BEGUN "Q select 1", false},
        {"Q create temporary table t ()\n< CZI\nQ select 1", false},
        {"P a insert into t values (1)\nS\n< 31ZI\nB a\nE\nS", false},
        {"F", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Talk *t = talk_new(false);
        t->exchange.dialect.wants_reads = true;
        run(t, cases[i].script);
        if (session_can_resend(&t->session, &t->exchange) != cases[i].resends) {
            fail_msg("%s", cases[i].script);
        }
        talk_free(t);
    }
}

static void test_a_name_is_taken_back(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    t->exchange.dialect.wants_reads = true;
    run(t, "P a select 1\nB a\nE\nS");
    assert_non_null(statement_names_get(&t->session.names, SLICE("a")));
    assert_true(session_can_resend(&t->session, &t->exchange));
    session_undo(&t->session, &t->exchange);
    assert_null(statement_names_get(&t->session.names, SLICE("a")));
    talk_free(t);
}

static SessionStep fail_with(Talk *t, const char *sqlstate)
{
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    pg_put_error(&body, &(PgError){.severity = SLICE("ERROR"),
                                   .sqlstate = slice_of(sqlstate),
                                   .message = SLICE("m")});
    Slice raw = buf_slice(&body);
    PgPiece piece = {.type = 'E',
                     .first = true,
                     .last = true,
                     .raw = raw,
                     .body = slice_skip(raw, PG_HEADER_SIZE)};
    SessionStep step = session_server_piece(&t->session, &t->exchange, &piece, &t->out);
    buf_done(&body);
    return step;
}

static char letter_told(char type, SessionStep step, const SessionOut *out)
{
    (void)out;
    return step == STEP_FORWARD ? type : '.';
}

/* Types of what was sent, one letter each. */
static void check_sent(Talk *t, const char *want)
{
    char types[TALK_MAX] = {0};
    size_t len = 0;
    PgPolicy policy = {0};
    for (Slice rest = buf_slice(&t->sent); rest.len > 0;) {
        PgFramer framer = {0};
        PgPiece piece;
        assert_true(pg_framer_next(&framer, &policy, rest, &piece) == WIRE_DONE);
        rest = slice_skip(rest, piece.raw.len);
        types[len++] = piece.type;
    }
    assert_string_equal(types, want);
}

/* In the transaction of the first batch, in front of it; and of no other. */
static void test_what_is_sent_again_is_read_only(void **state)
{
    (void)state;
    char got[TALK_MAX];
    Talk *t = talk_new(false);
    session_guard(&t->exchange);
    run(t, "Q select 1");
    check_sent(t, "PBEQ");
    assert_true(slice_has(buf_slice(&t->sent), "SET transaction_read_only = on"));
    /* Where that fails, the server drops what is behind it, too: there is nothing. */
    assert_int_equal(talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "insert", &t->sent),
                     STEP_WAIT);
    talk_answer(&t->session, &t->exchange, &t->out, "12CTDCZI", letter_told, got);
    assert_string_equal(got, "...TDCZ");
    run(t, "Q insert into t values (1)");
    check_sent(t, "PBEQQ");
    assert_int_equal(fail_with(t, "25006"), STEP_FORWARD); /* is the client's own */
    talk_free(t);
    t = talk_new(false);
    session_guard(&t->exchange);
    run(t, "C\nS\nQ insert into t values (1)"); /* what begins no transaction */
    check_sent(t, "CCSQ");
    talk_free(t);
}

static void test_what_writes_after_all(void **state)
{
    (void)state;
    static const char *const scripts[] = {"Q select 1", "P - select 1\nB -\nE\nS",
                                          "P a select 1\nB a\nE\nS"};
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        Talk *t = talk_new(false);
        char got[TALK_MAX];
        t->exchange.dialect.wants_reads = true;
        session_guard(&t->exchange);
        run(t, scripts[i]);
        talk_answer(&t->session, &t->exchange, &t->out, "12C", letter_told, got);
        assert_int_equal(session_lost(&t->session, &t->exchange), LOSS_UNDONE);
        assert_int_equal(fail_with(t, "25006"), STEP_REFUSE);
        assert_int_equal(session_lost(&t->session, &t->exchange), LOSS_UNKNOWN);
        assert_true(session_can_outlive(&t->session, &t->exchange));
        talk_free(t);
    }
    Talk *t = talk_new(false);
    run(t, "Q select 1");
    assert_int_equal(fail_with(t, "25006"), STEP_FORWARD);
    talk_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_has_not_happened),
        cmocka_unit_test(test_what_may_have_happened),
        cmocka_unit_test(test_at_rest),
        cmocka_unit_test(test_a_relay),
        cmocka_unit_test(test_who_stays_hears_it_once_for_each_sync),
        cmocka_unit_test(test_who_cannot_stay),
        cmocka_unit_test(test_what_is_sent_again),
        cmocka_unit_test(test_a_name_is_taken_back),
        cmocka_unit_test(test_what_is_sent_again_is_read_only),
        cmocka_unit_test(test_what_writes_after_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
