/*
 * Which settings a text may change: SET, RESET, DISCARD ALL and set_config. Only the names are
 * read; what became of them PostgreSQL is asked for. What cannot be named pins. And whether one of
 * them is the proxy's own, or is shown: SHOW, current_setting.
 *
 *   SET -> (SESSION | LOCAL ->) name (. name)* -> TO | = -> value
 *       -> TIME ZONE | NAMES | SCHEMA | XML OPTION -> value
 *   RESET -> name (. name)* | ALL | TIME ZONE | SESSION AUTHORIZATION
 *   SHOW -> name (. name)*
 */
#include "sql/words_priv.h"

/* ---- names -------------------------------------------------------------------------------------
 */

static Slice name_slice(const SqlScan *scan)
{
    return (Slice){scan->name_, scan->name_len_};
}

static void name_add(SqlScan *scan, Slice part)
{
    if (scan->name_len_ + part.len >= SQL_WORD_MAX) {
        sql_statement_pin(scan, PIN_SETTING);
        return;
    }
    if (part.len > 0) {
        memcpy(scan->name_ + scan->name_len_, part.data, part.len);
    }
    scan->name_len_ = (uint8_t)(scan->name_len_ + part.len);
}

static void name_begin(SqlScan *scan, Slice part, uint8_t kind)
{
    scan->name_len_ = 0;
    scan->kind_ = kind;
    name_add(scan, part);
}

static bool is_plain(Slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.')) {
            return false;
        }
    }
    return name.len > 0;
}

static void touch(SqlScan *scan, Touch touch, Slice name)
{
    if (scan->touched_len_ + name.len + 2 > SQL_TOUCHED_MAX) {
        sql_scan_pin(scan, PIN_SETTING);
        return;
    }
    char *at = scan->touched_ + scan->touched_len_;
    *at++ = (char)touch;
    if (name.len > 0) {
        memcpy(at, name.data, name.len);
    }
    at[name.len] = '\0';
    scan->touched_len_ = (uint16_t)(scan->touched_len_ + name.len + 2);
}

TextEffects sql_scan_effects(const SqlScan *scan)
{
    TextEffects effects = scan->effects;
    effects.touched = (Slice){scan->touched_, scan->touched_len_};
    return effects;
}

/* Where an init_query made settings, RESET leads to something else than what the login left. */
static void touch_reset(SqlScan *scan, Touch kind, Slice name)
{
    if (scan->dialect.baseline_set) {
        sql_statement_pin(scan, PIN_SETTING);
    } else {
        touch(scan, kind, name);
    }
}

static bool changes_reading(Slice name)
{
    return slice_is(name, "standard_conforming_strings") || slice_is(name, "client_encoding");
}

bool sql_level_warns(Slice level)
{
    static const char *const levels[] = {"debug5", "debug4", "debug3", "debug2", "debug1",
                                         "debug",  "log",    "info",   "notice", "warning"};
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (slice_is_nocase(level, levels[i])) {
            return true;
        }
    }
    return false;
}

/* By SET alone: what set_config sets it to is not read. */
void sql_settings_level(SqlScan *scan, Slice level)
{
    scan->quiets_ = scan->kind_ != KIND_SET_VALUE || !sql_level_warns(level);
}

/* It is given a value, or led back. A custom setting, x.y, leaves '' behind where there was
 * nothing, even from SET LOCAL. */
static void touch_name(SqlScan *scan, Slice name, bool reset)
{
    bool custom = memchr(name.data, '.', name.len) != NULL;
    scan->quiets_ = scan->quiets_ || (!reset && slice_is(name, "client_min_messages"));
    if (slice_starts(name, "transaction_")) {
        return; /* ends with the transaction */
    }
    if (slice_is(name, SQL_TOKEN_NAME)) {
        scan->effects.token |= scan->local_ ? SQL_TOKEN_LOCAL : SQL_TOKEN_SET;
    }
    if (!is_plain(name) || slice_is(name, "session_authorization") ||
        (scan->local_ && changes_reading(name))) {
        sql_statement_pin(scan, PIN_SETTING);
    } else if (slice_is(name, "seed")) {
        sql_statement_pin(scan, PIN_STATE_FUNCTION);
    } else if (scan->local_) {
        touch(scan, TOUCH_LOCAL, (Slice){0});
        if (custom) {
            touch(scan, TOUCH_SET, name);
        }
    } else if (reset) {
        touch_reset(scan, TOUCH_RESET, name);
    } else {
        touch(scan, TOUCH_SET, name);
    }
}

/* The name is complete, and how it goes on is known. */
static void name_done(SqlScan *scan, bool reset, uint8_t kind)
{
    scan->kind_ = kind;
    touch_name(scan, name_slice(scan), reset);
}

/* ---- SET, RESET, DISCARD -----------------------------------------------------------------------
 */

bool sql_settings_has(const SqlScan *scan)
{
    return scan->kind_ >= KIND_SET;
}

static void set_characteristics(SqlScan *scan)
{
    static const char *const names[] = {"default_transaction_isolation",
                                        "default_transaction_read_only",
                                        "default_transaction_deferrable"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        touch_name(scan, slice_of(names[i]), false);
    }
    scan->kind_ = KIND_QUIET;
}

/* Behind SET, SET SESSION and SET LOCAL. */
static void take_set_rest(SqlScan *scan, Slice word, bool quoted)
{
    static const struct {
        const char *word;
        const char *name; /* of the setting; NULL: the next word decides */
        uint8_t kind;
    } words[] = {
        {"transaction", NULL, KIND_SKIP},          {"constraints", NULL, KIND_SKIP},
        {"time", "time", KIND_SET_TIME},           {"xml", "xml", KIND_SET_XML},
        {"names", "client_encoding", KIND_SET_TO}, {"schema", "search_path", KIND_SET_TO},
    };
    for (size_t i = 0; i < ARRAY_LEN(words) && !quoted; i++) {
        if (slice_is(word, words[i].word)) {
            name_begin(scan, slice_of(words[i].name), words[i].kind);
            return;
        }
    }
    name_begin(scan, word, KIND_SET_NAME);
}

static void take_set(SqlScan *scan, Slice word, bool quoted)
{
    bool local = !quoted && slice_is(word, "local");
    if (local || (!quoted && slice_is(word, "session"))) {
        name_begin(scan, word, KIND_SET_REST);
        scan->local_ = local;
    } else {
        take_set_rest(scan, word, quoted);
    }
}

/* Also what follows SET SESSION alone. */
static void take_set_session(SqlScan *scan, Slice word, bool quoted)
{
    bool session = slice_is(name_slice(scan), "session");
    if (session && !quoted && slice_is(word, "authorization")) {
        scan->kind_ = KIND_SET_SESSION;
    } else if (session && !quoted && slice_is(word, "characteristics")) {
        set_characteristics(scan);
    } else {
        take_set_rest(scan, word, quoted);
    }
}

/* Another role, too, is gone with it. */
static void session_authorization_reset(SqlScan *scan)
{
    scan->kind_ = KIND_QUIET;
    touch_reset(scan, TOUCH_RESET, SLICE("role"));
}

static void take_reset(SqlScan *scan, Slice word, bool quoted)
{
    if (!quoted && slice_is(word, "all")) {
        scan->kind_ = KIND_QUIET;
        touch_reset(scan, TOUCH_ALL, (Slice){0});
    } else if (!quoted && slice_is(word, "time")) {
        name_begin(scan, word, KIND_RESET_TIME);
    } else if (!quoted && slice_is(word, "session")) {
        name_begin(scan, word, KIND_RESET_SESSION);
    } else if (!quoted && slice_is(word, "transaction")) {
        scan->kind_ = KIND_SKIP;
    } else {
        name_begin(scan, word, KIND_RESET_NAME);
    }
}

static void take_discard(SqlScan *scan, Slice word)
{
    scan->kind_ = KIND_QUIET;
    if (slice_is(word, "all")) {
        touch_reset(scan, TOUCH_ALL, (Slice){0});
    }
}

/* Only one name means anything. */
static void show_name(SqlScan *scan, Slice part)
{
    if (scan->name_len_ + part.len >= SQL_WORD_MAX) {
        scan->kind_ = KIND_QUIET;
        return;
    }
    name_add(scan, part);
    scan->kind_ = KIND_SHOW_NAME;
    if (slice_is_nocase(name_slice(scan), SQL_TOKEN_NAME)) {
        scan->effects.token |= SQL_TOKEN_SHOWN;
    }
}

/* Behind the name: TO, or for SET ROLE the value. */
static void take_behind_name(SqlScan *scan, Slice word, bool quoted)
{
    if (!quoted && slice_is(word, "to")) {
        scan->kind_ = KIND_SET_TO;
        return;
    }
    bool none = !quoted && slice_is(word, "none") && slice_is(name_slice(scan), "role");
    name_done(scan, none, KIND_SET_VALUE);
}

void sql_settings_take(SqlScan *scan, Slice word, bool quoted)
{
    switch (scan->kind_) {
    case KIND_SET:
        take_set(scan, word, quoted);
        break;
    case KIND_SET_REST:
        take_set_session(scan, word, quoted);
        break;
    case KIND_SET_TIME:
        name_begin(scan, SLICE("timezone"), KIND_SET_TO);
        break;
    case KIND_SET_XML:
        name_begin(scan, SLICE("xmloption"), KIND_SET_TO);
        break;
    case KIND_SET_SESSION:
        if (!quoted && slice_is(word, "default")) {
            session_authorization_reset(scan);
        } else {
            sql_statement_pin(scan, PIN_SETTING);
        }
        break;
    case KIND_SET_NAME:
        take_behind_name(scan, word, quoted);
        break;
    case KIND_SET_TO:
        name_done(scan, !quoted && slice_is(word, "default"), KIND_SET_VALUE);
        if (scan->quiets_) {
            sql_settings_level(scan, word);
        }
        break;
    case KIND_SET_DOT:
        name_add(scan, word);
        scan->kind_ = scan->kind_ == KIND_SET_DOT ? KIND_SET_NAME : scan->kind_;
        break;
    case KIND_RESET:
        take_reset(scan, word, quoted);
        break;
    case KIND_RESET_TIME:
        name_begin(scan, SLICE("timezone"), KIND_RESET_NAME);
        break;
    case KIND_RESET_SESSION:
        session_authorization_reset(scan);
        break;
    case KIND_RESET_DOT:
        name_add(scan, word);
        scan->kind_ = scan->kind_ == KIND_RESET_DOT ? KIND_RESET_NAME : scan->kind_;
        break;
    case KIND_DISCARD:
        take_discard(scan, word);
        break;
    case KIND_SKIP:
        scan->kind_ = KIND_QUIET;
        break;
    case KIND_SHOW:
        scan->name_len_ = 0;
        show_name(scan, word);
        break;
    case KIND_SHOW_DOT:
        show_name(scan, word);
        break;
    default:
        break;
    }
}

/* A dot goes on with the name; so may what looked like another word. */
static bool take_dot(SqlScan *scan)
{
    switch (scan->kind_) {
    case KIND_SKIP:
        sql_statement_pin(scan, PIN_SETTING); /* transaction.x */
        return true;
    case KIND_SET_REST:
    case KIND_SET_TIME:
    case KIND_SET_XML:
    case KIND_SET_NAME:
        scan->local_ = scan->local_ && scan->kind_ != KIND_SET_REST;
        scan->kind_ = KIND_SET_DOT;
        break;
    case KIND_RESET_TIME:
    case KIND_RESET_SESSION:
    case KIND_RESET_NAME:
        scan->kind_ = KIND_RESET_DOT;
        break;
    case KIND_SET_TO: /* names.x, schema.x */
        sql_statement_pin(scan, PIN_SETTING);
        return true;
    case KIND_SHOW_NAME:
        show_name(scan, SLICE("."));
        scan->kind_ = scan->kind_ == KIND_SHOW_NAME ? KIND_SHOW_DOT : scan->kind_;
        return true;
    default:
        return false;
    }
    name_add(scan, SLICE("."));
    return true;
}

void sql_settings_other(SqlScan *scan, char c)
{
    if (c == '.' && take_dot(scan)) {
        return;
    }
    switch (scan->kind_) {
    case KIND_SET_NAME:
        if (c == '=') {
            scan->kind_ = KIND_SET_TO;
        } else {
            name_done(scan, false, KIND_SET_VALUE);
        }
        break;
    case KIND_SET_TO:
        name_done(scan, false, KIND_SET_VALUE);
        break;
    case KIND_SET_VALUE:
        if (c == '&') {
            sql_words_hidden_string(scan);
        }
        break;
    case KIND_SKIP:
    case KIND_SHOW:
    case KIND_SHOW_NAME:
    case KIND_SHOW_DOT:
        scan->kind_ = KIND_QUIET;
        break;
    default: /* nothing that PostgreSQL would run */
        sql_statement_pin(scan, PIN_SETTING);
        break;
    }
}

void sql_settings_end(SqlScan *scan)
{
    if (scan->kind_ == KIND_RESET_NAME) {
        name_done(scan, true, KIND_QUIET);
    } else if (scan->kind_ == KIND_SET_TO) {
        name_done(scan, false, KIND_QUIET); /* SET NAMES */
    }
    scan->local_ = false;
}

/* ---- set_config('name', …), current_setting('name' …) ------------------------------------------
 */

enum { CONFIG_NONE, CONFIG_WORD, CONFIG_OPEN, CONFIG_NAME, CONFIG_SHOW_WORD, CONFIG_SHOW_OPEN };

void sql_config_begin(SqlScan *scan)
{
    scan->config_ = CONFIG_WORD;
}

void sql_config_begin_show(SqlScan *scan)
{
    scan->config_ = CONFIG_SHOW_WORD;
}

bool sql_config_begins(const SqlScan *scan)
{
    return scan->config_ == CONFIG_WORD || scan->config_ == CONFIG_SHOW_WORD;
}

static bool config_shows(const SqlScan *scan)
{
    return scan->config_ == CONFIG_SHOW_WORD || scan->config_ == CONFIG_SHOW_OPEN;
}

/* As any call of what is not on the list of reads.c. */
static void config_is_no_read(SqlScan *scan)
{
    scan->read_ = READ_NOT;
}

static void config_unknown(SqlScan *scan)
{
    bool shows = config_shows(scan);
    bool name = scan->config_ == CONFIG_SHOW_WORD; /* of a column */
    scan->config_ = CONFIG_NONE;
    if (!name) {
        config_is_no_read(scan);
    }
    if (!shows) {
        sql_scan_pin(scan, PIN_SETTING);
    }
}

bool sql_config_wants(const SqlScan *scan)
{
    return scan->config_ == CONFIG_OPEN || scan->config_ == CONFIG_SHOW_OPEN;
}

void sql_config_hidden(SqlScan *scan)
{
    bool shows = config_shows(scan);
    config_unknown(scan);
    if (!shows) {
        sql_statement_pin(scan, PIN_SETTING);
    }
}

void sql_config_take(SqlScan *scan)
{
    if (scan->config_ != CONFIG_NONE) {
        config_unknown(scan);
    }
}

void sql_config_other(SqlScan *scan, char c)
{
    if (scan->config_ == CONFIG_WORD && c == '(') {
        scan->config_ = CONFIG_OPEN;
    } else if (scan->config_ == CONFIG_SHOW_WORD && c == '(') {
        scan->config_ = CONFIG_SHOW_OPEN;
    } else if (scan->config_ == CONFIG_NAME && c == ',') {
        scan->config_ = CONFIG_NONE;
    } else if (scan->config_ != CONFIG_NONE && !(sql_config_wants(scan) && c == '\'')) {
        config_unknown(scan);
    }
}

void sql_config_name(SqlScan *scan, Slice name)
{
    bool local = scan->local_;
    bool token = slice_is_nocase(name, SQL_TOKEN_NAME);
    if (!token) {
        config_is_no_read(scan);
    }
    if (config_shows(scan)) {
        scan->config_ = CONFIG_NONE;
        scan->effects.token |= token ? SQL_TOKEN_SHOWN : 0;
        return;
    }
    scan->config_ = CONFIG_NAME;
    scan->local_ = false; /* whichever it is: it is asked for */
    touch(scan, TOUCH_LOCAL, (Slice){0});
    if (name.len == SQL_WORD_MAX) {
        config_unknown(scan);
    } else {
        touch_name(scan, name, false);
    }
    scan->local_ = local;
}
