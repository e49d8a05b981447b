/* Accepting connections. Several listeners, each on a loop of its own, may share one socket: it is
 * watched with EPOLLEXCLUSIVE, so that a connection wakes one of them. */
#include <errno.h>
#include <unistd.h>

#include "loop/loop_priv.h"

#define LISTENER_REST_MS      100
#define LISTENER_LOG_EVERY_MS 60000

struct Listener {
    LoopFd watch;
    bool paused;
    ListenerFn *fn;
    void *user;
    LoopTimer rest; /* armed: the process is out of file descriptors or memory */
    int64_t log_after_ms;
};

static void listener_update(Listener *listener)
{
    bool on = !listener->paused && !loop_timer_armed(&listener->rest);
    Err err;
    bool ok = watch_set(&listener->watch, on ? EPOLLIN | EPOLLEXCLUSIVE : 0, &err);
    ASSERT(ok); /* listener_new has tried it */
}

static void listener_rested(void *user)
{
    listener_update(user);
}

/* Level-triggered, a full table would spin: rest, the backlog holds the connections. */
static void listener_rest(Listener *listener, int os_errno)
{
    int64_t now_ms = loop_now_ms(listener->watch.loop);
    if (now_ms >= listener->log_after_ms) {
        listener->log_after_ms = now_ms + LISTENER_LOG_EVERY_MS;
        log_warn("loop", "accepting connections: %s; trying again every %d ms",
                 strerrordesc_np(os_errno), LISTENER_REST_MS);
    }
    loop_timer_start(listener->watch.loop, &listener->rest, LISTENER_REST_MS, 0, listener_rested,
                     listener);
    listener_update(listener);
}

static bool errno_is_of_peer(int os_errno)
{
    /* accept(2): errors of the new connection itself, which is gone, come in its place. */
    return os_errno == EINTR || os_errno == ECONNABORTED || os_errno == EPROTO ||
           os_errno == EPERM || os_errno == ENETDOWN || os_errno == EHOSTDOWN ||
           os_errno == EHOSTUNREACH || os_errno == ENETUNREACH || os_errno == ENOPROTOOPT ||
           os_errno == ENONET || os_errno == EOPNOTSUPP;
}

static void listener_ready(void *user, uint32_t events)
{
    (void)events;
    Listener *listener = user;
    for (int i = 0; i < LISTENER_ACCEPTS_PER_TURN; i++) {
        if (listener->watch.dead || listener->paused) {
            return; /* by the last connection's handler */
        }
        NetAddr peer = {.len = sizeof(peer.storage)};
        int fd = accept4(listener->watch.fd, (struct sockaddr *)&peer.storage, &peer.len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            listener->fn(listener->user, fd, &peer);
        } else if (errno == EAGAIN) {
            return;
        } else if (!errno_is_of_peer(errno)) {
            listener_rest(listener, errno);
            return;
        }
    }
}

bool listener_new(Loop *loop, int fd, ListenerFn *fn, void *user, Listener **ret_listener, Err *err)
{
    Listener *listener = mem_alloc(sizeof(Listener));
    listener->fn = fn;
    listener->user = user;
    watch_init(&listener->watch, loop, fd, listener_ready, listener);
    if (!watch_set(&listener->watch, EPOLLIN | EPOLLEXCLUSIVE, err)) {
        watch_done(&listener->watch);
        mem_free(listener);
        return false;
    }
    *ret_listener = listener;
    return true;
}

void listener_pause(Listener *listener)
{
    listener->paused = true;
    listener_update(listener);
}

void listener_resume(Listener *listener)
{
    listener->paused = false;
    listener_update(listener);
}

void listener_free(Listener *listener)
{
    if (listener != NULL && !listener->watch.dead) {
        loop_timer_stop(&listener->rest);
        watch_done(&listener->watch);
        batch_free_later(listener->watch.loop, listener);
    }
}
