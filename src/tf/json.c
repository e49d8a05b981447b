/*
 * JSON as the language has it: the syntax tree of its JSON syntax, in which strings are templates
 * and
 * "//" members are comments (hashicorp/hcl, json/spec.md), and the values of jsondecode. The text
 * is read by json_read.c.
 */
#include "tf/json_priv.h"
#include "tf/value_priv.h"

/* ---- values --------------------------------------------------------------------------------- */

static const TfValue *json_value(Arena *arena, const JsonNode *node);

static const TfValue *json_collection(Arena *arena, const JsonNode *node)
{
    size_t len = node->members.len;
    TfMember *members = ARENA_ARRAY(arena, TfMember, len);
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    for (size_t i = 0; i < len; i++) {
        items[i] = json_value(arena, node->members.items[i].node);
        members[i] = (TfMember){node->members.items[i].name, items[i]};
    }
    return node->kind == JSON_OBJECT ? tf_object(arena, members, len) : tf_list(arena, items, len);
}

static const TfValue *json_value(Arena *arena, const JsonNode *node)
{
    switch (node->kind) {
    case JSON_NULL:
        return tf_null();
    case JSON_BOOL:
        return tf_bool(node->boolean);
    case JSON_NUMBER:
        return value_number(arena, node->number);
    case JSON_STRING:
        return tf_string(arena, node->string);
    case JSON_LIST:
    case JSON_OBJECT:
        return json_collection(arena, node);
    }
    UNREACHABLE();
}

bool tf_from_json(Arena *arena, Slice json, const TfValue **ret_value, Err *err)
{
    JsonReader reader = {.arena = arena, .text = json};
    const JsonNode *node;
    size_t bad_at;
    if (!utf8_valid(json, &bad_at)) {
        return err_set(err, ERR_INVALID, "the JSON text is not UTF-8 at byte %zu", bad_at);
    }
    if (!json_read(&reader, &node)) {
        return err_set(err, ERR_INVALID, "%s, at byte %zu of the JSON text", reader.problem,
                       reader.at);
    }
    *ret_value = json_value(arena, node);
    return true;
}

/* ---- the syntax tree ------------------------------------------------------------------------ */

typedef struct JsonTree {
    Arena *arena;
    TfDiagnostics *diagnostics;
    const TfFile *file;
    bool templates; /* strings are templates */
} JsonTree;

static TfPos tree_pos(const JsonTree *tree, size_t offset)
{
    return (TfPos){tree->file, offset};
}

static Expr *tree_literal(const JsonTree *tree, const JsonNode *node, const TfValue *value)
{
    Expr *expr = ARENA_NEW(tree->arena, Expr);
    *expr = (Expr){
        .kind = EXPR_LITERAL, .depth = 1, .pos = tree_pos(tree, node->offset), .literal = value};
    return expr;
}

static Expr *tree_string(const JsonTree *tree, Slice text, size_t offset)
{
    if (tree->templates) {
        return parse_template(tree->arena, tree->diagnostics, tree->file, text,
                              tree_pos(tree, offset));
    }
    JsonNode node = {.offset = offset};
    return tree_literal(tree, &node, tf_string(tree->arena, text));
}

static Expr *tree_expr(const JsonTree *tree, const JsonNode *node);

static Expr *tree_list(const JsonTree *tree, const JsonNode *node)
{
    Expr *expr = tree_literal(tree, node, NULL);
    *expr = (Expr){.kind = EXPR_LIST, .depth = 1, .pos = expr->pos};
    for (size_t i = 0; i < node->members.len; i++) {
        Expr *item = tree_expr(tree, node->members.items[i].node);
        arena_vec_push(tree->arena, &expr->sequence.parts, item);
        expr_child(expr, item);
    }
    return expr;
}

static Expr *tree_object(const JsonTree *tree, const JsonNode *node)
{
    Expr *expr = tree_literal(tree, node, NULL);
    *expr = (Expr){.kind = EXPR_OBJECT, .depth = 1, .pos = expr->pos};
    expr->object.items = ARENA_ARRAY(tree->arena, ObjectItem, node->members.len);
    for (size_t i = 0; i < node->members.len; i++) {
        const JsonMember *member = &node->members.items[i];
        ObjectItem *item = &expr->object.items[expr->object.len++];
        item->key = tree_string(tree, member->name, member->offset);
        item->value = tree_expr(tree, member->node);
        expr_child(expr, item->key);
        expr_child(expr, item->value);
    }
    return expr;
}

/* An expression of a node; one that is too deep is reported. Recursion is as deep as the node. */
static Expr *tree_expr(const JsonTree *tree, const JsonNode *node)
{
    if (node->kind == JSON_STRING) {
        return tree_string(tree, node->string, node->offset);
    }
    if (node->kind != JSON_LIST && node->kind != JSON_OBJECT) {
        return tree_literal(tree, node, json_value(tree->arena, node));
    }
    Expr *expr = node->kind == JSON_LIST ? tree_list(tree, node) : tree_object(tree, node);
    if (expr->depth > TF_DEPTH_MAX) {
        tf_diagnose(tree->diagnostics, TF_ERROR, expr->pos, "an expression of too many levels",
                    NULL);
        *expr = (Expr){.kind = EXPR_ERROR, .depth = 1, .pos = expr->pos};
    }
    return expr;
}

/* ---- bodies --------------------------------------------------------------------------------- */

static void body_add(const JsonTree *tree, Body *body, Argument argument)
{
    for (size_t i = 0; i < body->arguments.len; i++) {
        if (slice_eq(body->arguments.items[i].name, argument.name)) {
            tf_diagnose(
                tree->diagnostics, TF_ERROR, argument.pos,
                arena_printf(tree->arena, "\"%.*s\" is set twice", SLICE_FMT(argument.name)), NULL);
            return;
        }
    }
    if (body->arguments.len >= TF_BODY_ITEMS_MAX) {
        tf_diagnose(tree->diagnostics, TF_ERROR, argument.pos, "too many arguments in one body",
                    NULL);
        return;
    }
    arena_vec_push(tree->arena, &body->arguments, argument);
}

static Body *tree_body(const JsonTree *tree, const JsonNode *node)
{
    Body *body = ARENA_NEW(tree->arena, Body);
    body->pos = tree_pos(tree, node->offset);
    for (size_t i = 0; i < node->members.len; i++) {
        const JsonMember *member = &node->members.items[i];
        if (!slice_is(member->name, "//")) {
            body_add(tree, body,
                     (Argument){member->name, tree_pos(tree, member->offset),
                                tree_expr(tree, member->node)});
        }
    }
    return body;
}

static bool body_has_room(const JsonTree *tree, const Body *body, TfPos pos)
{
    if (body->blocks.len < TF_BODY_ITEMS_MAX) {
        return true;
    }
    tf_diagnose(tree->diagnostics, TF_ERROR, pos, "too many blocks in one body", NULL);
    return false;
}

/* Blocks of one type: `labels` levels of names, then the body; each level may be a list of such.
 * Recursion is bounded by the number of labels. */
static void tree_blocks(const JsonTree *tree, Body *body, Block block, const JsonNode *node,
                        size_t labels, bool in_list)
{
    if (node->kind == JSON_LIST && !in_list) {
        for (size_t i = 0; i < node->members.len; i++) {
            tree_blocks(tree, body, block, node->members.items[i].node, labels, true);
        }
    } else if (node->kind != JSON_OBJECT) {
        tf_diagnose(tree->diagnostics, TF_ERROR, tree_pos(tree, node->offset),
                    arena_printf(tree->arena, "an object is expected here, for \"%.*s\"",
                                 SLICE_FMT(block.type)),
                    NULL);
    } else if (labels == 0) {
        block.body = tree_body(tree, node);
        if (body_has_room(tree, body, block.pos)) {
            arena_vec_push(tree->arena, &body->blocks, block);
        }
    } else {
        for (size_t i = 0; i < node->members.len; i++) {
            const JsonMember *member = &node->members.items[i];
            if (slice_is(member->name, "//")) {
                continue;
            }
            Block named = block;
            named.pos = tree_pos(tree, member->offset);
            named.labels[named.labels_len++] = (Label){member->name, named.pos};
            tree_blocks(tree, body, named, member->node, labels - 1, false);
        }
    }
}

static size_t block_labels(Slice type)
{
    static const struct {
        const char *name;
        size_t labels;
    } types[] = {{"resource", 2}, {"data", 2},   {"variable", 1}, {"output", 1},
                 {"provider", 1}, {"module", 1}, {"check", 1},    {"ephemeral", 2}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (slice_is(type, types[i].name)) {
            return types[i].labels;
        }
    }
    return 0;
}

static Body *tree_file(const JsonTree *tree, const JsonNode *node)
{
    Body *body = ARENA_NEW(tree->arena, Body);
    body->pos = tree_pos(tree, node->offset);
    for (size_t i = 0; i < node->members.len; i++) {
        const JsonMember *member = &node->members.items[i];
        if (!slice_is(member->name, "//")) {
            Block block = {.type = member->name, .pos = tree_pos(tree, member->offset)};
            tree_blocks(tree, body, block, member->node, block_labels(member->name), false);
        }
    }
    return body;
}

Body *parse_json_file(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file, bool values)
{
    JsonReader reader = {.arena = arena, .text = file->text};
    JsonTree tree = {arena, diagnostics, file, !values};
    const JsonNode *node;
    if (!json_read(&reader, &node)) {
        tf_diagnose(diagnostics, TF_ERROR, tree_pos(&tree, reader.at), reader.problem, NULL);
    } else if (node->kind != JSON_OBJECT) {
        tf_diagnose(diagnostics, TF_ERROR, tree_pos(&tree, node->offset),
                    "the file must hold one JSON object", NULL);
    } else {
        return values ? tree_body(&tree, node) : tree_file(&tree, node);
    }
    Body *empty = ARENA_NEW(arena, Body);
    empty->pos = tree_pos(&tree, 0);
    return empty;
}

/* ---- nested blocks -------------------------------------------------------------------------- */

static bool block_from_object(const JsonTree *tree, const Argument *argument, const Expr *object,
                              Body *body)
{
    Block block = {.type = argument->name, .pos = argument->pos};
    block.body = ARENA_NEW(tree->arena, Body);
    block.body->pos = object->pos;
    for (size_t i = 0; i < object->object.len; i++) {
        const ObjectItem *item = &object->object.items[i];
        Slice name;
        TRY(expr_is_string(item->key, &name));
        if (!slice_is(name, "//")) {
            body_add(tree, block.body, (Argument){name, item->key->pos, item->value});
        }
    }
    if (body_has_room(tree, body, block.pos)) {
        arena_vec_push(tree->arena, &body->blocks, block);
    }
    return true;
}

bool json_blocks(Arena *arena, TfDiagnostics *diagnostics, const Argument *argument, Body *body)
{
    JsonTree tree = {.arena = arena, .diagnostics = diagnostics};
    const Expr *expr = argument->expr;
    if (expr->kind == EXPR_OBJECT) {
        return block_from_object(&tree, argument, expr, body);
    }
    TRY(expr->kind == EXPR_LIST);
    for (size_t i = 0; i < expr->sequence.parts.len; i++) {
        const Expr *item = expr->sequence.parts.items[i];
        TRY(item->kind == EXPR_OBJECT && block_from_object(&tree, argument, item, body));
    }
    return true;
}
