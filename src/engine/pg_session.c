/*
 * Sessions of PG_SUPERUSER over the Unix socket, by libpq. Calls block, but never for ever: a
 * server that works is stopped by statement_timeout, and one that stands still (a stopped process,
 * a hung disk) is given up when the session's patience is over. A session is used by one thread at
 * a time and owned by its opener.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>

#include "engine/engine_priv.h"

#define STATEMENT_TIMEOUT "15s"

struct PgSession {
    PGconn *conn;
    int64_t patience_ms;
};

static bool result_bad(PgSession *session, PGresult *result, Err *err)
{
    const char *text =
        result != NULL ? PQresultErrorMessage(result) : PQerrorMessage(session->conn);
    Slice line = slice_of(text != NULL && *text != '\0' ? text : "PostgreSQL does not answer");
    line = slice_trim(slice_cut(&line, '\n'));
    bool away = PQstatus(session->conn) != CONNECTION_OK;
    ErrCode code = away ? ERR_UNAVAILABLE : result == NULL ? ERR_TIMEOUT : ERR_INTERNAL;
    return err_set(err, code, "%.*s", SLICE_FMT(line));
}

/* Until it is there. False: it cannot be had; or not in time, and its status says "started". */
static bool connect_wait(PGconn *conn, int64_t end_ms)
{
    PostgresPollingStatusType next =
        PQstatus(conn) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING;
    for (; next != PGRES_POLLING_OK; next = PQconnectPoll(conn)) {
        int64_t left = end_ms - time_mono_ms();
        struct pollfd entry = {.fd = PQsocket(conn),
                               .events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        if (next == PGRES_POLLING_FAILED || left <= 0 ||
            (poll(&entry, 1, (int)left) < 0 && errno != EINTR)) {
            return false;
        }
    }
    return PQstatus(conn) == CONNECTION_OK;
}

bool pg_session_open(const EnginePaths *paths, const char *database, int64_t patience_ms,
                     PgSession **ret_session, Err *err)
{
    char port[8];
    snprintf(port, sizeof(port), "%d", PG_PORT);
    const char *const keys[] = {"host",    "port",       "user", "dbname", "application_name",
                                "options", "gssencmode", NULL};
    const char *const values[] = {paths->socket_dir,
                                  port,
                                  PG_SUPERUSER,
                                  database,
                                  "weir",
                                  "-c statement_timeout=" STATEMENT_TIMEOUT
                                  " -c client_min_messages=warning -c search_path=pg_catalog"
                                  " -c synchronous_commit=local -c log_statement=none"
                                  " -c default_transaction_read_only=off",
                                  "disable",
                                  NULL};
    PGconn *conn = PQconnectStartParams(keys, values, 0);
    if (conn == NULL || !connect_wait(conn, time_mono_ms() + patience_ms)) {
        Slice line = slice_of(conn != NULL ? PQerrorMessage(conn) : "out of memory");
        line = slice_trim(slice_cut(&line, '\n'));
        bool late = conn != NULL && PQstatus(conn) != CONNECTION_BAD;
        err_set(err, late ? ERR_TIMEOUT : ERR_UNAVAILABLE, "cannot log in to PostgreSQL: %.*s",
                SLICE_FMT(late ? SLICE("it does not answer") : line));
        PQfinish(conn);
        return false;
    }
    PgSession *session = mem_alloc(sizeof(PgSession));
    session->conn = conn;
    session->patience_ms = PG_PATIENCE_MS;
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

void pg_session_patience(PgSession *session, int64_t patience_ms)
{
    session->patience_ms = patience_ms;
}

void pg_session_close_ptr(PgSession **session)
{
    pg_session_close(*session);
    *session = NULL;
}

/* Reads what there is; false when the time is over or the connection broke. */
static bool answer_wait(PGconn *conn, int64_t end_ms)
{
    while (PQisBusy(conn)) {
        int64_t left = end_ms - time_mono_ms();
        struct pollfd entry = {.fd = PQsocket(conn), .events = POLLIN};
        int count = left > 0 ? poll(&entry, 1, (int)left) : 0;
        if (count == 0 || (count < 0 && errno != EINTR) || !PQconsumeInput(conn)) {
            return false;
        }
    }
    return true;
}

/* The last result of what was sent, or the first that is an error, as PQexec gives it. NULL: there
 * is none, and the session is of no more use. */
static PGresult *answer_take(PGconn *conn, int64_t patience_ms)
{
    int64_t end_ms = time_mono_ms() + patience_ms;
    PGresult *answer = NULL;
    for (;;) {
        if (!answer_wait(conn, end_ms)) {
            PQclear(answer);
            return NULL;
        }
        PGresult *next = PQgetResult(conn);
        if (next == NULL) {
            return answer;
        }
        if (answer != NULL && PQresultStatus(answer) == PGRES_FATAL_ERROR) {
            PQclear(next);
        } else {
            PQclear(answer);
            answer = next;
        }
    }
}

static PGresult *answer_of(PgSession *session, int sent)
{
    return sent ? answer_take(session->conn, session->patience_ms) : NULL;
}

bool pg_exec(PgSession *session, const char *sql, Err *err)
{
    PGresult *result = answer_of(session, PQsendQuery(session->conn, sql));
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
    int sent = PQsendQueryParams(session->conn, sql, (int)params_len, NULL, params, NULL, NULL, 0);
    PGresult *result = answer_of(session, sent);
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
