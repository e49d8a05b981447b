/* Addresses, listening sockets, listeners, connecting, who the peer is. */
#include <sys/resource.h>
#include <sys/stat.h>

#include "../folder.h"
#include "stream_fixture.h"

typedef struct Fixture {
    Loop *loop;
    char *dir;
    int listen_fd;
    NetAddr addr;
    Listener *listener;
    End server, client;
    int accepted;
    bool keep; /* the last accepted connection becomes `server` */
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    assert_true(any_loop_new(&fixture->loop, &err));
    fixture->dir = folder_make();
    end_init(&fixture->server, fixture->loop);
    end_init(&fixture->client, fixture->loop);
    fixture->listen_fd = -1;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    end_done(&fixture->server);
    end_done(&fixture->client);
    listener_free(fixture->listener);
    fd_close(&fixture->listen_fd);
    loop_free(fixture->loop);
    folder_remove(fixture->dir);
    mem_free(fixture);
    return 0;
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void assert_addr(const char *host, uint16_t port, const char *text, const char *host_text)
{
    NetAddr addr;
    Err err;
    char out[NET_ADDR_TEXT_SIZE];
    assert_true(net_addr_parse(host, port, &addr, &err));
    net_addr_format(&addr, out);
    assert_string_equal(out, text);
    net_addr_host(&addr, out);
    assert_string_equal(out, host_text);
    assert_int_equal(net_addr_port(&addr), host_text[0] != '\0' ? port : 0);
}

static void test_addresses(void **state)
{
    (void)state;
    NetAddr addr;
    Err err;
    char path[200];
    assert_addr("127.3.1.7", 5432, "127.3.1.7:5432", "127.3.1.7");
    assert_addr("::1", 80, "[::1]:80", "::1");
    assert_addr("/run/weir/x.sock", 0, "/run/weir/x.sock", "");
    assert_addr("./x.sock", 0, "./x.sock", "");
    assert_addr("@weir-net-1", 0, "@weir-net-1", "");
    static const char *const bad[] = {"", "localhost", "127.0.0.1:80", "127.0.0", "1.2.3.4.5"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(net_addr_parse(bad[i], 1, &addr, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
    memset(path, 'x', sizeof(path));
    path[0] = '/';
    path[107] = '\0';
    assert_true(net_addr_parse(path, 0, &addr, &err));
    path[107] = 'x';
    path[108] = '\0';
    assert_false(net_addr_parse(path, 0, &addr, &err));
    assert_true(net_addr_resolve("127.0.0.1", 1, &addr, &err));
    assert_true(net_addr_resolve("localhost", 1, &addr, &err));
}

static bool cidr_has(const char *network, const char *host)
{
    NetCidr cidr;
    NetAddr addr;
    Err err;
    assert_true(net_cidr_parse(slice_of(network), &cidr, &err));
    assert_true(net_addr_parse(host, 1, &addr, &err));
    return net_cidr_has(&cidr, &addr);
}

static void test_networks(void **state)
{
    (void)state;
    assert_true(cidr_has("0.0.0.0/0", "203.0.113.9"));
    assert_true(cidr_has("10.0.0.0/8", "10.255.0.1"));
    assert_false(cidr_has("10.0.0.0/8", "11.0.0.1"));
    assert_true(cidr_has("192.168.4.0/22", "192.168.7.255"));
    assert_false(cidr_has("192.168.4.0/22", "192.168.8.0"));
    assert_true(cidr_has("10.1.2.3/32", "10.1.2.3"));
    assert_false(cidr_has("10.1.2.3/32", "10.1.2.2"));
    assert_true(cidr_has("10.1.2.3/8", "10.9.9.9")); /* bits behind the prefix do not count */
    assert_true(cidr_has("fd00::/8", "fd12::1"));
    assert_false(cidr_has("fd00::/8", "fe80::1"));
    assert_true(cidr_has("::1/128", "::1"));
    assert_true(cidr_has("10.0.0.0/8", "::ffff:10.1.1.1"));
    assert_false(cidr_has("::/0", "10.1.1.1"));
    assert_false(cidr_has("0.0.0.0/0", "fd12::1"));
    assert_false(cidr_has("0.0.0.0/0", "/run/x.sock"));
    const char *bad[] = {"",
                         "10.0.0.0",
                         "10.0.0.0/",
                         "/8",
                         "10.0.0.0/33",
                         "10.0.0/8",
                         "10.0.0.0/-1",
                         "fd00::/129",
                         "a.b/8",
                         "10.0.0.0/8/8",
                         "10.0.0.0/ 8",
                         "1:2/3"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        NetCidr cidr;
        Err err;
        assert_false(net_cidr_parse(slice_of(bad[i]), &cidr, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* ---- listening and connecting ---------------------------------------------------------------- */

static void accepted(void *user, int fd, const NetAddr *peer)
{
    Fixture *fixture = user;
    assert_int_equal(peer->storage.ss_family, fixture->addr.storage.ss_family);
    fixture->accepted++;
    if (fixture->keep && fixture->server.stream == NULL) {
        end_adopt(&fixture->server, fd, (StreamOptions){0});
    } else {
        close(fd);
    }
}

static void listen_at(Fixture *fixture, const char *host)
{
    Err err;
    NetListenOptions options = {0};
    assert_true(net_addr_parse(host, 0, &fixture->addr, &err));
    assert_true(net_listen(&fixture->addr, &options, &fixture->listen_fd, &err));
    assert_true(net_local_addr(fixture->listen_fd, &fixture->addr, &err));
    assert_true(listener_new(fixture->loop, fixture->listen_fd, accepted, fixture,
                             &fixture->listener, &err));
}

static void client_connect(Fixture *fixture, const NetAddr *to)
{
    StreamOptions options = {.handlers = &end_handlers, .user = &fixture->client};
    fixture->client.stream = stream_connect(fixture->loop, to, &options);
    assert_non_null(fixture->client.stream);
}

static void talk(Fixture *fixture)
{
    fixture->keep = true;
    client_connect(fixture, &fixture->addr);
    stream_write(fixture->client.stream, SLICE("before it is open"));
    assert_int_equal(stream_pending(fixture->client.stream), 17);
    TURN_UNTIL(fixture->loop, fixture->server.got.len == 17);
    assert_int_equal(fixture->client.opened, 1);
    stream_write(fixture->server.stream, SLICE("answer"));
    TURN_UNTIL(fixture->loop, fixture->client.got.len == 6);
}

static void test_tcp(void **state)
{
    Fixture *fixture = *state;
    Err err;
    NetAddr local, peer;
    PeerCred cred;
    listen_at(fixture, "127.0.0.1");
    talk(fixture);
    assert_true(stream_local_addr(fixture->client.stream, &local, &err));
    assert_true(stream_peer_addr(fixture->server.stream, &peer, &err));
    assert_int_equal(net_addr_port(&local), net_addr_port(&peer));
    assert_false(stream_peer_cred(fixture->server.stream, &cred, &err));
    assert_int_equal(err.code, ERR_UNSUPPORTED);
}

static void test_unix(void **state)
{
    Fixture *fixture = *state;
    Err err;
    PeerCred cred;
    struct stat info;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/sock", fixture->dir);
    listen_at(fixture, path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    talk(fixture);
    assert_true(stream_peer_cred(fixture->server.stream, &cred, &err));
    assert_int_equal(cred.pid, getpid());
    assert_int_equal(cred.uid, getuid());
    /* One that answers is not pushed aside; a dead one is, and so is nothing that is no socket. */
    int fd = -1;
    NetListenOptions options = {.mode = 0666};
    assert_false(net_listen(&fixture->addr, &options, &fd, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    listener_free(fixture->listener);
    fixture->listener = NULL;
    fd_close(&fixture->listen_fd);
    assert_true(net_listen(&fixture->addr, &options, &fd, &err));
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666);
    fd_close(&fd);
    assert_true(tree_remove(path, &err));
    assert_true(file_write(path, SLICE("precious"), 0600, &err));
    assert_false(net_listen(&fixture->addr, &options, &fd, &err));
    assert_int_equal(err.code, ERR_EXISTS);
    assert_true(file_exists(path));
}

static void test_abstract(void **state)
{
    Fixture *fixture = *state;
    CLEANUP(mem_free_ptr) char *name = mem_printf("@%s", fixture->dir);
    listen_at(fixture, name);
    talk(fixture);
}

static void test_connect_is_refused(void **state)
{
    Fixture *fixture = *state;
    Err err;
    NetAddr addr;
    listen_at(fixture, "127.0.0.1");
    listener_free(fixture->listener);
    fixture->listener = NULL;
    fd_close(&fixture->listen_fd); /* a port where nobody listens any more */
    client_connect(fixture, &fixture->addr);
    assert_int_equal(fixture->client.closed, 0); /* never from inside a call */
    TURN_UNTIL(fixture->loop, fixture->client.closed == 1);
    assert_int_equal(fixture->client.err.code, ERR_UNAVAILABLE);
    char text[NET_ADDR_TEXT_SIZE];
    net_addr_format(&fixture->addr, text);
    assert_non_null(strstr(fixture->client.err.message, text));

    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/none", fixture->dir);
    assert_true(net_addr_parse(path, 0, &addr, &err));
    client_connect(fixture, &addr);
    TURN_UNTIL(fixture->loop, fixture->client.closed == 2);
    assert_int_equal(fixture->client.err.code, ERR_UNAVAILABLE);
    client_connect(fixture, &addr);
    stream_abort(fixture->client.stream); /* before it was told */
    fixture->client.stream = NULL;
    turns_settle(fixture->loop);
    assert_int_equal(fixture->client.closed, 2);
}

/* A backlog that is full answers nothing: the time-out does. */
static void test_connect_time_out(void **state)
{
    Fixture *fixture = *state;
    Err err;
    int fds[8];
    NetListenOptions options = {.backlog = 1};
    assert_true(net_addr_parse("127.0.0.1", 0, &fixture->addr, &err));
    assert_true(net_listen(&fixture->addr, &options, &fixture->listen_fd, &err));
    assert_true(net_local_addr(fixture->listen_fd, &fixture->addr, &err));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        int ignored = connect(fds[i], (struct sockaddr *)&fixture->addr.storage, fixture->addr.len);
        (void)ignored;
    }
    StreamOptions stream = {.handlers = &end_handlers, .user = &fixture->client, .timeout_ms = 60};
    fixture->client.stream = stream_connect(fixture->loop, &fixture->addr, &stream);
    TURN_UNTIL(fixture->loop, fixture->client.closed == 1);
    assert_int_equal(fixture->client.err.code, ERR_TIMEOUT);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        close(fds[i]);
    }
}

/* ---- listeners ------------------------------------------------------------------------------- */

static int connect_now(const NetAddr *addr)
{
    int fd = socket(addr->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        assert_int_equal(connect(fd, (const struct sockaddr *)&addr->storage, addr->len), 0);
    }
    return fd;
}

static void test_listener_pauses(void **state)
{
    Fixture *fixture = *state;
    int fds[100];
    listen_at(fixture, "127.0.0.1");
    listener_pause(fixture->listener);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = connect_now(&fixture->addr);
    }
    turns_settle(fixture->loop);
    assert_int_equal(fixture->accepted, 0);
    listener_resume(fixture->listener);
    loop_turn(fixture->loop, 100);
    assert_int_equal(fixture->accepted, LISTENER_ACCEPTS_PER_TURN);
    TURN_UNTIL(fixture->loop, fixture->accepted == (int)ARRAY_LEN(fds));
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        close(fds[i]);
    }
}

static void test_listener_out_of_fds(void **state)
{
    Fixture *fixture = *state;
    struct rlimit before, none;
    listen_at(fixture, "127.0.0.1");
    CLEANUP(fd_close) int fd = connect_now(&fixture->addr);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)fd + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int64_t start_ms = time_mono_ms();
    int turns = 0;
    while (time_mono_ms() - start_ms < 250) {
        loop_turn(fixture->loop, 100);
        turns++;
    }
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(fixture->accepted, 0);
    assert_true(turns < 20); /* it rests; it does not spin */
    TURN_UNTIL(fixture->loop, fixture->accepted == 1);
}

static void count_accepted(void *user, int fd, const NetAddr *peer)
{
    (void)peer;
    close(fd);
    ++*(int *)user;
}

/* Two loops share a socket: each connection is accepted once, by one that is awake. */
static void test_listener_is_shared(void **state)
{
    Fixture *fixture = *state;
    Err err;
    Loop *other;
    Listener *second;
    int others = 0;
    listen_at(fixture, "127.0.0.1");
    assert_true(any_loop_new(&other, &err));
    assert_true(listener_new(other, fixture->listen_fd, count_accepted, &others, &second, &err));
    for (int i = 1; i <= 10; i++) {
        CLEANUP(fd_close) int fd = connect_now(&fixture->addr);
        assert_true(fd >= 0);
        loop_turn(i % 2 == 0 ? other : fixture->loop, 50);
        loop_turn(i % 2 == 0 ? fixture->loop : other, 0);
        assert_int_equal(fixture->accepted + others, i);
    }
    assert_true(fixture->accepted > 0 && others > 0);
    listener_free(second);
    loop_free(other);
}

static void free_own_listener(void *user, int fd, const NetAddr *peer)
{
    (void)peer;
    Fixture *fixture = user;
    close(fd);
    fixture->accepted++;
    listener_free(fixture->listener);
    fixture->listener = NULL;
}

static void test_listener_frees_itself(void **state)
{
    Fixture *fixture = *state;
    Err err;
    listen_at(fixture, "127.0.0.1");
    listener_free(fixture->listener);
    assert_true(listener_new(fixture->loop, fixture->listen_fd, free_own_listener, fixture,
                             &fixture->listener, &err));
    CLEANUP(fd_close) int one = connect_now(&fixture->addr);
    CLEANUP(fd_close) int two = connect_now(&fixture->addr);
    assert_true(one >= 0 && two >= 0);
    turns_settle(fixture->loop);
    assert_int_equal(fixture->accepted, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks),
        TEST(test_addresses),
        TEST(test_tcp),
        TEST(test_unix),
        TEST(test_abstract),
        TEST(test_connect_is_refused),
        TEST(test_connect_time_out),
        TEST(test_listener_pauses),
        TEST(test_listener_out_of_fds),
        TEST(test_listener_is_shared),
        TEST(test_listener_frees_itself),
    };
    return cmocka_run_group_tests_name("net", tests, NULL, NULL);
}
