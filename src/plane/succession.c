/*
 * One process after the other at the same sockets: docs/upgrade.md has the states, the steps, and
 * what happens when either process ends at each of them. A succession is in the state of its
 * process; who else there is stands in its links. What the processes hold, and tell each other of
 * it, is theirs: it passes through.
 *
 * The seat decides who serves: nothing here accepts, or tells anybody to, without it.
 */
#include <unistd.h>

#include "plane/link_priv.h"

#define ALONE_AGAIN_MS 200

uint32_t succession_generation_after(uint32_t generation)
{
    return generation % GENERATION_MAX + 1;
}

/* ---- the door ---------------------------------------------------------------------------------
 */

static void link_silent(void *user)
{
    link_cut(user);
}

static void door_ready(void *user, uint32_t events)
{
    Succession *succession = user;
    (void)events;
    int fd = accept4(succession->door_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (!door_peer_is_ours(fd)) {
        log_warn("plane", "somebody of another account asked for the sockets, and got nothing");
        fd_close(&fd);
        return;
    }
    SuccessionLink *link = link_new(succession, fd, LINK_NEW);
    if (link->role == LINK_NEW) {
        loop_timer_start(succession->loop, &link->timer, SUCCESSION_OFFER_MS, 0, link_silent, link);
    }
}

void succession_door_watch(Succession *succession)
{
    Err err;
    if (succession->door_fd >= 0 && succession->door_watch == NULL &&
        !loop_fd_add(succession->loop, succession->door_fd, EPOLLIN, door_ready, succession,
                     &succession->door_watch, &err)) {
        log_error("plane", "no other process can take this one's place: %s", err.message);
    }
}

void succession_door_unwatch(Succession *succession)
{
    loop_fd_remove(succession->door_watch);
    succession->door_watch = NULL;
}

void succession_door_open(Succession *succession)
{
    Err err;
    if (succession->seat_is_file) {
        unlink(succession->door);
    }
    if (succession->door_fd < 0 && !door_listen(succession->door, &succession->door_fd, &err)) {
        log_warn("plane", "no other process can take this one's place: %s", err.message);
    }
}

/* ---- leaving, and nobody there ----------------------------------------------------------------
 */

void succession_return(Succession *succession)
{
    log_warn("plane", "generation %u serves again: its successor is gone", succession->generation);
    succession->state = SUCCESSION_RETURNING;
    succession->left = false;
    loop_timer_stop(&succession->timer);
    succession_door_watch(succession);
    succession_kin_return(succession);
}

static void join(Succession *succession, int fd)
{
    SuccessionLink *link = link_new(succession, fd, LINK_UP);
    json_t *books = json_array();
    size_t i;
    json_t *book;
    succession->state = SUCCESSION_LEAVING;
    succession->handlers->on_hold(succession->user, books);
    link_send(link,
              json_pack("{s:i, s:I}", "join", (int)succession->generation, "books",
                        (json_int_t)json_array_size(books)),
              NULL, 0);
    json_array_foreach (books, i, book) {
        link_send(link, json_pack("{s:O}", "book", book), NULL, 0);
    }
    json_decref(books);
    if (link->role == LINK_UP) {
        succession->handlers->on_joined(succession->user, link);
    }
    if (!succession->left) {
        succession->left = true;
        succession->handlers->on_left(succession->user);
    }
}

static void alone_look(void *user)
{
    Succession *succession = user;
    int fd;
    if (seat_take(succession->seat_fd, NULL)) {
        succession_return(succession);
    } else if (door_connect(succession->door, &fd, NULL)) {
        join(succession, fd);
    } else {
        loop_timer_start(succession->loop, &succession->timer, ALONE_AGAIN_MS, 0, alone_look,
                         succession);
    }
}

static void alone(Succession *succession)
{
    succession->state = SUCCESSION_ALONE;
    alone_look(succession);
}

/* ---- messages ---------------------------------------------------------------------------------
 */

static void take_config(const Succession *succession, const int *fds, size_t len)
{
    Buf text;
    buf_init(&text, PLANE_LINE_MAX);
    if (len == 1 && text_file_read(fds[0], &text)) {
        json_t *config = json_loadb(text.data, text.len, 0, NULL);
        if (config != NULL) {
            succession->handlers->on_config(succession->user, config);
        }
        json_decref(config);
    }
    crypto_wipe(text.data, text.len);
    buf_done(&text);
}

static void take_of_new(SuccessionLink *link, const json_t *message)
{
    if (json_object_get(message, "take_over") != NULL) {
        succession_offer_asked(link, message);
    } else if (json_object_get(message, "join") != NULL &&
               (link->succession->state == SUCCESSION_SERVING ||
                link->succession->state == SUCCESSION_RETURNING)) {
        succession_kin_join(link, message);
    } else {
        link_cut(link);
    }
}

static void take_of_heir(SuccessionLink *link, const json_t *message)
{
    Succession *succession = link->succession;
    if (json_object_get(message, "ready") != NULL && succession->state == SUCCESSION_SERVING) {
        succession_offer_ready(link);
    } else if (json_object_get(message, "serving") != NULL &&
               succession->state == SUCCESSION_COMMITTED) {
        succession_offer_served(link);
    }
}

static void take_of_serving(SuccessionLink *link, const json_t *message, const int *fds, size_t len)
{
    Succession *succession = link->succession;
    if (json_object_get(message, "config") != NULL) {
        take_config(succession, fds, len);
    } else if (json_object_get(message, "stop") != NULL) {
        succession->state = SUCCESSION_STOPPED;
        succession->handlers->on_stop(succession->user);
    } else {
        succession->handlers->on_message(succession->user, link, message);
    }
}

void succession_take_message(SuccessionLink *link, const json_t *message, const int *fds,
                             size_t len)
{
    json_t *book = json_object_get(message, "book");
    switch (link->role) {
    case LINK_NEW:
        take_of_new(link, message);
        break;
    case LINK_HEIR:
        take_of_heir(link, message);
        break;
    case LINK_JOINING:
        if (json_is_object(book)) {
            succession_kin_book(link, book);
        }
        break;
    case LINK_DOWN:
        link->succession->handlers->on_message(link->succession->user, link, message);
        break;
    case LINK_UP:
        take_of_serving(link, message, fds, len);
        break;
    case LINK_DEAD:
    default:
        break;
    }
}

void succession_link_lost(SuccessionLink *link)
{
    Succession *succession = link->succession;
    LinkRole role = link->role;
    uint32_t generation = link->generation;
    link_cut(link);
    if (role == LINK_DOWN) {
        log_info("plane", "generation %u has left", generation);
        succession_config_forget(succession);
        succession->handlers->on_parted(succession->user, generation, true);
    } else if (role == LINK_UP) {
        succession->handlers->on_parted(succession->user, generation, false);
        if (succession->state == SUCCESSION_LEAVING) {
            alone(succession);
        }
    } else if (role == LINK_HEIR && succession->state == SUCCESSION_COMMITTED) {
        alone(succession);
    } else if (role == LINK_HEIR) {
        log_warn("plane",
                 "the process that was to take this one's place ended before it was ready");
    }
}

void succession_send(SuccessionLink *link, json_t *message)
{
    link_send(link, message, NULL, 0);
}

uint32_t succession_link_generation(const SuccessionLink *link)
{
    return link->generation;
}

pid_t succession_link_pid(const SuccessionLink *link)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(link->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

/* ---- life -------------------------------------------------------------------------------------
 */

bool succession_is_heir(const Succession *succession)
{
    return succession->state == SUCCESSION_HEIR;
}

bool succession_is_leaving(const Succession *succession)
{
    return succession->state == SUCCESSION_LEAVING || succession->state == SUCCESSION_ALONE;
}

uint32_t succession_generation(const Succession *succession)
{
    return succession->generation;
}

int succession_seat_fd(const Succession *succession)
{
    return succession->seat_fd;
}

void succession_stop(Succession *succession)
{
    bool serving = succession->state == SUCCESSION_SERVING;
    succession->state = SUCCESSION_STOPPED;
    loop_timer_stop(&succession->timer);
    succession_door_unwatch(succession);
    LIST_FOR_EACH (&succession->links, node) {
        SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        if (link->role == LINK_DOWN || link->role == LINK_HEIR) {
            link_send(link, json_pack("{s:b}", "stop", 1), NULL, 0);
        }
    }
    if (serving && succession->seat_is_file) {
        unlink(succession->door);
    }
}

void succession_free(Succession *succession)
{
    if (succession == NULL) {
        return;
    }
    loop_timer_stop(&succession->timer);
    loop_timer_stop(&succession->kin_timer);
    succession_door_unwatch(succession);
    for (ListNode *node; (node = list_first(&succession->links)) != NULL;) {
        link_free(CONTAINER_OF(node, SuccessionLink, node));
    }
    loop_defer_cancel(&succession->sweep);
    packet_fds_close(succession->sockets, succession->socket_count);
    json_decref(succession->names);
    fd_close(&succession->offer_fd);
    fd_close(&succession->door_fd);
    fd_close(&succession->seat_fd);
    fd_close(&succession->config_fd);
    vec_done(&succession->kin);
    mem_free(succession->door);
    mem_free(succession);
}
