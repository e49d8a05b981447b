/*
 * The front of a replication group, as its goal says it: endpoints, tokens, members. Who leads, and
 * who runs, is the agent's to say (plane_config_expand).
 */
#include "control/cache_priv.h"

#define SENTINEL_PORT 26379 /* beside the primary endpoint's */

/* Who leads, and who runs, is the agent's to say: it follows the record. */
static json_t *front_nodes(const Group *group)
{
    json_t *nodes = json_array();
    size_t i;
    json_t *member;
    json_array_foreach (member_array(group->spec, "members"), i, member) {
        const char *node = member_str(member, "CacheClusterId", "");
        json_array_append_new(nodes, json_pack("{s:s, s:s, s:o, s:i}", "$member",
                                               cache_cluster_name(group), "id", node, "address",
                                               json_sprintf("$at.%s", node), "port", 6379));
    }
    return nodes;
}

static json_t *front_tokens(const Group *group)
{
    json_t *tokens = json_array();
    const char *context = arena_printf(group->world->arena, "spec/replication-group/%s", group->id);
    size_t i;
    json_t *token;
    json_array_foreach (member_array(group->spec, "auth_tokens"), i, token) {
        json_array_append_new(tokens,
                              json_pack("{s:O, s:s}", "$sealed", token, "context", context));
    }
    return tokens;
}

static json_t *front_listener(const Group *group, const char *member, const char *endpoint,
                              int port)
{
    const char *host = member_str(group->next, member, "");
    return json_pack("{s:s, s:o, s:i, s:b, s:[o, s]}", "endpoint", endpoint, "address",
                     json_sprintf("$net.%s", host), "port", port, "tls",
                     member_bool(group->spec, "TransitEncryptionEnabled", false), "$server_cert",
                     json_sprintf("$net.%s", host), group->id);
}

/* Beside the primary's port there is a Sentinel's, unless that is the same. */
static json_t *front_listeners(const Group *group)
{
    int port = (int)member_int(group->spec, "Port", 6379);
    json_t *listeners = json_pack("[o, o]", front_listener(group, "primary_host", "primary", port),
                                  front_listener(group, "reader_host", "reader", port));
    if (port != SENTINEL_PORT) {
        json_array_append_new(listeners,
                              front_listener(group, "primary_host", "sentinel", SENTINEL_PORT));
    }
    return listeners;
}

void cache_front_put(Group *group)
{
    int port = (int)member_int(group->spec, "Port", 6379);
    json_t *config = json_pack(
        "{s:s, s:s, s:I, s:{s:s}, s:o, s:o, s:o, s:o, s:{s:s, s:{s:O, s:s}, s:s, s:s}}", "kind",
        "front", "group", group->id, "idle_timeout_s", (json_int_t)group->idle_timeout_s, "hold",
        "$yields", cache_cluster_name(group), "listeners", front_listeners(group), "security_rules",
        security_rules(group->world, member_array(group->spec, "SecurityGroupIds"), port),
        "auth_tokens", front_tokens(group), "nodes", front_nodes(group), "backend", "user",
        "weir_client", "password", "$sealed",
        json_object_get(cache_cluster_of(group), "client_password"), "context", group->cluster_key,
        "ca_pem", "$ca", "$client_cert", "weir_front");
    ASSERT(config != NULL);
    if (strcmp(cache_durable(group), "off") != 0) {
        json_object_set_new(config, "durable", json_pack("{s:s}", "user", "weir_gate"));
    }
    plane_put(group->world, group->plane, "front", RESOURCE_REPLICATION_GROUP, group->id, config);
}
