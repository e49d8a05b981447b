/*
 * How the serving process gives its place away: an heir that asks is offered the sockets, is told
 * what there is when it is ready, and has the seat from then on. Where it does not take it, the
 * place comes back.
 */
#include "plane/link_priv.h"

static void refuse(SuccessionLink *link, const char *why)
{
    link_send(link, json_pack("{s:s}", "refused", why), NULL, 0);
    link_cut(link);
}

static void heir_late(void *user)
{
    SuccessionLink *link = user;
    log_warn("plane", "the process that was to take this one's place was not ready in %d s",
             SUCCESSION_READY_MS / 1000);
    link_cut(link);
}

static void send_offer(SuccessionLink *link, const SuccessionSockets *sockets)
{
    Succession *succession = link->succession;
    int fds[SUCCESSION_SOCKETS];
    size_t len = 0;
    fds[len++] = succession->door_fd;
    if (!succession->seat_is_file) {
        fds[len++] = succession->seat_fd;
    }
    for (size_t i = 0; i < sockets->len; i++) {
        fds[len++] = sockets->fds[i];
    }
    link->role = LINK_HEIR;
    link->generation = succession_generation_after(succession->generation);
    loop_timer_start(succession->loop, &link->timer, SUCCESSION_READY_MS, 0, heir_late, link);
    Err err;
    json_t *offer =
        json_pack("{s:i, s:O}", "offer", (int)succession->generation, "names", sockets->names);
    if (!link_send_now(link, offer, fds, len, &err)) {
        log_warn("plane", "%s", err.message);
        link_cut(link);
    }
}

void succession_offer_asked(SuccessionLink *link, const json_t *message)
{
    Succession *succession = link->succession;
    SuccessionSockets sockets = {.names = json_array()};
    if (json_integer_value(json_object_get(message, "take_over")) != SUCCESSION_PROTOCOL) {
        refuse(link, "it speaks another version of the succession: stop it, and start the new one");
    } else if (succession->state != SUCCESSION_SERVING || succession->door_fd < 0) {
        refuse(link, "it does not serve at present");
    } else if (link_of_role(succession, LINK_HEIR) != NULL) {
        refuse(link, "another process is taking its place already");
    } else if (!succession->handlers->on_offer(succession->user, &sockets)) {
        refuse(link, "it has no sockets to hand on, or is stopping");
    } else {
        ASSERT(sockets.len + 2 <= SUCCESSION_SOCKETS);
        send_offer(link, &sockets);
    }
    json_decref(sockets.names);
}

/* It was told to take the place, and has neither done so nor ended. Where it has the seat, it will.
 */
static void commit_late(void *user)
{
    SuccessionLink *link = user;
    Succession *succession = link->succession;
    if (succession->state == SUCCESSION_COMMITTED && seat_take(succession->seat_fd, NULL)) {
        log_warn("plane", "the process that was to take this one's place did not");
        link_cut(link);
        succession_return(succession);
        return;
    }
    loop_timer_start(succession->loop, &link->timer, SUCCESSION_COMMIT_MS, 0, commit_late, link);
}

void succession_offer_ready(SuccessionLink *link)
{
    Succession *succession = link->succession;
    json_t *books = json_array();
    size_t i;
    json_t *book;
    log_info("plane", "generation %u takes the place of generation %u", link->generation,
             succession->generation);
    succession->state = SUCCESSION_COMMITTED;
    succession_door_unwatch(succession);
    succession->handlers->on_leave(succession->user, books);
    json_array_foreach (books, i, book) {
        link_send(link, json_pack("{s:O}", "book", book), NULL, 0);
    }
    json_decref(books);
    seat_give(succession->seat_fd);
    link_send(link, json_pack("{s:b}", "commit", 1), NULL, 0);
    loop_timer_start(succession->loop, &link->timer, SUCCESSION_COMMIT_MS + 1000, 0, commit_late,
                     link);
}

/* Those that have left before are the next one's to talk to. */
static void links_down_cut(Succession *succession)
{
    LIST_FOR_EACH (&succession->links, node) {
        SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        if (link->role == LINK_DOWN || link->role == LINK_JOINING || link->role == LINK_NEW) {
            uint32_t generation = link->role == LINK_DOWN ? link->generation : 0;
            link_cut(link);
            if (generation > 0) {
                succession->handlers->on_parted(succession->user, generation, false);
            }
        }
    }
}

void succession_offer_served(SuccessionLink *link)
{
    Succession *succession = link->succession;
    loop_timer_stop(&link->timer);
    link->role = LINK_UP;
    succession->state = SUCCESSION_LEAVING;
    links_down_cut(succession);
    succession->kin.len = 0;
    loop_timer_stop(&succession->kin_timer);
    fd_close(&succession->config_fd);
    succession->left = true;
    succession->handlers->on_joined(succession->user, link);
    succession->handlers->on_left(succession->user);
}
