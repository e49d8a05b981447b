/* See uring_priv.h. The completions of a wait are copied before any handler runs, so that the ring
 * has room again; those that come with a flush stand behind them. */
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop/uring_priv.h"

#define SUBMISSIONS_MAX 512
#define COMPLETIONS_MAX 4096
#define TAKE_MAX        64
#define SENDS_MAX       128
#define SEND_IOV        16
#define BUFFER_GROUP    0
#define TURN_BYTES      ((size_t)64 << 10) /* then the turn ends: they are still in the cache */

/* The lowest bits of what an operation is known by; the rest is a pointer or an index. */
enum { OF_RECEIVE, OF_SEND, OF_EPOLL, OF_NOBODY };
#define OF_MASK ((uint64_t)3)

typedef struct Completion {
    uint64_t who;
    int32_t result;
    uint32_t flags;
} Completion;

typedef struct Send {
    Stream *stream;
    size_t total;
    size_t count;
    struct msghdr message;
    struct iovec iov[SEND_IOV];
} Send;

struct Uring {
    Loop *loop;
    struct io_uring ring;
    bool enabled;      /* by the thread that it belongs to */
    bool epoll_armed;  /* the ring waits for epoll */
    List zombies;      /* streams that are dead, but for their receive */
    List doomed;       /* those of them whose receive is still to be cancelled, by `touched` */
    size_t turn_bytes; /* received since the last flush */
    VEC(Completion) come;
    size_t come_at; /* of them, done with */
    struct io_uring_buf_ring *buffer_ring;
    char *buffers;
    uint16_t used[URING_BUFFERS]; /* in this turn */
    size_t used_len;
    size_t send_len, send_left; /* queued, and of them not over */
    Send sends[SENDS_MAX];
};

/* ---- life ------------------------------------------------------------------------------------ */

static bool map_pages(size_t size, void **ret_pages)
{
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return false;
    }
    *ret_pages = pages;
    return true;
}

static size_t buffer_ring_size(void)
{
    return URING_BUFFERS * sizeof(struct io_uring_buf);
}

static void buffer_add(Uring *uring, uint16_t id, int at)
{
    io_uring_buf_ring_add(uring->buffer_ring, uring->buffers + id * URING_BUFFER_SIZE,
                          URING_BUFFER_SIZE, id, URING_BUFFERS - 1, at);
}

static bool buffers_make(Uring *uring)
{
    void *ring;
    void *buffers;
    if (!map_pages(buffer_ring_size(), &ring)) {
        return false;
    }
    uring->buffer_ring = ring;
    if (!map_pages(URING_BUFFERS * URING_BUFFER_SIZE, &buffers)) {
        return false;
    }
    uring->buffers = buffers;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring, .ring_entries = URING_BUFFERS, .bgid = BUFFER_GROUP};
    int failed = io_uring_register_buf_ring(&uring->ring, &reg, 0);
    if (failed != 0) {
        errno = -failed;
        return false;
    }
    io_uring_buf_ring_init(uring->buffer_ring);
    for (uint16_t id = 0; id < URING_BUFFERS; id++) {
        buffer_add(uring, id, id);
    }
    io_uring_buf_ring_advance(uring->buffer_ring, URING_BUFFERS);
    return true;
}

static bool refuse(int os_errno, Err *err)
{
    const char *why = os_errno == EPERM ? ": the system forbids it (kernel.io_uring_disabled, or a "
                                          "container's seccomp profile)"
                      : os_errno == ENOSYS
                          ? ": the kernel has none, or a container's seccomp profile "
                            "forbids it"
                      : os_errno == EINVAL ? ": the kernel is older than Linux 6.1"
                      : os_errno == ENOMEM ? ": the limit of locked memory (ulimit -l) is too low"
                                           : "";
    err_set_errno(err, os_errno, "setting io_uring up%s", why);
    if (err != NULL) {
        err->code = ERR_UNSUPPORTED;
    }
    return false;
}

bool uring_new(Loop *loop, Uring **ret_uring, Err *err)
{
    Uring *uring = mem_alloc(sizeof(Uring));
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_R_DISABLED |
                                              IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS_MAX};
    int failed = io_uring_queue_init_params(SUBMISSIONS_MAX, &uring->ring, &params);
    if (failed != 0) {
        mem_free(uring);
        return refuse(-failed, err);
    }
    uring->loop = loop;
    list_init(&uring->doomed);
    list_init(&uring->zombies);
    if (!buffers_make(uring)) {
        int os_errno = errno;
        uring_free(uring);
        return refuse(os_errno, err);
    }
    *ret_uring = uring;
    return true;
}

void uring_free(Uring *uring)
{
    if (uring == NULL) {
        return;
    }
    io_uring_queue_exit(&uring->ring); /* nothing is in flight from here on */
    for (ListNode *node; (node = list_pop_front(&uring->zombies)) != NULL;) {
        mem_free(CONTAINER_OF(node, Stream, node));
    }
    if (uring->buffer_ring != NULL) {
        munmap(uring->buffer_ring, buffer_ring_size());
    }
    if (uring->buffers != NULL) {
        munmap(uring->buffers, URING_BUFFERS * URING_BUFFER_SIZE);
    }
    vec_done(&uring->come);
    mem_free(uring);
}

/* ---- to and from the kernel ------------------------------------------------------------------ */

/* A result below zero of what cannot fail but for a moment: an interrupt, a full queue. */
static void check_enter(int result)
{
    ASSERT(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY ||
           result == -ETIME);
}

static struct io_uring_sqe *operation(Uring *uring, uint64_t who)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&uring->ring)) == NULL) {
        check_enter(io_uring_submit_and_get_events(&uring->ring));
    }
    io_uring_sqe_set_data64(sqe, who);
    return sqe;
}

static void send_done(Uring *uring, const Completion *completion)
{
    Send *one = &uring->sends[completion->who >> 2];
    uring->send_left--;
    stream_send_done(one->stream, completion->result, one->total);
}

static void completion_take(Uring *uring, const struct io_uring_cqe *cqe)
{
    Completion completion = {cqe->user_data, cqe->res, cqe->flags};
    switch (completion.who & OF_MASK) {
    case OF_SEND:
        send_done(uring, &completion);
        break;
    case OF_NOBODY:
        break;
    default:
        vec_push(&uring->come, completion);
        break;
    }
}

/* Takes what has completed off the ring. Sends are dealt with at once. */
static void completions_take(Uring *uring)
{
    struct io_uring_cqe *cqes[TAKE_MAX];
    for (unsigned count; (count = io_uring_peek_batch_cqe(&uring->ring, cqes, TAKE_MAX)) > 0;) {
        for (unsigned i = 0; i < count; i++) {
            completion_take(uring, cqes[i]);
        }
        io_uring_cq_advance(&uring->ring, count);
    }
}

static void epoll_arm(Uring *uring)
{
    if (!uring->epoll_armed) {
        io_uring_prep_poll_add(operation(uring, OF_EPOLL), uring->loop->epoll_fd, POLLIN);
        uring->epoll_armed = true;
    }
}

/* Ends the receives of streams that are dead. */
static void doomed_cancel(Uring *uring)
{
    for (ListNode *node; (node = list_pop_front(&uring->doomed)) != NULL;) {
        uring_receive(CONTAINER_OF(node, Stream, touched), false);
    }
}

static void enable(Uring *uring)
{
    /* liburing 2.3 declares a function for it, but has none. */
    long failed =
        syscall(SYS_io_uring_register, uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    ASSERT(failed == 0);
    uring->enabled = true;
}

void uring_wait(Uring *uring, int timeout_ms)
{
    if (!uring->enabled) {
        enable(uring);
    }
    doomed_cancel(uring);
    epoll_arm(uring);
    if (timeout_ms == 0 || uring->come_at < uring->come.len) {
        check_enter(io_uring_submit_and_get_events(&uring->ring));
    } else if (timeout_ms < 0) {
        check_enter(io_uring_submit_and_wait(&uring->ring, 1));
    } else {
        struct __kernel_timespec timeout = {timeout_ms / 1000, timeout_ms % 1000 * 1000000LL};
        struct io_uring_cqe *cqe;
        check_enter(io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &timeout, NULL));
    }
    completions_take(uring);
}

/* ---- receiving ------------------------------------------------------------------------------- */

static uint64_t name_of(const Stream *stream)
{
    return (uintptr_t)stream | OF_RECEIVE;
}

/* Of a descriptor that does not block the ring says EAGAIN, and does not wait. */
void uring_prepare(const Stream *stream)
{
    int off = 0;
    ioctl(stream->watch.fd, FIONBIO, &off);
}

void uring_receive(Stream *stream, bool on)
{
    Uring *uring = stream->watch.loop->uring;
    if (on && !stream->receiving) {
        struct io_uring_sqe *sqe = operation(uring, name_of(stream));
        io_uring_prep_recv_multishot(sqe, stream->watch.fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = BUFFER_GROUP;
        stream->receiving = true;
    } else if (!on && stream->receiving && !stream->receive_cancelled) {
        io_uring_prep_cancel64(operation(uring, OF_NOBODY), name_of(stream), 0);
        stream->receive_cancelled = true;
    }
}

void uring_forget(Stream *stream)
{
    list_push_back(&stream->watch.loop->uring->zombies, &stream->node);
    list_push_back(&stream->watch.loop->uring->doomed, &stream->touched);
}

bool uring_has_for(Uring *uring, const Stream *stream)
{
    completions_take(uring);
    for (size_t i = uring->come_at; i < uring->come.len; i++) {
        if (uring->come.items[i].who == name_of(stream)) {
            return true;
        }
    }
    return false;
}

/* The last word of a receive: the stream may begin another one, or, dead, may go at last. */
static void receive_ended(Uring *uring, Stream *stream)
{
    stream->receiving = stream->receive_cancelled = false;
    if (stream->state == STREAM_DEAD) {
        list_remove(&uring->zombies, &stream->node);
        if (stream->touched.next != NULL) {
            list_remove(&uring->doomed, &stream->touched);
        }
        batch_free_later(uring->loop, stream);
    } else {
        stream_touch(stream);
    }
}

static void received(Uring *uring, const Completion *completion)
{
    Stream *stream = (Stream *)(uintptr_t)(completion->who & ~OF_MASK); // NOLINT
    Slice data = {0};
    int result = completion->result;
    if ((completion->flags & IORING_CQE_F_BUFFER) != 0) {
        uint16_t id = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
        ASSERT(uring->used_len < URING_BUFFERS && id < URING_BUFFERS);
        uring->used[uring->used_len++] = id;
        data.data = uring->buffers + id * URING_BUFFER_SIZE;
        data.len = result > 0 ? (size_t)result : 0;
    }
    uring->turn_bytes += data.len;
    if ((completion->flags & IORING_CQE_F_MORE) == 0) {
        receive_ended(uring, stream);
    }
    if (stream_is_live(stream) && result != -ECANCELED && result != -ENOBUFS) {
        stream_received(stream, data, result < 0 ? -result : 0);
    }
}

void uring_buffers_return(Uring *uring)
{
    for (size_t i = 0; i < uring->used_len; i++) {
        buffer_add(uring, uring->used[i], (int)i);
    }
    io_uring_buf_ring_advance(uring->buffer_ring, (int)uring->used_len);
    uring->used_len = 0;
    uring->turn_bytes = 0;
}

bool uring_events_run(Uring *uring)
{
    bool epoll_ready = false;
    size_t len = uring->come.len; /* what comes meanwhile is for the next turn */
    while (uring->come_at < len) {
        Completion completion = uring->come.items[uring->come_at++];
        if (uring->turn_bytes >= TURN_BYTES || uring->used_len >= URING_BUFFERS / 2) {
            turn_break(uring->loop);
        }
        if ((completion.who & OF_MASK) == OF_EPOLL) {
            uring->epoll_armed = false;
            epoll_ready = true;
        } else {
            received(uring, &completion);
        }
    }
    size_t left = uring->come.len - len;
    if (left > 0) {
        memmove(uring->come.items, uring->come.items + len, left * sizeof(*uring->come.items));
    }
    uring->come.len = left;
    uring->come_at = 0;
    return epoll_ready;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* Submits what is queued; the sends of it are over behind it. */
static void submit(Uring *uring)
{
    do { /* again for what follows from the sends */
        check_enter(io_uring_submit(&uring->ring));
        completions_take(uring);
        if (uring->send_left > 0) { /* the ring of completions was full */
            check_enter(io_uring_get_events(&uring->ring));
            completions_take(uring);
        }
    } while (uring->send_left > 0 || io_uring_sq_ready(&uring->ring) > 0);
    uring->send_len = 0;
}

static void send_queue(Uring *uring, Stream *stream)
{
    Send *one = &uring->sends[uring->send_len];
    one->count = stream_send_begin(stream, one->iov, SEND_IOV, &one->total);
    if (one->count == 0) {
        stream_flushed(stream);
        return;
    }
    one->stream = stream;
    struct io_uring_sqe *sqe = operation(uring, (uint64_t)uring->send_len << 2 | OF_SEND);
    if (one->count == 1) {
        io_uring_prep_send(sqe, stream->watch.fd, one->iov[0].iov_base, one->iov[0].iov_len,
                           MSG_NOSIGNAL | MSG_DONTWAIT);
    } else {
        one->message = (struct msghdr){.msg_iov = one->iov, .msg_iovlen = one->count};
        io_uring_prep_sendmsg(sqe, stream->watch.fd, &one->message, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    uring->send_len++;
    uring->send_left++;
}

void uring_flush(Uring *uring)
{
    List *touched = &uring->loop->touched;
    doomed_cancel(uring);
    for (ListNode *node; (node = list_pop_front(touched)) != NULL || uring->send_len > 0;) {
        if (node != NULL) {
            send_queue(uring, CONTAINER_OF(node, Stream, touched));
        }
        if (node == NULL || uring->send_len == SENDS_MAX) {
            submit(uring);
        }
    }
    if (io_uring_sq_ready(&uring->ring) > 0) {
        submit(uring);
    }
}
