/* How a guard starts: one for each node, with an error that says why not, its engine as the account
 * that it is to have, and deaf to all others. */
#include <sys/wait.h>

#include "guard_test.h"

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

/* ---- accounts ----------------------------------------------------------------------------------
 */

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

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "guard") == 0) {
        return guard_main(argc - 1, argv + 1);
    }
    const struct CMUnitTest tests[] = {
        TEST(test_a_second_guard_is_refused),
        TEST(test_a_start_that_fails_says_why),
        TEST(test_the_account_is_dropped),
        TEST(test_another_account_is_not_listened_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
