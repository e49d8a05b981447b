/*
 * explain: what a pool would do with statements, by the scan that the pool itself uses. Pure; the
 * command is explain_command.c.
 */
#ifndef WEIR_PROXY_EXPLAIN_PRIV_H
#define WEIR_PROXY_EXPLAIN_PRIV_H

#include "sql/sql.h"

/* A text of statements, on the way. Zeroed to start, with the first two filled in. */
typedef struct Explain {
    SqlDialect dialect;
    Slice rest;
    size_t lines; /* of what was read */
    SqlScan scan; /* of the last statement; what it touched is in there */
} Explain;

typedef struct Explained {
    Slice text;  /* without comments and space around it, and without the ';' */
    size_t line; /* that it begins in, from 1 */
    bool open;   /* it has no end: a string, a comment or a parenthesis goes on */
    TextEffects effects;
} Explained;

/* False: there is no statement any more. `effects` is valid until the next call. */
bool explain_next(Explain *explain, Explained *ret_explained);

/* What else there is to know of it besides that it pins or not, as "sets a, b; may move a
 * sequence"; nothing where there is nothing. */
void explain_remarks(const TextEffects *effects, Buf *out);
/* At most so many bytes of it, in one line that shows safely on a terminal. */
void explain_excerpt(Slice text, size_t max, Buf *out);

/* explain_command.c: `weir proxy explain` */
int proxy_explain_main(int argc, char **argv);

#endif
