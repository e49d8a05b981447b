/*
 * Stopping a tier without its store: what is left when serve cannot be started (a full disk, a port
 * that somebody else has) and the tier shall end. Whoever runs is found by its lock in the runtime
 * folder; endpoints end first, then every engine by its own guard.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "guard/guard.h"
#include "model/model.h"
#include "serve/serve_priv.h"

#define ENDPOINTS_WAIT_MS 5000
#define ENGINE_WAIT_MS    30000
#define PAUSE_MS          50
#define CLIENT_FILE_MAX   ((size_t)64 << 10)

char *tier_run_dir(const char *data_dir)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/client.json", data_dir);
    CLEANUP(record_free_ptr) json_t *client = NULL;
    Buf text;
    buf_init(&text, CLIENT_FILE_MAX);
    bool ok = file_read(path, &text, NULL) && record_parse(buf_slice(&text), &client, NULL);
    if (text.data != NULL) {
        crypto_wipe(text.data, text.len);
    }
    buf_done(&text);
    const char *run_dir = ok ? member_str(client, "run_dir", "") : "";
    return run_dir[0] == '/' && file_exists(run_dir) ? mem_strdup(run_dir) : NULL;
}

static pid_t lock_holder(const char *path)
{
    CLEANUP(fd_close) int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    bool held = fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    return held ? lock.l_pid : 0;
}

/* Calls `visit` for each NAME.lock in the folder that somebody holds; returns how many there are.
 */
static size_t holders_visit(const char *folder, int signal,
                            void (*visit)(const char *name, pid_t pid, int signal, void *user),
                            void *user)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        Slice name = slice_of(entry->d_name);
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", folder, entry->d_name);
        pid_t pid = slice_ends(name, ".lock") ? lock_holder(path) : 0;
        if (pid > 1) {
            CLEANUP(mem_free_ptr)
            char *id = mem_printf("%.*s", (int)(name.len - strlen(".lock")), name.data);
            visit(id, pid, signal, user);
            count++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

static void endpoint_end(const char *name, pid_t pid, int signal, void *user)
{
    (void)name;
    (void)user;
    kill(pid, signal);
}

static void engine_end(const char *name, pid_t pid, int signal, void *user)
{
    GuardExit end;
    Err err;
    (void)pid;
    (void)signal;
    if (!guard_stop(user, name, "fast", ENGINE_WAIT_MS, &end, &err)) {
        log_error("halt", "node %s: %s", name, err.message);
    }
}

void tier_halt(const char *run_dir)
{
    CLEANUP(mem_free_ptr) char *planes = mem_printf("%s/plane", run_dir);
    CLEANUP(mem_free_ptr) char *guards = mem_printf("%s/guard", run_dir);
    CLEANUP(mem_free_ptr) char *own = mem_strdup(run_dir);
    const struct timespec pause = {.tv_nsec = (long)PAUSE_MS * 1000000};
    int64_t end_ms = time_mono_ms() + ENDPOINTS_WAIT_MS;
    log_warn("halt", "every process of the tier in %s is stopped without its store", run_dir);
    (void)holders_visit(planes, SIGTERM, endpoint_end, NULL);
    while (holders_visit(planes, 0, endpoint_end, NULL) > 0 && time_mono_ms() < end_ms) {
        nanosleep(&pause, NULL);
    }
    (void)holders_visit(planes, SIGKILL, endpoint_end, NULL);
    (void)holders_visit(guards, 0, engine_end, own);
}
