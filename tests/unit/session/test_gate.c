/* Which successes are held where commits wait for standbys (RULES F6), message by message. */
#include <stdlib.h>

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
    t->exchange.dialect.wants_reads = true;
    t->exchange.gate.on = true;
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

/* 'n' is the notice of a wait that was cut. */
static SessionStep hear(Talk *t, char type, Slice status)
{
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    if (type == 'n') {
        static const char fields[] = "SWARNING\0C01000\0Mcanceled\0RSyncRepWaitForLSN\0";
        buf_append(&body, fields, sizeof(fields));
        type = 'N';
    } else {
        buf_append_slice(&body, status);
    }
    PgPiece piece = {.type = type,
                     .first = true,
                     .last = true,
                     .raw = buf_slice(&body),
                     .body = buf_slice(&body)};
    SessionStep step = session_server_piece(&t->session, &t->exchange, &piece, &t->out);
    buf_done(&body);
    return step;
}

/* Where it is held a '*' is put, and it is opened, and given again. */
static void answer(Talk *t, const char *types, Buf *got)
{
    for (const char *type = types; *type != '\0'; type++) {
        bool ready = *type == 'Z';
        Slice status = ready ? (Slice){type + 1, 1} : SLICE("");
        SessionStep step = hear(t, *type, status);
        if (step == STEP_GATE) {
            buf_append_str(got, "*");
            session_gate_open(&t->exchange);
            step = hear(t, *type, status);
        }
        assert_true(step != STEP_GATE && step != STEP_REFUSE);
        if (step == STEP_FORWARD) {
            buf_append_char(got, *type);
        }
        type += ready ? 1 : 0;
    }
}

/* A line per message: "Q text"; "P name text", "B name portal", "E portal", "S"; "< types" is the
 * server's; "+" and "-" are a cancel that is sent, and has arrived; "@us" is how long the rest has
 * run. */
static void check(bool relay, bool quiet, int64_t timeout_us, const char *script, const char *want)
{
    Talk *t = talk_new(relay);
    Buf got;
    buf_init(&got, BUF_MAX_DEFAULT);
    t->exchange.gate.quiet = quiet;
    t->exchange.gate.timeout_us = timeout_us;
    for (Slice rest = slice_of(script); rest.len > 0;) {
        Slice line = slice_cut(&rest, '\n');
        CLEANUP(mem_free_ptr) char *text = mem_printf("%.*s", SLICE_FMT(line));
        char name[2] = {line.len > 2 && text[2] != '-' ? text[2] : '\0'};
        switch (text[0]) {
        case '<':
            answer(t, text + 2, &got);
            break;
        case '+':
        case '-':
            session_gate_cancel(&t->exchange, text[0] == '-');
            break;
        case '@':
            t->exchange.gate.took_us = strtoll(text + 1, NULL, 10);
            break;
        case 'Q':
            talk_message(&t->session, &t->exchange, &t->out, 'Q', "", text + 2, &t->sent);
            break;
        case 'P':
        case 'B':
            talk_message(&t->session, &t->exchange, &t->out, text[0], name,
                         line.len > 4 ? text + 4 : "", &t->sent);
            break;
        default:
            talk_message(&t->session, &t->exchange, &t->out, text[0], "",
                         line.len > 2 ? text + 2 : "", &t->sent);
        }
    }
    if (!slice_is(buf_slice(&got), want)) {
        fail_msg("%s: %s, not %s", script, buf_str(&got), want);
    }
    buf_done(&got);
    talk_free(t);
}

#define INSERT "Q insert into t values (1)\n"

static void test_a_notice(void **state)
{
    (void)state;
    check(false, false, 0, INSERT "< CZI", "CZ");
    check(false, false, 0, INSERT "< nCZI", "*CZ");
    check(true, false, 0, INSERT "< nCZI", "*CZ");
    check(false, false, 0, "P - insert into t values (1)\nB -\nE\nS\n< 12CnZI", "12C*Z");
    check(false, false, 0, "Q begin\n< CZT\n" INSERT "< CZT\nQ commit\n< nCZI", "CZCZ*CZ");
    check(false, false, 0, "Q commit; select 1\n< nCTDCZI", "*CTDCZ");
    check(false, false, 0, INSERT "< nCZI\n" INSERT "< CZI", "*CZCZ"); /* the next one is clean */
    check(false, false, 0, INSERT "< nEZI", "E*Z");
    check(false, false, 0, INSERT "< NCZI", "NCZ"); /* another notice passes */
}

static void test_a_cancel(void **state)
{
    (void)state;
    check(false, false, 0, INSERT "+\n< CZI", "*CZ"); /* it is still on its way */
    check(false, false, 0, INSERT "+\n-\n< CZI", "*CZ");
    check(false, false, 0, INSERT "-\n< CZI", "CZ");
    check(false, false, 0, INSERT "+\n-\n< CZI\n" INSERT "< CZI", "*CZCZ");
    /* It may hit what comes next. */
    check(false, false, 0, INSERT "+\n< CZI\n" INSERT "-\n< CZI", "*CZ*CZ");
    check(false, false, 0, INSERT INSERT "+\n-\n< CZICZI\n" INSERT "< CZI", "*CZ*CZCZ");
    check(false, false, 0, "Q select 1\n+\n-\n< TDCZI", "TD*CZ");
}

static void test_what_ends_transactions_by_itself(void **state)
{
    (void)state;
    static const char *const slow[] = {"Q call p()", "Q vacuum", "Q create database d",
                                       "Q insert into t values (1); select 1"};
    for (size_t i = 0; i < ARRAY_LEN(slow); i++) {
        CLEANUP(mem_free_ptr) char *brief = mem_printf("%s\n@4999\n< CZI", slow[i]);
        CLEANUP(mem_free_ptr) char *late = mem_printf("%s\n@5000\n< CZI", slow[i]);
        check(false, false, 5000, brief, "CZ");
        check(false, false, 5000, late, "*CZ");
        check(true, false, 5000, late, "*CZ");
    }
    /* There is none, or a long one: from GATE_SLOW_US on. */
    check(false, false, 0, "Q call p()\n@99999\n< CZI", "CZ");
    check(false, false, 0, "Q call p()\n@100000\n< CZI", "*CZ");
    check(false, false, 60000000, "Q call p()\n@100000\n< CZI", "*CZ");
    /* A COMMIT waits without one. */
    check(false, false, -1, "Q begin\n< CZT\n" INSERT "< CZT\nQ commit\n@100000\n< CZI", "CZCZCZ");
    check(false, false, 0, "Q commit prepared 'x'\n@100000\n< CZI", "*CZ");
    /* It is not known, or not the one of the login. */
    check(false, false, -1, "Q call p()\n< CZI", "*CZ");
    check(true, false, 0, "Q set statement_timeout = 1\n< CZI\nQ call p()\n< CZI", "CZ*CZ");
    check(true, false, 0, "Q reset all\n< CZI\nQ call p()\n< CZI", "CZ*CZ");
    check(false, false, 0, "P - call p()\nB -\nE\nS\n@100000\n< 12CZI", "12*C*Z");
    /* Whatever took long otherwise did not run into it in the wait. */
    check(false, false, 5000, INSERT "@9999999\n< CZI", "CZ");
    /* By a name that nobody follows it may be anything. */
    check(true, false, 5000, "P a call p()\nS\n< 1ZI\nB a\nE\nS\n@5000\n< 2CZI", "1Z2*C*Z");
}

static void test_who_hears_no_warnings(void **state)
{
    (void)state;
    check(false, true, 0, INSERT "< CZI", "*CZ");
    check(false, true, 0, INSERT "< EZI", "E*Z");
    check(false, true, 0, "Q select 1\n< TDCZI", "TDCZ"); /* nothing was written */
    check(false, true, 0, "Q begin\n< CZT\nQ select 1\n< TDCZT\nQ commit\n< CZI", "CZTDCZCZ");
    check(false, true, 0, "Q begin\n< CZT\n" INSERT "< CZT\nQ commit\n< CZI", "CZCZ*CZ");
    check(false, true, 0, "P - insert into t values (1)\nB -\nE\nS\n< 12CZI", "12C*Z");
    check(false, true, 0, "Q begin\n< CZT\n" INSERT "< CZT\nP - commit\nB -\nE\nS\n< 12CZI",
          "CZCZ12*C*Z");
    check(false, true, 0, "Q insert into t values (1); insert into t values (2)\n< CCZI", "*C*CZ");
    check(true, true, 0, INSERT "< CZI\nQ select 1\n< TDCZI", "*CZTDCZ");
    /* What was proven for one word is not for what comes behind it. */
    check(false, true, 0, "Q select 1; call p()\n< TDCEZI", "TD*CE*Z");
    check(false, true, 0, INSERT "< CnZI", "*C*Z");
    check(false, true, 0, INSERT "< CNZI", "*CNZ");
    check(true, true, 0, "P a insert into t values (1)\nS\n< 1ZI\nB a\nE\nS\n< 2CZI", "1Z2*C*Z");
    check(false, false, 0, "F\n< VZI", "V*Z");
}

/* What runs was said earlier, or is another portal than the one that the batch has bound. */
static void test_what_was_said_before(void **state)
{
    (void)state;
    static const char insert[] = "P - insert into t values (1)\nS\n< 1ZI\n";
    static const char call[] = "P - call p()\nS\n< 1ZI\n";
    static const char selects[] = "P - select 1\nB -\nE\n";
    for (int relay = 0; relay < 2; relay++) {
        CLEANUP(mem_free_ptr) char *again = mem_printf("%sB -\nE\nS\n< 2CZI", insert);
        check(relay != 0, true, 0, again, "1*Z2C*Z");
        CLEANUP(mem_free_ptr)
        char *skipped =
            mem_printf("%sP b select 2\nP - select 1\nS\n< EZI\nB -\nE\nS\n< 2CZI", insert);
        check(true, true, 0, skipped, "1*ZEZ2*C*Z");
        CLEANUP(mem_free_ptr) char *slow = mem_printf("%sB -\nE\nS\n@100000\n< 2CZI", call);
        check(relay != 0, false, 0, slow, "1Z2*C*Z");
        CLEANUP(mem_free_ptr)
        char *bound = mem_printf("Q begin\n< CZT\nP - commit\nB - c\nS\n< 12ZT\n" INSERT
                                 "< CZT\n%sE c\nS\n< 12CCZI",
                                 selects);
        check(relay != 0, true, 0, bound, "CZ12ZCZ12*C*C*Z");
    }
    /* By a name that is not followed. */
    CLEANUP(mem_free_ptr)
    char *kept =
        mem_printf("P a insert into t values (1)\nS\n< 1ZI\n%sB a p\nE p\nS\n< 12C2CZI", selects);
    check(true, true, 0, kept, "1Z12*C2*C*Z");
    CLEANUP(mem_free_ptr) char *reads = mem_printf("%sS\n< 12CZI", selects);
    check(false, true, 0, reads, "12CZ");
    check(false, true, 0, "P - select 1\nB - p\nE p\nS\n< 12CZI", "12CZ");
    check(false, true, 0, "P - select 1\nS\n< 1ZI\nB -\nE\nS\n< 2CZI", "1Z2CZ");
    check(false, false, 0, "P - call p()\nS\n< 1ZI\nP - select 1\nB -\nE\nS\n@100000\n< 12CZI",
          "1Z12CZ");
    check(true, false, 0,
          "P a set client_min_messages = error\nS\n< 1ZI\nB a\nE\nS\n< 2CZI\n" INSERT "< CZI",
          "1Z2*C*Z*CZ");
}

static void test_who_keeps_them_away(void **state)
{
    (void)state;
    check(true, false, 0, "Q set client_min_messages = error\n< CZI\n" INSERT "< CZI", "CZ*CZ");
    check(true, false, 0, "Q set client_min_messages = warning\n< CZI\n" INSERT "< CZI", "CZCZ");
    check(false, false, 0,
          "Q begin\n< CZT\nQ set local client_min_messages to 'error'\n< CZT\n" INSERT
          "< CZT\nQ commit\n< CZI",
          "CZCZCZ*CZ");
    check(false, false, 0, "Q set client_min_messages = error; insert into t values (1)\n< CCZI",
          "*C*CZ");
    check(false, false, 0, "Q do 'x'\n< CZI", "*CZ");
    check(true, false, 0, "Q do 'x'\n< CZI\n" INSERT "< CZI", "*CZ*CZ");
    check(true, true, 0, "Q set client_min_messages = warning\n< CZI\n" INSERT "< CZI", "CZ*CZ");
}

/* Of a session that has made itself hear them, where the login does not. */
static SessionStep commit_of_one_that_hears(const char *says)
{
    Talk *t = talk_new(false);
    Settings *own = settings_intern(t->settings, SLICE("client_min_messages\0warning\0"));
    t->session.settings = own;
    t->exchange.applied = settings_ref(own);
    t->exchange.gate.quiet = true;
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    const char *const texts[] = {"begin", says, "insert into t values (1)", "commit"};
    SessionStep step = STEP_FORWARD;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        talk_message(&t->session, &t->exchange, &t->out, 'Q', "", texts[i], &t->sent);
        step = hear(t, 'C', SLICE(""));
        if (i + 1 < ARRAY_LEN(texts)) {
            assert_int_equal(step, STEP_FORWARD);
            assert_int_equal(hear(t, 'Z', SLICE("T")), STEP_FORWARD);
        }
    }
    talk_free(t);
    return step;
}

static void test_what_is_led_back(void **state)
{
    (void)state;
    assert_int_equal(commit_of_one_that_hears("select 1"), STEP_FORWARD);
    assert_int_equal(commit_of_one_that_hears("set work_mem = 1"), STEP_FORWARD);
    assert_int_equal(commit_of_one_that_hears("reset client_min_messages"), STEP_GATE);
    assert_int_equal(commit_of_one_that_hears("reset all"), STEP_GATE);
    assert_int_equal(commit_of_one_that_hears("set local client_min_messages = error"), STEP_GATE);
}

/* A server that has another client's, which are led back in the transaction. */
static void test_what_another_client_has_set(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    t->exchange.applied = settings_intern(t->settings, SLICE("client_min_messages\0error\0"));
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "insert into t values (1)", &t->sent);
    assert_int_equal(hear(t, '1', SLICE("")), STEP_DROP);
    assert_int_equal(hear(t, '2', SLICE("")), STEP_DROP);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_DROP);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_GATE);
    talk_free(t);
}

/* The client's own statement_timeout is known. */
static void test_a_timeout_of_its_own(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    t->session.settings = settings_intern(t->settings, SLICE("statement_timeout\0005ms\0"));
    t->exchange.applied = settings_ref(t->session.settings);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "call p()", &t->sent);
    t->exchange.gate.took_us = 4999;
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_FORWARD);
    t->exchange.gate.took_us = 5000;
    assert_int_equal(hear(t, 'Z', SLICE("I")), STEP_GATE);
    talk_free(t);
}

/* A client that is linked while a cancel is on its way. */
static void test_a_cancel_before_the_link(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    session_gate_cancel(&t->exchange, false);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "select 1", &t->sent);
    session_gate_cancel(&t->exchange, true);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_GATE);
    talk_free(t);
}

/* Its settings are asked for, and meanwhile it runs what may set anything. */
static void test_what_is_said_while_it_is_asked(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "set work_mem = 1", &t->sent);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_FORWARD);
    assert_int_equal(hear(t, 'Z', SLICE("I")), STEP_FORWARD);
    assert_int_equal(t->exchange.asking, ASKING_SETTINGS);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "do 'x'", &t->sent);
    assert_int_equal(hear(t, 'D',
                          (Slice){"\0\1\0\0\0\1"
                                  "1",
                                  7}),
                     STEP_DROP);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_DROP);
    assert_int_equal(hear(t, 'Z', SLICE("I")), STEP_DROP);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_GATE);
    talk_free(t);
}

/* A Parse that is longer than what is read of it, by a name. */
static void test_what_is_not_read(void **state)
{
    (void)state;
    Talk *t = talk_new(true);
    PgPiece piece = {
        .type = 'P', .first = true, .raw = SLICE("P"), .body = SLICE("a\0insert into")};
    assert_int_equal(session_client_piece(&t->session, &t->exchange, &piece, &t->out),
                     STEP_FORWARD);
    piece = (PgPiece){.last = true, .raw = SLICE("x"), .body = SLICE("x")};
    assert_int_equal(session_client_piece(&t->session, &t->exchange, &piece, &t->out),
                     STEP_FORWARD);
    talk_message(&t->session, &t->exchange, &t->out, 'S', "", "", &t->sent);
    assert_int_equal(hear(t, '1', SLICE("")), STEP_FORWARD);
    assert_int_equal(hear(t, 'Z', SLICE("I")), STEP_GATE);
    session_gate_open(&t->exchange);
    assert_int_equal(hear(t, 'Z', SLICE("I")), STEP_FORWARD);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "insert into t values (1)", &t->sent);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_GATE);
    talk_free(t);
}

static void test_off(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    t->exchange.gate.on = false;
    t->exchange.gate.quiet = true;
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "call p()", &t->sent);
    session_gate_cancel(&t->exchange, false);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_FORWARD);
    assert_int_equal(hear(t, 'Z', SLICE("I")), STEP_FORWARD);
    talk_free(t);
}

/* A commit that was seen is never one that has not happened. */
static void test_what_it_loses(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    talk_message(&t->session, &t->exchange, &t->out, 'Q', "", "select * from v", &t->sent);
    assert_int_equal(hear(t, 'n', SLICE("")), STEP_DROP);
    assert_int_equal(hear(t, 'C', SLICE("")), STEP_GATE);
    assert_int_equal(session_lost(&t->session, &t->exchange), LOSS_UNKNOWN);
    talk_free(t);
}

static void test_timeouts(void **state)
{
    (void)state;
    assert_int_equal(session_timeout_us(SLICE("0")), 0);
    assert_int_equal(session_timeout_us(SLICE("250ms")), 250000);
    assert_int_equal(session_timeout_us(SLICE("5s")), 5000000);
    assert_int_equal(session_timeout_us(SLICE("1min")), 60000000);
    assert_int_equal(session_timeout_us(SLICE("2h")), 7200000000);
    assert_int_equal(session_timeout_us(SLICE("24d")), (int64_t)24 * 86400 * 1000000);
    assert_int_equal(session_timeout_us(SLICE("")), -1);
    assert_int_equal(session_timeout_us(SLICE("5 s")), -1);
    assert_int_equal(session_timeout_us(SLICE("99999999999999999999s")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_notice),
        cmocka_unit_test(test_a_cancel),
        cmocka_unit_test(test_what_ends_transactions_by_itself),
        cmocka_unit_test(test_who_hears_no_warnings),
        cmocka_unit_test(test_what_was_said_before),
        cmocka_unit_test(test_who_keeps_them_away),
        cmocka_unit_test(test_what_is_led_back),
        cmocka_unit_test(test_what_another_client_has_set),
        cmocka_unit_test(test_a_timeout_of_its_own),
        cmocka_unit_test(test_a_cancel_before_the_link),
        cmocka_unit_test(test_what_is_said_while_it_is_asked),
        cmocka_unit_test(test_what_is_not_read),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_what_it_loses),
        cmocka_unit_test(test_timeouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
