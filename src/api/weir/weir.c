/* What AWS has no word for: the tier itself, its nodes, its events, its options. */
#include <stdio.h>

#include "api/operations_priv.h"
#include "api/weir/host_priv.h"

/* ---- the tier
 * ------------------------------------------------------------------------------------ */

bool weir_describe_tier(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)input;
    const ApiOptions *options = &ctx->api->options;
    json_t *set = member_object(record_get(ctx, "tier"), "options");
    int64_t recovered = member_int(record_get(ctx, TIER_RECOVERED_KEY), "count", 0);
    *ret_output =
        json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o}}", "Tier", "TierId",
                  options->tier_id, "AccountId", ctx->tier.account, "Region", ctx->tier.region,
                  "Endpoint", options->endpoint, "Version", WEIR_VERSION, "Host", options->host,
                  "Network", arena_printf(ctx->arena, "%s.0.0/16", ctx->tier.net), "CreatedAt",
                  (json_int_t)options->tier_created_ms, "Recovered", (json_int_t)recovered,
                  "Options", set != NULL ? json_deep_copy(set) : json_object());
    return true;
}

bool weir_stop_tier(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)input;
    (void)ret_output;
    if (ctx->api->options.stop == NULL) {
        return refuse(ctx, "InvalidRequestException", "This tier is not stopped through its API.");
    }
    ctx->stop = true;
    return true;
}

bool weir_put_option(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *name;
    const char *value = member_str(input, "Value", "");
    TRY(input_required(ctx, input, "Name", &name));
    bool is_map = strcmp(name, "engine_version_map") == 0;
    if (!is_map && strcmp(name, "allow_chaos") != 0) {
        return refuse(ctx, "InvalidParameterException",
                      "There is no option %s. There are engine_version_map and allow_chaos.", name);
    }
    Err err;
    if (!is_map && value[0] != '\0' && strcmp(value, "yes") != 0) {
        return refuse(ctx, "InvalidParameterException", "allow_chaos is yes, or empty.");
    }
    if (is_map && !engine_version_map_check(value, &err)) {
        return refuse(ctx, "InvalidParameterException", "%s", err.message);
    }
    json_t *tier = record_get(ctx, "tier");
    if (tier == NULL) {
        return refuse(ctx, "InternalServiceError", "The tier has no record yet. Try again.");
    }
    json_t *options = member_object(tier, "options");
    if (options == NULL) {
        options = json_object();
        json_object_set_new(tier, "options", options);
    }
    if (value[0] == '\0') {
        json_object_del(options, name);
    } else {
        json_object_set_new(options, name, json_string(value));
    }
    record_put(ctx, "tier", tier);
    *ret_output = json_under("Options", json_deep_copy(options));
    return true;
}

/* ---- nodes
 * --------------------------------------------------------------------------------------- */

typedef struct Renamed {
    const char *from; /* in a record */
    const char *to;   /* in the output */
} Renamed;

static void rename_members(const json_t *record, const Renamed *names, size_t len, json_t *view)
{
    for (size_t i = 0; i < len; i++) {
        json_t *value = json_object_get(record, names[i].from);
        if (value != NULL && !json_is_null(value)) {
            json_object_set(view, names[i].to, value);
        }
    }
}

/* How the node it follows sees it, by the name its walsender has there; NULL: not at all. */
static const char *sync_state(ApiContext *ctx, const json_t *goal, const json_t *seen)
{
    /* Redis has no word for it: its replicas never hold up a write. */
    if (strcmp(member_str(goal, "kind", ""), "redis") == 0) {
        return member_bool(seen, "link_up", false) ? "async" : NULL;
    }
    const char *source = member_str(goal, "source", "");
    const char *incarnation = member_str(seen, "incarnation", "");
    if (source[0] == '\0' || incarnation[0] == '\0') {
        return NULL;
    }
    size_t index;
    const json_t *standby;
    const json_t *of_source = record_get(ctx, arena_printf(ctx->arena, "node/%s/seen", source));
    const char *name = arena_printf(ctx->arena, "weir_%s", incarnation);
    json_array_foreach (json_object_get(of_source, "standbys"), index, standby) {
        if (strcmp(member_str(standby, "name", ""), name) == 0) {
            return member_str(standby, "sync_state", NULL);
        }
    }
    return NULL;
}

/* Who leads a replication group is said by its record alone: its goals name no roles. While nobody
 * does, it has no primary. */
static const char *group_role(ApiContext *ctx, const char *node_id, const json_t *goal)
{
    const char *key = arena_printf(ctx->arena, "cluster/%s", member_str(goal, "cluster", ""));
    const json_t *record = record_get(ctx, key);
    bool leads = strcmp(member_str(record, "leader", ""), node_id) == 0 &&
                 strcmp(member_str(record, "phase", "leading"), "free") != 0;
    return leads ? "primary" : "replica";
}

static json_t *node_view(ApiContext *ctx, const char *node_id, const json_t *goal,
                         const json_t *seen)
{
    static const Renamed of_goal[] = {
        {"resource", "ResourceType"},
        {"identifier", "ResourceId"},
        {"kind", "Kind"},
        {"role", "Role"},
        {"host", "Host"},
        {"zone", "Zone"},
    };
    static const Renamed of_seen[] = {
        {"pid", "Pid"},
        {"incarnation", "Incarnation"},
        {"started_ms", "StartedAt"},
        {"error", "LastError"},
    };
    json_t *view = json_pack("{s:s}", "NodeId", node_id);
    rename_members(goal, of_goal, ARRAY_LEN(of_goal), view);
    rename_members(seen, of_seen, ARRAY_LEN(of_seen), view);
    int64_t silent_ms;
    const char *state = node_state(ctx, goal, seen, &silent_ms);
    json_object_set_new(view, "State", json_string(state));
    if (silent_ms > 0) {
        json_object_set_new(view, "HostSilentSince", json_integer(ctx->now_ms - silent_ms));
    }
    if (strcmp(member_str(goal, "kind", ""), "redis") == 0) {
        json_object_set_new(view, "Role", json_string(group_role(ctx, node_id, goal)));
    }
    char address[MODEL_ADDRESS_SIZE];
    if (endpoint_address(ctx->tier.net, member_str(goal, "address", ""), address)) {
        json_object_set_new(view, "Address", json_string(address));
    }
    const char *sync = sync_state(ctx, goal, seen);
    if (sync != NULL) {
        json_object_set_new(view, "SyncState", json_string(sync));
    }
    bool restart = member_str(seen, "pending_restart", "")[0] != '\0';
    json_object_set_new(view, "PendingRestart", json_boolean(restart));
    return view;
}

bool weir_list_nodes(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *resource = input_str(input, "ResourceId");
    json_t *items = json_array();
    RecordList list = record_list(ctx, "node/");
    for (size_t i = 0; i < list.len; i++) {
        const char *id = node_id_of(ctx, list.items[i].key);
        const json_t *goal = list.items[i].value;
        if (id == NULL ||
            (resource != NULL && strcmp(resource, member_str(goal, "identifier", "")) != 0)) {
            continue;
        }
        json_t *seen = record_get(ctx, arena_printf(ctx->arena, "node/%s/seen", id));
        json_array_append_new(items, node_view(ctx, id, goal, seen));
    }
    *ret_output = json_under("Nodes", items);
    return true;
}

/* ---- events
 * -------------------------------------------------------------------------------------- */

#define EVENTS_MAX 1000

static json_t *event_view(const RecordItem *item)
{
    const json_t *event = item->value;
    const json_t *category = json_array_get(member_array(event, "categories"), 0);
    return json_pack("{s:s, s:s*, s:I, s:s, s:s, s:s, s:s}", "EventId",
                     item->key + strlen("event/"), "RdsEventId", event_rds_id(event), "Time",
                     (json_int_t)member_int(event, "time_ms", 0), "SourceType",
                     member_str(event, "type", ""), "SourceIdentifier", member_str(event, "id", ""),
                     "Category", json_is_string(category) ? json_string_value(category) : "",
                     "Message", member_str(event, "message", ""));
}

static bool event_fits(const json_t *input, const RecordItem *item)
{
    const char *type = input_str(input, "SourceType");
    const char *id = input_str(input, "SourceIdentifier");
    const char *after = input_str(input, "After");
    return (type == NULL || strcmp(type, member_str(item->value, "type", "")) == 0) &&
           (id == NULL || strcmp(id, member_str(item->value, "id", "")) == 0) &&
           (after == NULL || strcmp(item->key + strlen("event/"), after) > 0);
}

/* Behind After the oldest first, so that a follower misses none; without it the newest ones. */
bool weir_list_events(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    int64_t most = member_int(input, "MaxResults", 100);
    if (most < 1 || most > EVENTS_MAX) {
        return refuse(ctx, "InvalidParameterException", "MaxResults is 1 to %d.", EVENTS_MAX);
    }
    json_t *items = json_array();
    RecordList list = record_list(ctx, "event/");
    for (size_t i = 0; i < list.len; i++) {
        if (event_fits(input, &list.items[i])) {
            json_array_append_new(items, event_view(&list.items[i]));
        }
    }
    bool follow = input_str(input, "After") != NULL;
    while (json_array_size(items) > (size_t)most) {
        json_array_remove(items, follow ? json_array_size(items) - 1 : 0);
    }
    const json_t *last = json_array_get(items, json_array_size(items) - 1);
    json_t *output = json_under("Events", items);
    const char *last_id = member_str(last, "EventId", input_str(input, "After"));
    if (last_id != NULL) {
        json_object_set_new(output, "Last", json_string(last_id));
    }
    *ret_output = output;
    return true;
}

/* ---- logs
 * ---------------------------------------------------------------------------------------- */

#define LOG_TAIL_BYTES ((int64_t)256 << 10)
#define LOG_LINES      100
#define LOG_LINES_MAX  10000

/* Where the last `lines` lines (1 or more) begin. */
static size_t tail_from(Slice text, int64_t lines)
{
    size_t from = text.len > 0 && text.data[text.len - 1] == '\n' ? text.len - 1 : text.len;
    for (; from > 0; from--) {
        if (text.data[from - 1] == '\n' && --lines == 0) {
            break;
        }
    }
    return from;
}

/* The last `lines` lines of the text; the first may be cut where the text begins inside it. */
static json_t *last_lines(Slice text, int64_t lines, bool *ret_more)
{
    json_t *list = json_array();
    size_t from = tail_from(text, lines);
    for (Slice rest = slice_skip(text, from); rest.len > 0;) {
        Slice line = slice_cut(&rest, '\n');
        json_t *item = json_stringn(line.len > 0 ? line.data : "", line.len);
        json_array_append_new(list, item != NULL ? item : json_string("(not UTF-8)"));
    }
    *ret_more = from > 0;
    return list;
}

/* Of a node or an endpoint's process that there is: the id becomes part of a path. */
static bool log_check(ApiContext *ctx, const char *id)
{
    bool plain = strlen(id) < 128 && strchr(id, '/') == NULL && id[0] != '.';
    return plain && (record_get(ctx, arena_printf(ctx->arena, "node/%s/goal", id)) != NULL ||
                     record_get(ctx, arena_printf(ctx->arena, "plane/%s/goal", id)) != NULL)
               ? true
               : refuse(ctx, "ResourceNotFoundException", "There is no node %.100s.", id);
}

bool weir_get_log(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const ApiOptions *options = &ctx->api->options;
    const char *node;
    int64_t lines = member_int(input, "Lines", LOG_LINES);
    int64_t size;
    int64_t written_ms;
    Err err;
    TRY(input_required(ctx, input, "NodeId", &node) && log_check(ctx, node));
    if (lines < 1 || lines > LOG_LINES_MAX) {
        return refuse(ctx, "InvalidParameterException", "Lines is 1 to %d.", LOG_LINES_MAX);
    }
    if (options->logs.stat == NULL ||
        !options->logs.stat(options->context, node, &size, &written_ms, &err)) {
        return refuse(ctx, "ResourceNotFoundException", "There is no log of the node %s here.",
                      node);
    }
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    int64_t from = size > LOG_TAIL_BYTES ? size - LOG_TAIL_BYTES : 0;
    bool ok = options->logs.read(options->context, node, from, (size_t)LOG_TAIL_BYTES, &text, &err);
    if (ok) {
        bool more;
        json_t *list = last_lines(buf_slice(&text), lines, &more);
        *ret_output = json_pack("{s:s, s:o, s:b}", "NodeId", node, "Lines", list, "Truncated",
                                more || from > 0);
    }
    buf_done(&text);
    return ok ? true : refuse_err(ctx, &err);
}

/* ---- passwords ----------------------------------------------------------------------------------
 */

/* Of these AWS has no word, since it never tells: the keys of the API open everything here anyway,
 * and `weir env`, `weir psql` and `weir redis-cli` are for those who have them. */
static bool sealed_output(ApiContext *ctx, ResourceType type, const char *id, const char *sealed,
                          const char *member, json_t **ret_output)
{
    Err err;
    char key[MODEL_KEY_SIZE];
    CLEANUP(secret_done) Secret secret = {0};
    if (!spec_key(type, id, key, &err) ||
        !secret_unseal(ctx->api->options.master_key, slice_of(key), slice_of(sealed), &secret,
                       &err)) {
        return refuse_err(ctx, &err);
    }
    *ret_output = json_pack("{s:s}", member, secret_reveal(&secret).data);
    return true;
}

/* The newest token of a cache. */
bool weir_get_auth_token(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *id = input_lower(ctx, input, "ReplicationGroupId");
    const json_t *spec = spec_get(ctx, RESOURCE_REPLICATION_GROUP, id);
    const json_t *token = json_array_get(member_array(spec, "auth_tokens"), 0);
    return token != NULL ? sealed_output(ctx, RESOURCE_REPLICATION_GROUP, id,
                                         json_string_value(token), "AuthToken", ret_output)
                         : refuse(ctx, "ResourceNotFoundException",
                                  "There is no cache \"%s\" with an auth token.", id);
}

/* The master password as the API set it last; a replica has its source's. */
bool weir_get_master_user_password(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    const char *id = input_lower(ctx, input, "DBInstanceIdentifier");
    const json_t *spec = spec_get(ctx, RESOURCE_DB_INSTANCE, id);
    const char *source = member_str(spec, "ReadReplicaSourceDBInstanceIdentifier", "");
    bool is_replica = source[0] != '\0';
    const char *owner = is_replica ? source : id;
    if (is_replica) {
        spec = spec_get(ctx, RESOURCE_DB_INSTANCE, owner);
    }
    const char *sealed = member_str(spec, "master_password", NULL);
    return sealed != NULL ? sealed_output(ctx, RESOURCE_DB_INSTANCE, owner, sealed,
                                          "MasterUserPassword", ret_output)
                          : refuse(ctx, "ResourceNotFoundException",
                                   "There is no instance \"%s\" with a master password.", id);
}
