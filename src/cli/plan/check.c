/* Everything that can be said of a block before the API is asked: the model's tables and checks,
 * each at the place where the attribute is written. Pure. */
#include <stdio.h>

#include "cli/plan/plan_check_priv.h"

void check_error(const Check *check, const char *path, const char *hint, const char *format, ...)
{
    char message[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    TfPos pos = check->instance != NULL ? tf_instance_pos(check->instance, path) : (TfPos){0};
    tf_diagnose(check->diagnostics, TF_ERROR, pos, message, hint);
}

/* A sentence ends with a full stop in front of a space and a capital letter: "15.18" does not. */
static size_t sentence_len(const char *text)
{
    for (const char *at = text; (at = strstr(at, ". ")) != NULL; at++) {
        if (at[2] >= 'A' && at[2] <= 'Z') {
            return (size_t)(at - text);
        }
    }
    return strlen(text);
}

static const char *without_stop(Arena *arena, const char *text, size_t len)
{
    return arena_strndup(arena, text, len > 0 && text[len - 1] == '.' ? len - 1 : len);
}

void advice_cut(Arena *arena, const char *text, const char **ret_message, const char **ret_hint)
{
    size_t len = sentence_len(text);
    const char *rest = text[len] != '\0' ? text + len + 2 : NULL;
    *ret_message = without_stop(arena, text, len);
    *ret_hint = rest != NULL ? without_stop(arena, rest, strlen(rest)) : NULL;
}

void check_err(const Check *check, const char *path, bool ok, const Err *err)
{
    if (!ok) {
        const char *message;
        const char *hint;
        advice_cut(check->arena, err->message, &message, &hint);
        check_error(check, path, hint, "%s: %s", path, message);
    }
}

const TfValue *check_value(const Check *check, const char *attribute)
{
    const TfValue *value = tf_get(check->desired, attribute);
    return value == NULL || value->kind == TF_NULL || value->holds_unknown ? NULL : value;
}

const char *member_text(const TfValue *object, const char *member)
{
    const TfValue *value = tf_get(object, member);
    return value != NULL && value->kind == TF_STRING ? value->string.data : NULL;
}

const char *check_str(const Check *check, const char *attribute)
{
    return member_text(check->desired, attribute);
}

size_t check_blocks_len(const Check *check, const char *block)
{
    const TfValue *value = tf_get(check->desired, block);
    bool walkable = value != NULL && (value->kind == TF_LIST || value->kind == TF_SET);
    return walkable ? value->list.len : 0;
}

const TfValue *check_block(const Check *check, const char *block, size_t index)
{
    return tf_get(check->desired, block)->list.items[index];
}

/* ---- the model's table ------------------------------------------------------------------------
 */

static void check_field(const Check *check, const char *attribute, const TfValue *value)
{
    const FieldInfo *field = kind_field(check->kind, attribute);
    Err err;
    if (field == NULL || value->kind == TF_NULL || value->holds_unknown) {
        return;
    }
    CLEANUP(record_free_ptr) json_t *tree = tf_to_value_new(value);
    check_err(check, attribute, field_check(field, tree, &err), &err);
}

static void check_fields(const Check *check)
{
    for (size_t i = 0; i < check->kind->attributes_len; i++) {
        const char *name = check->kind->attributes[i].tf.name;
        const TfValue *value = tf_get(check->desired, name);
        if (value != NULL) {
            check_field(check, name, value);
        }
    }
}

const char *not_yet_in_effect(Arena *arena, const ResourceKind *kind, const TfValue *desired)
{
    CLEANUP(record_free_ptr) json_t *spec = json_object();
    for (size_t i = 0; i < kind->attributes_len; i++) {
        const FieldInfo *field = kind_field(kind, kind->attributes[i].tf.name);
        const TfValue *value = tf_get(desired, kind->attributes[i].tf.name);
        if (field != NULL && value != NULL && !value->holds_unknown && value->kind != TF_NULL) {
            json_object_set_new(spec, field->name, tf_to_value_new(value));
        }
    }
    const char *list = NULL;
    size_t cursor = 0;
    for (const FieldInfo *field;
         kind->model >= 0 &&
         (field = field_not_in_effect((ResourceType)kind->model, spec, &cursor)) != NULL;) {
        const char *name = field->attribute != NULL ? field->attribute : field->name;
        list = list == NULL ? name : arena_printf(arena, "%s, %s", list, name);
    }
    return list;
}

/* ---- what every block may have ----------------------------------------------------------------
 */

static void check_tags(const Check *check)
{
    const TfValue *tags = tf_get(check->desired, "tags");
    for (size_t i = 0; tags != NULL && tags->kind == TF_OBJECT && i < tags->object.len; i++) {
        Slice name = tags->object.members[i].name;
        if (slice_starts(name, TAG_PREFIX) || slice_starts(name, "aws:")) {
            check_error(check, "tags", "give the tag another name",
                        "the tag \"%.*s\" has a reserved prefix", SLICE_FMT(name));
        }
    }
}

bool duration_parse(Slice text, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'h', 3600 * MS_PER_S}, {'m', 60 * MS_PER_S}, {'s', MS_PER_S}};
    int64_t total_ms = 0;
    size_t unit = 0; /* each at most once, larger ones first */
    while (text.len > 0) {
        size_t digits = 0;
        uint64_t number;
        while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
            digits++;
        }
        while (digits < text.len && unit < ARRAY_LEN(units) &&
               units[unit].unit != text.data[digits]) {
            unit++;
        }
        if (digits == text.len || unit == ARRAY_LEN(units) || digits > 6 ||
            !str_to_u64(slice_from(text.data, digits), &number)) {
            return false;
        }
        total_ms += (int64_t)number * units[unit++].ms;
        text = slice_skip(text, digits + 1);
    }
    if (total_ms == 0) {
        return false;
    }
    *ret_ms = total_ms;
    return true;
}

static void check_timeouts(const Check *check)
{
    static const char *const names[] = {"create", "update", "delete"};
    int64_t ms;
    for (size_t i = 0; i < ARRAY_LEN(names) && check_blocks_len(check, "timeouts") > 0; i++) {
        const char *text = member_text(check_block(check, "timeouts", 0), names[i]);
        if (text != NULL && !duration_parse(slice_of(text), &ms)) {
            check_error(check, arena_printf(check->arena, "timeouts.0.%s", names[i]),
                        "for instance: create = \"40m\"", "\"%s\" is not a duration", text);
        }
    }
}

/* ---- by kind ----------------------------------------------------------------------------------
 */

typedef struct KindCheck {
    const ResourceKind *kind;
    void (*run)(const Check *check);
} KindCheck;

static const KindCheck kind_checks[] = {
    {&kind_db_instance, check_db_instance},
    {&kind_db_proxy, check_db_proxy},
    {&kind_db_proxy_endpoint, check_db_proxy_endpoint},
    {&kind_db_proxy_options, check_db_proxy_options},
    {&kind_db_proxy_target_group, check_target_group},
    {&kind_replication_group, check_replication_group},
    {&kind_db_subnet_group, check_subnet_group},
    {&kind_cache_subnet_group, check_subnet_group},
    {&kind_db_parameter_group, check_parameter_group},
    {&kind_cache_parameter_group, check_parameter_group},
    {&kind_security_group, check_security_group},
    {&kind_secret, check_secret},
    {&kind_secret_version, check_secret_version},
};

void check_resource(const ResourceKind *kind, const TfInstance *instance, const TfValue *desired,
                    const Facts *facts, TfDiagnostics *diagnostics)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const Check check = {arena, kind, instance, desired, facts, diagnostics};
    const char *name = kind->key[1] == NULL ? check_str(&check, kind->key[0]) : NULL;
    Err err;
    if (name != NULL && kind->model >= 0) {
        check_err(&check, kind->key[0],
                  identifier_check((ResourceType)kind->model, kind->key[0], slice_of(name), &err),
                  &err);
    }
    check_fields(&check);
    check_tags(&check);
    check_timeouts(&check);
    for (size_t i = 0; i < ARRAY_LEN(kind_checks); i++) {
        if (kind_checks[i].kind == kind) {
            kind_checks[i].run(&check);
        }
    }
}
