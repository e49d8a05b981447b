/* One DB instance within a round: what instance.c and instance_*.c share. */
#ifndef WEIR_CONTROL_INSTANCE_PRIV_H
#define WEIR_CONTROL_INSTANCE_PRIV_H

#include "control/control_priv.h"

typedef struct Instance {
    World *world;
    const char *id; /* the identifier */
    const json_t *spec;
    const json_t *status; /* as it was; NULL for a new instance */
    json_t *next;         /* the status to write; NULL when the instance is no more */
    const char *dbi;
    const char *source; /* the DBI that a replica follows; "" */
    bool multi_az;
    bool paired;            /* it has two nodes: it is MultiAZ, or moves to another host */
    bool first_leaves;      /* the node that leads is removed, and made anew elsewhere */
    bool second_leaves;     /* and the other one */
    bool hands_over;        /* the other one shall lead */
    bool kept_until_reboot; /* some parameter waits for a reboot */
} Instance;

/* What the parameter group of the instance sets; NULL for nothing. */
json_t *instance_parameters(const Instance *instance);
const char *instance_node(const Instance *instance, int number);
/* The number of the node that leads; the other one's is 3 - this. */
int instance_first(World *world, const char *dbi);
/* The node that does not lead. */
const char *instance_second(const Instance *instance);
/* The planned change of leader that was begun last. */
int64_t instance_handover(const Instance *instance);
const json_t *instance_node_goal(const World *world, const char *node); /* NULL: it has none */
const json_t *instance_node_seen(const World *world, const char *node);
/* The one that leads runs, clients may see what it has, and its host is there. */
bool instance_serves(World *world, const char *dbi);
/* The other one is synchronous in the leader's eyes, and in the cluster's set. */
bool instance_standby_joined(const Instance *instance);
/* Nobody has asked for another leader, or that was done, or given up. */
bool instance_change_is_over(const Instance *instance);

/* instance_settings.c: of all its nodes, the caller's. What is wrong with them becomes the message
 * of the status, and the old goal's stay. Also says whether some wait for a reboot. */
json_t *instance_settings_new(Instance *instance, const json_t *old_goal);

/* instance_node.c: goals for its nodes, and an end for those that are not wanted any more. */
void instance_nodes_put(Instance *instance);
/* Who may stream from whom is known only when all goals stand; also those on their way out. */
void instance_followers_link(World *world);

/* Says in `instance` which of its nodes leave their hosts now, and notes why others do not yet. */
void instance_move(Instance *instance);

/* The relay in front of the leader: clients' only way in. */
const char *instance_plane(const Instance *instance);
void instance_relay_put(Instance *instance);
/* Says in instance->next what became of the spec, and reports what users want to hear of. */
void instance_status(Instance *instance);

#endif
