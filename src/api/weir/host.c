/*
 * The hosts of the tier (docs/hosts.md): what they have, which of them drains, and how one is
 * removed for good. A removal is refused where anything would be lost; what it was decided on is
 * compared when it is written.
 */
#include <stdio.h>

#include "api/operations_priv.h"
#include "api/weir/host_priv.h"
#include "ha/ha.h"

#define NAMES_SHOWN 3

/* ---- records -----------------------------------------------------------------------------------
 */

static const char *host_key(ApiContext *ctx, const char *name, const char *leaf)
{
    return arena_printf(ctx->arena, "host/%s/%s", name, leaf);
}

/* NULL, with a fault: there is no such host. */
static json_t *host_named(ApiContext *ctx, const json_t *input, const char **ret_name)
{
    const char *name = member_str(input, "HostName", "");
    json_t *spec =
        host_name_check(name, NULL) ? record_get(ctx, host_key(ctx, name, "spec")) : NULL;
    if (spec == NULL) {
        refuse(ctx, "ResourceNotFoundException", "There is no host \"%.*s\".", HOST_NAME_SIZE - 1,
               name);
    }
    *ret_name = name;
    return spec;
}

static HostWord host_word(ApiContext *ctx, const char *name)
{
    const ApiOptions *options = &ctx->api->options;
    HostWord word = {.alive = true};
    if (options->host_heard != NULL && !options->host_heard(options->context, name, &word)) {
        return (HostWord){.unheard = true};
    }
    return word;
}

bool host_is_heard(ApiContext *ctx, const char *name, int64_t *ret_silent_ms)
{
    HostWord word = host_word(ctx, name);
    *ret_silent_ms = word.silent_ms;
    return word.alive;
}

/* "host/NAME/spec": the name; NULL for another key. */
static const char *spec_name(ApiContext *ctx, const char *key)
{
    Slice rest = slice_of(key);
    slice_cut(&rest, '/');
    Slice name = slice_cut(&rest, '/');
    return slice_is(rest, "spec") ? arena_slice_str(ctx->arena, name) : NULL;
}

const char *node_id_of(ApiContext *ctx, const char *key)
{
    Slice rest = slice_of(key);
    slice_cut(&rest, '/');
    Slice id = slice_cut(&rest, '/');
    return slice_is(rest, "goal") ? arena_slice_str(ctx->arena, id) : NULL;
}

/* Of a node of this host: the id; else NULL. */
static const char *node_there(ApiContext *ctx, const RecordItem *item, const char *host)
{
    const char *id = node_id_of(ctx, item->key);
    return id != NULL && strcmp(member_str(item->value, "host", ""), host) == 0 ? id : NULL;
}

/* ---- looking -----------------------------------------------------------------------------------
 */

static const json_t *node_seen(ApiContext *ctx, const char *node)
{
    RecordList list = record_list(ctx, "node/");
    const char *key = arena_printf(ctx->arena, "node/%s/seen", node);
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(list.items[i].key, key) == 0) {
            return list.items[i].value;
        }
    }
    return NULL;
}

static const json_t *notes_of(ApiContext *ctx, const char *host)
{
    RecordList list = record_list(ctx, "status/host/");
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(strrchr(list.items[i].key, '/') + 1, host) == 0) {
            return member_object(list.items[i].value, "nodes");
        }
    }
    return NULL;
}

static const char *node_role(ApiContext *ctx, const char *node, const json_t *goal)
{
    if (strcmp(member_str(goal, "kind", ""), "redis") != 0) {
        return member_str(goal, "role", "");
    }
    const char *key = arena_printf(ctx->arena, "cluster/%s", member_str(goal, "cluster", ""));
    return strcmp(member_str(record_get(ctx, key), "leader", ""), node) == 0 ? "primary"
                                                                             : "replica";
}

const char *node_state(ApiContext *ctx, const json_t *goal, const json_t *seen,
                       int64_t *ret_silent_ms)
{
    HostWord word = host_word(ctx, member_str(goal, "host", ""));
    *ret_silent_ms = word.alive ? 0 : word.silent_ms;
    return word.alive && !word.unheard ? member_str(seen, "state", "waiting") : "unknown";
}

static json_t *node_view(ApiContext *ctx, const char *node, const json_t *goal, const char *note)
{
    int64_t silent_ms;
    const char *state = node_state(ctx, goal, node_seen(ctx, node), &silent_ms);
    json_t *view = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s}", "NodeId", node, "ResourceType",
        member_str(goal, "resource", ""), "ResourceId", member_str(goal, "identifier", ""), "Kind",
        member_str(goal, "kind", ""), "Role", node_role(ctx, node, goal), "State", state);
    if (note != NULL) {
        json_object_set_new(view, "Note", json_string(note));
    }
    return view;
}

static json_t *nodes_view(ApiContext *ctx, const char *host)
{
    json_t *nodes = json_array();
    const json_t *notes = notes_of(ctx, host);
    RecordList list = record_list(ctx, "node/");
    for (size_t i = 0; i < list.len; i++) {
        const char *node = node_there(ctx, &list.items[i], host);
        if (node != NULL) {
            const char *note = member_str(notes, node, NULL);
            json_array_append_new(nodes, node_view(ctx, node, list.items[i].value, note));
        }
    }
    return nodes;
}

static const char *store_member_text(ApiContext *ctx, const char *name)
{
    static const char *const texts[] = {
        [HOST_MEMBER_ELSEWHERE] = NULL, [HOST_MEMBER_UNKNOWN] = "unknown",
        [HOST_MEMBER_NONE] = "none",    [HOST_MEMBER_LEARNER] = "learner",
        [HOST_MEMBER_VOTER] = "voter",  [HOST_MEMBER_SOLE_VOTER] = "sole-voter"};
    const ApiOptions *options = &ctx->api->options;
    return options->store_member != NULL ? texts[options->store_member(options->context, name)]
                                         : NULL;
}

static json_t *host_view(ApiContext *ctx, const char *name, const json_t *spec)
{
    int64_t silent_ms;
    bool alive = host_is_heard(ctx, name, &silent_ms);
    json_t *view =
        json_pack("{s:s, s:s, s:s, s:s, s:b, s:s*, s:I, s:o}", "HostName", name, "Zone",
                  member_str(spec, "zone", ""), "Network",
                  arena_printf(ctx->arena, "%s.0.0/16", member_str(spec, "net", "")), "State",
                  alive ? "alive" : "silent", "Draining", member_bool(spec, "draining", false),
                  "StoreMember", store_member_text(ctx, name), "JoinedAt",
                  (json_int_t)member_int(spec, "joined_ms", 0), "Nodes", nodes_view(ctx, name));
    if (!alive) {
        json_object_set_new(view, "SilentSince", json_integer(ctx->now_ms - silent_ms));
    }
    return view;
}

bool weir_list_hosts(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *only = input_str(input, "HostName");
    json_t *items = json_array();
    RecordList list = record_list(ctx, "host/");
    for (size_t i = 0; i < list.len; i++) {
        const char *name = spec_name(ctx, list.items[i].key);
        if (name != NULL && (only == NULL || strcmp(only, name) == 0)) {
            json_array_append_new(items, host_view(ctx, name, list.items[i].value));
        }
    }
    *ret_output = json_under("Hosts", items);
    return true;
}

/* ---- draining ----------------------------------------------------------------------------------
 */

/* Of the other hosts: those that are alive, and, where `takes`, get new engines. */
static size_t others_alive(ApiContext *ctx, const char *but, bool takes)
{
    size_t count = 0;
    RecordList list = record_list(ctx, "host/");
    for (size_t i = 0; i < list.len; i++) {
        int64_t silent_ms;
        const char *name = spec_name(ctx, list.items[i].key);
        count += name != NULL && strcmp(name, but) != 0 && host_is_heard(ctx, name, &silent_ms) &&
                 !(takes && member_bool(list.items[i].value, "draining", false));
    }
    return count;
}

static bool drain_set(ApiContext *ctx, const char *name, json_t *spec, bool drains,
                      json_t **ret_output)
{
    if (drains) {
        json_object_set_new(spec, "draining", json_true());
    } else {
        json_object_del(spec, "draining");
    }
    record_put(ctx, host_key(ctx, name, "spec"), spec);
    *ret_output = json_under("Host", host_view(ctx, name, spec));
    return true;
}

bool weir_drain_host(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *name;
    json_t *spec = host_named(ctx, input, &name);
    if (spec == NULL) {
        return false;
    }
    if (!member_bool(spec, "draining", false) && others_alive(ctx, name, true) == 0) {
        return refuse(ctx, "InvalidRequestException",
                      "No other host is alive and takes engines: nobody could have those of %s.",
                      name);
    }
    return drain_set(ctx, name, spec, true, ret_output);
}

bool weir_undrain_host(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *name;
    json_t *spec = host_named(ctx, input, &name);
    return spec != NULL && drain_set(ctx, name, spec, false, ret_output);
}

/* ---- removing ----------------------------------------------------------------------------------
 */

/* Of one that is alive: it has nothing, and nothing comes. */
static bool check_alive(ApiContext *ctx, const char *host, const json_t *spec)
{
    const char *names = NULL;
    size_t count = 0;
    RecordList list = record_list(ctx, "node/");
    for (size_t i = 0; i < list.len; i++) {
        const char *node = node_there(ctx, &list.items[i], host);
        if (node != NULL && count++ < NAMES_SHOWN) {
            names = names == NULL ? node : arena_printf(ctx->arena, "%s, %s", names, node);
        }
    }
    if (count > 0) {
        bool drains = member_bool(spec, "draining", false);
        return refuse(
            ctx, "InvalidRequestException", "Host %s is alive and has %zu engine%s (%s%s): %s.",
            host, count, count > 1 ? "s" : "", names, count > NAMES_SHOWN ? ", …" : "",
            drains ? "it drains, `weir host list` shows how far it is" : "drain it first");
    }
    return member_bool(spec, "draining", false)
               ? true
               : refuse(ctx, "InvalidRequestException",
                        "Host %s is alive and does not drain, so that engines may come: drain it "
                        "first.",
                        host);
}

static bool is_deleted(ApiContext *ctx, const json_t *goal)
{
    const char *key = arena_printf(ctx->arena, "spec/%s/%s", member_str(goal, "resource", ""),
                                   member_str(goal, "identifier", ""));
    return member_bool(record_get(ctx, key), "deleting", false);
}

bool cluster_serves(ApiContext *ctx, const json_t *record)
{
    const char *leader = member_str(record, "leader", "");
    const json_t *seen = record_get(ctx, arena_printf(ctx->arena, "node/%s/seen", leader));
    const json_t *goal = record_get(ctx, arena_printf(ctx->arena, "node/%s/goal", leader));
    int64_t silent_ms;
    return strcmp(member_str(record, "phase", "leading"), "leading") == 0 &&
           strcmp(member_str(seen, "ha", ""), "leading") == 0 &&
           member_int(seen, "term", 0) == member_int(record, "term", -1) &&
           host_is_heard(ctx, member_str(goal, "host", ""), &silent_ms);
}

/* Of a node whose host is gone for good: the others have all that it had. */
static bool check_node(ApiContext *ctx, const char *host, const char *node)
{
    const json_t *goal = record_get(ctx, arena_printf(ctx->arena, "node/%s/goal", node));
    const char *key = arena_printf(ctx->arena, "cluster/%s", member_str(goal, "cluster", ""));
    const json_t *record = record_get(ctx, key);
    const char *resource = member_str(goal, "identifier", "");
    if (goal == NULL || is_deleted(ctx, goal) ||
        strcmp(member_str(goal, "role", ""), "replica") == 0 || /* which never leads */
        !ha_record_may_have_begun(record)) {
        return true;
    }
    if (strcmp(member_str(record, "leader", ""), node) == 0) {
        return refuse(
            ctx, "InvalidRequestException",
            "Host %s has the leader of %s (node %s), and what only that has would be "
            "lost. Bring the host back; or let another node lead without it: `weir failover "
            "%s --allow-data-loss`; or delete %s.",
            host, resource, node, resource, resource);
    }
    return cluster_serves(ctx, record)
               ? true
               : refuse(ctx, "InvalidRequestException",
                        "Host %s has the node %s of %s, whose leader does not serve (node %s): it "
                        "may be needed. Bring one of them back, or start %s where it is stopped.",
                        host, node, resource, member_str(record, "leader", ""), resource);
}

static bool check_silent(ApiContext *ctx, const char *host, int64_t silent_ms)
{
    if (silent_ms < HOST_GONE_MS) {
        return refuse(ctx, "InvalidRequestException",
                      "Host %s has been silent for %lld s only and may come back: try again when "
                      "it has been for %d s.",
                      host, (long long)(silent_ms / MS_PER_S), (int)(HOST_GONE_MS / MS_PER_S));
    }
    RecordList list = record_list(ctx, "node/");
    for (size_t i = 0; i < list.len; i++) {
        const char *node = node_there(ctx, &list.items[i], host);
        if (node != NULL && !check_node(ctx, host, node)) {
            return false;
        }
    }
    return true;
}

bool weir_remove_host(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    const char *name;
    int64_t silent_ms;
    json_t *spec = host_named(ctx, input, &name);
    if (spec == NULL) {
        return false;
    }
    bool alive = host_is_heard(ctx, name, &silent_ms);
    if (others_alive(ctx, name, false) == 0) {
        return refuse(ctx, "InvalidRequestException", "No other host is alive: %s cannot go.",
                      name);
    }
    if (alive && strcmp(name, ctx->api->options.host) == 0) {
        return refuse(ctx, "InvalidRequestException",
                      "Host %s is the one that is asked: ask another one of the tier.", name);
    }
    TRY(alive ? check_alive(ctx, name, spec) : check_silent(ctx, name, silent_ms));
    Err err;
    const ApiOptions *options = &ctx->api->options;
    if (options->release_host != NULL && !options->release_host(options->context, name, &err)) {
        return refuse_err(ctx, &err);
    }
    record_delete(ctx, host_key(ctx, name, "spec"));
    record_put(ctx, arena_printf(ctx->arena, "removed-host/%s", name),
               context_own(ctx, json_pack("{s:I}", "removed_ms", (json_int_t)ctx->now_ms)));
    return true;
}
