/*
 * Bodies against schemas: the static check at load, the value of a body, and what a reference to it
 * sees.
 */
#include "tf/eval_priv.h"

#define HINT_NAMES_MAX 12 /* more are no help on a line */

/* ---- looking up ----------------------------------------------------------------------------- */

const TfAttribute *schema_attribute(const TfSchema *schema, Slice name)
{
    for (size_t i = 0; i < schema->attributes_len; i++) {
        if (slice_is(name, schema->attributes[i].name)) {
            return &schema->attributes[i];
        }
    }
    return NULL;
}

const TfBlockType *schema_block(const TfSchema *schema, Slice name)
{
    for (size_t i = 0; i < schema->blocks_len; i++) {
        if (slice_is(name, schema->blocks[i].name)) {
            return &schema->blocks[i];
        }
    }
    return NULL;
}

bool schema_has(const TfSchema *schema, Slice name)
{
    return schema_attribute(schema, name) != NULL || schema_block(schema, name) != NULL;
}

/* What may be written, parted by commas; NULL where it is too much for a line, or nothing. */
static const char *schema_list(Arena *arena, const TfSchema *schema)
{
    const char *list = NULL;
    if (schema->attributes_len + schema->blocks_len > HINT_NAMES_MAX) {
        return NULL;
    }
    for (size_t i = 0; i < schema->attributes_len + schema->blocks_len; i++) {
        bool block = i >= schema->attributes_len;
        const TfAttribute *attribute = &schema->attributes[block ? 0 : i];
        const char *name =
            block ? schema->blocks[i - schema->attributes_len].name : attribute->name;
        bool writable =
            block || (attribute->refused == NULL && (attribute->flags & TF_READ_ONLY) == 0);
        if (writable) {
            list = list == NULL ? name : arena_printf(arena, "%s, %s", list, name);
        }
    }
    return list;
}

const char *schema_hint(Arena *arena, const TfSchema *schema, Slice name)
{
    VEC(const char *) names = {0};
    for (size_t i = 0; i < schema->attributes_len; i++) {
        arena_vec_push(arena, &names, schema->attributes[i].name);
    }
    for (size_t i = 0; i < schema->blocks_len; i++) {
        arena_vec_push(arena, &names, schema->blocks[i].name);
    }
    const char *nearest = tf_nearest(arena_slice_str(arena, name), names.items, names.len);
    const char *list = schema_list(arena, schema);
    return nearest != NULL ? arena_printf(arena, "did you mean \"%s\"?", nearest)
           : list != NULL  ? arena_printf(arena, "there are: %s", list)
                           : "take it out: Weir has nothing of that name";
}

/* ---- dynamic blocks ---------------------------------------------------------------------------
 */

bool block_is_dynamic(const Block *block)
{
    return slice_is(block->type, "dynamic") && block->labels_len == 1;
}

Dynamic block_dynamic(const Block *block)
{
    Dynamic dynamic = {.type = block->labels[0].text, .iterator = block->labels[0].text};
    for (size_t i = 0; i < block->body->arguments.len; i++) {
        const Argument *argument = &block->body->arguments.items[i];
        if (slice_is(argument->name, "for_each")) {
            dynamic.for_each = argument->expr;
        } else if (slice_is(argument->name, "iterator") && argument->expr->kind == EXPR_NAME) {
            dynamic.iterator = argument->expr->name;
        }
    }
    for (size_t i = 0; i < block->body->blocks.len; i++) {
        if (slice_is(block->body->blocks.items[i].type, "content")) {
            dynamic.content = block->body->blocks.items[i].body;
        }
    }
    return dynamic;
}

/* ---- the check ------------------------------------------------------------------------------ */

typedef struct Check {
    Loader *loader;
    Body *body;
    const TfSchema *schema;
    const char *what;
} Check;

/* The JSON syntax cannot tell a block from an argument: the schema can. */
static void check_json_blocks(Check *check)
{
    Body *body = check->body;
    if (body->pos.file == NULL || !body->pos.file->json) {
        return;
    }
    size_t kept = 0;
    for (size_t i = 0; i < body->arguments.len; i++) {
        Argument argument = body->arguments.items[i];
        bool block = schema_block(check->schema, argument.name) != NULL;
        if (!block ||
            !json_blocks(check->loader->arena, check->loader->diagnostics, &argument, body)) {
            body->arguments.items[kept++] = argument;
        }
    }
    body->arguments.len = kept;
}

static void check_known_argument(Check *check, const Argument *argument,
                                 const TfAttribute *attribute)
{
    if (attribute->refused != NULL) {
        loader_error(check->loader, argument->pos, attribute->refused, "%s is not supported in %s",
                     attribute->name, check->what);
    } else if ((attribute->flags & TF_READ_ONLY) != 0) {
        loader_error(check->loader, argument->pos,
                     "take the line out; other resources can refer to it", "%s of %s cannot be set",
                     attribute->name, check->what);
    }
}

static void check_argument(Check *check, const Argument *argument)
{
    const TfAttribute *attribute = schema_attribute(check->schema, argument->name);
    const TfBlockType *block = schema_block(check->schema, argument->name);
    if (attribute != NULL) {
        check_known_argument(check, argument, attribute);
    } else if (block == NULL) {
        loader_error(check->loader, argument->pos,
                     schema_hint(check->loader->arena, check->schema, argument->name),
                     "unknown argument \"%.*s\" in %s", SLICE_FMT(argument->name), check->what);
    } else if (!block->as_argument) {
        loader_error(
            check->loader, argument->pos,
            arena_printf(check->loader->arena, "write %s { … } without \"=\"", block->name),
            "%s of %s is a block", block->name, check->what);
    }
}

const char *schema_sample(TfType type)
{
    static const char *const samples[] = {
        [TF_TYPE_STRING] = "\"…\"",
        [TF_TYPE_NUMBER] = "1",
        [TF_TYPE_INTEGER] = "1",
        [TF_TYPE_BOOL] = "true",
        [TF_TYPE_STRING_LIST] = "[\"…\"]",
        [TF_TYPE_STRING_SET] = "[\"…\"]",
        [TF_TYPE_STRING_MAP] = "{ … = \"…\" }",
        [TF_TYPE_ANY] = "…",
    };
    return samples[type];
}

static void check_required(Check *check)
{
    Arena *arena = check->loader->arena;
    for (size_t i = 0; i < check->schema->attributes_len; i++) {
        const TfAttribute *attribute = &check->schema->attributes[i];
        if ((attribute->flags & TF_REQUIRED) != 0 &&
            body_argument(check->body, attribute->name) == NULL) {
            loader_error(check->loader, check->body->pos,
                         arena_printf(arena, "add: %s = %s", attribute->name,
                                      schema_sample(attribute->type)),
                         "missing argument \"%s\" in %s", attribute->name, check->what);
        }
    }
}

static void check_nested(Check *check, Body *body, const TfBlockType *type)
{
    schema_check(check->loader, body, &type->schema,
                 arena_printf(check->loader->arena, "%s of %s", type->name, check->what));
}

static void check_dynamic(Check *check, const Block *block)
{
    Dynamic dynamic = block_dynamic(block);
    const TfBlockType *type = schema_block(check->schema, dynamic.type);
    if (type == NULL || type->refused != NULL) {
        loader_error(check->loader, block->labels[0].pos,
                     type != NULL ? type->refused
                                  : schema_hint(check->loader->arena, check->schema, dynamic.type),
                     "unknown block \"%.*s\" in %s", SLICE_FMT(dynamic.type), check->what);
    } else if (dynamic.for_each == NULL || dynamic.content == NULL ||
               block->body->blocks.len != 1) {
        loader_error(check->loader, block->pos, "dynamic \"NAME\" { for_each = …  content { … } }",
                     "a dynamic block has for_each and one content block");
    } else {
        check_nested(check, dynamic.content, type);
    }
}

static void check_block(Check *check, const Block *block)
{
    Loader *loader = check->loader;
    const TfBlockType *type = schema_block(check->schema, block->type);
    if (type != NULL && type->refused != NULL) {
        loader_error(loader, block->pos, type->refused, "%s is not supported in %s", type->name,
                     check->what);
    } else if (type != NULL && block->labels_len > 0) {
        loader_error(loader, block->labels[0].pos, NULL, "%s of %s has no labels", type->name,
                     check->what);
    } else if (type != NULL) {
        check_nested(check, block->body, type);
    } else if (schema_attribute(check->schema, block->type) != NULL) {
        loader_error(loader, block->pos,
                     arena_printf(loader->arena, "write %.*s = { … }", SLICE_FMT(block->type)),
                     "%.*s of %s is an argument", SLICE_FMT(block->type), check->what);
    } else {
        loader_error(loader, block->pos, schema_hint(loader->arena, check->schema, block->type),
                     "unknown block \"%.*s\" in %s", SLICE_FMT(block->type), check->what);
    }
}

/* How many blocks of the type there are; SIZE_MAX: that comes out in evaluation. */
static size_t count_blocks(const Body *body, const TfBlockType *type)
{
    size_t count = 0;
    for (size_t i = 0; i < body->blocks.len; i++) {
        const Block *block = &body->blocks.items[i];
        if (block_is_dynamic(block) && slice_is(block->labels[0].text, type->name)) {
            return SIZE_MAX;
        }
        count += slice_is(block->type, type->name);
    }
    return body_argument(body, type->name) != NULL ? SIZE_MAX : count;
}

static void check_counts(Check *check)
{
    for (size_t i = 0; i < check->schema->blocks_len; i++) {
        const TfBlockType *type = &check->schema->blocks[i];
        size_t count = count_blocks(check->body, type);
        if (count == SIZE_MAX) {
            continue;
        }
        if (count < type->min) {
            loader_error(check->loader, check->body->pos,
                         arena_printf(check->loader->arena, "add: %s { … }", type->name),
                         "missing block \"%s\" in %s", type->name, check->what);
        } else if (type->max > 0 && count > type->max) {
            loader_error(check->loader, check->body->pos, NULL, "more than %zu \"%s\" in %s",
                         type->max, type->name, check->what);
        }
    }
}

/* Recursion is as deep as the schema. */
void schema_check(Loader *loader, Body *body, const TfSchema *schema, const char *what)
{
    Check check = {loader, body, schema, what};
    check_json_blocks(&check);
    for (size_t i = 0; i < body->arguments.len; i++) {
        check_argument(&check, &body->arguments.items[i]);
    }
    for (size_t i = 0; i < body->blocks.len; i++) {
        const Block *block = &body->blocks.items[i];
        if (block_is_dynamic(block)) {
            check_dynamic(&check, block);
        } else {
            check_block(&check, block);
        }
    }
    if (!body->broken) {
        check_required(&check);
        check_counts(&check);
    }
}
