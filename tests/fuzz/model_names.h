/* The statements that the server of the session's model has by name. */
#ifndef WEIR_FUZZ_MODEL_NAMES_H
#define WEIR_FUZZ_MODEL_NAMES_H

#include "model_world.h"

static inline Has *has_find(World *w, const char *name)
{
    for (size_t i = 0; i < w->has_len; i++) {
        if (strcmp(w->has[i].name, name) == 0) {
            return &w->has[i];
        }
    }
    return NULL;
}

static inline void has_remove(World *w, const char *name)
{
    Has *has = has_find(w, name);
    if (has != NULL) {
        *has = w->has[--w->has_len];
    }
}

/* The client's own namespace follows what it meant, and the two must agree. False: the server finds
 * a mistake. */
static inline bool names_follow(World *w, const Entry *message)
{
    Has *has = message->name[0] != '\0' ? has_find(w, message->name) : NULL;
    int8_t *own = message->meant_name >= 0 && message->owner != NOBODY
                      ? &w->own[message->owner][message->meant_name]
                      : NULL;
    bool works = true;
    if (message->type == 'P' && message->name[0] != '\0') {
        works = has == NULL;
        if (works) {
            ASSERT(w->has_len < HAS_MAX);
            has = &w->has[w->has_len++];
            *has = (Has){.text = message->text, .plain = (int8_t)w->settings.plain};
            memcpy(has->name, message->name, NAME_SIZE);
            memcpy(has->sql, message->sql, TEXT_SIZE);
        }
    } else if ((message->type == 'B' || message->type == 'D') && message->name[0] != '\0') {
        works = has != NULL;
    } else if (message->type == 'C' && message->name[0] != '\0') {
        has_remove(w, message->name);
    }
    if (own == NULL) {
        return works;
    }
    if (message->meant == 'P') {
        ASSERT(w->doubt || works == (*own == NO_TEXT));
        *own = works ? message->text : *own;
    } else if (message->meant == 'C') {
        *own = NO_TEXT;
    } else {
        ASSERT(w->doubt || works == (*own != NO_TEXT));
        ASSERT(w->doubt || !works || has->text == *own);
        /* Parsed under settings that the client has had. */
        ASSERT(!works || w->exchange.flight.unsure ||
               (w->seen[message->owner] & 1U << has->plain) != 0);
    }
    return works;
}

#endif
