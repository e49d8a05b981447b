/*
 * The admin database: a client that has logged in is answered by the proxy itself. One command at a
 * time: while a request is on its way the stream is paused, with what follows still in it.
 */
#include "proxy/admin/admin_priv.h"
#include "proxy/client/client_priv.h"
#include "proxy/server/server_priv.h"

typedef enum AdminNext { ADMIN_GO_ON, ADMIN_WAIT, ADMIN_GONE } AdminNext;

static void send_buf(ProxyClient *client, Buf *out)
{
    stream_write(client->stream, buf_slice(out));
    buf_done(out);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static void statements_clear(AdminSession *session)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(session->statements, &cursor, &key, &value)) {
        mem_free(value);
    }
    map_free(session->statements);
}

void proxy_admin_end(ProxyClient *client)
{
    AdminSession *session = client->admin;
    if (session == NULL) {
        return;
    }
    proxy_worker_count(client->worker, STAT_ADMINS, -1);
    statements_clear(session);
    mem_free(session->user);
    mem_free(session);
    client->admin = NULL;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static void put_notice(Buf *out, const char *message, Slice detail)
{
    PgError notice = {.severity = SLICE("NOTICE"),
                      .sqlstate = SLICE("00000"),
                      .message = slice_of(message),
                      .detail = detail};
    pg_put_notice(out, &notice);
}

void admin_put_empty(Buf *out, char type)
{
    pg_put_end(out, pg_put_begin(out, type));
}

static void put_rows(const ProxyClient *client, const AdminRows *rows, Buf *out)
{
    if (client->admin->simple) {
        admin_put_description(rows->table, rows->binary, out);
    }
    buf_append_slice(out, buf_slice(&rows->out));
    if (rows->cut) {
        put_notice(out, "the answer is not complete: it would be too long", SLICE(""));
    }
    pg_put_command_complete(out, SLICE("SHOW"));
}

static void put_help(Buf *out)
{
    Buf help;
    buf_init(&help, BUF_MAX_DEFAULT);
    admin_put_help(&help);
    put_notice(out, "Console usage", buf_slice(&help));
    buf_done(&help);
    pg_put_command_complete(out, SLICE("SHOW"));
}

/* The command has been answered, well or not; a Query's end follows. */
static void put_end(const AdminSession *session, Buf *out)
{
    if (session->simple) {
        pg_put_ready(out, 'I');
    }
}

void admin_fail(AdminSession *session, const char *sqlstate, const char *message, Buf *out)
{
    PgError error = {
        .severity = SLICE("ERROR"), .sqlstate = slice_of(sqlstate), .message = slice_of(message)};
    pg_put_error(out, &error);
    session->skipping = !session->simple;
}

/* ---- commands ----------------------------------------------------------------------------------
 */

static void start_reload(ProxyClient *client, Buf *out)
{
    AdminSession *session = client->admin;
    if (!session->may_change) {
        admin_fail(session, "42501", "admin access needed", out);
    } else if (client->worker->proxy->reload == NULL) {
        admin_fail(session, "0A000", "the configuration of this proxy comes from its tier", out);
    } else {
        session->waits = true;
        admin_reload_start(client);
    }
}

static void start_show(ProxyClient *client, const AdminTable *table, bool binary, Buf *out)
{
    if (table->show == NULL) {
        client->admin->waits = true;
        admin_gather_start(client, table, binary);
        return;
    }
    AdminRows rows;
    admin_rows_init(&rows, table, binary);
    table->show(client->worker, &rows);
    put_rows(client, &rows, out);
    admin_rows_done(&rows);
}

void admin_run(ProxyClient *client, const AdminCommand *command, bool binary, Buf *out)
{
    switch (command->kind) {
    case ADMIN_EMPTY:
        admin_put_empty(out, 'I');
        break;
    case ADMIN_SHOW:
        start_show(client, command->table, binary, out);
        break;
    case ADMIN_HELP:
        put_help(out);
        break;
    case ADMIN_RELOAD:
        start_reload(client, out);
        break;
    case ADMIN_REFUSED:
    default:
        admin_fail(client->admin, command->sqlstate, command->message, out);
        break;
    }
}

void admin_answered(ProxyClient *client, AdminRequest *request)
{
    AdminSession *session = client->admin;
    Buf out;
    ASSERT(session->waits);
    buf_init(&out, BUF_MAX_DEFAULT);
    session->waits = false;
    if (request->rows.table != NULL) {
        put_rows(client, &request->rows, &out);
    } else if (request->err.code == ERR_NONE) {
        pg_put_command_complete(&out, SLICE("RELOAD"));
    } else {
        admin_fail(session, "F0000", request->err.message, &out);
    }
    put_end(session, &out);
    send_buf(client, &out);
    stream_resume(client->stream);
}

/* ---- messages ----------------------------------------------------------------------------------
 */

static void take_query(ProxyClient *client, Slice text, Buf *out)
{
    AdminCommand command = admin_command_parse(text);
    client->admin->simple = true;
    admin_run(client, &command, false, out);
    if (!client->admin->waits) {
        put_end(client->admin, out);
    }
}

static AdminNext take_message(ProxyClient *client, const PgPiece *piece)
{
    Slice text;
    Buf out;
    if (!piece->first || !piece->last || strchr("QPBDCEHSXdcf", piece->type) == NULL) {
        proxy_client_fatal(
            client, "08P01",
            piece->last ? "invalid frontend message type" : "the command is too long", NULL);
        return ADMIN_GONE;
    }
    if (piece->type == 'X') {
        proxy_client_close(client);
        return ADMIN_GONE;
    }
    buf_init(&out, BUF_MAX_DEFAULT);
    if (piece->type != 'Q') {
        admin_take_extended(client, piece, &out);
    } else if (pg_get_query(piece->body, &text)) {
        take_query(client, text, &out);
    } else {
        buf_done(&out);
        proxy_client_fatal(client, "08P01", "invalid Query message", NULL);
        return ADMIN_GONE;
    }
    send_buf(client, &out);
    return client->admin->waits ? ADMIN_WAIT : ADMIN_GO_ON;
}

/* ---- the stream --------------------------------------------------------------------------------
 */

static size_t admin_on_read(void *user, Stream *stream, Slice data)
{
    ProxyClient *client = user;
    PgPolicy policy = {.head_max = ADMIN_MESSAGE_MAX};
    AdminNext next = ADMIN_GO_ON;
    size_t at = 0;
    pg_policy_want(&policy, "QPBDCEHSXdcf");
    client->active_ms = loop_now_ms(client->worker->loop);
    while (next == ADMIN_GO_ON && !stream_blocked(stream)) {
        PgPiece piece;
        WireResult result = pg_framer_next(&client->framer, &policy, slice_skip(data, at), &piece);
        if (result == WIRE_MORE) {
            return at;
        }
        if (result == WIRE_BAD) {
            proxy_client_fatal(client, "08P01", "invalid message length", NULL);
            return data.len;
        }
        at += piece.raw.len;
        next = take_message(client, &piece);
    }
    if (next == ADMIN_GONE) {
        return data.len;
    }
    stream_pause(stream);
    return at;
}

static void admin_on_drained(void *user, Stream *stream)
{
    ProxyClient *client = user;
    if (!client->admin->waits) {
        stream_resume(stream);
    }
}

static void admin_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    proxy_client_gone(user);
}

static const StreamHandlers admin_handlers = {
    .on_read = admin_on_read,
    .on_drained = admin_on_drained,
    .on_closed = admin_on_closed,
};

/* ---- the beginning -----------------------------------------------------------------------------
 */

static void put_greeting(ProxyClient *client, Buf *out)
{
    static const char *const settings[][2] = {
        {"server_version", WEIR_VERSION "/weir"},
        {"server_encoding", "UTF8"},
        {"client_encoding", "UTF8"},
        {"DateStyle", "ISO"},
        {"TimeZone", "GMT"},
        {"integer_datetimes", "on"},
        {"standard_conforming_strings", "on"},
        {"is_superuser", "off"},
    };
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        pg_put_parameter(out, slice_of(settings[i][0]), slice_of(settings[i][1]));
    }
    proxy_client_put_key(client, out);
    pg_put_ready(out, 'I');
}

/* A turn later: what came behind the login is given to the session's handlers, too. */
static void admin_begin(void *user)
{
    ProxyClient *client = user;
    stream_resume(client->stream);
}

bool proxy_admin_start(ProxyClient *client, const char *user)
{
    const ProxyConfig *config = client->worker->config;
    Buf out;
    bool may_change = proxy_names_have(&config->admin_users, slice_of(user));
    if (!may_change && !proxy_names_have(&config->stats_users, slice_of(user))) {
        proxy_client_fatal(client, "42501", "not allowed",
                           "This database is the proxy itself. It is for the roles in admin_users "
                           "and stats_users of its configuration.");
        return false;
    }
    AdminSession *session = mem_alloc(sizeof(AdminSession));
    session->user = mem_strdup(user);
    session->may_change = may_change;
    session->statements = map_new();
    client->admin = session;
    client->state = CLIENT_ADMIN;
    client->framer = (PgFramer){0};
    proxy_client_login_done(client);
    proxy_worker_count(client->worker, STAT_ADMINS, 1);
    proxy_worker_count(client->worker, STAT_LOGINS, 1);
    buf_init(&out, BUF_MAX_DEFAULT);
    put_greeting(client, &out);
    send_buf(client, &out);
    stream_set_handlers(client->stream, &admin_handlers, client);
    stream_pause(client->stream);
    loop_timer_start(client->worker->loop, &client->timer, 0, 0, admin_begin, client);
    return true;
}
