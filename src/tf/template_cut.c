/*
 * The text of a template, cut into a flat list of literals, interpolations and directives, on which
 * the trim markers and the indentation of <<- work.
 */
#include "tf/template_priv.h"

static Slice template_rest(const Template *template)
{
    return slice_skip(template->parser->lexer.text, template->parser->lexer.at);
}

static TfPos template_here(const Template *template)
{
    return lexer_pos(&template->parser->lexer, template->parser->lexer.at);
}

/* ---- literals ------------------------------------------------------------------------------- */

static bool template_escape_code(Template *template, size_t digits, Buf *out)
{
    Parser *parser = template->parser;
    Slice rest = template_rest(template);
    uint8_t bytes[4];
    size_t len;
    if (rest.len < 2 + digits ||
        !hex_decode((Slice){rest.data + 2, digits}, bytes, sizeof(bytes), &len)) {
        return parser_fail(parser, template_here(template), NULL,
                           "%zu hexadecimal digits are expected behind \\%c", digits, rest.data[1]);
    }
    uint32_t code = 0;
    for (size_t i = 0; i < len; i++) {
        code = code << 8 | bytes[i];
    }
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return parser_fail(parser, template_here(template), NULL, "there is no character U+%04X",
                           code);
    }
    utf8_append(out, code);
    parser->lexer.at += 2 + digits;
    return true;
}

static bool template_escape(Template *template, Buf *out)
{
    static const char from[] = "nrt\"\\";
    static const char to[] = "\n\r\t\"\\";
    Slice rest = template_rest(template);
    char c = rest.len > 1 ? rest.data[1] : '\0';
    const char *simple = c != '\0' ? strchr(from, c) : NULL;
    if (simple != NULL) {
        buf_append_char(out, to[simple - from]);
        template->parser->lexer.at += 2;
        return true;
    }
    if (c == 'u' || c == 'U') {
        return template_escape_code(template, c == 'u' ? 4 : 8, out);
    }
    return parser_fail(
        template->parser, template_here(template),
        "a backslash itself is written \\\\; known are \\n \\r \\t \\\" \\\\ \\uNNNN "
        "\\UNNNNNNNN",
        "unknown escape in a string");
}

/* At something that ends a literal: the end, ${ or %{. */
static bool template_literal_ends(const Template *template)
{
    Slice rest = template_rest(template);
    return rest.len == 0 || slice_starts(rest, "${") || slice_starts(rest, "%{") ||
           (template->end == END_QUOTE && rest.data[0] == '"');
}

/* One character or escape; *ret_done after a line end, which ends a literal outside of quotes. */
static bool template_literal_char(Template *template, Buf *out, bool *ret_done)
{
    Parser *parser = template->parser;
    Slice rest = template_rest(template);
    char c = rest.data[0];
    if (template->end == END_QUOTE && c == '\n') {
        return parser_fail(parser, template->pos,
                           "close it with \", or use a heredoc (<<EOT) for several lines",
                           "this string has no end");
    }
    if (template->end == END_QUOTE && c == '\\') {
        return template_escape(template, out);
    }
    bool escaped = slice_starts(rest, "$${") || slice_starts(rest, "%%{");
    buf_append_char(out, c);
    if (escaped) {
        buf_append_char(out, '{');
    }
    parser->lexer.at += escaped ? 3 : 1;
    *ret_done = c == '\n';
    return true;
}

static bool template_literal(Template *template)
{
    Parser *parser = template->parser;
    Piece piece = {.kind = PIECE_LITERAL, .pos = template_here(template)};
    CLEANUP(buf_done) Buf text;
    buf_init(&text, TF_SOURCE_MAX);
    bool line_end = false;
    while (!line_end && !template_literal_ends(template)) {
        TRY(template_literal_char(template, &text, &line_end));
    }
    piece.literal = (Slice){arena_slice_str(parser->arena, buf_slice(&text)), text.len};
    arena_vec_push(parser->arena, &template->pieces, piece);
    template->line_start = line_end;
    return true;
}

/* ---- interpolations and directives ---------------------------------------------------------- */

/* The closing brace; what follows it belongs to the template, so there is no advance. */
static bool template_close(Template *template, Piece *piece)
{
    Parser *parser = template->parser;
    TokenKind kind = parser->token.kind;
    if (kind != TOKEN_RBRACE && kind != TOKEN_RBRACE_TRIM) {
        return parser_expected(parser, "\"}\"", "a plain ${ in a string is written $${");
    }
    piece->trim_after = kind == TOKEN_RBRACE_TRIM;
    arena_vec_push(parser->arena, &template->pieces, *piece);
    return true;
}

static bool template_for_head(Template *template, Piece *piece)
{
    piece->kind = PIECE_FOR;
    piece->expr = expr_new(template->parser, EXPR_TEMPLATE_FOR, piece->pos);
    return parser_for_head(template->parser, piece->expr);
}

static bool template_directive(Template *template, Piece *piece)
{
    static const struct {
        const char *name;
        PieceKind kind;
    } plain[] = {{"else", PIECE_ELSE}, {"endif", PIECE_ENDIF}, {"endfor", PIECE_ENDFOR}};
    Parser *parser = template->parser;
    Token word = parser->token;
    if (word.kind == TOKEN_IDENT && slice_is(word.text, "for")) {
        return template_for_head(template, piece);
    }
    if (word.kind == TOKEN_IDENT && slice_is(word.text, "if")) {
        piece->kind = PIECE_IF;
        parser_advance(parser);
        return parser_expr(parser, &piece->expr);
    }
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (word.kind == TOKEN_IDENT && slice_is(word.text, plain[i].name)) {
            piece->kind = plain[i].kind;
            parser_advance(parser);
            return true;
        }
    }
    return parser_expected(parser, "if, else, endif, for or endfor",
                           "a plain %{ in a string is written %%{");
}

/* At ${ or %{. */
static bool template_piece(Template *template)
{
    Parser *parser = template->parser;
    Piece piece = {.kind = PIECE_VALUE, .pos = template_here(template)};
    bool directive = slice_starts(template_rest(template), "%{");
    parser->lexer.at += 2;
    if (slice_starts(template_rest(template), "~")) {
        piece.trim_before = true;
        parser->lexer.at++;
    }
    parser_open_bracket(parser, '{');
    parser->skip_newlines = true;
    parser->token = (Token){.kind = TOKEN_LBRACE};
    parser_advance(parser);
    TRY(directive ? template_directive(template, &piece) : parser_expr(parser, &piece.expr));
    template->line_start = false;
    return template_close(template, &piece);
}

/* ---- the end -------------------------------------------------------------------------------- */

/* At the start of a line that holds the marker alone; then the lexer stands at its end. */
static bool template_at_marker(Template *template)
{
    if (template->end != END_HEREDOC || !template->line_start) {
        return false;
    }
    Slice rest = template_rest(template);
    Slice line = slice_cut(&rest, '\n');
    if (!slice_eq(slice_trim(line), template->marker)) {
        return false;
    }
    template->parser->lexer.at += line.len;
    return true;
}

/* Whether the template ends here; if so, the lexer stands behind it. */
static bool template_ended(Template *template)
{
    Slice rest = template_rest(template);
    if (template->end == END_QUOTE && slice_starts(rest, "\"")) {
        template->parser->lexer.at++;
        return true;
    }
    return template_at_marker(template) || (template->end == END_TEXT && rest.len == 0);
}

static bool template_no_end(Template *template)
{
    if (template->end == END_QUOTE) {
        return parser_fail(template->parser, template->pos, "close it with \"",
                           "this string has no end");
    }
    return parser_fail(template->parser, template->pos,
                       arena_printf(template->parser->arena,
                                    "end it with a line that holds only %.*s",
                                    SLICE_FMT(template->marker)),
                       "this heredoc has no end");
}

static bool template_cut(Template *template)
{
    while (!template_ended(template)) {
        Slice rest = template_rest(template);
        if (rest.len == 0) {
            return template_no_end(template);
        }
        if (slice_starts(rest, "${") || slice_starts(rest, "%{")) {
            TRY(template_piece(template));
        } else {
            TRY(template_literal(template));
        }
    }
    return true;
}

/* ---- trimming ------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static Slice trim_start(Slice text)
{
    while (text.len > 0 && is_space(text.data[0])) {
        text = slice_skip(text, 1);
    }
    return text;
}

static Slice trim_end(Slice text)
{
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

static void template_trim(Template *template)
{
    for (size_t i = 0; i < template->pieces.len; i++) {
        Piece *pieces = template->pieces.items;
        if (pieces[i].trim_before && i > 0 && pieces[i - 1].kind == PIECE_LITERAL) {
            pieces[i - 1].literal = trim_end(pieces[i - 1].literal);
        }
        if (pieces[i].trim_after && i + 1 < template->pieces.len &&
            pieces[i + 1].kind == PIECE_LITERAL) {
            pieces[i + 1].literal = trim_start(pieces[i + 1].literal);
        }
    }
}

/* How far a line's first piece is indented; SIZE_MAX for a blank line, which does not count. */
static size_t piece_indent(const Piece *piece)
{
    if (piece->kind != PIECE_LITERAL) {
        return 0;
    }
    Slice rest = trim_start(piece->literal);
    bool blank = rest.len == 0 && slice_ends(piece->literal, "\n");
    return blank ? SIZE_MAX : piece->literal.len - rest.len;
}

/* Whether a line begins with this piece. */
static bool template_line_starts(const Template *template, size_t i)
{
    const Piece *before = &template->pieces.items[i - (i > 0)];
    return i == 0 || (before->kind == PIECE_LITERAL && slice_ends(before->literal, "\n"));
}

/* <<-: what all lines are indented by is taken away from each. */
static void template_unindent(Template *template)
{
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < template->pieces.len; i++) {
        if (template_line_starts(template, i)) {
            size_t indent = piece_indent(&template->pieces.items[i]);
            least = indent < least ? indent : least;
        }
    }
    if (least == SIZE_MAX) {
        return;
    }
    for (size_t i = template->pieces.len; i-- > 0;) {
        Piece *piece = &template->pieces.items[i];
        if (template_line_starts(template, i) && piece->kind == PIECE_LITERAL &&
            piece_indent(piece) != SIZE_MAX) {
            piece->literal = slice_skip(piece->literal, least);
        }
    }
}

bool template_pieces(Template *template, bool indented)
{
    TRY(template_cut(template));
    template_trim(template);
    if (indented) {
        template_unindent(template);
    }
    return true;
}
