/*
 * A look at /proc: the guard's children, and who works in a data directory. Processes are found by
 * a scan and not by what anybody remembers, for that is what must hold after a kill -9.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard/guard_priv.h"

#define SCAN_PAUSE_MS 10
#define NAMED_MAX     8 /* pids that an error names */

typedef VEC(pid_t) Pids;

/* ---- scanning ---------------------------------------------------------------------------------
 */

/* Calls fn for each process. */
static bool procs_each(void (*fn)(void *user, pid_t pid), void *user, Err *err)
{
    DIR *dir = opendir("/proc");
    if (dir == NULL) {
        return err_set_errno(err, errno, "cannot read /proc");
    }
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        uint64_t pid;
        if (str_to_u64(slice_of(entry->d_name), &pid) && pid > 0 && pid <= INT_MAX) {
            fn(user, (pid_t)pid);
        }
    }
    closedir(dir);
    return true;
}

/* ---- children ---------------------------------------------------------------------------------
 */

/* The parent of a process that is not a zombie; 0 otherwise. */
static pid_t proc_living_parent(pid_t pid)
{
    char path[64];
    char text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (len <= 0) {
        return 0;
    }
    text[len] = '\0';
    const char *end = strrchr(text, ')'); /* the name may hold anything */
    char state;
    int parent;
    if (end == NULL || sscanf(end + 1, " %c %d", &state, &parent) != 2) {
        return 0;
    }
    return state == 'Z' || state == 'X' ? 0 : (pid_t)parent;
}

static void kill_if_child(void *user, pid_t pid)
{
    size_t *count = user;
    if (proc_living_parent(pid) == getpid()) {
        kill(pid, SIGKILL); /* our child until we reap it: the number is not reused */
        (*count)++;
    }
}

size_t procs_kill_children(void)
{
    size_t count = 0;
    (void)!procs_each(kill_if_child, &count, NULL);
    return count;
}

/* ---- who works in a folder --------------------------------------------------------------------
 */

typedef struct FolderScan {
    char *dir; /* its real path */
    uid_t owner;
    gid_t group;
    Pids inside;
    Pids hidden; /* the owner's, and not ours to look at */
} FolderScan;

typedef enum Place { PLACE_ELSEWHERE, PLACE_INSIDE, PLACE_HIDDEN } Place;

/* A folder that was removed reads as "/path (deleted)"; that may be below ours as well. A zombie
 * has no place any more. */
static Place proc_place(pid_t pid, const char *dir)
{
    char path[64];
    char cwd[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/cwd", (int)pid);
    ssize_t len = readlink(path, cwd, sizeof(cwd) - 1);
    if (len < 0) {
        return errno == EACCES || errno == EPERM ? PLACE_HIDDEN : PLACE_ELSEWHERE;
    }
    size_t dir_len = strlen(dir);
    Slice rest = slice_from(cwd, (size_t)len);
    if (!slice_starts(rest, dir)) {
        return PLACE_ELSEWHERE;
    }
    rest = slice_skip(rest, dir_len);
    bool inside = rest.len == 0 || rest.data[0] == '/' || slice_is(rest, " (deleted)");
    return inside ? PLACE_INSIDE : PLACE_ELSEWHERE;
}

static bool proc_is_of(pid_t pid, uid_t uid)
{
    char path[64];
    struct stat info;
    snprintf(path, sizeof(path), "/proc/%d", (int)pid);
    return stat(path, &info) == 0 && info.st_uid == uid;
}

static void scan_one(void *user, pid_t pid)
{
    FolderScan *scan = user;
    if (pid == getpid()) {
        return;
    }
    Place place = proc_place(pid, scan->dir);
    if (place == PLACE_INSIDE) {
        vec_push(&scan->inside, pid);
    } else if (place == PLACE_HIDDEN && proc_is_of(pid, scan->owner)) {
        vec_push(&scan->hidden, pid);
    }
}

/* A root without CAP_SYS_PTRACE (containers) may not look at others' processes, but their owner
 * may: a child becomes the owner and sends back the pids that are inside. No malloc in it: it comes
 * from a process with threads. */
NORETURN static void look_as_owner(const FolderScan *scan, int out)
{
    if (syscall(SYS_setresgid, scan->group, scan->group, scan->group) == 0 &&
        syscall(SYS_setresuid, scan->owner, scan->owner, scan->owner) == 0) {
        for (size_t i = 0; i < scan->hidden.len; i++) {
            pid_t pid = scan->hidden.items[i];
            Place place = proc_place(pid, scan->dir);
            pid = place == PLACE_HIDDEN ? -pid : pid;
            if (place != PLACE_ELSEWHERE && write(out, &pid, sizeof(pid)) != sizeof(pid)) {
                _exit(1);
            }
        }
        _exit(0);
    }
    _exit(1);
}

static bool scan_hidden(FolderScan *scan, Err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return err_set_errno(err, errno, "cannot make a pipe");
    }
    CLEANUP(fd_close) int in = fds[0];
    CLEANUP(fd_close) int out = fds[1];
    pid_t child = fork();
    if (child < 0) {
        return err_set_errno(err, errno, "cannot fork");
    }
    if (child == 0) {
        look_as_owner(scan, out);
    }
    fd_close(&out);
    bool seen = true;
    for (pid_t pid; read(in, &pid, sizeof(pid)) == sizeof(pid);) {
        if (pid > 0) {
            vec_push(&scan->inside, pid);
        } else {
            seen = false;
        }
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return (seen && WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
           err_set(err, ERR_DENIED, "cannot see where the processes of uid %u work",
                   (unsigned)scan->owner);
}

static void scan_done(FolderScan *scan)
{
    mem_free(scan->dir);
    vec_done(&scan->inside);
    vec_done(&scan->hidden);
}

static bool scan_run(FolderScan *scan, Err *err)
{
    scan->inside.len = 0;
    scan->hidden.len = 0;
    TRY(procs_each(scan_one, scan, err));
    if (scan->hidden.len == 0 || scan->owner == geteuid()) {
        return true; /* whom his own account may not look at has rights that no engine was given */
    }
    if (geteuid() != 0) {
        return err_set(err, ERR_DENIED, "cannot see where the processes of uid %u work",
                       (unsigned)scan->owner);
    }
    return scan_hidden(scan, err);
}

/* ---- killing them -----------------------------------------------------------------------------
 */

static bool still_here(const FolderScan *scan, Err *err)
{
    char pids[NAMED_MAX * 16] = "";
    for (size_t i = 0; i < scan->inside.len && i < NAMED_MAX; i++) {
        size_t len = strlen(pids);
        snprintf(pids + len, sizeof(pids) - len, " %d", (int)scan->inside.items[i]);
    }
    return err_set(err, ERR_TIMEOUT, "%zu processes in %s do not die (pids%s%s): is its disk hung?",
                   scan->inside.len, scan->dir, pids, scan->inside.len > NAMED_MAX ? " …" : "");
}

static bool pids_have(const Pids *pids, pid_t pid)
{
    for (size_t i = 0; i < pids->len; i++) {
        if (pids->items[i] == pid) {
            return true;
        }
    }
    return false;
}

/* Through a pidfd, after another look: the number may be somebody else's by now. */
static bool signal_inside(const FolderScan *scan, pid_t pid, int signal)
{
    CLEANUP(fd_close) int fd = pidfd_open(pid, 0);
    return fd >= 0 && proc_place(pid, scan->dir) != PLACE_ELSEWHERE &&
           pidfd_send_signal(fd, signal, NULL, 0) == 0;
}

/* Scans until two in a row find nobody: a process may have been born behind the first one's back.
 */
static bool kill_until_gone(FolderScan *scan, Pids *killed, int64_t timeout_ms, Err *err)
{
    int64_t end = time_mono_ms() + timeout_ms;
    for (int empty = 0; empty < 2;) {
        TRY(scan_run(scan, err));
        if (scan->inside.len == 0) {
            empty++;
            continue;
        }
        empty = 0;
        if (time_mono_ms() >= end) {
            return still_here(scan, err);
        }
        for (size_t i = 0; i < scan->inside.len; i++) {
            pid_t pid = scan->inside.items[i];
            (void)signal_inside(scan, pid, SIGKILL);
            if (!pids_have(killed, pid)) {
                vec_push(killed, pid);
            }
        }
        poll(NULL, 0, SCAN_PAUSE_MS);
    }
    return true;
}

static bool scan_init(FolderScan *scan, const char *dir, Err *err)
{
    struct stat info;
    CLEANUP(mem_free_ptr) char *real = realpath(dir, NULL);
    if (real == NULL || stat(real, &info) != 0) {
        return err_set_errno(err, errno, "cannot look into %s", dir);
    }
    if (strcmp(real, "/") == 0) {
        return err_set(err, ERR_INVALID, "'/' is no data directory");
    }
    *scan = (FolderScan){.dir = real, .owner = info.st_uid, .group = info.st_gid};
    real = NULL;
    return true;
}

bool guard_kill_orphans(const char *dir, int64_t timeout_ms, size_t *ret_killed, Err *err)
{
    FolderScan scan;
    Pids killed = {0};
    TRY(scan_init(&scan, dir, err));
    bool ok = kill_until_gone(&scan, &killed, timeout_ms, err);
    if (ok) {
        *ret_killed = killed.len;
    }
    vec_done(&killed);
    scan_done(&scan);
    return ok;
}

bool guard_signal_folder(const char *dir, int signal, size_t *ret_count, Err *err)
{
    FolderScan scan;
    TRY(scan_init(&scan, dir, err));
    bool ok = scan_run(&scan, err);
    for (size_t i = 0; ok && i < scan.inside.len; i++) {
        *ret_count += signal_inside(&scan, scan.inside.items[i], signal);
    }
    scan_done(&scan);
    return ok;
}
