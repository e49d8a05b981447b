/* The causal token: its text; what goes to the server where it is shown and set, and what a replica
 * does not run. */
#include "talk.h"

#define TOKEN "w1-0123456789abcdef-0000000b-00000000fedcba98"
#define OTHER "w1-0123456789abcdef-0000000b-00000000fedcba99"

/* ---- the text ----------------------------------------------------------------------------------
 */

static void test_text(void **state)
{
    (void)state;
    CausalToken token;
    char text[CAUSAL_TOKEN_LEN + 1];
    assert_true(causal_token_parse(SLICE(TOKEN), &token));
    assert_true(token.system == 0x0123456789abcdef && token.timeline == 11 &&
                token.position == 0xfedcba98);
    causal_token_format(&token, text);
    assert_string_equal(text, TOKEN);
    token = (CausalToken){.system = UINT64_MAX, .timeline = UINT32_MAX, .position = UINT64_MAX};
    causal_token_format(&token, text);
    assert_string_equal(text, "w1-ffffffffffffffff-ffffffff-ffffffffffffffff");
    assert_true(causal_token_parse(slice_of(text), &token) && token.position == UINT64_MAX);
    token.position = 0;
    causal_token_format(&token, text);
    assert_string_equal(text, "");
}

static void test_what_is_none(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "w2-0123456789abcdef-0000000b-00000000fedcba98", /* of a version to come */
        "W1-0123456789ABCDEF-0000000B-00000000FEDCBA98", /* not as it was shown */
        "w1-0000000000000000-0000000b-00000000fedcba98", /* what nothing has */
        "w1-0123456789abcdef-00000000-00000000fedcba98",
        "w1-0123456789abcdef-0000000b-0000000000000000",
        "w1-0123456789abcdef-0000000b-00000000fedcba98 ",
        " w1-0123456789abcdef-0000000b-00000000fedcba98",
        "0/FEDCBA98",
    };
    CausalToken token = {.position = 5};
    Slice whole = SLICE(TOKEN);
    for (size_t len = 0; len < whole.len; len++) { /* less would ask for less */
        assert_false(causal_token_parse((Slice){whole.data, len}, &token));
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        assert_false(causal_token_parse(slice_of(texts[i]), &token));
    }
    for (size_t i = 0; i < whole.len; i++) {
        char text[] = TOKEN;
        text[i] = 'g';
        assert_false(causal_token_parse((Slice){text, whole.len}, &token));
    }
    assert_int_equal(token.position, 5);
}

/* ---- conversations -----------------------------------------------------------------------------
 */

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    StatementTable *statements;
    SettingTable *settings;
    Buf sent; /* to the server, as it goes over the wire */
} Talk;

static void link_anew(Talk *t, bool standby)
{
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
    t->exchange.causal.standby = standby;
    buf_clear(&t->sent);
}

static Talk *talk_new(bool standby)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->statements = statement_table_new();
    t->settings = setting_table_new();
    exchange_init(&t->exchange, t->statements, t->settings);
    t->exchange.dialect.wants_reads = !standby; /* as of READ_ONLY pools, which do not ask */
    session_init(&t->session, false);
    buf_init(&t->sent, BUF_MAX_DEFAULT);
    link_anew(t, standby);
    return t;
}

static void talk_free(Talk *t)
{
    session_done(&t->session);
    exchange_done(&t->exchange);
    statement_table_free(t->statements);
    setting_table_free(t->settings);
    buf_done(&t->sent);
    mem_free(t);
}

static SessionStep client(Talk *t, char type, const char *name, const char *text)
{
    return talk_message(&t->session, &t->exchange, &t->out, type, name, text, &t->sent);
}

static SessionStep says(Talk *t, char type, Slice body)
{
    PgPiece piece = {.type = type, .first = true, .last = true, .raw = body, .body = body};
    SessionStep step = session_server_piece(&t->session, &t->exchange, &piece, &t->out);
    assert_null(t->out.problem);
    buf_append_slice(&t->sent, t->out.behind);
    return step;
}

static SessionStep done(Talk *t, const char *tag)
{
    return says(t, 'C', slice_from(tag, strlen(tag) + 1));
}

static SessionStep ready(Talk *t, char status)
{
    return says(t, 'Z', (Slice){&status, 1});
}

/* The types of what has gone to the server since the last look; the text of what shows the token is
 * found in *ret_text, where there is one. */
static const char *sent(Talk *t, char ret_text[static 1024])
{
    static char types[64];
    size_t len = 0;
    PgPolicy policy = {0};
    ret_text[0] = '\0';
    for (Slice rest = buf_slice(&t->sent); rest.len > 0;) {
        PgFramer framer = {0};
        PgPiece piece;
        PgParse parse;
        assert_true(pg_framer_next(&framer, &policy, rest, &piece) == WIRE_DONE);
        rest = slice_skip(rest, piece.raw.len);
        assert_true(len < sizeof(types) - 1);
        types[len++] = piece.type;
        if (piece.type == 'P' && pg_get_parse(piece.body, &parse) &&
            slice_is(parse.statement, "weir:token")) {
            snprintf(ret_text, 1024, "%.*s", SLICE_FMT(parse.query));
        }
    }
    types[len] = '\0';
    buf_clear(&t->sent);
    return types;
}

/* What was put in front, of which the client hears nothing. */
static void shown(Talk *t)
{
    assert_true(says(t, '3', SLICE("")) == STEP_DROP);
    assert_true(says(t, '1', SLICE("")) == STEP_DROP);
    assert_true(says(t, '2', SLICE("")) == STEP_DROP);
    assert_true(says(t, 'D', SLICE("\0\0")) == STEP_DROP);
    assert_true(done(t, "SELECT 1") == STEP_DROP);
    assert_true(says(t, '3', SLICE("")) == STEP_DROP);
}

static void test_shown_as_it_is_known(void **state)
{
    (void)state;
    char text[1024];
    Talk *t = talk_new(false);
    /* The shell knows nothing: the primary says it. */
    assert_true(client(t, 'Q', "", "show weir.causal_token") == STEP_FORWARD);
    assert_string_equal(sent(t, text), "CPBECQ");
    assert_true(slice_has(slice_of(text), "pg_current_wal_insert_lsn"));
    shown(t);
    assert_true(says(t, 'T', SLICE("")) == STEP_FORWARD);
    assert_true(says(t, 'D', SLICE("")) == STEP_FORWARD);
    assert_true(done(t, "SHOW") == STEP_FORWARD);
    assert_true(ready(t, 'I') == STEP_FORWARD && t->out.at_rest);
    /* It knows it. */
    link_anew(t, false);
    t->exchange.causal.known = true;
    assert_true(client(t, 'Q', "", "show weir.causal_token") == STEP_FORWARD);
    assert_string_equal(sent(t, text), "CPBECQ");
    assert_string_equal(text, "SELECT pg_catalog.set_config('weir.causal_token', '', true)");
    shown(t);
    done(t, "SHOW");
    assert_true(ready(t, 'T') == STEP_FORWARD);
    assert_true(causal_token_parse(SLICE(TOKEN), &t->exchange.causal.written));
    assert_true(client(t, 'Q', "", "select current_setting('weir.causal_token')") == STEP_FORWARD);
    assert_string_equal(sent(t, text), "CPBECQ");
    assert_string_equal(text,
                        "SELECT pg_catalog.set_config('weir.causal_token', '" TOKEN "', true)");
    shown(t);
    done(t, "SELECT 1");
    assert_true(ready(t, 'T') == STEP_FORWARD);
    /* And something is written, behind what it knows. */
    assert_true(client(t, 'Q', "", "insert into t values (1)") == STEP_FORWARD);
    assert_string_equal(sent(t, text), "Q");
    assert_true(client(t, 'Q', "", "show weir.causal_token") == STEP_FORWARD);
    assert_string_equal(sent(t, text), "CPBECQ");
    assert_true(slice_has(slice_of(text), "pg_current_xact_id_if_assigned"));
    talk_free(t);
}

/* In front of each message that parses or runs it: the name must be known to the server then. */
static void test_shown_by_prepared_statements(void **state)
{
    (void)state;
    char text[1024];
    Talk *t = talk_new(false);
    client(t, 'P', "", "show weir.causal_token");
    assert_string_equal(sent(t, text), "CPBECP");
    client(t, 'B', "", "");
    assert_string_equal(sent(t, text), "CPBECB");
    client(t, 'E', "", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t, text), "ES");
    client(t, 'P', "a", "show weir.causal_token");
    assert_string_equal(sent(t, text), "CPBECCP");
    client(t, 'D', "a", "");
    assert_string_equal(sent(t, text), "CPBECD");
    client(t, 'S', "", "");
    sent(t, text);
    client(t, 'B', "a", "");
    assert_true(slice_starts(slice_of(sent(t, text)), "CPBEC"));
    assert_true(text[0] != '\0');
    client(t, 'B', "b", ""); /* which nobody knows */
    assert_string_equal(sent(t, text), "B");
    talk_free(t);
}

/* PostgreSQL skips what stands behind what fails, up to a Sync: of a Query there is none. */
static void test_what_comes_behind_what_is_shown(void **state)
{
    (void)state;
    char text[1024];
    Talk *t = talk_new(false);
    client(t, 'Q', "", "begin");
    done(t, "BEGIN");
    ready(t, 'T');
    sent(t, text);
    /* It works. */
    assert_true(client(t, 'Q', "", "show weir.causal_token") == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "insert into t values (1)") == STEP_WAIT);
    shown(t);
    done(t, "SHOW");
    assert_true(client(t, 'Q', "", "insert into t values (1)") == STEP_WAIT);
    ready(t, 'T');
    assert_true(client(t, 'Q', "", "insert into t values (1)") == STEP_FORWARD);
    done(t, "INSERT 0 1");
    ready(t, 'T');
    assert_string_equal(sent(t, text), "CPBECQQ");
    /* It does not: the Query is owed its ReadyForQuery, and what is behind it runs. */
    assert_true(client(t, 'Q', "", "show weir.causal_token") == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "rollback") == STEP_WAIT);
    says(t, '3', SLICE(""));
    says(t, '1', SLICE(""));
    says(t, '2', SLICE(""));
    assert_true(says(t, 'E', SLICE("\0")) == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "rollback") == STEP_WAIT);
    assert_string_equal(sent(t, text), "CPBECQS");
    assert_true(ready(t, 'E') == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "rollback") == STEP_FORWARD);
    done(t, "ROLLBACK");
    assert_true(ready(t, 'I') == STEP_FORWARD && t->out.at_rest);
    talk_free(t);
}

/* Behind a Sync of the client's own nothing has to wait; and that itself never does. */
static void test_what_comes_behind_a_batch_that_shows(void **state)
{
    (void)state;
    char text[1024];
    Talk *t = talk_new(false);
    client(t, 'P', "", "show weir.causal_token");
    client(t, 'B', "", "");
    client(t, 'E', "", "");
    client(t, 'S', "", "");
    assert_true(client(t, 'Q', "", "select 1") == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "select 1") == STEP_FORWARD);
    talk_free(t);
    t = talk_new(false);
    client(t, 'P', "", "show weir.causal_token");
    client(t, 'Q', "", "select 1"); /* in the same batch */
    says(t, '3', SLICE(""));
    assert_true(says(t, 'E', SLICE("\0")) == STEP_FORWARD);
    assert_string_equal(sent(t, text), "CPBECPQ");
    assert_true(client(t, 'S', "", "") == STEP_FORWARD);
    assert_true(client(t, 'Q', "", "select 1") == STEP_FORWARD);
    assert_true(ready(t, 'I') == STEP_FORWARD);
    talk_free(t);
}

/* A replica cannot say '' where something was written; the primary knows. */
static void test_shown_where_the_cluster_has_no_name(void **state)
{
    (void)state;
    char text[1024];
    for (int standby = 0; standby < 2; standby++) {
        Talk *t = talk_new(standby == 1);
        t->exchange.causal.nameless = true;
        client(t, 'Q', "", "show weir.causal_token");
        assert_string_equal(sent(t, text), "CPBECQ");
        assert_true(slice_has(slice_of(text), standby == 1 ? "does not say of which cluster it is"
                                                           : "pg_current_wal_insert_lsn"));
        talk_free(t);
    }
}

static void answers(Talk *t, const char *types)
{
    for (; *types != '\0'; types++) {
        if (*types == 'Z') {
            ready(t, 'I');
        } else {
            says(t, *types, SLICE(""));
        }
    }
}

/* The unnamed statement is another one, once it is known that its Parse was not skipped. */
static void test_shown_by_the_unnamed_statement(void **state)
{
    (void)state;
    char text[1024];
    Talk *t = talk_new(false);
    client(t, 'P', "", "show weir.causal_token");
    client(t, 'B', "", "");
    client(t, 'E', "", "");
    client(t, 'P', "", "select 1");
    client(t, 'S', "", "");
    sent(t, text);
    client(t, 'B', "", "");
    assert_string_equal(sent(t, text), "CPBECB");
    client(t, 'E', "", "");
    client(t, 'S', "", "");
    answers(t, "312DC31312DC32C1Z");
    answers(t, "312DC32CZ");
    client(t, 'Q', "", "begin"); /* so that it keeps its server connection */
    answers(t, "C");
    ready(t, 'T');
    sent(t, text);
    client(t, 'P', "", "select 1");
    client(t, 'B', "", "");
    assert_string_equal(sent(t, text), "PB");
    talk_free(t);
}

static void answer(Talk *t, const char *value)
{
    Buf row;
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 2);
    pg_put_u32(&row, (uint32_t)strlen(value));
    buf_append_str(&row, value);
    pg_put_u32(&row, 0); /* what it is from now on */
    says(t, 'T', SLICE(""));
    says(t, 'D', buf_slice(&row));
    done(t, "SELECT 1");
    assert_true(ready(t, 'I') == STEP_DROP);
    buf_done(&row);
}

/* Sets it by a request of its own, of which PostgreSQL then says that it is `value`. */
static CausalNews sets(Talk *t, const char *text, const char *value)
{
    assert_true(client(t, 'Q', "", text) == STEP_FORWARD);
    done(t, "SET");
    assert_true(ready(t, 'I') == STEP_FORWARD && !t->out.at_rest);
    assert_true(slice_has(buf_slice(&t->sent), "current_setting('weir.causal_token', true)"));
    assert_true(slice_has(buf_slice(&t->sent), "set_config('weir.causal_token', '', false)"));
    answer(t, value);
    assert_true(t->out.at_rest);
    return t->out.causal;
}

static void test_set(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *value; /* as PostgreSQL says */
        CausalNews news;
    } cases[] = {
        {"set weir.causal_token = '" TOKEN "'", TOKEN, CAUSAL_SET},
        {"select set_config('weir.causal_token', $1, false)", OTHER, CAUSAL_SET},
        {"set weir.causal_token = 'x'", "x", CAUSAL_MALFORMED},
        {"set weir.causal_token = ''", "", CAUSAL_NO_NEWS},
        {"reset weir.causal_token", "", CAUSAL_NO_NEWS},
    };
    for (int standby = 0; standby < 2; standby++) {
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            Talk *t = talk_new(standby == 1);
            assert_int_equal(sets(t, cases[i].text, cases[i].value), cases[i].news);
            char text[CAUSAL_TOKEN_LEN + 1];
            causal_token_format(&t->exchange.causal.set, text);
            assert_string_equal(text, cases[i].news == CAUSAL_SET ? cases[i].value : "");
            /* It is none of its settings, nor of the server connection's. */
            assert_null(t->session.settings);
            assert_null(t->exchange.applied);
            assert_true(exchange_is_clean(&t->exchange));
            assert_int_equal(t->session.pin, PIN_NONE);
            talk_free(t);
        }
    }
}

/* Beside settings that are the session's. */
static void test_set_with_others(void **state)
{
    (void)state;
    Talk *t = talk_new(false);
    Buf row;
    client(t, 'Q', "", "set a = 1; set weir.causal_token = 'x'; set b = 2");
    done(t, "SET");
    ready(t, 'I');
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 4);
    pg_put_u32(&row, 1);
    buf_append_str(&row, "1");
    pg_put_u32(&row, CAUSAL_TOKEN_LEN);
    buf_append_str(&row, TOKEN);
    pg_put_u32(&row, 1);
    buf_append_str(&row, "2");
    pg_put_u32(&row, 0);
    says(t, 'D', buf_slice(&row));
    done(t, "SELECT 1");
    ready(t, 'I');
    buf_done(&row);
    assert_true(t->out.at_rest && t->out.causal == CAUSAL_SET);
    assert_true(slice_is(settings_value(t->session.settings, SLICE("a")), "1"));
    assert_true(slice_is(settings_value(t->session.settings, SLICE("b")), "2"));
    assert_int_equal(t->session.settings->count, 2);
    talk_free(t);
}

/* A replica that was chosen before it was known what it must have. */
static void test_what_a_replica_does_not_run(void **state)
{
    (void)state;
    static const struct {
        char type;
        const char *name, *text;
        bool runs;
    } cases[] = {
        {'Q', "", "commit", true},
        {'Q', "", "rollback", true},
        {'Q', "", "set weir.causal_token = 'x'", true},
        {'P', "", "commit", true},
        {'Q', "", "select 1", false},
        {'Q', "", "show weir.causal_token", false},
        {'Q', "", "set a = 1", false},
        {'Q', "", "commit; select 1", false},
        {'Q', "", "set weir.causal_token = 'x'; select 1", false},
        {'Q', "", "call p()", false},
        {'Q', "", "do 'x'", false},
        {'P', "", "select 1", false},
        {'B', "a", "", false},
        {'B', "nobody", "", false},
        {'F', "", "", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int standby = 0; standby < 2; standby++) {
            Talk *t = talk_new(standby == 1);
            client(t, 'Q', "", "begin");
            done(t, "BEGIN");
            ready(t, 'T');
            client(t, 'P', "a", "select 1");
            client(t, 'S', "", "");
            says(t, '3', SLICE(""));
            says(t, '1', SLICE(""));
            ready(t, 'T');
            client(t, 'Q', "", "set weir.causal_token = 'x'");
            done(t, "SET");
            ready(t, 'T');
            SessionStep step = client(t, cases[i].type, cases[i].name, cases[i].text);
            if (cases[i].runs || standby == 0) { /* the primary has everything */
                assert_true(step == STEP_FORWARD);
            } else {
                assert_true(step == STEP_REFUSE);
                assert_string_equal(t->out.sqlstate, "0A000");
            }
            talk_free(t);
        }
    }
}

static void put_value(Buf *row, const char *value)
{
    pg_put_u32(row, (uint32_t)strlen(value));
    buf_append_str(row, value);
}

/* That the session stays where it is shows only in what PostgreSQL says of its settings. */
static void test_what_pins_in_the_answer(void **state)
{
    (void)state;
    for (int standby = 0; standby < 2; standby++) {
        Talk *t = talk_new(standby == 1);
        Buf row;
        client(t, 'Q', "",
               "select set_config('search_path', $1, false),"
               " set_config('weir.causal_token', $2, false)");
        done(t, "SELECT 1");
        ready(t, 'I');
        assert_int_equal(t->session.pin, PIN_NONE);
        buf_init(&row, BUF_MAX_DEFAULT);
        pg_put_u16(&row, 3);
        put_value(&row, "pg_temp");
        put_value(&row, TOKEN);
        put_value(&row, "");
        says(t, 'D', buf_slice(&row));
        buf_done(&row);
        done(t, "SELECT 1");
        ready(t, 'I');
        assert_int_equal(t->session.pin, PIN_TEMPORARY);
        assert_int_equal(t->out.causal, CAUSAL_SET);
        if (standby == 0) { /* which has everything */
            assert_true(client(t, 'Q', "", "select 1") == STEP_FORWARD);
        } else {
            assert_true(client(t, 'Q', "", "select 1") == STEP_REFUSE);
            assert_string_equal(t->out.sqlstate, "0A000");
        }
        talk_free(t);
    }
}

/* When it runs, by a name that is not followed, nobody knows. */
static void test_statements_whose_names_are_not_followed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool primary, standby;
    } cases[] = {
        {"select 1", true, true},
        {"set weir.causal_token = 'x'", true, false},
        {"select set_config('weir.causal_token', $1, false)", true, false},
        {"set local weir.causal_token = 'x'", false, false},
        {"show weir.causal_token", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (int standby = 0; standby < 2; standby++) {
            Talk *t = talk_new(standby == 1);
            t->exchange.dialect.unsafe_encoding = true;
            bool runs = standby == 1 ? cases[i].standby : cases[i].primary;
            assert_int_equal(client(t, 'P', "a", cases[i].text), runs ? STEP_FORWARD : STEP_REFUSE);
            assert_true(runs || strcmp(t->out.sqlstate, "0A000") == 0);
            talk_free(t);
        }
    }
}

/* The unnamed statement may have been parsed before. */
static void test_a_replica_and_the_unnamed_statement(void **state)
{
    (void)state;
    Talk *t = talk_new(true);
    client(t, 'P', "a", "set weir.causal_token = 'x'");
    client(t, 'P', "", "select 1");
    client(t, 'B', "a", "");
    client(t, 'E', "", "");
    assert_true(client(t, 'B', "", "") == STEP_REFUSE);
    talk_free(t);
    t = talk_new(true);
    client(t, 'P', "", "set weir.causal_token = 'x'");
    assert_true(client(t, 'B', "", "") == STEP_FORWARD);
    assert_true(client(t, 'E', "", "") == STEP_FORWARD);
    talk_free(t);
}

/* What comes behind it waits until it is known where it may go. */
static void test_what_comes_behind(void **state)
{
    (void)state;
    for (int standby = 0; standby < 2; standby++) {
        Talk *t = talk_new(standby == 1);
        client(t, 'Q', "", "set weir.causal_token = 'x'");
        assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
        done(t, "SET");
        ready(t, 'I');
        assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
        answer(t, TOKEN);
        assert_true(t->out.at_rest && t->out.causal == CAUSAL_SET);
        talk_free(t);
    }
}

/* A question is under way that does not have it. */
static void test_set_behind_another_setting(void **state)
{
    (void)state;
    Talk *t = talk_new(true);
    Buf row;
    client(t, 'Q', "", "set a = 1");
    done(t, "SET");
    ready(t, 'I');
    assert_true(client(t, 'Q', "", "set weir.causal_token = 'x'") == STEP_FORWARD);
    buf_init(&row, BUF_MAX_DEFAULT);
    pg_put_u16(&row, 1);
    pg_put_u32(&row, 1);
    buf_append_str(&row, "1");
    says(t, 'D', buf_slice(&row));
    buf_done(&row);
    done(t, "SELECT 1");
    assert_true(ready(t, 'I') == STEP_DROP && !t->out.at_rest);
    assert_true(client(t, 'Q', "", "select 1") == STEP_WAIT);
    done(t, "SET");
    ready(t, 'I');
    answer(t, TOKEN);
    assert_true(t->out.at_rest && t->out.causal == CAUSAL_SET);
    talk_free(t);
}

static void test_what_is_refused_anywhere(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "set local weir.causal_token = 'x'",
        "insert into t values (1); show weir.causal_token",
        "show weir.causal_token; select 1",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        Talk *t = talk_new(false);
        assert_true(client(t, 'Q', "", texts[i]) == STEP_REFUSE);
        assert_string_equal(t->out.sqlstate, "0A000");
        talk_free(t);
    }
    /* A text that was sent in part before it was read. */
    Talk *t = talk_new(false);
    PgPiece piece = {.type = 'Q', .first = true, .body = SLICE("show weir."), .raw = SLICE("show")};
    assert_true(session_client_piece(&t->session, &t->exchange, &piece, &t->out) == STEP_FORWARD);
    piece = (PgPiece){.type = 'Q', .last = true, .body = SLICE("causal_token"), .raw = SLICE("x")};
    assert_true(session_client_piece(&t->session, &t->exchange, &piece, &t->out) == STEP_REFUSE);
    talk_free(t);
}

/* In a transaction that failed PostgreSQL refuses both in the same words, and it may be over by
 * then; a relay changes nothing. */
static void test_what_is_left_alone(void **state)
{
    (void)state;
    char text[1024];
    Talk *t = talk_new(false);
    client(t, 'Q', "", "begin");
    done(t, "BEGIN");
    ready(t, 'T');
    client(t, 'Q', "", "bogus");
    says(t, 'E', SLICE("\0"));
    ready(t, 'E');
    sent(t, text);
    client(t, 'Q', "", "show weir.causal_token");
    assert_string_equal(sent(t, text), "CPBECQ");
    says(t, '3', SLICE(""));
    assert_true(says(t, 'E', SLICE("\0")) == STEP_FORWARD);
    assert_string_equal(sent(t, text), "S"); /* which ends what the Query would have */
    assert_true(ready(t, 'E') == STEP_FORWARD);
    talk_free(t);
    t = talk_new(false);
    session_done(&t->session);
    session_init(&t->session, true);
    link_anew(t, false);
    client(t, 'Q', "", "show weir.causal_token");
    client(t, 'Q', "", "set local weir.causal_token = 'x'");
    assert_string_equal(sent(t, text), "QQ");
    talk_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_what_is_none),
        cmocka_unit_test(test_shown_as_it_is_known),
        cmocka_unit_test(test_shown_by_prepared_statements),
        cmocka_unit_test(test_what_comes_behind_what_is_shown),
        cmocka_unit_test(test_what_comes_behind_a_batch_that_shows),
        cmocka_unit_test(test_shown_where_the_cluster_has_no_name),
        cmocka_unit_test(test_shown_by_the_unnamed_statement),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_set_with_others),
        cmocka_unit_test(test_what_a_replica_does_not_run),
        cmocka_unit_test(test_what_pins_in_the_answer),
        cmocka_unit_test(test_statements_whose_names_are_not_followed),
        cmocka_unit_test(test_a_replica_and_the_unnamed_statement),
        cmocka_unit_test(test_what_comes_behind),
        cmocka_unit_test(test_set_behind_another_setting),
        cmocka_unit_test(test_what_is_refused_anywhere),
        cmocka_unit_test(test_what_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
