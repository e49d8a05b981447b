/*
 * Leaving: clients are served to their end, but what counts for a limit is the serving process's to
 * give. A worker tells the main thread what has become more or less, and asks there; the main
 * thread speaks with the serving process. Between the two a place is counted by the serving one.
 */
#include "proxy/client/client_priv.h"
#include "proxy/server/server_priv.h"
#include "proxy/upgrade/peers_parts_priv.h"

/* ---- what is held ------------------------------------------------------------------------------
 */

Held *leaving_held(Peers *peers, const char *user, const char *database, const char *at)
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
            leaving_held(peers, server_user(server), server_database(server), server->place.at)
                ->servers++;
        }
    }
    LIST_FOR_EACH (&worker->clients, node) {
        const ProxyClient *client = CONTAINER_OF(node, ProxyClient, node);
        peers->held_clients++;
        if (client->pool != NULL) {
            leaving_held(peers, client->pool->user, client->pool->database, AT_NONE)->clients++;
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
            Held *held = leaving_held(peers, change->user, change->database, change->at);
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
    change_post(server->worker, server_user(server), server_database(server), server->place.at,
                &change);
}

void leaving_give_back(ProxyWorker *worker, const LeavingAsk *ask)
{
    const Change change = {.servers = ask->kind == ASK_SERVER ? -1 : 0,
                           .clients = ask->kind == ASK_CLIENT ? -1 : 0};
    change_post(worker, ask->user, ask->database, ask->at, &change);
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
            leaving_ask_send(peers, ask);
        }
    }
    flush_soon(peers);
}

void leaving_parted(Peers *peers)
{
    peers->up = NULL;
    leaving_waited_clear(peers);
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
            leaving_ask_answer(ask, false, QUOTA_KINDS);
        }
    }
}

void leaving_done(Peers *peers)
{
    forget(peers);
    for (ListNode *node; (node = list_pop_front(&peers->asks)) != NULL;) {
        leaving_ask_free(CONTAINER_OF(node, LeavingAsk, node));
    }
}
