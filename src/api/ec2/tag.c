/* EC2's tags: on security groups, the one thing of EC2's that is made here. */
#include "api/ec2/ec2_priv.h"

typedef void TagChange(json_t *spec, const json_t *tags);

/* Keys alone, or keys with values that must agree. */
static void remove_tags(json_t *spec, const json_t *tags)
{
    size_t index;
    const json_t *tag;
    if (tags == NULL) {
        json_object_set_new(spec, "TagList", json_array());
    }
    json_array_foreach (tags, index, tag) {
        json_t *key = json_pack("[s]", member_str(tag, "Key", ""));
        const char *value = member_str(tag, "Value", NULL);
        size_t at;
        const json_t *have;
        bool agrees = value == NULL;
        json_array_foreach (json_object_get(spec, "TagList"), at, have) {
            agrees =
                agrees || (strcmp(member_str(have, "Key", ""), member_str(tag, "Key", "")) == 0 &&
                           strcmp(member_str(have, "Value", ""), value) == 0);
        }
        if (agrees) {
            tags_remove(spec, key);
        }
        json_decref(key);
    }
}

static bool change_tags(ApiContext *ctx, const json_t *input, TagChange *change)
{
    size_t index;
    const json_t *resource;
    const json_t *tags = member_array(input, "Tags");
    TRY(tags_check(ctx, tags));
    json_array_foreach (json_object_get(input, "Resources"), index, resource) {
        const char *id = json_is_string(resource) ? json_string_value(resource) : "";
        if (!slice_starts(slice_of(id), "sg-")) {
            return refuse_unsupported(ctx, "tags on %s: only security groups have tags.", id);
        }
        json_t *spec = security_group_get(ctx, id);
        if (spec == NULL) {
            return refuse(ctx, "InvalidGroup.NotFound", "The security group '%s' does not exist",
                          id);
        }
        change(spec, tags);
        TRY(tags_check(ctx, member_array(spec, "TagList")));
        spec_put(ctx, RESOURCE_SECURITY_GROUP, id, spec);
    }
    return true;
}

bool ec2_create_tags(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return change_tags(ctx, input, tags_merge);
}

bool ec2_delete_tags(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    (void)ret_output;
    return change_tags(ctx, input, remove_tags);
}

bool ec2_describe_tags(ApiContext *ctx, json_t *input, json_t **ret_output)
{
    static const char *const filters[] = {"resource-id", "resource-type", "key", "value", NULL};
    TRY(filters_check(ctx, input, filters));
    json_t *items = json_array();
    RecordList list = group_list(ctx);
    bool groups = filter_passes(filter_values(input, "resource-type"), "security-group");
    for (size_t i = 0; groups && i < list.len; i++) {
        const char *id = group_id_of(list.items[i].value);
        size_t index;
        const json_t *tag;
        json_array_foreach (json_object_get(list.items[i].value, "TagList"), index, tag) {
            const char *key = member_str(tag, "Key", "");
            const char *value = member_str(tag, "Value", "");
            if (filter_passes(filter_values(input, "resource-id"), id) &&
                filter_passes(filter_values(input, "key"), key) &&
                filter_passes(filter_values(input, "value"), value)) {
                json_array_append_new(items, json_pack("{s:s, s:s, s:s, s:s}", "Key", key, "Value",
                                                       value, "ResourceId", id, "ResourceType",
                                                       "security-group"));
            }
        }
    }
    return page_output_by(ctx, &page_token, input, "Tags", items, ret_output);
}
