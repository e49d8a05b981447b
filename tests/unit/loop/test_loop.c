/* The turn: fd watchers, timers, deferred calls, posts from threads, stop and wake. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../unit.h"
#include "any_loop.h"

typedef struct Fixture {
    Loop *loop;
    int pair[2];
    int calls;
    int64_t at_ms;
    LoopTimer timer;
    LoopTimer other;
    LoopDefer defer;
    LoopFd *watch[2];
    Buf trace;
} Fixture;

static int setup(void **state)
{
    Fixture *fixture = mem_alloc(sizeof(Fixture));
    Err err;
    assert_true(any_loop_new(&fixture->loop, &err));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fixture->pair), 0);
    buf_init(&fixture->trace, 1024);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    Fixture *fixture = *state;
    loop_free(fixture->loop);
    fd_close(&fixture->pair[0]);
    fd_close(&fixture->pair[1]);
    buf_done(&fixture->trace);
    mem_free(fixture);
    return 0;
}

static void count_call(void *user)
{
    Fixture *fixture = user;
    fixture->calls++;
    fixture->at_ms = loop_now_ms(fixture->loop);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void test_timer_once(void **state)
{
    Fixture *fixture = *state;
    int64_t start_ms = time_mono_ms();
    loop_timer_start(fixture->loop, &fixture->timer, 20, 0, count_call, fixture);
    assert_true(loop_timer_armed(&fixture->timer));
    while (fixture->calls == 0) {
        loop_turn(fixture->loop, -1);
    }
    assert_true(fixture->at_ms - start_ms >= 20);
    assert_false(loop_timer_armed(&fixture->timer));
    loop_turn(fixture->loop, 30);
    assert_int_equal(fixture->calls, 1);
}

static void stop_after_three(void *user)
{
    Fixture *fixture = user;
    if (++fixture->calls == 3) {
        loop_timer_stop(&fixture->timer);
        loop_stop(fixture->loop);
    }
}

static void test_timer_repeats(void **state)
{
    Fixture *fixture = *state;
    loop_timer_start(fixture->loop, &fixture->timer, 1, 2, stop_after_three, fixture);
    loop_run(fixture->loop);
    loop_turn(fixture->loop, 10);
    assert_int_equal(fixture->calls, 3);
}

static void test_timer_moves(void **state)
{
    Fixture *fixture = *state;
    /* Later: the old time must not fire. Earlier: the old time must not hold. */
    int64_t start_ms = time_mono_ms();
    loop_timer_start(fixture->loop, &fixture->timer, 5, 0, count_call, fixture);
    loop_timer_start(fixture->loop, &fixture->timer, 40, 0, count_call, fixture);
    while (fixture->calls == 0) {
        loop_turn(fixture->loop, -1);
    }
    assert_true(time_mono_ms() - start_ms >= 40);
    loop_timer_start(fixture->loop, &fixture->timer, 60000, 0, count_call, fixture);
    loop_timer_start(fixture->loop, &fixture->timer, 1, 0, count_call, fixture);
    loop_turn(fixture->loop, -1);
    loop_turn(fixture->loop, 5);
    assert_int_equal(fixture->calls, 2);
}

static void timer_rearm(void *user)
{
    Fixture *fixture = user;
    fixture->calls++;
    loop_timer_start(fixture->loop, &fixture->timer, 0, 0, timer_rearm, fixture);
}

static void test_timer_of_no_delay_lets_a_turn_end(void **state)
{
    Fixture *fixture = *state;
    loop_timer_start(fixture->loop, &fixture->timer, 0, 0, timer_rearm, fixture);
    for (int i = 0; i < 5; i++) {
        loop_turn(fixture->loop, -1);
    }
    assert_in_range(fixture->calls, 1, 5);
}

typedef struct ManyTimers {
    LoopTimer timers[200];
    Loop *loop;
    int64_t last_ms;
    int fired;
} ManyTimers;

typedef struct OneTimer {
    ManyTimers *all;
    int64_t due_ms;
} OneTimer;

static void check_order(void *user)
{
    OneTimer *one = user;
    assert_true(one->due_ms >= one->all->last_ms);
    assert_true(loop_now_ms(one->all->loop) >= one->due_ms);
    one->all->last_ms = one->due_ms;
    one->all->fired++;
}

static void test_timers_fire_in_order(void **state)
{
    Fixture *fixture = *state;
    ManyTimers *all = mem_alloc(sizeof(ManyTimers));
    OneTimer ones[ARRAY_LEN(all->timers)];
    all->loop = fixture->loop;
    for (size_t i = 0; i < ARRAY_LEN(ones); i++) {
        int64_t delay_ms = (int64_t)(i * 37 % 50) + 1;
        loop_timer_start(fixture->loop, &all->timers[i], delay_ms, 0, check_order, &ones[i]);
        ones[i] = (OneTimer){all, all->timers[i].due_ms_};
    }
    int stopped = 0;
    for (size_t i = 0; i < ARRAY_LEN(ones); i += 3, stopped++) {
        loop_timer_stop(&all->timers[i]);
    }
    int left = (int)ARRAY_LEN(ones) - stopped;
    for (int64_t end_ms = time_mono_ms() + 5000; all->fired < left && time_mono_ms() < end_ms;) {
        loop_turn(fixture->loop, 100);
    }
    assert_int_equal(all->fired, left);
    mem_free(all);
}

static void stop_other(void *user)
{
    Fixture *fixture = user;
    fixture->calls++;
    loop_timer_stop(&fixture->other);
    loop_timer_stop(&fixture->timer);
}

static void test_timer_stops_another_that_is_due(void **state)
{
    Fixture *fixture = *state;
    loop_timer_start(fixture->loop, &fixture->timer, 1, 0, stop_other, fixture);
    loop_timer_start(fixture->loop, &fixture->other, 1, 0, stop_other, fixture);
    usleep(5000);
    loop_turn(fixture->loop, 10);
    loop_turn(fixture->loop, 5);
    assert_int_equal(fixture->calls, 1);
}

/* ---- fds ------------------------------------------------------------------------------------- */

static void fd_ready(void *user, uint32_t events)
{
    Fixture *fixture = user;
    assert_true((events & EPOLLIN) != 0);
    char byte;
    assert_int_equal(read(fixture->pair[0], &byte, 1), 1);
    fixture->calls++;
}

static void test_fd_is_level_triggered(void **state)
{
    Fixture *fixture = *state;
    Err err;
    assert_true(loop_fd_add(fixture->loop, fixture->pair[0], EPOLLIN, fd_ready, fixture,
                            &fixture->watch[0], &err));
    assert_int_equal(write(fixture->pair[1], "abc", 3), 3);
    loop_turn(fixture->loop, 100);
    loop_turn(fixture->loop, 100);
    assert_int_equal(fixture->calls, 2);
    loop_fd_set(fixture->watch[0], 0);
    loop_turn(fixture->loop, 0);
    assert_int_equal(fixture->calls, 2);
    loop_fd_set(fixture->watch[0], EPOLLIN);
    loop_turn(fixture->loop, 100);
    assert_int_equal(fixture->calls, 3);
    loop_fd_remove(fixture->watch[0]);
    assert_false(
        loop_fd_add(fixture->loop, -1, EPOLLIN, fd_ready, fixture, &fixture->watch[0], &err));
}

/* Both fds are ready in one batch; whichever comes first removes both watchers. */
static void fd_remove_all(void *user, uint32_t events)
{
    (void)events;
    Fixture *fixture = user;
    fixture->calls++;
    loop_fd_remove(fixture->watch[0]);
    loop_fd_remove(fixture->watch[1]);
}

static void test_late_event_does_not_reach_a_removed_watcher(void **state)
{
    Fixture *fixture = *state;
    Err err;
    for (int i = 0; i < 2; i++) {
        assert_true(loop_fd_add(fixture->loop, fixture->pair[i], EPOLLOUT, fd_remove_all, fixture,
                                &fixture->watch[i], &err));
    }
    loop_turn(fixture->loop, 100);
    assert_int_equal(fixture->calls, 1);
    loop_turn(fixture->loop, 0);
    assert_int_equal(fixture->calls, 1);
}

/* ---- deferred calls -------------------------------------------------------------------------- */

static void defer_again(void *user)
{
    Fixture *fixture = user;
    if (++fixture->calls < 3) {
        loop_defer(fixture->loop, &fixture->defer, defer_again, fixture);
    }
}

static void test_defer(void **state)
{
    Fixture *fixture = *state;
    loop_defer(fixture->loop, &fixture->defer, count_call, fixture);
    loop_defer(fixture->loop, &fixture->defer, count_call, fixture);
    loop_turn(fixture->loop, 1000);
    assert_int_equal(fixture->calls, 1);
    loop_defer(fixture->loop, &fixture->defer, count_call, fixture);
    loop_defer_cancel(&fixture->defer);
    loop_defer_cancel(&fixture->defer);
    loop_turn(fixture->loop, 0);
    assert_int_equal(fixture->calls, 1);

    fixture->calls = 0;
    loop_defer(fixture->loop, &fixture->defer, defer_again, fixture);
    loop_turn(fixture->loop, 1000);
    assert_int_equal(fixture->calls, 1);
    loop_turn(fixture->loop, 1000); /* at once */
    loop_turn(fixture->loop, 1000);
    assert_int_equal(fixture->calls, 3);
}

/* ---- other threads --------------------------------------------------------------------------- */

#define POSTS_PER_THREAD 2000

typedef struct Poster {
    Loop *loop;
    pthread_t thread;
    int sent;
    int seen;
    int *left;
} Poster;

typedef struct PosterCall {
    Poster *poster;
    int number;
} PosterCall;

static void post_seen(void *user)
{
    PosterCall *call = user;
    Poster *poster = call->poster;
    assert_int_equal(call->number, poster->seen); /* in the order of its thread */
    poster->seen++;
    mem_free(call);
    if (--*poster->left == 0) {
        loop_stop(poster->loop);
    }
}

static void *post_many(void *user)
{
    Poster *poster = user;
    for (; poster->sent < POSTS_PER_THREAD; poster->sent++) {
        PosterCall *call = mem_alloc(sizeof(PosterCall));
        *call = (PosterCall){poster, poster->sent};
        loop_post(poster->loop, post_seen, call);
    }
    return NULL;
}

static void test_posts_of_threads(void **state)
{
    Fixture *fixture = *state;
    Poster posters[3] = {0};
    int left = (int)ARRAY_LEN(posters) * POSTS_PER_THREAD;
    for (size_t i = 0; i < ARRAY_LEN(posters); i++) {
        posters[i].loop = fixture->loop;
        posters[i].left = &left;
        assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]), 0);
    }
    loop_run(fixture->loop);
    for (size_t i = 0; i < ARRAY_LEN(posters); i++) {
        pthread_join(posters[i].thread, NULL);
        assert_int_equal(posters[i].seen, POSTS_PER_THREAD);
    }
    loop_post(fixture->loop, count_call, fixture); /* freed with the loop, never called */
}

static void *stop_soon(void *user)
{
    usleep(10000);
    loop_stop(user);
    return NULL;
}

static void test_stop_and_wake(void **state)
{
    Fixture *fixture = *state;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, fixture->loop), 0);
    loop_run(fixture->loop);
    pthread_join(thread, NULL);
    loop_stop(fixture->loop); /* before it runs: it takes one turn */
    loop_run(fixture->loop);
    int64_t start_ms = time_mono_ms();
    loop_wake(fixture->loop);
    loop_turn(fixture->loop, 5000);
    assert_true(time_mono_ms() - start_ms < 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timer_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_repeats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_of_no_delay_lets_a_turn_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timers_fire_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_timer_stops_another_that_is_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fd_is_level_triggered, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late_event_does_not_reach_a_removed_watcher, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_defer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_posts_of_threads, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stop_and_wake, setup, teardown),
    };
    return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
