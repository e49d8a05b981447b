/* What may go to a replica, and which of its answers are not the last word. */
#include "../session/talk.h"

#include "proxy/split/last_word_priv.h"
#include "proxy/split/split_priv.h"

static const SqlDialect dialect = {.wants_reads = true};

static SplitKind kind_of(const Session *session, SplitDefaults defaults, char type,
                         const char *text)
{
    Buf buf;
    LineRequest request = {0};
    buf_init(&buf, BUF_MAX_DEFAULT);
    talk_put(&buf, type, "", text);
    const LineReader reader = {session, &dialect, NULL};
    SplitKind kind = split_kind(&reader, defaults, buf_slice(&buf), &request);
    assert_int_equal(request.len, kind == SPLIT_READ ? buf.len : 0);
    for (size_t cut = 0; cut < buf.len; cut++) { /* what is not there cannot be judged */
        Slice part = {buf.data, cut};
        assert_int_equal(split_kind(&reader, defaults, part, &request), SPLIT_PRIMARY);
    }
    buf_done(&buf);
    return kind;
}

static void test_kinds(void **state)
{
    (void)state;
    static const struct {
        char type;
        const char *text;
        SplitKind usual, read_only;
    } cases[] = {
        {'Q', "select 1", SPLIT_READ, SPLIT_READ},
        {'Q', "begin", SPLIT_PRIMARY, SPLIT_TRANSACTION},
        {'Q', "begin read only", SPLIT_TRANSACTION, SPLIT_TRANSACTION},
        {'Q', "begin read write", SPLIT_PRIMARY, SPLIT_PRIMARY},
        {'Q', "begin isolation level serializable read only", SPLIT_PRIMARY, SPLIT_PRIMARY},
        {'Q', "select mine()", SPLIT_PRIMARY, SPLIT_TRANSACTION},
        {'P', "begin read only", SPLIT_PRIMARY, SPLIT_PRIMARY}, /* not complete */
        {'P', "select 1", SPLIT_PRIMARY, SPLIT_PRIMARY},
        {'Q', "select pg_advisory_xact_lock(1)", SPLIT_PRIMARY, SPLIT_PRIMARY},
        {'Q', "create temp table t (a int)", SPLIT_PRIMARY, SPLIT_PRIMARY},
        {'Q', "listen a", SPLIT_PRIMARY, SPLIT_PRIMARY},
        {'Q', "bogus", SPLIT_PRIMARY, SPLIT_PRIMARY},
    };
    Session session;
    session_init(&session, false);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        SplitDefaults read_only = {.read_only = true};
        SplitDefaults serializable = {.read_only = true, .serializable = true};
        SplitKind usual = kind_of(&session, (SplitDefaults){0}, cases[i].type, cases[i].text);
        if (usual != cases[i].usual) {
            fail_msg("%s: %d", cases[i].text, usual);
        }
        SplitKind by_default = kind_of(&session, read_only, cases[i].type, cases[i].text);
        if (by_default != cases[i].read_only) {
            fail_msg("read only, %s: %d", cases[i].text, by_default);
        }
        assert_int_equal(kind_of(&session, serializable, cases[i].type, cases[i].text),
                         SPLIT_PRIMARY);
    }
    session.pin = PIN_TEMPORARY;
    assert_int_equal(kind_of(&session, (SplitDefaults){0}, 'Q', "select 1"), SPLIT_PRIMARY);
    session.pin = PIN_NONE;
    session.walsender = true;
    assert_int_equal(kind_of(&session, (SplitDefaults){0}, 'Q', "select 1"), SPLIT_PRIMARY);
    session_done(&session);
}

/* What it listens to would come along with a transaction, and no replica listens. */
static void test_listening(void **state)
{
    (void)state;
    Session session;
    session_init(&session, false);
    session.listening = mem_alloc(sizeof(Listening));
    session.listening->state = LISTENING_SHARED;
    assert_int_equal(kind_of(&session, (SplitDefaults){0}, 'Q', "select 1"), SPLIT_READ);
    assert_int_equal(kind_of(&session, (SplitDefaults){0}, 'Q', "begin read only"), SPLIT_PRIMARY);
    session_done(&session);
}

typedef struct Step {
    char type;
    const char *text;
} Step;

static SplitKind batch_of(const Step *steps, bool read_only)
{
    Session session;
    Buf buf;
    LineRequest request = {0};
    session_init(&session, false);
    buf_init(&buf, BUF_MAX_DEFAULT);
    for (; steps->type != '\0'; steps++) {
        talk_put(&buf, steps->type, "", steps->text);
    }
    SplitDefaults defaults = {.read_only = read_only};
    const LineReader reader = {&session, &dialect, NULL};
    SplitKind kind = split_kind(&reader, defaults, buf_slice(&buf), &request);
    for (size_t cut = 0; cut < buf.len; cut++) {
        Slice part = {buf.data, cut};
        assert_int_equal(split_kind(&reader, defaults, part, &request), SPLIT_PRIMARY);
    }
    buf_done(&buf);
    session_done(&session);
    return kind;
}

/* One that begins a transaction, and does not end it. */
static void test_batches(void **state)
{
    (void)state;
    const Step begin[] = {{'P', "begin read only"},
                          {'B', ""},
                          {'E', ""},
                          {'P', "select 1"},
                          {'B', ""},
                          {'D', ""},
                          {'E', ""},
                          {'S', ""},
                          {0}};
    const Step ends[] = {
        {'P', "begin read only"}, {'B', ""}, {'E', ""}, {'P', "commit"}, {'B', ""}, {'E', ""},
        {'P', "delete from t"},   {'B', ""}, {'E', ""}, {'S', ""},       {0}};
    const Step late[] = {{'P', "select mine()"},
                         {'B', ""},
                         {'E', ""},
                         {'P', "begin read only"},
                         {'B', ""},
                         {'E', ""},
                         {'S', ""},
                         {0}};
    const Step locks[] = {{'P', "begin read only"},
                          {'B', ""},
                          {'E', ""},
                          {'P', "select pg_advisory_xact_lock(1)"},
                          {'B', ""},
                          {'E', ""},
                          {'S', ""},
                          {0}};
    const Step writes[] = {{'P', "begin read write"}, {'B', ""}, {'E', ""}, {'S', ""}, {0}};
    const Step called[] = {{'P', "select mine()"}, {'B', ""}, {'E', ""}, {'S', ""}, {0}};
    const Step unbound[] = {{'P', "select mine()"}, {'D', ""}, {'S', ""}, {0}};
    const Step sync[] = {{'S', ""}, {0}};
    assert_int_equal(batch_of(begin, false), SPLIT_TRANSACTION);
    assert_int_equal(batch_of(called, true), SPLIT_TRANSACTION);
    const Step *others[] = {ends, late, locks, writes, called, sync};
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        assert_int_equal(batch_of(others[i], false), SPLIT_PRIMARY);
    }
    assert_int_equal(batch_of(ends, true), SPLIT_PRIMARY);
    assert_int_equal(batch_of(writes, true), SPLIT_PRIMARY);
    assert_int_equal(batch_of(sync, true), SPLIT_PRIMARY);
    assert_int_equal(batch_of(unbound, true), SPLIT_PRIMARY);
}

static ReadVerdict verdict_of(const char *code, const char *message, ReadAsked asked)
{
    PgError error = {.sqlstate = slice_of(code), .message = slice_of(message)};
    return read_verdict(&error, asked);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const passing[] = {"22012", "23505", "55P03", "53200", "08006", "P0001"};
    static const char *const of_replicas[] = {"40001", "40P01", "42P01", "3F000", "22023", "55000"};
    static const char *const everywhere[] = {"57P01", "57P05", "0A000", "26000"};
    static const char timeout[] = "canceling statement due to statement timeout";
    const ReadAsked line = {.line = true};
    const ReadAsked replica = {.replica = true};
    const ReadAsked both = {.line = true, .replica = true};
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        assert_false(verdict_of(passing[i], "x", both).again);
    }
    for (size_t i = 0; i < ARRAY_LEN(of_replicas); i++) {
        assert_false(verdict_of(of_replicas[i], "x", line).again);
        assert_true(verdict_of(of_replicas[i], "x", replica).again);
        ReadVerdict verdict = verdict_of(of_replicas[i], "x", both);
        assert_true(verdict.again && !verdict.writes && !verdict.alone);
    }
    for (size_t i = 0; i < ARRAY_LEN(everywhere); i++) {
        assert_true(verdict_of(everywhere[i], "x", line).again);
        ReadVerdict verdict = verdict_of(everywhere[i], "x", replica);
        assert_true(verdict.again && !verdict.writes); /* only this one, and only now */
    }
    assert_true(verdict_of("0A000", "x", replica).anew && verdict_of("0A000", "x", line).anew);
    assert_false(verdict_of("57P01", "x", replica).anew);
    assert_true(verdict_of("25006", "x", replica).writes);
    assert_false(verdict_of("25006", "x", replica).alone);
    assert_true(verdict_of("25006", "x", both).writes && verdict_of("25006", "x", both).alone);
    assert_true(verdict_of("57014", "x", replica).again);
    assert_false(verdict_of("57014", "x", replica).writes);
    assert_false(verdict_of("57014", "x", (ReadAsked){.replica = true, .cancelled = true}).again);
    assert_false(verdict_of("57014", timeout, replica).again);
    assert_true(verdict_of("57014", timeout, both).again && verdict_of("57014", "x", line).alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kinds), cmocka_unit_test(test_listening),
        cmocka_unit_test(test_batches), cmocka_unit_test(test_errors)};
    return cmocka_run_group_tests_name("split", tests, NULL, NULL);
}
