/* From fork to exec. A child gives up everything of ours (fds, signal handlers, mask), drops to its
 * account, and only then arranges to die with us: setuid clears PR_SET_PDEATHSIG. What fails is
 * reported through a pipe that a successful exec closes. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop/process_priv.h"

#define PATH_DEFAULT  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define FD_ASIDE      10 /* where fds are put while 0 to 3 are arranged */
#define FD_REPORT     3
#define EXIT_NO_START 127

enum {
    STEP_FDS,
    STEP_SESSION,
    STEP_ACCOUNT,
    STEP_PARENT,
    STEP_CWD,
    STEP_EXEC,
};

static const char *const step_names[] = {
    [STEP_FDS] = "arranging its files",         [STEP_SESSION] = "making its session",
    [STEP_ACCOUNT] = "dropping to its account", [STEP_PARENT] = "arranging that it dies with us",
    [STEP_CWD] = "entering its folder",         [STEP_EXEC] = "executing it",
};

/* ---- before the fork ------------------------------------------------------------------------- */

static bool program_at(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

bool child_plan_init(ChildPlan *plan, const char *const *argv, Err *err)
{
    ASSERT(argv[0] != NULL);
    *plan = (ChildPlan){.argv = argv, .input_fd = -1, .output_fd = -1, .error_fd = -1};
    if (strchr(argv[0], '/') != NULL) {
        plan->path = mem_strdup(argv[0]);
        return true;
    }
    const char *path = getenv("PATH");
    Slice rest = slice_of(path != NULL ? path : PATH_DEFAULT);
    while (rest.len > 0) {
        Slice folder = slice_cut(&rest, ':');
        char *candidate = mem_printf("%.*s/%s", SLICE_FMT(folder), argv[0]);
        if (folder.len > 0 && program_at(candidate)) {
            plan->path = candidate;
            return true;
        }
        mem_free(candidate);
    }
    return err_set(err, ERR_NOT_FOUND, "%s: there is no such program in PATH", argv[0]);
}

void child_plan_done(ChildPlan *plan)
{
    mem_free(plan->path);
    plan->path = NULL;
}

/* ---- in the child: only what a signal handler may call --------------------------------------- */

NORETURN static void child_give_up(int report_fd, int step)
{
    ChildReport report = {.step = step, .os_errno = errno};
    ssize_t ignored = write(report_fd, &report, sizeof(report));
    (void)ignored;
    _exit(EXIT_NO_START);
}

static void signals_reset(void)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int signo = 1; signo <= SIGRTMAX; signo++) {
        sigaction(signo, &action, NULL); /* fails for SIGKILL and SIGSTOP, as it should */
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A copy out of the way, so that arranging 0 to 3 overwrites nothing that is still needed. */
static int fd_aside(int fd)
{
    int null = -1;
    if (fd < 0) {
        fd = null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
    }
    int aside = fcntl(fd, F_DUPFD_CLOEXEC, FD_ASIDE);
    if (null >= 0) {
        close(null);
    }
    return aside;
}

/* Returns the report's fd, wherever it is by then; errno says whether all went well. */
static bool fds_arrange(const ChildPlan *plan, int *report_fd)
{
    int input = fd_aside(plan->input_fd);
    int output = fd_aside(plan->output_fd);
    int error = fd_aside(plan->error_fd);
    int report = fd_aside(plan->report_fd);
    if (input < 0 || output < 0 || error < 0 || report < 0) {
        return false;
    }
    *report_fd = report;
    return dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
           dup2(error, STDERR_FILENO) >= 0 && dup3(report, FD_REPORT, O_CLOEXEC) >= 0 &&
           close_range(FD_REPORT + 1, ~0U, 0) == 0;
}

/* The system calls themselves: libc's wrappers speak to the threads of a process that is not here.
 */
static bool account_drop(const ProcessAccount *account)
{
    gid_t groups[1] = {account->gid};
    return !account->drop ||
           (syscall(SYS_setgroups, 1, groups) == 0 &&
            syscall(SYS_setresgid, account->gid, account->gid, account->gid) == 0 &&
            syscall(SYS_setresuid, account->uid, account->uid, account->uid) == 0);
}

static bool parent_bind(pid_t parent)
{
    if (parent == 0) {
        return true;
    }
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return false;
    }
    if (getppid() != parent) {
        _exit(EXIT_NO_START); /* it died before it could matter: nobody reads a report */
    }
    return true;
}

void child_become(const ChildPlan *plan)
{
    int report_fd = plan->report_fd;
    signals_reset();
    if (!fds_arrange(plan, &report_fd)) {
        child_give_up(report_fd, STEP_FDS);
    }
    if (plan->parent > 0 ? setpgid(0, 0) != 0 : setsid() < 0) {
        child_give_up(FD_REPORT, STEP_SESSION);
    }
    /* The account may be allowed to run the program and yet not to walk to it. */
    int program = open(plan->path, O_PATH | O_CLOEXEC);
    if (!account_drop(&plan->account)) {
        child_give_up(FD_REPORT, STEP_ACCOUNT);
    }
    if (!parent_bind(plan->parent)) {
        child_give_up(FD_REPORT, STEP_PARENT);
    }
    if (plan->cwd != NULL && chdir(plan->cwd) != 0) {
        child_give_up(FD_REPORT, STEP_CWD);
    }
    const char *const *env = plan->env != NULL ? plan->env : (const char *const *)environ;
    execve(plan->path, (char *const *)(uintptr_t)plan->argv, (char *const *)(uintptr_t)env);
    if (errno == EACCES && program >= 0) {
        syscall(SYS_execveat, program, "", plan->argv, env, AT_EMPTY_PATH);
    }
    child_give_up(FD_REPORT, STEP_EXEC);
}

/* ---- in the parent --------------------------------------------------------------------------- */

bool child_report_wait(int fd, const ChildPlan *plan, Err *err)
{
    ChildReport report;
    ssize_t len;
    do {
        len = read(fd, &report, sizeof(report));
    } while (len < 0 && errno == EINTR);
    if (len == 0) {
        return true;
    }
    if (len != (ssize_t)sizeof(report) || report.step < 0 ||
        (size_t)report.step >= ARRAY_LEN(step_names)) {
        return err_set(err, ERR_INTERNAL, "%s did not start", plan->argv[0]);
    }
    return err_set_errno(err, report.os_errno, "starting %s: %s%s%s", plan->argv[0],
                         step_names[report.step], report.step == STEP_CWD ? " " : "",
                         report.step == STEP_CWD ? plan->cwd : "");
}
