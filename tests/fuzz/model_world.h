/* The world of the session's model: two clients, the proxy between them and one server, and what is
 * heard of notifications. */
#ifndef WEIR_FUZZ_MODEL_WORLD_H
#define WEIR_FUZZ_MODEL_WORLD_H

#include "session/session.h"

#include "model_listens.h"
#include "model_queue.h"

#define NOBODY  2  /* the proxy itself, or no message in particular */
#define HAS_MAX 64 /* statements on the server */
#define NAMES   2  /* of a client: "a" and "b" */
#define SET_MAX 2
#define NO_TEXT (-1)

typedef struct Has {
    char name[NAME_SIZE];
    int8_t text;
    int8_t plain; /* the setting "t" when it was parsed */
    char sql[TEXT_SIZE];
} Has;

typedef struct World {
    Session sessions[2];
    Exchange exchange;
    int linked; /* which client; -1: none */
    Queue in;   /* to the server */
    Queue out;  /* from it */
    bool runs;  /* what came last was tried as part of a run of messages */
    /* the server */
    bool skip;
    uint8_t skipper;  /* whose message failed */
    bool skips_more;  /* and extended messages of the client were skipped */
    unsigned owed[2]; /* ReadyForQuerys that the client waits for */
    bool open;        /* messages since the last Sync that began an implicit transaction */
    char copy;        /* 'Q' or 'E': reads COPY data for it */
    uint8_t owner;    /* of the copy */
    char status;
    bool dead;
    Has has[HAS_MAX];
    size_t has_len;
    ModelSettings settings;
    bool tokens; /* there are messages of them */
    bool kept;   /* no names are followed */
    ModelToken token;
    bool puts_token;         /* the proxy's portal does */
    bool token_pending;      /* this client has set one, and it was not asked for */
    bool token_due;          /* it was asked for, and is to be told */
    bool replayed;           /* the proxy set something in the transaction that is open */
    char unnamed[TEXT_SIZE]; /* the unnamed statement, and the portal: there is one, by any name */
    char portal[TEXT_SIZE];
    bool bound;           /* there is a portal; none outlives its transaction */
    int8_t own[2][NAMES]; /* what each client's names would stand for on a connection of its own */
    ModelSettings own_settings[2];
    unsigned seen[2];       /* values of "t" that the client has had, a bit each */
    bool doubt;             /* something failed that a later batch in flight counted on */
    Listens listens;        /* of the server */
    Listens own_listens[2]; /* of each client on a connection of its own */
    bool wrote;             /* something in the transaction that is open */
    bool cut;               /* the wait of its commit was, and nothing tells so */
    uint8_t cancels;        /* on their way */
    bool gated, quiet;      /* of all connections */
    bool noticed;           /* a notice has come, and nothing is proven since */
    bool is_held;           /* at the gate: */
    Entry held;
    int32_t marking; /* the mark in the transaction that is open; 0: none */
    Numbers hub[2]; /* what the shared connection is to tell each client, and marks, on their way */
    enum { DEAF, SHARING, ON } ear[2];
    Numbers queue[2], later[2]; /* what waits for the client */
    Numbers due[2];
    int32_t notified;
    StatementTable *table;
    SettingTable *settings_table;
    SqlMemo *memo; /* NULL: none */
    const uint8_t *data;
    size_t size;
} World;

static inline uint8_t choose(World *w, uint8_t count)
{
    if (w->size == 0) {
        return 0;
    }
    w->size--;
    return (uint8_t)(*w->data++ % count);
}

/* ---- what the client is owed -------------------------------------------------------------------
 */

static inline void owe(World *w, int client, char type)
{
    w->owed[client] += strchr("QSF", type) != NULL ? 1 : 0;
}

static inline void owe_less(World *w, uint8_t client)
{
    ASSERT(client != NOBODY && (w->owed[client] > 0 || w->exchange.flight.unsure));
    w->owed[client] -= w->owed[client] > 0 ? 1 : 0;
}

/* Behind a message of its own that has failed, or that it takes for that, it expects no answer to
 * what is not a Sync. Behind one of the proxy's it does. */
static inline void skip_message(World *w, const Entry *message)
{
    bool query = strchr("QF", message->type) != NULL;
    if (message->owner == NOBODY) {
        return;
    }
    if (query && (w->skipper == message->owner || w->skips_more)) {
        owe_less(w, message->owner);
    }
    w->skips_more = w->skips_more || strchr("PBDCE", message->type) != NULL;
}

/* Nobody has anything more to say. */
static inline void check_owed(const World *w)
{
    if (w->linked >= 0 && w->in.len == 0 && w->out.len == 0 && !w->is_held && w->copy == '\0' &&
        !w->dead && !w->exchange.flight.unsure) {
        ASSERT(w->owed[w->linked] == 0);
    }
}

/* ---- what is heard -----------------------------------------------------------------------------
 */

/* The client gets it: it is the one that is due. */
static inline void get(World *w, int client, int32_t number)
{
    ASSERT(numbers_pop(&w->due[client]) == number);
}

static inline void flush(World *w, int client)
{
    while (w->queue[client].len > 0) {
        get(w, client, numbers_pop(&w->queue[client]));
    }
    while (w->later[client].len > 0) {
        get(w, client, numbers_pop(&w->later[client]));
    }
}

static inline bool is_shared(const World *w, int client)
{
    const Listening *listening = w->sessions[client].listening;
    return listening != NULL && listening->state == LISTENING_SHARED;
}

static inline bool is_idle(const World *w, int client)
{
    const Exchange *exchange = &w->exchange;
    return is_shared(w, client) &&
           (w->linked != client ||
            (exchange->status == 'I' && !exchange->open && exchange->asking == ASKING_NOTHING &&
             flight_is_empty(&exchange->flight)));
}

static inline void hub_mark(World *w, int client, int32_t mark)
{
    const Listening *listening = w->sessions[client].listening;
    if (listening == NULL || listening->marks != (uint64_t)mark || w->ear[client] == DEAF) {
        return;
    }
    bool back = w->ear[client] == ON;
    w->ear[client] = back ? DEAF : ON;
    session_listen_passed(&w->sessions[client]);
    if (back) {
        flush(w, client);
    }
}

/* The shared connection tells what comes next. */
static inline void hub_hear(World *w, int client)
{
    if (w->hub[client].len == 0) {
        return;
    }
    int32_t number = numbers_pop(&w->hub[client]);
    if (number < 0) {
        hub_mark(w, client, -number);
    } else if (w->ear[client] == ON) {
        numbers_push(&w->queue[client], number);
        if (is_idle(w, client)) {
            flush(w, client);
        }
    }
}

/* Somebody notifies: whoever listens is told, once it is between transactions, as all are here. */
static inline void notify(World *w)
{
    if (w->status != 'I' || w->open || w->copy != '\0' || w->skip || w->notified > HEARD_MAX / 4) {
        return;
    }
    w->notified++;
    for (int client = 0; client < 2; client++) {
        if (w->own_listens[client].channel) {
            numbers_push(&w->due[client], w->notified);
        }
        numbers_push(&w->hub[client], w->notified);
    }
    if (w->listens.channel) {
        queue_put(
            &w->out,
            (Entry){.type = 'A', .owner = NOBODY, .heard = "c", .number = (uint32_t)w->notified});
    }
}

/* The mark reaches the shared connection, and, where it listens to it, this one. */
static inline void mark(World *w)
{
    if (w->marking == 0) {
        return;
    }
    numbers_push(&w->hub[w->linked], -w->marking);
    if (w->listens.marks) {
        queue_put(
            &w->out,
            (Entry){.type = 'A', .owner = NOBODY, .heard = "m", .number = (uint32_t)w->marking});
    }
    w->marking = 0;
}

#endif
