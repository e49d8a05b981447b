/* What only a worker's own thread can see: clients, server connections, and who waits in pools. */
#include "proxy/admin/admin_priv.h"
#include "proxy/client/cancel_priv.h"
#include "proxy/client/client_priv.h"
#include "proxy/listen/hub_priv.h"
#include "proxy/server/server_priv.h"

/* ---- what rows share ---------------------------------------------------------------------------
 */

static void put_addr(AdminRows *rows, bool known, const NetAddr *addr)
{
    char host[NET_ADDR_TEXT_SIZE] = "";
    if (known) {
        net_addr_host(addr, host);
    }
    admin_put_text(rows, known && host[0] == '\0' ? "unix" : host);
    admin_put_int(rows, known ? net_addr_port(addr) : 0);
}

static void put_stream(AdminRows *rows, const Stream *stream)
{
    NetAddr addr;
    bool known = stream_peer_addr(stream, &addr, NULL);
    put_addr(rows, known, &addr);
    known = stream_local_addr(stream, &addr, NULL);
    put_addr(rows, known, &addr);
}

static void put_tls(AdminRows *rows, const Stream *stream)
{
    const TlsSession *tls = stream_tls(stream);
    bool open = tls != NULL && tls_session_is_open(tls);
    admin_put_text(rows, open ? tls_session_version(tls) : "");
}

static int64_t wall_of(const ProxyWorker *worker, int64_t mono_ms)
{
    return time_wall_ms() - (loop_now_ms(worker->loop) - mono_ms);
}

/* Unique in the process, while it is there. */
static void put_ptr(AdminRows *rows, const ProxyWorker *worker, char kind, PoolHandle handle)
{
    admin_put_format(rows, "%c%u.%llx", kind, worker->index, (unsigned long long)handle);
}

static void put_application(AdminRows *rows, const ProxyPool *pool)
{
    Slice name = pool != NULL ? params_value(pool->params, "application_name") : (Slice){0};
    admin_put_slice(rows, name);
}

/* `client` may be NULL. */
static void put_replication(AdminRows *rows, const ProxyClient *client)
{
    bool logical = client != NULL && client->session.walsender;
    admin_put_text(rows, logical ? "logical" : "none");
}

/* ---- SHOW CLIENTS ------------------------------------------------------------------------------
 */

static const char *client_state(const ProxyClient *client)
{
    switch (client->state) {
    case CLIENT_WAITING:
    case CLIENT_WELCOME:
    case CLIENT_PARKED:
        return "waiting";
    case CLIENT_READY:
        return client->server != NULL ? "active" : "idle";
    case CLIENT_ADMIN:
    case CLIENT_SHARED:
        return "active";
    case CLIENT_CANCEL:
        return "active_cancel_req";
    case CLIENT_START:
    case CLIENT_AUTH:
    case CLIENT_DENIED:
    case CLIENT_RELAY_LOGIN:
    default:
        return "login";
    }
}

static void put_client(const ProxyWorker *worker, const ProxyClient *client, AdminRows *rows)
{
    const ProxyPool *pool = client->pool;
    bool admin = client->state == CLIENT_ADMIN;
    int64_t now_ms = loop_now_ms(worker->loop);
    int64_t connected_ms = (int64_t)client->connected_s * MS_PER_S;
    bool waits = client->wait_node.next != NULL;
    int64_t waited_ms = waits ? now_ms - client->wait_since_ms : 0;
    admin_put_text(rows, "C");
    admin_put_text(rows, pool != NULL ? pool->user : admin ? client->admin->user : "");
    admin_put_text(rows, pool != NULL ? pool->database
                         : admin      ? worker->config->admin_database
                                      : "");
    put_replication(rows, client);
    admin_put_text(rows, client_state(client));
    put_stream(rows, client->stream);
    admin_put_time(rows, wall_of(worker, connected_ms));
    admin_put_time(rows, wall_of(worker, client->active_ms > 0 ? client->active_ms : connected_ms));
    admin_put_int(rows, waited_ms / MS_PER_S);
    admin_put_int(rows, waited_ms % MS_PER_S * US_PER_MS);
    admin_put_int(rows, 0); /* close_needed */
    put_ptr(rows, worker, 'c', client->handle);
    if (client->server != NULL) {
        put_ptr(rows, worker, 's', client->server->handle);
    } else {
        admin_put_text(rows, "");
    }
    admin_put_int(rows, 0); /* remote_pid */
    put_tls(rows, client->stream);
    put_application(rows, pool);
    admin_put_int(rows, (int64_t)statement_names_len(&client->session.names));
    admin_put_int(rows, proxy_client_pid(client));
    admin_put_text(rows,
                   client->session.pin != PIN_NONE ? pin_reason_name(client->session.pin) : "");
    admin_put_int(rows, client->ear != NULL ? (int64_t)client->ear->subs.len : 0);
}

/* By slot, so that clients may come and go between two turns. */
static bool gather_clients(ProxyWorker *worker, AdminRequest *request)
{
    size_t end = request->cursor + ADMIN_GATHER_MAX;
    end = end < worker->client_handles.len ? end : worker->client_handles.len;
    for (; request->cursor < end; request->cursor++) {
        PoolHandle handle = worker->client_handles.items[request->cursor];
        const ProxyClient *client = pool_get(worker->client_slots, handle);
        if (client == NULL) {
            continue;
        }
        if (!admin_row_begin(&request->rows)) {
            return true;
        }
        put_client(worker, client, &request->rows);
        admin_row_end(&request->rows);
    }
    return request->cursor >= worker->client_handles.len;
}

/* ---- SHOW SERVERS ------------------------------------------------------------------------------
 */

static const char *server_state(const ProxyServer *server)
{
    switch (server->state) {
    case SERVER_IDLE:
        return "idle";
    case SERVER_LINKED:
    case SERVER_LINE:
        return "active";
    case SERVER_LISTENING:
        return "listening";
    case SERVER_PARKED:
        return "being_canceled";
    case SERVER_ORPHAN:
    case SERVER_LEARNING:
    case SERVER_WATCH:
        return "tested"; /* brought to rest, or asked: what its database hides, how far it is */
    case SERVER_DRAINING:
        return "closing";
    case SERVER_CONNECTING:
    case SERVER_LOGIN:
    case SERVER_INIT:
    case SERVER_RELAY_LOGIN:
    default:
        return "new";
    }
}

static int64_t server_used_ms(const ProxyServer *server)
{
    if (server->client != NULL) {
        return server->client->active_ms;
    }
    return server->idle_ms > 0 ? server->idle_ms : server->opened_ms;
}

static void put_server(const ProxyWorker *worker, const ProxyServer *server, AdminRows *rows)
{
    const ProxyPool *pool = server->pool;
    const ProxyClient *client = server->client;
    bool pinned = client != NULL && client->session.pin != PIN_NONE;
    admin_put_text(rows, "S");
    admin_put_text(rows, pool != NULL ? pool->user : server->user);
    admin_put_text(rows, pool != NULL ? pool->database : "");
    put_replication(rows, client);
    admin_put_text(rows, server_state(server));
    put_stream(rows, server->stream);
    admin_put_time(rows, wall_of(worker, server->opened_ms));
    admin_put_time(rows, wall_of(worker, server_used_ms(server)));
    admin_put_int(rows, 0); /* wait */
    admin_put_int(rows, 0); /* wait_us */
    admin_put_int(rows, server->retired || server->state == SERVER_DRAINING ? 1 : 0);
    put_ptr(rows, worker, 's', server->handle);
    if (client != NULL) {
        put_ptr(rows, worker, 'c', client->handle);
    } else {
        admin_put_text(rows, "");
    }
    admin_put_int(rows, server->pid);
    put_tls(rows, server->stream);
    put_application(rows, client != NULL ? client->pool : NULL);
    admin_put_int(rows, (int64_t)server->exchange.prepared.used.len);
    admin_put_int(rows, (int64_t)(worker->index << 27 | (uint32_t)server->handle));
    admin_put_text(rows, pinned ? pin_reason_name(client->session.pin) : "");
    admin_put_int(rows, server->hub != NULL ? (int64_t)map_len(server->hub->channels) : 0);
    admin_put_text(rows, server->place.id);
}

static bool gather_servers(ProxyWorker *worker, AdminRequest *request)
{
    LIST_FOR_EACH (&worker->servers, node) {
        const ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (!admin_row_begin(&request->rows)) {
            return true;
        }
        put_server(worker, server, &request->rows);
        admin_row_end(&request->rows);
    }
    return true;
}

/* ---- SHOW POOLS --------------------------------------------------------------------------------
 */

/* Of a user and database, on all workers. */
typedef struct PoolLine {
    const ProxyMeter *meter; /* for its names: the first worker's that has it */
    int64_t clients, waiting, pinned;
    int64_t active, canceled, idle, tested, login;
    int64_t waited_ms;
} PoolLine;

static PoolLine *line_of(AdminRequest *request, const ProxyPool *pool)
{
    Buf key;
    buf_init(&key, BUF_MAX_DEFAULT);
    pg_put_str(&key, slice_of(pool->meter->database));
    pg_put_str(&key, slice_of(pool->meter->user));
    PoolLine *line = map_get(request->lines, buf_slice(&key));
    if (line == NULL) {
        line = mem_alloc(sizeof(PoolLine));
        line->meter = pool->meter;
        map_set(request->lines, buf_slice(&key), line);
    }
    buf_done(&key);
    return line;
}

static void line_add_pool(PoolLine *line, const ProxyPool *pool, int64_t now_ms)
{
    ListNode *node = list_first(&pool->waiters);
    line->clients += (int64_t)pool->clients;
    line->waiting += (int64_t)pool->waiters.len;
    if (node != NULL) {
        int64_t waited_ms = now_ms - CONTAINER_OF(node, ProxyClient, wait_node)->wait_since_ms;
        line->waited_ms = waited_ms > line->waited_ms ? waited_ms : line->waited_ms;
    }
}

static void line_add_server(PoolLine *line, const ProxyServer *server)
{
    switch (server->state) {
    case SERVER_IDLE:
        line->idle++;
        break;
    case SERVER_LINE:
    case SERVER_LISTENING:
    case SERVER_LINKED:
        line->active++;
        line->pinned += server->client != NULL && server->client->session.pin != PIN_NONE ? 1 : 0;
        break;
    case SERVER_PARKED:
        line->canceled++;
        break;
    case SERVER_ORPHAN:
    case SERVER_LEARNING:
    case SERVER_WATCH:
        line->tested++;
        break;
    case SERVER_CONNECTING:
    case SERVER_LOGIN:
    case SERVER_INIT:
    case SERVER_RELAY_LOGIN:
        line->login++;
        break;
    case SERVER_DRAINING:
    default:
        break;
    }
}

static bool gather_pools(ProxyWorker *worker, AdminRequest *request)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    request->lines = request->lines != NULL ? request->lines : map_new();
    while (map_next(worker->pools, &cursor, &key, &value)) {
        const ProxyPool *home = value;
        PoolLine *line = line_of(request, home);
        line_add_pool(line, home, loop_now_ms(worker->loop));
        for (size_t i = 0; i < PROXY_REPLICAS_MAX && home->replica_count > 0; i++) {
            if (home->replicas[i] != NULL) {
                line_add_pool(line, home->replicas[i], loop_now_ms(worker->loop));
            }
        }
    }
    LIST_FOR_EACH (&worker->servers, node) {
        const ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (server->pool != NULL) {
            line_add_server(line_of(request, server->pool), server);
        }
    }
    return true;
}

static void put_line(const PoolLine *line, AdminRows *rows)
{
    admin_put_text(rows, line->meter->database);
    admin_put_text(rows, line->meter->user);
    admin_put_int(rows, line->clients - line->waiting);
    admin_put_int(rows, line->waiting);
    admin_put_int(rows, 0); /* cl_active_cancel_req: a cancel's client is in no pool */
    admin_put_int(rows, 0); /* cl_waiting_cancel_req */
    admin_put_int(rows, line->active);
    admin_put_int(rows, 0); /* sv_active_cancel: nor is its server connection */
    admin_put_int(rows, line->canceled);
    admin_put_int(rows, line->idle);
    admin_put_int(rows, 0); /* sv_used */
    admin_put_int(rows, line->tested);
    admin_put_int(rows, line->login);
    admin_put_int(rows, line->waited_ms / MS_PER_S);
    admin_put_int(rows, line->waited_ms % MS_PER_S * US_PER_MS);
    admin_put_text(rows, "transaction");
    admin_put_null(rows); /* load_balance_hosts */
    admin_put_int(rows, line->pinned);
}

static void finish_pools(AdminRequest *request)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(request->lines, &cursor, &key, &value)) {
        if (admin_row_begin(&request->rows)) {
            put_line(value, &request->rows);
            admin_row_end(&request->rows);
        }
    }
}

/* ---- the tables --------------------------------------------------------------------------------
 */

/* Of clients and server connections; server connections have one more. */
#define CONNECTION_COLUMNS                                                                         \
    {"type", ADMIN_TEXT}, {"user", ADMIN_TEXT}, {"database", ADMIN_TEXT},                          \
        {"replication", ADMIN_TEXT}, {"state", ADMIN_TEXT}, {"addr", ADMIN_TEXT},                  \
        {"port", ADMIN_INT4}, {"local_addr", ADMIN_TEXT}, {"local_port", ADMIN_INT4},              \
        {"connect_time", ADMIN_TEXT}, {"request_time", ADMIN_TEXT}, {"wait", ADMIN_INT4},          \
        {"wait_us", ADMIN_INT4}, {"close_needed", ADMIN_INT4}, {"ptr", ADMIN_TEXT},                \
        {"link", ADMIN_TEXT}, {"remote_pid", ADMIN_INT4}, {"tls", ADMIN_TEXT},                     \
        {"application_name", ADMIN_TEXT}, {"prepared_statements", ADMIN_INT4}, {"id", ADMIN_INT8}, \
        {"pinned", ADMIN_TEXT},                                                                    \
    {                                                                                              \
        "listens", ADMIN_INT4                                                                      \
    }
static const AdminColumn client_columns[] = {CONNECTION_COLUMNS};
static const AdminColumn server_columns[] = {CONNECTION_COLUMNS, {"target", ADMIN_TEXT}};
static const AdminColumn pool_columns[] = {{"database", ADMIN_TEXT},
                                           {"user", ADMIN_TEXT},
                                           {"cl_active", ADMIN_INT4},
                                           {"cl_waiting", ADMIN_INT4},
                                           {"cl_active_cancel_req", ADMIN_INT4},
                                           {"cl_waiting_cancel_req", ADMIN_INT4},
                                           {"sv_active", ADMIN_INT4},
                                           {"sv_active_cancel", ADMIN_INT4},
                                           {"sv_being_canceled", ADMIN_INT4},
                                           {"sv_idle", ADMIN_INT4},
                                           {"sv_used", ADMIN_INT4},
                                           {"sv_tested", ADMIN_INT4},
                                           {"sv_login", ADMIN_INT4},
                                           {"maxwait", ADMIN_INT4},
                                           {"maxwait_us", ADMIN_INT4},
                                           {"pool_mode", ADMIN_TEXT},
                                           {"load_balance_hosts", ADMIN_TEXT},
                                           {"sv_pinned", ADMIN_INT4}};

#define COLUMNS(x) .columns = (x), .column_count = ARRAY_LEN(x)

const AdminTable admin_gather_tables[] = {
    {"pools", COLUMNS(pool_columns), .gather = gather_pools, .finish = finish_pools},
    {"clients", COLUMNS(client_columns), .gather = gather_clients},
    {"servers", COLUMNS(server_columns), .gather = gather_servers},
};
const size_t admin_gather_table_count = ARRAY_LEN(admin_gather_tables);
