/* Inside of processes: how a program is started (process.c), for commands (command.c) and for what
 * lives on its own (spawn.c). */
#ifndef WEIR_PROCESS_PRIV_H
#define WEIR_PROCESS_PRIV_H

#include "loop/loop_priv.h"

/* Everything that a child needs to know, made before the fork: after it, in a program with threads,
 * nothing may be allocated. */
typedef struct ChildPlan {
    char *path; /* owned */
    const char *const *argv;
    const char *const *env; /* NULL: ours */
    const char *cwd;
    ProcessAccount account;
    int input_fd, output_fd, error_fd; /* -1: /dev/null */
    int report_fd;                     /* closed by exec; a failure is written to it */
    pid_t parent;                      /* > 0: die with it. 0: lead a session of one's own */
} ChildPlan;

/* What a child writes to report_fd when it cannot become the program. */
typedef struct ChildReport {
    int step; /* index into the names that child_report_explain knows */
    int os_errno;
} ChildReport;

/* Looks the program up. */
NODISCARD bool child_plan_init(ChildPlan *plan, const char *const *argv, Err *err);
void child_plan_done(ChildPlan *plan);
/* Never returns. Calls only what a signal handler may. */
NORETURN void child_become(const ChildPlan *plan);
/* Waits until the child is executing, or has written why it is not. Closes nothing. */
NODISCARD bool child_report_wait(int fd, const ChildPlan *plan, Err *err);

#endif
