/*
 * gate: a success that a cut wait for the standbys could have produced is not passed on (RULES F6).
 * A commit waits until its standbys have it; where that wait is cancelled, PostgreSQL answers
 * success all the same. So where a server's commits wait (`on`), the message that would tell the
 * client of a success (CommandComplete, ReadyForQuery) stays where it is, STEP_GATE, while there is
 * a reason:
 *
 *   a notice    of the routine SyncRepWaitForLSN: the wait was cut
 *   a cancel    was passed on while it ran: it may have hit the wait
 *   a timeout   may have: CALL, DO and what ends its transactions by itself ran for as long as its
 *               statement_timeout. While anything else waits, that does not run
 *   silence     something may have been committed, and the session may not hear warnings:
 *               client_min_messages is error, or is not known
 *
 * It goes on once a commit of the proxy's own, begun behind it on the same engine, was acknowledged
 * without a notice: session_gate_open. Until then nothing is known, and where that takes too long,
 * or the engine is lost, the client hears what one hears who has lost it (loss.c).
 */
#ifndef WEIR_SESSION_GATE_PRIV_H
#define WEIR_SESSION_GATE_PRIV_H

#include "base/base.h"

/* What ends its transactions by itself is held from here on, whatever its statement_timeout: the
 * one that is known is as of the login. */
#define GATE_SLOW_US ((int64_t)100000)

/* Of a server connection, for its client. */
typedef struct Gate {
    bool on;            /* the shell's: commits there wait for standbys */
    bool quiet;         /* the shell's: who has set nothing hears no warnings */
    int64_t timeout_us; /* the shell's: and has this statement_timeout; 0: none */
    uint8_t why;        /* bits, of what is under way */
    uint8_t cancels;    /* being delivered: they may hit what comes next, too */
    bool passes;        /* it was opened for the next message that it holds */
    bool passed;        /* and nothing came since that could have been committed */
    bool wrote;         /* what is in the transaction, or in flight, may write to the database */
    bool quieted;       /* by a text, since the client has the connection */
    bool retimed;       /* and so may its statement_timeout be another */
    bool slow;          /* what is under way may end transactions in its middle */
    bool unnamed_wrote, unnamed_slow; /* the same of the unnamed statement */
    int64_t slow_us;                  /* the shell's: when that was sent; 0: not noticed yet */
    int64_t took_us;                  /* the shell's: how long ago that is */
} Gate;

#endif
