/*
 * Loading the files, and the sensitive variables that nobody gave a value: it is made up once, of
 * letters and digits, which PostgreSQL's passwords and ElastiCache's auth tokens both take, and
 * kept as a secret of the tier.
 */
#include "cli/plan/plan_priv.h"

#define VALUE_LEN 24 /* letters and digits: about 122 bits */

/* ---- loading ----------------------------------------------------------------------------------
 */

static bool load_once(Arena *arena, const Sources *sources, TfDiagnostics *diagnostics,
                      TfProgram **ret_program, Err *err)
{
    TfConfig config = {.sources = sources->sources.items,
                       .sources_len = sources->sources.len,
                       .inputs = sources->inputs.items,
                       .inputs_len = sources->inputs.len};
    config.types = kinds_schema(arena, &config.types_len);
    *err = (Err){0};
    return tf_load(arena, &config, diagnostics, ret_program);
}

/* ---- made-up values ---------------------------------------------------------------------------
 */

/* The kept value of a variable; *ret_value is NULL where there is none. */
static bool value_read(Arena *arena, const Caller *caller, const char *secret,
                       const char **ret_value, Err *err)
{
    json_t *output;
    TRY(caller_find(caller, "secretsmanager", "GetSecretValue",
                    json_pack("{s:s}", "SecretId", secret), &output, err));
    const char *text = member_str(output, "SecretString", NULL);
    *ret_value = text != NULL ? arena_strdup(arena, text) : NULL;
    json_decref(output);
    return true;
}

static bool value_keep(const ProgramOptions *options, const TfNeed *need, const char *secret,
                       const char *value, Err *err)
{
    CLEANUP(mem_free_ptr)
    char *line = mem_printf("generated var.%s; its secret is %s", need->name, secret);
    CLEANUP(mem_free_ptr)
    char *description = mem_printf("Value of the variable %s, made up by weir apply", need->name);
    TRY(caller_call(options->caller, "secretsmanager", "CreateSecret",
                    json_pack("{s:s, s:s, s:s}", "Name", secret, "Description", description,
                              "SecretString", value),
                    NULL, NULL, err));
    if (options->say != NULL) {
        options->say(options->user, line);
    }
    return true;
}

static bool need_fill(Sources *sources, const ProgramOptions *options, const TfNeed *need, Err *err)
{
    const char *secret = arena_printf(sources->arena, VARIABLE_SECRET_PREFIX "%s", need->name);
    const char *value;
    TRY(value_read(sources->arena, options->caller, secret, &value, err));
    if (value == NULL && options->make_up) {
        char made[VALUE_LEN + 1];
        random_id(made, VALUE_LEN);
        value = arena_strdup(sources->arena, made);
        crypto_wipe(made, sizeof(made));
        TRY(value_keep(options, need, secret, value, err));
    }
    if (value != NULL) {
        TfInput input = {TF_FROM_GENERATED, secret, need->name, slice_of(value)};
        arena_vec_push(sources->arena, &sources->inputs, input);
    }
    return true;
}

bool program_load(Arena *arena, Sources *sources, const ProgramOptions *options,
                  TfDiagnostics *diagnostics, TfProgram **ret_program, Err *err)
{
    TRY(load_once(arena, sources, diagnostics, ret_program, err));
    size_t len;
    const TfNeed *needs = tf_needs(*ret_program, &len);
    if (len == 0 || options->caller == NULL) {
        return true;
    }
    size_t given = sources->inputs.len;
    for (size_t i = 0; i < len; i++) {
        TRY(need_fill(sources, options, &needs[i], err));
    }
    return sources->inputs.len == given || load_once(arena, sources, diagnostics, ret_program, err);
}
