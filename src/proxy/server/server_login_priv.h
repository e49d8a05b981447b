/*
 * A server connection between its opening and its use: what login.c (the way up to IDLE),
 * auth.c (the proof of who it is) and refused.c (what went wrong) share.
 */
#ifndef WEIR_PROXY_SERVER_LOGIN_PRIV_H
#define WEIR_PROXY_SERVER_LOGIN_PRIV_H

#include "proxy/server/server_priv.h"

static inline const char *server_login_user(const ProxyServer *server)
{
    return server->pool != NULL ? server->pool->user : server->user;
}

/* NULL: it is none of the users, or not any more. */
static inline const ProxyUser *server_login_credentials(const ProxyServer *server)
{
    return proxy_config_user(server->worker->config, slice_of(server_login_user(server)));
}

static inline Trial *server_login_trial(ProxyServer *server)
{
    return server->pool != NULL ? &server->pool->trial : &proxy_server_side(server)->probe_trial;
}

static inline void server_login_send(ProxyServer *server, Buf *out)
{
    stream_write(server->stream, buf_slice(out));
    buf_done(out);
}

/* login.c: a probe knows what it wanted to. It stays, or may be gone. */
void proxy_server_probe_done(ProxyServer *server);

/* auth.c: PostgreSQL asks for a proof, or has one. False: the login has ended. */
NODISCARD bool proxy_server_auth_take(ProxyServer *server, const PgPiece *piece);

/* refused.c: the login has ended, and the server is gone. */
void proxy_server_login_failed(ProxyServer *server, const PgError *error);
void proxy_server_connect_failed(ProxyServer *server, const Err *err);
/* It breaks the protocol, or asks for what it cannot have. Returns false. */
bool proxy_login_broken(ProxyServer *server, const char *what);

#endif
