/*
 * Sessions of PG_SUPERUSER over the Unix socket, by libpq, blocking, each statement under a
 * statement_timeout and each read under TCP-less liveness of the local socket. A session is used by
 * one thread at a time and owned by its opener.
 */
#include <libpq-fe.h>
#include <stdio.h>

#include "engine/engine_priv.h"

#define STATEMENT_TIMEOUT "15s"

struct PgSession {
    PGconn *conn;
};

static bool result_bad(PgSession *session, PGresult *result, Err *err)
{
    const char *text =
        result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(session->conn);
    Slice line = slice_of(text != NULL && *text != '\0' ? text : "no answer from PostgreSQL");
    line = slice_trim(slice_cut(&line, '\n'));
    bool away = PQstatus(session->conn) != CONNECTION_OK;
    return err_set(err, away ? ERR_UNAVAILABLE : ERR_INTERNAL, "%.*s", SLICE_FMT(line));
}

bool pg_session_open(const EnginePaths *paths, const char *database, PgSession **ret_session,
                     Err *err)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", PG_PORT);
    const char *const keys[] = {
        "host",    "port",       "user", "dbname", "connect_timeout", "application_name",
        "options", "gssencmode", NULL};
    const char *const values[] = {paths->socket_dir,
                                  port,
                                  PG_SUPERUSER,
                                  database,
                                  "5",
                                  "weir",
                                  "-c statement_timeout=" STATEMENT_TIMEOUT
                                  " -c client_min_messages=warning -c search_path=pg_catalog"
                                  " -c synchronous_commit=local -c log_statement=none"
                                  " -c default_transaction_read_only=off",
                                  "disable",
                                  NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 0);
    if (conn == NULL || PQstatus(conn) != CONNECTION_OK) {
        Slice line = slice_of(conn != NULL ? PQerrorMessage(conn) : "out of memory");
        line = slice_trim(slice_cut(&line, '\n'));
        err_set(err, ERR_UNAVAILABLE, "cannot log in to PostgreSQL: %.*s", SLICE_FMT(line));
        PQfinish(conn);
        return false;
    }
    PgSession *session = mem_alloc(sizeof(PgSession));
    session->conn = conn;
    *ret_session = session;
    return true;
}

void pg_session_close(PgSession *session)
{
    if (session != NULL) {
        PQfinish(session->conn);
        mem_free(session);
    }
}

void pg_session_close_ptr(PgSession **session)
{
    pg_session_close(*session);
    *session = NULL;
}

bool pg_exec(PgSession *session, const char *sql, Err *err)
{
    PGresult *result = PQexec(session->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!ok) {
        result_bad(session, result, err);
    }
    PQclear(result);
    return ok;
}

bool pg_rows(PgSession *session, Arena *arena, const char *sql, const char *const *params,
             size_t params_len, PgRows *ret_rows, Err *err)
{
    PGresult *result =
        PQexecParams(session->conn, sql, (int)params_len, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        result_bad(session, result, err);
        PQclear(result);
        return false;
    }
    PgRows rows = {.rows = (size_t)PQntuples(result), .columns = (size_t)PQnfields(result)};
    rows.cells = ARENA_ARRAY(arena, const char *, rows.rows *rows.columns);
    for (size_t row = 0; row < rows.rows; row++) {
        for (size_t column = 0; column < rows.columns; column++) {
            const char *text = PQgetisnull(result, (int)row, (int)column)
                                   ? ""
                                   : PQgetvalue(result, (int)row, (int)column);
            rows.cells[row * rows.columns + column] = arena_strdup(arena, text);
        }
    }
    PQclear(result);
    *ret_rows = rows;
    return true;
}

bool pg_value(PgSession *session, Arena *arena, const char *sql, const char *const *params,
              size_t params_len, char **ret_value, Err *err)
{
    PgRows rows;
    TRY(pg_rows(session, arena, sql, params, params_len, &rows, err));
    *ret_value = rows.rows > 0 && rows.columns > 0 ? arena_strdup(arena, rows.cells[0]) : NULL;
    return true;
}

char *pg_ident_quote(PgSession *session, Arena *arena, const char *name)
{
    char *quoted = PQescapeIdentifier(session->conn, name, strlen(name));
    char *copy = arena_strdup(arena, quoted != NULL ? quoted : "\"\"");
    PQfreemem(quoted);
    return copy;
}

char *pg_literal_quote(PgSession *session, Arena *arena, const char *text)
{
    char *quoted = PQescapeLiteral(session->conn, text, strlen(text));
    char *copy = arena_strdup(arena, quoted != NULL ? quoted : "''");
    PQfreemem(quoted);
    return copy;
}
