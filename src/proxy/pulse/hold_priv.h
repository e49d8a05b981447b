/*
 * hold: server connections whose answer must wait, paused with its bytes still unread:
 *
 *   HOLD_GATE    a success that a cut wait could have produced (STEP_GATE): until a pulse that
 *                began behind it is acknowledged. After HOLD_GATE_MS, or where the engine is lost,
 *                its client hears what it would hear of a lost connection: 08007
 *   HOLD_RIGHT   the primary may not answer at present (target.right_to_answer `enforced`): until
 *                it may. What was read before stands: a pulse that began behind it proves that the
 *                primary was one. After HOLD_RIGHT_MS it counts as lost
 *
 * Everything is its worker's. What costs something here is only paid where target.synchronous is.
 */
#ifndef WEIR_PROXY_HOLD_PRIV_H
#define WEIR_PROXY_HOLD_PRIV_H

#include "proxy/pulse/pulse_priv.h"

#define HOLD_GATE_MS  5000  /* a lost standby is out of the set long before */
#define HOLD_RIGHT_MS 10000 /* by then another one leads, or the fence has ended this one */
#define HOLD_WORDS_MS 500   /* what PostgreSQL said before it closed may be heard until then */
#define HOLD_TICK_MS  50

/* STEP_GATE. */
void proxy_hold_gate(ProxyServer *server);
/* Whether what the server has just sent may be passed on; otherwise it is held, and given again. To
 * be asked behind the read: what came before this moment was said before it. */
bool proxy_hold_may_answer(ProxyServer *server);
/* Whether the target may answer now. */
bool proxy_hold_has_right(const ProxyWorker *worker, size_t target);
/* The same, of somebody who wants a connection there: if not, it is asked for. */
bool proxy_hold_may_begin(ProxyWorker *worker, size_t target);
/* Not any more: it has no client, or is about to go. Not held is fine. */
void proxy_hold_end(ProxyServer *server);
void proxy_holds_wake(Proxy *proxy); /* any thread: a pulse was acknowledged, or its session lost */

#endif
