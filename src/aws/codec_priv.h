/* What the codecs of this folder share: places in a value tree, scalars as text, forms, XML. */
#ifndef WEIR_AWS_CODEC_PRIV_H
#define WEIR_AWS_CODEC_PRIV_H

#include "aws/aws.h"

/* ---- a place in a value tree, for messages: a chain on the stack ------------------------------
 */

typedef struct ValuePath {
    const struct ValuePath *up; /* NULL at the root */
    const char *name;           /* NULL: an item of a list */
    size_t index;               /* from 1 */
} ValuePath;

#define PATH_TEXT_SIZE 256
/* "Tags.2.Key"; cut when longer. */
void path_text(const ValuePath *path, char out[static PATH_TEXT_SIZE]);
size_t path_depth(const ValuePath *path);

/* ---- scalars -----------------------------------------------------------------------------------
 */

/* The value that a text stands for, new. NULL where it is not one of this type. */
json_t *scalar_parse(const AwsShape *shape, Slice text);
/* Whether a time lies in the years 0001 to 9999, which both XML and JSON can say. */
bool timestamp_fits(int64_t wall_ms);
/* "an integer": what scalar_parse wants. */
const char *scalar_wants(const AwsShape *shape);

#define SCALAR_TEXT_SIZE 64
/* The text of a value; lives in `value` or in `space`. False where the value is of another type. */
NODISCARD bool scalar_format(const AwsShape *shape, const json_t *value,
                             char space[static SCALAR_TEXT_SIZE], Slice *ret_text);

/* ---- faults of an input ------------------------------------------------------------------------
 */

/* A required member is not there: in the words and the code of the protocol. `name` is its path. */
bool fault_missing(AwsFault *fault, AwsProtocol protocol, const char *name);

/* ---- form bodies (application/x-www-form-urlencoded) --------------------------------------------
 */

#define FORM_NAME_MAX ((size_t)512) /* of a shape's member; longer names belong to none */

typedef struct FormPair {
    Slice name; /* decoded */
    Slice value;
    bool used;
} FormPair;

typedef struct Form {
    FormPair *pairs; /* sorted by name, no name twice */
    size_t count;
} Form;

/* Everything lives in the arena. */
NODISCARD bool form_parse(Slice text, Arena *arena, Form *ret_form, AwsFault *fault);
FormPair *form_find(const Form *form, Slice name); /* NULL when absent */
/* Appends RFC 3986 percent-encoding: all but letters, digits and "-._~" ("/" too when kept). */
void percent_encode(Buf *out, Slice text, bool keep_slash);
/* Decodes %XX (and + to a space in forms) into the arena. */
NODISCARD bool percent_decode(Slice text, bool plus_is_space, Arena *arena, Slice *ret_text);

/* ---- the codecs behind aws_input_parse and its like --------------------------------------------
 */

NODISCARD bool query_input_parse(const AwsCall *call, const Form *form, json_t **ret_input,
                                 json_t *unknown, AwsFault *fault);
NODISCARD bool query_input_format(const AwsCall *call, const json_t *input, Buf *out, Err *err);

/* `required`: whether missing required members are a fault. */
NODISCARD bool json_body_parse(const AwsCall *call, const AwsShape *shape, Slice body,
                               bool required, json_t **ret_value, json_t *unknown, AwsFault *fault);
NODISCARD bool json_body_format(const AwsShape *shape, const json_t *value, Buf *out, Err *err);

NODISCARD bool xml_output_format(const AwsCall *call, const json_t *output, const char *request_id,
                                 Buf *out, Err *err);
void xml_append_text(Buf *out, Slice text);
NODISCARD bool xml_output_parse(const AwsCall *call, Slice body, json_t **ret_output, Err *err);
/* False when the body is not an XML fault. */
NODISCARD bool xml_fault_parse(Slice body, AwsFault *fault);

/* ---- XML ----------------------------------------------------------------------------------------
 */

typedef struct XmlNode {
    Slice name;
    Slice text; /* of an element without elements; decoded */
    struct XmlNode *up, *first, *last, *next;
} XmlNode;

#define XML_DEPTH_MAX 64

/* A strict reader of the XML that services send: elements, attributes (dropped), text, the five
 * entities and character references; no DTD, no processing but the declaration, no CDATA, no text
 * beside elements. Everything lives in the arena. */
NODISCARD bool xml_parse(Slice text, Arena *arena, const XmlNode **ret_root, Err *err);
const XmlNode *xml_child(const XmlNode *node, const char *name); /* the first one, or NULL */

#endif
