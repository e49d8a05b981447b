/* See pulse_priv.h. Everything here is worker 0's, but for what is said to be any thread's. */
#include <inttypes.h>
#include <stdio.h>

#include "proxy/meter/metrics_priv.h"
#include "proxy/pulse/hold_priv.h"
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_priv.h"

#define COLUMNS 2

static const char query[] =
    "SELECT pg_catalog.pg_logical_emit_message(true, 'weir', ''), " ENGINE_RUN_SQL;

/* ---- what all threads see ----------------------------------------------------------------------
 */

/* `run` changes only while there is no begin: what is read around the same begin goes together. */
int64_t proxy_pulse_begun_us(const ProxyPulse *pulse, int64_t run)
{
    int64_t begun_us = atomic_load(&pulse->begun_us);
    bool same = atomic_load(&pulse->run) == run && atomic_load(&pulse->begun_us) == begun_us;
    return same && run != 0 ? begun_us : 0;
}

bool proxy_pulse_is_of_another(const ProxyPulse *pulse, int64_t run)
{
    int64_t begun_us = atomic_load(&pulse->begun_us);
    return begun_us != 0 && atomic_load(&pulse->run) != run &&
           atomic_load(&pulse->begun_us) == begun_us;
}

int64_t proxy_pulse_right_us(const ProxyPulse *pulse)
{
    int64_t begun_us = atomic_load(&pulse->begun_us);
    return begun_us == 0 ? -1 : begun_us + PULSE_RIGHT_MS * US_PER_MS - time_boot_us();
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static ProxyPulse *pulse_of(const ProxyWorker *worker)
{
    return &worker->proxy->pulse;
}

/* NULL: it is none of the pulse's any more. */
static PulseSession *session_of(ProxyPulse *pulse, const ProxyServer *server)
{
    for (size_t i = 0; i < ARRAY_LEN(pulse->sessions); i++) {
        if (pulse->sessions[i].opened == server) {
            return &pulse->sessions[i];
        }
    }
    return NULL;
}

static void ask(ProxyPulse *pulse, PulseSession *session)
{
    Buf out;
    if (session->asking) {
        pulse->again = true;
        return;
    }
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_query(&out, slice_of(query));
    session->asking = true;
    pulse->again = session->cut = session->failed = false;
    session->asked_run = 0;
    session->since_us = time_boot_us(); /* before it can be on its way */
    stream_write(session->server->stream, buf_slice(&out));
    buf_done(&out);
}

static void session_open(ProxyWorker *worker, PulseSession *session)
{
    const ProxyTarget *target = &worker->config->target;
    if (session->opened != NULL || target->id == NULL || !target->synchronous) {
        return;
    }
    const char *user = target->probe_user;
    if (user == NULL) {
        user = proxy_config_login_user(worker->config);
    }
    if (user != NULL) {
        session->since_us = time_boot_us();
        session->opened = proxy_server_open_pulse(worker, user);
    }
}

static void session_close(PulseSession *session)
{
    ProxyServer *server = session->opened;
    *session = (PulseSession){0};
    if (server != NULL && server->state != SERVER_DRAINING) {
        proxy_server_retire(server);
    }
}

static void want(ProxyWorker *worker)
{
    ProxyPulse *pulse = pulse_of(worker);
    PulseSession *first = &pulse->sessions[0];
    if (first->server != NULL) {
        ask(pulse, first);
    } else {
        pulse->again = true;
        session_open(worker, first);
    }
}

static void want_posted(void *user)
{
    ProxyWorker *worker = user;
    atomic_store(&pulse_of(worker)->wanted, false);
    want(worker);
}

void proxy_pulse_want(Proxy *proxy)
{
    if (!atomic_exchange(&proxy->pulse.wanted, true)) {
        loop_post(proxy->workers[0].loop, want_posted, &proxy->workers[0]);
    }
}

/* ---- while it is used --------------------------------------------------------------------------
 */

static uint64_t sum_of(const Proxy *proxy, ProxyStat stat)
{
    uint64_t sum = 0;
    for (uint32_t w = 0; w < proxy->worker_count; w++) {
        const ProxyMeters *meters = &proxy->workers[w].meters;
        size_t count = proxy_meters_count(meters);
        for (size_t i = 0; i < count; i++) {
            sum += proxy_meter_get(meters->items[i], stat);
        }
    }
    return sum;
}

static bool is_used(ProxyWorker *worker)
{
    ProxyPulse *pulse = pulse_of(worker);
    int64_t now_ms = loop_now_ms(worker->loop);
    uint64_t queries =
        sum_of(worker->proxy, STAT_QUERIES) + sum_of(worker->proxy, STAT_QUERIES_TLS);
    if (queries != pulse->queries || pulse->used_ms == 0) {
        pulse->queries = queries;
        pulse->used_ms = now_ms;
    }
    return now_ms - pulse->used_ms < PULSE_REST_MS;
}

static bool is_waited_for(const Proxy *proxy)
{
    for (uint32_t i = 0; i < proxy->worker_count; i++) {
        const ProxyWorker *worker = &proxy->workers[i];
        if (atomic_load(&worker->any_held) || atomic_load(&worker->any_refused)) {
            return true;
        }
    }
    return false;
}

static bool is_late(const PulseSession *session)
{
    bool waits = session->opened != NULL && (session->asking || session->server == NULL);
    return waits && time_boot_us() - session->since_us > PULSE_LATE_MS * US_PER_MS;
}

static void go_on(ProxyWorker *worker, PulseSession *session, bool asks)
{
    if (session->server == NULL) {
        session_open(worker, session);
    } else if (asks && !session->asking) {
        ask(pulse_of(worker), session);
    }
}

static void tick(void *user)
{
    ProxyWorker *worker = user;
    ProxyPulse *pulse = pulse_of(worker);
    bool used = is_used(worker) || is_waited_for(worker->proxy);
    atomic_store(&pulse->rests, !used);
    go_on(worker, &pulse->sessions[0], used);
    if (is_late(&pulse->sessions[0])) {
        go_on(worker, &pulse->sessions[1], true);
    } else if (!pulse->sessions[1].asking) { /* else its backend would stay all the same */
        session_close(&pulse->sessions[1]);
    }
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static bool take_row(PulseSession *session, const PgPiece *piece)
{
    PgReader reader = {.rest = piece->body};
    if (!piece->last || pg_read_u16(&reader) != COLUMNS) {
        return false;
    }
    (void)pg_read_bytes(&reader, pg_read_u32(&reader));
    Slice run = pg_read_bytes(&reader, pg_read_u32(&reader));
    return pg_reader_ended(&reader) && str_to_i64(run, &session->asked_run);
}

static void forget(ProxyPulse *pulse)
{
    atomic_store(&pulse->begun_us, 0);
    atomic_store(&pulse->run, 0);
}

/* Of two sessions the one that was asked later proves more. */
static void acknowledged(ProxyWorker *worker, const PulseSession *session)
{
    ProxyPulse *pulse = pulse_of(worker);
    if (session->since_us <= atomic_load(&pulse->begun_us)) {
        return;
    }
    if (atomic_load(&pulse->run) != session->asked_run) {
        forget(pulse);
        atomic_store(&pulse->run, session->asked_run);
    }
    atomic_store(&pulse->begun_us, session->since_us);
    atomic_store(&pulse->took_us, time_boot_us() - session->since_us);
    counter_add(&pulse->count, 1);
    proxy_holds_wake(worker->proxy);
}

static void answered(ProxyServer *server)
{
    ProxyPulse *pulse = pulse_of(server->worker);
    PulseSession *session = session_of(pulse, server);
    bool known = !session->failed && session->asked_run != 0;
    session->asking = false;
    if (known && !session->cut) {
        acknowledged(server->worker, session);
    }
    if (pulse->again) {
        ask(pulse, session);
    }
}

static bool take_piece(ProxyServer *server, const PgPiece *piece)
{
    PulseSession *session = session_of(pulse_of(server->worker), server);
    PgError error;
    if (!piece->first) {
        return true;
    }
    switch (piece->type) {
    case 'D':
        return take_row(session, piece);
    case 'N':
        session->cut = session->cut || proxy_loss_is_cut_wait(piece);
        return true;
    case 'E':
        session->failed = true;
        if (piece->last && pg_get_error(piece->body, &error)) {
            CLEANUP(mem_free_ptr) char *why = mem_printf("%.*s", SLICE_FMT(error.message));
            proxy_pulse_failed(server, why);
        }
        return true;
    case 'Z':
        answered(server);
        return true;
    default:
        return strchr("TCSA", piece->type) != NULL;
    }
}

static size_t pulse_on_read(void *user, Stream *stream, Slice data)
{
    (void)stream;
    return proxy_ask_read(user, data, take_piece);
}

static const StreamHandlers pulse_handlers = {.on_read = pulse_on_read,
                                              .on_closed = proxy_ask_closed};

/* ---- its session -------------------------------------------------------------------------------
 */

/* Whatever the role, the database and the configuration say: it waits as F9 wants it, for as long
 * as it takes, and hears of it. */
void proxy_pulse_put_params(Buf *params)
{
    static const char *const words[] = {"application_name",
                                        "weir pulse",
                                        "search_path",
                                        "pg_catalog",
                                        "synchronous_commit",
                                        "on",
                                        "client_min_messages",
                                        "notice",
                                        "statement_timeout",
                                        "0",
                                        "idle_session_timeout",
                                        "0",
                                        "default_transaction_isolation",
                                        "read committed",
                                        "default_transaction_read_only",
                                        "off"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        pg_put_str(params, slice_of(words[i]));
    }
}

void proxy_pulse_begin(ProxyServer *server)
{
    ProxyPulse *pulse = pulse_of(server->worker);
    PulseSession *session = session_of(pulse, server);
    ASSERT(session != NULL); /* else it has been retired */
    loop_timer_stop(&server->timer);
    mem_free(server->scram);
    server->scram = NULL;
    server->state = SERVER_WATCH;
    stream_set_handlers(server->stream, &pulse_handlers, server);
    session->server = server;
    atomic_store(&pulse->away, false);
    atomic_store(&pulse->crowded, false);
    pulse->complained = false;
    ask(pulse, session);
}

/* Once, until it has been let in. */
void proxy_pulse_failed(ProxyServer *server, const char *why)
{
    ProxyPulse *pulse = pulse_of(server->worker);
    if (!pulse->complained) {
        log_warn("proxy", "whether commits reach their standbys cannot be asked as %s: %s",
                 server->user, why);
    }
    pulse->complained = true;
}

void proxy_pulse_crowded(ProxyServer *server, bool full)
{
    ProxyPulse *pulse = pulse_of(server->worker);
    atomic_store(&pulse->crowded, full && pulse->sessions[0].server == NULL); /* one is enough */
}

bool proxy_pulse_is_crowded(const ProxyPulse *pulse)
{
    return atomic_load_explicit(&pulse->crowded, memory_order_relaxed);
}

void proxy_pulse_gone(ProxyServer *server)
{
    ProxyPulse *pulse = pulse_of(server->worker);
    PulseSession *session = session_of(pulse, server);
    if (session == NULL) {
        return;
    }
    *session = (PulseSession){0};
    if (session == &pulse->sessions[0]) { /* the other one, if any, takes its place */
        pulse->sessions[0] = pulse->sessions[1];
        pulse->sessions[1] = (PulseSession){0};
    }
    /* What was proven stays so, whoever is connected. */
    atomic_store(&pulse->away, pulse->sessions[0].server == NULL);
    proxy_holds_wake(server->worker->proxy);
}

static void sessions_end(ProxyPulse *pulse)
{
    pulse->again = false;
    atomic_store(&pulse->away, true);
    atomic_store(&pulse->crowded, false);
    forget(pulse);
    session_close(&pulse->sessions[0]);
    session_close(&pulse->sessions[1]);
}

void proxy_pulse_apply(ProxyWorker *worker)
{
    ProxyPulse *pulse = pulse_of(worker);
    const ProxyTarget *target = &worker->config->target;
    bool none = target->id == NULL;
    bool wanted = !none && target->synchronous && !worker->draining;
    /* While nobody leads, what is under way may still need the one that did. */
    bool stays = none || (wanted && strcmp(pulse->at, target->at) == 0);
    if (!stays) {
        sessions_end(pulse);
        snprintf(pulse->at, sizeof(pulse->at), "%s", wanted ? target->at : "");
    }
    if (wanted && !loop_timer_armed(&pulse->timer)) {
        pulse->used_ms = 0;
        loop_timer_start(worker->loop, &pulse->timer, 1, PULSE_MS, tick, worker);
    } else if (!wanted && !none) {
        loop_timer_stop(&pulse->timer);
    }
}

static void end_posted(void *user)
{
    ProxyPulse *pulse = pulse_of(user);
    loop_timer_stop(&pulse->timer);
    sessions_end(pulse);
}

void proxy_pulse_drain(Proxy *proxy)
{
    atomic_thread_fence(memory_order_seq_cst); /* of two who leave at once, one sees it */
    if (sum_of(proxy, STAT_CLIENTS) == 0) {
        loop_post(proxy->workers[0].loop, end_posted, &proxy->workers[0]);
    }
}
