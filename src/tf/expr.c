/*
 * Expressions of the native syntax, by recursive descent; the grammar is that of the HCL native
 * syntax specification (hashicorp/hcl, hclsyntax/spec.md). Each nesting construct enters a level,
 * and each chain of operators or steps is checked for its depth, so that trees stay shallow enough
 * to be walked by recursion.
 */
#include "tf/ast_priv.h"
#include "tf/value_priv.h"

/* ---- nodes -------------------------------------------------------------------------------- */

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

static Expr *expr_literal(Parser *parser, TfPos pos, const TfValue *value)
{
    Expr *expr = expr_new(parser, EXPR_LITERAL, pos);
    expr->literal = value;
    return expr;
}

bool expr_is_string(const Expr *expr, Slice *ret_text)
{
    if (expr->kind == EXPR_LITERAL && expr->literal->kind == TF_STRING) {
        *ret_text = expr->literal->string;
        return true;
    }
    return false;
}

/* ---- terms -------------------------------------------------------------------------------- */

static bool parser_is_name(const Parser *parser, const char *name)
{
    return parser->token.kind == TOKEN_IDENT && slice_is(parser->token.text, name);
}

static bool parser_take(Parser *parser, TokenKind kind, const char *what)
{
    if (parser->token.kind != kind) {
        return parser_expected(parser, what, NULL);
    }
    parser_advance(parser);
    return true;
}

/* The closing bracket, which belongs to the inside, with what follows read by the outer rule. */
static bool parser_close(Parser *parser, TokenKind kind, const char *what, bool skip_newlines)
{
    if (parser->token.kind != kind) {
        return parser_expected(parser, what, NULL);
    }
    parser->skip_newlines = skip_newlines;
    parser_advance(parser);
    return true;
}

static bool parser_parens(Parser *parser, Expr **ret_expr)
{
    bool outer = parser->skip_newlines;
    Expr *expr = expr_new(parser, EXPR_PARENS, parser->token.pos);
    parser->skip_newlines = true;
    parser_advance(parser);
    TRY(parser_expr(parser, &expr->inner));
    expr_child(expr, expr->inner);
    TRY(parser_close(parser, TOKEN_RPAREN, "\")\"", outer));
    *ret_expr = expr;
    return true;
}

/* Behind the function's name, at "(". */
static bool parser_call(Parser *parser, Token name, Expr **ret_expr)
{
    bool outer = parser->skip_newlines;
    Expr *expr = expr_new(parser, EXPR_CALL, name.pos);
    expr->call.name = name.text;
    parser->skip_newlines = true;
    parser_advance(parser);
    while (parser->token.kind != TOKEN_RPAREN) {
        Expr *arg;
        TRY(parser_expr(parser, &arg));
        arena_vec_push(parser->arena, &expr->call.args, arg);
        expr_child(expr, arg);
        if (parser->token.kind == TOKEN_ELLIPSIS) {
            expr->call.expand = true;
            parser_advance(parser);
            break;
        }
        if (parser->token.kind != TOKEN_COMMA) {
            break;
        }
        parser_advance(parser);
    }
    TRY(parser_close(parser, TOKEN_RPAREN, "\",\" or \")\"", outer));
    *ret_expr = expr;
    return true;
}

static const TfValue *keyword_value(Slice name)
{
    return slice_is(name, "true")    ? tf_bool(true)
           : slice_is(name, "false") ? tf_bool(false)
           : slice_is(name, "null")  ? tf_null()
                                     : NULL;
}

static bool parser_name(Parser *parser, Expr **ret_expr)
{
    Token name = parser->token;
    parser_advance(parser);
    if (parser->token.kind == TOKEN_DOUBLE_COLON) {
        return parser_fail(parser, name.pos, NULL, "functions of providers are not supported");
    }
    if (parser->token.kind == TOKEN_LPAREN) {
        return parser_call(parser, name, ret_expr);
    }
    const TfValue *value = keyword_value(name.text);
    if (value != NULL) {
        *ret_expr = expr_literal(parser, name.pos, value);
        return true;
    }
    *ret_expr = expr_new(parser, EXPR_NAME, name.pos);
    (*ret_expr)->name = name.text;
    return true;
}

static bool parser_number(Parser *parser, Expr **ret_expr)
{
    Token token = parser->token;
    TfNumber number;
    if (!number_parse(token.text, &number)) {
        return parser_fail(parser, token.pos, NULL, "the number %.*s is too large",
                           SLICE_FMT(token.text));
    }
    *ret_expr = expr_literal(parser, token.pos, value_number(parser->arena, number));
    parser_advance(parser);
    return true;
}

/* ---- for ---------------------------------------------------------------------------------- */

static bool parser_for_name(Parser *parser, Slice *ret_name)
{
    if (parser->token.kind != TOKEN_IDENT) {
        return parser_expected(parser, "a name for the element", "[for v in list : v]");
    }
    *ret_name = parser->token.text;
    parser_advance(parser);
    return true;
}

bool parser_for_head(Parser *parser, Expr *expr)
{
    ForExpr *loop = &expr->loop;
    parser_advance(parser);
    TRY(parser_for_name(parser, &loop->value_name));
    if (parser->token.kind == TOKEN_COMMA) {
        loop->key_name = loop->value_name;
        parser_advance(parser);
        TRY(parser_for_name(parser, &loop->value_name));
    }
    if (!parser_is_name(parser, "in")) {
        return parser_expected(parser, "\"in\"", "[for v in list : v]");
    }
    parser_advance(parser);
    TRY(parser_expr(parser, &loop->source));
    expr_child(expr, loop->source);
    return true;
}

/* Behind the opening bracket, at "for"; up to the closing bracket. */
static bool parser_for(Parser *parser, Expr *expr, bool object)
{
    ForExpr *loop = &expr->loop;
    TRY(parser_for_head(parser, expr));
    TRY(parser_take(parser, TOKEN_COLON, "\":\""));
    TRY(parser_expr(parser, &loop->value));
    if (object) {
        loop->key = loop->value;
        expr_child(expr, loop->key);
        TRY(parser_take(parser, TOKEN_ARROW, "\"=>\""));
        TRY(parser_expr(parser, &loop->value));
        if (parser->token.kind == TOKEN_ELLIPSIS) {
            loop->group = true;
            parser_advance(parser);
        }
    }
    expr_child(expr, loop->value);
    if (parser_is_name(parser, "if")) {
        parser_advance(parser);
        TRY(parser_expr(parser, &loop->condition));
        expr_child(expr, loop->condition);
    }
    return true;
}

/* ---- lists and objects ---------------------------------------------------------------------- */

static bool parser_list(Parser *parser, Expr **ret_expr)
{
    bool outer = parser->skip_newlines;
    Expr *expr = expr_new(parser, EXPR_LIST, parser->token.pos);
    parser->skip_newlines = true;
    parser_advance(parser);
    if (parser_is_name(parser, "for")) {
        expr->kind = EXPR_FOR;
        TRY(parser_for(parser, expr, false));
        *ret_expr = expr;
        return parser_close(parser, TOKEN_RBRACKET, "\"]\"", outer);
    }
    while (parser->token.kind != TOKEN_RBRACKET) {
        Expr *item;
        TRY(parser_expr(parser, &item));
        arena_vec_push(parser->arena, &expr->sequence.parts, item);
        expr_child(expr, item);
        if (parser->token.kind != TOKEN_COMMA) {
            break;
        }
        parser_advance(parser);
    }
    *ret_expr = expr;
    return parser_close(parser, TOKEN_RBRACKET, "\",\" or \"]\"", outer);
}

/* A bare name before = or : is the key itself. */
static bool parser_object_key(Parser *parser, Expr **ret_key)
{
    Token name = parser->token;
    Expr *key;
    TRY(parser_expr(parser, &key));
    if (name.kind == TOKEN_IDENT && key->kind == EXPR_NAME) {
        key = expr_literal(parser, name.pos, tf_string(parser->arena, name.text));
    } else if (name.kind == TOKEN_IDENT && key->kind == EXPR_LITERAL) { /* true, false, null */
        key = expr_literal(parser, name.pos, tf_string(parser->arena, name.text));
    } else if (key->kind == EXPR_ATTR && name.kind == TOKEN_IDENT) {
        return parser_fail(parser, name.pos,
                           "put it in parentheses when its value is the key, in quotes when its "
                           "text is",
                           "a name with dots cannot be a key");
    }
    *ret_key = key;
    return true;
}

static bool parser_object_item(Parser *parser, ObjectItem *item)
{
    TRY(parser_object_key(parser, &item->key));
    if (parser->token.kind != TOKEN_ASSIGN && parser->token.kind != TOKEN_COLON) {
        return parser_expected(parser, "\"=\" or \":\" and the key's value", NULL);
    }
    parser_advance(parser);
    TRY(parser_expr(parser, &item->value));
    TokenKind kind = parser->token.kind;
    if (kind == TOKEN_COMMA || kind == TOKEN_NEWLINE) {
        parser_advance(parser);
        return true;
    }
    return kind == TOKEN_RBRACE ||
           parser_expected(parser, "\",\", the end of the line or \"}\"", NULL);
}

static void parser_skip_newlines(Parser *parser)
{
    while (parser->token.kind == TOKEN_NEWLINE) {
        parser_advance(parser);
    }
}

/* In an object a line end separates, so newlines are tokens, whatever is outside. */
static bool parser_object(Parser *parser, Expr **ret_expr)
{
    bool outer = parser->skip_newlines;
    Expr *expr = expr_new(parser, EXPR_OBJECT, parser->token.pos);
    parser->skip_newlines = false;
    parser_advance(parser);
    parser_skip_newlines(parser);
    if (parser_is_name(parser, "for")) {
        expr->kind = EXPR_FOR;
        parser->skip_newlines = true;
        TRY(parser_for(parser, expr, true));
        *ret_expr = expr;
        return parser_close(parser, TOKEN_RBRACE, "\"}\"", outer);
    }
    VEC(ObjectItem) items = {0};
    while (parser->token.kind != TOKEN_RBRACE) {
        ObjectItem item;
        TRY(parser_object_item(parser, &item));
        arena_vec_push(parser->arena, &items, item);
        expr_child(expr, item.key);
        expr_child(expr, item.value);
        parser_skip_newlines(parser);
    }
    expr->object.items = items.items;
    expr->object.len = items.len;
    *ret_expr = expr;
    return parser_close(parser, TOKEN_RBRACE, "\"}\"", outer);
}

static bool parser_term(Parser *parser, Expr **ret_expr)
{
    static const struct {
        TokenKind kind;
        bool (*parse)(Parser *parser, Expr **ret_expr);
    } terms[] = {
        {TOKEN_IDENT, parser_name},     {TOKEN_NUMBER, parser_number},
        {TOKEN_QUOTE, parser_template}, {TOKEN_HEREDOC, parser_template},
        {TOKEN_LPAREN, parser_parens},  {TOKEN_HEREDOC_INDENTED, parser_template},
        {TOKEN_LBRACKET, parser_list},  {TOKEN_LBRACE, parser_object},
    };
    for (size_t i = 0; i < ARRAY_LEN(terms); i++) {
        if (terms[i].kind == parser->token.kind) {
            return terms[i].parse(parser, ret_expr);
        }
    }
    return parser_expected(
        parser, "a value",
        "a value is \"text\", 60, true, null, [list], {object}, a reference or a "
        "function call");
}

/* ---- steps: .name, [key], splats ------------------------------------------------------------- */

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

/* ---- operators ------------------------------------------------------------------------------- */

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
