/*
 * format and formatlist: Terraform's own printf. %v takes anything, %#v and %q give JSON; the verbs
 * of numbers are those of C.
 */
#include <math.h>
#include <stdlib.h>

#include "tf/eval_priv.h"

#define FORMAT_WIDTH_MAX 1000

typedef struct Spec {
    bool plus, minus, space, zero, sharp;
    size_t width;
    bool has_precision;
    size_t precision;
    char verb;
} Spec;

typedef struct Format {
    Call *call;
    Slice text;
    size_t at;
    size_t next;                /* the argument that the next verb takes */
    size_t used;                /* one more than the last that a verb took */
    const TfValue *const *args; /* without the text itself */
    size_t args_len;
    Buf out;
} Format;

/* ---- the specification ------------------------------------------------------------------------
 */

static char format_peek(const Format *format)
{
    return format->at < format->text.len ? format->text.data[format->at] : '\0';
}

static void format_flags(Format *format, Spec *spec)
{
    for (;; format->at++) {
        char c = format_peek(format);
        spec->plus |= c == '+';
        spec->minus |= c == '-';
        spec->space |= c == ' ';
        spec->zero |= c == '0';
        spec->sharp |= c == '#';
        if (c == '\0' || strchr("+- 0#", c) == NULL) {
            return;
        }
    }
}

static bool format_number(Format *format, size_t *ret_number)
{
    size_t number = 0;
    while (format_peek(format) >= '0' && format_peek(format) <= '9') {
        number = number * 10 + (size_t)(format_peek(format) - '0');
        format->at++;
        if (number > FORMAT_WIDTH_MAX) {
            (void)call_fail(format->call, 0, "a width or precision beyond %d", FORMAT_WIDTH_MAX);
            return false;
        }
    }
    *ret_number = number;
    return true;
}

/* [n]: which argument, from 1. */
static bool format_index(Format *format)
{
    if (format_peek(format) != '[') {
        return true;
    }
    format->at++;
    size_t number;
    TRY(format_number(format, &number));
    if (format_peek(format) != ']' || number == 0) {
        (void)call_fail(format->call, 0, "the number of an argument is written [1], [2], …");
        return false;
    }
    format->at++;
    format->next = number - 1;
    return true;
}

static bool format_spec(Format *format, Spec *spec)
{
    format->at++;
    format_flags(format, spec);
    TRY(format_index(format));
    TRY(format_number(format, &spec->width));
    if (format_peek(format) == '.') {
        format->at++;
        spec->has_precision = true;
        TRY(format_number(format, &spec->precision));
    }
    TRY(format_index(format));
    spec->verb = format_peek(format);
    if (spec->verb == '\0' || strchr("vtbdoxXeEfgGsq%", spec->verb) == NULL) {
        (void)call_fail(format->call, 0,
                        "unknown verb behind %% (known are %%v %%s %%q %%d %%f %%t %%b %%o %%x %%e "
                        "%%g, and %%%% for a percent sign)");
        return false;
    }
    format->at++;
    return true;
}

/* ---- verbs -------------------------------------------------------------------------------- */

static void append_many(Buf *out, char c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_char(out, c);
    }
}

static void append_padded(Buf *out, const Spec *spec, Slice text)
{
    size_t count = utf8_count(text);
    size_t pad = spec->width > count ? spec->width - count : 0;
    append_many(out, ' ', spec->minus ? 0 : pad);
    buf_append_slice(out, text);
    append_many(out, ' ', spec->minus ? pad : 0);
}

/* Sign and digits, with zeros between when the flag says so. */
static void append_number(Buf *out, const Spec *spec, bool negative, const char *digits)
{
    const char *sign = negative ? "-" : spec->plus ? "+" : spec->space ? " " : "";
    size_t len = strlen(sign) + strlen(digits);
    size_t pad = spec->width > len ? spec->width - len : 0;
    bool zeros = spec->zero && !spec->minus;
    append_many(out, ' ', zeros || spec->minus ? 0 : pad);
    buf_append_str(out, sign);
    append_many(out, '0', zeros ? pad : 0);
    buf_append_str(out, digits);
    append_many(out, ' ', spec->minus ? pad : 0);
}

static bool format_integer(Format *format, const Spec *spec, size_t arg, TfNumber number)
{
    if (!number.exact) {
        (void)call_fail(format->call, arg, "%%%c takes a whole number", spec->verb);
        return false;
    }
    unsigned base = spec->verb == 'b' ? 2 : spec->verb == 'o' ? 8 : spec->verb == 'd' ? 10 : 16;
    const char *letters = spec->verb == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    uint64_t rest = number.integer < 0 ? 0 - (uint64_t)number.integer : (uint64_t)number.integer;
    char digits[72];
    char *first = digits + sizeof(digits) - 1;
    *first = '\0';
    do {
        *--first = letters[rest % base];
        rest /= base;
    } while (rest > 0);
    if (spec->sharp && base == 16) {
        *--first = spec->verb;
        *--first = '0';
    } else if (spec->sharp && base == 8) {
        *--first = '0';
    }
    append_number(&format->out, spec, number.integer < 0, first);
    return true;
}

/* The digits of a number without point and outer zeros, and the power of ten of the first. */
typedef struct Digits {
    char text[400];
    size_t len;
    int exponent;
} Digits;

static Digits number_digits(TfNumber number)
{
    CLEANUP(buf_done) Buf plain;
    buf_init(&plain, TF_VALUE_BYTES_MAX);
    number_format(number, &plain);
    Digits digits = {.exponent = -1};
    bool fraction = false;
    for (size_t i = 0; i < plain.len && digits.len < sizeof(digits.text); i++) {
        char c = plain.data[i];
        fraction = fraction || c == '.';
        if (c == '.' || c == '-' || (c == '0' && digits.len == 0 && !fraction)) {
            continue;
        }
        if (c == '0' && digits.len == 0) {
            digits.exponent--;
            continue;
        }
        digits.exponent += !fraction;
        digits.text[digits.len++] = c;
    }
    while (digits.len > 0 && digits.text[digits.len - 1] == '0') {
        digits.len--;
    }
    return digits;
}

/* %g without a precision, as Go has it: all digits, with an exponent below -4 and from 6 on. */
static char *format_shortest(TfNumber number, char letter)
{
    Digits digits = number_digits(number);
    Buf out;
    buf_init(&out, TF_VALUE_BYTES_MAX);
    if (digits.len == 0 || (digits.exponent >= -4 && digits.exponent < 6)) {
        number_format(number, &out);
        buf_consume(&out, slice_starts(buf_slice(&out), "-") ? 1 : 0);
        return out.data;
    }
    buf_append_char(&out, digits.text[0]);
    if (digits.len > 1) {
        buf_append_char(&out, '.');
        buf_append(&out, digits.text + 1, digits.len - 1);
    }
    buf_printf(&out, "%c%c%02d", letter, digits.exponent < 0 ? '-' : '+', abs(digits.exponent));
    return out.data;
}

static void format_real(Format *format, const Spec *spec, TfNumber number)
{
    int precision = spec->has_precision ? (int)spec->precision : 6;
    double size = fabs(number.real);
    char *text = NULL;
    if (spec->verb == 'e') {
        text = mem_printf("%.*e", precision, size);
    } else if (spec->verb == 'E') {
        text = mem_printf("%.*E", precision, size);
    } else if (spec->verb == 'f') {
        text = mem_printf("%.*f", precision, size);
    } else if (!spec->has_precision) {
        text = format_shortest(number, spec->verb == 'G' ? 'E' : 'e');
    } else if (spec->verb == 'G') {
        text = mem_printf("%.*G", precision, size);
    } else {
        text = mem_printf("%.*g", precision, size);
    }
    append_number(&format->out, spec, number.real < 0, text);
    mem_free(text);
}

static bool format_as_number(Format *format, const Spec *spec, size_t arg, const TfValue *value)
{
    const TfValue *number = value_to_number(format->call->eval->arena, value);
    if (number == NULL) {
        (void)call_fail(format->call, arg, "%%%c takes a number, not %s", spec->verb,
                        value_excerpt(format->call->eval->arena, value));
        return false;
    }
    if (strchr("bdoxX", spec->verb) != NULL) {
        return format_integer(format, spec, arg, number->number);
    }
    format_real(format, spec, number->number);
    return true;
}

static bool format_as_text(Format *format, const Spec *spec, size_t arg, const TfValue *value)
{
    Arena *arena = format->call->eval->arena;
    const TfValue *string = spec->verb == 't' ? value_to_bool(value) : value;
    string = string != NULL ? value_to_string(arena, string) : NULL;
    if (string == NULL) {
        (void)call_fail(format->call, arg, "%%%c takes %s, not %s", spec->verb,
                        spec->verb == 't' ? "true or false" : "a string",
                        value_excerpt(arena, value));
        return false;
    }
    Slice text = string->string;
    if (spec->has_precision) {
        text.len = utf8_bytes(text, spec->precision);
    }
    append_padded(&format->out, spec, text);
    return true;
}

static void format_as_json(Format *format, const Spec *spec, const TfValue *value)
{
    CLEANUP(buf_done) Buf json;
    call_text_init(&json);
    (void)value_to_json(value, &json);
    format->out.overflowed |= json.overflowed;
    append_padded(&format->out, spec, buf_slice(&json));
}

static bool format_value(Format *format, const Spec *spec, size_t arg, const TfValue *value)
{
    Spec plain = *spec;
    if (spec->verb == 'v' && !spec->sharp && value_is_primitive(value)) {
        plain.verb = value->kind == TF_NUMBER ? 'g' : 's';
    }
    if (plain.verb == 'v') {
        format_as_json(format, &plain, value);
        return true;
    }
    if (plain.verb == 'q') {
        const TfValue *string = value_to_string(format->call->eval->arena, value);
        format_as_json(format, &plain, string != NULL ? string : value);
        return true;
    }
    return plain.verb == 's' || plain.verb == 't' ? format_as_text(format, &plain, arg, value)
                                                  : format_as_number(format, &plain, arg, value);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool format_verb(Format *format)
{
    Spec spec = {0};
    TRY(format_spec(format, &spec));
    if (spec.verb == '%') {
        buf_append_char(&format->out, '%');
        return true;
    }
    size_t index = format->next++;
    if (index >= format->args_len) {
        (void)call_fail(format->call, 0, "there is no argument %zu", index + 1);
        return false;
    }
    format->used = index + 1 > format->used ? index + 1 : format->used;
    return format_value(format, &spec, index + 1, format->args[index]);
}

static bool format_run(Format *format)
{
    while (format->at < format->text.len) {
        if (format_peek(format) == '%') {
            TRY(format_verb(format));
        } else {
            buf_append_char(&format->out, format_peek(format));
            format->at++;
        }
    }
    if (format->used < format->args_len) {
        (void)call_fail(format->call, format->used + 1, "the text has no verb for argument %zu",
                        format->used + 1);
        return false;
    }
    return true;
}

static const TfValue *format_text(Call *call, Slice text, const TfValue *const *args, size_t len)
{
    Format format = {.call = call, .text = text, .args = args, .args_len = len};
    call_text_init(&format.out);
    if (!format_run(&format)) {
        buf_done(&format.out);
        return tf_unknown();
    }
    return call_text(call, &format.out);
}

const TfValue *fn_format(Call *call)
{
    return format_text(call, call->args[0]->string, call->args + 1, call->len - 1);
}

/* How long the lists among the arguments are; 1 without any. False when they differ. */
static bool formatlist_len(Call *call, size_t *ret_len)
{
    bool seen = false;
    *ret_len = 1;
    for (size_t i = 1; i < call->len; i++) {
        const TfValue *arg = call->args[i];
        if (arg->kind != TF_LIST && arg->kind != TF_SET) {
            continue;
        }
        if (seen && value_len(arg) != *ret_len) {
            (void)call_fail(call, i, "the lists have %zu and %zu elements", *ret_len,
                            value_len(arg));
            return false;
        }
        seen = true;
        *ret_len = value_len(arg);
    }
    return true;
}

const TfValue *fn_formatlist(Call *call)
{
    Arena *arena = call->eval->arena;
    size_t len;
    if (!formatlist_len(call, &len)) {
        return tf_unknown();
    }
    const TfValue **items = ARENA_ARRAY(arena, const TfValue *, len);
    const TfValue **args = ARENA_ARRAY(arena, const TfValue *, call->len - 1);
    for (size_t i = 0; i < len; i++) {
        for (size_t j = 1; j < call->len; j++) {
            const TfValue *arg = call->args[j];
            bool list = arg->kind == TF_LIST || arg->kind == TF_SET;
            args[j - 1] = list ? value_at(arg, i) : arg;
        }
        items[i] = format_text(call, call->args[0]->string, args, call->len - 1);
        if (items[i]->kind == TF_UNKNOWN) {
            return tf_unknown();
        }
    }
    return tf_list(arena, items, len);
}
