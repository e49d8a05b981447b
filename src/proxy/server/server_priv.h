/*
 * server: a connection to PostgreSQL and its Exchange, from its opening until PostgreSQL has closed
 * it. It is its worker's, and its pool's, if it has one: a relay's connection and a probe have
 * none.
 */
#ifndef WEIR_PROXY_SERVER_PRIV_H
#define WEIR_PROXY_SERVER_PRIV_H

#include "proxy/pool/pool_priv.h"
#include "proxy/target/place_priv.h"

#define PROXY_SERVER_LOGIN_MS 30000
#define PROXY_SERVER_AGE_MS   ((int64_t)24 * 3600 * 1000) /* then it is closed when it is free */

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
    bool enforced;    /* it answers only as long as it has the right to (hold_priv.h) */
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

static inline ProxyMeter *proxy_server_meter(const ProxyServer *server)
{
    return server->pool != NULL ? server->pool->meter : server->worker->meters.items[0];
}

static inline ProxySide *proxy_server_side(const ProxyServer *server)
{
    return &server->worker->sides[server->target];
}

/* server.c: its life */
/* Opens a connection to the target of a pool, for a relay's client, or as a probe of `target`. */
ProxyServer *proxy_server_open(ProxyWorker *worker, ProxyPool *pool, ProxyClient *relay_client,
                               size_t target);
/* The same for the pulse, as this user. */
ProxyServer *proxy_server_open_pulse(ProxyWorker *worker, const char *user);
ProxyTargetState *proxy_server_target(const ProxyServer *server); /* what is known of its target */
void proxy_server_unlink(ProxyServer *server); /* from its client; without one is fine */
void proxy_server_retire(ProxyServer *server); /* says goodbye; do not touch it any more */

/* read.c: in use */
extern const StreamHandlers proxy_server_handlers;

/* orphan.c: the client has left. Back to the pool if nothing is left behind, closed otherwise. */
void proxy_server_abandon(ProxyServer *server);

/* link.c: from one client to the next */
void proxy_server_link(ProxyServer *server, ProxyClient *client);
void proxy_server_release(ProxyServer *server); /* at rest: to the next waiter, or idle */
void proxy_server_cancel_done(ProxyServer *server);
/* Tells the client what the server reports otherwise than it was told last. */
void proxy_server_tell_params(ProxyServer *server);
void proxy_server_read_names(ProxyServer *server); /* what is known of its database now */
bool proxy_server_set_param(ProxyServer *server, Slice name, Slice value);
/* How its next text would be read, by a server that reports what it was told. */
SqlDialect proxy_client_dialect(const ProxyClient *client);
/* How texts are read by a server that has reported these; without names. */
SqlDialect proxy_dialect(const ProxyWorker *worker, const ParamList *params);

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

/* lost.c */
void proxy_server_lost(ProxyServer *server, const char *why); /* its stream is gone; frees it */
/* The client has half of a message: whatever came behind it would be taken for the rest. */
bool proxy_server_mid_answer(const ProxyServer *server);
/* The commit of the client's did not wait for the standbys to the end (RULES F6): the success that
 * follows is none. */
bool proxy_loss_is_cut_wait(const PgPiece *piece);

/* learn.c */
void proxy_server_available(ProxyServer *server); /* free: to the next in turn, or it learns */

/* login.c: up to IDLE */
extern const StreamHandlers proxy_server_login_handlers;
void proxy_server_login_late(void *server); /* its timer */

/* client/relay.c */
extern const StreamHandlers proxy_relay_server_handlers;

/* ask.c: of a session that only asks, each piece of what it says; false: PostgreSQL breaks the
 * protocol, and the session is gone. */
typedef bool ProxyAskTake(ProxyServer *server, const PgPiece *piece);
size_t proxy_ask_read(ProxyServer *server, Slice data, ProxyAskTake *take);
void proxy_ask_closed(void *user, Stream *stream, const Err *err); /* its on_closed */

#endif
