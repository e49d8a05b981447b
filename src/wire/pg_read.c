/* PostgreSQL message bodies: a cursor, and one decoder for each message that Weir looks into. */
#include "wire/wire.h"

/* ---- the cursor ------------------------------------------------------------------------------ */

Slice pg_read_bytes(PgReader *reader, size_t len)
{
    if (reader->rest.len < len) {
        reader->bad = true;
        reader->rest = (Slice){0};
        return (Slice){0};
    }
    Slice bytes = {reader->rest.data, len};
    reader->rest = slice_skip(reader->rest, len);
    return bytes;
}

static uint32_t read_number(PgReader *reader, size_t size)
{
    Slice bytes = pg_read_bytes(reader, size);
    uint32_t value = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        value = value << 8 | (unsigned char)bytes.data[i];
    }
    return value;
}

uint8_t pg_read_u8(PgReader *reader)
{
    return (uint8_t)read_number(reader, 1);
}

uint16_t pg_read_u16(PgReader *reader)
{
    return (uint16_t)read_number(reader, 2);
}

uint32_t pg_read_u32(PgReader *reader)
{
    return read_number(reader, 4);
}

Slice pg_read_str(PgReader *reader)
{
    Slice rest = reader->rest;
    const char *end = rest.len > 0 ? memchr(rest.data, '\0', rest.len) : NULL;
    if (end == NULL) {
        reader->bad = true;
        reader->rest = (Slice){0};
        return (Slice){0};
    }
    Slice text = {rest.data, (size_t)(end - rest.data)};
    reader->rest = slice_skip(rest, text.len + 1);
    return text;
}

bool pg_reader_ended(const PgReader *reader)
{
    return !reader->bad && reader->rest.len == 0;
}

/* ---- from the frontend ----------------------------------------------------------------------- */

static bool get_only_str(Slice body, Slice *ret_text)
{
    PgReader reader = {.rest = body};
    Slice text = pg_read_str(&reader);
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_text = text;
    return true;
}

bool pg_get_query(Slice body, Slice *ret_text)
{
    return get_only_str(body, ret_text);
}

bool pg_get_password(Slice body, Slice *ret_password)
{
    return get_only_str(body, ret_password);
}

bool pg_get_parse(Slice body, PgParse *ret_parse)
{
    PgReader reader = {.rest = body};
    PgParse parse = {.statement = pg_read_str(&reader)};
    parse.query = pg_read_str(&reader);
    parse.type_count = pg_read_u16(&reader);
    parse.types = pg_read_bytes(&reader, (size_t)parse.type_count * 4);
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_parse = parse;
    return true;
}

bool pg_get_parse_head(Slice head, Slice *ret_statement, size_t *ret_query_offset)
{
    PgReader reader = {.rest = head};
    Slice statement = pg_read_str(&reader);
    if (reader.bad) {
        return false;
    }
    *ret_statement = statement;
    *ret_query_offset = statement.len + 1;
    return true;
}

bool pg_get_bind(Slice head, PgBind *ret_bind)
{
    PgReader reader = {.rest = head};
    PgBind bind = {.portal = pg_read_str(&reader)};
    bind.statement = pg_read_str(&reader);
    if (reader.bad) {
        return false;
    }
    bind.rest = reader.rest;
    *ret_bind = bind;
    return true;
}

bool pg_get_target(Slice body, PgTarget *ret_target)
{
    PgReader reader = {.rest = body};
    PgTarget target = {.kind = (char)pg_read_u8(&reader)};
    target.name = pg_read_str(&reader);
    if (!pg_reader_ended(&reader) || (target.kind != 'S' && target.kind != 'P')) {
        return false;
    }
    *ret_target = target;
    return true;
}

bool pg_get_execute(Slice body, PgExecute *ret_execute)
{
    PgReader reader = {.rest = body};
    PgExecute execute = {.portal = pg_read_str(&reader)};
    execute.rows_max = pg_read_u32(&reader);
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_execute = execute;
    return true;
}

bool pg_get_sasl_initial(Slice body, Slice *ret_mechanism, Slice *ret_response)
{
    PgReader reader = {.rest = body};
    Slice mechanism = pg_read_str(&reader);
    uint32_t len = pg_read_u32(&reader);
    bool absent = len == UINT32_MAX;
    Slice response = absent ? (Slice){0} : pg_read_bytes(&reader, len);
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_mechanism = mechanism;
    *ret_response = response;
    return true;
}

/* ---- from the backend ------------------------------------------------------------------------ */

bool pg_get_auth(Slice body, PgAuth *ret_auth)
{
    PgReader reader = {.rest = body};
    PgAuth auth = {.kind = pg_read_u32(&reader)};
    auth.data = reader.rest;
    if (reader.bad || (auth.kind == PG_AUTH_MD5 && auth.data.len != 4) ||
        (auth.kind == PG_AUTH_OK && auth.data.len != 0)) {
        return false;
    }
    *ret_auth = auth;
    return true;
}

bool pg_auth_offers(const PgAuth *auth, const char *mechanism)
{
    PgReader reader = {.rest = auth->data};
    while (auth->kind == PG_AUTH_SASL && !reader.bad) {
        Slice name = pg_read_str(&reader);
        if (name.len == 0) {
            return false;
        }
        if (slice_is(name, mechanism)) {
            return true;
        }
    }
    return false;
}

bool pg_get_error(Slice body, PgError *ret_error)
{
    PgReader reader = {.rest = body};
    PgError error = {0};
    for (char field; (field = (char)pg_read_u8(&reader)) != '\0';) {
        Slice text = pg_read_str(&reader);
        if (field == 'V' || (field == 'S' && error.severity.len == 0)) {
            error.severity = text;
        } else if (field == 'C') {
            error.sqlstate = text;
        } else if (field == 'M') {
            error.message = text;
        } else if (field == 'D') {
            error.detail = text;
        } else if (field == 'H') {
            error.hint = text;
        } else if (field == 'R') {
            error.routine = text;
        }
    }
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_error = error;
    return true;
}

bool pg_get_parameter(Slice body, Slice *ret_name, Slice *ret_value)
{
    PgReader reader = {.rest = body};
    Slice name = pg_read_str(&reader);
    Slice value = pg_read_str(&reader);
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_name = name;
    *ret_value = value;
    return true;
}

bool pg_get_key_data(Slice body, uint32_t *ret_pid, Slice *ret_key)
{
    PgReader reader = {.rest = body};
    uint32_t pid = pg_read_u32(&reader);
    if (reader.bad || reader.rest.len == 0 || reader.rest.len > PG_CANCEL_KEY_MAX) {
        return false;
    }
    *ret_pid = pid;
    *ret_key = reader.rest;
    return true;
}

bool pg_get_ready(Slice body, char *ret_status)
{
    if (body.len != 1 || (body.data[0] != 'I' && body.data[0] != 'T' && body.data[0] != 'E')) {
        return false;
    }
    *ret_status = body.data[0];
    return true;
}

bool pg_get_command_tag(Slice body, Slice *ret_tag)
{
    return get_only_str(body, ret_tag);
}

bool pg_get_notification(Slice body, uint32_t *ret_pid, Slice *ret_channel, Slice *ret_payload)
{
    PgReader reader = {.rest = body};
    uint32_t pid = pg_read_u32(&reader);
    Slice channel = pg_read_str(&reader);
    Slice payload = pg_read_str(&reader);
    if (!pg_reader_ended(&reader)) {
        return false;
    }
    *ret_pid = pid;
    *ret_channel = channel;
    *ret_payload = payload;
    return true;
}
