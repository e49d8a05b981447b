/* The hosts of the tier as this one's agent sees them (docs/hosts.md). Thread-safe, but for new and
 * free, which are the loop thread's. */
#ifndef WEIR_AGENT_HOSTS_PRIV_H
#define WEIR_AGENT_HOSTS_PRIV_H

#include "agent/agent_priv.h"

/* `options` outlive it. `changed` is told when a host has come, gone, or has another net. The jobs
 * must be over before it is freed; NULL is fine. */
NODISCARD bool hosts_new(const AgentOptions *options, LoopFn *changed, void *user,
                         Hosts **ret_hosts, Err *err);
void hosts_free(Hosts *hosts);

bool hosts_are_several(Hosts *hosts);
/* What stands in front of host parts there; false: there is no such host. */
NODISCARD bool hosts_net(Hosts *hosts, const char *name, char out[static HOST_NET_SIZE]);
/* Where the node of this goal is reached: its host's net, or this one's where that is not known any
 * more, and its host part. From the arena. */
char *hosts_node_address(const AgentOptions *options, Arena *arena, const json_t *goal);
/* Since its last word was seen; 0 of this host, and of one that is not known. */
int64_t hosts_silent_ms(Hosts *hosts, const char *name);
/* False: there is no such host, it is this one, or it has said nothing yet. */
NODISCARD bool hosts_beat(Hosts *hosts, const char *name, HostBeat *ret_beat);
/* What an agent of this id wrote counts: it is this one, or it is another host's and beats. */
bool hosts_agent_lives(Hosts *hosts, const char *agent);
/* By no order; returns how many there are: none where this one was removed. */
size_t hosts_list(Hosts *hosts, AgentHost out[static HOSTS_MAX]);
/* When the last beat was begun that the store took; 0: none was. */
int64_t hosts_taken_ms(Hosts *hosts);

#endif
