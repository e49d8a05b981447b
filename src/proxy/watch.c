/* See watch_priv.h. Everything here is worker 0's, but for what is said to be any thread's. */
#include <stdlib.h>

#include "proxy/choice_priv.h"
#include "proxy/server_priv.h"
#include "proxy/split_priv.h"
#include "proxy/watch_priv.h"

#define COLUMNS 7

struct ProxyWatch {
    ProxyServer *server; /* NULL: there is no connection that can be asked */
    bool asking;         /* an answer is under way */
    bool again;          /* and then another one is wanted */
    bool full;           /* what is asked is more than the position */
    bool narrow;         /* and as much as the role may be told */
    bool narrowed;       /* just now: it is asked anew */
    int64_t asked_us;
    int64_t retry_at_ms;
    int64_t answered_ms;  /* the last whole answer; 0: none */
    int64_t caught_up_ms; /* when it last had replayed what it had received; 0: never */
    LoopTimer late;
    LagHistory history; /* of the primary */
    Slice columns[COLUMNS];
};

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

/* ---- what all threads see ----------------------------------------------------------------------
 */

static ProxyStanding *standing_of(const ProxyWorker *worker, size_t target)
{
    return &worker->proxy->targets[target].standing;
}

static ProxyHealth *health_of(const ProxyWorker *worker, size_t target)
{
    return &worker->proxy->targets[target].health;
}

static bool is_watched(const ProxyConfig *config, size_t target)
{
    return proxy_config_uses(config, target) &&
           (target != PROXY_TARGET_PRIMARY || config->reads == READS_SPLIT);
}

static void standing_set(const ProxyWorker *worker, size_t target, bool serves, bool gone)
{
    ProxyStanding *standing = standing_of(worker, target);
    bool served = atomic_exchange(&standing->serves, serves);
    bool was_gone = atomic_exchange(&standing->gone, gone);
    if (served != serves || was_gone != gone) {
        proxy_workers_targets_changed(worker->proxy);
    }
}

/* Its position may be another's by now: without a timeline it is worth nothing. The number itself
 * stays, for some thread may just be reading it. */
static void standing_forget(ProxyStanding *standing)
{
    atomic_store(&standing->asked_us, 0);
    atomic_store(&standing->timeline, 0);
    atomic_store(&standing->system, 0);
}

static void is_down(ProxyWorker *worker, size_t target, const char *reason, const char *why)
{
    ProxyStanding *standing = standing_of(worker, target);
    proxy_health_bad(health_of(worker, target), reason, why);
    atomic_store(&standing->lag_ms, -1);
    standing_set(worker, target, false, true);
}

/* ---- what an answer means ----------------------------------------------------------------------
 */

static int64_t column(const ProxyWatch *watch, size_t index, int64_t fallback)
{
    char text[24];
    Slice value = watch->columns[index];
    if (value.data == NULL || value.len >= sizeof(text)) {
        return fallback;
    }
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    return strtoll(text, NULL, 10);
}

/* By itself: see watch_priv.h, "Time". */
static int64_t own_lag(ProxyWatch *watch, int64_t now_ms)
{
    bool receives = column(watch, 3, 0) > 0;
    int64_t age_ms = column(watch, 4, -1);
    if (receives && column(watch, 2, 0) == 1) {
        watch->caught_up_ms = now_ms;
        return 0;
    }
    int64_t since_ms = watch->caught_up_ms > 0 ? now_ms - watch->caught_up_ms : -1;
    if (age_ms < 0 || since_ms < 0) {
        return age_ms < 0 ? since_ms : age_ms;
    }
    return age_ms < since_ms ? age_ms : since_ms;
}

static int64_t lag_of(const ProxyWorker *worker, ProxyWatch *watch, int64_t now_ms)
{
    const ProxyWatch *primary = worker->sides[PROXY_TARGET_PRIMARY].watch;
    int64_t own = own_lag(watch, now_ms);
    bool compares = worker->config->reads == READS_SPLIT && primary != NULL &&
                    primary->answered_ms > 0 && now_ms - primary->answered_ms < WATCH_LATE_MS;
    uint64_t replayed = (uint64_t)column(watch, 1, 0);
    return compares ? lag_history_behind(&primary->history, replayed, now_ms) : own;
}

/* NULL: nothing; else the caller frees it. */
static char *problem_new(const ProxyWorker *worker, size_t target, int64_t lag_ms)
{
    const ProxyConfig *config = worker->config;
    uint32_t own = (uint32_t)atomic_load(&standing_of(worker, target)->timeline);
    uint32_t primary = (uint32_t)atomic_load(&standing_of(worker, 0)->timeline);
    if (config->reads == READS_SPLIT && primary != 0 && own != primary) {
        return mem_printf("it follows timeline %u, and the primary is on %u", own, primary);
    }
    if (config->lag_max_ms > 0 && lag_ms < 0) {
        return mem_strdup("it is not known how far it is behind");
    }
    if (config->lag_max_ms > 0 && lag_ms > config->lag_max_ms) {
        return mem_printf("it is %lld ms behind, and max_replica_lag_ms is %lld", (long long)lag_ms,
                          (long long)config->lag_max_ms);
    }
    return NULL;
}

static void replica_judge(ProxyWorker *worker, size_t target, int64_t lag_ms)
{
    CLEANUP(mem_free_ptr) char *problem = problem_new(worker, target, lag_ms);
    if (problem != NULL) {
        proxy_health_bad(health_of(worker, target), "INVALID_REPLICATION_STATE", problem);
    } else {
        proxy_health_good(health_of(worker, target));
    }
    standing_set(worker, target, problem == NULL, false);
}

/* The primary is on another timeline: those that serve may not be, and would be asked for what they
 * never get. */
static void replicas_judge(ProxyWorker *worker)
{
    for (size_t i = 1; i < PROXY_TARGETS_MAX; i++) {
        const ProxyStanding *standing = standing_of(worker, i);
        if (atomic_load(&standing->serves)) {
            replica_judge(worker, i, atomic_load(&standing->lag_ms));
        }
    }
}

static void replica_seen(ProxyWorker *worker, size_t target, ProxyWatch *watch)
{
    ProxyStanding *standing = standing_of(worker, target);
    int64_t lag_ms = lag_of(worker, watch, loop_now_ms(worker->loop));
    atomic_store(&standing->system, (uint64_t)column(watch, 6, 0));
    atomic_store(&standing->timeline, (uint32_t)column(watch, 5, 0));
    atomic_store(&standing->lag_ms, lag_ms);
    replica_judge(worker, target, lag_ms);
}

static void primary_seen(ProxyWorker *worker, ProxyWatch *watch)
{
    ProxyStanding *standing = standing_of(worker, PROXY_TARGET_PRIMARY);
    if (column(watch, 0, 0) != 0) {
        proxy_health_bad(health_of(worker, PROXY_TARGET_PRIMARY), "INVALID_REPLICATION_STATE",
                         "it is a replica: it is in recovery");
        return;
    }
    uint32_t timeline = (uint32_t)column(watch, 5, 0);
    atomic_store(&standing->system, (uint64_t)column(watch, 6, 0));
    if (atomic_exchange(&standing->timeline, timeline) != timeline) {
        replicas_judge(worker);
    }
    lag_history_add(&watch->history, lag_position_of_insert((uint64_t)column(watch, 1, 0)),
                    watch->asked_us / US_PER_MS, 2 * worker->config->lag_max_ms / LAG_HISTORY_MAX);
    proxy_health_good(health_of(worker, PROXY_TARGET_PRIMARY));
}

/* Of a primary it is worth nothing while that is a replica itself. */
static void position_publish(ProxyWorker *worker, size_t target, const ProxyWatch *watch)
{
    ProxyStanding *standing = standing_of(worker, target);
    bool primary = target == PROXY_TARGET_PRIMARY;
    if (watch->columns[1].data == NULL || (column(watch, 0, 0) == 0) != primary) {
        return;
    }
    uint64_t position = (uint64_t)column(watch, 1, 0);
    atomic_store(&standing->position, primary ? lag_position_of_insert(position) : position);
    atomic_store(&standing->asked_us, watch->asked_us);
    atomic_store(&standing->silent, false);
    proxy_split_positions_known(worker->proxy);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void watch_late(void *user)
{
    ProxyServer *server = user;
    ProxyWorker *worker = server->worker;
    if (!stream_quiet(server->stream)) { /* the process was late itself: the answer is there */
        loop_timer_start(worker->loop, &proxy_server_side(server)->watch->late, WATCH_MS, 0,
                         watch_late, server);
        return;
    }
    atomic_store(&standing_of(worker, server->target)->silent, true);
    stream_abort(server->stream);
    proxy_server_lost(server, "it does not answer");
    proxy_workers_targets_changed(worker->proxy);
}

static void ask(ProxyWorker *worker, ProxyWatch *watch, bool full)
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
        bool asked = atomic_exchange(&standing_of(worker, i)->asked, false);
        ProxyWatch *watch = worker->sides[i].watch;
        if (asked && watch != NULL && watch->server != NULL) {
            ask(worker, watch, false);
        }
    }
}

void proxy_watch_ask(ProxyWorker *worker, size_t target)
{
    ProxyWorker *first = &worker->proxy->workers[0];
    if (is_watched(worker->config, target) &&
        !atomic_exchange(&standing_of(worker, target)->asked, true)) {
        loop_post(first->loop, ask_posted, first);
    }
}

/* False: it is not an answer to what was asked. */
static bool take_row(ProxyWatch *watch, const PgPiece *piece)
{
    PgReader reader = {.rest = piece->body};
    if (!piece->last || pg_read_u16(&reader) != COLUMNS) {
        return false;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        uint32_t len = pg_read_u32(&reader);
        bool null = len == UINT32_MAX;
        watch->columns[i] = null ? (Slice){0} : pg_read_bytes(&reader, len);
    }
    return pg_reader_ended(&reader);
}

static void take_position(ProxyServer *server, ProxyWatch *watch)
{
    ProxyWorker *worker = server->worker;
    if (watch->full && watch->narrow) {
        watch->narrow = column(watch, 6, 0) == 0;
        watch->columns[6] = (Slice){0};
    }
    position_publish(worker, server->target, watch);
    if (server->target != PROXY_TARGET_PRIMARY && column(watch, 0, 0) != 1) {
        is_down(worker, server->target, "INVALID_REPLICATION_STATE",
                "it is no replica: it is not in recovery");
    } else if (watch->full && server->target == PROXY_TARGET_PRIMARY) {
        primary_seen(worker, watch);
    } else if (watch->full) {
        replica_seen(worker, server->target, watch);
    }
    if (watch->full) {
        watch->answered_ms = loop_now_ms(worker->loop);
    }
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
    is_down(server->worker, server->target, "CONNECTION_FAILED", why);
}

static void answered(ProxyServer *server, ProxyWatch *watch)
{
    bool anew = watch->narrowed;
    loop_timer_stop(&watch->late);
    watch->asking = watch->narrowed = false;
    if (anew || watch->again) {
        ask(server->worker, watch, anew);
    }
}

static bool take_piece(ProxyServer *server, ProxyWatch *watch, const PgPiece *piece)
{
    if (!piece->first) {
        return true;
    }
    switch (piece->type) {
    case 'D':
        TRY(take_row(watch, piece));
        take_position(server, watch);
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
    ProxyServer *server = user;
    ProxyWatch *watch = proxy_server_side(server)->watch;
    size_t at = 0;
    for (;;) {
        PgPiece piece;
        WireResult result = pg_framer_next(&server->framer, &server->worker->ask_policy,
                                           slice_skip(data, at), &piece);
        if (result == WIRE_MORE) {
            return at;
        }
        if (result == WIRE_BAD || !take_piece(server, watch, &piece)) {
            stream_abort(stream);
            proxy_server_lost(server, "it broke the protocol");
            return data.len;
        }
        at += piece.raw.len;
    }
}

static void watch_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    proxy_server_lost(user, err != NULL ? err->message : "PostgreSQL closed it");
}

static const StreamHandlers watch_handlers = {.on_read = watch_on_read,
                                              .on_closed = watch_on_closed};

/* ---- life --------------------------------------------------------------------------------------
 */

bool proxy_watch_judges(const ProxyServer *server)
{
    return is_watched(server->worker->config, server->target);
}

/* Whatever the role has set for itself: names in the queries are PostgreSQL's own, a replica takes
 * no SERIALIZABLE, and how long an answer may take is ours to say. */
void proxy_watch_put_params(Buf *params)
{
    static const char *const words[] = {"application_name",
                                        "weir proxy",
                                        "search_path",
                                        "pg_catalog",
                                        "default_transaction_isolation",
                                        "read committed",
                                        "statement_timeout",
                                        "0"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        pg_put_str(params, slice_of(words[i]));
    }
}

void proxy_watch_begin(ProxyServer *server)
{
    ProxyWatch *watch = proxy_server_side(server)->watch;
    loop_timer_stop(&server->timer);
    mem_free(server->scram);
    server->scram = NULL;
    server->state = SERVER_WATCH;
    stream_set_handlers(server->stream, &watch_handlers, server);
    watch->server = server;
    watch->asking = watch->narrow = watch->narrowed = false;
    ask(server->worker, watch, true);
}

void proxy_watch_refused(ProxyServer *server, const char *reason, const char *message, bool passing)
{
    ProxyWorker *worker = server->worker;
    is_down(worker, server->target, reason, message);
    if (server->target != PROXY_TARGET_PRIMARY) {
        standing_forget(standing_of(worker, server->target));
    }
    /* It is there, and only cannot be measured: where nobody wants that, it serves. */
    bool serves =
        !passing && worker->config->reads == READS_REPLICAS && worker->config->lag_max_ms == 0;
    standing_set(worker, server->target, serves, !serves);
}

void proxy_watch_gone(ProxyServer *server)
{
    ProxySide *side = proxy_server_side(server);
    ProxyWatch *watch = side->watch;
    if (side->probe == server) {
        side->probe = NULL;
    }
    if (watch != NULL && watch->server == server) {
        loop_timer_stop(&watch->late);
        watch->server = NULL;
        watch->answered_ms = watch->caught_up_ms = 0;
        watch->retry_at_ms = 0; /* it may only have been this connection */
        is_down(server->worker, server->target, "UNREACHABLE", "the connection to it was lost");
    }
}

static void watch_connect(ProxyWorker *worker, size_t target)
{
    ProxySide *side = &worker->sides[target];
    if (side->watch == NULL) {
        side->watch = mem_alloc(sizeof(ProxyWatch));
    }
    int64_t now_ms = loop_now_ms(worker->loop);
    if (now_ms < side->watch->retry_at_ms || worker->config->user_count == 0) {
        return;
    }
    side->watch->retry_at_ms = now_ms + PROXY_PROBE_DOWN_MS;
    side->probe = proxy_server_open(worker, NULL, NULL, target);
    if (side->probe != NULL) {
        side->probe->user = mem_strdup(proxy_config_login_user(worker->config));
    }
}

void proxy_watch_tick(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX && !worker->draining; i++) {
        const ProxySide *side = &worker->sides[i];
        if (!is_watched(worker->config, i)) {
            continue;
        }
        if (side->probe == NULL) {
            watch_connect(worker, i);
        } else if (side->watch->server != NULL) {
            ask(worker, side->watch, true);
        }
    }
}

static void watch_end(ProxyWorker *worker, size_t target)
{
    ProxySide *side = &worker->sides[target];
    ProxyServer *probe = side->probe;
    if (side->watch != NULL) {
        loop_timer_stop(&side->watch->late);
        mem_free(side->watch);
        side->watch = NULL;
    }
    side->probe = NULL;
    standing_forget(standing_of(worker, target));
    atomic_store(&standing_of(worker, target)->silent, false);
    standing_set(worker, target, false, false);
    if (probe != NULL && probe->state != SERVER_DRAINING) {
        proxy_server_retire(probe);
    }
}

void proxy_watch_apply(ProxyWorker *worker, const ProxyConfig *old)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        if (proxy_config_target_outdated(old, worker->config, i) ||
            is_watched(old, i) != is_watched(worker->config, i)) {
            watch_end(worker, i);
        }
    }
    proxy_watch_tick(worker);
}

void proxy_watches_end(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        watch_end(worker, i);
    }
}

void proxy_watches_done(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        ProxyWatch *watch = worker->sides[i].watch;
        if (watch != NULL) {
            ASSERT(watch->server == NULL);
            mem_free(watch);
        }
    }
}
