/* Lists of settings, and how to lead from one to another: see settings_priv.h. Lists are short:
 * linear searches are right here. */
#include "session/settings_priv.h"

struct SettingTable {
    Map *map; /* from the text of a list to Settings */
    uint64_t made;
};

/* ---- lists -------------------------------------------------------------------------------------
 */

SettingTable *setting_table_new(void)
{
    SettingTable *table = mem_alloc(sizeof(SettingTable));
    table->map = map_new();
    return table;
}

void setting_table_free(SettingTable *table)
{
    if (table != NULL) {
        ASSERT(map_len(table->map) == 0);
        map_free(table->map);
        mem_free(table);
    }
}

uint64_t setting_table_fresh_id(SettingTable *table)
{
    return ++table->made;
}

static Settings *settings_new(SettingTable *table, Slice pairs)
{
    Settings *settings = mem_alloc(sizeof(Settings) + pairs.len);
    settings->refs = 1;
    settings->table = table;
    settings->id = setting_table_fresh_id(table);
    settings->len = pairs.len;
    memcpy(settings->bytes, pairs.data, pairs.len);
    Slice name;
    Slice value;
    while (pg_params_next(&pairs, &name, &value)) {
        settings->count++;
        settings->custom = settings->custom || setting_is_custom(name);
    }
    map_set(table->map, settings_slice(settings), settings);
    return settings;
}

Settings *settings_intern(SettingTable *table, Slice pairs)
{
    if (pairs.len == 0) {
        return NULL;
    }
    Settings *settings = map_get(table->map, pairs);
    return settings != NULL ? settings_ref(settings) : settings_new(table, pairs);
}

Settings *settings_ref(Settings *settings)
{
    if (settings != NULL) {
        settings->refs++;
    }
    return settings;
}

void settings_unref(Settings *settings)
{
    if (settings != NULL && --settings->refs == 0) {
        map_remove(settings->table->map, settings_slice(settings));
        mem_free(settings);
    }
}

uint64_t settings_id(const Settings *settings)
{
    return settings != NULL ? settings->id : 0;
}

Slice settings_slice(const Settings *settings)
{
    return settings != NULL ? (Slice){settings->bytes, settings->len} : (Slice){0};
}

Slice settings_pair_value(Slice pairs, Slice name)
{
    Slice found;
    Slice value;
    while (pg_params_next(&pairs, &found, &value)) {
        if (slice_eq(found, name)) {
            return value;
        }
    }
    return (Slice){0};
}

Slice settings_value(const Settings *settings, Slice name)
{
    return settings_pair_value(settings_slice(settings), name);
}

Settings *settings_emptied(const Settings *settings)
{
    if (settings == NULL || !settings->custom) {
        return NULL;
    }
    Buf left;
    buf_init(&left, SETTINGS_BYTES_MAX);
    Slice rest = settings_slice(settings);
    Slice name;
    Slice value;
    while (pg_params_next(&rest, &name, &value)) {
        if (setting_is_custom(name)) {
            pg_put_str(&left, name);
            pg_put_str(&left, SLICE(""));
        }
    }
    Settings *emptied = settings_intern(settings->table, buf_slice(&left));
    buf_done(&left);
    return emptied;
}

bool settings_fit(const Settings *server, const Settings *client, bool baseline)
{
    if (server == client || server == NULL || (!server->custom && !baseline)) {
        return true;
    }
    Slice rest = settings_slice(server);
    Slice name;
    Slice value;
    while (pg_params_next(&rest, &name, &value)) {
        if ((baseline || setting_is_custom(name)) && settings_value(client, name).data == NULL) {
            return false;
        }
    }
    return true;
}

bool settings_make_temporary(const Settings *settings)
{
    return slice_has(settings_value(settings, SLICE("search_path")), "pg_temp");
}

bool settings_count_at_start(const Settings *a, const Settings *b)
{
    static const char *const names[] = {"client_encoding",
                                        "standard_conforming_strings",
                                        "default_transaction_isolation",
                                        "default_transaction_read_only",
                                        "default_transaction_deferrable",
                                        "statement_timeout",
                                        "transaction_timeout"};
    for (size_t i = 0; i < ARRAY_LEN(names) && a != b; i++) {
        if (!slice_eq(settings_value(a, slice_of(names[i])),
                      settings_value(b, slice_of(names[i])))) {
            return true;
        }
    }
    return false;
}

/* ---- replay ------------------------------------------------------------------------------------
 */

void setting_put_literal(Buf *out, Slice text)
{
    buf_append_str(out, text.len > 0 && memchr(text.data, '\\', text.len) != NULL ? "E'" : "'");
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '\'' || text.data[i] == '\\') {
            buf_append_char(out, text.data[i]);
        }
        buf_append_char(out, text.data[i]);
    }
    buf_append_char(out, '\'');
}

/* The next name of a list like search_path's, as PostgreSQL shows it: "a b", c. Shortens *list. */
static void put_list_item(Buf *out, Slice *list)
{
    Buf item;
    buf_init(&item, SETTINGS_BYTES_MAX);
    bool quoted = false;
    size_t at = 0;
    for (; at < list->len && (quoted || list->data[at] != ','); at++) {
        char c = list->data[at];
        if (c == '"') {
            bool twice = quoted && at + 1 < list->len && list->data[at + 1] == '"';
            at += twice ? 1 : 0;
            quoted = quoted == twice;
            if (!twice) {
                continue;
            }
        }
        if (quoted || c != ' ') {
            buf_append_char(&item, c);
        }
    }
    setting_put_literal(out, buf_slice(&item));
    *list = slice_skip(*list, at < list->len ? at + 1 : at);
    buf_done(&item);
}

/* Settings whose value is a list of names: as one literal it would be one name. */
static bool is_list(Slice name)
{
    return slice_is(name, "search_path") || slice_is(name, "temp_tablespaces");
}

static void put_name(Buf *out, Slice name)
{
    buf_append_char(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] == '.') {
            buf_append_str(out, "\".\"");
        } else {
            buf_append_char(out, name.data[i]);
        }
    }
    buf_append_char(out, '"');
}

static void put_set(Buf *out, Slice name, Slice value)
{
    buf_append_str(out, "SET ");
    put_name(out, name);
    buf_append_str(out, " TO ");
    if (!is_list(name) || value.len == 0) {
        setting_put_literal(out, value);
        return;
    }
    while (value.len > 0) {
        put_list_item(out, &value);
        buf_append_str(out, value.len > 0 ? ", " : "");
    }
}

static void put_statement(Buf *out, Slice text)
{
    pg_put_parse(out, SLICE(""), text);
    pg_put_bind(out, SLICE(""), SLICE(""));
    pg_put_execute(out, SLICE(""), 0);
}

typedef struct Replay {
    const Settings *from, *to;
    Buf *out;
    size_t count;
} Replay;

static void replay_reset(Replay *replay, Slice name)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_append_str(&text, "RESET ");
    put_name(&text, name);
    put_statement(replay->out, buf_slice(&text));
    replay->count++;
    buf_done(&text);
}

static void replay_set(Replay *replay, Slice name, Slice value)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    put_set(&text, name, value);
    put_statement(replay->out, buf_slice(&text));
    replay->count++;
    buf_done(&text);
}

static bool is_late(Slice name)
{
    return slice_is(name, "role"); /* as another role, less may be set */
}

static bool is_early(Slice name)
{
    return slice_is(name, "client_encoding"); /* the values behind it are in it */
}

static void replay_resets(Replay *replay, bool late)
{
    Slice rest = settings_slice(replay->from);
    Slice name;
    Slice value;
    while (pg_params_next(&rest, &name, &value)) {
        if (is_late(name) == late && settings_value(replay->to, name).data == NULL) {
            replay_reset(replay, name);
        }
    }
}

static void replay_sets(Replay *replay, bool early, bool late)
{
    Slice rest = settings_slice(replay->to);
    Slice name;
    Slice value;
    while (pg_params_next(&rest, &name, &value)) {
        Slice has = settings_value(replay->from, name);
        bool same = has.data != NULL && slice_eq(has, value);
        if (is_early(name) == early && is_late(name) == late && !same) {
            replay_set(replay, name, value);
        }
    }
}

size_t settings_put_replay(const Settings *from, const Settings *to, Buf *out)
{
    Replay replay = {.from = from, .to = to, .out = out};
    replay_resets(&replay, true);
    replay_resets(&replay, false);
    replay_sets(&replay, true, false);
    replay_sets(&replay, false, false);
    replay_sets(&replay, false, true);
    ASSERT(replay.count <= SETTINGS_REPLAY_MAX);
    return replay.count;
}
