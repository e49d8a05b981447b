/* Value trees as the XML of awsQuery and ec2Query replies, and those replies as value trees. */
#include <stdio.h>

#include "aws/codec_priv.h"

/* ---- writing -----------------------------------------------------------------------------------
 */

static const char *escape_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\r':
        return "&#13;"; /* a reader would make a newline of it */
    default:
        return NULL;
    }
}

void xml_append_text(Buf *out, Slice text)
{
    while (text.len > 0) {
        size_t len = utf8_len(text);
        const char *escape = escape_of(text.data[0]);
        bool control = (uint8_t)text.data[0] < 0x20 && strchr("\t\n\r", text.data[0]) == NULL;
        if (escape != NULL) {
            buf_append_str(out, escape);
        } else if (len == 0 || control || text.data[0] == '\0') {
            buf_append_str(out, "\xef\xbf\xbd"); /* XML 1.0 has no way to say it */
        } else {
            buf_append(out, text.data, len);
        }
        text = slice_skip(text, len > 0 ? len : 1);
    }
}

typedef struct XmlWriter {
    Buf *out;
    Err *err;
} XmlWriter;

static bool write_value(XmlWriter *writer, const AwsShape *shape, json_t *value,
                        const ValuePath *path);

static bool write_element(XmlWriter *writer, const AwsMember *member, json_t *value,
                          const ValuePath *path)
{
    buf_printf(writer->out, "<%s>", member->wire);
    TRY(write_value(writer, member->shape, value, path));
    buf_printf(writer->out, "</%s>", member->wire);
    return true;
}

static bool write_struct(XmlWriter *writer, const AwsShape *shape, const json_t *value,
                         const ValuePath *path)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        const AwsMember *member = &shape->members[i];
        json_t *item = json_object_get(value, member->name);
        bool empty = json_is_array(item) && json_array_size(item) == 0;
        if (item != NULL && !json_is_null(item) && !(empty && member->omit_empty)) {
            TRY(write_element(writer, member, item, &(ValuePath){path, member->name, 0}));
        }
    }
    return true;
}

static bool write_list(XmlWriter *writer, const AwsShape *shape, const json_t *value,
                       const ValuePath *path)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        TRY(write_element(writer, &shape->members[0], json_array_get(value, i),
                          &(ValuePath){path, NULL, i + 1}));
    }
    return true;
}

static bool write_map(XmlWriter *writer, const AwsShape *shape, json_t *value,
                      const ValuePath *path)
{
    const char *key;
    json_t *item;
    json_object_foreach (value, key, item) {
        buf_printf(writer->out, "<entry><%s>", shape->members[0].wire);
        xml_append_text(writer->out, slice_of(key));
        buf_printf(writer->out, "</%s>", shape->members[0].wire);
        TRY(write_element(writer, &shape->members[1], item, &(ValuePath){path, key, 0}));
        buf_append_str(writer->out, "</entry>");
    }
    return true;
}

static bool write_value(XmlWriter *writer, const AwsShape *shape, json_t *value,
                        const ValuePath *path)
{
    bool deep = path_depth(path) > AWS_DEPTH_MAX;
    if (shape->type == AWS_STRUCT && json_is_object(value) && !deep) {
        return write_struct(writer, shape, value, path);
    }
    if (shape->type == AWS_LIST && json_is_array(value) && !deep) {
        return write_list(writer, shape, value, path);
    }
    if (shape->type == AWS_MAP && json_is_object(value) && !deep) {
        return write_map(writer, shape, value, path);
    }
    char space[SCALAR_TEXT_SIZE];
    Slice text;
    if (!scalar_format(shape, value, space, &text)) {
        char place[PATH_TEXT_SIZE];
        path_text(path, place);
        return err_set(writer->err, ERR_INTERNAL, "%s must be %s", place, scalar_wants(shape));
    }
    xml_append_text(writer->out, text);
    return true;
}

static bool write_output(XmlWriter *writer, const AwsShape *shape, const json_t *output)
{
    if (shape == NULL || output == NULL) {
        return true;
    }
    if (!json_is_object(output)) {
        return err_set(writer->err, ERR_INTERNAL, "%s must be an object", shape->name);
    }
    return write_struct(writer, shape, output, NULL);
}

static bool write_query_body(XmlWriter *writer, const AwsCall *call, const json_t *output,
                             const char *request_id)
{
    const char *wrapper = call->operation->wrapper;
    if (wrapper != NULL) {
        buf_printf(writer->out, "<%s>", wrapper);
    }
    TRY(write_output(writer, call->operation->output, output));
    if (wrapper != NULL) {
        buf_printf(writer->out, "</%s>", wrapper);
    }
    buf_printf(writer->out, "<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata>",
               request_id);
    return true;
}

static bool write_ec2_body(XmlWriter *writer, const AwsCall *call, const json_t *output,
                           const char *request_id)
{
    buf_printf(writer->out, "<requestId>%s</requestId>", request_id);
    if (call->operation->output == NULL) {
        buf_append_str(writer->out, "<return>true</return>");
    }
    return write_output(writer, call->operation->output, output);
}

bool xml_output_format(const AwsCall *call, const json_t *output, const char *request_id, Buf *out,
                       Err *err)
{
    XmlWriter writer = {out, err};
    const char *name = call->operation->name;
    const char *namespace = call->service->namespace;
    buf_printf(out, "<%sResponse xmlns=\"%s\">", name, namespace != NULL ? namespace : "");
    TRY(call->protocol == AWS_EC2 ? write_ec2_body(&writer, call, output, request_id)
                                  : write_query_body(&writer, call, output, request_id));
    buf_printf(out, "</%sResponse>", name);
    return true;
}

/* ---- reading -----------------------------------------------------------------------------------
 */

static bool read_value(const AwsShape *shape, const XmlNode *node, unsigned depth,
                       json_t **ret_value, Err *err);

static bool read_struct(const AwsShape *shape, const XmlNode *node, unsigned depth, json_t *object,
                        Err *err)
{
    for (size_t i = 0; i < shape->member_count; i++) {
        const AwsMember *member = &shape->members[i];
        const XmlNode *child = xml_child(node, member->wire);
        json_t *value;
        if (child != NULL) {
            TRY(read_value(member->shape, child, depth + 1, &value, err));
            json_object_set_new(object, member->name, value);
        }
    }
    return true;
}

static bool read_list(const AwsShape *shape, const XmlNode *node, unsigned depth, json_t *array,
                      Err *err)
{
    for (const XmlNode *child = node->first; child != NULL; child = child->next) {
        json_t *value;
        TRY(read_value(shape->members[0].shape, child, depth + 1, &value, err));
        json_array_append_new(array, value);
    }
    return true;
}

static bool read_map(const AwsShape *shape, const XmlNode *node, unsigned depth, json_t *object,
                     Err *err)
{
    for (const XmlNode *entry = node->first; entry != NULL; entry = entry->next) {
        const XmlNode *key = xml_child(entry, shape->members[0].wire);
        const XmlNode *item = xml_child(entry, shape->members[1].wire);
        json_t *value;
        if (key == NULL || item == NULL) {
            return err_set(err, ERR_INVALID, "%.*s: an entry without key or value",
                           SLICE_FMT(node->name));
        }
        TRY(read_value(shape->members[1].shape, item, depth + 1, &value, err));
        if (json_object_setn_new(object, key->text.len > 0 ? key->text.data : "", key->text.len,
                                 value) != 0) {
            return err_set(err, ERR_INVALID, "%.*s: a key that is not UTF-8",
                           SLICE_FMT(node->name));
        }
    }
    return true;
}

static bool read_compound(const AwsShape *shape, const XmlNode *node, unsigned depth,
                          json_t **ret_value, Err *err)
{
    bool is_list = shape->type == AWS_LIST;
    if (depth > AWS_DEPTH_MAX) {
        return err_set(err, ERR_INVALID, "%.*s: too many levels", SLICE_FMT(node->name));
    }
    json_t *value = is_list ? json_array() : json_object();
    bool ok = is_list                     ? read_list(shape, node, depth, value, err)
              : shape->type == AWS_STRUCT ? read_struct(shape, node, depth, value, err)
                                          : read_map(shape, node, depth, value, err);
    if (!ok) {
        json_decref(value);
        return false;
    }
    *ret_value = value;
    return true;
}

static bool read_value(const AwsShape *shape, const XmlNode *node, unsigned depth,
                       json_t **ret_value, Err *err)
{
    if (shape->type == AWS_STRUCT || shape->type == AWS_LIST || shape->type == AWS_MAP) {
        return read_compound(shape, node, depth, ret_value, err);
    }
    json_t *value = scalar_parse(shape, node->text);
    if (value == NULL) {
        return err_set(err, ERR_INVALID, "%.*s must be %s", SLICE_FMT(node->name),
                       scalar_wants(shape));
    }
    *ret_value = value;
    return true;
}

/* The element that holds the output's members. */
static const XmlNode *output_node(const AwsCall *call, const XmlNode *root, Err *err)
{
    char name[128];
    snprintf(name, sizeof(name), "%sResponse", call->operation->name);
    if (!slice_is(root->name, name)) {
        err_set(err, ERR_INVALID, "the reply is <%.*s>, not <%s>", SLICE_FMT(root->name), name);
        return NULL;
    }
    if (call->operation->wrapper == NULL) {
        return root;
    }
    const XmlNode *inner = xml_child(root, call->operation->wrapper);
    if (inner == NULL) {
        err_set(err, ERR_INVALID, "the reply has no <%s>", call->operation->wrapper);
    }
    return inner;
}

bool xml_output_parse(const AwsCall *call, Slice body, json_t **ret_output, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const XmlNode *root;
    TRY(xml_parse(body, arena, &root, err));
    const XmlNode *node = output_node(call, root, err);
    if (node == NULL) {
        return false;
    }
    if (call->operation->output == NULL) {
        *ret_output = json_object();
        return true;
    }
    return read_value(call->operation->output, node, 0, ret_output, err);
}

bool xml_fault_parse(Slice body, AwsFault *fault)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    const XmlNode *root;
    if (!xml_parse(body, arena, &root, NULL)) {
        return false;
    }
    const XmlNode *errors = xml_child(root, "Errors"); /* ec2 */
    const XmlNode *error = xml_child(errors != NULL ? errors : root, "Error");
    const XmlNode *code = error != NULL ? xml_child(error, "Code") : NULL;
    if (code == NULL) {
        return false;
    }
    const XmlNode *message = xml_child(error, "Message");
    const XmlNode *type = xml_child(error, "Type");
    snprintf(fault->code, sizeof(fault->code), "%.*s", SLICE_FMT(code->text));
    snprintf(fault->message, sizeof(fault->message), "%.*s",
             message != NULL ? (int)message->text.len : 0,
             message != NULL && message->text.len > 0 ? message->text.data : "");
    fault->sender = type == NULL ? fault->status < 500 : slice_is(type->text, "Sender");
    return true;
}
