/*
 * The fence deadline of an engine that leads while another host's could take its place (RULES, F9):
 * its guard ends it unless this host's agent says again and again that it may run. The agent says
 * so while the store takes its writes; while it does not, as long as a commit of the engine's own
 * is acknowledged, which with a standby takes the standby. It is apart from the node's job, which
 * may wait for the store. Loop thread.
 */
#ifndef WEIR_AGENT_FENCE_PRIV_H
#define WEIR_AGENT_FENCE_PRIV_H

#include "agent/hosts_priv.h"

typedef struct Fence Fence;

/* `options` outlive it. */
Fence *fence_new(const AgentOptions *options, const char *node);
void fence_free(Fence *fence);
/* Whether it has a rival now, and the folder of its zone. */
void fence_want(Fence *fence, bool wanted, const char *zone);

#endif
