/*
 * Serving, with leaving processes beside us. What they hold stands in our counters, so that our own
 * workers need not know of them; only where somebody waits do they count as one more worker. The
 * order in which a place is counted is what keeps all below the limits: here first, then there; and
 * the other way round when it is given back.
 */
#include "proxy/pool/pool_priv.h"
#include "proxy/upgrade/peers_parts_priv.h"

/* ---- names -------------------------------------------------------------------------------------
 */

json_t *peers_name(const char *text)
{
    size_t len = strlen(text);
    char *hex = mem_alloc(2 * len + 1);
    hex_encode(text, len, hex);
    json_t *json = json_string(hex);
    mem_free(hex);
    return json;
}

char *peers_name_read(const json_t *hex)
{
    const char *text = json_string_value(hex);
    size_t size = text != NULL ? strlen(text) / 2 : 0;
    size_t len = 0;
    if (text == NULL) {
        return NULL;
    }
    char *name = mem_alloc(size + 1);
    if (!hex_decode(slice_of(text), name, size, &len) || memchr(name, '\0', len) != NULL) {
        mem_free(name);
        return NULL;
    }
    name[len] = '\0';
    return name;
}

json_t *peers_place(const char *user, const char *database, const char *at, int64_t servers,
                    int64_t clients, size_t *bytes)
{
    *bytes += 2 * (strlen(user) + strlen(database) + strlen(at)) + 40;
    return json_pack("[o, o, I, I, o]", peers_name(user), peers_name(database), (json_int_t)servers,
                     (json_int_t)clients, peers_name(at));
}

/* ---- what they hold ----------------------------------------------------------------------------
 */

void peers_quotas(Peers *peers, const char *user, const char *database, Quota **quotas)
{
    quotas[QUOTA_USER] = quotas_get(&peers->proxy->quotas, QUOTA_USER, slice_of(user));
    quotas[QUOTA_DATABASE] = quotas_get(&peers->proxy->quotas, QUOTA_DATABASE, slice_of(database));
}

static void count_change(atomic_uint *count, int64_t change)
{
    unsigned before = atomic_fetch_add(count, (unsigned)change);
    ASSERT(change >= 0 || before >= (unsigned)-change);
}

/* `at`: the target's address; empty: at none. */
PeerPlace *peers_place_of(Peers *peers, Peer *peer, const char *user, const char *database,
                          const char *at)
{
    for (size_t i = 0; i < peer->places.len; i++) {
        PeerPlace *place = &peer->places.items[i];
        if (strcmp(place->user, user) == 0 && strcmp(place->database, database) == 0 &&
            strcmp(place->at, at) == 0) {
            return place;
        }
    }
    PeerPlace place = {.user = mem_strdup(user),
                       .database = mem_strdup(database),
                       .at = mem_strdup(at),
                       .target = proxy_config_target_at(peers->proxy->config, at)};
    peers_quotas(peers, user, database, place.quotas);
    vec_push(&peer->places, place);
    return &peer->places.items[peer->places.len - 1];
}

/* Of a target that is not ours there is no budget. */
static void budget_change(Peers *peers, size_t target, int64_t servers)
{
    if (target < PROXY_TARGETS_MAX) {
        count_change(&peers->proxy->targets[target].budget.open, servers);
    }
}

/* False: it would give back more than it has. */
static bool place_change(Peers *peers, PeerPlace *place, int64_t servers, int64_t clients)
{
    if (place->servers + servers < 0 || place->clients + clients < 0) {
        return false;
    }
    place->servers += servers;
    place->clients += clients;
    for (size_t kind = 0; kind < QUOTA_KINDS; kind++) {
        count_change(&place->quotas[kind]->servers, servers);
        count_change(&place->quotas[kind]->clients, clients);
    }
    budget_change(peers, place->target, servers);
    return true;
}

static void place_done(PeerPlace *place)
{
    ASSERT(place->servers == 0 && place->clients == 0);
    for (size_t kind = 0; kind < QUOTA_KINDS; kind++) {
        quota_unref(place->quotas[kind]);
    }
    mem_free(place->user);
    mem_free(place->database);
    mem_free(place->at);
}

static bool clients_change(Peers *peers, Peer *peer, int64_t change)
{
    if (peer->clients + change < 0) {
        return false;
    }
    peer->clients += change;
    count_change(&peers->proxy->clients, change);
    return true;
}

static void places_drop(Peers *peers, Peer *peer)
{
    for (size_t i = 0; i < peer->places.len; i++) {
        PeerPlace *place = &peer->places.items[i];
        bool ok = place_change(peers, place, -place->servers, -place->clients);
        ASSERT(ok);
        place_done(place);
    }
    peer->places.len = 0;
    bool ok = clients_change(peers, peer, -peer->clients);
    ASSERT(ok);
}

static Peer *peer_of(const Peers *peers, uint32_t generation)
{
    LIST_FOR_EACH (&peers->peers, node) {
        Peer *peer = CONTAINER_OF(node, Peer, node);
        if (peer->generation == generation) {
            return peer;
        }
    }
    return NULL;
}

static Peer *peer_new(Peers *peers, uint32_t generation)
{
    Peer *peer = mem_alloc(sizeof(Peer));
    peer->generation = generation;
    list_push_back(&peers->peers, &peer->node);
    return peer;
}

static void peer_free(Peers *peers, Peer *peer)
{
    list_remove(&peers->peers, &peer->node);
    peers_asks_drop(peer);
    places_drop(peers, peer);
    vec_done(&peer->asks);
    vec_done(&peer->places);
    mem_free(peer);
}

/* Room has become free: those who wait look. */
static void workers_nudge(Peers *peers)
{
    Proxy *proxy = peers->proxy;
    for (uint32_t i = 0; i < proxy->workers_running; i++) {
        proxy_worker_nudge(&proxy->workers[i]);
    }
}

/* ---- books -------------------------------------------------------------------------------------
 */

char *peers_at_read(const Peers *peers, const json_t *hex)
{
    return hex != NULL ? peers_name_read(hex) : mem_strdup(peers->proxy->config->target.at);
}

/* [[user, database, servers, clients, target], …], `clients`: additions. */
static bool take_places(Peers *peers, Peer *peer, const json_t *message)
{
    size_t i;
    json_t *item;
    bool ok = clients_change(peers, peer, json_integer_value(json_object_get(message, "clients")));
    json_array_foreach (json_object_get(message, "places"), i, item) {
        CLEANUP(mem_free_ptr) char *user = peers_name_read(json_array_get(item, 0));
        CLEANUP(mem_free_ptr) char *database = peers_name_read(json_array_get(item, 1));
        CLEANUP(mem_free_ptr) char *at = peers_at_read(peers, json_array_get(item, 4));
        ok = ok && user != NULL && database != NULL && at != NULL &&
             place_change(peers, peers_place_of(peers, peer, user, database, at),
                          json_integer_value(json_array_get(item, 2)),
                          json_integer_value(json_array_get(item, 3)));
    }
    if (!ok) {
        log_error("proxy", "generation %u gives back more than it holds", peer->generation);
    }
    return ok;
}

static Peer *first_of(List *list)
{
    ListNode *node = list_pop_front(list);
    return node != NULL ? CONTAINER_OF(node, Peer, node) : NULL;
}

/* Counted at the new one first. */
void peers_config_changed(Peers *peers)
{
    LIST_FOR_EACH (&peers->peers, node) {
        const Peer *peer = CONTAINER_OF(node, Peer, node);
        for (size_t i = 0; i < peer->places.len; i++) {
            PeerPlace *place = &peer->places.items[i];
            size_t before = place->target;
            place->target = proxy_config_target_at(peers->proxy->config, place->at);
            budget_change(peers, place->target, place->servers);
            budget_change(peers, before, -place->servers);
        }
    }
}

/* The new is counted before the old is forgotten: in between it is too much, never too little. */
void peers_take_books(Peers *peers, const json_t *books)
{
    size_t i;
    json_t *book;
    List old;
    list_init(&old);
    for (Peer *peer; (peer = first_of(&peers->peers)) != NULL;) {
        list_push_back(&old, &peer->node);
    }
    json_array_foreach (books, i, book) {
        uint32_t generation = (uint32_t)json_integer_value(json_object_get(book, "of"));
        Peer *peer = peer_of(peers, generation);
        peer = peer != NULL ? peer : peer_new(peers, generation);
        (void)take_places(peers, peer, book);
    }
    for (ListNode *node; (node = list_pop_front(&old)) != NULL;) {
        Peer *peer = CONTAINER_OF(node, Peer, node);
        Peer *now = peer_of(peers, peer->generation);
        list_push_back(&peers->peers, &peer->node);
        if (now != NULL) {
            now->link = peer->link;
            peer_free(peers, peer);
        }
    }
    workers_nudge(peers);
}

static void put_piece(json_t *books, uint32_t generation, int64_t clients, json_t *places)
{
    json_array_append_new(books, json_pack("{s:I, s:I, s:o}", "of", (json_int_t)generation,
                                           "clients", (json_int_t)clients, "places", places));
}

void peers_put_books(const Peers *peers, json_t *books)
{
    LIST_FOR_EACH (&peers->peers, node) {
        const Peer *peer = CONTAINER_OF(node, Peer, node);
        json_t *places = json_array();
        size_t bytes = 0;
        int64_t clients = peer->clients;
        for (size_t i = 0; i < peer->places.len; i++) {
            const PeerPlace *place = &peer->places.items[i];
            json_array_append_new(places, peers_place(place->user, place->database, place->at,
                                                      place->servers, place->clients, &bytes));
            if (bytes > SUCCESSION_BOOK_BYTES) {
                put_piece(books, peer->generation, clients, places);
                clients = 0;
                bytes = 0;
                places = json_array();
            }
        }
        put_piece(books, peer->generation, clients, places);
    }
}

/* ---- what they say -----------------------------------------------------------------------------
 */

void peers_take_message(Peers *peers, SuccessionLink *link, const json_t *message)
{
    Peer *peer = peer_of(peers, succession_link_generation(link));
    if (peer == NULL || peer->link != link) {
        return;
    }
    if (json_object_get(message, "places") != NULL) {
        (void)take_places(peers, peer, message);
        workers_nudge(peers);
        peers_serve_asks(peers);
    } else if (json_object_get(message, "ask") != NULL) {
        peers_take_ask(peers, peer, ASK_SERVER, message);
    } else if (json_object_get(message, "enter") != NULL) {
        peers_take_ask(peers, peer, ASK_CLIENT, message);
    }
}

/* ---- coming and going --------------------------------------------------------------------------
 */

void peers_joined(Peers *peers, SuccessionLink *link)
{
    uint32_t generation = succession_link_generation(link);
    Peer *peer = peer_of(peers, generation);
    peer = peer != NULL ? peer : peer_new(peers, generation);
    peer->link = link;
    loop_timer_start(peers->proxy->loop, &peers->look, 0, PEERS_LOOK_MS, peers_look, peers);
}

void peers_parted(Peers *peers, uint32_t generation)
{
    Peer *peer = peer_of(peers, generation);
    if (peer != NULL) {
        peer->link = NULL;
        peers_waits_clear(peers);
        peers_asks_drop(peer);
    }
}

void peers_forget(Peers *peers, uint32_t generation)
{
    Peer *peer = peer_of(peers, generation);
    if (peer != NULL) {
        peers_waits_clear(peers);
        peer_free(peers, peer);
        workers_nudge(peers);
        peers_serve_asks(peers);
    }
}

void peers_forget_all(Peers *peers)
{
    peers_waits_clear(peers);
    for (ListNode *node; (node = list_first(&peers->peers)) != NULL;) {
        peer_free(peers, CONTAINER_OF(node, Peer, node));
    }
    loop_timer_stop(&peers->look);
}

SuccessionLink *peers_link_of(const Peers *peers, uint32_t generation)
{
    const Peer *peer = peer_of(peers, generation);
    return peer != NULL ? peer->link : NULL;
}

void peers_init(Peers *peers, Proxy *proxy)
{
    peers->proxy = proxy;
    list_init(&peers->peers);
    list_init(&peers->held);
    list_init(&peers->asks);
    list_init(&peers->cancels);
}

void peers_done(Peers *peers)
{
    peers_cancels_done(peers);
    peers_forget_all(peers);
    leaving_done(peers);
}
