/* Where in the files an answer of the API belongs. The API names its own members, or quotes the
 * value that it does not like. Pure. */
#include <ctype.h>

#include "cli/apply/apply_priv.h"

#define VALUE_LEN_MIN 3

static bool is_word_byte(char byte)
{
    return isalnum((unsigned char)byte) != 0 || byte == '_';
}

/* Whether `word` stands in the text and not within a longer one. */
static bool has_word(const char *text, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = text; len > 0 && (at = strstr(at, word)) != NULL; at++) {
        bool starts = at == text || !is_word_byte(at[-1]) || !is_word_byte(word[0]);
        bool ends = !is_word_byte(at[len]) || !is_word_byte(word[len - 1]);
        if (starts && ends) {
            return true;
        }
    }
    return false;
}

static bool names_member(const FieldInfo *field, const char *message)
{
    return (field->create != NULL && has_word(message, field->create)) ||
           (field->modify != NULL && has_word(message, field->modify)) ||
           has_word(message, field->name);
}

static bool quotes_value(const KindAttribute *attribute, const TfValue *desired,
                         const char *message)
{
    const TfValue *value = tf_get(desired, attribute->tf.name);
    return value != NULL && value->kind == TF_STRING && !value->holds_sensitive &&
           (attribute->rules & RULE_KEY) == 0 && value->string.len >= VALUE_LEN_MIN &&
           has_word(message, value->string.data);
}

const char *attribute_in_message(const ResourceKind *kind, const TfValue *desired,
                                 const char *message)
{
    const char *by_member = NULL;
    const char *by_value = NULL;
    for (size_t i = 0; i < kind->attributes_len; i++) {
        const KindAttribute *attribute = &kind->attributes[i];
        const char *name = attribute->tf.name;
        const FieldInfo *field = kind_field(kind, name);
        if (has_word(message, name) && strchr(name, '_') != NULL) {
            return name;
        }
        if (by_member == NULL && field != NULL && names_member(field, message)) {
            by_member = name;
        }
        if (by_value == NULL && quotes_value(attribute, desired, message)) {
            by_value = name;
        }
    }
    return by_member != NULL ? by_member : by_value;
}

void apply_diagnose(TfDiagnostics *diagnostics, const PlanItem *item, const char *message)
{
    const char *said;
    const char *hint;
    advice_cut(diagnostics->arena, message, &said, &hint);
    const char *text = arena_printf(diagnostics->arena, "%s: %s", item->address, said);
    const char *attribute =
        item->desired != NULL ? attribute_in_message(item->kind, item->desired, message) : NULL;
    TfPos pos = {0};
    if (item->instance != NULL) {
        pos = attribute != NULL ? tf_instance_pos(item->instance, attribute) : item->instance->pos;
    }
    tf_diagnose(diagnostics, TF_ERROR, pos, text, hint);
}
