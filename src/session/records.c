/* See records_priv.h. */
#include "session/records_priv.h"

static void record_done(Record *record)
{
    statement_unref(record->statement);
    statement_unref(record->before);
    mem_free(record->name);
}

void strays_clear(Exchange *exchange)
{
    for (size_t i = 0; i < exchange->strays.len; i++) {
        mem_free(exchange->strays.items[i]);
    }
    exchange->strays.len = 0;
}

void records_clear(Exchange *exchange)
{
    for (size_t i = exchange->records_first; i < exchange->records.len; i++) {
        record_done(&exchange->records.items[i]);
    }
    exchange->records.len = exchange->records_first = 0;
    mem_free(exchange->deallocating);
    exchange->deallocating = NULL;
    strays_clear(exchange);
}

void record_add(Exchange *exchange, unsigned kind, Statement *statement, Slice name)
{
    Record record = {.kind = kind,
                     .statement = statement != NULL ? statement_ref(statement) : NULL,
                     .batch = exchange->batch,
                     .name = name.len > 0 ? mem_printf("%.*s", SLICE_FMT(name)) : NULL};
    vec_push(&exchange->records, record);
}

static Record *record_at(Exchange *exchange, size_t index)
{
    ASSERT(exchange->records_first + index < exchange->records.len);
    return &exchange->records.items[exchange->records_first + index];
}

static void records_drop(Exchange *exchange, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        record_done(record_at(exchange, i));
    }
    exchange->records_first += count;
    if (exchange->records_first == exchange->records.len) {
        exchange->records.len = exchange->records_first = 0;
    }
}

static void stray_add(Exchange *exchange, const char *name)
{
    vec_push(&exchange->strays, mem_strdup(name));
}

void record_keep(Exchange *exchange)
{
    const Record *record = record_at(exchange, 0);
    if ((record->kind & RECORD_PREPARED) != 0) {
        statement_set_settle(&exchange->prepared, record->statement, record->batch, true);
    }
    if ((record->kind & RECORD_STRAY) != 0) {
        stray_add(exchange, record->name);
    }
    records_drop(exchange, 1);
}

bool record_is_of(const Record *record, Slice name)
{
    return (record->kind & (RECORD_NAMED | RECORD_UNNAMED)) != 0 && record->name != NULL &&
           slice_is(name, record->name);
}

/* The next record of a later batch that says something of the name; NULL: none does. */
static Record *name_changed_behind(Exchange *exchange, size_t count, const char *name)
{
    for (size_t i = exchange->records_first + count; i < exchange->records.len; i++) {
        Record *record = &exchange->records.items[i];
        if (record_is_of(record, slice_of(name))) {
            return record;
        }
    }
    return NULL;
}

/* The name stands again for what it stood for; or will, where what was said of it since is undone
 * as well. */
static void name_undo(Session *session, Exchange *exchange, const Record *record, size_t count)
{
    Statement *again = record->before;
    Record *behind = name_changed_behind(exchange, count, record->name);
    if (behind != NULL) {
        statement_unref(behind->before);
        behind->before = again != NULL ? statement_ref(again) : NULL;
    } else if (again != NULL) {
        statement_names_set(&session->names, slice_of(record->name), again);
    } else {
        statement_names_remove(&session->names, slice_of(record->name));
    }
}

/* One of the oldest `count`, which are undone together, the last first. */
static void record_undo(Session *session, Exchange *exchange, size_t index, size_t count)
{
    const Record *record = record_at(exchange, index);
    if ((record->kind & RECORD_PREPARED) != 0) {
        statement_set_settle(&exchange->prepared, record->statement, record->batch, false);
    }
    if ((record->kind & RECORD_CLOSED) != 0) {
        stray_add(exchange, record->name);
    }
    if (record->name != NULL && (record->kind & (RECORD_NAMED | RECORD_UNNAMED)) != 0) {
        name_undo(session, exchange, record, count);
    }
}

void records_undo(Session *session, Exchange *exchange, size_t count)
{
    for (size_t i = count; i > 0; i--) {
        record_undo(session, exchange, i - 1, count);
    }
    records_drop(exchange, count);
}

void stray_remove(Exchange *exchange, const char *name)
{
    for (size_t i = exchange->strays.len; i > 0; i--) {
        if (strcmp(exchange->strays.items[i - 1], name) == 0) {
            mem_free(exchange->strays.items[i - 1]);
            exchange->strays.items[i - 1] = exchange->strays.items[--exchange->strays.len];
        }
    }
}
