/*
 * Data-plane processes, seen from the agent. Each holds the lock RUN/plane/ID.lock for life, so
 * that its pid is found after a restart of ours, and connects to RUN/agent.sock to be told its
 * configuration. A process that is missing is started; one that runs is never started twice. What
 * they report is written to plane/ID/seen/HOST by a job, one at a time per plane.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/plane_parts_priv.h"

#define LOOK_MS            200
#define SPAWN_AGAIN_MS     1000
#define SPAWN_AGAIN_MAX_MS 10000
#define SEAT_FREE_MS       2000 /* that a leaving process has to take its seat again */
#define LOGS_LOOK_MS       (60 * MS_PER_S)
#define STOP_GRACE_MS      5000 /* then SIGKILL */
#define SEEN_INTERVAL_MS   1000
#define CONFIG_AGAIN_MS    5000

/* ---- finding and starting ---------------------------------------------------------------------
 */

static char *plane_path(const Planes *planes, const char *id, const char *suffix)
{
    return mem_printf("%s/plane/%s%s", planes->options.run_dir, id, suffix);
}

/* The pid of a process of the plane, serving or leaving; 0 when there is none. */
static pid_t plane_pid(const Plane *plane)
{
    CLEANUP(mem_free_ptr) char *path = plane_path(plane->planes, plane->id, ".lock");
    pid_t pid;
    return file_lock_holder(path, &pid, NULL) ? pid : 0;
}

/* Of the one that serves: who holds the first byte. */
static pid_t plane_seat_pid(const Plane *plane)
{
    CLEANUP(mem_free_ptr) char *path = plane_path(plane->planes, plane->id, ".lock");
    pid_t pid;
    return file_byte_holder(path, 0, &pid, NULL) ? pid : 0;
}

/* A leaving process takes the seat again where its successor has died: it gets some time to. */
static bool is_missing(Plane *plane)
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

static void plane_spawn(Plane *plane)
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
static bool spawned_runs(Plane *plane)
{
    struct pollfd entry = {.fd = plane->spawned_fd, .events = POLLIN};
    if (plane->spawned_fd >= 0 && poll(&entry, 1, 0) > 0) {
        fd_close(&plane->spawned_fd);
    }
    return plane->spawned_fd >= 0;
}

/* ---- what was seen ----------------------------------------------------------------------------
 */

static bool seen_store(Plane *plane, Err *err)
{
    Store *store = plane->planes->options.store;
    CLEANUP(mem_free_ptr)
    char *key = mem_printf("plane/%s/seen/%s", plane->id, plane->planes->options.host);
    if (plane->seen_revision < 0) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        StoreItem item;
        bool there = store_get(store, slice_of(key), arena, &item, err);
        if (!there && err->code != ERR_NOT_FOUND) {
            return false;
        }
        plane->seen_revision = there ? item.mod_revision : 0;
    }
    Slice text = slice_of(plane->job_text);
    int64_t revision = 0;
    bool ok = plane->seen_revision == 0
                  ? store_create(store, slice_of(key), text, &revision, err)
                  : store_update(store, slice_of(key), plane->seen_revision, text, &revision, err);
    plane->seen_revision = ok ? revision : -1;
    return ok;
}

static void seen_job_run(void *arg, const Job *job)
{
    (void)job;
    Plane *plane = arg;
    Err err;
    plane->job_failed = !seen_store(plane, &err) && !seen_store(plane, &err);
    if (plane->job_failed) {
        log_warn("agent", "plane %s: cannot write what was seen: %s", plane->id, err.message);
    }
}

static void plane_free(Plane *plane)
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

static void seen_job_done(void *arg)
{
    Plane *plane = arg;
    plane->in_job = false;
    plane->report_changed = plane->report_changed || plane->job_failed; /* once more */
    if (plane->goal == NULL) {
        plane_free(plane);
    }
}

static void seen_write(Plane *plane)
{
    int64_t now = loop_now_ms(plane->planes->options.loop);
    if (!plane->report_changed || plane->in_job ||
        now - plane->seen_written_ms < SEEN_INTERVAL_MS) {
        return;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    mem_free(plane->job_text);
    plane->job_text = mem_printf("%.*s", SLICE_FMT(record_format(arena, plane->report)));
    plane->report_changed = false;
    plane->seen_written_ms = now;
    plane->in_job =
        jobs_submit(plane->planes->options.jobs, seen_job_run, seen_job_done, plane, NULL, NULL);
    plane->report_changed = !plane->in_job;
}

void plane_report(Plane *plane, const char *member, json_t *value, bool important)
{
    if (json_equal(json_object_get(plane->report, member), value)) {
        json_decref(value);
        return;
    }
    json_object_set_new(plane->report, member, value);
    plane->report_changed = true;
    if (important) {
        plane->seen_written_ms = 0;
        seen_write(plane);
    }
}

/* ---- the conversation -------------------------------------------------------------------------
 */

static void send_message(Stream *stream, const json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    size_t len = strlen(text);
    stream_write(stream, slice_from(text, len));
    stream_write(stream, SLICE("\n"));
    crypto_wipe(text, len);
    free(text);
}

void plane_config_done(PlaneConfig *config)
{
    mem_free(config->aim);
    *config = (PlaneConfig){0};
}

static char *aim_of(const Plane *plane)
{
    Buf aim;
    buf_init(&aim, BUF_MAX_DEFAULT);
    plane_config_aim(&plane->planes->options, json_object_get(plane->goal, "config"), &aim);
    char *text = mem_strdup(buf_str(&aim));
    buf_done(&aim);
    return text;
}

bool plane_config_put(Plane *plane, Stream *stream, PlaneConfig *ret_config, Err *err)
{
    /* The aim first: who leads from now on is news again. */
    PlaneConfig put = {.epoch = plane->epoch, .aim = aim_of(plane)};
    json_t *config = NULL;
    if (!plane_config_expand(&plane->planes->options, json_object_get(plane->goal, "config"),
                             &config, err)) {
        plane_config_done(&put);
        return false;
    }
    json_t *message = json_pack("{s:o, s:I}", "config", config, "epoch", (json_int_t)put.epoch);
    send_message(stream, message);
    json_decref(message);
    plane_config_done(ret_config);
    *ret_config = put;
    return true;
}

static bool is_told(const Plane *plane)
{
    if (plane->told.epoch != plane->epoch) {
        return false;
    }
    CLEANUP(mem_free_ptr) char *aim = aim_of(plane);
    return strcmp(aim, plane->told.aim) == 0;
}

static void config_send(Plane *plane)
{
    if (plane->stream == NULL || plane->goal == NULL || plane->stop_asked_ms != 0 ||
        is_told(plane)) {
        return;
    }
    Err err;
    int64_t now = loop_now_ms(plane->planes->options.loop);
    if (!plane_config_put(plane, plane->stream, &plane->told, &err)) {
        plane_report(plane, "error", json_string(err.message), true);
        plane->again_ms = now + CONFIG_AGAIN_MS;
        return;
    }
    plane->again_ms = now + CERT_RENEW_MS;
}

static void stop_send(Plane *plane)
{
    if (plane->stop_asked_ms == 0) {
        plane->stop_asked_ms = loop_now_ms(plane->planes->options.loop);
        if (plane->stream != NULL) {
            json_t *message = json_pack("{s:b}", "stop", 1);
            send_message(plane->stream, message);
            json_decref(message);
        }
    }
}

void plane_tell(Plane *plane, const char *category, const char *message)
{
    const AgentOptions *options = &plane->planes->options;
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *key = NULL;
    ResourceType type = RESOURCE_DB_PROXY;
    (void)resource_type_parse(slice_of(member_str(plane->goal, "resource", "")), &type);
    CLEANUP(record_free_ptr)
    json_t *record = event_new(arena, time_wall_ms(), type,
                               member_str(plane->goal, "identifier", ""), category, message, &key);
    Err err;
    if (!store_create(options->store, slice_of(key), record_format(arena, record), NULL, &err)) {
        log_warn("agent", "event not kept: %s", err.message);
    }
}

static bool plane_message(Plane *plane, const json_t *message)
{
    json_t *status = json_object_get(message, "status");
    json_t *event = json_object_get(message, "event");
    if (json_object_get(message, "applied") != NULL) {
        json_object_del(plane->report, "error");
        plane->served = true;
        plane->spawn_wait_ms = SPAWN_AGAIN_MS;
        plane_report(plane, "state", json_string("running"), false);
        plane_report(plane, "applied", json_incref(json_object_get(message, "applied")), true);
    } else if (json_object_get(message, "refused") != NULL) {
        plane_report(plane, "error", json_incref(json_object_get(message, "error")), true);
        plane->again_ms = loop_now_ms(plane->planes->options.loop) + CONFIG_AGAIN_MS;
    } else if (status != NULL) {
        plane_report(plane, "status", json_incref(status), false);
    } else if (event != NULL) {
        plane_tell(plane, "notification", member_str(event, "message", ""));
    }
    return true;
}

size_t plane_lines(Slice data, bool (*take)(Plane *plane, const json_t *message), Plane *plane)
{
    size_t done = 0;
    const char *end;
    while ((end = memchr(data.data + done, '\n', data.len - done)) != NULL) {
        Slice line = slice_from(data.data + done, (size_t)(end - data.data) - done);
        done = (size_t)(end - data.data) + 1;
        json_t *message = NULL;
        bool go_on = !record_parse(line, &message, NULL) || take(plane, message);
        json_decref(message);
        if (!go_on || done == data.len) {
            break;
        }
    }
    return done;
}

static size_t on_plane_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    return plane_lines(data, plane_message, user);
}

static void on_plane_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    Plane *plane = user;
    plane->stream = NULL;
    if (plane->heir.pid == 0) { /* it has made room for that one, or that one takes the seat */
        plane_report(plane, "state", json_string("starting"), false);
    }
}

static const StreamHandlers plane_handlers = {.on_read = on_plane_read,
                                              .on_closed = on_plane_closed};

void plane_seat(Plane *plane, Stream *stream, pid_t pid, const PlaneConfig *told)
{
    if (plane->stream != NULL) {
        stream_abort(plane->stream);
    }
    plane->stream = stream;
    plane_config_done(&plane->told);
    plane->told = *told;
    stream_set_handlers(stream, &plane_handlers, plane);
    plane_report(plane, "pid", json_integer(pid), false);
    config_send(plane);
}

/* Only the process that has the plane's seat may speak for it, and the one that is to have it. */
static bool greeting_accept(Planes *planes, Stream *stream, const json_t *hello)
{
    Plane *plane = map_get(planes->planes, slice_of(member_str(hello, "id", "")));
    PeerCred peer;
    if (plane == NULL || !stream_peer_cred(stream, &peer, NULL)) {
        return false;
    }
    if (peer.pid != plane_seat_pid(plane)) {
        return plane_upgrade_greets(plane, stream, peer.pid, member_str(hello, "version", "?"));
    }
    snprintf(plane->version, sizeof(plane->version), "%s", member_str(hello, "version", "?"));
    plane_seat(plane, stream, peer.pid, &(PlaneConfig){0});
    return true;
}

static size_t on_greeting_read(void *user, Stream *stream, Slice data)
{
    Planes *planes = user;
    const char *end = memchr(data.data, '\n', data.len);
    if (end == NULL) {
        return 0;
    }
    json_t *message = NULL;
    size_t len = (size_t)(end - data.data);
    bool ok = record_parse(slice_from(data.data, len), &message, NULL) &&
              greeting_accept(planes, stream, json_object_get(message, "hello"));
    json_decref(message);
    if (!ok) {
        stream_abort(stream);
    }
    return len + 1;
}

static void on_greeting_closed(void *user, Stream *stream, const Err *err)
{
    (void)user;
    (void)stream;
    (void)err;
}

static const StreamHandlers greeting_handlers = {.on_read = on_greeting_read,
                                                 .on_closed = on_greeting_closed};

static void on_accept(void *user, int fd, const NetAddr *peer)
{
    (void)peer;
    Planes *planes = user;
    struct ucred peer_cred;
    socklen_t size = sizeof(peer_cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer_cred, &size) != 0 ||
        (peer_cred.uid != geteuid() && peer_cred.uid != planes->account.uid)) {
        close(fd);
        return;
    }
    const StreamOptions options = {
        .handlers = &greeting_handlers, .user = planes, .keep_max = PLANE_LINE_MAX};
    stream_adopt(planes->options.loop, fd, &options);
}

/* ---- looking after them -----------------------------------------------------------------------
 */

static void kill_process(const Plane *plane, pid_t pid)
{
    if (pid > 1) {
        kill(pid, SIGKILL);
    } else if (plane->spawned_fd >= 0) {
        pidfd_send_signal(plane->spawned_fd, SIGKILL, NULL, 0);
    }
}

/* True when no process is left. */
static bool plane_halt(Plane *plane)
{
    plane_upgrade_end(plane);
    pid_t pid = plane_pid(plane);
    if (pid == 0 && !spawned_runs(plane)) {
        return true;
    }
    stop_send(plane);
    if (loop_now_ms(plane->planes->options.loop) - plane->stop_asked_ms > STOP_GRACE_MS) {
        kill_process(plane, pid);
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
        if (plane_halt(plane)) {
            CLEANUP(mem_free_ptr) char *lock = plane_path(plane->planes, plane->id, ".lock");
            unlink(lock);
            plane_report(plane, "applied", json_integer(plane->epoch), false);
            plane_report(plane, "state", json_string("gone"), true);
        }
    } else if (plane->stream == NULL && plane->heir.pid == 0 && is_missing(plane) &&
               !spawned_runs(plane) &&
               (plane->spawned_ms == 0 || now - plane->spawned_ms > plane->spawn_wait_ms)) {
        plane_again(plane);
    } else if (plane->again_ms > 0 && now >= plane->again_ms) {
        plane_config_done(&plane->told);
        config_send(plane);
    } else {
        plane_upgrade_look(plane);
    }
    seen_write(plane);
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

static void goal_set(Planes *planes, Slice id, const StoreItem *item)
{
    json_t *goal = NULL;
    if (id.len > PLANE_NAME_MAX || !record_parse(item->value, &goal, NULL)) {
        return;
    }
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
    json_decref(plane->goal);
    plane->goal = goal;
    plane->epoch = item->mod_revision;
    config_send(plane);
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
        json_decref(plane->goal);
        plane->goal = NULL;
        if (!plane->in_job) {
            plane_free(plane);
        }
    }
}

static bool goals_load(Planes *planes, int64_t *ret_revision, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    StoreRange range;
    TRY(store_range(planes->options.store, SLICE("plane/"), (Slice){0}, 100000, arena, &range,
                    err));
    for (size_t i = 0; i < range.len; i++) {
        const StoreChange change = {.kind = STORE_PUT, .item = range.items[i]};
        goal_change(planes, &change);
    }
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
            config_send(value);
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

static bool listen_start(Planes *planes, Err *err)
{
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/agent.sock", planes->options.run_dir);
    NetAddr addr;
    const NetListenOptions options = {.mode =
                                          0666}; /* the peer's pid decides, see greeting_accept */
    return net_addr_parse(path, 0, &addr, err) &&
           net_listen(&addr, &options, &planes->listen_fd, err) &&
           listener_new(planes->options.loop, planes->listen_fd, on_accept, planes,
                        &planes->listener, err);
}

bool planes_new(const AgentOptions *options, Planes **ret_planes, Err *err)
{
    Planes *planes = mem_alloc(sizeof(Planes));
    planes->options = *options;
    planes->planes = map_new();
    planes->listen_fd = -1;
    int64_t revision = 0;
    bool ok = dirs_make(planes, err) && listen_start(planes, err) &&
              goals_load(planes, &revision, err) &&
              store_watch(options->store, SLICE("plane/"), revision, &planes->watch, err) &&
              loop_fd_add(options->loop, store_watch_fd(planes->watch), EPOLLIN, on_watch, planes,
                          &planes->watch_fd, err);
    if (!ok) {
        planes_free(planes);
        return false;
    }
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
        plane_free(value);
        cursor = 0;
    }
    map_free(planes->planes);
    mem_free(planes);
}
