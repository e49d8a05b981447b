/*
 * The lexer: tells names from strings, dollar quotes and comments by the rules of PostgreSQL's
 * scan.l, a byte of state at a time.
 *
 *   PLAIN -> WORD -> PLAIN               names and keywords
 *         -> STRING -> STRING_QUOTE      '…' and E'…'; a quote doubled goes on, alone ends it
 *         -> STRING_ESCAPE               behind a backslash in E'…'
 *         -> IDENT -> IDENT_QUOTE        "…"
 *         -> DOLLAR -> DOLLAR_TAG -> BODY -> BODY_TAG     $tag$ … $tag$
 *         -> MINUS -> LINE_COMMENT;  SLASH -> BLOCK, BLOCK_STAR, BLOCK_SLASH (nested)
 *         -> U_AMP                       U& in front of a quote
 */
#include "sql/words_priv.h"

enum {
    PLAIN,
    WORD,
    STRING,
    STRING_QUOTE,
    STRING_ESCAPE,
    IDENT,
    IDENT_QUOTE,
    DOLLAR,
    DOLLAR_TAG,
    BODY,
    BODY_TAG,
    MINUS,
    LINE_COMMENT,
    SLASH,
    BLOCK,
    BLOCK_STAR,
    BLOCK_SLASH,
    U_AMP,
};

static bool is_word_start(char c)
{
    uint8_t letter = (uint8_t)((c | 0x20) - 'a'); /* of either case */
    return letter < 26 || c == '_' || (c & 0x80) != 0;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
    return is_word_start(c) || is_digit(c) || c == '$';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void word_clear(SqlScan *scan)
{
    scan->word_len_ = 0;
}

/* The part of a name that PostgreSQL drops cannot make it one that we look for. */
static void word_add(SqlScan *scan, char c)
{
    if (scan->word_len_ < SQL_WORD_MAX) {
        scan->word_[scan->word_len_++] = char_lower(c);
    }
}

static Slice word_slice(const SqlScan *scan)
{
    return (Slice){scan->word_, scan->word_len_};
}

static void string_begin(SqlScan *scan, bool escapes)
{
    scan->state_ = STRING;
    scan->escapes_ = escapes;
    scan->after_escape_ = false;
    word_clear(scan);
    sql_words_other(scan, '\'');
    if (escapes) {
        sql_words_hidden_string(scan);
    }
}

static void string_end(SqlScan *scan)
{
    scan->state_ = PLAIN;
    scan->after_escape_ = scan->escapes_;
    if (sql_words_wants_string(scan)) {
        sql_words_string(scan, word_slice(scan));
    }
}

/* The first byte of a token. */
static void plain_take(SqlScan *scan, char c)
{
    bool after_escape = scan->after_escape_;
    bool after_u = scan->after_u_;
    scan->after_u_ = false;
    if (is_space(c)) {
        return;
    }
    if (c == '-' || c == '/') {
        scan->state_ = c == '-' ? MINUS : SLASH;
        return;
    }
    scan->after_escape_ = false;
    if (is_word_start(c)) {
        scan->state_ = WORD;
        word_clear(scan);
        word_add(scan, c);
    } else if (c == '\'') {
        /* 'a' <newline> 'b' is one string, and E counts for all of it. */
        string_begin(scan, after_escape);
    } else if (c == '"') {
        scan->state_ = IDENT;
        word_clear(scan);
    } else if (c == '$') {
        scan->state_ = DOLLAR;
    } else if (c == ';' && scan->parens_ == 0) { /* CREATE RULE has some in parentheses */
        sql_words_statement_end(scan);
    } else if (c == '&' && after_u) {
        scan->state_ = U_AMP;
    } else {
        sql_words_other(scan, c);
    }
}

static void word_take(SqlScan *scan, char c)
{
    if (is_word(c)) {
        word_add(scan, c);
        return;
    }
    Slice word = word_slice(scan);
    scan->state_ = PLAIN;
    if (c == '\'' && (slice_is(word, "e") || slice_is(word, "b") || slice_is(word, "x") ||
                      slice_is(word, "n"))) {
        string_begin(scan, word.data[0] == 'e');
        return;
    }
    bool is_u = slice_is(word, "u");
    sql_words_take(scan, word, false);
    scan->after_u_ = is_u;
    plain_take(scan, c);
}

static void string_take(SqlScan *scan, char c)
{
    if (scan->state_ == STRING_ESCAPE) {
        scan->state_ = STRING;
    } else if (scan->state_ == STRING_QUOTE) {
        if (c == '\'') {
            scan->state_ = STRING;
            return;
        }
        string_end(scan);
        plain_take(scan, c);
    } else if (c == '\'') {
        scan->state_ = STRING_QUOTE;
    } else if (c == '\\') {
        if (scan->escapes_) {
            scan->state_ = STRING_ESCAPE;
        } else if (scan->dialect.backslash_strings) {
            sql_scan_pin(scan, PIN_ENCODING);
        }
    } else if (sql_words_wants_string(scan)) {
        word_add(scan, c);
    }
}

static void ident_take(SqlScan *scan, char c)
{
    if (scan->state_ == IDENT) {
        if (c == '"') {
            scan->state_ = IDENT_QUOTE;
        } else {
            word_add(scan, c);
        }
        return;
    }
    if (c == '"') {
        word_add(scan, c);
        scan->state_ = IDENT;
        return;
    }
    scan->state_ = PLAIN;
    sql_words_take(scan, word_slice(scan), true);
    plain_take(scan, c);
}

/* Behind a '$' in plain text: $1 is a parameter, $$ and $name$ begin a quote. */
static void dollar_take(SqlScan *scan, char c)
{
    if (scan->state_ == DOLLAR) {
        scan->tag_len_ = 0;
        scan->tag_at_ = 0;
    }
    bool goes_on = is_word_start(c) || (scan->tag_len_ > 0 && is_digit(c));
    if (c == '$') {
        scan->state_ = BODY;
        sql_words_other(scan, '\'');
        sql_words_hidden_string(scan);
    } else if (!goes_on) {
        /* Not a quote after all: its letters, if any, were a name behind a stray '$', which no
         * statement has. */
        bool stray = scan->tag_len_ > 0;
        scan->state_ = PLAIN;
        sql_words_other(scan, '$');
        if (stray) {
            sql_scan_pin(scan, PIN_UNKNOWN_STATEMENT);
        }
        plain_take(scan, c);
    } else if (scan->tag_len_ == SQL_TAG_MAX) {
        sql_scan_pin(scan, PIN_UNKNOWN_STATEMENT);
        scan->ended = true;
    } else {
        scan->state_ = DOLLAR_TAG;
        scan->tag_[scan->tag_len_++] = c;
    }
}

static void body_take(SqlScan *scan, char c)
{
    if (scan->state_ == BODY) {
        if (c == '$') {
            scan->state_ = BODY_TAG;
            scan->tag_at_ = 0;
        }
    } else if (scan->tag_at_ == scan->tag_len_ && c == '$') {
        scan->state_ = PLAIN;
    } else if (scan->tag_at_ < scan->tag_len_ && c == scan->tag_[scan->tag_at_]) {
        scan->tag_at_++;
    } else {
        scan->state_ = c == '$' ? BODY_TAG : BODY;
        scan->tag_at_ = 0;
    }
}

static void comment_take(SqlScan *scan, char c)
{
    if (scan->state_ == LINE_COMMENT) {
        if (c == '\n' || c == '\r') {
            scan->state_ = PLAIN;
        }
    } else if (scan->state_ == BLOCK_STAR && c == '/') {
        scan->depth_--;
        scan->state_ = scan->depth_ == 0 ? PLAIN : BLOCK;
    } else if (scan->state_ == BLOCK_SLASH && c == '*') {
        scan->depth_++;
        scan->state_ = BLOCK;
    } else {
        scan->state_ = c == '*' ? BLOCK_STAR : c == '/' ? BLOCK_SLASH : BLOCK;
    }
}

/* Behind '-' or '/': a comment begins, or they were an operator. */
static void operator_take(SqlScan *scan, char c)
{
    char first = scan->state_ == MINUS ? '-' : '/';
    if (first == '-' && c == '-') {
        scan->state_ = LINE_COMMENT;
    } else if (first == '/' && c == '*') {
        scan->state_ = BLOCK;
        scan->depth_ = 1;
        scan->after_escape_ = false;
    } else {
        scan->state_ = PLAIN;
        scan->after_escape_ = false;
        sql_words_other(scan, first);
        plain_take(scan, c);
    }
}

/* U&"…" may spell any name by escapes; U&'…' is a string without backslash quotes. */
static void u_amp_take(SqlScan *scan, char c)
{
    scan->state_ = PLAIN;
    sql_words_other(scan, '&');
    if (c == '"') {
        sql_scan_pin(scan, PIN_UNKNOWN_STATEMENT);
    }
    plain_take(scan, c);
}

static void scan_take(SqlScan *scan, char c)
{
    switch (scan->state_) {
    case PLAIN:
        plain_take(scan, c);
        break;
    case WORD:
        word_take(scan, c);
        break;
    case STRING:
    case STRING_QUOTE:
    case STRING_ESCAPE:
        string_take(scan, c);
        break;
    case IDENT:
    case IDENT_QUOTE:
        ident_take(scan, c);
        break;
    case DOLLAR:
    case DOLLAR_TAG:
        dollar_take(scan, c);
        break;
    case BODY:
    case BODY_TAG:
        body_take(scan, c);
        break;
    case MINUS:
    case SLASH:
        operator_take(scan, c);
        break;
    case U_AMP:
        u_amp_take(scan, c);
        break;
    default:
        comment_take(scan, c);
        break;
    }
}

/* Takes the rest of a word. Returns where it ends. */
static size_t word_run(SqlScan *scan, Slice text, size_t at)
{
    uint8_t len = scan->word_len_;
    for (; at < text.len && is_word(text.data[at]); at++) {
        if (len < SQL_WORD_MAX) {
            scan->word_[len++] = char_lower(text.data[at]);
        }
    }
    scan->word_len_ = len;
    return at;
}

/* Where the string or quote that we are in may end: what stands before it does not matter. */
static size_t quiet_run(Slice text, size_t at, char end)
{
    const char *stop = memchr(text.data + at, end, text.len - at);
    return stop != NULL ? (size_t)(stop - text.data) : text.len;
}

static bool is_quiet_string(const SqlScan *scan)
{
    return !scan->escapes_ && !scan->dialect.backslash_strings && !sql_words_wants_string(scan);
}

/* Past the bytes that change nothing but the word that they belong to: most of a text. Each byte of
 * an encoding that is not safe is looked at by itself. Returns where it stops. */
static size_t quick_run(SqlScan *scan, Slice text, size_t at)
{
    if (scan->state_ == WORD) {
        return word_run(scan, text, at);
    }
    if (scan->state_ == STRING) {
        return is_quiet_string(scan) ? quiet_run(text, at, '\'') : at;
    }
    return scan->state_ == BODY ? quiet_run(text, at, '$') : at;
}

void sql_scan_begin(SqlScan *scan, SqlDialect dialect)
{
    memset(scan, 0, offsetof(SqlScan, word_));
    scan->dialect = dialect;
}

/* A ';' that leaves the lexer in plain text is one of the language. */
static bool is_cut(const SqlScan *scan, char c)
{
    return c == ';' && scan->state_ == PLAIN && scan->parens_ == 0 && scan->blocks_ == 0;
}

/* Text without a NUL. With `cut`, only to the end of a statement. Returns how much of it. */
static size_t feed(SqlScan *scan, Slice text, bool cut)
{
    size_t at = 0;
    while (at < text.len && !scan->ended) {
        if (scan->state_ != PLAIN && !scan->dialect.unsafe_encoding) {
            at = quick_run(scan, text, at);
        }
        if (at == text.len) {
            break;
        }
        char c = text.data[at++];
        if ((c & 0x80) != 0 && scan->dialect.unsafe_encoding) {
            sql_scan_pin(scan, PIN_ENCODING);
        }
        scan_take(scan, c);
        if (cut && is_cut(scan, c)) {
            break;
        }
    }
    return at;
}

void sql_scan_feed(SqlScan *scan, Slice text)
{
    const char *nul = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
    if (nul != NULL) {
        text.len = (size_t)(nul - text.data);
    }
    feed(scan, text, false);
    if (nul != NULL) {
        scan->ended = true;
    }
}

size_t sql_scan_feed_statement(SqlScan *scan, Slice text, bool *ret_ended)
{
    const char *nul = text.len > 0 ? memchr(text.data, '\0', text.len) : NULL;
    Slice before = nul != NULL ? (Slice){text.data, (size_t)(nul - text.data)} : text;
    size_t len = feed(scan, before, true);
    *ret_ended = len > 0 && is_cut(scan, text.data[len - 1]);
    if (nul == NULL || *ret_ended) {
        return scan->ended ? text.len : len;
    }
    scan->ended = true;
    return text.len;
}

bool sql_scan_is_blank(const SqlScan *scan)
{
    bool between = scan->state_ == PLAIN || scan->state_ == MINUS || scan->state_ == LINE_COMMENT ||
                   (scan->state_ >= SLASH && scan->state_ <= BLOCK_SLASH);
    return between && scan->statements_ == 0 && scan->parens_ == 0 && scan->effects.pin == PIN_NONE;
}

bool sql_scan_is_open(const SqlScan *scan)
{
    bool between = scan->state_ == PLAIN || scan->state_ == WORD || scan->state_ == STRING_QUOTE ||
                   scan->state_ == IDENT_QUOTE || scan->state_ == DOLLAR || scan->state_ == MINUS ||
                   scan->state_ == LINE_COMMENT || scan->state_ == SLASH || scan->state_ == U_AMP;
    return !between || scan->parens_ > 0 || scan->blocks_ > 0;
}

void sql_scan_end(SqlScan *scan)
{
    if (scan->state_ == WORD || scan->state_ == IDENT_QUOTE) {
        sql_words_take(scan, word_slice(scan), scan->state_ == IDENT_QUOTE);
    } else if (scan->state_ == STRING_QUOTE) {
        string_end(scan);
    }
    sql_words_statement_end(scan);
    sql_reads_end(scan);
    scan->state_ = PLAIN;
    scan->ended = true;
}

bool sql_encoding_is_safe(Slice name)
{
    static const char *const unsafe[] = {"SJIS", "SHIFT_JIS_2004", "BIG5", "GBK",
                                         "UHC",  "GB18030",        "JOHAB"};
    for (size_t i = 0; i < ARRAY_LEN(unsafe); i++) {
        if (slice_is_nocase(name, unsafe[i])) {
            return false;
        }
    }
    return true;
}
