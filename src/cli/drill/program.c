/* The programs of a drill: children that read from a pipe, and say into another one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/drill/drill_priv.h"

#define ANSWER_MS   60000 /* of one that runs to its end */
#define PIECE_BYTES ((size_t)65536)

extern char **environ;

bool drill_program_start(const char *const *argv, DrillProgram *ret_program, Err *err)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        err_set_errno(err, errno, "cannot make a pipe");
        fd_close(&to[0]);
        fd_close(&to[1]);
        return false;
    }
    DrillProgram program = {.in = to[1], .out = from[0]};
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, from[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, from[1], STDERR_FILENO);
    posix_spawnattr_t attributes; /* a Ctrl-C is for us, and what we hold back is not for them */
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    int failed = posix_spawnp(&program.pid, argv[0], &files, &attributes,
                              (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    fd_close(&to[0]);
    fd_close(&from[1]);
    if (failed != 0) {
        fd_close(&program.in);
        fd_close(&program.out);
        return err_set_errno(err, failed, "cannot run %s", argv[0]);
    }
    *ret_program = program;
    return true;
}

/* Its wait status. */
static int reap(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

void drill_program_end(DrillProgram *program)
{
    fd_close(&program->in);
    fd_close(&program->out);
    if (program->pid > 0) {
        kill(program->pid, SIGKILL);
        reap(program->pid);
    }
    program->pid = 0;
}

bool drill_program_run(const char *const *argv, Buf *out, Err *err)
{
    DrillProgram program;
    TRY(drill_program_start(argv, &program, err));
    fd_close(&program.in);
    int64_t end = time_mono_ms() + ANSWER_MS;
    for (ssize_t count = 1; count > 0;) {
        struct pollfd ready = {.fd = program.out, .events = POLLIN};
        int64_t left = end - time_mono_ms();
        char *room = buf_reserve(out, PIECE_BYTES);
        if (room == NULL || left <= 0 || poll(&ready, 1, (int)left) <= 0) {
            kill(program.pid, SIGKILL);
            break;
        }
        count = read(program.out, room, PIECE_BYTES);
        buf_commit(out, count > 0 ? (size_t)count : 0);
    }
    fd_close(&program.out);
    int status = reap(program.pid);
    return (WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(err, ERR_UNAVAILABLE, "%s: %.*s", argv[0],
                   SLICE_FMT(slice_trim(buf_slice(out))));
}
