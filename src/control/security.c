/*
 * Security groups as the data plane enforces them: for one endpoint's port, the list of networks
 * that may connect. A rule that names a group means the addresses of the endpoints that have it.
 */
#include "control/control_priv.h"

static bool protocol_fits(const json_t *rule)
{
    const char *protocol = member_str(rule, "IpProtocol", "-1");
    return strcmp(protocol, "-1") == 0 || strcmp(protocol, "tcp") == 0 ||
           strcmp(protocol, "6") == 0;
}

static bool port_fits(const json_t *rule, int port)
{
    return strcmp(member_str(rule, "IpProtocol", "-1"), "-1") == 0 ||
           (member_int(rule, "FromPort", 0) <= port && port <= member_int(rule, "ToPort", 65535));
}

static void add_cidr(json_t *rules, const char *cidr)
{
    json_t *rule = json_pack("{s:s}", "cidr", cidr);
    json_array_append_new(rules, rule);
}

static void add_member(json_t *rules, const json_t *status, const char *member)
{
    const char *host = member_str(status, member, "");
    if (host[0] != '\0') {
        json_t *cidr = json_sprintf("$net.%s/32", host);
        json_array_append_new(rules, json_pack("{s:o}", "cidr", cidr));
    }
}

/* The endpoints that have the group. */
static void add_group(World *world, json_t *rules, const char *group)
{
    static const struct {
        const char *type;
        const char *groups;
    } kinds[] = {{"db-instance", "VpcSecurityGroupIds"},
                 {"db-proxy", "VpcSecurityGroupIds"},
                 {"db-proxy-endpoint", "VpcSecurityGroupIds"},
                 {"replication-group", "SecurityGroupIds"}};
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        const char *prefix = arena_printf(world->arena, "spec/%s/", kinds[k].type);
        WorldKeys keys = world_keys(world, prefix);
        for (size_t i = 0; i < keys.len; i++) {
            if (member_has(world_get(world, keys.items[i]), kinds[k].groups, group)) {
                const json_t *status = world_getf(world, "status/%s/%s", kinds[k].type,
                                                  keys.items[i] + strlen(prefix));
                add_member(rules, status, "endpoint_host");
                add_member(rules, status, "primary_host");
                add_member(rules, status, "reader_host");
            }
        }
    }
}

static void add_rules_of(World *world, json_t *rules, const json_t *group, int port)
{
    size_t i;
    json_t *rule;
    json_array_foreach (member_array(group, "ingress"), i, rule) {
        if (!protocol_fits(rule) || !port_fits(rule, port)) {
            continue;
        }
        if (json_object_get(rule, "CidrIpv4") != NULL) {
            add_cidr(rules, member_str(rule, "CidrIpv4", ""));
        } else if (json_object_get(rule, "CidrIpv6") != NULL) {
            add_cidr(rules, member_str(rule, "CidrIpv6", ""));
        } else {
            add_group(world, rules, member_str(rule, "GroupId", ""));
        }
    }
}

json_t *security_rules(World *world, const json_t *group_ids, int port)
{
    json_t *rules = json_array();
    size_t i;
    json_t *id;
    json_array_foreach (group_ids, i, id) {
        const json_t *group = world_getf(world, "spec/security-group/%s", json_string_value(id));
        if (group != NULL) {
            add_rules_of(world, rules, group, port);
        } else if (strcmp(json_string_value(id), MODEL_DEFAULT_SECURITY_GROUP_ID) == 0) {
            json_t *fallback = default_security_group_new();
            add_rules_of(world, rules, fallback, port);
            json_decref(fallback);
        }
    }
    return rules;
}
