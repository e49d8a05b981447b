/* Channels that change hands: who tells a client what, and when it waits. */
#include "talk.h"

#define SERVER_PID 7
#define TOLD_PID   1000
#define OTHER_PID  8
#define MARK       "weir:m"

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    StatementTable *statements;
    SettingTable *settings;
    Buf sent; /* to the server */
} Talk;

static int setup(void **state)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->statements = statement_table_new();
    t->settings = setting_table_new();
    exchange_init(&t->exchange, t->statements, t->settings);
    session_init(&t->session, false);
    t->session.pid = TOLD_PID;
    t->exchange.pid = SERVER_PID;
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    buf_init(&t->sent, BUF_MAX_DEFAULT);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    Talk *t = *state;
    session_done(&t->session);
    exchange_done(&t->exchange);
    statement_table_free(t->statements);
    setting_table_free(t->settings);
    buf_done(&t->sent);
    mem_free(t);
    return 0;
}

static SessionStep client(Talk *t, char type, const char *name, const char *text)
{
    buf_clear(&t->sent);
    return talk_message(&t->session, &t->exchange, &t->out, type, name, text, &t->sent);
}

static SessionStep query(Talk *t, const char *text)
{
    return client(t, 'Q', "", text);
}

static SessionStep says(Talk *t, char type, Slice body)
{
    Buf raw;
    buf_init(&raw, BUF_MAX_DEFAULT);
    size_t mark = pg_put_begin(&raw, type);
    buf_append_slice(&raw, body);
    pg_put_end(&raw, mark);
    PgPiece piece = {.type = type,
                     .first = true,
                     .last = true,
                     .raw = buf_slice(&raw),
                     .body = slice_skip(buf_slice(&raw), PG_HEADER_SIZE)};
    SessionStep step = session_server_piece(&t->session, &t->exchange, &piece, &t->out);
    buf_done(&raw);
    if (t->out.behind.len > 0) {
        buf_clear(&t->sent);
        buf_append_slice(&t->sent, t->out.behind);
    }
    return step;
}

static SessionStep ready(Talk *t, char status)
{
    return says(t, 'Z', (Slice){&status, 1});
}

static void done(Talk *t, const char *tag)
{
    says(t, 'C', slice_from(tag, strlen(tag) + 1));
    ready(t, 'I');
}

static SessionStep notified(Talk *t, uint32_t pid, const char *channel, const char *payload)
{
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    pg_put_u32(&body, pid);
    pg_put_str(&body, slice_of(channel));
    pg_put_str(&body, slice_of(payload));
    SessionStep step = says(t, 'A', buf_slice(&body));
    buf_done(&body);
    return step;
}

/* The text of the one Query that was sent last. */
static void assert_sent(const Talk *t, const char *text)
{
    PgPiece piece;
    PgFramer framer = {0};
    PgPolicy policy = {0};
    assert_true(pg_framer_next(&framer, &policy, buf_slice(&t->sent), &piece) == WIRE_DONE);
    assert_int_equal(piece.type, 'Q');
    assert_int_equal(piece.raw.len, t->sent.len);
    assert_string_equal(piece.body.data, text);
}

/* A row of the answer to the question what pins. */
static void row(Talk *t, const char *others, const char *channel)
{
    Buf body;
    buf_init(&body, BUF_MAX_DEFAULT);
    pg_put_u16(&body, 2);
    pg_put_u32(&body, 1);
    buf_append_str(&body, others);
    pg_put_u32(&body, channel != NULL ? (uint32_t)strlen(channel) : UINT32_MAX);
    buf_append_str(&body, channel != NULL ? channel : "");
    assert_int_equal(t->exchange.asking, ASKING_PINS);
    assert_true(says(t, 'D', buf_slice(&body)) == STEP_DROP);
    buf_done(&body);
}

static void found(Talk *t)
{
    assert_true(query(t, "listen a; listen \"b\"\"c\"") == STEP_FORWARD);
    assert_int_equal(t->session.pin, PIN_LISTEN);
    done(t, "LISTEN");
    row(t, "f", "a");
    row(t, "f", "b\"c");
    done(t, "SELECT 2");
    assert_int_equal(t->out.news, LISTEN_FOUND);
    assert_false(t->out.at_rest);
    assert_int_equal(t->session.pin, PIN_LISTEN);
}

static void test_extended(void **state)
{
    Talk *t = *state;
    client(t, 'P', "", "listen a");
    client(t, 'B', "", "");
    client(t, 'E', "", "");
    client(t, 'S', "", "");
    says(t, '1', SLICE(""));
    says(t, '2', SLICE(""));
    done(t, "LISTEN");
    row(t, "f", "a");
    done(t, "SELECT 1");
    assert_int_equal(t->out.news, LISTEN_FOUND);
    assert_true(session_listen_is_found(&t->session, &t->exchange));
}

static void share_begins(Talk *t)
{
    found(t);
    assert_true(session_listen_share(&t->session, &t->exchange, SLICE(MARK), SLICE("x"), &t->out));
    buf_clear(&t->sent);
    buf_append_slice(&t->sent, t->out.behind);
    assert_sent(t, "LISTEN \"" MARK "\"; NOTIFY \"" MARK "\", 'x.1'");
    assert_true(query(t, "select 1") == STEP_WAIT);
}

static void shared(Talk *t)
{
    share_begins(t);
    assert_true(notified(t, OTHER_PID, MARK, "x.1") == STEP_DROP);
    done(t, "NOTIFY");
    assert_sent(t, "UNLISTEN *");
    done(t, "UNLISTEN");
    assert_int_equal(t->out.news, LISTEN_HANDED);
    assert_true(t->out.unpinned && t->out.at_rest);
    session_listen_passed(&t->session);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
}

static void test_to_the_shared_connection(void **state)
{
    Talk *t = *state;
    share_begins(t);
    assert_true(notified(t, OTHER_PID, "a", "before") == STEP_FORWARD);
    assert_true(notified(t, OTHER_PID, MARK, "y.1") == STEP_DROP); /* somebody else's */
    assert_true(notified(t, OTHER_PID, "a", "before") == STEP_FORWARD);
    assert_true(notified(t, SERVER_PID, MARK, "x.1") == STEP_DROP);
    assert_true(notified(t, OTHER_PID, "a", "behind") == STEP_DROP);
    done(t, "NOTIFY");
    assert_true(notified(t, OTHER_PID, "a", "behind") == STEP_DROP);
    assert_int_equal(t->session.pin, PIN_LISTEN);
    done(t, "UNLISTEN");
    assert_true(t->out.at_rest);
    assert_int_equal(t->session.pin, PIN_NONE);
}

static void test_not_to_be_shared(void **state)
{
    Talk *t = *state;
    /* Something was said since. */
    found(t);
    query(t, "select 1");
    assert_false(session_listen_share(&t->session, &t->exchange, SLICE(MARK), SLICE("x"), &t->out));
    done(t, "SELECT 1");
    assert_int_equal(t->exchange.asking, ASKING_PINS); /* so it is asked again */
    row(t, "f", "a");
    query(t, "listen c"); /* on its way already */
    done(t, "SELECT 1");
    assert_false(session_listen_share(&t->session, &t->exchange, SLICE(MARK), SLICE("x"), &t->out));
    done(t, "LISTEN");
    /* Something else pins, too. */
    row(t, "t", "a");
    done(t, "SELECT 1");
    assert_int_equal(t->out.news, LISTEN_NO_NEWS);
    assert_false(session_listen_share(&t->session, &t->exchange, SLICE(MARK), SLICE("x"), &t->out));
    /* In the middle of a batch. */
    query(t, "listen c");
    done(t, "LISTEN");
    row(t, "f", "a");
    done(t, "SELECT 1");
    assert_int_equal(t->out.news, LISTEN_FOUND);
    client(t, 'P', "", "select 1");
    client(t, 'B', "", "");
    says(t, '1', SLICE(""));
    says(t, '2', SLICE(""));
    assert_false(session_listen_share(&t->session, &t->exchange, SLICE(MARK), SLICE("x"), &t->out));
    client(t, 'S', "", "");
    ready(t, 'I');
    /* Too many. */
    for (int i = 0; i <= LISTEN_CHANNELS_MAX; i++) {
        row(t, "f", "a");
    }
    done(t, "SELECT 201");
    assert_int_equal(t->out.news, LISTEN_NO_NEWS);
    assert_int_equal(t->session.pin, PIN_LISTEN);
}

/* A NOTIFY may fail; then nothing has changed. */
static void test_no_mark(void **state)
{
    Talk *t = *state;
    share_begins(t);
    assert_true(says(t, 'E', SLICE("SERROR\0C54000\0Mtoo many\0")) == STEP_DROP);
    ready(t, 'I');
    assert_int_equal(t->out.news, LISTEN_FAILED);
    assert_int_equal(t->session.pin, PIN_LISTEN);
    assert_true(notified(t, OTHER_PID, "a", "1") == STEP_FORWARD);
    assert_true(query(t, "select 1") == STEP_FORWARD);
}

static void test_back(void **state)
{
    Talk *t = *state;
    shared(t);
    assert_true(query(t, "select 1") == STEP_FORWARD);
    done(t, "SELECT 1");
    assert_true(t->out.at_rest);
    assert_true(query(t, "begin") == STEP_WAIT);
    assert_sent(t,
                "LISTEN \"a\";LISTEN \"b\"\"c\";LISTEN \"" MARK "\"; NOTIFY \"" MARK "\", 'x.2'");
    assert_true(query(t, "begin") == STEP_WAIT);
    assert_int_equal(t->sent.len, 0);
    assert_true(notified(t, OTHER_PID, "a", "before") == STEP_DROP); /* the shared one has it */
    assert_int_equal(t->out.news, LISTEN_NO_NEWS);
    assert_true(notified(t, SERVER_PID, MARK, "x.2") == STEP_DROP);
    assert_true(notified(t, OTHER_PID, "a", "behind") == STEP_DROP);
    assert_int_equal(t->out.news, LISTEN_KEEP);
    done(t, "NOTIFY");
    assert_sent(t, "UNLISTEN \"" MARK "\"");
    done(t, "UNLISTEN");
    assert_int_equal(t->out.news, LISTEN_BACK);
    assert_int_equal(t->out.pinned, PIN_LISTEN);
    assert_false(t->out.at_rest);
    assert_true(query(t, "begin") == STEP_WAIT); /* the shared one is not as far */
    assert_true(notified(t, OTHER_PID, "a", "behind") == STEP_DROP);
    assert_int_equal(t->out.news, LISTEN_KEEP);
    session_listen_passed(&t->session);
    assert_true(notified(t, OTHER_PID, "a", "behind") == STEP_FORWARD);
    assert_true(query(t, "begin") == STEP_FORWARD);
}

static void back(Talk *t, const char *text)
{
    assert_true(query(t, text) == STEP_WAIT);
    session_listen_passed(&t->session); /* it may also be the faster one */
    assert_true(notified(t, SERVER_PID, MARK, "x.2") == STEP_DROP);
    assert_true(notified(t, OTHER_PID, "a", "behind") == STEP_FORWARD);
    done(t, "NOTIFY");
    done(t, "UNLISTEN");
    assert_int_equal(t->out.news, LISTEN_BACK);
    assert_true(query(t, text) == STEP_FORWARD);
}

/* The shared connection is lost; a connection that has been another's comes in its place. */
static void test_anew(void **state)
{
    Talk *t = *state;
    shared(t);
    session_link(&t->session, &t->exchange, HANDOVER_SEQUENCES, &t->out);
    session_listen_anew(&t->session, &t->exchange, &t->out);
    assert_true(query(t, "select 1") == STEP_WAIT);
    done(t, "DISCARD SEQUENCES"); /* what stands in front is not the answer */
    assert_true(notified(t, SERVER_PID, MARK, "x.2") == STEP_DROP);
    done(t, "NOTIFY");
    done(t, "UNLISTEN");
    assert_int_equal(t->out.news, LISTEN_BACK);
    row(t, "f", "a");
    row(t, "f", "b\"c");
    done(t, "SELECT 2");
    assert_int_equal(t->out.news, LISTEN_FOUND);
    assert_true(query(t, "select 1") == STEP_FORWARD);
}

static void test_the_end(void **state)
{
    Talk *t = *state;
    shared(t);
    back(t, "unlisten *");
    done(t, "UNLISTEN");
    row(t, "f", NULL);
    done(t, "SELECT 1");
    assert_int_equal(t->out.news, LISTEN_GONE);
    assert_true(t->out.unpinned && t->out.at_rest);
    assert_null(t->session.listening);
    assert_true(query(t, "begin") == STEP_FORWARD);
}

static void test_back_fails(void **state)
{
    Talk *t = *state;
    shared(t);
    assert_true(query(t, "begin") == STEP_WAIT);
    assert_true(says(t, 'E', SLICE("SERROR\0C54000\0Mtoo many\0")) == STEP_DROP);
    assert_true(ready(t, 'I') == STEP_REFUSE);
    assert_non_null(t->out.problem);
}

static void test_not_before_the_shared_one_has_come_in(void **state)
{
    Talk *t = *state;
    shared(t);
    t->session.listening->passed = false;
    assert_true(query(t, "select 1") == STEP_FORWARD);
    done(t, "SELECT 1");
    assert_true(query(t, "listen c") == STEP_WAIT);
    assert_int_equal(t->sent.len, 0);
    session_listen_passed(&t->session);
    assert_true(query(t, "listen c") == STEP_WAIT);
    assert_true(t->sent.len > 0);
}

/* Where the client's own connection is the shared one: a mark that comes before this listens to
 * marks would be lost. */
static void test_not_before_it_hears_marks(void **state)
{
    Talk *t = *state;
    found(t);
    session_listen_give(&t->session, SLICE(MARK), SLICE("x"));
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    assert_true(query(t, "listen b") == STEP_WAIT);
    assert_int_equal(t->exchange.asking, ASKING_NOTHING);
    session_listen_passed(&t->session);
    assert_true(query(t, "listen b") == STEP_WAIT);
    assert_int_equal(t->exchange.asking, ASKING_RETURN);
}

static void test_what_goes_back(void **state)
{
    static const struct {
        const char *text;
        bool back;
    } texts[] = {
        {"select 1", false},
        {"insert into t values (1)", false},
        {"rollback", false},
        {"set x = 1", false},
        {"select 'listen'", false},
        {"start transaction", true},
        {"select 1; begin", true},
        {"notify a", true},
        {"select pg_notify('a', 'b')", true},
        {"select * from PG_LISTENING_CHANNELS()", true},
        {"discard all", true},
        {"do $$ begin execute 'listen x'; end $$", true},
        {"select currval('s')", true},
        {"frobnicate", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        Talk *t = *state;
        teardown(state);
        setup(state);
        t = *state;
        shared(t);
        assert_true((query(t, texts[i].text) == STEP_WAIT) == texts[i].back);
    }
}

/* Also by name, and in pieces. */
static void test_prepared(void **state)
{
    Talk *t = *state;
    client(t, 'P', "n", "notify a");
    client(t, 'S', "", "");
    says(t, '3', SLICE(""));
    says(t, '1', SLICE(""));
    ready(t, 'I');
    shared(t);
    assert_true(client(t, 'B', "n", "") == STEP_WAIT);
    assert_true(t->sent.len > 0);
    PgPiece piece = {.type = 'Q', .first = true, .raw = SLICE("select"), .body = SLICE("select")};
    teardown(state);
    setup(state);
    t = *state;
    shared(t);
    assert_true(session_client_piece(&t->session, &t->exchange, &piece, &t->out) == STEP_WAIT);
    assert_int_equal(t->exchange.asking, ASKING_RETURN);
}

/* In a transaction that has begun without them: more is fine, less is not. */
static void test_within_a_batch(void **state)
{
    Talk *t = *state;
    shared(t);
    client(t, 'P', "", "select 1");
    assert_true(client(t, 'P', "", "listen c") == STEP_FORWARD);
    client(t, 'B', "", "");
    client(t, 'S', "", "");
    says(t, '1', SLICE(""));
    says(t, '1', SLICE(""));
    says(t, '2', SLICE(""));
    ready(t, 'I');
    assert_true(notified(t, OTHER_PID, "a", "1") == STEP_DROP); /* heard by the shared one */
    assert_true(notified(t, OTHER_PID, "c", "1") == STEP_FORWARD);
    row(t, "f", "c");
    done(t, "SELECT 1");
    assert_int_equal(t->out.news, LISTEN_NO_NEWS);
    assert_int_equal(t->session.pin, PIN_LISTEN);
    client(t, 'P', "", "select 1");
    assert_true(client(t, 'P', "", "unlisten a") == STEP_REFUSE);
    assert_non_null(t->out.problem);
}

static void assert_pid(const Talk *t, uint32_t pid)
{
    PgReader reader = {.rest = slice_skip(t->out.head, PG_HEADER_SIZE)};
    assert_int_equal(t->out.replaced, PG_HEADER_SIZE + 4);
    assert_int_equal(t->out.head.len, PG_HEADER_SIZE + 4);
    assert_int_equal(pg_read_u32(&reader), pid);
}

static void test_the_number_of_who_has_sent_it(void **state)
{
    Talk *t = *state;
    query(t, "listen a");
    assert_true(notified(t, SERVER_PID, "a", "own") == STEP_FORWARD);
    assert_pid(t, TOLD_PID);
    assert_true(notified(t, OTHER_PID, "a", "another's") == STEP_FORWARD);
    assert_int_equal(t->out.replaced, 0);
    assert_true(notified(t, TOLD_PID, "a", "another's, by chance") == STEP_FORWARD);
    assert_pid(t, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_to_the_shared_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_extended, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_to_be_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_mark, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_back_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_before_the_shared_one_has_come_in, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_not_before_it_hears_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_goes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prepared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_within_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_number_of_who_has_sent_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
