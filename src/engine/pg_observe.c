/* What a running PostgreSQL says of itself; and pg_reload, which looks at what it says. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "engine/engine_priv.h"

#define RELOAD_WAIT_MS 5000

/* The position before the timeline: a follower that changes its timeline in between must not seem
 * to have more of the old one. */
static const char node_sql[] =
    "SELECT pg_is_in_recovery(),"
    " (SELECT round(extract(epoch FROM clock_timestamp() - last_msg_receipt_time) * 1000)"
    " FROM pg_stat_wal_receiver WHERE status = 'streaming'),"
    " (SELECT timeline_id FROM pg_control_checkpoint()),"
    " CASE WHEN pg_is_in_recovery()"
    " THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())"
    " ELSE pg_current_wal_insert_lsn() END,"
    " (SELECT ('x' || max(substr(name, 1, 8)))::bit(32)::int FROM pg_ls_waldir()"
    " WHERE name ~ '^[0-9A-F]{24}$' AND pg_is_in_recovery()),"
    " CASE WHEN NOT pg_is_in_recovery() THEN"
    " ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,"
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

/* Of each timeline that it went through the history file has a line, with where that was left. */
static bool observe_forks(PgSession *session, Arena *arena, PgSeen *seen, Err *err)
{
    if (seen->timeline <= 1) {
        return true;
    }
    const char *file = arena_printf(arena, "pg_wal/%08X.history", (unsigned)seen->timeline);
    PgRows rows;
    TRY(pg_rows(session, arena,
                "SELECT split_part(line, E'\\t', 1), split_part(line, E'\\t', 2)"
                " FROM regexp_split_to_table(pg_read_file($1), E'\\n') WITH ORDINALITY AS"
                " lines(line, number) WHERE line ~ '^[0-9]' ORDER BY number",
                &(const char *){file}, 1, &rows, err));
    size_t first = rows.rows > PG_FORKS_MAX ? rows.rows - PG_FORKS_MAX : 0;
    PgFork *forks = ARENA_ARRAY(arena, PgFork, rows.rows + 1);
    for (size_t i = first; i < rows.rows; i++) {
        bool last = i + 1 == rows.rows;
        PgFork *fork = &forks[seen->forks_len++];
        fork->timeline = last ? seen->timeline : cell_i64(rows.cells[(i + 1) * rows.columns]);
        if (!pg_lsn_parse(slice_of(rows.cells[i * rows.columns + 1]), &fork->lsn)) {
            seen->forks_len = 0;
            break;
        }
    }
    seen->forks = forks;
    return seen->forks_len > 0 ||
           err_set(err, ERR_INTERNAL, "%s does not say where the timeline began", file);
}

bool pg_observe(PgSession *session, const EnginePaths *paths, Arena *arena, PgSeen *ret_seen,
                Err *err)
{
    const char *ours = arena_printf(arena, "%s/postgresql.conf", paths->conf);
    PgRows rows;
    TRY(pg_rows(session, arena, node_sql, &ours, 1, &rows, err));
    ASSERT(rows.rows == 1 && rows.columns == 13);
    PgSeen seen = {
        .in_recovery = strcmp(rows.cells[0], "t") == 0,
        .streaming = rows.cells[1][0] != '\0',
        .heard_ms = cell_i64(rows.cells[1]),
        .checkpoint_timeline = cell_i64(rows.cells[2]),
        .lsn = rows.cells[6],
        .replay_lag_ms = cell_i64(rows.cells[7]),
        .pending_restart = rows.cells[8],
        .foreign_settings = rows.cells[9],
        .sync_names = rows.cells[10],
        .version = rows.cells[11],
        .replay_paused = strcmp(rows.cells[12], "paused") == 0,
    };
    seen.timeline = cell_i64(rows.cells[seen.in_recovery ? 4 : 5]);
    if (!pg_lsn_parse(slice_of(rows.cells[3]), &seen.end_lsn)) {
        seen.end_lsn = 0; /* a standby that has received and replayed nothing yet */
    }
    if (!seen.in_recovery) {
        TRY(observe_standbys(session, arena, &seen, err));
        TRY(observe_forks(session, arena, &seen, err));
    }
    *ret_seen = seen;
    return true;
}

static bool hex_half(Slice text, uint64_t *ret_value)
{
    static const char digits[] = "0123456789ABCDEF";
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = memchr(digits, char_upper(text.data[i]), sizeof(digits) - 1);
        if (digit == NULL) {
            return false;
        }
        value = value << 4 | (uint64_t)(digit - digits);
    }
    *ret_value = value;
    return text.len > 0 && text.len <= 8;
}

bool pg_lsn_parse(Slice text, uint64_t *ret_lsn)
{
    uint64_t high;
    uint64_t low;
    Slice first = slice_cut(&text, '/');
    if (!hex_half(first, &high) || !hex_half(text, &low)) {
        return false;
    }
    *ret_lsn = high << 32 | low;
    return true;
}

bool pg_promote(PgSession *session, Err *err)
{
    return pg_exec(session, "SELECT pg_promote(false)", err);
}

bool pg_clients_look(PgSession *session, int64_t within_ms, bool *ret_busy, bool *ret_heard,
                     Err *err)
{
    CLEANUP(arena_free_ptr) Arena *arena = arena_new();
    CLEANUP(mem_free_ptr) char *within = mem_printf("%" PRId64 " ms", within_ms);
    const char *const params[] = {within};
    char *found = NULL;
    TRY(pg_value(session, arena,
                 "SELECT concat(CASE WHEN bool_or(xact_start IS NOT NULL) THEN 'busy' END, CASE "
                 "WHEN bool_or(query_start > clock_timestamp() - $1::interval) THEN 'heard' END)"
                 " FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename NOT IN"
                 " ('" PG_SUPERUSER "', '" PG_PULSE_USER "')",
                 params, ARRAY_LEN(params), &found, err));
    *ret_busy = strstr(found, "busy") != NULL;
    *ret_heard = strstr(found, "heard") != NULL;
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
