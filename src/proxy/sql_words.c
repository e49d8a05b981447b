/* Statements by their first words, and the functions that keep state. A statement that is not in
 * the table pins; so does one that begins with anything but a word or a parenthesis. */
#include "proxy/sql_words_priv.h"

enum Kind {
    KIND_NONE = 0,  /* the statement has no word yet */
    KIND_QUIET,     /* leaves nothing behind */
    KIND_WRITE,     /* may move sequences, and leaves nothing else behind */
    KIND_PIN,       /* already counted */
    KIND_SET,       /* SET: the next word decides */
    KIND_SET_LOCAL, /* SET LOCAL: the next word is the setting's name */
    KIND_SET_NAME,  /* behind that name: a dot would make it a custom one */
    KIND_SET_VALUE, /* behind that: a schema pg_temp would make tables temporary */
    KIND_NAME,      /* a dot behind this word makes it the name of a custom setting */
    KIND_RESET,
    KIND_PREPARE,     /* the next word is a name, or TRANSACTION */
    KIND_PREPARE_TWO, /* PREPARE TRANSACTION: a string follows, or it was a name after all */
    KIND_CREATE,
    KIND_EXPLAIN, /* explains another statement */
};

typedef struct FirstWord {
    const char *word;
    uint8_t kind;
    PinReason pin;
} FirstWord;

static const FirstWord first_words[] = {
    {"select", KIND_QUIET, 0},
    {"insert", KIND_WRITE, 0},
    {"update", KIND_WRITE, 0},
    {"delete", KIND_WRITE, 0},
    {"begin", KIND_QUIET, 0},
    {"commit", KIND_QUIET, 0},
    {"rollback", KIND_QUIET, 0},
    {"with", KIND_QUIET, 0},
    {"set", KIND_SET, 0},
    {"show", KIND_QUIET, 0},
    {"copy", KIND_WRITE, 0},
    {"savepoint", KIND_QUIET, 0},
    {"release", KIND_QUIET, 0},
    {"start", KIND_QUIET, 0},
    {"end", KIND_QUIET, 0},
    {"abort", KIND_QUIET, 0},
    {"values", KIND_QUIET, 0},
    {"table", KIND_QUIET, 0},
    {"fetch", KIND_QUIET, 0},
    {"move", KIND_QUIET, 0},
    {"close", KIND_QUIET, 0},
    {"merge", KIND_WRITE, 0},
    {"truncate", KIND_WRITE, 0},
    {"call", KIND_WRITE, 0},
    {"create", KIND_CREATE, 0},
    {"alter", KIND_WRITE, 0},
    {"drop", KIND_WRITE, 0},
    {"grant", KIND_QUIET, 0},
    {"revoke", KIND_QUIET, 0},
    {"comment", KIND_QUIET, 0},
    {"analyze", KIND_WRITE, 0},
    {"analyse", KIND_WRITE, 0},
    {"vacuum", KIND_WRITE, 0},
    {"cluster", KIND_WRITE, 0},
    {"reindex", KIND_WRITE, 0},
    {"refresh", KIND_WRITE, 0},
    {"lock", KIND_QUIET, 0},
    {"notify", KIND_QUIET, 0},
    {"checkpoint", KIND_QUIET, 0},
    {"explain", KIND_EXPLAIN, 0},
    {"security", KIND_QUIET, 0},
    {"reassign", KIND_WRITE, 0},
    {"import", KIND_WRITE, 0},
    {"unlisten", KIND_QUIET, 0},
    {"deallocate", KIND_QUIET, 0},
    {"reset", KIND_RESET, 0},
    {"discard", KIND_RESET, 0},
    {"declare", KIND_QUIET, 0},
    {"prepare", KIND_PREPARE, 0},
    {"execute", KIND_PIN, PIN_SQL_PREPARE},
    {"listen", KIND_PIN, PIN_LISTEN},
    {"load", KIND_PIN, PIN_LOAD},
    {"do", KIND_PIN, PIN_ANONYMOUS_CODE},
};

typedef struct StateFunction {
    const char *name; /* ends in '*': a prefix */
    PinReason pin;    /* PIN_NONE: it moves a sequence */
} StateFunction;

/* The first that fits counts. pg_notify, the pg_advisory_xact_ family and lo_ are bound to the
 * transaction; unlocking what was never locked changes nothing. */
static const StateFunction state_functions[] = {
    {"set_config", PIN_SETTING},
    {"set_limit", PIN_SETTING},
    {"currval", PIN_SEQUENCE_VALUE},
    {"lastval", PIN_SEQUENCE_VALUE},
    {"nextval", PIN_NONE},
    {"setval", PIN_NONE},
    {"pg_temp*", PIN_TEMPORARY},
    {"pg_advisory_xact_*", PIN_NONE},
    {"pg_advisory_unlock*", PIN_NONE},
    {"pg_try_advisory_xact_*", PIN_NONE},
    {"pg_advisory_*", PIN_ADVISORY_LOCK},
    {"pg_try_advisory_*", PIN_ADVISORY_LOCK},
    {"setseed", PIN_STATE_FUNCTION},
    {"dblink*", PIN_STATE_FUNCTION},
    {"pg_replication_origin_session_*", PIN_STATE_FUNCTION},
    {"pg_create_logical_replication_slot", PIN_STATE_FUNCTION},
    {"pg_create_physical_replication_slot", PIN_STATE_FUNCTION},
    {"pg_copy_logical_replication_slot", PIN_STATE_FUNCTION},
    {"pg_copy_physical_replication_slot", PIN_STATE_FUNCTION},
    {"pg_backup_start", PIN_STATE_FUNCTION},
    {"pg_start_backup", PIN_STATE_FUNCTION},
    /* These run SQL that they are given as text. */
    {"query_to_xml*", PIN_STATE_FUNCTION},
    {"ts_stat", PIN_STATE_FUNCTION},
    {"ts_rewrite", PIN_STATE_FUNCTION},
    {"crosstab*", PIN_STATE_FUNCTION},
    {"connectby", PIN_STATE_FUNCTION},
};

/* Words that mean something together with the next one. */
enum Before { BEFORE_NONE, BEFORE_CREATE, BEFORE_INTO, BEFORE_SCOPE, BEFORE_WITH, BEFORE_FOR };

void sql_scan_pin(SqlScan *scan, PinReason reason)
{
    if (scan->pin == PIN_NONE) {
        scan->pin = reason;
    }
}

static void statement_pin(SqlScan *scan, PinReason reason)
{
    scan->kind_ = KIND_PIN;
    sql_scan_pin(scan, reason);
    scan->writes = true;
}

static void take_first(SqlScan *scan, Slice word)
{
    for (size_t i = 0; i < ARRAY_LEN(first_words); i++) {
        const FirstWord *first = &first_words[i];
        if (first->word[0] != word.data[0] || !slice_is(word, first->word)) {
            continue;
        }
        if (first->kind == KIND_PIN) {
            statement_pin(scan, first->pin);
        }
        scan->forgets = scan->forgets || slice_is(word, "discard") || slice_is(word, "deallocate");
        scan->kind_ = first->kind;
        scan->writes = scan->writes || first->kind == KIND_WRITE || first->kind == KIND_CREATE;
        return;
    }
    statement_pin(scan, PIN_UNKNOWN_STATEMENT);
}

/* SET LOCAL and SET TRANSACTION end with the transaction; SET local.x does not. */
static void take_set(SqlScan *scan, Slice word, bool quoted)
{
    if (!quoted && slice_is(word, "local")) {
        scan->kind_ = KIND_SET_LOCAL;
    } else if (!quoted && (slice_is(word, "transaction") || slice_is(word, "constraints"))) {
        scan->kind_ = KIND_NAME;
    } else {
        statement_pin(scan, PIN_SETTING);
    }
}

/* A custom setting, x.y, leaves '' behind where there was nothing, even from SET LOCAL. Some change
 * how the next text must be read. */
static void take_local_name(SqlScan *scan, Slice word)
{
    bool changes_text = slice_is(word, "standard_conforming_strings") ||
                        slice_is(word, "client_encoding") || slice_is(word, "names");
    if (changes_text || memchr(word.data, '.', word.len) != NULL) {
        statement_pin(scan, PIN_SETTING);
    } else {
        scan->kind_ = KIND_SET_NAME;
    }
}

static void take_reset_name(SqlScan *scan, Slice word)
{
    if (scan->dialect.baseline_set || memchr(word.data, '.', word.len) != NULL) {
        statement_pin(scan, PIN_SETTING);
    } else {
        scan->kind_ = KIND_NAME;
    }
}

/* The words behind the first one, for the statements where they decide. */
static void take_next(SqlScan *scan, Slice word, bool quoted)
{
    switch (scan->kind_) {
    case KIND_SET:
        take_set(scan, word, quoted);
        break;
    case KIND_SET_LOCAL:
        take_local_name(scan, word);
        break;
    case KIND_SET_NAME:
        scan->kind_ = KIND_SET_VALUE;
        break;
    case KIND_NAME:
        scan->kind_ = KIND_QUIET;
        break;
    case KIND_RESET:
        take_reset_name(scan, word);
        break;
    case KIND_PREPARE:
        if (!quoted && slice_is(word, "transaction")) {
            scan->kind_ = KIND_PREPARE_TWO;
        } else {
            statement_pin(scan, PIN_SQL_PREPARE);
        }
        break;
    case KIND_PREPARE_TWO:
        statement_pin(scan, PIN_SQL_PREPARE);
        break;
    case KIND_CREATE:
        /* Its library may bring settings and hooks of its own. */
        if (scan->words_ == 1 && !quoted && slice_is(word, "extension")) {
            statement_pin(scan, PIN_LOAD);
        }
        break;
    default:
        break;
    }
}

static bool function_fits(const char *name, Slice word)
{
    size_t len = strlen(name);
    if (name[len - 1] != '*') {
        return slice_is(word, name);
    }
    return word.len >= len - 1 && memcmp(word.data, name, len - 1) == 0;
}

static void take_function(SqlScan *scan, Slice word)
{
    if (word.len == 0 || memchr("scnlpdqt", word.data[0], 8) == NULL) {
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(state_functions); i++) {
        if (function_fits(state_functions[i].name, word)) {
            sql_scan_pin(scan, state_functions[i].pin);
            scan->writes = true;
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
        scan->writes = true;
    } else if (scan->kind_ == KIND_EXPLAIN && slice_is(word, "execute")) {
        sql_scan_pin(scan, PIN_SQL_PREPARE);
    }
}

void sql_words_take(SqlScan *scan, Slice word, bool quoted)
{
    if (word.len == 0) {
        sql_words_other(scan, '"');
        return;
    }
    if (scan->kind_ == KIND_NONE) {
        if (quoted) {
            statement_pin(scan, PIN_UNKNOWN_STATEMENT);
        } else {
            take_first(scan, word);
        }
    } else {
        take_next(scan, word, quoted);
    }
    if (scan->words_ < 2) {
        scan->words_++;
    }
    if (quoted) {
        scan->before_ = BEFORE_NONE;
    } else {
        take_pair(scan, word);
    }
    take_function(scan, word);
}

static void take_other(SqlScan *scan, char c)
{
    switch (scan->kind_) {
    case KIND_NONE:
        if (c != '(') {
            statement_pin(scan, PIN_UNKNOWN_STATEMENT);
        }
        break;
    case KIND_SET:
    case KIND_SET_LOCAL: /* SET local.x, where LOCAL is a name */
        statement_pin(scan, PIN_SETTING);
        break;
    case KIND_SET_NAME:
    case KIND_NAME:
        if (c == '.') {
            statement_pin(scan, PIN_SETTING);
        } else {
            scan->kind_ = scan->kind_ == KIND_NAME ? KIND_QUIET : KIND_SET_VALUE;
        }
        break;
    case KIND_SET_VALUE:
        if (c == '&') {
            sql_words_hidden_string(scan);
        }
        break;
    case KIND_PREPARE:
        statement_pin(scan, PIN_SQL_PREPARE);
        break;
    case KIND_PREPARE_TWO:
        if (c == '\'') {
            scan->kind_ = KIND_QUIET;
        } else {
            statement_pin(scan, PIN_SQL_PREPARE);
        }
        break;
    default:
        break;
    }
}

void sql_words_other(SqlScan *scan, char c)
{
    scan->before_ = BEFORE_NONE;
    take_other(scan, c);
}

bool sql_words_wants_string(const SqlScan *scan)
{
    return scan->kind_ == KIND_SET_VALUE;
}

void sql_words_string(SqlScan *scan, Slice text)
{
    take_function(scan, text);
}

void sql_words_hidden_string(SqlScan *scan)
{
    if (scan->kind_ == KIND_SET_VALUE) {
        statement_pin(scan, PIN_SETTING);
    }
}

void sql_words_statement_end(SqlScan *scan)
{
    /* SET, PREPARE and SET LOCAL alone are errors; the server says so. */
    scan->kind_ = KIND_NONE;
    scan->words_ = 0;
    scan->before_ = BEFORE_NONE;
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
    [PIN_FUNCTION_CALL] = {"function_call", "The client called a function by the protocol."},
    [PIN_ENCODING] = {"encoding", "The text cannot be read safely in the client's encoding."},
    [PIN_UNKNOWN_STATEMENT] = {"unknown_statement", "The proxy doesn't know the statement."},
    [PIN_CONVERSATION] = {"conversation", "The state of the conversation isn't certain."},
};

const char *pin_reason_name(PinReason reason)
{
    return reasons[reason].name;
}

const char *pin_reason_sentence(PinReason reason)
{
    return reasons[reason].sentence;
}
