/*
 * Values of variables: from the inputs in their order, else the default, else they are needed.
 */
#include "tf/eval_priv.h"

/* An input as it is worked with: one value or the arguments of a file. */
typedef struct Source {
    const TfInput *input;
    const TfFile *file;
    Body *body; /* of a file */
} Source;

typedef struct Inputs {
    Loader *loader;
    Source *items;
    size_t len;
} Inputs;

/* ---- reading -------------------------------------------------------------------------------- */

static Node *find_variable(const Loader *loader, const char *name)
{
    return loader_find(loader, arena_printf(loader->arena, "var.%s", name));
}

static const char *variable_hint(Loader *loader, const char *name)
{
    VEC(const char *) names = {0};
    const NodeList *nodes = &loader->program->nodes;
    for (size_t i = 0; i < nodes->len; i++) {
        if (nodes->items[i]->kind == NODE_VARIABLE) {
            arena_vec_push(loader->arena, &names, nodes->items[i]->name);
        }
    }
    const char *nearest = tf_nearest(name, names.items, names.len);
    return nearest != NULL ? arena_printf(loader->arena, "did you mean %s?", nearest)
                           : arena_printf(loader->arena, "declare it: variable \"%s\" { }", name);
}

static void check_file(Loader *loader, const Source *source)
{
    for (size_t i = 0; i < source->body->blocks.len; i++) {
        loader_error(loader, source->body->blocks.items[i].pos, "write NAME = value",
                     "a file of variable values holds no blocks");
    }
    for (size_t i = 0; i < source->body->arguments.len; i++) {
        const Argument *argument = &source->body->arguments.items[i];
        const char *name = arena_slice_str(loader->arena, argument->name);
        if (find_variable(loader, name) == NULL) {
            tf_diagnose(loader->diagnostics, TF_WARNING, argument->pos,
                        arena_printf(loader->arena, "there is no variable \"%s\"", name),
                        variable_hint(loader, name));
        }
    }
}

static void read_file(Loader *loader, Source *source, TfFile *file)
{
    source->body = file->json ? parse_json_file(loader->arena, loader->diagnostics, file, true)
                              : parse_file(loader->arena, loader->diagnostics, file);
    check_file(loader, source);
}

static void read_input(Loader *loader, Source *source, size_t order)
{
    const TfInput *input = source->input;
    TfFile *file = load_file(loader, input->origin, input->text, order);
    source->file = file;
    if (file == NULL) {
        return;
    }
    file->private_values = true;
    if (input->name == NULL) {
        read_file(loader, source, file);
        return;
    }
    file->hidden = true;
    if (input->from == TF_FROM_OPTION && find_variable(loader, input->name) == NULL) {
        loader_error(loader, (TfPos){0}, variable_hint(loader, input->name),
                     "%s: there is no variable \"%s\"", input->origin, input->name);
    }
}

/* What the expression gives, without quoting it when something is wrong: it may be a password. */
static const TfValue *private_value(Loader *loader, Expr *expr)
{
    TfDiagnostics *diagnostics = loader->diagnostics;
    TfDiagnostics ignored;
    tf_diagnostics_init(&ignored, loader->arena);
    loader->diagnostics = &ignored;
    const TfValue *value = constant_value(loader, expr, "a value");
    loader->diagnostics = diagnostics;
    if (ignored.errors > 0) {
        loader_error(loader, expr->pos,
                     "a value is \"text\" in double quotes, 60, true, null, [list] or {object}",
                     "this value cannot be evaluated");
    }
    return value;
}

/* ---- values --------------------------------------------------------------------------------- */

/* What an input says of the variable: its value and where that stands. NULL when it says nothing.
 */
static const TfValue *source_value(Loader *loader, const Source *source, const Node *node,
                                   TfPos *ret_pos)
{
    const Variable *variable = &node->variable;
    if (source->file == NULL) {
        return NULL;
    }
    if (source->input->name == NULL) {
        const Argument *argument = body_argument(source->body, node->name);
        *ret_pos = argument != NULL ? argument->pos : (TfPos){0};
        return argument != NULL ? private_value(loader, argument->expr) : NULL;
    }
    if (strcmp(source->input->name, node->name) != 0) {
        return NULL;
    }
    *ret_pos = (TfPos){source->file, 0};
    if (variable->literal || source->input->from == TF_FROM_GENERATED) {
        return tf_string(loader->arena, source->file->text);
    }
    Expr *expr = parse_expression(loader->arena, loader->diagnostics, source->file,
                                  source->file->text, *ret_pos);
    return private_value(loader, expr);
}

/* The first input that has a value, else the default, else NULL. */
static const TfValue *variable_raw(const Inputs *inputs, const Node *node, TfPos *ret_pos)
{
    const Variable *variable = &node->variable;
    for (size_t i = 0; i < inputs->len; i++) {
        const TfValue *value = source_value(inputs->loader, &inputs->items[i], node, ret_pos);
        if (value != NULL && !(value->kind == TF_NULL && variable->not_null)) {
            return value;
        }
    }
    if (variable->fallback == NULL) {
        return NULL;
    }
    *ret_pos = variable->fallback->pos;
    return constant_value(inputs->loader, variable->fallback, "a default");
}

static const TfValue *variable_missing(Loader *loader, const Node *node)
{
    if (node->variable.sensitive) {
        TfNeed need = {node->name, node->variable.description, node->pos};
        arena_vec_push(loader->arena, &loader->program->needs, need);
        return value_unknown(true);
    }
    loader_error(loader, node->pos,
                 arena_printf(loader->arena,
                              "write --var %s=…, set TF_VAR_%s, or give it a default", node->name,
                              node->name),
                 "variable \"%s\" has no value", node->name);
    return tf_unknown();
}

static const TfValue *variable_convert(Loader *loader, const Node *node, const TfValue *raw,
                                       TfPos pos)
{
    const Variable *variable = &node->variable;
    const TfValue *marked = tf_mark(loader->arena, raw, variable->sensitive);
    const TfValue *value;
    ConvertFailure failure;
    if (value_convert(loader->arena, marked, variable->type, &value, &failure)) {
        return value;
    }
    CLEANUP(buf_done) Buf hint;
    buf_init(&hint, BUF_MAX_DEFAULT);
    buf_append_str(&hint, "its type is ");
    type_format(variable->type, &hint);
    const char *found = failure.found == NULL ? "nothing"
                        : variable->sensitive ? value_kind_name(failure.found)
                                              : value_excerpt(loader->arena, failure.found);
    loader_error(loader, pos, buf_str(&hint), "var.%s%s must be %s, not %s", node->name,
                 failure.path, failure.wanted, found);
    return value_unknown(variable->sensitive);
}

static const TfValue *variable_value(const Inputs *inputs, const Node *node)
{
    TfPos pos = {0};
    const TfValue *raw = variable_raw(inputs, node, &pos);
    if (raw == NULL) {
        return variable_missing(inputs->loader, node);
    }
    if (raw->kind == TF_NULL && node->variable.not_null) {
        loader_error(inputs->loader, pos, NULL, "variable \"%s\" must not be null", node->name);
        return tf_unknown();
    }
    return variable_convert(inputs->loader, node, raw, pos);
}

void load_inputs(Loader *loader)
{
    const TfConfig *config = loader->config;
    Inputs inputs = {loader, ARENA_ARRAY(loader->arena, Source, config->inputs_len), 0};
    for (size_t i = 0; i < config->inputs_len; i++) {
        Source *source = &inputs.items[inputs.len++];
        source->input = &config->inputs[i];
        read_input(loader, source, config->sources_len + i);
    }
    const NodeList *nodes = &loader->program->nodes;
    for (size_t i = 0; i < nodes->len; i++) {
        Node *node = nodes->items[i];
        if (node->kind == NODE_VARIABLE) {
            size_t errors = loader->diagnostics->errors;
            node->value = variable_value(&inputs, node);
            node->failed = loader->diagnostics->errors > errors;
            node->changed_at = loader->program->version;
        }
    }
}
