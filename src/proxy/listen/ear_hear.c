/*
 * What an ear hears: at once while its client is between transactions, else behind what that waits
 * for; and the marks, at which somebody else begins to tell the client.
 */
#include "proxy/client/client_priv.h"
#include "proxy/listen/ear_parts_priv.h"
#include "proxy/server/server_priv.h"

static void close_slow(void *user)
{
    ProxyEar *ear = user;
    PgError error = {
        .severity = SLICE("FATAL"),
        .sqlstate = SLICE("53400"),
        .message = SLICE("terminating connection because the client does not read its "
                         "notifications"),
        .detail = SLICE("More than 1 MiB of notifications waits for it."),
        .hint = SLICE("Read the connection while it is idle, and keep transactions short.")};
    proxy_client_refuse(ear->client, &error);
}

/* Whether it is between transactions, with nothing on its way. */
static bool is_idle(const ProxyClient *client)
{
    const Session *session = &client->session;
    const Exchange *exchange = client->server != NULL ? &client->server->exchange : NULL;
    if (session->listening == NULL || session->listening->state != LISTENING_SHARED) {
        return false;
    }
    return exchange == NULL ||
           (exchange->status == 'I' && !exchange->open && !session->mid_message &&
            exchange->asking == ASKING_NOTHING && flight_is_empty(&exchange->flight));
}

static void deliver(ProxyEar *ear, Slice bytes, bool lasting)
{
    ProxyClient *client = ear->client;
    if (stream_pending(client->stream) + bytes.len > HUB_QUEUE_MAX) {
        proxy_ear_close_soon(ear, close_slow);
        return;
    }
    if (lasting) {
        stream_write_ref(client->stream, bytes);
    } else {
        stream_write(client->stream, bytes);
    }
    client->active_ms = loop_now_ms(client->worker->loop);
    proxy_meter_add(proxy_client_meter(client), STAT_BYTES_OUT, (int64_t)bytes.len);
}

static void put(ProxyEar *ear, Buf *queue, Slice bytes)
{
    if (ear->queue.len + ear->later.len + bytes.len > HUB_QUEUE_MAX) {
        proxy_ear_close_soon(ear, close_slow);
        return;
    }
    buf_append_slice(queue, bytes);
}

static void flush_queue(ProxyEar *ear, Buf *queue)
{
    if (queue->len > 0) {
        deliver(ear, buf_slice(queue), false);
        buf_done(queue);
        buf_init(queue, HUB_QUEUE_MAX);
    }
}

void proxy_ear_flush(ProxyEar *ear)
{
    flush_queue(ear, &ear->queue);
    flush_queue(ear, &ear->later);
}

/* The number of a server connection may be that of this client by chance. */
static void put_without_pid(ProxyEar *ear, Slice message)
{
    char copy[SESSION_HEAD_MAX];
    ASSERT(message.len <= sizeof(copy)); /* or it would not have come in one piece */
    memcpy(copy, message.data, message.len);
    memset(copy + PG_HEADER_SIZE, 0, sizeof(uint32_t));
    put(ear, &ear->queue, slice_from(copy, message.len));
}

void proxy_ear_hear(ProxyEar *ear, uint32_t pid, Slice message)
{
    if (ear->state != EAR_ON || ear->closing) {
        return;
    }
    bool idle = is_idle(ear->client);
    proxy_meter_add(proxy_client_meter(ear->client), STAT_NOTIFICATIONS, 1);
    if (pid == ear->client->session.pid) {
        put_without_pid(ear, message);
    } else if (idle && ear->queue.len == 0) {
        deliver(ear, message, true);
    } else {
        put(ear, &ear->queue, message);
    }
    if (idle) {
        proxy_ear_flush(ear);
    }
}

void proxy_ear_keep(ProxyClient *client, Slice message)
{
    put(client->ear, &client->ear->later, message);
}

bool proxy_ear_may_flush(const ProxyClient *client)
{
    const Listening *listening = client->session.listening;
    return client->ear->queue.len > 0 && listening != NULL &&
           listening->state == LISTENING_SHARED && client->ear->state == EAR_ON;
}

void proxy_ear_pass(ProxyEar *ear)
{
    ProxyClient *client = ear->client;
    session_listen_passed(&client->session);
    if (ear->state != EAR_ON) {
        proxy_ear_flush(ear);
    }
    client->wants_room = false;
    proxy_client_resume(client);
}

/* The hub has passed the mark: in front of it, and behind it, somebody else tells the client. */
void proxy_ear_mark(ProxyEar *ear)
{
    bool back = ear->state == EAR_ON;
    if (back || ear->state == EAR_SHARING) {
        proxy_ear_set(ear, back ? EAR_DEAF : EAR_ON);
        proxy_ear_pass(ear);
    }
}

/* Its client's own connection is the hub: no mark was sent before this. */
void proxy_ear_ready(ProxyEar *ear)
{
    if (ear->state == EAR_ON) {
        proxy_ear_pass(ear);
    }
}
