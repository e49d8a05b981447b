/* The client's side of awsQuery and ec2Query: a value tree by the input's shape as a form. */
#include <stdio.h>

#include "aws/codec_priv.h"

typedef struct QueryWriter {
    Buf *out;
    AwsProtocol protocol;
    Err *err;
    char name[FORM_NAME_MAX];
} QueryWriter;

static bool write_value(QueryWriter *writer, const AwsShape *shape, json_t *value, size_t name_len,
                        unsigned depth);

static void write_pair(QueryWriter *writer, size_t name_len, Slice value)
{
    buf_append_char(writer->out, '&');
    buf_append(writer->out, writer->name, name_len); /* shape names and digits: unreserved */
    buf_append_char(writer->out, '=');
    percent_encode(writer->out, value, false);
}

/* The name's length with the step behind it. Shapes are no deeper than fits. */
static size_t name_step(QueryWriter *writer, size_t name_len, const char *step)
{
    int len = snprintf(writer->name + name_len, FORM_NAME_MAX - name_len, "%s%s",
                       name_len > 0 ? "." : "", step);
    ASSERT(len > 0 && name_len + (size_t)len < FORM_NAME_MAX);
    return name_len + (size_t)len;
}

static size_t name_index(QueryWriter *writer, size_t name_len, size_t index)
{
    char step[24];
    snprintf(step, sizeof(step), "%zu", index);
    return name_step(writer, name_len, step);
}

static bool write_struct(QueryWriter *writer, const AwsShape *shape, const json_t *value,
                         size_t name_len, unsigned depth)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        const AwsMember *member = &shape->members[i];
        json_t *item = json_object_get(value, member->name);
        if (item != NULL && !json_is_null(item)) {
            TRY(write_value(writer, member->shape, item, name_step(writer, name_len, member->query),
                            depth + 1));
        }
    }
    return true;
}

static bool write_list(QueryWriter *writer, const AwsShape *shape, json_t *value, size_t name_len,
                       unsigned depth)
{
    size_t count = json_array_size(value);
    if (count == 0 && writer->protocol == AWS_QUERY) {
        write_pair(writer, name_len, SLICE(""));
        return true;
    }
    if (writer->protocol == AWS_QUERY) {
        name_len = name_step(writer, name_len, shape->members[0].wire);
    }
    for (size_t i = 0; i < count; i++) {
        TRY(write_value(writer, shape->members[0].shape, json_array_get(value, i),
                        name_index(writer, name_len, i + 1), depth + 1));
    }
    return true;
}

static bool write_map(QueryWriter *writer, const AwsShape *shape, json_t *value, size_t name_len,
                      unsigned depth)
{
    size_t index = 0;
    const char *key;
    json_t *item;
    name_len = name_step(writer, name_len, "entry");
    json_object_foreach (value, key, item) {
        size_t entry = name_index(writer, name_len, ++index);
        write_pair(writer, name_step(writer, entry, shape->members[0].wire), slice_of(key));
        TRY(write_value(writer, shape->members[1].shape, item,
                        name_step(writer, entry, shape->members[1].wire), depth + 1));
    }
    return true;
}

static bool write_value(QueryWriter *writer, const AwsShape *shape, json_t *value, size_t name_len,
                        unsigned depth)
{
    char space[SCALAR_TEXT_SIZE];
    Slice text;
    if (depth < AWS_DEPTH_MAX && shape->type == AWS_STRUCT && json_is_object(value)) {
        return write_struct(writer, shape, value, name_len, depth);
    }
    if (depth < AWS_DEPTH_MAX && shape->type == AWS_LIST && json_is_array(value)) {
        return write_list(writer, shape, value, name_len, depth);
    }
    if (depth < AWS_DEPTH_MAX && shape->type == AWS_MAP && json_is_object(value)) {
        return write_map(writer, shape, value, name_len, depth);
    }
    if (scalar_format(shape, value, space, &text)) {
        write_pair(writer, name_len, text);
        return true;
    }
    return err_set(writer->err, ERR_INVALID, "%.*s must be %s", (int)name_len, writer->name,
                   scalar_wants(shape));
}

bool query_input_format(const AwsCall *call, const json_t *input, Buf *out, Err *err)
{
    QueryWriter writer = {.out = out, .protocol = call->protocol, .err = err};
    buf_printf(out, "Action=%s&Version=%s", call->operation->name, call->service->version);
    if (call->operation->input == NULL || input == NULL) {
        return true;
    }
    if (!json_is_object(input)) {
        return err_set(err, ERR_INVALID, "the input must be an object");
    }
    return write_struct(&writer, call->operation->input, input, 0, 0);
}
