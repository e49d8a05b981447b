/* A few threads with an API of their own each, a queue of tasks and a queue of those that are
 * through. */
#include <pthread.h>
#include <time.h>

#include "cli/apply/apply_priv.h"

typedef struct Queue {
    Task *first;
    Task **last; /* where the next one goes */
} Queue;

struct Workers {
    CallerSource source;
    pthread_mutex_t lock;
    pthread_cond_t work;    /* something to do, or the end */
    pthread_cond_t through; /* something is through */
    Queue todo, done;
    bool stopping;
    pthread_t *threads;
    int count;
};

static void queue_init(Queue *queue)
{
    queue->first = NULL;
    queue->last = &queue->first;
}

static void queue_push(Queue *queue, Task *task)
{
    task->next = NULL;
    *queue->last = task;
    queue->last = &task->next;
}

static Task *queue_pop(Queue *queue)
{
    Task *task = queue->first;
    if (task != NULL) {
        queue->first = task->next;
        queue->last = queue->first == NULL ? &queue->first : queue->last;
    }
    return task;
}

static Task *task_wait(Workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    while (workers->todo.first == NULL && !workers->stopping) {
        pthread_cond_wait(&workers->work, &workers->lock);
    }
    Task *task = workers->stopping ? NULL : queue_pop(&workers->todo);
    pthread_mutex_unlock(&workers->lock);
    return task;
}

static void task_through(Workers *workers, Task *task)
{
    pthread_mutex_lock(&workers->lock);
    queue_push(&workers->done, task);
    pthread_cond_signal(&workers->through);
    pthread_mutex_unlock(&workers->lock);
}

/* A worker that gets no API says so with each task. */
static void *worker_run(void *arg)
{
    Workers *workers = arg;
    Caller caller;
    Err err;
    bool open = workers->source.open(workers->source.context, &caller, &err);
    for (Task *task; (task = task_wait(workers)) != NULL;) {
        if (open) {
            task_run(task, &caller);
        } else {
            task->ok = false;
            task->err = err;
        }
        task_through(workers, task);
    }
    if (open) {
        workers->source.close(workers->source.context, &caller);
    }
    return NULL;
}

bool workers_start(const CallerSource *source, int count, Workers **ret_workers, Err *err)
{
    Workers *workers = mem_alloc(sizeof(Workers));
    workers->source = *source;
    workers->threads = mem_alloc(sizeof(pthread_t) * (size_t)count);
    queue_init(&workers->todo);
    queue_init(&workers->done);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&workers->lock, NULL);
    pthread_cond_init(&workers->work, NULL);
    pthread_cond_init(&workers->through, &monotonic);
    pthread_condattr_destroy(&monotonic);
    for (int i = 0; i < count; i++) {
        int error = pthread_create(&workers->threads[i], NULL, worker_run, workers);
        if (error != 0) {
            workers_stop(workers);
            return err_set_errno(err, error, "cannot start a thread");
        }
        workers->count++;
    }
    *ret_workers = workers;
    return true;
}

void workers_push(Workers *workers, Task *task)
{
    pthread_mutex_lock(&workers->lock);
    queue_push(&workers->todo, task);
    pthread_cond_signal(&workers->work);
    pthread_mutex_unlock(&workers->lock);
}

Task *workers_next(Workers *workers, int64_t wait_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + wait_ms % MS_PER_S * 1000000;
    until.tv_sec += wait_ms / MS_PER_S + nanoseconds / 1000000000;
    until.tv_nsec = nanoseconds % 1000000000;
    pthread_mutex_lock(&workers->lock);
    while (workers->done.first == NULL &&
           pthread_cond_timedwait(&workers->through, &workers->lock, &until) == 0) {
    }
    Task *task = queue_pop(&workers->done);
    pthread_mutex_unlock(&workers->lock);
    return task;
}

static void queue_free(Queue *queue)
{
    for (Task *task; (task = queue_pop(queue)) != NULL;) {
        task_free(task);
    }
}

void workers_stop(Workers *workers)
{
    if (workers == NULL) {
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->stopping = true;
    pthread_cond_broadcast(&workers->work);
    pthread_mutex_unlock(&workers->lock);
    for (int i = 0; i < workers->count; i++) {
        pthread_join(workers->threads[i], NULL);
    }
    queue_free(&workers->todo);
    queue_free(&workers->done);
    pthread_cond_destroy(&workers->through);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    mem_free(workers->threads);
    mem_free(workers);
}
