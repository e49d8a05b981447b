/* Inside of the loop: what its files share. The contract is in loop.h. */
#ifndef WEIR_LOOP_PRIV_H
#define WEIR_LOOP_PRIV_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "loop/loop.h"

#define LOOP_EVENTS_MAX 256
/* Memory of a turn comes in chunks of this size. A turn ends early, between two events, when less
 * than STREAM_READ_MAX is left of it: the bytes then go out while they are still in the cache. */
#define TURN_CHUNK_SIZE ((size_t)128 << 10)

struct LoopFd {
    Loop *loop;
    int fd;
    uint32_t events;
    bool registered; /* with epoll; false whenever events is 0 */
    bool dead;       /* removed; its memory lives to the end of the batch of events */
    bool allocated;  /* by loop_fd_add, so that loop_free can free it */
    LoopFdFn *fn;
    void *user;
    ListNode node; /* in loop->watchers */
};

typedef struct TimerEntry {
    int64_t key_ms; /* when to look at it: at most the timer's due_ms_ */
    LoopTimer *timer;
} TimerEntry;

/* Bytes queued for a stream in this turn. */
typedef struct Segment {
    const char *data;
    size_t len;
    size_t next; /* index + 1; 0 ends */
} Segment;

typedef struct SignalWatch SignalWatch;
typedef struct Uring Uring;

struct Loop {
    int epoll_fd;
    Uring *uring; /* NULL: streams are epoll's, too */
    int wake_fd;
    int64_t now_us; /* read once per turn; now_ms is the same moment */
    int64_t now_ms;
    bool in_turn;
    atomic_bool stopping;
    List watchers;

    VEC(TimerEntry) timers; /* a binary heap on key_ms */
    List defers;

    LoopFd *wake_watch;
    pthread_mutex_t post_lock; /* guards posts */
    List posts;

    SignalWatch *signals;

    /* Memory that lives to the end of the turn (bytes), or of the batch of events (objects that a
     * later event of the batch may still point to). */
    char *chunk;
    size_t chunk_size;
    size_t chunk_used;
    VEC(void *) turn_garbage;
    VEC(void *) batch_garbage;

    List streams;
    List touched; /* streams to flush, or whose interest may have changed */
    List notices; /* streams with something to tell their owner */
    VEC(Segment) segments;
    List awaited; /* streams whose peer may have something to acknowledge (silence.c) */
    LoopTimer silence;
    char *cipher_in; /* STREAM_READ_MAX bytes; made when first needed */
    char *record;    /* one TLS record's plain text, gathered */
    Buf cipher_out;
};

/* Ends a turn between two events, and begins the next one. */
void turn_break(Loop *loop);

/* The current time, also between turns. */
int64_t loop_time_ms(Loop *loop);

/* Memory to the end of the turn: room for `size` bytes, of which the caller then commits what it
 * used before anybody else asks for room. */
char *turn_room(Loop *loop, size_t size);
void turn_commit(Loop *loop, size_t len);
void turn_free_later(Loop *loop, void *ptr);  /* at the end of the turn */
void batch_free_later(Loop *loop, void *ptr); /* when no event can point to it any more */

/* A watcher inside another struct. */
void watch_init(LoopFd *watch, Loop *loop, int fd, LoopFdFn *fn, void *user);
NODISCARD bool watch_set(LoopFd *watch, uint32_t events, Err *err);
void watch_done(LoopFd *watch); /* twice is fine */

void timers_run(Loop *loop);
int64_t timers_wait_ms(const Loop *loop); /* -1: none is armed */

NODISCARD bool posts_init(Loop *loop, Err *err);
void posts_done(Loop *loop);

/* For streams, and sockets that accept them. False: it is none of TCP. */
bool net_tune(int fd, uint32_t silence_s);

void signals_done(Loop *loop);

void process_exit_from(const siginfo_t *info, ProcessExit *ret_end);

void streams_init(Loop *loop);
void streams_done(Loop *loop);
void streams_tell(Loop *loop);  /* the notices that are due */
void streams_flush(Loop *loop); /* everything that is queued */

#endif
