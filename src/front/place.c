/*
 * Which clients are at which nodes: those that wait for one are placed when there is one, and those
 * at a node whose role has changed leave it. Clients keep their connections over every change but
 * those that concern their node. The gates of nodes go with it: opened by clients, closed when
 * nobody needs them.
 */
#include "front/front_priv.h"

#define RETRY_MS      50 /* between looks for clients that wait for a node */
#define FAILING_TRIES 16 /* connections tried at once to a node that fails */

/* ---- without a node ---------------------------------------------------------------------------
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

/* ---- at the wrong one -------------------------------------------------------------------------
 */

/* Whether the node that a client has is still the right one for its endpoint. */
static bool client_is_placed(const FrontClient *client)
{
    const FrontNode *node = client->at;
    bool gated = node != NULL && client->front->config->durable && node->primary;
    return node == NULL ||
           (!node->gone && node->primary == client->at_primary && gated == client->gated);
}

void front_reader_return(FrontClient *client)
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
            front_reader_return(client);
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

void front_place_all(Front *front)
{
    gates_follow(front);
    front_settle(front);
}

void front_settle_soon(Front *front)
{
    loop_timer_start(front->loop, &front->settle, 0, 0, front_settle, front);
}
