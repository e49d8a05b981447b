/*
 * Numbers: int64 where that is exact, double otherwise. Every result that is whole and fits becomes
 * exact again, so that 10 / 2 is 5 and never 5.0000000000001.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tf/value_priv.h"

#define EXACT_REAL_MAX 9007199254740992.0 /* 2^53: below it each whole double is one integer */

TfNumber number_of_int(int64_t integer)
{
    return (TfNumber){.exact = true, .integer = integer, .real = (double)integer};
}

TfNumber number_of_real(double real)
{
    if (real == trunc(real) && fabs(real) < EXACT_REAL_MAX) {
        return number_of_int((int64_t)real);
    }
    return (TfNumber){.real = real};
}

static size_t skip_digits(Slice text, size_t at)
{
    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9') {
        at++;
    }
    return at;
}

/* [+-] digits [. digits] [e [+-] digits] */
static bool number_syntax(Slice text, bool *ret_whole)
{
    size_t at = text.len > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    size_t end = skip_digits(text, at);
    TRY(end > at);
    *ret_whole = end == text.len;
    if (end < text.len && text.data[end] == '.') {
        at = end + 1;
        end = skip_digits(text, at);
        TRY(end > at);
    }
    if (end < text.len && (text.data[end] == 'e' || text.data[end] == 'E')) {
        at = end + 1;
        at += at < text.len && (text.data[at] == '-' || text.data[at] == '+') ? 1 : 0;
        end = skip_digits(text, at);
        TRY(end > at);
    }
    return end == text.len;
}

#define NUMBER_TEXT_MAX 400

bool number_parse(Slice text, TfNumber *ret_number)
{
    bool whole;
    int64_t integer;
    TRY(text.len < NUMBER_TEXT_MAX && number_syntax(text, &whole));
    if (whole && str_to_i64(text, &integer)) {
        *ret_number = number_of_int(integer);
        return true;
    }
    char copy[NUMBER_TEXT_MAX];
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    double real = strtod(copy, NULL);
    TRY(isfinite(real));
    *ret_number = number_of_real(real);
    return true;
}

int number_compare(TfNumber a, TfNumber b)
{
    if (a.exact && b.exact) {
        return (a.integer > b.integer) - (a.integer < b.integer);
    }
    return (a.real > b.real) - (a.real < b.real);
}

/* d.ddde±x as plain decimal. */
static void format_plain(const char *digits, int digits_len, int exponent, Buf *out)
{
    if (exponent < 0) {
        buf_append_str(out, "0.");
        for (int i = -1; i > exponent; i--) {
            buf_append_char(out, '0');
        }
        buf_append(out, digits, (size_t)digits_len);
        return;
    }
    for (int i = 0; i < digits_len || i <= exponent; i++) {
        if (i == exponent + 1) {
            buf_append_char(out, '.');
        }
        buf_append_char(out, i < digits_len ? digits[i] : '0');
    }
}

static void number_format_real(double real, Buf *out)
{
    char text[32];
    snprintf(text, sizeof(text), "%.14e", fabs(real));
    char digits[16] = {text[0]};
    memcpy(digits + 1, text + 2, 14);
    int digits_len = 15;
    while (digits_len > 1 && digits[digits_len - 1] == '0') {
        digits_len--;
    }
    if (real < 0) {
        buf_append_char(out, '-');
    }
    format_plain(digits, digits_len, (int)strtol(text + 17, NULL, 10), out);
}

void number_format(TfNumber number, Buf *out)
{
    if (number.exact) {
        buf_printf(out, "%lld", (long long)number.integer);
    } else {
        number_format_real(number.real, out);
    }
}

static bool number_result(double real, TfNumber *ret_number)
{
    TRY(isfinite(real));
    *ret_number = number_of_real(real);
    return true;
}

bool number_add(TfNumber a, TfNumber b, TfNumber *ret_sum)
{
    int64_t sum;
    if (a.exact && b.exact && !__builtin_add_overflow(a.integer, b.integer, &sum)) {
        *ret_sum = number_of_int(sum);
        return true;
    }
    return number_result(a.real + b.real, ret_sum);
}

bool number_subtract(TfNumber a, TfNumber b, TfNumber *ret_difference)
{
    int64_t difference;
    if (a.exact && b.exact && !__builtin_sub_overflow(a.integer, b.integer, &difference)) {
        *ret_difference = number_of_int(difference);
        return true;
    }
    return number_result(a.real - b.real, ret_difference);
}

bool number_multiply(TfNumber a, TfNumber b, TfNumber *ret_product)
{
    int64_t product;
    if (a.exact && b.exact && !__builtin_mul_overflow(a.integer, b.integer, &product)) {
        *ret_product = number_of_int(product);
        return true;
    }
    return number_result(a.real * b.real, ret_product);
}

bool number_divide(TfNumber a, TfNumber b, TfNumber *ret_quotient)
{
    TRY(b.real != 0);
    bool minus_one = b.exact && b.integer == -1; /* INT64_MIN / -1 overflows */
    if (a.exact && b.exact && !minus_one && a.integer % b.integer == 0) {
        *ret_quotient = number_of_int(a.integer / b.integer);
        return true;
    }
    return number_result(a.real / b.real, ret_quotient);
}

bool number_modulo(TfNumber a, TfNumber b, TfNumber *ret_rest)
{
    TRY(b.real != 0);
    if (a.exact && b.exact) {
        *ret_rest = number_of_int(b.integer == -1 ? 0 : a.integer % b.integer);
        return true;
    }
    return number_result(fmod(a.real, b.real), ret_rest);
}
