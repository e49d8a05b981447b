/*
 * The parser's core and bodies: arguments and blocks. A syntax error ends the item in which it
 * stands; reading goes on behind it, so that one run finds the errors of the whole file.
 */
#include <stdio.h>

#include "tf/ast_priv.h"

/* ---- core --------------------------------------------------------------------------------- */

void parser_open_bracket(Parser *parser, char bracket)
{
    if (parser->brackets < PARSER_OPEN_MAX) {
        parser->open[parser->brackets] = bracket;
    }
    parser->brackets++;
}

/* Closes what was opened last of that kind, and all that was left open in it. */
static void parser_close_bracket(Parser *parser, char bracket)
{
    int at = parser->brackets - 1;
    while (at >= 0 && at < PARSER_OPEN_MAX && parser->open[at] != bracket &&
           (bracket == '{' || parser->open[at] != '{')) {
        at--;
    }
    if (at >= 0 && (at >= PARSER_OPEN_MAX || parser->open[at] == bracket)) {
        parser->brackets = at;
    }
}

static void parser_count_brackets(Parser *parser, TokenKind kind)
{
    if (kind == TOKEN_LBRACE || kind == TOKEN_LBRACKET || kind == TOKEN_LPAREN) {
        parser_open_bracket(parser, parser->token.text.data[0]);
    } else if (kind == TOKEN_RBRACE || kind == TOKEN_RBRACE_TRIM) {
        parser_close_bracket(parser, '{');
    } else if (kind == TOKEN_RBRACKET || kind == TOKEN_RPAREN) {
        parser_close_bracket(parser, kind == TOKEN_RPAREN ? '(' : '[');
    }
}

void parser_advance(Parser *parser)
{
    bool step = parser->token.kind == TOKEN_DOT;
    do {
        parser->token = step ? lexer_next_step(&parser->lexer) : lexer_next(&parser->lexer);
    } while (parser->skip_newlines && parser->token.kind == TOKEN_NEWLINE);
    parser_count_brackets(parser, parser->token.kind);
}

void parser_init(Parser *parser, Arena *arena, TfDiagnostics *diagnostics, const TfFile *file)
{
    *parser = (Parser){
        .arena = arena, .diagnostics = diagnostics, .lexer = {.text = file->text, .file = file}};
    if (slice_starts(file->text, "\xef\xbb\xbf")) {
        parser->lexer.at = 3;
    }
}

/* Messages quote the text; what is quoted of a file of variable values may be a password. */
static bool parser_fail_private(Parser *parser, TfPos pos)
{
    tf_diagnose(parser->diagnostics, TF_ERROR, pos, "this is not how a value is written",
                "a value is \"text\" in double quotes, 60, true, null, [list] or {object}");
    return false;
}

bool parser_fail(Parser *parser, TfPos pos, const char *hint, const char *format, ...)
{
    bool reported = parser->failed || parser->diagnostics == NULL;
    parser->errors++;
    parser->failed = true;
    if (reported) {
        return false;
    }
    if (pos.file->private_values) {
        return parser_fail_private(parser, pos);
    }
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    tf_diagnose(parser->diagnostics, TF_ERROR, pos, message, hint);
    return false;
}

/* What somebody probably wanted who wrote a token that the language does not have. */
static const char *bad_token_hint(Slice text)
{
    static const struct {
        const char *start;
        const char *hint;
    } hints[] = {
        {"/*", "the comment has no end: close it with */"},
        {"'", "strings stand in double quotes: \"text\""},
        {"<<", "a heredoc starts with <<NAME or <<-NAME at the end of a line"},
        {"&", "logical and is &&"},
        {"|", "logical or is ||"},
        {";", "write each argument on a line of its own"},
        {"`", "strings stand in double quotes: \"text\""},
        {"$", "a reference outside of a string is written without ${ }"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hints); i++) {
        if (slice_starts(text, hints[i].start)) {
            return hints[i].hint;
        }
    }
    return NULL;
}

bool parser_expected(Parser *parser, const char *what, const char *hint)
{
    Token token = parser->token;
    if (token.kind == TOKEN_BAD) {
        const char *known = bad_token_hint(token.text);
        hint = known != NULL ? known : hint;
    }
    return parser_fail(parser, token.pos, hint, "%s is expected here, not %s", what,
                       token_describe(parser->arena, token));
}

bool parser_enter(Parser *parser)
{
    if (parser->depth >= TF_DEPTH_MAX) {
        return parser_fail(parser, parser->token.pos, NULL, "more than %d levels of nesting",
                           TF_DEPTH_MAX);
    }
    parser->depth++;
    return true;
}

void parser_leave(Parser *parser)
{
    parser->depth--;
}

const Argument *body_find(const Body *body, Slice name)
{
    for (size_t i = 0; i < body->arguments.len; i++) {
        if (slice_eq(body->arguments.items[i].name, name)) {
            return &body->arguments.items[i];
        }
    }
    return NULL;
}

const Argument *body_argument(const Body *body, const char *name)
{
    return body_find(body, slice_of(name));
}

/* ---- recovery ------------------------------------------------------------------------------ */

/* A quoted string ends with its line: behind one in which something is wrong, reading goes on there
 * as if it had been closed. */
static void parser_leave_quote(Parser *parser)
{
    Lexer *lexer = &parser->lexer;
    if (!parser->in_quote) {
        return;
    }
    while (lexer->at < lexer->text.len && lexer->text.data[lexer->at] != '\n') {
        lexer->at++;
    }
    parser->brackets = parser->quote_brackets;
    parser->in_quote = false;
    parser->token.kind = TOKEN_BAD;
    parser_advance(parser);
}

static bool parser_at_template(const Parser *parser)
{
    return parser->token.kind == TOKEN_QUOTE || parser->token.kind == TOKEN_HEREDOC ||
           parser->token.kind == TOKEN_HEREDOC_INDENTED;
}

/* Whether the item that began with `brackets` open ends here: at a line end, or at the brace that
 * closes its body. */
static bool parser_item_ends(const Parser *parser, int brackets)
{
    TokenKind kind = parser->token.kind;
    return kind == TOKEN_EOF || (kind == TOKEN_RBRACE && parser->brackets < brackets) ||
           (kind == TOKEN_NEWLINE && parser->brackets <= brackets);
}

static void parser_skip_template(Parser *parser)
{
    Expr *ignored;
    bool quoted = parser->token.kind == TOKEN_QUOTE;
    bool ok = parser_template(parser, &ignored);
    parser->skip_newlines = false;
    if (!ok && quoted) {
        parser_leave_quote(parser);
    } else if (!ok) {
        parser_advance(parser);
    }
}

/* NAME = at the start of a line, where a bracket other than { was left open: the next item. */
static bool parser_at_new_item(const Parser *parser)
{
    Slice text = parser->lexer.text;
    Slice after = slice_skip(text, parser->lexer.at);
    bool bracket = parser->brackets > 0 && parser->brackets <= PARSER_OPEN_MAX &&
                   parser->open[parser->brackets - 1] != '{';
    if (!bracket || parser->token.kind != TOKEN_IDENT) {
        return false;
    }
    for (const char *c = parser->token.text.data; c > text.data && c[-1] != '\n'; c--) {
        if (c[-1] != ' ' && c[-1] != '\t') {
            return false;
        }
    }
    after = slice_trim(slice_cut(&after, '\n'));
    return slice_starts(after, "=") && !slice_starts(after, "==");
}

static void parser_recover(Parser *parser, int brackets)
{
    TfDiagnostics *diagnostics = parser->diagnostics;
    parser->diagnostics = NULL;
    parser->skip_newlines = false;
    parser_leave_quote(parser);
    bool new_item = parser_at_new_item(parser);
    if (new_item) {
        parser->brackets = brackets;
    }
    while (!parser_item_ends(parser, brackets) && !new_item) {
        if (parser_at_template(parser)) {
            parser_skip_template(parser);
        } else {
            parser_advance(parser);
        }
    }
    parser->diagnostics = diagnostics;
    parser->failed = false;
}

/* ---- bodies ------------------------------------------------------------------------------- */

static void parser_body(Parser *parser, Body *body, int brackets);

static bool body_room(Parser *parser, const Body *body)
{
    if (body->arguments.len + body->blocks.len >= TF_BODY_ITEMS_MAX) {
        return parser_fail(parser, parser->token.pos, NULL,
                           "more than %d arguments and blocks in one body", TF_BODY_ITEMS_MAX);
    }
    return true;
}

/* The line ends, or the body does, on one line with its block. */
static bool parser_item_end(Parser *parser)
{
    TokenKind kind = parser->token.kind;
    if (kind == TOKEN_NEWLINE) {
        parser_advance(parser);
        return true;
    }
    if (kind == TOKEN_EOF || kind == TOKEN_RBRACE) {
        return true;
    }
    return parser_expected(parser, "the end of the line",
                           kind == TOKEN_COMMA ? "arguments of a block are separated by line ends, "
                                                 "without commas"
                                               : "write each argument on a line of its own");
}

static bool parser_argument(Parser *parser, Body *body, Token name)
{
    parser_advance(parser);
    Argument argument = {.name = name.text, .pos = name.pos};
    TRY(parser_expr(parser, &argument.expr));
    const Argument *other = body_find(body, name.text);
    if (other != NULL) {
        return parser_fail(
            parser, name.pos,
            arena_printf(parser->arena, "it is set at line %d already", tf_pos_line(other->pos)),
            "\"%.*s\" is set twice", SLICE_FMT(name.text));
    }
    arena_vec_push(parser->arena, &body->arguments, argument);
    return parser_item_end(parser);
}

static bool parser_label(Parser *parser, Block *block)
{
    Label label = {.text = parser->token.text, .pos = parser->token.pos};
    if (block->labels_len == BLOCK_LABELS_MAX) {
        return parser_expected(parser, "\"{\"", NULL);
    }
    if (parser->token.kind == TOKEN_QUOTE) {
        TRY(parser_plain_string(parser, &label.text));
    } else {
        parser_advance(parser);
    }
    block->labels[block->labels_len++] = label;
    return true;
}

static bool parser_block_body(Parser *parser, Block *block)
{
    if (parser->token.kind != TOKEN_LBRACE) {
        return parser_expected(parser, block->labels_len == 0 ? "\"=\" or \"{\"" : "\"{\"",
                               "an argument is  name = value, a block is  name { … }");
    }
    block->body = ARENA_NEW(parser->arena, Body);
    block->body->pos = block->pos;
    TRY(parser_enter(parser));
    int brackets = parser->brackets;
    parser_advance(parser);
    parser_body(parser, block->body, brackets);
    parser_leave(parser);
    return true;
}

static bool parser_block(Parser *parser, Body *body, Token name)
{
    Block block = {.type = name.text, .pos = name.pos};
    while (parser->token.kind == TOKEN_QUOTE || parser->token.kind == TOKEN_IDENT) {
        TRY(parser_label(parser, &block));
    }
    TRY(parser_block_body(parser, &block));
    arena_vec_push(parser->arena, &body->blocks, block);
    if (parser->token.kind != TOKEN_RBRACE) { /* reported: it has no end */
        return true;
    }
    parser_advance(parser);
    return parser_item_end(parser);
}

static bool parser_item(Parser *parser, Body *body)
{
    Token name = parser->token;
    if (name.kind != TOKEN_IDENT) {
        return parser_expected(parser, "the name of an argument or block", NULL);
    }
    TRY(body_room(parser, body));
    parser_advance(parser);
    return parser->token.kind == TOKEN_ASSIGN ? parser_argument(parser, body, name)
                                              : parser_block(parser, body, name);
}

/* A top-level block at the start of a line: the block around it lacks its end. */
static bool parser_at_top_level(const Parser *parser)
{
    static const char *const names[] = {"resource", "variable", "output",   "locals",
                                        "data",     "module",   "provider", "terraform"};
    const Token *token = &parser->token;
    const char *text = parser->lexer.text.data;
    bool line_start = token->text.data == text || token->text.data[-1] == '\n';
    if (token->kind != TOKEN_IDENT || !line_start) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_is(token->text, names[i])) {
            return true;
        }
    }
    return false;
}

static void parser_stray_brace(Parser *parser)
{
    (void)parser_fail(parser, parser->token.pos, NULL, "this brace closes nothing");
    parser->failed = false;
    parser_advance(parser);
}

static void parser_no_end(Parser *parser, Body *body)
{
    body->broken = true;
    (void)parser_fail(parser, body->pos, "close it with }", "this block has no end");
    parser->failed = false;
}

/* A closing brace within something wrong may have closed the block too: it is open all the same. */
static void parser_at_least(Parser *parser, int brackets)
{
    if (parser->brackets < brackets) {
        parser->brackets = brackets - 1;
        parser_open_bracket(parser, '{');
    }
}

/* Items up to the closing brace (which stays the present token) of a block, in which `brackets` are
 * open, or up to the end of the file, where none are. */
static void parser_body(Parser *parser, Body *body, int brackets)
{
    bool block = brackets > 0;
    int depth = parser->depth;
    for (;;) {
        while (parser->token.kind == TOKEN_NEWLINE) {
            parser_advance(parser);
        }
        TokenKind kind = parser->token.kind;
        if ((block && kind == TOKEN_RBRACE) || (!block && kind == TOKEN_EOF)) {
            return;
        }
        if (block && (kind == TOKEN_EOF || parser_at_top_level(parser))) {
            parser_no_end(parser, body);
            parser->brackets = brackets - 1;
            return;
        }
        parser_at_least(parser, brackets);
        if (kind == TOKEN_RBRACE) {
            parser_stray_brace(parser);
        } else if (!parser_item(parser, body)) {
            body->broken = true;
            parser->depth = depth;
            parser_recover(parser, brackets);
        }
    }
}

Body *parse_file(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file)
{
    Parser parser;
    parser_init(&parser, arena, diagnostics, file);
    Body *body = ARENA_NEW(arena, Body);
    body->pos = lexer_pos(&parser.lexer, 0);
    parser_advance(&parser);
    parser_body(&parser, body, 0);
    return body;
}
