/* Asking PostgreSQL what became of what texts have touched: see settings_priv.h. */
#include <stdlib.h>

#include "session/settings_priv.h"

typedef struct Asked {
    Slice name;
    bool set; /* it may have been given a value; else it was only led back */
} Asked;

#define CLEAR_TOKEN ", pg_catalog.set_config('" SQL_TOKEN_NAME "', '', false)"

typedef struct Asking {
    Asked items[2 * SETTINGS_MAX];
    size_t len;
    bool too_many;
    bool token; /* is one of them; behind all values comes that of CLEAR_TOKEN */
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
    asking->token = asking->token || slice_is(name, SQL_TOKEN_NAME);
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
        setting_put_literal(&text, asking.items[i].name);
        buf_append_str(&text, ", true)");
    }
    buf_append_str(&text, asking.token ? CLEAR_TOKEN : "");
    pg_put_query(out, buf_slice(&text));
    buf_done(&text);
    return true;
}

/* Whether the setting is one of the client's from now on. One that was only led back is no more,
 * unless the value is the same as ever: then that was undone with its transaction. A custom one is
 * never as if it had not been named. */
static bool is_kept(const Settings *settings, const Asked *asked, Slice value)
{
    return value.data != NULL && (asked->set || setting_is_custom(asked->name) ||
                                  slice_eq(value, settings_value(settings, asked->name)));
}

typedef struct Pair {
    Slice name, value;
} Pair;

static int compare_pairs(const void *a, const void *b)
{
    return slice_cmp(((const Pair *)a)->name, ((const Pair *)b)->name);
}

static Slice read_value(PgReader *reader)
{
    uint32_t len = pg_read_u32(reader);
    return len != UINT32_MAX ? pg_read_bytes(reader, len) : (Slice){0};
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
        if (settings_pair_value(pairs, pair.name).data == NULL) {
            all[count++] = pair;
        }
    }
    ASSERT(count <= ARRAY_LEN(all));
    return intern_pairs(table, all, count, &overlay) ? overlay : NULL;
}

bool settings_take_answer(SettingTable *table, Settings *settings, Slice touched, Slice row,
                          Settings **ret_settings, Slice *ret_token)
{
    Asking asking;
    Pair pairs[3 * SETTINGS_MAX];
    size_t count = 0;
    PgReader reader = {.rest = row};
    asking_of(settings, touched, &asking);
    *ret_token = (Slice){0};
    if (pg_read_u16(&reader) != asking.len + (asking.token ? 1 : 0)) {
        return false;
    }
    for (size_t i = 0; i < asking.len; i++) {
        Slice value = read_value(&reader);
        if (slice_is(asking.items[i].name, SQL_TOKEN_NAME)) {
            *ret_token = value;
        } else if (is_kept(settings, &asking.items[i], value)) {
            pairs[count++] = (Pair){asking.items[i].name, value};
        }
    }
    if (asking.token) {
        (void)read_value(&reader);
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
