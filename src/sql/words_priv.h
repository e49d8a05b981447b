/* What the words of a statement mean to sql_scan: the tables, and one step per word
 * (words.c); and what SET, RESET, DISCARD and set_config change, and SHOW shows (settings.c). */
#ifndef WEIR_SQL_WORDS_PRIV_H
#define WEIR_SQL_WORDS_PRIV_H

#include "sql/sql.h"

/* What the statement is, by its words so far. */
enum SqlKind {
    KIND_NONE = 0,    /* the statement has no word yet */
    KIND_QUIET,       /* leaves nothing behind */
    KIND_WRITE,       /* may move sequences, and leaves nothing else behind */
    KIND_PIN,         /* already counted */
    KIND_END,         /* of a transaction */
    KIND_PREPARE,     /* the next word is a name, or TRANSACTION */
    KIND_PREPARE_TWO, /* PREPARE TRANSACTION: a string follows, or it was a name after all */
    KIND_CREATE,
    KIND_ALTER,
    KIND_EXPLAIN, /* explains another statement */
    KIND_SET,     /* from here on: SET, RESET, DISCARD and SHOW, as of settings.c */
    KIND_RESET,
    KIND_DISCARD,
    KIND_SET_REST,      /* behind SET SESSION and SET LOCAL, which may have been a name */
    KIND_SET_TIME,      /* ZONE follows, or it was a name; so with the next ones */
    KIND_SET_XML,       /* OPTION */
    KIND_SET_SESSION,   /* SET SESSION AUTHORIZATION: its value follows */
    KIND_RESET_TIME,    /* ZONE */
    KIND_RESET_SESSION, /* AUTHORIZATION */
    KIND_SKIP,          /* SET TRANSACTION: a dot would make it a custom setting */
    KIND_SET_NAME,      /* behind a setting's name */
    KIND_SET_DOT,       /* behind a dot in it */
    KIND_RESET_NAME,
    KIND_RESET_DOT,
    KIND_SET_TO,    /* the value comes */
    KIND_SET_VALUE, /* a schema pg_temp in it would make tables temporary */
    KIND_SHOW,
    KIND_SHOW_NAME, /* behind a setting's name, or the beginning of one */
    KIND_SHOW_DOT,
};

/* A name or keyword, in lower case; `quoted` ones are no keywords. */
void sql_words_take(SqlScan *scan, Slice word, bool quoted);
/* Anything else but space and comments. */
void sql_words_other(SqlScan *scan, char c);
/* Whether the text of a string matters here: then it is collected, and given to the second. One
 * that is not spelled out (escapes, dollar quotes) is given to the third. */
bool sql_words_wants_string(const SqlScan *scan);
void sql_words_string(SqlScan *scan, Slice text);
void sql_words_hidden_string(SqlScan *scan);
void sql_words_statement_end(SqlScan *scan);
void sql_scan_pin(SqlScan *scan, PinReason reason);
void sql_statement_pin(SqlScan *scan, PinReason reason); /* and what follows does not matter */

/* The same steps for what only reads (reads.c). */
enum { READ_NONE, READ_SO_FAR, READ_NOT };
void sql_reads_word(SqlScan *scan, Slice word, bool quoted);
void sql_reads_other(SqlScan *scan, char c);
void sql_reads_end(SqlScan *scan);

/* The same steps for SET, RESET, DISCARD and SHOW, once the kind says so. */
bool sql_settings_has(const SqlScan *scan);
void sql_settings_take(SqlScan *scan, Slice word, bool quoted);
void sql_settings_other(SqlScan *scan, char c);
void sql_settings_end(SqlScan *scan);
void sql_settings_level(SqlScan *scan, Slice level); /* the value, where `quiets_` is set */
/* And for what stands behind the words set_config and current_setting. */
void sql_config_begin(SqlScan *scan);
void sql_config_begin_show(SqlScan *scan);
bool sql_config_begins(
    const SqlScan *scan);            /* it was just read: its name decides whether it reads */
void sql_config_take(SqlScan *scan); /* a word, or the end */
bool sql_config_wants(const SqlScan *scan); /* the next string is the name */
void sql_config_hidden(SqlScan *scan);      /* which is not spelled out */
void sql_config_other(SqlScan *scan, char c);
void sql_config_name(SqlScan *scan, Slice name);

#endif
