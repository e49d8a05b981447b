/* A folder of the test's own: below TMPDIR or else /tmp, and taken away with all that is in it. */
#ifndef WEIR_TESTS_UNIT_FOLDER_H
#define WEIR_TESTS_UNIT_FOLDER_H

#include <stdlib.h>

#include "unit.h"

/* Its path is the caller's. */
static inline char *folder_make(void)
{
    const char *base = getenv("TMPDIR");
    char *path = mem_printf("%s/weir-test-XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

/* And releases the path. */
static inline void folder_remove(char *path)
{
    Err err;
    if (!tree_remove(path, &err)) {
        fail_msg("%s", err.message);
    }
    assert_false(file_exists(path));
    mem_free(path);
}

/* For a test whose state is the path. */
static inline int folder_setup(void **state)
{
    *state = folder_make();
    return 0;
}

static inline int folder_teardown(void **state)
{
    folder_remove(*state);
    return 0;
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

#endif
