/*
 * aws_security_group. A block of rules is taken apart into single rules, each with one protocol,
 * one range of ports and one peer: that is how blocks are compared, and what is granted and
 * revoked. New rules are granted before old ones are revoked, so that nobody is locked out in
 * between.
 */
#include <stdio.h>

#include "cli/resource/resource_tables_priv.h"

static const KindAttribute attributes[] = {
    REQUIRED("name", STRING, RULE_KEY, "GroupName"),
    OPTIONAL("description", STRING, RULE_REPLACES, "Description", "\"Managed by Terraform\""),
    COMPUTED("vpc_id", STRING, RULE_REPLACES, "VpcId"),
    OURS("revoke_rules_on_delete", BOOL, 0, NULL),
    READ_ONLY("id", STRING, "GroupId"),
    READ_ONLY("arn", STRING, NULL),
    READ_ONLY("owner_id", STRING, "OwnerId"),
    REFUSED("name_prefix", STRING, NAME_PREFIX_REFUSED),
};

static const TfAttribute rule[] = {
    {"from_port", TF_TYPE_INTEGER, TF_REQUIRED, NULL},
    {"to_port", TF_TYPE_INTEGER, TF_REQUIRED, NULL},
    {"protocol", TF_TYPE_STRING, TF_REQUIRED, NULL},
    {"cidr_blocks", TF_TYPE_STRING_LIST, 0, NULL},
    {"ipv6_cidr_blocks", TF_TYPE_STRING_LIST, 0, NULL},
    {"security_groups", TF_TYPE_STRING_SET, 0, NULL},
    {"self", TF_TYPE_BOOL, 0, NULL},
    {"description", TF_TYPE_STRING, 0, NULL},
    {"prefix_list_ids", TF_TYPE_STRING_LIST, 0, "there are no prefix lists: write cidr_blocks"},
};

static const KindBlock blocks[] = {
    {.tf = {.name = "ingress",
            .schema = {.attributes = rule, .attributes_len = ARRAY_LEN(rule)},
            .as_argument = true},
     .split = split_rules},
    {.tf = {.name = "egress",
            .schema = {.attributes = rule, .attributes_len = ARRAY_LEN(rule)},
            .as_argument = true},
     .split = split_rules},
};

/* ---- single rules: {protocol, from, to, peer: cidr | cidr6 | group | self, value, description} --
 */

static const char *protocol_name(Arena *arena, const char *protocol)
{
    static const char *const names[][2] = {
        {"6", "tcp"}, {"17", "udp"}, {"1", "icmp"}, {"58", "icmpv6"}, {"all", "-1"}};
    const char *lower = text_lower_new(arena, protocol);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i][0], lower) == 0) {
            return names[i][1];
        }
    }
    return lower;
}

static void add_rule(json_t *rules, const json_t *head, const char *peer, const char *value)
{
    json_t *single = json_copy((json_t *)(uintptr_t)head);
    json_object_set_new(single, "peer", json_string(peer));
    json_object_set_new(single, "value", json_string(value));
    json_array_append_new(rules, single);
}

static void add_peers(json_t *rules, const json_t *head, const json_t *block, const char *member,
                      const char *peer)
{
    size_t i;
    const json_t *item;
    json_array_foreach (json_object_get(block, member), i, item) {
        add_rule(rules, head, peer, json_string_value(item) != NULL ? json_string_value(item) : "");
    }
}

/* Appends the single rules of one block. */
static void block_rules(Arena *arena, const json_t *block, json_t *rules)
{
    const char *protocol = protocol_name(arena, member_str(block, "protocol", "tcp"));
    bool all = strcmp(protocol, "-1") == 0;
    CLEANUP(record_free_ptr)
    json_t *head = json_pack("{s:s, s:I, s:I, s:s}", "protocol", protocol, "from",
                             (json_int_t)(all ? 0 : member_int(block, "from_port", 0)), "to",
                             (json_int_t)(all ? 0 : member_int(block, "to_port", 0)), "description",
                             member_str(block, "description", ""));
    add_peers(rules, head, block, "cidr_blocks", "cidr");
    add_peers(rules, head, block, "ipv6_cidr_blocks", "cidr6");
    add_peers(rules, head, block, "security_groups", "group");
    if (member_bool(block, "self", false)) {
        add_rule(rules, head, "self", "self");
    }
}

static json_t *rules_new(Arena *arena, const json_t *block_list)
{
    json_t *rules = json_array();
    size_t i;
    const json_t *block;
    json_array_foreach (block_list, i, block) {
        block_rules(arena, block, rules);
    }
    return rules;
}

/* "tcp 5432 from 127.0.0.0/8": what two rules of the same meaning have in common. */
static const char *rule_label(Arena *arena, const json_t *single)
{
    const char *protocol = member_str(single, "protocol", "");
    int64_t from = member_int(single, "from", 0);
    int64_t to = member_int(single, "to", 0);
    char ports[64] = "";
    if (strcmp(protocol, "-1") != 0 && from == to) {
        snprintf(ports, sizeof(ports), " %lld", (long long)from);
    } else if (strcmp(protocol, "-1") != 0) {
        snprintf(ports, sizeof(ports), " %lld-%lld", (long long)from, (long long)to);
    }
    return arena_printf(arena, "%s%s, %s", strcmp(protocol, "-1") == 0 ? "all" : protocol, ports,
                        member_str(single, "value", ""));
}

void split_rules(Atoms *atoms, const char *name, const TfValue *value)
{
    if (value->kind != TF_LIST && value->kind != TF_SET) {
        atoms_add(atoms, name, value);
        return;
    }
    for (size_t i = 0; i < value->list.len; i++) {
        const TfValue *block = value->list.items[i];
        if (block->holds_unknown) {
            atoms_add(atoms, arena_printf(atoms->arena, "%s[%zu]", name, i), tf_unknown());
            continue;
        }
        CLEANUP(record_free_ptr) json_t *tree = tf_to_value_new(block);
        CLEANUP(record_free_ptr) json_t *rules = json_array();
        block_rules(atoms->arena, tree, rules);
        size_t k;
        const json_t *single;
        json_array_foreach (rules, k, single) {
            const char *description = member_str(single, "description", "");
            atoms_add(
                atoms,
                arena_printf(atoms->arena, "%s[\"%s\"]", name, rule_label(atoms->arena, single)),
                tf_string(atoms->arena, slice_of(description)));
        }
    }
}

/* ---- reading ----------------------------------------------------------------------------------
 */

/* Appends one block per peer: {protocol, ports, description, [peer]}. */
static void peer_blocks(const json_t *permission, const char *ranges, const char *member,
                        const char *attribute, const char *own_id, json_t *list)
{
    size_t i;
    const json_t *range;
    json_array_foreach (json_object_get(permission, ranges), i, range) {
        const char *peer = member_str(range, member, "");
        json_t *block =
            json_pack("{s:s, s:I, s:I}", "protocol", member_str(permission, "IpProtocol", "-1"),
                      "from_port", (json_int_t)member_int(permission, "FromPort", 0), "to_port",
                      (json_int_t)member_int(permission, "ToPort", 0));
        const char *description = member_str(range, "Description", "");
        json_object_set_new(block, "description", json_string(description));
        if (strcmp(peer, own_id) == 0) {
            json_object_set_new(block, "self", json_true());
        } else {
            json_object_set_new(block, attribute, json_pack("[s]", peer));
        }
        json_array_append_new(list, block);
    }
}

static json_t *permission_blocks_new(const json_t *permissions, const char *own_id)
{
    json_t *list = json_array();
    size_t i;
    const json_t *permission;
    json_array_foreach (permissions, i, permission) {
        peer_blocks(permission, "IpRanges", "CidrIp", "cidr_blocks", own_id, list);
        peer_blocks(permission, "Ipv6Ranges", "CidrIpv6", "ipv6_cidr_blocks", own_id, list);
        peer_blocks(permission, "UserIdGroupPairs", "GroupId", "security_groups", own_id, list);
    }
    return list;
}

static void read_one(PresentList *list, const json_t *item)
{
    Present *present = present_add(list, &kind_security_group, item, json_object_get(item, "Tags"));
    const char *id = member_str(item, "GroupId", "");
    present->key = arena_strdup(list->arena, member_str(item, "GroupName", ""));
    present->handle = arena_strdup(list->arena, id);
    present->fixed = strcmp(id, MODEL_DEFAULT_SECURITY_GROUP_ID) == 0;
    json_object_set_new(present->attributes, "ingress",
                        permission_blocks_new(json_object_get(item, "IpPermissions"), id));
    json_object_set_new(present->attributes, "egress",
                        permission_blocks_new(json_object_get(item, "IpPermissionsEgress"), id));
}

static bool group_read(const Caller *caller, const char *key, PresentList *list, Err *err)
{
    CLEANUP(record_free_ptr) json_t *items = NULL;
    json_t *input = key != NULL ? json_pack("{s:[{s:s, s:[s]}]}", "Filters", "Name", "group-name",
                                            "Values", key)
                                : NULL;
    TRY(caller_list(caller, "ec2", "DescribeSecurityGroups", input, "SecurityGroups", &items, err));
    size_t i;
    const json_t *item;
    json_array_foreach (items, i, item) {
        read_one(list, item);
    }
    return true;
}

/* ---- changing ---------------------------------------------------------------------------------
 */

static json_t *permission_new(const json_t *single, const char *own_id)
{
    const char *peer = member_str(single, "peer", "");
    const char *protocol = member_str(single, "protocol", "");
    const char *value = strcmp(peer, "self") == 0 ? own_id : member_str(single, "value", "");
    bool cidr = strcmp(peer, "cidr") == 0;
    bool cidr6 = strcmp(peer, "cidr6") == 0;
    json_t *range = json_pack("{s:s}", cidr ? "CidrIp" : cidr6 ? "CidrIpv6" : "GroupId", value);
    if (member_str(single, "description", "")[0] != '\0') {
        json_object_set(range, "Description", json_object_get(single, "description"));
    }
    json_t *permission = json_pack("{s:s, s:[o]}", "IpProtocol", protocol,
                                   cidr    ? "IpRanges"
                                   : cidr6 ? "Ipv6Ranges"
                                           : "UserIdGroupPairs",
                                   range);
    if (strcmp(protocol, "-1") != 0) {
        json_object_set(permission, "FromPort", json_object_get(single, "from"));
        json_object_set(permission, "ToPort", json_object_get(single, "to"));
    }
    return permission;
}

static const json_t *rule_like(Arena *arena, const json_t *rules, const json_t *single)
{
    const char *label = rule_label(arena, single);
    size_t i;
    const json_t *other;
    json_array_foreach (rules, i, other) {
        if (strcmp(rule_label(arena, other), label) == 0) {
            return other;
        }
    }
    return NULL;
}

typedef enum Pick { PICK_MISSING, PICK_REWORDED } Pick;

/* The permissions of those of `rules` that `others` lacks, or has with another description. */
static json_t *permissions_new(Change *change, const json_t *rules, const json_t *others, Pick pick,
                               const char *own_id)
{
    json_t *list = json_array();
    size_t i;
    const json_t *single;
    json_array_foreach (rules, i, single) {
        const json_t *other = rule_like(change->arena, others, single);
        bool reworded = other != NULL && json_equal(other, single) != 1;
        if (pick == PICK_MISSING ? other == NULL : reworded) {
            json_array_append_new(list, permission_new(single, own_id));
        }
    }
    return list;
}

static bool send_rules(Change *change, const char *operation, const char *id,
                       json_t *permissions_taken, Err *err)
{
    if (json_array_size(permissions_taken) == 0) {
        json_decref(permissions_taken);
        return true;
    }
    return change_call(change, "ec2", operation,
                       json_pack("{s:s, s:o}", "GroupId", id, "IpPermissions", permissions_taken),
                       NULL, err);
}

/* `block` is ingress or egress; `present` the blocks that are there. */
static bool set_rules(Change *change, const char *block, const char *id, const json_t *present,
                      Err *err)
{
    bool in = strcmp(block, "ingress") == 0;
    const char *grant = in ? "AuthorizeSecurityGroupIngress" : "AuthorizeSecurityGroupEgress";
    const char *revoke = in ? "RevokeSecurityGroupIngress" : "RevokeSecurityGroupEgress";
    CLEANUP(record_free_ptr)
    json_t *want = rules_new(change->arena, json_object_get(change->desired, block));
    CLEANUP(record_free_ptr) json_t *have = rules_new(change->arena, present);
    return send_rules(change, grant, id, permissions_new(change, want, have, PICK_MISSING, id),
                      err) &&
           send_rules(change, revoke, id, permissions_new(change, have, want, PICK_MISSING, id),
                      err) &&
           send_rules(change, revoke, id, permissions_new(change, have, want, PICK_REWORDED, id),
                      err) &&
           send_rules(change, grant, id, permissions_new(change, want, have, PICK_REWORDED, id),
                      err);
}

/* A new group lets everything out; the files' word on egress takes the place of that, as with the
 * provider also when they say nothing. */
static bool new_group_rules(Change *change, const char *id, Err *err)
{
    CLEANUP(record_free_ptr)
    json_t *everything = json_pack("[{s:s, s:i, s:i, s:[s]}]", "protocol", "-1", "from_port", 0,
                                   "to_port", 0, "cidr_blocks", "0.0.0.0/0");
    return set_rules(change, "ingress", id, NULL, err) &&
           set_rules(change, "egress", id, everything, err);
}

static bool group_create(Change *change, Err *err)
{
    json_t *input = input_create_new(change, "ec2", "CreateSecurityGroup");
    json_object_set_new(input, "Description",
                        json_string(desired_str(change, "description", "Managed by Terraform")));
    json_object_set_new(input, "TagSpecifications",
                        json_pack("[{s:s, s:o}]", "ResourceType", "security-group", "Tags",
                                  tags_desired_new(change)));
    json_t *output;
    TRY(change_call(change, "ec2", "CreateSecurityGroup", input, &output, err));
    const char *id = arena_strdup(change->arena, member_str(output, "GroupId", ""));
    json_decref(output);
    return new_group_rules(change, id, err);
}

static bool group_update(Change *change, Err *err)
{
    const json_t *have = change->present->attributes;
    const char *id = change->present->handle;
    return (!change_has(change, "ingress") ||
            set_rules(change, "ingress", id, json_object_get(have, "ingress"), err)) &&
           (!change_has(change, "egress") ||
            set_rules(change, "egress", id, json_object_get(have, "egress"), err));
}

static bool group_destroy(Change *change, Err *err)
{
    return change_call(change, "ec2", "DeleteSecurityGroup",
                       json_pack("{s:s}", "GroupId", change->present->handle), NULL, err);
}

static const char *const busy_faults[] = {"DependencyViolation", "InvalidGroup.InUse", NULL};

const ResourceKind kind_security_group = {
    .type = "aws_security_group",
    .noun = "security group",
    .model = RESOURCE_SECURITY_GROUP,
    .attributes = attributes,
    .attributes_len = ARRAY_LEN(attributes),
    .blocks = blocks,
    .blocks_len = ARRAY_LEN(blocks),
    .key = {"name"},
    .busy_faults = busy_faults,
    .tags = TAGS_EC2,
    .destroy_rank = 6,
    .timeout_ms = 60 * MS_PER_S,
    .read = group_read,
    .create = group_create,
    .update = group_update,
    .destroy = group_destroy,
};
