/*
 * What comes back by a line goes to whom it is for, once it is complete; what is not to be had here
 * is asked again elsewhere, and what took too long or was too much stays away for a while.
 */
#include "proxy/client/client_priv.h"
#include "proxy/line/line_parts_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/split/last_word_priv.h"
#include "proxy/split/split_priv.h"

static void make_shy(ProxyLine *line, uint64_t digest)
{
    *line_shy(line->server->pool, digest) =
        (LineShy){.digest = digest, .until_ms = line_now_ms(line) + LINE_SHY_MS};
}

/* Slow once may have been the machine. */
static void note_time(ProxyLine *line, uint64_t digest, bool slow)
{
    LineShy *shy = line_shy(line->server->pool, digest);
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
    int64_t now = line_now_ms(line);
    note_time(line, entry->digest, now - line->head_ms >= LINE_SLOW_MS);
    line->head_ms = line->idle_ms = now;
    client_ends(line, entry);
    line->head_us = line_now_us(line);
    line->first = (line->first + 1) % LINE_DEPTH;
    line->len--;
}

/* After its last answer: gives way to whoever waits, where only lines are left. */
static void line_rest(ProxyLine *line)
{
    const ProxySide *side = proxy_server_side(line->server);
    bool only_those = line_kept_beside(line->server) == side->servers;
    if (line->len == 0 && (line_should_end(line) || (side->waiters > 0 && only_those))) {
        proxy_line_dissolve(line);
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
    proxy_line_free(line);
}

void proxy_line_cancel(ProxyClient *client)
{
    ProxyLine *line = client->line;
    PgError error = {.severity = SLICE("ERROR"),
                     .sqlstate = SLICE("57014"),
                     .message = SLICE("canceling statement due to user request")};
    for (size_t i = 0; i < line->len; i++) {
        LineEntry *entry = line_entry(line, i);
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
