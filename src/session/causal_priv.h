/*
 * causal: what a replica must have replayed, as a token that goes from one session to another, of
 * this process or of any: in a cookie, in a message of a queue. SHOW weir.causal_token says what
 * the session has written, or was told by a token itself; SET weir.causal_token tells another one.
 * A token only ever adds to what a session must see.
 *
 * To PostgreSQL it is a custom setting, so that every way of drivers to set and to show one works:
 *
 *   SHOW  in front of what shows it goes a set_config to the end of the transaction, with what the
 *         shell knows; or, at the primary, with what that has inserted by now: that is asked for
 *         behind all that the session has committed. A transaction that has written something
 *         itself is refused there: its commit is still to come. It goes in front of a Parse, too,
 *         for a name that was never set could not be parsed.
 *   SET   when the transaction is over the proxy asks for its value, as for any setting, and with
 *         that takes it off the server connection. It is none of the session's settings.
 *
 *   (none) -- a text sets it --> pending -- the transaction is over, and it was asked for --> news
 *
 * Which server runs a transaction was chosen before it was set there. So a replica runs nothing
 * more for a session in which it is pending, but the end of the transaction. A session that is
 * pinned to a replica by then stays there, and it stays pending.
 *
 * The text: w1-SYSTEM-TIMELINE-POSITION, in hexadecimal digits, 16, 8 and 16 of them: the system
 * identifier of the cluster (pg_control_system), and a position in a timeline of its WAL.
 */
#ifndef WEIR_SESSION_CAUSAL_PRIV_H
#define WEIR_SESSION_CAUSAL_PRIV_H

#include "base/base.h"

#define CAUSAL_TOKEN_LEN 45

/* position 0: none, which the empty text says, too; else nothing is 0. */
typedef struct CausalToken {
    uint64_t system, position;
    uint32_t timeline;
} CausalToken;

/* False: it is no token. */
NODISCARD bool causal_token_parse(Slice text, CausalToken *ret_token);
void causal_token_format(const CausalToken *token, char out[static CAUSAL_TOKEN_LEN + 1]);

typedef enum CausalNews { CAUSAL_NO_NEWS, CAUSAL_SET, CAUSAL_MALFORMED } CausalNews;

/* Of an exchange. */
typedef struct Causal {
    /* the shell's, behind session_link */
    bool standby;  /* a replica runs this transaction */
    bool known;    /* `written` is all that the session has written, or was told */
    bool nameless; /* that is something, in a cluster whose name is not known */
    CausalToken written;
    /* what was said */
    bool pending;
    bool asked;      /* the question that is under way has all of it */
    bool shown;      /* since the shell has looked */
    uint8_t token;   /* of the text noted last: bits of SQL_TOKEN_ */
    uint8_t unnamed; /* of the unnamed statement */
    bool follows;    /* the text noted last may run where it is pending */
    bool unnamed_follows;
    CausalNews news; /* until it is told */
    CausalToken set; /* of CAUSAL_SET */
    Buf own;
} Causal;

#endif
