/*
 * Inside the front. Pure: config.c (what the agent sends), command.c (what a client asks for),
 * table.c (which commands write), session.c (what a backend connection holds of its client).
 * Shells: client.c (the client's side), login.c (AUTH and HELLO), link.c (the node's side), again.c
 * (a command that a node has refused), gate.c and held.c (replies that wait until a replica has
 * what they acknowledge), endpoint.c (where it listens), node.c (nodes), place.c (who is at which),
 * front.c (the process).
 *
 * A FrontClient owns its two streams; everything else hangs from Front. One thread.
 */
#ifndef WEIR_FRONT_PRIV_H
#define WEIR_FRONT_PRIV_H

#include <jansson.h>

#include "front/front.h"
#include "loop/loop.h"
#include "plane/plane.h"
#include "wire/wire.h"

#define FRONT_MODULE "front"

/* ---- config.c ---------------------------------------------------------------------------------
 */

#define FRONT_LISTENERS_MAX       16
#define FRONT_NODES_MAX           64
#define FRONT_TOKENS_MAX          16
#define FRONT_RULES_MAX           1024
#define FRONT_CLIENTS_MAX_DEFAULT 65000
#define FRONT_HOLD_MS_DEFAULT     5000
#define FRONT_SENTINELS_MAX       1000
#define FRONT_DURABLE_MS_DEFAULT  5000

typedef struct FrontListenerConfig {
    bool reader;
    bool sentinel; /* speaks as a Sentinel would */
    NetAddr addr;
    TlsContext *tls; /* NULL: plain */
} FrontListenerConfig;

typedef struct FrontNodeConfig {
    char *id;
    char *host; /* the address as text: what the node's certificate must hold */
    NetAddr addr;
    bool primary;
    bool available;
    bool handed; /* it led before, and the primary has all that it had */
} FrontNodeConfig;

typedef struct FrontConfig {
    VEC(FrontListenerConfig) listeners;
    VEC(FrontNodeConfig) nodes; /* at most one is the primary */
    VEC(NetCidr) rules;
    VEC(Secret) tokens; /* none: clients need not authenticate */
    char *backend_user;
    Secret backend_password;
    TlsContext *backend_tls; /* NULL: plain */
    size_t clients_max;
    int64_t idle_timeout_ms; /* 0: never */
    int64_t hold_ms;
    char *group; /* its name, for those who ask a Sentinel */
    bool hold;   /* the primary is about to change: commands for it wait */
    bool durable;
    char *gate_user;    /* of a durable group: whom the gate logs in as, with the same password */
    int64_t durable_ms; /* a write waits so long for a replica */
    int64_t upgrade_drain_ms;
} FrontConfig;

NODISCARD bool front_config_parse(const json_t *json, FrontConfig **ret_config, Err *err);
void front_config_free(FrontConfig *config); /* NULL is fine */
/* Takes as long whichever token it is. */
bool front_token_fits(const FrontConfig *config, Slice token);

/* ---- command.c --------------------------------------------------------------------------------
 */

/* Commands that the front has to understand, by what they mean to it. */
typedef enum FrontCommandKind {
    COMMAND_OTHER,
    COMMAND_AUTH,
    COMMAND_HELLO,
    COMMAND_QUIT,
    COMMAND_RESET,
    COMMAND_SELECT,
    COMMAND_CLIENT,
    COMMAND_MULTI,
    COMMAND_MULTI_END, /* EXEC, DISCARD */
    COMMAND_WATCH,
    COMMAND_UNWATCH,
    COMMAND_STREAM, /* from here on replies cannot be counted: SUBSCRIBE and its like, MONITOR */
    COMMAND_HTTP,   /* a browser that was led here; Redis hangs up on it, too */
} FrontCommandKind;

FrontCommandKind front_command_kind(Slice name); /* in upper case */
/* Whether the arguments matter, so that the whole command must be there. */
bool front_command_is_read(FrontCommandKind kind);

#define COMMAND_ARGS_MAX  16
#define COMMAND_BYTES_MAX ((size_t)16 << 10) /* of a command that is read */

typedef struct FrontCommand {
    FrontCommandKind kind;
    Slice args[COMMAND_ARGS_MAX]; /* without quotes; args[0] is the name */
    size_t args_len;              /* all of them: may be more than COMMAND_ARGS_MAX */
} FrontCommand;

/* Whether a whole command is its name alone: else MULTI and EXEC are refused, and change nothing.
 */
bool front_command_is_bare(const RespScan *scan, Slice bytes);

/* Reads a whole command; texts that need unquoting go into the arena. False: it is malformed. */
NODISCARD bool front_command_read(Slice bytes, FrontCommandKind kind, Arena *arena,
                                  FrontCommand *ret_command);

/* What AUTH and HELLO ask for. */
typedef struct FrontLogin {
    const char *refused; /* the error reply, without its "-"; NULL: it is well formed */
    bool given;          /* a password was given */
    Slice user;          /* empty: AUTH without one */
    Slice password;
    Slice proto; /* of HELLO; data == NULL: none */
    Slice name;  /* of HELLO SETNAME; data == NULL: none */
} FrontLogin;

void front_login_parse(const FrontCommand *command, FrontLogin *ret_login);
/* HELLO without its AUTH, as it goes on to the node. */
void front_login_put_hello(const FrontLogin *login, Buf *out);

/* ---- table.c ----------------------------------------------------------------------------------
 */

/* Which commands of a server write, by what it says of them itself. */
typedef struct FrontTable FrontTable;

#define TABLE_BYTES_MAX ((size_t)4 << 20) /* of the reply to COMMAND; Redis 7.0 has 90 kB */

NODISCARD bool front_table_parse(Slice reply, FrontTable **ret_table, Err *err);
void front_table_free(FrontTable *table); /* NULL is fine */
/* `name` in upper case. One that the server does not know may do anything. */
bool front_table_writes(const FrontTable *table, Slice name);

/* ---- session.c --------------------------------------------------------------------------------
 */

#define SESSION_MARKS_MAX  8
#define SESSION_WRITES_MAX 8
#define SESSION_NAME_MAX   64

typedef enum FrontMarkKind { MARK_DB, MARK_PROTO, MARK_NAME } FrontMarkKind;

/* A command whose reply decides whether the session has changed. */
typedef struct FrontMark {
    uint64_t number; /* of the reply */
    FrontMarkKind kind;
    int64_t value;
    char name[SESSION_NAME_MAX + 1];
} FrontMark;

/* Commands that write, the first to the last. */
typedef struct FrontWrites {
    uint64_t first;
    uint64_t last;
} FrontWrites;

/* What a connection to a node holds of its client. Zeroed to start (protocol 2, database 0). */
typedef struct FrontSession {
    /* Can be made again elsewhere. */
    int64_t db;
    int64_t proto; /* 0: never asked for */
    char name[SESSION_NAME_MAX + 1];
    /* Cannot. */
    bool multi;
    bool watching;
    bool bound;     /* tracking and other things that only the node knows */
    bool streaming; /* replies are not counted any more */
    /* Commands sent whole, and replies had. */
    uint64_t sent;
    uint64_t answered;
    FrontMark marks[SESSION_MARKS_MAX];
    size_t marks_len;
    /* Those without their replies that write. Where there are too many runs of them, what is
     * between the last ones counts, too. */
    FrontWrites writes[SESSION_WRITES_MAX];
    size_t writes_len;
    bool stream_wrote; /* one was sent while replies are not counted */
} FrontSession;

/* A whole command went to the node. `command` is NULL where its kind is not one that is read. */
void front_session_sent(FrontSession *session, FrontCommandKind kind, const FrontCommand *command);
/* The command that was sent last writes. */
void front_session_wrote(FrontSession *session);
/* Whether the reply that comes next acknowledges a write. */
bool front_session_acknowledges(const FrontSession *session, const RespScan *reply);
/* A whole reply came. */
void front_session_answered(FrontSession *session, const RespScan *reply);
uint64_t front_session_unanswered(const FrontSession *session); /* 0 while streaming */
/* Nothing would be lost with the connection but what is unanswered. */
bool front_session_can_move(const FrontSession *session);
/* Nothing is under way: a reply of the front's own is in order here. */
bool front_session_is_quiet(const FrontSession *session);
/* After the connection is lost: what can be made again stays. */
void front_session_cut(FrontSession *session);
/* Logs in and makes the session again; returns how many replies that has. */
int front_session_greet(const FrontSession *session, Slice user, Slice password, Buf *out);

/* ---- front.c ----------------------------------------------------------------------------------
 */

typedef struct Front Front;
typedef struct FrontClient FrontClient;
typedef struct FrontGate FrontGate;

typedef struct FrontNode {
    ListNode node;
    char *id;
    char *host;
    NetAddr addr;
    bool primary;
    bool available;
    bool handed;
    bool gone;          /* no longer configured: freed with its last connection */
    bool failing;       /* the last attempt failed */
    int64_t rest_until; /* loop time */
    size_t connections;
    FrontGate *gate; /* of the primary of a durable group; NULL: there is none at present */
} FrontNode;

/* The clients of a leaving process. */
typedef struct FrontElsewhere {
    uint32_t generation;
    size_t clients;
} FrontElsewhere;

struct Front {
    Loop *loop;
    Plane *plane;
    Succession *succession;
    bool leaving;       /* another process accepts, or is about to */
    SuccessionLink *up; /* to that one; NULL: it is not known */
    size_t told;        /* clients, to that one */
    VEC(FrontElsewhere) elsewhere;
    int64_t left_ms;
    LoopTimer left;
    int exit_code;
    FrontConfig *config; /* NULL until the first one */
    List endpoints;
    List nodes;
    List clients;
    List sentinels;   /* those who ask where the primary is */
    size_t counts[2]; /* clients by endpoint: primary, reader */
    List waiting;     /* clients without a node */
    bool stopping;
    bool lingering; /* all clients have been told */
    LoopTimer retry;
    LoopTimer settle;
    LoopTimer second;
    LoopTimer stop;
};

void front_stop(Front *front);
NODISCARD bool front_configure(Front *front, const json_t *json, Err *err);

/* ---- succeed.c --------------------------------------------------------------------------------
 */

extern const SuccessionHandlers front_succession_handlers;
size_t front_clients_everywhere(const Front *front);

/* ---- endpoint.c -------------------------------------------------------------------------------
 */

/* Opens what is not open yet; where one cannot be opened, none is. */
NODISCARD bool front_endpoints_open(Front *front, const FrontConfig *config, Err *err);
/* Takes over certificates and roles, and closes what is no longer wanted. */
void front_endpoints_settle(Front *front, const FrontConfig *config);
void front_endpoints_close(Front *front);
void front_endpoints_pause(Front *front, bool pause);
void front_endpoints_offer(const Front *front, SuccessionSockets *sockets);

/* ---- node.c -----------------------------------------------------------------------------------
 */

/* The node for a new connection; NULL: none at the moment. For readers a replica that answers, as
 * far as is known; else the primary; else whoever is there. */
FrontNode *front_pick(Front *front, bool reader);
bool front_has_primary(const Front *front);
void front_node_failed(Front *front, FrontNode *node, const Err *err);
void front_node_works(Front *front, FrontNode *node);
void front_node_release(Front *front, FrontNode *node); /* one connection less */
/* Nodes are as they are configured from now on. */
void front_nodes_settle(Front *front, const FrontConfig *config);
json_t *front_nodes_status(const Front *front); /* the caller's */
void front_nodes_free(Front *front);            /* nobody is connected to them any more */

/* ---- place.c ----------------------------------------------------------------------------------
 */

void front_wait(Front *front, FrontClient *client); /* tries again for it until front_unwait */
void front_unwait(Front *front, FrontClient *client);
/* Looks at who is at the wrong node: now, after nodes have changed, gates and all; or soon. */
void front_place_all(Front *front);
void front_settle_soon(Front *front);
/* A reader that has the primary since there was no replica goes to one that is there again, where
 * it has nothing under way. */
void front_reader_return(FrontClient *client);

/* ---- client.c, login.c and link.c -------------------------------------------------------------
 */

typedef enum FrontLinkState {
    LINK_NONE,
    LINK_WAITING,    /* for a node: in front->waiting */
    LINK_CONNECTING, /* TCP and TLS */
    LINK_GREETING,   /* logging in, making the session again */
    LINK_GATING,     /* until the node's gate is ready */
    LINK_READY,
} FrontLinkState;

typedef enum FrontPause {
    PAUSE_LINK = 1, /* there is nobody to send it to */
    PAUSE_FLOW = 2, /* the node is slower than the client */
} FrontPause;

/* What becomes of the command that is coming in. */
typedef enum FrontFate { FATE_PASS, FATE_REFUSE } FrontFate;

/* And of the reply. */
typedef enum FrontReplyFate {
    REPLY_PASS,
    REPLY_HOLD,
    REPLY_SKIP, /* the client has got another one in its place */
} FrontReplyFate;

/* Replies that wait for the same round of a gate. */
typedef struct FrontHeldPart {
    uint64_t round;
    size_t len;     /* bytes */
    uint64_t whole; /* replies that ended among them */
    int64_t since_ms;
} FrontHeldPart;

#define HELD_BYTES_MAX ((size_t)512 << 10) /* of a client; at HELD_HIGH its node is paused */
/* What goes out at once when a round ends, with what one turn adds, is less than FLOW_HIGH: else
 * a stream that is not behind would count as one that is, and nobody would resume it. */
#define HELD_HIGH ((size_t)128 << 10)

/* What a client does not get before a replica has what it acknowledges; and all that came behind
 * it. The second part has come since the round of the first was sent. */
typedef struct FrontHeld {
    ListNode node; /* in the gate's list, while there is something */
    FrontGate *gate;
    Buf bytes;
    FrontHeldPart parts[2];
    size_t parts_len;
    bool opaque; /* not all of it can be told apart as replies */
} FrontHeld;

struct FrontClient {
    ListNode node;
    Front *front;
    bool reader;
    Stream *stream;
    RespScan scan; /* over the client's commands */
    FrontFate fate;
    FrontCommandKind kind; /* of the command that is passing */
    const char *refusal;   /* of the one that is refused */
    bool writes;           /* of the one that is passing, in a durable group */
    bool authenticated;
    bool refusing;  /* held for too long: answer what has come in */
    bool quitting;  /* QUIT went to the node, or the client has ended its side */
    bool resetting; /* RESET went to the node */
    bool reset_had; /* and its answer is held */
    bool unheld;    /* it has waited for another primary for too long */
    bool looked;    /* at what its former primary has said last */
    unsigned paused;
    int64_t last_ms;
    LoopTimer hold;
    /* link.c */
    FrontLinkState link;
    ListNode waiting;
    FrontNode *at;
    bool at_primary; /* what the node was when it was chosen */
    Stream *back;
    RespScan replies;
    int greeting_left;
    bool gated; /* writes are acknowledged when a replica has them */
    bool ended; /* the node has, in good order: what is held still goes out */
    FrontSession session;
    /* held.c */
    FrontReplyFate reply_fate; /* of the reply that is coming in */
    FrontHeld held;
    /* again.c */
    Buf kept;               /* the command whose reply is awaited; empty: it is not known */
    bool keeping;           /* it is still coming in */
    bool again;             /* it goes to the next node */
    uint64_t kept_number;   /* of its reply */
    int64_t again_until_ms; /* loop time; 0: it has not been refused */
};

void front_client_new(Front *front, bool reader, TlsContext *tls, int fd);
void front_client_pause(FrontClient *client, FrontPause why);
void front_client_resume(FrontClient *client, FrontPause why);
void front_client_error(FrontClient *client, const char *text); /* a reply: "CODE message" */
void front_client_simple(FrontClient *client, const char *text);
void front_client_close(FrontClient *client); /* sends what is queued; the client is dead */
/* The link is ready; or gone, and with it what was unanswered. */
void front_client_link_ready(FrontClient *client);
bool front_client_link_lost(FrontClient *client, const char *why); /* false: the client is gone */
void front_client_reset_done(FrontClient *client);
bool front_client_is_idle(const FrontClient *client);

/* login.c */
void front_client_auth(FrontClient *client, const FrontLogin *login);
/* False: the link is not ready; HELLO is looked at again when it is. */
bool front_client_hello(FrontClient *client, const FrontCommand *command, const FrontLogin *login);

/* link.c */
void front_link_begin(FrontClient *client);
void front_link_forward(FrontClient *client, Slice bytes);
/* Ends it without a word to the client. */
void front_link_drop(FrontClient *client);
/* Leaves a node before the link was ready, and waits for another. */
void front_link_elsewhere(FrontClient *client);

/* The gate of its node is ready. */
void front_link_gated(FrontClient *client);
/* Unsent bytes at which the other side is paused. More than what one turn can add, so that the
 * stream is known to be behind and on_drained to come. */
#define FLOW_HIGH ((size_t)512 << 10)

/* ---- gate.c -----------------------------------------------------------------------------------
 */

/* Opens the node's gate where it has none. */
void front_gate_need(FrontNode *node, Front *front);
bool front_gate_is_ready(const FrontNode *node);
/* The node's role may have changed: what it had acknowledged is known to last where it has handed
 * over, and unknown where its gate was lost meanwhile. Before its clients leave it. */
void front_gate_settle(FrontNode *node);
/* Without a word to clients, who hold nothing any more or are told by whoever does this. */
void front_gate_close(FrontNode *node);
void front_gate_beat(const FrontNode *node); /* each second */
/* Of a gate that is or was ready. */
const FrontTable *front_gate_table(const FrontNode *node);
/* The number of the round that will cover all that the node has answered by now. */
uint64_t front_gate_ask(FrontGate *gate);
List *front_gate_clients(FrontGate *gate); /* whose replies are held */

/* ---- held.c -----------------------------------------------------------------------------------
 */

/* A piece of a reply came, with which it begins or ends, before the session counts it: it is passed
 * on or held. */
void front_held_take(FrontClient *client, Slice piece, bool begins, bool ends);
bool front_held_any(const FrontClient *client);
uint64_t front_held_whole(const FrontClient *client); /* replies */
/* A round has ended well: what waited for it, or for an earlier one, goes out. False: the client is
 * gone. */
bool front_held_release(FrontClient *client, uint64_t round);
/* No replica had it in time. False: the client is gone. */
bool front_held_fail(FrontClient *client);
/* Forgets it. */
void front_held_drop(FrontClient *client);

/* ---- hold.c -----------------------------------------------------------------------------------
 */

/* False: not ready yet; the client is paused, and front_client_link_ready follows. */
bool front_link_need(FrontClient *client);
/* Without a link: waits for a node, for as long as a command may be held. */
void front_link_later(FrontClient *client);
/* It is to be sent again, and not now: its primary hands over. */
bool front_client_waits_again(const FrontClient *client);
void front_client_unhold(FrontClient *client); /* the primary is not about to change any more */
/* Its node is not the right one any more. True: it stays for what that one may still say, and is
 * looked at again. */
bool front_client_stays(FrontClient *client);
/* It does not. */
void front_client_move(FrontClient *client);
/* The reply to what has waited for too long. */
const char *front_unavailable_text(const FrontClient *client);

/* ---- sentinel.c -------------------------------------------------------------------------------
 */

void front_sentinel_new(Front *front, TlsContext *tls, int fd);
void front_sentinels_close(Front *front);

/* ---- again.c ----------------------------------------------------------------------------------
 */

/* A command begins to pass; a piece of it is forwarded. */
void front_again_begin(FrontClient *client);
void front_again_keep(FrontClient *client, Slice bytes, bool whole);
/* What a node says. True: it has refused the command, which goes to the next node. */
bool front_again_take(FrontClient *client, Slice reply);
void front_again_send(FrontClient *client); /* the link is ready */

#endif
