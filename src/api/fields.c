/*
 * Inputs and field tables: from an operation's members to a spec's, with every check that a table
 * can express. What no table and no handler knows is refused by name, never dropped.
 */
#include "api/api_priv.h"

static bool listed(const char *const *names, const char *name)
{
    for (; *names != NULL; names++) {
        if (strcmp(*names, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Nothing is asked for by false, 0, "", [] or {}. */
static bool is_neutral(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
    case JSON_FALSE:
        return true;
    case JSON_STRING:
        return json_string_length(value) == 0;
    case JSON_INTEGER:
        return json_integer_value(value) == 0;
    case JSON_ARRAY:
        return json_array_size(value) == 0;
    case JSON_OBJECT:
        return json_object_size(value) == 0;
    case JSON_TRUE:
    case JSON_REAL:
    default:
        return false;
    }
}

static bool is_absent(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0);
}

static bool refuse_unknown(ApiContext *ctx, const char *name, const json_t *value)
{
    return is_neutral(value) ? true
                             : refuse_unsupported(ctx, "the parameter %s yet. Leave it out.", name);
}

bool fields_refuse_others(ApiContext *ctx, json_t *input, const char *const *handled)
{
    const char *name;
    json_t *value;
    json_object_foreach (input, name, value) {
        if (!listed(handled, name) && !refuse_unknown(ctx, name, value)) {
            return false;
        }
    }
    return true;
}

static const FieldInfo *field_by_input(ResourceType type, const char *name, bool create)
{
    size_t len;
    const FieldInfo *fields = model_fields(type, &len);
    for (size_t i = 0; i < len; i++) {
        const char *input = create ? fields[i].create : fields[i].modify;
        if (input != NULL && strcmp(input, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* ---- create
 * -------------------------------------------------------------------------------------- */

static bool create_one(ApiContext *ctx, ResourceType type, const char *name, json_t *value,
                       json_t *spec)
{
    Err err;
    const FieldInfo *field = field_by_input(type, name, true);
    if (field == NULL) {
        return refuse_unknown(ctx, name, value);
    }
    if (is_absent(value) || field->type == FIELD_SECRET) {
        return true;
    }
    if (!field_check(field, value, &err)) {
        return refuse_err(ctx, &err);
    }
    return json_object_set_new(spec, field->name, json_deep_copy(value)) == 0;
}

bool fields_create(ApiContext *ctx, ResourceType type, json_t *input, const char *const *handled,
                   json_t *spec)
{
    const char *name;
    json_t *value;
    json_object_foreach (input, name, value) {
        if (!listed(handled, name) && !create_one(ctx, type, name, value, spec)) {
            return false;
        }
    }
    size_t len;
    const FieldInfo *fields = model_fields(type, &len);
    for (size_t i = 0; i < len; i++) {
        if (fields[i].fallback != NULL && json_object_get(spec, fields[i].name) == NULL) {
            json_object_set_new(spec, fields[i].name, field_fallback_new(&fields[i]));
        }
    }
    return true;
}

/* ---- modify
 * -------------------------------------------------------------------------------------- */

static json_t *pending_of(json_t *spec)
{
    json_t *pending = member_object(spec, "pending");
    if (pending == NULL) {
        pending = json_object();
        json_object_set_new(spec, "pending", pending);
    }
    return pending;
}

static void set_field(const FieldInfo *field, bool immediately, json_t *value, json_t *spec)
{
    if (field->change == CHANGE_PENDING && !immediately) {
        if (json_equal(json_object_get(spec, field->name), value) == 1) {
            json_object_del(pending_of(spec), field->name);
        } else {
            json_object_set_new(pending_of(spec), field->name, json_deep_copy(value));
        }
        return;
    }
    json_object_set_new(spec, field->name, json_deep_copy(value));
}

static bool refuse_create_only(ApiContext *ctx, const char *name)
{
    Err err;
    err_set(&err, ERR_UNSUPPORTED, "%s cannot be changed once the resource is there.", name);
    return refuse_err(ctx, &err);
}

static bool modify_one(ApiContext *ctx, ResourceType type, const char *name, bool immediately,
                       json_t *value, json_t *spec)
{
    Err err;
    const FieldInfo *field = field_by_input(type, name, false);
    if (field == NULL) {
        field = field_by_input(type, name, true);
    }
    if (field == NULL) {
        return refuse_unknown(ctx, name, value);
    }
    if (is_absent(value) || field->type == FIELD_SECRET) {
        return true;
    }
    if (field->change == CHANGE_NEVER || field->modify == NULL) {
        bool same = json_equal(json_object_get(spec, field->name), value) == 1;
        return same ? true : refuse_create_only(ctx, name);
    }
    if (!field_check(field, value, &err)) {
        return refuse_err(ctx, &err);
    }
    set_field(field, immediately, value, spec);
    return true;
}

bool fields_modify(ApiContext *ctx, ResourceType type, json_t *input, const char *const *handled,
                   bool immediately, json_t *spec)
{
    if (immediately) {
        json_object_update(spec, member_object(spec, "pending"));
        json_object_del(spec, "pending");
    }
    const char *name;
    json_t *value;
    json_object_foreach (input, name, value) {
        if (!listed(handled, name) && !modify_one(ctx, type, name, immediately, value, spec)) {
            return false;
        }
    }
    if (json_object_size(member_object(spec, "pending")) == 0) {
        json_object_del(spec, "pending");
    }
    return true;
}
