/*
 * Faults on purpose, for a tier that was brought up with --allow-chaos. Each does to a node's
 * processes, to its disk, or to its link what happens to them by itself some day; nobody else in
 * Weir is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "guard/guard.h"
#include "serve/chaos_priv.h"

#define STATUS_MS    1000
#define FILL_NAME    "weir-chaos-fill"
#define FILL_PIECE   ((off_t)64 << 20)
#define FILL_SMALLER ((off_t)4096) /* below it the disk counts as full */

/* ---- processes ---------------------------------------------------------------------------------
 */

static bool pid_signal(pid_t pid, int signal, size_t *ret_processes, Err *err)
{
    if (kill(pid, signal) != 0) {
        return err_set_errno(err, errno, "process %d", (int)pid);
    }
    (*ret_processes)++;
    return true;
}

static bool guard_pid_signal(const Victim *victim, int signal, size_t *ret_processes, Err *err)
{
    pid_t guard;
    return guard_find(victim->tier->run_dir, victim->node, &guard, err) &&
           pid_signal(guard, signal, ret_processes, err);
}

static bool kill_engine(const Victim *victim, size_t *ret_processes, Err *err)
{
    GuardStatus status;
    TRY(guard_status(victim->tier->run_dir, victim->node, STATUS_MS, &status, err));
    if (status.engine == 0) {
        return err_set(err, ERR_UNAVAILABLE, "the engine of %s does not run", victim->node);
    }
    return pid_signal(status.engine, SIGKILL, ret_processes, err);
}

static bool kill_guard(const Victim *victim, size_t *ret_processes, Err *err)
{
    return guard_pid_signal(victim, SIGKILL, ret_processes, err);
}

/* First nobody moves any more, so that none sees another's end. */
static bool stop_node(const Victim *victim, size_t *ret_processes, Err *err)
{
    return guard_pid_signal(victim, SIGSTOP, ret_processes, err) &&
           guard_signal_folder(victim->root, SIGSTOP, ret_processes, err);
}

static bool kill_node(const Victim *victim, size_t *ret_processes, Err *err)
{
    size_t stopped = 0;
    return stop_node(victim, &stopped, err) &&
           guard_signal_folder(victim->root, SIGKILL, ret_processes, err) &&
           guard_pid_signal(victim, SIGKILL, ret_processes, err);
}

/* Whoever is left of them. */
static bool continue_node(const Victim *victim, size_t *ret_processes, Err *err)
{
    if (!guard_pid_signal(victim, SIGCONT, ret_processes, err) && err->code != ERR_NOT_FOUND) {
        return false;
    }
    return guard_signal_folder(victim->root, SIGCONT, ret_processes, err);
}

/* ---- the disk ----------------------------------------------------------------------------------
 */

/* A disk that others use as well is not ours to fill. */
static bool disk_is_own(const Victim *victim, Err *err)
{
    struct stat zone, root;
    if (stat(victim->root, &zone) != 0 || stat("/", &root) != 0) {
        return err_set_errno(err, errno, "cannot look at %s", victim->root);
    }
    return zone.st_dev != root.st_dev ||
           err_set(err, ERR_CONFLICT,
                   "%s is on the host's own disk, which others need: put the tier's folder on a "
                   "file system of its own to fill it",
                   victim->root);
}

static bool fill_disk(const Victim *victim, size_t *ret_processes, Err *err)
{
    (void)ret_processes;
    TRY(disk_is_own(victim, err));
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" FILL_NAME, victim->root);
    CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return err_set_errno(err, errno, "cannot write %s", path);
    }
    off_t at = lseek(fd, 0, SEEK_END);
    for (off_t piece = FILL_PIECE; piece >= FILL_SMALLER;) {
        int failed = posix_fallocate(fd, at, piece);
        if (failed == 0) {
            at += piece;
        } else if (failed == ENOSPC || failed == EDQUOT) {
            piece /= 2;
        } else {
            return err_set_errno(err, failed, "cannot fill %s", path);
        }
    }
    return true;
}

static bool empty_disk(const Victim *victim, size_t *ret_processes, Err *err)
{
    (void)ret_processes;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/" FILL_NAME, victim->root);
    return unlink(path) == 0 || errno == ENOENT ||
           err_set_errno(err, errno, "cannot remove %s", path);
}

/* ---- by name -----------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    FaultFn *fn;
} faults[] = {
    {"kill-engine", kill_engine},     {"kill-guard", kill_guard},     {"kill-node", kill_node},
    {"stop-node", stop_node},         {"cut-link", chaos_cut_link},   {"fill-disk", fill_disk},
    {"continue-node", continue_node}, {"mend-link", chaos_mend_link}, {"empty-disk", empty_disk},
};

static bool fault_find(const char *name, FaultFn **ret_fn, Err *err)
{
    Buf names;
    buf_init(&names, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (strcmp(faults[i].name, name) == 0) {
            buf_done(&names);
            *ret_fn = faults[i].fn;
            return true;
        }
        buf_printf(&names, "%s%s", i > 0 ? ", " : "", faults[i].name);
    }
    err_set(err, ERR_INVALID, "there is no fault %.40s; there are: %s", name, buf_str(&names));
    buf_done(&names);
    return false;
}

/* NULL: it has none. */
static char *node_folder(const Tier *tier, const char *node)
{
    for (const char *zone = MODEL_ZONES; *zone != '\0'; zone++) {
        char *path = mem_printf("%s/zone-%c/%s", tier->data_dir, *zone, node);
        if (file_exists(path)) {
            return path;
        }
        mem_free(path);
    }
    return NULL;
}

bool chaos_inject(const Tier *tier, const char *fault, const char *node, size_t *ret_processes,
                  Err *err)
{
    FaultFn *fn;
    TRY(fault_find(fault, &fn, err));
    CLEANUP(mem_free_ptr) char *root = node_folder(tier, node);
    if (root == NULL) {
        return err_set(err, ERR_NOT_FOUND, "node %s has no folder on this host", node);
    }
    const Victim victim = {.tier = tier, .node = node, .root = root};
    log_warn("serve", "chaos: %s of node %s, as it was asked for", fault, node);
    return fn(&victim, ret_processes, err);
}
