/* What goes wrong (fault.c), what control wants (control.c), and what the two kinds of runs have
 * apart. */
#ifndef WEIR_SIM_FAULT_H
#define WEIR_SIM_FAULT_H

#include "engine.h"
#include "store_model.h"

typedef struct Host {
    bool up;
    int64_t clock; /* what its clock shows more than the world's */
    int64_t paused_until;
} Host;

typedef struct Fault {
    const char *name;
    int weight;
    int64_t gap_limit; /* of a single one, where everything was well; 0: it is not tried alone */
    bool same_term;    /* alone it must not cost a term */
    bool several;      /* it needs several hosts */
    void (*strike)(World *w, bool alone);
} Fault;

/* What a cluster's runs and a group's have apart. */
typedef struct SimKind {
    const char *name;
    const char *key; /* of its record in the store */
    void (*begin)(World *w);
    void (*end)(World *w);
    void (*record_read)(World *w, const json_t *json); /* what is in the store now */
    void (*record_put)(const void *record, json_t *json);
    void *(*record)(Snapshot *snap);
    void (*record_changed)(World *w, const Snapshot *before);
    int64_t (*term)(const Snapshot *snap);
    void *(*seen)(Snapshot *snap, int node); /* its place, and its size */
    size_t seen_size;
    void *(*goal)(Snapshot *snap, int node);
    size_t goal_size;
    int (*leader)(const World *w); /* by the record */
    void (*agent_start)(World *w, int host);
    void (*heard)(World *w, int host, const Snapshot *snap);
    void (*was_read)(World *w, int node, int64_t number, const Snapshot *snap);
    void (*written)(World *w, int node, int64_t number, Outcome outcome, int64_t revision);
    void (*said)(World *w, int node, int64_t since);   /* it is in the store */
    void (*beaten)(World *w, int host, int64_t since); /* and so is a group's beat */
    const Fault *faults;
    size_t faults_len;
    size_t faults_lost; /* the last of them: where hosts may be lost for good */
    void (*host_off)(World *w, int host);
    EventFn *host_on; /* a: the host */
    /* Where hosts are lost for good: whether its leader serves; whether somebody has let this node
     * lead; whether it has data, and stays; the copy as it becomes the store, and has. */
    bool (*serves)(const World *w);
    bool (*admit)(World *w, const Node *node);
    bool (*stays)(const World *w, const Node *node);
    void (*copy_made)(World *w, Snapshot *copy);
    void (*copy_taken)(World *w, Node *node);
    void (*calm)(World *w); /* all faults have ended */
    bool (*settled)(World *w);
    void (*not_settled)(World *w, const char *when);
    void (*check_end)(World *w);
} SimKind;

extern const SimKind cluster_kind;
extern const SimKind group_kind;

void fault_begin(World *w);
void fault_end_all(World *w);
void fault_at_change(World *w);       /* the record was written: a good moment */
int fault_host(World *w);             /* any */
int fault_node(World *w, bool alone); /* the leader, alone; else any, and most often the leader */
int fault_other(World *w);            /* than the leader */
void fault_kill_agent(World *w, bool alone);
void fault_pause_agent(World *w, bool alone);
void fault_cut_link(World *w, bool alone);
void fault_isolate(World *w, bool alone);
void fault_slow(World *w, bool alone);
void fault_store(World *w, bool alone);
void fault_lose_hosts(World *w, bool alone); /* lost.c */
#define SIM_CLUSTER_FAULTS 24
extern const Fault cluster_faults[SIM_CLUSTER_FAULTS];
void cluster_calm(World *w);
void cluster_host_on(World *w, const Event *event); /* a: the host */
void cluster_host_off(World *w, int host);
bool cluster_serves(const World *w);
bool cluster_admit(World *w, const Node *node);
bool cluster_stays(const World *w, const Node *node);
void cluster_copy_made(World *w, Snapshot *copy);
void cluster_copy_taken(World *w, Node *node);
void control_begin(World *w);
void control_act(World *w);  /* something at random */
void control_calm(World *w); /* what it wants in the end */
const char *switch_name(Switch what);
int64_t host_now(const World *w, int host);

#endif
