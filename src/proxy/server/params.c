/* See params_priv.h. A start packet has at most 10,000 bytes, and a server reports about fifteen
 * settings: linear searches are right here. */
#include "proxy/server/params_priv.h"

#include "session/session.h"

ParamList *params_new(Slice bytes)
{
    ParamList *list = mem_alloc(sizeof(ParamList) + bytes.len + 1);
    list->refs = 1;
    list->len = bytes.len;
    if (bytes.len > 0) {
        memcpy(list->bytes, bytes.data, bytes.len);
    }
    return list;
}

ParamList *params_ref(ParamList *list)
{
    list->refs++;
    return list;
}

void params_unref(ParamList *list)
{
    if (list != NULL && --list->refs == 0) {
        mem_free(list);
    }
}

Slice params_slice(const ParamList *list)
{
    return (Slice){list->bytes, list->len};
}

bool params_equal(const ParamList *a, const ParamList *b)
{
    return a == b || slice_eq(params_slice(a), params_slice(b));
}

static int compare_nocase(Slice a, Slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? strncasecmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static void put_pair(Buf *out, Slice name, Slice value)
{
    pg_put_str(out, name);
    pg_put_str(out, value);
}

ParamList *params_with(const ParamList *list, Slice name, Slice value)
{
    Buf out;
    buf_init(&out, PARAMS_BYTES_MAX);
    Slice rest = params_slice(list);
    Slice old_name;
    Slice old_value;
    bool placed = false;
    while (pg_params_next(&rest, &old_name, &old_value)) {
        int order = compare_nocase(old_name, name);
        if (order >= 0 && !placed) {
            put_pair(&out, name, value);
            placed = true;
        }
        if (order != 0) {
            put_pair(&out, old_name, old_value);
        }
    }
    if (!placed) {
        put_pair(&out, name, value);
    }
    ParamList *result = out.overflowed ? NULL : params_new(buf_slice(&out));
    buf_done(&out);
    return result;
}

Slice params_value(const ParamList *list, const char *name)
{
    Slice rest = params_slice(list);
    Slice found;
    Slice value;
    while (pg_params_next(&rest, &found, &value)) {
        if (slice_is_nocase(found, name)) {
            return value;
        }
    }
    return (Slice){0};
}

void params_put_changes(const ParamList *before, const ParamList *after, Buf *out)
{
    if (before == after) {
        return;
    }
    Slice rest = params_slice(after);
    Slice name;
    Slice value;
    while (pg_params_next(&rest, &name, &value)) {
        Slice old = before != NULL ? pg_params_get(params_slice(before), name.data) : (Slice){0};
        if (old.data == NULL || !slice_eq(old, value)) {
            pg_put_parameter(out, name, value);
        }
    }
}

/* A server takes these names for what they are in lower case only; and in lower case we pass all
 * on.
 */
static bool is_own_business(Slice name)
{
    return slice_is_nocase(name, "user") || slice_is_nocase(name, "database") ||
           slice_is_nocase(name, "replication") ||
           (name.len >= 5 && slice_is_nocase((Slice){name.data, 5}, "_pq_."));
}

ParamList *params_of_start(Slice start_params)
{
    ParamList *list = params_new((Slice){0});
    Slice name;
    Slice value;
    while (pg_params_next(&start_params, &name, &value)) {
        if (is_own_business(name)) {
            continue;
        }
        Buf lower;
        buf_init(&lower, PG_START_MAX);
        for (size_t i = 0; i < name.len; i++) {
            buf_append_char(&lower, char_lower(name.data[i]));
        }
        ParamList *longer = params_with(list, buf_slice(&lower), value);
        ASSERT(longer != NULL); /* a start packet is shorter than the limit */
        buf_done(&lower);
        params_unref(list);
        list = longer;
    }
    return list;
}

/* ---- what is the proxy's own -------------------------------------------------------------------
 */

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next word of `options`, as PostgreSQL takes it apart: a backslash keeps what is behind it.
 * False at the end. *ret_raw is the word as it stands there. */
static bool next_word(Slice *rest, Slice *ret_raw, Buf *word)
{
    size_t from = 0;
    while (from < rest->len && is_blank(rest->data[from])) {
        from++;
    }
    size_t at = from;
    buf_clear(word);
    while (at < rest->len && !is_blank(rest->data[at])) {
        at += rest->data[at] == '\\' && at + 1 < rest->len ? 1 : 0;
        buf_append_char(word, rest->data[at++]);
    }
    *ret_raw = (Slice){rest->data + from, at - from};
    *rest = slice_skip(*rest, at);
    return at > from;
}

/* NAME=VALUE; a dash is as good as '_' in a name. */
static bool is_token(Slice assignment, Slice *ret_value)
{
    Slice name = slice_of(SQL_TOKEN_NAME);
    bool same = assignment.len > name.len && assignment.data[name.len] == '=';
    for (size_t i = 0; i < name.len && same; i++) {
        char c = char_lower(assignment.data[i]);
        same = (c == '-' ? '_' : c) == name.data[i];
    }
    if (same) {
        *ret_value = slice_skip(assignment, name.len + 1);
    }
    return same;
}

static void put_word(Buf *out, Slice raw)
{
    if (raw.len > 0) {
        buf_append_str(out, out->len > 0 ? " " : "");
        buf_append_slice(out, raw);
    }
}

/* What is left of `options`. False: it is all of it. */
static bool take_from_options(Slice options, Buf *left, Buf *ret_value)
{
    Buf word;
    Slice raw;
    Slice value;
    Slice held = {0}; /* a -c, for which the next word is */
    bool taken = false;
    buf_init(&word, PG_START_MAX);
    while (next_word(&options, &raw, &word)) {
        Slice text = buf_slice(&word);
        bool prefixed = slice_starts(text, "--") || (slice_starts(text, "-c") && text.len > 2);
        Slice assignment = held.len > 0 ? text : prefixed ? slice_skip(text, 2) : (Slice){0};
        if (is_token(assignment, &value)) {
            buf_clear(ret_value);
            buf_append_slice(ret_value, value);
            taken = true;
            held = (Slice){0};
            continue;
        }
        put_word(left, held);
        held = held.len == 0 && slice_is(text, "-c") ? raw : (Slice){0};
        put_word(left, held.len > 0 ? (Slice){0} : raw);
    }
    put_word(left, held);
    buf_done(&word);
    return taken;
}

ParamList *params_take_token(ParamList *list, Buf *ret_value)
{
    Buf out;
    Buf left;
    Slice rest = params_slice(list);
    Slice name;
    Slice value;
    bool taken = false;
    buf_init(&out, PARAMS_BYTES_MAX);
    buf_init(&left, PG_START_MAX);
    while (pg_params_next(&rest, &name, &value)) {
        bool own = slice_is(name, SQL_TOKEN_NAME);
        bool cut = slice_is(name, "options") && take_from_options(value, &left, ret_value);
        if (own) {
            buf_clear(ret_value);
            buf_append_slice(ret_value, value);
        } else if (!cut || left.len > 0) {
            put_pair(&out, name, cut ? buf_slice(&left) : value);
        }
        taken = taken || own || cut;
    }
    ParamList *result = taken ? params_new(buf_slice(&out)) : params_ref(list);
    params_unref(list);
    buf_done(&out);
    buf_done(&left);
    return result;
}

/* ---- replication -------------------------------------------------------------------------------
 */

static bool begins_word(Slice value, const char *word)
{
    size_t len = strlen(word);
    return value.len > 0 && value.len <= len && strncasecmp(value.data, word, value.len) == 0;
}

/* As PostgreSQL reads it: "database", or a boolean by any beginning of its words. */
static Replication replication_of(Slice value)
{
    if (slice_is(value, "database")) {
        return REPLICATION_LOGICAL;
    }
    if (begins_word(value, "false") || begins_word(value, "no") || slice_is(value, "0") ||
        (value.len >= 2 && begins_word(value, "off")) || value.len == 0) {
        return REPLICATION_NONE;
    }
    bool yes = begins_word(value, "true") || begins_word(value, "yes") || slice_is(value, "1") ||
               slice_is_nocase(value, "on");
    return yes ? REPLICATION_PHYSICAL : REPLICATION_BAD;
}

Replication params_replication(Slice start_params)
{
    Replication most = REPLICATION_NONE;
    Slice name;
    Slice value;
    while (pg_params_next(&start_params, &name, &value)) {
        if (slice_is_nocase(name, "replication") && replication_of(value) > most) {
            most = replication_of(value);
        }
    }
    return most;
}

ParamList *params_for_walsender(ParamList *list)
{
    ParamList *named = params_with(list, SLICE("application_name"), SLICE(WALSENDER_NAME));
    ParamList *result = params_with(named, SLICE("replication"), SLICE("database"));
    ASSERT(named != NULL && result != NULL); /* a start packet is shorter than the limit */
    params_unref(named);
    params_unref(list);
    return result;
}
