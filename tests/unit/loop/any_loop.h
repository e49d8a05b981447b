/* A loop of the back end that the run is for: WEIR_TEST_IO=uring, or else epoll. Where the system
 * has no io_uring it says so, and the run is a second one of epoll. */
#ifndef WEIR_TESTS_ANY_LOOP_H
#define WEIR_TESTS_ANY_LOOP_H

#include <stdlib.h>

#include "../unit.h"
#include "loop/loop.h"

static inline bool any_loop_new(Loop **ret_loop, Err *err)
{
    const char *io = getenv("WEIR_TEST_IO");
    TRY(loop_new(ret_loop, err));
    if (io != NULL && strcmp(io, "uring") == 0 && !loop_use_uring(*ret_loop, err)) {
        printf("# epoll in place of io_uring: %s\n", err->message);
    }
    return true;
}

#endif
