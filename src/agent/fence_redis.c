/*
 * What proves that a Redis may go on while the store takes no beats: its rivals' own words. A
 * replica says each second what it has, as long as it follows; so one that confirms what was
 * written at some moment had not taken the lead by then, however late its word comes. Its agent
 * sets the term free no sooner than HA_FENCE_MS behind the first look that found the link gone.
 * Pure: looks in, a time out; who asks the engine, and tells the guard, is fence.c.
 */
#include "agent/fence_priv.h"

#include <stdio.h>

/* So long a link is there before its words count: one that comes and goes between two looks of the
 * other agent proves nothing. */
#define LINK_MS   3000
#define LAG_MAX_S 1

void fence_rivals_add(FenceRivals *rivals, const char *address)
{
    for (size_t i = 0; i < rivals->len; i++) {
        if (strcmp(rivals->addresses[i], address) == 0) {
            return;
        }
    }
    bool fits = rivals->len < HA_SET_MAX;
    rivals->len += fits;
    snprintf(rivals->addresses[rivals->len - 1], sizeof(rivals->addresses[0]), "%s",
             fits ? address : "");
}

static RivalSeen *seen_of(RivalWatch *watch, const char *address)
{
    for (size_t i = 0; i < watch->len; i++) {
        if (strcmp(watch->items[i].address, address) == 0) {
            return &watch->items[i];
        }
    }
    return NULL;
}

static const RedisReplica *replica_at(const RedisSeen *seen, const char *address)
{
    for (size_t i = 0; i < seen->replicas_len; i++) {
        const RedisReplica *replica = &seen->replicas[i];
        if (replica->online && replica->lag_s <= LAG_MAX_S &&
            strcmp(replica->address, address) == 0) {
            return replica;
        }
    }
    return NULL;
}

/* Those that were there in the last look, and still are. */
static void forget_the_gone(RivalWatch *watch, const RedisSeen *seen)
{
    size_t len = 0;
    for (size_t i = 0; i < watch->len; i++) {
        if (replica_at(seen, watch->items[i].address) != NULL) {
            watch->items[len++] = watch->items[i];
        }
    }
    watch->len = len;
}

/* What it confirms had not been written yet in the looks before: so it spoke behind them, however
 * long its word was on its way. */
static int64_t spoke_ms(const RivalWatch *watch, const RedisReplica *replica)
{
    int64_t ms = 0;
    for (size_t i = 0; i < watch->looks_len; i++) {
        ms = watch->looks[i].offset < replica->offset ? watch->looks[i].ms : ms;
    }
    return ms;
}

static void note_replica(RivalWatch *watch, const RedisReplica *replica, int64_t now_ms)
{
    RivalSeen *rival = seen_of(watch, replica->address);
    if (rival == NULL && watch->len < REDIS_REPLICAS_MAX) {
        rival = &watch->items[watch->len++];
        *rival = (RivalSeen){.since_ms = now_ms};
        snprintf(rival->address, sizeof(rival->address), "%s", replica->address);
    } else if (rival != NULL) {
        int64_t said_ms = spoke_ms(watch, replica);
        rival->said_ms = said_ms > rival->said_ms ? said_ms : rival->said_ms;
    }
}

/* An offset is less than before where its history is another one. */
static void note_look(RivalWatch *watch, int64_t offset, int64_t now_ms)
{
    if (watch->looks_len > 0 && offset < watch->looks[watch->looks_len - 1].offset) {
        *watch = (RivalWatch){.len = 0};
    }
    if (watch->looks_len == RIVAL_LOOKS) {
        memmove(watch->looks, watch->looks + 1, (RIVAL_LOOKS - 1) * sizeof(watch->looks[0]));
        watch->looks_len--;
    }
    watch->looks[watch->looks_len++] = (RivalLook){.ms = now_ms, .offset = offset};
}

static void take_look(RivalWatch *watch, const RedisSeen *seen, int64_t now_ms)
{
    forget_the_gone(watch, seen);
    for (size_t i = 0; i < seen->replicas_len; i++) {
        const RedisReplica *replica = &seen->replicas[i];
        if (replica_at(seen, replica->address) == replica) {
            note_replica(watch, replica, now_ms);
        }
    }
    note_look(watch, seen->offset, now_ms);
}

int64_t rival_watch_look(RivalWatch *watch, const FenceRivals *rivals, const RedisSeen *seen,
                         int64_t now_ms)
{
    int64_t proven_ms = now_ms;
    if (seen != NULL) {
        take_look(watch, seen, now_ms);
    }
    for (size_t i = 0; i < rivals->len; i++) {
        const RivalSeen *rival = seen_of(watch, rivals->addresses[i]);
        bool counts = rival != NULL && now_ms - rival->since_ms >= LINK_MS;
        int64_t said_ms = counts ? rival->said_ms : 0;
        proven_ms = said_ms < proven_ms ? said_ms : proven_ms;
    }
    return proven_ms;
}
