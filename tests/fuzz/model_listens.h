/* What a connection of the model listens to, in its transactions, and numbers that are heard in
 * order. */
#ifndef WEIR_FUZZ_MODEL_LISTENS_H
#define WEIR_FUZZ_MODEL_LISTENS_H

#include "base/base.h"

/* What listens, as of the last commit, and as of the transaction that is open. */
typedef struct Listens {
    bool channel, marks, next_channel, next_marks;
} Listens;

#define HEARD_MAX 512

/* Numbers of notifications, and of marks as negative ones. */
typedef struct Numbers {
    int32_t items[HEARD_MAX];
    size_t first, len;
} Numbers;

static inline void numbers_push(Numbers *numbers, int32_t number)
{
    ASSERT(numbers->first + numbers->len < HEARD_MAX);
    numbers->items[numbers->first + numbers->len++] = number;
}

static inline int32_t numbers_pop(Numbers *numbers)
{
    ASSERT(numbers->len > 0);
    numbers->len--;
    return numbers->items[numbers->first++];
}

static inline void listens_commit(Listens *listens)
{
    listens->channel = listens->next_channel;
    listens->marks = listens->next_marks;
}

static inline void listens_roll_back(Listens *listens)
{
    listens->next_channel = listens->channel;
    listens->next_marks = listens->marks;
}

static inline void run_listen(Listens *listens, Slice sql)
{
    if (slice_is(sql, "listen c")) {
        listens->next_channel = true;
    } else if (slice_is(sql, "unlisten *") || slice_is(sql, "discard all")) {
        listens->next_channel = listens->next_marks = false;
    }
}

static inline bool is_listening(Slice sql)
{
    return slice_is(sql, "listen c") || slice_is(sql, "unlisten *");
}

#endif
