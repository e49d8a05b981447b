/*
 * sim: the decisions of src/ha and src/group on virtual time, with a model of everything around
 * them: the store, PostgreSQL or Redis, agents, hosts, links, disks, proxies or fronts, and
 * clients. docs/failover.md ("Simulation") says what the model claims. One World is one run, of a
 * cluster or of a replication group (SimKind; group_sim.h has what only groups have): a seed and
 * the switches decide all of it.
 *
 * Time is in microseconds. An event belongs to a process (Proc), or to nobody: where the process
 * has ended meanwhile the event is dropped, where it is stopped the event waits for it to go on.
 */
#ifndef WEIR_SIM_H
#define WEIR_SIM_H

#include "base/base.h"
#include "group/group.h"
#include "ha/ha.h"
#include "store/store.h"

#define SIM_NODES     3
#define SIM_HOSTS     3
#define SIM_PLACES    (SIM_HOSTS + 1) /* hosts, and the store */
#define SIM_STORE     SIM_HOSTS
#define SIM_PROXIES   3
#define SIM_CLIENTS   5
#define SIM_REGISTERS 3
#define SIM_FORKS     64
#define SIM_SENDERS   8
#define SIM_HELD      16 /* requests that wait in a proxy: one of each client, and more to spare */
#define SIM_WAITERS   64
#define SIM_TEXT      256

#define MS            1000LL
#define S             1000000LL

typedef struct World World;
typedef struct Event Event;
typedef void EventFn(World *w, const Event *event);

/* ---- switches: what is taken out (--without) --------------------------------------------------
 */

typedef enum Switch {
    WITHOUT_REVISION,     /* F1: compare-and-swap on the term only */
    WITHOUT_CLAIM,        /* F2: no write of its own before a start, a promotion, a takeover */
    WITHOUT_FRESH,        /* F2: no write of its own before weaker names */
    WITHOUT_SETTLING,     /* F2: an unknown outcome is settled by a read */
    WITHOUT_NAMES_RECORD, /* F2: the names at a start are those of the file left behind */
    WITHOUT_MEMORY,       /* F3: the store forgets its last writes when it is away */
    WITHOUT_RESET,        /* F3: a copy of the store is taken as it is */
    WITHOUT_INCARNATIONS, /* F4: a data directory made anew keeps its name */
    WITHOUT_FIRST,        /* F4: ANY 1 in the place of FIRST n */
    WITHOUT_HIDING,       /* F4: somebody else streams under a standby's name */
    WITHOUT_SLOTS,        /* F4: two walsenders of one name */
    WITHOUT_PROOF,        /* F5: binding is read off the view */
    WITHOUT_SECOND,       /* F5: one CHECKPOINT only */
    WITHOUT_WALSENDERS,   /* F5: old walsenders are not ended */
    WITHOUT_ORDER,        /* F5: what is to be flushed is noted before the proof */
    WITHOUT_GATE,         /* F6 */
    WITHOUT_EXIT,         /* F7: restart_after_crash = on */
    WITHOUT_REAPING,      /* F8: ended is when the postmaster is */
    WITHOUT_RIGHT,        /* F9: proxies answer without a right to, guards have no deadline */
    SWITCHES,
} Switch;

/* What kind of run it is. */
typedef enum Profile { PROFILE_CALM, PROFILE_SINGLE, PROFILE_STORM, PROFILES } Profile;

/* What may be late. */
typedef enum Late {
    LATE_STORE, /* writes to it; also how often one comes twice, or its answer is lost */
    LATE_WATCH,
    LATE_AGENT, /* between what it decides and what it does */
    LATE_CHECKPOINTER,
    LATE_SENDER,
    LATE_OTHER,
    LATES,
} Late;

/* ---- time (world.c) ----------------------------------------------------------------------------
 */

typedef struct Proc {
    uint64_t gen; /* of this life; another one has another number */
    int64_t paused_until;
} Proc;

struct Event {
    int64_t at;
    uint64_t seq;
    EventFn *fn;
    Proc *proc; /* whose it is; NULL: nobody's */
    uint64_t gen;
    int from; /* a message: where it comes from, and where to; -1: none */
    int to;
    int64_t a;
    int64_t b;
    void *data; /* freed behind the call */
};

int64_t roll(World *w, int64_t low, int64_t high); /* low <= … <= high */
bool chance(World *w, int permille);
/* Most often short, now and then long. */
int64_t roll_late(World *w, Late what, int64_t short_us, int64_t long_us);
void later(World *w, int64_t delay_us, EventFn *fn, int64_t a, int64_t b);
void later_in(World *w, Proc *proc, int64_t delay_us, EventFn *fn, int64_t a, int64_t b);
/* A message between places, to a process (or NULL). It arrives when the way is free. */
void send_to(World *w, int from, int to, Proc *proc, EventFn *fn, int64_t a, int64_t b, void *data);
void send_late(World *w, int64_t us, int from, int to, Proc *proc, EventFn *fn, int64_t a,
               int64_t b, void *data); /* it is sent, or on its way, for so much longer */
void proc_begin(World *w, Proc *proc); /* another life */
void proc_pause(World *w, Proc *proc, int64_t until);
bool proc_paused(const World *w, const Proc *proc);
PRINTF_LIKE(2, 3) void trace(World *w, const char *format, ...);
PRINTF_LIKE(2, 3) void fail(World *w, const char *format, ...); /* the run is over */
bool world_run(World *w);                                       /* until it is over */

/* ---- write-ahead logs (wal.c) -----------------------------------------------------------------
 */

typedef enum RecordKind { RECORD_COMMIT, RECORD_PROBE, RECORD_OTHER } RecordKind;

/* A record of a log, unique in the whole run; its number is also the value that it writes. */
typedef struct WalRecord {
    RecordKind kind;
    int reg;
    uint32_t before; /* the value that it replaced */
    int64_t term;
    bool acked;    /* a client was told */
    bool given_up; /* somebody has allowed that it is lost */
    bool cut;      /* its wait was cut short: who reads it may see it go */
    bool returned; /* a client has read it */
} WalRecord;

typedef struct Fork {
    int tli;
    size_t lsn; /* where it begins */
} Fork;

/* A data directory. A position (LSN) is a count of records. */
typedef struct Data {
    bool whole;       /* false: nothing, or half a copy */
    HaId incarnation; /* made anew with the directory */
    HaData kind;      /* the agent's note */
    bool signal;      /* standby.signal */
    int tli_max;      /* of the history files that it has */
    Fork forks[SIM_FORKS];
    size_t forks_len; /* the last is the timeline of the control file */
    uint32_t *ids;
    size_t len;
    size_t cap;
    size_t flushed;
    uint64_t *bits; /* which records are in it */
    size_t bits_len;
} Data;

void data_done(Data *data);
void data_clear(Data *data);
void data_append(Data *data, uint32_t id);
void data_cut(Data *data, size_t len);
void data_fork(Data *data, int tli);
void data_copy(Data *to, const Data *from, size_t len); /* up to there */
int data_tli(const Data *data);
int data_tli_at(const Data *data, size_t lsn, size_t *ret_end); /* of the record at lsn */
bool data_has(const Data *data, uint32_t id);
uint32_t wal_record_new(World *w, RecordKind kind, int reg, uint32_t before);

/* ---- engines (engine.c, sync.c, stream.c) -----------------------------------------------------
 */

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

/* ---- the store (store.c) ----------------------------------------------------------------------
 */

/* What a node's agent says of it. */
typedef struct Seen {
    int64_t beat; /* 0: nothing yet */
    HaId incarnation;
    HaState state;
    int64_t term; /* LEADING: of the record that it leads by */
    bool follows;
    bool ended;
    bool hears;
} Seen;

/* What control wants of a node. */
typedef struct Goal {
    bool run;
    bool gone;
    bool wanted;
    HaId heir;
    int64_t handover;
    int64_t reboot;
} Goal;

/* The same of a group's nodes. */
typedef struct GroupSeen {
    int64_t beat;  /* 0: nothing yet */
    uint64_t life; /* of the agent */
    HaId incarnation;
    HaState state;
    int64_t term; /* of the record that it was seen with */
    bool data;
    bool hears;
    bool link_up;
    bool whole;
    uint64_t history; /* as the engine said it last; 0: never */
    int64_t offset;   /* -1: it tells none */
    int64_t bid_term; /* 0: none */
} GroupSeen;

/* A host's beat. */
typedef struct Word {
    uint64_t life; /* of its agent; 0: none yet */
    int64_t count;
} Word;

typedef struct GroupGoal {
    bool run;
    bool gone;
    int64_t handover;
    int64_t reboot;
} GroupGoal;

/* The store as somebody has read it. */
typedef struct Snapshot {
    int64_t revision;
    int64_t record_revision;
    union {
        struct { /* a cluster's */
            HaRecord record;
            Seen seen[SIM_NODES];
            Goal goals[SIM_NODES];
        };
        struct { /* a group's */
            GroupRecord group;
            GroupSeen said[SIM_NODES];
            GroupGoal wants[SIM_NODES];
            Word words[SIM_HOSTS];
        };
    };
} Snapshot;

#define STORE_PAST 64

typedef struct StoreModel {
    Store *store;
    Arena *arena;
    int64_t away_until;
    Snapshot now;              /* what is in it */
    Snapshot past[STORE_PAST]; /* and was, behind each of the last changes */
    int64_t changes;
    bool told[SIM_HOSTS]; /* a watcher is about to hear */
} StoreModel;

typedef enum Outcome { OUTCOME_DONE, OUTCOME_CONFLICT, OUTCOME_UNKNOWN } Outcome;

/* A record as JSON; the caller's, to be freed. */
char *sim_record_text(const World *w, const void *record);

void sim_store_begin(World *w);
void sim_store_end(World *w);
/* From an agent, of a record's text; the answer comes to the kind's `written` with the write's
 * number. With a word: only while that is the last one of the host; NULL: whatever. */
void sim_store_write(World *w, int node, int64_t number, const char *text, int64_t revision,
                     int64_t term, int host, const Word *word);
void sim_store_beat(World *w, int host, const Word *word); /* the answer comes to `beaten` */
void sim_store_say(World *w, int node, const void *seen);  /* a Seen, a GroupSeen */
void sim_store_want(World *w, int node, const void *goal); /* control's; at once */
void sim_store_first(World *w, const char *text);          /* the record, as control makes it */
void sim_store_ask(World *w, int host);                    /* to be told of it, like a watcher */
void sim_store_read(World *w, int node, int64_t number);   /* the answer comes to `was_read` */
void sim_store_away(World *w, int64_t us);
/* As it was so many changes ago, or as long ago as anybody knows. */
Snapshot sim_store_past(const World *w, int64_t changes);
void sim_store_become(World *w, const Snapshot *past); /* it is what it was */
void sim_store_put(World *w, const char *text);        /* the record, of somebody; at once */

/* ---- agents (agent.c, view.c, step.c, proof.c) ------------------------------------------------
 */

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
void fence_renew(World *w, int node, int64_t since);

/* ---- proxies and clients (proxy.c, client.c) --------------------------------------------------
 */

typedef enum RequestKind { REQUEST_READ, REQUEST_WRITE, REQUEST_PROBE, REQUEST_HELLO } RequestKind;

/* Something on its way between a proxy (or agent) and an engine. */
typedef struct Request {
    RequestKind kind;
    int proxy; /* -1: the agent's */
    uint64_t proxy_gen;
    int node;
    uint64_t run; /* of the connection; 0: a new one */
    uint32_t op;  /* the client's; of a probe behind a gate: the one that waits */
    uint32_t record;
    size_t lsn;
    int reg;
    int64_t begun;  /* of a probe */
    uint32_t value; /* read, or replaced */
    bool cancelled;
    bool notice;
    bool refused; /* it did not happen */
} Request;

typedef enum OpState { OP_HELD, OP_SENT, OP_GATED, OP_OVER } OpState;

typedef struct Op {
    int client;
    int proxy;
    RequestKind kind;
    int reg;
    OpState state;
    uint32_t request;
    int64_t begun;
    int64_t ended;   /* 0: never known */
    uint32_t record; /* written */
    uint32_t value;  /* read, or replaced */
    bool known;      /* answered with success */
    bool cancelled;  /* a cancel was forwarded */
} Op;

typedef struct Proxy {
    Proc proc;
    bool up;
    int host;
    int64_t revision;
    int64_t term;
    int leader;       /* a node; -1: none */
    uint64_t run;     /* of the connection; 0: none */
    int64_t hello_at; /* a connection is being made since then; 0: none */
    bool serves;
    int64_t right_until;
    uint32_t probe; /* under way */
    int64_t probe_at;
    uint32_t held[SIM_HELD];
    size_t held_len;
    uint32_t sent[SIM_HELD];
    size_t sent_len;
} Proxy;

typedef struct Client {
    int index;
    int64_t number; /* of the present operation; late answers of others do not count */
    uint32_t op;
} Client;

void proxy_start(World *w, int proxy);
void proxy_kill(World *w, int proxy);
void proxy_heard(World *w, int proxy, const Snapshot *snap);
void proxy_take(World *w, int proxy, uint32_t op);
void proxy_cancel(World *w, int proxy, uint32_t op);
void proxy_lost(World *w, Node *node); /* the engine's connections are closed */
void proxy_eof(World *w, const Event *event);
void proxy_answer(World *w, const Event *event);
void request_send(World *w, uint32_t request); /* to the engine */
void request_release(World *w, Node *node, uint32_t request, bool notice);
void request_done(World *w, Node *node, uint32_t request);
void agent_probed(World *w, const Event *event);
uint32_t request_new(World *w, const Request *request);
void client_begin(World *w);
/* known: success. Not known: nobody can tell. refused: it surely did not happen. */
void client_answer(World *w, uint32_t op, bool known, bool refused);

/* ---- faults and control (fault.c, control.c) --------------------------------------------------
 */

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

/* ---- checkers (check.c) -----------------------------------------------------------------------
 */

typedef struct Check {
    int64_t leader_term; /* of the last leader that opened */
    int leader;
    VEC(uint32_t) kept; /* records that clients were told of, or have read */
    int64_t last_ack;
    int64_t gap_max; /* between acknowledged writes, since everything was there */
    int64_t gap_at;
    bool counts; /* gaps count */
    int64_t first_term;
    int64_t acks;
    int64_t reads;
    int64_t terms;
    int64_t cuts;
    int64_t lost;         /* acknowledged by plain groups, as docs/failover.md says */
    int64_t lost_durable; /* and by durable ones, for one of the reasons said there */
    int64_t ghosts;       /* members that were let in while their data was being changed */
} Check;

void check_record(World *w, const HaRecord *before, const HaRecord *after);
void check_open(World *w, Node *node);
void check_ack(World *w, uint32_t op);
void check_read(World *w, uint32_t op);
void check_change(World *w, const Node *node, const HaSet *known, const char *how);
void check_need(World *w, const Node *node, const Node *source); /* who knows the term */
void check_last(World *w, const Node *node, const HaRecord *known);
void check_copy(World *w, const Node *node);
void check_follow(World *w, const Node *standby, const Node *source, size_t from);
bool check_settled(World *w);
void check_end(World *w);
/* Somebody has allowed that what this node does not have is lost. */
void check_give_up(World *w, const Node *node);

/* ---- the world --------------------------------------------------------------------------------
 */

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
HaId incarnation_new(World *w);
int node_by_id(const World *w, const HaId *id); /* -1: none */
int node_by_incarnation(const World *w, const HaId *incarnation);

#endif
