/*
 * The processes of a tier as `weir up` and `weir down` see them: the supervisor, which is a process
 * of its own and outlives whoever started it, and the lock that `weir serve` holds on the folder.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/up/up_priv.h"
#include "loop/loop.h"
#include "model/model.h"

#define START_WAIT_MS 30000
#define HOSTS_WAIT_MS 600000 /* for another host, which somebody has yet to bring up */
#define HOSTS_SAY_MS  5000
#define STOP_WAIT_MS  90000
#define POLL_MS       50
#define LOG_TAIL_MAX  ((size_t)64 << 10)

static void pause_ms(int64_t ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

/* ---- starting the supervisor -------------------------------------------------------------------
 */

static char *log_path(const Cli *cli)
{
    return mem_printf("%s/weir.log", cli->data_dir);
}

bool tier_is_up(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/weir.lock", cli->data_dir);
    pid_t pid;
    return file_lock_holder(path, &pid, NULL) && pid > 0;
}

/* A tier that is stopped has no runtime folder. */
bool tier_is_left(const Cli *cli)
{
    ClientSettings settings;
    if (tier_is_up(cli) || !client_settings_load(cli->data_dir, &settings, NULL)) {
        return false;
    }
    bool left = settings.run_dir != NULL && file_exists(settings.run_dir);
    client_settings_done(&settings);
    return left;
}

/* An open file's own lock: whoever asks need not know who has it, and it ends with us. */
static int watch_begin(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fd >= 0 && fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        fd_close(&fd);
    }
    return fd;
}

TierStart tier_start_none(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    struct stat info;
    return (TierStart){
        .pidfd = -1, .watch_fd = -1, .log_offset = stat(path, &info) == 0 ? info.st_size : 0};
}

bool tier_start(const Cli *cli, TierStart *ret_start, Err *err)
{
    bool made_folder = !file_exists(cli->data_dir);
    TRY(dir_make(cli->data_dir, 0711, err));
    CLEANUP(mem_free_ptr) char *program = file_own_program();
    CLEANUP(mem_free_ptr) char *data_dir = realpath(cli->data_dir, NULL);
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    CLEANUP(fd_close) int log_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (program == NULL || data_dir == NULL || log_fd < 0) {
        return err_set_errno(err, errno, "cannot use the data directory %s", cli->data_dir);
    }
    struct stat info;
    TierStart start = {.pidfd = -1,
                       .watch_fd = -1,
                       .made_folder = made_folder,
                       .log_offset = fstat(log_fd, &info) == 0 ? info.st_size : 0};
    const char *const argv[] = {program, "supervise", "--data", data_dir, NULL};
    const SpawnSpec spec = {.argv = argv, .cwd = "/", .log_fd = log_fd};
    pid_t pid;
    TRY(process_spawn(&spec, &pid, &start.pidfd, err));
    start.watch_fd = watch_begin(cli);
    *ret_start = start;
    return true;
}

bool tier_is_watched(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

void tier_start_done(TierStart *start)
{
    fd_close(&start->watch_fd);
    fd_close(&start->pidfd);
}

static bool has_ended(int pidfd)
{
    struct pollfd ready = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&ready, 1, 0) > 0;
}

/* An error in the log begins with its code's name where somebody may want to know it. */
static void complaint_parse(Slice text, Err *err)
{
    for (ErrCode code = ERR_INTERNAL; code <= ERR_UNSETTLED; code++) {
        const char *name = err_code_name(code);
        Slice rest = slice_starts(text, name) ? slice_skip(text, strlen(name)) : SLICE("");
        if (slice_starts(rest, ": ")) {
            err_set(err, code, "%.*s", SLICE_FMT(slice_skip(rest, 2)));
            return;
        }
    }
    err_set(err, ERR_INTERNAL, "%.*s", SLICE_FMT(text));
}

/* What the tier last complained of since `offset` in its log; NULL: nothing. The caller frees it.
 */
static char *complaint_new(const Cli *cli, off_t offset)
{
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(mem_free_ptr) char *text = mem_alloc(LOG_TAIL_MAX + 1);
    ssize_t len = fd >= 0 ? pread(fd, text, LOG_TAIL_MAX, offset) : -1;
    Slice rest = slice_from(text, len > 0 ? (size_t)len : 0);
    Slice last = {0};
    while (rest.data != NULL) {
        Slice line = slice_cut(&rest, '\n');
        (void)slice_cut(&line, ' '); /* the time */
        if (slice_starts(line, "error ")) {
            (void)slice_cut(&line, ':');
            last = slice_trim(line);
        }
    }
    return last.len > 0 ? mem_printf("%.*s", SLICE_FMT(last)) : NULL;
}

static void log_complaint(const Cli *cli, off_t offset, Err *err)
{
    CLEANUP(mem_free_ptr) char *complaint = complaint_new(cli, offset);
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    if (complaint != NULL) {
        complaint_parse(slice_of(complaint), err);
    } else {
        err_set(err, ERR_INTERNAL, "the tier did not start: see %s", path);
    }
}

bool tier_wait_for_api(Cli *cli, const TierStart *start, Err *err)
{
    bool waits = start->pidfd >= 0 && tier_waits_for_hosts(cli);
    int64_t began_ms = time_mono_ms();
    int64_t limit_ms = waits ? HOSTS_WAIT_MS : START_WAIT_MS;
    for (; time_mono_ms() - began_ms < limit_ms; pause_ms(POLL_MS)) {
        if (waits && time_mono_ms() - began_ms > HOSTS_SAY_MS) {
            waits = false;
            fputs("The tier's store needs most of its hosts: waiting until another one is brought "
                  "up, too…\n",
                  stderr);
        }
        if (has_ended(start->pidfd)) {
            log_complaint(cli, start->log_offset, err);
            return false;
        }
        if (start->pidfd < 0 && !tier_is_left(cli) && !tier_is_up(cli)) {
            return err_set(err, ERR_NOT_FOUND, "the tier in %s has been stopped meanwhile",
                           cli->data_dir);
        }
        if (interrupt_waits()) {
            return err_set(err, ERR_UNAVAILABLE, "interrupted");
        }
        client_close(cli->client);
        cli->client = NULL;
        json_t *tier = tier_is_up(cli) && cli_connect(cli, err)
                           ? cli_call(cli, "weir", "DescribeTier", NULL, err)
                           : NULL;
        if (tier != NULL) {
            json_decref(tier);
            return true;
        }
    }
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    CLEANUP(mem_free_ptr)
    char *complaint = complaint_new(cli, start->log_offset);
    return err_set(err, ERR_TIMEOUT, "the API does not answer after %d s%s%s: see %s",
                   (int)(limit_ms / 1000), complaint != NULL ? "; it said last: " : "",
                   complaint != NULL ? complaint : "", path);
}

/* ---- stopping ----------------------------------------------------------------------------------
 */

static bool stop_ask(Cli *cli, Err *err)
{
    json_t *output = cli_call(cli, "weir", "StopTier", NULL, err);
    json_decref(output);
    return output != NULL || err->code == ERR_UNSETTLED;
}

bool tier_is_supervised(const Cli *cli)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" SUPERVISE_LOCK, cli->data_dir);
    pid_t pid;
    return file_lock_holder(path, &pid, NULL) && pid > 0;
}

/* Ours, which may not have its lock yet, or whoever has it. -1: nobody could be asked. */
static int supervisor_ask(const Cli *cli, const TierStart *start)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" SUPERVISE_LOCK, cli->data_dir);
    pid_t pid = 0;
    int pidfd = -1;
    if (start->pidfd >= 0 && !has_ended(start->pidfd)) {
        pidfd = fcntl(start->pidfd, F_DUPFD_CLOEXEC, 0);
    } else if (file_lock_holder(path, &pid, NULL) && pid > 0) {
        pidfd = pidfd_open(pid, 0);
    }
    if (pidfd >= 0 && pidfd_send_signal(pidfd, SIGTERM, NULL, 0) != 0) {
        fd_close(&pidfd);
    }
    return pidfd;
}

/* The supervisor is asked by signal: it hears that from its first moment on, and also while nobody
 * answers the API, or nobody has a store. A serve without one is asked through the API. */
bool tier_stop(Cli *cli, const TierStart *start, Err *err)
{
    CLEANUP(fd_close) int supervisor = -1;
    bool asked = false;
    for (int64_t end = time_mono_ms() + STOP_WAIT_MS; time_mono_ms() < end; pause_ms(POLL_MS)) {
        if (supervisor >= 0 && !has_ended(supervisor)) {
            continue;
        }
        fd_close(&supervisor);
        supervisor = supervisor_ask(cli, start);
        if (supervisor < 0 && !tier_is_up(cli)) {
            return true;
        }
        if (supervisor < 0 && !asked) {
            asked = true;
            TRY(stop_ask(cli, err));
        }
    }
    CLEANUP(mem_free_ptr) char *path = log_path(cli);
    return err_set(err, ERR_TIMEOUT, "the tier still stops after %d s: see %s", STOP_WAIT_MS / 1000,
                   path);
}
