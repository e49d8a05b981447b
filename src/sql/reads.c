/*
 * Which texts only read, and may share a server connection with others in flight (RULES P3): one
 * SELECT, VALUES, TABLE or WITH that changes and locks nothing, and calls nothing but what is on
 * the list: built-in functions that are stable or immutable. And the digest of a text, in which
 * numbers and strings do not count; and what begins a transaction, and of which kind. Kept beside
 * the steps of words.c, where the dialect asks for it.
 */
#include <stdlib.h>

#include "sql/words_priv.h"

#define DIGEST_PRIME ((uint64_t)0x9e3779b97f4a7c15)

/* What may stand in front of a parenthesis: functions, types and keywords, in order. */
static const char *const callable[] = {
    "abs",
    "acos",
    "age",
    "all",
    "and",
    "any",
    "array",
    "array_agg",
    "array_append",
    "array_cat",
    "array_length",
    "array_lower",
    "array_position",
    "array_prepend",
    "array_remove",
    "array_to_string",
    "array_upper",
    "as",
    "ascii",
    "asin",
    "atan",
    "atan2",
    "avg",
    "between",
    "bit",
    "bit_and",
    "bit_length",
    "bit_or",
    "bool_and",
    "bool_or",
    "btrim",
    "by",
    "cardinality",
    "case",
    "cast",
    "cbrt",
    "ceil",
    "ceiling",
    "char",
    "char_length",
    "character",
    "chr",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "count",
    "cross",
    "cube",
    "current_time",
    "current_timestamp",
    "date_add",
    "date_bin",
    "date_part",
    "date_trunc",
    "daterange",
    "decimal",
    "decode",
    "degrees",
    "dense_rank",
    "distinct",
    "div",
    "else",
    "encode",
    "every",
    "except",
    "exists",
    "exp",
    "extract",
    "filter",
    "first_value",
    "float",
    "floor",
    "format",
    "from",
    "gcd",
    "generate_series",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initcap",
    "inner",
    "int4range",
    "int8range",
    "intersect",
    "interval",
    "isempty",
    "isfinite",
    "isnull",
    "join",
    "json_agg",
    "json_array_elements",
    "json_array_elements_text",
    "json_array_length",
    "json_build_array",
    "json_build_object",
    "json_each",
    "json_each_text",
    "json_extract_path",
    "json_extract_path_text",
    "json_object_agg",
    "json_object_keys",
    "json_typeof",
    "jsonb_agg",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_array_length",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_extract_path",
    "jsonb_extract_path_text",
    "jsonb_object_agg",
    "jsonb_object_keys",
    "jsonb_path_exists",
    "jsonb_path_query",
    "jsonb_path_query_array",
    "jsonb_path_query_first",
    "jsonb_pretty",
    "jsonb_set",
    "jsonb_strip_nulls",
    "jsonb_typeof",
    "lag",
    "last_value",
    "lateral",
    "lcm",
    "lead",
    "least",
    "left",
    "length",
    "like",
    "limit",
    "ln",
    "localtime",
    "localtimestamp",
    "log",
    "lower",
    "lower_inc",
    "lpad",
    "ltrim",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "max",
    "md5",
    "min",
    "mod",
    "mode",
    "not",
    "now",
    "nth_value",
    "ntile",
    "nullif",
    "num_nonnulls",
    "num_nulls",
    "numeric",
    "numrange",
    "nvarchar",
    "octet_length",
    "offset",
    "on",
    "or",
    "order",
    "over",
    "overlay",
    "partition",
    "percent_rank",
    "percentile_cont",
    "percentile_disc",
    "plainto_tsquery",
    "position",
    "pow",
    "power",
    "precision",
    "radians",
    "range_merge",
    "rank",
    "regexp_match",
    "regexp_matches",
    "regexp_replace",
    "regexp_split_to_array",
    "regexp_split_to_table",
    "repeat",
    "replace",
    "reverse",
    "right",
    "rollup",
    "round",
    "row",
    "row_number",
    "row_to_json",
    "rpad",
    "rtrim",
    "select",
    "sets",
    "sha256",
    "sign",
    "similarity",
    "sin",
    "some",
    "split_part",
    "sqrt",
    "starts_with",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "string_agg",
    "string_to_array",
    "strpos",
    "substr",
    "substring",
    "sum",
    "tan",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "to_char",
    "to_date",
    "to_hex",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "translate",
    "trim",
    "trunc",
    "ts_headline",
    "ts_rank",
    "ts_rank_cd",
    "tsrange",
    "tstzrange",
    "tsvector_to_array",
    "union",
    "unnest",
    "upper",
    "upper_inc",
    "using",
    "values",
    "var_pop",
    "var_samp",
    "varchar",
    "variance",
    "varying",
    "websearch_to_tsquery",
    "when",
    "where",
    "width_bucket",
    "window",
    "with",
    "within",
    "xmlagg",
};

static int compare_names(const void *a, const void *b)
{
    const char *right;
    memcpy(&right, b, sizeof(right));
    return slice_cmp(*(const Slice *)a, slice_of(right));
}

static bool is_callable(Slice word)
{
    return bsearch(&word, callable, ARRAY_LEN(callable), sizeof(*callable), compare_names) != NULL;
}

static void digest_add(SqlScan *scan, uint64_t value)
{
    scan->effects.digest = (scan->effects.digest ^ value) * DIGEST_PRIME;
    scan->effects.digest ^= scan->effects.digest >> 29;
}

static void digest_word(SqlScan *scan, Slice word)
{
    uint64_t value = word.len;
    for (size_t i = 0; i < word.len; i++) {
        value = value * 257 + (uint8_t)word.data[i];
    }
    digest_add(scan, value);
}

/* What a read may not have as a name or keyword. */
static bool is_barred(Slice word)
{
    static const char *const words[] = {"insert", "update", "delete", "merge",
                                        "share",  "into",   "lock",   "information_schema"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_is(word, words[i])) {
            return true;
        }
    }
    return slice_starts(word, "pg_") && !slice_is(word, "pg_catalog");
}

static bool begins_read(Slice word)
{
    return slice_is(word, "select") || slice_is(word, "with") || slice_is(word, "values") ||
           slice_is(word, "table");
}

/* What by itself changes nothing but the session and its transaction. */
static bool is_control(Slice word)
{
    static const char *const words[] = {
        "begin", "start",     "commit",  "end",   "rollback", "abort", "show",       "set",
        "reset", "savepoint", "release", "fetch", "move",     "close", "deallocate", "unlisten"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_is(word, words[i])) {
            return true;
        }
    }
    return false;
}

static void control_word(SqlScan *scan, Slice word, bool quoted)
{
    if (scan->read_ == READ_NONE) {
        bool begins = !quoted && (slice_is(word, "begin") || slice_is(word, "start"));
        scan->control_ = !quoted && is_control(word) ? READ_SO_FAR : READ_NOT;
        scan->begin_ = begins ? SQL_BEGINS : 0;
        return;
    }
    bool another = scan->words_ == 1; /* statement */
    if (another || slice_is(word, "prepared")) {
        scan->control_ = READ_NOT;
    }
    if (scan->begin_ != 0) {
        scan->begin_ |= slice_is(word, "serializable") ? SQL_BEGINS_SERIALIZABLE : 0;
        scan->begin_ |= scan->read_word_ && slice_is(word, "only") ? SQL_BEGINS_READ_ONLY : 0;
        scan->begin_ |= scan->read_word_ && slice_is(word, "write") ? SQL_BEGINS_READ_WRITE : 0;
        scan->read_word_ = slice_is(word, "read");
    }
}

void sql_reads_word(SqlScan *scan, Slice word, bool quoted)
{
    bool first = scan->read_ == READ_NONE;
    control_word(scan, word, quoted);
    if (first) {
        scan->read_ = !quoted && begins_read(word) ? READ_SO_FAR : READ_NOT;
    } else if (is_barred(word)) {
        scan->read_ = READ_NOT;
    }
    scan->qualified_ = scan->dot_ && !scan->catalog_;
    scan->catalog_ = slice_is(word, "pg_catalog");
    scan->dot_ = false;
    scan->named_ = true;
    digest_word(scan, word);
}

void sql_reads_other(SqlScan *scan, char c)
{
    if (c == '(' && scan->named_ &&
        (scan->qualified_ ||
         !(is_callable((Slice){scan->word_, scan->word_len_}) || sql_config_begins(scan)))) {
        scan->read_ = READ_NOT;
    }
    scan->dot_ = c == '.' && scan->named_;
    scan->catalog_ = scan->catalog_ && scan->dot_;
    scan->named_ = false;
    if (!(c >= '0' && c <= '9') && c != '.') {
        digest_add(scan, (uint8_t)c);
    }
}

void sql_reads_end(SqlScan *scan)
{
    TextEffects *effects = &scan->effects;
    bool plain = effects->pin == PIN_NONE && !effects->writes;
    bool control = plain && (scan->control_ == READ_SO_FAR || scan->read_ == READ_NONE);
    bool reads = scan->read_ == READ_SO_FAR && plain && !effects->alone && !effects->forgets;
    bool token = effects->token != 0; /* which no other server knows */
    effects->reads = reads && scan->touched_len_ == 0 && !token;
    effects->harmless = effects->reads || control || (reads && token);
    effects->begins = control ? scan->begin_ : 0;
}
