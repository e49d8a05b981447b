/*
 * Requests that visit other threads: one worker after the other, or the main thread. A request has
 * one owner at a time, the thread that it is posted to, and ends on the worker that it began on.
 * What is left of them when the process ends is freed by that worker.
 */
#include "proxy/admin/admin_priv.h"
#include "proxy/client/client_priv.h"

static AdminRequest *request_new(ProxyClient *client)
{
    AdminRequest *request = mem_alloc(sizeof(AdminRequest));
    request->home = client->worker;
    request->client = client->handle;
    list_push_back(&request->home->admin_requests, &request->node);
    return request;
}

static void lines_free(AdminRequest *request)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (request->lines != NULL && map_next(request->lines, &cursor, &key, &value)) {
        mem_free(value);
    }
    map_free(request->lines);
}

static void request_free(AdminRequest *request)
{
    list_remove(&request->home->admin_requests, &request->node);
    lines_free(request);
    admin_rows_done(&request->rows);
    mem_free(request);
}

void proxy_admin_requests_done(ProxyWorker *worker)
{
    for (ListNode *node; (node = list_first(&worker->admin_requests)) != NULL;) {
        request_free(CONTAINER_OF(node, AdminRequest, node));
    }
}

/* At home again. */
static void request_end(void *user)
{
    AdminRequest *request = user;
    ProxyClient *client = pool_get(request->home->client_slots, request->client);
    if (client != NULL) {
        admin_answered(client, request);
    }
    request_free(request);
}

static void gather_step(void *user)
{
    AdminRequest *request = user;
    Proxy *proxy = request->home->proxy;
    const AdminTable *table = request->rows.table;
    ProxyWorker *worker = &proxy->workers[request->visited];
    if (!table->gather(worker, request)) {
        loop_post(worker->loop, gather_step, request);
        return;
    }
    request->cursor = 0;
    request->visited++;
    if (request->visited < proxy->worker_count) {
        loop_post(proxy->workers[request->visited].loop, gather_step, request);
        return;
    }
    if (table->finish != NULL) {
        table->finish(request);
    }
    loop_post(request->home->loop, request_end, request);
}

void admin_gather_start(ProxyClient *client, const AdminTable *table, bool binary)
{
    AdminRequest *request = request_new(client);
    admin_rows_init(&request->rows, table, binary);
    loop_post(client->worker->proxy->workers[0].loop, gather_step, request);
}

/* ---- reload ------------------------------------------------------------------------------------
 */

static void reload_step(void *user)
{
    AdminRequest *request = user;
    Proxy *proxy = request->home->proxy;
    if (proxy->stopping) {
        err_set(&request->err, ERR_CONFLICT, "the proxy is stopping");
    } else if (!proxy->reload(proxy, &request->err)) {
        ASSERT(request->err.code != ERR_NONE);
    }
    loop_post(request->home->loop, request_end, request);
}

void admin_reload_start(ProxyClient *client)
{
    loop_post(client->worker->proxy->loop, reload_step, request_new(client));
}
