/* See settings_priv.h. Lists are short: linear searches are right here. */
#include <stdlib.h>

#include "proxy/settings_priv.h"

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

static bool is_custom(Slice name)
{
    return memchr(name.data, '.', name.len) != NULL;
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
        settings->custom = settings->custom || is_custom(name);
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

/* data == NULL: it is not there. */
static Slice pair_value(Slice pairs, Slice name)
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

static Slice value_of(const Settings *settings, Slice name)
{
    return pair_value(settings_slice(settings), name);
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
        if (is_custom(name)) {
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
        if ((baseline || is_custom(name)) && value_of(client, name).data == NULL) {
            return false;
        }
    }
    return true;
}

bool settings_make_temporary(const Settings *settings)
{
    return slice_has(value_of(settings, SLICE("search_path")), "pg_temp");
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
        if (!slice_eq(value_of(a, slice_of(names[i])), value_of(b, slice_of(names[i])))) {
            return true;
        }
    }
    return false;
}

/* ---- replay ------------------------------------------------------------------------------------
 */

/* Right with standard_conforming_strings on and off. */
static void put_literal(Buf *out, Slice text)
{
    buf_append_str(out, memchr(text.data, '\\', text.len) != NULL ? "E'" : "'");
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
    put_literal(out, buf_slice(&item));
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
        put_literal(out, value);
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
        if (is_late(name) == late && value_of(replay->to, name).data == NULL) {
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
        Slice has = value_of(replay->from, name);
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

/* ---- what texts touch --------------------------------------------------------------------------
 */

bool touched_next(Slice *touched, Touch *ret_touch, Slice *ret_name)
{
    if (touched->len == 0) {
        return false;
    }
    *ret_touch = (Touch)touched->data[0];
    *touched = slice_skip(*touched, 1);
    *ret_name = slice_cut(touched, '\0');
    return true;
}

static bool touched_has(Slice touched, Touch touch, Slice name)
{
    Touch other;
    Slice other_name;
    while (touched_next(&touched, &other, &other_name)) {
        if (other == touch && slice_eq(other_name, name)) {
            return true;
        }
    }
    return false;
}

bool touched_add(Buf *touched, Slice more)
{
    Touch touch;
    Slice name;
    while (touched_next(&more, &touch, &name)) {
        if (touched_has(buf_slice(touched), touch, name)) {
            continue;
        }
        if (touched->len + name.len + 2 > TOUCHED_BYTES_MAX) {
            return false;
        }
        buf_append_char(touched, (char)touch);
        buf_append_slice(touched, name);
        buf_append_char(touched, '\0');
    }
    return true;
}

bool touched_lasts(Slice touched)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (touch != TOUCH_LOCAL) {
            return true;
        }
    }
    return false;
}

bool touched_custom(Slice touched)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (is_custom(name)) {
            return true;
        }
    }
    return false;
}

bool touched_reading(Slice touched)
{
    Touch touch;
    Slice name;
    while (touched_next(&touched, &touch, &name)) {
        if (touch == TOUCH_ALL || slice_is(name, "client_encoding") ||
            slice_is(name, "standard_conforming_strings")) {
            return true;
        }
    }
    return false;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

typedef struct Asked {
    Slice name;
    bool set; /* it may have been given a value; else it was only led back */
} Asked;

typedef struct Asking {
    Asked items[2 * SETTINGS_MAX];
    size_t len;
    bool too_many;
} Asking;

static void asking_add(Asking *asking, Slice name, bool set)
{
    for (size_t i = 0; i < asking->len; i++) {
        if (slice_eq(asking->items[i].name, name)) {
            asking->items[i].set = asking->items[i].set || set;
            return;
        }
    }
    if (asking->len == ARRAY_LEN(asking->items)) {
        asking->too_many = true;
        return;
    }
    asking->items[asking->len++] = (Asked){name, set};
}

/* The same for the question and for the answer. */
static void asking_of(const Settings *settings, Slice touched, Asking *asking)
{
    Touch touch;
    Slice name;
    Slice value;
    *asking = (Asking){.len = 0};
    while (touched_next(&touched, &touch, &name)) {
        if (touch == TOUCH_SET || touch == TOUCH_RESET) {
            asking_add(asking, name, touch == TOUCH_SET);
        }
        Slice rest = touch == TOUCH_ALL ? settings_slice(settings) : (Slice){0};
        while (pg_params_next(&rest, &name, &value)) {
            asking_add(asking, name, false);
        }
    }
}

bool settings_put_ask(const Settings *settings, Slice touched, Buf *out)
{
    Asking asking;
    asking_of(settings, touched, &asking);
    if (asking.too_many || asking.len == 0) {
        return !asking.too_many;
    }
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    for (size_t i = 0; i < asking.len; i++) {
        buf_append_str(&text, i == 0 ? "SELECT " : ", ");
        buf_append_str(&text, "pg_catalog.current_setting(");
        put_literal(&text, asking.items[i].name);
        buf_append_str(&text, ", true)");
    }
    pg_put_query(out, buf_slice(&text));
    buf_done(&text);
    return true;
}

/* Whether the setting is one of the client's from now on. One that was only led back is no more,
 * unless the value is the same as ever: then that was undone with its transaction. A custom one is
 * never as if it had not been named. */
static bool is_kept(const Settings *settings, const Asked *asked, Slice value)
{
    return value.data != NULL && (asked->set || is_custom(asked->name) ||
                                  slice_eq(value, value_of(settings, asked->name)));
}

typedef struct Pair {
    Slice name, value;
} Pair;

static int compare_pairs(const void *a, const void *b)
{
    return slice_cmp(((const Pair *)a)->name, ((const Pair *)b)->name);
}

static bool is_asked(const Asking *asking, Slice name)
{
    for (size_t i = 0; i < asking->len; i++) {
        if (slice_eq(asking->items[i].name, name)) {
            return true;
        }
    }
    return false;
}

static bool intern_pairs(SettingTable *table, Pair *pairs, size_t count, Settings **ret_settings)
{
    if (count > SETTINGS_MAX) {
        return false;
    }
    Buf out;
    buf_init(&out, SETTINGS_BYTES_MAX);
    qsort(pairs, count, sizeof(*pairs), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        pg_put_str(&out, pairs[i].name);
        pg_put_str(&out, pairs[i].value);
    }
    bool fits = !out.overflowed;
    if (fits) {
        *ret_settings = settings_intern(table, buf_slice(&out));
    }
    buf_done(&out);
    return fits;
}

Settings *settings_overlay(SettingTable *table, const Settings *settings, Slice pairs)
{
    Pair all[2 * SETTINGS_MAX];
    size_t count = 0;
    Slice rest = pairs;
    Pair pair;
    Settings *overlay = NULL;
    while (pg_params_next(&rest, &pair.name, &pair.value)) {
        all[count++] = pair;
    }
    rest = settings_slice(settings);
    while (pg_params_next(&rest, &pair.name, &pair.value)) {
        if (pair_value(pairs, pair.name).data == NULL) {
            all[count++] = pair;
        }
    }
    ASSERT(count <= ARRAY_LEN(all));
    return intern_pairs(table, all, count, &overlay) ? overlay : NULL;
}

bool settings_take_answer(SettingTable *table, Settings *settings, Slice touched, Slice row,
                          Settings **ret_settings)
{
    Asking asking;
    Pair pairs[3 * SETTINGS_MAX];
    size_t count = 0;
    PgReader reader = {.rest = row};
    asking_of(settings, touched, &asking);
    if (pg_read_u16(&reader) != asking.len) {
        return false;
    }
    for (size_t i = 0; i < asking.len; i++) {
        uint32_t len = pg_read_u32(&reader);
        Slice value = len != UINT32_MAX ? pg_read_bytes(&reader, len) : (Slice){0};
        if (is_kept(settings, &asking.items[i], value)) {
            pairs[count++] = (Pair){asking.items[i].name, value};
        }
    }
    Slice rest = settings_slice(settings);
    Pair old;
    while (pg_params_next(&rest, &old.name, &old.value)) {
        if (!is_asked(&asking, old.name)) {
            pairs[count++] = old;
        }
    }
    return pg_reader_ended(&reader) && intern_pairs(table, pairs, count, ret_settings);
}
