/* What a cluster's runs and a group's have apart (cluster.c, group.c), and what control wants of a
 * cluster (control.c). */
#ifndef WEIR_SIM_KIND_H
#define WEIR_SIM_KIND_H

#include "engine.h"
#include "fault.h"
#include "store_model.h"

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

#endif
