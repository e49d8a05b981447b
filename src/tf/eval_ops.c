/*
 * Operators and conditionals.
 */
#include "tf/eval_priv.h"

static const char *op_text(Op op)
{
    static const char *const texts[] = {
        [OP_OR] = "||", [OP_AND] = "&&", [OP_EQ] = "==", [OP_NE] = "!=", [OP_LT] = "<",
        [OP_LE] = "<=", [OP_GT] = ">",   [OP_GE] = ">=", [OP_ADD] = "+", [OP_SUB] = "-",
        [OP_MUL] = "*", [OP_DIV] = "/",  [OP_MOD] = "%", [OP_NEG] = "-", [OP_NOT] = "!",
    };
    return texts[op];
}

/* ---- conditions ----------------------------------------------------------------------------- */

/* NULL after a report. */
static const TfValue *operand_bool(Eval *eval, const Expr *expr, const TfValue *value,
                                   const char *what)
{
    const TfValue *boolean = value_to_bool(value);
    if (boolean == NULL) {
        (void)eval_error(eval, expr->pos, NULL, "%s must be true or false, not %s", what,
                         value_excerpt(eval->arena, value));
    }
    return boolean;
}

bool eval_condition(Eval *eval, const Expr *expr, bool *ret_condition, bool *ret_unknown,
                    bool *ret_sensitive)
{
    const TfValue *value = eval_expr(eval, expr);
    *ret_sensitive = value->sensitive;
    *ret_unknown = value->kind == TF_UNKNOWN;
    if (*ret_unknown) {
        *ret_condition = false;
        return true;
    }
    const TfValue *boolean = operand_bool(eval, expr, value, "a condition");
    TRY(boolean != NULL);
    *ret_condition = boolean->boolean;
    return true;
}

typedef enum Shape { SHAPE_OPEN, SHAPE_PRIMITIVE, SHAPE_LIST, SHAPE_OBJECT } Shape;

static Shape value_shape(const TfValue *value)
{
    if (value->kind == TF_NULL || value->kind == TF_UNKNOWN) {
        return SHAPE_OPEN;
    }
    if (value->kind == TF_OBJECT) {
        return SHAPE_OBJECT;
    }
    return value_is_primitive(value) ? SHAPE_PRIMITIVE : SHAPE_LIST;
}

/* Both results must be of one type, as Terraform has it: of a number and a string both are strings.
 */
static const TfValue *choice_unify(Eval *eval, const Expr *expr, const TfValue *chosen,
                                   const TfValue *other)
{
    Shape shape = value_shape(chosen);
    Shape other_shape = value_shape(other);
    if (shape == SHAPE_OPEN || other_shape == SHAPE_OPEN) {
        return chosen;
    }
    if (shape == other_shape && (shape != SHAPE_PRIMITIVE || chosen->kind == other->kind)) {
        return chosen;
    }
    if (shape == other_shape && (chosen->kind == TF_STRING || other->kind == TF_STRING)) {
        return value_to_string(eval->arena, chosen);
    }
    return eval_error(eval, expr->pos, NULL,
                      "both results of a conditional must be of one type, not %s and %s",
                      value_kind_name(chosen), value_kind_name(other));
}

const TfValue *eval_conditional(Eval *eval, const Expr *expr)
{
    bool condition;
    bool unknown;
    bool sensitive;
    if (!eval_condition(eval, expr->choice.condition, &condition, &unknown, &sensitive)) {
        return tf_unknown();
    }
    bool failed;
    if (unknown) {
        const TfValue *yes = eval_quietly(eval, expr->choice.yes, &failed);
        const TfValue *no = eval_quietly(eval, expr->choice.no, &failed);
        return value_unknown(sensitive || yes->sensitive || no->sensitive);
    }
    const Expr *chosen = condition ? expr->choice.yes : expr->choice.no;
    const Expr *other = condition ? expr->choice.no : expr->choice.yes;
    const TfValue *value = eval_expr(eval, chosen);
    const TfValue *unchosen = eval_quietly(eval, other, &failed);
    if (!failed) {
        value = choice_unify(eval, expr, value, unchosen);
    }
    return tf_mark(eval->arena, value, sensitive);
}

/* ---- logic ---------------------------------------------------------------------------------- */

/* The right side is not looked at when the left one decides. */
static const TfValue *eval_logic(Eval *eval, const Expr *expr)
{
    Op op = expr->binary.op;
    const TfValue *left = eval_expr(eval, expr->binary.left);
    bool decides = op == OP_OR;
    if (left->kind != TF_UNKNOWN) {
        const TfValue *boolean = operand_bool(eval, expr->binary.left, left, op_text(op));
        if (boolean == NULL) {
            return tf_unknown();
        }
        if (boolean->boolean == decides) {
            return tf_mark(eval->arena, boolean, left->sensitive);
        }
    }
    const TfValue *right = eval_expr(eval, expr->binary.right);
    bool sensitive = left->sensitive || right->sensitive;
    if (right->kind != TF_UNKNOWN) {
        const TfValue *boolean = operand_bool(eval, expr->binary.right, right, op_text(op));
        if (boolean == NULL) {
            return tf_unknown();
        }
        if (boolean->boolean == decides || left->kind != TF_UNKNOWN) {
            return tf_mark(eval->arena, boolean, sensitive);
        }
    }
    return value_unknown(sensitive);
}

/* ---- arithmetic ------------------------------------------------------------------------------ */

static const TfValue *operand_number(Eval *eval, const Expr *expr, const TfValue *value, Op op)
{
    const TfValue *number = value_to_number(eval->arena, value);
    if (number == NULL) {
        const char *hint = op == OP_ADD && value->kind == TF_STRING
                               ? "strings are joined by \"${a}${b}\", lists by concat(a, b)"
                               : NULL;
        (void)eval_error(eval, expr->pos, hint, "%s takes numbers, not %s", op_text(op),
                         value_excerpt(eval->arena, value));
    }
    return number;
}

static const TfValue *eval_arithmetic(Eval *eval, const Expr *expr, TfNumber a, TfNumber b)
{
    static bool (*const operations[])(TfNumber, TfNumber, TfNumber *) = {
        [OP_ADD] = number_add,    [OP_SUB] = number_subtract, [OP_MUL] = number_multiply,
        [OP_DIV] = number_divide, [OP_MOD] = number_modulo,
    };
    Op op = expr->binary.op;
    TfNumber result;
    if (operations[op](a, b, &result)) {
        return value_number(eval->arena, result);
    }
    return eval_error(eval, expr->pos, NULL,
                      b.real == 0 ? "division by zero" : "the result is too large for a number");
}

static const TfValue *compare_result(Op op, int order)
{
    return tf_bool(op == OP_LT   ? order < 0
                   : op == OP_LE ? order <= 0
                   : op == OP_GT ? order > 0
                                 : order >= 0);
}

static const TfValue *eval_numbers(Eval *eval, const Expr *expr, const TfValue *left,
                                   const TfValue *right)
{
    Op op = expr->binary.op;
    const TfValue *a = left;
    const TfValue *b = right;
    if (left->kind != TF_UNKNOWN) {
        a = operand_number(eval, expr->binary.left, left, op);
    }
    if (right->kind != TF_UNKNOWN) {
        b = operand_number(eval, expr->binary.right, right, op);
    }
    if (a == NULL || b == NULL || a->kind == TF_UNKNOWN || b->kind == TF_UNKNOWN) {
        return tf_unknown();
    }
    if (op >= OP_LT && op <= OP_GE) {
        return compare_result(op, number_compare(a->number, b->number));
    }
    return eval_arithmetic(eval, expr, a->number, b->number);
}

/* Unknown unless what is known differs already. */
static const TfValue *eval_equality(Op op, const TfValue *left, const TfValue *right)
{
    if (left->holds_unknown || right->holds_unknown) {
        return tf_unknown();
    }
    return tf_bool(tf_equal(left, right) == (op == OP_EQ));
}

static const TfValue *eval_binary(Eval *eval, const Expr *expr)
{
    Op op = expr->binary.op;
    if (op == OP_AND || op == OP_OR) {
        return eval_logic(eval, expr);
    }
    const TfValue *left = eval_expr(eval, expr->binary.left);
    const TfValue *right = eval_expr(eval, expr->binary.right);
    if (op == OP_EQ || op == OP_NE) {
        return tf_mark(eval->arena, eval_equality(op, left, right),
                       left->holds_sensitive || right->holds_sensitive);
    }
    return tf_mark(eval->arena, eval_numbers(eval, expr, left, right),
                   left->sensitive || right->sensitive);
}

static const TfValue *eval_unary(Eval *eval, const Expr *expr)
{
    const Expr *inner = expr->binary.left;
    const TfValue *value = eval_expr(eval, inner);
    if (value->kind == TF_UNKNOWN) {
        return value;
    }
    const TfValue *result;
    if (expr->binary.op == OP_NOT) {
        const TfValue *boolean = operand_bool(eval, inner, value, "what ! negates");
        result = boolean != NULL ? tf_bool(!boolean->boolean) : tf_unknown();
    } else {
        const TfValue *number = operand_number(eval, inner, value, OP_NEG);
        TfNumber negated;
        if (number == NULL || !number_subtract(number_of_int(0), number->number, &negated)) {
            return tf_unknown();
        }
        result = value_number(eval->arena, negated);
    }
    return tf_mark(eval->arena, result, value->sensitive);
}

const TfValue *eval_operator(Eval *eval, const Expr *expr)
{
    return expr->kind == EXPR_UNARY ? eval_unary(eval, expr) : eval_binary(eval, expr);
}
