/* RESP: values, commands and the scan that forwards without looking. */
#include "../unit.h"

#include "wire/wire.h"

static void test_values(void **state)
{
    (void)state;
    Slice in =
        SLICE("+OK\r\n-ERR no\r\n:-12\r\n$3\r\na\r\n\r\n$-1\r\n*2\r\n*-1\r\n_\r\n#t\r\n#f\r\n"
              ",1.5\r\n(123\r\n!5\r\nERR x\r\n=7\r\ntxt:abc\r\n%1\r\n~0\r\n>3\r\n|2\r\n");
    RespValue v;
    const struct {
        char type;
        const char *text;
        int64_t number;
        bool null;
    } want[] = {{'+', "OK", 0, false},    {'-', "ERR no", 0, false}, {':', "", -12, false},
                {'$', "a\r\n", 0, false}, {'$', "", 0, true},        {'*', "", 2, false},
                {'*', "", 0, true},       {'_', "", 0, true},        {'#', "t", 1, false},
                {'#', "f", 0, false},     {',', "1.5", 0, false},    {'(', "123", 0, false},
                {'!', "ERR x", 0, false}, {'=', "abc", 0, false},    {'%', "", 1, false},
                {'~', "", 0, false},      {'>', "", 3, false},       {'|', "", 2, false}};
    /* "$3\r\na\r\n\r\n" holds three bytes, two of which look like an end. */
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_true(resp_value_read(&in, &v) == WIRE_DONE);
        assert_int_equal(v.type, want[i].type);
        assert_slice(v.text, want[i].text);
        assert_int_equal(v.null, want[i].null);
        int64_t number = v.type == ':' ? v.integer : v.type == '#' ? v.truth : v.count;
        assert_int_equal(number, want[i].number);
    }
    assert_int_equal(in.len, 0);
    assert_true(resp_value_read(&in, &v) == WIRE_MORE);
}

static void test_bad_values(void **state)
{
    (void)state;
    const char *bad[] = {"x\r\n",
                         ":\r\n",
                         ":1x\r\n",
                         ":01\r\n",
                         ":-0\r\n",
                         "$-2\r\n",
                         "$1\r\nab\r\n",
                         "$1\r\na\rx",
                         "+a\rb\r\n",
                         "#x\r\n",
                         "_x\r\n",
                         "*-2\r\n",
                         "%-1\r\n",
                         "=2\r\nab\r\n",
                         ":9223372036854775808\r\n",
                         "$99999999999\r\n",
                         ":11111111111111111111111111111111111"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Slice in = slice_of(bad[i]);
        RespValue v;
        assert_true(resp_value_read(&in, &v) == WIRE_BAD);
        assert_int_equal(in.len, strlen(bad[i]));
    }
}

static void test_commands(void **state)
{
    (void)state;
    Slice args[3];
    RespCommand c;
    Slice in = SLICE("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n*0\r\n");
    assert_true(resp_command_read(in, args, 3, &c) == WIRE_DONE);
    assert_int_equal(c.arg_count, 3);
    assert_int_equal(c.len, in.len - 4);
    assert_false(c.inlined);
    assert_slice(args[0], "SET");
    assert_slice(args[2], "\r\n\r\n");
    for (size_t cut = 0; cut < c.len; cut++) {
        assert_true(resp_command_read((Slice){in.data, cut}, args, 3, &c) == WIRE_MORE);
    }
    assert_true(resp_command_read(SLICE("*0\r\n"), args, 3, &c) == WIRE_DONE);
    assert_int_equal(c.arg_count, 0);
    assert_true(resp_command_read(SLICE("*-1\r\n"), args, 3, &c) == WIRE_DONE);
    assert_int_equal(c.arg_count, 0);
    /* More arguments than there is room for: counted. */
    assert_true(resp_command_read(SLICE("*2\r\n$1\r\na\r\n$1\r\nb\r\n"), args, 1, &c) == WIRE_DONE);
    assert_int_equal(c.arg_count, 2);
    const char *bad[] = {"*1\r\n:1\r\n", "*x\r\n",         "*1\r\n$-1\r\n", "*2000000\r\n",
                         "*-2\r\n",      "*1\r\n$1\r\nab", "*01\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(resp_command_read(slice_of(bad[i]), args, 3, &c) == WIRE_BAD);
    }
}

static void test_inline_commands(void **state)
{
    (void)state;
    Slice args[4];
    RespCommand c;
    assert_true(resp_command_read(SLICE("  PING  hello\t\r\nnext"), args, 4, &c) == WIRE_DONE);
    assert_true(c.inlined && c.arg_count == 2 && c.len == 16);
    assert_slice(args[0], "PING");
    assert_slice(args[1], "hello");
    assert_true(resp_command_read(SLICE("\r\n"), args, 4, &c) == WIRE_DONE);
    assert_int_equal(c.arg_count, 0);
    assert_true(resp_command_read(SLICE("SET \"a b\\\"\\x41\\n\" 'c\\'\\n'\n"), args, 4, &c) ==
                WIRE_DONE);
    assert_int_equal(c.arg_count, 3);
    char out[32];
    assert_slice(((Slice){out, resp_inline_unquote(args[1], out)}), "a b\"A\n");
    assert_slice(((Slice){out, resp_inline_unquote(args[2], out)}), "c'\\n");
    const char *bad[] = {"SET \"a\n", "SET 'a\n", "SET \"a\"b c\n", "SET 'a'b\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_true(resp_command_read(slice_of(bad[i]), args, 4, &c) == WIRE_BAD);
    }
    assert_true(resp_command_read(slice_from("A\0B\n", 4), args, 4, &c) == WIRE_BAD);
    assert_true(resp_command_read(SLICE("PING"), args, 4, &c) == WIRE_MORE);
    Buf lengthy;
    buf_init(&lengthy, BUF_MAX_DEFAULT);
    while (lengthy.len <= RESP_LINE_MAX) {
        buf_append_str(&lengthy, "xxxxxxxxxxxxxxxx");
    }
    assert_true(resp_command_read(buf_slice(&lengthy), args, 4, &c) == WIRE_BAD);
    buf_done(&lengthy);
}

/* What the scan says about each value of a stream, as "type:count:kept/len " */
static void scan_story(RespScan *scan, Slice in, size_t *value_len, Buf *out)
{
    while (in.len > 0) {
        size_t used = 0;
        WireResult result = resp_scan(scan, in, &used);
        if (result == WIRE_BAD) {
            buf_append_str(out, "bad");
            return;
        }
        *value_len += used;
        in = slice_skip(in, used);
        if (result == WIRE_MORE) {
            assert_int_equal(in.len, 0);
            return;
        }
        assert_true(resp_scan_idle(scan));
        buf_printf(out, "%c:%lld:%.*s/%zu ", scan->type, (long long)scan->count,
                   (int)scan->kept_len, scan->kept, *value_len);
        *value_len = 0;
    }
}

static void check_story(bool requests, Slice in, const char *want)
{
    for (size_t cut = 0; cut <= in.len; cut++) {
        RespScan scan = {.requests = requests};
        Buf story;
        size_t value_len = 0;
        buf_init(&story, BUF_MAX_DEFAULT);
        scan_story(&scan, (Slice){in.data, cut}, &value_len, &story);
        if (!slice_ends(buf_slice(&story), "bad")) {
            scan_story(&scan, slice_skip(in, cut), &value_len, &story);
        }
        assert_string_equal(buf_str(&story), want);
        buf_done(&story);
    }
}

static void test_scan_replies(void **state)
{
    (void)state;
    check_story(false,
                SLICE("+OK\r\n$5\r\na\r\nbc\r\n*2\r\n$1\r\nx\r\n*1\r\n:5\r\n*0\r\n*-1\r\n$-1\r\n"
                      "$0\r\n\r\n-ERR nope\r\n:-9223372036854775808\r\n"),
                "+:0:OK/5 $:5:a\r\nbc/11 *:2:x/19 *:0:/4 *:-1:/5 $:-1:/5 $:0:/6 -:0:ERR nope/11 "
                ":"
                ":-9223372036854775808:/23 ");
    check_story(false,
                SLICE(">2\r\n+invalidate\r\n*1\r\n$1\r\nk\r\n%1\r\n+a\r\n:1\r\n~0\r\n#t\r\n_\r\n"
                      ",inf\r\n(12\r\n!3\r\nERR\r\n=5\r\ntxt:a\r\n"),
                ">:2:invalidate/28 %:1:a/12 ~:0:/4 #:0:t/4 _:0:/3 ,:0:inf/6 (:0:12/5 "
                "!:3:ERR/9 =:5:txt:a/11 ");
    /* Attributes belong to what stands behind them, at any depth. */
    check_story(false, SLICE("|1\r\n+a\r\n+b\r\n*2\r\n|1\r\n+c\r\n:1\r\n+d\r\n+e\r\n|0\r\n+f\r\n"),
                "*:2:c/36 +:0:f/8 ");
}

static void test_scan_requests(void **state)
{
    (void)state;
    check_story(
        true,
        SLICE("*2\r\n$3\r\ngEt\r\n$1\r\nk\r\n  ping foo\r\n*0\r\n\r\n*-1\r\n*1\r\n$0\r\n\r\n"
              "\"get\" x\n"),
        "*:2:GET/20 i:0:PING/12 *:0:/4 i:0:/2 *:-1:/5 *:1:/10 i:0:\"GET\"/8 ");
}

static void test_scan_bad(void **state)
{
    (void)state;
    const char *bad_replies[] = {"x",        "$-2\r\n", "$1\r\nab", "*-2\r\n", "%-1\r\n",
                                 ":\r\n",    ":1x",     "$01\r\n",  ":-0\r\n", "+a\rb",
                                 "*1\r\n*x", "!-1\r\n", ":1\rx",    ">-1\r\n", "--1\r\r"};
    for (size_t i = 0; i < ARRAY_LEN(bad_replies); i++) {
        check_story(false, slice_of(bad_replies[i]), "bad");
    }
    const char *bad_requests[] = {"*1\r\n+OK\r\n", "*1\r\n*1\r\n", "*1\r\n$-1\r\n", "*2000000\r\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad_requests); i++) {
        check_story(true, slice_of(bad_requests[i]), "bad");
    }
    check_story(false, SLICE(":9223372036854775808\r\n"), "bad");
    check_story(false, SLICE("$536870913\r\n"), "bad");
}

static void test_scan_depth(void **state)
{
    (void)state;
    Buf in;
    buf_init(&in, BUF_MAX_DEFAULT);
    for (int i = 0; i < RESP_DEPTH_MAX; i++) {
        buf_append_str(&in, "*1\r\n");
    }
    RespScan scan = {0};
    size_t used;
    assert_true(resp_scan(&scan, buf_slice(&in), &used) == WIRE_MORE);
    assert_true(resp_scan(&scan, SLICE("*1\r\n"), &used) == WIRE_BAD);
    scan = (RespScan){0};
    buf_append_str(&in, ":1\r\n");
    assert_true(resp_scan(&scan, buf_slice(&in), &used) == WIRE_DONE);
    assert_int_equal(used, in.len);
    buf_done(&in);
}

static void test_builders(void **state)
{
    (void)state;
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    Slice args[] = {SLICE("AUTH"), SLICE("a\r\nb")};
    resp_put_command(&out, args, 2);
    resp_put_simple(&out, SLICE("OK"));
    resp_put_error(&out, SLICE("ERR a\r\nb"));
    resp_put_integer(&out, -5);
    resp_put_null(&out, 2);
    resp_put_null(&out, 3);
    resp_put_header(&out, '%', 1);
    assert_string_equal(buf_str(&out), "*2\r\n$4\r\nAUTH\r\n$4\r\na\r\nb\r\n+OK\r\n-ERR a  b\r\n"
                                       ":-5\r\n$-1\r\n_\r\n%1\r\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),       cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_commands),     cmocka_unit_test(test_inline_commands),
        cmocka_unit_test(test_scan_replies), cmocka_unit_test(test_scan_requests),
        cmocka_unit_test(test_scan_bad),     cmocka_unit_test(test_scan_depth),
        cmocka_unit_test(test_builders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
