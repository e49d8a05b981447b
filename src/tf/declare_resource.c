/*
 * resource blocks: the type, and the meta arguments, which go out of the body into the resource.
 */
#include "tf/declare_priv.h"

/* ---- lifecycle ------------------------------------------------------------------------------ */

static const TfAttribute lifecycle_attributes[] = {
    META("prevent_destroy"),
    META("ignore_changes"),
    META("create_before_destroy"),
    META_REFUSED("replace_triggered_by", "take the line out"),
};

static const TfBlockType lifecycle_blocks[] = {
    {.name = "precondition", .refused = "use a validation block of a variable"},
    {.name = "postcondition", .refused = "use a validation block of a variable"},
};

static const TfSchema lifecycle_schema = {
    .attributes = lifecycle_attributes,
    .attributes_len = ARRAY_LEN(lifecycle_attributes),
    .blocks = lifecycle_blocks,
    .blocks_len = ARRAY_LEN(lifecycle_blocks),
};

static void lifecycle_ignore_one(Loader *loader, Resource *resource, const Expr *item)
{
    Slice name;
    bool named = expr_is_string(item, &name) && item->pos.file->json;
    if (item->kind == EXPR_NAME) {
        name = item->name;
        named = true;
    }
    if (!named) {
        loader_error(loader, item->pos, "ignore_changes = [engine_version]",
                     "ignore_changes takes names of arguments");
    } else if (resource->type != NULL && !schema_has(&resource->type->schema, name)) {
        loader_error(loader, item->pos, schema_hint(loader->arena, &resource->type->schema, name),
                     "%s has no argument \"%.*s\"", resource->type->name, SLICE_FMT(name));
    } else {
        const char *copy = arena_slice_str(loader->arena, name);
        arena_vec_push(loader->arena, &resource->ignore_changes, copy);
    }
}

static void lifecycle_ignore(Loader *loader, Resource *resource, const Argument *argument)
{
    const Expr *expr = argument->expr;
    Slice text;
    bool all = expr->kind == EXPR_NAME ? slice_is(expr->name, "all")
                                       : expr_is_string(expr, &text) && slice_is(text, "all");
    if (all) {
        resource->ignore_all = true;
    } else if (expr->kind != EXPR_LIST) {
        loader_error(loader, argument->pos, "ignore_changes = [engine_version], or = all",
                     "ignore_changes takes a list");
    } else {
        for (size_t i = 0; i < expr->sequence.parts.len; i++) {
            lifecycle_ignore_one(loader, resource, expr->sequence.parts.items[i]);
        }
    }
}

static void declare_lifecycle(Loader *loader, Resource *resource, Block *block)
{
    schema_check(loader, block->body, &lifecycle_schema, "lifecycle");
    resource->prevent_destroy = body_flag(loader, block->body, "prevent_destroy", false);
    if (body_flag(loader, block->body, "create_before_destroy", false)) {
        tf_diagnose(loader->diagnostics, TF_WARNING,
                    body_argument(block->body, "create_before_destroy")->pos,
                    "create_before_destroy has no effect",
                    "what must be replaced is destroyed first");
    }
    const Argument *ignore = body_argument(block->body, "ignore_changes");
    if (ignore != NULL) {
        lifecycle_ignore(loader, resource, ignore);
    }
}

/* ---- meta arguments ------------------------------------------------------------------------- */

/* provider = NAME names the only provider there is; an alias would be another region or account. */
static void declare_provider_of(Loader *loader, const Argument *argument)
{
    Slice text;
    bool plain = argument->expr->kind == EXPR_NAME || (expr_is_string(argument->expr, &text) &&
                                                       memchr(text.data, '.', text.len) == NULL);
    if (!plain) {
        loader_error(loader, argument->pos, "take the line out",
                     "there is one region, so there are no aliases of providers");
    }
}

/* Whether it was one of the meta arguments. */
static bool take_meta_argument(Loader *loader, Resource *resource, const Argument *argument)
{
    if (slice_is(argument->name, "count")) {
        resource->count = argument->expr;
    } else if (slice_is(argument->name, "for_each")) {
        resource->for_each = argument->expr;
    } else if (slice_is(argument->name, "depends_on")) {
        resource->depends_on = argument->expr;
    } else if (slice_is(argument->name, "provider")) {
        declare_provider_of(loader, argument);
    } else {
        return false;
    }
    return true;
}

static bool take_meta_block(Loader *loader, Resource *resource, Block *block)
{
    if (slice_is(block->type, "lifecycle")) {
        declare_lifecycle(loader, resource, block);
        return true;
    }
    if (slice_is(block->type, "provisioner") || slice_is(block->type, "connection")) {
        loader_error(loader, block->pos, "run the command after weir apply",
                     "%.*s blocks are not supported", SLICE_FMT(block->type));
        return true;
    }
    return false;
}

/* In the JSON syntax blocks look like arguments; these are blocks whatever the schema says. */
static void json_meta_blocks(Loader *loader, Body *body)
{
    static const char *const names[] = {"lifecycle", "provisioner", "connection"};
    size_t kept = 0;
    for (size_t i = 0; i < body->arguments.len; i++) {
        Argument argument = body->arguments.items[i];
        bool block = false;
        for (size_t j = 0; j < ARRAY_LEN(names); j++) {
            block = block || slice_is(argument.name, names[j]);
        }
        if (!block || !json_blocks(loader->arena, loader->diagnostics, &argument, body)) {
            body->arguments.items[kept++] = argument;
        }
    }
    body->arguments.len = kept;
}

/* The body without the meta arguments, which go into the resource. */
static Body *take_meta(Loader *loader, Resource *resource, Body *body)
{
    Body *rest = ARENA_NEW(loader->arena, Body);
    rest->pos = body->pos;
    rest->broken = body->broken;
    if (body->pos.file->json) {
        json_meta_blocks(loader, body);
    }
    for (size_t i = 0; i < body->arguments.len; i++) {
        Argument argument = body->arguments.items[i];
        if (!take_meta_argument(loader, resource, &argument)) {
            arena_vec_push(loader->arena, &rest->arguments, argument);
        }
    }
    for (size_t i = 0; i < body->blocks.len; i++) {
        Block block = body->blocks.items[i];
        if (!take_meta_block(loader, resource, &block)) {
            arena_vec_push(loader->arena, &rest->blocks, block);
        }
    }
    return rest;
}

/* ---- the resource --------------------------------------------------------------------------- */

#define TYPES_LISTED_MAX 40

static const char *resource_type_hint(Loader *loader, Slice name)
{
    const TfConfig *config = loader->config;
    VEC(const char *) names = {0};
    CLEANUP(buf_done) Buf hint;
    buf_init(&hint, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < config->types_len; i++) {
        arena_vec_push(loader->arena, &names, config->types[i].name);
    }
    const char *nearest = tf_nearest(arena_slice_str(loader->arena, name), names.items, names.len);
    if (nearest != NULL) {
        return arena_printf(loader->arena, "did you mean \"%s\"?", nearest);
    }
    buf_append_str(&hint, "there are:");
    for (size_t i = 0; i < names.len && i < TYPES_LISTED_MAX; i++) {
        buf_printf(&hint, "%s %s", i > 0 ? "," : "", names.items[i]);
    }
    return arena_slice_str(loader->arena, buf_slice(&hint));
}

static const TfResourceType *find_resource_type(Loader *loader, Slice name, TfPos pos)
{
    const TfResourceType *type = loader_type(loader, name);
    if (type == NULL) {
        loader_error(loader, pos, resource_type_hint(loader, name),
                     "unknown resource type \"%.*s\"", SLICE_FMT(name));
    }
    return type;
}

void declare_resource(Loader *loader, Block *block)
{
    Slice type = block->labels[0].text;
    Node *node = declare_node(loader, NODE_RESOURCE, arena_slice_str(loader->arena, type),
                              block->labels[1].text, block->pos);
    if (node == NULL) {
        return;
    }
    Resource *resource = &node->resource;
    resource->type = find_resource_type(loader, type, block->labels[0].pos);
    resource->body = take_meta(loader, resource, block->body);
    if (resource->count != NULL && resource->for_each != NULL) {
        loader_error(loader, resource->for_each->pos, "take one of them out",
                     "%s has both count and for_each", node->address);
        resource->count = NULL;
    }
    if (resource->type != NULL) {
        schema_check(loader, resource->body, &resource->type->schema, resource->type->name);
    }
}
