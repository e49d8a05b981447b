/*
 * The shell of the proxy: who owns what, and on which thread.
 *
 *   Proxy         the process: plane, configuration, sockets, budget    main thread
 *   ProxyWorker   a thread with a loop; everything below is its alone
 *     ProxyDoor     a listener on a shared socket
 *     ProxySide     what it has with one target, and waits for there
 *     ProxyPool     server connections that may replace each other: same user, database, settings
 *                   and target
 *     ProxyClient   a client's connection and its Session
 *     ProxyServer   a connection to PostgreSQL and its Exchange
 *     ProxyHub      one that listens for many clients; each has a ProxyEar at it
 *
 * Threads meet in few places: the configuration (immutable, counted), the budget (atomics, touched
 * when a server connection is opened or closed, or somebody waits; the quotas of users and
 * databases likewise), posts to another loop (cancel requests, "give an idle connection up", "there
 * is room"), and counters that one worker writes and the main thread reads. There is no lock on the
 * way of a query.
 *
 * Here is the process. The others have headers of their own, and each includes that of its owner:
 * client_priv.h and server_priv.h the pool's, pool_priv.h the worker's, worker_priv.h that of the
 * sides, and that this one.
 */
#ifndef WEIR_PROXY_PRIV_H
#define WEIR_PROXY_PRIV_H

#include <semaphore.h>
#include <stdatomic.h>

#include "loop/loop.h"
#include "plane/plane.h"
#include "proxy/config/config_priv.h"
#include "proxy/pool/quota_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/catalog_priv.h"
#include "proxy/server/welcome_priv.h"
#include "proxy/target/target_priv.h"
#include "proxy/upgrade/peers_priv.h"

#define PROXY_PENDING_MAX ((size_t)64 << 20) /* to one peer; a stream is paused long before */

typedef struct Proxy Proxy;
typedef struct ProxyWorker ProxyWorker;
typedef struct ProxyClient ProxyClient;
typedef struct ProxyServer ProxyServer;
typedef struct ProxyPool ProxyPool;
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
    atomic_uint guests; /* of the clients: nobody waits for them to leave */
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

/* upgrade/succeed.c: handing over */
extern const SuccessionHandlers proxy_succession_handlers;
int proxy_socket_inherit(Proxy *proxy, const ProxyListener *listener); /* -1: there is none */
void proxy_reopen(Proxy *proxy);                                       /* all workers accept */
/* All is ready: takes the place of whoever serves, if that is what it is to do, and accepts. */
NODISCARD bool proxy_begin_service(Proxy *proxy, Err *err);

/* notify.c */
void proxy_notify(const char *text);

/* config/prepare.c: main thread. What is NULL or false for want of files, names and keys, and the
 * sockets. What has not changed since `old` (NULL: there is none) is taken from there. */
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
