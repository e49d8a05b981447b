/*
 * What a leaving process asks the serving one for, and what it is told of those who wait elsewhere.
 * Workers ask the main thread, and it the other process.
 */
#include "proxy/client/client_priv.h"
#include "proxy/upgrade/peers_parts_priv.h"

/* ---- asking ------------------------------------------------------------------------------------
 */

void leaving_ask_free(LeavingAsk *ask)
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
    leaving_ask_free(ask);
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

void leaving_ask_answer(LeavingAsk *ask, bool granted, QuotaKind full)
{
    ask->answered = true;
    ask->granted = granted;
    ask->full = full;
    loop_post(ask->worker->loop, ask_answered, ask);
}

void leaving_ask_send(Peers *peers, const LeavingAsk *ask)
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
        leaving_ask_answer(ask, false, QUOTA_KINDS);
    } else {
        leaving_ask_send(peers, ask);
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
        Held *held = leaving_held(peers, ask->user, ask->database, ask->at);
        int64_t servers = ask->kind == ASK_SERVER ? 1 : 0;
        held->servers += servers;
        held->told_servers += servers;
        held->clients += 1 - servers;
        held->told_clients += 1 - servers;
    }
    leaving_ask_answer(ask, granted, full);
}

/* ---- who waits elsewhere -----------------------------------------------------------------------
 */

void leaving_waited_clear(Peers *peers)
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
    leaving_waited_clear(peers);
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
        leaving_ask_answer(ask, false, QUOTA_KINDS);
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
