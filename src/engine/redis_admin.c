/*
 * What Weir says to a running Redis over its Unix socket, as REDIS_ADMIN_USER: follow, pause, apply
 * what may change while it runs. One short blocking connection per call. What it answers when it is
 * asked how it is: redis_observe.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/engine_priv.h"
#include "wire/wire.h"

#define REPLY_MAX        ((size_t)1 << 20)
#define PATIENCE_MS      3000
#define COMMAND_ARGS_MAX 64

bool redis_install_find(Arena *arena, RedisInstall *ret_install, Err *err)
{
    static const char *const places[] = {"/usr/bin/redis-server", "/usr/local/bin/redis-server"};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (access(places[i], X_OK) != 0) {
            continue;
        }
        const char *const argv[] = {places[i], "--version", NULL};
        const CommandSpec spec = {.argv = argv};
        CommandResult result;
        bool ok = command_run(&spec, &result, err);
        const char *at = ok ? strstr(buf_str(&result.out), "v=") : NULL;
        Slice rest = slice_of(at != NULL ? at + 2 : NULL);
        *ret_install = (RedisInstall){.version = arena_slice_str(arena, slice_cut(&rest, ' ')),
                                      .program = places[i]};
        command_result_done(&result);
        return ok && at != NULL
                   ? true
                   : err_set(err, ERR_INTERNAL, "%s does not say its version", places[i]);
    }
    return err_set(err, ERR_NOT_FOUND,
                   "Redis is not installed: run `apt-get install redis-server`");
}

/* Waits until something comes or can go; ERR_TIMEOUT behind the deadline. */
static bool admin_await(const RedisAdmin *admin, short events, Err *err)
{
    struct pollfd entry = {.fd = admin->fd, .events = events};
    int64_t left_ms = admin->until_ms - time_mono_ms();
    return poll(&entry, 1, left_ms > 0 ? (int)left_ms : 0) > 0
               ? true
               : err_set(err, ERR_TIMEOUT, "Redis does not answer");
}

static bool admin_connect(const RedisSpec *spec, RedisAdmin *admin, Err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int len =
        snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/redis.sock", spec->paths.socket_dir);
    if (len < 0 || (size_t)len >= sizeof(addr.sun_path)) {
        return err_set(err, ERR_LIMIT, "the path %s is too long for a socket",
                       spec->paths.socket_dir);
    }
    admin->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (admin->fd < 0) {
        return err_set_errno(err, errno, "socket");
    }
    if (connect(admin->fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
        /* A full backlog: it does not accept. */
        return err_set(err, errno == EAGAIN ? ERR_TIMEOUT : ERR_UNAVAILABLE,
                       "Redis does not answer yet: %s", strerror(errno));
    }
    return true;
}

/* Reads until one whole value is there. */
static bool admin_read(RedisAdmin *admin, Err *err)
{
    RespScan scan = {0};
    for (size_t done = 0;;) {
        size_t consumed = 0;
        WireResult result = resp_scan(&scan, slice_skip(buf_slice(&admin->reply), done), &consumed);
        done += consumed;
        if (result == WIRE_DONE) {
            return true;
        }
        char *room = result == WIRE_BAD ? NULL : buf_reserve(&admin->reply, 4096);
        if (room == NULL) {
            return err_set(err, ERR_INTERNAL, "Redis's answer is not understood");
        }
        TRY(admin_await(admin, POLLIN, err));
        ssize_t count = read(admin->fd, room, 4096);
        if (count <= 0) {
            return err_set(err, ERR_UNAVAILABLE, "Redis did not answer: %s",
                           count == 0 ? "connection closed" : strerror(errno));
        }
        buf_commit(&admin->reply, (size_t)count);
    }
}

static bool admin_send(RedisAdmin *admin, Slice bytes, Err *err)
{
    while (bytes.len > 0) {
        TRY(admin_await(admin, POLLOUT, err));
        ssize_t sent = send(admin->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent <= 0) {
            return err_set(err, ERR_UNAVAILABLE, "Redis does not take commands");
        }
        bytes = slice_skip(bytes, (size_t)sent);
    }
    return true;
}

bool redis_admin_call(RedisAdmin *admin, const char *const *words, Err *err)
{
    Slice args[COMMAND_ARGS_MAX];
    size_t count = 0;
    for (; words[count] != NULL; count++) {
        ASSERT(count < COMMAND_ARGS_MAX);
        args[count] = slice_of(words[count]);
    }
    Buf request;
    buf_init(&request, REPLY_MAX);
    resp_put_command(&request, args, count);
    bool sent = admin_send(admin, buf_slice(&request), err);
    crypto_wipe(request.data, request.len);
    buf_done(&request);
    if (!sent) {
        return false;
    }
    buf_clear(&admin->reply);
    TRY(admin_read(admin, err));
    Slice in = buf_slice(&admin->reply);
    RespValue value;
    if (resp_value_read(&in, &value) == WIRE_DONE && (value.type == '-' || value.type == '!')) {
        return err_set(err, ERR_INTERNAL, "Redis refused %s: %.*s", words[0],
                       SLICE_FMT(value.text));
    }
    return true;
}

bool redis_admin_open(const RedisSpec *spec, int64_t patience_ms, RedisAdmin *ret_admin, Err *err)
{
    RedisAdmin admin = {.fd = -1, .until_ms = time_mono_ms() + patience_ms};
    const char *const auth[] = {"AUTH", REDIS_ADMIN_USER, spec->admin_password, NULL};
    buf_init(&admin.reply, REPLY_MAX);
    if (!admin_connect(spec, &admin, err) || !redis_admin_call(&admin, auth, err)) {
        redis_admin_done(&admin);
        return false;
    }
    *ret_admin = admin;
    return true;
}

void redis_admin_done(RedisAdmin *admin)
{
    fd_close(&admin->fd);
    buf_done(&admin->reply);
}

static bool apply_settings(RedisAdmin *admin, const RedisSpec *spec, Err *err)
{
    char maxmemory[32];
    snprintf(maxmemory, sizeof(maxmemory), "%" PRId64, spec->maxmemory_bytes);
    const char *const memory[] = {"CONFIG", "SET", "maxmemory", maxmemory, NULL};
    CLEANUP(mem_free_ptr) char *user = redis_replication_user(spec->host);
    const char *const source[] = {
        "CONFIG", "SET", "masteruser", user, "masterauth", spec->replication_password, NULL};
    TRY(redis_admin_call(admin, memory, err));
    TRY(redis_admin_call(admin, source, err));
    for (size_t i = 0; i < spec->settings_len; i++) {
        const char *const set[] = {"CONFIG", "SET", spec->settings[i].name, spec->settings[i].value,
                                   NULL};
        /* What only a start can change stays in the file until then. */
        if (!redis_admin_call(admin, set, err) && strstr(err->message, "immutable") == NULL) {
            return false;
        }
    }
    return true;
}

/* Redis reads the files again, also where their names are as before. */
static bool apply_certs(RedisAdmin *admin, const RedisSpec *spec, Err *err)
{
    CLEANUP(mem_free_ptr) char *cert = mem_printf("%s/server.crt", spec->paths.tls);
    CLEANUP(mem_free_ptr) char *key = mem_printf("%s/server.key", spec->paths.tls);
    CLEANUP(mem_free_ptr) char *client_cert = mem_printf("%s/client.crt", spec->paths.tls);
    CLEANUP(mem_free_ptr) char *client_key = mem_printf("%s/client.key", spec->paths.tls);
    const char *const set[] = {"CONFIG",
                               "SET",
                               "tls-cert-file",
                               cert,
                               "tls-key-file",
                               key,
                               "tls-client-cert-file",
                               client_cert,
                               "tls-client-key-file",
                               client_key,
                               NULL};
    return redis_admin_call(admin, set, err);
}

bool redis_apply(const RedisSpec *spec, Err *err)
{
    RedisAdmin admin;
    TRY(redis_admin_open(spec, PATIENCE_MS, &admin, err));
    bool ok = apply_settings(&admin, spec, err) && apply_certs(&admin, spec, err) &&
              redis_users_apply(&admin, spec, err);
    redis_admin_done(&admin);
    return ok;
}

bool redis_apply_users(const RedisSpec *spec, Err *err)
{
    RedisAdmin admin;
    TRY(redis_admin_open(spec, PATIENCE_MS, &admin, err));
    bool ok = redis_users_apply(&admin, spec, err);
    redis_admin_done(&admin);
    return ok;
}

/* ---- its part ----------------------------------------------------------------------------------
 */

static bool admin_say(const RedisSpec *spec, const char *const *words, Err *err)
{
    RedisAdmin admin;
    TRY(redis_admin_open(spec, PATIENCE_MS, &admin, err));
    bool ok = redis_admin_call(&admin, words, err);
    redis_admin_done(&admin);
    return ok;
}

static bool follow(RedisAdmin *admin, const RedisSpec *spec, Err *err)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", REDIS_PORT);
    const char *const follow[] = {"REPLICAOF", spec->source_address, port, NULL};
    static const char *const lead[] = {"REPLICAOF", "NO", "ONE", NULL};
    return redis_admin_call(admin, spec->source_address != NULL ? follow : lead, err);
}

bool redis_follow(const RedisSpec *spec, Err *err)
{
    RedisAdmin admin;
    TRY(redis_admin_open(spec, PATIENCE_MS, &admin, err));
    bool ok = follow(&admin, spec, err);
    redis_admin_done(&admin);
    return ok;
}

static bool pause_writes(RedisAdmin *admin, int64_t pause_ms, Err *err)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, pause_ms);
    const char *const pause[] = {"CLIENT", "PAUSE", text, "WRITE", NULL};
    return redis_admin_call(admin, pause, err);
}

bool redis_pause(const RedisSpec *spec, int64_t pause_ms, Err *err)
{
    RedisAdmin admin;
    TRY(redis_admin_open(spec, PATIENCE_MS, &admin, err));
    bool ok = pause_writes(&admin, pause_ms, err);
    redis_admin_done(&admin);
    return ok;
}

/* The pause that is asked for first outlasts what may come between the look and the step; what came
 * before it has changed something. */
bool redis_demote(const RedisSpec *spec, int64_t changes, bool *ret_done, Err *err)
{
    static const char *const resume[] = {"CLIENT", "UNPAUSE", NULL};
    RedisAdmin admin;
    int64_t now = -1;
    TRY(redis_admin_open(spec, PATIENCE_MS, &admin, err));
    bool ok =
        pause_writes(&admin, REDIS_STANDSTILL_MS, err) && redis_admin_changes(&admin, &now, err) &&
        (now != changes || follow(&admin, spec, err)) && redis_admin_call(&admin, resume, err);
    redis_admin_done(&admin);
    if (ok) {
        *ret_done = now == changes;
    }
    return ok;
}

bool redis_let_alone(const RedisSpec *spec, bool alone, Err *err)
{
    const char *const set[] = {"ACL", "SETUSER", REDIS_GATE_USER, alone ? "+echo" : "-echo", NULL};
    return admin_say(spec, set, err);
}

bool redis_resume(const RedisSpec *spec, Err *err)
{
    static const char *const resume[] = {"CLIENT", "UNPAUSE", NULL};
    return admin_say(spec, resume, err);
}
