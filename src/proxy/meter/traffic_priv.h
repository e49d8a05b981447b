/*
 * traffic: where the shell tells its meters what happens. One call for each thing that happens, on
 * the way of a query each of a few stores to memory of this thread.
 *
 * Times are of the loop's turns. A request is timed from its first message to the ReadyForQuery
 * that ends its answer; one that waits in a pipeline, from the end of the answer before it.
 */
#ifndef WEIR_PROXY_TRAFFIC_PRIV_H
#define WEIR_PROXY_TRAFFIC_PRIV_H

#include "proxy/client/client_priv.h"
#include "proxy/server/server_priv.h"

/* ---- on the way of a query ---------------------------------------------------------------------
 */

/* A request came in; it may have to wait. */
static inline void proxy_traffic_asked(ProxyClient *client)
{
    if (client->asked_us == 0) {
        client->asked_us = loop_now_us(client->worker->loop);
    }
}

/* Whether the message asks for an answer; counts what it is. */
static inline bool traffic_count(ProxyMeter *meter, bool tls, char type)
{
    switch (type) {
    case 'Q':
    case 'F':
    case 'E':
        proxy_meter_add(meter, tls ? STAT_QUERIES_TLS : STAT_QUERIES, 1);
        return true;
    case 'P':
        proxy_meter_add(meter, STAT_PARSES, 1);
        return true;
    case 'B':
        proxy_meter_add(meter, STAT_BINDS, 1);
        return true;
    case 'D':
    case 'C':
    case 'S':
        return true;
    default:
        return false;
    }
}

/* A client's message goes to its server connection. */
static inline void proxy_traffic_sent(ProxyClient *client, const PgPiece *piece)
{
    ProxyServer *server = client->server;
    ProxyMeter *meter = proxy_client_meter(client);
    if (!piece->first || !traffic_count(meter, client->tls, piece->type) ||
        client->session.walsender) {
        return; /* a stream is neither a transaction nor an answer that takes so long */
    }
    if (server->sent_us == 0) {
        proxy_traffic_asked(client);
        server->sent_us = loop_now_us(client->worker->loop);
    }
    if (server->begun_us == 0) {
        server->begun_us = server->sent_us;
        proxy_meter_add(meter, STAT_TRANSACTIONS_BEGUN, 1);
    }
}

/* A ReadyForQuery goes to the client. */
static inline void proxy_traffic_answered(ProxyServer *server)
{
    ProxyClient *client = server->client;
    ProxyMeter *meter = proxy_client_meter(client);
    int64_t now = loop_now_us(server->worker->loop);
    bool waits = session_waits(&server->exchange) && !client->session.walsender;
    int64_t next = waits ? now : 0;
    if (server->sent_us != 0) {
        histogram_add(&meter->latencies[LATENCY_DATABASE], now - server->sent_us);
        histogram_add(&meter->latencies[LATENCY_RESPONSE], now - client->asked_us);
    }
    server->sent_us = next;
    client->asked_us = next;
    if (server->exchange.status == 'I' && server->begun_us != 0) {
        proxy_meter_add(meter, STAT_TRANSACTIONS_ENDED, 1);
        proxy_meter_add(meter, STAT_TRANSACTION_US, now - server->begun_us);
        proxy_meter_add(meter, STAT_TRANSACTIONS_BEGUN, next != 0 ? 1 : 0);
        server->begun_us = next;
    }
}

/* The answer to a request that shared a connection, as a transaction of its own; it was the
 * database's turn since then. What is asked for again counts then. */
static inline void proxy_traffic_shared_answered(ProxyClient *client, int64_t since_us)
{
    ProxyMeter *meter = proxy_client_meter(client);
    int64_t now = loop_now_us(client->worker->loop);
    traffic_count(meter, client->tls, 'Q');
    proxy_meter_add(meter, STAT_TRANSACTIONS_BEGUN, 1);
    proxy_meter_add(meter, STAT_TRANSACTIONS_ENDED, 1);
    proxy_meter_add(meter, STAT_TRANSACTION_US, now - since_us);
    histogram_add(&meter->latencies[LATENCY_DATABASE], now - since_us);
    histogram_add(&meter->latencies[LATENCY_RESPONSE], now - client->asked_us);
    client->asked_us = 0;
}

/* A server connection is a client's from now on. */
static inline void proxy_traffic_linked(ProxyServer *server)
{
    const ProxyClient *client = server->client;
    ProxyMeter *meter = proxy_client_meter(client);
    proxy_meter_add(meter, STAT_SERVERS_BORROWED, 1);
    proxy_meter_add(meter, STAT_BORROWS, 1);
    proxy_meter_add(meter, STAT_REPLICA_BORROWS, server->target != PROXY_TARGET_PRIMARY ? 1 : 0);
    if (client->asked_us != 0) {
        histogram_add(&meter->latencies[LATENCY_BORROW],
                      loop_now_us(server->worker->loop) - client->asked_us);
    }
}

/* And is not any more, be it for the client's sake or its own. */
static inline void proxy_traffic_unlinked(ProxyServer *server)
{
    ProxyMeter *meter = proxy_server_meter(server);
    proxy_meter_add(meter, STAT_SERVERS_BORROWED, -1);
    if (server->begun_us != 0) {
        proxy_meter_add(meter, STAT_TRANSACTIONS_ENDED, 1);
        proxy_meter_add(meter, STAT_TRANSACTION_US,
                        loop_now_us(server->worker->loop) - server->begun_us);
    }
    server->begun_us = 0;
    server->sent_us = 0;
}

/* ---- connections (traffic.c) -------------------------------------------------------------------
 */

void proxy_traffic_client_come(ProxyClient *client);
/* It is known who it is: `pool` has just been set. */
void proxy_traffic_client_known(ProxyClient *client);
void proxy_traffic_client_gone(ProxyClient *client);
void proxy_traffic_replication(ProxyClient *client); /* it is for replication from now on */
/* It was refused for want of TLS, or could not make it work. */
void proxy_traffic_tls_failed(ProxyClient *client);

void proxy_traffic_server_begun(ProxyServer *server);
void proxy_traffic_server_open(ProxyServer *server); /* logged in */
void proxy_traffic_server_gone(ProxyServer *server);

#endif
