/*
 * What only a replication group's runs have: Redis, its agents, fronts and clients. A node is one
 * of the world's; its Data is what Redis has in memory, of which `flushed` writes are in its log.
 *
 * A write is known by its number in GroupSim.writes; what is 0 or a mark in a Data is no client's.
 * An offset is a count of what was written since the replication id began to count: `base` more
 * than the length of the data.
 */
#ifndef WEIR_SIM_GROUP_H
#define WEIR_SIM_GROUP_H

#include "agent/fence_priv.h"
#include "sim.h"

#define GROUP_CLIENTS 4
#define GROUP_SOCKET  48 /* what a socket takes, in writes */
#define GROUP_HELD    8  /* commands of a front: one of each client, and more to spare */

/* ---- writes ------------------------------------------------------------------------------------
 */

typedef enum GroupMark {
    MARK_WRITE,
    MARK_PING,   /* the stream's own */
    MARK_GETACK, /* replicas are to say what they have */
} GroupMark;

typedef struct GroupWrite {
    GroupMark mark;
    int node; /* who carried it out, and when */
    int64_t at;
    int64_t term;
    bool acked;
    bool alone;   /* acknowledged without a replica */
    bool outside; /* when it was acknowledged nobody else of the set had it */
    bool fragile; /* a power cut, or a kill while the disk hung, has taken it from some node */
} GroupWrite;

/* ---- Redis (group_redis.c, group_log.c, group_stream.c, group_sync.c) --------------------------
 */

typedef enum RedisRole { REDIS_OFF, REDIS_LOADING, REDIS_REPLICA, REDIS_PRIMARY } RedisRole;

typedef enum RedisLinkPhase {
    REDIS_LINK_NONE,
    REDIS_LINK_ASKED,
    REDIS_LINK_COPYING,
    REDIS_LINK_LOADING,
    REDIS_LINK_UP,
} RedisLinkPhase;

/* A primary's connection to a replica. */
typedef struct RedisSender {
    uint64_t conn;
    int node;
    bool ready; /* what came before is sent: the stream may follow */
    bool online;
    int64_t sent; /* offsets: what the socket has taken */
    int64_t acked;
    int64_t acked_at;
    bool planned; /* it looks again by itself */
    bool deaf;    /* the other end is gone, and nobody says so */
} RedisSender;

/* A replica's to whom it follows. What the socket took is in the pipe until it is read. */
typedef struct RedisSource {
    int node; /* -1: none, it is a primary */
    uint64_t conn;
    RedisLinkPhase phase;
    int64_t heard;
    int64_t asked_at;
    VEC(uint32_t) pipe;
    VEC(uint32_t) copy; /* what a full copy consists of */
    uint64_t copy_history;
    int64_t copy_offset;
} RedisSource;

/* A WAIT of a front's gate. */
typedef struct RedisWait {
    int front; /* -1: a free place */
    uint64_t front_life;
    int64_t number;
    int64_t target;
} RedisWait;

typedef struct Redis {
    Proc proc; /* its gen is this run of the engine */
    RedisRole role;
    RedisRole loads_to; /* LOADING of its log: what it is then */
    bool alive;
    bool dying; /* killed, and not reaped */
    bool stopping;
    bool guarded;
    bool asked;           /* its last end was asked for: the guard has noted it */
    bool alone;           /* ECHO is allowed to the gate's user */
    int64_t term;         /* for whose sake it was started or promoted: for the checkers */
    bool detached;        /* a replica's: it follows nobody */
    int64_t fence_ms;     /* its guard's deadline, by its host's clock; 0: none */
    int64_t paused_until; /* CLIENT PAUSE */
    int64_t busy_until;   /* a script */
    uint64_t history;
    uint64_t history2;
    int64_t history2_end;
    bool knows_source; /* a stream to go on with, or it has one */
    int64_t base;
    int64_t backlog; /* the offset of its first; -1: there is none */
    RedisSource source;
    VEC(RedisSender) senders;
    RedisWait waits[SIM_PROXIES];
    /* the log */
    size_t synced;        /* of what is in it: what a power cut leaves */
    int64_t postponed_at; /* writes are not in it since then; 0: they are */
    bool rewriting;       /* behind a copy: the log on the disk is that of what was there before */
    Data old;
} Redis;

int64_t redis_offset(const World *w, const Node *node);
void redis_start(World *w, Node *node, int source, int64_t term); /* -1: as a primary */
void redis_replicaof(World *w, Node *node, int source, int64_t term);
void redis_stop(World *w, Node *node);
void redis_kill(World *w, Node *node);            /* what is left of it is reaped */
void redis_end(World *w, Node *node, bool power); /* at once */
void redis_command(World *w, Node *node, int front, uint32_t op);
bool redis_answers(const World *w, const Node *node);
uint32_t redis_append(World *w, Node *node, GroupMark mark);
void redis_history_new(World *w, Node *node);

void redis_log_write(World *w, Node *node);
void redis_log_begin(Node *node);
void redis_log_cut(World *w, Node *node, bool power); /* memory is what the log has */
void redis_log_tick(World *w, Node *node);
void redis_log_replaced(World *w, Node *node, Data *old);
bool redis_log_blocks(World *w, Node *node);

void redis_feed(World *w, Node *node);      /* there is more to send */
void redis_link_drop(World *w, Node *node); /* a replica's, by its own end */
void redis_link_try(World *w, Node *node, int64_t us);
void redis_senders_drop(World *w, Node *node);
void redis_pipe_read(World *w, Node *node);
void redis_acknowledge(World *w, Node *node);
void redis_acked(World *w, Node *node);
void redis_stream_tick(World *w, Node *node);

/* What a gate asks: a WAIT, or whether it may ECHO. */
typedef struct GateAsk {
    int front;
    uint64_t life;
    uint64_t run;
    bool echo;
} GateAsk;

void redis_wait_asked(World *w, const Event *event); /* a: node, b: the gate's number */
void redis_waits_end(World *w, Node *node);          /* it is no primary any more */

/* ---- agents (group_agent.c, group_view.c, group_step.c) ----------------------------------------
 */

typedef struct GroupLink {
    HaId incarnation;
    int64_t gone_since;
    int64_t target;
} GroupLink;

#define GROUP_PAUSED_US ((GROUP_CATCH_MS + 500) * MS) /* a pause of writes is relied on */

/* What an agent knows of a node of its host; lost with the agent. */
typedef struct GroupCharge {
    bool busy;
    bool reading;
    GroupDecision step;
    GroupRecord basis;
    int64_t basis_revision;
    GroupView view;
    int64_t number;
    int64_t look_at;
    int64_t reboot; /* the last one done; -1: not known */
    int64_t kept_at;
    GroupSeen said;
    int64_t said_at;
    /* RedisPart */
    int64_t claim;
    HaState state;
    int64_t state_since;
    int64_t term;
    HaPhase phase;
    int64_t phase_since;
    int64_t answered_at;
    int64_t heard_offset;
    int64_t heard_at;
    int64_t unlinked_at;
    int64_t looked_at;
    int leader_host;
    Word leader_word; /* life 0: it is this host, or has said nothing */
    bool has_rival;
    bool rivals_known;
    FenceRivals rivals;
    RivalWatch watch;
    int64_t bid_term;
    int64_t bid_offset;
    int64_t wish;
    int64_t wish_at;
    int64_t paused_at; /* its writes; 0: they are not */
    bool leader_silent;
    bool hears;
    bool begun;
    bool killed;
    bool stuck;
    bool reaped;
    GroupBond bond;
    GroupLink links[SIM_NODES];
    size_t links_len;
    HaSet leaving;
    int64_t left_offset;
} GroupCharge;

void group_agent_start(World *w, int host);
void group_agent_heard(World *w, int host, const Snapshot *snap);
void group_agent_read(World *w, int node, int64_t number, const Snapshot *snap);
void group_agent_written(World *w, int node, int64_t number, Outcome outcome, int64_t revision);
void group_agent_look_soon(World *w, int node, int64_t us);
void group_agent_publish(World *w, int node);
GroupView group_view_make(World *w, int node, const Snapshot *snap);
void group_step(World *w, int node, const GroupDecision *decision);
void group_part_reset(GroupCharge *charge);
bool group_has_data(const Node *node);
bool group_is_empty(const Node *node);
void group_history_text(uint64_t history, char out[static GROUP_HISTORY_SIZE]);

/* ---- the leader's deadline (group_fence.c) ------------------------------------------------------
 */

void group_fence_begin(World *w);
/* The store has taken a beat that was begun at `since`, by its host's clock. */
void group_fence_taken(World *w, int host, int64_t since);
void group_fence_look(World *w, Node *node);  /* its agent's */
bool group_fence_start(World *w, Node *node); /* false: not now */
void group_fence_rivals(World *w, const Node *node, const HaSet *set, bool all);

/* ---- fronts and clients (group_front.c, group_gate.c, group_client.c) --------------------------
 */

typedef enum GroupOpState {
    GROUP_OP_HELD,
    GROUP_OP_SENT,
    GROUP_OP_GATED, /* its reply has come, and waits for a replica */
    GROUP_OP_OVER,
} GroupOpState;

typedef struct GroupOp {
    int client;
    int front;
    GroupOpState state;
    int64_t held_since;
    int64_t gated_since;
    int64_t round; /* that will do */
    uint32_t write;
    int64_t term; /* of the record that it was sent by */
} GroupOp;

typedef enum GateState { GATE_IDLE, GATE_WAITS, GATE_ECHOES, GATE_HANDOVER } GateState;

typedef struct Gate {
    GateState state;
    int node; /* whose it is; -1: nobody's */
    bool alone;
    int64_t round;  /* sent last */
    int64_t number; /* of its question */
} Gate;

typedef struct Front {
    Proc proc;
    bool up;
    int host;
    int64_t revision; /* of the store, as its configuration has it */
    int64_t term;
    int primary; /* -1: none */
    int handed;
    bool hold;
    int64_t hold_since;
    int at;       /* whom it is connected to, or is connecting to; -1: nobody */
    uint64_t run; /* of that engine; 0: not yet */
    int64_t connect_at;
    Gate gate;
    uint32_t ops[GROUP_HELD]; /* that are not over */
    size_t ops_len;
} Front;

void front_start(World *w, int front);
void front_kill(World *w, int front);
void front_heard(World *w, int front, const Snapshot *snap);
void front_take(World *w, int front, uint32_t op);
void front_reply(World *w, const Event *event); /* a: front, b: op; data: FrontReply */
void front_cut(World *w, Node *node);           /* the engine's connections end */
void front_reset(World *w, int front, const Node *node, uint64_t run);
void front_gate_lost(World *w, Front *front);
void front_lost(World *w, Front *front); /* its connection, and what is on it */
void front_over(World *w, Front *front, uint32_t op, bool known, bool refused);
void gate_hold(World *w, Front *front, uint32_t op);
void gate_waited(World *w, const Event *event); /* b: the round; data: how many replicas */
void gate_settle(World *w, Front *front);
bool gate_lost(World *w, Front *front); /* false: it waits for word of the handing over */
void gate_tick(World *w, Front *front);

typedef enum RedisAnswer { ANSWER_DONE, ANSWER_REFUSED } RedisAnswer;

typedef struct FrontReply {
    uint64_t run;
    RedisAnswer answer;
    uint32_t write;
} FrontReply;

void group_client_begin(World *w);
void group_client_answer(World *w, uint32_t op, bool known, bool refused);

/* ---- control, checkers -------------------------------------------------------------------------
 */

void group_control_begin(World *w);
void group_control_act(World *w, bool alone); /* something at random */
void group_control_handover(World *w, bool alone);
void group_control_remove(World *w, int node);
void group_control_calm(World *w);
void group_calm(World *w);
void group_host_on(World *w, const Event *event); /* a: the host */
void group_host_off(World *w, int host);
bool group_serves(const World *w);
bool group_admit(World *w, const Node *node);
bool group_stays(const World *w, const Node *node);
void group_copy_made(World *w, Snapshot *copy);
void group_copy_taken(World *w, Node *node);
#define SIM_GROUP_FAULTS 24
extern const Fault group_faults[SIM_GROUP_FAULTS];

void group_check_record(World *w, const Snapshot *before);
void group_check_take(World *w, const Node *node, const GroupView *view);
void group_check_ack(World *w, uint32_t op);
/* promoted: it followed; else it has started from its log. */
void group_check_open(World *w, const Node *node, bool promoted);
bool group_check_settled(World *w);
void group_check_not_settled(World *w, const char *when);
void group_check_end(World *w);

struct GroupSim {
    bool automatic;
    bool durable;
    Redis redis[SIM_NODES];
    GroupCharge charges[SIM_NODES];
    Front fronts[SIM_PROXIES];
    VEC(GroupWrite) writes;
    VEC(GroupOp) ops;
    VEC(uint32_t) acked;
    VEC(bool) planned_terms; /* by term that has opened: the change to it was planned */
    VEC(int) acting; /* by term: who has carried out what was acknowledged in it; -1: nobody */
    bool blind;      /* of the present term: its leader was chosen by having data, of any history */
    bool planned; /* of the present term, or of the one that is free: nothing may be lost by it */
    int64_t freed_at;  /* when a term became free last */
    int64_t open_term; /* of whoever took writes last */
    int open_node;
    int64_t opened_at;
    int64_t histories;
};

static inline Redis *redis_of(World *w, const Node *node)
{
    return &w->group->redis[node->index];
}

#endif
