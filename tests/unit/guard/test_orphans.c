/* What an engine leaves behind: it is gone before anybody hears that the engine has ended, also
 * where the guard was killed. */
#include <linux/capability.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guard_test.h"

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

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "guard") == 0) {
        return guard_main(argc - 1, argv + 1);
    }
    const struct CMUnitTest tests[] = {
        TEST(test_orphans_die_before_the_end_is_told),
        TEST(test_kill_9_of_the_guard_takes_the_engine_down),
        TEST(test_orphans_below_and_in_removed_folders),
        TEST(test_neighbours_are_left_alone),
        TEST(test_orphans_without_the_right_to_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
