/* Clients: one operation at a time, on registers; each write replaces what it has read. */
#include "sim.h"

#define CANCEL_PERMILLE 30
#define PATIENCE_US     (2 * S)  /* then the client cancels */
#define GIVE_UP_US      (12 * S) /* and then it is gone */

static void next(World *w, const Event *event);

static void pause_then_next(World *w, int client)
{
    later(w, roll(w, 4 * MS, 60 * MS), next, client, 0);
}

static void wants_cancel(World *w, const Event *event)
{
    Client *client = &w->clients[event->a];
    if (client->op == (uint32_t)event->b) {
        proxy_cancel(w, w->ops.items[client->op].proxy, client->op);
    }
}

static void gives_up(World *w, const Event *event)
{
    Client *client = &w->clients[event->a];
    if (client->op == (uint32_t)event->b) {
        client_answer(w, client->op, false, false);
    }
}

/* A proxy that is there; -1: none is. */
static int choose(World *w, int home)
{
    for (int i = 0; i < w->proxies_len; i++) {
        int proxy = (home + i) % w->proxies_len;
        if (w->proxies[proxy].up && w->hosts[w->proxies[proxy].host].up) {
            return proxy;
        }
    }
    return -1;
}

static void arrive(World *w, const Event *event)
{
    uint32_t op = (uint32_t)event->b;
    if (w->ops.items[op].state != OP_OVER) {
        proxy_take(w, (int)event->a, op);
    }
}

static void next(World *w, const Event *event)
{
    int index = (int)event->a;
    Client *client = &w->clients[index];
    int proxy = choose(w, chance(w, 900) ? index : (int)roll(w, 0, w->proxies_len - 1));
    if (proxy < 0) {
        pause_then_next(w, index);
        return;
    }
    Op op = {.client = index,
             .proxy = proxy,
             .kind = chance(w, 600) ? REQUEST_WRITE : REQUEST_READ,
             .reg = (int)roll(w, 0, SIM_REGISTERS - 1),
             .state = OP_HELD,
             .begun = w->now};
    vec_push(&w->ops, op);
    client->op = (uint32_t)w->ops.len - 1;
    later_in(w, &w->proxies[proxy].proc, roll(w, 20, 200), arrive, proxy, client->op);
    bool hasty = !w->calming && w->profile == PROFILE_STORM && chance(w, CANCEL_PERMILLE);
    later(w, hasty ? roll(w, 200, 30 * MS) : PATIENCE_US, wants_cancel, index, client->op);
    later(w, GIVE_UP_US, gives_up, index, client->op);
}

void client_answer(World *w, uint32_t op, bool known, bool refused)
{
    Op *what = &w->ops.items[op];
    ASSERT(what->state != OP_OVER);
    what->state = OP_OVER;
    what->known = known;
    what->ended = known ? w->now : 0;
    (void)refused;
    w->clients[what->client].op = 0;
    pause_then_next(w, what->client);
    if (known && what->kind == REQUEST_WRITE) {
        check_ack(w, op);
    }
    if (known) {
        check_read(w, op);
    }
}

void client_begin(World *w)
{
    for (int i = 0; i < SIM_CLIENTS; i++) {
        w->clients[i] = (Client){.index = i};
        pause_then_next(w, i);
    }
}
