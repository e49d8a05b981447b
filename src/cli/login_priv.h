/*
 * Who may sign in where: for each instance its master user, for each proxy and each endpoint of
 * one the users of its secrets. What `weir env` puts into the password file and `weir psql NAME`
 * picks from.
 */
#ifndef WEIR_CLI_LOGIN_PRIV_H
#define WEIR_CLI_LOGIN_PRIV_H

#include "cli/cli_priv.h"
#include "cli/resource/resources_priv.h"

/* In the arena of its list. */
typedef struct Login {
    const char *name; /* of the instance, the proxy, or its endpoint */
    const char *host; /* "" while there is no endpoint */
    int port;
    const char *user;
    const char *password; /* NULL: not known */
    const char *database;
} Login;

typedef struct LoginList {
    Arena *arena;
    VEC(Login) list; /* in the arena */
} LoginList;

/* Asks the API about everything in the view (view_load), into a list that has its arena. What it
 * will not tell is not known; false: it does not answer. */
NODISCARD bool logins_load(const Caller *caller, const json_t *view, LoginList *logins, Err *err);
/* The login that is meant where nobody says which: at a proxy the one of its target's master user,
 * where there is one. NULL: nothing has that name. */
const Login *logins_find(const LoginList *logins, const char *name);
/* Appends a line of a .pgpass file for each password that is known. */
void logins_pgpass(const LoginList *logins, Buf *out);

/* Lets our environment lead psql to the instance, the proxy or the endpoint of this name. */
NODISCARD bool login_psql_environment(Cli *cli, const char *name, Err *err);

/* The beginning of a command line, in the arena and ended by NULL, that leads redis-cli to the
 * cache of this name; with its token in our environment, or none. */
NODISCARD bool login_redis_cli(Cli *cli, Arena *arena, const char *name,
                               const char *const **ret_argv, Err *err);

/* The auth token of a replication group, as described; *ret_token is NULL where it has none. */
NODISCARD bool login_cache_token(const Caller *caller, Arena *arena, const json_t *group,
                                 const char **ret_token, Err *err);

#endif
