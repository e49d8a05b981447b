/* What there is to say of resources for which AWS has no field: why one is not as it should be,
 * lasting notes, and attributes that are kept but do nothing yet. */
#include "api/operations_priv.h"

static void add_remark(json_t *remarks, ResourceType type, const char *id, const char *kind,
                       const char *message)
{
    json_array_append_new(remarks, json_pack("{s:s, s:s, s:s, s:s}", "ResourceType",
                                             resource_type_name(type), "ResourceId", id, "Kind",
                                             kind, "Message", message));
}

/* By the names that Terraform has for them, where it has some. */
static const char *not_in_effect(Arena *arena, ResourceType type, const json_t *spec)
{
    const char *list = NULL;
    size_t cursor = 0;
    for (const FieldInfo *field; (field = field_not_in_effect(type, spec, &cursor)) != NULL;) {
        const char *name = field->attribute != NULL ? field->attribute : field->name;
        list = list == NULL ? name : arena_printf(arena, "%s, %s", list, name);
    }
    return list;
}

static void add_resource(ApiContext *ctx, json_t *remarks, ResourceType type, const char *id,
                         const json_t *spec)
{
    const json_t *status = status_get(ctx, type, id);
    const char *message = member_str(status, "message", "");
    if (message[0] != '\0') {
        add_remark(remarks, type, id, "state", message);
    }
    size_t i;
    json_t *note;
    json_array_foreach (member_array(status, "notes"), i, note) {
        add_remark(remarks, type, id, "note", json_string_value(note));
    }
    const char *later = not_in_effect(ctx->arena, type, spec);
    if (later != NULL) {
        add_remark(remarks, type, id, "not-in-effect",
                   arena_printf(ctx->arena, "not yet in effect: %s", later));
    }
}

bool weir_list_remarks(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const ResourceType types[] = {RESOURCE_DB_INSTANCE, RESOURCE_DB_PROXY,
                                         RESOURCE_DB_PROXY_ENDPOINT, RESOURCE_REPLICATION_GROUP};
    const char *wanted = input_str(input, "ResourceId");
    json_t *remarks = json_array();
    for (size_t t = 0; t < ARRAY_LEN(types); t++) {
        RecordList list = spec_list(ctx, types[t]);
        for (size_t i = 0; i < list.len; i++) {
            const char *id = strrchr(list.items[i].key, '/') + 1;
            if (wanted == NULL || strcmp(wanted, id) == 0) {
                add_resource(ctx, remarks, types[t], id, list.items[i].value);
            }
        }
    }
    *ret_output = json_under("Remarks", remarks);
    return true;
}
