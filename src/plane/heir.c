/*
 * The heir: a process that asks for the sockets of the one that serves, takes the seat when it is
 * ready, and settles what that one and earlier ones hold (docs/upgrade.md). It waits, for a moment
 * each, before its loop runs. Nothing is taken before the seat is.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "plane/link_priv.h"

#define SEAT_TRIES    50
#define SEAT_AGAIN_MS 20

static bool offer_take(Succession *succession, const json_t *message, int *fds, size_t len,
                       Err *err)
{
    const json_t *refused = json_object_get(message, "refused");
    json_t *names = json_object_get(message, "names");
    size_t own = succession->seat_is_file ? 1 : 2;
    if (json_is_string(refused)) {
        return err_set(err, ERR_CONFLICT, "the process that serves: %s",
                       json_string_value(refused));
    }
    if (!json_is_array(names) || len < own || json_array_size(names) != len - own) {
        return err_set(err, ERR_UNSUPPORTED, "the process that serves speaks something else");
    }
    succession->offer_generation = (uint32_t)json_integer_value(json_object_get(message, "offer"));
    succession->generation = succession_generation_after(succession->offer_generation);
    succession->names = json_incref(names);
    succession->door_fd = fds[0];
    succession->seat_fd = succession->seat_is_file ? succession->seat_fd : fds[1];
    succession->socket_count = len - own;
    memcpy(succession->sockets, fds + own, succession->socket_count * sizeof(int));
    return true;
}

static bool offer_await(Succession *succession, Err *err)
{
    json_t *message = NULL;
    int fds[SUCCESSION_SOCKETS];
    size_t len = 0;
    TRY(packet_await(succession->offer_fd, time_mono_ms() + SUCCESSION_OFFER_MS, err));
    if (packet_receive(succession->offer_fd, &message, fds, &len) != PACKET_TAKEN) {
        return err_set(err, ERR_UNAVAILABLE, "the process that serves has ended");
    }
    bool ok = offer_take(succession, message, fds, len, err);
    json_decref(message);
    if (!ok) {
        packet_fds_close(fds, len);
    }
    return ok;
}

/* False with ERR_NOT_FOUND: nobody serves. */
static bool offer_ask(Succession *succession, const char *door, Err *err)
{
    TRY(door_connect(door, &succession->offer_fd, err));
    CLEANUP(mem_free_ptr)
    char *text =
        mem_printf("{\"take_over\":%d,\"version\":\"%s\"}", SUCCESSION_PROTOCOL, weir_version);
    if (!packet_send(succession->offer_fd, slice_of(text), NULL, 0, err) ||
        !offer_await(succession, err)) {
        return err_wrap(err, "%s", door);
    }
    succession->state = SUCCESSION_HEIR;
    return seat_mark(succession->seat_fd, succession->generation, err);
}

static void heir_tired(void *user)
{
    Succession *succession = user;
    if (succession->state == SUCCESSION_HEIR) {
        log_error("plane", "there was no configuration in %d s", SUCCESSION_READY_MS / 1000);
        succession->handlers->on_stop(succession->user);
    }
}

static bool succession_begin(Succession *succession, const SuccessionWhere *where, Err *err)
{
    TRY(where->lock_path == NULL || seat_open(where->lock_path, &succession->seat_fd, err));
    for (size_t i = 0; where->ask && where->doors[i] != NULL; i++) {
        if (offer_ask(succession, where->doors[i], err)) {
            loop_timer_start(succession->loop, &succession->timer, SUCCESSION_READY_MS, 0,
                             heir_tired, succession);
            return true;
        }
        if (err->code != ERR_NOT_FOUND) {
            return false;
        }
    }
    succession->generation = 1;
    succession->state = SUCCESSION_SERVING;
    return (succession->seat_fd >= 0 || seat_open(NULL, &succession->seat_fd, err)) &&
           seat_take(succession->seat_fd, err) &&
           seat_mark(succession->seat_fd, succession->generation, err);
}

bool succession_new(Loop *loop, const SuccessionWhere *where, const SuccessionHandlers *handlers,
                    void *user, Succession **ret_succession, Err *err)
{
    Succession *succession = mem_alloc(sizeof(Succession));
    succession->loop = loop;
    succession->handlers = handlers;
    succession->user = user;
    succession->door = mem_strdup(where->doors[0]);
    succession->door_fd = succession->seat_fd = succession->config_fd = succession->offer_fd = -1;
    succession->seat_is_file = where->lock_path != NULL;
    list_init(&succession->links);
    if (!succession_begin(succession, where, err)) {
        succession_free(succession);
        return false;
    }
    *ret_succession = succession;
    return true;
}

int succession_socket(Succession *succession, const char *name)
{
    for (size_t i = 0; i < succession->socket_count; i++) {
        const char *there = json_string_value(json_array_get(succession->names, i));
        if (succession->sockets[i] >= 0 && there != NULL && strcmp(there, name) == 0) {
            int fd = succession->sockets[i];
            succession->sockets[i] = -1;
            return fd;
        }
    }
    return -1;
}

/* Until it says `commit`, or is no more. */
static bool commit_await(Succession *succession, json_t *books, bool *ret_dead, Err *err)
{
    int64_t deadline = time_mono_ms() + SUCCESSION_COMMIT_MS;
    for (bool committed = false; !committed && !*ret_dead;) {
        json_t *message = NULL;
        int fds[SUCCESSION_SOCKETS];
        size_t len = 0;
        TRY(packet_await(succession->offer_fd, deadline, err));
        PacketResult result = packet_receive(succession->offer_fd, &message, fds, &len);
        *ret_dead = result == PACKET_END;
        if (result != PACKET_TAKEN) {
            continue;
        }
        packet_fds_close(fds, len);
        json_t *book = json_object_get(message, "book");
        if (json_is_object(book)) {
            json_array_append(books, book);
        }
        committed = json_object_get(message, "commit") != NULL;
        bool stopped = json_object_get(message, "stop") != NULL;
        json_decref(message);
        if (stopped) {
            return err_set(err, ERR_CONFLICT, "the process that serves is stopping");
        }
    }
    return true;
}

/* One that died may be on its way out for a moment, with the seat. */
static bool seat_await(const Succession *succession, Err *err)
{
    for (int i = 0; i < SEAT_TRIES; i++) {
        if (seat_take(succession->seat_fd, err)) {
            return true;
        }
        usleep(SEAT_AGAIN_MS * 1000);
    }
    return err_wrap(err, "the process that served has gone on serving");
}

/* What it wrote of itself is nothing any more, and the rest may not be all. */
static void books_of_the_dead(const Succession *succession, json_t *books)
{
    for (size_t i = json_array_size(books); i-- > 0;) {
        const json_t *of = json_object_get(json_array_get(books, i), "of");
        if ((uint32_t)json_integer_value(of) == succession->offer_generation) {
            json_array_remove(books, i);
        }
    }
}

static void heir_settle(Succession *succession, json_t *books, bool dead)
{
    succession->state = SUCCESSION_SERVING;
    loop_timer_stop(&succession->timer);
    if (dead) {
        books_of_the_dead(succession, books);
    }
    succession->handlers->on_book(succession->user, books);
    succession_kin_expect(succession, books);
    if (dead) {
        fd_close(&succession->offer_fd);
        return;
    }
    SuccessionLink *link = link_new(succession, succession->offer_fd, LINK_DOWN);
    succession->offer_fd = -1;
    link->generation = succession->offer_generation;
    succession->before = link;
}

bool succession_take(Succession *succession, Err *err)
{
    if (succession->state != SUCCESSION_HEIR) {
        succession_door_open(succession);
        return true;
    }
    bool dead = false;
    json_t *books = json_array();
    bool ok = packet_send(succession->offer_fd, SLICE("{\"ready\":true}"), NULL, 0, err) ||
              err->os_errno == EPIPE;
    ok = ok && commit_await(succession, books, &dead, err) && seat_await(succession, err);
    if (ok) {
        heir_settle(succession, books, dead);
    }
    json_decref(books);
    return ok;
}

void succession_serves(Succession *succession)
{
    SuccessionLink *before = succession->before;
    succession->before = NULL;
    packet_fds_close(succession->sockets,
                     succession->socket_count); /* what is not wanted any more */
    succession->socket_count = 0;
    succession_door_watch(succession);
    if (before != NULL && before->role == LINK_DOWN) {
        link_send(before, json_pack("{s:b}", "serving", 1), NULL, 0);
        succession->handlers->on_joined(succession->user, before);
    }
}
