/*
 * Tokens of the native syntax. The lexer knows nothing of templates: at a quote or a heredoc's
 * introducer the parser takes over with template.c, which reads the text up to its end itself.
 */
#include "tf/ast_priv.h"

TfPos lexer_pos(const Lexer *lexer, size_t at)
{
    return (TfPos){lexer->file, lexer->fixed ? lexer->fixed_offset : at};
}

static char lexer_peek(const Lexer *lexer, size_t ahead)
{
    return lexer->text.len - lexer->at > ahead ? lexer->text.data[lexer->at + ahead] : '\0';
}

static bool lexer_at_end(const Lexer *lexer)
{
    return lexer->at >= lexer->text.len;
}

static void lexer_skip_line(Lexer *lexer)
{
    while (!lexer_at_end(lexer) && lexer_peek(lexer, 0) != '\n') {
        lexer->at++;
    }
}

/* With the lexer at its start. False when the comment has no end; then everything is skipped. */
static bool lexer_skip_comment(Lexer *lexer)
{
    for (lexer->at += 2; !lexer_at_end(lexer); lexer->at++) {
        if (lexer_peek(lexer, 0) == '*' && lexer_peek(lexer, 1) == '/') {
            lexer->at += 2;
            return true;
        }
    }
    return false;
}

/* Skips white space and comments, but not line ends. False at an unclosed comment, which begins at
 * *ret_bad_at. */
static bool lexer_skip_space(Lexer *lexer, size_t *ret_bad_at)
{
    for (;;) {
        char c = lexer_peek(lexer, 0);
        char next = lexer_peek(lexer, 1);
        if (c == ' ' || c == '\t' || (c == '\r' && next == '\n')) {
            lexer->at++;
        } else if (c == '#' || (c == '/' && next == '/')) {
            lexer_skip_line(lexer);
        } else if (c == '/' && next == '*') {
            *ret_bad_at = lexer->at;
            TRY(lexer_skip_comment(lexer));
        } else {
            return true;
        }
    }
}

static Token lexer_token(Lexer *lexer, TokenKind kind, size_t start)
{
    Slice text = {lexer->text.data + start, lexer->at - start};
    return (Token){kind, text, lexer_pos(lexer, start)};
}

static void lexer_skip_digits(Lexer *lexer)
{
    while (lexer_peek(lexer, 0) >= '0' && lexer_peek(lexer, 0) <= '9') {
        lexer->at++;
    }
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static Token lexer_number(Lexer *lexer, bool fraction)
{
    size_t start = lexer->at;
    lexer_skip_digits(lexer);
    if (fraction && lexer_peek(lexer, 0) == '.' && is_digit(lexer_peek(lexer, 1))) {
        lexer->at++;
        lexer_skip_digits(lexer);
    }
    char c = lexer_peek(lexer, 0);
    char sign = lexer_peek(lexer, 1);
    size_t skip = sign == '+' || sign == '-' ? 2 : 1;
    if (fraction && (c == 'e' || c == 'E') && is_digit(lexer_peek(lexer, skip))) {
        lexer->at += skip;
        lexer_skip_digits(lexer);
    }
    return lexer_token(lexer, TOKEN_NUMBER, start);
}

/* <<NAME or <<-NAME up to and with the line end; the token's text is NAME. */
static Token lexer_heredoc(Lexer *lexer)
{
    size_t start = lexer->at;
    bool indented = lexer_peek(lexer, 2) == '-';
    lexer->at += indented ? 3 : 2;
    size_t name_start = lexer->at;
    while (is_name_char(lexer_peek(lexer, 0))) {
        lexer->at++;
    }
    Slice name = {lexer->text.data + name_start, lexer->at - name_start};
    while (lexer_peek(lexer, 0) == ' ' || lexer_peek(lexer, 0) == '\t' ||
           lexer_peek(lexer, 0) == '\r') {
        lexer->at++;
    }
    if (name.len == 0 || !is_name_start(name.data[0]) || lexer_peek(lexer, 0) != '\n') {
        return lexer_token(lexer, TOKEN_BAD, start);
    }
    lexer->at++;
    return (Token){indented ? TOKEN_HEREDOC_INDENTED : TOKEN_HEREDOC, name,
                   lexer_pos(lexer, start)};
}

typedef struct Punctuation {
    char text[4];
    TokenKind kind;
} Punctuation;

/* Longer ones before their prefixes. */
static const Punctuation punctuations[] = {
    {"...", TOKEN_ELLIPSIS},   {"==", TOKEN_EQ},      {"=>", TOKEN_ARROW},
    {"!=", TOKEN_NE},          {"<=", TOKEN_LE},      {">=", TOKEN_GE},
    {"&&", TOKEN_AND},         {"||", TOKEN_OR},      {"::", TOKEN_DOUBLE_COLON},
    {"~}", TOKEN_RBRACE_TRIM}, {"{", TOKEN_LBRACE},   {"}", TOKEN_RBRACE},
    {"[", TOKEN_LBRACKET},     {"]", TOKEN_RBRACKET}, {"(", TOKEN_LPAREN},
    {")", TOKEN_RPAREN},       {",", TOKEN_COMMA},    {".", TOKEN_DOT},
    {"=", TOKEN_ASSIGN},       {":", TOKEN_COLON},    {"?", TOKEN_QUESTION},
    {"!", TOKEN_NOT},          {"+", TOKEN_PLUS},     {"-", TOKEN_MINUS},
    {"*", TOKEN_STAR},         {"/", TOKEN_SLASH},    {"%", TOKEN_PERCENT},
    {"<", TOKEN_LT},           {">", TOKEN_GT},       {"\"", TOKEN_QUOTE},
    {"\n", TOKEN_NEWLINE},
};

static Token lexer_punctuation(Lexer *lexer)
{
    size_t start = lexer->at;
    Slice rest = slice_skip(lexer->text, start);
    for (size_t i = 0; i < ARRAY_LEN(punctuations); i++) {
        if (slice_starts(rest, punctuations[i].text)) {
            lexer->at += strlen(punctuations[i].text);
            return lexer_token(lexer, punctuations[i].kind, start);
        }
    }
    uint32_t code;
    (void)utf8_next(lexer->text, &lexer->at, &code);
    return lexer_token(lexer, TOKEN_BAD, start);
}

static Token lexer_name(Lexer *lexer)
{
    size_t start = lexer->at;
    while (is_name_char(lexer_peek(lexer, 0))) {
        lexer->at++;
    }
    return lexer_token(lexer, TOKEN_IDENT, start);
}

static Token lexer_read(Lexer *lexer, bool fraction)
{
    size_t bad_at;
    if (!lexer_skip_space(lexer, &bad_at)) {
        return lexer_token(lexer, TOKEN_BAD, bad_at);
    }
    if (lexer_at_end(lexer)) {
        return lexer_token(lexer, TOKEN_EOF, lexer->at);
    }
    char c = lexer_peek(lexer, 0);
    if (is_name_start(c)) {
        return lexer_name(lexer);
    }
    if (is_digit(c)) {
        return lexer_number(lexer, fraction);
    }
    if (c == '<' && lexer_peek(lexer, 1) == '<') {
        return lexer_heredoc(lexer);
    }
    return lexer_punctuation(lexer);
}

Token lexer_next(Lexer *lexer)
{
    return lexer_read(lexer, true);
}

Token lexer_next_step(Lexer *lexer)
{
    return lexer_read(lexer, false);
}

const char *token_describe(Arena *arena, Token token)
{
    if (token.kind == TOKEN_EOF) {
        return "the end of the text";
    }
    if (token.kind == TOKEN_NEWLINE) {
        return "the end of the line";
    }
    if (token.kind == TOKEN_QUOTE) {
        return "a string";
    }
    if (token.kind == TOKEN_HEREDOC || token.kind == TOKEN_HEREDOC_INDENTED) {
        return "a heredoc";
    }
    Slice rest = token.text;
    Slice line = slice_cut(&rest, '\n');
    return arena_printf(arena, "\"%.*s\"", (int)utf8_bytes(line, 40), line.data);
}
