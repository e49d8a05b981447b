/* Named statements in conversations: what goes over the wire, and what a failure takes back. */
#include "talk.h"

typedef struct Talk {
    Session session;
    Exchange exchange;
    SessionOut out;
    StatementTable *table;
    SettingTable *settings;
    Buf sent; /* to the server, as it goes over the wire */
} Talk;

static int setup(void **state)
{
    Talk *t = mem_alloc(sizeof(Talk));
    t->table = statement_table_new();
    t->settings = setting_table_new();
    exchange_init(&t->exchange, t->table, t->settings);
    session_init(&t->session, false);
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
    statement_table_free(t->table);
    setting_table_free(t->settings);
    buf_done(&t->sent);
    mem_free(t);
    return 0;
}

static SessionStep client(Talk *t, char type, const char *name, const char *text)
{
    return talk_message(&t->session, &t->exchange, &t->out, type, name, text, &t->sent);
}

/* What has gone to the server since the last look: "P(weir:1) B(weir:1) S", in order. */
static const char *sent(Talk *t)
{
    static char text[512];
    Buf out;
    buf_init(&out, sizeof(text));
    PgPolicy policy = {0};
    for (Slice rest = buf_slice(&t->sent); rest.len > 0;) {
        PgFramer framer = {0};
        PgPiece piece;
        PgParse parse;
        PgBind bind;
        PgTarget target;
        assert_true(pg_framer_next(&framer, &policy, rest, &piece) == WIRE_DONE);
        rest = slice_skip(rest, piece.raw.len);
        Slice name = {0};
        if (piece.type == 'P' && pg_get_parse(piece.body, &parse)) {
            name = parse.statement;
        } else if (piece.type == 'B' && pg_get_bind(piece.body, &bind)) {
            name = bind.statement;
        } else if ((piece.type == 'D' || piece.type == 'C') && pg_get_target(piece.body, &target)) {
            name = target.name;
        }
        buf_printf(&out, "%s%c", out.len > 0 ? " " : "", piece.type);
        if (name.len > 0) {
            buf_printf(&out, "(%.*s)", SLICE_FMT(name));
        }
    }
    snprintf(text, sizeof(text), "%s", out.len > 0 ? buf_str(&out) : "");
    buf_done(&out);
    buf_clear(&t->sent);
    return text;
}

static char client_letter(char type, SessionStep step, const SessionOut *out)
{
    return step == STEP_DROP ? '.' : out->head.len > 0 ? out->head.data[0] : type;
}

/* What the client gets: the types, '.' for nothing. */
static const char *server(Talk *t, const char *types)
{
    static char got[TALK_MAX];
    talk_answer(&t->session, &t->exchange, &t->out, types, client_letter, got);
    return got;
}

/* Another client, or the same later, on a server connection that has what the last one left. */
static void relink(Talk *t)
{
    assert_true(t->out.at_rest);
    session_link(&t->session, &t->exchange, HANDOVER_PLAIN, &t->out);
}

/* A batch of its own, which the server prepared under our name. */
static void prepared(Talk *t, const char *name, const char *text)
{
    client(t, 'P', name, text);
    client(t, 'S', "", "");
    (void)sent(t);
    server(t, "31ZI");
    relink(t);
}

static void test_prepared_once(void **state)
{
    Talk *t = *state;
    client(t, 'P', "mine", "select 1");
    client(t, 'B', "mine", "");
    client(t, 'E', "", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:1) P(weir:1) B(weir:1) E S");
    assert_string_equal(server(t, "312DCZI"), ".12DCZ");
    relink(t);
    client(t, 'B', "mine", "portal");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "B(weir:1) S");
    assert_string_equal(server(t, "2ZI"), "2Z");
    relink(t);
    /* Another name for the same text: nothing is prepared, and the client hears that it is. */
    client(t, 'P', "other", "select 1");
    client(t, 'D', "other", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:) D(weir:1) S");
    assert_string_equal(server(t, "3tTZI"), "1tTZ");
    assert_true(t->out.at_rest);
    assert_int_equal(t->session.pin, PIN_NONE);
}

static void test_another_server(void **state)
{
    Talk *t = *state;
    prepared(t, "mine", "select 1");
    statement_set_clear(&t->exchange.prepared); /* one that has nothing */
    client(t, 'B', "mine", "");
    client(t, 'B', "mine", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:1) P(weir:1) B(weir:1) B(weir:1) S");
    assert_string_equal(server(t, "3122ZI"), "..22Z");
    relink(t);
    /* What fails in the Parse that the client did not send is the answer to its Bind. */
    statement_set_clear(&t->exchange.prepared);
    client(t, 'B', "mine", "");
    client(t, 'S', "", "");
    (void)sent(t);
    assert_string_equal(server(t, "3EZI"), ".EZ");
    relink(t);
    client(t, 'B', "mine", ""); /* and it is tried again */
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:1) P(weir:1) B(weir:1) S");
    assert_string_equal(server(t, "312ZI"), "..2Z");
}

static void test_failures_are_taken_back(void **state)
{
    Talk *t = *state;
    client(t, 'P', "bad", "select bad");
    client(t, 'B', "bad", "");
    client(t, 'S', "", "");
    (void)sent(t);
    assert_string_equal(server(t, "3EZI"), ".EZ");
    assert_null(statement_names_get(&t->session.names, SLICE("bad")));
    relink(t);
    client(t, 'B', "bad", ""); /* PostgreSQL has words for that */
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "B(bad) S");
    server(t, "EZI");
    relink(t);
    /* Skipped behind an error: it never was. */
    client(t, 'P', "", "select bad");
    client(t, 'P', "late", "select 2");
    client(t, 'S', "", "");
    (void)sent(t);
    assert_string_equal(server(t, "EZI"), "EZ");
    assert_null(statement_names_get(&t->session.names, SLICE("late")));
    relink(t);
    /* A Close that was skipped has closed nothing. */
    prepared(t, "kept", "select 3");
    client(t, 'P', "", "select bad");
    client(t, 'C', "kept", "");
    client(t, 'S', "", "");
    (void)sent(t);
    server(t, "EZI");
    assert_non_null(statement_names_get(&t->session.names, SLICE("kept")));
    relink(t);
    client(t, 'C', "kept", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(kept) S"); /* which closes nothing there */
    assert_string_equal(server(t, "3ZI"), "3Z");
    assert_null(statement_names_get(&t->session.names, SLICE("kept")));
}

/* The next batch of a pipeline does not count on what may be skipped. */
static void test_batches(void **state)
{
    Talk *t = *state;
    client(t, 'P', "a", "select 1");
    client(t, 'S', "", "");
    client(t, 'B', "a", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:1) P(weir:1) S C(weir:1) P(weir:1) B(weir:1) S");
    assert_string_equal(server(t, "31ZI"), ".1Z");
    assert_string_equal(server(t, "312ZI"), "..2Z");
    assert_true(t->out.at_rest);
}

static void test_taken_name(void **state)
{
    Talk *t = *state;
    prepared(t, "a", "select 1");
    client(t, 'P', "a", "select 2");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "P(a) P(a) S");
    assert_string_equal(server(t, "1EZI"), ".EZ");
    assert_true(t->out.at_rest);
    assert_int_equal(t->exchange.strays.len, 1); /* nobody else may get this connection */
    client(t, 'B', "b", "");
    assert_string_equal(sent(t), "C(a) B(b)");
    assert_int_equal(t->exchange.strays.len, 0);
    assert_string_equal(server(t, "E"), "E"); /* the Close failed, which cannot be */
    assert_non_null(t->out.problem);
}

static void test_sql_knows_names(void **state)
{
    Talk *t = *state;
    prepared(t, "a", "select 1");
    client(t, 'Q', "", "DEALLOCATE a");
    assert_string_equal(sent(t), "P(a) Q");
    PgPiece tag = {.type = 'C', .first = true, .last = true, .body = SLICE("DEALLOCATE\0")};
    assert_string_equal(server(t, "1"), ".");
    assert_true(session_server_piece(&t->session, &t->exchange, &tag, &t->out) == STEP_FORWARD);
    server(t, "ZI");
    assert_null(statement_names_get(&t->session.names, SLICE("a")));
    assert_int_equal(t->exchange.strays.len, 0);
    relink(t);
    client(t, 'P', "b", "select 1");
    client(t, 'S', "", "");
    (void)sent(t);
    server(t, "3ZI");
    relink(t);
    client(t, 'Q', "", "DISCARD ALL");
    tag.body = SLICE("DISCARD ALL\0");
    session_server_piece(&t->session, &t->exchange, &tag, &t->out);
    server(t, "ZI");
    assert_null(statement_names_get(&t->session.names, SLICE("b")));
    client(t, 'P', "c", "select 1");
    (void)sent(t);
    assert_false(statement_set_has(&t->exchange.prepared,
                                   statement_names_get(&t->session.names, SLICE("c")), 1000));
}

static void test_what_a_statement_does(void **state)
{
    Talk *t = *state;
    client(t, 'P', "n", "select nextval('s')");
    client(t, 'P', "l", "listen c");
    client(t, 'S', "", "");
    server(t, "3131ZI");
    assert_false(t->exchange.wrote);
    assert_int_equal(t->session.pin, PIN_NONE); /* nothing has run */
    relink(t);
    client(t, 'B', "n", "");
    client(t, 'S', "", "");
    assert_true(t->exchange.wrote);
    server(t, "2ZI");
    relink(t);
    client(t, 'B', "l", "");
    assert_int_equal(t->out.pinned, PIN_LISTEN);
}

static void test_room(void **state)
{
    Talk *t = *state;
    t->exchange.prepared.max = 1;
    prepared(t, "a", "select 1");
    client(t, 'P', "b", "select 2");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:1) C(weir:2) P(weir:2) S");
    assert_string_equal(server(t, "331ZI"), "..1Z");
    relink(t);
    client(t, 'B', "a", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "C(weir:2) C(weir:1) P(weir:1) B(weir:1) S");
}

static void test_reserved(void **state)
{
    Talk *t = *state;
    assert_true(client(t, 'P', "weir:1", "select 1") == STEP_REFUSE);
    assert_true(client(t, 'B', "weir:1", "") == STEP_REFUSE);
    assert_true(client(t, 'D', "weir:1", "") == STEP_REFUSE);
    assert_non_null(t->out.problem);
}

static void test_long_texts_pin(void **state)
{
    Talk *t = *state;
    PgPiece piece = {.type = 'P', .first = true, .body_len = 100000, .body = SLICE("a\0select 1")};
    piece.raw = piece.body;
    assert_true(session_client_piece(&t->session, &t->exchange, &piece, &t->out) == STEP_FORWARD);
    assert_int_equal(t->out.pinned, PIN_PROTOCOL_PREPARE);
    assert_int_equal(t->out.replaced, 0);
}

static void say_long(Talk *t)
{
    PgPiece piece = {.type = 'P', .first = true, .body_len = 20, .body = SLICE("a\0select 1")};
    piece.raw = piece.body;
    assert_true(session_client_piece(&t->session, &t->exchange, &piece, &t->out) == STEP_FORWARD);
    PgPiece rest = {.type = 'P', .last = true, .body_len = 20, .body = SLICE("0\0\0\0")};
    rest.raw = rest.body;
    assert_true(session_client_piece(&t->session, &t->exchange, &rest, &t->out) == STEP_FORWARD);
}

/* The server has the name then, and says itself that it is taken. */
static void test_names_of_long_texts(void **state)
{
    Talk *t = *state;
    say_long(t);
    client(t, 'S', "", "");
    (void)sent(t);
    assert_string_equal(server(t, "1ZI"), "1Z");
    client(t, 'P', "a", "select 2");
    client(t, 'B', "a", "");
    client(t, 'C', "a", "");
    client(t, 'S', "", "");
    assert_string_equal(sent(t), "P(a) B(a) C(a) S");
}

/* The name is the client's, but the server does not know it: so that it refuses the text, it must.
 */
static void test_long_text_of_a_taken_name(void **state)
{
    Talk *t = *state;
    prepared(t, "a", "select 1");
    say_long(t);
    assert_int_equal(t->out.before_len, 0); /* of the rest */
    client(t, 'S', "", "");
    assert_string_equal(server(t, "1EZI"), ".EZ");
    (void)sent(t);
    client(t, 'B', "a", "");
    assert_string_equal(sent(t), "C(a) B(weir:1)");
}

#define IN_TALK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TALK(test_prepared_once),
        IN_TALK(test_another_server),
        IN_TALK(test_failures_are_taken_back),
        IN_TALK(test_batches),
        IN_TALK(test_taken_name),
        IN_TALK(test_sql_knows_names),
        IN_TALK(test_what_a_statement_does),
        IN_TALK(test_room),
        IN_TALK(test_reserved),
        IN_TALK(test_long_texts_pin),
        IN_TALK(test_names_of_long_texts),
        IN_TALK(test_long_text_of_a_taken_name),
    };
    return cmocka_run_group_tests_name("session statements", tests, NULL, NULL);
}
