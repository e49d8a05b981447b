/*
 * sim: the decisions of src/ha and src/group on virtual time, with a model of everything around
 * them: the store, PostgreSQL or Redis, agents, hosts, links, disks, proxies or fronts, and
 * clients. docs/failover.md ("Simulation") says what the model claims. One World is one run, of a
 * cluster or of a replication group (SimKind; group_sim.h has what only groups have, but for what
 * they write to the store): a seed and the switches decide all of it. This header is the one door;
 * each part of the model has its own.
 */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include "agent.h"
#include "check.h"
#include "clock.h"
#include "engine.h"
#include "fault.h"
#include "kind.h"
#include "proxy.h"
#include "store_model.h"
#include "wal.h"

typedef struct Host {
    bool up;
    int64_t clock; /* what its clock shows more than the world's */
    int64_t paused_until;
} Host;

/* All hosts but one are lost, and the store is what that one has a copy of. */
typedef struct Lost {
    int64_t since; /* 0: none is */
    int host;      /* that is left */
    Snapshot copy;
} Lost;

typedef struct GroupSim GroupSim; /* group_sim.h */

typedef struct Setup {
    uint64_t seed;
    const SimKind *kind;
    bool without[SWITCHES];
    bool print;  /* the trace, as it goes */
    int keep;    /* lines of the trace to keep */
    int profile; /* -1: as the seed wants */
} Setup;

struct World {
    Setup setup;
    const SimKind *kind;
    GroupSim *group; /* NULL: it is a cluster's run */
    Profile profile;
    bool one_host;
    int nodes_len;
    int proxies_len;
    bool strict;
    int late[LATES]; /* permille: how often it is late */
    int64_t now;
    uint64_t rng;
    uint64_t seq;
    uint64_t lives; /* numbers for processes and connections */
    int64_t events;
    VEC(Event) heap;
    bool over;
    bool failed;
    char failure[SIM_TEXT * 2];
    char (*lines)[SIM_TEXT];
    int64_t lines_len;
    bool calming; /* faults have stopped */
    int64_t calm_since;
    int64_t storm_us;
    bool stage_is_storm;
    int64_t cut_until[SIM_PLACES][SIM_PLACES];
    int slow[SIM_PLACES]; /* times */
    Host hosts[SIM_HOSTS];
    StoreModel store;
    Node nodes[SIM_NODES];
    Agent agents[SIM_HOSTS];
    Proxy proxies[SIM_PROXIES];
    Client clients[SIM_CLIENTS];
    VEC(WalRecord) records;
    VEC(Op) ops;
    VEC(Request) requests;
    int64_t incarnations;
    int64_t handovers;
    int64_t reboots;
    bool may_lose; /* all hosts but one, for good */
    Lost lost;
    const char *single; /* PROFILE_SINGLE: what happened */
    int64_t gap_limit;  /* and what it may cost; 0: anything */
    bool same_term;     /* it must not cost a term */
    int64_t stage_since;
    int stage;
    Check check;
};

void world_begin(World *w, const Setup *setup);
void world_end(World *w);
bool without(const World *w, Switch what);
bool is_cut(const World *w, int from, int to);
int64_t host_now(const World *w, int host);
HaId incarnation_new(World *w);
int node_by_id(const World *w, const HaId *id); /* -1: none */
int node_by_incarnation(const World *w, const HaId *incarnation);

#endif
