/* What only the SQLite backend does: files that are not ours, a second opener, crashes, and disks
 * that fail at the worst moment. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault_vfs.h"
#include "store_test.h"

static int setup(void **state)
{
    *state = fixture_new(FIXTURE_SQLITE);
    return 0;
}

static void fixture_close(Fixture *f)
{
    store_close(f->store);
    f->store = NULL;
}

static void assert_refused(Fixture *f, ErrCode code, const char *said)
{
    Store *store = NULL;
    must_fail(f, store_open_sqlite(f->path, NULL, &store, &f->err), code);
    assert_null(store);
    if (strstr(f->err.message, said) == NULL) {
        fail_msg("'%s' does not say '%s'", f->err.message, said);
    }
}

/* Runs SQL in the file, from outside. */
static void sql(Fixture *f, const char *text)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- the file ---------------------------------------------------------------------------------
 */

static void test_everything_is_there_again(void **state)
{
    Fixture *f = *state;
    fixture_open(f);
    int64_t lease;
    fixture_create(f, "a", "one");
    must(f, store_update(f->store, SLICE("a"), 1, SLICE("t\0wo"), NULL, &f->err));
    fixture_create(f, "gone", "");
    must(f, store_remove(f->store, SLICE("gone"), 3, NULL, &f->err));
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    StoreCompare compare = {SLICE("leased"), 0};
    StoreWrite write = {.kind = STORE_PUT, .key = SLICE("leased"), .lease = lease};
    StoreTxn txn = {&compare, 1, &write, 1};
    bool committed;
    int64_t revision;
    must(f, store_txn(f->store, &txn, &committed, &revision, &f->err));
    struct stat info;
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    fixture_close(f);

    fixture_open(f);
    StoreItem item = fixture_get(f, "a");
    assert_int_equal(item.value.len, 4);
    assert_memory_equal(item.value.data, "t\0wo", 4);
    assert_int_equal(item.mod_revision, 2);
    assert_int_equal(item.create_revision, 1);
    assert_false(fixture_has(f, "gone"));
    StoreWatch *watch; /* the history begins anew: an older start must read again */
    StoreChange change;
    must(f, store_watch(f->store, SLICE(""), 4, &watch, &f->err));
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_RESYNC);
    store_watch_close(watch);
    must(f, store_watch(f->store, SLICE(""), 5, &watch, &f->err));
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_NOTHING);
    store_watch_close(watch);
    f->now_ms += 99; /* the lease lives on for its whole time */
    assert_true(fixture_has(f, "leased"));
    must(f, store_lease_keepalive(f->store, lease, &f->err));
    f->now_ms += 100;
    assert_false(fixture_has(f, "leased"));
    assert_int_equal(fixture_create(f, "next", ""), 7);
    fixture_close(f);
    fixture_open(f);
    must_fail(f, store_lease_keepalive(f->store, lease, &f->err), ERR_NOT_FOUND);
    assert_int_equal(fixture_create(f, "last", ""), 8);
}

static void test_files_that_are_not_ours(void **state)
{
    Fixture *f = *state;
    assert_true(file_write(f->path,
                           SLICE("this is a letter, and not a database at all; it is "
                                 "long enough to have a header of one hundred bytes"),
                           0600, &f->err));
    assert_refused(f, ERR_INVALID, "not a store of Weir's");
    Buf text;
    buf_init(&text, 4096);
    assert_true(file_read(f->path, &text, &f->err));
    assert_slice(slice_from(text.data, 16), "this is a letter"); /* untouched */
    buf_done(&text);

    assert_int_equal(unlink(f->path), 0);
    sql(f, "CREATE TABLE t (a)");
    assert_refused(f, ERR_INVALID, "not a store of Weir's");
    sql(f, "INSERT INTO t VALUES (1)"); /* and not turned into one either */

    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_refused(f, ERR_INVALID, "not a plain file");
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(symlink("/etc/passwd", f->path), 0);
    assert_refused(f, ERR_INVALID, "not a plain file");
    assert_int_equal(unlink(f->path), 0);
}

static void test_a_newer_format_is_refused(void **state)
{
    Fixture *f = *state;
    fixture_open(f);
    fixture_create(f, "a", "one");
    fixture_close(f);
    sql(f, "PRAGMA user_version = 2");
    assert_refused(f, ERR_CONFLICT, "made by a newer Weir");
    sql(f, "PRAGMA user_version = 1");
    fixture_open(f);
    assert_true(fixture_has(f, "a"));
}

static void test_a_half_made_file_is_made_again(void **state)
{
    Fixture *f = *state;
    assert_true(file_write(f->path, SLICE(""), 0600, &f->err));
    fixture_open(f);
    fixture_close(f);
    assert_int_equal(unlink(f->path), 0);
    sql(f, "PRAGMA journal_mode = WAL"); /* as far as a crash before the first commit gets */
    fixture_open(f);
    assert_int_equal(fixture_create(f, "a", "one"), 1);
}

static void test_a_damaged_file_is_refused(void **state)
{
    Fixture *f = *state;
    fixture_open(f);
    char value[2000];
    memset(value, 'v', sizeof(value));
    for (int i = 0; i < 20; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key/%02d", i);
        must(f, store_create(f->store, slice_of(key), slice_from(value, sizeof(value)), NULL,
                             &f->err));
    }
    fixture_close(f);
    FILE *file = fopen(f->path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, -3000, SEEK_END), 0);
    for (int i = 0; i < 2500; i++) {
        fputc(0x5a, file);
    }
    fclose(file);
    assert_refused(f, ERR_INVALID, "damaged");
}

static void test_no_folder_no_permission(void **state)
{
    Fixture *f = *state;
    char *right = f->path;
    f->path = mem_printf("%s/missing/weir.sqlite", f->folder);
    assert_refused(f, ERR_NOT_FOUND, "cannot make");
    mem_free(f->path);
    f->path = right;
}

static void test_a_second_opener_is_refused(void **state)
{
    Fixture *f = *state;
    fixture_open(f);
    assert_refused(f, ERR_CONFLICT, "in use");
    pid_t child = fork();
    if (child == 0) {
        Store *store;
        Err err;
        bool opened = store_open_sqlite(f->path, NULL, &store, &err);
        _exit(!opened && err.code == ERR_CONFLICT ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(fixture_create(f, "a", "still ours"), 1);
}

/* ---- crashes ----------------------------------------------------------------------------------
 */

#define CRASH_ROUNDS 8

/* Writes until it is killed, and tells each revision once it was acknowledged. */
NORETURN static void crash_writer(const char *path, int out, int round)
{
    Store *store;
    Err err;
    if (!store_open_sqlite(path, NULL, &store, &err)) {
        _exit(1);
    }
    for (int i = 0;; i++) {
        char key[32];
        int64_t revision;
        snprintf(key, sizeof(key), "%d/%d", round, i);
        if (!store_create(store, slice_of(key), slice_of(key), &revision, &err) ||
            write(out, &revision, sizeof(revision)) != sizeof(revision)) {
            _exit(1);
        }
    }
}

/* Kills a writer some time after its first write; returns how many it was told of. */
static int crash_round(const char *path, int round, int64_t before)
{
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        close(pipe_fds[0]);
        crash_writer(path, pipe_fds[1], round);
    }
    close(pipe_fds[1]);
    int64_t revision;
    int told = 0;
    while (read(pipe_fds[0], &revision, sizeof(revision)) == sizeof(revision)) {
        assert_int_equal(revision, before + ++told);
        if (told == 1 + round * 7) {
            kill(child, SIGKILL);
        }
    }
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return told;
}

static void test_what_was_acknowledged_survives_kill_9(void **state)
{
    Fixture *f = *state;
    int64_t revision = 0;
    for (int round = 0; round < CRASH_ROUNDS; round++) {
        int told = crash_round(f->path, round, revision);
        assert_true(told > round * 7);
        fixture_open(f);
        StoreRange range;
        must(f, store_range(f->store, SLICE(""), SLICE(""), 10000, f->arena, &range, &f->err));
        assert_int_equal(range.revision, range.len); /* only creates: no gap, none twice */
        assert_in_range(range.revision, revision + told, revision + told + 1);
        for (int i = 0; i < told; i++) {
            char key[32];
            snprintf(key, sizeof(key), "%d/%d", round, i);
            assert_int_equal(fixture_get(f, key).mod_revision, revision + i + 1);
        }
        revision = range.revision;
        fixture_close(f);
    }
}

/* ---- failing disks ----------------------------------------------------------------------------
 */

typedef struct FaultFixture {
    Fixture *f;
    Faults *faults;
} FaultFixture;

static int fault_setup(void **state)
{
    Fixture *f = fixture_new(FIXTURE_SQLITE);
    Faults *faults = mem_alloc(sizeof(Faults));
    faults_install(faults);
    fixture_open(f);
    fixture_create(f, "before", "x");
    FaultFixture *both = mem_alloc(sizeof(FaultFixture));
    *both = (FaultFixture){f, faults};
    *state = both;
    return 0;
}

static int fault_teardown(void **state)
{
    FaultFixture *both = *state;
    void *fixture = both->f;
    both->faults->syncs = both->faults->writes = 0;
    int failed = fixture_free(&fixture);
    faults_remove(both->faults);
    mem_free(both->faults);
    mem_free(both);
    return failed;
}

static bool try_create(Fixture *f, const char *key)
{
    return store_create(f->store, slice_of(key), SLICE("x"), NULL, &f->err);
}

static void test_every_commit_is_synced(void **state)
{
    FaultFixture *both = *state;
    for (int i = 0; i < 20; i++) {
        char key[16];
        int syncs = both->faults->log_syncs;
        snprintf(key, sizeof(key), "k%d", i);
        fixture_create(both->f, key, "x");
        assert_true(both->faults->log_syncs > syncs);
        assert_false(both->faults->log_dirty);
    }
}

static void test_disk_full(void **state)
{
    FaultFixture *both = *state;
    Fixture *f = both->f;
    both->faults->writes = -1;
    must_fail(f, try_create(f, "a"), ERR_IO);
    assert_int_equal(f->err.os_errno, 28 /* ENOSPC */);
    assert_non_null(strstr(f->err.message, "disk is full"));
    must_fail(f, try_create(f, "a"), ERR_IO); /* again, and still reading */
    assert_true(fixture_has(f, "before"));
    assert_false(fixture_has(f, "a"));
    both->faults->writes = 0;
    assert_int_equal(fixture_create(f, "a", "x"), 2);
    fixture_close(f);
    fixture_open(f);
    assert_true(fixture_has(f, "a"));
}

static void test_a_write_that_fails_once(void **state)
{
    FaultFixture *both = *state;
    Fixture *f = both->f;
    both->faults->write_error = SQLITE_IOERR_WRITE;
    both->faults->writes = 1;
    must_fail(f, try_create(f, "a"), ERR_IO); /* known: it did not take place */
    assert_false(fixture_has(f, "a"));
    assert_int_equal(fixture_create(f, "a", "x"), 2);
}

static void test_a_sync_that_fails_once_is_settled(void **state)
{
    FaultFixture *both = *state;
    Fixture *f = both->f;
    both->faults->syncs = 1;
    bool ok = try_create(f, "a");
    assert_true(ok || f->err.code == ERR_IO); /* either way it is known */
    assert_int_equal(fixture_has(f, "a"), ok);
    fixture_close(f);
    fixture_open(f);
    assert_int_equal(fixture_has(f, "a"), ok);
}

static void test_unsettled(void **state)
{
    FaultFixture *both = *state;
    Fixture *f = both->f;
    StoreWatch *watch;
    StoreChange change;
    must(f, store_watch(f->store, SLICE(""), 1, &watch, &f->err));
    both->faults->syncs = -1;
    must_fail(f, try_create(f, "a"), ERR_UNSETTLED);
    assert_non_null(strstr(f->err.message, "unknown"));
    assert_false(try_create(f, "b")); /* nothing is written on top of it */
    assert_int_equal(f->err.code, ERR_IO);
    assert_true(fixture_has(f, "before"));
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_NOTHING);
    both->faults->syncs = 0;
    fixture_create(f, "b", "x");
    /* The store was read again: the watch must read as well, and who asked for "a" settles it by a
     * compare-and-swap. */
    assert_int_equal(store_watch_next(watch, f->arena, &change), STORE_WATCH_RESYNC);
    bool there = fixture_has(f, "a");
    assert_int_equal(try_create(f, "a"), !there);
    store_watch_close(watch);
    fixture_close(f);
    fixture_open(f);
    assert_true(fixture_has(f, "a"));
    assert_true(fixture_has(f, "b"));
}

static void test_a_lease_that_the_disk_keeps(void **state)
{
    FaultFixture *both = *state;
    Fixture *f = both->f;
    int64_t lease, next;
    must(f, store_lease_grant(f->store, 100, &lease, &f->err));
    StoreCompare compare = {SLICE("leased"), 0};
    StoreWrite write = {.kind = STORE_PUT, .key = SLICE("leased"), .lease = lease};
    StoreTxn txn = {&compare, 1, &write, 1};
    bool committed;
    int64_t revision;
    must(f, store_txn(f->store, &txn, &committed, &revision, &f->err));
    both->faults->writes = -1;
    must(f, store_lease_keepalive(f->store, lease, &f->err)); /* needs no disk */
    f->now_ms += 100;
    assert_true(fixture_has(f, "leased"));
    must_fail(f, store_tick(f->store, &next, &f->err), ERR_IO);
    must_fail(f, store_lease_keepalive(f->store, lease, &f->err), ERR_NOT_FOUND);
    both->faults->writes = 0;
    must(f, store_tick(f->store, &next, &f->err));
    assert_int_equal(next, -1);
    assert_false(fixture_has(f, "leased"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_is_there_again, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_files_that_are_not_ours, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_a_newer_format_is_refused, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_a_half_made_file_is_made_again, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_a_damaged_file_is_refused, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_no_folder_no_permission, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_a_second_opener_is_refused, setup, fixture_free),
        cmocka_unit_test_setup_teardown(test_what_was_acknowledged_survives_kill_9, setup,
                                        fixture_free),
        cmocka_unit_test_setup_teardown(test_every_commit_is_synced, fault_setup, fault_teardown),
        cmocka_unit_test_setup_teardown(test_disk_full, fault_setup, fault_teardown),
        cmocka_unit_test_setup_teardown(test_a_write_that_fails_once, fault_setup, fault_teardown),
        cmocka_unit_test_setup_teardown(test_a_sync_that_fails_once_is_settled, fault_setup,
                                        fault_teardown),
        cmocka_unit_test_setup_teardown(test_unsettled, fault_setup, fault_teardown),
        cmocka_unit_test_setup_teardown(test_a_lease_that_the_disk_keeps, fault_setup,
                                        fault_teardown),
    };
    return cmocka_run_group_tests_name("store sqlite", tests, NULL, NULL);
}
