/*
 * Guards with small engines. This program is its own guard: started as `PROGRAM guard …`, as
 * guard_spawn does with whatever program calls it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"
#include "guard/guard.h"

#define NODE        "node-1"
#define PATIENCE_MS 10000

typedef struct Fixture {
    char *folder;
    char *run;
    char *data;
    char *log;
    pid_t guard;
    Err err;
} Fixture;

static int setup(void **state)
{
    Fixture *f = mem_alloc(sizeof(Fixture));
    f->folder = folder_make();
    assert_int_equal(chmod(f->folder, 0711), 0);
    f->run = mem_printf("%s/run", f->folder);
    f->data = mem_printf("%s/data", f->folder);
    f->log = mem_printf("%s/data/log", f->folder);
    assert_int_equal(mkdir(f->run, 0711), 0);
    assert_int_equal(mkdir(f->data, 0700), 0);
    *state = f;
    return 0;
}

/* A zombie of somebody else's counts as gone: whoever adopted it reaps when he likes. */
static bool process_alive(pid_t pid)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("/proc/%d/stat", (int)pid);
    Buf text;
    buf_init(&text, 4096);
    const char *end = file_read(path, &text, NULL) ? strrchr(buf_str(&text), ')') : NULL;
    bool alive = end != NULL && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
    buf_done(&text);
    return alive;
}

static int teardown(void **state)
{
    Fixture *f = *state;
    Err err;
    size_t killed;
    if (guard_find(f->run, NODE, &f->guard, &err)) {
        kill(f->guard, SIGKILL);
    }
    bool ok = guard_kill_orphans(f->data, PATIENCE_MS, &killed, &err);
    for (int i = 0; i < PATIENCE_MS / 5 && guard_find(f->run, NODE, &f->guard, NULL); i++) {
        poll(NULL, 0, 5);
    }
    folder_remove(f->folder);
    mem_free(f->run);
    mem_free(f->data);
    mem_free(f->log);
    mem_free(f);
    return ok ? 0 : -1;
}

static void must(Fixture *f, bool ok)
{
    if (!ok) {
        fail_msg("%s: %s", err_code_name(f->err.code), f->err.message);
    }
}

static GuardSpec spec_of(Fixture *f, const char *const *argv)
{
    return (GuardSpec){.run = f->run,
                       .node = NODE,
                       .cwd = f->data,
                       .log_path = f->log,
                       .stop_signals = "fast=INT,immediate=QUIT",
                       .death_signal = "QUIT",
                       .argv = argv,
                       .log_fd = -1};
}

/* An engine of one line of shell. */
static bool spawn(Fixture *f, const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    GuardSpec spec = spec_of(f, argv);
    return guard_spawn(&spec, &f->guard, &f->err);
}

/* The record, once it is there. */
static GuardExit exit_record(Fixture *f)
{
    GuardExit end;
    for (int i = 0; i < PATIENCE_MS / 5; i++) {
        if (guard_exit_record_read(f->run, NODE, &end, &f->err)) {
            return end;
        }
        assert_int_equal(f->err.code, ERR_NOT_FOUND);
        poll(NULL, 0, 5);
    }
    fail_msg("no exit record");
    return end;
}

static void wait_for_file(Fixture *f, const char *name)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", f->data, name);
    for (int i = 0; i < PATIENCE_MS / 5 && !file_exists(path); i++) {
        poll(NULL, 0, 5);
    }
    if (!file_exists(path)) {
        fail_msg("the engine did not write %s", name);
    }
}

static char *data_text(Fixture *f, const char *name)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", f->data, name);
    Buf text;
    buf_init(&text, 65536);
    must(f, file_read(path, &text, &f->err));
    char *copy = mem_strdup(buf_str(&text));
    buf_done(&text);
    return copy;
}

/* The shell makes the file first and writes the number then. */
static pid_t data_pid(Fixture *f, const char *name)
{
    wait_for_file(f, name);
    int64_t pid = 0;
    for (int i = 0; i < PATIENCE_MS / 5 && pid == 0; i++) {
        CLEANUP(mem_free_ptr) char *text = data_text(f, name);
        if (!str_to_i64(slice_trim(slice_of(text)), &pid)) {
            poll(NULL, 0, 5);
        }
    }
    assert_true(pid > 0);
    return (pid_t)pid;
}

static void assert_gone(pid_t pid)
{
    for (int i = 0; i < PATIENCE_MS / 5 && process_alive(pid); i++) {
        poll(NULL, 0, 5);
    }
    assert_false(process_alive(pid));
}

/* ---- running and ending -----------------------------------------------------------------------
 */

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

/* ---- what an engine leaves --------------------------------------------------------------------
 */

/* A child in a session of its own, and a grandchild of a parent that is gone. */
#define SCRIPT_WITH_ORPHANS                                                                        \
    "trap '' INT; setsid sh -c 'trap \"\" INT QUIT TERM HUP; echo $$ > own; sleep 1000; :' &"      \
    "(setsid sh -c 'echo $$ > grand; exec sleep 1000' &); "                                        \
    "while [ ! -s own ] || [ ! -s grand ]; do sleep 0.01; done; echo $$ > up; "                    \
    "while :; do sleep 0.01; done"

static void test_orphans_die_before_the_end_is_told(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, SCRIPT_WITH_ORPHANS));
    pid_t engine = data_pid(f, "up");
    pid_t own = data_pid(f, "own");
    pid_t grand = data_pid(f, "grand");
    assert_true(process_alive(own) && process_alive(grand));
    kill(engine, SIGKILL);
    GuardExit end = exit_record(f);
    assert_int_equal(end.end.signal, SIGKILL);
    assert_false(end.asked);
    assert_int_equal(kill(own, 0), -1); /* and reaped: not even a zombie */
    assert_int_equal(kill(grand, 0), -1);
    size_t killed;
    must(f, guard_kill_orphans(f->data, PATIENCE_MS, &killed, &f->err));
    assert_int_equal(killed, 0);
}

static void test_kill_9_of_the_guard_takes_the_engine_down(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, SCRIPT_WITH_ORPHANS));
    pid_t engine = data_pid(f, "up");
    pid_t own = data_pid(f, "own");
    pid_t grand = data_pid(f, "grand");
    kill(f->guard, SIGKILL);
    assert_gone(engine); /* by the death signal alone */
    assert_true(process_alive(own));
    GuardExit end;
    assert_false(guard_exit_record_read(f->run, NODE, &end, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    size_t killed;
    must(f, guard_kill_orphans(f->data, PATIENCE_MS, &killed, &f->err));
    assert_in_range(killed, 3, 4); /* with own's sleep, and perhaps one of the engine's */
    assert_gone(own);
    assert_gone(grand);
    must(f, spawn(f, "exit 0")); /* nothing is in the way of the next one */
}

static void test_orphans_below_and_in_removed_folders(void **state)
{
    Fixture *f = *state;
    size_t killed;
    must(f, spawn(f, "mkdir below; (cd below; setsid sh -c 'echo $$ > ../a; exec sleep 1000' &);"
                     "while [ ! -s a ]; do sleep 0.01; done; rmdir below; echo > up;"
                     "while :; do sleep 0.01; done"));
    wait_for_file(f, "up");
    pid_t below = data_pid(f, "a");
    kill(f->guard, SIGKILL);
    must(f, guard_kill_orphans(f->data, PATIENCE_MS, &killed, &f->err));
    assert_gone(below);
    CLEANUP(mem_free_ptr) char *missing = mem_printf("%s/missing", f->folder);
    assert_false(guard_kill_orphans(missing, PATIENCE_MS, &killed, &f->err));
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    assert_false(guard_kill_orphans("/", PATIENCE_MS, &killed, &f->err));
    assert_int_equal(f->err.code, ERR_INVALID);
}

/* A folder whose name only begins alike is somebody else's. */
static void test_neighbours_are_left_alone(void **state)
{
    Fixture *f = *state;
    CLEANUP(mem_free_ptr) char *neighbour = mem_printf("%s2", f->data);
    assert_int_equal(mkdir(neighbour, 0700), 0);
    pid_t child = fork();
    if (child == 0) {
        if (chdir(neighbour) == 0) {
            pause();
        }
        _exit(1);
    }
    size_t killed;
    poll(NULL, 0, 20);
    must(f, guard_kill_orphans(f->data, PATIENCE_MS, &killed, &f->err));
    assert_int_equal(killed, 0);
    assert_true(process_alive(child));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* ---- one guard per node, and bad starts -------------------------------------------------------
 */

static void test_a_second_guard_is_refused(void **state)
{
    Fixture *f = *state;
    must(f, spawn(f, "exec sleep 1000"));
    pid_t first = f->guard;
    assert_false(spawn(f, "echo > second"));
    assert_int_equal(f->err.code, ERR_EXISTS);
    /* Also where it comes to the lock itself. */
    CLEANUP(mem_free_ptr) char *log = mem_printf("%s/other.log", f->data);
    const char *argv[] = {"/proc/self/exe",
                          "guard",
                          "--run",
                          f->run,
                          "--node",
                          NODE,
                          "--log",
                          log,
                          "--cwd",
                          f->data,
                          "--stop-signals",
                          "fast=INT",
                          "--death-signal",
                          "KILL",
                          "--",
                          "/bin/sh",
                          "-c",
                          "echo > second",
                          NULL};
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(99);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
    assert_false(file_exists(log));
    GuardExit end;
    assert_false(guard_exit_record_read(f->run, NODE, &end, &f->err));
    GuardStatus after;
    must(f, guard_status(f->run, NODE, PATIENCE_MS, &after, &f->err));
    pid_t holder;
    must(f, guard_find(f->run, NODE, &holder, &f->err));
    assert_int_equal(holder, first);
}

static void assert_start_fails(Fixture *f, GuardSpec *spec, const char *said)
{
    assert_false(guard_spawn(spec, &f->guard, &f->err));
    if (strstr(f->err.message, said) == NULL) {
        fail_msg("'%s' does not say '%s'", f->err.message, said);
    }
    pid_t holder;
    for (int i = 0; i < PATIENCE_MS / 5 && guard_find(f->run, NODE, &holder, NULL); i++) {
        poll(NULL, 0, 5);
    }
    assert_false(guard_find(f->run, NODE, &holder, &f->err));
}

static void test_a_start_that_fails_says_why(void **state)
{
    Fixture *f = *state;
    const char *none[] = {"/no/such/engine", NULL};
    const char *sh[] = {"/bin/sh", "-c", "exit 0", NULL};
    GuardSpec spec = spec_of(f, none);
    assert_start_fails(f, &spec, "cannot execute /no/such/engine: No such file");
    GuardExit end;
    must(f, guard_exit_record_read(f->run, NODE, &end, &f->err));
    assert_false(end.end.known);
    spec = spec_of(f, sh);
    spec.cwd = "/no/such/folder";
    assert_start_fails(f, &spec, "cannot enter /no/such/folder");
    spec = spec_of(f, sh);
    spec.log_path = "/no/such/folder/log";
    assert_start_fails(f, &spec, "cannot open the log");
    CLEANUP(mem_free_ptr) char *link_path = mem_printf("%s/link", f->data);
    assert_int_equal(symlink("/dev/null", link_path), 0);
    spec.log_path = link_path;
    assert_start_fails(f, &spec, "cannot open the log");
    spec = spec_of(f, sh);
    spec.node = "../escape";
    assert_false(guard_spawn(&spec, &f->guard, &f->err));
    assert_int_equal(f->err.code, ERR_INVALID);
    spec = spec_of(f, sh);
    spec.stop_signals = "fast";
    assert_start_fails(f, &spec, "ended before its engine ran");
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

/* ---- accounts ---------------------------------------------------------------------------------
 */

#define OTHER_UID 65534

static GuardSpec spec_of_other(Fixture *f, const char *const *argv)
{
    GuardSpec spec = spec_of(f, argv);
    spec.account = (ProcessAccount){.drop = true, .uid = OTHER_UID, .gid = OTHER_UID};
    assert_int_equal(chown(f->data, OTHER_UID, OTHER_UID), 0);
    return spec;
}

static void test_the_account_is_dropped(void **state)
{
    Fixture *f = *state;
    if (geteuid() != 0) {
        skip();
    }
    /* Signals 32 and 33 are glibc's own, and may stay ignored: see the loop's test of processes. */
    const char *argv[] = {"/bin/sh", "-c",
                          "grep -E '^(Uid|Gid|Groups|CapEff|SigIgn|SigBlk|Umask):' "
                          "/proc/self/status | tr '\\t' ' ' | "
                          "sed 's/0000000[01][08]0000000/0000000000000000/' > status; "
                          "cat /proc/self/oom_score_adj > oom; ls /proc/self/fd > fds; "
                          "env | sort > env; exit 0",
                          NULL};
    GuardSpec spec = spec_of_other(f, argv);
    must(f, guard_spawn(&spec, &f->guard, &f->err));
    assert_int_equal(exit_record(f).end.exit_code, 0);
    CLEANUP(mem_free_ptr) char *status = data_text(f, "status");
    const char *wanted[] = {"Uid: 65534 65534 65534 65534",
                            "Gid: 65534 65534 65534 65534",
                            "Groups: 65534 \n",
                            "CapEff: 0000000000000000",
                            "SigBlk: 0000000000000000",
                            "SigIgn: 0000000000000000",
                            "Umask: 0077"};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        if (strstr(status, wanted[i]) == NULL) {
            fail_msg("'%s' is not in: %s", wanted[i], status);
        }
    }
    CLEANUP(mem_free_ptr) char *oom = data_text(f, "oom");
    assert_string_equal(oom, "0\n");
    CLEANUP(mem_free_ptr) char *fds = data_text(f, "fds");
    assert_string_equal(fds, "0\n1\n2\n3\n"); /* 3 is ls's own */
    CLEANUP(mem_free_ptr) char *env = data_text(f, "env");
    assert_non_null(strstr(env, "LC_ALL=C\n"));
    assert_null(strstr(env, "HOME="));
    struct stat info;
    assert_int_equal(stat(f->log, &info), 0);
    assert_int_equal(info.st_uid, OTHER_UID);
    assert_int_equal(info.st_mode & 07777, 0600);
}

static void test_another_account_is_not_listened_to(void **state)
{
    Fixture *f = *state;
    if (geteuid() != 0) {
        skip();
    }
    must(f, spawn(f, "exec sleep 1000"));
    CLEANUP(mem_free_ptr) char *folder = mem_printf("%s/guard", f->run);
    CLEANUP(mem_free_ptr) char *sock = mem_printf("%s/guard/" NODE ".sock", f->run);
    struct stat info;
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(chmod(folder, 0711), 0); /* even where it can be reached */
    assert_int_equal(chmod(sock, 0666), 0);
    pid_t child = fork();
    if (child == 0) {
        GuardStatus status;
        bool dropped = setgid(OTHER_UID) == 0 && setuid(OTHER_UID) == 0;
        bool told = guard_status(f->run, NODE, PATIENCE_MS, &status, &f->err);
        _exit(dropped && !told && f->err.code == ERR_UNAVAILABLE ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Root in a container has no CAP_SYS_PTRACE, and may not look at the engine's processes. */
static void test_orphans_without_the_right_to_look(void **state)
{
    Fixture *f = *state;
    if (geteuid() != 0) {
        skip();
    }
    const char *argv[] = {"/bin/sh", "-c",
                          "(setsid sh -c 'echo $$ > own; exec sleep 1000' &);"
                          "while [ ! -s own ]; do sleep 0.01; done; exec sleep 1000",
                          NULL};
    GuardSpec spec = spec_of_other(f, argv);
    must(f, guard_spawn(&spec, &f->guard, &f->err));
    pid_t own = data_pid(f, "own");
    kill(f->guard, SIGKILL);
    pid_t child = fork();
    if (child == 0) {
        struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct sets[2];
        size_t killed;
        int failed = (int)syscall(SYS_capget, &head, sets);
        sets[0].effective &= ~(1u << CAP_SYS_PTRACE);
        sets[0].permitted &= ~(1u << CAP_SYS_PTRACE);
        failed += (int)syscall(SYS_capset, &head, sets);
        bool ok = guard_kill_orphans(f->data, PATIENCE_MS, &killed, &f->err);
        _exit(failed == 0 && ok && killed >= 1 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_gone(own);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

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
        TEST(test_a_fence_that_is_not_moved_on),
        TEST(test_a_fence_that_is_taken_away),
        TEST(test_a_stopped_engine_hears_a_stop),
        TEST(test_sigterm_to_the_guard_stops_the_engine),
        TEST(test_orphans_die_before_the_end_is_told),
        TEST(test_kill_9_of_the_guard_takes_the_engine_down),
        TEST(test_orphans_below_and_in_removed_folders),
        TEST(test_neighbours_are_left_alone),
        TEST(test_a_second_guard_is_refused),
        TEST(test_a_start_that_fails_says_why),
        TEST(test_bad_requests),
        TEST(test_the_account_is_dropped),
        TEST(test_another_account_is_not_listened_to),
        TEST(test_orphans_without_the_right_to_look),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
