/*
 * Where nobody may lead (docs/failover.md): the leader is lost for good, and no other node is known
 * to have all that it has acknowledged. Somebody who knows that it does not run any more lets
 * others lead all the same. The record says so then, and no more: that the leader is gone their
 * agents find by themselves, as ever, and one takes its place.
 */
#include "api/weir/force_priv.h"
#include "api/weir/host_priv.h"
#include "group/group.h"

/* ---- refusing ----------------------------------------------------------------------------------
 */

/* Its agent goes on with what it has, whatever anybody says here; a host that is silent for a
 * moment may well be back. */
static bool check_leader(ApiContext *ctx, const Force *force)
{
    int64_t silent_ms;
    bool heard = host_is_heard(ctx, force->leader_host, &silent_ms);
    bool has =
        force->group || member_has(force->record, "set", force_incarnation(ctx, force->leader));
    if (cluster_serves(ctx, force->record) && has) {
        return refuse(ctx, "InvalidRequestException",
                      "%s leads %s, and serves: let another one lead in order, which loses "
                      "nothing: `weir failover %s`.",
                      force->leader, force->id, force->id);
    }
    if (has && heard) {
        return refuse(ctx, "InvalidRequestException",
                      "Host %s is alive, and so %s, which leads %s there, goes on by itself, or "
                      "makes room: see `weir status`. Where it cannot, stop that host: `weir "
                      "down` there.",
                      force->leader_host, force->leader, force->id);
    }
    return heard || silent_ms == 0 || silent_ms >= HOST_GONE_MS
               ? true
               : refuse(ctx, "InvalidRequestException",
                        "Host %s, where %s leads %s, has been silent for %lld s only and may come "
                        "back: try again when it has been for %d s.",
                        force->leader_host, force->leader, force->id,
                        (long long)(silent_ms / MS_PER_S), (int)(HOST_GONE_MS / MS_PER_S));
}

/* Why nobody could lead; of a group, why those that are there cannot be compared. */
static bool check_nodes(ApiContext *ctx, const Force *force)
{
    const char *nobody = force->wanted != NULL
                             ? arena_printf(ctx->arena, "No node %.100s", force->wanted)
                             : "No other node";
    if (force->late != NULL) {
        return refuse(ctx, "InvalidRequestException",
                      "%s has data of %s, and does not answer yet: it may have the most. Try again "
                      "when it runs; or say by NodeId (`--node`) who is to lead.",
                      force->late, force->id);
    }
    if (force->chosen.len == 0) {
        return refuse(ctx, "InvalidRequestException",
                      "%s of %s is there that has its data%s. `weir status` and `weir events "
                      "--source %s` say what became of them.",
                      nobody, force->id,
                      force->wanted == NULL                ? ": nobody could lead"
                      : json_array_size(force->others) > 0 ? "; others have"
                                                           : "",
                      force->id);
    }
    return !force->differ
               ? true
               : refuse(ctx, "InvalidRequestException",
                        "The nodes of %s have different histories, by which nobody can say who has "
                        "the most: say by NodeId (`--node`) who is to lead.",
                        force->id);
}

static bool is_automatic(ApiContext *ctx, const Force *force)
{
    size_t i;
    json_t *node;
    bool automatic = true;
    json_array_foreach (force->nodes, i, node) {
        const char *id = member_str(node, "NodeId", "");
        const json_t *goal = record_get(ctx, arena_printf(ctx->arena, "node/%s/goal", id));
        automatic = automatic && member_bool(goal, "automatic", false);
    }
    return automatic;
}

/* Of all that are chosen, whether the record says so already. */
static bool is_told(const Force *force)
{
    const json_t *record = force->record;
    for (size_t i = 0; i < force->chosen.len; i++) {
        const char *incarnation = force->chosen.items[i].text;
        if (!member_has(record, "set", incarnation) &&
            strcmp(member_str(record, "admitted", ""), incarnation) != 0) {
            return false;
        }
    }
    return !force->group || member_str(record, "history", "")[0] == '\0';
}

static bool check_runs(ApiContext *ctx, const Force *force)
{
    const json_t *spec = force->group ? NULL : spec_get(ctx, RESOURCE_DB_INSTANCE, force->id);
    return strcmp(member_str(spec, "desired_state", "running"), "stopped") != 0 ||
           refuse(ctx, "InvalidRequestException", "Instance %s is stopped: start it first.",
                  force->id);
}

static bool check(ApiContext *ctx, const Force *force)
{
    TRY(check_runs(ctx, force) && check_leader(ctx, force) && check_nodes(ctx, force));
    if (force->group && !is_automatic(ctx, force)) {
        return refuse(ctx, "InvalidRequestException",
                      "%s has no automatic failover: turn that on first.", force->id);
    }
    return !is_told(force)
               ? true
               : refuse(ctx, "InvalidRequestException",
                        "Another node may lead %s already, and does as soon as it is certain that "
                        "%s does not run any more.",
                        force->id, force->leader);
}

/* ---- doing it ----------------------------------------------------------------------------------
 */

static bool record_admit(Force *force, Err *err)
{
    if (force->group) {
        GroupRecord record;
        TRY(group_record_parse(force->record, &record, err));
        group_record_let_lead(&record, &force->chosen);
        group_record_put(&record, force->record);
        return true;
    }
    HaRecord record;
    TRY(ha_record_parse(force->record, &record, err));
    record.admitted = force->chosen.items[0];
    record.writes++;
    ha_record_put(&record, force->record);
    return true;
}

static bool admit(ApiContext *ctx, Force *force)
{
    Err err;
    const char *event_key;
    if (!record_admit(force, &err)) {
        return refuse_err(ctx, &err);
    }
    record_put(ctx, force->key, force->record);
    json_t *event = event_new(
        ctx->arena, ctx->now_ms, force->group ? RESOURCE_REPLICATION_GROUP : RESOURCE_DB_INSTANCE,
        force->id, "failover",
        arena_printf(ctx->arena,
                     "Somebody has allowed that what %s alone has acknowledged is lost: another "
                     "node may lead",
                     force->leader),
        &event_key);
    record_put(ctx, event_key, context_own(ctx, event));
    return true;
}

bool weir_force_failover(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    Force force = {0};
    const char *type;
    TRY(input_required(ctx, input, "ResourceType", &type) &&
        input_required(ctx, input, "ResourceId", &force.id));
    force.wanted = input_str(input, "NodeId");
    force.group = strcmp(type, "replication-group") == 0;
    if (!force.group && strcmp(type, "db-instance") != 0) {
        return refuse(ctx, "InvalidParameterException",
                      "ResourceType is db-instance or replication-group.");
    }
    TRY(force_find_record(ctx, &force));
    force_find_nodes(ctx, &force);
    TRY(check(ctx, &force));
    bool done = input_flag(input, "AllowDataLoss");
    TRY(!done || admit(ctx, &force));
    int64_t silent_ms = 0;
    json_t *view =
        json_pack("{s:O, s:O, s:s, s:s, s:b}", "Nodes", force.nodes, "Others", force.others,
                  "LeaderNodeId", force.leader, "LeaderHost", force.leader_host, "Done", done);
    if (!host_is_heard(ctx, force.leader_host, &silent_ms) && silent_ms > 0) {
        json_object_set_new(view, "LeaderSilentSince", json_integer(ctx->now_ms - silent_ms));
    }
    *ret_output = json_under("Failover", view);
    return true;
}
