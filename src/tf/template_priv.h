/* A template in pieces: what template_cut.c gives to template.c. */
#ifndef WEIR_TF_TEMPLATE_PRIV_H
#define WEIR_TF_TEMPLATE_PRIV_H

#include "tf/ast_priv.h"

typedef enum TemplateEnd { END_QUOTE, END_HEREDOC, END_TEXT } TemplateEnd;

typedef enum PieceKind {
    PIECE_LITERAL,
    PIECE_VALUE, /* ${…} */
    PIECE_IF,
    PIECE_ELSE,
    PIECE_ENDIF,
    PIECE_FOR,
    PIECE_ENDFOR
} PieceKind;

typedef struct Piece {
    PieceKind kind;
    TfPos pos;
    Slice literal;
    Expr *expr; /* the value, the condition, or an EXPR_TEMPLATE_FOR without its body */
    bool trim_before;
    bool trim_after;
} Piece;

typedef struct Template {
    Parser *parser;
    TemplateEnd end;
    Slice marker; /* of a heredoc */
    TfPos pos;
    bool line_start;
    VEC(Piece) pieces;
} Template;

/* From where the lexer stands to the template's end, behind which it stands then; what is to be
 * trimmed is, and with `indented` what all lines are indented by. */
NODISCARD bool template_pieces(Template *template, bool indented);

#endif
