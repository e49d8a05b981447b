/*
 * pool: server connections that may replace each other, and the clients that they are for: of one
 * user, one database and the same settings, at one target. A worker's alone; what users and
 * databases may have of all workers together are quotas (quota_priv.h).
 */
#ifndef WEIR_PROXY_POOL_PRIV_H
#define WEIR_PROXY_POOL_PRIV_H

#include "proxy/server/params_priv.h"
#include "proxy/worker_priv.h"
#include "session/session.h"

#define PROXY_CONNECTING_MAX  8  /* server logins at once, per worker */
#define PROXY_WAIT_TICK_MS    50 /* how exactly a borrow times out */
#define PROXY_FAIR_MS         50 /* a waiter elsewhere that is older by this much goes first */
#define PROXY_CHECK_IDLE_MS   10 /* a connection idle for longer is looked at before it is lent */
#define PROXY_IDLE_LOOKS      16 /* at connections, for one with the client's settings */
#define PROXY_CHECK_WAITER_MS 10 /* and so is a client that has waited for longer */

#define LINE_SHY_MAX          256

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

/* pool.c: who gets which connection */
ProxyPool *proxy_pool_for(ProxyWorker *worker, Slice user, Slice database, ParamList *params);
ProxyPool *proxy_pool_at(ProxyPool *home, size_t target); /* the home's pool at this target */
void proxy_pool_unused(ProxyPool *any);                   /* frees its home and all of that if so */
/* Of the client's home or a replica: a connection, linked; or NULL: the client waits, and goes on
 * by itself. */
ProxyServer *proxy_pool_borrow(ProxyPool *pool, ProxyClient *client);
/* An idle connection with exactly what the client has been told and has set; NULL: there is none.
 */
ProxyServer *proxy_pool_take_equal(ProxyPool *pool, const ProxyClient *client);
/* A server connection of the pool is free: the next one in turn gets it. */
void proxy_pool_available(ProxyServer *server);
void proxy_pool_idle_remove(ProxyServer *server);
/* Whether it is known what the database hides. */
bool proxy_pool_knows_names(ProxyPool *pool);
void proxy_worker_forget_welcomes(ProxyWorker *worker);
void proxy_worker_trim_idle(ProxyWorker *worker);

/* wait.c: who waits for one */
void proxy_pool_wait(ProxyPool *pool, ProxyClient *client);
void proxy_pool_wait_end(ProxyClient *client);
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
void proxy_worker_waits_init(ProxyWorker *worker);
void proxy_worker_waits_done(ProxyWorker *worker);

/* room.c: where one more is to come from */
void proxy_worker_pump_soon(ProxyWorker *worker);
void proxy_worker_nudge(ProxyWorker *other);     /* any thread: something is free */
void proxy_nudge(Proxy *proxy, uint32_t worker); /* or QUOTA_OTHERS: other processes */
/* Main thread: closes what lies idle and is wanted by other processes: for quotas, and of each
 * target whose budget they wait for, one. */
void proxy_workers_yield(Proxy *proxy);
/* Of a process that is leaving: what it asked for. False: it has no use for it. */
NODISCARD bool proxy_pool_granted(ProxyPool *pool);
void proxy_worker_permit_freed(ProxyWorker *worker, size_t target);

/* limits.c: a user's and a database's shares */
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

#endif
