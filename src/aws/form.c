/* application/x-www-form-urlencoded, decoded and sorted so that everything below a name is one
 * range; and percent-encoding both ways (RFC 3986). Everything lives in the caller's arena. */
#include <stdlib.h>

#include "aws/codec_priv.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool percent_decode(Slice text, bool plus_is_space, Arena *arena, Slice *ret_text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.len ? hex_value(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_value(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[len++] = c;
    }
    *ret_text = slice_from(out, len);
    return true;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void percent_encode(Buf *out, Slice text, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (is_unreserved(c) || (c == '/' && keep_slash)) {
            buf_append_char(out, c);
        } else {
            char code[3] = {'%', digits[(uint8_t)c >> 4], digits[(uint8_t)c & 15]};
            buf_append(out, code, sizeof(code));
        }
    }
}

static int pair_compare(const void *a, const void *b)
{
    return slice_cmp(((const FormPair *)a)->name, ((const FormPair *)b)->name);
}

static size_t count_char(Slice text, char c)
{
    size_t count = 0;
    for (size_t i = 0; i < text.len; i++) {
        count += text.data[i] == c ? 1 : 0;
    }
    return count;
}

static bool form_sort(Form *form, AwsFault *fault)
{
    qsort(form->pairs, form->count, sizeof(FormPair), pair_compare);
    for (size_t i = 1; i < form->count; i++) {
        Slice name = form->pairs[i].name;
        if (slice_eq(form->pairs[i - 1].name, name)) {
            return aws_fault_set(fault, NULL, "MalformedInput",
                                 "The parameter %.*s is given more than once.", SLICE_FMT(name));
        }
    }
    return true;
}

bool form_parse(Slice text, Arena *arena, Form *ret_form, AwsFault *fault)
{
    size_t count_max = count_char(text, '&') + 1;
    if (count_max > AWS_FORM_PAIRS_MAX) {
        return aws_fault_set(fault, NULL, "MalformedInput",
                             "The request has more than %d parameters.", AWS_FORM_PAIRS_MAX);
    }
    Form form = {ARENA_ARRAY(arena, FormPair, count_max), 0};
    while (text.len > 0) {
        Slice value = slice_cut(&text, '&');
        if (value.len == 0) {
            continue;
        }
        Slice name = slice_cut(&value, '=');
        FormPair *pair = &form.pairs[form.count++];
        if (!percent_decode(name, true, arena, &pair->name) ||
            !percent_decode(value, true, arena, &pair->value)) {
            return aws_fault_set(fault, NULL, "MalformedInput",
                                 "The request holds a %% that no two hexadecimal digits follow.");
        }
    }
    TRY(form_sort(&form, fault));
    *ret_form = form;
    return true;
}

FormPair *form_find(const Form *form, Slice name)
{
    FormPair key = {.name = name};
    return bsearch(&key, form->pairs, form->count, sizeof(FormPair), pair_compare);
}
