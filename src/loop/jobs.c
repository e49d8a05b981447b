/* A bounded pool of threads for straight-line code that blocks. A job is in exactly one of three
 * lists: waiting, running, finished; the lock guards them. Finished jobs go back to the loop
 * through an eventfd of the pool's own, so that freeing the pool leaves nothing behind in the loop.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop/loop_priv.h"

struct Job {
    ListNode node;
    Jobs *jobs;
    JobRunFn *run;
    JobDoneFn *done;
    void *arg;
    atomic_bool cancelled;
};

struct Jobs {
    size_t threads_max;
    size_t queue_max;
    int done_fd;
    LoopFd *done_watch;
    VEC(pthread_t) threads; /* the loop's thread only */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t more;
    List waiting;
    List running;
    List finished;
    size_t idle;
    bool closing;
};

/* ---- on the pool's threads ------------------------------------------------------------------- */

static void job_execute(Jobs *jobs, Job *job)
{
    list_push_back(&jobs->running, &job->node);
    pthread_mutex_unlock(&jobs->lock);
    if (!job_is_cancelled(job)) {
        job->run(job->arg, job);
    }
    pthread_mutex_lock(&jobs->lock);
    list_remove(&jobs->running, &job->node);
    list_push_back(&jobs->finished, &job->node);
    uint64_t one = 1;
    ssize_t count = write(jobs->done_fd, &one, sizeof(one));
    ASSERT(count == (ssize_t)sizeof(one) || errno == EAGAIN);
}

static void *jobs_thread(void *user)
{
    Jobs *jobs = user;
    pthread_mutex_lock(&jobs->lock);
    for (;;) {
        ListNode *node = list_pop_front(&jobs->waiting);
        if (node != NULL) {
            job_execute(jobs, CONTAINER_OF(node, Job, node));
        } else if (jobs->closing) {
            break;
        } else {
            jobs->idle++;
            pthread_cond_wait(&jobs->more, &jobs->lock);
            jobs->idle--;
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

void job_cancel(Job *job)
{
    atomic_store(&job->cancelled, true);
}

bool job_is_cancelled(const Job *job)
{
    return atomic_load(&job->cancelled);
}

/* ---- on the loop's thread -------------------------------------------------------------------- */

static void jobs_tell(Jobs *jobs)
{
    for (;;) {
        pthread_mutex_lock(&jobs->lock);
        ListNode *node = list_pop_front(&jobs->finished);
        pthread_mutex_unlock(&jobs->lock);
        if (node == NULL) {
            return;
        }
        Job *job = CONTAINER_OF(node, Job, node);
        job->done(job->arg);
        mem_free(job);
    }
}

static void jobs_ready(void *user, uint32_t events)
{
    (void)events;
    Jobs *jobs = user;
    uint64_t count;
    ssize_t got = read(jobs->done_fd, &count, sizeof(count));
    ASSERT(got == (ssize_t)sizeof(count) || errno == EAGAIN);
    jobs_tell(jobs);
}

bool jobs_new(Loop *loop, size_t threads_max, size_t queue_max, Jobs **ret_jobs, Err *err)
{
    ASSERT(threads_max > 0 && queue_max > 0);
    Jobs *jobs = mem_alloc(sizeof(Jobs));
    jobs->threads_max = threads_max;
    jobs->queue_max = queue_max;
    jobs->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (jobs->done_fd < 0) {
        err_set_errno(err, errno, "making a pool of threads");
        mem_free(jobs);
        return false;
    }
    if (!loop_fd_add(loop, jobs->done_fd, EPOLLIN, jobs_ready, jobs, &jobs->done_watch, err)) {
        close(jobs->done_fd);
        mem_free(jobs);
        return false;
    }
    pthread_mutex_init(&jobs->lock, NULL);
    pthread_cond_init(&jobs->more, NULL);
    list_init(&jobs->waiting);
    list_init(&jobs->running);
    list_init(&jobs->finished);
    *ret_jobs = jobs;
    return true;
}

/* Signals are the loop's business: the pool's threads take none. */
static int thread_start(Jobs *jobs)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int status = pthread_create(&thread, NULL, jobs_thread, jobs);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (status == 0) {
        vec_push(&jobs->threads, thread);
    }
    return status;
}

bool jobs_submit(Jobs *jobs, JobRunFn *run, JobDoneFn *done, void *arg, Job **ret_job, Err *err)
{
    pthread_mutex_lock(&jobs->lock);
    size_t waiting = jobs->waiting.len;
    bool busy = jobs->idle <= waiting;
    bool closing = jobs->closing;
    pthread_mutex_unlock(&jobs->lock);
    if (closing || waiting >= jobs->queue_max) {
        return err_set(err, closing ? ERR_UNAVAILABLE : ERR_LIMIT,
                       closing ? "no more work is taken: it is ending"
                               : "%zu pieces of work are waiting already",
                       jobs->queue_max);
    }
    if (busy && jobs->threads.len < jobs->threads_max) {
        int status = thread_start(jobs);
        if (status != 0 && jobs->threads.len == 0) {
            return err_set_errno(err, status, "starting a thread");
        }
    }
    Job *job = mem_alloc(sizeof(Job));
    *job = (Job){.jobs = jobs, .run = run, .done = done, .arg = arg};
    atomic_init(&job->cancelled, false);
    if (ret_job != NULL) {
        *ret_job = job;
    }
    pthread_mutex_lock(&jobs->lock);
    list_push_back(&jobs->waiting, &job->node);
    pthread_cond_signal(&jobs->more);
    pthread_mutex_unlock(&jobs->lock);
    return true;
}

size_t jobs_waiting(Jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    size_t waiting = jobs->waiting.len;
    pthread_mutex_unlock(&jobs->lock);
    return waiting;
}

static void jobs_cancel_all(Jobs *jobs)
{
    pthread_mutex_lock(&jobs->lock);
    jobs->closing = true;
    LIST_FOR_EACH (&jobs->waiting, node) {
        job_cancel(CONTAINER_OF(node, Job, node));
    }
    LIST_FOR_EACH (&jobs->running, node) {
        job_cancel(CONTAINER_OF(node, Job, node));
    }
    pthread_cond_broadcast(&jobs->more);
    pthread_mutex_unlock(&jobs->lock);
}

void jobs_free(Jobs *jobs)
{
    if (jobs == NULL) {
        return;
    }
    jobs_cancel_all(jobs);
    for (size_t i = 0; i < jobs->threads.len; i++) {
        pthread_join(jobs->threads.items[i], NULL);
    }
    jobs_tell(jobs);
    ASSERT(jobs->waiting.len == 0 && jobs->running.len == 0);
    loop_fd_remove(jobs->done_watch);
    close(jobs->done_fd);
    vec_done(&jobs->threads);
    pthread_cond_destroy(&jobs->more);
    pthread_mutex_destroy(&jobs->lock);
    mem_free(jobs);
}
