/*
 * Trial: which of a role's two passwords PostgreSQL takes while they are changed. The new one goes
 * first; once it is refused the other one is tried, and what was taken last goes first from then
 * on. Only where both were refused since either was taken is the login given up. Zeroed to start.
 */
#ifndef WEIR_PROXY_TRIAL_PRIV_H
#define WEIR_PROXY_TRIAL_PRIV_H

#include "base/base.h"

typedef struct Trial {
    bool previous; /* what goes next */
    bool refused[2];
} Trial;

/* PostgreSQL has refused the password (28P01). True: the other one is worth a try. */
static inline bool trial_refused(Trial *trial, bool previous, bool has_previous)
{
    trial->refused[previous] = true;
    if (!has_previous || (trial->refused[false] && trial->refused[true])) {
        *trial = (Trial){0};
        return false;
    }
    trial->previous = !previous;
    return true;
}

static inline void trial_accepted(Trial *trial, bool previous)
{
    *trial = (Trial){.previous = previous};
}

#endif
