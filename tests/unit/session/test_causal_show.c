/* The causal token: its text, and what goes to the server in front of what shows it. */
#include "causal_talk.h"

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

/* ---- where it is shown -------------------------------------------------------------------------
 */

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
        cmocka_unit_test(test_what_is_refused_anywhere),
        cmocka_unit_test(test_what_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
