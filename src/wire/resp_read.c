/* RESP values and commands that are whole in memory, as slices of it. */
#include "wire/wire.h"

#define NUMBER_LINE_MAX 24 /* a type, a sign, 19 digits and CR LF */

/* A line up to CR LF, which is skipped. */
static WireResult take_line(Slice *rest, size_t len_max, Slice *ret_line)
{
    const char *cr = rest->len > 0 ? memchr(rest->data, '\r', rest->len) : NULL;
    size_t len = cr != NULL ? (size_t)(cr - rest->data) : rest->len;
    if (len > len_max) {
        return WIRE_BAD;
    }
    if (cr == NULL || len + 2 > rest->len) {
        return WIRE_MORE;
    }
    if (cr[1] != '\n') {
        return WIRE_BAD;
    }
    *ret_line = (Slice){rest->data, len};
    *rest = slice_skip(*rest, len + 2);
    return WIRE_DONE;
}

/* No leading zeros, no "-0", no "+1": as Redis reads them. */
static bool number_of(Slice text, int64_t *ret_number)
{
    Slice digits = text.len > 0 && text.data[0] == '-' ? slice_skip(text, 1) : text;
    bool zero_first = digits.len > 0 && digits.data[0] == '0';
    return !(zero_first && text.len > 1) && str_to_i64(text, ret_number);
}

static WireResult take_number(Slice *rest, int64_t *ret_number)
{
    Slice line;
    WireResult result = take_line(rest, NUMBER_LINE_MAX, &line);
    if (result == WIRE_DONE && !number_of(line, ret_number)) {
        return WIRE_BAD;
    }
    return result;
}

/* `len` bytes and CR LF. */
static WireResult take_bulk(Slice *rest, int64_t len, Slice *ret_text)
{
    if (len < 0 || len > RESP_BULK_MAX) {
        return WIRE_BAD;
    }
    size_t size = (size_t)len;
    if ((rest->len > size && rest->data[size] != '\r') ||
        (rest->len > size + 1 && rest->data[size + 1] != '\n')) {
        return WIRE_BAD;
    }
    if (rest->len < size + 2) {
        return WIRE_MORE;
    }
    *ret_text = (Slice){rest->data, size};
    *rest = slice_skip(*rest, size + 2);
    return WIRE_DONE;
}

/* ---- commands -------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The end of a quoted part that begins at `at`, behind its closing quote; 0 where there is none, or
 * where something other than white space follows it. */
static size_t quoted_end(Slice line, size_t at)
{
    char quote = line.data[at];
    for (size_t i = at + 1; i < line.len; i++) {
        bool escapes =
            line.data[i] == '\\' && i + 1 < line.len && (quote == '"' || line.data[i + 1] == '\'');
        if (escapes) {
            i++;
        } else if (line.data[i] == quote) {
            return i + 1 == line.len || is_space(line.data[i + 1]) ? i + 1 : 0;
        }
    }
    return 0;
}

/* The next word of an inline command; false where its quotes are not balanced. */
static bool inline_next(Slice *line, Slice *ret_word)
{
    while (line->len > 0 && is_space(line->data[0])) {
        *line = slice_skip(*line, 1);
    }
    size_t end = 0;
    while (end < line->len && !is_space(line->data[end])) {
        char c = line->data[end];
        end = c == '"' || c == '\'' ? quoted_end(*line, end) : end + 1;
        if (end == 0 || c == '\0') {
            return false;
        }
    }
    *ret_word = (Slice){line->data, end};
    *line = slice_skip(*line, end);
    return true;
}

static WireResult inline_read(Slice in, Slice *args, size_t args_max, RespCommand *ret_command)
{
    const char *end = memchr(in.data, '\n', in.len);
    size_t len = end != NULL ? (size_t)(end - in.data) : in.len;
    if (len > RESP_LINE_MAX) {
        return WIRE_BAD;
    }
    if (end == NULL) {
        return WIRE_MORE;
    }
    RespCommand command = {.len = len + 1, .inlined = true};
    Slice line = {in.data, len};
    Slice word;
    while (inline_next(&line, &word)) {
        if (word.len == 0) {
            *ret_command = command;
            return WIRE_DONE;
        }
        if (command.arg_count < args_max) {
            args[command.arg_count] = word;
        }
        command.arg_count++;
    }
    return WIRE_BAD;
}

static WireResult take_arg(Slice *rest, Slice *ret_arg)
{
    if (rest->len == 0) {
        return WIRE_MORE;
    }
    if (rest->data[0] != '$') {
        return WIRE_BAD;
    }
    *rest = slice_skip(*rest, 1);
    int64_t len;
    WireResult result = take_number(rest, &len);
    return result == WIRE_DONE ? take_bulk(rest, len, ret_arg) : result;
}

WireResult resp_command_read(Slice in, Slice *args, size_t args_max, RespCommand *ret_command)
{
    if (in.len == 0) {
        return WIRE_MORE;
    }
    if (in.data[0] != '*') {
        return inline_read(in, args, args_max, ret_command);
    }
    Slice rest = slice_skip(in, 1);
    int64_t count;
    WireResult result = take_number(&rest, &count);
    if (result == WIRE_DONE && (count > RESP_ARGS_MAX || count < -1)) {
        return WIRE_BAD;
    }
    RespCommand command = {0};
    while (result == WIRE_DONE && (int64_t)command.arg_count < count) {
        Slice arg;
        result = take_arg(&rest, &arg);
        if (result == WIRE_DONE && command.arg_count < args_max) {
            args[command.arg_count] = arg;
        }
        command.arg_count++;
    }
    if (result == WIRE_DONE) {
        command.len = in.len - rest.len;
        *ret_command = command;
    }
    return result;
}

static char escape_meaning(char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'b':
        return '\b';
    case 'a':
        return '\a';
    default:
        return c;
    }
}

/* One character within quotes, escaped or not; moves *at behind it. */
static char unquote_char(Slice arg, size_t *at, char quote)
{
    size_t left = arg.len - *at;
    char c = arg.data[*at];
    if (c != '\\' || left < 2 || (quote == '\'' && arg.data[*at + 1] != '\'')) {
        *at += 1;
        return c;
    }
    uint8_t byte;
    size_t len;
    if (left >= 4 && arg.data[*at + 1] == 'x' &&
        hex_decode((Slice){arg.data + *at + 2, 2}, &byte, 1, &len)) {
        *at += 4;
        return (char)byte;
    }
    *at += 2;
    return escape_meaning(arg.data[*at - 1]);
}

size_t resp_inline_unquote(Slice arg, char *out)
{
    size_t len = 0;
    char quote = '\0';
    for (size_t at = 0; at < arg.len;) {
        char c = arg.data[at];
        if (quote == '\0' && (c == '"' || c == '\'')) {
            quote = c;
            at++;
        } else if (quote != '\0' && c == quote) {
            quote = '\0';
            at++;
        } else if (quote != '\0') {
            out[len++] = unquote_char(arg, &at, quote);
        } else {
            out[len++] = c;
            at++;
        }
    }
    return len;
}

/* ---- values ---------------------------------------------------------------------------------- */

static WireResult read_line_value(Slice *rest, RespValue *value)
{
    WireResult result = take_line(rest, RESP_LINE_MAX, &value->text);
    if (result == WIRE_DONE && value->type == '#') {
        value->truth = slice_is(value->text, "t");
        return value->truth || slice_is(value->text, "f") ? WIRE_DONE : WIRE_BAD;
    }
    if (result == WIRE_DONE && value->type == '_') {
        value->null = true;
        return value->text.len == 0 ? WIRE_DONE : WIRE_BAD;
    }
    return result;
}

static WireResult read_bulk_value(Slice *rest, int64_t len, RespValue *value)
{
    if (len == -1 && value->type == '$') {
        value->null = true;
        return WIRE_DONE;
    }
    WireResult result = take_bulk(rest, len, &value->text);
    if (result == WIRE_DONE && value->type == '=') {
        if (value->text.len < 4 || value->text.data[3] != ':') {
            return WIRE_BAD;
        }
        value->text = slice_skip(value->text, 4);
    }
    return result;
}

static WireResult read_number_value(Slice *rest, RespValue *value)
{
    int64_t number;
    WireResult result = take_number(rest, &number);
    if (result != WIRE_DONE) {
        return result;
    }
    switch (value->type) {
    case ':':
        value->integer = number;
        return WIRE_DONE;
    case '$':
    case '!':
    case '=':
        return read_bulk_value(rest, number, value);
    default:
        value->null = number == -1 && value->type == '*';
        value->count = value->null ? 0 : number;
        return value->count >= 0 && number <= RESP_ITEMS_MAX ? WIRE_DONE : WIRE_BAD;
    }
}

WireResult resp_value_read(Slice *in, RespValue *ret_value)
{
    if (in->len == 0) {
        return WIRE_MORE;
    }
    RespValue value = {.type = in->data[0]};
    Slice rest = slice_skip(*in, 1);
    WireResult result = WIRE_BAD;
    if (value.type != '\0' && strchr("+-,(#_", value.type) != NULL) {
        result = read_line_value(&rest, &value);
    } else if (value.type != '\0' && strchr(":$!=*%~>|", value.type) != NULL) {
        result = read_number_value(&rest, &value);
    }
    if (result == WIRE_DONE) {
        *in = rest;
        *ret_value = value;
    }
    return result;
}
