/* JSON to ProxyConfig. A Reader walks one object: each take_ function reads one member, and what
 * was not taken at the end is unknown, and refused by name. The first error wins. */
#include <stdio.h>

#include "proxy/config_priv.h"

#define MEMBERS_MAX 16 /* of one object */

typedef struct Reader {
    const json_t *object;
    const char *path;               /* for messages: "pool.target" */
    const char *known[MEMBERS_MAX]; /* the members that were asked for */
    size_t known_count;
    bool failed;
    Err *err;
} Reader;

PRINTF_LIKE(2, 3) static void reader_fail(Reader *reader, const char *format, ...)
{
    if (!reader->failed) {
        va_list args;
        char text[512];
        va_start(args, format);
        vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        err_set(reader->err, ERR_INVALID, "proxy configuration: %s", text);
    }
    reader->failed = true;
}

static Reader reader_of(const json_t *object, const char *path, Err *err)
{
    Reader reader = {.object = object, .path = path, .err = err};
    if (!json_is_object(object)) {
        reader_fail(&reader, "%s must be an object", path);
    }
    return reader;
}

static json_t *take(Reader *reader, const char *name)
{
    ASSERT(reader->known_count < MEMBERS_MAX);
    reader->known[reader->known_count++] = name;
    return json_object_get(reader->object, name);
}

/* NULL where it is absent or null; required ones must not be. */
static char *take_text(Reader *reader, const char *name, bool required)
{
    json_t *value = take(reader, name);
    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value)) {
        return mem_strdup(json_string_value(value));
    }
    if ((value != NULL && !json_is_null(value)) || required) {
        reader_fail(reader, "%s.%s must be a text", reader->path, name);
    }
    return NULL;
}

static int64_t take_int(Reader *reader, const char *name, int64_t fallback, int64_t min,
                        int64_t max)
{
    json_t *value = take(reader, name);
    if (value == NULL) {
        return fallback;
    }
    int64_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < min || number > max) {
        reader_fail(reader, "%s.%s must be a number from %lld to %lld", reader->path, name,
                    (long long)min, (long long)max);
        return min;
    }
    return number;
}

static bool take_bool(Reader *reader, const char *name)
{
    json_t *value = take(reader, name);
    if (value != NULL && !json_is_boolean(value)) {
        reader_fail(reader, "%s.%s must be true or false", reader->path, name);
    }
    return json_is_true(value);
}

static json_t *take_array(Reader *reader, const char *name, size_t min, size_t max)
{
    json_t *value = take(reader, name);
    if (value != NULL && !json_is_array(value)) {
        reader_fail(reader, "%s.%s must be a list", reader->path, name);
    } else if (json_array_size(value) < min || json_array_size(value) > max) {
        reader_fail(reader, "%s.%s must have %zu to %zu items", reader->path, name, min, max);
    }
    return reader->failed ? NULL : value;
}

static bool reader_knows(const Reader *reader, const char *name)
{
    for (size_t i = 0; i < reader->known_count; i++) {
        if (strcmp(reader->known[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static void reader_end(Reader *reader)
{
    json_t *object = (json_t *)(uintptr_t)reader->object;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        if (!reader_knows(reader, json_object_iter_key(at))) {
            reader_fail(reader, "%s.%s is not known here", reader->path, json_object_iter_key(at));
        }
    }
}

static bool pass_on(Reader *outer, const Reader *inner)
{
    outer->failed = outer->failed || inner->failed;
    return !outer->failed;
}

/* ---- rules -------------------------------------------------------------------------------------
 */

bool proxy_config_admits(const ProxyConfig *config, const NetAddr *peer, uint16_t port)
{
    for (size_t i = 0; i < config->rule_count; i++) {
        const ProxyRule *rule = &config->rules[i];
        if (port >= rule->from_port && port <= rule->to_port && net_cidr_has(&rule->cidr, peer)) {
            return true;
        }
    }
    return !config->rules_given;
}

static void parse_rule(Reader *outer, const json_t *item, ProxyRule *rule)
{
    Reader reader = reader_of(item, "security_rules[]", outer->err);
    CLEANUP(mem_free_ptr) char *cidr = take_text(&reader, "cidr", true);
    Err problem;
    if (!reader.failed && !net_cidr_parse(slice_of(cidr), &rule->cidr, &problem)) {
        reader_fail(&reader, "security_rules: %s", problem.message);
    }
    rule->from_port = (uint16_t)take_int(&reader, "from_port", 0, 0, UINT16_MAX);
    rule->to_port = (uint16_t)take_int(&reader, "to_port", UINT16_MAX, 0, UINT16_MAX);
    reader_end(&reader);
    pass_on(outer, &reader);
}

static void parse_rules(Reader *reader, ProxyConfig *config)
{
    config->rules_given = json_object_get(reader->object, "security_rules") != NULL;
    const json_t *list = take_array(reader, "security_rules", 0, PROXY_RULES_MAX);
    size_t count = json_array_size(list);
    config->rules = mem_alloc((count + 1) * sizeof(ProxyRule));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        parse_rule(reader, json_array_get(list, i), &config->rules[i]);
        config->rule_count++;
    }
}

/* ---- listeners, users, target ------------------------------------------------------------------
 */

static void take_secret(Reader *reader, const char *name, bool required, Secret *secret)
{
    json_t *value = take(reader, name);
    if (json_is_string(value)) {
        secret_set(secret, slice_from(json_string_value(value), json_string_length(value)));
    } else if (required || (value != NULL && !json_is_null(value))) {
        reader_fail(reader, "%s.%s must be a text", reader->path, name);
    }
}

static void parse_listener(Reader *outer, const json_t *item, ProxyListener *listener)
{
    Reader reader = reader_of(item, "listeners[]", outer->err);
    listener->address = take_text(&reader, "address", true);
    listener->port = (uint16_t)take_int(&reader, "port", 5432, 1, UINT16_MAX);
    listener->cert_pem = take_text(&reader, "cert_pem", false);
    take_secret(&reader, "key_pem", listener->cert_pem != NULL, &listener->key_pem);
    reader_end(&reader);
    pass_on(outer, &reader);
}

static void parse_listeners(Reader *reader, ProxyConfig *config)
{
    const json_t *list = take_array(reader, "listeners", 1, PROXY_LISTENERS_MAX);
    for (size_t i = 0; i < json_array_size(list) && !reader->failed; i++) {
        config->listener_count++;
        parse_listener(reader, json_array_get(list, i), &config->listeners[i]);
    }
}

static void parse_target(Reader *outer, ProxyTarget *target)
{
    json_t *json = take(outer, "target");
    if (json == NULL || json_is_null(json)) {
        return; /* there is none at present */
    }
    Reader reader = reader_of(json, "target", outer->err);
    target->id = take_text(&reader, "id", false);
    target->socket_dir = take_text(&reader, "socket_dir", true);
    target->port = (uint16_t)take_int(&reader, "port", 5432, 1, UINT16_MAX);
    target->max_connections =
        (uint32_t)take_int(&reader, "max_connections", 100, 1, PROXY_SERVERS_MAX);
    reader_end(&reader);
    if (target->id == NULL) {
        target->id = mem_strdup("target");
    }
    pass_on(outer, &reader);
}

static void parse_user(Reader *outer, const json_t *item, ProxyUser *user)
{
    Reader reader = reader_of(item, "pool.users[]", outer->err);
    user->name = take_text(&reader, "user", true);
    take_secret(&reader, "password", true, &user->password);
    reader_end(&reader);
    pass_on(outer, &reader);
}

static void parse_users(Reader *reader, ProxyConfig *config)
{
    const json_t *list = take_array(reader, "users", 0, PROXY_USERS_MAX);
    size_t count = json_array_size(list);
    config->users = mem_alloc((count + 1) * sizeof(ProxyUser));
    for (size_t i = 0; i < count && !reader->failed; i++) {
        ProxyUser *user = &config->users[config->user_count++];
        parse_user(reader, json_array_get(list, i), user);
        if (!reader->failed && proxy_config_user(config, slice_of(user->name)) != user) {
            reader_fail(reader, "pool.users has %s twice", user->name);
        }
    }
}

static uint32_t percent_of(uint32_t count, int64_t percent)
{
    uint32_t part = (uint32_t)((uint64_t)count * (uint64_t)percent / 100);
    return part > 0 ? part : 1;
}

static void parse_pool(Reader *outer, ProxyConfig *config)
{
    Reader reader = reader_of(take(outer, "pool"), "pool", outer->err);
    parse_users(&reader, config);
    parse_target(&reader, &config->target);
    int64_t percent = take_int(&reader, "max_connections_percent", 100, 1, 100);
    int64_t idle_percent = take_int(&reader, "max_idle_connections_percent", percent / 2, 0, 100);
    config->servers_max = percent_of(config->target.max_connections, percent);
    config->servers_idle_max =
        idle_percent == 0 ? 0 : percent_of(config->target.max_connections, idle_percent);
    config->borrow_ms = MS_PER_S * take_int(&reader, "connection_borrow_timeout_s",
                                            PROXY_BORROW_TIMEOUT_DEFAULT, 0, 3600);
    config->idle_server_ms =
        MS_PER_S * take_int(&reader, "idle_server_timeout_s", PROXY_IDLE_SERVER_DEFAULT, 1, 86400);
    config->target.read_only = take_bool(&reader, "read_only");
    config->init_query = take_text(&reader, "init_query", false);
    if (config->init_query != NULL && config->init_query[0] == '\0') {
        mem_free(config->init_query);
        config->init_query = NULL;
    }
    reader_end(&reader);
    pass_on(outer, &reader);
}

static void parse_relay(Reader *outer, ProxyConfig *config)
{
    Reader reader = reader_of(take(outer, "relay"), "relay", outer->err);
    parse_target(&reader, &config->target);
    reader_end(&reader);
    pass_on(outer, &reader);
}

static void parse_kind(Reader *reader, ProxyConfig *config)
{
    CLEANUP(mem_free_ptr) char *kind = take_text(reader, "kind", true);
    if (reader->failed) {
        return;
    }
    config->relay = strcmp(kind, "relay") == 0;
    if (config->relay) {
        parse_relay(reader, config);
    } else if (strcmp(kind, "pool") == 0) {
        parse_pool(reader, config);
    } else {
        reader_fail(reader, "kind must be relay or pool, not %s", kind);
    }
}

bool proxy_config_parse(const json_t *json, ProxyConfig **ret_config, Err *err)
{
    ProxyConfig *config = mem_alloc(sizeof(ProxyConfig));
    atomic_init(&config->refs, 1);
    Reader reader = reader_of(json, "proxy", err);
    parse_listeners(&reader, config);
    parse_rules(&reader, config);
    parse_kind(&reader, config);
    config->require_tls = take_bool(&reader, "require_tls");
    config->debug_logging = take_bool(&reader, "debug_logging");
    config->workers =
        (uint32_t)take_int(&reader, "workers", PROXY_WORKERS_DEFAULT, 1, PROXY_WORKERS_MAX);
    config->clients_max =
        (uint32_t)take_int(&reader, "max_clients", PROXY_CLIENTS_MAX_DEFAULT, 1, PROXY_CLIENTS_MAX);
    config->idle_client_ms =
        MS_PER_S * take_int(&reader, "idle_client_timeout_s",
                            config->relay ? 0 : PROXY_IDLE_CLIENT_DEFAULT, 0, 28800);
    reader_end(&reader);
    if (reader.failed) {
        proxy_config_unref(config);
        return false;
    }
    *ret_config = config;
    return true;
}

/* ---- life --------------------------------------------------------------------------------------
 */

ProxySocket *proxy_socket_ref(ProxySocket *socket)
{
    atomic_fetch_add(&socket->refs, 1);
    return socket;
}

void proxy_socket_unref(ProxySocket *socket)
{
    if (socket != NULL && atomic_fetch_sub(&socket->refs, 1) == 1) {
        fd_close(&socket->fd);
        mem_free(socket->address);
        mem_free(socket);
    }
}

static void listener_done(ProxyListener *listener)
{
    mem_free(listener->address);
    mem_free(listener->cert_pem);
    secret_done(&listener->key_pem);
    proxy_socket_unref(listener->socket);
    for (size_t i = 0; i < PROXY_WORKERS_MAX; i++) {
        tls_context_free(listener->tls[i]);
    }
}

ProxyConfig *proxy_config_ref(ProxyConfig *config)
{
    atomic_fetch_add(&config->refs, 1);
    return config;
}

void proxy_config_unref(ProxyConfig *config)
{
    if (config == NULL || atomic_fetch_sub(&config->refs, 1) != 1) {
        return;
    }
    for (size_t i = 0; i < config->listener_count; i++) {
        listener_done(&config->listeners[i]);
    }
    for (size_t i = 0; i < config->user_count; i++) {
        mem_free(config->users[i].name);
        secret_done(&config->users[i].password);
    }
    mem_free(config->users);
    mem_free(config->rules);
    mem_free(config->target.id);
    mem_free(config->target.socket_dir);
    mem_free(config->init_query);
    crypto_wipe(config, sizeof(*config));
    mem_free(config);
}

const ProxyUser *proxy_config_user(const ProxyConfig *config, Slice name)
{
    for (size_t i = 0; i < config->user_count; i++) {
        if (config->users[i].name != NULL && slice_is(name, config->users[i].name)) {
            return &config->users[i];
        }
    }
    return NULL;
}
