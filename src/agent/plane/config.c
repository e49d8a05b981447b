/*
 * From a plane's goal, in which nothing is secret, to the configuration that its process gets. Pure
 * but for the certificates it issues.
 */
#include <stdio.h>
#include <stdlib.h>

#include "agent/plane/plane_parts_priv.h"

#define CONFIG_DEPTH_MAX 16

typedef struct Expander {
    const AgentOptions *options;
    Arena *arena;
    Err *err;
} Expander;

static json_t *expand(Expander *expander, const json_t *value, int depth);

static json_t *expand_string(Expander *expander, const char *text)
{
    const AgentOptions *options = expander->options;
    if (strncmp(text, "$net.", 5) == 0) {
        return json_string(arena_printf(expander->arena, "%s.%s", options->net, text + 5));
    }
    if (strncmp(text, "$at.", 4) == 0) {
        return json_string(plane_node_address(options, expander->arena, text + 4));
    }
    if (strncmp(text, "$run/", 5) == 0) {
        return json_string(arena_printf(expander->arena, "%s/%s", options->run_dir, text + 5));
    }
    if (strcmp(text, "$own_roles") == 0) {
        return json_pack("[s, s, s]", PG_SUPERUSER, PG_REPLICATION_USER, PG_PULSE_USER);
    }
    if (strcmp(text, "$ca") == 0) {
        return json_stringn(options->ca_cert_pem.data, options->ca_cert_pem.len);
    }
    return json_string(text);
}

static bool open_sealed(Expander *expander, const json_t *object, const char *member,
                        Secret *secret)
{
    return secret_unseal(expander->options->master_key, slice_of(member_str(object, "context", "")),
                         slice_of(member_str(object, member, "")), secret, expander->err);
}

static json_t *expand_sealed(Expander *expander, const json_t *object, int depth)
{
    (void)depth;
    CLEANUP(secret_done) Secret secret = {0};
    if (!open_sealed(expander, object, "$sealed", &secret)) {
        return NULL;
    }
    Slice text = secret_reveal(&secret);
    json_t *value = json_stringn(text.data, text.len);
    if (value == NULL) {
        err_set(expander->err, ERR_INVALID, "a secret is not UTF-8 text");
    }
    return value;
}

/* The secret's form is the one RDS Proxy wants: {"username": …, "password": …}. What else the
 * object has stays beside them. */
static json_t *expand_credentials(Expander *expander, const json_t *object, int depth)
{
    (void)depth;
    CLEANUP(secret_done) Secret secret = {0};
    if (!open_sealed(expander, object, "$credentials", &secret)) {
        return NULL;
    }
    CLEANUP(record_free_ptr) json_t *parsed = NULL;
    if (!record_parse(secret_reveal(&secret), &parsed, NULL) ||
        member_str(parsed, "username", NULL) == NULL ||
        member_str(parsed, "password", NULL) == NULL) {
        err_set(expander->err, ERR_INVALID,
                "the secret %s is not JSON with \"username\" and \"password\"",
                member_str(object, "context", ""));
        return NULL;
    }
    if (pg_is_own_role(member_str(parsed, "username", ""))) {
        err_set(expander->err, ERR_INVALID, "the secret %s is of the role %s, which is Weir's own",
                member_str(object, "context", ""), member_str(parsed, "username", ""));
        return NULL;
    }
    json_t *user = json_copy((json_t *)(uintptr_t)object);
    json_object_del(user, "$credentials");
    json_object_del(user, "context");
    json_object_set(user, "user", json_object_get(parsed, "username"));
    json_object_set(user, "password", json_object_get(parsed, "password"));
    return user;
}

/* The names of a server's certificate, ended by NULL. All of 127/8 is localhost, and that is what
 * some clients check where the host is an address (pg for Node before 8.23.1). */
static const char **expand_names(Expander *expander, const json_t *wanted)
{
    VEC(const char *) names = {0};
    bool local = false;
    size_t i;
    json_t *name;
    json_array_foreach (wanted, i, name) {
        CLEANUP(record_free_ptr)
        json_t *expanded = expand_string(expander, json_string_value(name));
        const char *text = arena_strdup(expander->arena, json_string_value(expanded));
        arena_vec_push(expander->arena, &names, text);
        local = local || strncmp(text, "127.", 4) == 0;
    }
    if (local) {
        arena_vec_push(expander->arena, &names, "localhost");
    }
    arena_vec_push(expander->arena, &names, NULL);
    return names.items;
}

static bool expand_cert(Expander *expander, const json_t *wanted, bool server, json_t *into)
{
    const char **names = expand_names(expander, wanted);
    const char *common_name = server ? names[0] : json_string_value(wanted);
    const CertSpec spec = {.common_name = common_name,
                           .names = server ? names : NULL,
                           .server = server,
                           .client = !server,
                           .valid_days = CERT_END_DAYS};
    CLEANUP(secret_done) Secret key = {0};
    Buf cert;
    buf_init(&cert, BUF_MAX_DEFAULT);
    bool ok = cert_issue(expander->options->ca_cert_pem, expander->options->ca_key_pem, &spec,
                         &cert, &key, expander->err);
    if (ok) {
        json_object_set_new(into, "cert_pem", json_stringn(cert.data, cert.len));
        Slice pem = secret_reveal(&key);
        json_object_set_new(into, "key_pem", json_stringn(pem.data, pem.len));
    }
    buf_done(&cert);
    return ok;
}

static bool expand_member(Expander *expander, const char *name, const json_t *member, json_t *into,
                          int depth)
{
    if (strcmp(name, "$server_cert") == 0) {
        return expand_cert(expander, member, true, into);
    }
    if (strcmp(name, "$client_cert") == 0) {
        return expand_cert(expander, member, false, into);
    }
    json_t *value = expand(expander, member, depth + 1);
    return value != NULL && json_object_set_new(into, name, value) == 0;
}

static json_t *expand_object(Expander *expander, const json_t *object, int depth);

/* Members besides `mark` and "relay" stay, unless the target says them itself. */
static json_t *expand_target(Expander *expander, const json_t *object, const char *mark,
                             const char *node, int depth)
{
    CLEANUP(record_free_ptr) json_t *rest = json_copy((json_t *)(uintptr_t)object);
    CLEANUP(record_free_ptr)
    json_t *target = plane_node_target(expander->options, node, member_str(object, "relay", "0.0"));
    if (json_is_null(target)) {
        return json_null();
    }
    json_object_del(rest, mark);
    json_object_del(rest, "relay");
    json_object_update(rest, target);
    return expand_object(expander, rest, depth + 1);
}

/* Where commits wait for standbys, the plane is told who may ask whether they do; and not to let
 * anybody answer who may not have heard that a standby on another host leads (RULES F9). */
static void tell_pulse(json_t *target, bool several_hosts)
{
    if (!member_bool(target, "synchronous", false)) {
        return;
    }
    json_object_set_new(target, "probe_user", json_string(PG_PULSE_USER));
    if (several_hosts) {
        json_object_set_new(target, "right_to_answer", json_string("enforced"));
    }
}

static json_t *expand_leader(Expander *expander, const json_t *object, int depth)
{
    const char *node =
        plane_leader(expander->options, expander->arena, member_str(object, "$leader", ""));
    json_t *target =
        node != NULL ? expand_target(expander, object, "$leader", node, depth) : json_null();
    bool several = hosts_are_several(expander->options->hosts);
    tell_pulse(target, several);
    if (json_is_object(target) && several) {
        json_object_set_new(target, "deposed", plane_peers_new(expander->options, node));
    }
    return target;
}

static json_t *expand_group_member(Expander *expander, const json_t *object, int depth)
{
    CLEANUP(record_free_ptr) json_t *rest = json_copy((json_t *)(uintptr_t)object);
    CLEANUP(record_free_ptr)
    json_t *part = plane_group_member(expander->options, member_str(object, "$member", ""),
                                      member_str(object, "id", ""));
    json_object_del(rest, "$member");
    json_object_update(rest, part);
    return expand_object(expander, rest, depth + 1);
}

static void aim_put(json_t *part, Buf *out)
{
    char *text = json_dumps(part, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    buf_append_str(out, text);
    buf_append_char(out, ' ');
    free(text);
    json_decref(part);
}

static json_t *expand_node(Expander *expander, const json_t *object, int depth)
{
    return expand_target(expander, object, "$node", member_str(object, "$node", ""), depth);
}

static json_t *expand_yields(Expander *expander, const json_t *object, int depth)
{
    (void)depth;
    return json_boolean(plane_group_yields(expander->options, member_str(object, "$yields", "")));
}

/* ---- what stands in the place of marks at present ----------------------------------------------
 */

/* A node, and where it is reached. */
static void node_aim(const AgentOptions *options, const json_t *object, const char *node, Buf *out)
{
    aim_put(plane_node_target(options, node, member_str(object, "relay", "0.0")), out);
}

static void aim_leader(const AgentOptions *options, const json_t *object, Buf *out)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const char *leader = plane_leader(options, arena, member_str(object, "$leader", ""));
    if (leader != NULL) {
        node_aim(options, object, leader, out);
        aim_put(plane_peers_new(options, leader), out);
        aim_put(json_boolean(hosts_are_several(options->hosts)), out);
    }
    buf_append_char(out, ';');
}

static void aim_node(const AgentOptions *options, const json_t *object, Buf *out)
{
    node_aim(options, object, member_str(object, "$node", ""), out);
}

static void aim_member(const AgentOptions *options, const json_t *object, Buf *out)
{
    aim_put(plane_group_member(options, member_str(object, "$member", ""),
                               member_str(object, "id", "")),
            out);
}

static void aim_yields(const AgentOptions *options, const json_t *object, Buf *out)
{
    aim_put(json_boolean(plane_group_yields(options, member_str(object, "$yields", ""))), out);
}

/* ---- the marks ---------------------------------------------------------------------------------
 */

/* An object that has this member is something else to the process. */
typedef struct Mark {
    const char *name;
    json_t *(*expand)(Expander *expander, const json_t *object, int depth);
    void (*aim)(const AgentOptions *options, const json_t *object, Buf *out); /* NULL: it stays */
} Mark;

static const Mark marks[] = {
    {"$leader", expand_leader, aim_leader},
    {"$node", expand_node, aim_node},
    {"$member", expand_group_member, aim_member},
    {"$yields", expand_yields, aim_yields},
    {"$sealed", expand_sealed, NULL},
    {"$credentials", expand_credentials, NULL},
};

static const Mark *mark_of(const json_t *object)
{
    for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
        if (json_object_get(object, marks[i].name) != NULL) {
            return &marks[i];
        }
    }
    return NULL;
}

static void aim(const AgentOptions *options, const json_t *config, int depth, Buf *out)
{
    const char *text = json_string_value(config);
    const Mark *mark = mark_of(config);
    if (depth > CONFIG_DEPTH_MAX) {
        return; /* it is not expanded either */
    }
    if (text != NULL && strncmp(text, "$at.", 4) == 0) {
        CLEANUP(arena_free_ptr) Arena *arena = arena_new();
        buf_append_str(out, plane_node_address(options, arena, text + 4));
        buf_append_char(out, ' ');
    }
    if (mark != NULL && mark->aim != NULL) {
        mark->aim(options, config, out);
    }
    json_t *object = (json_t *)(uintptr_t)config;
    for (void *at = json_object_iter(object); at != NULL; at = json_object_iter_next(object, at)) {
        aim(options, json_object_iter_value(at), depth + 1, out);
    }
    for (size_t i = 0; i < json_array_size(config); i++) {
        aim(options, json_array_get(config, i), depth + 1, out);
    }
}

void plane_config_aim(const AgentOptions *options, const json_t *config, Buf *out)
{
    aim(options, config, 0, out);
}

static json_t *expand_object(Expander *expander, const json_t *object, int depth)
{
    const Mark *mark = mark_of(object);
    if (mark != NULL) {
        return mark->expand(expander, object, depth);
    }
    json_t *result = json_object();
    for (void *at = json_object_iter((json_t *)(uintptr_t)object); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)object, at)) {
        if (!expand_member(expander, json_object_iter_key(at), json_object_iter_value(at), result,
                           depth)) {
            json_decref(result);
            return NULL;
        }
    }
    return result;
}

static json_t *expand_array(Expander *expander, const json_t *array, int depth)
{
    json_t *result = json_array();
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        json_t *value = expand(expander, item, depth + 1);
        if (value == NULL && json_object_get(item, "$credentials") != NULL) {
            log_warn("agent", "%s; this user cannot log in", expander->err->message);
            continue; /* the others can, and rules must take effect */
        }
        if (value == NULL) {
            json_decref(result);
            return NULL;
        }
        json_array_append_new(result, value);
    }
    return result;
}

static json_t *expand(Expander *expander, const json_t *value, int depth)
{
    if (depth > CONFIG_DEPTH_MAX) {
        err_set(expander->err, ERR_LIMIT, "a configuration nests deeper than %d", CONFIG_DEPTH_MAX);
        return NULL;
    }
    if (json_is_object(value)) {
        return expand_object(expander, value, depth);
    }
    if (json_is_array(value)) {
        return expand_array(expander, value, depth);
    }
    return json_is_string(value) ? expand_string(expander, json_string_value(value))
                                 : json_deep_copy(value);
}

bool plane_config_expand(const AgentOptions *options, const json_t *config, json_t **ret_config,
                         Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    Expander expander = {.options = options, .arena = arena, .err = err};
    err_set(err, ERR_INTERNAL, "a configuration cannot be expanded");
    json_t *expanded = expand(&expander, config, 0);
    if (expanded == NULL) {
        return false;
    }
    *ret_config = expanded;
    return true;
}
