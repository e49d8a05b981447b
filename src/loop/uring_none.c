/* In place of uring.c where Weir is built without liburing. */
#include "loop/uring_priv.h"

bool uring_new(Loop *loop, Uring **ret_uring, Err *err)
{
    (void)loop;
    (void)ret_uring;
    return err_set(err, ERR_UNSUPPORTED, "this weir was built without io_uring (liburing-dev)");
}

void uring_free(Uring *uring)
{
    ASSERT(uring == NULL);
}

void uring_wait(Uring *uring, int timeout_ms)
{
    (void)uring;
    (void)timeout_ms;
}

bool uring_events_run(Uring *uring)
{
    (void)uring;
    return false;
}

void uring_flush(Uring *uring)
{
    (void)uring;
}

void uring_buffers_return(Uring *uring)
{
    (void)uring;
}

void uring_prepare(const Stream *stream)
{
    (void)stream;
}

void uring_receive(Stream *stream, bool on)
{
    (void)stream;
    (void)on;
}

void uring_forget(Stream *stream)
{
    (void)stream;
}

bool uring_has_for(Uring *uring, const Stream *stream)
{
    (void)uring;
    (void)stream;
    return false;
}
