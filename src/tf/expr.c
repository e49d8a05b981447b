/*
 * Expressions of the native syntax, by recursive descent; the grammar is that of the HCL native
 * syntax specification (hashicorp/hcl, hclsyntax/spec.md). Each nesting construct enters a level,
 * and each chain of operators or steps is checked for its depth, so that trees stay shallow enough
 * to be walked by recursion. What they are made of is expr_term.c's.
 */
#include "tf/ast_priv.h"
#include "tf/value_priv.h"

/* ---- nodes ---------------------------------------------------------------------------------- */

Expr *expr_new(Parser *parser, ExprKind kind, TfPos pos)
{
    Expr *expr = ARENA_NEW(parser->arena, Expr);
    expr->kind = kind;
    expr->pos = pos;
    expr->depth = 1;
    return expr;
}

void expr_child(Expr *expr, const Expr *child)
{
    if (child != NULL && child->depth >= expr->depth) {
        expr->depth = child->depth + 1;
    }
}

bool expr_depth_ok(Parser *parser, const Expr *expr)
{
    if (expr->depth > TF_DEPTH_MAX) {
        return parser_fail(parser, expr->pos, "give parts of it names in a locals block",
                           "an expression of more than %d levels", TF_DEPTH_MAX);
    }
    return true;
}

bool expr_is_string(const Expr *expr, Slice *ret_text)
{
    if (expr->kind == EXPR_LITERAL && expr->literal->kind == TF_STRING) {
        *ret_text = expr->literal->string;
        return true;
    }
    return false;
}

/* ---- steps: .name, [key], splats ------------------------------------------------------------ */

static Expr *expr_attr(Parser *parser, Expr *from, Token name)
{
    Expr *expr = expr_new(parser, EXPR_ATTR, name.pos);
    expr->attr.from = from;
    expr->attr.name = name.text;
    expr_child(expr, from);
    return expr;
}

static Expr *expr_index(Parser *parser, Expr *from, Expr *key)
{
    Expr *expr = expr_new(parser, EXPR_INDEX, key->pos);
    expr->index.from = from;
    expr->index.key = key;
    expr_child(expr, from);
    expr_child(expr, key);
    return expr;
}

static Expr *expr_splat(Parser *parser, Expr *from, TfPos pos)
{
    Expr *expr = expr_new(parser, EXPR_SPLAT, pos);
    expr->splat.from = from;
    expr->splat.each = expr_new(parser, EXPR_ITEM, pos);
    expr_child(expr, from);
    return expr;
}

static bool parser_steps(Parser *parser, Expr *from, bool names_only, Expr **ret_expr);

/* Behind `.*` or `[*]`: what follows applies to each element; after `.*` only names do. */
static bool parser_splat(Parser *parser, Expr *from, bool names_only, Expr **ret_expr)
{
    Expr *splat = expr_splat(parser, from, parser->token.pos);
    TRY(parser_enter(parser));
    TRY(parser_steps(parser, splat->splat.each, names_only, &splat->splat.each));
    parser_leave(parser);
    expr_child(splat, splat->splat.each);
    *ret_expr = splat;
    return true;
}

/* At the token behind the dot. */
static bool parser_dot(Parser *parser, Expr *from, Expr **ret_expr)
{
    Token step = parser->token;
    if (step.kind == TOKEN_IDENT) {
        parser_advance(parser);
        *ret_expr = expr_attr(parser, from, step);
        return true;
    }
    if (step.kind == TOKEN_NUMBER) {
        Expr *key;
        TRY(parser_number(parser, &key));
        *ret_expr = expr_index(parser, from, key);
        return true;
    }
    if (step.kind == TOKEN_STAR) {
        parser_advance(parser);
        return parser_splat(parser, from, true, ret_expr);
    }
    return parser_expected(parser, "the name of an attribute", NULL);
}

/* At "[". */
static bool parser_brackets(Parser *parser, Expr *from, Expr **ret_expr)
{
    bool outer = parser->skip_newlines;
    parser->skip_newlines = true;
    parser_advance(parser);
    if (parser->token.kind == TOKEN_STAR) {
        parser_advance(parser);
        TRY(parser_close(parser, TOKEN_RBRACKET, "\"]\"", outer));
        return parser_splat(parser, from, false, ret_expr);
    }
    Expr *key;
    TRY(parser_expr(parser, &key));
    *ret_expr = expr_index(parser, from, key);
    return parser_close(parser, TOKEN_RBRACKET, "\"]\"", outer);
}

static bool parser_steps(Parser *parser, Expr *from, bool names_only, Expr **ret_expr)
{
    for (;;) {
        TRY(expr_depth_ok(parser, from));
        if (parser->token.kind == TOKEN_DOT) {
            parser_advance(parser);
            TRY(parser_dot(parser, from, &from));
        } else if (parser->token.kind == TOKEN_LBRACKET && !names_only) {
            TRY(parser_brackets(parser, from, &from));
        } else {
            *ret_expr = from;
            return true;
        }
    }
}

/* ---- operators ------------------------------------------------------------------------------ */

static bool parser_unary(Parser *parser, Expr **ret_expr)
{
    TokenKind kind = parser->token.kind;
    if (kind != TOKEN_MINUS && kind != TOKEN_NOT) {
        Expr *term;
        TRY(parser_term(parser, &term));
        return parser_steps(parser, term, false, ret_expr);
    }
    Expr *expr = expr_new(parser, EXPR_UNARY, parser->token.pos);
    expr->binary.op = kind == TOKEN_MINUS ? OP_NEG : OP_NOT;
    parser_advance(parser);
    TRY(parser_enter(parser));
    TRY(parser_unary(parser, &expr->binary.left));
    parser_leave(parser);
    expr_child(expr, expr->binary.left);
    *ret_expr = expr;
    return true;
}

typedef struct BinaryOp {
    TokenKind token;
    Op op;
    int level; /* higher binds more tightly */
} BinaryOp;

#define BINARY_LEVELS 6

static const BinaryOp binary_ops[] = {
    {TOKEN_OR, OP_OR, 0},       {TOKEN_AND, OP_AND, 1},  {TOKEN_EQ, OP_EQ, 2},
    {TOKEN_NE, OP_NE, 2},       {TOKEN_LT, OP_LT, 3},    {TOKEN_LE, OP_LE, 3},
    {TOKEN_GT, OP_GT, 3},       {TOKEN_GE, OP_GE, 3},    {TOKEN_PLUS, OP_ADD, 4},
    {TOKEN_MINUS, OP_SUB, 4},   {TOKEN_STAR, OP_MUL, 5}, {TOKEN_SLASH, OP_DIV, 5},
    {TOKEN_PERCENT, OP_MOD, 5},
};

static const BinaryOp *binary_op(TokenKind token)
{
    for (size_t i = 0; i < ARRAY_LEN(binary_ops); i++) {
        if (binary_ops[i].token == token) {
            return &binary_ops[i];
        }
    }
    return NULL;
}

/* Operators of at least `level`, left to right; recursion is bounded by the number of levels. */
static bool parser_binary(Parser *parser, int level, Expr **ret_expr)
{
    if (level == BINARY_LEVELS) {
        return parser_unary(parser, ret_expr);
    }
    Expr *left;
    TRY(parser_binary(parser, level + 1, &left));
    for (;;) {
        const BinaryOp *op = binary_op(parser->token.kind);
        if (op == NULL || op->level != level) {
            *ret_expr = left;
            return true;
        }
        Expr *expr = expr_new(parser, EXPR_BINARY, parser->token.pos);
        expr->binary.op = op->op;
        expr->binary.left = left;
        parser_advance(parser);
        TRY(parser_binary(parser, level + 1, &expr->binary.right));
        expr_child(expr, expr->binary.left);
        expr_child(expr, expr->binary.right);
        TRY(expr_depth_ok(parser, expr));
        left = expr;
    }
}

static bool parser_conditional(Parser *parser, Expr **ret_expr)
{
    Expr *condition;
    TRY(parser_binary(parser, 0, &condition));
    if (parser->token.kind != TOKEN_QUESTION) {
        *ret_expr = condition;
        return true;
    }
    Expr *expr = expr_new(parser, EXPR_CONDITIONAL, parser->token.pos);
    expr->choice.condition = condition;
    parser_advance(parser);
    TRY(parser_expr(parser, &expr->choice.yes));
    TRY(parser_take(parser, TOKEN_COLON, "\":\" and the value otherwise"));
    TRY(parser_expr(parser, &expr->choice.no));
    expr_child(expr, condition);
    expr_child(expr, expr->choice.yes);
    expr_child(expr, expr->choice.no);
    *ret_expr = expr;
    return true;
}

bool parser_expr(Parser *parser, Expr **ret_expr)
{
    TRY(parser_enter(parser));
    TRY(parser_conditional(parser, ret_expr));
    parser_leave(parser);
    return expr_depth_ok(parser, *ret_expr);
}

Expr *parse_expression(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file, Slice text,
                       TfPos fixed_pos)
{
    Parser parser;
    parser_init(&parser, arena, diagnostics, file);
    parser.lexer =
        (Lexer){.text = text, .file = file, .fixed = true, .fixed_offset = fixed_pos.offset};
    parser.skip_newlines = true;
    parser_advance(&parser);
    Expr *expr;
    if (parser_expr(&parser, &expr)) {
        if (parser.token.kind == TOKEN_EOF) {
            return expr;
        }
        (void)parser_expected(&parser, "the end of the expression", NULL);
    }
    return expr_new(&parser, EXPR_ERROR, fixed_pos);
}
