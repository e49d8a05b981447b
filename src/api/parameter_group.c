/* Parameter groups: made, looked at, deleted. The groups "default.FAMILY" are there without a
 * record and cannot be changed. */
#include "api/parameter_priv.h"

const ParameterGroupKind db_parameter_groups = {
    .type = RESOURCE_DB_PARAMETER_GROUP,
    .engine = "postgres",
    .name = "DBParameterGroupName",
    .family = "DBParameterGroupFamily",
    .inputs = "Parameters",
    .list = "DBParameterGroups",
    .one = "DBParameterGroup",
    .exists = "DBParameterGroupAlreadyExists",
    .not_found = "DBParameterGroupNotFound",
    .in_use = "InvalidDBParameterGroupState",
    .user = RESOURCE_DB_INSTANCE,
    .user_member = "DBParameterGroupName",
};

const ParameterGroupKind cache_parameter_groups = {
    .type = RESOURCE_CACHE_PARAMETER_GROUP,
    .engine = "redis",
    .name = "CacheParameterGroupName",
    .family = "CacheParameterGroupFamily",
    .inputs = "ParameterNameValues",
    .list = "CacheParameterGroups",
    .one = "CacheParameterGroup",
    .exists = "CacheParameterGroupAlreadyExists",
    .not_found = "CacheParameterGroupNotFound",
    .in_use = "InvalidCacheParameterGroupState",
    .user = RESOURCE_REPLICATION_GROUP,
    .user_member = "CacheParameterGroupName",
};

#define DEFAULT_PREFIX "default."

static bool is_default(const char *name)
{
    return slice_starts(slice_of(name), DEFAULT_PREFIX);
}

static json_t *default_group_new(ApiContext *ctx, const ParameterGroupKind *kind,
                                 const ParameterFamily *family)
{
    return context_own(ctx, json_pack("{s:s+, s:s, s:s+, s:{}}", kind->name, DEFAULT_PREFIX,
                                      family->name, kind->family, family->name, "Description",
                                      "Default parameter group for ", family->name, "parameters"));
}

json_t *parameter_group_get(ApiContext *ctx, const ParameterGroupKind *kind, const char *name)
{
    char *id = text_lower(ctx->arena, name);
    if (is_default(id)) {
        const ParameterFamily *family = parameter_family_find(id + strlen(DEFAULT_PREFIX));
        if (family != NULL && strcmp(family->engine, kind->engine) == 0) {
            return default_group_new(ctx, kind, family);
        }
    }
    json_t *spec = spec_get(ctx, kind->type, id);
    if (spec == NULL) {
        refuse(ctx, kind->not_found, "%s not found: %s", kind->one, name);
    }
    return spec;
}

const ParameterFamily *parameter_group_family(ApiContext *ctx, const ParameterGroupKind *kind,
                                              const json_t *spec)
{
    EngineVersions versions = engine_versions(ctx);
    Err err;
    const ParameterFamily *family =
        engine_family_resolve(&versions, member_str(spec, kind->family, ""), &err);
    if (family == NULL) {
        refuse_err(ctx, &err);
    }
    return family;
}

static json_t *group_view(ApiContext *ctx, const ParameterGroupKind *kind, const json_t *spec)
{
    const char *name = member_str(spec, kind->name, "");
    const char *arn = arn_make(ctx->arena, &ctx->tier, kind->type, name);
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:b}", kind->name, name, kind->family,
                     member_str(spec, kind->family, ""), "Description",
                     member_str(spec, "Description", ""), "DBParameterGroupArn", arn, "ARN", arn,
                     "IsGlobal", 0);
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

static bool family_check(ApiContext *ctx, const ParameterGroupKind *kind, const json_t *spec)
{
    const ParameterFamily *family = parameter_group_family(ctx, kind, spec);
    if (family == NULL || strcmp(family->engine, kind->engine) == 0) {
        return family != NULL;
    }
    return refuse(ctx, "InvalidParameterValue", "ParameterGroupFamily %s is not a family of %s.",
                  family->name, kind->engine);
}

static bool group_create(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                         json_t **ret_output)
{
    static const char *const handled[] = {"Tags", NULL};
    const char *given;
    const char *text;
    Err err;
    TRY(input_required(ctx, input, kind->name, &given) &&
        input_required(ctx, input, kind->family, &text) &&
        input_required(ctx, input, "Description", &text));
    if (!identifier_check(kind->type, kind->name, slice_of(given), &err)) {
        return refuse_err(ctx, &err);
    }
    char *name = text_lower(ctx->arena, given);
    if (spec_get(ctx, kind->type, name) != NULL) {
        return refuse(ctx, kind->exists, "Parameter group %s already exists", name);
    }
    json_t *spec = context_own(ctx, json_pack("{s:{}}", "parameters"));
    const json_t *tags = json_object_get(input, "Tags");
    TRY(tags_check(ctx, tags) && fields_create(ctx, kind->type, input, handled, spec) &&
        family_check(ctx, kind, spec));
    json_object_set_new(spec, kind->name, json_string(name));
    spec_create(ctx, kind->type, name, spec, tags);
    *ret_output = json_under(kind->one, group_view(ctx, kind, spec));
    return true;
}

/* ---- delete
 * -------------------------------------------------------------------------------------- */

static bool group_delete(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input)
{
    const char *name;
    TRY(input_required(ctx, input, kind->name, &name));
    char *id = text_lower(ctx->arena, name);
    if (is_default(id)) {
        return refuse(ctx, kind->in_use, "The default parameter group %s cannot be deleted.", id);
    }
    if (parameter_group_get(ctx, kind, name) == NULL) {
        return false;
    }
    references_hold(ctx);
    const char *user = user_of(ctx, kind->user, kind->user_member, id);
    if (user != NULL) {
        return refuse(ctx, kind->in_use,
                      "One or more %s are still members of this parameter group %s, so the group "
                      "cannot be deleted: %s",
                      kind->user == RESOURCE_DB_INSTANCE ? "database instances" : "cache clusters",
                      id, user);
    }
    spec_delete(ctx, kind->type, id);
    return true;
}

/* ---- describe
 * ------------------------------------------------------------------------------------ */

static void append_defaults(ApiContext *ctx, const ParameterGroupKind *kind, json_t *items)
{
    const ParameterFamily *family;
    for (size_t cursor = 0; parameter_family_next(&cursor, &family);) {
        if (strcmp(family->engine, kind->engine) == 0) {
            json_array_append_new(items,
                                  group_view(ctx, kind, default_group_new(ctx, kind, family)));
        }
    }
}

static bool group_describe(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                           json_t **ret_output)
{
    json_t *items = json_array();
    const char *name = input_str(input, kind->name);
    if (name != NULL) {
        json_t *spec = parameter_group_get(ctx, kind, name);
        if (spec == NULL) {
            json_decref(items);
            return false;
        }
        json_array_append_new(items, group_view(ctx, kind, spec));
    } else {
        RecordList list = spec_list(ctx, kind->type);
        append_defaults(ctx, kind, items);
        for (size_t i = 0; i < list.len; i++) {
            json_array_append_new(items, group_view(ctx, kind, list.items[i].value));
        }
    }
    return page_output(ctx, input, kind->list, items, ret_output);
}

/* ---- operations
 * ---------------------------------------------------------------------------------- */

bool db_parameter_group_create(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_create(ctx, &db_parameter_groups, input, ret_output);
}

bool db_parameter_group_delete(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return group_delete(ctx, &db_parameter_groups, input);
}

bool db_parameter_group_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_describe(ctx, &db_parameter_groups, input, ret_output);
}

bool cache_parameter_group_create(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_create(ctx, &cache_parameter_groups, input, ret_output);
}

bool cache_parameter_group_delete(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return group_delete(ctx, &cache_parameter_groups, input);
}

bool cache_parameter_group_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_describe(ctx, &cache_parameter_groups, input, ret_output);
}
