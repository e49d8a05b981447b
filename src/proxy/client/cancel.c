/*
 * Cancel requests. The pid of the key names the generation of the process (docs/upgrade.md), the
 * worker and the slot of the client; the request travels there, and from there to PostgreSQL over a
 * connection of its own, with the key of the server connection that the client has at that moment.
 * Until PostgreSQL has closed that connection, the server connection goes to nobody else: the
 * signal would hit the wrong query. The requester's connection is closed last, so that whoever
 * waits for that knows that the request was delivered.
 */
#include "proxy/client/cancel_priv.h"
#include "proxy/client/client_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/split/split_priv.h"

#define CANCEL_MS 5000

_Static_assert(PROXY_CLIENTS_MAX < 1 << CANCEL_SLOT_BITS, "slots fit");
_Static_assert(PROXY_WORKERS_MAX <= 1 << (31 - CANCEL_SLOT_BITS - CANCEL_GENERATION_BITS),
               "workers fit, and a pid is positive");

typedef struct Cancel {
    ProxyWorker *origin;  /* NULL: it came from another process, which is told by `done` */
    ProxyWorker *target;  /* NULL: it goes to another process */
    PoolHandle requester; /* on origin */
    PeersCancelledFn *done;
    void *user;
    PoolHandle server; /* on target */
    bool tls_asked;    /* and not yet answered */
    uint32_t pid;
    char key[CANCEL_KEY_SIZE];
    Stream *stream;
    LoopTimer timer;
    Buf packet;
} Cancel;

static uint32_t bits_of(uint32_t pid, unsigned from, unsigned count)
{
    return pid >> from & (((uint32_t)1 << count) - 1);
}

uint32_t proxy_client_pid(const ProxyClient *client)
{
    const ProxyWorker *worker = client->worker;
    return worker->index << (CANCEL_SLOT_BITS + CANCEL_GENERATION_BITS) |
           worker->proxy->generation << CANCEL_SLOT_BITS | (uint32_t)client->handle;
}

/* Back on the main thread. */
static void cancel_tell(void *user)
{
    Cancel *cancel = user;
    cancel->done(cancel->user);
    mem_free(cancel);
}

/* Back on the requester's worker. */
static void cancel_close_requester(void *user)
{
    Cancel *cancel = user;
    ProxyClient *client = pool_get(cancel->origin->client_slots, cancel->requester);
    if (client != NULL) {
        proxy_client_close(client);
    }
    mem_free(cancel);
}

/* NULL: it is gone, and there is nothing to cancel any more. */
static ProxyServer *cancel_server(const Cancel *cancel)
{
    return pool_get(cancel->target->server_slots, cancel->server);
}

static void cancel_finish(Cancel *cancel)
{
    ProxyServer *server = cancel_server(cancel);
    loop_timer_stop(&cancel->timer);
    buf_done(&cancel->packet);
    if (server != NULL) {
        proxy_server_cancel_done(server);
    }
    if (cancel->origin != NULL) {
        loop_post(cancel->origin->loop, cancel_close_requester, cancel);
    } else {
        loop_post(cancel->target->proxy->loop, cancel_tell, cancel);
    }
}

static void cancel_give_up(Cancel *cancel)
{
    stream_abort(cancel->stream);
    cancel_finish(cancel);
}

static void cancel_on_open(void *user, Stream *stream)
{
    Cancel *cancel = user;
    const ProxyServer *server = cancel_server(cancel);
    if (server == NULL) {
        cancel_give_up(cancel);
        return;
    }
    cancel->tls_asked = proxy_place_tls_ask(&server->place, stream);
    if (!cancel->tls_asked) {
        stream_write(stream, buf_slice(&cancel->packet));
    }
}

static size_t cancel_on_read(void *user, Stream *stream, Slice data)
{
    Cancel *cancel = user;
    if (!cancel->tls_asked) {
        return data.len; /* PostgreSQL does not answer a cancel request */
    }
    const ProxyServer *server = cancel_server(cancel);
    cancel->tls_asked = false;
    if (server != NULL && proxy_place_tls_begin(&server->place, stream, data, NULL)) {
        return 1;
    }
    cancel_give_up(cancel);
    return data.len;
}

static void cancel_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    cancel_finish(user);
}

static const StreamHandlers cancel_handlers = {
    .on_open = cancel_on_open, .on_read = cancel_on_read, .on_closed = cancel_on_closed};

static void cancel_late(void *user)
{
    cancel_give_up(user);
}

/* NULL: the key is wrong. */
static ProxyClient *cancel_client(const Cancel *cancel)
{
    const ProxyWorker *worker = cancel->target;
    uint32_t slot = bits_of(cancel->pid, 0, CANCEL_SLOT_BITS);
    if (slot == 0 || slot > worker->client_handles.len) {
        return NULL;
    }
    ProxyClient *client = pool_get(worker->client_slots, worker->client_handles.items[slot - 1]);
    if (client == NULL || client->cancel_key == 0 ||
        !crypto_equal(&client->cancel_key, cancel->key, CANCEL_KEY_SIZE)) {
        return NULL;
    }
    return client;
}

/* The server connection that the request is about; NULL: there is nothing to cancel. */
static ProxyServer *cancel_find(const ProxyClient *client)
{
    ProxyServer *server = client != NULL ? client->server : NULL;
    bool busy = server != NULL && server->state == SERVER_LINKED && server->key_len > 0 &&
                server->cancels < PROXY_CANCELS_MAX && session_waits(&server->exchange);
    return busy ? server : NULL;
}

/* On the client's worker. */
static void cancel_deliver(void *user)
{
    Cancel *cancel = user;
    ProxyWorker *worker = cancel->target;
    ProxyClient *client = cancel_client(cancel);
    if (client != NULL && client->line != NULL) {
        proxy_worker_count(worker, STAT_CANCELS, 1);
        proxy_line_cancel(client); /* nothing is sent: it would hit another's request */
    }
    ProxyServer *server = cancel_find(client);
    if (server == NULL) {
        cancel_finish(cancel);
        return;
    }
    proxy_worker_count(worker, STAT_CANCELS, 1);
    cancel->server = server->handle;
    server->cancels++;
    session_gate_cancel(&server->exchange, false);
    server->keeps = KEEPS_NOTHING;
    if (client->split != NULL) {
        client->split->cancelled = true;
    }
    buf_init(&cancel->packet, BUF_MAX_DEFAULT);
    pg_put_cancel(&cancel->packet, server->pid, slice_from(server->key, server->key_len));
    StreamOptions options = {.handlers = &cancel_handlers, .user = cancel};
    cancel->stream = stream_connect(worker->loop, &server->place.addr, &options);
    loop_timer_start(worker->loop, &cancel->timer, CANCEL_MS, 0, cancel_late, cancel);
}

/* NULL: there is no such worker. */
static ProxyWorker *worker_of(const Proxy *proxy, uint32_t pid)
{
    uint32_t index = pid >> (CANCEL_SLOT_BITS + CANCEL_GENERATION_BITS);
    return index < proxy->worker_count ? &proxy->workers[index] : NULL;
}

void proxy_cancel_local(Proxy *proxy, uint32_t pid, Slice key, PeersCancelledFn *done, void *user)
{
    ProxyWorker *target = worker_of(proxy, pid);
    if (target == NULL || key.len != CANCEL_KEY_SIZE) {
        done(user);
        return;
    }
    Cancel *cancel = mem_alloc(sizeof(Cancel));
    cancel->target = target;
    cancel->pid = pid;
    cancel->done = done;
    cancel->user = user;
    memcpy(cancel->key, key.data, CANCEL_KEY_SIZE);
    loop_post(target->loop, cancel_deliver, cancel);
}

/* The other process has delivered it, or nobody will. */
static void elsewhere_done(void *user)
{
    Cancel *cancel = user;
    loop_post(cancel->origin->loop, cancel_close_requester, cancel);
}

/* On the main thread. */
static void send_elsewhere(void *user)
{
    Cancel *cancel = user;
    uint32_t generation = bits_of(cancel->pid, CANCEL_SLOT_BITS, CANCEL_GENERATION_BITS);
    peers_cancel(&cancel->origin->proxy->peers, generation, cancel->pid,
                 slice_from(cancel->key, CANCEL_KEY_SIZE), elsewhere_done, cancel);
}

/* ---- the requester
 * ------------------------------------------------------------------------------- */

static size_t requester_on_read(void *user, Stream *stream, Slice data)
{
    (void)user;
    (void)stream;
    return data.len;
}

static void requester_on_closed(void *user, Stream *stream, const Err *err)
{
    (void)stream;
    (void)err;
    proxy_client_gone(user);
}

static const StreamHandlers requester_handlers = {.on_read = requester_on_read,
                                                  .on_closed = requester_on_closed};

void proxy_cancel_request(ProxyClient *client, uint32_t pid, Slice key)
{
    Proxy *proxy = client->worker->proxy;
    bool here = bits_of(pid, CANCEL_SLOT_BITS, CANCEL_GENERATION_BITS) == proxy->generation;
    ProxyWorker *target = here ? worker_of(proxy, pid) : NULL;
    if ((here && target == NULL) || key.len != CANCEL_KEY_SIZE) {
        proxy_client_close(client);
        return;
    }
    Cancel *cancel = mem_alloc(sizeof(Cancel));
    cancel->origin = client->worker;
    cancel->target = target;
    cancel->requester = client->handle;
    cancel->pid = pid;
    memcpy(cancel->key, key.data, CANCEL_KEY_SIZE);
    client->state = CLIENT_CANCEL;
    stream_set_handlers(client->stream, &requester_handlers, client);
    if (here) {
        loop_post(target->loop, cancel_deliver, cancel);
    } else {
        loop_post(proxy->loop, send_elsewhere, cancel);
    }
}
