/*
 * Values as text: for people, and as JSON the way Terraform's jsonencode writes it (sorted names;
 * <, >, & and the two Unicode line separators escaped).
 */
#include <stdio.h>

#include "tf/ast_priv.h"
#include "tf/value_priv.h"

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_append_code(Buf *out, uint32_t code)
{
    static const char plain[] = "\"\\\n\r\t";
    static const char letters[] = "\"\\nrt";
    const char *special = code != 0 && code < 0x80 ? strchr(plain, (char)code) : NULL;
    if (special != NULL) {
        buf_append_char(out, '\\');
        buf_append_char(out, letters[special - plain]);
    } else if (code < 0x20 || code == '<' || code == '>' || code == '&' || code == 0x2028 ||
               code == 0x2029) {
        buf_printf(out, "\\u%04x", code);
    } else {
        utf8_append(out, code);
    }
}

void json_append_string(Buf *out, Slice text)
{
    buf_append_char(out, '"');
    for (size_t at = 0; at < text.len;) {
        uint32_t code = 0xfffd;
        (void)utf8_next(text, &at, &code);
        json_append_code(out, code);
    }
    buf_append_char(out, '"');
}

static bool json_append_collection(const TfValue *value, Buf *out)
{
    bool object = value->kind == TF_OBJECT;
    buf_append_char(out, object ? '{' : '[');
    for (size_t i = 0; i < value_len(value); i++) {
        if (i > 0) {
            buf_append_char(out, ',');
        }
        if (object) {
            json_append_string(out, value->object.members[i].name);
            buf_append_char(out, ':');
        }
        TRY(value_to_json(value_at(value, i), out));
    }
    buf_append_char(out, object ? '}' : ']');
    return true;
}

bool value_to_json(const TfValue *value, Buf *out)
{
    switch (value->kind) {
    case TF_UNKNOWN:
        return false;
    case TF_NULL:
        buf_append_str(out, "null");
        return true;
    case TF_BOOL:
        buf_append_str(out, value->boolean ? "true" : "false");
        return true;
    case TF_NUMBER:
        number_format(value->number, out);
        return true;
    case TF_STRING:
        json_append_string(out, value->string);
        return true;
    case TF_LIST:
    case TF_SET:
    case TF_OBJECT:
        return json_append_collection(value, out);
    }
    UNREACHABLE();
}

bool tf_to_json(const TfValue *value, Buf *out)
{
    return value_to_json(value, out);
}

/* ---- for people ------------------------------------------------------------------------------ */

static void show_code(Buf *out, uint32_t code)
{
    if (code == '\n') {
        buf_append_str(out, "\\n");
    } else if (code == '\t') {
        buf_append_str(out, "\\t");
    } else if (code == '"' || code == '\\') {
        buf_append_char(out, '\\');
        buf_append_char(out, (char)code);
    } else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
        buf_printf(out, "\\u%04x", code);
    } else {
        utf8_append(out, code);
    }
}

static void show_string(Buf *out, Slice text)
{
    buf_append_char(out, '"');
    for (size_t at = 0; at < text.len;) {
        uint32_t code = 0xfffd;
        (void)utf8_next(text, &at, &code);
        show_code(out, code);
    }
    buf_append_char(out, '"');
}

static void show_name(Buf *out, Slice name)
{
    bool bare = name.len > 0 && is_name_start(name.data[0]);
    for (size_t i = 0; i < name.len; i++) {
        bare = bare && is_name_char(name.data[i]) && (uint8_t)name.data[i] < 0x80;
    }
    if (bare) {
        buf_append_slice(out, name);
    } else {
        show_string(out, name);
    }
}

static void show_collection(const TfValue *value, Buf *out)
{
    bool object = value->kind == TF_OBJECT;
    buf_append_char(out, object ? '{' : '[');
    for (size_t i = 0; i < value_len(value); i++) {
        if (i > 0) {
            buf_append_str(out, ", ");
        }
        if (object) {
            show_name(out, value->object.members[i].name);
            buf_append_str(out, " = ");
        }
        tf_show(value_at(value, i), out);
    }
    buf_append_char(out, object ? '}' : ']');
}

void tf_show(const TfValue *value, Buf *out)
{
    if (value->sensitive) {
        buf_append_str(out, "(sensitive)");
    } else if (value->kind == TF_UNKNOWN) {
        buf_append_str(out, "(known after apply)");
    } else if (value->kind == TF_STRING) {
        show_string(out, value->string);
    } else if (value_is_collection(value)) {
        show_collection(value, out);
    } else {
        (void)value_to_json(value, out);
    }
}

#define EXCERPT_MAX 40

const char *value_excerpt(Arena *arena, const TfValue *value)
{
    if (value->holds_sensitive || !value_is_primitive(value)) {
        return value_kind_name(value);
    }
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TF_VALUE_BYTES_MAX * 6);
    tf_show(value, &text);
    size_t shown = utf8_bytes(buf_slice(&text), EXCERPT_MAX);
    return arena_printf(arena, "%.*s%s", (int)shown, buf_str(&text), shown < text.len ? "…" : "");
}
