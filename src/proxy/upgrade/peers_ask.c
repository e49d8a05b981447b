/*
 * What leaving processes ask the serving one for, and who waits in which of them. A place is
 * counted before it is granted; and nothing is granted by a process that has written down what it
 * counts, for the next one to serve, or both would give the same place away.
 */
#include <stdlib.h>

#include "proxy/pool/pool_priv.h"
#include "proxy/upgrade/peers_parts_priv.h"

static void ask_done(PeerAsk *ask)
{
    for (size_t kind = 0; kind < QUOTA_KINDS; kind++) {
        quota_unref(ask->quotas[kind]);
    }
    mem_free(ask->user);
    mem_free(ask->database);
    mem_free(ask->at);
}

void peers_asks_drop(Peer *peer)
{
    for (size_t i = 0; i < peer->asks.len; i++) {
        ask_done(&peer->asks.items[i]);
    }
    peer->asks.len = 0;
}

/* ---- asking ------------------------------------------------------------------------------------
 */

static ProxyLimit limit_of(const Peers *peers, QuotaKind kind, const char *name)
{
    const ProxyConfig *config = peers->proxy->config;
    return kind == QUOTA_USER ? proxy_config_user_limit(config, slice_of(name))
                              : proxy_config_database_limit(config, slice_of(name));
}

static int64_t older(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* The longest wait of a worker's for the target's budget, as a time; 0: nobody waits. */
static int64_t own_wait(const Proxy *proxy, size_t target)
{
    int64_t oldest = 0;
    for (uint32_t i = 0; i < proxy->workers_running; i++) {
        oldest = older(oldest, atomic_load(&proxy->workers[i].shown[target].oldest_wait_ms));
    }
    return oldest;
}

/* The last place is a worker's, who has waited longer, and is about to take it (pool/room.c). */
static bool is_promised(const Proxy *proxy, const PeerAsk *ask, size_t target)
{
    const ProxyBudget *budget = &proxy->targets[target].budget;
    int64_t since_ms = own_wait(proxy, target);
    return atomic_load(&budget->open) + 1 == atomic_load(&budget->max) && since_ms != 0 &&
           since_ms + PROXY_FAIR_MS < ask->since_ms;
}

/* What is full, or another's: a quota, or with *ret_budget the target's budget; NULL and false: it
 * is taken. */
static Quota *take_server(Peers *peers, const PeerAsk *ask, size_t target, bool *ret_budget)
{
    *ret_budget = false;
    for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
        const char *name = kind == QUOTA_USER ? ask->user : ask->database;
        if (!quota_take(&ask->quotas[kind]->servers, limit_of(peers, kind, name).servers)) {
            for (QuotaKind taken = 0; taken < kind; taken++) {
                quota_give(&ask->quotas[taken]->servers);
            }
            return ask->quotas[kind];
        }
    }
    if (is_promised(peers->proxy, ask, target) ||
        !proxy_budget_take(&peers->proxy->targets[target].budget)) {
        for (QuotaKind kind = 0; kind < QUOTA_KINDS; kind++) {
            quota_give(&ask->quotas[kind]->servers);
        }
        *ret_budget = true;
    }
    return NULL;
}

/* The counters have it already. */
static void grant(Peers *peers, Peer *peer, const PeerAsk *ask)
{
    peers_place_of(peers, peer, ask->user, ask->database, ask->at)->servers++;
    succession_send(peer->link, json_pack("{s:I}", "grant", (json_int_t)ask->id));
}

static void wait_note(atomic_int_fast64_t *oldest, int64_t since_ms)
{
    int64_t now = atomic_load(oldest);
    if (now == 0 || since_ms < now) {
        atomic_store(oldest, since_ms);
    }
}

/* One more client, where neither quota is full: answered either way, for it does not wait. */
static void enter(Peers *peers, Peer *peer, const PeerAsk *ask)
{
    QuotaKind full = QUOTA_KINDS;
    for (QuotaKind kind = 0; kind < QUOTA_KINDS && full == QUOTA_KINDS; kind++) {
        const char *name = kind == QUOTA_USER ? ask->user : ask->database;
        if (!quota_take(&ask->quotas[kind]->clients, limit_of(peers, kind, name).clients)) {
            full = kind;
        }
    }
    for (QuotaKind taken = 0; full < QUOTA_KINDS && taken < full; taken++) {
        quota_give(&ask->quotas[taken]->clients);
    }
    if (full == QUOTA_KINDS) {
        peers_place_of(peers, peer, ask->user, ask->database, AT_NONE)->clients++;
    }
    succession_send(peer->link, json_pack("{s:I, s:b, s:i}", "entered", (json_int_t)ask->id, "ok",
                                          full == QUOTA_KINDS, "full", (int)full));
}

/* True: it is answered. */
static bool serve_ask(Peers *peers, Peer *peer, const PeerAsk *ask)
{
    bool budget;
    if (ask->kind == ASK_CLIENT) {
        enter(peers, peer, ask);
        return true;
    }
    size_t target = proxy_config_target_at(peers->proxy->config, ask->at);
    if (target == PROXY_TARGETS_MAX) { /* it is about to hear of another configuration */
        succession_send(peer->link, json_pack("{s:I}", "refused", (json_int_t)ask->id));
        return true;
    }
    Quota *quota = take_server(peers, ask, target, &budget);
    if (quota == NULL && !budget) {
        grant(peers, peer, ask);
        return true;
    }
    wait_note(budget ? &peers->wait_ms[target] : &quota->sides[QUOTA_OTHERS].oldest_wait_ms,
              ask->since_ms);
    return false;
}

/* Of all processes, by how long somebody has waited. */
typedef struct Turn {
    Peer *peer;
    PeerAsk *ask;
} Turn;

static int turn_compare(const void *a, const void *b)
{
    int64_t first = ((const Turn *)a)->ask->since_ms;
    int64_t second = ((const Turn *)b)->ask->since_ms;
    return first < second ? -1 : first > second;
}

static void answered_remove(Peer *peer)
{
    size_t left = 0;
    for (size_t i = 0; i < peer->asks.len; i++) {
        if (peer->asks.items[i].answered) {
            ask_done(&peer->asks.items[i]);
        } else {
            peer->asks.items[left++] = peer->asks.items[i];
        }
    }
    peer->asks.len = left;
}

/* Who waits elsewhere is said anew each time. */
void peers_waits_clear(Peers *peers)
{
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        atomic_store(&peers->wait_ms[i], 0);
    }
    LIST_FOR_EACH (&peers->peers, node) {
        const Peer *peer = CONTAINER_OF(node, Peer, node);
        for (size_t i = 0; i < peer->asks.len; i++) {
            for (size_t kind = 0; kind < QUOTA_KINDS; kind++) {
                Quota *quota = peer->asks.items[i].quotas[kind];
                atomic_store(&quota->sides[QUOTA_OTHERS].oldest_wait_ms, 0);
            }
        }
    }
}

void peers_serve_asks(Peers *peers)
{
    VEC(Turn) turns = {0};
    size_t answered = 0;
    if (peers->leaving) {
        return; /* the next one to serve hears of them, or we do when we serve again */
    }
    peers_waits_clear(peers);
    LIST_FOR_EACH (&peers->peers, node) {
        Peer *peer = CONTAINER_OF(node, Peer, node);
        for (size_t i = 0; peer->link != NULL && i < peer->asks.len; i++) {
            vec_push(&turns, ((Turn){peer, &peer->asks.items[i]}));
        }
    }
    if (turns.len > 0) {
        qsort(turns.items, turns.len, sizeof(Turn), turn_compare);
    }
    for (size_t i = 0; i < turns.len; i++) {
        turns.items[i].ask->answered = serve_ask(peers, turns.items[i].peer, turns.items[i].ask);
        answered += turns.items[i].ask->answered ? 1 : 0;
    }
    LIST_FOR_EACH (&peers->peers, node) {
        answered_remove(CONTAINER_OF(node, Peer, node));
    }
    if (turns.len > answered) {
        proxy_workers_yield(peers->proxy);
    }
    vec_done(&turns);
}

void peers_take_ask(Peers *peers, Peer *peer, LeavingAskKind kind, const json_t *message)
{
    const char *id = kind == ASK_SERVER ? "ask" : "enter";
    PeerAsk ask = {.kind = kind,
                   .id = json_integer_value(json_object_get(message, id)),
                   .user = peers_name_read(json_object_get(message, "user")),
                   .database = peers_name_read(json_object_get(message, "database")),
                   .at = peers_at_read(peers, json_object_get(message, "target")),
                   .since_ms = json_integer_value(json_object_get(message, "since"))};
    if (ask.user == NULL || ask.database == NULL || ask.at == NULL ||
        peer->asks.len >= PEERS_ASKS_MAX) {
        mem_free(ask.user);
        mem_free(ask.database);
        mem_free(ask.at);
        return;
    }
    peers_quotas(peers, ask.user, ask.database, ask.quotas);
    vec_push(&peer->asks, ask);
    peers_serve_asks(peers);
}

/* ---- who waits here ----------------------------------------------------------------------------
 */

static int64_t budget_wait(const Peers *peers, size_t target)
{
    return older(atomic_load(&peers->wait_ms[target]), own_wait(peers->proxy, target));
}

static json_t *wait_of(const char *name, int64_t since_ms)
{
    return json_pack("[o, I]", peers_name(name), (json_int_t)since_ms);
}

static json_t *budget_waits(const Peers *peers)
{
    const ProxyConfig *config = peers->proxy->config;
    json_t *waits = json_array();
    for (size_t i = 0; i < PROXY_TARGETS_MAX; i++) {
        int64_t since = budget_wait(peers, i);
        if (since != 0 && proxy_config_uses(config, i)) {
            json_array_append_new(waits, wait_of(proxy_config_target(config, i)->at, since));
        }
    }
    return waits;
}

static json_t *quota_waits(Peers *peers, QuotaKind kind)
{
    json_t *waits = json_array();
    Quotas *quotas = &peers->proxy->quotas;
    size_t cursor = 0;
    Slice name;
    void *value;
    pthread_mutex_lock(&quotas->lock);
    while (map_next(quotas->maps[kind], &cursor, &name, &value) &&
           json_array_size(waits) < PEERS_WAITS_MAX) {
        const Quota *quota = value;
        uint32_t worker;
        int64_t since = quota_oldest_wait(quota, QUOTA_NOBODY, &worker);
        if (since != 0) {
            json_array_append_new(waits, wait_of(quota->name, since));
        }
    }
    pthread_mutex_unlock(&quotas->lock);
    return waits;
}

static void tell_waits(Peers *peers)
{
    json_t *targets = budget_waits(peers);
    json_t *users = quota_waits(peers, QUOTA_USER);
    json_t *databases = quota_waits(peers, QUOTA_DATABASE);
    bool any = json_array_size(targets) + json_array_size(users) + json_array_size(databases) > 0;
    LIST_FOR_EACH (&peers->peers, node) {
        Peer *peer = CONTAINER_OF(node, Peer, node);
        if (peer->link != NULL && (any || peer->told_waits)) {
            peer->told_waits = any;
            succession_send(peer->link, json_pack("{s:{s:O, s:O, s:O}}", "waits", "targets",
                                                  targets, "users", users, "databases", databases));
        }
    }
    json_decref(targets);
    json_decref(users);
    json_decref(databases);
}

void peers_look(void *user)
{
    Peers *peers = user;
    if (peers->peers.len == 0) {
        loop_timer_stop(&peers->look);
        return;
    }
    peers_serve_asks(peers);
    tell_waits(peers);
}

static void nudged(void *user)
{
    Peers *peers = user;
    atomic_store(&peers->nudged, false);
    peers_serve_asks(peers);
}

void peers_nudge(Peers *peers)
{
    if (!atomic_exchange(&peers->nudged, true)) {
        loop_post(peers->proxy->loop, nudged, peers);
    }
}
