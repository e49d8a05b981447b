/*
 * Where a plane of this host finds a node: an engine of this host by its folder and address here,
 * one of another host by that one's net, and PostgreSQL there behind the link of its relay
 * (docs/hosts.md).
 */
#include "agent/plane/plane_parts_priv.h"

static json_t *goal_of(const AgentOptions *options, const char *node)
{
    return mirror_record_new(options->mirror, "node/%s/goal", node);
}

static bool is_here(const AgentOptions *options, const json_t *goal)
{
    return strcmp(member_str(goal, "host", ""), options->host) == 0;
}

char *plane_node_address(const AgentOptions *options, Arena *arena, const char *node)
{
    CLEANUP(record_free_ptr) json_t *goal = goal_of(options, node);
    return hosts_node_address(options, arena, goal);
}

json_t *plane_node_target(const AgentOptions *options, const char *node, const char *relay)
{
    CLEANUP(record_free_ptr) json_t *goal = goal_of(options, node);
    if (is_here(options, goal)) {
        return json_pack("{s:s, s:o}", "id", node, "socket_dir",
                         json_sprintf("%s/clients/%s", options->run_dir, node));
    }
    char net[HOST_NET_SIZE];
    if (!hosts_net(options->hosts, member_str(goal, "host", ""), net)) {
        return json_null(); /* nobody is known to be there */
    }
    return json_pack("{s:s, s:o, s:i, s:{s:s, s:s}}", "id", node, "host",
                     json_sprintf("%s.%s", net, relay), "port", LINK_PORT, "link", "ca_pem", "$ca",
                     "$client_cert", LINK_CLIENT);
}

json_t *plane_peers_new(const AgentOptions *options, const char *node)
{
    CLEANUP(record_free_ptr) json_t *goal = goal_of(options, node);
    json_t *peers = member_array(goal, "peers");
    return peers != NULL ? json_deep_copy(peers) : json_array();
}

/* One that does not answer its agent at present may only be slow: nobody else leads yet. */
static bool takes_requests(const json_t *seen, int64_t term)
{
    HaState state;
    return ha_state_parse(slice_of(member_str(seen, "ha", "")), &state) &&
           (state == HA_STATE_LEADING || state == HA_STATE_SILENT) &&
           member_bool(seen, "open", false) && member_int(seen, "term", 0) == term;
}

char *plane_leader(const AgentOptions *options, Arena *arena, const char *cluster)
{
    CLEANUP(record_free_ptr)
    json_t *json = mirror_record_new(options->mirror, "cluster/%s", cluster);
    HaRecord record;
    if (json == NULL || !ha_record_parse(json, &record, NULL) || !ha_record_serves(&record)) {
        return NULL;
    }
    CLEANUP(record_free_ptr)
    json_t *seen = mirror_record_new(options->mirror, "node/%s/seen", record.leader.text);
    return takes_requests(seen, record.term) ? arena_strdup(arena, record.leader.text) : NULL;
}
