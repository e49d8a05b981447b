/*
 * JSON (RFC 8259), read once into a tree with positions. Recursion is as deep as the text nests,
 * which is bounded by TF_DEPTH_MAX. The first failure ends it.
 */
#include "tf/json_priv.h"
#include "tf/value_priv.h"

static bool json_fail(JsonReader *reader, const char *problem)
{
    reader->problem = problem;
    return false;
}

static char json_peek(const JsonReader *reader)
{
    return reader->at < reader->text.len ? reader->text.data[reader->at] : '\0';
}

static void json_skip_space(JsonReader *reader)
{
    while (json_peek(reader) != '\0' && strchr(" \t\r\n", json_peek(reader)) != NULL) {
        reader->at++;
    }
}

/* ---- strings -------------------------------------------------------------------------------- */

static bool json_hex4(JsonReader *reader, uint32_t *ret_code)
{
    uint8_t bytes[2];
    size_t len;
    if (reader->text.len - reader->at < 4 ||
        !hex_decode((Slice){reader->text.data + reader->at, 4}, bytes, sizeof(bytes), &len)) {
        return json_fail(reader, "four hexadecimal digits are expected behind \\u");
    }
    reader->at += 4;
    *ret_code = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

/* Behind \u. A half of a surrogate pair alone becomes U+FFFD. */
static bool json_unicode(JsonReader *reader, Buf *out)
{
    uint32_t code;
    TRY(json_hex4(reader, &code));
    bool high = code >= 0xd800 && code <= 0xdbff;
    if (high && slice_starts(slice_skip(reader->text, reader->at), "\\u")) {
        size_t back = reader->at;
        uint32_t low;
        reader->at += 2;
        TRY(json_hex4(reader, &low));
        if (low >= 0xdc00 && low <= 0xdfff) {
            code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        } else {
            reader->at = back;
        }
    }
    utf8_append(out, code >= 0xd800 && code <= 0xdfff ? 0xfffd : code);
    return true;
}

static bool json_escape(JsonReader *reader, Buf *out)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    reader->at++;
    char c = json_peek(reader);
    const char *simple = c != '\0' ? strchr(from, c) : NULL;
    if (c != 'u' && simple == NULL) {
        return json_fail(reader, "unknown escape in a string");
    }
    reader->at++;
    if (c == 'u') {
        return json_unicode(reader, out);
    }
    buf_append_char(out, to[simple - from]);
    return true;
}

static bool json_string(JsonReader *reader, Slice *ret_text)
{
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TF_SOURCE_MAX);
    reader->at++;
    while (json_peek(reader) != '"') {
        char c = json_peek(reader);
        if (reader->at >= reader->text.len) {
            return json_fail(reader, "this string has no end");
        }
        if ((uint8_t)c < 0x20) {
            return json_fail(reader, "a control character in a string; write \\n for a line end");
        }
        if (c == '\\') {
            TRY(json_escape(reader, &text));
        } else {
            buf_append_char(&text, c);
            reader->at++;
        }
    }
    reader->at++;
    *ret_text = (Slice){arena_slice_str(reader->arena, buf_slice(&text)), text.len};
    return true;
}

/* ---- the other values ----------------------------------------------------------------------- */

static bool json_number(JsonReader *reader, JsonNode *node)
{
    size_t start = reader->at;
    while (json_peek(reader) != '\0' && strchr("+-.eE0123456789", json_peek(reader)) != NULL) {
        reader->at++;
    }
    Slice text = {reader->text.data + start, reader->at - start};
    Slice digits = slice_skip(text, slice_starts(text, "-") ? 1 : 0);
    bool zero =
        digits.len > 1 && digits.data[0] == '0' && digits.data[1] >= '0' && digits.data[1] <= '9';
    node->kind = JSON_NUMBER;
    if (zero || slice_starts(text, "+") || !number_parse(text, &node->number)) {
        reader->at = start;
        return json_fail(reader, "this is no number that JSON allows");
    }
    return true;
}

static bool json_word(JsonReader *reader, JsonNode *node)
{
    static const struct {
        const char *word;
        JsonKind kind;
        bool boolean;
    } words[] = {
        {"null", JSON_NULL, false}, {"true", JSON_BOOL, true}, {"false", JSON_BOOL, false}};
    Slice rest = slice_skip(reader->text, reader->at);
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_starts(rest, words[i].word)) {
            node->kind = words[i].kind;
            node->boolean = words[i].boolean;
            reader->at += strlen(words[i].word);
            return true;
        }
    }
    return json_fail(reader, "a JSON value is expected here");
}

static bool json_node(JsonReader *reader, const JsonNode **ret_node);

static bool json_member(JsonReader *reader, JsonNode *node)
{
    JsonMember member = {.offset = reader->at};
    if (node->kind == JSON_OBJECT) {
        if (json_peek(reader) != '"') {
            return json_fail(reader, "a name in double quotes is expected here");
        }
        TRY(json_string(reader, &member.name));
        json_skip_space(reader);
        if (json_peek(reader) != ':') {
            return json_fail(reader, "\":\" is expected here");
        }
        reader->at++;
        json_skip_space(reader);
    }
    TRY(json_node(reader, &member.node));
    arena_vec_push(reader->arena, &node->members, member);
    return true;
}

static bool json_members(JsonReader *reader, JsonNode *node)
{
    char close = node->kind == JSON_OBJECT ? '}' : ']';
    reader->at++;
    json_skip_space(reader);
    bool more = json_peek(reader) != close;
    while (more) {
        TRY(json_member(reader, node));
        json_skip_space(reader);
        more = json_peek(reader) == ',';
        if (more) {
            reader->at++;
            json_skip_space(reader);
        }
    }
    if (json_peek(reader) != close) {
        return json_fail(reader, close == '}' ? "\",\" or \"}\" is expected here"
                                              : "\",\" or \"]\" is expected here");
    }
    reader->at++;
    return true;
}

static bool json_nested(JsonReader *reader, JsonNode *node, JsonKind kind)
{
    if (reader->depth >= TF_DEPTH_MAX) {
        return json_fail(reader, "too many levels of nesting");
    }
    node->kind = kind;
    reader->depth++;
    TRY(json_members(reader, node));
    reader->depth--;
    return true;
}

static bool json_node(JsonReader *reader, const JsonNode **ret_node)
{
    JsonNode *node = ARENA_NEW(reader->arena, JsonNode);
    node->offset = reader->at;
    *ret_node = node;
    char c = json_peek(reader);
    if (c == '{' || c == '[') {
        return json_nested(reader, node, c == '{' ? JSON_OBJECT : JSON_LIST);
    }
    if (c == '"') {
        node->kind = JSON_STRING;
        return json_string(reader, &node->string);
    }
    if (c == '-' || c == '+' || (c >= '0' && c <= '9')) {
        return json_number(reader, node);
    }
    return json_word(reader, node);
}

bool json_read(JsonReader *reader, const JsonNode **ret_node)
{
    json_skip_space(reader);
    TRY(json_node(reader, ret_node));
    json_skip_space(reader);
    return reader->at == reader->text.len ||
           json_fail(reader, "the end of the text is expected here");
}
