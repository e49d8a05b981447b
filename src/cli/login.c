/* See login_priv.h. An instance's password is known to the API, a proxy's users to its secrets. */
#include <stdio.h>

#include "cli/login_priv.h"

#define POSTGRES_PORT    5432
#define DATABASE_DEFAULT "postgres"

/* ---- asking -----------------------------------------------------------------------------------
 */

/* *ret_output is NULL where the API refuses. */
static bool ask(const Caller *caller, const char *service, const char *operation,
                json_t *input_taken, json_t **ret_output, Err *err)
{
    AwsFault fault = {0};
    if (caller_call(caller, service, operation, input_taken, ret_output, &fault, err)) {
        return true;
    }
    *ret_output = NULL;
    return fault.code[0] != '\0';
}

bool login_cache_token(const Caller *caller, Arena *arena, const json_t *group,
                       const char **ret_token, Err *err)
{
    CLEANUP(record_free_ptr) json_t *output = NULL;
    if (member_bool(group, "AuthTokenEnabled", false)) {
        const char *name = member_str(group, "ReplicationGroupId", "");
        TRY(caller_call(caller, "weir", "GetAuthToken",
                        json_pack("{s:s}", "ReplicationGroupId", name), &output, NULL, err));
    }
    const char *token = member_str(output, "AuthToken", NULL);
    *ret_token = token != NULL ? arena_strdup(arena, token) : NULL;
    return true;
}

/* ---- instances --------------------------------------------------------------------------------
 */

static const char *copy(const LoginList *logins, const json_t *object, const char *member,
                        const char *fallback)
{
    return arena_strdup(logins->arena, member_str(object, member, fallback));
}

static bool instance_add(const Caller *caller, const json_t *instance, LoginList *logins, Err *err)
{
    const json_t *endpoint = member_object(instance, "Endpoint");
    CLEANUP(record_free_ptr) json_t *output = NULL;
    Login login = {.name = copy(logins, instance, "DBInstanceIdentifier", ""),
                   .host = copy(logins, endpoint, "Address", ""),
                   .port = (int)member_int(endpoint, "Port", POSTGRES_PORT),
                   .user = copy(logins, instance, "MasterUsername", ""),
                   .database = copy(logins, instance, "DBName", DATABASE_DEFAULT)};
    TRY(ask(caller, "weir", "GetMasterUserPassword",
            json_pack("{s:s}", "DBInstanceIdentifier", login.name), &output, err));
    login.password = copy(logins, output, "MasterUserPassword", NULL);
    arena_vec_push(logins->arena, &logins->list, login);
    return true;
}

/* ---- proxies ----------------------------------------------------------------------------------
 */

/* The instance behind it, by the name that it has today; NULL: none yet. */
static bool target_find(const Caller *caller, const char *proxy, const LoginList *logins,
                        const Login **ret_target, Err *err)
{
    CLEANUP(record_free_ptr) json_t *targets = NULL;
    TRY(caller_list(caller, "rds", "DescribeDBProxyTargets",
                    json_pack("{s:s}", "DBProxyName", proxy), "Targets", &targets, err));
    const char *arn = member_str(json_array_get(targets, 0), "TargetArn", "");
    const char *colon = strrchr(arn, ':');
    *ret_target = colon != NULL ? logins_find(logins, colon + 1) : NULL;
    return true;
}

/* User and password of a secret; false where it does not hold them. */
static bool secret_parse(const LoginList *logins, const json_t *secret, Login *login)
{
    CLEANUP(record_free_ptr) json_t *fields = NULL;
    if (!record_parse(slice_of(member_str(secret, "SecretString", "")), &fields, NULL)) {
        return false;
    }
    login->user = copy(logins, fields, "username", NULL);
    login->password = copy(logins, fields, "password", NULL);
    return login->user != NULL && login->password != NULL;
}

/* Puts the login before or behind those that the proxy already has from `first` on. */
static void proxy_push(LoginList *logins, size_t first, bool in_front, Login login)
{
    arena_vec_push(logins->arena, &logins->list, login);
    if (in_front) {
        Login *items = logins->list.items;
        memmove(&items[first + 1], &items[first], (logins->list.len - 1 - first) * sizeof(Login));
        items[first] = login;
    }
}

static bool proxy_add(const Caller *caller, const json_t *proxy, LoginList *logins, Err *err)
{
    const Login *target;
    Login login = {.name = copy(logins, proxy, "DBProxyName", ""),
                   .host = copy(logins, proxy, "Endpoint", ""),
                   .port = POSTGRES_PORT};
    TRY(target_find(caller, login.name, logins, &target, err));
    const char *master = target != NULL ? target->user : DATABASE_DEFAULT;
    login.database = target != NULL ? target->database : DATABASE_DEFAULT;
    size_t first = logins->list.len;
    size_t i;
    json_t *auth;
    json_array_foreach (member_array(proxy, "Auth"), i, auth) {
        CLEANUP(record_free_ptr) json_t *secret = NULL;
        TRY(ask(caller, "secretsmanager", "GetSecretValue",
                json_pack("{s:s}", "SecretId", member_str(auth, "SecretArn", "")), &secret, err));
        if (secret_parse(logins, secret, &login)) {
            proxy_push(logins, first, strcmp(login.user, master) == 0, login);
        }
    }
    if (logins->list.len == first) {
        login.user = master;
        login.password = NULL;
        arena_vec_push(logins->arena, &logins->list, login);
    }
    return true;
}

/* Whoever signs in at a proxy signs in at its endpoints: logins from `first` to `last` are those of
 * the proxies. */
static void endpoint_add(const json_t *endpoint, size_t first, size_t last, LoginList *logins)
{
    const char *proxy = member_str(endpoint, "DBProxyName", "");
    const char *name = copy(logins, endpoint, "DBProxyEndpointName", "");
    const char *host = copy(logins, endpoint, "Endpoint", "");
    for (size_t i = first; i < last; i++) {
        Login login = logins->list.items[i];
        if (strcmp(login.name, proxy) == 0) {
            login.name = name;
            login.host = host;
            arena_vec_push(logins->arena, &logins->list, login);
        }
    }
}

/* ---- all of them ------------------------------------------------------------------------------
 */

bool logins_load(const Caller *caller, const json_t *view, LoginList *logins, Err *err)
{
    size_t i;
    json_t *item;
    json_array_foreach (member_array(view, "instances"), i, item) {
        TRY(instance_add(caller, item, logins, err));
    }
    size_t first = logins->list.len;
    json_array_foreach (member_array(view, "proxies"), i, item) {
        TRY(proxy_add(caller, item, logins, err));
    }
    size_t last = logins->list.len;
    json_array_foreach (member_array(view, "endpoints"), i, item) {
        endpoint_add(item, first, last, logins);
    }
    return true;
}

const Login *logins_find(const LoginList *logins, const char *name)
{
    for (size_t i = 0; i < logins->list.len; i++) {
        if (strcmp(logins->list.items[i].name, name) == 0) {
            return &logins->list.items[i];
        }
    }
    return NULL;
}

/* ---- the password file ------------------------------------------------------------------------
 */

/* ':' and '\' are escaped. */
static void field(Buf *out, const char *text, char end)
{
    for (; *text != '\0'; text++) {
        if (*text == ':' || *text == '\\') {
            buf_append_char(out, '\\');
        }
        buf_append_char(out, *text);
    }
    buf_append_char(out, end);
}

/* What a secret holds is anybody's; a line cannot hold another. */
static bool fits(const Login *login)
{
    return login->password != NULL && login->host[0] != '\0' && strchr(login->user, '\n') == NULL &&
           strchr(login->password, '\n') == NULL;
}

void logins_pgpass(const LoginList *logins, Buf *out)
{
    for (size_t i = 0; i < logins->list.len; i++) {
        const Login *login = &logins->list.items[i];
        char port[16];
        if (!fits(login)) {
            continue;
        }
        snprintf(port, sizeof(port), "%d", login->port);
        field(out, login->host, ':');
        field(out, port, ':');
        field(out, "*", ':');
        field(out, login->user, ':');
        field(out, login->password, '\n');
    }
}
