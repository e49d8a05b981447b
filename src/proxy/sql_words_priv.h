/* What the words of a statement mean to sql_scan: the tables, and one step per word. */
#ifndef WEIR_PROXY_SQL_WORDS_PRIV_H
#define WEIR_PROXY_SQL_WORDS_PRIV_H

#include "proxy/sql_scan_priv.h"

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

#endif
