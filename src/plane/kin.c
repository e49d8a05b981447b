/*
 * Kin: the leaving processes, as the one that serves knows them. They are to join and to tell what
 * they hold; one that lives and does not come has what it has; one that has ended has nothing. They
 * hear of new configurations.
 */
#include <stdlib.h>

#include "plane/link_priv.h"

#define RETURN_AGAIN_MS 50 /* looks who lives that has not joined */

/* ---- who is to come ---------------------------------------------------------------------------
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

void succession_config_forget(Succession *succession)
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
    succession_config_forget(succession);
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

/* ---- coming back ------------------------------------------------------------------------------
 */

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

void succession_kin_return(Succession *succession)
{
    kin_find(succession);
    succession->return_late_ms = loop_now_ms(succession->loop) + SUCCESSION_JOIN_MS;
    return_look(succession);
}

/* ---- joining ----------------------------------------------------------------------------------
 */

static void send_config(SuccessionLink *link)
{
    if (link->succession->config_fd >= 0) {
        link_send(link, json_pack("{s:b}", "config", 1), &link->succession->config_fd, 1);
    }
}

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

void succession_kin_join(SuccessionLink *link, const json_t *message)
{
    link->generation = (uint32_t)json_integer_value(json_object_get(message, "join"));
    link->books_due = (size_t)json_integer_value(json_object_get(message, "books"));
    link->books = json_array();
    link->role = LINK_JOINING;
    if (link->books_due == 0) {
        joined(link);
    }
}

void succession_kin_book(SuccessionLink *link, json_t *book)
{
    json_array_append(link->books, book);
    if (json_array_size(link->books) >= link->books_due) {
        joined(link);
    }
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
