/* The gate in front of a PostgreSQL leads to the engine that it was opened for, and to no later
 * one. */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../folder.h"

#include "engine/engine.h"

static struct sockaddr_un address_in(const char *folder)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/.s.PGSQL.5432", folder);
    return addr;
}

/* Plays the engine: removes what an earlier one left, and listens. */
static int engine_start(const EnginePaths *paths)
{
    struct sockaddr_un addr = address_in(paths->socket_dir);
    unlink(addr.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static bool client_enters(const EnginePaths *paths)
{
    struct sockaddr_un addr = address_in(paths->client_dir);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool entered = connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0;
    close(fd);
    return entered;
}

static void test_gate(void **state)
{
    (void)state;
    Arena *arena = arena_new();
    Err err;
    char *run = folder_make();
    const EnginePaths paths = engine_paths(arena, "/d", run, "node");
    assert_true(dir_make(paths.socket_dir, 0700, &err));

    assert_false(pg_gate_is_open(&paths));
    assert_false(pg_gate_open(&paths, getegid(), &err)); /* there is no engine */
    int first = engine_start(&paths);
    assert_false(pg_gate_is_open(&paths));
    assert_false(client_enters(&paths));
    assert_true(pg_gate_open(&paths, getegid(), &err));
    assert_true(pg_gate_is_open(&paths));
    assert_true(client_enters(&paths));
    assert_true(pg_gate_open(&paths, getegid(), &err)); /* twice is fine */
    assert_true(client_enters(&paths));

    close(first); /* killed: it leaves its socket */
    assert_false(client_enters(&paths));
    int second = engine_start(&paths);
    assert_false(pg_gate_is_open(&paths));
    assert_false(client_enters(&paths));
    assert_true(pg_gate_open(&paths, getegid(), &err));
    assert_true(client_enters(&paths));

    struct stat info;
    assert_int_equal(stat(paths.client_dir, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0750);
    close(second);
    folder_remove(run);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gate)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
