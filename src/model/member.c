/* Typed access to the members of records. A record is data that came from a store: a member of the
 * wrong type counts as absent, nothing asserts. */
#include "model/model.h"

const char *member_str(const json_t *record, const char *member, const char *fallback)
{
    const json_t *value = json_object_get(record, member);
    return json_is_string(value) ? json_string_value(value) : fallback;
}

int64_t member_int(const json_t *record, const char *member, int64_t fallback)
{
    const json_t *value = json_object_get(record, member);
    return json_is_integer(value) ? (int64_t)json_integer_value(value) : fallback;
}

bool member_bool(const json_t *record, const char *member, bool fallback)
{
    const json_t *value = json_object_get(record, member);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_t *member_array(const json_t *record, const char *member)
{
    json_t *value = json_object_get(record, member);
    return json_is_array(value) ? value : NULL;
}

json_t *member_object(const json_t *record, const char *member)
{
    json_t *value = json_object_get(record, member);
    return json_is_object(value) ? value : NULL;
}

bool member_has(const json_t *record, const char *member, const char *text)
{
    size_t index;
    json_t *item;
    json_array_foreach (json_object_get(record, member), index, item) {
        if (json_is_string(item) && strcmp(json_string_value(item), text) == 0) {
            return true;
        }
    }
    return false;
}
