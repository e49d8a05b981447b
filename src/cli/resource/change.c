/* Inputs of the calls that change things, and tags. The model's field tables say which member of
 * an operation an attribute is; the wire's tables say which members the operation has. */
#include "cli/resource/resources_priv.h"

bool change_has(const Change *change, const char *name)
{
    size_t i;
    const json_t *item;
    json_array_foreach (change->changed, i, item) {
        if (strcmp(json_string_value(item), name) == 0) {
            return true;
        }
    }
    return false;
}

const char *desired_str(const Change *change, const char *attribute, const char *fallback)
{
    return member_str(change->desired, attribute, fallback);
}

void input_set(json_t *input, const char *member, const Change *change, const char *attribute)
{
    json_t *value = json_object_get(change->desired, attribute);
    if (value != NULL && !(json_is_string(value) && json_string_length(value) == 0)) {
        json_object_set(input, member, value);
    }
}

static const AwsShape *input_shape(const char *service, const char *operation)
{
    const AwsService *found = aws_service_find(slice_of(service));
    const AwsOperation *op = found != NULL ? aws_operation_find(found, slice_of(operation)) : NULL;
    ASSERT(op != NULL && op->input != NULL);
    return op->input;
}

json_t *input_create_new(const Change *change, const char *service, const char *operation)
{
    const AwsShape *shape = input_shape(service, operation);
    json_t *input = json_object();
    for (size_t i = 0; i < change->kind->attributes_len; i++) {
        const char *name = change->kind->attributes[i].tf.name;
        const FieldInfo *field = kind_field(change->kind, name);
        if (field != NULL && field->create != NULL &&
            aws_member_find(shape, slice_of(field->create)) != NULL) {
            input_set(input, field->create, change, name);
        }
    }
    return input;
}

/* What is no longer written goes back to what counts without it. */
static void set_changed(json_t *input, const Change *change, const KindAttribute *attribute,
                        const char *member)
{
    const char *name = attribute->tf.name;
    json_t *value = json_object_get(change->desired, name);
    if (value != NULL) {
        json_object_set(input, member, value);
    } else if (attribute->fallback != NULL) {
        json_object_set_new(input, member, json_loads(attribute->fallback, JSON_DECODE_ANY, NULL));
    }
}

json_t *input_modify_new(const Change *change, const char *service, const char *operation)
{
    const AwsShape *shape = input_shape(service, operation);
    json_t *input = json_object();
    for (size_t i = 0; i < change->kind->attributes_len; i++) {
        const KindAttribute *attribute = &change->kind->attributes[i];
        const FieldInfo *field = kind_field(change->kind, attribute->tf.name);
        if (field != NULL && field->modify != NULL && change_has(change, attribute->tf.name) &&
            aws_member_find(shape, slice_of(field->modify)) != NULL) {
            set_changed(input, change, attribute, field->modify);
        }
    }
    return input;
}

/* ---- tags -------------------------------------------------------------------------------------
 */

static const char *kept_tag(Arena *arena, const char *attribute)
{
    return arena_printf(arena, TAG_PREFIX "%s", attribute);
}

/* A value as a tag's text; NULL: it is the default, and nothing needs to be kept. */
static const char *kept_text(Arena *arena, const KindAttribute *attribute, const json_t *value)
{
    json_t *fallback =
        attribute->fallback != NULL ? json_loads(attribute->fallback, JSON_DECODE_ANY, NULL) : NULL;
    bool usual = value == NULL || (fallback != NULL && json_equal(value, fallback) == 1);
    json_decref(fallback);
    if (usual) {
        return NULL;
    }
    if (json_is_string(value)) {
        return json_string_value(value);
    }
    CLEANUP(mem_free_ptr) char *text = json_dumps(value, JSON_ENCODE_ANY);
    return arena_strdup(arena, text);
}

/* Weir's own tags. */
static json_t *own_tags(const Change *change)
{
    json_t *tags = json_object();
    json_object_set_new(tags, TAG_ADDRESS, json_string(change->address));
    for (size_t i = 0; i < change->kind->attributes_len; i++) {
        const KindAttribute *attribute = &change->kind->attributes[i];
        const char *text = (attribute->rules & RULE_KEPT) != 0
                               ? kept_text(change->arena, attribute,
                                           json_object_get(change->desired, attribute->tf.name))
                               : NULL;
        if (text != NULL) {
            json_object_set_new(tags, kept_tag(change->arena, attribute->tf.name),
                                json_string(text));
        }
    }
    return tags;
}

static json_t *tag_list_new(const json_t *tags)
{
    json_t *list = json_array();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)tags, key, value) {
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "Key", key, "Value", json_string_value(value)));
    }
    return list;
}

static json_t *all_tags(const Change *change)
{
    json_t *tags = own_tags(change);
    const char *key;
    json_t *value;
    json_object_foreach (member_object(change->desired, "tags"), key, value) {
        if (json_is_string(value)) {
            json_object_set(tags, key, value);
        }
    }
    return tags;
}

json_t *tags_desired_new(const Change *change)
{
    json_t *tags = all_tags(change);
    json_t *list = tag_list_new(tags);
    json_decref(tags);
    return list;
}

bool tags_outdated(const Change *change)
{
    if (change->kind->tags == TAGS_NONE || change->present->fixed) {
        return false;
    }
    if (change->kind->tags == TAGS_PROXY) {
        return change->present->address == NULL ||
               strcmp(change->present->address, change->address) != 0;
    }
    CLEANUP(record_free_ptr) json_t *own = own_tags(change);
    const char *key;
    json_t *value;
    json_object_foreach (own, key, value) {
        if (json_equal(value, json_object_get(change->present->tags, key)) != 1) {
            return true;
        }
    }
    json_object_foreach (change->present->tags, key, value) {
        if (slice_starts(slice_of(key), TAG_PREFIX) && json_object_get(own, key) == NULL &&
            !slice_starts(slice_of(key), TAG_TARGET_PREFIX)) {
            return true;
        }
    }
    return false;
}

typedef struct TagCalls {
    const char *service;
    const char *add, *remove;
    const char *resource; /* member that names the resource */
    bool resource_list;
    const char *remove_member; /* of keys; or of {Key} where remove_tags */
    bool remove_tags;
} TagCalls;

static const TagCalls tag_calls[] = {
    [TAGS_RDS] = {"rds", "AddTagsToResource", "RemoveTagsFromResource", "ResourceName", false,
                  "TagKeys", false},
    [TAGS_CACHE] = {"elasticache", "AddTagsToResource", "RemoveTagsFromResource", "ResourceName",
                    false, "TagKeys", false},
    [TAGS_EC2] = {"ec2", "CreateTags", "DeleteTags", "Resources", true, "Tags", true},
    [TAGS_SECRET] = {"secretsmanager", "TagResource", "UntagResource", "SecretId", false, "TagKeys",
                     false},
    [TAGS_PROXY] = {"rds", "AddTagsToResource", "RemoveTagsFromResource", "ResourceName", false,
                    "TagKeys", false},
};

static json_t *tag_input(const TagCalls *calls, const char *handle, const char *member,
                         json_t *value_taken)
{
    json_t *resource = calls->resource_list ? json_pack("[s]", handle) : json_string(handle);
    return json_pack("{s:o, s:o}", calls->resource, resource, member, value_taken);
}

/* Keys of `present` that `wanted` has no more, as the remove call takes them. */
static json_t *tags_to_remove(const TagCalls *calls, const json_t *present, const json_t *wanted)
{
    json_t *list = json_array();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)present, key, value) {
        if (json_object_get(wanted, key) == NULL &&
            !slice_starts(slice_of(key), TAG_TARGET_PREFIX)) {
            json_array_append_new(list, calls->remove_tags ? json_pack("{s:s}", "Key", key)
                                                           : json_string(key));
        }
    }
    return list;
}

static json_t *tags_to_add(const json_t *present, const json_t *wanted)
{
    json_t *differing = json_object();
    const char *key;
    json_t *value;
    json_object_foreach ((json_t *)(uintptr_t)wanted, key, value) {
        if (json_equal(value, json_object_get(present, key)) != 1) {
            json_object_set(differing, key, value);
        }
    }
    json_t *list = tag_list_new(differing);
    json_decref(differing);
    return list;
}

bool change_tags(Change *change, Err *err)
{
    const Present *present = change->present;
    if (change->kind->tags == TAGS_NONE || present->fixed) {
        return true;
    }
    const TagCalls *calls = &tag_calls[change->kind->tags];
    CLEANUP(record_free_ptr)
    json_t *wanted = change->kind->tags == TAGS_PROXY
                         ? json_pack("{s:s}",
                                     arena_printf(change->arena, TAG_TARGET_PREFIX "%s",
                                                  strchr(present->key, '/') + 1),
                                     change->address)
                         : all_tags(change);
    CLEANUP(record_free_ptr) json_t *add = tags_to_add(present->tags, wanted);
    CLEANUP(record_free_ptr) json_t *remove = tags_to_remove(calls, present->tags, wanted);
    if (json_array_size(add) > 0 &&
        !change_call(change, calls->service, calls->add,
                     tag_input(calls, present->handle, "Tags", json_incref(add)), NULL, err)) {
        return false;
    }
    return json_array_size(remove) == 0 ||
           change_call(change, calls->service, calls->remove,
                       tag_input(calls, present->handle, calls->remove_member, json_incref(remove)),
                       NULL, err);
}
