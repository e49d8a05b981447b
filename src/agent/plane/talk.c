/*
 * The conversation with a plane's process over RUN/agent.sock: who may speak for a plane, what it
 * is told (its configuration, and to stop), and what it says. One JSON object per line, either way.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/plane/plane_parts_priv.h"

#define CONFIG_AGAIN_MS 5000

/* ---- what it is told --------------------------------------------------------------------------
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

void plane_config_send(Plane *plane)
{
    if (plane->stream == NULL || plane->orphan || plane->stop_asked_ms != 0 || is_told(plane)) {
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

void plane_stop_send(Plane *plane)
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

/* ---- what it says -----------------------------------------------------------------------------
 */

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
    plane_config_send(plane);
}

/* ---- who it is --------------------------------------------------------------------------------
 */

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

bool planes_listen_start(Planes *planes, Err *err)
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
