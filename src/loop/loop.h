/*
 * loop: the only place that waits. An epoll loop (level-triggered) with fd watchers, timers,
 * deferred calls, signals, process ends and posts from other threads; plain and TLS streams over
 * TCP and Unix sockets; a pool of threads for blocking work; commands and detached processes.
 *
 * Threads: a Loop and everything on it belong to the thread that runs it. Only what says
 * "any thread" may be called from elsewhere. One Loop per worker thread.
 *
 * One turn: wait; read the clock once; call the watchers of all ready fds, then the timers that are
 * due; then the end of the turn: deferred calls, stream notices (on_open, on_drained, on_closed),
 * one send per stream that was written to. No handler is ever called from inside a call that it or
 * anybody else makes into the loop; only from a turn.
 *
 * Life: any watcher, stream or listener may be closed from any handler on the same loop, its own
 * included. A late event never reaches it.
 */
#ifndef WEIR_LOOP_H
#define WEIR_LOOP_H

#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/base.h"
#include "crypto/crypto.h"

/* ---- the loop ------------------------------------------------------------------------------- */

typedef struct Loop Loop;

NODISCARD bool loop_new(Loop **ret_loop, Err *err);
/* Streams that are left are closed without calling handlers; free everything else on it, and Jobs,
 * first. NULL is fine. */
void loop_free(Loop *loop);
/* From now on streams of this loop receive and send by io_uring: fewer system calls, which helps
 * where the peers share the processors. Nothing else changes. Before there is any stream, and
 * before it runs, on any thread. It needs Linux 6.1, and that nobody forbids it: err says why not,
 * and then all is as before. A loop has 4 MiB of buffers then. */
NODISCARD bool loop_use_uring(Loop *loop, Err *err);
bool loop_uses_uring(const Loop *loop);
void loop_run(Loop *loop); /* until loop_stop */
/* One turn that waits `wait_max_ms` at most (-1: as long as it takes). */
void loop_turn(Loop *loop, int64_t wait_max_ms);
/* Any thread. The loop ends after this turn, or after the first one if it does not run yet. */
void loop_stop(Loop *loop);
/* CLOCK_MONOTONIC as of this turn. Ask for it, never keep it. */
int64_t loop_now_ms(const Loop *loop);
int64_t loop_now_us(const Loop *loop); /* the same moment */

typedef void LoopFn(void *user);

/* Any thread: calls fn on the loop's thread, in the order of the posts of one thread. What is
 * posted after the last turn is never called. Whoever posts bounds how much. */
void loop_post(Loop *loop, LoopFn *fn, void *user);
void loop_wake(Loop *loop); /* any thread: the loop takes a turn now */

/* ---- fd watchers ------------------------------------------------------------------------------
 */

typedef struct LoopFd LoopFd;
typedef void LoopFdFn(void *user, uint32_t events); /* EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR */

/* Calls fn in every turn in which one of `events` holds, or HUP or ERR does; with `events` 0 it
 * watches for nothing. The fd stays the caller's: remove the watcher before closing it. */
NODISCARD bool loop_fd_add(Loop *loop, int fd, uint32_t events, LoopFdFn *fn, void *user,
                           LoopFd **ret_watcher, Err *err);
void loop_fd_set(LoopFd *watcher, uint32_t events);
void loop_fd_remove(LoopFd *watcher); /* NULL is fine */

/* ---- timers and deferred calls: embedded in the caller's struct --------------------------------
 */

/* Zero-initialise, then loop_timer_start. Stop it before its memory goes. */
typedef struct LoopTimer {
    Loop *loop_; /* NULL: not armed */
    LoopFn *fn_;
    void *user_;
    int64_t due_ms_;
    int64_t repeat_ms_;
    size_t slot_;
} LoopTimer;

/* Calls fn after delay_ms and, when repeat_ms > 0, every repeat_ms from then on (a loop that was
 * late does not catch up). On an armed timer it replaces everything; moving it later is cheap. */
void loop_timer_start(Loop *loop, LoopTimer *timer, int64_t delay_ms, int64_t repeat_ms, LoopFn *fn,
                      void *user);
void loop_timer_stop(LoopTimer *timer); /* not armed is fine */
bool loop_timer_armed(const LoopTimer *timer);

/* A call at the end of this turn, however often it was asked for. Zero-initialise. */
typedef struct LoopDefer {
    ListNode node_;
    Loop *loop_; /* NULL: not queued */
    LoopFn *fn_;
    void *user_;
} LoopDefer;

/* Queued from inside a deferred call, it runs in the next turn, which then comes at once. */
void loop_defer(Loop *loop, LoopDefer *defer, LoopFn *fn, void *user);
void loop_defer_cancel(LoopDefer *defer); /* not queued is fine */

/* ---- signals ----------------------------------------------------------------------------------
 */

typedef void LoopSignalFn(void *user, int signo);

/* Takes these signals (0-terminated) for the process. It blocks them in the calling thread: call it
 * before any other thread is started. Once per loop. */
NODISCARD bool loop_signals(Loop *loop, const int *signals, LoopSignalFn *fn, void *user, Err *err);

/* ---- ends of processes --------------------------------------------------------------------------
 */

typedef struct ProcessExit {
    bool known;    /* false: it was not our child, so nobody told us how */
    int exit_code; /* -1: a signal ended it, or not known */
    int signal;    /* 0: none */
} ProcessExit;

#define PROCESS_EXIT_TEXT_SIZE 64
/* "exited with status 1", "was killed by signal 9 (Killed)", "ended". */
void process_exit_format(const ProcessExit *end, char out[static PROCESS_EXIT_TEXT_SIZE]);

typedef struct LoopProcess LoopProcess;
typedef void LoopProcessFn(void *user, const ProcessExit *end);

/* Calls fn once when the process has ended; a child of ours is reaped by then. The watcher is gone
 * when fn is called. ERR_NOT_FOUND: no such process. */
NODISCARD bool loop_process_watch(Loop *loop, pid_t pid, LoopProcessFn *fn, void *user,
                                  LoopProcess **ret_watcher, Err *err);
/* The same for a pidfd, which it takes, also when it fails. */
NODISCARD bool loop_process_watch_fd(Loop *loop, int pidfd, LoopProcessFn *fn, void *user,
                                     LoopProcess **ret_watcher, Err *err);
/* The watcher's own pidfd, to signal the process without a race. */
int loop_process_fd(const LoopProcess *watcher);
void loop_process_unwatch(LoopProcess *watcher); /* NULL is fine; the process is left alone */

/* ---- addresses and sockets
 * ----------------------------------------------------------------------- */

typedef struct NetAddr {
    struct sockaddr_storage storage;
    socklen_t len;
} NetAddr;

#define NET_ADDR_TEXT_SIZE 128

/* An IPv4 or IPv6 address in text form with a port; or, port ignored, a Unix socket: a path with a
 * slash, or "@name" for an abstract one. */
NODISCARD bool net_addr_parse(const char *host, uint16_t port, NetAddr *ret_addr, Err *err);
/* The same, but also resolves names. Blocks: for jobs. */
NODISCARD bool net_addr_resolve(const char *host, uint16_t port, NetAddr *ret_addr, Err *err);
/* "127.0.0.1:5432", "[::1]:5432", "/run/x.sock", "@name", "unix". */
void net_addr_format(const NetAddr *addr, char out[static NET_ADDR_TEXT_SIZE]);
/* The host part alone, in text form; empty for Unix sockets. */
void net_addr_host(const NetAddr *addr, char out[static NET_ADDR_TEXT_SIZE]);
uint16_t net_addr_port(const NetAddr *addr); /* 0 for Unix sockets */
bool net_addr_same(const NetAddr *a, const NetAddr *b);

/* A network: "10.0.0.0/8", "fd00::/8". The bits behind the prefix do not count. */
typedef struct NetCidr {
    sa_family_t family;
    unsigned bits;
    uint8_t bytes[16];
} NetCidr;

NODISCARD bool net_cidr_parse(Slice text, NetCidr *ret_cidr, Err *err);
/* An IPv4 address that came in over IPv6 (::ffff:1.2.3.4) counts as the IPv4 address. */
bool net_cidr_has(const NetCidr *cidr, const NetAddr *addr);

typedef struct NetListenOptions {
    int backlog;      /* 0: 1024 */
    bool reuse_port;  /* several sockets on one port */
    bool speak_first; /* clients do: TCP ones are accepted once they have, or a second later */
    mode_t mode;      /* of a Unix socket's file; 0: 0600. A dead socket in its place is removed,
                         one that answers is ERR_EXISTS */
} NetListenOptions;

/* A non-blocking listening socket. Port 0 picks one: see net_local_addr. */
NODISCARD bool net_listen(const NetAddr *addr, const NetListenOptions *options, int *ret_fd,
                          Err *err);
NODISCARD bool net_local_addr(int fd, NetAddr *ret_addr, Err *err);

/* ---- listeners
 * ------------------------------------------------------------------------------------ */

typedef struct Listener Listener;
/* The callee owns the fd (non-blocking, close-on-exec) and closes or adopts it. */
typedef void ListenerFn(void *user, int fd, const NetAddr *peer);

#define LISTENER_ACCEPTS_PER_TURN 64

/* Accepts on `fd`, which stays the caller's and may be shared by listeners on several loops: of
 * those, the kernel wakes one. Out of file descriptors it rests for 100 ms and goes on. */
NODISCARD bool listener_new(Loop *loop, int fd, ListenerFn *fn, void *user, Listener **ret_listener,
                            Err *err);
void listener_pause(Listener *listener); /* connections wait in the backlog */
void listener_resume(Listener *listener);
void listener_free(Listener *listener); /* NULL is fine */

/* ---- streams
 * --------------------------------------------------------------------------------------- */

/*
 * A connected stream socket, plain or under TLS, with the same calls for both. The loop owns it
 * from stream_connect or stream_adopt until exactly one of these happens: the owner calls
 * stream_close or stream_abort (no handler is called any more), or on_closed returns. After that
 * the pointer is dead. Both calls are allowed, and do nothing, inside on_closed.
 *
 * An idle stream holds no buffer.
 */
typedef struct Stream Stream;

typedef struct StreamHandlers {
    /* Connected, and under TLS where asked for; again after stream_start_tls. May be NULL. */
    void (*on_open)(void *user, Stream *stream);
    /* All unconsumed bytes that there are, the earlier ones included. Returns how many it is done
     * with; the rest is kept (up to keep_max) and given again with the next ones, or after
     * stream_resume. The bytes stay valid to the end of the turn, whatever is returned. */
    size_t (*on_read)(void *user, Stream *stream, Slice data);
    /* The peer has ended its side; bytes that were not consumed are in `rest`. We can still write.
     * NULL: as if stream_close were called and then on_closed with err NULL. */
    void (*on_eof)(void *user, Stream *stream, Slice rest);
    /* After stream_blocked: the peer has caught up, nothing is pending. May be NULL. */
    void (*on_drained)(void *user, Stream *stream);
    /* The last call: the stream ended by itself. err is NULL when the peer closed in good order. */
    void (*on_closed)(void *user, Stream *stream, const Err *err);
} StreamHandlers;

#define STREAM_READ_MAX            ((size_t)64 << 10) /* in one turn, of one stream */
#define STREAM_KEEP_MAX_DEFAULT    ((size_t)64 << 10)
#define STREAM_PENDING_MAX_DEFAULT ((size_t)16 << 20)
#define STREAM_TIMEOUT_MS_DEFAULT  10000
#define STREAM_LINGER_MS           2000
#define STREAM_SILENCE_S_DEFAULT   120
#define STREAM_SILENCE_S_MIN       5
#define STREAM_SILENCE_S_MAX       28800
#define STREAM_SILENCE_LOOK_MS     1000

typedef struct StreamOptions {
    const StreamHandlers *handlers;
    void *user;
    TlsContext *tls; /* NULL: plain. A server context accepts, a client context connects; it may
                        be freed while the stream lives */
    const char *tls_host; /* for a client: see tls_session_new */
    size_t keep_max;      /* unconsumed bytes while reading is not paused; more is ERR_LIMIT. 0: the
                             default */
    size_t pending_max;   /* unsent bytes; more is ERR_LIMIT. 0: the default */
    int64_t timeout_ms;   /* for connecting and for each TLS handshake. 0: the default */
    /* Of TCP: how long the peer's host may acknowledge nothing, while there is something to
     * acknowledge: what was sent, or a probe of an idle connection (by the system, from a quarter
     * of it on). Then it is ERR_TIMEOUT, STREAM_SILENCE_LOOK_MS later at most. A peer that only
     * does not read acknowledges that; its host is asked ever more seldom (up to two minutes
     * apart), and found to be gone so much later. 0: the default */
    uint32_t silence_s;
} StreamOptions;

/* Never fails at once: what goes wrong is told by on_closed in a later turn. */
Stream *stream_connect(Loop *loop, const NetAddr *to, const StreamOptions *options);
/* Takes a connected stream socket. TCP sockets get TCP_NODELAY and keepalive; one that has the
 * former has both, as those that were accepted on a socket of net_listen: only what differs from
 * the default is set then. */
Stream *stream_adopt(Loop *loop, int fd, const StreamOptions *options);

/* Queues a copy. It is sent at the end of the turn, or when the stream is open. On a stream that
 * has failed it does nothing: on_closed is on its way. */
void stream_write(Stream *stream, Slice data);
/* Queues without a copy. The bytes must stay as they are to the end of the turn: those given to an
 * on_read in this turn do, and so does constant text. */
void stream_write_ref(Stream *stream, Slice data);
size_t stream_pending(const Stream *stream); /* queued and not yet taken by the kernel */
/* Whether the kernel did not take all of an earlier turn: the peer is slower than we are. Stop
 * producing (pause the source); on_drained will say when to go on. */
bool stream_blocked(const Stream *stream);

/* Asks the kernel: nothing has come that was not read, not even the end. For a connection that lay
 * idle, in front of a request that must not be lost. One system call. */
bool stream_quiet(const Stream *stream);
/* Asks the kernel: the peer has ended its side, also where bytes before that are still to be read
 * or the stream is paused. One system call. */
bool stream_peer_ended(const Stream *stream);

void stream_pause(Stream *stream); /* no on_read, no on_eof */
void stream_resume(Stream *stream);
bool stream_paused(const Stream *stream);

/* After what was queued, nothing more will come from us. Nothing may be written after it. */
void stream_end(Stream *stream);
/* Sends what is queued, ends our side, waits up to STREAM_LINGER_MS for the peer to end its own (so
 * that it can read our last words), closes. */
void stream_close(Stream *stream);
void stream_abort(Stream *stream); /* closes at once; what is pending is lost */

/* TLS from here on. What was queued before goes out plain; bytes that on_read does not consume
 * belong to TLS, never to plain text (a plain-text injection fails the handshake). From on_read:
 * call it, then return what was consumed. on_open follows. */
void stream_start_tls(Stream *stream, TlsContext *tls, const char *host);
/* Whether the first bytes of a connection are a TLS record: call stream_start_tls, consume 0. */
bool stream_is_tls_hello(Slice data);
const TlsSession *stream_tls(const Stream *stream); /* NULL: plain */

void stream_set_handlers(Stream *stream, const StreamHandlers *handlers, void *user);
void *stream_user(const Stream *stream);
Loop *stream_loop(const Stream *stream);
NODISCARD bool stream_peer_addr(const Stream *stream, NetAddr *ret_addr, Err *err);
NODISCARD bool stream_local_addr(const Stream *stream, NetAddr *ret_addr, Err *err);

typedef struct PeerCred {
    pid_t pid;
    uid_t uid;
    gid_t gid;
} PeerCred;
/* Who is at the other end of a Unix socket, as of its connect. */
NODISCARD bool stream_peer_cred(const Stream *stream, PeerCred *ret_cred, Err *err);

size_t loop_stream_count(const Loop *loop); /* also those that are being closed */

/* ---- jobs: straight-line code that blocks
 * ------------------------------------------------------------ */

typedef struct Jobs Jobs;
typedef struct Job Job;
typedef void JobRunFn(void *arg, const Job *job); /* on a thread of the pool */
typedef void JobDoneFn(void *arg);                /* on the loop's thread, always, exactly once */

/* Threads are started when they are needed and stay. */
NODISCARD bool jobs_new(Loop *loop, size_t threads_max, size_t queue_max, Jobs **ret_jobs,
                        Err *err);
/* Cancels all, waits for those that run, calls done for every one that was submitted. */
void jobs_free(Jobs *jobs);
/* ERR_LIMIT when queue_max jobs wait; then neither run nor done is called. *ret_job (may be NULL)
 * is valid until done is called. A job that is cancelled before it starts is never run. */
NODISCARD bool jobs_submit(Jobs *jobs, JobRunFn *run, JobDoneFn *done, void *arg, Job **ret_job,
                           Err *err);
void job_cancel(Job *job);             /* asks; any thread */
bool job_is_cancelled(const Job *job); /* any thread; long jobs look now and then */
size_t jobs_waiting(Jobs *jobs);       /* not yet started */

/* ---- programs
 * ------------------------------------------------------------------------------------------ */

/* An account to drop to; `drop` false: stay who we are. The only supplementary group is gid. */
typedef struct ProcessAccount {
    bool drop;
    uid_t uid;
    gid_t gid;
} ProcessAccount;

#define COMMAND_TIMEOUT_MS_DEFAULT 60000
#define COMMAND_OUTPUT_MAX_DEFAULT ((size_t)1 << 20)

typedef struct CommandSpec {
    const char *const *argv; /* NULL-terminated; argv[0] without a slash is looked up in PATH */
    const char *const *env;  /* the whole environment, NULL-terminated; NULL: ours */
    const char *cwd;         /* NULL: ours */
    ProcessAccount account;
    Slice input;        /* its stdin */
    int64_t timeout_ms; /* then SIGTERM, 2 s later SIGKILL, to its process group. 0: the default */
    size_t
        output_max; /* of stdout (more is ERR_LIMIT) and stderr (its end is kept). 0: the default */
    const Job *job; /* the command ends when this job is cancelled; NULL: none */
} CommandSpec;

typedef struct CommandResult {
    ProcessExit end; /* known is false when it did not run */
    Buf out;
    Buf err;
} CommandResult;

/* Runs a program to its end. Blocks: for jobs. The program dies with us, holds none of our fds, and
 * leads a process group of its own. True only for exit status 0; otherwise err names the program,
 * how it ended and the last error on its stderr: ERR_NOT_FOUND no such program, ERR_TIMEOUT,
 * ERR_LIMIT, ERR_CONFLICT cancelled, ERR_INTERNAL another status or a signal. *result is filled in
 * either case; command_result_done frees it. */
NODISCARD bool command_run(const CommandSpec *spec, CommandResult *result, Err *err);
void command_result_done(CommandResult *result);

typedef struct SpawnSpec {
    const char *const *argv; /* as above */
    const char *const *env;
    const char *cwd;
    ProcessAccount account;
    int held_fd; /* becomes its stdin, not to be read but to be held; 0: /dev/null */
    int log_fd;  /* becomes its stdout and stderr; -1: /dev/null. Both stay the caller's */
} SpawnSpec;

/* Starts a program that lives on its own: in a new session, not our child, with nothing of ours but
 * held_fd and log_fd. Returns once the program is executing. *ret_pidfd (may be NULL) refers to
 * exactly that process and is the caller's. Blocks for milliseconds. */
NODISCARD bool process_spawn(const SpawnSpec *spec, pid_t *ret_pid, int *ret_pidfd, Err *err);

#endif
