/*
 * A client between its connect and its session: what login.c (connection, TLS, start packet),
 * auth.c and iam.c (who it is), deny.c and enter.c (what follows from that) share.
 */
#ifndef WEIR_PROXY_LOGIN_PRIV_H
#define WEIR_PROXY_LOGIN_PRIV_H

#include "proxy/client/client_priv.h"

#define MD5_RESPONSE_SIZE 36 /* "md5", 32 digits and a NUL */
#define MD5_SALT_SIZE     4

struct Login {
    bool ssl_asked, gss_asked, direct_tls;
    bool link; /* of another host's process: it has shown by its certificate that it is one */
    bool over_limit;
    bool entering;    /* it has proven who it is; whether it may be one more is asked elsewhere */
    bool replication; /* a logical one */
    char *user;
    char *database;
    ParamList *params;
    CausalToken token; /* that it came with */
    TlsContext *tls;   /* of the listener; NULL: none */
    /* auth.c */
    NetAddr peer;
    uint32_t role; /* 1 and up: which of the users; 0: there is none of this name */
    bool sasl_began;
    ScramServer *scram;             /* NULL: not asked for */
    char (*md5)[MD5_RESPONSE_SIZE]; /* the two that are right; NULL: not asked for */
    bool iam;                       /* asked for a token */
    bool delayed;                   /* it is denied, and will hear of it */
    Buf denial;
};

typedef enum LoginStep {
    LOGIN_MORE,  /* nothing can be done before more bytes are here */
    LOGIN_TAKEN, /* *ret_used bytes are done with */
    LOGIN_LEFT,  /* the same, and the bytes behind them are somebody else's: TLS, or the session */
    LOGIN_GONE,  /* the client is no more, or is not listened to any more */
} LoginStep;

/* What is said at login. */
static inline void login_send(ProxyClient *client, Buf *out)
{
    stream_write(client->stream, buf_slice(out));
    buf_done(out);
}

/* relay.c: whether it is another host's process that comes as `probe_user`, by the link. */
bool proxy_relay_is_probe(const ProxyClient *client, Slice user);

/* auth.c: `user`, `database` and `params` are known: asks for a proof, or looks at the
 * certificate. */
LoginStep proxy_auth_begin(ProxyClient *client);
/* In CLIENT_AUTH: the client's next message. */
LoginStep proxy_auth_step(ProxyClient *client, Slice data, size_t *ret_used);
void proxy_auth_done(ProxyClient *client); /* frees and wipes its part of `login` */

/* iam.c: asks for a token, and looks at it. */
LoginStep proxy_iam_begin(ProxyClient *client);
LoginStep proxy_iam_take(ProxyClient *client, Slice body);

/* enter.c: it has proven who it is. It is told so, and becomes one of its pool's. */
LoginStep proxy_auth_pass(ProxyClient *client);
LoginStep proxy_auth_passed(ProxyClient *client); /* it was told */

/* deny.c: whether it may try to prove it, to be asked in front of whatever it says. False:
 * it was refused, and is gone. */
NODISCARD bool proxy_auth_may_try(ProxyClient *client);
/* It has not proven it. */
LoginStep proxy_auth_deny(ProxyClient *client, const PgError *error);
LoginStep proxy_auth_deny_password(ProxyClient *client);
LoginStep proxy_auth_broken(ProxyClient *client, const char *message); /* it breaks the protocol */

#endif
