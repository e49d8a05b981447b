/* What the tests of tf share: a schema like that of the tier, loading a text, and looking at it. */
#ifndef WEIR_TESTS_TF_FIXTURE_H
#define WEIR_TESTS_TF_FIXTURE_H

#include "../unit.h"

#include "tf/tf.h"

#define STRINGS(text)                                                                              \
    {                                                                                              \
        .name = (text), .type = TF_TYPE_STRING                                                     \
    }
#define REQUIRED(text)                                                                             \
    {                                                                                              \
        .name = (text), .type = TF_TYPE_STRING, .flags = TF_REQUIRED                               \
    }
#define READ_ONLY(text)                                                                            \
    {                                                                                              \
        .name = (text), .type = TF_TYPE_STRING, .flags = TF_READ_ONLY                              \
    }
#define TYPED(text, kind)                                                                          \
    {                                                                                              \
        .name = (text), .type = (kind)                                                             \
    }
#define SCHEMA(list)                                                                               \
    {                                                                                              \
        .attributes = (list), .attributes_len = ARRAY_LEN(list)                                    \
    }
#define SCHEMA_WITH(list, nested)                                                                  \
    {                                                                                              \
        .attributes = (list), .attributes_len = ARRAY_LEN(list), .blocks = (nested),               \
        .blocks_len = ARRAY_LEN(nested)                                                            \
    }

static const TfAttribute instance_attributes[] = {
    REQUIRED("instance_class"),
    STRINGS("identifier"),
    STRINGS("engine"),
    {.name = "engine_version", .type = TF_TYPE_STRING, .flags = TF_COMPUTED},
    STRINGS("replicate_source_db"),
    STRINGS("username"),
    {.name = "password", .type = TF_TYPE_STRING, .flags = TF_SENSITIVE},
    TYPED("allocated_storage", TF_TYPE_INTEGER),
    TYPED("iops_ratio", TF_TYPE_NUMBER),
    TYPED("multi_az", TF_TYPE_BOOL),
    TYPED("vpc_security_group_ids", TF_TYPE_STRING_SET),
    TYPED("tags", TF_TYPE_STRING_MAP),
    {.name = "port", .type = TF_TYPE_INTEGER, .flags = TF_COMPUTED},
    READ_ONLY("id"),
    READ_ONLY("arn"),
    READ_ONLY("endpoint"),
    {.name = "domain", .refused = "take the line out: there is no directory service"},
};

static const TfAttribute auth_attributes[] = {
    STRINGS("auth_scheme"),
    STRINGS("iam_auth"),
    REQUIRED("secret_arn"),
};

static const TfBlockType proxy_blocks[] = {
    {.name = "auth", .schema = SCHEMA(auth_attributes), .min = 1, .max = 2},
};

static const TfAttribute proxy_attributes[] = {
    REQUIRED("name"),
    TYPED("idle_client_timeout", TF_TYPE_INTEGER),
    TYPED("vpc_subnet_ids", TF_TYPE_STRING_LIST),
    READ_ONLY("id"),
    READ_ONLY("endpoint"),
};

static const TfAttribute rule_attributes[] = {
    {.name = "from_port", .type = TF_TYPE_INTEGER, .flags = TF_REQUIRED},
    TYPED("cidr_blocks", TF_TYPE_STRING_LIST),
};

static const TfBlockType group_blocks[] = {
    {.name = "ingress", .schema = SCHEMA(rule_attributes), .as_argument = true, .computed = true},
};

static const TfAttribute group_attributes[] = {
    STRINGS("name"),
    READ_ONLY("id"),
};

static const TfAttribute secret_attributes[] = {
    REQUIRED("name"),
    READ_ONLY("id"),
    READ_ONLY("arn"),
};

static const TfAttribute version_attributes[] = {
    REQUIRED("secret_id"),
    {.name = "secret_string", .type = TF_TYPE_STRING, .flags = TF_SENSITIVE},
};

static const TfResourceType resource_types[] = {
    {"aws_db_instance", SCHEMA(instance_attributes)},
    {"aws_db_proxy", SCHEMA_WITH(proxy_attributes, proxy_blocks)},
    {"aws_security_group", SCHEMA_WITH(group_attributes, group_blocks)},
    {"aws_secretsmanager_secret", SCHEMA(secret_attributes)},
    {"aws_secretsmanager_secret_version", SCHEMA(version_attributes)},
};

/* A loaded text, or what is wrong with it. */
typedef struct Loaded {
    Arena *arena;
    TfDiagnostics diagnostics;
    TfProgram *program; /* NULL when there were errors */
} Loaded;

UNUSED static Loaded load_many(const TfSource *sources, size_t sources_len, const TfInput *inputs,
                               size_t inputs_len)
{
    Loaded loaded = {.arena = arena_new()};
    tf_diagnostics_init(&loaded.diagnostics, loaded.arena);
    TfConfig config = {.sources = sources,
                       .sources_len = sources_len,
                       .inputs = inputs,
                       .inputs_len = inputs_len,
                       .types = resource_types,
                       .types_len = ARRAY_LEN(resource_types)};
    if (!tf_load(loaded.arena, &config, &loaded.diagnostics, &loaded.program)) {
        loaded.program = NULL;
        assert_true(loaded.diagnostics.errors > 0);
    }
    return loaded;
}

UNUSED static Loaded load_text(const char *text)
{
    TfSource source = {"main.tf", slice_of(text)};
    return load_many(&source, 1, NULL, 0);
}

UNUSED static void loaded_done(Loaded *loaded)
{
    arena_free(loaded->arena);
}

UNUSED static const char *diagnostics_text(Loaded *loaded)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    tf_diagnostics_format(&loaded->diagnostics, &text);
    const char *copy = arena_strdup(loaded->arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

UNUSED static void must_load(Loaded *loaded)
{
    if (loaded->program == NULL) {
        fail_msg("%s", diagnostics_text(loaded));
    }
}

UNUSED static const char *shown(Arena *arena, const TfValue *value)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    tf_show(value, &text);
    const char *copy = arena_strdup(arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

/* What the instance evaluates to, shown. */
UNUSED static const char *evaluated(Loaded *loaded, const char *address)
{
    const TfInstance *instance = tf_instance_find(loaded->program, address);
    const TfValue *value = NULL;
    if (instance == NULL || !tf_evaluate(loaded->program, instance, &loaded->diagnostics, &value)) {
        fail_msg("%s: %s", address, diagnostics_text(loaded));
    }
    return shown(loaded->arena, value);
}

UNUSED static const char *output_of(Loaded *loaded, const char *name)
{
    const TfOutput *outputs;
    size_t len;
    if (!tf_outputs(loaded->program, &loaded->diagnostics, &outputs, &len)) {
        fail_msg("%s", diagnostics_text(loaded));
    }
    for (size_t i = 0; i < len; i++) {
        if (strcmp(outputs[i].name, name) == 0) {
            return shown(loaded->arena, outputs[i].value);
        }
    }
    fail_msg("no output %s", name);
    return NULL;
}

/* Fails unless the text gives exactly these diagnostics; says where they begin to differ. */
UNUSED static void assert_diagnostics(const char *text, const char *expected)
{
    Loaded loaded = load_text(text);
    const char *found = diagnostics_text(&loaded);
    size_t at = 0;
    size_t line = 0;
    for (; found[at] != '\0' && found[at] == expected[at]; at++) {
        line = found[at] == '\n' ? at + 1 : line;
    }
    if (found[at] != expected[at]) {
        fail_msg("is\n%.300s\nexpected\n%.300s", found + line, expected + line);
    }
    loaded_done(&loaded);
}

/* An expression, within locals n = ["a", "b"], m = {x = 1, y = 2}, s = "text", and its value. */
UNUSED static void assert_value(const char *expr, const char *expected)
{
    CLEANUP(mem_free_ptr)
    char *text =
        mem_printf("locals {\n  n = [\"a\", \"b\"]\n  m = { x = 1, y = 2 }\n  s = \"text\"\n"
                   "  v = %s\n}\noutput \"v\" {\n  value = local.v\n}\n",
                   expr);
    Loaded loaded = load_text(text);
    if (loaded.program == NULL) {
        fail_msg("%s\n%s", expr, diagnostics_text(&loaded));
    }
    const char *value = output_of(&loaded, "v");
    if (strcmp(value, expected) != 0) {
        fail_msg("%s\n  is       %s\n  expected %s", expr, value, expected);
    }
    loaded_done(&loaded);
}

/* An expression that cannot be evaluated, and the message of the only error. */
UNUSED static void assert_refused(const char *expr, const char *message)
{
    CLEANUP(mem_free_ptr)
    char *text =
        mem_printf("locals {\n  n = [\"a\", \"b\"]\n  m = { x = 1, y = 2 }\n  s = \"text\"\n"
                   "  v = %s\n}\n",
                   expr);
    Loaded loaded = load_text(text);
    if (loaded.diagnostics.list.len != 1) {
        fail_msg("%s\n%zu diagnostics\n%s", expr, loaded.diagnostics.list.len,
                 diagnostics_text(&loaded));
    }
    const TfDiagnostic *diagnostic = &loaded.diagnostics.list.items[0];
    if (strcmp(diagnostic->message, message) != 0 || diagnostic->line != 5) {
        fail_msg("%s\n  message  %s (line %d)\n  expected %s", expr, diagnostic->message,
                 diagnostic->line, message);
    }
    loaded_done(&loaded);
}

#endif
