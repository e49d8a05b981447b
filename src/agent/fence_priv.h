/*
 * The fence deadline of an engine that leads while another host's could take its place (RULES, F9,
 * F15): its guard ends it unless this host's agent says again and again that it may run. The agent
 * says so while the store takes its writes; while it does not, as long as the engine itself proves
 * that nobody has taken its place: PostgreSQL by a commit of its own that is acknowledged, which
 * with a standby takes the standby; Redis by the words of all its rivals, which say what they have
 * of it as long as they follow (fence_redis.c). It is apart from the node's job, which may wait for
 * the store. Loop thread, where nothing else is said.
 */
#ifndef WEIR_AGENT_FENCE_PRIV_H
#define WEIR_AGENT_FENCE_PRIV_H

#include "agent/hosts/hosts_priv.h"

/* Who of other hosts could take the place of a Redis. */
typedef struct FenceRivals {
    size_t len;
    char addresses[HA_SET_MAX][64]; /* "": one that nobody can ask */
} FenceRivals;

/* Each once. One too many is one that nobody can ask. */
void fence_rivals_add(FenceRivals *rivals, const char *address);

/* `options` outlive it. */
Fence *fence_new(const AgentOptions *options, const char *node);
void fence_free(Fence *fence);
/* Whether it has a rival now, what it is, and the folder of its zone. */
void fence_want(Fence *fence, bool wanted, bool redis, const char *zone);
/* Its guard has a deadline, which is put off while it is wanted. */
bool fence_holds(const Fence *fence);
/* Any thread. `all`: these and no others; else these, too. A Redis is asked as its admin; before,
 * it proves nothing. */
void fence_rivals(Fence *fence, const char *admin_password, const FenceRivals *rivals, bool all);
/* Any thread. The deadline with which an engine may be started now: ERR_UNAVAILABLE where the store
 * has taken no beat of late. */
NODISCARD bool fence_first(const Fence *fence, int64_t *ret_until_ms, Err *err);

/* ---- fence_redis.c ----------------------------------------------------------------------------
 */

#define RIVAL_LOOKS 16

typedef struct RivalSeen {
    char address[64];
    int64_t since_ms; /* it follows in every look that was answered since then */
    int64_t said_ms;  /* it has said something since then; 0: nothing yet */
} RivalSeen;

typedef struct RivalLook {
    int64_t ms;
    int64_t offset; /* what the leader had written when it was over */
} RivalLook;

/* What the looks have found: whoever follows. */
typedef struct RivalWatch {
    RivalSeen items[REDIS_REPLICAS_MAX];
    size_t len;
    RivalLook looks[RIVAL_LOOKS]; /* the last ones that were answered, the oldest first */
    size_t looks_len;
} RivalWatch;

/* One look, which began at `now_ms`, at a leader and its replicas; NULL: it does not answer.
 * Returns when none of the rivals can have taken its place yet; 0: not known. */
int64_t rival_watch_look(RivalWatch *watch, const FenceRivals *rivals, const RedisSeen *seen,
                         int64_t now_ms);

#endif
