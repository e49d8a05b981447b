/*
 * `weir env`: what the guide's application reads, as shell assignments. The password file that it
 * names (mode 0600) lies in the tier's folder and is written anew each time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/login_priv.h"
#include "cli/plan/plan_priv.h"

typedef struct Env {
    Cli *cli;
    Arena *arena;
    json_t *vars;
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

/* Of the first endpoint of the proxy that leads to replicas; NULL: it has none. */
static const char *reader_host(const json_t *view, const char *proxy)
{
    size_t i;
    json_t *item;
    json_array_foreach (member_array(view, "endpoints"), i, item) {
        if (strcmp(member_str(item, "DBProxyName", ""), proxy) == 0 &&
            strcmp(member_str(item, "TargetRole", ""), "READ_ONLY") == 0) {
            return member_str(item, "Endpoint", NULL);
        }
    }
    return NULL;
}

/* Those of the first proxy; the password file has all of them. */
static void env_proxies(Env *env, const json_t *view)
{
    const json_t *proxy = json_array_get(member_array(view, "proxies"), 0);
    const json_t *auth = json_array_get(member_array(proxy, "Auth"), 0);
    const char *name = member_str(proxy, "DBProxyName", "");
    env_set(env, "DB_PROXY_ENDPOINT", member_str(proxy, "Endpoint", ""));
    env_set(env, "DB_PROXY_READER_ENDPOINT", reader_host(view, name));
    env_set(env, "DB_SECRET_ARN", member_str(auth, "SecretArn", ""));
}

static bool passwords_write(const Env *env, const LoginList *logins, Err *err)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    logins_pgpass(logins, &text);
    bool ok = file_write(member_str(env->vars, "PGPASSFILE", ""), buf_slice(&text), 0600, err);
    if (text.data != NULL) {
        crypto_wipe(text.data, text.len);
    }
    buf_done(&text);
    return ok;
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
    Caller caller = client_caller(env->cli->client);
    const char *token;
    TRY(login_cache_token(&caller, env->arena, group, &token, err));
    env_set(env, "REDIS_AUTH_TOKEN", token);
    return true;
}

/* ---- all of it ---------------------------------------------------------------------------------
 */

json_t *env_load(Cli *cli, Arena *arena, LoginList *ret_logins, Err *err)
{
    CLEANUP(record_free_ptr) json_t *view = view_load(cli, err);
    Caller caller = client_caller(cli->client);
    Env env = {.cli = cli, .arena = arena, .vars = json_object()};
    LoginList logins = {.arena = arena};
    bool ok = view != NULL && env_tier(&env, err) && logins_load(&caller, view, &logins, err);
    if (ok) {
        env_proxies(&env, view);
        ok = env_caches(&env, view, err) && passwords_write(&env, &logins, err);
    }
    if (!ok) {
        json_decref(env.vars);
        return NULL;
    }
    if (ret_logins != NULL) {
        *ret_logins = logins;
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
            "Prints what applications need to find the tier: endpoints, the API's address\n"
            "and keys, the CA, and a password file for psql. It prints secrets.\n",
        .has_json = true};
    Cli cli;
    Err err;
    if (!cli_options(&cli, argc, argv, &spec)) {
        int status = cli.help ? 0 : err_exit_code(ERR_INVALID);
        cli_done(&cli);
        return status;
    }
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    json_t *vars = cli_connect(&cli, &err) ? env_load(&cli, arena, NULL, &err) : NULL;
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
