/* Timers: a binary heap on "when to look". Moving an armed timer later, which is what idle timeouts
 * do at every request, only writes its due time; the heap finds out when it looks. */
#include "loop/loop_priv.h"

static void heap_put(Loop *loop, size_t slot, TimerEntry entry)
{
    loop->timers.items[slot] = entry;
    entry.timer->slot_ = slot;
}

static void heap_up(Loop *loop, size_t slot)
{
    TimerEntry entry = loop->timers.items[slot];
    while (slot > 0) {
        size_t parent = (slot - 1) / 2;
        if (loop->timers.items[parent].key_ms <= entry.key_ms) {
            break;
        }
        heap_put(loop, slot, loop->timers.items[parent]);
        slot = parent;
    }
    heap_put(loop, slot, entry);
}

static void heap_down(Loop *loop, size_t slot)
{
    TimerEntry entry = loop->timers.items[slot];
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child >= loop->timers.len) {
            break;
        }
        if (child + 1 < loop->timers.len &&
            loop->timers.items[child + 1].key_ms < loop->timers.items[child].key_ms) {
            child++;
        }
        if (loop->timers.items[child].key_ms >= entry.key_ms) {
            break;
        }
        heap_put(loop, slot, loop->timers.items[child]);
        slot = child;
    }
    heap_put(loop, slot, entry);
}

static void heap_remove(Loop *loop, size_t slot)
{
    ASSERT(slot < loop->timers.len);
    TimerEntry last = loop->timers.items[--loop->timers.len];
    if (slot < loop->timers.len) {
        heap_put(loop, slot, last);
        heap_up(loop, slot);
        heap_down(loop, last.timer->slot_);
    }
}

void loop_timer_start(Loop *loop, LoopTimer *timer, int64_t delay_ms, int64_t repeat_ms, LoopFn *fn,
                      void *user)
{
    ASSERT(repeat_ms >= 0 && (timer->loop_ == NULL || timer->loop_ == loop));
    /* At least 1 ms, so that a timer that starts itself anew cannot keep a turn from ending. */
    timer->due_ms_ = loop_time_ms(loop) + (delay_ms > 1 ? delay_ms : 1);
    timer->repeat_ms_ = repeat_ms;
    timer->fn_ = fn;
    timer->user_ = user;
    if (timer->loop_ == NULL) {
        timer->loop_ = loop;
        TimerEntry entry = {timer->due_ms_, timer};
        vec_push(&loop->timers, entry);
        heap_up(loop, loop->timers.len - 1);
    } else if (timer->due_ms_ < loop->timers.items[timer->slot_].key_ms) {
        loop->timers.items[timer->slot_].key_ms = timer->due_ms_;
        heap_up(loop, timer->slot_);
    }
}

void loop_timer_stop(LoopTimer *timer)
{
    if (timer->loop_ != NULL) {
        heap_remove(timer->loop_, timer->slot_);
        timer->loop_ = NULL;
    }
}

bool loop_timer_armed(const LoopTimer *timer)
{
    return timer->loop_ != NULL;
}

int64_t timers_wait_ms(const Loop *loop)
{
    if (loop->timers.len == 0) {
        return -1;
    }
    int64_t wait_ms = loop->timers.items[0].key_ms - loop->now_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

/* Looks at the first entry. The callback comes last: it may stop, start or free any timer. */
static void timer_look(Loop *loop)
{
    LoopTimer *timer = loop->timers.items[0].timer;
    if (timer->due_ms_ > loop->now_ms) {
        loop->timers.items[0].key_ms = timer->due_ms_;
        heap_down(loop, 0);
        return;
    }
    if (timer->repeat_ms_ > 0) {
        timer->due_ms_ += timer->repeat_ms_;
        if (timer->due_ms_ <= loop->now_ms) {
            timer->due_ms_ = loop->now_ms + timer->repeat_ms_;
        }
        loop->timers.items[0].key_ms = timer->due_ms_;
        heap_down(loop, 0);
    } else {
        loop_timer_stop(timer);
    }
    timer->fn_(timer->user_);
}

void timers_run(Loop *loop)
{
    while (loop->timers.len > 0 && loop->timers.items[0].key_ms <= loop->now_ms) {
        timer_look(loop);
    }
}
