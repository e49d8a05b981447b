/* The table of kinds, the schema that is made of it, and natural names. */
#include "cli/resource/resources_priv.h"

static const ResourceKind *const kinds[] = {
    &kind_db_subnet_group,       &kind_cache_subnet_group, &kind_db_parameter_group,
    &kind_cache_parameter_group, &kind_security_group,     &kind_secret,
    &kind_db_instance,           &kind_db_proxy,           &kind_replication_group,
    &kind_db_proxy_target,       &kind_secret_version,     &kind_db_proxy_target_group,
    &kind_db_proxy_endpoint,     &kind_db_proxy_options,
};

const ResourceKind *const *kinds_all(size_t *ret_len)
{
    *ret_len = ARRAY_LEN(kinds);
    return kinds;
}

const ResourceKind *kind_find(const char *type)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(kinds[i]->type, type) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

const KindAttribute *kind_attribute(const ResourceKind *kind, const char *name)
{
    for (size_t i = 0; i < kind->attributes_len; i++) {
        if (strcmp(kind->attributes[i].tf.name, name) == 0) {
            return &kind->attributes[i];
        }
    }
    return NULL;
}

const KindBlock *kind_block(const ResourceKind *kind, const char *name)
{
    for (size_t i = 0; i < kind->blocks_len; i++) {
        if (strcmp(kind->blocks[i].tf.name, name) == 0) {
            return &kind->blocks[i];
        }
    }
    return NULL;
}

const FieldInfo *kind_field(const ResourceKind *kind, const char *attribute)
{
    if (kind->model < 0) {
        return NULL;
    }
    size_t len;
    const FieldInfo *fields = model_fields((ResourceType)kind->model, &len);
    for (size_t i = 0; i < len; i++) {
        if (fields[i].attribute != NULL && strcmp(fields[i].attribute, attribute) == 0) {
            return &fields[i];
        }
    }
    return NULL;
}

/* ---- schema -----------------------------------------------------------------------------------
 */

static const TfAttribute timeouts[] = {
    {"create", TF_TYPE_STRING, 0, NULL},
    {"update", TF_TYPE_STRING, 0, NULL},
    {"delete", TF_TYPE_STRING, 0, NULL},
};

static const TfBlockType timeouts_block = {
    .name = "timeouts", .schema = {.attributes = timeouts, .attributes_len = 3}, .max = 1};

static const TfAttribute tag_attributes[] = {
    {"tags", TF_TYPE_STRING_MAP, 0, NULL},
    {"tags_all", TF_TYPE_STRING_MAP, TF_READ_ONLY | TF_COMPUTED, NULL},
};

static bool has_tags(const ResourceKind *kind)
{
    return kind->tags != TAGS_NONE && kind->tags != TAGS_PROXY;
}

static TfSchema kind_schema(Arena *arena, const ResourceKind *kind)
{
    size_t attributes_len = kind->attributes_len + (has_tags(kind) ? 2 : 0);
    TfAttribute *attributes = ARENA_ARRAY(arena, TfAttribute, attributes_len);
    TfBlockType *blocks = ARENA_ARRAY(arena, TfBlockType, kind->blocks_len + 1);
    for (size_t i = 0; i < kind->attributes_len; i++) {
        attributes[i] = kind->attributes[i].tf;
    }
    if (has_tags(kind)) {
        memcpy(attributes + kind->attributes_len, tag_attributes, sizeof(tag_attributes));
    }
    for (size_t i = 0; i < kind->blocks_len; i++) {
        blocks[i] = kind->blocks[i].tf;
    }
    blocks[kind->blocks_len] = timeouts_block;
    return (TfSchema){attributes, attributes_len, blocks, kind->blocks_len + 1};
}

const TfResourceType *kinds_schema(Arena *arena, size_t *ret_len)
{
    TfResourceType *types = ARENA_ARRAY(arena, TfResourceType, ARRAY_LEN(kinds));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        types[i] = (TfResourceType){kinds[i]->type, kind_schema(arena, kinds[i])};
    }
    *ret_len = ARRAY_LEN(kinds);
    return types;
}

/* ---- natural names ----------------------------------------------------------------------------
 */

#define SECRET_SUFFIX_LEN 7 /* "-abcdef" */

/* arn:aws:secretsmanager:REGION:ACCOUNT:secret:NAME-abcdef */
static const char *secret_name(Arena *arena, const char *text)
{
    const char *name = strncmp(text, "arn:", 4) == 0 ? strstr(text, ":secret:") : NULL;
    if (name == NULL) {
        return text;
    }
    name += strlen(":secret:");
    size_t len = strlen(name);
    return len > SECRET_SUFFIX_LEN ? arena_strndup(arena, name, len - SECRET_SUFFIX_LEN) : name;
}

static const char *instance_identifier(Arena *arena, const char *text, const PresentList *known)
{
    const char *lower = text_lower_new(arena, text);
    for (size_t i = 0; known != NULL && i < known->list.len; i++) {
        const Present *present = known->list.items[i];
        if (present->kind == &kind_db_instance &&
            (strcmp(present->incarnation, lower) == 0 || strcmp(present->handle, text) == 0)) {
            return present->key;
        }
    }
    return lower;
}

const char *kind_normal(Arena *arena, const KindAttribute *attribute, const char *text,
                        const PresentList *known)
{
    if ((attribute->rules & RULE_SECRET) != 0) {
        return secret_name(arena, text);
    }
    if ((attribute->rules & RULE_INSTANCE) != 0) {
        return instance_identifier(arena, text, known);
    }
    return (attribute->rules & RULE_LOWER) != 0 ? text_lower_new(arena, text) : text;
}

static const char *key_part(Arena *arena, const ResourceKind *kind, const char *name,
                            const TfValue *desired, const PresentList *known)
{
    const TfValue *value = tf_get(desired, name);
    if (value == NULL || value->kind != TF_STRING) {
        return NULL;
    }
    return kind_normal(arena, kind_attribute(kind, name), value->string.data, known);
}

const char *kind_key(Arena *arena, const ResourceKind *kind, const TfValue *desired,
                     const PresentList *known)
{
    const char *first = key_part(arena, kind, kind->key[0], desired, known);
    if (first == NULL || kind->key[1] == NULL) {
        return first;
    }
    const char *second = key_part(arena, kind, kind->key[1], desired, known);
    return second != NULL ? arena_printf(arena, "%s/%s", first, second) : NULL;
}

/* ---- statuses ---------------------------------------------------------------------------------
 */

bool status_in(const char *const *statuses, const char *status)
{
    for (; statuses != NULL && *statuses != NULL; statuses++) {
        if (strcmp(*statuses, status) == 0) {
            return true;
        }
    }
    return false;
}

bool present_is_ready(const Present *present)
{
    return present->kind->ready == NULL || status_in(present->kind->ready, present->status);
}

bool present_has_failed(const Present *present)
{
    return status_in(present->kind->failed, present->status);
}
