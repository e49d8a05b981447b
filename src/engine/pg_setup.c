/*
 * What a new primary gets before anybody may log in, in the terms of RDS: the role rds_superuser, a
 * master user who holds it and is not a superuser, the first database, and the user by which
 * standbys replicate. Everything can be run again.
 *
 * A role with CREATEROLE may, in PostgreSQL 15, grant itself any role that is not a superuser: also
 * the three predefined ones that read and write the server's files or run its programs. They are
 * therefore marked as superusers, which only a superuser may grant; nobody ever is a member. The
 * user by which standbys replicate is one for the same reason: nobody else can grant, rename or
 * drop it. pg_hba.conf lets it replicate, with a certificate of ours, and nothing more.
 *
 * The role by which the data plane asks whether commits reach their standbys has no rights, and is
 * no superuser: what it can do, the data plane can. What it has been granted keeps it from being
 * dropped.
 *
 * pg_cancel_backend cuts the wait for a standby short, and PostgreSQL calls that a success (RULES
 * F6): nobody but rds_superuser may call it, in each database, and in those that others are made
 * of.
 *
 * What was done is noted as the comment of our own role, which goes wherever the data goes: into a
 * standby, a clone, a restored copy.
 *
 * The database postgres stays Weir's, for Weir's own sessions are there: the master user may do
 * everything in it, but not rename it, drop it, or close it to connections.
 */
#include <inttypes.h>

#include "engine/engine_priv.h"

#define SETUP_VERSION 2 /* raised with every change of what is made here */

static const char roles_sql[] =
    "DO $$\n"
    "DECLARE role text;\n"
    "BEGIN\n"
    "  FOREACH role IN ARRAY ARRAY['rds_superuser', 'rds_replication', 'rds_password', 'rds_iam']\n"
    "  LOOP\n"
    "    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN\n"
    "      EXECUTE format('CREATE ROLE %I NOLOGIN', role);\n"
    "    END IF;\n"
    "  END LOOP;\n"
    "  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" PG_REPLICATION_USER "') THEN\n"
    "    CREATE ROLE " PG_REPLICATION_USER " LOGIN SUPERUSER REPLICATION;\n"
    "  END IF;\n"
    "  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '" PG_PULSE_USER "') THEN\n"
    "    CREATE ROLE " PG_PULSE_USER " LOGIN;\n"
    "  END IF;\n"
    "END $$;\n"
    "GRANT CONNECT ON DATABASE postgres TO " PG_PULSE_USER ";\n"
    "ALTER ROLE " PG_PULSE_USER " SET log_statement = 'none';\n"
    "ALTER ROLE " PG_PULSE_USER " SET log_min_duration_statement = -1;\n"
    "GRANT pg_monitor, pg_signal_backend, pg_checkpoint, pg_read_all_data, pg_write_all_data,\n"
    "  rds_replication, rds_password TO rds_superuser WITH ADMIN OPTION;\n"
    "UPDATE pg_authid SET rolsuper = true WHERE NOT rolsuper AND rolname IN\n"
    "  ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files');\n";

static bool role_exists(PgSession *session, Arena *arena, const char *name, bool *ret_exists,
                        Err *err)
{
    char *found = NULL;
    const char *const params[] = {name};
    TRY(pg_value(session, arena, "SELECT 1 FROM pg_roles WHERE rolname = $1", params, 1, &found,
                 err));
    *ret_exists = found != NULL;
    return true;
}

static bool setup_master(PgSession *session, Arena *arena, const PgSetup *setup, bool password,
                         Err *err)
{
    bool exists = false;
    TRY(role_exists(session, arena, setup->master_user, &exists, err));
    const char *user = pg_ident_quote(session, arena, setup->master_user);
    const char *verifier = pg_literal_quote(session, arena, setup->master_verifier);
    const char *clause = password || !exists ? arena_printf(arena, "PASSWORD %s", verifier) : "";
    const char *sql = arena_printf(arena,
                                   "%s ROLE %s LOGIN CREATEDB CREATEROLE NOSUPERUSER NOREPLICATION"
                                   " %s; GRANT rds_superuser TO %s WITH ADMIN OPTION;",
                                   exists ? "ALTER" : "CREATE", user, clause, user);
    return pg_exec(session, sql, err);
}

static bool setup_database(PgSession *session, Arena *arena, const PgSetup *setup, Err *err)
{
    const char *user = pg_ident_quote(session, arena, setup->master_user);
    const char *grants = arena_printf(arena,
                                      "GRANT ALL ON DATABASE postgres TO %s WITH GRANT OPTION;"
                                      "GRANT ALL ON SCHEMA public TO %s WITH GRANT OPTION",
                                      user, user);
    TRY(pg_exec(session, grants, err));
    if (setup->database[0] == '\0') {
        return true;
    }
    char *found = NULL;
    const char *const params[] = {setup->database};
    TRY(pg_value(session, arena, "SELECT 1 FROM pg_database WHERE datname = $1", params, 1, &found,
                 err));
    if (found != NULL) {
        return true;
    }
    const char *name = pg_ident_quote(session, arena, setup->database);
    return pg_exec(session, arena_printf(arena, "CREATE DATABASE %s OWNER %s", name, user), err);
}

/* ---- cancels -----------------------------------------------------------------------------------
 */

static const char cancels_sql[] =
    "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_cancel_backend(integer) FROM PUBLIC;"
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_cancel_backend(integer) TO rds_superuser";

static bool cancels_revoke(const EnginePaths *paths, const char *database, Err *err)
{
    CLEANUP(pg_session_close_ptr) PgSession *session = NULL;
    return pg_session_open(paths, database, PG_PATIENCE_MS, &session, err) &&
           pg_exec(session, cancels_sql, err);
}

static bool connections_allow(PgSession *session, Arena *arena, const char *database, bool allow,
                              Err *err)
{
    const char *name = pg_ident_quote(session, arena, database);
    return pg_exec(session,
                   arena_printf(arena, "ALTER DATABASE %s ALLOW_CONNECTIONS %s", name,
                                allow ? "true" : "false"),
                   err);
}

/* One that nobody may connect to is opened for that: template0 above all. */
static bool database_setup(PgSession *session, Arena *arena, const EnginePaths *paths,
                           const char *database, bool open, Err *err)
{
    if (open) {
        return cancels_revoke(paths, database, err);
    }
    TRY(connections_allow(session, arena, database, true, err));
    Err ignored;
    bool ok = cancels_revoke(paths, database, err);
    return connections_allow(session, arena, database, false, ok ? err : &ignored) && ok;
}

/* What is made later is a copy of one of these. */
static bool setup_cancels(PgSession *session, Arena *arena, const EnginePaths *paths, Err *err)
{
    PgRows rows;
    TRY(pg_rows(session, arena,
                "SELECT datname, datallowconn AND datname <> 'template0' FROM pg_database"
                " WHERE datconnlimit <> -2 ORDER BY datname",
                NULL, 0, &rows, err));
    for (size_t i = 0; i < rows.rows; i++) {
        const char *database = rows.cells[i * rows.columns];
        bool open = strcmp(rows.cells[i * rows.columns + 1], "t") == 0;
        if (!database_setup(session, arena, paths, database, open, err)) {
            return err_wrap(err, "the database %s", database);
        }
    }
    return true;
}

/* "setup 1, password 3": which version of all this was made, and the master password's epoch. */
static bool mark_read(PgSession *session, Arena *arena, const char **ret_mark, Err *err)
{
    char *mark = NULL;
    TRY(pg_value(session, arena,
                 "SELECT shobj_description(oid, 'pg_authid') FROM pg_authid"
                 " WHERE rolname = '" PG_SUPERUSER "'",
                 NULL, 0, &mark, err));
    *ret_mark = mark != NULL ? mark : "";
    return true;
}

static bool mark_write(PgSession *session, Arena *arena, const char *mark, Err *err)
{
    const char *text = pg_literal_quote(session, arena, mark);
    return pg_exec(session, arena_printf(arena, "COMMENT ON ROLE " PG_SUPERUSER " IS %s", text),
                   err);
}

static bool setup_with(PgSession *session, Arena *arena, const EnginePaths *paths,
                       const PgSetup *setup, Err *err)
{
    const char *password = arena_printf(arena, ", password %" PRId64, setup->password_epoch);
    const char *mark = arena_printf(arena, "setup %d%s", SETUP_VERSION, password);
    const char *before = "";
    TRY(mark_read(session, arena, &before, err));
    if (strcmp(before, mark) == 0) {
        return true;
    }
    bool set_password = !slice_ends(slice_of(before), password);
    return pg_exec(session, roles_sql, err) &&
           setup_master(session, arena, setup, set_password, err) &&
           setup_database(session, arena, setup, err) &&
           setup_cancels(session, arena, paths, err) && mark_write(session, arena, mark, err);
}

bool pg_setup(const EnginePaths *paths, const PgSetup *setup, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(pg_session_close_ptr) PgSession *session = NULL;
    TRY(pg_session_open(paths, "postgres", PG_PATIENCE_MS, &session, err));
    return setup_with(session, arena, paths, setup, err) ||
           err_wrap(err, "setting up the master user and its database");
}
