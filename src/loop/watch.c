/* Signals by signalfd, ends of processes by pidfd: both are fds like any other. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/loop_priv.h"

/* ---- signals --------------------------------------------------------------------------------- */

struct SignalWatch {
    int fd;
    LoopFd *watch;
    LoopSignalFn *fn;
    void *user;
};

static void signals_ready(void *user, uint32_t events)
{
    (void)events;
    SignalWatch *signals = user;
    struct signalfd_siginfo info;
    if (read(signals->fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        signals->fn(signals->user, (int)info.ssi_signo);
    }
}

bool loop_signals(Loop *loop, const int *signals, LoopSignalFn *fn, void *user, Err *err)
{
    ASSERT(loop->signals == NULL);
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; signals[i] != 0; i++) {
        sigaddset(&set, signals[i]);
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return err_set_errno(err, errno, "watching for signals");
    }
    SignalWatch *watch = mem_alloc(sizeof(SignalWatch));
    *watch = (SignalWatch){.fd = fd, .fn = fn, .user = user};
    if (!loop_fd_add(loop, fd, EPOLLIN, signals_ready, watch, &watch->watch, err)) {
        close(fd);
        mem_free(watch);
        return false;
    }
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    loop->signals = watch;
    return true;
}

void signals_done(Loop *loop)
{
    if (loop->signals != NULL) {
        loop_fd_remove(loop->signals->watch);
        close(loop->signals->fd);
        mem_free(loop->signals);
        loop->signals = NULL;
    }
}

/* ---- ends of processes ----------------------------------------------------------------------- */

struct LoopProcess {
    int fd;
    LoopFd *watch;
    LoopProcessFn *fn;
    void *user;
};

void process_exit_from(const siginfo_t *info, ProcessExit *ret_end)
{
    bool exited = info->si_code == CLD_EXITED;
    *ret_end = (ProcessExit){
        .known = true,
        .exit_code = exited ? info->si_status : -1,
        .signal = exited ? 0 : info->si_status,
    };
}

void process_exit_format(const ProcessExit *end, char out[static PROCESS_EXIT_TEXT_SIZE])
{
    if (!end->known) {
        snprintf(out, PROCESS_EXIT_TEXT_SIZE, "ended");
    } else if (end->signal == 0) {
        snprintf(out, PROCESS_EXIT_TEXT_SIZE, "exited with status %d", end->exit_code);
    } else {
        const char *name = sigdescr_np(end->signal);
        snprintf(out, PROCESS_EXIT_TEXT_SIZE, "was killed by signal %d (%.30s)", end->signal,
                 name != NULL ? name : "unknown");
    }
}

void loop_process_unwatch(LoopProcess *watcher)
{
    if (watcher != NULL && watcher->fd >= 0) {
        Loop *loop = watcher->watch->loop;
        loop_fd_remove(watcher->watch);
        fd_close(&watcher->fd);
        batch_free_later(loop, watcher);
    }
}

static void process_ready(void *user, uint32_t events)
{
    (void)events;
    LoopProcess *watcher = user;
    siginfo_t info = {0};
    ProcessExit end = {.known = false, .exit_code = -1};
    if (waitid(P_PIDFD, (id_t)watcher->fd, &info, WEXITED | WNOHANG) == 0) {
        if (info.si_pid == 0) {
            return; /* not ended after all */
        }
        process_exit_from(&info, &end);
    } else if (errno == EINTR) {
        return;
    }
    loop_process_unwatch(watcher);
    watcher->fn(watcher->user, &end);
}

bool loop_process_watch_fd(Loop *loop, int pidfd, LoopProcessFn *fn, void *user,
                           LoopProcess **ret_watcher, Err *err)
{
    LoopProcess *watcher = mem_alloc(sizeof(LoopProcess));
    *watcher = (LoopProcess){.fd = pidfd, .fn = fn, .user = user};
    if (!loop_fd_add(loop, pidfd, EPOLLIN, process_ready, watcher, &watcher->watch, err)) {
        close(pidfd);
        mem_free(watcher);
        return false;
    }
    *ret_watcher = watcher;
    return true;
}

bool loop_process_watch(Loop *loop, pid_t pid, LoopProcessFn *fn, void *user,
                        LoopProcess **ret_watcher, Err *err)
{
    int pidfd = pidfd_open(pid, 0);
    if (pidfd < 0 && errno == ESRCH) {
        return err_set(err, ERR_NOT_FOUND, "there is no process %d", (int)pid);
    }
    if (pidfd < 0) {
        return err_set_errno(err, errno, "watching process %d", (int)pid);
    }
    return loop_process_watch_fd(loop, pidfd, fn, user, ret_watcher, err);
}

int loop_process_fd(const LoopProcess *watcher)
{
    return watcher->fd;
}
