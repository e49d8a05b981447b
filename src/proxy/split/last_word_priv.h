/*
 * last_word: whether an error is the last word on a read, or this is asked again where more can be
 * done: a request of a line (line_priv.h) on a connection of its own, one of a replica
 * (split_priv.h) at the primary. Pure.
 */
#ifndef WEIR_PROXY_LAST_WORD_PRIV_H
#define WEIR_PROXY_LAST_WORD_PRIV_H

#include "wire/wire.h"

/* Who has answered. */
typedef struct ReadAsked {
    bool line, replica;
    bool cancelled; /* the client has asked for an end */
} ReadAsked;

typedef struct ReadVerdict {
    bool again;
    bool anew;   /* and its statement parsed again: the plan was of tables as they were */
    bool writes; /* it is no read, and will not be one the next time */
    bool alone;  /* it would end so on each line */
} ReadVerdict;

ReadVerdict read_verdict(const PgError *error, ReadAsked asked);

#endif
