/* What clients see of a DB instance: its relay, its status word, and the events of its life. */
#include "control/instance_priv.h"

/* ---- the relay ---------------------------------------------------------------------------------
 */

const char *instance_plane(const Instance *instance)
{
    return arena_printf(instance->world->arena, "relay-%s", instance->dbi);
}

/* For processes of other hosts (docs/hosts.md). */
static json_t *link_listener(const Instance *instance, const char *host)
{
    json_t *listener =
        json_pack("{s:o, s:i, s:b, s:s, s:[o, s]}", "address", json_sprintf("$net.%s", host),
                  "port", LINK_PORT, "link", 1, "client_ca_pem", "$ca", "$server_cert",
                  json_sprintf("$net.%s", host), instance->id);
    ASSERT(listener != NULL);
    return listener;
}

static json_t *relay_config(const Instance *instance)
{
    World *world = instance->world;
    const char *host = member_str(instance->next, "endpoint_host", "");
    int port = (int)member_int(instance->spec, "DbInstancePort", 5432);
    const ParameterFamily *family =
        parameter_family_of("postgres", member_str(instance->spec, "EngineVersion", ""));
    bool force_ssl = family != NULL && parameters_force_ssl(family, instance_parameters(instance));
    json_t *config = json_pack(
        "{s:s, s:b, s:[{s:o, s:i, s:[o, s]}], s:o, s:{s:s, s:o}}", "kind", "relay", "require_tls",
        force_ssl, "listeners", "address", json_sprintf("$net.%s", host), "port", port,
        "$server_cert", json_sprintf("$net.%s", host), instance->id, "security_rules",
        security_rules(world, member_array(instance->spec, "VpcSecurityGroupIds"), port), "relay",
        "reserved_users", "$own_roles", "target", instance_target_new(world, instance->dbi));
    ASSERT(config != NULL);
    if (world->facts->hosts_len > 1) {
        json_array_append_new(member_array(config, "listeners"), link_listener(instance, host));
    }
    return config;
}

void instance_relay_put(Instance *instance)
{
    json_t *config = relay_config(instance);
    plane_put(instance->world, instance_plane(instance), "proxy", RESOURCE_DB_INSTANCE,
              instance->id, config);
}

/* ---- readiness ---------------------------------------------------------------------------------
 */

static bool node_is(const Instance *instance, const char *node, const char *state)
{
    return strcmp(member_str(instance_node_seen(instance->world, node), "state", ""), state) == 0;
}

bool instance_standby_joined(const Instance *instance)
{
    World *world = instance->world;
    const char *standby = instance_second(instance);
    const char *incarnation = member_str(instance_node_seen(world, standby), "incarnation", "");
    if (incarnation[0] == '\0' ||
        !member_has(world_getf(world, "cluster/%s", instance->dbi), "set", incarnation)) {
        return false;
    }
    const char *name = arena_printf(world->arena, "weir_%s", incarnation);
    const json_t *leader = instance_node_seen(world, instance_leader(world, instance->dbi));
    size_t i;
    json_t *seen;
    json_array_foreach (member_array(leader, "standbys"), i, seen) {
        if (strcmp(member_str(seen, "name", ""), name) == 0 &&
            strcmp(member_str(seen, "sync_state", ""), "sync") == 0) {
            return true;
        }
    }
    return false;
}

static bool standby_ready(const Instance *instance)
{
    return instance_node_settled(instance->world, instance_second(instance)) &&
           instance_standby_joined(instance);
}

static const char *leader_host(const Instance *instance)
{
    return instance_node_host(instance->world, instance_leader(instance->world, instance->dbi));
}

static bool leader_counts(const Instance *instance)
{
    bool before = strcmp(member_str(instance->status, "DBInstanceStatus", ""), "available") == 0;
    return host_node_counts(instance->world, instance_leader(instance->world, instance->dbi),
                            before);
}

/* The leader runs, and clients may see what it has. */
static bool leader_open(const Instance *instance)
{
    const char *leader = instance_leader(instance->world, instance->dbi);
    return node_is(instance, leader, "running") &&
           member_bool(instance_node_seen(instance->world, leader), "open", false) &&
           leader_counts(instance);
}

static bool leader_ready(const Instance *instance)
{
    const char *leader = instance_leader(instance->world, instance->dbi);
    return leader_open(instance) && instance_node_settled(instance->world, leader);
}

bool instance_change_is_over(const Instance *instance)
{
    const char *phase =
        member_str(world_getf(instance->world, "cluster/%s", instance->dbi), "phase", "leading");
    return strcmp(phase, "leading") == 0 &&
           member_int(instance->spec, "failover_epoch", 0) <= instance_handover(instance);
}

/* Nobody knows when one will be back whose host is lost. */
static bool awaits_standby(const Instance *instance)
{
    World *world = instance->world;
    return instance->multi_az &&
           !host_is_lost(world, instance_node_host(world, instance_second(instance)));
}

static bool instance_ready(const Instance *instance)
{
    return instance_change_is_over(instance) && leader_ready(instance) &&
           (!awaits_standby(instance) || standby_ready(instance)) &&
           plane_ready(instance->world, instance_plane(instance));
}

static bool instance_stopped(const Instance *instance)
{
    return node_is(instance, instance_leader(instance->world, instance->dbi), "stopped") &&
           (!awaits_standby(instance) || node_is(instance, instance_second(instance), "stopped"));
}

/* ---- the status word ---------------------------------------------------------------------------
 */

static const char *word_on_the_way(const Instance *instance, const char *before)
{
    const json_t *status = instance->status;
    if (status == NULL || strcmp(before, "creating") == 0) {
        return "creating";
    }
    if (strcmp(before, "stopped") == 0 || strcmp(before, "starting") == 0) {
        return "starting";
    }
    if (member_int(status, "reboot_epoch", 0) != member_int(instance->spec, "reboot_epoch", 0) ||
        member_int(status, "failover_epoch", 0) !=
            member_int(instance->spec, "failover_epoch", 0)) {
        return "rebooting";
    }
    if (member_int(status, "generation", 0) != member_int(instance->spec, "generation", 0) ||
        strcmp(before, "modifying") == 0) {
        return "modifying";
    }
    /* Nobody asked for anything: an engine ended and is on its way back, or its standby is. */
    return leader_open(instance)              ? "available"
           : strcmp(before, "available") == 0 ? "starting"
                                              : before;
}

static const char *status_word(const Instance *instance)
{
    const char *before = member_str(instance->status, "DBInstanceStatus", "creating");
    if (strcmp(member_str(instance->spec, "desired_state", "running"), "stopped") == 0) {
        return instance_stopped(instance) ? "stopped" : "stopping";
    }
    return instance_ready(instance) ? "available" : word_on_the_way(instance, before);
}

/* ---- what goes with it -------------------------------------------------------------------------
 */

static void status_parameters(Instance *instance)
{
    World *world = instance->world;
    const json_t *first = instance_node_seen(world, instance_node(instance, 1));
    const json_t *second = instance_node_seen(world, instance_node(instance, 2));
    bool waits = instance->kept_until_reboot ||
                 member_str(first, "pending_restart", "")[0] != '\0' ||
                 member_str(second, "pending_restart", "")[0] != '\0';
    const char *word = waits ? "pending-reboot" : leader_ready(instance) ? "in-sync" : "applying";
    json_object_set_new(instance->next, "parameter_apply_status", json_string(word));
}

static void status_replication(Instance *instance)
{
    if (instance->source[0] == '\0') {
        json_object_del(instance->next, "StatusInfos");
        return;
    }
    const json_t *seen =
        instance_node_seen(instance->world, instance_leader(instance->world, instance->dbi));
    bool streams = member_bool(seen, "streaming", false) && leader_counts(instance);
    json_t *info = json_pack("[{s:s, s:b, s:s}]", "StatusType", "read replication", "Normal",
                             streams, "Status", streams ? "replicating" : "error");
    json_object_set_new(instance->next, "StatusInfos", info);
}

static const char *standby_away(const Instance *instance)
{
    const json_t *record = world_getf(instance->world, "cluster/%s", instance->dbi);
    return json_array_size(member_array(record, "set")) > 1
               ? "the standby is away: commits wait for it"
               : "the standby is away: commits do not wait for it, and nobody could take over";
}

/* The leader's host is silent: what a user can do about it. */
static const char *leader_away(const Instance *instance, const char *word)
{
    World *world = instance->world;
    const char *host = leader_host(instance);
    const char *orphan =
        instance->multi_az ? host_orphan(world, instance->dbi, instance->id) : NULL;
    if (orphan != NULL || !host_is_lost(world, host) || strcmp(word, "stopped") == 0) {
        return orphan;
    }
    const json_t *record = world_getf(world, "cluster/%s", instance->dbi);
    if (member_str(record, "admitted", "")[0] != '\0') {
        return "another node may lead by somebody's word, and is on its way";
    }
    const char *removed = instance->source[0] != '\0'
                              ? arena_printf(world->arena,
                                             "; or `weir host remove %s` has it made anew on "
                                             "another one",
                                             host)
                              : "";
    return arena_printf(world->arena, "%s is on host %s, which is silent: bring that back%s",
                        instance_leader(world, instance->dbi), host, removed);
}

static void status_message(Instance *instance, const char *word)
{
    static const int numbers[] = {1, 2};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        const char *node = instance_node(instance, numbers[i]);
        const char *error = member_str(instance_node_seen(instance->world, node), "error", "");
        if (error[0] != '\0') {
            json_object_set_new(instance->next, "message",
                                json_sprintf("node %s: %s", node, error));
        }
    }
    const json_t *leader =
        instance_node_seen(instance->world, instance_leader(instance->world, instance->dbi));
    if (member_str(leader, "foreign_settings", "")[0] != '\0') {
        json_object_set_new(instance->next, "message",
                            json_sprintf("set outside of Weir's configuration: %s",
                                         member_str(leader, "foreign_settings", "")));
    }
    if (strcmp(member_str(leader, "state", ""), "running") == 0 && !leader_open(instance) &&
        member_str(leader, "error", "")[0] == '\0' && leader_counts(instance)) {
        json_object_set_new(instance->next, "message",
                            json_string("clients wait until the standby has what they would see"));
    }
    if (strcmp(word, "available") == 0 && instance->multi_az && !standby_ready(instance)) {
        json_object_set_new(instance->next, "message", json_string(standby_away(instance)));
    }
    const char *away = leader_away(instance, word);
    if (away != NULL) {
        json_object_set_new(instance->next, "message", json_string(away));
    }
    const json_t *plane = plane_seen(instance->world, instance_plane(instance));
    if (member_str(plane, "error", "")[0] != '\0') {
        json_object_set_new(instance->next, "message",
                            json_sprintf("endpoint: %s", member_str(plane, "error", "")));
    }
}

/* Whether another run of the leader's engine serves than when the instance was last available. */
static bool engine_is_another(Instance *instance)
{
    const char *leader = instance_leader(instance->world, instance->dbi);
    int64_t started_ms = member_int(instance_node_seen(instance->world, leader), "started_ms", 0);
    bool another = started_ms != member_int(instance->status, "started_ms", 0);
    json_object_set_new(instance->next, "started_ms", json_integer(started_ms));
    return another;
}

/* It is available for the first time since it was stopped. */
static bool is_started(Instance *instance, const char *before, const char *word)
{
    static const char member[] = "was_stopped";
    if (strcmp(before, "stopped") == 0 && strcmp(word, "stopped") != 0) {
        json_object_set_new(instance->next, member, json_true());
    }
    bool started = strcmp(word, "available") == 0 && member_bool(instance->next, member, false);
    if (started) {
        json_object_del(instance->next, member);
    }
    return started;
}

static void status_events(Instance *instance, const char *before, const char *word)
{
    static const char restarted[] = EVENT_INSTANCE_RESTARTED;
    bool started = is_started(instance, before, word);
    bool another = strcmp(word, "available") == 0 && engine_is_another(instance);
    const struct {
        const char *before;
        const char *after;
        const char *category;
        const char *message;
    } moves[] = {
        {"creating", "available", "creation", EVENT_INSTANCE_CREATED},
        {"rebooting", "available", "availability", restarted},
        {"starting", "available", "availability", restarted},
        {"stopping", "stopped", "notification", EVENT_INSTANCE_STOPPED},
        {"modifying", "available", "configuration change", "Finished applying the modification"},
    };
    for (size_t i = 0; i < ARRAY_LEN(moves); i++) {
        bool happened = moves[i].message != restarted || (another && !started);
        if (happened && strcmp(before, moves[i].before) == 0 && strcmp(word, moves[i].after) == 0) {
            world_event(instance->world, RESOURCE_DB_INSTANCE, instance->id, moves[i].category,
                        moves[i].message);
        }
    }
    if (started) {
        world_event(instance->world, RESOURCE_DB_INSTANCE, instance->id, "notification",
                    EVENT_INSTANCE_STARTED);
    }
}

/* A planned change that was given up is over for who asked for it, though the standby be away. */
static void status_change(Instance *instance)
{
    static const char member[] = "failover_from";
    int64_t asked = member_int(instance->spec, "failover_epoch", 0);
    const char *leader = instance_leader(instance->world, instance->dbi);
    const char *from = member_str(instance->next, member, "");
    if (asked <= member_int(instance->next, "failover_epoch", 0)) {
        json_object_del(instance->next, member);
    } else if (from[0] == '\0') {
        json_object_set_new(instance->next, member, json_string(leader));
    } else if (strcmp(from, leader) == 0 && instance_change_is_over(instance)) {
        json_object_set_new(instance->next, "failover_epoch", json_integer(asked));
        instance->world->busy = true; /* it shows with the next round */
    }
}

void instance_status(Instance *instance)
{
    const char *before = member_str(instance->status, "DBInstanceStatus", "creating");
    const char *word = status_word(instance);
    json_object_set_new(instance->next, "DBInstanceStatus", json_string(word));
    if (strcmp(word, "available") == 0 || strcmp(word, "stopped") == 0) {
        json_object_set_new(instance->next, "reboot_epoch",
                            json_integer(member_int(instance->spec, "reboot_epoch", 0)));
        json_object_set_new(instance->next, "failover_epoch",
                            json_integer(member_int(instance->spec, "failover_epoch", 0)));
        json_object_set_new(instance->next, "password_epoch",
                            json_integer(member_int(instance->spec, "password_epoch", 0)));
    } else if (!host_is_lost(instance->world, leader_host(instance))) {
        instance->world->busy = true;
    }
    status_change(instance);
    status_parameters(instance);
    status_replication(instance);
    status_message(instance, word);
    status_events(instance, before, word);
}
