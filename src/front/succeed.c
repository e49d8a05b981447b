/*
 * The front's part in handing over to another process (docs/upgrade.md): its endpoints are paused,
 * not closed; clients stay. The number of clients of leaving processes counts for `clients_max`.
 */
#include "front/front_priv.h"

#define LEFT_LOOK_MS 50

/* ---- what others hold --------------------------------------------------------------------------
 */

static FrontElsewhere *elsewhere_of(Front *front, uint32_t generation)
{
    for (size_t i = 0; i < front->elsewhere.len; i++) {
        if (front->elsewhere.items[i].generation == generation) {
            return &front->elsewhere.items[i];
        }
    }
    vec_push(&front->elsewhere, ((FrontElsewhere){.generation = generation}));
    return &front->elsewhere.items[front->elsewhere.len - 1];
}

size_t front_clients_everywhere(const Front *front)
{
    size_t count = front->clients.len;
    for (size_t i = 0; i < front->elsewhere.len; i++) {
        count += front->elsewhere.items[i].clients;
    }
    return count;
}

static json_t *book_of(uint32_t generation, size_t clients)
{
    return json_pack("{s:I, s:I}", "of", (json_int_t)generation, "clients", (json_int_t)clients);
}

static void on_book(void *user, const json_t *books)
{
    Front *front = user;
    size_t i;
    json_t *book;
    json_array_foreach (books, i, book) {
        uint32_t of = (uint32_t)json_integer_value(json_object_get(book, "of"));
        elsewhere_of(front, of)->clients =
            (size_t)json_integer_value(json_object_get(book, "clients"));
    }
}

static void on_joined(void *user, SuccessionLink *link)
{
    Front *front = user;
    if (succession_is_leaving(front->succession)) {
        front->up = link;
    }
}

static void on_parted(void *user, uint32_t generation, bool gone)
{
    Front *front = user;
    if (succession_is_leaving(front->succession)) {
        front->up = NULL;
    } else if (gone) {
        elsewhere_of(front, generation)->clients = 0;
    }
}

static void on_message(void *user, SuccessionLink *link, const json_t *message)
{
    Front *front = user;
    const json_t *clients = json_object_get(message, "clients");
    if (!succession_is_leaving(front->succession) && json_is_integer(clients)) {
        elsewhere_of(front, succession_link_generation(link))->clients =
            (size_t)json_integer_value(clients);
    }
}

/* ---- coming and going --------------------------------------------------------------------------
 */

static bool on_offer(void *user, SuccessionSockets *sockets)
{
    Front *front = user;
    if (front->stopping || front->leaving || front->config == NULL) {
        return false;
    }
    front_endpoints_offer(front, sockets);
    return true;
}

static void on_leave(void *user, json_t *books)
{
    Front *front = user;
    front->leaving = true;
    front_endpoints_pause(front, true);
    front->told = front->clients.len;
    json_array_append_new(books, book_of(succession_generation(front->succession), front->told));
    for (size_t i = 0; i < front->elsewhere.len; i++) {
        const FrontElsewhere *other = &front->elsewhere.items[i];
        if (other->clients > 0) {
            json_array_append_new(books, book_of(other->generation, other->clients));
        }
    }
}

static void on_hold(void *user, json_t *books)
{
    Front *front = user;
    front->told = front->clients.len;
    json_array_append_new(books, book_of(succession_generation(front->succession), front->told));
}

static void left_look(void *user)
{
    Front *front = user;
    int64_t left_ms = loop_now_ms(front->loop) - front->left_ms;
    if (!succession_is_leaving(front->succession)) {
        return; /* it is about to serve again */
    }
    if (front->clients.len == 0 || left_ms >= front->config->upgrade_drain_ms) {
        log_info(FRONT_MODULE, "leaving: %s",
                 front->clients.len == 0 ? "the last client has gone" : "upgrade_drain_s is over");
        loop_timer_stop(&front->left);
        front_stop(front);
        return;
    }
    if (front->up != NULL && front->told != front->clients.len) {
        front->told = front->clients.len;
        succession_send(front->up, json_pack("{s:I}", "clients", (json_int_t)front->told));
    }
}

static void on_left(void *user)
{
    Front *front = user;
    log_info(FRONT_MODULE, "leaving: another process accepts, %zu clients stay",
             front->clients.len);
    front->elsewhere.len = 0;
    plane_leave(front->plane);
    front->left_ms = loop_now_ms(front->loop);
    loop_timer_start(front->loop, &front->left, LEFT_LOOK_MS, LEFT_LOOK_MS, left_look, front);
}

static void on_return(void *user)
{
    Front *front = user;
    front->leaving = false;
    front->up = NULL;
    loop_timer_stop(&front->left);
    front_endpoints_pause(front, false);
    plane_return(front->plane);
}

static void on_config(void *user, const json_t *json)
{
    Err err;
    if (!front_configure(user, json, &err)) {
        log_warn(FRONT_MODULE, "leaving, and the new configuration is refused: %s", err.message);
    }
}

static void on_stop(void *user)
{
    front_stop(user);
}

const SuccessionHandlers front_succession_handlers = {
    .on_offer = on_offer,
    .on_leave = on_leave,
    .on_left = on_left,
    .on_return = on_return,
    .on_hold = on_hold,
    .on_book = on_book,
    .on_joined = on_joined,
    .on_parted = on_parted,
    .on_message = on_message,
    .on_config = on_config,
    .on_stop = on_stop,
};
