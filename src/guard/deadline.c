/*
 * Until when the engine may run (F15), of CLOCK_BOOTTIME: a timer of the kernel's own that has run
 * out when a host wakes which slept past it, so that nothing but being scheduled is in between.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "guard/guard_priv.h"

static void on_over(void *user, uint32_t events)
{
    GuardDeadline *deadline = user;
    (void)events;
    if (guard_deadline_is_over(deadline)) {
        loop_fd_set(deadline->watch, 0); /* it stays readable */
        deadline->over(deadline->user);
    }
}

bool guard_deadline_init(GuardDeadline *deadline, Loop *loop, LoopFn *over, void *user, Err *err)
{
    *deadline = (GuardDeadline){.over = over, .user = user};
    deadline->fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    return deadline->fd >= 0
               ? loop_fd_add(loop, deadline->fd, EPOLLIN, on_over, deadline, &deadline->watch, err)
               : err_set_errno(err, errno, "cannot make a timer");
}

void guard_deadline_done(GuardDeadline *deadline)
{
    loop_fd_remove(deadline->watch);
    deadline->watch = NULL;
    fd_close(&deadline->fd);
}

bool guard_deadline_is_over(const GuardDeadline *deadline)
{
    return deadline->until_ms > 0 && time_boot_ms() >= deadline->until_ms;
}

void guard_deadline_set(GuardDeadline *deadline, int64_t until_ms)
{
    const struct itimerspec timer = {
        .it_value = {.tv_sec = until_ms / MS_PER_S, .tv_nsec = until_ms % MS_PER_S * 1000000}};
    deadline->until_ms = until_ms;
    int failed = timerfd_settime(deadline->fd, TFD_TIMER_ABSTIME, &timer, NULL);
    ASSERT(failed == 0); /* all of 0 disarms it */
}
