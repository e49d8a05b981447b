/*
 * Sources, tokens and the syntax tree, which the native and the JSON syntax share. Everything lives
 * in the arena of the load. An expression knows its depth, and a parser refuses one that is deeper
 * than TF_DEPTH_MAX: so every walk over a tree may recurse.
 */
#ifndef WEIR_TF_AST_PRIV_H
#define WEIR_TF_AST_PRIV_H

#include "tf/tf.h"

/* ---- sources ------------------------------------------------------------------------------ */

struct TfFile {
    const char *name;
    Slice text;
    size_t order;
    bool json;
    bool private_values; /* variable values: diagnostics show the line up to "=" only */
    bool hidden;         /* … and of this one not even that */
};

/* ---- tokens ------------------------------------------------------------------------------- */

typedef enum TokenKind {
    TOKEN_EOF,
    TOKEN_NEWLINE,
    TOKEN_IDENT,
    TOKEN_NUMBER,
    TOKEN_QUOTE,   /* ": a template follows */
    TOKEN_HEREDOC, /* <<NAME and its line end: a template follows; text is NAME */
    TOKEN_HEREDOC_INDENTED,
    TOKEN_LBRACE,
    TOKEN_RBRACE,
    TOKEN_RBRACE_TRIM, /* ~} */
    TOKEN_LBRACKET,
    TOKEN_RBRACKET,
    TOKEN_LPAREN,
    TOKEN_RPAREN,
    TOKEN_COMMA,
    TOKEN_DOT,
    TOKEN_ELLIPSIS,
    TOKEN_ASSIGN,
    TOKEN_COLON,
    TOKEN_DOUBLE_COLON,
    TOKEN_ARROW,
    TOKEN_QUESTION,
    TOKEN_NOT,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_STAR,
    TOKEN_SLASH,
    TOKEN_PERCENT,
    TOKEN_EQ,
    TOKEN_NE,
    TOKEN_LT,
    TOKEN_LE,
    TOKEN_GT,
    TOKEN_GE,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_BAD /* no token of the language; text is it */
} TokenKind;

typedef struct Token {
    TokenKind kind;
    Slice text;
    TfPos pos;
} Token;

/* Reads tokens of `text`, which is a file or, in the JSON syntax, a string of one: then every
 * position is that of the string. */
typedef struct Lexer {
    Slice text;
    size_t at;
    const TfFile *file;
    bool fixed;
    size_t fixed_offset;
} Lexer;

TfPos lexer_pos(const Lexer *lexer, size_t at);
/* Never fails: what is no token comes as TOKEN_BAD; an unclosed comment too. */
Token lexer_next(Lexer *lexer);
/* What may stand behind a dot: a name, * or digits (without fraction); otherwise as lexer_next. */
Token lexer_next_step(Lexer *lexer);
/* For humans: `end of line`, `"="`, … */
const char *token_describe(Arena *arena, Token token);

/* ---- expressions -------------------------------------------------------------------------- */

typedef enum ExprKind {
    EXPR_LITERAL,
    EXPR_TEMPLATE, /* strings joined; with one part and `unwrap`, that part's own value */
    EXPR_TEMPLATE_IF,
    EXPR_TEMPLATE_FOR,
    EXPR_LIST,
    EXPR_OBJECT,
    EXPR_FOR, /* [for …] and {for …} */
    EXPR_CONDITIONAL,
    EXPR_UNARY,
    EXPR_BINARY,
    EXPR_ATTR,
    EXPR_INDEX,
    EXPR_SPLAT,
    EXPR_ITEM, /* what the surrounding splat goes through */
    EXPR_CALL,
    EXPR_NAME, /* a bare name; references are made of it by resolve.c */
    EXPR_PARENS,
    EXPR_REF, /* a declaration: its value */
    EXPR_EACH_KEY,
    EXPR_EACH_VALUE,
    EXPR_COUNT_INDEX,
    EXPR_ERROR /* reported already; evaluates to unknown */
} ExprKind;

typedef enum Op {
    OP_OR,
    OP_AND,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_MOD,
    OP_NEG,
    OP_NOT
} Op;

typedef struct Expr Expr;
struct Node;
struct Function;

typedef VEC(Expr *) ExprList;

typedef struct ObjectItem {
    Expr *key;
    Expr *value;
} ObjectItem;

typedef struct ForExpr {
    Slice key_name; /* empty when there is none */
    Slice value_name;
    Expr *source;
    Expr *key; /* NULL: gives a list */
    Expr *value;
    Expr *condition; /* NULL: all */
    bool group;
} ForExpr;

struct Expr {
    ExprKind kind;
    int depth;
    TfPos pos;
    union {
        const TfValue *literal;
        struct {
            ExprList parts;
            bool unwrap;
        } sequence; /* template, list */
        struct {
            ObjectItem *items;
            size_t len;
        } object;
        ForExpr loop; /* for, template for: there `value` is the template */
        struct {
            Expr *condition;
            Expr *yes;
            Expr *no; /* NULL in a template: nothing */
        } choice;
        struct {
            Op op;
            Expr *left;
            Expr *right; /* NULL for unary operators */
        } binary;
        struct {
            Expr *from;
            Slice name;
        } attr;
        struct {
            Expr *from;
            Expr *key;
        } index;
        struct {
            Expr *from;
            Expr *each;
        } splat;
        struct {
            Slice name;
            const struct Function *function; /* set by resolve.c */
            ExprList args;
            bool expand;
        } call;
        Slice name;
        Expr *inner; /* parens */
        struct Node *ref;
    };
};

/* ---- bodies ------------------------------------------------------------------------------- */

typedef struct Body Body;

typedef struct Argument {
    Slice name;
    TfPos pos;
    Expr *expr;
} Argument;

typedef struct Label {
    Slice text;
    TfPos pos;
} Label;

#define BLOCK_LABELS_MAX 3

typedef struct Block {
    Slice type;
    TfPos pos;
    Label labels[BLOCK_LABELS_MAX];
    size_t labels_len;
    Body *body;
} Block;

struct Body {
    VEC(Argument) arguments;
    VEC(Block) blocks;
    TfPos pos;
    bool broken; /* a syntax error is in it, so something may be missing */
};

const Argument *body_argument(const Body *body, const char *name); /* NULL when absent */
const Argument *body_find(const Body *body, Slice name);           /* the same */

/* ---- parsing ------------------------------------------------------------------------------ */

#define PARSER_OPEN_MAX 512

typedef struct Parser {
    Arena *arena;
    TfDiagnostics *diagnostics; /* NULL: errors are counted only */
    Lexer lexer;
    Token token; /* the one being looked at; the lexer stands right behind it */
    bool skip_newlines;
    char open[PARSER_OPEN_MAX]; /* which brackets are open; beyond that many they only count */
    int brackets;               /* how many are open */
    bool in_quote;              /* a quoted string is open */
    int quote_brackets;         /* how many brackets were, at the outermost open quote */
    int depth;                  /* of the recursion */
    bool failed;                /* in the present item: further errors in it would only be echoes */
    size_t errors;
} Parser;

void parser_init(Parser *parser, Arena *arena, TfDiagnostics *diagnostics, const TfFile *file);
void parser_advance(Parser *parser);
void parser_open_bracket(Parser *parser, char bracket); /* one of { [ ( */
/* Reports (the first in an item) and returns false. */
PRINTF_LIKE(4, 5)
bool parser_fail(Parser *parser, TfPos pos, const char *hint, const char *format, ...);
/* Reports that `what` should stand where the present token is. */
bool parser_expected(Parser *parser, const char *what, const char *hint);
bool parser_enter(Parser *parser); /* one level deeper; false with a report when too deep */
void parser_leave(Parser *parser);
/* A new expression; its depth is one more than the deepest of its children that were passed. */
Expr *expr_new(Parser *parser, ExprKind kind, TfPos pos);
void expr_child(Expr *expr, const Expr *child);
bool expr_depth_ok(Parser *parser, const Expr *expr);

/* A whole native file. Syntax errors are reported, and the body holds what could be read. */
Body *parse_file(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file);
/* The same for the JSON syntax of a configuration, or (`values`) of a tfvars file. */
Body *parse_json_file(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file, bool values);
/* In the JSON syntax a nested block is an object or a list of them: appends those to the blocks of
 * `body`. False, without a report, when the argument is neither. */
NODISCARD bool json_blocks(Arena *arena, TfDiagnostics *diagnostics, const Argument *argument,
                           Body *body);
/* One expression that is the whole text; with `fixed_pos` every position is that. */
Expr *parse_expression(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file, Slice text,
                       TfPos fixed_pos);
/* A template without quotes that is the whole text: a string of the JSON syntax. */
Expr *parse_template(Arena *arena, TfDiagnostics *diagnostics, const TfFile *file, Slice text,
                     TfPos fixed_pos);

NODISCARD bool parser_expr(Parser *parser, Expr **ret_expr);
NODISCARD bool parser_term(Parser *parser, Expr **ret_expr); /* what operators and steps stand at */
NODISCARD bool parser_number(Parser *parser, Expr **ret_expr);
/* Past a token of this kind, or a report that `what` should stand there. */
NODISCARD bool parser_take(Parser *parser, TokenKind kind, const char *what);
/* The same of a closing bracket, which belongs to the inside; what follows is read by the outer
 * rule. */
NODISCARD bool parser_close(Parser *parser, TokenKind kind, const char *what, bool skip_newlines);
/* With the present token "for": up to the end of the source, into `expr->loop`. */
NODISCARD bool parser_for_head(Parser *parser, Expr *expr);
/* With the present token QUOTE or HEREDOC: the template, and the token behind it. */
bool parser_template(Parser *parser, Expr **ret_expr);
/* The same where only a plain string may stand. */
NODISCARD bool parser_plain_string(Parser *parser, Slice *ret_text);
/* The literal's text when the expression is a string without anything in it to evaluate. */
bool expr_is_string(const Expr *expr, Slice *ret_text);

/* ---- text --------------------------------------------------------------------------------- */

/* The code point at data[*at], which it moves on. False, moving one byte, when it is not UTF-8. */
bool utf8_next(Slice text, size_t *at, uint32_t *ret_code);
NODISCARD bool utf8_valid(Slice text, size_t *ret_bad_at);
size_t utf8_count(Slice text);
/* The bytes that `count` code points from the start take; all of it when it has fewer. */
size_t utf8_bytes(Slice text, size_t count);
void utf8_append(Buf *out, uint32_t code);
bool is_name_start(char c); /* a letter, _ or part of a code point beyond ASCII */
bool is_name_char(char c);

#endif
