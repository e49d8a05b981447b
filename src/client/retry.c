/*
 * Whether a call is tried again. The rule: a request that was certainly not carried out is sent
 * again; one that may have been is sent again only where it changes nothing.
 *
 *   refused     not sent       again until patience runs out, 50 ms to 500 ms apart
 *   throttled   not carried out   again, doubling from 100 ms to 2 s
 *   lost        unknown        reads: again, as throttled, for 10 s; changes: no
 *   5xx         unknown        reads: again, as throttled, for 10 s; changes: no
 *   failed                     no
 */
#include "client/client_priv.h"

#define REFUSED_WAIT_MIN_MS ((int64_t)50)
#define REFUSED_WAIT_MAX_MS ((int64_t)500)
#define LOST_AGAIN_MS       ((int64_t)10000) /* less than a timeout: that is not worth a second one */
#define BACKOFF_MIN_MS      ((int64_t)100)
#define BACKOFF_MAX_MS      ((int64_t)2000)

static int64_t doubled(int64_t from_ms, int64_t to_ms, int times)
{
    int64_t wait_ms = from_ms;
    for (int i = 0; i < times && wait_ms < to_ms; i++) {
        wait_ms *= 2;
    }
    return wait_ms < to_ms ? wait_ms : to_ms;
}

int64_t attempt_wait_ms(const Attempt *attempt, int64_t patience_ms)
{
    bool lost = attempt->outcome == OUTCOME_LOST ||
                (attempt->outcome == OUTCOME_REPLY && attempt->status >= 500);
    if (attempt->outcome == OUTCOME_REFUSED) {
        int64_t left_ms = patience_ms - attempt->elapsed_ms;
        int64_t wait_ms = doubled(REFUSED_WAIT_MIN_MS, REFUSED_WAIT_MAX_MS, attempt->number - 1);
        return left_ms <= 0 ? -1 : wait_ms < left_ms ? wait_ms : left_ms;
    }
    bool again =
        attempt->throttled || (lost && attempt->reads_only && attempt->elapsed_ms < LOST_AGAIN_MS);
    if (!again || attempt->number >= ATTEMPTS_MAX) {
        return -1;
    }
    return doubled(BACKOFF_MIN_MS, BACKOFF_MAX_MS, attempt->number - 1);
}
