/* The plane's side of the agent's socket, against an agent on the same loop. */
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../folder.h"

#include "plane/plane.h"

typedef struct World {
    Loop *loop;
    char *run;
    int listen_fd;
    Listener *listener;
    Stream *agent; /* the agent's end */
    Buf heard;     /* what the plane said on this connection */
    Plane *plane;
    Succession *succession;
    int configs, stops;
    bool refuse;
} World;

static size_t agent_on_read(void *user, Stream *stream, Slice data)
{
    World *w = user;
    (void)stream;
    buf_append_slice(&w->heard, data);
    return data.len;
}

static void agent_on_closed(void *user, Stream *stream, const Err *err)
{
    World *w = user;
    (void)stream;
    (void)err;
    w->agent = NULL;
}

static const StreamHandlers agent_handlers = {.on_read = agent_on_read,
                                              .on_closed = agent_on_closed};

static void agent_on_accept(void *user, int fd, const NetAddr *peer)
{
    World *w = user;
    (void)peer;
    StreamOptions options = {.handlers = &agent_handlers, .user = w};
    buf_clear(&w->heard);
    w->agent = stream_adopt(w->loop, fd, &options);
}

static bool on_config(void *user, const json_t *config, Err *err)
{
    World *w = user;
    w->configs++;
    return json_is_object(config) && !w->refuse
               ? true
               : err_set(err, ERR_INVALID, "listeners: caf\xe9 is no address");
}

static void on_stop(void *user)
{
    World *w = user;
    w->stops++;
}

static const SuccessionHandlers nobody = {.on_stop = on_stop};
static const PlaneHandlers handlers = {.on_config = on_config, .on_stop = on_stop};

static void agent_listen(World *w)
{
    Err err;
    NetAddr addr;
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/agent.sock", w->run);
    assert_true(net_addr_parse(path, 0, &addr, &err));
    assert_true(net_listen(&addr, &(NetListenOptions){0}, &w->listen_fd, &err));
    assert_true(listener_new(w->loop, w->listen_fd, agent_on_accept, w, &w->listener, &err));
}

static void world_init(World *w)
{
    Err err;
    *w = (World){.run = folder_make()};
    assert_true(loop_new(&w->loop, &err));
    buf_init(&w->heard, BUF_MAX_DEFAULT);
    agent_listen(w);
    PlaneArgs args = {"db-1", w->run};
    assert_true(plane_succession_new(w->loop, &args, &nobody, w, &w->succession, &err));
    assert_true(plane_new(w->loop, &args, w->succession, &handlers, w, &w->plane, &err));
}

static void world_done(World *w)
{
    plane_free(w->plane);
    succession_free(w->succession);
    listener_free(w->listener);
    fd_close(&w->listen_fd);
    loop_free(w->loop);
    buf_done(&w->heard);
    folder_remove(w->run);
}

/* Turns the loop until the plane has said `text`, for a second at most. */
static void expect(World *w, const char *text)
{
    for (int i = 0; i < 100; i++) {
        if (strstr(buf_str(&w->heard), text) != NULL) {
            return;
        }
        loop_turn(w->loop, 10);
    }
    fail_msg("\"%s\" was not said, but: %s", text, buf_str(&w->heard));
}

static void say(World *w, const char *text)
{
    buf_clear(&w->heard);
    stream_write(w->agent, slice_of(text));
}

static void settle(World *w)
{
    for (int i = 0; i < 5; i++) {
        loop_turn(w->loop, 5);
    }
}

static void test_config(void **state)
{
    (void)state;
    World w;
    world_init(&w);
    expect(&w, "{\"hello\":{\"id\":\"db-1\",\"pid\":");
    say(&w, "{\"config\":{\"b\":1,\"a\":2},\"epoch\":7}\n");
    expect(&w, "{\"applied\":7}\n");
    assert_int_equal(w.configs, 1);
    say(&w, "{\"epoch\":8,\"config\":{\"a\":2,\"b\":1}}\n"); /* the same: its files may not be */
    expect(&w, "{\"applied\":8}\n");
    assert_int_equal(w.configs, 2);
    w.refuse = true;
    say(&w, "{\"config\":{},\"epoch\":9}\n");
    expect(&w, "\"refused\":9");
    expect(&w, "listeners: caf? is no address");
    w.refuse = false;
    say(&w, "{\"config\":{},\"epoch\":10}\n"); /* refused is not applied */
    expect(&w, "{\"applied\":10}\n");
    assert_int_equal(w.configs, 4);
    /* In pieces, and two at once. */
    say(&w, "{\"config\":{\"x\":1},\"epo");
    settle(&w);
    say(&w, "ch\":11}\n{\"config\":{\"x\":2},\"epoch\":12}\n");
    expect(&w, "{\"applied\":12}\n");
    assert_int_equal(w.configs, 6);
    world_done(&w);
}

static void test_garbage_and_stop(void **state)
{
    (void)state;
    World w;
    world_init(&w);
    expect(&w, "hello");
    say(&w, "no json\n{}\n[]\n\n{\"config\":{}}\n{\"stop\":false}\n{\"config\":5,\"epoch\":1}\n");
    expect(&w, "\"refused\":1");
    assert_int_equal(w.stops, 0);
    say(&w, "{\"stop\":true}\n{\"config\":{},\"epoch\":2}\n");
    expect(&w, "applied");
    assert_int_equal(w.stops, 1);
    world_done(&w);
}

static void test_status_and_events(void **state)
{
    (void)state;
    World w;
    world_init(&w);
    plane_event(w.plane, "before \"anybody\" \xff");
    plane_status(w.plane, json_pack("{s:i}", "clients", 1));
    expect(&w, "{\"status\":{\"clients\":1}}\n");
    expect(&w, "{\"event\":{\"message\":\"before \\\"anybody\\\" ?\"}}\n");
    buf_clear(&w.heard);
    plane_status(w.plane, json_pack("{s:i}", "clients", 1));
    settle(&w);
    assert_int_equal(w.heard.len, 0);
    plane_status(w.plane, json_pack("{s:i}", "clients", 2));
    expect(&w, "{\"status\":{\"clients\":2}}\n");
    world_done(&w);
}

static void test_reconnects(void **state)
{
    (void)state;
    World w;
    world_init(&w);
    plane_status(w.plane, json_pack("{s:i}", "clients", 3));
    expect(&w, "clients");
    say(&w, "{\"config\":{},\"epoch\":1}\n");
    expect(&w, "applied");
    stream_abort(w.agent);
    w.agent = NULL;
    listener_free(w.listener);
    fd_close(&w.listen_fd);
    settle(&w);
    assert_false(plane_connected(w.plane));
    for (int i = 0; i < PLANE_EVENTS_MAX + 5; i++) {
        plane_event(w.plane, "event %d.", i);
    }
    agent_listen(&w);
    expect(&w, "hello");
    expect(&w, "{\"status\":{\"clients\":3}}");
    expect(&w, "event 68.");
    assert_null(strstr(buf_str(&w.heard), "event 4."));
    assert_non_null(strstr(buf_str(&w.heard), "event 5."));
    say(&w, "{\"config\":{},\"epoch\":1}\n");
    expect(&w, "applied");
    assert_int_equal(w.configs, 2);
    world_done(&w);
}

static void test_lock(void **state)
{
    (void)state;
    World w;
    world_init(&w);
    pid_t child = fork();
    if (child == 0) {
        Err err;
        Succession *second;
        Loop *loop;
        PlaneArgs args = {"db-1", w.run};
        bool refused = loop_new(&loop, &err) &&
                       !plane_succession_new(loop, &args, &nobody, &w, &second, &err) &&
                       err.code == ERR_EXISTS;
        _exit(refused ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    CLEANUP(mem_free_ptr) char *path = mem_printf("%s/plane/db-1.lock", w.run);
    assert_true(file_exists(path));
    world_done(&w);
}

/* Parses a command line whose words have one space between them; it lives in `copy`. */
static bool parse(const char *line, char *copy, PlaneArgs *ret_args)
{
    char *argv[8];
    int argc = 0;
    Err err;
    memcpy(copy, line, strlen(line) + 1);
    for (char *word = copy; word != NULL && argc < 8; argc++) {
        argv[argc] = word;
        char *space = strchr(word, ' ');
        if (space != NULL) {
            *space++ = '\0';
        }
        word = space;
    }
    return plane_args_parse(argc, argv, ret_args, &err);
}

static void test_arguments(void **state)
{
    (void)state;
    PlaneArgs args;
    char copy[128];
    assert_true(parse("proxy --run /run/x --id db_1.a-B", copy, &args));
    assert_string_equal(args.id, "db_1.a-B");
    assert_string_equal(args.run_dir, "/run/x");
    const char *bad[] = {"p --id a --run",
                         "p --id a",
                         "p --id a/b --run /x",
                         "p --id  --run /x",
                         "p --id .x --run /x",
                         "p --what a --run /x",
                         "p"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_false(parse(bad[i], copy, &args));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_garbage_and_stop),
        cmocka_unit_test(test_status_and_events),
        cmocka_unit_test(test_reconnects),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
