/* The sending and receiving of links. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "plane/link_priv.h"

#define PACKETS_PER_TURN 64

static void packet_done(LinkPacket *packet)
{
    packet_fds_close(packet->fds, packet->fd_count);
    mem_free(packet->text);
}

static void link_watch(SuccessionLink *link)
{
    loop_fd_set(link->watch, link->queue.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* False: the other end is gone. */
static bool link_flush(SuccessionLink *link)
{
    size_t done = 0;
    Err err;
    bool ok = true;
    while (done < link->queue.len) {
        LinkPacket *packet = &link->queue.items[done];
        if (!packet_send(link->fd, slice_from(packet->text, packet->len), packet->fds,
                         packet->fd_count, &err)) {
            ok = err.code == ERR_UNAVAILABLE;
            break;
        }
        packet_done(packet);
        done++;
    }
    if (done > 0) {
        link->queue.len -= done;
        memmove(link->queue.items, link->queue.items + done,
                link->queue.len * sizeof(link->queue.items[0]));
    }
    return ok;
}

static void link_receive(SuccessionLink *link)
{
    for (int i = 0; i < PACKETS_PER_TURN && link->role != LINK_DEAD; i++) {
        json_t *message = NULL;
        int fds[SUCCESSION_SOCKETS];
        size_t len = 0;
        switch (packet_receive(link->fd, &message, fds, &len)) {
        case PACKET_TAKEN:
            succession_take_message(link, message, fds, len);
            json_decref(message);
            packet_fds_close(fds, len);
            break;
        case PACKET_NOTHING:
            return;
        case PACKET_END:
        default:
            succession_link_lost(link);
            return;
        }
    }
}

static void link_ready(void *user, uint32_t events)
{
    SuccessionLink *link = user;
    if ((events & EPOLLOUT) != 0 && link_flush(link)) {
        link_watch(link);
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        link_receive(link);
    }
}

SuccessionLink *link_new(Succession *succession, int fd, LinkRole role)
{
    SuccessionLink *link = mem_alloc(sizeof(SuccessionLink));
    Err err;
    link->succession = succession;
    link->role = role;
    link->fd = fd;
    list_push_back(&succession->links, &link->node);
    if (!loop_fd_add(succession->loop, fd, EPOLLIN, link_ready, link, &link->watch, &err)) {
        log_error("plane", "%s", err.message);
        link_cut(link);
    }
    return link;
}

void link_free(SuccessionLink *link)
{
    loop_timer_stop(&link->timer);
    list_remove(&link->succession->links, &link->node);
    loop_fd_remove(link->watch);
    for (size_t i = 0; i < link->queue.len; i++) {
        packet_done(&link->queue.items[i]);
    }
    vec_done(&link->queue);
    json_decref(link->books);
    fd_close(&link->fd);
    mem_free(link);
}

void links_sweep(void *user)
{
    Succession *succession = user;
    for (ListNode *node = list_first(&succession->links), *next; node != NULL; node = next) {
        SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        next = list_next(&succession->links, node);
        if (link->role == LINK_DEAD) {
            link_free(link);
        }
    }
}

SuccessionLink *link_of_role(const Succession *succession, LinkRole role)
{
    LIST_FOR_EACH (&succession->links, node) {
        SuccessionLink *link = CONTAINER_OF(node, SuccessionLink, node);
        if (link->role == role) {
            return link;
        }
    }
    return NULL;
}

void link_cut(SuccessionLink *link)
{
    link->role = LINK_DEAD;
    loop_timer_stop(&link->timer);
    loop_fd_remove(link->watch);
    link->watch = NULL;
    fd_close(&link->fd);
    loop_defer(link->succession->loop, &link->succession->sweep, links_sweep, link->succession);
}

/* It goes out in its turn, when the other end has read what is in front of it. */
static void link_queue(SuccessionLink *link, char *text, size_t text_len, const int *fds,
                       size_t len)
{
    LinkPacket packet = {.text = mem_alloc(text_len + 1), .len = text_len};
    memcpy(packet.text, text, text_len);
    for (size_t i = 0; i < len; i++) {
        int copy = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (copy >= 0) {
            packet.fds[packet.fd_count++] = copy;
        }
    }
    vec_push(&link->queue, packet);
}

bool link_send_now(SuccessionLink *link, json_t *message, const int *fds, size_t len, Err *err)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    ASSERT(text != NULL); /* everything in it is ours, and UTF-8 */
    ASSERT(link->queue.len == 0);
    bool ok = packet_send(link->fd, slice_of(text), fds, len, err);
    free(text);
    return ok;
}

static void link_too_slow(void *user)
{
    SuccessionLink *link = user;
    log_warn("plane", "the process of generation %u does not read: its link is cut",
             link->generation);
    succession_link_lost(link);
}

/* An end that is gone is seen by whoever reads next. */
void link_send(SuccessionLink *link, json_t *message, const int *fds, size_t len)
{
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    ASSERT(text != NULL); /* everything in it is ours, and UTF-8 */
    Err err;
    if (link->role == LINK_DEAD) {
        free(text);
        return;
    }
    if (link->queue.len == SUCCESSION_QUEUED_MAX) {
        loop_timer_start(link->succession->loop, &link->timer, 0, 0, link_too_slow, link);
    } else if (link->queue.len > 0 || (!packet_send(link->fd, slice_of(text), fds, len, &err) &&
                                       err.code == ERR_UNAVAILABLE)) {
        link_queue(link, text, strlen(text), fds, len);
        link_watch(link);
    }
    free(text);
}
