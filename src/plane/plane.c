/*
 * One connection to the agent at a time, made again after each loss. Messages are lines of JSON. A
 * configuration that comes again is taken again: a file that it names may be another one by now.
 * What comes from the agent is trusted (its socket is its own), but a line that is no message is
 * refused and told, never guessed at.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/crypto.h"
#include "plane/plane.h"

#define PLANE_LOOK_MS 1000 /* of a leaving process, at its lock */

struct Plane {
    Loop *loop;
    const PlaneHandlers *handlers;
    void *user;
    char *id;
    char *socket_path;
    char *lock_path;
    const Succession *succession;
    Stream *stream; /* NULL between attempts */
    bool open;
    LoopTimer retry;
    char *status; /* the newest */
    bool status_sent;
    VEC(char *) events; /* not yet sent */
};

/* ---- arguments and the lock --------------------------------------------------------------------
 */

static bool id_valid(const char *id)
{
    size_t len = strlen(id);
    bool ok = len > 0 && len <= PLANE_ID_MAX && id[0] != '.';
    for (size_t i = 0; ok && i < len; i++) {
        char c = id[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    }
    return ok;
}

bool plane_args_parse(int argc, char **argv, PlaneArgs *ret_args, Err *err)
{
    PlaneArgs args = {0};
    for (int i = 1; i < argc; i += 2) {
        const char **to = strcmp(argv[i], "--id") == 0    ? &args.id
                          : strcmp(argv[i], "--run") == 0 ? &args.run_dir
                                                          : NULL;
        if (to == NULL || i + 1 == argc) {
            return err_set(err, ERR_INVALID, "%s: expected --id ID --run RUN", argv[i]);
        }
        *to = argv[i + 1];
    }
    if (args.id == NULL || args.run_dir == NULL) {
        return err_set(err, ERR_INVALID, "expected --id ID --run RUN");
    }
    if (!id_valid(args.id)) {
        return err_set(err, ERR_INVALID, "--id %s: letters, digits, '-', '_' and '.' only",
                       args.id);
    }
    *ret_args = args;
    return true;
}

/* The door's path must fit a socket's address, which an ID may not. */
static char *door_path(const PlaneArgs *args)
{
    uint8_t digest[SHA256_SIZE];
    char name[2 * SHA256_SIZE + 1];
    sha256(slice_of(args->id), digest);
    hex_encode(digest, sizeof(digest), name);
    return mem_printf("%s/plane/%.16s.sock", args->run_dir, name);
}

static char *lock_path_of(const PlaneArgs *args)
{
    return mem_printf("%s/plane/%s.lock", args->run_dir, args->id);
}

bool plane_succession_new(Loop *loop, const PlaneArgs *args, const SuccessionHandlers *handlers,
                          void *user, Succession **ret_succession, Err *err)
{
    CLEANUP(mem_free_ptr) char *dir = mem_printf("%s/plane", args->run_dir);
    CLEANUP(mem_free_ptr) char *door = door_path(args);
    CLEANUP(mem_free_ptr) char *lock_path = lock_path_of(args);
    TRY(dir_make(dir, 0711, err));
    const char *const doors[] = {door, NULL};
    SuccessionWhere where = {.doors = doors, .lock_path = lock_path, .ask = true};
    return succession_new(loop, &where, handlers, user, ret_succession, err) ||
           err_wrap(err, "%s", args->id);
}

/* Whether the file that we hold is still the one that stands there. The agent removes it when
 * nobody wants us any more, and the whole folder when the tier is stopped. */
static bool lock_stands(const Plane *plane)
{
    struct stat held;
    struct stat there;
    return fstat(succession_seat_fd(plane->succession), &held) == 0 &&
           stat(plane->lock_path, &there) == 0 && held.st_dev == there.st_dev &&
           held.st_ino == there.st_ino;
}

void plane_raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            log_warn("plane", "the limit of open files stays at its default: %s",
                     strerrordesc_np(errno));
        }
    }
}

/* ---- to the agent ------------------------------------------------------------------------------
 */

/* Takes `message`. */
static void plane_send(Plane *plane, json_t *message)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    ASSERT(text != NULL); /* everything in it is ours, and UTF-8 */
    stream_write(plane->stream, slice_of(text));
    stream_write_ref(plane->stream, SLICE("\n"));
    free(text);
}

static void plane_send_status(Plane *plane)
{
    if (plane->open && plane->status != NULL && !plane->status_sent) {
        plane->status_sent = true;
        stream_write_ref(plane->stream, SLICE("{\"status\":"));
        stream_write(plane->stream, slice_of(plane->status));
        stream_write_ref(plane->stream, SLICE("}\n"));
    }
}

static void plane_send_events(Plane *plane)
{
    if (!plane->open) {
        return;
    }
    for (size_t i = 0; i < plane->events.len; i++) {
        plane_send(plane, json_pack("{s:{s:s}}", "event", "message", plane->events.items[i]));
        mem_free(plane->events.items[i]);
    }
    plane->events.len = 0;
}

void plane_status(Plane *plane, json_t *status)
{
    char *text = json_dumps(status, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(status);
    ASSERT(text != NULL);
    if (plane->status == NULL || strcmp(text, plane->status) != 0) {
        mem_free(plane->status);
        plane->status = mem_strdup(text);
        plane->status_sent = false;
    }
    free(text);
    plane_send_status(plane);
}

/* What cannot stand in JSON is replaced: names come from clients, too. */
static char *text_valid(char *text)
{
    json_t *test = json_string(text);
    if (test == NULL) {
        for (char *c = text; *c != '\0'; c++) {
            *c = (*c & 0x80) != 0 ? '?' : *c;
        }
    }
    json_decref(test);
    return text;
}

void plane_event(Plane *plane, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    ASSERT(len >= 0);
    if (plane->events.len == PLANE_EVENTS_MAX) {
        mem_free(plane->events.items[0]);
        plane->events.len--;
        memmove(plane->events.items, plane->events.items + 1,
                plane->events.len * sizeof(plane->events.items[0]));
    }
    vec_push(&plane->events, text_valid(text));
    plane_send_events(plane);
}

/* ---- from the agent ----------------------------------------------------------------------------
 */

static void plane_take_config(Plane *plane, const json_t *config, json_int_t epoch)
{
    Err err;
    if (plane->handlers->on_config(plane->user, config, &err)) {
        plane_send(plane, json_pack("{s:I}", "applied", epoch));
        return;
    }
    log_warn("plane", "configuration %lld is refused: %s", (long long)epoch, err.message);
    plane_send(plane, json_pack("{s:I, s:s}", "refused", epoch, "error", text_valid(err.message)));
}

static void plane_take_line(Plane *plane, Slice line)
{
    json_error_t problem;
    json_t *message = json_loadb(line.data, line.len, 0, &problem);
    json_t *config = json_object_get(message, "config");
    json_t *epoch = json_object_get(message, "epoch");
    if (config != NULL && json_is_integer(epoch)) {
        plane_take_config(plane, config, json_integer_value(epoch));
    } else if (json_is_true(json_object_get(message, "stop"))) {
        plane->handlers->on_stop(plane->user);
    } else {
        /* Not the text: it may hold secrets. */
        log_warn("plane", "the agent sent a line of %zu bytes that is no message%s", line.len,
                 message == NULL ? ", not even JSON" : "");
    }
    json_decref(message);
}

/* ---- the connection ----------------------------------------------------------------------------
 */

static void plane_connect(void *user);

static void plane_on_open(void *user, Stream *stream)
{
    Plane *plane = user;
    (void)stream;
    plane->open = true;
    plane_send(plane, json_pack("{s:{s:s, s:i, s:s}}", "hello", "id", plane->id, "pid",
                                (int)getpid(), "version", weir_version));
    plane->status_sent = false;
    plane_send_status(plane);
    plane_send_events(plane);
}

static size_t plane_on_read(void *user, Stream *stream, Slice data)
{
    Plane *plane = user;
    Slice rest = data;
    while (plane->stream == stream) {
        const char *end = rest.len > 0 ? memchr(rest.data, '\n', rest.len) : NULL;
        if (end == NULL) {
            break;
        }
        Slice line = {rest.data, (size_t)(end - rest.data)};
        rest = slice_skip(rest, line.len + 1);
        plane_take_line(plane, line);
    }
    return data.len - rest.len;
}

static void plane_on_closed(void *user, Stream *stream, const Err *err)
{
    Plane *plane = user;
    (void)stream;
    (void)err; /* the agent is away; that is ordinary, and is tried again */
    plane->stream = NULL;
    plane->open = false;
    if (!lock_stands(plane)) {
        plane->handlers->on_stop(plane->user);
        return;
    }
    loop_timer_start(plane->loop, &plane->retry, PLANE_RECONNECT_MS, 0, plane_connect, plane);
}

/* Nobody tells a leaving process that the plane is not wanted any more. */
static void plane_look(void *user)
{
    Plane *plane = user;
    if (!lock_stands(plane)) {
        loop_timer_stop(&plane->retry);
        plane->handlers->on_stop(plane->user);
    }
}

void plane_leave(Plane *plane)
{
    if (plane == NULL) {
        return;
    }
    if (plane->stream != NULL) {
        stream_close(plane->stream);
        plane->stream = NULL;
    }
    plane->open = false;
    loop_timer_start(plane->loop, &plane->retry, PLANE_LOOK_MS, PLANE_LOOK_MS, plane_look, plane);
}

void plane_return(Plane *plane)
{
    if (plane != NULL) {
        loop_timer_stop(&plane->retry);
        plane_connect(plane);
    }
}

static const StreamHandlers plane_handlers = {
    .on_open = plane_on_open,
    .on_read = plane_on_read,
    .on_closed = plane_on_closed,
};

static void plane_connect(void *user)
{
    Plane *plane = user;
    NetAddr addr;
    Err err;
    bool ok = net_addr_parse(plane->socket_path, 0, &addr, &err);
    ASSERT(ok); /* plane_new has tried it */
    StreamOptions options = {
        .handlers = &plane_handlers, .user = plane, .keep_max = PLANE_LINE_MAX};
    plane->stream = stream_connect(plane->loop, &addr, &options);
}

bool plane_new(Loop *loop, const PlaneArgs *args, const Succession *succession,
               const PlaneHandlers *handlers, void *user, Plane **ret_plane, Err *err)
{
    NetAddr addr;
    CLEANUP(mem_free_ptr) char *socket_path = mem_printf("%s/agent.sock", args->run_dir);
    TRY(net_addr_parse(socket_path, 0, &addr, err));
    plane_raise_file_limit();
    Plane *plane = mem_alloc(sizeof(Plane));
    plane->loop = loop;
    plane->handlers = handlers;
    plane->user = user;
    plane->id = mem_strdup(args->id);
    plane->socket_path = mem_strdup(socket_path);
    plane->lock_path = lock_path_of(args);
    plane->succession = succession;
    plane_connect(plane);
    *ret_plane = plane;
    return true;
}

void plane_free(Plane *plane)
{
    if (plane == NULL) {
        return;
    }
    loop_timer_stop(&plane->retry);
    if (plane->stream != NULL) {
        stream_close(plane->stream);
    }
    for (size_t i = 0; i < plane->events.len; i++) {
        mem_free(plane->events.items[i]);
    }
    vec_done(&plane->events);
    mem_free(plane->id);
    mem_free(plane->socket_path);
    mem_free(plane->lock_path);
    mem_free(plane->status);
    mem_free(plane);
}

bool plane_connected(const Plane *plane)
{
    return plane->open;
}
