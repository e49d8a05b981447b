/*
 * What Weir says to a running Redis over its Unix socket, as REDIS_ADMIN_USER: observe, follow,
 * apply what may change while it runs. One short blocking connection per call.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/engine_priv.h"
#include "wire/wire.h"

#define REPLY_MAX        ((size_t)1 << 20)
#define IO_TIMEOUT_S     3
#define COMMAND_ARGS_MAX 64
#define ACL_MAX          ((size_t)1 << 20)

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

static bool admin_connect(const RedisSpec *spec, int *ret_fd, Err *err)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int len =
        snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/redis.sock", spec->paths.socket_dir);
    if (len < 0 || (size_t)len >= sizeof(addr.sun_path)) {
        return err_set(err, ERR_LIMIT, "the path %s is too long for a socket",
                       spec->paths.socket_dir);
    }
    CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval limit = {.tv_sec = IO_TIMEOUT_S};
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0) {
        return err_set_errno(err, errno, "socket");
    }
    if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) != 0) {
        return err_set(err, ERR_UNAVAILABLE, "Redis does not answer yet: %s", strerror(errno));
    }
    *ret_fd = fd;
    fd = -1;
    return true;
}

/* Reads until one whole value is there. */
static bool admin_read(int fd, Buf *reply, Err *err)
{
    RespScan scan = {0};
    for (size_t done = 0;;) {
        size_t consumed = 0;
        WireResult result = resp_scan(&scan, slice_skip(buf_slice(reply), done), &consumed);
        done += consumed;
        if (result == WIRE_DONE) {
            return true;
        }
        char *room = result == WIRE_BAD ? NULL : buf_reserve(reply, 4096);
        if (room == NULL) {
            return err_set(err, ERR_INTERNAL, "Redis's answer is not understood");
        }
        ssize_t count = read(fd, room, 4096);
        if (count <= 0) {
            return err_set(err, ERR_UNAVAILABLE, "Redis did not answer: %s",
                           count == 0 ? "connection closed" : strerror(errno));
        }
        buf_commit(reply, (size_t)count);
    }
}

/* Sends one command and leaves the text of its answer in `reply` as it came. An error reply is an
 * error. */
static bool admin_call(int fd, const char *const *words, Buf *reply, Err *err)
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
    ssize_t sent = send(fd, request.data, request.len, MSG_NOSIGNAL);
    bool whole = sent == (ssize_t)request.len;
    crypto_wipe(request.data, request.len);
    buf_done(&request);
    if (!whole) {
        return err_set(err, ERR_UNAVAILABLE, "Redis does not take commands");
    }
    buf_clear(reply);
    TRY(admin_read(fd, reply, err));
    Slice in = buf_slice(reply);
    RespValue value;
    if (resp_value_read(&in, &value) == WIRE_DONE && (value.type == '-' || value.type == '!')) {
        return err_set(err, ERR_INTERNAL, "Redis refused %s: %.*s", words[0],
                       SLICE_FMT(value.text));
    }
    return true;
}

static bool admin_open(const RedisSpec *spec, int *ret_fd, Buf *reply, Err *err)
{
    TRY(admin_connect(spec, ret_fd, err));
    const char *const auth[] = {"AUTH", REDIS_ADMIN_USER, spec->admin_password, NULL};
    return admin_call(*ret_fd, auth, reply, err);
}

static int64_t info_number(Slice info, const char *field, int64_t fallback)
{
    while (info.len > 0) {
        Slice line = slice_cut(&info, '\n');
        Slice name = slice_cut(&line, ':');
        int64_t value;
        if (slice_is(name, field) && str_to_i64(slice_trim(line), &value)) {
            return value;
        }
    }
    return fallback;
}

static bool info_is(Slice info, const char *field, const char *expected)
{
    while (info.len > 0) {
        Slice line = slice_cut(&info, '\n');
        if (slice_is(slice_cut(&line, ':'), field)) {
            return slice_is(slice_trim(line), expected);
        }
    }
    return false;
}

static bool observe_with(int fd, Buf *reply, RedisSeen *ret_seen, Err *err)
{
    static const char *const info_command[] = {"INFO", NULL};
    TRY(admin_call(fd, info_command, reply, err));
    Slice in = buf_slice(reply);
    RespValue value;
    if (resp_value_read(&in, &value) != WIRE_DONE) {
        return err_set(err, ERR_INTERNAL, "Redis's INFO is not understood");
    }
    *ret_seen = (RedisSeen){
        .is_replica = info_is(value.text, "role", "slave"),
        .link_up = info_is(value.text, "master_link_status", "up"),
        .loading = info_number(value.text, "loading", 0) != 0,
        .offset = info_number(value.text, "master_repl_offset", 0),
        .replicas = (int)info_number(value.text, "connected_slaves", 0),
    };
    return true;
}

bool redis_observe(const RedisSpec *spec, RedisSeen *ret_seen, Err *err)
{
    Buf reply;
    buf_init(&reply, REPLY_MAX);
    CLEANUP(fd_close) int fd = -1;
    bool ok = admin_open(spec, &fd, &reply, err) && observe_with(fd, &reply, ret_seen, err);
    buf_done(&reply);
    return ok;
}

static bool apply_settings(int fd, const RedisSpec *spec, Buf *reply, Err *err)
{
    char maxmemory[32];
    snprintf(maxmemory, sizeof(maxmemory), "%" PRId64, spec->maxmemory_bytes);
    const char *const memory[] = {"CONFIG", "SET", "maxmemory", maxmemory, NULL};
    TRY(admin_call(fd, memory, reply, err));
    for (size_t i = 0; i < spec->settings_len; i++) {
        const char *const set[] = {"CONFIG", "SET", spec->settings[i].name, spec->settings[i].value,
                                   NULL};
        /* What only a start can change stays in the file until then. */
        if (!admin_call(fd, set, reply, err) && strstr(err->message, "immutable") == NULL) {
            return false;
        }
    }
    return true;
}

/* Redis reads the files again, also where their names are as before. */
static bool apply_certs(int fd, const RedisSpec *spec, Buf *reply, Err *err)
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
    return admin_call(fd, set, reply, err);
}

/* One line of the ACL file, "user NAME RULE…", as ACL SETUSER. */
static bool apply_user(int fd, Slice line, Buf *reply, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *words[COMMAND_ARGS_MAX] = {"ACL", "SETUSER"};
    size_t count = 2;
    (void)slice_cut(&line, ' '); /* "user" */
    while (line.len > 0) {
        ASSERT(count + 2 < COMMAND_ARGS_MAX);
        words[count++] = arena_slice_str(arena, slice_cut(&line, ' '));
        if (count == 3) {
            words[count++] = "reset";
        }
    }
    return admin_call(fd, words, reply, err);
}

/* User by user, in place: ACL LOAD would disconnect everybody who is logged in, ourselves and the
 * replicas included. */
static bool apply_users(int fd, const RedisSpec *spec, Buf *reply, Err *err)
{
    Buf text;
    buf_init(&text, ACL_MAX);
    redis_acl_render(spec, &text);
    bool ok = true;
    for (Slice rest = buf_slice(&text); ok && rest.len > 0;) {
        ok = apply_user(fd, slice_cut(&rest, '\n'), reply, err);
    }
    buf_done(&text);
    return ok;
}

static bool apply_role(int fd, const RedisSpec *spec, Buf *reply, Err *err)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", REDIS_PORT);
    const char *const follow[] = {"REPLICAOF", spec->source_address, port, NULL};
    static const char *const lead[] = {"REPLICAOF", "NO", "ONE", NULL};
    return admin_call(fd, spec->source_address != NULL ? follow : lead, reply, err);
}

bool redis_apply(const RedisSpec *spec, Err *err)
{
    Buf reply;
    buf_init(&reply, REPLY_MAX);
    CLEANUP(fd_close) int fd = -1;
    bool ok = admin_open(spec, &fd, &reply, err) && apply_settings(fd, spec, &reply, err) &&
              apply_certs(fd, spec, &reply, err) && apply_users(fd, spec, &reply, err) &&
              apply_role(fd, spec, &reply, err);
    buf_done(&reply);
    return ok;
}
