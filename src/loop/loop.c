/* The turn: wait, events, timers, end of the turn. Owns the watchers and the memory that lives for
 * a turn or for a batch of events. Objects that epoll may still point to are only marked when they
 * are removed, and freed when the batch is done: that is why a late event cannot reach a freed one.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/uring_priv.h"

static void clock_read(Loop *loop)
{
    loop->now_us = time_mono_us();
    loop->now_ms = loop->now_us / US_PER_MS;
}

bool loop_new(Loop **ret_loop, Err *err)
{
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        return err_set_errno(err, errno, "making an event loop");
    }
    Loop *loop = mem_alloc(sizeof(Loop));
    loop->epoll_fd = epoll_fd;
    clock_read(loop);
    list_init(&loop->watchers);
    list_init(&loop->defers);
    streams_init(loop);
    if (!posts_init(loop, err)) {
        close(epoll_fd);
        mem_free(loop);
        return false;
    }
    *ret_loop = loop;
    return true;
}

static void garbage_free(void **items, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        mem_free(items[i]);
    }
}

void loop_free(Loop *loop)
{
    if (loop == NULL) {
        return;
    }
    ASSERT(!loop->in_turn);
    streams_done(loop);
    uring_free(loop->uring);
    signals_done(loop);
    posts_done(loop);
    for (ListNode *node; (node = list_first(&loop->watchers)) != NULL;) {
        LoopFd *watch = CONTAINER_OF(node, LoopFd, node);
        bool allocated = watch->allocated;
        watch_done(watch);
        if (allocated) {
            mem_free(watch);
        }
    }
    garbage_free(loop->turn_garbage.items, loop->turn_garbage.len);
    garbage_free(loop->batch_garbage.items, loop->batch_garbage.len);
    vec_done(&loop->turn_garbage);
    vec_done(&loop->batch_garbage);
    vec_done(&loop->timers);
    mem_free(loop->chunk);
    close(loop->epoll_fd);
    mem_free(loop);
}

bool loop_use_uring(Loop *loop, Err *err)
{
    ASSERT(loop->streams.len == 0);
    return loop->uring != NULL || uring_new(loop, &loop->uring, err);
}

bool loop_uses_uring(const Loop *loop)
{
    return loop->uring != NULL;
}

int64_t loop_now_ms(const Loop *loop)
{
    return loop->now_ms;
}

int64_t loop_now_us(const Loop *loop)
{
    return loop->now_us;
}

int64_t loop_time_ms(Loop *loop)
{
    if (!loop->in_turn) {
        clock_read(loop);
    }
    return loop->now_ms;
}

/* ---- memory of a turn ------------------------------------------------------------------------ */

char *turn_room(Loop *loop, size_t size)
{
    if (loop->chunk_size - loop->chunk_used < size) {
        if (loop->chunk != NULL) {
            turn_free_later(loop, loop->chunk);
        }
        loop->chunk_size = size > TURN_CHUNK_SIZE ? size : TURN_CHUNK_SIZE;
        loop->chunk = mem_realloc(NULL, loop->chunk_size);
        loop->chunk_used = 0;
    }
    return loop->chunk + loop->chunk_used;
}

void turn_commit(Loop *loop, size_t len)
{
    ASSERT(len <= loop->chunk_size - loop->chunk_used);
    loop->chunk_used += len;
}

void turn_free_later(Loop *loop, void *ptr)
{
    vec_push(&loop->turn_garbage, ptr);
}

void batch_free_later(Loop *loop, void *ptr)
{
    vec_push(&loop->batch_garbage, ptr);
}

static void turn_memory_reset(Loop *loop)
{
    garbage_free(loop->turn_garbage.items, loop->turn_garbage.len);
    loop->turn_garbage.len = 0;
    loop->chunk_used = 0;
    if (loop->chunk_size > TURN_CHUNK_SIZE) {
        mem_free(loop->chunk);
        loop->chunk = NULL;
        loop->chunk_size = 0;
    }
}

/* ---- watchers -------------------------------------------------------------------------------- */

void watch_init(LoopFd *watch, Loop *loop, int fd, LoopFdFn *fn, void *user)
{
    *watch = (LoopFd){.loop = loop, .fd = fd, .fn = fn, .user = user};
    list_push_back(&loop->watchers, &watch->node);
}

bool watch_set(LoopFd *watch, uint32_t events, Err *err)
{
    ASSERT(!watch->dead);
    if (watch->events == events) {
        return true;
    }
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int op = EPOLL_CTL_MOD;
    if (!watch->registered) {
        op = EPOLL_CTL_ADD;
    } else if (events == 0) {
        op = EPOLL_CTL_DEL;
    }
    if (epoll_ctl(watch->loop->epoll_fd, op, watch->fd, &event) != 0) {
        return err_set_errno(err, errno, "watching file descriptor %d", watch->fd);
    }
    watch->events = events;
    watch->registered = events != 0;
    return true;
}

void watch_done(LoopFd *watch)
{
    if (watch->dead) {
        return;
    }
    watch->dead = true;
    if (watch->registered) {
        epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
        watch->registered = false;
    }
    list_remove(&watch->loop->watchers, &watch->node);
}

bool loop_fd_add(Loop *loop, int fd, uint32_t events, LoopFdFn *fn, void *user,
                 LoopFd **ret_watcher, Err *err)
{
    LoopFd *watch = mem_alloc(sizeof(LoopFd));
    watch_init(watch, loop, fd, fn, user);
    watch->allocated = true;
    if (!watch_set(watch, events, err)) {
        watch_done(watch);
        mem_free(watch);
        return false;
    }
    *ret_watcher = watch;
    return true;
}

void loop_fd_set(LoopFd *watcher, uint32_t events)
{
    Err err;
    bool ok = watch_set(watcher, events, &err);
    ASSERT(ok); /* the fd was accepted once: only a closed one fails here */
}

void loop_fd_remove(LoopFd *watcher)
{
    if (watcher != NULL && !watcher->dead) {
        Loop *loop = watcher->loop;
        watch_done(watcher);
        batch_free_later(loop, watcher);
    }
}

/* ---- deferred calls -------------------------------------------------------------------------- */

void loop_defer(Loop *loop, LoopDefer *defer, LoopFn *fn, void *user)
{
    defer->fn_ = fn;
    defer->user_ = user;
    if (defer->loop_ == NULL) {
        defer->loop_ = loop;
        list_push_back(&loop->defers, &defer->node_);
    }
}

void loop_defer_cancel(LoopDefer *defer)
{
    if (defer->loop_ != NULL) {
        list_remove(&defer->loop_->defers, &defer->node_);
        defer->loop_ = NULL;
    }
}

static void defers_run(Loop *loop)
{
    for (size_t left = loop->defers.len; left > 0 && loop->defers.len > 0; left--) {
        LoopDefer *defer = CONTAINER_OF(list_pop_front(&loop->defers), LoopDefer, node_);
        defer->loop_ = NULL;
        defer->fn_(defer->user_);
    }
}

/* ---- the turn -------------------------------------------------------------------------------- */

static void turn_end(Loop *loop)
{
    defers_run(loop);
    streams_tell(loop);
    streams_flush(loop);
    turn_memory_reset(loop);
    if (loop->uring != NULL) {
        uring_buffers_return(loop->uring);
    }
}

void turn_break(Loop *loop)
{
    turn_end(loop);
    clock_read(loop);
}

static int wait_timeout_ms(const Loop *loop, int64_t wait_max_ms)
{
    if (loop->defers.len > 0 || loop->notices.len > 0 || loop->touched.len > 0) {
        return 0;
    }
    int64_t wait_ms = timers_wait_ms(loop);
    if (wait_ms < 0 || (wait_max_ms >= 0 && wait_max_ms < wait_ms)) {
        wait_ms = wait_max_ms;
    }
    return wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms;
}

static void events_run(Loop *loop, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        if (loop->chunk_used > TURN_CHUNK_SIZE - STREAM_READ_MAX) {
            turn_break(loop);
        }
        LoopFd *watch = events[i].data.ptr;
        if (!watch->dead) {
            watch->fn(watch->user, events[i].events);
        }
    }
}

/* Waits for epoll, and calls the watchers; sets in_turn when the wait is over. */
static void epoll_run(Loop *loop, int timeout_ms)
{
    struct epoll_event events[LOOP_EVENTS_MAX];
    int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MAX, timeout_ms);
    ASSERT(count >= 0 || errno == EINTR);
    clock_read(loop);
    loop->in_turn = true;
    events_run(loop, events, count);
}

static void uring_run(Loop *loop, int timeout_ms)
{
    uring_wait(loop->uring, timeout_ms);
    clock_read(loop);
    loop->in_turn = true;
    if (uring_events_run(loop->uring)) {
        epoll_run(loop, 0);
    }
}

void loop_turn(Loop *loop, int64_t wait_max_ms)
{
    ASSERT(!loop->in_turn);
    loop_time_ms(loop);
    int timeout_ms = wait_timeout_ms(loop, wait_max_ms);
    if (loop->uring != NULL) {
        uring_run(loop, timeout_ms);
    } else {
        epoll_run(loop, timeout_ms);
    }
    timers_run(loop);
    turn_end(loop);
    garbage_free(loop->batch_garbage.items, loop->batch_garbage.len);
    loop->batch_garbage.len = 0;
    loop->in_turn = false;
}

void loop_run(Loop *loop)
{
    do {
        loop_turn(loop, -1);
    } while (!atomic_load(&loop->stopping));
    atomic_store(&loop->stopping, false);
}

void loop_stop(Loop *loop)
{
    atomic_store(&loop->stopping, true);
    loop_wake(loop);
}
