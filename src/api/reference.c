/*
 * References between resources, as operations name them: found, checked, and asked who uses them.
 * What every tier has without a record (default groups) is made up here.
 */
#include "api/api_priv.h"

/* ---- instances
 * ----------------------------------------------------------------------------------- */

/* Instances are few; a DbiResourceId is looked for by walking them. */
static json_t *instance_by_resource_id(ApiContext *ctx, const char *dbi)
{
    RecordList list = spec_list(ctx, RESOURCE_DB_INSTANCE);
    for (size_t i = 0; i < list.len; i++) {
        if (strcmp(member_str(list.items[i].value, "DbiResourceId", ""), dbi) == 0) {
            return record_get(ctx, list.items[i].key);
        }
    }
    return NULL;
}

/* The identifier in an ARN of an instance of this tier; otherwise the text itself. */
static const char *instance_name(ApiContext *ctx, const char *text)
{
    ResourceType type;
    Slice name;
    if (slice_starts(slice_of(text), "arn:") &&
        arn_parse(&ctx->tier, slice_of(text), &type, &name, NULL) && type == RESOURCE_DB_INSTANCE) {
        return arena_slice_str(ctx->arena, name);
    }
    return text;
}

json_t *instance_find(ApiContext *ctx, const char *text)
{
    char *id = text_lower(ctx->arena, instance_name(ctx, text));
    json_t *spec = spec_get(ctx, RESOURCE_DB_INSTANCE, id);
    if (spec == NULL && slice_starts(slice_of(id), "db-")) {
        spec = instance_by_resource_id(ctx, id);
    }
    if (spec == NULL) {
        refuse(ctx, "DBInstanceNotFound", "DBInstance %s not found.", text);
    }
    return spec;
}

/* ---- security groups
 * ----------------------------------------------------------------------------- */

json_t *security_group_get(ApiContext *ctx, const char *group_id)
{
    json_t *spec = spec_get(ctx, RESOURCE_SECURITY_GROUP, group_id);
    if (spec == NULL && strcmp(group_id, MODEL_DEFAULT_SECURITY_GROUP_ID) == 0) {
        spec = context_own(ctx, default_security_group_new());
    }
    return spec;
}

bool security_groups_resolve(ApiContext *ctx, const json_t *ids, json_t *spec, const char *member)
{
    size_t index;
    const json_t *id;
    if (json_array_size(ids) == 0) {
        json_object_set_new(spec, member, json_pack("[s]", MODEL_DEFAULT_SECURITY_GROUP_ID));
        return true;
    }
    json_array_foreach (ids, index, id) {
        const char *text = json_is_string(id) ? json_string_value(id) : "";
        if (security_group_get(ctx, text) == NULL) {
            return refuse_invalid(ctx, "Invalid security group , groupId= %s, groupName=.", text);
        }
    }
    json_object_set_new(spec, member, json_deep_copy(ids));
    return true;
}

/* ---- subnet groups
 * ------------------------------------------------------------------------------- */

static json_t *default_subnet_group_new(ResourceType type)
{
    bool db = type == RESOURCE_DB_SUBNET_GROUP;
    json_t *subnets = json_array();
    for (size_t i = 0; i < MODEL_SUBNETS; i++) {
        json_array_append_new(subnets, json_string(model_subnets[i].id));
    }
    return json_pack("{s:s, s:s, s:o}", db ? "DBSubnetGroupName" : "CacheSubnetGroupName",
                     MODEL_DEFAULT_SUBNET_GROUP,
                     db ? "DBSubnetGroupDescription" : "CacheSubnetGroupDescription",
                     "default subnet group of the VPC", "SubnetIds", subnets);
}

json_t *subnet_group_find(ApiContext *ctx, ResourceType type, const char *name)
{
    char *id = text_lower(ctx->arena, name);
    return strcmp(id, MODEL_DEFAULT_SUBNET_GROUP) == 0
               ? context_own(ctx, default_subnet_group_new(type))
               : spec_get(ctx, type, id);
}

json_t *subnet_group_get(ApiContext *ctx, ResourceType type, const char *name)
{
    json_t *spec = subnet_group_find(ctx, type, name);
    if (spec == NULL && type == RESOURCE_DB_SUBNET_GROUP) {
        refuse(ctx, "DBSubnetGroupNotFoundFault", "DB subnet group '%s' does not exist.", name);
    } else if (spec == NULL) {
        refuse(ctx, "CacheSubnetGroupNotFoundFault", "Cache Subnet Group %s does not exist.", name);
    }
    return spec;
}

json_t *subnets_view(ApiContext *ctx, const json_t *subnet_ids)
{
    json_t *view = json_array();
    size_t index;
    const json_t *id;
    json_array_foreach (subnet_ids, index, id) {
        const Subnet *subnet = subnet_find(slice_of(json_string_value(id)));
        if (subnet != NULL) {
            json_array_append_new(view, json_pack("{s:s, s:{s:s}, s:s, s:[s]}", "SubnetIdentifier",
                                                  subnet->id, "SubnetAvailabilityZone", "Name",
                                                  zone_name(ctx->arena, &ctx->tier, subnet->zone),
                                                  "SubnetStatus", "Active", "SupportedNetworkTypes",
                                                  "ipv4"));
        }
    }
    return view;
}

/* ---- parameter groups
 * ---------------------------------------------------------------------------- */

typedef struct GroupWords {
    const char *family_member;
    const char *not_found_code;
    const char *not_found_text;
} GroupWords;

static GroupWords group_words(ResourceType type)
{
    return type == RESOURCE_DB_PARAMETER_GROUP
               ? (GroupWords){"DBParameterGroupFamily", "DBParameterGroupNotFound",
                              "DBParameterGroup not found"}
               : (GroupWords){"CacheParameterGroupFamily", "CacheParameterGroupNotFound",
                              "CacheParameterGroup not found"};
}

static bool family_fits(ApiContext *ctx, const char *name, const char *family_name,
                        const ParameterFamily *wanted)
{
    EngineVersions versions = engine_versions(ctx);
    Err err;
    if (engine_family_resolve(&versions, family_name, &err) == wanted) {
        return true;
    }
    return refuse(ctx, "InvalidParameterCombination",
                  "The Parameter Group %s with DBParameterGroupFamily %s cannot be used for this "
                  "instance. Please use a Parameter Group with DBParameterGroupFamily %s",
                  name, family_name, wanted->name);
}

bool parameter_group_resolve(ApiContext *ctx, ResourceType type, const char *name,
                             const char *engine, const char *version, json_t *spec,
                             const char *member)
{
    GroupWords words = group_words(type);
    const ParameterFamily *family = parameter_family_of(engine, version);
    if (family == NULL) {
        return refuse_unsupported(ctx, "the parameters of %s %s yet.", engine, version);
    }
    char *fallback = default_parameter_group(ctx->arena, family->name);
    char *id = name != NULL ? text_lower(ctx->arena, name) : fallback;
    if (strcmp(id, fallback) != 0) {
        json_t *group = spec_get(ctx, type, id);
        if (group == NULL) {
            return refuse(ctx, words.not_found_code, "%s: %s", words.not_found_text, name);
        }
        if (!family_fits(ctx, name, member_str(group, words.family_member, ""), family)) {
            return false;
        }
    }
    json_object_set_new(spec, member, json_string(id));
    return true;
}

/* ---- who uses it
 * --------------------------------------------------------------------------------- */

const char *user_of(ApiContext *ctx, ResourceType user, const char *member, const char *name)
{
    RecordList list = spec_list(ctx, user);
    for (size_t i = 0; i < list.len; i++) {
        const json_t *spec = list.items[i].value;
        if (strcmp(member_str(spec, member, ""), name) == 0 || member_has(spec, member, name)) {
            const char *id = strrchr(list.items[i].key, '/');
            return id != NULL ? id + 1 : list.items[i].key;
        }
    }
    return NULL;
}

/* ---- the tier
 * ------------------------------------------------------------------------------------ */

EngineVersions engine_versions(ApiContext *ctx)
{
    EngineVersions versions = ctx->api->options.versions;
    json_t *tier = record_get(ctx, "tier");
    versions.map = member_str(member_object(tier, "options"), "engine_version_map", NULL);
    return versions;
}

const char *seal_for(ApiContext *ctx, const char *key, Slice plain)
{
    Buf sealed;
    buf_init(&sealed, BUF_MAX_DEFAULT);
    secret_seal(ctx->api->options.master_key, slice_of(key), plain, &sealed);
    ASSERT(!sealed.overflowed);
    const char *text = arena_slice_str(ctx->arena, buf_slice(&sealed));
    buf_done(&sealed);
    return text;
}
