/*
 * What the watch asks of a target, and how the answers come. Worker 0's, but for what is said to be
 * any thread's.
 */
#include "proxy/target/watch_parts_priv.h"

/* Of one server, whichever it is: in recovery, position, caught up, receives, age of the last
 * transaction that was replayed in ms, timeline, cluster. A replica tells the timeline that it
 * receives only to whom pg_read_all_stats allows it; others hear that of what it has written out,
 * or of its last restartpoint. */
#define POSITION                                                                                   \
    "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()"                                  \
    " ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn"
#define MEASURES                                                                                   \
    "SELECT pg_is_in_recovery()::int, " POSITION ","                                               \
    " (coalesce(pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn(), true))::int,"               \
    " (SELECT count(*) FROM pg_stat_wal_receiver),"                                                \
    " (1000 * extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()))::int8,"
#define TIMELINE(of_replica)                                                                       \
    " CASE WHEN pg_is_in_recovery()"                                                               \
    " THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver), " of_replica ")"              \
    " ELSE ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int END,"
static const char full_query[] = MEASURES TIMELINE(
    "greatest((SELECT timeline_id FROM pg_control_checkpoint()),"
    " (SELECT min_recovery_end_timeline FROM pg_control_recovery()))") " (SELECT system_identifier "
                                                                       "FROM pg_control_system())";
/* Where functions that anybody may call by default were taken from the role: whether they are given
 * back, in the place of the cluster. */
static const char narrow_query[] = MEASURES TIMELINE(
    "(SELECT timeline_id FROM pg_control_checkpoint())") " (has_function_privilege('pg_control_"
                                                         "recovery()', 'EXECUTE')"
                                                         " AND "
                                                         "has_function_privilege('pg_control_"
                                                         "system()', 'EXECUTE'))::int";
static const char position_query[] =
    "SELECT pg_is_in_recovery()::int, " POSITION ", NULL, NULL, NULL, NULL, NULL";

static void watch_late(void *user)
{
    ProxyServer *server = user;
    ProxyWorker *worker = server->worker;
    if (!stream_quiet(server->stream)) { /* the process was late itself: the answer is there */
        loop_timer_start(worker->loop, &proxy_server_side(server)->watch->late, WATCH_MS, 0,
                         watch_late, server);
        return;
    }
    atomic_store(&watch_standing(worker, server->target)->silent, true);
    stream_abort(server->stream);
    proxy_server_lost(server, "it does not answer");
    proxy_workers_targets_changed(worker->proxy);
}

void proxy_watch_query(ProxyWorker *worker, ProxyWatch *watch, bool full)
{
    Buf query;
    if (watch->asking) {
        watch->again = true;
        return;
    }
    const char *measures = watch->narrow ? narrow_query : full_query;
    buf_init(&query, BUF_MAX_DEFAULT);
    pg_put_query(&query, slice_of(full ? measures : position_query));
    stream_write(watch->server->stream, buf_slice(&query));
    buf_done(&query);
    watch->asking = true;
    watch->again = false;
    watch->full = full;
    watch->asked_us = time_mono_us();
    loop_timer_start(worker->loop, &watch->late, WATCH_LATE_MS, 0, watch_late, watch->server);
}

static void ask_posted(void *user)
{
    ProxyWorker *worker = user;
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        bool asked = atomic_exchange(&watch_standing(worker, i)->asked, false);
        ProxyWatch *watch = worker->sides[i].watch;
        if (asked && watch != NULL && watch->server != NULL) {
            proxy_watch_query(worker, watch, false);
        }
    }
}

void proxy_watch_ask(ProxyWorker *worker, size_t target)
{
    ProxyWorker *first = &worker->proxy->workers[0];
    if (watch_is_wanted(worker->config, target) &&
        !atomic_exchange(&watch_standing(worker, target)->asked, true)) {
        loop_post(first->loop, ask_posted, first);
    }
}

/* False: it is not an answer to what was asked. */
static bool take_row(ProxyWatch *watch, const PgPiece *piece)
{
    PgReader reader = {.rest = piece->body};
    if (!piece->last || pg_read_u16(&reader) != WATCH_COLUMNS) {
        return false;
    }
    for (size_t i = 0; i < WATCH_COLUMNS; i++) {
        uint32_t len = pg_read_u32(&reader);
        bool null = len == UINT32_MAX;
        watch->columns[i] = null ? (Slice){0} : pg_read_bytes(&reader, len);
    }
    return pg_reader_ended(&reader);
}

/* It did not answer. A role that may not ask for all of it asks for less. */
static void take_error(ProxyServer *server, ProxyWatch *watch, const PgPiece *piece)
{
    PgError error;
    if (!piece->last || !pg_get_error(piece->body, &error)) {
        return;
    }
    if (watch->full && !watch->narrow && slice_is(error.sqlstate, "42501")) {
        watch->narrow = watch->narrowed = true;
        return;
    }
    CLEANUP(mem_free_ptr) char *why = mem_printf("%.*s", SLICE_FMT(error.message));
    proxy_watch_down(server->worker, server->target, "CONNECTION_FAILED", why);
}

static void answered(ProxyServer *server, ProxyWatch *watch)
{
    bool anew = watch->narrowed;
    loop_timer_stop(&watch->late);
    watch->asking = watch->narrowed = false;
    if (anew || watch->again) {
        proxy_watch_query(server->worker, watch, anew);
    }
}

static bool take_piece(ProxyServer *server, const PgPiece *piece)
{
    ProxyWatch *watch = proxy_server_side(server)->watch;
    if (!piece->first) {
        return true;
    }
    switch (piece->type) {
    case 'D':
        TRY(take_row(watch, piece));
        proxy_watch_take(server, watch);
        memset(watch->columns, 0, sizeof(watch->columns)); /* they point into what was read */
        return true;
    case 'Z':
        answered(server, watch);
        return true;
    case 'E':
        take_error(server, watch, piece);
        return true;
    default:
        return strchr("TCSNA", piece->type) != NULL;
    }
}

static size_t watch_on_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    return proxy_ask_read(user, data, take_piece);
}

const StreamHandlers proxy_watch_handlers = {.on_read = watch_on_read,
                                             .on_closed = proxy_ask_closed};
