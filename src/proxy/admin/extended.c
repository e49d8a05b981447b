/*
 * The admin database by the extended protocol: a statement, or the portal, is a command that was
 * understood. There are no parameters, one format for all columns, and no portal but the unnamed
 * one, which runs to its end.
 */
#include "proxy/admin/admin_priv.h"
#include "proxy/client/client_priv.h"

static void take_parse(AdminSession *session, Slice body, Buf *out)
{
    PgParse parse;
    if (!pg_get_parse(body, &parse)) {
        admin_fail(session, "08P01", "invalid Parse message", out);
        return;
    }
    AdminCommand command = admin_command_parse(parse.query);
    if (command.kind == ADMIN_REFUSED) {
        admin_fail(session, command.sqlstate, command.message, out);
        return;
    }
    AdminCommand *known = map_get(session->statements, parse.statement);
    if (known == NULL && map_len(session->statements) >= ADMIN_STATEMENTS_MAX) {
        admin_fail(session, "53400", "too many prepared statements", out);
        return;
    }
    if (known == NULL) {
        known = mem_alloc(sizeof(AdminCommand));
        map_set(session->statements, parse.statement, known);
    }
    *known = command;
    admin_put_empty(out, '1');
}

/* Whether nothing but the formats of results is given, and those are all the same. */
static bool read_formats(Slice rest, bool *ret_binary)
{
    PgReader reader = {.rest = rest};
    uint16_t format_count = pg_read_u16(&reader);
    pg_read_bytes(&reader, (size_t)2 * format_count);
    if (pg_read_u16(&reader) != 0) {
        return false;
    }
    uint16_t result_count = pg_read_u16(&reader);
    *ret_binary = false;
    for (uint16_t i = 0; i < result_count; i++) {
        uint16_t format = pg_read_u16(&reader);
        if (format > 1 || (i > 0 && (format == 1) != *ret_binary)) {
            return false;
        }
        *ret_binary = format == 1;
    }
    return pg_reader_ended(&reader);
}

static void take_bind(AdminSession *session, Slice body, Buf *out)
{
    PgBind bind;
    bool binary;
    if (!pg_get_bind(body, &bind)) {
        admin_fail(session, "08P01", "invalid Bind message", out);
        return;
    }
    const AdminCommand *command = map_get(session->statements, bind.statement);
    if (command == NULL) {
        admin_fail(session, "26000", "prepared statement does not exist", out);
    } else if (bind.portal.len > 0 || !read_formats(bind.rest, &binary)) {
        admin_fail(
            session, "0A000",
            "the admin database takes no parameters, no named portals, and one format for all "
            "columns: use the simple query protocol",
            out);
    } else {
        session->portal = *command;
        session->binary = binary;
        session->has_portal = true;
        admin_put_empty(out, '2');
    }
}

static void put_described(const AdminCommand *command, bool binary, Buf *out)
{
    if (command->kind == ADMIN_SHOW) {
        admin_put_description(command->table, binary, out);
    } else {
        admin_put_empty(out, 'n');
    }
}

static void take_describe(AdminSession *session, Slice body, Buf *out)
{
    PgTarget target;
    if (!pg_get_target(body, &target)) {
        admin_fail(session, "08P01", "invalid Describe message", out);
    } else if (target.kind == 'P' && session->has_portal && target.name.len == 0) {
        put_described(&session->portal, session->binary, out);
    } else if (target.kind == 'P') {
        admin_fail(session, "34000", "portal does not exist", out);
    } else if (map_get(session->statements, target.name) == NULL) {
        admin_fail(session, "26000", "prepared statement does not exist", out);
    } else {
        size_t mark = pg_put_begin(out, 't');
        pg_put_u16(out, 0);
        pg_put_end(out, mark);
        put_described(map_get(session->statements, target.name), false, out);
    }
}

static void take_close(AdminSession *session, Slice body, Buf *out)
{
    PgTarget target;
    if (!pg_get_target(body, &target)) {
        admin_fail(session, "08P01", "invalid Close message", out);
        return;
    }
    if (target.kind == 'S') {
        mem_free(map_remove(session->statements, target.name));
    } else {
        session->has_portal = false;
    }
    admin_put_empty(out, '3');
}

static void take_execute(ProxyClient *client, Slice body, Buf *out)
{
    AdminSession *session = client->admin;
    PgExecute execute;
    if (!pg_get_execute(body, &execute)) {
        admin_fail(session, "08P01", "invalid Execute message", out);
    } else if (!session->has_portal || execute.portal.len > 0) {
        admin_fail(session, "34000", "portal does not exist", out);
    } else {
        session->has_portal = false; /* it runs to its end */
        admin_run(client, &session->portal, session->binary, out);
    }
}

void admin_take_extended(ProxyClient *client, const PgPiece *piece, Buf *out)
{
    AdminSession *session = client->admin;
    session->simple = false;
    if (piece->type == 'S') {
        session->skipping = session->has_portal = false;
        pg_put_ready(out, 'I');
        return;
    }
    if (session->skipping) {
        return;
    }
    switch (piece->type) {
    case 'P':
        take_parse(session, piece->body, out);
        break;
    case 'B':
        take_bind(session, piece->body, out);
        break;
    case 'D':
        take_describe(session, piece->body, out);
        break;
    case 'C':
        take_close(session, piece->body, out);
        break;
    case 'E':
        take_execute(client, piece->body, out);
        break;
    default: /* Flush, and COPY messages that nobody asked for */
        break;
    }
}
