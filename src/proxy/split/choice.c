/* See choice_priv.h. */
#include "proxy/split/choice_priv.h"

#define PAGE_SIZE         8192
#define PAGE_HEADER       24
#define PAGE_HEADER_FIRST 40 /* of a segment */

unsigned choice_lag_class(int64_t lag_ms)
{
    unsigned result = 0;
    if (lag_ms < 0) {
        return UINT32_MAX;
    }
    for (int64_t bound = CHOICE_CLASS_MS; lag_ms > bound; bound *= 10) {
        result++;
    }
    return result;
}

/* As a share of what it may have: replicas may be of different size. */
static bool is_better(const ChoiceReplica *a, const ChoiceReplica *b)
{
    if (a->full != b->full) {
        return b->full;
    }
    unsigned class_a = choice_lag_class(a->lag_ms);
    unsigned class_b = choice_lag_class(b->lag_ms);
    if (class_a != class_b) {
        return class_a < class_b;
    }
    return (uint64_t)a->busy * b->capacity < (uint64_t)b->busy * a->capacity;
}

size_t choice_replica(const ChoiceReplica *replicas, size_t count, size_t turn)
{
    size_t best = CHOICE_NONE;
    for (size_t i = 0; i < count; i++) {
        size_t at = (turn + i) % count;
        if (replicas[at].usable &&
            (best == CHOICE_NONE || is_better(&replicas[at], &replicas[best]))) {
            best = at;
        }
    }
    return best;
}

/* ---- how far behind ----------------------------------------------------------------------------
 */

void lag_history_add(LagHistory *history, uint64_t position, int64_t at_ms, int64_t apart_ms)
{
    size_t len = history->len;
    if (len > 0 && history->marks[len - 1].position > position) {
        history->len = len = 0;
    }
    /* Whoever lacks the same has lacked it since then. */
    if (len > 0 && (history->marks[len - 1].position == position ||
                    at_ms - history->marks[len - 1].at_ms < apart_ms)) {
        return;
    }
    if (len == LAG_HISTORY_MAX) {
        history->len = len = LAG_HISTORY_MAX - 1;
        memmove(&history->marks[0], &history->marks[1], len * sizeof(history->marks[0]));
    }
    history->marks[len].position = position;
    history->marks[len].at_ms = at_ms;
    history->len = len + 1;
}

int64_t lag_history_behind(const LagHistory *history, uint64_t replayed, int64_t now_ms)
{
    if (history->len == 0) {
        return -1;
    }
    for (size_t i = 0; i < history->len; i++) {
        if (history->marks[i].position > replayed) {
            return now_ms - history->marks[i].at_ms;
        }
    }
    return 0;
}

bool floor_is_reached(const ReadFloor *floor, uint64_t system, uint32_t timeline, uint64_t position)
{
    if (floor == NULL || floor->position == 0) {
        return true;
    }
    bool history = floor->later ? timeline >= floor->timeline && system == floor->system
                                : timeline == floor->timeline;
    return history && position >= floor->position;
}

uint64_t lag_position_of_insert(uint64_t position)
{
    uint64_t offset = position % PAGE_SIZE;
    return offset == PAGE_HEADER || offset == PAGE_HEADER_FIRST ? position - offset : position;
}
