/*
 * `weir env`: what the guide's application reads, as shell assignments. The password file that it
 * names (mode 0600) lies in the tier's folder and is written anew each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli_priv.h"
#include "model/model.h"

typedef struct Env {
    Cli *cli;
    Arena *arena;
    json_t *vars;
    Buf passwords; /* lines of a .pgpass file */
} Env;

static void env_set(Env *env, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0') {
        json_object_set_new(env->vars, name, json_string(value));
    }
}

/* ---- the tier ----------------------------------------------------------------------------------
 */

static bool env_tier(Env *env, Err *err)
{
    ClientSettings settings;
    TRY(client_settings_load(env->cli->data_dir, &settings, err));
    CLEANUP(mem_free_ptr) char *dir = realpath(env->cli->data_dir, NULL);
    const char *ca = settings.ca;
    env_set(env, "AWS_ENDPOINT_URL", settings.endpoint);
    env_set(env, "AWS_REGION", settings.region);
    env_set(env, "AWS_DEFAULT_REGION", settings.region);
    env_set(env, "AWS_ACCESS_KEY_ID", settings.access_key);
    env_set(env, "AWS_SECRET_ACCESS_KEY", secret_reveal(&settings.secret_key).data);
    env_set(env, "AWS_CA_BUNDLE", ca);
    env_set(env, "NODE_EXTRA_CA_CERTS", ca);
    env_set(env, "PGSSLROOTCERT", ca);
    env_set(env, "PGSSLMODE", "verify-full");
    env_set(env, "PGPASSFILE", arena_printf(env->arena, "%s/pgpass", dir != NULL ? dir : "."));
    env_set(env, "WEIR_DATA", dir);
    client_settings_done(&settings);
    return true;
}

/* ---- databases ---------------------------------------------------------------------------------
 */

/* A field of .pgpass: ':' and '\' are escaped. */
static void pgpass_field(Buf *out, const char *text, char end)
{
    for (; *text != '\0'; text++) {
        if (*text == ':' || *text == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, *text);
    }
    buf_append_char(out, end);
}

static void pgpass_line(Env *env, const char *host, int port, const char *user,
                        const char *password)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", port);
    pgpass_field(&env->passwords, host, ':');
    pgpass_field(&env->passwords, text, ':');
    pgpass_field(&env->passwords, "*", ':');
    pgpass_field(&env->passwords, user, ':');
    pgpass_field(&env->passwords, password, '\n');
}

/* The credentials of a secret that a proxy uses: valid at the proxy and at every instance. */
static void secret_lines(Env *env, const json_t *view, const json_t *proxy, const char *arn)
{
    Err err;
    CLEANUP(record_free_ptr)
    json_t *secret = cli_call(env->cli, "secretsmanager", "GetSecretValue",
                              json_pack("{s:s}", "SecretId", arn), &err);
    CLEANUP(record_free_ptr) json_t *credentials = NULL;
    if (secret == NULL ||
        !record_parse(slice_of(member_str(secret, "SecretString", "")), &credentials, NULL)) {
        return;
    }
    const char *user = member_str(credentials, "username", "");
    const char *password = member_str(credentials, "password", "");
    pgpass_line(env, member_str(proxy, "Endpoint", ""), 5432, user, password);
    size_t i;
    json_t *instance;
    json_array_foreach (member_array(view, "instances"), i, instance) {
        const json_t *endpoint = member_object(instance, "Endpoint");
        if (strcmp(member_str(instance, "MasterUsername", ""), user) == 0) {
            pgpass_line(env, member_str(endpoint, "Address", ""),
                        (int)member_int(endpoint, "Port", 5432), user, password);
        }
    }
}

static void env_proxies(Env *env, const json_t *view)
{
    size_t i;
    json_t *proxy;
    json_array_foreach (member_array(view, "proxies"), i, proxy) {
        if (i == 0) {
            env_set(env, "DB_PROXY_ENDPOINT", member_str(proxy, "Endpoint", ""));
        }
        size_t k;
        json_t *auth;
        json_array_foreach (member_array(proxy, "Auth"), k, auth) {
            const char *arn = member_str(auth, "SecretArn", "");
            if (i == 0 && k == 0) {
                env_set(env, "DB_SECRET_ARN", arn);
            }
            secret_lines(env, view, proxy, arn);
        }
    }
}

/* ---- caches ------------------------------------------------------------------------------------
 */

static bool env_caches(Env *env, const json_t *view, Err *err)
{
    const json_t *group = json_array_get(member_array(view, "caches"), 0);
    const char *host;
    int port;
    if (group == NULL || !view_cache_endpoint(group, "PrimaryEndpoint", &host, &port)) {
        return true;
    }
    env_set(env, "REDIS_HOST", host);
    env_set(env, "REDIS_PORT", arena_printf(env->arena, "%d", port));
    if (view_cache_endpoint(group, "ReaderEndpoint", &host, &port)) {
        env_set(env, "REDIS_READER_HOST", host);
    }
    if (!member_bool(group, "AuthTokenEnabled", false)) {
        return true;
    }
    CLEANUP(record_free_ptr)
    json_t *token = cli_call(
        env->cli, "weir", "GetAuthToken",
        json_pack("{s:s}", "ReplicationGroupId", member_str(group, "ReplicationGroupId", "")), err);
    env_set(env, "REDIS_AUTH_TOKEN", member_str(token, "AuthToken", ""));
    return token != NULL;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

json_t *env_load(Cli *cli, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    Env env = {.cli = cli, .arena = arena, .vars = json_object()};
    buf_init(&env.passwords, BUF_MAX_DEFAULT);
    bool ok = view != NULL && env_tier(&env, err);
    if (ok) {
        env_proxies(&env, view);
        ok = env_caches(&env, view, err) && file_write(member_str(env.vars, "PGPASSFILE", ""),
                                                       buf_slice(&env.passwords), 0600, err);
    }
    if (env.passwords.data != NULL) {
        crypto_wipe(env.passwords.data, env.passwords.len);
    }
    buf_done(&env.passwords);
    if (!ok) {
        json_decref(env.vars);
        return NULL;
    }
    return env.vars;
}

/* 'text' for a POSIX shell. */
static void shell_quote(const char *text, FILE *out)
{
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", out);
        } else {
            fputc(*text, out);
        }
    }
    fputc('\'', out);
}

int env_main(int argc, char **argv)
{
    static const CliSpec spec = {
        .usage =
            "usage: eval \"$(weir env [--data DIR])\"\n       weir env [--data DIR] -o json\n\n"
            "Prints what applications need to find the tier: endpoints, the API's address and "
            "keys,\nthe CA, and a password file for psql. It prints secrets.\n"};
    Cli cli;
    Err err;
    if (!cli_options(&cli, argc, argv, &spec)) {
        int status = cli.help ? 0 : err_exit_code(ERR_INVALID);
        cli_done(&cli);
        return status;
    }
    json_t *vars = cli_connect(&cli, &err) ? env_load(&cli, &err) : NULL;
    int status = vars == NULL ? cli_fail(&err) : 0;
    if (vars != NULL && cli.format == CLI_JSON) {
        cli_print_json(vars);
    } else if (vars != NULL) {
        const char *name;
        json_t *value;
        json_object_foreach (vars, name, value) {
            printf("export %s=", name);
            shell_quote(json_string_value(value), stdout);
            fputc('\n', stdout);
        }
        json_decref(vars);
    }
    cli_done(&cli);
    return status;
}
