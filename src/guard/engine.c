/*
 * The start of an engine. The order matters: the account goes first, because setuid clears the
 * parent-death signal; then the signal is set; then the parent is looked at, because it may have
 * died before the signal was set. A step that fails is told through a pipe that exec closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard/guard_priv.h"

typedef enum StartStep {
    START_ACCOUNT,
    START_DEATH_SIGNAL,
    START_FOLDER,
    START_LOG,
    START_DESCRIPTORS,
    START_EXEC,
} StartStep;

typedef struct StartFailure {
    StartStep step;
    int os_errno;
} StartFailure;

NORETURN static void child_fail(int pipe_fd, StartStep step)
{
    StartFailure failure = {step, errno};
    ssize_t ignored = write(pipe_fd, &failure, sizeof(failure));
    (void)ignored;
    _exit(127);
}

static bool child_drop(const ProcessAccount *account)
{
    if (!account->drop) {
        return true;
    }
    if (setgroups(1, &account->gid) != 0 ||
        setresgid(account->gid, account->gid, account->gid) != 0 ||
        setresuid(account->uid, account->uid, account->uid) != 0) {
        return false;
    }
    if (account->uid != 0 && setuid(0) == 0) { /* it must not come back */
        errno = EPERM;
        return false;
    }
    return true;
}

/* Everything as a program expects to find it, whatever the guard has set for itself. */
static void child_reset_signals(void)
{
    for (int number = 1; number < NSIG; number++) {
        signal(number, SIG_DFL); /* refused for KILL and STOP, and for what libc keeps */
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void child_normal_oom_score(void)
{
    CLEANUP(fd_close) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "0", 1);
        (void)ignored;
    }
}

/* stdin from nowhere, stdout and stderr to the log. As the engine's account, so that a link in the
 * engine's folder leads nowhere that the account could not write anyway. */
static bool child_open_log(const char *path)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC, 0600);
    return in >= 0 && log >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(log, STDOUT_FILENO) >= 0 &&
           dup2(log, STDERR_FILENO) >= 0;
}

NORETURN static void child_run(const EngineSpec *spec, pid_t guard, int pipe_fd)
{
    setsid();
    umask(077);
    child_normal_oom_score();
    if (!child_drop(&spec->account)) {
        child_fail(pipe_fd, START_ACCOUNT);
    }
    if (prctl(PR_SET_PDEATHSIG, spec->death_signal) != 0) {
        child_fail(pipe_fd, START_DEATH_SIGNAL);
    }
    if (getppid() != guard) {
        _exit(127); /* nobody is left to be told */
    }
    if (chdir(spec->cwd) != 0) {
        child_fail(pipe_fd, START_FOLDER);
    }
    if (!child_open_log(spec->log_path)) {
        child_fail(pipe_fd, START_LOG);
    }
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_CLOEXEC) != 0) {
        child_fail(pipe_fd, START_DESCRIPTORS);
    }
    child_reset_signals();
    execv(spec->argv[0], spec->argv);
    child_fail(pipe_fd, START_EXEC);
}

static bool start_failed(const EngineSpec *spec, const StartFailure *failure, Err *err)
{
    switch (failure->step) {
    case START_ACCOUNT:
        return err_set_errno(err, failure->os_errno, "cannot become uid %u, gid %u",
                             (unsigned)spec->account.uid, (unsigned)spec->account.gid);
    case START_DEATH_SIGNAL:
        return err_set_errno(err, failure->os_errno, "cannot set the parent-death signal");
    case START_FOLDER:
        return err_set_errno(err, failure->os_errno, "cannot enter %s", spec->cwd);
    case START_LOG:
        return err_set_errno(err, failure->os_errno, "cannot open the log %s", spec->log_path);
    case START_DESCRIPTORS:
        return err_set_errno(err, failure->os_errno, "cannot close the guard's descriptors");
    case START_EXEC:
        return err_set_errno(err, failure->os_errno, "cannot execute %s", spec->argv[0]);
    }
    UNREACHABLE();
}

/* What the child says before exec closes the pipe. */
static bool start_read(int fd, StartFailure *failure, bool *ret_failed, Err *err)
{
    ssize_t count;
    do {
        count = read(fd, failure, sizeof(*failure));
    } while (count < 0 && errno == EINTR);
    if (count < 0) {
        return err_set_errno(err, errno, "cannot hear from the engine's start");
    }
    *ret_failed = count == sizeof(*failure);
    return true;
}

bool engine_start(const EngineSpec *spec, pid_t *ret_pid, Err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return err_set_errno(err, errno, "cannot make a pipe");
    }
    CLEANUP(fd_close) int in = fds[0];
    CLEANUP(fd_close) int out = fds[1];
    pid_t guard = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        return err_set_errno(err, errno, "cannot fork");
    }
    if (pid == 0) {
        child_run(spec, guard, out);
    }
    fd_close(&out);
    StartFailure failure;
    bool failed = false;
    if (!start_read(in, &failure, &failed, err)) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        return false;
    }
    if (failed) {
        waitpid(pid, NULL, 0);
        return start_failed(spec, &failure, err);
    }
    *ret_pid = pid;
    return true;
}
