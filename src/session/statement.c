/* See statement_priv.h. A Statement leaves its table with the last reference, so that a table is as
 * large as what its clients and server connections have. */
#include <inttypes.h>
#include <stdio.h>

#include "session/statement_priv.h"

struct StatementTable {
    Map *map; /* from context and tail to Statement */
    uint64_t made;
};

typedef struct SetEntry {
    ListNode node;
    Statement *statement;
    uint64_t batch; /* of the Parse sent last */
    bool confirmed;
} SetEntry;

/* ---- statements --------------------------------------------------------------------------------
 */

StatementTable *statement_table_new(void)
{
    StatementTable *table = mem_alloc(sizeof(StatementTable));
    table->map = map_new();
    return table;
}

void statement_table_free(StatementTable *table)
{
    if (table != NULL) {
        ASSERT(map_len(table->map) == 0);
        map_free(table->map);
        mem_free(table);
    }
}

Slice statement_tail(const Statement *statement)
{
    return slice_skip(statement->parse, PG_HEADER_SIZE + strlen(statement->name) + 1);
}

static void key_build(uint64_t context, Slice tail, Buf *key)
{
    buf_init(key, BUF_MAX_DEFAULT);
    buf_append(key, &context, sizeof(context));
    buf_append_slice(key, tail);
    ASSERT(!key->overflowed);
}

static Statement *statement_new(StatementTable *table, uint64_t context, Slice tail)
{
    char name[STATEMENT_NAME_SIZE];
    snprintf(name, sizeof(name), STATEMENT_PREFIX "%" PRIx64, ++table->made);
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_close(&out, 'S', slice_of(name));
    size_t close_len = out.len;
    size_t mark = pg_put_begin(&out, 'P');
    pg_put_str(&out, slice_of(name));
    buf_append_slice(&out, tail);
    pg_put_end(&out, mark);
    ASSERT(!out.overflowed);
    Statement *statement = mem_alloc(sizeof(Statement) + out.len);
    statement->refs = 1;
    statement->table = table;
    statement->context = context;
    memcpy(statement->name, name, sizeof(name));
    memcpy(statement->messages, out.data, out.len);
    statement->close = slice_from(statement->messages, close_len);
    statement->parse = slice_from(statement->messages + close_len, out.len - close_len);
    buf_done(&out);
    return statement;
}

Statement *statement_intern(StatementTable *table, uint64_t context, Slice tail, bool *ret_new)
{
    Buf key;
    key_build(context, tail, &key);
    Statement *statement = map_get(table->map, buf_slice(&key));
    *ret_new = statement == NULL;
    if (statement != NULL) {
        statement_ref(statement);
    } else {
        statement = statement_new(table, context, tail);
        map_set(table->map, buf_slice(&key), statement);
    }
    buf_done(&key);
    return statement;
}

void statement_learn(Statement *statement, const TextEffects *effects)
{
    mem_free(statement->touched);
    statement->touched = NULL;
    statement->effects = *effects;
    if (effects->touched.len > 0) {
        statement->touched = mem_alloc(effects->touched.len);
        memcpy(statement->touched, effects->touched.data, effects->touched.len);
    }
    statement->effects.touched = (Slice){statement->touched, effects->touched.len};
}

Statement *statement_ref(Statement *statement)
{
    statement->refs++;
    return statement;
}

void statement_unref(Statement *statement)
{
    if (statement != NULL && --statement->refs == 0) {
        Buf key;
        key_build(statement->context, statement_tail(statement), &key);
        map_remove(statement->table->map, buf_slice(&key));
        buf_done(&key);
        mem_free(statement->touched);
        mem_free(statement);
    }
}

Slice statement_anew(const Statement *statement)
{
    return slice_from(statement->messages, statement->close.len + statement->parse.len);
}

/* The word is a literal's first one: behind a quote and blanks. */
static bool begins_literal(Slice text, size_t at)
{
    while (at > 0 && strchr(" \t\r\n", text.data[at - 1]) != NULL) {
        at--;
    }
    return at > 0 && (text.data[at - 1] == '\'' || text.data[at - 1] == '$');
}

bool statement_freezes_time(Slice text)
{
    static const char *const words[] = {"now", "today", "tomorrow", "yesterday"};
    for (size_t at = 0; at < text.len; at++) {
        char c = (char)(text.data[at] | 0x20);
        for (size_t i = 0; (c == 'n' || c == 't' || c == 'y') && i < ARRAY_LEN(words); i++) {
            size_t len = strlen(words[i]);
            if (text.len - at >= len && strncasecmp(text.data + at, words[i], len) == 0 &&
                (i > 0 || begins_literal(text, at))) {
                return true;
            }
        }
    }
    return false;
}

/* ---- a client's names --------------------------------------------------------------------------
 */

Statement *statement_names_get(const StatementNames *names, Slice name)
{
    return names->map != NULL ? map_get(names->map, name) : NULL;
}

size_t statement_names_len(const StatementNames *names)
{
    return names->map != NULL ? map_len(names->map) : 0;
}

void statement_names_set(StatementNames *names, Slice name, Statement *statement)
{
    if (names->map == NULL) {
        names->map = map_new();
    }
    statement_ref(statement);
    statement_unref(map_set(names->map, name, statement));
}

void statement_names_remove(StatementNames *names, Slice name)
{
    if (names->map != NULL) {
        statement_unref(map_remove(names->map, name));
    }
}

void statement_names_clear(StatementNames *names)
{
    size_t cursor = 0;
    Slice name;
    void *value;
    while (names->map != NULL && map_next(names->map, &cursor, &name, &value)) {
        statement_unref(value);
    }
    map_free(names->map);
    names->map = NULL;
}

/* ---- what a server connection has --------------------------------------------------------------
 */

static SetEntry *set_entry(const StatementSet *set, const Statement *statement)
{
    return set->map != NULL ? map_get(set->map, slice_of(statement->name)) : NULL;
}

static void entry_touch(StatementSet *set, SetEntry *entry)
{
    if (list_first(&set->used) != &entry->node) {
        list_remove(&set->used, &entry->node);
        list_push_front(&set->used, &entry->node);
    }
}

/* The entry's reference becomes the caller's. */
static Statement *entry_take(StatementSet *set, SetEntry *entry)
{
    Statement *statement = entry->statement;
    list_remove(&set->used, &entry->node);
    map_remove(set->map, slice_of(statement->name));
    mem_free(entry);
    return statement;
}

bool statement_set_has(StatementSet *set, const Statement *statement, uint64_t batch)
{
    SetEntry *entry = set_entry(set, statement);
    if (entry == NULL || (!entry->confirmed && entry->batch != batch)) {
        return false;
    }
    entry_touch(set, entry);
    return true;
}

void statement_set_sent(StatementSet *set, Statement *statement, uint64_t batch)
{
    if (set->map == NULL) {
        set->map = map_new();
        list_init(&set->used);
    }
    SetEntry *entry = set_entry(set, statement);
    if (entry == NULL) {
        entry = mem_alloc(sizeof(SetEntry));
        entry->statement = statement_ref(statement);
        list_push_front(&set->used, &entry->node);
        map_set(set->map, slice_of(statement->name), entry);
    }
    entry->batch = batch;
    entry->confirmed = false;
    entry_touch(set, entry);
}

void statement_set_settle(StatementSet *set, const Statement *statement, uint64_t batch, bool done)
{
    SetEntry *entry = set_entry(set, statement);
    if (entry == NULL || entry->batch != batch) {
        return; /* sent once more since, or given up */
    }
    if (done) {
        entry->confirmed = true;
    } else {
        statement_unref(entry_take(set, entry));
    }
}

Statement *statement_set_evict(StatementSet *set)
{
    if (set->map == NULL || map_len(set->map) < (set->max > 0 ? set->max : STATEMENT_SET_MAX)) {
        return NULL;
    }
    return entry_take(set, CONTAINER_OF(set->used.head.prev, SetEntry, node));
}

void statement_set_doubt(StatementSet *set)
{
    if (set->map == NULL) {
        return;
    }
    LIST_FOR_EACH (&set->used, node) {
        SetEntry *entry = CONTAINER_OF(node, SetEntry, node);
        entry->confirmed = false;
        entry->batch = UINT64_MAX;
    }
}

void statement_set_clear(StatementSet *set)
{
    while (set->map != NULL && set->used.len > 0) {
        statement_unref(entry_take(set, CONTAINER_OF(list_first(&set->used), SetEntry, node)));
    }
    map_free(set->map);
    set->map = NULL;
}

/* ---- DEALLOCATE --------------------------------------------------------------------------------
 */

static bool word_skip(Slice *text, const char *word)
{
    Slice rest = slice_trim(*text);
    size_t len = strlen(word);
    if (rest.len <= len || strncasecmp(rest.data, word, len) != 0 ||
        strchr(" \t\r\n\"", rest.data[len]) == NULL) {
        return false;
    }
    *text = slice_trim(slice_skip(rest, len));
    return true;
}

static bool is_name_byte(char c, bool first)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
    return letter || (!first && ((c >= '0' && c <= '9') || c == '$'));
}

/* The identifier at the front, as PostgreSQL keeps it; false where there is none, or it is too
 * long.
 */
static bool take_name(Slice *text, char out[static SQL_WORD_MAX], size_t *ret_len)
{
    bool quoted = text->len > 0 && text->data[0] == '"';
    Slice rest = slice_skip(*text, quoted ? 1 : 0);
    bool closed = !quoted;
    size_t len = 0;
    for (; rest.len > 0 && len < SQL_WORD_MAX; rest = slice_skip(rest, 1)) {
        char c = rest.data[0];
        if (!quoted && !is_name_byte(c, len == 0)) {
            break;
        }
        if (quoted && c == '"') {
            rest = slice_skip(rest, 1);
            closed = rest.len == 0 || rest.data[0] != '"';
            if (closed) {
                break;
            }
        }
        out[len++] = quoted ? c : char_lower(c);
    }
    *text = rest;
    *ret_len = len;
    return closed && len > 0 && len < SQL_WORD_MAX;
}

Slice statement_deallocated(Slice text, char out[static SQL_WORD_MAX])
{
    size_t len = 0;
    if (!word_skip(&text, "deallocate")) {
        return (Slice){0};
    }
    (void)word_skip(&text, "prepare");
    bool quoted = text.len > 0 && text.data[0] == '"';
    if (!take_name(&text, out, &len)) {
        return (Slice){0};
    }
    text = slice_trim(text);
    Slice name = slice_from(out, len);
    bool whole = text.len == 0 || slice_is(text, ";");
    return whole && (quoted || !slice_is(name, "all")) ? name : (Slice){0};
}
