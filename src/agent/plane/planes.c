/*
 * Data-plane processes, seen from the agent: goals come from the store, and each plane is looked
 * after by them. A process that is missing is started; one that runs is never started twice; one
 * whose plane is gone is stopped, also where this host was away when it went. process.c finds
 * and starts it, talk.c tells it its configuration, seen.c writes what it reports.
 */
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

#include "agent/plane/plane_parts_priv.h"

#define LOOK_MS            200
#define SPAWN_AGAIN_MAX_MS 10000
#define LOGS_LOOK_MS       (60 * MS_PER_S)
#define STOP_GRACE_MS      5000 /* then SIGKILL */

/* ---- looking after them -----------------------------------------------------------------------
 */

/* True when no process is left. */
static bool plane_halt(Plane *plane)
{
    plane_upgrade_end(plane);
    pid_t pid = plane_pid(plane);
    if (pid == 0 && !plane_spawned_runs(plane)) {
        return true;
    }
    plane_stop_send(plane);
    if (loop_now_ms(plane->planes->options.loop) - plane->stop_asked_ms > STOP_GRACE_MS) {
        plane_kill(plane, pid);
    }
    return false;
}

/* Tells users that a process which served has ended unasked. */
static void plane_again(Plane *plane)
{
    if (plane->served) {
        CLEANUP(mem_free_ptr)
        char *message = mem_printf("The endpoint of %s (process %s) ended; it is started again.",
                                   member_str(plane->goal, "identifier", ""), plane->id);
        log_warn("agent", "%s", message);
        plane_tell(plane, "recovery", message);
        plane->served = false;
    } else if (plane->spawned_ms > 0) {
        plane->spawn_wait_ms = 2 * plane->spawn_wait_ms < SPAWN_AGAIN_MAX_MS
                                   ? 2 * plane->spawn_wait_ms
                                   : SPAWN_AGAIN_MAX_MS;
    }
    plane_spawn(plane);
}

static void plane_look(Plane *plane)
{
    int64_t now = loop_now_ms(plane->planes->options.loop);
    if (member_bool(plane->goal, "gone", false)) {
        plane->ended = plane_halt(plane);
        if (plane->ended) {
            CLEANUP(mem_free_ptr) char *lock = plane_lock_path(plane);
            unlink(lock);
            plane_report(plane, "applied", json_integer(plane->epoch), false);
            plane_report(plane, "state", json_string("gone"), true);
        }
    } else if (plane->stream == NULL && plane->heir.pid == 0 && plane_is_missing(plane) &&
               !plane_spawned_runs(plane) &&
               (plane->spawned_ms == 0 || now - plane->spawned_ms > plane->spawn_wait_ms)) {
        plane_again(plane);
    } else if (plane->again_ms > 0 && now >= plane->again_ms) {
        plane_config_done(&plane->told);
        plane_config_send(plane);
    } else {
        plane_upgrade_look(plane);
    }
    plane_seen_write(plane);
}

static void orphans_drop(Planes *planes)
{
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(planes->planes, &cursor, &id, &value)) {
        Plane *plane = value;
        if (plane->orphan && plane->ended && !plane->in_job) {
            planes_drop(plane);
            cursor = 0;
        }
    }
}

/* Ours, and those of the processes. */
static void logs_look(Planes *planes)
{
    CLEANUP(mem_free_ptr) char *own = mem_printf("%s/weir.log", planes->options.data_dir);
    size_t cursor = 0;
    Slice id;
    void *value;
    Err err;
    bool ok = file_bound(own, LOG_BYTES_MAX, &err);
    while (ok && map_next(planes->planes, &cursor, &id, &value)) {
        CLEANUP(mem_free_ptr)
        char *path = mem_printf("%s/log/%.*s.log", planes->options.run_dir, SLICE_FMT(id));
        ok = file_bound(path, LOG_BYTES_MAX, &err);
    }
    if (!ok) {
        log_warn("agent", "%s", err.message);
    }
    planes->logs_look_ms = loop_now_ms(planes->options.loop) + LOGS_LOOK_MS;
}

static void on_look(void *user)
{
    Planes *planes = user;
    size_t cursor = 0;
    Slice id;
    void *value;
    if (loop_now_ms(planes->options.loop) >= planes->logs_look_ms) {
        logs_look(planes);
    }
    while (!planes->stopping && map_next(planes->planes, &cursor, &id, &value)) {
        plane_look(value);
    }
    orphans_drop(planes);
}

bool planes_stop(Planes *planes)
{
    planes->stopping = true;
    bool none = true;
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(planes->planes, &cursor, &id, &value)) {
        none = plane_halt(value) && none;
    }
    return none;
}

/* ---- goals ------------------------------------------------------------------------------------
 */

void planes_drop(Plane *plane)
{
    if (plane->stream != NULL) {
        stream_close(plane->stream);
    }
    plane_upgrade_end(plane);
    map_remove(plane->planes->planes, slice_of(plane->id));
    json_decref(plane->goal);
    json_decref(plane->report);
    fd_close(&plane->spawned_fd);
    plane_config_done(&plane->told);
    mem_free(plane->job_text);
    mem_free(plane);
}

static Plane *plane_get(Planes *planes, Slice id)
{
    Plane *plane = map_get(planes->planes, id);
    if (plane == NULL) {
        plane = mem_alloc(sizeof(Plane));
        plane->planes = planes;
        plane->seen_revision = -1;
        plane->spawned_fd = plane->heir.pidfd = -1;
        plane->spawn_wait_ms = SPAWN_AGAIN_MS;
        plane->report = json_pack("{s:s}", "state", "starting");
        memcpy(plane->id, id.data, id.len);
        map_set(planes->planes, id, plane);
    }
    return plane;
}

/* Its process may still run: the goal may have gone while nobody here looked. */
static void goal_forget(Plane *plane)
{
    json_decref(plane->goal);
    plane->goal = json_pack("{s:b}", "gone", 1);
    plane->orphan = true;
}

static void goal_set(Planes *planes, Slice id, const StoreItem *item)
{
    json_t *goal = NULL;
    if (id.len > PLANE_NAME_MAX || !record_parse(item->value, &goal, NULL)) {
        return;
    }
    Plane *plane = plane_get(planes, id);
    json_decref(plane->goal);
    plane->goal = goal;
    plane->listed = true;
    plane->orphan = plane->ended = false;
    plane->epoch = item->mod_revision;
    plane_config_send(plane);
    if (!planes->stopping) {
        plane_look(plane);
    }
}

static void goal_change(Planes *planes, const StoreChange *change)
{
    Slice key = change->item.key;
    if (!slice_ends(key, "/goal")) {
        return;
    }
    Slice id = slice_from(key.data + 6, key.len - 6 - 5); /* plane/ID/goal */
    Plane *plane = map_get(planes->planes, id);
    if (change->kind == STORE_PUT) {
        goal_set(planes, id, &change->item);
    } else if (plane != NULL) {
        goal_forget(plane);
    }
}

static void listed_forget(Planes *planes, bool unlisted_go)
{
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(planes->planes, &cursor, &id, &value)) {
        Plane *plane = value;
        if (unlisted_go && !plane->listed && !plane->orphan) {
            goal_forget(plane);
        }
        plane->listed = plane->listed && unlisted_go;
    }
}

/* Those that run here from before, and whose goal is gone. */
static void orphans_find(Planes *planes)
{
    CLEANUP(mem_free_ptr) char *folder = mem_printf("%s/plane", planes->options.run_dir);
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        Slice name = slice_of(entry->d_name);
        if (!slice_ends(name, ".lock") || name.len - strlen(".lock") > PLANE_NAME_MAX) {
            continue;
        }
        Slice id = slice_from(name.data, name.len - strlen(".lock"));
        if (map_get(planes->planes, id) == NULL) {
            log_warn("agent", "process %.*s is of an endpoint that is gone, and ends",
                     SLICE_FMT(id));
            goal_forget(plane_get(planes, id));
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
}

static bool goals_load(Planes *planes, int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange range;
    TRY(store_range(planes->options.store, SLICE("plane/"), (Slice){0}, 100000, arena, &range,
                    err));
    listed_forget(planes, false);
    for (size_t i = 0; i < range.len; i++) {
        const StoreChange change = {.kind = STORE_PUT, .item = range.items[i]};
        goal_change(planes, &change);
    }
    listed_forget(planes, true);
    *ret_revision = range.revision;
    return true;
}

static void on_watch(void *user, uint32_t events)
{
    (void)events;
    Planes *planes = user;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreChange change;
    StoreWatchResult result;
    while ((result = store_watch_next(planes->watch, arena, &change)) != STORE_WATCH_NOTHING) {
        int64_t revision;
        Err err;
        if (result == STORE_WATCH_CHANGE) {
            goal_change(planes, &change);
        } else if (!goals_load(planes, &revision, &err)) {
            log_error("agent", "cannot read the goals again: %s", err.message);
        }
        arena_reset(arena);
    }
}

void planes_look(Planes *planes)
{
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(planes->planes, &cursor, &id, &value)) {
        const Plane *plane = value;
        if (plane->told.epoch != 0) { /* otherwise it comes, or cannot be made */
            plane_config_send(value);
        }
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* Root's planes run as an account of their own: they must reach the socket and hold their locks. */
static bool dirs_make(Planes *planes, Err *err)
{
    if (!engine_account(PLANE_ACCOUNT, &planes->account, err)) {
        return err_set(err, ERR_NOT_FOUND,
                       "the system has no account \"" PLANE_ACCOUNT "\": run `useradd --system "
                       "--no-create-home --shell /usr/sbin/nologin " PLANE_ACCOUNT "`");
    }
    CLEANUP(mem_free_ptr) char *log_dir = mem_printf("%s/log", planes->options.run_dir);
    CLEANUP(mem_free_ptr) char *dir = mem_printf("%s/plane", planes->options.run_dir);
    TRY(dir_make(log_dir, 0700, err));
    TRY(dir_make(dir, 0711, err));
    if (planes->account.drop && lchown(dir, planes->account.uid, planes->account.gid) != 0) {
        return err_set_errno(err, errno, "cannot give %s to the account " PLANE_ACCOUNT, dir);
    }
    return true;
}

bool planes_new(const AgentOptions *options, Planes **ret_planes, Err *err)
{
    Planes *planes = mem_alloc(sizeof(Planes));
    planes->options = *options;
    planes->planes = map_new();
    planes->listen_fd = -1;
    int64_t revision = 0;
    bool ok = dirs_make(planes, err) && planes_listen_start(planes, err) &&
              goals_load(planes, &revision, err) &&
              store_watch(options->store, SLICE("plane/"), revision, &planes->watch, err) &&
              loop_fd_add(options->loop, store_watch_fd(planes->watch), EPOLLIN, on_watch, planes,
                          &planes->watch_fd, err);
    if (!ok) {
        planes_free(planes);
        return false;
    }
    orphans_find(planes);
    loop_timer_start(options->loop, &planes->timer, LOOK_MS, LOOK_MS, on_look, planes);
    *ret_planes = planes;
    return true;
}

void planes_free(Planes *planes)
{
    if (planes == NULL) {
        return;
    }
    loop_timer_stop(&planes->timer);
    loop_fd_remove(planes->watch_fd);
    store_watch_close(planes->watch);
    listener_free(planes->listener);
    fd_close(&planes->listen_fd);
    size_t cursor = 0;
    Slice id;
    void *value;
    while (map_next(planes->planes, &cursor, &id, &value)) {
        planes_drop(value);
        cursor = 0;
    }
    map_free(planes->planes);
    mem_free(planes);
}
