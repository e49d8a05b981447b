/*
 * Guards with small engines. A program of tests is its own guard: started as `PROGRAM guard …`, as
 * guard_spawn does with whatever program calls it.
 */
#ifndef WEIR_TESTS_UNIT_GUARD_TEST_H
#define WEIR_TESTS_UNIT_GUARD_TEST_H

#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
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

static inline int setup(void **state)
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

static inline int teardown(void **state)
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* ---- starting one ------------------------------------------------------------------------------
 */

static inline void must(Fixture *f, bool ok)
{
    if (!ok) {
        fail_msg("%s: %s", err_code_name(f->err.code), f->err.message);
    }
}

static inline GuardSpec spec_of(Fixture *f, const char *const *argv)
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
static inline bool spawn(Fixture *f, const char *script)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    GuardSpec spec = spec_of(f, argv);
    return guard_spawn(&spec, &f->guard, &f->err);
}

#define OTHER_UID 65534

static inline GuardSpec spec_of_other(Fixture *f, const char *const *argv)
{
    GuardSpec spec = spec_of(f, argv);
    spec.account = (ProcessAccount){.drop = true, .uid = OTHER_UID, .gid = OTHER_UID};
    assert_int_equal(chown(f->data, OTHER_UID, OTHER_UID), 0);
    return spec;
}

/* ---- what becomes of it ------------------------------------------------------------------------
 */

/* The record, once it is there. */
static inline GuardExit exit_record(Fixture *f)
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

static inline void wait_for_file(Fixture *f, const char *name)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", f->data, name);
    for (int i = 0; i < PATIENCE_MS / 5 && !file_exists(path); i++) {
        poll(NULL, 0, 5);
    }
    if (!file_exists(path)) {
        fail_msg("the engine did not write %s", name);
    }
}

static inline char *data_text(Fixture *f, const char *name)
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
static inline pid_t data_pid(Fixture *f, const char *name)
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

/* A zombie of somebody else's counts as gone: whoever adopted it reaps when he likes. */
static inline bool process_alive(pid_t pid)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("/proc/%d/stat", (int)pid);
    Buf text;
    buf_init(&text, 4096);
    const char *end = file_read(path, &text, NULL) ? strrchr(buf_str(&text), ')') : NULL;
    bool alive = end != NULL && end[1] == ' ' && end[2] != 'Z' && end[2] != 'X';
    buf_done(&text);
    return alive;
}

static inline void assert_gone(pid_t pid)
{
    for (int i = 0; i < PATIENCE_MS / 5 && process_alive(pid); i++) {
        poll(NULL, 0, 5);
    }
    assert_false(process_alive(pid));
}

#endif
