/*
 * Cancel requests that came to another process than their client's. One that is sent on is
 * remembered until it is answered, its process is gone, or it has taken too long; the serving
 * process stands between two that are leaving.
 */
#include "proxy/client/cancel_priv.h"
#include "proxy/proxy_priv.h"
#include "proxy/upgrade/peers_priv.h"

struct PeersCancel {
    ListNode node; /* in peers->cancels */
    Peers *peers;
    int64_t id;
    const SuccessionLink *link;
    PeersCancelledFn *done;
    void *user;
    LoopTimer timer;
};

static void cancel_over(PeersCancel *cancel)
{
    list_remove(&cancel->peers->cancels, &cancel->node);
    loop_timer_stop(&cancel->timer);
    cancel->done(cancel->user);
    mem_free(cancel);
}

static void cancel_late(void *user)
{
    cancel_over(user);
}

void peers_cancel(Peers *peers, uint32_t generation, uint32_t pid, Slice key,
                  PeersCancelledFn *done, void *user)
{
    char hex[2 * CANCEL_KEY_SIZE + 1];
    SuccessionLink *link = peers->leaving ? peers->up : peers_link_of(peers, generation);
    if (link == NULL || key.len != CANCEL_KEY_SIZE || peers->cancels.len >= PEERS_CANCELS_MAX) {
        done(user);
        return;
    }
    PeersCancel *cancel = mem_alloc(sizeof(PeersCancel));
    cancel->peers = peers;
    cancel->id = ++peers->next_id;
    cancel->link = link;
    cancel->done = done;
    cancel->user = user;
    list_push_back(&peers->cancels, &cancel->node);
    loop_timer_start(peers->proxy->loop, &cancel->timer, PEERS_CANCEL_MS, 0, cancel_late, cancel);
    hex_encode(key.data, key.len, hex);
    succession_send(link, json_pack("{s:I, s:I, s:I, s:s}", "cancel", (json_int_t)cancel->id, "of",
                                    (json_int_t)generation, "pid", (json_int_t)pid, "key", hex));
}

/* ---- those of others ---------------------------------------------------------------------------
 */

typedef struct Reply {
    Peers *peers;
    SuccessionLink *link;
    uint32_t generation; /* of who asked; 0: the serving process */
    int64_t id;
} Reply;

/* The link may be another one by now, or none. */
static void reply(void *user)
{
    Reply *answer = user;
    const Peers *peers = answer->peers;
    SuccessionLink *now =
        answer->generation == 0 ? peers->up : peers_link_of(peers, answer->generation);
    if (now != NULL && now == answer->link) {
        succession_send(now, json_pack("{s:I}", "cancelled", (json_int_t)answer->id));
    }
    mem_free(answer);
}

static void take_request(Peers *peers, SuccessionLink *link, const json_t *message)
{
    char key[CANCEL_KEY_SIZE];
    size_t len = 0;
    const char *hex = json_string_value(json_object_get(message, "key"));
    uint32_t generation = (uint32_t)json_integer_value(json_object_get(message, "of"));
    uint32_t pid = (uint32_t)json_integer_value(json_object_get(message, "pid"));
    if (hex == NULL || !hex_decode(slice_of(hex), key, sizeof(key), &len) || len != sizeof(key)) {
        return;
    }
    Reply *answer = mem_alloc(sizeof(Reply));
    *answer = (Reply){.peers = peers,
                      .link = link,
                      .generation = peers->leaving ? 0 : succession_link_generation(link),
                      .id = json_integer_value(json_object_get(message, "cancel"))};
    if (generation == peers->proxy->generation) {
        proxy_cancel_local(peers->proxy, pid, slice_from(key, len), reply, answer);
    } else if (!peers->leaving) {
        peers_cancel(peers, generation, pid, slice_from(key, len), reply, answer);
    } else {
        reply(answer);
    }
}

bool peers_cancel_take(Peers *peers, SuccessionLink *link, const json_t *message)
{
    const json_t *cancelled = json_object_get(message, "cancelled");
    if (json_object_get(message, "cancel") != NULL) {
        take_request(peers, link, message);
        return true;
    }
    if (cancelled == NULL) {
        return false;
    }
    LIST_FOR_EACH (&peers->cancels, node) {
        PeersCancel *cancel = CONTAINER_OF(node, PeersCancel, node);
        if (cancel->id == json_integer_value(cancelled) && cancel->link == link) {
            cancel_over(cancel);
            break;
        }
    }
    return true;
}

void peers_cancel_lost(Peers *peers, const SuccessionLink *link)
{
    for (ListNode *node = list_first(&peers->cancels), *next; node != NULL; node = next) {
        PeersCancel *cancel = CONTAINER_OF(node, PeersCancel, node);
        next = list_next(&peers->cancels, node);
        if (cancel->link == link) {
            cancel_over(cancel);
        }
    }
}

/* The workers are no more: nobody is to be told. */
void peers_cancels_done(Peers *peers)
{
    for (ListNode *node; (node = list_pop_front(&peers->cancels)) != NULL;) {
        PeersCancel *cancel = CONTAINER_OF(node, PeersCancel, node);
        loop_timer_stop(&cancel->timer);
        mem_free(cancel->user);
        mem_free(cancel);
    }
}
