/*
 * What a reference begins with: ROOT.NAME becomes a pointer to a declaration, each.key, count.index
 * or a constant, or is refused with what to write instead.
 */
#include "tf/eval_priv.h"

void expr_refuse(Expr *expr)
{
    *expr = (Expr){.kind = EXPR_ERROR, .depth = expr->depth, .pos = expr->pos};
}

bool resolve_is_scoped(const RefContext *context, Slice name)
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
    if (node == NULL && resource && loader_type(loader, root) == NULL) {
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

void resolve_root(Loader *loader, RefContext *context, Expr *expr)
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
void resolve_bare(Loader *loader, RefContext *context, Expr *expr)
{
    Slice name = expr->name;
    if (resolve_is_scoped(context, name)) {
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
