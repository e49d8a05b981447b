/*
 * Leaving: clients are served to their end, but what counts for a limit is the serving process's to
 * give. A worker tells the main thread what has become more or less, and asks there; the main
 * thread speaks with the serving process. Between the two a place is counted by the serving one.
 */
#include "proxy/peers_priv.h"
#include "proxy/proxy_priv.h"

#define AT_NONE "" /* the target of clients */

/* ---- what is held ------------------------------------------------------------------------------
 */

static Held *held_of(Peers *peers, const char *user, const char *database, const char *at)
{
    LIST_FOR_EACH (&peers->held, node) {
        Held *held = CONTAINER_OF(node, Held, node);
        if (strcmp(held->user, user) == 0 && strcmp(held->database, database) == 0 &&
            strcmp(held->at, at) == 0) {
            return held;
        }
    }
    Held *held = mem_alloc(sizeof(Held));
    held->user = mem_strdup(user);
    held->database = mem_strdup(database);
    held->at = mem_strdup(at);
    list_push_back(&peers->held, &held->node);
    return held;
}

static void held_free(Peers *peers, Held *held)
{
    list_remove(&peers->held, &held->node);
    mem_free(held->user);
    mem_free(held->database);
    mem_free(held->at);
    mem_free(held);
}

static const char *server_user(const ProxyServer *server)
{
    return server->pool != NULL ? server->pool->user : server->user;
}

static const char *server_database(const ProxyServer *server)
{
    return server->pool != NULL ? server->pool->database : PROXY_PROBE_DATABASE;
}

void leaving_count(Peers *peers, const ProxyWorker *worker)
{
    LIST_FOR_EACH (&worker->servers, node) {
        const ProxyServer *server = CONTAINER_OF(node, ProxyServer, node);
        if (server->budgeted) {
            held_of(peers, server_user(server), server_database(server), server->at)->servers++;
        }
    }
    LIST_FOR_EACH (&worker->clients, node) {
        const ProxyClient *client = CONTAINER_OF(node, ProxyClient, node);
        peers->held_clients++;
        if (client->pool != NULL) {
            held_of(peers, client->pool->user, client->pool->database, AT_NONE)->clients++;
        }
    }
}

static json_t *piece_new(uint32_t generation, int64_t clients, json_t *places)
{
    return json_pack("{s:I, s:I, s:o}", "of", (json_int_t)generation, "clients",
                     (json_int_t)clients, "places", places);
}

static json_t *place_json(const Held *held, int64_t servers, int64_t clients, size_t *bytes)
{
    return peers_place(held->user, held->database, held->at, servers, clients, bytes);
}

/* All of it; what is told later is in addition to this. */
void leaving_put_books(Peers *peers, json_t *books)
{
    uint32_t generation = succession_generation(peers->proxy->succession);
    json_t *places = json_array();
    int64_t clients = peers->held_clients;
    size_t bytes = 0;
    peers->told_clients = clients;
    LIST_FOR_EACH (&peers->held, node) {
        Held *held = CONTAINER_OF(node, Held, node);
        held->told_servers = held->servers;
        held->told_clients = held->clients;
        json_array_append_new(places, place_json(held, held->servers, held->clients, &bytes));
        if (bytes > SUCCESSION_BOOK_BYTES) {
            json_array_append_new(books, piece_new(generation, clients, places));
            clients = 0;
            bytes = 0;
            places = json_array();
        }
    }
    json_array_append_new(books, piece_new(generation, clients, places));
}

static void flush_send(Peers *peers, json_t *places)
{
    succession_send(peers->up, json_pack("{s:o, s:I}", "places", places, "clients",
                                         (json_int_t)(peers->held_clients - peers->told_clients)));
    peers->told_clients = peers->held_clients;
}

/* What has changed since it was told last. */
static void flush(void *user)
{
    Peers *peers = user;
    json_t *places = json_array();
    size_t bytes = 0;
    if (peers->up == NULL) {
        json_decref(places);
        return; /* the next serving process gets all of it */
    }
    for (ListNode *node = list_first(&peers->held), *next; node != NULL; node = next) {
        Held *held = CONTAINER_OF(node, Held, node);
        next = list_next(&peers->held, node);
        int64_t servers = held->servers - held->told_servers;
        int64_t clients = held->clients - held->told_clients;
        if (servers != 0 || clients != 0) {
            json_array_append_new(places, place_json(held, servers, clients, &bytes));
        }
        held->told_servers = held->servers;
        held->told_clients = held->clients;
        if (held->servers == 0 && held->clients == 0) {
            held_free(peers, held);
        }
        if (bytes > SUCCESSION_BOOK_BYTES) {
            flush_send(peers, places);
            places = json_array();
            bytes = 0;
        }
    }
    if (json_array_size(places) > 0 || peers->held_clients != peers->told_clients) {
        flush_send(peers, places);
    } else {
        json_decref(places);
    }
}

static void flush_soon(Peers *peers)
{
    loop_defer(peers->proxy->loop, &peers->flush, flush, peers);
}

typedef struct Change {
    Proxy *proxy;
    char *user, *database, *at; /* NULL: of nobody's yet */
    int servers, clients, accepted;
} Change;

static void change_take(void *user)
{
    Change *change = user;
    Peers *peers = &change->proxy->peers;
    if (peers->leaving) { /* or it has come back to serving meanwhile, and counts as ever */
        peers->held_clients += change->accepted;
        if (change->user != NULL) {
            Held *held = held_of(peers, change->user, change->database, change->at);
            held->servers += change->servers;
            held->clients += change->clients;
        }
        flush_soon(peers);
    }
    mem_free(change->user);
    mem_free(change->database);
    mem_free(change->at);
    mem_free(change);
}

/* Of a user, a database and a target; or of nobody. */
static void change_post(ProxyWorker *worker, const char *user, const char *database, const char *at,
                        const Change *what)
{
    Change *change = mem_alloc(sizeof(Change));
    *change = *what;
    change->proxy = worker->proxy;
    if (user != NULL) {
        change->user = mem_strdup(user);
        change->database = mem_strdup(database);
        change->at = mem_strdup(at);
    }
    loop_post(worker->proxy->loop, change_take, change);
}

void leaving_clients_change(ProxyWorker *worker, const ProxyPool *pool, int clients, int accepted)
{
    const Change change = {.clients = clients, .accepted = accepted};
    change_post(worker, pool != NULL ? pool->user : NULL, pool != NULL ? pool->database : NULL,
                AT_NONE, &change);
}

void leaving_server_gone(const ProxyServer *server)
{
    const Change change = {.servers = -1};
    change_post(server->worker, server_user(server), server_database(server), server->at, &change);
}

void leaving_give_back(ProxyWorker *worker, const LeavingAsk *ask)
{
    const Change change = {.servers = ask->kind == ASK_SERVER ? -1 : 0,
                           .clients = ask->kind == ASK_CLIENT ? -1 : 0};
    change_post(worker, ask->user, ask->database, ask->at, &change);
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static void ask_free(LeavingAsk *ask)
{
    mem_free(ask->user);
    mem_free(ask->database);
    mem_free(ask->at);
    mem_free(ask);
}

/* The worker has taken the answer. */
static void ask_over(void *user)
{
    LeavingAsk *ask = user;
    list_remove(&ask->worker->proxy->peers.asks, &ask->node);
    ask_free(ask);
}

/* What it knows of targets is newer or older than ours: soon both are the same. */
static void target_unknown(ProxySide *side, int64_t now_ms)
{
    err_set(&side->problem, ERR_UNAVAILABLE,
            "the process that serves now has no target at this address");
    side->retry_at_ms = now_ms + PROXY_RETRY_MAX_MS;
}

/* To be asked again where it still waits. */
static void server_answered(ProxyWorker *worker, const LeavingAsk *ask)
{
    ProxyPool *pool = ask->pool;
    pool->ask = NULL;
    if (ask->unknown) {
        target_unknown(&worker->sides[pool->target], loop_now_ms(worker->loop));
    }
    if (!ask->granted || !worker->apart) {
        proxy_worker_pump_soon(worker);
    } else if (!proxy_pool_granted(pool)) {
        leaving_give_back(worker, ask);
    }
}

static void ask_answered(void *user)
{
    LeavingAsk *ask = user;
    ProxyWorker *worker = ask->worker;
    if (ask->kind == ASK_CLIENT) {
        proxy_auth_entered(worker, ask);
    } else if (ask->pool != NULL) {
        server_answered(worker, ask);
    } else if (ask->granted) {
        leaving_give_back(worker, ask);
    }
    loop_post(worker->proxy->loop, ask_over, ask);
}

static void ask_answer(LeavingAsk *ask, bool granted, QuotaKind full)
{
    ask->answered = true;
    ask->granted = granted;
    ask->full = full;
    loop_post(ask->worker->loop, ask_answered, ask);
}

static void ask_send(Peers *peers, const LeavingAsk *ask)
{
    const char *kind = ask->kind == ASK_SERVER ? "ask" : "enter";
    if (peers->up != NULL) {
        succession_send(peers->up,
                        json_pack("{s:I, s:o, s:o, s:o, s:I}", kind, (json_int_t)ask->id, "user",
                                  peers_name(ask->user), "database", peers_name(ask->database),
                                  "target", peers_name(ask->at), "since",
                                  (json_int_t)ask->since_ms));
    }
}

static void ask_take(void *user)
{
    LeavingAsk *ask = user;
    Peers *peers = &ask->worker->proxy->peers;
    ask->id = ++peers->next_id;
    list_push_back(&peers->asks, &ask->node);
    if (!peers->leaving) {
        ask_answer(ask, false, QUOTA_KINDS);
    } else {
        ask_send(peers, ask);
    }
}

static void ask_new(ProxyWorker *worker, LeavingAskKind kind, ProxyPool *pool, ProxyClient *client)
{
    LeavingAsk *ask = mem_alloc(sizeof(LeavingAsk));
    ask->kind = kind;
    ask->worker = worker;
    ask->user = mem_strdup(pool->user);
    ask->database = mem_strdup(pool->database);
    if (kind == ASK_SERVER) {
        ask->at = mem_strdup(proxy_config_target(worker->config, pool->target)->at);
        ask->pool = pool;
        ask->since_ms = proxy_pool_waits_since(pool);
        pool->ask = ask;
    } else {
        ask->at = mem_strdup(AT_NONE);
        ask->client = client->handle;
    }
    loop_post(worker->proxy->loop, ask_take, ask);
}

void leaving_ask_server(ProxyPool *pool)
{
    ask_new(pool->worker, ASK_SERVER, pool, NULL);
}

void leaving_ask_client(ProxyClient *client, ProxyPool *pool)
{
    ask_new(client->worker, ASK_CLIENT, pool, client);
}

void leaving_pool_gone(ProxyPool *pool)
{
    if (pool->ask != NULL) {
        pool->ask->pool = NULL;
        pool->ask = NULL;
    }
}

void leaving_target_changed(ProxyWorker *worker, size_t target)
{
    size_t cursor = 0;
    Slice key;
    void *value;
    while (map_next(worker->pools, &cursor, &key, &value)) {
        ProxyPool *home = value;
        ProxyPool *pool = target == PROXY_TARGET_PRIMARY ? home : home->replicas[target - 1];
        if (pool != NULL) {
            leaving_pool_gone(pool);
        }
    }
}

static LeavingAsk *ask_of(Peers *peers, const json_t *id)
{
    LIST_FOR_EACH (&peers->asks, node) {
        LeavingAsk *ask = CONTAINER_OF(node, LeavingAsk, node);
        if (ask->id == json_integer_value(id) && !ask->answered) {
            return ask;
        }
    }
    return NULL;
}

/* Where it is granted, the serving process has counted it. */
static void take_answer(Peers *peers, const json_t *id, bool granted, QuotaKind full)
{
    LeavingAsk *ask = ask_of(peers, id);
    if (ask == NULL) {
        return;
    }
    if (granted) {
        Held *held = held_of(peers, ask->user, ask->database, ask->at);
        int64_t servers = ask->kind == ASK_SERVER ? 1 : 0;
        held->servers += servers;
        held->told_servers += servers;
        held->clients += 1 - servers;
        held->told_clients += 1 - servers;
    }
    ask_answer(ask, granted, full);
}

/* ---- who waits elsewhere -----------------------------------------------------------------------
 */

static void waited_clear(Peers *peers)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        atomic_store(&peers->wait_ms[i], 0);
    }
    for (size_t i = 0; i < peers->waited.len; i++) {
        Quota *quota = peers->waited.items[i];
        atomic_store(&quota->sides[QUOTA_OTHERS].oldest_wait_ms, 0);
        quota_unref(quota);
    }
    peers->waited.len = 0;
}

static void take_quota_waits(Peers *peers, QuotaKind kind, const json_t *waits)
{
    size_t i;
    json_t *item;
    json_array_foreach (waits, i, item) {
        CLEANUP(mem_free_ptr) char *name = peers_name_read(json_array_get(item, 0));
        if (name != NULL && peers->waited.len < 2 * PEERS_WAITS_MAX) {
            Quota *quota = quotas_get(&peers->proxy->quotas, kind, slice_of(name));
            atomic_store(&quota->sides[QUOTA_OTHERS].oldest_wait_ms,
                         json_integer_value(json_array_get(item, 1)));
            vec_push(&peers->waited, quota);
        }
    }
}

static void take_budget_waits(Peers *peers, const json_t *waits)
{
    size_t i;
    json_t *item;
    json_array_foreach (waits, i, item) {
        CLEANUP(mem_free_ptr) char *at = peers_name_read(json_array_get(item, 0));
        size_t target =
            at != NULL ? proxy_config_target_at(peers->proxy->config, at) : PROXY_TARGETS_MAX;
        if (target < PROXY_TARGETS_MAX) {
            atomic_store(&peers->wait_ms[target], json_integer_value(json_array_get(item, 1)));
        }
    }
}

static void take_waits(Peers *peers, const json_t *waits)
{
    waited_clear(peers);
    take_budget_waits(peers, json_object_get(waits, "targets"));
    take_quota_waits(peers, QUOTA_USER, json_object_get(waits, "users"));
    take_quota_waits(peers, QUOTA_DATABASE, json_object_get(waits, "databases"));
    proxy_workers_yield(peers->proxy);
}

static void take_refusal(Peers *peers, const json_t *id)
{
    LeavingAsk *ask = ask_of(peers, id);
    if (ask != NULL) {
        ask->unknown = true;
        ask_answer(ask, false, QUOTA_KINDS);
    }
}

void leaving_take_message(Peers *peers, const json_t *message)
{
    const json_t *grant = json_object_get(message, "grant");
    const json_t *refused = json_object_get(message, "refused");
    const json_t *entered = json_object_get(message, "entered");
    const json_t *waits = json_object_get(message, "waits");
    if (grant != NULL) {
        take_answer(peers, grant, true, QUOTA_KINDS);
    } else if (refused != NULL) {
        take_refusal(peers, refused);
    } else if (entered != NULL) {
        json_int_t full = json_integer_value(json_object_get(message, "full"));
        take_answer(peers, entered, json_is_true(json_object_get(message, "ok")),
                    full == QUOTA_USER ? QUOTA_USER : QUOTA_DATABASE);
    } else if (waits != NULL) {
        take_waits(peers, waits);
    }
}

/* ---- coming and going --------------------------------------------------------------------------
 */

void leaving_begin(Peers *peers)
{
    peers->leaving = true;
}

void leaving_joined(Peers *peers, SuccessionLink *up)
{
    peers->up = up;
    LIST_FOR_EACH (&peers->asks, node) {
        const LeavingAsk *ask = CONTAINER_OF(node, LeavingAsk, node);
        if (!ask->answered) {
            ask_send(peers, ask);
        }
    }
    flush_soon(peers);
}

void leaving_parted(Peers *peers)
{
    peers->up = NULL;
    waited_clear(peers);
}

static void forget(Peers *peers)
{
    leaving_parted(peers);
    peers->leaving = false;
    for (ListNode *node; (node = list_first(&peers->held)) != NULL;) {
        held_free(peers, CONTAINER_OF(node, Held, node));
    }
    peers->held_clients = peers->told_clients = 0;
    loop_defer_cancel(&peers->flush);
    vec_done(&peers->waited);
}

void leaving_end(Peers *peers)
{
    forget(peers);
    LIST_FOR_EACH (&peers->asks, node) {
        LeavingAsk *ask = CONTAINER_OF(node, LeavingAsk, node);
        if (!ask->answered) {
            ask_answer(ask, false, QUOTA_KINDS);
        }
    }
}

void leaving_done(Peers *peers)
{
    forget(peers);
    for (ListNode *node; (node = list_pop_front(&peers->asks)) != NULL;) {
        ask_free(CONTAINER_OF(node, LeavingAsk, node));
    }
}
