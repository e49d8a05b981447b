/*
 * Throttle: failed logins by source address, and how long each further answer is held back. Guesses
 * become slow; who logs in with the right password waits for nobody. Pure: the caller has the clock
 * and does the waiting.
 *
 * A source is an IPv4 address or an IPv6 /64. AUTH_FREE_FAILURES are answered at once, further ones
 * later and later; one is forgiven each AUTH_FORGIVE_MS. A client that does not wait for its
 * answer, but comes again by another connection, finds the number of answers on their way limited:
 * of one role from one source, so that one application with an outdated password does not stand in
 * the way of the others behind its address, and of the source as a whole.
 */
#ifndef WEIR_PROXY_THROTTLE_PRIV_H
#define WEIR_PROXY_THROTTLE_PRIV_H

#include "loop/loop.h"

#define AUTH_SOURCES_MAX        1024 /* remembered; the one whose last failure is longest ago goes */
#define AUTH_FREE_FAILURES      10
#define AUTH_FAILURES_MAX       20 /* more count as so many */
#define AUTH_FORGIVE_MS         10000
#define AUTH_DELAY_MIN_MS       250 /* doubles with each failure up to */
#define AUTH_DELAY_MAX_MS       4000
#define AUTH_ROLE_ANSWERS_MAX   16  /* on their way at once, of one role from one source */
#define AUTH_SOURCE_ANSWERS_MAX 64  /* of one source */
#define AUTH_DELAYED_MAX        512 /* connections of a worker that are kept for it */

typedef struct Throttle Throttle;

Throttle *throttle_new(void);
void throttle_free(Throttle *throttle); /* NULL is fine */
/* Whether the proof of a client from there is looked at now. `role` tells roles apart; all that
 * there are not are 0. */
bool throttle_admits(const Throttle *throttle, const NetAddr *peer, uint32_t role, int64_t now_ms);
/* It was wrong: for how many ms the answer is held back. */
int64_t throttle_failed(Throttle *throttle, const NetAddr *peer, uint32_t role, int64_t now_ms);
size_t throttle_source_count(const Throttle *throttle);

#endif
