/* What agent and guard say to each other. */
#include <signal.h>
#include <stdio.h>

#include "../unit.h"
#include "guard/guard_priv.h"

static void test_modes(void **state)
{
    (void)state;
    GuardModes modes;
    Err err;
    assert_true(guard_modes_parse(SLICE("smart=TERM,fast=INT,immediate=QUIT"), &modes, &err));
    assert_int_equal(modes.len, 3);
    assert_string_equal(modes.modes[1].name, "fast");
    assert_int_equal(modes.modes[1].signal, SIGINT);
    assert_int_equal(modes.modes[2].signal, SIGQUIT);
    const char *bad[] = {"",
                         "fast",
                         "fast=",
                         "=INT",
                         "fast=INT,",
                         "fast=WHAT",
                         "fast=INT=1",
                         "kill=KILL",
                         "a=INT,b=INT,c=INT,d=INT,e=INT",
                         "averyveryverylong=INT"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(guard_modes_parse(slice_of(bad[i]), &modes, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static void test_requests(void **state)
{
    (void)state;
    GuardModes modes;
    GuardRequest request;
    Err err;
    assert_true(guard_modes_parse(SLICE("fast=INT,immediate=QUIT"), &modes, &err));
    assert_true(guard_request_parse(SLICE("status"), &modes, &request, &err));
    assert_int_equal(request.kind, GUARD_REQUEST_STATUS);
    assert_true(guard_request_parse(SLICE("stop immediate 1500"), &modes, &request, &err));
    assert_int_equal(request.kind, GUARD_REQUEST_STOP);
    assert_int_equal(request.signal, SIGQUIT);
    assert_int_equal(request.timeout_ms, 1500);
    assert_true(guard_request_parse(SLICE("stop kill 0"), &modes, &request, &err));
    assert_int_equal(request.kind, GUARD_REQUEST_KILL);
    assert_true(guard_request_parse(SLICE("fence 123456789012"), &modes, &request, &err));
    assert_int_equal(request.kind, GUARD_REQUEST_FENCE);
    assert_true(request.until_ms == 123456789012);
    assert_true(guard_request_parse(SLICE("signal HUP"), &modes, &request, &err));
    assert_int_equal(request.signal, SIGHUP);
    const char *bad[] = {"",           "status ",      "status x",      "stop",         "stop fast",
                         "stop fast ", "stop fast -1", "stop fast 1 2", "stop smart 1", "signal",
                         "signal ",    "signal 9",     "start",         "STATUS",       "fence",
                         "fence -1",   "fence soon"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(guard_request_parse(slice_of(bad[i]), &modes, &request, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

static GuardLine parsed(Buf *text)
{
    GuardLine line;
    Err err;
    Slice rest = buf_slice(text);
    assert_int_equal(rest.data[rest.len - 1], '\n');
    rest.len--;
    assert_null(memchr(rest.data, '\n', rest.len));
    if (!guard_line_parse(rest, &line, &err)) {
        fail_msg("%s", err.message);
    }
    /* Nothing that was cut off is taken for the whole; an error's text has no end of its own. */
    size_t fixed = line.kind == GUARD_LINE_EXITED ? rest.len - strlen(line.end.error) : rest.len;
    for (size_t len = 0; len < fixed; len++) {
        GuardLine cut;
        bool same = guard_line_parse(slice_from(rest.data, len), &cut, &err) &&
                    line.kind == GUARD_LINE_EXITED;
        assert_false(same);
    }
    buf_clear(text);
    return line;
}

static void test_lines_come_back(void **state)
{
    (void)state;
    Buf text;
    buf_init(&text, GUARD_LINE_MAX);
    GuardStatus status = {GUARD_STOPPING, 4711, 1700000000123, 0};
    guard_status_format(&status, &text);
    GuardLine line = parsed(&text);
    assert_int_equal(line.kind, GUARD_LINE_STATUS);
    assert_int_equal(line.status.state, GUARD_STOPPING);
    assert_int_equal(line.status.engine, 4711);
    assert_int_equal(line.status.started_ms, 1700000000123);

    GuardExit end = {.end = {true, -1, 9}, .asked = true, .started_ms = 1, .ended_ms = 22};
    guard_exit_format(&end, &text);
    line = parsed(&text);
    assert_int_equal(line.kind, GUARD_LINE_EXITED);
    assert_true(line.end.end.known);
    assert_int_equal(line.end.end.exit_code, -1);
    assert_int_equal(line.end.end.signal, 9);
    assert_true(line.end.asked);
    assert_int_equal(line.end.ended_ms, 22);
    assert_string_equal(line.end.error, "");

    end = (GuardExit){.end.exit_code = -1};
    snprintf(end.error, sizeof(end.error), "cannot execute /a b=c\nsecond line");
    guard_exit_format(&end, &text);
    line = parsed(&text);
    assert_false(line.end.end.known);
    assert_false(line.end.asked);
    assert_string_equal(line.end.error, "cannot execute /a b=c second line");
    buf_done(&text);
}

static void test_bad_lines(void **state)
{
    (void)state;
    const char *bad[] = {
        "",
        "okay",
        "ok now",
        "status",
        "status state=unknown engine=1 started_ms=1 left=0",
        "status state=running engine=x started_ms=1 left=0",
        "status state=running engine=1 started_ms=1 left=0 more=1",
        "status state=running engine=99999999999 started_ms=1 left=0",
        "exited code=0 signal=0 asked=perhaps started_ms=1 ended_ms=1 error=",
        "exited code=0 signal=0 asked=no started_ms=1 ended_ms=1",
        "exited code=256 signal=0 asked=no started_ms=1 ended_ms=1 error=",
        "exited signal=0 code=0 asked=no started_ms=1 ended_ms=1 error=",
    };
    GuardLine line;
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (guard_line_parse(slice_of(bad[i]), &line, &err)) {
            fail_msg("taken: %s", bad[i]);
        }
    }
    assert_true(guard_line_parse(SLICE("error no stop mode"), &line, &err));
    assert_slice(line.error, "no stop mode");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_lines_come_back),
        cmocka_unit_test(test_bad_lines),
    };
    return cmocka_run_group_tests_name("guard protocol", tests, NULL, NULL);
}
