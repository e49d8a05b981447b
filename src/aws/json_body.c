/*
 * awsJson bodies, both ways and for both sides: JSON text to a value tree by shape and back. They
 * differ in three things only: members go by their wire names, times are seconds (a number), and
 * what the shape does not know is dropped.
 */
#include "aws/codec_priv.h"

#define EPOCH_S_MAX 1e12 /* far outside of what a time may be; keeps the sum in range */

typedef struct JsonReader {
    bool required;
    json_t *unknown; /* or NULL */
    AwsProtocol protocol;
    AwsFault *fault;
} JsonReader;

static bool read_value(JsonReader *reader, const AwsShape *shape, json_t *in, const ValuePath *path,
                       json_t **ret_value);

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool refuse(JsonReader *reader, const AwsShape *shape, const ValuePath *path)
{
    char place[PATH_TEXT_SIZE];
    path_text(path, place);
    return aws_fault_set(reader->fault, NULL, "SerializationException", "%s must be %s.",
                         place[0] == '\0' ? "The request" : place, scalar_wants(shape));
}

static json_t *read_time(const AwsShape *shape, const json_t *in)
{
    if (json_is_string(in)) {
        return scalar_parse(shape, slice_from(json_string_value(in), json_string_length(in)));
    }
    double seconds = json_number_value(in);
    if (!json_is_number(in) || !(seconds > -EPOCH_S_MAX && seconds < EPOCH_S_MAX)) {
        return NULL;
    }
    int64_t wall_ms = (int64_t)(seconds * 1000 + (seconds < 0 ? -0.5 : 0.5));
    return timestamp_fits(wall_ms) ? json_integer(wall_ms) : NULL;
}

static bool in_range(const AwsShape *shape, json_int_t value)
{
    return shape->type == AWS_LONG || (value >= INT32_MIN && value <= INT32_MAX);
}

static json_t *read_scalar(const AwsShape *shape, json_t *in)
{
    switch (shape->type) {
    case AWS_STRING:
    case AWS_ENUM:
        return json_is_string(in) ? json_incref(in) : NULL;
    case AWS_BLOB:
        return json_is_string(in)
                   ? scalar_parse(shape, slice_from(json_string_value(in), json_string_length(in)))
                   : NULL;
    case AWS_INTEGER:
    case AWS_LONG:
        return json_is_integer(in) && in_range(shape, json_integer_value(in)) ? json_incref(in)
                                                                              : NULL;
    case AWS_BOOLEAN:
        return json_is_boolean(in) ? json_incref(in) : NULL;
    case AWS_DOUBLE:
        return json_is_number(in) ? json_incref(in) : NULL;
    case AWS_TIMESTAMP:
        return read_time(shape, in);
    case AWS_STRUCT:
    case AWS_LIST:
    case AWS_MAP:
        return NULL;
    }
    UNREACHABLE();
}

static void note_unknown(JsonReader *reader, const AwsShape *shape, json_t *in,
                         const ValuePath *path)
{
    const char *key;
    json_t *item;
    json_object_foreach (in, key, item) {
        bool known = false;
        for (size_t i = 0; i < shape->member_count && !known; i++) {
            known = strcmp(shape->members[i].wire, key) == 0;
        }
        if (!known) {
            char place[PATH_TEXT_SIZE];
            path_text(&(ValuePath){path, key, 0}, place);
            json_t *text = json_string(place); /* NULL where the cut split a character */
            json_array_append_new(reader->unknown, text != NULL ? text : json_string(shape->name));
        }
    }
}

static bool read_struct(JsonReader *reader, const AwsShape *shape, json_t *in,
                        const ValuePath *path, json_t *object)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        const AwsMember *member = &shape->members[i];
        ValuePath below = {path, member->name, 0};
        json_t *item = json_object_get(in, member->wire);
        json_t *value;
        if (item != NULL && !json_is_null(item)) {
            TRY(read_value(reader, member->shape, item, &below, &value));
            json_object_set_new(object, member->name, value);
        } else if (member->required && reader->required) {
            char place[PATH_TEXT_SIZE];
            path_text(&below, place);
            return fault_missing(reader->fault, reader->protocol, place);
        }
    }
    if (reader->unknown != NULL) {
        note_unknown(reader, shape, in, path);
    }
    return true;
}

static bool read_list(JsonReader *reader, const AwsShape *shape, const json_t *in,
                      const ValuePath *path, json_t *array)
{
    for (size_t i = 0; i < json_array_size(in); i++) {
        json_t *value;
        TRY(read_value(reader, shape->members[0].shape, json_array_get(in, i),
                       &(ValuePath){path, NULL, i + 1}, &value));
        json_array_append_new(array, value);
    }
    return true;
}

static bool read_map(JsonReader *reader, const AwsShape *shape, json_t *in, const ValuePath *path,
                     json_t *object)
{
    const char *key;
    json_t *item;
    json_object_foreach (in, key, item) {
        json_t *value;
        TRY(read_value(reader, shape->members[1].shape, item, &(ValuePath){path, key, 0}, &value));
        json_object_set_new(object, key, value);
    }
    return true;
}

static bool read_compound(JsonReader *reader, const AwsShape *shape, json_t *in,
                          const ValuePath *path, json_t *value)
{
    if (shape->type == AWS_STRUCT) {
        return read_struct(reader, shape, in, path, value);
    }
    return shape->type == AWS_LIST ? read_list(reader, shape, in, path, value)
                                   : read_map(reader, shape, in, path, value);
}

static bool read_value(JsonReader *reader, const AwsShape *shape, json_t *in, const ValuePath *path,
                       json_t **ret_value)
{
    bool is_list = shape->type == AWS_LIST;
    json_t *value;
    if (is_list || shape->type == AWS_STRUCT || shape->type == AWS_MAP) {
        if (!(is_list ? json_is_array(in) : json_is_object(in)) ||
            path_depth(path) > AWS_DEPTH_MAX) {
            return refuse(reader, shape, path);
        }
        value = is_list ? json_array() : json_object();
        if (!read_compound(reader, shape, in, path, value)) {
            json_decref(value);
            return false;
        }
    } else {
        value = read_scalar(shape, in);
        if (value == NULL) {
            return refuse(reader, shape, path);
        }
    }
    *ret_value = value;
    return true;
}

static json_t *load_object(Slice body, AwsFault *fault)
{
    json_error_t error;
    if (slice_trim(body).len == 0) {
        return json_object();
    }
    json_t *in = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, &error);
    if (in == NULL) {
        aws_fault_set(fault, NULL, "SerializationException", "The body is not JSON: line %d: %s.",
                      error.line, error.text);
    } else if (!json_is_object(in)) {
        json_decref(in);
        in = NULL;
        aws_fault_set(fault, NULL, "SerializationException", "The body must be a JSON object.");
    }
    return in;
}

bool json_body_parse(const AwsCall *call, const AwsShape *shape, Slice body, bool required,
                     json_t **ret_value, json_t *unknown, AwsFault *fault)
{
    static const AwsShape nothing = {.name = "Nothing", .type = AWS_STRUCT};
    JsonReader reader = {required, unknown, call->protocol, fault};
    json_t *in = load_object(body, fault);
    if (in == NULL) {
        return false;
    }
    bool ok = read_value(&reader, shape != NULL ? shape : &nothing, in, NULL, ret_value);
    json_decref(in);
    return ok;
}

/* ---- writing -----------------------------------------------------------------------------------
 */

static json_t *write_value(const AwsShape *shape, json_t *value, const ValuePath *path, Err *err);

static json_t *write_time(const json_t *value)
{
    json_int_t wall_ms = json_integer_value(value);
    return wall_ms % 1000 == 0 ? json_integer(wall_ms / 1000) : json_real((double)wall_ms / 1000);
}

/* A new reference, or NULL where the value is of another type. */
static json_t *write_scalar(const AwsShape *shape, json_t *value)
{
    char space[SCALAR_TEXT_SIZE];
    Slice text;
    if (!scalar_format(shape, value, space, &text)) {
        return NULL;
    }
    return shape->type == AWS_TIMESTAMP ? write_time(value) : json_incref(value);
}

static json_t *write_struct(const AwsShape *shape, const json_t *value, const ValuePath *path,
                            Err *err)
{
    json_t *object = json_object();
    for (size_t i = 0; i < shape->member_count; i++) {
        const AwsMember *member = &shape->members[i];
        json_t *item = json_object_get(value, member->name);
        bool empty = json_is_array(item) && json_array_size(item) == 0;
        if (item == NULL || json_is_null(item) || (empty && member->omit_empty)) {
            continue;
        }
        json_t *out = write_value(member->shape, item, &(ValuePath){path, member->name, 0}, err);
        if (out == NULL) {
            json_decref(object);
            return NULL;
        }
        json_object_set_new(object, member->wire, out);
    }
    return object;
}

static json_t *write_list(const AwsShape *shape, const json_t *value, const ValuePath *path,
                          Err *err)
{
    json_t *array = json_array();
    for (size_t i = 0; i < json_array_size(value); i++) {
        json_t *out = write_value(shape->members[0].shape, json_array_get(value, i),
                                  &(ValuePath){path, NULL, i + 1}, err);
        if (out == NULL) {
            json_decref(array);
            return NULL;
        }
        json_array_append_new(array, out);
    }
    return array;
}

static json_t *write_map(const AwsShape *shape, json_t *value, const ValuePath *path, Err *err)
{
    json_t *object = json_object();
    const char *key;
    json_t *item;
    json_object_foreach (value, key, item) {
        json_t *out = write_value(shape->members[1].shape, item, &(ValuePath){path, key, 0}, err);
        if (out == NULL) {
            json_decref(object);
            return NULL;
        }
        json_object_set_new(object, key, out);
    }
    return object;
}

static json_t *write_value(const AwsShape *shape, json_t *value, const ValuePath *path, Err *err)
{
    bool deep = path_depth(path) > AWS_DEPTH_MAX;
    if (shape->type == AWS_STRUCT && json_is_object(value) && !deep) {
        return write_struct(shape, value, path, err);
    }
    if (shape->type == AWS_LIST && json_is_array(value) && !deep) {
        return write_list(shape, value, path, err);
    }
    if (shape->type == AWS_MAP && json_is_object(value) && !deep) {
        return write_map(shape, value, path, err);
    }
    json_t *out = write_scalar(shape, value);
    if (out == NULL) {
        char place[PATH_TEXT_SIZE];
        path_text(path, place);
        err_set(err, ERR_INTERNAL, "%s must be %s", place, scalar_wants(shape));
    }
    return out;
}

bool json_body_format(const AwsShape *shape, const json_t *value, Buf *out, Err *err)
{
    if (shape == NULL || value == NULL) {
        buf_append_str(out, "{}");
        return true;
    }
    if (!json_is_object(value)) {
        return err_set(err, ERR_INTERNAL, "%s must be an object", shape->name);
    }
    json_t *body = write_struct(shape, value, NULL, err);
    if (body == NULL) {
        return false;
    }
    CLEANUP(mem_free_ptr) char *text = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(15));
    json_decref(body);
    ASSERT(text != NULL);
    buf_append_str(out, text);
    return true;
}
