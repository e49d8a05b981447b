/*
 * Any bytes as a configuration, in the JSON syntax when they begin with "{". What stands behind a
 * line
 * "#vars" is a tfvars file. What loads is evaluated as apply would: each instance, its attributes
 * handed back, then the outputs.
 */
#include "tf/tf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const TfAttribute auth_attributes[] = {
    {.name = "iam_auth"},
    {.name = "secret_arn", .flags = TF_REQUIRED},
};

static const TfBlockType proxy_blocks[] = {
    {.name = "auth",
     .schema = {.attributes = auth_attributes, .attributes_len = ARRAY_LEN(auth_attributes)},
     .max = 2,
     .as_argument = true},
};

static const TfAttribute attributes[] = {
    {.name = "name", .type = TF_TYPE_STRING},
    {.name = "size", .type = TF_TYPE_INTEGER},
    {.name = "ratio", .type = TF_TYPE_NUMBER},
    {.name = "multi_az", .type = TF_TYPE_BOOL},
    {.name = "tags", .type = TF_TYPE_STRING_MAP},
    {.name = "ids", .type = TF_TYPE_STRING_SET},
    {.name = "any", .type = TF_TYPE_ANY},
    {.name = "password", .type = TF_TYPE_STRING, .flags = TF_SENSITIVE},
    {.name = "id", .type = TF_TYPE_STRING, .flags = TF_READ_ONLY},
    {.name = "port", .type = TF_TYPE_INTEGER, .flags = TF_COMPUTED},
    {.name = "kms_key", .refused = "take the line out"},
};

static const TfResourceType types[] = {
    {.name = "r", .schema = {.attributes = attributes, .attributes_len = ARRAY_LEN(attributes)}},
    {.name = "p",
     .schema = {.attributes = attributes,
                .attributes_len = ARRAY_LEN(attributes),
                .blocks = proxy_blocks,
                .blocks_len = ARRAY_LEN(proxy_blocks)}},
};

static void show(const TfValue *value)
{
    CLEANUP(buf_done) Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    tf_show(value, &text);
    buf_clear(&text);
    if (!tf_to_json(value, &text)) {
        ASSERT(value->holds_unknown);
    }
}

static void apply(Arena *arena, TfProgram *program, TfDiagnostics *diagnostics)
{
    size_t len;
    const TfInstance *const *instances = tf_instances(program, &len);
    for (size_t i = 0; i < len && i < 16; i++) {
        const TfValue *value;
        const TfMember members[] = {{SLICE("id"), tf_string(arena, SLICE("id-1"))},
                                    {SLICE("port"), tf_int(arena, 5432)}};
        if (tf_evaluate(program, instances[i], diagnostics, &value)) {
            show(value);
            (void)tf_instance_pos(instances[i], "auth.0.iam_auth");
        }
        tf_set_attributes(program, instances[i], tf_object(arena, members, 2));
    }
    const TfOutput *outputs;
    if (tf_outputs(program, diagnostics, &outputs, &len)) {
        for (size_t i = 0; i < len; i++) {
            show(outputs[i].value);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char mark[] = "\n#vars\n";
    Slice text = slice_from(data, size);
    const char *vars = size > 0 ? memmem(data, size, mark, sizeof(mark) - 1) : NULL;
    Slice values = {0};
    if (vars != NULL) {
        text.len = (size_t)(vars - text.data);
        values = slice_skip(slice_from(data, size), text.len + sizeof(mark) - 1);
    }
    Arena *arena = arena_new();
    TfSource source = {slice_starts(text, "{") ? "main.tf.json" : "main.tf", text};
    TfInput input = {TF_FROM_FILE, slice_starts(values, "{") ? "v.json" : "v.tfvars", NULL, values};
    TfConfig config = {.sources = &source,
                       .sources_len = 1,
                       .inputs = &input,
                       .inputs_len = 1,
                       .types = types,
                       .types_len = ARRAY_LEN(types)};
    TfDiagnostics diagnostics;
    tf_diagnostics_init(&diagnostics, arena);
    TfProgram *program;
    if (tf_load(arena, &config, &diagnostics, &program)) {
        apply(arena, program, &diagnostics);
    } else {
        ASSERT(diagnostics.errors > 0);
    }
    Buf text_out;
    buf_init(&text_out, BUF_MAX_DEFAULT);
    tf_diagnostics_format(&diagnostics, &text_out);
    buf_done(&text_out);
    arena_free(arena);
    return 0;
}
