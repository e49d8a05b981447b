/*
 * The guard process itself. One thread, one engine. Guard.state is the machine of guard.h: nothing
 * but guard_reap moves it on from RUNNING or STOPPING, and nothing but guard_finish ends it.
 *
 * What was not there when the engine ended cannot appear later: its children are re-parented to us,
 * the subreaper, before waitpid tells of its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guard/guard_priv.h"

#define MODULE         "guard"
#define CONNS_MAX      16
#define TERM_STOP_MS   60000 /* SIGTERM to the guard: the first mode's time */
#define KILL_REPEAT_MS 100   /* while reaping: children of children come to us one by one */
#define LAST_WORDS_MS  500   /* for agents to read the report */
#define EXIT_HELD      3     /* another guard holds the node */

typedef struct GuardArgs {
    const char *run;
    const char *node;
    GuardModes modes;
    EngineSpec engine;
    int64_t fence_ms; /* of CLOCK_BOOTTIME; 0: none */
} GuardArgs;

typedef struct Guard {
    GuardArgs args;
    Loop *loop;
    int lock_fd;
    int listen_fd;
    Listener *listener;
    List conns;
    GuardState state;
    pid_t engine;
    size_t left;
    bool killing;        /* the last step of stopping was taken */
    int64_t stop_due_ms; /* loop time */
    LoopTimer escalation;
    LoopTimer kill_again;
    GuardDeadline fence;
    LoopTimer last_words;
    GuardExit end;
} Guard;

typedef struct Conn {
    ListNode node;
    Guard *guard;
    Stream *stream;
} Conn;

/* ---- arguments --------------------------------------------------------------------------------
 */

static bool args_id(const char *text, uint32_t *ret_id, Err *err)
{
    uint64_t id;
    if (!str_to_u64(slice_of(text), &id) || id >= UINT32_MAX) {
        return err_set(err, ERR_INVALID, "'%s' is not a uid or gid", text);
    }
    *ret_id = (uint32_t)id;
    return true;
}

static bool args_option(GuardArgs *args, const char *name, const char *value, Err *err)
{
    EngineSpec *engine = &args->engine;
    if (strcmp(name, "--run") == 0) {
        args->run = value;
    } else if (strcmp(name, "--node") == 0) {
        args->node = value;
    } else if (strcmp(name, "--cwd") == 0) {
        engine->cwd = value;
    } else if (strcmp(name, "--log") == 0) {
        engine->log_path = value;
    } else if (strcmp(name, "--fence") == 0) {
        return (str_to_i64(slice_of(value), &args->fence_ms) && args->fence_ms >= 0) ||
               err_set(err, ERR_INVALID, "--fence takes milliseconds of CLOCK_BOOTTIME");
    } else if (strcmp(name, "--stop-signals") == 0) {
        return guard_modes_parse(slice_of(value), &args->modes, err);
    } else if (strcmp(name, "--death-signal") == 0) {
        engine->death_signal = guard_signal_number(slice_of(value));
    } else if (strcmp(name, "--uid") == 0) {
        engine->account.drop = true;
        return args_id(value, &engine->account.uid, err);
    } else if (strcmp(name, "--gid") == 0) {
        return args_id(value, &engine->account.gid, err);
    } else {
        return err_set(err, ERR_INVALID, "unknown option %s", name);
    }
    return true;
}

static bool args_path(const char *path, const char *name, Err *err)
{
    return (path != NULL && path[0] == '/') ||
           err_set(err, ERR_INVALID, "%s takes an absolute path", name);
}

static bool args_parse(int argc, char **argv, GuardArgs *ret_args, Err *err)
{
    GuardArgs args = {.engine.account.gid = UINT32_MAX};
    int at = 1;
    for (; at < argc && strcmp(argv[at], "--") != 0; at += 2) {
        if (at + 1 >= argc) {
            return err_set(err, ERR_INVALID, "%s takes a value", argv[at]);
        }
        TRY(args_option(&args, argv[at], argv[at + 1], err));
    }
    args.engine.argv = at < argc ? argv + at + 1 : argv + argc;
    TRY(args_path(args.run, "--run", err));
    TRY(args_path(args.engine.cwd, "--cwd", err));
    TRY(args_path(args.engine.log_path, "--log", err));
    TRY(args_path(args.engine.argv[0], "the engine behind --", err));
    TRY(guard_node_check(args.node != NULL ? args.node : "", err));
    if (args.modes.len == 0 || args.engine.death_signal == 0) {
        return err_set(err, ERR_INVALID, "--stop-signals and --death-signal are needed");
    }
    if (args.engine.account.drop != (args.engine.account.gid != UINT32_MAX)) {
        return err_set(err, ERR_INVALID, "--uid and --gid go together");
    }
    *ret_args = args;
    return true;
}

/* ---- stopping ---------------------------------------------------------------------------------
 */

/* Everything that is left of the engine, and again until nothing is. */
static void guard_kill_all(void *user)
{
    Guard *guard = user;
    guard->killing = true;
    guard->left = procs_kill_children();
    if (!loop_timer_armed(&guard->kill_again)) {
        loop_timer_start(guard->loop, &guard->kill_again, KILL_REPEAT_MS, KILL_REPEAT_MS,
                         guard_kill_all, guard);
    }
}

static void guard_escalate(void *user)
{
    Guard *guard = user;
    const GuardMode *hardest = &guard->args.modes.modes[guard->args.modes.len - 1];
    log_warn(MODULE, "%s does not stop in time: %s", guard->args.node, hardest->name);
    kill(guard->engine, hardest->signal);
    loop_timer_start(guard->loop, &guard->escalation, GUARD_HARD_MS, 0, guard_kill_all, guard);
}

/* A later stop may be harder or sooner; it never gives the engine more time. */
static void guard_stop_engine(Guard *guard, int signal, int64_t timeout_ms)
{
    if (guard->state > GUARD_STOPPING || guard->killing) {
        return;
    }
    bool first = guard->state == GUARD_RUNNING;
    guard->state = GUARD_STOPPING;
    guard->end.asked = true;
    kill(guard->engine, signal);
    kill(guard->engine, SIGCONT); /* a stopped process hears nothing else */
    int64_t due = loop_now_ms(guard->loop) + timeout_ms;
    if (first || due < guard->stop_due_ms) {
        guard->stop_due_ms = due;
        loop_timer_start(guard->loop, &guard->escalation, timeout_ms, 0, guard_escalate, guard);
    }
}

static void guard_kill_engine(Guard *guard)
{
    if (guard->state <= GUARD_STOPPING) {
        guard->state = GUARD_STOPPING;
        guard->end.asked = true;
        guard_kill_all(guard);
    }
}

/* ---- the fence deadline ------------------------------------------------------------------------
 */

/* Nobody asked for this end: whoever finds it takes the engine for one that has died. */
static void guard_fence_over(void *user)
{
    Guard *guard = user;
    if (guard->state <= GUARD_STOPPING) {
        log_warn(MODULE, "%s: nobody says any more that it may run: it is ended", guard->args.node);
        guard->state = GUARD_STOPPING;
        guard_kill_all(guard);
    }
}

/* One that is over cannot be put off any more: somebody may have gone by it. */
static void guard_fence_set(Guard *guard, int64_t until_ms)
{
    if (guard_deadline_is_over(&guard->fence)) {
        guard_fence_over(guard);
    } else if (until_ms == 0 || until_ms > guard->fence.until_ms) {
        guard_deadline_set(&guard->fence, until_ms);
    }
}

/* ---- the end ----------------------------------------------------------------------------------
 */

static void guard_write_record(const Guard *guard)
{
    Buf line;
    Err err;
    buf_init(&line, GUARD_LINE_MAX);
    guard_exit_format(&guard->end, &line);
    CLEANUP(mem_free_ptr)
    char *path = guard_path(guard->args.run, guard->args.node, GUARD_FILE_EXIT);
    if (!file_write(path, buf_slice(&line), 0600, &err)) {
        log_error(MODULE, "%s", err.message);
    }
    buf_done(&line);
}

static void guard_leave(void *user)
{
    Guard *guard = user;
    loop_stop(guard->loop);
}

/* Nothing is left: record first, then the agents, then the guard's own end. */
static void guard_finish(Guard *guard)
{
    char text[PROCESS_EXIT_TEXT_SIZE];
    Buf line;
    guard->state = GUARD_EXITED;
    loop_timer_stop(&guard->escalation);
    loop_timer_stop(&guard->kill_again);
    guard_deadline_done(&guard->fence);
    process_exit_format(&guard->end.end, text);
    log_info(MODULE, "the engine of %s %s", guard->args.node, text);
    guard_write_record(guard);
    buf_init(&line, GUARD_LINE_MAX);
    guard_exit_format(&guard->end, &line);
    LIST_FOR_EACH (&guard->conns, node) {
        Conn *conn = CONTAINER_OF(node, Conn, node);
        stream_write(conn->stream, buf_slice(&line));
        stream_end(conn->stream);
    }
    buf_done(&line);
    listener_free(guard->listener);
    guard->listener = NULL;
    loop_timer_start(guard->loop, &guard->last_words, guard->conns.len > 0 ? LAST_WORDS_MS : 0, 0,
                     guard_leave, guard);
}

static void guard_engine_ended(Guard *guard, int status)
{
    guard->end.end = (ProcessExit){
        .known = true,
        .exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
        .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
    };
    guard->end.ended_ms = time_wall_ms();
    guard->engine = 0;
    guard->state = GUARD_REAPING;
    loop_timer_stop(&guard->escalation);
}

/* Reaps whoever has died. */
static void guard_reap(Guard *guard)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid > 0 && pid == guard->engine) {
            guard_engine_ended(guard, status);
        } else if (pid == 0 || (pid < 0 && errno == ECHILD)) {
            if (guard->state != GUARD_REAPING) {
                return;
            }
            if (pid < 0) {
                guard_finish(guard);
            } else {
                guard_kill_all(guard);
            }
            return;
        }
    }
}

static void guard_on_signal(void *user, int signo)
{
    Guard *guard = user;
    if (signo == SIGCHLD) {
        guard_reap(guard);
    } else {
        guard_stop_engine(guard, guard->args.modes.modes[0].signal, TERM_STOP_MS);
    }
}

/* ---- agents -----------------------------------------------------------------------------------
 */

static void conn_free(Conn *conn)
{
    list_remove(&conn->guard->conns, &conn->node);
    mem_free(conn);
}

static void conn_answer(Conn *conn, Slice line)
{
    Guard *guard = conn->guard;
    GuardRequest request;
    Err err;
    Buf out;
    buf_init(&out, GUARD_LINE_MAX);
    if (!guard_request_parse(line, &guard->args.modes, &request, &err)) {
        buf_printf(&out, "error %s\n", err.message);
    } else if (request.kind == GUARD_REQUEST_STATUS) {
        GuardStatus status = {guard->state, guard->engine, guard->end.started_ms, guard->left};
        guard_status_format(&status, &out);
    } else if (request.kind == GUARD_REQUEST_SIGNAL && guard->engine == 0) {
        buf_append_str(&out, "error the engine has ended\n");
    } else {
        if (request.kind == GUARD_REQUEST_STOP) {
            guard_stop_engine(guard, request.signal, request.timeout_ms);
        } else if (request.kind == GUARD_REQUEST_KILL) {
            guard_kill_engine(guard);
        } else if (request.kind == GUARD_REQUEST_FENCE) {
            guard_fence_set(guard, request.until_ms);
        } else {
            kill(guard->engine, request.signal);
        }
        buf_append_str(&out, "ok\n");
    }
    stream_write(conn->stream, buf_slice(&out));
    buf_done(&out);
}

static size_t conn_on_read(void *user, Stream *stream, Slice data)
{
    Conn *conn = user;
    size_t used = 0;
    for (;;) {
        Slice rest = slice_skip(data, used);
        const char *end = rest.len > 0 ? memchr(rest.data, '\n', rest.len) : NULL;
        size_t len = end != NULL ? (size_t)(end - rest.data) : rest.len;
        if (len > GUARD_REQUEST_MAX) {
            stream_write(stream, SLICE("error the line is too long\n"));
            stream_close(stream);
            conn_free(conn);
            return data.len;
        }
        if (end == NULL) {
            return used;
        }
        if (conn->guard->state != GUARD_EXITED) {
            conn_answer(conn, slice_from(rest.data, len));
        }
        used += len + 1;
    }
}

static void conn_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    Guard *guard = ((Conn *)user)->guard;
    conn_free(user);
    if (guard->state == GUARD_EXITED && guard->conns.len == 0) {
        guard_leave(guard); /* all have heard it */
    }
}

static bool conn_allowed(const Stream *stream)
{
    PeerCred peer;
    return stream_peer_cred(stream, &peer, NULL) && (peer.uid == 0 || peer.uid == geteuid());
}

static void guard_on_accept(void *user, int fd, const NetAddr *peer)
{
    static const StreamHandlers handlers = {.on_read = conn_on_read, .on_closed = conn_on_closed};
    (void)peer;
    Guard *guard = user;
    if (guard->conns.len >= CONNS_MAX) {
        log_warn(MODULE, "more than %d connections: one is refused", CONNS_MAX);
        fd_close(&fd);
        return;
    }
    Conn *conn = mem_alloc(sizeof(Conn));
    conn->guard = guard;
    conn->stream =
        stream_adopt(guard->loop, fd, &(StreamOptions){.handlers = &handlers, .user = conn});
    list_push_back(&guard->conns, &conn->node);
    if (!conn_allowed(conn->stream)) {
        log_warn(MODULE, "a connection of another account is refused");
        stream_abort(conn->stream);
        conn_free(conn);
    }
}

/* ---- life -------------------------------------------------------------------------------------
 */

/* A process that nobody's terminal, memory shortage or current directory can hurt. */
static bool guard_become(Err *err)
{
    setsid(); /* fails where we lead a session already */
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t ignored = write(fd, "-900", 4); /* for root alone */
        (void)ignored;
        fd_close(&fd);
    }
    if (chdir("/") != 0) {
        return err_set_errno(err, errno, "cannot enter /");
    }
    return prctl(PR_SET_CHILD_SUBREAPER, 1) == 0 ||
           err_set_errno(err, errno, "cannot become a subreaper");
}

/* The lock is held until the process ends: the descriptor is never closed. */
static bool guard_lock(Guard *guard, bool *ret_held, Err *err)
{
    CLEANUP(mem_free_ptr) char *folder = guard_folder(guard->args.run);
    CLEANUP(mem_free_ptr)
    char *path = guard_path(guard->args.run, guard->args.node, GUARD_FILE_LOCK);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    TRY(dir_make(folder, 0700, err));
    guard->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (guard->lock_fd < 0) {
        return err_set_errno(err, errno, "cannot open %s", path);
    }
    if (fcntl(guard->lock_fd, F_SETLK, &lock) != 0) {
        *ret_held = errno == EACCES || errno == EAGAIN;
        return *ret_held ? err_set(err, ERR_EXISTS, "another guard holds %s", guard->args.node)
                         : err_set_errno(err, errno, "cannot lock %s", path);
    }
    return true;
}

static bool guard_listen(Guard *guard, Err *err)
{
    CLEANUP(mem_free_ptr)
    char *path = guard_path(guard->args.run, guard->args.node, GUARD_FILE_SOCKET);
    NetAddr addr;
    unlink(path); /* we hold the lock: whoever made it is dead */
    TRY(net_addr_parse(path, 0, &addr, err));
    return net_listen(&addr, &(NetListenOptions){.mode = 0600, .backlog = CONNS_MAX},
                      &guard->listen_fd, err);
}

static bool guard_start(Guard *guard, Err *err)
{
    static const int signals[] = {SIGCHLD, SIGTERM, 0};
    CLEANUP(mem_free_ptr)
    char *record = guard_path(guard->args.run, guard->args.node, GUARD_FILE_EXIT);
    if (unlink(record) != 0 && errno != ENOENT) {
        return err_set_errno(err, errno, "cannot remove %s", record);
    }
    TRY(loop_new(&guard->loop, err));
    TRY(loop_signals(guard->loop, signals, guard_on_signal, guard, err));
    TRY(guard_listen(guard, err));
    TRY(listener_new(guard->loop, guard->listen_fd, guard_on_accept, guard, &guard->listener, err));
    TRY(guard_deadline_init(&guard->fence, guard->loop, guard_fence_over, guard, err));
    TRY(engine_start(&guard->args.engine, &guard->engine, err));
    guard->end.started_ms = time_wall_ms();
    guard_deadline_set(&guard->fence, guard->args.fence_ms);
    return true;
}

static void guard_done(Guard *guard)
{
    listener_free(guard->listener);
    guard_deadline_done(&guard->fence);
    if (guard->loop != NULL) {
        loop_free(guard->loop);
    }
    for (ListNode *node; (node = list_pop_front(&guard->conns)) != NULL;) {
        mem_free(CONTAINER_OF(node, Conn, node));
    }
    CLEANUP(mem_free_ptr)
    char *path = guard_path(guard->args.run, guard->args.node, GUARD_FILE_SOCKET);
    unlink(path);
    fd_close(&guard->listen_fd);
}

static int guard_run(Guard *guard)
{
    Err err;
    bool held = false;
    if (!guard_become(&err) || !guard_lock(guard, &held, &err)) {
        log_error(MODULE, "%s", err.message);
        return held ? EXIT_HELD : 1;
    }
    bool started = guard_start(guard, &err);
    if (started) {
        log_info(MODULE, "the engine of %s runs as pid %d", guard->args.node, (int)guard->engine);
        loop_run(guard->loop);
    } else {
        log_error(MODULE, "%s", err.message);
        snprintf(guard->end.error, sizeof(guard->end.error), "%s", err.message);
        guard->end.end = (ProcessExit){.exit_code = -1};
        guard->end.ended_ms = time_wall_ms();
        guard_write_record(guard);
    }
    guard_done(guard);
    return started ? 0 : 1;
}

int guard_main(int argc, char **argv)
{
    Guard guard = {.lock_fd = -1, .listen_fd = -1, .fence.fd = -1, .state = GUARD_RUNNING};
    Err err;
    list_init(&guard.conns);
    if (!args_parse(argc, argv, &guard.args, &err)) {
        fprintf(stderr, "weir guard: %s\n", err.message);
        return err_exit_code(err.code);
    }
    return guard_run(&guard);
}
