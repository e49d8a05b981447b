/* Lists of what is present: attributes by the kinds' paths, tags as an object, Weir's own tags
 * apart. */
#include "cli/resource/resources_priv.h"

void present_list_init(PresentList *list, Arena *arena)
{
    *list = (PresentList){.arena = arena};
}

void present_list_done(PresentList *list)
{
    for (size_t i = 0; i < list->list.len; i++) {
        json_decref(list->list.items[i]->attributes);
        json_decref(list->list.items[i]->tags);
    }
    list->list.len = 0;
}

Present *present_find(const PresentList *list, const ResourceKind *kind, const char *key)
{
    for (size_t i = 0; i < list->list.len; i++) {
        Present *present = list->list.items[i];
        if (present->kind == kind && strcmp(present->key, key) == 0) {
            return present;
        }
    }
    return NULL;
}

static json_t *tags_object(const json_t *tags)
{
    json_t *object = json_object();
    size_t i;
    const json_t *tag;
    json_array_foreach (tags, i, tag) {
        json_object_set_new(object, member_str(tag, "Key", ""),
                            json_string(member_str(tag, "Value", "")));
    }
    return object;
}

/* Without Weir's own, which are no difference to anybody. */
static json_t *user_tags(const json_t *tags)
{
    json_t *object = json_object();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)tags, key, value) {
        if (!slice_starts(slice_of(key), TAG_PREFIX)) {
            json_object_set(object, key, value);
        }
    }
    return object;
}

static void read_attributes(const ResourceKind *kind, const json_t *described, json_t *attributes)
{
    for (size_t i = 0; i < kind->attributes_len; i++) {
        const KindAttribute *attribute = &kind->attributes[i];
        json_t *value =
            attribute->output != NULL ? path_value_new(described, attribute->output) : NULL;
        if (value != NULL) {
            json_object_set_new(attributes, attribute->tf.name, value);
        }
    }
}

Present *present_add(PresentList *list, const ResourceKind *kind, const json_t *described,
                     const json_t *tags)
{
    Present *present = ARENA_NEW(list->arena, Present);
    present->kind = kind;
    present->status = present->detail = present->incarnation = "";
    present->key = present->handle = "";
    present->tags = tags_object(tags);
    const char *address = member_str(present->tags, TAG_ADDRESS, NULL);
    present->address = address != NULL ? arena_strdup(list->arena, address) : NULL;
    present->attributes = json_object();
    read_attributes(kind, described, present->attributes);
    if (kind->tags != TAGS_NONE && kind->tags != TAGS_PROXY) {
        json_object_set_new(present->attributes, "tags", user_tags(present->tags));
        json_object_set_new(present->attributes, "tags_all", user_tags(present->tags));
    }
    arena_vec_push(list->arena, &list->list, present);
    return present;
}

const char *kept_str(const Present *present, const char *attribute, const char *fallback)
{
    char key[64];
    size_t len = strlen(TAG_PREFIX);
    ASSERT(len + strlen(attribute) < sizeof(key));
    memcpy(key, TAG_PREFIX, len);
    memcpy(key + len, attribute, strlen(attribute) + 1);
    return member_str(present->tags, key, fallback);
}
