/*
 * Evaluation of expressions. What fails is reported and gives an unknown value, so that evaluation
 * goes on and nothing is reported twice. Work is counted: a text cannot make it endless.
 */
#include <stdio.h>

#include "tf/eval_priv.h"

/* ---- errors and limits ---------------------------------------------------------------------- */

const TfValue *eval_error(Eval *eval, TfPos pos, const char *hint, const char *format, ...)
{
    eval->errors++;
    if (eval->diagnostics != NULL) {
        char message[512];
        va_list args;
        va_start(args, format);
        vsnprintf(message, sizeof(message), format, args);
        va_end(args);
        tf_diagnose(eval->diagnostics, TF_ERROR, pos, message, hint);
    }
    return tf_unknown();
}

bool eval_spend(Eval *eval, size_t steps)
{
    if (steps < *eval->steps) {
        *eval->steps -= steps;
        return true;
    }
    *eval->steps = 0;
    eval->errors++;
    return false;
}

const TfValue *eval_quietly(Eval *eval, const Expr *expr, bool *ret_failed)
{
    TfDiagnostics *diagnostics = eval->diagnostics;
    size_t errors = eval->errors;
    eval->diagnostics = NULL;
    const TfValue *value = eval_expr(eval, expr);
    eval->diagnostics = diagnostics;
    *ret_failed = eval->errors > errors;
    eval->errors = errors;
    return value;
}

/* ---- names ---------------------------------------------------------------------------------- */

static const TfValue *eval_name(Eval *eval, const Expr *expr)
{
    for (const Scope *scope = eval->scope; scope != NULL; scope = scope->up) {
        if (slice_eq(scope->name, expr->name)) {
            return scope->value;
        }
    }
    return eval_error(eval, expr->pos, NULL, "\"%.*s\" is not known here", SLICE_FMT(expr->name));
}

/* What failed was reported where it failed: here it only counts, so that nobody else complains. */
static const TfValue *eval_failed(Eval *eval)
{
    eval->errors++;
    return tf_unknown();
}

static const TfValue *eval_ref(Eval *eval, const Node *node)
{
    if (node->failed || node->value == NULL) {
        return eval_failed(eval);
    }
    return node->value;
}

static const TfValue *value_or_unknown(const TfValue *value)
{
    return value != NULL ? value : tf_unknown();
}

/* ---- attributes ----------------------------------------------------------------------------- */

static const char *member_hint(Arena *arena, const TfValue *object, Slice name)
{
    const char **names = ARENA_ARRAY(arena, const char *, object->object.len);
    for (size_t i = 0; i < object->object.len; i++) {
        names[i] = object->object.members[i].name.data;
    }
    const char *nearest = tf_nearest(arena_slice_str(arena, name), names, object->object.len);
    return nearest != NULL ? arena_printf(arena, "did you mean \"%s\"?", nearest) : NULL;
}

/* A step into a list: perhaps a resource with count whose index was forgotten. */
static const char *list_step_hint(Arena *arena, const Expr *from, Slice name)
{
    if (from->kind != EXPR_REF || from->ref->kind != NODE_RESOURCE) {
        return arena_printf(arena, "write [0].%.*s for the first, [*].%.*s for all",
                            SLICE_FMT(name), SLICE_FMT(name));
    }
    return arena_printf(arena, "it has count: write %s[0].%.*s for one, %s[*].%.*s for all",
                        from->ref->address, SLICE_FMT(name), from->ref->address, SLICE_FMT(name));
}

static const char *map_step_hint(Arena *arena, const Expr *from, const TfValue *map, Slice name)
{
    if (from->kind == EXPR_REF && from->ref->kind == NODE_RESOURCE &&
        from->ref->resource.for_each != NULL) {
        return arena_printf(arena, "it has for_each: write %s[\"key\"].%.*s", from->ref->address,
                            SLICE_FMT(name));
    }
    return member_hint(arena, map, name);
}

static const TfValue *eval_attr(Eval *eval, const Expr *expr)
{
    const Expr *from = expr->attr.from;
    Slice name = expr->attr.name;
    const TfValue *value = eval_expr(eval, from);
    if (value->kind == TF_UNKNOWN) {
        return value_unknown(value->sensitive);
    }
    if (value->kind == TF_OBJECT) {
        const TfValue *member = value_member(value, name);
        if (member != NULL) {
            return tf_mark(eval->arena, member, value->sensitive);
        }
        return eval_error(eval, expr->pos, map_step_hint(eval->arena, from, value, name),
                          "there is no attribute \"%.*s\"", SLICE_FMT(name));
    }
    const char *hint = value->kind == TF_LIST ? list_step_hint(eval->arena, from, name) : NULL;
    return eval_error(eval, expr->pos, hint, "%s has no attributes, so there is no \"%.*s\"",
                      value_kind_name(value), SLICE_FMT(name));
}

/* ---- indices -------------------------------------------------------------------------------- */

static const TfValue *index_list(Eval *eval, const Expr *expr, const TfValue *list,
                                 const TfValue *key)
{
    const TfValue *number = value_to_number(eval->arena, key);
    if (number == NULL || !number->number.exact) {
        return eval_error(eval, expr->pos, NULL, "the index of a list is a whole number, not %s",
                          value_excerpt(eval->arena, key));
    }
    int64_t index = number->number.integer;
    if (index < 0 || (uint64_t)index >= list->list.len) {
        return eval_error(eval, expr->pos,
                          list->list.len == 0
                              ? "the list is empty"
                              : arena_printf(eval->arena, "the list has the indices 0 to %zu",
                                             list->list.len - 1),
                          "there is no element %lld", (long long)index);
    }
    return list->list.items[index];
}

static const TfValue *index_object(Eval *eval, const Expr *expr, const TfValue *object,
                                   const TfValue *key)
{
    const TfValue *name = value_to_string(eval->arena, key);
    if (name == NULL) {
        return eval_error(eval, expr->pos, NULL, "the key of a map is a string, not %s",
                          value_excerpt(eval->arena, key));
    }
    const TfValue *member = value_member(object, name->string);
    if (member == NULL) {
        return eval_error(eval, expr->pos, member_hint(eval->arena, object, name->string),
                          "there is no key %s", value_excerpt(eval->arena, key));
    }
    return member;
}

static const TfValue *eval_index(Eval *eval, const Expr *expr)
{
    const TfValue *value = eval_expr(eval, expr->index.from);
    const TfValue *key = eval_expr(eval, expr->index.key);
    bool sensitive = value->sensitive || key->sensitive;
    if (value->kind == TF_UNKNOWN || key->kind == TF_UNKNOWN) {
        return value_unknown(sensitive);
    }
    if (value->kind == TF_LIST) {
        return tf_mark(eval->arena, index_list(eval, expr, value, key), sensitive);
    }
    if (value->kind == TF_OBJECT) {
        return tf_mark(eval->arena, index_object(eval, expr, value, key), sensitive);
    }
    return eval_error(eval, expr->pos,
                      value->kind == TF_SET ? "a set has no order: use tolist(…)[0] or one(…)"
                                            : NULL,
                      "%s has no elements to choose from by index", value_kind_name(value));
}

/* ---- splats --------------------------------------------------------------------------------- */

static const TfValue *splat_items(Eval *eval, const Expr *expr, const TfValue *source)
{
    size_t len = value_len(source);
    if (!eval_spend(eval, len)) {
        return tf_unknown();
    }
    const TfValue **items = ARENA_ARRAY(eval->arena, const TfValue *, len);
    const TfValue *outer = eval->item;
    for (size_t i = 0; i < len; i++) {
        eval->item = value_at(source, i);
        items[i] = eval_expr(eval, expr->splat.each);
    }
    eval->item = outer;
    return tf_list(eval->arena, items, len);
}

/* A list as it is; null is no element, any other value is one. */
static const TfValue *eval_splat(Eval *eval, const Expr *expr)
{
    const TfValue *source = eval_expr(eval, expr->splat.from);
    if (source->kind == TF_UNKNOWN) {
        return value_unknown(source->sensitive);
    }
    const TfValue *list = source;
    if (source->kind != TF_LIST && source->kind != TF_SET) {
        list = tf_list(eval->arena, &source, source->kind == TF_NULL ? 0 : 1);
    }
    return tf_mark(eval->arena, splat_items(eval, expr, list), source->sensitive);
}

/* ---- lists and objects ---------------------------------------------------------------------- */

static const TfValue *eval_list(Eval *eval, const Expr *expr)
{
    const ExprList *parts = &expr->sequence.parts;
    const TfValue **items = ARENA_ARRAY(eval->arena, const TfValue *, parts->len);
    for (size_t i = 0; i < parts->len; i++) {
        items[i] = eval_expr(eval, parts->items[i]);
    }
    return tf_list(eval->arena, items, parts->len);
}

/* NULL: there is none, for it is unknown or an error. */
static const TfValue *eval_key(Eval *eval, const Expr *expr)
{
    const TfValue *key = eval_expr(eval, expr);
    if (key->kind == TF_UNKNOWN) {
        return NULL;
    }
    const TfValue *name = value_to_string(eval->arena, key);
    if (name == NULL) {
        (void)eval_error(eval, expr->pos, NULL, "a key is a string, not %s",
                         value_excerpt(eval->arena, key));
    }
    return name;
}

static const TfValue *eval_object(Eval *eval, const Expr *expr)
{
    size_t len = expr->object.len;
    TfMember *members = ARENA_ARRAY(eval->arena, TfMember, len);
    bool known = true;
    bool sensitive = false;
    for (size_t i = 0; i < len; i++) {
        const TfValue *key = eval_key(eval, expr->object.items[i].key);
        members[i].value = eval_expr(eval, expr->object.items[i].value);
        if (key != NULL) {
            members[i].name = key->string;
            sensitive |= key->sensitive;
        }
        known = known && key != NULL;
    }
    return known ? tf_mark(eval->arena, tf_object(eval->arena, members, len), sensitive)
                 : value_unknown(sensitive);
}

/* ---- dispatch ------------------------------------------------------------------------------- */

static const TfValue *eval_kind(Eval *eval, const Expr *expr)
{
    switch (expr->kind) {
    case EXPR_LITERAL:
        return expr->literal;
    case EXPR_TEMPLATE:
    case EXPR_TEMPLATE_IF:
    case EXPR_TEMPLATE_FOR:
        return eval_template(eval, expr);
    case EXPR_LIST:
        return eval_list(eval, expr);
    case EXPR_OBJECT:
        return eval_object(eval, expr);
    case EXPR_FOR:
        return eval_for(eval, expr);
    case EXPR_CONDITIONAL:
        return eval_conditional(eval, expr);
    case EXPR_UNARY:
    case EXPR_BINARY:
        return eval_operator(eval, expr);
    case EXPR_ATTR:
        return eval_attr(eval, expr);
    case EXPR_INDEX:
        return eval_index(eval, expr);
    case EXPR_SPLAT:
        return eval_splat(eval, expr);
    case EXPR_ITEM:
        return value_or_unknown(eval->item);
    case EXPR_CALL:
        return eval_call(eval, expr);
    case EXPR_NAME:
        return eval_name(eval, expr);
    case EXPR_PARENS:
        return eval_expr(eval, expr->inner);
    case EXPR_REF:
        return eval_ref(eval, expr->ref);
    case EXPR_EACH_KEY:
        return value_or_unknown(eval->each_key);
    case EXPR_EACH_VALUE:
        return value_or_unknown(eval->each_value);
    case EXPR_COUNT_INDEX:
        return value_or_unknown(eval->count_index);
    case EXPR_ERROR:
        return eval_failed(eval);
    }
    UNREACHABLE();
}

const TfValue *eval_expr(Eval *eval, const Expr *expr)
{
    if (!eval_spend(eval, 1)) {
        return tf_unknown();
    }
    const TfValue *value = eval_kind(eval, expr);
    if (value->depth > TF_DEPTH_MAX) {
        return eval_error(eval, expr->pos, NULL, "a value of more than %d levels", TF_DEPTH_MAX);
    }
    return value;
}
