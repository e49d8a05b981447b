/*
 * One process after the other at the same sockets: docs/upgrade.md has the states, the steps, and
 * what happens when either process ends at each of them. A succession is in the state of its
 * process; who else there is stands in its links. What the processes hold, and tell each other of
 * it, is theirs: it passes through.
 *
 * The seat decides who serves: nothing here accepts, or tells anybody to, without it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "plane/link_priv.h"

#define ALONE_AGAIN_MS  200
#define RETURN_AGAIN_MS 50 /* looks who lives that has not joined */

uint32_t succession_generation_after(uint32_t generation)
{
    return generation % GENERATION_MAX + 1;
}

/* ---- the door ----------------------------------------------------------------------------------
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

static void door_unwatch(Succession *succession)
{
    loop_fd_remove(succession->door_watch);
    succession->door_watch = NULL;
}

/* Whoever has the seat may put its door where an earlier process left one. */
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

/* ---- serving: an heir comes --------------------------------------------------------------------
 */

static SuccessionLink *link_of_role(const Succession *succession, LinkRole role)
{
    LIST_FOR_EACH (&succession->links, node) {
        SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        if (link->role == role) {
            return link;
        }
    }
    return NULL;
}

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

static void on_take_over(SuccessionLink *link, const json_t *message)
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

static void back_to_service(Succession *succession);

/* It was told to take the place, and has neither done so nor ended. Where it has the seat, it will.
 */
static void commit_late(void *user)
{
    SuccessionLink *link = user;
    Succession *succession = link->succession;
    if (succession->state == SUCCESSION_COMMITTED && seat_take(succession->seat_fd, NULL)) {
        log_warn("plane", "the process that was to take this one's place did not");
        link_cut(link);
        back_to_service(succession);
        return;
    }
    loop_timer_start(succession->loop, &link->timer, SUCCESSION_COMMIT_MS, 0, commit_late, link);
}

static void on_ready(SuccessionLink *link)
{
    Succession *succession = link->succession;
    json_t *books = json_array();
    size_t i;
    json_t *book;
    log_info("plane", "generation %u takes the place of generation %u", link->generation,
             succession->generation);
    succession->state = SUCCESSION_COMMITTED;
    door_unwatch(succession);
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

static void on_serving(SuccessionLink *link)
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

/* ---- serving: leaving ones ---------------------------------------------------------------------
 */

static void kin_forget(Succession *succession, uint32_t generation)
{
    for (size_t i = 0; i < succession->kin.len; i++) {
        if (succession->kin.items[i] == generation) {
            succession->kin.items[i] = succession->kin.items[--succession->kin.len];
            return;
        }
    }
}

/* It holds secrets, and is kept as long as there is somebody to read it. */
static void config_forget(Succession *succession)
{
    if (link_of_role(succession, LINK_DOWN) == NULL && succession->kin.len == 0) {
        fd_close(&succession->config_fd);
    }
}

static void kin_ended_forget(Succession *succession)
{
    for (size_t i = succession->kin.len; i-- > 0;) {
        uint32_t generation = succession->kin.items[i];
        if (!seat_is_marked(succession->seat_fd, generation)) {
            succession->kin.items[i] = succession->kin.items[--succession->kin.len];
            succession->handlers->on_parted(succession->user, generation, true);
        }
    }
}

/* One that lives has what it has, though it does not say so: it may stand still. */
static void kin_late(void *user)
{
    Succession *succession = user;
    kin_ended_forget(succession);
    if (succession->kin.len > 0) {
        loop_timer_start(succession->loop, &succession->kin_timer, SUCCESSION_JOIN_MS, 0, kin_late,
                         succession);
    }
    config_forget(succession);
}

void succession_kin_expect(Succession *succession, const json_t *books)
{
    size_t i;
    json_t *book;
    json_array_foreach (books, i, book) {
        uint32_t of = (uint32_t)json_integer_value(json_object_get(book, "of"));
        if (of != succession->offer_generation) {
            kin_forget(succession, of);
            vec_push(&succession->kin, of);
        }
    }
    if (succession->kin.len > 0) {
        loop_timer_start(succession->loop, &succession->kin_timer, SUCCESSION_JOIN_MS, 0, kin_late,
                         succession);
    }
}

static void send_config(SuccessionLink *link)
{
    if (link->succession->config_fd >= 0) {
        link_send(link, json_pack("{s:b}", "config", 1), &link->succession->config_fd, 1);
    }
}

static void return_look(void *user);

static void joined(SuccessionLink *link)
{
    Succession *succession = link->succession;
    link->role = LINK_DOWN;
    loop_timer_stop(&link->timer);
    kin_forget(succession, link->generation);
    succession->handlers->on_book(succession->user, link->books);
    json_decref(link->books);
    link->books = NULL;
    log_info("plane", "generation %u, which is leaving, has joined", link->generation);
    succession->handlers->on_joined(succession->user, link);
    send_config(link);
    return_look(succession);
}

/* What the other leaving ones hold is known, or whoever stands still is waited for no longer. */
static void returned(Succession *succession)
{
    succession->state = SUCCESSION_SERVING;
    loop_timer_start(succession->loop, &succession->kin_timer, SUCCESSION_JOIN_MS, 0, kin_late,
                     succession);
    succession->handlers->on_return(succession->user);
}

static void return_look(void *user)
{
    Succession *succession = user;
    if (succession->state != SUCCESSION_RETURNING) {
        return;
    }
    kin_ended_forget(succession);
    bool late = loop_now_ms(succession->loop) >= succession->return_late_ms;
    if (succession->kin.len == 0 || late) {
        if (succession->kin.len > 0) {
            log_warn("plane", "%zu leaving processes stand still: what they hold is not known",
                     succession->kin.len);
        }
        returned(succession);
        return;
    }
    loop_timer_start(succession->loop, &succession->kin_timer, RETURN_AGAIN_MS, 0, return_look,
                     succession);
}

static bool is_linked(const Succession *succession, uint32_t generation)
{
    LIST_FOR_EACH (&succession->links, node) {
        const SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        if (link->role == LINK_DOWN && link->generation == generation) {
            return true;
        }
    }
    return false;
}

/* All that live, and do not talk to us. */
static void kin_find(Succession *succession)
{
    succession->kin.len = 0;
    for (uint32_t of = 0; (of = seat_next_marked(succession->seat_fd, of)) != 0;) {
        if (!is_linked(succession, of)) {
            vec_push(&succession->kin, of);
        }
    }
}

static void on_join(SuccessionLink *link, const json_t *message)
{
    link->generation = (uint32_t)json_integer_value(json_object_get(message, "join"));
    link->books_due = (size_t)json_integer_value(json_object_get(message, "books"));
    link->books = json_array();
    link->role = LINK_JOINING;
    if (link->books_due == 0) {
        joined(link);
    }
}

static void on_book(SuccessionLink *link, json_t *book)
{
    json_array_append(link->books, book);
    if (json_array_size(link->books) >= link->books_due) {
        joined(link);
    }
}

/* ---- leaving, and nobody there -----------------------------------------------------------------
 */

/* It has the seat. Before anything is given to anybody, it is to know what others hold. */
static void back_to_service(Succession *succession)
{
    log_warn("plane", "generation %u serves again: its successor is gone", succession->generation);
    succession->state = SUCCESSION_RETURNING;
    succession->left = false;
    loop_timer_stop(&succession->timer);
    succession_door_watch(succession);
    kin_find(succession);
    succession->return_late_ms = loop_now_ms(succession->loop) + SUCCESSION_JOIN_MS;
    return_look(succession);
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
        back_to_service(succession);
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

/* ---- messages ----------------------------------------------------------------------------------
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
        on_take_over(link, message);
    } else if (json_object_get(message, "join") != NULL &&
               (link->succession->state == SUCCESSION_SERVING ||
                link->succession->state == SUCCESSION_RETURNING)) {
        on_join(link, message);
    } else {
        link_cut(link);
    }
}

static void take_of_heir(SuccessionLink *link, const json_t *message)
{
    Succession *succession = link->succession;
    if (json_object_get(message, "ready") != NULL && succession->state == SUCCESSION_SERVING) {
        on_ready(link);
    } else if (json_object_get(message, "serving") != NULL &&
               succession->state == SUCCESSION_COMMITTED) {
        on_serving(link);
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
            on_book(link, book);
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
        config_forget(succession);
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

void succession_config(Succession *succession, const json_t *config)
{
    Err err;
    fd_close(&succession->config_fd);
    bool any = link_of_role(succession, LINK_DOWN) != NULL || succession->kin.len > 0;
    char *text = any ? json_dumps(config, JSON_COMPACT) : NULL;
    if (text == NULL) {
        return;
    }
    if (!text_file_new(slice_of(text), &succession->config_fd, &err)) {
        log_warn("plane", "leaving processes do not hear of the configuration: %s", err.message);
    }
    crypto_wipe(text, strlen(text));
    free(text);
    LIST_FOR_EACH (&succession->links, node) {
        SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        if (link->role == LINK_DOWN) {
            send_config(link);
        }
    }
}

/* ---- life --------------------------------------------------------------------------------------
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
    door_unwatch(succession);
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
    door_unwatch(succession);
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
