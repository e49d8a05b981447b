/*
 * peers: what a proxy has to do with the processes of other generations (docs/upgrade.md, "Limits
 * span all of them"). All on the main thread, but where it says otherwise.
 *
 *   serving:  what leaving processes hold is counted in the budget, the quotas and the number of
 *             clients as if it were ours; a Peer remembers it. They ask for more (peers.c)
 *   leaving:  a Held says what we hold of what the serving one counts; nothing is opened without a
 *             grant (leaving.c)
 *   both:     cancel requests for clients of the other (peers_cancel.c)
 */
#ifndef WEIR_PROXY_PEERS_PRIV_H
#define WEIR_PROXY_PEERS_PRIV_H

#include "plane/plane.h"
#include "proxy/pool/quota_priv.h"

#define PEERS_LOOK_MS     20   /* between messages about who waits */
#define PEERS_IDLE_MS     5000 /* a leaving process closes what is idle for longer */
#define PEERS_ASKS_MAX    4096 /* of one leaving process at once; more are not heard */
#define PEERS_CANCELS_MAX 1024 /* under way to other processes */
#define PEERS_CANCEL_MS   6000
#define PEERS_WAITS_MAX   512 /* quotas told of at once */

typedef struct Proxy Proxy;
typedef struct ProxyWorker ProxyWorker;
typedef struct ProxyPool ProxyPool;
typedef struct ProxyClient ProxyClient;
typedef struct ProxyServer ProxyServer;

/* What a leaving process holds for a user and a database, and at which target: processes tell each
 * other its address, for each has numbers of its own. Of clients that is empty. */
typedef struct PeerPlace {
    char *user, *database, *at;
    size_t target; /* its number here; PROXY_TARGETS_MAX: none of ours, so in no budget */
    Quota *quotas[QUOTA_KINDS];
    int64_t servers, clients;
} PeerPlace;

typedef enum LeavingAskKind { ASK_SERVER, ASK_CLIENT } LeavingAskKind;

typedef struct PeerAsk {
    LeavingAskKind kind;
    int64_t id;
    char *user, *database, *at;
    Quota *quotas[QUOTA_KINDS];
    int64_t since_ms;
    bool answered; /* and about to be forgotten */
} PeerAsk;

typedef struct Peer {
    ListNode node; /* in peers->peers */
    uint32_t generation;
    SuccessionLink *link; /* NULL: it has not joined yet */
    int64_t clients;
    VEC(PeerPlace) places;
    VEC(PeerAsk) asks;
    bool told_waits;
} Peer;

/* What this process holds, while it is leaving. */
typedef struct Held {
    ListNode node; /* in peers->held */
    char *user, *database, *at;
    int64_t servers, clients;
    int64_t told_servers, told_clients; /* what the serving process counts */
} Held;

/* Asked for by a worker; the main thread's until it is answered there. */
typedef struct LeavingAsk {
    ListNode node; /* in peers->asks */
    LeavingAskKind kind;
    int64_t id;
    ProxyWorker *worker;
    ProxyPool *pool;   /* the worker's: who asked; NULL: it is gone */
    PoolHandle client; /* of ASK_CLIENT */
    char *user, *database, *at;
    int64_t since_ms;
    bool answered, granted;
    bool unknown;   /* the serving process has no such target */
    QuotaKind full; /* why not, of a client */
} LeavingAsk;

typedef struct PeersCancel PeersCancel;

typedef struct Peers {
    Proxy *proxy;
    List peers;
    LoopTimer look;
    /* By target: the longest wait elsewhere for its budget; 0: nobody. */
    atomic_int_fast64_t wait_ms[PROXY_TARGETS_MAX];
    atomic_bool nudged;
    /* leaving */
    bool leaving;
    SuccessionLink *up; /* the serving process; NULL: it is not known */
    List held;
    int64_t held_clients, told_clients;
    LoopDefer flush;
    List asks;
    int64_t next_id;
    VEC(Quota *) waited; /* those that the serving process has told of */
    LoopTimer drain;
    List cancels;
} Peers;

void peers_init(Peers *peers, Proxy *proxy);
void peers_done(Peers *peers);

/* ---- serving (peers.c) -------------------------------------------------------------------------
 */

void peers_take_books(Peers *peers, const json_t *books);
void peers_joined(Peers *peers, SuccessionLink *link);
void peers_forget(Peers *peers, uint32_t generation); /* what it held is free */
void peers_parted(Peers *peers, uint32_t generation); /* it may join again */
void peers_forget_all(Peers *peers);
/* What is counted for others, for the next one to serve. */
void peers_put_books(const Peers *peers, json_t *books);
void peers_take_message(Peers *peers, SuccessionLink *link, const json_t *message);
SuccessionLink *peers_link_of(const Peers *peers, uint32_t generation); /* NULL: there is none */
void peers_nudge(Peers *peers); /* any thread: there is room */

/* Other targets have our numbers, or other numbers are theirs. */
void peers_config_changed(Peers *peers);

/* Names of users, databases and targets are any bytes. */
json_t *peers_name(const char *text);
char *peers_name_read(const json_t *hex); /* NULL: it is none */
/* An entry of a book, and about how long it is, which is added. */
json_t *peers_place(const char *user, const char *database, const char *at, int64_t servers,
                    int64_t clients, size_t *bytes);

/* ---- leaving (leaving.c) -----------------------------------------------------------------------
 */

void leaving_begin(Peers *peers);
void leaving_end(Peers *peers);  /* it serves again */
void leaving_done(Peers *peers); /* the workers are no more */
/* The worker stands still: what it has is held. */
void leaving_count(Peers *peers, const ProxyWorker *worker);
void leaving_put_books(Peers *peers, json_t *books);
void leaving_joined(Peers *peers, SuccessionLink *up);
void leaving_parted(Peers *peers);
void leaving_take_message(Peers *peers, const json_t *message);

/* On the worker's thread, of one that is apart: clients that have come or gone. `pool` NULL: of no
 * user's yet. */
void leaving_clients_change(ProxyWorker *worker, const ProxyPool *pool, int clients, int accepted);
void leaving_server_gone(const ProxyServer *server);
void leaving_give_back(ProxyWorker *worker, const LeavingAsk *ask); /* it is not needed */
void leaving_ask_server(ProxyPool *pool); /* pool->ask says that it has not been answered */
void leaving_ask_client(ProxyClient *client, ProxyPool *pool);
void leaving_pool_gone(ProxyPool *pool);
/* There is another one of this number: what was asked for is not what is wanted. */
void leaving_target_changed(ProxyWorker *worker, size_t target);

/* ---- cancel requests (peers_cancel.c) ----------------------------------------------------------
 */

typedef void PeersCancelledFn(void *user);
/* To the process of that generation. `done` is called on the main thread, once: when it has been
 * delivered, or never will be. */
void peers_cancel(Peers *peers, uint32_t generation, uint32_t pid, Slice key,
                  PeersCancelledFn *done, void *user);
bool peers_cancel_take(Peers *peers, SuccessionLink *link, const json_t *message);
void peers_cancel_lost(Peers *peers, const SuccessionLink *link);
void peers_cancels_done(Peers *peers);

#endif
