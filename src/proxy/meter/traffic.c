/* Connections as they are counted: see traffic_priv.h. */
#include "proxy/client/client_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/server/server_priv.h"

void proxy_traffic_client_come(ProxyClient *client)
{
    client->connected_s = (uint32_t)(loop_now_ms(client->worker->loop) / MS_PER_S);
    proxy_worker_count(client->worker, STAT_CLIENTS, 1);
}

static void client_count(const ProxyClient *client, ProxyMeter *meter, int64_t change)
{
    proxy_meter_add(meter, STAT_CLIENTS, change);
    proxy_meter_add(meter, STAT_CLIENTS_TLS, client->tls ? change : 0);
    proxy_meter_add(meter, STAT_CLIENTS_PINNED, client->pinned_counted ? change : 0);
    proxy_meter_add(meter, STAT_CLIENTS_REPLICATION, client->session.walsender ? change : 0);
}

void proxy_traffic_client_known(ProxyClient *client)
{
    client_count(client, client->worker->meters.items[0], -1);
    client_count(client, proxy_client_meter(client), 1);
}

void proxy_traffic_client_gone(ProxyClient *client)
{
    client_count(client, proxy_client_meter(client), -1);
    proxy_meter_add(proxy_client_meter(client), STAT_CLIENTS_CLOSED, 1);
}

void proxy_traffic_replication(ProxyClient *client)
{
    proxy_meter_add(proxy_client_meter(client), STAT_CLIENTS_REPLICATION, 1);
}

void proxy_traffic_tls_failed(ProxyClient *client)
{
    proxy_worker_count(client->worker, STAT_TLS_FAILED, 1);
}

void proxy_traffic_server_begun(ProxyServer *server)
{
    ProxyMeter *meter = proxy_server_meter(server);
    const ProxyConfig *config = server->worker->config;
    bool tls = proxy_config_target(config, server->target)->tls != TARGET_TLS_DISABLE;
    proxy_meter_add(meter, STAT_SERVERS, 1);
    proxy_meter_add(meter, STAT_SERVER_REQUESTS, 1);
    proxy_meter_add(meter, STAT_SERVER_REQUESTS_TLS, tls ? 1 : 0);
}

void proxy_traffic_server_open(ProxyServer *server)
{
    ProxyMeter *meter = proxy_server_meter(server);
    server->tls_counted = stream_tls(server->stream) != NULL;
    proxy_meter_add(meter, STAT_SERVERS_OPENED, 1);
    proxy_meter_add(meter, STAT_SERVERS_TLS, server->tls_counted ? 1 : 0);
}

void proxy_traffic_server_gone(ProxyServer *server)
{
    ProxyMeter *meter = proxy_server_meter(server);
    proxy_meter_add(meter, STAT_SERVERS, -1);
    proxy_meter_add(meter, STAT_SERVERS_TLS, server->tls_counted ? -1 : 0);
    proxy_meter_add(meter, STAT_SERVERS_CLOSED, 1);
}
