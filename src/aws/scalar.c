/* Scalars between text and the value tree, and places in a tree as text. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/codec_priv.h"

/* ---- places ------------------------------------------------------------------------------- */

static size_t path_append(const ValuePath *path, char *out, size_t len)
{
    if (path == NULL) {
        return len;
    }
    len = path_append(path->up, out, len); /* no deeper than AWS_DEPTH_MAX */
    if (len + 1 >= PATH_TEXT_SIZE) {
        return len;
    }
    const char *point = len > 0 ? "." : "";
    int more = path->name != NULL
                   ? snprintf(out + len, PATH_TEXT_SIZE - len, "%s%s", point, path->name)
                   : snprintf(out + len, PATH_TEXT_SIZE - len, "%s%zu", point, path->index);
    len += (size_t)more;
    return len < PATH_TEXT_SIZE ? len : PATH_TEXT_SIZE - 1;
}

void path_text(const ValuePath *path, char out[static PATH_TEXT_SIZE])
{
    out[0] = '\0';
    path_append(path, out, 0);
}

size_t path_depth(const ValuePath *path)
{
    size_t depth = 0;
    for (; path != NULL; path = path->up) {
        depth++;
    }
    return depth;
}

/* ---- text to value ----------------------------------------------------------------------------
 */

static json_t *integer_parse(AwsType type, Slice text)
{
    int64_t value;
    if (!str_to_i64(text, &value) ||
        (type == AWS_INTEGER && (value < INT32_MIN || value > INT32_MAX))) {
        return NULL;
    }
    return json_integer(value);
}

static json_t *boolean_parse(Slice text)
{
    if (slice_is_nocase(text, "true")) {
        return json_true();
    }
    return slice_is_nocase(text, "false") ? json_false() : NULL;
}

static json_t *double_parse(Slice text)
{
    char copy[SCALAR_TEXT_SIZE];
    if (text.len == 0 || text.len >= sizeof(copy) ||
        strchr("+-.0123456789", text.data[0]) == NULL) {
        return NULL;
    }
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    if (strspn(copy, "+-.0123456789eE") != text.len) {
        return NULL; /* strtod would take hexadecimal and infinity */
    }
    char *end;
    double value = strtod(copy, &end);
    return *end == '\0' && isfinite(value) ? json_real(value) : NULL;
}

bool timestamp_fits(int64_t wall_ms)
{
    return wall_ms >= INT64_C(-62135596800000) && wall_ms < INT64_C(253402300800000);
}

static json_t *timestamp_parse(Slice text)
{
    int64_t wall_ms;
    return time_parse_iso(text, &wall_ms) && timestamp_fits(wall_ms) ? json_integer(wall_ms) : NULL;
}

static json_t *blob_parse(Slice text)
{
    CLEANUP(mem_free_ptr) uint8_t *bytes = mem_alloc(text.len);
    size_t len;
    return base64_decode(text, bytes, text.len, &len) ? json_stringn(text.data, text.len) : NULL;
}

json_t *scalar_parse(const AwsShape *shape, Slice text)
{
    switch (shape->type) {
    case AWS_STRING:
    case AWS_ENUM:
        if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL) {
            return NULL;
        }
        return json_stringn(text.len > 0 ? text.data : "", text.len); /* NULL: not UTF-8 */
    case AWS_INTEGER:
    case AWS_LONG:
        return integer_parse(shape->type, text);
    case AWS_BOOLEAN:
        return boolean_parse(text);
    case AWS_DOUBLE:
        return double_parse(text);
    case AWS_TIMESTAMP:
        return timestamp_parse(text);
    case AWS_BLOB:
        return blob_parse(text);
    case AWS_STRUCT:
    case AWS_LIST:
    case AWS_MAP:
        return NULL;
    }
    UNREACHABLE();
}

const char *scalar_wants(const AwsShape *shape)
{
    switch (shape->type) {
    case AWS_STRING:
    case AWS_ENUM:
        return "a text in UTF-8";
    case AWS_INTEGER:
        return "an integer of 32 bits";
    case AWS_LONG:
        return "an integer";
    case AWS_BOOLEAN:
        return "true or false";
    case AWS_DOUBLE:
        return "a number";
    case AWS_TIMESTAMP:
        return "a time such as 2026-01-31T12:00:00Z";
    case AWS_BLOB:
        return "base64";
    case AWS_STRUCT:
        return "a structure";
    case AWS_LIST:
        return "a list";
    case AWS_MAP:
        return "a map";
    }
    UNREACHABLE();
}

/* ---- value to text ----------------------------------------------------------------------------
 */

static void double_format(double value, char space[static SCALAR_TEXT_SIZE])
{
    for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back the same */
        snprintf(space, SCALAR_TEXT_SIZE, "%.*g", digits, value);
        if (strtod(space, NULL) == value) {
            return;
        }
    }
}

static bool number_format(const AwsShape *shape, const json_t *value,
                          char space[static SCALAR_TEXT_SIZE])
{
    switch (shape->type) {
    case AWS_INTEGER:
    case AWS_LONG:
        snprintf(space, SCALAR_TEXT_SIZE, "%lld", (long long)json_integer_value(value));
        return json_is_integer(value);
    case AWS_BOOLEAN:
        snprintf(space, SCALAR_TEXT_SIZE, "%s", json_is_true(value) ? "true" : "false");
        return json_is_boolean(value);
    case AWS_DOUBLE:
        double_format(json_number_value(value), space);
        return json_is_number(value);
    case AWS_TIMESTAMP:
        time_format_iso((int64_t)json_integer_value(value), space);
        return json_is_integer(value) && timestamp_fits((int64_t)json_integer_value(value));
    case AWS_STRING:
    case AWS_ENUM:
    case AWS_BLOB:
    case AWS_STRUCT:
    case AWS_LIST:
    case AWS_MAP:
        return false;
    }
    UNREACHABLE();
}

bool scalar_format(const AwsShape *shape, const json_t *value, char space[static SCALAR_TEXT_SIZE],
                   Slice *ret_text)
{
    STATIC_ASSERT(SCALAR_TEXT_SIZE >= TIME_ISO_SIZE, "a time must fit");
    bool is_text = shape->type == AWS_STRING || shape->type == AWS_ENUM || shape->type == AWS_BLOB;
    if (is_text && json_is_string(value)) {
        *ret_text = slice_from(json_string_value(value), json_string_length(value));
        return true;
    }
    if (!number_format(shape, value, space)) {
        return false;
    }
    *ret_text = slice_of(space);
    return true;
}
