/*
 * Functions that convert, encode, and look at whether something can be evaluated.
 */
#include "tf/eval_priv.h"

/* ---- types -------------------------------------------------------------------------------- */

static const TfValue *to_primitive(Call *call, TfType type)
{
    const TfValue *value;
    ConvertFailure failure;
    if (!value_convert(call->eval->arena, call->args[0], type_of_schema(type), &value, &failure)) {
        return call_fail(call, 0, "%s is needed, not %s", failure.wanted,
                         value_excerpt(call->eval->arena, call->args[0]));
    }
    return value;
}

static const TfValue *fn_tostring(Call *call)
{
    return to_primitive(call, TF_TYPE_STRING);
}

static const TfValue *fn_tonumber(Call *call)
{
    return to_primitive(call, TF_TYPE_NUMBER);
}

static const TfValue *fn_tobool(Call *call)
{
    return to_primitive(call, TF_TYPE_BOOL);
}

/* The elements, converted to the type that they have in common. */
static const TfValue **common_items(Call *call, const TfValue *value)
{
    Arena *arena = call->eval->arena;
    size_t len = value_len(value);
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        items[i] = value_at(value, i);
    }
    const Type *type = type_common(items, len);
    for (size_t i = 0; type != NULL && i < len; i++) {
        ConvertFailure failure;
        ASSERT(value_convert(arena, items[i], type, &items[i], &failure));
    }
    return items;
}

static const TfValue *to_list(Call *call, bool set)
{
    const TfValue *value = call->args[0];
    Arena *arena = call->eval->arena;
    if (value->kind == TF_NULL) {
        return value;
    }
    if (value->kind != TF_LIST && value->kind != TF_SET) {
        return call_fail(call, 0, "a list or set is needed, not %s", value_excerpt(arena, value));
    }
    const TfValue **items = common_items(call, value);
    return set ? tf_set(arena, items, value_len(value)) : tf_list(arena, items, value_len(value));
}

static const TfValue *fn_tolist(Call *call)
{
    return to_list(call, false);
}

static const TfValue *fn_toset(Call *call)
{
    return to_list(call, true);
}

static const TfValue *fn_tomap(Call *call)
{
    const TfValue *value = call->args[0];
    Arena *arena = call->eval->arena;
    if (value->kind == TF_NULL) {
        return value;
    }
    if (value->kind != TF_OBJECT) {
        return call_fail(call, 0, "a map or object is needed, not %s", value_excerpt(arena, value));
    }
    const TfValue **items = common_items(call, value);
    TfMember *members = ARENA_ARRAY(arena, TfMember, value->object.len);
    for (size_t i = 0; i < value->object.len; i++) {
        members[i] = (TfMember){value->object.members[i].name, items[i]};
    }
    return tf_object(arena, members, value->object.len);
}

/* ---- marks -------------------------------------------------------------------------------- */

static const TfValue *fn_sensitive(Call *call)
{
    return tf_mark(call->eval->arena, call->args[0], true);
}

static const TfValue *fn_nonsensitive(Call *call)
{
    const TfValue *value = call->args[0];
    if (!value->sensitive) {
        return value;
    }
    if (value->kind == TF_UNKNOWN) {
        return tf_unknown();
    }
    TfValue *bare = ARENA_NEW(call->eval->arena, TfValue);
    *bare = *value;
    bare->sensitive = bare->holds_sensitive = false;
    for (size_t i = 0; value_is_collection(value) && i < value_len(value); i++) {
        bare->holds_sensitive |= value_at(value, i)->holds_sensitive;
    }
    return bare;
}

/* ---- encodings ------------------------------------------------------------------------------ */

static const TfValue *fn_jsonencode(Call *call)
{
    Buf text;
    call_text_init(&text);
    bool known = value_to_json(call->args[0], &text);
    ASSERT(known);
    return call_text(call, &text);
}

static const TfValue *fn_jsondecode(Call *call)
{
    Slice text = call->args[0]->string;
    const TfValue *value;
    Err err;
    if (!call_spend(call, text.len)) {
        return tf_unknown();
    }
    if (!tf_from_json(call->eval->arena, text, &value, &err)) {
        return call_fail(call, 0, "%s", err.message);
    }
    return value;
}

static const TfValue *fn_base64encode(Call *call)
{
    Slice text = call->args[0]->string;
    Arena *arena = call->eval->arena;
    if (text.len > TF_VALUE_BYTES_MAX / 4 * 3 || !call_spend(call, text.len / 8)) {
        return call_fail(call, 0, "the string is too long");
    }
    char *encoded = arena_alloc(arena, base64_encoded_len(text.len) + 1);
    base64_encode(text.data, text.len, encoded);
    return tf_string(arena, (Slice){encoded, base64_encoded_len(text.len)});
}

static const TfValue *fn_base64decode(Call *call)
{
    Slice text = call->args[0]->string;
    Arena *arena = call->eval->arena;
    char *decoded = arena_alloc(arena, text.len + 1);
    size_t len;
    size_t bad_at;
    if (!call_spend(call, text.len / 8)) {
        return tf_unknown();
    }
    if (!base64_decode(text, decoded, text.len + 1, &len)) {
        return call_fail(call, 0, "the string is not base64");
    }
    if (!utf8_valid((Slice){decoded, len}, &bad_at)) {
        return call_fail(call, 0, "what the string encodes is no text (UTF-8)");
    }
    return tf_string(arena, (Slice){decoded, len});
}

/* ---- trying --------------------------------------------------------------------------------- */

static const TfValue *fn_try(Call *call)
{
    for (size_t i = 0; i < call->len; i++) {
        bool failed;
        const TfValue *value = eval_quietly(call->eval, call->expr->call.args.items[i], &failed);
        if (!failed) {
            return value;
        }
    }
    return call_fail(call, SIZE_MAX, "none of the arguments can be evaluated");
}

static const TfValue *fn_can(Call *call)
{
    bool failed;
    const TfValue *value = eval_quietly(call->eval, call->expr->call.args.items[0], &failed);
    return !failed && value->kind == TF_UNKNOWN ? value_unknown(value->sensitive)
                                                : tf_bool(!failed);
}

static const Function functions[] = {
    {"base64decode", "s", 0, fn_base64decode},
    {"base64encode", "s", 0, fn_base64encode},
    {"can", "V", FN_LAZY, fn_can},
    {"jsondecode", "s", 0, fn_jsondecode},
    {"jsonencode", "V", 0, fn_jsonencode},
    {"nonsensitive", "V", FN_PARTS | FN_UNKNOWN | FN_MARKS, fn_nonsensitive},
    {"sensitive", "V", FN_PARTS | FN_UNKNOWN | FN_MARKS, fn_sensitive},
    {"tobool", "V", 0, fn_tobool},
    {"tolist", "V", FN_PARTS, fn_tolist},
    {"tomap", "V", FN_PARTS, fn_tomap},
    {"tonumber", "V", 0, fn_tonumber},
    {"toset", "V", 0, fn_toset},
    {"tostring", "V", 0, fn_tostring},
    {"try", "V+", FN_LAZY, fn_try},
};

const FunctionTable convert_functions = {functions, ARRAY_LEN(functions)};
