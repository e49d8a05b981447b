/* Views of bytes, and the numbers and encodings written in them. */
#include <ctype.h>
#include <strings.h>

#include "base/base.h"

Slice slice_of(const char *text)
{
    return (Slice){text, text == NULL ? 0 : strlen(text)};
}

Slice slice_from(const void *data, size_t len)
{
    return (Slice){data, len};
}

bool slice_eq(Slice a, Slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

int slice_cmp(Slice a, Slice b)
{
    size_t common = a.len < b.len ? a.len : b.len;
    int order = common > 0 ? memcmp(a.data, b.data, common) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_is_nocase(Slice a, const char *text)
{
    return a.len == strlen(text) && (a.len == 0 || strncasecmp(a.data, text, a.len) == 0);
}

bool slice_starts(Slice a, const char *prefix)
{
    size_t len = strlen(prefix);
    return a.len >= len && (len == 0 || memcmp(a.data, prefix, len) == 0);
}

bool slice_has(Slice a, const char *part)
{
    return part[0] == '\0' || (a.len > 0 && memmem(a.data, a.len, part, strlen(part)) != NULL);
}

bool slice_has_any(Slice a, const char *const *parts)
{
    for (; *parts != NULL; parts++) {
        if (slice_has(a, *parts)) {
            return true;
        }
    }
    return false;
}

bool slice_ends(Slice a, const char *suffix)
{
    size_t len = strlen(suffix);
    return a.len >= len && (len == 0 || memcmp(a.data + a.len - len, suffix, len) == 0);
}

Slice slice_trim(Slice a)
{
    while (a.len > 0 && isspace((unsigned char)a.data[0])) {
        a.data++;
        a.len--;
    }
    while (a.len > 0 && isspace((unsigned char)a.data[a.len - 1])) {
        a.len--;
    }
    return a;
}

Slice slice_skip(Slice a, size_t count)
{
    ASSERT(count <= a.len);
    return count == 0 ? a : (Slice){a.data + count, a.len - count};
}

Slice slice_cut(Slice *rest, char separator)
{
    Slice all = *rest;
    const char *at = all.len > 0 ? memchr(all.data, separator, all.len) : NULL;
    if (at == NULL) {
        *rest = (Slice){NULL, 0};
        return all;
    }
    size_t before = (size_t)(at - all.data);
    *rest = (Slice){at + 1, all.len - before - 1};
    return (Slice){all.data, before};
}

bool str_to_u64(Slice text, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (text.len == 0) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text.data[i] - '0'), &value)) {
            return false;
        }
    }
    *ret_value = value;
    return true;
}

bool str_to_i64(Slice text, int64_t *ret_value)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    uint64_t magnitude;
    if (!str_to_u64(negative ? slice_skip(text, 1) : text, &magnitude) ||
        magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return false;
    }
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

void hex_encode(const void *data, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_decode(Slice text, void *out, size_t out_size, size_t *ret_len)
{
    if (text.len % 2 != 0 || text.len / 2 > out_size) {
        return false;
    }
    uint8_t *bytes = out;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.data[i]);
        int low = hex_digit(text.data[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        bytes[i / 2] = (uint8_t)(high << 4 | low);
    }
    *ret_len = text.len / 2;
    return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encoded_len(size_t len)
{
    return (len + 2) / 3 * 4;
}

void base64_encode(const void *data, size_t len, char *out)
{
    const uint8_t *bytes = data;
    size_t i = 0;
    for (; i + 2 < len; i += 3) {
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = base64_digits[group >> 6 & 63];
        *out++ = base64_digits[group & 63];
    }
    if (i < len) {
        uint32_t group = (uint32_t)bytes[i] << 16;
        if (i + 1 < len) {
            group |= (uint32_t)bytes[i + 1] << 8;
        }
        *out++ = base64_digits[group >> 18];
        *out++ = base64_digits[group >> 12 & 63];
        *out++ = i + 1 < len ? base64_digits[group >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '\0';
}

bool base64_decode(Slice text, void *out, size_t out_size, size_t *ret_len)
{
    if (text.len % 4 != 0) {
        return false;
    }
    uint8_t *bytes = out;
    size_t len = 0;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t padding = 0;
        uint32_t group = 0;
        for (size_t k = 0; k < 4; k++) {
            char c = text.data[i + k];
            const char *digit = c != '\0' ? strchr(base64_digits, c) : NULL;
            if (c == '=' && k >= 2 && i + 4 == text.len) {
                padding++;
                group <<= 6;
            } else if (digit != NULL && padding == 0) {
                group = group << 6 | (uint32_t)(digit - base64_digits);
            } else {
                return false;
            }
        }
        size_t count = 3 - padding;
        if (len + count > out_size || (group & ((1u << (8 * padding)) - 1)) != 0) {
            return false;
        }
        for (size_t k = 0; k < count; k++) {
            bytes[len++] = (uint8_t)(group >> (16 - 8 * k));
        }
    }
    *ret_len = len;
    return true;
}

size_t utf8_len(Slice text)
{
    const uint8_t *bytes = (const uint8_t *)text.data;
    if (text.len == 0) {
        return 0;
    }
    uint8_t first = bytes[0];
    size_t len = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (len == 0 || first > 0xf4 || len > text.len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((bytes[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool too_long = (first == 0xe0 && bytes[1] < 0xa0) || (first == 0xf0 && bytes[1] < 0x90);
    bool not_scalar = (first == 0xed && bytes[1] > 0x9f) || (first == 0xf4 && bytes[1] > 0x8f);
    return too_long || not_scalar ? 0 : len;
}
