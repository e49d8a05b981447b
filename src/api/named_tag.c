/* Tags of RDS and ElastiCache: the resource is named by its ARN. */
#include "api/operations_priv.h"

/* What an ARN names; spec NULL: a default group, which is there and has no tags. */
typedef struct Named {
    ResourceType type;
    const char *id;
    json_t *spec;
} Named;

static const char *not_found_code(ResourceType type)
{
    switch (type) {
    case RESOURCE_DB_INSTANCE:
        return "DBInstanceNotFound";
    case RESOURCE_DB_SUBNET_GROUP:
        return "DBSubnetGroupNotFoundFault";
    case RESOURCE_DB_PARAMETER_GROUP:
        return "DBParameterGroupNotFound";
    case RESOURCE_DB_PROXY:
        return "DBProxyNotFoundFault";
    case RESOURCE_DB_PROXY_ENDPOINT:
        return "DBProxyEndpointNotFoundFault";
    case RESOURCE_DB_PROXY_OPTIONS:
        return "DBProxyNotFoundFault";
    case RESOURCE_REPLICATION_GROUP:
        return "ReplicationGroupNotFoundFault";
    case RESOURCE_CACHE_SUBNET_GROUP:
        return "CacheSubnetGroupNotFoundFault";
    case RESOURCE_CACHE_PARAMETER_GROUP:
        return "CacheParameterGroupNotFound";
    case RESOURCE_SECURITY_GROUP:
    case RESOURCE_SECRET:
    default:
        return "InvalidParameterValue";
    }
}

/* The key of the spec that has this id, where ARNs end in one; the id itself where there is none.
 */
static const char *key_of_id(ApiContext *ctx, ResourceType type, const char *id)
{
    const char *member = type == RESOURCE_DB_PROXY            ? "proxy_id"
                         : type == RESOURCE_DB_PROXY_ENDPOINT ? "endpoint_id"
                                                              : NULL;
    RecordList list = member != NULL ? spec_list(ctx, type) : (RecordList){0};
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(member_str(list.items[i].value, member, ""), id) == 0) {
            return strrchr(list.items[i].key, '/') + 1;
        }
    }
    return id;
}

/* A cluster is a member of its replication group and has the tags of that. */
static const char *arn_alias(ApiContext *ctx, const char *arn)
{
    const char *cluster = strstr(arn, ":cluster:");
    const char *end = cluster != NULL ? strrchr(arn, '-') : NULL;
    if (end == NULL || end < cluster) {
        return arn;
    }
    return arena_printf(ctx->arena, "%.*s:replicationgroup:%.*s", (int)(cluster - arn), arn,
                        (int)(end - cluster - (ptrdiff_t)strlen(":cluster:")),
                        cluster + strlen(":cluster:"));
}

static bool service_owns(const ApiContext *ctx, ResourceType type)
{
    bool cache = type == RESOURCE_REPLICATION_GROUP || type == RESOURCE_CACHE_SUBNET_GROUP ||
                 type == RESOURCE_CACHE_PARAMETER_GROUP;
    bool foreign = type == RESOURCE_SECRET || type == RESOURCE_SECURITY_GROUP;
    return !foreign && cache == (strcmp(ctx->service->name, "elasticache") == 0);
}

static bool named_find(ApiContext *ctx, const json_t *input, Named *ret_named)
{
    const char *arn;
    Named named;
    Slice name;
    Err err;
    TRY(input_required(ctx, input, "ResourceName", &arn));
    if (!arn_parse(&ctx->tier, slice_of(arn_alias(ctx, arn)), &named.type, &name, &err)) {
        return refuse_err(ctx, &err);
    }
    if (!service_owns(ctx, named.type)) {
        return refuse(ctx, "InvalidParameterValue", "Invalid resource name: %s", arn);
    }
    named.id = key_of_id(ctx, named.type, arena_slice_str(ctx->arena, name));
    named.spec = spec_get(ctx, named.type, named.id);
    if (named.spec == NULL && !slice_starts(name, "default")) {
        return refuse(ctx, not_found_code(named.type), "%s not found.", arn);
    }
    *ret_named = named;
    return true;
}

static bool named_for_change(ApiContext *ctx, const json_t *input, Named *ret_named)
{
    TRY(named_find(ctx, input, ret_named));
    return ret_named->spec != NULL
               ? true
               : refuse(ctx, "InvalidParameterValue", "Default groups have no tags.");
}

/* Tags are nobody's work: no new generation. */
static void put_tags(ApiContext *ctx, const Named *named, json_t **ret_output)
{
    spec_put(ctx, named->type, named->id, named->spec);
    *ret_output = json_under("TagList", tags_copy(named->spec));
}

bool named_tags_add(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    Named named;
    const json_t *tags = json_object_get(input, "Tags");
    TRY(named_for_change(ctx, input, &named) && tags_check(ctx, tags));
    tags_merge(named.spec, tags);
    TRY(tags_check(ctx, member_array(named.spec, "TagList")));
    put_tags(ctx, &named, ret_output);
    return true;
}

bool named_tags_remove(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    Named named;
    TRY(named_for_change(ctx, input, &named));
    tags_remove(named.spec, json_object_get(input, "TagKeys"));
    put_tags(ctx, &named, ret_output);
    return true;
}

bool named_tags_list(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    Named named;
    TRY(named_find(ctx, input, &named));
    *ret_output = json_under("TagList", tags_copy(named.spec));
    return true;
}
