/* `weir psql NAME` and `weir redis-cli NAME`: the engines' own clients, at the right endpoint with
 * the right credentials. Secrets reach them by environment, never by argument. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/login_priv.h"
#include "cli/plan/plan_priv.h"

/* Replaces us by the program; returns only when that failed. */
static bool program_run(const char *program, const char *const *fixed, char **more, Err *err)
{
    VEC(char *) argv = {0};
    for (; *fixed != NULL; fixed++) {
        vec_push(&argv, mem_strdup(*fixed));
    }
    for (; *more != NULL; more++) {
        vec_push(&argv, *more);
    }
    vec_push(&argv, NULL);
    execvp(program, argv.items);
    return err_set_errno(err, errno, "cannot run %s", program);
}

/* ---- psql --------------------------------------------------------------------------------------
 */

static void environment_set(const json_t *vars)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)vars, name, value) {
        setenv(name, json_string_value(value), 1);
    }
}

/* By environment, so that the user's own arguments come first: `weir psql NAME DATABASE`. */
static void login_use(const Login *login)
{
    char port[16];
    snprintf(port, sizeof(port), "%d", login->port);
    setenv("PGHOST", login->host, 1);
    setenv("PGPORT", port, 1);
    setenv("PGUSER", login->user, 1);
    setenv("PGDATABASE", login->database, 1);
    unsetenv("PGHOSTADDR"); /* these two lead elsewhere */
    unsetenv("PGSERVICE");
}

bool login_psql_environment(Cli *cli, const char *name, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    LoginList logins;
    CLEANUP(record_free_ptr) json_t *vars = env_load(cli, arena, &logins, err);
    if (vars == NULL) {
        return false;
    }
    const Login *login = logins_find(&logins, name);
    if (login == NULL) {
        return err_set(err, ERR_NOT_FOUND,
                       "there is no instance, proxy or endpoint \"%s\": see `weir status`", name);
    }
    if (login->host[0] == '\0') {
        return err_set(err, ERR_CONFLICT, "%s has no endpoint yet: see `weir status`", login->name);
    }
    environment_set(vars);
    login_use(login);
    return true;
}

static bool psql_run(Cli *cli, char **arguments, Err *err)
{
    const char *const argv[] = {"psql", NULL};
    return login_psql_environment(cli, arguments[0], err) &&
           program_run("psql", argv, arguments + 1, err);
}

/* ---- redis-cli ---------------------------------------------------------------------------------
 */

/* A token of somebody else's cache would make this one refuse the session. */
static bool token_use(Cli *cli, Arena *arena, const json_t *cache, Err *err)
{
    Caller caller = client_caller(cli->client);
    const char *token;
    TRY(login_cache_token(&caller, arena, cache, &token, err));
    if (token != NULL) {
        setenv("REDISCLI_AUTH", token, 1);
    } else {
        unsetenv("REDISCLI_AUTH");
    }
    return true;
}

static const char *const *redis_cli_argv(Arena *arena, const char *host, int port, bool tls,
                                         const char *ca)
{
    const char *const argv[] = {"redis-cli",
                                "-h",
                                arena_strdup(arena, host),
                                "-p",
                                arena_printf(arena, "%d", port),
                                tls ? "--tls" : NULL,
                                ca != NULL ? "--cacert" : NULL,
                                ca != NULL ? arena_strdup(arena, ca) : NULL,
                                NULL};
    const char **copy = ARENA_ARRAY(arena, const char *, ARRAY_LEN(argv));
    memcpy(copy, argv, sizeof(argv));
    return copy;
}

bool login_redis_cli(Cli *cli, Arena *arena, const char *name, const char *const **ret_argv,
                     Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *caches =
        cli_list(cli, "elasticache", "DescribeReplicationGroups", "ReplicationGroups", err);
    if (caches == NULL) {
        return false;
    }
    const json_t *cache = view_find(caches, "ReplicationGroupId", name);
    const char *host;
    int port;
    if (cache == NULL) {
        return err_set(err, ERR_NOT_FOUND, "there is no cache \"%s\": see `weir status`", name);
    }
    if (!view_cache_endpoint(cache, "PrimaryEndpoint", &host, &port)) {
        return err_set(err, ERR_CONFLICT, "%s has no endpoint yet: see `weir status`", name);
    }
    ClientSettings settings;
    TRY(token_use(cli, arena, cache, err) && client_settings_load(cli->data_dir, &settings, err));
    bool tls = member_bool(cache, "TransitEncryptionEnabled", false);
    *ret_argv = redis_cli_argv(arena, host, port, tls, settings.ca);
    client_settings_done(&settings);
    return true;
}

static bool redis_cli_run(Cli *cli, char **arguments, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *const *argv;
    return login_redis_cli(cli, arena, arguments[0], &argv, err) &&
           program_run(argv[0], argv, arguments + 1, err);
}

/* ---- both --------------------------------------------------------------------------------------
 */

static int connect_command(int argc, char **argv, const char *usage,
                           bool (*run)(Cli *, char **, Err *))
{
    const CliSpec spec = {
        .usage = usage, .options_first = true, .operands_min = 1, .operands_max = CLI_OPERANDS_ANY};
    Cli cli;
    Err err;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else if (!cli_connect(&cli, &err) || !run(&cli, argv + optind, &err)) {
        status = cli_fail(&err);
    }
    cli_done(&cli);
    return status;
}

int psql_main(int argc, char **argv)
{
    return connect_command(
        argc, argv,
        "usage: weir psql [--data DIR] NAME [ARGUMENT…]\n\n"
        "Opens psql at an instance, a proxy or an endpoint of one as its master user, in\n"
        "the database that the instance was made with. The arguments are psql's and\n"
        "count before that.\n",
        psql_run);
}

int redis_cli_main(int argc, char **argv)
{
    return connect_command(
        argc, argv,
        "usage: weir redis-cli [--data DIR] NAME [ARGUMENT…]\n\n"
        "Opens redis-cli at a cache's primary endpoint, with its auth token. The\n"
        "arguments are redis-cli's.\n",
        redis_cli_run);
}
