/*
 * A small strict XML reader for the replies that the client gets. One pass, no recursion: the tree
 * is built below a pointer to the open element. Nodes and texts live in the caller's arena.
 */
#include <stdio.h>

#include "aws/codec_priv.h"

typedef struct XmlReader {
    Slice rest;
    Arena *arena;
    XmlNode *root;
    XmlNode *open; /* NULL outside the root */
    size_t depth;
    const char *problem;
} XmlReader;

static bool xml_fail(XmlReader *reader, const char *problem)
{
    reader->problem = problem;
    return false;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_name_char(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
    return letter || (!first && ((c >= '0' && c <= '9') || c == '-' || c == '.'));
}

static void skip_space(XmlReader *reader)
{
    while (reader->rest.len > 0 && is_space(reader->rest.data[0])) {
        reader->rest = slice_skip(reader->rest, 1);
    }
}

static bool take(XmlReader *reader, const char *text)
{
    if (!slice_starts(reader->rest, text)) {
        return false;
    }
    reader->rest = slice_skip(reader->rest, strlen(text));
    return true;
}

static bool take_name(XmlReader *reader, Slice *ret_name)
{
    size_t len = 0;
    while (len < reader->rest.len && is_name_char(reader->rest.data[len], len == 0)) {
        len++;
    }
    if (len == 0) {
        return xml_fail(reader, "a name is missing");
    }
    *ret_name = slice_from(reader->rest.data, len);
    reader->rest = slice_skip(reader->rest, len);
    return true;
}

/* ---- text --------------------------------------------------------------------------------------
 */

/* Puts a character into `out` as UTF-8; returns its length, 0 where XML has no such character. */
static size_t utf8_encode(uint32_t code, char out[static 4])
{
    bool allowed = code == '\t' || code == '\n' || code == '\r' ||
                   (code >= 0x20 && code < 0xd800) || (code >= 0xe000 && code < 0x110000);
    if (!allowed) {
        return 0;
    }
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(((0xf00u >> len) & 0xff) | code);
    return len;
}

static bool code_parse(Slice digits, uint32_t base, uint32_t *ret_code)
{
    uint32_t code = 0;
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.data[i];
        char lower = (char)(c | 0x20);
        bool letter = lower >= 'a' && lower <= 'f';
        uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0')
                         : letter             ? (uint32_t)(lower - 'a') + 10
                                              : UINT32_MAX;
        if (digit >= base) {
            return false;
        }
        code = code * base + digit;
        if (code > 0x10ffff) {
            return false;
        }
    }
    *ret_code = code;
    return digits.len > 0;
}

static bool reference_code(Slice name, uint32_t *ret_code)
{
    static const struct {
        const char *name;
        uint32_t code;
    } entities[] = {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    for (size_t i = 0; i < ARRAY_LEN(entities); i++) {
        if (slice_is(name, entities[i].name)) {
            *ret_code = entities[i].code;
            return true;
        }
    }
    if (slice_starts(name, "#x")) {
        return code_parse(slice_skip(name, 2), 16, ret_code);
    }
    return slice_starts(name, "#") && code_parse(slice_skip(name, 1), 10, ret_code);
}

/* Decodes the references of a text. */
static bool decode_text(XmlReader *reader, Slice raw, Slice *ret_text)
{
    if (raw.len == 0 || memchr(raw.data, '&', raw.len) == NULL) {
        *ret_text = raw;
        return true;
    }
    char *out = arena_alloc(reader->arena, raw.len); /* a reference is longer than its character */
    size_t len = 0;
    while (raw.len > 0) {
        if (raw.data[0] != '&') {
            out[len++] = raw.data[0];
            raw = slice_skip(raw, 1);
            continue;
        }
        raw = slice_skip(raw, 1);
        Slice name = slice_cut(&raw, ';');
        uint32_t code;
        char bytes[4];
        size_t count =
            raw.data != NULL && reference_code(name, &code) ? utf8_encode(code, bytes) : 0;
        if (count == 0) {
            return xml_fail(reader, "an unknown reference");
        }
        memcpy(out + len, bytes, count);
        len += count;
    }
    *ret_text = slice_from(out, len);
    return true;
}

static bool read_text(XmlReader *reader)
{
    size_t len = 0;
    while (len < reader->rest.len && reader->rest.data[len] != '<') {
        len++;
    }
    Slice raw = slice_from(reader->rest.data, len);
    reader->rest = slice_skip(reader->rest, len);
    if (slice_trim(raw).len == 0 && (reader->open == NULL || reader->open->first != NULL)) {
        return true;
    }
    if (reader->open == NULL || reader->open->first != NULL) {
        return xml_fail(reader, "text beside elements");
    }
    return decode_text(reader, raw, &reader->open->text);
}

/* ---- elements ----------------------------------------------------------------------------------
 */

static bool skip_attributes(XmlReader *reader)
{
    for (;;) {
        Slice name;
        skip_space(reader);
        if (reader->rest.len == 0) {
            return xml_fail(reader, "a tag does not end");
        }
        if (reader->rest.data[0] == '>' || reader->rest.data[0] == '/') {
            return true;
        }
        TRY(take_name(reader, &name));
        skip_space(reader);
        if (!take(reader, "=")) {
            return xml_fail(reader, "an attribute without a value");
        }
        skip_space(reader);
        char quote = reader->rest.len > 0 ? reader->rest.data[0] : '\0';
        if (quote != '"' && quote != '\'') {
            return xml_fail(reader, "an attribute without quotes");
        }
        reader->rest = slice_skip(reader->rest, 1);
        slice_cut(&reader->rest, quote);
        if (reader->rest.data == NULL) {
            return xml_fail(reader, "an attribute does not end");
        }
    }
}

static bool node_add(XmlReader *reader, Slice name)
{
    XmlNode *parent = reader->open;
    if (parent == NULL && reader->root != NULL) {
        return xml_fail(reader, "more than one root");
    }
    if (parent != NULL && slice_trim(parent->text).len > 0) {
        return xml_fail(reader, "text beside elements");
    }
    if (++reader->depth > XML_DEPTH_MAX) {
        return xml_fail(reader, "too many levels");
    }
    XmlNode *node = ARENA_NEW(reader->arena, XmlNode);
    *node = (XmlNode){.name = name, .up = parent};
    if (parent == NULL) {
        reader->root = node;
    } else {
        parent->text = (Slice){NULL, 0};
        *(parent->last == NULL ? &parent->first : &parent->last->next) = node;
        parent->last = node;
    }
    reader->open = node;
    return true;
}

static void node_close(XmlReader *reader)
{
    reader->open = reader->open->up;
    reader->depth--;
}

static bool read_start_tag(XmlReader *reader)
{
    Slice name;
    TRY(take_name(reader, &name));
    TRY(node_add(reader, name));
    TRY(skip_attributes(reader));
    if (take(reader, "/>")) {
        node_close(reader);
        return true;
    }
    return take(reader, ">") || xml_fail(reader, "a tag does not end");
}

static bool read_end_tag(XmlReader *reader)
{
    Slice name;
    TRY(take_name(reader, &name));
    skip_space(reader);
    if (!take(reader, ">")) {
        return xml_fail(reader, "a tag does not end");
    }
    if (reader->open == NULL || !slice_eq(reader->open->name, name)) {
        return xml_fail(reader, "an end tag without its start tag");
    }
    node_close(reader);
    return true;
}

static bool read_markup(XmlReader *reader)
{
    if (take(reader, "</")) {
        return read_end_tag(reader);
    }
    return take(reader, "<") && read_start_tag(reader);
}

static bool skip_declaration(XmlReader *reader)
{
    take(reader, "\xef\xbb\xbf");
    if (!take(reader, "<?xml")) {
        return true;
    }
    slice_cut(&reader->rest, '?');
    return take(reader, ">") || xml_fail(reader, "the declaration does not end");
}

bool xml_parse(Slice text, Arena *arena, const XmlNode **ret_root, Err *err)
{
    XmlReader reader = {.rest = text, .arena = arena};
    bool ok = skip_declaration(&reader);
    while (ok && reader.rest.len > 0) {
        ok = reader.rest.data[0] == '<' ? read_markup(&reader) : read_text(&reader);
    }
    if (ok && (reader.root == NULL || reader.open != NULL)) {
        ok = xml_fail(&reader, "the text ends too early");
    }
    if (!ok) {
        size_t at = reader.rest.data != NULL ? (size_t)(reader.rest.data - text.data) : text.len;
        return err_set(err, ERR_INVALID, "not XML: %s (byte %zu)", reader.problem, at);
    }
    *ret_root = reader.root;
    return true;
}

const XmlNode *xml_child(const XmlNode *node, const char *name)
{
    for (const XmlNode *child = node->first; child != NULL; child = child->next) {
        if (slice_is(child->name, name)) {
            return child;
        }
    }
    return NULL;
}
