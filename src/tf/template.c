/*
 * Templates: quoted strings, heredocs, and strings of the JSON syntax. The text is cut into a flat
 * list of pieces (template_cut.c), which becomes a tree here.
 */
#include "tf/template_priv.h"

/* ---- the tree ------------------------------------------------------------------------------- */

static bool template_parts(Template *template, size_t *at, Expr **ret_expr);

/* Takes the directive that ends a part; false with a report when another stands there. */
static bool template_take(Template *template, size_t *at, PieceKind kind, TfPos open,
                          const char *open_name, const char *end_name)
{
    if (*at < template->pieces.len && template->pieces.items[*at].kind == kind) {
        (*at)++;
        return true;
    }
    return parser_fail(template->parser, open,
                       arena_printf(template->parser->arena, "end it with %%{ %s }", end_name),
                       "this %%{ %s } has no end", open_name);
}

static bool template_if(Template *template, size_t *at, Expr **ret_expr)
{
    const Piece *open = &template->pieces.items[(*at)++];
    Expr *expr = expr_new(template->parser, EXPR_TEMPLATE_IF, open->pos);
    expr->choice.condition = open->expr;
    TRY(template_parts(template, at, &expr->choice.yes));
    if (*at < template->pieces.len && template->pieces.items[*at].kind == PIECE_ELSE) {
        (*at)++;
        TRY(template_parts(template, at, &expr->choice.no));
    }
    TRY(template_take(template, at, PIECE_ENDIF, open->pos, "if", "endif"));
    expr_child(expr, expr->choice.condition);
    expr_child(expr, expr->choice.yes);
    expr_child(expr, expr->choice.no);
    *ret_expr = expr;
    return true;
}

static bool template_for(Template *template, size_t *at, Expr **ret_expr)
{
    const Piece *open = &template->pieces.items[(*at)++];
    Expr *expr = open->expr;
    TRY(template_parts(template, at, &expr->loop.value));
    TRY(template_take(template, at, PIECE_ENDFOR, open->pos, "for", "endfor"));
    expr_child(expr, expr->loop.value);
    *ret_expr = expr;
    return true;
}

/* All literals from here on that follow each other, as one. */
static Expr *template_literals(Template *template, size_t *at)
{
    Parser *parser = template->parser;
    Expr *expr = expr_new(parser, EXPR_LITERAL, template->pieces.items[*at].pos);
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TF_SOURCE_MAX);
    for (; *at < template->pieces.len; (*at)++) {
        const Piece *piece = &template->pieces.items[*at];
        if (piece->kind != PIECE_LITERAL) {
            break;
        }
        buf_append_slice(&text, piece->literal);
    }
    expr->literal = tf_string(parser->arena, buf_slice(&text));
    return expr;
}

static bool template_part(Template *template, size_t *at, Expr **ret_expr)
{
    const Piece *piece = &template->pieces.items[*at];
    switch (piece->kind) {
    case PIECE_LITERAL:
        *ret_expr = template_literals(template, at);
        return true;
    case PIECE_IF:
        return template_if(template, at, ret_expr);
    case PIECE_FOR:
        return template_for(template, at, ret_expr);
    case PIECE_VALUE:
    case PIECE_ELSE:
    case PIECE_ENDIF:
    case PIECE_ENDFOR:
        break;
    }
    (*at)++;
    *ret_expr = piece->expr;
    return true;
}

/* Everything up to an else, endif or endfor, or to the end. */
static bool template_parts(Template *template, size_t *at, Expr **ret_expr)
{
    Parser *parser = template->parser;
    Expr *expr = expr_new(parser, EXPR_TEMPLATE, template->pos);
    TRY(parser_enter(parser));
    while (*at < template->pieces.len) {
        PieceKind kind = template->pieces.items[*at].kind;
        if (kind == PIECE_ELSE || kind == PIECE_ENDIF || kind == PIECE_ENDFOR) {
            break;
        }
        Expr *part;
        TRY(template_part(template, at, &part));
        arena_vec_push(parser->arena, &expr->sequence.parts, part);
        expr_child(expr, part);
    }
    parser_leave(parser);
    *ret_expr = expr;
    return expr_depth_ok(parser, expr);
}

/* A template that is one literal is that literal. */
static Expr *template_simplify(Template *template, Expr *expr)
{
    ExprList *parts = &expr->sequence.parts;
    if (parts->len == 0) {
        expr->kind = EXPR_LITERAL;
        expr->literal = tf_string(template->parser->arena, SLICE(""));
        return expr;
    }
    if (parts->len == 1 && parts->items[0]->kind == EXPR_LITERAL &&
        template->pieces.items[0].kind == PIECE_LITERAL) {
        parts->items[0]->pos = expr->pos;
        return parts->items[0];
    }
    expr->sequence.unwrap = parts->len == 1 && template->pieces.items[0].kind == PIECE_VALUE;
    return expr;
}

static bool template_read(Template *template, bool indented, Expr **ret_expr)
{
    TRY(template_pieces(template, indented));
    size_t at = 0;
    Expr *expr;
    TRY(template_parts(template, &at, &expr));
    if (at < template->pieces.len) {
        return parser_fail(template->parser, template->pieces.items[at].pos, NULL,
                           "this directive ends nothing");
    }
    *ret_expr = template_simplify(template, expr);
    return true;
}

/* ---- entry points --------------------------------------------------------------------------- */

bool parser_template(Parser *parser, Expr **ret_expr)
{
    bool outer = parser->skip_newlines;
    Token open = parser->token;
    Template template = {.parser = parser,
                         .end = open.kind == TOKEN_QUOTE ? END_QUOTE : END_HEREDOC,
                         .marker = open.text,
                         .pos = open.pos,
                         .line_start = true};
    bool in_quote = parser->in_quote;
    if (open.kind == TOKEN_QUOTE && !in_quote) {
        parser->in_quote = true;
        parser->quote_brackets = parser->brackets;
    }
    TRY(template_read(&template, open.kind == TOKEN_HEREDOC_INDENTED, ret_expr));
    parser->in_quote = in_quote;
    parser->skip_newlines = outer;
    parser->token = open;
    parser_advance(parser);
    return true;
}

bool parser_plain_string(Parser *parser, Slice *ret_text)
{
    TfPos pos = parser->token.pos;
    Expr *expr;
    TRY(parser_template(parser, &expr));
    if (!expr_is_string(expr, ret_text)) {
        return parser_fail(parser, pos, NULL, "a plain string without ${ } is expected here");
    }
    return true;
}

Expr *parse_template(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file, Slice text,
                     TfPos fixed_pos)
{
    Parser parser;
    parser_init(&parser, arena, diagnostics, file);
    parser.lexer =
        (Lexer){.text = text, .file = file, .fixed = true, .fixed_offset = fixed_pos.offset};
    Template template = {.parser = &parser, .end = END_TEXT, .pos = fixed_pos, .line_start = true};
    Expr *expr;
    if (template_read(&template, false, &expr)) {
        return expr;
    }
    return expr_new(&parser, EXPR_ERROR, fixed_pos);
}
