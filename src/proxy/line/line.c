/*
 * Lines, and the requests that enter them: see line_priv.h. A line's exchange is followed as any
 * other, by a session that stands for all its clients: requests have no names and no state, so that
 * nothing of it is any client's own. What comes back is answer.c's.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_parts_priv.h"

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
    line->begun_ms = line->idle_ms = line_now_ms(line);
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

void proxy_line_free(ProxyLine *line)
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

void proxy_line_dissolve(ProxyLine *line)
{
    ProxyServer *server = line->server;
    ASSERT(line->len == 0);
    proxy_line_free(line);
    if (flight_is_empty(&server->exchange.flight)) {
        proxy_server_available(server);
    } else {
        proxy_server_retire(server); /* not even begun */
    }
}

static bool is_shy(ProxyPool *pool, uint64_t digest)
{
    const LineShy *shy = line_shy(pool, digest);
    return shy->digest == digest && loop_now_ms(pool->worker->loop) < shy->until_ms;
}

static bool line_fits(const ProxyLine *line, const ProxyClient *client)
{
    const Flight *flight = &line->server->exchange.flight;
    return !line_should_end(line) && line->len < LINE_DEPTH && flight->len < FLIGHT_MAX / 2 &&
           line->settings == client->session.settings && client->told == line->params &&
           !stream_blocked(line->server->stream);
}

/* Everybody has gone to wait before there was one. */
bool proxy_line_for_waiters(ProxyServer *server)
{
    ProxyPool *pool = server->pool;
    if (pool->lines.len >= server->worker->config->shared_connections || server->retired ||
        server->worker->draining || pool->waiters.len == 0 || !pool->wants_line ||
        !proxy_pool_knows_names(pool->home) || pool->home->names->hidden ||
        line_kept_beside(server) + 1 >= proxy_server_side(server)->servers) {
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
        line->head_ms = line_now_ms(line);
        line->head_us = line_now_us(line);
    }
    LineEntry *entry = line_entry(line, line->len++);
    entry->client = client->handle;
    entry->digest = request->digest;
    entry->sent_us = line_now_us(line);
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
    return line_should_end(line) || line_now_ms(line) - line->idle_ms >= LINE_IDLE_MS;
}

bool proxy_lines_yield(ProxyWorker *worker, size_t target)
{
    ProxyLine *line = idle_line(worker, target, any_line);
    if (line != NULL) {
        proxy_line_dissolve(line);
    }
    return line != NULL;
}

void proxy_lines_trim(ProxyWorker *worker)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        for (ProxyLine *line; (line = idle_line(worker, i, is_idle_for_long)) != NULL;) {
            proxy_line_dissolve(line);
        }
    }
}
