/*
 * Type constraints of variables: string, number, bool, any, list(T), set(T), map(T), tuple([…]),
 * object({…}) with optional(T, default).
 */
#include "tf/eval_priv.h"

static const Type any_type = {.kind = TYPE_ANY};

static const Type *type_error(Loader *loader, TfPos pos)
{
    loader_error(loader, pos,
                 "types are string, number, bool, any, list(string), set(string), map(string), "
                 "object({ name = string }), tuple([string, number])",
                 "this is no type");
    return &any_type;
}

static Type *type_new(Loader *loader, TypeKind kind)
{
    Type *type = ARENA_NEW(loader->arena, Type);
    type->kind = kind;
    return type;
}

typedef struct TypeName {
    const char *name;
    TypeKind kind;
} TypeName;

static const Type *type_from_name(Loader *loader, Slice name, TfPos pos)
{
    static const TypeName names[] = {
        {"any", TYPE_ANY},   {"string", TYPE_STRING}, {"number", TYPE_NUMBER}, {"bool", TYPE_BOOL},
        {"list", TYPE_LIST}, {"set", TYPE_SET},       {"map", TYPE_MAP},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_is(name, names[i].name)) {
            Type *type = type_new(loader, names[i].kind);
            type->element = i >= 4 ? &any_type : NULL;
            return type;
        }
    }
    return type_error(loader, pos);
}

/* optional(T), optional(T, default), or T itself. */
static void type_field(Loader *loader, const Expr *expr, TypeField *field)
{
    if (expr->kind != EXPR_CALL || !slice_is(expr->call.name, "optional") ||
        expr->call.args.len < 1 || expr->call.args.len > 2) {
        field->type = type_parse(loader, expr);
        return;
    }
    field->optional = true;
    field->type = type_parse(loader, expr->call.args.items[0]);
    if (expr->call.args.len == 2) {
        Expr *fallback = expr->call.args.items[1];
        const TfValue *value = constant_value(loader, fallback, "the default of a field");
        ConvertFailure failure;
        if (!value_convert(loader->arena, value, field->type, &field->fallback, &failure)) {
            loader_error(loader, fallback->pos, NULL, "%s is needed, not %s", failure.wanted,
                         failure.found != NULL ? value_excerpt(loader->arena, failure.found)
                                               : "nothing");
        }
    }
}

static const Type *type_object(Loader *loader, const Expr *expr)
{
    if (expr->kind != EXPR_OBJECT) {
        return type_error(loader, expr->pos);
    }
    Type *type = type_new(loader, TYPE_OBJECT);
    TypeField *fields = ARENA_ARRAY(loader->arena, TypeField, expr->object.len);
    for (size_t i = 0; i < expr->object.len; i++) {
        if (!expr_is_string(expr->object.items[i].key, &fields[i].name)) {
            return type_error(loader, expr->object.items[i].key->pos);
        }
        type_field(loader, expr->object.items[i].value, &fields[i]);
    }
    type->fields = fields;
    type->fields_len = expr->object.len;
    return type;
}

static const Type *type_tuple(Loader *loader, const Expr *expr)
{
    if (expr->kind != EXPR_LIST) {
        return type_error(loader, expr->pos);
    }
    Type *type = type_new(loader, TYPE_TUPLE);
    TypeField *fields = ARENA_ARRAY(loader->arena, TypeField, expr->sequence.parts.len);
    for (size_t i = 0; i < expr->sequence.parts.len; i++) {
        fields[i].type = type_parse(loader, expr->sequence.parts.items[i]);
    }
    type->fields = fields;
    type->fields_len = expr->sequence.parts.len;
    return type;
}

static const Type *type_from_call(Loader *loader, const Expr *expr)
{
    static const TypeName names[] = {{"list", TYPE_LIST}, {"set", TYPE_SET}, {"map", TYPE_MAP}};
    Slice name = expr->call.name;
    if (expr->call.args.len != 1) {
        return type_error(loader, expr->pos);
    }
    const Expr *inner = expr->call.args.items[0];
    if (slice_is(name, "object")) {
        return type_object(loader, inner);
    }
    if (slice_is(name, "tuple")) {
        return type_tuple(loader, inner);
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_is(name, names[i].name)) {
            Type *type = type_new(loader, names[i].kind);
            type->element = type_parse(loader, inner);
            return type;
        }
    }
    return type_error(loader, expr->pos);
}

/* Recursion is as deep as the expression. A string holds a type, as the JSON syntax has it. */
const Type *type_parse(Loader *loader, const Expr *expr)
{
    Slice text;
    if (expr_is_string(expr, &text)) {
        expr =
            parse_expression(loader->arena, loader->diagnostics, expr->pos.file, text, expr->pos);
        if (expr_is_string(expr, &text)) {
            return type_error(loader, expr->pos);
        }
    }
    if (expr->kind == EXPR_NAME) {
        return type_from_name(loader, expr->name, expr->pos);
    }
    if (expr->kind == EXPR_CALL) {
        return type_from_call(loader, expr);
    }
    return expr->kind == EXPR_ERROR ? &any_type : type_error(loader, expr->pos);
}
