/* Clients: each writes, waits for the answer, and writes again. */
#include "group_sim.h"

#define GIVE_UP_US (12 * S)

static void next(World *w, const Event *event);

static void pause_then_next(World *w, int client)
{
    later(w, roll(w, 5 * MS, 120 * MS), next, client, 0);
}

static void gives_up(World *w, const Event *event)
{
    uint32_t op = (uint32_t)event->b;
    GroupOp *what = &w->group->ops.items[op];
    if (what->state != GROUP_OP_OVER) {
        front_over(w, &w->group->fronts[what->front], op, false, false);
    }
}

static void arrive(World *w, const Event *event)
{
    uint32_t op = (uint32_t)event->b;
    if (w->group->ops.items[op].state != GROUP_OP_OVER) {
        front_take(w, (int)event->a, op);
    }
}

/* A front that is there; -1: none is. */
static int choose(World *w, int home)
{
    for (int i = 0; i < w->proxies_len; i++) {
        int front = (home + i) % w->proxies_len;
        if (w->group->fronts[front].up && w->hosts[w->group->fronts[front].host].up) {
            return front;
        }
    }
    return -1;
}

static void next(World *w, const Event *event)
{
    int client = (int)event->a;
    int front = choose(w, client);
    if (front < 0) {
        pause_then_next(w, client);
        return;
    }
    GroupOp op = {.client = client, .front = front, .held_since = w->now};
    vec_push(&w->group->ops, op);
    uint32_t number = (uint32_t)w->group->ops.len - 1;
    later_in(w, &w->group->fronts[front].proc, roll(w, 20, 200), arrive, front, number);
    later(w, GIVE_UP_US, gives_up, client, number);
}

void group_client_answer(World *w, uint32_t op, bool known, bool refused)
{
    GroupOp *what = &w->group->ops.items[op];
    ASSERT(what->state != GROUP_OP_OVER);
    what->state = GROUP_OP_OVER;
    if (refused && what->write != 0) {
        fail(w, "write %u was carried out, and its client was told that it was not", what->write);
    }
    pause_then_next(w, what->client);
    if (known) {
        group_check_ack(w, op);
    }
}

void group_client_begin(World *w)
{
    for (int i = 0; i < GROUP_CLIENTS; i++) {
        pause_then_next(w, i);
    }
}
