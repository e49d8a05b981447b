/*
 * Loading: texts to a program, in passes that each look at everything, so that one run reports all
 * errors: parse, declare, refer, order, give variables their values, evaluate, validate.
 */
#include <stdio.h>

#include "tf/eval_priv.h"

void loader_error(Loader *loader, TfPos pos, const char *hint, const char *format, ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    tf_diagnose(loader->diagnostics, TF_ERROR, pos, message, hint);
}

Node *loader_find(const Loader *loader, const char *address)
{
    return map_get(loader->names, slice_of(address));
}

const TfResourceType *loader_type(const Loader *loader, Slice name)
{
    for (size_t i = 0; i < loader->config->types_len; i++) {
        if (slice_is(name, loader->config->types[i].name)) {
            return &loader->config->types[i];
        }
    }
    return NULL;
}

/* ---- files -------------------------------------------------------------------------------- */

TfFile *load_file(Loader *loader, const char *name, Slice text, size_t order)
{
    TfFile *file = ARENA_NEW(loader->arena, TfFile);
    file->name = arena_strdup(loader->arena, name);
    file->order = order;
    file->json = slice_ends(slice_of(name), ".json");
    if (text.len > TF_SOURCE_MAX) {
        loader_error(loader, (TfPos){0}, NULL, "%s has more than %zu bytes", name, TF_SOURCE_MAX);
        return NULL;
    }
    file->text = (Slice){arena_slice_str(loader->arena, text), text.len};
    size_t bad_at;
    if (!utf8_valid(text, &bad_at)) {
        file->hidden = true;
        loader_error(loader, (TfPos){file, bad_at}, "save the file as UTF-8",
                     "this is not UTF-8 text");
        return NULL;
    }
    return file;
}

static Body *load_source(Loader *loader, const TfSource *source, size_t order)
{
    const TfFile *file = load_file(loader, source->name, source->text, order);
    if (file == NULL) {
        return ARENA_NEW(loader->arena, Body);
    }
    return file->json ? parse_json_file(loader->arena, loader->diagnostics, file, false)
                      : parse_file(loader->arena, loader->diagnostics, file);
}

static void load_sources(Loader *loader)
{
    const TfConfig *config = loader->config;
    Body **bodies = ARENA_ARRAY(loader->arena, Body *, config->sources_len);
    for (size_t i = 0; i < config->sources_len; i++) {
        bodies[i] = load_source(loader, &config->sources[i], i);
    }
    for (int late = 0; late < 2; late++) {
        for (size_t i = 0; i < config->sources_len; i++) {
            load_declarations(loader, bodies[i], late == 1);
        }
    }
}

/* ---- references ----------------------------------------------------------------------------- */

static void refer_resource(Loader *loader, Node *node)
{
    Resource *resource = &node->resource;
    RefContext context = {.node = node};
    if (resource->count != NULL) {
        resolve_expr(loader, &context, resource->count);
    }
    if (resource->for_each != NULL) {
        resolve_expr(loader, &context, resource->for_each);
    }
    context.each = resource->for_each != NULL;
    context.count = resource->count != NULL;
    resolve_body(loader, &context, resource->body);
    if (resource->depends_on != NULL) {
        resolve_depends_on(loader, node, resource->depends_on);
    }
}

static void refer_validations(Loader *loader, const Node *node)
{
    RefContext context = {0};
    for (size_t i = 0; i < node->variable.validations.len; i++) {
        resolve_expr(loader, &context, node->variable.validations.items[i].condition);
        resolve_expr(loader, &context, node->variable.validations.items[i].error_message);
    }
}

static void load_references(Loader *loader)
{
    const NodeList *nodes = &loader->program->nodes;
    for (size_t i = 0; i < nodes->len; i++) {
        Node *node = nodes->items[i];
        RefContext context = {.node = node};
        if (node->kind == NODE_RESOURCE) {
            refer_resource(loader, node);
        } else if (node->kind == NODE_VARIABLE) {
            refer_validations(loader, node);
        } else if (node->expr != NULL) {
            resolve_expr(loader, &context, node->expr);
        }
        if (node->kind == NODE_OUTPUT && node->output.depends_on != NULL) {
            resolve_depends_on(loader, node, node->output.depends_on);
        }
    }
    resolve_report_missing(loader);
}

/* ---- validations ---------------------------------------------------------------------------- */

static void validate(Loader *loader, Eval *eval, const Node *node, const Validation *validation)
{
    bool condition;
    bool unknown;
    bool sensitive;
    if (!eval_condition(eval, validation->condition, &condition, &unknown, &sensitive) ||
        condition || unknown) {
        return;
    }
    const TfValue *message = eval_expr(eval, validation->error_message);
    bool shown = message->kind == TF_STRING && !message->sensitive;
    loader_error(loader, node->pos,
                 shown ? message->string.data : "see the error_message of its validation",
                 "the value of variable \"%s\" is not valid", node->name);
}

static void load_validations(Loader *loader)
{
    Eval eval = {
        .arena = loader->arena, .diagnostics = loader->diagnostics, .steps = &loader->steps};
    const NodeList *nodes = &loader->program->nodes;
    for (size_t i = 0; i < nodes->len; i++) {
        const Node *node = nodes->items[i];
        for (size_t j = 0; node->kind == NODE_VARIABLE && j < node->variable.validations.len; j++) {
            validate(loader, &eval, node, &node->variable.validations.items[j]);
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void load_program(Loader *loader)
{
    const TfConfig *config = loader->config;
    if (config->sources_len > TF_SOURCES_MAX || config->inputs_len > TF_INPUTS_MAX) {
        loader_error(loader, (TfPos){0}, NULL, "more than %d files or %d inputs", TF_SOURCES_MAX,
                     TF_INPUTS_MAX);
        return;
    }
    load_sources(loader);
    load_references(loader);
    load_order(loader);
    load_inputs(loader);
    load_evaluate(loader);
    load_validations(loader);
    if (loader->steps == 0) {
        loader_error(loader, (TfPos){0}, "look for loops over long lists",
                     "evaluating the configuration takes more than %llu steps",
                     (unsigned long long)TF_STEPS_MAX);
    }
}

bool tf_load(Arena *arena, const TfConfig *config, TfDiagnostics *diagnostics,
             TfProgram **ret_program)
{
    size_t errors = diagnostics->errors;
    TfProgram *program = ARENA_NEW(arena, TfProgram);
    program->arena = arena;
    program->version = 1;
    Loader loader = {.arena = arena,
                     .config = config,
                     .diagnostics = diagnostics,
                     .program = program,
                     .names = map_new(),
                     .steps = TF_STEPS_MAX};
    load_program(&loader);
    map_free(loader.names);
    tf_diagnostics_sort(diagnostics);
    if (diagnostics->errors > errors) {
        return false;
    }
    *ret_program = program;
    return true;
}
