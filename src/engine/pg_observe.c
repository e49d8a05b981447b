/* What a running PostgreSQL says of itself; and pg_reload, which looks at what it says. */
#include <stdio.h>
#include <time.h>

#include "engine/engine_priv.h"

#define RELOAD_WAIT_MS 5000

static const char node_sql[] =
    "SELECT pg_is_in_recovery(),"
    " (SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'),"
    " (SELECT timeline_id FROM pg_control_checkpoint()),"
    " CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"
    " ELSE pg_current_wal_insert_lsn() END,"
    " CASE WHEN NOT pg_is_in_recovery() OR pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()"
    " THEN 0 ELSE coalesce(round(extract(epoch FROM"
    " clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000), -1) END,"
    " (SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_settings"
    " WHERE pending_restart),"
    " (SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM pg_settings"
    " WHERE sourcefile IS NOT NULL AND sourcefile <> $1),"
    " current_setting('synchronous_standby_names'),"
    " split_part(current_setting('server_version'), ' ', 1),"
    " CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() ELSE '' END";

static const char standbys_sql[] =
    "SELECT application_name, state, sync_state,"
    " coalesce(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), flush_lsn), -1)"
    " FROM pg_stat_replication ORDER BY application_name";

static int64_t cell_i64(const char *text)
{
    int64_t value = -1;
    Slice whole = slice_of(text);
    return str_to_i64(slice_cut(&whole, '.'), &value) ? value : -1;
}

static bool observe_standbys(PgSession *session, Arena *arena, PgSeen *seen, Err *err)
{
    PgRows rows;
    TRY(pg_rows(session, arena, standbys_sql, NULL, 0, &rows, err));
    PgStandbySeen *standbys = ARENA_ARRAY(arena, PgStandbySeen, rows.rows);
    for (size_t i = 0; i < rows.rows; i++) {
        const char **cells = rows.cells + i * rows.columns;
        standbys[i] = (PgStandbySeen){.name = cells[0],
                                      .state = cells[1],
                                      .sync_state = cells[2],
                                      .flush_lag_bytes = cell_i64(cells[3])};
    }
    seen->standbys = standbys;
    seen->standbys_len = rows.rows;
    return true;
}

bool pg_observe(PgSession *session, const EnginePaths *paths, Arena *arena, PgSeen *ret_seen,
                Err *err)
{
    const char *ours = arena_printf(arena, "%s/postgresql.conf", paths->conf);
    PgRows rows;
    TRY(pg_rows(session, arena, node_sql, &ours, 1, &rows, err));
    ASSERT(rows.rows == 1 && rows.columns == 10);
    PgSeen seen = {
        .in_recovery = strcmp(rows.cells[0], "t") == 0,
        .streaming = strcmp(rows.cells[1], "0") != 0,
        .timeline = (int)cell_i64(rows.cells[2]),
        .lsn = rows.cells[3],
        .replay_lag_ms = cell_i64(rows.cells[4]),
        .pending_restart = rows.cells[5],
        .foreign_settings = rows.cells[6],
        .sync_names = rows.cells[7],
        .version = rows.cells[8],
        .replay_paused = strcmp(rows.cells[9], "paused") == 0,
    };
    if (!seen.in_recovery) {
        TRY(observe_standbys(session, arena, &seen, err));
    }
    *ret_seen = seen;
    return true;
}

bool pg_reload(PgSession *session, Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    char *before = NULL;
    TRY(pg_value(session, arena,
                 "SELECT pg_conf_load_time()::text FROM (SELECT pg_sleep(0.001)) AS later", NULL, 0,
                 &before, err));
    TRY(pg_exec(session, "SELECT pg_reload_conf()", err));
    const struct timespec pause = {.tv_nsec = 5000000};
    for (int64_t end = time_mono_ms() + RELOAD_WAIT_MS; time_mono_ms() < end;) {
        char *now = NULL;
        TRY(pg_value(session, arena, "SELECT pg_conf_load_time()::text", NULL, 0, &now, err));
        if (now != NULL && before != NULL && strcmp(now, before) != 0) {
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return err_set(err, ERR_TIMEOUT, "PostgreSQL did not reload its configuration within %d s",
                   RELOAD_WAIT_MS / 1000);
}
