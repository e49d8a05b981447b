/* What the field tables say about one value, and about one spec. */
#include <inttypes.h>

#include "model/field_priv.h"

const FieldInfo *model_fields(ResourceType type, size_t *ret_len)
{
    ASSERT((size_t)type < RESOURCE_TYPES);
    *ret_len = field_tables[type].len;
    return field_tables[type].fields;
}

const FieldInfo *field_find(ResourceType type, const char *name)
{
    size_t len;
    const FieldInfo *fields = model_fields(type, &len);
    for (size_t i = 0; i < len; i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

static json_t *json_text_new(const char *text)
{
    json_t *value = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    ASSERT(value != NULL || text == NULL);
    return value;
}

json_t *field_fallback_new(const FieldInfo *field)
{
    return json_text_new(field->fallback);
}

/* The name that the user knows the field by. */
static const char *field_input(const FieldInfo *field)
{
    return field->create != NULL ? field->create : field->name;
}

static bool type_fits(FieldType type, const json_t *value)
{
    switch (type) {
    case FIELD_STRING:
    case FIELD_SECRET:
        return json_is_string(value);
    case FIELD_INTEGER:
        return json_is_integer(value);
    case FIELD_BOOLEAN:
        return json_is_boolean(value);
    case FIELD_LIST:
        return json_is_array(value);
    case FIELD_OBJECT:
        return json_is_object(value);
    default:
        UNREACHABLE();
    }
}

static bool range_check(const FieldInfo *field, const json_t *value, Err *err)
{
    if (field->type != FIELD_INTEGER || (field->min == 0 && field->max == 0)) {
        return true;
    }
    int64_t number = (int64_t)json_integer_value(value);
    return number >= field->min && number <= field->max
               ? true
               : err_set(err, ERR_INVALID,
                         "Invalid value %" PRId64 " for %s. Must be between %" PRId64
                         " and %" PRId64 ".",
                         number, field_input(field), field->min, field->max);
}

static bool refuse_value(const FieldInfo *field, Err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "%s cannot be set so: %s. Leave it out, or write %s.",
                   field_input(field), field->note, field->fallback);
}

bool field_check(const FieldInfo *field, const json_t *value, Err *err)
{
    if (!type_fits(field->type, value)) {
        return err_set(err, ERR_INVALID, "The value of %s has the wrong type.", field_input(field));
    }
    TRY(range_check(field, value, err));
    if (field->effect != EFFECT_REFUSED) {
        return true;
    }
    json_t *fallback = field_fallback_new(field);
    bool same = json_equal(value, fallback) == 1;
    json_decref(fallback);
    return same ? true : refuse_value(field, err);
}

static bool asks_for_something(const FieldInfo *field, const json_t *spec)
{
    const json_t *value = json_object_get(spec, field->name);
    if (value == NULL || json_is_null(value)) {
        return false;
    }
    json_t *neutral = json_text_new(field->neutral != NULL ? field->neutral : field->fallback);
    bool differs = neutral == NULL || json_equal(value, neutral) != 1;
    json_decref(neutral);
    return differs;
}

const FieldInfo *field_not_in_effect(ResourceType type, const json_t *spec, size_t *cursor)
{
    size_t len;
    const FieldInfo *fields = model_fields(type, &len);
    while (*cursor < len) {
        const FieldInfo *field = &fields[(*cursor)++];
        if (field->effect == EFFECT_NOT_YET && asks_for_something(field, spec)) {
            return field;
        }
    }
    return NULL;
}
