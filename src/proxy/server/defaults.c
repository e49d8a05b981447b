/*
 * What a session's transactions are where it has said nothing (ProxyDefaults), where reads are
 * split. ALTER ROLE, ALTER DATABASE, postgresql.conf and an init_query may say read only or
 * serializable, and servers report little of it: so each login at the primary asks. Replicas are
 * told, for a configuration of theirs must not change what a session is.
 */
#include "proxy/pulse/pulse_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/server/welcome_priv.h"

static const char query[] = "SELECT pg_catalog.current_setting('default_transaction_read_only'),"
                            " pg_catalog.current_setting('default_transaction_isolation'),"
                            " pg_catalog.current_setting('client_min_messages'),"
                            " pg_catalog.current_setting('statement_timeout'), " ENGINE_RUN_SQL;

static bool is_wanted(const ProxyServer *server)
{
    const ProxyConfig *config = server->worker->config;
    bool streams = server->pool != NULL && server->pool->replication;
    return server->target == PROXY_TARGET_PRIMARY && !streams &&
           (config->reads == READS_SPLIT || config->target.synchronous);
}

bool proxy_defaults_ask(ProxyServer *server)
{
    if (server->asks_defaults || !is_wanted(server)) {
        return false;
    }
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_query(&out, slice_of(query));
    stream_write(server->stream, buf_slice(&out));
    buf_done(&out);
    server->asks_defaults = true;
    return true;
}

bool proxy_defaults_take(ProxyServer *server, const PgPiece *piece)
{
    PgReader reader = {.rest = piece->body};
    ProxyDefaults *defaults = &server->defaults;
    if (!piece->last || pg_read_u16(&reader) != 5) {
        return false;
    }
    Slice read_only = pg_read_bytes(&reader, pg_read_u32(&reader));
    Slice isolation = pg_read_bytes(&reader, pg_read_u32(&reader));
    Slice level = pg_read_bytes(&reader, pg_read_u32(&reader));
    Slice timeout = pg_read_bytes(&reader, pg_read_u32(&reader));
    Slice run = pg_read_bytes(&reader, pg_read_u32(&reader));
    if (!pg_reader_ended(&reader) || isolation.len >= sizeof(defaults->isolation) ||
        !str_to_i64(run, &defaults->run)) {
        return false;
    }
    defaults->quiet = !sql_level_warns(level);
    defaults->timeout_us = session_timeout_us(timeout);
    defaults->known = true;
    defaults->read_only = slice_is(read_only, "on");
    memcpy(defaults->isolation, isolation.data, isolation.len);
    defaults->isolation[isolation.len] = '\0';
    return true;
}

void proxy_defaults_put(const ProxyServer *server, Buf *params)
{
    const ProxyDefaults *defaults = &server->pool->home->defaults;
    ProxyReads reads = server->worker->config->reads;
    bool known = reads == READS_SPLIT && server->target != PROXY_TARGET_PRIMARY && defaults->known;
    /* Should it be promoted, it refuses writes all the same until that is noticed. */
    bool endpoint = reads == READS_REPLICAS;
    if (known || endpoint) {
        pg_put_str(params, SLICE("default_transaction_read_only"));
        pg_put_str(params, endpoint || defaults->read_only ? SLICE("on") : SLICE("off"));
    }
    if (known) {
        pg_put_str(params, SLICE("default_transaction_isolation"));
        pg_put_str(params, slice_of(defaults->isolation));
    }
}
