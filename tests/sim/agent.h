/* A host's agent over a cluster: what it knows (agent.c, view.c), what it does (step.c, proof.c).
 */
#ifndef WEIR_SIM_AGENT_H
#define WEIR_SIM_AGENT_H

#include "engine.h"
#include "store_model.h"

typedef enum ProofPhase {
    PROOF_NONE,
    PROOF_SEES,
    PROOF_SENDERS,
    PROOF_FIRST,
    PROOF_SECOND,
    PROOF_DONE,
} ProofPhase;

typedef struct Proof {
    ProofPhase phase;
    int64_t number; /* of this proof: late answers of others do not count */
    bool again;     /* the list was not empty before */
    uint64_t run;   /* of the engine's processes */
    size_t lsn;
    HaSet bound;
} Proof;

/* What an agent knows of a node of its host; lost with the agent. Of a cluster's. */
typedef struct Charge {
    bool busy; /* a step is under way */
    HaDecision step;
    HaRecord basis; /* the record that it was decided on */
    int64_t basis_revision;
    int64_t step_started;
    int64_t look_at; /* 0: none is planned */
    int64_t number;  /* of the step: late answers to others do not count */
    int64_t claim;   /* the revision of the last one that succeeded; 0: none counts */
    bool fresh;
    uint64_t run; /* the engine's life that it knows; 0: none */
    HaSet names;
    bool names_set;
    HaId joining;
    HaId before; /* the incarnation that a copy replaces */
    bool asked;
    bool killed; /* it was told to die */
    HaState state;
    int64_t state_since;
    int64_t silent_since;
    HaPhase phase;
    int64_t term;
    int64_t phase_since;
    int64_t wish;
    int64_t wish_at;
    int64_t gone_since[SIM_NODES];
    Proof proof;
    int64_t disk_ok;
    int64_t reboot; /* the last one done; -1: not known */
    Seen said;
    int64_t said_at;
} Charge;

typedef struct Agent {
    Proc proc;
    bool up;
    int host;
    Snapshot snap;
    Charge charges[SIM_NODES];
    int64_t beats;
    int64_t beat_last;
    int64_t beat_seen[SIM_NODES];
    int64_t beat_at[SIM_NODES];
    bool lives[SIM_NODES]; /* it was seen to change: what was said before may be a dead one's */
    int64_t taken_ms;      /* when the last word began that the store took, by its host's clock */
} Agent;

void agent_start(World *w, int host);
void agent_kill(World *w, int host);
void agent_wake(World *w, int node); /* something has happened to its engine */
void agent_heard(World *w, int host, const Snapshot *snap);
void agent_written(World *w, int node, int64_t number, Outcome outcome, int64_t revision);
void agent_look_soon(World *w, int node, int64_t us);
HaView agent_view(World *w, int node);
void agent_step(World *w, int node, const HaDecision *decision);
void agent_step_end(World *w, int node);
void proof_begin(World *w, int node, bool again);
void proof_look(World *w, int node);
void agent_probed(World *w, const Event *event);
void fence_renew(World *w, int node, int64_t since);

#endif
