/*
 * A client's ear at a hub: see hub_priv.h. Which channels it has there, how it comes to it and
 * back, and what becomes of it when the hub is lost. What it hears is ear_hear.c's.
 */
#include <stdio.h>

#include "proxy/client/client_priv.h"
#include "proxy/listen/ear_parts_priv.h"
#include "proxy/server/server_priv.h"

static void news_again(void *user);
static void again(void *user);

static void sub_free(HubSub *sub)
{
    list_remove(&sub->ear->subs, &sub->ear_node);
    list_remove(&sub->channel->subs, &sub->channel_node);
    sub->ear->missing -= sub->channel->listened ? 0 : 1;
    mem_free(sub);
}

static void subs_clear(ProxyEar *ear)
{
    for (ListNode *node; (node = list_first(&ear->subs)) != NULL;) {
        sub_free(CONTAINER_OF(node, HubSub, ear_node));
    }
}

static bool sub_new(ProxyEar *ear, Slice name)
{
    HubChannel *channel = proxy_hub_channel(ear->hub, name);
    if (channel == NULL) {
        return false;
    }
    HubSub *sub = mem_alloc(sizeof(*sub));
    sub->channel = channel;
    sub->ear = ear;
    ear->missing += channel->listened ? 0 : 1;
    list_push_back(&ear->subs, &sub->ear_node);
    list_push_back(&channel->subs, &sub->channel_node);
    return true;
}

/* The same channels as the session has, in its order. */
static bool subs_fit(const ProxyEar *ear)
{
    Slice rest = buf_slice(&ear->client->session.listening->channels);
    LIST_FOR_EACH (&ear->subs, node) {
        const HubChannel *channel = CONTAINER_OF(node, HubSub, ear_node)->channel;
        if (rest.len == 0 ||
            !slice_eq(slice_cut(&rest, '\0'), (Slice){channel->name, channel->name_len})) {
            return false;
        }
    }
    return rest.len == 0;
}

/* False: the hub cannot listen to so many. The old ones go last, so that what stays is not asked
 * for anew. */
static bool subscribe(ProxyEar *ear)
{
    if (subs_fit(ear)) {
        return true;
    }
    List old = {0};
    list_init(&old);
    for (ListNode *node; (node = list_pop_front(&ear->subs)) != NULL;) {
        list_push_back(&old, node);
    }
    bool fits = true;
    Slice rest = buf_slice(&ear->client->session.listening->channels);
    while (rest.len > 0 && fits) {
        fits = sub_new(ear, slice_cut(&rest, '\0'));
    }
    for (ListNode *node; (node = list_pop_front(&old)) != NULL;) {
        list_push_back(&ear->subs, node);
        sub_free(CONTAINER_OF(node, HubSub, ear_node));
    }
    proxy_hub_sweep_soon(ear->hub);
    return fits;
}

static void ear_count(ProxyEar *ear)
{
    bool on = ear->state == EAR_ON;
    if (on != ear->counted) {
        ear->counted = on;
        proxy_meter_add(proxy_client_meter(ear->client), STAT_CLIENTS_LISTENING, on ? 1 : -1);
    }
}

void proxy_ear_set(ProxyEar *ear, EarState state)
{
    ear->state = state;
    ear_count(ear);
}

static ProxyEar *ear_of(ProxyClient *client)
{
    if (client->ear == NULL) {
        ProxyEar *ear = mem_alloc(sizeof(*ear));
        ear->client = client;
        list_init(&ear->subs);
        buf_init(&ear->queue, HUB_QUEUE_MAX);
        buf_init(&ear->later, HUB_QUEUE_MAX);
        client->ear = ear;
    }
    return client->ear;
}

static void leave_hub(ProxyEar *ear)
{
    subs_clear(ear);
    if (ear->hub != NULL) {
        list_remove(&ear->hub->ears, &ear->node);
        proxy_hub_sweep_soon(ear->hub);
        ear->hub = NULL;
    }
    proxy_ear_set(ear, EAR_DEAF);
}

static void enter_hub(ProxyEar *ear, ProxyHub *hub)
{
    if (ear->hub != hub) {
        leave_hub(ear);
        ear->hub = hub;
        list_push_back(&hub->ears, &ear->node);
    }
}

void proxy_ear_free(ProxyClient *client)
{
    ProxyEar *ear = client->ear;
    if (ear == NULL) {
        return;
    }
    leave_hub(ear);
    loop_timer_stop(&ear->timer);
    loop_defer_cancel(&ear->defer);
    buf_done(&ear->queue);
    buf_done(&ear->later);
    client->ear = NULL;
    mem_free(ear);
}

static void close_lost(void *user)
{
    ProxyEar *ear = user;
    proxy_client_fatal(ear->client, "57P01", "terminating connection due to administrator command",
                       "The connection by which the proxy listens was lost: notifications may have "
                       "been missed.");
}

void proxy_ear_close_soon(ProxyEar *ear, LoopFn *fn)
{
    if (!ear->closing) {
        ear->closing = true;
        loop_defer(ear->client->worker->loop, &ear->defer, fn, ear);
    }
}

/* The session's own connection becomes the hub. */
static bool adopt(ProxyEar *ear)
{
    ProxyClient *client = ear->client;
    char tag[20];
    ProxyHub *hub = proxy_hub_adopt(client->server);
    if (hub == NULL) {
        return false;
    }
    snprintf(tag, sizeof(tag), "%llx", (unsigned long long)client->handle);
    session_listen_give(&client->session, slice_of(hub->mark), slice_of(tag));
    enter_hub(ear, hub);
    ASSERT(subscribe(ear)); /* there is room in a new one */
    proxy_ear_set(ear, EAR_ON);
    proxy_client_unpinned(client);
    if (stream_paused(client->stream)) {
        proxy_client_resume(client);
    }
    proxy_client_drain(client);
    return true;
}

static void share(ProxyEar *ear)
{
    ProxyClient *client = ear->client;
    ProxyServer *server = client->server;
    char tag[20];
    SessionOut out;
    snprintf(tag, sizeof(tag), "%llx", (unsigned long long)client->handle);
    if (!subs_fit(ear)) { /* others were found while the hub was asked for those */
        proxy_ear_set(ear, EAR_DEAF);
        loop_timer_start(client->worker->loop, &ear->timer, HUB_REST_MS, 0, news_again, ear);
        return;
    }
    if (server == NULL || !session_listen_share(&client->session, &server->exchange,
                                                slice_of(ear->hub->mark), slice_of(tag), &out)) {
        proxy_ear_set(ear, EAR_DEAF); /* it will be found again */
        return;
    }
    proxy_ear_set(ear, EAR_SHARING);
    stream_write(server->stream, out.behind);
}

static void join(ProxyEar *ear)
{
    ProxyClient *client = ear->client;
    if (!client->worker->config->shared_listeners ||
        client->server->target != PROXY_TARGET_PRIMARY) {
        return; /* its own connection listens on, and is pinned by that */
    }
    ProxyHub *hub = proxy_hub_for(client->server);
    if (hub == NULL) {
        if (!adopt(ear)) {
            loop_timer_start(client->worker->loop, &ear->timer, HUB_RETRY_MS, 0, news_again, ear);
        }
        return;
    }
    enter_hub(ear, hub);
    proxy_ear_set(ear, EAR_JOINING);
    if (!subscribe(ear)) {
        leave_hub(ear);
        loop_timer_start(client->worker->loop, &ear->timer, HUB_RETRY_MS, 0, news_again, ear);
    } else if (ear->missing == 0) {
        share(ear);
    }
}

/* Its channels were found a while ago: are they still what is to be heard? */
static void news_again(void *user)
{
    ProxyEar *ear = user;
    ProxyClient *client = ear->client;
    ProxyServer *server = client->server;
    if (server == NULL || ear->state != EAR_DEAF || server->state != SERVER_LINKED ||
        server->retired) {
        return;
    }
    if (session_listen_is_found(&client->session, &server->exchange)) {
        join(ear);
    } else if (client->session.pinned_for_good) {
        leave_hub(ear);
    } else {
        server->exchange.releases = true; /* asked for at the next rest */
    }
}

void proxy_ear_listened(ProxyEar *ear)
{
    ear->missing--;
    if (ear->missing == 0 && ear->state == EAR_JOINING) {
        share(ear);
    }
}

static void found(ProxyClient *client)
{
    ProxyEar *ear = ear_of(client);
    bool wanted = client->worker->waiting.len > 0;
    loop_timer_start(client->worker->loop, &ear->timer, wanted ? 0 : HUB_REST_MS, 0, news_again,
                     ear);
}

void proxy_ear_news(ProxyClient *client, ListenNews news)
{
    switch (news) {
    case LISTEN_FOUND:
        found(client);
        break;
    case LISTEN_FAILED:
        proxy_ear_set(client->ear, EAR_DEAF);
        loop_timer_start(client->worker->loop, &client->ear->timer, HUB_RETRY_MS, 0, news_again,
                         client->ear);
        break;
    case LISTEN_GONE:
        proxy_ear_free(client);
        break;
    case LISTEN_BACK:
        if (client->ear->state == EAR_LOST) {
            proxy_ear_set(client->ear, EAR_DEAF);
        }
        break;
    case LISTEN_HANDED:
    case LISTEN_KEEP:
    case LISTEN_NO_NEWS:
    default:
        break;
    }
}

void proxy_ear_hub_lost(ProxyEar *ear)
{
    bool heard = ear->state == EAR_ON || ear->state == EAR_SHARING;
    subs_clear(ear);
    list_remove(&ear->hub->ears, &ear->node);
    ear->hub = NULL;
    proxy_ear_set(ear, EAR_DEAF);
    if (heard && ear->client->worker->config->keep_listening) {
        proxy_ear_set(ear, EAR_LOST);
        proxy_ear_pass(ear);
        loop_timer_start(ear->client->worker->loop, &ear->timer, HUB_REST_MS, 0, again, ear);
    } else if (heard) {
        proxy_ear_close_soon(ear, close_lost);
    } else {
        loop_timer_start(ear->client->worker->loop, &ear->timer, HUB_RETRY_MS, 0, news_again, ear);
    }
}

static bool needs_own(const ProxyEar *ear)
{
    const Listening *listening = ear->client->session.listening;
    return ear->state == EAR_LOST && listening != NULL && listening->state == LISTENING_SHARED;
}

/* A connection of its own, as if it had asked for something. */
static void again(void *user)
{
    ProxyEar *ear = user;
    ProxyClient *client = ear->client;
    if (ear->state != EAR_LOST || client->worker->draining) {
        return;
    }
    loop_timer_start(client->worker->loop, &ear->timer, HUB_RETRY_MS, 0, again, ear);
    if (needs_own(ear) && client->server == NULL && client->state == CLIENT_READY) {
        proxy_pool_borrow(client->pool, client);
    }
}

bool proxy_ear_survives(const ProxyClient *client)
{
    Asking asking = client->server->exchange.asking;
    return needs_own(client->ear) && (asking == ASKING_RETURN || asking == ASKING_UNMARK);
}

void proxy_ear_linked(ProxyEar *ear)
{
    ProxyClient *client = ear->client;
    SessionOut out;
    if (needs_own(ear)) {
        session_listen_anew(&client->session, &client->server->exchange, &out);
        stream_write(client->server->stream, out.behind);
    }
}
