/*
 * The supervisor of `weir serve`: starts it, and starts it again whenever it ends without having
 * been asked to. It keeps the socket by which serve holds the tier's network, so that no other tier
 * takes it meanwhile. It knows little else, so that there is little in it that could fail. A serve
 * whose supervisor has ended starts another one, which adopts it. There is one: it holds
 * DATA/supervise.lock, by which it is found. SIGTERM and SIGINT stop the tier; SIGHUP is ignored (a
 * terminal that goes away does not take the tier along).
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client/client.h"
#include "serve/serve.h"
#include "serve/serve_priv.h"

#define AGAIN_MS     200
#define AGAIN_MAX_MS 1000
#define STEADY_MS    10000 /* after this long a serve was no failed start */
#define ADOPTED_MS   100   /* how often a serve that is not our child is looked at */
#define STOP_TRIES   3     /* to start a serve that stops the tier; then it goes without */
#define NET_FD       3     /* serve's, and NET_FD_TEXT */
#define NET_FD_TEXT  "3"

extern char **environ;

typedef struct Supervisor {
    char *program;
    const char *data_dir;
    sigset_t signals;
    pid_t child; /* 0: none */
    int adopted; /* pidfd of a serve that is not our child; -1: none */
    bool served; /* some serve got as far as serving */
    int net_fd;  /* not yet bound before the first serve has found a net */
    int lock_fd;
    bool stopping;
} Supervisor;

/* Kept for life. */
static bool lock_take(Supervisor *supervisor, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" SUPERVISE_LOCK, supervisor->data_dir);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    supervisor->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (supervisor->lock_fd < 0) {
        return err_set_errno(err, errno, "cannot use the data directory %s", supervisor->data_dir);
    }
    return fcntl(supervisor->lock_fd, F_SETLK, &lock) == 0 ||
           err_set(err, ERR_CONFLICT, "the tier in %s is already up", supervisor->data_dir);
}

/* The child takes its ends when its loop does, and has a group of its own: a Ctrl-C in the terminal
 * is for whoever owns the terminal. */
static bool child_start(Supervisor *supervisor, Err *err)
{
    const char *const argv[] = {supervisor->program, "serve",     "--data", supervisor->data_dir,
                                "--net-fd",          NET_FD_TEXT, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t ends; /* they wait until it is ready to be asked */
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &ends);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, supervisor->net_fd, NET_FD);
    int failed = posix_spawn(&supervisor->child, supervisor->program, &files, &attributes,
                             (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    if (failed != 0) {
        supervisor->child = 0;
        return err_set_errno(err, failed, "cannot start %s", supervisor->program);
    }
    return true;
}

static void stop_ask(Supervisor *supervisor)
{
    supervisor->stopping = true;
    if (supervisor->child > 0) {
        kill(supervisor->child, SIGINT);
    } else if (supervisor->adopted >= 0) {
        pidfd_send_signal(supervisor->adopted, SIGINT, NULL, 0);
    }
}

/* Waits up to `wait_ms` (-1: for ever) for a signal, and does what it asks for. */
static void signal_wait(Supervisor *supervisor, int64_t wait_ms)
{
    const struct timespec limit = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};
    int signo = sigtimedwait(&supervisor->signals, NULL, wait_ms < 0 ? NULL : &limit);
    if (signo == SIGTERM || signo == SIGINT) {
        stop_ask(supervisor);
    }
}

/* The exit status of the child, -1 for a signal. */
static int child_wait(Supervisor *supervisor)
{
    for (;;) {
        int status;
        if (waitpid(supervisor->child, &status, WNOHANG) == supervisor->child) {
            supervisor->child = 0;
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        }
        signal_wait(supervisor, -1);
    }
}

/* Until it has ended. How it ended nobody tells us: a tier that was stopped has no runtime folder.
 */
static bool adopted_wait(Supervisor *supervisor)
{
    struct pollfd ended = {.fd = supervisor->adopted, .events = POLLIN};
    while (poll(&ended, 1, 0) == 0) {
        signal_wait(supervisor, ADOPTED_MS);
    }
    fd_close(&supervisor->adopted);
    CLEANUP(mem_free_ptr) char *run_dir = tier_run_dir(supervisor->data_dir);
    return run_dir != NULL;
}

/* Nobody can be started who would stop it in good order. */
static int stop_without_serve(const Supervisor *supervisor)
{
    CLEANUP(mem_free_ptr) char *run_dir = tier_run_dir(supervisor->data_dir);
    if (run_dir != NULL) {
        tier_halt(run_dir);
    }
    return 1;
}

static int supervise(Supervisor *supervisor)
{
    int64_t again_ms = AGAIN_MS;
    int stop_tries = 0;
    if (supervisor->adopted >= 0 && !adopted_wait(supervisor)) {
        return 0;
    }
    for (;;) {
        Err err;
        int64_t started_ms = time_mono_ms();
        if (!child_start(supervisor, &err)) {
            log_error("supervise", "%s", err.message);
            signal_wait(supervisor, AGAIN_MAX_MS);
            if (supervisor->stopping) {
                return 1;
            }
            continue;
        }
        if (supervisor->stopping) { /* asked while nobody was there who could */
            stop_ask(supervisor);
        }
        int status = child_wait(supervisor);
        if (status == 0 || (status == 2 && !supervisor->served)) {
            return status;
        }
        supervisor->served = supervisor->served || status != 2;
        stop_tries += supervisor->stopping;
        if (stop_tries >= STOP_TRIES) {
            return stop_without_serve(supervisor);
        }
        again_ms = time_mono_ms() - started_ms > STEADY_MS ? AGAIN_MS : again_ms * 2;
        again_ms = again_ms < AGAIN_MAX_MS ? again_ms : AGAIN_MAX_MS;
        log_warn("supervise", "weir serve ended (status %d), starting it again", status);
        signal_wait(supervisor, again_ms);
    }
}

int supervise_main(int argc, char **argv)
{
    static const struct option options[] = {
        {"data", required_argument, NULL, 'd'}, {"adopt", required_argument, NULL, 'a'}, {0}};
    Supervisor supervisor = {.adopted = -1, .lock_fd = -1};
    int64_t adopt = 0;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'd') {
            supervisor.data_dir = optarg;
        } else if (option != 'a' || !str_to_i64(slice_of(optarg), &adopt)) {
            return 2;
        }
    }
    if (supervisor.data_dir == NULL || optind != argc) {
        fputs("usage: weir supervise --data DIR\n", stderr);
        return 2;
    }
    signal(SIGHUP, SIG_IGN);
    sigemptyset(&supervisor.signals);
    sigaddset(&supervisor.signals, SIGTERM);
    sigaddset(&supervisor.signals, SIGINT);
    sigaddset(&supervisor.signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &supervisor.signals, NULL);
    Err err;
    if (!lock_take(&supervisor, &err)) {
        log_error("supervise", "%s: %s", err_code_name(err.code), err.message); /* for weir up */
        fd_close(&supervisor.lock_fd);
        return 2;
    }
    supervisor.program = file_own_program();
    if (adopt > 0) { /* the socket is our standard input, see serve.c */
        supervisor.net_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, NET_FD);
        supervisor.adopted = pidfd_open((pid_t)adopt, 0);
        supervisor.served = true;
    } else {
        supervisor.net_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    int status = supervise(&supervisor);
    fd_close(&supervisor.net_fd);
    fd_close(&supervisor.lock_fd);
    free(supervisor.program);
    return status;
}
