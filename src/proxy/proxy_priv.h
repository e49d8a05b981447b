/*
 * The shell of the proxy: who owns what, and on which thread.
 *
 *   Proxy         the process: plane, configuration, sockets, budget    main thread
 *   ProxyWorker   a thread with a loop; everything below is its alone
 *     ProxyDoor     a listener on a shared socket
 *     ProxyClient   a client's connection and its Session
 *     ProxySide     what it has with one target, and waits for there
 *     ProxyPool     server connections that may replace each other: same user, database, settings
 *                   and target
 *     ProxyServer   a connection to PostgreSQL and its Exchange
 *     ProxyHub      one that listens for many clients; each has a ProxyEar at it
 *
 * Threads meet in few places: the configuration (immutable, counted), the budget (atomics,
 * touched when a server connection is opened or closed, or somebody waits; the quotas of users and
 * databases likewise), posts to another loop
 * (cancel requests, "give an idle connection up", "there is room"), and counters that one worker
 * writes and the main thread reads. There is no lock on the way of a query.
 */
#ifndef WEIR_PROXY_PRIV_H
#define WEIR_PROXY_PRIV_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "loop/loop.h"
#include "plane/plane.h"
#include "proxy/catalog_priv.h"
#include "proxy/config_priv.h"
#include "proxy/meter_priv.h"
#include "proxy/params_priv.h"
#include "proxy/peers_priv.h"
#include "proxy/place_priv.h"
#include "proxy/pulse_priv.h"
#include "proxy/quota_priv.h"
#include "proxy/target_priv.h"
#include "proxy/throttle_priv.h"
#include "proxy/trial_priv.h"
#include "proxy/welcome_priv.h"
#include "session/session.h"

#define PROXY_LOGIN_MS        30000 /* from a client's connect to its authentication */
#define PROXY_SERVER_LOGIN_MS 30000
#define PROXY_SERVER_AGE_MS   ((int64_t)24 * 3600 * 1000) /* then it is closed when it is free */
#define PROXY_CONNECTING_MAX  8                           /* server logins at once, per worker */
#define PROXY_RETRY_MIN_MS    100 /* after a server did not let us in; doubles up to */
#define PROXY_RETRY_MAX_MS    1000
#define PROXY_WAIT_TICK_MS    50    /* how exactly a borrow times out */
#define PROXY_FAIR_MS         50    /* a waiter elsewhere that is older by this much goes first */
#define PROXY_PROBE_MS        10000 /* between looks at a target that nobody uses */
#define PROXY_PROBE_DOWN_MS   1000
#define PROXY_PROBE_DATABASE  "postgres"
#define PROXY_CHECK_IDLE_MS   10   /* a connection idle for longer is looked at before it is lent */
#define PROXY_IDLE_LOOKS      16   /* at connections, for one with the client's settings */
#define PROXY_CHECK_WAITER_MS 10   /* and so is a client that has waited for longer */
#define PROXY_DRAIN_MS        3000 /* the agent kills after 5 s */
#define PROXY_PENDING_MAX     ((size_t)64 << 20) /* to one peer; a stream is paused long before */

typedef struct Proxy Proxy;
typedef struct ProxyWorker ProxyWorker;
typedef struct ProxyClient ProxyClient;
typedef struct ProxyServer ProxyServer;
typedef struct ProxyPool ProxyPool;
typedef struct AdminSession AdminSession;
typedef struct ProxyLine ProxyLine;
typedef struct ProxyHub ProxyHub;
typedef struct ProxyEar ProxyEar;
typedef struct ProxyWatch ProxyWatch;
typedef struct ClientSplit ClientSplit;

/* One read of a stream, as it is understood. */
typedef struct ProxyRun {
    Slice data;
    size_t at;   /* understood so far */
    size_t sent; /* of it, passed on or dropped */
} ProxyRun;

/* ---- clients -----------------------------------------------------------------------------------
 */

/*
 *   START -> (TLS) -> START -> AUTH -> WELCOME -> READY <-> WAITING, SHARED, PARKED
 *                        \      \-> DENIED
 *                        \-> RELAY_LOGIN -----------> READY
 *         \-> CANCEL       \-> ADMIN
 */
typedef enum ClientState {
    CLIENT_START,       /* its first packets: TLS, cancel, start */
    CLIENT_AUTH,        /* proves who it is */
    CLIENT_DENIED,      /* has not, and hears of it in a while */
    CLIENT_WELCOME,     /* waits for a server's settings, which nobody in this pool has seen yet */
    CLIENT_RELAY_LOGIN, /* the server authenticates it */
    CLIENT_READY,       /* in session; `server` says whether it is linked */
    CLIENT_WAITING,     /* waits for a server connection; its stream is paused */
    CLIENT_SHARED,      /* waits for the answer of a `line`; its stream is paused */
    CLIENT_PARKED,      /* waits to learn whether a replica has what it wrote; paused */
    CLIENT_CANCEL,      /* waits until its cancel request has been delivered */
    CLIENT_ADMIN,       /* in session with the proxy itself (admin.c) */
} ClientState;

typedef struct Login Login;

/* What comes before the bytes in a client's stream. */
typedef struct ClientResend {
    Buf bytes;
    LoopDefer defer;
} ClientResend;

struct ProxyClient {
    ProxyWorker *worker;
    PoolHandle handle;
    ClientState state;
    bool tls;
    bool pinned_counted;
    bool wants_room;      /* paused until the server has answered something */
    bool alone;           /* what it sends goes by no line */
    bool anew;            /* the next server parses its statements again */
    bool resent;          /* and what it gets is a read that was with one that is lost */
    ClientResend *resend; /* NULL: nothing */
    ClientSplit *split;   /* NULL: nothing is split, and it has no token */
    ProxyLine *line;
    ProxyEar *ear; /* NULL: it listens to nothing */
    Stream *stream;
    PgFramer framer;
    Session session;
    ProxyServer *server;
    ProxyPool *pool;
    ParamList *told;       /* the settings that it was told last */
    Login *login;          /* NULL when done */
    ListNode node;         /* in worker->clients */
    ListNode wait_node;    /* in its waiters */
    ProxyPool *waits_in;   /* NULL: it does not wait */
    int64_t wait_since_ms; /* kept when it goes to wait elsewhere; 0: since it will wait */
    int64_t active_ms;
    int64_t asked_us; /* when the oldest request came in that is not answered; 0: none */
    uint32_t cancel_key;
    uint32_t connected_s; /* of the loop's clock */
    LoopTimer timer;
    AdminSession *admin; /* NULL: not in the admin database */
};

/* client.c: in session */
void proxy_client_start_session(ProxyClient *client); /* login is done, and the client was told */
void proxy_client_resume(ProxyClient *client);
/* A request that was taken from it goes by itself, on a connection of its own. */
void proxy_client_again(ProxyClient *client, Slice request);
size_t proxy_client_feed(ProxyClient *client,
                         Slice data);              /* as if read; returns what was consumed */
void proxy_client_idle_rearm(ProxyClient *client); /* the limit has changed */
/* The client is told, and gone: do not touch it any more. */
void proxy_client_fatal(ProxyClient *client, const char *sqlstate, const char *message,
                        const char *detail);
void proxy_client_refuse(ProxyClient *client, const PgError *error);
void proxy_client_close(ProxyClient *client); /* without a word */
void proxy_client_gone(ProxyClient *client);  /* its stream is gone already */
void proxy_client_pinned(ProxyClient *client, PinReason reason);
void proxy_client_note_pins(ProxyClient *client, const SessionOut *out); /* it was pinned */
void proxy_client_unpinned(ProxyClient *client);
void proxy_client_drain(ProxyClient *client); /* closes it where it has nothing under way */

/* client_login.c, client_auth.c: up to the session */
void proxy_client_accept(ProxyWorker *worker, int fd, const ProxySocket *socket);
void proxy_client_login_done(ProxyClient *client); /* frees `login` */
/* The pool knows what a server says at login: tell it, and begin. */
void proxy_client_welcome(ProxyClient *client);
void proxy_client_put_key(ProxyClient *client, Buf *out);
/* A leaving process has asked whether it may be one more of its user and database; it may be gone.
 */
void proxy_auth_entered(ProxyWorker *worker, const LeavingAsk *ask);

/* relay.c */
/* False: there is no target, and the client is gone. */
bool proxy_relay_start(ProxyClient *client, Slice start_params);

/* ---- servers -----------------------------------------------------------------------------------
 */

/*
 *   CONNECTING -> LOGIN -> (INIT) -> IDLE <-> LINKED
 *                                      \        |
 *   CONNECTING -> RELAY_LOGIN -> LINKED-+-> DRAINING -> gone
 *   LINKED -> PARKED (a cancel is still under way) -> IDLE
 *   LINKED -> LISTENING (for its client and others)
 *   LINKED -> ORPHAN (its client left in the middle: brought to rest) -> IDLE
 *   and in front of IDLE, now and then: LEARNING
 *   LOGIN -> WATCH, of a probe that stays
 */
typedef enum ServerState {
    SERVER_CONNECTING,
    SERVER_LOGIN,
    SERVER_INIT, /* its init_query, and what is asked behind */
    SERVER_RELAY_LOGIN,
    SERVER_IDLE,
    SERVER_LINKED,
    SERVER_PARKED,
    SERVER_ORPHAN,
    SERVER_LEARNING,  /* asks what the database hides */
    SERVER_LINE,      /* serves several clients' reads: line_priv.h */
    SERVER_LISTENING, /* listens for many clients: hub_priv.h */
    SERVER_WATCH,     /* asks the target how far it is: watch_priv.h */
    SERVER_DRAINING,  /* we have said goodbye; it counts until PostgreSQL has closed */
} ServerState;

/* Of a request that may have to be sent again (resend.c). */
typedef enum ProxyKeeps { KEEPS_NOTHING, KEEPS_SOME, KEEPS_REQUEST } ProxyKeeps;

/* Why a server connection is paused: hold_priv.h. */
typedef enum ProxyHold { HOLD_NONE, HOLD_GATE, HOLD_RIGHT } ProxyHold;

struct ProxyServer {
    ProxyWorker *worker;
    PoolHandle handle;
    ServerState state;
    uint8_t target; /* its number */
    ProxyPlace place;
    bool probe;       /* opened to see whether the target lives, and how far it is */
    bool pulse;       /* and it is pulse_priv.h's */
    bool budgeted;    /* holds a place in the budget */
    bool fatal;       /* PostgreSQL has told why it ends */
    bool rolled_back; /* of an orphan */
    bool retired;     /* not to be used again */
    bool tls_counted; /* as a connection with TLS */
    bool previous;    /* logs in with the role's previous password */
    bool proven;      /* of a relay: its client has been asked for a proof, or need not be */
    bool asks_defaults;
    Stream *stream;
    ProxyPool *pool; /* NULL: a relay's, or a probe */
    ProxyLine *line; /* of LINE */
    ProxyHub *hub;   /* of LISTENING */
    ProxyClient *client;
    ListNode node;      /* in worker->servers */
    ListNode idle_node; /* in pool->idle */
    ListNode lru_node;  /* in the side's idle */
    ListNode held_node; /* in worker->held */
    ProxyKeeps keeps;
    Buf kept;
    ProxyHold hold;
    int64_t held_us; /* since when, of CLOCK_BOOTTIME */
    PgFramer framer;
    ParamList *params; /* what it has reported */
    ParamList
        *told_before; /* by its client, before a transaction that may take it back; NULL: none */
    ScramClient *scram;
    ProxyDefaults defaults; /* of a primary */
    char *user;             /* of a probe */
    Quota *probe_quotas[QUOTA_KINDS];
    Buf hello; /* of a relay: the start packet */
    uint32_t pid;
    uint32_t key_len;
    uint8_t key[PG_CANCEL_KEY_MAX];
    unsigned cancels;    /* under way */
    PoolHandle last;     /* who had it last; 0: nobody */
    PoolHandle writer;   /* who may have moved sequences on it; 0: nobody */
    CatalogNames *names; /* what was known of the database when it was lent; NULL: nothing */
    CatalogLearning learning;
    bool learns; /* what `learning` says */
    int64_t opened_ms;
    int64_t idle_ms;  /* since when */
    int64_t sent_us;  /* when the request was sent that it answers now; 0: none */
    int64_t begun_us; /* of the transaction; 0: none is open */
    LoopTimer timer;
    Exchange exchange;
};

/* server.c: in use */
/* Opens a connection to the target of a pool, for a relay's client, or as a probe of `target`. */
ProxyServer *proxy_server_open(ProxyWorker *worker, ProxyPool *pool, ProxyClient *relay_client,
                               size_t target);
/* The same for the pulse, as this user. */
ProxyServer *proxy_server_open_pulse(ProxyWorker *worker, const char *user);
/* The same for what is known of its target. */
ProxyTargetState *proxy_server_target(const ProxyServer *server);
void proxy_server_link(ProxyServer *server, ProxyClient *client);
void proxy_server_unlink(ProxyServer *server); /* from its client; without one is fine */
/* Tells the client what the server reports otherwise than it was told last. */
void proxy_server_tell_params(ProxyServer *server);
void proxy_server_read_names(ProxyServer *server); /* what is known of its database now */
/* The client has left: back to the pool if nothing is left behind, closed otherwise. */
void proxy_server_abandon(ProxyServer *server);
void proxy_server_release(ProxyServer *server); /* at rest: to the next waiter, or idle */
void proxy_server_retire(ProxyServer *server);  /* says goodbye; do not touch it any more */
void proxy_server_lost(ProxyServer *server, const char *why); /* its stream is gone; frees it */
/* How its next text would be read, by a server that reports what it was told. */
SqlDialect proxy_client_dialect(const ProxyClient *client);
/* How texts are read by a server that has reported these; without names. */
SqlDialect proxy_dialect(const ProxyWorker *worker, const ParamList *params);
bool proxy_server_set_param(ProxyServer *server, Slice name, Slice value);
void proxy_server_cancel_done(ProxyServer *server);
extern const StreamHandlers proxy_server_handlers;

/* resend.c: it has got its client; one of that's pieces is sent; something is answered to the end;
 * and it is lost. The last returns true where the client's request, which is to be sent again, is
 * in `request`. */
void proxy_resend_begin(ProxyServer *server);
void proxy_resend_answered(ProxyServer *server);
void proxy_resend_keep(ProxyServer *server, const PgPiece *piece);
NODISCARD bool proxy_resend_take(ProxyServer *server, Buf *request);

/* Something of an answer is passed on: where it is of what was kept, that is not sent again. */
static inline void proxy_resend_passed(ProxyServer *server)
{
    if (server->kept.len > 0) {
        server->keeps = KEEPS_NOTHING;
    }
}

/* server_lost.c: of a server with a client. Whether that stays, and was told; otherwise *ret_loss
 * says what it loses. */
bool proxy_loss_survived(ProxyServer *server, const char *why, SessionLoss *ret_loss);
/* The client has half of a message: whatever came behind it would be taken for the rest. */
bool proxy_server_mid_answer(const ProxyServer *server);
/* The engine ends, and nobody has asked it to: to a client a lost connection, and the engine's
 * words say less than ours of what became of its transaction. */
bool proxy_loss_is_engine_end(const PgPiece *piece);
/* The commit of the client's did not wait for the standbys to the end (RULES F6): the success that
 * follows is none. */
bool proxy_loss_is_cut_wait(const PgPiece *piece);
/* server_learn.c */
void proxy_server_available(ProxyServer *server); /* free: to the next in turn, or it learns */
NODISCARD bool proxy_server_learn_take(ProxyServer *server, const PgPiece *piece);
/* For a client that waits (SessionOut.learn), a piece of the answer, whether that is all that is on
 * its way, and where it leaves meanwhile: true, the server goes on without it. */
void proxy_server_learn_linked(ProxyServer *server);
void proxy_server_learn_linked_take(ProxyServer *server, const PgPiece *piece);
NODISCARD bool proxy_server_only_learns(const ProxyServer *server);
NODISCARD bool proxy_server_learn_on(ProxyServer *server);
void proxy_server_learn_abandon(
    ProxyServer *server); /* it does not come to an end; where it does */

/* server_login.c: up to IDLE */
extern const StreamHandlers proxy_server_login_handlers;
void proxy_server_login_late(void *server); /* its timer */
void proxy_server_login_failed(ProxyServer *server, const PgError *error);
void proxy_server_connect_failed(ProxyServer *server, const Err *err);

/* relay.c */
extern const StreamHandlers proxy_relay_server_handlers;

/* ---- pools -------------------------------------------------------------------------------------
 */

#define LINE_SHY_MAX 256

/* A text that is better on its own, by its digest (line_priv.h). */
typedef struct LineShy {
    uint64_t digest;
    int64_t until_ms;
    unsigned slow; /* so often in a row */
} LineShy;

/*
 * A client's pool is that of target 0, its home; the pools of replicas belong to a home, serve its
 * clients, and live no longer. What is of the user, the database and their sessions (from `key` to
 * `limits`) is the home's, and the others point to it; what is known (`welcome`, `names`,
 * `dialect`, `clients`) is kept in the home alone.
 */
struct ProxyPool {
    ProxyWorker *worker;
    ProxyPool *home;                         /* itself, or whose pool of a replica it is */
    ProxyPool *replicas[PROXY_REPLICAS_MAX]; /* of a home, by number less 1; NULL: not yet */
    size_t replica_count;
    struct SplitLearnt *learnt; /* of a home; NULL: nothing */
    uint8_t target;
    int64_t refused_until_ms; /* a replica that does not let this role into this database */
    char *key;
    size_t key_len;
    char *user;
    char *database;
    ProxyMeter *meter;
    ParamList *params;      /* what is asked for at login */
    ParamList *welcome;     /* what a server said last; NULL: nobody has logged in yet */
    ProxyDefaults defaults; /* and the primary; kept when `welcome` is forgotten */
    ScramKeys keys;
    bool keys_previous; /* they are of the previous password */
    bool replication;   /* of walsenders, each of which is one client's for life */
    Trial trial;
    StatementTable *statements;
    SettingTable *settings;
    CatalogEntry *catalog; /* of its database; NULL: there are too many */
    CatalogNames *names;   /* as last read from there */
    bool names_fresh;      /* and nothing else is to be known */
    uint64_t names_seen;
    List lines;
    bool wants_line;           /* a request has found none */
    ParamList *dialect_params; /* of whom `dialect` is; NULL: nobody */
    SqlDialect dialect;
    LineShy shy[LINE_SHY_MAX];
    Quota *quotas[QUOTA_KINDS]; /* of its user and its database, for all workers */
    ProxyLimit limits[QUOTA_KINDS];
    List idle;             /* the one used last first */
    List waiters;          /* first come first */
    ListNode waiting_node; /* in worker->waiting */
    size_t clients, servers, connecting;
    LeavingAsk *ask; /* of a leaving process, for one more connection; NULL: none */
};

/* The home's pool at this target. */
ProxyPool *proxy_pool_at(ProxyPool *home, size_t target);

ProxyPool *proxy_pool_for(ProxyWorker *worker, Slice user, Slice database, ParamList *params);
void proxy_pool_unused(ProxyPool *any); /* frees its home and all of that if so */
/* Of the client's home or a replica: a connection, linked; or NULL: the client waits, and goes on
 * by itself. */
ProxyServer *proxy_pool_borrow(ProxyPool *pool, ProxyClient *client);
/* An idle connection with exactly what the client has been told and has set; NULL: there is none.
 */
ProxyServer *proxy_pool_take_equal(ProxyPool *pool, const ProxyClient *client);
/* Whether it is known what the database hides. */
bool proxy_pool_knows_names(ProxyPool *pool);
void proxy_pool_wait(ProxyPool *pool, ProxyClient *client);
void proxy_pool_wait_end(ProxyClient *client);
/* A server connection of the pool is free: the next one in turn gets it. */
void proxy_pool_available(ProxyServer *server);
void proxy_pool_idle_remove(ProxyServer *server);
/* Each looks anew where it can get what it waits for. One whose target is not to be had any more
 * keeps its turn. */
void proxy_pool_wake_waiters(ProxyPool *pool, bool keep_turn);
/* The welcomes that some wait for come from elsewhere, too. */
void proxy_pool_move_welcomes(ProxyPool *pool);
/* The welcome is known: those who only wait for it need no connection of their own. */
void proxy_pool_welcome_waiters(ProxyPool *home);
/* Everybody who waits in it gets this error. */
void proxy_pool_fail_waiters(ProxyPool *pool, const PgError *error);
int64_t proxy_pool_waits_since(const ProxyPool *pool); /* its first waiter, of which there is one */
/* What other workers see of those who wait here; `left` has just lost its last. NULL: none has. */
void proxy_pool_waits_publish(ProxyWorker *worker, ProxyPool *left);
void proxy_worker_pump_soon(ProxyWorker *worker);
void proxy_worker_nudge(ProxyWorker *other);     /* any thread: something is free */
void proxy_nudge(Proxy *proxy, uint32_t worker); /* or QUOTA_OTHERS: other processes */
/* Main thread: closes what lies idle and is wanted by other processes: for quotas, and of each
 * target whose budget they wait for, one. */
void proxy_workers_yield(Proxy *proxy);
/* Of a process that is leaving: what it asked for. False: it has no use for it. */
NODISCARD bool proxy_pool_granted(ProxyPool *pool);
void proxy_worker_permit_freed(ProxyWorker *worker, size_t target);
void proxy_worker_waits_init(ProxyWorker *worker);
void proxy_worker_waits_done(ProxyWorker *worker);
void proxy_worker_forget_welcomes(ProxyWorker *worker);
void proxy_worker_trim_idle(ProxyWorker *worker);

/* pool_limits.c: a user's and a database's shares */
void proxy_limits_of(ProxyPool *pool); /* as of the worker's configuration */
/* One more client; false: *ret_kind has too many. */
NODISCARD bool proxy_limits_enter(ProxyPool *pool, QuotaKind *ret_kind);
void proxy_limits_exit(ProxyPool *pool);
/* One more server connection; false: there are too many. */
NODISCARD bool proxy_limits_take(ProxyPool *pool);
void proxy_limits_leaving(ProxyPool *pool); /* one will be given; NULL is fine */
void proxy_limits_give(ProxyPool *pool, bool leaving);
/* What its waiters wait for before one more may be opened; NULL: nothing. */
Quota *proxy_limits_wait_for(const ProxyPool *pool);
/* Whether closing one of its connections helps somebody who has waited since before that. */
bool proxy_limits_wanted(const ProxyPool *pool, int64_t before_ms);
bool proxy_limits_over(const ProxyPool *pool); /* it has more connections than it may */
/* One more of its connections listens for many clients; false: too many do. */
NODISCARD bool proxy_limits_hub_take(ProxyPool *pool);
void proxy_limits_hub_give(ProxyPool *pool);
void proxy_limits_publish(ProxyWorker *worker, ProxyPool *left);
void proxy_limits_apply(ProxyWorker *worker); /* there is a new configuration */
void proxy_limits_yield(ProxyWorker *worker); /* closes what lies idle and is wanted */
void proxy_limits_ask(ProxyWorker *worker);   /* any thread: it is to do so */
void proxy_limits_make_room(ProxyWorker *worker);

/* ---- the database that the proxy itself is (admin.c) -------------------------------------------
 */

/* The client has proven who it is, and asked for it. False: it may not, and is gone. */
bool proxy_admin_start(ProxyClient *client, const char *user);
void proxy_admin_end(ProxyClient *client);           /* not in there is fine */
void proxy_admin_requests_done(ProxyWorker *worker); /* all threads have ended */

/* ---- workers
 * ------------------------------------------------------------------------------------- */

typedef struct ProxyDoor {
    ProxyWorker *worker;
    ProxySocket *socket;
    Listener *listener;
    uint16_t port;
} ProxyDoor;

/* What a worker has with one target. */
typedef struct ProxySide {
    List idle; /* servers, the one used last first */
    size_t connecting, leaving;
    size_t linked;  /* to clients */
    size_t waiters; /* clients */
    int64_t retry_at_ms, retry_delay_ms;
    Err problem; /* why the last one did not let us in */
    size_t servers, lines;
    ProxyServer *probe; /* worker 0: is there, or becomes one that watches; NULL: none */
    Trial probe_trial;
    ProxyWatch *watch; /* worker 0; NULL: not watched so far */
} ProxySide;

/* And others may read. */
typedef struct ProxySideShown {
    atomic_int_fast64_t oldest_wait_ms; /* 0: nobody waits here */
    atomic_uint idle_count;
    atomic_bool yield_asked;
    atomic_uint_fast64_t borrows; /* so far */
} ProxySideShown;

struct ProxyWorker {
    Proxy *proxy;
    uint32_t index;
    pthread_t thread;
    Loop *loop;
    ProxyConfig *config;
    PgPolicy client_policy, server_policy, ask_policy;
    VEC(ProxyDoor *) doors;
    Pool *client_slots, *server_slots;
    VEC(PoolHandle) client_handles; /* by slot */
    List clients, servers;
    List hubs;  /* of the servers; to the primary, all of them */
    Map *pools; /* homes */
    ProxySide sides[PROXY_TARGETS_MAX];
    size_t turn;         /* so that equal replicas take turns */
    SqlMemo *memo;       /* of all its clients */
    List waiting;        /* pools with waiters */
    List admin_requests; /* of clients here */
    List parked;         /* clients, by their ClientSplit */
    unsigned park_ticks;
    int64_t limits_asked_ms; /* when others were asked for the sake of a limit */
    LoopDefer pump;
    List held; /* servers, by their held_node */
    LoopTimer wait_timer, tick, drain_timer, watch_timer, park_timer, hold_timer;
    bool draining;
    bool shut;  /* it accepts nobody: not yet, or not any more */
    bool apart; /* the process is leaving: what counts for a limit is another one's to give */
    Throttle *throttle;
    size_t delayed; /* clients in CLIENT_DENIED */
    /* Read by others. */
    _Alignas(64) ProxySideShown shown[PROXY_TARGETS_MAX];
    atomic_bool nudged, limits_asked, targets_changed, any_parked, look_asked, any_held,
        any_refused, holds_asked; /* refused: clients wait until the primary may answer */
    ProxyMeters meters;
};

/* What belongs to nobody yet. */
static inline void proxy_worker_count(ProxyWorker *worker, ProxyStat stat, int64_t change)
{
    proxy_meter_add(worker->meters.items[0], stat, change);
}

static inline ProxyMeter *proxy_client_meter(const ProxyClient *client)
{
    return client->pool != NULL ? client->pool->meter : client->worker->meters.items[0];
}

static inline ProxyMeter *proxy_server_meter(const ProxyServer *server)
{
    return server->pool != NULL ? server->pool->meter : server->worker->meters.items[0];
}

/* Main thread: makes it, which may be half done where it fails; then lets its thread run. */
NODISCARD bool proxy_worker_init(ProxyWorker *worker, ProxyConfig *config, Err *err);
NODISCARD bool proxy_worker_start(ProxyWorker *worker, Err *err);
void proxy_worker_apply(ProxyWorker *worker,
                        ProxyConfig *config); /* main thread; returns when it is done */
void proxy_worker_drain(ProxyWorker *worker); /* main thread */
/* Main thread; they return when it is done. */
void proxy_worker_accept(ProxyWorker *worker);      /* by all sockets of the configuration */
void proxy_worker_leave(ProxyWorker *worker);       /* nobody; and what it has is counted as held */
void proxy_worker_server_gone(ProxyWorker *worker); /* one server connection less */
void proxy_worker_remember(ProxyWorker *worker, PoolHandle client);
void proxy_worker_client_gone(ProxyWorker *worker); /* one client less */
void proxy_worker_done(ProxyWorker *worker);        /* main thread, after the join, if any */

static inline ProxySide *proxy_server_side(const ProxyServer *server)
{
    return &server->worker->sides[server->target];
}

/* probe.c: whether targets live. Worker 0, once a second. */
void proxy_probe_tick(ProxyWorker *worker);
void proxy_probe_give(ProxyServer *server); /* its places */

/* sides.c */
bool proxy_worker_has_target(const ProxyWorker *worker, size_t target);
/* Any thread: what a replica can serve has changed, and each worker looks who waits for that. */
void proxy_workers_targets_changed(Proxy *proxy);
void proxy_sides_apply(ProxyWorker *worker, const ProxyConfig *old); /* before it was this */
void proxy_side_idle_retire(ProxyWorker *worker, size_t target);     /* what lies idle there */
void proxy_side_retire(ProxyWorker *worker, size_t target); /* and the others, once they are free */
void proxy_sides_retire(ProxyWorker *worker); /* all server connections, but those that watch */

/* ---- the process
 * ----------------------------------------------------------------------------------- */

struct Proxy {
    Loop *loop;
    const char *id;
    Plane *plane;           /* NULL: it runs alone */
    Succession *succession; /* NULL: it cannot be taken over from */
    uint32_t generation;
    Peers peers;
    bool shut; /* nobody is accepted: not yet, or not any more */
    int64_t left_ms;
    ProxyConfig *config;
    ProxyWorker *workers;
    uint32_t worker_count, workers_running;
    ProxyTargetState targets[PROXY_TARGETS_MAX];
    ProxyPulse pulse;
    ProxyWelcomes welcomes;
    Catalogs catalogs;
    Quotas quotas;
    atomic_uint clients;
    atomic_uint hubs;
    atomic_uint reads;    /* of `config`, for all threads */
    atomic_bool trimming; /* one worker looks at idle connections */
    uint8_t mock_secret[SHA256_SIZE];
    sem_t applied;
    LoopTimer tick, stop_timer;
    bool stopping;
    int exit_code;
    /* Main thread: reads the configuration again; NULL: it is not the proxy's to read. */
    bool (*reload)(Proxy *proxy, Err *err);
};

/* succeed.c: handing over */
extern const SuccessionHandlers proxy_succession_handlers;
int proxy_socket_inherit(Proxy *proxy, const ProxyListener *listener); /* -1: there is none */
void proxy_reopen(Proxy *proxy);                                       /* all workers accept */
/* All is ready: takes the place of whoever serves, if that is what it is to do, and accepts. */
NODISCARD bool proxy_begin_service(Proxy *proxy, Err *err);

/* notify.c */
void proxy_notify(const char *text);

/* prepare.c: main thread. What is NULL or false for want of files, names and keys, and the sockets.
 * What has not changed since `old` (NULL: there is none) is taken from there. */
NODISCARD bool proxy_config_load(ProxyConfig *config, const ProxyConfig *old, Err *err);
NODISCARD bool proxy_config_bind(Proxy *proxy, ProxyConfig *config, Err *err);
/* ERR_INVALID, with the command that helps: everybody on this machine may read the file. */
NODISCARD bool proxy_secret_file_check(const char *path, Err *err);

/* proxy.c */
void proxy_init(Proxy *proxy, const char *id);
/* Takes the configuration: loaded, bound, and in force on all workers; or the one before stays. */
NODISCARD bool proxy_put_in_force(Proxy *proxy, ProxyConfig *config, Err *err);
void proxy_stop(Proxy *proxy); /* drains; may come more than once */
void proxy_done(Proxy *proxy); /* after its loop has ended */

/* standalone.c: `weir proxy --config FILE` */
int proxy_standalone_main(int argc, char **argv);

/* status.c */
json_t *proxy_status_of(Proxy *proxy);
/* Any thread. Of the last minute, whether there was somebody for all that the endpoint takes: the
 * target, the best of the replicas, or with `split` the worse of the two; -1: nothing is known yet.
 */
int proxy_available_percent(Proxy *proxy);
uint32_t proxy_servers_max(const Proxy *proxy); /* of all targets */

#endif
