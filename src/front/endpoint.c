/*
 * Endpoints: where the front listens, and who is let in. Those of a new configuration listen before
 * anything of it counts; where one of them cannot, none does. One that is handed on by an earlier
 * process is taken over as it is.
 */
#include <unistd.h>

#include "front/front_priv.h"

#define TOO_MANY "-ERR max number of clients reached\r\n"

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

static Endpoint *endpoint_at(const Front *front, const NetAddr *addr)
{
    LIST_FOR_EACH (&front->endpoints, node) {
        Endpoint *endpoint = CONTAINER_OF(node, Endpoint, node);
        if (net_addr_same(&endpoint->addr, addr)) {
            return endpoint;
        }
    }
    return NULL;
}

bool front_endpoints_open(Front *front, const FrontConfig *config, Err *err)
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

void front_endpoints_settle(Front *front, const FrontConfig *config)
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

void front_endpoints_close(Front *front)
{
    for (ListNode *node; (node = list_pop_front(&front->endpoints)) != NULL;) {
        endpoint_free(CONTAINER_OF(node, Endpoint, node));
    }
}
