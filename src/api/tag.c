/* Tags: lists of {Key, Value} in the order given; one value per key. */
#include "api/api_priv.h"

#define TAGS_MAX      50
#define TAG_KEY_MAX   128
#define TAG_VALUE_MAX 256

static const char *tag_key(const json_t *tag)
{
    return member_str(tag, "Key", "");
}

bool tags_check(ApiContext *ctx, const json_t *tags)
{
    size_t index;
    const json_t *tag;
    json_array_foreach (tags, index, tag) {
        size_t len = strlen(tag_key(tag));
        if (len < 1 || len > TAG_KEY_MAX || strlen(member_str(tag, "Value", "")) > TAG_VALUE_MAX) {
            return refuse_invalid(ctx, "A tag's key has 1 to %d bytes and its value at most %d.",
                                  TAG_KEY_MAX, TAG_VALUE_MAX);
        }
        if (slice_starts(slice_of(tag_key(tag)), "aws:")) {
            return refuse_invalid(ctx, "Tag keys that start with aws: are reserved: %s",
                                  tag_key(tag));
        }
    }
    return json_array_size(tags) <= TAGS_MAX
               ? true
               : refuse_invalid(ctx, "A resource has at most %d tags.", TAGS_MAX);
}

static size_t tag_index(const json_t *list, const char *key)
{
    size_t index;
    const json_t *tag;
    json_array_foreach (list, index, tag) {
        if (strcmp(tag_key(tag), key) == 0) {
            return index;
        }
    }
    return json_array_size(list);
}

static json_t *tag_list(json_t *spec)
{
    json_t *list = member_array(spec, "TagList");
    if (list == NULL) {
        list = json_array();
        json_object_set_new(spec, "TagList", list);
    }
    return list;
}

void tags_merge(json_t *spec, const json_t *tags)
{
    size_t index;
    const json_t *tag;
    json_t *list = tag_list(spec);
    json_array_foreach (tags, index, tag) {
        json_t *copy =
            json_pack("{s:s, s:s}", "Key", tag_key(tag), "Value", member_str(tag, "Value", ""));
        size_t at = tag_index(list, tag_key(tag));
        if (at < json_array_size(list)) {
            json_array_set_new(list, at, copy);
        } else {
            json_array_append_new(list, copy);
        }
    }
}

void tags_remove(json_t *spec, const json_t *keys)
{
    size_t index;
    const json_t *key;
    json_t *list = tag_list(spec);
    json_array_foreach (keys, index, key) {
        const char *text = json_string_value(key);
        size_t at = text != NULL ? tag_index(list, text) : json_array_size(list);
        if (at < json_array_size(list)) {
            json_array_remove(list, at);
        }
    }
}

json_t *tags_copy(const json_t *spec)
{
    return json_strings_copy(member_array(spec, "TagList"));
}
