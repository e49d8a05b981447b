/*
 * Lines: see line_priv.h. A line's exchange is followed as any other, by a session that stands for
 * all its clients: requests have no names and no state, so that nothing of it is any client's own.
 */
#include "proxy/client_priv.h"
#include "proxy/last_word_priv.h"
#include "proxy/server_priv.h"
#include "proxy/split_priv.h"
#include "proxy/traffic_priv.h"

typedef struct LineEntry {
    PoolHandle client; /* 0: nobody waits for it any more */
    uint64_t digest;
    int64_t sent_us;
    bool again;  /* the answer is of no use here: it is asked for again */
    Buf request; /* to do so */
    Buf result;  /* what did not come in one read */
} LineEntry;

struct ProxyLine {
    ListNode node; /* in pool->lines */
    ProxyServer *server;
    Session session;
    Settings *settings; /* what its clients have; the line has some more */
    ParamList *params;  /* and what they were told */
    bool set;           /* the server has the line's own settings */
    bool stale;         /* and reports others since */
    size_t first, len;
    int64_t begun_ms;
    int64_t head_ms; /* since when the first has been at the head */
    int64_t head_us; /* the same moment */
    int64_t idle_ms; /* since when there is none */
    LineEntry entries[LINE_DEPTH];
};

static int64_t now_of(const ProxyLine *line)
{
    return loop_now_ms(line->server->worker->loop);
}

static int64_t now_us_of(const ProxyLine *line)
{
    return loop_now_us(line->server->worker->loop);
}

static LineEntry *entry_at(ProxyLine *line, size_t index)
{
    return &line->entries[(line->first + index) % LINE_DEPTH];
}

static LineEntry *line_head(ProxyLine *line)
{
    return line->len > 0 ? entry_at(line, 0) : NULL;
}

/* ---- what is better alone ----------------------------------------------------------------------
 */

static LineShy *shy_of(ProxyPool *pool, uint64_t digest)
{
    return &pool->shy[digest % LINE_SHY_MAX];
}

static bool is_shy(ProxyPool *pool, uint64_t digest)
{
    const LineShy *shy = shy_of(pool, digest);
    return shy->digest == digest && loop_now_ms(pool->worker->loop) < shy->until_ms;
}

static void make_shy(ProxyLine *line, uint64_t digest)
{
    *shy_of(line->server->pool, digest) =
        (LineShy){.digest = digest, .until_ms = now_of(line) + LINE_SHY_MS};
}

/* Slow once may have been the machine. */
static void note_time(ProxyLine *line, uint64_t digest, bool slow)
{
    LineShy *shy = shy_of(line->server->pool, digest);
    if (shy->digest != digest && slow) {
        *shy = (LineShy){.digest = digest};
    }
    if (shy->digest == digest) {
        shy->slow = slow ? shy->slow + 1 : 0;
    }
    if (shy->slow >= LINE_SLOW_TIMES && shy->digest == digest) {
        make_shy(line, digest);
    }
}

/* ---- life --------------------------------------------------------------------------------------
 */

/* A write that was not recognized fails before it happens, and nothing stands in the way for long.
 * When the line is over, these are led back as any client's. */
static void line_set(ProxyLine *line)
{
    Exchange *exchange = &line->server->exchange;
    Settings *own = settings_overlay(exchange->setting_table, line->settings,
                                     SLICE("default_transaction_read_only\0on\0"
                                           "statement_timeout\0" LINE_MS_TEXT "\0"));
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    size_t statements = settings_put_replay(exchange->applied, own, &out);
    pg_put_sync(&out);
    exchange_push_replay(exchange, statements, FLIGHT_OURS);
    flight_push(&exchange->flight, 'S', FLIGHT_OURS);
    stream_write(line->server->stream, buf_slice(&out));
    buf_done(&out);
    settings_unref(exchange->applied);
    exchange->applied = settings_ref(own);
    line->session.settings = own;
}

/* The connection is one of the pool's, with the settings that its requests must have. */
static ProxyLine *line_new(ProxyServer *server)
{
    ProxyLine *line = mem_alloc(sizeof(ProxyLine));
    SessionOut out;
    line->server = server;
    server->line = line;
    server->state = SERVER_LINE;
    line->begun_ms = line->idle_ms = now_of(line);
    line->settings = settings_ref(server->exchange.applied);
    line->params = params_ref(server->params);
    session_init(&line->session, false);
    for (size_t i = 0; i < LINE_DEPTH; i++) {
        buf_init(&line->entries[i].request, LINE_REQUEST_MAX);
        buf_init(&line->entries[i].result, BUF_MAX_DEFAULT);
    }
    list_push_back(&server->pool->lines, &line->node);
    proxy_server_side(server)->lines++;
    line->session.settings = settings_ref(line->settings);
    session_link(&line->session, &server->exchange, HANDOVER_PLAIN, &out);
    settings_unref(line->session.settings);
    line_set(line);
    return line;
}

static void line_free(ProxyLine *line)
{
    list_remove(&line->server->pool->lines, &line->node);
    proxy_server_side(line->server)->lines--;
    line->server->line = NULL;
    session_done(&line->session);
    settings_unref(line->settings);
    params_unref(line->params);
    for (size_t i = 0; i < LINE_DEPTH; i++) {
        buf_done(&line->entries[i].request);
        buf_done(&line->entries[i].result);
    }
    mem_free(line);
}

/* It has no requests: its connection is one of the pool's again. */
static void line_dissolve(ProxyLine *line)
{
    ProxyServer *server = line->server;
    ASSERT(line->len == 0);
    line_free(line);
    if (flight_is_empty(&server->exchange.flight)) {
        proxy_server_available(server);
    } else {
        proxy_server_retire(server); /* not even begun */
    }
}

/* Now and then its connection is free for what others do with it: learning, and growing old. */
static bool line_should_end(const ProxyLine *line)
{
    const ProxyServer *server = line->server;
    return server->retired || server->worker->draining || line->stale ||
           now_of(line) - line->begun_ms >= LINE_LIFE_MS;
}

/* ---- requests ----------------------------------------------------------------------------------
 */

static bool line_fits(const ProxyLine *line, const ProxyClient *client)
{
    const Flight *flight = &line->server->exchange.flight;
    return !line_should_end(line) && line->len < LINE_DEPTH && flight->len < FLIGHT_MAX / 2 &&
           line->settings == client->session.settings && client->told == line->params &&
           !stream_blocked(line->server->stream);
}

/* Of the connections to its target: those that nobody can have alone. Only the primary's listen. */
static size_t kept_beside(const ProxyServer *server)
{
    bool primary = server->target == PROXY_TARGET_PRIMARY;
    return proxy_server_side(server)->lines + (primary ? server->worker->hubs.len : 0);
}

/* Everybody has gone to wait before there was one. */
bool proxy_line_for_waiters(ProxyServer *server)
{
    ProxyPool *pool = server->pool;
    if (pool->lines.len >= server->worker->config->shared_connections || server->retired ||
        server->worker->draining || pool->waiters.len == 0 || !pool->wants_line ||
        !proxy_pool_knows_names(pool->home) || pool->home->names->hidden ||
        kept_beside(server) + 1 >= proxy_server_side(server)->servers) {
        return false;
    }
    pool->wants_line = false;
    line_new(server);
    proxy_pool_wake_waiters(pool, false);
    return true;
}

static ProxyLine *line_begin(ProxyPool *pool, const ProxyClient *client)
{
    ProxyServer *server = proxy_pool_take_equal(pool, client);
    return server != NULL ? line_new(server) : NULL;
}

/* The one with the fewest requests; another one where all have many. */
static ProxyLine *line_for(ProxyPool *pool, const ProxyClient *client)
{
    ProxyLine *best = NULL;
    LIST_FOR_EACH (&pool->lines, node) {
        ProxyLine *line = CONTAINER_OF(node, ProxyLine, node);
        if (line_fits(line, client) && (best == NULL || line->len < best->len)) {
            best = line;
        }
    }
    if ((best == NULL || best->len >= LINE_SPREAD) &&
        pool->lines.len < pool->worker->config->shared_connections) {
        ProxyLine *another = line_begin(pool, client);
        best = another != NULL ? another : best;
    }
    return best;
}

static void send_piece(ProxyLine *line, Session *session, const PgPiece *piece)
{
    SessionOut out;
    ProxyServer *server = line->server;
    SessionStep step = session_client_piece(session, &server->exchange, piece, &out);
    ASSERT(step == STEP_FORWARD); /* line_request_read has looked at it */
    for (size_t i = 0; i < out.before_len; i++) {
        stream_write(server->stream, out.before[i]);
    }
    stream_write(server->stream, out.head);
    stream_write_ref(server->stream, slice_skip(piece->raw, out.replaced));
}

/* By the client's own session, for it may bind a name of the client's. */
static void send_request(ProxyLine *line, Session *session, Slice request)
{
    const PgPolicy policy = {0};
    line->server->exchange.unnamed = UNNAMED_FOREIGN;
    while (request.len > 0) {
        PgFramer framer = {0};
        PgPiece piece;
        WireResult result = pg_framer_next(&framer, &policy, request, &piece);
        ASSERT(result == WIRE_DONE);
        send_piece(line, session, &piece);
        request = slice_skip(request, piece.raw.len);
    }
}

static void entry_push(ProxyLine *line, ProxyClient *client, const LineRequest *request, Slice data)
{
    if (line->len == 0) {
        line->head_ms = now_of(line);
        line->head_us = now_us_of(line);
    }
    LineEntry *entry = entry_at(line, line->len++);
    entry->client = client->handle;
    entry->digest = request->digest;
    entry->sent_us = now_us_of(line);
    entry->again = false;
    buf_clear(&entry->request);
    buf_clear(&entry->result);
    buf_append_slice(&entry->request, data);
}

static bool may_share(const ProxyClient *client)
{
    ProxyPool *pool = client->pool;
    return pool != NULL && client->worker->config->shared_connections > 0 && !client->alone &&
           client->told != NULL && proxy_pool_knows_names(pool) && !pool->names->hidden;
}

size_t proxy_line_take(ProxyClient *client, ProxyPool *pool, Slice data)
{
    LineRequest request;
    if (!may_share(client)) {
        return 0;
    }
    SqlDialect dialect = proxy_client_dialect(client);
    const LineReader reader = {&client->session, &dialect, client->worker->memo};
    if (!line_request_read(&reader, data, &request) || is_shy(pool, request.digest)) {
        return 0;
    }
    ProxyLine *line = line_for(pool, client);
    if (line == NULL) {
        pool->wants_line = true;
        return 0;
    }
    data.len = request.len;
    proxy_server_read_names(line->server);
    entry_push(line, client, &request, data);
    send_request(line, &client->session, data);
    client->state = CLIENT_SHARED;
    client->wait_since_ms = 0;
    client->line = line;
    proxy_meter_add(proxy_client_meter(client), STAT_SHARED, 1);
    return request.len;
}

/* ---- answers -----------------------------------------------------------------------------------
 */

static ProxyClient *client_of(const ProxyLine *line, const LineEntry *entry)
{
    return entry->client != 0 ? pool_get(line->server->worker->client_slots, entry->client) : NULL;
}

/* What was understood since the last time is the first one's, or nobody's. */
static void line_flush(ProxyLine *line, ProxyRun *run, bool complete)
{
    LineEntry *entry = line_head(line);
    Slice bytes = {run->data.data + run->sent, run->at - run->sent};
    run->sent = run->at;
    ProxyClient *client = entry != NULL && !entry->again ? client_of(line, entry) : NULL;
    if (client == NULL) {
        return;
    }
    if (complete && entry->result.len == 0) {
        stream_write_ref(client->stream, bytes);
    } else if (entry->result.len + bytes.len > LINE_RESULT_MAX) {
        entry->again = true;
        make_shy(line, entry->digest);
        buf_done(&entry->result);
    } else {
        buf_append_slice(&entry->result, bytes);
    }
    if (complete && !entry->again && entry->result.len > 0) {
        stream_write(client->stream, buf_slice(&entry->result));
    }
}

static void take_error(ProxyLine *line, const PgPiece *piece)
{
    const ProxyServer *server = line->server;
    bool replica = server->target != PROXY_TARGET_PRIMARY &&
                   server->worker->config->reads == READS_SPLIT; /* there is a primary to ask */
    PgError error;
    LineEntry *entry = line_head(line);
    if (entry == NULL || !piece->last || !pg_get_error(piece->body, &error)) {
        return;
    }
    ReadVerdict verdict = read_verdict(&error, (ReadAsked){.line = true, .replica = replica});
    ProxyClient *client = client_of(line, entry);
    entry->again = entry->again || verdict.again;
    if (client != NULL) {
        client->anew = verdict.anew;
    }
    if (verdict.alone) {
        make_shy(line, entry->digest);
    }
    if (verdict.writes && replica) {
        proxy_split_learn(server->pool->home, entry->digest);
    }
}

static void client_ends(ProxyLine *line, LineEntry *entry)
{
    ProxyClient *client = client_of(line, entry);
    bool again = entry->again;
    if (client == NULL) {
        return;
    }
    client->line = NULL;
    client->state = CLIENT_READY;
    if (again) {
        proxy_client_again(client, buf_slice(&entry->request));
    } else {
        int64_t since_us = entry->sent_us > line->head_us ? entry->sent_us : line->head_us;
        proxy_traffic_shared_answered(client, since_us);
        proxy_client_resume(client);
        proxy_client_drain(client);
    }
}

static void entry_pop(ProxyLine *line)
{
    LineEntry *entry = line_head(line);
    int64_t now = now_of(line);
    note_time(line, entry->digest, now - line->head_ms >= LINE_SLOW_MS);
    line->head_ms = line->idle_ms = now;
    client_ends(line, entry);
    line->head_us = now_us_of(line);
    line->first = (line->first + 1) % LINE_DEPTH;
    line->len--;
}

/* After its last answer: gives way to whoever waits, where only lines are left. */
static void line_rest(ProxyLine *line)
{
    const ProxySide *side = proxy_server_side(line->server);
    bool only_those = kept_beside(line->server) == side->servers;
    if (line->len == 0 && (line_should_end(line) || (side->waiters > 0 && only_those))) {
        line_dissolve(line);
    }
}

bool proxy_line_piece(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                      const char **ret_problem)
{
    ProxyLine *line = server->line;
    SessionOut out;
    SessionStep step = session_server_piece(&line->session, &server->exchange, piece, &out);
    *ret_problem = out.problem;
    if (step == STEP_REFUSE) {
        return false;
    }
    if (piece->first && piece->type == 'E') {
        take_error(line, piece);
    }
    if (step == STEP_DROP) {
        line->set = line->set || piece->type == 'Z';
        line_flush(line, run, false);
        run->at += piece->raw.len;
        run->sent = run->at;
        return true;
    }
    run->at += piece->raw.len;
    if (piece->type == 'Z' && line->len > 0) {
        line_flush(line, run, true);
        entry_pop(line);
        line_rest(line);
    }
    return true;
}

void proxy_line_reports(const ProxyServer *server)
{
    server->line->stale = server->line->stale || server->line->set;
}

void proxy_line_read_end(ProxyServer *server, ProxyRun *run)
{
    if (server->line != NULL) {
        line_flush(server->line, run, false);
    }
}

/* ---- the end -----------------------------------------------------------------------------------
 */

void proxy_line_lost(ProxyServer *server)
{
    ProxyLine *line = server->line;
    if (line == NULL) {
        return;
    }
    while (line->len > 0) {
        line_head(line)->again = true;
        entry_pop(line);
    }
    line_free(line);
}

void proxy_line_cancel(ProxyClient *client)
{
    ProxyLine *line = client->line;
    PgError error = {.severity = SLICE("ERROR"),
                     .sqlstate = SLICE("57014"),
                     .message = SLICE("canceling statement due to user request")};
    for (size_t i = 0; i < line->len; i++) {
        LineEntry *entry = entry_at(line, i);
        entry->client = entry->client == client->handle ? 0 : entry->client;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_error(&out, &error);
    pg_put_ready(&out, 'I');
    stream_write(client->stream, buf_slice(&out));
    buf_done(&out);
    client->line = NULL;
    client->state = CLIENT_READY;
    proxy_traffic_shared_answered(client, client->asked_us);
    proxy_client_resume(client);
}

static ProxyLine *idle_line_of(const ProxyPool *pool, bool (*wanted)(const ProxyLine *line))
{
    if (pool == NULL) {
        return NULL;
    }
    LIST_FOR_EACH (&pool->lines, node) {
        ProxyLine *line = CONTAINER_OF(node, ProxyLine, node);
        if (line->len == 0 && wanted(line)) {
            return line;
        }
    }
    return NULL;
}

/* The first line to this target without requests that is wanted; NULL: there is none. */
static ProxyLine *idle_line(const ProxyWorker *worker, size_t target,
                            bool (*wanted)(const ProxyLine *line))
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (worker->sides[target].lines > 0 && map_next(worker->pools, &cursor, &key, &value)) {
        const ProxyPool *home = value;
        ProxyLine *line = idle_line_of(target == 0 ? home : home->replicas[target - 1], wanted);
        if (line != NULL) {
            return line;
        }
    }
    return NULL;
}

static bool any_line(const ProxyLine *line)
{
    (void)line;
    return true;
}

static bool is_idle_for_long(const ProxyLine *line)
{
    return line_should_end(line) || now_of(line) - line->idle_ms >= LINE_IDLE_MS;
}

bool proxy_lines_yield(ProxyWorker *worker, size_t target)
{
    ProxyLine *line = idle_line(worker, target, any_line);
    if (line != NULL) {
        line_dissolve(line);
    }
    return line != NULL;
}

void proxy_lines_trim(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        for (ProxyLine *line; (line = idle_line(worker, i, is_idle_for_long)) != NULL;) {
            line_dissolve(line);
        }
    }
}
