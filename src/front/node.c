/*
 * Nodes, as the configuration and the connections to them tell: which one a new connection goes to,
 * and which ones fail at present. One that is no longer configured lives as long as its last
 * connection.
 */
#include "front/front_priv.h"

#define NODE_REST_MS 100 /* after a failed connection */

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

/* ---- which one --------------------------------------------------------------------------------
 */

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

/* ---- what is configured -----------------------------------------------------------------------
 */

static FrontNode *node_called(const Front *front, const FrontNodeConfig *config)
{
    LIST_FOR_EACH (&front->nodes, at) {
        FrontNode *node = CONTAINER_OF(at, FrontNode, node);
        if (!node->gone && strcmp(node->id, config->id) == 0 &&
            net_addr_same(&node->addr, &config->addr)) {
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
            net_addr_same(&config->nodes.items[i].addr, &node->addr)) {
            return true;
        }
    }
    return false;
}

void front_nodes_settle(Front *front, const FrontConfig *config)
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

json_t *front_nodes_status(const Front *front)
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

void front_nodes_free(Front *front)
{
    for (ListNode *at; (at = list_pop_front(&front->nodes)) != NULL;) {
        node_free(CONTAINER_OF(at, FrontNode, node));
    }
}
