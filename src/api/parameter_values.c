/* The parameters inside a group: set, reset, listed. */
#include "api/parameter_priv.h"

/* ---- changing
 * ------------------------------------------------------------------------------------ */

/* The group behind a change: one of the users', not a default. */
static bool group_for_change(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                             json_t **ret_spec, const ParameterFamily **ret_family)
{
    const char *name;
    TRY(input_required(ctx, input, kind->name, &name));
    if (slice_starts(slice_of(name), "default.")) {
        return refuse(ctx, "InvalidParameterValue",
                      "The parameter group %s is a default group and cannot be modified.", name);
    }
    *ret_spec = parameter_group_get(ctx, kind, name);
    *ret_family = *ret_spec != NULL ? parameter_group_family(ctx, kind, *ret_spec) : NULL;
    return *ret_family != NULL;
}

/* A standby makes promises that a lowered synchronous_commit breaks (RULES F13). */
static bool users_check(ApiContext *ctx, const ParameterGroupKind *kind, const json_t *spec)
{
    Err err;
    const char *name = member_str(spec, kind->name, "");
    if (parameters_check_multi_az(member_object(spec, "parameters"), &err)) {
        return true;
    }
    RecordList list = spec_list(ctx, kind->user);
    for (size_t i = 0; i < list.len; i++) {
        const json_t *user = list.items[i].value;
        if (strcmp(member_str(user, kind->user_member, ""), name) == 0 &&
            (member_bool(user, "MultiAZ", false) ||
             member_bool(member_object(user, "pending"), "MultiAZ", false))) {
            return refuse_err(ctx, &err);
        }
    }
    return true;
}

static bool finish_change(ApiContext *ctx, const ParameterGroupKind *kind, json_t *spec,
                          json_t **ret_output)
{
    const char *name = member_str(spec, kind->name, "");
    references_hold(ctx);
    TRY(users_check(ctx, kind, spec));
    spec_change(ctx, kind->type, name, spec);
    *ret_output = json_pack("{s:s}", kind->name, name);
    return true;
}

static bool set_parameter(ApiContext *ctx, const ParameterFamily *family, const json_t *item,
                          json_t *parameters)
{
    Err err;
    const char *given;
    TRY(input_required(ctx, item, "ParameterName", &given));
    char *name = text_lower(ctx->arena, given);
    const char *value = member_str(item, "ParameterValue", "");
    const ParameterInfo *info = parameter_find(family, name);
    const char *fallback = info != NULL && info->is_static ? "pending-reboot" : "immediate";
    const char *method = member_str(item, "ApplyMethod", fallback);
    if (!parameter_check(family, name, value, &err)) {
        return refuse_err(ctx, &err);
    }
    if (info->is_static && strcmp(method, "immediate") == 0) {
        return refuse(ctx, "InvalidParameterCombination",
                      "cannot use immediate apply method for static parameter: %s", name);
    }
    json_object_set_new(parameters, name,
                        json_pack("{s:s, s:s}", "value", value, "method", method));
    return true;
}

static bool group_modify(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                         json_t **ret_output)
{
    json_t *spec;
    const ParameterFamily *family;
    TRY(group_for_change(ctx, kind, input, &spec, &family));
    const json_t *items = json_object_get(input, kind->inputs);
    if (json_array_size(items) == 0) {
        return refuse(ctx, "InvalidParameterValue", "No parameters specified.");
    }
    size_t index;
    const json_t *item;
    json_array_foreach (items, index, item) {
        TRY(set_parameter(ctx, family, item, member_object(spec, "parameters")));
    }
    return finish_change(ctx, kind, spec, ret_output);
}

static bool reset_parameter(ApiContext *ctx, const ParameterFamily *family, const json_t *item,
                            json_t *parameters)
{
    const char *given;
    TRY(input_required(ctx, item, "ParameterName", &given));
    char *name = text_lower(ctx->arena, given);
    if (parameter_find(family, name) == NULL) {
        return refuse(ctx, "InvalidParameterValue", "Could not find parameter with name: %s",
                      given);
    }
    json_object_del(parameters, name);
    return true;
}

static bool group_reset(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                        json_t **ret_output)
{
    json_t *spec;
    const ParameterFamily *family;
    TRY(group_for_change(ctx, kind, input, &spec, &family));
    json_t *parameters = member_object(spec, "parameters");
    const json_t *items = json_object_get(input, kind->inputs);
    bool all = input_flag(input, "ResetAllParameters");
    if (all == (json_array_size(items) > 0)) {
        return refuse(ctx, "InvalidParameterCombination",
                      "Give either ResetAllParameters or the parameters to reset.");
    }
    if (all) {
        json_object_clear(parameters);
    }
    size_t index;
    const json_t *item;
    json_array_foreach (items, index, item) {
        TRY(reset_parameter(ctx, family, item, parameters));
    }
    return finish_change(ctx, kind, spec, ret_output);
}

/* ---- listing
 * ------------------------------------------------------------------------------------- */

static const char *type_word(ParameterType type)
{
    switch (type) {
    case PARAMETER_BOOLEAN:
        return "boolean";
    case PARAMETER_INTEGER:
        return "integer";
    case PARAMETER_REAL:
        return "float";
    case PARAMETER_LIST:
        return "list";
    case PARAMETER_ENUM:
    case PARAMETER_STRING:
        return "string";
    default:
        UNREACHABLE();
    }
}

static const char *source_word(const ParameterInfo *info, const json_t *set)
{
    return set != NULL ? "user" : info->family_default != NULL ? "system" : "engine-default";
}

static json_t *parameter_view(ApiContext *ctx, const ParameterInfo *info, const json_t *set)
{
    const char *fallback =
        info->family_default != NULL ? info->family_default : info->engine_default;
    const char *refusal = info->refusal != NULL ? info->refusal : "";
    const char *gap = info->unit[0] != '\0' && refusal[0] != '\0' ? " " : "";
    const char *unit = info->unit[0] != '\0' ? arena_printf(ctx->arena, "(%s)", info->unit) : "";
    json_t *view =
        json_pack("{s:s, s:s++, s:s, s:s, s:s, s:b, s:s, s:s}", "ParameterName", info->name,
                  "Description", unit, gap, refusal, "Source", source_word(info, set), "ApplyType",
                  info->is_static ? "static" : "dynamic", "DataType", type_word(info->type),
                  "IsModifiable", info->refusal == NULL, "ApplyMethod",
                  member_str(set, "method", info->is_static ? "pending-reboot" : "immediate"),
                  "ChangeType", info->is_static ? "requires-reboot" : "immediate");
    const char *value = member_str(set, "value", fallback);
    if (value[0] != '\0' || set != NULL) {
        json_object_set_new(view, "ParameterValue", json_string(value));
    }
    if (info->allowed[0] != '\0') {
        json_object_set_new(view, "AllowedValues", json_string(info->allowed));
    }
    return view;
}

static json_t *parameters_view(ApiContext *ctx, const ParameterFamily *family,
                               const json_t *parameters, const char *source)
{
    json_t *items = json_array();
    for (size_t i = 0; i < family->len; i++) {
        const ParameterInfo *info = &family->infos[i];
        const json_t *set = member_object(parameters, info->name);
        if (source == NULL || strcmp(source, source_word(info, set)) == 0) {
            json_array_append_new(items, parameter_view(ctx, info, set));
        }
    }
    return items;
}

static bool parameters_describe(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                                json_t **ret_output)
{
    const char *name;
    TRY(input_required(ctx, input, kind->name, &name));
    json_t *spec = parameter_group_get(ctx, kind, name);
    const ParameterFamily *family = spec != NULL ? parameter_group_family(ctx, kind, spec) : NULL;
    if (family == NULL) {
        return false;
    }
    const char *source = input_str(input, "Source");
    if (source != NULL && strcmp(source, "user") != 0 && strcmp(source, "system") != 0 &&
        strcmp(source, "engine-default") != 0) {
        return refuse(ctx, "InvalidParameterValue",
                      "Invalid Source: %s. It is user, system or engine-default.", source);
    }
    return page_output(ctx, input, "Parameters",
                       parameters_view(ctx, family, member_object(spec, "parameters"), source),
                       ret_output);
}

static bool parameters_default(ApiContext *ctx, const ParameterGroupKind *kind, json_t *input,
                               json_t **ret_output)
{
    const char *name;
    TRY(input_required(ctx, input, kind->family, &name));
    const ParameterFamily *family = parameter_family_find(name);
    if (family == NULL || strcmp(family->engine, kind->engine) != 0) {
        return refuse(ctx, "InvalidParameterValue", "Invalid parameter group family: %s", name);
    }
    json_t *page = NULL;
    TRY(page_output(ctx, input, "Parameters", parameters_view(ctx, family, NULL, NULL), &page));
    json_object_set_new(page, kind->family, json_string(name));
    *ret_output = json_under("EngineDefaults", page);
    return true;
}

/* ---- operations
 * ---------------------------------------------------------------------------------- */

bool db_parameter_group_modify(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_modify(ctx, &db_parameter_groups, input, ret_output);
}

bool db_parameter_group_reset(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_reset(ctx, &db_parameter_groups, input, ret_output);
}

bool db_parameters_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return parameters_describe(ctx, &db_parameter_groups, input, ret_output);
}

bool db_parameters_default(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return parameters_default(ctx, &db_parameter_groups, input, ret_output);
}

bool cache_parameter_group_modify(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_modify(ctx, &cache_parameter_groups, input, ret_output);
}

bool cache_parameter_group_reset(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return group_reset(ctx, &cache_parameter_groups, input, ret_output);
}

bool cache_parameters_describe(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return parameters_describe(ctx, &cache_parameter_groups, input, ret_output);
}

bool cache_parameters_default(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    return parameters_default(ctx, &cache_parameter_groups, input, ret_output);
}
