/*
 * Functions of strings. Positions and lengths count code points.
 */
#include "tf/eval_priv.h"

static const TfValue *result(Call *call, Slice text)
{
    return tf_string(call->eval->arena, text);
}

static Slice arg_text(const Call *call, size_t i)
{
    return call->args[i]->string;
}

/* ---- searching ------------------------------------------------------------------------------ */

/* Where `part` first is in `text`; SIZE_MAX when it is nowhere. */
static size_t slice_find(Slice text, Slice part)
{
    const char *at = part.len == 0 ? text.data : memmem(text.data, text.len, part.data, part.len);
    return at != NULL ? (size_t)(at - text.data) : SIZE_MAX;
}

static bool has_prefix(Slice text, Slice prefix)
{
    return text.len >= prefix.len && slice_eq((Slice){text.data, prefix.len}, prefix);
}

static bool has_suffix(Slice text, Slice suffix)
{
    return text.len >= suffix.len && slice_eq(slice_skip(text, text.len - suffix.len), suffix);
}

static const TfValue *fn_startswith(Call *call)
{
    return tf_bool(has_prefix(arg_text(call, 0), arg_text(call, 1)));
}

static const TfValue *fn_endswith(Call *call)
{
    return tf_bool(has_suffix(arg_text(call, 0), arg_text(call, 1)));
}

static const TfValue *fn_strcontains(Call *call)
{
    return tf_bool(slice_find(arg_text(call, 0), arg_text(call, 1)) != SIZE_MAX);
}

/* ---- letters -------------------------------------------------------------------------------- */

static bool is_ascii(Slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((uint8_t)text.data[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

typedef enum LetterCase { CASE_LOWER, CASE_UPPER, CASE_TITLE } LetterCase;

static const TfValue *change_case(Call *call, LetterCase wanted)
{
    Slice text = arg_text(call, 0);
    if (!is_ascii(text)) {
        return call_fail(call, 0, "letters beyond ASCII are not supported");
    }
    char *copy = arena_slice_str(call->eval->arena, text);
    for (size_t i = 0; i < text.len; i++) {
        bool up = wanted == CASE_UPPER ||
                  (wanted == CASE_TITLE && (i == 0 || !is_word(text.data[i - 1])));
        copy[i] = up ? char_upper(copy[i]) : wanted == CASE_LOWER ? char_lower(copy[i]) : copy[i];
    }
    return result(call, (Slice){copy, text.len});
}

static const TfValue *fn_lower(Call *call)
{
    return change_case(call, CASE_LOWER);
}

static const TfValue *fn_upper(Call *call)
{
    return change_case(call, CASE_UPPER);
}

static const TfValue *fn_title(Call *call)
{
    return change_case(call, CASE_TITLE);
}

/* ---- trimming ------------------------------------------------------------------------------- */

static const TfValue *fn_chomp(Call *call)
{
    Slice text = arg_text(call, 0);
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r')) {
        text.len--;
    }
    return result(call, text);
}

static const TfValue *fn_trimspace(Call *call)
{
    return result(call, slice_trim(arg_text(call, 0)));
}

static const TfValue *fn_trimprefix(Call *call)
{
    Slice text = arg_text(call, 0);
    Slice prefix = arg_text(call, 1);
    return result(call, has_prefix(text, prefix) ? slice_skip(text, prefix.len) : text);
}

static const TfValue *fn_trimsuffix(Call *call)
{
    Slice text = arg_text(call, 0);
    Slice suffix = arg_text(call, 1);
    text.len -= has_suffix(text, suffix) ? suffix.len : 0;
    return result(call, text);
}

/* Whether the character of `text` that starts at `at` is one of `set`. */
static bool char_is_in(Slice text, size_t at, size_t end, Slice set)
{
    return slice_find(set, (Slice){text.data + at, end - at}) != SIZE_MAX;
}

static const TfValue *fn_trim(Call *call)
{
    Slice text = arg_text(call, 0);
    Slice set = arg_text(call, 1);
    if (!call_spend(call, (text.len + 1) * (set.len + 1) / 16)) {
        return tf_unknown();
    }
    for (size_t end = 0; text.len > 0; text = slice_skip(text, end)) {
        end = utf8_bytes(text, 1);
        if (!char_is_in(text, 0, end, set)) {
            break;
        }
    }
    while (text.len > 0) {
        size_t start = text.len - 1;
        while (start > 0 && ((uint8_t)text.data[start] & 0xc0) == 0x80) {
            start--;
        }
        if (!char_is_in(text, start, text.len, set)) {
            break;
        }
        text.len = start;
    }
    return result(call, text);
}

/* ---- cutting and joining ----------------------------------------------------------------------
 */

static const TfValue *fn_substr(Call *call)
{
    Slice text = arg_text(call, 0);
    int64_t count = (int64_t)utf8_count(text);
    int64_t offset = call->args[1]->number.integer;
    int64_t length = call->args[2]->number.integer;
    if (offset < 0) {
        offset = offset < -count ? 0 : offset + count;
    }
    if (length < -1) {
        return call_fail(call, 2, "the length must be at least -1, which is the rest");
    }
    offset = offset > count ? count : offset;
    length = length == -1 || length > count - offset ? count - offset : length;
    text = slice_skip(text, utf8_bytes(text, (size_t)offset));
    return result(call, (Slice){text.data, utf8_bytes(text, (size_t)length)});
}

/* How far the next piece reaches: to the separator or, without one, one character. */
static size_t piece_end(Slice rest, Slice separator)
{
    size_t at = separator.len > 0 ? slice_find(rest, separator) : utf8_bytes(rest, 1);
    return at < rest.len ? at : rest.len;
}

static const TfValue *fn_split(Call *call)
{
    Arena *arena = call->eval->arena;
    Slice separator = arg_text(call, 0);
    Slice rest = arg_text(call, 1);
    VEC(const TfValue *) pieces = {0};
    bool more = separator.len > 0 || rest.len > 0;
    while (more && call_spend(call, 1)) {
        size_t end = piece_end(rest, separator);
        const TfValue *piece = tf_string(arena, (Slice){rest.data, end});
        arena_vec_push(arena, &pieces, piece);
        more = end < rest.len;
        rest = slice_skip(rest, more ? end + separator.len : end);
        more = more && (separator.len > 0 || rest.len > 0);
    }
    return tf_list(arena, pieces.items, pieces.len);
}

static const TfValue *fn_join(Call *call)
{
    Slice separator = arg_text(call, 0);
    Buf text;
    call_text_init(&text);
    bool first = true;
    for (size_t i = 1; i < call->len; i++) {
        const Slice *strings = call_strings(call, i, call->args[i]);
        if (strings == NULL) {
            buf_done(&text);
            return tf_unknown();
        }
        for (size_t j = 0; j < value_len(call->args[i]); j++) {
            buf_append_slice(&text, first ? SLICE("") : separator);
            buf_append_slice(&text, strings[j]);
            first = false;
        }
    }
    return call_text(call, &text);
}

static const TfValue *fn_replace(Call *call)
{
    Slice rest = arg_text(call, 0);
    Slice from = arg_text(call, 1);
    Slice to = arg_text(call, 2);
    if (from.len > 1 && slice_starts(from, "/") && slice_ends(from, "/")) {
        return call_fail(call, 1, "regular expressions are not supported");
    }
    Buf text;
    call_text_init(&text);
    if (from.len == 0) {
        buf_append_slice(&text, to);
    }
    while (rest.len > 0) {
        size_t end = piece_end(rest, from);
        buf_append(&text, rest.data, end);
        bool found = end < rest.len || from.len == 0;
        buf_append_slice(&text, found ? to : SLICE(""));
        rest = slice_skip(rest, found ? end + from.len : end);
    }
    return call_text(call, &text);
}

static const TfValue *fn_indent(Call *call)
{
    int64_t spaces = call->args[0]->number.integer;
    Slice rest = arg_text(call, 1);
    if (spaces < 0 || spaces > 1000) {
        return call_fail(call, 0, "the number of spaces must be between 0 and 1000");
    }
    Buf text;
    call_text_init(&text);
    for (size_t i = 0; i < rest.len && !text.overflowed; i++) {
        buf_append_char(&text, rest.data[i]);
        for (int64_t j = 0; rest.data[i] == '\n' && j < spaces; j++) {
            buf_append_char(&text, ' ');
        }
    }
    return call_text(call, &text);
}

static const Function functions[] = {
    {"chomp", "s", 0, fn_chomp},
    {"endswith", "ss", 0, fn_endswith},
    {"format", "sV*", 0, fn_format},
    {"formatlist", "sV*", 0, fn_formatlist},
    {"indent", "is", 0, fn_indent},
    {"join", "sl+", 0, fn_join},
    {"lower", "s", 0, fn_lower},
    {"replace", "sss", 0, fn_replace},
    {"split", "ss", 0, fn_split},
    {"startswith", "ss", 0, fn_startswith},
    {"strcontains", "ss", 0, fn_strcontains},
    {"substr", "sii", 0, fn_substr},
    {"title", "s", 0, fn_title},
    {"trim", "ss", 0, fn_trim},
    {"trimprefix", "ss", 0, fn_trimprefix},
    {"trimspace", "s", 0, fn_trimspace},
    {"trimsuffix", "ss", 0, fn_trimsuffix},
    {"upper", "s", 0, fn_upper},
};

const FunctionTable string_functions = {functions, ARRAY_LEN(functions)};
