/* The model of PostgreSQL: its processes (engine.c), whom commits wait for (sync.c), and streaming
 * (stream.c). */
#ifndef WEIR_SIM_ENGINE_H
#define WEIR_SIM_ENGINE_H

#include "wal.h"

typedef enum EngineState {
    ENGINE_OFF,
    ENGINE_STARTING,
    ENGINE_RECOVERY,
    ENGINE_PROMOTING,
    ENGINE_PRIMARY,
} EngineState;

/* A walsender. */
typedef struct Sender {
    uint64_t conn; /* 0: a free place */
    int node;      /* the standby; -1: an impostor */
    HaId name;
    int64_t since;
    size_t sent;
    size_t flush; /* as told */
    bool told;
    bool streaming;
    bool in_flight;
    size_t target; /* what is in flight ends here */
    HaSet list;    /* its own copy of the names */
    int64_t heard;
} Sender;

typedef struct Receiver {
    uint64_t conn;
    int source; /* the node that it is told to follow; -1: none */
    bool trying;
    int64_t heard;
    int64_t down_since;
} Receiver;

typedef enum CheckpointerPhase {
    CHECKPOINTER_IDLE,
    CHECKPOINTER_READ,
    CHECKPOINTER_BUSY
} CheckpointerPhase;

typedef struct Checkpointer {
    CheckpointerPhase phase;
    bool woken;
    bool asked;      /* CHECKPOINT */
    int64_t asker_a; /* whom to tell */
    int64_t asker_b;
    Proc *asker;
    uint64_t asker_gen;
    EventFn *asker_fn;
} Checkpointer;

typedef struct Engine {
    Proc proc;     /* all its processes but the postmaster */
    uint64_t life; /* the postmaster's */
    EngineState state;
    int64_t term; /* for whose sake it was started or promoted: for the checkers */
    bool postmaster;
    bool alive;    /* anything of it is left */
    bool dying;    /* killed, and not reaped */
    bool stopping; /* in order */
    bool guarded;  /* its guard is there */
    bool open;
    HaSet file; /* the names in the configuration, durable */
    HaSet loaded;
    bool flag; /* the shared word that backends look at: commits wait */
    size_t sync_lsn;
    Checkpointer checkpointer;
    Sender senders[SIM_SENDERS];
    Receiver receiver;
    uint32_t visible[SIM_REGISTERS];
    uint32_t lock[SIM_REGISTERS];  /* the request that holds it */
    int64_t asked_at;              /* when a client began something last */
    uint32_t waiters[SIM_WAITERS]; /* requests in SyncRep */
    size_t waiters_len;
    int64_t fence; /* the guard's deadline; 0: none */
} Engine;

typedef struct Node {
    HaId id;
    int index;
    int host;
    Data data;
    Engine engine;
    int64_t doubt_at; /* a write of its agent was given up */
    int64_t disk_hung_until;
    int64_t disk_full_until;
} Node;

void engine_start(World *w, Node *node, bool primary, int64_t term);
void engine_promote(World *w, Node *node);
void engine_stop(World *w, Node *node); /* in order */
void engine_kill(World *w, Node *node); /* everything, and reaps */
void engine_kill_guard(World *w, Node *node);
void engine_kill_postmaster(World *w, Node *node);
void engine_kill_backend(World *w, Node *node);
void engine_crash(World *w, Node *node, bool power); /* all at once */
void engine_reload(World *w, Node *node);
bool engine_answers(const World *w, const Node *node);
bool engine_busy(const Engine *engine);
bool disk_hung(const World *w, const Node *node);
bool disk_full(const World *w, const Node *node);

void sync_wait(World *w, Node *node, uint32_t request);
void sync_release(World *w, Node *node, Sender *sender);
void sync_cancel(World *w, Node *node, uint32_t request);
void sync_wake(World *w, Node *node); /* the checkpointer looks */
void sync_checkpoint(World *w, Node *node, Proc *proc, EventFn *fn, int64_t a, int64_t b);
void sync_reread(World *w, Node *node, Sender *sender);
int sync_priority(const Sender *sender);

void stream_start(World *w, Node *node); /* the receiver begins to try */
void stream_stop(World *w, Node *node);
void stream_reset(World *w, Node *node); /* the other end does not hear of it */
void stream_pump(World *w, Node *node);  /* there is more */
void stream_drop(World *w, Node *node, Sender *sender);
void stream_beat(World *w, Node *node, Sender *sender);
void stream_impostor(World *w, Node *node, const HaId *name);
Sender *stream_sender(Node *node, const HaId *name); /* NULL: it is not connected */

#endif
