/* Running a program to its end, on a thread that may block. Its input lies in a memory file, so
 * that nothing has to be fed to it; its output is read until it has ended and the pipes are empty
 * (not until they are closed: a program may leave a daemon behind that holds them). */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/process_priv.h"

#define COMMAND_GRACE_MS 2000 /* between SIGTERM and SIGKILL */
#define COMMAND_LOOK_MS  100  /* how often a cancelled job is noticed */
#define COMMAND_READ_MAX 16384
#define COMMAND_READS    64 /* at a time: a program that writes without end is still timed */

typedef enum CommandVerdict {
    VERDICT_RUNNING, /* or it ended by itself */
    VERDICT_TIMEOUT,
    VERDICT_LIMIT,
    VERDICT_CANCELLED,
} CommandVerdict;

typedef struct Command {
    const CommandSpec *spec;
    CommandResult *result;
    ChildPlan plan;
    pid_t pid;
    int pidfd;
    int out_fd, err_fd; /* our ends; -1 when closed */
    CommandVerdict verdict;
    int64_t deadline_ms; /* of what happens next: SIGTERM, then SIGKILL */
    bool killed;
} Command;

/* ---- starting -------------------------------------------------------------------------------- */

static bool input_make(Slice input, int *ret_fd, Err *err)
{
    CLEANUP(fd_close) int fd = memfd_create("weir-input", MFD_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, errno, "making a memory file");
    }
    TRY(fd_write_all(fd, input.data, input.len, err));
    if (lseek(fd, 0, SEEK_SET) != 0) {
        return err_set_errno(err, errno, "rewinding a memory file");
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

typedef struct CommandPipes {
    int input;
    int out[2], err[2], report[2];
} CommandPipes;

static bool command_pipes_make(CommandPipes *pipes, Slice input, Err *err)
{
    *pipes = (CommandPipes){-1, {-1, -1}, {-1, -1}, {-1, -1}};
    TRY(input.len == 0 || input_make(input, &pipes->input, err));
    if (pipe2(pipes->out, O_CLOEXEC) != 0 || pipe2(pipes->err, O_CLOEXEC) != 0 ||
        pipe2(pipes->report, O_CLOEXEC) != 0 || fcntl(pipes->out[0], F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(pipes->err[0], F_SETFL, O_NONBLOCK) != 0) {
        return err_set_errno(err, errno, "making a pipe");
    }
    return true;
}

static void command_pipes_close(CommandPipes *pipes)
{
    fd_close(&pipes->input);
    for (int i = 0; i < 2; i++) {
        fd_close(&pipes->out[i]);
        fd_close(&pipes->err[i]);
        fd_close(&pipes->report[i]);
    }
}

static void command_reap(Command *command)
{
    siginfo_t info = {0};
    while (waitid(P_PID, (id_t)command->pid, &info, WEXITED) != 0 && errno == EINTR) {
    }
    process_exit_from(&info, &command->result->end);
}

static bool command_fork(Command *command, CommandPipes *pipes, Err *err)
{
    ChildPlan *plan = &command->plan;
    plan->input_fd = pipes->input;
    plan->output_fd = pipes->out[1];
    plan->error_fd = pipes->err[1];
    plan->report_fd = pipes->report[1];
    plan->parent = getpid();
    command->pid = fork();
    if (command->pid < 0) {
        return err_set_errno(err, errno, "starting %s: forking", plan->argv[0]);
    }
    if (command->pid == 0) {
        child_become(plan);
    }
    fd_close(&pipes->report[1]);
    command->pidfd = pidfd_open(command->pid, 0);
    ASSERT(command->pidfd >= 0 || errno == EMFILE || errno == ENFILE || errno == ENOMEM);
    int os_errno = errno;
    bool ok = child_report_wait(pipes->report[0], plan, err);
    if (ok && command->pidfd < 0) {
        ok = err_set_errno(err, os_errno, "watching %s", plan->argv[0]);
    }
    if (!ok) {
        kill(command->pid, SIGKILL);
        command_reap(command);
        command->result->end.known = false;
        fd_close(&command->pidfd);
        return false;
    }
    command->out_fd = pipes->out[0];
    command->err_fd = pipes->err[0];
    pipes->out[0] = pipes->err[0] = -1;
    return true;
}

static bool command_start(Command *command, Err *err)
{
    const CommandSpec *spec = command->spec;
    CommandPipes pipes;
    TRY(child_plan_init(&command->plan, spec->argv, err));
    command->plan.env = spec->env;
    command->plan.cwd = spec->cwd;
    command->plan.account = spec->account;
    bool ok = command_pipes_make(&pipes, spec->input, err) && command_fork(command, &pipes, err);
    command_pipes_close(&pipes);
    return ok;
}

/* ---- while it runs --------------------------------------------------------------------------- */

/* Ends it: SIGTERM to its group, SIGKILL when the time for that is over. */
static void command_stop(Command *command, CommandVerdict verdict)
{
    if (command->verdict == VERDICT_RUNNING) {
        command->verdict = verdict;
        command->deadline_ms = time_mono_ms() + COMMAND_GRACE_MS;
        kill(-command->pid, SIGTERM);
    }
}

static void command_look(Command *command)
{
    int64_t now_ms = time_mono_ms();
    if (command->spec->job != NULL && job_is_cancelled(command->spec->job)) {
        command_stop(command, VERDICT_CANCELLED);
    }
    if (now_ms < command->deadline_ms || command->killed) {
        return;
    }
    if (command->verdict == VERDICT_RUNNING) {
        command_stop(command, VERDICT_TIMEOUT);
    } else {
        command->killed = true;
        kill(-command->pid, SIGKILL);
    }
}

/* Returns whether there may be more to read now. */
static bool pipe_read(int *fd, char *data, size_t size, size_t *ret_len)
{
    if (*fd < 0) {
        return false;
    }
    ssize_t len = read(*fd, data, size);
    if (len == 0 || (len < 0 && errno != EAGAIN && errno != EINTR)) {
        fd_close(fd);
    }
    *ret_len = len > 0 ? (size_t)len : 0;
    return len > 0;
}

static void out_read(Command *command)
{
    char data[COMMAND_READ_MAX];
    size_t len;
    for (int i = 0; i < COMMAND_READS && pipe_read(&command->out_fd, data, sizeof(data), &len);
         i++) {
        buf_append(&command->result->out, data, len);
        if (command->result->out.overflowed) {
            command_stop(command, VERDICT_LIMIT);
        }
    }
}

/* Keeps the end: that is where a program says why it gave up. */
static void err_read(Command *command)
{
    Buf *kept = &command->result->err;
    char data[COMMAND_READ_MAX];
    size_t len;
    for (int i = 0; i < COMMAND_READS && pipe_read(&command->err_fd, data, sizeof(data), &len);
         i++) {
        Slice text = slice_from(data, len);
        if (text.len > kept->max) {
            text = slice_skip(text, text.len - kept->max);
        }
        if (kept->len > kept->max - text.len) {
            buf_consume(kept, kept->len - (kept->max - text.len));
        }
        buf_append_slice(kept, text);
    }
}

static int command_wait_ms(const Command *command)
{
    int64_t wait_ms = command->deadline_ms - time_mono_ms();
    if (command->killed || wait_ms < 0) {
        wait_ms = COMMAND_LOOK_MS;
    }
    if (command->spec->job != NULL && wait_ms > COMMAND_LOOK_MS) {
        wait_ms = COMMAND_LOOK_MS;
    }
    return wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
}

static void command_wait(Command *command)
{
    for (;;) {
        struct pollfd fds[] = {{.fd = command->pidfd, .events = POLLIN},
                               {.fd = command->out_fd, .events = POLLIN},
                               {.fd = command->err_fd, .events = POLLIN}};
        int count = poll(fds, ARRAY_LEN(fds), command_wait_ms(command));
        ASSERT(count >= 0 || errno == EINTR);
        bool ended = count > 0 && fds[0].revents != 0;
        out_read(command);
        err_read(command);
        if (ended) {
            break;
        }
        command_look(command);
    }
    if (command->verdict != VERDICT_RUNNING) {
        kill(-command->pid, SIGKILL); /* the rest of its group: not reaped yet, the id is its own */
    }
    command_reap(command);
}

/* ---- afterwards ------------------------------------------------------------------------------ */

/* Programs say on the way out what they clean up: a line that calls itself an error explains more.
 */
static const char *const complaints[] = {"error: ", "fatal: ", "FATAL: ", NULL};

/* The last complaint, or the last line where there is none. */
static Slice last_words(const Buf *text)
{
    Slice rest = slice_trim(buf_slice(text));
    Slice last = {0};
    Slice complaint = {0};
    while (rest.len > 0) {
        last = slice_cut(&rest, '\n');
        complaint = slice_has_any(last, complaints) ? last : complaint;
    }
    return complaint.len > 0 ? complaint : last;
}

static bool command_judge(const Command *command, Err *err)
{
    const CommandResult *result = command->result;
    const char *name = command->spec->argv[0];
    char how[PROCESS_EXIT_TEXT_SIZE];
    process_exit_format(&result->end, how);
    Slice said = last_words(&result->err);
    const char *colon = said.len > 0 ? ": " : "";
    switch (command->verdict) {
    case VERDICT_TIMEOUT:
        return err_set(err, ERR_TIMEOUT, "%s took longer than %lld ms%s%.*s", name,
                       (long long)command->spec->timeout_ms, colon, SLICE_FMT(said));
    case VERDICT_LIMIT:
        return err_set(err, ERR_LIMIT, "%s wrote more than %zu bytes", name, result->out.max);
    case VERDICT_CANCELLED:
        return err_set(err, ERR_CONFLICT, "%s was cancelled", name);
    case VERDICT_RUNNING:
        break;
    }
    if (result->end.exit_code == 0) {
        return true;
    }
    return err_set(err, ERR_INTERNAL, "%s %s%s%.*s", name, how, colon, SLICE_FMT(said));
}

bool command_run(const CommandSpec *spec, CommandResult *result, Err *err)
{
    CommandSpec complete = *spec;
    complete.timeout_ms = spec->timeout_ms > 0 ? spec->timeout_ms : COMMAND_TIMEOUT_MS_DEFAULT;
    complete.output_max = spec->output_max > 0 ? spec->output_max : COMMAND_OUTPUT_MAX_DEFAULT;
    *result = (CommandResult){.end = {.exit_code = -1}};
    buf_init(&result->out, complete.output_max);
    buf_init(&result->err, complete.output_max);
    Command command = {
        .spec = &complete, .result = result, .pidfd = -1, .out_fd = -1, .err_fd = -1};
    command.deadline_ms = time_mono_ms() + complete.timeout_ms;
    bool ok = command_start(&command, err);
    if (ok) {
        command_wait(&command);
        ok = command_judge(&command, err);
    }
    fd_close(&command.pidfd);
    fd_close(&command.out_fd);
    fd_close(&command.err_fd);
    child_plan_done(&command.plan);
    return ok;
}

void command_result_done(CommandResult *result)
{
    buf_done(&result->out);
    buf_done(&result->err);
}
