/*
 * References: names in expressions become pointers to declarations, and declarations learn what
 * they depend on. Attributes of resources are checked here already, so that a wrong one is found
 * even where evaluation would not come to it before apply.
 */
#include <stdio.h>

#include "tf/eval_priv.h"

/* ---- what is missing --------------------------------------------------------------------------
 */

/* A name that is used but not declared; reported once, with all the places. */
struct Missing {
    const char *address;
    VEC(TfPos) uses;
};

static void resolve_missing(Loader *loader, const char *address, TfPos pos)
{
    struct Missing *missing = NULL;
    for (size_t i = 0; i < loader->missing.len && missing == NULL; i++) {
        if (strcmp(loader->missing.items[i]->address, address) == 0) {
            missing = loader->missing.items[i];
        }
    }
    if (missing == NULL) {
        missing = ARENA_NEW(loader->arena, struct Missing);
        missing->address = address;
        arena_vec_push(loader->arena, &loader->missing, missing);
    }
    arena_vec_push(loader->arena, &missing->uses, pos);
}

/* A declared name that was probably meant: a similar one of the same kind, or the same name of a
 * similar kind. */
static const char *nearest_address(Loader *loader, const char *address)
{
    Slice name = slice_of(address);
    Slice root = slice_cut(&name, '.');
    VEC(const char *) names = {0};
    VEC(const char *) roots = {0};
    const NodeList *nodes = &loader->program->nodes;
    for (size_t i = 0; i < nodes->len; i++) {
        Slice other = slice_of(nodes->items[i]->address);
        Slice other_root = slice_cut(&other, '.');
        if (slice_eq(other_root, root)) {
            arena_vec_push(loader->arena, &names, other.data);
        } else if (slice_eq(other, name) && nodes->items[i]->kind != NODE_OUTPUT) {
            const char *text = arena_slice_str(loader->arena, other_root);
            arena_vec_push(loader->arena, &roots, text);
        }
    }
    const char *nearest = tf_nearest(name.data, names.items, names.len);
    if (nearest != NULL) {
        return arena_printf(loader->arena, "%.*s.%s", SLICE_FMT(root), nearest);
    }
    nearest = tf_nearest(arena_slice_str(loader->arena, root), roots.items, roots.len);
    return nearest != NULL ? arena_printf(loader->arena, "%s.%s", nearest, name.data) : NULL;
}

static bool is_secret_name(const char *name)
{
    static const char *const parts[] = {"password", "passwd", "secret", "token", "private_key"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (strstr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static const char *missing_declaration(Arena *arena, const char *address)
{
    Slice name = slice_of(address);
    Slice root = slice_cut(&name, '.');
    if (slice_is(root, "var")) {
        return arena_printf(arena, "declare it: variable \"%s\" { %s }", name.data,
                            is_secret_name(name.data) ? "sensitive = true" : "default = …");
    }
    if (slice_is(root, "local")) {
        return arena_printf(arena, "declare it: locals { %s = … }", name.data);
    }
    return arena_printf(arena, "declare it: resource \"%.*s\" \"%s\" { … }", SLICE_FMT(root),
                        name.data);
}

#define MISSING_PLACES_MAX 5

static void append_places(Buf *hint, const struct Missing *missing)
{
    for (size_t i = 1; i < missing->uses.len && i <= MISSING_PLACES_MAX; i++) {
        buf_printf(hint, "%s%s:%d", i == 1 ? "\nit is also used at " : ", ",
                   tf_pos_file(missing->uses.items[i]), tf_pos_line(missing->uses.items[i]));
    }
    if (missing->uses.len > MISSING_PLACES_MAX + 1) {
        buf_append_str(hint, ", …");
    }
}

void resolve_report_missing(Loader *loader)
{
    for (size_t i = 0; i < loader->missing.len; i++) {
        const struct Missing *missing = loader->missing.items[i];
        const char *nearest = nearest_address(loader, missing->address);
        CLEANUP(buf_done) Buf hint;
        buf_init(&hint, BUF_MAX_DEFAULT);
        if (nearest != NULL) {
            buf_printf(&hint, "did you mean %s? Otherwise ", nearest);
        }
        buf_append_str(&hint, missing_declaration(loader->arena, missing->address));
        append_places(&hint, missing);
        loader_error(loader, missing->uses.items[0], buf_str(&hint), "%s is not declared",
                     missing->address);
    }
}

/* ---- roots ---------------------------------------------------------------------------------- */

static void expr_refuse(Expr *expr)
{
    *expr = (Expr){.kind = EXPR_ERROR, .depth = expr->depth, .pos = expr->pos};
}

static bool is_scoped(const RefContext *context, Slice name)
{
    for (const Scope *scope = context->names; scope != NULL; scope = scope->up) {
        if (slice_eq(scope->name, name)) {
            return true;
        }
    }
    return false;
}

static void node_depend(Loader *loader, Node *node, Node *on)
{
    if (node == NULL) {
        return;
    }
    for (size_t i = 0; i < node->depends.len; i++) {
        if (node->depends.items[i] == on) {
            return;
        }
    }
    arena_vec_push(loader->arena, &node->depends, on);
}

static const TfResourceType *find_type(const Loader *loader, Slice name)
{
    for (size_t i = 0; i < loader->config->types_len; i++) {
        if (slice_is(name, loader->config->types[i].name)) {
            return &loader->config->types[i];
        }
    }
    return NULL;
}

static const char *type_hint(Loader *loader, Slice name)
{
    VEC(const char *) names = {0};
    for (size_t i = 0; i < loader->config->types_len; i++) {
        arena_vec_push(loader->arena, &names, loader->config->types[i].name);
    }
    arena_vec_push(loader->arena, &names, "var");
    arena_vec_push(loader->arena, &names, "local");
    const char *nearest = tf_nearest(arena_slice_str(loader->arena, name), names.items, names.len);
    return nearest != NULL
               ? arena_printf(loader->arena, "did you mean %s?", nearest)
               : "a reference begins with var., local., or a resource type; text stands "
                 "in double quotes";
}

static void resolve_declared(Loader *loader, RefContext *context, Expr *expr, Slice root)
{
    const char *address =
        arena_printf(loader->arena, "%.*s.%.*s", SLICE_FMT(root), SLICE_FMT(expr->attr.name));
    TfPos pos = expr->attr.from->pos;
    Node *node = loader_find(loader, address);
    bool resource = !slice_is(root, "var") && !slice_is(root, "local");
    if (node == NULL && resource && find_type(loader, root) == NULL) {
        loader_error(loader, pos, type_hint(loader, root),
                     "%s refers to nothing: there is no resource type \"%.*s\"", address,
                     SLICE_FMT(root));
        expr_refuse(expr);
    } else if (node == NULL) {
        resolve_missing(loader, address, pos);
        expr_refuse(expr);
    } else {
        node_depend(loader, context->node, node);
        *expr = (Expr){.kind = EXPR_REF, .depth = expr->depth, .pos = pos, .ref = node};
    }
}

static void resolve_each(Loader *loader, RefContext *context, Expr *expr)
{
    Slice name = expr->attr.name;
    bool key = slice_is(name, "key");
    if (!key && !slice_is(name, "value")) {
        loader_error(loader, expr->pos, "there are each.key and each.value", "unknown each.%.*s",
                     SLICE_FMT(name));
        expr_refuse(expr);
    } else if (!context->each) {
        loader_error(loader, expr->pos, "give the resource a for_each",
                     "each.%.*s is known only in a resource with for_each", SLICE_FMT(name));
        expr_refuse(expr);
    } else {
        expr->kind = key ? EXPR_EACH_KEY : EXPR_EACH_VALUE;
    }
}

static void resolve_count(Loader *loader, RefContext *context, Expr *expr)
{
    if (!slice_is(expr->attr.name, "index")) {
        loader_error(loader, expr->pos, "there is count.index", "unknown count.%.*s",
                     SLICE_FMT(expr->attr.name));
        expr_refuse(expr);
    } else if (!context->count) {
        loader_error(loader, expr->pos, "give the resource a count",
                     "count.index is known only in a resource with count");
        expr_refuse(expr);
    } else {
        expr->kind = EXPR_COUNT_INDEX;
    }
}

static void resolve_path(Loader *loader, Expr *expr)
{
    Slice name = expr->attr.name;
    if (slice_is(name, "module") || slice_is(name, "root")) {
        *expr = (Expr){.kind = EXPR_LITERAL,
                       .depth = 1,
                       .pos = expr->pos,
                       .literal = value_string_of(loader->arena, ".")};
        return;
    }
    loader_error(loader, expr->pos, "path.module and path.root are \".\"",
                 "path.%.*s is not supported", SLICE_FMT(name));
    expr_refuse(expr);
}

/* Why names with this root cannot be used; NULL when they can. */
static const char *root_refused(Slice root)
{
    static const struct {
        const char *root;
        const char *why;
    } refused[] = {
        {"data", "data sources are not supported: write the value, or a variable for it"},
        {"module", "modules are not supported: write the resources into this configuration"},
        {"self", "self is not supported"},
        {"terraform", "there are no workspaces: use a variable instead of terraform.workspace"},
        {"ephemeral", "ephemeral resources are not supported"},
        {"output", "an output cannot be referred to: put its expression into a local value"},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (slice_is(root, refused[i].root)) {
            return refused[i].why;
        }
    }
    return NULL;
}

/* ROOT.NAME with a root that no loop has named. */
static void resolve_root(Loader *loader, RefContext *context, Expr *expr)
{
    Slice root = expr->attr.from->name;
    TfPos pos = expr->attr.from->pos;
    const char *refused = root_refused(root);
    if (refused != NULL) {
        loader_error(loader, pos, NULL, "%s", refused);
        expr_refuse(expr);
    } else if (context->constant != NULL) {
        loader_error(loader, pos, NULL, "%s cannot refer to other things", context->constant);
        expr_refuse(expr);
    } else if (slice_is(root, "each")) {
        resolve_each(loader, context, expr);
    } else if (slice_is(root, "count")) {
        resolve_count(loader, context, expr);
    } else if (slice_is(root, "path")) {
        resolve_path(loader, expr);
    } else {
        resolve_declared(loader, context, expr, root);
    }
}

/* A name alone: perhaps text without quotes, or a variable without "var.". */
static void resolve_bare(Loader *loader, RefContext *context, Expr *expr)
{
    Slice name = expr->name;
    if (is_scoped(context, name)) {
        return;
    }
    static const char *const roots[] = {"var", "local"};
    const char *hint =
        arena_printf(loader->arena, "text stands in double quotes: \"%.*s\"", SLICE_FMT(name));
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        const char *address = arena_printf(loader->arena, "%s.%.*s", roots[i], SLICE_FMT(name));
        if (loader_find(loader, address) != NULL) {
            hint = arena_printf(loader->arena, "did you mean %s?", address);
        } else if (slice_is(name, roots[i])) {
            hint = arena_printf(loader->arena, "write %s.NAME", roots[i]);
        }
    }
    loader_error(loader, expr->pos, hint, "%.*s alone is no value", SLICE_FMT(name));
    expr_refuse(expr);
}

/* ---- attributes of resources ------------------------------------------------------------------
 */

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
    if (from->kind == EXPR_NAME && !is_scoped(context, from->name)) {
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
