/*
 * Types and conversions, as Terraform's own (cty/convert): primitive values become one another
 * where that loses nothing, lists and sets are interchangeable, objects lose what the type does not
 * name.
 */
#include "tf/ast_priv.h"
#include "tf/value_priv.h"

/* ---- types -------------------------------------------------------------------------------- */

static const Type any_type = {.kind = TYPE_ANY};
static const Type string_type = {.kind = TYPE_STRING};
static const Type number_type = {.kind = TYPE_NUMBER};
static const Type integer_type = {.kind = TYPE_INTEGER};
static const Type bool_type = {.kind = TYPE_BOOL};
static const Type string_list_type = {.kind = TYPE_LIST, .element = &string_type};
static const Type string_set_type = {.kind = TYPE_SET, .element = &string_type};
static const Type string_map_type = {.kind = TYPE_MAP, .element = &string_type};

const Type *type_of_schema(TfType type)
{
    static const Type *const types[] = {
        [TF_TYPE_STRING] = &string_type,           [TF_TYPE_NUMBER] = &number_type,
        [TF_TYPE_INTEGER] = &integer_type,         [TF_TYPE_BOOL] = &bool_type,
        [TF_TYPE_STRING_LIST] = &string_list_type, [TF_TYPE_STRING_SET] = &string_set_type,
        [TF_TYPE_STRING_MAP] = &string_map_type,   [TF_TYPE_ANY] = &any_type,
    };
    return types[type];
}

static const char *type_name(TypeKind kind)
{
    static const char *const names[] = {
        [TYPE_ANY] = "any",        [TYPE_STRING] = "string", [TYPE_NUMBER] = "number",
        [TYPE_INTEGER] = "number", [TYPE_BOOL] = "bool",     [TYPE_LIST] = "list",
        [TYPE_SET] = "set",        [TYPE_MAP] = "map",       [TYPE_TUPLE] = "tuple",
        [TYPE_OBJECT] = "object",
    };
    return names[kind];
}

static void type_format_fields(const Type *type, Buf *out)
{
    bool object = type->kind == TYPE_OBJECT;
    buf_append_str(out, object ? "({" : "([");
    for (size_t i = 0; i < type->fields_len; i++) {
        const TypeField *field = &type->fields[i];
        buf_append_str(out, i > 0 ? ", " : "");
        if (object) {
            buf_printf(out, "%.*s = %s", SLICE_FMT(field->name),
                       field->optional ? "optional(" : "");
        }
        type_format(field->type, out);
        buf_append_str(out, object && field->optional ? ")" : "");
    }
    buf_append_str(out, object ? "})" : "])");
}

void type_format(const Type *type, Buf *out)
{
    buf_append_str(out, type_name(type->kind));
    if (type->element != NULL) {
        buf_append_char(out, '(');
        type_format(type->element, out);
        buf_append_char(out, ')');
    } else if (type->kind == TYPE_OBJECT || type->kind == TYPE_TUPLE) {
        type_format_fields(type, out);
    }
}

/* ---- primitive values -------------------------------------------------------------------------
 */

const TfValue *value_to_string(Arena *arena, const TfValue *value)
{
    if (value->kind == TF_BOOL) {
        return tf_mark(arena, value_string_of(arena, value->boolean ? "true" : "false"),
                       value->sensitive);
    }
    if (value->kind == TF_NUMBER) {
        CLEANUP(buf_done) Buf text;
        buf_init(&text, TF_VALUE_BYTES_MAX);
        number_format(value->number, &text);
        return tf_mark(arena, tf_string(arena, buf_slice(&text)), value->sensitive);
    }
    return value->kind == TF_STRING ? value : NULL;
}

const TfValue *value_to_number(Arena *arena, const TfValue *value)
{
    TfNumber number;
    if (value->kind == TF_STRING && number_parse(value->string, &number)) {
        return tf_mark(arena, value_number(arena, number), value->sensitive);
    }
    return value->kind == TF_NUMBER ? value : NULL;
}

static const TfValue *text_to_bool(Slice text)
{
    if (slice_is(text, "true") || slice_is(text, "1")) {
        return tf_bool(true);
    }
    return slice_is(text, "false") || slice_is(text, "0") ? tf_bool(false) : NULL;
}

const TfValue *value_to_bool(const TfValue *value)
{
    if (value->kind == TF_STRING) {
        return text_to_bool(value->string);
    }
    return value->kind == TF_BOOL ? value : NULL;
}

/* ---- conversion ----------------------------------------------------------------------------- */

static const char *type_wanted(const Type *type)
{
    static const char *const wanted[] = {
        [TYPE_ANY] = "a value",        [TYPE_STRING] = "a string",
        [TYPE_NUMBER] = "a number",    [TYPE_INTEGER] = "a whole number",
        [TYPE_BOOL] = "true or false", [TYPE_LIST] = "a list",
        [TYPE_SET] = "a set",          [TYPE_MAP] = "a map",
        [TYPE_TUPLE] = "a tuple",      [TYPE_OBJECT] = "an object",
    };
    return wanted[type->kind];
}

static bool convert_fail(ConvertFailure *failure, const char *wanted, const TfValue *found)
{
    *failure = (ConvertFailure){.path = "", .wanted = wanted, .found = found};
    return false;
}

/* Puts `step` in front of where the failure is. */
static bool convert_inside(Arena *arena, ConvertFailure *failure, const char *step)
{
    failure->path = arena_printf(arena, "%s%s", step, failure->path);
    return false;
}

static bool convert_primitive(Arena *arena, const TfValue *value, const Type *type,
                              const TfValue **ret_value, ConvertFailure *failure)
{
    const TfValue *converted = type->kind == TYPE_STRING ? value_to_string(arena, value)
                               : type->kind == TYPE_BOOL ? value_to_bool(value)
                                                         : value_to_number(arena, value);
    if (converted == NULL || (type->kind == TYPE_INTEGER && !converted->number.exact)) {
        return convert_fail(failure, type_wanted(type), value);
    }
    *ret_value = tf_mark(arena, converted, value->sensitive);
    return true;
}

static bool convert_elements(Arena *arena, const TfValue *value, const Type *type,
                             const TfValue **items, ConvertFailure *failure)
{
    for (size_t i = 0; i < value_len(value); i++) {
        if (!value_convert(arena, value_at(value, i), type->element, &items[i], failure)) {
            return convert_inside(
                arena, failure,
                value->kind == TF_OBJECT
                    ? arena_printf(arena, "[\"%.*s\"]", SLICE_FMT(value->object.members[i].name))
                    : arena_printf(arena, "[%zu]", i));
        }
    }
    return true;
}

static bool convert_list(Arena *arena, const TfValue *value, const Type *type,
                         const TfValue **ret_value, ConvertFailure *failure)
{
    if (value->kind != TF_LIST && value->kind != TF_SET) {
        return convert_fail(failure, type_wanted(type), value);
    }
    size_t len = value_len(value);
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    TRY(convert_elements(arena, value, type, items, failure));
    *ret_value = type->kind == TYPE_SET ? tf_set(arena, items, len) : tf_list(arena, items, len);
    return true;
}

static bool convert_map(Arena *arena, const TfValue *value, const Type *type,
                        const TfValue **ret_value, ConvertFailure *failure)
{
    if (value->kind != TF_OBJECT) {
        return convert_fail(failure, type_wanted(type), value);
    }
    size_t len = value_len(value);
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    TRY(convert_elements(arena, value, type, items, failure));
    TfMember *members = ARENA_ARRAY(arena, TfMember, len);
    for (size_t i = 0; i < len; i++) {
        members[i] = (TfMember){value->object.members[i].name, items[i]};
    }
    *ret_value = tf_object(arena, members, len);
    return true;
}

static bool convert_tuple(Arena *arena, const TfValue *value, const Type *type,
                          const TfValue **ret_value, ConvertFailure *failure)
{
    size_t len = type->fields_len;
    if (value->kind != TF_LIST || value->list.len != len) {
        return convert_fail(failure, arena_printf(arena, "a tuple of %zu elements", len), value);
    }
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        if (!value_convert(arena, value->list.items[i], type->fields[i].type, &items[i], failure)) {
            return convert_inside(arena, failure, arena_printf(arena, "[%zu]", i));
        }
    }
    *ret_value = tf_list(arena, items, len);
    return true;
}

static bool convert_field(Arena *arena, const TfValue *value, const TypeField *field,
                          const TfValue **ret_value, ConvertFailure *failure)
{
    const TfValue *found = value_member(value, field->name);
    if (found == NULL && !field->optional) {
        return convert_fail(failure, arena_printf(arena, "\"%.*s\"", SLICE_FMT(field->name)), NULL);
    }
    if (found == NULL || (found->kind == TF_NULL && field->optional)) {
        found = field->fallback != NULL ? field->fallback : tf_null();
    }
    return value_convert(arena, found, field->type, ret_value, failure) ||
           convert_inside(arena, failure, arena_printf(arena, ".%.*s", SLICE_FMT(field->name)));
}

static bool convert_object(Arena *arena, const TfValue *value, const Type *type,
                           const TfValue **ret_value, ConvertFailure *failure)
{
    if (value->kind != TF_OBJECT) {
        return convert_fail(failure, type_wanted(type), value);
    }
    TfMember *members = ARENA_ARRAY(arena, TfMember, type->fields_len);
    for (size_t i = 0; i < type->fields_len; i++) {
        members[i].name = type->fields[i].name;
        TRY(convert_field(arena, value, &type->fields[i], &members[i].value, failure));
    }
    *ret_value = tf_object(arena, members, type->fields_len);
    return true;
}

typedef bool ConvertFn(Arena *arena, const TfValue *value, const Type *type,
                       const TfValue **ret_value, ConvertFailure *failure);

bool value_convert(Arena *arena, const TfValue *value, const Type *type, const TfValue **ret_value,
                   ConvertFailure *failure)
{
    static ConvertFn *const converters[] = {
        [TYPE_STRING] = convert_primitive,  [TYPE_NUMBER] = convert_primitive,
        [TYPE_INTEGER] = convert_primitive, [TYPE_BOOL] = convert_primitive,
        [TYPE_LIST] = convert_list,         [TYPE_SET] = convert_list,
        [TYPE_MAP] = convert_map,           [TYPE_TUPLE] = convert_tuple,
        [TYPE_OBJECT] = convert_object,
    };
    if (type->kind == TYPE_ANY || value->kind == TF_NULL || value->kind == TF_UNKNOWN) {
        *ret_value = value;
        return true;
    }
    const TfValue *converted;
    TRY(converters[type->kind](arena, value, type, &converted, failure));
    *ret_value = tf_mark(arena, converted, value->sensitive);
    return true;
}

const Type *type_common(const TfValue *const *items, size_t len)
{
    bool seen[TF_UNKNOWN + 1] = {false};
    for (size_t i = 0; i < len; i++) {
        seen[items[i]->kind] = true;
    }
    if (seen[TF_LIST] || seen[TF_SET] || seen[TF_OBJECT]) {
        return NULL;
    }
    if (seen[TF_STRING]) {
        return &string_type;
    }
    if (seen[TF_NUMBER]) {
        return seen[TF_BOOL] ? NULL : &number_type;
    }
    return seen[TF_BOOL] ? &bool_type : NULL;
}
