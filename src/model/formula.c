/*
 * Formulas of parameter values, as RDS writes them ("Specifying DB parameters" of its user guide):
 *
 *     value   = integer | '{' sum '}' | function '(' value { ',' value } ')'
 *     sum     = product { ('+' | '-') product }
 *     product = factor { ('*' | '/') factor }
 *     factor  = number | variable | 'log' '(' sum ')' | '(' sum ')' | '-' factor
 *
 * One pass over the text evaluates it; the depth of nesting is bounded.
 */
#include <ctype.h>
#include <inttypes.h>
#include <math.h>

#include "model/model.h"

#define FORMULA_LEN_MAX   256
#define FORMULA_DEPTH_MAX 16
#define FORMULA_VALUE_MAX 9.0e15 /* below this every integer is a double */

typedef struct Parser {
    Slice text;
    size_t at;
    int depth;
    const FormulaFacts *facts;
    const char *fault; /* the first one; NULL: none */
} Parser;

static double fail(Parser *parser, const char *fault)
{
    if (parser->fault == NULL) {
        parser->fault = fault;
    }
    return 0;
}

static char peek(Parser *parser)
{
    while (parser->at < parser->text.len && parser->text.data[parser->at] == ' ') {
        parser->at++;
    }
    return parser->at < parser->text.len ? parser->text.data[parser->at] : '\0';
}

static bool accept(Parser *parser, char c)
{
    if (parser->fault != NULL || peek(parser) != c) {
        return false;
    }
    parser->at++;
    return true;
}

static void expect(Parser *parser, char c, const char *fault)
{
    if (!accept(parser, c)) {
        fail(parser, fault);
    }
}

/* The letters at this place. */
static Slice word(Parser *parser)
{
    peek(parser);
    size_t from = parser->at;
    while (parser->at < parser->text.len && isalpha((unsigned char)parser->text.data[parser->at])) {
        parser->at++;
    }
    return slice_from(parser->text.data + from, parser->at - from);
}

static double number(Parser *parser)
{
    peek(parser);
    double value = 0;
    size_t from = parser->at;
    while (parser->at < parser->text.len && isdigit((unsigned char)parser->text.data[parser->at])) {
        value = value * 10 + (parser->text.data[parser->at++] - '0');
    }
    if (parser->at == from) {
        return fail(parser, "a number is expected");
    }
    return value <= FORMULA_VALUE_MAX ? value : fail(parser, "a number is too large");
}

static bool enter(Parser *parser)
{
    if (++parser->depth > FORMULA_DEPTH_MAX) {
        fail(parser, "it is nested too deeply");
    }
    return parser->fault == NULL;
}

/* ---- inside braces: real numbers ----------------------------------------------------------------
 */

static double sum(Parser *parser);

static double variable(Parser *parser, Slice name)
{
    const FormulaFacts *facts = parser->facts;
    if (slice_is(name, "DBInstanceClassMemory")) {
        return (double)facts->memory_bytes;
    }
    if (slice_is(name, "DBInstanceVCPU")) {
        return facts->vcpus;
    }
    if (slice_is(name, "AllocatedStorage")) {
        return (double)facts->storage_bytes;
    }
    if (slice_is(name, "EndPointPort")) {
        return facts->port;
    }
    return fail(parser, "the variables are DBInstanceClassMemory, DBInstanceVCPU, "
                        "AllocatedStorage and EndPointPort");
}

static double parenthesis(Parser *parser)
{
    expect(parser, '(', "a ( is missing");
    double value = sum(parser);
    expect(parser, ')', "a ) is missing");
    return value;
}

static double logarithm(Parser *parser)
{
    double value = parenthesis(parser);
    return parser->fault == NULL && value > 0 ? log2(value)
                                              : fail(parser, "log() needs a positive number");
}

static double factor(Parser *parser)
{
    double value = 0;
    if (enter(parser)) {
        char next = peek(parser);
        if (next == '(') {
            value = parenthesis(parser);
        } else if (accept(parser, '-')) {
            value = -factor(parser);
        } else if (isalpha((unsigned char)next)) {
            Slice name = word(parser);
            value = slice_is(name, "log") ? logarithm(parser) : variable(parser, name);
        } else {
            value = number(parser);
        }
    }
    parser->depth--;
    return value;
}

static double product(Parser *parser)
{
    double value = factor(parser);
    for (;;) {
        if (accept(parser, '*')) {
            value *= factor(parser);
        } else if (accept(parser, '/')) {
            double divisor = factor(parser);
            value = divisor != 0 ? value / divisor : fail(parser, "it divides by zero");
        } else {
            return value;
        }
    }
}

static double sum(Parser *parser)
{
    double value = product(parser);
    for (;;) {
        if (accept(parser, '+')) {
            value += product(parser);
        } else if (accept(parser, '-')) {
            value -= product(parser);
        } else {
            return value;
        }
    }
}

/* ---- outside: integers and functions ------------------------------------------------------------
 */

typedef enum Function { FUNCTION_LEAST, FUNCTION_GREATEST, FUNCTION_SUM } Function;

static bool function_find(Slice name, Function *ret_function)
{
    static const char *const names[] = {"LEAST", "GREATEST", "SUM"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_is_nocase(name, names[i])) {
            *ret_function = (Function)i;
            return true;
        }
    }
    return false;
}

static double function_apply(Function function, double a, double b)
{
    switch (function) {
    case FUNCTION_LEAST:
        return a < b ? a : b;
    case FUNCTION_GREATEST:
        return a > b ? a : b;
    case FUNCTION_SUM:
        return a + b;
    default:
        UNREACHABLE();
    }
}

static double value(Parser *parser);

static double call(Parser *parser)
{
    Function function;
    if (!function_find(word(parser), &function)) {
        return fail(parser, "the functions are LEAST, GREATEST and SUM");
    }
    expect(parser, '(', "a ( is missing");
    double result = value(parser);
    while (accept(parser, ',')) {
        result = function_apply(function, result, value(parser));
    }
    expect(parser, ')', "a ) is missing");
    return result;
}

/* AWS's own lists write ${…} in places. */
static double braces(Parser *parser)
{
    accept(parser, '$');
    expect(parser, '{', "a { is missing");
    double result = trunc(sum(parser));
    expect(parser, '}', "a } is missing");
    return result;
}

static double value(Parser *parser)
{
    double result = 0;
    if (enter(parser)) {
        char next = peek(parser);
        if (next == '{' || next == '$') {
            result = braces(parser);
        } else if (isalpha((unsigned char)next)) {
            result = call(parser);
        } else {
            double sign = accept(parser, '-') ? -1 : 1;
            result = sign * number(parser);
        }
    }
    parser->depth--;
    return result;
}

bool formula_is(Slice text)
{
    Function function;
    Slice rest = slice_trim(text);
    if (memchr(rest.data != NULL ? rest.data : "", '{', rest.len) != NULL) {
        return true;
    }
    return function_find(slice_trim(slice_cut(&rest, '(')), &function) && rest.data != NULL;
}

bool formula_eval(Slice text, const FormulaFacts *facts, int64_t *ret_value, Err *err)
{
    Parser parser = {.text = text, .facts = facts};
    if (text.len > FORMULA_LEN_MAX) {
        return err_set(err, ERR_INVALID, "a formula is longer than %d characters", FORMULA_LEN_MAX);
    }
    double result = value(&parser);
    if (peek(&parser) != '\0') {
        fail(&parser, "there is text behind its end");
    }
    if (!(result >= -FORMULA_VALUE_MAX && result <= FORMULA_VALUE_MAX)) {
        fail(&parser, "its value is too large");
    }
    if (parser.fault != NULL || parser.at < text.len) {
        return err_set(err, ERR_INVALID, "the formula %.*s cannot be read: %s", SLICE_FMT(text),
                       parser.fault != NULL ? parser.fault : "there is text behind its end");
    }
    *ret_value = (int64_t)result;
    return true;
}
