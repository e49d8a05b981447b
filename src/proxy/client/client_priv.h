/*
 * client: a client's connection and its Session, from its accept to its end. It is its worker's,
 * and has a server connection only while it is lent one, or is pinned to it.
 */
#ifndef WEIR_PROXY_CLIENT_PRIV_H
#define WEIR_PROXY_CLIENT_PRIV_H

#include "proxy/pool/pool_priv.h"

#define PROXY_LOGIN_MS 30000 /* from a client's connect to its authentication */

typedef struct AdminSession AdminSession;
typedef struct Login Login;

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
    CLIENT_ADMIN,       /* in session with the proxy itself (admin) */
} ClientState;

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
    bool by_link;         /* another host's process, by the relay's link */
    bool guest;           /* and it asks for itself */
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

static inline ProxyMeter *proxy_client_meter(const ProxyClient *client)
{
    return client->pool != NULL ? client->pool->meter : client->worker->meters.items[0];
}

/* client.c: in session, to its end */
void proxy_client_start_session(ProxyClient *client); /* login is done, and the client was told */
void proxy_client_idle_rearm(ProxyClient *client);    /* the limit has changed */
void proxy_client_pinned(ProxyClient *client, PinReason reason);
void proxy_client_note_pins(ProxyClient *client, const SessionOut *out); /* it was pinned */
void proxy_client_unpinned(ProxyClient *client);
/* The client is told, and gone: do not touch it any more. */
void proxy_client_fatal(ProxyClient *client, const char *sqlstate, const char *message,
                        const char *detail);
void proxy_client_refuse(ProxyClient *client, const PgError *error);
void proxy_client_close(ProxyClient *client); /* without a word */
void proxy_client_gone(ProxyClient *client);  /* its stream is gone already */
void proxy_client_drain(ProxyClient *client); /* closes it where it has nothing under way */

/* read.c: what it says */
extern const StreamHandlers proxy_client_handlers;
size_t proxy_client_feed(ProxyClient *client, Slice data); /* as if read; what was consumed */
void proxy_client_resume(ProxyClient *client);
/* A request that was taken from it goes by itself, on a connection of its own. */
void proxy_client_again(ProxyClient *client, Slice request);
void proxy_client_resend_free(ProxyClient *client); /* none is fine */

/* login.c, enter.c: up to the session */
void proxy_client_accept(ProxyWorker *worker, int fd, const ProxySocket *socket);
void proxy_client_login_done(ProxyClient *client); /* frees `login` */
/* The pool knows what a server says at login: tell it, and begin. */
void proxy_client_welcome(ProxyClient *client);
void proxy_client_put_key(ProxyClient *client, Buf *out);
/* A leaving process has asked whether it may be one more of its user and database; it may be gone.
 */
void proxy_auth_entered(ProxyWorker *worker, const LeavingAsk *ask);

/* relay.c: false: there is no target, and the client is gone. */
bool proxy_relay_start(ProxyClient *client, Slice start_params);

/* admin/admin.c: in session with the database that the proxy itself is. */
/* The client has proven who it is, and asked for it. False: it may not, and is gone. */
bool proxy_admin_start(ProxyClient *client, const char *user);
void proxy_admin_end(ProxyClient *client); /* not in there is fine */

#endif
