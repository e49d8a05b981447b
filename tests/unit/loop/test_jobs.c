/* The pool of threads: every job is done exactly once, on the loop's thread, whatever happens. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "../unit.h"
#include "any_loop.h"

typedef struct Work {
    Loop *loop;
    Jobs *jobs;
    pthread_t loop_thread;
    atomic_int ran;
    atomic_int cancelled;
    atomic_int running;
    atomic_int running_max;
    atomic_bool gate; /* jobs that wait end when it is open, or when they are cancelled */
    int done;
    int done_wanted;
} Work;

static int setup(void **state)
{
    Work *work = mem_alloc(sizeof(Work));
    Err err;
    assert_true(any_loop_new(&work->loop, &err));
    work->loop_thread = pthread_self();
    *state = work;
    return 0;
}

static int teardown(void **state)
{
    Work *work = *state;
    jobs_free(work->jobs);
    loop_free(work->loop);
    mem_free(work);
    return 0;
}

static void work_run(void *arg, const Job *job)
{
    Work *work = arg;
    (void)job;
    int running = atomic_fetch_add(&work->running, 1) + 1;
    int max = atomic_load(&work->running_max);
    while (running > max && !atomic_compare_exchange_weak(&work->running_max, &max, running)) {
    }
    usleep(1000);
    atomic_fetch_sub(&work->running, 1);
    atomic_fetch_add(&work->ran, 1);
}

static void work_wait(void *arg, const Job *job)
{
    Work *work = arg;
    atomic_fetch_add(&work->running, 1);
    while (!atomic_load(&work->gate) && !job_is_cancelled(job)) {
        usleep(1000);
    }
    atomic_fetch_add(job_is_cancelled(job) ? &work->cancelled : &work->ran, 1);
}

/* Until so many jobs have been taken by a thread. */
static void wait_running(Work *work, int count)
{
    while (atomic_load(&work->running) < count) {
        usleep(100);
    }
}

static void work_done(void *arg)
{
    Work *work = arg;
    assert_true(pthread_equal(pthread_self(), work->loop_thread));
    if (++work->done == work->done_wanted) {
        loop_stop(work->loop);
    }
}

static void test_many_jobs(void **state)
{
    Work *work = *state;
    Err err;
    assert_true(jobs_new(work->loop, 3, 100, &work->jobs, &err));
    work->done_wanted = 60;
    for (int i = 0; i < 60; i++) {
        assert_true(jobs_submit(work->jobs, work_run, work_done, work, NULL, &err));
    }
    loop_run(work->loop);
    assert_int_equal(work->done, 60);
    assert_int_equal(atomic_load(&work->ran), 60);
    assert_in_range(atomic_load(&work->running_max), 1, 3);
}

static void test_queue_limit(void **state)
{
    Work *work = *state;
    Err err;
    assert_true(jobs_new(work->loop, 1, 2, &work->jobs, &err));
    int taken = 0;
    while (taken < 10 && jobs_submit(work->jobs, work_wait, work_done, work, NULL, &err)) {
        taken++;
        wait_running(work, 1); /* the thread has the first, and keeps it */
    }
    assert_int_equal(taken, 3);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(jobs_waiting(work->jobs), 2);
    atomic_store(&work->gate, true);
    work->done_wanted = 3;
    loop_run(work->loop);
    assert_int_equal(atomic_load(&work->ran), 3);
}

static void test_cancel(void **state)
{
    Work *work = *state;
    Err err;
    Job *running, *waiting;
    assert_true(jobs_new(work->loop, 1, 10, &work->jobs, &err));
    assert_true(jobs_submit(work->jobs, work_wait, work_done, work, &running, &err));
    assert_true(jobs_submit(work->jobs, work_run, work_done, work, &waiting, &err));
    wait_running(work, 1);
    job_cancel(waiting);
    job_cancel(running);
    work->done_wanted = 2;
    loop_run(work->loop);
    assert_int_equal(atomic_load(&work->cancelled), 1);
    assert_int_equal(atomic_load(&work->ran), 0); /* the second was never run */
}

static void test_free_ends_all(void **state)
{
    Work *work = *state;
    Err err;
    assert_true(jobs_new(work->loop, 2, 10, &work->jobs, &err));
    for (int i = 0; i < 6; i++) {
        assert_true(jobs_submit(work->jobs, work_wait, work_done, work, NULL, &err));
    }
    wait_running(work, 2);
    jobs_free(work->jobs);
    work->jobs = NULL;
    assert_int_equal(work->done, 6);
    assert_int_equal(atomic_load(&work->ran), 0);
    loop_turn(work->loop, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_jobs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_ends_all, setup, teardown),
    };
    return cmocka_run_group_tests_name("jobs", tests, NULL, NULL);
}
