/* What the files of ears have of each other: ear.c, ear_hear.c. */
#ifndef WEIR_PROXY_EAR_PARTS_PRIV_H
#define WEIR_PROXY_EAR_PARTS_PRIV_H

#include "proxy/listen/hub_priv.h"

/* ear.c */
void proxy_ear_set(ProxyEar *ear, EarState state);
/* Soon: others are in the middle of what they do with their clients. */
void proxy_ear_close_soon(ProxyEar *ear, LoopFn *fn);

/* ear_hear.c: somebody else tells the client from now on, who may wait for this; and what it has
 * from its own connection waits, where that is the one that listens now. */
void proxy_ear_pass(ProxyEar *ear);

#endif
