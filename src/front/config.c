/*
 * What the agent sends (docs/front.md), read into a FrontConfig. A member that is missing or wrong
 * is named; what is not known is refused, for somebody will have meant something by it.
 */
#include <stdio.h>

#include "front/front_priv.h"

#define HOLD_MS_MIN 100 /* a connection takes its time */

/* ---- members ----------------------------------------------------------------------------------
 */

static bool known_members(const json_t *object, const char *where, const char *const *known,
                          Err *err)
{
    if (!json_is_object(object)) {
        return err_set(err, ERR_INVALID, "%s is not an object", where);
    }
    json_t *all = (json_t *)(uintptr_t)object;
    for (void *at = json_object_iter(all); at != NULL; at = json_object_iter_next(all, at)) {
        const char *name = json_object_iter_key(at);
        const char *const *word = known;
        while (*word != NULL && strcmp(*word, name) != 0) {
            word++;
        }
        if (*word == NULL) {
            return err_set(err, ERR_UNSUPPORTED, "%s.%s is not known", where, name);
        }
    }
    return true;
}

static bool take_text(const json_t *object, const char *where, const char *name,
                      const char **ret_text, Err *err)
{
    const char *text = json_string_value(json_object_get(object, name));
    if (text == NULL || text[0] == '\0') {
        return err_set(err, ERR_INVALID, "%s.%s is not a text", where, name);
    }
    *ret_text = text;
    return true;
}

/* Absent: stays as it is. */
static bool take_number(const json_t *object, const char *where, const char *name, int64_t min,
                        int64_t max, int64_t *number, Err *err)
{
    const json_t *value = json_object_get(object, name);
    if (value == NULL) {
        return true;
    }
    if (!json_is_integer(value) || json_integer_value(value) < min ||
        json_integer_value(value) > max) {
        return err_set(err, ERR_INVALID, "%s.%s is not a number from %lld to %lld", where, name,
                       (long long)min, (long long)max);
    }
    *number = json_integer_value(value);
    return true;
}

static bool take_bool(const json_t *object, const char *where, const char *name, bool *ret_value,
                      Err *err)
{
    const json_t *value = json_object_get(object, name);
    if (!json_is_boolean(value)) {
        return err_set(err, ERR_INVALID, "%s.%s is not true or false", where, name);
    }
    *ret_value = json_is_true(value);
    return true;
}

static bool take_array(const json_t *object, const char *where, const char *name, size_t max,
                       const json_t **ret_array, Err *err)
{
    const json_t *array = json_object_get(object, name);
    if (!json_is_array(array) || json_array_size(array) > max) {
        return err_set(err, ERR_INVALID, "%s.%s is not a list of at most %zu", where, name, max);
    }
    *ret_array = array;
    return true;
}

static bool take_addr(const json_t *object, const char *where, NetAddr *ret_addr, Err *err)
{
    const char *address = NULL;
    int64_t port = 0;
    TRY(take_text(object, where, "address", &address, err));
    TRY(take_number(object, where, "port", 1, 65535, &port, err));
    if (port == 0) {
        return err_set(err, ERR_INVALID, "%s.port is missing", where);
    }
    return net_addr_parse(address, (uint16_t)port, ret_addr, err);
}

/* One of two words. */
static bool take_choice(const json_t *object, const char *where, const char *name,
                        const char *first, const char *second, bool *ret_is_second, Err *err)
{
    const char *word = NULL;
    TRY(take_text(object, where, name, &word, err));
    *ret_is_second = strcmp(word, second) == 0;
    return *ret_is_second || strcmp(word, first) == 0 ||
           err_set(err, ERR_INVALID, "%s.%s is neither %s nor %s", where, name, first, second);
}

/* ---- parts ------------------------------------------------------------------------------------
 */

static const char *member_text(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    return text != NULL ? text : "";
}

static bool parse_listener(FrontConfig *config, const json_t *json, const char *where, Err *err)
{
    static const char *const known[] = {"endpoint", "address", "port", "tls",
                                        "cert_pem", "key_pem", NULL};
    FrontListenerConfig listener = {0};
    const char *cert = NULL, *key = NULL;
    bool tls = false;
    TRY(known_members(json, where, known, err));
    listener.sentinel = strcmp(member_text(json, "endpoint"), "sentinel") == 0;
    TRY(listener.sentinel ||
        take_choice(json, where, "endpoint", "primary", "reader", &listener.reader, err));
    TRY(take_addr(json, where, &listener.addr, err));
    TRY(take_bool(json, where, "tls", &tls, err));
    if (tls) {
        TRY(take_text(json, where, "cert_pem", &cert, err));
        TRY(take_text(json, where, "key_pem", &key, err));
        TlsServerOptions options = {.cert_pem = slice_of(cert), .key_pem = slice_of(key)};
        TRY(tls_server_context_new(&options, &listener.tls, err));
    }
    vec_push(&config->listeners, listener);
    return true;
}

static bool parse_node(FrontConfig *config, const json_t *json, const char *where, Err *err)
{
    static const char *const known[] = {"id",        "address", "port", "role",
                                        "available", "handed",  NULL};
    FrontNodeConfig node = {0};
    const char *id = NULL, *host = NULL;
    bool replica = false;
    TRY(known_members(json, where, known, err));
    TRY(take_text(json, where, "id", &id, err));
    TRY(take_text(json, where, "address", &host, err));
    TRY(take_addr(json, where, &node.addr, err));
    TRY(take_choice(json, where, "role", "primary", "replica", &replica, err));
    TRY(take_bool(json, where, "available", &node.available, err));
    TRY(json_object_get(json, "handed") == NULL ||
        take_bool(json, where, "handed", &node.handed, err));
    node.primary = !replica;
    for (size_t i = 0; i < config->nodes.len; i++) {
        if (strcmp(config->nodes.items[i].id, id) == 0) {
            return err_set(err, ERR_INVALID, "two nodes are called %s", id);
        }
        if (node.primary && config->nodes.items[i].primary) {
            return err_set(err, ERR_INVALID, "%s and %s are both the primary",
                           config->nodes.items[i].id, id);
        }
    }
    node.id = mem_strdup(id);
    node.host = mem_strdup(host);
    vec_push(&config->nodes, node);
    return true;
}

static bool parse_rule(FrontConfig *config, const json_t *json, const char *where, Err *err)
{
    static const char *const known[] = {"cidr", NULL};
    const char *text = NULL;
    NetCidr cidr;
    TRY(known_members(json, where, known, err));
    TRY(take_text(json, where, "cidr", &text, err));
    TRY(net_cidr_parse(slice_of(text), &cidr, err));
    vec_push(&config->rules, cidr);
    return true;
}

static bool parse_token(FrontConfig *config, const json_t *json, const char *where, Err *err)
{
    Secret token = {0};
    if (json_string_length(json) == 0) {
        return err_set(err, ERR_INVALID, "%s is not a text", where);
    }
    secret_set(&token, slice_from(json_string_value(json), json_string_length(json)));
    vec_push(&config->tokens, token);
    return true;
}

typedef bool ParsePart(FrontConfig *config, const json_t *json, const char *where, Err *err);

static bool parse_list(FrontConfig *config, const json_t *json, const char *name, size_t max,
                       ParsePart *parse, Err *err)
{
    const json_t *list = NULL;
    TRY(take_array(json, "config", name, max, &list, err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        char where[64];
        snprintf(where, sizeof(where), "%s[%zu]", name, i);
        if (!parse(config, json_array_get(list, i), where, err)) {
            return err_wrap(err, "%s", where);
        }
    }
    return true;
}

static bool parse_backend(FrontConfig *config, const json_t *json, Err *err)
{
    static const char *const known[] = {"user", "password", "ca_pem", "cert_pem", "key_pem", NULL};
    const char *user = NULL, *password = NULL;
    TRY(known_members(json, "backend", known, err));
    TRY(take_text(json, "backend", "user", &user, err));
    TRY(take_text(json, "backend", "password", &password, err));
    config->backend_user = mem_strdup(user);
    secret_set(&config->backend_password, slice_of(password));
    const char *ca = json_string_value(json_object_get(json, "ca_pem"));
    if (ca == NULL) {
        return true;
    }
    TlsClientOptions options = {
        .ca_pem = slice_of(ca),
        .cert_pem = slice_of(json_string_value(json_object_get(json, "cert_pem"))),
        .key_pem = slice_of(json_string_value(json_object_get(json, "key_pem"))),
    };
    return tls_client_context_new(&options, &config->backend_tls, err);
}

static bool parse_durable(FrontConfig *config, const json_t *json, Err *err)
{
    static const char *const known[] = {"user", "wait_ms", NULL};
    const char *user = NULL;
    if (json == NULL) {
        return true;
    }
    TRY(known_members(json, "durable", known, err));
    TRY(take_text(json, "durable", "user", &user, err));
    TRY(take_number(json, "durable", "wait_ms", HOLD_MS_MIN, 600000, &config->durable_ms, err));
    config->gate_user = mem_strdup(user);
    config->durable = true;
    return true;
}

static bool parse_limits(FrontConfig *config, const json_t *json, Err *err)
{
    int64_t clients = FRONT_CLIENTS_MAX_DEFAULT;
    int64_t idle_s = 0;
    int64_t drain_s = UPGRADE_DRAIN_DEFAULT;
    TRY(take_number(json, "config", "clients_max", 1, 1000000, &clients, err));
    TRY(take_number(json, "config", "idle_timeout_s", 0, INT32_MAX, &idle_s, err));
    TRY(take_number(json, "config", "hold_ms", HOLD_MS_MIN, 600000, &config->hold_ms, err));
    TRY(take_number(json, "config", "upgrade_drain_s", 1, UPGRADE_DRAIN_MAX, &drain_s, err));
    config->upgrade_drain_ms = drain_s * MS_PER_S;
    config->clients_max = (size_t)clients;
    config->idle_timeout_ms = idle_s * MS_PER_S;
    return true;
}

static bool parse_all(FrontConfig *config, const json_t *json, Err *err)
{
    static const char *const known[] = {
        "kind",           "listeners",   "nodes",   "security_rules",  "backend", "auth_tokens",
        "idle_timeout_s", "clients_max", "hold_ms", "upgrade_drain_s", "hold",    "group",
        "durable",        NULL};
    TRY(known_members(json, "config", known, err));
    TRY(parse_list(config, json, "listeners", FRONT_LISTENERS_MAX, parse_listener, err));
    TRY(parse_list(config, json, "nodes", FRONT_NODES_MAX, parse_node, err));
    TRY(parse_list(config, json, "security_rules", FRONT_RULES_MAX, parse_rule, err));
    TRY(parse_list(config, json, "auth_tokens", FRONT_TOKENS_MAX, parse_token, err));
    TRY(parse_backend(config, json_object_get(json, "backend"), err));
    TRY(parse_durable(config, json_object_get(json, "durable"), err));
    config->group = mem_strdup(member_text(json, "group"));
    TRY(json_object_get(json, "hold") == NULL ||
        take_bool(json, "config", "hold", &config->hold, err));
    return parse_limits(config, json, err);
}

bool front_config_parse(const json_t *json, FrontConfig **ret_config, Err *err)
{
    FrontConfig *config = mem_alloc(sizeof(FrontConfig));
    config->hold_ms = FRONT_HOLD_MS_DEFAULT;
    config->durable_ms = FRONT_DURABLE_MS_DEFAULT;
    if (!parse_all(config, json, err)) {
        front_config_free(config);
        return false;
    }
    *ret_config = config;
    return true;
}

void front_config_free(FrontConfig *config)
{
    if (config == NULL) {
        return;
    }
    for (size_t i = 0; i < config->listeners.len; i++) {
        tls_context_free(config->listeners.items[i].tls);
    }
    for (size_t i = 0; i < config->nodes.len; i++) {
        mem_free(config->nodes.items[i].id);
        mem_free(config->nodes.items[i].host);
    }
    for (size_t i = 0; i < config->tokens.len; i++) {
        secret_done(&config->tokens.items[i]);
    }
    vec_done(&config->listeners);
    vec_done(&config->nodes);
    vec_done(&config->rules);
    vec_done(&config->tokens);
    mem_free(config->group);
    mem_free(config->backend_user);
    mem_free(config->gate_user);
    secret_done(&config->backend_password);
    tls_context_free(config->backend_tls);
    mem_free(config);
}

bool front_token_fits(const FrontConfig *config, Slice token)
{
    bool fits = false;
    for (size_t i = 0; i < config->tokens.len; i++) {
        fits = secret_eq(&config->tokens.items[i], token) || fits;
    }
    return fits;
}
