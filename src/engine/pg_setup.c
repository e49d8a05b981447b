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
 * What was done is noted as the comment of our own role, which goes wherever the data goes: into a
 * standby, a clone, a restored copy.
 *
 * The database postgres stays Weir's, for Weir's own sessions are there: the master user may do
 * everything in it, but not rename it, drop it, or close it to connections.
 */
#include <inttypes.h>

#include "engine/engine_priv.h"

#define SETUP_VERSION 1 /* raised with every change of what is made here */

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
    "END $$;\n"
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

static bool setup_with(PgSession *session, Arena *arena, const PgSetup *setup, Err *err)
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
           setup_database(session, arena, setup, err) && mark_write(session, arena, mark, err);
}

bool pg_setup(const EnginePaths *paths, const PgSetup *setup, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(pg_session_close_ptr) PgSession *session = NULL;
    TRY(pg_session_open(paths, "postgres", PG_PATIENCE_MS, &session, err));
    return setup_with(session, arena, setup, err) ||
           err_wrap(err, "setting up the master user and its database");
}
