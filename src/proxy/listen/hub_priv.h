/*
 * hub: a server connection that listens for many clients; one per worker, user, database and
 * client_encoding (which says in what bytes PostgreSQL sends names and payloads). It belongs to one
 * worker, so that no notification crosses threads, and there is no lock.
 *
 * A hub is not opened: it is the first listening client's own connection to the primary (replicas
 * do not listen), at rest, which goes on listening for everybody; so there always is one to be had,
 * and nothing changes for that client.
 * Fewer than half of the budget, and of what a user or a database may have, are hubs: beyond that,
 * clients keep their own connections, as pinned ones.
 *
 * An ear is what a client has of a hub. The session (listen_priv.h) says when channels change
 * hands; here is who hears what:
 *
 *   EAR_DEAF --> EAR_JOINING --- the hub listens to all its channels ---> EAR_SHARING
 *     ^  ^            | the session has other channels by now                  | the hub hears the
 *     |  '------------'                                                        v mark
 *     '--------------- the hub hears the mark of the way back ------------- EAR_ON
 *
 * When a hub is lost, its clients are closed; with keep_listening they are LOST instead, until they
 * have got a connection of their own, which listens to the channels again: then they are DEAF, and
 * begin anew.
 *
 * Only an ear that is ON is given notifications: at once while its client is between transactions;
 * else they wait in `queue`, and go in front of the ReadyForQuery that ends the transaction.
 */
#ifndef WEIR_PROXY_HUB_PRIV_H
#define WEIR_PROXY_HUB_PRIV_H

#include "proxy/proxy_priv.h"
#include "session/session.h"

#define HUB_CHANNELS_MAX 20000 /* of one; with more, clients keep their own connections */
#define HUB_IDLE_MS      10000 /* without a client it ends */
#define HUB_QUEUE_MAX    ((size_t)1 << 20) /* bytes that wait for a client; with more it is closed */
#define HUB_REST_MS      20                /* a client that has just listened may do so again */
#define HUB_RETRY_MS     1000              /* when there was no hub to be had */

typedef struct ProxyHub ProxyHub;

typedef enum EarState { EAR_DEAF, EAR_JOINING, EAR_SHARING, EAR_ON, EAR_LOST } EarState;

struct ProxyEar {
    ProxyClient *client;
    ProxyHub *hub; /* NULL: it knows none */
    ListNode node; /* in hub->ears */
    EarState state;
    bool counted;   /* as a listening client */
    bool closing;   /* it does not read, or its hub is lost */
    List subs;      /* a HubSub per channel */
    size_t missing; /* channels that the hub does not listen to yet */
    Buf queue;      /* from the hub */
    Buf later;      /* from its own server connection, for behind that */
    LoopTimer timer;
    LoopDefer defer;
};

/* Of a channel that the ear's client wants to hear. */
typedef struct HubChannel HubChannel;
typedef struct HubSub {
    ListNode ear_node;     /* in ear->subs */
    ListNode channel_node; /* in channel->subs */
    HubChannel *channel;
    ProxyEar *ear;
} HubSub;

struct HubChannel {
    char *name;
    size_t name_len;
    bool listened; /* PostgreSQL has confirmed it */
    List subs;
};

/* What the hub has asked for and is not answered yet, in order. */
typedef struct HubRequest {
    HubChannel *channel; /* of a LISTEN; NULL: something else */
    bool mark;           /* the LISTEN of the channel of marks */
} HubRequest;

struct ProxyHub {
    ProxyWorker *worker;
    ListNode node;       /* in worker->hubs */
    ProxyServer *server; /* NULL: it is lost */
    ProxyPool *pool;     /* of the server */
    char *encoding;
    char mark[48]; /* the channel of marks */
    Map *channels; /* by name */
    List ears;
    VEC(HubRequest) requests;
    size_t requests_first;
    int64_t idle_ms; /* since when it has no ear */
    LoopDefer sweep;
};

/* ---- hubs (hub.c) ------------------------------------------------------------------------------
 */

/* The one that fits the server connection, and has room; NULL: there is none. */
ProxyHub *proxy_hub_for(const ProxyServer *server);
/* Of the client's own connection, at rest, which it has no more. NULL: it may not be one. */
ProxyHub *proxy_hub_adopt(ProxyServer *server);
/* Listens to the channel where it does not yet. NULL: there are too many. */
HubChannel *proxy_hub_channel(ProxyHub *hub, Slice name);
/* Something was taken away: looks, soon, for what nobody needs any more. */
void proxy_hub_sweep_soon(ProxyHub *hub);

/* A piece of what its server says. */
NODISCARD bool proxy_hub_piece(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                               const char **ret_problem);
void proxy_hub_lost(ProxyServer *server); /* it is no hub any more; without one is fine */
void proxy_hubs_trim(ProxyWorker *worker);

/* ---- ears --------------------------------------------------------------------------------------
 */

/* ear.c: what the session says of its channels. Call it when the piece is done with. */
void proxy_ear_news(ProxyClient *client, ListenNews news);
void proxy_ear_listened(ProxyEar *ear); /* the hub listens to one more of its channels */
void proxy_ear_hub_lost(ProxyEar *ear);
void proxy_ear_linked(ProxyEar *ear); /* its client has got a server connection */
/* It was about to listen anew on its server connection, which is lost: another one will do. */
bool proxy_ear_survives(const ProxyClient *client);
void proxy_ear_free(ProxyClient *client); /* without one is fine */

/* ear_hear.c: a notification by the hub, and one by its own server connection. */
void proxy_ear_hear(ProxyEar *ear, uint32_t pid, Slice message);
void proxy_ear_keep(ProxyClient *client, Slice message);
void proxy_ear_ready(ProxyEar *ear); /* the hub listens to marks */
void proxy_ear_mark(ProxyEar *ear);
/* The client is between transactions, or about to be: it gets what waits for it. */
void proxy_ear_flush(ProxyEar *ear);
bool proxy_ear_may_flush(const ProxyClient *client); /* at a ReadyForQuery of its transaction */

#endif
