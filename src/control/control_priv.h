/* Shared by the files of control: the world as one round sees it. */
#ifndef WEIR_CONTROL_PRIV_H
#define WEIR_CONTROL_PRIV_H

#include <jansson.h>

#include "control/control.h"

/* A snapshot of the records, and the changes that this round wants. A record that is handed out is
 * borrowed and not to be changed; a change replaces it whole and is seen at once by later code. */
typedef struct World World;

struct World {
    const ControlFacts *facts;
    Arena *arena;
    Map *records;          /* key -> WorldRecord */
    VEC(json_t *) retired; /* replaced values: what was borrowed from them stays valid */
    json_t *leaving;       /* by host that drains, by node: what is done about it (host.c) */
    bool busy;             /* some resource is on its way */
};

typedef struct WorldRecord {
    const char *key;
    json_t *value;     /* NULL: absent, or to be deleted */
    const json_t *was; /* as the store has it; NULL: it has none */
    int64_t revision;  /* 0: not in the store */
} WorldRecord;

/* A round may put a record more than once; what counts is how it ends. */
bool world_changed(const WorldRecord *record);

NODISCARD bool world_load(Store *store, const ControlFacts *facts, World **ret_world, Err *err);
void world_free_ptr(World **world);

/* NULL when absent. */
const json_t *world_get(const World *world, const char *key);
PRINTF_LIKE(2, 3) const json_t *world_getf(const World *world, const char *key_format, ...);
/* Takes the reference. Nothing happens where the record says the same already. */
void world_put(World *world, const char *key, json_t *value);
void world_delete(World *world, const char *key);
/* The number that a text is, else the fallback. */
int64_t text_int(const char *text, int64_t fallback);
/* Makes an event that tells users what happened; written with the round's changes. */
void world_event(World *world, ResourceType type, const char *id, const char *category,
                 const char *message);
/* Keys below a prefix ("spec/db-instance/"), sorted. */
typedef struct WorldKeys {
    const char **items;
    size_t len;
} WorldKeys;
WorldKeys world_keys(const World *world, const char *prefix);

/* Writes the changes. A key that somebody else changed meanwhile is left to the next round. */
NODISCARD bool world_commit(World *world, Store *store, Err *err);

/* ---- addresses: host parts such as "1.7" ------------------------------------------------------
 */

typedef enum AddressRange { ADDRESS_ENDPOINT, ADDRESS_NODE } AddressRange;

/* The one that `current` says where it is set, else the lowest that no record holds. */
const char *address_for(World *world, AddressRange range, const char *current);

/* ---- hosts (host.c) ---------------------------------------------------------------------------
 */

/* Where a new node goes. */
typedef struct HostWish {
    char zone;
    const char *cluster;
    const char *apart; /* the host of its pair's other node; "": none */
} HostWish;

/* `current` unless that is empty; else where a new node goes. NULL: it waits, with `next` (a
 * status) saying for what, and another round soon. */
const char *host_for(World *world, const char *current, const HostWish *wish, json_t *next);
/* Its engines shall leave it. */
bool host_drains(const World *world, const char *host);
bool host_lives(const World *world, const char *host);
/* It has been silent for so long that what its nodes said last counts for nothing. */
bool host_is_lost(const World *world, const char *host);
/* What the node said last counts: of the agent that beats there; as long as it did `before`, a beat
 * may be late. */
bool host_node_counts(World *world, const char *node, bool before);
/* Nothing is there any more, and nothing will be: its name is used up. */
bool host_is_removed(const World *world, const char *host);
/* Some host but this one takes new nodes. */
bool host_other(const World *world, const char *apart);
/* Another one takes new nodes, on which the same engines are installed. */
bool host_twin(const World *world, const char *host);
/* The host has several engines of the cluster, and such another one none. */
bool host_crowds(const World *world, const char *host, const char *cluster);
/* Of a node that leaves its host: what is done about it, or what it waits for. */
PRINTF_LIKE(4, 5)
void host_note(World *world, const char *host, const char *node, const char *format, ...);
/* Of a cluster whose leader's host is silent, and of which nobody else may lead: what a user can do
 * about it, in the world's arena. NULL: it is none of those. */
const char *host_orphan(World *world, const char *cluster, const char *resource);
/* Tells what was noted, and forgets what is left of hosts that were removed. */
void control_hosts(World *world);
/* The zone of a node there, where `zone` was asked for. */
char host_zone(const World *world, const char *host, char zone);
/* What the smallest of them has, in bytes. */
int64_t hosts_memory(const World *world);

/* ---- data-plane processes (plane.c)
 * -------------------------------------------------------------- */

/* Takes config. `kind` is the subcommand: "proxy" or "front". */
void plane_put(World *world, const char *plane, const char *kind, ResourceType type, const char *id,
               json_t *config);
/* What this host's process says of itself; NULL. */
const json_t *plane_seen(const World *world, const char *plane);
/* The process of each host that is there serves with exactly the goal that stands in the store. */
bool plane_ready(const World *world, const char *plane);
/* True when the processes have ended and their records are gone. */
bool plane_remove(World *world, const char *plane);

/* ---- what others ask of instances
 * ------------------------------------------------------------------ */

const json_t *instance_spec_of(World *world, const char *dbi);        /* its spec; NULL */
const char *instance_leader(World *world, const char *dbi);           /* the node that leads */
const char *instance_node_host(const World *world, const char *node); /* by its goal; "" */
/* Its removal was begun and is not over. */
bool instance_node_leaves(const World *world, const char *node);
/* The node is exactly as its goal in the store says. */
bool instance_node_settled(World *world, const char *node);
/* True when nothing of an engine node is left, or its host was removed, and its records are gone.
 * `deleted`: all of its resource goes; else the node leaves its cluster first. */
bool instance_node_remove(World *world, const char *node, bool deleted);
/* A plane's target: whoever leads the instance, whenever that is asked. */
json_t *instance_target_new(World *world, const char *dbi);
/* Whether commits there may wait for a standby. */
bool instance_is_synchronous(World *world, const char *dbi);

/* ---- resources --------------------------------------------------------------------------------
 */

void control_instances(World *world);
void control_endpoints(World *world); /* of proxies, besides their own */
void control_proxies(World *world);
void control_replication_groups(World *world);

/* The ingress rules of security groups as the data plane wants them. */
json_t *security_rules(World *world, const json_t *group_ids, int port);

#endif
