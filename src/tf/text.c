/*
 * UTF-8 and the character classes of the language.
 */
#include "tf/ast_priv.h"

/* How many bytes a sequence with this first byte has; 0 when none starts so. */
static size_t utf8_width(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xc2 && first <= 0xdf) {
        return 2;
    }
    if (first >= 0xe0 && first <= 0xef) {
        return 3;
    }
    return first >= 0xf0 && first <= 0xf4 ? 4 : 0;
}

bool utf8_next(Slice text, size_t *at, uint32_t *ret_code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = (uint8_t)text.data[*at];
    size_t width = utf8_width(first);
    uint32_t code = width == 1 ? first : width > 1 ? first & (0x7fu >> width) : 0;
    bool ok = width > 0 && width <= text.len - *at;
    for (size_t i = 1; ok && i < width; i++) {
        uint8_t byte = (uint8_t)text.data[*at + i];
        ok = (byte & 0xc0) == 0x80;
        code = code << 6 | (byte & 0x3fu);
    }
    ok = ok && code >= least[width] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    *at += ok ? width : 1;
    if (ok) {
        *ret_code = code;
    }
    return ok;
}

bool utf8_valid(Slice text, size_t *ret_bad_at)
{
    for (size_t at = 0; at < text.len;) {
        size_t start = at;
        uint32_t code;
        if (!utf8_next(text, &at, &code)) {
            *ret_bad_at = start;
            return false;
        }
    }
    return true;
}

size_t utf8_count(Slice text)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += ((uint8_t)text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

size_t utf8_bytes(Slice text, size_t count)
{
    size_t at = 0;
    uint32_t code;
    while (count > 0 && at < text.len) {
        (void)utf8_next(text, &at, &code);
        count--;
    }
    return at;
}

void utf8_append(Buf *out, uint32_t code)
{
    char bytes[4];
    size_t len = 0;
    if (code < 0x80) {
        bytes[len++] = (char)code;
    } else if (code < 0x800) {
        bytes[len++] = (char)(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        bytes[len++] = (char)(0xe0 | code >> 12);
        bytes[len++] = (char)(0x80 | (code >> 6 & 0x3f));
    } else {
        bytes[len++] = (char)(0xf0 | code >> 18);
        bytes[len++] = (char)(0x80 | (code >> 12 & 0x3f));
        bytes[len++] = (char)(0x80 | (code >> 6 & 0x3f));
    }
    if (code >= 0x80) {
        bytes[len++] = (char)(0x80 | (code & 0x3f));
    }
    buf_append(out, bytes, len);
}

bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (uint8_t)c >= 0x80;
}

bool is_name_char(char c)
{
    return is_name_start(c) || (c >= '0' && c <= '9') || c == '-';
}
