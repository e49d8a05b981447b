/*
 * A view of /etc/hosts for one command: a mount namespace in which a file of ours covers it. The
 * file lies on a tmpfs that only the namespace holds, so nothing is left behind whenever and
 * however the command ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/run/run_priv.h"

#define HOSTS_PATH     "/etc/hosts"
#define LOOKUP_LIMIT_S 5

/* ---- the namespaces ----------------------------------------------------------------------- */

static bool proc_write(const char *path, const char *text, Err *err)
{
    CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_set_errno(err, errno, "opening %s", path);
    }
    return fd_write_all(fd, text, strlen(text), err) || err_wrap(err, "%s", path);
}

static bool id_map_write(const char *path, unsigned id, Err *err)
{
    char text[32];
    snprintf(text, sizeof(text), "%u %u 1", id, id);
    return proc_write(path, text, err);
}

/* Root of its own mounts, and otherwise who it was. */
static bool user_space_enter(Err *err)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER) != 0) {
        return err_set_errno(err, errno, "making a user namespace");
    }
    return proc_write("/proc/self/setgroups", "deny", err) &&
           id_map_write("/proc/self/uid_map", uid, err) &&
           id_map_write("/proc/self/gid_map", gid, err);
}

/* ---- the file ----------------------------------------------------------------------------- */

static bool hosts_make(const char *path, Slice text, Err *err)
{
    struct stat real;
    if (stat(HOSTS_PATH, &real) != 0) {
        return err_set_errno(err, errno, "there must be an " HOSTS_PATH);
    }
    CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return err_set_errno(err, errno, "making a hosts file");
    }
    TRY(fd_write_all(fd, text.data, text.len, err));
    if (fchmod(fd, real.st_mode & 0777) != 0) {
        return err_set_errno(err, errno, "setting the mode of a hosts file");
    }
    return true;
}

static bool hosts_cover(const RunSpace *space, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/hosts", space->folder);
    if (mount("weir", space->folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755") != 0) {
        return err_set_errno(err, errno, "mounting a tmpfs");
    }
    bool ok = hosts_make(path, space->hosts, err);
    if (ok && mount(path, HOSTS_PATH, NULL, MS_BIND, NULL) != 0) {
        ok = err_set_errno(err, errno, "covering " HOSTS_PATH);
    }
    if (umount2(space->folder, MNT_DETACH) != 0 && ok) {
        ok = err_set_errno(err, errno, "uncovering %s", space->folder);
    }
    return ok;
}

bool run_space_enter(const RunSpace *space, Err *err)
{
    if (geteuid() != 0) {
        TRY(user_space_enter(err));
    }
    if (unshare(CLONE_NEWNS) != 0) {
        return err_set_errno(err, errno, "making a mount namespace");
    }
    /* Nothing of ours goes out; what others mount and unmount still comes in. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
        return err_set_errno(err, errno, "making the mounts private");
    }
    return hosts_cover(space, err);
}

/* ---- trying it ---------------------------------------------------------------------------- */

/* Asks as programs do: what comes before the hosts file is not ours to know. */
static bool name_is_found(const RunSpace *space, Err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char text[INET_ADDRSTRLEN] = "";
    int problem = getaddrinfo(space->name, NULL, &hints, &found);
    bool ok = problem == 0;
    for (const struct addrinfo *at = found; at != NULL && ok; at = at->ai_next) {
        const struct sockaddr_in *addr = (const struct sockaddr_in *)(const void *)at->ai_addr;
        ok = at->ai_family == AF_INET &&
             inet_ntop(AF_INET, &addr->sin_addr, text, sizeof(text)) != NULL &&
             strcmp(text, space->address) == 0;
    }
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return ok || err_set(err, ERR_UNSUPPORTED,
                         "programs here do not ask " HOSTS_PATH
                         " first: put \"files\" first in the line \"hosts:\" of "
                         "/etc/nsswitch.conf, and let nscd not cache hosts");
}

NORETURN static void child_try(const RunSpace *space, int report)
{
    Err err = {0};
    sigset_t alarm_only;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    signal(SIGALRM, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
    alarm(LOOKUP_LIMIT_S); /* where it is the network that is asked */
    if (run_space_enter(space, &err) && name_is_found(space, &err)) {
        err = (Err){0};
    }
    ssize_t len = write(report, &err, sizeof(err));
    _exit(len == (ssize_t)sizeof(err) ? 0 : 1);
}

bool run_space_try(const RunSpace *space, Err *err)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0) {
        return err_set_errno(err, errno, "making a pipe");
    }
    pid_t pid = fork();
    if (pid == 0) {
        child_try(space, pipes[1]);
    }
    int fork_errno = errno;
    fd_close(&pipes[1]);
    Err report;
    ssize_t len = pid > 0 ? read(pipes[0], &report, sizeof(report)) : -1;
    fd_close(&pipes[0]);
    if (pid < 0) {
        return err_set_errno(err, fork_errno, "forking");
    }
    waitpid(pid, NULL, 0);
    if (len != (ssize_t)sizeof(report)) { /* the alarm */
        return err_set(err, ERR_TIMEOUT, "names are not found within %d s", LOOKUP_LIMIT_S);
    }
    if (report.code != ERR_NONE && err != NULL) {
        *err = report;
    }
    return report.code == ERR_NONE;
}
