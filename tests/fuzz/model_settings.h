/*
 * A model of PostgreSQL's settings (utils/misc/guc.c): one plain, "t", and one custom, "a.b", with
 * transactions and SET LOCAL. What is true of a server connection is also kept for each client, as
 * if it had one of its own: the two must agree whenever something of the client's is run.
 */
#ifndef WEIR_TESTS_FUZZ_MODEL_SETTINGS_H
#define WEIR_TESTS_FUZZ_MODEL_SETTINGS_H

#include "session/settings_priv.h"

#define UNNAMED (-1) /* of "a.b": as if it did not exist; once named, it is at least empty */
#define EMPTY   0
#define DEFAULT 0 /* of "t" */

typedef struct ModelSettings {
    int plain, custom;                 /* in force */
    int session_plain, session_custom; /* without SET LOCAL */
    int before_plain, before_custom;   /* when the transaction began */
} ModelSettings;

static inline void model_settings_init(ModelSettings *s)
{
    *s = (ModelSettings){.custom = UNNAMED, .session_custom = UNNAMED, .before_custom = UNNAMED};
}

static inline void model_settings_commit(ModelSettings *s)
{
    s->plain = s->before_plain = s->session_plain;
    s->custom = s->before_custom = s->session_custom;
}

static inline void model_settings_roll_back(ModelSettings *s)
{
    bool named = s->custom != UNNAMED || s->session_custom != UNNAMED;
    s->session_plain = s->before_plain;
    s->session_custom = named && s->before_custom == UNNAMED ? EMPTY : s->before_custom;
    model_settings_commit(s);
}

static inline bool text_has(Slice text, const char *part)
{
    return slice_has(text, part);
}

static inline bool model_is_setting(Slice text)
{
    return slice_starts(text, "set ") || slice_starts(text, "SET ") ||
           slice_starts(text, "reset ") || slice_starts(text, "RESET ") ||
           slice_starts(text, "discard all") || slice_starts(text, "select set_config(");
}

/* The digit at the end, or in quotes there; EMPTY: none. */
static inline int text_value(Slice text)
{
    for (size_t i = text.len; i > 0 && i + 2 > text.len; i--) {
        if (text.data[i - 1] >= '1' && text.data[i - 1] <= '9') {
            return text.data[i - 1] - '0';
        }
    }
    return EMPTY;
}

static inline void model_settings_run(ModelSettings *s, Slice text)
{
    bool reset = slice_starts(text, "reset ") || slice_starts(text, "RESET ");
    bool all = slice_starts(text, "reset all") || slice_starts(text, "discard all");
    bool custom = text_has(text, "a.b") || text_has(text, "\"a\".\"b\"");
    int value = reset ? EMPTY : text_value(text);
    if (all) {
        s->plain = s->session_plain = DEFAULT;
        if (s->custom != UNNAMED) {
            s->custom = s->session_custom = EMPTY;
        }
    } else if (slice_starts(text, "set local ")) {
        s->plain = custom ? s->plain : value;
        s->custom = custom ? value : s->custom;
        if (custom && s->session_custom == UNNAMED) {
            s->session_custom = EMPTY;
        }
    } else if (custom) {
        s->custom = s->session_custom = value;
    } else {
        s->plain = s->session_plain = value;
    }
}

/* Whether the list says what is set. */
static inline bool model_settings_are(const ModelSettings *s, const Settings *list)
{
    Slice plain = pg_params_get(settings_slice(list), "t");
    Slice custom = pg_params_get(settings_slice(list), "a.b");
    bool plain_same = plain.data == NULL || slice_is(plain, "dflt") ? s->plain == DEFAULT
                                                                    : s->plain == text_value(plain);
    bool custom_same = custom.data == NULL ? s->custom == UNNAMED : s->custom == text_value(custom);
    return plain_same && custom_same;
}

/* A column of the answer to "SELECT current_setting('t', true), …". */
static inline void model_put_value(Buf *row, int value, bool custom)
{
    char text[] = {(char)('0' + value)};
    if (custom && value == UNNAMED) {
        pg_put_u32(row, UINT32_MAX);
    } else if (value == EMPTY) {
        pg_put_u32(row, custom ? 0 : 4);
        buf_append_str(row, custom ? "" : "dflt");
    } else {
        pg_put_u32(row, 1);
        buf_append(row, text, 1);
    }
}

#endif
