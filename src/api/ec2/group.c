/* Security groups: made, found, shown, deleted. */
#include "api/ec2/ec2_priv.h"

const char *group_id_of(const json_t *spec)
{
    return member_str(spec, "GroupId", "");
}

/* ---- finding
 * ------------------------------------------------------------------------------------- */

/* The default group is there without a record; with one it stands in the list already. */
RecordList group_list(ApiContext *ctx)
{
    RecordList list = spec_list(ctx, RESOURCE_SECURITY_GROUP);
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(group_id_of(list.items[i].value), MODEL_DEFAULT_SECURITY_GROUP_ID) == 0) {
            return list;
        }
    }
    /* record_list leaves room for one more */
    list.items[list.len++] =
        (RecordItem){"", security_group_get(ctx, MODEL_DEFAULT_SECURITY_GROUP_ID)};
    return list;
}

static json_t *group_by_name(ApiContext *ctx, const char *name)
{
    RecordList list = group_list(ctx);
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(member_str(list.items[i].value, "GroupName", ""), name) == 0) {
            return security_group_get(ctx, group_id_of(list.items[i].value));
        }
    }
    return NULL;
}

json_t *group_find(ApiContext *ctx, const json_t *input)
{
    const char *id = input_str(input, "GroupId");
    const char *name = input_str(input, "GroupName");
    if (id == NULL && name == NULL) {
        refuse(ctx, "MissingParameter", "The request must contain the parameter GroupId");
        return NULL;
    }
    json_t *spec = id != NULL ? security_group_get(ctx, id) : group_by_name(ctx, name);
    if (spec == NULL) {
        refuse(ctx, "InvalidGroup.NotFound", "The security group '%s' does not exist",
               id != NULL ? id : name);
    }
    return spec;
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

json_t *wildcard_rule(const char *cidr)
{
    char id[MODEL_ID_SIZE];
    security_rule_id_make(id);
    return json_pack("{s:s, s:s, s:s}", "rule_id", id, "IpProtocol", "-1", "CidrIpv4", cidr);
}

json_t *specified_tags(const json_t *input, const char *resource_type)
{
    json_t *tags = json_array();
    size_t index;
    const json_t *item;
    json_array_foreach (json_object_get(input, "TagSpecifications"), index, item) {
        if (strcmp(member_str(item, "ResourceType", resource_type), resource_type) == 0) {
            json_array_extend(tags, member_array(item, "Tags"));
        }
    }
    return tags;
}

static bool create_check(ApiContext *ctx, const json_t *input, const char **ret_name)
{
    const char *name;
    const char *description;
    const char *vpc = input_str(input, "VpcId");
    Err err;
    TRY(input_required(ctx, input, "GroupName", &name) &&
        input_required(ctx, input, "Description", &description));
    if (!identifier_check(RESOURCE_SECURITY_GROUP, "GroupName", slice_of(name), &err)) {
        return refuse_err(ctx, &err);
    }
    if (vpc != NULL && strcmp(vpc, MODEL_VPC_ID) != 0) {
        return refuse(ctx, "InvalidVpcID.NotFound",
                      "The vpc ID '%s' does not exist. This tier has %s.", vpc, MODEL_VPC_ID);
    }
    if (group_by_name(ctx, name) != NULL) {
        return refuse(ctx, "InvalidGroup.Duplicate",
                      "The security group '%s' already exists for VPC '%s'", name, MODEL_VPC_ID);
    }
    *ret_name = name;
    return group_list(ctx).len < GROUPS_MAX
               ? true
               : refuse(ctx, "SecurityGroupLimitExceeded",
                        "This tier holds at most %d security groups.", GROUPS_MAX);
}

bool ec2_create_group(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const handled[] = {"TagSpecifications", "DryRun", NULL};
    const char *name;
    char id[MODEL_ID_SIZE];
    json_t *tags = context_own(ctx, specified_tags(input, "security-group"));
    json_t *spec = context_own(ctx, json_object());
    references_hold(ctx); /* names are unique across keys */
    TRY(create_check(ctx, input, &name) && tags_check(ctx, tags) &&
        fields_create(ctx, RESOURCE_SECURITY_GROUP, input, handled, spec));
    security_group_id_make(id);
    json_object_set_new(spec, "GroupId", json_string(id));
    json_object_set_new(spec, "ingress", json_array());
    json_object_set_new(spec, "egress", json_pack("[o]", wildcard_rule("0.0.0.0/0")));
    spec_create(ctx, RESOURCE_SECURITY_GROUP, id, spec, tags);
    *ret_output = json_pack("{s:s, s:o}", "GroupId", id, "Tags", tags_copy(spec));
    return true;
}

/* ---- delete
 * -------------------------------------------------------------------------------------- */

/* Who uses the group, or NULL. */
static const char *group_user(ApiContext *ctx, const char *id)
{
    static const struct {
        ResourceType type;
        const char *member;
    } users[] = {
        {RESOURCE_DB_INSTANCE, "VpcSecurityGroupIds"},
        {RESOURCE_DB_PROXY, "VpcSecurityGroupIds"},
        {RESOURCE_DB_PROXY_ENDPOINT, "VpcSecurityGroupIds"},
        {RESOURCE_REPLICATION_GROUP, "SecurityGroupIds"},
    };
    for (size_t i = 0; i < ARRAY_LEN(users); i++) {
        const char *user = user_of(ctx, users[i].type, users[i].member, id);
        if (user != NULL) {
            return user;
        }
    }
    return NULL;
}

static bool rules_name(const json_t *rules, const char *id)
{
    size_t index;
    const json_t *rule;
    json_array_foreach (rules, index, rule) {
        if (strcmp(member_str(rule, "GroupId", ""), id) == 0) {
            return true;
        }
    }
    return false;
}

/* Another group whose rules name this one, or NULL. */
static const char *group_referrer(ApiContext *ctx, const char *id)
{
    RecordList list = group_list(ctx);
    for (size_t i = 0; i < list.len; i++) {
        const json_t *other = list.items[i].value;
        if (strcmp(group_id_of(other), id) != 0 &&
            (rules_name(member_array(other, "ingress"), id) ||
             rules_name(member_array(other, "egress"), id))) {
            return group_id_of(other);
        }
    }
    return NULL;
}

bool ec2_delete_group(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    json_t *spec = group_find(ctx, input);
    if (spec == NULL) {
        return false;
    }
    const char *id = group_id_of(spec);
    if (strcmp(id, MODEL_DEFAULT_SECURITY_GROUP_ID) == 0) {
        return refuse(ctx, "CannotDelete",
                      "the specified group: \"%s\" name: \"default\" cannot be deleted by a user",
                      id);
    }
    references_hold(ctx);
    const char *user = group_user(ctx, id);
    if (user == NULL) {
        user = group_referrer(ctx, id);
    }
    if (user != NULL) {
        return refuse(ctx, "DependencyViolation", "resource %s has a dependent object (%s)", id,
                      user);
    }
    spec_delete(ctx, RESOURCE_SECURITY_GROUP, id);
    return true;
}

/* ---- describe
 * ------------------------------------------------------------------------------------ */

static json_t *group_view(ApiContext *ctx, const json_t *spec)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "GroupId", group_id_of(spec),
                     "GroupName", member_str(spec, "GroupName", ""), "Description",
                     member_str(spec, "Description", ""), "VpcId",
                     member_str(spec, "VpcId", MODEL_VPC_ID), "OwnerId", ctx->tier.account,
                     "IpPermissions", permissions_view(ctx, member_array(spec, "ingress")),
                     "IpPermissionsEgress", permissions_view(ctx, member_array(spec, "egress")),
                     "Tags", tags_copy(spec));
}

bool tag_filters_pass(const json_t *input, const json_t *spec)
{
    size_t index;
    const json_t *tag;
    const json_t *keys = filter_values(input, "tag-key");
    bool keyed = keys == NULL;
    json_array_foreach (json_object_get(spec, "TagList"), index, tag) {
        keyed = keyed || filter_passes(keys, member_str(tag, "Key", ""));
    }
    const json_t *filter;
    json_array_foreach (json_object_get(input, "Filters"), index, filter) {
        const char *name = member_str(filter, "Name", "");
        if (strncmp(name, "tag:", 4) != 0) {
            continue;
        }
        size_t at;
        bool found = false;
        json_array_foreach (json_object_get(spec, "TagList"), at, tag) {
            found = found ||
                    (strcmp(member_str(tag, "Key", ""), name + 4) == 0 &&
                     filter_passes(member_array(filter, "Values"), member_str(tag, "Value", "")));
        }
        keyed = keyed && found;
    }
    return keyed;
}

static bool named_in(const json_t *input, const char *member, const char *text)
{
    return json_array_size(json_object_get(input, member)) == 0 || member_has(input, member, text);
}

static bool group_passes(const json_t *input, const json_t *spec)
{
    const char *id = group_id_of(spec);
    const char *name = member_str(spec, "GroupName", "");
    return named_in(input, "GroupIds", id) && named_in(input, "GroupNames", name) &&
           filter_passes(filter_values(input, "group-id"), id) &&
           filter_passes(filter_values(input, "group-name"), name) &&
           filter_passes(filter_values(input, "vpc-id"), MODEL_VPC_ID) &&
           filter_passes(filter_values(input, "owner-id"), MODEL_ACCOUNT_ID) &&
           filter_passes(filter_values(input, "description"),
                         member_str(spec, "Description", "")) &&
           tag_filters_pass(input, spec);
}

/* Groups asked for by id or name must be there. */
static bool asked_for_exist(ApiContext *ctx, const json_t *input)
{
    size_t index;
    const json_t *item;
    json_array_foreach (json_object_get(input, "GroupIds"), index, item) {
        json_t *one = context_own(ctx, json_pack("{s:O}", "GroupId", item));
        if (group_find(ctx, one) == NULL) {
            return false;
        }
    }
    json_array_foreach (json_object_get(input, "GroupNames"), index, item) {
        json_t *one = context_own(ctx, json_pack("{s:O}", "GroupName", item));
        if (group_find(ctx, one) == NULL) {
            return false;
        }
    }
    return true;
}

bool ec2_describe_groups(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    TRY(asked_for_exist(ctx, input));
    json_t *items = json_array();
    RecordList list = group_list(ctx);
    for (size_t i = 0; i < list.len; i++) {
        if (group_passes(input, list.items[i].value)) {
            json_array_append_new(items, group_view(ctx, list.items[i].value));
        }
    }
    return page_output_by(ctx, &page_token, input, "SecurityGroups", items, ret_output);
}
