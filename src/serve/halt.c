/*
 * Stopping a tier without its store: what is left when serve cannot be started (a full disk, a port
 * that somebody else has) and the tier shall end. Whoever runs is found by its lock in the runtime
 * folder; endpoints end first, then every engine by its own guard.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "client/client.h"
#include "guard/guard.h"
#include "serve/serve_priv.h"

#define ENDPOINTS_WAIT_MS 5000
#define ENGINE_WAIT_MS    30000
#define PAUSE_MS          50

char *tier_run_dir(const char *data_dir)
{
    ClientSettings settings;
    if (!client_settings_load(data_dir, &settings, NULL)) {
        return NULL;
    }
    char *run_dir = settings.run_dir != NULL && file_exists(settings.run_dir)
                        ? mem_strdup(settings.run_dir)
                        : NULL;
    client_settings_done(&settings);
    return run_dir;
}

/* Calls `visit` for each NAME.lock in the folder that somebody holds; returns how many there are.
 */
static size_t holders_visit(const char *folder,
                            void (*visit)(const char *name, pid_t pid, const void *user),
                            const void *user)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        Slice name = slice_of(entry->d_name);
        CLEANUP(mem_free_ptr) char *path = mem_printf("%s/%s", folder, entry->d_name);
        pid_t pid = 0;
        if (slice_ends(name, ".lock") && file_lock_holder(path, &pid, NULL) && pid > 1) {
            CLEANUP(mem_free_ptr)
            char *id = mem_printf("%.*s", (int)(name.len - strlen(".lock")), name.data);
            visit(id, pid, user);
            count++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return count;
}

/* `user` is the signal. */
static void endpoint_end(const char *name, pid_t pid, const void *user)
{
    (void)name;
    kill(pid, *(const int *)user);
}

/* `user` is the runtime folder. */
static void engine_end(const char *name, pid_t pid, const void *user)
{
    GuardExit end;
    Err err;
    (void)pid;
    if (!guard_stop(user, name, "fast", ENGINE_WAIT_MS, &end, &err)) {
        log_error("halt", "node %s: %s", name, err.message);
    }
}

static void endpoint_count(const char *name, pid_t pid, const void *user)
{
    (void)name;
    (void)pid;
    (void)user;
}

bool tier_runs(const char *run_dir)
{
    CLEANUP(mem_free_ptr) char *planes = mem_printf("%s/plane", run_dir);
    return holders_visit(planes, endpoint_count, NULL) > 0;
}

void tier_halt(const char *run_dir)
{
    CLEANUP(mem_free_ptr) char *planes = mem_printf("%s/plane", run_dir);
    CLEANUP(mem_free_ptr) char *guards = mem_printf("%s/guard", run_dir);
    static const int ask = SIGTERM;
    static const int force = SIGKILL;
    const struct timespec pause = {.tv_nsec = (long)PAUSE_MS * 1000000};
    int64_t end_ms = time_mono_ms() + ENDPOINTS_WAIT_MS;
    log_warn("halt", "every process of the tier in %s is stopped without its store", run_dir);
    /* Of several processes of one endpoint (docs/upgrade.md) one is seen at a time. */
    while (holders_visit(planes, endpoint_end, &ask) > 0 && time_mono_ms() < end_ms) {
        nanosleep(&pause, NULL);
    }
    while (holders_visit(planes, endpoint_end, &force) > 0 &&
           time_mono_ms() < end_ms + ENDPOINTS_WAIT_MS) {
        nanosleep(&pause, NULL);
    }
    (void)holders_visit(guards, engine_end, run_dir);
}
