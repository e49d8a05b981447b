/*
 * The processes of a plane: found, started, killed. Each holds the lock RUN/plane/ID.lock for life,
 * so that its pid is found after a restart of ours. Nothing of a process is kept in memory that the
 * lock does not tell, but for the one that was started last and may not have its lock yet.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>

#include "agent/plane/plane_parts_priv.h"

#define SEAT_FREE_MS 2000 /* that a leaving process has to take its seat again */

char *plane_lock_path(const Plane *plane)
{
    return mem_printf("%s/plane/%s.lock", plane->planes->options.run_dir, plane->id);
}

/* The pid of a process of the plane, serving or leaving; 0 when there is none. */
pid_t plane_pid(const Plane *plane)
{
    CLEANUP(mem_free_ptr) char *path = plane_lock_path(plane);
    pid_t pid;
    return file_lock_holder(path, &pid, NULL) ? pid : 0;
}

/* Of the one that serves: who holds the first byte. */
pid_t plane_seat_pid(const Plane *plane)
{
    CLEANUP(mem_free_ptr) char *path = plane_lock_path(plane);
    pid_t pid;
    return file_byte_holder(path, 0, &pid, NULL) ? pid : 0;
}

/* A leaving process takes the seat again where its successor has died: it gets some time to. */
bool plane_is_missing(Plane *plane)
{
    int64_t now = loop_now_ms(plane->planes->options.loop);
    if (plane_seat_pid(plane) != 0) {
        plane->unseated_ms = 0;
        return false;
    }
    plane->unseated_ms = plane->unseated_ms == 0 ? now : plane->unseated_ms;
    return plane_pid(plane) == 0 || now - plane->unseated_ms > SEAT_FREE_MS;
}

bool plane_start(Plane *plane, pid_t *ret_pid, int *ret_pidfd, Err *err)
{
    const AgentOptions *options = &plane->planes->options;
    const char *command =
        strcmp(member_str(plane->goal, "kind", ""), "front") == 0 ? "front" : "proxy";
    const char *const argv[] = {options->program, command,          "--id", plane->id,
                                "--run",          options->run_dir, NULL};
    CLEANUP(mem_free_ptr) char *log_path = mem_printf("%s/log/%s.log", options->run_dir, plane->id);
    CLEANUP(fd_close)
    int log_fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
    const SpawnSpec spec = {.argv = argv,
                            .cwd = "/",
                            .account = plane->planes->account,
                            .held_fd = options->net_fd,
                            .log_fd = log_fd};
    return process_spawn(&spec, ret_pid, ret_pidfd, err);
}

void plane_spawn(Plane *plane)
{
    Err err;
    pid_t pid;
    plane->spawned_ms = loop_now_ms(plane->planes->options.loop);
    fd_close(&plane->spawned_fd);
    if (!plane_start(plane, &pid, &plane->spawned_fd, &err)) {
        log_error("agent", "plane %s: %s", plane->id, err.message);
    }
}

/* Whether the process that was started last has not ended yet. */
bool plane_spawned_runs(Plane *plane)
{
    struct pollfd entry = {.fd = plane->spawned_fd, .events = POLLIN};
    if (plane->spawned_fd >= 0 && poll(&entry, 1, 0) > 0) {
        fd_close(&plane->spawned_fd);
    }
    return plane->spawned_fd >= 0;
}

void plane_kill(const Plane *plane, pid_t pid)
{
    if (pid > 1) {
        kill(pid, SIGKILL);
    } else if (plane->spawned_fd >= 0) {
        pidfd_send_signal(plane->spawned_fd, SIGKILL, NULL, 0);
    }
}
