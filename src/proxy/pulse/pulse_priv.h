/*
 * pulse: whether the primary may still answer (RULES F9), and whether what it has answered is where
 * it must be (F6). Where a target's commits wait for standbys (target.synchronous), worker 0 keeps
 * one session there, for all workers, of a role of its own, outside of the budget. A *pulse* is a
 * small commit by it (pg_logical_emit_message, about 100 bytes of WAL) that waits for the standbys
 * as any other. One that was acknowledged without a notice proves that whatever was committed
 * before it *began* is with everybody who may lead, and that none of those leads; or that the store
 * had agreed that there is nobody else.
 *
 *   each PULSE_MS   while somebody uses the primary; the right to answer lasts PULSE_RIGHT_MS from
 *                   the begin of the last one. It is measured; enforced only where another host may
 *                   take over (target.right_to_answer: `enforced`): past it answers are held, and
 *                   nobody gets a connection
 *   at once         when a success waits for it (hold.c)
 *   not at all      when nobody has used the primary for PULSE_REST_MS: each pulse is a transaction
 *                   number and a flush of its WAL, here and at the standbys. The first use begins
 *                   again, and waits for that where the right is enforced
 *
 * Its session is outside of the budget, but PostgreSQL may be full all the same: of clients that
 * reach it by a relay, or of somebody else's. Then whatever becomes free is the pulse's: without
 * one nobody could be answered.
 *
 * A pulse that is not answered within PULSE_LATE_MS may wait for a standby that is gone, or its
 * connection may lead nowhere: then a second session asks as well, and never a third, for whoever
 * waits for a standby holds a backend until that is there.
 *
 * It is one engine's, from its start to its end (`run`): what another one has acknowledged proves
 * nothing of this one's commits.
 */
#ifndef WEIR_PROXY_PULSE_PRIV_H
#define WEIR_PROXY_PULSE_PRIV_H

#include <stdatomic.h>

#include "loop/loop.h"

typedef struct Proxy Proxy;
typedef struct ProxyServer ProxyServer;
typedef struct ProxyWorker ProxyWorker;

#define PULSE_MS       250
#define PULSE_RIGHT_MS 1000
#define PULSE_REST_MS  10000
#define PULSE_LATE_MS  500 /* so that another one is in time */

/* Of an engine, the moment at which it was started, in µs: no other one has the same. */
#define ENGINE_RUN_SQL                                                                             \
    "pg_catalog.int8(pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())"         \
    " OPERATOR(pg_catalog.*) 1000000)"

/* A session by which it is asked. */
typedef struct PulseSession {
    ProxyServer *opened; /* NULL: there is none */
    ProxyServer *server; /* the same, once it can be asked */
    bool asking;         /* an answer is under way */
    bool cut;            /* its wait was: it proves nothing */
    bool failed;
    int64_t since_us; /* when it was opened, or asked last */
    int64_t asked_run;
} PulseSession;

typedef struct ProxyPulse {
    /* Any thread reads. */
    atomic_int_fast64_t begun_us; /* of the last one that was acknowledged; 0: none of this `run` */
    atomic_int_fast64_t run;      /* of whom it was; 0: nobody */
    atomic_int_fast64_t took_us;
    atomic_uint_fast64_t count; /* acknowledged so far */
    atomic_bool rests;          /* nobody uses the primary */
    atomic_bool away;           /* there is nobody who could ask */
    atomic_bool crowded;        /* it was not let in: PostgreSQL is full */
    atomic_bool wanted;
    /* Worker 0's. */
    PulseSession sessions[2];    /* the second one as long as the first is late */
    char at[NET_ADDR_TEXT_SIZE]; /* where they lead */
    bool again;                  /* an answer is under way, and another one is wanted then */
    bool complained;
    uint64_t queries; /* of all workers, when they were last seen to grow */
    int64_t used_ms;  /* then; 0: never looked */
    LoopTimer timer;
} ProxyPulse;

/* Worker 0: there is a configuration, for the first time or another. */
void proxy_pulse_apply(ProxyWorker *worker);
/* Any thread: its worker ends, and has no clients any more. With the last worker's last one, the
 * pulse ends. */
void proxy_pulse_drain(Proxy *proxy);

/* Of the session's login. */
void proxy_pulse_put_params(Buf *params);
void proxy_pulse_begin(ProxyServer *server);
void proxy_pulse_failed(ProxyServer *server, const char *why);
void proxy_pulse_crowded(ProxyServer *server, bool full); /* as well: there was no room for it */
void proxy_pulse_gone(ProxyServer *server);               /* its connection is, or never was */

/* Any thread: it has yet to be let in, and PostgreSQL is full. Until then nobody else is to be let
 * in from here, so that what becomes free is its. */
bool proxy_pulse_is_crowded(const ProxyPulse *pulse);
/* Any thread: one is wanted that begins from now on. */
void proxy_pulse_want(Proxy *proxy);
/* Any thread: the begin of the last one of this engine that was acknowledged, of CLOCK_BOOTTIME in
 * µs; 0: there is none. */
int64_t proxy_pulse_begun_us(const ProxyPulse *pulse, int64_t run);
/* Any thread: an engine answers, and it is another one. */
bool proxy_pulse_is_of_another(const ProxyPulse *pulse, int64_t run);
/* Any thread: how much longer the primary may answer, in µs; below 0 it may not. */
int64_t proxy_pulse_right_us(const ProxyPulse *pulse);

#endif
