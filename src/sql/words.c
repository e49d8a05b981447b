/* Statements by their first words, and the functions that keep state. A statement that is not in
 * the table pins; so does one that begins with anything but a word or a parenthesis. */
#include "sql/words_priv.h"

typedef struct FirstWord {
    const char *word;
    uint8_t kind;
    PinReason pin;
    bool alone; /* as SqlScan's */
} FirstWord;

static const FirstWord first_words[] = {
    {"select", KIND_QUIET, 0, false},
    {"insert", KIND_WRITE, 0, false},
    {"update", KIND_WRITE, 0, false},
    {"delete", KIND_WRITE, 0, false},
    {"begin", KIND_QUIET, 0, false},
    {"commit", KIND_END, 0, true},
    {"rollback", KIND_END, 0, true},
    {"with", KIND_QUIET, 0, false},
    {"set", KIND_SET, 0, false},
    {"show", KIND_SHOW, 0, false},
    {"copy", KIND_WRITE, 0, false},
    {"savepoint", KIND_QUIET, 0, false},
    {"release", KIND_QUIET, 0, false},
    {"return", KIND_QUIET, 0, false}, /* in BEGIN ATOMIC … END */
    {"start", KIND_QUIET, 0, false},
    {"end", KIND_END, 0, true},
    {"abort", KIND_END, 0, true},
    {"values", KIND_QUIET, 0, false},
    {"table", KIND_QUIET, 0, false},
    {"fetch", KIND_QUIET, 0, false},
    {"move", KIND_QUIET, 0, false},
    {"close", KIND_QUIET, 0, false},
    {"merge", KIND_WRITE, 0, false},
    {"truncate", KIND_WRITE, 0, false},
    {"call", KIND_WRITE, 0, true},
    {"create", KIND_CREATE, 0, true},
    {"alter", KIND_ALTER, 0, true},
    {"drop", KIND_WRITE, 0, true},
    {"grant", KIND_QUIET, 0, false},
    {"revoke", KIND_QUIET, 0, false},
    {"comment", KIND_QUIET, 0, false},
    {"analyze", KIND_WRITE, 0, false},
    {"analyse", KIND_WRITE, 0, false},
    {"vacuum", KIND_WRITE, 0, true},
    {"cluster", KIND_WRITE, 0, true},
    {"reindex", KIND_WRITE, 0, true},
    {"refresh", KIND_WRITE, 0, false},
    {"lock", KIND_QUIET, 0, false},
    {"notify", KIND_QUIET, 0, false},
    {"checkpoint", KIND_QUIET, 0, true},
    {"explain", KIND_EXPLAIN, 0, false},
    {"security", KIND_QUIET, 0, true},
    {"reassign", KIND_WRITE, 0, true},
    {"import", KIND_WRITE, 0, true},
    {"unlisten", KIND_QUIET, 0, false},
    {"deallocate", KIND_QUIET, 0, false},
    {"reset", KIND_RESET, 0, false},
    {"discard", KIND_DISCARD, 0, true},
    {"declare", KIND_QUIET, 0, false},
    {"prepare", KIND_PREPARE, 0, true},
    {"execute", KIND_PIN, PIN_SQL_PREPARE, true},
    {"listen", KIND_PIN, PIN_LISTEN, false},
    {"load", KIND_PIN, PIN_LOAD, true},
    {"do", KIND_PIN, PIN_ANONYMOUS_CODE, true},
};

typedef struct StateFunction {
    const char *name; /* or the beginning of names */
    size_t len;
    bool family;
    PinReason pin; /* PIN_NONE: it moves a sequence */
} StateFunction;

#define FUNCTION(name, pin)                                                                        \
    {                                                                                              \
        name, sizeof(name) - 1, false, pin                                                         \
    }
#define FAMILY(name, pin)                                                                          \
    {                                                                                              \
        name, sizeof(name) - 1, true, pin                                                          \
    }

#define FUNCTION_NAME_MIN 6 /* the shortest of the names below */

/* The first that fits counts. pg_notify, the pg_advisory_xact_ family and lo_ are bound to the
 * transaction; unlocking what was never locked changes nothing. */
static const StateFunction state_functions[] = {
    FUNCTION("set_limit", PIN_SETTING),
    FUNCTION("currval", PIN_SEQUENCE_VALUE),
    FUNCTION("lastval", PIN_SEQUENCE_VALUE),
    FUNCTION("nextval", PIN_NONE),
    FUNCTION("setval", PIN_NONE),
    FAMILY("pg_temp", PIN_TEMPORARY),
    FAMILY("pg_advisory_xact_", PIN_NONE),
    FAMILY("pg_advisory_unlock", PIN_NONE),
    FAMILY("pg_try_advisory_xact_", PIN_NONE),
    FAMILY("pg_advisory_", PIN_ADVISORY_LOCK),
    FAMILY("pg_try_advisory_", PIN_ADVISORY_LOCK),
    FUNCTION("setseed", PIN_STATE_FUNCTION),
    FAMILY("dblink", PIN_STATE_FUNCTION),
    FAMILY("pg_replication_origin_session_", PIN_STATE_FUNCTION),
    FUNCTION("pg_create_logical_replication_slot", PIN_STATE_FUNCTION),
    FUNCTION("pg_create_physical_replication_slot", PIN_STATE_FUNCTION),
    FUNCTION("pg_copy_logical_replication_slot", PIN_STATE_FUNCTION),
    FUNCTION("pg_copy_physical_replication_slot", PIN_STATE_FUNCTION),
    FUNCTION("pg_backup_start", PIN_STATE_FUNCTION),
    FUNCTION("pg_start_backup", PIN_STATE_FUNCTION),
    /* These run SQL that they are given as text. */
    FAMILY("query_to_xml", PIN_STATE_FUNCTION),
    FUNCTION("ts_stat", PIN_STATE_FUNCTION),
    FUNCTION("ts_rewrite", PIN_STATE_FUNCTION),
    FAMILY("crosstab", PIN_STATE_FUNCTION),
    FUNCTION("connectby", PIN_STATE_FUNCTION),
};

/* Words that mean something together with the next one. */
enum Before { BEFORE_NONE, BEFORE_CREATE, BEFORE_INTO, BEFORE_SCOPE, BEFORE_WITH, BEFORE_FOR };

/* What it runs is not known, and may set anything. */
static bool is_unseen(PinReason reason)
{
    return reason == PIN_SETTING || reason == PIN_ANONYMOUS_CODE || reason == PIN_STATE_FUNCTION ||
           reason == PIN_HIDDEN_STATE || reason == PIN_ENCODING || reason == PIN_LOAD ||
           reason == PIN_UNKNOWN_STATEMENT;
}

void sql_scan_pin(SqlScan *scan, PinReason reason)
{
    scan->effects.quiets = scan->effects.quiets || is_unseen(reason);
    scan->effects.pins |= reason != PIN_NONE ? PIN_BIT(reason) : 0;
    if (scan->effects.pin == PIN_NONE) {
        scan->effects.pin = reason;
    }
}

void sql_statement_pin(SqlScan *scan, PinReason reason)
{
    scan->kind_ = KIND_PIN;
    sql_scan_pin(scan, reason);
    scan->effects.writes = true;
}

/* Nobody knows what it is. */
static void statement_unknown(SqlScan *scan)
{
    sql_statement_pin(scan, PIN_UNKNOWN_STATEMENT);
    scan->effects.alone = scan->effects.ends = true;
}

/* As the first word of a statement. */
static bool is_releasing(Slice word)
{
    return slice_is(word, "discard") || slice_is(word, "deallocate") ||
           slice_is(word, "unlisten") || slice_is(word, "close") || slice_is(word, "drop") ||
           slice_is(word, "rollback") || slice_is(word, "abort");
}

static bool is_ending(Slice word)
{
    return slice_is(word, "commit") || slice_is(word, "end") || slice_is(word, "prepare") ||
           slice_is(word, "call") || slice_is(word, "do");
}

static bool is_bare(Slice word)
{
    return slice_is(word, "begin") || slice_is(word, "start") || slice_is(word, "rollback") ||
           slice_is(word, "abort");
}

static bool is_listening(Slice word)
{
    return slice_is(word, "listen") || slice_is(word, "notify") || slice_is(word, "begin") ||
           slice_is(word, "start");
}

static void take_first(SqlScan *scan, Slice word)
{
    scan->effects.several = scan->effects.several || scan->statements_ > 0;
    scan->effects.alone = scan->effects.alone || scan->statements_ > 0;
    scan->effects.bare = scan->statements_ == 0 && is_bare(word);
    scan->effects.ends = scan->effects.ends || is_ending(word);
    scan->statements_ = 1;
    for (size_t i = 0; i < ARRAY_LEN(first_words); i++) {
        const FirstWord *first = &first_words[i];
        if (first->word[0] != word.data[0] || !slice_is(word, first->word)) {
            continue;
        }
        if (first->kind == KIND_PIN) {
            sql_statement_pin(scan, first->pin);
        }
        scan->effects.forgets =
            scan->effects.forgets || slice_is(word, "discard") || slice_is(word, "deallocate");
        scan->effects.releases = scan->effects.releases || is_releasing(word);
        scan->effects.undoes =
            scan->effects.undoes || slice_is(word, "rollback") || slice_is(word, "abort");
        scan->effects.unlistens =
            scan->effects.unlistens || slice_is(word, "unlisten") || slice_is(word, "discard");
        scan->effects.listens =
            scan->effects.listens || scan->effects.unlistens || is_listening(word);
        scan->effects.alone = scan->effects.alone || first->alone;
        scan->kind_ = first->kind;
        scan->effects.writes = scan->effects.writes || first->kind == KIND_WRITE ||
                               first->kind == KIND_CREATE || first->kind == KIND_ALTER;
        return;
    }
    statement_unknown(scan);
}

/* In CREATE and ALTER: what may make the database do something by itself. */
static bool is_behaviour(Slice word)
{
    static const char *const words[] = {
        "function", "procedure", "routine", "aggregate", "operator", "cast",   "domain",
        "trigger",  "rule",      "policy",  "view",      "default",  "check",  "extension",
        "row",      "inherit",   "attach",  "generated", "owner",    "schema", "rename"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_is(word, words[i])) {
            return true;
        }
    }
    return false;
}

/* The words behind the first one, for the statements where they decide. */
static void take_next(SqlScan *scan, Slice word, bool quoted)
{
    switch (scan->kind_) {
    case KIND_END:
        scan->effects.chains = scan->effects.chains || slice_is(word, "chain");
        scan->effects.bare = scan->effects.bare && !slice_is(word, "prepared");
        break;
    case KIND_PREPARE:
        if (!quoted && slice_is(word, "transaction")) {
            scan->kind_ = KIND_PREPARE_TWO;
        } else {
            sql_statement_pin(scan, PIN_SQL_PREPARE);
        }
        break;
    case KIND_PREPARE_TWO:
        sql_statement_pin(scan, PIN_SQL_PREPARE);
        break;
    case KIND_CREATE:
        /* Its library may bring settings and hooks of its own. */
        if (scan->words_ == 1 && !quoted && slice_is(word, "extension")) {
            sql_statement_pin(scan, PIN_LOAD);
        }
        scan->effects.releases = scan->effects.releases || slice_is(word, "drop"); /* ON COMMIT */
        scan->effects.ddl = scan->effects.ddl || is_behaviour(word);
        scan->routine_ = scan->routine_ ||
                         (!quoted && (slice_is(word, "function") || slice_is(word, "procedure")));
        break;
    case KIND_ALTER:
        scan->effects.ddl = scan->effects.ddl || is_behaviour(word);
        break;
    default:
        break;
    }
}

/* The body of a routine in SQL's own words goes on behind each ';' to its END; a CASE has one, too.
 * (psql's rule.) */
static void take_block(SqlScan *scan, Slice word)
{
    if (scan->blocks_ > 0 && slice_is(word, "end")) {
        scan->blocks_--;
    } else if (scan->parens_ == 0 &&
               (slice_is(word, "begin") || (scan->blocks_ > 0 && slice_is(word, "case")))) {
        scan->blocks_++;
    }
}

/* Most words differ from all of them in the first four bytes: FUNCTION_NAME_MIN has more. */
static bool function_fits(const StateFunction *function, Slice word)
{
    uint32_t mine;
    uint32_t theirs;
    memcpy(&mine, word.data, sizeof(mine));
    memcpy(&theirs, function->name, sizeof(theirs));
    return mine == theirs &&
           (function->family ? word.len >= function->len : word.len == function->len) &&
           memcmp(word.data, function->name, function->len) == 0;
}

static bool is_lock(Slice word)
{
    return (slice_starts(word, "pg_advisory_") && !slice_starts(word, "pg_advisory_unlock")) ||
           slice_starts(word, "pg_try_advisory_");
}

static void take_function(SqlScan *scan, Slice word)
{
    if (word.len < FUNCTION_NAME_MIN) {
        return; /* most words */
    }
    if (slice_is(word, "set_config")) {
        sql_config_begin(scan);
        return;
    }
    if (slice_is(word, "current_setting")) {
        sql_config_begin_show(scan);
        return;
    }
    if (scan->effects.writes && slice_is(word, "pg_settings")) {
        sql_scan_pin(scan, PIN_SETTING); /* UPDATE pg_settings is SET */
    }
    scan->effects.listens = scan->effects.listens || slice_is(word, "pg_notify") ||
                            slice_is(word, "pg_listening_channels");
    for (size_t i = 0; i < ARRAY_LEN(state_functions); i++) {
        if (function_fits(&state_functions[i], word)) {
            sql_scan_pin(scan, state_functions[i].pin);
            scan->effects.writes = true;
            scan->effects.locks = scan->effects.locks || is_lock(word);
            scan->effects.releases =
                scan->effects.releases || slice_starts(word, "pg_advisory_unlock");
            return;
        }
    }
}

/* CREATE [OR REPLACE] [GLOBAL|LOCAL] TEMP, INTO TEMP, WITH HOLD, and what writes inside of WITH or
 * EXPLAIN. FOR UPDATE does not. */
static void take_pair(SqlScan *scan, Slice word)
{
    uint8_t before = scan->before_;
    scan->before_ = BEFORE_NONE;
    bool scoped = before == BEFORE_CREATE || before == BEFORE_INTO || before == BEFORE_SCOPE;
    if (slice_is(word, "create") || (before == BEFORE_CREATE && slice_is(word, "or")) ||
        (before == BEFORE_CREATE && slice_is(word, "replace"))) {
        scan->before_ = BEFORE_CREATE;
    } else if (slice_is(word, "into") && scan->kind_ != KIND_WRITE) {
        scan->before_ = BEFORE_INTO;
    } else if (scoped && (slice_is(word, "global") || slice_is(word, "local"))) {
        scan->before_ = BEFORE_SCOPE;
    } else if (scoped && (slice_is(word, "temp") || slice_is(word, "temporary"))) {
        sql_scan_pin(scan, PIN_TEMPORARY);
    } else if (slice_is(word, "with")) {
        scan->before_ = BEFORE_WITH;
    } else if (before == BEFORE_WITH && slice_is(word, "hold")) {
        sql_scan_pin(scan, PIN_HOLD_CURSOR);
    } else if (slice_is(word, "for") || (before == BEFORE_FOR && slice_is(word, "no")) ||
               (before == BEFORE_FOR && slice_is(word, "key"))) {
        scan->before_ = BEFORE_FOR;
    } else if (slice_is(word, "insert") || slice_is(word, "delete") || slice_is(word, "merge") ||
               (before != BEFORE_FOR && slice_is(word, "update"))) {
        scan->effects.writes = true;
    } else if (scan->kind_ == KIND_EXPLAIN && slice_is(word, "execute")) {
        sql_scan_pin(scan, PIN_SQL_PREPARE);
    }
}

static void take_known_name(SqlScan *scan, Slice word)
{
    uintptr_t effects = (uintptr_t)map_get(scan->dialect.names->map, word);
    scan->effects.writes = scan->effects.writes || (effects & SQL_NAME_WRITES) != 0;
    if ((effects & SQL_NAME_HIDDEN) != 0) {
        sql_scan_pin(scan, PIN_HIDDEN_STATE);
    }
}

void sql_words_take(SqlScan *scan, Slice word, bool quoted)
{
    if (word.len == 0) {
        sql_words_other(scan, '"');
        return;
    }
    sql_config_take(scan);
    if (scan->kind_ == KIND_NONE && quoted) {
        statement_unknown(scan);
    } else if (scan->kind_ == KIND_NONE) {
        take_first(scan, word);
    } else if (sql_settings_has(scan)) {
        sql_settings_take(scan, word, quoted);
    } else {
        take_next(scan, word, quoted);
    }
    if (scan->words_ < 2) {
        scan->words_++;
    }
    if (scan->dialect.names != NULL) {
        take_known_name(scan, word);
    }
    if (scan->dialect.wants_reads) {
        sql_reads_word(scan, word, quoted);
    }
    if (quoted) {
        scan->before_ = BEFORE_NONE;
    } else {
        take_pair(scan, word);
    }
    if (scan->routine_ && !quoted) {
        take_block(scan, word);
    }
    take_function(scan, word);
}

static void take_other(SqlScan *scan, char c)
{
    switch (scan->kind_) {
    case KIND_NONE:
        if (c != '(') {
            statement_unknown(scan);
        }
        break;
    case KIND_PREPARE:
        sql_statement_pin(scan, PIN_SQL_PREPARE);
        break;
    case KIND_PREPARE_TWO:
        if (c == '\'') {
            scan->kind_ = KIND_QUIET;
        } else {
            sql_statement_pin(scan, PIN_SQL_PREPARE);
        }
        break;
    default:
        break;
    }
}

static void take_paren(SqlScan *scan, char c)
{
    if (c == '(') {
        scan->parens_++;
    } else if (c == ')' && scan->parens_ > 0) {
        scan->parens_--;
    }
}

void sql_words_other(SqlScan *scan, char c)
{
    scan->before_ = BEFORE_NONE;
    if (scan->dialect.wants_reads) {
        sql_reads_other(scan, c);
    }
    take_paren(scan, c);
    sql_config_other(scan, c);
    if (sql_settings_has(scan)) {
        sql_settings_other(scan, c);
    } else {
        take_other(scan, c);
    }
}

static bool is_search_path(const SqlScan *scan)
{
    return scan->kind_ == KIND_SET_VALUE &&
           slice_is((Slice){scan->name_, scan->name_len_}, "search_path");
}

bool sql_words_wants_string(const SqlScan *scan)
{
    return sql_config_wants(scan) || is_search_path(scan) || scan->quiets_;
}

void sql_words_string(SqlScan *scan, Slice text)
{
    if (sql_config_wants(scan)) {
        sql_config_name(scan, text);
    } else if (scan->quiets_) {
        sql_settings_level(scan, text);
    } else {
        take_function(scan, text);
    }
}

void sql_words_hidden_string(SqlScan *scan)
{
    if (sql_config_wants(scan)) {
        sql_config_hidden(scan);
    } else if (is_search_path(scan)) {
        sql_statement_pin(scan, PIN_SETTING);
    }
}

void sql_words_statement_end(SqlScan *scan)
{
    /* SET and PREPARE alone are errors; the server says so. */
    if (sql_settings_has(scan)) {
        sql_settings_end(scan);
    }
    sql_config_take(scan);
    scan->effects.quiets = scan->effects.quiets || scan->quiets_;
    scan->quiets_ = false;
    scan->kind_ = KIND_NONE;
    scan->words_ = 0;
    scan->before_ = BEFORE_NONE;
    scan->routine_ = scan->routine_ && scan->blocks_ > 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *sentence;
} reasons[PIN_REASON_COUNT] = {
    [PIN_NONE] = {"none", "None."},
    [PIN_SETTING] = {"setting", "SQL changed session settings that the proxy doesn't track."},
    [PIN_SQL_PREPARE] = {"sql_prepare", "SQL prepared or executed a prepared statement."},
    [PIN_PROTOCOL_PREPARE] = {"protocol_prepare",
                              "The client prepared a named statement by the protocol."},
    [PIN_UNNAMED_STATEMENT] = {"unnamed_statement",
                               "The client keeps an unnamed prepared statement for later."},
    [PIN_LISTEN] = {"listen", "SQL listens for notifications."},
    [PIN_TEMPORARY] = {"temporary_object", "SQL created or named a temporary object."},
    [PIN_ADVISORY_LOCK] = {"advisory_lock", "SQL took an advisory lock of the session."},
    [PIN_HOLD_CURSOR] = {"hold_cursor", "SQL declared a cursor WITH HOLD."},
    [PIN_LOAD] = {"load", "SQL loaded a library."},
    [PIN_SEQUENCE_VALUE] = {"sequence_value", "SQL asked for the session's value of a sequence."},
    [PIN_ANONYMOUS_CODE] = {"anonymous_code", "SQL ran an anonymous code block."},
    [PIN_STATE_FUNCTION] = {"state_function", "SQL called a function that keeps session state."},
    [PIN_HIDDEN_STATE] = {"hidden_state",
                          "SQL reached a function of the database that may keep session state."},
    [PIN_FUNCTION_CALL] = {"function_call", "The client called a function by the protocol."},
    [PIN_ENCODING] = {"encoding", "The text cannot be read safely in the client's encoding."},
    [PIN_UNKNOWN_STATEMENT] = {"unknown_statement", "The proxy doesn't know the statement."},
    [PIN_CONVERSATION] = {"conversation", "The state of the conversation isn't certain."},
    [PIN_REPLICATION] = {"replication", "The client connected for logical replication."},
};

const char *pin_reason_name(PinReason reason)
{
    return reasons[reason].name;
}

const char *pin_reason_sentence(PinReason reason)
{
    return reasons[reason].sentence;
}
