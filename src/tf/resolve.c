/*
 * References: names in expressions become pointers to declarations, and declarations learn what
 * they depend on. Attributes of resources are checked here already, so that a wrong one is found
 * even where evaluation would not come to it before apply.
 */
#include "tf/eval_priv.h"

/* ---- attributes of resources ---------------------------------------------------------------- */

static bool is_repeated(const Node *node)
{
    return node->resource.count != NULL || node->resource.for_each != NULL;
}

static const Node *expr_resource(const Expr *expr)
{
    return expr->kind == EXPR_REF && expr->ref->kind == NODE_RESOURCE ? expr->ref : NULL;
}

/* The type of a resource instance, when the expression is one; NULL when that is not known. */
static const TfResourceType *expr_type(const RefContext *context, const Expr *expr)
{
    const Node *node = expr_resource(expr);
    if (node != NULL) {
        return is_repeated(node) ? NULL : node->resource.type;
    }
    if (expr->kind == EXPR_INDEX && expr_resource(expr->index.from) != NULL &&
        is_repeated(expr_resource(expr->index.from))) {
        return expr_resource(expr->index.from)->resource.type;
    }
    return expr->kind == EXPR_ITEM ? context->item_type : NULL;
}

static void check_step_of_repeated(Loader *loader, const Node *node, Expr *expr)
{
    const char *name = arena_slice_str(loader->arena, expr->attr.name);
    const char *hint =
        node->resource.count != NULL
            ? arena_printf(loader->arena, "write %s[0].%s for one, %s[*].%s for all", node->address,
                           name, node->address, name)
            : arena_printf(loader->arena, "write %s[\"KEY\"].%s for one, values(%s)[*].%s for all",
                           node->address, name, node->address, name);
    loader_error(loader, expr->pos, hint, "%s has %s, so it is not one instance but several",
                 node->address, node->resource.count != NULL ? "count" : "for_each");
    expr_refuse(expr);
}

static void check_attr(Loader *loader, RefContext *context, Expr *expr)
{
    const Node *node = expr_resource(expr->attr.from);
    if (node != NULL && is_repeated(node)) {
        check_step_of_repeated(loader, node, expr);
        return;
    }
    const TfResourceType *type = expr_type(context, expr->attr.from);
    if (type != NULL && !schema_has(&type->schema, expr->attr.name)) {
        loader_error(loader, expr->pos, schema_hint(loader->arena, &type->schema, expr->attr.name),
                     "%s has no attribute \"%.*s\"", type->name, SLICE_FMT(expr->attr.name));
        expr_refuse(expr);
    }
}

/* ---- walking -------------------------------------------------------------------------------- */

static void resolve_attr(Loader *loader, RefContext *context, Expr *expr)
{
    Expr *from = expr->attr.from;
    if (from->kind == EXPR_NAME && !resolve_is_scoped(context, from->name)) {
        resolve_root(loader, context, expr);
        return;
    }
    resolve_expr(loader, context, from);
    check_attr(loader, context, expr);
}

static void resolve_splat(Loader *loader, RefContext *context, Expr *expr)
{
    resolve_expr(loader, context, expr->splat.from);
    const Node *node = expr_resource(expr->splat.from);
    RefContext inner = *context;
    inner.item_type = node != NULL && node->resource.for_each == NULL ? node->resource.type : NULL;
    resolve_expr(loader, &inner, expr->splat.each);
}

static void resolve_loop(Loader *loader, RefContext *context, ForExpr *loop)
{
    resolve_expr(loader, context, loop->source);
    Scope key = {.up = context->names, .name = loop->key_name};
    Scope value = {.up = loop->key_name.len > 0 ? &key : context->names, .name = loop->value_name};
    RefContext inner = *context;
    inner.names = &value;
    Expr *parts[] = {loop->key, loop->value, loop->condition};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (parts[i] != NULL) {
            resolve_expr(loader, &inner, parts[i]);
        }
    }
}

static void resolve_call(Loader *loader, RefContext *context, Expr *expr)
{
    Slice name = expr->call.name;
    for (size_t i = 0; i < expr->call.args.len; i++) {
        resolve_expr(loader, context, expr->call.args.items[i]);
    }
    expr->call.function = function_find(name);
    if (expr->call.function == NULL) {
        loader_error(loader, expr->pos, function_hint(loader->arena, name), "unknown function %.*s",
                     SLICE_FMT(name));
    } else if (expr->call.expand && (expr->call.function->flags & FN_LAZY) != 0) {
        loader_error(loader, expr->pos, NULL, "%.*s does not take \"...\"", SLICE_FMT(name));
        expr->call.function = NULL;
    }
}

static void resolve_many(Loader *loader, RefContext *context, Expr *const *exprs, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (exprs[i] != NULL) {
            resolve_expr(loader, context, exprs[i]);
        }
    }
}

static void resolve_object(Loader *loader, RefContext *context, Expr *expr)
{
    for (size_t i = 0; i < expr->object.len; i++) {
        resolve_expr(loader, context, expr->object.items[i].key);
        resolve_expr(loader, context, expr->object.items[i].value);
    }
}

/* Recursion is as deep as the expression, which the parser has bounded. */
void resolve_expr(Loader *loader, RefContext *context, Expr *expr)
{
    switch (expr->kind) {
    case EXPR_NAME:
        resolve_bare(loader, context, expr);
        break;
    case EXPR_ATTR:
        resolve_attr(loader, context, expr);
        break;
    case EXPR_INDEX:
        resolve_many(loader, context, (Expr *[]){expr->index.from, expr->index.key}, 2);
        break;
    case EXPR_SPLAT:
        resolve_splat(loader, context, expr);
        break;
    case EXPR_CALL:
        resolve_call(loader, context, expr);
        break;
    case EXPR_FOR:
    case EXPR_TEMPLATE_FOR:
        resolve_loop(loader, context, &expr->loop);
        break;
    case EXPR_TEMPLATE:
    case EXPR_LIST:
        resolve_many(loader, context, expr->sequence.parts.items, expr->sequence.parts.len);
        break;
    case EXPR_OBJECT:
        resolve_object(loader, context, expr);
        break;
    case EXPR_CONDITIONAL:
    case EXPR_TEMPLATE_IF:
        resolve_many(loader, context,
                     (Expr *[]){expr->choice.condition, expr->choice.yes, expr->choice.no}, 3);
        break;
    case EXPR_UNARY:
    case EXPR_BINARY:
        resolve_many(loader, context, (Expr *[]){expr->binary.left, expr->binary.right}, 2);
        break;
    case EXPR_PARENS:
        resolve_expr(loader, context, expr->inner);
        break;
    case EXPR_LITERAL:
    case EXPR_ITEM:
    case EXPR_REF:
    case EXPR_EACH_KEY:
    case EXPR_EACH_VALUE:
    case EXPR_COUNT_INDEX:
    case EXPR_ERROR:
        break;
    }
}

/* ---- bodies --------------------------------------------------------------------------------- */

static void resolve_dynamic(Loader *loader, RefContext *context, const Block *block)
{
    Dynamic dynamic = block_dynamic(block);
    if (dynamic.for_each != NULL) {
        resolve_expr(loader, context, dynamic.for_each);
    }
    Scope scope = {.up = context->names, .name = dynamic.iterator};
    RefContext inner = *context;
    inner.names = &scope;
    if (dynamic.content != NULL) {
        resolve_body(loader, &inner, dynamic.content);
    }
}

/* Recursion is as deep as blocks are nested, which the parser has bounded. */
void resolve_body(Loader *loader, RefContext *context, Body *body)
{
    for (size_t i = 0; i < body->arguments.len; i++) {
        resolve_expr(loader, context, body->arguments.items[i].expr);
    }
    for (size_t i = 0; i < body->blocks.len; i++) {
        const Block *block = &body->blocks.items[i];
        if (block_is_dynamic(block)) {
            resolve_dynamic(loader, context, block);
        } else {
            resolve_body(loader, context, block->body);
        }
    }
}

/* In the JSON syntax an element is a string that holds the reference. */
static const Expr *depends_on_item(Loader *loader, const Expr *item)
{
    Slice text;
    if (item->pos.file->json && expr_is_string(item, &text)) {
        return parse_expression(loader->arena, loader->diagnostics, item->pos.file, text,
                                item->pos);
    }
    return item;
}

static void depends_on_one(Loader *loader, Node *node, const Expr *item)
{
    if (item->kind == EXPR_INDEX) {
        item = item->index.from;
    }
    if (item->kind == EXPR_ERROR) {
        return;
    }
    if (item->kind != EXPR_ATTR || item->attr.from->kind != EXPR_NAME) {
        loader_error(loader, item->pos, "depends_on = [aws_db_instance.primary]",
                     "depends_on takes references to whole resources");
        return;
    }
    Expr *copy = ARENA_NEW(loader->arena, Expr);
    *copy = *item;
    RefContext context = {.node = node};
    resolve_root(loader, &context, copy);
}

void resolve_depends_on(Loader *loader, Node *node, const Expr *list)
{
    if (list->kind != EXPR_LIST) {
        loader_error(loader, list->pos, "depends_on = [aws_db_instance.primary]",
                     "depends_on takes a list of resources");
        return;
    }
    for (size_t i = 0; i < list->sequence.parts.len; i++) {
        depends_on_one(loader, node, depends_on_item(loader, list->sequence.parts.items[i]));
    }
}

const TfValue *constant_value(Loader *loader, Expr *expr, const char *what)
{
    RefContext context = {.constant = what};
    resolve_expr(loader, &context, expr);
    Eval eval = {
        .arena = loader->arena, .diagnostics = loader->diagnostics, .steps = &loader->steps};
    return eval_expr(&eval, expr);
}
