/* Values to DataRow messages, in the text or the binary format of their types. */
#include <inttypes.h>
#include <stdio.h>

#include "proxy/admin/admin_priv.h"

#define ROW_ROOM   ((size_t)64 << 10) /* of a row, more than any has */
#define TEXT_BYTES 200

static const struct {
    uint32_t oid;
    uint16_t size;
} types[] = {[ADMIN_TEXT] = {25, UINT16_MAX}, [ADMIN_INT4] = {23, 4}, [ADMIN_INT8] = {20, 8}};

void admin_rows_init(AdminRows *rows, const AdminTable *table, bool binary)
{
    *rows = (AdminRows){.table = table, .binary = binary};
    buf_init(&rows->out, ADMIN_ANSWER_MAX + ROW_ROOM);
}

void admin_rows_done(AdminRows *rows)
{
    buf_done(&rows->out);
}

bool admin_row_begin(AdminRows *rows)
{
    if (rows->out.len >= ADMIN_ANSWER_MAX) {
        rows->cut = true;
        return false;
    }
    rows->mark = pg_put_begin(&rows->out, 'D');
    rows->cell = 0;
    pg_put_u16(&rows->out, (uint16_t)rows->table->column_count);
    return true;
}

void admin_row_end(AdminRows *rows)
{
    ASSERT(rows->cell == rows->table->column_count && !rows->out.overflowed);
    pg_put_end(&rows->out, rows->mark);
    rows->count++;
}

static AdminType next_cell(AdminRows *rows)
{
    ASSERT(rows->cell < rows->table->column_count);
    return rows->table->columns[rows->cell++].type;
}

void admin_put_null(AdminRows *rows)
{
    next_cell(rows);
    pg_put_u32(&rows->out, UINT32_MAX);
}

/* Names that clients choose may be long, and nobody wants to read them. */
void admin_put_slice(AdminRows *rows, Slice text)
{
    AdminType type = next_cell(rows);
    ASSERT(type == ADMIN_TEXT);
    text.len = text.len > TEXT_BYTES ? TEXT_BYTES : text.len;
    pg_put_u32(&rows->out, (uint32_t)text.len);
    buf_append_slice(&rows->out, text);
}

void admin_put_text(AdminRows *rows, const char *text)
{
    if (text == NULL) {
        admin_put_null(rows);
    } else {
        admin_put_slice(rows, slice_of(text));
    }
}

void admin_put_format(AdminRows *rows, const char *format, ...)
{
    char text[TEXT_BYTES + 1];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    admin_put_text(rows, text);
}

static void put_binary(AdminRows *rows, int64_t value, uint16_t size)
{
    pg_put_u32(&rows->out, size);
    if (size == 8) {
        pg_put_u32(&rows->out, (uint32_t)((uint64_t)value >> 32));
    }
    pg_put_u32(&rows->out, (uint32_t)(uint64_t)value);
}

void admin_put_int(AdminRows *rows, int64_t value)
{
    AdminType type = next_cell(rows);
    ASSERT(type == ADMIN_INT8 || type == ADMIN_INT4);
    if (type == ADMIN_INT4 && value > INT32_MAX) {
        value = INT32_MAX;
    }
    if (rows->binary) {
        put_binary(rows, value, types[type].size);
        return;
    }
    char text[24];
    int len = snprintf(text, sizeof(text), "%" PRId64, value);
    pg_put_u32(&rows->out, (uint32_t)len);
    buf_append_str(&rows->out, text);
}

/* "2026-01-31 12:00:00 UTC", as PgBouncer writes it. */
void admin_put_time(AdminRows *rows, int64_t wall_ms)
{
    char iso[TIME_ISO_SIZE];
    time_format_iso(wall_ms, iso);
    admin_put_format(rows, "%.10s %.8s UTC", iso, iso + 11);
}

void admin_put_description(const AdminTable *table, bool binary, Buf *out)
{
    size_t mark = pg_put_begin(out, 'T');
    pg_put_u16(out, (uint16_t)table->column_count);
    for (size_t i = 0; i < table->column_count; i++) {
        const AdminColumn *column = &table->columns[i];
        pg_put_str(out, slice_of(column->name));
        pg_put_u32(out, 0); /* of no table */
        pg_put_u16(out, 0);
        pg_put_u32(out, types[column->type].oid);
        pg_put_u16(out, types[column->type].size);
        pg_put_u32(out, UINT32_MAX); /* no modifier */
        pg_put_u16(out, binary ? 1 : 0);
    }
    pg_put_end(out, mark);
}
