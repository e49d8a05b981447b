/* Server connections that listen for many clients: see hub_priv.h. */
#include <stdio.h>
#include <stdlib.h>

#include "proxy/client/client_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/meter/traffic_priv.h"
#include "proxy/server/server_priv.h"

/* ---- what is said to PostgreSQL ----------------------------------------------------------------
 */

static void hub_ask(ProxyHub *hub, Slice query, HubChannel *channel)
{
    Buf out;
    buf_init(&out, BUF_MAX_DEFAULT);
    pg_put_query(&out, query);
    stream_write(hub->server->stream, buf_slice(&out));
    buf_done(&out);
    vec_push(&hub->requests, ((HubRequest){.channel = channel}));
}

static void hub_command(ProxyHub *hub, const char *command, Slice name, HubChannel *channel)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    session_put_channel(&text, command, name);
    hub_ask(hub, buf_slice(&text), channel);
    buf_done(&text);
}

/* What the client has set is not the hub's; nor does it end for being idle. */
static void hub_prepare(ProxyHub *hub)
{
    Buf text;
    buf_init(&text, BUF_MAX_DEFAULT);
    buf_printf(&text, "SET SESSION AUTHORIZATION DEFAULT; RESET ALL; SET client_encoding TO '%s'",
               hub->encoding);
    hub_ask(hub, buf_slice(&text), NULL);
    buf_done(&text);
    hub_ask(hub,
            SLICE("SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings"
                  " WHERE name OPERATOR(pg_catalog.=) ANY (ARRAY['idle_session_timeout',"
                  " 'statement_timeout', 'lock_timeout'])"),
            NULL);
    hub_command(hub, "LISTEN ", slice_of(hub->mark), NULL);
    hub->requests.items[hub->requests.len - 1].mark = true;
}

/* ---- channels ----------------------------------------------------------------------------------
 */

static HubChannel *channel_new(ProxyHub *hub, Slice name)
{
    HubChannel *channel = mem_alloc(sizeof(*channel));
    channel->name = mem_alloc(name.len + 1);
    channel->name_len = name.len;
    memcpy(channel->name, name.data, name.len);
    list_init(&channel->subs);
    map_set(hub->channels, name, channel);
    return channel;
}

static void channel_free(HubChannel *channel)
{
    mem_free(channel->name);
    mem_free(channel);
}

HubChannel *proxy_hub_channel(ProxyHub *hub, Slice name)
{
    HubChannel *channel = map_get(hub->channels, name);
    if (channel == NULL && map_len(hub->channels) < HUB_CHANNELS_MAX) {
        channel = channel_new(hub, name);
        hub_command(hub, "LISTEN ", name, channel);
    }
    return channel;
}

/* The first that nobody needs; one that is asked for is looked at again when it is there. */
static HubChannel *find_unused(const ProxyHub *hub)
{
    size_t cursor = 0;
    Slice name;
    void *value;
    while (map_next(hub->channels, &cursor, &name, &value)) {
        HubChannel *channel = value;
        if (channel->subs.len == 0 && channel->listened) {
            return channel;
        }
    }
    return NULL;
}

static void collect_unused(const ProxyHub *hub, HubChannel **unused, size_t *ret_count)
{
    size_t cursor = 0;
    Slice name;
    void *value;
    *ret_count = 0;
    while (map_next(hub->channels, &cursor, &name, &value)) {
        HubChannel *channel = value;
        if (channel->subs.len == 0 && channel->listened) {
            unused[(*ret_count)++] = channel;
        }
    }
}

static void unlisten_unused(ProxyHub *hub)
{
    size_t count;
    if (find_unused(hub) == NULL) {
        return;
    }
    HubChannel **unused = mem_alloc(map_len(hub->channels) * sizeof(HubChannel *));
    collect_unused(hub, unused, &count);
    for (size_t i = 0; i < count; i++) {
        Slice name = {unused[i]->name, unused[i]->name_len};
        hub_command(hub, "UNLISTEN ", name, NULL);
        map_remove(hub->channels, name);
        channel_free(unused[i]);
    }
    mem_free(unused);
}

/* ---- life --------------------------------------------------------------------------------------
 */

static bool hub_is_for(const ProxyHub *hub, const ProxyServer *server)
{
    return hub->server != NULL && !hub->server->retired &&
           map_len(hub->channels) < HUB_CHANNELS_MAX &&
           strcmp(hub->pool->user, server->pool->user) == 0 &&
           strcmp(hub->pool->database, server->pool->database) == 0 &&
           slice_is(params_value(server->params, "client_encoding"), hub->encoding);
}

ProxyHub *proxy_hub_for(const ProxyServer *server)
{
    LIST_FOR_EACH (&server->worker->hubs, node) {
        ProxyHub *hub = CONTAINER_OF(node, ProxyHub, node);
        if (hub_is_for(hub, server)) {
            return hub;
        }
    }
    return NULL;
}

static ProxyHub *hub_new(ProxyServer *server)
{
    uint8_t random[16];
    char hex[2 * sizeof(random) + 1];
    ProxyHub *hub = mem_alloc(sizeof(*hub));
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    snprintf(hub->mark, sizeof(hub->mark), "weir:%s", hex);
    hub->worker = server->worker;
    hub->server = server;
    hub->pool = server->pool;
    hub->encoding = mem_printf("%.*s", SLICE_FMT(params_value(server->params, "client_encoding")));
    hub->channels = map_new();
    hub->idle_ms = loop_now_ms(server->worker->loop);
    list_init(&hub->ears);
    list_push_back(&server->worker->hubs, &hub->node);
    proxy_meter_add(server->pool->meter, STAT_HUBS, 1);
    return hub;
}

static void hub_free(ProxyHub *hub)
{
    size_t cursor = 0;
    Slice name;
    void *value;
    ASSERT(hub->ears.len == 0 && hub->server == NULL);
    loop_defer_cancel(&hub->sweep);
    while (map_next(hub->channels, &cursor, &name, &value)) {
        channel_free(value);
    }
    map_free(hub->channels);
    vec_done(&hub->requests);
    mem_free(hub->encoding);
    mem_free(hub);
}

ProxyHub *proxy_hub_adopt(ProxyServer *server)
{
    ProxyWorker *worker = server->worker;
    if (server->pool == NULL || server->retired || worker->draining || server->cancels > 0 ||
        !exchange_is_clean(&server->exchange) || !proxy_limits_hub_take(server->pool)) {
        return NULL;
    }
    ProxyHub *hub = hub_new(server);
    proxy_server_unlink(server);
    server->state = SERVER_LISTENING;
    server->hub = hub;
    hub_prepare(hub);
    return hub;
}

static ProxyEar *first_ear(const ProxyHub *hub)
{
    return CONTAINER_OF(list_first(&hub->ears), ProxyEar, node);
}

void proxy_hub_lost(ProxyServer *server)
{
    ProxyHub *hub = server->hub;
    if (hub == NULL) {
        return;
    }
    server->hub = NULL;
    hub->server = NULL;
    list_remove(&hub->worker->hubs, &hub->node);
    proxy_meter_add(hub->pool->meter, STAT_HUBS, -1);
    proxy_limits_hub_give(hub->pool);
    while (hub->ears.len > 0) {
        proxy_ear_hub_lost(first_ear(hub)); /* takes it out of the list */
    }
    hub_free(hub);
}

static void sweep(void *user)
{
    ProxyHub *hub = user;
    const ProxyServer *server = hub->server;
    unlisten_unused(hub);
    if (hub->ears.len == 0) {
        hub->idle_ms = loop_now_ms(hub->worker->loop);
        if (server->retired || hub->worker->draining) {
            proxy_server_retire(hub->server);
        }
    }
}

void proxy_hub_sweep_soon(ProxyHub *hub)
{
    loop_defer(hub->worker->loop, &hub->sweep, sweep, hub);
}

void proxy_hubs_trim(ProxyWorker *worker)
{
    int64_t now = loop_now_ms(worker->loop);
    for (ListNode *node = list_first(&worker->hubs); node != NULL;) {
        ProxyHub *hub = CONTAINER_OF(node, ProxyHub, node);
        node = list_next(&worker->hubs, node);
        bool ends = worker->draining || hub->server->retired || now - hub->idle_ms >= HUB_IDLE_MS;
        if (hub->ears.len == 0 && ends) {
            proxy_server_retire(hub->server);
        }
    }
}

/* ---- what PostgreSQL says ----------------------------------------------------------------------
 */

/* A mark names the client whose session has sent it. */
static void take_mark(const ProxyHub *hub, Slice payload)
{
    char text[32] = "";
    Slice rest = payload;
    Slice tag = slice_cut(&rest, '.');
    if (tag.len >= sizeof(text)) {
        return;
    }
    memcpy(text, tag.data, tag.len);
    PoolHandle handle = strtoull(text, NULL, 16);
    ProxyClient *client = pool_get(hub->worker->client_slots, handle);
    if (client != NULL && client->ear != NULL && client->ear->hub == hub &&
        client->session.listening != NULL &&
        listening_is_mark(client->session.listening, payload)) {
        proxy_ear_mark(client->ear);
    }
}

static bool take_notification(ProxyHub *hub, const PgPiece *piece)
{
    uint32_t pid;
    Slice name;
    Slice payload;
    if (!piece->last || !pg_get_notification(piece->body, &pid, &name, &payload)) {
        return false;
    }
    if (slice_is(name, hub->mark)) {
        take_mark(hub, payload);
        return true;
    }
    const HubChannel *channel = map_get(hub->channels, name);
    for (ListNode *node = channel != NULL ? list_first(&channel->subs) : NULL; node != NULL;) {
        HubSub *sub = CONTAINER_OF(node, HubSub, channel_node);
        node = list_next(&channel->subs, node);
        proxy_ear_hear(sub->ear, pid, piece->raw);
    }
    return true;
}

static void take_listened(ProxyHub *hub, HubChannel *channel)
{
    channel->listened = true;
    if (channel->subs.len == 0) {
        proxy_hub_sweep_soon(hub);
    }
    for (ListNode *node = list_first(&channel->subs); node != NULL;) {
        HubSub *sub = CONTAINER_OF(node, HubSub, channel_node);
        node = list_next(&channel->subs, node);
        proxy_ear_listened(sub->ear);
    }
}

/* Who came before that was asked for nothing but its own connection. */
static void take_marked(const ProxyHub *hub)
{
    for (ListNode *node = list_first(&hub->ears); node != NULL;) {
        ProxyEar *ear = CONTAINER_OF(node, ProxyEar, node);
        node = list_next(&hub->ears, node);
        proxy_ear_ready(ear);
    }
}

static bool take_ready(ProxyHub *hub)
{
    if (hub->requests_first == hub->requests.len) {
        return false;
    }
    HubRequest request = hub->requests.items[hub->requests_first++];
    if (hub->requests_first == hub->requests.len) {
        hub->requests_first = hub->requests.len = 0;
    }
    if (request.channel != NULL) {
        take_listened(hub, request.channel);
    }
    if (request.mark) {
        take_marked(hub);
    }
    return true;
}

/* Of what was asked for, LISTEN must not fail. */
static bool take_error(const ProxyHub *hub)
{
    bool asked = hub->requests_first < hub->requests.len;
    return hub->server->fatal ||
           (asked && hub->requests.items[hub->requests_first].channel == NULL);
}

bool proxy_hub_piece(ProxyServer *server, ProxyRun *run, const PgPiece *piece,
                     const char **ret_problem)
{
    Slice name;
    Slice value;
    run->at += piece->raw.len;
    run->sent = run->at;
    *ret_problem = "the server did not listen as it was asked to";
    if (!piece->first) {
        return true;
    }
    switch (piece->type) {
    case 'A':
        return take_notification(server->hub, piece);
    case 'Z':
        return take_ready(server->hub);
    case 'E':
        return take_error(server->hub);
    case 'S':
        return piece->last && pg_get_parameter(piece->body, &name, &value) &&
               proxy_server_set_param(server, name, value);
    default:
        return strchr("TDCN", piece->type) != NULL;
    }
}
