/* A gateway that does what the test says: it answers, refuses, cuts the connection, or says nothing
 * at the worst moment. HTTP/1.1 without TLS on an address of the loopback. */
#ifndef WEIR_TESTS_ETCD_FAKE_H
#define WEIR_TESTS_ETCD_FAKE_H

#include <pthread.h>
#include <stdatomic.h>

#include "../unit.h"
#include "store/store.h"

#define FAKE_STEPS_MAX   64
#define FAKE_THREADS_MAX 256

typedef enum FakeWay {
    FAKE_ANSWER,
    FAKE_LAST, /* answers, and closes */
    FAKE_CUT,  /* reads the request, and closes */
    FAKE_HANG, /* reads the request, and stays silent */
    FAKE_HUGE, /* answers with more than anybody takes */
    FAKE_TORN, /* promises more than it sends, and closes */
} FakeWay;

typedef struct FakeStep {
    FakeWay way;
    int status; /* 0: 200 */
    const char *body;
} FakeStep;

typedef struct FakeQueue {
    FakeStep steps[FAKE_STEPS_MAX]; /* what comes first, each once; then a plain success */
    size_t len, done;
    int seen;        /* requests */
    char *last_body; /* of the last one */
} FakeQueue;

typedef struct Fake {
    int number;
    char *endpoint;
    int listen_fd;
    pthread_t acceptor;
    pthread_t threads[FAKE_THREADS_MAX];
    size_t threads_len;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    bool stopping;
    const char *cluster_id;
    atomic_llong revision;
    atomic_llong *counter;                   /* its own, or that of a twin */
    FakeQueue probe, range, txn, compaction; /* a probe is a range that only counts */
    int connections, closed;
    int watches;         /* that were opened */
    int watch_fd;        /* -1: none is open */
    int64_t watch_start; /* of the last one */
} Fake;

Fake *fake_new(int number); /* of several in one test */
void fake_free(Fake *fake);
void fake_push(Fake *fake, FakeQueue *queue, FakeStep step);
int fake_seen(Fake *fake, FakeQueue *queue);
/* Waits until so many watches have been opened, and one is; returns where the last one starts. */
int64_t fake_watch_wait(Fake *fake, int watches);
PRINTF_LIKE(2, 3) void fake_say(Fake *fake, const char *format, ...); /* a line, with its newline */
void fake_watch_cut(Fake *fake);
/* Waits until a connection was closed; then nobody can connect any more. */
void fake_deafen(Fake *fake);

#endif
