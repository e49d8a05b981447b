/* `weir psql NAME` and `weir redis-cli NAME`: the engines' own clients, at the right endpoint with
 * the right credentials. Secrets reach them by environment, never by argument. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "model/model.h"

typedef struct Target {
    char host[256];
    char port[8];
    char user[128];
    char database[128];
} Target;

static void target_set(Target *target, const char *host, int port)
{
    snprintf(target->host, sizeof(target->host), "%s", host);
    snprintf(target->port, sizeof(target->port), "%d", port);
}

/* The instance, by name; of a replica the user and database are its source's. */
static const json_t *instance_named(const json_t *view, const char *name)
{
    size_t i;
    json_t *instance;
    json_array_foreach (member_array(view, "instances"), i, instance) {
        if (strcmp(member_str(instance, "DBInstanceIdentifier", ""), name) == 0) {
            return instance;
        }
    }
    return NULL;
}

static bool target_find(const json_t *view, const char *name, Target *target, Err *err)
{
    const json_t *instance = instance_named(view, name);
    const json_t *first = json_array_get(member_array(view, "instances"), 0);
    size_t i;
    json_t *proxy;
    json_array_foreach (member_array(view, "proxies"), i, proxy) {
        if (strcmp(member_str(proxy, "DBProxyName", ""), name) == 0) {
            target_set(target, member_str(proxy, "Endpoint", ""), 5432);
            instance = first;
        }
    }
    if (instance == NULL) {
        return err_set(err, ERR_NOT_FOUND,
                       "there is no instance or proxy \"%s\": see `weir status`", name);
    }
    const json_t *endpoint = member_object(instance, "Endpoint");
    if (target->host[0] == '\0') {
        target_set(target, member_str(endpoint, "Address", ""),
                   (int)member_int(endpoint, "Port", 5432));
    }
    const char *database = member_str(instance, "DBName", "");
    snprintf(target->user, sizeof(target->user), "%s", member_str(instance, "MasterUsername", ""));
    snprintf(target->database, sizeof(target->database), "%s",
             database[0] != '\0' ? database : "postgres");
    return true;
}

static void environment_set(const json_t *vars)
{
    const char *name;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)vars, name, value) {
        setenv(name, json_string_value(value), 1);
    }
}

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

static bool psql_run(Cli *cli, char **arguments, Err *err)
{
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    CLEANUP(record_free_ptr) json_t *vars = view != NULL ? env_load(cli, err) : NULL;
    Target target = {0};
    if (vars == NULL || !target_find(view, arguments[0], &target, err)) {
        return false;
    }
    environment_set(vars);
    const char *const argv[] = {"psql",      "-h", target.host,     "-p", target.port, "-U",
                                target.user, "-d", target.database, NULL};
    return program_run("psql", argv, arguments + 1, err);
}

static bool redis_cli_run(Cli *cli, char **arguments, Err *err)
{
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    CLEANUP(record_free_ptr) json_t *vars = view != NULL ? env_load(cli, err) : NULL;
    const json_t *group = NULL;
    size_t i;
    json_t *candidate;
    json_array_foreach (member_array(view, "caches"), i, candidate) {
        if (strcmp(member_str(candidate, "ReplicationGroupId", ""), arguments[0]) == 0) {
            group = candidate;
        }
    }
    if (vars == NULL) {
        return false;
    }
    const char *host;
    int port;
    if (group == NULL || !view_cache_endpoint(group, "PrimaryEndpoint", &host, &port)) {
        return err_set(err, ERR_NOT_FOUND, "there is no cache \"%s\": see `weir status`",
                       arguments[0]);
    }
    Target target = {0};
    target_set(&target, host, port);
    bool tls = member_bool(group, "TransitEncryptionEnabled", false);
    setenv("REDISCLI_AUTH", member_str(vars, "REDIS_AUTH_TOKEN", ""), 1);
    const char *const argv[] = {"redis-cli", "-h",
                                target.host, "-p",
                                target.port, tls ? "--tls" : NULL,
                                "--cacert",  member_str(vars, "AWS_CA_BUNDLE", ""),
                                NULL};
    return program_run("redis-cli", argv, arguments + 1, err);
}

static int connect_command(int argc, char **argv, const char *usage,
                           bool (*run)(Cli *, char **, Err *))
{
    const CliSpec spec = {.usage = usage};
    Cli cli;
    Err err;
    int status = 0;
    if (!cli_options(&cli, argc, argv, &spec)) {
        status = cli.help ? 0 : err_exit_code(ERR_INVALID);
    } else if (optind >= argc) {
        fputs(usage, stderr);
        status = err_exit_code(ERR_INVALID);
    } else if (!cli_connect(&cli, &err) || !run(&cli, argv + optind, &err)) {
        status = cli_fail(&err);
    }
    cli_done(&cli);
    return status;
}

int psql_main(int argc, char **argv)
{
    return connect_command(argc, argv,
                           "usage: weir psql [--data DIR] NAME [ARGUMENT…]\n\n"
                           "Opens psql at an instance or a proxy as its master user. The arguments "
                           "are psql's.\n",
                           psql_run);
}

int redis_cli_main(int argc, char **argv)
{
    return connect_command(argc, argv,
                           "usage: weir redis-cli [--data DIR] NAME [ARGUMENT…]\n\n"
                           "Opens redis-cli at a cache's primary endpoint. The arguments are "
                           "redis-cli's.\n",
                           redis_cli_run);
}
