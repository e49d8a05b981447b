/* A guard and its engine: how it runs, is asked, stopped, fenced, and ends. */
#include "guard_test.h"

static void test_an_exit_is_reported(void **state)
{
    Fixture *f = *state;
    int fd;
    must(f, spawn(f, "echo words; echo more >&2; read line; while [ ! -e go ]; do sleep 0.01; done;"
                     "exit 7"));
    GuardStatus status;
    must(f, guard_status(f->run, NODE, PATIENCE_MS, &status, &f->err));
    assert_int_equal(status.state, GUARD_RUNNING);
    assert_true(process_alive(status.engine));
    assert_true(status.started_ms <= time_wall_ms() && status.started_ms > time_wall_ms() - 10000);
    pid_t found;
    must(f, guard_find(f->run, NODE, &found, &f->err));
    assert_int_equal(found, f->guard);

    must(f, guard_connect(f->run, NODE, &fd, &f->err)); /* hears of it without asking */
    CLEANUP(mem_free_ptr) char *go = mem_printf("%s/go", f->data);
    must(f, file_write(go, SLICE(""), 0600, &f->err));
    char line[GUARD_LINE_MAX];
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&entry, 1, PATIENCE_MS), 1);
    ssize_t len = read(fd, line, sizeof(line));
    close(fd);
    GuardLine said;
    assert_true(len > 0);
    must(f, guard_line_parse(slice_from(line, (size_t)len - 1), &said, &f->err));
    assert_int_equal(said.kind, GUARD_LINE_EXITED);
    assert_int_equal(said.end.end.exit_code, 7);

    GuardExit end = exit_record(f); /* written before anybody was told */
    assert_true(end.end.known);
    assert_int_equal(end.end.exit_code, 7);
    assert_int_equal(end.end.signal, 0);
    assert_false(end.asked);
    assert_true(end.ended_ms >= end.started_ms);
    CLEANUP(mem_free_ptr) char *log = data_text(f, "log");
    assert_string_equal(log, "words\nmore\n");
    assert_gone(f->guard);
    assert_false(guard_find(f->run, NODE, &found, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_false(guard_connect(f->run, NODE, &fd, &f->err));
    assert_int_equal(f->err.code, ERR_UNAVAILABLE);
}

static void test_a_new_guard_removes_the_old_record(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "exit 3"));
    assert_int_equal(exit_record(f).end.exit_code, 3);
    assert_gone(f->guard);
    must(f, spawn(f, "exec sleep 1000"));
    GuardExit end;
    assert_false(guard_exit_record_read(f->run, NODE, &end, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    must(f, guard_stop(f->run, NODE, "fast", PATIENCE_MS, &end, &f->err));
    CLEANUP(mem_free_ptr) char *log = data_text(f, "log"); /* appended to, never cut */
    assert_string_equal(log, "");
}

static void test_stop_and_signal(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "trap 'echo > hup' HUP; trap 'exit 0' INT; echo > up;"
                     "while :; do sleep 0.01; done"));
    wait_for_file(f, "up");
    must(f, guard_signal(f->run, NODE, "HUP", &f->err));
    wait_for_file(f, "hup");
    assert_false(guard_signal(f->run, NODE, "NONSENSE", &f->err));
    assert_int_equal(f->err.code, ERR_INVALID);
    GuardExit end;
    assert_false(guard_stop(f->run, NODE, "gently", 1000, &end, &f->err));
    assert_int_equal(f->err.code, ERR_INVALID);
    GuardStatus status;
    must(f, guard_status(f->run, NODE, PATIENCE_MS, &status, &f->err));
    assert_int_equal(status.state, GUARD_RUNNING);

    must(f, guard_stop(f->run, NODE, "fast", PATIENCE_MS, &end, &f->err));
    assert_int_equal(end.end.exit_code, 0);
    assert_true(end.asked);
    assert_gone(f->guard);
    assert_gone(status.engine);
    assert_false(guard_status(f->run, NODE, 1000, &status, &f->err));
    assert_int_equal(f->err.code, ERR_UNAVAILABLE);
}

static void test_stop_grows_harder(void **state)
{
    Fixture *f = *state;
    GuardExit end;
    must(f, spawn(f, "trap '' INT; trap 'echo > quit; exit 5' QUIT; echo > up;"
                     "while :; do sleep 0.01; done"));
    wait_for_file(f, "up");
    int64_t begin = time_mono_ms();
    must(f, guard_stop(f->run, NODE, "fast", 100, &end, &f->err));
    assert_true(time_mono_ms() - begin >= 100);
    assert_int_equal(end.end.exit_code, 5);
    wait_for_file(f, "quit");
    assert_gone(f->guard);

    must(f, spawn(f, "trap '' INT QUIT TERM; echo > deaf; while :; do sleep 0.01; done"));
    wait_for_file(f, "deaf");
    must(f, guard_stop(f->run, NODE, "fast", 10, &end, &f->err));
    assert_int_equal(end.end.signal, SIGKILL);
    assert_true(end.asked);
}

static void test_stop_kill_needs_no_time(void **state)
{
    Fixture *f = *state;
    GuardExit end;
    must(f, spawn(f, "trap '' INT QUIT; setsid sleep 1000 & echo $! > child; kill -STOP $$"));
    pid_t child = data_pid(f, "child");
    int64_t begin = time_mono_ms();
    must(f, guard_stop(f->run, NODE, "kill", 0, &end, &f->err));
    assert_true(time_mono_ms() - begin < GUARD_HARD_MS);
    assert_int_equal(end.end.signal, SIGKILL);
    assert_gone(child);
}

static void test_a_stopped_engine_hears_a_stop(void **state)
{
    Fixture *f = *state;
    GuardExit end;
    must(f, spawn(f, "trap 'exit 4' INT; echo > up; kill -STOP $$; sleep 1"));
    wait_for_file(f, "up");
    must(f, guard_stop(f->run, NODE, "fast", PATIENCE_MS, &end, &f->err));
    assert_int_equal(end.end.exit_code, 4);
}

static void test_sigterm_to_the_guard_stops_the_engine(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "trap 'exit 9' INT; echo > up; while :; do sleep 0.01; done"));
    wait_for_file(f, "up");
    kill(f->guard, SIGHUP); /* of a terminal: nothing */
    kill(f->guard, SIGINT);
    kill(f->guard, SIGTERM);
    GuardExit end = exit_record(f);
    assert_int_equal(end.end.exit_code, 9);
    assert_true(end.asked);
    assert_gone(f->guard);
}

static void test_bad_requests(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "exec sleep 1000"));
    int fd;
    must(f, guard_connect(f->run, NODE, &fd, &f->err));
    char text[256] = "nonsense\nstatus\n";
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    size_t len = 0;
    while (len < sizeof(text) && memchr(text, '\n', len) == memrchr(text, '\n', len)) {
        assert_int_equal(poll(&entry, 1, PATIENCE_MS), 1);
        ssize_t count = read(fd, text + len, sizeof(text) - len);
        assert_true(count > 0);
        len += (size_t)count;
    }
    assert_true(slice_starts(slice_from(text, len), "error 'nonsense' is"));
    memset(text, 'x', sizeof(text)); /* a line without an end is cut off */
    assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
    ssize_t count = 1;
    while (count > 0) {
        assert_int_equal(poll(&entry, 1, PATIENCE_MS), 1);
        count = read(fd, text, sizeof(text));
    }
    close(fd);
    GuardStatus status;
    must(f, guard_status(f->run, NODE, PATIENCE_MS, &status, &f->err));
    assert_int_equal(status.state, GUARD_RUNNING);
}

/* ---- fences ------------------------------------------------------------------------------------
 */

/* As long as somebody says so it runs; then it is ended, and nobody has asked for that. */
static void test_a_fence_that_is_not_moved_on(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "exec sleep 100"));
    for (int i = 0; i < 5; i++) {
        must(f, guard_fence(f->run, NODE, time_boot_ms() + 2000, &f->err));
        poll(NULL, 0, 20);
    }
    GuardStatus status;
    must(f, guard_status(f->run, NODE, PATIENCE_MS, &status, &f->err));
    assert_int_equal(status.state, GUARD_RUNNING);
    kill(status.engine, SIGSTOP);                                     /* it need not hear of it */
    must(f, guard_fence(f->run, NODE, time_boot_ms() + 50, &f->err)); /* the farthest counts */
    GuardExit end = exit_record(f);
    assert_int_equal(end.end.signal, SIGKILL);
    assert_false(end.asked);
}

static void test_a_fence_that_is_taken_away(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "exec sleep 100"));
    must(f, guard_fence(f->run, NODE, time_boot_ms() + 200, &f->err));
    must(f, guard_fence(f->run, NODE, 0, &f->err));
    poll(NULL, 0, 300);
    GuardStatus status;
    must(f, guard_status(f->run, NODE, PATIENCE_MS, &status, &f->err));
    assert_int_equal(status.state, GUARD_RUNNING);
    must(f, guard_fence(f->run, NODE, time_boot_ms() + 50, &f->err)); /* and there is another one */
    assert_int_equal(exit_record(f).end.signal, SIGKILL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "guard") == 0) {
        return guard_main(argc - 1, argv + 1);
    }
    const struct CMUnitTest tests[] = {
        TEST(test_an_exit_is_reported),
        TEST(test_a_new_guard_removes_the_old_record),
        TEST(test_stop_and_signal),
        TEST(test_stop_grows_harder),
        TEST(test_stop_kill_needs_no_time),
        TEST(test_a_stopped_engine_hears_a_stop),
        TEST(test_sigterm_to_the_guard_stops_the_engine),
        TEST(test_bad_requests),
        TEST(test_a_fence_that_is_not_moved_on),
        TEST(test_a_fence_that_is_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
