/* Records as the store keeps them, and the records of events. */
#include <inttypes.h>
#include <stdlib.h>

#include "model/model.h"

bool record_parse(Slice text, json_t **ret_record, Err *err)
{
    json_error_t error;
    json_t *value =
        json_loadb(text.len > 0 ? text.data : "", text.len, JSON_REJECT_DUPLICATES, &error);
    if (value == NULL) {
        return err_set(err, ERR_INVALID, "not JSON: %s (line %d, column %d)", error.text,
                       error.line, error.column);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return err_set(err, ERR_INVALID, "not a JSON object");
    }
    *ret_record = value;
    return true;
}

Slice record_format(Arena *arena, const json_t *record)
{
    char *text = json_dumps(record, JSON_COMPACT | JSON_SORT_KEYS);
    ASSERT(text != NULL);
    Slice copy = slice_of(arena_strdup(arena, text));
    free(text);
    return copy;
}

void record_free_ptr(json_t **record)
{
    json_decref(*record);
    *record = NULL;
}
