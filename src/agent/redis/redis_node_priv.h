/*
 * One run of a Redis node's job:
 *
 *   node.c   the run: look, decide (src/group), do, until there is nothing to do
 *   view.c   the snapshot that is decided on
 *   rivals.c who could take its place from another host
 *   step.c   the steps
 */
#ifndef WEIR_AGENT_REDIS_NODE_PRIV_H
#define WEIR_AGENT_REDIS_NODE_PRIV_H

#include "agent/fence_priv.h"
#include "agent/node/node_priv.h"

typedef struct RedisNode {
    NodeRun *run;
    const char *cluster; /* whose record it goes by */
    RedisSpec spec;
    const char *hosts_text; /* where the members are, in one word */
    Secret admin;
    Secret replication;
    Secret client;
    GroupView view;
    int64_t revision;   /* of the record in it */
    const char *leader; /* the address of the record's leader; NULL: it is this node, or unknown */
    HostBeat leader_beat; /* of its host, where that is another one; revision 0: not known */
    bool leader_silent;   /* its agent says so */
    bool hears;           /* it follows, and has heard from the leader's engine of late */
    RedisSeen seen;       /* of an engine that answers */
    bool answers;
} RedisNode;

#define REDIS_PAUSE_MS        (GROUP_CATCH_MS + 1000) /* of writes, should nobody end it */
#define REDIS_PAUSE_MARGIN_MS 500                     /* the last of it is not relied on */

/* Whether the leader's writes are paused still. */
static inline bool redis_is_paused(const RedisPart *part, int64_t now_ms)
{
    return part->paused_ms != 0 &&
           now_ms - part->paused_ms < REDIS_PAUSE_MS - REDIS_PAUSE_MARGIN_MS;
}

/* The record, the engine, the neighbours: into node->view and node->seen. */
NODISCARD bool redis_view_make(RedisNode *node, Err *err);
/* Whether a replica (NULL: it does not stream) has what its leader had when that was bound and saw
 * it stream: whoever acknowledged alone did so before. */
bool redis_link_caught(RedisLink *link, const RedisReplica *replica, bool bound, int64_t offset);
/* This run of the engine may be followed from where the members are, and from nowhere else. */
void redis_admit_note(RedisNode *node);
/* The address of a member; NULL: it has no goal. */
const char *redis_address_of(const RedisNode *node, const HaId *member);
/* A replica whose history is the record's has what came with it, though the link be gone again. One
 * whose log is that of before would come back without. `data`: what its folder is marked as. */
bool redis_is_to_note(const GroupView *view, HaData data);
/* A pause of writes that an agent before us has begun, or a step that failed, ends. */
NODISCARD bool redis_forget_pause(RedisNode *node, Err *err);
/* Who of this set could take this node's place from another host: the fence goes by it. `all`: and
 * nobody else. */
void redis_tell_rivals(const RedisNode *node, const HaSet *set, bool all);
/* Behind each view: whether it needs a deadline, and because of whom. */
void redis_note_rivals(RedisNode *node);
/* Carries out what was decided; not a WAIT. */
NODISCARD bool redis_step_do(RedisNode *node, const GroupDecision *decision, Err *err);

#endif
