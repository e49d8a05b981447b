/* Numbers of timelines that a promotion passes over, and what is left of that where it did not come
 * about. */
#include "../folder.h"

#include <unistd.h>

#include "engine/engine.h"

static void touch(const char *folder, const char *name, const char *text)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/pg_wal/%s", folder, name);
    assert_true(file_write(path, slice_of(text), 0600, NULL));
}

static bool is_there(const char *folder, const char *name)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/pg_wal/%s", folder, name);
    return file_exists(path);
}

static PgSpec spec_of(char *folder)
{
    CLEANUP(mem_free_ptr) char *wal = mem_printf("%s/pg_wal", folder);
    PgSpec spec = {.account = {.uid = geteuid(), .gid = getegid(), .drop = false}};
    spec.paths.data = folder;
    assert_true(dir_make(wal, 0700, NULL));
    return spec;
}

static void test_a_promotion_that_did_not_come_about(void **state)
{
    PgSpec spec = spec_of(*state);
    touch(*state, "00000002.history", "1\t0/3000000\treason\n");
    touch(*state, "000000020000000000000003", "");
    assert_true(pg_timelines_pass_over(&spec, 2, 9, NULL));
    assert_true(is_there(*state, "00000003.history"));
    assert_true(is_there(*state, "0000000B.history"));
    assert_false(is_there(*state, "0000000C.history"));
    assert_true(pg_timelines_pass_over(&spec, 2, 9, NULL)); /* once more */
    assert_true(pg_timelines_forget(&spec.paths, NULL));
    assert_false(is_there(*state, "00000003.history"));
    assert_false(is_there(*state, "0000000B.history"));
    assert_true(is_there(*state, "00000002.history"));
    assert_true(is_there(*state, "000000020000000000000003"));
}

/* Whoever follows asks for all of them. */
static void test_a_promotion(void **state)
{
    PgSpec spec = spec_of(*state);
    assert_true(pg_timelines_pass_over(&spec, 1, 2, NULL));
    touch(*state, "00000004.history", "1\t0/3000000\treason\n");
    assert_true(pg_timelines_pass_over(&spec, 4, 1, NULL));
    assert_true(pg_timelines_forget(&spec.paths, NULL));
    assert_true(is_there(*state, "00000002.history"));
    assert_true(is_there(*state, "00000003.history"));
    assert_true(is_there(*state, "00000004.history"));
    assert_false(is_there(*state, "00000005.history"));
}

static void test_nothing_there(void **state)
{
    PgSpec spec = {.paths = {.data = *state}};
    assert_true(pg_timelines_forget(&spec.paths, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_a_promotion_that_did_not_come_about),
        IN_FOLDER(test_a_promotion),
        IN_FOLDER(test_nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
