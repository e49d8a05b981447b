/*
 * A data-plane process of another version than ours is replaced: the new binary is started beside
 * it, asks it for its place, and gets the configuration from us (docs/upgrade.md, "In a tier"). One
 * process of the tier at a time. Whatever goes wrong with the new one leaves the old one where it
 * is; then it is tried again, less and less often.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "agent/plane/plane_parts_priv.h"

#define UPGRADE_MS           40000 /* from the heir's start to its place */
#define UPGRADE_AGAIN_MS     10000
#define UPGRADE_AGAIN_MAX_MS 600000

static int64_t now_of(const Plane *plane)
{
    return loop_now_ms(plane->planes->options.loop);
}

static bool heir_ended(const PlaneHeir *heir)
{
    struct pollfd entry = {.fd = heir->pidfd, .events = POLLIN};
    return poll(&entry, 1, 0) > 0;
}

/* What is left of the attempt; the wait stays. */
static void heir_forget(Plane *plane)
{
    PlaneHeir *heir = &plane->heir;
    fd_close(&heir->pidfd);
    plane_config_done(&heir->told);
    *heir = (PlaneHeir){.pidfd = -1, .again_ms = heir->again_ms, .wait_ms = heir->wait_ms};
    if (plane->planes->upgrading == plane) {
        plane->planes->upgrading = NULL;
    }
}

void plane_upgrade_end(Plane *plane)
{
    PlaneHeir *heir = &plane->heir;
    if (heir->pid == 0) {
        return;
    }
    if (heir->stream != NULL) {
        stream_abort(heir->stream);
    }
    pidfd_send_signal(heir->pidfd, SIGKILL, NULL, 0);
    heir_forget(plane);
}

static void upgrade_failed(Plane *plane, const char *why)
{
    PlaneHeir *heir = &plane->heir;
    bool first = heir->wait_ms == 0;
    plane_upgrade_end(plane);
    heir->wait_ms = first ? UPGRADE_AGAIN_MS : 2 * heir->wait_ms;
    heir->wait_ms = heir->wait_ms < UPGRADE_AGAIN_MAX_MS ? heir->wait_ms : UPGRADE_AGAIN_MAX_MS;
    heir->again_ms = now_of(plane) + heir->wait_ms;
    CLEANUP(mem_free_ptr)
    char *message = mem_printf("The endpoint of %s (process %s) could not be upgraded to %s: %s. "
                               "The process of version %s goes on serving.",
                               member_str(plane->goal, "identifier", ""), plane->id, weir_version,
                               why, plane->version);
    log_warn("agent", "%s", message);
    if (first) {
        plane_tell(plane, "notification", message);
    }
    if (plane->stream == NULL) {
        plane_report(plane, "state", json_string("starting"), false);
    }
}

static void upgrade_done(Plane *plane)
{
    PlaneHeir *heir = &plane->heir;
    int64_t epoch = heir->told.epoch;
    CLEANUP(mem_free_ptr)
    char *message = mem_printf(
        "The endpoint of %s (process %s) was upgraded from version %s to %s.",
        member_str(plane->goal, "identifier", ""), plane->id, plane->version, weir_version);
    log_info("agent", "%s", message);
    plane_tell(plane, "maintenance", message);
    snprintf(plane->version, sizeof(plane->version), "%s", weir_version);
    plane_seat(plane, heir->stream, heir->pid, &heir->told);
    heir->told = (PlaneConfig){0};
    fd_close(&plane->spawned_fd);
    plane->spawned_fd = heir->pidfd;
    plane->served = true;
    plane_report(plane, "applied", json_integer(epoch), false);
    plane_report(plane, "state", json_string("running"), true);
    heir->pidfd = -1;
    heir->wait_ms = heir->again_ms = 0;
    heir_forget(plane);
}

/* ---- the conversation --------------------------------------------------------------------------
 */

static bool heir_message(Plane *plane, const json_t *message)
{
    const json_t *applied = json_object_get(message, "applied");
    if (applied != NULL) {
        upgrade_done(plane);
        return false; /* what follows is the serving process's */
    }
    if (json_object_get(message, "refused") != NULL) {
        CLEANUP(mem_free_ptr) char *why = mem_strdup(member_str(message, "error", "no reason"));
        upgrade_failed(plane, why);
        return false;
    }
    return true;
}

static size_t on_heir_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    return plane_lines(data, heir_message, user);
}

static void on_heir_closed(void *user, Stream *stream, const Err *err)
{
    Plane *plane = user;
    (void)stream;
    (void)err;
    plane->heir.stream = NULL;
    upgrade_failed(plane, "the new process has ended");
}

static const StreamHandlers heir_handlers = {.on_read = on_heir_read, .on_closed = on_heir_closed};

/* One of another version than ours would be replaced again, and again. */
static bool is_of_ours(Plane *plane, const char *version)
{
    if (strcmp(version, weir_version) == 0) {
        return true;
    }
    CLEANUP(mem_free_ptr)
    char *why =
        mem_printf("the program is of version %s by now, and serve is not: restart serve", version);
    upgrade_failed(plane, why);
    return false;
}

bool plane_upgrade_greets(Plane *plane, Stream *stream, pid_t pid, const char *version)
{
    PlaneHeir *heir = &plane->heir;
    Err err;
    if (heir->pid == 0 || pid != heir->pid || heir->stream != NULL || !is_of_ours(plane, version)) {
        return false;
    }
    heir->stream = stream;
    stream_set_handlers(stream, &heir_handlers, plane);
    if (!plane_config_put(plane, stream, &heir->told, &err)) {
        heir->stream = NULL; /* the caller closes it */
        upgrade_failed(plane, err.message);
        return false;
    }
    return true;
}

/* ---- beginning, and giving up ------------------------------------------------------------------
 */

static bool is_wanted(const Plane *plane)
{
    return plane->stream != NULL && plane->served && plane->version[0] != '\0' &&
           strcmp(plane->version, weir_version) != 0 && plane->planes->upgrading == NULL &&
           !plane->planes->stopping && plane->stop_asked_ms == 0 &&
           now_of(plane) >= plane->heir.again_ms;
}

static void upgrade_begin(Plane *plane)
{
    PlaneHeir *heir = &plane->heir;
    Err err;
    log_info("agent", "plane %s: version %s is to take the place of version %s", plane->id,
             weir_version, plane->version);
    plane->planes->upgrading = plane;
    heir->begun_ms = now_of(plane);
    if (!plane_start(plane, &heir->pid, &heir->pidfd, &err)) {
        heir->pid = 0;
        plane->planes->upgrading = NULL;
        upgrade_failed(plane, err.message);
    }
}

void plane_upgrade_look(Plane *plane)
{
    const PlaneHeir *heir = &plane->heir;
    if (heir->pid == 0) {
        if (is_wanted(plane)) {
            upgrade_begin(plane);
        }
    } else if (heir_ended(heir)) {
        upgrade_failed(plane, "the new process has ended");
    } else if (now_of(plane) - heir->begun_ms > UPGRADE_MS) {
        upgrade_failed(plane, "the new process does not get ready");
    }
}
