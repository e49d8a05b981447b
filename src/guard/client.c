/*
 * The agent's side: starting a guard, finding it again, and short conversations with it. All calls
 * block, with a deadline, on a thread of the caller's; nothing is kept between them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard/guard_priv.h"

#define START_TIMEOUT_MS  10000
#define START_PAUSE_MS    5
#define SIGNAL_TIMEOUT_MS 5000
#define REAP_GRACE_MS     10000 /* after the last SIGKILL, before guard_stop gives up */
#define GUARD_DIES_MS     1000

/* ---- conversations ----------------------------------------------------------------------------
 */

bool guard_connect(const char *run, const char *node, int *ret_fd, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = guard_path(run, node, GUARD_FILE_SOCKET);
    NetAddr addr;
    TRY(guard_node_check(node, err));
    TRY(net_addr_parse(path, 0, &addr, err));
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot make a socket");
    }
    if (connect(fd, (const struct sockaddr *)&addr.storage, addr.len) != 0) {
        bool absent = errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN;
        return absent ? err_set(err, ERR_UNAVAILABLE, "the guard of %s does not answer", node)
                      : err_set_errno(err, errno, "cannot reach the guard of %s", node);
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

typedef struct Talk {
    const char *node;
    int fd;
    int64_t end_ms; /* time_mono_ms */
    size_t len;
    size_t taken; /* the last line, with its end */
    char bytes[GUARD_LINE_MAX];
} Talk;

static void talk_done(Talk *talk)
{
    fd_close(&talk->fd);
}

/* Waits until the socket is readable or the time is over. */
static bool talk_wait(const Talk *talk, Err *err)
{
    for (;;) {
        int64_t left = talk->end_ms - time_mono_ms();
        struct pollfd entry = {.fd = talk->fd, .events = POLLIN};
        int count = poll(&entry, 1, left > 0 ? (int)left : 0);
        if (count > 0) {
            return true;
        }
        if (count < 0 && errno != EINTR) {
            return err_set_errno(err, errno, "cannot wait for the guard of %s", talk->node);
        }
        if (count == 0) {
            return err_set(err, ERR_TIMEOUT, "the guard of %s does not answer in time", talk->node);
        }
    }
}

/* The next line. ERR_UNAVAILABLE where the guard ended instead. */
static bool talk_line(Talk *talk, GuardLine *ret_line, Err *err)
{
    talk->len -= talk->taken;
    memmove(talk->bytes, talk->bytes + talk->taken, talk->len);
    talk->taken = 0;
    for (;;) {
        const char *end = memchr(talk->bytes, '\n', talk->len);
        if (end != NULL) {
            size_t len = (size_t)(end - talk->bytes);
            talk->taken = len + 1;
            return guard_line_parse(slice_from(talk->bytes, len), ret_line, err);
        }
        if (talk->len == sizeof(talk->bytes)) {
            return err_set(err, ERR_INVALID, "the guard of %s sends no line", talk->node);
        }
        TRY(talk_wait(talk, err));
        ssize_t count = read(talk->fd, talk->bytes + talk->len, sizeof(talk->bytes) - talk->len);
        if (count == 0 || (count < 0 && errno == ECONNRESET)) {
            return err_set(err, ERR_UNAVAILABLE, "the guard of %s has ended", talk->node);
        }
        if (count < 0 && errno != EAGAIN && errno != EINTR) {
            return err_set_errno(err, errno, "cannot hear the guard of %s", talk->node);
        }
        talk->len += count > 0 ? (size_t)count : 0;
    }
}

static bool talk_send(const Talk *talk, const char *line, Err *err)
{
    size_t len = strlen(line); /* far below what a socket's buffer takes at once */
    ssize_t count = send(talk->fd, line, len, MSG_NOSIGNAL);
    return count == (ssize_t)len ||
           err_set(err, ERR_UNAVAILABLE, "the guard of %s does not listen", talk->node);
}

/* Connects, asks, and takes the answer. The report of an end may come first. */
static bool talk_ask(Talk *talk, const char *run, const char *request, GuardLine *ret_answer,
                     Err *err)
{
    TRY(guard_connect(run, talk->node, &talk->fd, err));
    TRY(talk_send(talk, request, err));
    TRY(talk_line(talk, ret_answer, err));
    if (ret_answer->kind == GUARD_LINE_ERROR) {
        return err_set(err, ERR_INVALID, "%.*s", SLICE_FMT(ret_answer->error));
    }
    return true;
}

bool guard_status(const char *run, const char *node, int64_t timeout_ms, GuardStatus *ret_status,
                  Err *err)
{
    CLEANUP(talk_done)
    Talk talk = {.node = node, .fd = -1, .end_ms = time_mono_ms() + timeout_ms};
    GuardLine answer;
    TRY(talk_ask(&talk, run, "status\n", &answer, err));
    if (answer.kind == GUARD_LINE_EXITED) {
        answer.status = (GuardStatus){.state = GUARD_EXITED, .started_ms = answer.end.started_ms};
    } else if (answer.kind != GUARD_LINE_STATUS) {
        return err_set(err, ERR_INVALID, "the guard of %s answers something else", node);
    }
    *ret_status = answer.status;
    return true;
}

void guard_await_end(const char *run, const char *node)
{
    pid_t pid;
    for (int i = 0; i < GUARD_DIES_MS && guard_find(run, node, &pid, NULL); i++) {
        usleep(1000);
    }
}

static bool stop_wait(const char *run, const char *node, const char *request, int64_t all_ms,
                      GuardExit *ret_exit, Err *err)
{
    CLEANUP(talk_done)
    Talk talk = {.node = node, .fd = -1, .end_ms = time_mono_ms() + all_ms};
    GuardLine line;
    TRY(talk_ask(&talk, run, request, &line, err));
    while (line.kind != GUARD_LINE_EXITED) {
        TRY(talk_line(&talk, &line, err));
    }
    *ret_exit = line.end;
    return true;
}

bool guard_stop(const char *run, const char *node, const char *mode, int64_t stop_ms,
                GuardExit *ret_exit, Err *err)
{
    int64_t all_ms = stop_ms + GUARD_HARD_MS + REAP_GRACE_MS;
    CLEANUP(mem_free_ptr) char *request = mem_printf("stop %s %lld\n", mode, (long long)stop_ms);
    Err failed;
    bool stopped = stop_wait(run, node, request, all_ms, ret_exit, &failed);
    if (!stopped && failed.code == ERR_UNAVAILABLE) { /* it may have ended in this very moment */
        stopped = guard_exit_record_read(run, node, ret_exit, NULL);
    }
    if (stopped) {
        guard_await_end(run, node); /* it waits for nobody whose connection is closed */
    } else if (err != NULL) {
        *err = failed;
    }
    return stopped;
}

bool guard_signal(const char *run, const char *node, const char *signal, Err *err)
{
    CLEANUP(talk_done)
    Talk talk = {.node = node, .fd = -1, .end_ms = time_mono_ms() + SIGNAL_TIMEOUT_MS};
    CLEANUP(mem_free_ptr) char *request = mem_printf("signal %s\n", signal);
    GuardLine answer;
    TRY(talk_ask(&talk, run, request, &answer, err));
    return answer.kind == GUARD_LINE_OK ||
           err_set(err, ERR_UNAVAILABLE, "the engine of %s has ended", node);
}

bool guard_fence(const char *run, const char *node, int64_t until_ms, Err *err)
{
    CLEANUP(talk_done)
    Talk talk = {.node = node, .fd = -1, .end_ms = time_mono_ms() + SIGNAL_TIMEOUT_MS};
    CLEANUP(mem_free_ptr) char *request = mem_printf("fence %lld\n", (long long)until_ms);
    GuardLine answer;
    TRY(talk_ask(&talk, run, request, &answer, err));
    return answer.kind == GUARD_LINE_OK ||
           err_set(err, ERR_UNAVAILABLE, "the engine of %s has ended", node);
}

/* ---- finding ----------------------------------------------------------------------------------
 */

bool guard_find(const char *run, const char *node, pid_t *ret_pid, Err *err)
{
    TRY(guard_node_check(node, err));
    CLEANUP(mem_free_ptr) char *path = guard_path(run, node, GUARD_FILE_LOCK);
    TRY(file_lock_holder(path, ret_pid, err));
    return *ret_pid > 0 || err_set(err, ERR_NOT_FOUND, "%s has no guard", node);
}

bool guard_exit_record_read(const char *run, const char *node, GuardExit *ret_exit, Err *err)
{
    TRY(guard_node_check(node, err));
    CLEANUP(mem_free_ptr) char *path = guard_path(run, node, GUARD_FILE_EXIT);
    CLEANUP(buf_done) Buf text;
    buf_init(&text, GUARD_LINE_MAX);
    TRY(file_read(path, &text, err));
    GuardLine line;
    Slice rest = buf_slice(&text);
    TRY(guard_line_parse(slice_cut(&rest, '\n'), &line, err));
    if (line.kind != GUARD_LINE_EXITED) {
        return err_set(err, ERR_INVALID, "%s is not an exit record", path);
    }
    *ret_exit = line.end;
    return true;
}

/* ---- starting ---------------------------------------------------------------------------------
 */

typedef VEC(const char *) Words;

static void words_option(Words *words, const char *name, const char *value)
{
    vec_push(words, name);
    vec_push(words, value);
}

/* The guard's command line behind the program. The numbers are formatted into `uid`, `gid` and
 * `fence`. */
static void spawn_words(const GuardSpec *spec, char uid[static 16], char gid[static 16],
                        char fence[static 24], Words *words)
{
    vec_push(words, "guard");
    words_option(words, "--node", spec->node);
    words_option(words, "--run", spec->run);
    words_option(words, "--log", spec->log_path);
    words_option(words, "--cwd", spec->cwd);
    if (spec->fence_ms > 0) {
        snprintf(fence, 24, "%lld", (long long)spec->fence_ms);
        words_option(words, "--fence", fence);
    }
    words_option(words, "--stop-signals", spec->stop_signals);
    words_option(words, "--death-signal", spec->death_signal);
    if (spec->account.drop) {
        snprintf(uid, 16, "%u", (unsigned)spec->account.uid);
        snprintf(gid, 16, "%u", (unsigned)spec->account.gid);
        words_option(words, "--uid", uid);
        words_option(words, "--gid", gid);
    }
    vec_push(words, "--");
    for (size_t i = 0; spec->argv[i] != NULL; i++) {
        vec_push(words, spec->argv[i]);
    }
    vec_push(words, NULL);
}

/* Our own program, by its path, so that ps shows it; by the kernel's link where that is gone. */
static void own_program(char *path, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", path, size - 1);
    path[len > 0 ? len : 0] = '\0';
    if (access(path, X_OK) != 0) {
        snprintf(path, size, "/proc/self/exe");
    }
}

static bool spawn_process(const GuardSpec *spec, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
    static const char *const plain_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", NULL};
    char program[PATH_MAX];
    char uid[16];
    char fence[24];
    char gid[16];
    Words words = {0};
    own_program(program, sizeof(program));
    vec_push(&words, spec->program != NULL ? spec->program : program);
    spawn_words(spec, uid, gid, fence, &words);
    SpawnSpec process = {
        .argv = words.items,
        .env = spec->env != NULL ? spec->env : plain_env,
        .held_fd = spec->held_fd,
        .log_fd = spec->log_fd,
    };
    bool ok = process_spawn(&process, ret_pid, ret_pidfd, err);
    vec_done(&words);
    return ok;
}

/* The guard is gone before we heard of it: either its engine ran and ended, or it never ran. */
static bool spawn_ended(const GuardSpec *spec, Err *err)
{
    GuardExit end;
    if (!guard_exit_record_read(spec->run, spec->node, &end, NULL)) {
        pid_t other;
        return guard_find(spec->run, spec->node, &other, NULL)
                   ? err_set(err, ERR_EXISTS, "another guard holds %s", spec->node)
                   : err_set(err, ERR_INTERNAL, "the guard of %s ended before its engine ran",
                             spec->node);
    }
    return end.error[0] == '\0' || err_set(err, ERR_INTERNAL, "%s", end.error);
}

static bool pidfd_ended(int pidfd, int wait_ms)
{
    struct pollfd entry = {.fd = pidfd, .events = POLLIN};
    return poll(&entry, 1, wait_ms) > 0;
}

static bool spawn_wait(const GuardSpec *spec, pid_t pid, int pidfd, Err *err)
{
    int64_t end = time_mono_ms() + START_TIMEOUT_MS;
    for (;;) {
        GuardStatus status;
        pid_t holder;
        if (guard_status(spec->run, spec->node, START_TIMEOUT_MS, &status, NULL) &&
            (!guard_find(spec->run, spec->node, &holder, NULL) || holder == pid)) {
            return true;
        }
        if (pidfd_ended(pidfd, START_PAUSE_MS)) {
            return spawn_ended(spec, err);
        }
        if (time_mono_ms() >= end) {
            kill(pid, SIGKILL); /* the engine follows by its death signal */
            return err_set(err, ERR_TIMEOUT, "the guard of %s does not answer in time", spec->node);
        }
    }
}

bool guard_spawn(const GuardSpec *spec, pid_t *ret_pid, Err *err)
{
    pid_t pid;
    CLEANUP(fd_close) int pidfd = -1;
    CLEANUP(mem_free_ptr) char *record = guard_path(spec->run, spec->node, GUARD_FILE_EXIT);
    TRY(guard_node_check(spec->node, err));
    if (guard_find(spec->run, spec->node, &pid, NULL)) {
        return err_set(err, ERR_EXISTS, "the guard of %s runs already, as pid %d", spec->node,
                       (int)pid);
    }
    unlink(
        record); /* whoever wanted to know has read it; this start must not take it for its own */
    TRY(spawn_process(spec, &pid, &pidfd, err));
    TRY(spawn_wait(spec, pid, pidfd, err));
    *ret_pid = pid;
    return true;
}
