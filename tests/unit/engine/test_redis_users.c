/* The users of a Redis that runs: who is one no more is out at once; and a primary that becomes a
 * replica does so with exactly what it was to have. A redis-server of the test's own. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"

#include "engine/engine.h"

#define PROGRAM     "/usr/bin/redis-server"
#define PATIENCE_MS 30000
#define LINE_MAX    4096

static const char *const all_hosts[] = {"h1", "h2"};

typedef struct Server {
    Arena *arena;
    char *folder;
    RedisSpec spec;
    pid_t pid;
} Server;

static void server_run(const Server *server)
{
    const char *sock = arena_printf(server->arena, "%s/redis.sock", server->folder);
    const char *acl = arena_printf(server->arena, "%s/users.acl", server->folder);
    const char *const args[] = {
        PROGRAM,        "--port", "0", "--unixsocket", sock,      "--aclfile", acl, "--dir",
        server->folder, "--save", "",  "--loglevel",   "warning", NULL};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || null < 0 || dup2(null, 1) < 0) {
        _exit(126);
    }
    execv(PROGRAM, (char *const *)(uintptr_t)args);
    _exit(127);
}

static Server server_open(void)
{
    Server server = {.arena = arena_new(), .folder = folder_make()};
    server.spec = (RedisSpec){.listen_address = "127.1.128.1",
                              .host = "h1",
                              .hosts = all_hosts,
                              .hosts_len = ARRAY_LEN(all_hosts),
                              .admin_password = "adminpw",
                              .replication_password = "replpw",
                              .client_password = "clientpw"};
    server.spec.paths.socket_dir = arena_strdup(server.arena, server.folder);
    Buf acl;
    Err err;
    buf_init(&acl, BUF_MAX_DEFAULT);
    redis_acl_render(&server.spec, &acl);
    const char *path = arena_printf(server.arena, "%s/users.acl", server.folder);
    assert_true(file_write(path, buf_slice(&acl), 0600, &err));
    buf_done(&acl);
    server.pid = fork();
    assert_true(server.pid >= 0);
    if (server.pid == 0) {
        server_run(&server);
    }
    RedisSeen seen;
    int64_t end_ms = time_mono_ms() + PATIENCE_MS;
    while (!redis_observe(&server.spec, 1000, &seen, &err)) {
        assert_true(time_mono_ms() < end_ms);
        usleep(20000);
    }
    return server;
}

static void server_close(Server *server)
{
    int status;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, &status, 0);
    folder_remove(server->folder);
    arena_free(server->arena);
}

/* ---- somebody who is connected ---- */

static int connect_to(const Server *server)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/redis.sock", server->folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

/* The first line of the answer; "" where the connection has ended. */
static const char *say(const Server *server, int fd, const char *command)
{
    char line[LINE_MAX];
    size_t len = 0;
    const char *request = arena_printf(server->arena, "%s\r\n", command);
    (void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
    while (len + 1 < sizeof(line) && read(fd, line + len, 1) == 1 && line[len] != '\n') {
        len++;
    }
    return arena_strndup(server->arena, line, len > 0 ? len - 1 : 0);
}

static int user(const Server *server, const char *name, const char *password)
{
    int fd = connect_to(server);
    assert_string_equal(say(server, fd, arena_printf(server->arena, "AUTH %s %s", name, password)),
                        "+OK");
    return fd;
}

static RedisSeen look(const Server *server)
{
    RedisSeen seen;
    Err err;
    if (!redis_observe(&server->spec, PATIENCE_MS, &seen, &err)) {
        fail_msg("%s", err.message);
    }
    return seen;
}

/* ---- what is tested ---- */

/* The others stay connected. */
static void test_an_engine_of_another_host_is_out(void **state)
{
    (void)state;
    Server server = server_open();
    Err err;
    int stays = user(&server, "weir_replication_h1", "replpw");
    int goes = user(&server, "weir_replication_h2", "replpw");
    int client = user(&server, REDIS_CLIENT_USER, "clientpw");
    assert_true(redis_apply_users(&server.spec, &err));
    assert_string_equal(say(&server, goes, "PING"), "+PONG");
    server.spec.hosts_len = 1;
    assert_true(redis_apply_users(&server.spec, &err));
    assert_string_equal(say(&server, goes, "PING"), "");
    assert_string_equal(say(&server, stays, "PING"), "+PONG");
    assert_string_equal(say(&server, client, "SET k v"), "+OK");
    int again = connect_to(&server);
    assert_true(slice_starts(slice_of(say(&server, again, "AUTH weir_replication_h2 replpw")),
                             "-WRONGPASS"));
    server.spec.hosts_len = 2; /* it is one of them again */
    assert_true(redis_apply_users(&server.spec, &err));
    assert_string_equal(say(&server, again, "AUTH weir_replication_h2 replpw"), "+OK");
    close(stays);
    close(goes);
    close(client);
    close(again);
    server_close(&server);
}

/* What came behind the look is not lost: it stays a primary, and takes writes. Who writes meanwhile
 * waits, and is told what became of it. */
static void test_a_primary_that_has_more_stays(void **state)
{
    (void)state;
    Server server = server_open();
    Err err;
    bool done = true;
    int client = user(&server, REDIS_CLIENT_USER, "clientpw");
    int other = user(&server, REDIS_CLIENT_USER, "clientpw");
    RedisSpec demoted = server.spec;
    demoted.source_address = "127.1.128.99";
    RedisSeen before = look(&server);
    assert_string_equal(say(&server, client, "SET k 1"), "+OK");
    assert_true(redis_demote(&demoted, before.changes, &done, &err));
    assert_false(done);
    assert_false(look(&server).is_replica);
    assert_string_equal(say(&server, client, "SET k 2"), "+OK");
    assert_true(redis_pause(&server.spec, PATIENCE_MS, &err));
    assert_int_equal(send(other, "SET k 3\r\n", 9, MSG_NOSIGNAL), 9);
    usleep(50000);
    assert_true(redis_demote(&demoted, look(&server).changes, &done, &err));
    assert_true(done);
    assert_true(slice_starts(slice_of(say(&server, other, "PING")), "-READONLY"));
    RedisSeen seen = look(&server);
    assert_true(seen.is_replica);
    assert_string_equal(seen.source, "127.1.128.99");
    assert_true(redis_follow(&server.spec, &err)); /* and nobody waits for anything */
    assert_string_equal(say(&server, client, "SET k 3"), "+OK");
    close(client);
    close(other);
    server_close(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_engine_of_another_host_is_out),
        cmocka_unit_test(test_a_primary_that_has_more_stays),
    };
    if (access(PROGRAM, X_OK) != 0) {
        print_message("1..0 # SKIP Redis is not installed\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
