/* Subnet groups of RDS and of ElastiCache: the same thing under two sets of names. */
#include "api/operations_priv.h"

typedef struct SubnetGroupKind {
    ResourceType type;
    const char *name;        /* the member with the name */
    const char *description; /* the member with the description */
    const char *list;        /* of the describe output */
    const char *one;         /* of the other outputs */
    const char *exists;
    const char *in_use;
    ResourceType user;
    const char *user_member;
} SubnetGroupKind;

static const SubnetGroupKind db_kind = {
    RESOURCE_DB_SUBNET_GROUP,
    "DBSubnetGroupName",
    "DBSubnetGroupDescription",
    "DBSubnetGroups",
    "DBSubnetGroup",
    "DBSubnetGroupAlreadyExists",
    "InvalidDBSubnetGroupStateFault",
    RESOURCE_DB_INSTANCE,
    "DBSubnetGroupName",
};

static const SubnetGroupKind cache_kind = {
    RESOURCE_CACHE_SUBNET_GROUP, "CacheSubnetGroupName",     "CacheSubnetGroupDescription",
    "CacheSubnetGroups",         "CacheSubnetGroup",         "CacheSubnetGroupAlreadyExists",
    "CacheSubnetGroupInUse",     RESOURCE_REPLICATION_GROUP, "CacheSubnetGroupName",
};

/* ---- the view
 * ------------------------------------------------------------------------------------ */

static json_t *group_view(ApiContext *ctx, const SubnetGroupKind *kind, const json_t *spec)
{
    const char *name = member_str(spec, kind->name, "");
    const char *arn = arn_make(ctx->arena, &ctx->tier, kind->type, name);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:[s]}", kind->name, name,
                     kind->description, member_str(spec, kind->description, ""), "VpcId",
                     MODEL_VPC_ID, "SubnetGroupStatus", "Complete", "Subnets",
                     subnets_view(ctx, member_array(spec, "SubnetIds")), "DBSubnetGroupArn", arn,
                     "ARN", arn, "SupportedNetworkTypes",
                     kind->type == RESOURCE_DB_SUBNET_GROUP ? "IPV4" : "ipv4");
}

/* ---- create, modify
 * ------------------------------------------------------------------------------ */

/* AWS wants two zones for RDS, so that a standby has somewhere to be. */
static bool coverage_check(ApiContext *ctx, const SubnetGroupKind *kind, const char *zones)
{
    if (kind->type != RESOURCE_DB_SUBNET_GROUP || strlen(zones) >= 2) {
        return true;
    }
    return refuse(ctx, "DBSubnetGroupDoesNotCoverEnoughAZs",
                  "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. "
                  "Current AZ coverage: %s%s. Add subnets to cover at least 2 AZs.",
                  ctx->tier.region, zones);
}

static bool subnets_check(ApiContext *ctx, const SubnetGroupKind *kind, const json_t *ids)
{
    char zones[MODEL_SUBNETS + 1] = "";
    size_t index;
    const json_t *id;
    if (json_array_size(ids) == 0) {
        return refuse(ctx, "InvalidParameterValue", "Subnet IDs are required.");
    }
    json_array_foreach (ids, index, id) {
        const char *text = json_is_string(id) ? json_string_value(id) : "";
        const Subnet *subnet = subnet_find(slice_of(text));
        if (subnet == NULL) {
            return refuse(ctx, "InvalidSubnet",
                          "Some input subnets in :[%s] are invalid. This tier has %s, %s and %s.",
                          text, model_subnets[0].id, model_subnets[1].id, model_subnets[2].id);
        }
        if (strchr(zones, subnet->zone) == NULL) {
            zones[strlen(zones)] = subnet->zone;
        }
    }
    return coverage_check(ctx, kind, zones);
}

static bool group_create(ApiContext *ctx, const SubnetGroupKind *kind, json_t *input,
                         json_t **ret_output)
{
    static const char *const handled[] = {"Tags", NULL};
    const char *given;
    Err err;
    if (!input_required(ctx, input, kind->name, &given)) {
        return false;
    }
    if (!identifier_check(kind->type, kind->name, slice_of(given), &err)) {
        return refuse_err(ctx, &err);
    }
    char *name = text_lower(ctx->arena, given);
    if (spec_get(ctx, kind->type, name) != NULL) {
        return refuse(ctx, kind->exists, "The subnet group '%s' already exists.", name);
    }
    json_t *spec = context_own(ctx, json_object());
    const json_t *tags = json_object_get(input, "Tags");
    TRY(tags_check(ctx, tags) && subnets_check(ctx, kind, json_object_get(input, "SubnetIds")) &&
        fields_create(ctx, kind->type, input, handled, spec));
    json_object_set_new(spec, kind->name, json_string(name));
    spec_create(ctx, kind->type, name, spec, tags);
    *ret_output = json_under(kind->one, group_view(ctx, kind, spec));
    return true;
}

static bool group_modify(ApiContext *ctx, const SubnetGroupKind *kind, json_t *input,
                         json_t **ret_output)
{
    static const char *const handled[] = {NULL};
    const char *name;
    TRY(input_required(ctx, input, kind->name, &name));
    char *id = text_lower(ctx->arena, name);
    json_t *spec = subnet_group_get(ctx, kind->type, name);
    if (spec == NULL) {
        return false;
    }
    if (strcmp(id, MODEL_DEFAULT_SUBNET_GROUP) == 0) {
        return refuse(ctx, "InvalidParameterValue", "The default subnet group cannot be modified.");
    }
    const json_t *subnets = json_object_get(input, "SubnetIds");
    TRY(subnets == NULL || subnets_check(ctx, kind, subnets));
    json_object_set_new(input, kind->name, json_string(id));
    TRY(fields_modify(ctx, kind->type, input, handled, true, spec));
    spec_change(ctx, kind->type, id, spec);
    *ret_output = json_under(kind->one, group_view(ctx, kind, spec));
    return true;
}

/* ---- delete, describe
 * ---------------------------------------------------------------------------- */

static bool group_delete(ApiContext *ctx, const SubnetGroupKind *kind, json_t *input)
{
    const char *name;
    TRY(input_required(ctx, input, kind->name, &name));
    char *id = text_lower(ctx->arena, name);
    if (subnet_group_get(ctx, kind->type, name) == NULL) {
        return false;
    }
    if (strcmp(id, MODEL_DEFAULT_SUBNET_GROUP) == 0) {
        return refuse(ctx, "InvalidParameterValue", "The default subnet group cannot be deleted.");
    }
    references_hold(ctx);
    const char *user = user_of(ctx, kind->user, kind->user_member, id);
    if (user != NULL) {
        return refuse(
            ctx, kind->in_use,
            "Cannot delete the subnet group '%s' because at least one %s: %s is still "
            "using it.",
            id, kind->user == RESOURCE_DB_INSTANCE ? "database instance" : "cache cluster", user);
    }
    spec_delete(ctx, kind->type, id);
    return true;
}

static bool group_describe(ApiContext *ctx, const SubnetGroupKind *kind, json_t *input,
                           json_t **ret_output)
{
    json_t *items = json_array();
    const char *name = input_str(input, kind->name);
    if (name != NULL) {
        json_t *spec = subnet_group_get(ctx, kind->type, name);
        if (spec == NULL) {
            json_decref(items);
            return false;
        }
        json_array_append_new(items, group_view(ctx, kind, spec));
    } else {
        RecordList list = spec_list(ctx, kind->type);
        json_t *fallback = subnet_group_get(ctx, kind->type, MODEL_DEFAULT_SUBNET_GROUP);
        json_array_append_new(items, group_view(ctx, kind, fallback));
        for (size_t i = 0; i < list.len; i++) {
            json_array_append_new(items, group_view(ctx, kind, list.items[i].value));
        }
    }
    return page_output(ctx, input, kind->list, items, ret_output);
}

/* ---- operations
 * ---------------------------------------------------------------------------------- */

bool db_subnet_group_create(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_create(ctx, &db_kind, input, ret_output);
}

bool db_subnet_group_modify(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_modify(ctx, &db_kind, input, ret_output);
}

bool db_subnet_group_delete(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return group_delete(ctx, &db_kind, input);
}

bool db_subnet_group_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_describe(ctx, &db_kind, input, ret_output);
}

bool cache_subnet_group_create(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_create(ctx, &cache_kind, input, ret_output);
}

bool cache_subnet_group_modify(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_modify(ctx, &cache_kind, input, ret_output);
}

bool cache_subnet_group_delete(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return group_delete(ctx, &cache_kind, input);
}

bool cache_subnet_group_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_describe(ctx, &cache_kind, input, ret_output);
}
