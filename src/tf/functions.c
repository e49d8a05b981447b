/*
 * Calling functions: finding them, evaluating and converting their arguments, and the rules for
 * unknown and sensitive ones. The functions themselves then see plain values.
 */
#include <stdio.h>

#include "tf/eval_priv.h"

/* ---- finding ------------------------------------------------------------------------------ */

static const FunctionTable *const function_tables[] = {
    &string_functions, &list_functions, &map_functions, &number_functions, &convert_functions,
};

const Function *function_find(Slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(function_tables); i++) {
        for (size_t j = 0; j < function_tables[i]->len; j++) {
            if (slice_is(name, function_tables[i]->functions[j].name)) {
                return &function_tables[i]->functions[j];
            }
        }
    }
    return NULL;
}

typedef struct Refused {
    const char *names; /* separated by spaces */
    const char *why;
} Refused;

static const Refused refused_functions[] = {
    {" abspath basename dirname file filebase64 filebase64sha256 filebase64sha512 fileexists "
     "filemd5 "
     "fileset filesha1 filesha256 filesha512 pathexpand templatefile ",
     "functions that read files are not supported: write the text into the configuration, as a "
     "heredoc for instance"},
    {" bcrypt plantimestamp timestamp uuid ", "functions that give another value in each run are "
                                              "not supported: a plan would never be empty"},
    {" base64gzip base64sha256 base64sha512 chunklist cidrsubnets csvdecode formatdate issensitive "
     "log list map matchkeys md5 parseint pow regex regexall rsadecrypt setproduct sha1 sha256 "
     "sha512 signum strrev templatestring textdecodebase64 textencodebase64 timeadd timecmp "
     "transpose type urlencode uuidv5 yamldecode yamlencode ephemeralasnull ",
     "this function of Terraform is not supported"},
};

const char *function_hint(Arena *arena, Slice name)
{
    const char *spaced = arena_printf(arena, " %.*s ", SLICE_FMT(name));
    for (size_t i = 0; i < ARRAY_LEN(refused_functions); i++) {
        if (strstr(refused_functions[i].names, spaced) != NULL) {
            return refused_functions[i].why;
        }
    }
    VEC(const char *) names = {0};
    for (size_t i = 0; i < ARRAY_LEN(function_tables); i++) {
        for (size_t j = 0; j < function_tables[i]->len; j++) {
            arena_vec_push(arena, &names, function_tables[i]->functions[j].name);
        }
    }
    const char *nearest = tf_nearest(arena_slice_str(arena, name), names.items, names.len);
    return nearest != NULL ? arena_printf(arena, "did you mean %s?", nearest) : NULL;
}

/* ---- for the functions ----------------------------------------------------------------------- */

const TfValue *call_fail(Call *call, size_t arg, const char *format, ...)
{
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    const ExprList *exprs = &call->expr->call.args;
    TfPos pos = arg < exprs->len ? exprs->items[arg]->pos : call->expr->pos;
    return eval_error(call->eval, pos, NULL, "%s: %s", call->function->name, message);
}

bool call_spend(Call *call, size_t steps)
{
    return eval_spend(call->eval, steps);
}

void call_text_init(Buf *text)
{
    buf_init(text, TF_VALUE_BYTES_MAX);
}

const TfValue *call_text(Call *call, Buf *text)
{
    const TfValue *value;
    if (text->overflowed) {
        value = call_fail(call, SIZE_MAX, "a string of more than %zu bytes", TF_VALUE_BYTES_MAX);
    } else if (call_spend(call, text->len / 16)) {
        value = tf_string(call->eval->arena, buf_slice(text));
    } else {
        value = tf_unknown();
    }
    buf_done(text);
    return value;
}

const Slice *call_strings(Call *call, size_t arg, const TfValue *list)
{
    Arena *arena = call->eval->arena;
    size_t len = value_len(list);
    Slice *strings = ARENA_ARRAY(arena, Slice, len);
    for (size_t i = 0; i < len; i++) {
        const TfValue *item = value_at(list, i);
        const TfValue *string = value_to_string(arena, item);
        if (string == NULL) {
            (void)call_fail(call, arg, "element %zu must be a string, not %s", i,
                            value_excerpt(arena, item));
            return NULL;
        }
        strings[i] = string->string;
    }
    return strings;
}

/* ---- parameters ----------------------------------------------------------------------------- */

typedef struct Arity {
    size_t least;
    size_t most; /* SIZE_MAX: any number */
} Arity;

static Arity function_arity(const Function *function)
{
    Arity arity = {0};
    bool optional = false;
    for (const char *p = function->params; *p != '\0'; p++) {
        if (*p == '?') {
            arity.least -= !optional;
            optional = true;
        } else if (*p == '*' || *p == '+') {
            arity.least -= *p == '*';
            arity.most = SIZE_MAX;
        } else {
            arity.least += !optional;
            arity.most++;
        }
    }
    return arity;
}

/* The letter of the i-th argument; the last one repeats. */
static char function_param(const Function *function, size_t i)
{
    char letter = '\0';
    for (const char *p = function->params; *p != '\0'; p++) {
        if (*p == '?' || *p == '*' || *p == '+') {
            continue;
        }
        letter = *p;
        if (i-- == 0) {
            break;
        }
    }
    return letter;
}

static bool call_check_arity(Call *call)
{
    Arity arity = function_arity(call->function);
    if (call->len >= arity.least && call->len <= arity.most) {
        return true;
    }
    const char *limit = call->len < arity.least ? "at least" : "at most";
    size_t count = call->len < arity.least ? arity.least : arity.most;
    if (arity.least == arity.most) {
        limit = "exactly";
    }
    (void)eval_error(call->eval, call->expr->pos, NULL, "%s takes %s %zu argument%s, not %zu",
                     call->function->name, limit, count, count == 1 ? "" : "s", call->len);
    return false;
}

/* NULL when the value cannot be what the letter says. */
static const TfValue *convert_argument(Arena *arena, const TfValue *value, char letter)
{
    switch (letter) {
    case 's':
        return value_to_string(arena, value);
    case 'n':
        return value_to_number(arena, value);
    case 'i': {
        const TfValue *number = value_to_number(arena, value);
        return number != NULL && number->number.exact ? number : NULL;
    }
    case 'b':
        return value_to_bool(value);
    case 'l':
        return value->kind == TF_LIST || value->kind == TF_SET ? value : NULL;
    case 'm':
        return value->kind == TF_OBJECT ? value : NULL;
    default:
        return value;
    }
}

static const char *letter_name(char letter)
{
    return letter == 's'   ? "a string"
           : letter == 'n' ? "a number"
           : letter == 'i' ? "a whole number"
           : letter == 'b' ? "true or false"
           : letter == 'l' ? "a list or set"
           : letter == 'm' ? "a map or object"
                           : "a value";
}

static bool call_convert(Call *call, size_t i)
{
    Arena *arena = call->eval->arena;
    char letter = function_param(call->function, i);
    const TfValue *value = call->args[i];
    if (value->kind == TF_UNKNOWN || letter == 'V') {
        return true;
    }
    const TfValue *converted =
        value->kind == TF_NULL ? NULL : convert_argument(arena, value, letter);
    if (converted == NULL) {
        (void)call_fail(call, i, "argument %zu must be %s, not %s", i + 1, letter_name(letter),
                        value_excerpt(arena, value));
        return false;
    }
    call->args[i] = converted;
    return true;
}

/* ---- calling -------------------------------------------------------------------------------- */

typedef VEC(const TfValue *) ValueList;

/* The last argument with "...": its elements are arguments. */
static bool call_expand(Eval *eval, const Expr *expr, ValueList *args)
{
    const TfValue *list = args->items[--args->len];
    const Expr *last = expr->call.args.items[expr->call.args.len - 1];
    if (list->kind != TF_LIST && list->kind != TF_SET) {
        if (list->kind != TF_UNKNOWN) {
            (void)eval_error(eval, last->pos, NULL, "what stands before ... must be a list, not %s",
                             value_excerpt(eval->arena, list));
        }
        return false;
    }
    for (size_t i = 0; i < value_len(list); i++) {
        const TfValue *item = tf_mark(eval->arena, value_at(list, i), list->sensitive);
        arena_vec_push(eval->arena, args, item);
    }
    return true;
}

/* What looking at an argument once may take. */
static size_t value_work(const TfValue *value)
{
    return value_is_collection(value) ? value_len(value)
           : value->kind == TF_STRING ? value->string.len / 16
                                      : 0;
}

static const TfValue *call_run(Call *call)
{
    unsigned flags = call->function->flags;
    bool sensitive = false;
    bool unknown = false;
    bool ok = call_check_arity(call);
    for (size_t i = 0; ok && i < call->len; i++) {
        const TfValue *arg = call->args[i];
        sensitive |= (flags & FN_PARTS) != 0 ? arg->sensitive : arg->holds_sensitive;
        unknown |= arg->kind == TF_UNKNOWN ? (flags & FN_UNKNOWN) == 0
                                           : arg->holds_unknown && (flags & FN_PARTS) == 0;
        ok = call_convert(call, i) && call_spend(call, value_work(arg));
    }
    if (!ok) {
        return tf_unknown();
    }
    if (unknown) {
        return value_unknown(sensitive);
    }
    const TfValue *value = call->function->run(call);
    return tf_mark(call->eval->arena, value, sensitive && (flags & FN_MARKS) == 0);
}

const TfValue *eval_call(Eval *eval, const Expr *expr)
{
    Call call = {.eval = eval, .expr = expr, .function = expr->call.function};
    if (call.function == NULL) {
        return tf_unknown();
    }
    if ((call.function->flags & FN_LAZY) != 0) {
        call.len = expr->call.args.len;
        return call_check_arity(&call) ? call.function->run(&call) : tf_unknown();
    }
    ValueList args = {0};
    for (size_t i = 0; i < expr->call.args.len; i++) {
        const TfValue *arg = eval_expr(eval, expr->call.args.items[i]);
        arena_vec_push(eval->arena, &args, arg);
    }
    if (expr->call.expand && !call_expand(eval, expr, &args)) {
        return tf_unknown();
    }
    call.args = args.items;
    call.len = args.len;
    return call_run(&call);
}
