/* What every unit test includes: cmocka with its prerequisites, and base. */
#ifndef WEIR_TESTS_UNIT_H
#define WEIR_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/base.h"

/* cmocka's own skip() reports "not ok # SKIP", which readers of TAP take for a failure. This one
 * ends the test that it stands in as passed; tools/run_tests.py counts the line as skipped. */
#undef skip
#define skip()                                                                                     \
    do {                                                                                           \
        printf("# SKIP %s\n", __func__);                                                           \
        return;                                                                                    \
    } while (0)

#define assert_slice(slice, text)                                                                  \
    do {                                                                                           \
        Slice slice_ = (slice);                                                                    \
        assert_int_equal(slice_.len, strlen(text));                                                \
        assert_memory_equal(slice_.len > 0 ? slice_.data : "", (text), slice_.len);                \
    } while (0)

#endif
