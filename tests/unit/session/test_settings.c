/* Settings that follow the client: what goes over the wire, and what a rollback takes back. */
#include "talk.h"

typedef struct Talk {
    Session sessions[2];
    Session *session; /* who talks */
    Exchange exchange;
    SessionOut out;
    StatementTable *statements;
    SettingTable *settings;
    Buf sent; /* to the server, as it goes over the wire */
} Talk;

static int setup(void **state)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->statements = statement_table_new();
    t->settings = setting_table_new();
    exchange_init(&t->exchange, t->statements, t->settings);
    session_init(&t->sessions[0], false);
    session_init(&t->sessions[1], false);
    t->session = &t->sessions[0];
    session_link(t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    buf_init(&t->sent, BUF_MAX_DEFAULT);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    Talk *t = *state;
    session_done(&t->sessions[0]);
    session_done(&t->sessions[1]);
    exchange_done(&t->exchange);
    statement_table_free(t->statements);
    setting_table_free(t->settings);
    buf_done(&t->sent);
    mem_free(t);
    return 0;
}

static SessionStep client(Talk *t, char type, const char *name, const char *text)
{
    return talk_message(t->session, &t->exchange, &t->out, type, name, text, &t->sent);
}

/* What has gone to the server since the last look: texts of Query and Parse, else the type. */
static const char *sent(Talk *t)
{
    static char text[4096];
    size_t len = 0;
    PgPolicy policy = {0};
    text[0] = '\0';
    for (Slice rest = buf_slice(&t->sent); rest.len > 0;) {
        PgFramer framer = {0};
        PgPiece piece;
        PgParse parse;
        assert_true(pg_framer_next(&framer, &policy, rest, &piece) == WIRE_DONE);
        rest = slice_skip(rest, piece.raw.len);
        Slice said = {&piece.type, 1};
        if (piece.type == 'Q') {
            said = piece.body;
            said.len--;
        } else if (piece.type == 'P' && pg_get_parse(piece.body, &parse)) {
            said = parse.query;
        }
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s", len > 0 ? "; " : "",
                                SLICE_FMT(said));
        assert_true(len < sizeof(text));
    }
    buf_clear(&t->sent);
    return text;
}

static SessionStep says(Talk *t, char type, Slice body)
{
    PgPiece piece = {.type = type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(t->session, &t->exchange, &piece, &t->out);
    assert_null(t->out.problem);
    buf_append_slice(&t->sent, t->out.behind);
    return step;
}

/* CommandComplete. */
static SessionStep done(Talk *t, const char *tag)
{
    return says(t, 'C', slice_from(tag, strlen(tag) + 1));
}

static SessionStep ready(Talk *t, char status)
{
    return says(t, 'Z', (Slice){&status, 1});
}

/* The answer to the proxy's question. */
static void answer(Talk *t, const char *value)
{
    Buf row;
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 1);
    if (value != NULL) {
        pg_put_u32(&row, (uint32_t)strlen(value));
        buf_append_str(&row, value);
    } else {
        pg_put_u32(&row, UINT32_MAX);
    }
    assert_true(says(t, 'T', SLICE("")) == STEP_DROP);
    assert_true(says(t, 'D', buf_slice(&row)) == STEP_DROP);
    assert_true(done(t, "SELECT 1") == STEP_DROP);
    assert_true(ready(t, 'I') == STEP_DROP);
    buf_done(&row);
}

/* The answers to so many statements of a replay. */
static void replayed(Talk *t, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(says(t, '1', SLICE("")) == STEP_DROP);
        assert_true(says(t, '2', SLICE("")) == STEP_DROP);
        assert_true(done(t, "SET") == STEP_DROP);
    }
}

static void link_to(Talk *t, int client_index)
{
    assert_true(t->out.at_rest);
    t->session = &t->sessions[client_index];
    session_link(t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
}

/* A query of its own that sets something, and what PostgreSQL says it is then. */
static void sets(Talk *t, const char *text, const char *question, const char *value)
{
    client(t, 'Q', "", text);
    assert_string_equal(sent(t), text);
    done(t, "SET");
    assert_true(ready(t, 'I') == STEP_FORWARD);
    assert_false(t->out.at_rest);
    assert_string_equal(sent(t), question);
    answer(t, value);
    assert_true(t->out.at_rest);
    assert_int_equal(t->session->pin, PIN_NONE);
}

#define ASK_X "SELECT pg_catalog.current_setting('x', true)"

static void test_what_was_set_is_asked_for_and_replayed(void **state)
{
    Talk *t = *state;
    sets(t, "set x to 'a''b'", ASK_X, "a'b");
    assert_string_equal(t->session->settings->bytes, "x");
    /* Its own connection again: nothing. */
    link_to(t, 0);
    client(t, 'Q', "", "select 1");
    assert_string_equal(sent(t), "select 1");
    done(t, "SELECT 1");
    ready(t, 'I');
    /* Another client: not with that setting. */
    link_to(t, 1);
    client(t, 'Q', "", "select 2");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; select 2");
    replayed(t, 1);
    done(t, "SELECT 1");
    ready(t, 'I');
    assert_ptr_equal(t->exchange.applied, t->sessions[1].settings);
    /* And the first one again, in a pipeline of the extended protocol. */
    link_to(t, 0);
    client(t, 'P', "", "select 3");
    client(t, 'B', "", "");
    client(t, 'E', "", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "SET \"x\" TO 'a''b'; B; E; select 3; B; E; S");
    replayed(t, 1);
    assert_true(says(t, '1', SLICE("")) == STEP_FORWARD);
    assert_true(says(t, '2', SLICE("")) == STEP_FORWARD);
    done(t, "SELECT 1");
    ready(t, 'I');
    assert_true(t->out.at_rest);
    assert_ptr_equal(t->exchange.applied, t->sessions[0].settings);
}

/* The client of index 1 has nothing set, and the server connection has x. */
static void make_missing(Talk *t)
{
    sets(t, "set x = 1", ASK_X, "1");
    link_to(t, 1);
}

static void test_a_rollback_takes_the_replay_back(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'Q', "", "begin");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; begin");
    replayed(t, 1);
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "set y = 1"); /* goes with it */
    done(t, "SET");
    ready(t, 'T');
    client(t, 'Q', "", "rollback to s");
    done(t, "ROLLBACK");
    ready(t, 'T');
    assert_int_equal(t->exchange.settings_state, SETTINGS_REPLAYED);
    client(t, 'Q', "", "rollback");
    (void)sent(t);
    done(t, "ROLLBACK");
    ready(t, 'I');
    assert_true(t->out.at_rest);
    assert_ptr_equal(t->exchange.applied, t->sessions[0].settings);
    link_to(t, 1);
    client(t, 'Q', "", "select 1");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; select 1");
    replayed(t, 1);
    /* An implicit transaction fails. */
    says(t, 'E', SLICE(""));
    ready(t, 'I');
    assert_true(t->out.at_rest);
    assert_ptr_equal(t->exchange.applied, t->sessions[0].settings);
}

/* In one text: the transaction that is open behind it is another one. */
static void test_a_rollback_and_a_begin(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'Q', "", "begin");
    replayed(t, 1);
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "rollback; begin");
    (void)sent(t);
    done(t, "ROLLBACK");
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "select 1");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; select 1");
}

/* By the extended protocol. */
static void runs(Talk *t, const char *text)
{
    assert_true(client(t, 'P', "", text) == STEP_FORWARD);
    assert_true(client(t, 'B', "", "") == STEP_FORWARD);
    assert_true(client(t, 'E', "", "") == STEP_FORWARD);
}

static void has_run(Talk *t, const char *tag)
{
    says(t, '1', SLICE(""));
    says(t, '2', SLICE(""));
    done(t, tag);
}

/* In one batch: what stands behind the ROLLBACK needs the replay once more. */
static void test_a_rollback_within_a_batch(void **state)
{
    Talk *t = *state;
    make_missing(t);
    runs(t, "select 1");
    runs(t, "rollback");
    assert_true(client(t, 'P', "", "show x") == STEP_WAIT);
    assert_string_equal(sent(t), "RESET \"x\"; B; E; select 1; B; E; rollback; B; E; H");
    replayed(t, 1);
    has_run(t, "SELECT 1");
    has_run(t, "ROLLBACK");
    runs(t, "show x");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; show x; B; E; S");
    replayed(t, 1);
    has_run(t, "SHOW");
    ready(t, 'I');
    assert_true(t->out.at_rest);
    assert_null(t->exchange.applied); /* it stands */
}

/* Of what has failed it is a ROLLBACK. Of what has not, it keeps what was set: also what the client
 * itself has. */
static void test_a_commit_within_a_batch(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'Q', "", "begin");
    replayed(t, 1);
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "select 1/0");
    says(t, 'E', SLICE(""));
    ready(t, 'E');
    (void)sent(t);
    runs(t, "commit");
    assert_true(client(t, 'P', "", "show x") == STEP_WAIT);
    assert_string_equal(sent(t), "commit; B; E; H");
    has_run(t, "ROLLBACK");
    runs(t, "show x");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; show x; B; E; S");
    replayed(t, 1);
    has_run(t, "SHOW");
    ready(t, 'I');
    assert_true(t->out.at_rest);
    assert_null(t->exchange.applied); /* it stands */
}

/* What is run is what was bound, whatever has been parsed since. */
static void test_a_commit_that_is_run_late(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'Q', "", "begin");
    replayed(t, 1);
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'P', "", "commit");
    client(t, 'B', "", "");
    client(t, 'P', "", "select 1");
    client(t, 'E', "", "");
    assert_true(client(t, 'P', "", "show x") == STEP_WAIT);
    says(t, '1', SLICE(""));
    says(t, '2', SLICE(""));
    says(t, '1', SLICE(""));
    done(t, "ROLLBACK");
    (void)sent(t);
    client(t, 'P', "", "show x");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; show x");
}

static void test_a_commit_that_keeps_within_a_batch(void **state)
{
    Talk *t = *state;
    make_missing(t);
    runs(t, "begin");
    runs(t, "set x = 5");
    runs(t, "commit");
    (void)sent(t);
    assert_true(client(t, 'P', "", "show x") == STEP_WAIT);
    (void)sent(t);
    replayed(t, 1);
    has_run(t, "BEGIN");
    has_run(t, "SET");
    has_run(t, "COMMIT");
    runs(t, "show x");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "show x; B; E; S");
    has_run(t, "SHOW");
    ready(t, 'I');
}

static void test_a_commit_keeps_the_replay(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'Q', "", "begin");
    replayed(t, 1);
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "commit");
    done(t, "COMMIT");
    assert_null(t->exchange.applied);
    ready(t, 'I');
    assert_true(t->out.at_rest);
}

/* What follows in the pipeline must not run without the settings if that fails. */
static void test_the_pipeline_waits_behind_a_replay(void **state)
{
    Talk *t = *state;
    make_missing(t);
    assert_true(client(t, 'P', "", "select 1") == STEP_FORWARD);
    assert_true(client(t, 'S', "", "") == STEP_FORWARD);
    assert_true(client(t, 'P', "", "select 2") == STEP_WAIT);
    (void)sent(t);
    replayed(t, 1);
    says(t, 'E', SLICE(""));
    ready(t, 'I');
    assert_true(client(t, 'P', "", "select 2") == STEP_FORWARD);
    assert_string_equal(sent(t), "RESET \"x\"; B; E; select 2");
}

/* What the server waits for itself must not. */
static void test_what_is_copied_does_not_wait(void **state)
{
    Talk *t = *state;
    make_missing(t);
    assert_true(client(t, 'Q', "", "copy t from stdin") == STEP_FORWARD);
    assert_true(client(t, 'd', "", "") == STEP_WAIT); /* is it a COPY? */
    (void)sent(t);
    replayed(t, 1);
    says(t, 'G', SLICE(""));
    assert_true(client(t, 'd', "", "") == STEP_FORWARD);
    assert_true(client(t, 'c', "", "") == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
    done(t, "COPY 1");
    ready(t, 'I');
    assert_string_equal(sent(t), "d; c");
    assert_true(client(t, 'Q', "", "select 1") == STEP_FORWARD);
}

/* P1: a refused setting keeps the statement behind it from being run. */
static void test_a_refused_setting(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'Q', "", "insert into t values (1)");
    (void)sent(t);
    assert_true(says(t, 'E', SLICE("")) == STEP_FORWARD); /* the client hears it */
    assert_string_equal(sent(t), "S"); /* what ends the skipping, for a Query has no Sync */
    assert_true(ready(t, 'I') == STEP_FORWARD);
    assert_true(t->out.at_rest);
    assert_ptr_equal(t->exchange.applied, t->sessions[0].settings);
    link_to(t, 1);
    client(t, 'P', "", "insert into t values (1)");
    client(t, 'S', "", "");
    (void)sent(t);
    says(t, 'E', SLICE(""));
    assert_string_equal(sent(t), ""); /* the client's own does */
    assert_true(ready(t, 'I') == STEP_FORWARD);
}

/* A Close needs no settings; what is refused there takes the rest of the batch along. So the client
 * has set nothing, and what it would have set is not asked of a connection that has another's. */
static void test_what_stood_behind_an_error_has_set_nothing(void **state)
{
    Talk *t = *state;
    make_missing(t);
    client(t, 'C', "s", "");
    assert_string_equal(sent(t), "C");
    assert_true(says(t, 'E', SLICE("")) == STEP_FORWARD);
    client(t, 'Q', "", "set x = 2");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "set x = 2; S");
    assert_true(ready(t, 'I') == STEP_FORWARD);
    assert_true(t->out.at_rest);
    assert_string_equal(sent(t), "");
    assert_null(t->sessions[1].settings);
    assert_ptr_equal(t->exchange.applied, t->sessions[0].settings);
}

static void test_what_must_be_alone_waits(void **state)
{
    Talk *t = *state;
    make_missing(t);
    assert_true(client(t, 'Q', "", "vacuum") == STEP_WAIT);
    assert_string_equal(sent(t), "RESET \"x\"; B; E; S");
    assert_true(client(t, 'Q', "", "vacuum") == STEP_WAIT);
    replayed(t, 1);
    assert_true(ready(t, 'I') == STEP_DROP);
    assert_false(t->out.at_rest);
    assert_true(client(t, 'Q', "", "vacuum") == STEP_FORWARD);
    assert_string_equal(sent(t), "vacuum");
    done(t, "VACUUM");
    ready(t, 'I');
    assert_true(t->out.at_rest);
    /* Refused: then in front, so that the client hears it. */
    link_to(t, 0);
    assert_true(client(t, 'Q', "", "vacuum") == STEP_WAIT);
    (void)sent(t);
    assert_true(says(t, 'E', SLICE("")) == STEP_DROP);
    assert_true(ready(t, 'I') == STEP_DROP);
    assert_true(client(t, 'Q', "", "vacuum") == STEP_FORWARD);
    assert_string_equal(sent(t), "SET \"x\" TO '1'; B; E; vacuum");
}

/* In its transaction they would come too late. */
static void test_what_a_transaction_begins_with_waits(void **state)
{
    Talk *t = *state;
    sets(t, "set default_transaction_read_only to on",
         "SELECT pg_catalog.current_setting('default_transaction_read_only', true)", "on");
    link_to(t, 1);
    assert_true(client(t, 'Q', "", "insert into t values (1)") == STEP_WAIT);
    assert_string_equal(sent(t), "RESET \"default_transaction_read_only\"; B; E; S");
}

static void test_reset_and_rollback_of_ones_own(void **state)
{
    Talk *t = *state;
    sets(t, "set x = 1", ASK_X, "1");
    link_to(t, 0);
    sets(t, "reset x", ASK_X, "0"); /* what it is without */
    assert_null(t->session->settings);
    assert_null(t->exchange.applied);
    link_to(t, 0);
    sets(t, "set x = 1", ASK_X, "1");
    link_to(t, 0);
    client(t, 'Q', "", "begin; reset all; rollback");
    (void)sent(t);
    done(t, "ROLLBACK");
    ready(t, 'I');
    assert_string_equal(sent(t), ASK_X);
    answer(t, "1");
    assert_non_null(t->session->settings); /* it never was */
    link_to(t, 0);
    client(t, 'Q', "", "set local y = 1"); /* nothing to ask for */
    done(t, "SET");
    ready(t, 'I');
    assert_true(t->out.at_rest);
}

/* P2: x.y leaves '' behind where there was nothing. */
/* What was refused had named a custom setting: nobody else gets the connection. */
static void test_a_refused_round_trip_leaves_names(void **state)
{
    Talk *t = *state;
    sets(t, "set a.b = 1", "SELECT pg_catalog.current_setting('a.b', true)", "1");
    settings_unref(t->exchange.applied); /* another connection */
    t->exchange.applied = NULL;
    link_to(t, 0);
    assert_true(client(t, 'Q', "", "vacuum") == STEP_WAIT);
    assert_string_equal(sent(t), "SET \"a\".\"b\" TO '1'; B; E; S");
    assert_true(says(t, 'E', SLICE("")) == STEP_DROP);
    assert_true(ready(t, 'I') == STEP_DROP);
    assert_false(exchange_is_clean(&t->exchange));
}

static void test_custom_settings(void **state)
{
    Talk *t = *state;
    sets(t, "set app.user = 5", "SELECT pg_catalog.current_setting('app.user', true)", "5");
    assert_false(settings_fit(t->exchange.applied, NULL, false));
    assert_true(settings_fit(NULL, t->session->settings, false));
    link_to(t, 0);
    sets(t, "reset all", "SELECT pg_catalog.current_setting('app.user', true)", "");
    assert_non_null(t->session->settings); /* as good as named */
    /* Named for the first time in what is rolled back together with a replay: nobody else may get
     * the connection. */
    t->sessions[1].settings = settings_intern(t->settings, SLICE("app.user\0006\0"));
    link_to(t, 1);
    client(t, 'Q', "", "set app.more = 1");
    replayed(t, 1);
    says(t, 'E', SLICE(""));
    ready(t, 'I');
    assert_true(t->out.at_rest);
    assert_false(exchange_is_clean(&t->exchange));
}

static void test_a_question_that_fails_pins(void **state)
{
    Talk *t = *state;
    client(t, 'Q', "", "set x = 1");
    done(t, "SET");
    ready(t, 'I');
    (void)sent(t);
    assert_true(says(t, 'E', SLICE("")) == STEP_DROP);
    assert_true(ready(t, 'I') == STEP_DROP);
    assert_false(t->out.at_rest);
    assert_int_equal(t->session->pin, PIN_SETTING);
}

static void test_a_temporary_schema_pins(void **state)
{
    Talk *t = *state;
    client(t, 'Q', "", "select set_config('search_path', $1, false)");
    done(t, "SELECT 1");
    ready(t, 'I');
    answer(t, "pg_temp, public");
    assert_int_equal(t->session->pin, PIN_TEMPORARY);
    assert_false(t->out.at_rest);
}

/* The client goes on while the proxy asks. */
static void test_a_question_in_a_pipeline(void **state)
{
    Talk *t = *state;
    client(t, 'Q', "", "set x = 1");
    done(t, "SET");
    ready(t, 'I');
    client(t, 'Q', "", "set x = 2");
    assert_string_equal(sent(t), "set x = 1; " ASK_X "; set x = 2");
    answer(t, "1");
    assert_false(t->out.at_rest);
    done(t, "SET");
    ready(t, 'I');
    assert_string_equal(sent(t), ASK_X);
    answer(t, "2");
    assert_true(t->out.at_rest);
    assert_true(slice_is(pg_params_get(settings_slice(t->session->settings), "x"), "2"));
}

/* P4: a date literal keeps the DateStyle of its parse. */
static void test_statements_are_parsed_under_the_clients_settings(void **state)
{
    Talk *t = *state;
    sets(t, "set x = 1", ASK_X, "1");
    link_to(t, 0);
    client(t, 'P', "mine", "select date '1/2/2026'");
    client(t, 'S', "", "");
    (void)sent(t);
    says(t, '3', SLICE(""));
    says(t, '1', SLICE(""));
    ready(t, 'I');
    link_to(t, 1);
    client(t, 'P', "mine", "select date '1/2/2026'"); /* not the one of the other settings */
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "RESET \"x\"; B; E; C; select date '1/2/2026'; S");
    replayed(t, 1);
    says(t, '3', SLICE(""));
    says(t, '1', SLICE(""));
    ready(t, 'I');
    /* Within a transaction that sets something, it is nobody's but its own. */
    link_to(t, 1);
    client(t, 'Q', "", "begin");
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "set local x = 2");
    done(t, "SET");
    ready(t, 'T');
    (void)sent(t);
    client(t, 'P', "other", "select date '1/2/2026'");
    assert_string_equal(sent(t), "C; select date '1/2/2026'");
    /* A literal that is the time of the parse is never shared. */
    client(t, 'P', "n1", "select 'now'::timestamptz");
    client(t, 'P', "n2", "select 'now'::timestamptz");
    assert_string_equal(sent(t), "C; select 'now'::timestamptz; C; select 'now'::timestamptz");
}

/* The answer to whether anything is left that pins. */
static void left(Talk *t, const char *value)
{
    Buf row;
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 2);
    pg_put_u32(&row, 1);
    buf_append_str(&row, value);
    pg_put_u32(&row, UINT32_MAX); /* no channel */
    assert_int_equal(t->exchange.asking, ASKING_PINS);
    assert_true(says(t, 'D', buf_slice(&row)) == STEP_DROP);
    assert_true(done(t, "SELECT 1") == STEP_DROP);
    assert_true(ready(t, 'I') == STEP_DROP);
    buf_done(&row);
}

static void test_unpinned_when_what_pins_is_gone(void **state)
{
    Talk *t = *state;
    client(t, 'Q', "", "select pg_advisory_lock(1)");
    assert_int_equal(t->out.pinned, PIN_ADVISORY_LOCK);
    done(t, "SELECT 1");
    ready(t, 'I');
    assert_int_equal(t->exchange.asking, ASKING_NOTHING); /* nobody has let go of anything */
    client(t, 'Q', "", "set x = 1");
    done(t, "SET");
    ready(t, 'I');
    assert_int_equal(t->exchange.asking, ASKING_NOTHING);
    client(t, 'Q', "", "select pg_advisory_unlock(1)");
    done(t, "SELECT 1");
    ready(t, 'I');
    left(t, "t"); /* another one is held */
    assert_false(t->out.at_rest);
    assert_int_equal(t->session->pin, PIN_ADVISORY_LOCK);
    client(t, 'Q', "", "select pg_advisory_unlock_all()");
    done(t, "SELECT 1");
    ready(t, 'I');
    (void)sent(t);
    left(t, "f");
    assert_true(t->out.unpinned);
    assert_string_equal(sent(t), ASK_X); /* what was set meanwhile counts */
    answer(t, "1");
    assert_true(t->out.at_rest);
    assert_int_equal(t->session->pin, PIN_NONE);
}

static const char syntax_error[] = "SERROR\0VERROR\0C42601\0Msyntax error\0";

static void test_a_typo_does_not_pin(void **state)
{
    Talk *t = *state;
    Slice syntax = slice_from(syntax_error, sizeof(syntax_error));
    client(t, 'Q', "", "selec 1");
    assert_int_equal(t->out.pinned, PIN_UNKNOWN_STATEMENT);
    says(t, 'E', syntax);
    assert_true(t->out.unpinned);
    ready(t, 'I');
    assert_true(t->out.at_rest);
    link_to(t, 0);
    client(t, 'P', "", "selec 1");
    says(t, 'E', syntax);
    assert_true(t->out.unpinned);
    client(t, 'S', "", "");
    ready(t, 'I');
    assert_true(t->out.at_rest);
    link_to(t, 0);
    /* Another one's error says nothing; nor does one behind something that was done. */
    client(t, 'Q', "", "frobnicate");
    client(t, 'Q', "", "select from where");
    done(t, "FROBNICATE");
    ready(t, 'I');
    says(t, 'E', syntax);
    ready(t, 'I');
    assert_int_equal(t->session->pin, PIN_UNKNOWN_STATEMENT);
    t->session = &t->sessions[1];
    session_link(t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    client(t, 'Q', "", "frobnicate; select f()");
    done(t, "FROBNICATE");
    says(t, 'E', syntax);
    ready(t, 'I');
    assert_int_equal(t->session->pin, PIN_UNKNOWN_STATEMENT);
}

static void test_pinned_for_good(void **state)
{
    Talk *t = *state;
    client(t, 'Q', "", "create temp table t (a int)");
    assert_int_equal(t->out.pinned, PIN_TEMPORARY);
    done(t, "CREATE TABLE");
    ready(t, 'I');
    client(t, 'Q', "", "drop table t");
    done(t, "DROP TABLE");
    ready(t, 'I');
    client(t, 'Q', "", "create temp table t (a int)"); /* while the proxy asks */
    left(t, "f");
    assert_int_equal(t->session->pin, PIN_TEMPORARY);
    done(t, "CREATE TABLE");
    ready(t, 'I');
    client(t, 'Q', "", "load 'x'"); /* what it leaves cannot be seen */
    done(t, "LOAD");
    ready(t, 'I');
    client(t, 'Q', "", "discard all");
    done(t, "DISCARD ALL");
    ready(t, 'I');
    assert_int_equal(t->exchange.asking, ASKING_NOTHING);
    assert_int_equal(t->session->pin, PIN_TEMPORARY);
}

static void test_lists_and_quotes(void **state)
{
    Talk *t = *state;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    Settings *from = settings_intern(t->settings, SLICE("a\0001\0role\0joe\0search_path\0x\0"));
    Settings *to =
        settings_intern(t->settings, SLICE("a.b\0it's \\n\0client_encoding\0UTF8\0role\0jane\0"
                                           "search_path\0\"$user\", public, \"a \"\"b, c\"\0"));
    assert_int_equal(settings_put_replay(from, to, &out), 5);
    buf_append_slice(&t->sent, buf_slice(&out));
    assert_string_equal(sent(t),
                        "RESET \"a\"; B; E; SET \"client_encoding\" TO 'UTF8'; B; E; "
                        "SET \"a\".\"b\" TO E'it''s \\\\n'; B; E; SET \"search_path\" TO "
                        "'$user', 'public', 'a \"b, c'; B; E; SET \"role\" TO 'jane'; B; E");
    buf_clear(&out);
    assert_int_equal(settings_put_replay(to, NULL, &out), 4);
    buf_append_slice(&t->sent, buf_slice(&out));
    assert_string_equal(sent(t), "RESET \"role\"; B; E; RESET \"a\".\"b\"; B; E; RESET "
                                 "\"client_encoding\"; B; E; RESET \"search_path\"; B; E");
    settings_unref(from);
    settings_unref(to);
    buf_done(&out);
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_what_was_set_is_asked_for_and_replayed),
        IN_TALK(test_a_rollback_takes_the_replay_back),
        IN_TALK(test_a_rollback_and_a_begin),
        IN_TALK(test_a_rollback_within_a_batch),
        IN_TALK(test_a_commit_within_a_batch),
        IN_TALK(test_a_commit_that_is_run_late),
        IN_TALK(test_a_commit_that_keeps_within_a_batch),
        IN_TALK(test_a_commit_keeps_the_replay),
        IN_TALK(test_the_pipeline_waits_behind_a_replay),
        IN_TALK(test_what_is_copied_does_not_wait),
        IN_TALK(test_a_refused_setting),
        IN_TALK(test_what_stood_behind_an_error_has_set_nothing),
        IN_TALK(test_what_must_be_alone_waits),
        IN_TALK(test_what_a_transaction_begins_with_waits),
        IN_TALK(test_reset_and_rollback_of_ones_own),
        IN_TALK(test_a_refused_round_trip_leaves_names),
        IN_TALK(test_custom_settings),
        IN_TALK(test_a_question_that_fails_pins),
        IN_TALK(test_a_temporary_schema_pins),
        IN_TALK(test_a_question_in_a_pipeline),
        IN_TALK(test_statements_are_parsed_under_the_clients_settings),
        IN_TALK(test_unpinned_when_what_pins_is_gone),
        IN_TALK(test_a_typo_does_not_pin),
        IN_TALK(test_pinned_for_good),
        IN_TALK(test_lists_and_quotes),
    };
    return cmocka_run_group_tests_name("session settings", tests, NULL, NULL);
}
