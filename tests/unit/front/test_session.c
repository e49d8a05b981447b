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
    };
    return cmocka_run_group_tests_name("front session", tests, NULL, NULL);
}
