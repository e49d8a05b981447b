/* Commands, detached processes, ends of processes, signals. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"
#include "any_loop.h"

#define NOBODY 65534

typedef struct Fixture {
    Loop *loop;
    CommandResult result;
    Err err;
    char *dir;
    int calls;
    ProcessExit end;
    int signo;
    atomic_bool begun;
    LoopProcess *watcher;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    assert_true(any_loop_new(&fixture->loop, &err));
    fixture->dir = folder_make();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    command_result_done(&fixture->result);
    loop_free(fixture->loop);
    folder_remove(fixture->dir);
    mem_free(fixture);
    return 0;
}

/* ---- commands -------------------------------------------------------------------------------- */

static bool run(Fixture *fixture, CommandSpec spec)
{
    command_result_done(&fixture->result);
    return command_run(&spec, &fixture->result, &fixture->err);
}

/* "sh -c text", with the rest of the options as given. */
static bool shell(Fixture *fixture, const char *text, CommandSpec spec)
{
    const char *argv[] = {"sh", "-c", text, NULL};
    spec.argv = argv;
    return run(fixture, spec);
}

static void test_command(void **state)
{
    Fixture *fixture = *state;
    assert_true(shell(fixture, "cat; echo warned >&2", (CommandSpec){.input = SLICE("hello")}));
    assert_slice(buf_slice(&fixture->result.out), "hello");
    assert_slice(buf_slice(&fixture->result.err), "warned\n");
    assert_true(fixture->result.end.known);
    assert_int_equal(fixture->result.end.exit_code, 0);
    assert_true(shell(fixture, "cat", (CommandSpec){0})); /* no input: at its end at once */
    assert_int_equal(fixture->result.out.len, 0);

    const char *const env[] = {"A=1", "B=two", NULL};
    assert_true(
        shell(fixture, "echo $A $B $HOME; pwd", (CommandSpec){.env = env, .cwd = fixture->dir}));
    CLEANUP(mem_free_ptr) char *expected = mem_printf("1 two\n%s\n", fixture->dir);
    assert_slice(buf_slice(&fixture->result.out), expected);
}

static void test_command_large(void **state)
{
    Fixture *fixture = *state;
    size_t len = 3000000;
    CLEANUP(mem_free_ptr) char *input = mem_alloc(len);
    memset(input, 'x', len);
    CommandSpec spec = {.input = slice_from(input, len), .output_max = len};
    assert_true(shell(fixture, "tee /dev/stderr", spec));
    assert_int_equal(fixture->result.out.len, len);
    assert_memory_equal(fixture->result.out.data, input, len);
    spec.output_max = len - 1;
    assert_false(shell(fixture, "cat", spec));
    assert_int_equal(fixture->err.code, ERR_LIMIT);
    assert_false(shell(fixture, "cat >&2; printf 'the end' >&2; exit 1",
                       (CommandSpec){.input = slice_from(input, len), .output_max = 100}));
    assert_int_equal(fixture->result.err.len, 100);
    assert_true(slice_ends(buf_slice(&fixture->result.err), "the end"));
}

static void test_command_fails(void **state)
{
    Fixture *fixture = *state;
    assert_false(shell(fixture, "echo first >&2; echo 'no such database' >&2; echo >&2; exit 3",
                       (CommandSpec){0}));
    assert_int_equal(fixture->err.code, ERR_INTERNAL);
    assert_string_equal(fixture->err.message, "sh exited with status 3: no such database");
    assert_int_equal(fixture->result.end.exit_code, 3);
    assert_false(shell(fixture, "echo a: error: full >&2; echo a: removing b >&2; exit 1",
                       (CommandSpec){0}));
    assert_string_equal(fixture->err.message, "sh exited with status 1: a: error: full");
    assert_false(shell(fixture, "kill -9 $$", (CommandSpec){0}));
    assert_string_equal(fixture->err.message, "sh was killed by signal 9 (Killed)");
    assert_int_equal(fixture->result.end.signal, SIGKILL);

    const char *argv[] = {"no-such-program-of-weir", NULL};
    assert_false(run(fixture, (CommandSpec){.argv = argv}));
    assert_int_equal(fixture->err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(fixture->err.message, argv[0]));
    assert_false(fixture->result.end.known);
    argv[0] = "/no/such/program";
    assert_false(run(fixture, (CommandSpec){.argv = argv}));
    assert_int_equal(fixture->err.code, ERR_NOT_FOUND);
    assert_false(shell(fixture, "true", (CommandSpec){.cwd = "/no/such/folder"}));
    assert_non_null(strstr(fixture->err.message, "/no/such/folder"));
}

static void test_command_timeout(void **state)
{
    Fixture *fixture = *state;
    assert_false(shell(fixture, "echo late >&2; sleep 60", (CommandSpec){.timeout_ms = 500}));
    assert_int_equal(fixture->err.code, ERR_TIMEOUT);
    assert_string_equal(fixture->err.message, "sh took longer than 500 ms: late");
    assert_int_equal(fixture->result.end.signal, SIGTERM);
    assert_false(shell(fixture, "trap '' TERM; while :; do sleep 60; done",
                       (CommandSpec){.timeout_ms = 500}));
    assert_int_equal(fixture->result.end.signal, SIGKILL);
    /* A program that writes without end is timed as well. */
    assert_false(shell(fixture, "yes >&2", (CommandSpec){.timeout_ms = 50}));
    assert_int_equal(fixture->err.code, ERR_TIMEOUT);
}

/* What it leaves behind holds the pipes open; that must not hold us. */
static void test_command_leaves_a_daemon(void **state)
{
    Fixture *fixture = *state;
    assert_true(shell(fixture, "sleep 60 & echo $!", (CommandSpec){.timeout_ms = 30000}));
    uint64_t pid;
    assert_true(str_to_u64(slice_trim(buf_slice(&fixture->result.out)), &pid));
    assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
}

/* Nothing of ours is inherited: no fds, no blocked or ignored signals. */
static void test_command_inherits_nothing(void **state)
{
    Fixture *fixture = *state;
    CLEANUP(fd_close) int leak = open("/dev/null", O_RDONLY);
    assert_true(leak >= 0);
    sigset_t set, before;
    sigfillset(&set);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    signal(SIGPIPE, SIG_IGN);
    /* Signals 32 and 33 are glibc's own: whoever was started by its posix_spawn (as make does)
     * ignores them, and no library call can change that. */
    bool ok = shell(fixture,
                    "ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status |"
                    " sed 's/0000000[01][08]0000000/0000000000000000/'",
                    (CommandSpec){0});
    signal(SIGPIPE, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_true(ok);
    assert_slice(buf_slice(&fixture->result.out), "4\n" /* 0, 1, 2 and the folder itself */
                                                  "SigBlk:\t0000000000000000\n"
                                                  "SigIgn:\t0000000000000000\n");
}

static void test_command_drops_account(void **state)
{
    Fixture *fixture = *state;
    ProcessAccount nobody = {.drop = true, .uid = NOBODY, .gid = NOBODY};
    if (geteuid() != 0) {
        assert_false(shell(fixture, "true", (CommandSpec){.account = nobody}));
        assert_int_equal(fixture->err.code, ERR_DENIED);
        skip();
    }
    assert_true(shell(fixture, "id -u; id -g; id -G; cat /proc/self/status | grep CapEff",
                      (CommandSpec){.account = nobody}));
    assert_slice(buf_slice(&fixture->result.out), "65534\n65534\n65534\n"
                                                  "CapEff:\t0000000000000000\n");
    assert_int_equal(chmod(fixture->dir, 0700), 0);
    assert_false(shell(fixture, "true", (CommandSpec){.account = nobody, .cwd = fixture->dir}));
    assert_int_equal(fixture->err.code, ERR_DENIED);
}

static void run_until_cancelled(void *arg, const Job *job)
{
    Fixture *fixture = arg;
    atomic_store(&fixture->begun, true);
    assert_false(shell(fixture, "sleep 60", (CommandSpec){.job = job}));
}

static void stop_loop(void *arg)
{
    Fixture *fixture = arg;
    loop_stop(fixture->loop);
}

static void test_command_is_cancelled(void **state)
{
    Fixture *fixture = *state;
    Jobs *jobs;
    Job *job;
    assert_true(jobs_new(fixture->loop, 1, 1, &jobs, &fixture->err));
    assert_true(jobs_submit(jobs, run_until_cancelled, stop_loop, fixture, &job, &fixture->err));
    while (!atomic_load(&fixture->begun)) {
        usleep(1000);
    }
    usleep(50000);
    job_cancel(job);
    loop_run(fixture->loop);
    jobs_free(jobs);
    assert_int_equal(fixture->err.code, ERR_CONFLICT); /* else it had run to its end */
}

/* A process of ours that is killed while it runs a command: the command dies too. */
static void test_command_dies_with_us(void **state)
{
    Fixture *fixture = *state;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/pid", fixture->dir);
    CLEANUP(mem_free_ptr)
    char *script = mem_printf("echo $$ > %s.new; mv %s.new %s; exec sleep 60", path, path, path);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = shell(fixture, script, (CommandSpec){0});
        _exit(ok ? 0 : 1);
    }
    for (int i = 0; i < 500 && !file_exists(path); i++) {
        usleep(10000);
    }
    Buf text;
    uint64_t command_pid;
    buf_init(&text, 100);
    assert_true(file_read(path, &text, &fixture->err));
    assert_true(str_to_u64(slice_trim(buf_slice(&text)), &command_pid));
    buf_done(&text);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    char stat_path[64], line[256];
    snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat", (int)command_pid);
    bool gone = false;
    for (int i = 0; i < 300 && !gone; i++) {
        usleep(10000);
        FILE *file = fopen(stat_path, "r");
        gone = file == NULL || fgets(line, sizeof(line), file) == NULL || strstr(line, ") Z");
        if (file != NULL) {
            fclose(file);
        }
    }
    assert_true(gone);
}

/* ---- detached processes and their ends --------------------------------------------------------
 */

static void note_end(void *user, const ProcessExit *end)
{
    Fixture *fixture = user;
    fixture->end = *end;
    fixture->calls++;
    loop_stop(fixture->loop);
}

static void test_spawn(void **state)
{
    Fixture *fixture = *state;
    CLEANUP(mem_free_ptr) char *log = mem_printf("%s/log", fixture->dir);
    CLEANUP(fd_close) int log_fd = open(log, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    const char *const argv[] = {
        "sh", "-c",
        "read x; ls /proc/self/fd | wc -l; cut -d' ' -f6 /proc/$$/stat; echo $$ >&2; "
        "exec sleep 60",
        NULL};
    pid_t pid;
    int pidfd;
    SpawnSpec spec = {.argv = argv, .log_fd = log_fd};
    assert_true(process_spawn(&spec, &pid, &pidfd, &fixture->err));
    assert_int_equal(waitpid(pid, NULL, WNOHANG), -1); /* not our child */
    Buf text;
    buf_init(&text, 1000);
    CLEANUP(mem_free_ptr) char *tail = mem_printf("%d\n", (int)pid);
    for (int i = 0; i < 300 && !slice_ends(buf_slice(&text), tail); i++) {
        usleep(10000);
        buf_clear(&text);
        assert_true(file_read(log, &text, &fixture->err));
    }
    Slice rest = buf_slice(&text);
    assert_slice(slice_trim(slice_cut(&rest, '\n')), "4");
    uint64_t sid;
    assert_true(str_to_u64(slice_trim(slice_cut(&rest, '\n')), &sid));
    assert_int_equal(sid, pid); /* a session of its own */
    buf_done(&text);

    assert_true(loop_process_watch_fd(fixture->loop, pidfd, note_end, fixture, &fixture->watcher,
                                      &fixture->err));
    loop_turn(fixture->loop, 10);
    assert_int_equal(fixture->calls, 0);
    assert_int_equal(kill(pid, SIGKILL), 0);
    loop_run(fixture->loop);
    assert_int_equal(fixture->calls, 1);
    assert_false(fixture->end.known);
}

static void test_spawn_fails(void **state)
{
    Fixture *fixture = *state;
    const char *const argv[] = {"/no/such/program", NULL};
    const char *const yes[] = {"true", NULL};
    pid_t pid = 0;
    SpawnSpec spec = {.argv = argv, .log_fd = -1};
    assert_false(process_spawn(&spec, &pid, NULL, &fixture->err));
    assert_int_equal(fixture->err.code, ERR_NOT_FOUND);
    spec = (SpawnSpec){.argv = yes, .cwd = "/no/such/folder", .log_fd = -1};
    assert_false(process_spawn(&spec, &pid, NULL, &fixture->err));
    assert_int_equal(pid, 0);
}

static void test_spawn_drops_account(void **state)
{
    Fixture *fixture = *state;
    if (geteuid() != 0) {
        skip();
    }
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    const char *const argv[] = {"id", "-u", NULL};
    SpawnSpec spec = {.argv = argv,
                      .account = {.drop = true, .uid = NOBODY, .gid = NOBODY},
                      .log_fd = pipe_fds[1]};
    pid_t pid;
    assert_true(process_spawn(&spec, &pid, NULL, &fixture->err));
    close(pipe_fds[1]);
    char text[32] = "";
    assert_int_equal(read(pipe_fds[0], text, sizeof(text) - 1), 6);
    assert_string_equal(text, "65534\n");
    close(pipe_fds[0]);
}

static pid_t child(int status)
{
    pid_t pid = fork();
    if (pid == 0) {
        usleep(10000);
        _exit(status);
    }
    return pid;
}

static void test_watch_a_child(void **state)
{
    Fixture *fixture = *state;
    char text[PROCESS_EXIT_TEXT_SIZE];
    pid_t pid = child(7);
    assert_true(loop_process_watch(fixture->loop, pid, note_end, fixture, &fixture->watcher,
                                   &fixture->err));
    assert_true(loop_process_fd(fixture->watcher) >= 0);
    loop_run(fixture->loop);
    assert_true(fixture->end.known);
    assert_int_equal(fixture->end.exit_code, 7);
    process_exit_format(&fixture->end, text);
    assert_string_equal(text, "exited with status 7");
    assert_int_equal(waitpid(pid, NULL, 0), -1); /* reaped */
    assert_false(loop_process_watch(fixture->loop, pid, note_end, fixture, &fixture->watcher,
                                    &fixture->err));
    assert_int_equal(fixture->err.code, ERR_NOT_FOUND);

    pid = child(0);
    assert_true(loop_process_watch(fixture->loop, pid, note_end, fixture, &fixture->watcher,
                                   &fixture->err));
    loop_process_unwatch(fixture->watcher);
    loop_turn(fixture->loop, 50);
    assert_int_equal(fixture->calls, 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid); /* left alone */
}

/* ---- signals --------------------------------------------------------------------------------- */

static void note_signal(void *user, int signo)
{
    Fixture *fixture = user;
    fixture->signo = signo;
    fixture->calls++;
    loop_stop(fixture->loop);
}

static void test_signals(void **state)
{
    Fixture *fixture = *state;
    sigset_t before;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    const int signals[] = {SIGUSR1, SIGHUP, 0};
    assert_true(loop_signals(fixture->loop, signals, note_signal, fixture, &fixture->err));
    kill(getpid(), SIGUSR1);
    loop_run(fixture->loop);
    assert_int_equal(fixture->signo, SIGUSR1);
    kill(getpid(), SIGHUP);
    loop_run(fixture->loop);
    assert_int_equal(fixture->signo, SIGHUP);
    assert_int_equal(fixture->calls, 2);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_command),
        TEST(test_command_large),
        TEST(test_command_fails),
        TEST(test_command_timeout),
        TEST(test_command_leaves_a_daemon),
        TEST(test_command_inherits_nothing),
        TEST(test_command_drops_account),
        TEST(test_command_is_cancelled),
        TEST(test_command_dies_with_us),
        TEST(test_spawn),
        TEST(test_spawn_fails),
        TEST(test_spawn_drops_account),
        TEST(test_watch_a_child),
        TEST(test_signals),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
