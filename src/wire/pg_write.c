/* PostgreSQL messages that Weir itself sends. A message is begun with an empty length, which is
 * filled in at its end; on an overflowed Buf nothing is written, and its owner sees it. */
#include "wire/wire.h"

#define VERSION_CANCEL ((uint32_t)1234 << 16 | 5678)
#define VERSION_SSL    ((uint32_t)1234 << 16 | 5679)

static void u32_store(char out[static 4], uint32_t value)
{
    for (int i = 3; i >= 0; i--) {
        out[i] = (char)(value & 0xff);
        value >>= 8;
    }
}

void pg_put_u32(Buf *out, uint32_t value)
{
    char bytes[4];
    u32_store(bytes, value);
    buf_append(out, bytes, sizeof(bytes));
}

void pg_put_u16(Buf *out, uint16_t value)
{
    char bytes[2] = {(char)(value >> 8), (char)(value & 0xff)};
    buf_append(out, bytes, sizeof(bytes));
}

void pg_put_str(Buf *out, Slice text)
{
    size_t len = text.len > 0 ? strnlen(text.data, text.len) : 0;
    char *room = buf_reserve(out, len + 1);
    if (room != NULL) {
        if (len > 0) {
            memcpy(room, text.data, len);
        }
        room[len] = '\0';
        buf_commit(out, len + 1);
    }
}

/* The mark is where the length stands. */
static size_t put_begin_untyped(Buf *out)
{
    size_t mark = out->len;
    pg_put_u32(out, 0);
    return mark;
}

size_t pg_put_begin(Buf *out, char type)
{
    const char head[5] = {type};
    size_t mark = out->len + 1;
    buf_append(out, head, sizeof(head));
    return mark;
}

void pg_put_end(Buf *out, size_t mark)
{
    if (!out->overflowed) {
        ASSERT(out->len >= mark + 4 && out->len - mark <= UINT32_MAX);
        u32_store(out->data + mark, (uint32_t)(out->len - mark));
    }
}

static void put_empty(Buf *out, char type)
{
    pg_put_end(out, pg_put_begin(out, type));
}

static void put_one_str(Buf *out, char type, Slice text)
{
    size_t mark = pg_put_begin(out, type);
    pg_put_str(out, text);
    pg_put_end(out, mark);
}

/* ---- to a client ----------------------------------------------------------------------------- */

static void put_field(Buf *out, char field, Slice text)
{
    if (text.len > 0) {
        buf_append_char(out, field);
        pg_put_str(out, text);
    }
}

static void put_report(Buf *out, char type, const PgError *report)
{
    size_t mark = pg_put_begin(out, type);
    put_field(out, 'S', report->severity);
    put_field(out, 'V', report->severity);
    put_field(out, 'C', report->sqlstate);
    put_field(out, 'M', report->message);
    put_field(out, 'D', report->detail);
    put_field(out, 'H', report->hint);
    put_field(out, 'R', report->routine);
    buf_append_char(out, '\0');
    pg_put_end(out, mark);
}

void pg_put_error(Buf *out, const PgError *error)
{
    put_report(out, 'E', error);
}

void pg_put_notice(Buf *out, const PgError *notice)
{
    put_report(out, 'N', notice);
}

void pg_put_auth(Buf *out, PgAuthKind kind, Slice data)
{
    size_t mark = pg_put_begin(out, 'R');
    pg_put_u32(out, (uint32_t)kind);
    buf_append_slice(out, data);
    pg_put_end(out, mark);
}

void pg_put_auth_sasl(Buf *out, bool with_plus)
{
    size_t mark = pg_put_begin(out, 'R');
    pg_put_u32(out, PG_AUTH_SASL);
    if (with_plus) {
        pg_put_str(out, SLICE(SCRAM_MECHANISM_PLUS));
    }
    pg_put_str(out, SLICE(SCRAM_MECHANISM));
    buf_append_char(out, '\0');
    pg_put_end(out, mark);
}

void pg_put_parameter(Buf *out, Slice name, Slice value)
{
    size_t mark = pg_put_begin(out, 'S');
    pg_put_str(out, name);
    pg_put_str(out, value);
    pg_put_end(out, mark);
}

void pg_put_key_data(Buf *out, uint32_t pid, Slice key)
{
    size_t mark = pg_put_begin(out, 'K');
    pg_put_u32(out, pid);
    buf_append_slice(out, key);
    pg_put_end(out, mark);
}

void pg_put_ready(Buf *out, char status)
{
    size_t mark = pg_put_begin(out, 'Z');
    buf_append_char(out, status);
    pg_put_end(out, mark);
}

void pg_put_command_complete(Buf *out, Slice tag)
{
    put_one_str(out, 'C', tag);
}

void pg_put_negotiate(Buf *out, uint16_t minor, const Slice *unknown, size_t unknown_count)
{
    size_t mark = pg_put_begin(out, 'v');
    pg_put_u32(out, (uint32_t)PG_PROTOCOL_MAJOR << 16 | minor);
    pg_put_u32(out, (uint32_t)unknown_count);
    for (size_t i = 0; i < unknown_count; i++) {
        pg_put_str(out, unknown[i]);
    }
    pg_put_end(out, mark);
}

/* ---- to a server ----------------------------------------------------------------------------- */

void pg_put_start(Buf *out, uint16_t minor, Slice params)
{
    size_t mark = put_begin_untyped(out);
    pg_put_u32(out, (uint32_t)PG_PROTOCOL_MAJOR << 16 | minor);
    buf_append_slice(out, params);
    buf_append_char(out, '\0');
    pg_put_end(out, mark);
}

void pg_put_cancel(Buf *out, uint32_t pid, Slice key)
{
    size_t mark = put_begin_untyped(out);
    pg_put_u32(out, VERSION_CANCEL);
    pg_put_u32(out, pid);
    buf_append_slice(out, key);
    pg_put_end(out, mark);
}

void pg_put_ssl_request(Buf *out)
{
    size_t mark = put_begin_untyped(out);
    pg_put_u32(out, VERSION_SSL);
    pg_put_end(out, mark);
}

void pg_put_password(Buf *out, Slice password)
{
    put_one_str(out, 'p', password);
}

void pg_put_sasl_initial(Buf *out, const char *mechanism, Slice response)
{
    size_t mark = pg_put_begin(out, 'p');
    pg_put_str(out, slice_of(mechanism));
    pg_put_u32(out, (uint32_t)response.len);
    buf_append_slice(out, response);
    pg_put_end(out, mark);
}

void pg_put_sasl_response(Buf *out, Slice response)
{
    size_t mark = pg_put_begin(out, 'p');
    buf_append_slice(out, response);
    pg_put_end(out, mark);
}

void pg_put_query(Buf *out, Slice text)
{
    put_one_str(out, 'Q', text);
}

void pg_put_parse(Buf *out, Slice statement, Slice query)
{
    size_t mark = pg_put_begin(out, 'P');
    pg_put_str(out, statement);
    pg_put_str(out, query);
    pg_put_u16(out, 0);
    pg_put_end(out, mark);
}

void pg_put_bind(Buf *out, Slice portal, Slice statement)
{
    size_t mark = pg_put_begin(out, 'B');
    pg_put_str(out, portal);
    pg_put_str(out, statement);
    pg_put_u16(out, 0); /* formats of parameters */
    pg_put_u16(out, 0); /* parameters */
    pg_put_u16(out, 0); /* formats of results: text */
    pg_put_end(out, mark);
}

static void put_target(Buf *out, char type, char kind, Slice name)
{
    size_t mark = pg_put_begin(out, type);
    buf_append_char(out, kind);
    pg_put_str(out, name);
    pg_put_end(out, mark);
}

void pg_put_describe(Buf *out, char kind, Slice name)
{
    put_target(out, 'D', kind, name);
}

void pg_put_close(Buf *out, char kind, Slice name)
{
    put_target(out, 'C', kind, name);
}

void pg_put_execute(Buf *out, Slice portal, uint32_t rows_max)
{
    size_t mark = pg_put_begin(out, 'E');
    pg_put_str(out, portal);
    pg_put_u32(out, rows_max);
    pg_put_end(out, mark);
}

void pg_put_sync(Buf *out)
{
    put_empty(out, 'S');
}

void pg_put_flush(Buf *out)
{
    put_empty(out, 'H');
}

void pg_put_terminate(Buf *out)
{
    put_empty(out, 'X');
}

void pg_md5_response(Slice user, Slice password, Slice salt, char out[static 36])
{
    ASSERT(salt.len == 4);
    Buf text;
    char hex[33];
    size_t room = password.len + user.len + 32 + salt.len;
    buf_init(&text, room);
    buf_reserve(&text, room); /* at once, so that no copy of the password stays behind */
    buf_append_slice(&text, password);
    buf_append_slice(&text, user);
    md5_hex(buf_slice(&text), hex);
    crypto_wipe(text.data, text.len);
    buf_clear(&text);
    buf_append(&text, hex, 32);
    buf_append_slice(&text, salt);
    md5_hex(buf_slice(&text), hex);
    crypto_wipe(text.data, text.len);
    buf_done(&text);
    memcpy(out, "md5", 3);
    memcpy(out + 3, hex, 33);
}
