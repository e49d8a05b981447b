/*
 * The process: endpoints, nodes, timers, and what the agent says. A configuration is taken as a
 * whole or not at all: new endpoints listen before anything else changes. Clients keep their
 * connections over every change but those that concern their node.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "front/front_priv.h"

#define RETRY_MS      50  /* between looks for clients that wait for a node */
#define NODE_REST_MS  100 /* after a failed connection */
#define FAILING_TRIES 16  /* connections tried at once to a node that fails */
#define SECOND_MS     1000
#define QUITTING_MAX_MS                                                                            \
    10000                  /* a client that has said its last word, and a node that does not end */
#define HEIR_END_MS    200 /* so that the refusal reaches the agent */
#define STOP_LOOK_MS   20
#define STOP_LINGER_MS 200  /* for clients to take the last replies */
#define STOP_GRACE_MS  3000 /* for commands under way; the agent kills after 5 s */
#define TOO_MANY       "-ERR max number of clients reached\r\n"

typedef struct Endpoint {
    ListNode node;
    Front *front;
    bool reader;
    bool sentinel;
    NetAddr addr;
    TlsContext *tls; /* a reference of its own */
    int fd;
    Listener *listener;
    bool wanted; /* while a configuration is applied */
} Endpoint;

/* ---- accepting --------------------------------------------------------------------------------
 */

static bool peer_allowed(const FrontConfig *config, const NetAddr *peer)
{
    for (size_t i = 0; i < config->rules.len; i++) {
        if (net_cidr_has(&config->rules.items[i], peer)) {
            return true;
        }
    }
    return false;
}

static void endpoint_on_accept(void *user, int fd, const NetAddr *peer)
{
    Endpoint *endpoint = user;
    Front *front = endpoint->front;
    if (!peer_allowed(front->config, peer)) {
        char text[NET_ADDR_TEXT_SIZE];
        net_addr_format(peer, text);
        log_info(FRONT_MODULE, "%s is refused by the security groups", text);
        fd_close(&fd);
        return;
    }
    if (endpoint->sentinel) {
        front_sentinel_new(front, endpoint->tls, fd);
        return;
    }
    if (front_clients_everywhere(front) >= front->config->clients_max) {
        if (endpoint->tls == NULL) {
            ssize_t ignored = write(fd, TOO_MANY, sizeof(TOO_MANY) - 1);
            (void)ignored;
        }
        fd_close(&fd);
        return;
    }
    front_client_new(front, endpoint->reader, endpoint->tls, fd);
}

static void endpoint_free(Endpoint *endpoint)
{
    listener_free(endpoint->listener);
    fd_close(&endpoint->fd);
    tls_context_free(endpoint->tls);
    mem_free(endpoint);
}

static bool endpoint_new(Front *front, const FrontListenerConfig *config, Endpoint **ret_endpoint,
                         Err *err)
{
    Endpoint *endpoint = mem_alloc(sizeof(Endpoint));
    *endpoint = (Endpoint){.front = front,
                           .reader = config->reader,
                           .sentinel = config->sentinel,
                           .addr = config->addr,
                           .tls = config->tls != NULL ? tls_context_ref(config->tls) : NULL,
                           .fd = -1,
                           .wanted = true};
    char name[NET_ADDR_TEXT_SIZE];
    net_addr_format(&config->addr, name);
    endpoint->fd = succession_socket(front->succession, name);
    if ((endpoint->fd < 0 &&
         !net_listen(&config->addr, &(NetListenOptions){0}, &endpoint->fd, err)) ||
        !listener_new(front->loop, endpoint->fd, endpoint_on_accept, endpoint, &endpoint->listener,
                      err)) {
        endpoint_free(endpoint);
        return false;
    }
    if (front->config == NULL) {
        listener_pause(endpoint->listener); /* until the place is taken */
    }
    *ret_endpoint = endpoint;
    return true;
}

static bool same_addr(const NetAddr *a, const NetAddr *b)
{
    return a->len == b->len && memcmp(&a->storage, &b->storage, a->len) == 0;
}

static Endpoint *endpoint_at(const Front *front, const NetAddr *addr)
{
    LIST_FOR_EACH (&front->endpoints, node) {
        Endpoint *endpoint = CONTAINER_OF(node, Endpoint, node);
        if (same_addr(&endpoint->addr, addr)) {
            return endpoint;
        }
    }
    return NULL;
}

/* Opens what is not open yet; where one cannot be opened, none is. */
static bool endpoints_open(Front *front, const FrontConfig *config, Err *err)
{
    List opened;
    list_init(&opened);
    for (size_t i = 0; i < config->listeners.len; i++) {
        const FrontListenerConfig *wanted = &config->listeners.items[i];
        Endpoint *endpoint;
        if (endpoint_at(front, &wanted->addr) != NULL) {
            continue;
        }
        if (!endpoint_new(front, wanted, &endpoint, err)) {
            for (ListNode *node; (node = list_pop_front(&opened)) != NULL;) {
                endpoint_free(CONTAINER_OF(node, Endpoint, node));
            }
            return false;
        }
        list_push_back(&opened, &endpoint->node);
    }
    for (ListNode *node; (node = list_pop_front(&opened)) != NULL;) {
        list_push_back(&front->endpoints, node);
    }
    return true;
}

void front_endpoints_pause(Front *front, bool pause)
{
    LIST_FOR_EACH (&front->endpoints, node) {
        const Endpoint *endpoint = CONTAINER_OF(node, Endpoint, node);
        if (pause) {
            listener_pause(endpoint->listener);
        } else {
            listener_resume(endpoint->listener);
        }
    }
}

void front_endpoints_offer(const Front *front, SuccessionSockets *sockets)
{
    LIST_FOR_EACH (&front->endpoints, node) {
        const Endpoint *endpoint = CONTAINER_OF(node, Endpoint, node);
        char name[NET_ADDR_TEXT_SIZE];
        net_addr_format(&endpoint->addr, name);
        json_array_append_new(sockets->names, json_string(name));
        sockets->fds[sockets->len++] = endpoint->fd;
    }
}

/* Takes over certificates and roles, and closes what is no longer wanted. */
static void endpoints_settle(Front *front, const FrontConfig *config)
{
    LIST_FOR_EACH (&front->endpoints, node) {
        CONTAINER_OF(node, Endpoint, node)->wanted = false;
    }
    for (size_t i = 0; i < config->listeners.len; i++) {
        const FrontListenerConfig *wanted = &config->listeners.items[i];
        Endpoint *endpoint = endpoint_at(front, &wanted->addr);
        if (endpoint == NULL) {
            continue; /* opened by another process, since this one is leaving */
        }
        tls_context_free(endpoint->tls);
        endpoint->tls = wanted->tls != NULL ? tls_context_ref(wanted->tls) : NULL;
        endpoint->reader = wanted->reader;
        endpoint->sentinel = wanted->sentinel;
        endpoint->wanted = true;
    }
    for (ListNode *node = list_first(&front->endpoints), *next; node != NULL; node = next) {
        Endpoint *endpoint = CONTAINER_OF(node, Endpoint, node);
        next = list_next(&front->endpoints, node);
        if (!endpoint->wanted) {
            list_remove(&front->endpoints, node);
            endpoint_free(endpoint);
        }
    }
}

/* ---- nodes ------------------------------------------------------------------------------------
 */

static void node_free(FrontNode *node)
{
    front_gate_close(node);
    mem_free(node->id);
    mem_free(node->host);
    mem_free(node);
}

void front_node_release(Front *front, FrontNode *node)
{
    node->connections--;
    if (node->gone && node->connections == 0) {
        list_remove(&front->nodes, &node->node);
        node_free(node);
    }
}

void front_node_failed(Front *front, FrontNode *node, const Err *err)
{
    node->rest_until = loop_now_ms(front->loop) + NODE_REST_MS;
    if (!node->failing) {
        node->failing = true;
        log_warn(FRONT_MODULE, "node %s cannot be used: %s", node->id, err->message);
        plane_event(front->plane, "Node %s cannot be reached: %s", node->id, err->message);
    }
}

void front_node_works(Front *front, FrontNode *node)
{
    if (node->failing) {
        node->failing = false;
        log_info(FRONT_MODULE, "node %s can be used again", node->id);
        plane_event(front->plane, "Node %s is reached again", node->id);
    }
}

/* Of two nodes that serve, the better one: seen running first, then the fewest connections. */
static bool node_better(const FrontNode *a, const FrontNode *b)
{
    if (b == NULL || a->available != b->available) {
        return b == NULL || a->available;
    }
    return a->connections < b->connections;
}

static FrontNode *pick_of(const Front *front, bool primary)
{
    int64_t now = loop_now_ms(front->loop);
    FrontNode *best = NULL;
    LIST_FOR_EACH (&front->nodes, at) {
        FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        bool serves = !node->gone && node->primary == primary && node->rest_until <= now;
        if (serves && node_better(node, best)) {
            best = node;
        }
    }
    return best;
}

FrontNode *front_pick(Front *front, bool reader)
{
    FrontNode *primary = pick_of(front, true);
    FrontNode *replica = reader ? pick_of(front, false) : NULL;
    bool live = replica != NULL && replica->available;
    return live || primary == NULL ? replica : primary;
}

bool front_has_primary(const Front *front)
{
    LIST_FOR_EACH (&front->nodes, at) {
        const FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        if (node->primary && !node->gone) {
            return true;
        }
    }
    return false;
}

static FrontNode *node_called(const Front *front, const FrontNodeConfig *config)
{
    LIST_FOR_EACH (&front->nodes, at) {
        FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        if (!node->gone && strcmp(node->id, config->id) == 0 &&
            same_addr(&node->addr, &config->addr)) {
            return node;
        }
    }
    return NULL;
}

static FrontNode *node_new(Front *front, const FrontNodeConfig *config)
{
    FrontNode *node = mem_alloc(sizeof(FrontNode));
    node->id = mem_strdup(config->id);
    node->host = mem_strdup(config->host);
    node->addr = config->addr;
    list_push_back(&front->nodes, &node->node);
    return node;
}

static bool node_is_configured(const FrontNode *node, const FrontConfig *config)
{
    for (size_t i = 0; i < config->nodes.len; i++) {
        if (strcmp(config->nodes.items[i].id, node->id) == 0 &&
            same_addr(&config->nodes.items[i].addr, &node->addr)) {
            return true;
        }
    }
    return false;
}

static void nodes_settle(Front *front, const FrontConfig *config)
{
    for (ListNode *at = list_first(&front->nodes), *next; at != NULL; at = next) {
        FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        next = list_next(&front->nodes, at);
        if (!node_is_configured(node, config)) {
            node->gone = true;
            node->connections++; /* so that the release sees whether it was the last */
            front_node_release(front, node);
        }
    }
    for (size_t i = 0; i < config->nodes.len; i++) {
        const FrontNodeConfig *wanted = &config->nodes.items[i];
        FrontNode *node = node_called(front, wanted);
        node = node != NULL ? node : node_new(front, wanted);
        node->primary = wanted->primary;
        node->available = wanted->available;
        node->handed = wanted->handed;
    }
}

/* ---- clients and their nodes ------------------------------------------------------------------
 */

static void front_retry(void *user)
{
    Front *front = user;
    size_t tries = FAILING_TRIES;
    for (size_t left = front->waiting.len; left > 0; left--) {
        ListNode *at = list_first(&front->waiting);
        FrontClient *client = CONTAINER_OF(at, FrontClient, waiting);
        const FrontNode *node = front_pick(front, client->reader);
        if (node != NULL && node->failing && tries-- == 0) {
            break; /* the others follow when one of these got through */
        }
        front_unwait(front, client);
        front_link_begin(client); /* waits again where there is no node */
    }
    if (front->waiting.len == 0) {
        loop_timer_stop(&front->retry);
    }
}

void front_wait(Front *front, FrontClient *client)
{
    list_push_back(&front->waiting, &client->waiting);
    if (!loop_timer_armed(&front->retry)) {
        loop_timer_start(front->loop, &front->retry, RETRY_MS, RETRY_MS, front_retry, front);
    }
}

void front_unwait(Front *front, FrontClient *client)
{
    list_remove(&front->waiting, &client->waiting);
}

/* Whether the node that a client has is still the right one for its endpoint. */
static bool client_is_placed(const FrontClient *client)
{
    const FrontNode *node = client->at;
    bool gated = node != NULL && client->front->config->durable && node->primary;
    return node == NULL ||
           (!node->gone && node->primary == client->at_primary && gated == client->gated);
}

/* Readers that have the primary since there was no replica go to one that is there again, where
 * they have nothing under way. */
static void reader_return(FrontClient *client)
{
    if (client->reader && client->at_primary && client->link == LINK_READY &&
        front_client_is_idle(client) && front_session_can_move(&client->session) &&
        front_pick(client->front, true) != client->at) {
        front_link_drop(client);
        front_session_cut(&client->session);
    }
}

static void clients_settle(Front *front)
{
    size_t cut = 0;
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        if (client_is_placed(client)) {
            if (!front->config->hold) {
                front_client_unhold(client);
            }
            reader_return(client);
            continue;
        }
        if (!front_client_stays(client)) {
            cut++;
            front_client_move(client);
        }
    }
    if (cut > 0) {
        log_info(FRONT_MODULE, "%zu connections leave a node whose role has changed", cut);
    }
    if (front->waiting.len > 0) {
        front_retry(front);
    }
}

static void gates_follow(Front *front)
{
    for (ListNode *at = list_first(&front->nodes), *next; at != NULL; at = next) {
        next = list_next(&front->nodes, at);
        front_gate_settle(CONTAINER_OF(at, FrontNode, node));
    }
}

static bool gate_is_used(const Front *front, const FrontNode *node)
{
    LIST_FOR_EACH (&front->clients, at) {
        const FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        if (client->at == node && client->gated) {
            return true;
        }
    }
    return false;
}

/* Behind clients_settle: nobody needs them any more. */
static void gates_settle(Front *front)
{
    LIST_FOR_EACH (&front->nodes, at) {
        FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        bool right = node->primary && front->config->durable;
        if (!right && node->gate != NULL && !gate_is_used(front, node)) {
            front_gate_close(node);
        }
    }
}

static void front_settle(void *user)
{
    Front *front = user;
    clients_settle(front);
    gates_settle(front);
}

void front_settle_soon(Front *front)
{
    loop_timer_start(front->loop, &front->settle, 0, 0, front_settle, front);
}

static void front_stop_now(void *user)
{
    Front *front = user;
    loop_stop(front->loop);
}

/* ---- the agent --------------------------------------------------------------------------------
 */

bool front_configure(Front *front, const json_t *json, Err *err)
{
    FrontConfig *config;
    if (front->stopping) {
        return err_set(err, ERR_CONFLICT, "the front is stopping");
    }
    TRY(front_config_parse(json, &config, err));
    bool first = front->config == NULL;
    if ((!front->leaving && !endpoints_open(front, config, err)) ||
        (first && !succession_take(front->succession, err))) {
        front_config_free(config);
        return false;
    }
    FrontConfig *old = front->config;
    front->config = config;
    endpoints_settle(front, config);
    nodes_settle(front, config);
    gates_follow(front);
    front_settle(front);
    front_config_free(old);
    if (first) {
        front_endpoints_pause(front, false);
        succession_serves(front->succession);
    }
    return true;
}

/* Without its place an heir is nobody: whoever serves goes on. */
static bool front_on_config(void *user, const json_t *json, Err *err)
{
    Front *front = user;
    if (!front_configure(front, json, err)) {
        if (succession_is_heir(front->succession)) {
            front->exit_code = err_exit_code(err->code);
            loop_timer_start(front->loop, &front->stop, HEIR_END_MS, 0, front_stop_now, front);
        }
        return false;
    }
    succession_config(front->succession, json);
    return true;
}

static void front_stop_look(void *user)
{
    Front *front = user;
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        if (front_client_is_idle(client)) {
            front_client_close(client);
        }
    }
    if (front->clients.len > 0) {
        return;
    }
    LIST_FOR_EACH (&front->nodes, at) {
        front_gate_close(CONTAINER_OF(at, FrontNode, node));
    }
    bool ended = loop_stream_count(front->loop) <= 1; /* the agent's */
    if (ended) {
        loop_stop(front->loop);
    } else if (!front->lingering) {
        front->lingering = true;
        loop_timer_start(front->loop, &front->stop, STOP_LINGER_MS, 0, front_stop_now, front);
    }
}

void front_stop(Front *front)
{
    if (front->stopping) {
        return;
    }
    front->stopping = true;
    front_sentinels_close(front);
    succession_stop(front->succession);
    for (ListNode *node; (node = list_pop_front(&front->endpoints)) != NULL;) {
        endpoint_free(CONTAINER_OF(node, Endpoint, node));
    }
    loop_timer_start(front->loop, &front->second, 0, STOP_LOOK_MS, front_stop_look, front);
    loop_timer_start(front->loop, &front->stop, STOP_GRACE_MS, 0, front_stop_now, front);
}

static void front_on_stop(void *user)
{
    front_stop(user);
}

static void front_on_signal(void *user, int signo)
{
    (void)signo;
    front_stop(user);
}

/* ---- each second ------------------------------------------------------------------------------
 */

static void clients_look(Front *front)
{
    int64_t now = loop_now_ms(front->loop);
    int64_t idle_ms = front->config != NULL ? front->config->idle_timeout_ms : 0;
    for (ListNode *at = list_first(&front->clients), *next; at != NULL; at = next) {
        FrontClient *client = CONTAINER_OF(at, FrontClient, node);
        next = list_next(&front->clients, at);
        int64_t silent_ms = now - client->last_ms;
        bool idle = idle_ms > 0 && silent_ms >= idle_ms && front_client_is_idle(client);
        if (idle || (client->quitting && silent_ms >= QUITTING_MAX_MS)) {
            front_client_close(client);
        } else {
            reader_return(client);
        }
    }
}

static void gates_beat(const Front *front)
{
    LIST_FOR_EACH (&front->nodes, at) {
        front_gate_beat(CONTAINER_OF(at, FrontNode, node));
    }
}

static json_t *nodes_status(const Front *front)
{
    json_t *nodes = json_array();
    LIST_FOR_EACH (&front->nodes, at) {
        const FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        json_array_append_new(nodes, json_pack("{s:s, s:b, s:I, s:b}", "id", node->id, "primary",
                                               (int)node->primary, "connections",
                                               (json_int_t)node->connections, "failing",
                                               (int)node->failing));
    }
    return nodes;
}

static void front_each_second(void *user)
{
    Front *front = user;
    clients_look(front);
    gates_beat(front);
    if (front->leaving) {
        front_sentinels_close(front); /* they ask the other process */
    }
    plane_status(front->plane,
                 json_pack("{s:{s:I, s:I}, s:I, s:o}", "clients", "primary",
                           (json_int_t)front->counts[0], "reader", (json_int_t)front->counts[1],
                           "waiting", (json_int_t)front->waiting.len, "nodes",
                           nodes_status(front)));
}

/* ---- life -------------------------------------------------------------------------------------
 */

static bool front_start(Front *front, const PlaneArgs *args, Err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, 0};
    static const PlaneHandlers handlers = {.on_config = front_on_config, .on_stop = front_on_stop};
    TRY(loop_new(&front->loop, err));
    TRY(loop_signals(front->loop, signals, front_on_signal, front, err));
    TRY(plane_succession_new(front->loop, args, &front_succession_handlers, front,
                             &front->succession, err));
    TRY(plane_new(front->loop, args, front->succession, &handlers, front, &front->plane, err));
    loop_timer_start(front->loop, &front->second, 0, SECOND_MS, front_each_second, front);
    return true;
}

static void front_done(Front *front)
{
    for (ListNode *at; (at = list_first(&front->clients)) != NULL;) {
        front_client_close(CONTAINER_OF(at, FrontClient, node));
    }
    front_sentinels_close(front);
    for (ListNode *at; (at = list_pop_front(&front->endpoints)) != NULL;) {
        endpoint_free(CONTAINER_OF(at, Endpoint, node));
    }
    for (ListNode *at; (at = list_pop_front(&front->nodes)) != NULL;) {
        node_free(CONTAINER_OF(at, FrontNode, node));
    }
    loop_timer_stop(&front->retry);
    loop_timer_stop(&front->settle);
    loop_timer_stop(&front->second);
    loop_timer_stop(&front->stop);
    loop_timer_stop(&front->left);
    plane_free(front->plane);
    succession_free(front->succession);
    vec_done(&front->elsewhere);
    if (front->loop != NULL) {
        loop_free(front->loop);
    }
    front_config_free(front->config);
}

int front_main(int argc, char **argv)
{
    Front front = {0};
    PlaneArgs args;
    Err err;
    list_init(&front.endpoints);
    list_init(&front.nodes);
    list_init(&front.clients);
    list_init(&front.sentinels);
    list_init(&front.waiting);
    if (!plane_args_parse(argc, argv, &args, &err)) {
        fprintf(stderr, "weir front: %s\n", err.message);
        return err_exit_code(err.code);
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    bool started = front_start(&front, &args, &err);
    if (started) {
        loop_run(front.loop);
    } else {
        log_error(FRONT_MODULE, "%s", err.message);
    }
    front_done(&front);
    return started ? front.exit_code : err_exit_code(err.code);
}
