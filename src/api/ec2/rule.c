/*
 * Rules of security groups. EC2's operations speak of permissions (a protocol and ports with many
 * peers); a group keeps one rule per peer, which is what is counted, compared and enforced.
 */
#include "api/ec2/ec2_priv.h"

/* ---- protocols and ports
 * ------------------------------------------------------------------------- */

static const char *protocol_name(ApiContext *ctx, const char *given)
{
    static const struct {
        const char *number, *name;
    } names[] = {{"6", "tcp"}, {"17", "udp"}, {"1", "icmp"}, {"58", "icmpv6"}, {"all", "-1"}};
    char *lower = text_lower(ctx->arena, given);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(lower, names[i].number) == 0) {
            return names[i].name;
        }
    }
    return lower;
}

static bool has_ports(const char *protocol)
{
    return strcmp(protocol, "tcp") == 0 || strcmp(protocol, "udp") == 0;
}

static bool protocol_check(ApiContext *ctx, const char *protocol)
{
    uint64_t number;
    bool known = has_ports(protocol) || strcmp(protocol, "-1") == 0 ||
                 strcmp(protocol, "icmp") == 0 || strcmp(protocol, "icmpv6") == 0 ||
                 (str_to_u64(slice_of(protocol), &number) && number <= 255);
    return known ? true
                 : refuse(ctx, "InvalidPermission.Malformed", "Unsupported IP protocol \"%s\"",
                          protocol);
}

/* {IpProtocol, FromPort, ToPort} of a permission, as rules keep it. */
static bool rule_base(ApiContext *ctx, const json_t *permission, json_t **ret_base)
{
    const char *given;
    TRY(input_required(ctx, permission, "IpProtocol", &given));
    const char *protocol = protocol_name(ctx, given);
    TRY(protocol_check(ctx, protocol));
    json_t *base = context_own(ctx, json_pack("{s:s}", "IpProtocol", protocol));
    *ret_base = base;
    if (strcmp(protocol, "-1") == 0) {
        return true;
    }
    int64_t from = member_int(permission, "FromPort", -1);
    int64_t to = member_int(permission, "ToPort", has_ports(protocol) ? from : -1);
    if (has_ports(protocol) && (from < 0 || to > 65535 || from > to)) {
        return refuse(ctx, "InvalidParameterValue", "Invalid TCP/UDP port range (%lld:%lld)",
                      (long long)from, (long long)to);
    }
    json_object_set_new(base, "FromPort", json_integer(from));
    json_object_set_new(base, "ToPort", json_integer(to));
    return true;
}

/* ---- from permissions to rules
 * ------------------------------------------------------------------- */

static bool add_rule(ApiContext *ctx, const json_t *base, const char *peer_member, const char *peer,
                     const json_t *from, json_t *rules)
{
    (void)ctx;
    json_t *rule = json_deep_copy(base);
    const char *description = input_str(from, "Description");
    json_object_set_new(rule, peer_member, json_string(peer));
    if (description != NULL) {
        json_object_set_new(rule, "Description", json_string(description));
    }
    json_array_append_new(rules, rule);
    return true;
}

static bool add_ranges(ApiContext *ctx, const json_t *permission, const json_t *base, bool ipv6,
                       json_t *rules)
{
    size_t index;
    const json_t *range;
    json_array_foreach (json_object_get(permission, ipv6 ? "Ipv6Ranges" : "IpRanges"), index,
                        range) {
        const char *cidr;
        Err err;
        TRY(input_required(ctx, range, ipv6 ? "CidrIpv6" : "CidrIp", &cidr));
        if (!cidr_check(slice_of(cidr), ipv6, &err)) {
            return refuse_err(ctx, &err);
        }
        TRY(add_rule(ctx, base, ipv6 ? "CidrIpv6" : "CidrIpv4", cidr, range, rules));
    }
    return true;
}

static bool add_pairs(ApiContext *ctx, const json_t *permission, const json_t *base, json_t *rules)
{
    size_t index;
    const json_t *pair;
    json_array_foreach (json_object_get(permission, "UserIdGroupPairs"), index, pair) {
        json_t *group = group_find(ctx, pair);
        TRY(group != NULL && add_rule(ctx, base, "GroupId", group_id_of(group), pair, rules));
    }
    return true;
}

static bool add_permission(ApiContext *ctx, const json_t *permission, json_t *rules)
{
    json_t *base;
    size_t before = json_array_size(rules);
    if (json_array_size(json_object_get(permission, "PrefixListIds")) > 0) {
        return refuse_unsupported(ctx, "prefix lists in security groups.");
    }
    TRY(rule_base(ctx, permission, &base) && add_ranges(ctx, permission, base, false, rules) &&
        add_ranges(ctx, permission, base, true, rules) && add_pairs(ctx, permission, base, rules));
    return json_array_size(rules) > before
               ? true
               : refuse(ctx, "InvalidPermission.Malformed",
                        "A rule names a CIDR range or a security group.");
}

/* The old form: one permission as members of the input itself. */
static json_t *flat_permission(ApiContext *ctx, const json_t *input)
{
    json_t *permission = context_own(ctx, json_object());
    static const char *const copied[] = {"IpProtocol", "FromPort", "ToPort"};
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_object_set(permission, copied[i], json_object_get(input, copied[i]));
    }
    const char *cidr = input_str(input, "CidrIp");
    const char *group = input_str(input, "SourceSecurityGroupName");
    if (cidr != NULL) {
        json_object_set_new(permission, "IpRanges", json_pack("[{s:s}]", "CidrIp", cidr));
    }
    if (group != NULL) {
        json_object_set_new(permission, "UserIdGroupPairs",
                            json_pack("[{s:s}]", "GroupName", group));
    }
    return permission;
}

/* The rules that the input speaks of, without ids. */
static bool input_rules(ApiContext *ctx, const json_t *input, json_t **ret_rules)
{
    json_t *rules = context_own(ctx, json_array());
    const json_t *permissions = json_object_get(input, "IpPermissions");
    *ret_rules = rules;
    if (json_array_size(permissions) == 0) {
        if (input_str(input, "IpProtocol") == NULL) {
            return refuse(ctx, "MissingParameter",
                          "The request must contain the parameter IpPermissions");
        }
        return add_permission(ctx, flat_permission(ctx, input), rules);
    }
    size_t index;
    const json_t *permission;
    json_array_foreach (permissions, index, permission) {
        TRY(add_permission(ctx, permission, rules));
    }
    return true;
}

/* ---- comparing
 * ----------------------------------------------------------------------------------- */

/* A description does not make a rule another one. */
static bool same_rule(const json_t *a, const json_t *b)
{
    static const char *const texts[] = {"IpProtocol", "CidrIpv4", "CidrIpv6", "GroupId"};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (strcmp(member_str(a, texts[i], ""), member_str(b, texts[i], "")) != 0) {
            return false;
        }
    }
    return member_int(a, "FromPort", -1) == member_int(b, "FromPort", -1) &&
           member_int(a, "ToPort", -1) == member_int(b, "ToPort", -1);
}

static size_t rule_index(const json_t *rules, const json_t *rule)
{
    size_t index;
    const json_t *item;
    json_array_foreach (rules, index, item) {
        if (same_rule(item, rule)) {
            return index;
        }
    }
    return json_array_size(rules);
}

static size_t rule_index_by_id(const json_t *rules, const char *rule_id)
{
    size_t index;
    const json_t *item;
    json_array_foreach (rules, index, item) {
        if (strcmp(member_str(item, "rule_id", ""), rule_id) == 0) {
            return index;
        }
    }
    return json_array_size(rules);
}

/* ---- authorize, revoke
 * --------------------------------------------------------------------------- */

static json_t *direction(json_t *spec, bool egress)
{
    const char *member = egress ? "egress" : "ingress";
    if (member_array(spec, member) == NULL) {
        json_object_set_new(spec, member, json_array());
    }
    return member_array(spec, member);
}

static bool insert_rule(ApiContext *ctx, json_t *rules, json_t *rule)
{
    char id[MODEL_ID_SIZE];
    if (rule_index(rules, rule) < json_array_size(rules)) {
        return refuse(ctx, "InvalidPermission.Duplicate",
                      "the specified rule \"peer: %s, %s, from port: %lld, to port: %lld, ALLOW\" "
                      "already exists",
                      member_str(rule, "CidrIpv4",
                                 member_str(rule, "CidrIpv6", member_str(rule, "GroupId", ""))),
                      member_str(rule, "IpProtocol", ""),
                      (long long)member_int(rule, "FromPort", -1),
                      (long long)member_int(rule, "ToPort", -1));
    }
    if (json_array_size(rules) >= RULES_MAX) {
        return refuse(ctx, "RulesPerSecurityGroupLimitExceeded",
                      "A security group has at most %d rules in one direction.", RULES_MAX);
    }
    security_rule_id_make(id);
    json_object_set_new(rule, "rule_id", json_string(id));
    json_array_append(rules, rule);
    return true;
}

static bool authorize(ApiContext *ctx, const json_t *input, bool egress, json_t **ret_output)
{
    json_t *given;
    json_t *spec = group_find(ctx, input);
    if (spec == NULL || !input_rules(ctx, input, &given)) {
        return false;
    }
    size_t index;
    json_t *rule;
    json_t *shown = context_own(ctx, json_array());
    references_hold(ctx);
    json_array_foreach (given, index, rule) {
        TRY(insert_rule(ctx, direction(spec, egress), rule));
        json_array_append_new(shown, rule_view(ctx, spec, rule, egress));
    }
    spec_change(ctx, RESOURCE_SECURITY_GROUP, group_id_of(spec), spec);
    *ret_output = json_pack("{s:b, s:O}", "Return", 1, "SecurityGroupRules", shown);
    return true;
}

static bool revoke_by_ids(ApiContext *ctx, const json_t *ids, json_t *rules)
{
    size_t index;
    const json_t *id;
    json_array_foreach (ids, index, id) {
        size_t at = rule_index_by_id(rules, json_is_string(id) ? json_string_value(id) : "");
        if (at == json_array_size(rules)) {
            return refuse(ctx, "InvalidSecurityGroupRuleId.NotFound",
                          "The security group rule ID '%s' does not exist", json_string_value(id));
        }
        json_array_remove(rules, at);
    }
    return true;
}

static bool revoke_by_rules(ApiContext *ctx, const json_t *input, json_t *rules)
{
    json_t *given;
    size_t index;
    const json_t *rule;
    TRY(input_rules(ctx, input, &given));
    json_array_foreach (given, index, rule) {
        size_t at = rule_index(rules, rule);
        if (at == json_array_size(rules)) {
            return refuse(ctx, "InvalidPermission.NotFound",
                          "The specified rule does not exist in this security group.");
        }
        json_array_remove(rules, at);
    }
    return true;
}

static bool revoke(ApiContext *ctx, const json_t *input, bool egress, json_t **ret_output)
{
    json_t *spec = group_find(ctx, input);
    if (spec == NULL) {
        return false;
    }
    json_t *rules = direction(spec, egress);
    const json_t *ids = json_object_get(input, "SecurityGroupRuleIds");
    TRY(json_array_size(ids) > 0 ? revoke_by_ids(ctx, ids, rules)
                                 : revoke_by_rules(ctx, input, rules));
    spec_change(ctx, RESOURCE_SECURITY_GROUP, group_id_of(spec), spec);
    *ret_output = json_pack("{s:b}", "Return", 1);
    return true;
}

bool ec2_authorize_ingress(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return authorize(ctx, input, false, ret_output);
}

bool ec2_authorize_egress(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return authorize(ctx, input, true, ret_output);
}

bool ec2_revoke_ingress(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return revoke(ctx, input, false, ret_output);
}

bool ec2_revoke_egress(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return revoke(ctx, input, true, ret_output);
}

/* ---- views
 * --------------------------------------------------------------------------------------- */

/* The permission of this protocol and these ports, made where it is the first of them. */
static json_t *permission_for(json_t *permissions, const json_t *rule)
{
    size_t index;
    json_t *permission;
    json_array_foreach (permissions, index, permission) {
        if (strcmp(member_str(permission, "IpProtocol", ""), member_str(rule, "IpProtocol", "")) ==
                0 &&
            member_int(permission, "FromPort", -1) == member_int(rule, "FromPort", -1) &&
            member_int(permission, "ToPort", -1) == member_int(rule, "ToPort", -1)) {
            return permission;
        }
    }
    permission =
        json_pack("{s:s, s:[], s:[], s:[], s:[]}", "IpProtocol", member_str(rule, "IpProtocol", ""),
                  "IpRanges", "Ipv6Ranges", "UserIdGroupPairs", "PrefixListIds");
    json_object_set(permission, "FromPort", json_object_get(rule, "FromPort"));
    json_object_set(permission, "ToPort", json_object_get(rule, "ToPort"));
    json_array_append_new(permissions, permission);
    return permission;
}

static void add_peer(json_t *permission, const char *list, const char *member, const char *peer,
                     const json_t *rule, const char *owner)
{
    json_t *item = json_pack("{s:s}", member, peer);
    json_object_set(item, "Description", json_object_get(rule, "Description"));
    if (owner != NULL) {
        json_object_set_new(item, "UserId", json_string(owner));
    }
    json_array_append_new(member_array(permission, list), item);
}

json_t *permissions_view(ApiContext *ctx, const json_t *rules)
{
    json_t *permissions = json_array();
    size_t index;
    const json_t *rule;
    json_array_foreach (rules, index, rule) {
        json_t *permission = permission_for(permissions, rule);
        const char *v4 = member_str(rule, "CidrIpv4", NULL);
        const char *v6 = member_str(rule, "CidrIpv6", NULL);
        const char *group = member_str(rule, "GroupId", NULL);
        if (v4 != NULL) {
            add_peer(permission, "IpRanges", "CidrIp", v4, rule, NULL);
        } else if (v6 != NULL) {
            add_peer(permission, "Ipv6Ranges", "CidrIpv6", v6, rule, NULL);
        } else if (group != NULL) {
            add_peer(permission, "UserIdGroupPairs", "GroupId", group, rule, ctx->tier.account);
        }
    }
    return permissions;
}

json_t *rule_view(ApiContext *ctx, const json_t *group, const json_t *rule, bool egress)
{
    static const char *const copied[] = {"IpProtocol", "CidrIpv4", "CidrIpv6", "Description"};
    json_t *view = json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:[]}", "SecurityGroupRuleId",
                             member_str(rule, "rule_id", ""), "GroupId", group_id_of(group),
                             "GroupOwnerId", ctx->tier.account, "IsEgress", egress, "FromPort",
                             (json_int_t)member_int(rule, "FromPort", -1), "ToPort",
                             (json_int_t)member_int(rule, "ToPort", -1), "Tags");
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_object_set(view, copied[i], json_object_get(rule, copied[i]));
    }
    const char *peer = member_str(rule, "GroupId", NULL);
    if (peer != NULL) {
        json_object_set_new(view, "ReferencedGroupInfo",
                            json_pack("{s:s, s:s, s:s}", "GroupId", peer, "UserId",
                                      ctx->tier.account, "VpcId", MODEL_VPC_ID));
    }
    return view;
}

static void append_rules(ApiContext *ctx, const json_t *input, json_t *group, bool egress,
                         json_t *items)
{
    size_t index;
    const json_t *rule;
    const json_t *wanted = json_object_get(input, "SecurityGroupRuleIds");
    json_array_foreach (json_object_get(group, egress ? "egress" : "ingress"), index, rule) {
        const char *id = member_str(rule, "rule_id", "");
        if ((json_array_size(wanted) == 0 || member_has(input, "SecurityGroupRuleIds", id)) &&
            filter_passes(filter_values(input, "security-group-rule-id"), id)) {
            json_array_append_new(items, rule_view(ctx, group, rule, egress));
        }
    }
}

bool ec2_describe_rules(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const filters[] = {"group-id", "security-group-rule-id", NULL};
    TRY(filters_check(ctx, input, filters));
    json_t *items = json_array();
    RecordList list = group_list(ctx);
    for (size_t i = 0; i < list.len; i++) {
        json_t *group = list.items[i].value;
        if (filter_passes(filter_values(input, "group-id"), group_id_of(group))) {
            append_rules(ctx, input, group, false, items);
            append_rules(ctx, input, group, true, items);
        }
    }
    return page_output_by(ctx, &page_token, input, "SecurityGroupRules", items, ret_output);
}
