/*
 * The program: instances and their evaluation. A node's value carries the version of the program in
 * which it was made; tf_set_attributes begins a new version, and what depends on a newer value than
 * its own is evaluated again when somebody asks.
 */
#include <stdio.h>

#include "tf/eval_priv.h"

/* Evaluation of one node within a load or a refresh. */
typedef struct Run {
    TfProgram *program;
    TfDiagnostics *diagnostics;
    uint64_t *steps;
    bool expand; /* instances are being made */
} Run;

static Eval run_eval(const Run *run)
{
    return (Eval){
        .arena = run->program->arena, .diagnostics = run->diagnostics, .steps = run->steps};
}

/* ---- expansion ------------------------------------------------------------------------------ */

static Instance *instance_add(TfProgram *program, Node *node, const char *address)
{
    Instance *instance = ARENA_NEW(program->arena, Instance);
    Resource *resource = &node->resource;
    instance->node = node;
    instance->info = (TfInstance){
        .address = address,
        .resource = node->address,
        .type = resource->type,
        .name = node->name,
        .pos = node->pos,
        .prevent_destroy = resource->prevent_destroy,
        .ignore_all_changes = resource->ignore_all,
        .ignore_changes = resource->ignore_changes.items,
        .ignore_changes_len = resource->ignore_changes.len,
    };
    arena_vec_push(program->arena, &resource->instances, instance);
    const TfInstance *info = &instance->info;
    arena_vec_push(program->arena, &program->instances, info);
    return instance;
}

static void expand_count(const Run *run, Eval *eval, Node *node)
{
    Arena *arena = run->program->arena;
    const Expr *expr = node->resource.count;
    const TfValue *value = eval_expr(eval, expr);
    if (value->kind == TF_UNKNOWN || value->holds_sensitive) {
        if (eval->errors == 0) {
            (void)eval_error(eval, expr->pos, "use a value that is written in the configuration",
                             value->holds_sensitive ? "count must not be sensitive"
                                                    : "count is known only after apply");
        }
        return;
    }
    const TfValue *number = value_to_number(arena, value);
    if (number == NULL || !number->number.exact || number->number.integer < 0 ||
        number->number.integer > TF_INSTANCES_MAX) {
        (void)eval_error(eval, expr->pos, NULL,
                         "count must be a whole number between 0 and %d, not %s", TF_INSTANCES_MAX,
                         value_excerpt(arena, value));
        return;
    }
    for (int64_t i = 0; i < number->number.integer; i++) {
        Instance *instance = instance_add(
            run->program, node, arena_printf(arena, "%s[%lld]", node->address, (long long)i));
        instance->info.key_kind = TF_KEY_COUNT;
        instance->info.count_index = i;
        instance->count_index = tf_int(arena, i);
    }
}

/* NULL after a report. */
static const TfValue *for_each_value(Eval *eval, const Expr *expr)
{
    const TfValue *value = eval_expr(eval, expr);
    const char *problem = NULL;
    const char *hint = NULL;
    if (value->kind == TF_UNKNOWN || (value->kind == TF_SET && value->holds_unknown)) {
        problem = "for_each is known only after apply";
        hint = "use keys that are written in the configuration";
    } else if (value->sensitive || (value->kind == TF_SET && value->holds_sensitive)) {
        problem = "for_each must not be sensitive: its keys are shown";
    } else if (value->kind == TF_LIST) {
        problem = "for_each takes a map or a set of strings, not a list";
        hint = "write toset(…) around it";
    } else if (value->kind != TF_OBJECT && value->kind != TF_SET) {
        problem = "for_each takes a map or a set of strings";
    } else if (value_len(value) > TF_INSTANCES_MAX) {
        problem = "for_each has too many elements";
    }
    for (size_t i = 0; problem == NULL && value->kind == TF_SET && i < value_len(value); i++) {
        problem = value_at(value, i)->kind != TF_STRING ? "for_each takes a map or a set of strings"
                                                        : NULL;
    }
    if (problem != NULL && (value->kind != TF_UNKNOWN || eval->errors == 0)) {
        (void)eval_error(eval, expr->pos, hint, "%s", problem);
    }
    return problem == NULL ? value : NULL;
}

static void expand_each(const Run *run, Eval *eval, Node *node)
{
    Arena *arena = run->program->arena;
    const TfValue *value = for_each_value(eval, node->resource.for_each);
    for (size_t i = 0; value != NULL && i < value_len(value); i++) {
        const TfValue *key = value_key_at(arena, value, i);
        CLEANUP(buf_done) Buf shown;
        buf_init(&shown, TF_VALUE_BYTES_MAX * 6);
        tf_show(key, &shown);
        Instance *instance = instance_add(
            run->program, node, arena_printf(arena, "%s[%s]", node->address, buf_str(&shown)));
        instance->info.key_kind = TF_KEY_EACH;
        instance->info.each_key = key->string.data;
        instance->each_key = key;
        instance->each_value = value_at(value, i);
    }
}

/* What for_each gives to instances that are there already. */
static void refresh_each(Eval *eval, const Node *node)
{
    const TfValue *value = for_each_value(eval, node->resource.for_each);
    for (size_t i = 0; value != NULL && i < node->resource.instances.len; i++) {
        Instance *instance = node->resource.instances.items[i];
        const TfValue *member = value->kind == TF_OBJECT
                                    ? value_member(value, instance->each_key->string)
                                    : instance->each_key;
        instance->each_value = member != NULL ? member : instance->each_value;
    }
}

static void expand(const Run *run, Eval *eval, Node *node)
{
    if (node->resource.count != NULL) {
        expand_count(run, eval, node);
    } else if (node->resource.for_each != NULL) {
        expand_each(run, eval, node);
    } else {
        (void)instance_add(run->program, node, node->address);
    }
}

/* ---- evaluation of nodes -------------------------------------------------------------------- */

static const TfValue *instance_value(Arena *arena, const Instance *instance)
{
    return schema_complete(arena, &instance->info.type->schema, instance->config, instance->set);
}

/* All instances as what a reference to the resource sees. */
static const TfValue *resource_value(Arena *arena, const Node *node)
{
    const Resource *resource = &node->resource;
    size_t len = resource->instances.len;
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    TfMember *members = ARENA_ARRAY(arena, TfMember, len);
    for (size_t i = 0; i < len; i++) {
        const Instance *instance = resource->instances.items[i];
        items[i] = instance_value(arena, instance);
        members[i].value = items[i];
        members[i].name = slice_of(instance->info.each_key);
    }
    if (resource->count != NULL) {
        return tf_list(arena, items, len);
    }
    return resource->for_each != NULL ? tf_object(arena, members, len) : items[0];
}

static const TfValue *evaluate_resource(const Run *run, Eval *eval, Node *node)
{
    Resource *resource = &node->resource;
    if (resource->type == NULL) {
        eval->errors++; /* reported when it was declared */
        return tf_unknown();
    }
    if (run->expand) {
        expand(run, eval, node);
    } else if (resource->for_each != NULL) {
        refresh_each(eval, node);
    }
    if (eval->errors > 0) {
        return tf_unknown();
    }
    for (size_t i = 0; i < resource->instances.len; i++) {
        Instance *instance = resource->instances.items[i];
        eval->each_key = instance->each_key;
        eval->each_value = instance->each_value;
        eval->count_index = instance->count_index;
        instance->config =
            schema_decode(eval, resource->body, &resource->type->schema, resource->type->name);
    }
    return resource_value(eval->arena, node);
}

static const TfValue *evaluate_output(Eval *eval, const Node *node)
{
    const TfValue *value = node->expr != NULL ? eval_expr(eval, node->expr) : tf_unknown();
    if (value->holds_sensitive && !node->output.sensitive) {
        return eval_error(eval, node->expr->pos, "add: sensitive = true",
                          "output \"%s\" shows a sensitive value", node->name);
    }
    return tf_mark(eval->arena, value, node->output.sensitive);
}

static void evaluate_node(const Run *run, Node *node)
{
    Eval eval = run_eval(run);
    if (node->kind == NODE_VARIABLE) {
        return;
    }
    if (node->in_cycle) {
        node->failed = true;
        return;
    }
    if (node->kind == NODE_RESOURCE) {
        node->value = evaluate_resource(run, &eval, node);
    } else if (node->kind == NODE_OUTPUT) {
        node->value = evaluate_output(&eval, node);
    } else {
        node->value = eval_expr(&eval, node->expr);
    }
    node->failed = eval.errors > 0;
    node->changed_at = run->program->version;
}

/* ---- dependencies of instances ----------------------------------------------------------------
 */

/* All resources that a node needs, through locals too; each once. */
static void collect_resources(Arena *arena, const NodeList *order, const Node *node,
                              NodeList *resources)
{
    for (size_t i = 0; i < node->depends.len; i++) {
        node->depends.items[i]->wanted = true;
    }
    for (size_t i = order->len; i > 0; i--) {
        Node *other = order->items[i - 1];
        if (!other->wanted) {
            continue;
        }
        other->wanted = false;
        if (other->kind == NODE_RESOURCE) {
            arena_vec_push(arena, resources, other);
            continue;
        }
        for (size_t j = 0; j < other->depends.len; j++) {
            other->depends.items[j]->wanted = true;
        }
    }
}

static void link_resource(TfProgram *program, const Node *node)
{
    Arena *arena = program->arena;
    NodeList resources = {0};
    VEC(const TfInstance *) depends = {0};
    collect_resources(arena, &program->order, node, &resources);
    for (size_t i = resources.len; i > 0; i--) {
        const Resource *resource = &resources.items[i - 1]->resource;
        for (size_t j = 0; j < resource->instances.len; j++) {
            const TfInstance *info = &resource->instances.items[j]->info;
            arena_vec_push(arena, &depends, info);
        }
    }
    for (size_t i = 0; i < node->resource.instances.len; i++) {
        TfInstance *info = &node->resource.instances.items[i]->info;
        info->depends = depends.items;
        info->depends_len = depends.len;
    }
}

void load_evaluate(Loader *loader)
{
    TfProgram *program = loader->program;
    Run run = {program, loader->diagnostics, &loader->steps, true};
    for (size_t i = 0; i < program->order.len; i++) {
        evaluate_node(&run, program->order.items[i]);
    }
    for (size_t i = 0; i < program->order.len; i++) {
        const Node *node = program->order.items[i];
        if (node->kind == NODE_RESOURCE && !node->in_cycle) {
            link_resource(program, node);
        }
    }
}

/* ---- refreshing ----------------------------------------------------------------------------- */

static bool node_is_stale(const Node *node)
{
    bool stale = node->failed;
    for (size_t i = 0; i < node->depends.len && !stale; i++) {
        stale = node->depends.items[i]->changed_at > node->changed_at;
    }
    return stale;
}

/* Brings the wanted nodes, and all that they depend on, up to date. */
static bool program_refresh(TfProgram *program, TfDiagnostics *diagnostics)
{
    uint64_t steps = TF_STEPS_MAX;
    size_t errors = diagnostics->errors;
    Run run = {program, diagnostics, &steps, false};
    for (size_t i = program->order.len; i > 0; i--) {
        const Node *node = program->order.items[i - 1];
        for (size_t j = 0; node->wanted && j < node->depends.len; j++) {
            node->depends.items[j]->wanted = true;
        }
    }
    for (size_t i = 0; i < program->order.len; i++) {
        Node *node = program->order.items[i];
        if (node->wanted && node_is_stale(node)) {
            evaluate_node(&run, node);
        }
        node->wanted = false;
    }
    if (steps == 0) {
        tf_diagnose(diagnostics, TF_ERROR, (TfPos){0}, "evaluation takes too many steps", NULL);
    }
    return diagnostics->errors == errors;
}

/* ---- the interface -------------------------------------------------------------------------- */

static Instance *instance_of(const TfInstance *info)
{
    union {
        const TfInstance *info;
        Instance *instance;
    } cast = {.info = info};
    return cast.instance;
}

const TfNeed *tf_needs(const TfProgram *program, size_t *ret_len)
{
    *ret_len = program->needs.len;
    return program->needs.items;
}

const TfInstance *const *tf_instances(const TfProgram *program, size_t *ret_len)
{
    *ret_len = program->instances.len;
    return program->instances.items;
}

const TfInstance *tf_instance_find(const TfProgram *program, const char *address)
{
    for (size_t i = 0; i < program->instances.len; i++) {
        if (strcmp(program->instances.items[i]->address, address) == 0) {
            return program->instances.items[i];
        }
    }
    return NULL;
}

bool tf_evaluate(TfProgram *program, const TfInstance *info, TfDiagnostics *diagnostics,
                 const TfValue **ret_attributes)
{
    Instance *instance = instance_of(info);
    instance->node->wanted = true;
    TRY(program_refresh(program, diagnostics));
    *ret_attributes = instance->config;
    return true;
}

void tf_set_attributes(TfProgram *program, const TfInstance *info, const TfValue *object)
{
    Instance *instance = instance_of(info);
    ASSERT(object->kind == TF_OBJECT);
    instance->set = object;
    program->version++;
    instance->node->value = resource_value(program->arena, instance->node);
    instance->node->changed_at = program->version;
}

/* ---- positions ------------------------------------------------------------------------------ */

/* The n-th block of the type; NULL when there are fewer. */
static const Block *body_block(const Body *body, Slice type, uint64_t n)
{
    for (size_t i = 0; i < body->blocks.len; i++) {
        const Block *block = &body->blocks.items[i];
        Slice name = block_is_dynamic(block) ? block->labels[0].text : block->type;
        if (slice_eq(name, type) && (block_is_dynamic(block) || n-- == 0)) {
            return block;
        }
    }
    return NULL;
}

TfPos tf_instance_pos(const TfInstance *info, const char *path)
{
    const Body *body = instance_of(info)->node->resource.body;
    TfPos pos = info->pos;
    Slice rest = slice_of(path);
    while (rest.data != NULL && body != NULL) {
        Slice name = slice_cut(&rest, '.');
        const Argument *argument = body_find(body, name);
        if (argument != NULL) {
            return argument->pos;
        }
        Slice after = rest;
        uint64_t index = 0;
        if (rest.data != NULL && str_to_u64(slice_cut(&after, '.'), &index)) {
            rest = after;
        }
        const Block *block = body_block(body, name, index);
        if (block == NULL) {
            return pos;
        }
        pos = block->pos;
        body = block_is_dynamic(block) ? block_dynamic(block).content : block->body;
    }
    return pos;
}

/* ---- outputs -------------------------------------------------------------------------------- */

bool tf_outputs(TfProgram *program, TfDiagnostics *diagnostics, const TfOutput **ret_outputs,
                size_t *ret_len)
{
    VEC(TfOutput) outputs = {0};
    VEC(TfMember) names = {0};
    for (size_t i = 0; i < program->nodes.len; i++) {
        Node *node = program->nodes.items[i];
        if (node->kind == NODE_OUTPUT) {
            node->wanted = true;
            TfMember member = {slice_of(node->name), tf_int(program->arena, (int64_t)i)};
            arena_vec_push(program->arena, &names, member);
        }
    }
    TRY(program_refresh(program, diagnostics));
    const TfValue *sorted = tf_object(program->arena, names.items, names.len);
    for (size_t i = 0; i < sorted->object.len; i++) {
        const Node *node = program->nodes.items[sorted->object.members[i].value->number.integer];
        TfOutput output = {node->name, node->output.description, node->value, node->pos};
        arena_vec_push(program->arena, &outputs, output);
    }
    *ret_outputs = outputs.items;
    *ret_len = outputs.len;
    return true;
}
