/*
 * Top-level blocks: what each declares, and what is refused by name. Resources are declared by
 * declare_resource.c.
 */
#include "tf/declare_priv.h"

/* ---- nodes ---------------------------------------------------------------------------------- */

Node *declare_node(Loader *loader, NodeKind kind, const char *prefix, Slice name, TfPos pos)
{
    bool valid = name.len > 0 && is_name_start(name.data[0]);
    for (size_t i = 0; i < name.len; i++) {
        valid = valid && is_name_char(name.data[i]);
    }
    if (!valid) {
        loader_error(loader, pos,
                     "a name has letters, digits, _ and -, and begins with a letter or _",
                     "\"%.*s\" is no name", SLICE_FMT(name));
        return NULL;
    }
    const char *address = arena_printf(loader->arena, "%s.%.*s", prefix, SLICE_FMT(name));
    const Node *other = loader_find(loader, address);
    if (other != NULL) {
        loader_error(loader, pos,
                     arena_printf(loader->arena,
                                  "it is declared at %s:%d already; choose another name",
                                  tf_pos_file(other->pos), tf_pos_line(other->pos)),
                     "%s is declared twice", address);
        return NULL;
    }
    if (loader->program->nodes.len >= TF_DECLARATIONS_MAX) {
        loader_error(loader, pos, NULL, "more than %d declarations", TF_DECLARATIONS_MAX);
        return NULL;
    }
    Node *node = ARENA_NEW(loader->arena, Node);
    node->kind = kind;
    node->name = arena_slice_str(loader->arena, name);
    node->address = address;
    node->pos = pos;
    arena_vec_push(loader->arena, &loader->program->nodes, node);
    map_set(loader->names, slice_of(address), node);
    return node;
}

/* ---- constants ------------------------------------------------------------------------------ */

bool body_flag(Loader *loader, const Body *body, const char *name, bool otherwise)
{
    const Argument *argument = body_argument(body, name);
    if (argument == NULL) {
        return otherwise;
    }
    const TfValue *value = constant_value(loader, argument->expr, name);
    const TfValue *boolean = value_to_bool(value);
    if (boolean == NULL && value->kind != TF_UNKNOWN && value->kind != TF_NULL) {
        loader_error(loader, argument->pos, NULL, "%s must be true or false", name);
    }
    return boolean != NULL ? boolean->boolean : otherwise;
}

const char *body_text(Loader *loader, const Body *body, const char *name)
{
    const Argument *argument = body_argument(body, name);
    if (argument == NULL) {
        return NULL;
    }
    const TfValue *value = constant_value(loader, argument->expr, name);
    if (value->kind == TF_STRING) {
        return value->string.data;
    }
    if (value->kind != TF_UNKNOWN) {
        loader_error(loader, argument->pos, NULL, "%s must be a string", name);
    }
    return NULL;
}

/* ---- variable ------------------------------------------------------------------------------- */

static const TfAttribute validation_attributes[] = {
    {.name = "condition", .type = TF_TYPE_ANY, .flags = TF_REQUIRED},
    {.name = "error_message", .type = TF_TYPE_ANY, .flags = TF_REQUIRED},
};

static const TfBlockType variable_blocks[] = {
    {.name = "validation",
     .schema = {.attributes = validation_attributes,
                .attributes_len = ARRAY_LEN(validation_attributes)}},
};

static const TfAttribute variable_attributes[] = {
    META("type"),
    META("default"),
    META("description"),
    META("sensitive"),
    META("nullable"),
    META_REFUSED("ephemeral", "take the line out: values of variables are in no state file here"),
};

static const TfSchema variable_schema = {
    .attributes = variable_attributes,
    .attributes_len = ARRAY_LEN(variable_attributes),
    .blocks = variable_blocks,
    .blocks_len = ARRAY_LEN(variable_blocks),
};

static void declare_validations(Loader *loader, Variable *variable, const Body *body)
{
    for (size_t i = 0; i < body->blocks.len; i++) {
        const Block *block = &body->blocks.items[i];
        const Argument *condition = body_argument(block->body, "condition");
        const Argument *message = body_argument(block->body, "error_message");
        if (condition != NULL && message != NULL) {
            Validation validation = {block->pos, condition->expr, message->expr};
            arena_vec_push(loader->arena, &variable->validations, validation);
        }
    }
}

/* Without a type, and with a primitive one, what comes from the command line is the text itself. */
static void declare_type(Loader *loader, Variable *variable, const Argument *type)
{
    static const Type any = {.kind = TYPE_ANY};
    variable->type = type != NULL ? type_parse(loader, type->expr) : &any;
    variable->literal = type == NULL || variable->type->kind == TYPE_STRING ||
                        variable->type->kind == TYPE_NUMBER || variable->type->kind == TYPE_BOOL;
}

static void declare_variable(Loader *loader, Block *block)
{
    Node *node = declare_node(loader, NODE_VARIABLE, "var", block->labels[0].text, block->pos);
    if (node == NULL) {
        return;
    }
    schema_check(loader, block->body, &variable_schema,
                 arena_printf(loader->arena, "variable \"%s\"", node->name));
    Variable *variable = &node->variable;
    declare_type(loader, variable, body_argument(block->body, "type"));
    const Argument *fallback = body_argument(block->body, "default");
    variable->fallback = fallback != NULL ? fallback->expr : NULL;
    variable->sensitive = body_flag(loader, block->body, "sensitive", false);
    variable->not_null = !body_flag(loader, block->body, "nullable", true);
    variable->description = body_text(loader, block->body, "description");
    declare_validations(loader, variable, block->body);
}

/* ---- locals and outputs --------------------------------------------------------------------- */

static void declare_locals(Loader *loader, Block *block)
{
    for (size_t i = 0; i < block->body->arguments.len; i++) {
        const Argument *argument = &block->body->arguments.items[i];
        Node *node = declare_node(loader, NODE_LOCAL, "local", argument->name, argument->pos);
        if (node != NULL) {
            node->expr = argument->expr;
        }
    }
    for (size_t i = 0; i < block->body->blocks.len; i++) {
        loader_error(loader, block->body->blocks.items[i].pos, "write NAME = { … }",
                     "a locals block holds only arguments");
    }
}

static const TfAttribute output_attributes[] = {
    {.name = "value", .type = TF_TYPE_ANY, .flags = TF_REQUIRED},
    META("description"),
    META("sensitive"),
    META("depends_on"),
    META_REFUSED("ephemeral", "outputs are in no state file here"),
};

static const TfSchema output_schema = {
    .attributes = output_attributes,
    .attributes_len = ARRAY_LEN(output_attributes),
};

static void declare_output(Loader *loader, Block *block)
{
    Node *node = declare_node(loader, NODE_OUTPUT, "output", block->labels[0].text, block->pos);
    if (node == NULL) {
        return;
    }
    schema_check(loader, block->body, &output_schema,
                 arena_printf(loader->arena, "output \"%s\"", node->name));
    const Argument *value = body_argument(block->body, "value");
    node->expr = value != NULL ? value->expr : NULL;
    const Argument *depends_on = body_argument(block->body, "depends_on");
    node->output.depends_on = depends_on != NULL ? depends_on->expr : NULL;
    node->output.sensitive = body_flag(loader, block->body, "sensitive", false);
    node->output.description = body_text(loader, block->body, "description");
}

/* ---- terraform and provider ----------------------------------------------------------------- */

static void declare_terraform(Loader *loader, Block *block)
{
    for (size_t i = 0; i < block->body->arguments.len; i++) {
        const Argument *argument = &block->body->arguments.items[i];
        Slice name = argument->name;
        bool json = argument->pos.file->json;
        if (!slice_is(name, "required_version") &&
            !(json && (slice_is(name, "required_providers") || slice_is(name, "backend") ||
                       slice_is(name, "cloud")))) {
            loader_error(loader, argument->pos, NULL, "%.*s is not supported in terraform",
                         SLICE_FMT(name));
        }
    }
    for (size_t i = 0; i < block->body->blocks.len; i++) {
        const Block *inner = &block->body->blocks.items[i];
        if (slice_is(inner->type, "backend") || slice_is(inner->type, "cloud")) {
            tf_diagnose(loader->diagnostics, TF_WARNING, inner->pos,
                        arena_printf(loader->arena, "%.*s has no effect", SLICE_FMT(inner->type)),
                        "weir keeps no state file: it asks the API what there is");
        } else if (!slice_is(inner->type, "required_providers")) {
            loader_error(loader, inner->pos, NULL, "%.*s is not supported in terraform",
                         SLICE_FMT(inner->type));
        }
    }
}

/* A provider whose resources we have: its name is the first word of their types. */
static bool provider_known(const Loader *loader, Slice name)
{
    for (size_t i = 0; i < loader->config->types_len; i++) {
        Slice type = slice_of(loader->config->types[i].name);
        if (slice_eq(slice_cut(&type, '_'), name)) {
            return true;
        }
    }
    return false;
}

static void declare_provider(Loader *loader, Block *block)
{
    Slice name = block->labels[0].text;
    const Argument *alias = body_argument(block->body, "alias");
    if (!provider_known(loader, name)) {
        loader_error(loader, block->pos, "take the block out",
                     "no resource type of the provider \"%.*s\" is known", SLICE_FMT(name));
    } else if (alias != NULL) {
        loader_error(loader, alias->pos, "take the block out",
                     "there is one region, so there are no aliases of providers");
    }
    RefContext context = {0};
    resolve_body(loader, &context, block->body);
}

/* ---- the table ------------------------------------------------------------------------------ */

typedef struct BlockKind {
    const char *name;
    size_t labels;
    const char *form;
    void (*declare)(Loader *loader, Block *block);
    bool late; /* refers to declarations, so it comes when all are known */
} BlockKind;

static const BlockKind block_kinds[] = {
    {"resource", 2, "resource \"TYPE\" \"NAME\" { … }", declare_resource, false},
    {"variable", 1, "variable \"NAME\" { … }", declare_variable, false},
    {"locals", 0, "locals { … }", declare_locals, false},
    {"output", 1, "output \"NAME\" { … }", declare_output, false},
    {"terraform", 0, "terraform { … }", declare_terraform, false},
    {"provider", 1, "provider \"NAME\" { … }", declare_provider, true},
};

typedef struct RefusedBlock {
    const char *name;
    const char *why;
} RefusedBlock;

static const RefusedBlock refused_blocks[] = {
    {"data", "write the value, or a variable for it"},
    {"module", "write the module's resources into this configuration"},
    {"moved", "take the block out: a renamed resource is found by its identifier"},
    {"removed", "take the block out"},
    {"import", "take the block out: what exists under the same identifier is taken over"},
    {"check", "take the block out"},
    {"ephemeral", "use a sensitive variable"},
    {"action", "take the block out"},
};

static void refuse_block(Loader *loader, const Block *block)
{
    const char *names[ARRAY_LEN(block_kinds)];
    for (size_t i = 0; i < ARRAY_LEN(refused_blocks); i++) {
        if (slice_is(block->type, refused_blocks[i].name)) {
            loader_error(loader, block->pos, refused_blocks[i].why, "%s blocks are not supported",
                         refused_blocks[i].name);
            return;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(block_kinds); i++) {
        names[i] = block_kinds[i].name;
    }
    const char *nearest =
        tf_nearest(arena_slice_str(loader->arena, block->type), names, ARRAY_LEN(block_kinds));
    loader_error(loader, block->pos,
                 nearest != NULL
                     ? arena_printf(loader->arena, "did you mean %s?", nearest)
                     : "there are resource, variable, locals, output, provider and terraform",
                 "unknown block \"%.*s\"", SLICE_FMT(block->type));
}

static void declare_block(Loader *loader, Block *block, bool late)
{
    for (size_t i = 0; i < ARRAY_LEN(block_kinds); i++) {
        const BlockKind *kind = &block_kinds[i];
        if (!slice_is(block->type, kind->name)) {
            continue;
        }
        if (kind->late != late) {
            return;
        }
        if (block->labels_len != kind->labels) {
            loader_error(loader, block->pos, arena_printf(loader->arena, "write %s", kind->form),
                         "%s takes %zu name%s, not %zu", kind->name, kind->labels,
                         kind->labels == 1 ? "" : "s", block->labels_len);
            return;
        }
        kind->declare(loader, block);
        return;
    }
    if (!late) {
        refuse_block(loader, block);
    }
}

void load_declarations(Loader *loader, Body *body, bool late)
{
    for (size_t i = 0; i < body->arguments.len && !late; i++) {
        loader_error(loader, body->arguments.items[i].pos,
                     "values stand in a block, for instance locals { … }",
                     "an argument cannot stand outside of a block");
    }
    for (size_t i = 0; i < body->blocks.len; i++) {
        declare_block(loader, &body->blocks.items[i], late);
    }
}
