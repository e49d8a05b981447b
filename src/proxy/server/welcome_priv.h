/*
 * welcome: what servers say at login, kept for whoever comes next: the settings that they report,
 * which all workers share, and what a session's transactions are where it says nothing.
 */
#ifndef WEIR_PROXY_WELCOME_PRIV_H
#define WEIR_PROXY_WELCOME_PRIV_H

#include <pthread.h>

#include "wire/wire.h"

typedef struct ProxyPool ProxyPool;
typedef struct ProxyServer ProxyServer;

/* What transactions are where neither they nor the session say: by the role, the database, the
 * configuration of the primary, and the init_query; and what a session hears, and for how long its
 * statements run. Asked for at each login there (defaults.c), where reads are split, or commits
 * wait for standbys. */
typedef struct ProxyDefaults {
    bool known;
    bool read_only;
    char isolation[20];
    bool quiet;         /* it hears no warnings */
    int64_t timeout_us; /* statement_timeout; 0: none */
    int64_t run; /* of its engine (pulse_priv.h), which only a connection has; 0: not known */
} ProxyDefaults;

typedef struct ProxyWelcomes {
    pthread_mutex_t lock; /* taken at a first login */
    Map *map;             /* from the key of a pool to a Welcome that nobody else holds */
} ProxyWelcomes;

void proxy_welcomes_init(ProxyWelcomes *welcomes);
void proxy_welcomes_done(ProxyWelcomes *welcomes);
/* The server has nobody's settings, and reports what it would at a login; those who wait for that
 * are let in. Nothing where it is of a configuration before; a replica's counts where there is no
 * other. */
void proxy_welcome_take(ProxyServer *server);
void proxy_welcomes_forget(ProxyWelcomes *welcomes);
void proxy_welcome_find(ProxyWelcomes *welcomes, ProxyPool *pool); /* sets it if known */

/* defaults.c: of a login that has come as far as to ask. True: what comes until ReadyForQuery is
 * for proxy_defaults_take, which is false where that is malformed. */
bool proxy_defaults_ask(ProxyServer *server);
NODISCARD bool proxy_defaults_take(ProxyServer *server, const PgPiece *piece);
/* Into the start packet of a replica. */
void proxy_defaults_put(const ProxyServer *server, Buf *params);

#endif
