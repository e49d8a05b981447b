/* What a drill says to the engines' own clients, and what it makes of what they say. */
#include <inttypes.h>

#include "../unit.h"
#include "cli/drill/drill_priv.h"

typedef struct Said {
    const char *text;
    int64_t number;
    const char *error; /* NULL: none */
    bool over, cut;
} Said;

static void lines_are(const DrillProtocol *protocol, const Said *said)
{
    for (; said->text != NULL; said++) {
        DrillLine line = protocol->line(slice_of(said->text));
        if (line.number != said->number || !slice_is(line.error, said->error) ||
            line.over != said->over || line.cut != said->cut) {
            fail_msg("%s: %" PRId64 ", \"%.*s\"%s%s", said->text, line.number,
                     SLICE_FMT(line.error), line.over ? ", over" : "", line.cut ? ", cut" : "");
        }
    }
}

static void arguments_are(DrillArgumentsFn *fn, const char *wanted)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    for (const char *const *word = fn(arena, "weir_drill_a", 2); *word != NULL; word++) {
        buf_printf(&text, "%s[%s]", text.len > 0 ? " " : "", *word);
    }
    assert_string_equal(buf_str(&text), wanted);
    buf_done(&text);
}

static void request_is(const DrillProtocol *protocol, const char *wanted)
{
    CLEANUP(mem_free_ptr) char *text = protocol->request("weir_drill_a", 1, 17);
    assert_string_equal(text, wanted);
}

static void note_found(void *user, int64_t writer, int64_t number)
{
    buf_printf(user, "%" PRId64 ":%" PRId64 " ", writer, number);
}

static void found_is(const DrillProtocol *protocol, Slice text, const char *wanted)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    protocol->found(text, note_found, &out);
    assert_string_equal(buf_str(&out), wanted);
    buf_done(&out);
}

static void test_psql(void **state)
{
    (void)state;
    static const Said said[] = {
        {"17", 17, NULL, false, false},
        {"=", DRILL_NO_NUMBER, NULL, true, false},
        {"ERROR:  40001", DRILL_NO_NUMBER, "40001", false, false},
        {"FATAL:  57P01", DRILL_NO_NUMBER, "57P01", false, false},
        {"server closed the connection unexpectedly", DRILL_NO_NUMBER, NULL, false, false},
        {"\tThis probably means the server terminated abnormally", DRILL_NO_NUMBER, NULL, false,
         false},
        {"", DRILL_NO_NUMBER, NULL, false, false},
        {0}};
    lines_are(&drill_psql, said);
    request_is(&drill_psql,
               "INSERT INTO weir_drill_a VALUES (1, 17) RETURNING number;\n\\echo =\n");
    arguments_are(drill_psql.remove,
                  "[-XqAtF ] [-v] [ON_ERROR_STOP=1] [-c] [DROP TABLE IF EXISTS weir_drill_a]");
    found_is(&drill_psql, SLICE("0 0\n1 17\n"), "0:0 1:17 ");
    found_is(&drill_psql, SLICE("0 0\nsomething\n"), "0:0 -1:-1 ");
    found_is(&drill_psql, SLICE(""), "");
}

/* Each reply is one line, whatever it says; any other line is about a connection that is gone. */
static void test_redis(void **state)
{
    (void)state;
    static const Said said[] = {
        {"18", 17, NULL, true, false},
        {"1", 0, NULL, true, false},
        {"READONLY You can't write against a read only replica.", DRILL_NO_NUMBER, "READONLY", true,
         false},
        {"UNAVAILABLE Weir: the primary is lost; whether this was carried out is not known",
         DRILL_NO_NUMBER, "UNAVAILABLE", true, false},
        {"ERR unknown command", DRILL_NO_NUMBER, "ERR", true, false},
        {"Error: Server closed the connection", DRILL_NO_NUMBER, NULL, false, true},
        {"Could not connect to Redis at 127.1.0.3:6379: Connection refused", DRILL_NO_NUMBER, NULL,
         false, true},
        {"Could not negotiate a TLS connection: x", DRILL_NO_NUMBER, NULL, false, true},
        {"AUTH failed: WRONGPASS invalid username-password pair", DRILL_NO_NUMBER, NULL, false,
         true},
        {"I/O error", DRILL_NO_NUMBER, NULL, false, true},
        {"", DRILL_NO_NUMBER, NULL, false, false}, /* behind an error */
        {0}};
    lines_are(&drill_redis, said);
    request_is(&drill_redis, "SETRANGE weir_drill_a:1 17 1\n");
    arguments_are(drill_redis.make,
                  "[-e] [EVAL] [for _, key in ipairs(KEYS) do redis.call('SET', key, '', 'EX', "
                  "ARGV[1]) end] [2] [weir_drill_a:0] [weir_drill_a:1] [86400]");
    arguments_are(drill_redis.read, "[-e] [MGET] [weir_drill_a:0] [weir_drill_a:1]");
    arguments_are(drill_redis.remove, "[-e] [UNLINK] [weir_drill_a:0] [weir_drill_a:1]");
    found_is(&drill_redis, SLICE("11\0001\n\0001\n"), "0:0 0:1 0:3 1:1 ");
    found_is(&drill_redis, SLICE("\n1\n"), "1:0 "); /* the first one is not there */
    found_is(&drill_redis, SLICE("\n\n"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_psql), cmocka_unit_test(test_redis)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
