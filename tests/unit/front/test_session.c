/* Commands that the front understands, and what a connection to a node holds of its client. */
#include "../unit.h"
#include "front/front_priv.h"

static FrontCommand read_command(Arena *arena, const char *text)
{
    FrontCommand command;
    RespScan scan = {.requests = true};
    size_t len;
    assert_int_equal(resp_scan(&scan, slice_of(text), &len), WIRE_DONE);
    assert_int_equal(len, strlen(text));
    FrontCommandKind kind = front_command_kind(slice_from(scan.kept, scan.kept_len));
    assert_true(front_command_read(slice_of(text), kind, arena, &command));
    return command;
}

static FrontLogin read_login(Arena *arena, const char *text)
{
    FrontCommand command = read_command(arena, text);
    FrontLogin login;
    front_login_parse(&command, &login);
    return login;
}

static void test_auth(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FrontLogin login = read_login(arena, "AUTH secret\r\n");
    assert_null(login.refused);
    assert_true(login.given);
    assert_int_equal(login.user.len, 0);
    assert_slice(login.password, "secret");
    login = read_login(arena, "*3\r\n$4\r\nauth\r\n$7\r\ndefault\r\n$3\r\na b\r\n");
    assert_slice(login.user, "default");
    assert_slice(login.password, "a b");
    login = read_login(arena, "auth \"with space\"\r\n");
    assert_slice(login.password, "with space");
    assert_non_null(read_login(arena, "AUTH\r\n").refused);
    assert_non_null(read_login(arena, "AUTH a b c\r\n").refused);
    assert_false(read_login(arena, "AUTH a b c\r\n").given);
}

static void test_hello(void **state)
{
    (void)state;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FrontLogin login = read_login(arena, "HELLO\r\n");
    assert_null(login.refused);
    assert_null(login.proto.data);
    login = read_login(arena, "HELLO 3 SETNAME me AUTH default pw\r\n");
    assert_null(login.refused);
    assert_slice(login.proto, "3");
    assert_slice(login.name, "me");
    assert_slice(login.password, "pw");
    Buf out;
    buf_init(&out, 4096);
    front_login_put_hello(&login, &out); /* no password goes on */
    assert_string_equal(buf_str(&out),
                        "*4\r\n$5\r\nHELLO\r\n$1\r\n3\r\n$7\r\nSETNAME\r\n$2\r\nme\r\n");
    buf_done(&out);
    const char *bad[] = {"HELLO x\r\n",
                         "HELLO 4\r\n",
                         "HELLO 3 AUTH a\r\n",
                         "HELLO 3 SETNAME\r\n",
                         "HELLO 3 SOMETHING\r\n",
                         "HELLO 3 AUTH a b c\r\n",
                         "HELLO 2 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_non_null(read_login(arena, bad[i]).refused);
    }
}

/* ---- sessions ---------------------------------------------------------------------------------
 */

static void sent(FrontSession *session, const char *text)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    FrontCommand command = read_command(arena, text);
    front_session_sent(session, command.kind,
                       front_command_is_read(command.kind) ? &command : NULL);
}

static void answered(FrontSession *session, const char *text)
{
    RespScan scan = {0};
    size_t len;
    assert_int_equal(resp_scan(&scan, slice_of(text), &len), WIRE_DONE);
    front_session_answered(session, &scan);
}

static void test_replies_are_counted(void **state)
{
    (void)state;
    FrontSession session = {0};
    assert_true(front_session_is_quiet(&session));
    sent(&session, "GET k\r\n");
    sent(&session, "GET k\r\n");
    assert_int_equal(front_session_unanswered(&session), 2);
    assert_false(front_session_is_quiet(&session));
    answered(&session, "*2\r\n$1\r\na\r\n:1\r\n");
    answered(&session, ">2\r\n$1\r\na\r\n:1\r\n"); /* a push is nobody's answer */
    assert_int_equal(front_session_unanswered(&session), 1);
    answered(&session, "|1\r\n+a\r\n+b\r\n-ERR no\r\n"); /* an attribute belongs to its reply */
    assert_true(front_session_is_quiet(&session));
    assert_true(front_session_can_move(&session));
}

static void test_what_can_be_made_again(void **state)
{
    (void)state;
    FrontSession session = {0};
    Buf out;
    buf_init(&out, 4096);
    assert_int_equal(front_session_greet(&session, SLICE("u"), SLICE("p"), &out), 1);
    assert_string_equal(buf_str(&out), "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n");
    sent(&session, "SELECT 4\r\n");
    sent(&session, "HELLO 3\r\n");
    sent(&session, "CLIENT SETNAME me\r\n");
    sent(&session, "SELECT 99\r\n");
    assert_int_equal(session.db, 0); /* nothing is known before the answer */
    answered(&session, "+OK\r\n");
    answered(&session, "%0\r\n");
    answered(&session, "+OK\r\n");
    answered(&session, "-ERR DB index is out of range\r\n");
    assert_int_equal(session.db, 4);
    assert_int_equal(session.proto, 3);
    assert_string_equal(session.name, "me");
    assert_true(front_session_can_move(&session));
    sent(&session, "SELECT 5\r\n");
    front_session_cut(&session); /* unanswered: not made again */
    assert_int_equal(front_session_unanswered(&session), 0);
    buf_clear(&out);
    assert_int_equal(front_session_greet(&session, SLICE("u"), SLICE("p"), &out), 4);
    assert_string_equal(buf_str(&out), "*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n"
                                       "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
                                       "*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$2\r\nme\r\n"
                                       "*2\r\n$6\r\nSELECT\r\n$1\r\n4\r\n");
    buf_done(&out);
}

static void test_hello_with_a_name_is_one_answer(void **state)
{
    (void)state;
    FrontSession session = {0};
    sent(&session, "HELLO 3 SETNAME me\r\n");
    sent(&session, "SELECT 1\r\n");
    answered(&session, "-NOPERM no\r\n");
    assert_int_equal(session.proto, 0);
    assert_string_equal(session.name, "");
    answered(&session, "+OK\r\n");
    assert_int_equal(session.db, 1);
    assert_int_equal(session.marks_len, 0);
}

static bool moves_after(const char *const *commands)
{
    FrontSession session = {0};
    for (size_t i = 0; commands[i] != NULL; i++) {
        sent(&session, commands[i]);
        answered(&session, "+OK\r\n");
    }
    return front_session_can_move(&session);
}

#define MOVES(...) moves_after((const char *const[]){__VA_ARGS__, NULL})

static void test_what_binds(void **state)
{
    (void)state;
    assert_true(MOVES("SET a b\r\n", "CLIENT ID\r\n", "CLIENT GETNAME\r\n"));
    assert_false(MOVES("WATCH a\r\n"));
    assert_true(MOVES("WATCH a\r\n", "UNWATCH\r\n"));
    assert_false(MOVES("MULTI\r\n"));
    assert_false(MOVES("WATCH a\r\n", "MULTI\r\n", "UNWATCH\r\n")); /* queued only */
    assert_true(MOVES("WATCH a\r\n", "MULTI\r\n", "SET a b\r\n", "EXEC\r\n"));
    assert_true(MOVES("MULTI\r\n", "DISCARD\r\n"));
    assert_false(MOVES("MULTI\r\n", "SELECT 1\r\n", "EXEC\r\n")); /* its answer is inside EXEC's */
    assert_false(MOVES("SUBSCRIBE a\r\n"));
    assert_false(MOVES("MONITOR\r\n"));
    assert_false(MOVES("CLIENT TRACKING ON\r\n"));
    assert_false(MOVES("client reply skip\r\n"));
    assert_false(MOVES("CLIENT NO-EVICT on\r\n"));
}

static void test_uncounted_replies(void **state)
{
    (void)state;
    FrontSession session = {0};
    sent(&session, "GET a\r\n");
    sent(&session, "SUBSCRIBE a b\r\n");
    assert_int_equal(front_session_unanswered(&session), 0);
    assert_false(front_session_is_quiet(&session)); /* nothing of the front's own fits in */
    for (int i = 0; i < 5; i++) {
        answered(&session, "*3\r\n+message\r\n+a\r\n+x\r\n");
    }
    assert_false(front_session_is_quiet(&session));
    assert_false(front_session_can_move(&session));
}

static void test_more_marks_than_are_kept(void **state)
{
    (void)state;
    FrontSession session = {0};
    for (int i = 0; i <= SESSION_MARKS_MAX; i++) {
        assert_true(front_session_can_move(&session));
        sent(&session, "SELECT 1\r\n");
    }
    assert_false(front_session_can_move(&session));
    for (int i = 0; i <= SESSION_MARKS_MAX; i++) {
        answered(&session, "+OK\r\n");
    }
    assert_int_equal(session.db, 1);
    assert_int_equal(session.marks_len, 0);
}

/* ---- writes -----------------------------------------------------------------------------------
 */

static bool acknowledges(const FrontSession *session, const char *text)
{
    RespScan scan = {0};
    size_t len;
    assert_int_equal(resp_scan(&scan, slice_of(text), &len), WIRE_DONE);
    return front_session_acknowledges(session, &scan);
}

static void wrote(FrontSession *session)
{
    sent(session, "SET k v\r\n");
    front_session_wrote(session);
}

static void test_replies_to_writes_are_known(void **state)
{
    (void)state;
    FrontSession session = {0};
    sent(&session, "GET k\r\n");
    wrote(&session);
    wrote(&session);
    sent(&session, "GET k\r\n");
    wrote(&session);
    static const bool expected[] = {false, true, true, false, true};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_int_equal(acknowledges(&session, "+OK\r\n"), expected[i]);
        assert_false(acknowledges(&session, "-ERR no\r\n")); /* acknowledges nothing */
        assert_false(acknowledges(&session, ">1\r\n+a\r\n"));
        answered(&session, "+OK\r\n");
    }
    assert_false(acknowledges(&session, "+OK\r\n"));
    assert_int_equal(session.writes_len, 0);
}

static void test_too_many_runs_of_writes_become_one(void **state)
{
    (void)state;
    FrontSession session = {0};
    for (int i = 0; i < 100; i++) {
        wrote(&session);
        sent(&session, "GET k\r\n");
    }
    assert_int_equal(session.writes_len, SESSION_WRITES_MAX);
    for (int i = 0; i < 200; i++) {
        if (i % 2 == 0) {
            assert_true(acknowledges(&session, "+OK\r\n"));
        }
        answered(&session, "+OK\r\n");
    }
    assert_false(acknowledges(&session, "+OK\r\n"));
}

static void test_who_cannot_be_counted_and_writes(void **state)
{
    (void)state;
    FrontSession session = {0};
    sent(&session, "SUBSCRIBE a\r\n");
    assert_false(acknowledges(&session, "+OK\r\n"));
    wrote(&session);
    assert_true(acknowledges(&session, "+OK\r\n"));
    assert_true(acknowledges(&session, ">1\r\n+a\r\n"));
    session = (FrontSession){0};
    wrote(&session);
    sent(&session, "SUBSCRIBE a\r\n"); /* the write's own reply is still to come */
    assert_true(acknowledges(&session, "+OK\r\n"));
    front_session_cut(&session);
    assert_false(acknowledges(&session, "+OK\r\n"));
}

static void test_bare_commands(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool bare;
    } cases[] = {{"MULTI\r\n", true},
                 {"  EXEC \r\n", true},
                 {"MULTI x\r\n", false},
                 {"*1\r\n$5\r\nMULTI\r\n", true},
                 {"*2\r\n$5\r\nMULTI\r\n$1\r\nx\r\n", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        RespScan scan = {.requests = true};
        size_t len;
        assert_int_equal(resp_scan(&scan, slice_of(cases[i].text), &len), WIRE_DONE);
        assert_int_equal(front_command_is_bare(&scan, slice_of(cases[i].text)), cases[i].bare);
    }
}

/* ---- what a server says of its commands -------------------------------------------------------
 */

#define SAID(name, flags, category, subcommands)                                                   \
    "*10\r\n$" name "\r\n:-2\r\n" flags ":1\r\n:1\r\n:1\r\n*1\r\n+@" category                      \
    "\r\n*0\r\n*1\r\n%1\r\n+flags\r\n*1\r\n+RW\r\n" subcommands

static const char commands[] =
    "*7\r\n" SAID("3\r\nset", "*2\r\n+write\r\n+denyoom\r\n", "write",
                  "*0\r\n") SAID("3\r\nget", "~1\r\n+readonly\r\n", "read", "*0\r\n")
        SAID("4\r\neval", "*1\r\n+noscript\r\n", "scripting", "*0\r\n")
            SAID("7\r\neval_ro", "*1\r\n+readonly\r\n", "scripting", "*0\r\n")
                SAID("7\r\npfcount", "*1\r\n+may_replicate\r\n", "read", "*0\r\n")
                    SAID("6\r\nxgroup", "*0\r\n", "slow",
                         "*2\r\n" SAID("11\r\nxgroup|help", "*0\r\n", "stream", "*0\r\n")
                             SAID("13\r\nxgroup|create", "*1\r\n+write\r\n", "stream", "*0\r\n"))
                        SAID("6\r\nscript", "*0\r\n", "slow",
                             "*1\r\n" SAID("11\r\nscript|load", "*1\r\n+noscript\r\n", "scripting",
                                           "*0\r\n"));

static void test_which_commands_write(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool writes;
    } cases[] = {{"SET", true},     {"GET", false},   {"EVAL", true},    {"EVAL_RO", false},
                 {"PFCOUNT", true}, {"XGROUP", true}, {"SCRIPT", false}, {"NEW", true},
                 {"set", true},     {"\"GET\"", true}};
    FrontTable *table;
    Err err;
    assert_true(front_table_parse(slice_of(commands), &table, &err));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(front_table_writes(table, slice_of(cases[i].name)), cases[i].writes);
    }
    front_table_free(table);
    for (size_t len = 0; len < sizeof(commands) - 1; len++) {
        assert_false(front_table_parse(slice_from(commands, len), &table, &err));
    }
    static const char *const bad[] = {"*0\r\n", "-ERR no\r\n", "*-1\r\n",
                                      "*1\r\n*2\r\n$3\r\nget\r\n:2\r\n", /* without flags */
                                      "*1\r\n*-1\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(front_table_parse(slice_of(bad[i]), &table, &err));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auth),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_replies_are_counted),
        cmocka_unit_test(test_what_can_be_made_again),
        cmocka_unit_test(test_hello_with_a_name_is_one_answer),
        cmocka_unit_test(test_what_binds),
        cmocka_unit_test(test_uncounted_replies),
        cmocka_unit_test(test_more_marks_than_are_kept),
        cmocka_unit_test(test_replies_to_writes_are_known),
        cmocka_unit_test(test_too_many_runs_of_writes_become_one),
        cmocka_unit_test(test_who_cannot_be_counted_and_writes),
        cmocka_unit_test(test_bare_commands),
        cmocka_unit_test(test_which_commands_write),
    };
    return cmocka_run_group_tests_name("front session", tests, NULL, NULL);
}
