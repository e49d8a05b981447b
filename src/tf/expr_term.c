/*
 * Terms of expressions: names, calls, numbers, parentheses, lists, objects and for; templates are
 * template.c's. Each takes its closing bracket, and what follows it is read by the outer rule.
 */
#include "tf/ast_priv.h"
#include "tf/value_priv.h"

/* ---- small parts ---------------------------------------------------------------------------- */

static Expr *expr_literal(Parser *parser, TfPos pos, const TfValue *value)
{
    Expr *expr = expr_new(parser, EXPR_LITERAL, pos);
    expr->literal = value;
    return expr;
}

static bool parser_is_name(const Parser *parser, const char *name)
{
    return parser->token.kind == TOKEN_IDENT && slice_is(parser->token.text, name);
}

bool parser_take(Parser *parser, TokenKind kind, const char *what)
{
    if (parser->token.kind != kind) {
        return parser_expected(parser, what, NULL);
    }
    parser_advance(parser);
    return true;
}

bool parser_close(Parser *parser, TokenKind kind, const char *what, bool skip_newlines)
{
    if (parser->token.kind != kind) {
        return parser_expected(parser, what, NULL);
    }
    parser->skip_newlines = skip_newlines;
    parser_advance(parser);
    return true;
}

bool parser_number(Parser *parser, Expr **ret_expr)
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

/* ---- names and calls ------------------------------------------------------------------------ */

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

/* ---- for ------------------------------------------------------------------------------------ */

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

bool parser_term(Parser *parser, Expr **ret_expr)
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
