/* Starting a program that lives on its own: forked twice, so that it is nobody's child, in a
 * session of its own. It waits for a go-ahead before it executes, so that the pidfd that we open in
 * the meantime cannot be that of another process. */
#include <errno.h>
#include <fcntl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/process_priv.h"

typedef struct SpawnPipes {
    int report[2]; /* its pid, then what child_report_wait reads */
    int go[2];
} SpawnPipes;

/* In the first child, which is gone at once. */
NORETURN static void middle_run(const ChildPlan *plan, const SpawnPipes *pipes)
{
    pid_t pid = _Fork();
    if (pid == 0) {
        char go;
        close(pipes->go[1]);
        if (read(pipes->go[0], &go, 1) != 1) {
            _exit(1); /* whoever wanted it is gone */
        }
        child_become(plan);
    }
    int result = pid < 0 ? -errno : (int)pid;
    ssize_t len = write(pipes->report[1], &result, sizeof(result));
    _exit(len == (ssize_t)sizeof(result) ? 0 : 1);
}

static bool pipes_make(SpawnPipes *pipes, Err *err)
{
    *pipes = (SpawnPipes){{-1, -1}, {-1, -1}};
    if (pipe2(pipes->report, O_CLOEXEC) != 0 || pipe2(pipes->go, O_CLOEXEC) != 0) {
        return err_set_errno(err, errno, "making a pipe");
    }
    return true;
}

static void pipes_close(SpawnPipes *pipes)
{
    fd_close(&pipes->report[0]);
    fd_close(&pipes->report[1]);
    fd_close(&pipes->go[0]);
    fd_close(&pipes->go[1]);
}

/* Reads the pid, opens it, and lets it go on. */
static bool spawn_release(SpawnPipes *pipes, const ChildPlan *plan, pid_t *ret_pid, int *pidfd,
                          Err *err)
{
    int result = 0;
    if (read(pipes->report[0], &result, sizeof(result)) != (ssize_t)sizeof(result) || result <= 0) {
        return err_set_errno(err, result < 0 ? -result : EIO, "starting %s: forking",
                             plan->argv[0]);
    }
    *pidfd = pidfd_open(result, 0);
    if (*pidfd < 0) {
        return err_set_errno(err, errno, "starting %s: watching it", plan->argv[0]);
    }
    if (write(pipes->go[1], "g", 1) != 1) {
        return err_set_errno(err, errno, "starting %s: letting it go", plan->argv[0]);
    }
    *ret_pid = result;
    return child_report_wait(pipes->report[0], plan, err);
}

static bool spawn_run(const ChildPlan *plan, SpawnPipes *pipes, pid_t *ret_pid, int *pidfd,
                      Err *err)
{
    pid_t middle = fork();
    if (middle < 0) {
        return err_set_errno(err, errno, "starting %s: forking", plan->argv[0]);
    }
    if (middle == 0) {
        middle_run(plan, pipes);
    }
    fd_close(&pipes->report[1]);
    fd_close(&pipes->go[0]);
    while (waitpid(middle, NULL, 0) < 0 && errno == EINTR) {
    }
    return spawn_release(pipes, plan, ret_pid, pidfd, err);
}

bool process_spawn(const SpawnSpec *spec, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
    ChildPlan plan;
    SpawnPipes pipes;
    pid_t pid = 0;
    CLEANUP(fd_close) int pidfd = -1;
    TRY(child_plan_init(&plan, spec->argv, err));
    bool ok = pipes_make(&pipes, err);
    if (ok) {
        plan.env = spec->env;
        plan.cwd = spec->cwd;
        plan.account = spec->account;
        plan.input_fd = spec->held_fd > 0 ? spec->held_fd : -1;
        plan.output_fd = plan.error_fd = spec->log_fd;
        plan.report_fd = pipes.report[1];
        ok = spawn_run(&plan, &pipes, &pid, &pidfd, err);
    }
    pipes_close(&pipes);
    child_plan_done(&plan);
    if (!ok) {
        return false;
    }
    *ret_pid = pid;
    if (ret_pidfd != NULL) {
        *ret_pidfd = pidfd;
        pidfd = -1;
    }
    return true;
}
